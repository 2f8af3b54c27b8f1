// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* pic.c - the 8259A pair against Intel's data sheet, programmed as a PC does: vectors 20 and 28. */
#include "irqchip_fixture.h"

static void init_pair(u8 icw4)
{
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, icw4);
	outb(0xa0, 0x11);
	outb(0xa1, 0x28);
	outb(0xa1, 0x02);
	outb(0xa1, 0x01);
	outb(0x21, 0x00);
	outb(0xa1, 0x00);
}

static int pic_setup(void **state)
{
	chip_make(false, 0);
	init_pair(0x01);
	forget();
	return 0;
}

static int ack(void) { return irqchip_pic_ack(chip); }

static u8 isr(u16 port)
{
	outb(port, 0x0b);
	return inb(port);
}

static u8 irr(u16 port)
{
	outb(port, 0x0a);
	return inb(port);
}

static void edge(void **state)
{
	assert_false(irqchip_pic_pending(chip));
	assert_int_equal(ack(), -1);
	assert_int_equal(raise(3, 1), 1);
	assert_true(irqchip_pic_pending(chip));
	assert_int_equal(pic_level, 1);
	assert_int_equal(irr(0x20), 1 << 3);
	assert_int_equal(raise(3, 1), 1);		/* no edge, and nothing lost: as Linux */
	assert_int_equal(ack(), 0x23);
	assert_int_equal(pic_level, 0);
	assert_int_equal(isr(0x20), 1 << 3);
	assert_int_equal(irr(0x20), 0);
	raise(3, 0);
	assert_int_equal(raise(3, 1), 1);
	assert_int_equal(ack(), -1);			/* in service */
	outb(0x20, 0x20);
	assert_int_equal(ack(), 0x23);
	outb(0x20, 0x20);
	/* masked: remembered, told as -1, delivered when opened */
	outb(0x21, 0x08);
	assert_int_equal(inb(0x21), 0x08);
	raise(3, 0);
	assert_int_equal(raise(3, 1), -1);
	assert_int_equal(ack(), -1);
	outb(0x21, 0x00);
	assert_int_equal(ack(), 0x23);
}

/* Fully nested: lower numbers interrupt, higher wait. The slave's eight sit at the master's 2. */
static void nesting(void **state)
{
	raise(4, 1);
	assert_int_equal(ack(), 0x24);
	raise(5, 1);
	assert_int_equal(ack(), -1);
	raise(9, 1);
	assert_int_equal(irr(0xa0), 1 << 1);
	assert_int_equal(ack(), 0x29);
	assert_int_equal(isr(0x20), 1 << 4 | 1 << 2);
	assert_int_equal(isr(0xa0), 1 << 1);
	raise(8, 1);
	assert_int_equal(ack(), -1);			/* the master has its 2 in service */
	outb(0xa0, 0x20);
	outb(0x20, 0x20);				/* non-specific: the most important, 2 */
	assert_int_equal(isr(0x20), 1 << 4);
	assert_int_equal(ack(), 0x28);
	raise(1, 1);
	assert_int_equal(ack(), 0x21);
	outb(0x20, 0x61);				/* specific EOI of 1 */
	outb(0xa0, 0x60);
	outb(0x20, 0x62);
	assert_int_equal(ack(), -1);
	outb(0x20, 0x64);
	assert_int_equal(ack(), 0x25);
	outb(0x20, 0x20);
	assert_int_equal(isr(0x20) | isr(0xa0), 0);
	outb(0x20, 0x20);				/* EOI of nothing */
}

/* Special fully nested mode at the master: the slave may nest in itself. */
static void sfnm(void **state)
{
	init_pair(0x11);
	raise(9, 1);
	assert_int_equal(ack(), 0x29);
	raise(8, 1);
	assert_int_equal(ack(), 0x28);
	assert_int_equal(isr(0xa0), 3);
}

