// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * state.c - reading and writing state: each of enum pair, and MSRs. What is written is made up, or what was read before with
 * a few bits changed. Fields that depend on time are neither shown nor set.
 */
#include <stdio.h>
#include <string.h>
#include "calls.h"

#define REAL_CR0	0x60000010

static unsigned int any_cpu(struct rnd *r)
{
	return one_in(r, 3) ? rnd_below(r, s.cpus) : 0;
}

/* As processors with four levels of page tables have addresses. */
uint64_t canonical(uint64_t v)
{
	return (uint64_t)((int64_t)(v << 16) >> 16);
}

static uint64_t any_gpa(struct rnd *r)
{
	return one_in(r, 4) ? rnd_odd(r) : rnd_below(r, MEM);
}

/* ---- made up --------------------------------------------------------------------------------- */

static void make_regs(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_regs *regs = p;
	unsigned int i;

	for (i = 0; i < 16; i++)
		(&regs->rax)[i] = rnd_odd(r);
	regs->rip = any_gpa(r);
	regs->rflags = one_in(r, 2) ? rnd_odd(r) : 2 | (rnd64(r) & 0xcd5);
}

static void make_segment(struct rnd *r, struct kvm_segment *k)
{
	k->base = one_in(r, 2) ? 0 : rnd_odd(r);
	k->limit = one_in(r, 2) ? 0xffff : (uint32_t)rnd_odd(r);
	k->selector = (uint16_t)rnd_odd(r);
	k->type = (uint8_t)rnd_below(r, 16);
	k->present = !one_in(r, 8);
	k->s = !one_in(r, 8);
	k->dpl = one_in(r, 4) ? (uint8_t)rnd_below(r, 4) : 0;
	k->db = (uint8_t)rnd_below(r, 2);
	k->g = (uint8_t)rnd_below(r, 2);
	k->avl = (uint8_t)rnd_below(r, 2);
}

static void make_sregs(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_sregs *k = p;
	struct kvm_segment *seg;

	memset(k, 0, sizeof(*k));
	for (seg = &k->cs; seg <= &k->ldt; seg++)
		make_segment(r, seg);
	k->gdt.base = any_gpa(r);
	k->gdt.limit = (uint16_t)rnd64(r);
	k->idt.base = any_gpa(r);
	k->idt.limit = (uint16_t)rnd64(r);
	k->cr0 = REAL_CR0;
	switch (rnd_below(r, 4)) {
	case 0:
		k->cr0 |= 1;
		break;
	case 1:
		k->cr0 |= 0x80000001;
		k->cr4 = 0x20;
		k->efer = 0x500;
		k->cs.l = !one_in(r, 4);
		k->cs.db &= !k->cs.l;
		break;
	case 2:
		k->cr0 |= 0x80000001;
		k->cr4 = one_in(r, 2) ? 0x20 : 0;
		break;
	}
	if (one_in(r, 3))
		k->cr0 ^= 1UL << rnd_below(r, one_in(r, 8) ? 64 : 32);
	if (one_in(r, 2))
		k->cr4 ^= 1UL << rnd_below(r, one_in(r, 8) ? 64 : 24);
	if (one_in(r, 3))
		k->efer ^= 1UL << rnd_below(r, one_in(r, 8) ? 64 : 16);
	k->cr2 = one_in(r, 2) ? rnd_odd(r) : 0;
	k->cr3 = one_in(r, 4) ? rnd_odd(r) : TABLES_AT;
	k->cr8 = one_in(r, 4) ? rnd_odd(r) : rnd_below(r, 16);
	k->apic_base = 0xfee00800 | (cpu ? 0 : 0x100);
	if (one_in(r, 6))
		k->apic_base ^= one_in(r, 2) ? 0x400 : rnd_odd(r);
	if (one_in(r, 6))
		k->interrupt_bitmap[rnd_below(r, 4)] = 1UL << rnd_below(r, 64);
}

static void make_sregs2(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_sregs2 *k = p;
	struct kvm_sregs one;
	unsigned int i;

	make_sregs(r, &one, cpu);
	memset(k, 0, sizeof(*k));
	memcpy(k, &one, offsetof(struct kvm_sregs, interrupt_bitmap));
	if (one_in(r, 2))
		k->flags = one_in(r, 6) ? rnd_odd(r) : 1;
	for (i = 0; i < 4 && (k->flags & 1); i++)
		k->pdptrs[i] = one_in(r, 4) ? rnd_odd(r) : 0x10001;
}

