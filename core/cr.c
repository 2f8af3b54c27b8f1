// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * cr.c - writes of control registers, XCR0 and EFER: what is refused, and what follows from the
 * rest. SDM 3A 2.5, 4.1.2, 4.10.4, 9.8.5; SDM 1 13.3.
 */
#include "private.h"

/* Bits whose change makes cached translations wrong. SDM 3A 4.10.4.1 */
#define CR0_FLUSH	(CR0_PG | CR0_WP | CR0_PE)
#define CR4_FLUSH	(CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_LA57 | CR4_PKE)
#define CR4_PDPTR	(CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)

/*
 * Reserved bits of a PAE page-directory pointer: 1-2, 5-8 and those above the physical address. SDM
 * 3A 4.4.1
 */
static u64 pdptr_reserved(struct vcpu *v)
{
	return 0x1e6UL | ~GENMASK(vcpu_maxphyaddr(v) - 1, 0);
}

/**
 * Load the four PAE page-directory pointers that @cr3 points at. Without effect and false where a
 * present one has reserved bits set, or the table is not in memory.
 */
bool cr_load_pdptrs(struct vcpu *v, u64 cr3)
{
	u64 pdptr[4];
	unsigned int i;

	if (gmem_read_as(v->vm, v->st->smm, cr3 & 0xffffffe0UL, pdptr, sizeof(pdptr)))
		return false;
	for (i = 0; i < 4; i++)
		if ((pdptr[i] & 1) && (pdptr[i] & pdptr_reserved(v)))
			return false;
	host_memcpy(v->st->pdptr, pdptr, sizeof(pdptr));
	return true;
}

static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/* Cached translations depend on the registers just written. */
static void translations_changed(struct vcpu *v, bool all)
{
	gaccess_flush(v);
	v->vm->vendor->regs_changed(v, REGS_CR);
	v->vm->vendor->tlb_flush(v, all);
}

static bool cr0_valid(u64 cr0)
{
	if (cr0 >> 32)
		return false;
	if ((cr0 & CR0_NW) && !(cr0 & CR0_CD))
		return false;
	return !(cr0 & CR0_PG) || (cr0 & CR0_PE);
}

static int write_cr0(struct vcpu *v, u64 val)
{
	struct x86_state *st = v->st;
	u64 old = st->cr0, efer = st->efer;

	if (!cr0_valid(val))
		return -EFAULT;
	val = (val & CR0_WRITABLE) | CR0_ET;
	if ((val & CR0_PG) && !(old & CR0_PG)) {
		if (efer & EFER_LME) {
			if (!(st->cr4 & CR4_PAE) || (st->seg[X86_CS].attr & SEG_L))
				return -EFAULT;
			efer |= EFER_LMA;
		}
	} else if (!(val & CR0_PG) && (old & CR0_PG)) {
		if (x86_64bit(st) || (st->cr4 & CR4_PCIDE))
			return -EFAULT;
		efer &= ~EFER_LMA;
	}
	if (pae_paging(val, st->cr4, efer) && ((old ^ val) & (CR0_PG | CR0_CD | CR0_NW)) &&
	    !cr_load_pdptrs(v, st->cr3))
		return -EFAULT;
	st->cr0 = val;
	st->efer = efer;
	if ((old ^ val) & CR0_FLUSH)
		translations_changed(v, (old ^ val) & CR0_PG);
	else
		v->vm->vendor->regs_changed(v, REGS_CR);
	return 0;
}

static int write_cr3(struct vcpu *v, u64 val)
{
	struct x86_state *st = v->st;
	bool noflush = false;

	if (st->cr4 & CR4_PCIDE) {
		noflush = val & CR3_PCID_NOFLUSH;
		val &= ~CR3_PCID_NOFLUSH;
	}
	if (x86_long_mode(st)) {
		if (val & ~GENMASK(vcpu_maxphyaddr(v) - 1, 0))
			return -EFAULT;
	} else {
		val = (u32)val;
		if (pae_paging(st->cr0, st->cr4, st->efer) && !cr_load_pdptrs(v, val))
			return -EFAULT;
	}
	st->cr3 = val;
	gaccess_flush(v);
	v->vm->vendor->regs_changed(v, REGS_CR);
	if (!noflush)
		v->vm->vendor->tlb_flush(v, false);
	return 0;
}

