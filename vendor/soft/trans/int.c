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

		if (reemit_vzero(e, in))
			return;
		if (!opc && (trans_64(t) || in->enc == ENC_VEX)) {
			/* only implied registers, all at home */
			reemit_bytes(e, in, 0);
			return;
		}
		if (opc && !trans_64(t) && !op.map && (op.opcode & 0xf0) == 0x40) {
			/* INC and DEC, whose opcodes are REX prefixes now */
			op.opcode = 0xff;
			em_op_rr(e, &op, (in->opcode >> 3) & 1, b);
			return;
		}
		for (n = 0; n < ARRAY_SIZE(op.prefix) && op.prefix[n]; n++)
			em_u8(e, op.prefix[n]);
		if (op.w || b >= 8 || force_rex)
			em_u8(e, 0x40 | op.w << 3 | b >> 3);
		if (op.map)
			em_u8(e, 0x0f);
		em_u8(e, opc ? (op.opcode & ~7) | (b & 7) : op.opcode);
	}
	reemit_imm(e, in);
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

/* One of AH, CH, DH, BH and a memory operand. No REX prefix may appear beside the register. */
static bool high8_mem(struct trans *t, const struct insn *in, const struct opnd *o)
{
	struct emitter *e = &t->e;
	struct gslot reg = { .o = o, .host = 4 + o->reg };
	struct access a;

	if (!in->mem_size || !trans_operand(t, in, in->mem_size, in->mem_access & OPND_W, &a))
		return false;
	if (!(o->access & OPND_W)) {
		/* only its value is needed */
		em_rorx(e, 4, a.free, trans_home[o->reg], 8);
		reg.host = a.free;
		reemit(t, in, &reg, NULL, NULL, NULL, &a.m, true);
		return true;
	}
	if (in->mem_access & OPND_W)
		return false;
	if (o->reg != X86_RCX) {
		em_lea(e, 8, T0, a.m);
		reemit(t, in, &reg, NULL, NULL, NULL, &HMEM(T0, 0), false);
		return true;
	}
	/* guest RCX has to come to host RCX, so the other operand goes to DL */
	em_mov_rm(e, 1, T2, a.m);
	em_op_rr(e, &(struct hop){ .opcode = 0x87, .w = true }, H_RDX, T2);
	em_mov_rr(e, 8, H_RCX, H_R13);
	reemit(t, in, &reg, &(struct gslot){ .host = H_RDX }, NULL, NULL, NULL, false);
	em_mov_rr(e, 8, H_R13, H_RCX);
	em_op_rr(e, &(struct hop){ .opcode = 0x87, .w = true }, H_RDX, T2);
	return true;
}

/*
 * AH, CH, DH, BH: no REX prefix may appear, so every register must be one of the low eight and
 * guest RCX (which lives in R13) moves to host RCX meanwhile.
 */
static bool generic_high8(struct trans *t, const struct insn *in)
{
	struct gslot slot[2] = { { 0 } };
	const struct gslot *reg = NULL, *rm = NULL, *opc = NULL;
	bool use_rcx = has_implicit(in, X86_RCX), store_rcx = false;

	if (in->enc == ENC_VEX)
		return false;
	for (unsigned int i = 0, n = 0; i < in->nr_opnd; i++) {
		const struct opnd *o = &in->opnd[i];
		struct gslot *s;

		if (o->kind != OPND_GPR || implied(o))
			continue;
		if (in->has_mem)
			return !use_rcx && o->field == FIELD_REG && high8_mem(t, in, o);
		if (n == 2)
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
		switch (o->field) {
		case FIELD_REG: reg = s; break;
		case FIELD_RM: rm = s; break;
		case FIELD_OPCODE: opc = s; break;
		default: return false;
		}
	}
	if (use_rcx)
		em_mov_rr(&t->e, 8, H_RCX, H_R13);
	reemit(t, in, reg, rm, NULL, opc, NULL, false);
	if (store_rcx)
		em_mov_rr(&t->e, 8, H_R13, H_RCX);
	return true;
}

/* SSE4.2 string compares. */
bool trans_index_result(const struct insn *in)
{
	return in->op == OP_PCMPISTRI || in->op == OP_PCMPESTRI || in->op == OP_VPCMPISTRI ||
	       in->op == OP_VPCMPESTRI;
}

/*
 * Can the register in ModRM.rm as well be an operand in memory? Writes of 32 bits clear the upper half; after those of
 * fewer, a host's load of all of it waits until they have left its store queue.
 */
