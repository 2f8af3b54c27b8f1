/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * private.h - what the files of core share among themselves; nobody else includes it (vendors use
 * hv.h).
 */
#ifndef CORE_PRIVATE_H
#define CORE_PRIVATE_H

#include "hv.h"
#include "../irqchip/irqchip.h"
#include "../x86/paging/walk.h"
#include "../x86/arch/msr.h"

#define HV_MAX_CPUID	256

/* Hypercalls that are served; Documentation/virt/kvm/x86/hypercalls.rst */
#define KVM_HC_VAPIC_POLL_IRQ	1
#define KVM_HC_KICK_CPU		5
#define KVM_HC_SEND_IPI		10
#define KVM_HC_SCHED_YIELD	11
#define KVM_HC_MAP_GPA_RANGE	12

/* Bytes of a vCPU's client mapping: kvm_run, PIO data, coalesced ring. */
#define HV_VCPU_MMAP_PAGES	3

/*
 * Port and memory-mapped I/O of the instruction being emulated; core/io.c. Reads that only the
 * client can answer make the emulator stop; the instruction runs again when the answer is there,
 * and finds it in replay. Writes are queued until the instruction has retired.
 */
enum io_want { WANT_NONE, WANT_MMIO_READ, WANT_PIO_IN, WANT_MSR };
enum io_queued { QUEUED_NONE, QUEUED_MMIO, QUEUED_PIO };
struct io_state {
	/* an exit is with the client; complete at the next KVM_RUN */
	bool pending;
	bool is_mmio, is_write;
	/* core runs the emulator: writes may be queued, reads may stop it */
	bool collecting;
	/* the exit came up while an event was delivered, not in an instruction */
	bool delivering;
	bool mem_error;			/* host memory behind a slot was not there */
	bool pio_ready;			/* the answer to IN is in the data page */
	/* KVM_EXIT_DEBUG for single-step is due once the pending exit completes */
	bool step_exit;
	u8 want;			/* enum io_want: what the emulator stopped for */
	u8 queued;			/* enum io_queued */
	u64 rip;			/* of the instruction that waits, or has queued a write */
	/* PIO (data in page 1 of the mapping) */
	u16 port;
	u8 size;
	u32 count;
	/* MMIO: an access of up to 64 bytes goes out in pieces of at most 8 */
	gpa_t gpa[2];			/* second: after a page border */
	gva_t gva;
	u32 len, first_len, done;
	u8 data[64];
	/* reads that the instruction being emulated has already got, in order */
	u32 nr_replay, replay_pos;
	struct { gva_t gva; u32 len; u8 data[64]; } replay[4];
};

/* The last translations that the emulator asked for. Valid for one table of memory slots. */
#define NR_XLATE	8
struct xlate_cache {
	u64 tag;			/* guest-linear page | access | XLATE_VALID */
	u64 generation;			/* of the table */
	gpa_t gpa;			/* of the page */
	u64 hva;			/* of the page; 0: no memory */
	const struct memslot *slot;
};

struct pending_exception {
	bool pending, injected;
	struct x86_fault fault;
	bool has_payload;
	u64 payload;
};

/* A vCPU's ring of written pages, core/dirty_ring.c */
struct dirty_ring {
	struct kvm_dirty_gfn *entry;	/* in the client's mapping; NULL: the VM has no rings */
	u32 size;			/* entries, a power of two */
	struct host_spinlock lock;	/* who adds entries */
	u32 dirty_index;		/* the next entry to fill; atomic */
	u32 reset_index;		/* the oldest one with the client; slots_lock; atomic */
};

/*
 * Counters, in memory that others may look at while they count; names: core/stat.c. A vCPU's are its
 * thread's alone to change.
 */
#define VENDOR_STATS	16
struct vcpu_stats {
	u64 exits, io_exits, mmio_exits, halt_exits, irq_injections, nmi_injections, signal_exits,
		request_irq_exits, insn_emulation, hypercalls, irq_window_exits, halt_wakeup, tlb_flush,
		userspace_exits;
	u64 exit[EXIT_NR];		/* by enum vm_exit_reason */
	u64 vendor[VENDOR_STATS];
};

struct vm_stats {
	u64 tlb_shootdowns, slot_changes;	/* atomic */
};

