/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A workload is a function that does one unit of work, always the same, and returns a checksum of
 * it. The checksum must not depend on the machine; the time of a unit is what the figures compare.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define WL_AVX2		1u	/* needs AVX2 and FMA */
#define WL_SHA		2u	/* needs SHA-NI and SSE4.1 */
#define WL_AES		4u	/* needs AES-NI */
#define WL_CPUS2	8u	/* needs two CPUs; not pinned to one */
#define WL_TURNS	16u	/* its units and the next row's are done in turn */

struct workload {
	const char *name;
	const char *group;
	u64 (*unit)(void);	/* about 2 to 10 ms on the host */
	void (*setup)(void);	/* once, not timed; may be NULL */
	unsigned int needs;	/* WL_ bits */
};

/* one table per file, ended by a row without a name */
extern const struct workload wl_integer[], wl_memory[], wl_fp[], wl_flow[], wl_kernel[], wl_smp[];

/* xorshift64*: the same numbers everywhere */
static inline u64 wl_random(u64 *state)
{
	u64 x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

static inline u64 wl_mix(u64 sum, u64 value)
{
	sum = (sum ^ value) * 0x9e3779b97f4a7c15ull;
	return sum ^ sum >> 29;
}

/* Ends the program with a message if a system call that cannot fail did. */
void wl_check(bool ok, const char *what);
/* size bytes of zeroed memory from mmap */
void *wl_alloc(size_t size);

#endif
