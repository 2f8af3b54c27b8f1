// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Instructions that are re-emitted as themselves, with registers renamed and the memory operand
 * replaced: nearly all integer, and all vector and x87 ones. What does not fit is left to the
 * emulator (return false).
 */
#include "../reemit.h"
#include "trans.h"

/* One general-register operand in an encoded field, and what stands for it. */
struct gslot {
	const struct opnd *o;
	u8 host;
	bool spill;		/* lives in memory: load before, store after */
	struct gslot *same;	/* an earlier slot with the same register: one temporary for both */
};

static bool writes_all(const struct insn *in, const struct opnd *o)
{
	if (o->access & OPND_R)
		return false;
	return o->size >= 4 &&
	       (in->op == OP_MOV || in->op == OP_LEA || in->op == OP_MOVZX || in->op == OP_MOVSX ||
		in->op == OP_MOVSXD || in->family == FAM_SSE || in->family == FAM_AVX);
}

/* An access that most likely hits the stack's page: it has a TLB entry of its own. */
static bool on_stack(const struct insn *in)
{
	return in->seg == X86_SS && in->base == X86_RSP && in->index == INSN_BASE_NONE;
}

/* Emit the instruction with its fields replaced. */
static void reemit(struct trans *t, const struct insn *in, const struct gslot *reg,
		   const struct gslot *rm, const struct gslot *vvvv, const struct gslot *opc,
		   const struct hmem *mem, bool force_rex)
{
	struct emitter *e = &t->e;
	struct hop op = reemit_hop(in, vvvv ? vvvv->host : in->vvvv, force_rex);
	unsigned int n;

	if (in->has_modrm) {
		u8 r = reg ? reg->host : reemit_reg(in);

		if (mem)
			em_op_rm(e, &op, r, mem);
		else
			em_op_rr(e, &op, r, rm ? rm->host : reemit_rm(in));
	} else {
		u8 b = opc ? opc->host : 0;

		if (!opc) {
			/* only implied registers, all at home */
			reemit_bytes(e, in, 0);
			return;
		}
		for (n = 0; n < ARRAY_SIZE(op.prefix) && op.prefix[n]; n++)
			em_u8(e, op.prefix[n]);
		if (op.w || b >= 8 || force_rex)
			em_u8(e, 0x40 | op.w << 3 | b >> 3);
		if (op.map)
			em_u8(e, 0x0f);
		em_u8(e, (op.opcode & ~7) | (b & 7));
	}
	if (in->imm_size)
		reemit_bytes(e, in, in->imm_off);
}

static bool implied(const struct opnd *o)
{
	return o->implicit || o->field == FIELD_NONE;
}

static bool has_implicit(const struct insn *in, u8 reg)
{
	for (unsigned int i = 0; i < in->nr_opnd; i++)
		if (in->opnd[i].kind == OPND_GPR && implied(&in->opnd[i]) && in->opnd[i].reg == reg)
			return true;
	return false;
}

/*
 * AH, CH, DH, BH: no REX prefix may appear, so every register must be one of the low eight and
 * guest RCX (which lives in R13) moves to host RCX meanwhile.
 */
static bool generic_high8(struct trans *t, const struct insn *in)
{
	struct gslot slot[2] = { { 0 } };
	const struct gslot *reg = NULL, *rm = NULL;
	struct hmem mem;
	bool use_rcx = has_implicit(in, X86_RCX), store_rcx = false;

	if (in->enc == ENC_VEX || !in->has_modrm)
		return false;
	for (unsigned int i = 0, n = 0; i < in->nr_opnd; i++) {
		const struct opnd *o = &in->opnd[i];
		struct gslot *s;

		if (o->kind != OPND_GPR || implied(o))
			continue;
		if (n == 2 || (o->field != FIELD_REG && o->field != FIELD_RM))
			return false;
		s = &slot[n++];
		s->o = o;
		/* encoded number: AH is 4 .. */
		if (o->reg == X86_RCX) {
			use_rcx = true;
			store_rcx |= o->access & OPND_W;
			s->host = o->high8 ? 4 + H_RCX : H_RCX;
		} else if (o->high8) {
			s->host = 4 + o->reg;
		} else {
			s->host = trans_home[o->reg];
			if (s->host >= 8 || (o->size == 1 && s->host >= 4))
				return false;
		}
		if (o->field == FIELD_REG)
			reg = s;
		else
			rm = s;
	}
	if (in->has_mem) {
		struct access a;

		if (use_rcx || !in->mem_size || !trans_ea(t, in))
			return false;
		a = trans_access(t, in->mem_size, in->mem_access & OPND_W, trans_flags_before(t),
				 false);
		em_lea(&t->e, 8, T0, a.m);
		mem = HMEM(T0, 0);
	}
	if (use_rcx)
		em_mov_rr(&t->e, 8, H_RCX, H_R13);
	reemit(t, in, reg, rm, NULL, NULL, in->has_mem ? &mem : NULL, false);
	if (store_rcx)
		em_mov_rr(&t->e, 8, H_R13, H_RCX);
	return true;
}

