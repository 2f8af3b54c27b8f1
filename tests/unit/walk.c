// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The guest page walk: every combination of rights, mode bits and kinds of access against a plain
 * statement of SDM 3A 4.6 and 4.7, then reserved bits, accessed and dirty bits, and concurrent
 * changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "x86/paging/walk.h"

#define P	0x01ULL
#define W	0x02ULL
#define U	0x04ULL
#define A	0x20ULL
#define D	0x40ULL
#define PS	0x80ULL
#define G	0x100ULL
#define XD	(1ULL << 63)

#define PAGES	8
static u64 ram[PAGES][512] __attribute__((aligned(4096)));
static unsigned int touched;
/* runs when the walk asks for an entry: another processor's turn */
static void (*meanwhile)(gpa_t gpa);
/* what the host's memory says from this page on */
static u64 lost_from = ~0ULL, sealed_from = ~0ULL;

static int read_entry(void *ctx, gpa_t gpa, bool wide, u64 *val, u64 *host)
{
	assert_int_equal(gpa & (wide ? 7 : 3), 0);
	if (meanwhile)
		meanwhile(gpa);
	if (gpa >= sizeof(ram))
		return -EIO;
	if (gpa >= lost_from)
		return -ENXIO;
	*host = (u64)((char *)ram + gpa);
	*val = wide ? *(u64 *)*host : *(u32 *)*host;
	return 0;
}

static int update_entry(void *ctx, gpa_t gpa, bool wide, u64 host, u64 old, u64 new)
{
	assert_ptr_equal((void *)host, (char *)ram + gpa);
	if (gpa >= sealed_from)
		return -ENXIO;
	if (wide ? *(u64 *)host != old : *(u32 *)host != old)
		return -EBUSY;
	if (wide)
		*(u64 *)host = new;
	else
		*(u32 *)host = (u32)new;
	touched++;
	return 0;
}

static const struct walk_ops ops = { .read = read_entry, .update = update_entry };

/*
 * A path of tables at pages 1, 2, 3 ...: entries from the top down; the leaf at level leaf maps
 * leaf_gpa.
 */
struct path {
	const char *name;
	unsigned int levels;		/* walk_mode.levels */
	unsigned int top, leaf;		/* table levels with rights */
	u64 leaf_gpa;
	gva_t gva;
	unsigned int shift;
};

static const struct path paths[] = {
	{ "32-bit 4K", 2, 2, 1, 0x0007b000, 0x00403123, 12 },
	{ "32-bit 4M", 2, 2, 2, 0x00c00000, 0x00453123, 22 },
	{ "PAE 4K", 3, 2, 1, 0x12345000, 0x40603123, 12 },
	{ "PAE 2M", 3, 2, 2, 0x12400000, 0x40663123, 21 },
	{ "4-level 4K", 4, 4, 1, 0x1234567000, 0xffff808040603123, 12 },
	{ "4-level 2M", 4, 4, 2, 0x1234600000, 0xffff808040663123, 21 },
	{ "4-level 1G", 4, 4, 3, 0x1240000000, 0xffff808067663123, 30 },
	{ "5-level 4K", 5, 5, 1, 0x1234567000, 0x0055808040603123, 12 },
};

static void *entry_of(const struct path *p, unsigned int level)
{
	unsigned int page = 1 + p->top - level;

	if (p->levels == 2)
		return (u32 *)ram[page] + ((p->gva >> (level == 2 ? 22 : 12)) & 1023);
	return &ram[page][(p->gva >> (12 + 9 * (level - 1))) & 511];
}

static u64 get(const struct path *p, unsigned int level)
{
	return p->levels == 2 ? *(u32 *)entry_of(p, level) : *(u64 *)entry_of(p, level);
}

static void set(const struct path *p, unsigned int level, u64 val)
{
	if (p->levels == 2)
		*(u32 *)entry_of(p, level) = (u32)val;
	else
		*(u64 *)entry_of(p, level) = val;
}

