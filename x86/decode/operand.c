// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* operand.c - ModRM addresses, operands and immediates. SDM 2A 2.1.5, 2.2.1, 2.3, appendix A.2. */
#include "tables.h"

static const u8 type_size[] = {
	[TY_n] = 0, [TY_b] = 1, [TY_w] = 2, [TY_d] = 4, [TY_q] = 8, [TY_t] = 10, [TY_dq] = 16,
	[TY_qq] = 32,
	[TY_ub] = 1, [TY_sb] = 1, [TY_ss] = 4, [TY_sd] = 8,
};

/* Size of an operand; @mem: in memory, else in a register. */
static unsigned int opnd_size(const struct insn *insn, const struct cursor *c, unsigned int type,
			      bool mem)
{
	unsigned int vec = insn->vex_l ? 32 : 16;

	if (type <= TY_FIXED)
		return type_size[type];
	switch (type) {
	case TY_v:
		return insn->opsize;
	case TY_z:
		return insn->opsize == 2 ? 2 : 4;
	case TY_y:
		return insn->rex & 8 && c->mode == INSN_MODE_64 ? 8 : 4;
	case TY_m:
		return c->mode == INSN_MODE_64 ? 8 : 4;
	case TY_p:
		return insn->opsize + 2;
	case TY_s:
		return c->mode == INSN_MODE_64 ? 10 : 6;
	case TY_a:
		return insn->opsize * 2;
	case TY_fe:
		return insn->opsize == 2 ? 14 : 28;
	case TY_fs:
		return insn->opsize == 2 ? 94 : 108;
	case TY_x:
		return vec;
	case TY_h:
		return vec / 2;
	case TY_f:
		return vec / 4;
	case TY_e:
		return vec / 8;
	case TY_dd:
		return vec == 32 ? 32 : 8;
	case TY_vw:
		return mem ? 2 : insn->opsize;
	case TY_db:
		return mem ? 1 : 4;
	case TY_dw:
		return mem ? 2 : 4;
	case TY_xss:
		return mem ? 4 : vec;
	case TY_xsd:
		return mem ? 8 : vec;
	default:
		return 0;
	}
}

static int read_disp(struct insn *insn, struct cursor *c, unsigned int size)
{
	const u8 *p = c->bytes + c->pos;

	if (c->pos + size > c->end)
		return -1;
	if (size == 1)
		insn->disp = (s8)p[0];
	else if (size == 2)
		insn->disp = (s16)(p[0] | p[1] << 8);
	else
		insn->disp = (s32)(p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24);
	insn->disp_size = size;
	c->pos += size;
	return 0;
}

static int address16(struct insn *insn, struct cursor *c)
{
	static const u8 base[8] = { X86_RBX, X86_RBX, X86_RBP, X86_RBP, X86_RSI, X86_RDI, X86_RBP, X86_RBX };
	static const u8 index[8] = {
		X86_RSI,	X86_RDI,	X86_RSI,	X86_RDI,
		INSN_BASE_NONE, INSN_BASE_NONE, INSN_BASE_NONE, INSN_BASE_NONE
	};
	unsigned int mod = insn->modrm >> 6, rm = insn->modrm & 7;

	if (mod == 0 && rm == 6)
		return read_disp(insn, c, 2);
	insn->base = base[rm];
	insn->index = index[rm];
	return mod ? read_disp(insn, c, mod) : 0;
}

int insn_address(struct insn *insn, struct cursor *c, bool vsib)
{
	unsigned int mod = insn->modrm >> 6, rm = insn->modrm & 7, sib;
	unsigned int disp_size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	u8 seg = insn->seg;
	int ret;

	insn->has_mem = 1;
	if (insn->addrsize == 2) {
		ret = address16(insn, c);
		goto out;
	}
	if (rm == 4) {
		if (c->pos >= c->end)
			return -1;
		sib = c->bytes[c->pos++];
		insn->scale = sib >> 6;
		insn->index = (sib >> 3 & 7) | (insn->rex & 2) << 2;
		if (insn->index == X86_RSP && !vsib) {
			insn->index = INSN_BASE_NONE;
		}
		rm = sib & 7;
		if (rm == 5 && mod == 0)
			disp_size = 4;
		else
			insn->base = rm | (insn->rex & 1) << 3;
	} else if (rm == 5 && mod == 0) {
		disp_size = 4;
		if (c->mode == INSN_MODE_64)
			insn->base = INSN_BASE_RIP;
	} else {
		insn->base = rm | (insn->rex & 1) << 3;
	}
	ret = disp_size ? read_disp(insn, c, disp_size) : 0;
out:
	if (seg == X86_NR_SEG)
		insn->seg = insn->base == X86_RSP || insn->base == X86_RBP ? X86_SS : X86_DS;
	return ret;
}

