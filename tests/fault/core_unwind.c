// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Every allocation, descriptor and vendor call on the way of a VM, a vCPU, a memory slot and the
 * smaller objects fails once; nothing may be left behind, and the same call must work right after.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <cmocka.h>
#include "t_core.h"
#include "../../host/user/fail.h"

#define MAX_POSITIONS	64

static const char *const kinds[] = { "alloc", "pages", "fd", "shared", "eventfd" };

static int vm_fd, event;

/*
 * Mapped pages of this process: a leak of pages shows here, one of small objects in the sanitizer's
 * report.
 */
static long mapped(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	assert_int_equal(fscanf(f, "%ld", &pages), 1);
	fclose(f);
	return pages;
}

/* An operation that gives a descriptor or 0, and its undoing. */
struct op {
	const char *name;
	long (*try)(void);
	void (*undo)(long ret);
};

static long try_vm(void)
{
	return t_ioctl_n(-1, KVM_CREATE_VM, 0);
}

static void undo_fd(long fd)
{
	t_fd_close(fd);
}

static long try_vm_with_irqchip(void)
{
	long fd = try_vm(), ret;

	if (fd < 0)
		return fd;
	ret = t_ioctl_n(fd, KVM_CREATE_IRQCHIP, 0);
	if (ret < 0) {
		t_fd_close(fd);
		return ret;
	}
	return fd;
}

/* A vCPU is for the life of its VM, so each attempt has one of its own. */
static long try_vcpu_of(bool irqchip)
{
	long fd = irqchip ? try_vm_with_irqchip() : try_vm(), cpu;

	if (fd < 0)
		return fd;
	cpu = t_ioctl_n(fd, KVM_CREATE_VCPU, 0);
	t_fd_close(fd);		/* the vCPU's descriptor keeps the VM */
	return cpu;
}

static long try_vcpu(void)
{
	return try_vcpu_of(false);
}

static long try_vcpu_with_lapic(void)
{
	return try_vcpu_of(true);
}

static long try_slot(void)
{
	return t_set_slot(vm_fd, 3, 0x100000, 0x10000, (void *)0x10000000, KVM_MEM_LOG_DIRTY_PAGES);
}

static void undo_slot(long ret)
{
	assert_int_equal(t_set_slot(vm_fd, 3, 0, 0, NULL, 0), 0);
}

/* Switching the log on allocates; the slot must stay as it was if that fails. */
static long try_log(void)
{
	long ret = t_set_slot(vm_fd, 0, 0, 0x10000, (void *)0x20000000, KVM_MEM_LOG_DIRTY_PAGES);

	if (ret)
		assert_int_equal(t_vm_obj(vm_fd)->memslots[0]->slot[0].flags, 0);
	return ret;
}

static void undo_log(long ret)
{
	assert_int_equal(t_set_slot(vm_fd, 0, 0, 0x10000, (void *)0x20000000, 0), 0);
}

static long irqfd(u32 flags)
{
	struct kvm_irqfd a = { .fd = event, .gsi = 5, .flags = flags, .resamplefd = event };

	return t_ioctl(vm_fd, KVM_IRQFD, &a);
}

static long try_irqfd(void)
{
	return irqfd(KVM_IRQFD_FLAG_RESAMPLE);
}

static void undo_irqfd(long ret)
{
	assert_int_equal(irqfd(KVM_IRQFD_FLAG_DEASSIGN), 0);
}

static long ioeventfd(u32 flags)
{
	struct kvm_ioeventfd a = { .fd = event, .addr = 0x1000, .len = 4, .flags = flags };

	return t_ioctl(vm_fd, KVM_IOEVENTFD, &a);
}

static long try_ioeventfd(void)
{
	return ioeventfd(0);
}

static void undo_ioeventfd(long ret)
{
	assert_int_equal(ioeventfd(KVM_IOEVENTFD_FLAG_DEASSIGN), 0);
}

static long try_zone(void)
{
	struct kvm_coalesced_mmio_zone z = { .addr = 0x1000, .size = 0x1000 };

	return t_ioctl(vm_fd, KVM_REGISTER_COALESCED_MMIO, &z);
}

