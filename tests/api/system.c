/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* system.c - ioctls of /dev/kvm itself, and every capability's value. */
#include "lib/t_kvm.h"

static void api_version(void **state)
{
	int kvm = t_open();

	assert_int_equal(T(kvm, KVM_GET_API_VERSION, 0), 12);
	t_fails(EINVAL, T(kvm, KVM_GET_API_VERSION, 1));
	close(kvm);
}

static void vcpu_mmap_size(void **state)
{
	int kvm = t_open();

	assert_true(T(kvm, KVM_GET_VCPU_MMAP_SIZE, 0) >= 0x3000);	/* kvm_run, port data, coalesced ring */
	assert_int_equal(T(kvm, KVM_GET_VCPU_MMAP_SIZE, 0) % 4096, 0);
	t_fails(EINVAL, T(kvm, KVM_GET_VCPU_MMAP_SIZE, 1));
	close(kvm);
}

static void read_only_is_enough(void **state)
{
	int kvm = open("/dev/kvm", O_RDONLY | O_CLOEXEC);
	int vm = (int)T(kvm, KVM_CREATE_VM, 0);

	assert_true(vm >= 0);
	assert_true(T(vm, KVM_CREATE_VCPU, 0) >= 0);
	close(vm);
	close(kvm);
}

static void vm_types(void **state)
{
	int kvm = t_open(), vm = (int)T(kvm, KVM_CREATE_VM, 0);

	assert_true(vm >= 0);
	assert_true(fcntl(vm, F_GETFD) & FD_CLOEXEC);
	close(vm);
	t_fails(EINVAL, T(kvm, KVM_CREATE_VM, 0x7fffffff));
	t_fails(EINVAL, T(kvm, KVM_CREATE_VM, ~0UL));
	close(kvm);
}

/* Linux says ENOTTY for a number that a VM does not know, and EINVAL on the other two. */
static void unknown_number(int fd, unsigned long nr, void *arg)
{
	long ret = T(fd, nr, arg);

	if (ret != -EINVAL)
		t_fails(ENOTTY, ret);
}

/* A number belongs to one class of descriptor, as a whole. */
static void foreign_numbers(void **state)
{
	static const unsigned long nobodys[] = {
		_IO(KVMIO, 0x06), _IO(KVMIO, 0x40), _IO(KVMIO, 0x43), _IO(KVMIO, 0xff), _IO('x', 0x00),
		_IOW(KVMIO, 0x00, int), _IOR(KVMIO, 0x80, int),
	};
	struct t_vm vm;
	struct t_cpu cpu;
	unsigned int i;
	char buf[16384] = { 0 };

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	for (i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++) {
		unknown_number(vm.kvm, nobodys[i], buf);
		unknown_number(cpu.fd, nobodys[i], buf);
		t_fails(ENOTTY, T(vm.fd, nobodys[i], buf));
	}
	unknown_number(vm.kvm, KVM_CREATE_VCPU, NULL);
	unknown_number(vm.kvm, KVM_RUN, NULL);
	unknown_number(cpu.fd, KVM_CREATE_VCPU, NULL);
	t_fails(ENOTTY, T(vm.fd, KVM_CREATE_VM, 0));
	t_fails(ENOTTY, T(vm.fd, KVM_GET_REGS, buf));
	/* QEMU's wrapper passes the number as int: sign-extended */
	assert_int_equal(T(cpu.fd, (long)(int)KVM_GET_REGS, buf), 0);
	T_END(&vm, &cpu);
}

enum cap_rule { EXACTLY, AT_LEAST, BITS };

/*
 * What clients compare with, and what announcing promises. `must`: some client does not start without it; others may be
 * 0, but if not, then so.
 */
