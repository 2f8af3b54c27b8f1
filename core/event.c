// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * event.c - the client's view of events: pending exceptions, interrupts and NMIs, machine checks,
 * guest debugging, the signal mask of KVM_RUN. All but vcpu_nmi() with vcpu->mutex held, outside
 * KVM_RUN.
 */
#include "ioctl.h"

#define NMI_QUEUE_MAX	2	/* one in service, one latched. SDM 3A 6.7.1 */

/* ---- KVM_GET/SET_VCPU_EVENTS ----------------------------------------------------------------- */

/* #BP and #OF: the client need not hear of them, the instruction that raised one raises it again. */
static bool exception_is_soft(const struct pending_exception *e)
{
	return e->fault.vector == EXC_BP || e->fault.vector == EXC_OF;
}

static void get_exception(struct vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	struct pending_exception *e = &vcpu->priv->exception;

	if (!(e->pending || e->injected) || exception_is_soft(e))
		return;
	ev->exception.injected = e->injected;
	ev->exception.pending = e->pending;
	ev->exception.nr = e->fault.vector;
	ev->exception.has_error_code = e->fault.has_error;
	ev->exception.error_code = e->fault.error;
	if (vcpu->vm->priv->exception_payload) {
		ev->exception_has_payload = e->has_payload;
		ev->exception_payload = e->payload;
	} else {
		/* Without the capability pending and injected are one to the client. */
		ev->exception.injected |= e->pending;
	}
}

/** KVM_GET_VCPU_EVENTS. An INIT that waits for the next KVM_RUN or KVM_GET_MP_STATE is told as latched, outside SMM too. */
long vcpu_get_events(struct vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	const struct vcpu_priv *p = vcpu->priv;
	const struct x86_state *st = vcpu->st;

	vcpu_limit_nmis(vcpu);
	host_memset(ev, 0, sizeof(*ev));
	get_exception(vcpu, ev);
	ev->interrupt.injected = p->interrupt.injected && !p->interrupt.soft;
	ev->interrupt.nr = p->interrupt.nr;
	ev->interrupt.shadow = (st->shadow_sti ? KVM_X86_SHADOW_INT_STI : 0) |
			       (st->shadow_movss ? KVM_X86_SHADOW_INT_MOV_SS : 0);
	ev->nmi.injected = p->nmi.injected;
	ev->nmi.pending = host_load_relaxed(&p->nmi.pending) != 0;
	ev->nmi.masked = st->nmi_masked;
	ev->smi.smm = st->smm;
	ev->smi.pending = host_load_relaxed(&p->smi_pending);
	ev->smi.smm_inside_nmi = p->smm_inside_nmi;
	ev->smi.latched_init = !!(host_load_relaxed(&p->apic_events) & APIC_EVENT_INIT);
	ev->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		    KVM_VCPUEVENT_VALID_SMM;
	if (vcpu->vm->priv->exception_payload)
		ev->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->priv->triple_fault_event) {
		ev->triple_fault.pending = p->triple_fault;
		ev->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
	return 0;
}

/* Reads only: 0 or -EINVAL. Normalises the exception fields of *ev to what their flags say. */
static int events_check(const struct vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	const struct vm_priv *vp = vcpu->vm->priv;

	if (ev->flags & ~(u32)(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			       KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
			       KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT))
		return -EINVAL;
	if (ev->flags & KVM_VCPUEVENT_VALID_PAYLOAD) {
		if (!vp->exception_payload)
			return -EINVAL;
		if (ev->exception.pending)
			ev->exception.injected = 0;
		else
			ev->exception_has_payload = 0;
	} else {
		ev->exception.pending = 0;
		ev->exception_has_payload = 0;
	}
	if ((ev->exception.injected || ev->exception.pending) &&
	    (ev->exception.nr > 31 || ev->exception.nr == EXC_NMI))
		return -EINVAL;
	/* INITs are latched in SMM: what waits for a SIPI is not in there. */
	if ((ev->flags & KVM_VCPUEVENT_VALID_SMM) && (ev->smi.smm || ev->smi.pending) &&
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED)
		return -EINVAL;
	if ((ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) && !vp->triple_fault_event)
		return -EINVAL;
	return 0;
}

