/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * eventwatch.c - watching the client's eventfds from the service thread, without keeping them open.
 *
 * A descriptor of ours would keep the eventfd alive when everybody else has closed it, and nothing
 * tells that only ours is left. But an epoll instance holds no reference: the kernel takes a file
 * out of it when the file's last descriptor is closed, whichever process that was in. So each watch
 * is an epoll instance with one eventfd in it, and the service thread's epoll waits for those.
 *
 * To drain the count a descriptor is needed for a moment. The client's is duplicated, and the
 * duplicate compared with what the epoll instance watches: kcmp(2) tells, and also that nothing is
 * left in there. Where kcmp is not to be had, /proc has the same facts.
 *
 * Who signals is often a thread of the same process, and the preload library sees its write(2). Then
 * the watch's function runs at once in that thread, and the kernel's eventfd stays as it is, as
 * after a write and a drain: one thread less has to wake up for each interrupt.
 */
#include <linux/eventpoll.h>
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fail.h"
#include "eventfd.h"
#include "signal.h"

#define RWF_NOWAIT_FLAG		8
#define KCMP_EPOLL_TFD_TYPE	7
#define NR_BUCKETS		64
#define NR_KEPT			32

struct host_eventfd_watch {
	struct host_eventfd_watch *next;	/* in its bucket of watches.by_id */
	struct host_eventfd_watch *next_fd;	/* ... of watches.by_fd, while client_fd >= 0 */
	u64 id;
	u32 pins;		/* threads that use it without the lock */
	bool alone;		/* no other watch is known to be on the same eventfd */
	int epoll;		/* holds the eventfd; -1 when the watch has ended */
	u32 entry;		/* the descriptor by which it was put in there, closed since */
	int client_fd;		/* where we last saw the eventfd in this process; -1: nowhere */
	u64 kernel_id;
	void (*fn)(void *arg);
	void (*gone)(void *arg);
	void *arg;
};

static struct {
	struct host_spinlock lock;
	struct host_eventfd_watch *by_id[NR_BUCKETS], *by_fd[NR_BUCKETS];
	u64 next_id;
	u32 nr;
	struct host_eventfd_watch *running;	/* pinned by the service thread */
	u32 run_seq;				/* counts pins that end */
	u32 sync_waiters;
	bool filtered;				/* the client may have forbidden system calls */
	bool look;				/* a descriptor was closed: has a watch ended? */
	s32 pid;
	/* one more than descriptors that keep eventfds open until their last signal is seen */
	s32 kept[NR_KEPT];
} watches = { .next_id = 1 };

u64 host_eventfd_hints[HOST_EVENTFD_HINTS / 64];

/* ---- what is in the epoll instance ----------------------------------------------------------- */

static long compare(const struct host_eventfd_watch *w, int fd)
{
	struct { u32 efd, tfd, toff; } slot = { (u32)w->epoll, w->entry, 0 };
	u64 pid = (u64)sys1(__NR_getpid, 0);

	return sys6(__NR_kcmp, pid, pid, KCMP_EPOLL_TFD_TYPE, (u64)fd, (u64)&slot, 0);
}

/* Is fd a descriptor of the watched eventfd? */
static bool is_watched(const struct host_eventfd_watch *w, int fd)
{
	long ret = compare(w, fd);

	if (ret >= 0 || ret == -ENOENT || ret == -EBADF)
		return !ret;
	return !w->kernel_id || host_eventfd_kernel_id(fd) == w->kernel_id;
}

/*
 * Has the last descriptor of the eventfd been closed? To ask what is in the epoll instance any
 * other will do.
 */