struct vcpu_priv {
	/* CPUID as KVM_SET_CPUID2 gave it; runtime bits are filled in at lookup */
	struct kvm_cpuid_entry2 cpuid[HV_MAX_CPUID];
	u32 nr_cpuid;
	u64 features[2];		/* bit per enum insn_feature */
	u64 cr4_allowed, efer_allowed, xcr0_allowed;
	u8 maxphyaddr;
	bool has_run;			/* CPUID is fixed after the first KVM_RUN */

	/* events */
	struct pending_exception exception;
	struct { bool injected, soft; u8 nr; } interrupt;
	struct { u8 pending; bool injected; } nmi;	/* pending: atomic count */
	bool triple_fault;
	bool smi_pending;		/* atomic */
	bool smm_inside_nmi;		/* NMIs were blocked already when SMM was entered */
	u8 sipi_vector;
	u32 apic_events;		/* atomic bits */
#define   APIC_EVENT_INIT	BIT(0)
#define   APIC_EVENT_SIPI	BIT(1)
	struct kvm_guest_debug debug;

	struct io_state io;
	struct xlate_cache xlate[NR_XLATE];
	bool intr_window, nmi_window;	/* as last asked of the vendor */
	bool tpr_exit;			/* KVM_EXIT_SET_TPR is due */
	/* core/vapic.c: shadow of the TPR in guest memory, 0: none; as last written there */
	u64 vapic_gpa;
	u32 vapic_word;
	bool tpr_reporting;
	/* paravirtual EOI: the guest may end the interrupt in service by its flag in memory */
	bool pv_eoi_pending;
	u64 pv_eoi;
	u64 halt_poll_window;		/* ns; grows while short sleeps would have been saved */
	/* KVM_EXIT_HYPERCALL with the client */
	struct { bool pending, reply_ready; u64 ret; } hypercall;
	/* KVM_EXIT_TPR_ACCESS is due for the instruction at rip */
	struct { bool pending, write; u64 rip; } tpr_access;
	/* KVM_EXIT_X86_RDMSR/WRMSR with the client */
	struct { bool pending, write, reply_ready, failed; u32 index; u64 data; } msr_exit;

	/* MSRs that no instruction reads directly */
	u64 mtrr_def, mtrr_fix[11], mtrr_base[8], mtrr_mask[8], pat;
	u64 misc_enable, tsc_adjust, ucode_rev, arch_capabilities, feature_control, spec_ctrl,
		smbase, smi_count, power_ctl;
	u64 mcg_cap, mcg_status, mcg_ctl, mce_banks[32 * 4], mce_ctl2[32];
	u64 virt_spec_ctrl, platform_info, misc_features, hwcr;
	/* paravirtual: core/pv.c */
	u64 pv_system_time, pv_steal, pv_poll_control;
	bool pv_guest_paused;
	u64 tsc_khz;
	u64 tsc_written;		/* last value the host wrote, for tsc_synchronize() */
	/* pv_steal_update(); steal_left: TSC when KVM_RUN ended; steal_asked: when the host was asked;
	 * steal_due: it is to be asked, and steal_guess counts if it does not say */
	u64 steal_wall, steal_last, steal_accum, steal_thread, steal_delay, steal_left;
	u64 steal_asked, steal_guess;
	bool steal_due;

	/* IA32_APIC_BASE as the client keeps it, without in-kernel APIC */
	u64 apic_base;
	int extint_vector;		/* split irqchip: KVM_INTERRUPT's vector, -1 none */
	/* split irqchip: vectors to report by KVM_EXIT_IOAPIC_EOI; atomic bits */
	u64 eoi_exit[4];
	u32 last_slot;			/* index of the memory slot hit last; any value is safe */

	/* caps per vCPU and signal mask */
	bool enforce_pv_features;
	bool sigmask_set;
	u64 sigmask;
	struct emul_cache emul_cache;
	struct dirty_ring dirty_ring;
	struct vcpu_stats *stat;
};

#define VM_MAX_IOEVENTFDS	1024
#define VM_MAX_COALESCED	100

struct msr_filter;
struct coalesced_zones;

