// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * clock.c - the client's view of time: KVM_GET/SET_CLOCK, KVM_KVMCLOCK_CTRL. What the guest sees of
 * it is made in pv.c, its TSC in tsc.c.
 */
#include "ioctl.h"

/** KVM_GET_CLOCK: kvmclock in ns, with the host's real time and TSC of the same moment. */
long vm_get_clock(struct vm *vm, struct kvm_clock_data *d)
{
	host_memset(d, 0, sizeof(*d));
	d->host_tsc = host_rdtsc();
	d->realtime = host_realtime_ns();
	d->clock = vm_clock_ns(vm);
	d->flags = KVM_CLOCK_REALTIME;
	if (host_tsc_khz())
		d->flags |= KVM_CLOCK_TSC_STABLE | KVM_CLOCK_HOST_TSC;
	return 0;
}

/**
 * KVM_SET_CLOCK: kvmclock goes on from d->clock; with KVM_CLOCK_REALTIME plus what has passed since
 * d->realtime.
 * -EINVAL: unknown flag.
 */
long vm_set_clock(struct vm *vm, struct kvm_clock_data *d)
{
	u64 clock = d->clock, now;
	u32 i, nr;

	if (d->flags & ~(u32)(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	if (d->flags & KVM_CLOCK_REALTIME) {
		now = host_realtime_ns();
		if (now > d->realtime)
			clock += now - d->realtime;
	}
	host_store_release(&vm->priv->clock_offset, (s64)(clock - host_monotonic_ns()));
	nr = host_load_acquire(&vm->nr_vcpus);
	for (i = 0; i < nr; i++)
		vcpu_request(vm->vcpus[i], REQ_CLOCK_UPDATE);
	return 0;
}

/**
 * KVM_KVMCLOCK_CTRL: the guest was paused, its watchdogs shall look away. -EINVAL: it does not use
 * kvmclock.
 */
long vcpu_kvmclock_ctrl(struct vcpu *vcpu)
{
	if (!(vcpu->priv->pv_system_time & 1))
		return -EINVAL;
	vcpu->priv->pv_guest_paused = true;
	vcpu_request(vcpu, REQ_CLOCK_UPDATE);
	return 0;
}
