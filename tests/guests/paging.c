// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * paging.c - the permission matrix of every paging mode: U/S, R/W, XD, CR0.WP, SMEP, SMAP with AC, present and reserved bits,
 * accessed and dirty bits, large pages, INVLPG, global pages, PCIDs. SDM 3A 4.3 to 4.10. 64-bit: 4-level; 32-bit: the
 * 32-bit and the PAE format in turn. Supervisor code stays in pages that are the kit's and not under test.
 */
#include "kit.h"

#define P	1ull
#define RW	2ull
#define US	4ull
#define A	0x20ull
#define D	0x40ull
#define PS	0x80ull
#define G	0x100ull
#define XD	BIT(63)

#define TEST_VA	0x8000000ul		/* 128 MiB: the page under test is mapped here */
#define TEST_PA	0xc00000ul		/* 12 MiB: the frame behind it, and the next ones */

enum format { LEGACY, PAE, LONG4 };
static enum format format;
static bool have_nx;

static u64 page_dir[4][512] __attribute__((aligned(4096)));
static u64 page_tab[512] __attribute__((aligned(4096)));
static u64 page_pdpt[512] __attribute__((aligned(4096)));
static u64 page_root[512] __attribute__((aligned(4096)));

/* Entries are 4 bytes in the 32-bit format. */
static u64 get(void *table, unsigned int i)
{
	return format == LEGACY ? ((volatile u32 *)table)[i] : ((volatile u64 *)table)[i];
}

static void set(void *table, unsigned int i, u64 v)
{
	if (format == LEGACY)
		((volatile u32 *)table)[i] = v;
	else
		((volatile u64 *)table)[i] = v;
}

static unsigned int dir_shift(void)
{
	return format == LEGACY ? 22 : 21;
}

static void *dir_of(ul va)
{
	return format == LEGACY ? (void *)page_dir : (void *)page_dir[va >> 30];
}

static unsigned int dir_index(ul va)
{
	return format == LEGACY ? va >> 22 : va >> 21 & 511;
}

static unsigned int tab_index(ul va)
{
	return va >> 12 & (format == LEGACY ? 1023 : 511);
}

/* The first 16 MiB and the device map themselves with large pages; TEST_VA goes through page_tab. */
static ul tables(void)
{
	memset(page_dir, 0, sizeof(page_dir));
	memset(page_tab, 0, sizeof(page_tab));
	for (ul a = 0; a < GUEST_MEMORY; a += 1ul << dir_shift())
		set(dir_of(a), dir_index(a), a | P | RW | US | PS);
	set(dir_of(TEST_VA), dir_index(TEST_VA), (ul)page_tab | P | RW | US);
	if (format == LEGACY)
		return (ul)page_dir;
	memset(page_pdpt, 0, sizeof(page_pdpt));
	for (unsigned int i = 0; i < 4; i++)
		page_pdpt[i] = (ul)page_dir[i] | P | (format == LONG4 ? RW | US : 0);
	if (format == PAE)
		return (ul)page_pdpt;
	memset(page_root, 0, sizeof(page_root));
	page_root[0] = (ul)page_pdpt | P | RW | US;
	return (ul)page_root;
}

static void map(u64 dir_flags, u64 entry)
{
	set(dir_of(TEST_VA), dir_index(TEST_VA), (ul)page_tab | dir_flags);
	set(page_tab, tab_index(TEST_VA), entry);
	flush_tlb();
}

SNIPPET(do_read, "", "mov (" R(di) "), %eax");
SNIPPET(do_write, "mov $0x12345678, %eax", "mov %eax, (" R(di) ")");
SNIPPET(do_rmw, "", "lock addl $0, (" R(di) ")");
SNIPPET(do_exec, "", "call *" R(di));
SNIPPET(do_read_ac, "pushf; orl $0x40000, (" R(sp) "); popf", "mov (" R(di) "), %eax");
SNIPPET(do_write_ac, "pushf; orl $0x40000, (" R(sp) "); popf", "movb $0xc3, (" R(di) ")");

enum kind { READ, WRITE, EXEC };

/* SDM 3A 4.6, written down again: may this access go, and with which error code not? */
static bool allowed(bool user, enum kind kind, bool us, bool rw, bool xd, bool wp)
{
	if (user && !us)
		return false;
	if (kind == EXEC)
		return !xd;
	return kind == READ || rw || (!user && !wp);
}

