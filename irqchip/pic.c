// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * pic.c - the pair of 8259A and their edge/level registers (ports 20, 21, a0, a1, 4d0, 4d1). Intel
 * 8259A data sheet; the ELCR is from the 82371 data sheets. chip->lock is held by all callers.
 */
#include "private.h"

#define MASTER	0
#define SLAVE	1
#define CASCADE	2		/* the slave's place at the master */

#define ICW1_INIT	BIT(4)
#define ICW1_SINGLE	BIT(1)
#define ICW1_ICW4	BIT(0)
#define ICW4_SFNM	BIT(4)
#define ICW4_AEOI	BIT(1)
#define OCW2_ROTATE	BIT(7)
#define OCW2_SPECIFIC	BIT(6)
#define OCW2_EOI	BIT(5)
#define OCW3_SELECT	BIT(3)
#define OCW3_ESMM	BIT(6)
#define OCW3_SMM	BIT(5)
#define OCW3_POLL	BIT(2)
#define OCW3_READ	BIT(1)
#define OCW3_READ_ISR	BIT(0)

/* IRQ 0, 1, 2, 8 and 13 are wired to edge sources for good. */
#define ELCR_MASK_MASTER	0xf8
#define ELCR_MASK_SLAVE		0xde

/* Place in line of the most important of bits, 0 first; 8: none. */
static unsigned int priority(const struct kvm_pic_state *s, u8 bits)
{
	unsigned int p;

	for (p = 0; p < 8; p++)
		if (bits & 1U << ((p + s->priority_add) & 7))
			return p;
	return 8;
}

/* The input to be serviced next, or -1: none, or what is in service comes first. */
static int next_irq(const struct irqchip *c, unsigned int chip)
{
	const struct kvm_pic_state *s = &c->pic[chip].s;
	unsigned int request, service;
	u8 isr = s->isr;

	request = priority(s, s->irr & ~s->imr);
	if (request == 8)
		return -1;
	/* Special mask mode: what is masked does not hold back others. Special fully nested mode:
	 * the slave may interrupt itself with something more important. */
	if (s->special_mask)
		isr &= ~s->imr;
	if (s->special_fully_nested_mode && chip == MASTER)
		isr &= ~(1U << CASCADE);
	service = priority(s, isr);
	return request < service ? (int)((request + s->priority_add) & 7) : -1;
}

/*
 * Let the slave's output reach the master and the master's output the CPUs. As in Linux, the master
 * takes the slave's request for an edge: one that is withdrawn stays in its IRR, and is answered with
 * the slave's IR7.
 */
static void update(struct irqchip *c)
{
	struct kvm_pic_state *m = &c->pic[MASTER].s;
	bool out;

	if (next_irq(c, SLAVE) >= 0) {
		if (!(m->last_irr & 1U << CASCADE))
			m->irr |= 1U << CASCADE;
		m->last_irr &= ~(1U << CASCADE);
	}
	out = next_irq(c, MASTER) >= 0;
	if (out == c->pic_output)
		return;
	host_store_relaxed(&c->pic_output, out);
	c->sink->pic_output(c->vm, out);
	if (out)
		lapic_lint0_all(c);
}

/** Level of an input line, ORed over sources. 1 new request, 0 coalesced, -1 masked. */
int pic_set_pin(struct irqchip *c, unsigned int pin, unsigned int source, bool level)
{
	struct kvm_pic_state *s = &c->pic[pin / 8].s;
	u8 bit = 1U << (pin % 8);
	int r = 1;

	if (pin == CASCADE)	/* the slave's output, and no line of a board */
		return s->imr & bit ? -1 : 1;
	if (level)
		c->pic_line[pin] |= 1U << source;
	else
		c->pic_line[pin] &= ~(1U << source);
	level = c->pic_line[pin];

	if (s->elcr & bit) {
		if (level) {
			r = !(s->irr & bit);
			s->irr |= bit;
			s->last_irr |= bit;
		} else {
			s->irr &= ~bit;
			s->last_irr &= ~bit;
		}
	} else if (level) {
		if (!(s->last_irr & bit)) {
			r = !(s->irr & bit);
			s->irr |= bit;
		}
		s->last_irr |= bit;
	} else {
		s->last_irr &= ~bit;
	}
	update(c);
	return s->imr & bit ? -1 : r;
}

