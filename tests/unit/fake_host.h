/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * fake_host.h - a host with a clock that only moves when told, for programs that test state
 * machines of irqchip. Included by one file of a program, it takes the place of host/user: every
 * function of it that irqchip calls is here, but for copying and filling memory, so that the linker
 * looks for none of them in the library.
 */
#ifndef TESTS_UNIT_FAKE_HOST_H
#define TESTS_UNIT_FAKE_HOST_H

#include <stdlib.h>
#include <string.h>
#include "../../host/host.h"

#define FAKE_TIMERS	64

/* an odd start, so that nothing works by being round */
static u64 fake_now = 1000000007ULL;
static struct host_timer *fake_timers[FAKE_TIMERS];
static int fake_locks_held;
static int fake_allocs_left = -1;		/* this many allocations succeed; -1: all */

void *host_zalloc(size_t size)
{
	if (!fake_allocs_left)
		return NULL;
	if (fake_allocs_left > 0)
		fake_allocs_left--;
	return calloc(1, size);
}

void host_free(void *p)
{
	free(p);
}

void *host_pages_alloc(unsigned long n)
{
	return host_zalloc(n * HV_PAGE_SIZE);
}

void host_pages_free(void *p, unsigned long n)
{
	free(p);
}

void host_spin_init(struct host_spinlock *l)
{
	l->word = 0;
}

/* One thread: a lock that is taken twice would hang in the field. */
void host_spin_lock(struct host_spinlock *l)
{
	if (l->word)
		abort();
	l->word = 1;
	fake_locks_held++;
}

void host_spin_unlock(struct host_spinlock *l)
{
	if (!l->word)
		abort();
	l->word = 0;
	fake_locks_held--;
}

struct host_rdomain {
	int readers;
};

struct host_rdomain *host_rdomain_create(unsigned int slots)
{
	return host_zalloc(sizeof(struct host_rdomain));
}

void host_rdomain_destroy(struct host_rdomain *d)
{
	free(d);
}

void host_read_lock(struct host_rdomain *d, unsigned int slot)
{
	d->readers++;
}

void host_read_unlock(struct host_rdomain *d, unsigned int slot)
{
	d->readers--;
}

/* Waiting inside a section, or under a spinlock, would hang in the field. */
void host_synchronize(struct host_rdomain *d)
{
	if (d->readers || fake_locks_held)
		abort();
}

u64 host_monotonic_ns(void)
{
	return fake_now;
}

void host_timer_init(struct host_timer *t, void (*fn)(struct host_timer *t))
{
	t->fn = fn;
	t->expires_ns = 0;
}

void host_timer_arm(struct host_timer *t, u64 expires_ns)
{
	int i, free_slot = -1;

	t->expires_ns = expires_ns;
	for (i = 0; i < FAKE_TIMERS; i++) {
		if (fake_timers[i] == t)
			return;
		if (!fake_timers[i])
			free_slot = i;
	}
	if (free_slot < 0)
		abort();
	fake_timers[free_slot] = t;
}

void host_timer_cancel(struct host_timer *t)
{
	int i;

	t->expires_ns = 0;
	for (i = 0; i < FAKE_TIMERS; i++)
		if (fake_timers[i] == t)
			fake_timers[i] = NULL;
}

void host_timer_cancel_sync(struct host_timer *t)
{
	if (fake_locks_held)
		abort();
	host_timer_cancel(t);
}

/* When the next timer is due; 0: none armed. */
static inline u64 fake_next_timer(void)
{
	u64 next = 0;
	int i;

	for (i = 0; i < FAKE_TIMERS; i++)
		if (fake_timers[i] && (!next || fake_timers[i]->expires_ns < next))
			next = fake_timers[i]->expires_ns;
	return next;
}

/* Fire what is due at the present time. */
static inline void fake_run_timers(void)
{
	int i;

	for (i = 0; i < FAKE_TIMERS; i++) {
		struct host_timer *t = fake_timers[i];

		if (!t || t->expires_ns > fake_now)
			continue;
		host_timer_cancel(t);
		t->fn(t);
		i = -1;
	}
}

/* Let ns pass, every timer firing on time. */
static inline void fake_advance(u64 ns)
{
	u64 end = fake_now + ns, next;

	while ((next = fake_next_timer()) && next <= end) {
		if (next > fake_now)
			fake_now = next;
		fake_run_timers();
	}
	fake_now = end;
}

/* Let ns pass as on a busy host: timers that came due fire at the end only. */
static inline void fake_advance_late(u64 ns)
{
	fake_now += ns;
	fake_run_timers();
}

#endif
