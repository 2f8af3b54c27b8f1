/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * pci.h - PCI configuration space and its ways in: ports 0xcf8 to 0xcff (configuration mechanism
 * #1) and memory (ECAM).
 *
 * A function is 256 bytes of registers and as many of which bits the guest may write.
 */
#ifndef VMM_PCI_PCI_H
#define VMM_PCI_PCI_H

#include <pthread.h>
#include <stdint.h>

#include "../bus.h"

#define PCI_CONFIG_PORT		0xcf8
#define PCI_CONFIG_PORTS	8
#define PCI_CONFIG_SIZE		256
#define PCI_BUSES		1		/* told to the guest, which else looks for devices on 255 more */
#define PCI_ECAM_BASE		0xb0000000u
#define PCI_ECAM_SIZE		(PCI_BUSES << 20)	/* 4 KiB per function */
#define PCI_DEVFN(dev, fn)	((dev) << 3 | (fn))

struct pci_function {
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE];
	uint8_t initial[PCI_CONFIG_SIZE];	/* after reset */
};

struct pci_host {
	pthread_mutex_t lock;			/* address, and all functions' registers */
	uint32_t address;			/* as written to 0xcf8 */
	struct pci_function *functions[256];	/* bus 0, by devfn; NULL: nothing there */
	/* A byte at 0xcf9 is not for us: the chip set's reset control sits inside our ports. */
	const struct bus_ops *reset_ops;
	void *reset_dev;
};

extern const struct bus_ops pci_config_ops, pci_ecam_ops;

void pci_host_init(struct pci_host *host, const struct bus_ops *reset_ops, void *reset_dev);
void pci_host_destroy(struct pci_host *host);
void pci_host_reset(struct pci_host *host);

/** Identity of a function without BARs. @class_code: class << 16 | subclass << 8 | interface. */
void pci_function_init(struct pci_function *f, uint16_t vendor, uint16_t device,
		       uint32_t class_code, uint8_t revision);

/** Put a function on bus 0. 0 or -EEXIST. */
int pci_host_add(struct pci_host *host, uint8_t devfn, struct pci_function *f);

#endif
