// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * pv.c - what a guest that knows it is one gets: kvmclock, wall clock, steal time, hypercalls. The
 * formats are ABI of Linux's KVM (Documentation/virt/kvm/x86/{msr,hypercalls,cpuid}.rst describe
 * them).
 */
#include "private.h"
#include "../x86/policy/cpuid.h"

/* ---- the VM's clock -------------------------------------------------------------------------- */

struct pvclock_time_info {
	u32 version;		/* odd while it is being written */
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags;
#define   PVCLOCK_TSC_STABLE	1
#define   PVCLOCK_GUEST_STOPPED	2
	u8 pad[2];
};
static_assert(sizeof(struct pvclock_time_info) == 32, "ABI");

struct pvclock_wall_clock {
	u32 version, sec, nsec;
};
static_assert(sizeof(struct pvclock_wall_clock) == 12, "ABI");

struct pv_steal_time {
	u64 steal;		/* ns */
	u32 version, flags;
	u8 preempted;
	u8 pad[47];
};
static_assert(sizeof(struct pv_steal_time) == 64, "ABI");
#define KVM_VCPU_PREEMPTED	1
#define KVM_VCPU_FLUSH_TLB	2

/**
 * Scale so that ns = ((ticks << shift or >> -shift) * mul) >> 32, with mul as large as fits. @khz
 * not 0.
 */
static void clock_scale(u64 khz, u32 *mul, s8 *shift)
{
	u64 hz = khz * 1000, base = 1000000000;
	int s = 0;

	while (hz > base * 2 || hz >> 32) {
		hz >>= 1;
		s--;
	}
	while (hz <= base) {
		hz <<= 1;
		s++;
	}
	/* base < hz <= 2 * base, so the quotient is below 2^32 */
	*mul = (base << 32) / hz;
	*shift = s;
}

static u64 clock_scale_ticks(u64 ticks, u32 mul, s8 shift)
{
	if (shift < 0)
		ticks >>= -shift;
	else
		ticks <<= shift;
	return (u64)(((unsigned __int128)ticks * mul) >> 32);
}

/*
 * One pair (host TSC, guest ns) serves every vCPU and KVM_GET_CLOCK, so that all of them run along
 * the same line; taken anew when the client sets the clock. tsc_lock held.
 */
static void clock_reference(struct vm *vm)
{
	struct vm_priv *vp = vm->priv;

	if (vp->clock_ref_valid && vp->clock_ref_offset == vp->clock_offset)
		return;
	vp->clock_ref_ns = host_monotonic_ns() + vp->clock_offset;
	vp->clock_ref_tsc = host_rdtsc();
	vp->clock_ref_offset = vp->clock_offset;
	vp->clock_ref_valid = true;
}

/** kvmclock of @vm now, in ns. Any thread. */
u64 vm_clock_ns(struct vm *vm)
{
	struct vm_priv *vp = vm->priv;
	u64 khz = host_tsc_khz(), ns, tsc;
	u32 mul;
	s8 shift;

	if (!khz)
		return host_monotonic_ns() + vp->clock_offset;
	clock_scale(khz, &mul, &shift);
	host_spin_lock(&vp->tsc_lock);
	clock_reference(vm);
	ns = vp->clock_ref_ns;
	tsc = vp->clock_ref_tsc;
	host_spin_unlock(&vp->tsc_lock);
	return ns + clock_scale_ticks(host_rdtsc() - tsc, mul, shift);
}

/* All counters equal: then one line fits all, and guests may compare readings of different CPUs. */
static bool tsc_all_equal(struct vm *vm)
{
	u32 i, nr = host_load_acquire(&vm->nr_vcpus);

	for (i = 1; i < nr; i++)
		if (READ_ONCE(vm->vcpus[i]->st->tsc_offset) != READ_ONCE(vm->vcpus[0]->st->tsc_offset) ||
		    READ_ONCE(vm->vcpus[i]->st->tsc_ratio) != READ_ONCE(vm->vcpus[0]->st->tsc_ratio))
			return false;
	return true;
}

static void write_clock_page(struct vcpu *v, gpa_t gpa, struct pvclock_time_info *t)
{
	u32 version = 0;
	u8 flags = 0;

	if (gmem_read(v->vm, gpa, &version, sizeof(version)) ||
	    gmem_read(v->vm, gpa + offsetof(struct pvclock_time_info, flags), &flags, 1))
		return;
	/* The guest clears this one itself. */
	t->flags |= flags & PVCLOCK_GUEST_STOPPED;
	version = (version & ~1u) + 1;
	gmem_write(v->vm, gpa, &version, sizeof(version));
	t->version = version;
	gmem_write(v->vm, gpa, t, sizeof(*t));
	version++;
	gmem_write(v->vm, gpa, &version, sizeof(version));
}

