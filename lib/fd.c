/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * fd.c - from file descriptors to objects. Every descriptor is a memfd of its own, so that the
 * kernel knows it: it can be duplicated, passed on, polled, closed behind our back, and a vCPU's
 * can be mapped with plain mmap().
 *
 * A table indexed by descriptor finds the object without a system call. The table may lag behind
 * what the client does with raw system calls: but for KVM_RUN each use asks the kernel for the
 * file's inode number, which repairs the entry. KVM_RUN trusts the table: its number means nothing
 * on any other file.
 */
#define _GNU_SOURCE
#include <linux/memfd.h>
#include <linux/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include "fd.h"
#include "../host/user/sys.h"
#include "../host/user/user.h"
#include "../host/user/fail.h"

#define NR_BUCKETS	256
/* The memfd behind an open /dev/kvm; those of VMs, vCPUs, statistics and devices: kvm-v... */
#define SYSTEM_NAME	"kvm"
#define NAME_SIZE	64

struct fd_object *fd_table[FD_TABLE_SIZE];

static struct {
	struct host_mutex lock;			/* writers of fd_table, the hash, the pool */
	struct fd_object *bucket[NR_BUCKETS];	/* by inode */
	struct fd_object *pool;
	s32 pid;				/* process these belong to */
	u32 top;				/* no entry at or above */
} fds;

void fd_close_raw(int fd)
{
	sys1(__NR_close, (u64)fd);
}

/* Inode number of fd, 0 if it is not open or not a regular file (a memfd is one). */
static u64 inode_of(int fd)
{
	struct stat st;

	if (sys2(__NR_fstat, (u64)fd, (u64)&st) || !S_ISREG(st.st_mode))
		return 0;
	return st.st_ino;
}

bool fd_usable(const struct fd_object *o)
{
	return o->kind == FD_SYSTEM || o->token == host_process_token();
}

/*
 * What a thread may do with the table. A forked child has a copy, with locks that may be held for
 * ever; a vfork() child has the parent's own but another set of descriptors, so that what it closes
 * says nothing about the parent's.
 */
enum fd_access { ACCESS_OWN, ACCESS_COPY, ACCESS_BORROWED };

static enum fd_access access_now(void)
{
	if (host_process_is_copy())
		return ACCESS_COPY;
	return sys1(__NR_getpid, 0) == fds.pid ? ACCESS_OWN : ACCESS_BORROWED;
}

/* ---- references ---- */

/*
 * One more reference, unless the last is gone already. Objects are never freed to other uses, so
 * looking is safe.
 */
