// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * pm.c - ACPI fixed hardware (ACPI specification 6.4, section 4.8.3; names as there).
 *
 * There is no SMM and no legacy mode: SCI_EN is always set, and the FADT says so by having no
 * SMI_CMD.
 */
#include <stdbool.h>

#include "pm.h"

#define STS_TMR		0x0001
#define STS_PWRBTN	0x0100
#define STS_WAK		0x8000
#define STS_ALL		(STS_TMR | 0x0020 | STS_PWRBTN | 0x0400 | STS_WAK)
#define EN_ALL		(STS_TMR | 0x0020 | STS_PWRBTN | 0x0400)
#define CNT_SCI_EN	0x0001
#define CNT_SLP_TYP	0x1c00
#define CNT_SLP_EN	0x2000
#define CNT_WRITABLE	(0x0006 | CNT_SLP_TYP)

#define NSEC_PER_SEC	1000000000ull
#define CARRY_BIT	31	/* a 32-bit timer, as TMR_VAL_EXT in the FADT states */

static uint64_t pm_ticks(struct pm *pm)
{
	uint64_t ns = pm->host.monotonic_ns(pm->host.opaque) - pm->start_ns;

	return ns / NSEC_PER_SEC * PM_TMR_HZ + ns % NSEC_PER_SEC * PM_TMR_HZ / NSEC_PER_SEC;
}

static void pm_update(struct pm *pm)
{
	uint64_t carries = pm_ticks(pm) >> CARRY_BIT;
	uint64_t when = 0;
	int level;

	if (carries != pm->carries) {
		pm->carries = carries;
		pm->sts |= STS_TMR;
	}
	if (pm->en & STS_TMR)
		when = pm->start_ns + ((carries + 1) << CARRY_BIT) / PM_TMR_HZ * NSEC_PER_SEC +
		       NSEC_PER_SEC;
	pm->host.timer(pm->host.opaque, when);
	level = !!(pm->sts & pm->en);
	if (level != pm->sci_level) {
		pm->sci_level = level;
		irq_set(&pm->sci, level);
	}
}

static uint64_t pm_read(void *dev, uint64_t offset, unsigned int size)
{
	struct pm *pm = dev;
	uint64_t value = 0;

	if (offset >= PM_TMR)
		return (uint32_t)pm_ticks(pm) >> (offset - PM_TMR) * 8;
	pthread_mutex_lock(&pm->lock);
	if (offset < PM_CNT) {
		pm_update(pm);
		value = (uint32_t)pm->en << 16 | pm->sts;
	} else {
		value = pm->cnt | CNT_SCI_EN;
	}
	pthread_mutex_unlock(&pm->lock);
	return value >> (offset & 3) * 8;
}

static void pm_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	unsigned int shift = (offset & 3) * 8;
	uint32_t mask = (size >= 4 ? ~0u : (1u << size * 8) - 1) << shift;
	uint32_t bits = (uint32_t)value << shift & mask;
	bool off = false;
	struct pm *pm = dev;

	if (offset >= PM_TMR)
		return;
	pthread_mutex_lock(&pm->lock);
	if (offset < PM_CNT) {
		pm_update(pm);
		pm->sts &= ~(bits & STS_ALL);		/* writing one clears */
		pm->en = (pm->en & ~(mask >> 16)) | (bits >> 16 & EN_ALL);
		pm_update(pm);
	} else {
		pm->cnt = (pm->cnt & ~mask) | (bits & CNT_WRITABLE);
		off = (bits & CNT_SLP_EN) && (pm->cnt & CNT_SLP_TYP) == PM_SLP_TYP_S5 << 10;
	}
	pthread_mutex_unlock(&pm->lock);
	if (off)
		pm->host.poweroff(pm->host.opaque);
}

const struct bus_ops pm_ops = { .read = pm_read, .write = pm_write, .max_size = 4 };

void pm_init(struct pm *pm, const struct irq_pin *sci, const struct pm_host *host)
{
	*pm = (struct pm){ .sci = *sci, .host = *host };
	pthread_mutex_init(&pm->lock, NULL);
	pm->start_ns = host->monotonic_ns(host->opaque);
}

void pm_destroy(struct pm *pm)
{
	pthread_mutex_destroy(&pm->lock);
}

void pm_reset(struct pm *pm)
{
	pthread_mutex_lock(&pm->lock);
	pm->sts = pm->en = pm->cnt = 0;
	pm_update(pm);
	pthread_mutex_unlock(&pm->lock);
}

void pm_tick(struct pm *pm)
{
	pthread_mutex_lock(&pm->lock);
	pm_update(pm);
	pthread_mutex_unlock(&pm->lock);
}

void pm_power_button(struct pm *pm)
{
	pthread_mutex_lock(&pm->lock);
	pm->sts |= STS_PWRBTN;
	pm_update(pm);
	pthread_mutex_unlock(&pm->lock);
}
