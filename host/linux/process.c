// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* process.c - the calling thread's signals; randomness; the log. */
#include <linux/printk.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/sched/signal.h>
#include "../host.h"

bool host_signal_pending(void)
{
	return signal_pending(current);
}

void host_sigmask_swap(u64 newmask, u64 *oldmask)
{
	sigset_t new = { .sig = { newmask } }, old;

	sigprocmask(SIG_SETMASK, &new, &old);
	*oldmask = old.sig[0];
}

void host_random(void *buf, size_t n)
{
	get_random_bytes(buf, n);
}

void host_log(const char *fmt, ...)
{
	static DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 10);
	struct va_format vaf;
	va_list args;

	if (!__ratelimit(&limit))
		return;
	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	pr_notice("anykvm: %pV\n", &vaf);
	va_end(args);
}
