// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * route.c - GSI routing and MSIs: kernel Documentation/virt/kvm/api.rst, Intel SDM volume 3A 11.11.
 */
#include "irqchip_fixture.h"

#define PIN(g, c, p) { .gsi = g, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { c, p } }
#define MSI(g, lo, d) { .gsi = g, .type = KVM_IRQ_ROUTING_MSI, \
			.u.msi = { .address_lo = lo, .data = d } }

static int set(const struct kvm_irq_routing_entry *e, u32 nr) { return irqchip_set_routing(chip, e, nr); }

/* GSI n is I/O APIC pin n and, below 16, an 8259 input */
static void defaults(void **state)
{
	int gsi;

	enable_all();
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	outb(0xa0, 0x11);
	outb(0xa1, 0x28);
	outb(0xa1, 0x02);
	outb(0xa1, 0x01);
	for (gsi = 0; gsi < 24; gsi++) {
		rte(gsi, 0x40 + gsi, 1);
		assert_true(raise(gsi, 1) > 0);
		raise(gsi, 0);
		assert_int_equal(take(1), 0x40 + gsi);
		if (gsi == 2)
			continue;			/* the cascade */
		assert_int_equal(irqchip_pic_ack(chip), gsi < 16 ? 0x20 + gsi : -1);
		outb(0xa0, 0x20);
		outb(0x20, 0x20);
	}
	assert_int_equal(raise(24, 1), -1);
}

static void rejected(void **state)
{
	static const struct { const char *what; struct kvm_irq_routing_entry e[2]; int nr; } row[] = {
		{ "master pin 8", { PIN(0, 0, 8) }, 1 },
		{ "slave pin 8", { PIN(0, 1, 8) }, 1 },
		{ "ioapic pin 24", { PIN(0, 2, 24) }, 1 },
		{ "chip 3", { PIN(0, 3, 0) }, 1 },
		{ "gsi 4096", { PIN(4096, 2, 0) }, 1 },
		{ "type 0", { { .gsi = 1 } }, 1 },
		{ "type 4", { { .gsi = 1, .type = KVM_IRQ_ROUTING_HV_SINT } }, 1 },
		{ "flags", { { .gsi = 1, .type = KVM_IRQ_ROUTING_MSI, .flags = KVM_MSI_VALID_DEVID << 1 } }, 1 },
		{ "same chip twice", { PIN(5, 2, 1), PIN(5, 2, 2) }, 2 },
		{ "msi and pin", { MSI(5, 0xfee00000, 0x40), PIN(5, 2, 2) }, 2 },
		{ "pin and msi", { PIN(5, 2, 2), MSI(5, 0xfee00000, 0x40) }, 2 },
		{ "two msis", { MSI(5, 0xfee00000, 0x40), MSI(5, 0xfee00000, 0x41) }, 2 },
	};
	unsigned int i;

	enable_all();
	rte(5, 0x55, 1);
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		if (set(row[i].e, row[i].nr) != -EINVAL)
			fail_msg("%s was not refused", row[i].what);
		raise(5, 1);				/* the old table is in force */
		raise(5, 0);
		assert_int_equal(take(1), 0x55);
	}
}

static void replaced(void **state)
{
	static struct kvm_irq_routing_entry many[4097];
	static const struct kvm_irq_routing_entry e[] = {
		PIN(0, 2, 2), PIN(7, 0, 3), PIN(7, 1, 4), PIN(7, 2, 9), MSI(4095, 0xfee00000 | 2 << 12, 0x61),
	};
	int i;

	enable_all();
	assert_int_equal(set(e, ARRAY_SIZE(e)), 0);
	rte(2, 0x42, 1);
	assert_int_equal(raise(0, 1), 1);
	assert_int_equal(take(1), 0x42);
	assert_int_equal(raise(5, 1), -1);		/* no longer there */
	rte(9, 0x49, 1);
	assert_int_equal(raise(7, 1), 3);		/* all three chips */
	assert_int_equal(take(1), 0x49);
	assert_int_equal(raise(4095, 1), 1);
	assert_int_equal(take(2), 0x61);
	assert_int_equal(raise(4095, 0), -1);
	for (i = 0; i < 4097; i++)
		many[i] = (struct kvm_irq_routing_entry)MSI(i % 4096, 0xfee00000, 0x40);
	assert_int_equal(set(many, 4096), 0);
	assert_int_equal(set(many, 4097), -EINVAL);
	assert_int_equal(set(NULL, 0), 0);
	assert_int_equal(raise(0, 1), -1);
}

/* The EOI is told by GSI, not by pin. */
static void eoi_by_gsi(void **state)
{
	static const struct kvm_irq_routing_entry e[] = { PIN(40, 2, 9) };

	enable_all();
	assert_int_equal(set(e, 1), 0);
	rte(9, 0x8049, 1);
	irqchip_set_gsi(chip, IRQ_SOURCE_RESAMPLE, 40, 1);
	assert_int_equal(take(1), 0x49);
	assert_int_equal(nr_eois, 1);
	assert_int_equal(eois[0], 40);
	assert_int_equal(take(1), -1);
}

