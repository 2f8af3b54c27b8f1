/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* trans.h - shared by the translator's files: one struct trans per block being made. */
#ifndef SOFT_TRANS_H
#define SOFT_TRANS_H

#include "../soft.h"
#include "../emit/emit.h"

/* Scratch host registers and the guest registers' homes; see enter.c. */
#define T0	H_RCX
#define T1	H_R14
#define T2	H_R15

#define SV_OFF(field)	((s32)offsetof(struct soft_vcpu, field) - SOFT_RSP)
#define SV(field)	HMEM(H_RSP, SV_OFF(field))
#define GPR_MEM(g)	HMEM(H_RSP, 8 * (g))
#define SPACE_OFF(field) ((s32)offsetof(struct space, field))
#define SPACE_MEM(field) HMEM_GS(H_NONE, H_NONE, 0, SPACE_OFF(field))

extern const u8 trans_home[X86_NR_GPR];		/* host register, or H_NONE: in memory */

#define MAX_COLD	(BLOCK_MAX_INSNS * 4 + 8)

enum cold_kind {
	COLD_TLB, COLD_LINK, COLD_JUMP_OFF, COLD_KICK,
	COLD_EXIT,	/* leave with .info, an enum soft_exit, and .arg */
};

/* A piece of code laid out after the block's main line. */
struct cold {
	u8 kind;
	u8 insn;		/* index of the instruction */
	bool keep_t2;		/* COLD_TLB: the operand is [T2 + T1] afterwards */
	u8 *site;		/* jump that leads here (rel32) */
	u8 *back;		/* COLD_TLB: executable address to go on at */
	u32 info;		/* TLBI_*, or SX_* code */
	u32 arg;		/* COLD_EXIT: exit_arg; COLD_LINK: index; COLD_JUMP_OFF: operand size */
	s64 off;		/* guest offset from the page start, for st->rip */
	s32 from;		/* COLD_JUMP_OFF: of the jump itself */
};

/* Accesses that share a check; see group.c. */
struct group {
	u8 first, last;		/* instructions */
	u8 slot;		/* in sv->addend[] */
	u8 span;		/* bytes that are checked */
	u8 before;		/* of these before the first one's address */
	bool write;
	bool ready;		/* the check has been emitted */
};
#define ADDEND_MEM(slot)	HMEM(H_RSP, SV_OFF(addend[0]) + 8 * (s32)(slot))

struct trans {
	struct soft_vcpu *sv;
	u16 key;			/* CODE_* */
	u64 page_va;			/* where the guest has the page now; it may be elsewhere when the block runs */
	u8 mode;			/* enum insn_mode */
	struct emitter e;
	struct block *b;
	struct insn *insns;
	u32 n;
	/* arithmetic flags live before instruction i; [n]: after the block */
	u16 live[BLOCK_MAX_INSNS + 1];
	u16 keep[BLOCK_MAX_INSNS + 1];	/* those that i's checks must keep: live ones, or for want of a better place */
	/* i begins with putting the flags away, or getting them back; they are away while it runs */
	bool save[BLOCK_MAX_INSNS + 1], back[BLOCK_MAX_INSNS + 1], away[BLOCK_MAX_INSNS + 1];
	u8 replay[BLOCK_MAX_INSNS + 1];	/* away: 1 + the instruction that can be done again for them; 0: in sv->flags_away */
	u32 i;				/* instruction being emitted */
	s32 off;			/* its guest offset from the page start */
	s32 next_off;			/* of the one after it */
	u32 nr_cold;
	struct cold cold[MAX_COLD];
	u32 nr_map;
	u32 nr_links;
	u32 nr_peeks;
	u32 nr_groups;
	struct group group[BLOCK_MAX_GROUPS];
	/* per instruction: 1 + its group, or 0; whether that is about a push or pop, not about the operand in ModRM */
	struct { u8 group; bool implicit; } member[BLOCK_MAX_INSNS + 1];
};

/*
 * A memory operand ready for use: the host address, and the scratch register that is free besides.
 */
struct access {
	struct hmem m;
	u8 free;
};

/* flags.c */
void trans_find_liveness(struct trans *t, const u8 *page, s64 next_off);
u8 trans_settle_count(const struct trans *t);		/* struct block.settle */
/* keep, save, back and away, from live and the groups. */
void trans_plan_flags(struct trans *t);
/* What stands before the code of instruction t->i. Clobbers T0 and T2. */
void trans_flags_begin(struct trans *t);
/* In a slow path of instruction i: the guest's flags become the host's again. Clobbers T0 and T2. */
void trans_flags_back(struct trans *t, u32 i);

