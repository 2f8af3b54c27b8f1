// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * lapic.c - the local APIC against the Intel SDM volume 3A, chapter 11; section numbers at the
 * tests.
 */
#include "irqchip_fixture.h"

#define LVTT	0x320
#define TMICT	0x380
#define TMCCT	0x390
#define TDCR	0x3e0

static void icr(int cpu, u32 low, u8 dest)
{
	wr(cpu, 0x310, (u32)dest << 24);
	wr(cpu, 0x300, low);
}

/* 11.4.7.1: state after power-up */
static void reset_state(void **state)
{
	static const struct { u32 off, val; } row[] = {
		{ 0x030, 0x50014 }, { 0x080, 0 }, { 0x0a0, 0 }, { 0x0d0, 0 }, { 0x0e0, 0xffffffff }, { 0x0f0, 0xff },
		{ 0x100, 0 }, { 0x180, 0 }, { 0x200, 0 }, { 0x270, 0 }, { 0x280, 0 }, { 0x300, 0 }, { 0x310, 0 },
		{ 0x320, 0x10000 }, { 0x330, 0x10000 }, { 0x340, 0x10000 }, { 0x350, 0x10000 }, { 0x360, 0x10000 },
		{ 0x370, 0x10000 }, { 0x380, 0 }, { 0x390, 0 }, { 0x3e0, 0 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(row); i++)
		assert_int_equal(rd(1, row[i].off), row[i].val);
	assert_int_equal(rd(1, 0x20), 1 << 24);
	assert_int_equal(rd(1, 0x90), 0);
	assert_int_equal(lapic_base_msr(cpus[1].l), 0xfee00800);
	assert_int_equal(lapic_base_msr(cpus[0].l), 0xfee00900);
	assert_int_equal(rd(0, 0x350), 0x700);		/* KVM: the boot CPU listens to the 8259s */
	assert_true(lapic_accepts_extint(cpus[0].l));
	assert_false(lapic_accepts_extint(cpus[1].l));

	/* INIT keeps id and base, 11.4.7.3 */
	enable(1);
	wr(1, 0xd0, 0x12000000);
	wr(1, 0x80, 0x30);
	lapic_reset(cpus[1].l, true);
	assert_int_equal(rd(1, 0x20), 1 << 24);
	assert_int_equal(rd(1, 0xd0), 0);
	assert_int_equal(rd(1, 0x80), 0);
	assert_int_equal(rd(1, 0xf0), 0xff);
}

/* 11.12.5.1, figure 11-27: which mode may follow which */
static void base_transitions(void **state)
{
	static const u64 off = 0xfee00000, xapic = 0xfee00800, x2apic = 0xfee00c00;
	struct lapic *l = cpus[1].l;
	u64 val;

	assert_int_equal(lapic_set_base_msr(l, 0xfee00400, false), -EINVAL);	/* EXTD alone */
	assert_int_equal(lapic_set_base_msr(l, 0xfee00400, true), -EINVAL);
	assert_int_equal(lapic_set_base_msr(l, xapic | 1, false), -EINVAL);	/* reserved */
	assert_int_equal(lapic_set_base_msr(l, xapic | 1ULL << 52, false), -EINVAL);
	assert_int_equal(lapic_set_base_msr(l, x2apic, false), 0);
	assert_true(lapic_x2apic(l));
	/* x2APIC to xAPIC */
	assert_int_equal(lapic_set_base_msr(l, xapic, false), -EINVAL);
	assert_int_equal(lapic_set_base_msr(l, off, false), 0);
	assert_false(lapic_enabled(l));
	assert_int_equal(lapic_set_base_msr(l, x2apic, false), -EINVAL);	/* off to x2APIC */
	assert_int_equal(lapic_set_base_msr(l, xapic, false), 0);
	/* the host may go anywhere legal */
	assert_int_equal(lapic_set_base_msr(l, x2apic, true), 0);
	assert_int_equal(lapic_set_base_msr(l, xapic, true), 0);
	assert_int_equal(lapic_set_base_msr(l, off, true), 0);
	assert_int_equal(lapic_set_base_msr(l, x2apic, true), 0);
	/* 11.12.10.2: LDR follows from the id */
	assert_int_equal(lapic_msr_read(l, 0x802, &val), 0);
	assert_int_equal(val, 1);
	assert_int_equal(lapic_msr_read(l, 0x80d, &val), 0);
	assert_int_equal(val, 1 << 1);
}

/* 11.12.5.2: INIT leaves x2APIC mode and its ids alone */
static void init_in_x2apic(void **state)
{
	struct lapic *l = cpus[3].l;
	u64 val;

	x2apic_all();
	assert_int_equal(lapic_msr_write(l, 0x808, 0x40), 0);
	lapic_reset(l, true);
	assert_true(lapic_x2apic(l));
	assert_int_equal(lapic_msr_read(l, 0x802, &val), 0);
	assert_int_equal(val, 3);
	assert_int_equal(lapic_msr_read(l, 0x80d, &val), 0);
	assert_int_equal(val, 1 << 3);
	assert_int_equal(lapic_msr_read(l, 0x808, &val), 0);
	assert_int_equal(val, 0);
	assert_int_equal(lapic_msr_read(l, 0x80f, &val), 0);
	assert_int_equal(val, 0xff);
	/* power-up does not */
	lapic_reset(l, false);
	assert_int_equal(lapic_base_msr(l), 0xfee00800);
	assert_int_equal(rd(3, 0x20), 3 << 24);
}

/* An id above 15 is in a cluster of its own number: 11.12.10.2 */
static void x2apic_ldr(void **state)
{
	struct lapic *l;
	u64 val;

	assert_int_equal(lapic_create(&l, chip, &cpus[3], 0x25), 0);
	assert_int_equal(lapic_create(&l, chip, &cpus[3], 0x25), -EEXIST);
	assert_int_equal(lapic_create(&l, chip, &cpus[3], 1 << 20), -EINVAL);
	assert_int_equal(lapic_set_base_msr(l, 0xfee00c00, false), 0);
	assert_int_equal(lapic_msr_read(l, 0x80d, &val), 0);
	assert_int_equal(val, 2 << 16 | 1 << 5);
	lapic_destroy(l);
}

/* 11.8.3.1: PPR from TPR and the highest in service; 11.8.4: a class must be higher to interrupt */
static void priorities(void **state)
{
	struct lapic *l = cpus[0].l;

	enable(0);
	assert_int_equal(lapic_pending(l), -1);
	icr(0, 0x40000 | 0x4000 | 0x31, 0);		/* self */
	icr(0, 0x40000 | 0x4000 | 0x3f, 0);
	icr(0, 0x40000 | 0x4000 | 0x52, 0);
	assert_int_equal(rd(0, 0x210), 1 << 0x11 | 1U << 0x1f);
	assert_int_equal(rd(0, 0x220), 1 << 0x12);
	assert_int_equal(lapic_pending(l), 0x52);
	wr(0, 0x80, 0x5f);
	assert_int_equal(rd(0, 0xa0), 0x5f);
	assert_int_equal(lapic_pending(l), -1);
	assert_int_equal(lapic_cr8(l), 5);
	lapic_set_cr8(l, 4);
	assert_int_equal(rd(0, 0x80), 0x40);
	assert_int_equal(lapic_ack(l), 0x52);
	assert_int_equal(rd(0, 0xa0), 0x50);
	assert_int_equal(rd(0, 0x120), 1 << 0x12);
	assert_int_equal(rd(0, 0x220), 0);
	lapic_set_cr8(l, 0);
	assert_int_equal(lapic_pending(l), -1);		/* 0x3f waits for 0x52 */
	wr(0, 0xb0, 0);
	assert_int_equal(rd(0, 0xa0), 0);
	assert_int_equal(lapic_ack(l), 0x3f);
	assert_int_equal(lapic_pending(l), -1);		/* 0x31: same class */
	icr(0, 0x40000 | 0x4000 | 0x40, 0);
	assert_int_equal(lapic_ack(l), 0x40);		/* nests */
	assert_int_equal(rd(0, 0xa0), 0x40);
	wr(0, 0xb0, 0);
	assert_int_equal(rd(0, 0xa0), 0x30);
	wr(0, 0xb0, 0);
	assert_int_equal(take(0), 0x31);
	assert_int_equal(take(0), -1);
	wr(0, 0xb0, 0);					/* EOI of nothing */
	/* TPR above ISR in the same class: TPR[3:0] shows */
	icr(0, 0x40000 | 0x4000 | 0x61, 0);
	assert_int_equal(lapic_ack(l), 0x61);
	wr(0, 0x80, 0x6a);
	assert_int_equal(rd(0, 0xa0), 0x6a);
}

/* 11.4.7.2: software-disabled; LVT masks are forced, IPIs refused, NMI still taken */
static void software_disable(void **state)
{
	enable_all();
	wr(1, 0x350, 0x700);
	assert_true(lapic_accepts_extint(cpus[1].l));
	wr(1, 0xf0, 0xff);
	assert_int_equal(rd(1, 0x350), 0x10700);
	wr(1, 0x350, 0x700);
	assert_int_equal(rd(1, 0x350), 0x10700);
	icr(0, 0x4000 | 0x40, 1);
	assert_int_equal(lapic_pending(cpus[1].l), -1);
	icr(0, 0x4000 | 0x400, 1);
	assert_int_equal(cpus[1].nmis, 1);
	/* and nothing at all when off by the base MSR */
	assert_int_equal(lapic_set_base_msr(cpus[1].l, 0xfee00000, false), 0);
	icr(0, 0x4000 | 0x400, 1);
	assert_int_equal(cpus[1].nmis, 1);
	assert_int_equal(rd(1, 0x20), 0xffffffff);
}

/* What sticks of all ones: 11.5.1 and figures 11-8, 11-10, 11-23 */
static void write_masks(void **state)
{
	static const struct { u32 off, val; } row[] = {
		{ 0x020, 0xff000000 }, { 0x030, 0x50014 }, { 0x080, 0xff }, { 0x0d0, 0xff000000 },
		{ 0x0e0, 0xffffffff }, { 0x310, 0xff000000 },
		{ 0x330, 0x107ff }, { 0x340, 0x107ff }, { 0x350, 0x1a7ff }, { 0x360, 0x1a7ff }, { 0x370, 0x100ff },
		{ 0x3e0, 0xb },
	};
	unsigned int i;

	enable(1);
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		wr(1, row[i].off, 0xffffffff);
		assert_int_equal(rd(1, row[i].off), row[i].val);
	}
	wr(1, 0xe0, 0);
	assert_int_equal(rd(1, 0xe0), 0x0fffffff);
	wr(1, LVTT, 0x1ffff);
	assert_int_equal(rd(1, LVTT), 0x100ff);
	wr(1, LVTT, 0x6ffff);
	assert_int_equal(rd(1, LVTT), 0x600ff);
}

