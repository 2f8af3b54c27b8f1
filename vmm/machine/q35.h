/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* q35.h - the board: which devices there are, and where they sit. */
#ifndef VMM_MACHINE_Q35_H
#define VMM_MACHINE_Q35_H

#include "../bus.h"
#include "../error.h"
#include "../gmem.h"
#include "../hw/i8042.h"
#include "../hw/pm.h"
#include "../hw/rtc.h"
#include "../hw/uart.h"
#include "../loop.h"
#include "../pci/pci.h"

/* What the board needs from the VM it is in. The functions may be called from any vCPU thread. */
struct q35_host {
	struct bus *bus;
	struct loop *loop;
	const struct gmem *mem;
	unsigned int cpus;
	void (*irq)(void *opaque, unsigned int gsi, int level);
	void (*poweroff)(void *opaque);
	void (*reset)(void *opaque);
	void *opaque;
};

struct q35 {
	struct q35_host host;
	struct uart uart;
	bool has_uart;
	struct rtc rtc;
	struct pm pm;
	struct i8042 kbc;
	struct pci_host pci;
	struct pci_function mch;	/* memory controller hub: the host bridge */
	struct loop_timer rtc_timer, pm_timer;
};

/**
 * Build the board. @console: the serial port's other side, NULL: no serial port. 0, or -1 with *err
 * set.
 */
int q35_create(struct q35 *q, const struct q35_host *host, const struct uart_host *console,
	       struct vmm_err *err);
void q35_destroy(struct q35 *q);

/** The reset line. No vCPU runs. */
void q35_reset(struct q35 *q);

/**
 * Write what firmware leaves in memory: BIOS data area and ACPI tables. The RSDP's address, or 0
 * with *err set.
 */
uint64_t q35_write_tables(struct q35 *q, struct vmm_err *err);

#endif