/* Entry without rights: address, and PS where it is a large leaf. */
static u64 bare(const struct path *p, unsigned int level)
{
	if (level > p->leaf)
		return (u64)(2 + p->top - level) << 12;
	return p->leaf_gpa | (p->leaf > 1 ? PS : 0);
}

static struct walk_mode mode_of(const struct path *p)
{
	struct walk_mode m = { .cr3 = 0x1000, .levels = p->levels, .pse = true, .pge = true, .nxe = p->levels > 2,
		.maxphyaddr = 46 };

	if (p->levels == 3) {
		m.cr3 = 0;
		m.pdptr[(p->gva >> 30) & 3] = 0x1000 | P;
	}
	return m;
}

static void build(const struct path *p, u64 rights)
{
	unsigned int level;

	memset(ram, 0, sizeof(ram));
	for (level = p->top; level >= p->leaf; level--)
		set(p, level, bare(p, level) | rights);
}

/* SDM 3A 4.6.1, sentence by sentence. */
static bool permitted(const struct walk_mode *m, unsigned int access, bool user_page, bool writable,
		      bool xd)
{
	bool write = access & WALK_WRITE, exec = access & WALK_EXEC;
	bool xd_applies = m->levels >= 3 && m->nxe && xd;

	if (!(access & WALK_USER)) {
		if (exec) {
			/* from supervisor pages unless XD; from user pages only if SMEP is 0,
			 * unless XD */
			if (user_page && m->smep)
				return false;
			return !xd_applies;
		}
		if (user_page && m->smap) {
			/* explicit accesses with AC set; implicit ones never */
			if (access & WALK_IMPLICIT)
				return false;
			if (!m->ac)
				return false;
		}
		if (write && m->wp && !writable)
			return false;
		return true;
	}
	if (!user_page)
		return false;
	if (exec)
		return !xd_applies;
	if (write)
		return writable;
	return true;
}

/* SDM 3A 4.7 */
static u32 error_code(const struct walk_mode *m, unsigned int access, bool present, bool rsvd)
{
	bool fetch_flag = m->smep || (m->levels >= 3 && m->nxe);

	return (present ? 1 : 0) | (access & WALK_WRITE ? 2 : 0) | (access & WALK_USER ? 4 : 0) |
	       (rsvd ? 8 : 0) | ((access & WALK_EXEC) && fetch_flag ? 16 : 0);
}

static unsigned long checked;

static void check_one(const struct path *p, const struct walk_mode *m, unsigned int access,
		      bool user, bool writable, bool xd)
{
	u64 before[6] = { 0 };
	struct walk_result r;
	unsigned int level;
	int ret;

	for (level = p->top; level >= p->leaf; level--)
		before[level] = get(p, level);
	ret = x86_walk(m, p->gva, access, &ops, NULL, &r);
	checked++;
	if (!permitted(m, access, user, writable, xd)) {
		assert_int_equal(ret, -EFAULT);
		assert_int_equal(r.error_code, error_code(m, access, true, false));
		for (level = p->top; level >= p->leaf; level--)
			assert_int_equal(get(p, level), before[level]);
		return;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(r.gpa, p->leaf_gpa | (p->gva & ((1ULL << p->shift) - 1)));
	assert_int_equal(r.page_shift, p->shift);
	assert_int_equal(r.user, user);
	assert_int_equal(r.writable, writable);
	assert_int_equal(r.nx, m->nxe && xd);
	for (level = p->top; level >= p->leaf; level--) {
		u64 want = before[level] | A;

		if (level == p->leaf && (access & WALK_WRITE))
			want |= D;
		assert_int_equal(get(p, level), want);
		set(p, level, before[level]);
	}
}

/*
 * Rights at the top and at the leaf independently (levels between grant all), times modes, times
 * accesses.
 */
static void permission_matrix(void **state)
{
	static const unsigned int accesses[] = { WALK_READ, WALK_WRITE, WALK_EXEC, WALK_READ | WALK_USER,
		WALK_WRITE | WALK_USER, WALK_EXEC | WALK_USER, WALK_READ | WALK_IMPLICIT, WALK_WRITE | WALK_IMPLICIT };
	unsigned int i, k, bits, modes;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct path *p = &paths[i];

		for (bits = 0; bits < 64; bits++) {
			u64 top = (bits & 1 ? U : 0) | (bits & 2 ? W : 0),
			    leaf = (bits & 4 ? U : 0) | (bits & 8 ? W : 0);
			bool user, writable, xd;

			if (p->levels > 2) {
				top |= bits & 16 ? XD : 0;
				leaf |= bits & 32 ? XD : 0;
			} else if (bits >= 16) {
				break;
			}
			build(p, P | U | W);
			set(p, p->top, bare(p, p->top) | P | top);
			if (p->top != p->leaf)
				set(p, p->leaf, bare(p, p->leaf) | P | leaf);
			else
				leaf = top;
			user = top & leaf & U;
			writable = top & leaf & W;
			xd = (top | leaf) & XD;
			for (modes = 0; modes < 32; modes++) {
				struct walk_mode m = mode_of(p);

				m.wp = modes & 1;
				m.smep = modes & 2;
				m.smap = modes & 4;
				m.ac = modes & 8;
				m.nxe = p->levels > 2 && (modes & 16);
				/* XD is reserved then: reserved_bits() */
				if (xd && !m.nxe)
					continue;
				for (k = 0; k < ARRAY_SIZE(accesses); k++)
					check_one(p, &m, accesses[k], user, writable, xd);
			}
		}
	}
	print_message("%lu combinations\n", checked);
}

