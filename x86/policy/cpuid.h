/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * cpuid.h - what processor a guest sees. Tables over entries as in the KVM API; no vCPU is known
 * here.
 */
#ifndef X86_POLICY_CPUID_H
#define X86_POLICY_CPUID_H

#include <linux/kvm.h>
#include "../../host/types.h"

#define POLICY_MAX_CPUID	100	/* clients pass buffers of this size and try once */

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

/* As vendor_ops.cpuid_limit: clear what the vendor does not implement. */
typedef void (*policy_limit_fn)(u32 leaf, u32 subleaf, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);

/**
 * All that this host's processor and the vendor can offer, by cpuid.def, the paravirtual leaves
 * included.
 * @limit: may be NULL; @software: the processor is a software one (UNAFFECTED_* in cpuid.def)
 * Returns the number of entries, or -E2BIG if more than @max.
 */
int policy_supported_cpuid(struct kvm_cpuid_entry2 *e, u32 max, policy_limit_fn limit,
			   bool software);

/** The entry for exactly this leaf (and subleaf, where that matters), or NULL. */
const struct kvm_cpuid_entry2 *policy_find(const struct kvm_cpuid_entry2 *e, u32 n, u32 leaf,
					   u32 subleaf);

/**
 * What CPUID returns for @leaf and @subleaf: zeros where nothing is known, but data of the highest
 * basic leaf for leaves out of range on processors that are not AMD's. SDM 2A CPUID, "INPUT EAX =
 * ..."; APM 3 appendix E.2
 */
void policy_lookup(const struct kvm_cpuid_entry2 *e, u32 n, u32 leaf, u32 subleaf, u32 regs[4]);

/** One feature bit; false if the leaf is absent. */
bool policy_bit(const struct kvm_cpuid_entry2 *e, u32 n, u32 leaf, u32 subleaf, enum cpuid_reg reg,
		unsigned int bit);

/**
 * Which instructions exist: a bit per enum insn_feature of x86/decode. @have: what host and vendor
 * offer; @guest: what the client has told the guest. As on hardware, a client can take away only
 * those instructions that a control register or an intercept guards.
 */
void policy_features(const struct kvm_cpuid_entry2 *have, u32 nhave,
		     const struct kvm_cpuid_entry2 *guest, u32 nguest, u64 features[2]);

/* Bits that a guest with these entries may set. */
u64 policy_cr4(const struct kvm_cpuid_entry2 *e, u32 n);
u64 policy_efer(const struct kvm_cpuid_entry2 *e, u32 n);
u64 policy_xcr0(const struct kvm_cpuid_entry2 *e, u32 n);
u8 policy_maxphyaddr(const struct kvm_cpuid_entry2 *e, u32 n);

/** Size in bytes of the standard or compacted XSAVE area for the components in @xcr0. SDM 1 13.4 */
u32 policy_xsave_size(u64 xcr0);

/** Is the host's processor AMD's (or Hygon's)? */
bool policy_host_is_amd(void);

/** IA32_ARCH_CAPABILITIES for guests of this host. SDM 4 */
u64 policy_arch_capabilities(bool software);

#endif
