// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * policy.c - ioctls with lists of CPUID leaves and MSRs. A list is copied in as a whole, worked on,
 * copied out.
 */
#include "ioctl.h"

#define MSRS_MAX	256	/* exclusive: KVM_GET_MSRS and KVM_SET_MSRS take fewer */

/* ---- CPUID ----------------------------------------------------------------------------------- */

/** KVM_GET_SUPPORTED_CPUID. -E2BIG: the list is longer than nent. */
long sys_get_supported_cpuid(struct kvm_cpuid2 *c, u64 uarg)
{
	const struct vendor_ops *vendor;
	struct kvm_cpuid_entry2 *e;
	const char *why = NULL;
	long ret;

	vendor = glue_vendor(&why);
	if (!vendor)
		return -ENODEV;
	e = host_zalloc(HV_MAX_CPUID * sizeof(*e));
	if (!e)
		return -ENOMEM;
	ret = cpuid_supported(vendor, e, HV_MAX_CPUID);
	if (ret < 0)
		goto out;
	if (c->nent < ret) {
		ret = -E2BIG;
		goto out;
	}
	c->nent = ret;
	ret = host_copy_to_caller(uarg + sizeof(*c), e, c->nent * sizeof(*e));
out:
	host_free(e);
	return ret;
}

/**
 * KVM_SET_CPUID2. -E2BIG: over 256 entries; -EINVAL: refused, or a change after the first KVM_RUN.
 */
long vcpu_ioctl_set_cpuid2(struct vcpu *vcpu, struct kvm_cpuid2 *c, u64 uarg)
{
	struct kvm_cpuid_entry2 *e;
	long ret;

	if (c->nent > HV_MAX_CPUID)
		return -E2BIG;
	e = host_zalloc(c->nent ? c->nent * sizeof(*e) : sizeof(*e));
	if (!e)
		return -ENOMEM;
	ret = host_copy_from_caller(e, uarg + sizeof(*c), c->nent * sizeof(*e));
	if (!ret)
		ret = vcpu_set_cpuid(vcpu, e, c->nent);
	host_free(e);
	return ret;
}

/** KVM_SET_CPUID: the old form, whose entries have no subleaf. Errors as KVM_SET_CPUID2's. */
long vcpu_ioctl_set_cpuid(struct vcpu *vcpu, struct kvm_cpuid *c, u64 uarg)
{
	struct kvm_cpuid_entry2 *e;
	u32 i;
	long ret = 0;

	if (c->nent > HV_MAX_CPUID)
		return -E2BIG;
	e = host_zalloc((c->nent + 1) * sizeof(*e));
	if (!e)
		return -ENOMEM;
	for (i = 0; i < c->nent && !ret; i++) {
		struct kvm_cpuid_entry old;

		ret = host_copy_from_caller(&old, uarg + sizeof(*c) + i * sizeof(old), sizeof(old));
		e[i] = (struct kvm_cpuid_entry2){ .function = old.function, .eax = old.eax, .ebx = old.ebx,
						  .ecx = old.ecx, .edx = old.edx };
	}
	if (!ret)
		ret = vcpu_set_cpuid(vcpu, e, c->nent);
	host_free(e);
	return ret;
}

/**
 * KVM_GET_EMULATED_CPUID: what the emulator does, whatever the host: MOVBE and RDPID. -E2BIG: nent
 * too small.
 */
long sys_get_emulated_cpuid(struct kvm_cpuid2 *c, u64 uarg)
{
	static const struct kvm_cpuid_entry2 emulated[] = {
		{ .function = 0, .eax = 7 },
		{ .function = 1, .ecx = BIT(22) },
		{ .function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .ecx = BIT(22) },
	};

	if (c->nent < ARRAY_SIZE(emulated))
		return -E2BIG;
	c->nent = ARRAY_SIZE(emulated);
	return host_copy_to_caller(uarg + sizeof(*c), emulated, sizeof(emulated)) ? -EFAULT : 0;
}

/** KVM_HAS_DEVICE_ATTR on the system descriptor. -ENXIO: no such attribute. */
long sys_has_device_attr(struct kvm_device_attr *a)
{
	return a->group || a->attr != KVM_X86_XCOMP_GUEST_SUPP ? -ENXIO : 0;
}

/** KVM_GET_DEVICE_ATTR on the system descriptor: XCR0 that guests may have. -ENXIO, -EFAULT. */
long sys_get_device_attr(struct kvm_device_attr *a)
{
	const struct vendor_ops *vendor;
	const char *why = NULL;
	u64 xcr0;
	int ret;

	if (sys_has_device_attr(a))
		return -ENXIO;
	vendor = glue_vendor(&why);
	if (!vendor)
		return -ENODEV;
	ret = supported_xcr0(vendor, &xcr0);
	if (ret)
		return ret;
	return host_copy_to_caller(a->addr, &xcr0, sizeof(xcr0)) ? -EFAULT : 0;
}

