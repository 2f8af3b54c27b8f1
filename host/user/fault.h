/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * fault.h - who gets SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP. One handler of ours asks, in this
 * order: the registered functions (the soft vendor), the fault-tolerant copies, the client's own
 * handler.
 */
#ifndef HOST_USER_FAULT_H
#define HOST_USER_FAULT_H

#include <signal.h>
#include <ucontext.h>
#include "../types.h"

/**
 * Called in signal context, on the stack the thread was using (or its alternate one). True: the
 * fault was in code of the function's owner, and *uc has been changed to where execution goes on.
 * It must be async-signal-safe, use general registers only, and be quick to say no.
 */
typedef bool (*host_fault_fn)(int sig, siginfo_t *info, ucontext_t *uc);

/** Register fn for the life of the process; a second time has no effect. 0 or -ENOSPC. */
int host_fault_register(host_fault_fn fn);

/** Install the handlers. Any client thread; cheap when done before. 0 or -errno. */
int host_fault_init(void);

/** True if pc is in the fault-tolerant copy or compare-and-exchange, whose faults are answered there. Async-signal-safe. */
bool host_fault_in_copy(u64 pc);

/** For signal.c: true if the fault has been dealt with. */
bool host_fault_handle(int sig, siginfo_t *info, ucontext_t *uc);

#endif
