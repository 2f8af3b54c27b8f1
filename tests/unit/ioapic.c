// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * ioapic.c - the I/O APIC against the 82093AA data sheet, and the habits of KVM's that clients
 * know.
 */
#include "irqchip_fixture.h"

#define REMOTE_IRR	0x4000

static int ioapic_setup(void **state)
{
	chip_make(false, 0);
	enable_all();
	outb(0x21, 0xff);	/* GSIs below 16 go to the 8259s too */
	outb(0xa1, 0xff);
	return 0;
}

static void registers(void **state)
{
	u32 val = 0x12345678;
	u8 buf[8];
	int pin;

	assert_int_equal(ioapic_rd(0x01), 0x00170011);		/* 24 entries, version 11 */
	assert_int_equal(ioapic_rd(0x00), 0);
	ioapic_wr(0x00, 0xffffffff);
	assert_int_equal(ioapic_rd(0x00), 0x0f000000);
	assert_int_equal(ioapic_rd(0x02), 0x0f000000);
	ioapic_wr(0x01, 0);					/* read-only */
	assert_int_equal(ioapic_rd(0x01), 0x00170011);
	for (pin = 0; pin < 24; pin++)
		assert_int_equal(ioapic_rd(0x10 + 2 * pin), 0x10000);
	/* delivery status and remote IRR cannot be written, reserved bits read 0 */
	rte(3, 0xffffffff, 0xff);
	assert_int_equal(ioapic_rd(0x16), 0x1afff);
	assert_int_equal(ioapic_rd(0x17), 0xff000000);
	/* beyond the table, between registers, beyond the window */
	ioapic_wr(0x40, 0x55);
	assert_int_equal(ioapic_rd(0x40), 0xffffffff);
	ioapic_wr(0xff, 0x55);
	assert_true(irqchip_mmio(chip, 0xfec00004, &val, 4, true));
	/* no EOI register in this version */
	assert_true(irqchip_mmio(chip, 0xfec00040, &val, 4, true));
	assert_true(irqchip_mmio(chip, 0xfec00020, &val, 4, false));
	assert_int_equal(val, 0);
	assert_false(irqchip_mmio(chip, 0xfec00100, &val, 4, false));
	assert_false(irqchip_mmio(chip, 0xfec000fe, &val, 4, false));
	assert_false(irqchip_mmio(chip, 0xfebfffff, &val, 1, false));
	/* between the registers and the table */
	assert_int_equal(ioapic_rd(0x08), 0);
	/* narrow and wide reads */
	ioapic_rd(0x01);
	assert_true(irqchip_mmio(chip, 0xfec00000, &val, 4, false));
	assert_int_equal(val, 1);
	assert_true(irqchip_mmio(chip, 0xfec00010, buf, 1, false));
	assert_int_equal(buf[0], 0x11);
	assert_true(irqchip_mmio(chip, 0xfec00012, buf, 1, false));
	assert_int_equal(buf[0], 0x17);
	assert_true(irqchip_mmio(chip, 0xfec00010, buf, 8, false));
	assert_memory_equal(buf, "\x11\x00\x17\x00\x00\x00\x00\x00", 8);
}

static void edge(void **state)
{
	rte(4, 0x44, 1);
	assert_int_equal(raise(4, 1), 1);
	assert_int_equal(take(1), 0x44);
	raise(4, 1);					/* still high: no edge */
	assert_int_equal(take(1), -1);
	raise(4, 0);
	raise(4, 1);
	assert_int_equal(take(1), 0x44);
	/* an edge that meets the mask is lost */
	raise(4, 0);
	rte(4, 0x10044, 1);
	assert_int_equal(irqchip_set_gsi(chip, IRQ_SOURCE_USER, 20, 1), -1);
	raise(4, 1);
	rte(4, 0x44, 1);
	assert_int_equal(take(1), -1);
	raise(4, 0);
	raise(4, 1);
	assert_int_equal(take(1), 0x44);
	/* a vector below 16 is taken by nobody */
	rte(21, 0x05, 1);
	assert_int_equal(raise(21, 1), 0);
}