/* Numbers that are numbers, as stray bits in an x87 register may become quiet ones. */
static void make_fpu(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_fpu *f = p;
	unsigned int i;

	memset(f, 0, sizeof(*f));
	for (i = 0; i < 8; i++)
		rnd_fill(r, f->fpr[i], 10);
	rnd_fill(r, f->xmm, sizeof(f->xmm));
	f->fcw = (uint16_t)(0x37f ^ (one_in(r, 2) ? rnd_below(r, 0x1000) & 0xf3f : 0));
	f->fsw = (uint16_t)(rnd64(r) & 0x7f7f);
	f->ftwx = (uint8_t)rnd64(r);
	f->last_opcode = (uint16_t)rnd_below(r, 0x800);
	f->last_ip = rnd_odd(r);
	f->last_dp = rnd_odd(r);
	f->mxcsr = 0x1f80 ^ (one_in(r, 2) ? rnd_below(r, 0x10000) : 0);
	if (one_in(r, 8))
		f->mxcsr = (uint32_t)rnd_odd(r);
}

static void make_xsave(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_xsave *x = p;
	uint8_t *b = p;
	uint64_t bv = one_in(r, 6) ? rnd_odd(r) : rnd_below(r, 8);
	uint32_t mxcsr = 0x1f80 ^ (one_in(r, 2) ? rnd_below(r, 0x10000) : 0);

	memset(x, 0, sizeof(*x));
	rnd_fill(r, b, 416);
	memset(b, 0, 32);
	b[0] = 0x7f;
	b[1] = 3;
	if (one_in(r, 8))
		mxcsr = (uint32_t)rnd_odd(r);
	memcpy(b + 24, &mxcsr, 4);
	mxcsr = 0xffff;
	memcpy(b + 28, &mxcsr, 4);
	memcpy(b + 512, &bv, 8);
	rnd_fill(r, b + 576, 256);
	if (one_in(r, 10))
		b[520 + rnd_below(r, 56)] = (uint8_t)rnd64(r);
}

static void make_xcrs(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_xcrs *x = p;
	unsigned int i;

	memset(x, 0, sizeof(*x));
	x->nr_xcrs = one_in(r, 6) ? rnd_below(r, 20) : 1;
	x->flags = one_in(r, 10);
	for (i = 0; i < x->nr_xcrs && i < KVM_MAX_XCRS; i++) {
		x->xcrs[i].xcr = one_in(r, 8) ? rnd_below(r, 3) : i;
		x->xcrs[i].value = one_in(r, 3) ? rnd_odd(r) : 2 * rnd_below(r, 4) + 1;
	}
}

static void make_mp_state(struct rnd *r, void *p, unsigned int cpu)
{
	((struct kvm_mp_state *)p)->mp_state = one_in(r, 8) ? (uint32_t)rnd_odd(r) : one_in(r, 2) ? 0 : rnd_below(r, 11);
}

static void make_events(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_vcpu_events *e = p;

	memset(e, 0, sizeof(*e));
	e->flags = one_in(r, 2) ? 0 : rnd_below(r, one_in(r, 4) ? 128 : 16) & ~8u;
	if (one_in(r, 3)) {
		e->exception.injected = (uint8_t)rnd_below(r, 2);
		e->exception.pending = (uint8_t)rnd_below(r, 2);
		e->exception.nr = (uint8_t)rnd_below(r, one_in(r, 4) ? 40 : 32);
		e->exception.has_error_code = (uint8_t)rnd_below(r, 2);
		e->exception.error_code = rnd_below(r, 0x10000);
		e->exception_has_payload = (uint8_t)rnd_below(r, 2);
		e->exception_payload = rnd_odd(r);
	}
	if (one_in(r, 3)) {
		e->interrupt.injected = (uint8_t)rnd_below(r, 2);
		e->interrupt.nr = (uint8_t)rnd64(r);
		e->interrupt.soft = one_in(r, 3);
	}
	e->interrupt.shadow = one_in(r, 3) ? (uint8_t)rnd_below(r, 4) : 0;
	if (one_in(r, 3)) {
		e->nmi.injected = (uint8_t)rnd_below(r, 2);
		e->nmi.pending = (uint8_t)rnd_below(r, 2);
		e->nmi.masked = (uint8_t)rnd_below(r, 2);
	}
	e->sipi_vector = one_in(r, 3) ? rnd_below(r, 256) : 0;
	e->triple_fault.pending = one_in(r, 8);
}

