// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * decode.c - prefixes, the walk through the table, and what follows from the row. SDM 2A chapter 2,
 * APM 3 chapter 1.
 */
#include "tables.h"

enum pfx_class { PC_NONE, PC_OPSIZE, PC_ADDRSIZE, PC_LOCK, PC_REP, PC_REPNE, PC_SEG /* + enum x86_sreg */ };

static const u8 pfx_class[256] = {
	[0x26] = PC_SEG + X86_ES, [0x2e] = PC_SEG + X86_CS, [0x36] = PC_SEG + X86_SS,
	[0x3e] = PC_SEG + X86_DS,
	[0x64] = PC_SEG + X86_FS, [0x65] = PC_SEG + X86_GS,
	[0x66] = PC_OPSIZE, [0x67] = PC_ADDRSIZE, [0xf0] = PC_LOCK, [0xf2] = PC_REPNE,
	[0xf3] = PC_REP,
};

#define F(x)	((u16)X86_FLAG_##x)
#define OSZAPC	((u16)X86_FLAGS_ARITH)
#define OSZAP	(OSZAPC & ~F(CF))
#define ALLF	(OSZAPC | F(DF))

struct flags_effect {
	u16 read, written, maybe;
};

static const struct flags_effect flags_effects[FL_NR] = {
	[FL_ARITH] = { 0, OSZAPC, 0 },
	[FL_ADC] = { F(CF), OSZAPC, 0 },
	[FL_INC] = { 0, OSZAP, 0 },
	/* by an immediate; others in fixup_shift() */
	[FL_SHIFT] = { 0, OSZAPC, 0 },
	[FL_ROT] = { 0, F(CF) | F(OF), 0 },
	[FL_ROTC] = { F(CF), F(CF) | F(OF), 0 },
	[FL_BT] = { 0, OSZAPC & ~F(ZF), 0 },
	[FL_ZF] = { 0, F(ZF), 0 },
	[FL_CF] = { 0, F(CF), 0 },
	[FL_CMC] = { F(CF), F(CF), 0 },
	[FL_RCF] = { F(CF), 0, 0 },
	[FL_RZF] = { F(ZF), 0, 0 },
	[FL_DF] = { 0, F(DF), 0 },
	[FL_RDF] = { F(DF), 0, 0 },
	[FL_LAHF] = { OSZAPC & ~F(OF), 0, 0 },
	[FL_SAHF] = { 0, OSZAPC & ~F(OF), 0 },
	[FL_AAA] = { F(AF), OSZAPC, 0 },
	[FL_DAA] = { F(AF) | F(CF), OSZAPC, 0 },
	[FL_ADCX] = { F(CF), F(CF), 0 },
	[FL_ADOX] = { F(OF), F(OF), 0 },
	[FL_CMPS] = { F(DF), OSZAPC, 0 },
	[FL_RALL] = { ALLF, 0, 0 },
	[FL_WALL] = { 0, ALLF, 0 },
	/* RFLAGS go to R11, and SFMASK says which are cleared */
	[FL_RWALL] = { ALLF, 0, ALLF },
	[FL_SYSUNDEF] = { 0, OSZAPC, 0 },
};

/* By condition code / 2. SDM 1 appendix B. */
static const u16 cc_reads[8] = {
	F(OF), F(CF), F(ZF), F(CF) | F(ZF), F(SF), F(PF), F(SF) | F(OF), F(ZF) | F(SF) | F(OF),
};

/* FCMOVcc: DA and DB, reg = 0 to 3: B, E, BE, U. */
static const u16 fcmov_reads[4] = { F(CF), F(ZF), F(CF) | F(ZF), F(PF) };

/* The bytes end: inside the instruction, or because it is too long. */
static enum decode_result ran_out(const struct cursor *c)
{
	return c->end == INSN_MAX_LEN ? DECODE_TOO_LONG : DECODE_MORE;
}

