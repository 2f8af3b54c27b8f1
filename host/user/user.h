/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* user.h - what host/user offers beyond host.h to the glue in lib, and what its files share. */
#ifndef HOST_USER_USER_H
#define HOST_USER_USER_H

#include "../types.h"

/* HOST_SANITIZE: an address or thread sanitizer must see allocations. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HOST_SANITIZE
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HOST_SANITIZE
#endif
#endif

/**
 * Prepare this address space: nothing but the mark by which a forked child is told from its parent.
 * In a forked child it resets locks and tables, whose holders are not there, and calls forked() for
 * the caller's own. 0 or -ENOMEM.
 */
int host_process_begin(void (*forked)(void));
/** True in a forked child of a process that has begun, until it begins itself. No system call. */
bool host_process_is_copy(void);

/**
 * Make the process ready for VMs: the service thread, fault handlers, clocks. Called on a client
 * thread that may create threads (KVM_CREATE_VM), never on a vCPU's. Cheap when done before. 0 or
 * -errno.
 */
int host_process_init(void);

/**
 * Identity of this address space: a number other than 0, another one in a forked child. No system
 * call after host_process_init().
 */
u64 host_process_token(void);

/** delay.c: learn how to tell threads' ids without a system call. On a thread that may call gettid. */
void host_delay_init(void);

/* ---- service.c, timer.c, eventfd.c: one thread for timers and watched eventfds ---- */

/** Start the service thread if there is none. 0 or -errno. */
int host_service_start(void);
bool host_service_is_self(void);
/**
 * Watch fd for input; the service thread calls host_eventfd_ready(id) when there is. 0 or -errno.
 */
int host_service_watch(int fd, u64 id);
void host_service_unwatch(int fd);
/**
 * Program the thread's next wake-up, CLOCK_MONOTONIC, ~0 for never. By the service thread itself
 * only.
 */
void host_service_program(u64 expires_ns);
/** Make the thread call host_timers_run(). Any thread; one write(2). */
void host_service_wake(void);
void host_service_after_fork(void);

void host_timers_run(void);
void host_timers_after_fork(void);
void host_eventfd_ready(u64 id);
/** Find the watches that have ended, if host_eventfd_closed() was called. */
void host_eventfds_look(void);
void host_eventfds_after_fork(void);
void host_mem_after_fork(void);
void host_signal_after_fork(void);
void host_clock_init(void);

/** vfio.c: the name of a VFIO group's device? It is the path of an open file, NUL-terminated. */
bool host_vfio_is_group_name(const char *path);

/* ---- eventwatch.c: hints of whoever sees the client write to descriptors and close them ---- */

/* A bit for each number, modulo, that a watched eventfd has been seen at. */
#define HOST_EVENTFD_HINTS	1024
extern u64 host_eventfd_hints[HOST_EVENTFD_HINTS / 64];
static inline bool host_eventfd_maybe_watched(int fd)
{
	u32 n = (u32)fd % HOST_EVENTFD_HINTS;

	return (__atomic_load_n(&host_eventfd_hints[n / 64], __ATOMIC_RELAXED) >> (n % 64)) & 1;
}
/**
 * fd is about to be closed, and host_eventfd_maybe_watched(): a signal just before must not be lost
 * with it. To be followed by host_eventfd_closed(). Any client thread; async-signal-safe.
 */
void host_eventfd_closing(int fd);
/**
 * A descriptor was closed that may have been a watched eventfd's last: the service thread looks.
 * Any client thread; async-signal-safe.
 */
void host_eventfd_closed(void);
/**
 * The client writes the 8 bytes at buf to fd, and host_eventfd_maybe_watched(). True: it was a signal
 * for a watch, whose function has run, and there is nothing left to write. False: the write is the
 * kernel's. Any client thread; async-signal-safe.
 */
bool host_eventfd_write(int fd, const void *buf);
/**
 * The client puts a system call filter on a thread: from here on its threads are not made to do
 * system calls other than the client's own to find out what they write to.
 */
void host_eventfds_filtered(void);

#endif