static void make_debugregs(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_debugregs *d = p;
	unsigned int i;

	memset(d, 0, sizeof(*d));
	for (i = 0; i < 4; i++)
		d->db[i] = one_in(r, 2) ? any_gpa(r) : 0;
	d->dr6 = one_in(r, 2) ? rnd_odd(r) : 0xffff0ff0;
	d->dr7 = one_in(r, 2) ? rnd_odd(r) & ~0xffUL : 0x400;	/* not armed: where #DB comes is for tests/guests */
	d->flags = one_in(r, 12);
}

/* Bits that can be written, of registers that start no timer. */
static const struct {
	uint16_t reg;
	uint32_t bits;
} lapic_regs[] = {
	{ 0x80, 0xff }, { 0xd0, 0xff000000 }, { 0xe0, 0xf0000000 }, { 0xf0, 0x1ff }, { 0x100, 0xffff0000 }, { 0x110, ~0u }, { 0x140, ~0u },
	{ 0x170, ~0u }, { 0x180, 0xffff0000 }, { 0x190, ~0u }, { 0x1f0, ~0u }, { 0x200, 0xffff0000 }, { 0x210, ~0u }, { 0x220, ~0u },
	{ 0x240, ~0u }, { 0x270, ~0u }, { 0x300, 0xcc7ff }, { 0x310, 0xff000000 }, { 0x330, 0x107ff }, { 0x340, 0x107ff },
	{ 0x350, 0x1a7ff }, { 0x360, 0x1a7ff }, { 0x370, 0x100ff }, { 0x3e0, 0xb },
};
#define LAPIC_REGS	(sizeof(lapic_regs) / sizeof(lapic_regs[0]))

/* 16: from what is there, only those. */
static void tame_lapic(uint8_t *b, unsigned int cpu)
{
	uint8_t want[1024], now[1024] = { 0 };
	uint32_t v, w;
	unsigned int i;

	memcpy(want, b, sizeof(want));
	call(s.cpu[cpu].fd, KVM_GET_LAPIC, now);
	memcpy(b, now, sizeof(now));
	memset(b + 0x380, 0, 0x20);
	for (i = 0; i < LAPIC_REGS; i++) {
		memcpy(&v, now + lapic_regs[i].reg, 4);
		memcpy(&w, want + lapic_regs[i].reg, 4);
		v = (v & ~lapic_regs[i].bits) | (w & lapic_regs[i].bits);
		memcpy(b + lapic_regs[i].reg, &v, 4);
	}
}

/* 15: no bits of EFER that do not exist, no flags other than 0 and 1. 47, 48: what processors have of bases and CR0. */
static void tame_sregs(struct kvm_sregs *k)
{
	struct kvm_segment *seg;

	k->efer &= 0xd01;
	k->cr0 = (k->cr0 & ~0x1ffaffc0UL) | 0x10;
	k->cs.type |= 8;
	if ((k->cr0 & 0x80000001) != 0x80000001 || !(k->efer & 0x100))	/* 62 */
		k->cr3 = (uint32_t)k->cr3;
	for (seg = &k->cs; seg <= &k->ldt; seg++) {
		seg->base = canonical(seg->base);
		if (seg < &k->tr) {					/* 24 */
			seg->limit |= 0xffff;
			seg->type = (seg->type & (seg->type & 8 ? 15 : 11)) | 2;
		}
		seg->type &= 15;
		seg->dpl &= 3;
		seg->present &= 1;
		seg->db &= 1;
		seg->s &= 1;
		seg->l &= 1;
		seg->g &= 1;
		seg->avl &= 1;
		seg->unusable &= 1;
	}
}

