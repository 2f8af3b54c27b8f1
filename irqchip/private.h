/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * private.h - what the interrupt controllers share among themselves.
 *
 * Locking. chip->lock covers PIC, I/O APIC, PIT and the level of every pin. The routing table and
 * the table of local APICs are read inside chip->rdomain; delivery to a local APIC takes no lock:
 * request bits are set by atomic operations and everything else a sender looks at is one word,
 * written by the owner's thread only. l->lock covers the timer. "Read section held" below means
 * host_read_lock(chip->rdomain, ...).
 */
#ifndef IRQCHIP_PRIVATE_H
#define IRQCHIP_PRIVATE_H

#include "irqchip.h"

#define IRQCHIP_MAX_APIC_ID	1024	/* ids are below this; KVM_CAP_MAX_VCPU_ID must not be more */
#define IRQCHIP_READ_SLOTS	65	/* APIC ids 0..63 have their own read slot, all others share slot 0 */
#define ROUTE_MAX_GSI		4096	/* KVM_CAP_IRQ_ROUTING */
#define PIC_PINS		16
#define IOAPIC_BASE		0xfec00000ULL
#define IOAPIC_LEN		0x100

/*
 * Local APIC registers: offset in the xAPIC page >> 4, also the x2APIC MSR number - 0x800. SDM 3A
 * table 11-6
 */
enum {
	APIC_ID = 0x02, APIC_VERSION = 0x03, APIC_TPR = 0x08, APIC_APR = 0x09, APIC_PPR = 0x0a,
	APIC_EOI = 0x0b,
	APIC_RRD = 0x0c, APIC_LDR = 0x0d, APIC_DFR = 0x0e, APIC_SVR = 0x0f, APIC_ISR = 0x10,
	APIC_TMR = 0x18,
	APIC_IRR = 0x20, APIC_ESR = 0x28, APIC_LVTCMCI = 0x2f, APIC_ICR = 0x30, APIC_ICR2 = 0x31, APIC_LVTT = 0x32,
	APIC_LVTTHMR = 0x33,
	APIC_LVTPC = 0x34, APIC_LVT0 = 0x35, APIC_LVT1 = 0x36, APIC_LVTERR = 0x37,
	APIC_TMICT = 0x38,
	APIC_TMCCT = 0x39, APIC_TDCR = 0x3e, APIC_SELF_IPI = 0x3f,
	APIC_NR_REGS = 0x40,
};

#define   SVR_ENABLE		BIT(8)
#define   LVT_VECTOR		GENMASK(7, 0)
#define   LVT_MODE		GENMASK(10, 8)
#define   LVT_POLARITY		BIT(13)
#define   LVT_REMOTE_IRR	BIT(14)
#define   LVT_LEVEL		BIT(15)
#define   LVT_MASKED		BIT(16)
#define   LVTT_MODE		GENMASK(18, 17)
#define     LVTT_ONESHOT	0
#define     LVTT_PERIODIC	1
#define     LVTT_DEADLINE	2
#define   ICR_VECTOR		GENMASK(7, 0)
#define   ICR_MODE		GENMASK(10, 8)
#define   ICR_LOGICAL		BIT(11)
#define   ICR_BUSY		BIT(12)
#define   ICR_ASSERT		BIT(14)
#define   ICR_LEVEL		BIT(15)
#define   ICR_SHORTHAND		GENMASK(19, 18)
#define   ESR_SEND_ILLEGAL	BIT(5)
#define   ESR_RECV_ILLEGAL	BIT(6)
#define   ESR_ILLEGAL_REG	BIT(7)

#define APIC_VERSION_VALUE	0x50014		/* six LVT entries, no EOI broadcast suppression */
#define APIC_VERSION_CMCI	0x60014		/* seven */

#define APIC_BASE_BSP		BIT(8)
#define APIC_BASE_EXTD		BIT(10)
#define APIC_BASE_ENABLE	BIT(11)
#define APIC_BASE_ADDR		GENMASK_ULL(51, 12)

