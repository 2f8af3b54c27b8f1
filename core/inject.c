// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * inject.c - which event the guest sees next: what was interrupted in mid-delivery, exceptions,
 * SMI, NMI, interrupts, in this order, with the windows in which each may be taken. SDM 3A 6.7, 6.8,
 * 6.9; AMD's APM 2 8.5 agrees.
 */
#include "private.h"

/**
 * Make @f pending; it is delivered before the next guest instruction. On the vCPU's thread or with
 * its mutex. Without KVM_CAP_EXCEPTION_PAYLOAD CR2 and DR6 change now, as KVM_GET_VCPU_EVENTS
 * cannot carry them.
 */
void vcpu_queue_exception(struct vcpu *v, const struct x86_fault *f)
{
	struct pending_exception *x = &v->priv->exception;

	x->pending = true;
	x->injected = false;
	x->fault = *f;
	x->has_payload = f->vector == EXC_PF || f->vector == EXC_DB;
	x->payload = f->vector == EXC_PF ? f->cr2 : f->dr6;
	if (v->vm->priv->exception_payload || !x->has_payload)
		return;
	if (f->vector == EXC_PF)
		v->st->cr2 = f->cr2;
	else
		v->st->dr6 |= f->dr6;
}

bool vcpu_interrupt_allowed(struct vcpu *v)
{
	const struct x86_state *st = v->st;

	return (st->rflags & X86_FLAG_IF) && !st->shadow_sti && !st->shadow_movss;
}

/* Does the 8259 pair, here or with the client, have a vector for this CPU? */
static bool extint_pending(struct vcpu *v)
{
	struct vm *vm = v->vm;

	if (!vm->irqchip || !v->lapic)
		return false;
	if (vm->priv->irqchip_split)
		return v->priv->extint_vector >= 0 && lapic_accepts_extint(v->lapic);
	return irqchip_pic_pending(vm->irqchip) && lapic_accepts_extint(v->lapic);
}

bool vcpu_has_wakeup_event(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;

	if (p->exception.pending || p->exception.injected || p->triple_fault || p->nmi.injected ||
	    host_load_acquire(&p->apic_events))
		return true;
	if (host_load_acquire(&p->nmi.pending) && !v->st->nmi_masked)
		return true;
	if (host_load_acquire(&p->smi_pending) && !v->st->smm)
		return true;
	if (!vcpu_interrupt_allowed(v))
		return false;
	return p->interrupt.injected || (v->lapic && lapic_pending(v->lapic) >= 0) ||
	       extint_pending(v);
}

/* ---- delivery -------------------------------------------------------------------------------- */

/*
 * 0: delivered; EMUL_RETRY: the client has to answer first; EMUL_SHUTDOWN; -EFAULT: the memory for
 * it is not there. *again: the event stays.
 */
static int deliver(struct vcpu *v, enum event_kind kind, const struct x86_fault *f, bool *again)
{
	struct io_state *io = &v->priv->io;
	int ret;

	io->collecting = true;
	io->want = WANT_NONE;
	io->queued = QUEUED_NONE;
	io->replay_pos = 0;
	ret = v->vm->vendor->inject(v, kind, f);
	io->collecting = false;
	/* what could not be delivered stays, for when the client has put the memory there */
	*again = ret != EMUL_DONE && ret != EMUL_SHUTDOWN;
	vcpu_take_mem_error(v);
	switch (ret) {
	case EMUL_DONE:
		return io_retire(v) > 0 ? 0 : EMUL_RETRY;
	case EMUL_RETRY:
		io->delivering = true;
		return io_stop(v) == 0 ? EMUL_RETRY : -EFAULT;
	case EMUL_SHUTDOWN:
		return EMUL_SHUTDOWN;
	default:
		return ret < 0 ? ret : -EFAULT;
	}
}

static int deliver_exception(struct vcpu *v)
{
	struct pending_exception *x = &v->priv->exception;
	struct x86_fault f = x->fault;

	/* Set by the client without payload: CR2 and DR6 are in place. */
	f.cr2 = x->has_payload ? x->payload : v->st->cr2;
	f.dr6 = x->has_payload ? x->payload : 0;
	x->pending = false;
	return deliver(v, EVENT_EXCEPTION, &f, &x->injected);
}

