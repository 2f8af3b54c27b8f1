/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * linux.h - a Linux kernel into memory, by the 64-bit boot protocol
 * (Documentation/arch/x86/boot.rst).
 *
 * Open checks the files, place decides where everything goes, load copies it (again at each reset).
 */
#ifndef VMM_BOOT_LINUX_H
#define VMM_BOOT_LINUX_H

#include <asm/bootparam.h>
#include <linux/kvm.h>
#include <stdint.h>

#include "../error.h"
#include "../gmem.h"

struct linux_boot {
	const char *kernel_path, *initrd_path, *cmdline;
	int kernel_fd, initrd_fd;	/* -1: none */
	struct setup_header hdr;	/* as in the kernel file */
	uint64_t code_offset;		/* protected-mode part in the file */
	uint64_t code_size;
	uint64_t initrd_size;
	/* set by linux_place() */
	uint64_t code_addr;
	uint64_t initrd_addr;
};

/** Open and check both files. @initrd may be NULL. 0, or -1 with *err set and nothing left open. */
int linux_open(struct linux_boot *lb, const char *kernel, const char *initrd, const char *cmdline,
	       struct vmm_err *err);
void linux_close(struct linux_boot *lb);

/**
 * Decide where kernel and initrd go in memory that ends at @low_end. Pure. 0, or -1 with *err set.
 */
int linux_place(struct linux_boot *lb, uint64_t low_end, struct vmm_err *err);

/**
 * Write kernel, initrd, command line, zero page, page tables and GDT. @rsdp: where the ACPI tables
 * begin.
 */
int linux_load(const struct linux_boot *lb, const struct gmem *g, uint64_t rsdp,
	       struct vmm_err *err);

/** Put the entry state into registers that hold the state after reset. */
void linux_entry(const struct linux_boot *lb, struct kvm_regs *regs, struct kvm_sregs *sregs);

#endif