static void make_lapic(struct rnd *r, void *p, unsigned int cpu)
{
	uint8_t *b = p;
	uint32_t v;
	int i;

	call(s.cpu[cpu].fd, KVM_GET_LAPIC, p);
	for (i = 1 + (int)rnd_below(r, 4); i; i--) {
		v = one_in(r, 2) ? rnd_below(r, 256) : (uint32_t)rnd_odd(r);
		memcpy(b + lapic_regs[rnd_below(r, LAPIC_REGS)].reg, &v, 4);
	}
}

static void make_chip(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_irqchip *c = p;
	unsigned int i;

	memset(c, 0, sizeof(*c));
	c->chip_id = one_in(r, 10) ? (uint32_t)rnd_odd(r) : rnd_below(r, 3);
	if (c->chip_id < 2) {
		rnd_fill(r, &c->chip.pic, sizeof(c->chip.pic));
		c->chip.pic.init_state = (uint8_t)rnd_below(r, 4);
		c->chip.pic.init4 &= 1;
		c->chip.pic.priority_add &= 7;
		c->chip.pic.read_reg_select &= 1;
		c->chip.pic.poll &= 1;
		c->chip.pic.special_mask &= 1;
		c->chip.pic.auto_eoi &= 1;
		c->chip.pic.rotate_on_auto_eoi &= 1;
		c->chip.pic.special_fully_nested_mode &= 1;
	} else {
		c->chip.ioapic.base_address = 0xfec00000;
		c->chip.ioapic.ioregsel = rnd_below(r, 0x40);
		c->chip.ioapic.id = rnd_below(r, 16);
		for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
			c->chip.ioapic.redirtbl[i].bits = one_in(r, 3) ? rnd_odd(r) : 0x10000 | (0x20 + i);
	}
}

static void make_pit2(struct rnd *r, void *p, unsigned int cpu)
{
	struct kvm_pit_state2 *k = p;
	unsigned int i;

	memset(k, 0, sizeof(*k));
	for (i = 0; i < 3; i++) {
		struct kvm_pit_channel_state *c = &k->channels[i];

		c->count = rnd_below(r, 0x10001);
		c->status = (uint8_t)rnd64(r);
		c->status_latched = (uint8_t)rnd_below(r, 2);
		c->rw_mode = (uint8_t)rnd_below(r, 4);
		/* modes whose output does not change by itself, for the channel that interrupts */
		c->mode = (uint8_t)rnd_below(r, 6);
		c->bcd = one_in(r, 8);
		c->gate = (uint8_t)rnd_below(r, 2);
	}
	k->flags = rnd_below(r, 4) & 2;
}

/* 22: binary counts, gates of the first two channels open, and a first channel that does not interrupt by itself. */
static void tame_pit2(struct kvm_pit_state2 *k)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		k->channels[i].bcd = 0;
		k->channels[i].gate = i < 2 ? 1 : k->channels[i].gate & 1;
		if (k->channels[i].mode > 5) {
			k->channels[i].mode = 0xff;
			k->channels[i].status = 0;
		}
	}
	k->channels[0].mode = 5;
}

/* Whether the first 8259 waits to be asked for what the second one has. */
static bool slave_latched(void)
{
	struct kvm_irqchip c = { .chip_id = 0 };

	return !call(s.vm, KVM_GET_IRQCHIP, &c) && (c.chip.pic.irr & 4);
}

/* 28: no exception pending; no MXCSR without its component. */
static void tame_xsave(uint8_t *b)
{
	const uint32_t reset = 0x1f80;

	b[0] |= 0x3f;
	b[2] &= 0x7f;
	b[3] &= 0x7f;
	b[512] &= 7;			/* 58 */
	b[513] = 0;
	b[514] &= 0xf8;
	if (!(b[512] & 6))
		memcpy(b + 24, &reset, 4);
}

/*
 * 29, 50, 68: what the 8259s have, without the special mask and the poll command; 49: of the I/O APIC too, with vectors that
 * APICs take.
 */
