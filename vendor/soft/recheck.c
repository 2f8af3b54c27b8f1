// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Code that changes behind the processor's back while it runs: the client maps other memory at a
 * slot's addresses, gives pages back to the host, or reads from a disk into them. Data accesses see
 * that at once, as they go to the client's addresses; translated code was made from what stood
 * there before, and nobody tells a KVM in user space.
 *
 * So while vCPUs run, a timer asks each of them, ten times a second, to compare a number of its
 * pages of translated code with memory, in turn. A VM whose vCPUs all sleep has no timer.
 */
#include "soft.h"

#define RECHECK_NS	100000000UL
#define RECHECK_PAGES	512u

/* Those 64-byte lines of a page that code was made from. False: the client has taken it away. */
static bool copy_lines(u8 *to, u64 from, u64 lines)
{
	for (; lines; lines &= lines - 1) {
		u64 at = 64 * __builtin_ctzll(lines);

		if (host_mem_read(from + at, to + at, 64))
			return false;
	}
	return true;
}

static void recheck_page(struct soft_vcpu *sv, struct cpage *p)
{
	u64 hva;

	if (!p->blocks && !p->joined)
		return;
	hva = gmem_hva(sv->vcpu, p->gfn << HV_PAGE_SHIFT, NULL);
	if (!hva || !copy_lines(sv->recheck_copy, hva, p->lines))
		soft_drop_page_code(sv, p->gfn);
	else
		soft_cpage_compare(sv, p, sv->recheck_copy);
}

static void arm(struct soft_vm *svm)
{
	host_timer_arm(&svm->recheck_timer, host_monotonic_ns() + RECHECK_NS);
}

void soft_recheck(struct soft_vcpu *sv)
{
	struct soft_vm *svm = sv->vcpu->vm->vendor_data;
	u32 n = min(sv->nr_cpages, RECHECK_PAGES);

	if (host_load_relaxed(&sv->recheck) == RECHECK_DUE)
		for (; n; n--) {
			if (sv->recheck_at >= sv->nr_cpages)
				sv->recheck_at = 0;
			recheck_page(sv, &sv->cpage_pool[sv->recheck_at++]);
		}
	/* one of the two sees the other: we that the timer is off, or the timer that we run */
	(void)host_xchg(&sv->recheck, RECHECK_RUNNING);
	if (!host_load_relaxed(&svm->recheck_on) && !host_xchg(&svm->recheck_on, true))
		arm(svm);
}

static bool any_running(struct vm *vm)
{
	u32 i, nr = host_load_acquire(&vm->nr_vcpus);

	for (i = 0; i < nr; i++)
		if (host_load_relaxed(&soft_of(vm->vcpus[i])->recheck) == RECHECK_RUNNING)
			return true;
	return false;
}

static void on_timer(struct host_timer *t)
{
	struct soft_vm *svm = container_of(t, struct soft_vm, recheck_timer);
	u32 i, nr = host_load_acquire(&svm->vm->nr_vcpus);
	bool any = false;

	for (i = 0; i < nr; i++) {
		struct vcpu *v = svm->vm->vcpus[i];
		struct soft_vcpu *sv = soft_of(v);

		if (host_load_relaxed(&sv->recheck) != RECHECK_RUNNING)
			continue;
		any = true;
		(void)host_xchg(&sv->recheck, RECHECK_DUE);
		/* one that is about to enter looks at recheck itself, or finds the kick */
		if (host_load_acquire(&v->in_guest))
			host_store_release(&sv->kick, KICKED);
	}
	if (!any) {
		/* pairs with soft_recheck() */
		(void)host_xchg(&svm->recheck_on, false);
		if (!any_running(svm->vm) || host_xchg(&svm->recheck_on, true))
			return;
	}
	arm(svm);
}

void soft_recheck_init(struct soft_vm *svm, struct vm *vm)
{
	svm->vm = vm;
	host_timer_init(&svm->recheck_timer, on_timer);
}

/* Before a vCPU goes: the timer does not look at it any more. Those that run start it again. */
void soft_recheck_stop(struct soft_vm *svm)
{
	host_timer_cancel_sync(&svm->recheck_timer);
	host_store_release(&svm->recheck_on, false);
}