static bool waits_for_x87(const struct insn *in)
{
	if (in->family == FAM_X87)
		return in->op != OP_FNSTCW && in->op != OP_FNSTSW && in->op != OP_FNSTENV &&
		       in->op != OP_FNSAVE;
	for (unsigned int i = 0; i < in->nr_opnd; i++)
		if (in->opnd[i].kind == OPND_MMX)
			return true;
	return false;
}

/* SSE4.2 string compares that leave an index in ECX. */
static bool index_result(const struct insn *in)
{
	return in->op == OP_PCMPISTRI || in->op == OP_PCMPESTRI || in->op == OP_VPCMPISTRI ||
	       in->op == OP_VPCMPESTRI;
}

bool trans_generic(struct trans *t, const struct insn *in)
{
	struct emitter *e = &t->e;
	struct gslot slot[3] = { { 0 } };
	const struct gslot *reg = NULL, *rm = NULL, *vvvv = NULL, *opc = NULL;
	bool force_rex = false, cl = has_implicit(in, X86_RCX) || index_result(in);
	unsigned int n = 0, nspill = 0;
	struct access a;
	u8 temps[3], ntemps = 0;

	for (unsigned int i = 0; i < in->nr_opnd; i++) {
		const struct opnd *o = &in->opnd[i];

		if (o->kind == OPND_GPR && o->high8)
			return generic_high8(t, in);
	}
	for (unsigned int i = 0; i < in->nr_opnd; i++) {
		const struct opnd *o = &in->opnd[i];
		struct gslot *s;

		if (o->kind == OPND_SREG || o->kind == OPND_CR || o->kind == OPND_DR)
			return false;
		if (o->kind != OPND_GPR)
			continue;
		if (implied(o)) {
			if (o->reg != X86_RAX && o->reg != X86_RDX && o->reg != X86_RCX)
				return false;
			continue;
		}
		if (n == 3 || o->field == FIELD_IMM4)
			return false;
		s = &slot[n++];
		s->o = o;
		s->host = trans_home[o->reg];
		if (s->host == H_NONE) {
			s->spill = true;
			for (unsigned int k = 0; k + 1 < n && !s->same; k++)
				if (slot[k].o->reg == o->reg)
					s->same = &slot[k];
			nspill += !s->same;
		}
		if (o->size == 1)
			force_rex = true;
		switch (o->field) {
		case FIELD_REG: reg = s; break;
		case FIELD_RM: rm = s; break;
		case FIELD_VVVV: vvvv = s; break;
		case FIELD_OPCODE: opc = s; break;
		}
	}
	if (in->enc == ENC_VEX)
		force_rex = false;
	if (in->has_mem) {
		/* a pending x87 exception comes before a fault of the address */
		if (waits_for_x87(in))
			em_u8(e, 0x9b);
		if (!in->mem_size || !trans_ea(t, in))
			return false;
		a = trans_access(t, in->mem_size, in->mem_access & OPND_W, trans_flags_before(t),
				 on_stack(in));
		if (cl) {
			/* the count belongs in host CL: fold the address into T2 */
			em_lea(e, 8, T2, a.m);
			a.m = HMEM(T2, 0);
			if (nspill)
				temps[ntemps++] = T1;
		} else {
			temps[ntemps++] = a.free;
			if (nspill > 1) {
				u8 keep = a.free == T0 ? T2 : T0;

				em_lea(e, 8, keep, a.m);
				a.m = HMEM(keep, 0);
				temps[ntemps++] = T1;
			}
		}
	} else {
		temps[ntemps++] = T1;
		temps[ntemps++] = T2;
		if (!cl)
			temps[ntemps++] = T0;
	}
	if (nspill > ntemps)
		return false;
	if (cl)
		em_mov_rr(e, 4, H_RCX, H_R13);
	for (unsigned int i = 0, k = 0; i < n; i++) {
		if (!slot[i].spill)
			continue;
		if (slot[i].same) {
			slot[i].host = slot[i].same->host;
			if (!writes_all(in, slot[i].o) && writes_all(in, slot[i].same->o))
				em_mov_rm(e, 8, slot[i].host, GPR_MEM(slot[i].o->reg));
			continue;
		}
		slot[i].host = temps[k++];
		if (!writes_all(in, slot[i].o))
			em_mov_rm(e, 8, slot[i].host, GPR_MEM(slot[i].o->reg));
	}
	reemit(t, in, reg, rm, vvvv, opc, in->has_mem ? &a.m : NULL, force_rex);
	for (unsigned int i = 0; i < n; i++)
		if (slot[i].spill && (slot[i].o->access & OPND_W))
			em_mov_mr(e, 8, GPR_MEM(slot[i].o->reg), slot[i].host);
	if (index_result(in))
		em_mov_rr(e, 4, H_R13, H_RCX);
	return true;
}

