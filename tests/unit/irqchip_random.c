// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * irqchip_random.c - a guest and a client that program nonsense: every register, port, MSR and
 * state call with random values, while time passes. Nothing may crash, hang, or break what the rest
 * of the system relies on: vectors that come out are 16 or above (local APIC), priorities are kept,
 * timers do not fire more often than every 200 us.
 */
#include "irqchip_fixture.h"

static u64 seed;
static struct {
	u64 fired, time;
} load;

static u32 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed >> 16;
}

/* Values near the interesting ones more often than not. */
static u64 rnd_value(void)
{
	switch (rnd() % 5) {
	case 0:
		return rnd();
	case 1:
		return 1ULL << rnd() % 64;
	case 2:
		return (u64)rnd() << 32 | rnd();
	case 3:
		return rnd() & 0xff;
	default:
		return rnd() % 3 ? rnd() & 0x6ffff : ~0ULL;
	}
}

static void rnd_bytes(void *p, size_t n)
{
	u8 *b = p;

	while (n--)
		*b++ = rnd() % 3 ? 0 : rnd();
}

static void local_apic(struct cpu *c)
{
	static const u16 hot[] = { 0x80, 0xb0, 0xd0, 0xe0, 0xf0, 0x280, 0x300, 0x310, 0x320, 0x350, 0x370, 0x380, 0x3e0 };
	struct kvm_lapic_state s;
	u64 val = rnd_value();
	u8 buf[8];
	int i;

	switch (rnd() % 12) {
	case 0:
		lapic_mmio(c->l, rnd() % 0x1010, memcpy(buf, &val, 8), 1 << rnd() % 4, rnd() & 1);
		break;
	case 1: case 2: case 3: case 4:
		lapic_mmio(c->l, hot[rnd() % ARRAY_SIZE(hot)], &val, 4, true);
		break;
	case 5:
		lapic_msr_write(c->l, 0x800 + rnd() % 0x48, val);
		lapic_msr_read(c->l, 0x800 + rnd() % 0x100, &val);
		break;
	case 6:
		if (lapic_set_base_msr(c->l, rnd() % 4 ? 0xfee00800 | (rnd() & 0x400) : val,
				       rnd() & 1) == 0)
			assert_true(lapic_enabled(c->l) || !lapic_x2apic(c->l));
		break;
	case 7:
		lapic_set_tscdeadline(c->l, rnd() % 4 ? sink_tsc(c) + val % 10000000 : val);
		break;
	case 8:
		lapic_set_cr8(c->l, val);
		break;
	case 9:
		if (rnd() % 16)
			break;
		rnd_bytes(&s, sizeof(s));
		lapic_set_state(c->l, &s);
		lapic_get_state(c->l, &s);
		break;
	case 10:
		if (!(rnd() % 64))
			lapic_reset(c->l, rnd() & 1);
		break;
	default:
		if (rnd() & 1)
			lapic_eoi(c->l);
		i = lapic_pending(c->l);
		assert_true(i == -1 || i >= 16);
		assert_int_equal(lapic_ack(c->l), i);
		/* what was taken, or anything less important, does not come again before its EOI */
		if (i >= 0)
			assert_true(lapic_pending(c->l) < (i & 0xf0));
		break;
	}
}

static void rest(void)
{
	static const u16 port[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61 };
	struct kvm_irq_routing_entry e[4];
	struct kvm_pit_state2 pit;
	struct kvm_irqchip s;
	u64 val = rnd_value();
	int i;

	switch (rnd() % 10) {
	case 0: case 1: case 2:
		irqchip_pio(chip, port[rnd() % ARRAY_SIZE(port)], &val,
			    rnd() % 8 ? 1 : 1 << rnd() % 3, rnd() % 4);
		break;
	case 3: case 4:
		val = rnd() % 8 ? 0x10 + rnd() % 48 : rnd();
		irqchip_mmio(chip, 0xfec00000, &val, 4, true);
		val = rnd() % 2 ? rnd_value() & ~0x10000ULL : rnd_value();
		irqchip_mmio(chip, 0xfec00010, &val, 4, true);
		irqchip_mmio(chip, 0xfec00000 + rnd() % 0x110, &val, 1 << rnd() % 4, rnd() % 2);
		break;
	case 5: case 6:
		i = irqchip_set_gsi(chip, rnd() % 4, rnd() % 26, rnd() & 1);
		assert_in_range(i + 100, 0, 100 + MAX_CPUS + 2);
		break;
	case 7:
		assert_in_range(irqchip_send_msi(chip, val, rnd_value()), 0, MAX_CPUS);
		i = irqchip_pic_ack(chip);
		assert_true(i >= -1 && i < 256);
		break;
	case 8:
		if (rnd() % 32)
			break;
		rnd_bytes(&s, sizeof(s));
		s.chip_id = rnd() % 4;
		irqchip_set(chip, &s);
		irqchip_get(chip, &s);
		rnd_bytes(&pit, sizeof(pit));
		pit_set(chip, &pit);
		pit_get(chip, &pit);
		pit_reinject(chip, rnd() & 1);
		break;
	default:
		if (rnd() % 32)
			break;
		for (i = 0; i < 4; i++) {
			rnd_bytes(&e[i], sizeof(e[i]));
			e[i].gsi = rnd() % 26;
			e[i].type = 1 + rnd() % 2;
			e[i].flags = 0;
			e[i].u.irqchip.irqchip = rnd() % 3;
			e[i].u.irqchip.pin = rnd() % 8;
		}
		irqchip_set_routing(chip, e, rnd() % 5);
		break;
	}
}

/* Time passes; how many timers fire is the load a guest can put on the host. */
static void pass_time(void)
{
	u64 end = fake_now + rnd() % 500000, next;

	while ((next = fake_next_timer()) && next <= end) {
		load.time += next > fake_now ? next - fake_now : 0;
		fake_now = max(next, fake_now);
		fake_run_timers();
		load.fired++;
	}
	load.time += end - fake_now;
	fake_now = end;
}

static void run(bool split)
{
	int i, times = 0;

	chip_make(split, 24);
	if (!split)
		assert_int_equal(pit_create(chip, KVM_PIT_SPEAKER_DUMMY), 0);
	enable_all();
	load.fired = load.time = 0;
	for (i = 0; i < 300000; i++) {
		if (rnd() % 3)
			local_apic(&cpus[rnd() % MAX_CPUS]);
		else
			rest();
		if (rnd() % 8 == 0) {
			pass_time();
			times++;
		}
		assert_int_equal(fake_locks_held, 0);
	}
	/* four periodic timers and a PIT, each at most once in 200 us, and one-shots once for every
	 * arming */
	assert_true(load.fired < load.time / 200000 * 5 + 300000);
	teardown(NULL);
}

static void nonsense(void **state)
{
	seed = 0x9e3779b97f4a7c15ULL;
	run(false);
}

static void nonsense_split(void **state)
{
	seed = 0xd1b54a32d192ed03ULL;
	run(true);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nonsense), cmocka_unit_test(nonsense_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
