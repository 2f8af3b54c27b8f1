/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* events.c - KVM_GET/SET_VCPU_EVENTS, KVM_INTERRUPT, KVM_NMI, machine checks, and the capabilities that go with them. */
#include "lib/t_kvm.h"

static struct t_vm vm;
static struct t_cpu cpu;

/* Handlers of vectors 2, 6, 0x21 report their number; the code loops with interrupts on. */
GUEST16(nmi_isr, "movb $2, %al; outb %al, $0x10; iretw");
GUEST16(ud_isr, "movb $6, %al; outb %al, $0x10; hlt");
GUEST16(irq_isr, "movb $0x21, %al; outb %al, $0x10; iretw");
GUEST16(code, "sti; 1: jmp 1b");
GUEST16(one_nop, "nop; 1: jmp 1b");
GUEST16(code_off, "cli; nop; outb %al, $0x11; sti; nop; outb %al, $0x12; hlt");

static void vector(uint8_t nr, uint16_t at)
{
	*(uint32_t *)(vm.mem + nr * 4) = at;
}

static int begin(void **state)
{
	T_START(&vm, &cpu, 0, code);
	T_LOAD(&vm, 0x9000, nmi_isr);
	T_LOAD(&vm, 0x9100, ud_isr);
	T_LOAD(&vm, 0x9200, irq_isr);
	vector(2, 0x9000);
	vector(6, 0x9100);
	vector(0x21, 0x9200);
	return 0;
}

static int end(void **state)
{
	T_END(&vm, &cpu);
	return 0;
}

static struct kvm_vcpu_events get(void)
{
	struct kvm_vcpu_events ev;

	t_ok(T(cpu.fd, KVM_GET_VCPU_EVENTS, &ev));
	return ev;
}

static long set(struct kvm_vcpu_events ev)
{
	return T(cpu.fd, KVM_SET_VCPU_EVENTS, &ev);
}

static void reports(uint8_t nr)
{
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x10);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), nr);
}

static void quiet_at_first(void **state)
{
	struct kvm_vcpu_events ev = get();

	assert_int_equal(ev.exception.injected | ev.interrupt.injected | ev.nmi.injected | ev.nmi.pending | ev.nmi.masked, 0);
	assert_int_equal(ev.interrupt.shadow | ev.smi.smm, 0);
	assert_true(ev.flags & KVM_VCPUEVENT_VALID_SHADOW);	/* KVM_CAP_INTR_SHADOW */
	t_ok(set(ev));
	t_fails(EFAULT, T(cpu.fd, KVM_GET_VCPU_EVENTS, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_VCPU_EVENTS, T_BAD_PTR));
}

static void exception_set_by_client(void **state)
{
	struct kvm_vcpu_events ev = get();

	ev.exception.injected = 1;
	ev.exception.nr = 6;
	t_ok(set(ev));
	ev = get();
	assert_int_equal(ev.exception.injected, 1);
	assert_int_equal(ev.exception.nr, 6);
	reports(6);
	assert_int_equal(get().exception.injected, 0);
}

static void refusals(void **state)
{
	struct kvm_vcpu_events ev = get(), bad;

	bad = ev;
	bad.flags |= 0x80000000;
	t_fails(EINVAL, set(bad));
	bad = ev;
	bad.exception.injected = 1;
	bad.exception.nr = 32;
	t_fails(EINVAL, set(bad));
	bad.exception.nr = 2;				/* NMI is none */
	t_fails(EINVAL, set(bad));
	bad = ev;
	bad.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;	/* not switched on */
	t_fails(EINVAL, set(bad));
	bad = ev;
	bad.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	t_fails(EINVAL, set(bad));
	bad = get();
	assert_memory_equal(&ev, &bad, sizeof(ev));
}

