/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Memory that the client takes away while its slot is being deleted: the vCPU that is still in a read section finds it by
 * the table before. The moment between is stood still here, as threads meet in it once in millions of calls.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include "anykvm/anykvm_fd.h"
#include "core/hv.h"
#include "lib/fd.h"

#define CODE	0x8000
#define GO	0x9000		/* a byte: leave the loop */
#define ROUNDS	0x9002		/* a word: rounds of it */
#define SIZE	0x10000

static const uint8_t loop[] = {
	0xff, 0x06, 0x02, 0x90,		/* incw ROUNDS */
	0x80, 0x3e, 0x00, 0x90, 0x00,	/* cmpb $0, GO */
	0x74, 0xf5,			/* je back */
	0xe9, 0xf2, 0x00,		/* jmp CODE + 0x100, which nobody has looked at yet */
};

static long call(int fd, unsigned long nr, void *arg)
{
	return anykvm_ioctl(fd, nr, (unsigned long)arg);
}

static void *run_it(void *cpu)
{
	return (void *)call(*(int *)cpu, KVM_RUN, NULL);
}

static void code_page_of_a_leaving_slot(void **state)
{
	uint8_t *mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = SIZE, .userspace_addr = (uintptr_t)mem };
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	static struct memslots none;
	struct kvm_sregs sregs;
	struct memslots *old;
	struct fd_object *o;
	struct kvm_run *run;
	pthread_t thread;
	void *ret;
	int kvm, fd, cpu;
	struct vm *vm;

	assert_ptr_not_equal(mem, MAP_FAILED);
	memcpy(mem + CODE, loop, sizeof(loop));
	mem[CODE + 0x100] = 0xf4;				/* hlt */
	kvm = anykvm_open();
	fd = (int)call(kvm, KVM_CREATE_VM, NULL);
	assert_int_equal(call(fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	cpu = (int)call(fd, KVM_CREATE_VCPU, NULL);
	run = anykvm_mmap(cpu, (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL), 0);
	assert_ptr_not_equal(run, MAP_FAILED);
	assert_int_equal(call(cpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	assert_int_equal(call(cpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(call(cpu, KVM_SET_REGS, &regs), 0);
	pthread_create(&thread, NULL, run_it, &cpu);
	while (!__atomic_load_n((uint16_t *)(mem + ROUNDS), __ATOMIC_RELAXED))
		sched_yield();
	/* the table without the slot is out, the vCPU has not been kicked yet, the memory goes */
	o = fd_get(fd, false);
	vm = o->obj;
	old = vm->memslots[0];
	none.generation = old->generation;
	host_store_release(&vm->leaving, old);
	host_store_release(&vm->memslots[0], &none);
	assert_int_equal(munmap(mem + CODE, 0x1000), 0);
	__atomic_store_n(mem + GO, 1, __ATOMIC_RELEASE);
	pthread_join(thread, &ret);
	assert_int_equal((long)ret, -EFAULT);
	vm->memslots[0] = old;
	vm->leaving = NULL;
	fd_put(o);
	anykvm_close(cpu);
	anykvm_close(fd);
	anykvm_close(kvm);
	munmap(mem, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(code_page_of_a_leaving_slot) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
