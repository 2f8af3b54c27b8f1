/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Control registers, EFER, XCR0. SDM 3A 2.5, 2.6; APM 2 3.1. */
#ifndef X86_ARCH_CR_H
#define X86_ARCH_CR_H

#define CR0_PE		(1UL << 0)
#define CR0_MP		(1UL << 1)
#define CR0_EM		(1UL << 2)
#define CR0_TS		(1UL << 3)
#define CR0_ET		(1UL << 4)
#define CR0_NE		(1UL << 5)
#define CR0_WP		(1UL << 16)
#define CR0_AM		(1UL << 18)
#define CR0_NW		(1UL << 29)
#define CR0_CD		(1UL << 30)
#define CR0_PG		(1UL << 31)
/* What can be written; the other bits of the lower half read as 0, CR0.ET as 1. */
#define CR0_WRITABLE	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

#define CR3_PCID_MASK	0xfffUL
#define CR3_PCID_NOFLUSH (1UL << 63)

#define CR4_VME		(1UL << 0)
#define CR4_PVI		(1UL << 1)
#define CR4_TSD		(1UL << 2)
#define CR4_DE		(1UL << 3)
#define CR4_PSE		(1UL << 4)
#define CR4_PAE		(1UL << 5)
#define CR4_MCE		(1UL << 6)
#define CR4_PGE		(1UL << 7)
#define CR4_PCE		(1UL << 8)
#define CR4_OSFXSR	(1UL << 9)
#define CR4_OSXMMEXCPT	(1UL << 10)
#define CR4_UMIP	(1UL << 11)
#define CR4_LA57	(1UL << 12)
#define CR4_VMXE	(1UL << 13)
#define CR4_SMXE	(1UL << 14)
#define CR4_FSGSBASE	(1UL << 16)
#define CR4_PCIDE	(1UL << 17)
#define CR4_OSXSAVE	(1UL << 18)
#define CR4_SMEP	(1UL << 20)
#define CR4_SMAP	(1UL << 21)
#define CR4_PKE		(1UL << 22)

#define EFER_SCE	(1UL << 0)
#define EFER_LME	(1UL << 8)
#define EFER_LMA	(1UL << 10)
#define EFER_NX		(1UL << 11)
#define EFER_SVME	(1UL << 12)
#define EFER_FFXSR	(1UL << 14)
#define EFER_AUTOIBRS	(1UL << 21)

#define XCR0_X87	(1UL << 0)
#define XCR0_SSE	(1UL << 1)
#define XCR0_AVX	(1UL << 2)

#endif
