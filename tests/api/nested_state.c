/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* nested_state.c - KVM_GET/SET_NESTED_STATE where guests have neither VMX nor SVM: the header. */
#include "lib/t_kvm.h"

#include <cpuid.h>

static struct t_vm vm;
static struct t_cpu cpu;

static bool amd(void)
{
	unsigned int a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == 0x68747541;		/* "Auth" */
}

static void header(void **state)
{
	struct kvm_nested_state s = { .size = sizeof(s) };

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	assert_int_equal(T(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE), 128);
	assert_int_equal(sizeof(s), 128);
	t_ok(T(cpu.fd, KVM_GET_NESTED_STATE, &s));
	assert_int_equal(s.size, 128);
	if (amd()) {
		assert_int_equal(s.format, KVM_STATE_NESTED_FORMAT_SVM);
		assert_int_equal(s.flags, KVM_STATE_NESTED_GIF_SET);
	} else {
		assert_int_equal(s.format, KVM_STATE_NESTED_FORMAT_VMX);
		assert_int_equal(s.flags, 0);
		assert_int_equal(s.hdr.vmx.vmxon_pa, -1);
		assert_int_equal(s.hdr.vmx.vmcs12_pa, -1);
	}
	t_ok(T(cpu.fd, KVM_SET_NESTED_STATE, &s));
	T_END(&vm, &cpu);
}

static void sizes(void **state)
{
	struct kvm_nested_state s = { .size = 127, .flags = 0x5a };

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_fails(E2BIG, T(cpu.fd, KVM_GET_NESTED_STATE, &s));
	assert_int_equal(s.size, 128);
	assert_int_equal(s.flags, 0x5a);
	t_fails(EFAULT, T(cpu.fd, KVM_GET_NESTED_STATE, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_NESTED_STATE, T_BAD_PTR));
	t_ok(T(cpu.fd, KVM_GET_NESTED_STATE, &s));
	s.size = 127;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_NESTED_STATE, &s));
	s.size = 4096;
	t_ok(T(cpu.fd, KVM_SET_NESTED_STATE, &s));
	T_END(&vm, &cpu);
}

static void refusals(void **state)
{
	struct kvm_nested_state s = { .size = sizeof(s) }, bad;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(T(cpu.fd, KVM_GET_NESTED_STATE, &s));
	bad = s;
	bad.format = amd() ? KVM_STATE_NESTED_FORMAT_VMX : KVM_STATE_NESTED_FORMAT_SVM;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_NESTED_STATE, &bad));
	for (unsigned int bit = 0; bit < 16; bit++) {
		bad = s;
		bad.flags ^= 1u << bit;
		t_fails(EINVAL, T(cpu.fd, KVM_SET_NESTED_STATE, &bad));
	}
	if (!amd()) {
		bad = s;
		bad.hdr.vmx.vmxon_pa = 0x1000;
		t_fails(EINVAL, T(cpu.fd, KVM_SET_NESTED_STATE, &bad));
		bad = s;
		bad.hdr.vmx.vmcs12_pa = 0x1000;
		t_fails(EINVAL, T(cpu.fd, KVM_SET_NESTED_STATE, &bad));
		bad = s;
		bad.hdr.vmx.smm.flags = 1;
		t_fails(EINVAL, T(cpu.fd, KVM_SET_NESTED_STATE, &bad));
	}
	t_ok(T(cpu.fd, KVM_SET_NESTED_STATE, &s));
	T_END(&vm, &cpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T_CASE(header),
		T_CASE(sizes),
		T_CASE(refusals),
	};

	return t_have_kvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
