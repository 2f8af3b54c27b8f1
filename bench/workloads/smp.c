// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Atomics on one CPU, and the same work done by one thread and by two. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

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

static void *work(void *arg)
{
	u64 a = 1, b = 3, v[256] = { 0 };

	for (u32 i = 0; i < 6000000; i++) {
		a = a * 6364136223846793005ull + 1;
		b += v[a >> 56] ^ i;
		v[i & 255] = b;
	}
	*(u64 *)arg = a ^ b;
	return NULL;
}

static u64 one_thread(void)
{
	u64 r;

	work(&r);
	return r;
}

/*
 * twice the work of one_thread(); the units do not include the creation of threads beyond what two
 * need
 */
static u64 two_threads(void)
{
	pthread_t t;
	u64 r[16];

	wl_check(!pthread_create(&t, NULL, work, &r[8]), "pthread_create");
	work(&r[0]);
	pthread_join(t, NULL);
	return r[0] + r[8];
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
	{ "threads-1", "smp", one_thread, NULL, WL_CPUS2 },
	{ "threads-2", "smp", two_threads, NULL, WL_CPUS2 },
	{ "contention", "smp", contention, NULL, WL_CPUS2 },
	{ NULL },
};