struct vm_priv {
	u32 refs;			/* descriptors; atomic */
	u64 owner;			/* glue_owner_token() of the creator */
	u32 serial;			/* for names in statistics */
	/* state components that CPUID leaf 0xd offers on this host */
	u64 supported_xcr0;
	/* capabilities switched on by KVM_ENABLE_CAP */
	bool exit_on_emulation_failure, exception_payload, triple_fault_event, manual_dirty_log, msr_platform_info;
	u64 manual_dirty_flags, x2apic_api, user_space_msr_mask;
	u32 dirty_ring_bytes;		/* KVM_CAP_DIRTY_LOG_RING; 0: bitmaps */
	u64 quirks_off;			/* KVM_X86_QUIRK_* that the client switched off */
	u64 exits_off;			/* KVM_X86_DISABLE_EXITS_* */
	u64 halt_poll_ns;		/* how long HLT may spin before it sleeps */
	u64 hypercall_exits;		/* a bit a hypercall that goes to the client */
	u32 max_vcpu_id, bsp_id;
	bool irqchip_split, has_pit;
	u64 tss_addr, identity_map_addr;
	u32 nr_mmu_pages;		/* KVM_SET_NR_MMU_PAGES, which has nothing to limit */
	u32 has_device;			/* KVM_CREATE_DEVICE; atomic */
	/* kvmclock: guest ns = host monotonic + offset */
	s64 clock_offset;
	u64 pv_wall_clock;		/* MSR_KVM_WALL_CLOCK, one for all vCPUs; atomic */
	/* the pair of host TSC and guest ns that all kvmclock pages use */
	bool clock_ref_valid;
	s64 clock_ref_offset;
	u64 clock_ref_tsc, clock_ref_ns;
	u64 default_tsc_khz;
	struct host_spinlock tsc_lock;		/* clock_ref_* above and tsc_last_* below */
	/* the last host write of a TSC, for tsc_synchronize() */
	u64 tsc_last_write, tsc_last_offset, tsc_last_khz, tsc_last_host;
	/* writers of irqfds, ioeventfds, coalesced zones, MSR filter */
	struct host_mutex irq_lock;
	struct host_spinlock resample_lock;	/* the list of resampling irqfds, for EOIs */
	struct irqfd *resamplers;
	struct irqfd *irqfds;
	u32 nr_irqfds, reap_irqfds_at;	/* how many make it worth while to look for dead ones */
	/* published: [0] PIO, [1] MMIO; sorted by address */
	struct ioeventfd_bus *ioeventfds[2];
	struct coalesced_zones *coalesced;	/* published */
	struct kvm_coalesced_mmio_ring *ring;	/* the first vCPU's last page */
	struct host_spinlock ring_lock;		/* who puts writes into it */
	struct msr_filter *msr_filter;		/* published; NULL: everything allowed */
	struct vm_stats *stat;
};

/* What KVM_CREATE_DEVICE makes, core/device.c */
struct vm_device {
	struct vm *vm;			/* a reference */
	struct vfio_group *groups;	/* under vm->lock */
};

/*
 * Read sections of a vCPU thread. Everything that looks at published pointers (memory slots,
 * ioeventfds, coalesced zones, MSR filter) from KVM_RUN needs one. The run loop holds it around
 * each stretch of emulate or enter() and drops it between two rounds and whenever it sleeps, so
 * that a kick is enough to let writers go on.
 */
static inline void vcpu_read_lock(struct vcpu *v)
{
	host_read_lock(v->vm->rdomain, v->index + 1);
}

static inline void vcpu_read_unlock(struct vcpu *v)
{
	host_read_unlock(v->vm->rdomain, v->index + 1);
}

/* Is that behaviour of KVM's in force? KVM_CAP_DISABLE_QUIRKS2 */
static inline bool vm_has_quirk(const struct vm *vm, u64 quirk)
{
	return !(host_load_relaxed(&vm->priv->quirks_off) & quirk);
}

/* ---- vm.c, vcpu.c, memslot.c, dirty.c, irqfd.c, ioeventfd.c, state.c, cap.c, ioctl.c, stat.c ---- */
int vm_set_memory_region(struct vm *vm, const struct kvm_userspace_memory_region *r);
int vm_check_extension(struct vm *vm, u32 cap);		/* vm NULL: system */
/*
 * dirty_ring.c. A page's bit was set: tell the client. v NULL: not on a vCPU's thread. False: it
 * could not be told, the page is to stay clean.
 */
