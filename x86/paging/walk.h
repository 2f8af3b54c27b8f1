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
	/* Host address of the 8-byte-aligned guest-physical gpa for reading and atomic update of a
	 * table entry, valid until the walk returns, or NULL if that is no RAM (the walk then reads
	 * entries as all ones: -EIO). */
	void *(*entry)(void *ctx, gpa_t gpa);
	/* A table entry at gpa was changed (A or D bit set): for the dirty log. May be NULL. */
	void (*touched)(void *ctx, gpa_t gpa);
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
 * with r->error_code (CR2 is the caller's to set); -EIO: a table is not in RAM.
 */
int x86_walk(const struct walk_mode *m, gva_t gva, unsigned int access, const struct walk_ops *ops,
	     void *ctx, struct walk_result *r);

#endif
