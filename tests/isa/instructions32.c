// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* 32-bit code in compatibility mode, flat segments. See lib/random.c. */
#include "lib/random.h"

int main(int argc, char **argv)
{
	return isa_random(INSN_MODE_32, "instructions32", argc, argv);
}
