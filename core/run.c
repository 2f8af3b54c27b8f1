// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * run.c - KVM_RUN: inject pending events, enter the guest, act on its exit, again, until the client
 * is needed or a signal arrives. Reset, INIT and start-up IPIs, and HLT's sleep are here too.
 */
#include "ioctl.h"

#define HALT_POLL_FIRST_NS	10000

/*
 * Requests that do not take the vCPU out of its loop: the vendor's own, and a kick that only HLT
 * looks at.
 */
#define REQ_LAZY	(BIT(REQ_VENDOR) | BIT(REQ_PV_UNHALT))

/* ---- reset, INIT, SIPI ----------------------------------------------------------------------- */

static void reset_segments(struct x86_state *st)
{
	static const struct x86_seg data = {
		.limit = 0xffff, .attr = SEG_P | SEG_S | SEG_TYPE_WR | SEG_TYPE_ACCESSED,
	};
	unsigned int i;

	for (i = 0; i < X86_NR_SEG; i++)
		st->seg[i] = data;
	st->seg[X86_CS].sel = 0xf000;
	st->seg[X86_CS].base = 0xffff0000;
	st->seg[X86_CS].attr |= SEG_TYPE_CODE;
	st->seg[X86_LDTR] = (struct x86_seg){ .limit = 0xffff, .attr = SEG_P | 2 };
	st->seg[X86_TR] = (struct x86_seg){ .limit = 0xffff, .attr = SEG_P | 11 };
	st->gdtr = (struct x86_dtable){ .limit = 0xffff };
	st->idtr = (struct x86_dtable){ .limit = 0xffff };
	st->cpl = 0;
}

static void reset_msrs(struct vcpu_priv *p)
{
	/* As KVM, until KVM_X86_SETUP_MCE: all banks there are, none enabled. */
	p->mcg_cap = ARRAY_SIZE(p->mce_banks) / 4;
	p->pat = PAT_RESET;
	p->mtrr_def = 0;
	p->misc_enable = MISC_ENABLE_FAST_STRING | MISC_ENABLE_BTS_UNAVAIL |
			 MISC_ENABLE_PEBS_UNAVAIL;
	p->tsc_adjust = 0;
	p->smbase = 0x30000;
	p->spec_ctrl = 0;
	p->virt_spec_ctrl = 0;
	p->misc_features = 0;
	p->pv_system_time = 0;
	p->pv_steal = 0;
	p->pv_poll_control = 1;
}

void vcpu_reset(struct vcpu *v, bool init)
{
	const struct kvm_cpuid_entry2 *id;
	struct vcpu_priv *p = v->priv;
	struct x86_state *st = v->st;
	u64 cr0 = CR0_ET | CR0_CD | CR0_NW;

	if (init)
		cr0 = CR0_ET | (st->cr0 & (CR0_CD | CR0_NW));	/* caching stays as it was */
	else if (!p->nr_cpuid)
		cpuid_init(v);
	host_memset(st->gpr, 0, sizeof(st->gpr));
	id = vcpu_cpuid_entry(v, 1, 0);
	st->gpr[X86_RDX] = id ? id->eax : 0x600;
	st->rip = 0xfff0;
	st->rflags = X86_FLAG_FIXED;
	reset_segments(st);
	st->cr0 = cr0;
	st->cr2 = st->cr3 = st->cr4 = st->cr8 = 0;
	st->efer = 0;
	host_memset(st->dr, 0, sizeof(st->dr));
	st->dr6 = 0xffff0ff0;
	st->dr7 = 0x400;
	host_memset(st->pdptr, 0, sizeof(st->pdptr));
	st->shadow_sti = st->shadow_movss = st->nmi_masked = st->smm = st->halted = 0;
	p->exception = (struct pending_exception){ 0 };
	p->interrupt.injected = p->nmi.injected = false;
	host_store_release(&p->nmi.pending, 0);
	p->triple_fault = false;
	host_store_release(&p->smi_pending, false);
	p->smm_inside_nmi = false;
	p->tpr_access.pending = false;
	p->pv_eoi = 0;
	p->pv_eoi_pending = false;
	p->io.pending = p->msr_exit.pending = p->hypercall.pending = false;
	io_begin(v, false);
	if (!init) {
		st->xcr0 = XCR0_X87;
		st->star = st->lstar = st->cstar = st->sfmask = st->kernel_gs_base = 0;
		st->sysenter_cs = st->sysenter_esp = st->sysenter_eip = st->tsc_aux = 0;
		reset_msrs(p);
		host_store_release(&p->apic_events, 0);
		tsc_synchronize(v, 0);
	}
	if (v->lapic)
		lapic_reset(v->lapic, init);
	gaccess_flush(v);
	v->vm->vendor->regs_changed(v, REGS_ALL);
	v->vm->vendor->tlb_flush(v, true);
}

