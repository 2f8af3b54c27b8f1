// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * tsc.c - each vCPU's time stamp counter: its rate (KVM_SET_TSC_KHZ), its offset (KVM_VCPU_TSC_CTRL),
 * and the rule that keeps the counters of a VM together.
 *
 * Guest TSC = host TSC scaled by st->tsc_ratio + st->tsc_offset. SDM 3C 25.3 and Linux's
 * Documentation/virt/kvm/devices/vcpu.rst section 4 have the same.
 */
#include "ioctl.h"

/*
 * A rate this near to the processor's own is the same clock: 250 parts per million, as NTP would
 * correct.
 */
#define TSC_TOLERANCE_PPM	250
#define TSC_RATIO_BITS		48
#define TSC_MAX_KHZ		0x7fffffffUL
/* ratios beyond do not fit; 2^15 leaves sums of scaled values far from wrapping */
#define TSC_MAX_RATIO		(1UL << 15)

u64 vcpu_scale_tsc(const struct vcpu *v, u64 host)
{
	u64 ratio = READ_ONCE(v->st->tsc_ratio);

	if (likely(!ratio))
		return host;
	return (u64)(((unsigned __int128)host * ratio) >> TSC_RATIO_BITS);
}

u64 vcpu_guest_tsc(struct vcpu *v)
{
	return vcpu_scale_tsc(v, host_rdtsc()) + v->st->tsc_offset;
}

/* Whoever computed with the counter does so again. */
static void tsc_changed(struct vcpu *v)
{
	u32 i, nr = host_load_acquire(&v->vm->nr_vcpus);

	v->vm->vendor->regs_changed(v, REGS_MSR);
	if (v->lapic)
		lapic_tsc_changed(v->lapic);
	/* Whether all counters agree is written in every kvmclock page. */
	for (i = 0; i < nr; i++)
		vcpu_request(v->vm->vcpus[i], REQ_CLOCK_UPDATE);
	vcpu_request(v, REQ_CLOCK_UPDATE);
}

void tsc_offset_set(struct vcpu *v, u64 offset)
{
	v->st->tsc_offset = offset;
	tsc_changed(v);
}

/* What the next host write is compared with. tsc_lock held. */
static void tsc_wrote(struct vcpu *v, u64 now, u64 offset)
{
	struct vm_priv *vp = v->vm->priv;

	vp->tsc_last_write = vcpu_scale_tsc(v, now) + offset;
	vp->tsc_last_offset = offset;
	vp->tsc_last_khz = v->priv->tsc_khz;
	vp->tsc_last_host = now | 1;
}

/**
 * The client writes the TSC (or a vCPU is created: 0). A value within a second of where another
 * vCPU's counter of the same rate would be now means "the same as there": clients restore vCPUs one
 * after another, and guests need equal counters.
 */
void tsc_synchronize(struct vcpu *v, u64 val)
{
	struct vm_priv *vp = v->vm->priv;
	u64 hz = v->priv->tsc_khz * 1000, now, expected, offset;

	host_spin_lock(&vp->tsc_lock);
	now = host_rdtsc();
	offset = val - vcpu_scale_tsc(v, now);
	if (vp->tsc_last_host && vp->tsc_last_khz == v->priv->tsc_khz) {
		expected = vp->tsc_last_write + vcpu_scale_tsc(v, now - vp->tsc_last_host);
		if (!val || (val + hz > expected && expected + hz > val))
			offset = vp->tsc_last_offset;
	}
	tsc_wrote(v, now, offset);
	host_spin_unlock(&vp->tsc_lock);
	v->priv->tsc_written = val;
	tsc_offset_set(v, offset);
}

/* ---- rate ------------------------------------------------------------------------------------ */

/* What a rate asks for: 0 and the ratio (0: none needed), or -EINVAL. */
static int tsc_ratio(u64 khz, u64 *ratio)
{
	u64 host = host_tsc_khz(), tolerance = host * TSC_TOLERANCE_PPM / 1000000;
	u64 high;

	if (!khz || !host || khz > TSC_MAX_KHZ || khz / host >= TSC_MAX_RATIO)
		return -EINVAL;
	*ratio = 0;
	if (khz + tolerance < host || khz > host + tolerance) {
		/* (khz << 48) / host in two steps of 64 bits: khz has 31, the remainder as many as
		 * host */
		high = khz << 32;
		*ratio = (high / host << 16) + (high % host << 16) / host;
	}
	return 0;
}

