/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Register numbers as instructions encode them, and RFLAGS. SDM 1 3.4. */
#ifndef X86_ARCH_REG_H
#define X86_ARCH_REG_H

enum x86_gpr {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
	X86_NR_GPR,
};

/* As in the reg field of MOV Sreg. */
enum x86_sreg {
	X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS,
	X86_NR_SEG,
	X86_LDTR = 6, X86_TR = 7,	/* only as indices into x86_state.seg[] */
	X86_NR_ALLSEG = 8,
};

#define X86_FLAG_CF	(1UL << 0)
#define X86_FLAG_FIXED	(1UL << 1)
#define X86_FLAG_PF	(1UL << 2)
#define X86_FLAG_AF	(1UL << 4)
#define X86_FLAG_ZF	(1UL << 6)
#define X86_FLAG_SF	(1UL << 7)
#define X86_FLAG_TF	(1UL << 8)
#define X86_FLAG_IF	(1UL << 9)
#define X86_FLAG_DF	(1UL << 10)
#define X86_FLAG_OF	(1UL << 11)
#define X86_FLAG_IOPL	(3UL << 12)
#define X86_FLAG_NT	(1UL << 14)
#define X86_FLAG_RF	(1UL << 16)
#define X86_FLAG_VM	(1UL << 17)
#define X86_FLAG_AC	(1UL << 18)
#define X86_FLAG_VIF	(1UL << 19)
#define X86_FLAG_VIP	(1UL << 20)
#define X86_FLAG_ID	(1UL << 21)

#define X86_FLAGS_ARITH	(X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF | X86_FLAG_OF)

/* Bits of RFLAGS that exist. SDM 1 figure 3-8; bit 1 reads as one. */
#define X86_FLAGS_ALL \
	(X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF | X86_FLAG_IOPL | X86_FLAG_NT | \
	 X86_FLAG_RF | X86_FLAG_VM | X86_FLAG_AC | X86_FLAG_VIF | X86_FLAG_VIP | X86_FLAG_ID)

#endif
