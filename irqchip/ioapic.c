// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * ioapic.c - the I/O APIC, 24 inputs, version 0x11. Intel 82093AA data sheet. chip->lock and the
 * read section held.
 */
#include "private.h"

#define REG_SELECT	0x00
#define REG_WINDOW	0x10

#define IDX_ID		0x00
#define IDX_VERSION	0x01
#define IDX_ARB		0x02
#define IDX_TABLE	0x10

#define IOAPIC_VERSION	(0x11 | (KVM_IOAPIC_NUM_PINS - 1) << 16)

/*
 * Redirection table entry. Delivery status is never seen busy; polarity is kept and means nothing,
 * as in KVM.
 */
#define RTE_VECTOR	GENMASK_ULL(7, 0)
#define RTE_MODE	GENMASK_ULL(10, 8)
#define RTE_LOGICAL	BIT_ULL(11)
#define RTE_REMOTE_IRR	BIT_ULL(14)
#define RTE_LEVEL	BIT_ULL(15)
#define RTE_MASK	BIT_ULL(16)
#define RTE_DEST	GENMASK_ULL(63, 56)
#define RTE_WRITABLE	(RTE_VECTOR | RTE_MODE | RTE_LOGICAL | BIT_ULL(13) | RTE_LEVEL | RTE_MASK | RTE_DEST)

/* Send the interrupt of a pin unless it is masked or waits for an EOI. As apic_deliver(). */
static int service(struct irqchip *c, unsigned int pin)
{
	__u64 *rte = &c->ioapic.s.redirtbl[pin].bits;
	struct apic_msg msg = {
		.dest = FIELD_GET(RTE_DEST, *rte),
		.vector = FIELD_GET(RTE_VECTOR, *rte),
		.mode = FIELD_GET(RTE_MODE, *rte),
		.logical = *rte & RTE_LOGICAL,
		.level = *rte & RTE_LEVEL,
	};
	int r;

	if ((*rte & RTE_MASK) || (msg.level && (*rte & RTE_REMOTE_IRR)))
		return -1;
	msg.lowest = msg.mode == APIC_LOWEST;
	r = apic_deliver(c, NULL, &msg);
	if (r > 0 && msg.level && msg.mode <= APIC_LOWEST)
		*rte |= RTE_REMOTE_IRR;
	return r;
}

static int set_line(struct irqchip *c, unsigned int pin, bool level)
{
	struct kvm_ioapic_state *s = &c->ioapic.s;
	u32 bit = 1U << pin, old = s->irr;

	if (!level) {
		s->irr &= ~bit;
		return 1;
	}
	s->irr |= bit;
	if (!(s->redirtbl[pin].bits & RTE_LEVEL) && (old & bit))
		return 0;
	return service(c, pin);
}

/** Level of a pin, ORed over sources. >0 delivered, 0 coalesced, -1 masked or nobody there. */
int ioapic_set_pin(struct irqchip *c, unsigned int pin, unsigned int source, bool level)
{
	if (level)
		c->ioapic_line[pin] |= 1U << source;
	else
		c->ioapic_line[pin] &= ~(1U << source);
	return set_line(c, pin, c->ioapic_line[pin]);
}

/** EOI of vector on the bus: lines that are still up interrupt again. */
void ioapic_eoi(struct irqchip *c, u8 vector, struct eoi_list *eoi)
{
	struct kvm_ioapic_state *s = &c->ioapic.s;
	unsigned int pin;

	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		__u64 *rte = &s->redirtbl[pin].bits;

		if (FIELD_GET(RTE_VECTOR, *rte) != vector)
			continue;
		/* lowers what a resampling irqfd holds up, so before the line is looked at */
		eoi_note_ioapic(c, pin, eoi);
		if (!(*rte & RTE_LEVEL))
			continue;
		*rte &= ~RTE_REMOTE_IRR;
		if (s->irr & 1U << pin)
			service(c, pin);
	}
}

