/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* process.c - what happens once per process, and how a forked child finds out that it is one. */
#include <linux/mman.h>
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fault.h"
#include "signal.h"

#define BUSY	1

/* A page that the kernel wipes in a forked child. */
static struct token_page {
	u64 token;	/* 0: not initialised, BUSY, or the process's token */
	u64 begun;	/* 0, BUSY, or 2: this address space has been prepared */
} *token_page;

static struct token_page *get_token_page(void)
{
	struct token_page *page = host_load_acquire(&token_page);
	struct token_page *mine;

	if (page)
		return page;
	mine = host_pages_alloc(1);
	if (!mine)
		return NULL;
	if (sys3(__NR_madvise, (u64)mine, HV_PAGE_SIZE, MADV_WIPEONFORK)) {
		host_pages_free(mine, 1);
		return NULL;
	}
	page = host_cmpxchg(&token_page, (struct token_page *)NULL, mine);
	if (page) {
		host_pages_free(mine, 1);
		return page;
	}
	return mine;
}

u64 host_process_token(void)
{
	struct token_page *page = host_load_acquire(&token_page);
	u64 token = page ? host_load_acquire(&page->token) : 0;

	return token == BUSY ? 0 : token;
}

bool host_process_is_copy(void)
{
	struct token_page *page = host_load_acquire(&token_page);

	return page && !host_load_acquire(&page->begun);
}

/* Wait for *word to leave BUSY, or take it from 0 to BUSY; true if taken. */
static bool claim(u64 *word)
{
	u64 seen;

	while ((seen = host_cmpxchg(word, 0, BUSY)) == BUSY)
		host_yield();
	return !seen;
}

int host_process_begin(void (*forked)(void))
{
	static bool begun_before;
	struct token_page *page = get_token_page();

	if (!page)
		return -ENOMEM;
	if (host_load_acquire(&page->begun) > BUSY || !claim(&page->begun))
		return 0;
	if (begun_before) {
		/* threads of the parent may have held these locks: forget all of it */
		host_mem_after_fork();
		host_timers_after_fork();
		host_service_after_fork();
		host_eventfds_after_fork();
		host_signal_after_fork();
		if (forked)
			forked();
	}
	begun_before = true;
	host_store_release(&page->begun, 2);
	return 0;
}

int host_process_init(void)
{
	struct token_page *page;
	int ret = host_process_begin(NULL);

	if (ret)
		return ret;
	page = get_token_page();
	if (host_load_acquire(&page->token) > BUSY || !claim(&page->token))
		return 0;
	/* here, because a vCPU thread's system call filter may forbid what measuring needs */
	host_clock_init();
	host_tsc_khz();
	host_delay_init();
	ret = host_fault_init();
	if (!ret)
		ret = host_service_start();
	if (ret) {
		host_store_release(&page->token, 0);
		return ret;
	}
	host_signal_adopt();
	host_store_release(&page->token, host_rdtsc() | 2);
	return 0;
}
