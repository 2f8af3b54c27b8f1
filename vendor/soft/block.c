// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Translated blocks: finding them by guest-physical address, chaining them, dropping them. All per vCPU: no locks. */
#include "soft.h"

static u32 block_hash(gfn_t gfn, u32 offset, u32 key)
{
	u64 h = ((gfn << HV_PAGE_SHIFT) | offset) * 0x9e3779b97f4a7c15UL;

	return ((h >> 40) ^ key) % HASH_BLOCKS;
}

static u64 sum_bytes(u64 h, const u8 *p, u32 n)
{
	for (; n >= 8; n -= 8, p += 8) {
		u64 w;

		__builtin_memcpy(&w, p, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdUL;
		h ^= h >> 29;
	}
	for (; n; n--)
		h = (h ^ *p++) * 0x100000001b3UL;
	return h;
}

static u64 lines_of(u32 offset, u32 len)
{
	return len ? GENMASK_ULL(min_t(u32, (offset + len - 1) / 64, 63), offset / 64) : 0;
}

/* Those of a block's bytes that are in its own page. */
static u32 bytes_here(const struct block *b)
{
	return min_t(u32, b->bytes, HV_PAGE_SIZE - b->offset);
}

static u64 sum_block(const struct block *b, const u8 *page)
{
	u64 h = sum_bytes(b->bytes, page + b->offset, bytes_here(b));

	for (u32 i = 0; i < ARRAY_SIZE(b->peek); i++)
		h = sum_bytes(h, page + b->peek[i].offset, b->peek[i].len);
	return h;
}

/* For one of its arguments a bijection of the other. */
static u64 mix(u64 h, u64 w)
{
	h = (h ^ w) * 0xff51afd7ed558ccdUL;
	return h ^ h >> 29;
}

/* Two sums of those 64-byte lines of a page that code was made from, by eight chains that do not wait for each other. */
static void page_check(const u8 *host, u64 lines, u64 out[2])
{
	u64 c0 = 1, c1 = 2, c2 = 3, c3 = 4, c4 = 5, c5 = 6, c6 = 7, c7 = 8;

	for (; lines; lines &= lines - 1) {
		const u64 *w = (const u64 *)(host + 64 * __builtin_ctzll(lines));

		c0 = mix(c0, w[0]);
		c1 = mix(c1, w[1]);
		c2 = mix(c2, w[2]);
		c3 = mix(c3, w[3]);
		c4 = mix(c4, w[4]);
		c5 = mix(c5, w[5]);
		c6 = mix(c6, w[6]);
		c7 = mix(c7, w[7]);
	}
	out[0] = mix(mix(mix(c0, c2), c4), c6);
	out[1] = mix(mix(mix(c1, c3), c5), c7);
}

struct cpage *soft_cpage(struct soft_vcpu *sv, gfn_t gfn, bool create)
{
	struct cpage **head = &sv->cpages[gfn % HASH_PAGES], *p;

	for (p = *head; p; p = p->hash_next)
		if (p->gfn == gfn)
			return p;
	if (!create || sv->nr_cpages == sv->max_cpages)
		return NULL;
	p = &sv->cpage_pool[sv->nr_cpages++];
	*p = (struct cpage){ .gfn = gfn, .index = p - sv->cpage_pool, .hash_next = *head };
	*head = p;
	return p;
}

static void link_add(struct link *l, struct block *to)
{
	l->to = to;
	l->next_in = to->in;
	to->in = l;
}

static void link_remove(struct link *l)
{
	for (struct link **pp = &l->to->in; *pp; pp = &(*pp)->next_in) {
		if (*pp == l) {
			*pp = l->next_in;
			break;
		}
	}
	l->to = NULL;
}

/* Both are offsets in the code buffer. */
static void patch_jump(struct soft_vcpu *sv, u32 site, u32 target)
{
	s32 rel = target - (site + 4);

	__builtin_memcpy(sv->cb.rw + site, &rel, 4);
}

/* The jump leads to no block any more, and asks for one when it is taken next. */
static void unlink_jump(struct soft_vcpu *sv, const struct link *l)
{
	s32 nowhere = offsetof(struct space, code_nowhere);

	if (!l->load) {
		patch_jump(sv, l->site, l->stub);
		return;
	}
	__builtin_memcpy(sv->cb.rw + l->site - l->load, &nowhere, 4);
	patch_jump(sv, l->site - l->slow, l->stub);
}

/*
 * A jump to another page. Not to blocks that end in a third one, whose mapping would count, too; and to a return thunk only by
 * the jump cache, which notices if it is forgotten (thunk.c). Then the jump does without C from now on, too.
 */
static void link_far(struct soft_vcpu *sv, struct link *l, struct block *to)
{
	s32 at = offsetof(struct space, code_at[to->cpage->index]);

	if (l->to || l->from->dead || to->dead || (l->from->key ^ to->key) & ~CODE_ALONE || to->key & CODE_ALONE)
		return;
	patch_jump(sv, l->site - l->slow, l->stub + FAR_LOOKUP);
	if (to->gfn2 != ~0UL || to->thunk == THUNK_CALL)
		return;
	patch_jump(sv, l->site, to->code_jc - sv->cb.rx + to->poll);
	__builtin_memcpy(sv->cb.rw + l->site - l->load, &at, 4);
	link_add(l, to);
}

void soft_link(struct soft_vcpu *sv, struct link *l, struct block *to)
{
	bool direct;

	if (l->load) {
		link_far(sv, l, to);
		return;
	}
	if (l->to || l->from->dead || to->dead || l->from->cpage != to->cpage || to->gfn2 != ~0UL ||
	    ((l->from->key ^ to->key) & ~CODE_ALONE) || l->alone != !!(to->key & CODE_ALONE))
		return;
	/* backward jumps look at the kick flag; so does the way into vector code, for its registers */
	direct = to->offset > l->from->offset && (!to->vec || l->from->vec);
	patch_jump(sv, l->site, to->code_jc - sv->cb.rx + (l->ret ? 0 : direct ? to->entry : to->poll));
	link_add(l, to);
}

/* No way leads into the block any more; its memory stays until all code is dropped. */
void soft_block_kill(struct soft_vcpu *sv, struct block *b)
{
	struct block **pp;
	u8 *jc = codebuf_to_rw(&sv->cb, b->code_jc);
	s32 rel;

	if (b->dead)
		return;
	b->dead = true;
	for (pp = &sv->blocks[block_hash(b->cpage->gfn, b->offset, b->key)]; *pp; pp = &(*pp)->hash_next) {
		if (*pp == b) {
			*pp = b->hash_next;
			break;
		}
	}
	for (pp = &b->cpage->blocks; *pp; pp = &(*pp)->page_next) {
		if (*pp == b) {
			*pp = b->page_next;
			break;
		}
	}
	while (b->in) {
		struct link *l = b->in;

		b->in = l->next_in;
		l->to = NULL;
		unlink_jump(sv, l);
	}
	for (u32 i = 0; i < b->nr_links; i++)
		if (b->link[i].to)
			link_remove(&b->link[i]);
	if (unlikely(b->thunk))
		soft_thunk_killed(sv);
	soft_forget_target(sv, b);
	/* jump cache entries may still lead to code_jc, with the target in T1: let it leave at once */
	jc[0] = 0xe9;
	rel = sv->cb.stub_jump_miss - (b->code_jc + 5);
	__builtin_memcpy(jc + 1, &rel, 4);
}

/* Blocks whose only instruction ends in page p: keep those whose bytes there are still the same; host NULL: none. */
static void check_joined(struct soft_vcpu *sv, struct cpage *p, const u8 *host)
{
	struct block **pp = &p->joined, *b;

	while ((b = *pp)) {
		if (!b->dead && (!host || b->sum2 != sum_bytes(b->bytes, host, b->bytes - bytes_here(b))))
			soft_block_kill(sv, b);
		if (b->dead)
			*pp = b->joined_next;
		else
			pp = &b->joined_next;
	}
}

void soft_block_join(struct block *b, struct cpage *p)
{
	b->sum2 = sum_bytes(b->bytes, p->host, b->bytes - bytes_here(b));
	b->joined_next = p->joined;
	p->joined = b;
}

/*
 * The page's instruction mapping is filled anew. The client may have written to it behind our back (a disk read
 * into guest memory): compare what was translated with what stands there now.
 */
void soft_cpage_refresh(struct soft_vcpu *sv, struct cpage *p, const u8 *host)
{
	p->host = host;
	/* blocks made since the last look were made from what stood there then */
	if (p->checked_at == sv->fetch_epoch)
		return;
	p->checked_at = sv->fetch_epoch;
	if (!p->blocks && !p->joined)
		return;
	soft_cpage_compare(sv, p, host);
}

void soft_cpage_compare(struct soft_vcpu *sv, struct cpage *p, const u8 *bytes)
{
	u64 check[2];

	page_check(bytes, p->lines, check);
	if (p->checked && check[0] == p->check[0] && check[1] == p->check[1])
		return;
	for (struct block *b = p->blocks, *next; b; b = next) {
		next = b->page_next;
		if (b->sum != sum_block(b, bytes))
			soft_block_kill(sv, b);
	}
	check_joined(sv, p, bytes);
	p->check[0] = check[0];
	p->check[1] = check[1];
	p->checked = true;
}

static bool overlap(u32 a, u32 alen, u32 b, u32 blen)
{
	return blen && a < b + blen && b < a + alen;
}

/* Was the block made from any of len bytes at offset off of its page, in these lines? */
static bool made_from(const struct block *b, u32 off, u32 len, u64 lines)
{
	bool found;

	if (!(b->lines & lines))
		return false;
	found = overlap(b->offset, bytes_here(b), off, len);
	for (u32 i = 0; i < ARRAY_SIZE(b->peek) && !found; i++)
		found = overlap(b->peek[i].offset, b->peek[i].len, off, len);
	return found;
}

static bool ends_in(const struct cpage *p, u32 off)
{
	for (const struct block *b = p->joined; b; b = b->joined_next)
		if (!b->dead && off < b->bytes - bytes_here(b))
			return true;
	return false;
}

bool soft_code_at(struct soft_vcpu *sv, gpa_t gpa, u32 len)
{
	struct cpage *p = soft_cpage(sv, gpa >> HV_PAGE_SHIFT, false);
	u32 off = gpa & ~HV_PAGE_MASK;
	u64 lines = lines_of(off, len);

	if (!p || !(p->lines & lines))
		return false;
	for (const struct block *b = p->blocks; b; b = b->page_next)
		if (made_from(b, off, len, lines))
			return true;
	return ends_in(p, off);
}

/* The lines that a page's blocks are in, after some were dropped: it is an ordinary page if there are none. */
static void set_lines(struct soft_vcpu *sv, struct cpage *p, u64 lines)
{
	p->lines = lines | (p->joined ? 1 : 0);
	p->checked = false;
	if (!p->lines) {
		struct page_state *ps = soft_page_state(sv->vcpu->vm, p->gfn);

		p->guarded = false;
		if (ps)
			host_fetch_and(&ps->code, ~BIT_ULL(sv->vcpu->index));
	}
}

static void note_kill(struct cpage *p)
{
	if (p->all_kills < PAGE_CHANGING)
		p->all_kills++;
	p->kills++;
}

static void drop_page(struct soft_vcpu *sv, struct cpage *p)
{
	while (p->blocks)
		soft_block_kill(sv, p->blocks);
	check_joined(sv, p, NULL);
	set_lines(sv, p, 0);
}

void soft_drop_page_code(struct soft_vcpu *sv, gfn_t gfn)
{
	struct cpage *p = soft_cpage(sv, gfn, false);

	if (!p || (!p->lines && !p->guarded))
		return;
	note_kill(p);
	drop_page(sv, p);
}

/* So many writes to a page's code, with nothing translated between, and all of it goes: somebody writes it anew. */
#define PAGE_MAX_KILLS	3

void soft_code_written(struct soft_vcpu *sv, gpa_t gpa, u32 len)
{
	struct cpage *p = soft_cpage(sv, gpa >> HV_PAGE_SHIFT, false);
	u32 off = gpa & ~HV_PAGE_MASK;
	u64 lines = lines_of(off, len), left = 0;
	bool killed = false;

	if (!p || (!(p->lines & lines) && (p->lines || !p->guarded)))
		return;
	for (struct block *b = p->blocks, *next; b; b = next) {
		next = b->page_next;
		if (made_from(b, off, len, lines)) {
			soft_block_kill(sv, b);
			killed = true;
		} else {
			left |= b->lines;
		}
	}
	if (ends_in(p, off)) {
		check_joined(sv, p, NULL);
		killed = true;
	}
	if (!killed && p->lines)
		return;
	note_kill(p);
	if (p->kills >= PAGE_MAX_KILLS)
		drop_page(sv, p);
	else
		set_lines(sv, p, left);
}

void soft_drop_all_code(struct soft_vcpu *sv)
{
	for (u32 i = 0; i < sv->nr_cpages; i++) {
		struct page_state *ps = soft_page_state(sv->vcpu->vm, sv->cpage_pool[i].gfn);

		if (ps && sv->cpage_pool[i].guarded)
			host_fetch_and(&ps->code, ~BIT_ULL(sv->vcpu->index));
	}
	host_memset(sv->blocks, 0, sizeof(sv->blocks));
	host_memset(sv->cpages, 0, sizeof(sv->cpages));
	sv->nr_blocks = sv->nr_cpages = sv->nr_map = sv->nr_links = 0;
	soft_forget_all_targets(sv);
	sv->cb.used = sv->cb.start;
	sv->cb.cold_used = sv->cb.cold_start;
	soft_flush_all(sv);
}

u64 soft_next_page(const struct soft_vcpu *sv, u64 va)
{
	return ((va & HV_PAGE_MASK) + HV_PAGE_SIZE) & sv->rip_mask;
}

u32 soft_cs_last(const struct soft_vcpu *sv)
{
	u32 limit = sv->st.seg[X86_CS].limit;

	return sv->code_key & CODE_32 ? limit : min_t(u32, limit, 0xffff);
}

/*
 * Jumps inside a page are direct, which is right if all its bytes are inside CS and, in 16-bit code, no jump between
 * two of them wraps. In other pages, and where an instruction may reach into such a page, blocks are translated for
 * CODE_EDGE: they ask at each jump, and at each entry it is asked here whether all of the block is inside CS.
 */
static bool at_edge(const struct soft_vcpu *sv, u64 va)
{
	u64 page = (u32)((va & HV_PAGE_MASK) - sv->cs_base);
	u32 reach = (va & ~HV_PAGE_MASK) > HV_PAGE_SIZE - INSN_MAX_LEN ? INSN_MAX_LEN : 0;

	return !(sv->code_key & (CODE_64 | CODE_CSFLAT)) && page + HV_PAGE_SIZE - 1 + reach > soft_cs_last(sv);
}

static struct block *block_at(struct soft_vcpu *sv, const struct cpage *p, u32 off, u16 key, u32 h)
{
	struct block *b;

	for (b = sv->blocks[h]; b; b = b->hash_next)
		if (b->cpage == p && b->offset == off && b->key == key)
			break;
	return b;
}

bool soft_block_at(struct soft_vcpu *sv, const struct cpage *p, u32 off, u16 key)
{
	return block_at(sv, p, off, key, block_hash(p->gfn, off, key));
}

struct block *soft_find_block(struct soft_vcpu *sv, u64 va, bool alone, int *why)
{
	struct cpage *p = soft_fetch_page(sv, va, why);
	u32 off = va & ~HV_PAGE_MASK, h;
	bool edge = at_edge(sv, va);
	u16 key = sv->code_key | (edge ? CODE_EDGE : 0) | (alone ? CODE_ALONE : 0);
	struct block *b;

	if (!p)
		return NULL;
	h = block_hash(p->gfn, off, key);
	b = block_at(sv, p, off, key, h);
	if (b && b->gfn2 != ~0UL) {
		struct cpage *p2 = soft_fetch_page(sv, soft_next_page(sv, va), why);

		if (!p2)
			return NULL;
		if (b->dead)
			b = NULL;		/* the fetch found its bytes changed */
		else if (p2->gfn != b->gfn2) {
			soft_block_kill(sv, b);
			b = NULL;
		}
	}
	if (!b) {
		/* first make sure that no write can go unseen, then read the bytes */
		soft_protect_code(sv, p);
		b = soft_translate(sv, p, va, key, why);
		if (!b)
			return NULL;
		b->hash_next = sv->blocks[h];
		sv->blocks[h] = b;
		b->page_next = p->blocks;
		p->blocks = b;
		b->lines = lines_of(off, b->bytes);
		for (u32 i = 0; i < ARRAY_SIZE(b->peek); i++)
			b->lines |= lines_of(b->peek[i].offset, b->peek[i].len);
		p->lines |= b->lines;
		p->checked = false;
		p->kills = 0;
		b->sum = sum_block(b, p->host);
	}
	if (unlikely(edge)) {
		*why = SOFT_EMULATE;
		return (u64)(u32)(va - sv->cs_base) + b->bytes - 1 <= sv->rip_last ? b : NULL;
	}
	return b;
}

struct block *soft_block_of_host_pc(struct soft_vcpu *sv, u64 pc)
{
	u32 lo = 0, hi = sv->nr_blocks;

	/* the pool is in order of code addresses */
	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if ((u64)sv->block_pool[mid].code_jc + sv->block_pool[mid].code_len <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < sv->nr_blocks && pc >= (u64)sv->block_pool[lo].code_jc)
		return &sv->block_pool[lo];
	return NULL;
}

struct block *soft_block_of_cold_pc(struct soft_vcpu *sv, u64 pc)
{
	u32 lo = 0, hi = sv->nr_blocks - 1, off = pc - (u64)sv->cb.rx;

	/* these are in the same order */
	while (lo < hi) {
		u32 mid = (lo + hi + 1) / 2;

		if (sv->cold_pool[mid] <= off)
			lo = mid;
		else
			hi = mid - 1;
	}
	return &sv->block_pool[lo];
}

u64 soft_guest_rip(struct soft_vcpu *sv, struct block *b, u64 pc, bool *flags_away)
{
	u32 host = pc - (u64)b->code_jc, guest = 0;

	for (u32 i = 0; i < b->nr_insns && b->map[i].host <= host; i++)
		guest = b->map[i].guest;
	*flags_away = guest & MAP_FLAGS_AWAY;
	guest &= ~MAP_FLAGS_AWAY;
	return sv->page_va + b->offset + guest;
}
