/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * string.c - memcpy and relatives without vector registers, under our names and, hidden, under the
 * names that the compiler calls for struct copies and initialisers.
 *
 * Small sizes decide: most copies on a vCPU's path are 1 to 64 bytes, and rep movsb takes some 30
 * cycles to start.
 */
#include "../host.h"

#define REP_MIN	512	/* from here on rep movsb is faster than 64-bit moves */

typedef u64 __attribute__((may_alias, aligned(1))) w64;
typedef u32 __attribute__((may_alias, aligned(1))) w32;
typedef u16 __attribute__((may_alias, aligned(1))) w16;

static __always_inline u64 ld8(const void *p) { return *(const w64 *)p; }
static __always_inline u32 ld4(const void *p) { return *(const w32 *)p; }
static __always_inline u16 ld2(const void *p) { return *(const w16 *)p; }
static __always_inline void st8(void *p, u64 v) { *(w64 *)p = v; }
static __always_inline void st4(void *p, u32 v) { *(w32 *)p = v; }
static __always_inline void st2(void *p, u16 v) { *(w16 *)p = v; }

/* n <= 32. All loads come before the first store, so that overlapping areas are right as well. */
static __always_inline void move_small(u8 *d, const u8 *s, size_t n)
{
	if (n >= 16) {
		u64 a = ld8(s), b = ld8(s + 8), c = ld8(s + n - 16), e = ld8(s + n - 8);

		st8(d, a);
		st8(d + 8, b);
		st8(d + n - 16, c);
		st8(d + n - 8, e);
	} else if (n >= 8) {
		u64 a = ld8(s), b = ld8(s + n - 8);

		st8(d, a);
		st8(d + n - 8, b);
	} else if (n >= 4) {
		u32 a = ld4(s), b = ld4(s + n - 4);

		st4(d, a);
		st4(d + n - 4, b);
	} else if (n >= 2) {
		u16 a = ld2(s), b = ld2(s + n - 2);

		st2(d, a);
		st2(d + n - 2, b);
	} else if (n) {
		*d = *s;
	}
}

static __always_inline void rep_movsb(void *d, const void *s, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}

/** As memcpy(). */
void *host_memcpy(void *dst, const void *src, size_t n)
{
	u8 *d = dst;
	const u8 *s = src;

	if (n <= 32) {
		move_small(d, s, n);
		return dst;
	}
	if (n >= REP_MIN) {
		rep_movsb(d, s, n);
		return dst;
	}
	for (; n > 32; n -= 32, d += 32, s += 32) {
		u64 a = ld8(s), b = ld8(s + 8), c = ld8(s + 16), e = ld8(s + 24);

		st8(d, a);
		st8(d + 8, b);
		st8(d + 16, c);
		st8(d + 24, e);
	}
	move_small(d, s, n);
	return dst;
}

/** As memmove(). */
void *host_memmove(void *dst, const void *src, size_t n)
{
	u8 *d = dst;
	const u8 *s = src;

	if (n <= 32) {
		move_small(d, s, n);
		return dst;
	}
	if ((u64)d - (u64)s >= n)
		return host_memcpy(dst, src, n);
	/* dst lies inside src: from the end */
	while (n > 32) {
		u64 a = ld8(s + n - 8), b = ld8(s + n - 16), c = ld8(s + n - 24),
		    e = ld8(s + n - 32);

		st8(d + n - 8, a);
		st8(d + n - 16, b);
		st8(d + n - 24, c);
		st8(d + n - 32, e);
		n -= 32;
	}
	move_small(d, s, n);
	return dst;
}

/** As memset(). */
void *host_memset(void *dst, int c, size_t n)
{
	u64 v = (u8)c * 0x0101010101010101ULL;
	u8 *d = dst;

	if (n >= REP_MIN) {
		void *p = dst;

		__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
		return dst;
	}
	if (n >= 8) {
		u8 *last = d + n - 8;

		for (; n >= 32; n -= 32, d += 32) {
			st8(d, v);
			st8(d + 8, v);
			st8(d + 16, v);
			st8(d + 24, v);
		}
		for (; n >= 8; n -= 8, d += 8)
			st8(d, v);
		st8(last, v);
		return dst;
	}
	if (n >= 4) {
		st4(d, (u32)v);
		st4(d + n - 4, (u32)v);
	} else if (n >= 2) {
		st2(d, (u16)v);
		st2(d + n - 2, (u16)v);
	} else if (n) {
		*d = (u8)c;
	}
	return dst;
}

/** As memcmp(). */
int host_memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n >= 8; n -= 8, p += 8, q += 8)
		if (ld8(p) != ld8(q)) {
			n = 8;	/* the first differing byte is in here */
			break;
		}
	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p < *q ? -1 : 1;
	return 0;
}

/*
 * What the compiler calls. Hidden: they serve our objects only (and, linked statically, the program
 * that links libanykvm.a), and the library does not export them.
 */
#ifndef __SANITIZE_THREAD__
void *memcpy(void *dst, const void *src, size_t n)
	__attribute__((visibility("hidden"), alias("host_memcpy")));
void *memset(void *dst, int c, size_t n)
	__attribute__((visibility("hidden"), alias("host_memset")));
int memcmp(const void *a, const void *b, size_t n)
	__attribute__((visibility("hidden"), alias("host_memcmp")));
void *memmove(void *dst, const void *src, size_t n)
	__attribute__((visibility("hidden"), alias("host_memmove")));
#endif
