// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * lapic_timer.c - the local APIC's timer. SDM 3A 11.5.4.
 *
 * The bus clock is 1 GHz, as in KVM: one tick before the divider is one nanosecond of
 * CLOCK_MONOTONIC. l->lock covers the timer's fields; an expiry that comes too early, late or twice
 * finds out by timer_target.
 */
#include "private.h"

/*
 * A guest must not keep the host busy with a periodic timer: KVM's default for min_timer_period_us.
 */
#define MIN_PERIOD_NS	200000ULL
#define NEVER		(~0ULL)

/* TDCR bits 3, 1 and 0 give the divider: 2, 4 .. 128, 1. */
static u32 divider(u32 tdcr)
{
	u32 code = (tdcr & 3) | (tdcr & 8) >> 1;

	return code == 7 ? 1 : 2U << code;
}

static u32 timer_mode(const struct lapic *l)
{
	return FIELD_GET(LVTT_MODE, host_load_relaxed(&l->reg[APIC_LVTT]));
}

static void disarm(struct lapic *l)
{
	if (l->timer_armed)
		host_timer_cancel(&l->timer);
	l->timer_armed = false;
	host_store_relaxed(&l->timer_target, NEVER);
}

static void arm(struct lapic *l, u64 target)
{
	l->timer_armed = true;
	host_store_relaxed(&l->timer_target, target);
	host_timer_arm(&l->timer, target);
}

/*
 * Nanoseconds until the guest's TSC reaches the deadline, rounded up; 0: it has; NEVER: not in this
 * life.
 */
static u64 deadline_ns(struct lapic *l)
{
	const struct irq_sink *sink = l->chip->sink;
	u64 now = sink->guest_tsc(l->owner), khz = sink->tsc_khz(l->owner), delta;

	if (l->tscdeadline <= now)
		return 0;
	delta = l->tscdeadline - now;
	if (!khz || delta / khz > NEVER / 4 / 1000000)
		return NEVER;
	return delta / khz * 1000000 + delta % khz * 1000000 / khz + 1;
}

/* True: the deadline has passed, the interrupt is due now. l->lock held. */
static bool start_deadline(struct lapic *l)
{
	u64 ns = l->tscdeadline ? deadline_ns(l) : NEVER;

	if (ns && ns != NEVER) {
		arm(l, host_monotonic_ns() + ns);
		return false;
	}
	disarm(l);
	if (ns)
		return false;
	host_store_relaxed(&l->tscdeadline, 0);
	return true;
}

/**
 * Start counting down from first_count (ticks), then from TMICT if periodic; 0: stop. From the
 * owner's thread.
 */
void lapic_timer_start(struct lapic *l, u32 first_count)
{
	u64 div = divider(l->reg[APIC_TDCR]), first = first_count * div, now;

	host_spin_lock(&l->lock);
	if (first && l->reg[APIC_TMICT] && timer_mode(l) <= LVTT_PERIODIC) {
		now = host_monotonic_ns();
		l->timer_period = l->reg[APIC_TMICT] * div;
		if (timer_mode(l) == LVTT_PERIODIC) {
			l->timer_period = max_t(u64, l->timer_period, MIN_PERIOD_NS);
			if (first_count == l->reg[APIC_TMICT])
				first = l->timer_period;
		}
		arm(l, now + first);
	} else {
		disarm(l);
	}
	host_spin_unlock(&l->lock);
}

void lapic_timer_stop(struct lapic *l)
{
	host_spin_lock(&l->lock);
	disarm(l);
	host_store_relaxed(&l->tscdeadline, 0);
	host_spin_unlock(&l->lock);
}

/** A new divider counts what is left of the current round at its own rate. */
void lapic_timer_set_divide(struct lapic *l, u32 tdcr)
{
	u32 count = lapic_timer_count(l), old = l->reg[APIC_TDCR];

	l->reg[APIC_TDCR] = tdcr;
	if (divider(tdcr) != divider(old) && timer_mode(l) != LVTT_DEADLINE)
		lapic_timer_start(l, count);
}

