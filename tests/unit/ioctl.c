// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The ioctl doors: dispatch by the whole number, errno for bad arguments, capabilities, references,
 * statistics.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "t_core.h"

static int vm_fd, cpu_fd;

static int setup(void **state)
{
	memset(&t_vendor, 0, sizeof(t_vendor));
	vm_fd = t_vm(true);
	cpu_fd = t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 0);
	assert_true(cpu_fd >= 0);
	return 0;
}

static int teardown(void **state)
{
	t_same_owner = true;
	t_fd_close(cpu_fd);
	t_fd_close(vm_fd);
	assert_int_equal(t_vendor.vms, 0);
	assert_int_equal(t_vendor.vcpus, 0);
	assert_int_equal(t_fds_open(), 0);
	return 0;
}

static void test_system(void **state)
{
	assert_int_equal(t_ioctl_n(-1, KVM_GET_API_VERSION, 0), 12);
	assert_int_equal(t_ioctl_n(-1, KVM_GET_API_VERSION, 1), -EINVAL);
	assert_int_equal(t_ioctl_n(-1, KVM_GET_VCPU_MMAP_SIZE, 0), 12288);
	assert_int_equal(t_ioctl_n(-1, KVM_GET_VCPU_MMAP_SIZE, 1), -EINVAL);
	assert_int_equal(t_ioctl_n(-1, KVM_CREATE_VM, 1), -EINVAL);
	assert_int_equal(t_ioctl_n(-1, KVM_RUN, 0), -ENOTTY);
	assert_int_equal(t_ioctl_n(-1, 0, 0), -ENOTTY);
}

/* The same low byte with another class, direction or size is another ioctl, or none. */
static void test_dispatch(void **state)
{
	u64 buf[512] = { 0 };
	u32 nr;

	/* 67, read and write */
	assert_int_equal(t_ioctl(vm_fd, KVM_IRQ_LINE_STATUS, buf), 0);
	/* 67, write */
	assert_int_equal(t_ioctl(vm_fd, KVM_REGISTER_COALESCED_MMIO, buf), 0);
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_VCPU_EVENTS, buf), 0);			/* 9f */
	assert_int_equal(t_ioctl(vm_fd, KVM_GET_VCPU_EVENTS, buf), -ENOTTY);
	assert_int_equal(t_ioctl(vm_fd, KVM_GET_PIT2, buf), -ENXIO);
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_PIT2, buf), -ENOTTY);
	assert_true(t_ioctl_n(cpu_fd, KVM_GET_TSC_KHZ, 0) > 0);				/* a3 */
	assert_int_equal(t_ioctl(cpu_fd, KVM_ENABLE_CAP, buf), -EINVAL);
	assert_int_equal(t_ioctl(vm_fd, KVM_SIGNAL_MSI, buf) < 0, 0);			/* a5 */
	assert_int_equal(t_ioctl(cpu_fd, KVM_SIGNAL_MSI, buf), -ENOTTY);
	/* the size counts */
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_REGS + (8 << _IOC_SIZESHIFT), buf), -ENOTTY);
	/* nothing that is not announced answers */
	assert_int_equal(t_ioctl(vm_fd, KVM_XEN_HVM_CONFIG, buf), -ENOTTY);
	assert_int_equal(t_ioctl(cpu_fd, KVM_S390_NORMAL_RESET, buf), -ENOTTY);
	for (nr = 0; nr < 256; nr++) {
		assert_int_equal(t_ioctl_n(vm_fd, _IO('T', nr), 0), -ENOTTY);
		assert_int_equal(t_ioctl_n(cpu_fd, _IO('T', nr), 0), -ENOTTY);
	}
}

