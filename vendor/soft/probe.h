/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Apart from soft.h: <sys/auxv.h> brings names that collide with the architecture's. */
#ifndef SOFT_PROBE_H
#define SOFT_PROBE_H

/*
 * What the host's processor is slow at, so that the translator does without it where it can. soft_probe() fills it in; the
 * environment variable ANYKVM_SLOW overrules it (docs/soft-cpu.md).
 */
struct soft_host {
	_Bool pext;
	_Bool loop;
};
extern struct soft_host soft_host_slow;

/** vendor_ops.probe: 0, or -ENODEV; *why one line either way. */
int soft_probe(const char **why);

#endif