static int read_prefixes(struct insn *insn, struct cursor *c, u8 *seg)
{
	u8 pfx = 0, rex = 0;

	for (; c->pos < c->end; c->pos++) {
		u8 b = c->bytes[c->pos];

		switch (pfx_class[b]) {
		case PC_NONE:
			if (c->mode == INSN_MODE_64 && (b & 0xf0) == 0x40) {
				rex = b;
				continue;
			}
			/* only a REX right before the opcode counts */
			insn->pfx = pfx | (rex ? PFX_REX : 0);
			insn->rex = rex;
			return 0;
		case PC_OPSIZE:
			pfx |= PFX_OPSIZE;
			break;
		case PC_ADDRSIZE:
			pfx |= PFX_ADDRSIZE;
			break;
		case PC_LOCK:
			pfx |= PFX_LOCK;
			break;
		case PC_REP:
			pfx = (pfx & ~PFX_REPNE) | PFX_REP;
			break;
		case PC_REPNE:
			pfx = (pfx & ~PFX_REP) | PFX_REPNE;
			break;
		default:
			/* in 64-bit mode CS, DS, ES and SS overrides do nothing, nor undo an
			 * earlier FS or GS */
			if (c->mode != INSN_MODE_64 || b >= 0x64) {
				*seg = pfx_class[b] - PC_SEG;
				pfx |= PFX_SEG;
			}
		}
		rex = 0;
	}
	return -1;
}

/* C4 or C5 at pos: false if it is LDS or LES. Takes the prefix and the opcode. */
static enum decode_result read_vex(struct insn *insn, struct cursor *c, u8 first,
				   const struct row **row)
{
	static const u8 pp_mand[4] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned int len = first == 0xc4 ? 4 : 3;
	u8 b1, b2;

	if (insn->pfx & (PFX_OPSIZE | PFX_LOCK | PFX_REP | PFX_REPNE | PFX_REX))
		return DECODE_UD;
	if (c->pos + len - 1 > c->end)
		return ran_out(c);
	b1 = c->bytes[c->pos++];
	insn->enc = ENC_VEX;
	insn->rex = 0x40;
	insn->map = MAP_0F;
	b2 = b1;
	if (first == 0xc4) {
		b2 = c->bytes[c->pos++];
		insn->map = b1 & 0x1f;
		insn->rex |= (~b1 >> 5) & 3;	/* X and B */
		insn->rex |= b2 >> 7 << 3;	/* W */
	}
	insn->rex |= (~b1 >> 7 & 1) << 2;	/* R */
	c->vex_vvvv = ~b2 >> 3 & 15;
	insn->vvvv = c->vex_vvvv;
	insn->vex_l = b2 >> 2 & 1;
	insn->mand = pp_mand[b2 & 3];
	if (c->mode != INSN_MODE_64) {
		/* R and X were 1 or this would be LDS or LES; B is ignored, and vvvv's high bit
		 * where vvvv is used */
		insn->rex &= 0x48;
		insn->vvvv &= 7;
	}
	if (insn->map < MAP_0F || insn->map >= MAP_NR)
		return DECODE_UD;
	insn->opcode = c->bytes[c->pos++];
	*row = &insn_vex[insn->map][insn->opcode].r[b2 & 3];
	return DECODE_OK;
}

static enum decode_result read_opcode(struct insn *insn, struct cursor *c, const struct row **row)
{
	static const u8 mand[4] = { 0, 0x66, 0xf3, 0xf2 };
	const struct pfx_rows *rows;
	unsigned int pp;
	u8 b = c->bytes[c->pos++];

