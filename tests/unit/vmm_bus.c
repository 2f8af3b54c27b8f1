// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Bus dispatch and the layout of guest memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/bus.h"
#include "vmm/gmem.h"
#include "vmm/machine/e820.h"

/* A device that remembers what it was asked. */
struct probe {
	unsigned int reads, writes;
	uint64_t offset, value;
	unsigned int size;
};

static uint64_t probe_read(void *dev, uint64_t offset, unsigned int size)
{
	struct probe *p = dev;

	p->reads++;
	p->offset = offset;
	p->size = size;
	return 0x1122334455667788ull + offset;
}

static void probe_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct probe *p = dev;

	p->writes++;
	p->offset = offset;
	p->value = value;
	p->size = size;
}

static const struct bus_ops byte_ops = { probe_read, probe_write, 1 };
static const struct bus_ops wide_ops = { probe_read, probe_write, 4 };
static struct bus bus;

static int setup(void **state)
{
	bus_init(&bus);
	return 0;
}

static void nobody(void **state)
{
	assert_true(bus_port_read(&bus, 0x80, 1) == 0xff);
	assert_true(bus_port_read(&bus, 0xffff, 4) == 0xffffffff);
	bus_port_write(&bus, 0x80, 1, 1);
	assert_true(bus_mmio_read(&bus, 0xfed00000, 8) == ~0ull);
	bus_mmio_write(&bus, ~0ull, 1, 8);
}

static void ports(void **state)
{
	struct probe a = { 0 }, b = { 0 };

	assert_int_equal(bus_add_ports(&bus, 0x3f8, 8, &byte_ops, &a), 0);
	assert_int_equal(bus_add_ports(&bus, 0x600, 12, &wide_ops, &b), 0);
	assert_int_equal(bus_add_ports(&bus, 0x3ff, 2, &byte_ops, &b), -EEXIST);
	assert_int_equal(bus_add_ports(&bus, 0xffff, 2, &byte_ops, &b), -EINVAL);
	assert_int_equal(bus_add_ports(&bus, 0x10, 0, &byte_ops, &b), -EINVAL);
	assert_true(bus_port_read(&bus, 0x3fd, 1) == 0x8d);
	assert_int_equal(a.offset, 5);
	/* a wide access to a byte device is one access per port */
	assert_true(bus_port_read(&bus, 0x3f8, 2) == 0x8988);
	assert_int_equal(a.reads, 3);
	assert_true(bus_port_read(&bus, 0x608, 4) == 0x55667790);
	assert_int_equal(b.size, 4);
	/* across the end: the last two ports, then nobody */
	assert_true(bus_port_read(&bus, 0x60a, 4) == 0xffff9392);
	bus_port_write(&bus, 0x600, 0xabcd1234, 2);
	assert_true(b.value == 0x1234 && b.size == 2);
	assert_int_equal(bus_remove_ports(&bus, 0x3f8), 0);
	assert_int_equal(bus_remove_ports(&bus, 0x3f8), -ENOENT);
	assert_true(bus_port_read(&bus, 0x3fd, 1) == 0xff);
	assert_true(bus_port_read(&bus, 0x600, 1) == 0x88);
}

static void mmio(void **state)
{
	struct probe a = { 0 }, b = { 0 }, c = { 0 };

	assert_int_equal(bus_add_mmio(&bus, 0x2000, 0x1000, &wide_ops, &b), 0);
	assert_int_equal(bus_add_mmio(&bus, 0x1000, 0x1000, &wide_ops, &a), 0);
	assert_int_equal(bus_add_mmio(&bus, 0x4000, 0x10, &wide_ops, &c), 0);
	assert_int_equal(bus_add_mmio(&bus, 0x1fff, 1, &wide_ops, &c), -EEXIST);
	assert_int_equal(bus_add_mmio(&bus, 0x3000, 0x1001, &wide_ops, &c), -EEXIST);
	assert_int_equal(bus_add_mmio(&bus, 0, 0x5000, &wide_ops, &c), -EEXIST);
	assert_int_equal(bus_add_mmio(&bus, ~0ull, 2, &wide_ops, &c), -EINVAL);
	bus_mmio_write(&bus, 0x1ffc, 7, 4);
	assert_true(a.offset == 0xffc && a.value == 7);
	bus_mmio_write(&bus, 0x2000, 9, 4);
	assert_true(b.offset == 0 && b.value == 9);
	/* across two regions */
	bus_mmio_write(&bus, 0x1ffe, 0x44332211, 4);
	assert_true(a.offset == 0xfff && a.value == 0x22 && b.offset == 1 && b.value == 0x44);
	assert_true(bus_mmio_read(&bus, 0x4010, 1) == 0xff);
	assert_int_equal(bus_remove_mmio(&bus, 0x1000), 0);
	assert_true(bus_mmio_read(&bus, 0x1000, 1) == 0xff);
	assert_true(bus_mmio_read(&bus, 0x2000, 1) == 0x88);
}