static void end_of_interrupt(struct irqchip *c, unsigned int chip, unsigned int irq,
			     struct eoi_list *eoi)
{
	c->pic[chip].s.isr &= ~(1U << irq);
	eoi_note_pic(c, chip * 8 + irq, eoi);
}

/* The acknowledge cycle at one chip. */
static void acknowledge(struct irqchip *c, unsigned int chip, unsigned int irq,
			struct eoi_list *eoi)
{
	struct kvm_pic_state *s = &c->pic[chip].s;

	s->isr |= 1U << irq;
	if (!(s->elcr & 1U << irq))
		s->irr &= ~(1U << irq);
	if (s->auto_eoi) {
		if (s->rotate_on_auto_eoi)
			s->priority_add = (irq + 1) & 7;
		end_of_interrupt(c, chip, irq, eoi);
	}
}

int pic_ack(struct irqchip *c, struct eoi_list *eoi)
{
	int irq = next_irq(c, MASTER), vector, irq2;

	if (irq < 0)
		return -1;
	acknowledge(c, MASTER, irq, eoi);
	if (irq == CASCADE) {
		irq2 = next_irq(c, SLAVE);
		if (irq2 >= 0)
			acknowledge(c, SLAVE, irq2, eoi);
		else
			irq2 = 7;	/* the request is gone: the data sheet's default IR7 */
		vector = c->pic[SLAVE].s.irq_base + irq2;
	} else {
		vector = c->pic[MASTER].s.irq_base + irq;
	}
	update(c);
	return vector;
}

static void init_word1(struct irqchip *c, unsigned int chip, u8 val, struct eoi_list *eoi)
{
	struct kvm_pic_state *s = &c->pic[chip].s;
	u8 dropped = s->isr | (s->irr & ~s->elcr);
	unsigned int irq;

	s->init4 = val & ICW1_ICW4;
	c->pic[chip].single = val & ICW1_SINGLE;
	s->last_irr = 0;		/* a line that is high must fall and rise again */
	s->irr &= s->elcr;
	s->imr = 0;
	s->isr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->poll = 0;
	s->auto_eoi = 0;
	s->rotate_on_auto_eoi = 0;
	s->special_fully_nested_mode = 0;
	s->init_state = 1;
	for (irq = 0; irq < 8; irq++)
		if (dropped & 1U << irq)
			eoi_note_pic(c, chip * 8 + irq, eoi);
}

static void command2(struct irqchip *c, unsigned int chip, u8 val, struct eoi_list *eoi)
{
	struct kvm_pic_state *s = &c->pic[chip].s;
	unsigned int irq = val & 7, p;

	if (!(val & OCW2_EOI)) {
		if ((val & (OCW2_ROTATE | OCW2_SPECIFIC)) == (OCW2_ROTATE | OCW2_SPECIFIC))
			s->priority_add = (irq + 1) & 7;	/* set priority */
		else if (!(val & OCW2_SPECIFIC))
			s->rotate_on_auto_eoi = val >> 7;
		return;
	}
	if (!(val & OCW2_SPECIFIC)) {
		/* In special mask mode a masked level is passed over. */
		p = priority(s, s->special_mask ? s->isr & ~s->imr : s->isr);
		if (p == 8)
			return;
		irq = (p + s->priority_add) & 7;
	}
	if (val & OCW2_ROTATE)
		s->priority_add = (irq + 1) & 7;
	if (s->isr & 1U << irq)
		end_of_interrupt(c, chip, irq, eoi);
}

static void command3(struct kvm_pic_state *s, u8 val)
{
	if (val & OCW3_POLL)
		s->poll = 1;
	if (val & OCW3_READ)
		s->read_reg_select = val & OCW3_READ_ISR;
	if (val & OCW3_ESMM)
		s->special_mask = !!(val & OCW3_SMM);
}

