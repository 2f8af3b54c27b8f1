// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * lapic.c - the local APIC's registers: xAPIC page, x2APIC MSRs, base MSR, priorities, state. SDM
 * 3A chapter 11.
 *
 * Registers are written by the owner's thread only (vcpu->mutex); senders set IRR, TMR and error
 * bits atomically and read the few words that decide acceptance (deliver.c).
 */
#include "private.h"

#define APIC_BASE_RESET		0xfee00000ULL
#define APIC_BASE_RESERVED	(~(APIC_BASE_ADDR | APIC_BASE_ENABLE | APIC_BASE_EXTD | APIC_BASE_BSP))

#define X2_ICR_RESERVED		(BIT(13) | GENMASK(17, 16) | GENMASK(31, 20))

/*
 * What software may write of a register, and how it may be reached. 0 in both columns: there is no
 * such register.
 */
static const struct {
	u32 write_mask;		/* kept of a write */
	u8 access;
} reg_rule[APIC_NR_REGS] = {
#define R	1		/* xAPIC read */
#define W	2		/* xAPIC write */
#define XR	4		/* x2APIC read */
#define XW	8		/* x2APIC write */
	[APIC_ID]	= { 0xff000000, R | W | XR },	/* in xAPIC mode, as in Linux */
	[APIC_VERSION]	= { 0, R | XR },
	[APIC_TPR]	= { 0xff, R | W | XR | XW },
	[APIC_APR]	= { 0, R },
	[APIC_PPR]	= { 0, R | XR },
	[APIC_EOI]	= { 0, W | XW },
	[APIC_RRD]	= { 0, R },
	[APIC_LDR]	= { 0xff000000, R | W | XR },
	[APIC_DFR]	= { 0xf0000000, R | W },
	[APIC_SVR]	= { 0x3ff, R | W | XR | XW },
	[APIC_ISR ... APIC_ISR + 7] = { 0, R | XR },
	[APIC_TMR ... APIC_TMR + 7] = { 0, R | XR },
	[APIC_IRR ... APIC_IRR + 7] = { 0, R | XR },
	[APIC_ESR]	= { 0, R | W | XR | XW },
	/* reserved bits too, as in Linux, whose state others load here */
	[APIC_ICR]	= { (u32)~ICR_BUSY, R | W | XR | XW },
	[APIC_ICR2]	= { 0xff000000, R | W },
	[APIC_LVTCMCI]	= { LVT_VECTOR | LVT_MODE | LVT_MASKED, R | W | XR | XW },
	[APIC_LVTT]	= { LVT_VECTOR | LVT_MASKED | LVTT_MODE, R | W | XR | XW },
	[APIC_LVTTHMR]	= { LVT_VECTOR | LVT_MODE | LVT_MASKED, R | W | XR | XW },
	[APIC_LVTPC]	= { LVT_VECTOR | LVT_MODE | LVT_MASKED, R | W | XR | XW },
	[APIC_LVT0]	= { LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL | LVT_MASKED, R | W | XR | XW },
	[APIC_LVT1]	= { LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL | LVT_MASKED, R | W | XR | XW },
	[APIC_LVTERR]	= { LVT_VECTOR | LVT_MASKED, R | W | XR | XW },
	[APIC_TMICT]	= { 0xffffffff, R | W | XR | XW },
	[APIC_TMCCT]	= { 0, R | XR },
	[APIC_TDCR]	= { 0xb, R | W | XR | XW },
	[APIC_SELF_IPI]	= { LVT_VECTOR, XW },
};

static unsigned int reg_access(const struct lapic *l, unsigned int reg)
{
	if (reg >= APIC_NR_REGS || (reg == APIC_LVTCMCI && !l->has_cmci))
		return 0;
	return reg_rule[reg].access;
}

static int highest_bit(const u32 *words)
{
	int i;

	for (i = 7; i >= 0; i--) {
		u32 w = host_load_relaxed(&words[i]);

		if (w)
			return i * 32 + 31 - __builtin_clz(w);
	}
	return -1;
}

