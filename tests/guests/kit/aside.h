/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* aside.h - pages for code written at run time, where kernels are, in two address spaces. 64-bit. */
#ifndef GUEST_ASIDE_H
#define GUEST_ASIDE_H

#include "kit.h"

#define ASIDE_VA	0xffffffff88000000ul
#define ASIDE_PA	0xc00000ul	/* frame 0 */

/* of the low 16 MiB, and of an address space: root, PDPT, directory, page table */
static u64 low_dir[512] __attribute__((aligned(4096)));
static u64 low_pdpt[512] __attribute__((aligned(4096)));
static u64 space[2][4][512] __attribute__((aligned(4096)));

/* Page n of a space becomes frame n, without a flush. */
static void map_in(ul s, ul page, ul frame)
{
	space[s][3][page] = (ASIDE_PA + frame * PAGE) | 3;
}

static ul va(ul page, ul off)
{
	return ASIDE_VA + page * PAGE + off;
}

static u8 *frame(ul n, ul off)
{
	return (u8 *)(ASIDE_PA + n * PAGE + off);
}

/* Two spaces with nothing but the low memory, which is mapped as without them. */
static void aside_init(void)
{
	memset(space, 0, sizeof(space));
	for (ul a = 0; a < GUEST_MEMORY; a += 0x200000)
		low_dir[a >> 21] = a | 0x83;
	low_pdpt[0] = (ul)low_dir | 3;
	for (ul i = 0; i < 2; i++) {
		space[i][0][0] = (ul)low_pdpt | 3;
		for (ul level = 0; level < 3; level++)
			space[i][level][ASIDE_VA >> (39 - 9 * level) & 511] = (ul)space[i][level + 1] | 3;
	}
}

static void enter_space(ul s)
{
	wr_cr3((ul)space[s][0]);
}

/* In space 0, the current one. */
static void remap(ul page, ul frame, bool by_cr3)
{
	map_in(0, page, frame);
	if (by_cr3)
		flush_tlb();
	else
		invlpg((void *)va(page, 0));
}

/*
 * Run all, which enters the spaces, twice: kernels map their code as global, and then a processor in software may have one
 * set of jump caches for every CR3.
 */
static void aside_run(void (*all)(void))
{
	ul cr3 = rd_cr3(), cr4 = rd_cr4();

	all();
	wr_cr3(cr3);
	wr_cr4(cr4 | CR4_PGE);
	all();
	wr_cr3(cr3);
	wr_cr4(cr4);
}

#endif
