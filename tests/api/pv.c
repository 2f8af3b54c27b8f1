/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * pv.c - paravirtual end of interrupt (MSR 0x4b564d04) and flushes of translations by a note in the steal time record
 * (KVM_FEATURE_PV_TLB_FLUSH). Formats: Documentation/virt/kvm/x86/msr.rst.
 */
#include <pthread.h>
#include "lib/t_kvm.h"

#define MSR_STEAL	0x4b564d03
#define MSR_PV_EOI	0x4b564d04
#define FLAG		0xc000		/* the guest's EOI flag */
#define RECORD		0xd000		/* its steal time */
#define GDT		0xa000
#define IDT		0xb000
#define VECTOR		0x45
#define LOWER		0x35		/* another priority class */

static struct t_vm vm;
static struct t_cpu cpu;

static void gate(unsigned int vector, uint64_t handler)
{
	*(uint64_t *)(vm.mem + IDT + vector * 16) = handler | 8ul << 16 | 0x8e0000000000;
	*(uint64_t *)(vm.mem + IDT + vector * 16 + 8) = 0;
}

/* 64-bit mode with descriptor tables and the local APIC switched on. */
static void begin(void)
{
	static struct kvm_lapic_state lapic;
	uint32_t svr = 0x1ff;
	struct kvm_sregs s;

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	t_cpu_long(&vm, &cpu, T_CODE);
	((uint64_t *)(vm.mem + GDT))[1] = 0x00af9b000000ffff;
	((uint64_t *)(vm.mem + GDT))[2] = 0x00cf93000000ffff;
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.gdt.base = GDT;
	s.gdt.limit = 0x17;
	s.idt.base = IDT;
	s.idt.limit = 0xfff;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &lapic));
	memcpy(lapic.regs + 0xf0, &svr, sizeof(svr));
	t_ok(T(cpu.fd, KVM_SET_LAPIC, &lapic));
}

static void send(uint32_t vector)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = vector };

	assert_int_equal(T(vm.fd, KVM_SIGNAL_MSI, &msi), 1);
}

static void out_at(uint16_t port)
{
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, port);
}

/* Is the vector in service? */
static bool in_service(unsigned int vector)
{
	static struct kvm_lapic_state s;
	uint32_t w;

	t_ok(T(cpu.fd, KVM_GET_LAPIC, &s));
	memcpy(&w, s.regs + 0x100 + vector / 32 * 16, sizeof(w));
	return w >> (vector % 32) & 1;
}

static bool announced(unsigned int bit)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	bool found = false;

	for (unsigned int i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x40000001)
			found = c->entries[i].eax >> bit & 1;
	free(c);
	return found;
}

/* ---- end of interrupt ---- */

static void eoi_msr(void **state)
{
	begin();
	assert_true(announced(6));
	assert_int_equal(t_msr(&cpu, MSR_PV_EOI), 0);
	assert_int_equal(t_set_msr(&cpu, MSR_PV_EOI, FLAG | 1), 1);
	assert_int_equal(t_msr(&cpu, MSR_PV_EOI), FLAG | 1);
	assert_int_equal(t_set_msr(&cpu, MSR_PV_EOI, FLAG | 3), 0);
	assert_int_equal(t_set_msr(&cpu, MSR_PV_EOI, T_NOWHERE | 1), 0);
	assert_int_equal(t_msr(&cpu, MSR_PV_EOI), FLAG | 1);
	assert_int_equal(t_set_msr(&cpu, MSR_PV_EOI, 0), 1);
	T_END(&vm, &cpu);
}

/* The handler clears the flag, if it was set, in place of an EOI, and says in CL whether it was. */
GUEST64(eoi_code, "sti; 1: out %al, $0x10; nop; jmp 1b");
GUEST64(eoi_isr, "lock btrl $0, 0xc000; setc %cl; mov %cl, %al; out %al, $0x11; iretq");

static void eoi_by_flag(void **state)
{
	begin();
	T_LOAD(&vm, T_CODE, eoi_code);
	T_LOAD(&vm, 0x9000, eoi_isr);
	gate(VECTOR, 0x9000);
	assert_int_equal(t_set_msr(&cpu, MSR_PV_EOI, FLAG | 1), 1);
	out_at(0x10);
	for (int i = 0; i < 3; i++) {
		send(VECTOR);
		do
			t_run_to(&cpu, KVM_EXIT_IO);
		while (cpu.run->io.port == 0x10);
		assert_int_equal(cpu.run->io.port, 0x11);
		assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 1);
		/* the exit has taken notice: nothing is in service, and the flag says nothing */
		assert_false(in_service(VECTOR));
		assert_int_equal(vm.mem[FLAG], 0);
	}
	T_END(&vm, &cpu);
}