bool dirty_ring_push(struct vm *vm, struct vcpu *v, u32 slot, u64 offset);
/* Write of len bytes at addr hits an ioeventfd: it was signalled, true. In a read section. */
bool ioeventfd_write(struct vm *vm, bool mmio, u64 addr, const void *data, unsigned int len);
/* true: the write went to the coalesced ring. In a read section, on the vCPU's thread. */
bool coalesced_write(struct vcpu *vcpu, bool pio, u64 addr, const void *data, unsigned int len);
/* KVM_X86_SET_MSR_FILTER: may the guest read (write) this MSR? In a read section. */
bool vm_msr_allowed(struct vm *vm, u32 index, bool write);
void irqfd_gsi_eoi(struct vm *vm, u32 gsi);
const struct irq_sink *core_irq_sink(void);

/* ---- stat.c ---- */
/* Counters of a new VM or vCPU. 0 or -ENOMEM. */
int vm_stats_create(struct vm *vm);
void vm_stats_destroy(struct vm *vm);
int vcpu_stats_create(struct vcpu *vcpu);
void vcpu_stats_destroy(struct vcpu *vcpu);

/* ---- run.c ---- */
/* KVM_RUN; vcpu->mutex held. 0 with *vcpu->run filled, or -errno. */
int vcpu_run(struct vcpu *vcpu);
/* Power-up (init false) or INIT reset of *vcpu->st, events and local APIC. SDM 3A table 10-1 */
void vcpu_reset(struct vcpu *vcpu, bool init);
/*
 * Apply queued INIT and SIPI to mp_state and registers (GET_MP_STATE, GET_VCPU_EVENTS and KVM_RUN
 * do).
 */
void vcpu_apply_apic_events(struct vcpu *vcpu);
u64 vcpu_apic_base(const struct vcpu *vcpu);
int vcpu_set_apic_base(struct vcpu *vcpu, u64 base, bool host);
bool vcpu_is_bsp(const struct vcpu *vcpu);
/* HLT retired: >0 sleep in the run loop, 0 exit to the client */
int vcpu_halt(struct vcpu *vcpu);
int vcpu_exit_debug(struct vcpu *vcpu, const struct x86_fault *f);	/* KVM_EXIT_DEBUG; 0 */
/* if_flag, cr8, apic_base, ready_for_interrupt_injection, flags */
void vcpu_fill_run(struct vcpu *vcpu);

/* ---- inject.c ---- */
void vcpu_queue_exception(struct vcpu *vcpu, const struct x86_fault *f);
/* before each entry; 0, or EMUL_SHUTDOWN / -errno */
int vcpu_inject_pending(struct vcpu *vcpu);
void vcpu_limit_nmis(struct vcpu *vcpu);	/* event.c */
bool vcpu_interrupt_allowed(struct vcpu *vcpu);
bool vcpu_has_wakeup_event(struct vcpu *vcpu);		/* something HLT must wake for */

/* ---- smm.c ---- */
void smm_enter(struct vcpu *vcpu);
int smm_leave(struct vcpu *vcpu);
void smm_set(struct vcpu *vcpu, bool smm);

/* ---- vapic.c: with priv->vapic_gpa set, on the vCPU's thread ---- */
void vapic_from_guest(struct vcpu *vcpu);
void vapic_to_guest(struct vcpu *vcpu);

/* ---- emulate.c ---- */
void vcpu_emulate_init(struct vcpu *vcpu);
/*
 * Emulate the instruction at RIP. >0: go on in the guest; 0: exit to the client, *vcpu->run filled;
 * <0: -errno
 */
int vcpu_emulate(struct vcpu *vcpu, bool decoded);
/*
 * The client has answered the pending exit: take data. >0 go on (re-emulate or continue); 0:
 * another exit; <0
 */
int vcpu_complete_io(struct vcpu *vcpu);

/* ---- gaccess.c: guest-linear memory for the emulator ---- */
struct gaccess {
	gpa_t gpa;
	u64 hva;				/* 0: no memory there */
	const struct memslot *slot;
};
/*
 * Translate; 0, -EFAULT with vcpu->emul.fault set. In a read section. access: enum walk_access |
 * WALK_*
 */
int gaccess_translate(struct vcpu *vcpu, gva_t gva, unsigned int access, struct gaccess *a);
void gaccess_flush(struct vcpu *vcpu);
int gaccess_read(struct emul *e, gva_t gva, void *buf, unsigned int len, unsigned int access);
int gaccess_write(struct emul *e, gva_t gva, const void *buf, unsigned int len,
		  unsigned int access);
