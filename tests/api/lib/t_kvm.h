/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * t_kvm.h - for programs that test the KVM API by its raw ioctls: a VM with some memory, vCPUs in real or 64-bit mode,
 * guest code written beside its test. Nothing here knows who implements /dev/kvm.
 */
#ifndef TESTS_API_T_KVM_H
#define TESTS_API_T_KVM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#define T_MEM		0x400000UL	/* slot 0, at guest-physical 0 */
#define T_CODE		0x8000		/* where guest code goes */
#define T_STACK		0x7000
#define T_TABLES	0x100000	/* page tables for 64-bit mode, three pages and one spare */
#define T_PAGE		0x1000UL
#define T_NOWHERE	0xd0000000UL	/* guest-physical, no memory */
#define T_BAD_PTR	8UL		/* no address of this process */

/* How to create a VM. */
#define T_IRQCHIP	1		/* KVM_CREATE_IRQCHIP */
#define T_PIT		2		/* and KVM_CREATE_PIT2 */
#define T_SPLIT		4		/* KVM_CAP_SPLIT_IRQCHIP with 24 routes */

struct t_vm {
	int kvm, fd;
	uint8_t *mem;
};

struct t_cpu {
	int fd;
	struct kvm_run *run;
	size_t run_size;
};

/* ioctl(), but -errno for a failure; arg is a number or a pointer. */
#define T(fd, nr, arg)	t_kvm_ioctl(fd, nr, (unsigned long)(arg))
long t_kvm_ioctl(int fd, unsigned long nr, unsigned long arg);
#define t_ok(call)		assert_int_equal(call, 0)
#define t_fails(err, call)	assert_int_equal(call, -(err))

int t_open(void);
void t_vm_create(struct t_vm *vm, unsigned int how);
void t_vm_destroy(struct t_vm *vm);
void t_cpu_create(struct t_vm *vm, struct t_cpu *cpu, unsigned long id);
void t_cpu_destroy(struct t_cpu *cpu);
/* KVM_CHECK_EXTENSION on a VM. */
long t_cap(const struct t_vm *vm, unsigned long cap);
long t_enable(int fd, uint32_t cap, uint64_t arg);
/* KVM_SET_USER_MEMORY_REGION */
long t_slot(const struct t_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, const void *hva);
void *t_mmap(size_t size);

/* Real mode, all bases and selectors 0, at rip. */
void t_cpu_real(struct t_cpu *cpu, uint64_t rip);
/* 64-bit mode at rip: 1 GiB mapped one to one by tables at T_TABLES, supervisor, in pages of 2 MiB. */
void t_cpu_long(struct t_vm *vm, struct t_cpu *cpu, uint64_t rip);
/* the same with RSI and RCX for a loop: where it begins, how often */
void t_cpu_long_over(struct t_vm *vm, struct t_cpu *cpu, uint64_t code, uint64_t rsi, uint64_t rcx);
/* KVM_SET_CPUID2 with what KVM_GET_SUPPORTED_CPUID says. */
void t_cpu_cpuid(struct t_vm *vm, struct t_cpu *cpu);
struct kvm_cpuid2 *t_supported_cpuid(int kvm);

long t_run(struct t_cpu *cpu);
/* KVM_RUN returns 0 with that exit. */
#define t_run_to(cpu, reason)	do { t_ok(t_run(cpu)); assert_int_equal((cpu)->run->exit_reason, reason); } while (0)
struct kvm_regs t_regs(struct t_cpu *cpu);
void t_set_regs(struct t_cpu *cpu, const struct kvm_regs *regs);
uint64_t t_msr(struct t_cpu *cpu, uint32_t index);	/* fails the test if it cannot be read */
long t_set_msr(struct t_cpu *cpu, uint32_t index, uint64_t val);	/* entries set, or -errno */
/* A handler for SIGUSR1 that does nothing, without SA_RESTART. */
void t_catch_usr1(void);
static inline void *t_io_data(struct kvm_run *run)
{
	return (uint8_t *)run + run->io.data_offset;
}

/* Guest code: GUEST16(name, "instructions") makes name[] and name_end[]. T_LOAD() puts it into guest memory. */
#define GUEST_CODE(mode, name, text)						\
	__asm__(".pushsection .rodata,\"a\",@progbits\n" mode "\n" #name ":\n"	\
		text "\n" #name "_end:\n.code64\n.popsection\n");		\
	extern const uint8_t name[], name##_end[]
#define GUEST16(name, text)	GUEST_CODE(".code16", name, text)
#define GUEST64(name, text)	GUEST_CODE(".code64", name, text)
#define T_LOAD(vm, gpa, name)	memcpy((vm)->mem + (gpa), name, (size_t)(name##_end - name))

/* The usual beginning: a VM, a vCPU in real mode at T_CODE, the code there. */
#define T_START(vm, cpu, how, name) do {		\
	t_vm_create(vm, how);				\
	t_cpu_create(vm, cpu, 0);			\
	T_LOAD(vm, T_CODE, name);			\
	t_cpu_real(cpu, T_CODE);			\
} while (0)
#define T_END(vm, cpu) do { t_cpu_destroy(cpu); t_vm_destroy(vm); } while (0)

#define T_MAIN(...)							\
	int main(void)							\
	{								\
		const struct CMUnitTest tests[] = { __VA_ARGS__ };	\
									\
		return t_have_kvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 77; \
	}
#define T_CASE(f)	cmocka_unit_test(f)
bool t_have_kvm(void);

#endif
