// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * xstate.c - the client's view of x87, SSE and AVX state. Between two KVM_RUNs it lies in
 * vcpu->xsave in the standard XSAVE format, which is also that of struct kvm_xsave. SDM 1 chapter
 * 13.
 */
#include "ioctl.h"

/* Offsets of the legacy region and the header. SDM 1 table 10-2, 13.4.2 */
#define FX_FCW		0
#define FX_FSW		2
#define FX_FTW		4
#define FX_FOP		6
#define FX_FIP		8
#define FX_FDP		16
#define FX_MXCSR	24
#define FX_MXCSR_MASK	28
#define FX_ST		32
#define FX_XMM		160
#define XS_BV		512
#define XS_COMP_BV	520
#define XS_RESERVED	528
#define XS_EXTENDED	576

#define FCW_INIT	0x037f
#define MXCSR_INIT	0x1f80
#define MXCSR_MASK_MIN	0xffff	/* every processor with SSE2 */

static_assert(sizeof(struct kvm_xsave) == HV_PAGE_SIZE,
	      "the client's area and ours are one format");

static u64 get64(const u8 *x, unsigned int off)
{
	u64 v;

	host_memcpy(&v, x + off, sizeof(v));
	return v;
}

static void put64(u8 *x, unsigned int off, u64 v)
{
	host_memcpy(x + off, &v, sizeof(v));
}

static u32 get32(const u8 *x, unsigned int off)
{
	u32 v;

	host_memcpy(&v, x + off, sizeof(v));
	return v;
}

static void put32(u8 *x, unsigned int off, u32 v)
{
	host_memcpy(x + off, &v, sizeof(v));
}

static void init_x87(u8 *x)
{
	host_memset(x, 0, FX_MXCSR);
	host_memset(x + FX_ST, 0, FX_XMM - FX_ST);
	x[FX_FCW] = FCW_INIT & 0xff;
	x[FX_FCW + 1] = FCW_INIT >> 8;
}

/** Power-up values. SDM 3A table 10-1 */
void xstate_reset(u8 *xsave)
{
	host_memset(xsave, 0, HV_PAGE_SIZE);
	init_x87(xsave);
	put32(xsave, FX_MXCSR, MXCSR_INIT);
	put32(xsave, FX_MXCSR_MASK, MXCSR_MASK_MIN);
}

/*
 * The bytes of a component in its initial configuration are undefined; show the client what they
 * stand for.
 */
static void xstate_show(u8 *x)
{
	u64 bv = get64(x, XS_BV);

	if (!(bv & XCR0_X87))
		init_x87(x);
	if (!(bv & XCR0_SSE))
		host_memset(x + FX_XMM, 0, 16 * 16);
	if (!(bv & XCR0_AVX))
		host_memset(x + XS_EXTENDED, 0, 16 * 16);
}

static bool mxcsr_ok(const u8 *xsave, u32 mxcsr)
{
	u32 mask = get32(xsave, FX_MXCSR_MASK);

	return !(mxcsr & ~(mask ? mask : MXCSR_MASK_MIN));
}

long vcpu_get_fpu(struct vcpu *vcpu, struct kvm_fpu *f)
{
	u8 *x = vcpu->xsave;

	xstate_show(x);
	host_memset(f, 0, sizeof(*f));
	host_memcpy(f->fpr, x + FX_ST, sizeof(f->fpr));
	host_memcpy(&f->fcw, x + FX_FCW, 2);
	host_memcpy(&f->fsw, x + FX_FSW, 2);
	f->ftwx = x[FX_FTW];
	host_memcpy(&f->last_opcode, x + FX_FOP, 2);
	f->last_ip = get64(x, FX_FIP);
	f->last_dp = get64(x, FX_FDP);
	host_memcpy(f->xmm, x + FX_XMM, sizeof(f->xmm));
	f->mxcsr = get32(x, FX_MXCSR);
	return 0;
}

/**
 * KVM_SET_FPU. -EINVAL: reserved bits in MXCSR. MXCSR 0 and the upper halves of the YMM registers:
 * as they were.
 */