static bool push_value(struct trans *t, u8 src, bool imm, s32 value)
{
	struct access a;

	em_lea(&t->e, 8, T1, HMEM(H_R11, -8));
	a = trans_access(t, 8, true, trans_flags_before(t), true);
	if (imm) {
		em_mov_mi(&t->e, 8, a.m, value);
	} else if (src == H_NONE) {
		em_mov_rm(&t->e, 8, a.free, SV(scratch[0]));
		em_mov_mr(&t->e, 8, a.m, a.free);
	} else {
		em_mov_mr(&t->e, 8, a.m, src);
	}
	em_lea(&t->e, 8, H_R11, HMEM(H_R11, -8));
	return true;
}

static bool trans_push(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[0];
	struct access a;

	if (in->opsize != 8)
		return false;
	if (o->kind == OPND_IMM)
		return push_value(t, 0, true, (s32)in->imm);
	if (o->kind == OPND_GPR) {
		u8 h = trans_home[o->reg];

		if (h != H_NONE)
			return push_value(t, h, false, 0);
		em_lea(&t->e, 8, T1, HMEM(H_R11, -8));
		a = trans_access(t, 8, true, trans_flags_before(t), true);
		em_mov_rm(&t->e, 8, a.free, GPR_MEM(o->reg));
		em_mov_mr(&t->e, 8, a.m, a.free);
		em_lea(&t->e, 8, H_R11, HMEM(H_R11, -8));
		return true;
	}
	if (!trans_ea(t, in))
		return false;
	a = trans_access(t, 8, false, trans_flags_before(t), on_stack(in));
	em_mov_rm(&t->e, 8, a.free, a.m);
	em_mov_mr(&t->e, 8, SV(scratch[0]), a.free);
	return push_value(t, H_NONE, false, 0);
}

static bool trans_pop(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[0];
	struct access a;
	u8 h;

	if (in->opsize != 8 || o->kind != OPND_GPR)
		return false;
	em_mov_rr(&t->e, 8, T1, H_R11);
	a = trans_access(t, 8, false, trans_flags_before(t), true);
	h = trans_home[o->reg];
	if (h == H_NONE) {
		em_mov_rm(&t->e, 8, a.free, a.m);
		em_mov_mr(&t->e, 8, GPR_MEM(o->reg), a.free);
	} else {
		em_mov_rm(&t->e, 8, h, a.m);
	}
	if (o->reg != X86_RSP)
		em_lea(&t->e, 8, H_R11, HMEM(H_R11, 8));
	return true;
}

static bool trans_leave(struct trans *t, const struct insn *in)
{
	struct access a;

	if (in->opsize != 8)
		return false;
	em_mov_rr(&t->e, 8, T1, H_RBP);
	a = trans_access(t, 8, false, trans_flags_before(t), true);
	/* nothing may change before the load, which can fault */
	em_mov_rm(&t->e, 8, a.free, a.m);
	em_lea(&t->e, 8, H_R11, HMEM(H_RBP, 8));
	em_mov_rr(&t->e, 8, H_RBP, a.free);
	return true;
}