/** KVM_GET_TSC_KHZ: the guest's TSC rate. -EIO: the host's TSC is no clock. */
long vcpu_get_tsc_khz(struct vcpu *vcpu)
{
	return vcpu->priv->tsc_khz ? (long)vcpu->priv->tsc_khz : -EIO;
}

/**
 * KVM_SET_TSC_KHZ. The counter's offset stays, so its value jumps. -EINVAL: 0, beyond 31 bits or
 * 32,768 times the host's rate; the host's TSC is no clock.
 */
long vcpu_set_tsc_khz(struct vcpu *vcpu, u64 khz)
{
	u64 ratio;

	if (tsc_ratio(khz, &ratio))
		return -EINVAL;
	vcpu->priv->tsc_khz = khz;
	WRITE_ONCE(vcpu->st->tsc_ratio, ratio);
	tsc_changed(vcpu);
	return 0;
}

/** A new vCPU's rate is its VM's. */
void tsc_init(struct vcpu *vcpu)
{
	u64 ratio;

	vcpu->priv->tsc_khz = vcpu->vm->priv->default_tsc_khz;
	if (!tsc_ratio(vcpu->priv->tsc_khz, &ratio))
		vcpu->st->tsc_ratio = ratio;
}

/** KVM_GET_TSC_KHZ on a VM: what new vCPUs get. -EIO as above. */
long vm_get_tsc_khz(struct vm *vm)
{
	u64 khz = host_load_relaxed(&vm->priv->default_tsc_khz);

	return khz ? (long)khz : -EIO;
}

/** KVM_SET_TSC_KHZ on a VM; 0 is the host's rate. -EINVAL as above, or there are vCPUs already. */
long vm_set_tsc_khz(struct vm *vm, u64 khz)
{
	long ret = -EINVAL;
	u64 ratio;

	if (!khz)
		khz = host_tsc_khz();
	if (tsc_ratio(khz, &ratio))
		return -EINVAL;
	host_mutex_lock(&vm->lock);
	if (!vm->nr_vcpus) {
		host_store_relaxed(&vm->priv->default_tsc_khz, khz);
		ret = 0;
	}
	host_mutex_unlock(&vm->lock);
	return ret;
}

/* ---- KVM_VCPU_TSC_CTRL, the one attribute of vCPUs --------------------------------------------- */

/** KVM_HAS_DEVICE_ATTR on a vCPU. -ENXIO: no such attribute. */
long vcpu_has_attr(struct vcpu *vcpu, struct kvm_device_attr *a)
{
	return a->group == KVM_VCPU_TSC_CTRL && a->attr == KVM_VCPU_TSC_OFFSET ? 0 : -ENXIO;
}

/** KVM_GET_DEVICE_ATTR on a vCPU. -ENXIO, -EFAULT. */
long vcpu_get_attr(struct vcpu *vcpu, struct kvm_device_attr *a)
{
	long ret = vcpu_has_attr(vcpu, a);

	if (ret)
		return ret;
	return host_copy_to_caller(a->addr, &vcpu->st->tsc_offset, sizeof(u64)) ? -EFAULT : 0;
}

/** KVM_SET_DEVICE_ATTR on a vCPU. As above. */
long vcpu_set_attr(struct vcpu *vcpu, struct kvm_device_attr *a)
{
	struct vm_priv *vp = vcpu->vm->priv;
	long ret = vcpu_has_attr(vcpu, a);
	u64 offset;

	if (ret)
		return ret;
	if (host_copy_from_caller(&offset, a->addr, sizeof(offset)))
		return -EFAULT;
	host_spin_lock(&vp->tsc_lock);
	tsc_wrote(vcpu, host_rdtsc(), offset);
	host_spin_unlock(&vp->tsc_lock);
	tsc_offset_set(vcpu, offset);
	return 0;
}
