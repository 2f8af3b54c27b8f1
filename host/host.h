/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * host.h - all that core, x86 and irqchip may ask of the machine they run on.
 *
 * Two implementations: host/user (Linux system calls) and host/linux (kernel). The user-space one
 * calls no libc function on a path that KVM_RUN can reach and is compiled for general registers
 * only, because the guest's vector registers live in the host's while a vCPU is inside KVM_RUN
 * (docs/soft-cpu.md).
 *
 * Locks may be taken on vCPU threads; legal order: core/locking.h.
 */
#ifndef HV_HOST_H
#define HV_HOST_H

#include "types.h"

/* ---- memory ---------------------------------------------------------------------------------- */

/* Zeroed memory of size bytes, 16-byte aligned, or NULL. May sleep. */
void *host_zalloc(size_t size);
void host_free(void *p);			/* NULL is fine */
/* n zeroed, page-aligned pages, or NULL. */
void *host_pages_alloc(unsigned long n);
void host_pages_free(void *p, unsigned long n);

#ifndef __KERNEL__
void *host_memcpy(void *dst, const void *src, size_t n);
void *host_memmove(void *dst, const void *src, size_t n);
void *host_memset(void *dst, int c, size_t n);
int host_memcmp(const void *a, const void *b, size_t n);
#else
#define host_memcpy memcpy
#define host_memmove memmove
#define host_memset memset
#define host_memcmp memcmp
#endif

/* ---- atomics: C11 orderings by the compiler's builtins, the same on both hosts --------------- */

#define host_load_acquire(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define host_store_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define host_load_relaxed(p)		__atomic_load_n((p), __ATOMIC_RELAXED)
#define host_store_relaxed(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define host_xchg(p, v)			__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define host_fetch_or(p, v)		__atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define host_fetch_and(p, v)		__atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
#define host_fetch_add(p, v)		__atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer does not know fences; a locked operation orders the same on x86. */
#define host_mb()	((void)__atomic_fetch_add(&(u32){ 0 }, 0, __ATOMIC_SEQ_CST))
#else
#define host_mb()			__atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif
#define host_cmpxchg(p, old, new) ({							\
	__typeof__(*(p)) old_ = (old);							\
	__atomic_compare_exchange_n((p), &old_, (new), false, __ATOMIC_SEQ_CST,	\
				    __ATOMIC_SEQ_CST);					\
	old_; })

/* ---- locks ----------------------------------------------------------------------------------- */

/* A sleeping lock. User space: a futex word. Kernel: the space holds a struct mutex. */
struct host_mutex {
	union {
		struct { u32 word; u32 owner; };
		u64 space[8];
	};
};
/*
 * A short lock; nothing sleeps under it. User space: spins briefly, then futex. Kernel: raw
 * spinlock, irqs off.
 */
struct host_spinlock {
	union {
		struct { u32 word; u32 owner; };
		u64 space[2];
	};
};

void host_mutex_init(struct host_mutex *m);
void host_mutex_lock(struct host_mutex *m);
bool host_mutex_trylock(struct host_mutex *m);
void host_mutex_unlock(struct host_mutex *m);
void host_spin_init(struct host_spinlock *l);
void host_spin_lock(struct host_spinlock *l);
void host_spin_unlock(struct host_spinlock *l);
/* In debug builds a loud check, once per site, that this thread holds the lock; else nothing. */
void host_assert_mutex_held(struct host_mutex *m);
void host_assert_spin_held(struct host_spinlock *l);
void host_cpu_relax(void);
void host_yield(void);

/* ---- read-mostly pointers -------------------------------------------------------------------- */

/*
 * Readers bracket their use with host_read_lock(domain slot); a writer publishes with
 * host_store_release() and calls host_synchronize() before it frees what readers may still hold.
 * One domain per VM; each reading thread uses its own slot (a vCPU its index + 1; others
 * HOST_READ_SHARED, which costs an atomic). In the kernel this is SRCU.
 */
#define HOST_READ_SHARED	0
struct host_rdomain;
struct host_rdomain *host_rdomain_create(unsigned int slots);
void host_rdomain_destroy(struct host_rdomain *d);
void host_read_lock(struct host_rdomain *d, unsigned int slot);
void host_read_unlock(struct host_rdomain *d, unsigned int slot);
/*
 * Wait until every read section that began before the call has ended. May sleep; not from inside
 * one.
 */
void host_synchronize(struct host_rdomain *d);
/* The same for readers that stay in a section until told (a vCPU in the guest): kick(arg) is
 * called, once or more, after the point from which on new sections are not waited for. It must get
 * every reader out of the section it is in. */
void host_synchronize_kick(struct host_rdomain *d, void (*kick)(void *arg), void *arg);

/* ---- waiting and time ------------------------------------------------------------------------ */

/* A thing one thread sleeps on and others wake. */
struct host_waitq {
	u32 seq;
	u32 waiters;
	void *impl;
};
void host_waitq_init(struct host_waitq *w);
/* Snapshot to pass to host_wait(): a wake after the snapshot makes the wait return at once. */
u32 host_wait_begin(struct host_waitq *w);
/* Sleep until woken: 0; -EINTR on a signal to the thread; -ETIMEDOUT when deadline_ns
 * (CLOCK_MONOTONIC, 0 = none) has passed. */
