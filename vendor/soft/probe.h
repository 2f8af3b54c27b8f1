/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Apart from soft.h: <sys/auxv.h> brings names that collide with the architecture's. */
#ifndef SOFT_PROBE_H
#define SOFT_PROBE_H

/** vendor_ops.probe: 0, or -ENODEV; *why one line either way. */
int soft_probe(const char **why);

#endif
