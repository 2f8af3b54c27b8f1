/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * hypercalls.c - the paravirtual calls that CPUID leaf 0x40000001 announces, and their answers to what is not there.
 * VMMCALL here; a KVM on VT-x takes it as well (Documentation/virt/kvm/x86/hypercalls.rst).
 */
#include "lib/t_kvm.h"

#include <linux/kvm_para.h>

#define MSR_POLL_CONTROL 0x4b564d05

GUEST64(call, "1: vmmcall; out %al, $0x10; jmp 1b");
GUEST64(user_call, "vmmcall; mov %rax, 0x200; ud2");
GUEST16(halt, "hlt; hlt");

static bool has(struct t_vm *vm, unsigned int feature)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm->kvm);
	bool found = false;
	unsigned int i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == KVM_CPUID_FEATURES)
			found = c->entries[i].eax >> feature & 1;
	free(c);
	return found;
}

/* Two vCPUs with APICs in the kernel; the first can call. */
static void start(struct t_vm *vm, struct t_cpu cpu[2])
{
	t_vm_create(vm, T_IRQCHIP);
	t_cpu_create(vm, &cpu[0], 0);
	t_cpu_create(vm, &cpu[1], 1);
	T_LOAD(vm, T_CODE, call);
	t_cpu_long(vm, &cpu[0], T_CODE);
	t_cpu_cpuid(vm, &cpu[1]);
}

static void stop(struct t_vm *vm, struct t_cpu cpu[2])
{
	t_cpu_destroy(&cpu[1]);
	T_END(vm, &cpu[0]);
}

/* RAX after the hypercall. */
static int64_t hypercall(struct t_cpu *cpu, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	struct kvm_regs r = t_regs(cpu);

	r.rip = T_CODE;
	r.rax = nr;
	r.rbx = a0;
	r.rcx = a1;
	r.rdx = a2;
	r.rsi = a3;
	t_set_regs(cpu, &r);
	t_run_to(cpu, KVM_EXIT_IO);
	cpu->run->immediate_exit = 1;	/* completes the OUT */
	t_fails(EINTR, t_run(cpu));
	cpu->run->immediate_exit = 0;
	r = t_regs(cpu);
	return (int64_t)r.rax;
}

static void unknown_calls(void **state)
{
	static const uint64_t nr[] = { 0, 2, 3, 4, 77, 0xffffffff, UINT64_MAX };
	struct t_cpu cpu[2];
	struct t_vm vm;
	size_t i;

	start(&vm, cpu);
	for (i = 0; i < sizeof(nr) / sizeof(nr[0]); i++)
		assert_int_equal(hypercall(&cpu[0], nr[i], 0, 0, 0, 0), -KVM_ENOSYS);
	stop(&vm, cpu);
}

static bool requested(struct t_cpu *cpu, unsigned int vector)
{
	struct kvm_lapic_state s;
	uint32_t irr;

	t_ok(T(cpu->fd, KVM_GET_LAPIC, &s));
	memcpy(&irr, s.regs + 0x200 + vector / 32 * 16, 4);
	return irr >> vector % 32 & 1;
}

/* A local APIC takes interrupts when software has switched it on. */
static void apic_on(struct t_cpu *cpu)
{
	const uint32_t svr = 0x1ff;
	struct kvm_lapic_state s;

	t_ok(T(cpu->fd, KVM_GET_LAPIC, &s));
	memcpy(s.regs + 0xf0, &svr, 4);
	t_ok(T(cpu->fd, KVM_SET_LAPIC, &s));
}

