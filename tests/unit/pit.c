// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* pit.c - the 8254 against Intel's data sheet, port 0x61, and ticks on GSI 0. */
#include "irqchip_fixture.h"

#define HZ	1193182ULL

static u64 loaded;			/* when the channel under test got its count */

static int pit_setup(void **state)
{
	chip_make(false, 0);
	assert_int_equal(pit_create(chip, KVM_PIT_SPEAKER_DUMMY), 0);
	assert_int_equal(pit_create(chip, KVM_PIT_SPEAKER_DUMMY), -EEXIST);
	enable_all();
	forget();
	return 0;
}

/* Program a channel, low byte then high byte. */
static void program(int ch, int mode, u16 count)
{
	outb(0x43, ch << 6 | 0x30 | mode << 1);
	outb(0x40 + ch, count);
	outb(0x40 + ch, count >> 8);
	loaded = fake_now;
}

/* Go to the middle of clock n since the count was loaded. */
static void clock_at(u64 n)
{
	fake_advance(loaded + (2 * n + 1) * 1000000000ULL / (2 * HZ) - fake_now);
}

static u16 count(int ch)
{
	u8 lo;

	outb(0x43, ch << 6);
	lo = inb(0x40 + ch);
	return lo | inb(0x40 + ch) << 8;
}

static u8 status(int ch)
{
	outb(0x43, 0xe0 | 2 << ch);
	return inb(0x40 + ch);
}

static bool out(int ch) { return status(ch) & 0x80; }

/* Counter and output by clock, for channel 2 with the gate up. Data sheet, "Mode definitions". */
static void modes(void **state)
{
	static const struct { u8 mode; u16 count; u32 clock; u16 val; bool out; } row[] = {
		{ 0, 100, 0, 100, 0 }, { 0, 100, 99, 1, 0 }, { 0, 100, 100, 0, 1 }, { 0, 100, 101, 0xffff, 1 },
		{ 0, 0, 65535, 1, 0 }, { 0, 0, 65536, 0, 1 },
		{ 2, 100, 0, 100, 1 }, { 2, 100, 98, 2, 1 }, { 2, 100, 99, 1, 0 }, { 2, 100, 100, 100, 1 },
		{ 2, 100, 1050, 50, 1 }, { 6, 100, 199, 1, 0 },
		{ 3, 100, 0, 100, 1 }, { 3, 100, 49, 2, 1 }, { 3, 100, 50, 100, 0 }, { 3, 100, 99, 2, 0 },
		{ 3, 100, 100, 100, 1 }, { 7, 100, 150, 100, 0 }, { 3, 0, 0, 0, 1 }, { 3, 0, 32768, 0, 0 },
		{ 4, 100, 99, 1, 1 }, { 4, 100, 100, 0, 0 }, { 4, 100, 101, 0xffff, 1 },
	};
	unsigned int i;

	outb(0x61, 1);
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		program(2, row[i].mode, row[i].count);
		clock_at(row[i].clock);
		if (count(2) != row[i].val || out(2) != row[i].out)
			fail_msg("mode %u count %u clock %u: %u %d, want %u %d", row[i].mode,
				 row[i].count, row[i].clock, count(2), out(2), row[i].val,
				 row[i].out);
		assert_int_equal(!!(inb(0x61) & 0x20), row[i].out);
	}
	/* odd square wave: high for (n + 1) / 2 */
	program(2, 3, 101);
	clock_at(50);
	assert_true(out(2));
	clock_at(51);
	assert_false(out(2));
}

/* The gate: stops 0 and 4, restarts 2 and 3, triggers 1 and 5. */
static void gate(void **state)
{
	outb(0x61, 0);
	program(2, 0, 100);
	clock_at(50);
	assert_int_equal(count(2), 100);
	outb(0x61, 1);
	loaded = fake_now;
	clock_at(30);
	assert_int_equal(count(2), 70);
	outb(0x61, 0);
	clock_at(1000);
	assert_int_equal(count(2), 70);
	assert_false(out(2));
	outb(0x61, 3);
	assert_int_equal(inb(0x61) & 0x23, 3);
	loaded = fake_now;
	clock_at(70);
	assert_true(out(2));
	program(2, 2, 100);
	clock_at(99);
	assert_false(out(2));
	outb(0x61, 0);
	assert_true(out(2));				/* gate low: output high at once */
	clock_at(150);
	outb(0x61, 1);
	loaded = fake_now;
	clock_at(10);
	assert_int_equal(count(2), 90);
	/* one-shot by hardware trigger */
	outb(0x61, 0);
	program(2, 1, 100);
	assert_true(out(2));
	clock_at(200);
	assert_true(out(2));
	outb(0x61, 1);
	loaded = fake_now;
	clock_at(50);
	assert_false(out(2));
	clock_at(100);
	assert_true(out(2));
	outb(0x61, 0);
	outb(0x61, 1);					/* again */
	assert_false(out(2));
	program(2, 5, 100);
	outb(0x61, 0);
	outb(0x61, 1);
	loaded = fake_now;
	clock_at(99);
	assert_true(out(2));
	clock_at(100);
	assert_false(out(2));
	clock_at(101);
	assert_true(out(2));
}