static bool rm_in_memory(const struct insn *in, const struct opnd *o)
{
	switch (in->op) {
	case OP_MOV: case OP_ADD: case OP_OR: case OP_ADC: case OP_SBB: case OP_AND: case OP_SUB: case OP_XOR: case OP_CMP:
	case OP_TEST: case OP_IMUL: case OP_MOVZX: case OP_MOVSX: case OP_MOVSXD: case OP_CMOVCC: case OP_SETCC: case OP_SHL:
	case OP_SHR: case OP_SAR: case OP_ROL: case OP_ROR: case OP_NEG: case OP_NOT: case OP_INC: case OP_DEC:
		return !(o->access & OPND_W) || o->size == 8;
	}
	return false;
}

/* With the operands in each other's place: another opcode with the same meaning, or 0. */
static u8 swapped_opcode(const struct insn *in)
{
	if (in->map)
		return 0;
	if (in->op == OP_TEST && (in->opcode & 0xfe) == 0x84)
		return in->opcode;
	/* the eight operations of group 1, and MOV; bit 1 is the direction */
	return (in->opcode & 0xc4) == 0 || (in->opcode & 0xfc) == 0x88 ? in->opcode ^ 2 : 0;
}

/*
 * A register without a home is in memory, and an instruction on registers may have one operand there: no move to a scratch
 * register and back. If so, *rm is that operand; *in may become another encoding, in *other.
 */
static bool use_in_place(const struct insn **in, struct insn *other, const struct gslot **reg, const struct gslot **rm)
{
	const struct insn *i = *in;
	const struct gslot *s = *reg;

	if (i->family != FAM_INT || i->has_mem || !i->has_modrm || !*rm || (*rm)->same || (s && s->same))
		return false;
	if ((*rm)->spill)
		return rm_in_memory(i, (*rm)->o);
	if (!s || !s->spill || !swapped_opcode(i) || !rm_in_memory(i, s->o))
		return false;
	*other = *i;
	other->opcode = swapped_opcode(i);
	*in = other;
	*reg = *rm;
	*rm = s;
	return true;
}

