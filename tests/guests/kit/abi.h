/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* abi.h - what a guest program and the runner agree on: addresses, ports, records. Both include it. */
#ifndef GUEST_ABI_H
#define GUEST_ABI_H

#define GUEST_BASE		0x100000	/* protected mode programs: loaded and entered here */
#define GUEST_BASE_REAL		0x8000		/* real mode programs: CS 0, IP this */
#define GUEST_MEMORY		0x1000000	/* bytes of memory from 0 */

#define PORT_RECORD		0x5e0		/* OUT 4: physical address of a struct guest_record */
#define PORT_COMMAND		0x5e4		/* OUT 4: one of the commands below, argument in bits 31:8 */
#define   COMMAND_DONE		0		/* the guest has finished */
#define   COMMAND_END		1		/* this step will end with exit reason ARG; then comes the next one */
#define   COMMAND_NMI		2		/* KVM_NMI to vCPU ARG */
#define   COMMAND_LOG		3		/* log accesses to the device at physical address ARG */
#define   COMMAND_LOG_STOP	4
#define   COMMAND_IRQ		5		/* KVM_IRQ_LINE: line in ARG bits 7:0, level in bit 8 */
#define   COMMAND_SKIP		6		/* the rest cannot run here; name at physical address ARG */
#define   COMMAND_XCR0		7		/* KVM_SET_XCRS: XCR0 = ARG, for a processor that loses XSETBV */

/* A device that answers a read with bytes 0x10, 0x11, ... by the low address bits and logs what is done to it. */
#define PORT_DEVICE		0x5f0		/* 16 ports */
#define MMIO_DEVICE		0xd0000000	/* 64 KiB */

#define GUEST_LOG_MAX		64

#ifndef __ASSEMBLER__
/* "name.part": got, and what the manuals say it must be. Strings by physical address. */
struct guest_record {
	unsigned int name, part;
	unsigned long long got, want;
};

struct guest_log {
	unsigned int count, pad;
	struct {
		unsigned int addr;
		unsigned char len, write, pad[2];
		unsigned long long data;
	} entry[GUEST_LOG_MAX];
};
#endif
#endif
