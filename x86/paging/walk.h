/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * walk.h - the guest's page tables: linear to guest-physical, with the architecture's permission
 * checks, accessed and dirty bits, and error codes. SDM 3A chapter 4; APM 2 chapter 5.
 */
#ifndef X86_PAGING_WALK_H
#define X86_PAGING_WALK_H

#include "../arch/access.h"
#include "../arch/state.h"
#include "../arch/exception.h"

struct walk_ops {
	/* The table entry at gpa, aligned to its size of 8 bytes if @wide or else 4, read by one
	 * access. 0 and *val, and *host, which update() gets back; -EIO: no RAM there; -ENXIO: the
	 * host's memory for it cannot be reached. */
	int (*read)(void *ctx, gpa_t gpa, bool wide, u64 *val, u64 *host);
	/* Set A or D: replace @old by @new, by one atomic access, and note it in the dirty log. 0:
	 * done, or the table is in memory that the guest cannot write, whose bits stay as they are;
	 * -EBUSY: the entry is not @old any more; -ENXIO as above. May be NULL with WALK_NO_AD. */
	int (*update)(void *ctx, gpa_t gpa, bool wide, u64 host, u64 old, u64 new);
};

/* What the walk depends on. Filled from state by walk_mode_from_state(), or by hand. */
struct walk_mode {
	u64 cr3;
	u64 pdptr[4];		/* PAE without long mode */
	u8 levels;		/* 0: paging off, 2, 3, 4 (5 with LA57) */
	bool pse, pge, nxe, wp, smep, smap, ac;
	u8 maxphyaddr;
};

struct walk_result {
	gpa_t gpa;		/* of the byte asked for */
	u8 page_shift;		/* 12, 21, 22, 30 (paging off: 12) */
	/* what further accesses to this page need no new walk for: */
	bool user;		/* U/S of the whole path */
	bool writable;		/* R/W of the whole path */
	bool nx;
	bool dirty;		/* D already set (or set by this walk) */
	bool global;
	u32 error_code;		/* on -EFAULT: for #PF */
};

void walk_mode_from_state(struct walk_mode *m, const struct x86_state *st, u8 maxphyaddr);

/**
 * Translate @gva for @access (enum walk_access | WALK_* bits). Returns 0 and *r; -EFAULT: a #PF
 * with r->error_code (CR2 is the caller's to set); -EIO: a table is not in RAM; -ENXIO: it is, but
 * the host's memory behind it cannot be read, or not written when a bit had to be set.
 */
int x86_walk(const struct walk_mode *m, gva_t gva, unsigned int access, const struct walk_ops *ops,
	     void *ctx, struct walk_result *r);

#endif
