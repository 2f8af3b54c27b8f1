/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * hv.h - the objects: struct vm, struct vcpu, memory slots, requests. For core, vendors and the
 * glue that turns file descriptors into objects (lib, kmod).
 */
#ifndef CORE_HV_H
#define CORE_HV_H

#include <linux/kvm.h>
#include "vendor.h"
#include "locking.h"

struct lapic;
struct irqchip;

/* ---- guest memory ---------------------------------------------------------------------------- */

#define HV_MAX_MEMSLOTS	512	/* announced by KVM_CAP_NR_MEMSLOTS; per address space */
#define HV_MAX_VCPUS	64
#define HV_MAX_VCPU_ID	256	/* APIC ids 0 .. 255 */
#define HV_ADDRESS_SPACES 2	/* 1: what system management mode sees */

struct memslot {
	gfn_t gfn;
	u64 npages;
	u64 hva;		/* owner's virtual address of the first page */
	u32 id;			/* slot number | address space << 16 */
	u32 flags;		/* KVM_MEM_* */
	/* a bit per page (atomic or), NULL unless KVM_MEM_LOG_DIRTY_PAGES */
	u64 *dirty;
};

/* Immutable once published; sorted by gfn. Read under host_read_lock(vm->rdomain, slot). */
struct memslots {
	u64 generation;
	u32 nr;
	struct memslot slot[];
};

/** The slot that holds gfn, or NULL. Caller is in a read section. */
const struct memslot *memslot_find(const struct memslots *slots, gfn_t gfn);
/**
 * Host virtual address of gpa for reading, or 0. Inside a read section (a vCPU inside KVM_RUN
 * always is).
 */
u64 gmem_hva(struct vcpu *vcpu, gpa_t gpa, const struct memslot **slot);
/**
 * For struct walk_ops, whose ctx is the struct vcpu: change a page-table entry and mark its page
 * dirty. Inside a read section.
 */
int vcpu_walk_update(void *vcpu, gpa_t gpa, bool wide, u64 host, u64 old, u64 new);
/** Did an access of the emulator's fail because the host's memory is not there? Forgets it. */
bool vcpu_take_mem_error(struct vcpu *vcpu);
/**
 * Mark gfn dirty in its slot's log. Any thread in a read section; vcpu: the one whose thread it is,
 * or NULL.
 */
void memslot_mark_dirty(struct vm *vm, struct vcpu *vcpu, const struct memslot *slot, gfn_t gfn);
/**
 * Is this vCPU's dirty ring so full that the guest must stop? Then a vendor gives write access to
 * no page, and leaves.
 */
bool dirty_ring_full(struct vcpu *vcpu);

/* Copy from and to guest memory; cross page and slot borders. 0 or -EFAULT (outside slots, or host
 * memory not there). Writes mark dirty and tell the vendor (gmem_written). */
int gmem_read(struct vm *vm, gpa_t gpa, void *buf, size_t len);
int gmem_write(struct vm *vm, gpa_t gpa, const void *buf, size_t len);
/* Swap a byte of guest memory for another, atomically. 0 or -EFAULT. */
int gmem_swap_byte(struct vm *vm, gpa_t gpa, u8 new, u8 *old);
/* Reads and writes in address space as; all others are about space 0. A vCPU is in space st->smm. */
int gmem_read_as(struct vm *vm, unsigned int as, gpa_t gpa, void *buf, size_t len);
int gmem_write_as(struct vm *vm, unsigned int as, gpa_t gpa, const void *buf, size_t len);

/* ---- vCPU ------------------------------------------------------------------------------------ */

/*
 * Requests to a vCPU: bits set by any thread with vcpu_request(), handled by the vCPU before it
 * enters the guest.
 */
enum vcpu_req {
	REQ_TLB_FLUSH,		/* all of the vendor's cached translations */
	REQ_EVENT,		/* look for interrupts to inject */
	REQ_CLOCK_UPDATE,	/* rewrite the kvmclock page */
	REQ_STOP,		/* leave KVM_RUN: client signal or immediate_exit */
	/* soft: another vCPU wants something (write revocation); vendor handles it in enter() */
	REQ_VENDOR,
	REQ_NMI, REQ_TRIPLE_FAULT, REQ_STEAL_UPDATE, REQ_PV_UNHALT,
	/* split irqchip: a vector in priv->eoi_exit[] wants KVM_EXIT_IOAPIC_EOI */
	REQ_IOAPIC_EOI,
};

