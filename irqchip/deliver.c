// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * deliver.c - interrupt messages: who they are for, and what a local APIC does when one arrives.
 * SDM 3A 11.6 to 11.8
 */
#include "private.h"

#define MSI_ADDR_DEST		GENMASK_ULL(19, 12)
#define MSI_ADDR_REDIR_HINT	BIT_ULL(3)
#define MSI_ADDR_LOGICAL	BIT_ULL(2)
#define MSI_DATA_LEVEL		BIT(15)
#define MSI_DATA_MODE		GENMASK(10, 8)
#define MSI_DATA_VECTOR		GENMASK(7, 0)

#define XAPIC_BROADCAST		0xffU
#define X2APIC_BROADCAST	0xffffffffU

static void accept_fixed(struct lapic *l, u8 vector, bool level)
{
	u32 word = vector / 32, bit = 1U << (vector % 32);

	/* TMR first: whoever sees the request must see its trigger mode. */
	if (level)
		host_fetch_or(&l->reg[APIC_TMR + word], bit);
	else if (host_load_relaxed(&l->reg[APIC_TMR + word]) & bit)
		host_fetch_and(&l->reg[APIC_TMR + word], ~bit);
	if (host_fetch_or(&l->reg[APIC_IRR + word], bit) & bit)
		return;		/* still requested: whoever set the bit tells the vCPU */
	host_store_release(&l->irr_pending, 1);	/* pairs with the exchange in irr_clear() */
	l->chip->sink->lapic_event(l->owner);
}

int lapic_accept(struct lapic *l, u8 mode, u8 vector, bool level)
{
	const struct irq_sink *sink = l->chip->sink;

	if (!(host_load_relaxed(&l->base) & APIC_BASE_ENABLE))
		return -1;
	switch (mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		if (!(host_load_relaxed(&l->reg[APIC_SVR]) & SVR_ENABLE))
			return 0;
		if (vector < 16) {
			lapic_error(l, ESR_RECV_ILLEGAL);
			return 0;
		}
		accept_fixed(l, vector, level);
		return 1;
	case APIC_SMI:
		sink->lapic_smi(l->owner);
		return 1;
	case APIC_NMI:
		sink->lapic_nmi(l->owner);
		return 1;
	case APIC_INIT:
		sink->lapic_init(l->owner);
		return 1;
	case APIC_SIPI:
		sink->lapic_sipi(l->owner, vector);
		return 1;
	default:
		return 0;
	}
}

/* Log an error and raise the error LVT once per ESR write. SDM 3A 11.5.3 */
void lapic_error(struct lapic *l, u32 bit)
{
	u32 lvt = host_load_relaxed(&l->reg[APIC_LVTERR]);

	host_fetch_or(&l->esr_pending, bit);
	if (!host_xchg(&l->esr_armed, 0))
		return;
	/* an illegal vector here would be an error about the error: it is only logged */
	if ((lvt & LVT_VECTOR) < 16) {
		if (!(lvt & LVT_MASKED))
			host_fetch_or(&l->esr_pending, ESR_RECV_ILLEGAL);
		return;
	}
	lapic_local(l, APIC_LVTERR);
}

int lapic_local(struct lapic *l, unsigned int reg)
{
	u32 lvt = host_load_relaxed(&l->reg[reg]);
	u8 mode = FIELD_GET(LVT_MODE, lvt);

	if (lvt & LVT_MASKED)
		return -1;
	if (reg == APIC_LVTT || reg == APIC_LVTERR)
		mode = APIC_FIXED;
	return lapic_accept(l, mode, lvt & LVT_VECTOR, false);
}

/*
 * The 8259's INTR wire rose: APICs whose LINT0 is set to fixed or NMI take it as such. ExtINT is
 * pulled by the vCPU (sink->pic_output).
 */
void lapic_lint0_all(struct irqchip *c)
{
	u32 i, n = host_load_acquire(&c->nr_ids);

	for (i = 0; i < n; i++) {
		struct lapic *l = host_load_acquire(&c->lapics[i]);

		if (l && FIELD_GET(LVT_MODE, host_load_relaxed(&l->reg[APIC_LVT0])) != APIC_EXTINT)
			lapic_local(l, APIC_LVT0);
	}
}

static bool match_logical(u32 mda, u32 ldr, u32 dfr)
{
	if (mda > 0xff)
		return false;
	ldr >>= 24;
	switch (dfr >> 28) {
	case 0xf:
		return ldr & mda;
	case 0x0:
		return ldr >> 4 == mda >> 4 && (ldr & mda & 0xf);
	default:
		return false;
	}
}

