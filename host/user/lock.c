/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * lock.c - mutexes, spinlocks and wait queues on futex words. Word values: 0 free, 1 held, 2 held
 * and somebody may be waiting in the kernel.
 */
#include "../host.h"
#include "sys.h"
#include "user.h"

#define SPIN_TRIES	200

static u32 self32(void)
{
	return (u32)(thread_self() >> 6) | 1;
}

void host_cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

void host_yield(void)
{
	sys1(__NR_sched_yield, 0);
}

static __always_inline bool word_try(u32 *word)
{
	u32 zero = 0;

	return __atomic_compare_exchange_n(word, &zero, 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void word_wait(u32 *word, unsigned int tries)
{
	while (tries--) {
		if (!host_load_relaxed(word) && word_try(word))
			return;
		host_cpu_relax();
	}
	while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE))
		sys_futex_wait(word, 2, ~0ULL);
}

static __always_inline void word_lock(u32 *word, unsigned int tries)
{
	if (unlikely(!word_try(word)))
		word_wait(word, tries);
}

static __always_inline void word_unlock(u32 *word)
{
	if (unlikely(__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2))
		sys_futex_wake(word, 1);
}

void host_mutex_init(struct host_mutex *m)
{
	host_memset(m, 0, sizeof(*m));
}

void host_mutex_lock(struct host_mutex *m)
{
	word_lock(&m->word, SPIN_TRIES / 4);
	host_store_relaxed(&m->owner, self32());
}

bool host_mutex_trylock(struct host_mutex *m)
{
	if (!word_try(&m->word))
		return false;
	host_store_relaxed(&m->owner, self32());
	return true;
}

void host_mutex_unlock(struct host_mutex *m)
{
	host_store_relaxed(&m->owner, 0);
	word_unlock(&m->word);
}

void host_spin_init(struct host_spinlock *l)
{
	host_memset(l, 0, sizeof(*l));
}

void host_spin_lock(struct host_spinlock *l)
{
	word_lock(&l->word, SPIN_TRIES);
	host_store_relaxed(&l->owner, self32());
}

void host_spin_unlock(struct host_spinlock *l)
{
	host_store_relaxed(&l->owner, 0);
	word_unlock(&l->word);
}

#if defined(HV_DEBUG) || defined(HOST_SANITIZE)
static void check_owner(const u32 *owner, const char *what, void *site)
{
	static void *seen[256];
	void **slot = &seen[((u64)site >> 2) % ARRAY_SIZE(seen)];

	if (host_load_relaxed(owner) == self32() || host_xchg(slot, site) == site)
		return;
	host_log("BUG: %s not held by this thread at %p", what, site);
}

void host_assert_mutex_held(struct host_mutex *m)
{
	check_owner(&m->owner, "mutex", __builtin_return_address(0));
}

void host_assert_spin_held(struct host_spinlock *l)
{
	check_owner(&l->owner, "spinlock", __builtin_return_address(0));
}
#else
void host_assert_mutex_held(struct host_mutex *m)
{
}

void host_assert_spin_held(struct host_spinlock *l)
{
}
#endif

/* ---- wait queues ---- */

void host_waitq_init(struct host_waitq *w)
{
	host_memset(w, 0, sizeof(*w));
}

u32 host_wait_begin(struct host_waitq *w)
{
	return host_load_acquire(&w->seq);
}

int host_wait(struct host_waitq *w, u32 seq, u64 deadline_ns)
{
	long ret;

	/* full barrier: the waker increments seq, then looks at waiters; pairs with host_wake() */
	host_fetch_add(&w->waiters, 1);
	do {
		ret = sys_futex_wait(&w->seq, seq, deadline_ns ? deadline_ns : ~0ULL);
		/* 0 with seq unchanged is a stray wake-up */
	} while (!ret && host_load_acquire(&w->seq) == seq);
	host_fetch_add(&w->waiters, (u32)-1);
	if (host_load_acquire(&w->seq) != seq)
		return 0;
	return ret == -EINTR || ret == -ETIMEDOUT ? (int)ret : 0;
}

void host_wake(struct host_waitq *w)
{
	host_fetch_add(&w->seq, 1);
	if (host_load_relaxed(&w->waiters))	/* pairs with the increment in host_wait() */
		sys_futex_wake(&w->seq, 0x7fffffff);
}
