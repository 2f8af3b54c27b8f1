/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* e820.h - the memory map the guest is told. */
#ifndef VMM_MACHINE_E820_H
#define VMM_MACHINE_E820_H

#include <asm/bootparam.h>

#include "../gmem.h"

#define E820_TYPE_RAM		1
#define E820_TYPE_RESERVED	2

/* Fixed places in low memory. */
#define BDA_EBDA_SEGMENT	0x40e	/* BIOS data area: segment of the extended BIOS data area */
#define BDA_MEMORY_KB		0x413	/* KiB of conventional memory */
#define EBDA_START		0x9fc00
#define VGA_HOLE		0xa0000
#define TABLES_START		0xe0000	/* ACPI tables, where a BIOS would have itself */
#define TABLES_END		0x100000

/* Two small areas KVM wants on some hosts: a page table and a three-page task state. Not memory. */
#define KVM_IDENTITY_MAP	0xfeffc000ull
#define KVM_TSS			0xfeffd000ull
#define KVM_TSS_END		0xff000000ull

/** Fill in @map from the memory's layout. The number of entries. */
unsigned int e820_build(const struct gmem *g,
			struct boot_e820_entry map[E820_MAX_ENTRIES_ZEROPAGE]);

#endif
