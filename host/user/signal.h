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
 * This thread enters KVM_RUN: from now until host_run_end(), stop(arg) is called (in signal
 * context) after any handler of the client's has run on it, and host_signal_pending() says so. No
 * system call but the first time.
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
 * libc's signal for pthread_cancel(). Its handler may unwind the thread, which must not happen to
 * one of our calls with locks held: once ours stands before it (host_signal_take()), it is put off
 * until the call is over.
 */
#define SIGNAL_CANCEL	32

/** A call of the client's begins on this thread. Returns whether one was going on already. */
bool host_call_begin(void);
/** It ends; @outer is what host_call_begin() said. A cancellation that was put off comes now. */
void host_call_end(bool outer);

/** Install ours for sig, with the client's present handler behind it. */
int host_signal_take(int sig);

#endif