static bool match(const struct irqchip *c, const struct lapic *l, const struct apic_msg *msg)
{
	bool x2 = host_load_relaxed(&l->base) & APIC_BASE_EXTD;
	u32 mda = msg->dest, ldr = host_load_relaxed(&l->reg[APIC_LDR]);

	if (mda == X2APIC_BROADCAST)
		return true;
	if (mda == XAPIC_BROADCAST) {
		if (!x2)
			return true;
		/* Clients that know 8-bit destinations only mean everybody; a flag of the API says
		 * they do not. */
		if (!msg->ipi && !(c->x2apic_api & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
			return true;
	}
	if (msg->logical) {
		if (x2)
			return ldr >> 16 == mda >> 16 && (ldr & mda & 0xffff);
		return match_logical(mda, ldr, host_load_relaxed(&l->reg[APIC_DFR]));
	}
	if (x2)
		return mda == l->id;
	/* An id that eight bits cannot name: reachable by its full id before x2APIC is switched
	 * on. */
	if (l->id > 0xff && mda == l->id)
		return true;
	return mda == host_load_relaxed(&l->reg[APIC_ID]) >> 24;
}

/* Of those addressed, the one that is doing the least important work; ties go round. */
static int deliver_lowest(struct irqchip *c, struct lapic *src, const struct apic_msg *msg)
{
	u32 i, n = host_load_acquire(&c->nr_ids), start = host_fetch_add(&c->rotate, 1);
	struct lapic *best = NULL;
	u32 best_ppr = 0x100;

	for (i = 0; i < n; i++) {
		struct lapic *l = host_load_acquire(&c->lapics[(start + i) % n]);
		u32 ppr;

		if (!l || !(host_load_relaxed(&l->base) & APIC_BASE_ENABLE) ||
		    !(host_load_relaxed(&l->reg[APIC_SVR]) & SVR_ENABLE))
			continue;
		if (msg->shorthand == APIC_TO_OTHERS ? l == src :
		    msg->shorthand != APIC_TO_ALL && !match(c, l, msg))
			continue;
		ppr = host_load_relaxed(&l->ppr) & 0xf0;
		if (ppr < best_ppr) {
			best = l;
			best_ppr = ppr;
		}
	}
	return best ? lapic_accept(best, APIC_FIXED, msg->vector, msg->level) : -1;
}

int apic_deliver(struct irqchip *c, struct lapic *src, const struct apic_msg *msg)
{
	u32 i, n = host_load_acquire(&c->nr_ids);
	int r = -1;

	if (msg->shorthand == APIC_TO_SELF)
		return lapic_accept(src, msg->mode, msg->vector, msg->level);
	if (msg->lowest && (msg->mode == APIC_FIXED || msg->mode == APIC_LOWEST))
		return n ? deliver_lowest(c, src, msg) : -1;

	/* The common case, one CPU by its id, needs no search. */
	if (msg->shorthand == APIC_TO_DEST && !msg->logical && msg->dest < n &&
	    msg->dest != XAPIC_BROADCAST) {
		struct lapic *l = host_load_acquire(&c->lapics[msg->dest]);

		if (l && match(c, l, msg))
			return lapic_accept(l, msg->mode, msg->vector, msg->level);
	}
	for (i = 0; i < n; i++) {
		struct lapic *l = host_load_acquire(&c->lapics[i]);
		int one;

		if (!l)
			continue;
		if (msg->shorthand == APIC_TO_OTHERS ? l == src :
		    msg->shorthand != APIC_TO_ALL && !match(c, l, msg))
			continue;
		one = lapic_accept(l, msg->mode, msg->vector, msg->level);
		if (one >= 0)
			r = one + max(r, 0);
	}
	return r;
}

/* SDM 3A 11.11. With 32-bit ids address bits 63:40 carry destination bits 31:8. */
void msi_decode(u64 api, u64 addr, u32 data, struct apic_msg *msg)
{
	*msg = (struct apic_msg) {
		.dest = FIELD_GET(MSI_ADDR_DEST, addr),
		.vector = data & MSI_DATA_VECTOR,
		.mode = FIELD_GET(MSI_DATA_MODE, data),
		.logical = addr & MSI_ADDR_LOGICAL,
		.level = data & MSI_DATA_LEVEL,
	};
	if (api & KVM_X2APIC_API_USE_32BIT_IDS)
		msg->dest |= (u32)(addr >> 32) & 0xffffff00;
	msg->lowest = msg->mode == APIC_LOWEST || (addr & MSI_ADDR_REDIR_HINT);
}
