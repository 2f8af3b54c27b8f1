// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The entry formats of each paging mode. Figures and tables of SDM 3A 4.3 (32-bit), 4.4 (PAE), 4.5
 * (4-level).
 */
#include "formats.h"

/* Tables 4-15 to 4-20: bits 62:52 are ignored, PS is reserved in PML4Es and PML5Es. */
const struct pt_level pt_format_long[PT_MAX_LEVELS + 1] = {
	[1] = { .shift = 12, .bits = 9, .leaf = true },
	[2] = { .shift = 21, .bits = 9, .large = true, .large_rsvd = GENMASK_ULL(20, 13) },
	[3] = { .shift = 30, .bits = 9, .large = true, .large_rsvd = GENMASK_ULL(29, 13) },
	[4] = { .shift = 39, .bits = 9, .rsvd = PTE_PS },
	[5] = { .shift = 48, .bits = 9, .rsvd = PTE_PS },
};

/* Tables 4-9 to 4-11: bits 62:52 are reserved. The PDPTEs are registers; MOV to CR3 checks them. */
const struct pt_level pt_format_pae[PT_MAX_LEVELS + 1] = {
	[1] = { .shift = 12, .bits = 9, .leaf = true, .rsvd = GENMASK_ULL(62, 52) },
	[2] = { .shift = 21, .bits = 9, .large = true, .rsvd = GENMASK_ULL(62, 52),
		.large_rsvd = GENMASK_ULL(20, 13) },
};

/*
 * Tables 4-4 to 4-6: 4-byte entries. A 4 MiB PDE has address bits 39:32 in its bits 20:13 (PSE-36),
 * of which those above MAXPHYADDR are reserved: the walk adds them.
 */
const struct pt_level pt_format_legacy[PT_MAX_LEVELS + 1] = {
	[1] = { .shift = 12, .bits = 10, .leaf = true },
	[2] = { .shift = 22, .bits = 10, .large = true, .large_rsvd = BIT_ULL(21) },
};
