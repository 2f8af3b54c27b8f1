// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * cpuid.c - KVM's list of supported features, made into one vCPU's CPUID (Intel SDM volume 2A,
 * CPUID; AMD APM volume 3, appendix E).
 *
 * KVM says what may be offered; which CPU this is, how many there are and who shares a cache is the
 * VMM's to say.
 */
#include <stdint.h>

#include "cpuid.h"

#define LEAF1_ECX_TSC_DEADLINE	(1u << 24)
#define LEAF1_ECX_HYPERVISOR	(1u << 31)
#define LEAF1_EDX_HTT		(1u << 28)
#define AMD_ECX_CMP_LEGACY	(1u << 1)
#define LEVEL_SMT		1
#define LEVEL_CORE		2
#define HYPERVISOR_FIRST	0x40000000u
#define HYPERVISOR_LAST		0x4fffffffu
#define HYPERVISOR_TIMING	0x40000010u
#define APIC_BUS_KHZ		1000000		/* KVM's APIC timer counts nanoseconds */

static unsigned int bits_for(unsigned int n)	/* smallest b with 1 << b >= n */
{
	unsigned int b = 0;

	while (1u << b < n)
		b++;
	return b;
}

static unsigned int field(unsigned int reg, unsigned int value, unsigned int low,
			  unsigned int width)
{
	unsigned int mask = ((1u << width) - 1) << low;

	if (value > (1u << width) - 1)
		value = (1u << width) - 1;
	return (reg & ~mask) | value << low;
}

static void add(struct vm_cpuid *out, const struct kvm_cpuid_entry2 *e)
{
	if (out->hdr.nent < CPUID_MAX)
		out->entries[out->hdr.nent++] = *e;
}

/* Leaf 0xb (and 0x1f, same form): a level of threads (one per core) and a level of cores. */
static void add_topology(struct vm_cpuid *out, unsigned int leaf, const struct cpuid_config *cfg)
{
	struct kvm_cpuid_entry2 e = {
		.function = leaf, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .edx = cfg->index,
	};

	e.index = 0;
	e.eax = 0;
	e.ebx = 1;
	e.ecx = LEVEL_SMT << 8 | 0;
	add(out, &e);
	e.index = 1;
	e.eax = bits_for(cfg->cpus);
	e.ebx = cfg->cpus;
	e.ecx = LEVEL_CORE << 8 | 1;
	add(out, &e);
	e.index = 2;
	e.eax = e.ebx = 0;
	e.ecx = 2;
	add(out, &e);
}

static void adjust(struct kvm_cpuid_entry2 *e, const struct cpuid_config *cfg)
{
	unsigned int level;

	switch (e->function) {
	case 0x1:
		e->ebx = field(e->ebx, cfg->cpus, 16, 8);
		e->ebx = field(e->ebx, cfg->index & 0xff, 24, 8);
		e->ecx |= LEAF1_ECX_HYPERVISOR;
		e->ecx &= ~LEAF1_ECX_TSC_DEADLINE;
		if (cfg->tsc_deadline)
			e->ecx |= LEAF1_ECX_TSC_DEADLINE;
		e->edx &= ~LEAF1_EDX_HTT;
		if (cfg->cpus > 1)
			e->edx |= LEAF1_EDX_HTT;
		break;
	case 0x4:
		/* Caches of level 1 and 2 belong to a core, level 3 to the socket. */
		level = e->eax >> 5 & 7;
		if (!(e->eax & 0x1f))
			break;
		e->eax = field(e->eax, level < 3 ? 0 : (1u << bits_for(cfg->cpus)) - 1, 14, 12);
		e->eax = field(e->eax, (1u << bits_for(cfg->cpus)) - 1, 26, 6);
		break;
	case 0x8000001d:
		level = e->eax >> 5 & 7;
		if (e->eax & 0x1f)
			e->eax = field(e->eax, level < 3 ? 0 : cfg->cpus - 1, 14, 12);
		break;
	case 0x80000001:
		e->ecx &= ~AMD_ECX_CMP_LEGACY;
		break;
	case 0x80000008:
		e->ecx = field(e->ecx, cfg->cpus - 1, 0, 8);
		e->ecx = field(e->ecx, bits_for(cfg->cpus), 12, 4);
		break;
	case 0x8000001e:
		e->eax = cfg->index;
		e->ebx = field(0, cfg->index & 0xff, 0, 8);
		e->ecx = 0;
		break;
	case HYPERVISOR_FIRST:
		if (cfg->tsc_khz && e->eax < HYPERVISOR_TIMING)
			e->eax = HYPERVISOR_TIMING;
		break;
	}
}

void cpuid_build(struct vm_cpuid *out, const struct kvm_cpuid2 *supported,
		 const struct cpuid_config *cfg)
{
	struct kvm_cpuid_entry2 timing = {
		.function = HYPERVISOR_TIMING, .eax = cfg->tsc_khz, .ebx = APIC_BUS_KHZ,
	};
	struct kvm_cpuid_entry2 e;
	unsigned int i, max_basic = 0, max_0x8 = 0;
	bool intel_leaf4 = false, kvm_leaves = false;

	out->hdr.nent = 0;
	for (i = 0; i < supported->nent; i++) {
		e = supported->entries[i];
		if (e.function == 0xb || e.function == 0x1f || e.function == HYPERVISOR_TIMING)
			continue;
		if (e.function >= HYPERVISOR_FIRST && e.function <= HYPERVISOR_LAST) {
			if (cfg->hide_kvm)
				continue;
			kvm_leaves = true;
		}
		if (e.function == 0)
			max_basic = e.eax;
		if (e.function == 0x80000000)
			max_0x8 = e.eax;
		if (e.function == 4 && (e.eax & 0x1f))
			intel_leaf4 = true;
		adjust(&e, cfg);
		add(out, &e);
	}
	if (max_basic >= 0xb)
		add_topology(out, 0xb, cfg);
	if (max_basic >= 0x1f)
		add_topology(out, 0x1f, cfg);
	if (kvm_leaves && cfg->tsc_khz)
		add(out, &timing);
	/* Only a CPU without leaf 4 (AMD's way) tells by CMP_LEGACY that its logical processors are
	 * cores. */
	for (i = 0; i < out->hdr.nent && !intel_leaf4 && max_0x8 >= 0x80000008 && cfg->cpus > 1; i++)
		if (out->entries[i].function == 0x80000001)
			out->entries[i].ecx |= AMD_ECX_CMP_LEGACY;
}

unsigned int cpuid_phys_bits(const struct kvm_cpuid2 *supported)
{
	unsigned int i, bits;

	for (i = 0; i < supported->nent; i++) {
		bits = supported->entries[i].eax & 0xff;
		if (supported->entries[i].function == 0x80000008 && bits >= 32 && bits <= 52)
			return bits;
	}
	return 36;
}