static void tame_chip(struct kvm_irqchip *c)
{
	struct kvm_pic_state *p = &c->chip.pic;
	unsigned int i;

	for (i = 0; i < KVM_IOAPIC_NUM_PINS && c->chip_id == 2; i++) {
		c->chip.ioapic.redirtbl[i].bits &= 0xff0000000001efff;
		if (c->chip.ioapic.redirtbl[i].fields.vector < 16)
			c->chip.ioapic.redirtbl[i].fields.vector |= 16;
	}
	if (c->chip_id > 1)
		return;
	p->special_mask = 0;
	p->poll = 0;
	p->irq_base &= 0xf8;
	p->elcr_mask = c->chip_id ? 0xde : 0xf8;
	p->elcr &= p->elcr_mask;
	p->init_state &= 3;
	p->priority_add &= 7;
	if (!c->chip_id) {
		p->irr &= (uint8_t)~4;
		p->last_irr &= (uint8_t)~4;
	}
}

/* 31, 32, 44: vectors and shadows that processors have; no INT n, which stock KVM tells by what is at RIP. */
static void tame_events(struct kvm_vcpu_events *e)
{
	e->interrupt.soft = 0;
	e->nmi.pending &= 1;		/* 60 */
	e->interrupt.shadow &= 3;	/* 44 */
	if (e->exception.injected || e->exception.pending)	/* 38 */
		e->nmi.injected = 0;
	if (e->exception.injected || e->exception.pending || e->nmi.injected)
		e->interrupt.injected = 0;
	if (e->exception.nr == 3 || e->exception.nr == 4 || e->exception.nr == 9 || e->exception.nr == 15 || (e->exception.nr > 19 && e->exception.nr < 32))
		e->exception.nr = 13;
	e->exception.has_error_code = (0x27d00u >> (e->exception.nr & 31)) & 1;
}

/* ---- the pairs ------------------------------------------------------------------------------- */

static void hide_lapic(void *p)
{
	uint8_t *b = p;
	unsigned int reg;

	memset(b + 0x390, 0, 4);	/* the current count */
	b[0x80] &= 0xf0;		/* 61 */
	b[0x33] = 0;			/* 13 */
	b[0xf1] &= 0xef;
	memset(b + 0xa0, 0, 4);		/* 14 */
	for (reg = 0x320; reg <= 0x370; reg += 0x10)
		b[reg + 1] &= 0xaf;	/* 16 */
	b[0x301] &= 0xdf;
	b[0x302] &= 0x0c;
	b[0x303] = 0;
}

static void hide_pit2(void *p)
{
	struct kvm_pit_state2 *k = p;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		k->channels[i].count_load_time = 0;
		k->channels[i].latched_count = 0;
		if (k->channels[i].mode == 0xff)		/* 22 */
			k->channels[i].status = 0;
	}
}

/*
 * What is hidden here is listed with its reason in intended.list; the numbers are its.
 */
#define RFLAGS	0x3f7fd7UL

static void hide_regs(void *p)
{
	((struct kvm_regs *)p)->rflags &= RFLAGS;		/* 4 */
}

static void hide_sregs(void *p)
{
	struct kvm_segment *seg, *cs = p;

	for (seg = cs; seg <= cs + 7; seg++) {
		seg->g = seg->limit > 0xfffff;			/* 5 */
		if (seg < cs + 6)
			seg->type |= 1;				/* 6 */
		if (seg->unusable)
			seg->present = seg->db = 0;		/* 6 */
		seg->padding = 0;
	}
	cs[6].type |= 10;					/* 6 */
}

static void hide_fpu(void *p)
{
	struct kvm_fpu *f = p;
	unsigned int i;

	f->mxcsr = 0;						/* 7 */
	f->last_opcode = 0;					/* 12 */
	f->last_ip = f->last_dp = 0;
	for (i = 0; i < 8; i++)
		memset(f->fpr[i] + 10, 0, 6);
}

/* 8: a component that is not in XSTATE_BV has its initial value, and may as well be there with it. */
static void hide_xsave(void *p)
{
	uint8_t *b = p;
	unsigned int i;
	uint64_t bv;

	memcpy(&bv, b + 512, 8);
	if (!(bv & 1)) {
		memset(b, 0, 24);
		memset(b + 32, 0, 128);
		b[0] = 0x7f;
		b[1] = 3;
	}
	if (!(bv & 2))
		memset(b + 160, 0, 256);
	if (!(bv & 4))
		memset(b + 576, 0, 256);
	bv |= 7;
	memcpy(b + 512, &bv, 8);
	memset(b + 6, 0, 18);					/* 12 */
	for (i = 0; i < 8; i++)
		memset(b + 42 + 16 * i, 0, 6);
	memset(b + 28, 0, 4);					/* 21: MXCSR_MASK is the host's */
	memset(b + 416, 0, 96);
}