	insn->enc = ENC_LEGACY;
	insn->map = 0;
	insn->mand = 0;
	insn->vex_l = 0;
	insn->vvvv = 0;
	if (b == 0xc4 || b == 0xc5 || b == 0x62) {
		if (c->mode != INSN_MODE_64 && c->pos >= c->end)
			return ran_out(c);
		if (c->mode == INSN_MODE_64 || c->bytes[c->pos] >= 0xc0)
			return b == 0x62 ? DECODE_UD : read_vex(insn, c, b, row);
	}
	if (b != 0x0f) {
		insn->opcode = b;
		*row = &insn_map0[b];
		return DECODE_OK;
	}
	if (c->pos >= c->end)
		return ran_out(c);
	b = c->bytes[c->pos++];
	insn->map = MAP_0F;
	if (b == 0x38 || b == 0x3a) {
		if (c->pos >= c->end)
			return ran_out(c);
		insn->map = b == 0x38 ? MAP_0F38 : MAP_0F3A;
		b = c->bytes[c->pos++];
	}
	insn->opcode = b;
	/* F2 and F3 go before 66 */
	if (insn->pfx & (PFX_REP | PFX_REPNE))
		pp = insn->pfx & PFX_REP ? 2 : 3;
	else
		pp = insn->pfx & PFX_OPSIZE ? 1 : 0;
	rows = &insn_legacy[insn->map][b];
	if (rows->any && rows->r[pp].op == OP_INVALID)
		pp = 0;
	insn->mand = mand[pp];
	*row = &rows->r[pp];
	return DECODE_OK;
}

static bool needs_modrm(const struct row *row)
{
	unsigned int i;

	for (i = 0; i < ROW_OPNDS && row->am[i]; i++)
		if (row->am[i] <= AM_LAST_MODRM)
			return true;
	return false;
}

static int read_modrm(struct insn *insn, struct cursor *c)
{
	if (insn->has_modrm)
		return 0;
	if (c->pos >= c->end)
		return -1;
	insn->modrm = c->bytes[c->pos++];
	insn->has_modrm = 1;
	return 0;
}

static unsigned int select_row(const struct insn *insn, const struct cursor *c, unsigned int sel)
{
	switch (sel) {
	case SEL_REG:
		return insn->modrm >> 3 & 7;
	case SEL_RM:
		return insn->modrm & 7;
	case SEL_MOD:
		return insn->modrm >= 0xc0;
	case SEL_MODE:
		return c->mode == INSN_MODE_64;
	case SEL_W:
		return insn->rex >> 3 & 1;
	case SEL_L:
		return insn->vex_l;
	default: /* SEL_NOP */
		if (insn->rex & 1)
			return 2;
		return insn->pfx & PFX_REP ? 1 : 0;
	}
}

static void operand_size(struct insn *insn, const struct cursor *c, const struct row *opnds, u64 x)
{
	bool has66 = insn->pfx & PFX_OPSIZE && insn->mand != 0x66;
	unsigned int size;

	if (c->mode == INSN_MODE_64) {
		if (x & F64 & ~(u64)INSN_STACK64)
			size = 8;
		else if (x & D64 & ~(u64)INSN_STACK64)
			size = has66 && !(insn->rex & 8) ? 2 : 8;
		else if (insn->rex & 8)
			size = 8;
		else
			size = has66 ? 2 : 4;
	} else {
		size = (c->mode == INSN_MODE_16) == has66 ? 4 : 2;
		if (insn->enc == ENC_VEX)
			size = 4;
	}
	if (x & IOZ && size == 8)
		size = 4;
	if (x & BYTE || opnds->ty[0] == TY_b)
		size = opnds->am[0] == AM_J ? size : 1;
	insn->opsize = size;
}

static bool vex_ok(const struct insn *insn, const struct cursor *c, u64 x)
{
	if (x & L0 && insn->vex_l)
		return false;
	if (x & L1 && !insn->vex_l)
		return false;
	if (x & W0 && insn->rex & 8)
		return false;
	if (x & W1 && !(insn->rex & 8))
		return false;
	return c->vvvv_used || !c->vex_vvvv;
}

/*
 * Shifts leave the flags alone if the masked count is 0. SDM 2B SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR,
 * SHLD.
 */
