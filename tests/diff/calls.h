/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * calls.h - between the frame of the differential test (calls.c), the calls on VMs (vm.c) and those on vCPUs (vcpu.c).
 */
#ifndef TESTS_DIFF_CALLS_H
#define TESTS_DIFF_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>
#include "t_random.h"

#define SEQ_CALLS	30		/* calls of a sequence */
#define CPUS		3
#define EVENTS		3
#define MEM		0x40000UL	/* slot 0, at guest-physical 0 */
#define RUN_SIZE	0x3000

/* what lies where in memory, all within what HASHED covers but for the page tables */
#define HANDLERS_AT	0x2000
#define DATA_AT		0x3000
#define GDT_AT		0x5000
#define TSS_AT		0x5800
#define STACK_AT	0x7000
#define CODE_AT		0x8000
#define IDT32_AT	0x9000
#define IDT64_AT	0xa000
#define HASHED		0x10000
#define TABLES_AT	0x10000
#define CLOCKS_AT	0x20000		/* pages that the hypervisor writes times to */

enum irqchip { NO_CHIP, FULL, SPLIT };

/* State that is read and written as a whole. */
enum pair { REGS, SREGS, SREGS2, FPU, XSAVE, XCRS, MP_STATE, CPU_EVENTS, DEBUGREGS, LAPIC, CHIP, PIT2, PAIRS };

struct seq {
	uint64_t number;
	int vm;
	enum irqchip irqchip;
	uint8_t *mem;
	unsigned int cpus;
	struct {
		int fd;
		unsigned int id;
		struct kvm_run *run;
	} cpu[CPUS];
	int event[EVENTS];
	int device;		/* -1: none */
	/* what was read last */
	struct {
		bool have;
		uint8_t bytes[4096];
	} got[PAIRS];
	uint32_t msi_gsis;	/* which GSIs are MSIs, by their low five bits */
	bool pv_enforced;	/* KVM_CAP_ENFORCE_PV_FEATURE_CPUID was asked for */
	bool over;		/* from here on results would depend on time */
};

struct op {
	const char *name;
	unsigned int weight;
	void (*fn)(struct rnd *r);
};

extern struct seq s;
extern const struct op ops[];

void out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void out_ret(long ret);
void out_words(const void *p, size_t n);
uint32_t hash(const void *p, size_t n);
long call(int fd, unsigned long nr, const void *arg);
long call_n(int fd, unsigned long nr, unsigned long arg);
void shut(int fd);
void vcpu_add(unsigned long id);
void fill_memory(void);

/* state.c */
void op_get(struct rnd *r);
void op_set(struct rnd *r);
void op_round_trip(struct rnd *r);
void op_msrs_get(struct rnd *r);
void op_msrs_set(struct rnd *r);
void hide_events(void *p);
uint64_t canonical(uint64_t v);
uint32_t any_msr(struct rnd *r);
uint64_t x2apic_value(uint32_t index, uint64_t v);
uint64_t any_msr_value(struct rnd *r, uint32_t index);

/* run.c */
void op_run(struct rnd *r);

#endif
