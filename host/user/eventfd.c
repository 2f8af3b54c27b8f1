/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* eventfd.c - references on the client's eventfds, and watching them from the service thread. */
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fail.h"

#define F_DUPFD_CLOEXEC_CMD	1030
#define RWF_NOWAIT_FLAG		8
#define NR_BUCKETS		64

struct host_eventfd {
	int fd;			/* our own duplicate */
	int client_fd;
	u64 id;			/* the kernel's number for the eventfd, 0 if it does not tell */
	u32 refs;
};

struct host_eventfd_watch {
	struct host_eventfd_watch *next;
	u64 id;
	struct host_eventfd *e;
	void (*fn)(void *arg);
	void *arg;
};

static struct {
	struct host_spinlock lock;
	struct host_eventfd_watch *bucket[NR_BUCKETS];
	u64 next_id;
	struct host_eventfd_watch *running;
	u32 run_seq;
	u32 sync_waiters;
} watches = { .next_id = 1 };

static size_t append(char *buf, size_t at, const char *s)
{
	while (*s)
		buf[at++] = *s++;
	buf[at] = 0;
	return at;
}

static size_t append_fd(char *buf, size_t at, int fd)
{
	char digits[12];
	int n = 0;

	do {
		digits[n++] = (char)('0' + fd % 10);
		fd /= 10;
	} while (fd);
	while (n)
		buf[at++] = digits[--n];
	buf[at] = 0;
	return at;
}

/* Where in s (NUL-terminated) does what begin? */
static const char *find(const char *s, const char *what)
{
	for (; *s; s++) {
		size_t n = 0;

		while (what[n] && s[n] == what[n])
			n++;
		if (!what[n])
			return s + n;
	}
	return NULL;
}

/* -EINVAL if fd is not an eventfd, as far as /proc can tell. */
static int check_is_eventfd(int fd)
{
	char path[48], link[64];
	long n;

	append_fd(path, append(path, 0, "/proc/self/fd/"), fd);
	n = sys3(__NR_readlink, (u64)path, (u64)link, sizeof(link) - 1);
	if (n < 0)
		return 0;
	link[n] = 0;
	return find(link, "anon_inode:[eventfd]") ? 0 : -EINVAL;
}

/* "eventfd-id:" in fdinfo is the same for all descriptors of one eventfd. */
static u64 kernel_id(int fd)
{
	char path[48], text[512];
	const char *p;
	u64 id = 0;
	long f, n;

	append_fd(path, append(path, 0, "/proc/self/fdinfo/"), fd);
	f = sys3(__NR_open, (u64)path, 02000000, 0);
	if (f < 0)
		return 0;
	n = sys3(__NR_read, (u64)f, (u64)text, sizeof(text) - 1);
	sys1(__NR_close, (u64)f);
	text[n > 0 ? n : 0] = 0;
	p = find(text, "eventfd-id:");
	if (!p)
		return 0;
	while (*p == ' ' || *p == '\t')
		p++;
	for (; *p >= '0' && *p <= '9'; p++)
		id = id * 10 + (u64)(*p - '0');
	return id + 1;	/* ids begin at 0 */
}

int host_eventfd_get(int fd, struct host_eventfd **out)
{
	struct host_eventfd *e;
	long own;
	int ret;

	if (host_fail(HOST_FAIL_eventfd))
		return -ENOMEM;
	if (fd < 0)
		return -EBADF;
	own = sys3(__NR_fcntl, (u64)fd, F_DUPFD_CLOEXEC_CMD, 3);
	if (own < 0)
		return (int)own;
	ret = check_is_eventfd((int)own);
	if (ret)
		goto err_close;
	ret = -ENOMEM;
	e = host_zalloc(sizeof(*e));
	if (!e)
		goto err_close;
	e->fd = (int)own;
	e->client_fd = fd;
	e->id = kernel_id((int)own);
	e->refs = 1;
	*out = e;
	return 0;
err_close:
	sys1(__NR_close, (u64)own);
	return ret;
}

void host_eventfd_put(struct host_eventfd *e)
{
	if (!e || host_fetch_add(&e->refs, (u32)-1) != 1)
		return;
	sys1(__NR_close, (u64)e->fd);
	host_free(e);
}

bool host_eventfd_same(const struct host_eventfd *a, const struct host_eventfd *b)
{
	long ret;

	if (a == b)
		return true;
	if (a->id && b->id)
		return a->id == b->id;
	ret = sys1(__NR_getpid, 0);
	ret = sys6(__NR_kcmp, (u64)ret, (u64)ret, 0 /* KCMP_FILE */, (u64)a->fd, (u64)b->fd, 0);
	return ret >= 0 ? ret == 0 : a->client_fd == b->client_fd;
}

