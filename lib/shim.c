/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * shim.c - preloaded into a program that uses /dev/kvm: open() of it, ioctl() on what comes of
 * that, writes that raise interrupts, and the calls by which descriptors are duplicated and closed.
 * Everything else goes to libc as it is; mmap() needs nothing but the refusals of a kernel, for the descriptors are real.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include "anykvm/anykvm_fd.h"
#include "../host/user/sys.h"
#include "fd.h"
#include "shim.h"
#include "../host/user/user.h"

void *shim_next(void **cache, const char *name)
{
	void *f = host_load_relaxed(cache);

	if (!f) {
		f = dlsym(RTLD_NEXT, name);
		host_store_relaxed(cache, f);
	}
	return f;
}

/* ---- open ---- */

static int error(int err)
{
	errno = err;
	return -1;
}

/* As the kernel's open() of the device with these flags. */
static int open_kvm(int flags)
{
	int fd;

	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return error(EEXIST);
	if (flags & O_DIRECTORY)
		return error(ENOTDIR);
	fd = anykvm_open();
	if (fd < 0)
		return error(-fd);
	if (!(flags & O_CLOEXEC))
		NEXT(fcntl)(fd, F_SETFD, 0);
	return fd;
}

/*
 * fd is what libc made of path: was that the device by another name (a link, a node made elsewhere),
 * or would it have been if there were one?
 */
static int opened(int fd, int dirfd, const char *path, int flags)
{
	if (fd >= 0) {
		if ((flags & O_PATH) || !shim_fd_is_device(fd))
			return fd;
		NEXT(close)(fd);
		return open_kvm(flags);
	}
	if ((flags & O_NOFOLLOW) || !shim_link_is_kvm(dirfd, path))
		return fd;
	return open_kvm(flags);
}

static bool takes_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* The third or fourth argument of an open call, if its flags say that there is one. */
#define OPEN_MODE(flags) ({				\
	mode_t mode_ = 0;				\
	if (takes_mode(flags)) {			\
		va_list ap_;				\
		va_start(ap_, flags);			\
		mode_ = va_arg(ap_, mode_t);		\
		va_end(ap_);				\
	}						\
	mode_; })

/* Ours if the path says so, else libc's call, whose result may still be the device. */
#define OPEN(dirfd, path, flags, call)						\
	(shim_path_is_kvm(dirfd, path) ? open_kvm(flags) : opened(call, dirfd, path, flags))

SHIM int open(const char *path, int flags, ...)
{
	return OPEN(AT_FDCWD, path, flags, NEXT(open)(path, flags, OPEN_MODE(flags)));
}

SHIM int open64(const char *path, int flags, ...)
{
	return OPEN(AT_FDCWD, path, flags, NEXT(open64)(path, flags, OPEN_MODE(flags)));
}

SHIM int openat(int dirfd, const char *path, int flags, ...)
{
	return OPEN(dirfd, path, flags, NEXT(openat)(dirfd, path, flags, OPEN_MODE(flags)));
}

SHIM int openat64(int dirfd, const char *path, int flags, ...)
{
	return OPEN(dirfd, path, flags, NEXT(openat64)(dirfd, path, flags, OPEN_MODE(flags)));
}

SHIM int creat(const char *path, mode_t mode)
{
	return OPEN(AT_FDCWD, path, O_CREAT, NEXT(creat)(path, mode));
}

SHIM int creat64(const char *path, mode_t mode)
{
	return OPEN(AT_FDCWD, path, O_CREAT, NEXT(creat64)(path, mode));
}

/* What programs built with _FORTIFY_SOURCE call when no mode is given. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

SHIM int __open_2(const char *path, int flags)
{
	return OPEN(AT_FDCWD, path, flags, NEXT(__open_2)(path, flags));
}

SHIM int __open64_2(const char *path, int flags)
{
	return OPEN(AT_FDCWD, path, flags, NEXT(__open64_2)(path, flags));
}

SHIM int __openat_2(int dirfd, const char *path, int flags)
{
	return OPEN(dirfd, path, flags, NEXT(__openat_2)(dirfd, path, flags));
}

SHIM int __openat64_2(int dirfd, const char *path, int flags)
{
	return OPEN(dirfd, path, flags, NEXT(__openat64_2)(dirfd, path, flags));
}

/* ---- ioctl ---- */

SHIM int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list ap;
	int ret;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (_IOC_TYPE(request) != KVMIO)
		return NEXT(ioctl)(fd, request, arg);
	ret = anykvm_ioctl(fd, request, arg);
	if (ret >= 0)
		return ret;
	/* -EBADF may be an answer, or mean that the descriptor is somebody else's */
	if (ret == -EBADF && !anykvm_is_ours(fd))
		return NEXT(ioctl)(fd, request, arg);
	errno = -ret;
	return -1;
}

/* ---- mmap: only vCPUs have something to map; their dirty ring is for sharing, not for executing ---- */

#define RING_OFFSET	((u64)KVM_DIRTY_LOG_PAGE_OFFSET * HV_PAGE_SIZE)

/*
 * The system call itself, as libc's does nothing else: allocators map memory before dlsym() may be
 * called.
 */