void hide_events(void *p)
{
	struct kvm_vcpu_events *e = p;

	if (!e->exception.injected && !e->exception.pending) {	/* 2 */
		memset(&e->exception, 0, sizeof(e->exception));
		e->exception_has_payload = 0;
		e->exception_payload = 0;
	}
	if (!e->exception_has_payload)
		e->exception_payload = 0;
	if (!e->interrupt.injected)
		e->interrupt.nr = 0;
	if (e->interrupt.shadow)
		e->interrupt.shadow = 3;			/* 3 */
}

static const struct state_pair {
	const char *name;
	unsigned long get, set;
	size_t size;
	bool vm;
	void (*make)(struct rnd *r, void *p, unsigned int cpu);
	void (*hide)(void *p);
} pairs[PAIRS] = {
	[REGS] = { "regs", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), false, make_regs, hide_regs },
	[SREGS] = { "sregs", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs), false, make_sregs, hide_sregs },
	[SREGS2] = { "sregs2", KVM_GET_SREGS2, KVM_SET_SREGS2, sizeof(struct kvm_sregs2), false, make_sregs2, hide_sregs },
	[FPU] = { "fpu", KVM_GET_FPU, KVM_SET_FPU, sizeof(struct kvm_fpu), false, make_fpu, hide_fpu },
	[XSAVE] = { "xsave", KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave), false, make_xsave, hide_xsave },
	[XCRS] = { "xcrs", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), false, make_xcrs, NULL },
	[MP_STATE] = { "mp_state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state), false, make_mp_state, NULL },
	[CPU_EVENTS] = { "events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events), false, make_events, hide_events },
	[DEBUGREGS] = { "debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs), false, make_debugregs, NULL },
	[LAPIC] = { "lapic", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state), false, make_lapic, hide_lapic },
	[CHIP] = { "irqchip", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), true, make_chip, NULL },
	[PIT2] = { "pit2", KVM_GET_PIT2, KVM_SET_PIT2, sizeof(struct kvm_pit_state2), true, make_pit2, hide_pit2 },
};

static const struct state_pair *any_pair(struct rnd *r, enum pair *which)
{
	/* devices of the VM where there are some, else seldom */
	do
		*which = (enum pair)rnd_below(r, PAIRS);
	while (*which >= LAPIC && s.irqchip != FULL && !(*which == LAPIC && s.irqchip == SPLIT) && !one_in(r, 10));
	return &pairs[*which];
}

/* 11: KVM_SET_FPU and KVM_GET_FPU find all components there. */
static void whole_vectors(unsigned int cpu)
{
	struct kvm_xsave x = { 0 };
	uint8_t *b = (uint8_t *)&x;

	if (call(s.cpu[cpu].fd, KVM_GET_XSAVE, &x))
		return;
	b[512] |= 7;
	call(s.cpu[cpu].fd, KVM_SET_XSAVE, &x);
}

static long get(const struct state_pair *p, enum pair which, unsigned int cpu)
{
	uint8_t *b = s.got[which].bytes;
	uint8_t shown[4096] = { 0 };
	long ret;

	if (which == FPU)
		whole_vectors(cpu);
	ret = call(p->vm ? s.vm : s.cpu[cpu].fd, p->get, b);
	out_ret(ret);
	if (ret)
		return ret;
	s.got[which].have = true;
	memcpy(shown, b, p->size);
	if (p->hide)
		p->hide(shown);
	out_words(shown, p->size);
	return ret;
}

void op_get(struct rnd *r)
{
	enum pair which;
	const struct state_pair *p = any_pair(r, &which);
	unsigned int cpu = any_cpu(r);

	out(" %s cpu %u", p->name, cpu);
	memset(s.got[which].bytes, 0, p->size);
	if (which == CHIP) {
		uint32_t id = one_in(r, 10) ? rnd_below(r, 5) : rnd_below(r, 3);

		out(" chip %u", id);
		memcpy(s.got[which].bytes, &id, 4);
	}
	get(p, which, cpu);
}

