/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Locks, wait queues and read sections of host/user, with threads against each other. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "host/host.h"

#define THREADS	4
#define ROUNDS	20000

static struct host_mutex mutex;
static struct host_spinlock spin;
static u64 by_mutex, by_spin;

static void *count(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		host_mutex_lock(&mutex);
		host_assert_mutex_held(&mutex);
		by_mutex++;
		host_mutex_unlock(&mutex);
		host_spin_lock(&spin);
		host_assert_spin_held(&spin);
		by_spin++;
		host_spin_unlock(&spin);
	}
	return arg;
}

static void locks_exclude(void **state)
{
	pthread_t t[THREADS];

	host_mutex_init(&mutex);
	host_spin_init(&spin);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(by_mutex, THREADS * ROUNDS);
	assert_int_equal(by_spin, THREADS * ROUNDS);
}

static void trylock_fails_when_held(void **state)
{
	struct host_mutex m;

	host_mutex_init(&m);
	assert_true(host_mutex_trylock(&m));
	assert_false(host_mutex_trylock(&m));
	host_mutex_unlock(&m);
	assert_true(host_mutex_trylock(&m));
	host_mutex_unlock(&m);
}

/* ---- wait queues ---- */

static struct host_waitq wq;
static u32 turn;

/* Two threads hand a token to and fro: one lost wake-up hangs the test. */
static void *ping(void *arg)
{
	u32 me = (u32)(uintptr_t)arg;

	for (u32 i = 0; i < 5000; i++) {
		for (;;) {
			u32 seq = host_wait_begin(&wq);

			if (host_load_acquire(&turn) % 2 == me)
				break;
			host_wait(&wq, seq, 0);
		}
		host_fetch_add(&turn, 1);
		host_wake(&wq);
	}
	return NULL;
}

static void no_wakeup_is_lost(void **state)
{
	pthread_t a, b;

	host_waitq_init(&wq);
	turn = 0;
	pthread_create(&a, NULL, ping, (void *)0);
	pthread_create(&b, NULL, ping, (void *)1);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_int_equal(turn, 10000);
}

static void wake_before_wait_returns_at_once(void **state)
{
	u32 seq;

	host_waitq_init(&wq);
	seq = host_wait_begin(&wq);
	host_wake(&wq);
	assert_int_equal(host_wait(&wq, seq, 0), 0);
}

static void deadline_passes(void **state)
{
	u64 start = host_monotonic_ns();

	host_waitq_init(&wq);
	assert_int_equal(host_wait(&wq, host_wait_begin(&wq), start + 3000000), -ETIMEDOUT);
	assert_true(host_monotonic_ns() >= start + 3000000);
	/* long gone */
	assert_int_equal(host_wait(&wq, host_wait_begin(&wq), 1), -ETIMEDOUT);
}

static void on_signal(int sig)
{
}

static void *sleeper(void *arg)
{
	*(int *)arg = host_wait(&wq, host_wait_begin(&wq), host_monotonic_ns() + 5000000000ULL);
	return NULL;
}

/* A handler ends the wait even with SA_RESTART: KVM_RUN is never restarted (signal(7) says the same
 * of futex waits with a time limit). */
static void signal_ends_wait(void **state)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t t;
	int ret = 1;

	sigaction(SIGUSR1, &act, NULL);
	host_waitq_init(&wq);
	pthread_create(&t, NULL, sleeper, &ret);
	usleep(20000);
	pthread_kill(t, SIGUSR1);
	pthread_join(t, NULL);
	assert_int_equal(ret, -EINTR);
}

/* ---- read sections ---- */

struct thing {
	u64 alive;
};

static struct host_rdomain *domain;
static struct thing *published;
static u32 stop;

static void *reader(void *arg)
{
	unsigned int slot = (unsigned int)(uintptr_t)arg;
	u64 bad = 0;

	while (!host_load_relaxed(&stop)) {
		struct thing *t;

		host_read_lock(domain, slot);
		host_read_lock(domain, slot);	/* sections nest */
		host_read_unlock(domain, slot);
		t = host_load_acquire(&published);
		for (int i = 0; i < 50; i++)
			bad += host_load_relaxed(&t->alive) != 1;
		host_read_unlock(domain, slot);
	}
	return (void *)(uintptr_t)bad;
}

static void nothing_is_freed_under_a_reader(void **state)
{
	pthread_t t[4];
	void *bad;

	domain = host_rdomain_create(2);
	assert_non_null(domain);
	published = calloc(1, sizeof(*published));
	published->alive = 1;
	stop = 0;
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, reader, (void *)(i < 2 ? i + 1 : HOST_READ_SHARED));
	for (int i = 0; i < 300; i++) {
		struct thing *new = calloc(1, sizeof(*new)), *old = published;

		new->alive = 1;
		host_store_release(&published, new);
		host_synchronize(domain);
		/* a reader that still sees it counts it as bad */
		host_store_relaxed(&old->alive, 2);
		free(old);
	}
	host_store_relaxed(&stop, 1);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	free(published);
	host_rdomain_destroy(domain);
}

static void *hold_for_a_while(void *arg)
{
	host_read_lock(domain, 1);
	host_store_release((u32 *)arg, 1);
	usleep(30000);
	host_store_release((u32 *)arg, 2);
	host_read_unlock(domain, 1);
	return NULL;
}

static void synchronize_waits_for_a_long_reader(void **state)
{
	pthread_t t;
	u32 phase = 0;

	domain = host_rdomain_create(1);
	pthread_create(&t, NULL, hold_for_a_while, &phase);
	while (!host_load_acquire(&phase))
		usleep(100);
	host_synchronize(domain);
	assert_int_equal(host_load_acquire(&phase), 2);
	pthread_join(t, NULL);
	host_rdomain_destroy(domain);
}

static void many_shared_readers(void **state)
{
	pthread_t t[24];
	void *bad;
	struct thing one = { 1 };

	domain = host_rdomain_create(0);
	published = &one;
	stop = 0;
	for (int i = 0; i < 24; i++)
		pthread_create(&t[i], NULL, reader, (void *)(uintptr_t)HOST_READ_SHARED);
	for (int i = 0; i < 20; i++)
		host_synchronize(domain);
	host_store_relaxed(&stop, 1);
	for (int i = 0; i < 24; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	host_rdomain_destroy(domain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locks_exclude),
		cmocka_unit_test(trylock_fails_when_held),
		cmocka_unit_test(no_wakeup_is_lost),
		cmocka_unit_test(wake_before_wait_returns_at_once),
		cmocka_unit_test(deadline_passes),
		cmocka_unit_test(signal_ends_wait),
		cmocka_unit_test(nothing_is_freed_under_a_reader),
		cmocka_unit_test(synchronize_waits_for_a_long_reader),
		cmocka_unit_test(many_shared_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