static void latches(void **state)
{
	outb(0x61, 1);
	program(2, 2, 0x1234);
	clock_at(0x34);
	outb(0x43, 0x80);				/* counter latch */
	clock_at(0x100);
	outb(0x43, 0x80);				/* ignored until the first is read */
	assert_int_equal(inb(0x42), 0x00);
	assert_int_equal(inb(0x42), 0x12);
	/* unlatched: two reads, low then high */
	assert_int_equal(inb(0x42), 0x34);
	assert_int_equal(inb(0x42), 0x11);
	/* read-back of count and status: status comes first */
	outb(0x43, 0xc8);
	assert_int_equal(inb(0x42), 0x80 | 0x30 | 2 << 1);
	assert_int_equal(inb(0x42), 0x34);
	assert_int_equal(inb(0x42), 0x11);
	/* null count from the control word to the last byte of the count */
	outb(0x43, 0xb0);
	assert_int_equal(status(2), 0x40 | 0x30);
	outb(0x42, 0x10);
	assert_int_equal(status(2), 0x40 | 0x30);
	outb(0x42, 0x00);
	assert_int_equal(status(2), 0x30);
	/* one byte only */
	outb(0x43, 0x94);
	outb(0x42, 0x50);
	loaded = fake_now;
	clock_at(0x20);
	assert_int_equal(inb(0x42), 0x30);
	assert_int_equal(inb(0x42), 0x30);
	outb(0x43, 0x80);
	clock_at(0x21);
	assert_int_equal(inb(0x42), 0x30);
	assert_int_equal(inb(0x42), 0x2f);
	outb(0x43, 0xa4);
	outb(0x42, 0x50);
	loaded = fake_now;
	clock_at(0x100);
	assert_int_equal(inb(0x42), 0x4f);
	/* BCD: 0 is 10000 */
	outb(0x43, 0xb5);
	outb(0x42, 0x34);
	outb(0x42, 0x12);
	loaded = fake_now;
	clock_at(35);
	assert_int_equal(count(2), 0x1199);
	outb(0x43, 0xb1);
	outb(0x42, 0x00);
	outb(0x42, 0x00);
	loaded = fake_now;
	clock_at(1);
	assert_int_equal(count(2), 0x9999);
	assert_int_equal(inb(0x43), 0xff);
}

static void refresh_toggles(void **state)
{
	int i, changes = 0;
	u8 last = inb(0x61) & 0x10;

	for (i = 0; i < 1000; i++) {
		fake_advance(1000);
		changes += (inb(0x61) & 0x10) != last;
		last = inb(0x61) & 0x10;
	}
	assert_in_range(changes, 50, 70);		/* 15 us or so */
}

/*
 * Ticks of channel 0 through the I/O APIC at 1000 Hz: as many as time says, however late they come.
 */
static void ticks(void **state)
{
	u64 start;
	int i, n = 0;

	rte(0, 0x50, 0);
	outb(0x21, 0xff);
	program(0, 2, 1193);
	start = fake_now;
	for (i = 0; i < 1000; i++) {
		fake_advance(1000000);
		n += take(0) == 0x50;
	}
	assert_in_range(n, (fake_now - start) * HZ / 1193 / 1000000000 - 1,
			(fake_now - start) * HZ / 1193 / 1000000000);
	/* a CPU that was away for 5 ms gets every tick after it: one more with each EOI */
	fake_advance_late(5000000);
	for (i = 0; take(0) == 0x50; i++)
		;
	assert_in_range(i, 4, 6);
	/* without reinjection: one */
	assert_int_equal(pit_reinject(chip, false), 0);
	fake_advance_late(5000000);
	assert_int_equal(take(0), 0x50);
	assert_int_equal(take(0), -1);
	/* a new mode stops them */
	outb(0x43, 0x30);
	fake_advance(10000000);
	assert_int_equal(take(0), -1);
	outb(0x40, 100);
	outb(0x40, 0);
	fake_advance(83809);
	assert_int_equal(take(0), -1);
	fake_advance(1000);
	assert_int_equal(take(0), 0x50);
	assert_int_equal(fake_next_timer(), 0);
	/* faster than 200 us is not served faster */
	program(0, 2, 2);
	for (i = 0, start = fake_now; i < 10; i++) {
		fake_advance(fake_next_timer() - fake_now);
		take(0);
	}
	assert_in_range(fake_now - start, 2000000, 2100000);
}