static void *do_mmap(void *addr, size_t len, int prot, int flags, int fd, u64 offset)
{
	enum fd_kind kind = (flags & MAP_ANONYMOUS) ? FD_NONE : fd_kind_now(fd);
	long ret = -EINVAL;

	if (kind != FD_NONE && kind != FD_VCPU)
		ret = -ENODEV;
	else if (kind == FD_NONE || offset + len <= RING_OFFSET || ((flags & MAP_SHARED) && !(prot & PROT_EXEC)))
		ret = sys6(__NR_mmap, (u64)addr, len, (u64)prot, (u64)flags, (u64)fd, offset);
	if (!sys_is_err(ret))
		return (void *)ret;
	errno = (int)-ret;
	return MAP_FAILED;
}

SHIM void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return do_mmap(addr, len, prot, flags, fd, (u64)offset);
}

SHIM void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	return do_mmap(addr, len, prot, flags, fd, (u64)offset);
}

/* ---- read: statistics descriptors ---- */

SHIM ssize_t read(int fd, void *buf, size_t n)
{
	if (fd_has_entry(fd))
		fd_stats_refresh(fd);
	return NEXT(read)(fd, buf, n);
}

SHIM ssize_t pread(int fd, void *buf, size_t n, off_t pos)
{
	if (fd_has_entry(fd))
		fd_stats_refresh(fd);
	return NEXT(pread)(fd, buf, n, pos);
}

SHIM ssize_t pread64(int fd, void *buf, size_t n, off64_t pos)
{
	if (fd_has_entry(fd))
		fd_stats_refresh(fd);
	return NEXT(pread64)(fd, buf, n, pos);
}

/* ---- write: signals for irqfds ---- */

/* Found before any signal handler runs: it may call write(), but not dlsym(). */
static void *next_write;

static __attribute__((constructor)) void find_write(void)
{
	shim_next(&next_write, "write");
}

SHIM ssize_t write(int fd, const void *buf, size_t n)
{
	if (n == sizeof(eventfd_t) && unlikely(host_eventfd_maybe_watched(fd)) && host_eventfd_write(fd, buf))
		return (ssize_t)n;
	return ((__typeof__(&write))shim_next(&next_write, "write"))(fd, buf, n);
}

SHIM int eventfd_write(int fd, eventfd_t value)
{
	return write(fd, &value, sizeof(value)) == sizeof(value) ? 0 : -1;
}

SHIM int prctl(int op, ...)
{
	unsigned long a, b, c, d;
	va_list ap;

	va_start(ap, op);
	a = va_arg(ap, unsigned long);
	b = va_arg(ap, unsigned long);
	c = va_arg(ap, unsigned long);
	d = va_arg(ap, unsigned long);
	va_end(ap);
	/* with NULL programs ask what the kernel knows */
	if (op == PR_SET_SECCOMP && (a == SECCOMP_MODE_STRICT || b))
		host_eventfds_filtered();
	return NEXT(prctl)(op, a, b, c, d);
}

/* ---- descriptors made and closed ---- */

SHIM int close(int fd)
{
	bool watched = host_eventfd_maybe_watched(fd);
	int ret;

	fd_forget(fd);
	if (unlikely(watched))
		host_eventfd_closing(fd);
	ret = NEXT(close)(fd);
	if (unlikely(watched))
		host_eventfd_closed();
	return ret;
}

int close_range(unsigned int first, unsigned int last, int flags);

SHIM int close_range(unsigned int first, unsigned int last, int flags)
{
	int ret;

	if (!flags && first <= last)
		fd_forget_range(first, last);
	ret = NEXT(close_range)(first, last, flags);
	host_eventfd_closed();
	return ret;
}

void closefrom(int first);

SHIM void closefrom(int first)
{
	fd_forget_range(first < 0 ? 0 : (u32)first, ~0u);
	NEXT(closefrom)(first);
	host_eventfd_closed();
}

/* A call that gave new as a duplicate of old. */
static int duplicated(int old, int new)
{
	int saved = errno;

	if (new >= 0)
		fd_duplicated(old, new);
	/* what new was before is closed */
	if (new >= 0 && unlikely(host_eventfd_maybe_watched(new)))
		host_eventfd_closed();
	errno = saved;
	return new;
}

SHIM int dup(int old)
{
	return duplicated(old, NEXT(dup)(old));
}

SHIM int dup2(int old, int new)
{
	return duplicated(old, NEXT(dup2)(old, new));
}

SHIM int dup3(int old, int new, int flags)
{
	return duplicated(old, NEXT(dup3)(old, new, flags));
}

#define FCNTL_BODY(name)						\
	unsigned long arg;						\
	va_list ap;							\
	int ret;							\
									\
	va_start(ap, cmd);						\
	arg = va_arg(ap, unsigned long);				\
	va_end(ap);							\
	ret = NEXT(name)(fd, cmd, arg);					\
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)			\
		duplicated(fd, ret);					\
	return ret

SHIM int fcntl(int fd, int cmd, ...)
{
	FCNTL_BODY(fcntl);
}

SHIM int fcntl64(int fd, int cmd, ...)
{
	FCNTL_BODY(fcntl64);
}
