// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vapic.c - help for 32-bit guests that change the task priority all the time: the client hears of
 * each access (KVM_TPR_ACCESS_REPORTING), replaces the instruction by one that uses a word of guest
 * memory, and tells us where that word is (KVM_SET_VAPIC_ADDR).
 *
 * The word: bits 7:0 the TPR, which guest code writes; 15:8 the class of the highest vector in
 * service; 31:24 the highest requested vector. A guest that lowers the TPR below a requested vector
 * calls KVM_HC_VAPIC_POLL_IRQ.
 */
#include "ioctl.h"

/**
 * KVM_SET_VAPIC_ADDR: where the word is; 0: nowhere. -EINVAL: no local APIC in here, or no memory
 * there.
 */
long vcpu_set_vapic_addr(struct vcpu *vcpu, struct kvm_vapic_addr *a)
{
	u32 word;

	if (!vcpu->lapic)
		return -EINVAL;
	if (a->vapic_addr && gmem_read(vcpu->vm, a->vapic_addr, &word, sizeof(word)))
		return -EINVAL;
	vcpu->priv->vapic_gpa = a->vapic_addr;
	return 0;
}

/**
 * KVM_TPR_ACCESS_REPORTING: KVM_EXIT_TPR_ACCESS after each instruction that reads or writes the TPR
 * in the APIC's page. -EINVAL: flags.
 */
long vcpu_tpr_access_reporting(struct vcpu *vcpu, struct kvm_tpr_access_ctl *c)
{
	if (c->flags)
		return -EINVAL;
	vcpu->priv->tpr_reporting = c->enabled != 0;
	return 0;
}

/** What the guest did to the word goes into the local APIC. After each stretch in the guest. */
void vapic_from_guest(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	u32 word;

	/* Unchanged: then a TPR written through the APIC's own registers stays. */
	if (gmem_read(v->vm, p->vapic_gpa, &word, sizeof(word)) || (u8)word == (u8)p->vapic_word)
		return;
	lapic_set_tpr(v->lapic, word);
}

/** The local APIC's priorities go into the word. Before each stretch in the guest. */
void vapic_to_guest(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	u32 word = lapic_vapic_word(v->lapic), old;

	if (!gmem_read(v->vm, p->vapic_gpa, &old, sizeof(old)) && old != word)
		gmem_write(v->vm, p->vapic_gpa, &word, sizeof(word));
	p->vapic_word = word;
}