static const struct cap_row {
	const char *name;
	unsigned long cap;
	enum cap_rule rule;
	long value;
	bool must;
} caps[] = {
#define MUST(c, rule, v) { #c, c, rule, v, true },
#define MAY(c, rule, v) { #c, c, rule, v, false },
	MUST(KVM_CAP_IRQCHIP, EXACTLY, 1)
	MUST(KVM_CAP_HLT, EXACTLY, 1)
	MUST(KVM_CAP_USER_MEMORY, EXACTLY, 1)
	MAY(KVM_CAP_MMU_SHADOW_CACHE_CONTROL, EXACTLY, 1)
	MUST(KVM_CAP_SET_TSS_ADDR, EXACTLY, 1)
	MUST(KVM_CAP_EXT_CPUID, EXACTLY, 1)
	MAY(KVM_CAP_CLOCKSOURCE, EXACTLY, 1)
	MUST(KVM_CAP_NR_VCPUS, AT_LEAST, 1)
	MUST(KVM_CAP_MAX_VCPUS, AT_LEAST, 4)
	MUST(KVM_CAP_MAX_VCPU_ID, AT_LEAST, 4)
	MUST(KVM_CAP_NR_MEMSLOTS, AT_LEAST, 32)
	MAY(KVM_CAP_PIT, EXACTLY, 1)
	MAY(KVM_CAP_NOP_IO_DELAY, EXACTLY, 1)
	MUST(KVM_CAP_MP_STATE, EXACTLY, 1)
	MUST(KVM_CAP_COALESCED_MMIO, EXACTLY, 2)
	MUST(KVM_CAP_SYNC_MMU, EXACTLY, 1)
	MUST(KVM_CAP_DESTROY_MEMORY_REGION_WORKS, EXACTLY, 1)
	MUST(KVM_CAP_USER_NMI, EXACTLY, 1)
	MAY(KVM_CAP_SET_GUEST_DEBUG, EXACTLY, 1)
	MAY(KVM_CAP_REINJECT_CONTROL, EXACTLY, 1)
	MUST(KVM_CAP_IRQ_ROUTING, AT_LEAST, 1024)
	MUST(KVM_CAP_IRQ_INJECT_STATUS, EXACTLY, 1)
	MUST(KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, EXACTLY, 1)
	MUST(KVM_CAP_MCE, AT_LEAST, 10)
	MUST(KVM_CAP_IRQFD, EXACTLY, 1)
	MUST(KVM_CAP_PIT2, EXACTLY, 1)
	MUST(KVM_CAP_SET_BOOT_CPU_ID, EXACTLY, 1)
	MUST(KVM_CAP_PIT_STATE2, EXACTLY, 1)
	MUST(KVM_CAP_IOEVENTFD, EXACTLY, 1)
	MUST(KVM_CAP_SET_IDENTITY_MAP_ADDR, EXACTLY, 1)
	MUST(KVM_CAP_ADJUST_CLOCK, BITS, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)
	MUST(KVM_CAP_INTERNAL_ERROR_DATA, EXACTLY, 1)
	MUST(KVM_CAP_VCPU_EVENTS, EXACTLY, 1)
	MAY(KVM_CAP_PCI_SEGMENT, EXACTLY, 1)
	MAY(KVM_CAP_INTR_SHADOW, EXACTLY, 1)
	MUST(KVM_CAP_DEBUGREGS, EXACTLY, 1)
	MUST(KVM_CAP_X86_ROBUST_SINGLESTEP, EXACTLY, 1)
	MAY(KVM_CAP_ENABLE_CAP, EXACTLY, 1)
	MUST(KVM_CAP_XSAVE, EXACTLY, 1)
	MUST(KVM_CAP_XCRS, EXACTLY, 1)
	MUST(KVM_CAP_GET_TSC_KHZ, EXACTLY, 1)
	MUST(KVM_CAP_TSC_DEADLINE_TIMER, EXACTLY, 1)
	MAY(KVM_CAP_SYNC_REGS, BITS, KVM_SYNC_X86_VALID_FIELDS)
	MAY(KVM_CAP_KVMCLOCK_CTRL, EXACTLY, 1)
	MUST(KVM_CAP_SIGNAL_MSI, EXACTLY, 1)
	MAY(KVM_CAP_READONLY_MEM, EXACTLY, 1)
	MAY(KVM_CAP_IRQFD_RESAMPLE, EXACTLY, 1)
	MAY(KVM_CAP_DEVICE_CTRL, EXACTLY, 1)	/* 0 in Linux 6.1, which has the call */
	MAY(KVM_CAP_IOAPIC_POLARITY_IGNORED, EXACTLY, 1)
	MAY(KVM_CAP_ENABLE_CAP_VM, EXACTLY, 1)
	MAY(KVM_CAP_IOEVENTFD_NO_LENGTH, EXACTLY, 1)
	MAY(KVM_CAP_CHECK_EXTENSION_VM, EXACTLY, 1)
	MUST(KVM_CAP_SPLIT_IRQCHIP, EXACTLY, 1)
	MUST(KVM_CAP_IOEVENTFD_ANY_LENGTH, EXACTLY, 1)
	MAY(KVM_CAP_X2APIC_API, BITS, 3)
	MUST(KVM_CAP_IMMEDIATE_EXIT, EXACTLY, 1)
	MAY(KVM_CAP_GET_MSR_FEATURES, EXACTLY, 1)
	MAY(KVM_CAP_MSR_PLATFORM_INFO, EXACTLY, 1)
	MAY(KVM_CAP_COALESCED_PIO, EXACTLY, 1)
	MAY(KVM_CAP_EXCEPTION_PAYLOAD, EXACTLY, 1)
	MAY(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, BITS, 3)
	MAY(KVM_CAP_STEAL_TIME, EXACTLY, 1)
	MAY(KVM_CAP_X86_USER_SPACE_MSR, AT_LEAST, 1)	/* Linux announces 1, and takes every reason */
	MAY(KVM_CAP_X86_MSR_FILTER, EXACTLY, 1)
	MAY(KVM_CAP_ENFORCE_PV_FEATURE_CPUID, EXACTLY, 1)
	MAY(KVM_CAP_SET_GUEST_DEBUG2, BITS, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |
	    KVM_GUESTDBG_USE_HW_BP)
	MAY(KVM_CAP_DIRTY_LOG_RING, AT_LEAST, 4096)
	MAY(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, AT_LEAST, 4096)
	MAY(KVM_CAP_TSC_CONTROL, EXACTLY, 1)
	MAY(KVM_CAP_VM_TSC_CONTROL, EXACTLY, 1)
	MAY(KVM_CAP_VCPU_ATTRIBUTES, EXACTLY, 1)
	MAY(KVM_CAP_SREGS2, EXACTLY, 1)
	MAY(KVM_CAP_BINARY_STATS_FD, EXACTLY, 1)
	MAY(KVM_CAP_XSAVE2, AT_LEAST, 4096)
	MAY(KVM_CAP_X86_TRIPLE_FAULT_EVENT, EXACTLY, 1)
#undef MUST
#undef MAY
};