/* 11.4.1: accesses that are not 32 bits on a 16-byte step */
static void access_sizes(void **state)
{
	struct lapic *l = cpus[1].l;
	u8 buf[8];
	u32 val = 0xffffffff;

	enable(1);
	assert_true(lapic_mmio(l, 0x33, buf, 1, false));
	assert_int_equal(buf[0], 0);
	assert_true(lapic_mmio(l, 0x32, buf, 1, false));
	assert_int_equal(buf[0], 0x05);
	assert_true(lapic_mmio(l, 0x30, buf, 2, false));
	assert_int_equal(buf[0] | buf[1] << 8, 0x0014);
	assert_true(lapic_mmio(l, 0x30, buf, 8, false));
	assert_memory_equal(buf, "\x14\x00\x05\x00\x00\x00\x00\x00", 8);
	assert_true(lapic_mmio(l, 0x80, &val, 1, true));
	assert_true(lapic_mmio(l, 0x84, &val, 4, true));
	assert_int_equal(rd(1, 0x80), 0);
	assert_false(lapic_mmio(l, 0xffd, buf, 4, false));
	assert_false(lapic_mmio(l, 0x1000, buf, 1, false));
}

/* 11.5.3: errors are latched by a write of ESR, and interrupt once until then */
static void errors(void **state)
{
	enable_all();
	wr(0, 0x370, 0xe1);
	icr(0, 0x4000 | 0x05, 1);			/* illegal vector sent */
	assert_int_equal(rd(0, 0x280), 0);
	assert_int_equal(take(0), 0xe1);
	icr(0, 0x4000 | 0x06, 1);
	assert_int_equal(take(0), -1);			/* not armed again */
	wr(0, 0x280, 0);
	assert_int_equal(rd(0, 0x280), 0x20);
	wr(0, 0x280, 0);
	assert_int_equal(rd(0, 0x280), 0);
	rd(0, 0x3f0);					/* reserved place */
	assert_int_equal(take(0), 0xe1);
	wr(0, 0x280, 0);
	assert_int_equal(rd(0, 0x280), 0x80);
	/* received: an MSI with vector 3 */
	irqchip_send_msi(chip, 0xfee00000 | 2 << 12, 3);
	wr(2, 0x280, 0);
	assert_int_equal(rd(2, 0x280), 0x40);
	/* an error LVT with an illegal vector must not loop */
	wr(0, 0x370, 0x01);
	icr(0, 0x4000 | 0x05, 1);
	wr(0, 0x280, 0);
	assert_int_equal(rd(0, 0x280), 0x60);
}

