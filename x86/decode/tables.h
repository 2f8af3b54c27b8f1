/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * tables.h - the shape of the decode table, private to x86/decode. Operand letters are the manual's
 * (SDM 2D appendix A.2): addressing method, then type. Where the manual has no letter ours is
 * marked (+).
 */
#ifndef X86_DECODE_TABLES_H
#define X86_DECODE_TABLES_H

#include "decode.h"

enum addr_method {
	AM_NONE,
	/* these need a ModRM byte */
	AM_E,		/* general register or memory */
	AM_G,		/* general register in ModRM.reg */
	AM_M,		/* memory only */
	AM_R,		/* general register in ModRM.rm only */
	AM_RI,		/* (+) the same, ModRM.mod ignored: MOV CR and DR */
	AM_V,		/* vector register in ModRM.reg */
	AM_W,		/* vector register or memory */
	AM_U,		/* vector register in ModRM.rm only */
	AM_P,		/* MMX register in ModRM.reg */
	AM_Q,		/* MMX register or memory */
	AM_N,		/* MMX register in ModRM.rm only */
	AM_S,		/* segment register in ModRM.reg */
	AM_C,		/* control register in ModRM.reg */
	AM_D,		/* debug register in ModRM.reg */
	AM_MX,		/* (+) memory with a vector index (VSIB) */
	AM_STi,		/* (+) x87 register in ModRM.rm */
	AM_LAST_MODRM = AM_STi,
	AM_H,		/* vector register in VEX.vvvv */
	AM_B,		/* general register in VEX.vvvv */
	AM_L,		/* vector register in imm8[7:4] */
	AM_Z,		/* general register in the opcode's low three bits */
	AM_I,		/* immediate */
	AM_J,		/* relative branch */
	AM_A,		/* far pointer */
	AM_O,		/* memory offset without ModRM */
	AM_AX, AM_CX, AM_DX, AM_SP, AM_BP, AM_AH,	/* implicit registers */
	AM_ES, AM_CS, AM_SS, AM_DS, AM_FS, AM_GS,	/* segment registers in the opcode */
	AM_ONE,		/* (+) the constant of shift by one */
	AM_ST0,		/* (+) implicit ST(0) */
	AM_X0,		/* (+) implicit XMM0 */
};

enum opnd_type {
	/* sizes by type_size[] */
	TY_n,		/* (+) address only, or a size the operand does not tell */
	TY_b, TY_w, TY_d, TY_q, TY_t /* 10 bytes */, TY_dq, TY_qq,
	TY_ub, TY_sb,	/* immediates: zero-extended byte, sign-extended byte */
	TY_ss, TY_sd,	/* scalar single and double */
	TY_FIXED = TY_sd,
	/* sizes by operand size or mode */
	TY_v,		/* 2, 4, 8 */
	TY_z,		/* 2, 4 */
	TY_y,		/* 4, 8 */
	TY_m,		/* (+) 4, in 64-bit mode 8 */
	TY_p,		/* far pointer in memory: 4, 6, 10 */
	TY_s,		/* pseudo-descriptor: 6, in 64-bit mode 10 */
	TY_a,		/* BOUND's pair: 4, 8 */
	TY_fe,		/* x87 environment: 14, 28 */
	TY_fs,		/* x87 state: 94, 108 */
	/* sizes by VEX.L */
	TY_x,		/* 16, 32 */
	TY_h,		/* (+) half: 8, 16 */
	TY_f,		/* (+) a fourth: 4, 8 */
	TY_e,		/* (+) an eighth: 2, 4 */
	TY_dd,		/* (+) MOVDDUP's: 8, 32 */
	/* register size differs from the size in memory */
	TY_vw,		/* (+) v in a register, 2 bytes in memory */
	TY_db, TY_dw,	/* (+) d in a register, 1 or 2 bytes in memory */
	TY_xss, TY_xsd,	/* (+) whole vector register, scalar in memory */
};

/* Operand access, two bits (OPND_R, OPND_W) an operand, first operand lowest; the fifth is read. */
#define ACC(a, b, c)	((a) | (b) << 2 | (c) << 4 | OPND_R << 6)
enum {
	ACC_0 = ACC(0, 1, 1),	/* the address is used, not the data */
	ACC_R = ACC(1, 1, 1),
	ACC_W = ACC(2, 1, 1),
	ACC_RW = ACC(3, 1, 1),
	ACC_RWRW = ACC(3, 3, 1),
	ACC_WW = ACC(2, 2, 1),
	/* LDS and friends: the segment register is not an operand */
	ACC_WSEG = ACC(2, 1, 1),
	ACC_CMPXCHG = ACC(3, 1, 3),
	ACC_MUL = ACC(1, 3, 2),
	ACC_DIV = ACC(1, 3, 3),
	ACC_GATHER = ACC(3, 1, 3),
	/* PCMPxSTRx: the fourth, implicit, is the result */
	ACC_STR = ACC_R ^ (OPND_R | OPND_W) << 6,
};

