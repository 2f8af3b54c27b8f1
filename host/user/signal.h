/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * signal.h - living with the client's signal handlers: ours stand before them, so that KVM_RUN
 * learns that one ran, and so that faults of translated code never reach them.
 */
#ifndef HOST_USER_SIGNAL_H
#define HOST_USER_SIGNAL_H

#include "../types.h"

#define SIGNAL_BIT(sig)		(1ULL << ((sig) - 1))
/*
 * SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: must never be blocked on a thread that runs guest code
 */
#define SIGNAL_SYNC_MASK \
	(SIGNAL_BIT(4) | SIGNAL_BIT(5) | SIGNAL_BIT(7) | SIGNAL_BIT(8) | SIGNAL_BIT(11))

/* struct sigaction as the kernel takes it */
struct ksigaction {
	u64 handler;
	u64 flags;
	u64 restorer;
	u64 mask;
};

/**
 * A call of ours begins on this thread: until host_call_end() handlers of the client's do not run
 * here. They run in host_call_end(), when nothing of ours is under way any more, and may do what
 * they may after a kernel's ioctl: use the same vCPU, jump out, end the thread. Also opens the
 * synchronous signals, which the thread may have blocked before there was a VM. No system call but
 * the first time, and if a signal came.
 */
void host_call_begin(void);
void host_call_end(void);
/** Is this thread inside a call of ours? Then it is a handler of the client's that asks. */
bool host_call_active(void);

/**
 * Within a call: this thread enters KVM_RUN. Until host_run_end() stop(arg) is called, in signal
 * context, when a signal has come for which the client has a handler, and host_signal_pending()
 * says so.
 */
void host_run_begin(void (*stop)(void *arg), void *arg);
void host_run_end(void);

/**
 * Put ours before each handler that the client has installed by now. For programs that are linked
 * with the library; with the preload library host_sigaction() sees each one as it is installed. Not
 * on a vCPU thread.
 */
void host_signal_adopt(void);

/**
 * As the system call rt_sigaction, for the client's calls: new and old may be NULL. Knows what the
 * client installed and shows it only that. 0 or -errno.
 */
int host_sigaction(int sig, const struct ksigaction *new, struct ksigaction *old);

/**
 * The client calls this in its own handler where the handler could not be wrapped.
 * Async-signal-safe.
 */
void host_signal_ran(void);

/*
 * libc's signal for pthread_cancel(). Its handler may unwind the thread: once ours stands before it
 * (host_signal_take()), that waits for the end of a call as other handlers do.
 */
#define SIGNAL_CANCEL	32

/** Install ours for sig, with the client's present handler behind it. */
int host_signal_take(int sig);

#endif
