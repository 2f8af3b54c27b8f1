/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * pm.h - ACPI power management: PM1a event and control blocks and the PM timer, at the ICH9's
 * places.
 */
#ifndef VMM_HW_PM_H
#define VMM_HW_PM_H

#include <pthread.h>
#include <stdint.h>

#include "../bus.h"

#define PM_PORT		0x600
#define PM_PORTS	12
#define PM_EVT		0	/* offsets from PM_PORT: PM1a_STS, PM1a_EN behind it */
#define PM_CNT		4
#define PM_TMR		8
#define PM_TMR_HZ	3579545
#define PM_SLP_TYP_S5	5	/* the DSDT's \_S5 names it */

struct pm_host {
	void (*poweroff)(void *opaque);			/* any vCPU thread */
	/* call pm_tick() then (ns, monotonic); 0: not at all */
	void (*timer)(void *opaque, uint64_t when);
	uint64_t (*monotonic_ns)(void *opaque);
	void *opaque;
};

struct pm {
	pthread_mutex_t lock;	/* everything below */
	struct irq_pin sci;
	struct pm_host host;
	int sci_level;
	uint16_t sts, en, cnt;
	uint64_t start_ns;	/* when the timer was 0 */
	uint64_t carries;	/* changes of the timer's top bit that TMR_STS accounts for */
};

extern const struct bus_ops pm_ops;

void pm_init(struct pm *pm, const struct irq_pin *sci, const struct pm_host *host);
void pm_destroy(struct pm *pm);
void pm_reset(struct pm *pm);
void pm_tick(struct pm *pm);
/** The power button is pressed. */
void pm_power_button(struct pm *pm);

#endif
