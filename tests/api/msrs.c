/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* msrs.c - KVM_GET/SET_MSRS, the MSR filter, exits for MSRs, and what KVM_ENABLE_CAP changes about MSRs. */
#include "lib/t_kvm.h"

static struct t_vm vm;
static struct t_cpu cpu;

/* A #GP reports 13 on port 0x11; what was read comes out of port 0x10. */
GUEST16(rdmsr_code, "rdmsr; outl %eax, $0x10; hlt");
GUEST16(wrmsr_code, "wrmsr; movl $0x77, %eax; outl %eax, $0x10; hlt");
GUEST16(gp_isr, "movl $13, %eax; outl %eax, $0x11; hlt");

static int begin(void **state)
{
	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, rdmsr_code);
	T_LOAD(&vm, T_CODE + 0x100, wrmsr_code);
	T_LOAD(&vm, 0x9000, gp_isr);
	*(uint32_t *)(vm.mem + 13 * 4) = 0x9000;
	return 0;
}

static int end(void **state)
{
	T_END(&vm, &cpu);
	return 0;
}

static void guest(bool write, uint32_t index, uint64_t val)
{
	struct kvm_regs r;

	t_cpu_real(&cpu, write ? T_CODE + 0x100 : T_CODE);
	r = t_regs(&cpu);
	r.rcx = index;
	r.rax = (uint32_t)val;
	r.rdx = val >> 32;
	t_set_regs(&cpu, &r);
}

static void guest_out(uint16_t port, uint32_t val)
{
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, port);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run), val);
}

static void every_listed_msr(void **state)
{
	struct { struct kvm_msr_list head; uint32_t index[255]; } l = { .head.nmsrs = 255 };
	uint32_t i;

	t_cpu_cpuid(&vm, &cpu);
	t_ok(T(vm.kvm, KVM_GET_MSR_INDEX_LIST, &l));
	for (i = 0; i < l.head.nmsrs; i++) {
		uint64_t v = t_msr(&cpu, l.index[i]);

		if (t_set_msr(&cpu, l.index[i], v) != 1)
			fail_msg("MSR %#x does not take its own value %#lx", l.index[i], (unsigned long)v);
	}
}

static void stops_at_the_first_bad_one(void **state)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e[3]; } m = { .head.nmsrs = 3 };

	t_cpu_cpuid(&vm, &cpu);
	m.e[0] = (struct kvm_msr_entry){ .index = 0xc0000082, .data = 0x1000 };
	m.e[1] = (struct kvm_msr_entry){ .index = 0x12345678, .data = 1 };
	m.e[2] = (struct kvm_msr_entry){ .index = 0xc0000082, .data = 0x2000 };
	assert_int_equal(T(cpu.fd, KVM_SET_MSRS, &m), 1);
	assert_int_equal(t_msr(&cpu, 0xc0000082), 0x1000);
	m.e[0].data = 0;
	assert_int_equal(T(cpu.fd, KVM_GET_MSRS, &m), 1);
	assert_int_equal(m.e[0].data, 0x1000);
	m.e[0].index = 0x12345678;
	assert_int_equal(T(cpu.fd, KVM_GET_MSRS, &m), 0);
	m.head.nmsrs = 0;
	assert_int_equal(T(cpu.fd, KVM_GET_MSRS, &m), 0);
	assert_int_equal(T(cpu.fd, KVM_SET_MSRS, &m), 0);
	m.head.nmsrs = 256;
	t_fails(E2BIG, T(cpu.fd, KVM_GET_MSRS, &m));
	t_fails(E2BIG, T(cpu.fd, KVM_SET_MSRS, &m));
	t_fails(EFAULT, T(cpu.fd, KVM_GET_MSRS, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_MSRS, T_BAD_PTR));
}

static void values_that_are_refused(void **state)
{
	t_cpu_cpuid(&vm, &cpu);
	assert_int_equal(t_set_msr(&cpu, 0xc0000082, 0x8000000000000000), 0);	/* LSTAR: not canonical */
	assert_int_equal(t_set_msr(&cpu, 0x277, 0x0202020202020202), 0);	/* PAT: reserved type */
	assert_int_equal(t_set_msr(&cpu, 0x2ff, 0xffff), 0);			/* MTRR_DEF_TYPE */
	assert_int_equal(t_set_msr(&cpu, 0x2ff, 0xc06), 1);
	assert_int_equal(t_msr(&cpu, 0x2ff), 0xc06);
}

/* P5_MC_ADDR, PLATFORM_ID, FSB_FREQ, MTRRCAP, PERF_STATUS, energy counters. */
static void read_only_msrs(void **state)
{
	static const uint32_t index[] = { 0, 1, 0x17, 0xcd, 0xfe, 0x198, 0x606, 0x611, 0x639 };
	unsigned int i;

	t_cpu_cpuid(&vm, &cpu);
	for (i = 0; i < sizeof(index) / sizeof(index[0]); i++) {
		assert_int_equal(t_set_msr(&cpu, index[i], t_msr(&cpu, index[i])), 0);
		guest(true, index[i], 0);
		guest_out(0x11, 13);
	}
}