/* Each with a pointer to nowhere. Nothing may change, so the vCPU's registers are compared. */
static void test_bad_pointers(void **state)
{
	static const u32 vm_nrs[] = {
		KVM_SET_USER_MEMORY_REGION, KVM_SET_IDENTITY_MAP_ADDR, KVM_ENABLE_CAP, KVM_IRQ_LINE,
		KVM_IRQ_LINE_STATUS,
		KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_SET_GSI_ROUTING, KVM_IRQFD, KVM_IOEVENTFD,
		KVM_SIGNAL_MSI,
		KVM_CREATE_PIT2, KVM_SET_PIT, KVM_SET_PIT2, KVM_REINJECT_CONTROL, KVM_SET_CLOCK,
		KVM_GET_CLOCK,
		KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, KVM_REGISTER_COALESCED_MMIO,
		KVM_UNREGISTER_COALESCED_MMIO,
		KVM_X86_SET_MSR_FILTER,
	};
	static const u32 cpu_nrs[] = {
		KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_SREGS2,
		KVM_SET_SREGS2, KVM_GET_FPU,
		KVM_SET_FPU, KVM_GET_XSAVE, KVM_GET_XSAVE2, KVM_SET_XSAVE, KVM_GET_XCRS,
		KVM_SET_XCRS, KVM_GET_MSRS,
		KVM_SET_MSRS, KVM_SET_CPUID2, KVM_GET_CPUID2, KVM_GET_LAPIC, KVM_SET_LAPIC,
		KVM_GET_MP_STATE,
		KVM_SET_MP_STATE, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, KVM_GET_DEBUGREGS,
		KVM_SET_DEBUGREGS,
		KVM_ENABLE_CAP, KVM_INTERRUPT, KVM_SET_GUEST_DEBUG, KVM_TRANSLATE,
		KVM_SET_SIGNAL_MASK, KVM_X86_SETUP_MCE,
		KVM_X86_SET_MCE,
	};
	static const u32 sys_nrs[] = {
		KVM_GET_SUPPORTED_CPUID,	KVM_GET_MSR_INDEX_LIST,
		KVM_GET_MSR_FEATURE_INDEX_LIST, KVM_GET_MSRS,
		KVM_X86_GET_MCE_CAP_SUPPORTED,
	};
	static const u64 nowhere[] = { 8, 0xffff800000000000, 0xfffffffffffffff0, 0x7ffffffff000 };
	struct kvm_regs before, after;
	struct kvm_sregs sbefore, safter;
	unsigned int i, n;

	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_REGS, &before), 0);
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_SREGS, &sbefore), 0);
	for (n = 0; n < ARRAY_SIZE(nowhere); n++) {
		for (i = 0; i < ARRAY_SIZE(vm_nrs); i++)
			if (t_ioctl_n(vm_fd, vm_nrs[i], nowhere[n]) != -EFAULT)
				fail_msg("VM ioctl %#x with %#llx", vm_nrs[i], nowhere[n]);
		for (i = 0; i < ARRAY_SIZE(cpu_nrs); i++)
			if (t_ioctl_n(cpu_fd, cpu_nrs[i], nowhere[n]) != -EFAULT)
				fail_msg("vCPU ioctl %#x with %#llx", cpu_nrs[i], nowhere[n]);
		for (i = 0; i < ARRAY_SIZE(sys_nrs); i++)
			if (t_ioctl_n(-1, sys_nrs[i], nowhere[n]) != -EFAULT)
				fail_msg("system ioctl %#x with %#llx", sys_nrs[i], nowhere[n]);
	}
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_REGS, &after), 0);
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_SREGS, &safter), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_memory_equal(&sbefore, &safter, sizeof(sbefore));
}

static void test_other_process(void **state)
{
	struct kvm_regs regs;

	t_same_owner = false;
	assert_int_equal(t_ioctl_n(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP), -EIO);
	assert_int_equal(t_ioctl_n(vm_fd, 0x12345678, 0), -EIO);
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_REGS, &regs), -EIO);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_RUN, 0), -EIO);
	assert_int_equal(t_ioctl_n(-1, KVM_GET_API_VERSION, 0), 12);	/* bound to nobody */
	t_same_owner = true;
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_REGS, &regs), 0);
}

