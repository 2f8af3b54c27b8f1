// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Leaving a block: jumps inside the guest page are direct and patched in place (links); jumps to
 * other pages and indirect ones look the linear address up in the space's jump cache, because only
 * the page tables in force tell which code stands there.
 */
#include "trans.h"

/* T1 = guest-linear target. Clobbers T0 and T2; flags survive. */
void trans_lookup(struct emitter *e, const struct codebuf *cb)
{
	em_pext(e, T0, T1, SV(pext_jc));
	em_lea(e, 4, T0, HMEM_X(H_NONE, T0, 1, 0));
	em_mov_rm(e, 8, T2, HMEM_GS(H_NONE, T0, 3, SPACE_OFF(jc[0].code)));
	em_mov_rm(e, 8, T0, HMEM_GS(H_NONE, T0, 3, SPACE_OFF(jc[0].neg_va)));
	em_lea(e, 8, T0, HMEM_X(T0, T1, 0, e->go));
	em_patch32(e, em_unless_go(e), cb->stub_jump);
	em_jmp_reg(e, T2);
}

void trans_jump_t1(struct trans *t)
{
	trans_lookup(&t->e, &t->sv->cb);
}

/* A return to the linear address in T1: most likely that of the return stack's top. */
static void return_t1(struct trans *t)
{
	struct emitter *e = &t->e;

	if (!trans_64(t)) {
		trans_jump_t1(t);
		return;
	}
	em_mov_rm(e, 1, T2, SV(ret_top));
	em_lea(e, 8, T2, HMEM(T2, -RET_STEP));
	em_mov_mr(e, 1, SV(ret_top), T2);
	em_mov_rm(e, 8, T0, HMEM_GS(H_NONE, T2, 2, SPACE_OFF(ret[1].not_va)));
	em_mov_rm(e, 8, T2, HMEM_GS(H_NONE, T2, 2, SPACE_OFF(ret[1].code)));
	em_lea(e, 8, T0, HMEM_X(T0, T1, 0, 1 + e->go));
	em_patch32(e, em_unless_go(e), t->sv->cb.stub_lookup);
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

static struct link *add_link(struct trans *t, u8 *site, s64 off, bool alone, bool ret)
{
	struct link *l = &t->b->link[t->nr_links];
	struct cold c = { .kind = COLD_LINK, .insn = t->i, .site = site, .arg = t->nr_links++, .off = off };

	*l = (struct link){ .site = site - t->sv->cb.rw, .from = t->b, .alone = alone, .ret = ret };
	trans_cold(t, &c);
	return l;
}

/* The jump's first target is a stub that asks for the link. */
void trans_link(struct trans *t, u8 *site, s64 off, bool alone)
{
	add_link(t, site, off, alone, false);
}

bool trans_links(const struct trans *t, s64 off)
{
	return in_page(off) && t->b->gfn2 == ~0UL && !(t->key & CODE_EDGE);
}

static bool cs_is_flat(const struct trans *t)
{
	return t->key & (CODE_64 | CODE_CSFLAT);
}

/* T1: from an offset in CS to a linear address, if it is inside CS. Clobbers T0; flags survive. */
static void code_segment(struct trans *t, s32 from)
{
	struct cold c = { .kind = COLD_EXIT, .insn = t->i, .info = SX_EMULATE, .off = from };
	struct emitter *e = &t->e;

	if (cs_is_flat(t))
		return;
	/* negative, its upper half -1, if the offset is below the end */
	em_mov_rm(e, 8, T0, SV(neg_rip_end));
	em_lea(e, 8, T0, HMEM_X(T0, T1, 0, 0));
	em_rorx(e, 8, T0, T0, 32);
	em_lea(e, 4, T0, HMEM(T0, 1 + e->go));
	c.site = em_unless_go(e);
	trans_cold(t, &c);
	em_mov_rm(e, 8, T0, VIEW(X86_CS, base));
	em_lea(e, 4, T1, HMEM_X(T1, T0, 0, 0));
}

/* T1 = the offset in CS of page start + off. Clobbers T0. */
static void code_offset(struct trans *t, s64 off)
{
	trans_page_off(t, T1, off);
	if (cs_is_flat(t))
		return;
	em_mov_rm(&t->e, 8, T0, VIEW(X86_CS, neg_base));
	em_lea(&t->e, 4, T1, HMEM_X(T1, T0, 0, 0));
}

/* T1 = linear address of page start + off as a jump's target. */
static void far_target(struct trans *t, s64 off, u8 opsize, s32 from)
{
	code_offset(t, off);
	if (opsize == 2)
		em_zx_rr(&t->e, 2, T1, T1);
	code_segment(t, from);
}

/*
 * A direct jump to another page. The page that it was linked to is at the right place if space.code_at[] says so, and then
 * this is a jump to the block's entry for backward jumps, which looks at the kick flag. T1 = linear page.
 */
static void goto_page(struct trans *t, s64 off)
{
	struct emitter *e = &t->e;
	s64 page = off & (s64)HV_PAGE_MASK;
	u8 *load, *slow, *site;
	struct link *l;

	trans_page_off(t, T1, page);
	em_mov_rm(e, 8, T0, SPACE_MEM(code_nowhere));
	load = e->p - sizeof(u32);
	em_lea(e, 8, T0, HMEM_X(T0, T1, 0, e->go - 1));
	slow = em_unless_go(e);
	em_mov_mr(e, 8, SV(page_va), T1);
	site = em_jmp32(e);
	l = add_link(t, slow, off, false, false);
	l->site = site - t->sv->cb.rw;
	l->load = site - load;
	l->slow = site - slow;
}

void trans_goto_far(struct trans *t, s64 off, u8 opsize, s32 from)
{
	if (trans_64(t) && (s32)off == off) {
		goto_page(t, off);
		return;
	}
	far_target(t, off, opsize, from);
	trans_jump_t1(t);
}

void trans_goto_off(struct trans *t, s64 off, u8 opsize)
{
	if (trans_links(t, off))
		trans_link(t, em_jmp32(&t->e), off, false);
	else
		trans_goto_far(t, off, opsize, opsize ? t->off : off);
}

/* The conditional jump whose displacement is at site leads to page start + off. */
static void branch_to_off(struct trans *t, u8 *site, s64 off, u8 opsize)
{
	if (trans_links(t, off)) {
		trans_link(t, site, off, false);
	} else {
		struct cold c = { .kind = COLD_JUMP_OFF, .insn = t->i, .site = site, .off = off, .arg = opsize,
				  .from = opsize ? t->off : off };

		trans_cold(t, &c);
	}
}

/* Host register reg is what a call pushed: onto the return stack with it. Clobbers T0, T1 and T2. */
static void remember_return(struct trans *t, u8 reg)
{
	struct emitter *e = &t->e;
	u8 *disp;

	if (reg != T2)
		em_mov_rr(e, 8, T2, reg);
	em_u8(e, 0xb8 + H_RCX);		/* see emit_call_stub() */
	disp = e->p;
	em_u32(e, 0);
	em_patch32(e, em_call32(e), t->sv->cb.stub_call);
	if (trans_links(t, t->next_off))
		add_link(t, disp, t->next_off, false, true);
	else
		em_patch32(e, disp, t->sv->cb.stub_lookup);
}

static void push_return(struct trans *t, u8 opsize)
{
	struct access a;

	if (!trans_64(t)) {
		code_offset(t, t->next_off);
		em_mov_mr(&t->e, 8, SV(scratch[3]), T1);
		trans_push_value(t, opsize, H_NONE);
		return;
	}
	a = trans_sp_access(t, -8, 8, true);
	trans_page_off(t, a.free, t->next_off);
	em_mov_mr(&t->e, 8, a.m, a.free);
	trans_sp_add(t, -8);
	remember_return(t, a.free);
}

/* Linear target of an indirect jump or call into T1. */
static bool load_target(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[0];
	struct access a;

	if (o->kind == OPND_GPR) {
		if (in->opsize == 2)
			em_zx_rr(&t->e, 2, T1, trans_home[o->reg]);
		else
			trans_gpr_load(t, in->opsize, T1, o->reg);
	} else {
		if (!trans_operand(t, in, in->opsize, false, &a))
			return false;
		em_mov_rm(&t->e, in->opsize, T1, a.m);
	}
	code_segment(t, t->off);
	return true;
}

static bool trans_loop(struct trans *t, const struct insn *in, s64 target)
{
	struct emitter *e = &t->e;
	u8 size = in->addrsize;
	u8 *zero, *other = NULL;

	if (in->op == OP_JCXZ) {
		if (size == 2)
			em_zx_rr(e, 2, T0, H_R13);
		else
			em_mov_rr(e, size, T0, H_R13);
		zero = em_jrcxz(e);
		branch_to_off(t, em_jmp32(e), t->next_off, 0);
		em_here8(e, zero);
		trans_goto_off(t, target, in->opsize);
		return true;
	}
	/* the count must not change before a target outside CS is noticed */
	if (!cs_is_flat(t) && !trans_links(t, target))
		return false;
	if (size == 2) {
		em_lea(e, 4, T0, HMEM(H_R13, -1));
		em_mov_rr(e, 2, H_R13, T0);
		em_zx_rr(e, 2, T0, T0);
	} else {
		em_lea(e, size, H_R13, HMEM(H_R13, -1));
		em_mov_rr(e, size, T0, H_R13);
	}
	zero = em_jrcxz(e);
	if (in->op != OP_LOOP)
		other = em_jcc8(e, in->op == OP_LOOPE ? 5 : 4);
	branch_to_off(t, em_jmp32(e), target, in->opsize);
	em_here8(e, zero);
	if (other)
		em_here8(e, other);
	trans_goto_off(t, t->next_off, 0);
	return true;
}

static void trans_call(struct trans *t, const struct insn *in, s64 target)
{
	if (cs_is_flat(t) || trans_links(t, target)) {
		push_return(t, in->opsize);
		trans_goto_off(t, target, in->opsize);
		return;
	}
	/* the target is checked before anything is pushed */
	far_target(t, target, in->opsize, t->off);
	em_mov_mr(&t->e, 8, SV(scratch[0]), T1);
	push_return(t, in->opsize);
	em_mov_rm(&t->e, 8, T1, SV(scratch[0]));
	trans_jump_t1(t);
}

static void trans_ret(struct trans *t, const struct insn *in)
{
	struct access a;

	a = trans_sp_access(t, 0, in->opsize, false);
	em_mov_rm(&t->e, in->opsize, T1, a.m);
	code_segment(t, t->off);
	trans_sp_add(t, in->opsize + (in->imm_size ? (u16)in->imm : 0));
	return_t1(t);
}

/*
 * A jump to a return thunk (../thunk.c). If the space does not say so any more, or the stack is not in its page of the
 * soft TLB, it is a jump like others, and nothing has changed. No flag changes.
 */
static bool trans_thunk(struct trans *t, s64 off)
{
	struct cold c = { .kind = COLD_JUMP_OFF, .insn = t->i, .off = off, .arg = 8, .from = t->off };
	struct emitter *e = &t->e;
	struct hmem mask = SV(pext_page[3]);
	const u8 *miss;

	if (!soft_thunk_known(t->sv, t->page_va + off))
		return false;
	trans_page_off(t, T1, off);
	em_mov_rm(e, 8, T0, SPACE_MEM(thunk_neg));
	em_lea(e, 8, T0, HMEM_X(T0, T1, 0, e->go));
	c.site = em_unless_go(e);
	miss = c.site - 1 + e->rx_delta;
	trans_cold(t, &c);
	/* what the thunk pushes, and above it the return address: both aligned, and in the page that may be written */
	em_mov_rm(e, 8, T2, SPACE_MEM(stk_neg));
	em_lea(e, 8, T0, HMEM_X(T2, H_R11, 0, -8));
	em_lea(e, 8, T2, HMEM_X(T2, H_R11, 0, 0));
	em_pext(e, T0, T0, mask);
	em_pext(e, T2, T2, mask);
	em_lea(e, 8, T0, HMEM_X(T0, T2, 0, e->go));
	em_patch32(e, em_unless_go(e), miss);
	em_mov_rm(e, 8, T2, SPACE_MEM(stk_addend));
	em_lea(e, 8, T0, HMEM(T1, THUNK_CALL_LEN));
	em_mov_mr(e, 8, HMEM_X(T2, H_R11, 0, -8), T0);
	em_mov_rm(e, 8, T1, HMEM_X(T2, H_R11, 0, 0));
	trans_sp_add(t, 8);
	return_t1(t);
	return true;
}

bool trans_side_exit(struct trans *t, const struct insn *in)
{
	if (in->opsize == 2 && t->mode != INSN_MODE_16)
		return false;
	branch_to_off(t, em_jcc32(&t->e, INSN_CC(in)), (s64)t->next_off + (s64)in->imm, in->opsize);
	return true;
}

bool trans_flow(struct trans *t, const struct insn *in)
{
	struct emitter *e = &t->e;
	s64 target = (s64)t->next_off + (s64)in->imm;

	/* in 32-bit code the target would have 16 bits */
	if (in->opsize == 2 && t->mode != INSN_MODE_16)
		return false;
	switch (in->op) {
	case OP_JMP:
		if (!(t->key & CODE_CPL0) || !trans_64(t) || trans_links(t, target) || !trans_thunk(t, target))
			trans_goto_off(t, target, in->opsize);
		return true;
	case OP_JCC:
		branch_to_off(t, em_jcc32(e, INSN_CC(in)), target, in->opsize);
		trans_goto_off(t, t->next_off, 0);
		return true;
	case OP_LOOP: case OP_LOOPE: case OP_LOOPNE: case OP_JCXZ:
		return trans_loop(t, in, target);
	case OP_CALL:
		trans_call(t, in, target);
		return true;
	case OP_CALL_IND:
		if (!load_target(t, in))
			return false;
		em_mov_mr(e, 8, SV(scratch[0]), T1);
		push_return(t, in->opsize);
		em_mov_rm(e, 8, T1, SV(scratch[0]));
		trans_jump_t1(t);
		return true;
	case OP_JMP_IND:
		if (!load_target(t, in))
			return false;
		trans_jump_t1(t);
		return true;
	case OP_RET:
		trans_ret(t, in);
		return true;
	}
	return false;
}