enum flag_class {
	FL_0,
	FL_ARITH,	/* all six written or undefined */
	FL_ADC,		/* the same, CF read */
	FL_INC,		/* all but CF */
	FL_SHIFT, FL_ROT, FL_ROTC,	/* as the count says: decode.c */
	FL_BT,		/* ZF kept, CF written, others undefined */
	FL_ZF, FL_CF, FL_CMC, FL_RCF, FL_RZF, FL_DF, FL_RDF, FL_LAHF, FL_SAHF,
	FL_AAA, FL_DAA, FL_ADCX, FL_ADOX,
	FL_CC,		/* read as the opcode's condition says */
	FL_CMPS,	/* DF read; the six written, with REP only if the count is not 0 */
	FL_RALL, FL_WALL, FL_RWALL,
	FL_SYSUNDEF,	/* MOV CR, DR: the six undefined */
	FL_FCMOV,	/* x87: read as the opcode says */
	FL_NR,
};

/* Attributes by short name, for the mnemonic lists. */
enum {
	A_0 = 0,
	A_LOCK = INSN_LOCKABLE,
	A_LOCKRAX = INSN_LOCKABLE | INSN_RAX_RDX,
	A_RAXRDX = INSN_RAX_RDX,
	A_RAXRDXEND = INSN_RAX_RDX | INSN_ENDS_BLOCK,
	A_END = INSN_ENDS_BLOCK,
	A_ENDNREAL = INSN_ENDS_BLOCK | INSN_NO_REAL,
	A_NREAL = INSN_NO_REAL,
	A_BR = INSN_BRANCH | INSN_ENDS_BLOCK,
	A_JCC = INSN_BRANCH | INSN_ENDS_BLOCK | INSN_COND,
	A_REP = INSN_REP_OK,
	A_IOREP = INSN_REP_OK | INSN_IOPL,
	A_IOPL = INSN_IOPL,
	A_IOPLEND = INSN_IOPL | INSN_ENDS_BLOCK,
	A_CPL0 = INSN_CPL0,
	A_CPL0END = INSN_CPL0 | INSN_ENDS_BLOCK,
	A_CPL0RAX = INSN_CPL0 | INSN_RAX_RDX,
	A_CPL0RAXEND = INSN_CPL0 | INSN_RAX_RDX | INSN_ENDS_BLOCK,
	A_CPL0NREAL = INSN_CPL0 | INSN_NO_REAL,
	A_SYSRET = INSN_CPL0 | INSN_NO_REAL | INSN_ENDS_BLOCK,
	A_VMX = INSN_CPL0 | INSN_NO_REAL | INSN_ENDS_BLOCK,
	A_SVM = INSN_CPL0 | INSN_NO_REAL | INSN_ENDS_BLOCK | INSN_RAX_RDX,
	A_FPU = INSN_FPU,
	A_MMX = INSN_VECTOR | INSN_FPU,
	A_VEC = INSN_VECTOR,
	A_AL = INSN_VECTOR | INSN_ALIGNED,	/* in effect if 16 bytes of memory are accessed */
	A_VRAX = INSN_VECTOR | INSN_RAX_RDX,
	A_VEX = INSN_VECTOR | INSN_NO_REAL,
	A_VEXAL = INSN_VECTOR | INSN_NO_REAL | INSN_ALIGNED,
	A_VSIB = INSN_VECTOR | INSN_NO_REAL | INSN_VSIB,
	A_VEXRAX = INSN_VECTOR | INSN_NO_REAL | INSN_RAX_RDX,
};

/* One mnemonic's shared properties. */
struct op_info {
	const char *name;
	u32 attr;
	u8 family;
	u8 access;
	u8 flags;
	u8 feature;
};

extern const struct op_info insn_ops[OP_NR];

#define ROW_OPNDS	5

/*
 * One encoding, or a selector of one of eight rows of a group. Bits of x: 0-31 attributes beyond
 * the mnemonic's, 32-47 conditions below, 48-55 a selector's group, 56-63 feature if it is not the
 * mnemonic's.
 */
struct row {
	u64 x;
	u16 op;
	u8 am[ROW_OPNDS];
	u8 ty[ROW_OPNDS];
};

#define ROW_BIT(n)	(1ULL << (32 + (n)))
#define ONLY64		ROW_BIT(0)	/* #UD outside 64-bit mode */
#define NO64		ROW_BIT(1)	/* #UD in 64-bit mode */
#define D64		(ROW_BIT(2) | INSN_STACK64)	/* operand size 64 in 64-bit mode, 16 with 66 */
#define F64		(ROW_BIT(3) | INSN_STACK64)	/* operand size 64 in 64-bit mode, 66 ignored */
#define BYTE		ROW_BIT(4)	/* operand size 1 where no first operand says so */
#define IOZ		ROW_BIT(5)	/* operand size at most 4: port I/O */
#define L0		ROW_BIT(6)	/* VEX.L must be 0 */
#define L1		ROW_BIT(7)	/* VEX.L must be 1 */
#define W0		ROW_BIT(8)	/* VEX.W must be 0 */
#define W1		ROW_BIT(9)	/* VEX.W must be 1 */
#define I2		ROW_BIT(10)	/* the 256-bit form is AVX2's, the 128-bit form AVX's */
#define NP		ROW_BIT(11)	/* #UD with 66, F2 or F3 though none is mandatory here */
#define ACCW		ROW_BIT(12)	/* first operand written only, whatever the mnemonic's access */
#define ACCRW		ROW_BIT(13)	/* first operand read and written */
#define OS66		ROW_BIT(15)	/* 66 is the operand size, not part of the opcode */
#define NOMOD		ROW_BIT(14)	/* no address bytes follow, whatever ModRM.mod */
#define FEAT(f)		((u64)FEAT_##f << 56)