enum apic_mode {
	APIC_FIXED, APIC_LOWEST, APIC_SMI, APIC_RESERVED, APIC_NMI, APIC_INIT, APIC_SIPI,
	APIC_EXTINT,
};

enum apic_shorthand { APIC_TO_DEST, APIC_TO_SELF, APIC_TO_ALL, APIC_TO_OTHERS };

/* One interrupt message on the way to local APICs. */
struct apic_msg {
	u32 dest;
	u8 vector;
	u8 mode;		/* enum apic_mode */
	u8 shorthand;		/* enum apic_shorthand */
	bool logical;
	bool level;		/* level-triggered: the EOI is broadcast */
	bool ipi;		/* by an ICR, else by I/O APIC or MSI */
	bool lowest;		/* arbitrate: lowest priority mode or an MSI's redirection hint */
};

struct lapic {
	struct irqchip *chip;
	void *owner;
	u32 id;			/* as created; the x2APIC id */
	u32 irr_pending;	/* 0: IRR is empty for sure */
	u32 ppr;
	u32 esr_pending;	/* errors since the last write of ESR */
	u32 esr_armed;
	u64 base;		/* IA32_APIC_BASE */
	bool has_cmci;		/* IA32_MCG_CAP.CMCI_P: LVT CMCI is there */
	u32 reg[APIC_NR_REGS];

	struct host_spinlock lock;
	struct host_timer timer;
	bool timer_armed;
	u64 timer_target;	/* CLOCK_MONOTONIC ns of the next expiry */
	u64 timer_period;	/* ns; periodic mode */
	u64 tscdeadline;
};

struct pic {
	struct kvm_pic_state s;
	bool single;		/* ICW1.SNGL: no ICW3 follows */
};

struct ioapic {
	struct kvm_ioapic_state s;
};

struct pit_channel {
	struct kvm_pit_channel_state s;
	bool null_count;	/* control word written, count not yet: not counting */
	bool triggered;		/* modes 1 and 5: the gate has risen since the count was written */
	u64 frozen;		/* gate low: ns counted before it fell */
};

struct pit {
	struct irqchip *chip;
	struct pit_channel ch[3];
	struct host_timer timer;
	u64 target;		/* next expiry of channel 0, ns; 0: none */
	u64 round;		/* periods from count_load_time to it */
	u32 flags;		/* KVM_PIT_FLAGS_* as in kvm_pit_state2 */
	bool speaker_port;	/* port 0x61 is ours */
	bool reinject;
	bool wait_ack;		/* a tick was delivered, its EOI not seen */
	u32 pending;		/* ticks that came meanwhile */
};

/* Where a GSI goes; -1: not to that chip. */
struct route {
	s8 pic[2];
	s8 ioapic;
	bool msi;
	u32 addr_lo, addr_hi, data;
};

struct route_table {
	u32 nr;				/* GSIs 0..nr - 1 */
	s16 pic_gsi[PIC_PINS];		/* pin -> GSI or -1 */
	s16 ioapic_gsi[KVM_IOAPIC_NUM_PINS];
	struct route route[];
};

struct irqchip {
	const struct irq_sink *sink;
	void *vm;
	bool split;
	/* split: routes below this belong to the client's I/O APIC */
	u32 pins;
	struct host_rdomain *rdomain;
	struct route_table *routes;	/* published */
	struct lapic **lapics;		/* by id, published one by one */
	u32 nr_ids;			/* no id at or above this is in use */
	u32 rotate;			/* lowest-priority ties go round */
	u64 x2apic_api;
	bool lint0_masked;		/* after reset, also at the boot CPU */
	s32 pit_vector;			/* edge vector whose EOI the PIT wants to see, or -1 */

	struct host_spinlock lock;
	struct pic pic[2];
	bool pic_output;
	struct ioapic ioapic;
	u8 pic_line[PIC_PINS];		/* a bit per source */
	u8 ioapic_line[KVM_IOAPIC_NUM_PINS];
	struct pit *pit;		/* published; NULL: none */
};

/* GSIs acknowledged inside a locked section, to be told when all locks are dropped. */
struct eoi_list {
	u32 n;
	u16 gsi[KVM_IOAPIC_NUM_PINS + PIC_PINS];
};

