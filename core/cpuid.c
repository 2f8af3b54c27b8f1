// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * cpuid.c - a vCPU's CPUID: what the client set, with the bits that follow the processor's state
 * filled in.
 */
#include "private.h"
#include "../x86/policy/cpuid.h"

/*
 * The host's offer does not change, and asking the processor is slow where this host is a guest
 * itself (each CPUID exits): asked once for each vendor.
 */
static struct {
	u32 state;			/* 0 empty, 1 being filled, 2 ready; atomic */
	const struct vendor_ops *vendor;
	u32 n;
	struct kvm_cpuid_entry2 e[POLICY_MAX_CPUID];
} supported;

/* A processor in software needs nothing switched on. */
static bool is_software(const struct vendor_ops *vendor)
{
	return !vendor->cpu_enable;
}

static void fill_supported(const struct vendor_ops *vendor)
{
	int n;

	if (host_cmpxchg(&supported.state, 0, 1) == 0) {
		n = policy_supported_cpuid(supported.e, POLICY_MAX_CPUID, vendor->cpuid_limit,
					   is_software(vendor));
		supported.n = n < 0 ? 0 : n;
		supported.vendor = vendor;
		host_store_release(&supported.state, 2);	/* pairs with the acquires below */
	}
	while (host_load_acquire(&supported.state) != 2)
		host_cpu_relax();
}

int cpuid_supported(const struct vendor_ops *vendor, struct kvm_cpuid_entry2 *e, u32 max)
{
	if (host_load_acquire(&supported.state) != 2)
		fill_supported(vendor);
	if (unlikely(supported.vendor != vendor))
		return policy_supported_cpuid(e, max, vendor->cpuid_limit, is_software(vendor));
	if (supported.n > max)
		return -E2BIG;
	host_memcpy(e, supported.e, supported.n * sizeof(*e));
	return supported.n;
}

/* What instructions, registers and addresses the guest has, from its entries e. */
static int derive(struct vcpu *v, const struct kvm_cpuid_entry2 *e, u32 n)
{
	struct vcpu_priv *p = v->priv;
	struct kvm_cpuid_entry2 *have;
	int nhave;

	have = host_zalloc(POLICY_MAX_CPUID * sizeof(*have));
	if (!have)
		return -ENOMEM;
	nhave = cpuid_supported(v->vm->vendor, have, POLICY_MAX_CPUID);
	if (nhave < 0)
		nhave = 0;
	if (!e) {
		e = have;
		n = nhave;
	}
	policy_features(have, nhave, e, n, p->features);
	p->cr4_allowed = policy_cr4(e, n) & policy_cr4(have, nhave);
	p->efer_allowed = policy_efer(e, n) & policy_efer(have, nhave);
	p->xcr0_allowed = policy_xcr0(e, n) & policy_xcr0(have, nhave);
	p->maxphyaddr = policy_maxphyaddr(e, n);
	host_free(have);
	return 0;
}

void cpuid_init(struct vcpu *v)
{
	v->priv->arch_capabilities = policy_arch_capabilities(is_software(v->vm->vendor));
	v->priv->ucode_rev = policy_host_is_amd() ? 0x01000065 : 1UL << 32;	/* as KVM's */
	if (derive(v, NULL, 0)) {
		v->priv->features[0] = BIT(FEAT_BASE);
		v->priv->maxphyaddr = 36;
	}
}

static void set_bit_if(u32 *reg, unsigned int bit, bool on)
{
	*reg = (*reg & ~(1u << bit)) | (u32)on << bit;
}