static void fixup_shift(struct insn *insn)
{
	const struct opnd *count = &insn->opnd[insn->nr_opnd - 1];

	if (count->kind == OPND_GPR) {
		insn->flags_maybe = insn->flags_written;
		insn->flags_written = 0;
	} else if (count->kind == OPND_IMM && !(insn->imm & (insn->opsize == 8 ? 63 : 31))) {
		insn->flags_written = 0;
		insn->flags_read = 0;
	}
}

static void flags_of(struct insn *insn, unsigned int class)
{
	const struct flags_effect *fe = &flags_effects[class];

	insn->flags_read = fe->read;
	insn->flags_written = fe->written;
	insn->flags_maybe = fe->maybe;
	switch (class) {
	case FL_SHIFT:
	case FL_ROT:
	case FL_ROTC:
		fixup_shift(insn);
		break;
	case FL_CC:
		insn->flags_read = cc_reads[insn->opcode >> 1 & 7];
		insn->attr |= (insn->opcode & 15) << 16;
		break;
	case FL_FCMOV:
		insn->flags_read = fcmov_reads[insn->modrm >> 3 & 3];
		break;
	case FL_CMPS:
		if (insn->pfx & (PFX_REP | PFX_REPNE)) {
			insn->flags_maybe = insn->flags_written;
			insn->flags_written = 0;
		}
		break;
	}
}

static void clear_fields(struct insn *insn)
{
	insn->has_modrm = 0;
	insn->modrm = 0;
	insn->has_mem = 0;
	insn->base = INSN_BASE_NONE;
	insn->index = INSN_BASE_NONE;
	insn->scale = 0;
	insn->mem_size = 0;
	insn->mem_access = 0;
	insn->imm_size = 0;
	insn->imm_off = 0;
	insn->disp_size = 0;
	insn->disp = 0;
	insn->imm = 0;
	insn->imm2 = 0;
}

/* A gather's address needs a SIB byte, and its three registers must differ. SDM 2C VGATHERDPS. */
static bool gather_ok(const struct insn *insn)
{
	if (insn->addrsize == 2 || (insn->modrm & 7) != 4)
		return false;
	return insn->opnd[0].reg != insn->opnd[2].reg && insn->opnd[0].reg != insn->index &&
	       insn->opnd[2].reg != insn->index;
}

static void copy_bytes(struct insn *insn, const struct cursor *c)
{
	unsigned int i;

	/* two overlapping moves where that many bytes are there */
	if (c->end == INSN_MAX_LEN) {
		__builtin_memcpy(insn->bytes, c->bytes, 8);
		__builtin_memcpy(insn->bytes + 7, c->bytes + 7, 8);
		return;
	}
	for (i = 0; i < c->pos; i++)
		insn->bytes[i] = c->bytes[i];
}

/* VEX.W outside 64-bit mode where it would ask for a 64-bit general register, or its like in memory. */
static bool w_is_ignored(const struct insn *insn)
{
	unsigned int i;

	if (insn->family == FAM_INT || insn->mem_size == 4)
		return true;
	for (i = 0; i < insn->nr_opnd; i++)
		if (insn->opnd[i].kind == OPND_GPR)
			return true;
	return false;
}

/* What the row says besides operands, once those are known. */
static enum decode_result finish(struct insn *insn, struct cursor *c, const struct row *row, u64 x)
{
	const struct op_info *info = &insn_ops[row->op];
	unsigned int i;