/* Special mask mode: a masked level in service holds nobody back. */
static void special_mask(void **state)
{
	raise(1, 1);
	assert_int_equal(ack(), 0x21);
	raise(6, 1);
	outb(0x21, 0x02);
	assert_int_equal(ack(), -1);
	outb(0x20, 0x68);
	assert_int_equal(ack(), 0x26);
	outb(0x20, 0x20);				/* passes over the masked 1 */
	assert_int_equal(isr(0x20), 1 << 1);
	outb(0x20, 0x48);
	outb(0x20, 0x20);
	assert_int_equal(isr(0x20), 0);
}

/* Rotation: after "rotate on non-specific EOI" the one served is last. */
static void rotation(void **state)
{
	raise(2 + 1, 1);
	assert_int_equal(ack(), 0x23);
	outb(0x20, 0xa0);
	raise(3, 0);
	raise(3, 1);
	raise(4, 1);
	assert_int_equal(ack(), 0x24);			/* 4 is first now, 3 last */
	raise(0, 1);
	assert_int_equal(ack(), -1);			/* 0 is behind 4 */
	outb(0x20, 0x20);
	assert_int_equal(ack(), 0x20);
	outb(0x20, 0x20);
	assert_int_equal(ack(), 0x23);
	outb(0x20, 0xe3);				/* rotate on specific EOI */
	outb(0x20, 0xc7);				/* set priority: 7 last, 0 first again */
	raise(5, 1);
	raise(4, 0);
	raise(4, 1);
	assert_int_equal(ack(), 0x24);
	outb(0x20, 0x20);
	assert_int_equal(ack(), 0x25);
	outb(0x20, 0x20);
}

static void auto_eoi(void **state)
{
	init_pair(0x03);
	raise(5, 1);
	assert_int_equal(ack(), 0x25);
	assert_int_equal(isr(0x20), 0);
	raise(6, 1);
	assert_int_equal(ack(), 0x26);
	outb(0x20, 0x80);				/* rotate in automatic EOI mode */
	raise(5, 0);
	raise(5, 1);
	assert_int_equal(ack(), 0x25);			/* now 6 is first, 5 last */
	raise(5, 0);
	raise(5, 1);
	raise(7, 1);
	assert_int_equal(ack(), 0x27);
	outb(0x20, 0x00);
}

/* Level by ELCR: the request is the line. */
static void level(void **state)
{
	outb(0x4d0, 0xff);
	outb(0x4d1, 0xff);
	assert_int_equal(inb(0x4d0), 0xf8);		/* 0, 1, 2 are edges for good */
	assert_int_equal(inb(0x4d1), 0xde);		/* 8 and 13 too */
	raise(10, 1);
	assert_int_equal(ack(), 0x2a);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_int_equal(ack(), 0x2a);			/* still up */
	raise(10, 0);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_int_equal(ack(), -1);
	raise(10, 1);
	raise(10, 0);					/* gone before anybody looked: IR7, as in Linux */
	assert_int_equal(irr(0xa0), 0);
	assert_int_equal(irr(0x20), 1 << 2);
	assert_int_equal(ack(), 0x2f);
	assert_int_equal(isr(0xa0), 0);
	assert_int_equal(irr(0x20), 0);
	outb(0x20, 0x20);
	assert_int_equal(ack(), -1);
	/* two sources, and an irqfd that resamples */
	irqchip_set_gsi(chip, IRQ_SOURCE_RESAMPLE, 11, 1);
	assert_int_equal(ack(), 0x2b);
	nr_eois = 0;
	outb(0xa0, 0x20);
	assert_int_equal(nr_eois, 1);
	assert_int_equal(eois[0], 11);
	outb(0x20, 0x20);
	assert_int_equal(ack(), -1);
}

static void poll(void **state)
{
	outb(0x20, 0x0c);
	assert_int_equal(inb(0x20), 0x00);
	raise(4, 1);
	outb(0x20, 0x0c);
	assert_int_equal(inb(0x20), 0x84);
	assert_int_equal(isr(0x20), 1 << 4);
	assert_int_equal(pic_level, 0);
	outb(0x20, 0x20);
	/* the slave's, which the master has no part in */
	raise(12, 1);
	outb(0xa0, 0x0c);
	assert_int_equal(inb(0xa0), 0x84);
	assert_int_equal(irr(0x20), 0);
	assert_int_equal(pic_level, 0);
	outb(0xa0, 0x20);
}