static bool ref_unless_zero(struct fd_object *o)
{
	u32 refs = host_load_relaxed(&o->refs);

	do {
		if (!refs)
			return false;
	} while (!__atomic_compare_exchange_n(&o->refs, &refs, refs + 1, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

static struct fd_object *table_get(int fd)
{
	struct fd_object *o;

	if ((u32)fd >= FD_TABLE_SIZE)
		return NULL;
	for (;;) {
		o = host_load_acquire(&fd_table[fd]);
		if (!o)
			return NULL;
		if (!ref_unless_zero(o))
			continue;	/* the entry is being taken away */
		if (host_load_acquire(&fd_table[fd]) == o)
			return o;
		fd_put(o);
	}
}

static void unhash_locked(struct fd_object *o)
{
	struct fd_object **p = &fds.bucket[o->ino % NR_BUCKETS];

	while (*p && *p != o)
		p = &(*p)->next;
	if (*p)
		*p = o->next;
}

static void release_core_object(enum fd_kind kind, void *obj)
{
	switch (kind) {
	case FD_NONE:
	case FD_SYSTEM:
		break;
	case FD_VM:
		core_vm_put(obj);
		break;
	case FD_VCPU:
		core_vcpu_put(obj);
		break;
	case FD_VM_STATS:
	case FD_VCPU_STATS:
		core_stats_put(obj);
		break;
	case FD_DEVICE:
		core_device_put(obj);
		break;
	}
}

void fd_put(struct fd_object *o)
{
	enum fd_kind kind = o->kind;
	void *obj = o->obj;

	if (__atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL))
		return;
	host_mutex_lock(&fds.lock);
	unhash_locked(o);
	o->next = fds.pool;
	fds.pool = o;
	host_mutex_unlock(&fds.lock);
	release_core_object(kind, obj);
}

/* ---- the table ---- */

/*
 * Make fd's entry o, whose reference passes to the table; returns what was there, for the caller to
 * put.
 */
static struct fd_object *table_set_locked(int fd, struct fd_object *o)
{
	if ((u32)fd >= fds.top)
		fds.top = (u32)fd + 1;
	return __atomic_exchange_n(&fd_table[fd], o, __ATOMIC_ACQ_REL);
}

/* Put, unless the object is a copy of a parent's: its references mean nothing here. */
static void put_old(struct fd_object *old)
{
	if (old && fd_usable(old))
		fd_put(old);
}

/*
 * Take fd's entry away if it is o, on which the caller holds a reference: another thread may have been given
 * the number meanwhile, and have entered its own.
 */
static void forget_entry(int fd, struct fd_object *o)
{
	bool was;

	switch (access_now()) {
	case ACCESS_BORROWED:
		return;
	case ACCESS_COPY:
		host_cmpxchg(&fd_table[fd], o, NULL);
		return;
	case ACCESS_OWN:
		break;
	}
	host_mutex_lock(&fds.lock);
	was = host_cmpxchg(&fd_table[fd], o, NULL) == o;
	host_mutex_unlock(&fds.lock);
	if (was)
		put_old(o);
}

/* fd is not in the table: is it another descriptor of one of our files? */
static struct fd_object *adopt(int fd)
{
	struct fd_object *o;
	bool other;
	u64 ino;

	if ((u32)fd >= FD_TABLE_SIZE)
		return NULL;
	ino = inode_of(fd);
	if (!ino || access_now() != ACCESS_OWN)
		return NULL;
	host_mutex_lock(&fds.lock);
	for (o = fds.bucket[ino % NR_BUCKETS]; o; o = o->next)
		if (o->ino == ino && ref_unless_zero(o))
			break;
	if (o && !fd_has_entry(fd)) {
		host_fetch_add(&o->refs, 1);	/* the table's, beside the caller's */
		table_set_locked(fd, o);
	}
	/* another thread was faster: with the same file, or with one that has the number now */
	other = o && host_load_relaxed(&fd_table[fd]) != o;
	host_mutex_unlock(&fds.lock);
	/* or closed meanwhile by another thread, who had no entry to take away: see anykvm_close() */
	if (o && (other || inode_of(fd) != ino)) {
		forget_entry(fd, o);
		fd_put(o);
		return NULL;
	}
	return o;
}

struct fd_object *fd_get(int fd, bool verify)
{
	struct fd_object *o = table_get(fd);

	if (!o)
		return adopt(fd);
	if (!verify || inode_of(fd) == o->ino)
		return o;
	forget_entry(fd, o);
	fd_put(o);
	return adopt(fd);
}

enum fd_kind fd_kind_of(int fd, u64 ino)
{
	struct fd_object *o = table_get(fd);
	enum fd_kind kind = FD_NONE;

	if (!o)
		return kind;
	if (o->ino == ino)
		kind = o->kind;
	put_old(o);
	return kind;
}

enum fd_kind fd_kind_now(int fd)
{
	return fd_has_entry(fd) ? fd_kind_of(fd, inode_of(fd)) : FD_NONE;
}

/* Look for descriptors of o that we have not seen being made, before its last known one goes. */
static void adopt_leftovers(const struct fd_object *o, int except)
{
	struct { u64 ino; s64 off; u16 len; u8 type; char name[]; } *d;
	u8 buf[2048] __aligned(8);
	long dir, n, pos;

	dir = sys3(__NR_open, (u64)"/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (dir < 0)
		return;
	while ((n = sys3(__NR_getdents64, (u64)dir, (u64)buf, sizeof(buf))) > 0)
		for (pos = 0; pos < n; pos += d->len) {
			struct fd_object *found;
			int fd = 0, i;

			d = (void *)(buf + pos);
			for (i = 0; d->name[i] >= '0' && d->name[i] <= '9'; i++)
				fd = fd * 10 + (d->name[i] - '0');
			if (!i || fd == except || fd == dir || fd_has_entry(fd) ||
			    inode_of(fd) != o->ino)
				continue;
			found = adopt(fd);
			if (found)
				fd_put(found);
		}
	fd_close_raw((int)dir);
}

void fd_forget(int fd)
{
	struct fd_object *o;

	if (!fd_has_entry(fd))
		return;
	if (access_now() != ACCESS_OWN) {
		forget_entry(fd, host_load_acquire(&fd_table[fd]));
		return;
	}
	o = table_get(fd);
	if (!o)
		return;
	/* the table's reference and ours: this may be the last descriptor */
	if (fd_usable(o) && o->kind != FD_SYSTEM && host_load_relaxed(&o->refs) == 2)
		adopt_leftovers(o, fd);
	forget_entry(fd, o);
	put_old(o);
}

void fd_forget_range(u32 first, u32 last)
{
	for (; first <= last && first < host_load_relaxed(&fds.top); first++)
		fd_forget((int)first);
}

void fd_duplicated(int old, int new)
{
	struct fd_object *o, *was;

	if (old == new || (u32)new >= FD_TABLE_SIZE || (!fd_has_entry(old) && !fd_has_entry(new)))
		return;
	switch (access_now()) {
	case ACCESS_BORROWED:
		return;
	case ACCESS_COPY:
		host_store_release(&fd_table[new], table_get(old));
		return;
	case ACCESS_OWN:
		break;
	}
	o = table_get(old);
	host_mutex_lock(&fds.lock);
	was = table_set_locked(new, o);
	host_mutex_unlock(&fds.lock);
	put_old(was);
}

void fd_sweep(void)
{
	u32 fd;

	if (access_now() != ACCESS_OWN)
		return;
	for (fd = 0; fd < host_load_relaxed(&fds.top); fd++) {
		struct fd_object *o;

		if (!fd_has_entry((int)fd))
			continue;
		o = table_get((int)fd);
		if (!o)
			continue;
		if (inode_of((int)fd) != o->ino)
			forget_entry((int)fd, o);
		put_old(o);
	}
}

/* Entries stay and answer -EIO; all else belongs to the parent. */
static void after_fork(void)
{
	host_mutex_init(&fds.lock);
	host_memset(fds.bucket, 0, sizeof(fds.bucket));
	fds.pool = NULL;
	fd_shared_after_fork();
	counters_after_fork();
}

int fd_process_begin(void)
{
	int ret = host_process_begin(after_fork);

	if (!ret)
		fds.pid = (s32)sys1(__NR_getpid, 0);
	return ret;
}

/* ---- new descriptors ---- */

/* Enter fd, an open memfd, as kind for obj. */
static int fd_install(int fd, enum fd_kind kind, void *obj)
{
	struct fd_object *o, *old;
	u64 ino = inode_of(fd);

	if ((u32)fd >= FD_TABLE_SIZE)
		return -EMFILE;
	host_mutex_lock(&fds.lock);
	o = fds.pool;
	if (o)
		fds.pool = o->next;
	else
		o = host_zalloc(sizeof(*o));
	if (!o) {
		host_mutex_unlock(&fds.lock);
		return -ENOMEM;
	}
	o->kind = kind;
	o->obj = obj;
	o->ino = ino;
	o->token = host_process_token();
	o->next = fds.bucket[ino % NR_BUCKETS];
	fds.bucket[ino % NR_BUCKETS] = o;
	host_store_release(&o->refs, 1);
	old = table_set_locked(fd, o);
	host_mutex_unlock(&fds.lock);
	put_old(old);	/* closed unseen, and its number came back */
	return fd;
}

static char *append(char *p, const char *text)
{
	while ((*p = *text++))
		p++;
	return p;
}

static char *append_number(char *p, u64 v, unsigned int base)
{
	char digits[20];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		*p++ = digits[--n];
	*p = '\0';
	return p;
}

int fd_new_memfd(const char *name)
{
	char full[NAME_SIZE];

	if (name)
		append_number(append(append(full, name), "@"), host_process_token(), 16);
	return (int)sys2(__NR_memfd_create, (u64)(name ? full : SYSTEM_NAME),
			 MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* Begins s (NUL-terminated) with what? */
static bool begins_with(const char *s, const char *what)
{
	while (*what && *s == *what)
		s++, what++;
	return !*what;
}

int fd_get_foreign(int fd, struct fd_object **out)
{
	char path[32], name[NAME_SIZE + 32], own[24];
	const char *owner;
	long len;
	int ret;

	if ((u32)fd >= FD_TABLE_SIZE)
		return -EBADF;
	append_number(append(path, "/proc/self/fd/"), (u32)fd, 10);
	len = sys3(__NR_readlink, (u64)path, (u64)name, sizeof(name) - 1);
	if (len < 0)
		return -EBADF;
	name[len] = '\0';
	if (begins_with(name, "/memfd:kvm-v")) {
		for (owner = name; *owner && *owner != '@'; owner++)
			;
		append(append_number(append(own, "@"), host_process_token(), 16), " ");
		/* ours would be in the table, but for one that is just being closed */
		return begins_with(owner, own) ? -EBADF : -EIO;
	}
	if (!begins_with(name, "/memfd:" SYSTEM_NAME " "))
		return -EBADF;
	ret = fd_process_begin();
	if (!ret)
		ret = fd_install(fd, FD_SYSTEM, NULL);
	if (ret < 0)
		return ret;
	*out = fd_get(fd, true);
	return *out ? 0 : -EBADF;
}

int fd_open_system(void)
{
	int fd = host_fail(HOST_FAIL_fd) ? -EMFILE : fd_new_memfd(NULL);
	int ret;

	if (fd < 0)
		return fd;
	ret = fd_install(fd, FD_SYSTEM, NULL);
	if (ret < 0)
		fd_close_raw(fd);
	return ret;
}

/* core's glue: entry.h */

static bool is_stats(enum fd_kind kind)
{
	return kind == FD_VM_STATS || kind == FD_VCPU_STATS;
}

static void stats_write(void *obj, int fd)
{
	u8 buf[512];
	u64 pos = 0;
	long n;

	while ((n = core_stats_read(obj, buf, sizeof(buf), pos)) > 0) {
		sys4(__NR_pwrite64, (u64)fd, (u64)buf, (u64)n, pos);
		pos += (u64)n;
	}
}

void fd_stats_refresh(int fd)
{
	struct fd_object *o = fd_get(fd, true);

	if (!o)
		return;
	if (is_stats(o->kind) && fd_usable(o))
		stats_write(o->obj, fd);
	put_old(o);
}

int glue_fd_new(enum glue_kind kind, void *obj, struct glue_shared *shared, const char *name)
{
	static const u8 kinds[] = {
		[GLUE_VM] = FD_VM,
		[GLUE_VCPU] = FD_VCPU,
		[GLUE_VM_STATS] = FD_VM_STATS,
		[GLUE_VCPU_STATS] = FD_VCPU_STATS,
		[GLUE_DEVICE] = FD_DEVICE,
	};
	int fd, ret;

	if (kind >= ARRAY_SIZE(kinds))
		return -ENODEV;
	if (host_fail(HOST_FAIL_fd))
		return -EMFILE;
	/* of a vCPU, the client's descriptor is the memfd of the pages itself */
	fd = shared ? shared->fd : fd_new_memfd(name);
	if (fd < 0)
		return fd;
	/* while obj is ours alone: another thread may close what is in the table */
	if (is_stats(kinds[kind]))
		stats_write(obj, fd);
	ret = fd_install(fd, kinds[kind], obj);
	if (ret < 0) {
		if (!shared)
			fd_close_raw(fd);
		return ret;
	}
	if (shared)
		shared->fd = -1;
	return fd;
}

bool glue_same_owner(u64 token)
{
	return token == host_process_token();
}

u64 glue_owner_token(void)
{
	return host_process_token();
}
