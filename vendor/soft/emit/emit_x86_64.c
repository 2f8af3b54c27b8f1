// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Encoder for x86-64 host code. SDM 2A chapter 2. */
#include "emit.h"

void em_u32(struct emitter *e, u32 v)
{
	if (unlikely(e->end - e->p < 4)) {
		e->overflow = true;
		return;
	}
	__builtin_memcpy(e->p, &v, 4);
	e->p += 4;
}

void em_u64(struct emitter *e, u64 v)
{
	em_u32(e, (u32)v);
	em_u32(e, (u32)(v >> 32));
}

static void em_prefixes(struct emitter *e, const struct hop *op, bool gs)
{
	if (gs)
		em_u8(e, 0x65);
	for (unsigned int i = 0; i < ARRAY_SIZE(op->prefix); i++)
		if (op->prefix[i])
			em_u8(e, op->prefix[i]);
}

/* REX or VEX, escape bytes and opcode. r, x, b: top bits of the three register fields. */
static void em_head(struct emitter *e, const struct hop *op, bool r, bool x, bool b, bool gs)
{
	if (op->vex) {
		if (gs)
			em_u8(e, 0x65);
		if (op->map == 1 && !x && !b && !op->w) {
			em_u8(e, 0xc5);
			em_u8(e, (!r << 7) | ((~op->vvvv & 15) << 3) | (op->l << 2) | op->pp);
		} else {
			em_u8(e, 0xc4);
			em_u8(e, (!r << 7) | (!x << 6) | (!b << 5) | op->map);
			em_u8(e, (op->w << 7) | ((~op->vvvv & 15) << 3) | (op->l << 2) | op->pp);
		}
		em_u8(e, op->opcode);
		return;
	}
	em_prefixes(e, op, gs);
	if (op->w || r || x || b || op->force_rex)
		em_u8(e, 0x40 | (op->w << 3) | (r << 2) | (x << 1) | b);
	if (op->map)
		em_u8(e, 0x0f);
	if (op->map == 2)
		em_u8(e, 0x38);
	else if (op->map == 3)
		em_u8(e, 0x3a);
	em_u8(e, op->opcode);
}

