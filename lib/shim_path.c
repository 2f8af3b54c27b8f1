/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * shim_path.c - which paths mean /dev/kvm, and the calls by which a program asks about it before it
 * opens it. Where the file does not exist or may not be used, they tell of a character device
 * anybody may use.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "shim.h"

#define KVM_DEV		makedev(10, 232)	/* the kernel's number of /dev/kvm */
#define KVM_MODE	(S_IFCHR | 0666)

static int real_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return (int)syscall(SYS_newfstatat, dirfd, path, st, flags);
}

/* Is the directory part of path (up to and without its last slash at len) the same as /dev? */
static bool directory_is_dev(int dirfd, const char *path, size_t len)
{
	char dir[PATH_MAX];
	struct stat a, b;

	if (len >= sizeof(dir))
		return false;
	memcpy(dir, path, len);
	dir[len] = 0;
	if (real_fstatat(dirfd, len ? dir : ".", &a, 0) || real_fstatat(AT_FDCWD, "/dev", &b, 0))
		return false;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool shim_path_is_kvm(int dirfd, const char *path)
{
	int saved = errno;
	size_t len;
	bool is;

	if (!path)
		return false;
	len = strlen(path);
	/* nearly every path ends here: the last component must be kvm */
	if (len < 3 || memcmp(path + len - 3, "kvm", 4) || (len > 3 && path[len - 4] != '/'))
		return false;
	if (!strcmp(path, "/dev/kvm"))
		return true;
	is = len == 4 ? directory_is_dev(dirfd, "/", 1)
		      : directory_is_dev(dirfd, path, len == 3 ? 0 : len - 4);
	errno = saved;
	return is;
}

/* ---- access ---- */

SHIM int access(const char *path, int mode)
{
	if (!(mode & X_OK) && shim_path_is_kvm(AT_FDCWD, path))
		return 0;
	return NEXT(access)(path, mode);
}

SHIM int eaccess(const char *path, int mode)
{
	if (!(mode & X_OK) && shim_path_is_kvm(AT_FDCWD, path))
		return 0;
	return NEXT(eaccess)(path, mode);
}

SHIM int euidaccess(const char *path, int mode)
{
	if (!(mode & X_OK) && shim_path_is_kvm(AT_FDCWD, path))
		return 0;
	return NEXT(euidaccess)(path, mode);
}

SHIM int faccessat(int dirfd, const char *path, int mode, int flags)
{
	if (!(mode & X_OK) && shim_path_is_kvm(dirfd, path))
		return 0;
	return NEXT(faccessat)(dirfd, path, mode, flags);
}

/* ---- stat ---- */

/*
 * ret is what libc said about path; if that is "no such file" and path means /dev/kvm, say what one
 * expects.
 */
#define STAT_RESULT(ret, dirfd, path, st) ({				\
	int ret_ = (ret);						\
	if (ret_ && shim_path_is_kvm(dirfd, path)) {			\
		memset(st, 0, sizeof(*(st)));				\
		(st)->st_mode = KVM_MODE;				\
		(st)->st_nlink = 1;					\
		(st)->st_rdev = KVM_DEV;				\
		(st)->st_blksize = 4096;				\
		ret_ = 0;						\
	}								\
	ret_; })

SHIM int stat(const char *path, struct stat *st)
{
	return STAT_RESULT(NEXT(stat)(path, st), AT_FDCWD, path, st);
}

SHIM int stat64(const char *path, struct stat64 *st)
{
	return STAT_RESULT(NEXT(stat64)(path, st), AT_FDCWD, path, st);
}

SHIM int lstat(const char *path, struct stat *st)
{
	return STAT_RESULT(NEXT(lstat)(path, st), AT_FDCWD, path, st);
}

SHIM int lstat64(const char *path, struct stat64 *st)
{
	return STAT_RESULT(NEXT(lstat64)(path, st), AT_FDCWD, path, st);
}

SHIM int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return STAT_RESULT(NEXT(fstatat)(dirfd, path, st, flags), dirfd, path, st);
}

SHIM int fstatat64(int dirfd, const char *path, struct stat64 *st, int flags)
{
	return STAT_RESULT(NEXT(fstatat64)(dirfd, path, st, flags), dirfd, path, st);
}

/* What stat() was in programs built before glibc 2.33. */
int __xstat(int ver, const char *path, struct stat *st);
int __xstat64(int ver, const char *path, struct stat64 *st);
int __lxstat(int ver, const char *path, struct stat *st);
int __lxstat64(int ver, const char *path, struct stat64 *st);

SHIM int __xstat(int ver, const char *path, struct stat *st)
{
	return STAT_RESULT(NEXT(__xstat)(ver, path, st), AT_FDCWD, path, st);
}

SHIM int __xstat64(int ver, const char *path, struct stat64 *st)
{
	return STAT_RESULT(NEXT(__xstat64)(ver, path, st), AT_FDCWD, path, st);
}

SHIM int __lxstat(int ver, const char *path, struct stat *st)
{
	return STAT_RESULT(NEXT(__lxstat)(ver, path, st), AT_FDCWD, path, st);
}

SHIM int __lxstat64(int ver, const char *path, struct stat64 *st)
{
	return STAT_RESULT(NEXT(__lxstat64)(ver, path, st), AT_FDCWD, path, st);
}

SHIM int statx(int dirfd, const char *path, int flags, unsigned int mask, struct statx *st)
{
	int ret = NEXT(statx)(dirfd, path, flags, mask, st);

	if (!ret || !shim_path_is_kvm(dirfd, path))
		return ret;
	memset(st, 0, sizeof(*st));
	st->stx_mask = STATX_BASIC_STATS;
	st->stx_mode = KVM_MODE;
	st->stx_nlink = 1;
	st->stx_blksize = 4096;
	st->stx_rdev_major = major(KVM_DEV);
	st->stx_rdev_minor = minor(KVM_DEV);
	return 0;
}