static const char *const kind_name[] = { "read", "write", "exec" };
static char name[64];

static char *put(char *p, const char *s)
{
	while (*s)
		*p++ = *s++;
	*p = 0;
	return p;
}

static void matrix(bool wp)
{
	static const char *const format_name[] = { "32bit", "pae", "4level" };

	wr_cr0((rd_cr0() & ~CR0_WP) | (wp ? CR0_WP : 0));
	/* the rights of the directory entry and of the page entry, each U/S, R/W, XD; combined by AND */
	for (unsigned int combo = 0; combo < 64; combo++) {
		bool dus = combo & 1, drw = combo & 2, dxd = combo & 4, us = combo & 8, rw = combo & 16, xd = combo & 32;

		if ((dxd || xd) && !have_nx)
			continue;
		for (unsigned int who = 0; who < 6; who++) {
			bool user = who & 1, ok;
			enum kind kind = who / 2;
			ul error;
			char *p;

			*(volatile u8 *)TEST_PA = 0xc3;		/* ret */
			map(P | (dus ? US : 0) | (drw ? RW : 0) | (dxd ? XD : 0),
			    TEST_PA | P | (us ? US : 0) | (rw ? RW : 0) | (xd ? XD : 0));
			(user ? try_user : try_kernel)(kind == READ ? do_read : kind == WRITE ? do_write : do_exec, TEST_VA);
			ok = allowed(user, kind, us && dus, rw && drw, xd || dxd, wp);
			error = 1 | (kind == WRITE) << 1 | user << 2 | (kind == EXEC && have_nx) << 4;
			p = put(name, format_name[format]);
			p = put(p, wp ? "_wp" : "");
			p = put(p, user ? "_user_" : "_kernel_");
			p = put(p, kind_name[kind]);
			p = put(p, dus ? "_U" : "_S");
			p = put(p, drw ? "W" : "R");
			p = put(p, dxd ? "X" : "");
			p = put(p, us ? "_U" : "_S");
			p = put(p, rw ? "W" : "R");
			p = put(p, xd ? "X" : "");
			if (ok)
				check(name, trap.vector, NONE);
			else
				check(name, (u64)trap.vector << 32 | trap.error, (u64)PF << 32 | error);
		}
	}
}

SNIPPET(read_then_write, "mov 8(" R(di) "), %eax; mov 16(" R(di) "), %edx; add (" R(di) "), %eax", "mov %eax, 24(" R(di) ")");
SNIPPET(read_two, "mov (" R(di) "), %eax", "add 8(" R(di) "), %eax");
SNIPPET(write_two, "movl $0x1111, (" R(di) ")", "movl $0x2222, 8(" R(di) ")");

/* a store that does not happen: of an empty register, with invalid operation unmasked */
SNIPPET(x87_withheld, "fninit; fnstcw -8(" R(sp) "); andw $~1, -8(" R(sp) "); fldcw -8(" R(sp) "); fsts (" R(di) ")", "fwait");

/* What it leaves in EAX; it must not fault. */
static u32 value_of(const void *fn, ul arg)
{
	ul v;

	__asm__ volatile("call *%1" : "=a"(v) : "r"(fn), "D"(arg) : "memory", "cc", "dx");
	return v;
}