static int read_imm(struct insn *insn, struct cursor *c, unsigned int size, bool zero_extend,
		    u64 *val)
{
	const u8 *p = c->bytes + c->pos;
	unsigned int i;
	u64 v = 0;

	if (c->pos + size > c->end)
		return -1;
	for (i = 0; i < size; i++)
		v |= (u64)p[i] << (i * 8);
	if (!zero_extend && size < 8 && v >> (size * 8 - 1))
		v |= ~0ULL << (size * 8);
	*val = v;
	if (val == &insn->imm) {
		insn->imm_size = size;
		insn->imm_off = c->pos;
	}
	c->pos += size;
	return 0;
}

static void gpr(struct insn *insn, struct opnd *o, unsigned int reg)
{
	o->kind = OPND_GPR;
	o->reg = reg;
	if (o->size == 1 && reg >= 4 && reg < 8 && !(insn->pfx & PFX_REX) &&
	    insn->enc == ENC_LEGACY) {
		o->reg = reg - 4;
		o->high8 = 1;
	}
}

static void implicit_gpr(struct opnd *o, unsigned int reg)
{
	o->kind = OPND_GPR;
	o->reg = reg;
	o->implicit = 1;
}

static void memory(struct insn *insn, struct opnd *o)
{
	o->kind = OPND_MEM;
	insn->mem_size = o->size;
	insn->mem_access = o->access;
}

/* Far pointer in the instruction: offset, then selector. */
static enum decode_result far_pointer(struct insn *insn, struct cursor *c)
{
	if (read_imm(insn, c, insn->opsize == 2 ? 2 : 4, true, &insn->imm) ||
	    read_imm(insn, c, 2, true, &insn->imm2))
		return DECODE_MORE;
	insn->opnd[0] = (struct opnd){ .kind = OPND_IMM, .size = insn->imm_size, .access = OPND_R };
	insn->opnd[1] = (struct opnd){ .kind = OPND_IMM2, .size = 2, .access = OPND_R };
	insn->nr_opnd = 2;
	return DECODE_OK;
}

static enum decode_result immediate(struct insn *insn, struct cursor *c, struct opnd *o,
				    unsigned int type)
{
	bool second = insn->imm_size != 0;

	o->kind = second ? OPND_IMM2 : OPND_IMM;
	if (read_imm(insn, c, o->size, type == TY_ub || type == TY_w,
		     second ? &insn->imm2 : &insn->imm))
		return DECODE_MORE;
	return DECODE_OK;
}

static enum decode_result sys_register(struct insn *insn, struct opnd *o, unsigned int am)
{
	unsigned int reg = insn->modrm >> 3 & 7;

	o->reg = reg;
	o->field = FIELD_REG;
	if (am == AM_S) {
		o->kind = OPND_SREG;
		/* CS is no destination */
		if (reg >= X86_NR_SEG || (reg == X86_CS && o->access & OPND_W))
			return DECODE_UD;
		return DECODE_OK;
	}
	o->reg |= (insn->rex & 4) << 1;
	if (am == AM_C) {
		o->kind = OPND_CR;
		return o->reg == 0 || (o->reg >= 2 && o->reg <= 4) || o->reg == 8 ? DECODE_OK : DECODE_UD;
	}
	o->kind = OPND_DR;
	return o->reg < 8 ? DECODE_OK : DECODE_UD;
}

/* ModRM.rm as register of @kind or memory; the method says which of them is allowed. */
static enum decode_result rm_operand(struct insn *insn, struct opnd *o, unsigned int am)
{
	unsigned int reg = insn->modrm & 7;

	o->field = FIELD_RM;
	if (insn->has_mem && am != AM_RI) {
		if (am == AM_R || am == AM_U || am == AM_N)
			return DECODE_UD;
		o->field = FIELD_NONE;
		memory(insn, o);
		return DECODE_OK;
	}
	switch (am) {
	case AM_M:
	case AM_MX:
		return DECODE_UD;
	case AM_Q:
	case AM_N:
		o->kind = OPND_MMX;
		o->reg = reg;
		return DECODE_OK;
	case AM_W:
	case AM_U:
		o->kind = OPND_VEC;
		o->reg = reg | (insn->rex & 1) << 3;
		return DECODE_OK;
	default:
		gpr(insn, o, reg | (insn->rex & 1) << 3);
		return DECODE_OK;
	}
}