static void test_vcpu_ids(void **state)
{
	int fd[HV_MAX_VCPUS], i;

	assert_int_equal(t_ioctl_n(cpu_fd, KVM_RUN, 1), -EINVAL);
	assert_int_equal(t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 0), -EEXIST);
	assert_int_equal(t_ioctl_n(vm_fd, KVM_CREATE_VCPU, HV_MAX_VCPU_ID), -EINVAL);
	assert_int_equal(t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 1UL << 32), -EINVAL);
	assert_int_equal(t_ioctl_n(vm_fd, KVM_CREATE_IRQCHIP, 0), -EEXIST);
	assert_int_equal(t_ioctl_n(vm_fd, KVM_SET_BOOT_CPU_ID, 1), -EBUSY);
	assert_int_equal(t_ioctl(vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &(u64){ 0 }), -EINVAL);
	assert_int_equal(t_ioctl_n(vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000), 0);
	assert_int_equal(t_ioctl_n(vm_fd, KVM_SET_TSS_ADDR, 0xffffe000), -EINVAL);
	for (i = 1; i < HV_MAX_VCPUS; i++) {
		fd[i] = t_ioctl_n(vm_fd, KVM_CREATE_VCPU, HV_MAX_VCPU_ID - i);
		assert_true(fd[i] >= 0);
	}
	assert_string_equal(t_fd_name(fd[1]), "kvm-vcpu:255");
	assert_int_equal(t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 1), -EINVAL);	/* too many */
	/* closing leaves the vCPU and its id in place */
	for (i = 1; i < HV_MAX_VCPUS; i++)
		t_fd_close(fd[i]);
	assert_int_equal(t_vendor.vcpus, HV_MAX_VCPUS);
	assert_int_equal(t_vm_obj(vm_fd)->nr_vcpus, HV_MAX_VCPUS);
}

static void test_max_vcpu_id_cap(void **state)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_MAX_VCPU_ID, .args = { 4 } };
	int fd = t_vm(false), cpu;

	c.args[0] = HV_MAX_VCPU_ID + 1;
	assert_int_equal(t_ioctl(fd, KVM_ENABLE_CAP, &c), -EINVAL);
	c.args[0] = 4;
	assert_int_equal(t_ioctl(fd, KVM_ENABLE_CAP, &c), 0);
	c.args[0] = 5;
	assert_int_equal(t_ioctl(fd, KVM_ENABLE_CAP, &c), -EINVAL);	/* once */
	assert_int_equal(t_ioctl_n(fd, KVM_CREATE_VCPU, 4), -EINVAL);
	cpu = t_ioctl_n(fd, KVM_CREATE_VCPU, 3);
	assert_true(cpu >= 0);
	assert_int_equal(t_ioctl_n(fd, KVM_CREATE_IRQCHIP, 0), -EINVAL);	/* after a vCPU */
	t_fd_close(fd);
	t_fd_close(cpu);
}

/* A VM lives as long as any descriptor; in any order. */
static void test_references(void **state)
{
	int fd = t_vm(true), cpu = t_ioctl_n(fd, KVM_CREATE_VCPU, 0), stats;
	struct kvm_regs regs;

	stats = t_ioctl_n(cpu, KVM_GET_STATS_FD, 0);
	assert_true(stats >= 0);
	t_fd_close(fd);
	assert_int_equal(t_vendor.vms, 2);
	assert_int_equal(t_ioctl(cpu, KVM_GET_REGS, &regs), 0);
	t_fd_close(cpu);
	assert_int_equal(t_vendor.vms, 2);
	assert_true(core_stats_read(t_fd_obj(stats), &regs, sizeof(regs), 0) > 0);
	t_fd_close(stats);
	assert_int_equal(t_vendor.vms, 1);
	assert_int_equal(t_vendor.vcpus, 1);
}

