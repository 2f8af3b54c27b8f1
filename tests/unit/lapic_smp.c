// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * lapic_smp.c - senders on threads of their own against a CPU that takes interrupts: none may be
 * lost, none made up. Every sender waits for its own interrupt to be served before it sends the
 * next, so a lost one stops it for good.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include "host/host.h"
#include "irqchip/irqchip.h"

#define SENDERS	3
#define ROUNDS	40000
#define BUSY_S	12	/* no new rounds after that: on a loaded machine each costs time slices */
#define LIMIT_S	40	/* what was sent by then has been lost */

static struct lapic *l[SENDERS + 1];
static struct irqchip *chip;
static u32 served[SENDERS + 2];		/* by sender; the last: the timer */
static u32 sent[SENDERS + 1], finished;
static u32 nmis, events, given_up;

static void ev(void *owner) { host_fetch_add(&events, 1); }
static void nmi(void *owner) { host_fetch_add(&nmis, 1); }
static void ignore(void *owner) { }
static void ignore_sipi(void *owner, u8 vector) { }
static void ignore_pic(void *vm, bool level) { }
static void ignore_eoi(void *vm, u32 gsi) { }
static u64 tsc(void *owner) { return host_monotonic_ns(); }
static u32 khz(void *owner) { return 1000000; }

static const struct irq_sink sink = {
	.lapic_event = ev, .lapic_init = ignore, .lapic_sipi = ignore_sipi, .lapic_nmi = nmi,
	.lapic_smi = ignore,
	.pic_output = ignore_pic, .eoi_exit = ignore_sipi, .guest_tsc = tsc, .tsc_khz = khz,
	.gsi_eoi = ignore_eoi,
};

static u64 now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void wr(struct lapic *a, u32 off, u32 val)
{
	lapic_mmio(a, off, &val, 4, true);
}

/* By IPI, by MSI and by a level-triggered pin of the I/O APIC in turn. */
static void send(int id, u32 round)
{
	u8 vector = 0x40 + 0x10 * id + round % 8;
	u32 sel, val;

	switch (id) {
	case 1:
		wr(l[id], 0x310, 0);
		wr(l[id], 0x300, 0x4000 | vector);
		break;
	case 2:
		irqchip_send_msi(chip, 0xfee00000, vector);
		break;
	default:
		sel = 0x10 + 2 * 16;
		val = 0x8000 | vector;
		irqchip_mmio(chip, 0xfec00000, &sel, 4, true);
		irqchip_mmio(chip, 0xfec00010, &val, 4, true);
		irqchip_set_gsi(chip, IRQ_SOURCE_USER, 16, 1);
		break;
	}
}

static void *sender(void *arg)
{
	int id = (long)arg;
	u64 begin = now_s(), end = begin + LIMIT_S;
	u32 i;

	for (i = 0; i < ROUNDS && now_s() < begin + BUSY_S; i++) {
		sent[id] = i + 1;
		send(id, i);
		while (host_load_acquire(&served[id]) == i) {
			if (now_s() > end) {
				host_fetch_add(&given_up, 1);
				return NULL;
			}
			sched_yield();
		}
	}
	host_fetch_add(&finished, 1);
	return NULL;
}

static void nothing_lost(void **state)
{
	pthread_t t[SENDERS + 1];
	u64 end = now_s() + LIMIT_S;
	long i;
	int v;

	assert_int_equal(irqchip_create(&chip, &sink, NULL, false, 0), 0);
	for (i = 0; i <= SENDERS; i++) {
		assert_int_equal(lapic_create(&l[i], chip, NULL, i), 0);
		wr(l[i], 0xf0, 0x1ff);
	}
	/* the timer's thread joins in */
	wr(l[0], 0x320, 0x20000 | 0xa0);
	wr(l[0], 0x3e0, 0xb);
	wr(l[0], 0x380, 250000);
	for (i = 1; i <= SENDERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, sender, (void *)i), 0);
	for (;;) {
		v = lapic_ack(l[0]);
		if (v < 0) {
			if (host_load_acquire(&finished) == SENDERS || now_s() > end || host_load_acquire(&given_up))
				break;
			sched_yield();
			continue;
		}
		/* as a driver does: first the device is quiet, then the EOI */
		if (v >= 0x70 && v < 0x80)
			irqchip_set_gsi(chip, IRQ_SOURCE_USER, 16, 0);
		lapic_eoi(l[0]);
		if (v == 0xa0) {
			served[SENDERS + 1]++;
			continue;
		}
		i = (v - 0x40) / 0x10;
		assert_in_range(i, 1, SENDERS);
		assert_int_equal((v - 0x40) % 0x10, served[i] % 8);	/* the one that was sent */
		host_store_release(&served[i], served[i] + 1);
	}
	for (i = 1; i <= SENDERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(given_up, 0);
	for (i = 1; i <= SENDERS; i++) {
		assert_int_equal(served[i], sent[i]);
		assert_true(sent[i] > 10);
	}
	assert_true(served[SENDERS + 1] > 0);
	assert_true(host_load_relaxed(&events) >= sent[1] + sent[2] + sent[3]);
	wr(l[0], 0x380, 0);
	while ((v = lapic_ack(l[0])) >= 0) {
		lapic_eoi(l[0]);
		assert_int_equal(v, 0xa0);
	}
}

/*
 * CPUs come while interrupts to everybody are on their way; one that goes gets none after it is
 * gone.
 */
static void *broadcaster(void *arg)
{
	while (!host_load_acquire(&given_up))
		irqchip_send_msi(chip, 0xfeeff000, 0x400);
	return NULL;
}

static void come_and_go(void **state)
{
	struct lapic *more;
	pthread_t t;
	int i;

	given_up = 0;
	assert_int_equal(pthread_create(&t, NULL, broadcaster, NULL), 0);
	while (!host_load_acquire(&nmis))
		sched_yield();
	for (i = 0; i < 500; i++) {
		assert_int_equal(lapic_create(&more, chip, NULL, 4 + i % 300), 0);
		lapic_destroy(more);
	}
	host_store_release(&given_up, 1);
	pthread_join(t, NULL);
	for (i = 0; i <= SENDERS; i++)
		lapic_destroy(l[i]);
	irqchip_destroy(chip);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_lost), cmocka_unit_test(come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