/* Through the 8259; ticks that nobody listens to do not pile up. */
static void ticks_pic(void **state)
{
	int i, n = 0;

	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	outb(0x21, 0xff);
	program(0, 3, 11932);				/* 100 Hz */
	fake_advance(1000000000);
	outb(0x21, 0xfe);
	for (i = 0; irqchip_pic_ack(chip) == 0x20; i++)
		outb(0x20, 0x20);
	assert_int_equal(i, 1);				/* the latched one */
	for (i = 0; i < 100; i++) {
		fake_advance(10000000);
		while (irqchip_pic_ack(chip) == 0x20) {
			n++;
			outb(0x20, 0x20);
		}
	}
	assert_in_range(n, 99, 101);
	/* no EOI for a second: they wait, then come */
	fake_advance_late(10000000);
	assert_int_equal(irqchip_pic_ack(chip), 0x20);
	fake_advance(1000000000);
	assert_int_equal(irqchip_pic_ack(chip), -1);
	for (n = 0; n < 1000; n++) {
		outb(0x20, 0x20);
		if (irqchip_pic_ack(chip) != 0x20)
			break;
	}
	assert_in_range(n, 98, 102);
}

static void state_pit(void **state)
{
	struct kvm_pit_state2 s;

	rte(0, 0x50, 0);
	outb(0x61, 3);
	program(2, 2, 1000);
	program(0, 2, 11932);
	clock_at(500);
	assert_int_equal(pit_get(chip, &s), 0);
	assert_int_equal(s.channels[0].count, 11932);
	assert_int_equal(s.channels[0].mode, 2);
	assert_int_equal(s.channels[0].rw_mode, 3);
	assert_true((u64)s.channels[0].count_load_time == loaded);
	assert_int_equal(s.channels[2].gate, 1);
	assert_int_equal(s.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	teardown(state);
	chip_make(false, 0);
	assert_int_equal(pit_get(chip, &s), -ENXIO);
	assert_int_equal(pit_set(chip, &s), -ENXIO);
	assert_int_equal(pit_reinject(chip, true), -ENXIO);
	assert_int_equal(pit_create(chip, KVM_PIT_SPEAKER_DUMMY), 0);
	enable_all();
	rte(0, 0x50, 0);
	assert_int_equal(pit_set(chip, &s), 0);
	assert_int_equal(count(2), 500);
	assert_int_equal(inb(0x61) & 3, 3);
	clock_at(11931);
	assert_int_equal(take(0), -1);
	clock_at(11932);
	assert_int_equal(take(0), 0x50);
	/* HPET in legacy mode owns the interrupt */
	s.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	assert_int_equal(pit_set(chip, &s), 0);
	fake_advance(100000000);
	assert_int_equal(take(0), -1);
	/* nonsense */
	memset(&s, 0xff, sizeof(s));
	assert_int_equal(pit_set(chip, &s), 0);
	count(0);
	count(2);
	status(1);
	memset(&s, 0, sizeof(s));
	s.channels[0].mode = 2;
	s.channels[0].count_load_time = 0x7fffffffffffffffLL;
	assert_int_equal(pit_set(chip, &s), 0);
	fake_advance(54925000);
	assert_int_equal(take(0), -1);
	fake_advance(1000);
	assert_int_equal(take(0), 0x50);
}

static void no_speaker_port(void **state)
{
	u8 val;

	chip_make(false, 0);
	assert_int_equal(pit_create(chip, 0), 0);
	assert_false(irqchip_pio(chip, 0x61, &val, 1, false));
	assert_true(irqchip_pio(chip, 0x40, &val, 1, false));
	teardown(state);
	chip_make(true, 24);
	assert_int_equal(pit_create(chip, 0), -ENOENT);
	teardown(state);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, pit_setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(modes), TEST(gate), TEST(latches), TEST(refresh_toggles), TEST(ticks), TEST(ticks_pic),
		TEST(state_pit), cmocka_unit_test(no_speaker_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