/* What KVM_IRQ_LINE_STATUS tells of an APIC that takes no interrupts, by whichever destination, and of none at all. */
static void status(void **state)
{
	wr(1, 0xd0, 0x02000000);
	wr(1, 0xf0, 0xff);				/* disabled by software */
	rte(20, 0x44, 1);
	assert_int_equal(raise(20, 1), 0);
	raise(20, 0);
	rte(20, 0x844, 2);				/* the same, logical */
	assert_int_equal(raise(20, 1), 0);
	raise(20, 0);
	assert_int_equal(lapic_set_base_msr(cpus[1].l, 0xfee00000, false), 0);
	assert_int_equal(raise(20, 1), -1);
	raise(20, 0);
	rte(20, 0x44, 1);
	assert_int_equal(raise(20, 1), -1);
	raise(20, 0);
	rte(20, 0x44, 0x77);				/* nobody has this id */
	assert_int_equal(raise(20, 1), -1);
}

/* Level: remote IRR blocks until the EOI; the line is looked at again then. */
static void level(void **state)
{
	rte(10, 0x8055, 2);
	raise(10, 1);
	assert_int_equal(ioapic_rd(0x24), 0x8055 | REMOTE_IRR);
	assert_int_equal(lapic_ack(cpus[2].l), 0x55);
	raise(10, 0);
	raise(10, 1);
	assert_int_equal(lapic_pending(cpus[2].l), -1);
	assert_int_equal(rd(2, 0x220), 0);
	lapic_eoi(cpus[2].l);				/* still up: again */
	assert_int_equal(lapic_ack(cpus[2].l), 0x55);
	raise(10, 0);
	lapic_eoi(cpus[2].l);
	assert_int_equal(lapic_pending(cpus[2].l), -1);
	assert_int_equal(ioapic_rd(0x24), 0x8055);
	/* masked while up, then opened: delivered */
	rte(10, 0x18055, 2);
	raise(10, 1);
	assert_int_equal(lapic_pending(cpus[2].l), -1);
	rte(10, 0x8055, 2);
	assert_int_equal(lapic_ack(cpus[2].l), 0x55);
	/* without an EOI register software clears remote IRR by edge mode and back */
	rte(10, 0x10055, 2);
	assert_int_equal(ioapic_rd(0x24), 0x10055);
	/* masked at EOI time: not delivered */
	rte(10, 0x8055, 2);
	lapic_eoi(cpus[2].l);
	assert_int_equal(lapic_ack(cpus[2].l), 0x55);
	ioapic_wr(0x24, 0x18055);
	assert_int_equal(ioapic_rd(0x24), 0x18055 | REMOTE_IRR);
	lapic_eoi(cpus[2].l);
	assert_int_equal(ioapic_rd(0x24), 0x18055);
	assert_int_equal(take(2), -1);
}

/* A line is the OR of its sources. */
static void sources(void **state)
{
	rte(11, 0x8056, 1);
	irqchip_set_gsi(chip, IRQ_SOURCE_USER, 11, 1);
	irqchip_set_gsi(chip, IRQ_SOURCE_PIT, 11, 1);
	irqchip_set_gsi(chip, IRQ_SOURCE_USER, 11, 0);
	assert_int_equal(take(1), 0x56);
	assert_int_equal(take(1), 0x56);		/* the other source holds it */
	irqchip_set_gsi(chip, IRQ_SOURCE_PIT, 11, 0);
	assert_int_equal(take(1), 0x56);
	assert_int_equal(take(1), -1);
	assert_int_equal(irqchip_set_gsi(chip, 7, 11, 1), -EINVAL);
	assert_int_equal(irqchip_set_gsi(chip, 0, 24, 1), -1);
	assert_int_equal(irqchip_set_gsi(chip, 0, 0xffffffff, 1), -1);
}

/* Up and down: an edge each time, and a level that does not stay. */
static void pulses(void **state)
{
	rte(11, 0x57, 1);
	assert_int_equal(irqchip_pulse_gsi(chip, IRQ_SOURCE_USER, 11), 1);
	assert_int_equal(take(1), 0x57);
	assert_int_equal(irqchip_pulse_gsi(chip, IRQ_SOURCE_USER, 11), 1);
	assert_int_equal(take(1), 0x57);
	rte(11, 0x8057, 1);
	assert_int_equal(irqchip_pulse_gsi(chip, IRQ_SOURCE_PIT, 11), 1);
	assert_int_equal(take(1), 0x57);
	assert_int_equal(take(1), -1);
	assert_int_equal(irqchip_pulse_gsi(chip, 7, 11), -EINVAL);
	assert_int_equal(irqchip_pulse_gsi(chip, IRQ_SOURCE_USER, 24), -1);
}

