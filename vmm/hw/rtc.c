// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * rtc.c - MC146818A real-time clock (Motorola data sheet; register and bit names as there).
 *
 * The time is the host's plus an offset. Nothing ticks: registers are worked out when they are
 * read, and a timer runs only while an interrupt is enabled that needs it.
 */
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "rtc.h"

#define REG_SECONDS	0
#define REG_SECONDS_AL	1
#define REG_MINUTES	2
#define REG_MINUTES_AL	3
#define REG_HOURS	4
#define REG_HOURS_AL	5
#define REG_WEEKDAY	6
#define REG_DAY		7
#define REG_MONTH	8
#define REG_YEAR	9
#define REG_A		10
#define   A_UIP		0x80
#define   A_DIVIDER	0x70
#define   A_DIVIDER_32K	0x20
#define   A_RATE	0x0f
#define REG_B		11
#define   B_SET		0x80
#define   B_PIE		0x40
#define   B_AIE		0x20
#define   B_UIE		0x10
#define   B_BINARY	0x04
#define   B_24H		0x02
#define REG_C		12
#define   C_IRQF	0x80
#define   C_PF		0x40
#define   C_AF		0x20
#define   C_UF		0x10
#define REG_D		13
#define   D_VALID	0x80
#define HOUR_PM		0x80
#define ALARM_ANY	0xc0	/* both bits set: every value matches */

#define NSEC_PER_SEC	1000000000ll
#define UIP_NS		244000	/* an update is announced this long before it happens */
#define SEC_PER_DAY	86400

static uint8_t to_reg(const struct rtc *rtc, unsigned int n)
{
	return rtc->cmos[REG_B] & B_BINARY ? n : (n / 10) << 4 | n % 10;
}