/* 11.6.2: who gets it. Bit n of want: CPU n. */
static void destinations_xapic(void **state)
{
	static const struct { const char *what; u32 icr; u8 dest, from, want; } row[] = {
		{ "physical",			0x4000, 2, 0, 0x4 },
		{ "physical self",		0x4000, 0, 0, 0x1 },
		{ "physical nobody",		0x4000, 9, 0, 0x0 },
		{ "physical broadcast",		0x4000, 0xff, 1, 0xf },
		{ "flat one",			0x4800, 0x04, 0, 0x4 },
		{ "flat two",			0x4800, 0x0a, 0, 0xa },
		{ "flat all",			0x4800, 0xff, 0, 0xf },
		{ "flat none",			0x4800, 0xf0, 0, 0x0 },
		{ "self",			0x44000, 3, 2, 0x4 },
		{ "all",			0x84000, 3, 2, 0xf },
		{ "others",			0xc4000, 3, 2, 0xb },
	};
	unsigned int i;
	int c;

	enable_all();
	for (c = 0; c < MAX_CPUS; c++)
		wr(c, 0xd0, 1U << (24 + c));
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		u8 got = 0;

		icr(row[i].from, row[i].icr | 0x77, row[i].dest);
		assert_int_equal(rd(row[i].from, 0x300), row[i].icr | 0x77);
		for (c = 0; c < MAX_CPUS; c++)
			if (take(c) == 0x77)
				got |= 1 << c;
		if (got != row[i].want)
			fail_msg("%s: got %x, want %x", row[i].what, got, row[i].want);
	}
	/* who writes another id into its register is reached by that */
	wr(2, 0x20, 9 << 24);
	icr(0, 0x4000 | 0x77, 2);
	assert_int_equal(take(2), -1);
	icr(0, 0x4000 | 0x77, 9);
	assert_int_equal(take(2), 0x77);
	wr(2, 0x20, 2 << 24);
	/* reserved bits stay what was written, delivery status reads 0; the reserved mode sends nothing */
	icr(0, 0xa5a5b3a5, 0xa5);
	assert_int_equal(rd(0, 0x300), 0xa5a5a3a5);
	/* cluster model, 11.6.2.2: ids 11, 12, 21, 24 */
	for (c = 0; c < MAX_CPUS; c++) {
		static const u8 id[] = { 0x11, 0x12, 0x21, 0x24 };

		wr(c, 0xe0, 0x0fffffff);
		wr(c, 0xd0, (u32)id[c] << 24);
	}
	icr(0, 0x4800 | 0x77, 0x13);
	assert_int_equal(take(0), 0x77);
	assert_int_equal(take(1), 0x77);
	assert_int_equal(take(2), -1);
	icr(0, 0x4800 | 0x77, 0x24);
	assert_int_equal(take(2), -1);
	assert_int_equal(take(3), 0x77);
	icr(0, 0x4800 | 0x77, 0xff);
	for (c = 0; c < MAX_CPUS; c++)
		assert_int_equal(take(c), 0x77);
	/* a model that does not exist matches nothing but broadcasts */
	wr(1, 0xe0, 0x50000000);
	icr(0, 0x4800 | 0x77, 0x12);
	assert_int_equal(take(1), -1);
	icr(0, 0x4800 | 0x77, 0xff);
	assert_int_equal(take(1), 0x77);
}