/* The bits that the processor's state decides. */
static void runtime_bits(struct vcpu *v, u32 leaf, u32 subleaf, u32 r[4])
{
	const struct x86_state *st = v->st;
	u64 base;

	switch (leaf) {
	case 1:
		set_bit_if(&r[CPUID_ECX], 27, (st->cr4 & CR4_OSXSAVE) && (r[CPUID_ECX] & BIT(26)));
		base = vcpu_apic_base(v);
		if (!vm_has_quirk(v->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
			set_bit_if(&r[CPUID_ECX], 3, v->priv->misc_enable & MISC_ENABLE_MWAIT);
		set_bit_if(&r[CPUID_EDX], 9, base & APIC_BASE_ENABLE);	/* whatever the client said */
		break;
	case 7:
		if (subleaf == 0)
			set_bit_if(&r[CPUID_ECX], 4,
				   (st->cr4 & CR4_PKE) && (r[CPUID_ECX] & BIT(3)));
		break;
	case 0x40000001:
		/* a halted vCPU that makes no exit is not to be kicked */
		if (v->vm->priv->exits_off & KVM_X86_DISABLE_EXITS_HLT)
			set_bit_if(&r[CPUID_EAX], 7, false);
		break;
	case 0xd:
		if (subleaf == 0 && r[CPUID_EAX])
			r[CPUID_EBX] = policy_xsave_size(st->xcr0);
		else if (subleaf == 1 && (r[CPUID_EAX] & (BIT(1) | BIT(3))))
			r[CPUID_EBX] = policy_xsave_size(st->xcr0);
		break;
	}
}

/*
 * Is that what the vCPU has? KVM_GET_CPUID2 shows the bits that the processor's state decides, and
 * a client may hand them back.
 */
static bool same_entries(struct vcpu *v, const struct kvm_cpuid_entry2 *e, u32 n)
{
	const struct vcpu_priv *p = v->priv;
	u32 i;

	if (n != p->nr_cpuid)
		return false;
	for (i = 0; i < n; i++) {
		const struct kvm_cpuid_entry2 *a = &p->cpuid[i], *b = &e[i];
		u32 have[4] = { a->eax, a->ebx, a->ecx, a->edx };
		u32 give[4] = { b->eax, b->ebx, b->ecx, b->edx };

		if (a->function != b->function || a->index != b->index || a->flags != b->flags)
			return false;
		runtime_bits(v, a->function, a->index, have);
		runtime_bits(v, b->function, b->index, give);
		if (host_memcmp(have, give, sizeof(have)))
			return false;
	}
	return true;
}

/**
 * KVM_SET_CPUID2. -E2BIG: more than HV_MAX_CPUID; -EINVAL: linear addresses of a width that is
 * neither 48 nor 57, or a change after the first KVM_RUN; -ENOMEM. vcpu->mutex held.
 */
int vcpu_set_cpuid(struct vcpu *v, const struct kvm_cpuid_entry2 *e, u32 n)
{
	struct vcpu_priv *p = v->priv;
	const struct kvm_cpuid_entry2 *a;
	u32 width;
	int ret;

	if (n > HV_MAX_CPUID)
		return -E2BIG;
	if (p->has_run)
		return same_entries(v, e, n) ? 0 : -EINVAL;
	a = policy_find(e, n, 0x80000008, 0);
	width = a ? a->eax >> 8 & 0xff : 0;
	if (width && width != 48 && width != 57)
		return -EINVAL;
	ret = derive(v, e, n);
	if (ret)
		return ret;
	host_memcpy(p->cpuid, e, n * sizeof(*e));
	p->nr_cpuid = n;
	gaccess_flush(v);
	/* the width of physical addresses, features */
	v->vm->vendor->regs_changed(v, REGS_CR);
	v->vm->vendor->tlb_flush(v, true);
	return 0;
}

const struct kvm_cpuid_entry2 *vcpu_cpuid_entry(struct vcpu *v, u32 leaf, u32 subleaf)
{
	return policy_find(v->priv->cpuid, v->priv->nr_cpuid, leaf, subleaf);
}

/** The CPUID instruction; eax and ecx are inputs as well. */
void vcpu_cpuid(struct vcpu *v, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	u32 leaf = *eax, subleaf = *ecx, r[4];

	policy_lookup(v->priv->cpuid, v->priv->nr_cpuid, leaf, subleaf, r);
	runtime_bits(v, leaf, subleaf, r);
	*eax = r[0];
	*ebx = r[1];
	*ecx = r[2];
	*edx = r[3];
}