/* SDM 3A 11.11.1, 11.11.2 */
static void msi(void **state)
{
	int c, hits = 0;

	enable_all();
	for (c = 0; c < MAX_CPUS; c++)
		wr(c, 0xd0, 1U << (24 + c));
	assert_int_equal(irqchip_send_msi(chip, 0xfee01000, 0x4031), 1);
	assert_int_equal(take(1), 0x31);
	assert_int_equal(irqchip_send_msi(chip, 0xfee09000, 0x4031), 0);	/* nobody */
	assert_int_equal(irqchip_send_msi(chip, 0xfee0a004, 0x0032), 2);	/* logical */
	assert_int_equal(take(1), 0x32);
	assert_int_equal(take(3), 0x32);
	/* redirection hint: one of them */
	assert_int_equal(irqchip_send_msi(chip, 0xfee0f00c, 0x0033), 1);
	/* lowest priority */
	assert_int_equal(irqchip_send_msi(chip, 0xfee0f004, 0x0134), 1);
	for (c = 0; c < MAX_CPUS; c++)
		while (take(c) >= 0)
			hits++;
	assert_int_equal(hits, 2);
	assert_int_equal(irqchip_send_msi(chip, 0xfeeff000, 0x0035), 4);	/* broadcast */
	assert_int_equal(irqchip_send_msi(chip, 0xfee02000, 0x0400), 1);
	assert_int_equal(cpus[2].nmis, 1);
	wr(3, 0xf0, 0xff);
	assert_int_equal(irqchip_send_msi(chip, 0xfee03000, 0x0036), 0);	/* blocked */
}

/* KVM_CAP_X2APIC_API: 32-bit ids in the upper address, and 0xff as an id like any other */
static void msi_x2apic(void **state)
{
	static const struct kvm_irq_routing_entry bad = {
		.gsi = 1, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_hi = 1 } };
	struct lapic *big;
	int c;

	assert_int_equal(lapic_create(&big, chip, &cpus[3], 0x1ff), 0);
	x2apic_all();
	assert_int_equal(lapic_set_base_msr(big, 0xfee00c00, false), 0);
	assert_int_equal(lapic_msr_write(big, 0x80f, 0x1ff), 0);
	/* without the capability the upper half is not looked at, and 0xff means all */
	assert_int_equal(irqchip_send_msi(chip, 0x100fee01000, 0x41), 1);
	assert_int_equal(take(1), 0x41);
	assert_int_equal(irqchip_send_msi(chip, 0xfeeff000, 0x42), 5);
	for (c = 0; c < MAX_CPUS; c++)
		assert_int_equal(take(c), 0x42);
	assert_int_equal(lapic_ack(big), 0x42);
	lapic_eoi(big);
	irqchip_set_x2apic_api(chip, KVM_X2APIC_API_USE_32BIT_IDS |
					     KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	assert_int_equal(irqchip_send_msi(chip, 0xfeeff000, 0x43), 0);
	assert_int_equal(irqchip_send_msi(chip, 0x100feeff000, 0x43), 1);
	assert_int_equal(lapic_ack(big), 0x43);
	lapic_eoi(big);
	/* before it is in x2APIC mode too, as there is no other name for it; its logical ids are 8
	 * bits then */
	assert_int_equal(lapic_set_base_msr(big, 0xfee00800, true), 0);
	assert_int_equal(irqchip_send_msi(chip, 0x100feeff000, 0x43), 1);
	assert_int_equal(lapic_ack(big), 0x43);
	/* cluster 0 of those in x2APIC mode */
	assert_int_equal(irqchip_send_msi(chip, 0x100feeff004, 0x43), 4);
	assert_int_equal(lapic_ack(big), -1);
	assert_int_equal(irqchip_send_msi(chip, 0x1fee01000, 0x43), -EINVAL);
	assert_int_equal(set(&bad, 1), -EINVAL);
	lapic_destroy(big);
	assert_int_equal(irqchip_send_msi(chip, 0x100feeff000, 0x43), 0);
}

/* Split: the client has the I/O APIC; EOIs of its level-triggered routes are its exits. */
static void split(void **state)
{
	static const struct kvm_irq_routing_entry e[] = {
		MSI(3, 0xfee01000, 0x8061), MSI(4, 0xfee01000, 0x0062), MSI(30, 0xfee01000, 0x8063),
	};
	static const struct kvm_irq_routing_entry pin[] = { PIN(0, 2, 0) };
	struct kvm_irqchip s = { .chip_id = 2 };
	u32 val = 0;

	chip_make(true, 24);
	enable_all();
	assert_int_equal(set(pin, 1), -EINVAL);
	assert_int_equal(set(e, 3), 0);
	raise(3, 1);
	assert_int_equal(take(1), 0x61);
	assert_int_equal(cpus[1].eoi_exits, 1);
	assert_int_equal(cpus[1].eoi_vector, 0x61);
	raise(4, 1);
	assert_int_equal(take(1), 0x62);		/* edge */
	raise(30, 1);
	assert_int_equal(take(1), 0x63);		/* not one of its pins */
	assert_int_equal(cpus[1].eoi_exits, 1);
	assert_false(irqchip_mmio(chip, 0xfec00000, &val, 4, false));
	assert_false(irqchip_pio(chip, 0x21, &val, 1, false));
	assert_int_equal(irqchip_get(chip, &s), -ENXIO);
	assert_int_equal(irqchip_set(chip, &s), -ENXIO);
	assert_int_equal(irqchip_pic_ack(chip), -1);
	teardown(state);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(defaults), TEST(rejected), TEST(replaced), TEST(eoi_by_gsi), TEST(msi), TEST(msi_x2apic),
		cmocka_unit_test(split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
