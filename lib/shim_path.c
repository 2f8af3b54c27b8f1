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
#include <sys/xattr.h>
#include <unistd.h>
#include "../host/user/sys.h"
#include "fd.h"
#include "shim.h"

#define KVM_DEV		makedev(10, 232)	/* the kernel's number of /dev/kvm */
#define KVM_MODE	(S_IFCHR | 0666)
#define MAX_LINKS	40		/* as many as the kernel follows */

static int real_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return (int)sys4(SYS_newfstatat, (u64)dirfd, (u64)path, (u64)st, (u64)flags);
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
	size_t len;

	if (!path)
		return false;
	len = strlen(path);
	/* nearly every path ends here: the last component must be kvm */
	if (len < 3 || memcmp(path + len - 3, "kvm", 4) || (len > 3 && path[len - 4] != '/'))
		return false;
	if (!strcmp(path, "/dev/kvm"))
		return true;
	return len == 4 ? directory_is_dev(dirfd, "/", 1)
			: directory_is_dev(dirfd, path, len == 3 ? 0 : len - 4);
}

bool shim_link_is_kvm(int dirfd, const char *path)
{
	char here[PATH_MAX], to[PATH_MAX], *last;
	int depth;
	long n;

	/* without the device: not there, or a node that nothing stands behind */
	if (errno != ENOENT && errno != ENXIO && errno != ENODEV && errno != EACCES &&
	    errno != EPERM)
		return false;
	if (!path || strlen(path) >= sizeof(here))
		return false;
	strcpy(here, path);
	for (depth = 0; depth < MAX_LINKS; depth++) {
		n = sys4(SYS_readlinkat, (u64)dirfd, (u64)here, (u64)to, sizeof(to) - 1);
		if (n < 0)
			return depth && shim_path_is_kvm(dirfd, here);
		to[n] = '\0';
		last = to[0] == '/' ? NULL : strrchr(here, '/');
		last = last ? last + 1 : here;
		if ((size_t)(last - here) + (size_t)n >= sizeof(here))
			return false;
		memcpy(last, to, (size_t)n + 1);
	}
	return false;
}

bool shim_fd_is_device(int fd)
{
	struct stat st;

	return !sys2(SYS_fstat, (u64)fd, (u64)&st) && S_ISCHR(st.st_mode) && st.st_rdev == KVM_DEV;
}

/* ---- access ---- */

/* ret is libc's answer for the device's path, or for a link to it. */
static int access_result(int ret, int mode)
{
	if (!(mode & X_OK))
		return 0;
	if (ret)
		errno = EACCES;
	return ret;
}

#define ACCESS(dirfd, path, mode, call) ({					\
	int ret_ = (call);							\
	if (shim_path_is_kvm(dirfd, path) || (ret_ && shim_link_is_kvm(dirfd, path))) \
		ret_ = access_result(ret_, mode);				\
	ret_; })

SHIM int access(const char *path, int mode)
{
	return ACCESS(AT_FDCWD, path, mode, NEXT(access)(path, mode));
}

SHIM int eaccess(const char *path, int mode)
{
	return ACCESS(AT_FDCWD, path, mode, NEXT(eaccess)(path, mode));
}

SHIM int euidaccess(const char *path, int mode)
{
	return ACCESS(AT_FDCWD, path, mode, NEXT(euidaccess)(path, mode));
}

SHIM int faccessat(int dirfd, const char *path, int mode, int flags)
{
	return ACCESS(dirfd, path, mode, NEXT(faccessat)(dirfd, path, mode, flags));
}

/* ---- stat ---- */

static void fill_stat(struct stat *st, mode_t mode, dev_t rdev)
{
	st->st_mode = mode;
	st->st_nlink = 1;
	st->st_rdev = rdev;
	st->st_size = 0;
	st->st_blocks = 0;
	st->st_blksize = 4096;
}

