// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* kvm_kernel.c - KVM by a device node of the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvmapi.h"

static int calls_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int calls_ioctl(int fd, unsigned long request, unsigned long arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static void *calls_mmap(int fd, size_t len, long offset)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

static int calls_close(int fd)
{
	return close(fd) ? -errno : 0;
}

const struct kvm_calls kvm_calls_kernel = {
	.open = calls_open, .ioctl = calls_ioctl, .mmap = calls_mmap, .close = calls_close,
};
