/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * anykvm_stat.h - how a process with VMs shows its counters to others, such as `anykvm stat`: a memfd
 * among its descriptors, ANYKVM_STAT_LINK in /proc/PID/fd, that whoever may read that folder can open
 * and map. The counters live in there, so showing them costs nothing, and it goes with the process.
 *
 * A header of one block is followed by blocks, one per VM or vCPU, each with the names of its
 * counters. A reader copies a block, and believes it if kind and id are the same before and after.
 */
#ifndef ANYKVM_STAT_H
#define ANYKVM_STAT_H

#include <stdint.h>

#define ANYKVM_STAT_NAME	"anykvm-stat"
#define ANYKVM_STAT_LINK	"/memfd:" ANYKVM_STAT_NAME " (deleted)"
#define ANYKVM_STAT_MAGIC	0x7461747376796e61ULL	/* "anyvstat" */
#define ANYKVM_STAT_VERSION	1
#define ANYKVM_STAT_VALUES	128
#define ANYKVM_STAT_ROWS	60

struct anykvm_stat_header {
	uint64_t magic;
	uint32_t version;
	uint32_t block_size;	/* sizeof(struct anykvm_stat_block) */
	uint32_t nr_blocks;	/* how many may be in use; grows */
	int32_t pid;		/* of the process, as it sees itself: a forked child has the file too */
};

enum anykvm_stat_kind { ANYKVM_STAT_FREE, ANYKVM_STAT_VM, ANYKVM_STAT_VCPU };

struct anykvm_stat_block {
	uint32_t kind;		/* enum anykvm_stat_kind */
	uint32_t nr;		/* rows in use */
	char id[48];		/* "kvm-0", and of a vCPU of that VM "kvm-0/vcpu-1" */
	uint64_t reserved;
	uint64_t value[ANYKVM_STAT_VALUES];
	struct {
		char name[40];
		uint32_t index;	/* of the counter in value */
		uint32_t reserved;
	} row[ANYKVM_STAT_ROWS];
	uint64_t pad[16];
};

#endif