/* Processor priority from TPR and the highest vector in service. SDM 3A 11.8.3.1 */
static void update_ppr(struct lapic *l)
{
	int isr = highest_bit(&l->reg[APIC_ISR]);
	u32 tpr = l->reg[APIC_TPR], isrv = isr < 0 ? 0 : isr & 0xf0;

	host_store_relaxed(&l->ppr, (tpr & 0xf0) >= isrv ? tpr : isrv);
}

/* Take vector's request back. */
static void irr_clear(struct lapic *l, unsigned int vector)
{
	host_fetch_and(&l->reg[APIC_IRR + vector / 32], ~(1U << (vector % 32)));
	/* The hint may only stay 0 if IRR is seen empty after it; pairs with the release in
	 * accept_fixed(). */
	host_xchg(&l->irr_pending, 0);
	if (highest_bit(&l->reg[APIC_IRR]) >= 0)
		host_store_relaxed(&l->irr_pending, 1);
}

int lapic_pending(struct lapic *l)
{
	int vector;

	if (likely(!host_load_acquire(&l->irr_pending)))
		return -1;
	vector = highest_bit(&l->reg[APIC_IRR]);
	if (vector < 0 || (vector & 0xf0) <= (l->ppr & 0xf0) || !lapic_enabled(l))
		return -1;
	return vector;
}

int lapic_ack(struct lapic *l)
{
	int vector = lapic_pending(l);

	if (vector < 0)
		return -1;
	irr_clear(l, vector);
	l->reg[APIC_ISR + vector / 32] |= 1U << (vector % 32);
	update_ppr(l);
	return vector;
}

void lapic_eoi(struct lapic *l)
{
	int vector = highest_bit(&l->reg[APIC_ISR]);
	u32 bit;

	if (vector < 0)
		return;
	bit = 1U << (vector % 32);
	l->reg[APIC_ISR + vector / 32] &= ~bit;
	update_ppr(l);
	if ((host_load_relaxed(&l->reg[APIC_TMR + vector / 32]) & bit) ||
	    host_load_relaxed(&l->chip->pit_vector) == vector)
		irqchip_eoi(l, vector);
}

bool lapic_eoi_is_simple(const struct lapic *l)
{
	int vector = highest_bit(&l->reg[APIC_ISR]);

	return vector >= 0 && !host_load_relaxed(&l->irr_pending) &&
	       !(host_load_relaxed(&l->reg[APIC_TMR + vector / 32]) & 1U << (vector % 32)) &&
	       host_load_relaxed(&l->chip->pit_vector) != vector;
}

bool lapic_enabled(const struct lapic *l)
{
	return l->base & APIC_BASE_ENABLE;
}

bool lapic_x2apic(const struct lapic *l)
{
	return (l->base & (APIC_BASE_ENABLE | APIC_BASE_EXTD)) ==
	       (APIC_BASE_ENABLE | APIC_BASE_EXTD);
}

bool lapic_accepts_extint(const struct lapic *l)
{
	u32 lvt = l->reg[APIC_LVT0];

	/* Without an APIC the pin is INTR itself, on every CPU. SDM 3A 11.4.3 */
	if (!lapic_enabled(l))
		return true;
	return !(lvt & LVT_MASKED) && FIELD_GET(LVT_MODE, lvt) == APIC_EXTINT;
}

u8 lapic_cr8(const struct lapic *l)
{
	return l->reg[APIC_TPR] >> 4;
}

void lapic_set_cr8(struct lapic *l, u8 val)
{
	l->reg[APIC_TPR] = (val & 0xf) << 4;
	update_ppr(l);
}

void lapic_set_tpr(struct lapic *l, u8 tpr)
{
	l->reg[APIC_TPR] = tpr;
	update_ppr(l);
}

