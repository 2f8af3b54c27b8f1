/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * sys.h - system calls without libc. Libc's wrappers may use vector registers, set errno, or be
 * cancellation points; on a vCPU thread all three would harm. Results are >= 0 or -errno. For
 * host/user, lib and vendor/soft.
 */
#ifndef HOST_USER_SYS_H
#define HOST_USER_SYS_H

#include <asm/unistd.h>
#include <linux/futex.h>
#include <linux/time_types.h>
#include "../types.h"

static __always_inline long sys6(long nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	register u64 r10 __asm__("r10") = d;
	register u64 r8 __asm__("r8") = e;
	register u64 r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static __always_inline long sys4(long nr, u64 a, u64 b, u64 c, u64 d)
{
	register u64 r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

static __always_inline long sys3(long nr, u64 a, u64 b, u64 c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

static __always_inline long sys2(long nr, u64 a, u64 b)
{
	return sys3(nr, a, b, 0);
}

static __always_inline long sys1(long nr, u64 a)
{
	return sys3(nr, a, 0, 0);
}

static __always_inline bool sys_is_err(long ret)
{
	return (unsigned long)ret > -4096UL;
}

/**
 * Wait while *word == val. deadline_ns: CLOCK_MONOTONIC, U64_MAX for none. 0, -EAGAIN, -EINTR,
 * -ETIMEDOUT.
 */
static inline long sys_futex_wait(u32 *word, u32 val, u64 deadline_ns)
{
	struct __kernel_timespec ts;

	/*
	 * Always with a time limit: without one the kernel restarts the wait behind our back after
	 * a handler that was installed with SA_RESTART, and KVM_RUN would miss the signal that was
	 * to end it.
	 */
	if (deadline_ns > 9000000000000000000ULL)
		deadline_ns = 9000000000000000000ULL;
	ts.tv_sec = deadline_ns / 1000000000;
	ts.tv_nsec = deadline_ns % 1000000000;
	return sys6(__NR_futex, (u64)word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, val, (u64)&ts, 0,
		    FUTEX_BITSET_MATCH_ANY);
}

/** Wake up to n waiters of *word. */
static inline void sys_futex_wake(u32 *word, int n)
{
	sys3(__NR_futex, (u64)word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, (u64)n);
}

/** A number that no other living thread of this process has: the thread control block's address. */
static __always_inline u64 thread_self(void)
{
	u64 self;

	__asm__("mov %%fs:0, %0" : "=r"(self));
	return self;
}

#endif
