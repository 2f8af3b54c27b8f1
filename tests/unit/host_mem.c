/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Memory, string functions, clocks and the log of host/user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "host/host.h"
#include "host/user/fail.h"
#include "host/user/user.h"

static bool all_zero(const u8 *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static void zeroed_aligned_and_apart(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 48, 100, 1000, 4096, 10000, 16384, 20000, 100000, 5000000 };
	u8 *p[ARRAY_SIZE(sizes)];

	for (int round = 0; round < 3; round++) {
		for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
			p[i] = host_zalloc(sizes[i]);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % 16, 0);
			assert_true(all_zero(p[i], sizes[i]));
			memset(p[i], 0xa5 + i, sizes[i]);
		}
		for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(p[i][k], (u8)(0xa5 + i));
			host_free(p[i]);
		}
	}
	host_free(NULL);
	assert_null(host_zalloc(~0UL));
	assert_null(host_zalloc(1UL << 62));
}

static void *churn(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	u8 *p[64] = { NULL };
	size_t n[64];
	void *bad = NULL;

	for (int i = 0; i < 20000; i++) {
		int k = rand_r(&seed) % 64;

		if (p[k]) {
			if (p[k][0] != (u8)k || p[k][n[k] - 1] != (u8)k)
				bad = arg;
			host_free(p[k]);
			p[k] = NULL;
			continue;
		}
		n[k] = 2 + rand_r(&seed) % (i % 100 ? 600 : 40000);
		p[k] = host_zalloc(n[k]);
		if (!p[k] || !all_zero(p[k], n[k]))
			return arg;
		p[k][0] = p[k][n[k] - 1] = (u8)k;
	}
	for (int k = 0; k < 64; k++)
		host_free(p[k]);
	return bad;
}

static void threads_allocate_at_once(void **state)
{
	pthread_t t[4];
	void *bad;

	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
}

static void pages(void **state)
{
	u8 *p = host_pages_alloc(3);

	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 4096, 0);
	assert_true(all_zero(p, 3 * 4096));
	host_pages_free(p, 3);
	host_pages_free(NULL, 3);
	assert_null(host_pages_alloc(0));
	assert_null(host_pages_alloc(~0UL));
}

static void scripts_fail_calls_by_position(void **state)
{
	void *a, *b;

	assert_int_equal(host_fail_script("alloc:ssf,pages:f"), 0);
	a = host_zalloc(10);
	b = host_zalloc(10);
	assert_non_null(a);
	assert_non_null(b);
	assert_null(host_zalloc(10));
	assert_null(host_pages_alloc(1));
	host_free(a);
	a = host_zalloc(10);	/* past the script's end */
	assert_non_null(a);
	host_free(a);
	host_free(b);
	assert_int_equal(host_fail_script("alloc"), -EINVAL);
	assert_int_equal(host_fail_script("alloc:sx"), -EINVAL);
	assert_int_equal(host_fail_script(""), 0);
}

/*
 * Against plain loops: every length to 100 and around the change to rep, every alignment of both
 * sides.
 */
static void string_functions(void **state)
{
	static u8 src[2048], dst[2048], want[2048];
	u32 n, a, b;

	for (n = 0; n < sizeof(src); n++)
		src[n] = (u8)(n * 7 + 1);
	for (n = 0; n < 1100; n += n < 100 || (n > 500 && n < 530) ? 1 : 37)
		for (a = 0; a < 9; a++)
			for (b = 0; b < 9; b++) {
				memset(dst, 0xcc, sizeof(dst));
				memset(want, 0xcc, sizeof(want));
				for (u32 i = 0; i < n; i++)
					want[b + i] = src[a + i];
				assert_ptr_equal(host_memcpy(dst + b, src + a, n), dst + b);
				assert_memory_equal(dst, want, n + 32);
				assert_int_equal(host_memcmp(dst + b, src + a, n), 0);
				if (n) {
					dst[b + n - 1] ^= 0x80;
					assert_int_equal(host_memcmp(dst + b, src + a, n) < 0,
							 dst[b + n - 1] < src[a + n - 1]);
					assert_int_not_equal(host_memcmp(dst + b, src + a, n), 0);
				}
				assert_ptr_equal(host_memset(dst + b, 0x5a, n), dst + b);
				for (u32 i = 0; i < n; i++)
					want[b + i] = 0x5a;
				assert_memory_equal(dst, want, n + 32);
			}
}

