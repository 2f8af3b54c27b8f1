/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* clock.c - KVM_GET/SET_CLOCK, the TSC's rate, KVM_KVMCLOCK_CTRL. */
#include "lib/t_kvm.h"

#include <time.h>

static struct t_vm vm;
static struct t_cpu cpu;

GUEST16(code, "outb %al, $0x10; hlt");

static int begin(void **state)
{
	T_START(&vm, &cpu, T_IRQCHIP, code);
	return 0;
}

static int end(void **state)
{
	T_END(&vm, &cpu);
	return 0;
}

static uint64_t now(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct kvm_clock_data get(void)
{
	struct kvm_clock_data d;

	memset(&d, 0xff, sizeof(d));
	t_ok(T(vm.fd, KVM_GET_CLOCK, &d));
	return d;
}

#define SECOND 1000000000ULL

static void runs_with_the_monotonic_clock(void **state)
{
	struct kvm_clock_data a, b;
	uint64_t t0 = now(CLOCK_MONOTONIC), t1;

	a = get();
	usleep(20000);
	b = get();
	t1 = now(CLOCK_MONOTONIC);
	assert_true(b.clock - a.clock >= 19900000);
	assert_true(b.clock - a.clock <= t1 - t0 + 1000000);
	assert_true(a.clock < 60 * SECOND);		/* from the VM's creation */
	if (a.flags & KVM_CLOCK_REALTIME) {
		assert_true(now(CLOCK_REALTIME) - b.realtime < SECOND);
		assert_true(a.flags & KVM_CLOCK_HOST_TSC);
		assert_true(b.host_tsc > a.host_tsc);
	}
}

static void set(void **state)
{
	struct kvm_clock_data d = { .clock = 1000 * SECOND };

	t_ok(T(vm.fd, KVM_SET_CLOCK, &d));
	assert_true(get().clock - 1000 * SECOND < SECOND);
	d.clock = 5 * SECOND;				/* backwards too */
	t_ok(T(vm.fd, KVM_SET_CLOCK, &d));
	assert_true(get().clock - 5 * SECOND < SECOND);
}

static void set_with_real_time(void **state)
{
	struct kvm_clock_data d = { .clock = 1000 * SECOND, .flags = KVM_CLOCK_REALTIME };

	if (!(T(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_REALTIME))
		skip();
	d.realtime = now(CLOCK_REALTIME) - 100 * SECOND;	/* what has passed since is added */
	t_ok(T(vm.fd, KVM_SET_CLOCK, &d));
	assert_true(get().clock - 1100 * SECOND < SECOND);
}

static void refusals(void **state)
{
	struct kvm_clock_data d = { .clock = 1, .flags = 1 << 20 };
	uint64_t before = get().clock;

	t_fails(EINVAL, T(vm.fd, KVM_SET_CLOCK, &d));
	t_fails(EFAULT, T(vm.fd, KVM_SET_CLOCK, T_BAD_PTR));
	t_fails(EFAULT, T(vm.fd, KVM_GET_CLOCK, T_BAD_PTR));
	assert_true(get().clock - before < SECOND);
}

static void tsc_rate(void **state)
{
	long khz = T(cpu.fd, KVM_GET_TSC_KHZ, 0);

	assert_in_range(khz, 100000, 20000000);
	t_ok(T(cpu.fd, KVM_SET_TSC_KHZ, khz));
	assert_int_equal(T(cpu.fd, KVM_GET_TSC_KHZ, 0), khz);
	if (!t_cap(&vm, KVM_CAP_TSC_CONTROL)) {			/* then no other rate */
		t_fails(EINVAL, T(cpu.fd, KVM_SET_TSC_KHZ, khz / 2));
		assert_int_equal(T(cpu.fd, KVM_GET_TSC_KHZ, 0), khz);
	}
}

/* The guest's page: 32 bytes at the address in the MSR. */
static void kvmclock_page(void **state)
{
	uint8_t *page = vm.mem + 0x9000;

	t_cpu_cpuid(&vm, &cpu);
	t_fails(EINVAL, T(cpu.fd, KVM_KVMCLOCK_CTRL, 0));	/* not in use */
	assert_int_equal(t_set_msr(&cpu, 0x4b564d01, 0x9001), 1);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_not_equal(*(uint32_t *)page, 0);		/* version */
	assert_int_equal(*(uint32_t *)page & 1, 0);
	assert_int_not_equal(*(uint32_t *)(page + 24), 0);	/* multiplier */
	assert_int_equal(page[29] & 2, 0);			/* guest was paused */
	t_ok(T(cpu.fd, KVM_KVMCLOCK_CTRL, 0));
	t_cpu_real(&cpu, T_CODE);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(page[29] & 2, 2);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
T_MAIN(CASE(runs_with_the_monotonic_clock), CASE(set), CASE(set_with_real_time), CASE(refusals), CASE(tsc_rate),
       CASE(kvmclock_page))
