// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * pci.c - configuration mechanism #1 (PCI Local Bus Specification 3.0, section 3.2.2.3.2), the
 * enhanced one (PCI Express Base Specification, section 7.2.2), and plain functions.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdbool.h>
#include <string.h>

#include "pci.h"

#define ADDRESS_ENABLE	0x80000000u
#define ADDRESS_BITS	0x80fffffcu
#define RESET_OFFSET	1	/* port 0xcf9 */
#define DATA_OFFSET	4	/* ports 0xcfc to 0xcff */

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v;
	p[1] = v >> 8;
}

/*
 * Registers @reg on of the function at @bus and @devfn; what is not there reads as all ones. Lock
 * held.
 */
static uint64_t registers_read(struct pci_host *host, unsigned int bus, unsigned int devfn,
			       unsigned int reg, unsigned int size)
{
	const struct pci_function *f = bus ? NULL : host->functions[devfn];
	uint64_t value = ~0ull;
	unsigned int i;

	for (i = 0; f && i < size && reg + i < PCI_CONFIG_SIZE; i++)
		value = (value & ~(0xffull << i * 8)) | (uint64_t)f->config[reg + i] << i * 8;
	return value;
}

static void registers_write(struct pci_host *host, unsigned int bus, unsigned int devfn,
			    unsigned int reg, uint64_t value, unsigned int size)
{
	struct pci_function *f = bus ? NULL : host->functions[devfn];
	unsigned int i;
	uint8_t mask;

	for (i = 0; f && i < size && reg + i < PCI_CONFIG_SIZE; i++) {
		mask = f->writable[reg + i];
		f->config[reg + i] = (f->config[reg + i] & ~mask) | ((value >> i * 8) & mask);
	}
}

static unsigned int port_register(const struct pci_host *host, uint64_t offset)
{
	return (host->address & 0xfc) | (offset & 3);
}

static uint64_t config_read(void *dev, uint64_t offset, unsigned int size)
{
	struct pci_host *host = dev;
	uint64_t value = ~0ull;

	if (offset == RESET_OFFSET && size == 1)
		return host->reset_ops->read(host->reset_dev, 0, 1);
	pthread_mutex_lock(&host->lock);
	if (offset == 0 && size == 4)
		value = host->address;
	else if (offset >= DATA_OFFSET && (host->address & ADDRESS_ENABLE))
		value = registers_read(host, host->address >> 16 & 0xff, host->address >> 8 & 0xff,
				       port_register(host, offset), size);
	pthread_mutex_unlock(&host->lock);
	return value;
}

static void config_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct pci_host *host = dev;

	if (offset == RESET_OFFSET && size == 1) {
		host->reset_ops->write(host->reset_dev, 0, value, 1);
		return;
	}
	pthread_mutex_lock(&host->lock);
	if (offset == 0 && size == 4)
		host->address = value & ADDRESS_BITS;
	else if (offset >= DATA_OFFSET && (host->address & ADDRESS_ENABLE))
		registers_write(host, host->address >> 16 & 0xff, host->address >> 8 & 0xff,
				port_register(host, offset), value, size);
	pthread_mutex_unlock(&host->lock);
}

const struct bus_ops pci_config_ops = { .read = config_read, .write = config_write, .max_size = 4 };

static uint64_t ecam_read(void *dev, uint64_t offset, unsigned int size)
{
	struct pci_host *host = dev;
	uint64_t value;

	pthread_mutex_lock(&host->lock);
	value = registers_read(host, offset >> 20, offset >> 12 & 0xff, offset & 0xfff, size);
	pthread_mutex_unlock(&host->lock);
	return value;
}

static void ecam_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct pci_host *host = dev;

	pthread_mutex_lock(&host->lock);
	registers_write(host, offset >> 20, offset >> 12 & 0xff, offset & 0xfff, value, size);
	pthread_mutex_unlock(&host->lock);
}

const struct bus_ops pci_ecam_ops = { .read = ecam_read, .write = ecam_write, .max_size = 4 };

void pci_host_init(struct pci_host *host, const struct bus_ops *reset_ops, void *reset_dev)
{
	memset(host, 0, sizeof(*host));
	pthread_mutex_init(&host->lock, NULL);
	host->reset_ops = reset_ops;
	host->reset_dev = reset_dev;
}

void pci_host_destroy(struct pci_host *host)
{
	pthread_mutex_destroy(&host->lock);
}

void pci_host_reset(struct pci_host *host)
{
	unsigned int i;

	pthread_mutex_lock(&host->lock);
	host->address = 0;
	for (i = 0; i < 256; i++)
		if (host->functions[i])
			memcpy(host->functions[i]->config, host->functions[i]->initial,
			       PCI_CONFIG_SIZE);
	pthread_mutex_unlock(&host->lock);
}

void pci_function_init(struct pci_function *f, uint16_t vendor, uint16_t device,
		       uint32_t class_code, uint8_t revision)
{
	memset(f, 0, sizeof(*f));
	put16(f->initial + PCI_VENDOR_ID, vendor);
	put16(f->initial + PCI_DEVICE_ID, device);
	f->initial[PCI_REVISION_ID] = revision;
	f->initial[PCI_CLASS_PROG] = class_code;
	put16(f->initial + PCI_CLASS_DEVICE, class_code >> 8);
	f->writable[PCI_INTERRUPT_LINE] = 0xff;
	memcpy(f->config, f->initial, PCI_CONFIG_SIZE);
}

int pci_host_add(struct pci_host *host, uint8_t devfn, struct pci_function *f)
{
	if (host->functions[devfn])
		return -EEXIST;
	host->functions[devfn] = f;
	return 0;
}