/* Nothing that starts a timer, or tells the time, or is known to be taken in another way. */
static void quiet(enum pair which, uint8_t *b, unsigned int cpu)
{
	if (which == LAPIC)
		tame_lapic(b, cpu);
	if (which == MP_STATE && ((struct kvm_mp_state *)b)->mp_state == KVM_MP_STATE_AP_RESET_HOLD)	/* 46 */
		((struct kvm_mp_state *)b)->mp_state = KVM_MP_STATE_HALTED;
	if (which == SREGS || which == SREGS2)
		tame_sregs((void *)b);
	if (which == PIT2)
		tame_pit2((void *)b);
	if (which == DEBUGREGS) {		/* 33 */
		((struct kvm_debugregs *)b)->dr6 &= ~0x1000UL;
		((struct kvm_debugregs *)b)->dr7 &= ~0x20ffUL;
	}
	if (which == FPU) {
		whole_vectors(cpu);
		((struct kvm_fpu *)b)->mxcsr = 0;
		((struct kvm_fpu *)b)->fcw |= 0x3f;		/* 28 */
		((struct kvm_fpu *)b)->fsw &= 0x7f7f;
	}
	if (which == XSAVE)
		tame_xsave(b);
	if (which == CHIP && ((struct kvm_irqchip *)b)->chip_id == 1 && slave_latched())	/* 56 */
		((struct kvm_irqchip *)b)->chip_id = 0;
	if (which == CHIP)
		tame_chip((void *)b);
	if (which == CPU_EVENTS)
		tame_events((void *)b);
	if (which == REGS) {
		((struct kvm_regs *)b)->rflags &= RFLAGS;
		((struct kvm_regs *)b)->rip &= 0xffff;		/* 26 */
	}
}

void op_set(struct rnd *r)
{
	enum pair which;
	const struct state_pair *p = any_pair(r, &which);
	unsigned int cpu = any_cpu(r);
	uint8_t b[4096] = { 0 }, shown[4096];

	out(" %s cpu %u", p->name, cpu);
	if (s.got[which].have && one_in(r, 2)) {
		memcpy(b, s.got[which].bytes, p->size);
		if (p->hide)		/* what may differ is no part of an argument */
			p->hide(b);
		rnd_mutate(r, b, which == XSAVE ? 640 : p->size);
	} else {
		p->make(r, b, cpu);
	}
	quiet(which, b, cpu);
	out(" arg");
	memcpy(shown, b, sizeof(b));
	if (p->hide)
		p->hide(shown);
	out_words(shown, p->size);
	out_ret(call(p->vm ? s.vm : s.cpu[cpu].fd, p->set, b));
	if (which == CHIP || p->vm)
		return;
	out(" now");
	get(p, which, cpu);
}

/* What was read can be written, and is the same then. */
void op_round_trip(struct rnd *r)
{
	enum pair which;
	const struct state_pair *p = any_pair(r, &which);
	unsigned int cpu = any_cpu(r);
	int fd = p->vm ? s.vm : s.cpu[cpu].fd;
	long ret;

	out(" %s cpu %u", p->name, cpu);
	memset(s.got[which].bytes, 0, p->size);
	ret = get(p, which, cpu);
	if (ret)
		return;
	quiet(which, s.got[which].bytes, cpu);
	ret = call(fd, p->set, s.got[which].bytes);
	out(" set");
	out_ret(ret);
	out(" again");
	get(p, which, cpu);
}

/* ---- MSRs ------------------------------------------------------------------------------------ */

static const uint32_t msrs[] = {
	0x11, 0x12, 0x1b, 0x3b, 0x174, 0x175, 0x176, 0x17a, 0x17b, 0x200, 0x201, 0x20f, 0x250, 0x258, 0x26f, 0x277,
	0x2ff, 0x400, 0x401, 0x402, 0x403, 0x404, 0x4b564d00, 0x4b564d01, 0x4b564d03, 0x4b564d05, 0x802, 0x803, 0x808, 0x80a, 0x80b, 0x80d,
	0x80f, 0x810, 0x820, 0x828, 0x830, 0x832, 0x835, 0x836, 0x837, 0x83e, 0x83f, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083,
	0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103,
};

