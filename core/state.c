// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * state.c - the client's view of a vCPU's architectural state: general, segment, control and debug
 * registers, MP state, address translation. All with vcpu->mutex held, outside KVM_RUN.
 */
#include "ioctl.h"

static void cache_regs(struct vcpu *vcpu, u32 groups)
{
	if (vcpu->vm->vendor->cache_regs)
		vcpu->vm->vendor->cache_regs(vcpu, groups);
}

static void regs_changed(struct vcpu *vcpu, u32 groups)
{
	vcpu->vm->vendor->regs_changed(vcpu, groups);
}

/* ---- general registers ----------------------------------------------------------------------- */

long vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *r)
{
	const struct x86_state *st = vcpu->st;

	cache_regs(vcpu, REGS_GPR | REGS_RIP_FLAGS);
	*r = (struct kvm_regs){
		.rax = st->gpr[X86_RAX], .rbx = st->gpr[X86_RBX], .rcx = st->gpr[X86_RCX],
		.rdx = st->gpr[X86_RDX],
		.rsi = st->gpr[X86_RSI], .rdi = st->gpr[X86_RDI], .rsp = st->gpr[X86_RSP],
		.rbp = st->gpr[X86_RBP],
		.r8 = st->gpr[X86_R8], .r9 = st->gpr[X86_R9], .r10 = st->gpr[X86_R10],
		.r11 = st->gpr[X86_R11],
		.r12 = st->gpr[X86_R12], .r13 = st->gpr[X86_R13], .r14 = st->gpr[X86_R14],
		.r15 = st->gpr[X86_R15],
		.rip = st->rip, .rflags = st->rflags,
	};
	return 0;
}

/**
 * KVM_SET_REGS. Drops a pending exception. An I/O exit not completed yet stays; vcpu_complete_io()
 * sees a moved RIP.
 */
long vcpu_set_regs(struct vcpu *vcpu, struct kvm_regs *r)
{
	struct x86_state *st = vcpu->st;
	struct vcpu_priv *p = vcpu->priv;

	cache_regs(vcpu, REGS_GPR | REGS_RIP_FLAGS);
	st->gpr[X86_RAX] = r->rax;
	st->gpr[X86_RBX] = r->rbx;
	st->gpr[X86_RCX] = r->rcx;
	st->gpr[X86_RDX] = r->rdx;
	st->gpr[X86_RSI] = r->rsi;
	st->gpr[X86_RDI] = r->rdi;
	st->gpr[X86_RSP] = r->rsp;
	st->gpr[X86_RBP] = r->rbp;
	st->gpr[X86_R8] = r->r8;
	st->gpr[X86_R9] = r->r9;
	st->gpr[X86_R10] = r->r10;
	st->gpr[X86_R11] = r->r11;
	st->gpr[X86_R12] = r->r12;
	st->gpr[X86_R13] = r->r13;
	st->gpr[X86_R14] = r->r14;
	st->gpr[X86_R15] = r->r15;
	st->rip = r->rip;
	st->rflags = (r->rflags & X86_FLAGS_ALL) | X86_FLAG_FIXED;
	st->cpl = x86_cpl_of(st);	/* VM is a part of the privilege level */
	p->exception.pending = false;
	p->exception.has_payload = false;
	regs_changed(vcpu, REGS_GPR | REGS_RIP_FLAGS | REGS_SEG);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/* ---- segments and control registers ---------------------------------------------------------- */

static void seg_to_kvm(const struct x86_seg *s, struct kvm_segment *k)
{
	*k = (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->sel,
		.type = s->attr & SEG_TYPE,
		.s = !!(s->attr & SEG_S),
		.dpl = (s->attr & SEG_DPL) >> SEG_DPL_SHIFT,
		.present = !!(s->attr & SEG_P),
		.avl = !!(s->attr & SEG_AVL), .l = !!(s->attr & SEG_L), .db = !!(s->attr & SEG_DB),
		.g = !!(s->attr & SEG_G),
		.unusable = (s->attr & SEG_UNUSABLE) || !(s->attr & SEG_P),
	};
}

static void seg_from_kvm(const struct kvm_segment *k, struct x86_seg *s)
{
	s->base = k->base;
	s->limit = k->limit;
	s->sel = k->selector;
	s->attr = (k->type & SEG_TYPE) | (k->s ? SEG_S : 0) |
		  ((k->dpl << SEG_DPL_SHIFT) & SEG_DPL) | (k->present ? SEG_P : 0) |
		  (k->avl ? SEG_AVL : 0) | (k->l ? SEG_L : 0) | (k->db ? SEG_DB : 0) |
		  (k->g ? SEG_G : 0) | (k->unusable || !k->present ? SEG_UNUSABLE : 0);
}

u64 vcpu_apic_base(const struct vcpu *vcpu)
{
	return vcpu->lapic ? lapic_base_msr(vcpu->lapic) : vcpu->priv->apic_base;
}

/* What IA32_APIC_BASE says, not the vCPU's number: SDM 3A 9.4.1 */
bool vcpu_is_bsp(const struct vcpu *vcpu)
{
	return vcpu_apic_base(vcpu) & APIC_BASE_BSP;
}

/**
 * IA32_APIC_BASE from the client or the guest: 0 or -EINVAL. Bits that CPUID does not announce are reserved,
 * for the client as well; an APIC in here checks the rest. SDM 3A 10.4.4, 10.12.1
 */
int vcpu_set_apic_base(struct vcpu *vcpu, u64 base, bool host)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	vcpu_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
	if ((base & APIC_BASE_X2APIC) && !(ecx & BIT(21)))		/* x2APIC */
		return -EINVAL;
	if (base & ~(GENMASK(vcpu_maxphyaddr(vcpu) - 1, 12) | APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE))
		return -EINVAL;
	if (vcpu->lapic)
		return lapic_set_base_msr(vcpu->lapic, base, host);
	if (!lapic_base_allowed(vcpu->priv->apic_base, base, host))
		return -EINVAL;
	vcpu->priv->apic_base = base;
	return 0;
}