static void payload(void **state)
{
	struct kvm_vcpu_events ev;

	if (!t_cap(&vm, KVM_CAP_EXCEPTION_PAYLOAD))
		skip();
	t_ok(t_enable(vm.fd, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	ev = get();
	assert_true(ev.flags & KVM_VCPUEVENT_VALID_PAYLOAD);
	ev.exception.pending = 1;
	ev.exception.nr = 1;				/* #DB: the payload goes to DR6 */
	ev.exception_has_payload = 1;
	ev.exception_payload = 0x4000;
	vector(1, 0x9100);
	t_ok(set(ev));
	ev = get();
	assert_int_equal(ev.exception.pending, 1);
	assert_int_equal(ev.exception_has_payload, 1);
	assert_int_equal(ev.exception_payload, 0x4000);
	reports(6);
	ev = get();
	assert_int_equal(ev.exception.pending | ev.exception.injected, 0);
	{
		struct kvm_debugregs d;

		t_ok(T(cpu.fd, KVM_GET_DEBUGREGS, &d));
		assert_true(d.dr6 & 0x4000);
	}
}

static void triple_fault_event(void **state)
{
	struct kvm_vcpu_events ev;

	if (!t_cap(&vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT))
		skip();
	t_ok(t_enable(vm.fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1));
	ev = get();
	assert_true(ev.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	assert_int_equal(ev.triple_fault.pending, 0);
	ev.triple_fault.pending = 1;
	t_ok(set(ev));
	assert_int_equal(get().triple_fault.pending, 1);
	t_run_to(&cpu, KVM_EXIT_SHUTDOWN);
}

/* KVM_SET_REGS drops a pending exception: regs must be set before events. */
static void set_regs_drops_exception(void **state)
{
	struct kvm_vcpu_events ev;
	struct kvm_regs r = t_regs(&cpu);

	if (!t_cap(&vm, KVM_CAP_EXCEPTION_PAYLOAD))
		skip();
	t_ok(t_enable(vm.fd, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	ev = get();
	ev.exception.pending = 1;
	ev.exception.nr = 6;
	t_ok(set(ev));
	t_set_regs(&cpu, &r);
	assert_int_equal(get().exception.pending, 0);
}

static void shadow(void **state)
{
	struct kvm_vcpu_events ev = get();

	ev.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	t_ok(set(ev));
	assert_int_equal(get().interrupt.shadow, KVM_X86_SHADOW_INT_STI);
	ev.interrupt.shadow = 0;
	t_ok(set(ev));
	assert_int_equal(get().interrupt.shadow, 0);
}

/* ---- KVM_INTERRUPT, without an interrupt controller in there ---- */

static long interrupt(uint32_t nr)
{
	struct kvm_interrupt irq = { .irq = nr };

	return T(cpu.fd, KVM_INTERRUPT, &irq);
}

static void interrupt_vector(void **state)
{
	long again;
	struct kvm_regs r = t_regs(&cpu);

	r.rflags |= 0x200;
	t_set_regs(&cpu, &r);
	t_fails(EINVAL, interrupt(256));
	t_fails(EINVAL, interrupt(~0u));
	t_fails(EFAULT, T(cpu.fd, KVM_INTERRUPT, T_BAD_PTR));
	t_ok(interrupt(0x21));
	again = interrupt(0x21);		/* Linux queues the new one instead, without its own interrupt controllers */
	assert_true(again == 0 || again == -EEXIST);
	assert_int_equal(get().interrupt.injected, 1);
	assert_int_equal(get().interrupt.nr, 0x21);
	reports(0x21);
	assert_int_equal(get().interrupt.injected, 0);
}

static void interrupt_with_a_pic_in_there(void **state)
{
	struct kvm_interrupt irq = { .irq = 0x21 };
	struct t_vm v;
	struct t_cpu c;

	t_vm_create(&v, T_IRQCHIP);
	t_cpu_create(&v, &c, 0);
	t_fails(ENXIO, T(c.fd, KVM_INTERRUPT, &irq));
	T_END(&v, &c);
}

/* The client wants to know when it may inject: not before STI and the instruction after it. */
static void interrupt_window(void **state)
{
	T_LOAD(&vm, T_CODE, code_off);
	t_cpu_real(&cpu, T_CODE);
	cpu.run->request_interrupt_window = 1;
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x11);
	assert_int_equal(cpu.run->if_flag, 0);
	assert_int_equal(cpu.run->ready_for_interrupt_injection, 0);
	t_run_to(&cpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(cpu.run->if_flag, 1);
	assert_int_equal(cpu.run->ready_for_interrupt_injection, 1);
	cpu.run->request_interrupt_window = 0;
	t_ok(interrupt(0x21));
	reports(0x21);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x12);
	t_run_to(&cpu, KVM_EXIT_HLT);
}

/* ---- NMI ---- */

static void nmi(void **state)
{
	struct kvm_vcpu_events ev;

	t_ok(T(cpu.fd, KVM_NMI, 0));
	assert_true(get().nmi.pending || get().nmi.injected);
	reports(2);
	assert_int_equal(get().nmi.masked, 1);		/* until IRET */
	t_ok(T(cpu.fd, KVM_NMI, 0));
	reports(2);
	ev = get();
	ev.nmi.masked = 0;
	ev.nmi.pending = 0;
	ev.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	t_ok(set(ev));
	ev = get();
	assert_int_equal(ev.nmi.masked | ev.nmi.pending, 0);
	ev.nmi.pending = 1;
	t_ok(set(ev));
	reports(2);
}

/* An NMI waits for the instruction behind STI or MOV SS; it is not lost, and the guest goes on. */
static void nmi_in_a_shadow(void **state)
{
	static const uint8_t shadows[] = { KVM_X86_SHADOW_INT_STI, KVM_X86_SHADOW_INT_MOV_SS };
	struct kvm_vcpu_events ev;
	unsigned int i;

	T_LOAD(&vm, 0x9300, one_nop);
	for (i = 0; i < 2; i++) {
		t_cpu_real(&cpu, 0x9300);
		ev = get();
		ev.nmi.masked = 0;
		ev.interrupt.shadow = shadows[i];
		ev.flags |= KVM_VCPUEVENT_VALID_SHADOW;
		t_ok(set(ev));
		t_ok(T(cpu.fd, KVM_NMI, 0));
		reports(2);
		assert_int_equal(*(uint16_t *)(vm.mem + t_regs(&cpu).rsp), 0x9301);
		cpu.run->immediate_exit = 1;		/* completes the OUT */
		t_fails(EINTR, t_run(&cpu));
		cpu.run->immediate_exit = 0;
	}
}

/* While an NMI is in service one more is latched, and not two: what is queued then is told by what was in service then. */
static void nmis_while_one_is_in_service(void **state)
{
	struct kvm_vcpu_events ev = get();

	ev.nmi.masked = 1;
	t_ok(set(ev));
	t_ok(T(cpu.fd, KVM_NMI, 0));
	t_ok(T(cpu.fd, KVM_NMI, 0));
	ev = get();
	assert_int_equal(ev.nmi.pending, 1);
	ev.nmi.masked = 0;
	ev.flags = 0;
	t_ok(set(ev));
	reports(2);
	assert_int_equal(get().nmi.pending, 0);
}

/* ---- machine checks ---- */

#define MC0_STATUS	0x401
#define STATUS_VAL	(1ULL << 63)
#define STATUS_UC	(1ULL << 61)
#define STATUS_EN	(1ULL << 60)

static void setup_mce(void **state)
{
	uint64_t cap = 0, supported;

	t_ok(T(vm.kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported));
	t_fails(EINVAL, T(cpu.fd, KVM_X86_SETUP_MCE, &cap));		/* no bank */
	cap = 33;
	t_fails(EINVAL, T(cpu.fd, KVM_X86_SETUP_MCE, &cap));
	cap = 10 | 1ULL << 40;
	t_fails(EINVAL, T(cpu.fd, KVM_X86_SETUP_MCE, &cap));
	t_fails(EFAULT, T(cpu.fd, KVM_X86_SETUP_MCE, T_BAD_PTR));
	cap = 10 | (supported & 1 << 8);
	t_ok(T(cpu.fd, KVM_X86_SETUP_MCE, &cap));
	assert_int_equal(t_msr(&cpu, 0x179), cap);			/* IA32_MCG_CAP */
}

static void set_mce(void **state)
{
	struct kvm_x86_mce m = { .status = STATUS_VAL | STATUS_EN | 0x11, .addr = 0x5000, .misc = 7, .bank = 3 };
	uint64_t cap = 10 | 1 << 8;

	t_ok(T(cpu.fd, KVM_X86_SETUP_MCE, &cap));
	t_ok(T(cpu.fd, KVM_X86_SET_MCE, &m));				/* corrected: logged only */
	assert_int_equal(t_msr(&cpu, MC0_STATUS + 3 * 4), m.status);
	assert_int_equal(t_msr(&cpu, MC0_STATUS + 3 * 4 + 1), 0x5000);
	assert_int_equal(t_msr(&cpu, MC0_STATUS + 3 * 4 + 2), 7);
	m.bank = 10;
	t_fails(EINVAL, T(cpu.fd, KVM_X86_SET_MCE, &m));
	m.bank = 1;
	m.status = 0x11;						/* not valid */
	t_fails(EINVAL, T(cpu.fd, KVM_X86_SET_MCE, &m));
	t_fails(EFAULT, T(cpu.fd, KVM_X86_SET_MCE, T_BAD_PTR));
	/* uncorrected, and the guest has not enabled CR4.MCE: shutdown */
	m.status = STATUS_VAL | STATUS_UC | STATUS_EN;
	m.mcg_status = 4;
	t_ok(T(cpu.fd, KVM_X86_SET_MCE, &m));
	t_run_to(&cpu, KVM_EXIT_SHUTDOWN);
}

static void uncorrected_mce_is_delivered(void **state)
{
	struct kvm_x86_mce m = { .status = STATUS_VAL | STATUS_UC | STATUS_EN, .mcg_status = 5, .bank = 1 };
	uint64_t cap = 10 | 1 << 8;
	struct kvm_sregs s;

	t_ok(T(cpu.fd, KVM_X86_SETUP_MCE, &cap));
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.cr4 |= 1 << 6;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	vector(18, 0x9100);
	t_ok(T(cpu.fd, KVM_X86_SET_MCE, &m));
	reports(6);
	assert_int_equal(t_msr(&cpu, 0x17a), 5);			/* IA32_MCG_STATUS */
}

/* Corrected errors, and uncorrected ones that need no action, interrupt by LVT CMCI where the guest has asked for it. */
static bool cmci_pending(struct t_cpu *c)
{
	struct kvm_lapic_state s;
	bool pending;

	t_ok(T(c->fd, KVM_GET_LAPIC, &s));
	pending = s.regs[0x200 + 0xa9 / 32 * 16 + 0xa9 % 32 / 8] & 1 << (0xa9 % 8);
	s.regs[0x200 + 0xa9 / 32 * 16 + 0xa9 % 32 / 8] = 0;
	t_ok(T(c->fd, KVM_SET_LAPIC, &s));
	return pending;
}

static void corrected_mce_interrupts(void **state)
{
	struct kvm_x86_mce m = { .status = STATUS_VAL | STATUS_UC | STATUS_EN, .addr = 0x6000, .bank = 7 };
	uint64_t cap = 10 | 1 << 8 | 1 << 10, supported;
	const uint32_t lvt = 0xa9, svr = 0x1ff;
	struct kvm_lapic_state s;
	struct t_vm v;
	struct t_cpu c;

	t_vm_create(&v, T_IRQCHIP);
	t_cpu_create(&v, &c, 0);
	t_ok(T(v.kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported));
	if (!(supported & 1 << 10)) {
		printf("no CMCI here\n");
		T_END(&v, &c);
		skip();
	}
	t_ok(T(c.fd, KVM_X86_SETUP_MCE, &cap));
	t_ok(T(c.fd, KVM_GET_LAPIC, &s));
	assert_int_equal(s.regs[0x32], 6);				/* the highest LVT entry */
	memcpy(s.regs + 0xf0, &svr, 4);
	memcpy(s.regs + 0x2f0, &lvt, 4);
	t_ok(T(c.fd, KVM_SET_LAPIC, &s));
	t_ok(T(c.fd, KVM_X86_SET_MCE, &m));				/* logged, but not asked for */
	assert_int_equal(t_msr(&c, MC0_STATUS + 7 * 4), m.status);
	assert_int_equal(t_msr(&c, MC0_STATUS + 7 * 4 + 1), 0x6000);
	assert_false(cmci_pending(&c));
	assert_int_equal(t_set_msr(&c, 0x287, 1ULL << 30 | 1ULL << 29), 0);	/* reserved */
	assert_int_equal(t_set_msr(&c, 0x287, 1ULL << 30 | 3), 1);
	t_ok(T(c.fd, KVM_X86_SET_MCE, &m));
	assert_true(cmci_pending(&c));
	assert_int_equal(t_set_msr(&c, MC0_STATUS + 7 * 4, 0), 1);
	m.status = STATUS_VAL | STATUS_EN | 2ULL << 38;			/* two corrected ones: below the threshold */
	t_ok(T(c.fd, KVM_X86_SET_MCE, &m));
	assert_false(cmci_pending(&c));
	m.status = STATUS_VAL | STATUS_EN | 3ULL << 38;
	t_ok(T(c.fd, KVM_X86_SET_MCE, &m));
	assert_true(cmci_pending(&c));
	cap &= ~(1ULL << 10);
	t_ok(T(c.fd, KVM_X86_SETUP_MCE, &cap));
	assert_int_equal(t_set_msr(&c, 0x287, 1ULL << 30), 0);
	t_ok(T(c.fd, KVM_GET_LAPIC, &s));
	assert_int_equal(s.regs[0x32], 5);
	T_END(&v, &c);
}

/* An INIT between two KVM_RUNs can be saved and set: it is told as latched until KVM_RUN or KVM_GET_MP_STATE acts on it. */
static void init_that_waits(void **state)
{
	const struct kvm_msi init = { .address_lo = 0xfee00000, .data = 0x4500 };
	struct kvm_vcpu_events ev;
	struct kvm_mp_state mp;
	struct t_vm v;
	struct t_cpu c;

	T_START(&v, &c, T_IRQCHIP, code);
	assert_int_equal(T(v.fd, KVM_SIGNAL_MSI, &init), 1);
	t_ok(T(c.fd, KVM_GET_VCPU_EVENTS, &ev));
	assert_int_equal(ev.smi.latched_init, 1);
	assert_int_equal(t_regs(&c).rip, T_CODE);
	ev.smi.latched_init = 0;
	t_ok(T(c.fd, KVM_SET_VCPU_EVENTS, &ev));
	t_ok(T(c.fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(t_regs(&c).rip, T_CODE);
	ev.smi.latched_init = 1;
	ev.flags &= ~(uint32_t)KVM_VCPUEVENT_VALID_SMM;
	t_ok(T(c.fd, KVM_SET_VCPU_EVENTS, &ev));
	t_ok(T(c.fd, KVM_GET_VCPU_EVENTS, &ev));
	assert_int_equal(ev.smi.latched_init, 0);
	ev.smi.latched_init = 1;
	t_ok(T(c.fd, KVM_SET_VCPU_EVENTS, &ev));
	t_ok(T(c.fd, KVM_GET_VCPU_EVENTS, &ev));
	assert_int_equal(ev.smi.latched_init, 1);
	assert_int_equal(t_regs(&c).rip, T_CODE);
	t_ok(T(c.fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(t_regs(&c).rip, 0xfff0);
	t_ok(T(c.fd, KVM_GET_VCPU_EVENTS, &ev));
	assert_int_equal(ev.smi.latched_init, 0);
	T_END(&v, &c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
T_MAIN(CASE(quiet_at_first), CASE(exception_set_by_client), CASE(refusals), CASE(payload), CASE(triple_fault_event),
       CASE(set_regs_drops_exception), CASE(shadow), CASE(interrupt_vector), CASE(interrupt_with_a_pic_in_there),
       CASE(interrupt_window), CASE(nmi), CASE(nmi_in_a_shadow), CASE(nmis_while_one_is_in_service), CASE(setup_mce),
       CASE(set_mce), CASE(uncorrected_mce_is_delivered), CASE(corrected_mce_interrupts), CASE(init_that_waits))