u32 lapic_vapic_word(const struct lapic *l)
{
	int irr = highest_bit(&l->reg[APIC_IRR]), isr = highest_bit(&l->reg[APIC_ISR]);

	return (l->reg[APIC_TPR] & 0xff) | (isr < 0 ? 0 : (isr & 0xf0) << 8) |
	       (irr < 0 ? 0 : (u32)irr << 24);
}

/* ---- reset and mode ---- */

static u32 x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1U << (id & 0xf);
}

/* The id registers follow the mode. SDM 3A 11.12.5.1, 11.12.10.2 */
static void set_ids(struct lapic *l)
{
	if (lapic_x2apic(l)) {
		host_store_relaxed(&l->reg[APIC_ID], l->id);
		host_store_relaxed(&l->reg[APIC_LDR], x2apic_ldr(l->id));
	} else {
		host_store_relaxed(&l->reg[APIC_ID], l->id << 24);
	}
}

/* Register state after power-up, but the id. SDM 3A 11.4.7.1 */
static void reset_registers(struct lapic *l)
{
	unsigned int i;
	u32 id = l->reg[APIC_ID];

	lapic_timer_stop(l);
	for (i = 0; i < APIC_NR_REGS; i++)
		host_store_relaxed(&l->reg[i], 0);
	host_store_relaxed(&l->irr_pending, 0);
	l->reg[APIC_ID] = id;
	l->reg[APIC_VERSION] = l->has_cmci ? APIC_VERSION_CMCI : APIC_VERSION_VALUE;
	l->reg[APIC_DFR] = 0xffffffff;
	l->reg[APIC_SVR] = 0xff;
	for (i = APIC_LVTT; i <= APIC_LVTERR; i++)
		l->reg[i] = LVT_MASKED;
	if (l->has_cmci)
		l->reg[APIC_LVTCMCI] = LVT_MASKED;
	/* As firmware leaves it: the boot CPU listens to the 8259s. Guests without firmware depend
	 * on it. */
	if ((l->base & APIC_BASE_BSP) && !host_load_relaxed(&l->chip->lint0_masked))
		l->reg[APIC_LVT0] = FIELD_PREP(LVT_MODE, APIC_EXTINT);
	host_store_relaxed(&l->esr_pending, 0);
	host_store_relaxed(&l->esr_armed, 1);
	if (lapic_x2apic(l))
		set_ids(l);
	update_ppr(l);
}

void lapic_reset(struct lapic *l, bool init)
{
	if (!init) {
		l->base = APIC_BASE_RESET | APIC_BASE_ENABLE | (l->base & APIC_BASE_BSP);
		set_ids(l);
	}
	reset_registers(l);
}

u64 lapic_base_msr(const struct lapic *l)
{
	return l->base;
}

/* SDM 3A 11.12.5: x2APIC mode is entered from xAPIC mode only and left by disabling only. */
bool lapic_base_allowed(u64 old, u64 val, bool host)
{
	u64 mode = val & (APIC_BASE_ENABLE | APIC_BASE_EXTD);

	old &= APIC_BASE_ENABLE | APIC_BASE_EXTD;
	if (val & APIC_BASE_RESERVED || mode == APIC_BASE_EXTD)
		return false;
	return host || !((old == (APIC_BASE_ENABLE | APIC_BASE_EXTD) && mode == APIC_BASE_ENABLE) ||
			 (!old && mode == (APIC_BASE_ENABLE | APIC_BASE_EXTD)));
}

int lapic_set_base_msr(struct lapic *l, u64 val, bool host)
{
	u64 mode = val & (APIC_BASE_ENABLE | APIC_BASE_EXTD);
	u64 old = l->base & (APIC_BASE_ENABLE | APIC_BASE_EXTD);

	if (!lapic_base_allowed(l->base, val, host))
		return -EINVAL;
	host_store_relaxed(&l->base, val);
	if (mode == old)
		return 0;
	if (!mode) {
		if (!host)
			reset_registers(l);
	} else {
		if (old & APIC_BASE_EXTD)
			host_store_relaxed(&l->reg[APIC_LDR], 0);
		set_ids(l);
	}
	return 0;
}

