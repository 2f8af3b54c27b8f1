// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * irq.c - ioctls of the interrupt controllers: checks and order of creation here, the machines in
 * irqchip/.
 */
#include "ioctl.h"

#define ROUTES_MAX	4096	/* KVM_CAP_IRQ_ROUTING */

static struct irqchip *vm_irqchip(struct vm *vm)
{
	return host_load_acquire(&vm->irqchip);	/* pairs with the release in irqchip_new() */
}

/* vm->lock held. */
static int irqchip_new(struct vm *vm, bool split, unsigned int pins)
{
	struct irqchip *c;
	int ret;

	ret = irqchip_create(&c, core_irq_sink(), vm, split, pins);
	if (ret)
		return ret;
	irqchip_set_x2apic_api(c, vm->priv->x2apic_api);
	irqchip_set_lint0(c, vm_has_quirk(vm, KVM_X86_QUIRK_LINT0_REENABLED));
	vm->priv->irqchip_split = split;
	host_store_release(&vm->irqchip, c);
	return 0;
}

/**
 * KVM_CREATE_IRQCHIP: PIC pair, I/O APIC, and a local APIC for each vCPU to come. -EEXIST; -EINVAL:
 * vCPUs exist.
 */
long vm_create_irqchip(struct vm *vm)
{
	int ret;

	host_mutex_lock(&vm->lock);
	if (vm->irqchip)
		ret = -EEXIST;
	else if (vm->nr_vcpus)
		ret = -EINVAL;
	else
		ret = irqchip_new(vm, false, 0);
	host_mutex_unlock(&vm->lock);
	return ret;
}

/**
 * KVM_CAP_SPLIT_IRQCHIP: local APICs only. -EINVAL: too many @pins; -EEXIST: there are controllers
 * or vCPUs.
 */
int vm_split_irqchip(struct vm *vm, u64 pins)
{
	int ret;

	if (pins > ROUTES_MAX)
		return -EINVAL;
	host_mutex_lock(&vm->lock);
	ret = vm->irqchip || vm->nr_vcpus ? -EEXIST : irqchip_new(vm, true, pins);
	host_mutex_unlock(&vm->lock);
	return ret;
}

/** KVM_IRQ_LINE. -ENXIO: no controllers in here. A line without a route is nobody's. */
long vm_irq_line(struct vm *vm, struct kvm_irq_level *l)
{
	struct irqchip *c = vm_irqchip(vm);

	if (!c)
		return -ENXIO;
	irqchip_set_gsi(c, IRQ_SOURCE_USER, l->irq, !!l->level);
	return 0;
}

/** KVM_IRQ_LINE_STATUS: the same, and what became of it in l->status. */
long vm_irq_line_status(struct vm *vm, struct kvm_irq_level *l)
{
	struct irqchip *c = vm_irqchip(vm);

	if (!c)
		return -ENXIO;
	l->status = irqchip_set_gsi(c, IRQ_SOURCE_USER, l->irq, !!l->level);
	return 0;
}

/* PIC and I/O APIC: -ENXIO where they are not in here, -EINVAL for another chip. */
static int chip_check(struct vm *vm, const struct kvm_irqchip *chip)
{
	if (!vm_irqchip(vm) || vm->priv->irqchip_split)
		return -ENXIO;
	return chip->chip_id > KVM_IRQCHIP_IOAPIC ? -EINVAL : 0;
}

long vm_get_irqchip(struct vm *vm, struct kvm_irqchip *chip)
{
	int ret = chip_check(vm, chip);

	return ret ? ret : irqchip_get(vm->irqchip, chip);
}

long vm_set_irqchip(struct vm *vm, struct kvm_irqchip *chip)
{
	int ret = chip_check(vm, chip);

	return ret ? ret : irqchip_set(vm->irqchip, chip);
}

/**
 * KVM_SET_GSI_ROUTING: replace the table. -EINVAL: no controllers in here, too many or bad entries;
 * nothing changed.
 */
long vm_set_gsi_routing(struct vm *vm, struct kvm_irq_routing *r, u64 uarg)
{
	struct irqchip *c = vm_irqchip(vm);
	struct kvm_irq_routing_entry *e;
	long ret;

	if (!c || r->nr > ROUTES_MAX || r->flags)
		return -EINVAL;
	e = host_zalloc((r->nr ? r->nr : 1) * sizeof(*e));
	if (!e)
		return -ENOMEM;
	ret = host_copy_from_caller(e, uarg + sizeof(*r), r->nr * sizeof(*e));
	if (!ret)
		ret = irqchip_set_routing(c, e, r->nr);
	host_free(e);
	return ret;
}

