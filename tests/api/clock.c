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

/* Reads its TSC to 0x9000 and tells. */
GUEST64(tsc_reader, "1: rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, 0x9000; out %al, $0x10; jmp 1b");

static uint64_t host_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

struct reading {
	uint64_t guest, before, after;		/* host's TSC before and after */
};

static struct reading read_tsc(void)
{
	struct reading r;

	r.before = host_tsc();
	t_run_to(&cpu, KVM_EXIT_IO);
	r.after = host_tsc();
	r.guest = *(uint64_t *)(vm.mem + 0x9000);
	return r;
}

/* The guest's counter goes num/den times as fast as the host's, within what the readings allow. */
static void goes_at(uint64_t num, uint64_t den, uint64_t khz)
{
	struct reading a = read_tsc(), b;

	while (host_tsc() < a.after + khz * 2)		/* 2 ms */
		;
	b = read_tsc();
	/* 2: rounding; a rate within 1 kHz of what was asked for is that rate */
	assert_in_range(b.guest - a.guest, (b.before - a.after) * num / den - 2 - 2 * 2 * num / den,
			(b.after - a.before) * num / den + 2 + 2 * 2 * num / den);
}

/* What the guest computes from its kvmclock page at 0xa000 and that reading of its TSC. msr.rst, MSR_KVM_SYSTEM_TIME_NEW */
static uint64_t page_clock(uint64_t tsc)
{
	const uint8_t *page = vm.mem + 0xa000;
	uint64_t base, ns, delta;
	uint32_t mul;
	int8_t shift;

	memcpy(&base, page + 8, 8);
	memcpy(&ns, page + 16, 8);
	memcpy(&mul, page + 24, 4);
	memcpy(&shift, page + 28, 1);
	delta = tsc - base;
	delta = shift < 0 ? delta >> -shift : delta << shift;
	return ns + (uint64_t)((unsigned __int128)delta * mul >> 32);
}

static void tsc_scaled(void **state)
{
	struct kvm_clock_data c0, c1;
	uint64_t khz, tsc;

	if (!t_cap(&vm, KVM_CAP_TSC_CONTROL)) {
		printf("no TSC scaling here\n");
		skip();
	}
	khz = (uint64_t)T(cpu.fd, KVM_GET_TSC_KHZ, 0) & ~1ULL;
	T_LOAD(&vm, T_CODE, tsc_reader);
	t_cpu_long(&vm, &cpu, T_CODE);
	goes_at(1, 1, khz);
	t_fails(EINVAL, T(cpu.fd, KVM_SET_TSC_KHZ, 0));
	t_fails(EINVAL, T(cpu.fd, KVM_SET_TSC_KHZ, 1ULL << 31));
	t_ok(T(cpu.fd, KVM_SET_TSC_KHZ, khz / 2));
	assert_int_equal(T(cpu.fd, KVM_GET_TSC_KHZ, 0), khz / 2);
	goes_at(1, 2, khz);
	t_ok(T(cpu.fd, KVM_SET_TSC_KHZ, khz * 3));
	goes_at(3, 1, khz);
	/* kvmclock takes the rate into account; 1 us: rounding of its multiplier */
	assert_int_equal(t_set_msr(&cpu, 0x4b564d01, 0xa001), 1);
	c0 = get();
	tsc = read_tsc().guest;
	c1 = get();
	assert_in_range(page_clock(tsc), c0.clock - 1000, c1.clock + 1000);
	/* the MSR is the same counter, for reading and for writing */
	tsc = t_msr(&cpu, 0x10);
	assert_in_range(read_tsc().guest - tsc, 0, khz * 3 * 1000);
	assert_int_equal(t_set_msr(&cpu, 0x10, 1ULL << 50), 1);
	assert_in_range(read_tsc().guest - (1ULL << 50), 0, khz * 3 * 1000);
	t_ok(T(cpu.fd, KVM_SET_TSC_KHZ, khz));
	goes_at(1, 1, khz);
}

/* On the VM: the rate of vCPUs to come. */
static void tsc_rate_of_the_vm(void **state)
{
	struct t_vm other;
	struct t_cpu c;
	long khz;

	if (!t_cap(&vm, KVM_CAP_VM_TSC_CONTROL)) {
		printf("no TSC rate of VMs here\n");
		skip();
	}
	t_fails(EINVAL, T(vm.fd, KVM_SET_TSC_KHZ, 1000000));		/* there is a vCPU */
	t_vm_create(&other, T_IRQCHIP);
	khz = T(other.fd, KVM_GET_TSC_KHZ, 0);
	assert_int_equal(khz, T(cpu.fd, KVM_GET_TSC_KHZ, 0));
	t_fails(EINVAL, T(other.fd, KVM_SET_TSC_KHZ, 1ULL << 31));
	t_ok(T(other.fd, KVM_SET_TSC_KHZ, khz / 2));
	assert_int_equal(T(other.fd, KVM_GET_TSC_KHZ, 0), khz / 2);
	t_cpu_create(&other, &c, 0);
	assert_int_equal(T(c.fd, KVM_GET_TSC_KHZ, 0), khz / 2);
	T_END(&other, &c);
	t_vm_create(&other, 0);
	t_ok(T(other.fd, KVM_SET_TSC_KHZ, khz / 2));
	t_ok(T(other.fd, KVM_SET_TSC_KHZ, 0));				/* the host's again */
	assert_int_equal(T(other.fd, KVM_GET_TSC_KHZ, 0), khz);
	t_vm_destroy(&other);
}

static void tsc_offset(void **state)
{
	uint64_t val = 0;
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uint64_t)&val };
	struct kvm_device_attr bad = a;
	struct reading r;

	if (!t_cap(&vm, KVM_CAP_VCPU_ATTRIBUTES)) {
		printf("no attributes of vCPUs here\n");
		skip();
	}
	T_LOAD(&vm, T_CODE, tsc_reader);
	t_cpu_long(&vm, &cpu, T_CODE);
	t_ok(T(cpu.fd, KVM_HAS_DEVICE_ATTR, &a));
	t_ok(T(cpu.fd, KVM_GET_DEVICE_ATTR, &a));
	r = read_tsc();
	assert_in_range(r.guest - val, r.before, r.after);
	val = -(1ULL << 40);
	t_ok(T(cpu.fd, KVM_SET_DEVICE_ATTR, &a));
	r = read_tsc();
	assert_in_range(r.guest + (1ULL << 40), r.before, r.after);
	val = 0;
	t_ok(T(cpu.fd, KVM_GET_DEVICE_ATTR, &a));
	assert_int_equal(val, -(1ULL << 40));
	bad.attr = 99;
	t_fails(ENXIO, T(cpu.fd, KVM_HAS_DEVICE_ATTR, &bad));
	t_fails(ENXIO, T(cpu.fd, KVM_GET_DEVICE_ATTR, &bad));
	t_fails(ENXIO, T(cpu.fd, KVM_SET_DEVICE_ATTR, &bad));
	bad = a;
	bad.group = 99;
	t_fails(ENXIO, T(cpu.fd, KVM_HAS_DEVICE_ATTR, &bad));
	bad = a;
	bad.addr = T_BAD_PTR;
	t_fails(EFAULT, T(cpu.fd, KVM_GET_DEVICE_ATTR, &bad));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_DEVICE_ATTR, &bad));
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
       CASE(tsc_scaled), CASE(tsc_rate_of_the_vm), CASE(tsc_offset), CASE(kvmclock_page))