/* 11.12.9, 11.12.10 */
static void destinations_x2apic(void **state)
{
	static const struct { u64 icr; u8 from, want; } row[] = {
		{ 0x0000000200000077, 0, 0x4 },
		{ 0xffffffff00000077, 0, 0xf },
		{ 0x000000ff00000077, 0, 0x0 },
		{ 0x0000010200000077, 0, 0x0 },
		{ 0x0000000a00000877, 0, 0xa },		/* cluster 0, members 1 and 3 */
		{ 0x0001000a00000877, 0, 0x0 },		/* cluster 1 */
		{ 0xffffffff00000877, 0, 0xf },
		{ 0x0000000000040077, 3, 0x8 },
		{ 0x0000000000080077, 3, 0xf },
		{ 0x00000000000c0077, 3, 0x7 },
	};
	unsigned int i;
	u64 val;
	int c;

	x2apic_all();
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		u8 got = 0;

		assert_int_equal(lapic_msr_write(cpus[row[i].from].l, 0x830, row[i].icr), 0);
		assert_int_equal(lapic_msr_read(cpus[row[i].from].l, 0x830, &val), 0);
		assert_true(val == row[i].icr);
		for (c = 0; c < MAX_CPUS; c++)
			if (take(c) == 0x77)
				got |= 1 << c;
		assert_int_equal(got, row[i].want);
	}
	/* self IPI, 11.12.11 */
	assert_int_equal(lapic_msr_write(cpus[2].l, 0x83f, 0x99), 0);
	assert_int_equal(take(2), 0x99);
	assert_int_equal(lapic_msr_write(cpus[2].l, 0x83f, 0x199), -EINVAL);
}

