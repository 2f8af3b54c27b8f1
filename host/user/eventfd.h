/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* eventfd.h - what eventfd.c and eventwatch.c know of each other; /proc, for vfio.c as well. */
#ifndef HOST_USER_EVENTFD_H
#define HOST_USER_EVENTFD_H

#include "../types.h"

#define F_DUPFD_CLOEXEC_CMD	1030
#define FDINFO_SIZE		512
#define PROC_LINK_SIZE		64

struct host_eventfd {
	int fd;			/* our own duplicate */
	int client_fd;
	u64 id;			/* the kernel's number for the eventfd, 0 if it does not tell */
	u32 refs;
};

/** What follows the first occurrence of what in s (both NUL-terminated), or NULL. */
const char *host_proc_find(const char *s, const char *what);
/** Where /proc/self/fd/fd leads, NUL-terminated, cut to its size. False: not to be read. */
bool host_proc_link(int fd, char link[PROC_LINK_SIZE]);
/** The beginning of /proc/self/fdinfo/fd, NUL-terminated. False: not to be read. */
bool host_proc_fdinfo(int fd, char text[FDINFO_SIZE]);
/** The kernel's number of fd's eventfd plus one, or 0. It may come back when that is closed. */
u64 host_eventfd_kernel_id(int fd);

#endif
