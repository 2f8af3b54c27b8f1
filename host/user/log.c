/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* log.c - lines to standard error without stdio, and random bytes. */
#include <stdarg.h>
#include "../host.h"
#include "sys.h"

#define LINE_MAX	256
#define BURST		10		/* lines per call site and period */
#define PERIOD_NS	5000000000ULL

struct line {
	char text[LINE_MAX];
	size_t n;
};

static void put_char(struct line *l, char c)
{
	if (l->n < LINE_MAX - 1)
		l->text[l->n++] = c;
}

static void put_string(struct line *l, const char *s, int width)
{
	int n = 0;

	for (; *s; s++, n++)
		put_char(l, *s);
	for (; n < width; n++)
		put_char(l, ' ');
}

static void put_number(struct line *l, u64 v, unsigned int base, bool negative, int width,
		       bool zeros, bool prefix)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	width -= n + negative + (prefix ? 2 : 0);
	for (; !zeros && width > 0; width--)
		put_char(l, ' ');
	if (negative)
		put_char(l, '-');
	if (prefix)
		put_string(l, "0x", 0);
	for (; width > 0; width--)
		put_char(l, '0');
	while (n)
		put_char(l, digits[--n]);
}

/* The conversions in use here: d i u x p s c with 0, #, width, and l ll z h. */
static const char *put_conversion(struct line *l, const char *f, va_list *ap)
{
	bool zeros = false, prefix = false, is_long = false;
	int width = 0;
	u64 v;

	for (;; f++) {
		if (*f == '0')
			zeros = true;
		else if (*f == '#')
			prefix = true;
		else if (*f != '-')
			break;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		width = width * 10 + (*f - '0');
	for (; *f == 'l' || *f == 'z' || *f == 'h'; f++)
		is_long |= *f != 'h';
	switch (*f) {
	case 'd':
	case 'i': {
		s64 s = is_long ? va_arg(*ap, long) : va_arg(*ap, int);

		put_number(l, s < 0 ? 0 - (u64)s : (u64)s, 10, s < 0, width, zeros, false);
		break;
	}
	case 'u':
	case 'x':
		v = is_long ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned int);
		put_number(l, v, *f == 'x' ? 16 : 10, false, width, zeros, prefix);
		break;
	case 'p':
		put_number(l, (u64)va_arg(*ap, void *), 16, false, width, false, true);
		break;
	case 's': {
		const char *s = va_arg(*ap, const char *);

		put_string(l, s ? s : "(null)", width);
		break;
	}
	case 'c':
		put_char(l, (char)va_arg(*ap, int));
		break;
	default:
		put_char(l, *f);
	}
	return *f ? f + 1 : f;
}

/* At most BURST lines per PERIOD_NS from one place, told apart by the format string's address. */
static bool within_rate(const void *site)
{
	static struct { u64 start; u32 count; } rate[64];
	u32 i = (u32)(((u64)site >> 3) % ARRAY_SIZE(rate));
	u64 now = host_monotonic_ns();

	if (now - host_load_relaxed(&rate[i].start) > PERIOD_NS) {
		host_store_relaxed(&rate[i].start, now);
		host_store_relaxed(&rate[i].count, 0);
	}
	return host_fetch_add(&rate[i].count, 1) < BURST;
}

void host_log(const char *fmt, ...)
{
	struct line l;
	const char *f = fmt;
	va_list ap;

	if (!within_rate(fmt))
		return;
	l.n = 0;
	put_string(&l, "anykvm: ", 0);
	va_start(ap, fmt);
	while (*f) {
		if (*f == '%')
			f = put_conversion(&l, f + 1, &ap);
		else
			put_char(&l, *f++);
	}
	va_end(ap);
	l.text[l.n++] = '\n';
	sys3(__NR_write, 2, (u64)l.text, l.n);
}

void host_random(void *buf, size_t n)
{
	u8 *p = buf;

	while (n) {
		long got = sys3(__NR_getrandom, (u64)p, n, 0);

		if (got > 0) {
			p += got;
			n -= (size_t)got;
		} else if (got != -EINTR) {
			/* no such call: the time stamp's low bits must do */
			for (; n; n--)
				*p++ = (u8)(host_rdtsc() * 0x9e3779b97f4a7c15ULL >> 56);
		}
	}
}
