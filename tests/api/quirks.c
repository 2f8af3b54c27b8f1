/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * quirks.c - KVM_CAP_DISABLE_QUIRKS and KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_HALT_POLL,
 * KVM_CAP_EXIT_HYPERCALL; and small ioctls about CPUID and XCR0.
 */
#include <pthread.h>
#include <signal.h>
#include <cpuid.h>
#include "lib/t_kvm.h"

static struct t_vm vm;
static struct t_cpu cpu;

static bool host_is_amd(void)
{
	unsigned int a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == 0x68747541;
}

static void out_at(uint16_t port)
{
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, port);
}

static void refusals(void **state)
{
	long mask;

	t_vm_create(&vm, 0);
	assert_int_equal(t_cap(&vm, KVM_CAP_DISABLE_QUIRKS), 1);
	mask = t_cap(&vm, KVM_CAP_DISABLE_QUIRKS2);
	assert_true(mask > 0);
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, mask | 1ul << 40));
	t_ok(t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, mask));
	t_ok(t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS, ~0ul));	/* the old form takes anything */
	t_ok(t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, 0));
	mask = t_cap(&vm, KVM_CAP_X86_DISABLE_EXITS);
	assert_true(mask & KVM_X86_DISABLE_EXITS_HLT);
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_X86_DISABLE_EXITS, 1ul << 20));
	t_ok(t_enable(vm.fd, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_PAUSE));
	t_cpu_create(&vm, &cpu, 0);
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT));
	assert_int_equal(t_cap(&vm, KVM_CAP_EXIT_HYPERCALL), 1 << 12);
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_EXIT_HYPERCALL, 1 << 11));
	T_END(&vm, &cpu);
}

/* LINT0 of the boot CPU after reset: for the 8259s, or masked. */
static void lint0(void **state)
{
	static struct kvm_lapic_state s;
	uint32_t lvt;

	for (int off = 0; off < 2; off++) {
		t_vm_create(&vm, 0);
		if (off)
			t_ok(t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED));
		t_ok(T(vm.fd, KVM_CREATE_IRQCHIP, 0));
		t_cpu_create(&vm, &cpu, 0);
		t_ok(T(cpu.fd, KVM_GET_LAPIC, &s));
		memcpy(&lvt, s.regs + 0x350, sizeof(lvt));
		assert_int_equal(lvt, off ? 0x10000 : 0x700);
		T_END(&vm, &cpu);
	}
}

/* The APIC's page with the APIC switched off: ones, or the client's. */
GUEST16(hole_code, "movl $0xfee00000, %ebx; movl %fs:0x20(%ebx), %eax; outl %eax, $0x10; hlt");

static void lapic_hole(void **state)
{
	struct kvm_sregs s;

	for (int off = 0; off < 2; off++) {
		T_START(&vm, &cpu, T_IRQCHIP, hole_code);
		if (off)
			t_ok(t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LAPIC_MMIO_HOLE));
		t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
		s.fs.limit = 0xffffffff;
		s.fs.g = 1;
		s.apic_base &= ~0x800ul;
		t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
		if (off) {
			t_run_to(&cpu, KVM_EXIT_MMIO);
			assert_int_equal(cpu.run->mmio.phys_addr, 0xfee00020);
			memcpy(cpu.run->mmio.data, &(uint32_t){ 0x1234 }, 4);
		}
		out_at(0x10);
		assert_int_equal(*(uint32_t *)t_io_data(cpu.run), off ? 0x1234 : 0xffffffff);
		T_END(&vm, &cpu);
	}
}

/* MONITOR and MWAIT where CPUID does not have them: nothing, or #UD. */
GUEST16(mwait_code, "xorl %eax, %eax; xorl %ecx, %ecx; xorl %edx, %edx; monitor; mwait; outb %al, $0x10; hlt");
GUEST16(ud, "outb %al, $0x14; hlt");

static void mwait(void **state)
{
	for (int off = 0; off < 2; off++) {
		T_START(&vm, &cpu, 0, mwait_code);
		T_LOAD(&vm, 0x9000, ud);
		*(uint32_t *)(vm.mem + 6 * 4) = 0x9000;
		t_cpu_cpuid(&vm, &cpu);
		if (off)
			t_ok(t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS));
		out_at(off ? 0x14 : 0x10);
		T_END(&vm, &cpu);
	}
}

/* CPUID's MONITOR bit follows IA32_MISC_ENABLE only without the quirk. */
GUEST16(cpuid_code, "1: movl $1, %eax; cpuid; movl %ecx, %eax; outl %eax, $0x10; jmp 1b");

static void misc_enable(void **state)
{
	T_START(&vm, &cpu, 0, cpuid_code);
	t_cpu_cpuid(&vm, &cpu);
	assert_int_equal(t_set_msr(&cpu, 0x1a0, 1 | 1 << 18), 1);
	out_at(0x10);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run) & 8, 0);
	t_ok(t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT));
	out_at(0x10);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run) & 8, 8);
	assert_int_equal(t_set_msr(&cpu, 0x1a0, 1), 1);
	out_at(0x10);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run) & 8, 0);
	T_END(&vm, &cpu);
}

