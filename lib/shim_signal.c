/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * shim_signal.c - the client's signal handlers, once the process has a VM: ours goes before each of
 * them, and the client sees only its own. The signals of synchronous faults stay open on every
 * thread, since translated code needs them.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "../host/host.h"
#include "../host/user/signal.h"
#include "../host/user/sys.h"
#include "../host/user/user.h"
#include "shim.h"

/* sigset() and siginterrupt() are, but programs use them. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static const int sync_signals[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV };

static u64 kernel_mask(const sigset_t *set)
{
	u64 mask;

	memcpy(&mask, set, sizeof(mask));
	return mask;
}

/* 32 (SIGNAL_CANCEL) and 33 are libc's own, and until there is a VM nothing stands before anybody. */
static bool ours_to_handle(int sig)
{
	return host_process_token() && sig != 32 && sig != 33;
}

SHIM int sigaction(int sig, const struct sigaction *new, struct sigaction *old)
{
	struct ksigaction knew, kold;
	int ret;

	if (!ours_to_handle(sig))
		return NEXT(sigaction)(sig, new, old);
	if (new) {
		knew.handler = (u64)new->sa_handler;
		knew.flags = (unsigned int)new->sa_flags;
		knew.restorer = 0;
		knew.mask = kernel_mask(&new->sa_mask);
	}
	ret = host_sigaction(sig, new ? &knew : NULL, &kold);
	if (ret) {
		errno = -ret;
		return -1;
	}
	if (old) {
		memset(old, 0, sizeof(*old));
		old->sa_handler = (__sighandler_t)kold.handler;
		/* without SA_RESTORER, as libc shows it */
		old->sa_flags = (int)(kold.flags & ~0x04000000ULL);
		memcpy(&old->sa_mask, &kold.mask, sizeof(kold.mask));
	}
	return 0;
}

static __sighandler_t install(int sig, __sighandler_t handler, int flags)
{
	struct sigaction act, old;

	memset(&act, 0, sizeof(act));
	act.sa_handler = handler;
	act.sa_flags = flags;
	return sigaction(sig, &act, &old) ? SIG_ERR : old.sa_handler;
}

SHIM __sighandler_t signal(int sig, __sighandler_t handler)
{
	if (!ours_to_handle(sig))
		return NEXT(signal)(sig, handler);
	return install(sig, handler, SA_RESTART);
}

__sighandler_t bsd_signal(int sig, __sighandler_t handler);

SHIM __sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

SHIM __sighandler_t __sysv_signal(int sig, __sighandler_t handler)
{
	if (!ours_to_handle(sig))
		return NEXT(__sysv_signal)(sig, handler);
	return install(sig, handler, (int)SA_RESETHAND | SA_NODEFER);
}

SHIM __sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
	return __sysv_signal(sig, handler);
}

SHIM __sighandler_t sigset(int sig, __sighandler_t handler)
{
	sigset_t set, before;
	struct sigaction old;

	if (!ours_to_handle(sig))
		return NEXT(sigset)(sig, handler);
	sigemptyset(&set);
	if (sigaddset(&set, sig))
		return SIG_ERR;
	if (handler == SIG_HOLD) {
		if (sigprocmask(SIG_BLOCK, &set, &before) || sigaction(sig, NULL, &old))
			return SIG_ERR;
	} else {
		old.sa_handler = install(sig, handler, 0);
		if (old.sa_handler == SIG_ERR || sigprocmask(SIG_UNBLOCK, &set, &before))
			return SIG_ERR;
	}
	return sigismember(&before, sig) ? SIG_HOLD : old.sa_handler;
}

SHIM int siginterrupt(int sig, int interrupt)
{
	struct sigaction act;

	if (!ours_to_handle(sig))
		return NEXT(siginterrupt)(sig, interrupt);
	if (sigaction(sig, NULL, &act))
		return -1;
	if (interrupt)
		act.sa_flags &= ~SA_RESTART;
	else
		act.sa_flags |= SA_RESTART;
	return sigaction(sig, &act, NULL);
}

static void *wait_to_be_cancelled(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/*
 * Libc ends a thread by a signal whose handler it installs at the first pthread_cancel(), by a call
 * that we do not see. Have it do so for a thread of no account, and put ours before it: the thread
 * to be cancelled may be in KVM_RUN.
 */
static void take_cancel_signal(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, wait_to_be_cancelled, NULL))
		return;
	NEXT(pthread_cancel)(t);
	pthread_join(t, NULL);
	host_signal_take(SIGNAL_CANCEL);
}

SHIM int pthread_cancel(pthread_t thread)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (host_process_token())
		pthread_once(&once, take_cancel_signal);
	return NEXT(pthread_cancel)(thread);
}

/*
 * set without the synchronous signals, once there is a VM, unless the call opens signals anyway.
 * Threads that blocked them before open them at their first call of ours: host_call_begin().
 */
static const sigset_t *keep_open(int how, const sigset_t *set, sigset_t *copy)
{
	size_t i;

	if (!set || how == SIG_UNBLOCK || !host_process_token())
		return set;
	*copy = *set;
	for (i = 0; i < ARRAY_SIZE(sync_signals); i++)
		sigdelset(copy, sync_signals[i]);
	return copy;
}

SHIM int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return NEXT(sigprocmask)(how, keep_open(how, set, &copy), old);
}

SHIM int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return NEXT(pthread_sigmask)(how, keep_open(how, set, &copy), old);
}

long shim_rt_sigprocmask(int how, const void *set, void *old, size_t size)
{
	u64 mask;
	long ret;

	if (set && size == sizeof(mask) && how != SIG_UNBLOCK && host_process_token() &&
	    !host_copy_from_caller(&mask, (u64)set, sizeof(mask))) {
		mask &= ~SIGNAL_SYNC_MASK;
		set = &mask;
	}
	ret = sys4(SYS_rt_sigprocmask, (u64)how, (u64)set, (u64)old, size);
	if (!ret)
		return 0;
	errno = (int)-ret;
	return -1;
}

long shim_rt_sigaction(int sig, const void *new, void *old, size_t size)
{
	struct ksigaction knew, kold;
	long ret;

	if (!ours_to_handle(sig) || size != sizeof(knew.mask))
		ret = sys4(SYS_rt_sigaction, (u64)sig, (u64)new, (u64)old, size);
	else if (new && host_copy_from_caller(&knew, (u64)new, sizeof(knew)))
		ret = -EFAULT;
	else
		ret = host_sigaction(sig, new ? &knew : NULL, &kold);
	if (!ret && old && ours_to_handle(sig))
		ret = host_copy_to_caller((u64)old, &kold, sizeof(kold));
	if (!ret)
		return 0;
	errno = (int)-ret;
	return -1;
}
