/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* process.c - what happens once per process, and how a forked child finds out that it is one. */
#include <linux/mman.h>
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fault.h"
#include "signal.h"

#define INIT_BUSY	1

/* A page that the kernel wipes in a forked child: 0, INIT_BUSY, or the process's token. */
static u64 *token_page;

static u64 *get_token_page(void)
{
	u64 *page = host_load_acquire(&token_page);
	u64 *mine;

	if (page)
		return page;
	mine = host_pages_alloc(1);
	if (!mine)
		return NULL;
	if (sys3(__NR_madvise, (u64)mine, HV_PAGE_SIZE, MADV_WIPEONFORK)) {
		host_pages_free(mine, 1);
		return NULL;
	}
	page = host_cmpxchg(&token_page, (u64 *)NULL, mine);
	if (page) {
		host_pages_free(mine, 1);
		return page;
	}
	return mine;
}

u64 host_process_token(void)
{
	u64 *page = host_load_acquire(&token_page);
	u64 token = page ? host_load_acquire(page) : 0;

	return token == INIT_BUSY ? 0 : token;
}

/*
 * In a forked child the service thread is not there, and locks may be held by threads that are not there either:
 * forget all of it.
 */
static void after_fork(void)
{
	host_mem_after_fork();
	host_timers_after_fork();
	host_service_after_fork();
	host_eventfds_after_fork();
}

int host_process_init(void)
{
	static bool initialised_before;
	u64 *page = get_token_page();
	u64 seen;
	int ret;

	if (!page)
		return -ENOMEM;
	for (;;) {
		seen = host_cmpxchg(page, 0, INIT_BUSY);
		if (seen > INIT_BUSY)
			return 0;
		if (!seen)
			break;
		host_yield();
	}
	if (initialised_before)
		after_fork();
	initialised_before = true;
	host_clock_init();
	ret = host_fault_init();
	if (!ret)
		ret = host_service_start();
	if (ret) {
		initialised_before = false;
		host_store_release(page, 0);
		return ret;
	}
	host_signal_adopt();
	host_store_release(page, host_rdtsc() | 2);
	return 0;
}
