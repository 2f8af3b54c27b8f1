// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* 16-bit code in compatibility mode, in segments with bases and limits. See lib/random.c. */
#include "lib/random.h"

int main(int argc, char **argv)
{
	return isa_random(INSN_MODE_16, "instructions16", argc, argv);
}