static int write_cr4(struct vcpu *v, u64 val)
{
	struct x86_state *st = v->st;
	u64 old = st->cr4, changed = old ^ val;

	if (val & ~v->priv->cr4_allowed)
		return -EFAULT;
	if (x86_long_mode(st)) {
		if (!(val & CR4_PAE) || (changed & CR4_LA57))
			return -EFAULT;
	} else if (val & CR4_PCIDE) {
		return -EFAULT;
	}
	if ((changed & val & CR4_PCIDE) && (st->cr3 & CR3_PCID_MASK))
		return -EFAULT;
	if (pae_paging(st->cr0, val, st->efer) && (changed & CR4_PDPTR) &&
	    !cr_load_pdptrs(v, st->cr3))
		return -EFAULT;
	st->cr4 = val;
	if (changed & CR4_FLUSH)
		translations_changed(v, true);
	else
		v->vm->vendor->regs_changed(v, REGS_CR);
	return 0;
}

static int write_cr8(struct vcpu *v, u64 val)
{
	if (val > 15)
		return -EFAULT;
	if (v->lapic) {
		lapic_set_cr8(v->lapic, val);
		return 0;
	}
	/* The client's local APIC may have had an interrupt waiting for this. */
	if (val < v->st->cr8) {
		v->priv->tpr_exit = true;
		vcpu_request(v, REQ_EVENT);
	}
	v->st->cr8 = val;
	return 0;
}

static int write_xcr0(struct vcpu *v, u64 val)
{
	if ((val & ~v->priv->xcr0_allowed) || !(val & XCR0_X87))
		return -EFAULT;
	if ((val & XCR0_AVX) && !(val & XCR0_SSE))
		return -EFAULT;
	v->st->xcr0 = val;
	v->vm->vendor->regs_changed(v, REGS_CR);
	return 0;
}

static int write_efer(struct vcpu *v, u64 val)
{
	struct x86_state *st = v->st;
	u64 old = st->efer;

	if (val & ~(v->priv->efer_allowed | EFER_LMA))
		return -EFAULT;
	if (((old ^ val) & EFER_LME) && (st->cr0 & CR0_PG))
		return -EFAULT;
	st->efer = (val & ~EFER_LMA) | (old & EFER_LMA);	/* LMA is the processor's */
	if ((old ^ val) & EFER_NX)
		translations_changed(v, true);
	else
		v->vm->vendor->regs_changed(v, REGS_CR);
	return 0;
}

/**
 * MOV to CR0, 2, 3, 4, 8, XSETBV (EMUL_XCR0) and WRMSR of EFER (EMUL_EFER). 0, or -EFAULT for
 * #GP(0), nothing changed. The vCPU's thread, or its mutex.
 */
int vcpu_cr_write(struct vcpu *v, unsigned int cr, u64 val)
{
	switch (cr) {
	case 0:
		return write_cr0(v, val);
	case 2:
		v->st->cr2 = val;
		return 0;
	case 3:
		return write_cr3(v, val);
	case 4:
		return write_cr4(v, val);
	case 8:
		return write_cr8(v, val);
	case EMUL_XCR0:
		return write_xcr0(v, val);
	case EMUL_EFER:
		return write_efer(v, val);
	default:
		return -EFAULT;
	}
}

u64 vcpu_cr8(struct vcpu *v)
{
	return v->lapic ? lapic_cr8(v->lapic) : v->st->cr8;
}

/**
 * May KVM_SET_SREGS set these together? What no sequence of guest writes could reach is refused, but for CR4.PCIDE.
 */
bool cr_set_valid(struct vcpu *v, u64 cr0, u64 cr3, u64 cr4, u64 efer)
{
	if (!cr0_valid(cr0) || (cr4 & ~v->priv->cr4_allowed))
		return false;
	if (efer & ~(v->priv->efer_allowed | EFER_LMA))
		return false;
	if ((efer & EFER_LME) && (cr0 & CR0_PG)) {
		if (!(cr4 & CR4_PAE) || !(efer & EFER_LMA))
			return false;
		return !(cr3 & ~GENMASK(vcpu_maxphyaddr(v) - 1, 0));
	}
	/* CR4.PCIDE outside long mode: Linux takes it, and a client may set all it was offered. */
	return !(efer & EFER_LMA);
}
