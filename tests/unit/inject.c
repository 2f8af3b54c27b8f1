// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which event comes first, and when each may come: SDM 3A table 6-2 (priorities), 6.8 (masking),
 * 6.8.3 (MOV SS and STI), 6.7.1 (NMI until IRET), with the vendor's inject() recorded.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "t_interp.h"
#include "../../core/ioctl.h"

#define APIC_SPIV	0xf0
#define APIC_TPR	0x80

static struct vcpu *v;
static struct x86_state *st;

static int setup_as(bool irqchip)
{
	t_interp_begin(irqchip, 16);
	t_interp.record_only = true;
	v = t_interp.v;
	st = v->st;
	st->rflags = 2;
	if (irqchip) {
		u32 spiv = 0x1ff;

		assert_true(lapic_mmio(v->lapic, APIC_SPIV, &spiv, 4, true));
	}
	return 0;
}

static int setup(void **state)
{
	return setup_as(true);
}

static int setup_no_irqchip(void **state)
{
	return setup_as(false);
}

static int teardown(void **state)
{
	t_interp_end();
	return 0;
}

/* As the run loop does it. */
static int inject(void)
{
	int ret;

	vcpu_read_lock(v);
	ret = vcpu_inject_pending(v);
	vcpu_read_unlock(v);
	return ret;
}

static void irq(u8 vector)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = vector };

	assert_int_equal(t_ioctl(t_interp.vm_fd, KVM_SIGNAL_MSI, &msi), 1);
}

static void expect(unsigned int n, enum event_kind kind, u8 vector)
{
	assert_int_equal(t_interp.nr_events, n);
	assert_int_equal(t_interp.event[n - 1].kind, kind);
	assert_int_equal(t_interp.event[n - 1].f.vector, vector);
}

static void priorities(void **state)
{
	struct x86_fault gp = { .vector = EXC_GP, .has_error = true, .error = 0x18 };

	st->rflags |= X86_FLAG_IF;
	vcpu_queue_exception(v, &gp);
	t_ioctl_n(t_interp.vcpu_fd, KVM_NMI, 0);
	irq(0x31);
	irq(0x52);
	assert_int_equal(inject(), 0);
	expect(1, EVENT_EXCEPTION, EXC_GP);
	assert_int_equal(t_interp.event[0].f.error, 0x18);
	assert_true(t_interp.want_intr && t_interp.want_nmi);	/* for the others */
	assert_int_equal(inject(), 0);
	expect(2, EVENT_NMI, EXC_NMI);
	assert_false(t_interp.want_nmi);
	assert_int_equal(inject(), 0);
	expect(3, EVENT_EXTINT, 0x52);			/* the higher class first */
	/* 0x31 is below the class in service: not even a window for it */
	assert_false(t_interp.want_intr);
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 3);
	lapic_eoi(v->lapic);
	assert_int_equal(inject(), 0);
	expect(4, EVENT_EXTINT, 0x31);
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 4);
}

static void interrupt_flag(void **state)
{
	irq(0x40);
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 0);
	assert_true(t_interp.want_intr);
	assert_false(vcpu_has_wakeup_event(v));
	st->rflags |= X86_FLAG_IF;
	assert_true(vcpu_has_wakeup_event(v));
	assert_int_equal(inject(), 0);
	expect(1, EVENT_EXTINT, 0x40);
	assert_false(t_interp.want_intr);
}

static void shadows(void **state)
{
	st->rflags |= X86_FLAG_IF;
	irq(0x40);
	t_ioctl_n(t_interp.vcpu_fd, KVM_NMI, 0);
	st->shadow_sti = 1;
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 0);
	assert_true(t_interp.want_intr && t_interp.want_nmi);
	st->shadow_sti = 0;
	st->shadow_movss = 1;
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 0);
	/* but not exceptions */
	vcpu_queue_exception(v, &(struct x86_fault){ .vector = EXC_UD });
	assert_int_equal(inject(), 0);
	expect(1, EVENT_EXCEPTION, EXC_UD);
	st->shadow_movss = 0;
	assert_int_equal(inject(), 0);
	expect(2, EVENT_NMI, EXC_NMI);
}

static void nmi_masked(void **state)
{
	st->nmi_masked = 1;
	t_ioctl_n(t_interp.vcpu_fd, KVM_NMI, 0);
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 0);
	assert_true(t_interp.want_nmi);
	assert_false(vcpu_has_wakeup_event(v));
	st->nmi_masked = 0;
	assert_true(vcpu_has_wakeup_event(v));
	assert_int_equal(inject(), 0);
	expect(1, EVENT_NMI, EXC_NMI);
}

/* One is taken, one can wait; more are lost. SDM 3A 6.7.1 */
static void nmis_collapse(void **state)
{
	unsigned int i;

	for (i = 0; i < 5; i++)
		t_ioctl_n(t_interp.vcpu_fd, KVM_NMI, 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 2);
}

static void task_priority(void **state)
{
	u32 tpr = 0x50;

	st->rflags |= X86_FLAG_IF;
	assert_true(lapic_mmio(v->lapic, APIC_TPR, &tpr, 4, true));
	assert_int_equal(vcpu_cr8(v), 5);
	irq(0x5f);
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 0);
	irq(0x60);
	assert_int_equal(inject(), 0);
	expect(1, EVENT_EXTINT, 0x60);
	lapic_eoi(v->lapic);
	assert_int_equal(vcpu_cr_write(v, 8, 0), 0);
	assert_int_equal(inject(), 0);
	expect(2, EVENT_EXTINT, 0x5f);
	assert_int_equal(vcpu_cr_write(v, 8, 16), -EFAULT);
}