int host_wait(struct host_waitq *w, u32 seq, u64 deadline_ns);
void host_wake(struct host_waitq *w);

u64 host_monotonic_ns(void);
u64 host_realtime_ns(void);
/* CPU time of the calling thread; a system call, not for hot paths */
u64 host_thread_cpu_ns(void);
/*
 * For how long the calling thread has been ready to run and had no CPU, since it began; *thread: a
 * number that tells threads apart. Slow. 0; -ENOSYS, -EAGAIN: not known.
 */
int host_run_delay(u64 *thread, u64 *ns);
/* Host TSC rate in kHz, measured or told by the kernel; 0 if the TSC is not usable as a clock. */
u32 host_tsc_khz(void);
static inline u64 host_rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return ((u64)hi << 32) | lo;
}

/*
 * One-shot timer. fn runs on a timer thread (user) or in hard interrupt context (kernel): it must
 * not sleep.
 */
struct host_timer {
	void (*fn)(struct host_timer *t);
	u64 expires_ns;		/* CLOCK_MONOTONIC; 0 = not armed */
	u64 impl[16];
};
void host_timer_init(struct host_timer *t, void (*fn)(struct host_timer *t));
void host_timer_arm(struct host_timer *t, u64 expires_ns);
/*
 * After return fn is not running and will not run until armed again. Not callable from fn or under
 * a lock fn takes.
 */
void host_timer_cancel_sync(struct host_timer *t);
/* Disarm without waiting for a running fn. */
void host_timer_cancel(struct host_timer *t);

/* ---- the calling program --------------------------------------------------------------------- */

/* Copy from or to the caller's memory. 0 or -EFAULT; never a signal. */
int host_copy_from_caller(void *dst, u64 src, size_t n);
int host_copy_to_caller(u64 dst, const void *src, size_t n);
/* Guest memory of the VM's owner at host virtual address hva: as above, for memory slots. */
int host_mem_read(u64 hva, void *dst, size_t n);
int host_mem_write(u64 hva, const void *src, size_t n);
/* Compare and exchange by one locked access of len 1, 2, 4, 8 or 16 bytes (these aligned). 0:
 * exchanged; -EBUSY: *old did not match and is now what was there; -EFAULT. */
int host_mem_cmpxchg(u64 hva, void *old, const void *new, unsigned int len);

/* True if the calling thread has a signal pending that would be delivered. */
bool host_signal_pending(void);
/* Replace the thread's signal mask (8 bytes) and restore it. */
void host_sigmask_swap(u64 newmask, u64 *oldmask);

/* ---- eventfds -------------------------------------------------------------------------------- */

struct host_eventfd;
/* Take a reference on fd's eventfd. -EBADF, -EINVAL (no eventfd). */
int host_eventfd_get(int fd, struct host_eventfd **out);
void host_eventfd_put(struct host_eventfd *e);
bool host_eventfd_same(const struct host_eventfd *a, const struct host_eventfd *b);
void host_eventfd_signal(struct host_eventfd *e);
/* Call fn(arg) on a host thread each time the count becomes non-zero; the count is drained first. Or
 * on the caller's thread that signals it, where the host sees that: several at once, too. A count
 * pending now fires once. The watch holds no reference on the eventfd: it ends when the last
 * one is dropped by whoever has them, and gone(arg) is called if the host notices before the next
 * question below. fn and gone must not sleep. */
struct host_eventfd_watch;
int host_eventfd_watch(struct host_eventfd *e, void (*fn)(void *arg), void (*gone)(void *arg),
		       void *arg, struct host_eventfd_watch **out);
/* After return neither fn nor gone is running. */
void host_eventfd_unwatch(struct host_eventfd_watch *w);
/* Is it e that w watches? Not callable from fn or gone, or under a lock these take; nor is: */
bool host_eventfd_watches(struct host_eventfd_watch *w, const struct host_eventfd *e);
/* Has the eventfd seen its last reference go? */
bool host_eventfd_watch_ended(struct host_eventfd_watch *w);

/* ---- VFIO groups of the calling program ------------------------------------------------------ */

struct host_vfio_group {
	u64 id;		/* tells groups apart while they are open */
	int fd;		/* user space: our own duplicate */
};
/* Which group fd is. -EBADF; -EINVAL: another kind of file. */
int host_vfio_group_id(int fd, u64 *id);
/* The same with a reference on the open file, for host_vfio_group_put(). Or -EMFILE. */
int host_vfio_group_get(int fd, struct host_vfio_group *g);
void host_vfio_group_put(struct host_vfio_group *g);

/* ---- randomness, log ------------------------------------------------------------------------- */

void host_random(void *buf, size_t n);
/* One line; ours-caused trouble. Rate limited per call site in both hosts. Not for hot paths. */
void host_log(const char *fmt, ...) __printf(1, 2);

#endif