/* Several operands with one base register: each has its own rights, its own page, its own faults. */
static void neighbours(void)
{
	volatile u32 *frame = (volatile u32 *)TEST_PA;
	ul end = TEST_VA + 0xff8;

	for (u32 i = 0; i < 4 * PAGE / 4; i++)
		frame[i] = i;
	wr_cr0(rd_cr0() | CR0_WP);
	for (u32 i = 0; i < 3; i++) {
		map(P | RW | US, TEST_PA | P | (i == 1 ? RW : 0));
		value_of(read_two, TEST_VA + 64);	/* so that the page is in the TLB, for reads */
		try_kernel(read_then_write, TEST_VA + 64);
		if (i == 1)
			check("neighbours_writable", trap.vector, NONE);
		else
			check_trap("neighbours_read_only", PF, 3, read_then_write_at);
	}
	map(P | RW | US, TEST_PA | P | RW);
	for (u32 i = 0; i < 3; i++)
		check("neighbours_read", value_of(read_two, TEST_VA + 64), 16 + 18);
	check("neighbours_clean", get(page_tab, tab_index(TEST_VA)) & (A | D), A);
	try_kernel(write_two, TEST_VA + 64);
	check("neighbours_dirty", get(page_tab, tab_index(TEST_VA)) & (A | D), A | D);
	check("neighbours_written", frame[16] << 16 | frame[18], 0x11112222);
	/* the second operand is in the next page, which is not there */
	for (u32 i = 0; i < 2; i++) {
		set(page_tab, tab_index(TEST_VA + PAGE), 0);
		flush_tlb();
		try_kernel(read_two, end);
		check_trap("neighbours_next_absent", PF, 0, read_two_at);
		report("neighbours_next_absent", "cr2", trap.cr2, end + 8);
		try_kernel(write_two, end);
		check_trap("neighbours_next_absent_write", PF, 2, write_two_at);
		report("neighbours_next_absent_write", "cr2", trap.cr2, end + 8);
		check("neighbours_first_written", frame[0xff8 / 4], 0x1111);
		frame[0xff8 / 4] = 0xff8 / 4;
		/* and now it is, with another frame than the next */
		set(page_tab, tab_index(TEST_VA + PAGE), (TEST_PA + 3 * PAGE) | P | RW);
		flush_tlb();
		check("neighbours_two_pages", value_of(read_two, end), 0xff8 / 4 + 3 * PAGE / 4);
		wr_cr0((rd_cr0() & ~(CR0_EM | CR0_TS)) | CR0_NE);
		try_kernel(x87_withheld, end + 6);
		check_trap("neighbours_withheld", MF, 0, x87_withheld_at);
		check("neighbours_withheld.first", frame[0xffc / 4], 0xffc / 4);
		check("neighbours_withheld.second", frame[3 * PAGE / 4], 3 * PAGE / 4);
		__asm__ volatile("fninit");
		frame[0xffc / 4] = 0xffc / 4;
		frame[3 * PAGE / 4] = 3 * PAGE / 4;
	}
	set(page_tab, tab_index(TEST_VA + PAGE), 0);
	map(P | RW | US, TEST_PA | P | RW);
	wr_cr0(rd_cr0() & ~CR0_WP);
}

/* CR2 and the error code of pages that are not there, or have reserved bits set */
static void missing(void)
{
	map(P | RW | US, 0);
	try_kernel(do_read, TEST_VA + 0x123);
	check_trap("absent_read", PF, 0, do_read_at);
	report("absent_read", "cr2", trap.cr2, TEST_VA + 0x123);
	try_user(do_write, TEST_VA + 0xffc);
	check_trap("absent_write_user", PF, 6, do_write_at);
	report("absent_write_user", "cr2", trap.cr2, TEST_VA + 0xffc);
	map(0, TEST_PA | P | RW | US);
	try_user(do_read, TEST_VA);
	check_trap("absent_dir", PF, 4, do_read_at);
	if (format == LEGACY)
		return;
	/* bit 51 lies beyond every physical address width here; bit 13 of a large page is reserved (bit 12 is PAT) */
	map(P | RW | US, TEST_PA | P | RW | US | BIT(51));
	try_kernel(do_read, TEST_VA);
	check_trap("reserved_pte", PF, 9, do_read_at);
	map(P | RW | US | BIT(51), TEST_PA | P | RW | US);
	try_user(do_write, TEST_VA);
	check_trap("reserved_pde", PF, 15, do_write_at);
	set(dir_of(TEST_VA), dir_index(TEST_VA), 0xc00000 | BIT(13) | P | RW | US | PS);
	flush_tlb();
	try_kernel(do_read, TEST_VA);
	check_trap("reserved_large", PF, 9, do_read_at);
	if (have_nx) {
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
		map(P | RW | US, TEST_PA | P | RW | US | XD);
		try_kernel(do_read, TEST_VA);
		check_trap("xd_without_nxe", PF, 9, do_read_at);
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	}
	/* absent wins over reserved */
	map(P | RW | US, BIT(51));
	try_kernel(do_read, TEST_VA);
	check_trap("absent_reserved", PF, 0, do_read_at);
}

static u64 pte(void)
{
	return get(page_tab, tab_index(TEST_VA)) & (A | D);
}

