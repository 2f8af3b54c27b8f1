// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Leaving a block: jumps inside the guest page are direct and patched in place (links); jumps to
 * other pages and indirect ones look the linear address up in the space's jump cache, because only
 * the page tables in force tell which code stands there.
 */
#include "trans.h"

/* T1 = guest-linear target. Clobbers T0 and T2; flags survive. */
void trans_jump_t1(struct trans *t)
{
	struct emitter *e = &t->e;
	u8 *hit;

	em_pext(e, T0, T1, SV(pext_jc));
	em_lea(e, 4, T0, HMEM_X(H_NONE, T0, 1, 0));
	em_mov_rm(e, 8, T2, HMEM_GS(H_NONE, T0, 3, SPACE_OFF(jc[0].code)));
	em_mov_rm(e, 8, T0, HMEM_GS(H_NONE, T0, 3, SPACE_OFF(jc[0].neg_va)));
	em_lea(e, 8, T0, HMEM_X(T0, T1, 0, 0));
	hit = em_jrcxz(e);
	em_patch32(e, em_jmp32(e), t->sv->cb.stub_jump_miss);
	em_here8(e, hit);
	em_jmp_reg(e, T2);
}

/*
 * Where a direct jump may be patched in. Not the last bytes: an instruction there may reach into
 * the next page, and the way to it must ask which page that is.
 */
static bool in_page(s64 off)
{
	return off >= 0 && off <= (s64)(HV_PAGE_SIZE - INSN_MAX_LEN);
}

/* A patchable jump to page start + off; its first target is a stub that asks for the link. */
static void link_here(struct trans *t, u8 *site, s64 off)
{
	struct link *l = &t->b->link[t->nr_links];
	struct cold c = { .kind = COLD_LINK, .insn = t->i, .site = site, .arg = t->nr_links++, .off = off };

	l->site = site + t->e.rx_delta;
	l->from = t->b;
	trans_cold(t, &c);
}

void trans_goto_off(struct trans *t, s64 off)
{
	if (in_page(off) && t->b->gfn2 == ~0UL) {
		link_here(t, em_jmp32(&t->e), off);
	} else {
		trans_page_off(t, T1, off);
		trans_jump_t1(t);
	}
}

/* The conditional jump whose displacement is at site leads to page start + off. */
static void branch_to_off(struct trans *t, u8 *site, s64 off)
{
	if (in_page(off) && t->b->gfn2 == ~0UL) {
		link_here(t, site, off);
	} else {
		struct cold c = { .kind = COLD_JUMP_OFF, .insn = t->i, .site = site, .off = off };

		trans_cold(t, &c);
	}
}

static void push_return(struct trans *t)
{
	struct access a;

	em_lea(&t->e, 8, T1, HMEM(H_R11, -8));
	a = trans_access(t, 8, true, trans_flags_before(t), true);
	trans_page_off(t, a.free, t->next_off);
	em_mov_mr(&t->e, 8, a.m, a.free);
	em_lea(&t->e, 8, H_R11, HMEM(H_R11, -8));
}

/* Target of an indirect jump or call into dst, which may be T1. */
static bool load_target(struct trans *t, const struct insn *in, u8 dst)
{
	const struct opnd *o = &in->opnd[0];

	if (o->kind == OPND_GPR) {
		trans_gpr_load(t, 8, dst, o->reg);
		return true;
	}
	if (!trans_ea(t, in))
		return false;
	em_mov_rm(&t->e, 8, dst, trans_access(t, 8, false, trans_flags_before(t),
					      in->seg == X86_SS && in->base == X86_RSP).m);
	return true;
}

static bool trans_loop(struct trans *t, const struct insn *in, s64 target)
{
	struct emitter *e = &t->e;
	u8 size = in->addrsize == 4 ? 4 : 8;
	u8 *zero;

	if (in->op == OP_LOOPE || in->op == OP_LOOPNE || in->addrsize == 2)
		return false;
	if (in->op == OP_LOOP)
		em_lea(e, size, H_R13, HMEM(H_R13, -1));
	em_mov_rr(e, size, T0, H_R13);
	zero = em_jrcxz(e);
	if (in->op == OP_LOOP) {
		branch_to_off(t, em_jmp32(e), target);
		em_here8(e, zero);
		trans_goto_off(t, t->next_off);
	} else {
		branch_to_off(t, em_jmp32(e), t->next_off);
		em_here8(e, zero);
		trans_goto_off(t, target);
	}
	return true;
}

bool trans_flow(struct trans *t, const struct insn *in)
{
	struct emitter *e = &t->e;
	s64 target = (s64)t->next_off + (s64)in->imm;

	if (in->opsize == 2)
		return false;
	switch (in->op) {
	case OP_JMP:
		trans_goto_off(t, target);
		return true;
	case OP_JCC:
		branch_to_off(t, em_jcc32(e, INSN_CC(in)), target);
		trans_goto_off(t, t->next_off);
		return true;
	case OP_LOOP: case OP_LOOPE: case OP_LOOPNE: case OP_JCXZ:
		return trans_loop(t, in, target);
	case OP_CALL:
		push_return(t);
		trans_goto_off(t, target);
		return true;
	case OP_CALL_IND:
		if (!load_target(t, in, T1))
			return false;
		em_mov_mr(e, 8, SV(scratch[0]), T1);
		push_return(t);
		em_mov_rm(e, 8, T1, SV(scratch[0]));
		trans_jump_t1(t);
		return true;
	case OP_JMP_IND:
		if (!load_target(t, in, T1))
			return false;
		trans_jump_t1(t);
		return true;
	case OP_RET: {
		struct access a;

		em_mov_rr(e, 8, T1, H_R11);
		a = trans_access(t, 8, false, trans_flags_before(t), true);
		em_mov_rm(e, 8, T1, a.m);
		em_lea(e, 8, H_R11, HMEM(H_R11, 8 + (in->imm_size ? (u16)in->imm : 0)));
		trans_jump_t1(t);
		return true;
	}
	}
	return false;
}
