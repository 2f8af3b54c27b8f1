/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * counters.c - memory for the counters of VMs and vCPUs, where other processes can read them:
 * anykvm_stat.h says how it is laid out. If that memory cannot be had or is full, the counters are
 * the process's own and nobody sees them.
 */
#define _GNU_SOURCE
#include <linux/memfd.h>
#include <linux/mman.h>
#include "anykvm/anykvm_stat.h"
#include "fd.h"
#include "../host/user/sys.h"
#include "../host/user/user.h"

#define MAX_BLOCKS	1024
#define BLOCK		sizeof(struct anykvm_stat_block)
static_assert(BLOCK == HV_PAGE_SIZE, "a vCPU's counters have a page to themselves");
static_assert(sizeof(struct anykvm_stat_header) <= BLOCK, "the header has the first block");

static struct {
	struct host_mutex lock;
	bool tried;
	struct anykvm_stat_header *header;	/* NULL: there is no file */
	struct anykvm_stat_block *block;	/* MAX_BLOCKS of them */
} counters;

static void create_file_locked(void)
{
	u64 size = (1 + MAX_BLOCKS) * BLOCK;
	struct anykvm_stat_header *h;
	long fd, ret;

	counters.tried = true;
	fd = sys2(__NR_memfd_create, (u64)ANYKVM_STAT_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return;
	ret = sys2(__NR_ftruncate, (u64)fd, size);
	if (ret)
		goto err;
	ret = sys6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, (u64)fd, 0);
	if (sys_is_err(ret))
		goto err;
	/* nobody else may write, or take the pages away */
	sys3(__NR_fcntl, (u64)fd, 1033 /* F_ADD_SEALS */,
	     0x1 | 0x2 | 0x4 | 0x10 /* SEAL, SHRINK, GROW, FUTURE_WRITE */);
	h = (struct anykvm_stat_header *)ret;
	h->version = ANYKVM_STAT_VERSION;
	h->block_size = BLOCK;
	h->pid = (s32)sys1(__NR_getpid, 0);
	host_store_release((u64 *)&h->magic, ANYKVM_STAT_MAGIC);
	counters.block = (struct anykvm_stat_block *)((u8 *)h + BLOCK);
	counters.header = h;
	return;
err:
	sys1(__NR_close, (u64)fd);
}

static struct anykvm_stat_block *find_free_locked(void)
{
	u32 i;

	if (!counters.tried)
		create_file_locked();
	for (i = 0; counters.header && i < MAX_BLOCKS; i++)
		if (counters.block[i].kind == ANYKVM_STAT_FREE && !counters.block[i].nr) {
			if (counters.header->nr_blocks <= i)
				host_store_release(&counters.header->nr_blocks, i + 1);
			return &counters.block[i];
		}
	return NULL;
}

static void copy_text(char *to, const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size - 1 && text[i]; i++)
		to[i] = text[i];
	to[i] = '\0';
}

void *glue_counters_alloc(enum glue_kind kind, const char *id, const struct glue_counter *rows, u32 n,
			  size_t size)
{
	struct anykvm_stat_block *b;
	u32 i;

	if (size > sizeof(b->value) || n > ANYKVM_STAT_ROWS)
		return NULL;
	host_mutex_lock(&counters.lock);
	b = find_free_locked();
	if (b)
		b->nr = n;
	host_mutex_unlock(&counters.lock);
	if (!b)
		b = host_pages_alloc(1);
	if (!b)
		return NULL;
	copy_text(b->id, id, sizeof(b->id));
	for (i = 0; i < n; i++) {
		copy_text(b->row[i].name, rows[i].name, sizeof(b->row[i].name));
		b->row[i].index = rows[i].index;
	}
	/* pairs with the reader's look at kind, before and after its copy */
	host_store_release(&b->kind, (u32)(kind == GLUE_VM_STATS ? ANYKVM_STAT_VM : ANYKVM_STAT_VCPU));
	return b->value;
}

void glue_counters_free(void *values)
{
	struct anykvm_stat_block *b = container_of(values, struct anykvm_stat_block, value);

	if (!values)
		return;
	if (!counters.header || b < counters.block || b >= counters.block + MAX_BLOCKS) {
		host_pages_free(b, 1);
		return;
	}
	host_mutex_lock(&counters.lock);
	host_store_release(&b->kind, (u32)ANYKVM_STAT_FREE);
	host_memset(b, 0, sizeof(*b));
	host_mutex_unlock(&counters.lock);
}

/* The file is the parent's. */
void counters_after_fork(void)
{
	host_memset(&counters, 0, sizeof(counters));
}
