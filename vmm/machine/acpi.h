/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* acpi.h - the ACPI tables: what the machine has, for the guest to read. */
#ifndef VMM_MACHINE_ACPI_H
#define VMM_MACHINE_ACPI_H

#include <stdint.h>

#define ACPI_IOAPIC_ADDR	0xfec00000u
#define ACPI_LAPIC_ADDR		0xfee00000u
#define ACPI_SCI_IRQ		9

/**
 * Build all tables for @cpus CPUs (APIC ids 0 to cpus - 1) into @buf, which the guest will see at
 * @gpa (64-byte aligned); the RSDP comes first. The bytes used, or 0 if @size is too small. Pure.
 */
uint32_t acpi_build(uint8_t *buf, uint32_t size, uint64_t gpa, unsigned int cpus);

#endif