static void not_present(void **state)
{
	static const unsigned int accesses[] = { WALK_READ, WALK_WRITE | WALK_USER, WALK_EXEC };
	unsigned int i, k, level;
	struct walk_result r;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct path *p = &paths[i];
		struct walk_mode m = mode_of(p);

		for (level = p->top; level >= p->leaf; level--)
			for (k = 0; k < ARRAY_SIZE(accesses); k++) {
				build(p, P | U | W);
				/* reserved bits of an entry that is not present do not count */
				set(p, level, ~P);
				assert_int_equal(x86_walk(&m, p->gva, accesses[k], &ops, NULL, &r),
						 -EFAULT);
				assert_int_equal(r.error_code,
						 error_code(&m, accesses[k], false, false));
				if (level != p->top)
					assert_false(get(p, p->top) & A);
			}
	}
}

static void pdpte_not_present(void **state)
{
	const struct path *p = &paths[2];
	struct walk_mode m = mode_of(p);
	struct walk_result r;

	build(p, P | U | W);
	memset(m.pdptr, 0, sizeof(m.pdptr));
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), -EFAULT);
	assert_int_equal(r.error_code, 0);
}

/* Which bits are reserved: tables 4-4 to 4-20 of SDM 3A, MAXPHYADDR = 46 (legacy: 36). */
static bool reserved(const struct path *p, unsigned int level, unsigned int bit, bool nxe)
{
	bool large = level == p->leaf && level > 1;

	if (p->levels == 2) {
		/* PSE-36 with MAXPHYADDR 36: address bits 35:32 in 16:13, so 21:17 are reserved */
		return large && bit >= 17 && bit <= 21;
	}
	if (bit == 63)
		return !nxe;
	if (bit >= 46 && bit <= 51)
		return true;
	if (p->levels == 3 && bit >= 52)
		return true;
	if (level >= 4 && bit == 7)
		return true;
	if (large && bit >= 13 && bit < p->shift)
		return true;
	return false;
}