/* 11.12.1.2, table 11-6: what each MSR allows */
static void x2apic_msrs(void **state)
{
	static const struct { u32 msr; bool r, w; u64 bad; } row[] = {
		{ 0x800, 0, 0, 0 }, { 0x802, 1, 0, 0 }, { 0x803, 1, 0, 0 }, { 0x808, 1, 1, 0x100 },
		{ 0x809, 0, 0, 0 }, { 0x80a, 1, 0, 0 }, { 0x80b, 0, 1, 1 }, { 0x80d, 1, 0, 0 }, { 0x80e, 0, 0, 0 },
		{ 0x80f, 1, 1, 0x400 }, { 0x810, 1, 0, 0 }, { 0x827, 1, 0, 0 }, { 0x828, 1, 1, 1 },
		{ 0x830, 1, 1, 0x100000 }, { 0x831, 0, 0, 0 }, { 0x832, 1, 1, 0x80000 }, { 0x835, 1, 1, 0x20000 },
		{ 0x838, 1, 1, 1ULL << 32 }, { 0x839, 1, 0, 0 }, { 0x83e, 1, 1, 4 }, { 0x83f, 0, 1, 0x100 },
		{ 0x840, 0, 0, 0 }, { 0x8ff, 0, 0, 0 },
	};
	struct lapic *l = cpus[1].l;
	unsigned int i;
	u64 val;

	assert_int_equal(lapic_msr_read(l, 0x803, &val), -EINVAL);	/* not in xAPIC mode */
	assert_int_equal(lapic_msr_write(l, 0x808, 0), -EINVAL);
	x2apic_all();
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		assert_int_equal(lapic_msr_read(l, row[i].msr, &val), row[i].r ? 0 : -EINVAL);
		/* 0x83f with vector 0 is an error that is logged, not a fault */
		assert_int_equal(lapic_msr_write(l, row[i].msr, 0), row[i].w ? 0 : -EINVAL);
		if (row[i].bad)
			assert_int_equal(lapic_msr_write(l, row[i].msr, row[i].bad), -EINVAL);
	}
	assert_int_equal(rd(1, 0x30), 0xffffffff);			/* the page is a hole now */
}

/* 11.6.1: delivery modes */
static void delivery_modes(void **state)
{
	enable_all();
	icr(0, 0x4500, 1);				/* INIT */
	assert_int_equal(cpus[1].inits, 1);
	icr(0, 0xc500, 1);				/* INIT, level assert */
	assert_int_equal(cpus[1].inits, 2);
	icr(0, 0x8500, 1);				/* INIT level de-assert */
	assert_int_equal(cpus[1].inits, 2);
	icr(0, 0x4600 | 0x9a, 1);			/* start-up */
	assert_int_equal(cpus[1].sipis, 1);
	assert_int_equal(cpus[1].sipi_vector, 0x9a);
	icr(0, 0x4400, 1);
	assert_int_equal(cpus[1].nmis, 1);
	icr(0, 0x4200, 1);
	assert_int_equal(cpus[1].smis, 1);
	icr(0, 0x4300 | 0x40, 1);			/* reserved modes */
	icr(0, 0x4700 | 0x40, 1);
	icr(0, 0xc4400, 0);				/* NMI to all but self */
	assert_int_equal(cpus[0].nmis, 0);
	assert_int_equal(cpus[1].nmis, 2);
	assert_int_equal(cpus[3].nmis, 1);
	assert_int_equal(lapic_pending(cpus[1].l), -1);
	assert_int_equal(cpus[1].events, 0);
}

/* 11.6.2.4: lowest priority goes to one CPU, the one with the lowest processor priority */
static void lowest_priority(void **state)
{
	int c, i, got[MAX_CPUS] = { 0 };

	enable_all();
	for (c = 0; c < MAX_CPUS; c++) {
		wr(c, 0xd0, 1U << (24 + c));
		wr(c, 0x80, c == 2 ? 0x10 : 0x20);
	}
	for (i = 0; i < 8; i++) {
		icr(0, 0x4900 | 0x77, 0xff);
		for (c = 0; c < MAX_CPUS; c++)
			got[c] += take(c) == 0x77;
	}
	assert_int_equal(got[2], 8);
	/* equal ones take turns; a CPU whose APIC is off by software is no candidate */
	wr(2, 0xf0, 0xff);
	memset(got, 0, sizeof(got));
	for (i = 0; i < 12; i++) {
		icr(0, 0x4900 | 0x77, 0xff);
		for (c = 0; c < MAX_CPUS; c++)
			got[c] += take(c) == 0x77;
	}
	assert_int_equal(got[0] + got[1] + got[3], 12);
	assert_true(got[0] && got[1] && got[3]);
}

/* A request bit that is still set tells nobody twice; one that was taken does again. */
static void events_once(void **state)
{
	enable_all();
	icr(0, 0x4000 | 0x40, 1);
	icr(0, 0x4000 | 0x40, 1);
	assert_int_equal(cpus[1].events, 1);
	assert_int_equal(lapic_ack(cpus[1].l), 0x40);
	icr(0, 0x4000 | 0x40, 1);
	assert_int_equal(cpus[1].events, 2);
	assert_false(lapic_eoi_is_simple(cpus[1].l));	/* another waits */
	lapic_eoi(cpus[1].l);
	assert_int_equal(lapic_ack(cpus[1].l), 0x40);
	assert_true(lapic_eoi_is_simple(cpus[1].l));
	lapic_eoi(cpus[1].l);
	assert_false(lapic_eoi_is_simple(cpus[1].l));
}

