// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* 64-bit code, bit for bit against the host. See lib/random.c. */
#include "lib/random.h"

int main(int argc, char **argv)
{
	return isa_random(INSN_MODE_64, "instructions", argc, argv);
}
