// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The paravirtual clock as a guest computes it (Documentation/virt/kvm/x86/msr.rst), steal time,
 * hypercalls. The reference is the host's CLOCK_MONOTONIC.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <pthread.h>
#include <sched.h>
#include <cmocka.h>
#include "t_interp.h"

#define PAGE_GPA	0x3000
#define WALL_GPA	0x4004
#define STEAL_GPA	0x5040

struct pvclock {
	u32 version, pad0;
	u64 tsc_timestamp, system_time;
	u32 mul;
	s8 shift;
	u8 flags, pad[2];
} __attribute__((packed));

static struct vcpu *v;

static int setup(void **state)
{
	t_interp_begin(true, 16);
	v = t_interp.v;
	t_interp.budget = 0;
	return host_tsc_khz() ? 0 : -1;
}

static int teardown(void **state)
{
	t_interp_end();
	return 0;
}

/* Handle requests: an entry without an instruction. */
static void settle(void)
{
	t_interp.budget = 0;
	assert_int_equal(t_interp_run(), 0);
}

static u64 monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

/* The guest's formula. */
static u64 guest_ns(const struct pvclock *c, u64 tsc)
{
	u64 delta = tsc - c->tsc_timestamp;

	assert_int_equal(c->version & 1, 0);
	delta = c->shift < 0 ? delta >> -c->shift : delta << c->shift;
	return c->system_time + (u64)((unsigned __int128)delta * c->mul >> 32);
}

static void enable_clock(struct vcpu *vcpu, u64 gpa)
{
	assert_int_equal(msr_set(vcpu, MSR_KVM_SYSTEM_TIME_NEW, gpa | 1, false), 0);
}

static void runs_with_monotonic(void **state)
{
	struct pvclock *c = (void *)(t_interp.ram + PAGE_GPA);
	struct timespec pause = { .tv_nsec = 50000000 };
	u64 m0, m1, g0, g1;
	s64 off;

	enable_clock(v, PAGE_GPA);
	settle();
	assert_int_equal(c->version, 2);
	assert_true(c->flags & 1);				/* TSC is stable */
	m0 = monotonic();
	g0 = guest_ns(c, vcpu_guest_tsc(v));
	nanosleep(&pause, NULL);
	m1 = monotonic();
	g1 = guest_ns(c, vcpu_guest_tsc(v));
	off = (s64)(g1 - g0) - (s64)(m1 - m0);
	/* 2 ppm of 50 ms and two slow readings */
	assert_in_range(off + 100000, 0, 200000);
	assert_in_range(g0, 0, 10000000000UL);			/* a new VM's clock starts at 0 */
	/* what KVM_GET_CLOCK says lies on the same line */
	g0 = guest_ns(c, vcpu_guest_tsc(v));
	g1 = vm_clock_ns(t_interp.vm);
	assert_true(g1 >= g0);
	assert_in_range(g1 - g0, 0, 10000000);
}

static void old_msr_and_disable(void **state)
{
	struct pvclock *c = (void *)(t_interp.ram + PAGE_GPA);
	u64 val;

	assert_int_equal(msr_set(v, MSR_KVM_SYSTEM_TIME, PAGE_GPA | 1, false), 0);
	settle();
	assert_int_equal(c->version, 2);
	assert_int_equal(msr_get(v, MSR_KVM_SYSTEM_TIME_NEW, &val, false), 0);
	assert_int_equal(val, PAGE_GPA | 1);
	assert_int_equal(msr_set(v, MSR_KVM_SYSTEM_TIME, 0, false), 0);
	settle();
	assert_int_equal(c->version, 2);
	/* an area outside memory is no trouble */
	enable_clock(v, 0x40000000);
	settle();
}

/* All vCPUs' pages describe one line, so that readings on different CPUs never go back. */
static void one_line_for_all(void **state)
{
	struct pvclock *a = (void *)(t_interp.ram + PAGE_GPA),
		       *b = (void *)(t_interp.ram + PAGE_GPA + 64);
	int fd = t_ioctl_n(t_interp.vm_fd, KVM_CREATE_VCPU, 1);
	struct vcpu *w = t_vcpu_obj(fd);
	unsigned int i;
	u64 last = 0;

	enable_clock(v, PAGE_GPA);
	settle();
	enable_clock(w, PAGE_GPA + 64);
	vcpu_read_lock(w);
	pv_clock_update(w);
	vcpu_read_unlock(w);
	assert_true(a->flags & b->flags & 1);
	for (i = 0; i < 100000; i++) {
		u64 ns = i & 1 ? guest_ns(a, vcpu_guest_tsc(v)) : guest_ns(b, vcpu_guest_tsc(w));

		assert_true(ns >= last);
		last = ns;
	}
	/* counters that differ: the guest is told not to compare */
	assert_int_equal(msr_set(w, MSR_IA32_TSC, 1UL << 60, true), 0);
	settle();
	assert_false(a->flags & 1);
	/* and each page still gives the VM's time */
	pv_clock_update(w);
	last = vm_clock_ns(t_interp.vm);
	assert_in_range(guest_ns(b, vcpu_guest_tsc(w)) - last, 0, 100000000);
	assert_in_range(guest_ns(a, vcpu_guest_tsc(v)) - last, 0, 100000000);
	t_fd_close(fd);
}

