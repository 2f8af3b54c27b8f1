/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * loop.h - the main thread's event loop: descriptors and timers.
 *
 * Callbacks run in the main thread. loop_timer_set(), loop_wake() may be called from any thread,
 * the rest from the main thread only.
 */
#ifndef VMM_LOOP_H
#define VMM_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop {
	int epoll_fd;
	int wake_fd;
	bool stop;
};

struct loop_source {
	int fd;
	void (*ready)(void *opaque);
	void *opaque;
	bool enabled;
};

struct loop_timer {
	struct loop_source src;
	void (*expired)(void *opaque);
	void *opaque;
};

/** 0 or -errno. */
int loop_init(struct loop *loop);
void loop_destroy(struct loop *loop);

/** Watch @fd for input. 0; -EPERM: it cannot be watched (a regular file, always ready); -errno. */
int loop_add(struct loop *loop, struct loop_source *src, int fd, void (*ready)(void *),
	     void *opaque);
/** Stop watching, watch again. */
void loop_enable(struct loop *loop, struct loop_source *src, bool on);
void loop_remove(struct loop *loop, struct loop_source *src);

/** A timer on CLOCK_MONOTONIC, not armed. 0 or -errno. */
int loop_timer_init(struct loop *loop, struct loop_timer *t, void (*expired)(void *), void *opaque);
/** Expire once at @when (ns, absolute; in the past: at once); 0: disarm. Any thread. */
void loop_timer_set(struct loop_timer *t, uint64_t when);
void loop_timer_destroy(struct loop *loop, struct loop_timer *t);

/** Run callbacks until loop_wake() is called. */
void loop_run(struct loop *loop);
/** Make loop_run() return soon, also when it has not begun. Any thread. */
void loop_wake(struct loop *loop);

/** CLOCK_MONOTONIC in ns. */
uint64_t clock_ns(void);

#endif
