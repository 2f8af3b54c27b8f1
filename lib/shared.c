/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * shared.c - the pages that a vCPU's descriptor shows: a memfd, so that the client maps them with
 * plain mmap(), seen by us or not.
 *
 * The last page is one for the whole VM, but two memfds cannot have a page in common. It is in the
 * first vCPU's, where most clients look for it; the others' end before it. A client that looks
 * there all the same gets a SIGBUS, whose handler puts the first one's page into its mapping. Memfds
 * with a dirty ring go on behind that page, so there it is only in the first one's.
 */
#define _GNU_SOURCE
#include <linux/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <signal.h>
#include "fd.h"
#include "../host/user/sys.h"
#include "../host/user/user.h"
#include "../host/user/fail.h"
#include "../host/user/fault.h"

#define MEMFD_NAME	"kvm-vcpu"
#define MEMFD_PATH	"/memfd:" MEMFD_NAME
#define BUS_ADRERR_CODE	2

/* Those whose last page is another's. */
static struct glue_shared *borrowers;
static struct host_mutex borrowers_lock;

/* ---- which mapping is it? -------------------------------------------------------------------- */

struct reader {
	int fd;
	long len, pos;
	char buf[1024];
};

static int next_char(struct reader *r)
{
	if (r->pos == r->len) {
		r->len = sys3(__NR_read, (u64)r->fd, (u64)r->buf, sizeof(r->buf));
		r->pos = 0;
		if (r->len <= 0)
			return r->len = 0, -1;
	}
	return r->buf[r->pos++];
}

/* A number and the character after it. */
static u64 number(struct reader *r, u32 base)
{
	u64 n = 0;
	int c;

	while ((c = next_char(r)) >= 0) {
		u32 digit = c >= 'a' ? (u32)c - 'a' + 10 : (u32)c - '0';

		if (digit >= base)
			break;
		n = n * base + digit;
	}
	return n;
}

static void skip_past(struct reader *r, char what)
{
	int c;

	do
		c = next_char(r);
	while (c >= 0 && c != what);
}

/* The file at addr, by a line of /proc/self/maps: is it a vCPU's, which one, and which page of it? */
static bool find_mapping(u64 addr, u64 *ino, u64 *page)
{
	struct reader r = { .fd = (int)sys3(__NR_open, (u64)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0) };
	bool found = false;

	if (r.fd < 0)
		return false;
	do {
		u64 start = number(&r, 16), end = number(&r, 16), offset;
		const char *path = MEMFD_PATH;
		int c;

		if (!end)
			break;
		if (addr - start >= end - start) {
			skip_past(&r, '\n');
			continue;
		}
		skip_past(&r, ' ');		/* rights */
		offset = number(&r, 16);
		skip_past(&r, ' ');		/* device */
		*ino = number(&r, 10);
		*page = (offset + addr - start) / HV_PAGE_SIZE;
		do
			c = next_char(&r);
		while (c == ' ');
		while (*path && c == *path) {
			path++;
			c = next_char(&r);
		}
		found = !*path;
		break;
	} while (1);
	fd_close_raw(r.fd);
	return found;
}

/* ---- the page that is not there -------------------------------------------------------------- */

static bool on_fault(int sig, siginfo_t *info, ucontext_t *uc)
{
	u64 addr = (u64)info->si_addr & HV_PAGE_MASK, ino, page;
	const struct glue_shared *s;
	long ret = -1;

	if (sig != SIGBUS || info->si_code != BUS_ADRERR_CODE || host_process_is_copy() ||
	    !host_load_acquire(&borrowers) || !find_mapping(addr, &ino, &page))
		return false;
	host_mutex_lock(&borrowers_lock);
	for (s = borrowers; s; s = s->next)
		if (s->ino == ino && s->npages == page)
			break;
	/* with an old size of 0: another mapping of the same page */
	if (s)
		ret = sys6(__NR_mremap, (u64)s->last, 0, HV_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   addr, 0);
	host_mutex_unlock(&borrowers_lock);
	return !sys_is_err(ret);
}

static int borrow_last(struct glue_shared *s)
{
	struct stat st;
	int ret = host_fault_register(on_fault);

	if (ret)
		return ret;
	ret = (int)sys2(__NR_fstat, (u64)s->fd, (u64)&st);
	if (ret)
		return ret;
	s->ino = st.st_ino;
	host_mutex_lock(&borrowers_lock);
	s->next = borrowers;
	host_store_release(&borrowers, s);
	host_mutex_unlock(&borrowers_lock);
	return 0;
}

/* ---- core's glue: entry.h -------------------------------------------------------------------- */

int glue_shared_alloc(struct glue_shared *s, unsigned long npages, unsigned long ring,
		      const struct glue_shared *first)
{
	/* what lies between the pages and the ring takes no memory */
	unsigned long own = ring ? KVM_DIRTY_LOG_PAGE_OFFSET + ring : npages - !!first;
	u64 size = own * HV_PAGE_SIZE;
	long fd, ret;

	if (host_fail(HOST_FAIL_shared))
		return -ENOMEM;
	fd = fd_new_memfd(MEMFD_NAME);
	if (fd < 0)
		return (int)fd;
	ret = sys2(__NR_ftruncate, (u64)fd, size);
	if (ret)
		goto err_close;
	/* the client must not be able to take these pages from under us */
	sys3(__NR_fcntl, (u64)fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	ret = sys6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, (u64)fd, 0);
	if (sys_is_err(ret))
		goto err_close;
	s->addr = (void *)ret;
	s->npages = own;
	s->fd = (int)fd;
	s->next = NULL;
	s->last = first ? first->last : (u8 *)s->addr + (npages - 1) * HV_PAGE_SIZE;
	if (!first || ring)
		return 0;
	ret = borrow_last(s);
	if (!ret)
		return 0;
	sys2(__NR_munmap, (u64)s->addr, size);
	s->addr = NULL;
err_close:
	fd_close_raw((int)fd);
	return (int)ret;
}

void glue_shared_free(struct glue_shared *s)
{
	struct glue_shared **p;

	if (!s->addr)
		return;
	host_mutex_lock(&borrowers_lock);
	for (p = &borrowers; *p; p = &(*p)->next)
		if (*p == s) {
			host_store_release(p, s->next);
			break;
		}
	host_mutex_unlock(&borrowers_lock);
	sys2(__NR_munmap, (u64)s->addr, s->npages * HV_PAGE_SIZE);
	if (s->fd >= 0)
		fd_close_raw(s->fd);
	s->addr = NULL;
	s->fd = -1;
}

void fd_shared_after_fork(void)
{
	host_mutex_init(&borrowers_lock);
	borrowers = NULL;
}
