/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fixed-width types and the few macros every folder uses. The one place that knows which host it is
 * for.
 */
#ifndef HV_HOST_TYPES_H
#define HV_HOST_TYPES_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/stddef.h>
#include <linux/errno.h>
#include <linux/compiler.h>
#include <linux/build_bug.h>
#include <linux/bits.h>
#include <linux/bitfield.h>
#include <linux/minmax.h>
#include <linux/container_of.h>
#include <linux/kernel.h>
#include <linux/string.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>
#include <errno.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
/* as <linux/types.h> __u64, so that u64 and the KVM ABI's fields are one type */
typedef __u64 u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef __s64 s64;

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define BIT(n)		(1UL << (n))
#define BIT_ULL(n)	(1ULL << (n))
#define GENMASK(h, l)	(((~0UL) << (l)) & (~0UL >> (63 - (h))))
#define GENMASK_ULL(h, l) GENMASK(h, l)
#define FIELD_GET(mask, reg)	(((reg) & (mask)) >> __builtin_ctzl(mask))
#define FIELD_PREP(mask, val)	(((u64)(val) << __builtin_ctzl(mask)) & (mask))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define min(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })
#define min_t(t, a, b) ({ t a_ = (a); t b_ = (b); a_ < b_ ? a_ : b_; })
#define max_t(t, a, b) ({ t a_ = (a); t b_ = (b); a_ > b_ ? a_ : b_; })
#ifndef __always_inline
#define __always_inline	inline __attribute__((always_inline))
#endif
#undef static_assert
#define static_assert(expr, ...)	_Static_assert(expr, "" __VA_ARGS__)	/* the message is optional, as in C23 */
#define fallthrough	__attribute__((fallthrough))
#define __aligned(n)	__attribute__((aligned(n)))
#define __printf(a, b)	__attribute__((format(printf, a, b)))

#define READ_ONCE(x)	(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#endif

/* Guest addresses are integers, never pointers. */
typedef u64 gpa_t;	/* guest physical */
typedef u64 gva_t;	/* guest linear */
typedef u64 gfn_t;	/* guest physical >> 12 */

#define HV_PAGE_SHIFT	12
#define HV_PAGE_SIZE	4096UL
#define HV_PAGE_MASK	(~(HV_PAGE_SIZE - 1))

/** True if [start, start + len) is not empty, does not wrap, and ends at or below limit. */
static inline bool range_below(u64 start, u64 len, u64 limit)
{
	return len && start < limit && len <= limit - start;
}

#endif