/* 11.5.4, figure 11-10: the divider, 1 GHz bus clock */
static void timer_divide(void **state)
{
	static const struct { u32 tdcr, div; } row[] = {
		{ 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 },
	};
	unsigned int i;

	enable(1);
	wr(1, LVTT, 0x50);
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		wr(1, TDCR, row[i].tdcr);
		wr(1, TMICT, 100000);
		assert_int_equal(rd(1, TMCCT), 100000);
		fake_advance(40000ULL * row[i].div);
		assert_int_equal(rd(1, TMCCT), 60000);
		fake_advance(60000ULL * row[i].div - 1);
		assert_int_equal(lapic_pending(cpus[1].l), -1);
		fake_advance(1);
		assert_int_equal(take(1), 0x50);
		assert_int_equal(rd(1, TMCCT), 0);
		fake_advance(1000000000);
		assert_int_equal(take(1), -1);		/* one shot */
	}
	/* a new divider for the rest */
	wr(1, TDCR, 11);
	wr(1, TMICT, 1000000);
	fake_advance(400000);
	wr(1, TDCR, 0);
	assert_int_equal(rd(1, TMCCT), 600000);
	fake_advance(1199999);
	assert_int_equal(take(1), -1);
	fake_advance(1);
	assert_int_equal(take(1), 0x50);
	/* stop by 0; masked: runs and says nothing */
	wr(1, TMICT, 1000);
	wr(1, TMICT, 0);
	assert_int_equal(rd(1, TMCCT), 0);
	wr(1, LVTT, 0x10050);
	wr(1, TMICT, 1000);
	assert_int_equal(rd(1, TMCCT), 1000);
	fake_advance(5000);
	assert_int_equal(take(1), -1);
	assert_int_equal(fake_next_timer(), 0);
}

static void timer_periodic(void **state)
{
	u64 start, period = 1000003;
	int i, n = 0;

	enable(1);
	wr(1, LVTT, 0x20050);
	wr(1, TDCR, 11);
	wr(1, TMICT, period);
	start = fake_now;
	/* late by up to half a period every time, yet on the grid: no drift */
	for (i = 0; i < 1000; i++) {
		fake_advance_late(fake_next_timer() - fake_now + i * 499);
		n += take(1) == 0x50;
		assert_int_equal((fake_next_timer() - start) % period, 0);
	}
	assert_int_equal(n, 1000);
	assert_int_equal(fake_next_timer(), start + 1001 * period);
	/* a long sleep is one interrupt, not a thousand */
	fake_advance_late(1000 * period);
	assert_int_equal(take(1), 0x50);
	assert_int_equal(take(1), -1);
	assert_true(fake_next_timer() > fake_now && fake_next_timer() <= fake_now + period);
	assert_int_equal(lapic_timer_deadline(cpus[1].l), fake_next_timer());
	/* between periodic and one-shot the count goes on, 11.5.4 */
	fake_advance(fake_next_timer() - fake_now);
	assert_int_equal(take(1), 0x50);
	fake_advance(1000);
	wr(1, LVTT, 0x50);
	assert_int_equal(rd(1, TMCCT), period - 1000);
	fake_advance(period);
	assert_int_equal(take(1), 0x50);
	assert_int_equal(fake_next_timer(), 0);
	/* the other way round the next expiry starts the periods */
	wr(1, TMICT, period);
	start = fake_now;
	fake_advance(1000);
	wr(1, LVTT, 0x20050);
	fake_advance(2 * period);
	assert_int_equal(take(1), 0x50);
	assert_int_equal(fake_next_timer(), start + 3 * period);
	/* overdue, the timer's thread not there yet: the count is that of the round in which we
	 * are */
	fake_now = start + 4 * period + 600;
	assert_int_equal(rd(1, TMCCT), period - 600);
	fake_run_timers();
	/* the shortest period the host bears is 200 us */
	wr(1, LVTT, 0x20050);
	wr(1, TMICT, 1);
	start = fake_now;
	for (i = 0; i < 3; i++)
		fake_advance(fake_next_timer() - fake_now);
	assert_int_equal(fake_now - start, 600000);
}

