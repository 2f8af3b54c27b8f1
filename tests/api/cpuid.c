/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* cpuid.c - KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2, KVM_GET_CPUID2, and CPUID in the guest. */
#include "lib/t_kvm.h"

static struct t_vm vm;
static struct t_cpu cpu;

GUEST16(cpuid_code, "cpuid; outl %eax, $0x10; movl %ebx, %eax; outl %eax, $0x10; movl %ecx, %eax; outl %eax, $0x10;"
	"movl %edx, %eax; outl %eax, $0x10; hlt");

static int begin(void **state)
{
	T_START(&vm, &cpu, 0, cpuid_code);
	return 0;
}

static int end(void **state)
{
	T_END(&vm, &cpu);
	return 0;
}

static const struct kvm_cpuid_entry2 *leaf(const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	unsigned int i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == function &&
		    (!(c->entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || c->entries[i].index == index))
			return &c->entries[i];
	return NULL;
}

static void guest_cpuid(uint32_t function, uint32_t index, uint32_t r[4])
{
	struct kvm_regs regs;
	int i;

	t_cpu_real(&cpu, T_CODE);
	regs = t_regs(&cpu);
	regs.rax = function;
	regs.rcx = index;
	t_set_regs(&cpu, &regs);
	for (i = 0; i < 4; i++) {
		t_run_to(&cpu, KVM_EXIT_IO);
		r[i] = *(uint32_t *)t_io_data(cpu.run);
	}
}

/* Buffers of 100 must do; QEMU grows from 1. */
static void supported(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm), *d;
	uint32_t n = c->nent, i;

	assert_in_range(n, 5, 100);
	d = calloc(1, sizeof(*d) + 256 * sizeof(d->entries[0]));
	for (i = 1; i < n; i *= 2) {
		d->nent = i;
		t_fails(E2BIG, T(vm.kvm, KVM_GET_SUPPORTED_CPUID, d));
	}
	d->nent = 256;
	t_ok(T(vm.kvm, KVM_GET_SUPPORTED_CPUID, d));
	assert_int_equal(d->nent, n);
	t_fails(EFAULT, T(vm.kvm, KVM_GET_SUPPORTED_CPUID, T_BAD_PTR));
	assert_non_null(leaf(c, 0, 0));
	assert_non_null(leaf(c, 1, 0));
	assert_non_null(leaf(c, 0x80000000, 0));
	assert_non_null(leaf(c, 0x80000008, 0));
	assert_int_equal(leaf(c, 0x40000000, 0)->ebx, 0x4b4d564b);	/* "KVMK" */
	assert_int_equal(leaf(c, 0x40000000, 0)->eax, 0x40000001);
	assert_true(leaf(c, 0x40000001, 0)->eax & 1 << 3);		/* KVM_CAP_CLOCKSOURCE */
	assert_true(leaf(c, 0x40000001, 0)->eax & 1 << 1);		/* KVM_CAP_NOP_IO_DELAY */
	free(c);
	free(d);
}

static void set_get_and_guest(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm), *d;
	uint32_t r[4], i;

	d = calloc(1, sizeof(*d) + 100 * sizeof(d->entries[0]));
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	d->nent = c->nent - 1;
	t_fails(E2BIG, T(cpu.fd, KVM_GET_CPUID2, d));
	assert_int_equal(d->nent, c->nent);		/* as many as are needed */
	d->nent = 100;
	t_ok(T(cpu.fd, KVM_GET_CPUID2, d));
	assert_int_equal(d->nent, c->nent);
	for (i = 0; i < c->nent; i++) {
		assert_int_equal(c->entries[i].function, d->entries[i].function);
		assert_int_equal(c->entries[i].index, d->entries[i].index);
	}
	guest_cpuid(0, 0, r);
	assert_int_equal(r[1], leaf(c, 0, 0)->ebx);
	assert_int_equal(r[0], leaf(c, 0, 0)->eax);
	guest_cpuid(0x80000008, 0, r);
	assert_int_equal(r[0], leaf(c, 0x80000008, 0)->eax);
	guest_cpuid(0x40000000, 0, r);
	assert_int_equal(r[1], 0x4b4d564b);
	guest_cpuid(7, 0, r);
	assert_int_equal(r[1], leaf(c, 7, 0)->ebx);
	t_fails(EFAULT, T(cpu.fd, KVM_GET_CPUID2, T_BAD_PTR));
	free(c);
	free(d);
}

static void hidden_bit_is_hidden(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	uint32_t r[4], i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1)
			c->entries[i].ecx &= ~(1u << 20);	/* SSE4.2 */
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	guest_cpuid(1, 0, r);
	assert_int_equal(r[2] & 1 << 20, 0);
	free(c);
}

/* Leaf 1's APIC bit follows the APIC base, whatever the client set; before the first run and after it. */
static void apic_bit(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	struct kvm_sregs s;
	uint32_t r[4], i, round;

	for (round = 0; round < 4; round++) {
		t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
		s.apic_base = 0xfee00000 | (round & 1 ? 0x800 : 0);
		t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
		for (i = 0; i < c->nent; i++)
			if (c->entries[i].function == 1)
				c->entries[i].edx ^= 1 << 9;
		t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
		guest_cpuid(1, 0, r);
		assert_int_equal(r[3] & 1 << 9, round & 1 ? 1 << 9 : 0);
	}
	free(c);
}

/* OSXSAVE follows CR4, with KVM_GET_CPUID2 as in the guest. */
static void run_time_bits(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	struct kvm_sregs s;
	uint32_t r[4];

	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	guest_cpuid(1, 0, r);
	assert_int_equal(r[2] & 1 << 27, 0);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.cr4 |= 1 << 18;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	guest_cpuid(1, 0, r);
	assert_int_not_equal(r[2] & 1 << 27, 0);
	c->nent = 100;
	t_ok(T(cpu.fd, KVM_GET_CPUID2, c));
	assert_int_not_equal(leaf(c, 1, 0)->ecx & 1 << 27, 0);
	free(c);
}

static void no_change_after_run(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm), *shown;
	struct kvm_sregs s;
	uint32_t r[4], i;

	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	guest_cpuid(0, 0, r);
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));		/* the same */
	/* so is what KVM_GET_CPUID2 shows, though OSXSAVE has followed CR4 since */
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.cr4 |= 1 << 18;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	shown = t_supported_cpuid(vm.kvm);
	shown->nent = 100;
	t_ok(T(cpu.fd, KVM_GET_CPUID2, shown));
	assert_int_not_equal(leaf(shown, 1, 0)->ecx & 1 << 27, 0);
	t_ok(T(cpu.fd, KVM_SET_CPUID2, shown));
	free(shown);
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1)
			c->entries[i].ecx ^= 1u << 20;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_CPUID2, c));
	guest_cpuid(1, 0, r);
	assert_int_equal((r[2] ^ leaf(c, 1, 0)->ecx) & 1 << 20, 1 << 20);
	free(c);
}

static void refusals(void **state)
{
	struct kvm_cpuid2 head = { .nent = 257 };
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	uint32_t i;

	t_fails(E2BIG, T(cpu.fd, KVM_SET_CPUID2, &head));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_CPUID2, T_BAD_PTR));
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x80000008)
			c->entries[i].eax = 0x2630;		/* 38 bits of linear address */
	t_fails(EINVAL, T(cpu.fd, KVM_SET_CPUID2, c));
	free(c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
T_MAIN(CASE(supported), CASE(set_get_and_guest), CASE(hidden_bit_is_hidden), CASE(run_time_bits), CASE(apic_bit),
       CASE(no_change_after_run), CASE(refusals))