/* The other vendor's hypercall: served, and replaced in memory; or #UD. */
GUEST16(vmcall16, "movl $1, %eax; vmcall; outl %eax, $0x10; hlt");
GUEST16(vmmcall16, "movl $1, %eax; vmmcall; outl %eax, $0x10; hlt");

static void foreign_hypercall(void **state)
{
	const bool amd = host_is_amd();

	for (int off = 0; off < 2; off++) {
		t_vm_create(&vm, 0);
		t_cpu_create(&vm, &cpu, 0);
		if (amd)
			T_LOAD(&vm, T_CODE, vmcall16);
		else
			T_LOAD(&vm, T_CODE, vmmcall16);
		T_LOAD(&vm, 0x9000, ud);
		*(uint32_t *)(vm.mem + 6 * 4) = 0x9000;
		t_cpu_real(&cpu, T_CODE);
		if (off)
			t_ok(t_enable(vm.fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_FIX_HYPERCALL_INSN));
		out_at(off ? 0x14 : 0x10);
		if (!off)
			assert_int_equal(*(uint32_t *)t_io_data(cpu.run), 0);
		assert_memory_equal(vm.mem + T_CODE + 6, amd == !off ? "\x0f\x01\xd9" : "\x0f\x01\xc1", 3);
		T_END(&vm, &cpu);
	}
}

/* ---- HLT ---- */

static void *kick_when_told(void *arg)
{
	pthread_t *t = arg;

	while (!__atomic_load_n(&cpu.run->mmio.len, __ATOMIC_ACQUIRE))	/* unused by this exit: our mailbox */
		usleep(1000);
	usleep(20000);
	pthread_kill(*t, SIGUSR1);
	return NULL;
}

GUEST16(halt_code, "sti; outb %al, $0x11; hlt; outb %al, $0x12; hlt");
GUEST16(halt_isr, "outb %al, $0x13; iretw");

/* Without an APIC in there: HLT is no exit any more; the client's interrupt goes on with the guest. */
static void halt_without_exit(void **state)
{
	struct kvm_interrupt irq = { .irq = 0x40 };
	pthread_t self = pthread_self(), other;
	struct kvm_cpuid2 *c;

	t_catch_usr1();
	t_vm_create(&vm, 0);
	t_ok(t_enable(vm.fd, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT));
	t_cpu_create(&vm, &cpu, 0);
	t_cpu_cpuid(&vm, &cpu);
	T_LOAD(&vm, T_CODE, halt_code);
	T_LOAD(&vm, 0x9000, halt_isr);
	*(uint32_t *)(vm.mem + 0x40 * 4) = 0x9000;
	t_cpu_real(&cpu, T_CODE);
	out_at(0x11);
	cpu.run->mmio.len = 1;
	assert_int_equal(pthread_create(&other, NULL, kick_when_told, &self), 0);
	t_fails(EINTR, t_run(&cpu));
	pthread_join(other, NULL);
	assert_int_equal(cpu.run->exit_reason, KVM_EXIT_INTR);
	t_ok(T(cpu.fd, KVM_INTERRUPT, &irq));
	out_at(0x13);
	out_at(0x12);
	/* a vCPU that halts by itself needs no kick: the feature is gone from its CPUID */
	c = calloc(1, sizeof(*c) + 100 * sizeof(c->entries[0]));
	c->nent = 100;
	t_ok(T(cpu.fd, KVM_GET_CPUID2, c));
	for (unsigned int i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x40000001)
			assert_int_equal(c->entries[i].eax & 1 << 7, 0);
	free(c);
	T_END(&vm, &cpu);
}

/* With polling allowed the guest's timer still wakes it, again and again. */
GUEST16(poll_code, "movl $0xfee00000, %ebx; movl $0x1ff, %fs:0xf0(%ebx); movl $0xb, %fs:0x3e0(%ebx); movl $0x40, %fs:0x320(%ebx);"
	"movl $20, %ecx; 1: movl $200000, %fs:0x380(%ebx); sti; hlt; cli; loopl 1b; outb %al, $0x12; hlt");
GUEST16(poll_isr, "incw 0x600; movl $0, %fs:0xb0(%ebx); iretw");

static void halt_poll(void **state)
{
	struct kvm_sregs s;

	T_START(&vm, &cpu, T_IRQCHIP, poll_code);
	assert_int_equal(t_cap(&vm, KVM_CAP_HALT_POLL), 1);
	t_ok(t_enable(vm.fd, KVM_CAP_HALT_POLL, 1000000));
	T_LOAD(&vm, 0x9000, poll_isr);
	*(uint32_t *)(vm.mem + 0x40 * 4) = 0x9000;
	*(uint16_t *)(vm.mem + 0x600) = 0;
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.fs.limit = 0xffffffff;
	s.fs.g = 1;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	out_at(0x12);
	assert_int_equal(*(uint16_t *)(vm.mem + 0x600), 20);
	T_END(&vm, &cpu);
}

/* ---- KVM_EXIT_HYPERCALL ---- */

