// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * nested.c - KVM_GET_NESTED_STATE and KVM_SET_NESTED_STATE for guests that have no VMX or SVM: the header alone, in
 * the format of the host's processor, which says that nothing is nested. Clients save and restore it with the rest.
 */
#include "ioctl.h"
#include "../x86/policy/cpuid.h"

static_assert(sizeof(struct kvm_nested_state) == NESTED_STATE_SIZE, "the header");

/** KVM_GET_NESTED_STATE. -E2BIG, with the size that is needed in the argument: the client's is too small. */
long vcpu_get_nested_state(struct vcpu *vcpu, struct kvm_nested_state *s, u64 uarg)
{
	u32 size = NESTED_STATE_SIZE;

	if (s->size < size)
		return host_copy_to_caller(uarg + offsetof(struct kvm_nested_state, size), &size, sizeof(size)) ?
		       -EFAULT : -E2BIG;
	host_memset(s, 0, sizeof(*s));
	s->size = size;
	if (policy_host_is_amd()) {
		s->format = KVM_STATE_NESTED_FORMAT_SVM;
		s->flags = KVM_STATE_NESTED_GIF_SET;
	} else {
		s->format = KVM_STATE_NESTED_FORMAT_VMX;
		s->hdr.vmx.vmxon_pa = s->hdr.vmx.vmcs12_pa = ~0UL;
	}
	return 0;
}

/** KVM_SET_NESTED_STATE. -EINVAL: of another format, or of a guest that used VMX or SVM. */
long vcpu_set_nested_state(struct vcpu *vcpu, struct kvm_nested_state *s, u64 uarg)
{
	const struct kvm_vmx_nested_state_hdr *vmx = &s->hdr.vmx;

	if (s->size < NESTED_STATE_SIZE)
		return -EINVAL;
	if (policy_host_is_amd())
		/* without EFER.SVME nothing but GIF may be set, and that must be */
		return s->format == KVM_STATE_NESTED_FORMAT_SVM && s->flags == KVM_STATE_NESTED_GIF_SET ? 0 : -EINVAL;
	if (s->format != KVM_STATE_NESTED_FORMAT_VMX || s->flags || vmx->vmxon_pa != ~0UL || vmx->vmcs12_pa != ~0UL ||
	    vmx->smm.flags || (vmx->flags & ~KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE))
		return -EINVAL;
	return 0;
}