/* 11.5.4.1 */
static void timer_deadline(void **state)
{
	struct lapic *l = cpus[1].l;
	u64 tsc;

	enable(1);
	lapic_set_tscdeadline(l, 12345);
	assert_int_equal(lapic_tscdeadline(l), 0);	/* not in that mode: ignored, reads 0 */
	wr(1, LVTT, 0x40050);
	wr(1, TMICT, 1000);
	assert_int_equal(rd(1, TMICT), 0);
	tsc = sink_tsc(&cpus[1]);
	lapic_set_tscdeadline(l, tsc + 2500000);	/* 1 ms */
	assert_int_equal(lapic_tscdeadline(l), tsc + 2500000);
	assert_int_equal(rd(1, TMCCT), 0);
	fake_advance(999999);
	assert_int_equal(take(1), -1);
	fake_advance(3);
	assert_int_equal(take(1), 0x50);
	assert_int_equal(lapic_tscdeadline(l), 0);
	/* in the past: at once */
	lapic_set_tscdeadline(l, sink_tsc(&cpus[1]) - 1);
	assert_int_equal(take(1), 0x50);
	/* 0 disarms */
	lapic_set_tscdeadline(l, sink_tsc(&cpus[1]) + 2500);
	lapic_set_tscdeadline(l, 0);
	assert_int_equal(fake_next_timer(), 0);
	/* a TSC that is slower than the clock says: never early */
	cpus[1].tsc_ppm = 500;
	tsc = sink_tsc(&cpus[1]) + 2500000000ULL;
	lapic_set_tscdeadline(l, tsc);
	fake_advance(1000000010);
	assert_int_equal(lapic_pending(l), -1);
	fake_advance(1000000);
	assert_int_equal(take(1), 0x50);
	assert_true(sink_tsc(&cpus[1]) >= tsc);
	/* the far end of time, and a TSC that jumps */
	lapic_set_tscdeadline(l, ~0ULL);
	assert_int_equal(take(1), -1);
	cpus[1].tsc_offset = -1 - sink_tsc(&cpus[1]);
	lapic_tsc_changed(l);
	assert_int_equal(take(1), 0x50);
	/* leaving the mode forgets it */
	cpus[1].tsc_offset = 0;
	lapic_set_tscdeadline(l, sink_tsc(&cpus[1]) + 250000);
	wr(1, LVTT, 0x50);
	assert_int_equal(lapic_tscdeadline(l), 0);
	fake_advance(1000000);
	assert_int_equal(take(1), -1);
}

/* 11.8.5: the EOI of a level-triggered vector is broadcast, that of an edge is not */
static void eoi_broadcast(void **state)
{
	enable(1);
	rte(5, 0x8061, 1);
	rte(6, 0x0062, 1);
	raise(5, 1);
	raise(6, 1);
	assert_int_equal(rd(1, 0x1b0), 1 << 1);		/* TMR of 0x61 */
	assert_int_equal(take(1), 0x62);
	assert_int_equal(nr_eois, 0);
	raise(5, 0);
	assert_int_equal(take(1), 0x61);
	assert_int_equal(nr_eois, 1);
	assert_int_equal(eois[0], 5);
	/* the same vector as an edge: TMR falls */
	rte(5, 0x61, 1);
	raise(5, 1);
	assert_int_equal(rd(1, 0x1b0), 0);
}

static void state_page(void **state)
{
	struct kvm_lapic_state s;
	u32 val;

	enable(1);
	wr(1, 0x80, 0x23);
	wr(1, 0xd0, 0x02000000);
	wr(1, LVTT, 0x20050);
	wr(1, TDCR, 11);
	wr(1, TMICT, 1000000);
	icr(1, 0x44000 | 0x61, 0);
	assert_int_equal(lapic_ack(cpus[1].l), 0x61);
	icr(1, 0x44000 | 0x71, 0);
	fake_advance(400000);
	assert_int_equal(lapic_get_state(cpus[1].l, &s), 0);
	memcpy(&val, s.regs + 0x390, 4);
	assert_int_equal(val, 600000);
	memcpy(&val, s.regs + 0x20, 4);
	assert_int_equal(val, 1 << 24);
	memcpy(&val, s.regs + 0x230, 4);
	assert_int_equal(val, 1 << 0x11);

	/* into another APIC: pending, in service, priorities and the timer go on */
	val = 2 << 24;
	memcpy(s.regs + 0x20, &val, 4);
	assert_int_equal(lapic_set_state(cpus[2].l, &s), 0);
	assert_int_equal(rd(2, 0xa0), 0x60);
	assert_int_equal(lapic_pending(cpus[2].l), 0x71);
	assert_int_equal(rd(2, TMCCT), 600000);
	wr(1, TMICT, 0);
	fake_advance(600000);
	assert_int_equal(take(2), 0x71);
	assert_int_equal(lapic_pending(cpus[2].l), -1);	/* 0x50 waits for 0x61 */
	wr(2, 0xb0, 0);
	assert_int_equal(take(2), 0x50);
	fake_advance(1000000);
	assert_int_equal(take(2), 0x50);

	/* a periodic timer caught at 0 starts its round again, a one-shot timer is over */
	val = 0;
	memcpy(s.regs + 0x390, &val, 4);
	assert_int_equal(lapic_set_state(cpus[2].l, &s), 0);
	assert_int_equal(rd(2, TMCCT), 1000000);
	val = 0x50;
	memcpy(s.regs + LVTT, &val, 4);
	assert_int_equal(lapic_set_state(cpus[2].l, &s), 0);
	assert_int_equal(rd(2, TMCCT), 0);
	assert_int_equal(fake_next_timer(), 0);

	/* nonsense is cut down, not believed */
	memset(&s, 0xff, sizeof(s));
	assert_int_equal(lapic_set_state(cpus[2].l, &s), 0);
	assert_int_equal(rd(2, 0x30), 0x50014);
	assert_int_equal(rd(2, 0x100), 0xffff0000);
	assert_int_equal(rd(2, 0x200), 0xffffffff);	/* requests stay; 0 to 15 are never delivered */
	lapic_reset(cpus[2].l, false);
}

