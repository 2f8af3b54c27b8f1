/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * t_random.h - numbers for tests that try many things: repeatable from a seed, and near the values at which code
 * changes its mind more often than even chance would have it.
 */
#ifndef T_RANDOM_H
#define T_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct rnd {
	uint64_t s;
};

/* splitmix64: any seed will do, and neighbours give unrelated sequences. */
static inline uint64_t rnd64(struct rnd *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline struct rnd rnd_of(uint64_t seed, uint64_t a, uint64_t b)
{
	struct rnd r = { seed };

	r.s = rnd64(&r) ^ a * 0xd6e8feb86659fd93;
	r.s = rnd64(&r) ^ b * 0xa0761d6478bd642f;
	return r;
}

/* 0 .. n - 1 */
static inline uint32_t rnd_below(struct rnd *r, uint32_t n)
{
	return (uint32_t)((rnd64(r) >> 32) * n >> 32);
}

/* True once in n times. */
static inline int one_in(struct rnd *r, uint32_t n)
{
	return !rnd_below(r, n);
}

/* Small, single bits, runs of bits, nearly -1, sign-extended, or anything. */
static inline uint64_t rnd_odd(struct rnd *r)
{
	switch (rnd_below(r, 8)) {
	case 0:
		return rnd_below(r, 4);
	case 1:
		return rnd_below(r, 256);
	case 2:
		return 1ULL << rnd_below(r, 64);
	case 3:
		return (1ULL << rnd_below(r, 64)) - 1;
	case 4:
		return ~(uint64_t)rnd_below(r, 16);
	case 5:
		return (uint64_t)(int64_t)(int32_t)rnd64(r);
	case 6:
		return rnd64(r) >> rnd_below(r, 64);
	default:
		return rnd64(r);
	}
}

static inline void rnd_fill(struct rnd *r, void *p, size_t n)
{
	uint8_t *b = p;
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n; i++, v >>= 8) {
		if (i % 8 == 0)
			v = rnd64(r);
		b[i] = (uint8_t)v;
	}
}

/* A few bits, bytes or 8-byte fields of a structure become something else. */
static inline void rnd_mutate(struct rnd *r, void *p, size_t n)
{
	uint8_t *b = p;
	uint64_t v;
	size_t at;
	int i;

	for (i = 1 + (int)rnd_below(r, 3); n && i; i--) {
		at = rnd_below(r, (uint32_t)n);
		switch (rnd_below(r, 4)) {
		case 0:
			b[at] ^= (uint8_t)(1u << rnd_below(r, 8));
			break;
		case 1:
			b[at] = (uint8_t)rnd64(r);
			break;
		default:
			at &= rnd_below(r, 2) ? ~(size_t)7 : ~(size_t)3;
			for (v = rnd_odd(r); at < n && v; v >>= 8)
				b[at++] = (uint8_t)v;
			break;
		}
	}
}

#endif
