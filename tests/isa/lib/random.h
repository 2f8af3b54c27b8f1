/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef ISA_RANDOM_H
#define ISA_RANDOM_H

#include "x86/decode/decode.h"

/**
 * Random instructions of one mode on the host's CPU and in a VM. argv: [cases [seed]]. Returns an exit status: 0 if
 * there is no difference; a difference prints the bytes and the seed.
 */
int isa_random(enum insn_mode mode, const char *name, int argc, char **argv);

#endif