/* kernel Documentation/virt/kvm/api.rst, KVM_X2APIC_API: where the id is */
static void state_x2apic_ids(void **state)
{
	struct kvm_lapic_state s;
	u32 val;

	x2apic_all();
	assert_int_equal(lapic_get_state(cpus[3].l, &s), 0);
	memcpy(&val, s.regs + 0x20, 4);
	assert_int_equal(val, 3 << 24);
	assert_int_equal(lapic_set_state(cpus[3].l, &s), 0);
	irqchip_set_x2apic_api(chip, KVM_X2APIC_API_USE_32BIT_IDS);
	assert_int_equal(lapic_set_state(cpus[3].l, &s), -EINVAL);
	assert_int_equal(lapic_get_state(cpus[3].l, &s), 0);
	memcpy(&val, s.regs + 0x20, 4);
	assert_int_equal(val, 3);
	assert_int_equal(lapic_set_state(cpus[3].l, &s), 0);
	memcpy(&val, s.regs + 0xd0, 4);
	assert_int_equal(val, 1 << 3);
}

/* LINT0 as the 8259's wire: ExtINT is pulled, fixed and NMI are pushed. 11.5.1 */
static void lint0(void **state)
{
	enable_all();
	outb(0x21, 0xfe);
	wr(1, 0x350, 0x0c5);			/* fixed */
	wr(2, 0x350, 0x400);			/* NMI */
	wr(3, 0x350, 0x104c6);			/* masked */
	raise(0, 1);
	assert_int_equal(pic_level, 1);
	assert_int_equal(take(1), 0xc5);
	assert_int_equal(cpus[2].nmis, 1);
	assert_int_equal(take(3), -1);
	assert_int_equal(lapic_pending(cpus[0].l), -1);
	assert_int_equal(lapic_set_base_msr(cpus[0].l, 0xfee00100, true), 0);
	assert_true(lapic_accepts_extint(cpus[0].l));	/* off: the pin is INTR itself */
	assert_int_equal(lapic_set_base_msr(cpus[1].l, 0xfee00000, true), 0);
	assert_true(lapic_accepts_extint(cpus[1].l));	/* on every CPU */
}

/*
 * Every allocation failing in turn leaves nothing behind (the leak checker of sanitizer builds
 * looks on).
 */
static void out_of_memory(void **state)
{
	struct irqchip *c;
	struct lapic *l;
	int n;

	for (n = 0; n < 16; n++) {
		fake_allocs_left = n;
		if (!irqchip_create(&c, &sink, NULL, false, 0)) {
			fake_allocs_left = 0;
			assert_int_equal(lapic_create(&l, c, NULL, 0), -ENOMEM);
			assert_int_equal(pit_create(c, 0), -ENOMEM);
			assert_int_equal(irqchip_set_routing(c, NULL, 0), -ENOMEM);
			irqchip_destroy(c);
			break;
		}
	}
	fake_allocs_left = -1;
	assert_int_equal(n, 4);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(reset_state), TEST(base_transitions), TEST(init_in_x2apic), TEST(x2apic_ldr), TEST(priorities), TEST(software_disable),
		TEST(write_masks), TEST(access_sizes), TEST(errors), TEST(destinations_xapic), TEST(destinations_x2apic),
		TEST(x2apic_msrs), TEST(delivery_modes), TEST(lowest_priority), TEST(events_once), TEST(timer_divide),
		TEST(timer_periodic), TEST(timer_deadline), TEST(eoi_broadcast), TEST(state_page),
		TEST(state_x2apic_ids), TEST(lint0), TEST(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
