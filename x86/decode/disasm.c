// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * disasm.c - struct insn as text, for logs and tests: the tables' mnemonic, then operands in the
 * manual's order.
 */
#include "tables.h"

struct text {
	char *buf;
	size_t size;
	size_t len;	/* what it would be without a limit */
};

static void put_char(struct text *t, char c)
{
	if (t->len + 1 < t->size)
		t->buf[t->len] = c;
	t->len++;
}

static void put(struct text *t, const char *s)
{
	while (*s)
		put_char(t, *s++);
}

static void put_lower(struct text *t, const char *s)
{
	for (; *s; s++)
		put_char(t, *s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
}

static void put_dec(struct text *t, unsigned int v)
{
	unsigned int unit = 1;

	while (v / unit >= 10)
		unit *= 10;
	for (; unit; unit /= 10)
		put_char(t, '0' + v / unit % 10);
}

static void put_hex(struct text *t, u64 v)
{
	int shift = 60;

	put(t, "0x");
	while (shift && !(v >> shift & 15))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put_char(t, "0123456789abcdef"[v >> shift & 15]);
}

static void put_signed_hex(struct text *t, s64 v)
{
	put_char(t, v < 0 ? '-' : '+');
	put_hex(t, v < 0 ? 0 - (u64)v : (u64)v);
}

static void put_gpr(struct text *t, unsigned int reg, unsigned int size, bool high8)
{
	static const char *const low[8] = { "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil" };
	static const char *const word[8] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };

	if (high8) {
		put_char(t, "acdb"[reg & 3]);
		put_char(t, 'h');
	} else if (reg >= 8) {
		put_char(t, 'r');
		put_dec(t, reg);
		if (size < 8)
			put_char(t, size == 1 ? 'b' : size == 2 ? 'w' : 'd');
	} else if (size == 1) {
		put(t, low[reg]);
	} else {
		if (size > 2)
			put_char(t, size == 8 ? 'r' : 'e');
		put(t, word[reg]);
	}
}

static void put_sreg(struct text *t, unsigned int reg)
{
	put_char(t, "ecsdfg??"[reg & 7]);
	put_char(t, 's');
}

static void put_vec(struct text *t, unsigned int reg, bool ymm)
{
	put(t, ymm ? "ymm" : "xmm");
	put_dec(t, reg);
}

static void put_mem(struct text *t, const struct insn *insn, u64 rip)
{
	bool any = false;

	if (insn->mem_size) {
		put_char(t, 'm');
		put_dec(t, insn->mem_size * 8);
		put_char(t, ' ');
	}
	put_sreg(t, insn->seg);
	put(t, ":[");
	if (insn->base == INSN_BASE_RIP) {
		u64 addr = rip + insn->len + (u64)insn->disp;

		put_hex(t, insn->addrsize == 8 ? addr : (u32)addr);
		put_char(t, ']');
		return;
	}
	if (insn->base != INSN_BASE_NONE) {
		put_gpr(t, insn->base, insn->addrsize, false);
		any = true;
	}
	if (insn->index != INSN_BASE_NONE) {
		if (any)
			put_char(t, '+');
		if (insn->attr & INSN_VSIB)
			put_vec(t, insn->index, insn->vex_l);
		else
			put_gpr(t, insn->index, insn->addrsize, false);
		if (insn->scale) {
			put_char(t, '*');
			put_dec(t, 1u << insn->scale);
		}
		any = true;
	}
	if (!any)
		put_hex(t, insn->addrsize == 8 ? (u64)insn->disp :
			   insn->addrsize == 4 ? (u32)insn->disp : (u16)insn->disp);
	else if (insn->disp)
		put_signed_hex(t, insn->disp);
	put_char(t, ']');
}

static void put_opnd(struct text *t, const struct insn *insn, const struct opnd *o, u64 rip)
{
	switch (o->kind) {
	case OPND_GPR:
		put_gpr(t, o->reg, o->size, o->high8);
		break;
	case OPND_MEM:
		put_mem(t, insn, rip);
		break;
	case OPND_IMM:
		/* an operand of the instruction's size shows no more bits than that */
		put_hex(t, insn->opsize < 8 ? insn->imm & ~(~0ULL << insn->opsize * 8) : insn->imm);
		break;
	case OPND_IMM2:
		put_hex(t, insn->imm2);
		break;
	case OPND_REL:
		rip += insn->len + insn->imm;
		put_hex(t, insn->opsize == 8 ? rip : insn->opsize == 4 ? (u32)rip : (u16)rip);
		break;
	case OPND_VEC:
		put_vec(t, o->reg, o->size == 32);
		break;
	case OPND_MMX:
		put(t, "mm");
		put_dec(t, o->reg);
		break;
	case OPND_ST:
		put(t, "st");
		put_dec(t, o->reg);
		break;
	case OPND_SREG:
		put_sreg(t, o->reg);
		break;
	case OPND_CR:
	case OPND_DR:
		put(t, o->kind == OPND_CR ? "cr" : "dr");
		put_dec(t, o->reg);
		break;
	case OPND_CONST:
		put_dec(t, o->reg);
		break;
	}
}

static void put_mnemonic(struct text *t, const struct insn *insn)
{
	static const char cc[16][4] = { "o", "no", "b", "nb", "z", "nz", "be", "nbe",
					"s", "ns", "p", "np", "l", "nl", "le", "nle" };

	if (insn->pfx & PFX_LOCK)
		put(t, "lock ");
	if (insn->attr & INSN_REP_OK && insn->pfx & (PFX_REP | PFX_REPNE))
		put(t, insn->pfx & PFX_REP ? "rep " : "repne ");
	switch (insn->op) {
	case OP_JCC:
		put_char(t, 'j');
		put(t, cc[INSN_CC(insn)]);
		break;
	case OP_SETCC:
	case OP_CMOVCC:
		put(t, insn->op == OP_SETCC ? "set" : "cmov");
		put(t, cc[INSN_CC(insn)]);
		break;
	default:
		put_lower(t, insn_op_name(insn->op));
	}
	if (insn->family == FAM_STRING || insn->op == OP_INS || insn->op == OP_OUTS)
		put_char(t, "bwd?q"[insn->opsize == 1 ? 0 : insn->opsize / 2]);
}

int insn_format(char *buf, size_t size, const struct insn *insn, u64 rip)
{
	struct text t = { .buf = buf, .size = size };
	unsigned int i;

	put_mnemonic(&t, insn);
	for (i = 0; i < insn->nr_opnd; i++) {
		put(&t, i ? ", " : " ");
		put_opnd(&t, insn, &insn->opnd[i], rip);
	}
	if (size)
		buf[t.len < size ? t.len : size - 1] = 0;
	return t.len;
}