/* BT family with a register bit offset into memory: the offset moves the address. SDM 2A, BT. */
static bool trans_bt_mem(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[1];
	struct hop op = { .map = 1, .opcode = in->opcode, .w = in->opsize == 8 };
	struct access a;

	bool keep = trans_flags_before(t);

	if (in->opsize < 4 || o->kind != OPND_GPR || (keep && (in->pfx & PFX_LOCK)) ||
	    !trans_ea(t, in))
		return false;
	trans_gpr_load(t, 8, T2, o->reg);
	if (in->opsize == 4)
		em_op_rr(&t->e, &(struct hop){ .opcode = 0x63, .w = true }, T2, T2);	/* movsxd */
	/* sarx: no flags */
	em_mov_ri(&t->e, T0, in->opsize == 8 ? 6 : 5);
	em_op_rr(&t->e, &(struct hop){ .vex = true, .map = 2, .pp = 2, .w = true, .opcode = 0xf7, .vvvv = T0 }, T2, T2);
	em_lea(&t->e, in->addrsize == 4 ? 4 : 8, T1, HMEM_X(T1, T2, in->opsize == 8 ? 3 : 2, 0));
	a = trans_access(t, in->opsize, in->op != OP_BT, trans_flags_before(t), false);
	if (!(in->pfx & PFX_LOCK)) {
		/* the register form takes the bit number modulo the operand's size */
		u8 bit = trans_home[o->reg];

		if (bit == H_NONE) {
			u8 addr = a.free == T0 ? T2 : T0;

			em_lea(&t->e, 8, addr, a.m);
			a.m = HMEM(addr, 0);
			bit = T1;
			em_mov_rm(&t->e, 8, T1, GPR_MEM(o->reg));
		}
		em_mov_rm(&t->e, in->opsize, a.free, a.m);
		em_op_rr(&t->e, &op, bit, a.free);
		if (in->op != OP_BT)
			em_mov_mr(&t->e, in->opsize, a.m, a.free);
		return true;
	}
	trans_gpr_load(t, 4, a.free, o->reg);
	em_alu_ri(&t->e, 4, 4, a.free, in->opsize * 8 - 1);
	op.prefix[0] = 0xf0;
	em_op_rm(&t->e, &op, a.free, &a.m);
	return true;
}

static bool trans_cmpxchg16b(struct trans *t, const struct insn *in)
{
	struct access a;

	if (!trans_ea(t, in))
		return false;
	a = trans_access(t, in->op == OP_CMPXCHG16B ? 16 : 8, true,
			 trans_flags_before(t), false);
	em_lea(&t->e, 8, T2, a.m);
	em_mov_rr(&t->e, 8, H_RCX, H_R13);
	reemit(t, in, NULL, NULL, NULL, NULL, &HMEM(T2, 0), false);
	return true;
}

bool trans_int(struct trans *t, const struct insn *in)
{
	switch (in->op) {
	case OP_NOP: case OP_ENDBR: case OP_PREFETCHNTA: case OP_PREFETCHT0: case OP_PREFETCHT1: case OP_PREFETCHT2:
	case OP_PREFETCH: case OP_PREFETCHW:
		return true;
	case OP_PAUSE:
		em_u8(&t->e, 0xf3);
		em_u8(&t->e, 0x90);
		return true;
	case OP_LFENCE: case OP_MFENCE: case OP_SFENCE:
		em_u8(&t->e, 0x0f);
		em_u8(&t->e, 0xae);
		em_u8(&t->e, in->op == OP_LFENCE ? 0xe8 : in->op == OP_MFENCE ? 0xf0 : 0xf8);
		return true;
	case OP_CLC: case OP_STC: case OP_CMC: case OP_LAHF: case OP_SAHF:
		em_u8(&t->e, in->opcode);
		return true;
	case OP_CBW: case OP_CWD:
		if (in->opsize == 2)
			em_u8(&t->e, 0x66);
		else if (in->opsize == 8)
			em_u8(&t->e, 0x48);
		em_u8(&t->e, in->opcode);
		return true;
	case OP_LEA: {
		const struct opnd *o = &in->opnd[0];
		u8 h = trans_home[o->reg];

		if (in->opsize == 2)
			return false;
		/* no segment base in LEA */
		if (in->seg == X86_FS || in->seg == X86_GS) {
			struct insn flat = *in;

			flat.seg = X86_DS;
			if (!trans_ea(t, &flat))
				return false;
		} else if (!trans_ea(t, in)) {
			return false;
		}
		if (h == H_NONE) {
			if (in->opsize == 4)
				em_mov_rr(&t->e, 4, T1, T1);
			em_mov_mr(&t->e, 8, GPR_MEM(o->reg), T1);
		} else {
			em_mov_rr(&t->e, in->opsize, h, T1);
		}
		return true;
	}
	case OP_PUSH:
		return trans_push(t, in);
	case OP_POP:
		return trans_pop(t, in);
	case OP_LEAVE:
		return trans_leave(t, in);
	case OP_BT: case OP_BTS: case OP_BTR: case OP_BTC:
		if (in->has_mem && in->opnd[1].kind == OPND_GPR)
			return trans_bt_mem(t, in);
		return trans_generic(t, in);
	case OP_CMPXCHG8B: case OP_CMPXCHG16B:
		return trans_cmpxchg16b(t, in);
	case OP_XLAT: case OP_ENTER: case OP_PUSHA: case OP_POPA: case OP_AAA: case OP_AAS: case OP_AAM: case OP_AAD:
	case OP_DAA: case OP_DAS: case OP_SALC: case OP_CLD: case OP_STD:
		return false;
	default:
		if (in->has_mem && !in->has_modrm)
			return false;		/* moffs */
		return trans_generic(t, in);
	}
}
