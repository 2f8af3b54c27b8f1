// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* System and string instructions that are worth a path of their own; everything else goes to the emulator. */
#include "soft.h"

enum soft_done soft_system(struct soft_vcpu *sv, u32 op, u32 len)
{
	return SOFT_TO_EMULATOR;
}

enum soft_done soft_string(struct soft_vcpu *sv, u32 op, u32 len)
{
	return SOFT_TO_EMULATOR;
}
