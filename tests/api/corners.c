/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * corners.c - what the differential test (tests/diff) once found, each with the fewest calls: state that must survive its own
 * round trip, accesses that are the client's, errors in the order in which Linux finds them.
 */
#include "lib/t_kvm.h"

#include <sys/eventfd.h>

GUEST16(nothing, "out %al, $0x10");
GUEST64(user_hlt, "out %al, $0x10");

/* LINT0 lets the 8259's interrupts through a disabled local APIC, until somebody masks it. */
static void lapic_round_trip(void **state)
{
	struct kvm_lapic_state a, b;
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &a));
	assert_memory_equal(a.regs + 0x350, "\x00\x07\x00\x00", 4);
	t_ok(T(cpu.fd, KVM_SET_LAPIC, &a));
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &b));
	assert_memory_equal(a.regs, b.regs, sizeof(a.regs));
	T_END(&vm, &cpu);
}

/* A device of ours has one of two ports of an access: all of it goes to the client. */
GUEST16(wide_ports, "mov $0x43, %dx; in %dx, %ax; mov $0xa1, %dx; mov $0x3099, %ax; out %ax, %dx; mov $0x42, %dx; in %dx, %eax; hlt");
static void access_across_the_last_port(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;

	T_START(&vm, &cpu, T_PIT, wide_ports);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x43);
	assert_int_equal(cpu.run->io.size, 2);
	assert_int_equal(cpu.run->io.direction, KVM_EXIT_IO_IN);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0xa1);
	assert_int_equal(cpu.run->io.size, 2);
	assert_memory_equal(t_io_data(cpu.run), "\x99\x30", 2);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x42);
	assert_int_equal(cpu.run->io.size, 4);
	T_END(&vm, &cpu);
}

static void clear_dirty_log_looks_at_the_range_first(void **state)
{
	uint64_t bitmap[2] = { 0 };
	struct kvm_clear_dirty_log log = { .slot = 3, .first_page = 1, .num_pages = 64, .dirty_bitmap = bitmap };
	struct t_vm vm;

	t_vm_create(&vm, 0);
	t_fails(EINVAL, T(vm.fd, KVM_CLEAR_DIRTY_LOG, &log));
	log.first_page = 0;
	t_fails(ENOENT, T(vm.fd, KVM_CLEAR_DIRTY_LOG, &log));
	t_vm_destroy(&vm);
}

/* Taking away what was never there is checked less than adding it. */
static void deassign_of_nothing(void **state)
{
	struct kvm_irqfd q = { .gsi = 5, .flags = KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE };
	struct kvm_ioeventfd e = { .addr = 0xd0000000, .len = 3, .flags = KVM_IOEVENTFD_FLAG_DEASSIGN | 8 };
	struct t_vm vm;

	t_vm_create(&vm, 0);		/* no interrupt controllers */
	q.fd = (uint32_t)(e.fd = eventfd(0, 0));
	t_ok(T(vm.fd, KVM_IRQFD, &q));
	q.flags = 0;
	t_fails(EINVAL, T(vm.fd, KVM_IRQFD, &q) == -EAGAIN ? -EINVAL : T(vm.fd, KVM_IRQFD, &q));	/* Linux: EAGAIN */
	t_fails(ENOENT, T(vm.fd, KVM_IOEVENTFD, &e));
	e.flags = 8;
	t_fails(EINVAL, T(vm.fd, KVM_IOEVENTFD, &e));
	close(e.fd);
	t_vm_destroy(&vm);
}

static void cr8_that_does_not_exist(void **state)
{
	struct kvm_sregs s;
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.cr8 = 5;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	s.cr8 = 0x31c;
	s.cr2 = 0x1234;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	assert_int_equal(s.cr8, 5);
	assert_int_equal(s.cr2, 0x1234);
	T_END(&vm, &cpu);
}

/* SREGS were set while RFLAGS.VM was; the privilege level is that of SS once it is not. */
static void privilege_after_virtual_8086(void **state)
{
	struct kvm_regs regs;
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, user_hlt);
	regs = t_regs(&cpu);
	regs.rflags = 0x20002;
	t_set_regs(&cpu, &regs);
	t_cpu_long(&vm, &cpu, T_CODE);
	t_run_to(&cpu, KVM_EXIT_IO);	/* a port needs privilege */
	T_END(&vm, &cpu);
}

static void cpuid_as_read_after_run(void **state)
{
	struct kvm_cpuid2 *c;
	struct kvm_sregs s;
	struct t_vm vm;
	struct t_cpu cpu;

	T_START(&vm, &cpu, 0, nothing);
	t_cpu_cpuid(&vm, &cpu);
	c = t_supported_cpuid(vm.kvm);
	/* no entry yet, so a change is still possible */
	cpu.run->immediate_exit = 1;
	t_fails(EINTR, t_run(&cpu));
	cpu.run->immediate_exit = 0;
	c->entries[0].edx ^= 1;
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	c->entries[0].edx ^= 1;
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	t_run_to(&cpu, KVM_EXIT_IO);
	/* CR4.OSXSAVE shows in CPUID, and what shows can be set again */
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.cr4 |= 1 << 18;
	if (T(cpu.fd, KVM_SET_SREGS, &s) == 0) {
		t_ok(T(cpu.fd, KVM_GET_CPUID2, c));
		t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
		s.cr4 &= ~(1ULL << 18);
		t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
		t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	}
	c->entries[0].edx ^= 1;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_CPUID2, c));
	free(c);
	T_END(&vm, &cpu);
}