/* What both SREGS formats begin with, in the order of struct kvm_sregs2. */
static void sregs_get(struct vcpu *vcpu, struct kvm_sregs2 *s)
{
	const struct x86_state *st = vcpu->st;

	cache_regs(vcpu, REGS_SEG | REGS_CR);
	host_memset(s, 0, sizeof(*s));
	seg_to_kvm(&st->seg[X86_CS], &s->cs);
	seg_to_kvm(&st->seg[X86_DS], &s->ds);
	seg_to_kvm(&st->seg[X86_ES], &s->es);
	seg_to_kvm(&st->seg[X86_FS], &s->fs);
	seg_to_kvm(&st->seg[X86_GS], &s->gs);
	seg_to_kvm(&st->seg[X86_SS], &s->ss);
	seg_to_kvm(&st->seg[X86_TR], &s->tr);
	seg_to_kvm(&st->seg[X86_LDTR], &s->ldt);
	s->gdt.base = st->gdtr.base;
	s->gdt.limit = st->gdtr.limit;
	s->idt.base = st->idtr.base;
	s->idt.limit = st->idtr.limit;
	s->cr0 = st->cr0;
	s->cr2 = st->cr2;
	s->cr3 = st->cr3;
	s->cr4 = st->cr4;
	s->cr8 = vcpu->lapic ? lapic_cr8(vcpu->lapic) : st->cr8;
	s->efer = st->efer;
	s->apic_base = vcpu_apic_base(vcpu);
}

static bool pae_paging(const struct x86_state *st)
{
	return (st->cr0 & CR0_PG) && (st->cr4 & CR4_PAE) && !(st->efer & EFER_LMA);
}

/*
 * A boot processor that a client resets by registers only is expected to run at once. SDM 3A table
 * 10-1: the reset vector.
 */
static bool at_reset_vector(const struct vcpu *vcpu)
{
	const struct x86_state *st = vcpu->st;

	return vcpu_is_bsp(vcpu) && st->rip == 0xfff0 &&
	       st->seg[X86_CS].sel == 0xf000 && st->seg[X86_CS].base == 0xffff0000 &&
	       !(st->cr0 & CR0_PE);
}

/* Reads only: 0 or -EINVAL. */
static int sregs_check(struct vcpu *vcpu, const struct kvm_sregs2 *s)
{
	/* CS.L without long mode would be neither 32-bit nor 64-bit code. */
	if (s->cs.l && !(s->efer & EFER_LMA))
		return -EINVAL;
	return cr_set_valid(vcpu, s->cr0, s->cr3, s->cr4, s->efer) ? 0 : -EINVAL;
}

