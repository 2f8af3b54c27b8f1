/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Timers and watched eventfds of host/user: order, accuracy, cancelling against running, forked
 * children.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>
#include "host/host.h"
#include "host/user/eventfd.h"
#include "host/user/fail.h"
#include "host/user/signal.h"
#include "host/user/user.h"

struct shot {
	struct host_timer timer;
	u64 fired_at;
	u32 order;
	u32 count;
};

static u32 shots, sequence;

static void on_shot(struct host_timer *t)
{
	struct shot *s = container_of(t, struct shot, timer);

	host_store_relaxed(&s->fired_at, host_monotonic_ns());
	host_store_relaxed(&s->order, host_fetch_add(&sequence, 1));
	host_fetch_add(&s->count, 1);
	host_fetch_add(&shots, 1);
}

/* Wait up to two seconds. */
#define WAIT_FOR(cond) do {					\
	for (int i_ = 0; i_ < 20000 && !(cond); i_++)		\
		usleep(100);					\
	assert_true(cond);					\
} while (0)

static void fires_in_order_and_never_early(void **state)
{
	enum { N = 50 };
	static struct shot s[N];
	u64 base = host_monotonic_ns() + 20000000, worst = 0;
	u32 i;

	shots = sequence = 0;
	for (i = 0; i < N; i++) {
		/* 7 and 50 have no common divisor: armed in a mixed order */
		u32 k = i * 7 % N;

		host_timer_init(&s[k].timer, on_shot);
		host_timer_arm(&s[k].timer, base + k * 100000);
	}
	WAIT_FOR(host_load_acquire(&shots) == N);
	for (i = 0; i < N; i++) {
		assert_true(s[i].fired_at >= base + i * 100000);
		assert_int_equal(s[i].order, i);
		worst = max(worst, s[i].fired_at - (base + i * 100000));
		assert_int_equal(s[i].timer.expires_ns, 0);
	}
	print_message("latest of %d: %lu us\n", N, (unsigned long)worst / 1000);
	for (i = 0; i < N; i++)
		host_timer_cancel_sync(&s[i].timer);
}

static void rearm_moves_and_cancel_stops(void **state)
{
	struct shot a = { .count = 0 }, b = { .count = 0 }, c = { .count = 0 };
	u64 now = host_monotonic_ns();

	host_timer_init(&a.timer, on_shot);
	host_timer_init(&b.timer, on_shot);
	host_timer_init(&c.timer, on_shot);
	host_timer_arm(&a.timer, now + 3600000000000ULL);
	host_timer_arm(&b.timer, now + 5000000);
	host_timer_arm(&c.timer, now + 5000000);
	host_timer_arm(&a.timer, now + 2000000);	/* earlier */
	host_timer_cancel(&b.timer);
	host_timer_arm(&c.timer, now + 20000000);	/* later */
	WAIT_FOR(host_load_acquire(&a.count) == 1);
	WAIT_FOR(host_load_acquire(&c.count) == 1);
	assert_true(host_load_relaxed(&c.fired_at) >= now + 20000000);
	assert_int_equal(host_load_relaxed(&b.count), 0);
	host_timer_cancel_sync(&a.timer);
	host_timer_cancel_sync(&b.timer);
	host_timer_cancel_sync(&c.timer);
}

/* A thousand timers in one heap, most cancelled from the middle. */
static void heap_keeps_its_order(void **state)
{
	enum { N = 1000 };
	struct shot *s = calloc(N, sizeof(*s));
	u64 base = host_monotonic_ns() + 30000000;
	u32 i, last = 0, left = 0;

	shots = sequence = 0;
	srand(1);
	for (i = 0; i < N; i++) {
		host_timer_init(&s[i].timer, on_shot);
		host_timer_arm(&s[i].timer, base + (u64)(rand() % 5000) * 1000 + 1);
		s[i].order = ~0u;
		s[i].fired_at = s[i].timer.expires_ns;
	}
	for (i = 0; i < N; i++)
		if (rand() % 3)
			host_timer_cancel(&s[i].timer);
		else
			left++;
	WAIT_FOR(host_load_acquire(&shots) == left);
	for (i = 0; i < N; i++) {
		host_timer_cancel_sync(&s[i].timer);
		last += s[i].count;
	}
	assert_int_equal(last, left);
	free(s);
}

static void on_slow(struct host_timer *t)
{
	struct shot *s = container_of(t, struct shot, timer);

	host_store_release(&s->count, 1);
	usleep(20000);
	host_store_release(&s->count, 2);
	/* and again: the cancel must stop this too */
	host_timer_arm(t, host_monotonic_ns() + 1000000);
}