	if (insn->enc == ENC_VEX && !vex_ok(insn, c, x))
		return DECODE_UD;
	insn->op = row->op;
	insn->mode = c->mode;
	insn->family = info->family;
	insn->attr = info->attr | (u32)x;
	insn->feature = x >> 56 ? x >> 56 : info->feature;
	if (x & I2)
		insn->feature = insn->vex_l ? FEAT_AVX2 : FEAT_AVX;
	if (insn->enc == ENC_VEX)
		insn->attr |= INSN_NO_REAL;
	if (insn->enc == ENC_VEX && c->mode != INSN_MODE_64 && insn->rex & 8) {
		/* VPEXTRQ and VPINSRQ have no 32-bit twins under W */
		if (insn->map == MAP_0F3A && (insn->opcode == 0x16 || insn->opcode == 0x22))
			return DECODE_UD;
		if (w_is_ignored(insn))
			insn->rex &= ~8;
	}
	if (info->family == FAM_SSE) {
		for (i = 0; i < insn->nr_opnd; i++)
			if (insn->opnd[i].kind == OPND_MMX)
				insn->attr |= INSN_FPU;
	}
	if (insn->mem_size < 16)
		insn->attr &= ~INSN_ALIGNED;
	if (insn->attr & INSN_VSIB && !gather_ok(insn))
		return DECODE_UD;
	if (insn->pfx & PFX_LOCK &&
	    (!(insn->attr & INSN_LOCKABLE) || insn->opnd[0].kind != OPND_MEM))
		return DECODE_UD;
	if (insn->seg == X86_NR_SEG)
		insn->seg = X86_DS;
	insn->len = c->pos;
	copy_bytes(insn, c);
	flags_of(insn, info->flags);
	return DECODE_OK;
}

enum decode_result insn_decode(struct insn *insn, const u8 *bytes, unsigned int avail,
			       enum insn_mode mode)
{
	struct cursor c = { .bytes = bytes,
			    .mode = mode,
			    .end = avail < INSN_MAX_LEN ? avail : INSN_MAX_LEN };
	const struct row *row, *opnds;
	enum decode_result ret;
	u8 seg = X86_NR_SEG;
	u64 x;

	if (read_prefixes(insn, &c, &seg))
		return ran_out(&c);
	clear_fields(insn);
	insn->seg = seg;
	ret = read_opcode(insn, &c, &row);
	if (ret)
		return ret;

	opnds = row;
	x = row->x;
	while (row->op >= SEL_FIRST) {
		if (row->op <= SEL_MOD && read_modrm(insn, &c))
			return ran_out(&c);
		row = &insn_groups[row->x >> 48 & 255][select_row(insn, &c, row->op)];
		x = (x & ~(255ULL << 48)) | row->x;
		if (row->am[0])
			opnds = row;
	}
	if (row->op == OP_INVALID || x & (mode == INSN_MODE_64 ? NO64 : ONLY64) & (NO64 | ONLY64))
		return DECODE_UD;

	if (x & NP && insn->pfx & (PFX_OPSIZE | PFX_REP | PFX_REPNE))
		return DECODE_UD;
	if (x & OS66)
		insn->mand = 0;

	if (mode == INSN_MODE_16)
		insn->addrsize = insn->pfx & PFX_ADDRSIZE ? 4 : 2;
	else if (mode == INSN_MODE_32)
		insn->addrsize = insn->pfx & PFX_ADDRSIZE ? 2 : 4;
	else
		insn->addrsize = insn->pfx & PFX_ADDRSIZE ? 4 : 8;
	if (needs_modrm(opnds) && read_modrm(insn, &c))
		return ran_out(&c);
	if (insn->has_modrm && insn->modrm < 0xc0 && !(x & NOMOD) &&
	    insn_address(insn, &c, opnds->am[1] == AM_MX))
		return ran_out(&c);
	operand_size(insn, &c, opnds, x);
	ret = insn_operands(insn, &c, opnds, x | (u64)insn_ops[row->op].access << 48);
	if (ret)
		return ret;
	return finish(insn, &c, row, x);
}

bool insn_waits_for_x87(const struct insn *insn)
{
	if (insn->family == FAM_X87)
		return insn->op != OP_FNSTCW && insn->op != OP_FNSTSW && insn->op != OP_FNSTENV && insn->op != OP_FNSAVE;
	for (unsigned int i = 0; i < insn->nr_opnd; i++)
		if (insn->opnd[i].kind == OPND_MMX)
			return true;
	return false;
}
