/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * shim_syscall.c - libc's syscall(): a program that makes its system calls by number gets the same
 * as one that calls them by name. Those that are none of our business go to the kernel from here,
 * without a stack frame, as some return twice or on another stack.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include "../host/user/sys.h"
#include "../host/user/user.h"
#include "shim.h"

#define CALLS_END	448	/* the bitmap ends here, also in syscall() below */

/* Bit per call that call_wrapped() handles. */
__attribute__((used, visibility("hidden"))) u64 shim_calls[CALLS_END / 64];

static const u16 wrapped[] = {
	SYS_open, SYS_openat, SYS_openat2, SYS_creat, SYS_ioctl, SYS_read, SYS_pread64, SYS_write, SYS_close,
	SYS_close_range, SYS_dup, SYS_dup2, SYS_dup3, SYS_fcntl, SYS_access, SYS_faccessat,
	SYS_faccessat2, SYS_stat, SYS_lstat, SYS_fstat, SYS_newfstatat, SYS_statx,
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_execve, SYS_execveat, SYS_prctl, SYS_seccomp,
};

static __attribute__((constructor)) void fill_calls(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrapped); i++)
		shim_calls[wrapped[i] / 64] |= 1ULL << (wrapped[i] % 64);
}

static long call_openat2(int dirfd, const char *path, const struct open_how *how, size_t size)
{
	long ret;

	if (size >= sizeof(*how) && !how->resolve && how->flags <= INT_MAX &&
	    shim_path_is_kvm(dirfd, path))
		return openat(dirfd, path, (int)how->flags, (mode_t)how->mode);
	ret = sys4(SYS_openat2, (u64)dirfd, (u64)path, (u64)how, size);
	if (ret < 0) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

static long call_seccomp(unsigned int op, unsigned int flags, void *arg)
{
	long ret;

	/* with NULL programs ask what the kernel knows */
	if (op == SECCOMP_SET_MODE_STRICT || (op == SECCOMP_SET_MODE_FILTER && arg))
		host_eventfds_filtered();
	ret = sys3(SYS_seccomp, op, flags, (u64)arg);
	if (ret < 0) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

int close_range(unsigned int first, unsigned int last, int flags);
int execveat(int dirfd, const char *path, char *const argv[], char *const env[], int flags);

/* By tail call from syscall(), with its arguments. */
long shim_call_wrapped(long nr, long a, long b, long c, long d, long e, long f);
__attribute__((used, visibility("hidden")))
long shim_call_wrapped(long nr, long a, long b, long c, long d, long e, long f)
{
	const char *path_a = (const char *)a, *path_b = (const char *)b;

	switch (nr) {
	case SYS_open:
		return open(path_a, (int)b, (mode_t)c);
	case SYS_openat:
		return openat((int)a, path_b, (int)c, (mode_t)d);
	case SYS_openat2:
		return call_openat2((int)a, path_b, (const struct open_how *)c, (size_t)d);
	case SYS_creat:
		return creat(path_a, (mode_t)b);
	case SYS_ioctl:
		return ioctl((int)a, (unsigned long)b, c);
	case SYS_read:
		return read((int)a, (void *)b, (size_t)c);
	case SYS_pread64:
		return pread((int)a, (void *)b, (size_t)c, d);
	case SYS_write:
		return write((int)a, (const void *)b, (size_t)c);
	case SYS_close:
		return close((int)a);
	case SYS_close_range:
		return close_range((unsigned int)a, (unsigned int)b, (int)c);
	case SYS_dup:
		return dup((int)a);
	case SYS_dup2:
		return dup2((int)a, (int)b);
	case SYS_dup3:
		return dup3((int)a, (int)b, (int)c);
	case SYS_fcntl:
		return fcntl((int)a, (int)b, c);
	case SYS_access:
		return access(path_a, (int)b);
	case SYS_faccessat:
		return faccessat((int)a, path_b, (int)c, 0);
	case SYS_faccessat2:
		return faccessat((int)a, path_b, (int)c, (int)d);
	case SYS_stat:
		return stat(path_a, (struct stat *)b);
	case SYS_lstat:
		return lstat(path_a, (struct stat *)b);
	case SYS_fstat:
		return fstat((int)a, (struct stat *)b);
	case SYS_newfstatat:
		return fstatat((int)a, path_b, (struct stat *)c, (int)d);
	case SYS_statx:
		return statx((int)a, path_b, (int)c, (unsigned int)d, (struct statx *)e);
	case SYS_rt_sigaction:
		return shim_rt_sigaction((int)a, (const void *)b, (void *)c, (size_t)d);
	case SYS_rt_sigprocmask:
		return shim_rt_sigprocmask((int)a, (const void *)b, (void *)c, (size_t)d);
	case SYS_execve:
		return execve(path_a, (char *const *)b, (char *const *)c);
	case SYS_execveat:
		return execveat((int)a, path_b, (char *const *)c, (char *const *)d, (int)e);
	case SYS_prctl:
		return prctl((int)a, b, c, d, e);
	case SYS_seccomp:
		return call_seccomp((unsigned int)a, (unsigned int)b, (void *)c);
	}
	errno = ENOSYS;
	return -1;
}

__asm__(".text\n"
	".p2align 4\n"
	".globl syscall\n"
	".type syscall, @function\n"
	"syscall:\n"
	"	.cfi_startproc\n"
	"	cmp $448, %rdi\n"
	"	jae 1f\n"
	"	bt %rdi, shim_calls(%rip)\n"
	"	jc shim_call_wrapped\n"
	"1:	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	mov %r8, %r10\n"
	"	mov %r9, %r8\n"
	"	mov 8(%rsp), %r9\n"
	"	syscall\n"
	"	cmp $-4095, %rax\n"
	"	jae 2f\n"
	"	ret\n"
	"2:	neg %eax\n"
	"	push %rax\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	call __errno_location@plt\n"
	"	pop %rcx\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	mov %ecx, (%rax)\n"
	"	mov $-1, %rax\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size syscall, .-syscall\n"
	".previous\n");
