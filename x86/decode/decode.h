/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * decode.h - bytes to struct insn, by one table (ops.def, groups.def) that the decoder, the
 * emulator and the soft vendor's translator share. No allocation, no access to guest state: only
 * bytes and the mode.
 */
#ifndef X86_DECODE_H
#define X86_DECODE_H

#include "../../host/types.h"
#include "../arch/reg.h"

enum insn_mode { INSN_MODE_16, INSN_MODE_32, INSN_MODE_64 };

/*
 * One id per mnemonic (OP_ADD, OP_MOV, OP_JCC, OP_VPADDB ...), generated from the tables: see
 * decode.c.
 */
#include "op_ids.h"

/* What handles it: coarse families, one translator file each. */
enum insn_family {
	FAM_INT,	/* integer, incl. BMI, ADX, MOVBE, CRC32, POPCNT; lockable ones too */
	FAM_FLOW,	/* near jumps, calls, returns, Jcc, LOOP, JCXZ */
	FAM_STRING,	/* MOVS CMPS STOS LODS SCAS (INS and OUTS: FAM_SYSTEM) */
	/* legacy SSE..SSE4, AES, SHA, PCLMUL (66/F2/F3 or no prefix, not VEX), also MMX */
	FAM_SSE,
	FAM_AVX,	/* VEX: AVX, AVX2, FMA, F16C, VAES, VPCLMULQDQ (VEX BMI is FAM_INT) */
	FAM_X87,
	/* privileged, far control flow, segment loads, I/O, INT n, XSAVE family, CPUID, ... */
	FAM_SYSTEM,
};

enum insn_encoding { ENC_LEGACY, ENC_VEX };

enum opnd_kind {
	OPND_NONE,
	OPND_GPR,	/* .reg 0-15; .high8: AH CH DH BH (.reg then 0-3) */
	OPND_MEM,	/* the instruction's one memory operand, described in struct insn */
	/* insn.imm: sign-extended to 64 bits; zero-extended: I/O ports, INT, counts, RET's, SSE's
	 * imm8 */
	OPND_IMM,
	OPND_IMM2,	/* insn.imm2: ENTER's level, far pointer's selector, EXTRQ's second byte */
	OPND_REL,	/* insn.imm: displacement from the end of the instruction */
	/* XMM or YMM .reg 0-15, .size 16 or 32 (or scalar's size where only that is touched) */
	OPND_VEC,
	OPND_MMX,	/* .reg 0-7 */
	OPND_ST,	/* ST(.reg) */
	OPND_SREG, OPND_CR, OPND_DR,
	OPND_CONST,	/* the constant 1 of shift D0/D1; value in .reg */
};

#define OPND_R	1
#define OPND_W	2

struct opnd {
	u8 kind;	/* enum opnd_kind */
	u8 reg;
	/* bytes; memory operands that are not data (LEA, INVLPG): 0; up to 255; FXSAVE-like: 0 */
	u8 size;
	u8 access : 2;	/* OPND_R | OPND_W */
	u8 high8 : 1;	/* AH CH DH BH as .reg 0-3 */
	/* not encoded in the instruction: AL in IN, CL in SHL, RDX:RAX in MUL (one opnd each) */
	u8 implicit : 1;
	u8 field : 3;	/* enum opnd_field: where a register operand is encoded, for re-emission */
};

enum opnd_field { FIELD_NONE, FIELD_REG, FIELD_RM, FIELD_VVVV, FIELD_OPCODE, FIELD_IMM4 /* imm8[7:4] */ };

/* Prefix bits */
#define PFX_LOCK	0x01
#define PFX_REP		0x02	/* F3, also where it is mandatory */
#define PFX_REPNE	0x04	/* F2, also where it is mandatory */
#define PFX_OPSIZE	0x08	/* 66 */
#define PFX_ADDRSIZE	0x10	/* 67 */
#define PFX_REX		0x20	/* a REX byte counted */
#define PFX_SEG		0x40	/* a segment override counted */