static void undo_zone(long ret)
{
	struct kvm_coalesced_mmio_zone z = { .addr = 0x1000, .size = 0x1000 };

	assert_int_equal(t_ioctl(vm_fd, KVM_UNREGISTER_COALESCED_MMIO, &z), 0);
}

static long try_msr_filter(void)
{
	static u8 bits[16];
	struct kvm_msr_filter f = {
		.ranges = {
			{ .flags = KVM_MSR_FILTER_READ, .nmsrs = 100, .base = 0x10, .bitmap = bits },
			{ .flags = KVM_MSR_FILTER_WRITE, .nmsrs = 100, .base = 0xc0000080, .bitmap = bits },
		},
	};

	return t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f);
}

static void undo_msr_filter(long ret)
{
	struct kvm_msr_filter f = { .flags = 0 };

	assert_int_equal(t_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f), 0);
}

static long try_routing(void)
{
	struct { struct kvm_irq_routing r; struct kvm_irq_routing_entry e[2]; } t = {
		.r.nr = 2,
		.e = {
			{ .gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 1 } },
			{ .gsi = 30, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_lo = 0xfee00000, .data = 0x41 } },
		},
	};

	return t_ioctl(vm_fd, KVM_SET_GSI_ROUTING, &t);
}

static void undo_nothing(long ret)
{
}

static long try_stats(void)
{
	return t_ioctl_n(vm_fd, KVM_GET_STATS_FD, 0);
}

static long try_device(void)
{
	struct kvm_create_device c = { .type = KVM_DEV_TYPE_VFIO };
	long ret = t_ioctl(vm_fd, KVM_CREATE_DEVICE, &c);

	return ret ? ret : c.fd;
}

static const struct op ops[] = {
	{ "KVM_CREATE_VM", try_vm, undo_fd },
	{ "KVM_CREATE_IRQCHIP", try_vm_with_irqchip, undo_fd },
	{ "KVM_CREATE_VCPU", try_vcpu, undo_fd },
	{ "KVM_CREATE_VCPU with a local APIC", try_vcpu_with_lapic, undo_fd },
	{ "KVM_SET_USER_MEMORY_REGION, new", try_slot, undo_slot },
	{ "KVM_SET_USER_MEMORY_REGION, log on", try_log, undo_log },
	{ "KVM_IRQFD", try_irqfd, undo_irqfd },
	{ "KVM_IOEVENTFD", try_ioeventfd, undo_ioeventfd },
	{ "KVM_REGISTER_COALESCED_MMIO", try_zone, undo_zone },
	{ "KVM_X86_SET_MSR_FILTER", try_msr_filter, undo_msr_filter },
	{ "KVM_SET_GSI_ROUTING", try_routing, undo_nothing },
	{ "KVM_GET_STATS_FD", try_stats, undo_fd },
	{ "KVM_CREATE_DEVICE", try_device, undo_fd },
};

static bool expected(long ret)
{
	return ret == -ENOMEM || ret == -EMFILE;
}

/* Fail the call number pos of a kind. False: the operation makes no more calls of it. */
static bool fail_at(const struct op *op, const char *kind, unsigned int pos)
{
	unsigned int open = t_fds_open(), vcpus = t_vendor.vcpus, vms = t_vendor.vms,
		     shared = t_shared;
	char script[MAX_POSITIONS + 16];
	long ret;

	snprintf(script, sizeof(script), "%s:%.*sf", kind, (int)pos,
		 "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss");
	assert_int_equal(host_fail_script(script), 0);
	ret = op->try();
	host_fail_script(NULL);
	if (ret >= 0) {
		op->undo(ret);
		return false;
	}
	if (!expected(ret))
		fail_msg("%s, %s: %ld", op->name, script, ret);
	if (t_fds_open() != open || t_vendor.vcpus != vcpus || t_vendor.vms != vms ||
	    t_shared != shared)
		fail_msg("%s, %s: something is left", op->name, script);
	ret = op->try();
	if (ret < 0)
		fail_msg("%s after %s: %ld", op->name, script, ret);
	op->undo(ret);
	return true;
}

