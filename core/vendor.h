/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * vendor.h - what a back end (vmx, svm, soft) does: enter guest mode, leave it with an exit, move
 * state in and out. What an exit means is decided in core, once.
 */
#ifndef CORE_VENDOR_H
#define CORE_VENDOR_H

#include "../host/host.h"
#include "../x86/arch/state.h"
#include "../x86/emul/emul.h"

struct vm;
struct vcpu;

enum vm_exit_reason {
	/* left guest mode for no reason of the guest's: look at requests, signals, events */
	EXIT_KICKED,
	/* run the instruction at RIP in the emulator (MMIO, anything the vendor does not do) */
	EXIT_EMULATE,
	EXIT_HLT,		/* HLT retired, st->halted set, RIP past it */
	EXIT_INTR_WINDOW,	/* the window asked for by request_window() is open */
	EXIT_NMI_WINDOW,
	EXIT_SHUTDOWN,		/* triple fault */
	/* #DB or #BP intercepted because of KVM_SET_GUEST_DEBUG; exit.fault tells which */
	EXIT_DEBUG,
	/* host memory behind a slot is not there: KVM_RUN returns -EFAULT */
	EXIT_MEM_ERROR,
	/* IN or OUT at RIP, not done yet; exit.io says which. The guest may access the port (IOPL, TSS). */
	EXIT_IO,
	/* the vendor cannot go on: exit.code tells; KVM_EXIT_INTERNAL_ERROR */
	EXIT_FAIL,
	/* vmx and svm add: EXIT_CPUID, EXIT_MSR, EXIT_CR, EXIT_NPF ... when they come;
	 * soft sends EMULATE */
	EXIT_NR,
};

struct vm_exit_io {
	u64 next_rip;
	u16 port;
	u8 size;		/* 1, 2, 4 bytes */
	bool in;
};

struct vm_exit {
	u32 reason;		/* enum vm_exit_reason */
	u32 code;		/* EXIT_FAIL */
	struct x86_fault fault;	/* EXIT_DEBUG */
	struct vm_exit_io io;	/* EXIT_IO */
	/* EXIT_EMULATE: the vendor has decoded the instruction at RIP already into
	 * vcpu->emul.insn */
	bool decoded;
};

/* Groups of struct x86_state, for regs_changed() and cache_regs(). */
#define REGS_GPR	0x01
#define REGS_RIP_FLAGS	0x02
#define REGS_SEG	0x04	/* segments, GDTR, IDTR, cpl */
#define REGS_CR		0x08	/* CR0 2 3 4 8, EFER, XCR0, PDPTRs */
#define REGS_DR		0x10
#define REGS_MSR	0x20	/* the MSRs in struct x86_state */
#define REGS_ALL	0x3f

struct vendor_ops {
	const char *name;

