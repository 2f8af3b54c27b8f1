// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * lock.c - host.h's locks are the kernel's: a mutex that sleeps, a raw spinlock with interrupts
 * off.
 */
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include "../host.h"

struct linux_spinlock {
	raw_spinlock_t lock;
	unsigned long flags;	/* of the holder */
};

static_assert(sizeof(struct mutex) <= sizeof(struct host_mutex));
static_assert(sizeof(struct linux_spinlock) <= sizeof(struct host_spinlock));

static struct mutex *to_mutex(struct host_mutex *m)
{
	return (struct mutex *)m->space;
}

static struct linux_spinlock *to_spin(struct host_spinlock *l)
{
	return (struct linux_spinlock *)l->space;
}

void host_mutex_init(struct host_mutex *m)
{
	mutex_init(to_mutex(m));
}

void host_mutex_lock(struct host_mutex *m)
{
	mutex_lock(to_mutex(m));
}

bool host_mutex_trylock(struct host_mutex *m)
{
	return mutex_trylock(to_mutex(m));
}

void host_mutex_unlock(struct host_mutex *m)
{
	mutex_unlock(to_mutex(m));
}

void host_spin_init(struct host_spinlock *l)
{
	raw_spin_lock_init(&to_spin(l)->lock);
}

void host_spin_lock(struct host_spinlock *l)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&to_spin(l)->lock, flags);
	to_spin(l)->flags = flags;
}

void host_spin_unlock(struct host_spinlock *l)
{
	unsigned long flags = to_spin(l)->flags;

	raw_spin_unlock_irqrestore(&to_spin(l)->lock, flags);
}

void host_assert_mutex_held(struct host_mutex *m)
{
	lockdep_assert_held(to_mutex(m));
}

void host_assert_spin_held(struct host_spinlock *l)
{
	lockdep_assert_held(&to_spin(l)->lock);
}

void host_cpu_relax(void)
{
	cpu_relax();
}

void host_yield(void)
{
	cond_resched();
}
