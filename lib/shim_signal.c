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
#include "../host/user/signal.h"
#include "../host/user/user.h"
#include "shim.h"

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

/* set without the synchronous signals, unless the call opens signals anyway. */
static const sigset_t *keep_open(int how, const sigset_t *set, sigset_t *copy)
{
	size_t i;

	if (!set || how == SIG_UNBLOCK)
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

/* ---- pthread_cancel ---- */

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/*
 * Put ours before libc's handler of its cancellation signal. libc installs that in the first
 * pthread_cancel(), which may send the signal at once: so the first one is for a thread of ours.
 */
static void take_cancel(void)
{
	pthread_t t;

	if (NEXT(pthread_create)(&t, NULL, wait_for_ever, NULL))
		return;
	NEXT(pthread_cancel)(t);
	pthread_join(t, NULL);
	host_signal_take(SIGNAL_CANCEL);
}

SHIM int pthread_cancel(pthread_t t)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (host_process_token())
		pthread_once(&once, take_cancel);
	return NEXT(pthread_cancel)(t);
}
