// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * route.c - where a GSI goes. A table is built whole, checked, and then published by irqchip.c; it
 * never changes after that. kernel Documentation/virt/kvm/api.rst, KVM_SET_GSI_ROUTING.
 */
#include "private.h"

static struct route_table *table_alloc(u32 nr)
{
	struct route_table *t = host_zalloc(sizeof(*t) + nr * sizeof(t->route[0]));
	u32 i;

	if (!t)
		return NULL;
	t->nr = nr;
	for (i = 0; i < ARRAY_SIZE(t->pic_gsi); i++)
		t->pic_gsi[i] = -1;
	for (i = 0; i < ARRAY_SIZE(t->ioapic_gsi); i++)
		t->ioapic_gsi[i] = -1;
	for (i = 0; i < nr; i++)
		t->route[i].pic[0] = t->route[i].pic[1] = t->route[i].ioapic = -1;
	return t;
}

/**
 * KVM's table at KVM_CREATE_IRQCHIP: GSI n is I/O APIC pin n, and below 16 PIC input n too. Split:
 * empty.
 */
struct route_table *route_defaults(bool split)
{
	struct route_table *t = table_alloc(split ? 0 : KVM_IOAPIC_NUM_PINS);
	u32 gsi;

	if (!t || split)
		return t;
	for (gsi = 0; gsi < t->nr; gsi++) {
		t->route[gsi].ioapic = gsi;
		t->ioapic_gsi[gsi] = gsi;
		if (gsi >= PIC_PINS)
			continue;
		t->route[gsi].pic[gsi / 8] = gsi % 8;
		t->pic_gsi[gsi] = gsi;
	}
	return t;
}

/* A GSI may go to each chip once, or be one MSI and nothing else. */
static int add_pin(struct route_table *t, const struct kvm_irq_routing_entry *e)
{
	struct route *r = &t->route[e->gsi];
	u32 pin = e->u.irqchip.pin;
	s8 *slot;

	if (r->msi)
		return -EINVAL;
	switch (e->u.irqchip.irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		if (pin >= 8)
			return -EINVAL;
		slot = &r->pic[e->u.irqchip.irqchip];
		t->pic_gsi[e->u.irqchip.irqchip * 8 + pin] = e->gsi;
		break;
	case KVM_IRQCHIP_IOAPIC:
		if (pin >= KVM_IOAPIC_NUM_PINS)
			return -EINVAL;
		slot = &r->ioapic;
		t->ioapic_gsi[pin] = e->gsi;
		break;
	default:
		return -EINVAL;
	}
	if (*slot >= 0)
		return -EINVAL;
	*slot = pin;
	return 0;
}

static int add_msi(const struct irqchip *c, struct route_table *t,
		   const struct kvm_irq_routing_entry *e)
{
	struct route *r = &t->route[e->gsi];

	if (r->msi || r->pic[0] >= 0 || r->pic[1] >= 0 || r->ioapic >= 0)
		return -EINVAL;
	if ((c->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS) && (e->u.msi.address_hi & 0xff))
		return -EINVAL;
	r->msi = true;
	r->addr_lo = e->u.msi.address_lo;
	r->addr_hi = e->u.msi.address_hi;
	r->data = e->u.msi.data;
	return 0;
}

static int add(const struct irqchip *c, struct route_table *t,
	       const struct kvm_irq_routing_entry *e)
{
	/* An MSI may come with its device's id, which nothing here asks for; see vm_signal_msi(). */
	if (e->flags & ~(e->type == KVM_IRQ_ROUTING_MSI ? KVM_MSI_VALID_DEVID : 0U))
		return -EINVAL;
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return c->split ? -EINVAL : add_pin(t, e);
	case KVM_IRQ_ROUTING_MSI:
		return add_msi(c, t, e);
	default:
		return -EINVAL;
	}
}

/** Make a table of nr entries; *out is the caller's. -EINVAL: a bad entry or too many; -ENOMEM. */
int route_build(struct irqchip *c, const struct kvm_irq_routing_entry *e, u32 nr,
		struct route_table **out)
{
	struct route_table *t;
	u32 i, gsis = 0;
	int ret;

	if (nr > ROUTE_MAX_GSI)
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		if (e[i].gsi >= ROUTE_MAX_GSI)
			return -EINVAL;
		gsis = max_t(u32, gsis, e[i].gsi + 1);
	}
	t = table_alloc(gsis);
	if (!t)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		ret = add(c, t, &e[i]);
		if (ret) {
			host_free(t);
			return ret;
		}
	}
	*out = t;
	return 0;
}

const struct route *route_lookup(const struct route_table *t, u32 gsi)
{
	return t && gsi < t->nr ? &t->route[gsi] : NULL;
}