/* ---- registers ---- */

static u32 read_reg(struct lapic *l, unsigned int reg)
{
	switch (reg) {
	case APIC_APR:
	case APIC_RRD:
		return 0;
	case APIC_PPR:
		return l->ppr;
	case APIC_TMCCT:
		return lapic_timer_count(l);
	default:
		return host_load_relaxed(&l->reg[reg]);
	}
}

/*
 * Send what ICR says. high: the destination, as ICR2 or as the upper half of the x2APIC MSR. SDM 3A
 * 11.6.1
 */
static void send_ipi(struct lapic *l, u32 icr, u32 dest)
{
	struct apic_msg msg = {
		.dest = dest,
		.vector = FIELD_GET(ICR_VECTOR, icr),
		.mode = FIELD_GET(ICR_MODE, icr),
		.shorthand = FIELD_GET(ICR_SHORTHAND, icr),
		.logical = icr & ICR_LOGICAL,
		.ipi = true,
	};

	msg.lowest = msg.mode == APIC_LOWEST;
	if (msg.mode == APIC_RESERVED || msg.mode == APIC_EXTINT)
		return;
	/* INIT level de-assert only reset arbitration ids, which no CPU has had since the Pentium
	 * 4. */
	if (msg.mode == APIC_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return;
	if (msg.mode <= APIC_LOWEST && msg.vector < 16) {
		lapic_error(l, ESR_SEND_ILLEGAL);
		return;
	}
	host_read_lock(l->chip->rdomain, lapic_read_slot(l));
	apic_deliver(l->chip, l, &msg);
	host_read_unlock(l->chip->rdomain, lapic_read_slot(l));
}

static void write_svr(struct lapic *l, u32 val)
{
	unsigned int i;

	host_store_relaxed(&l->reg[APIC_SVR], val);
	if (val & SVR_ENABLE)
		return;
	for (i = APIC_LVTT; i <= APIC_LVTERR; i++)
		host_fetch_or(&l->reg[i], (u32)LVT_MASKED);
	if (l->has_cmci)
		host_fetch_or(&l->reg[APIC_LVTCMCI], (u32)LVT_MASKED);
}

void lapic_set_cmci(struct lapic *l, bool has)
{
	l->has_cmci = has;
	l->reg[APIC_VERSION] = has ? APIC_VERSION_CMCI : APIC_VERSION_VALUE;
	host_store_relaxed(&l->reg[APIC_LVTCMCI], has ? (u32)LVT_MASKED : 0);
}

void lapic_cmci(struct lapic *l)
{
	if (l->has_cmci && lapic_enabled(l))
		lapic_local(l, APIC_LVTCMCI);
}

/* val is within the register's write mask; only registers that can be written come here. */
static void write_reg(struct lapic *l, unsigned int reg, u32 val)
{
	switch (reg) {
	case APIC_TPR:
		l->reg[APIC_TPR] = val;
		update_ppr(l);
		break;
	case APIC_EOI:
		lapic_eoi(l);
		break;
	case APIC_DFR:
		host_store_relaxed(&l->reg[APIC_DFR], val | 0x0fffffff);
		break;
	case APIC_SVR:
		write_svr(l, val);
		break;
	case APIC_ESR:
		host_store_relaxed(&l->reg[APIC_ESR], host_xchg(&l->esr_pending, 0));
		host_store_relaxed(&l->esr_armed, 1);
		break;
	case APIC_ICR:
		l->reg[APIC_ICR] = val;
		send_ipi(l, val, l->reg[APIC_ICR2] >> 24);
		break;
	case APIC_LVTCMCI:
	case APIC_LVTT:
	case APIC_LVTTHMR:
	case APIC_LVTPC:
	case APIC_LVT0:
	case APIC_LVT1:
	case APIC_LVTERR:
		if (!(l->reg[APIC_SVR] & SVR_ENABLE))
			val |= LVT_MASKED;
		if (reg == APIC_LVTT)
			lapic_timer_set_lvtt(l, val);
		else
			host_store_relaxed(&l->reg[reg], val);
		break;
	case APIC_TMICT:
		if (FIELD_GET(LVTT_MODE, l->reg[APIC_LVTT]) == LVTT_DEADLINE)
			break;
		l->reg[APIC_TMICT] = val;
		lapic_timer_start(l, val);
		break;
	case APIC_TDCR:
		lapic_timer_set_divide(l, val);
		break;
	case APIC_SELF_IPI:
		send_ipi(l, val | FIELD_PREP(ICR_SHORTHAND, APIC_TO_SELF), 0);
		break;
	default:
		host_store_relaxed(&l->reg[reg], val);
		break;
	}
}

bool lapic_mmio(struct lapic *l, u32 offset, void *data, unsigned int len, bool write)
{
	unsigned int reg = offset >> 4, shift = offset & 0xf;
	u32 val = 0;

	if (offset >= HV_PAGE_SIZE || len > HV_PAGE_SIZE - offset)
		return false;
	/* No APIC in the page: nobody drives the bus. KVM's LAPIC_MMIO_HOLE quirk. */
	if (!lapic_enabled(l) || lapic_x2apic(l)) {
		if (!write)
			host_memset(data, 0xff, len);
		return true;
	}
	if (!(reg_access(l, reg) & (write ? W : R))) {
		/* EOI reads and writes of read-only registers are no errors, only reserved places
		 * are */
		if (!(reg_access(l, reg) & (R | W)))
			lapic_error(l, ESR_ILLEGAL_REG);
		if (!write)
			host_memset(data, 0, len);
		return true;
	}
	if (write) {
		/* Anything but an aligned 32-bit store is undefined; it is dropped. SDM 3A
		 * 11.4.1 */
		if (shift || len < 4)
			return true;
		host_memcpy(&val, data, 4);
		write_reg(l, reg, val & reg_rule[reg].write_mask);
		return true;
	}
	val = read_reg(l, reg);
	host_memset(data, 0, len);
	if (shift < 4)
		host_memcpy(data, (u8 *)&val + shift, min_t(unsigned int, len, 4 - shift));
	return true;
}

int lapic_msr_read(struct lapic *l, u32 msr, u64 *val)
{
	u32 reg = msr - 0x800;

	if (!lapic_x2apic(l) || !(reg_access(l, reg) & XR))
		return -EINVAL;
	*val = read_reg(l, reg);
	if (reg == APIC_ICR)
		*val |= (u64)l->reg[APIC_ICR2] << 32;
	return 0;
}

int lapic_msr_write(struct lapic *l, u32 msr, u64 val)
{
	u32 reg = msr - 0x800;

	if (!lapic_x2apic(l) || !(reg_access(l, reg) & XW))
		return -EINVAL;
	if (reg == APIC_ICR) {
		if (val & X2_ICR_RESERVED)
			return -EINVAL;
		val &= ~(u64)ICR_BUSY;
		l->reg[APIC_ICR] = val;
		l->reg[APIC_ICR2] = val >> 32;
		send_ipi(l, val, val >> 32);
		return 0;
	}
	/* Delivery status and remote IRR of an LVT entry are read-only, not reserved. */
	if (reg == APIC_LVTCMCI || (reg >= APIC_LVTT && reg <= APIC_LVTERR))
		val &= ~(u64)(BIT(12) | LVT_REMOTE_IRR);
	if (val & ~(u64)reg_rule[reg].write_mask)
		return -EINVAL;
	write_reg(l, reg, val);
	return 0;
}

/* ---- state as one page of registers, KVM_GET_LAPIC and KVM_SET_LAPIC ---- */

int lapic_get_state(struct lapic *l, struct kvm_lapic_state *s)
{
	unsigned int i;

	host_memset(s, 0, sizeof(*s));
	for (i = 0; i < APIC_NR_REGS; i++) {
		u32 val = read_reg(l, i);

		if (i == APIC_ID && lapic_x2apic(l) &&
		    !(l->chip->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS))
			val <<= 24;
		host_memcpy(s->regs + i * 16, &val, 4);
	}
	return 0;
}

int lapic_set_state(struct lapic *l, const struct kvm_lapic_state *s)
{
	u32 reg[APIC_NR_REGS];
	bool x2 = lapic_x2apic(l);
	unsigned int i;

	static_assert(sizeof(s->regs) == APIC_NR_REGS * 16);
	for (i = 0; i < APIC_NR_REGS; i++)
		host_memcpy(&reg[i], s->regs + i * 16, 4);
	if (x2 && (l->chip->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS) && reg[APIC_ID] != l->id)
		return -EINVAL;

	lapic_timer_stop(l);
	for (i = 0; i < APIC_NR_REGS; i++) {
		u32 mask = reg_rule[i].write_mask;

		if (!reg_access(l, i))
			mask = 0;
		if ((i >= APIC_ISR && i < APIC_ESR) || i == APIC_ESR || (i == APIC_ICR2 && x2))
			mask = 0xffffffff;
		host_store_relaxed(&l->reg[i], reg[i] & mask);
	}
	/* Vectors 0 to 15 cannot be in service. As requests they stay what the client wrote: their
	 * priority class 0 is never above the processor's, so they are not delivered. */
	l->reg[APIC_ISR] &= 0xffff0000;
	l->reg[APIC_VERSION] = l->has_cmci ? APIC_VERSION_CMCI : APIC_VERSION_VALUE;
	l->reg[APIC_DFR] |= 0x0fffffff;
	l->reg[APIC_EOI] = 0;
	l->reg[APIC_SELF_IPI] = 0;
	if (x2)
		set_ids(l);
	else
		host_store_relaxed(&l->reg[APIC_ID], reg[APIC_ID] & 0xff000000);
	/* SVR as it was: a client may have unmasked LINT0 of a disabled APIC, which lets the 8259 through */
	host_store_release(&l->irr_pending, 1);
	update_ppr(l);
	/* A one-shot timer whose count is 0 has fired; a periodic one starts its round again. */
	if (!reg[APIC_TMCCT] && FIELD_GET(LVTT_MODE, l->reg[APIC_LVTT]) == LVTT_PERIODIC)
		reg[APIC_TMCCT] = l->reg[APIC_TMICT];
	lapic_timer_start(l, reg[APIC_TMCCT]);
	l->chip->sink->lapic_event(l->owner);
	return 0;
}

/* ---- life ---- */

int lapic_create(struct lapic **out, struct irqchip *c, void *owner, u32 id)
{
	struct lapic *l;

	if (id >= IRQCHIP_MAX_APIC_ID)
		return -EINVAL;
	l = host_zalloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->chip = c;
	l->owner = owner;
	l->id = id;
	host_spin_init(&l->lock);
	lapic_timer_init(l);
	l->base = id ? 0 : APIC_BASE_BSP;
	lapic_reset(l, false);

	if (host_cmpxchg(&c->lapics[id], NULL, l)) {
		lapic_timer_destroy(l);
		host_free(l);
		return -EEXIST;
	}
	host_spin_lock(&c->lock);
	if (c->nr_ids <= id)
		host_store_release(&c->nr_ids, id + 1);
	host_spin_unlock(&c->lock);
	*out = l;
	return 0;
}

void lapic_destroy(struct lapic *l)
{
	struct irqchip *c;

	if (!l)
		return;
	c = l->chip;
	host_store_release(&c->lapics[l->id], NULL);
	host_synchronize(c->rdomain);
	lapic_timer_destroy(l);
	host_free(l);
}