/* Banks of machine checks report nothing before somebody enables them. */
static void machine_check_banks_at_first(void **state)
{
	struct kvm_x86_mce mce = { .status = 0xf000000000000000, .bank = 1 };
	struct kvm_vcpu_events ev;
	struct t_vm vm;
	struct t_cpu cpu;

	T_START(&vm, &cpu, 0, nothing);
	assert_int_equal(t_msr(&cpu, 0x404), 0);
	t_ok(T(cpu.fd, KVM_X86_SET_MCE, &mce));
	t_ok(T(cpu.fd, KVM_GET_VCPU_EVENTS, &ev));
	assert_int_equal(ev.exception.injected, 0);
	t_run_to(&cpu, KVM_EXIT_IO);	/* and no shutdown */
	T_END(&vm, &cpu);
}

/* The instruction that raised them raises them again. */
static void breakpoint_and_overflow_are_not_told(void **state)
{
	struct kvm_vcpu_events ev = { .exception = { .injected = 1, .nr = 3 } };
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(T(cpu.fd, KVM_SET_VCPU_EVENTS, &ev));
	t_ok(T(cpu.fd, KVM_GET_VCPU_EVENTS, &ev));
	assert_int_equal(ev.exception.injected, 0);
	T_END(&vm, &cpu);
}

/* A locked comparison with a device reads it, and writes back what does not match. */
GUEST64(cmpxchg_device,
	"mov $0xd0000000, %edi; mov $0x11111111, %eax; mov $0x22222222, %ebx; lock cmpxchg %ebx, (%rdi); mov %eax, %esi;"
	"mov $0x33333333, %eax; lock cmpxchg %ebx, (%rdi);"
	"xor %edx, %edx; mov %edx, %ecx; lock cmpxchg8b (%rdi);"
	"mov $0x11111111, %eax; lock cmpxchg %ebx, 0xffe(%rdi); hlt");
static void device_access_at(struct t_cpu *cpu, uint64_t gpa, bool write, uint64_t value, uint32_t len)
{
	t_run_to(cpu, KVM_EXIT_MMIO);
	assert_int_equal(cpu->run->mmio.phys_addr, gpa);
	assert_int_equal(cpu->run->mmio.len, len);
	assert_int_equal(cpu->run->mmio.is_write, write);
	if (write)
		assert_memory_equal(cpu->run->mmio.data, &value, len);
	else
		memcpy(cpu->run->mmio.data, &value, len);
}

static void device_access(struct t_cpu *cpu, bool write, uint64_t value, uint32_t len)
{
	device_access_at(cpu, 0xd0000000, write, value, len);
}

static void locked_comparison_with_a_device(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, cmpxchg_device);
	t_cpu_long(&vm, &cpu, T_CODE);
	((uint64_t *)(vm.mem + T_TABLES))[512 + 3] = (T_TABLES + 3 * T_PAGE) | 3;
	((uint64_t *)(vm.mem + T_TABLES))[1536 + 128] = 0xd0000083;
	device_access(&cpu, false, 0x5a5a5a5a, 4);
	device_access(&cpu, true, 0x5a5a5a5a, 4);
	device_access(&cpu, false, 0x33333333, 4);
	device_access(&cpu, true, 0x22222222, 4);
	assert_int_equal(t_regs(&cpu).rsi, 0x5a5a5a5a);
	device_access(&cpu, false, 0x33333333, 8);
	device_access(&cpu, true, 0x22222222, 8);
	/* across two pages: each part is read once as well */
	device_access_at(&cpu, 0xd0000ffe, false, 0x1111, 2);
	device_access_at(&cpu, 0xd0001000, false, 0x1111, 2);
	device_access_at(&cpu, 0xd0000ffe, true, 0x2222, 2);
	device_access_at(&cpu, 0xd0001000, true, 0x2222, 2);
	t_run_to(&cpu, KVM_EXIT_HLT);
	assert_true(t_regs(&cpu).rflags & 0x40);
	T_END(&vm, &cpu);
}

T_MAIN(T_CASE(lapic_round_trip), T_CASE(access_across_the_last_port), T_CASE(clear_dirty_log_looks_at_the_range_first),
       T_CASE(deassign_of_nothing), T_CASE(cr8_that_does_not_exist), T_CASE(privilege_after_virtual_8086),
       T_CASE(cpuid_as_read_after_run), T_CASE(machine_check_banks_at_first), T_CASE(breakpoint_and_overflow_are_not_told),
       T_CASE(locked_comparison_with_a_device))