static void guest_reads_what_the_client_set(void **state)
{
	t_cpu_cpuid(&vm, &cpu);
	assert_int_equal(t_set_msr(&cpu, 0x174, 0x1234), 1);	/* SYSENTER_CS */
	guest(false, 0x174, 0);
	guest_out(0x10, 0x1234);
	guest(true, 0x174, 0x4321);
	guest_out(0x10, 0x77);
	assert_int_equal(t_msr(&cpu, 0x174), 0x4321);
	guest(false, 0x12345678, 0);
	guest_out(0x11, 13);
}

/* A host write near where the counter is means "make equal", SMP guests depend on it. */
static void tsc_of_two_vcpus(void **state)
{
	struct t_cpu other;
	uint64_t a, b;

	t_cpu_create(&vm, &other, 1);
	assert_int_equal(t_set_msr(&cpu, 0x10, 0x1000000000000), 1);
	assert_int_equal(t_set_msr(&other, 0x10, 0x1000000000000), 1);
	a = t_msr(&cpu, 0x10);
	b = t_msr(&other, 0x10);
	assert_true(b >= a);
	assert_true(t_msr(&cpu, 0x10) >= b);
	assert_true(a >= 0x1000000000000);
	t_cpu_destroy(&other);
}

/* ---- capabilities ---- */

static void platform_info(void **state)
{
	t_cpu_cpuid(&vm, &cpu);
	guest(false, 0xce, 0);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x10);
	if (!t_cap(&vm, KVM_CAP_MSR_PLATFORM_INFO))
		skip();
	t_ok(t_enable(vm.fd, KVM_CAP_MSR_PLATFORM_INFO, 0));
	guest(false, 0xce, 0);
	guest_out(0x11, 13);
	t_ok(t_enable(vm.fd, KVM_CAP_MSR_PLATFORM_INFO, 1));
	guest(false, 0xce, 0);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x10);
}

static void enforce_pv_features(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	unsigned int i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x40000001)
			c->entries[i].eax = 0;
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	free(c);
	guest(false, 0x4b564d01, 0);
	guest_out(0x10, 0);			/* works without being announced */
	if (!t_cap(&vm, KVM_CAP_ENFORCE_PV_FEATURE_CPUID))
		skip();
	t_ok(t_enable(cpu.fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1));
	guest(false, 0x4b564d01, 0);
	guest_out(0x11, 13);
	guest(true, 0x4b564d01, 0x9001);
	guest_out(0x11, 13);
}

static void steal_time(void **state)
{
	if (!t_cap(&vm, KVM_CAP_STEAL_TIME))
		skip();
	t_cpu_cpuid(&vm, &cpu);
	assert_int_equal(t_set_msr(&cpu, 0x4b564d03, 0x9100 | 2), 0);	/* reserved bit */
	memset(vm.mem + 0x9100, 0xff, 64);
	*(uint64_t *)(vm.mem + 0x9100) = 0;
	*(uint32_t *)(vm.mem + 0x9108) = 0;
	assert_int_equal(t_set_msr(&cpu, 0x4b564d03, 0x9100 | 1), 1);
	guest(false, 0x4b564d03, 0);
	guest_out(0x10, 0x9101);
	assert_int_not_equal(*(uint32_t *)(vm.mem + 0x9108), 0);		/* version */
	assert_int_equal(*(uint32_t *)(vm.mem + 0x9108) & 1, 0);
}

/* Linux's KVM_CAP_X86_USER_SPACE_MSR: RDMSR and WRMSR that would fault go to the client. */
static void msr_exits(void **state)
{
	if (!t_cap(&vm, KVM_CAP_X86_USER_SPACE_MSR))
		skip();
	t_cpu_cpuid(&vm, &cpu);
	t_ok(t_enable(vm.fd, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL));
	guest(false, 0x12345678, 0);
	t_run_to(&cpu, KVM_EXIT_X86_RDMSR);
	assert_int_equal(cpu.run->msr.index, 0x12345678);
	assert_int_not_equal(cpu.run->msr.reason, 0);
	cpu.run->msr.data = 0xabcd;
	cpu.run->msr.error = 0;
	guest_out(0x10, 0xabcd);
	guest(false, 0x12345678, 0);
	t_run_to(&cpu, KVM_EXIT_X86_RDMSR);
	cpu.run->msr.error = 1;
	guest_out(0x11, 13);
	guest(true, 0x12345678, 0x1122334455667788);
	t_run_to(&cpu, KVM_EXIT_X86_WRMSR);
	assert_int_equal(cpu.run->msr.index, 0x12345678);
	assert_int_equal(cpu.run->msr.data, 0x1122334455667788);
	cpu.run->msr.error = 0;
	guest_out(0x10, 0x77);
	t_ok(t_enable(vm.fd, KVM_CAP_X86_USER_SPACE_MSR, 0));
	guest(false, 0x12345678, 0);
	guest_out(0x11, 13);
}