/** Find out which edge vector, if any, GSI 0 has here, so that the PIT hears of its EOI. */
void ioapic_update_pit_vector(struct irqchip *c)
{
	const struct route *r = route_lookup(host_load_acquire(&c->routes), 0);
	s32 vector = -1;
	u64 rte;

	if (c->pit && c->pit->reinject && r && r->ioapic >= 0) {
		rte = c->ioapic.s.redirtbl[r->ioapic].bits;
		if (!(rte & (RTE_MASK | RTE_LEVEL)))
			vector = FIELD_GET(RTE_VECTOR, rte);
	}
	host_store_relaxed(&c->pit_vector, vector);
}

static void write_entry(struct irqchip *c, unsigned int index, u32 val)
{
	struct kvm_ioapic_state *s = &c->ioapic.s;
	unsigned int pin = index >> 1;
	const struct route *r;
	__u64 *rte, new;
	bool opened;

	if (pin >= KVM_IOAPIC_NUM_PINS)
		return;
	rte = &s->redirtbl[pin].bits;
	new = index & 1 ? (*rte & 0xffffffff) | (u64)val << 32 : (*rte & ~0xffffffffULL) | val;
	new = (new & RTE_WRITABLE) | (*rte & RTE_REMOTE_IRR);
	/* Software without an EOI register clears remote IRR by a turn through edge mode. */
	if (!(new & RTE_LEVEL))
		new &= ~RTE_REMOTE_IRR;
	opened = (*rte & RTE_MASK) && !(new & RTE_MASK);
	*rte = new;

	r = route_lookup(host_load_acquire(&c->routes), 0);
	if (r && r->ioapic == (int)pin) {
		if (opened)
			pit_unmasked(c);
		ioapic_update_pit_vector(c);
	}
	if ((new & RTE_LEVEL) && (s->irr & 1U << pin))
		service(c, pin);
}

/** Register at offset from the base, 32 bits. */
u32 ioapic_read(struct irqchip *c, unsigned int offset)
{
	const struct kvm_ioapic_state *s = &c->ioapic.s;
	unsigned int index = s->ioregsel, pin;

	if (offset == REG_SELECT)
		return index;
	if (offset != REG_WINDOW)
		return 0;
	switch (index) {
	case IDX_ID:
	case IDX_ARB:
		return (s->id & 0xf) << 24;
	case IDX_VERSION:
		return IOAPIC_VERSION;
	default:
		if (index < IDX_TABLE)
			return 0;
		pin = (index - IDX_TABLE) >> 1;
		if (pin >= KVM_IOAPIC_NUM_PINS)
			return 0xffffffff;
		return s->redirtbl[pin].bits >> (index & 1 ? 32 : 0);
	}
}

void ioapic_write(struct irqchip *c, unsigned int offset, u32 val)
{
	struct kvm_ioapic_state *s = &c->ioapic.s;

	if (offset == REG_SELECT)
		s->ioregsel = val & 0xff;
	else if (offset != REG_WINDOW)
		return;
	else if (s->ioregsel == IDX_ID)
		s->id = val >> 24 & 0xf;
	else if (s->ioregsel >= IDX_TABLE)
		write_entry(c, s->ioregsel - IDX_TABLE, val);
}

void ioapic_reset(struct irqchip *c)
{
	struct kvm_ioapic_state *s = &c->ioapic.s;
	unsigned int pin;

	host_memset(s, 0, sizeof(*s));
	host_memset(c->ioapic_line, 0, sizeof(c->ioapic_line));
	s->base_address = IOAPIC_BASE;
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		s->redirtbl[pin].bits = RTE_MASK;
	ioapic_update_pit_vector(c);
}

void ioapic_get(const struct irqchip *c, struct kvm_ioapic_state *s)
{
	*s = c->ioapic.s;
}

/**
 * State from the client. Lines that were up rise again, so that no interrupt is lost on the way.
 */
void ioapic_set(struct irqchip *c, const struct kvm_ioapic_state *new)
{
	struct kvm_ioapic_state *s = &c->ioapic.s;
	unsigned int pin;
	u32 irr = new->irr;

	*s = *new;
	s->base_address = IOAPIC_BASE;	/* no chipset register moves it */
	s->ioregsel &= 0xff;
	s->irr = 0;
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		s->redirtbl[pin].bits &= RTE_WRITABLE | RTE_REMOTE_IRR;
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		if (irr & 1U << pin)
			set_line(c, pin, true);
	ioapic_update_pit_vector(c);
}