static void reserved_bits(void **state)
{
	unsigned int i, level, bit, nxe;
	struct walk_result r;
	int ret;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct path *p = &paths[i];

		for (level = p->top; level >= p->leaf; level--)
			for (bit = 0; bit < (p->levels == 2 ? 32 : 64); bit++)
				for (nxe = 0; nxe < 2; nxe++) {
					struct walk_mode m = mode_of(p);
					u64 flip = 1ULL << bit;

					m.nxe = nxe && p->levels > 2;
					if (p->levels == 2)
						m.maxphyaddr = 36;
					build(p, P | U | W);
					/* bits that change the path, not its validity */
					if (flip & (P | U | W | A | D | XD) && bit != 63)
						continue;
					if (flip == PS && (level == 2 || level == 3 || level == 1))
						continue;
					if (get(p, level) & flip)
						continue;
					set(p, level, get(p, level) | flip);
					ret = x86_walk(&m, p->gva, WALK_READ | WALK_USER, &ops,
						       NULL, &r);
					if (reserved(p, level, bit, m.nxe)) {
						assert_int_equal(ret, -EFAULT);
						assert_int_equal(
							r.error_code,
							error_code(&m, WALK_USER, true, true));
					} else if (level == p->leaf || bit >= 52 ||
						   (bit >= 8 && bit < 12)) {
						assert_int_equal(ret, 0);
					} else {
						/* an address bit: the next table is elsewhere,
						 * whatever is there */
						if (ret == -EFAULT)
							assert_int_equal(r.error_code & PF_RSVD, 0);
					}
				}
	}
}

/* PSE off: bit 7 of a PDE means nothing. PSE-36: high address bits come from 20:13. */
static void page_size_extension(void **state)
{
	const struct path *p = &paths[0];
	struct walk_mode m = mode_of(p);
	struct walk_result r;

	m.pse = false;
	build(p, P | U | W | PS);
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), 0);
	assert_int_equal(r.gpa, 0x0007b123);
	assert_int_equal(r.page_shift, 12);

	p = &paths[1];
	m = mode_of(p);
	m.maxphyaddr = 40;
	build(p, P | U | W);
	set(p, 2, get(p, 2) | 0xa5 << 13);
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), 0);
	assert_int_equal(r.gpa, 0xa500c53123ULL);
	m.maxphyaddr = 39;
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), -EFAULT);
	assert_int_equal(r.error_code, PF_P | PF_RSVD);
}

static void accessed_and_dirty(void **state)
{
	const struct path *p = &paths[4];
	struct walk_mode m = mode_of(p);
	struct walk_result r;

	build(p, P | U | W | G);
	touched = 0;
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ | WALK_NO_AD, &ops, NULL, &r), 0);
	assert_int_equal(touched, 0);
	assert_int_equal(get(p, 1) & (A | D), 0);
	assert_true(r.global);
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), 0);
	assert_int_equal(touched, 4);
	assert_false(r.dirty);
	assert_int_equal(x86_walk(&m, p->gva, WALK_WRITE, &ops, NULL, &r), 0);
	assert_int_equal(touched, 5);
	assert_true(r.dirty);
	assert_int_equal(x86_walk(&m, p->gva, WALK_WRITE, &ops, NULL, &r), 0);
	assert_int_equal(touched, 5);
	m.pge = false;
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), 0);
	assert_false(r.global);
	assert_true(r.dirty);
}

static unsigned int turns;

/*
 * Between the read of the top entry and its update, the top entry is replaced by one without
 * rights.
 */
static void unmap_top(gpa_t gpa)
{
	if (gpa >= 0x2000 && !turns++)
		ram[1][(paths[4].gva >> 39) & 511] = 0;
}

/* Likewise, but the entry is moved to an equal table: the walk starts over and succeeds. */
static void move_top(gpa_t gpa)
{
	if (gpa >= 0x2000 && !turns++) {
		memcpy(ram[6], ram[2], 4096);
		ram[1][(paths[4].gva >> 39) & 511] = 0x6000 | P | U | W;
	}
}

/* Never the same twice. */
static void change_always(gpa_t gpa)
{
	if (gpa >= 0x2000)
		ram[1][(paths[4].gva >> 39) & 511] ^= 0x200;
}