/* SDM 3A 4.8: A on any use, D on a write; a refused access sets neither D, nor A in the entry that refuses. */
static void accessed_dirty(void)
{
	map(P | RW | US, TEST_PA | P | RW | US);
	check("ad_fresh", pte(), 0);
	try_kernel(do_read, TEST_VA);
	check("ad_read", pte(), A);
	check("ad_read_dir", get(dir_of(TEST_VA), dir_index(TEST_VA)) & A, A);
	try_kernel(do_write, TEST_VA);
	check("ad_write_after_read", pte(), A | D);
	map(P | RW | US, TEST_PA | P | RW | US);
	try_kernel(do_write, TEST_VA);
	check("ad_write", pte(), A | D);
	map(P | RW | US, TEST_PA | P | RW | US);
	try_kernel(do_rmw, TEST_VA);
	check("ad_rmw", pte(), A | D);
	*(volatile u8 *)TEST_PA = 0xc3;
	map(P | RW | US, TEST_PA | P | RW | US);
	try_kernel(do_exec, TEST_VA);
	check("ad_exec", pte(), A);
	map(P | RW | US, TEST_PA | P | US);
	try_user(do_write, TEST_VA);
	check_trap("ad_refused", PF, 7, do_write_at);
	check("ad_refused_dirty", pte() & D, 0);
	/* a large page */
	set(dir_of(TEST_VA), dir_index(TEST_VA), 0xc00000 | P | RW | US | PS);
	flush_tlb();
	try_user(do_read, TEST_VA + 0x1000);
	check("ad_large_read", get(dir_of(TEST_VA), dir_index(TEST_VA)) & (A | D), A);
	try_user(do_write, TEST_VA + 0x1000);
	check("ad_large_write", get(dir_of(TEST_VA), dir_index(TEST_VA)) & (A | D), A | D);
	check("large_data", *(volatile u32 *)(0xc00000 + 0x1000), 0x12345678);
}

/*
 * PAE's page-directory-pointer entries are read again with it, and their reserved bits must be clear: written afresh just before,
 * twice, as a processor that sets an accessed bit there does so on a walk for this very code.
 */
static void change_cr4(ul val)
{
	for (unsigned int i = 0; format == PAE && i < 8; i++)
		((volatile u64 *)page_pdpt)[i & 3] = (ul)page_dir[i & 3] | P;
	wr_cr4(val);
}

