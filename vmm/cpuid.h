/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* cpuid.h - what CPUID tells a vCPU. */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>

#define CPUID_MAX	256	/* entries, as many as KVM takes */

struct vm_cpuid {
	struct kvm_cpuid2 hdr;
	struct kvm_cpuid_entry2 entries[CPUID_MAX];
};

struct cpuid_config {
	unsigned int index;	/* of the vCPU: its APIC id */
	unsigned int cpus;	/* in the VM: one socket, one thread per core */
	unsigned int tsc_khz;	/* 0: not known */
	bool tsc_deadline;
	bool hide_kvm;
};

/** @out: what KVM supports, made into one vCPU's view. Pure. */
void cpuid_build(struct vm_cpuid *out, const struct kvm_cpuid2 *supported,
		 const struct cpuid_config *cfg);

/** Width of a physical address, by leaf 0x80000008; 36 if there is none. */
unsigned int cpuid_phys_bits(const struct kvm_cpuid2 *supported);

#endif
