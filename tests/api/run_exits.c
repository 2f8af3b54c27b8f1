/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * run_exits.c - KVM_RUN: its exits, how half-done ones are completed, immediate_exit, signals, KVM_SET_SIGNAL_MASK,
 * KVM_CAP_SYNC_REGS.
 */
#include "lib/t_kvm.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

static struct t_vm vm;
static struct t_cpu cpu;

#define START(name) T_START(&vm, &cpu, 0, name)

static int end(void **state)
{
	T_END(&vm, &cpu);
	return 0;
}

static void is_io(uint8_t dir, uint16_t port, uint8_t size, uint32_t count)
{
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.direction, dir);
	assert_int_equal(cpu.run->io.port, port);
	assert_int_equal(cpu.run->io.size, size);
	assert_int_equal(cpu.run->io.count, count);
	assert_true(cpu.run->io.data_offset + size * count <= cpu.run_size);
}

static void argument(void **state)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_fails(EINVAL, T(cpu.fd, KVM_RUN, 1));
}

GUEST16(pio, "movl $0x11223344, %eax; outb %al, $0x20; outw %ax, $0x21; outl %eax, $0x22; movw $0x1234, %dx; outb %al, %dx;"
	"inb $0x30, %al; inw $0x31, %ax; inl $0x32, %eax; outl %eax, $0x40; hlt");

static void ports(void **state)
{
	START(pio);
	is_io(KVM_EXIT_IO_OUT, 0x20, 1, 1);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0x44);
	is_io(KVM_EXIT_IO_OUT, 0x21, 2, 1);
	assert_int_equal(*(uint16_t *)t_io_data(cpu.run), 0x3344);
	is_io(KVM_EXIT_IO_OUT, 0x22, 4, 1);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run), 0x11223344);
	is_io(KVM_EXIT_IO_OUT, 0x1234, 1, 1);
	is_io(KVM_EXIT_IO_IN, 0x30, 1, 1);
	*(uint8_t *)t_io_data(cpu.run) = 0xaa;
	is_io(KVM_EXIT_IO_IN, 0x31, 2, 1);
	assert_int_equal(t_regs(&cpu).rax & 0xff, 0xaa);
	*(uint16_t *)t_io_data(cpu.run) = 0xbbbb;
	is_io(KVM_EXIT_IO_IN, 0x32, 4, 1);
	*(uint32_t *)t_io_data(cpu.run) = 0xcccccccc;
	is_io(KVM_EXIT_IO_OUT, 0x40, 4, 1);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run), 0xcccccccc);
	t_run_to(&cpu, KVM_EXIT_HLT);
}

GUEST16(rep, "movw $0x100, %cx; movw $0x3000, %si; movw $0x50, %dx; rep outsb; movw $0x80, %cx; movw $0x4000, %di; rep insw; outb %al, $0x51; hlt");

static void string_ports(void **state)
{
	unsigned int got = 0, given = 0, i;

	START(rep);
	for (i = 0; i < 0x100; i++)
		vm.mem[0x3000 + i] = (uint8_t)i;
	do {
		t_run_to(&cpu, KVM_EXIT_IO);
		assert_int_equal(cpu.run->io.size, 1);
		for (i = 0; i < cpu.run->io.count; i++)
			assert_int_equal(((uint8_t *)t_io_data(cpu.run))[i], got + i);
		got += i;
	} while (got < 0x100);
	do {
		t_run_to(&cpu, KVM_EXIT_IO);
		assert_int_equal(cpu.run->io.direction, KVM_EXIT_IO_IN);
		for (i = 0; i < cpu.run->io.count; i++)
			((uint16_t *)t_io_data(cpu.run))[i] = (uint16_t)(0x8000 + given + i);
		given += i;
	} while (given < 0x80);
	is_io(KVM_EXIT_IO_OUT, 0x51, 1, 1);
	for (i = 0; i < 0x80; i++)
		assert_int_equal(((uint16_t *)(vm.mem + 0x4000))[i], 0x8000 + i);
	assert_int_equal(t_regs(&cpu).rcx & 0xffff, 0);
}