void pv_clock_update(struct vcpu *v)
{
	struct pvclock_time_info t = { 0 };
	struct vm_priv *vp = v->vm->priv;
	u64 khz = host_tsc_khz();

	if (!(v->priv->pv_system_time & KVM_SYSTEM_TIME_ENABLE) || !khz)
		return;
	if (v->st->tsc_ratio)
		khz = v->priv->tsc_khz;
	clock_scale(khz, &t.tsc_to_system_mul, &t.tsc_shift);
	host_spin_lock(&vp->tsc_lock);
	clock_reference(v->vm);
	t.tsc_timestamp = vcpu_scale_tsc(v, vp->clock_ref_tsc) + v->st->tsc_offset;
	t.system_time = vp->clock_ref_ns;
	host_spin_unlock(&vp->tsc_lock);
	if (tsc_all_equal(v->vm))
		t.flags |= PVCLOCK_TSC_STABLE;
	if (v->priv->pv_guest_paused) {
		t.flags |= PVCLOCK_GUEST_STOPPED;
		v->priv->pv_guest_paused = false;
	}
	write_clock_page(v, v->priv->pv_system_time & ~KVM_SYSTEM_TIME_ENABLE, &t);
}

/** The guest wrote the wall clock MSR: the real time at which its clock was 0, once. */
void pv_wall_clock_write(struct vcpu *v, gpa_t gpa)
{
	struct pvclock_wall_clock w;
	u64 ns = host_realtime_ns() - vm_clock_ns(v->vm);
	u32 version = 0;

	if (!gpa || gmem_read(v->vm, gpa, &version, sizeof(version)))
		return;
	version = (version & ~1u) + 1;
	w = (struct pvclock_wall_clock){ .version = version,
					 .sec = ns / 1000000000,
					 .nsec = ns % 1000000000 };
	if (gmem_write(v->vm, gpa, &w, sizeof(w)))
		return;
	version++;
	gmem_write(v->vm, gpa, &version, sizeof(version));
}

/* ---- steal time ------------------------------------------------------------------------------ */

static void write_steal(struct vcpu *v)
{
	gpa_t gpa = v->priv->pv_steal & ~0x3fUL;
	gpa_t version_gpa = gpa + offsetof(struct pv_steal_time, version);
	struct pv_steal_time s;

	if (gmem_read(v->vm, gpa, &s, sizeof(s)))
		return;
	s.version = (s.version & ~1u) + 1;
	gmem_write(v->vm, version_gpa, &s.version, sizeof(s.version));
	s.steal = v->priv->steal_accum;
	gmem_write(v->vm, gpa, &s.steal, sizeof(s.steal));
	s.version++;
	gmem_write(v->vm, version_gpa, &s.version, sizeof(s.version));
}

#define STEAL_PERIOD_NS	4000000		/* how often a busy vCPU looks, and the host is asked at most */
#define STEAL_NOISE_NS	10000		/* the two clocks are not read at once */
#define STEAL_AWAY_KHZ	10		/* fraction of a ms with the client that is worth a look */

/*
 * What the thread has waited for a CPU since the last call, if that was on the same thread. False:
 * the host does not say.
 */
static bool steal_since(struct vcpu_priv *p, u64 *ns)
{
	u64 thread, delay;

	if (host_run_delay(&thread, &delay))
		return false;
	*ns = thread == p->steal_thread ? delay - p->steal_delay : 0;
	p->steal_thread = thread;
	p->steal_delay = delay;
	return true;
}

/*
 * There is reason to believe that time was stolen: ask the host, unless it was asked just now. Its
 * answer is a sum, so nothing is lost by asking later, and asking takes the work of two threads: too
 * much for each of a disk's interrupts.
 */
static void steal_ask(struct vcpu *v, u64 now)
{
	struct vcpu_priv *p = v->priv;
	u64 ns;

	if (now - p->steal_asked < STEAL_PERIOD_NS)
		return;
	if (!steal_since(p, &ns))
		ns = p->steal_guess;
	p->steal_asked = now;
	p->steal_due = false;
	p->steal_guess = 0;
	if (!ns)
		return;
	p->steal_accum += ns;
	write_steal(v);
}

/**
 * Account steal time: time in which the vCPU's thread was ready to run and had no CPU. That is asked
 * for only when wall time inside KVM_RUN and outside HLT exceeds the CPU time of the thread; where
 * the host cannot say, the difference counts. @running: the vCPU goes on after this; else it
 * sleeps.
 */