/**
 * KVM_SIGNAL_MSI: >0 delivered, 0 blocked. -EINVAL: no local APICs in here, or flags but KVM_MSI_VALID_DEVID: the id of a
 * device is for interrupt controllers that translate MSIs, and clients that give it always give it here as well.
 */
long vm_signal_msi(struct vm *vm, struct kvm_msi *msi)
{
	struct irqchip *c = vm_irqchip(vm);

	if (!c || (msi->flags & ~KVM_MSI_VALID_DEVID))
		return -EINVAL;
	return irqchip_send_msi(c, msi->address_lo | (u64)msi->address_hi << 32, msi->data);
}

/* ---- 8254 ------------------------------------------------------------------------------------ */

static long pit_new(struct vm *vm, u32 flags)
{
	long ret;

	host_mutex_lock(&vm->lock);
	if (vm->priv->has_pit) {
		ret = -EEXIST;
	} else if (!vm->irqchip || vm->priv->irqchip_split) {
		ret = -ENOENT;
	} else {
		ret = pit_create(vm->irqchip, flags);
		if (!ret)
			host_store_release(&vm->priv->has_pit, true);
	}
	host_mutex_unlock(&vm->lock);
	return ret;
}

/** KVM_CREATE_PIT: as KVM_CREATE_PIT2 with the speaker port. */
long vm_create_pit(struct vm *vm)
{
	return pit_new(vm, KVM_PIT_SPEAKER_DUMMY);
}

/** KVM_CREATE_PIT2. -EEXIST; -ENOENT: needs the PIC and I/O APIC in here. */
long vm_create_pit2(struct vm *vm, struct kvm_pit_config *c)
{
	return pit_new(vm, c->flags);
}

static struct irqchip *pit_chip(struct vm *vm)
{
	return host_load_acquire(&vm->priv->has_pit) ? vm->irqchip : NULL;
}

long vm_get_pit2(struct vm *vm, struct kvm_pit_state2 *s)
{
	struct irqchip *c = pit_chip(vm);

	host_memset(s, 0, sizeof(*s));
	return c ? pit_get(c, s) : -ENXIO;
}

long vm_set_pit2(struct vm *vm, struct kvm_pit_state2 *s)
{
	struct irqchip *c = pit_chip(vm);

	return c ? pit_set(c, s) : -ENXIO;
}

long vm_get_pit(struct vm *vm, struct kvm_pit_state *s)
{
	struct kvm_pit_state2 s2;
	long ret = vm_get_pit2(vm, &s2);

	if (!ret)
		host_memcpy(s->channels, s2.channels, sizeof(s->channels));
	return ret;
}

long vm_set_pit(struct vm *vm, struct kvm_pit_state *s)
{
	struct kvm_pit_state2 s2;
	long ret = vm_get_pit2(vm, &s2);	/* its flags stay */

	if (ret)
		return ret;
	host_memcpy(s2.channels, s->channels, sizeof(s2.channels));
	return vm_set_pit2(vm, &s2);
}

/** KVM_REINJECT_CONTROL: catch up with missed ticks, or not. -ENXIO: no PIT. */
long vm_reinject_control(struct vm *vm, struct kvm_reinject_control *ctl)
{
	struct irqchip *c = pit_chip(vm);

	return c ? pit_reinject(c, ctl->pit_reinject) : -ENXIO;
}

/* ---- local APIC ------------------------------------------------------------------------------ */

/** KVM_GET_LAPIC. -EINVAL: the APIC is the client's. */
long vcpu_get_lapic(struct vcpu *vcpu, struct kvm_lapic_state *s)
{
	return vcpu->lapic ? lapic_get_state(vcpu->lapic, s) : -EINVAL;
}

long vcpu_set_lapic(struct vcpu *vcpu, struct kvm_lapic_state *s)
{
	int ret = vcpu->lapic ? lapic_set_state(vcpu->lapic, s) : -EINVAL;

	if (!ret)
		vcpu_request(vcpu, REQ_EVENT);
	return ret;
}