static void write_mask(struct irqchip *c, unsigned int chip, u8 val)
{
	struct kvm_pic_state *s = &c->pic[chip].s;
	u8 opened = s->imr & ~val;

	s->imr = val;
	if (chip == MASTER && (opened & 1))
		pit_unmasked(c);
}

static void write_data(struct irqchip *c, unsigned int chip, u8 val)
{
	struct kvm_pic_state *s = &c->pic[chip].s;

	switch (s->init_state) {
	case 0:
		write_mask(c, chip, val);
		break;
	case 1:
		s->irq_base = val & 0xf8;
		s->init_state = !c->pic[chip].single ? 2 : s->init4 ? 3 : 0;
		break;
	case 2:
		s->init_state = s->init4 ? 3 : 0;
		break;
	default:
		s->special_fully_nested_mode = !!(val & ICW4_SFNM);
		s->auto_eoi = !!(val & ICW4_AEOI);
		s->init_state = 0;
		break;
	}
}

/* A read after the poll command is the acknowledge cycle. */
static u8 poll_read(struct irqchip *c, unsigned int chip, struct eoi_list *eoi)
{
	int irq = next_irq(c, chip);

	c->pic[chip].s.poll = 0;
	if (irq < 0)
		return 0;
	acknowledge(c, chip, irq, eoi);
	if (chip == SLAVE)
		c->pic[MASTER].s.irr &= ~(1U << CASCADE);	/* it was this request */
	update(c);
	return 0x80 | irq;
}

/** One byte at a port of the pair; GSIs ended by it are added to eoi. */
bool pic_port(struct irqchip *c, u16 port, u8 *val, bool write, struct eoi_list *eoi)
{
	unsigned int chip;
	struct kvm_pic_state *s;

	switch (port) {
	case 0x20: case 0x21: case 0xa0: case 0xa1:
		chip = port >> 7 & 1;
		break;
	case 0x4d0: case 0x4d1:
		chip = port & 1;
		break;
	default:
		return false;
	}
	s = &c->pic[chip].s;
	if (port >= 0x4d0) {
		if (write)
			s->elcr = *val & s->elcr_mask;
		else
			*val = s->elcr;
		return true;
	}
	if (!write) {
		if (s->poll)
			*val = poll_read(c, chip, eoi);
		else if (port & 1)
			*val = s->imr;
		else
			*val = s->read_reg_select ? s->isr : s->irr;
		return true;
	}
	if (port & 1)
		write_data(c, chip, *val);
	else if (*val & ICW1_INIT)
		init_word1(c, chip, *val, eoi);
	else if (*val & OCW3_SELECT)
		command3(s, *val);
	else
		command2(c, chip, *val, eoi);
	update(c);
	return true;
}

void pic_reset(struct irqchip *c)
{
	unsigned int i;

	host_memset(c->pic, 0, sizeof(c->pic));
	host_memset(c->pic_line, 0, sizeof(c->pic_line));
	for (i = 0; i < 2; i++)
		c->pic[i].s.elcr_mask = i == MASTER ? ELCR_MASK_MASTER : ELCR_MASK_SLAVE;
	c->pic_output = false;
}

void pic_get(const struct irqchip *c, unsigned int chip, struct kvm_pic_state *s)
{
	*s = c->pic[chip].s;
}

/** State from the client: fields that index or select are cut to what the chip can hold. */
void pic_set(struct irqchip *c, unsigned int chip, const struct kvm_pic_state *new)
{
	struct kvm_pic_state *s = &c->pic[chip].s;
	u8 elcr_mask = s->elcr_mask;

	*s = *new;
	s->elcr_mask = elcr_mask;
	s->elcr &= elcr_mask;
	s->priority_add &= 7;
	s->irq_base &= 0xf8;
	s->init_state &= 3;
	c->pic[chip].single = false;
	update(c);
}
