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
	if (in->pfx & PFX_LOCK)
		op.prefix[n++] = 0xf0;
	if (in->pfx & PFX_OPSIZE)
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

#endif
