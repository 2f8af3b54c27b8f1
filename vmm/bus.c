// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * bus.c - dispatch of port and MMIO accesses. Ports go through a byte table, as a port exit is what
 * a guest does most; MMIO through a binary search.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "bus.h"

static uint64_t nobody_read(void *dev, uint64_t offset, unsigned int size)
{
	return ~0ull;
}

static void nobody_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
}

static const struct bus_ops nobody = { .read = nobody_read, .write = nobody_write, .max_size = 8 };

void bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	bus->ports[0] = (struct bus_region){ .len = BUS_PORTS, .ops = &nobody };
	bus->nr_ports = 1;
}

int bus_add_ports(struct bus *bus, uint64_t start, uint64_t len, const struct bus_ops *ops,
		  void *dev)
{
	uint64_t i;

	if (!len || start >= BUS_PORTS || len > BUS_PORTS - start)
		return -EINVAL;
	for (i = start; i < start + len; i++)
		if (bus->port_map[i])
			return -EEXIST;
	if (bus->nr_ports == BUS_MAX_REGIONS)
		return -ENOSPC;
	bus->ports[bus->nr_ports] =
		(struct bus_region){ .start = start, .len = len, .ops = ops, .dev = dev };
	memset(bus->port_map + start, bus->nr_ports, len);
	bus->nr_ports++;
	return 0;
}

int bus_remove_ports(struct bus *bus, uint64_t start)
{
	unsigned int i, last = bus->nr_ports - 1;

	for (i = 1; i <= last; i++)
		if (bus->ports[i].start == start)
			break;
	if (i > last)
		return -ENOENT;
	memset(bus->port_map + start, 0, bus->ports[i].len);
	if (i != last) {
		bus->ports[i] = bus->ports[last];
		memset(bus->port_map + bus->ports[i].start, i, bus->ports[i].len);
	}
	bus->nr_ports--;
	return 0;
}

/* How many MMIO regions begin at or below @addr. */
static unsigned int mmio_upper(const struct bus *bus, uint64_t addr)
{
	unsigned int lo = 0, hi = bus->nr_mmio, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (bus->mmio[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int bus_add_mmio(struct bus *bus, uint64_t start, uint64_t len, const struct bus_ops *ops,
		 void *dev)
{
	unsigned int at = mmio_upper(bus, start);

	if (!len || start + len - 1 < start)
		return -EINVAL;
	if (at && start - bus->mmio[at - 1].start < bus->mmio[at - 1].len)
		return -EEXIST;
	if (at < bus->nr_mmio && bus->mmio[at].start - start < len)
		return -EEXIST;
	if (bus->nr_mmio == BUS_MAX_REGIONS)
		return -ENOSPC;
	memmove(&bus->mmio[at + 1], &bus->mmio[at], (bus->nr_mmio - at) * sizeof(bus->mmio[0]));
	bus->mmio[at] = (struct bus_region){ .start = start, .len = len, .ops = ops, .dev = dev };
	bus->nr_mmio++;
	return 0;
}

int bus_remove_mmio(struct bus *bus, uint64_t start)
{
	unsigned int at = mmio_upper(bus, start);

	if (!at || bus->mmio[at - 1].start != start)
		return -ENOENT;
	memmove(&bus->mmio[at - 1], &bus->mmio[at], (bus->nr_mmio - at) * sizeof(bus->mmio[0]));
	bus->nr_mmio--;
	return 0;
}

static const struct bus_region *port_region(const struct bus *bus, uint64_t port)
{
	return &bus->ports[bus->port_map[port & (BUS_PORTS - 1)]];
}

static const struct bus_region *mmio_region(const struct bus *bus, uint64_t addr)
{
	unsigned int at = mmio_upper(bus, addr);

	if (at && addr - bus->mmio[at - 1].start < bus->mmio[at - 1].len)
		return &bus->mmio[at - 1];
	return &bus->ports[0];
}

static bool fits(const struct bus_region *r, uint64_t offset, unsigned int size)
{
	return size <= r->ops->max_size && !(size & (size - 1)) && offset <= r->len &&
	       size <= r->len - offset;
}

static uint64_t access_mask(unsigned int size)
{
	return size >= 8 ? ~0ull : (1ull << size * 8) - 1;
}

/*
 * What a region does not take in one piece goes byte for byte, each byte to whoever is there: so
 * does an ISA bridge with a wide access to narrow devices.
 */
uint64_t bus_port_read(struct bus *bus, uint16_t port, unsigned int size)
{
	const struct bus_region *r = port_region(bus, port);
	uint64_t value = 0;
	unsigned int i;

	if (fits(r, port - r->start, size))
		return r->ops->read(r->dev, port - r->start, size) & access_mask(size);
	for (i = 0; i < size; i++) {
		r = port_region(bus, port + i);
		value |= (r->ops->read(r->dev, ((port + i) & 0xffff) - r->start, 1) & 0xff)
			 << i * 8;
	}
	return value;
}

void bus_port_write(struct bus *bus, uint16_t port, uint64_t value, unsigned int size)
{
	const struct bus_region *r = port_region(bus, port);
	unsigned int i;

	if (fits(r, port - r->start, size)) {
		r->ops->write(r->dev, port - r->start, value & access_mask(size), size);
		return;
	}
	for (i = 0; i < size; i++) {
		r = port_region(bus, port + i);
		r->ops->write(r->dev, ((port + i) & 0xffff) - r->start, (value >> i * 8) & 0xff, 1);
	}
}

uint64_t bus_mmio_read(struct bus *bus, uint64_t addr, unsigned int size)
{
	const struct bus_region *r = mmio_region(bus, addr);
	uint64_t value = 0;
	unsigned int i;

	if (fits(r, addr - r->start, size))
		return r->ops->read(r->dev, addr - r->start, size) & access_mask(size);
	for (i = 0; i < size; i++) {
		r = mmio_region(bus, addr + i);
		value |= (r->ops->read(r->dev, addr + i - r->start, 1) & 0xff) << i * 8;
	}
	return value;
}

void bus_mmio_write(struct bus *bus, uint64_t addr, uint64_t value, unsigned int size)
{
	const struct bus_region *r = mmio_region(bus, addr);
	unsigned int i;

	if (fits(r, addr - r->start, size)) {
		r->ops->write(r->dev, addr - r->start, value & access_mask(size), size);
		return;
	}
	for (i = 0; i < size; i++) {
		r = mmio_region(bus, addr + i);
		r->ops->write(r->dev, addr + i - r->start, (value >> i * 8) & 0xff, 1);
	}
}