	/* 0 if this machine can run the vendor, else -errno and *why a one-line reason. Any context
	 * that may sleep. */
	int (*probe)(const char **why);
	/* Per host CPU, first VM created / last VM gone. soft: NULL. */
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);

	/* vm->lock held; may sleep. The vendor's data hang off vm->vendor_data. */
	int (*vm_init)(struct vm *vm);
	void (*vm_destroy)(struct vm *vm);

	/* Allocates the vendor's part and the architectural state: sets vcpu->st (zeroed) and
	 * vcpu->vendor_data. Core then fills in the reset state and calls regs_changed(REGS_ALL).
	 * vm->lock held; may sleep. */
	int (*vcpu_create)(struct vcpu *vcpu);
	void (*vcpu_destroy)(struct vcpu *vcpu);

	/* Begin and end of a stretch of enter() calls on this thread, inside one KVM_RUN. From load
	 * on the guest's FPU/SSE/AVX state may be in the host's registers; the vendor moves it
	 * there from vcpu->xsave when it is first needed. put moves it back if it was, so that the
	 * client sees it and the thread's other users of vector registers are safe. Nothing in
	 * between may touch those registers. vcpu->mutex held. */
	void (*load)(struct vcpu *vcpu);
	void (*put)(struct vcpu *vcpu);

	/* Run until core must act; fills vcpu->exit. vcpu->mutex held, inside load/put, may sleep
	 * briefly. 0, or -errno: the vCPU is dead. Returns EXIT_KICKED soon after kick(), also when
	 * kick() came before. */
	int (*enter)(struct vcpu *vcpu);
	/* After EXIT_EMULATE: would enter() give EXIT_EMULATE again right away? Then core emulates
	 * on, up to 64 instructions in a stretch. NULL: no. */
	bool (*interpreting)(struct vcpu *vcpu);
	/* REQ_VENDOR came while the vCPU sleeps in HLT: what enter() would do about it first. In a read section, inside
	 * load/put. NULL: nothing. */
	void (*attend)(struct vcpu *vcpu);
	/* Any thread, any lock: make enter() return soon. Remembered until the next enter() takes
	 * it. */
	void (*kick)(struct vcpu *vcpu);

	/* vmx, svm: fill in these groups of *vcpu->st from hardware. soft: NULL (the state is
	 * always whole). */
	void (*cache_regs)(struct vcpu *vcpu, u32 groups);
	/* Core or the emulator has changed these groups of *vcpu->st; taken up at the next enter()
	 * at the latest. */
	void (*regs_changed)(struct vcpu *vcpu, u32 groups);

	/* Deliver at the next enter(), before any guest instruction. At most one at a time; core
	 * has checked interruptibility. soft delivers at once with emul_deliver(): result as that
	 * function's. */
	int (*inject)(struct vcpu *vcpu, enum event_kind kind, const struct x86_fault *event);
	/* Leave with EXIT_INTR_WINDOW as soon as an interrupt could be taken (IF set, no shadow);
	 * EXIT_NMI_WINDOW likewise after IRET. Stays in force until it fired or is switched off. */
	void (*request_window)(struct vcpu *vcpu, bool intr, bool nmi);

	/* Drop cached translations. From the vCPU's own thread outside enter(), vcpu->mutex held;
	 * other threads use a vCPU request (core does). all: every context; else those of the
	 * current one. */
	void (*tlb_flush)(struct vcpu *vcpu, bool all);
	void (*tlb_flush_page)(struct vcpu *vcpu, gva_t gva);
	/* INVPCID types 0-3, SDM 2A */
	void (*tlb_flush_pcid)(struct vcpu *vcpu, unsigned int type, u64 pcid, gva_t gva);

	/* Memory slots changed in that range, the new table is published: drop what the VM as a
	 * whole keeps of it, such as nested page tables. Each vCPU is made to call tlb_flush(all)
	 * right afterwards, which is all that soft needs. NULL: nothing to do. vm->slots_lock held;
	 * may sleep. */
	void (*memslots_changed)(struct vm *vm, gfn_t first, u64 pages);
	/* A guest page was written by the core or emulator (not by translated code): drop code
	 * translated from it. Any vCPU thread. */
	void (*gmem_written)(struct vm *vm, gpa_t gpa, unsigned int len);

	/* Execute emul->insn (vector, x87, XSAVE family) with the memory operand at gva:
	 * emul_ops.vector. */
	int (*vector)(struct vcpu *vcpu, struct emul *e, gva_t gva);
	bool (*x87_pending)(struct vcpu *vcpu);		/* emul_ops.x87_pending; NULL: no */

	/* Which features the vendor implements beyond what policy allows: called with a feature's
	 * position in x86/policy's CPUID table masked already by the host's CPUID. NULL: all that
	 * the host has. */
	void (*cpuid_limit)(u32 leaf, u32 subleaf, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);

	/* Names of the live counters that the vendor keeps at vcpu->vendor_stats, for
	 * KVM_GET_STATS_FD and `anykvm stat`; NULL-terminated, at most 16. May be NULL. */
	const char *const *stat_names;
};

extern const struct vendor_ops vendor_soft;

#endif