/* What a TLB may keep and what INVLPG, CR3 and CR4 must drop. SDM 3A 4.10 */
static void tlb(void)
{
	volatile u32 *v = (volatile u32 *)TEST_VA;

	*(volatile u32 *)TEST_PA = 111;
	*(volatile u32 *)(TEST_PA + PAGE) = 222;
	map(P | RW | US, TEST_PA | P | RW | US);
	check("tlb_first", *v, 111);
	set(page_tab, tab_index(TEST_VA), (TEST_PA + PAGE) | P | RW | US);
	invlpg(v);
	check("tlb_invlpg", *v, 222);
	set(page_tab, tab_index(TEST_VA), TEST_PA | P | RW | US);
	flush_tlb();
	check("tlb_cr3", *v, 111);
	/* permissions withdrawn */
	set(page_tab, tab_index(TEST_VA), TEST_PA | P | US);
	invlpg(v);
	try_user(do_write, TEST_VA);
	check_trap("tlb_readonly", PF, 7, do_write_at);
	set(page_tab, tab_index(TEST_VA), 0);
	invlpg(v);
	try_kernel(do_read, TEST_VA);
	check_trap("tlb_absent", PF, 0, do_read_at);
	/* an absent page is never cached: no flush needed. SDM 3A 4.10.4.3; nor is a right refused kept after the fault */
	set(page_tab, tab_index(TEST_VA), TEST_PA | P | RW | US);
	try_kernel(do_read, TEST_VA);
	check_trap("tlb_made_present", NONE, 0, NULL);
	/* an INVLPG of any address in it drops a large page */
	set(dir_of(TEST_VA), dir_index(TEST_VA), 0xc00000 | P | RW | US | PS);
	flush_tlb();
	check("tlb_large", v[PAGE / 4], 222);
	check("tlb_large_far", v[(0x200000 - 4) / 4], *(volatile u32 *)(0xc00000 + 0x200000 - 4));
	set(dir_of(TEST_VA), dir_index(TEST_VA), 0x800000 | P | RW | US | PS);
	invlpg((void *)(TEST_VA + 0x100000));
	*(volatile u32 *)(0x800000 + PAGE) = 333;
	check("tlb_large_invlpg", v[PAGE / 4], 333);
	set(dir_of(TEST_VA), dir_index(TEST_VA), 0xc00000 | P | RW | US | PS);
	invlpg((void *)(TEST_VA + (1ul << dir_shift()) - 1));
	check("tlb_large_invlpg_end", v[PAGE / 4], 222);
#ifdef __x86_64__
	if (cpu_has(0x80000001, 0, 3, 26)) {
		volatile u32 *w = (volatile u32 *)(0x40000000ul + TEST_PA + PAGE);

		page_pdpt[1] = P | RW | US | PS;
		flush_tlb();
		check("tlb_huge", *w, 222);
		set(page_dir[1], dir_index((ul)w), 0x800000 | P | RW | US | PS);
		page_pdpt[1] = (ul)page_dir[1] | P | RW | US;
		invlpg((void *)0x7ffff000);
		check("tlb_huge_invlpg", *w, 333);
	}
#endif
	/* global pages: dropped by INVLPG and by a change of CR4.PGE, whatever CR3 did */
	for (unsigned int i = 0; format == PAE && i < 4; i++)
		check("pdpte", page_pdpt[i], (ul)page_dir[i] | P);
	change_cr4(rd_cr4() | CR4_PGE);
	map(P | RW | US, TEST_PA | P | RW | US | G);
	check("tlb_global", *v, 111);
	set(page_tab, tab_index(TEST_VA), (TEST_PA + PAGE) | P | RW | US | G);
	invlpg(v);
	check("tlb_global_invlpg", *v, 222);
	set(page_tab, tab_index(TEST_VA), TEST_PA | P | RW | US | G);
	change_cr4(rd_cr4() & ~CR4_PGE);
	check("tlb_global_cr4", *v, 111);
	/* two linear addresses of one frame */
	set(page_tab, tab_index(TEST_VA) + 1, TEST_PA | P | RW | US);
	invlpg(v + 1024);
	v[0] = 777;
	check("alias_read", v[1024], 777);
	v[1025] = 778;
	check("alias_write", v[1], 778);
	/* an access across two pages that are no neighbours in memory, and one whose second page is missing */
	*(volatile u32 *)(TEST_PA + 0xffc) = 0x11223344;
	*(volatile u32 *)(TEST_PA + 2 * PAGE) = 0x55667788;
	set(page_tab, tab_index(TEST_VA) + 1, (TEST_PA + 2 * PAGE) | P | RW | US);
	invlpg(v + 1024);
	check("cross_read", *(volatile u32 *)(TEST_VA + 0xffe), 0x77881122);
	*(volatile u32 *)(TEST_VA + 0xffe) = 0xaabbccdd;
	check("cross_write_low", *(volatile u32 *)(TEST_PA + 0xffc), 0xccdd3344);
	check("cross_write_high", *(volatile u32 *)(TEST_PA + 2 * PAGE), 0x5566aabb);
	set(page_tab, tab_index(TEST_VA) + 1, 0);
	invlpg(v + 1024);
	*(volatile u32 *)(TEST_PA + 0xffc) = 0;
	try_kernel(do_write, TEST_VA + 0xffe);
	check_trap("cross_absent", PF, 2, do_write_at);
	report("cross_absent", "cr2", trap.cr2, TEST_VA + 0x1000);
	report("cross_absent", "untouched", *(volatile u32 *)(TEST_PA + 0xffc), 0);
}

