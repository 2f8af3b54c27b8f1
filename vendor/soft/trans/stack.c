// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * PUSH, POP and their like. The stack pointer has the width that CS.L or SS.B say, and nothing of the guest changes
 * before the last access that can fault.
 */
#include "trans.h"

static u8 sp_size(const struct trans *t)
{
	return trans_64(t) ? 8 : t->key & CODE_SS32 ? 4 : 2;
}

void trans_sp_ea(struct trans *t, s32 delta)
{
	u8 size = sp_size(t);

	if (size == 2) {
		em_lea(&t->e, 4, T1, HMEM(H_R11, delta));
		em_zx_rr(&t->e, 2, T1, T1);
	} else if (delta) {
		em_lea(&t->e, size, T1, HMEM(H_R11, delta));
	} else {
		em_mov_rr(&t->e, size, T1, H_R11);
	}
}

void trans_sp_add(struct trans *t, s32 delta)
{
	u8 size = sp_size(t);

	if (size == 2) {
		em_lea(&t->e, 4, T0, HMEM(H_R11, delta));
		em_mov_rr(&t->e, 2, H_R11, T0);
	} else {
		em_lea(&t->e, size, H_R11, HMEM(H_R11, delta));
	}
}

struct access trans_sp_access(struct trans *t, s32 delta, u32 len, bool write)
{
	if (trans_grouped(t, true))
		return trans_group_access(t, X86_RSP, INSN_BASE_NONE, 0, delta, true);
	trans_sp_ea(t, delta);
	return trans_access(t, X86_SS, len, write, trans_flags_before(t), true);
}

/* Where size bytes will be pushed. */
static struct access push_access(struct trans *t, u8 size)
{
	return trans_sp_access(t, -(s32)size, size, true);
}

void trans_push_value(struct trans *t, u8 size, u8 src)
{
	struct access a = push_access(t, size);

	if (src == H_NONE) {
		src = a.free;
		em_mov_rm(&t->e, 8, src, SV(scratch[3]));
	}
	em_mov_mr(&t->e, size, a.m, src);
	trans_sp_add(t, -(s32)size);
}

static bool trans_push(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[0];
	u8 size = in->opsize;
	struct access a;

	if (o->kind == OPND_IMM) {
		a = push_access(t, size);
		em_mov_mi(&t->e, size, a.m, (s32)in->imm);
		trans_sp_add(t, -(s32)size);
		return true;
	}
	if (o->kind == OPND_GPR) {
		u8 h = trans_home[o->reg];

		if (h != H_NONE) {
			trans_push_value(t, size, h);
			return true;
		}
		a = push_access(t, size);
		em_mov_rm(&t->e, 8, a.free, GPR_MEM(o->reg));
		em_mov_mr(&t->e, size, a.m, a.free);
		trans_sp_add(t, -(s32)size);
		return true;
	}
	if (!trans_operand(t, in, size, false, &a))
		return false;
	em_mov_rm(&t->e, size, a.free, a.m);
	em_mov_mr(&t->e, 8, SV(scratch[3]), a.free);
	trans_push_value(t, size, H_NONE);
	return true;
}

bool trans_push_sreg(struct trans *t, const struct insn *in)
{
	struct access a;

	if (trans_64(t) && in->opsize != 8)
		return false;
	a = push_access(t, in->opsize);
	em_mov_rm(&t->e, 2, a.free, SEG_MEM(in->opnd[0].reg, sel));
	em_mov_mr(&t->e, in->opsize, a.m, a.free);
	trans_sp_add(t, -(s32)in->opsize);
	return true;
}

static bool trans_pop(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[0];
	u8 size = in->opsize, h;
	struct access a;

	if (o->kind != OPND_GPR || (o->reg == X86_RSP && size != sp_size(t)))
		return false;
	a = trans_sp_access(t, 0, size, false);
	h = trans_home[o->reg];
	if (h == H_NONE || size == 2) {
		em_mov_rm(&t->e, size, a.free, a.m);
		if (h == H_NONE)
			em_mov_mr(&t->e, size, GPR_MEM(o->reg), a.free);
		else
			em_mov_rr(&t->e, 2, h, a.free);
	} else {
		em_mov_rm(&t->e, size, h, a.m);
	}
	if (o->reg != X86_RSP)
		trans_sp_add(t, size);
	return true;
}

static void trans_leave(struct trans *t, const struct insn *in)
{
	struct emitter *e = &t->e;
	u8 size = sp_size(t);
	struct access a;

	if (trans_grouped(t, true)) {
		a = trans_group_access(t, X86_RBP, INSN_BASE_NONE, 0, 0, true);
	} else {
		if (size == 2)
			em_zx_rr(e, 2, T1, H_RBP);
		else
			em_mov_rr(e, size, T1, H_RBP);
		a = trans_access(t, X86_SS, in->opsize, false, trans_flags_before(t), true);
	}
	/* nothing may change before the load, which can fault */
	em_mov_rm(e, in->opsize, a.free, a.m);
	if (size == 2) {
		em_lea(e, 4, T1, HMEM(H_RBP, in->opsize));
		em_mov_rr(e, 2, H_R11, T1);
	} else {
		em_lea(e, size, H_R11, HMEM(H_RBP, in->opsize));
	}
	em_mov_rr(e, in->opsize, H_RBP, a.free);
}

/* PUSHA and POPA: the eight registers from rDI, the lowest, to rAX. */
static void trans_all(struct trans *t, u8 size, bool push)
{
	struct emitter *e = &t->e;
	struct access a;

	trans_sp_ea(t, push ? -8 * (s32)size : 0);
	a = trans_access(t, X86_SS, 8 * size, push, trans_flags_before(t), true);
	for (u8 reg = X86_RDI + 1; reg-- > 0; a.m.disp += size) {
		if (push) {
			em_mov_mr(e, size, a.m, trans_home[reg]);
		} else if (reg == X86_RSP) {
			continue;
		} else if (size == 2) {
			em_mov_rm(e, 2, a.free, a.m);
			em_mov_rr(e, 2, trans_home[reg], a.free);
		} else {
			em_mov_rm(e, size, trans_home[reg], a.m);
		}
	}
	trans_sp_add(t, push ? -8 * (s32)size : 8 * size);
}

bool trans_is_stack(const struct insn *in)
{
	return in->op == OP_PUSH || in->op == OP_POP || in->op == OP_LEAVE || in->op == OP_PUSHA || in->op == OP_POPA;
}

bool trans_stack(struct trans *t, const struct insn *in)
{
	if (trans_64(t) && in->opsize != 8)
		return false;
	switch (in->op) {
	case OP_PUSH:
		return trans_push(t, in);
	case OP_POP:
		return trans_pop(t, in);
	case OP_LEAVE:
		trans_leave(t, in);
		return true;
	case OP_PUSHA: case OP_POPA:
		trans_all(t, in->opsize, in->op == OP_PUSHA);
		return true;
	}
	return false;
}