/* What a resampling irqfd raised falls at the EOI, and its owner hears of it. */
static void resample(void **state)
{
	rte(16, 0x8057, 1);
	irqchip_set_gsi(chip, IRQ_SOURCE_RESAMPLE, 16, 1);
	assert_int_equal(take(1), 0x57);
	assert_int_equal(nr_eois, 1);
	assert_int_equal(eois[0], 16);
	assert_int_equal(take(1), -1);
	/* with an ordinary source beside it, the line stays up */
	irqchip_set_gsi(chip, IRQ_SOURCE_RESAMPLE, 16, 1);
	raise(16, 1);
	assert_int_equal(take(1), 0x57);
	assert_int_equal(take(1), 0x57);
	raise(16, 0);
}

static void delivery(void **state)
{
	int c, hits = 0;

	for (c = 0; c < MAX_CPUS; c++)
		wr(c, 0xd0, 1U << (24 + c));
	rte(17, 0x0858, 0x0c);				/* logical, CPUs 2 and 3 */
	assert_int_equal(raise(17, 1), 2);
	assert_int_equal(take(2), 0x58);
	assert_int_equal(take(3), 0x58);
	rte(18, 0x0959, 0x0f);				/* lowest priority */
	assert_int_equal(raise(18, 1), 1);
	for (c = 0; c < MAX_CPUS; c++)
		hits += take(c) == 0x59;
	assert_int_equal(hits, 1);
	rte(19, 0x0400, 1);				/* NMI */
	raise(19, 1);
	assert_int_equal(cpus[1].nmis, 1);
	rte(20, 0x0500, 1);				/* INIT */
	raise(20, 1);
	assert_int_equal(cpus[1].inits, 1);
	rte(22, 0x0060, 0xff);				/* broadcast */
	assert_int_equal(raise(22, 1), 4);
	for (c = 0; c < MAX_CPUS; c++)
		assert_int_equal(take(c), 0x60);
	rte(23, 0x8061, 9);				/* nobody there: remote IRR stays clear */
	assert_int_equal(raise(23, 1), -1);
	assert_int_equal(ioapic_rd(0x3e), 0x8061);
}

/* KVM_GET_IRQCHIP and KVM_SET_IRQCHIP: lines that are up are not lost */
static void state_ioapic(void **state)
{
	struct kvm_irqchip s = { .chip_id = KVM_IRQCHIP_IOAPIC };

	rte(12, 0x8062, 1);
	rte(13, 0x0063, 1);
	raise(12, 1);
	assert_int_equal(irqchip_get(chip, &s), 0);
	assert_true(s.chip.ioapic.base_address == 0xfec00000);
	assert_int_equal(s.chip.ioapic.irr, 1 << 12);
	assert_int_equal(s.chip.ioapic.redirtbl[12].fields.vector, 0x62);
	assert_int_equal(s.chip.ioapic.redirtbl[12].fields.trig_mode, 1);
	assert_int_equal(s.chip.ioapic.redirtbl[12].fields.remote_irr, 1);
	assert_int_equal(s.chip.ioapic.redirtbl[12].fields.dest_id, 1);
	assert_int_equal(take(1), 0x62);
	teardown(state);
	ioapic_setup(state);
	s.chip.ioapic.redirtbl[12].fields.remote_irr = 0;
	assert_int_equal(irqchip_set(chip, &s), 0);
	assert_int_equal(take(1), 0x62);
	raise(13, 1);
	assert_int_equal(take(1), 0x63);
	s.chip_id = 3;
	assert_int_equal(irqchip_get(chip, &s), -EINVAL);
	assert_int_equal(irqchip_set(chip, &s), -EINVAL);
	/* nonsense */
	memset(&s, 0xff, sizeof(s));
	s.chip_id = KVM_IRQCHIP_IOAPIC;
	s.chip.ioapic.base_address = 0xfec00000;
	assert_int_equal(irqchip_set(chip, &s), 0);
	ioapic_rd(0xff);
	assert_int_equal(ioapic_rd(0x01), 0x00170011);
	assert_int_equal(ioapic_rd(0x10), 0x1efff);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, ioapic_setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(registers), TEST(edge), TEST(status), TEST(level), TEST(sources), TEST(pulses), TEST(resample), TEST(delivery),
		TEST(state_ioapic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