bool trans_generic(struct trans *t, const struct insn *in)
{
	struct emitter *e = &t->e;
	struct gslot slot[3] = { { 0 } };
	const struct gslot *in_place = NULL;
	struct insn other;
	const struct gslot *reg = NULL, *rm = NULL, *vvvv = NULL, *opc = NULL;
	bool force_rex = false, cl = has_implicit(in, X86_RCX) || trans_index_result(in);
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
	if (use_in_place(&in, &other, &reg, &rm)) {
		in_place = rm;
		nspill--;
	}
	if (!trans_64(t) && (in->op == OP_FLDENV || in->op == OP_FRSTOR))
		return false;	/* the image depends on the mode */
	if (in->op == OP_FNSTENV || in->op == OP_FNSAVE)
		return false;	/* and so it does here; soft_vector() also keeps host addresses out of it */
	if (in->has_mem) {
		/* a pending x87 exception comes before a fault of the address */
		if (insn_waits_for_x87(in))
			em_u8(e, 0x9b);
		if (!in->mem_size || !trans_operand(t, in, in->mem_size, in->mem_access & OPND_W, &a))
			return false;
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
		if (!slot[i].spill || &slot[i] == in_place)
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
	reemit(t, in, reg, rm, vvvv, opc, in->has_mem ? &a.m : in_place ? &GPR_MEM(in_place->o->reg) : NULL, force_rex);
	for (unsigned int i = 0; i < n; i++)
		if (slot[i].spill && &slot[i] != in_place && (slot[i].o->access & OPND_W))
			em_mov_mr(e, 8, GPR_MEM(slot[i].o->reg), slot[i].host);
	if (trans_index_result(in))
		em_mov_rr(e, 4, H_R13, H_RCX);
	return true;
}

/* BT family with a register bit offset into memory: the offset moves the address. SDM 2A, BT. */
static bool trans_bt_mem(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[1];
	struct hop op = { .map = 1, .opcode = in->opcode, .w = in->opsize == 8 };
	struct access a;

	if (in->opsize < 4 || o->kind != OPND_GPR || !trans_ea(t, in))
		return false;
	trans_gpr_load(t, 8, T2, o->reg);
	if (in->opsize == 4)
		em_op_rr(&t->e, &(struct hop){ .opcode = 0x63, .w = true }, T2, T2);	/* movsxd */
	/* sarx: no flags */
	em_mov_ri(&t->e, T0, in->opsize == 8 ? 6 : 5);
	em_op_rr(&t->e, &(struct hop){ .vex = true, .map = 2, .pp = 2, .w = true, .opcode = 0xf7, .vvvv = T0 }, T2, T2);
	em_lea(&t->e, in->addrsize == 8 ? 8 : 4, T1, HMEM_X(T1, T2, in->opsize == 8 ? 3 : 2, 0));
	if (in->addrsize == 2)
		em_zx_rr(&t->e, 2, T1, T1);
	a = trans_access(t, in->seg, in->opsize, in->op != OP_BT, trans_flags_before(t), false);
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
	em_pext(&t->e, a.free, a.free, SV(bit_mask[in->opsize == 8]));
	op.prefix[0] = 0xf0;
	em_op_rm(&t->e, &op, a.free, &a.m);
	return true;
}

static bool trans_cmpxchg16b(struct trans *t, const struct insn *in)
{
	struct access a;

	if (!trans_ea(t, in))
		return false;
	a = trans_access(t, in->seg, in->op == OP_CMPXCHG16B ? 16 : 8, true,
			 trans_flags_before(t), false);
	em_lea(&t->e, 8, T2, a.m);
	em_mov_rr(&t->e, 8, H_RCX, H_R13);
	reemit(t, in, NULL, NULL, NULL, NULL, &HMEM(T2, 0), false);
	return true;
}

static bool trans_lea(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[0];
	u8 h = trans_home[o->reg];
	struct insn flat = *in;

	if (in->opsize == 2 && h == H_NONE)
		return false;
	if (trans_64(t) && in->opsize >= 4 && in->addrsize == 8 && in->base < X86_NR_GPR) {
		u8 base, index;

		trans_base_index(t, in, &base, &index);
		em_lea(&t->e, in->opsize, h == H_NONE ? T1 : h, HMEM_X(base, index, in->scale, (s32)in->disp));
		if (h == H_NONE)
			em_mov_mr(&t->e, 8, GPR_MEM(o->reg), T1);
		return true;
	}
	flat.seg = X86_DS;	/* no segment base in LEA */
	if (!trans_ea(t, &flat))
		return false;
	if (h == H_NONE) {
		if (in->opsize == 4)
			em_mov_rr(&t->e, 4, T1, T1);
		em_mov_mr(&t->e, 8, GPR_MEM(o->reg), T1);
	} else {
		em_mov_rr(&t->e, in->opsize, h, T1);
	}
	return true;
}

/* MOV between rAX and an address in the instruction. */
static bool trans_moffs(struct trans *t, const struct insn *in)
{
	struct hop op = { .prefix[0] = in->opsize == 2 ? 0x66 : 0, .w = in->opsize == 8 };
	bool store = in->mem_access & OPND_W;
	struct access a;

	if (in->op != OP_MOV || !trans_ea(t, in))
		return false;
	a = trans_access(t, in->seg, in->mem_size, store, trans_flags_before(t), false);
	op.opcode = (store ? 0x88 : 0x8a) + (in->opsize != 1);
	em_op_rm(&t->e, &op, H_RAX, &a.m);
	return true;
}

static bool trans_xlat(struct trans *t, const struct insn *in)
{
	struct access a;

	if (trans_64(t) && in->seg >= X86_FS)
		return false;
	em_zx_rr(&t->e, 1, T2, H_RAX);
	em_lea(&t->e, in->addrsize == 8 ? 8 : 4, T1, HMEM_X(H_RBX, T2, 0, 0));
	if (in->addrsize == 2)
		em_zx_rr(&t->e, 2, T1, T1);
	a = trans_access(t, in->seg, 1, false, trans_flags_before(t), false);
	em_op_rm(&t->e, &(struct hop){ .opcode = 0x8a }, H_RAX, &a.m);
	return true;
}

/* RFLAGS.DF, which is in memory. */
static void trans_direction(struct trans *t, bool set)
{
	struct emitter *e = &t->e;

	em_mov_rm(e, 8, T1, SV(st.rflags));
	em_pext(e, T1, T1, SV(clear_df));
	em_pdep(e, T1, T1, SV(clear_df));
	if (set)
		em_lea(e, 8, T1, HMEM(T1, X86_FLAG_DF));
	em_mov_mr(e, 4, SV(st.rflags), T1);
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
	case OP_LEA:
		return trans_lea(t, in);
	case OP_PUSH: case OP_POP: case OP_LEAVE: case OP_PUSHA: case OP_POPA:
		return trans_stack(t, in);
	case OP_CLD: case OP_STD:
		trans_direction(t, in->op == OP_STD);
		return true;
	case OP_XLAT:
		return trans_xlat(t, in);
	case OP_BT: case OP_BTS: case OP_BTR: case OP_BTC:
		if (in->has_mem && in->opnd[1].kind == OPND_GPR)
			return trans_bt_mem(t, in);
		return trans_generic(t, in);
	case OP_CMPXCHG8B: case OP_CMPXCHG16B:
		return trans_cmpxchg16b(t, in);
	case OP_ENTER: case OP_AAA: case OP_AAS: case OP_AAM: case OP_AAD: case OP_DAA: case OP_DAS: case OP_SALC:
		return false;
	default:
		if (in->has_mem && !in->has_modrm)
			return trans_moffs(t, in);
		return trans_generic(t, in);
	}
}