static void send_ipi(void **state)
{
	struct t_cpu cpu[2];
	struct t_vm vm;

	start(&vm, cpu);
	if (!has(&vm, KVM_FEATURE_PV_SEND_IPI)) {
		stop(&vm, cpu);
		skip();
	}
	apic_on(&cpu[0]);
	apic_on(&cpu[1]);
	assert_int_equal(hypercall(&cpu[0], KVM_HC_SEND_IPI, 2, 0, 0, 0x51), 1);
	assert_true(requested(&cpu[1], 0x51));
	assert_false(requested(&cpu[0], 0x51));
	assert_int_equal(hypercall(&cpu[0], KVM_HC_SEND_IPI, 3, 0, 0, 0x52), 2);
	assert_true(requested(&cpu[0], 0x52) && requested(&cpu[1], 0x52));
	/* from another first id on; nobody is there, or beyond what there can be */
	assert_int_equal(hypercall(&cpu[0], KVM_HC_SEND_IPI, 1, 0, 1, 0x53), 1);
	assert_true(requested(&cpu[1], 0x53));
	assert_int_equal(hypercall(&cpu[0], KVM_HC_SEND_IPI, ~0ULL << 2, ~0ULL, 0, 0x54), 0);
	assert_true(hypercall(&cpu[0], KVM_HC_SEND_IPI, ~0ULL, ~0ULL, 0xfffffff0, 0x55) <= 0);
	assert_false(requested(&cpu[0], 0x55) || requested(&cpu[1], 0x55));
	stop(&vm, cpu);
}

static void kick_and_yield(void **state)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_HALTED };
	struct t_cpu cpu[2];
	struct t_vm vm;

	start(&vm, cpu);
	if (has(&vm, KVM_FEATURE_PV_UNHALT)) {
		T_LOAD(&vm, 0xa000, halt);
		t_cpu_real(&cpu[1], 0xa000);
		t_ok(T(cpu[1].fd, KVM_SET_MP_STATE, &mp));
		assert_int_equal(hypercall(&cpu[0], KVM_HC_KICK_CPU, 0, 77, 0, 0), 0);	/* nobody */
		t_ok(T(cpu[1].fd, KVM_GET_MP_STATE, &mp));
		assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
		assert_int_equal(hypercall(&cpu[0], KVM_HC_KICK_CPU, 0, 1, 0, 0), 0);
		t_ok(T(cpu[1].fd, KVM_GET_MP_STATE, &mp));
		assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	}
	if (has(&vm, KVM_FEATURE_PV_SCHED_YIELD)) {
		assert_int_equal(hypercall(&cpu[0], KVM_HC_SCHED_YIELD, 1, 0, 0, 0), 0);
		assert_int_equal(hypercall(&cpu[0], KVM_HC_SCHED_YIELD, 77, 0, 0, 0), 0);
	}
	stop(&vm, cpu);
}

static void poll_control(void **state)
{
	struct t_cpu cpu[2];
	struct t_vm vm;

	start(&vm, cpu);
	if (has(&vm, KVM_FEATURE_POLL_CONTROL)) {
		assert_int_equal(t_msr(&cpu[0], MSR_POLL_CONTROL), 1);
		assert_int_equal(t_set_msr(&cpu[0], MSR_POLL_CONTROL, 0), 1);
		assert_int_equal(t_msr(&cpu[0], MSR_POLL_CONTROL), 0);
		assert_int_equal(t_set_msr(&cpu[0], MSR_POLL_CONTROL, 2), 0);
	}
	stop(&vm, cpu);
}

/* Not for user mode: -EPERM. */
static void from_user_mode(void **state)
{
	struct t_cpu cpu[2];
	struct kvm_sregs s;
	struct t_vm vm;
	uint64_t *table;
	int64_t rax;
	int i;

	start(&vm, cpu);
	table = (uint64_t *)(vm.mem + T_TABLES);
	for (i = 0; i < 1024; i += 512)
		table[i] |= 4;
	table[1024] |= 4;
	T_LOAD(&vm, T_CODE, user_call);
	t_ok(T(cpu[0].fd, KVM_GET_SREGS, &s));
	s.cs.dpl = s.ss.dpl = s.ds.dpl = s.es.dpl = 3;
	s.cs.selector |= 3;
	s.ss.selector |= 3;
	t_ok(T(cpu[0].fd, KVM_SET_SREGS, &s));
	t_run_to(&cpu[0], KVM_EXIT_SHUTDOWN);	/* UD2 without an IDT */
	memcpy(&rax, vm.mem + 0x200, 8);
	assert_int_equal(rax, -KVM_EPERM);
	stop(&vm, cpu);
}

T_MAIN(T_CASE(unknown_calls), T_CASE(send_ipi), T_CASE(kick_and_yield), T_CASE(poll_control), T_CASE(from_user_mode))
