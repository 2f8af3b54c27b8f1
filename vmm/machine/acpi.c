// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * acpi.c - ACPI tables (specification 6.4, chapter 5; field names as there).
 *
 * Tables are written byte by byte in little-endian order. The DSDT is iasl's output; the CPUs'
 * objects are made here, in an SSDT.
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../hw/i8042.h"
#include "../hw/pm.h"
#include "../hw/rtc.h"
#include "../pci/pci.h"
#include "acpi.h"
#include "dsdt.h"

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
static_assert(sizeof(struct acpi_header) == 36, "ACPI 5.2.6");

struct acpi_gas {
	uint8_t space;		/* 1: system I/O */
	uint8_t width;		/* bits */
	uint8_t offset;
	uint8_t access;		/* 1 byte, 2 word, 3 dword */
	uint64_t address;
} __attribute__((packed));
static_assert(sizeof(struct acpi_gas) == 12, "ACPI 5.2.3.2");

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 5.2.5.3");

struct acpi_facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));
static_assert(sizeof(struct acpi_facs) == 64, "ACPI 5.2.10");

struct acpi_fadt {
	struct acpi_header h;
	uint32_t firmware_ctrl, dsdt;
	uint8_t reserved0, preferred_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk, pm2_cnt_blk, pm_tmr_blk,
		gpe0_blk, gpe1_blk;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_blk_len, gpe1_blk_len,
		gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl, x_dsdt;
	struct acpi_gas x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk,
		x_pm2_cnt_blk, x_pm_tmr_blk;
	struct acpi_gas x_gpe0_blk, x_gpe1_blk, sleep_control_reg, sleep_status_reg;
	uint64_t hypervisor_vendor;
} __attribute__((packed));
static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 5.2.9");

#define FADT_REVISION		6
#define FADT_WBINVD		(1u << 0)
#define FADT_PROC_C1		(1u << 2)
#define FADT_SLP_BUTTON		(1u << 5)	/* no sleep button in fixed hardware */
#define FADT_FIX_RTC		(1u << 6)	/* no RTC wake-up in fixed hardware */
#define FADT_TMR_VAL_EXT	(1u << 8)
#define FADT_RESET_REG_SUP	(1u << 10)
#define BOOT_LEGACY_DEVICES	(1u << 0)
#define BOOT_NO_VGA		(1u << 2)
#define LATENCY_NO_C2		101		/* more than 100 us: the state is not there */
#define LATENCY_NO_C3		1001

#define MADT_PCAT_COMPAT	1
#define MADT_LAPIC		0
#define MADT_IOAPIC		1
#define MADT_OVERRIDE		2
#define MADT_LAPIC_NMI		4
#define MADT_X2APIC		9
#define MADT_X2APIC_NMI		10
#define MADT_ENABLED		1
#define INTI_HIGH_LEVEL		0x0d
#define APIC_ID_MAX		254	/* larger ids need x2APIC entries; 255 is broadcast */

struct builder {
	uint8_t *buf;
	uint32_t size, len;
	uint64_t gpa;
	bool overflow;
};

/* Room for @len bytes, zeroed, or NULL. */
static void *put(struct builder *b, uint32_t len)
{
	uint8_t *p = b->buf + b->len;

	if (len > b->size - b->len) {
		b->overflow = true;
		return NULL;
	}
	memset(p, 0, len);
	b->len += len;
	return p;
}

static void put_bytes(struct builder *b, const void *bytes, uint32_t len)
{
	void *p = put(b, len);

	if (p)
		memcpy(p, bytes, len);
}

#define PUT(b, ...) put_bytes(b, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define LE32(v) (uint8_t)(v), (uint8_t)((v) >> 8), (uint8_t)((v) >> 16), (uint8_t)((v) >> 24)

static void align(struct builder *b, uint32_t to)
{
	put(b, -b->len & (to - 1));
}