GUEST64(mmio, "mov $0xd0000000, %edi; movb $1, (%rdi); movl $2, 4(%rdi); movq $3, 8(%rdi); mov 16(%rdi), %rax; addl $5, 24(%rdi);"
	"movl $9, 0xfff(%rdi); out %al, $0x10; hlt");

static void mmio_is(uint64_t addr, uint32_t len, bool write, uint64_t data)
{
	uint64_t v = 0;

	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal(cpu.run->mmio.phys_addr, addr);
	assert_int_equal(cpu.run->mmio.len, len);
	assert_int_equal(cpu.run->mmio.is_write, write);
	memcpy(&v, cpu.run->mmio.data, len);
	if (write)
		assert_int_equal(v, data);
	else
		memcpy(cpu.run->mmio.data, &data, len);
}

/* 0xd0000000 has a page of its own in the tables of t_cpu_long(): 1 GiB there */
static void memory_mapped(void **state)
{
	uint64_t *pdpt;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, mmio);
	t_cpu_long(&vm, &cpu, T_CODE);
	pdpt = (uint64_t *)(vm.mem + T_TABLES + T_PAGE);
	pdpt[3] = (T_TABLES + 3 * T_PAGE) | 3;
	((uint64_t *)(vm.mem + T_TABLES + 3 * T_PAGE))[128] = 0xd0000083;
	mmio_is(0xd0000000, 1, true, 1);
	mmio_is(0xd0000004, 4, true, 2);
	mmio_is(0xd0000008, 8, true, 3);
	mmio_is(0xd0000010, 8, false, 0x1122334455667788);
	mmio_is(0xd0000018, 4, false, 37);	/* read-modify-write: two exits */
	mmio_is(0xd0000018, 4, true, 42);
	mmio_is(0xd0000fff, 1, true, 9);	/* and one per page */
	mmio_is(0xd0001000, 3, true, 0);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(t_regs(&cpu).rax, 0x1122334455667788);
}

GUEST16(hlt, "1: hlt; incb 0x600; jmp 1b");

static void halt(void **state)
{
	START(hlt);
	t_run_to(&cpu, KVM_EXIT_HLT);
	t_run_to(&cpu, KVM_EXIT_HLT);
	assert_int_equal(vm.mem[0x600], 1);
}

GUEST16(triple, "lidt 0x600; ud2");

static void triple_fault(void **state)
{
	START(triple);
	t_run_to(&cpu, KVM_EXIT_SHUTDOWN);
}

/* Nothing there to execute: no way to go on, and no hang. */
static void garbage(void **state)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_cpu_long(&vm, &cpu, 0x800000);	/* mapped by the tables, beyond memory */
	t_ok(t_run(&cpu));
	assert_int_equal(cpu.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_true(cpu.run->internal.suberror >= KVM_INTERNAL_ERROR_EMULATION);
	assert_true(cpu.run->internal.ndata <= 16);		/* KVM_CAP_INTERNAL_ERROR_DATA */
}

