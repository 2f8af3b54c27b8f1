/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * flags.c - arithmetic flags as the client sees them when it stops a guest whose next instructions overwrite them: at an
 * MMIO exit, and when a signal ends KVM_RUN. An engine may be tempted to lose flags that nothing of the guest reads.
 */
#include "lib/t_kvm.h"
#include <pthread.h>
#include <signal.h>

#define ARITH	0x8d5u
#define SET	(0x800u | 0x80 | 0x10)		/* 0x7f + 1 as bytes: OF, SF, AF */
#define CLEAR	(0x40u | 4)			/* of zero, with nothing carried: ZF, PF */
#define AF	0x10u				/* XOR leaves it undefined */

/* Two stores with flags of ADD that XOR overwrites; the second of them has no memory. */
GUEST64(mmio, "mov $0x7f, %al; add $1, %al; mov %rcx, (%rbx); mov %rcx, (%rsi); xor %edx, %edx; hlt");
GUEST64(mmio_one, "movb $0x7f, (%rbx); addb $1, (%rbx); mov %rcx, (%rsi); xor %edx, %edx; hlt");
/* The same where the flags come from a register that changes meanwhile, and from memory. */
GUEST64(mmio_changed, "mov $0x7f, %al; add $1, %al; mov $3, %al; mov %rcx, (%rbx); mov %rcx, (%rsi); xor %edx, %edx; hlt");
GUEST64(mmio_memory, "movb $0x7f, (%rbx); addb $1, (%rbx); mov %rcx, (%rbx); mov %rcx, (%rsi); xor %edx, %edx; hlt");
/* INC leaves CF as it was, and is between them. */
GUEST64(mmio_partly, "mov $0xff, %al; add $1, %al; mov %rcx, (%rbx); mov %rcx, 8(%rdi); inc %edx; mov %rcx, (%rbx);"
		     "mov %rcx, (%rsi); xor %edx, %edx; hlt");

static struct t_vm vm;
static struct t_cpu cpu;

static void start(const uint8_t *code, const uint8_t *end)
{
	struct kvm_regs regs;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	memcpy(vm.mem + T_CODE, code, (size_t)(end - code));
	t_cpu_long(&vm, &cpu, T_CODE);
	regs = t_regs(&cpu);
	regs.rbx = 0x5000;
	regs.rdi = 0x6000;
	regs.rsi = 0x6000;
	regs.rcx = 0x80;
	regs.rdx = 0x7fffffff;
	t_set_regs(&cpu, &regs);
}

static void to_mmio(const uint8_t *code, const uint8_t *end, uint32_t want)
{
	struct kvm_regs regs;

	start(code, end);
	/* once through, so that all of it is in memory and known; then with the second store to nowhere */
	for (unsigned int round = 0; round < 3; round++) {
		t_run_to(&cpu, KVM_EXIT_HLT);
		regs = t_regs(&cpu);
		assert_int_equal(regs.rflags & ARITH & ~AF, CLEAR);
		regs.rip = T_CODE;
		regs.rdx = 0x7fffffff;
		if (round == 2)
			regs.rsi = 0x30000000;
		t_set_regs(&cpu, &regs);
	}
	t_run_to(&cpu, KVM_EXIT_MMIO);
	regs = t_regs(&cpu);
	assert_int_equal(regs.rflags & ARITH, want);
	t_run_to(&cpu, KVM_EXIT_HLT);
	assert_int_equal(t_regs(&cpu).rflags & ARITH & ~AF, CLEAR);
	T_END(&vm, &cpu);
}

static void at_mmio(void **state)
{
	(void)state;
	to_mmio(mmio, mmio_end, SET);
	to_mmio(mmio_one, mmio_one_end, SET);
	to_mmio(mmio_changed, mmio_changed_end, SET);
	to_mmio(mmio_memory, mmio_memory_end, SET);
	/* INC of 0x7fffffff: OF, SF, AF, PF; CF from 0xff + 1 */
	to_mmio(mmio_partly, mmio_partly_end, SET | 4 | 1);
}

/* A loop whose flags are overwritten right after its backward jump, which is where an engine in software looks for work. */
GUEST64(loop, "jmp 2f; 1: xor %edx, %edx; mov $2, %ebp; mov %rcx, (%rbx); mov %rcx, (%rdi);"
	      "2: mov $0x7f, %al; add $1, %al; mov $1, %ebp; mov %rcx, 0x400(%rbx); mov %rcx, 0x400(%rdi); jmp 1b");
#define XOR	(T_CODE + 2)			/* where XOR stands, then MOV EBP and two stores */
#define ADD	(XOR + 2 + 5 + 3 + 3 + 2)	/* where ADD stands, after MOV AL */

static bool enough;

static void *kick(void *arg)
{
	pthread_t *runner = arg;

	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		pthread_kill(*runner, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

static void at_kick(void **state)
{
	unsigned int after_add = 0, after_xor = 0;
	pthread_t me = pthread_self(), thread;
	struct kvm_regs regs;

	(void)state;
	start(loop, loop_end);
	regs = t_regs(&cpu);
	regs.rflags |= CLEAR;
	t_set_regs(&cpu, &regs);
	t_catch_usr1();
	t_ok(pthread_create(&thread, NULL, kick, &me));
	for (unsigned int n = 0; n < 500; n++) {
		t_fails(EINTR, t_run(&cpu));
		regs = t_regs(&cpu);
		if (regs.rip == T_CODE || (regs.rip > XOR && regs.rip <= ADD)) {
			assert_int_equal(regs.rflags & ARITH & ~AF, CLEAR);
			after_xor++;
		} else {
			assert_int_equal(regs.rflags & ARITH, SET);
			after_add++;
		}
	}
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	t_ok(pthread_join(thread, NULL));
	print_message("# with the flags of ADD %u times, of XOR %u times\n", after_add, after_xor);
	T_END(&vm, &cpu);
}

T_MAIN(T_CASE(at_mmio), T_CASE(at_kick))
