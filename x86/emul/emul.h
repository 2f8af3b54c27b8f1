/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * emul.h - one instruction at a time, effects through emul_ops only. The same source serves MMIO
 * exits of vmx and svm, system instructions and all untranslated modes of soft, unit tests and the
 * fuzzer. Integer, system, string and far control transfer; vector and x87 instructions go to
 * ops->vector() after their checks.
 */
#ifndef X86_EMUL_H
#define X86_EMUL_H

#include "../arch/access.h"
#include "../arch/state.h"
#include "../arch/exception.h"
#include "../decode/decode.h"

enum emul_result {
	/* retired: state committed, RIP moved (a REP may have retired some iterations:
	 * EMUL_AGAIN) */
	EMUL_DONE,
	EMUL_AGAIN,	/* as DONE, but RIP still points at the instruction: a REP with work left */
	EMUL_FAULT,	/* e->fault set; nothing else changed but what the architecture says */
	/* an op asked for user space: nothing changed; run the same instruction again later */
	EMUL_RETRY,
	EMUL_HLT,	/* HLT retired */
	EMUL_SHUTDOWN,	/* triple fault (from event delivery) */
	EMUL_UNHANDLED,	/* not known to the emulator: nothing changed */
};

struct x86_fault {
	u8 vector;
	bool has_error;
	bool soft;		/* INT n, INT3, INTO, INT1: RIP pushed is the next instruction's */
	u32 error;
	u64 cr2;		/* for #PF */
	u64 dr6;		/* for #DB: bits to set */
};

struct emul;

/*
 * A read whose access has WALK_WRITE is the first half of a read-modify-write: it must pass the
 * checks of a write. An op that returns -EAGAIN must not have acted yet: a later iteration of a REP
 * instruction reports the ones before it as EMUL_AGAIN first and asks again in the next run.
 *
 * Results of the hooks: 0; -EFAULT: e->fault has been set (a guest exception); -EAGAIN: needs user
 * space, becomes EMUL_RETRY; any other: EMUL_UNHANDLED. Linear addresses are complete (segment base
 * added, checks done).
 */