static uint8_t checksum(const void *bytes, uint32_t len)
{
	const uint8_t *p = bytes;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

/* Begin a table; its offset. */
static uint32_t table_begin(struct builder *b, const char *signature, uint8_t revision)
{
	struct acpi_header h = { .revision = revision, .oem_revision = 1, .creator_revision = 1 };

	align(b, 16);
	memcpy(h.signature, signature, 4);
	memcpy(h.oem_id, "ANYKVM", 6);
	memcpy(h.oem_table_id, "ANYKVMQ3", 8);
	memcpy(h.creator_id, "AKVM", 4);
	put_bytes(b, &h, sizeof(h));
	return b->overflow ? 0 : b->len - sizeof(h);
}

static void table_end(struct builder *b, uint32_t start)
{
	struct acpi_header *h = (void *)(b->buf + start);

	if (b->overflow)
		return;
	h->length = b->len - start;
	h->checksum = 0;
	h->checksum = checksum(h, h->length);
}

static struct acpi_gas io_block(uint16_t port, uint8_t bytes, uint8_t access)
{
	return (struct acpi_gas){ .space = 1, .width = bytes * 8, .access = access, .address = port };
}

static uint32_t build_fadt(struct builder *b, uint32_t facs, uint32_t dsdt)
{
	uint32_t start = table_begin(b, "FACP", FADT_REVISION);
	struct acpi_fadt f;

	if (b->overflow || !put(b, sizeof(f) - sizeof(f.h)))
		return 0;
	memset(&f, 0, sizeof(f));
	memcpy(&f.h, b->buf + start, sizeof(f.h));
	f.firmware_ctrl = facs;
	f.dsdt = dsdt;
	f.x_dsdt = dsdt;
	f.preferred_profile = 0;
	f.sci_int = ACPI_SCI_IRQ;
	f.pm1a_evt_blk = PM_PORT + PM_EVT;
	f.pm1a_cnt_blk = PM_PORT + PM_CNT;
	f.pm_tmr_blk = PM_PORT + PM_TMR;
	f.pm1_evt_len = 4;
	f.pm1_cnt_len = 2;
	f.pm_tmr_len = 4;
	f.x_pm1a_evt_blk = io_block(PM_PORT + PM_EVT, 4, 2);
	f.x_pm1a_cnt_blk = io_block(PM_PORT + PM_CNT, 2, 2);
	f.x_pm_tmr_blk = io_block(PM_PORT + PM_TMR, 4, 3);
	f.p_lvl2_lat = LATENCY_NO_C2;
	f.p_lvl3_lat = LATENCY_NO_C3;
	f.century = RTC_CENTURY;
	f.iapc_boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA;
	f.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_TMR_VAL_EXT |
		  FADT_RESET_REG_SUP;
	f.reset_reg = io_block(RESET_CONTROL, 1, 1);
	f.reset_value = RESET_FULL;
	memcpy(&f.hypervisor_vendor, "AnyKVM", 6);
	memcpy(b->buf + start, &f, sizeof(f));
	table_end(b, start);
	return start;
}

static uint32_t build_madt(struct builder *b, unsigned int cpus)
{
	uint32_t start = table_begin(b, "APIC", 5);
	unsigned int i;

	PUT(b, LE32(ACPI_LAPIC_ADDR), LE32(MADT_PCAT_COMPAT));
	for (i = 0; i < cpus; i++) {
		if (i <= APIC_ID_MAX)
			PUT(b, MADT_LAPIC, 8, i, i, LE32(MADT_ENABLED));
		else
			PUT(b, MADT_X2APIC, 16, 0, 0, LE32(i), LE32(MADT_ENABLED), LE32(i));
	}
	PUT(b, MADT_IOAPIC, 12, 0, 0, LE32(ACPI_IOAPIC_ADDR), LE32(0));
	/* The 8254 is at input 2, where the cascade of the 8259 would be; the SCI is
	 * level-triggered, active high. */
	PUT(b, MADT_OVERRIDE, 10, 0, 0, LE32(2), 0, 0);
	PUT(b, MADT_OVERRIDE, 10, 0, ACPI_SCI_IRQ, LE32(ACPI_SCI_IRQ), INTI_HIGH_LEVEL, 0);
	PUT(b, MADT_LAPIC_NMI, 6, 0xff, 0, 0, 1);
	if (cpus > APIC_ID_MAX + 1)
		PUT(b, MADT_X2APIC_NMI, 12, 0, 0, LE32(0xffffffffu), 1, 0, 0, 0);
	table_end(b, start);
	return start;
}

/* Where the enhanced configuration space of segment 0 is. */
static uint32_t build_mcfg(struct builder *b)
{
	uint32_t start = table_begin(b, "MCFG", 1);

	PUT(b, LE32(0), LE32(0));
	PUT(b, LE32(PCI_ECAM_BASE), LE32(0), 0, 0, 0, PCI_BUSES - 1, LE32(0));
	table_end(b, start);
	return start;
}

#define AML_NAME	0x08
#define AML_DWORD	0x0c
#define AML_STRING	0x0d
#define AML_SCOPE	0x10
#define AML_EXT		0x5b
#define AML_DEVICE	0x82
#define CPU_OBJECT	32	/* bytes, with its package length */

/*
 * Device (Cnnn) { Name (_HID, "ACPI0007") Name (_UID, n) } for each CPU; _UID is the MADT's
 * processor UID.
 */
static uint32_t build_ssdt(struct builder *b, unsigned int cpus)
{
	uint32_t start = table_begin(b, "SSDT", 2);
	/* 4 bytes of package length and "\_SB_" counted in */
	uint32_t body = cpus * CPU_OBJECT + 9;
	unsigned int i;
	char name[5];

	/* PkgLength in four bytes: 3 << 6 | low 4 bits, then 8, 8, 8 bits (20.2.4) */
	PUT(b, AML_SCOPE, 3 << 6 | (body & 15), body >> 4, body >> 12, body >> 20, '\\', '_', 'S', 'B', '_');
	for (i = 0; i < cpus; i++) {
		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		PUT(b, AML_EXT, AML_DEVICE, CPU_OBJECT - 2, name[0], name[1], name[2], name[3]);
		PUT(b, AML_NAME, '_', 'H', 'I', 'D', AML_STRING, 'A', 'C', 'P', 'I', '0', '0', '0', '7', 0);
		PUT(b, AML_NAME, '_', 'U', 'I', 'D', AML_DWORD, LE32(i));
	}
	table_end(b, start);
	return start;
}

static uint32_t build_facs(struct builder *b)
{
	struct acpi_facs facs = { .length = sizeof(facs), .version = 2 };

	memcpy(facs.signature, "FACS", 4);
	align(b, 64);
	put_bytes(b, &facs, sizeof(facs));
	return b->overflow ? 0 : b->len - sizeof(facs);
}

static uint32_t build_dsdt(struct builder *b)
{
	align(b, 16);
	put_bytes(b, dsdt_aml_code, sizeof(dsdt_aml_code));
	return b->overflow ? 0 : b->len - sizeof(dsdt_aml_code);
}

static uint32_t build_xsdt(struct builder *b, const uint32_t *tables, unsigned int n)
{
	uint32_t start = table_begin(b, "XSDT", 1);
	unsigned int i;

	for (i = 0; i < n; i++)
		PUT(b, LE32(b->gpa + tables[i]), LE32((b->gpa + tables[i]) >> 32));
	table_end(b, start);
	return start;
}

uint32_t acpi_build(uint8_t *buf, uint32_t size, uint64_t gpa, unsigned int cpus)
{
	struct builder b = { .buf = buf, .size = size, .gpa = gpa };
	struct acpi_rsdp rsdp = { .revision = 2, .length = sizeof(rsdp) };
	uint32_t facs, dsdt, tables[4];

	put(&b, sizeof(rsdp));
	facs = build_facs(&b);
	dsdt = build_dsdt(&b);
	tables[0] = build_fadt(&b, gpa + facs, gpa + dsdt);
	tables[1] = build_madt(&b, cpus);
	tables[2] = build_mcfg(&b);
	tables[3] = build_ssdt(&b, cpus);
	rsdp.xsdt = gpa + build_xsdt(&b, tables, 4);
	if (b.overflow)
		return 0;
	memcpy(rsdp.signature, "RSD PTR ", 8);
	memcpy(rsdp.oem_id, "ANYKVM", 6);
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(buf, &rsdp, sizeof(rsdp));
	return b.len;
}