/* A start-up IPI: real mode at vector << 12. SDM 3A 8.4.3 */
static void start_up(struct vcpu *v, u8 vector)
{
	struct x86_state *st = v->st;

	st->seg[X86_CS].sel = vector << 8;
	st->seg[X86_CS].base = vector << 12;
	st->rip = 0;
	v->mp_state = KVM_MP_STATE_RUNNABLE;
	v->vm->vendor->regs_changed(v, REGS_ALL);
}

void vcpu_apply_apic_events(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	u32 ev;

	if (likely(!host_load_acquire(&p->apic_events)))
		return;
	/* System management mode latches an INIT; a SIPI finds nobody who waits for it. SDM 3C 32.3.1 */
	if (v->st->smm) {
		host_fetch_and(&p->apic_events, ~(u32)APIC_EVENT_SIPI);
		return;
	}
	ev = host_xchg(&p->apic_events, 0);
	if (ev & APIC_EVENT_INIT) {
		vcpu_reset(v, true);
		v->mp_state = vcpu_is_bsp(v) ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED;
	}
	/* Anybody not waiting for it ignores a SIPI. */
	if ((ev & APIC_EVENT_SIPI) && v->mp_state == KVM_MP_STATE_INIT_RECEIVED)
		/* pairs with the release in sink_lapic_sipi() */
		start_up(v, host_load_acquire(&p->sipi_vector));
}

/* ---- exits to the client --------------------------------------------------------------------- */

/* Interrupt controllers are the client's, and KVM_INTERRUPT would be taken at once. */
static bool ready_for_injection(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;

	if (v->lapic && !lapic_accepts_extint(v->lapic))
		return false;
	return vcpu_interrupt_allowed(v) && !p->interrupt.injected && !p->nmi.injected &&
	       !p->exception.injected && !p->exception.pending && p->extint_vector < 0;
}

static bool pic_in_core(const struct vm *vm)
{
	return vm->irqchip && !vm->priv->irqchip_split;
}

void vcpu_fill_run(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	run->if_flag = !!(v->st->rflags & X86_FLAG_IF);
	run->cr8 = vcpu_cr8(v);
	run->apic_base = vcpu_apic_base(v);
	run->ready_for_interrupt_injection = pic_in_core(v->vm) || ready_for_injection(v);
	run->flags = v->st->smm ? KVM_RUN_X86_SMM : 0;
}

static int exit_with(struct vcpu *v, u32 reason)
{
	v->run->exit_reason = reason;
	return 0;
}

/* A signal. exit_reason tells it from an I/O exit that is to be answered. */
static int exit_signal(struct vcpu *v)
{
	v->priv->stat->signal_exits++;
	v->run->exit_reason = KVM_EXIT_INTR;
	return -EINTR;
}

int vcpu_exit_debug(struct vcpu *v, const struct x86_fault *f)
{
	struct kvm_debug_exit_arch *d = &v->run->debug.arch;

	host_memset(d, 0, sizeof(*d));
	d->exception = f->vector;
	d->pc = v->st->seg[X86_CS].base + v->st->rip;
	if (f->vector == EXC_DB)
		d->dr6 = 0xffff0ff0 | f->dr6;
	d->dr7 = v->priv->debug.control & KVM_GUESTDBG_USE_HW_BP ? v->priv->debug.arch.debugreg[7]
								 : v->st->dr7;
	return exit_with(v, KVM_EXIT_DEBUG);
}

