// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * RTC, ACPI PM block, keyboard controller, PCI configuration ports: against a clock the test moves
 * by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/hw/i8042.h"
#include "vmm/hw/pm.h"
#include "vmm/hw/rtc.h"
#include "vmm/pci/pci.h"

#define SEC		1000000000ull
/* 2024-02-29 12:34:56 UTC, a Thursday, and half a second */
#define NOW		(1709210096 * SEC + SEC / 2)

static uint64_t real = NOW, mono = 1000 * SEC, timer;
static int level;
static unsigned int resets, poweroffs;

static uint64_t real_ns(void *opaque)
{
	return real;
}

static uint64_t mono_ns(void *opaque)
{
	return mono;
}

static void set_timer(void *opaque, uint64_t when)
{
	timer = when;
}

static void set_irq(void *opaque, unsigned int gsi, int l)
{
	level = l;
}

static void advance(uint64_t ns)
{
	real += ns;
	mono += ns;
}

static struct rtc rtc;

static uint8_t get(unsigned int reg)
{
	rtc_ops.write(&rtc, 0, reg, 1);
	return rtc_ops.read(&rtc, 1, 1);
}

static void set(unsigned int reg, uint8_t value)
{
	rtc_ops.write(&rtc, 0, reg, 1);
	rtc_ops.write(&rtc, 1, value, 1);
}

static int setup_rtc(void **state)
{
	const struct irq_pin pin = { .set = set_irq, .gsi = 8 };
	const struct rtc_host host = { .timer = set_timer,
				       .monotonic_ns = mono_ns,
				       .real_ns = real_ns };

	real = NOW;
	mono = 1000 * SEC;
	timer = level = 0;
	rtc_init(&rtc, &pin, &host, 3ull << 30, 1ull << 30);
	return 0;
}

