/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * timer.c - one-shot timers in a pairing heap whose links lie in the timers: arming allocates
 * nothing.
 *
 * Arming costs a vCPU no system call unless the new expiry is before the time at which the service
 * thread wakes up anyway. That time is kept early on purpose: after a timer has fired, the thread
 * looks once more LINGER_NS later, because a guest programs its next tick right after the last.
 */
#include "../host.h"
#include "sys.h"
#include "user.h"

#define LINGER_NS	500000
#define NEVER		(~0ULL)

struct node {
	/* prev: left sibling, or parent of the first child */
	struct host_timer *child, *next, *prev;
	u64 armed;
};
static_assert(sizeof(struct node) <= sizeof(((struct host_timer *)0)->impl),
	      "node fits in host_timer");

static struct {
	struct host_spinlock lock;
	struct host_timer *root;
	struct host_timer *running;	/* fn is being called */
	u32 run_seq;			/* futex word: incremented after each fn */
	u32 sync_waiters;
	u64 wakes_at;			/* when the service thread will look again by itself */
} timers = { .wakes_at = NEVER };

static struct node *node(struct host_timer *t)
{
	return (struct node *)t->impl;
}

static struct host_timer *meld(struct host_timer *a, struct host_timer *b)
{
	struct host_timer *first;

	if (!a || !b)
		return a ? a : b;
	if (b->expires_ns < a->expires_ns) {
		struct host_timer *swap = a;

		a = b;
		b = swap;
	}
	first = node(a)->child;
	node(b)->next = first;
	node(b)->prev = a;
	if (first)
		node(first)->prev = b;
	node(a)->child = b;
	return a;
}

/*
 * Make one heap of the siblings that begin with first: pairs from left to right, then all from
 * right to left.
 */
static struct host_timer *merge_pairs(struct host_timer *first)
{
	struct host_timer *stack = NULL, *root = NULL;

	while (first) {
		struct host_timer *a = first, *b = node(a)->next;

		first = b ? node(b)->next : NULL;
		node(a)->next = node(a)->prev = NULL;
		if (b)
			node(b)->next = node(b)->prev = NULL;
		a = meld(a, b);
		node(a)->next = stack;
		stack = a;
	}
	while (stack) {
		struct host_timer *next = node(stack)->next;

		node(stack)->next = node(stack)->prev = NULL;
		root = meld(root, stack);
		stack = next;
	}
	return root;
}

static void heap_remove(struct host_timer *t)
{
	struct node *n = node(t);
	struct host_timer *rest = merge_pairs(n->child);

	if (t == timers.root) {
		timers.root = rest;
	} else {
		if (node(n->prev)->child == t)
			node(n->prev)->child = n->next;
		else
			node(n->prev)->next = n->next;
		if (n->next)
			node(n->next)->prev = n->prev;
		timers.root = meld(timers.root, rest);
	}
	n->child = n->next = n->prev = NULL;
	n->armed = 0;
}

void host_timer_init(struct host_timer *t, void (*fn)(struct host_timer *t))
{
	host_memset(t, 0, sizeof(*t));
	t->fn = fn;
}

void host_timer_arm(struct host_timer *t, u64 expires_ns)
{
	bool wake;

	if (unlikely(host_service_start()))
		return;
	host_spin_lock(&timers.lock);
	if (node(t)->armed)
		heap_remove(t);
	host_store_relaxed(&t->expires_ns, expires_ns ? expires_ns : 1);
	node(t)->armed = 1;
	timers.root = meld(timers.root, t);
	wake = t->expires_ns < timers.wakes_at;
	if (wake)
		timers.wakes_at = t->expires_ns;
	host_spin_unlock(&timers.lock);
	if (wake && !host_service_is_self())
		host_service_wake();
}

static void cancel_locked(struct host_timer *t)
{
	if (node(t)->armed)
		heap_remove(t);
	host_store_relaxed(&t->expires_ns, 0);
}

void host_timer_cancel(struct host_timer *t)
{
	host_spin_lock(&timers.lock);
	cancel_locked(t);
	host_spin_unlock(&timers.lock);
}

void host_timer_cancel_sync(struct host_timer *t)
{
	host_spin_lock(&timers.lock);
	cancel_locked(t);
	while (timers.running == t && !host_service_is_self()) {
		u32 seq = timers.run_seq;

		timers.sync_waiters++;
		host_spin_unlock(&timers.lock);
		sys_futex_wait(&timers.run_seq, seq, NEVER);
		host_spin_lock(&timers.lock);
		timers.sync_waiters--;
		cancel_locked(t);	/* fn may have armed it again */
	}
	host_spin_unlock(&timers.lock);
}

/* Call t's fn without the lock; takes it again. */
static void fire_locked(struct host_timer *t)
{
	void (*fn)(struct host_timer *t) = t->fn;

	heap_remove(t);
	host_store_relaxed(&t->expires_ns, 0);
	timers.running = t;
	host_spin_unlock(&timers.lock);
	fn(t);
	host_spin_lock(&timers.lock);
	/* from here on t may be freed */
	timers.running = NULL;
	host_fetch_add(&timers.run_seq, 1);
	if (timers.sync_waiters)
		sys_futex_wake(&timers.run_seq, 0x7fffffff);
}

/** Fire what is due and program the next wake-up. On the service thread only. */
void host_timers_run(void)
{
	static u64 programmed = NEVER;
	bool fired = false;
	u64 now = 0, next;

	host_spin_lock(&timers.lock);
	for (;;) {
		now = host_monotonic_ns();
		if (!timers.root || timers.root->expires_ns > now)
			break;
		fire_locked(timers.root);
		fired = true;
	}
	next = timers.root ? timers.root->expires_ns : NEVER;
	if (fired)
		next = min(next, now + LINGER_NS);
	timers.wakes_at = next;
	host_spin_unlock(&timers.lock);
	if (next != programmed || next <= now) {
		programmed = next;
		host_service_program(next);
	}
}

void host_timers_after_fork(void)
{
	host_memset(&timers, 0, sizeof(timers));
	timers.wakes_at = NEVER;
}
