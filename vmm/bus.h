/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * bus.h - who answers at which port and at which MMIO address.
 *
 * Regions are added and removed while no vCPU runs. Accesses come from all vCPU threads at once;
 * each device has a lock of its own.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <stdint.h>

struct bus_ops {
	/* @offset from the region's start, @size 1, 2, 4 or 8 and at most max_size. Any vCPU
	 * thread. */
	uint64_t (*read)(void *dev, uint64_t offset, unsigned int size);
	void (*write)(void *dev, uint64_t offset, uint64_t value, unsigned int size);
	unsigned int max_size;	/* wider accesses arrive as several, low part first */
};

#define BUS_MAX_REGIONS	64	/* per kind; region numbers fit in a byte */
#define BUS_PORTS	0x10000

struct bus_region {
	uint64_t start;
	uint64_t len;
	const struct bus_ops *ops;
	void *dev;
};

struct bus {
	unsigned int nr_ports, nr_mmio;
	/* [0] is nobody: reads all ones, ignores writes */
	struct bus_region ports[BUS_MAX_REGIONS];
	struct bus_region mmio[BUS_MAX_REGIONS];	/* sorted by start */
	uint8_t port_map[BUS_PORTS];			/* port -> index in ports[] */
};

void bus_init(struct bus *bus);

/** Add a region. 0; -EINVAL: empty or wraps; -EEXIST: overlaps another; -ENOSPC. */
int bus_add_ports(struct bus *bus, uint64_t start, uint64_t len, const struct bus_ops *ops,
		  void *dev);
int bus_add_mmio(struct bus *bus, uint64_t start, uint64_t len, const struct bus_ops *ops,
		 void *dev);

/** Remove the region that begins at @start. 0 or -ENOENT. */
int bus_remove_ports(struct bus *bus, uint64_t start);
int bus_remove_mmio(struct bus *bus, uint64_t start);

/** One access, @size 1 to 8 bytes. What nobody answers reads as all ones. Any thread. */
uint64_t bus_port_read(struct bus *bus, uint16_t port, unsigned int size);
void bus_port_write(struct bus *bus, uint16_t port, uint64_t value, unsigned int size);
uint64_t bus_mmio_read(struct bus *bus, uint64_t addr, unsigned int size);
void bus_mmio_write(struct bus *bus, uint64_t addr, uint64_t value, unsigned int size);

/* An interrupt line as a device sees it: it knows neither the controller nor the VM. */
struct irq_pin {
	void (*set)(void *opaque, unsigned int gsi, int level);
	void *opaque;
	unsigned int gsi;
};

static inline void irq_set(const struct irq_pin *pin, int level)
{
	pin->set(pin->opaque, pin->gsi, level);
}

#endif
