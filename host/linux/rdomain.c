// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * rdomain.c - read sections are SRCU's. SRCU hands out an index that the unlock wants back and
 * host.h does not carry; it is kept in the reader's slot, or for HOST_READ_SHARED in an entry that
 * belongs to the current task until its outermost section ends. A section in an interrupt finds the
 * entry of the task it interrupted, and nests in it.
 */
#include <linux/completion.h>
#include <linux/irqflags.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/wait_bit.h>
#include "../host.h"

#define SHARED_SLOTS	64

struct slot {
	struct task_struct *owner;	/* shared slots: whose; NULL: free */
	unsigned int nest;
	int idx;
};

struct host_rdomain {
	struct srcu_struct srcu;
	atomic_t overflow;		/* readers beyond SHARED_SLOTS */
	unsigned int nr;
	struct slot shared[SHARED_SLOTS];
	struct slot own[];
};

struct host_rdomain *host_rdomain_create(unsigned int slots)
{
	struct host_rdomain *d;

	if (slots > 65536)
		return NULL;
	d = kvzalloc(struct_size(d, own, slots + 1), GFP_KERNEL_ACCOUNT);
	if (!d)
		return NULL;
	d->nr = slots + 1;
	if (init_srcu_struct(&d->srcu)) {
		kvfree(d);
		return NULL;
	}
	return d;
}

void host_rdomain_destroy(struct host_rdomain *d)
{
	if (!d)
		return;
	cleanup_srcu_struct(&d->srcu);
	kvfree(d);
}

/* The current task's entry; claim: take a free one if it has none. Interrupts are off. */
static struct slot *shared_slot(struct host_rdomain *d, bool claim)
{
	unsigned int i;

	for (i = 0; i < SHARED_SLOTS; i++)
		if (READ_ONCE(d->shared[i].owner) == current)
			return &d->shared[i];
	for (i = 0; claim && i < SHARED_SLOTS; i++)
		if (!cmpxchg(&d->shared[i].owner, NULL, current))
			return &d->shared[i];
	return NULL;
}

static void enter(struct host_rdomain *d, struct slot *s)
{
	if (!s->nest++)
		s->idx = srcu_read_lock(&d->srcu);
}

static void leave(struct host_rdomain *d, struct slot *s)
{
	if (!--s->nest)
		srcu_read_unlock(&d->srcu, s->idx);
}

void host_read_lock(struct host_rdomain *d, unsigned int slot)
{
	unsigned long flags;
	struct slot *s;

	if (slot != HOST_READ_SHARED && slot < d->nr) {
		enter(d, &d->own[slot]);
		return;
	}
	local_irq_save(flags);
	s = shared_slot(d, true);
	if (s)
		enter(d, s);
	else
		atomic_inc(&d->overflow);
	local_irq_restore(flags);
	smp_mb__after_atomic();		/* pairs with the one in host_synchronize() */
}

void host_read_unlock(struct host_rdomain *d, unsigned int slot)
{
	unsigned long flags;
	struct slot *s;

	if (slot != HOST_READ_SHARED && slot < d->nr) {
		leave(d, &d->own[slot]);
		return;
	}
	local_irq_save(flags);
	s = shared_slot(d, false);
	if (s) {
		leave(d, s);
		if (!s->nest)
			smp_store_release(&s->owner, NULL);
	} else if (atomic_dec_and_test(&d->overflow)) {
		wake_up_var(&d->overflow);
	}
	local_irq_restore(flags);
}

void host_synchronize(struct host_rdomain *d)
{
	smp_mb();
	synchronize_srcu(&d->srcu);
	wait_var_event(&d->overflow, !atomic_read(&d->overflow));
}

struct kicked_wait {
	struct rcu_head head;
	struct completion done;
};

static void kicked_done(struct rcu_head *head)
{
	complete(&container_of(head, struct kicked_wait, head)->done);
}

void host_synchronize_kick(struct host_rdomain *d, void (*kick)(void *arg), void *arg)
{
	struct kicked_wait w;

	smp_mb();
	init_rcu_head_on_stack(&w.head);
	init_completion(&w.done);
	call_srcu(&d->srcu, &w.head, kicked_done);
	/* SRCU does not say when it begins to look only at old readers: kick until they are
	 * gone. */
	do {
		kick(arg);
	} while (!wait_for_completion_timeout(&w.done, 1));
	destroy_rcu_head_on_stack(&w.head);
	wait_var_event(&d->overflow, !atomic_read(&d->overflow));
}
