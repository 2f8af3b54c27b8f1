/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * kvmapi.h - the only door to KVM: four calls, once by libanykvm, once by the kernel's system
 * calls. The rest of the VMM cannot tell which of the two it runs on.
 */
#ifndef VMM_KVMAPI_H
#define VMM_KVMAPI_H

#include <stddef.h>

struct kvm_calls {
	/* The KVM device: a descriptor or -errno. @path is the device node; libanykvm has none and
	 * ignores it. */
	int (*open)(const char *path);
	/* The ioctl's result, or -errno. */
	int (*ioctl)(int fd, unsigned long request, unsigned long arg);
	/* A vCPU descriptor's shared area, or MAP_FAILED. Given back by munmap(). */
	void *(*mmap)(int fd, size_t len, long offset);
	/* 0 or -errno */
	int (*close)(int fd);
};

/* kvm_anykvm.c: libanykvm, in this process */
extern const struct kvm_calls kvm_calls_anykvm;
/* kvm_kernel.c: a device node such as /dev/kvm */
extern const struct kvm_calls kvm_calls_kernel;

#endif
