/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * reemit.h - what an instruction looks like when it is emitted again as itself with other operands.
 */
#ifndef SOFT_REEMIT_H
#define SOFT_REEMIT_H

#include "../../x86/decode/decode.h"
#include "emit/emit.h"

/* ModRM.reg and ModRM.rm as full register numbers. */
static inline u8 reemit_reg(const struct insn *in)
{
	return ((in->modrm >> 3) & 7) | (in->rex & 4 ? 8 : 0);
}

static inline u8 reemit_rm(const struct insn *in)
{
	return (in->modrm & 7) | (in->rex & 1 ? 8 : 0);
}

/* Whether 64-bit code needs the prefix 66 for it: outside 64-bit mode the default size may have been another. */
static inline bool reemit_66(const struct insn *in)
{
	if (in->mode == INSN_MODE_64)
		return in->pfx & PFX_OPSIZE;
	if (in->op == OP_FLDENV || in->op == OP_FNSTENV || in->op == OP_FRSTOR || in->op == OP_FNSAVE)
		return in->opsize == 2;
	return in->mand == 0x66 || (in->family == FAM_INT && in->opsize == 2 &&
				    (in->opnd[0].size == 2 || in->op == OP_CRC32));
}

/* Opcode and prefixes. vvvv and force_rex are for instructions that have them. */
static inline struct hop reemit_hop(const struct insn *in, u8 vvvv, bool force_rex)
{
	struct hop op = { .map = in->map, .opcode = in->opcode, .w = in->rex & 8 };
	unsigned int n = 0;

	if (in->enc == ENC_VEX) {
		op.vex = true;
		op.l = in->vex_l;
		op.vvvv = vvvv;
		op.pp = in->mand == 0x66 ? 1 : in->mand == 0xf3 ? 2 : in->mand == 0xf2 ? 3 : 0;
		return op;
	}
	op.force_rex = force_rex;
	if (in->mode != INSN_MODE_64 && !in->map && in->opcode == 0x82)
		op.opcode = 0x80;	/* its twin, gone in 64-bit mode */
	if (in->pfx & PFX_LOCK)
		op.prefix[n++] = 0xf0;
	if (reemit_66(in))
		op.prefix[n++] = 0x66;
	if (in->mand == 0xf3 || in->mand == 0xf2)
		op.prefix[n++] = in->mand;
	return op;
}

/* Its bytes from offset on: 0 for all of it, in->imm_off for its immediates, which are the end. */
static inline void reemit_bytes(struct emitter *e, const struct insn *in, unsigned int offset)
{
	for (; offset < in->len; offset++)
		em_u8(e, in->bytes[offset]);
}

/* Its immediates. Outside 64-bit mode the high bit of a register in one says nothing. */
static inline void reemit_imm(struct emitter *e, const struct insn *in)
{
	bool reg = false;

	if (!in->imm_size)
		return;
	for (unsigned int i = 0; i < in->nr_opnd; i++)
		reg |= in->opnd[i].field == FIELD_IMM4;
	if (reg && in->mode != INSN_MODE_64)
		em_u8(e, in->bytes[in->imm_off] & 0x7f);
	else
		reemit_bytes(e, in, in->imm_off);
}

/* VZEROALL and VZEROUPPER outside 64-bit mode, where they reach eight registers only; false: it is none. */
static inline bool reemit_vzero(struct emitter *e, const struct insn *in)
{
	bool all = in->op == OP_VZEROALL;

	if (in->mode == INSN_MODE_64 || (!all && in->op != OP_VZEROUPPER))
		return false;
	/* VPXOR, or VMOVDQA, of each with itself: 128 bits, the others become zero */
	for (u8 r = 0; r < 8; r++)
		em_op_rr(e, &(struct hop){ .vex = true, .map = 1, .pp = 1, .opcode = all ? 0xef : 0x6f,
					   .vvvv = all ? r : 0 }, r, r);
	return true;
}

#endif
