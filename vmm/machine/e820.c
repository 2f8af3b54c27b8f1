// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* e820.c - the memory map the guest is told, in ascending order and without overlaps. */
#include "../pci/pci.h"
#include "e820.h"

static void add(struct boot_e820_entry *map, unsigned int *n, uint64_t start, uint64_t end,
		uint32_t type)
{
	if (start < end)
		map[(*n)++] = (struct boot_e820_entry){ .addr = start,
							.size = end - start,
							.type = type };
}

unsigned int e820_build(const struct gmem *g, struct boot_e820_entry map[E820_MAX_ENTRIES_ZEROPAGE])
{
	unsigned int n = 0;

	add(map, &n, 0, EBDA_START, E820_TYPE_RAM);
	add(map, &n, EBDA_START, VGA_HOLE, E820_TYPE_RESERVED);
	add(map, &n, TABLES_START, TABLES_END, E820_TYPE_RESERVED);
	add(map, &n, TABLES_END, g->low_end, E820_TYPE_RAM);
	add(map, &n, PCI_ECAM_BASE, PCI_ECAM_BASE + PCI_ECAM_SIZE, E820_TYPE_RESERVED);
	add(map, &n, KVM_IDENTITY_MAP, KVM_TSS_END, E820_TYPE_RESERVED);
	add(map, &n, 1ull << 32, g->high_end, E820_TYPE_RAM);
	return n;
}