static int sregs_set(struct vcpu *vcpu, const struct kvm_sregs2 *s)
{
	struct x86_state *st = vcpu->st;
	int ret;

	ret = sregs_check(vcpu, s);
	if (ret)
		return ret;
	/* the only step that can fail, so it comes first */
	ret = vcpu_set_apic_base(vcpu, s->apic_base, true);
	if (ret)
		return ret;
	cache_regs(vcpu, REGS_ALL);
	seg_from_kvm(&s->cs, &st->seg[X86_CS]);
	seg_from_kvm(&s->ds, &st->seg[X86_DS]);
	seg_from_kvm(&s->es, &st->seg[X86_ES]);
	seg_from_kvm(&s->fs, &st->seg[X86_FS]);
	seg_from_kvm(&s->gs, &st->seg[X86_GS]);
	seg_from_kvm(&s->ss, &st->seg[X86_SS]);
	seg_from_kvm(&s->tr, &st->seg[X86_TR]);
	seg_from_kvm(&s->ldt, &st->seg[X86_LDTR]);
	st->gdtr.base = s->gdt.base;
	st->gdtr.limit = s->gdt.limit;
	st->idtr.base = s->idt.base;
	st->idtr.limit = s->idt.limit;
	st->cr0 = (s->cr0 & CR0_WRITABLE) | CR0_ET;
	st->cr2 = s->cr2;
	st->cr3 = s->cr3;
	st->cr4 = s->cr4;
	/* one that does not exist is ignored, as Linux does */
	if (!(s->cr8 & ~0xfUL)) {
		st->cr8 = s->cr8;
		if (vcpu->lapic)
			lapic_set_cr8(vcpu->lapic, s->cr8);
	}
	st->efer = s->efer;
	st->cpl = x86_cpl_of(st);
	if (at_reset_vector(vcpu))
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

static void sregs_done(struct vcpu *vcpu)
{
	const struct vendor_ops *vendor = vcpu->vm->vendor;

	regs_changed(vcpu, REGS_ALL);
	gaccess_flush(vcpu);
	if (vendor->tlb_flush)
		vendor->tlb_flush(vcpu, true);
	vcpu_request(vcpu, REQ_EVENT);
}

long vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *s)
{
	const struct vcpu_priv *p = vcpu->priv;
	struct kvm_sregs2 s2;

	sregs_get(vcpu, &s2);
	host_memset(s, 0, sizeof(*s));
	host_memcpy(s, &s2, offsetof(struct kvm_sregs, interrupt_bitmap));
	if (p->interrupt.injected && !p->interrupt.soft)
		s->interrupt_bitmap[p->interrupt.nr / 64] |= BIT(p->interrupt.nr % 64);
	return 0;
}

static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) == offsetof(struct kvm_sregs2, flags),
	      "both formats begin alike");

/**
 * KVM_SET_SREGS. -EINVAL and nothing changed: unsupported or contradictory control registers, bad
 * APIC base.
 */
long vcpu_set_sregs(struct vcpu *vcpu, struct kvm_sregs *s)
{
	struct vcpu_priv *p = vcpu->priv;
	struct kvm_sregs2 s2 = { .flags = 0 };
	unsigned int i;
	int ret;

	host_memcpy(&s2, s, offsetof(struct kvm_sregs, interrupt_bitmap));
	ret = sregs_set(vcpu, &s2);
	if (ret)
		return ret;
	/* This format has no PDPTEs: they are read as MOV CR3 would, or stay if they are wrong. SDM 3A 4.4.1 */
	if (pae_paging(vcpu->st))
		cr_load_pdptrs(vcpu, s->cr3);
	for (i = 0; i < ARRAY_SIZE(s->interrupt_bitmap); i++) {
		if (s->interrupt_bitmap[i]) {
			p->interrupt.injected = true;
			p->interrupt.soft = false;
			p->interrupt.nr = i * 64 + __builtin_ctzl(s->interrupt_bitmap[i]);
			break;
		}
	}
	sregs_done(vcpu);
	return 0;
}

long vcpu_get_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *s)
{
	sregs_get(vcpu, s);
	if (pae_paging(vcpu->st)) {
		host_memcpy(s->pdptrs, vcpu->st->pdptr, sizeof(s->pdptrs));
		s->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	}
	return 0;
}

/** KVM_SET_SREGS2. -EINVAL as above, and for PDPTEs without PAE paging or unknown flags. */
long vcpu_set_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *s)
{
	bool pdptrs = s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	bool pae = (s->cr0 & CR0_PG) && (s->cr4 & CR4_PAE) && !(s->efer & EFER_LMA);
	int ret;

	if ((s->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID) || (pdptrs && !pae))
		return -EINVAL;
	ret = sregs_set(vcpu, s);
	if (ret)
		return ret;
	if (pdptrs)
		host_memcpy(vcpu->st->pdptr, s->pdptrs, sizeof(s->pdptrs));
	else if (pae)
		cr_load_pdptrs(vcpu, s->cr3);
	sregs_done(vcpu);
	return 0;
}