long vcpu_set_fpu(struct vcpu *vcpu, struct kvm_fpu *f)
{
	u8 *x = vcpu->xsave;

	if (!mxcsr_ok(x, f->mxcsr))
		return -EINVAL;
	xstate_show(x);
	host_memcpy(x + FX_ST, f->fpr, sizeof(f->fpr));
	host_memcpy(x + FX_FCW, &f->fcw, 2);
	host_memcpy(x + FX_FSW, &f->fsw, 2);
	x[FX_FTW] = f->ftwx;
	host_memcpy(x + FX_FOP, &f->last_opcode, 2);
	put64(x, FX_FIP, f->last_ip);
	put64(x, FX_FDP, f->last_dp);
	host_memcpy(x + FX_XMM, f->xmm, sizeof(f->xmm));
	/* Linux neither reports nor takes this field: 0 is what comes from there, not a wish to
	 * unmask all exceptions. */
	if (f->mxcsr)
		put32(x, FX_MXCSR, f->mxcsr);
	put64(x, XS_BV, get64(x, XS_BV) | XCR0_X87 | XCR0_SSE);
	return 0;
}

long vcpu_get_xsave(struct vcpu *vcpu, struct kvm_xsave *out)
{
	xstate_show(vcpu->xsave);
	host_memcpy(out, vcpu->xsave, sizeof(*out));
	return 0;
}

/**
 * KVM_SET_XSAVE. -EINVAL: components that the processor does not offer, the compacted format,
 * anything in the header's reserved bytes, reserved bits in MXCSR: XRSTOR would fault on each of
 * these. SDM 1 13.8
 */
long vcpu_set_xsave(struct vcpu *vcpu, struct kvm_xsave *in)
{
	const u8 *src = (const u8 *)in;
	u32 mask = get32(vcpu->xsave, FX_MXCSR_MASK);
	unsigned int off;

	if (get64(src, XS_BV) & ~vcpu->vm->priv->supported_xcr0)
		return -EINVAL;
	for (off = XS_COMP_BV; off < XS_EXTENDED; off += 8)
		if (get64(src, off))
			return -EINVAL;
	if (!mxcsr_ok(vcpu->xsave, get32(src, FX_MXCSR)))
		return -EINVAL;
	host_memcpy(vcpu->xsave, src, HV_PAGE_SIZE);
	put32(vcpu->xsave, FX_MXCSR_MASK, mask);
	return 0;
}

long vcpu_get_xcrs(struct vcpu *vcpu, struct kvm_xcrs *x)
{
	host_memset(x, 0, sizeof(*x));
	x->nr_xcrs = 1;
	x->xcrs[0].value = vcpu->st->xcr0;
	return 0;
}

/*
 * SDM 1 13.3: x87 always, AVX needs SSE; the components of AVX-512 (5 to 7) come together and need
 * AVX.
 */
static bool xcr0_valid(struct vcpu *vcpu, u64 v)
{
	const u64 avx512 = 7UL << 5;
	u64 allowed = vcpu->priv->nr_cpuid ? vcpu->priv->xcr0_allowed
					   : vcpu->vm->priv->supported_xcr0;

	if (!(v & XCR0_X87) || (v & ~(allowed | XCR0_X87)))
		return false;
	if ((v & XCR0_AVX) && !(v & XCR0_SSE))
		return false;
	return !(v & avx512) || ((v & avx512) == avx512 && (v & XCR0_AVX));
}

/**
 * KVM_SET_XCRS: -EINVAL: flags, more than there can be, or a value that XSETBV would refuse. Others
 * than XCR0 are ignored.
 */
long vcpu_set_xcrs(struct vcpu *vcpu, struct kvm_xcrs *x)
{
	const struct vendor_ops *vendor = vcpu->vm->vendor;
	u32 i;

	if (x->flags || x->nr_xcrs > KVM_MAX_XCRS)
		return -EINVAL;
	for (i = 0; i < x->nr_xcrs; i++) {
		if (x->xcrs[i].xcr != 0)
			continue;
		if (!xcr0_valid(vcpu, x->xcrs[i].value))
			return -EINVAL;
		vcpu->st->xcr0 = x->xcrs[i].value;
		vendor->regs_changed(vcpu, REGS_CR);
		break;
	}
	return 0;
}