int gaccess_fetch(struct emul *e, gva_t gva, void *buf, unsigned int len);
int gaccess_cmpxchg(struct emul *e, gva_t gva, void *old, const void *new, unsigned int len,
		    unsigned int access);
bool gaccess_is_ram(struct emul *e, gva_t gva, unsigned int len, unsigned int access);

/* ---- io.c: devices in core, and exits for the client's ---- */
void io_begin(struct vcpu *vcpu, bool resumed);
int io_mmio_read(struct vcpu *vcpu, gva_t gva, gpa_t gpa, void *buf, unsigned int len);
int io_mmio_write(struct vcpu *vcpu, gpa_t gpa, const void *buf, unsigned int len);
int io_port_in(struct emul *e, u16 port, unsigned int size, void *data, unsigned int *count);
int io_port_out(struct emul *e, u16 port, unsigned int size, const void *data, unsigned int *count);
int vcpu_port_io(struct vcpu *vcpu);
/*
 * The instruction or delivery retired: what it wrote goes out. >0: all done; 0: exit to the client,
 * run filled
 */
int io_retire(struct vcpu *vcpu);
/* The emulator stopped for what only the client has: fill run. 0; -EINVAL: it did not. */
int io_stop(struct vcpu *vcpu);
int io_complete(struct vcpu *vcpu, bool *resume);

/* ---- msr.c, cpuid.c, pv.c, cr.c ---- */
/* A host write of the TSC, or power-up (0): joins VMs' vCPUs by the rule in tsc.c */
void tsc_synchronize(struct vcpu *vcpu, u64 val);
/* features before KVM_SET_CPUID2: the supported ones */
void cpuid_init(struct vcpu *vcpu);
const struct kvm_cpuid_entry2 *vcpu_cpuid_entry(struct vcpu *vcpu, u32 leaf, u32 subleaf);
bool cr_load_pdptrs(struct vcpu *vcpu, u64 cr3);		/* PAE; false: reserved bits set */
/* -EINVAL, -E2BIG */
int vcpu_set_cpuid(struct vcpu *vcpu, const struct kvm_cpuid_entry2 *e, u32 n);
/*
 * What KVM_GET_SUPPORTED_CPUID reports, the paravirtual leaves included. Number of entries, or
 * -E2BIG.
 */
int cpuid_supported(const struct vendor_ops *vendor, struct kvm_cpuid_entry2 *e, u32 max);
/* host: from KVM_SET_MSRS (policy differs from the guest's WRMSR) */
int msr_get(struct vcpu *vcpu, u32 index, u64 *val, bool host);			/* 0, -EINVAL */
int msr_set(struct vcpu *vcpu, u32 index, u64 val, bool host);
/* saved MSRs; returns how many */
u32 msr_list(u32 *out, u32 max);
u32 msr_feature_list(u32 *out, u32 max);
int msr_feature_get(u32 index, u64 *val);
/* Validity of a whole set of control registers, for KVM_SET_SREGS. */
bool cr_set_valid(struct vcpu *vcpu, u64 cr0, u64 cr3, u64 cr4, u64 efer);
void pv_clock_update(struct vcpu *vcpu);			/* REQ_CLOCK_UPDATE */
void pv_steal_update(struct vcpu *vcpu, bool running);
void pv_steal_enter(struct vcpu *vcpu);
void pv_steal_leave(struct vcpu *vcpu);
void pv_sleeps(struct vcpu *vcpu);
void pv_wakes(struct vcpu *vcpu);
void pv_eoi_to_guest(struct vcpu *vcpu);
void pv_eoi_from_guest(struct vcpu *vcpu);
void pv_wall_clock_write(struct vcpu *vcpu, gpa_t gpa);
u64 vm_clock_ns(struct vm *vm);				/* kvmclock now */
u64 vcpu_guest_tsc(struct vcpu *vcpu);
u64 vcpu_scale_tsc(const struct vcpu *vcpu, u64 host);	/* the guest's TSC but for the offset */
void tsc_offset_set(struct vcpu *vcpu, u64 offset);
void tsc_init(struct vcpu *vcpu);
/* VMCALL: registers in st; >0 done, 0 exit to client */
int vcpu_hypercall(struct vcpu *vcpu);

#endif