static void rtc_reads(void **state)
{
	static const struct {
		uint8_t reg, bcd, binary;
	} rows[] = {
		{ 0, 0x56, 56 }, { 2, 0x34, 34 }, { 4, 0x12, 12 }, { 6, 0x05, 5 }, { 7, 0x29, 29 }, { 8, 0x02, 2 },
		{ 9, 0x24, 24 }, { 0x32, 0x20, 20 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(get(rows[i].reg), rows[i].bcd);
	set(11, 0x06);		/* binary, 24 hours */
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(get(rows[i].reg), rows[i].binary);
	set(11, 0x00);		/* BCD, 12 hours: 12 PM */
	assert_int_equal(get(4), 0x92);
	advance(12 * 3600 * SEC);
	assert_int_equal(get(4), 0x12);	/* 12 AM */
	advance(3600 * SEC);
	assert_int_equal(get(4), 0x01);
	assert_int_equal(get(7), 0x01);	/* 1 March */
	assert_int_equal(get(13), 0x80);
}

static void rtc_update_in_progress(void **state)
{
	assert_int_equal(get(10) & 0x80, 0);
	advance(SEC / 2 - 200000);	/* 200 us before the second: within the 244 us */
	assert_int_equal(get(10) & 0x80, 0x80);
	advance(200000);
	assert_int_equal(get(10) & 0x80, 0);
	assert_int_equal(get(0), 0x57);
}

/* As Linux sets it: SET, prescaler held, all registers, then go. */
static void rtc_set(void **state)
{
	uint8_t a = get(10), b = get(11);

	set(11, b | 0x80);
	set(10, a | 0x70);
	set(0, 0x00);
	set(2, 0x30);
	set(4, 0x23);
	set(7, 0x31);
	set(8, 0x12);
	set(9, 0x99);
	set(0x32, 0x20);
	advance(10 * SEC);
	assert_int_equal(get(0), 0x00);		/* stopped */
	set(11, b);
	set(10, a);
	advance(1800 * SEC);
	assert_int_equal(get(4), 0x00);
	assert_int_equal(get(2), 0x00);
	assert_int_equal(get(7), 0x01);
	assert_int_equal(get(8), 0x01);
	assert_int_equal(get(9), 0x00);
	assert_int_equal(get(0x32), 0x21);
	rtc_reset(&rtc);
	assert_int_equal(get(0x32), 0x21);	/* a reset does not stop a battery's clock */
}

static void rtc_alarm(void **state)
{
	set(1, 0x10);
	set(3, 0x35);
	set(5, 0x12);
	set(11, 0x22);
	/* 12:35:10 is 13.5 s away */
	assert_in_range(timer, mono + 13 * SEC + SEC / 2, mono + 13 * SEC + SEC / 2 + 1000);
	advance(13 * SEC);
	rtc_tick(&rtc);
	assert_int_equal(level, 0);
	advance(SEC / 2 + 1);
	rtc_tick(&rtc);
	assert_int_equal(level, 1);
	assert_int_equal(get(12) & 0xa0, 0xa0);
	assert_int_equal(level, 0);
	assert_int_equal(get(12), 0);
	/* any second of any minute of any hour */
	set(1, 0xff);
	set(3, 0xff);
	set(5, 0xff);
	advance(SEC);
	rtc_tick(&rtc);
	assert_int_equal(get(12) & 0xa0, 0xa0);
}

static void rtc_update_interrupt(void **state)
{
	set(11, 0x12);
	assert_in_range(timer, mono + SEC / 2, mono + SEC / 2 + 1000);
	advance(SEC / 2 + 1);
	rtc_tick(&rtc);
	assert_int_equal(level, 1);
	assert_int_equal(get(12) & 0xb0, 0x90);	/* PF is set as well, without interrupt */
	assert_int_equal(level, 0);
}

static void rtc_periodic(void **state)
{
	set(10, 0x26);				/* 1024 Hz */
	set(11, 0x42);
	assert_in_range(timer, mono + SEC / 1024 - 1, mono + SEC / 1024 + 1);
	advance(SEC / 1024 + 1);
	rtc_tick(&rtc);
	assert_int_equal(level, 1);
	/* until the flag is read, another would change nothing */
	assert_int_equal(timer, 0);
	assert_int_equal(get(12) & 0xc0, 0xc0);
	assert_int_equal(level, 0);
	assert_true(timer > mono && timer <= mono + SEC / 1024);
	set(11, 0x02);
	assert_int_equal(timer, 0);
}

static void rtc_memory(void **state)
{
	/* 3 GiB below 4 GiB, 1 GiB above */
	assert_int_equal(get(0x15) | get(0x16) << 8, 640);
	assert_int_equal(get(0x34) | get(0x35) << 8, (3072 - 16) * 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 1024 * 16);
	set(0x0f, 0x0a);
	assert_int_equal(get(0x0f), 0x0a);
	set(0x8f, 0x0b);			/* bit 7 is the NMI mask */
	assert_int_equal(get(0x0f), 0x0b);
}

static struct pm pm;

static void power_off(void *opaque)
{
	poweroffs++;
}

static int setup_pm(void **state)
{
	const struct irq_pin pin = { .set = set_irq, .gsi = 9 };
	const struct pm_host host = { .poweroff = power_off,
				      .timer = set_timer,
				      .monotonic_ns = mono_ns };

	mono = 1000 * SEC;
	timer = level = 0;
	poweroffs = 0;
	pm_init(&pm, &pin, &host);
	return 0;
}

static void pm_timer(void **state)
{
	assert_int_equal(pm_ops.read(&pm, 8, 4), 0);
	advance(SEC);
	assert_int_equal(pm_ops.read(&pm, 8, 4), 3579545);
	advance(10000 * SEC);	/* 32 bits wrap */
	assert_int_equal(pm_ops.read(&pm, 8, 4), 10001ull * 3579545 % (1ull << 32));
}

static void pm_timer_interrupt(void **state)
{
	pm_ops.write(&pm, 2, 1, 2);		/* TMR_EN */
	assert_int_equal(level, 0);
	/* bit 31 changes after 2^31 / 3579545 s = 599.93 s */
	assert_in_range(timer, mono + 599 * SEC, mono + 602 * SEC);
	mono = timer;
	pm_tick(&pm);
	assert_int_equal(level, 1);
	assert_int_equal(pm_ops.read(&pm, 0, 2) & 1, 1);
	pm_ops.write(&pm, 0, 1, 2);
	assert_int_equal(level, 0);
}

static void pm_control(void **state)
{
	assert_int_equal(pm_ops.read(&pm, 4, 2), 1);		/* SCI_EN: always in ACPI mode */
	pm_ops.write(&pm, 4, 0x2000 | 3 << 10, 2);		/* S3 is not there */
	assert_int_equal(poweroffs, 0);
	pm_ops.write(&pm, 4, 5 << 10, 2);
	assert_int_equal(poweroffs, 0);
	pm_ops.write(&pm, 4, 0x2000 | 5 << 10, 2);
	assert_int_equal(poweroffs, 1);
	assert_int_equal(pm_ops.read(&pm, 4, 2) & 0x2000, 0);	/* SLP_EN reads 0 */
}

static void pm_button(void **state)
{
	pm_power_button(&pm);
	assert_int_equal(level, 0);
	pm_ops.write(&pm, 2, 0x100, 2);
	assert_int_equal(level, 1);
	pm_reset(&pm);
	assert_int_equal(level, 0);
	assert_int_equal(pm_ops.read(&pm, 0, 4), 0);
}

static void reset_line(void *opaque)
{
	resets++;
}

static void keyboard_controller(void **state)
{
	const struct reset_line line = { .reset = reset_line };
	struct i8042 kbc;

	resets = 0;
	i8042_init(&kbc, &line);
	assert_int_equal(i8042_status_ops.read(&kbc, 0, 1) & 3, 0);
	i8042_status_ops.write(&kbc, 0, 0xaa, 1);		/* self-test */
	assert_int_equal(i8042_status_ops.read(&kbc, 0, 1) & 1, 1);
	assert_int_equal(i8042_data_ops.read(&kbc, 0, 1), 0x55);
	assert_int_equal(i8042_status_ops.read(&kbc, 0, 1) & 1, 0);
	/* A20 by the output port: no reset */
	i8042_status_ops.write(&kbc, 0, 0xd1, 1);
	i8042_data_ops.write(&kbc, 0, 0xdf, 1);
	assert_int_equal(resets, 0);
	i8042_status_ops.write(&kbc, 0, 0xff, 1);		/* pulse nothing */
	assert_int_equal(resets, 0);
	i8042_status_ops.write(&kbc, 0, 0xfe, 1);
	assert_int_equal(resets, 1);
	reset_fast_ops.write(&kbc, 0, 0x02, 1);
	assert_int_equal(resets, 1);
	reset_fast_ops.write(&kbc, 0, 0x03, 1);
	assert_int_equal(resets, 2);
	i8042_destroy(&kbc);
}

static void pci_config(void **state)
{
	const struct reset_line line = { .reset = reset_line };
	struct pci_function f;
	struct pci_host host;
	struct i8042 kbc;

	resets = 0;
	i8042_init(&kbc, &line);
	pci_host_init(&host, &reset_control_ops, &kbc);
	pci_function_init(&f, 0x8086, 0x29c0, 0x060000, 2);
	assert_int_equal(pci_host_add(&host, 0, &f), 0);
	assert_true(pci_host_add(&host, 0, &f) < 0);
	/* Linux's probe for mechanism #1: the enable bit reads back, and a host bridge is found */
	pci_config_ops.write(&host, 0, 0x80000000, 4);
	assert_true((uint32_t)pci_config_ops.read(&host, 0, 4) == 0x80000000);
	assert_true((uint32_t)pci_config_ops.read(&host, 4, 4) == 0x29c08086);
	assert_true((pci_config_ops.read(&host, 6, 2) & 0xffff) == 0x29c0);
	pci_config_ops.write(&host, 4, 0, 4);			/* read-only */
	assert_true((uint32_t)pci_config_ops.read(&host, 4, 4) == 0x29c08086);
	pci_config_ops.write(&host, 0, 0x80000008, 4);
	assert_true((uint32_t)pci_config_ops.read(&host, 4, 4) == 0x06000002);
	pci_config_ops.write(&host, 0, 0x80000800, 4);		/* device 1: nothing */
	assert_true((uint32_t)pci_config_ops.read(&host, 4, 4) == 0xffffffff);
	pci_config_ops.write(&host, 0, 0x80010000, 4);		/* bus 1: nothing */
	assert_true((uint32_t)pci_config_ops.read(&host, 4, 4) == 0xffffffff);
	pci_config_ops.write(&host, 0, 0x00000000, 4);		/* not enabled */
	assert_true((uint32_t)pci_config_ops.read(&host, 4, 4) == 0xffffffff);
	/* the same registers by memory: bus << 20 | devfn << 12 | register */
	assert_true((uint32_t)pci_ecam_ops.read(&host, 0, 4) == 0x29c08086);
	assert_true((uint32_t)pci_ecam_ops.read(&host, 8, 4) == 0x06000002);
	pci_ecam_ops.write(&host, 0x3c, 11, 1);
	assert_true((pci_ecam_ops.read(&host, 0x3c, 1) & 0xff) == 11);
	assert_true((uint32_t)pci_ecam_ops.read(&host, 0x100, 4) == 0xffffffff);
	assert_true((uint32_t)pci_ecam_ops.read(&host, 0x8000, 4) == 0xffffffff);
	assert_true((uint32_t)pci_ecam_ops.read(&host, 0x100000, 4) == 0xffffffff);
	assert_true((uint32_t)pci_ecam_ops.read(&host, PCI_ECAM_SIZE - 4, 4) == 0xffffffff);
	pci_host_reset(&host);
	assert_true((pci_ecam_ops.read(&host, 0x3c, 1) & 0xff) == 0);
	/* the byte in the middle is the reset control: 0 to 1 of bit 2 resets */
	pci_config_ops.write(&host, 1, 0x0a, 1);
	assert_int_equal(resets, 0);
	pci_config_ops.write(&host, 1, 0x0e, 1);
	assert_int_equal(resets, 1);
	pci_host_destroy(&host);
	i8042_destroy(&kbc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rtc_reads, setup_rtc), cmocka_unit_test_setup(rtc_update_in_progress, setup_rtc),
		cmocka_unit_test_setup(rtc_set, setup_rtc), cmocka_unit_test_setup(rtc_alarm, setup_rtc),
		cmocka_unit_test_setup(rtc_update_interrupt, setup_rtc), cmocka_unit_test_setup(rtc_periodic, setup_rtc),
		cmocka_unit_test_setup(rtc_memory, setup_rtc), cmocka_unit_test_setup(pm_timer, setup_pm),
		cmocka_unit_test_setup(pm_timer_interrupt, setup_pm), cmocka_unit_test_setup(pm_control, setup_pm),
		cmocka_unit_test_setup(pm_button, setup_pm), cmocka_unit_test(keyboard_controller),
		cmocka_unit_test(pci_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