static bool cap_value_ok(const struct cap_row *r, long v)
{
	if (!v && !r->must)
		return true;
	switch (r->rule) {
	case EXACTLY:
		return v == r->value;
	case AT_LEAST:
		return v >= r->value;
	default:
		return (v & r->value) == r->value;
	}
}

static void capability_values(void **state)
{
	struct t_vm vm;
	unsigned int i;

	t_vm_create(&vm, T_IRQCHIP);
	for (i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		long sys = T(vm.kvm, KVM_CHECK_EXTENSION, caps[i].cap), own = t_cap(&vm, caps[i].cap);

		if (!cap_value_ok(&caps[i], sys) || !cap_value_ok(&caps[i], own))
			fail_msg("%s: %ld on /dev/kvm, %ld on a VM", caps[i].name, sys, own);
	}
	assert_true(t_cap(&vm, KVM_CAP_NR_VCPUS) <= t_cap(&vm, KVM_CAP_MAX_VCPUS));
	assert_true(t_cap(&vm, KVM_CAP_MAX_VCPUS) <= t_cap(&vm, KVM_CAP_MAX_VCPU_ID));
	t_vm_destroy(&vm);
}

static void unknown_capabilities_are_0(void **state)
{
	struct t_vm vm;

	t_vm_create(&vm, 0);
	assert_int_equal(t_cap(&vm, 0x7fffffff), 0);
	assert_int_equal(t_cap(&vm, ~0UL), 0);
	assert_int_equal(T(vm.kvm, KVM_CHECK_EXTENSION, 0xfff0), 0);
	assert_int_equal(t_cap(&vm, KVM_CAP_MSI_DEVID), 0);	/* clients change their routes if it is not */
	assert_int_equal(t_cap(&vm, KVM_CAP_S390_PSW), 0);
	t_vm_destroy(&vm);
}

