/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * fault.c - synchronous faults: the registered owners of generated code, and copies that may fault.
 *
 * A fault-tolerant copy is a routine with known addresses. A fault inside it continues at its error
 * exit; no signal mask, no setjmp, no system call on the way in.
 */
#define _GNU_SOURCE
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fault.h"
#include "signal.h"

#define MAX_FAULT_FNS	4

static host_fault_fn fault_fns[MAX_FAULT_FNS];
static bool fault_ready;
static struct host_mutex fault_lock;

/*
 * copy_may_fault(dst, src, n): 0, or -1 with a part copied. Aligned 8, 4, 2 and 1 byte copies are
 * single accesses, as readers of page-table entries need it.
 */
int host_copy_may_fault(void *dst, const void *src, size_t n);
extern const u8 host_copy_end[], host_copy_fault[];

__asm__(".text\n"
	".p2align 4\n"
	".globl host_copy_may_fault\n"
	".hidden host_copy_may_fault\n"
	".type host_copy_may_fault, @function\n"
	"host_copy_may_fault:\n"
	"	cmp $8, %rdx\n"
	"	jb 3f\n"
	"	cmp $512, %rdx\n"
	"	jae 6f\n"
	"1:	mov (%rsi), %rax\n"
	"	mov %rax, (%rdi)\n"
	"	add $8, %rsi\n"
	"	add $8, %rdi\n"
	"	sub $8, %rdx\n"
	"	cmp $8, %rdx\n"
	"	jae 1b\n"
	"	test %edx, %edx\n"
	"	jz 5f\n"
	"3:	test $4, %dl\n"
	"	jz 2f\n"
	"	mov (%rsi), %eax\n"
	"	mov %eax, (%rdi)\n"
	"	add $4, %rsi\n"
	"	add $4, %rdi\n"
	"2:	test $2, %dl\n"
	"	jz 4f\n"
	"	movzwl (%rsi), %eax\n"
	"	mov %ax, (%rdi)\n"
	"	add $2, %rsi\n"
	"	add $2, %rdi\n"
	"4:	test $1, %dl\n"
	"	jz 5f\n"
	"	movzbl (%rsi), %eax\n"
	"	mov %al, (%rdi)\n"
	"5:	xor %eax, %eax\n"
	"	ret\n"
	"6:	mov %rdx, %rcx\n"
	"	rep movsb\n"
	"	xor %eax, %eax\n"
	"	ret\n"
	".hidden host_copy_end\n"
	".globl host_copy_end\n"
	"host_copy_end:\n"
	".hidden host_copy_fault\n"
	".globl host_copy_fault\n"
	"host_copy_fault:\n"
	"	mov $-1, %eax\n"
	"	ret\n"
	".size host_copy_may_fault, .-host_copy_may_fault\n"
	".previous\n");

int host_fault_register(host_fault_fn fn)
{
	int i, ret = -ENOSPC;

	host_mutex_lock(&fault_lock);
	for (i = 0; i < MAX_FAULT_FNS; i++) {
		if (fault_fns[i] && fault_fns[i] != fn)
			continue;
		host_store_release(&fault_fns[i], fn);
		ret = 0;
		break;
	}
	host_mutex_unlock(&fault_lock);
	return ret ? ret : host_fault_init();
}

bool host_fault_in_copy(u64 pc)
{
	return pc >= (u64)host_copy_may_fault && pc < (u64)host_copy_end;
}

bool host_fault_handle(int sig, siginfo_t *info, ucontext_t *uc)
{
	u64 pc = (u64)uc->uc_mcontext.gregs[REG_RIP];
	int i;

	for (i = 0; i < MAX_FAULT_FNS; i++) {
		host_fault_fn fn = host_load_acquire(&fault_fns[i]);

		if (!fn)
			break;
		if (fn(sig, info, uc))
			return true;
	}
	if (host_fault_in_copy(pc) && (sig == SIGSEGV || sig == SIGBUS)) {
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)host_copy_fault;
		return true;
	}
	return false;
}

int host_fault_init(void)
{
	static const u8 sigs[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV };
	u32 i;
	int ret = 0;

	if (host_load_acquire(&fault_ready))
		return 0;
	host_mutex_lock(&fault_lock);
	for (i = 0; i < ARRAY_SIZE(sigs) && !ret; i++)
		ret = host_signal_take(sigs[i]);
	if (!ret)
		host_store_release(&fault_ready, true);
	host_mutex_unlock(&fault_lock);
	return ret;
}

static int copy(void *dst, const void *src, size_t n)
{
	if (unlikely(!host_load_acquire(&fault_ready)) && host_fault_init())
		return -EFAULT;
	return host_copy_may_fault(dst, src, n) ? -EFAULT : 0;
}

int host_copy_from_caller(void *dst, u64 src, size_t n)
{
	return copy(dst, (const void *)src, n);
}

int host_copy_to_caller(u64 dst, const void *src, size_t n)
{
	return copy((void *)dst, src, n);
}

int host_mem_read(u64 hva, void *dst, size_t n)
{
	return copy(dst, (const void *)hva, n);
}

int host_mem_write(u64 hva, const void *src, size_t n)
{
	return copy((void *)hva, src, n);
}