int vcpu_halt(struct vcpu *v)
{
	v->priv->stat->halt_exits++;
	v->st->halted = 0;
	if (!v->lapic && !(v->vm->priv->exits_off & KVM_X86_DISABLE_EXITS_HLT))
		return exit_with(v, KVM_EXIT_HLT);
	v->mp_state = KVM_MP_STATE_HALTED;
	return 1;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int exit_ioapic_eoi(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p->eoi_exit); i++) {
		u64 bits = host_load_acquire(&p->eoi_exit[i]);
		unsigned int bit;

		if (!bits)
			continue;
		bit = __builtin_ctzl(bits);
		host_fetch_and(&p->eoi_exit[i], ~BIT(bit));
		host_fetch_or(&v->requests, BIT(REQ_IOAPIC_EOI));	/* there may be more */
		v->run->eoi.vector = i * 64 + bit;
		return exit_with(v, KVM_EXIT_IOAPIC_EOI);
	}
	return 1;
}

/* >0: go on, looking at everything again; 0: exit to the client; -EINTR. */
static int handle_requests(struct vcpu *v)
{
	u64 req = host_fetch_and(&v->requests, REQ_LAZY) & ~REQ_LAZY;

	if (req & BIT(REQ_TLB_FLUSH)) {
		v->priv->stat->tlb_flush++;
		gaccess_flush(v);
		v->vm->vendor->tlb_flush(v, true);
	}
	if (req & BIT(REQ_CLOCK_UPDATE))
		pv_clock_update(v);
	pv_steal_update(v, true);	/* each timer tick passes here */
	if (req & BIT(REQ_TRIPLE_FAULT))
		v->priv->triple_fault = true;
	vcpu_apply_apic_events(v);
	/* else it was meant for a thread that waits for this vCPU */
	if ((req & BIT(REQ_STOP)) && (host_signal_pending() || READ_ONCE(v->run->immediate_exit))) {
		/* What the client must see stays requested. */
		host_fetch_or(&v->requests, req & BIT(REQ_IOAPIC_EOI));
		return exit_signal(v);
	}
	if (req & BIT(REQ_IOAPIC_EOI))
		return exit_ioapic_eoi(v);
	return 1;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static bool wake_up(struct vcpu *v)
{
	if (v->mp_state == KVM_MP_STATE_HALTED &&
	    (vcpu_has_wakeup_event(v) || vcpu_has_request(v, REQ_PV_UNHALT))) {
		host_fetch_and(&v->requests, ~BIT(REQ_PV_UNHALT));
		v->priv->stat->halt_wakeup++;
		v->mp_state = KVM_MP_STATE_RUNNABLE;
	}
	return v->mp_state == KVM_MP_STATE_RUNNABLE;
}

/*
 * KVM_CAP_HALT_POLL: look for a while before sleeping, as waking up takes long. The window doubles
 * while waits end within what is allowed, and is given up where they do not. True: worth a look.
 */
static bool halt_poll(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	u64 end;

	if (!p->halt_poll_window || v->mp_state != KVM_MP_STATE_HALTED || !(p->pv_poll_control & 1))
		return false;
	end = host_monotonic_ns() + p->halt_poll_window;
	do {
		if ((host_load_acquire(&v->requests) & ~REQ_LAZY) || vcpu_has_wakeup_event(v) ||
		    vcpu_has_request(v, REQ_PV_UNHALT))
			return true;
		host_cpu_relax();
	} while (host_monotonic_ns() < end);
	return false;
}

static void halt_poll_adapt(struct vcpu *v, u64 waited)
{
	u64 max = host_load_relaxed(&v->vm->priv->halt_poll_ns), *window = &v->priv->halt_poll_window;

	if (waited >= max)
		*window = 0;
	else if (waited > *window)
		*window = min_t(u64, max, *window ? *window * 2 : HALT_POLL_FIRST_NS);
}

/* The vendor's business in a vCPU that sleeps: others need not wait for it, but may do worse until it is done. */
static void attend(struct vcpu *v)
{
	host_fetch_and(&v->requests, ~BIT(REQ_VENDOR));
	if (!v->vm->vendor->attend)
		return;
	vcpu_read_lock(v);
	v->vm->vendor->attend(v);
	vcpu_read_unlock(v);
}

/*
 * In HLT, or an application processor before its start. Outside read sections. As
 * handle_requests().
 */
static int vcpu_block(struct vcpu *v)
{
	for (;;) {
		/* before looking: a request after this ends the wait */
		u32 seq = host_wait_begin(&v->waitq);
		u64 began;
		int ret = 1;

		if (host_load_acquire(&v->requests) & BIT(REQ_VENDOR))
			attend(v);
		if (host_load_acquire(&v->requests) & ~REQ_LAZY)
			ret = handle_requests(v);
		if (ret <= 0)
			return ret;
		vcpu_apply_apic_events(v);
		if (wake_up(v))
			return 1;
		if (host_signal_pending())
			return exit_signal(v);
		if (unlikely(halt_poll(v)))
			continue;
		pv_steal_update(v, false);
		pv_sleeps(v);
		began = unlikely(host_load_relaxed(&v->vm->priv->halt_poll_ns)) ? host_monotonic_ns() : 0;
		ret = host_wait(&v->waitq, seq, v->lapic ? lapic_timer_deadline(v->lapic) : 0);
		pv_steal_update(v, true);
		pv_wakes(v);
		if (unlikely(began))
			halt_poll_adapt(v, host_monotonic_ns() - began);
		if (ret == -EINTR)
			return exit_signal(v);
		if (ret == -ETIMEDOUT && v->lapic)
			lapic_timer_expired(v->lapic);
	}
}

/* ---- exits from the guest -------------------------------------------------------------------- */

static int on_kicked(struct vcpu *v)
{
	return 1;
}

/* The instruction asks for an exit to the client once it has retired: client_irq_exits(). */
static bool client_exit_due(const struct vcpu_priv *p)
{
	return p->tpr_exit | p->tpr_access.pending;
}

/*
 * Modes that the vendor leaves to the emulator: a stretch of instructions at a time, until
 * something else is due.
 */
static int on_emulate(struct vcpu *v)
{
	const struct vendor_ops *ops = v->vm->vendor;
	int ret = vcpu_emulate(v, v->exit.decoded);

	for (u32 n = 0; n < 64 && ret > 0 && ops->interpreting && ops->interpreting(v); n++) {
		if ((host_load_acquire(&v->requests) & ~REQ_LAZY) || client_exit_due(v->priv) ||
		    v->mp_state != KVM_MP_STATE_RUNNABLE || v->priv->exception.pending)
			break;
		/* the instruction was an EOI, or lowered the task priority: an interrupt may come
		 * now, unrequested */
		if (v->lapic && !v->priv->intr_window && lapic_pending(v->lapic) >= 0)
			break;
		ret = vcpu_emulate(v, false);
	}
	return ret;
}

static int on_intr_window(struct vcpu *v)
{
	v->priv->stat->irq_window_exits++;
	v->priv->intr_window = false;
	return 1;
}

static int on_nmi_window(struct vcpu *v)
{
	v->priv->nmi_window = false;
	return 1;
}

static int on_shutdown(struct vcpu *v)
{
	return exit_with(v, KVM_EXIT_SHUTDOWN);
}

static int on_debug(struct vcpu *v)
{
	return vcpu_exit_debug(v, &v->exit.fault);
}

static int on_mem_error(struct vcpu *v)
{
	return -EFAULT;
}

static int on_fail(struct vcpu *v)
{
	v->run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	v->run->internal.ndata = 2;
	v->run->internal.data[0] = v->exit.code;
	v->run->internal.data[1] = v->st->rip;
	return exit_with(v, KVM_EXIT_INTERNAL_ERROR);
}

static int (*const on_exit[EXIT_NR])(struct vcpu *v) = {
	[EXIT_KICKED] = on_kicked, [EXIT_EMULATE] = on_emulate, [EXIT_HLT] = vcpu_halt,
	[EXIT_INTR_WINDOW] = on_intr_window, [EXIT_NMI_WINDOW] = on_nmi_window,
	[EXIT_SHUTDOWN] = on_shutdown,
	[EXIT_DEBUG] = on_debug, [EXIT_MEM_ERROR] = on_mem_error, [EXIT_IO] = vcpu_port_io,
	[EXIT_FAIL] = on_fail,
};

/* One stretch in the guest. In a read section. */
static int enter_guest(struct vcpu *v)
{
	int ret;

	if (unlikely(host_load_acquire(&v->requests) & ~REQ_LAZY)) {
		host_store_release(&v->in_guest, false);
		return handle_requests(v);
	}
	ret = vcpu_inject_pending(v);
	if (unlikely(v->priv->vapic_gpa))
		vapic_to_guest(v);
	if (v->priv->pv_eoi & KVM_PV_EOI_ON)
		pv_eoi_to_guest(v);
	v->priv->has_run = true;
	if (likely(!ret))
		ret = v->vm->vendor->enter(v);
	else if (ret == EMUL_SHUTDOWN)
		v->exit.reason = EXIT_SHUTDOWN;
	host_store_release(&v->in_guest, false);
	if (unlikely(ret == EMUL_RETRY))
		return 0;
	if (unlikely(ret < 0))
		return ret;
	v->priv->stat->exits++;
	if (unlikely(v->exit.reason >= EXIT_NR))
		return on_fail(v);
	v->priv->stat->exit[v->exit.reason]++;
	return on_exit[v->exit.reason](v);
}

static int exit_tpr_access(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;

	p->tpr_access.pending = false;
	v->run->tpr_access.rip = p->tpr_access.rip;
	v->run->tpr_access.is_write = p->tpr_access.write;
	v->run->tpr_access.pad = 0;
	return exit_with(v, KVM_EXIT_TPR_ACCESS);
}

/*
 * KVM_EXIT_SET_TPR and KVM_EXIT_IRQ_WINDOW_OPEN, for clients that have interrupt controllers of
 * their own; KVM_EXIT_TPR_ACCESS for those that ask for it.
 */
static int client_irq_exits(struct vcpu *v)
{
	if (unlikely(v->priv->tpr_access.pending))
		return exit_tpr_access(v);
	if (unlikely(v->priv->tpr_exit)) {
		v->priv->tpr_exit = false;
		return exit_with(v, KVM_EXIT_SET_TPR);
	}
	if (unlikely(READ_ONCE(v->run->request_interrupt_window)) && !pic_in_core(v->vm) &&
	    ready_for_injection(v)) {
		v->priv->stat->request_irq_exits++;
		return exit_with(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	}
	return 1;
}

static int run_loop(struct vcpu *v)
{
	int ret;

	do {
		if (unlikely(dirty_ring_full(v)))
			return exit_with(v, KVM_EXIT_DIRTY_RING_FULL);
		if (unlikely(v->mp_state != KVM_MP_STATE_RUNNABLE)) {
			ret = vcpu_block(v);
			if (ret <= 0)
				return ret;
		}
		/* In this order: beginning a read section is a full barrier, so whoever made a
		 * request either sees in_guest and kicks, or the request is seen in enter_guest().
		 * Pairs with vcpu_request(). */
		host_store_relaxed(&v->in_guest, true);
		vcpu_read_lock(v);
		ret = enter_guest(v);
		if (likely(ret > 0))
			ret = client_irq_exits(v);
		vcpu_read_unlock(v);
		if (unlikely(v->priv->vapic_gpa))
			vapic_from_guest(v);
		if (v->priv->pv_eoi_pending)
			pv_eoi_from_guest(v);
	} while (ret > 0);
	return ret;
}

/* ---- KVM_RUN --------------------------------------------------------------------------------- */

/* KVM_CAP_SYNC_REGS: state that the client changed in kvm_run. */
static int sync_regs_in(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u64 dirty = READ_ONCE(run->kvm_dirty_regs), valid = READ_ONCE(run->kvm_valid_regs);
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	long ret = 0;

	if (likely(!(dirty | valid)))
		return 0;
	if ((dirty | valid) & ~(u64)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	/* The page is the client's to change at any time: copy first. */
	if (dirty & KVM_SYNC_X86_REGS) {
		host_memcpy(&regs, &run->s.regs.regs, sizeof(regs));
		ret = vcpu_set_regs(v, &regs);
	}
	if (!ret && (dirty & KVM_SYNC_X86_SREGS)) {
		host_memcpy(&sregs, &run->s.regs.sregs, sizeof(sregs));
		ret = vcpu_set_sregs(v, &sregs);
	}
	if (!ret && (dirty & KVM_SYNC_X86_EVENTS)) {
		host_memcpy(&events, &run->s.regs.events, sizeof(events));
		ret = vcpu_set_events(v, &events);
	}
	if (ret)
		return -EINVAL;
	/* taken: a KVM_RUN that is begun again after -EINTR must not take them twice */
	WRITE_ONCE(run->kvm_dirty_regs, 0);
	return 0;
}

static void sync_regs_out(struct vcpu *v)
{
	u64 valid = READ_ONCE(v->run->kvm_valid_regs);

	if (valid & KVM_SYNC_X86_REGS)
		vcpu_get_regs(v, &v->run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		vcpu_get_sregs(v, &v->run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		vcpu_get_events(v, &v->run->s.regs.events);
}

/* What the client left in kvm_run. */
static int take_input(struct vcpu *v)
{
	u64 cr8;

	if (!v->lapic) {
		cr8 = READ_ONCE(v->run->cr8);
		if (cr8 > 15)
			return -EINVAL;
		v->st->cr8 = cr8;
	}
	return sync_regs_in(v);
}

/* Inside load/put. Half-done I/O is finished before immediate_exit is looked at: a client that sets
 * the flag and runs gets whole instructions. */
static int run_loaded(struct vcpu *v)
{
	int ret = 1;

	if (v->priv->io.pending || v->priv->msr_exit.pending || v->priv->hypercall.pending) {
		vcpu_read_lock(v);
		ret = vcpu_complete_io(v);
		vcpu_read_unlock(v);
		if (ret <= 0)
			return ret;
	}
	/* The client's own wish leaves exit_reason as it was; a signal whose handler has just set
	 * the flag does not. */
	if (READ_ONCE(v->run->immediate_exit))
		return vcpu_has_request(v, REQ_STOP) || host_signal_pending() ? exit_signal(v) : -EINTR;
	/* A signal that came before this vCPU was ours: its request may have been another's to see. */
	if (unlikely(host_signal_pending()))
		return exit_signal(v);
	return run_loop(v);
}

int vcpu_run(struct vcpu *v)
{
	const struct vendor_ops *vendor = v->vm->vendor;
	struct vcpu_priv *p = v->priv;
	bool masked = p->sigmask_set;
	u64 oldmask = 0;
	int ret;

	if (unlikely(masked))
		host_sigmask_swap(p->sigmask, &oldmask);
	pv_steal_enter(v);
	ret = take_input(v);
	if (likely(!ret)) {
		vendor->load(v);
		ret = run_loaded(v);
		vendor->put(v);
	}
	pv_steal_leave(v);
	p->stat->userspace_exits++;
	/* A stop that came too late to matter: its signal's handler has run, the client knows. */
	if (unlikely(host_load_relaxed(&v->requests) & BIT(REQ_STOP)))
		host_fetch_and(&v->requests, ~BIT(REQ_STOP));
	if (unlikely(READ_ONCE(v->run->kvm_valid_regs)))
		sync_regs_out(v);
	vcpu_fill_run(v);
	if (unlikely(masked))
		host_sigmask_swap(oldmask, &oldmask);
	return ret;
}
