/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * irqchip.h - interrupt controllers as state machines. Access and time come in by calls, interrupts
 * go out through struct irq_sink; no knowledge of vCPU threads or file descriptors. State formats
 * are KVM's.
 */
#ifndef IRQCHIP_H
#define IRQCHIP_H

#include <linux/kvm.h>
#include "../host/host.h"

struct irqchip;
struct lapic;

/*
 * What the controllers ask of the core. All but gsi_eoi may be called with irqchip->lock or
 * lapic->lock held and must not call back. Delivery to a local APIC takes no lock, so the lapic_*
 * ones come from any thread at once.
 */
struct irq_sink {
	/* The local APIC has (or may have) something new for its vCPU: kick it. arg:
	 * lapic->owner */
	void (*lapic_event)(void *owner);
	/* INIT, SIPI(vector), NMI, SMI arrived at that CPU */
	void (*lapic_init)(void *owner);
	void (*lapic_sipi)(void *owner, u8 vector);
	void (*lapic_nmi)(void *owner);
	void (*lapic_smi)(void *owner);
	/* The PIC pair's INTR output changed (for the CPU whose LINT0 accepts ExtINT): look
	 * again */
	void (*pic_output)(void *vm, bool level);
	/* EOI of a level-triggered vector, split irqchip: KVM_EXIT_IOAPIC_EOI to the client of that
	 * CPU */
	void (*eoi_exit)(void *owner, u8 vector);
	/* Guest TSC <-> host time for TSC-deadline: current guest TSC of that CPU, and the TSC rate
	 * in kHz */
	u64 (*guest_tsc)(void *owner);
	u32 (*tsc_khz)(void *owner);
	/* A GSI's level-triggered line was EOI'd at the PIC or I/O APIC (resample irqfds). No lock
	 * and no read section is held: it may call irqchip_set_gsi(). */
	void (*gsi_eoi)(void *vm, u32 gsi);
};

/* ---- whole chip ---- */
/*
 * split: local APICs only; PIC, PIT and I/O APIC live in the client; pins of the routing reserved
 * for its IOAPIC.
 */
int irqchip_create(struct irqchip **out, const struct irq_sink *sink, void *vm, bool split,
		   unsigned int pins);
void irqchip_destroy(struct irqchip *c);
/* KVM_IRQ_LINE with irq source bookkeeping: level of gsi by source id (0: KVM_IRQ_LINE; others:
 * irqfds, PIT). Returns >0 delivered to that many, 0 coalesced, -1 ignored (masked), as
 * KVM_IRQ_LINE_STATUS reports. */
#define IRQ_SOURCE_USER		0
#define IRQ_SOURCE_RESAMPLE	1
#define IRQ_SOURCE_PIT		2
int irqchip_set_gsi(struct irqchip *c, unsigned int source, u32 gsi, int level);
/* Up and down again, with nothing between: another thread's pulse, which may be the answer to this one's
 * interrupt, would find the line still up and be no edge. Returns what going up does. */
int irqchip_pulse_gsi(struct irqchip *c, unsigned int source, u32 gsi);
/* KVM_SET_GSI_ROUTING: check all, then publish. -EINVAL, -ENOMEM. */
int irqchip_set_routing(struct irqchip *c, const struct kvm_irq_routing_entry *e, u32 nr);
/* >0 delivered, 0 blocked or nobody there, -EINVAL: address */
int irqchip_send_msi(struct irqchip *c, u64 addr, u32 data);
int irqchip_get(struct irqchip *c, struct kvm_irqchip *chip);	/* PIC 0, 1, IOAPIC 2 */
int irqchip_set(struct irqchip *c, const struct kvm_irqchip *chip);
/* MMIO of the I/O APIC and port I/O of PIC (20,21,a0,a1,4d0,4d1). true: handled. len 1, 2, 4, 8 */
bool irqchip_mmio(struct irqchip *c, u64 gpa, void *data, unsigned int len, bool write);
bool irqchip_pio(struct irqchip *c, u16 port, void *data, unsigned int len, bool write);
/* ExtINT acknowledge cycle of the PIC pair: vector, or -1 if nothing pending. */
int irqchip_pic_ack(struct irqchip *c);
bool irqchip_pic_pending(struct irqchip *c);
/* MSI addressing: KVM_CAP_X2APIC_API flags */
void irqchip_set_x2apic_api(struct irqchip *c, u64 flags);
/* Does the reset of a boot CPU leave LINT0 open for the 8259s? On at first. */
void irqchip_set_lint0(struct irqchip *c, bool open);

