/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Paging-structure entry formats as data, private to x86/paging. SDM 3A 4.3 to 4.5. */
#ifndef X86_PAGING_FORMATS_H
#define X86_PAGING_FORMATS_H

#include "../../host/types.h"

#define PTE_P		BIT_ULL(0)
#define PTE_W		BIT_ULL(1)
#define PTE_U		BIT_ULL(2)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_G		BIT_ULL(8)
#define PTE_NX		BIT_ULL(63)
#define PTE_ADDR	GENMASK_ULL(51, 12)

/* One level of tables, as indexed by its level number: 1 holds PTEs. */
struct pt_level {
	u8 shift;		/* of the region one entry maps */
	u8 bits;		/* of linear address that index the table */
	bool leaf;		/* every entry maps a page */
	bool large;		/* an entry with PS set maps a page; otherwise PS is reserved */
	/* bits that must be 0 in any entry, beyond those above MAXPHYADDR */
	u64 rsvd;
	u64 large_rsvd;		/* additionally when the entry maps a large page */
};

#define PT_MAX_LEVELS	5

extern const struct pt_level pt_format_long[PT_MAX_LEVELS + 1];
extern const struct pt_level pt_format_pae[PT_MAX_LEVELS + 1];
extern const struct pt_level pt_format_legacy[PT_MAX_LEVELS + 1];

#endif