static void concurrent_changes(void **state)
{
	const struct path *p = &paths[4];
	struct walk_mode m = mode_of(p);
	struct walk_result r;

	build(p, P | U | W);
	turns = 0;
	meanwhile = unmap_top;
	assert_int_equal(x86_walk(&m, p->gva, WALK_WRITE, &ops, NULL, &r), -EFAULT);
	assert_int_equal(r.error_code, PF_W);
	assert_int_equal(get(p, 4), 0);

	build(p, P | U | W);
	turns = 0;
	meanwhile = move_top;
	assert_int_equal(x86_walk(&m, p->gva, WALK_WRITE, &ops, NULL, &r), 0);
	assert_int_equal(r.gpa, 0x1234567123);
	assert_int_equal(get(p, 4), 0x6000 | P | U | W | A);
	assert_int_equal(ram[2][(p->gva >> 30) & 511] & A, 0);
	assert_int_equal(ram[6][(p->gva >> 30) & 511] & A, A);

	build(p, P | U | W);
	meanwhile = change_always;
	assert_int_equal(x86_walk(&m, p->gva, WALK_WRITE, &ops, NULL, &r), -EFAULT);
	assert_int_equal(r.error_code, PF_W);
	meanwhile = NULL;
}

static void tables_outside_ram(void **state)
{
	const struct path *p = &paths[4];
	struct walk_mode m = mode_of(p);
	struct walk_result r;

	build(p, P | U | W);
	m.cr3 = 0x100000;
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), -EIO);
	m = mode_of(p);
	set(p, 3, 0x200000 | P | U | W);
	assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), -EIO);
}

/* The host's memory behind a table is gone, or cannot be written: no fault of the guest's. */
static void tables_out_of_reach(void **state)
{
	unsigned int i, level;
	struct walk_result r;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct path *p = &paths[i];
		struct walk_mode m = mode_of(p);

		for (level = p->top; level >= p->leaf; level--) {
			build(p, P | U | W);
			lost_from = (1 + p->top - level) * 0x1000;
			assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), -ENXIO);
			/* no bit is set before the whole path is known to be good */
			assert_int_equal(get(p, p->top) & A, 0);
			/* an entry that says no is not asked for the table after it */
			if (level != p->top) {
				set(p, level + 1, 0);
				assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), -EFAULT);
			}
			lost_from = ~0ULL;

			build(p, P | U | W);
			sealed_from = (1 + p->top - level) * 0x1000;
			assert_int_equal(x86_walk(&m, p->gva, WALK_READ, &ops, NULL, &r), -ENXIO);
			/* bits that are set already need no write */
			build(p, P | U | W | A | D);
			assert_int_equal(x86_walk(&m, p->gva, WALK_WRITE, &ops, NULL, &r), 0);
			sealed_from = ~0ULL;
		}
	}
}

static void mode_from_state(void **state)
{
	struct x86_state st = { .cr3 = 0x5018, .cr0 = CR0_PE };
	struct walk_mode m;
	struct walk_result r;

	walk_mode_from_state(&m, &st, 40);
	assert_int_equal(m.levels, 0);
	assert_int_equal(x86_walk(&m, 0x1fffff123, WALK_WRITE | WALK_USER, &ops, NULL, &r), 0);
	assert_int_equal(r.gpa, 0xfffff123);
	st.cr0 |= CR0_PG | CR0_WP;
	st.efer = EFER_NX;
	walk_mode_from_state(&m, &st, 40);
	assert_int_equal(m.levels, 2);
	assert_true(m.wp);
	assert_false(m.nxe);	/* no XD without PAE */
	st.cr4 = CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_PGE;
	st.rflags = X86_FLAG_AC;
	walk_mode_from_state(&m, &st, 40);
	assert_int_equal(m.levels, 3);
	assert_true(m.nxe && m.smep && m.smap && m.ac && m.pge);
	st.efer |= EFER_LMA | EFER_LME;
	walk_mode_from_state(&m, &st, 40);
	assert_int_equal(m.levels, 4);
	st.cr4 |= CR4_LA57;
	walk_mode_from_state(&m, &st, 40);
	assert_int_equal(m.levels, 5);
	assert_int_equal(m.maxphyaddr, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permission_matrix),
		cmocka_unit_test(not_present),
		cmocka_unit_test(pdpte_not_present),
		cmocka_unit_test(reserved_bits),
		cmocka_unit_test(page_size_extension),
		cmocka_unit_test(accessed_and_dirty),
		cmocka_unit_test(concurrent_changes),
		cmocka_unit_test(tables_outside_ram),
		cmocka_unit_test(tables_out_of_reach),
		cmocka_unit_test(mode_from_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