/* The same by its other name. */
static void fill_stat64(struct stat64 *st, mode_t mode, dev_t rdev)
{
	static_assert(sizeof(struct stat64) == sizeof(struct stat), "one layout on x86-64");
	fill_stat((struct stat *)st, mode, rdev);
}

static void fill_statx(struct statx *st, mode_t mode, dev_t rdev)
{
	st->stx_mask |= STATX_BASIC_STATS;
	st->stx_mode = (u16)mode;
	st->stx_nlink = 1;
	st->stx_rdev_major = major(rdev);
	st->stx_rdev_minor = minor(rdev);
	st->stx_size = 0;
	st->stx_blocks = 0;
	st->stx_blksize = 4096;
}

#define FILL(st, mode, rdev) _Generic(*(st), struct stat: fill_stat,		\
	struct stat64: fill_stat64, struct statx: fill_statx)(st, mode, rdev)

static bool fails_for_want_of_device(int dirfd, const char *path, bool follow)
{
	return shim_path_is_kvm(dirfd, path) || (follow && shim_link_is_kvm(dirfd, path));
}

/*
 * ret is what libc said about path; if that is an error and path means /dev/kvm, say what one
 * expects.
 */
#define STAT_RESULT(ret, dirfd, path, st, follow) ({			\
	int ret_ = (ret);						\
	if (ret_ && fails_for_want_of_device(dirfd, path, follow)) {	\
		memset(st, 0, sizeof(*(st)));				\
		FILL(st, KVM_MODE, KVM_DEV);				\
		ret_ = 0;						\
	}								\
	ret_; })

/* ret is what libc said about fd: what the kernel's KVM shows, if fd is one of ours. */
#define FSTAT_RESULT(ret, fd, st, ino) ({				\
	int ret_ = (ret);						\
	if (!ret_ && fd_has_entry(fd)) {				\
		switch (fd_kind_of(fd, ino)) {				\
		case FD_NONE:						\
			break;						\
		case FD_SYSTEM:						\
			FILL(st, KVM_MODE, KVM_DEV);			\
			break;						\
		default:						\
			FILL(st, 0600, 0);	/* an anonymous inode */ \
		}							\
	}								\
	ret_; })

/* Newer kernels take NULL for it. */
static bool is_empty(const char *path)
{
	return !path || !*path;
}

/* A path relative to dirfd, or dirfd itself. */
#define STATAT_RESULT(ret, dirfd, path, flags, st, ino)			\
	(((flags) & AT_EMPTY_PATH) && is_empty(path)			\
		 ? FSTAT_RESULT(ret, dirfd, st, ino)			\
		 : STAT_RESULT(ret, dirfd, path, st, !((flags) & AT_SYMLINK_NOFOLLOW)))

SHIM int stat(const char *path, struct stat *st)
{
	return STAT_RESULT(NEXT(stat)(path, st), AT_FDCWD, path, st, true);
}

SHIM int stat64(const char *path, struct stat64 *st)
{
	return STAT_RESULT(NEXT(stat64)(path, st), AT_FDCWD, path, st, true);
}

SHIM int lstat(const char *path, struct stat *st)
{
	return STAT_RESULT(NEXT(lstat)(path, st), AT_FDCWD, path, st, false);
}

SHIM int lstat64(const char *path, struct stat64 *st)
{
	return STAT_RESULT(NEXT(lstat64)(path, st), AT_FDCWD, path, st, false);
}

SHIM int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return STATAT_RESULT(NEXT(fstatat)(dirfd, path, st, flags), dirfd, path, flags, st,
			     st->st_ino);
}

SHIM int fstatat64(int dirfd, const char *path, struct stat64 *st, int flags)
{
	return STATAT_RESULT(NEXT(fstatat64)(dirfd, path, st, flags), dirfd, path, flags, st,
			     st->st_ino);
}

SHIM int fstat(int fd, struct stat *st)
{
	return FSTAT_RESULT(NEXT(fstat)(fd, st), fd, st, st->st_ino);
}