/* ---- deliver.c: all with the read section held, but lapic_accept() for one's own APIC ---- */
/* Give msg to one local APIC. 1: taken, 0: not (disabled by software, illegal vector), -1: the APIC is off. */
int lapic_accept(struct lapic *l, u8 mode, u8 vector, bool level);
/*
 * Route msg to whom it is for. Returns how many took it, -1 if it is for none. src: the sender of an
 * IPI, else NULL
 */
int apic_deliver(struct irqchip *c, struct lapic *src, const struct apic_msg *msg);
/* An MSI's address and data as a message; api: KVM_X2APIC_API_* flags */
void msi_decode(u64 api, u64 addr, u32 data, struct apic_msg *msg);
void lapic_error(struct lapic *l, u32 bit);
/* Deliver what an LVT entry says, if it is not masked. reg: APIC_LVT* */
int lapic_local(struct lapic *l, unsigned int reg);
void lapic_lint0_all(struct irqchip *c);

/* ---- lapic_timer.c ---- */
void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
void lapic_timer_destroy(struct lapic *l);
void lapic_timer_start(struct lapic *l, u32 first_count);
void lapic_timer_set_divide(struct lapic *l, u32 tdcr);
void lapic_timer_set_lvtt(struct lapic *l, u32 lvtt);
u32 lapic_timer_count(struct lapic *l);

/* ---- pic.c, ioapic.c: chip->lock held; ioapic.c needs the read section too ---- */
void pic_reset(struct irqchip *c);
int pic_set_pin(struct irqchip *c, unsigned int pin, unsigned int source, bool level);
bool pic_port(struct irqchip *c, u16 port, u8 *val, bool write, struct eoi_list *eoi);
int pic_ack(struct irqchip *c, struct eoi_list *eoi);
void pic_get(const struct irqchip *c, unsigned int chip, struct kvm_pic_state *s);
void pic_set(struct irqchip *c, unsigned int chip, const struct kvm_pic_state *s);
void ioapic_reset(struct irqchip *c);
int ioapic_set_pin(struct irqchip *c, unsigned int pin, unsigned int source, bool level);
void ioapic_eoi(struct irqchip *c, u8 vector, struct eoi_list *eoi);
u32 ioapic_read(struct irqchip *c, unsigned int offset);
void ioapic_write(struct irqchip *c, unsigned int offset, u32 val);
void ioapic_get(const struct irqchip *c, struct kvm_ioapic_state *s);
void ioapic_set(struct irqchip *c, const struct kvm_ioapic_state *s);
void ioapic_update_pit_vector(struct irqchip *c);

/* ---- route.c ---- */
struct route_table *route_defaults(bool split);
int route_build(struct irqchip *c, const struct kvm_irq_routing_entry *e, u32 nr,
		struct route_table **out);
const struct route *route_lookup(const struct route_table *t, u32 gsi);

/* ---- irqchip.c ---- */
/*
 * EOI of vector at l's CPU that the I/O APIC (or the client's) must hear of. Takes the read
 * section.
 */
void irqchip_eoi(struct lapic *l, u8 vector);
/*
 * chip->lock held: note that a pin's GSI was acknowledged and lower what a resampling irqfd holds
 * up.
 */
void eoi_note_pic(struct irqchip *c, unsigned int pin, struct eoi_list *eoi);
void eoi_note_ioapic(struct irqchip *c, unsigned int pin, struct eoi_list *eoi);

static inline u32 lapic_read_slot(const struct lapic *l)
{
	return l->id < IRQCHIP_READ_SLOTS - 1 ? l->id + 1 : HOST_READ_SHARED;
}

/* ---- pit.c ---- */
void pit_destroy(struct irqchip *c);
bool pit_port(struct irqchip *c, u16 port, u8 *val, bool write);	/* takes chip->lock */
void pit_acked(struct irqchip *c);		/* GSI 0 was EOI'd; no locks held */
/* chip->lock held: the guest starts over with GSI 0 */
void pit_unmasked(struct irqchip *c);

#endif
