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
/*
 * host_cmpxchg_may_fault(mem, old, new, len): 0 exchanged, 1 *old is what was there, -1 fault. RBX
 * waits in R8, which the way out after a fault knows too.
 */
int host_cmpxchg_may_fault(void *mem, void *old, const void *new, u64 len);
extern const u8 host_copy_end[], host_copy_fault[];
extern const u8 host_cmpxchg_end[], host_cmpxchg_fault[];

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
	".p2align 4\n"
	".globl host_cmpxchg_may_fault\n"
	".hidden host_cmpxchg_may_fault\n"
	".type host_cmpxchg_may_fault, @function\n"
	"host_cmpxchg_may_fault:\n"
	"	mov %rbx, %r8\n"
	"	cmp $8, %ecx\n"
	"	je 3f\n"
	"	ja 4f\n"
	"	cmp $2, %ecx\n"
	"	je 1f\n"
	"	ja 2f\n"
	"	mov (%rsi), %al\n"
	"	mov (%rdx), %cl\n"
	"	lock cmpxchgb %cl, (%rdi)\n"
	"	je 5f\n"
	"	mov %al, (%rsi)\n"
	"	jmp 6f\n"
	"1:	mov (%rsi), %ax\n"
	"	mov (%rdx), %cx\n"
	"	lock cmpxchgw %cx, (%rdi)\n"
	"	je 5f\n"
	"	mov %ax, (%rsi)\n"
	"	jmp 6f\n"
	"2:	mov (%rsi), %eax\n"
	"	mov (%rdx), %ecx\n"
	"	lock cmpxchgl %ecx, (%rdi)\n"
	"	je 5f\n"
	"	mov %eax, (%rsi)\n"
	"	jmp 6f\n"
	"3:	mov (%rsi), %rax\n"
	"	mov (%rdx), %rcx\n"
	"	lock cmpxchgq %rcx, (%rdi)\n"
	"	je 5f\n"
	"	mov %rax, (%rsi)\n"
	"	jmp 6f\n"
	"4:	mov (%rdx), %rbx\n"
	"	mov 8(%rdx), %rcx\n"
	"	mov (%rsi), %rax\n"
	"	mov 8(%rsi), %rdx\n"
	"	lock cmpxchg16b (%rdi)\n"
	"	mov %r8, %rbx\n"
	"	je 5f\n"
	"	mov %rax, (%rsi)\n"
	"	mov %rdx, 8(%rsi)\n"
	"6:	mov $1, %eax\n"
	"	ret\n"
	"5:	xor %eax, %eax\n"
	"	ret\n"
	".hidden host_cmpxchg_end\n"
	".globl host_cmpxchg_end\n"
	"host_cmpxchg_end:\n"
	".hidden host_cmpxchg_fault\n"
	".globl host_cmpxchg_fault\n"
	"host_cmpxchg_fault:\n"
	"	mov %r8, %rbx\n"
	"	mov $-1, %eax\n"
	"	ret\n"
	".size host_cmpxchg_may_fault, .-host_cmpxchg_may_fault\n"
	".previous\n");

static const struct {
	const void *begin, *end, *fault;
} may_fault[] = {
	{ host_copy_may_fault, host_copy_end, host_copy_fault },
	{ host_cmpxchg_may_fault, host_cmpxchg_end, host_cmpxchg_fault },
};

/* Where code that may fault goes on after a fault at pc, or 0. */
static u64 fault_exit(u64 pc)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(may_fault); i++)
		if (pc >= (u64)may_fault[i].begin && pc < (u64)may_fault[i].end)
			return (u64)may_fault[i].fault;
	return 0;
}

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
	return fault_exit(pc);
}

bool host_fault_handle(int sig, siginfo_t *info, ucontext_t *uc)
{
	u64 pc = (u64)uc->uc_mcontext.gregs[REG_RIP], exit;
	int i;

	for (i = 0; i < MAX_FAULT_FNS; i++) {
		host_fault_fn fn = host_load_acquire(&fault_fns[i]);

		if (!fn)
			break;
		if (fn(sig, info, uc))
			return true;
	}
	exit = fault_exit(pc);
	if (!exit || (sig != SIGSEGV && sig != SIGBUS))
		return false;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)exit;
	return true;
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

int host_mem_cmpxchg(u64 hva, void *old, const void *new, unsigned int len)
{
	int ret;

	if (unlikely(!host_load_acquire(&fault_ready)) && host_fault_init())
		return -EFAULT;
	ret = host_cmpxchg_may_fault((void *)hva, old, new, len);
	return likely(!ret) ? 0 : ret > 0 ? -EBUSY : -EFAULT;
}