/* Attributes */
#define INSN_CPL0	0x0001	/* #GP(0) unless CPL 0 (and #GP in v8086) */
#define INSN_IOPL	0x0002	/* IOPL- or I/O-bitmap-sensitive */
#define INSN_LOCKABLE	0x0004	/* LOCK allowed when the destination is memory; decode returns #UD otherwise */
#define INSN_ENDS_BLOCK	0x0008	/* may change RIP, mode, or interruptibility: a translation block ends after it */
#define INSN_REP_OK	0x0010	/* REP or REPNE repeat it (string and I/O string instructions) */
#define INSN_BRANCH	0x0020	/* near jump, call or return */
#define INSN_COND	0x0040	/* a branch that may fall through */
#define INSN_RAX_RDX	0x0080	/* implicitly uses rAX and/or rDX in a way operands do not say in full */
#define INSN_ALIGNED	0x0100	/* memory operand must be aligned to its size or #GP(0) (legacy SSE, VMOVAPS..) */
#define INSN_STACK64	0x0200	/* operand size defaults to 64 in 64-bit mode (PUSH, POP, near branches ...) */
#define INSN_FPU	0x0400	/* #NM by CR0.EM/TS as x87; with INSN_VECTOR: MMX registers, x87 state is used */
#define INSN_VECTOR	0x0800	/* #UD/#NM by CR0.EM/TS, CR4.OSFXSR (legacy) or CR4.OSXSAVE/XCR0 (VEX) */
#define INSN_NO_REAL	0x1000	/* #UD in real and virtual-8086 mode (VEX, SYSCALL-like, LLDT, ...) */
#define INSN_VSIB	0x2000	/* gather: .index is a vector register, .mem_size 0; the masked elements are read */
#define INSN_CC_MASK	0xf0000	/* condition code for Jcc, SETcc, CMOVcc: INSN_CC(insn) */
#define INSN_CC(i)	(((i)->attr & INSN_CC_MASK) >> 16)

/*
 * CPUID features that make the instruction exist; the user compares with the guest's policy. VEX
 * forms (enc) of AES, PCLMUL, GFNI, FMA, F16C, VAES, VPCLMUL need AVX as well; FEAT_3DNOWPF
 * PREFETCH exists with LM too.
 */
enum insn_feature {
	FEAT_BASE, FEAT_X87, FEAT_CMOV, FEAT_MMX, FEAT_SSE, FEAT_SSE2, FEAT_SSE3, FEAT_SSSE3,
	FEAT_SSE41, FEAT_SSE42,
	FEAT_SSE4A, FEAT_POPCNT, FEAT_LZCNT, FEAT_MOVBE, FEAT_AES, FEAT_PCLMUL, FEAT_SHA, FEAT_BMI1,
	FEAT_BMI2,
	FEAT_ADX, FEAT_AVX, FEAT_AVX2, FEAT_FMA, FEAT_F16C, FEAT_VAES, FEAT_VPCLMUL, FEAT_RDRAND,
	FEAT_RDSEED,
	FEAT_FSGSBASE, FEAT_XSAVE, FEAT_XSAVEOPT, FEAT_XSAVEC, FEAT_XSAVES, FEAT_FXSR, FEAT_CX16,
	FEAT_CX8,
	FEAT_RDTSCP, FEAT_CLFLUSH, FEAT_CLFLUSHOPT, FEAT_CLWB, FEAT_PREFETCHW, FEAT_INVPCID,
	FEAT_RDPID, FEAT_SMAP,
	FEAT_SYSCALL, FEAT_SEP, FEAT_MONITOR, FEAT_GFNI, FEAT_PKU, FEAT_LAHF64, FEAT_CLZERO,
	FEAT_WBNOINVD,
	FEAT_3DNOWPF, FEAT_TSC, FEAT_MSR, FEAT_VMX, FEAT_SVM, FEAT_HLE_RTM,
	FEAT_NR,
};