/* Values that clients compare with, see docs/api-coverage.md. */
static void test_capabilities(void **state)
{
	static const struct { u32 cap, value; } want[] = {
		{ KVM_CAP_USER_MEMORY, 1 }, { KVM_CAP_XCRS, 1 }, { KVM_CAP_TSC_DEADLINE_TIMER, 1 },
		{ KVM_CAP_KVMCLOCK_CTRL, 1 }, { KVM_CAP_READONLY_MEM, 1 }, { KVM_CAP_IMMEDIATE_EXIT, 1 },
		{ KVM_CAP_COALESCED_MMIO, 2 }, { KVM_CAP_MSI_DEVID, 0 }, { KVM_CAP_X2APIC_API, 3 },
		{ KVM_CAP_ADJUST_CLOCK, 14 }, { KVM_CAP_IRQ_ROUTING, 4096 }, { KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
		{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 }, { KVM_CAP_SYNC_REGS, 7 }, { KVM_CAP_XSAVE2, 4096 },
		{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3 }, { KVM_CAP_X86_SMM, 1 }, { KVM_CAP_MULTI_ADDRESS_SPACE, 2 },
		{ KVM_CAP_NESTED_STATE, 128 }, { KVM_CAP_DEVICE_CTRL, 1 }, { KVM_CAP_XEN_HVM, 0 }, { 5, 0 }, { 100000, 0 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(want); i++) {
		if (t_ioctl_n(-1, KVM_CHECK_EXTENSION, want[i].cap) != want[i].value ||
		    t_ioctl_n(vm_fd, KVM_CHECK_EXTENSION, want[i].cap) != want[i].value)
			fail_msg("capability %u", want[i].cap);
	}
	assert_int_equal(t_ioctl_n(vm_fd, KVM_CHECK_EXTENSION, 1UL << 32), 0);
	assert_true(t_ioctl_n(-1, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) >= 32);
	assert_true(t_ioctl_n(-1, KVM_CHECK_EXTENSION, KVM_CAP_MCE) >= 10);
}

static void test_enable_cap(void **state)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .flags = 1 };

	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), -EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_IRQCHIP };
	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), -EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_X2APIC_API, .args = { 4 } };
	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), -EINVAL);
	c.args[0] = 3;
	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), 0);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { 8 } };
	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), -EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_DISABLE_QUIRKS2, .args = { 1 << 20 } };
	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), -EINVAL);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), -EEXIST);
	c = (struct kvm_enable_cap){ .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
	assert_int_equal(t_ioctl(cpu_fd, KVM_ENABLE_CAP, &c), 0);
	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), -EINVAL);
}

static void test_msr_filter(void **state)
{
	struct vm *vm = t_vm_obj(vm_fd);
	static u8 bits[0x600];
	struct kvm_msr_filter f = { .flags = 2 };

	assert_int_equal(t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f), -EINVAL);
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	assert_int_equal(t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f), -EINVAL);	/* denies all */
	f.ranges[3] = (struct kvm_msr_filter_range){ .flags = 4, .nmsrs = 8, .bitmap = bits };
	assert_int_equal(t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f), -EINVAL);
	f.ranges[3].flags = KVM_MSR_FILTER_READ;
	f.ranges[3].nmsrs = 0x600 * 8 + 1;
	assert_int_equal(t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f), -EINVAL);
	f.ranges[3].nmsrs = 0x600 * 8;
	f.ranges[3].bitmap = (u8 *)8;
	assert_int_equal(t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f), -EFAULT);
	assert_true(vm_msr_allowed(vm, 0x10, false));
	f.ranges[3].bitmap = bits;
	f.ranges[3].base = 0x10;
	bits[0] = 1 << 1;
	assert_int_equal(t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f), 0);
	assert_false(vm_msr_allowed(vm, 0x10, false));
	assert_true(vm_msr_allowed(vm, 0x11, false));
	assert_false(vm_msr_allowed(vm, 0x11, true));	/* not of this range's kind: default */
	assert_false(vm_msr_allowed(vm, 0xf, false));
	assert_true(vm_msr_allowed(vm, 0x800, true));
	assert_true(vm_msr_allowed(vm, 0x8ff, false));
	assert_false(vm_msr_allowed(vm, 0x900, false));
	memset(&f, 0, sizeof(f));
	assert_int_equal(t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f), 0);	/* off */
	assert_true(vm_msr_allowed(vm, 0x10, false));
}