static enum decode_result operand(struct insn *insn, struct cursor *c, struct opnd *o,
				  unsigned int am, unsigned int type)
{
	unsigned int reg = (insn->modrm >> 3 & 7) | (insn->rex & 4) << 1;

	switch (am) {
	case AM_E: case AM_M: case AM_R: case AM_RI: case AM_W: case AM_U: case AM_Q: case AM_N: case AM_MX:
		return rm_operand(insn, o, am);
	case AM_G:
		gpr(insn, o, reg);
		o->field = FIELD_REG;
		return DECODE_OK;
	case AM_V:
		o->kind = OPND_VEC;
		o->reg = reg;
		o->field = FIELD_REG;
		return DECODE_OK;
	case AM_P:
		o->kind = OPND_MMX;
		o->reg = reg & 7;
		o->field = FIELD_REG;
		return DECODE_OK;
	case AM_S: case AM_C: case AM_D:
		return sys_register(insn, o, am);
	case AM_H: case AM_B:
		c->vvvv_used = true;
		o->kind = am == AM_H ? OPND_VEC : OPND_GPR;
		o->reg = insn->vvvv;
		o->field = FIELD_VVVV;
		return DECODE_OK;
	case AM_L:
		/* shares its byte with an immediate, if the instruction has one as well */
		if (!insn->imm_size && read_imm(insn, c, 1, true, &insn->imm))
			return DECODE_MORE;
		o->kind = OPND_VEC;
		o->reg = insn->imm >> 4 & (c->mode == INSN_MODE_64 ? 15 : 7);
		o->field = FIELD_IMM4;
		return DECODE_OK;
	case AM_Z:
		gpr(insn, o, (insn->opcode & 7) | (insn->rex & 1) << 3);
		o->field = FIELD_OPCODE;
		return DECODE_OK;
	case AM_I:
		return immediate(insn, c, o, type);
	case AM_J:
		o->kind = OPND_REL;
		return read_imm(insn, c, o->size, false, &insn->imm) ? DECODE_MORE : DECODE_OK;
	case AM_O:
		if (read_imm(insn, c, insn->addrsize, true, (u64 *)&insn->disp))
			return DECODE_MORE;
		insn->disp_size = insn->addrsize;
		insn->has_mem = 1;
		if (insn->seg == X86_NR_SEG)
			insn->seg = X86_DS;
		memory(insn, o);
		return DECODE_OK;
	case AM_AX: case AM_CX: case AM_DX:
		implicit_gpr(o, am - AM_AX + X86_RAX);
		return DECODE_OK;
	case AM_AH:
		implicit_gpr(o, X86_RAX);
		o->high8 = 1;
		return DECODE_OK;
	case AM_ES: case AM_CS: case AM_SS: case AM_DS: case AM_FS: case AM_GS:
		o->kind = OPND_SREG;
		o->reg = am - AM_ES + X86_ES;
		o->implicit = 1;
		return DECODE_OK;
	case AM_ONE:
		o->kind = OPND_CONST;
		o->reg = 1;
		o->implicit = 1;
		return DECODE_OK;
	case AM_ST0: case AM_STi:
		o->kind = OPND_ST;
		o->reg = am == AM_ST0 ? 0 : insn->modrm & 7;
		o->implicit = am == AM_ST0;
		o->field = am == AM_ST0 ? FIELD_NONE : FIELD_RM;
		return DECODE_OK;
	default: /* AM_X0 */
		o->kind = OPND_VEC;
		o->implicit = 1;
		return DECODE_OK;
	}
}

enum decode_result insn_operands(struct insn *insn, struct cursor *c, const struct row *row, u64 x)
{
	unsigned int access = x >> 48 & 255, i;
	enum decode_result ret;

	if (x & ACCW)
		access = ACC_W;
	else if (x & ACCRW)
		access = ACC_RW;
	if (row->am[0] == AM_A) {
		ret = far_pointer(insn, c);
		goto out;
	}
	for (i = 0; i < ROW_OPNDS && row->am[i]; i++) {
		struct opnd *o = &insn->opnd[i];

		*o = (struct opnd){ .access = i < 3 ? access >> (i * 2) & 3 : OPND_R };
		o->size = opnd_size(insn, c, row->ty[i], insn->has_mem || row->am[i] == AM_O);
		ret = operand(insn, c, o, row->am[i], row->ty[i]);
		if (ret)
			goto out;
	}
	insn->nr_opnd = i;
	for (; i < ROW_OPNDS; i++)
		insn->opnd[i] = (struct opnd){ .kind = OPND_NONE };
	ret = DECODE_OK;
out:
	if (ret == DECODE_MORE && c->end == INSN_MAX_LEN)
		return DECODE_TOO_LONG;
	return ret;
}
