// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Memory: latency, bandwidth and reach. */
#include <string.h>

#include "workload.h"

#define MIB (1024u * 1024u)

struct node {
	struct node *next;
	u64 value;
	u64 pad[6];
};

static struct node *nodes;
static u8 *big, *big2;
static u64 *table;

/* One cycle through all nodes in random order (Sattolo), so that no prefetcher helps. */
static void link_nodes(struct node *n, u32 count)
{
	static u32 order[131072];
	u64 seed = 99;

	for (u32 i = 0; i < count; i++)
		order[i] = i;
	for (u32 i = count - 1; i > 0; i--) {
		u32 j = (wl_random(&seed) >> 33) % i, t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (u32 i = 0; i < count; i++) {
		n[order[i]].next = &n[order[(i + 1) % count]];
		n[order[i]].value = order[i];
	}
}

static void chase_setup(void)
{
	if (!nodes)
		nodes = wl_alloc(131072 * sizeof(*nodes));
	link_nodes(nodes, 131072);
}

static void chase_small_setup(void)
{
	if (!nodes)
		nodes = wl_alloc(131072 * sizeof(*nodes));
	link_nodes(nodes, 384);
}

static u64 chase_steps(u32 steps)
{
	struct node *n = nodes;
	u64 sum = 0;

	while (steps--) {
		sum += n->value;
		n = n->next;
	}
	return sum;
}

static u64 chase(void)
{
	return chase_steps(131072);
}

static u64 chase_small(void)
{
	return chase_steps(1500000);
}

static void big_setup(void)
{
	u64 seed = 1;

	if (big)
		return;
	big = wl_alloc(16 * MIB);
	/* an odd distance, so that the two do not fall into the same places of every cache and
	 * TLB */
	big2 = (u8 *)wl_alloc(17 * MIB) + 37 * 4096;
	for (u32 i = 0; i < 16 * MIB; i += 8)
		*(u64 *)(big + i) = wl_random(&seed);
	memset(big2, 1, 16 * MIB);
}

static u64 copy(void)
{
	memcpy(big2, big, 16 * MIB);
	return *(u64 *)(big2 + 8 * MIB);
}

static u64 copy_small(void)
{
	for (int i = 0; i < 800; i++)
		memcpy(big2 + (i & 1) * 65536, big + (i & 3) * 65536, 65536);
	return *(u64 *)(big2 + 4096);
}

/* short copies of changing length, as programs do most */
static u64 copy_short(void)
{
	for (u32 i = 0; i < 300000; i++)
		memcpy(big2 + (i * 40 & 8191), big + (i * 24 & 16383), 1 + (i * 7 & 63));
	return *(u64 *)(big2 + 4096);
}

static u64 copy_words(void)
{
	const u64 *from = (const u64 *)big;
	volatile u64 *to = (u64 *)big2;

	for (int round = 0; round < 64; round++)
		for (u32 i = 0; i < 32768; i++)
			to[i] = from[i];
	return to[777];
}

static u64 rep_movs(void)
{
	for (int i = 0; i < 800; i++) {
		u8 *to = big2 + (i & 1) * 65536, *from = big + (i & 3) * 65536;
		u64 count = 65536 / 8;

		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	}
	return *(u64 *)(big2 + 4096);
}

static u64 fill(void)
{
	memset(big2, 0x5a, 16 * MIB);
	return *(u64 *)(big2 + 8 * MIB);
}

static u64 sum_words(void)
{
	u64 sum = 0;

	for (u32 i = 0; i < 16 * MIB; i += 8)
		sum += *(volatile u64 *)(big + i);
	return sum;
}

static u64 stride(void)
{
	u64 sum = 0;

	for (u32 offset = 0; offset < 64 * 128; offset += 128)
		for (u32 i = offset & 4095; i < 16 * MIB; i += 4096)
			sum += *(volatile u64 *)(big + i);
	return sum;
}

static void table_setup(void)
{
	if (!table)
		table = wl_alloc(16 * MIB);
}

static u64 hash_16m(void)
{
	u64 seed = 17, sum = 0;

	for (u32 i = 0; i < 150000; i++) {
		u64 key = wl_random(&seed);
		u64 *slot = &table[(key * 0x9e3779b97f4a7c15ull) >> 43];

		sum += *slot != key;
		*slot = i;
	}
	return sum;
}

const struct workload wl_memory[] = {
	{ "chase-8m", "memory", chase, chase_setup },
	{ "chase-24k", "memory", chase_small, chase_small_setup },
	{ "copy-16m", "memory", copy, big_setup },
	{ "copy-64k", "memory", copy_small, big_setup },
	{ "copy-short", "memory", copy_short, big_setup },
	{ "copy-words", "memory", copy_words, big_setup },
	{ "rep-movs", "memory", rep_movs, big_setup },
	{ "fill-16m", "memory", fill, big_setup },
	{ "sum-16m", "memory", sum_words, big_setup },
	{ "stride-4k", "memory", stride, big_setup },
	{ "hash-16m", "memory", hash_16m, table_setup },
	{ NULL },
};