static void test_lists(void **state)
{
	struct { struct kvm_cpuid2 c; struct kvm_cpuid_entry2 e[256]; } *cpuid = calloc(1, sizeof(*cpuid));
	struct { struct kvm_msr_list l; u32 index[256]; } list = { .l.nmsrs = 0 };
	struct { struct kvm_msrs m; struct kvm_msr_entry e[256]; } msrs = { .m.nmsrs = 256 };
	u32 n, i;

	cpuid->c.nent = 1;
	assert_int_equal(t_ioctl(-1, KVM_GET_SUPPORTED_CPUID, cpuid), -E2BIG);
	cpuid->c.nent = 100;
	assert_int_equal(t_ioctl(-1, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	assert_true(cpuid->c.nent > 0 && cpuid->c.nent < 100);
	n = cpuid->c.nent;
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_CPUID2, cpuid), 0);
	cpuid->c.nent = n - 1;
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_CPUID2, cpuid), -E2BIG);
	assert_int_equal(cpuid->c.nent, n);
	cpuid->c.nent = 256;
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_CPUID2, cpuid), 0);
	assert_int_equal(cpuid->c.nent, n);
	cpuid->c.nent = 257;
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_CPUID2, cpuid), -E2BIG);
	free(cpuid);

	assert_int_equal(t_ioctl(-1, KVM_GET_MSR_INDEX_LIST, &list), -E2BIG);
	assert_true(list.l.nmsrs > 0 && list.l.nmsrs <= 255);
	n = list.l.nmsrs;
	assert_int_equal(t_ioctl(-1, KVM_GET_MSR_INDEX_LIST, &list), 0);
	assert_int_equal(list.l.nmsrs, n);
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_MSRS, &msrs), -E2BIG);
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_MSRS, &msrs), -E2BIG);
	/* each one reads, and takes what it read */
	msrs.m.nmsrs = n;
	for (i = 0; i < n; i++)
		msrs.e[i].index = list.index[i];
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_MSRS, &msrs), n);
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_MSRS, &msrs), n);
	/* stops at the first it does not know */
	msrs.e[2].index = 0x12345678;
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_MSRS, &msrs), 2);
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_MSRS, &msrs), 2);
	msrs.m.nmsrs = 0;
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_MSRS, &msrs), 0);
}

/*
 * As Linux's kvm_binary_stats_test reads it: blocks in order, aligned, no overlap; any cut gives
 * the same bytes.
 */
static void check_stats(int fd, unsigned int at_least)
{
	int sfd = t_ioctl_n(fd, KVM_GET_STATS_FD, 0);
	static u8 whole[65536], piece[65536];
	struct kvm_stats_header h;
	long size, pos;
	unsigned int i;

	assert_true(sfd >= 0);
	size = core_stats_read(t_fd_obj(sfd), whole, sizeof(whole), 0);
	assert_true(size > (long)sizeof(h));
	memcpy(&h, whole, sizeof(h));
	assert_int_equal(h.flags, 0);
	assert_true(h.num_desc >= at_least);
	assert_int_equal(memcmp(whole + h.id_offset, "kvm", 3), 0);
	assert_true(h.id_offset >= sizeof(h));
	assert_true(h.desc_offset >= h.id_offset + h.name_size);
	assert_true(h.data_offset >=
		    h.desc_offset + h.num_desc * (sizeof(struct kvm_stats_desc) + h.name_size));
	assert_int_equal((h.id_offset | h.desc_offset | h.data_offset) & 7, 0);
	assert_int_equal(size, h.data_offset + h.num_desc * 8);
	for (i = 0; i < h.num_desc; i++) {
		struct kvm_stats_desc *d = (void *)(whole + h.desc_offset +
						    i * (sizeof(*d) + h.name_size));

		assert_true((d->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_MAX);
		assert_true((d->flags & KVM_STATS_UNIT_MASK) <= KVM_STATS_UNIT_MAX);
		assert_int_equal(d->size, 1);
		assert_int_equal(d->offset, i * 8);
		assert_int_equal(d->bucket_size, 0);
		assert_in_range(strnlen(d->name, h.name_size), 1, h.name_size - 1);
	}
	for (pos = 0; pos < size; pos += 7)
		assert_int_equal(core_stats_read(t_fd_obj(sfd), piece + pos, 7, pos),
				 size - pos < 7 ? size - pos : 7);
	assert_memory_equal(whole, piece, size);
	assert_int_equal(core_stats_read(t_fd_obj(sfd), piece, 100, size), 0);
	assert_int_equal(core_stats_read(t_fd_obj(sfd), piece, 100, ~0UL), 0);
	t_fd_close(sfd);
}

static void test_stats(void **state)
{
	check_stats(vm_fd, 2);
	check_stats(cpu_fd, 10);
}

static void test_clock(void **state)
{
	struct kvm_clock_data a, b;
	long khz = t_ioctl_n(cpu_fd, KVM_GET_TSC_KHZ, 0);

	assert_int_equal(t_ioctl(vm_fd, KVM_GET_CLOCK, &a), 0);
	assert_true(a.clock < 60UL * 1000000000);	/* begins at 0 */
	assert_int_equal(a.flags & KVM_CLOCK_REALTIME, KVM_CLOCK_REALTIME);
	a = (struct kvm_clock_data){ .clock = 5000000000000, .flags = 1 };
	assert_int_equal(t_ioctl(vm_fd, KVM_SET_CLOCK, &a), -EINVAL);
	a.flags = 0;
	assert_int_equal(t_ioctl(vm_fd, KVM_SET_CLOCK, &a), 0);
	assert_int_equal(t_ioctl(vm_fd, KVM_GET_CLOCK, &b), 0);
	assert_in_range(b.clock, 5000000000000, 5010000000000);
	assert_true(vcpu_has_request(t_vcpu_obj(cpu_fd), REQ_CLOCK_UPDATE));
	/* taken 100 s ago */
	a.realtime = b.realtime - 100000000000;
	a.flags = KVM_CLOCK_REALTIME;
	assert_int_equal(t_ioctl(vm_fd, KVM_SET_CLOCK, &a), 0);
	assert_int_equal(t_ioctl(vm_fd, KVM_GET_CLOCK, &b), 0);
	assert_in_range(b.clock, 5100000000000, 5110000000000);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_SET_TSC_KHZ, khz), 0);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_SET_TSC_KHZ, 0), -EINVAL);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_SET_TSC_KHZ, ~0UL), -EINVAL);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_SET_TSC_KHZ, 1UL << 31), -EINVAL);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_SET_TSC_KHZ, khz / 2), 0);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_GET_TSC_KHZ, 0), khz / 2);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_KVMCLOCK_CTRL, 0), -EINVAL);	/* not in use */
}

