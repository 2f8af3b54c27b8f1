/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * VFIO groups: which names are theirs, and the list that a VM's device keeps. /dev/null and /dev/zero stand for groups here;
 * tests/api/device_ctrl.c has real ones where there are any.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "t_core.h"
#include "host/user/eventfd.h"

static bool t_link(int fd, char link[PROC_LINK_SIZE])
{
	if (!host_proc_link(fd, link))
		return false;
	if (!strcmp(link, "/dev/null") || !strcmp(link, "/dev/zero"))
		strcpy(link, "/dev/vfio/12");
	return true;
}

#define host_proc_link t_link
#include "host/user/vfio.c"

static void test_names(void **state)
{
	static const char *const good[] = {
		"/dev/vfio/0", "/dev/vfio/7", "/dev/vfio/1234567890", "/dev/vfio/noiommu-0", "/dev/vfio/noiommu-31",
	};
	static const char *const bad[] = {
		"", "/", "/dev/vfio", "/dev/vfio/", "/dev/vfio/vfio", "/dev/vfio/7a", "/dev/vfio/a7", "/dev/vfio/-7", "/dev/vfio//7",
		"/dev/vfio/7/", "/dev/vfio/7 (deleted)", "/dev/vfio/noiommu-", "/dev/vfio/noiommu-x", "/dev/vfio/noiommu",
		"/dev/vfio/noiommu-noiommu-1", "/dev/vfio/devices/vfio0", "dev/vfio/7", " /dev/vfio/7", "/tmp/dev/vfio/7",
		"/tmp/dev/vfio/", "/memfd:/dev/vfio/7 (deleted)", "/dev/vfiox/7",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		if (!host_vfio_is_group_name(good[i]))
			fail_msg("%s", good[i]);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (host_vfio_is_group_name(bad[i]))
			fail_msg("%s", bad[i]);
}

static void test_files(void **state)
{
	int null = open("/dev/null", O_RDWR), again = open("/dev/null", O_RDONLY), zero = open("/dev/zero", O_RDWR);
	int path = open("/dev/null", O_PATH), full = open("/dev/full", O_RDWR), text = memfd_create("/dev/vfio/1", 0);
	u64 id = 0, other = 0;

	assert_int_equal(host_vfio_group_id(null, &id), 0);
	assert_int_equal(host_vfio_group_id(again, &other), 0);
	assert_int_equal(id, other);
	assert_int_equal(host_vfio_group_id(zero, &other), 0);
	assert_int_not_equal(id, other);
	assert_int_equal(host_vfio_group_id(full, &id), -EINVAL);
	assert_int_equal(host_vfio_group_id(text, &id), -EINVAL);
	assert_int_equal(host_vfio_group_id(path, &id), -EBADF);
	close(null);
	assert_int_equal(host_vfio_group_id(null, &id), -EBADF);
	assert_int_equal(host_vfio_group_id(-1, &id), -EBADF);
	close(again);
	close(zero);
	close(path);
	close(full);
	close(text);
}

static unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static long set(long dev, u64 attr, s32 fd)
{
	struct kvm_device_attr a = { .group = KVM_DEV_VFIO_GROUP, .attr = attr, .addr = (u64)&fd };

	return t_ioctl((int)dev, KVM_SET_DEVICE_ATTR, &a);
}

#define add(dev, fd)	set(dev, KVM_DEV_VFIO_GROUP_ADD, fd)
#define del(dev, fd)	set(dev, KVM_DEV_VFIO_GROUP_DEL, fd)

static void test_list(void **state)
{
	struct kvm_create_device c = { .type = KVM_DEV_TYPE_VFIO };
	int vm = t_vm(false), null, zero, copy, full;
	unsigned int before;
	long dev;

	assert_int_equal(t_ioctl(vm, KVM_CREATE_DEVICE, &c), 0);
	dev = c.fd;
	assert_string_equal(t_fd_name((int)dev), "kvm-vfio");
	before = open_files();
	null = open("/dev/null", O_RDWR);
	zero = open("/dev/zero", O_RDWR);
	full = open("/dev/full", O_RDWR);
	copy = dup(null);
	assert_int_equal(del(dev, null), -ENOENT);
	assert_int_equal(add(dev, full), -EINVAL);
	assert_int_equal(del(dev, full), -ENOENT);
	assert_int_equal(add(dev, null), 0);
	assert_int_equal(add(dev, null), -EEXIST);
	assert_int_equal(add(dev, copy), -EEXIST);
	assert_int_equal(add(dev, zero), 0);
	assert_int_equal(add(dev, zero), -EEXIST);
	assert_int_equal(open_files(), before + 6);	/* the client's and two of ours */
	assert_int_equal(del(dev, copy), 0);
	assert_int_equal(del(dev, null), -ENOENT);
	assert_int_equal(add(dev, null), 0);
	assert_int_equal(del(dev, zero), 0);
	assert_int_equal(add(dev, zero), 0);
	close(null);
	close(zero);
	close(full);
	close(copy);
	assert_int_equal(open_files(), before + 2);
	/* the VM's end and the list's are the device's */
	t_fd_close(vm);
	assert_int_equal(t_vendor.vms, 1);
	t_fd_close((int)dev);
	assert_int_equal(open_files(), before);
	assert_int_equal(t_vendor.vms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