/**
 * KVM_GET_CPUID2, with what changes at run time as CPUID would say now. -E2BIG, and the right nent:
 * too small.
 */
long vcpu_ioctl_get_cpuid2(struct vcpu *vcpu, struct kvm_cpuid2 *c, u64 uarg)
{
	u32 nr = vcpu->priv->nr_cpuid, room = c->nent, i;

	c->nent = nr;
	if (room < nr)
		return host_copy_to_caller(uarg, c, sizeof(*c)) ? -EFAULT : -E2BIG;
	for (i = 0; i < nr; i++) {
		struct kvm_cpuid_entry2 e = vcpu->priv->cpuid[i];
		u32 eax = e.function, ebx = 0, ecx = e.index, edx = 0;

		vcpu_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
		e.eax = eax;
		e.ebx = ebx;
		e.ecx = ecx;
		e.edx = edx;
		if (host_copy_to_caller(uarg + sizeof(*c) + i * sizeof(e), &e, sizeof(e)))
			return -EFAULT;
	}
	return 0;
}

/* ---- MSRs ------------------------------------------------------------------------------------ */

static long get_index_list(struct kvm_msr_list *l, u64 uarg, u32 (*list)(u32 *out, u32 max))
{
	u32 room = l->nmsrs, nr;
	u32 *index;
	long ret;

	index = host_zalloc(MSRS_MAX * sizeof(*index));
	if (!index)
		return -ENOMEM;
	nr = list(index, MSRS_MAX);
	l->nmsrs = nr;
	/* The length goes out even if the list does not fit: clients ask with 0 first. */
	if (room < nr)
		ret = host_copy_to_caller(uarg, l, sizeof(*l)) ? -EFAULT : -E2BIG;
	else
		ret = host_copy_to_caller(uarg + sizeof(*l), index, nr * sizeof(*index));
	host_free(index);
	return ret;
}

/** KVM_GET_MSR_INDEX_LIST. -E2BIG, and the length in nmsrs: the list is longer than nmsrs said. */
long sys_get_msr_index_list(struct kvm_msr_list *l, u64 uarg)
{
	return get_index_list(l, uarg, msr_list);
}

/** KVM_GET_MSR_FEATURE_INDEX_LIST; as above. */
long sys_get_msr_feature_index_list(struct kvm_msr_list *l, u64 uarg)
{
	return get_index_list(l, uarg, msr_feature_list);
}

/*
 * Copy the entries in, apply op to each until one fails, copy them out if asked. Entries done, or
 * -errno.
 */
static long msrs_io(void *obj, const struct kvm_msrs *m, u64 uarg,
		    int (*op)(void *obj, struct kvm_msr_entry *e), bool out)
{
	struct kvm_msr_entry *e;
	size_t size;
	long ret;
	u32 i;

	if (m->nmsrs >= MSRS_MAX)
		return -E2BIG;
	if (!m->nmsrs)
		return 0;
	size = m->nmsrs * sizeof(*e);
	e = host_zalloc(size);
	if (!e)
		return -ENOMEM;
	ret = host_copy_from_caller(e, uarg + sizeof(*m), size);
	if (ret)
		goto done;
	for (i = 0; i < m->nmsrs; i++)
		if (op(obj, &e[i]))
			break;
	ret = out && host_copy_to_caller(uarg + sizeof(*m), e, size) ? -EFAULT : (long)i;
done:
	host_free(e);
	return ret;
}

static int op_feature(void *obj, struct kvm_msr_entry *e)
{
	u64 v;
	int ret = msr_feature_get(e->index, &v);

	if (!ret)
		e->data = v;
	return ret;
}

static int op_get(void *vcpu, struct kvm_msr_entry *e)
{
	u64 v;
	int ret = msr_get(vcpu, e->index, &v, true);

	if (!ret)
		e->data = v;
	return ret;
}

static int op_set(void *vcpu, struct kvm_msr_entry *e)
{
	return msr_set(vcpu, e->index, e->data, true);
}

/**
 * KVM_GET_MSRS on the system descriptor: feature MSRs. How many were read; -E2BIG: 256 or more
 * asked for.
 */
long sys_get_msrs(struct kvm_msrs *m, u64 uarg)
{
	return msrs_io(NULL, m, uarg, op_feature, true);
}

/**
 * KVM_GET_MSRS. How many were read, up to the first that cannot be; -E2BIG: 256 or more asked for.
 */
long vcpu_get_msrs(struct vcpu *vcpu, struct kvm_msrs *m, u64 uarg)
{
	return msrs_io(vcpu, m, uarg, op_get, true);
}

/** KVM_SET_MSRS. How many were set, up to the first that is refused; -E2BIG: 256 or more given. */
long vcpu_set_msrs(struct vcpu *vcpu, struct kvm_msrs *m, u64 uarg)
{
	return msrs_io(vcpu, m, uarg, op_set, false);
}
