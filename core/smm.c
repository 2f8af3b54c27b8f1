// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * smm.c - system management mode: KVM_SMI, entry, and RSM. Guest memory of the mode is address space
 * 1 (KVM_CAP_MULTI_ADDRESS_SPACE), whatever the addresses; the vendor leaves the mode to the
 * emulator.
 *
 * The save area lies at SMBASE + 0xfe00. Processors with long mode have AMD's 64-bit layout (APM 2
 * table 10-1, "AMD64 SMM state-save area"), others the 32-bit one; firmware that knows KVM and QEMU
 * reads and writes these. Offsets below are from SMBASE + 0x8000.
 */
#include "ioctl.h"
#include "../x86/policy/cpuid.h"

#define SAVE_AREA	0x7e00
#define SAVE_SIZE	0x200
#define SMM_ENTRY	0x8000
#define SMM_SPACE	1

#define REVISION64	0x00020064	/* bit 17: SMBASE can be relocated */
#define REVISION32	0x00020000

static bool has_long_mode(struct vcpu *v)
{
	return policy_bit(v->priv->cpuid, v->priv->nr_cpuid, 0x80000001, 0, CPUID_EDX, 29);
}

/** KVM_SMI, and an SMI from the APIC bus. Latched while one is in service. Any thread. */
long vcpu_smi(struct vcpu *vcpu)
{
	host_store_release(&vcpu->priv->smi_pending, true);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/* ---- the save area --------------------------------------------------------------------------- */

static void put(u8 *area, unsigned int off, u64 val, unsigned int size)
{
	host_memcpy(area + off - SAVE_AREA, &val, size);
}

static u64 get(const u8 *area, unsigned int off, unsigned int size)
{
	u64 val = 0;

	host_memcpy(&val, area + off - SAVE_AREA, size);
	return val;
}

static u16 seg_attr(const struct x86_seg *s)
{
	return s->attr & SEG_UNUSABLE ? s->attr & ~(SEG_UNUSABLE | SEG_P) : s->attr;
}

static void seg_load(struct x86_seg *s, u16 sel, u64 base, u32 limit, u16 attr)
{
	attr &= ~SEG_UNUSABLE;
	*s = (struct x86_seg){ .sel = sel, .base = base, .limit = limit,
			       .attr = attr & SEG_P ? attr : attr | SEG_UNUSABLE };
}

static u8 shadow_bits(const struct x86_state *st)
{
	return (st->shadow_movss ? KVM_X86_SHADOW_INT_MOV_SS : 0) |
	       (st->shadow_sti ? KVM_X86_SHADOW_INT_STI : 0);
}

/* Places of the segment registers in the 64-bit layout: selector, attributes, limit, base. */
static const u16 seg64[X86_NR_ALLSEG] = {
	[X86_ES] = 0x7e00, [X86_CS] = 0x7e10, [X86_SS] = 0x7e20, [X86_DS] = 0x7e30,
	[X86_FS] = 0x7e40, [X86_GS] = 0x7e50, [X86_LDTR] = 0x7e70, [X86_TR] = 0x7e90,
};

/* The 32-bit layout has the selector apart from attributes, limit and base. */
static const struct { u16 sel, rest; } seg32[X86_NR_ALLSEG] = {
	[X86_ES] = { 0x7fa8, 0x7f84 }, [X86_CS] = { 0x7fac, 0x7f90 }, [X86_SS] = { 0x7fb0, 0x7f9c },
	[X86_DS] = { 0x7fb4, 0x7f2c }, [X86_FS] = { 0x7fb8, 0x7f38 }, [X86_GS] = { 0x7fbc, 0x7f44 },
	[X86_LDTR] = { 0x7fc0, 0x7f78 }, [X86_TR] = { 0x7fc4, 0x7f5c },
};

static void save64(struct vcpu *v, u8 *a)
{
	const struct x86_state *st = v->st;
	unsigned int i;

	for (i = 0; i < X86_NR_GPR; i++)
		put(a, 0x7ff8 - i * 8, st->gpr[i], 8);
	put(a, 0x7f78, st->rip, 8);
	put(a, 0x7f70, st->rflags, 8);
	put(a, 0x7f68, st->dr6, 8);
	put(a, 0x7f60, st->dr7, 8);
	put(a, 0x7f58, st->cr0, 8);
	put(a, 0x7f50, st->cr3, 8);
	put(a, 0x7f48, st->cr4, 8);
	put(a, 0x7f00, v->priv->smbase, 4);
	put(a, 0x7efc, REVISION64, 4);
	put(a, 0x7ed0, st->efer, 8);
	put(a, 0x7ecb, shadow_bits(st), 1);
	for (i = 0; i < X86_NR_ALLSEG; i++) {
		put(a, seg64[i], st->seg[i].sel, 2);
		put(a, seg64[i] + 2, seg_attr(&st->seg[i]), 2);
		put(a, seg64[i] + 4, st->seg[i].limit, 4);
		put(a, seg64[i] + 8, st->seg[i].base, 8);
	}
	put(a, 0x7e64, st->gdtr.limit, 4);
	put(a, 0x7e68, st->gdtr.base, 8);
	put(a, 0x7e84, st->idtr.limit, 4);
	put(a, 0x7e88, st->idtr.base, 8);
}

static void save32(struct vcpu *v, u8 *a)
{
	const struct x86_state *st = v->st;
	unsigned int i;

	put(a, 0x7ffc, st->cr0, 4);
	put(a, 0x7ff8, st->cr3, 4);
	put(a, 0x7ff4, st->rflags, 4);
	put(a, 0x7ff0, st->rip, 4);
	for (i = 0; i < 8; i++)
		put(a, 0x7fd0 + i * 4, st->gpr[i], 4);
	put(a, 0x7fcc, st->dr6, 4);
	put(a, 0x7fc8, st->dr7, 4);
	put(a, 0x7f14, st->cr4, 4);
	put(a, 0x7f18, shadow_bits(st), 1);	/* reserved for the processor */
	put(a, 0x7efc, REVISION32, 4);
	put(a, 0x7ef8, v->priv->smbase, 4);
	for (i = 0; i < X86_NR_ALLSEG; i++) {
		put(a, seg32[i].sel, st->seg[i].sel, 4);
		put(a, seg32[i].rest, (u32)seg_attr(&st->seg[i]) << 8, 4);
		put(a, seg32[i].rest + 4, st->seg[i].limit, 4);
		put(a, seg32[i].rest + 8, st->seg[i].base, 4);
	}
	put(a, 0x7f70, st->gdtr.limit, 4);
	put(a, 0x7f74, st->gdtr.base, 4);
	put(a, 0x7f54, st->idtr.limit, 4);
	put(a, 0x7f58, st->idtr.base, 4);
}

/* What RSM loads, before anything of it is in force. */
struct saved {
	u64 gpr[X86_NR_GPR], rip, rflags, dr6, dr7, cr0, cr3, cr4, efer;
	u32 smbase;
	u8 shadow;
	struct x86_seg seg[X86_NR_ALLSEG];
	struct x86_dtable gdtr, idtr;
};

static void load64(const u8 *a, struct saved *s)
{
	unsigned int i;

	for (i = 0; i < X86_NR_GPR; i++)
		s->gpr[i] = get(a, 0x7ff8 - i * 8, 8);
	s->rip = get(a, 0x7f78, 8);
	s->rflags = get(a, 0x7f70, 4);
	s->dr6 = get(a, 0x7f68, 8);
	s->dr7 = get(a, 0x7f60, 8);
	s->cr0 = get(a, 0x7f58, 8);
	s->cr3 = get(a, 0x7f50, 8);
	s->cr4 = get(a, 0x7f48, 8);
	s->smbase = get(a, 0x7f00, 4);
	s->efer = get(a, 0x7ed0, 8);
	s->shadow = get(a, 0x7ecb, 1);
	for (i = 0; i < X86_NR_ALLSEG; i++)
		seg_load(&s->seg[i], get(a, seg64[i], 2), get(a, seg64[i] + 8, 8),
			 get(a, seg64[i] + 4, 4), get(a, seg64[i] + 2, 2));
	s->gdtr = (struct x86_dtable){ .base = get(a, 0x7e68, 8), .limit = get(a, 0x7e64, 2) };
	s->idtr = (struct x86_dtable){ .base = get(a, 0x7e88, 8), .limit = get(a, 0x7e84, 2) };
}

static void load32(const u8 *a, struct saved *s)
{
	unsigned int i;

	for (i = 0; i < X86_NR_GPR; i++)
		s->gpr[i] = i < 8 ? get(a, 0x7fd0 + i * 4, 4) : 0;
	s->rip = get(a, 0x7ff0, 4);
	s->rflags = get(a, 0x7ff4, 4);
	s->dr6 = get(a, 0x7fcc, 4);
	s->dr7 = get(a, 0x7fc8, 4);
	s->cr0 = get(a, 0x7ffc, 4);
	s->cr3 = get(a, 0x7ff8, 4);
	s->cr4 = get(a, 0x7f14, 4);
	s->smbase = get(a, 0x7ef8, 4);
	s->efer = 0;
	s->shadow = get(a, 0x7f18, 1);
	for (i = 0; i < X86_NR_ALLSEG; i++)
		seg_load(&s->seg[i], get(a, seg32[i].sel, 2), get(a, seg32[i].rest + 8, 4),
			 get(a, seg32[i].rest + 4, 4), get(a, seg32[i].rest, 4) >> 8);
	s->gdtr = (struct x86_dtable){ .base = get(a, 0x7f74, 4), .limit = get(a, 0x7f70, 2) };
	s->idtr = (struct x86_dtable){ .base = get(a, 0x7f58, 4), .limit = get(a, 0x7f54, 2) };
}

/* ---- in and out ------------------------------------------------------------------------------ */

/* Memory is another from here on, and so is everything else. */
static void smm_changed(struct vcpu *v)
{
	gaccess_flush(v);
	v->vm->vendor->regs_changed(v, REGS_ALL);
	v->vm->vendor->tlb_flush(v, true);
}

/** The client puts the vCPU into the mode or takes it out, by its registers. */
void smm_set(struct vcpu *v, bool smm)
{
	if (v->st->smm == smm)
		return;
	v->st->smm = smm;
	smm_changed(v);
	/* an INIT may have waited for the end */
	vcpu_request(v, REQ_EVENT);
}

/**
 * Take the pending SMI: save the state, go on at SMBASE + 0x8000 in a mode like real mode with
 * segments of 4 GiB. SDM 3C 32.4, 32.5. On the vCPU's thread, outside the mode.
 */
void smm_enter(struct vcpu *v)
{
	static const struct x86_seg flat = {
		.limit = 0xffffffff, .attr = SEG_P | SEG_S | SEG_G | SEG_TYPE_WR | SEG_TYPE_ACCESSED,
	};
	struct vcpu_priv *p = v->priv;
	struct x86_state *st = v->st;
	u8 area[SAVE_SIZE] = { 0 };
	unsigned int i;

	host_store_release(&p->smi_pending, false);
	p->smi_count++;
	if (has_long_mode(v))
		save64(v, area);
	else
		save32(v, area);
	/* No memory there: the state is lost, as on a board without SMRAM. */
	gmem_write_as(v->vm, SMM_SPACE, p->smbase + 0xfe00, area, sizeof(area));
	st->smm = true;
	p->smm_inside_nmi = st->nmi_masked;
	st->nmi_masked = true;
	st->shadow_sti = st->shadow_movss = 0;
	st->rflags = X86_FLAG_FIXED;
	st->rip = SMM_ENTRY;
	st->cr0 &= ~(u64)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
	st->cr4 = 0;
	st->efer = 0;
	st->dr7 = 0x400;
	st->idtr = (struct x86_dtable){ 0 };
	for (i = X86_ES; i <= X86_GS; i++)
		st->seg[i] = flat;
	st->seg[X86_CS].sel = p->smbase >> 4;
	st->seg[X86_CS].base = p->smbase;
	st->cpl = 0;
	smm_changed(v);
}

/* Could the processor ever have been in that state? SDM 3C 32.4.1.1: otherwise it shuts down. */
static bool saved_valid(struct vcpu *v, struct saved *s)
{
	s->efer &= ~(u64)EFER_LMA;
	if ((s->cr0 & CR0_PG) && (s->efer & EFER_LME))
		s->efer |= EFER_LMA;
	if ((s->dr6 | s->dr7) >> 32)
		return false;
	if ((s->seg[X86_CS].attr & SEG_L) && !(s->efer & EFER_LMA))
		return false;
	if (!(s->efer & EFER_LMA))
		s->rip = (u32)s->rip;
	else if (!x86_canonical(s->rip))
		return false;
	return cr_set_valid(v, s->cr0, s->cr3, s->cr4, s->efer);
}

/**
 * RSM, inside the mode: load the state from the save area and leave. SDM 3C 32.7. General
 * registers, RIP and RFLAGS are left in *v->st like the rest. 0; -EIO: not there, or no state that
 * the processor could be in: shut down.
 */
int smm_leave(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	struct x86_state *st = v->st;
	u8 area[SAVE_SIZE];
	struct saved s;

	if (gmem_read_as(v->vm, SMM_SPACE, p->smbase + 0xfe00, area, sizeof(area)))
		return -EIO;
	if (has_long_mode(v))
		load64(area, &s);
	else
		load32(area, &s);
	if (!saved_valid(v, &s))
		return -EIO;
	st->smm = false;
	if (!p->smm_inside_nmi)
		st->nmi_masked = false;
	p->smm_inside_nmi = false;
	p->smbase = s.smbase;
	host_memcpy(st->gpr, s.gpr, sizeof(st->gpr));
	host_memcpy(st->seg, s.seg, sizeof(st->seg));
	st->rip = s.rip;
	st->rflags = (s.rflags & X86_FLAGS_ALL) | X86_FLAG_FIXED;
	st->dr6 = (s.dr6 & 0xe00f) | 0xffff0ff0;
	st->dr7 = (s.dr7 & 0xffff2bff) | 0x400;
	st->cr0 = s.cr0 | CR0_ET;
	st->cr3 = s.cr3;
	st->cr4 = s.cr4;
	st->efer = s.efer;
	st->gdtr = s.gdtr;
	st->idtr = s.idtr;
	st->cpl = x86_cpl_of(st);
	smm_changed(v);
	st->shadow_movss = !!(s.shadow & KVM_X86_SHADOW_INT_MOV_SS);
	st->shadow_sti = !!(s.shadow & KVM_X86_SHADOW_INT_STI);
	/* An SMI, an NMI or an INIT may have waited. */
	vcpu_request(v, REQ_EVENT);
	if ((st->cr0 & CR0_PG) && (st->cr4 & CR4_PAE) && !(st->efer & EFER_LMA) &&
	    !cr_load_pdptrs(v, st->cr3))
		return -EIO;
	return 0;
}
