/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Exception vectors and error codes. SDM 3A 6.3, 6.15, 4.7. */
#ifndef X86_ARCH_EXCEPTION_H
#define X86_ARCH_EXCEPTION_H

enum x86_vector {
	EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5, EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14, EXC_MF = 16,
	EXC_AC = 17, EXC_MC = 18, EXC_XM = 19,
};

#define EXC_HAS_ERROR_CODE(v)	(((1UL << (v)) & 0x00027d00UL) != 0)	/* 8, 10-14, 17; v below 32 */

#define PF_P		(1u << 0)
#define PF_W		(1u << 1)
#define PF_U		(1u << 2)
#define PF_RSVD		(1u << 3)
#define PF_I		(1u << 4)

#define SEL_ERR_EXT	(1u << 0)
#define SEL_ERR_IDT	(1u << 1)
#define SEL_ERR_TI	(1u << 2)

#endif