#ifdef __x86_64__
/* SMEP and SMAP: the kit must not be in user pages then. */
static void supervisor_modes(void)
{
	bool smep = cpu_has(7, 0, 1, 7), smap = cpu_has(7, 0, 1, 20);
	u64 *dir = dir_of(0);

	if (!smep || !smap) {
		skip("smep and smap");
		return;
	}
	for (unsigned int i = 0; i < 8; i++)
		dir[i] &= ~US;
	flush_tlb();
	*(volatile u8 *)TEST_PA = 0xc3;
	map(P | RW | US, TEST_PA | P | RW | US);
	try_kernel(do_exec, TEST_VA);
	check_trap("smep_off", NONE, 0, NULL);
	wr_cr4(rd_cr4() | CR4_SMEP);
	try_kernel(do_exec, TEST_VA);
	check_trap("smep_user_page", PF, 0x11, (void *)TEST_VA);
	map(P | RW, TEST_PA | P | RW | US);
	try_kernel(do_exec, TEST_VA);
	check_trap("smep_supervisor_page", NONE, 0, NULL);
	wr_cr4(rd_cr4() & ~CR4_SMEP);
	map(P | RW | US, TEST_PA | P | RW | US);
	try_kernel(do_read, TEST_VA);
	check_trap("smap_off", NONE, 0, NULL);
	wr_cr4(rd_cr4() | CR4_SMAP);
	try_kernel(do_read, TEST_VA);
	check_trap("smap_read", PF, 1, do_read_at);
	try_kernel(do_write, TEST_VA);
	check_trap("smap_write", PF, 3, do_write_at);
	try_kernel(do_read_ac, TEST_VA);
	check_trap("smap_read_ac", NONE, 0, NULL);
	try_kernel(do_write_ac, TEST_VA);
	check_trap("smap_write_ac", NONE, 0, NULL);
	__asm__ volatile("clac");
	try_kernel(do_read, TEST_VA);
	check_trap("smap_clac", PF, 1, do_read_at);
	__asm__ volatile("stac");
	check("smap_stac", *(volatile u8 *)TEST_VA, 0xc3);
	__asm__ volatile("clac");
	try_kernel(do_exec, TEST_VA);
	check_trap("smap_exec", NONE, 0, NULL);
	map(P | RW, TEST_PA | P | RW | US);
	try_kernel(do_read, TEST_VA);
	check_trap("smap_supervisor_page", NONE, 0, NULL);
	wr_cr4(rd_cr4() & ~CR4_SMAP);
	for (unsigned int i = 0; i < 8; i++)
		dir[i] |= US;
	flush_tlb();
}

/* PCIDs keep address spaces apart; a context's own entries are dropped by a load of CR3 with bit 63 clear. */
static void pcid(void)
{
	ul root = rd_cr3() & ~0xffful;
	u64 *tab = page_tab;
	volatile u32 *v = (volatile u32 *)TEST_VA;

	if (!cpu_has(1, 0, 2, 17)) {
		skip("pcid");
		return;
	}
	wr_cr4(rd_cr4() | CR4_PCIDE);
	*(volatile u32 *)TEST_PA = 111;
	*(volatile u32 *)(TEST_PA + PAGE) = 222;
	map(P | RW | US, TEST_PA | P | RW | US);
	wr_cr3(root | 1);
	check("pcid_1", *v, 111);
	tab[tab_index(TEST_VA)] = (TEST_PA + PAGE) | P | RW | US;
	wr_cr3(root | 2);
	check("pcid_2", *v, 222);
	wr_cr3(root | 1);		/* bit 63 clear: the entries of PCID 1 go */
	check("pcid_1_again", *v, 222);
	tab[tab_index(TEST_VA)] = TEST_PA | P | RW | US;
	invlpg(v);
	check("pcid_invlpg", *v, 111);
	wr_cr3(root);
	wr_cr4(rd_cr4() & ~CR4_PCIDE);
	check("pcid_off", *v, 111);
}
#endif

static void all(void)
{
	matrix(false);
	matrix(true);
	missing();
	neighbours();
	accessed_dirty();
	tlb();
}

int main(u32 step)
{
#ifdef __x86_64__
	format = LONG4;
	have_nx = true;
	wr_cr3(tables());
	all();
	supervisor_modes();
	pcid();
#else
	format = LEGACY;
	wr_cr4(rd_cr4() | CR4_PSE);
	wr_cr3(tables());
	wr_cr0(rd_cr0() | CR0_PG);
	all();
	wr_cr0(rd_cr0() & ~(CR0_PG | CR0_WP));
	format = PAE;
	have_nx = cpu_has(0x80000001, 0, 3, 20);
	if (have_nx)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	wr_cr4(rd_cr4() | CR4_PAE);
	wr_cr3(tables());
	wr_cr0(rd_cr0() | CR0_PG);
	all();
	wr_cr0(rd_cr0() & ~CR0_PG);
#endif
	return 0;
}