static bool has_ended(const struct host_eventfd_watch *w)
{
	char text[FDINFO_SIZE];
	long ret;

	if (w->epoll < 0)
		return true;
	ret = compare(w, w->epoll);
	if (ret >= 0 || ret == -ENOENT)
		return ret < 0;
	return host_proc_fdinfo(w->epoll, text) && !host_proc_find(text, "tfd:");
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

static struct host_eventfd_watch **fd_bucket(int fd)
{
	return &watches.by_fd[(u32)fd % NR_BUCKETS];
}

/* The lock is held. */
static void forget_client_fd(struct host_eventfd_watch *w)
{
	struct host_eventfd_watch **p;

	if (w->client_fd < 0)
		return;
	for (p = fd_bucket(w->client_fd); *p != w; p = &(*p)->next_fd)
		;
	*p = w->next_fd;
	w->client_fd = -1;
}

/* The lock is held, w->client_fd -1. */
static void note_client_fd(struct host_eventfd_watch *w, int fd)
{
	if (fd < 0)
		return;
	w->client_fd = fd;
	w->next_fd = *fd_bucket(fd);
	*fd_bucket(fd) = w;
	host_fetch_or(&host_eventfd_hints[fd % HOST_EVENTFD_HINTS / 64], BIT_ULL(fd % 64));
}

/* The client has closed the descriptor that we know of: look for another one in this process. */
static void find_descriptor(struct host_eventfd_watch *w)
{
	struct { u64 ino; s64 off; u16 len; u8 type; char name[]; } *d;
	u8 buf[2048] __aligned(8);
	long dir, n, pos;
	int found = -1;

	dir = sys3(__NR_open, (u64)"/proc/self/fd", 02200000 /* O_DIRECTORY | O_CLOEXEC */, 0);
	if (dir >= 0) {
		while (found < 0 &&
		       (n = sys3(__NR_getdents64, (u64)dir, (u64)buf, sizeof(buf))) > 0)
			for (pos = 0; pos < n && found < 0; pos += d->len) {
				int fd = 0, i;

				d = (void *)(buf + pos);
				for (i = 0; d->name[i] >= '0' && d->name[i] <= '9'; i++)
					fd = fd * 10 + (d->name[i] - '0');
				if (i && fd != dir && fd != w->epoll && is_watched(w, fd))
					found = fd;
			}
		sys1(__NR_close, (u64)dir);
	}
	host_spin_lock(&watches.lock);
	forget_client_fd(w);
	note_client_fd(w, found);
	host_spin_unlock(&watches.lock);
}

/* A duplicate of the client's descriptor, or -1. */
static int borrow(struct host_eventfd_watch *w)
{
	int tries, fd;

	for (tries = 0; w->client_fd >= 0 && tries < 2; tries++) {
		fd = (int)sys3(__NR_fcntl, (u64)w->client_fd, F_DUPFD_CLOEXEC_CMD, 3);
		if (fd >= 0 && is_watched(w, fd))
			return fd;
		if (fd >= 0)
			sys1(__NR_close, (u64)fd);
		else if (fd != -EBADF)
			return -1;
		find_descriptor(w);
	}
	return -1;
}

/*
 * Was it signalled? Without a descriptor in this process the count stays, and each write to it is
 * an event.
 */
static bool take_event(struct host_eventfd_watch *w)
{
	struct epoll_event ev;
	bool signalled;
	int fd;

	if (w->epoll < 0 || sys4(__NR_epoll_wait, (u64)w->epoll, (u64)&ev, 1, 0) != 1)
		return false;
	fd = borrow(w);
	if (fd < 0)
		return true;
	signalled = drain(fd);
	sys1(__NR_close, (u64)fd);
	return signalled;
}

/* The lock is not held, nor is w in use by another thread. */
static void end_watch(struct host_eventfd_watch *w)
{
	int epoll = w->epoll;

	host_spin_lock(&watches.lock);
	w->epoll = -1;
	host_spin_unlock(&watches.lock);
	host_service_unwatch(epoll);
	sys1(__NR_close, (u64)epoll);
}

/* ---- the table ------------------------------------------------------------------------------- */

static struct host_eventfd_watch **find_watch(u64 id)
{
	struct host_eventfd_watch **p = &watches.by_id[id % NR_BUCKETS];

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

/* The lock is held; gives it back, but keeps w from going away. */
static void pin(struct host_eventfd_watch *w)
{
	w->pins++;
	if (host_service_is_self())
		watches.running = w;
	host_spin_unlock(&watches.lock);
}

/* Takes the lock. */
static void unpin(struct host_eventfd_watch *w)
{
	host_spin_lock(&watches.lock);
	if (host_service_is_self())
		watches.running = NULL;
	w->pins--;
	host_fetch_add(&watches.run_seq, 1);
	if (watches.sync_waiters)
		sys_futex_wake(&watches.run_seq, 0x7fffffff);
}

/* The lock is held: wait until no other thread uses w. */
static void wait_unpinned(struct host_eventfd_watch *w)
{
	u32 own = host_service_is_self() && watches.running == w;

	while (w->pins > own) {
		u32 seq = watches.run_seq;

		watches.sync_waiters++;
		host_spin_unlock(&watches.lock);
		sys_futex_wait(&watches.run_seq, seq, ~0ULL);
		host_spin_lock(&watches.lock);
		watches.sync_waiters--;
	}
}

/* The lock is held: is w the only watch on its eventfd? If not, the kernel tells all of them. */
static void look_for_others(struct host_eventfd_watch *w)
{
	struct host_eventfd_watch *o;
	u32 i;

	w->alone = w->kernel_id;
	for (i = 0; i < NR_BUCKETS; i++)
		for (o = watches.by_id[i]; o; o = o->next)
			if (o->epoll >= 0 && o->kernel_id == w->kernel_id)
				o->alone = w->alone = false;
}

/* An epoll instance with e in it, not among the standard descriptors. Or -errno. */
static int weak_reference(const struct host_eventfd *e)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	long fd = sys1(__NR_epoll_create1, 02000000 /* EPOLL_CLOEXEC */), ret;

	if (fd >= 0 && fd < 3) {
		ret = sys3(__NR_fcntl, (u64)fd, F_DUPFD_CLOEXEC_CMD, 3);
		sys1(__NR_close, (u64)fd);
		fd = ret;
	}
	if (fd < 0)
		return (int)fd;
	ret = sys4(__NR_epoll_ctl, (u64)fd, EPOLL_CTL_ADD, (u64)e->fd, (u64)&ev);
	if (!ret)
		return (int)fd;
	sys1(__NR_close, (u64)fd);
	return (int)ret;
}

int host_eventfd_watch(struct host_eventfd *e, void (*fn)(void *arg), void (*gone)(void *arg),
		       void *arg, struct host_eventfd_watch **out)
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
	ret = weak_reference(e);
	if (ret < 0) {
		host_free(w);
		return ret;
	}
	w->epoll = ret;
	w->entry = (u32)e->fd;
	w->client_fd = -1;
	w->kernel_id = e->id;
	w->fn = fn;
	w->gone = gone;
	w->arg = arg;
	host_spin_lock(&watches.lock);
	note_client_fd(w, e->client_fd);
	look_for_others(w);
	host_store_relaxed(&watches.pid, (s32)sys1(__NR_getpid, 0));
	watches.nr++;
	w->id = watches.next_id++;
	p = &watches.by_id[w->id % NR_BUCKETS];
	w->next = *p;
	*p = w;
	host_spin_unlock(&watches.lock);
	*out = w;	/* before fn can be called */
	ret = host_service_watch(w->epoll, w->id);
	if (ret) {
		host_eventfd_unwatch(w);
		*out = NULL;
	}
	return ret;
}

