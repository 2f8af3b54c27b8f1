// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * state.c - the power-on state, saved when a VM is new and put back when its guest resets the
 * machine. So a reset needs no knowledge of what each register is after power-on: KVM has said it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"

#define MSR_TSC		0x10

struct state_step {
	unsigned long get, set;
	size_t offset;
	const char *what;
};

/*
 * In the order in which they can be put back: SREGS enable the APIC that LAPIC describes, MSRs hold
 * the deadline that depends on its mode, REGS drop a pending exception that EVENTS may bring.
 */
static const struct state_step steps[] = {
	{ KVM_GET_MP_STATE, KVM_SET_MP_STATE, offsetof(struct vcpu_state, mp_state), "MP_STATE" },
	{ KVM_GET_SREGS, KVM_SET_SREGS, offsetof(struct vcpu_state, sregs), "SREGS" },
	{ KVM_GET_XCRS, KVM_SET_XCRS, offsetof(struct vcpu_state, xcrs), "XCRS" },
	{ KVM_GET_XSAVE, KVM_SET_XSAVE, offsetof(struct vcpu_state, xsave), "XSAVE" },
	{ KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, offsetof(struct vcpu_state, debugregs), "DEBUGREGS" },
	{ KVM_GET_REGS, KVM_SET_REGS, offsetof(struct vcpu_state, regs), "REGS" },
	{ KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, offsetof(struct vcpu_state, events), "VCPU_EVENTS" },
	{ KVM_GET_LAPIC, KVM_SET_LAPIC, offsetof(struct vcpu_state, lapic), "LAPIC" },
};

static int save_msrs(struct vcpu *vcpu, struct vm_msrs *msrs, struct vmm_err *err)
{
	struct {
		struct kvm_msr_list hdr;
		__u32 indices[512];
	} list = { .hdr.nmsrs = 512 };
	struct {
		struct kvm_msrs hdr;
		struct kvm_msr_entry entry;
	} one = { .hdr.nmsrs = 1 };
	unsigned int i;
	int ret;

	ret = vcpu->vm->calls->ioctl(vcpu->vm->kvm_fd, KVM_GET_MSR_INDEX_LIST,
				     (unsigned long)&list);
	if (ret < 0)
		return err_set(err, "KVM_GET_MSR_INDEX_LIST: %s", strerror(-ret));
	msrs->hdr.nmsrs = 0;
	/* One by one: the list names MSRs that this CPU model may not have. Time goes on through a
	 * reset. */
	for (i = 0; i < list.hdr.nmsrs && msrs->hdr.nmsrs < 256; i++) {
		if (list.indices[i] == MSR_TSC)
			continue;
		one.entry = (struct kvm_msr_entry){ .index = list.indices[i] };
		if (vcpu_ioctl(vcpu, KVM_GET_MSRS, &one) == 1 &&
		    vcpu_ioctl(vcpu, KVM_SET_MSRS, &one) == 1)
			msrs->entries[msrs->hdr.nmsrs++] = one.entry;
	}
	return 0;
}

int vcpu_state_save(struct vcpu *vcpu, struct vcpu_state *state, struct vmm_err *err)
{
	unsigned int i;
	int ret;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ret = vcpu_ioctl(vcpu, steps[i].get, (char *)state + steps[i].offset);
		if (ret < 0)
			return err_set(err, "vCPU %u: KVM_GET_%s: %s", vcpu->index, steps[i].what,
				       strerror(-ret));
	}
	return save_msrs(vcpu, &state->msrs, err);
}

int vcpu_state_restore(struct vcpu *vcpu, const struct vcpu_state *state, struct vmm_err *err)
{
	unsigned int i;
	int ret;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ret = vcpu_ioctl(vcpu, steps[i].set, (const char *)state + steps[i].offset);
		if (ret < 0)
			return err_set(err, "vCPU %u: KVM_SET_%s: %s", vcpu->index, steps[i].what,
				       strerror(-ret));
	}
	ret = vcpu_ioctl(vcpu, KVM_SET_MSRS, &state->msrs);
	if (ret != (int)state->msrs.hdr.nmsrs)
		return err_set(err, "vCPU %u: KVM_SET_MSRS refuses MSR %#x", vcpu->index,
			       state->msrs.entries[ret < 0 ? 0 : ret].index);
	return 0;
}

int vm_irqchips_save(struct vm *vm, struct vmm_err *err)
{
	unsigned int i;
	int ret;

	for (i = 0; i < 3; i++) {
		vm->irqchips[i].chip_id = i;
		ret = vm_ioctl(vm, KVM_GET_IRQCHIP, &vm->irqchips[i]);
		if (ret < 0)
			return err_set(err, "KVM_GET_IRQCHIP: %s", strerror(-ret));
	}
	ret = vm_ioctl(vm, KVM_GET_PIT2, &vm->pit);
	if (ret < 0)
		return err_set(err, "KVM_GET_PIT2: %s", strerror(-ret));
	return 0;
}

int vm_irqchips_restore(struct vm *vm, struct vmm_err *err)
{
	unsigned int i;
	int ret;

	for (i = 0; i < 3; i++) {
		ret = vm_ioctl(vm, KVM_SET_IRQCHIP, &vm->irqchips[i]);
		if (ret < 0)
			return err_set(err, "KVM_SET_IRQCHIP: %s", strerror(-ret));
	}
	ret = vm_ioctl(vm, KVM_SET_PIT2, &vm->pit);
	if (ret < 0)
		return err_set(err, "KVM_SET_PIT2: %s", strerror(-ret));
	return 0;
}
