// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* loop.c - the main thread's event loop. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define NSEC_PER_SEC	1000000000ull

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int loop_init(struct loop *loop)
{
	/* NULL: the wake-up descriptor */
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	int ret;

	loop->stop = false;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		ret = -errno;
		goto err_epoll;
	}
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev)) {
		ret = -errno;
		goto err_wake;
	}
	return 0;

err_wake:
	close(loop->wake_fd);
err_epoll:
	close(loop->epoll_fd);
	return ret;
}

void loop_destroy(struct loop *loop)
{
	close(loop->wake_fd);
	close(loop->epoll_fd);
}

int loop_add(struct loop *loop, struct loop_source *src, int fd, void (*ready)(void *),
	     void *opaque)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = src };

	*src = (struct loop_source){ .fd = fd, .ready = ready, .opaque = opaque };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	src->enabled = true;
	return 0;
}

void loop_enable(struct loop *loop, struct loop_source *src, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = src };

	if (src->enabled == on)
		return;
	/* Removed rather than masked: epoll reports a hang-up even where no event is asked for. */
	if (!epoll_ctl(loop->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, src->fd, &ev))
		src->enabled = on;
}

void loop_remove(struct loop *loop, struct loop_source *src)
{
	loop_enable(loop, src, false);
}

static void timer_ready(void *opaque)
{
	struct loop_timer *t = opaque;
	uint64_t count;

	if (read(t->src.fd, &count, sizeof(count)) == sizeof(count))
		t->expired(t->opaque);
}

int loop_timer_init(struct loop *loop, struct loop_timer *t, void (*expired)(void *), void *opaque)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int ret;

	if (fd < 0)
		return -errno;
	t->expired = expired;
	t->opaque = opaque;
	ret = loop_add(loop, &t->src, fd, timer_ready, t);
	if (ret)
		close(fd);
	return ret;
}

void loop_timer_set(struct loop_timer *t, uint64_t when)
{
	struct itimerspec its = {
		.it_value = { .tv_sec = when / NSEC_PER_SEC, .tv_nsec = when % NSEC_PER_SEC },
	};

	timerfd_settime(t->src.fd, TFD_TIMER_ABSTIME, &its, NULL);
}

void loop_timer_destroy(struct loop *loop, struct loop_timer *t)
{
	loop_remove(loop, &t->src);
	close(t->src.fd);
}

void loop_run(struct loop *loop)
{
	struct epoll_event ev[8];
	struct loop_source *src;
	uint64_t count;
	int i, n;

	loop->stop = false;
	while (!loop->stop) {
		n = epoll_wait(loop->epoll_fd, ev, 8, -1);
		for (i = 0; i < n; i++) {
			src = ev[i].data.ptr;
			if (src) {
				/* A callback before this one may have disabled it. */
				if (src->enabled)
					src->ready(src->opaque);
			} else if (read(loop->wake_fd, &count, sizeof(count)) > 0) {
				loop->stop = true;
			}
		}
	}
}

void loop_wake(struct loop *loop)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(loop->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}