/*
 * Delivery that needs the client comes again with the same event, and nothing is acknowledged
 * twice.
 */
static void delivery_interrupted(void **state)
{
	struct kvm_vcpu_events ev;

	st->rflags |= X86_FLAG_IF;
	irq(0x77);
	t_interp.inject_result = EMUL_RETRY;
	v->priv->io.want = WANT_NONE;
	/* this vendor asked for nothing the client could give */
	assert_int_equal(inject(), -EFAULT);
	t_interp.inject_result = EMUL_DONE;
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_GET_VCPU_EVENTS, &ev), 0);
	assert_int_equal(ev.interrupt.injected, 1);
	assert_int_equal(ev.interrupt.nr, 0x77);
	assert_int_equal(lapic_pending(v->lapic), -1);
	assert_int_equal(inject(), 0);
	expect(2, EVENT_EXTINT, 0x77);
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 2);
}

static void exception_payload(void **state)
{
	struct x86_fault pf = { .vector = EXC_PF, .has_error = true, .error = 2, .cr2 = 0xdead000 };
	struct x86_fault db = { .vector = EXC_DB, .dr6 = 0x4000 };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };

	/* without the capability CR2 and DR6 show at once */
	vcpu_queue_exception(v, &pf);
	assert_int_equal(st->cr2, 0xdead000);
	inject();
	vcpu_queue_exception(v, &db);
	assert_int_equal(st->dr6 & 0x4000, 0x4000);
	inject();
	assert_int_equal(t_interp.event[0].f.cr2, 0xdead000);
	assert_int_equal(t_interp.event[1].f.dr6, 0x4000);
	if (t_ioctl(t_interp.vm_fd, KVM_ENABLE_CAP, &cap))
		return;
	pf.cr2 = 0xbeef000;
	vcpu_queue_exception(v, &pf);
	assert_int_equal(st->cr2, 0xdead000);
	inject();
	assert_int_equal(t_interp.event[2].f.cr2, 0xbeef000);
}

/* An exception that the client set keeps the CR2 that it set. */
static void exception_from_client(void **state)
{
	struct kvm_vcpu_events ev;

	st->cr2 = 0x123000;
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_GET_VCPU_EVENTS, &ev), 0);
	ev.exception.injected = 1;
	ev.exception.nr = EXC_PF;
	ev.exception.has_error_code = 1;
	ev.exception.error_code = 6;
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_SET_VCPU_EVENTS, &ev), 0);
	assert_int_equal(inject(), 0);
	expect(1, EVENT_EXCEPTION, EXC_PF);
	assert_int_equal(t_interp.event[0].f.error, 6);
	assert_int_equal(t_interp.event[0].f.cr2, 0x123000);
}

static void triple_fault(void **state)
{
	v->priv->triple_fault = true;
	assert_int_equal(inject(), EMUL_SHUTDOWN);
	assert_int_equal(t_interp_run(), 0);		/* only once */
	vcpu_queue_exception(v, &(struct x86_fault){ .vector = EXC_UD });
	t_interp.inject_result = EMUL_SHUTDOWN;
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(t_interp.run->exit_reason, KVM_EXIT_SHUTDOWN);
}

/* ---- interrupt controllers with the client --------------------------------------------------- */

static void client_interrupt(void **state)
{
	struct kvm_interrupt irq_ = { .irq = 0x21 };

	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_INTERRUPT, &irq_), 0);
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_INTERRUPT, &irq_), -EEXIST);
	assert_int_equal(inject(), 0);
	assert_int_equal(t_interp.nr_events, 0);	/* IF is clear: it waits */
	assert_true(t_interp.want_intr);
	st->rflags |= X86_FLAG_IF;
	assert_int_equal(inject(), 0);
	expect(1, EVENT_EXTINT, 0x21);
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_INTERRUPT, &irq_), 0);
}

static void client_window(void **state)
{
	/* nop; sti; nop; nop */
	t_interp_code("\x90\xfb\x90\x90\xf4", 5);
	t_interp.run->request_interrupt_window = 1;
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(t_interp.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(t_interp.run->ready_for_interrupt_injection, 1);
	assert_int_equal(t_interp.run->if_flag, 1);
	assert_int_equal(t_interp_regs().rip, 0x1003);	/* after STI's shadow */
	t_interp.run->request_interrupt_window = 0;
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(t_interp.run->exit_reason, KVM_EXIT_HLT);
}

static void client_tpr(void **state)
{
	/* the client lowers nothing itself: the guest's write of a lower CR8 tells it */
	t_interp.run->cr8 = 9;
	t_interp_code("\xf4", 1);
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(vcpu_cr8(v), 9);
	assert_int_equal(vcpu_cr_write(v, 8, 10), 0);
	assert_false(v->priv->tpr_exit);
	assert_int_equal(vcpu_cr_write(v, 8, 4), 0);
	t_interp.run->cr8 = 4;
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(t_interp.run->exit_reason, KVM_EXIT_SET_TPR);
	assert_int_equal(t_interp.run->cr8, 4);
}

int main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TN(f)	cmocka_unit_test_setup_teardown(f, setup_no_irqchip, teardown)
	const struct CMUnitTest tests[] = {
		T(priorities), T(interrupt_flag), T(shadows), T(nmi_masked), T(nmis_collapse), T(task_priority),
		T(delivery_interrupted), T(exception_payload), T(exception_from_client), TN(triple_fault),
		TN(client_interrupt), TN(client_window), TN(client_tpr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