static void msr_list_of(unsigned long nr)
{
	struct kvm_msr_list none = { .nmsrs = 0 }, *l;
	int kvm = t_open();
	uint32_t n, i, j;

	t_fails(EFAULT, T(kvm, nr, T_BAD_PTR));
	t_fails(E2BIG, T(kvm, nr, &none));
	n = none.nmsrs;
	assert_in_range(n, 1, 255);
	l = calloc(1, sizeof(*l) + (n + 1) * sizeof(uint32_t));
	l->nmsrs = n - 1;
	t_fails(E2BIG, T(kvm, nr, l));
	assert_int_equal(l->nmsrs, n);
	l->indices[n] = 0xdeadbeef;
	t_ok(T(kvm, nr, l));
	assert_int_equal(l->nmsrs, n);
	assert_int_equal(l->indices[n], 0xdeadbeef);
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			assert_int_not_equal(l->indices[i], l->indices[j]);
	free(l);
	close(kvm);
}

static void msr_index_list(void **state)
{
	msr_list_of(KVM_GET_MSR_INDEX_LIST);
}

static void msr_feature_index_list(void **state)
{
	msr_list_of(KVM_GET_MSR_FEATURE_INDEX_LIST);
}

/* Each listed feature MSR can be read alone; reading stops at the first that is none. */
static void feature_msrs(void **state)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e[2]; } m = { .head.nmsrs = 1 };
	struct { struct kvm_msr_list head; uint32_t index[255]; } l = { .head.nmsrs = 255 };
	int kvm = t_open();
	uint32_t i;

	t_ok(T(kvm, KVM_GET_MSR_FEATURE_INDEX_LIST, &l));
	for (i = 0; i < l.head.nmsrs; i++) {
		m.e[0].index = l.index[i];
		assert_int_equal(T(kvm, KVM_GET_MSRS, &m), 1);
	}
	m.head.nmsrs = 2;
	m.e[1].index = 0x12345678;
	assert_int_equal(T(kvm, KVM_GET_MSRS, &m), 1);
	m.e[0].index = 0x12345678;
	assert_int_equal(T(kvm, KVM_GET_MSRS, &m), 0);
	m.head.nmsrs = 256;
	t_fails(E2BIG, T(kvm, KVM_GET_MSRS, &m));
	m.head.nmsrs = 0;
	assert_int_equal(T(kvm, KVM_GET_MSRS, &m), 0);
	t_fails(EFAULT, T(kvm, KVM_GET_MSRS, T_BAD_PTR));
	close(kvm);
}

static void mce_cap(void **state)
{
	uint64_t cap = ~0ULL;
	int kvm = t_open();

	t_ok(T(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	assert_true(cap & 1 << 8);		/* MCG_CTL_P */
	assert_int_equal(cap >> 32, 0);
	t_fails(EFAULT, T(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, T_BAD_PTR));
	close(kvm);
}

T_MAIN(T_CASE(api_version), T_CASE(vcpu_mmap_size), T_CASE(read_only_is_enough), T_CASE(vm_types),
       T_CASE(foreign_numbers), T_CASE(capability_values), T_CASE(unknown_capabilities_are_0), T_CASE(msr_index_list),
       T_CASE(msr_feature_index_list), T_CASE(feature_msrs), T_CASE(mce_cap))