void pv_steal_update(struct vcpu *v, bool running)
{
	struct vcpu_priv *p = v->priv;
	u64 now, cpu, ran, stolen;

	if (likely(!(p->pv_steal & KVM_STEAL_ENABLE)))
		return;
	now = host_monotonic_ns();
	if (running && p->steal_wall && now - p->steal_wall < STEAL_PERIOD_NS)
		return;
	cpu = host_thread_cpu_ns();
	if (!p->steal_last) {		/* just switched on: the guest finds a valid record */
		steal_since(p, &stolen);
		write_steal(v);
	}
	/* less CPU time than at the beginning: another thread has taken the vCPU over */
	ran = cpu - p->steal_last;
	if (p->steal_wall && cpu >= p->steal_last && now - p->steal_wall > ran + STEAL_NOISE_NS) {
		p->steal_due = true;
		p->steal_guess += now - p->steal_wall - ran;
	}
	if (p->steal_due && p->steal_wall)	/* not while somebody waits for it to wake up */
		steal_ask(v, now);
	p->steal_wall = running ? now : 0;
	p->steal_last = cpu;
}

/**
 * KVM_RUN begins: the thread may have waited for a CPU while the client had the vCPU, which counts as
 * well, as in Linux. Asked for only if it was away for long.
 */
void pv_steal_enter(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;

	if (likely(!p->steal_left) || !(p->pv_steal & KVM_STEAL_ENABLE))
		return;
	if (host_rdtsc() - p->steal_left <= host_tsc_khz() / STEAL_AWAY_KHZ)
		return;
	p->steal_due = true;
	steal_ask(v, host_monotonic_ns());
}

/** KVM_RUN ends. */
void pv_steal_leave(struct vcpu *v)
{
	v->priv->steal_wall = 0;
	v->priv->steal_left = v->priv->pv_steal & KVM_STEAL_ENABLE ? host_rdtsc() : 0;
}

/* Set the preempted byte; what was there, or 0. */
static u8 swap_preempted(struct vcpu *v, u8 new)
{
	u8 old = 0;

	gmem_swap_byte(v->vm, (v->priv->pv_steal & ~0x3fUL) + offsetof(struct pv_steal_time, preempted), new,
		       &old);
	return old;
}

/**
 * The vCPU sleeps: others need not wait for it, and leave a note in place of an IPI where its
 * translations are to go.
 */
void pv_sleeps(struct vcpu *v)
{
	if (v->priv->pv_steal & KVM_STEAL_ENABLE)
		swap_preempted(v, KVM_VCPU_PREEMPTED);
}

/** It has woken up: before it runs guest code. */
void pv_wakes(struct vcpu *v)
{
	if (!(v->priv->pv_steal & KVM_STEAL_ENABLE) || !(swap_preempted(v, 0) & KVM_VCPU_FLUSH_TLB))
		return;
	gaccess_flush(v);
	v->vm->vendor->tlb_flush(v, true);
}

/* ---- end of interrupt ------------------------------------------------------------------------ */

/** Before each stretch in the guest: may it end the interrupt in service by its flag in memory? */
void pv_eoi_to_guest(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	u8 flag = 1;

	if (!v->lapic || !lapic_eoi_is_simple(v->lapic))
		return;
	p->pv_eoi_pending = !gmem_write(v->vm, p->pv_eoi & ~KVM_PV_EOI_ON, &flag, sizeof(flag));
}

/** After the stretch: has it? If not, it shall do it the usual way, as something else may wait. */
void pv_eoi_from_guest(struct vcpu *v)
{
	struct vcpu_priv *p = v->priv;
	gpa_t gpa = p->pv_eoi & ~KVM_PV_EOI_ON;
	u8 flag;

	p->pv_eoi_pending = false;
	if (gmem_read(v->vm, gpa, &flag, sizeof(flag)))
		return;
	if (flag & 1) {
		flag = 0;
		gmem_write(v->vm, gpa, &flag, sizeof(flag));
	} else {
		lapic_eoi(v->lapic);
	}
}

/* ---- hypercalls ------------------------------------------------------------------------------ */

#define HC_ENOSYS		1000
#define HC_EPERM		1
#define HC_EINVAL		22

static struct vcpu *vcpu_by_apic_id(struct vm *vm, u64 id)
{
	u32 i, nr = host_load_acquire(&vm->nr_vcpus);

	for (i = 0; i < nr; i++)
		if (vm->vcpus[i]->id == id)
			return vm->vcpus[i];
	return NULL;
}

static s64 hc_kick_cpu(struct vcpu *v, u64 apic_id)
{
	struct vcpu *to = vcpu_by_apic_id(v->vm, apic_id);

	if (to)
		vcpu_request(to, REQ_PV_UNHALT);
	return 0;
}