/* An exit before the guest has ended it: the flag is taken back, the usual way has to be gone. */
GUEST64(late_isr, "out %al, $0x12; lock btrl $0, 0xc000; setc %al; out %al, $0x11; mov $0xfee000b0, %edi; movl $0, (%rdi);"
	"out %al, $0x13; iretq");

static void eoi_after_an_exit(void **state)
{
	uint64_t *pd;

	begin();
	pd = (uint64_t *)(vm.mem + T_TABLES + 3 * T_PAGE);
	pd[0x1f7] = 0xfee00000 | 0x83;
	((uint64_t *)(vm.mem + T_TABLES + T_PAGE))[3] = (T_TABLES + 3 * T_PAGE) | 3;
	T_LOAD(&vm, T_CODE, eoi_code);
	T_LOAD(&vm, 0x9000, late_isr);
	gate(VECTOR, 0x9000);
	gate(LOWER, 0x9000);
	assert_int_equal(t_set_msr(&cpu, MSR_PV_EOI, FLAG | 1), 1);
	out_at(0x10);
	send(VECTOR);
	do
		t_run_to(&cpu, KVM_EXIT_IO);
	while (cpu.run->io.port == 0x10);
	assert_int_equal(cpu.run->io.port, 0x12);
	assert_true(in_service(VECTOR));
	assert_int_equal(vm.mem[FLAG], 0);
	/* one that waits has to come after the EOI, so the next one cannot be ended by the flag either */
	send(LOWER);
	out_at(0x11);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0);
	assert_true(in_service(VECTOR));
	out_at(0x13);
	assert_false(in_service(VECTOR));
	out_at(0x12);
	assert_true(in_service(LOWER));
	T_END(&vm, &cpu);
}

/* ---- flushes ---- */

/* Reads the page at 2 MiB, sleeps, and reads it again: the note makes it see the other page. */
GUEST64(flush_code, "mov 0x200000, %eax; out %eax, $0x10; sti; hlt; mov 0x200000, %eax; out %eax, $0x12; hlt");
GUEST64(flush_isr, "mov $0xfee000b0, %edi; movl $0, (%rdi); iretq");

static void *run_thread(void *arg)
{
	return (void *)t_run(&cpu);
}

static volatile uint8_t *preempted(void)
{
	return vm.mem + RECORD + 16;
}

static void flush_by_note(void **state)
{
	uint64_t *pd = (uint64_t *)(T_TABLES + 2 * T_PAGE);
	pthread_t t;
	void *ret;

	begin();
	assert_true(announced(9));
	pd = (uint64_t *)(vm.mem + (uintptr_t)pd);
	((uint64_t *)(vm.mem + T_TABLES + 3 * T_PAGE))[0x1f7] = 0xfee00000 | 0x83;
	((uint64_t *)(vm.mem + T_TABLES + T_PAGE))[3] = (T_TABLES + 3 * T_PAGE) | 3;
	*(uint32_t *)(vm.mem + 0x200000) = 0x1111;
	T_LOAD(&vm, T_CODE, flush_code);
	T_LOAD(&vm, 0x9000, flush_isr);
	gate(VECTOR, 0x9000);
	assert_int_equal(t_set_msr(&cpu, MSR_STEAL, RECORD | 1), 1);
	out_at(0x10);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run), 0x1111);
	assert_int_equal(*preempted(), 0);
	assert_int_equal(pthread_create(&t, NULL, run_thread, NULL), 0);
	while (*preempted() != 1)		/* it sleeps */
		usleep(100);
	/* another CPU of the guest would do this: unmap, and leave a note in place of an IPI */
	pd[1] = 0 << 21 | 0x83;
	*(uint32_t *)vm.mem = 0x2222;
	assert_true(__sync_bool_compare_and_swap(preempted(), 1, 3));
	send(VECTOR);
	pthread_join(t, &ret);
	assert_int_equal((long)ret, 0);
	assert_int_equal(cpu.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x12);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run), 0x2222);
	assert_int_equal(*preempted(), 0);
	T_END(&vm, &cpu);
}

T_MAIN(T_CASE(eoi_msr), T_CASE(eoi_by_flag), T_CASE(eoi_after_an_exit), T_CASE(flush_by_note))