static void each_position(void)
{
	unsigned int i, k, pos, paths = 0;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		for (k = 0; k < ARRAY_SIZE(kinds); k++) {
			for (pos = 0; fail_at(&ops[i], kinds[k], pos); pos++)
				if (pos == MAX_POSITIONS - 1)
					fail_msg("%s: no end of %s", ops[i].name, kinds[k]);
			paths += pos;
		}
	}
	print_message("%u ways to fail\n", paths);
	assert_true(paths > 40);
}

static void test_host_failures(void **state)
{
	long before;

	each_position();	/* the allocator's chunks, stacks of the library: here now */
	before = mapped();
	each_position();
	/* A sanitizer maps memory of its own; it reports leaks itself. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_int_equal(mapped(), before);
#else
	(void)before;
#endif
}

/* Taking an ioeventfd or a zone away needs a new table: without memory it stays. */
static void test_removal_fails(void **state)
{
	assert_int_equal(ioeventfd(0), 0);
	assert_int_equal(host_fail_script("alloc:f"), 0);
	assert_int_equal(ioeventfd(KVM_IOEVENTFD_FLAG_DEASSIGN), -ENOMEM);
	host_fail_script(NULL);
	assert_int_equal(ioeventfd(0), -EEXIST);
	undo_ioeventfd(0);
	assert_int_equal(try_slot(), 0);
	assert_int_equal(host_fail_script("alloc:f"), 0);
	assert_int_equal(t_set_slot(vm_fd, 3, 0, 0, NULL, 0), -ENOMEM);
	host_fail_script(NULL);
	assert_non_null(memslot_find(t_vm_obj(vm_fd)->memslots[0], 0x100));
	undo_slot(0);
}

static void test_vendor_failures(void **state)
{
	unsigned int vms = t_vendor.vms, enabled = t_vendor.enabled;
	long fd;

	t_vendor.vm_init = -ENOSPC;
	assert_int_equal(try_vm(), -ENOSPC);
	assert_int_equal(t_vendor.enabled, enabled);
	t_vendor.vm_init = 0;
	t_vendor.vcpu_create = -EBUSY;
	assert_int_equal(try_vcpu_with_lapic(), -EBUSY);
	assert_int_equal(t_vendor.vms, vms);
	fd = try_vm();
	assert_int_equal(t_ioctl_n(fd, KVM_CREATE_VCPU, 7), -EBUSY);
	t_vendor.vcpu_create = 0;
	undo_fd(t_ioctl_n(fd, KVM_CREATE_VCPU, 7));	/* the id was not used up */
	assert_int_equal(t_ioctl_n(fd, KVM_CREATE_VCPU, 7), -EEXIST);
	t_fd_close(fd);
	assert_int_equal(t_vendor.vms, vms);
}

/* Switched on for the first VM, off with the last. */
static void test_hardware_enable(void **state)
{
	long a, b;

	t_fd_close(vm_fd);
	assert_int_equal(t_vendor.enabled, 0);
	t_vendor.cpu_enable = -EIO;
	assert_int_equal(try_vm(), -EIO);
	t_vendor.cpu_enable = 0;
	a = try_vm();
	assert_int_equal(t_vendor.enabled, 1);
	b = try_vm();
	assert_int_equal(t_vendor.enabled, 1);
	t_fd_close(a);
	assert_int_equal(t_vendor.enabled, 1);
	t_fd_close(b);
	assert_int_equal(t_vendor.enabled, 0);
	vm_fd = t_vm(true);
}

static int group_setup(void **state)
{
	vm_fd = t_vm(true);
	event = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(t_set_slot(vm_fd, 0, 0, 0x10000, (void *)0x20000000, 0), 0);
	return 0;
}

static int group_teardown(void **state)
{
	t_fd_close(vm_fd);
	close(event);
	return t_vendor.vms || t_vendor.vcpus || t_vendor.enabled || t_shared || t_fds_open();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_failures),
		cmocka_unit_test(test_removal_fails),
		cmocka_unit_test(test_vendor_failures),
		cmocka_unit_test(test_hardware_enable),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