void host_eventfd_unwatch(struct host_eventfd_watch *w)
{
	struct host_eventfd_watch **p;

	if (!w)
		return;
	host_spin_lock(&watches.lock);
	p = find_watch(w->id);
	if (*p)
		*p = w->next;
	w->alone = false;	/* nobody takes it up again */
	if (!--watches.nr)
		host_memset(host_eventfd_hints, 0, sizeof(host_eventfd_hints));
	wait_unpinned(w);
	forget_client_fd(w);
	host_spin_unlock(&watches.lock);
	if (w->epoll >= 0)
		end_watch(w);
	host_free(w);
}

bool host_eventfd_watches(struct host_eventfd_watch *w, const struct host_eventfd *e)
{
	bool ret;

	host_spin_lock(&watches.lock);
	wait_unpinned(w);
	ret = w->epoll >= 0 && is_watched(w, e->fd);
	host_spin_unlock(&watches.lock);
	return ret;
}

bool host_eventfd_watch_ended(struct host_eventfd_watch *w)
{
	bool ret;

	host_spin_lock(&watches.lock);
	wait_unpinned(w);
	ret = has_ended(w);
	host_spin_unlock(&watches.lock);
	return ret;
}

/* ---- the service thread ---------------------------------------------------------------------- */

static void deliver(struct host_eventfd_watch *w)
{
	if (take_event(w))
		w->fn(w->arg);
}

/** The service thread saw input on watch id; the watch may be gone by now. */
void host_eventfd_ready(u64 id)
{
	struct host_eventfd_watch *w;

	host_spin_lock(&watches.lock);
	w = *find_watch(id);
	if (w) {
		pin(w);
		deliver(w);
		unpin(w);
	}
	host_spin_unlock(&watches.lock);
}