void host_eventfd_signal(struct host_eventfd *e)
{
	u64 one = 1;

	sys3(__NR_write, (u64)e->fd, (u64)&one, sizeof(one));
}

/*
 * Take the count to zero; false if there was none. Never blocks, though the client's descriptor
 * may.
 */
static bool drain(int fd)
{
	u64 count;
	struct { void *base; u64 len; } iov = { &count, sizeof(count) };
	struct { int fd; short events, revents; } pfd = { fd, 1 /* POLLIN */, 0 };
	long ret = sys6(__NR_preadv2, (u64)fd, (u64)&iov, 1, (u64)-1, (u64)-1, RWF_NOWAIT_FLAG);

	if (ret != -EOPNOTSUPP)
		return ret == sizeof(count);
	/* kernels before 5.8 */
	if (sys3(__NR_poll, (u64)&pfd, 1, 0) != 1)
		return false;
	return sys3(__NR_read, (u64)fd, (u64)&count, sizeof(count)) == sizeof(count);
}

static struct host_eventfd_watch **find_watch(u64 id)
{
	struct host_eventfd_watch **p = &watches.bucket[id % NR_BUCKETS];

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

int host_eventfd_watch(struct host_eventfd *e, void (*fn)(void *arg), void *arg,
		       struct host_eventfd_watch **out)
{
	struct host_eventfd_watch *w, **p;
	int ret = host_service_start();

	if (ret)
		return ret;
	if (host_fail(HOST_FAIL_eventfd))
		return -ENOMEM;
	w = host_zalloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	/* a descriptor of its own: epoll knows a file and descriptor pair only once */
	w->e = host_zalloc(sizeof(*w->e));
	if (!w->e)
		goto err_watch;
	ret = (int)sys3(__NR_fcntl, (u64)e->fd, F_DUPFD_CLOEXEC_CMD, 3);
	if (ret < 0)
		goto err_eventfd;
	w->e->fd = ret;
	w->e->refs = 1;
	w->fn = fn;
	w->arg = arg;
	host_spin_lock(&watches.lock);
	w->id = watches.next_id++;
	p = &watches.bucket[w->id % NR_BUCKETS];
	w->next = *p;
	*p = w;
	host_spin_unlock(&watches.lock);
	*out = w;	/* before fn can be called */
	ret = host_service_watch(w->e->fd, w->id);
	if (ret) {
		host_eventfd_unwatch(w);
		*out = NULL;
	}
	return ret;
err_eventfd:
	host_free(w->e);
	host_free(w);
	return ret;
err_watch:
	host_free(w);
	return -ENOMEM;
}

void host_eventfd_unwatch(struct host_eventfd_watch *w)
{
	struct host_eventfd_watch **p;

	if (!w)
		return;
	host_service_unwatch(w->e->fd);
	host_spin_lock(&watches.lock);
	p = find_watch(w->id);
	if (*p)
		*p = w->next;
	while (watches.running == w && !host_service_is_self()) {
		u32 seq = watches.run_seq;

		watches.sync_waiters++;
		host_spin_unlock(&watches.lock);
		sys_futex_wait(&watches.run_seq, seq, ~0ULL);
		host_spin_lock(&watches.lock);
		watches.sync_waiters--;
	}
	host_spin_unlock(&watches.lock);
	host_eventfd_put(w->e);
	host_free(w);
}

/** The service thread saw input on watch id; the watch may be gone by now. */
void host_eventfd_ready(u64 id)
{
	struct host_eventfd_watch *w;
	void (*fn)(void *arg);
	void *arg;

	host_spin_lock(&watches.lock);
	w = *find_watch(id);
	if (!w || !drain(w->e->fd)) {
		host_spin_unlock(&watches.lock);
		return;
	}
	fn = w->fn;
	arg = w->arg;
	watches.running = w;
	host_spin_unlock(&watches.lock);
	fn(arg);
	host_spin_lock(&watches.lock);
	watches.running = NULL;
	host_fetch_add(&watches.run_seq, 1);
	if (watches.sync_waiters)
		sys_futex_wake(&watches.run_seq, 0x7fffffff);
	host_spin_unlock(&watches.lock);
}

void host_eventfds_after_fork(void)
{
	u64 id = watches.next_id;

	host_memset(&watches, 0, sizeof(watches));
	watches.next_id = id;
}
