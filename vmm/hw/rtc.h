/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* rtc.h - MC146818 real-time clock and CMOS memory at ports 0x70 and 0x71, interrupt 8. */
#ifndef VMM_HW_RTC_H
#define VMM_HW_RTC_H

#include <pthread.h>
#include <stdint.h>

#include "../bus.h"

#define RTC_PORT	0x70
#define RTC_PORTS	2
#define RTC_CENTURY	0x32	/* CMOS index; the FADT names it */

struct rtc_host {
	/* Call rtc_tick() at @when (ns on the host's monotonic clock); 0: not at all. rtc->lock
	 * held. */
	void (*timer)(void *opaque, uint64_t when);
	uint64_t (*monotonic_ns)(void *opaque);
	/* ns since 1970, UTC */
	uint64_t (*real_ns)(void *opaque);
	void *opaque;
};

struct rtc {
	pthread_mutex_t lock;		/* everything below */
	struct irq_pin irq;
	struct rtc_host host;
	int irq_level;
	uint8_t index;
	/* time registers are valid while the clock is stopped (SET) only */
	uint8_t cmos[128];
	int64_t offset_ns;		/* guest's time minus the host's */
	/* guest second up to which updates and alarms are accounted for */
	uint64_t second;
	uint64_t periodic_ns;		/* next periodic event, 0: rate off */
};

extern const struct bus_ops rtc_ops;

/** @low, @high: bytes of memory below and above 4 GiB, for firmware that asks the CMOS. */
void rtc_init(struct rtc *rtc, const struct irq_pin *irq, const struct rtc_host *host, uint64_t low,
	      uint64_t high);
void rtc_destroy(struct rtc *rtc);
/** The reset line: interrupts off; time and memory stay. */
void rtc_reset(struct rtc *rtc);
/** The timer asked for has expired. */
void rtc_tick(struct rtc *rtc);

#endif