static void set_exception(struct vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	struct pending_exception *e = &vcpu->priv->exception;

	host_memset(e, 0, sizeof(*e));
	e->injected = ev->exception.injected;
	e->pending = ev->exception.pending;
	e->fault.vector = ev->exception.nr;
	e->fault.has_error = ev->exception.has_error_code;
	e->fault.error = ev->exception.error_code;
	e->has_payload = ev->exception_has_payload;
	e->payload = ev->exception_payload;
	/* Delivery stores these; what it stores without a payload must be what is there. */
	e->fault.cr2 = e->has_payload && e->fault.vector == EXC_PF ? e->payload : vcpu->st->cr2;
	e->fault.dr6 = e->has_payload && e->fault.vector == EXC_DB ? e->payload : 0;
}

static void set_smi(struct vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	struct vcpu_priv *p = vcpu->priv;

	host_store_release(&p->smi_pending, ev->smi.pending != 0);
	p->smm_inside_nmi = ev->smi.smm && ev->smi.smm_inside_nmi;
	/* as GET told it: what was saved between an INIT and the next KVM_RUN is not lost */
	if (ev->smi.latched_init && vcpu->lapic)
		host_fetch_or(&p->apic_events, APIC_EVENT_INIT);
	else
		host_fetch_and(&p->apic_events, ~(u32)APIC_EVENT_INIT);
	smm_set(vcpu, ev->smi.smm != 0);
}

/**
 * KVM_SET_VCPU_EVENTS. -EINVAL: unknown flag, payload or triple fault not switched on, no
 * exception's vector, SMM while waiting for a SIPI.
 */
