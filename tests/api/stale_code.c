/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * stale_code.c - KVM_CAP_SYNC_MMU for code: the client changes the memory behind a slot while the guest runs from it.
 * A kernel's KVM stops running the old code before the client's system call returns; one in user space is not told, and
 * says how long it may take (docs/soft-cpu.md).
 *
 * time limit: 120 s
 */
#include "lib/t_kvm.h"
#include <pthread.h>
#include <signal.h>

#define PAGE	0x300000UL	/* what changes, in a large page of its own tables */
#define COUNT	0x5000UL	/* a counter that the guest raises as long as it is in the old code */

/* All without an exit. Three ways round: by a jump in the page, by calls into the page, by calls out of it. */
GUEST64(in_page, "mov $0x5000, %edi; 1: incq (%rdi); jmp 1b");
GUEST64(caller, "mov $0x5000, %edi; mov $0x300000, %eax; 1: call *%rax; jmp 1b");
GUEST64(callee, "incq (%rdi); ret");
GUEST64(calls_out, "mov $0x5000, %edi; mov $0x9000, %eax; 1: call *%rax; incq (%rdi); jmp 1b");
GUEST64(ret, "ret");
GUEST64(leave, "1: out %al, $0x10; jmp 1b");

static const struct {
	const char *name;
	uint64_t start;
} ways[] = { { "in_page", PAGE }, { "called", T_CODE }, { "calls_out", PAGE } };
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static struct t_vm vm;
static struct t_cpu cpu;
static long result;

static void *run(void *arg)
{
	result = t_run(&cpu);
	return NULL;
}

static uint64_t count(void)
{
	return __atomic_load_n((uint64_t *)(vm.mem + COUNT), __ATOMIC_RELAXED);
}

/* Let it run until the code is surely translated and linked. */
static pthread_t begin(unsigned int way)
{
	pthread_t thread;
	uint64_t i;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	assert_ptr_equal(mmap(vm.mem + PAGE, T_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 vm.mem + PAGE);
	T_LOAD(&vm, T_CODE, caller);
	T_LOAD(&vm, 0x9000, ret);
	if (way == 0)
		T_LOAD(&vm, PAGE, in_page);
	else if (way == 1)
		T_LOAD(&vm, PAGE, callee);
	else
		T_LOAD(&vm, PAGE, calls_out);
	t_cpu_long(&vm, &cpu, ways[way].start);
	print_message("# %s\n", ways[way].name);
	t_ok(pthread_create(&thread, NULL, run, NULL));
	while (count() < 100000)
		sched_yield();
	/* it has seen the change of nothing, however long it runs */
	for (i = count() + 1000000; count() < i;)
		sched_yield();
	return thread;
}

/* Whatever address of the old code the guest is at, the new code there leads to the port. */
static void new_code(uint8_t *page)
{
	memset(page, 0x90, 96);
	memcpy(page + 96, leave, (size_t)(leave_end - leave));
}

/* The guest leaves the old code in a few seconds at most, and says how. */
static void end(pthread_t thread)
{
	struct timespec until;
	int timeout;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	timeout = pthread_timedjoin_np(thread, NULL, &until);
	if (timeout) {
		/* get it out, for the other tests' sake */
		t_catch_usr1();
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, NULL);
	}
	assert_int_equal(timeout, 0);
}

static void remapped(void **state)
{
	unsigned int way;

	for (way = 0; way < WAYS; way++) {
		pthread_t thread = begin(way);
		uint8_t *page = t_mmap(T_PAGE);

		new_code(page);
		assert_ptr_equal(mremap(page, T_PAGE, T_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, vm.mem + PAGE), vm.mem + PAGE);
		end(thread);
		t_ok(result);
		assert_int_equal(cpu.run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(cpu.run->io.port, 0x10);
		T_END(&vm, &cpu);
	}
}

static void unmapped(void **state)
{
	unsigned int way;

	for (way = 0; way < WAYS; way++) {
		pthread_t thread = begin(way);

		t_ok(munmap(vm.mem + PAGE, T_PAGE));
		end(thread);
		t_fails(EFAULT, result);
		assert_ptr_equal(mmap(vm.mem + PAGE, T_PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), vm.mem + PAGE);
		new_code(vm.mem + PAGE);
		/* goes on where it was */
		t_run_to(&cpu, KVM_EXIT_IO);
		T_END(&vm, &cpu);
	}
}

/* Given back to the host: reads as zeros, which is add %al, (%rax), and RAX leads to memory; the page after it leaves. */
static void given_back(void **state)
{
	/* harmless wherever the last of the zeros' instructions ends: at the first byte, or after it */
	static const uint8_t joint[] = { 0x00, 0xc0, 0xe0, 0x00 };
	unsigned int way;

	for (way = 0; way < WAYS; way++) {
		pthread_t thread = begin(way);

		new_code(vm.mem + PAGE + T_PAGE);
		memcpy(vm.mem + PAGE + T_PAGE, joint, sizeof(joint));
		t_ok(madvise(vm.mem + PAGE, T_PAGE, MADV_DONTNEED));
		end(thread);
		t_ok(result);
		assert_int_equal(cpu.run->exit_reason, KVM_EXIT_IO);
		T_END(&vm, &cpu);
	}
}

/* As a disk read does it: bytes written by the client, while the guest runs and nothing tells it. */
static void overwritten(void **state)
{
	unsigned int way;

	for (way = 0; way < WAYS; way++) {
		pthread_t thread = begin(way);

		new_code(vm.mem + PAGE);
		end(thread);
		t_ok(result);
		assert_int_equal(cpu.run->exit_reason, KVM_EXIT_IO);
		T_END(&vm, &cpu);
	}
}

T_MAIN(T_CASE(remapped), T_CASE(unmapped), T_CASE(given_back), T_CASE(overwritten))
