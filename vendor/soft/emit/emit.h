/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* emit.h - encoder for x86-64 host code. Knows host registers and bytes, nothing of a guest. */
#ifndef SOFT_EMIT_H
#define SOFT_EMIT_H

#include "../../../host/types.h"

/* Host register numbers as encoded. */
enum host_reg {
	H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI,
	H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15,
	H_NONE = 0xff,
};

/*
 * Output position; writes past end are dropped and remembered. rx is the address the bytes will run
 * at.
 */
struct emitter {
	u8 *p, *end;
	s64 rx_delta;		/* executable address - writable address */
	bool overflow;
	u8 go;			/* 1 or 0, see em_unless_go() */
};

struct hmem {
	u8 base, index;		/* enum host_reg; index never H_RSP */
	u8 scale;		/* shift */
	bool gs;
	s32 disp;
};

#define HMEM(b, d)		((struct hmem){ .base = (b), .index = H_NONE, .disp = (d) })
#define HMEM_X(b, x, s, d)	((struct hmem){ .base = (b), .index = (x), .scale = (s), .disp = (d) })
#define HMEM_GS(b, x, s, d)	((struct hmem){ .base = (b), .index = (x), .scale = (s), .disp = (d), .gs = true })

/* Everything that decides an instruction's bytes but the register or memory operand itself. */
struct hop {
	u8 prefix[3];		/* legacy prefixes in order: lock, mandatory 66/f3/f2; 0 = none */
	u8 map;			/* 0: none, 1: 0f, 2: 0f38, 3: 0f3a */
	u8 opcode;
	bool w;
	bool force_rex;		/* byte registers 4-7 mean SPL..DIL */
	bool vex;
	u8 pp;			/* VEX: 0, 1 (66), 2 (f3), 3 (f2) */
	u8 l, vvvv;
};

static inline u8 *em_rx(const struct emitter *e)
{
	return e->p + e->rx_delta;
}

static inline void em_u8(struct emitter *e, u8 v)
{
	if (likely(e->p < e->end))
		*e->p++ = v;
	else
		e->overflow = true;
}

void em_u32(struct emitter *e, u32 v);
void em_u64(struct emitter *e, u64 v);

/* opcode reg, rm - both registers (reg may be an opcode extension) */
void em_op_rr(struct emitter *e, const struct hop *op, u8 reg, u8 rm);
/*
 * opcode reg, [mem]; imm_bytes: size of the immediate that the caller emits next (for RIP-relative
 * forms, unused)
 */
void em_op_rm(struct emitter *e, const struct hop *op, u8 reg, const struct hmem *m);

/* Moves and address arithmetic that leave flags alone. size: 4 or 8 unless said. */
/* 2: the upper bits of dst stay */
void em_mov_rr(struct emitter *e, u8 size, u8 dst, u8 src);
/* dst = the low byte (1) or two bytes (2) of src */
void em_zx_rr(struct emitter *e, u8 size, u8 dst, u8 src);
/* load 1 2 (zero-extended) 4 8 */
void em_mov_rm(struct emitter *e, u8 size, u8 dst, struct hmem m);
/* store 1 2 4 8; src not 4-7 for 1 */
void em_mov_mr(struct emitter *e, u8 size, struct hmem m, u8 src);
void em_mov_ri(struct emitter *e, u8 dst, u64 imm);			/* shortest form */
void em_mov_mi(struct emitter *e, u8 size, struct hmem m, s32 imm);
void em_lea(struct emitter *e, u8 size, u8 dst, struct hmem m);

/* opcode: of the "reg, r/m" form (03 add, 33 xor, 3b cmp ...) */
void em_alu_rr(struct emitter *e, u8 size, u8 opcode, u8 dst, u8 src);
void em_alu_rm(struct emitter *e, u8 size, u8 opcode, u8 dst, struct hmem m);
/* ext: /n of group 1 (0 add, 1 or, 4 and, 5 sub, 6 xor, 7 cmp) */
void em_alu_ri(struct emitter *e, u8 size, u8 ext, u8 dst, s32 imm);
void em_alu_mi(struct emitter *e, u8 size, u8 ext, struct hmem m, s32 imm);
void em_shift_ri(struct emitter *e, u8 size, u8 ext, u8 dst, u8 count);	/* 4 shl, 5 shr, 7 sar */
void em_not(struct emitter *e, u8 size, u8 dst);
void em_pext(struct emitter *e, u8 dst, u8 src, struct hmem mask);	/* 64-bit */
void em_pdep(struct emitter *e, u8 dst, u8 src, struct hmem mask);
void em_rorx(struct emitter *e, u8 size, u8 dst, u8 src, u8 count);

/* Control flow. Jumps return the writable address of their displacement, to be patched. */
u8 *em_jmp32(struct emitter *e);
u8 *em_jcc32(struct emitter *e, u8 cc);
u8 *em_jcc8(struct emitter *e, u8 cc);
u8 *em_jmp8(struct emitter *e);
u8 *em_jrcxz(struct emitter *e);
/*
 * The end of a check: on with the next instruction if RCX is e->go (1: where the host's LOOP is fast), else a jump, whose
 * displacement has 32 bits. RCX is lost, no flag changes.
 */
u8 *em_unless_go(struct emitter *e);
u8 *em_call32(struct emitter *e);
void em_jmp_reg(struct emitter *e, u8 reg);
/* Let the jump at @site (from above) lead here. */
void em_here8(struct emitter *e, u8 *site);
void em_here32(struct emitter *e, u8 *site);
/* Let the 32-bit displacement at @site lead to the executable address @target. */
void em_patch32(struct emitter *e, u8 *site, const u8 *target);

#endif