struct vcpu {
	struct vm *vm;
	u32 index;		/* creation order, 0 .. */
	u32 id;			/* APIC id, as KVM_CREATE_VCPU gave it */
	struct host_mutex mutex;	/* one ioctl at a time, KVM_RUN included */
	/* allocated by the vendor; soft: on the stack page translated code uses */
	struct x86_state *st;
	/* 4096 bytes, 64-aligned, standard XSAVE format; valid outside load/put */
	u8 *xsave;
	struct kvm_run *run;		/* first page of the client's mapping */
	void *vendor_data;
	/* for the vendor: its counters, zero at first, in the order of vendor_ops.stat_names */
	u64 *vendor_stats;
	struct vm_exit exit;
	struct emul emul;
	u64 requests;			/* bits, enum vcpu_req; atomic */
	bool in_guest;			/* inside vendor->enter(); atomic, for kick */
	struct host_waitq waitq;	/* HLT, waiting for SIPI; woken by requests */
	struct lapic *lapic;		/* NULL without in-kernel APIC */
	u32 mp_state;
	/* the rest: core/private.h (CPUID table, pending events, MMIO state, pvclock) */
	struct vcpu_priv *priv;
};

struct vm {
	struct host_mutex lock;		/* creation of vCPUs, devices; core/locking.h */
	struct host_mutex slots_lock;	/* writers of memslots */
	struct memslots *memslots[HV_ADDRESS_SPACES];	/* published pointers, per address space (1: SMM) */
	struct memslots *leaving;	/* the table before, while a vCPU may still look at it */
	struct host_rdomain *rdomain;
	const struct vendor_ops *vendor;
	void *vendor_data;
	u32 nr_vcpus;
	struct vcpu *vcpus[HV_MAX_VCPUS];
	struct irqchip *irqchip;	/* NULL until KVM_CREATE_IRQCHIP or split */
	struct vm_priv *priv;		/* core/private.h */
};

static inline bool vcpu_has_request(struct vcpu *v, enum vcpu_req r)
{
	return host_load_acquire(&v->requests) & BIT(r);
}
/**
 * Set a request, wake the vCPU if it sleeps, kick it if it is in guest mode. Any thread, any lock
 * but waitq's.
 */
void vcpu_request(struct vcpu *v, enum vcpu_req r);
/** Set a request on every vCPU and wait until each has left guest mode or handled it (TLB
 * shoot-down). May sleep; not from a vCPU that is inside enter(). The run loop's half: in_guest =
 * true (sequentially consistent), then look at requests; if none, enter(); then in_guest =
 * false. */
void vm_request_sync(struct vm *vm, enum vcpu_req r);
/** The same, and wait for every read section on vm->rdomain that began before: after it nobody uses
 * what was published before. May sleep; not from inside a read section. */
void vm_quiesce(struct vm *vm, enum vcpu_req r);

/** Does the guest's CPUID offer the decoder's feature? (enum insn_feature; cached bitmap) */
bool vcpu_has_feature(struct vcpu *v, unsigned int feature);
u8 vcpu_maxphyaddr(struct vcpu *v);

/*
 * What an instruction does, for vendors that handle it without an exit. As the emul_ops of the same
 * names.
 */
int vcpu_msr_read(struct vcpu *v, u32 index, u64 *val);		/* 0 or -EFAULT: #GP(0) is right */
int vcpu_msr_write(struct vcpu *v, u32 index, u64 val);
void vcpu_cpuid(struct vcpu *v, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
int vcpu_cr_write(struct vcpu *v, unsigned int cr, u64 val);	/* 0 or -EFAULT: #GP(0) */
u64 vcpu_cr8(struct vcpu *v);
/**
 * INVLPG: drops the page from the vendor's translations and from those that core keeps for the
 * emulator.
 */
void vcpu_invlpg(struct vcpu *v, gva_t gva);
/**
 * Does KVM_SET_GUEST_DEBUG ask for an exit after each instruction, or for breakpoints by debug
 * register?
 */
bool vcpu_debug_wants_steps(struct vcpu *v);
/** The emul_ops over this vCPU's memory, I/O and MSRs; vcpu->emul is set up with them. */
extern const struct emul_ops vcpu_emul_ops;

#endif
