// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * q35.c - the board: creates the devices, connects their interrupts and timers, puts them on the
 * buses.
 */
#include <string.h>
#include <time.h>

#include "acpi.h"
#include "e820.h"
#include "q35.h"

#define COM1_PORT	0x3f8
#define COM1_PORTS	8
#define COM1_IRQ	4
#define RTC_IRQ		8

/* The memory controller hub, as Linux looks for a host bridge before it believes in a PCI bus. */
#define MCH_DEVFN	PCI_DEVFN(0, 0)
#define MCH_VENDOR	0x8086
#define MCH_DEVICE	0x29c0
#define MCH_CLASS	0x060000
#define MCH_REVISION	2

static uint64_t host_monotonic(void *opaque)
{
	return clock_ns();
}

static uint64_t host_real(void *opaque)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void rtc_timer_set(void *opaque, uint64_t when)
{
	struct q35 *q = opaque;

	loop_timer_set(&q->rtc_timer, when);
}

static void rtc_expired(void *opaque)
{
	struct q35 *q = opaque;

	rtc_tick(&q->rtc);
}

static void pm_timer_set(void *opaque, uint64_t when)
{
	struct q35 *q = opaque;

	loop_timer_set(&q->pm_timer, when);
}

static void pm_expired(void *opaque)
{
	struct q35 *q = opaque;

	pm_tick(&q->pm);
}

static void poweroff(void *opaque)
{
	struct q35 *q = opaque;

	q->host.poweroff(q->host.opaque);
}

static struct irq_pin pin(const struct q35 *q, unsigned int gsi)
{
	return (struct irq_pin){ .set = q->host.irq, .opaque = q->host.opaque, .gsi = gsi };
}

static int connect(struct q35 *q)
{
	struct bus *bus = q->host.bus;

	return (q->has_uart ? bus_add_ports(bus, COM1_PORT, COM1_PORTS, &uart_ops, &q->uart) : 0) ?:
	       bus_add_ports(bus, RTC_PORT, RTC_PORTS, &rtc_ops, &q->rtc) ?:
	       bus_add_ports(bus, PM_PORT, PM_PORTS, &pm_ops, &q->pm) ?:
	       bus_add_ports(bus, I8042_DATA, 1, &i8042_data_ops, &q->kbc) ?:
	       bus_add_ports(bus, I8042_STATUS, 1, &i8042_status_ops, &q->kbc) ?:
	       bus_add_ports(bus, RESET_FAST, 1, &reset_fast_ops, &q->kbc) ?:
	       bus_add_ports(bus, PCI_CONFIG_PORT, PCI_CONFIG_PORTS, &pci_config_ops, &q->pci) ?:
	       bus_add_mmio(bus, PCI_ECAM_BASE, PCI_ECAM_SIZE, &pci_ecam_ops, &q->pci);
}

int q35_create(struct q35 *q, const struct q35_host *host, const struct uart_host *console,
	       struct vmm_err *err)
{
	const struct rtc_host rtc_host = {
		.timer = rtc_timer_set, .monotonic_ns = host_monotonic, .real_ns = host_real,
		.opaque = q,
	};
	const struct pm_host pm_host = {
		.poweroff = poweroff, .timer = pm_timer_set, .monotonic_ns = host_monotonic,
		.opaque = q,
	};
	const struct reset_line line = { .reset = host->reset, .opaque = host->opaque };
	struct irq_pin irq;
	int ret;

	memset(q, 0, sizeof(*q));
	q->host = *host;
	ret = loop_timer_init(host->loop, &q->rtc_timer, rtc_expired, q);
	if (ret)
		return err_set(err, "cannot make a timer: %s", strerror(-ret));
	ret = loop_timer_init(host->loop, &q->pm_timer, pm_expired, q);
	if (ret) {
		err_set(err, "cannot make a timer: %s", strerror(-ret));
		goto err_rtc_timer;
	}
	if (console) {
		q->has_uart = true;
		irq = pin(q, COM1_IRQ);
		uart_init(&q->uart, &irq, console);
	}
	irq = pin(q, RTC_IRQ);
	rtc_init(&q->rtc, &irq, &rtc_host, host->mem->low_end, host->mem->high_end - (1ull << 32));
	irq = pin(q, ACPI_SCI_IRQ);
	pm_init(&q->pm, &irq, &pm_host);
	i8042_init(&q->kbc, &line);
	pci_host_init(&q->pci, &reset_control_ops, &q->kbc);
	pci_function_init(&q->mch, MCH_VENDOR, MCH_DEVICE, MCH_CLASS, MCH_REVISION);
	ret = pci_host_add(&q->pci, MCH_DEVFN, &q->mch) ?: connect(q);
	if (ret) {
		err_set(err, "two devices at one place: %s", strerror(-ret));
		goto err_devices;
	}
	return 0;

err_devices:
	pci_host_destroy(&q->pci);
	i8042_destroy(&q->kbc);
	pm_destroy(&q->pm);
	rtc_destroy(&q->rtc);
	if (q->has_uart)
		uart_destroy(&q->uart);
	loop_timer_destroy(host->loop, &q->pm_timer);
err_rtc_timer:
	loop_timer_destroy(host->loop, &q->rtc_timer);
	return -1;
}

void q35_destroy(struct q35 *q)
{
	pci_host_destroy(&q->pci);
	i8042_destroy(&q->kbc);
	pm_destroy(&q->pm);
	rtc_destroy(&q->rtc);
	if (q->has_uart)
		uart_destroy(&q->uart);
	loop_timer_destroy(q->host.loop, &q->pm_timer);
	loop_timer_destroy(q->host.loop, &q->rtc_timer);
}

void q35_reset(struct q35 *q)
{
	if (q->has_uart)
		uart_reset(&q->uart);
	rtc_reset(&q->rtc);
	pm_reset(&q->pm);
	i8042_reset(&q->kbc);
	pci_host_reset(&q->pci);
}

uint64_t q35_write_tables(struct q35 *q, struct vmm_err *err)
{
	uint8_t *tables = gmem_at(q->host.mem, TABLES_START, TABLES_END - TABLES_START);
	const uint16_t ebda = EBDA_START >> 4, kb = EBDA_START >> 10;

	if (!tables || gmem_write(q->host.mem, BDA_EBDA_SEGMENT, &ebda, sizeof(ebda)) ||
	    gmem_write(q->host.mem, BDA_MEMORY_KB, &kb, sizeof(kb))) {
		err_set(err, "the VM has no memory for the ACPI tables; give more with -m");
		return 0;
	}
	if (!acpi_build(tables, TABLES_END - TABLES_START, TABLES_START, q->host.cpus)) {
		err_set(err, "the ACPI tables for %u CPUs do not fit; give fewer with -smp",
			q->host.cpus);
		return 0;
	}
	return TABLES_START;
}
