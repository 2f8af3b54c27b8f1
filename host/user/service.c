/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * service.c - the process's one thread of ours. It sleeps in epoll on a timerfd (for timer.c), on
 * watched eventfds (for eventfd.c), and on an eventfd by which others wake it. It has all signals
 * blocked but the synchronous ones.
 *
 * vCPU threads may be confined to few system calls; to wake the thread they use write(2), which
 * ioeventfds need anyway.
 */
#include <pthread.h>
#include <linux/eventpoll.h>
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fail.h"
#include "signal.h"

#define ID_TIMER	0	/* 1 and up: eventfd watches */
#define ID_WAKE		(~0ULL)
#define EVENTS		16
#define FD_CLOEXEC_FLAG	02000000
#define STACK_SIZE	(256 * 1024UL)

/* As sched_setattr(2) takes it; <linux/sched/types.h> clashes with <pthread.h>. */
struct sched_slice {
	u32 size, policy;
	u64 flags;
	s32 nice;
	u32 priority;
	u64 runtime, deadline, period;
};

static struct {
	int epoll_fd, timer_fd, wake_fd;
	bool running;
	u64 self;		/* thread_self() of the thread */
} service;
static struct host_mutex start_lock;

bool host_service_is_self(void)
{
	return host_load_relaxed(&service.self) == thread_self();
}

static void watch(int fd, u64 id, u32 events)
{
	struct epoll_event ev = { .events = events, .data = id };

	sys4(__NR_epoll_ctl, (u64)service.epoll_fd, EPOLL_CTL_ADD, (u64)fd, (u64)&ev);
}

int host_service_watch(int fd, u64 id)
{
	struct epoll_event ev = { .events = EPOLLIN, .data = id };

	return (int)sys4(__NR_epoll_ctl, (u64)service.epoll_fd, EPOLL_CTL_ADD, (u64)fd, (u64)&ev);
}

void host_service_unwatch(int fd)
{
	struct epoll_event ev = { 0 };

	sys4(__NR_epoll_ctl, (u64)service.epoll_fd, EPOLL_CTL_DEL, (u64)fd, (u64)&ev);
}

void host_service_wake(void)
{
	u64 one = 1;

	sys3(__NR_write, (u64)service.wake_fd, (u64)&one, sizeof(one));
}

/* By the service thread only. ~0: never. */
void host_service_program(u64 expires_ns)
{
	struct {
		struct __kernel_timespec interval, value;
	} spec = { 0 };

	if (expires_ns != ~0ULL) {
		spec.value.tv_sec = expires_ns / 1000000000;
		spec.value.tv_nsec = expires_ns % 1000000000;
		if (!expires_ns)
			spec.value.tv_nsec = 1;
	}
	sys4(__NR_timerfd_settime, (u64)service.timer_fd, 1 /* TFD_TIMER_ABSTIME */, (u64)&spec, 0);
}

static void *service_main(void *arg)
{
	struct epoll_event ev[EVENTS];
	struct sched_slice slice = { .size = sizeof(slice), .runtime = 100000 };

	host_store_relaxed(&service.self, thread_self());
	sys2(__NR_prctl, 15 /* PR_SET_NAME */, (u64)"anykvm-service");
	/* A short slice, where the kernel knows them, lets this thread run at once when a timer
	 * fires. */
	sys3(__NR_sched_setattr, 0, (u64)&slice, 0);
	for (;;) {
		long i, n;

		host_timers_run();
		host_eventfds_look();
		n = sys4(__NR_epoll_wait, (u64)service.epoll_fd, (u64)ev, EVENTS, (u64)-1);
		if (n < 0 && n != -EINTR)
			break;
		for (i = 0; i < n; i++) {
			u64 drained;

			if (ev[i].data == ID_WAKE)
				sys3(__NR_read, (u64)service.wake_fd, (u64)&drained,
				     sizeof(drained));
			else if (ev[i].data != ID_TIMER)
				host_eventfd_ready(ev[i].data);
		}
	}
	host_log("service thread: epoll_wait failed");
	return arg;
}

static int start_thread(void)
{
	u64 blocked = ~SIGNAL_SYNC_MASK, old;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	if (host_fail(HOST_FAIL_thread))
		return -EAGAIN;
	/* the new thread inherits the mask */
	sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, (u64)&blocked, (u64)&old, sizeof(u64));
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	ret = pthread_create(&thread, &attr, service_main, NULL);
	pthread_attr_destroy(&attr);
	sys4(__NR_rt_sigprocmask, 2, (u64)&old, 0, sizeof(u64));
	return -ret;
}

static void close_if(int fd)
{
	if (fd >= 0)
		sys1(__NR_close, (u64)fd);
}

static int start_locked(void)
{
	int ret;

	service.epoll_fd = (int)sys1(__NR_epoll_create1, FD_CLOEXEC_FLAG);
	service.timer_fd = (int)sys2(__NR_timerfd_create, 1 /* CLOCK_MONOTONIC */, FD_CLOEXEC_FLAG | 04000);
	service.wake_fd = (int)sys2(__NR_eventfd2, 0, FD_CLOEXEC_FLAG | 04000 /* O_NONBLOCK */);
	ret = -EMFILE;
	if (service.epoll_fd < 0 || service.timer_fd < 0 || service.wake_fd < 0)
		goto err;
	/* edge-triggered: programming it anew is all that an expired timerfd needs */
	watch(service.timer_fd, ID_TIMER, EPOLLIN | EPOLLET);
	watch(service.wake_fd, ID_WAKE, EPOLLIN);
	ret = start_thread();
	if (ret)
		goto err;
	host_store_release(&service.running, true);
	return 0;
err:
	close_if(service.epoll_fd);
	close_if(service.timer_fd);
	close_if(service.wake_fd);
	return ret;
}

int host_service_start(void)
{
	int ret = 0;

	if (host_load_acquire(&service.running))
		return 0;
	host_mutex_lock(&start_lock);
	if (!service.running)
		ret = start_locked();
	host_mutex_unlock(&start_lock);
	return ret;
}

/*
 * The child's copies of the descriptors stay open: by now their numbers may belong to files of the
 * client's.
 */
void host_service_after_fork(void)
{
	host_mutex_init(&start_lock);
	service.running = false;
	service.self = 0;
}
