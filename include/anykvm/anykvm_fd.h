/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * anykvm_fd.h - AnyKVM at the level of file descriptors: the four calls a KVM program makes,
 * without /dev/kvm.
 *
 * A program replaces open("/dev/kvm"), ioctl(), mmap() and close() on KVM descriptors by these and
 * changes nothing else. All descriptors are real ones of the kernel (they can be polled,
 * duplicated, passed to fork's child, and mapped). Link with -lanykvm.
 */
#ifndef ANYKVM_FD_H
#define ANYKVM_FD_H

#include <stddef.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ANYKVM_API __attribute__((visibility("default")))

/** As open("/dev/kvm", O_RDWR | O_CLOEXEC): a system descriptor, or -errno. */
ANYKVM_API int anykvm_open(void);

/** As ioctl(): result or -errno (not -1 and errno). @arg as a KVM program passes it: a pointer or a
 * number.
 * -EBADF if fd is not ours. */
ANYKVM_API int anykvm_ioctl(int fd, unsigned long request, unsigned long arg);

/** As mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset) of a vCPU descriptor; the
 * address, or (void *)-1. A plain mmap() of the descriptor works as well. */
ANYKVM_API void *anykvm_mmap(int fd, size_t len, long offset);

/** As close(). A plain close() works as well, but the VM's memory is given back only by the last one
 * through here or at the next anykvm call. 0 or -errno. */
ANYKVM_API int anykvm_close(int fd);

/** Is fd one of ours? */
ANYKVM_API bool anykvm_is_ours(int fd);

/** A signal handler that wants to end KVM_RUN on its own thread calls this, if it was installed
 * after the last KVM_CREATE_VCPU (earlier ones are noticed without it). Async-signal-safe; does
 * nothing outside KVM_RUN. */
ANYKVM_API void anykvm_signal_ran(void);

/** "soft", "vmx" or "svm": the vendor anykvm_open() would use here, and one line of text why. */
ANYKVM_API const char *anykvm_vendor(const char **why);

/** Version, as in `anykvm --version`. */
ANYKVM_API const char *anykvm_version(void);

#ifdef __cplusplus
}
#endif
#endif