/* Two words of destinations from @min on. The number delivered, as KVM counts. */
static s64 hc_send_ipi(struct vcpu *v, u64 low, u64 high, u64 min, u64 icr)
{
	u32 mode = icr >> 8 & 7;	/* fixed or NMI; SDM 3A 10.6.1 */
	s64 sent = 0;
	unsigned int i;

	if (!v->vm->irqchip || (icr & ~0x7ffUL) || (mode != 0 && mode != 4))
		return -(s64)HC_ENOSYS;
	for (i = 0; i < 128 && min < 256; i++) {
		u64 word = i < 64 ? low : high;
		u64 id = min + i;

		if (!(word >> (i & 63) & 1))
			continue;
		/* APIC ids here are below 256, so each can be the target of a plain MSI in physical
		 * mode. */
		if (id < 256 && vcpu_by_apic_id(v->vm, id) &&
		    irqchip_send_msi(v->vm->irqchip, 0xfee00000 | id << 12, icr & 0x7ff) > 0)
			sent++;
	}
	return sent;
}

/*
 * KVM_HC_MAP_GPA_RANGE: the client is asked, if it wants to be. True: *ret says how it went; false:
 * KVM_EXIT_HYPERCALL is filled in.
 */
static bool hc_map_gpa_range(struct vcpu *v, gpa_t gpa, u64 npages, u64 attrs, s64 *ret)
{
	struct vcpu_priv *p = v->priv;
	struct kvm_run *run = v->run;

	if (p->hypercall.reply_ready) {
		p->hypercall.reply_ready = false;
		*ret = p->hypercall.ret;
		return true;
	}
	if (!(host_load_relaxed(&v->vm->priv->hypercall_exits) & BIT(KVM_HC_MAP_GPA_RANGE)))
		return true;
	if ((gpa & ~HV_PAGE_MASK) || !npages || (gpa >> HV_PAGE_SHIFT) + npages <= gpa >> HV_PAGE_SHIFT) {
		*ret = -(s64)HC_EINVAL;
		return true;
	}
	if (!p->io.collecting)		/* it comes again by EXIT_EMULATE */
		return false;
	p->hypercall.pending = true;
	host_memset(&run->hypercall, 0, sizeof(run->hypercall));
	run->exit_reason = KVM_EXIT_HYPERCALL;
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = gpa;
	run->hypercall.args[1] = npages;
	run->hypercall.args[2] = attrs;
	run->hypercall.longmode = x86_64bit(v->st);
	return false;
}

static bool hc_allowed(struct vcpu *v, unsigned int bit)
{
	return !v->priv->enforce_pv_features ||
	       policy_bit(v->priv->cpuid, v->priv->nr_cpuid, 0x40000001, 0, CPUID_EAX, bit);
}

/**
 * VMCALL or VMMCALL: number in RAX, arguments in RBX, RCX, RDX, RSI, result in RAX; 32 bits each
 * outside 64-bit mode. >0: done; 0: the client is asked, and the instruction runs again.
 */
int vcpu_hypercall(struct vcpu *v)
{
	struct x86_state *st = v->st;
	bool wide = x86_64bit(st);
	u64 mask = wide ? ~0UL : 0xffffffff;
	u64 nr = st->gpr[X86_RAX] & mask, a0 = st->gpr[X86_RBX] & mask,
	    a1 = st->gpr[X86_RCX] & mask;
	u64 a2 = st->gpr[X86_RDX] & mask, a3 = st->gpr[X86_RSI] & mask;
	s64 ret = -(s64)HC_ENOSYS;

	if (!v->priv->hypercall.reply_ready)
		v->priv->stat->hypercalls++;
	if (st->cpl) {
		ret = -(s64)HC_EPERM;
	} else {
		switch (nr) {
		case KVM_HC_VAPIC_POLL_IRQ:
			vcpu_request(v, REQ_EVENT);
			ret = 0;
			break;
		case KVM_HC_KICK_CPU:
			if (hc_allowed(v, 7))
				ret = hc_kick_cpu(v, a1);
			break;
		case KVM_HC_SEND_IPI:
			if (hc_allowed(v, 11))
				ret = hc_send_ipi(v, a0, a1, a2, a3);
			break;
		case KVM_HC_MAP_GPA_RANGE:
			if (hc_allowed(v, 16) && !hc_map_gpa_range(v, a0, a1, a2, &ret))
				return 0;
			break;
		case KVM_HC_SCHED_YIELD:
			if (hc_allowed(v, 13)) {
				host_yield();
				ret = 0;
			}
			break;
		}
	}
	st->gpr[X86_RAX] = (u64)ret & mask;
	return 1;
}