struct emul_ops {
	/* Data access of 1..64 bytes, may cross pages; all or nothing for writes (check both pages
	 * first). access: enum walk_access | WALK_USER | WALK_IMPLICIT. Reads of MMIO may be
	 * answered from a replay buffer. */
	int (*read)(struct emul *e, gva_t gva, void *buf, unsigned int len, unsigned int access);
	int (*write)(struct emul *e, gva_t gva, const void *buf, unsigned int len,
		     unsigned int access);
	/* Instruction bytes: returns how many (1..len) are available, or as above. */
	int (*fetch)(struct emul *e, gva_t gva, void *buf, unsigned int len);
	/* Atomic compare-and-exchange of 1,2,4,8,16 aligned or not: -EBUSY if *old differs (then
	 * *old := memory). */
	int (*cmpxchg)(struct emul *e, gva_t gva, void *old, const void *new, unsigned int len,
		       unsigned int access);
	/* Port I/O; count > 1 for REP INS/OUTS, data is count*size bytes. May return fewer done by
	 * setting *count. */
	int (*io_in)(struct emul *e, u16 port, unsigned int size, void *data, unsigned int *count);
	int (*io_out)(struct emul *e, u16 port, unsigned int size, const void *data,
		      unsigned int *count);
	/* -EFAULT with #GP(0) set for refused ones */
	int (*msr_read)(struct emul *e, u32 index, u64 *val);
	int (*msr_write)(struct emul *e, u32 index, u64 val);
	void (*cpuid)(struct emul *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
	/* Write of CR0 2 3 4 8, XCR0 (cr = EMUL_XCR0), EFER (cr = EMUL_EFER): checks and all side
	 * effects. #GP by -EFAULT. */
	int (*cr_write)(struct emul *e, unsigned int cr, u64 val);
	int (*dr_write)(struct emul *e, unsigned int dr, u64 val);
	void (*invlpg)(struct emul *e, gva_t gva);
	int (*invpcid)(struct emul *e, unsigned int type, u64 pcid, gva_t gva);
	/* WBINVD and friends need nothing here. RDPMC: -EFAULT or value. */
	int (*rdpmc)(struct emul *e, u32 index, u64 *val);
	u64 (*rdtsc)(struct emul *e);
	/* VMCALL/VMMCALL: state's registers are args and result. */
	int (*hypercall)(struct emul *e);
	/* RSM in system management mode: all of *e->st, GPRs, RIP, RFLAGS and shadows included, is as
	 * before the SMI. Not 0: shut down. NULL: there is no such mode. */
	int (*rsm)(struct emul *e);
	/*
	 * x87, MMX, SSE, AVX, XSAVE family: execute e->insn with the memory operand (if any) at
	 * gva. Whether it may run (CR0, CR4, XCR0, feature), segment checks and alignment are done.
	 * General registers and flags are e->gpr and e->rflags, not the live ones. Gathers: gva is
	 * the address for index 0. NULL or -ENOSYS: EMUL_UNHANDLED.
	 */
	int (*vector)(struct emul *e, gva_t gva);
	/* Does an unmasked x87 exception wait for the next instruction that looks for one? SDM 1 8.7. NULL: no. */
	bool (*x87_pending)(struct emul *e);
	/* True if the guest's CPUID offers the feature (enum insn_feature): else #UD. */
	bool (*has_feature)(struct emul *e, unsigned int feature);
	/* A write to segments, descriptor tables, CPL or mode took place: caches that depend on it
	 * are stale. */
	void (*mode_changed)(struct emul *e);
	/* True if [gva, gva + len), inside one page, is plain RAM for that access: REP MOVS and
	 * STOS then use 64-byte reads and writes. No fault, no exit. NULL: element by element
	 * always. */
	bool (*is_ram)(struct emul *e, gva_t gva, unsigned int len, unsigned int access);
	/* CR8 where st->cr8 may be stale (a local APIC in core). NULL: st->cr8. */
	u64 (*cr8_read)(struct emul *e);
};
#define EMUL_XCR0	16
#define EMUL_EFER	17

/* Decoded instructions by address, each valid only while its bytes are found there again. */
#define EMUL_CACHE_SIZE	64
struct emul_cache {
	/* mode: enum insn_mode + 1, 0: empty */
	struct { u8 mode; struct insn insn; } entry[EMUL_CACHE_SIZE];
};

struct emul {
	/* owned by the caller, zeroed at first; NULL: decode every time */
	struct emul_cache *cache;
	/* the live state; changed only when the instruction retires */
	struct x86_state *st;
	const struct emul_ops *ops;
	void *ctx;			/* the ops' owner: a struct vcpu in core */
	struct insn insn;
	struct x86_fault fault;
	/* Set by EMUL_DONE, EMUL_AGAIN and EMUL_HLT: DR6 bits of a #DB trap that is due after the
	 * instruction (single step, data and I/O breakpoints, task switch); 0 if none. Delivering
	 * it is the caller's. */
	u64 db_trap;
	/* Set by the caller: INT3 is reported as EMUL_FAULT with EXC_BP and fault.soft, and does
	 * nothing (KVM_GUESTDBG_USE_SW_BP). Otherwise INT n, INT3, INTO and INT1 are delivered by
	 * the instruction itself. */
	bool stop_bp;
	/* scratch of one run; not for callers */
	u8 mode;			/* enum insn_mode of CS */
	u8 cpl;				/* with whose rights memory is accessed */
	u8 stack_size;			/* of the stack pointer: 2, 4, 8 */
	bool align_check;
	u8 retire;			/* RETIRE_*, private.h */
	u64 ea;				/* offset of insn's memory operand in its segment */
	u64 gpr[X86_NR_GPR];
	u64 rip;
	u64 rflags;
};

/** Fetch, decode and execute the instruction at CS:RIP. */
enum emul_result emul_step(struct emul *e);

/** The same for an instruction that is decoded already into e->insn. */
enum emul_result emul_exec(struct emul *e);

enum event_kind { EVENT_EXCEPTION, EVENT_SOFT /* INT n etc. */, EVENT_EXTINT, EVENT_NMI };

/*
 * Notes for callers. A fault that emul_step() reports is delivered with
 * emul_deliver(EVENT_EXCEPTION), as is the #DB of db_trap (fault.dr6). EVENT_SOFT is for INT n that
 * a vendor has retired itself: RIP is then the next instruction's.
 */

/**
 * Deliver an event through the IDT (real, protected, long mode; task gates too), with double- and
 * triple-fault rules for faults during delivery (SDM 3A 6.14, 6.15). State's RIP must be the one to
 * push. Returns EMUL_DONE, EMUL_RETRY or EMUL_SHUTDOWN. Takes care of CR2, DR6, RF, NMI mask, HLT
 * and shadow state.
 */
enum emul_result emul_deliver(struct emul *e, enum event_kind kind, const struct x86_fault *event);

/*
 * Fast pieces that the soft vendor calls for hot instructions; each as the instruction, from
 * decoded form. State's RIP is the instruction's; feature checks are the caller's.
 */
/**
 * SYSCALL of @len bytes. From compatibility mode it goes to CSTAR, as on AMD processors. APM 3
 * SYSCALL
 */
enum emul_result emul_syscall(struct emul *e, unsigned int len);
/**
 * SYSRET. A non-canonical RCX is #GP(0) before CPL changes, as on Intel processors, whoever made
 * the host's.
 */
enum emul_result emul_sysret(struct emul *e, bool to64);
/** IRET with @opsize 2, 4 or 8 bytes; SDM 2A IRET. */
enum emul_result emul_iret(struct emul *e, unsigned int opsize);
/** Load a data or stack segment register with all checks. */
enum emul_result emul_load_seg(struct emul *e, enum x86_sreg reg, u16 sel);

#endif
