/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* irqchip_fixture.h - an irqchip with a few CPUs and a sink that writes down what it is told. */
#ifndef TESTS_UNIT_IRQCHIP_FIXTURE_H
#define TESTS_UNIT_IRQCHIP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fake_host.h"
#include "../../irqchip/irqchip.h"

#define MAX_CPUS	4
#define TSC_KHZ		2500000U

struct cpu {
	struct lapic *l;
	int events, inits, nmis, smis, sipis, eoi_exits;
	u8 sipi_vector, eoi_vector;
	s64 tsc_offset;
	u32 tsc_ppm;		/* the guest's TSC is slow by so many millionths */
};

static struct cpu cpus[MAX_CPUS];
static struct irqchip *chip;
static int pic_level, pic_changes, nr_eois;
static u32 eois[256];

static void sink_event(void *owner) { ((struct cpu *)owner)->events++; }
static void sink_init(void *owner) { ((struct cpu *)owner)->inits++; }
static void sink_nmi(void *owner) { ((struct cpu *)owner)->nmis++; }
static void sink_smi(void *owner) { ((struct cpu *)owner)->smis++; }

static void sink_sipi(void *owner, u8 vector)
{
	((struct cpu *)owner)->sipis++;
	((struct cpu *)owner)->sipi_vector = vector;
}

static void sink_pic(void *vm, bool level)
{
	pic_level = level;
	pic_changes++;
}

static void sink_eoi_exit(void *owner, u8 vector)
{
	((struct cpu *)owner)->eoi_exits++;
	((struct cpu *)owner)->eoi_vector = vector;
}

static u64 sink_tsc(void *owner)
{
	struct cpu *c = owner;

	return fake_now / 2 * 5 - fake_now / 1000000 * c->tsc_ppm * 5 / 2 + c->tsc_offset;
}

static u32 sink_khz(void *owner) { return TSC_KHZ; }

static void sink_gsi_eoi(void *vm, u32 gsi)
{
	assert_int_equal(fake_locks_held, 0);	/* it may come back with irqchip_set_gsi() */
	if (nr_eois < 256)
		eois[nr_eois++] = gsi;
}

static const struct irq_sink sink = {
	.lapic_event = sink_event, .lapic_init = sink_init, .lapic_sipi = sink_sipi,
	.lapic_nmi = sink_nmi,
	.lapic_smi = sink_smi, .pic_output = sink_pic, .eoi_exit = sink_eoi_exit,
	.guest_tsc = sink_tsc,
	.tsc_khz = sink_khz, .gsi_eoi = sink_gsi_eoi,
};

static inline void forget(void)
{
	int i;

	for (i = 0; i < MAX_CPUS; i++) {
		struct lapic *l = cpus[i].l;
		s64 offset = cpus[i].tsc_offset;

		memset(&cpus[i], 0, sizeof(cpus[i]));
		cpus[i].l = l;
		cpus[i].tsc_offset = offset;
	}
	nr_eois = pic_changes = 0;
}

static inline void chip_make(bool split, unsigned int pins)
{
	u32 i;

	memset(cpus, 0, sizeof(cpus));
	assert_int_equal(irqchip_create(&chip, &sink, NULL, split, pins), 0);
	for (i = 0; i < MAX_CPUS; i++)
		assert_int_equal(lapic_create(&cpus[i].l, chip, &cpus[i], i), 0);
	forget();
	pic_level = 0;
}

static inline int setup(void **state) { chip_make(false, 0); return 0; }

static int teardown(void **state)
{
	int i;

	for (i = 0; i < MAX_CPUS; i++)
		lapic_destroy(cpus[i].l);
	irqchip_destroy(chip);
	chip = NULL;
	return 0;
}

/* xAPIC page by offset */
static inline u32 rd(int cpu, u32 off)
{
	u32 val = 0xdeadbeef;

	assert_true(lapic_mmio(cpus[cpu].l, off, &val, 4, false));
	return val;
}

static inline void wr(int cpu, u32 off, u32 val)
{
	assert_true(lapic_mmio(cpus[cpu].l, off, &val, 4, true));
}

static inline void enable(int cpu) { wr(cpu, 0xf0, 0x1ff); }

static inline void enable_all(void)
{
	int i;

	for (i = 0; i < MAX_CPUS; i++)
		enable(i);
}

static inline void x2apic_all(void)
{
	int i;

	for (i = 0; i < MAX_CPUS; i++) {
		assert_int_equal(
			lapic_set_base_msr(cpus[i].l, lapic_base_msr(cpus[i].l) | 0xc00, false), 0);
		assert_int_equal(lapic_msr_write(cpus[i].l, 0x80f, 0x1ff), 0);
	}
}

static inline void outb(u16 port, u8 val) { assert_true(irqchip_pio(chip, port, &val, 1, true)); }

static inline u8 inb(u16 port)
{
	u8 val = 0xa5;

	assert_true(irqchip_pio(chip, port, &val, 1, false));
	return val;
}

static inline void ioapic_wr(u8 index, u32 val)
{
	u32 sel = index;

	assert_true(irqchip_mmio(chip, 0xfec00000, &sel, 4, true));
	assert_true(irqchip_mmio(chip, 0xfec00010, &val, 4, true));
}

static inline u32 ioapic_rd(u8 index)
{
	u32 sel = index, val = 0;

	assert_true(irqchip_mmio(chip, 0xfec00000, &sel, 4, true));
	assert_true(irqchip_mmio(chip, 0xfec00010, &val, 4, false));
	return val;
}

/* Redirection entry of a pin: low word, destination. The mask is lifted last. */
static inline void rte(int pin, u32 low, u8 dest)
{
	ioapic_wr(0x11 + 2 * pin, (u32)dest << 24);
	ioapic_wr(0x10 + 2 * pin, low);
}

/* Take and end the highest interrupt of a CPU; -1: none. */
static inline int take(int cpu)
{
	int v = lapic_ack(cpus[cpu].l);

	if (v >= 0)
		lapic_eoi(cpus[cpu].l);
	return v;
}

static inline int raise(u32 gsi, int level) { return irqchip_set_gsi(chip, IRQ_SOURCE_USER, gsi, level); }

#endif
