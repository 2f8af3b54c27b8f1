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

/** KVM_SMI, and an SMI from the APIC bus. Latched while one is in service. Any thread. */
long vcpu_smi(struct vcpu *vcpu)
{
	host_store_release(&vcpu->priv->smi_pending, true);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/* ---- the save area --------------------------------------------------------------------------- */

/* What is in it, as x86_state has it; RSM loads all before anything of it is in force. */
struct saved {
	u64 gpr[X86_NR_GPR], rip, rflags, dr6, dr7, cr0, cr3, cr4, efer;
	u32 smbase, revision;
	u8 shadow;
	struct x86_seg seg[X86_NR_ALLSEG];
	struct x86_dtable gdtr, idtr;
};

enum layout { LAYOUT32, LAYOUT64 };

/* Where a member stands in each layout, and how many bytes of it do; 0: it is not there. */
static const struct field {
	u16 member, size;
	struct { u16 at, len; } in[2];
} fields[] = {
#define FIELD(f, at32, len32, at64, len64) \
	{ offsetof(struct saved, f), sizeof(((struct saved *)0)->f), { { at32, len32 }, { at64, len64 } } }
	FIELD(rip, 0x7ff0, 4, 0x7f78, 8),
	FIELD(rflags, 0x7ff4, 4, 0x7f70, 8),
	FIELD(dr6, 0x7fcc, 4, 0x7f68, 8),
	FIELD(dr7, 0x7fc8, 4, 0x7f60, 8),
	FIELD(cr0, 0x7ffc, 4, 0x7f58, 8),
	FIELD(cr3, 0x7ff8, 4, 0x7f50, 8),
	FIELD(cr4, 0x7f14, 4, 0x7f48, 8),
	FIELD(efer, 0, 0, 0x7ed0, 8),
	FIELD(smbase, 0x7ef8, 4, 0x7f00, 4),
	FIELD(revision, 0x7efc, 4, 0x7efc, 4),
	/* reserved for the processor in the 32-bit layout */
	FIELD(shadow, 0x7f18, 1, 0x7ecb, 1),
	FIELD(gdtr.limit, 0x7f70, 2, 0x7e64, 2),
	FIELD(gdtr.base, 0x7f74, 4, 0x7e68, 8),
	FIELD(idtr.limit, 0x7f54, 2, 0x7e84, 2),
	FIELD(idtr.base, 0x7f58, 4, 0x7e88, 8),
#undef FIELD
};

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

static enum layout layout_of(struct vcpu *v)
{
	return policy_bit(v->priv->cpuid, v->priv->nr_cpuid, 0x80000001, 0, CPUID_EDX, 29) ? LAYOUT64 : LAYOUT32;
}

/* One value between the area and memory, in the direction asked for; the rest of a wider member becomes 0. */
static void move(u8 *area, unsigned int off, unsigned int len, void *member, unsigned int size, bool save)
{
	u8 *there;

	if (!save)
		host_memset(member, 0, size);
	if (!len)
		return;
	there = area + (off - SAVE_AREA);
	if (save)
		host_memcpy(there, member, len);
	else
		host_memcpy(member, there, len);
}

static void move_seg(u8 *area, struct x86_seg *s, unsigned int i, enum layout layout, bool save)
{
	u32 attr = s->attr & SEG_UNUSABLE ? s->attr & ~(SEG_UNUSABLE | SEG_P) : s->attr;

	if (layout == LAYOUT64) {
		move(area, seg64[i], 2, &s->sel, sizeof(s->sel), save);
		move(area, seg64[i] + 2, 2, &attr, sizeof(attr), save);
		move(area, seg64[i] + 4, 4, &s->limit, sizeof(s->limit), save);
		move(area, seg64[i] + 8, 8, &s->base, sizeof(s->base), save);
	} else {
		attr <<= 8;
		move(area, seg32[i].sel, 2, &s->sel, sizeof(s->sel), save);
		move(area, seg32[i].rest, 4, &attr, sizeof(attr), save);
		move(area, seg32[i].rest + 4, 4, &s->limit, sizeof(s->limit), save);
		move(area, seg32[i].rest + 8, 4, &s->base, sizeof(s->base), save);
		attr >>= 8;
	}
	if (!save) {
		attr &= 0xffff & ~SEG_UNUSABLE;
		s->attr = attr & SEG_P ? attr : attr | SEG_UNUSABLE;
	}
}

static void move_all(u8 *area, struct saved *s, enum layout layout, bool save)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++)
		move(area, fields[i].in[layout].at, fields[i].in[layout].len, (u8 *)s + fields[i].member, fields[i].size, save);
	for (unsigned int i = 0; i < X86_NR_GPR; i++) {
		if (layout == LAYOUT64)
			move(area, 0x7ff8 - i * 8, 8, &s->gpr[i], 8, save);
		else
			move(area, 0x7fd0 + i * 4, i < 8 ? 4 : 0, &s->gpr[i], 8, save);
	}
	for (unsigned int i = 0; i < X86_NR_ALLSEG; i++)
		move_seg(area, &s->seg[i], i, layout, save);
}

static void save(struct vcpu *v, u8 *area)
{
	const struct x86_state *st = v->st;
	enum layout layout = layout_of(v);
	struct saved s = {
		.rip = st->rip, .rflags = st->rflags, .dr6 = st->dr6, .dr7 = st->dr7, .cr0 = st->cr0, .cr3 = st->cr3, .cr4 = st->cr4,
		.efer = st->efer, .smbase = v->priv->smbase, .revision = layout == LAYOUT64 ? REVISION64 : REVISION32,
		.shadow = (st->shadow_movss ? KVM_X86_SHADOW_INT_MOV_SS : 0) | (st->shadow_sti ? KVM_X86_SHADOW_INT_STI : 0),
		.gdtr = st->gdtr, .idtr = st->idtr,
	};

	host_memcpy(s.gpr, st->gpr, sizeof(s.gpr));
	host_memcpy(s.seg, st->seg, sizeof(s.seg));
	move_all(area, &s, layout, true);
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
	save(v, area);
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
	struct saved s = { 0 };

	if (gmem_read_as(v->vm, SMM_SPACE, p->smbase + 0xfe00, area, sizeof(area)))
		return -EIO;
	move_all(area, &s, layout_of(v), false);
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
	st->cr0 = (s.cr0 & CR0_WRITABLE) | CR0_ET;
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
