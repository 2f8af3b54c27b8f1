/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* debug.c - KVM_SET_GUEST_DEBUG: single steps, hardware and software breakpoints, injected exceptions, BLOCKIRQ. */
#include "lib/t_kvm.h"

static struct t_vm vm;
static struct t_cpu cpu;

GUEST16(code, "nop; nop; movw $5, %ax; movb %al, 0x600; nop; int3; outb %al, $0x10; hlt");
GUEST16(db_isr, "movb $1, %al; outb %al, $0x11; hlt");

static int begin(void **state)
{
	T_START(&vm, &cpu, 0, code);
	T_LOAD(&vm, 0x9000, db_isr);
	*(uint32_t *)(vm.mem + 1 * 4) = 0x9000;
	*(uint32_t *)(vm.mem + 3 * 4) = 0x9000;
	return 0;
}

static int end(void **state)
{
	T_END(&vm, &cpu);
	return 0;
}

static long set(uint32_t control, uint64_t dr0, uint64_t dr7)
{
	struct kvm_guest_debug d = { .control = control };

	d.arch.debugreg[0] = dr0;
	d.arch.debugreg[7] = dr7;
	return T(cpu.fd, KVM_SET_GUEST_DEBUG, &d);
}

static void stops(uint32_t exception, uint64_t pc)
{
	t_run_to(&cpu, KVM_EXIT_DEBUG);
	assert_int_equal(cpu.run->debug.arch.exception, exception);
	assert_int_equal(cpu.run->debug.arch.pc, pc);
}

static void single_step(void **state)
{
	t_ok(set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0));
	stops(1, T_CODE + 1);
	assert_int_equal(cpu.run->debug.arch.dr6, 0xffff4ff0);
	stops(1, T_CODE + 2);
	stops(1, T_CODE + 5);
	stops(1, T_CODE + 8);
	assert_int_equal(vm.mem[0x600], 5);
	assert_int_equal(t_regs(&cpu).rflags & 0x100, 0);	/* the guest's own TF is not touched */
	t_ok(set(0, 0, 0));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x11);		/* int3 is the guest's again */
}

static void hardware_breakpoint(void **state)
{
	t_ok(set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, T_CODE + 5, 0x402));
	stops(1, T_CODE + 5);
	assert_int_equal(cpu.run->debug.arch.dr6, 0xffff0ff1);
	assert_int_equal(cpu.run->debug.arch.dr7, 0x402);
	assert_int_equal(vm.mem[0x600], 0);
	t_ok(set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, 0x600, 0x402 | 1 << 16));	/* a byte written */
	stops(1, T_CODE + 8);
	assert_int_equal(vm.mem[0x600], 5);
}

/* A breakpoint that is still there is met again, as nothing has set RF; with RF its instruction runs. SDM 3B 17.3.1.1 */
static void breakpoint_is_met_again(void **state)
{
	struct kvm_regs regs;

	t_ok(set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, T_CODE + 2, 0x402));
	stops(1, T_CODE + 2);
	stops(1, T_CODE + 2);
	regs = t_regs(&cpu);
	assert_int_equal(regs.rflags & 0x10000, 0);
	regs.rflags |= 0x10000;
	t_set_regs(&cpu, &regs);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x11);
}

static void software_breakpoint(void **state)
{
	t_ok(set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0));
	stops(3, T_CODE + 9);
	assert_int_equal(t_regs(&cpu).rip, T_CODE + 9);		/* of the INT3 itself */
}

static void inject(void **state)
{
	t_ok(set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB, 0, 0));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x11);
	t_cpu_real(&cpu, T_CODE);
	t_ok(set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP, 0, 0));
	t_fails(EBUSY, set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP, 0, 0));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x11);
}

static void block_irq(void **state)
{
	struct t_vm v;
	struct t_cpu c;
	struct kvm_regs r;
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ };

	if (!(t_cap(&vm, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ))
		skip();
	T_START(&v, &c, 0, code);
	r = t_regs(&c);
	t_ok(T(c.fd, KVM_SET_GUEST_DEBUG, &d));
	t_ok(T(c.fd, KVM_NMI, 0));
	t_run_to(&c, KVM_EXIT_DEBUG);
	assert_int_equal(c.run->debug.arch.pc, r.rip + 1);	/* not in a handler */
	T_END(&v, &c);
}

/* A machine check with CR4.MCE clear is a triple fault, which is pending until KVM_RUN. */
static void inject_at_a_triple_fault(void **state)
{
	struct kvm_x86_mce m = { .status = 7UL << 61, .mcg_status = 4 };
	uint64_t cap = 0x101;

	t_ok(T(cpu.fd, KVM_X86_SETUP_MCE, &cap));
	t_ok(T(cpu.fd, KVM_X86_SET_MCE, &m));
	t_fails(EBUSY, set(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB, 0, 0));
	t_ok(set(KVM_GUESTDBG_ENABLE, 0, 0));
	t_run_to(&cpu, KVM_EXIT_SHUTDOWN);
}

static void refusals(void **state)
{
	t_fails(EINVAL, set(KVM_GUESTDBG_ENABLE | 1 << 12, 0, 0));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_GUEST_DEBUG, T_BAD_PTR));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
T_MAIN(CASE(single_step), CASE(hardware_breakpoint), CASE(breakpoint_is_met_again), CASE(software_breakpoint), CASE(inject), CASE(block_irq),
       CASE(inject_at_a_triple_fault), CASE(refusals))