static void cancel_sync_waits_for_a_running_fn(void **state)
{
	struct shot s = { .count = 0 };

	host_timer_init(&s.timer, on_slow);
	host_timer_arm(&s.timer, 1);
	WAIT_FOR(host_load_acquire(&s.count) == 1);
	host_timer_cancel_sync(&s.timer);
	assert_int_equal(host_load_acquire(&s.count), 2);
	usleep(5000);
	assert_int_equal(host_load_acquire(&s.count), 2);
}

static void *arm_and_cancel(void *arg)
{
	struct shot s = { .count = 0 };

	host_timer_init(&s.timer, on_shot);
	for (int i = 0; i < 2000; i++) {
		host_timer_arm(&s.timer, host_monotonic_ns() + (i % 3) * 10000);
		if (i % 2)
			host_timer_cancel(&s.timer);
		host_timer_cancel_sync(&s.timer);
	}
	return arg;	/* s goes away: a late call would write to a dead stack */
}

static void threads_arm_at_once(void **state)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, arm_and_cancel, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* As a guest's tick: each expiry sets the next. */
struct tick {
	struct host_timer timer;
	u64 due, late_sum, late_max;
	u32 n;
};

static void on_tick(struct host_timer *t)
{
	struct tick *k = container_of(t, struct tick, timer);
	u64 late = host_monotonic_ns() - k->due;

	k->late_sum += late;
	k->late_max = max(k->late_max, late);
	if (host_fetch_add(&k->n, 1) < 99) {
		k->due += 1000000;
		host_timer_arm(t, k->due);
	}
}

static void periodic_ticks(void **state)
{
	struct tick k = { .due = host_monotonic_ns() + 1000000 };

	host_timer_init(&k.timer, on_tick);
	host_timer_arm(&k.timer, k.due);
	WAIT_FOR(host_load_acquire(&k.n) == 100);
	host_timer_cancel_sync(&k.timer);
	print_message("100 ticks of 1 ms: late %lu us on average, %lu us at most\n",
		      (unsigned long)k.late_sum / 100000, (unsigned long)k.late_max / 1000);
	assert_true(k.late_sum / 100 < 5000000);
}

/* ---- eventfds ---- */

static u32 events, ends;

static void on_event(void *arg)
{
	host_fetch_add(&events, 1);
}

static void on_gone(void *arg)
{
	host_fetch_add(&ends, 1);
}

static void watch_sees_pending_and_new(void **state)
{
	int fd = eventfd(3, 0);
	struct host_eventfd_watch *w;
	struct host_eventfd *e;
	u64 count = 1;

	events = 0;
	assert_int_equal(host_eventfd_get(fd, &e), 0);
	assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w), 0);
	WAIT_FOR(host_load_acquire(&events) == 1);	/* pending at registration: once */
	assert_int_equal(write(fd, &count, 8), 8);
	WAIT_FOR(host_load_acquire(&events) == 2);
	host_eventfd_signal(e);
	WAIT_FOR(host_load_acquire(&events) == 3);
	/* drained: nothing is left to read */
	fcntl(fd, F_SETFL, O_NONBLOCK);
	assert_int_equal(read(fd, &count, 8), -1);
	host_eventfd_unwatch(w);
	host_eventfd_signal(e);
	usleep(5000);
	assert_int_equal(host_load_relaxed(&events), 3);
	assert_int_equal(read(fd, &count, 8), 8);
	assert_int_equal(count, 1);
	host_eventfd_put(e);
	close(fd);
}

static void client_may_close_first(void **state)
{
	int fd = eventfd(0, 0), other = dup(fd);
	struct host_eventfd_watch *w;
	struct host_eventfd *e;

	events = 0;
	assert_int_equal(host_eventfd_get(fd, &e), 0);
	assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w), 0);
	close(fd);
	eventfd_write(other, 1);
	WAIT_FOR(host_load_acquire(&events) == 1);
	host_eventfd_unwatch(w);
	host_eventfd_put(e);
	close(other);
}