#define INSN_MAX_LEN	15
#define INSN_BASE_NONE	0xff
#define INSN_BASE_RIP	0xfe

struct insn {
	u16 op;			/* enum op_id */
	u8 family;		/* enum insn_family */
	u8 len;
	u8 mode;		/* enum insn_mode that it was decoded for */
	u32 attr;
	u8 feature;		/* enum insn_feature */
	u8 enc;			/* enum insn_encoding */
	u8 map;			/* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
	u8 opcode;
	/* mandatory prefix of the opcode: 0, 0x66, 0xf3, 0xf2 (VEX.pp likewise); 66 is then no
	 * operand size */
	u8 mand;
	u8 pfx;			/* PFX_* */
	u8 rex;			/* 0 or 0x40-0x4f; for VEX the equivalent W R X B bits | 0x40 */
	u8 vex_l;		/* VEX.L */
	u8 vvvv;		/* VEX.vvvv, uninverted */
	u8 opsize;		/* effective operand size in bytes: 1 (byte forms), 2, 4, 8; near branches in 64-bit mode: 8 whatever
				 * 66 says, as Intel does (AMD truncates RIP; nobody encodes it) */
	u8 addrsize;		/* 2, 4, 8 */
	u8 has_modrm, modrm;
	/* the memory operand, if has_mem (also for moffs, string and XLAT operands? no: only ModRM
	 * and moffs forms) */
	u8 has_mem;
	u8 seg;			/* enum x86_sreg used by the memory operand, after override and default (SS for rSP/rBP); without
				 * one the override or DS: the source of MOVS, LODS, OUTS, XLAT, MASKMOVDQU, MONITOR ... */
	/* 0-15, INSN_BASE_NONE, base also INSN_BASE_RIP (disp is then relative to the end) */
	u8 base, index;
	u8 scale;		/* shift 0-3 */
	u8 mem_size;		/* bytes read or written; 0: not data or not fixed */
	u8 mem_access;		/* OPND_R | OPND_W */
	/* encoded size in bytes (of imm), and where it stands in the instruction */
	u8 imm_size, imm_off;
	u8 disp_size;
	u8 nr_opnd;
	s64 disp;
	u64 imm;
	u64 imm2;
	/* X86_FLAG_*: arithmetic flags and DF; conditionally used counts as read */
	u16 flags_read;
	u16 flags_written;	/* certainly overwritten or left undefined whatever the operands */
	/* written only for some operand values (shift by CL, REP CMPS), so old ones survive */
	u16 flags_maybe;
	struct opnd opnd[5];
	u8 bytes[INSN_MAX_LEN];
};

enum decode_result {
	DECODE_OK = 0,
	/* avail bytes end inside the instruction; caller fetches more or raises #PF */
	DECODE_MORE = -1,
	/* undefined, or LOCK where it is not allowed, or invalid in this mode */
	DECODE_UD = -2,
	DECODE_TOO_LONG = -3,	/* more than 15 bytes: #GP(0) */
};

/**
 * Decode one instruction.
 * @bytes: at most @avail bytes at the instruction pointer
 * @mode: the code segment's: 16-, 32- or 64-bit
 * Returns enum decode_result; on DECODE_OK all of *insn is filled. Instructions that exist on no
 * supported CPU feature are DECODE_UD; ones that need a feature decode, with .feature naming it.
 * SDM 2A chapter 2, 2C, APM 3.
 */
enum decode_result insn_decode(struct insn *insn, const u8 *bytes, unsigned int avail,
			       enum insn_mode mode);

/** Does it raise a pending unmasked x87 exception, before anything else? SDM 1 8.7 */
bool insn_waits_for_x87(const struct insn *insn);

/** Mnemonic of an op id, as the tables spell it. */
const char *insn_op_name(unsigned int op);

/**
 * Text form, for logs and tests; always terminated. Returns the length that would have been
 * written.
 */
int insn_format(char *buf, size_t size, const struct insn *insn, u64 rip);

#endif