uint32_t any_msr(struct rnd *r)
{
	return one_in(r, 12) ? 0x90000000 + rnd_below(r, 16) : msrs[rnd_below(r, sizeof(msrs) / sizeof(msrs[0]))];
}

/* 66: of the local APIC's registers in x2APIC mode, bits that they have. What has more than 32 bits is refused by both. */
uint64_t x2apic_value(uint32_t index, uint64_t v)
{
	switch (index) {
	case 0x808:
		return v >> 32 ? v : v & 0xff;
	case 0x80b:
		return 0;
	case 0x80f:
		return v >> 32 ? v : v & 0x1ff;
	case 0x830:
		return v & 0xffffffff000cdfff;
	case 0x835:
	case 0x836:
		return v >> 32 ? v : v & 0x1a7ff;
	case 0x837:
		return v >> 32 ? v : v & 0x100ff;
	case 0x83e:
		return v >> 32 ? v : v & 0xb;
	default:
		return v;
	}
}

uint64_t any_msr_value(struct rnd *r, uint32_t index)
{
	switch (index) {
	case 0x1b:
		return 0xfee00000 | (one_in(r, 2) ? 0x800 : rnd_below(r, 16) << 8);
	case 0x11:
	case 0x4b564d00:
		return CLOCKS_AT + rnd_below(r, 16) * 64;
	case 0x12:
	case 0x4b564d01:
		return CLOCKS_AT + 0x1000 + rnd_below(r, 16) * 64 + rnd_below(r, 2);
	case 0x4b564d03:
		return CLOCKS_AT + 0x2000 + rnd_below(r, 16) * 64 + rnd_below(r, 2);
	case 0x277:
		return one_in(r, 2) ? 0x0007040600070406 : rnd_odd(r);
	case 0x832:			/* masked, or periodic without a count */
		return rnd_odd(r) & 0x300ff;
	case 0x174:			/* 17 */
		return rnd_odd(r) & 0xffff;
	case 0x175:
	case 0x176:
	case 0xc0000084:
		return rnd_odd(r) & 0x7fffffff;
	case 0xc0000080:
		return one_in(r, 2) ? rnd64(r) & 0xd01 : rnd_odd(r);
	default:
		return x2apic_value(index, rnd_odd(r));
	}
}

static bool pv_msr(uint32_t index)
{
	return index == 0x11 || index == 0x12 || index >> 8 == 0x4b564d;
}

struct msrs {
	struct kvm_msrs h;
	struct kvm_msr_entry e[6];
};

static void make_msrs(struct rnd *r, struct msrs *m, bool set)
{
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->h.nmsrs = 1 + rnd_below(r, 5);
	for (i = 0; i < m->h.nmsrs; i++) {
		m->e[i].index = any_msr(r);
		if (s.pv_enforced && pv_msr(m->e[i].index))	/* 54 */
			m->e[i].index = 0xc0000081;
		if (set && m->e[i].index == 0xc0000080)		/* 35 */
			m->e[i].index = 0xc0000081;
		if (set)
			m->e[i].data = any_msr_value(r, m->e[i].index);
		out(" %x", m->e[i].index);
		if (set)
			out(":%lx", (unsigned long)m->e[i].data);
	}
}

static void show_msrs(unsigned int cpu, struct msrs *m)
{
	long ret = call(s.cpu[cpu].fd, KVM_GET_MSRS, m), i;

	out_ret(ret);
	for (i = 0; i < ret; i++) {
		if (m->e[i].index == 0x803)
			m->e[i].data &= ~0x1000000UL;		/* 13 */
		if (m->e[i].index == 0x808)
			m->e[i].data &= ~0xfUL;			/* 61 */
		out(" %lx", (unsigned long)m->e[i].data);
	}
}

void op_msrs_get(struct rnd *r)
{
	unsigned int cpu = any_cpu(r);
	struct msrs m;

	out(" cpu %u", cpu);
	make_msrs(r, &m, false);
	show_msrs(cpu, &m);
}

void op_msrs_set(struct rnd *r)
{
	unsigned int cpu = any_cpu(r);
	struct msrs m;

	out(" cpu %u", cpu);
	make_msrs(r, &m, true);
	out_ret(call(s.cpu[cpu].fd, KVM_SET_MSRS, &m));
	out(" now");
	show_msrs(cpu, &m);
}