GUEST64(map_code, "mov $12, %eax; mov $0x5000, %ebx; mov $3, %ecx; mov $0x10, %edx; vmcall; out %eax, $0x10;"
	"mov $12, %eax; mov $0x5001, %ebx; vmcall; out %eax, $0x11; mov $12, %eax; mov $0x5000, %ebx; vmcall; out %eax, $0x12; hlt");

static void map_gpa_range(void **state)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, map_code);
	t_cpu_long(&vm, &cpu, T_CODE);
	t_ok(t_enable(vm.fd, KVM_CAP_EXIT_HYPERCALL, 1 << 12));
	t_run_to(&cpu, KVM_EXIT_HYPERCALL);
	assert_int_equal(cpu.run->hypercall.nr, 12);
	assert_int_equal(cpu.run->hypercall.args[0], 0x5000);
	assert_int_equal(cpu.run->hypercall.args[1], 3);
	assert_int_equal(cpu.run->hypercall.args[2], 0x10);
	cpu.run->hypercall.ret = 77;
	out_at(0x10);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run), 77);
	out_at(0x11);			/* not a page */
	assert_int_equal(*(int32_t *)t_io_data(cpu.run), -22);
	t_ok(t_enable(vm.fd, KVM_CAP_EXIT_HYPERCALL, 0));
	out_at(0x12);
	assert_int_equal(*(int32_t *)t_io_data(cpu.run), -1000);
	T_END(&vm, &cpu);
}

/* ---- CPUID and XCR0 ---- */

static void emulated_cpuid(void **state)
{
	struct { struct kvm_cpuid2 c; struct kvm_cpuid_entry2 e[8]; } x = { .c.nent = 1 };
	int kvm = t_open();

	t_fails(E2BIG, T(kvm, KVM_GET_EMULATED_CPUID, &x));
	x.c.nent = 8;
	t_ok(T(kvm, KVM_GET_EMULATED_CPUID, &x));
	assert_int_equal(x.c.nent, 3);
	assert_int_equal(x.e[1].function, 1);
	assert_int_equal(x.e[1].ecx, 1 << 22);		/* MOVBE */
	assert_int_equal(x.e[2].function, 7);
	assert_int_equal(x.e[2].ecx, 1 << 22);		/* RDPID */
	t_fails(EFAULT, T(kvm, KVM_GET_EMULATED_CPUID, T_BAD_PTR));
	close(kvm);
}

static void old_set_cpuid(void **state)
{
	struct { struct kvm_cpuid c; struct kvm_cpuid_entry e[2]; } x = { .c.nent = 2 };
	struct { struct kvm_cpuid2 c; struct kvm_cpuid_entry2 e[4]; } y = { .c.nent = 4 };

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	x.e[0] = (struct kvm_cpuid_entry){ .function = 0, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4 };
	x.e[1] = (struct kvm_cpuid_entry){ .function = 1, .eax = 0x623, .edx = 0x11 };
	t_ok(T(cpu.fd, KVM_SET_CPUID, &x));
	t_ok(T(cpu.fd, KVM_GET_CPUID2, &y));
	assert_int_equal(y.c.nent, 2);
	assert_int_equal(y.e[0].edx, 4);
	assert_int_equal(y.e[1].eax, 0x623);
	assert_int_equal(y.e[1].flags | y.e[1].index, 0);
	x.c.nent = 1000;
	t_fails(E2BIG, T(cpu.fd, KVM_SET_CPUID, &x));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_CPUID, T_BAD_PTR));
	T_END(&vm, &cpu);
}

static void system_attributes(void **state)
{
	uint64_t xcr0 = 0;
	struct kvm_device_attr a = { .attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uintptr_t)&xcr0 };
	int kvm = t_open();
	struct kvm_cpuid2 *c = t_supported_cpuid(kvm);

	assert_int_equal(T(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYS_ATTRIBUTES), 1);
	t_ok(T(kvm, KVM_HAS_DEVICE_ATTR, &a));
	t_ok(T(kvm, KVM_GET_DEVICE_ATTR, &a));
	for (unsigned int i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0xd && c->entries[i].index == 0)
			assert_int_equal(xcr0, c->entries[i].eax | (uint64_t)c->entries[i].edx << 32);
	assert_int_equal(xcr0 & 3, 3);
	a.addr = T_BAD_PTR;
	t_fails(EFAULT, T(kvm, KVM_GET_DEVICE_ATTR, &a));
	a.attr = 1;
	t_fails(ENXIO, T(kvm, KVM_HAS_DEVICE_ATTR, &a));
	t_fails(ENXIO, T(kvm, KVM_GET_DEVICE_ATTR, &a));
	a.attr = 0;
	a.group = 1;
	t_fails(ENXIO, T(kvm, KVM_HAS_DEVICE_ATTR, &a));
	free(c);
	close(kvm);
}

T_MAIN(T_CASE(refusals), T_CASE(lint0), T_CASE(lapic_hole), T_CASE(mwait), T_CASE(misc_enable), T_CASE(foreign_hypercall),
       T_CASE(halt_without_exit), T_CASE(halt_poll), T_CASE(map_gpa_range), T_CASE(emulated_cpuid), T_CASE(old_set_cpuid),
       T_CASE(system_attributes))
