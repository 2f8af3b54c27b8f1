/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * fd.h - which descriptors of this process are ours, and what stands behind each; for api.c and the
 * shim.
 */
#ifndef LIB_FD_H
#define LIB_FD_H

#include "../core/entry.h"
#include "../core/hv.h"

enum fd_kind { FD_NONE, FD_SYSTEM, FD_VM, FD_VCPU, FD_VM_STATS, FD_VCPU_STATS, FD_DEVICE };

/*
 * An open KVM file: what the kernel calls a struct file. Memory of this type is never used for
 * anything else.
 */
struct fd_object {
	u32 refs;		/* one per table entry, one per call in progress */
	enum fd_kind kind;
	/* struct vm, vcpu or device, core's stats object; NULL for the system */
	void *obj;
	u64 ino;		/* of the memfd: tells whether a descriptor still is this file */
	u64 token;		/* process that created it; another one gets -EIO */
	struct fd_object *next;	/* in the inode hash, or in the pool */
};

#define FD_TABLE_SIZE	(1 << 20)	/* the kernel's default limit for descriptors, fs.nr_open */

extern struct fd_object *fd_table[FD_TABLE_SIZE];

/** Quick answer, without a system call: is there an entry for fd? It may be stale. */
static inline bool fd_has_entry(int fd)
{
	return (u32)fd < FD_TABLE_SIZE && host_load_relaxed(&fd_table[fd]);
}

/** A new system descriptor, or -errno. */
int fd_open_system(void);
/**
 * The object behind fd with a reference, or NULL. verify: ask the kernel whether fd still is that
 * file.
 */
struct fd_object *fd_get(int fd, bool verify);
void fd_put(struct fd_object *o);
/**
 * A memfd, close-on-exec. name: of a part of a VM, to which the process's token is added, by which
 * another process that gets hold of the descriptor knows that it is not its own; NULL: /dev/kvm.
 */
int fd_new_memfd(const char *name);
/**
 * What kind of file of ours fd is, if its inode number is ino; else FD_NONE. No system call.
 */
enum fd_kind fd_kind_of(int fd, u64 ino);
/** The same, and asks the kernel for the inode number. */
enum fd_kind fd_kind_now(int fd);
/**
 * fd is not in the table: has it come from another process, by exec or over a socket? /dev/kvm
 * belongs to nobody and is taken in: the object with a reference in *out, 0. What belongs to that
 * process: -EIO. None of ours: -EBADF.
 */
int fd_get_foreign(int fd, struct fd_object **out);
/** True if this process may use o, i.e. it is not a forked copy. */
bool fd_usable(const struct fd_object *o);

/**
 * The client is about to close fd, or has replaced it: forget the entry, with the object's end if
 * it was the last.
 */
void fd_forget(int fd);
/** new is now a duplicate of old (which may be none of ours). */
void fd_duplicated(int old, int new);
/** Forget entries whose descriptors were closed without our seeing it. */
void fd_sweep(void);
/** As fd_forget() for all of [first, last]. */
void fd_forget_range(u32 first, u32 last);
/**
 * Before anything is created: a forked child that uses KVM itself begins with nothing. 0 or -errno.
 */
int fd_process_begin(void);
/** shared.c: a forked child has none of its parent's vCPUs. */
void fd_shared_after_fork(void);
/** close(2), past the shim. */
void fd_close_raw(int fd);
/** Write present figures into a statistics descriptor's file, for a read() to come. */
void fd_stats_refresh(int fd);
/** In a forked child, before it creates anything: the counters that others see are its parent's. */
void counters_after_fork(void);

#endif
