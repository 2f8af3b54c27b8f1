// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* KVM_SET_GUEST_DEBUG as vendors see it. */
#include "private.h"

bool vcpu_debug_wants_steps(struct vcpu *v)
{
	const struct kvm_guest_debug *d = &v->priv->debug;

	return (d->control & KVM_GUESTDBG_ENABLE) &&
	       (d->control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP));
}
