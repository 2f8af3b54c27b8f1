/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * t_interp.h - a VM whose vendor runs guest code through x86/emul, one instruction an exit, and
 * keeps a record of what core asked of it. Core, emulator and irqchip are the real ones.
 */
#ifndef T_INTERP_H
#define T_INTERP_H

#include "t_core.h"

#define T_EVENTS	16

struct t_interp {
	int vm_fd, vcpu_fd;
	struct vm *vm;
	struct vcpu *v;
	struct kvm_run *run;
	u8 *ram;
	/* events delivered, in order */
	unsigned int nr_events;
	struct { enum event_kind kind; struct x86_fault f; u64 rip; } event[T_EVENTS];
	/* deliver() does nothing but record */
	bool record_only;
	/* what inject() is to return instead of delivering, if not EMUL_DONE */
	int inject_result;
	bool want_intr, want_nmi;
	/* enter() with no guest code to run: instructions left before it returns EXIT_SHUTDOWN, -1:
	 * no limit */
	long budget;
};
extern struct t_interp t_interp;

/**
 * A VM with @pages of memory at 0 and one vCPU in real mode at 0:0x1000, with in-kernel irqchip or
 * not.
 */
void t_interp_begin(bool irqchip, u64 pages);
void t_interp_end(void);
/** Put code at 0x1000 and go there: 16-bit real mode, all segments 0, stack at 0x8000. */
void t_interp_code(const void *code, size_t len);
/** KVM_RUN. */
long t_interp_run(void);
struct kvm_regs t_interp_regs(void);
void t_interp_set_regs(const struct kvm_regs *r);

#endif