/* mem.c */
/* move guest register to dst, flags kept */
void trans_gpr_load(struct trans *t, u8 size, u8 dst, u8 guest);
void trans_gpr_store(struct trans *t, u8 guest, u8 src);		/* whole 64 bits */
/* The host registers of base and index, H_NONE where there is none; not for RIP. Clobbers T1 and T2 for those without a home. */
void trans_base_index(struct trans *t, const struct insn *in, u8 *base, u8 *index);
/* The memory operand's address into T1: linear in 64-bit mode, else the offset in its segment. */
bool trans_ea(struct trans *t, const struct insn *in);
/*
 * Check the access of len bytes at T1, an address as from trans_ea(), in segment seg. flags: which are live now.
 * stack: use the stack's entry.
 */
struct access trans_access(struct trans *t, u8 seg, u32 len, bool write, u16 flags, bool stack);
/* T1: from an offset in seg to a linear address, with the segment's checks. Nothing in 64-bit mode. */
void trans_segment(struct trans *t, u8 seg, u32 len, bool write, u16 flags);
void trans_page_off(struct trans *t, u8 dst, s64 off);			/* dst = page_va + off */
void trans_tlb_index(struct trans *t);			/* T0 = the soft TLB's slot for T1; changes flags */
struct hmem trans_tlb_neg(bool write);			/* minus the page in slot T0 that may be read, or written */
/* The operand in ModRM, len bytes: address and check, or its part in a shared one. false: leave it to C. */
bool trans_operand(struct trans *t, const struct insn *in, u32 len, bool write, struct access *a);
void trans_cold(struct trans *t, const struct cold *c);

/* group.c */
/* The general registers that an instruction may change, a bit for each. */
u16 trans_written(const struct insn *in);
void trans_find_groups(struct trans *t);
/* Does this instruction's access, its push or pop or the operand in ModRM, share a check? Then: */
bool trans_grouped(const struct trans *t, bool implicit);
/* the access at base + (index << scale) + disp, a first one by the stack's entry if stack. Clobbers T0, T1, T2. */
struct access trans_group_access(struct trans *t, u8 base, u8 index, u8 scale, s32 disp, bool stack);

/* stack.c */
/* len bytes at stack pointer + delta. */
struct access trans_sp_access(struct trans *t, s32 delta, u32 len, bool write);
bool trans_stack(struct trans *t, const struct insn *in);
bool trans_is_stack(const struct insn *in);		/* is it one of these? */
/* T1 = stack pointer + delta as an address, or the stack pointer moved by delta (clobbers T0). */
void trans_sp_ea(struct trans *t, s32 delta);
void trans_sp_add(struct trans *t, s32 delta);
/* Push the size bytes of host register src, or with H_NONE those of scratch[3]. */
void trans_push_value(struct trans *t, u8 size, u8 src);
bool trans_push_sreg(struct trans *t, const struct insn *in);
/* int.c */
bool trans_int(struct trans *t, const struct insn *in);
bool trans_generic(struct trans *t, const struct insn *in);
bool trans_index_result(const struct insn *in);		/* leaves an index in ECX, which is no operand */
/* flow.c: the last instruction; emits all exits of the block */
bool trans_flow(struct trans *t, const struct insn *in);
/* A conditional jump after which the block goes on. */
bool trans_side_exit(struct trans *t, const struct insn *in);
/* May jumps to page start + off be direct? */
bool trans_links(const struct trans *t, s64 off);
/* A direct jump there, whose rel32 is at site; alone: to the twin whose accesses share no checks. */
void trans_link(struct trans *t, u8 *site, s64 off, bool alone);
/* Unconditional, to page start + off; opsize: of the jump, as in struct insn, or 0 if it is none. */
void trans_goto_off(struct trans *t, s64 off, u8 opsize);
/* The same to another page. from: where the emulator goes on if the target is outside CS. */
void trans_goto_far(struct trans *t, s64 off, u8 opsize, s32 from);
void trans_jump_t1(struct trans *t);			/* to the linear address in T1 */
void trans_lookup(struct emitter *e, const struct codebuf *cb);		/* the same, outside blocks */
/* string.c */
bool trans_string(struct trans *t, const struct insn *in);	/* false: leave to C */
/* priv.c */
bool trans_system(struct trans *t, const struct insn *in);	/* false: leave to C */
void trans_exit(struct trans *t, u32 code, u32 arg, s32 off);
u32 trans_sys_arg(const struct insn *in);	/* SYS_* */

#define SEG_MEM(s, f)	HMEM(H_RSP, SV_OFF(st.seg[0].f) + (s) * (s32)sizeof(struct x86_seg))
#define VIEW(s, f)	HMEM(H_RSP, SV_OFF(view[0].f) + (s) * (s32)sizeof(struct seg_view))

static inline bool trans_64(const struct trans *t)
{
	return t->key & CODE_64;
}

static inline u16 trans_flags_before(const struct trans *t)
{
	return t->keep[t->i];
}

#endif