/* ---- debug registers ------------------------------------------------------------------------- */

long vcpu_get_debugregs(struct vcpu *vcpu, struct kvm_debugregs *d)
{
	const struct x86_state *st = vcpu->st;

	cache_regs(vcpu, REGS_DR);
	host_memset(d, 0, sizeof(*d));
	host_memcpy(d->db, st->dr, sizeof(d->db));
	d->dr6 = st->dr6;
	d->dr7 = st->dr7;
	return 0;
}

/** KVM_SET_DEBUGREGS. -EINVAL: flags, or bits above 31 of DR6 or DR7. */
long vcpu_set_debugregs(struct vcpu *vcpu, struct kvm_debugregs *d)
{
	struct x86_state *st = vcpu->st;

	if (d->flags || (d->dr6 >> 32) || (d->dr7 >> 32))
		return -EINVAL;
	cache_regs(vcpu, REGS_DR);
	host_memcpy(st->dr, d->db, sizeof(d->db));
	st->dr6 = d->dr6;
	st->dr7 = d->dr7;
	regs_changed(vcpu, REGS_DR);
	return 0;
}

/* ---- MP state -------------------------------------------------------------------------------- */

/** KVM_GET_MP_STATE. Applies queued INIT and SIPI first, so registers may change. */
long vcpu_get_mp_state(struct vcpu *vcpu, struct kvm_mp_state *s)
{
	vcpu_apply_apic_events(vcpu);
	s->mp_state = vcpu->mp_state;
	/* A kick by hypercall that was not noticed yet would be lost when this state is loaded elsewhere. */
	if (s->mp_state == KVM_MP_STATE_HALTED && vcpu_has_request(vcpu, REQ_PV_UNHALT))
		s->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

/** KVM_SET_MP_STATE. -EINVAL: not a state of x86, or one that needs an in-kernel APIC. */
long vcpu_set_mp_state(struct vcpu *vcpu, struct kvm_mp_state *s)
{
	if (!vcpu->lapic && s->mp_state != KVM_MP_STATE_RUNNABLE)
		return -EINVAL;
	/* INIT and SIPI wait for the end of system management mode. */
	if ((vcpu->st->smm || host_load_relaxed(&vcpu->priv->smi_pending)) &&
	    (s->mp_state == KVM_MP_STATE_INIT_RECEIVED || s->mp_state == KVM_MP_STATE_SIPI_RECEIVED))
		return -EINVAL;
	switch (s->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
		vcpu->mp_state = s->mp_state;
		break;
	case KVM_MP_STATE_SIPI_RECEIVED:
		vcpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		host_fetch_or(&vcpu->priv->apic_events, APIC_EVENT_SIPI);
		break;
	default:
		return -EINVAL;
	}
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/* ---- KVM_TRANSLATE --------------------------------------------------------------------------- */

static int translate_read(void *ctx, gpa_t gpa, bool wide, u64 *val, u64 *host)
{
	const struct vcpu *v = ctx;

	*val = 0;
	return gmem_read_as(v->vm, v->st->smm, gpa, val, wide ? 8 : 4) ? -EIO : 0;
}

/**
 * KVM_TRANSLATE: linear to guest-physical with supervisor rights, no accessed bits set. valid 0:
 * not mapped.
 */
long vcpu_translate(struct vcpu *vcpu, struct kvm_translation *t)
{
	static const struct walk_ops ops = { .read = translate_read };
	struct walk_result r;
	struct walk_mode m;
	u64 gva = t->linear_address;

	cache_regs(vcpu, REGS_CR | REGS_RIP_FLAGS);
	walk_mode_from_state(&m, vcpu->st, vcpu_maxphyaddr(vcpu));
	m.smap = false;		/* a debugger's question, not an access */
	host_memset(t, 0, sizeof(*t));
	t->linear_address = gva;
	t->physical_address = ~0UL;
	t->writeable = 1;
	if (!x86_walk(&m, gva, WALK_READ | WALK_NO_AD, &ops, vcpu, &r)) {
		t->physical_address = r.gpa;
		t->valid = 1;
	}
	return 0;
}
