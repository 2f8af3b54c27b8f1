// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Atomics on one CPU, and the same work done by one thread and by two. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "workload.h"

static u64 atomic_add(void)
{
	static atomic_ulong counter;

	atomic_store(&counter, 0);
	for (int i = 0; i < 500000; i++)
		atomic_fetch_add(&counter, i);
	return atomic_load(&counter);
}

static u64 atomic_swap(void)
{
	static atomic_ulong word;
	unsigned long old = 0;

	atomic_store(&word, 1);
	for (int i = 0; i < 250000; i++) {
		old = atomic_load(&word);
		while (!atomic_compare_exchange_weak(&word, &old, old * 5 + i))
			;
	}
	return atomic_load(&word);
}

#define PIECES	64	/* of a unit for one thread; two threads do twice as many */

static cpu_set_t two_cpus[2];
static atomic_uint next_piece;
static unsigned int nr_pieces;

static void threads_setup(void)
{
	cpu_set_t all;
	int cpu = 0;

	wl_check(!sched_getaffinity(0, sizeof(all), &all), "sched_getaffinity");
	for (int i = 0; i < 2; i++, cpu++) {
		while (!CPU_ISSET(cpu, &all))
			cpu++;
		CPU_ZERO(&two_cpus[i]);
		CPU_SET(cpu, &two_cpus[i]);
	}
}

/* Takes pieces until there are none; *arg becomes the sum of their results, which any order gives. */
static void *work(void *arg)
{
	u64 v[256], sum = 0;

	while (atomic_fetch_add(&next_piece, 1) < nr_pieces) {
		u64 a = 1, b = 3;

		memset(v, 0, sizeof(v));
		for (u32 i = 0; i < 6000000 / PIECES; i++) {
			a = a * 6364136223846793005ull + 1;
			b += v[a >> 56] ^ i;
			v[i & 255] = b;
		}
		sum += a ^ b;
	}
	*(u64 *)arg = sum;
	return NULL;
}

static void start(pthread_t *t, int cpu, u64 *result)
{
	pthread_attr_t attr;

	wl_check(!pthread_attr_init(&attr) && !pthread_attr_setaffinity_np(&attr, sizeof(two_cpus[cpu]), &two_cpus[cpu]) &&
		 !pthread_create(t, &attr, work, result), "pthread_create");
	pthread_attr_destroy(&attr);
}

/* On one CPU and on the other by turns: a shared machine's may not be equally fast. */
static u64 one_thread(void)
{
	static int turn;
	pthread_t t;
	u64 r;

	nr_pieces = PIECES;
	atomic_store(&next_piece, 0);
	start(&t, turn, &r);
	pthread_join(t, NULL);
	turn = !turn;
	return r;
}

/* Twice the work of one_thread(), shared out as it gets done. */
static u64 two_threads(void)
{
	pthread_t t[2];
	u64 r[2];

	nr_pieces = 2 * PIECES;
	atomic_store(&next_piece, 0);
	start(&t[0], 0, &r[0]);
	start(&t[1], 1, &r[1]);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	return r[0] + r[1];
}

static atomic_ulong shared;

static void *contend(void *arg)
{
	for (int i = 0; i < 200000; i++)
		atomic_fetch_add(&shared, 1);
	return NULL;
}

static u64 contention(void)
{
	pthread_t t;

	atomic_store(&shared, 0);
	wl_check(!pthread_create(&t, NULL, contend, NULL), "pthread_create");
	contend(NULL);
	pthread_join(t, NULL);
	return atomic_load(&shared);
}

const struct workload wl_smp[] = {
	{ "atomic-add", "atomic", atomic_add },
	{ "atomic-cas", "atomic", atomic_swap },
	{ "threads-1", "smp", one_thread, threads_setup, WL_CPUS2 | WL_TURNS },
	{ "threads-2", "smp", two_threads, NULL, WL_CPUS2 },
	{ "contention", "smp", contention, NULL, WL_CPUS2 },
	{ NULL },
};