/* ---- 8254 and port 0x61 ---- */
int pit_create(struct irqchip *c, u32 flags);
int pit_get(struct irqchip *c, struct kvm_pit_state2 *s);
int pit_set(struct irqchip *c, const struct kvm_pit_state2 *s);
int pit_reinject(struct irqchip *c, bool on);

/* ---- local APIC, one per vCPU ---- */
int lapic_create(struct lapic **out, struct irqchip *c, void *owner, u32 id);
void lapic_destroy(struct lapic *l);
void lapic_reset(struct lapic *l, bool init);		/* power-up, or INIT (id and base stay) */
u64 lapic_base_msr(const struct lapic *l);
/* Whether IA32_APIC_BASE may go from old to val; also for vCPUs whose APIC is the client's. host: set by the client */
bool lapic_base_allowed(u64 old, u64 val, bool host);
/* -EINVAL: illegal transition or reserved bit */
int lapic_set_base_msr(struct lapic *l, u64 val, bool host);
bool lapic_x2apic(const struct lapic *l);
/* IA32_MCG_CAP.CMCI_P was set: the register LVT CMCI is there, or is not. SDM 3B 15.5.1 */
void lapic_set_cmci(struct lapic *l, bool has);
/* A corrected or a no-action machine check asks for its interrupt. */
void lapic_cmci(struct lapic *l);
bool lapic_enabled(const struct lapic *l);		/* globally, by the base MSR */
/* xAPIC page: offset 0..0xfff; true: handled. x2APIC MSRs 0x800..0x8ff: 0 or -EINVAL (#GP). */
bool lapic_mmio(struct lapic *l, u32 offset, void *data, unsigned int len, bool write);
int lapic_msr_read(struct lapic *l, u32 msr, u64 *val);
int lapic_msr_write(struct lapic *l, u32 msr, u64 val);
u64 lapic_tscdeadline(const struct lapic *l);
void lapic_set_tscdeadline(struct lapic *l, u64 val);
u8 lapic_cr8(const struct lapic *l);
void lapic_set_cr8(struct lapic *l, u8 val);
#define LAPIC_TPR_OFFSET	0x80		/* in the xAPIC page */
void lapic_set_tpr(struct lapic *l, u8 tpr);
/*
 * TPR, class of the highest vector in service, highest requested vector, in the form of
 * KVM_SET_VAPIC_ADDR.
 */
u32 lapic_vapic_word(const struct lapic *l);
/* Highest pending vector deliverable now by PPR, or -1. Cheap: called on every entry. */
int lapic_pending(struct lapic *l);
int lapic_ack(struct lapic *l);				/* take it: IRR -> ISR; vector or -1 */
/* LINT0 in ExtINT mode unmasked, or APIC off */
bool lapic_accepts_extint(const struct lapic *l);
/*
 * End of interrupt, as a write to the EOI register does (paravirtual EOI found the guest's flag
 * cleared).
 */
void lapic_eoi(struct lapic *l);
/*
 * The interrupt in service needs no EOI exit and hides no other: the guest may end it by its flag
 * in memory.
 */
bool lapic_eoi_is_simple(const struct lapic *l);
/* When the timer is due next, CLOCK_MONOTONIC ns; 0: not armed. A vCPU that sleeps until then and
 * calls lapic_timer_expired() itself need not wait for the timer's thread. */
u64 lapic_timer_deadline(const struct lapic *l);
/*
 * The timer may be due: from the vCPU's thread or the timer's. Too early, or twice, does nothing.
 */
void lapic_timer_expired(struct lapic *l);
int lapic_get_state(struct lapic *l, struct kvm_lapic_state *s);
int lapic_set_state(struct lapic *l, const struct kvm_lapic_state *s);
/* Guest TSC jumped (host write): re-arm a TSC deadline. */
void lapic_tsc_changed(struct lapic *l);

#endif
