// SPDX-License-Identifier: GPL-2.0-only OR MIT
#define _GNU_SOURCE
/*
 * Host faults in translated code: what the host's CPU refuses is what the guest's would refuse
 * (#DE, #GP of a misaligned vector access, #XM, #MF), or the client's memory behind a slot is gone.
 */
#include "soft.h"
#include "../../host/user/fault.h"

#define MAX_REGIONS	1024

/*
 * Read in signal context without a lock. A region is the reader's own, or one that may go at any moment: only its own
 * leads to a vCPU that is sure to be there. So what tells them apart stands here, not in the vCPU.
 */
static struct soft_region regions[MAX_REGIONS];
static u32 nr_regions;			/* that were ever in use; only grows */

/* Whose code, or with *vec whose stub for one vector instruction, is pc in? */
static struct soft_vcpu *owner_of(u64 pc, bool *vec)
{
	for (u32 i = 0; i < host_load_acquire(&nr_regions); i++) {
		struct soft_region *r = &regions[i];
		u64 code = host_load_relaxed(&r->code), stubs = host_load_relaxed(&r->vec);

		*vec = stubs && pc - stubs < HV_PAGE_SIZE;
		if (*vec || (code && pc - code < CODE_SIZE))
			return host_load_relaxed(&r->sv);
	}
	return NULL;
}

/* The guest's exception for a host one, or SX_MEM_ERROR. */
static u32 classify(struct soft_vcpu *sv, int sig, u64 trapno)
{
	struct x86_fault f = { 0 };

	switch (sig) {
	case SIGFPE:
		f.vector = trapno == 16 ? EXC_MF : trapno != 19 ? EXC_DE : sv->st.cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD;
		break;
	case SIGILL:
		f.vector = EXC_UD;
		break;
	case SIGSEGV:
		if (trapno != EXC_GP)
			return SX_MEM_ERROR;
		f.vector = EXC_GP;
		f.has_error = true;
		break;
	default:
		return SX_MEM_ERROR;
	}
	sv->fault = f;
	return SX_FAULT;
}

static bool in_slots(const struct memslots *slots, u64 addr)
{
	for (u32 k = 0; slots && k < slots->nr; k++)
		if (addr - slots->slot[k].hva < slots->slot[k].npages << HV_PAGE_SHIFT)
			return true;
	return false;
}

/* Our C code, in the thread of this vCPU, touched a slot whose memory the client has taken away. */
static struct soft_vcpu *in_slot_access(u64 addr)
{
	u64 self = soft_thread();

	for (u32 i = 0; i < host_load_acquire(&nr_regions); i++) {
		struct soft_vcpu *sv;
		struct vm *vm;

		if (host_load_relaxed(&regions[i].thread) != self)
			continue;
		sv = host_load_relaxed(&regions[i].sv);
		if (!sv->armed)
			continue;
		/* inside enter(): the vCPU is in a read section, which may have begun before the last change */
		vm = sv->vcpu->vm;
		if (in_slots(host_load_acquire(&vm->memslots[sv->st.smm]), addr) ||
		    in_slots(host_load_acquire(&vm->leaving), addr))
			return sv;
	}
	return NULL;
}

static bool soft_host_fault(int sig, siginfo_t *info, ucontext_t *uc)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	u64 pc = regs[REG_RIP];
	bool vec = false;
	struct soft_vcpu *sv = owner_of(pc, &vec);
	bool flags_away;
	struct block *b;

	if (info->si_code <= 0)
		return false;
	if (!sv) {
		/* core's own accesses have a way out of their own */
		if ((sig != SIGSEGV && sig != SIGBUS) || host_fault_in_copy(pc))
			return false;
		sv = in_slot_access((u64)info->si_addr);
		if (!sv)
			return false;
		regs[REG_RDI] = (greg_t)sv;
		/* as at a function's entry */
		regs[REG_RSP] = (regs[REG_RSP] - 256) & ~15L;
		regs[REG_RSP] -= 8;
		regs[REG_RIP] = (greg_t)soft_recover;
		return true;
	}
	if (vec) {
		if (classify(sv, sig, regs[REG_TRAPNO]) != SX_FAULT)
			return false;
		sv->vec_faulted = true;
		regs[REG_RIP] = (greg_t)sv->vec_end;
		return true;
	}
	b = soft_block_of_host_pc(sv, pc);
	if (!b)
		return false;
	regs[REG_RCX] = classify(sv, sig, regs[REG_TRAPNO]);
	sv->st.rip = soft_guest_rip(sv, b, pc, &flags_away);
	if (flags_away)
		regs[REG_EFL] = (regs[REG_EFL] & ~(greg_t)X86_FLAGS_ARITH) | soft_arith_flags(sv->flags_away);
	regs[REG_RIP] = (greg_t)soft_exit_common;
	return true;
}

int soft_fault_init(void)
{
	int ret = host_fault_register(soft_host_fault);

	return ret ? ret : host_fault_init();
}

int soft_fault_add(struct soft_vcpu *sv)
{
	for (u32 i = 0; i < MAX_REGIONS; i++) {
		struct soft_region *r = &regions[i];

		if (host_cmpxchg(&r->sv, (struct soft_vcpu *)NULL, sv))
			continue;
		sv->region = r;
		host_store_relaxed(&r->code, (u64)sv->cb.rx);
		host_store_relaxed(&r->vec, (u64)sv->vec.rx);
		/* its code runs in threads that come here first, or begin later */
		for (u32 n = host_load_relaxed(&nr_regions); n <= i; n = host_load_relaxed(&nr_regions))
			host_cmpxchg(&nr_regions, n, i + 1);
		return 0;
	}
	return -ENOSPC;
}

void soft_fault_del(struct soft_vcpu *sv)
{
	struct soft_region *r = sv->region;

	if (!r)
		return;
	sv->region = NULL;
	host_store_relaxed(&r->code, 0UL);
	host_store_relaxed(&r->vec, 0UL);
	host_store_release(&r->sv, (struct soft_vcpu *)NULL);
}