static unsigned int from_reg(const struct rtc *rtc, uint8_t v)
{
	return rtc->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t hour_to_reg(const struct rtc *rtc, unsigned int hour)
{
	if (rtc->cmos[REG_B] & B_24H)
		return to_reg(rtc, hour);
	return to_reg(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned int hour_from_reg(const struct rtc *rtc, uint8_t v)
{
	if (rtc->cmos[REG_B] & B_24H)
		return from_reg(rtc, v);
	return from_reg(rtc, v & ~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

static int64_t guest_ns(const struct rtc *rtc)
{
	return (int64_t)rtc->host.real_ns(rtc->host.opaque) + rtc->offset_ns;
}

static bool stopped(const struct rtc *rtc)
{
	return (rtc->cmos[REG_B] & B_SET) || (rtc->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_32K;
}

/* Put the time @sec (since 1970) into the time registers. */
static void time_to_regs(struct rtc *rtc, int64_t sec)
{
	time_t t = sec;
	struct tm tm;

	gmtime_r(&t, &tm);
	rtc->cmos[REG_SECONDS] = to_reg(rtc, tm.tm_sec);
	rtc->cmos[REG_MINUTES] = to_reg(rtc, tm.tm_min);
	rtc->cmos[REG_HOURS] = hour_to_reg(rtc, tm.tm_hour);
	rtc->cmos[REG_WEEKDAY] = to_reg(rtc, tm.tm_wday + 1);
	rtc->cmos[REG_DAY] = to_reg(rtc, tm.tm_mday);
	rtc->cmos[REG_MONTH] = to_reg(rtc, tm.tm_mon + 1);
	rtc->cmos[REG_YEAR] = to_reg(rtc, tm.tm_year % 100);
	rtc->cmos[RTC_CENTURY] = to_reg(rtc, (tm.tm_year + 1900) / 100);
}

static int64_t regs_to_time(const struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = from_reg(rtc, rtc->cmos[REG_SECONDS]),
		.tm_min = from_reg(rtc, rtc->cmos[REG_MINUTES]),
		.tm_hour = hour_from_reg(rtc, rtc->cmos[REG_HOURS]),
		.tm_mday = from_reg(rtc, rtc->cmos[REG_DAY]),
		.tm_mon = (int)from_reg(rtc, rtc->cmos[REG_MONTH]) - 1,
		.tm_year = from_reg(rtc, rtc->cmos[RTC_CENTURY]) * 100 + from_reg(rtc, rtc->cmos[REG_YEAR]) - 1900,
	};

	return timegm(&tm);
}

static bool alarm_field(uint8_t alarm, uint8_t value)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || alarm == value;
}

static bool alarm_matches(const struct rtc *rtc, int64_t sec)
{
	unsigned int day = ((sec % SEC_PER_DAY) + SEC_PER_DAY) % SEC_PER_DAY;

	return alarm_field(rtc->cmos[REG_SECONDS_AL], to_reg(rtc, day % 60)) &&
	       alarm_field(rtc->cmos[REG_MINUTES_AL], to_reg(rtc, day / 60 % 60)) &&
	       alarm_field(rtc->cmos[REG_HOURS_AL], hour_to_reg(rtc, day / 3600));
}

/* Seconds from @sec on (exclusive) until the alarm matches; 0: never within a day. */
static unsigned int alarm_distance(const struct rtc *rtc, int64_t sec)
{
	unsigned int i;

	/* An hour or minute that does not match is skipped as a whole. */
	for (i = 1; i <= SEC_PER_DAY; i++) {
		unsigned int day = (((sec + i) % SEC_PER_DAY) + SEC_PER_DAY) % SEC_PER_DAY;

		if (!alarm_field(rtc->cmos[REG_HOURS_AL], hour_to_reg(rtc, day / 3600)))
			i += 3599 - day % 3600;
		else if (!alarm_field(rtc->cmos[REG_MINUTES_AL], to_reg(rtc, day / 60 % 60)))
			i += 59 - day % 60;
		else if (alarm_matches(rtc, sec + i))
			return i;
	}
	return 0;
}

static uint64_t periodic_interval(const struct rtc *rtc)
{
	unsigned int rate = rtc->cmos[REG_A] & A_RATE;

	if (!rate || (rtc->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_32K)
		return 0;
	if (rate <= 2)		/* with a 32 kHz crystal these equal rates 8 and 9 */
		rate += 7;
	return (uint64_t)NSEC_PER_SEC * (1u << (rate - 1)) / 32768;
}

static void update_irq(struct rtc *rtc)
{
	int level = !!(rtc->cmos[REG_C] & rtc->cmos[REG_B] & (C_PF | C_AF | C_UF));

	if (level)
		rtc->cmos[REG_C] |= C_IRQF;
	else
		rtc->cmos[REG_C] &= ~C_IRQF;
	if (level != rtc->irq_level) {
		rtc->irq_level = level;
		irq_set(&rtc->irq, level);
	}
}

/* Set the flags of everything that happened up to now. */
static void account(struct rtc *rtc)
{
	int64_t now = guest_ns(rtc) / NSEC_PER_SEC;
	uint64_t mono, interval = periodic_interval(rtc);
	unsigned int distance;

	if (stopped(rtc)) {
		rtc->second = now;
	} else if (now != (int64_t)rtc->second) {
		rtc->cmos[REG_C] |= C_UF;
		distance = alarm_distance(rtc, rtc->second);
		if (distance && now > (int64_t)rtc->second &&
		    now - (int64_t)rtc->second >= distance)
			rtc->cmos[REG_C] |= C_AF;
		rtc->second = now;
	}
	mono = rtc->host.monotonic_ns(rtc->host.opaque);
	if (!interval) {
		rtc->periodic_ns = 0;
	} else if (!rtc->periodic_ns) {
		rtc->periodic_ns = mono + interval;
	} else if (mono >= rtc->periodic_ns) {
		rtc->cmos[REG_C] |= C_PF;
		rtc->periodic_ns += ((mono - rtc->periodic_ns) / interval + 1) * interval;
	}
	update_irq(rtc);
}

static void arm(struct rtc *rtc)
{
	uint64_t mono = rtc->host.monotonic_ns(rtc->host.opaque);
	uint64_t when = 0, t;
	unsigned int distance;
	int64_t into;

	if (!stopped(rtc) && (rtc->cmos[REG_B] & (B_UIE | B_AIE))) {
		into = guest_ns(rtc) - (int64_t)rtc->second * NSEC_PER_SEC;
		distance = rtc->cmos[REG_B] & B_UIE ? 1 : alarm_distance(rtc, rtc->second);
		if (distance) {
			t = distance * (uint64_t)NSEC_PER_SEC;
			when = mono + (into >= 0 && t > (uint64_t)into ? t - into : 0) + 1;
		}
	}
	/* A flag that is still set raises no second interrupt: no need to wake up for it. */
	if ((rtc->cmos[REG_B] & B_PIE) && rtc->periodic_ns && !(rtc->cmos[REG_C] & C_PF) &&
	    (!when || rtc->periodic_ns < when))
		when = rtc->periodic_ns;
	rtc->host.timer(rtc->host.opaque, when);
}

static bool is_time(unsigned int index)
{
	return index <= REG_YEAR ? index >= REG_WEEKDAY || !(index & 1) : index == RTC_CENTURY;
}

static uint64_t rtc_read(void *dev, uint64_t offset, unsigned int size)
{
	struct rtc *rtc = dev;
	uint8_t value;
	int64_t ns;

	if (!offset)
		return 0xff;		/* the index cannot be read back */
	pthread_mutex_lock(&rtc->lock);
	ns = guest_ns(rtc);
	if (is_time(rtc->index) && !stopped(rtc))
		time_to_regs(rtc, ns / NSEC_PER_SEC);
	value = rtc->cmos[rtc->index];
	if (rtc->index == REG_A && !stopped(rtc) && ns % NSEC_PER_SEC >= NSEC_PER_SEC - UIP_NS)
		value |= A_UIP;
	if (rtc->index == REG_C) {
		account(rtc);
		value = rtc->cmos[REG_C];
		rtc->cmos[REG_C] = 0;
		update_irq(rtc);
		if (rtc->cmos[REG_B] & (B_PIE | B_AIE | B_UIE))
			arm(rtc);
	}
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void rtc_store(struct rtc *rtc, uint8_t value)
{
	unsigned int index = rtc->index;
	bool was_stopped = stopped(rtc);
	int64_t ns = guest_ns(rtc);

	if (index == REG_C || index == REG_D)
		return;
	account(rtc);
	/* The registers come to rest when the clock stops, and a time written to a running clock
	 * counts at once. */
	if (!was_stopped && (is_time(index) || index == REG_A || index == REG_B))
		time_to_regs(rtc, ns / NSEC_PER_SEC);
	rtc->cmos[index] = index == REG_A ? value & ~A_UIP : value;
	if (index == REG_B && (value & B_SET))
		rtc->cmos[REG_B] &= ~B_UIE;
	if (is_time(index) || index == REG_A || index == REG_B) {
		if (!stopped(rtc) && (was_stopped || is_time(index))) {
			rtc->offset_ns += regs_to_time(rtc) * NSEC_PER_SEC -
					  (ns - ns % NSEC_PER_SEC);
			rtc->second = guest_ns(rtc) / NSEC_PER_SEC;
		}
	}
	if (index <= REG_B) {
		account(rtc);
		arm(rtc);
	}
}

static void rtc_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct rtc *rtc = dev;

	pthread_mutex_lock(&rtc->lock);
	if (!offset)
		rtc->index = value & 0x7f;	/* bit 7 masks NMIs, of which there are none */
	else
		rtc_store(rtc, value);
	pthread_mutex_unlock(&rtc->lock);
}

const struct bus_ops rtc_ops = { .read = rtc_read, .write = rtc_write, .max_size = 1 };

void rtc_tick(struct rtc *rtc)
{
	pthread_mutex_lock(&rtc->lock);
	account(rtc);
	arm(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

/* The memory sizes a PC BIOS leaves in the CMOS, and QEMU's for the rest. */
static void set_memory_size(struct rtc *rtc, uint64_t low, uint64_t high)
{
	uint64_t ext = low > (1 << 20) ? (low - (1 << 20)) >> 10 : 0;
	uint64_t above16 = low > (16 << 20) ? (low - (16 << 20)) >> 16 : 0;

	if (ext > 0xffff)
		ext = 0xffff;
	if (above16 > 0xffff)
		above16 = 0xffff;
	high >>= 16;
	rtc->cmos[0x15] = 640 & 0xff;
	rtc->cmos[0x16] = 640 >> 8;
	rtc->cmos[0x17] = rtc->cmos[0x30] = ext;
	rtc->cmos[0x18] = rtc->cmos[0x31] = ext >> 8;
	rtc->cmos[0x34] = above16;
	rtc->cmos[0x35] = above16 >> 8;
	rtc->cmos[0x5b] = high;
	rtc->cmos[0x5c] = high >> 8;
	rtc->cmos[0x5d] = high >> 16;
}

void rtc_init(struct rtc *rtc, const struct irq_pin *irq, const struct rtc_host *host, uint64_t low,
	      uint64_t high)
{
	memset(rtc, 0, sizeof(*rtc));
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->irq = *irq;
	rtc->host = *host;
	rtc->cmos[REG_A] = A_DIVIDER_32K | 6;	/* 1024 Hz, as a BIOS sets it */
	rtc->cmos[REG_B] = B_24H;
	rtc->cmos[REG_D] = D_VALID;
	/* equipment: a numeric coprocessor, no disk drives, no display */
	rtc->cmos[0x14] = 0x02;
	set_memory_size(rtc, low, high);
	rtc->second = guest_ns(rtc) / NSEC_PER_SEC;
}

void rtc_destroy(struct rtc *rtc)
{
	pthread_mutex_destroy(&rtc->lock);
}

void rtc_reset(struct rtc *rtc)
{
	pthread_mutex_lock(&rtc->lock);
	rtc->index = 0;
	rtc->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE);
	rtc->cmos[REG_C] = 0;
	update_irq(rtc);
	arm(rtc);
	pthread_mutex_unlock(&rtc->lock);
}