/*
 * The compiler's own calls inside the program reach the hidden ones when libanykvm.a is linked:
 * overlap must work.
 */
static void memmove_overlaps(void **state)
{
	u8 buf[600], want[600];
	volatile size_t len;

	for (size_t n = 0; n < 300; n += 13)
		for (int shift = -40; shift <= 40; shift++) {
			for (u32 i = 0; i < sizeof(buf); i++)
				buf[i] = want[i] = (u8)(i * 11);
			for (u32 i = 0; i < n; i++)
				want[100 + shift + i] = (u8)((100 + i) * 11);
			len = n;
			memmove(buf + 100 + shift, buf + 100, len);
			assert_memory_equal(buf, want, sizeof(buf));
		}
}

static void clocks_agree_with_libc(void **state)
{
	struct timespec ts;
	u64 mine, theirs, last = 0;

	host_clock_init();
	clock_gettime(CLOCK_MONOTONIC, &ts);
	theirs = (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
	mine = host_monotonic_ns();
	assert_true(mine >= theirs && mine - theirs < 100000000);
	clock_gettime(CLOCK_REALTIME, &ts);
	theirs = (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
	mine = host_realtime_ns();
	assert_true(mine >= theirs && mine - theirs < 100000000);
	for (int i = 0; i < 100000; i++) {
		mine = host_monotonic_ns();
		assert_true(mine >= last);
		last = mine;
	}
}

/* Against a measurement of 200 ms of CLOCK_MONOTONIC_RAW, which is good to some ppm. */
static void tsc_rate(void **state)
{
	u32 khz = host_tsc_khz();
	struct timespec ts;
	u64 t0, n0, t1, n1, measured;

	if (!khz) {
		print_message("the TSC is no clock here: not compared\n");
		skip();
	}
	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	t0 = host_rdtsc();
	n0 = (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
	usleep(200000);
	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	t1 = host_rdtsc();
	n1 = (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
	measured = (t1 - t0) * 1000000 / (n1 - n0);
	print_message("TSC %u kHz, measured %lu\n", khz, (unsigned long)measured);
	assert_true(measured > khz - khz / 2000 && measured < khz + khz / 2000);
	assert_int_equal(host_tsc_khz(), khz);
}

static void log_formats_and_limits(void **state)
{
	char buf[8192];
	char *volatile nothing = NULL;
	int p[2], saved = dup(2), lines = 0;
	ssize_t n;

	assert_int_equal(pipe(p), 0);
	dup2(p[1], 2);
	host_log("%d %i %u %x %#x %lx %lu %s %c %% %08x %5d|%zu", -5, 7, 42u, 0xabcu, 0xabcu,
		 0x123456789abcUL, 9UL, "str", 'c', 0x1fu, 42, (size_t)3);
	n = read(p[0], buf, sizeof(buf) - 1);
	for (int i = 0; i < 100; i++)
		host_log("again and again");
	host_log("%s", nothing);
	dup2(saved, 2);
	close(saved);
	assert_true(n > 0);
	buf[n] = 0;
	assert_string_equal(buf,
			    "anykvm: -5 7 42 abc 0xabc 123456789abc 9 str c % 0000001f    42|3\n");
	n = read(p[0], buf, sizeof(buf) - 1);
	for (ssize_t i = 0; i < n; i++)
		lines += buf[i] == '\n';
	assert_int_equal(lines, 11);	/* 10 of the repeated one, and the last */
	close(p[0]);
	close(p[1]);
}

static void random_bytes_differ(void **state)
{
	u8 a[32], b[32];

	host_random(a, sizeof(a));
	host_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroed_aligned_and_apart),
		cmocka_unit_test(threads_allocate_at_once),
		cmocka_unit_test(pages),
		cmocka_unit_test(scripts_fail_calls_by_position),
		cmocka_unit_test(string_functions),
		cmocka_unit_test(memmove_overlaps),
		cmocka_unit_test(clocks_agree_with_libc),
		cmocka_unit_test(tsc_rate),
		cmocka_unit_test(log_formats_and_limits),
		cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
