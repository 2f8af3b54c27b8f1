// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* time.c - clocks, timers, and waiting. */
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>
#include <linux/wait_bit.h>
#include <asm/cpufeature.h>
#include <asm/tsc.h>
#include "../host.h"

u64 host_monotonic_ns(void)
{
	return ktime_get_ns();
}

u64 host_realtime_ns(void)
{
	return ktime_get_real_ns();
}

u64 host_thread_cpu_ns(void)
{
	return current->se.sum_exec_runtime;
}

int host_run_delay(u64 *thread, u64 *ns)
{
#ifdef CONFIG_SCHED_INFO
	*thread = (u64)current;
	*ns = current->sched_info.run_delay;
	return 0;
#else
	return -ENOSYS;
#endif
}

u32 host_tsc_khz(void)
{
	return boot_cpu_has(X86_FEATURE_CONSTANT_TSC) && !check_tsc_unstable() ? tsc_khz : 0;
}

/* ---- timers ---- */

static_assert(sizeof(struct hrtimer) <= sizeof(((struct host_timer *)0)->impl));

static struct hrtimer *to_hrtimer(struct host_timer *t)
{
	return (struct hrtimer *)t->impl;
}

static enum hrtimer_restart timer_fired(struct hrtimer *hr)
{
	struct host_timer *t = container_of((void *)hr, struct host_timer, impl);

	WRITE_ONCE(t->expires_ns, 0);
	t->fn(t);		/* may arm again: that enqueues, so there is nothing to restart */
	return HRTIMER_NORESTART;
}

void host_timer_init(struct host_timer *t, void (*fn)(struct host_timer *t))
{
	t->fn = fn;
	t->expires_ns = 0;
	hrtimer_init(to_hrtimer(t), CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	to_hrtimer(t)->function = timer_fired;
}

void host_timer_arm(struct host_timer *t, u64 expires_ns)
{
	WRITE_ONCE(t->expires_ns, expires_ns);
	hrtimer_start(to_hrtimer(t), ns_to_ktime(min_t(u64, expires_ns, KTIME_MAX)),
		      HRTIMER_MODE_ABS_HARD);
}

void host_timer_cancel_sync(struct host_timer *t)
{
	hrtimer_cancel(to_hrtimer(t));
	WRITE_ONCE(t->expires_ns, 0);
}

void host_timer_cancel(struct host_timer *t)
{
	hrtimer_try_to_cancel(to_hrtimer(t));
	WRITE_ONCE(t->expires_ns, 0);
}

/* ---- waiting: on the kernel's hashed queues, so that a waitq needs no memory of its own ---- */

void host_waitq_init(struct host_waitq *w)
{
	w->seq = 0;
	w->waiters = 0;
	w->impl = NULL;
}

u32 host_wait_begin(struct host_waitq *w)
{
	return smp_load_acquire(&w->seq);
}

int host_wait(struct host_waitq *w, u32 seq, u64 deadline_ns)
{
	struct wait_queue_head *head = __var_waitqueue(&w->seq);
	ktime_t deadline = ns_to_ktime(min_t(u64, deadline_ns, KTIME_MAX));
	struct wait_bit_queue_entry entry;
	int ret;

	init_wait_var_entry(&entry, &w->seq, 0);
	for (;;) {
		ret = prepare_to_wait_event(head, &entry.wq_entry, TASK_INTERRUPTIBLE) ? -EINTR : 0;
		if (smp_load_acquire(&w->seq) != seq) {
			ret = 0;
			break;
		}
		if (ret)
			break;
		if (deadline_ns && ktime_get_ns() >= deadline_ns) {
			ret = -ETIMEDOUT;
			break;
		}
		schedule_hrtimeout(deadline_ns ? &deadline : NULL, HRTIMER_MODE_ABS);
	}
	finish_wait(head, &entry.wq_entry);
	return ret;
}

void host_wake(struct host_waitq *w)
{
	host_fetch_add(&w->seq, 1);
	wake_up_var(&w->seq);
}