static int deliver_nmi(struct vcpu *v)
{
	struct x86_fault f = { .vector = EXC_NMI };

	v->priv->stat->nmi_injections++;
	return deliver(v, EVENT_NMI, &f, &v->priv->nmi.injected);
}

static int deliver_interrupt(struct vcpu *v, u8 vector, bool soft)
{
	struct x86_fault f = { .vector = vector, .soft = soft };

	v->priv->stat->irq_injections++;
	v->priv->interrupt.nr = vector;
	v->priv->interrupt.soft = soft;
	return deliver(v, soft ? EVENT_SOFT : EVENT_EXTINT, &f, &v->priv->interrupt.injected);
}

/*
 * Acknowledge and take the interrupt that comes next: the PIC's before the local APIC's own. -1:
 * gone.
 */
static int take_vector(struct vcpu *v)
{
	int vector = -1;

	if (extint_pending(v)) {
		if (v->vm->priv->irqchip_split) {
			vector = v->priv->extint_vector;
			v->priv->extint_vector = -1;
		} else {
			vector = irqchip_pic_ack(v->vm->irqchip);
		}
	}
	return vector >= 0 ? vector : lapic_ack(v->lapic);
}

static void set_windows(struct vcpu *v, bool intr, bool nmi)
{
	struct vcpu_priv *p = v->priv;

	if (likely(intr == p->intr_window && nmi == p->nmi_window))
		return;
	p->intr_window = intr;
	p->nmi_window = nmi;
	v->vm->vendor->request_window(v, intr, nmi);
}

/* Something waits whose delivery had begun, or that the client set. At most one event an entry. */
static int inject_begun(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;

	if (p->exception.injected || p->exception.pending)
		return deliver_exception(v);
	if (p->nmi.injected)
		return deliver_nmi(v);
	if (p->interrupt.soft || vcpu_interrupt_allowed(v))
		return deliver_interrupt(v, p->interrupt.nr, p->interrupt.soft);
	return 0;
}

/**
 * Before each entry: deliver at most one event and ask the vendor for the windows that the others
 * need. 0: enter; EMUL_SHUTDOWN: triple fault; EMUL_RETRY: exit to the client, run is filled;
 * -errno.
 */
int vcpu_inject_pending(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	struct x86_state *st = v->st;
	bool nmi, irq, open, done = false;
	int ret = 0, vector;

	if (unlikely(p->triple_fault)) {
		p->triple_fault = false;
		return EMUL_SHUTDOWN;
	}
	if (unlikely(p->exception.injected | p->exception.pending | p->nmi.injected |
		     p->interrupt.injected)) {
		ret = inject_begun(v);
		done = true;
	}
	/* A debugger that steps does not want to see handlers. */
	if (unlikely(p->debug.control & KVM_GUESTDBG_BLOCKIRQ))
		return ret;
	if (unlikely(host_load_acquire(&p->smi_pending)) && !st->smm && !done && !ret) {
		smm_enter(v);
		done = true;
	}
	nmi = host_load_acquire(&p->nmi.pending);
	if (unlikely(nmi))
		vcpu_limit_nmis(v);
	irq = (v->lapic && lapic_pending(v->lapic) >= 0) || extint_pending(v);
	open = !st->shadow_sti && !st->shadow_movss;
	if (unlikely(nmi) && !done && !ret && !st->nmi_masked && open) {
		nmi = host_fetch_add(&p->nmi.pending, (u8)-1) > 1;
		ret = deliver_nmi(v);
		done = true;
	}
	if (irq && !done && !ret && (st->rflags & X86_FLAG_IF) && open) {
		vector = take_vector(v);
		if (vector >= 0)
			ret = deliver_interrupt(v, vector, false);
		irq = lapic_pending(v->lapic) >= 0 || extint_pending(v);
	}
	if (!v->lapic)
		irq = READ_ONCE(v->run->request_interrupt_window);
	else if (v->vm->priv->irqchip_split)
		irq |= READ_ONCE(v->run->request_interrupt_window) &&
		       lapic_accepts_extint(v->lapic);
	set_windows(v, irq | p->interrupt.injected, nmi);
	return ret;
}