/* Has w ended, or is the eventfd at another descriptor now, whose closing is to be noticed? */
static void look_at(struct host_eventfd_watch *w)
{
	if (w->epoll < 0)
		return;
	if (has_ended(w)) {
		host_spin_lock(&watches.lock);
		w->alone = false;
		wait_unpinned(w);
		host_spin_unlock(&watches.lock);
		end_watch(w);
		w->gone(w->arg);
	} else if (w->client_fd >= 0 && !is_watched(w, w->client_fd)) {
		find_descriptor(w);
	}
}

static void for_each_watch(void (*f)(struct host_eventfd_watch *w))
{
	struct host_eventfd_watch *w, *next;
	u64 last;
	u32 i;

	host_spin_lock(&watches.lock);
	for (i = 0; i < NR_BUCKETS; i++)
		for (last = 0;;) {
			/* by number, as the list changes while the lock is not held */
			next = NULL;
			for (w = watches.by_id[i]; w; w = w->next)
				if (w->id > last && (!next || w->id < next->id))
					next = w;
			if (!next)
				break;
			last = next->id;
			pin(next);
			f(next);
			unpin(next);
		}
	host_spin_unlock(&watches.lock);
}

void host_eventfds_look(void)
{
	s32 kept[NR_KEPT];
	u32 i;

	if (likely(!host_load_relaxed(&watches.look)) || !host_xchg(&watches.look, false))
		return;
	for (i = 0; i < NR_KEPT; i++)
		kept[i] = host_xchg(&watches.kept[i], 0);
	for_each_watch(deliver);
	for (i = 0; i < NR_KEPT; i++)
		if (kept[i])
			sys1(__NR_close, (u64)kept[i] - 1);
	for_each_watch(look_at);
}

/* A vfork() child shares this memory, but not the descriptors that it closes or writes to. */
static bool own_descriptors(void)
{
	return !host_process_is_copy() &&
	       (s32)sys1(__NR_getpid, 0) == host_load_relaxed(&watches.pid);
}

void host_eventfd_closing(int fd)
{
	s32 copy;
	u32 i;

	if (!own_descriptors())
		return;
	copy = (s32)sys3(__NR_fcntl, (u64)fd, F_DUPFD_CLOEXEC_CMD, 3);
	if (copy < 0)
		return;
	for (i = 0; i < NR_KEPT; i++)
		if (!host_cmpxchg(&watches.kept[i], 0, copy + 1))
			return;
	sys1(__NR_close, (u64)copy);
}

void host_eventfd_closed(void)
{
	if (host_load_relaxed(&watches.nr) && own_descriptors() && !host_xchg(&watches.look, true))
		host_service_wake();
}

/* ---- writers in this process ----------------------------------------------------------------- */

/* The lock is held: the watch whose eventfd is at fd, if it may be told without the kernel. */
static struct host_eventfd_watch *watch_at(int fd)
{
	struct host_eventfd_watch *w;

	for (w = *fd_bucket(fd); w; w = w->next_fd)
		if (w->client_fd == fd && w->alone && !compare(w, fd))
			return w;
	return NULL;
}

static bool signal_directly(int fd)
{
	struct host_eventfd_watch *w;

	host_spin_lock(&watches.lock);
	w = watch_at(fd);
	if (w) {
		pin(w);
		w->fn(w->arg);
		unpin(w);
	}
	host_spin_unlock(&watches.lock);
	return w;
}

bool host_eventfd_write(int fd, const void *buf)
{
	bool done = false;
	u64 add;

	/* a handler of the client's that came in the middle of a call of ours, perhaps under our locks */
	if (host_call_active() || host_load_relaxed(&watches.filtered) || !own_descriptors())
		return false;
	host_call_begin();
	/* A write of one leaves nothing in the eventfd when it has been taken, whatever kind that is
	 * and whatever was in there. */
	if (!host_copy_from_caller(&add, (u64)buf, sizeof(add)) && add == 1)
		done = signal_directly(fd);
	host_call_end();
	return done;
}

void host_eventfds_filtered(void)
{
	host_store_relaxed(&watches.filtered, true);
}

void host_eventfds_after_fork(void)
{
	bool filtered = watches.filtered;
	u64 id = watches.next_id;

	host_memset(&watches, 0, sizeof(watches));
	host_memset(host_eventfd_hints, 0, sizeof(host_eventfd_hints));
	watches.next_id = id;
	watches.filtered = filtered;
}
