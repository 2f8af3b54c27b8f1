/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * delay.c - how long a thread has waited for a CPU: the kernel says so in /proc only. A vCPU's thread may
 * be forbidden to open files or to ask for its own id, so the service thread reads for it, and the id
 * comes from where libc keeps it.
 */
#include "../host.h"
#include "sys.h"
#include "user.h"

/* the service thread competes for the very CPU that time is being stolen from; a guest is told nothing if it does not come to run */
#define TIMEOUT_NS	200000000

/* Offset of the thread's id in libc's control block; 0: not found, nothing is known then. */
static u32 tid_offset;

void host_delay_init(void)
{
	/* glibc 2.4 on, x86-64; musl 1.2 */
	static const u16 candidates[] = { 0x2d0, 0x30 };
	u32 tid = (u32)sys1(__NR_gettid, 0), i;

	for (i = 0; i < ARRAY_SIZE(candidates) && !tid_offset; i++)
		if (*(u32 *)(thread_self() + candidates[i]) == tid)
			tid_offset = candidates[i];
}

struct request {
	struct host_timer timer;
	struct host_waitq waitq;
	u32 tid;
	bool done;
	u64 ns;
};

static char *put_text(char *p, const char *text)
{
	while (*text)
		*p++ = *text++;
	return p;
}

static char *put_number(char *p, u32 n)
{
	char digits[10];
	u32 i = 0;

	do {
		digits[i++] = '0' + n % 10;
		n /= 10;
	} while (n);
	while (i)
		*p++ = digits[--i];
	return p;
}

/* "CPU time, time of waiting for a CPU, time slices", in ns. True: *ns is the second. */
static bool parse(const char *p, u64 *ns)
{
	while (*p && *p != ' ')
		p++;
	if (!*p++)
		return false;
	for (*ns = 0; *p >= '0' && *p <= '9'; p++)
		*ns = *ns * 10 + (u32)(*p - '0');
	return *p == ' ';
}

/* On the service thread. */
static void read_schedstat(struct host_timer *t)
{
	struct request *r = container_of(t, struct request, timer);
	char path[48], text[96], *p = path;
	long fd, n;

	p = put_text(p, "/proc/self/task/");
	p = put_number(p, r->tid);
	p = put_text(p, "/schedstat");
	*p = 0;
	fd = sys3(__NR_open, (u64)path, 02000000 /* O_CLOEXEC */, 0);
	if (fd >= 0) {
		n = sys3(__NR_read, (u64)fd, (u64)text, sizeof(text) - 1);
		sys1(__NR_close, (u64)fd);
		text[n > 0 ? n : 0] = 0;
		if (parse(text, &r->ns))
			host_store_release(&r->done, true);
	}
	host_wake(&r->waitq);
}

int host_run_delay(u64 *thread, u64 *ns)
{
	struct request r = { .done = false };
	u32 seq;

	if (!tid_offset)
		return -ENOSYS;
	*thread = thread_self();
	r.tid = *(u32 *)(thread_self() + tid_offset);
	host_waitq_init(&r.waitq);
	host_timer_init(&r.timer, read_schedstat);
	seq = host_wait_begin(&r.waitq);
	host_timer_arm(&r.timer, 1);
	host_wait(&r.waitq, seq, host_monotonic_ns() + TIMEOUT_NS);
	host_timer_cancel_sync(&r.timer);
	if (!host_load_acquire(&r.done))
		return -EAGAIN;
	*ns = r.ns;
	return 0;
}