static unsigned int open_descriptors(void)
{
	unsigned int n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A watch keeps nothing open: it ends with the last descriptor, in whichever process that is. */
static void watch_ends_with_the_eventfd(void **state)
{
	int fd = eventfd(0, 0), other, sync[2], status, number = fd;
	struct host_eventfd_watch *w;
	struct host_eventfd *e;
	unsigned int before;
	char c = 0;
	pid_t child;

	events = ends = 0;
	assert_int_equal(host_service_start(), 0);
	before = open_descriptors();
	assert_int_equal(host_eventfd_get(fd, &e), 0);
	assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w), 0);
	assert_true(host_eventfd_watches(w, e));
	host_eventfd_put(e);
	assert_true(host_eventfd_maybe_watched(fd));
	assert_false(host_eventfd_watch_ended(w));
	other = dup(fd);
	close(fd);
	assert_false(host_eventfd_watch_ended(w));
	eventfd_write(other, 1);
	WAIT_FOR(host_load_acquire(&events) == 1);
	/* found at its other number, whose closing matters from now on */
	assert_true(host_eventfd_maybe_watched(other));
	/* another process has it, and nobody here */
	assert_int_equal(pipe(sync), 0);
	child = fork();
	if (!child) {
		close(sync[1]);
		while (read(sync[0], &c, 1) == 1)
			eventfd_write(other, 1);
		_exit(0);
	}
	close(other);
	assert_false(host_eventfd_watch_ended(w));
	assert_int_equal(write(sync[1], &c, 1), 1);
	WAIT_FOR(host_load_acquire(&events) == 2);
	assert_int_equal(write(sync[1], &c, 1), 1);
	WAIT_FOR(host_load_acquire(&events) == 3);
	assert_int_equal(ends, 0);
	close(sync[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(host_eventfd_watch_ended(w));
	/* the number is another eventfd's now */
	other = eventfd(0, 0);
	fd = dup2(other, number);
	close(other);
	assert_int_equal(host_eventfd_get(fd, &e), 0);
	assert_false(host_eventfd_watches(w, e));
	eventfd_write(fd, 1);
	host_eventfd_closed();			/* as one does who sees the client close something */
	WAIT_FOR(host_load_acquire(&ends) == 1);
	host_eventfd_put(e);
	close(sync[0]);
	close(fd);
	/* what it needed is given back before it is taken away */
	assert_int_equal(open_descriptors(), before - 1);
	assert_int_equal(events, 3);
	host_eventfd_unwatch(w);
}

/* Signalled and closed at once: the signal counts. */
static void last_signal_is_not_lost(void **state)
{
	for (u32 i = 0; i < 500; i++) {
		int fd = eventfd(0, 0);
		struct host_eventfd_watch *w;
		struct host_eventfd *e;

		events = ends = 0;
		assert_int_equal(host_eventfd_get(fd, &e), 0);
		assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w), 0);
		host_eventfd_put(e);
		eventfd_write(fd, 1);
		host_eventfd_closing(fd);
		close(fd);
		host_eventfd_closed();
		WAIT_FOR(host_load_acquire(&ends) == 1);
		assert_int_equal(events, 1);
		host_eventfd_unwatch(w);
	}
}

/* Is this write for a watch, in the thread that does it? */
static bool written(int fd, u64 value)
{
	return host_eventfd_write(fd, &value);
}

/* A signal by a thread of the process runs the function there and leaves the eventfd as it was. */
static void writer_runs_the_function(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK), copy, other = eventfd(0, EFD_NONBLOCK);
	struct host_eventfd_watch *w, *w2;
	struct host_eventfd *e;
	u64 count;

	events = 0;
	assert_int_equal(host_eventfd_get(fd, &e), 0);
	assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w), 0);
	if (!host_eventfd_kernel_id(fd) || !written(fd, 1)) {
		host_eventfd_unwatch(w);
		host_eventfd_put(e);
		close(fd);
		close(other);
		printf("the kernel does not tell eventfds apart\n");
		skip();
	}
	assert_int_equal(events, 1);
	assert_int_equal(read(fd, &count, 8), -1);
	/* what is not a plain signal is the kernel's */
	assert_false(written(fd, 0));
	assert_false(written(fd, 2));
	assert_false(written(fd, ~0ULL));
	assert_false(host_eventfd_write(fd, (void *)8));
	/* so is what comes from a handler in the middle of a call of ours */
	host_call_begin();
	assert_false(written(fd, 1));
	host_call_end();
	/* and what goes to a number that is not known, or something else's by now */
	copy = dup(fd);
	assert_false(written(copy, 1));
	assert_false(written(other, 1));
	assert_int_equal(dup2(other, fd), fd);
	assert_false(written(fd, 1));
	assert_int_equal(dup2(copy, fd), fd);
	assert_true(written(fd, 1));
	assert_int_equal(events, 2);
	/* two watches on one eventfd: the kernel tells both */
	assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w2), 0);
	assert_false(written(fd, 1));
	host_eventfd_unwatch(w);
	host_eventfd_unwatch(w2);
	assert_false(written(fd, 1));
	assert_int_equal(events, 2);
	host_eventfd_put(e);
	close(fd);
	close(copy);
	close(other);
}

static bool writers_stop;

static void *write_on(void *arg)
{
	while (!host_load_acquire(&writers_stop))
		written(*(int *)arg, 1);
	return NULL;
}

static void on_watched(void *arg)
{
	u32 *alive = arg;

	assert_int_equal(host_load_acquire(alive), 1);
	host_fetch_add(&events, 1);
}