/**
 * Between one-shot and periodic the count goes on; to or from TSC-deadline mode disarms. SDM 3A
 * 11.5.4.1
 */
void lapic_timer_set_lvtt(struct lapic *l, u32 lvtt)
{
	u32 new = FIELD_GET(LVTT_MODE, lvtt);

	host_spin_lock(&l->lock);
	if ((timer_mode(l) == LVTT_DEADLINE) != (new == LVTT_DEADLINE)) {
		disarm(l);
		host_store_relaxed(&l->tscdeadline, 0);
		l->reg[APIC_TMICT] = 0;
	} else if (new == LVTT_PERIODIC && l->timer_armed) {
		l->timer_period = max_t(u64, l->reg[APIC_TMICT] * (u64)divider(l->reg[APIC_TDCR]),
					MIN_PERIOD_NS);
	}
	host_store_relaxed(&l->reg[APIC_LVTT], lvtt);
	host_spin_unlock(&l->lock);
}

/** The current count register, ticks. */
u32 lapic_timer_count(struct lapic *l)
{
	u64 left = 0, now;

	host_spin_lock(&l->lock);
	if (l->timer_armed && timer_mode(l) <= LVTT_PERIODIC) {
		now = host_monotonic_ns();
		if (l->timer_target > now)
			left = l->timer_target - now;
		else if (timer_mode(l) == LVTT_PERIODIC && l->timer_period)
			left = l->timer_period - (now - l->timer_target) % l->timer_period;
	}
	host_spin_unlock(&l->lock);
	return min_t(u64, left / divider(l->reg[APIC_TDCR]), l->reg[APIC_TMICT]);
}

u64 lapic_timer_deadline(const struct lapic *l)
{
	u64 t = host_load_relaxed(&l->timer_target);

	return t == NEVER ? 0 : t;
}

void lapic_timer_expired(struct lapic *l)
{
	bool fire = false;
	u64 now;

	host_spin_lock(&l->lock);
	now = host_monotonic_ns();
	if (!l->timer_armed || now < l->timer_target)
		goto out;
	switch (timer_mode(l)) {
	case LVTT_PERIODIC:
		/* From the due time, not from now: no drift. What was slept through is one
		 * interrupt. */
		arm(l, l->timer_target +
			       ((now - l->timer_target) / l->timer_period + 1) * l->timer_period);
		fire = true;
		break;
	case LVTT_DEADLINE:
		/* The host's clock may be steered against the TSC; the guest must never see an
		 * early one. */
		fire = start_deadline(l);
		break;
	default:
		disarm(l);
		fire = true;
		break;
	}
out:
	host_spin_unlock(&l->lock);
	if (fire)
		lapic_local(l, APIC_LVTT);
}

u64 lapic_tscdeadline(const struct lapic *l)
{
	return timer_mode(l) == LVTT_DEADLINE ? host_load_relaxed(&l->tscdeadline) : 0;
}

void lapic_set_tscdeadline(struct lapic *l, u64 val)
{
	bool fire;

	if (timer_mode(l) != LVTT_DEADLINE || !lapic_enabled(l))
		return;
	host_spin_lock(&l->lock);
	host_store_relaxed(&l->tscdeadline, val);
	fire = start_deadline(l);
	host_spin_unlock(&l->lock);
	if (fire)
		lapic_local(l, APIC_LVTT);
}

void lapic_tsc_changed(struct lapic *l)
{
	lapic_set_tscdeadline(l, lapic_tscdeadline(l));
}

static void timer_fn(struct host_timer *t)
{
	lapic_timer_expired(container_of(t, struct lapic, timer));
}

void lapic_timer_init(struct lapic *l)
{
	host_timer_init(&l->timer, timer_fn);
	l->timer_target = NEVER;
}

void lapic_timer_destroy(struct lapic *l)
{
	lapic_timer_stop(l);
	host_timer_cancel_sync(&l->timer);
}