long vcpu_set_events(struct vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	struct vcpu_priv *p = vcpu->priv;
	struct x86_state *st = vcpu->st;
	int ret;

	ret = events_check(vcpu, ev);
	if (ret)
		return ret;
	vcpu_limit_nmis(vcpu);		/* by what is in service until now */
	set_exception(vcpu, ev);
	p->interrupt.injected = ev->interrupt.injected;
	p->interrupt.nr = ev->interrupt.nr;
	p->interrupt.soft = ev->interrupt.soft;
	if (ev->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		st->shadow_sti = !!(ev->interrupt.shadow & KVM_X86_SHADOW_INT_STI);
		st->shadow_movss = !!(ev->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS);
	}
	p->nmi.injected = ev->nmi.injected;
	if (ev->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		host_store_release(&p->nmi.pending, ev->nmi.pending ? 1 : 0);
	st->nmi_masked = !!ev->nmi.masked;
	if (ev->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
		p->sipi_vector = ev->sipi_vector;
	if (ev->flags & KVM_VCPUEVENT_VALID_SMM)
		set_smi(vcpu, ev);
	if (ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		p->triple_fault = ev->triple_fault.pending;
		if (p->triple_fault)
			vcpu_request(vcpu, REQ_TRIPLE_FAULT);
	}
	vcpu->vm->vendor->regs_changed(vcpu, REGS_RIP_FLAGS);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/* ---- KVM_INTERRUPT, KVM_NMI ------------------------------------------------------------------ */

/**
 * KVM_INTERRUPT: queue an external interrupt. -EINVAL: vector; -ENXIO: the PIC is in here and does
 * that; -EEXIST: one is queued already.
 */
long vcpu_interrupt(struct vcpu *vcpu, struct kvm_interrupt *irq)
{
	struct vcpu_priv *p = vcpu->priv;

	if (irq->irq >= KVM_NR_INTERRUPTS)
		return -EINVAL;
	if (!vcpu->vm->irqchip) {
		if (p->interrupt.injected)
			return -EEXIST;
		p->interrupt.injected = true;
		p->interrupt.soft = false;
		p->interrupt.nr = irq->irq;
	} else {
		if (!vcpu->vm->priv->irqchip_split)
			return -ENXIO;
		if (p->extint_vector >= 0)
			return -EEXIST;
		p->extint_vector = irq->irq;
	}
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/** Queue an NMI; a third one is lost, as on hardware. Any thread. */
long vcpu_nmi(struct vcpu *vcpu)
{
	u8 *pending = &vcpu->priv->nmi.pending;
	u8 n = host_load_relaxed(pending), seen;

	while (n < NMI_QUEUE_MAX && (seen = host_cmpxchg(pending, n, n + 1)) != n)
		n = seen;
	vcpu_request(vcpu, REQ_NMI);
	return 0;
}

/**
 * While one is in service, one more is latched and not two: for those who queued them could not know. By the vCPU's own
 * thread.
 */
void vcpu_limit_nmis(struct vcpu *vcpu)
{
	if (vcpu->st->nmi_masked || vcpu->priv->nmi.injected)
		host_cmpxchg(&vcpu->priv->nmi.pending, NMI_QUEUE_MAX, NMI_QUEUE_MAX - 1);
}

/* ---- guest debugging ------------------------------------------------------------------------- */

#define GUESTDBG_VALID	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | \
			 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | \
			 KVM_GUESTDBG_BLOCKIRQ)

/**
 * KVM_SET_GUEST_DEBUG. -EINVAL: unknown control bits; -EBUSY: asks to inject while an exception or
 * a triple fault is pending.
 */
long vcpu_set_guest_debug(struct vcpu *vcpu, struct kvm_guest_debug *dbg)
{
	struct vcpu_priv *p = vcpu->priv;

	if (dbg->control & ~(u32)GUESTDBG_VALID)
		return -EINVAL;
	if (dbg->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		struct x86_fault f = { .vector = dbg->control & KVM_GUESTDBG_INJECT_DB ? EXC_DB : EXC_BP };

		if (p->exception.pending || p->exception.injected || p->triple_fault)
			return -EBUSY;
		vcpu_queue_exception(vcpu, &f);
	}
	if (dbg->control & KVM_GUESTDBG_ENABLE)
		p->debug = *dbg;
	else
		host_memset(&p->debug, 0, sizeof(p->debug));
	p->debug.control &= ~(u32)(KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP);
	vcpu->vm->vendor->regs_changed(vcpu, REGS_DR | REGS_RIP_FLAGS);
	return 0;
}

/* ---- machine checks -------------------------------------------------------------------------- */

#define MCE_BANKS	32
#define MCE_CAP		(MCG_CTL_P | MCG_SER_P | MCG_CMCI_P)
#define MCE_CAP_EXT	0xff0000UL	/* MCG_EXT_CNT */

/**
 * KVM_X86_GET_MCE_CAP_SUPPORTED: bits of IA32_MCG_CAP that KVM_X86_SETUP_MCE takes. SDM 3B 15.3.1.1
 */
long sys_get_mce_cap(u64 *mcg_cap)
{
	*mcg_cap = MCE_CAP;
	return 0;
}

/** KVM_X86_SETUP_MCE. -EINVAL: no bank or too many, unsupported bits. */
long vcpu_setup_mce(struct vcpu *vcpu, u64 *mcg_cap)
{
	struct vcpu_priv *p = vcpu->priv;
	unsigned int banks = *mcg_cap & 0xff, i;

	if (!banks || banks > MCE_BANKS || (*mcg_cap & ~(MCE_CAP | MCE_CAP_EXT | 0xff)))
		return -EINVAL;
	p->mcg_cap = *mcg_cap;
	if (p->mcg_cap & MCG_CTL_P)
		p->mcg_ctl = ~0UL;
	for (i = 0; i < banks; i++) {
		p->mce_banks[i * 4] = ~0UL;	/* CTL, STATUS, ADDR, MISC of each bank */
		p->mce_ctl2[i] = 0;
	}
	if (vcpu->lapic)
		lapic_set_cmci(vcpu->lapic, p->mcg_cap & MCG_CMCI_P);
	return 0;
}

/* SDM 3B 15.3.2.2, 15.3.1.2 */
#define MCI_STATUS_VAL		(1UL << 63)
#define MCI_STATUS_OVER		(1UL << 62)
#define MCI_STATUS_UC		(1UL << 61)
#define MCI_STATUS_PCC		(1UL << 57)
#define MCI_STATUS_S		(1UL << 56)
#define MCI_STATUS_AR		(1UL << 55)
#define MCI_STATUS_COUNT	GENMASK(52, 38)		/* of corrected errors */
#define MCG_STATUS_MCIP		(1UL << 2)

/* Uncorrected, no action required: logged and signalled as corrected ones are. SDM 3B 15.6.3 */
static bool mce_is_ucna(const struct kvm_x86_mce *mce)
{
	return (mce->status & MCI_STATUS_UC) && !mce->mcg_status &&
	       !(mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

/* The bank's interrupt, if @count errors reach its threshold. SDM 3B 15.5.1 */
static void mce_cmci(struct vcpu *vcpu, u32 bank, u64 count)
{
	u64 ctl2 = vcpu->priv->mce_ctl2[bank], threshold = ctl2 & MCI_CTL2_THRESHOLD;

	if (vcpu->lapic && (ctl2 & MCI_CTL2_CMCI_EN) && (!threshold || count >= threshold))
		lapic_cmci(vcpu->lapic);
}

static void mce_log(u64 *bank, const struct kvm_x86_mce *mce)
{
	bank[1] = mce->status;
	bank[2] = mce->addr;
	bank[3] = mce->misc;
}

/**
 * KVM_X86_SET_MCE: log a machine check; if it is uncorrected and needs action, raise #MC, else the
 * interrupt that the guest has asked for. -EINVAL: bank, or nothing valid to log.
 */
long vcpu_set_mce(struct vcpu *vcpu, struct kvm_x86_mce *mce)
{
	struct vcpu_priv *p = vcpu->priv;
	u64 *bank;

	if (mce->bank >= (p->mcg_cap & 0xff) || mce->bank >= MCE_BANKS ||
	    !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &p->mce_banks[mce->bank * 4];
	if (mce_is_ucna(mce)) {
		mce_log(bank, mce);
		p->mcg_status = 0;
		mce_cmci(vcpu, mce->bank, MCI_CTL2_THRESHOLD);
		return 0;
	}
	if (mce->status & MCI_STATUS_UC) {
		struct x86_fault mc = { .vector = EXC_MC };

		/* Reporting is off, for all banks or for this one. */
		if (((p->mcg_cap & MCG_CTL_P) && p->mcg_ctl != ~0UL) || bank[0] != ~0UL)
			return 0;
		if ((p->mcg_status & MCG_STATUS_MCIP) || !(vcpu->st->cr4 & CR4_MCE)) {
			p->triple_fault = true;
			vcpu_request(vcpu, REQ_TRIPLE_FAULT);
			return 0;
		}
		if (bank[1] & MCI_STATUS_VAL)
			mce->status |= MCI_STATUS_OVER;
		p->mcg_status = mce->mcg_status;
		vcpu_queue_exception(vcpu, &mc);
	} else if ((bank[1] & MCI_STATUS_VAL) && (bank[1] & MCI_STATUS_UC)) {
		bank[1] |= MCI_STATUS_OVER;
		return 0;
	} else if (bank[1] & MCI_STATUS_VAL) {
		mce->status |= MCI_STATUS_OVER;
	}
	mce_log(bank, mce);
	if (!(mce->status & MCI_STATUS_UC))
		mce_cmci(vcpu, mce->bank, FIELD_GET(MCI_STATUS_COUNT, mce->status));
	return 0;
}

/* ---- KVM_SET_SIGNAL_MASK --------------------------------------------------------------------- */

/**
 * KVM_SET_SIGNAL_MASK: the mask during KVM_RUN; a null pointer switches it off. -EINVAL: length is
 * not 8.
 */
long vcpu_set_signal_mask(struct vcpu *vcpu, u64 uarg)
{
	struct { u32 len; u8 sigset[8]; } a;

	if (!uarg) {
		vcpu->priv->sigmask_set = false;
		return 0;
	}
	if (host_copy_from_caller(&a.len, uarg, sizeof(a.len)))
		return -EFAULT;
	if (a.len != sizeof(a.sigset))
		return -EINVAL;
	if (host_copy_from_caller(a.sigset, uarg + sizeof(a.len), sizeof(a.sigset)))
		return -EFAULT;
	host_memcpy(&vcpu->priv->sigmask, a.sigset, sizeof(a.sigset));
	vcpu->priv->sigmask_set = true;
	return 0;
}
