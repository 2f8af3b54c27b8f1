/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* options.h - the command line of `anykvm run`, in QEMU's syntax. */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"

#define OPT_MAX_CPUS	1024
#define OPT_MIN_MEMORY	(1ull << 20)
#define OPT_MAX_MEMORY	(1ull << 46)	/* bytes; gmem_create() compares with the host's memory as well */

struct options {
	const char *kernel;
	const char *initrd;		/* NULL: none */
	const char *append;
	const char *kvm_path;		/* NULL: libanykvm */
	uint64_t memory;		/* bytes, a multiple of 4096 */
	unsigned int cpus;
	bool hide_kvm;			/* no paravirtual CPUID leaves */
	bool no_reboot;			/* a reset ends the VM */
	bool no_serial;			/* -serial none */
};

/**
 * Parse the arguments after `anykvm run`. Strings point into @argv.
 * 0; 1 if help is asked for; -1 with *err set: unknown or malformed option.
 */
int options_parse(struct options *o, int argc, char **argv, struct vmm_err *err);

/**
 * A size as QEMU takes it: a decimal number with an optional suffix K M G T (also with B or iB
 * behind it), MiB if there is none. *bytes is set only on success; -1: not a size, or it does not
 * fit in 64 bits.
 */
int options_parse_size(const char *s, uint64_t *bytes);

/** The text of `anykvm run --help`. */
void options_help(FILE *out);

#endif
