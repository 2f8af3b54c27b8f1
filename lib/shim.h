/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * shim.h - for the files of the preload library: libc's own functions behind ours, and paths that
 * mean /dev/kvm.
 */
#ifndef LIB_SHIM_H
#define LIB_SHIM_H

#include <stdbool.h>
#include <stddef.h>

#define SHIM __attribute__((visibility("default")))

/** The next definition of name after ours, looked up once. */
void *shim_next(void **cache, const char *name);

/* Libc's function of the same name and type as ours. */
#define NEXT(name) ({						\
	static void *next_;					\
	(__typeof__(&name))shim_next(&next_, #name); })

/** Does path, relative to dirfd, lead to /dev/kvm, whether or not that exists? */
bool shim_path_is_kvm(int dirfd, const char *path);
/**
 * After a call on path that failed: is it a symbolic link that leads to /dev/kvm? Decides by errno
 * first, and leaves that as it is.
 */
bool shim_link_is_kvm(int dirfd, const char *path);
/** Is fd, just opened, the kernel's /dev/kvm? */
bool shim_fd_is_device(int fd);

/** rt_sigaction and rt_sigprocmask as the kernel takes them, of a client that calls them by number:
 * -1 and errno. */
long shim_rt_sigaction(int sig, const void *new, void *old, size_t size);
long shim_rt_sigprocmask(int how, const void *set, void *old, size_t size);

#endif