static long filter(uint32_t flags, uint32_t range_flags, uint32_t base, uint32_t n, void *bitmap)
{
	struct kvm_msr_filter f = { .flags = flags };

	f.ranges[0] = (struct kvm_msr_filter_range){ .flags = range_flags, .base = base, .nmsrs = n, .bitmap = bitmap };
	return T(vm.fd, KVM_X86_SET_MSR_FILTER, &f);
}

static void msr_filter(void **state)
{
	uint8_t none[8] = { 0 }, some[8] = { 1 << 4 };

	if (!t_cap(&vm, KVM_CAP_X86_MSR_FILTER))
		skip();
	t_cpu_cpuid(&vm, &cpu);
	assert_int_equal(t_set_msr(&cpu, 0x174, 0x1234), 1);
	t_ok(filter(0, KVM_MSR_FILTER_READ, 0x170, 8, none));
	guest(false, 0x174, 0);
	guest_out(0x11, 13);
	guest(true, 0x174, 5);			/* writing is not what the range is about */
	guest_out(0x10, 0x77);
	assert_int_equal(t_msr(&cpu, 0x174), 5);	/* nor is the client */
	t_ok(filter(KVM_MSR_FILTER_DEFAULT_DENY, KVM_MSR_FILTER_READ, 0x170, 8, some));
	guest(false, 0x174, 0);
	guest_out(0x10, 5);
	guest(false, 0x175, 0);
	guest_out(0x11, 13);
	guest(true, 0x174, 6);
	guest_out(0x11, 13);
	/* with exits, the client decides */
	t_ok(t_enable(vm.fd, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER));
	guest(false, 0x175, 0);
	t_run_to(&cpu, KVM_EXIT_X86_RDMSR);
	assert_int_equal(cpu.run->msr.reason, KVM_MSR_EXIT_REASON_FILTER);
	cpu.run->msr.error = 0;
	cpu.run->msr.data = 9;
	guest_out(0x10, 9);
	/* refusals leave the filter as it is */
	t_fails(EINVAL, filter(2, KVM_MSR_FILTER_READ, 0x170, 8, none));
	t_fails(EINVAL, filter(0, 8, 0x170, 8, none));
	t_fails(EINVAL, filter(KVM_MSR_FILTER_DEFAULT_DENY, 0, 0, 0, NULL));
	t_fails(EFAULT, filter(0, KVM_MSR_FILTER_READ, 0x170, 8, (void *)T_BAD_PTR));
	t_fails(EINVAL, filter(0, KVM_MSR_FILTER_READ, 0, 0x10000000, none));
	t_fails(EFAULT, T(vm.fd, KVM_X86_SET_MSR_FILTER, T_BAD_PTR));
	guest(false, 0x175, 0);
	t_run_to(&cpu, KVM_EXIT_X86_RDMSR);
	t_ok(filter(0, 0, 0, 0, NULL));		/* an empty one switches it off */
	cpu.run->msr.error = 1;
	guest_out(0x11, 13);
	guest(false, 0x174, 0);
	guest_out(0x10, 5);
}

/* MSR_KVM_WALL_CLOCK: "Although MSRs are per-CPU entities, the effect of this particular MSR is global." */
static void one_wall_clock(void **state)
{
	struct t_cpu second;

	t_cpu_create(&vm, &second, 1);
	assert_int_equal(t_set_msr(&cpu, 0x11, 0x3000), 1);
	assert_int_equal(t_msr(&second, 0x11), 0x3000);
	assert_int_equal(t_set_msr(&second, 0x11, 0x3100), 1);
	assert_int_equal(t_msr(&cpu, 0x11), 0x3100);
	t_cpu_destroy(&second);
}

/* The rules of IA32_APIC_BASE hold where the APIC itself is the client's: x2APIC mode is a state of an APIC that is enabled. */
static void apic_base_without_an_apic(void **state)
{
	struct t_vm v;
	struct t_cpu c;
	struct kvm_sregs s;

	t_vm_create(&v, 0);
	t_cpu_create(&v, &c, 0);
	assert_int_equal(t_set_msr(&c, 0x1b, 0xfee00500), 0);
	assert_int_equal(t_msr(&c, 0x1b), 0xfee00900);
	t_ok(T(c.fd, KVM_GET_SREGS, &s));
	s.apic_base = 0xfee00500;
	t_fails(EINVAL, T(c.fd, KVM_SET_SREGS, &s));
	s.apic_base = 1ULL << 51 | 0xfee00900;		/* beyond the physical addresses that CPUID tells of */
	t_fails(EINVAL, T(c.fd, KVM_SET_SREGS, &s));
	assert_int_equal(t_set_msr(&c, 0x1b, 0xfee00100), 1);
	assert_int_equal(t_set_msr(&c, 0x1b, 0xfee00900), 1);
	T_END(&v, &c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
T_MAIN(CASE(every_listed_msr), CASE(stops_at_the_first_bad_one), CASE(values_that_are_refused), CASE(read_only_msrs),
       CASE(guest_reads_what_the_client_set), CASE(tsc_of_two_vcpus), CASE(platform_info), CASE(enforce_pv_features),
       CASE(steal_time), CASE(msr_exits), CASE(msr_filter), CASE(one_wall_clock), T_CASE(apic_base_without_an_apic))
