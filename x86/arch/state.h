/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The architectural state of one processor, as the core, the emulator and the soft vendor see it.
 * vmx and svm keep parts of it in the VMCS or VMCB and fill them in on demand (core/vendor.h,
 * cache_regs).
 */
#ifndef X86_ARCH_STATE_H
#define X86_ARCH_STATE_H

#include "../../host/types.h"
#include "reg.h"
#include "cr.h"

/* Descriptor cache. attr: bits as in the descriptor's bytes 5 and 6. SDM 3A 3.4.5 */
struct x86_seg {
	u64 base;
	u32 limit;		/* in bytes, granularity applied */
	u16 sel;
	u16 attr;
#define   SEG_TYPE		0x000f
#define   SEG_TYPE_ACCESSED	0x0001
#define   SEG_TYPE_WR		0x0002	/* data: writable, code: readable */
#define   SEG_TYPE_DC		0x0004	/* data: expand down, code: conforming */
#define   SEG_TYPE_CODE		0x0008
#define   SEG_S			0x0010	/* 1: code or data */
#define   SEG_DPL		0x0060
#define   SEG_DPL_SHIFT		5
#define   SEG_P			0x0080
#define   SEG_AVL		0x1000
#define   SEG_L			0x2000
#define   SEG_DB		0x4000
#define   SEG_G			0x8000
#define   SEG_UNUSABLE		0x0100	/* null selector loaded */
};

struct x86_dtable {
	u64 base;
	u16 limit;
};

struct x86_state {
	/* Order: what translated code touches most comes first (8-bit displacements). */
	u64 gpr[X86_NR_GPR];
	u64 rip;
	u64 rflags;
	struct x86_seg seg[X86_NR_ALLSEG];	/* index: enum x86_sreg, LDTR and TR included */
	struct x86_dtable gdtr, idtr;
	u64 cr0, cr2, cr3, cr4, cr8;
	u64 efer;
	u64 xcr0;
	u64 dr[4], dr6, dr7;
	/* PAE page-directory pointers as loaded by the last MOV CR3. SDM 3A 4.4.1 */
	u64 pdptr[4];
	/* MSRs that instructions use directly */
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 tsc_aux;
	/* guest TSC = host TSC * tsc_ratio / 2^48 + tsc_offset; ratio 0: not scaled */
	u64 tsc_offset, tsc_ratio;
	/* Interruptibility. SDM 3A 6.8.3, 6.7.1 */
	u8 shadow_sti, shadow_movss;	/* the next instruction boundary accepts no interrupt */
	u8 nmi_masked;			/* until IRET */
	u8 smm;				/* in system management mode: memory is address space 1 */
	/* current privilege level; kept by whoever changes CS or SS */
	u8 cpl;
	u8 halted;			/* HLT retired; the core blocks the vCPU */
};

/** Processor mode, from state. Long mode counts as 64-bit only with CS.L. */
static inline bool x86_protected(const struct x86_state *s)
{
	return s->cr0 & CR0_PE;
}

static inline bool x86_long_mode(const struct x86_state *s)
{
	return s->efer & EFER_LMA;
}

static inline bool x86_64bit(const struct x86_state *s)
{
	return (s->efer & EFER_LMA) && (s->seg[X86_CS].attr & SEG_L);
}

static inline bool x86_v8086(const struct x86_state *s)
{
	return (s->cr0 & CR0_PE) && (s->rflags & X86_FLAG_VM);
}

/**
 * Privilege level of a state that was set as a whole. SDM 3A 5.5; as both vendors' hardware keeps
 * it in SS.DPL.
 */
static inline u8 x86_cpl_of(const struct x86_state *s)
{
	if (!(s->cr0 & CR0_PE))
		return 0;
	if (s->rflags & X86_FLAG_VM)
		return 3;
	return (s->seg[X86_SS].attr & SEG_DPL) >> SEG_DPL_SHIFT;
}

/** True if a is canonical for 48-bit linear addresses. SDM 1 3.3.7.1 */
static inline bool x86_canonical(u64 a)
{
	return (u64)((s64)(a << 16) >> 16) == a;
}

#endif