/* With the capability that is all: no #UD waits for the guest. */
static void garbage_and_nothing_else(void **state)
{
	struct kvm_vcpu_events ev;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	if (!t_cap(&vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE)) {
		printf("no KVM_CAP_EXIT_ON_EMULATION_FAILURE here\n");
		skip();
	}
	t_ok(t_enable(vm.fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1));
	t_cpu_long(&vm, &cpu, 0x800000);
	t_ok(t_run(&cpu));
	assert_int_equal(cpu.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(cpu.run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	t_ok(T(cpu.fd, KVM_GET_VCPU_EVENTS, &ev));
	assert_int_equal(ev.exception.injected | ev.exception.pending, 0);
	assert_int_equal(t_regs(&cpu).rip, 0x800000);
}

/* ---- completion ---- */

GUEST16(in_twice, "inb $0x30, %al; inb $0x31, %al; hlt");

/* Set the flag, run, expect -EINTR: the half-done instruction is then whole, and no other has run. */
static void immediate_exit_completes_input(void **state)
{
	START(in_twice);
	is_io(KVM_EXIT_IO_IN, 0x30, 1, 1);
	*(uint8_t *)t_io_data(cpu.run) = 0x5a;
	cpu.run->immediate_exit = 1;
	t_fails(EINTR, t_run(&cpu));
	assert_int_equal(t_regs(&cpu).rax & 0xff, 0x5a);
	assert_int_equal(t_regs(&cpu).rip, T_CODE + 2);
	t_fails(EINTR, t_run(&cpu));
	assert_int_equal(t_regs(&cpu).rip, T_CODE + 2);
	assert_int_equal(cpu.run->immediate_exit, 1);
	cpu.run->immediate_exit = 0;
	is_io(KVM_EXIT_IO_IN, 0x31, 1, 1);
}

GUEST16(mm_read, "movw $0xffff, %ax; movw %ax, %ds; movb 0x10, %al; movb %al, %ss:0x600; hlt");

static void immediate_exit_completes_mmio(void **state)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(t_slot(&vm, 0, 0, 0, 0, NULL));
	t_ok(t_slot(&vm, 0, 0, 0, 0x100000, vm.mem));	/* 0xffff:0x10 is just behind */
	T_LOAD(&vm, T_CODE, mm_read);
	t_cpu_real(&cpu, T_CODE);
	mmio_is(0x100000, 1, false, 0x77);
	cpu.run->immediate_exit = 1;
	t_fails(EINTR, t_run(&cpu));
	assert_int_equal(t_regs(&cpu).rax & 0xff, 0x77);
	cpu.run->immediate_exit = 0;
	t_run_to(&cpu, KVM_EXIT_HLT);
	assert_int_equal(vm.mem[0x600], 0x77);
}

GUEST16(loop, "1: incl 0x600; jmp 1b");

static void immediate_exit_enters_nothing(void **state)
{
	START(loop);
	cpu.run->immediate_exit = 1;
	cpu.run->exit_reason = 99;
	t_fails(EINTR, t_run(&cpu));
	/* no exit: Linux 6.1 leaves what stood there, later ones say UNKNOWN */
	assert_true(cpu.run->exit_reason == 99 || cpu.run->exit_reason == KVM_EXIT_UNKNOWN);
	assert_int_equal(*(uint32_t *)(vm.mem + 0x600), 0);
	assert_int_equal(t_regs(&cpu).rip, T_CODE);
}

/* ---- signals ---- */

static bool kicked;

/* Again and again, as on a busy machine the first signal may come before KVM_RUN has begun. */
static void *kicker(void *arg)
{
	pthread_t to = *(pthread_t *)arg;

	while (!__atomic_load_n(&kicked, __ATOMIC_ACQUIRE)) {
		usleep(20000);
		pthread_kill(to, SIGUSR1);
	}
	return NULL;
}

static void run_until_kicked(void)
{
	pthread_t t, self = pthread_self();

	__atomic_store_n(&kicked, false, __ATOMIC_RELEASE);
	t_ok(pthread_create(&t, NULL, kicker, &self));
	t_fails(EINTR, t_run(&cpu));
	__atomic_store_n(&kicked, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	assert_int_equal(cpu.run->exit_reason, KVM_EXIT_INTR);
}

static void signal_ends_run(void **state)
{
	START(loop);
	do {		/* until the guest has come to run in between */
		cpu.run->exit_reason = 99;
		run_until_kicked();
	} while (!*(volatile uint32_t *)(vm.mem + 0x600));
}

/* Halted with interrupts off and nothing that could wake it but a signal. */
static void signal_wakes_a_halted_vcpu(void **state)
{
	T_START(&vm, &cpu, T_IRQCHIP, hlt);
	run_until_kicked();
}

static void signal_mask(void **state)
{
	struct { uint32_t len; uint8_t set[8]; } __attribute__((packed)) mask = { .len = 8 };
	struct timespec zero = { 0 };
	sigset_t usr1;

	START(loop);
	mask.len = 128;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	mask.len = 4;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_SIGNAL_MASK, T_BAD_PTR));
	mask.len = 8;
	t_ok(T(cpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	raise(SIGUSR1);
	t_fails(EINTR, t_run(&cpu));				/* open in there */
	assert_int_equal(sigtimedwait(&usr1, NULL, &zero), SIGUSR1);	/* and still pending */
	/* without a mask the blocked signal does not end it, immediate_exit does */
	t_ok(T(cpu.fd, KVM_SET_SIGNAL_MASK, 0));
	raise(SIGUSR1);
	cpu.run->immediate_exit = 1;
	t_fails(EINTR, t_run(&cpu));
	assert_int_equal(sigtimedwait(&usr1, NULL, &zero), SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
}

/* pthread_cancel() of a thread in KVM_RUN: that ends first, so the vCPU is not left locked. */
static void *cancelled_thread(void *arg)
{
	int old;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	for (;;)
		t_run(&cpu);
	return arg;
}

static void cancelled(void **state)
{
	unsigned int i;

	START(loop);
	for (i = 0; i < 3; i++) {
		volatile uint32_t *count = (uint32_t *)(vm.mem + 0x600);
		uint32_t before = *count;
		pthread_t t;
		void *res;

		assert_int_equal(pthread_create(&t, NULL, cancelled_thread, NULL), 0);
		while (*count == before)
			sched_yield();
		assert_int_equal(pthread_cancel(t), 0);
		assert_int_equal(pthread_join(t, &res), 0);
		assert_ptr_equal(res, PTHREAD_CANCELED);
	}
	cpu.run->immediate_exit = 1;
	t_fails(EINTR, t_run(&cpu));
	assert_int_equal(t_regs(&cpu).rip & ~0xfULL, T_CODE);
}

/* ---- KVM_CAP_SYNC_REGS ---- */

GUEST16(sync_code, "incw %bx; outb %al, $0x10; jmp sync_code");

static void sync_regs(void **state)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	long cap;

	START(sync_code);
	cap = t_cap(&vm, KVM_CAP_SYNC_REGS);
	if (!cap)
		skip();
	cpu.run->kvm_valid_regs = 1ULL << 40;
	t_fails(EINVAL, t_run(&cpu));
	cpu.run->kvm_valid_regs = 0;
	cpu.run->kvm_dirty_regs = 1ULL << 40;
	t_fails(EINVAL, t_run(&cpu));
	cpu.run->kvm_dirty_regs = 0;
	memset(&cpu.run->s, 0xee, 64);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->s.regs.regs.rax, 0xeeeeeeeeeeeeeeee);	/* not asked for */
	cpu.run->kvm_valid_regs = KVM_SYNC_X86_VALID_FIELDS;
	t_run_to(&cpu, KVM_EXIT_IO);
	r = t_regs(&cpu);
	assert_int_equal(r.rbx, 2);
	assert_memory_equal(&r, &cpu.run->s.regs.regs, sizeof(r));
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	assert_memory_equal(&s, &cpu.run->s.regs.sregs, sizeof(s));
	cpu.run->s.regs.regs.rbx = 100;
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->s.regs.regs.rbx, 3);			/* not said to be dirty */
	cpu.run->s.regs.regs.rbx = 100;
	cpu.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->s.regs.regs.rbx, 101);
	assert_int_equal(cpu.run->kvm_dirty_regs, 0);			/* taken once */
	cpu.run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	cpu.run->s.regs.sregs.ds.base = 0x12340;
	t_run_to(&cpu, KVM_EXIT_IO);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	assert_int_equal(s.ds.base, 0x12340);
	cpu.run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	cpu.run->s.regs.sregs.cr4 = 1ULL << 40;
	t_fails(EINVAL, t_run(&cpu));
}

#define CASE(f) cmocka_unit_test_teardown(f, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(argument), CASE(ports), CASE(string_ports), CASE(memory_mapped), CASE(halt), CASE(triple_fault),
		CASE(garbage), CASE(garbage_and_nothing_else), CASE(immediate_exit_completes_input),
		CASE(immediate_exit_completes_mmio), CASE(immediate_exit_enters_nothing), CASE(signal_ends_run), CASE(signal_wakes_a_halted_vcpu),
		CASE(signal_mask), CASE(cancelled), CASE(sync_regs),
	};

	if (!t_have_kvm())
		return 77;
	t_catch_usr1();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