SHIM int fstat64(int fd, struct stat64 *st)
{
	return FSTAT_RESULT(NEXT(fstat64)(fd, st), fd, st, st->st_ino);
}

/* What stat() was in programs built before glibc 2.33. */
int __xstat(int ver, const char *path, struct stat *st);
int __xstat64(int ver, const char *path, struct stat64 *st);
int __lxstat(int ver, const char *path, struct stat *st);
int __lxstat64(int ver, const char *path, struct stat64 *st);
int __fxstat(int ver, int fd, struct stat *st);
int __fxstat64(int ver, int fd, struct stat64 *st);

SHIM int __xstat(int ver, const char *path, struct stat *st)
{
	return STAT_RESULT(NEXT(__xstat)(ver, path, st), AT_FDCWD, path, st, true);
}

SHIM int __xstat64(int ver, const char *path, struct stat64 *st)
{
	return STAT_RESULT(NEXT(__xstat64)(ver, path, st), AT_FDCWD, path, st, true);
}

SHIM int __lxstat(int ver, const char *path, struct stat *st)
{
	return STAT_RESULT(NEXT(__lxstat)(ver, path, st), AT_FDCWD, path, st, false);
}

SHIM int __lxstat64(int ver, const char *path, struct stat64 *st)
{
	return STAT_RESULT(NEXT(__lxstat64)(ver, path, st), AT_FDCWD, path, st, false);
}

SHIM int __fxstat(int ver, int fd, struct stat *st)
{
	return FSTAT_RESULT(NEXT(__fxstat)(ver, fd, st), fd, st, st->st_ino);
}

SHIM int __fxstat64(int ver, int fd, struct stat64 *st)
{
	return FSTAT_RESULT(NEXT(__fxstat64)(ver, fd, st), fd, st, st->st_ino);
}

SHIM int statx(int dirfd, const char *path, int flags, unsigned int mask, struct statx *st)
{
	/* without its inode number a file of ours cannot be told */
	return STATAT_RESULT(NEXT(statx)(dirfd, path, flags, mask | STATX_INO, st), dirfd, path,
			     flags, st, st->stx_ino);
}

/* ---- owner, mode, attributes ---- */

/*
 * libvirt gives each QEMU a /dev of its own, with devices like those it finds, and sets their owner
 * and mode. Where there is no file nothing needs to be set; there are no attributes either.
 */
static int set_result(int ret, int dirfd, const char *path)
{
	return ret && errno == ENOENT && shim_path_is_kvm(dirfd, path) ? 0 : ret;
}

static ssize_t attribute_result(ssize_t ret, const char *path)
{
	if (ret < 0 && errno == ENOENT && shim_path_is_kvm(AT_FDCWD, path))
		errno = ENOTSUP;
	return ret;
}

SHIM int chown(const char *path, uid_t uid, gid_t gid)
{
	return set_result(NEXT(chown)(path, uid, gid), AT_FDCWD, path);
}

SHIM int lchown(const char *path, uid_t uid, gid_t gid)
{
	return set_result(NEXT(lchown)(path, uid, gid), AT_FDCWD, path);
}

SHIM int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
	return set_result(NEXT(fchownat)(dirfd, path, uid, gid, flags), dirfd, path);
}

SHIM int chmod(const char *path, mode_t mode)
{
	return set_result(NEXT(chmod)(path, mode), AT_FDCWD, path);
}

SHIM int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
	return set_result(NEXT(fchmodat)(dirfd, path, mode, flags), dirfd, path);
}

SHIM ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
	return attribute_result(NEXT(getxattr)(path, name, value, size), path);
}

SHIM ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
	return attribute_result(NEXT(lgetxattr)(path, name, value, size), path);
}

SHIM int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
	return (int)attribute_result(NEXT(setxattr)(path, name, value, size, flags), path);
}

SHIM int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
	return (int)attribute_result(NEXT(lsetxattr)(path, name, value, size, flags), path);
}