static void test_irqchip_state(void **state)
{
	struct kvm_irqchip chip = { .chip_id = 3 };
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_pit_state2 ps;
	struct kvm_irq_level line = { .irq = 4, .level = 1 };
	struct kvm_interrupt irq = { .irq = 0x30 };
	int bare = t_vm(false);

	assert_int_equal(t_ioctl(vm_fd, KVM_GET_IRQCHIP, &chip), -EINVAL);
	assert_int_equal(t_ioctl(vm_fd, KVM_SET_IRQCHIP, &chip), -EINVAL);
	for (chip.chip_id = 0; chip.chip_id < 3; chip.chip_id++) {
		assert_int_equal(t_ioctl(vm_fd, KVM_GET_IRQCHIP, &chip), 0);
		assert_int_equal(t_ioctl(vm_fd, KVM_SET_IRQCHIP, &chip), 0);
	}
	chip.chip_id = 0;
	assert_int_equal(t_ioctl(bare, KVM_GET_IRQCHIP, &chip), -ENXIO);
	assert_int_equal(t_ioctl(bare, KVM_IRQ_LINE, &line), -ENXIO);
	assert_int_equal(t_ioctl(bare, KVM_CREATE_PIT2, &pit), -ENOENT);
	assert_int_equal(t_ioctl(vm_fd, KVM_GET_PIT2, &ps), -ENXIO);
	assert_int_equal(t_ioctl(vm_fd, KVM_CREATE_PIT2, &pit), 0);
	assert_int_equal(t_ioctl(vm_fd, KVM_CREATE_PIT2, &pit), -EEXIST);
	assert_int_equal(t_ioctl(vm_fd, KVM_GET_PIT2, &ps), 0);
	assert_int_equal(t_ioctl(vm_fd, KVM_SET_PIT2, &ps), 0);
	assert_int_equal(t_ioctl(vm_fd, KVM_IRQ_LINE, &line), 0);
	assert_int_equal(t_ioctl(cpu_fd, KVM_INTERRUPT, &irq), -ENXIO);
	irq.irq = 256;
	assert_int_equal(t_ioctl(cpu_fd, KVM_INTERRUPT, &irq), -EINVAL);
	t_fd_close(bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_system, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dispatch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_pointers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vcpu_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_vcpu_id_cap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_references, setup, teardown),
		cmocka_unit_test_setup_teardown(test_capabilities, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enable_cap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_msr_filter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_irqchip_state, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