static void set_clock(void **state)
{
	struct pvclock *c = (void *)(t_interp.ram + PAGE_GPA);
	struct kvm_clock_data d = { .clock = 123456789000000UL };

	enable_clock(v, PAGE_GPA);
	settle();
	assert_int_equal(t_ioctl(t_interp.vm_fd, KVM_SET_CLOCK, &d), 0);
	settle();
	assert_in_range(guest_ns(c, vcpu_guest_tsc(v)), d.clock, d.clock + 1000000000);
	memset(&d, 0, sizeof(d));
	assert_int_equal(t_ioctl(t_interp.vm_fd, KVM_GET_CLOCK, &d), 0);
	assert_in_range(d.clock, 123456789000000UL, 123456789000000UL + 1000000000);
}

/* The flag reaches the guest once and stays until the guest clears it. */
static void guest_was_paused(void **state)
{
	struct pvclock *c = (void *)(t_interp.ram + PAGE_GPA);

	assert_int_equal(t_ioctl_n(t_interp.vcpu_fd, KVM_KVMCLOCK_CTRL, 0), -EINVAL);
	enable_clock(v, PAGE_GPA);
	settle();
	assert_false(c->flags & 2);
	assert_int_equal(t_ioctl_n(t_interp.vcpu_fd, KVM_KVMCLOCK_CTRL, 0), 0);
	settle();
	assert_true(c->flags & 2);
	vcpu_request(v, REQ_CLOCK_UPDATE);
	settle();
	assert_true(c->flags & 2);
	c->flags &= ~2;
	vcpu_request(v, REQ_CLOCK_UPDATE);
	settle();
	assert_false(c->flags & 2);
}

static void wall_clock(void **state)
{
	struct pvclock *c = (void *)(t_interp.ram + PAGE_GPA);
	struct { u32 version, sec, nsec; } *w = (void *)(t_interp.ram + WALL_GPA);
	struct timespec t;
	u64 now, guest;

	enable_clock(v, PAGE_GPA);
	settle();
	assert_int_equal(msr_set(v, MSR_KVM_WALL_CLOCK_NEW, WALL_GPA, false), 0);
	assert_int_equal(w->version, 2);
	assert_in_range(w->nsec, 0, 999999999);
	/* boot time plus the clock is the time of day */
	clock_gettime(CLOCK_REALTIME, &t);
	now = t.tv_sec * 1000000000UL + t.tv_nsec;
	guest = w->sec * 1000000000UL + w->nsec + guest_ns(c, vcpu_guest_tsc(v));
	assert_in_range(guest, now - 1000000, now + 100000000);
	assert_int_equal(msr_set(v, MSR_KVM_WALL_CLOCK, WALL_GPA, false), 0);
	assert_int_equal(w->version, 4);
}

/* Pages that core itself writes are in the dirty log. */
static void writes_are_logged(void **state)
{
	u64 bitmap[1] = { 0 };
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };

	assert_int_equal(t_set_slot(t_interp.vm_fd, 0, 0, 16 * HV_PAGE_SIZE, t_interp.ram, KVM_MEM_LOG_DIRTY_PAGES), 0);
	enable_clock(v, PAGE_GPA);
	settle();
	assert_int_equal(t_ioctl(t_interp.vm_fd, KVM_GET_DIRTY_LOG, &log), 0);
	assert_true(bitmap[0] & BIT(PAGE_GPA >> 12));
}

/* ---- steal time ------------------------------------------------------------------------------ */

struct steal {
	u64 steal;
	u32 version, flags;
	u8 preempted;
};

/* What the kernel says this thread has waited for a CPU. */
static u64 waited(void)
{
	unsigned long long ran, wait = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "r");

	if (!f || fscanf(f, "%llu %llu", &ran, &wait) != 2)
		wait = 0;
	if (f)
		fclose(f);
	return wait;
}

static bool stop;

static void *spin(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		;
	return arg;
}

/* Two threads on one CPU, until this one has waited that long. */
static void contend(u64 ns)
{
	u64 until = waited() + ns;
	cpu_set_t all, one;
	pthread_t t;
	int cpu;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	for (cpu = 0; !CPU_ISSET(cpu, &all); cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&t, NULL, spin, NULL), 0);
	while (waited() < until)
		;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	sched_setaffinity(0, sizeof(all), &all);
}