void em_op_rr(struct emitter *e, const struct hop *op, u8 reg, u8 rm)
{
	em_head(e, op, reg >> 3, false, rm >> 3, false);
	em_u8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void em_op_rm(struct emitter *e, const struct hop *op, u8 reg, const struct hmem *m)
{
	bool has_index = m->index != H_NONE;
	u8 r3 = (reg & 7) << 3;
	u8 mod;

	em_head(e, op, reg >> 3, has_index && (m->index >> 3), m->base != H_NONE && (m->base >> 3),
		m->gs);
	if (m->base == H_NONE) {
		/* SIB without base: always 32-bit displacement; not RIP-relative */
		em_u8(e, r3 | 4);
		em_u8(e, (m->scale << 6) | (has_index ? (m->index & 7) << 3 : 4 << 3) | 5);
		em_u32(e, m->disp);
		return;
	}
	if (!m->disp && (m->base & 7) != H_RBP)
		mod = 0;
	else if (m->disp >= -128 && m->disp <= 127)
		mod = 0x40;
	else
		mod = 0x80;
	if (has_index || (m->base & 7) == H_RSP) {
		em_u8(e, mod | r3 | 4);
		em_u8(e, (m->scale << 6) | (has_index ? (m->index & 7) << 3 : 4 << 3) |
			 (m->base & 7));
	} else {
		em_u8(e, mod | r3 | (m->base & 7));
	}
	if (mod == 0x40)
		em_u8(e, m->disp);
	else if (mod == 0x80)
		em_u32(e, m->disp);
}

void em_mov_rr(struct emitter *e, u8 size, u8 dst, u8 src)
{
	struct hop op = { .prefix[0] = size == 2 ? 0x66 : 0, .opcode = 0x8b, .w = size == 8 };

	em_op_rr(e, &op, dst, src);
}

void em_zx_rr(struct emitter *e, u8 size, u8 dst, u8 src)
{
	struct hop op = { .map = 1, .opcode = size == 1 ? 0xb6 : 0xb7, .force_rex = size == 1 && src >= 4 };

	em_op_rr(e, &op, dst, src);
}

void em_mov_rm(struct emitter *e, u8 size, u8 dst, struct hmem m)
{
	struct hop op = { .opcode = 0x8b, .w = size == 8 };

	if (size < 4) {
		op.map = 1;
		op.opcode = size == 1 ? 0xb6 : 0xb7;
	}
	em_op_rm(e, &op, dst, &m);
}

void em_mov_mr(struct emitter *e, u8 size, struct hmem m, u8 src)
{
	struct hop op = { .opcode = 0x89, .w = size == 8 };

	if (size == 1) {
		op.opcode = 0x88;
		op.force_rex = src >= 4;
	} else if (size == 2) {
		op.prefix[0] = 0x66;
	}
	em_op_rm(e, &op, src, &m);
}

void em_mov_ri(struct emitter *e, u8 dst, u64 imm)
{
	if (imm <= 0xffffffff) {
		if (dst >= 8)
			em_u8(e, 0x41);
		em_u8(e, 0xb8 | (dst & 7));
		em_u32(e, imm);
	} else if ((s64)imm == (s32)imm) {
		struct hop op = { .opcode = 0xc7, .w = true };

		em_op_rr(e, &op, 0, dst);
		em_u32(e, imm);
	} else {
		em_u8(e, 0x48 | (dst >> 3));
		em_u8(e, 0xb8 | (dst & 7));
		em_u64(e, imm);
	}
}

void em_mov_mi(struct emitter *e, u8 size, struct hmem m, s32 imm)
{
	struct hop op = { .opcode = size == 1 ? 0xc6 : 0xc7, .w = size == 8 };

	if (size == 2)
		op.prefix[0] = 0x66;
	em_op_rm(e, &op, 0, &m);
	if (size == 1) {
		em_u8(e, imm);
	} else if (size == 2) {
		em_u8(e, imm);
		em_u8(e, imm >> 8);
	} else {
		em_u32(e, imm);
	}
}

void em_lea(struct emitter *e, u8 size, u8 dst, struct hmem m)
{
	struct hop op = { .opcode = 0x8d, .w = size == 8 };

	em_op_rm(e, &op, dst, &m);
}

void em_alu_rr(struct emitter *e, u8 size, u8 opcode, u8 dst, u8 src)
{
	struct hop op = { .opcode = opcode, .w = size == 8 };

	em_op_rr(e, &op, dst, src);
}

void em_alu_rm(struct emitter *e, u8 size, u8 opcode, u8 dst, struct hmem m)
{
	struct hop op = { .opcode = opcode, .w = size == 8 };

	em_op_rm(e, &op, dst, &m);
}

static void em_alu_imm(struct emitter *e, s32 imm, bool byte)
{
	if (byte)
		em_u8(e, imm);
	else
		em_u32(e, imm);
}

void em_alu_ri(struct emitter *e, u8 size, u8 ext, u8 dst, s32 imm)
{
	bool byte = imm >= -128 && imm <= 127;
	struct hop op = { .opcode = byte ? 0x83 : 0x81, .w = size == 8 };

	em_op_rr(e, &op, ext, dst);
	em_alu_imm(e, imm, byte);
}

void em_alu_mi(struct emitter *e, u8 size, u8 ext, struct hmem m, s32 imm)
{
	bool byte = imm >= -128 && imm <= 127;
	struct hop op = { .opcode = byte ? 0x83 : 0x81, .w = size == 8 };

	em_op_rm(e, &op, ext, &m);
	em_alu_imm(e, imm, byte);
}

void em_shift_ri(struct emitter *e, u8 size, u8 ext, u8 dst, u8 count)
{
	struct hop op = { .opcode = 0xc1, .w = size == 8 };

	em_op_rr(e, &op, ext, dst);
	em_u8(e, count);
}

void em_not(struct emitter *e, u8 size, u8 dst)
{
	struct hop op = { .opcode = 0xf7, .w = size == 8 };

	em_op_rr(e, &op, 2, dst);
}

void em_pext(struct emitter *e, u8 dst, u8 src, struct hmem mask)
{
	struct hop op = { .vex = true, .map = 2, .opcode = 0xf5, .pp = 2, .w = true, .vvvv = src };

	em_op_rm(e, &op, dst, &mask);
}

void em_pdep(struct emitter *e, u8 dst, u8 src, struct hmem mask)
{
	struct hop op = { .vex = true, .map = 2, .opcode = 0xf5, .pp = 3, .w = true, .vvvv = src };

	em_op_rm(e, &op, dst, &mask);
}

void em_rorx(struct emitter *e, u8 size, u8 dst, u8 src, u8 count)
{
	struct hop op = { .vex = true, .map = 3, .opcode = 0xf0, .pp = 3, .w = size == 8 };

	em_op_rr(e, &op, dst, src);
	em_u8(e, count);
}

static u8 *em_rel32(struct emitter *e)
{
	u8 *site = e->p;

	em_u32(e, 0);
	return site;
}

static u8 *em_rel8(struct emitter *e, u8 opcode)
{
	em_u8(e, opcode);
	em_u8(e, 0);
	return e->p - 1;
}

u8 *em_jmp32(struct emitter *e)
{
	em_u8(e, 0xe9);
	return em_rel32(e);
}

u8 *em_call32(struct emitter *e)
{
	em_u8(e, 0xe8);
	return em_rel32(e);
}

u8 *em_jcc32(struct emitter *e, u8 cc)
{
	em_u8(e, 0x0f);
	em_u8(e, 0x80 | cc);
	return em_rel32(e);
}

u8 *em_jcc8(struct emitter *e, u8 cc)
{
	return em_rel8(e, 0x70 | cc);
}

u8 *em_jmp8(struct emitter *e)
{
	return em_rel8(e, 0xeb);
}

u8 *em_jrcxz(struct emitter *e)
{
	return em_rel8(e, 0xe3);
}

/*
 * Jumps that are taken need room in the host's branch predictor, and a large program has more checks than that: each that
 * it does not know counts as not taken, and costs some 30 cycles if it is. LOOP is not taken if RCX was 1. Its displacement
 * is one of 8 bits, so it leads into the operand of a NOP, which is the jump: e9 is the SIB byte, the rest of the operand
 * the displacement.
 */
u8 *em_unless_go(struct emitter *e)
{
	u8 *go, *site;

	if (e->go) {
		u8 *fail = em_rel8(e, 0xe2);

		em_u8(e, 0x0f);
		em_u8(e, 0x1f);
		em_u8(e, 0x84);
		em_here8(e, fail);
		return em_jmp32(e);
	}
	go = em_jrcxz(e);
	site = em_jmp32(e);
	em_here8(e, go);
	return site;
}

void em_jmp_reg(struct emitter *e, u8 reg)
{
	struct hop op = { .opcode = 0xff };

	em_op_rr(e, &op, 4, reg);
}

void em_here8(struct emitter *e, u8 *site)
{
	if (!e->overflow)
		*site = e->p - (site + 1);
}

void em_here32(struct emitter *e, u8 *site)
{
	s32 rel = e->p - (site + 4);

	if (!e->overflow)
		__builtin_memcpy(site, &rel, 4);
}

void em_patch32(struct emitter *e, u8 *site, const u8 *target)
{
	s32 rel = target - (site + e->rx_delta + 4);

	if (!e->overflow)
		__builtin_memcpy(site, &rel, 4);
}