/* After host_eventfd_unwatch() no writer is in the function, and none comes. */
static void unwatch_waits_for_writers(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct host_eventfd *e;
	pthread_t t[2];

	events = 0;
	writers_stop = false;
	assert_int_equal(host_eventfd_get(fd, &e), 0);
	for (u32 i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, write_on, &fd);
	for (u32 i = 0; i < 500; i++) {
		struct host_eventfd_watch *w;
		u32 alive = 1, before = host_load_acquire(&events);

		assert_int_equal(host_eventfd_watch(e, on_watched, on_gone, &alive, &w), 0);
		host_eventfd_signal(e);
		WAIT_FOR(host_load_acquire(&events) != before);
		host_eventfd_unwatch(w);
		host_store_release(&alive, 0);
	}
	host_store_release(&writers_stop, true);
	for (u32 i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	host_eventfd_put(e);
	close(fd);
}

/* Once a thread may be forbidden system calls, none is made to find out what it writes to. */
static void filtered_writers_go_to_the_kernel(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct host_eventfd_watch *w;
	struct host_eventfd *e;

	events = 0;
	host_eventfds_filtered();
	assert_int_equal(host_eventfd_get(fd, &e), 0);
	assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w), 0);
	assert_false(written(fd, 1));
	host_eventfd_signal(e);
	WAIT_FOR(host_load_acquire(&events) == 1);
	host_eventfd_unwatch(w);
	host_eventfd_put(e);
	close(fd);
}

static void identity_and_errors(void **state)
{
	int a = eventfd(0, 0), b = eventfd(0, 0), a2 = dup(a), p[2];
	struct host_eventfd *ea, *eb, *ea2, *none;

	assert_int_equal(host_eventfd_get(a, &ea), 0);
	assert_int_equal(host_eventfd_get(b, &eb), 0);
	assert_int_equal(host_eventfd_get(a2, &ea2), 0);
	assert_true(host_eventfd_same(ea, ea2));
	assert_false(host_eventfd_same(ea, eb));
	host_eventfd_put(ea);
	host_eventfd_put(eb);
	host_eventfd_put(ea2);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(host_eventfd_get(p[0], &none), -EINVAL);
	assert_int_equal(host_eventfd_get(-1, &none), -EBADF);
	assert_int_equal(host_eventfd_get(99999, &none), -EBADF);
	close(p[0]);
	close(p[1]);
	close(a);
	close(b);
	close(a2);
}

static void *watch_and_unwatch(void *arg)
{
	struct host_eventfd *e = arg;

	for (int i = 0; i < 300; i++) {
		struct host_eventfd_watch *w;
		u32 local = 0;

		if (host_eventfd_watch(e, on_event, on_gone, &local, &w))
			abort();
		host_eventfd_signal(e);
		host_eventfd_unwatch(w);
	}
	return NULL;
}

static void unwatch_races_with_events(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct host_eventfd *e;
	pthread_t t[3];

	assert_int_equal(host_eventfd_get(fd, &e), 0);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, watch_and_unwatch, e);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	host_eventfd_put(e);
	close(fd);
}

static void scripted_failures(void **state)
{
	int fd = eventfd(0, 0);
	struct host_eventfd_watch *w;
	struct host_eventfd *e;

	assert_int_equal(host_fail_script("eventfd:sf"), 0);
	assert_int_equal(host_eventfd_get(fd, &e), 0);
	assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w), -ENOMEM);
	assert_int_equal(host_fail_script("alloc:f"), 0);
	assert_int_equal(host_eventfd_watch(e, on_event, on_gone, NULL, &w), -ENOMEM);
	assert_int_equal(host_fail_script("nonsense:f"), -EINVAL);
	assert_int_equal(host_fail_script(NULL), 0);
	host_eventfd_put(e);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_in_order_and_never_early),
		cmocka_unit_test(rearm_moves_and_cancel_stops),
		cmocka_unit_test(heap_keeps_its_order),
		cmocka_unit_test(cancel_sync_waits_for_a_running_fn),
		cmocka_unit_test(threads_arm_at_once),
		cmocka_unit_test(periodic_ticks),
		cmocka_unit_test(watch_sees_pending_and_new),
		cmocka_unit_test(client_may_close_first),
		cmocka_unit_test(watch_ends_with_the_eventfd),
		cmocka_unit_test(last_signal_is_not_lost),
		cmocka_unit_test(identity_and_errors),
		cmocka_unit_test(unwatch_races_with_events),
		cmocka_unit_test(scripted_failures),
		cmocka_unit_test(writer_runs_the_function),
		cmocka_unit_test(unwatch_waits_for_writers),
		cmocka_unit_test(filtered_writers_go_to_the_kernel),	/* last: it stays so */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