static void memory_layout(void **state)
{
	struct gmem g;

	gmem_layout(&g, 512ull << 20);
	assert_true(g.low_end == 512ull << 20 && g.high_end == 1ull << 32 && g.nr_slots == 2);
	gmem_layout(&g, 0xb0000000ull);
	assert_true(g.low_end == 0xb0000000ull && g.nr_slots == 2);
	/* QEMU's q35 splits what does not fit below 0xb0000000 at 2 GiB */
	gmem_layout(&g, 0xb0001000ull);
	assert_true(g.low_end == 0x80000000ull && g.high_end == 0x130001000ull && g.nr_slots == 3);
	assert_true(g.slots[2].gpa == 1ull << 32 && g.slots[2].offset == 0x80000000ull);
}

static void memory_access(void **state)
{
	struct vmm_err err;
	struct gmem g;
	uint64_t v = 0x0123456789abcdefull, r = 0;

	assert_int_equal(gmem_create(&g, 4 << 20, &err), 0);
	assert_int_equal((uintptr_t)g.base % (2 << 20), 0);
	assert_int_equal(gmem_write(&g, 0x100000, &v, 8), 0);
	assert_int_equal(gmem_read(&g, 0x100000, &r, 8), 0);
	assert_true(r == v);
	assert_non_null(gmem_at(&g, (4 << 20) - 1, 1));
	assert_null(gmem_at(&g, (4 << 20) - 1, 2));
	assert_null(gmem_at(&g, 4 << 20, 1));
	assert_null(gmem_at(&g, 0, 0));
	assert_null(gmem_at(&g, 0x9ffff, 2));		/* into the video window */
	assert_null(gmem_at(&g, 0xa0000, 1));
	assert_null(gmem_at(&g, ~0ull, 2));
	assert_null(gmem_at(&g, 8, ~0ull));
	assert_int_equal(gmem_write(&g, 0xbffff, &v, 8), -EFAULT);
	gmem_destroy(&g);
	assert_int_equal(gmem_create(&g, 1ull << 46, &err), -1);
	assert_non_null(strstr(err.text, "-m"));
}

/* Ascending, no overlap, RAM only where there is memory, and all of it but the legacy areas. */
static void e820(void **state)
{
	static const uint64_t sizes[] = { 64ull << 20, 512ull << 20, 0xb0000000ull, 3ull << 30, 16ull << 30 };
	struct boot_e820_entry map[E820_MAX_ENTRIES_ZEROPAGE];
	unsigned int i, k, n;
	uint64_t end, ram;
	struct gmem g;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		gmem_layout(&g, sizes[i]);
		g.base = (uint8_t *)0x1000;	/* gmem_at() only computes */
		n = e820_build(&g, map);
		for (end = ram = 0, k = 0; k < n; k++) {
			assert_true(map[k].addr >= end);
			end = map[k].addr + map[k].size;
			if (map[k].type != E820_TYPE_RAM)
				continue;
			ram += map[k].size;
			assert_non_null(gmem_at(&g, map[k].addr, map[k].size));
		}
		assert_true(ram == sizes[i] - (TABLES_END - EBDA_START));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody, setup), cmocka_unit_test_setup(ports, setup),
		cmocka_unit_test_setup(mmio, setup),   cmocka_unit_test(memory_layout),
		cmocka_unit_test(memory_access),       cmocka_unit_test(e820),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