/* What the guest is told, between two looks, is what the kernel says. */
static void steal_time(void **state)
{
	struct steal *s = (void *)(t_interp.ram + STEAL_GPA);
	struct timespec pause = { .tv_nsec = 30000000 };
	u64 before, w0, w1, w2, w3;

	if (access("/proc/thread-self/schedstat", R_OK)) {
		printf("the kernel does not say how long threads wait\n");
		skip();
	}
	assert_int_equal(msr_set(v, MSR_KVM_STEAL_TIME, STEAL_GPA | 1, false), 0);
	pv_steal_update(v, true);
	assert_int_equal(s->version & 1, 0);
	assert_int_not_equal(s->version, 0);
	/* inside KVM_RUN */
	w0 = waited();
	pv_steal_update(v, false);
	pv_steal_update(v, true);
	w1 = waited();
	before = s->steal;
	contend(20000000);
	w2 = waited();
	pv_steal_update(v, true);
	w3 = waited();
	assert_in_range(s->steal - before, w2 - w1, w3 - w0);
	/* and while the client has the vCPU */
	w0 = w2;
	w1 = w3;
	before = s->steal;
	pv_steal_leave(v);
	contend(20000000);
	w2 = waited();
	pv_steal_enter(v);
	w3 = waited();
	assert_in_range(s->steal - before, w2 - w1, w3 - w0);
	assert_int_equal(s->version & 1, 0);
	/* sleeping is no waiting for a CPU */
	w0 = w2;
	w1 = w3;
	before = s->steal;
	pv_steal_update(v, true);
	nanosleep(&pause, NULL);
	pv_steal_update(v, true);
	pv_steal_leave(v);
	nanosleep(&pause, NULL);
	pv_steal_enter(v);
	assert_in_range(s->steal - before, 0, waited() - w0);
}

/* ---- hypercalls ------------------------------------------------------------------------------ */

static s64 hypercall(u64 nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
	u64 *g = v->st->gpr;

	g[X86_RAX] = nr;
	g[X86_RBX] = a0;
	g[X86_RCX] = a1;
	g[X86_RDX] = a2;
	g[X86_RSI] = a3;
	assert_int_equal(vcpu_hypercall(v), 1);
	return (s32)g[X86_RAX];		/* 32-bit results outside 64-bit mode */
}

static void hypercalls(void **state)
{
	int fd = t_ioctl_n(t_interp.vm_fd, KVM_CREATE_VCPU, 3);
	struct vcpu *w = t_vcpu_obj(fd);
	u32 spiv = 0x1ff;

	assert_int_equal(hypercall(12345, 0, 0, 0, 0), -1000);
	v->st->cpl = 3;
	assert_int_equal(hypercall(1, 0, 0, 0, 0), -1);
	v->st->cpl = 0;
	assert_int_equal(hypercall(1, 0, 0, 0, 0), 0);
	/* kick by APIC id */
	assert_int_equal(hypercall(5, 0, 3, 0, 0), 0);
	assert_true(vcpu_has_request(w, REQ_PV_UNHALT));
	assert_int_equal(hypercall(5, 0, 99, 0, 0), 0);
	/* IPIs to ids 2 + bits 1 and 5: only 3 is there */
	assert_true(lapic_mmio(v->lapic, 0xf0, &spiv, 4, true));
	assert_true(lapic_mmio(w->lapic, 0xf0, &spiv, 4, true));
	assert_int_equal(hypercall(10, 0x22, 0, 2, 0x44), 1);
	assert_int_equal(lapic_pending(w->lapic), 0x44);
	assert_int_equal(hypercall(10, 2, 0, 2, 4 << 8), 1);		/* NMI */
	assert_int_equal(host_load_acquire(&w->priv->nmi.pending), 1);
	/* INIT is not for this call */
	assert_int_equal(hypercall(10, 2, 0, 2, 5 << 8), -1000);
	/* a base beyond all ids does not wrap */
	assert_int_equal(hypercall(10, ~0UL, ~0UL, ~0UL - 5, 0x44), 0);
	assert_int_equal(hypercall(10, ~0UL, ~0UL, 0, 0x45), 2);
	assert_int_equal(hypercall(11, 3, 0, 0, 0), 0);
	/* what CPUID does not announce is refused once the client says so */
	v->priv->enforce_pv_features = true;
	assert_int_equal(hypercall(5, 0, 3, 0, 0), -1000);
	t_fd_close(fd);
}

/* The kick ends HLT also when it came before. */
static void kick_ends_halt(void **state)
{
	t_interp_code("\xf4\xe6\x99", 3);	/* hlt; out 0x99, al */
	t_interp.budget = -1;
	vcpu_request(v, REQ_PV_UNHALT);
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(t_interp.run->exit_reason, KVM_EXIT_IO);
	assert_false(vcpu_has_request(v, REQ_PV_UNHALT));
}

int main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(runs_with_monotonic), T(old_msr_and_disable), T(one_line_for_all), T(set_clock), T(guest_was_paused),
		T(wall_clock), T(writes_are_logged), T(steal_time), T(hypercalls), T(kick_ends_halt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
