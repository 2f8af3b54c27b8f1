/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * shim.h - for the files of the preload library: libc's own functions behind ours, and paths that
 * mean /dev/kvm.
 */
#ifndef LIB_SHIM_H
#define LIB_SHIM_H

#include <stdbool.h>

#define SHIM __attribute__((visibility("default")))

/** The next definition of name after ours, looked up once. */
void *shim_next(void **cache, const char *name);

/* Libc's function of the same name and type as ours. */
#define NEXT(name) ({						\
	static void *next_;					\
	(__typeof__(&name))shim_next(&next_, #name); })

/** Does path, relative to dirfd, lead to /dev/kvm, whether or not that exists? */
bool shim_path_is_kvm(int dirfd, const char *path);

#endif