/* Selectors stand in row.op, above the mnemonics. */
enum row_selector {
	SEL_FIRST = OP_NR,
	SEL_REG = SEL_FIRST,	/* by ModRM.reg: the manual's groups */
	SEL_RM,			/* by ModRM.rm */
	SEL_MOD,		/* row 0 memory, row 1 register */
	SEL_MODE,		/* row 0 16- and 32-bit mode, row 1 64-bit mode */
	SEL_W,			/* by REX.W or VEX.W */
	SEL_L,			/* by VEX.L */
	SEL_NOP,		/* opcode 90: row 0 NOP, 1 PAUSE (F3), 2 XCHG (REX.B) */
};

#define TABLE_X(...)	((u64)0 __VA_OPT__(| (__VA_ARGS__)))
#define OP0(o, ...)	{ .op = OP_##o, .x = TABLE_X(__VA_ARGS__) }
#define OP1(o, a, t, ...) \
	{ .op = OP_##o, .x = TABLE_X(__VA_ARGS__), .am = { AM_##a }, .ty = { TY_##t } }
#define OP2(o, a, t, b, u, ...) \
	{ .op = OP_##o, .x = TABLE_X(__VA_ARGS__), .am = { AM_##a, AM_##b }, .ty = { TY_##t, TY_##u } }
#define OP3(o, a, t, b, u, c, v, ...) \
	{ .op = OP_##o, .x = TABLE_X(__VA_ARGS__), .am = { AM_##a, AM_##b, AM_##c }, \
	  .ty = { TY_##t, TY_##u, TY_##v } }
#define OP4(o, a, t, b, u, c, v, d, w, ...) \
	{ .op = OP_##o, .x = TABLE_X(__VA_ARGS__), .am = { AM_##a, AM_##b, AM_##c, AM_##d }, \
	  .ty = { TY_##t, TY_##u, TY_##v, TY_##w } }
#define OP5(o, a, t, b, u, c, v, d, w, e, y, ...) \
	{ .op = OP_##o, .x = TABLE_X(__VA_ARGS__), .am = { AM_##a, AM_##b, AM_##c, AM_##d, AM_##e }, \
	  .ty = { TY_##t, TY_##u, TY_##v, TY_##w, TY_##y } }
#define NONE		{ .op = OP_INVALID }

/* A group's rows take the operands and bits given here unless they have operands of their own. */
#define SELECT(sel, g)	{ .op = SEL_##sel, .x = (u64)GRP_##g << 48 }
#define GROUP(g, a, t, b, u, ...) \
	{ .op = SEL_REG, .x = (u64)GRP_##g << 48 | TABLE_X(__VA_ARGS__), .am = { AM_##a, AM_##b }, \
	  .ty = { TY_##t, TY_##u } }
#define BY_REG(g)	SELECT(REG, g)
#define BY_RM(g)	SELECT(RM, g)
#define BY_MOD(g)	SELECT(MOD, g)
#define BY_MODE(g)	SELECT(MODE, g)
#define BY_W(g)		SELECT(W, g)
#define BY_L(g)		SELECT(L, g)

/* An opcode of a two- or three-byte map: rows for no prefix, 66, F3, F2. */
struct pfx_rows {
	struct row r[4];
	/* prefixes without a row of their own are no part of the opcode: row 0 serves */
	bool any;
};

#define ANY(...)	{ .r = { __VA_ARGS__ }, .any = true }
#define PFX(...)	{ .r = { __VA_ARGS__ } }

enum { MAP_0F = 1, MAP_0F38, MAP_0F3A, MAP_NR };

extern const struct row insn_map0[256];
extern const struct pfx_rows insn_legacy[MAP_NR][256];	/* [0] is not used */
extern const struct pfx_rows insn_vex[MAP_NR][256];
extern const struct row insn_groups[][8];

/* The decoder's hands on the bytes, shared by decode.c and operand.c. */
struct cursor {
	const u8 *bytes;
	unsigned int pos;
	unsigned int end;	/* bytes that may be read: available ones, 15 at most */
	enum insn_mode mode;
	bool vvvv_used;
	u8 vex_vvvv;	/* all four bits, also where only three are used */
};

/**
 * Read ModRM's address bytes into insn (has_mem ... disp). @vsib: the index is a vector register. 0
 * or -1: bytes end.
 */
int insn_address(struct insn *insn, struct cursor *c, bool vsib);
/** Resolve the row's operands and read immediates. Returns enum decode_result. */
enum decode_result insn_operands(struct insn *insn, struct cursor *c, const struct row *row, u64 x);

#endif