/* ICW1 forgets what was going on; a line that is high must rise again. */
static void init_resets(void **state)
{
	raise(4, 1);
	assert_int_equal(ack(), 0x24);
	raise(5, 1);
	outb(0x21, 0xff);
	outb(0x20, 0x11);
	assert_int_equal(irr(0x20) | isr(0x20), 0);
	outb(0x21, 0x47);				/* ICW2: low bits are not vector bits */
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	assert_int_equal(inb(0x21), 0x00);
	raise(4, 0);
	raise(4, 1);
	assert_int_equal(ack(), 0x44);
	/* single, no ICW4: ICW2 ends it */
	outb(0x20, 0x12);
	outb(0x21, 0x60);
	outb(0x21, 0xfe);
	assert_int_equal(inb(0x21), 0xfe);
	/* cascaded without ICW4: ICW3 ends it */
	outb(0x20, 0x10);
	outb(0x21, 0x60);
	outb(0x21, 0x04);
	outb(0x21, 0x7f);
	assert_int_equal(inb(0x21), 0x7f);
}

static void state_pic(void **state)
{
	struct kvm_irqchip m = { .chip_id = 0 }, s = { .chip_id = 1 };

	outb(0x4d1, 0x08);
	outb(0x21, 0xf8);
	raise(1, 1);
	assert_int_equal(ack(), 0x21);
	raise(11, 1);
	assert_int_equal(irqchip_get(chip, &m), 0);
	assert_int_equal(irqchip_get(chip, &s), 0);
	assert_int_equal(m.chip.pic.irq_base, 0x20);
	assert_int_equal(m.chip.pic.imr, 0xf8);
	assert_int_equal(m.chip.pic.isr, 1 << 1);
	assert_int_equal(m.chip.pic.irr, 1 << 2);
	assert_int_equal(s.chip.pic.irq_base, 0x28);
	assert_int_equal(s.chip.pic.irr, 1 << 3);
	assert_int_equal(s.chip.pic.elcr, 0x08);
	assert_int_equal(s.chip.pic.elcr_mask, 0xde);
	teardown(state);
	chip_make(false, 0);
	assert_int_equal(irqchip_set(chip, &m), 0);
	assert_int_equal(irqchip_set(chip, &s), 0);
	assert_int_equal(ack(), -1);
	outb(0x20, 0x20);
	assert_int_equal(ack(), 0x2b);
	memset(&m.chip, 0xff, sizeof(m.chip));
	assert_int_equal(irqchip_set(chip, &m), 0);
	assert_int_equal(inb(0x4d0), 0xf8);
	ack();
	outb(0x21, 0);
	outb(0x20, 0x20);
}

static void ports(void **state)
{
	u32 val = 0;

	assert_false(irqchip_pio(chip, 0x22, &val, 1, false));
	assert_false(irqchip_pio(chip, 0x40, &val, 1, false));	/* no PIT yet */
	assert_false(irqchip_pio(chip, 0x61, &val, 1, false));
	outb(0x21, 0x5a);
	assert_false(irqchip_pio(chip, 0x20, &val, 4, false));	/* 22 and 23 are somebody else's */
	assert_false(irqchip_pio(chip, 0xa1, &val, 2, true));
	assert_true(irqchip_pio(chip, 0x20, &val, 2, false));
	assert_int_equal(val, 0x5a00);
	val = 0xa500;
	assert_true(irqchip_pio(chip, 0x4d0, &val, 2, true));
	assert_int_equal(inb(0x4d1), 0xa5 & 0xde);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, pic_setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(edge), TEST(nesting), TEST(sfnm), TEST(special_mask), TEST(rotation), TEST(auto_eoi), TEST(level),
		TEST(poll), TEST(init_resets), TEST(state_pic), TEST(ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
