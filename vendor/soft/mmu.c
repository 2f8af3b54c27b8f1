// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The soft TLB and the spaces that hold it: one space per (CR3, mode) in recent use, so that a system call or a
 * switch between processes with PCIDs changes a base register and loses nothing.
 */
#include "soft.h"

/* ---- spaces -------------------------------------------------------------------------------------------------- */

/*
 * An empty stack entry matches one non-canonical page, as any tag must match some page; its host address is not
 * canonical either, so that such an access ends as the #GP it should be.
 */
void soft_forget_stack(struct space *s)
{
	s->stk_neg = s->stk_host = TLB_STK_NONE;
	s->stk_addend = 0;
}

static u32 hash_page(u64 page, u32 bits)
{
	return (page * 0x9e3779b97f4a7c15UL) >> (64 - bits);
}

/* Filters over page addresses: maybe() never says no to what note() was told. */
static u32 filter_bit(u64 page)
{
	return hash_page(page, FILTER_BITS);
}

static void note(u64 *filter, u64 page)
{
	u32 b = filter_bit(page);

	filter[b / 64] |= BIT_ULL(b % 64);
}

static bool maybe(const u64 *filter, u64 page)
{
	u32 b = filter_bit(page);

	return (filter[b / 64] >> (b % 64)) & 1;
}

/* A 4 KiB piece of a page of 1 << shift bytes is held. 4 MiB: the largest but one, in the 32-bit format. */
static void note_large(struct space *s, u64 va, u32 shift)
{
	if (shift > LARGE_SHIFT)
		s->huge[(va >> 45) & 7] |= BIT_ULL((va >> 39) & 63);
	else
		note(s->large, va >> LARGE_SHIFT);
}

static bool maybe_large(const struct space *s, u64 va)
{
	return maybe(s->large, va >> LARGE_SHIFT) || ((s->huge[(va >> 45) & 7] >> ((va >> 39) & 63)) & 1);
}

void soft_flush_space(struct space *s)
{
	if (s->nr_filled > SPACE_MAX_DIRTY || s->nr_global) {
		host_memset(s->tlb.rneg, 0, sizeof(s->tlb.rneg));
		host_memset(s->tlb.wneg, 0, sizeof(s->tlb.wneg));
	} else {
		for (u32 i = 0; i < s->nr_filled; i++)
			s->tlb.rneg[s->filled[i]] = s->tlb.wneg[s->filled[i]] = 0;
	}
	s->tlb.rneg[0] = s->tlb.wneg[0] = TLB_NONE(0);
	s->tlb.rneg[TLB_SIZE - 1] = s->tlb.wneg[TLB_SIZE - 1] = TLB_NONE(TLB_SIZE - 1);
	host_memset(s->global, 0, sizeof(s->global));
	s->nr_filled = s->nr_global = 0;
	s->own_code = SPACE_NO_PAGE;
	soft_forget_stack(s);
	host_memset(s->large, 0, sizeof(s->large));
	host_memset(s->huge, 0, sizeof(s->huge));
	soft_flush_fetch(s);
}

static bool slot_global(const struct space *s, u32 i)
{
	return (s->global[i / 64] >> (i % 64)) & 1;
}

static void clear_slot(struct space *s, u32 i)
{
	s->tlb.rneg[i] = s->tlb.wneg[i] = TLB_NONE(i);
	s->own_code = SPACE_NO_PAGE;
}

void soft_flush_local(struct space *s)
{
	if (!s->nr_global) {
		soft_flush_space(s);
		return;
	}
	if (s->stk_neg != TLB_STK_NONE && !slot_global(s, TLB_INDEX(-s->stk_neg)))
		soft_forget_stack(s);
	if (s->nr_filled > SPACE_MAX_DIRTY) {
		for (u32 i = 0; i < TLB_SIZE; i++)
			if (!slot_global(s, i))
				clear_slot(s, i);
	} else {
		for (u32 i = 0; i < s->nr_filled; i++)
			if (!slot_global(s, s->filled[i]))
				clear_slot(s, s->filled[i]);
	}
	s->nr_filled = 0;
	if (s->code_local)
		soft_flush_fetch(s);
}

/* Does slot i let a host page of hash h be written? */
static bool slot_writes(const struct space *s, u32 i, u32 h)
{
	return s->tlb.wneg[i] != TLB_NONE(i) && hash_page(s->tlb.host[i], WSLOT_BITS) == h;
}

/*
 * Slot i lets its page be written. Flushes do not touch wslot[]: what it says of a slot that has changed since is
 * seen to be wrong there.
 */
static void note_writable(struct space *s, u32 i)
{
	u32 h = hash_page(s->tlb.host[i], WSLOT_BITS), was = s->wslot[h];

	if (was == WSLOT_MANY || was == i + 1)
		return;
	s->wslot[h] = was && slot_writes(s, was - 1, h) ? WSLOT_MANY : i + 1;
}

void soft_revoke_writes(struct space *s, u64 host)
{
	u32 h = hash_page(host, WSLOT_BITS), was = s->wslot[h];

	s->own_code = SPACE_NO_PAGE;
	if (s->stk_host == host)
		soft_forget_stack(s);
	if (was && was != WSLOT_MANY) {
		if (s->tlb.host[was - 1] == host)
			s->tlb.wneg[was - 1] = TLB_NONE(was - 1);
		return;
	}
	if (!was)
		return;
	s->wslot[h] = 0;
	for (u32 i = 0; i < TLB_SIZE; i++) {
		if (s->tlb.host[i] == host)
			s->tlb.wneg[i] = TLB_NONE(i);
		else if (unlikely(slot_writes(s, i, h)))
			note_writable(s, i);
	}
}

/* Drop the jump cache's entries for addresses in [va, va + len), all in one page: they have neighbouring indices. */
static void forget_jumps(struct space *s, u64 va, u32 len)
{
	for (u32 n = 0, j = JC_INDEX(va); n < len >> JC_SHIFT; n++, j = (j + 1) % JC_SIZE)
		if (-s->jc[j].neg_va - va < len)
			s->jc[j] = jc_empty(j);
}

void soft_thunk_forget(struct space *s)
{
	u64 line = -s->thunk_neg & -(u64)(JC_LINE << JC_SHIFT);

	if (s->thunk_neg == NO_THUNK)
		return;
	s->thunk_neg = NO_THUNK;
	forget_jumps(s, line, JC_LINE << JC_SHIFT);
}

/* The instruction mapping is none any more. */
static void drop_fetch(struct space *s, struct itlb_entry *it)
{
	u64 *at = &s->code_at[it->cpage->index];

	if (*at == 1 - (it->page & HV_PAGE_MASK))
		*at = 0;
	it->page = 0;
}

void soft_forget_returns(struct space *s)
{
	for (u32 i = 0; i < ARRAY_SIZE(s->ret); i++)
		s->ret[i] = (struct ret_entry){ .not_va = RET_EMPTY, .code = s->ret_none };
}

void soft_flush_fetch(struct space *s)
{
	s->thunk_neg = NO_THUNK;
	soft_forget_returns(s);
	if (s->nr_jc > SPACE_MAX_JC) {
		host_memset(s->jc, 0, sizeof(s->jc));
	} else {
		for (u32 i = 0; i < s->nr_jc; i++)
			s->jc[s->jc_filled[i]] = (struct jc_entry){ 0 };
	}
	for (u32 i = 0; i < JC_LINE; i++)
		s->jc[i] = jc_empty(i);
	s->nr_jc = 0;
	for (u32 i = 0; i < s->nr_itlb; i++) {
		struct itlb_entry *it = &s->itlb[s->itlb_filled[i]];

		drop_fetch(s, it);
		it->cpage = NULL;
	}
	s->nr_itlb = 0;
	host_memset(s->fetched, 0, sizeof(s->fetched));
	s->code_local = s->fetched_low = s->fetched_high = false;
}

/* Blocks that run into CS's first or last bytes, if those are inside a page, are not for the jump cache: see block.c. */
void soft_cs_changed(struct soft_vcpu *sv)
{
	const struct x86_seg *cs = &sv->st.seg[X86_CS];
	struct space *s = sv->space;
	u64 last = (u32)(cs->base + soft_cs_last(sv));

	if (likely(s->cs_base == cs->base && s->cs_last == last))
		return;
	s->cs_base = cs->base;
	s->cs_last = last;
	if ((cs->base & ~HV_PAGE_MASK) && maybe(s->fetched, cs->base & HV_PAGE_MASK))
		forget_jumps(s, cs->base & HV_PAGE_MASK, HV_PAGE_SIZE);
	if (~last & ~HV_PAGE_MASK) {
		if (maybe(s->fetched, last & HV_PAGE_MASK))
			forget_jumps(s, last & HV_PAGE_MASK, HV_PAGE_SIZE);
		last -= HV_PAGE_SIZE;
	}
	/* instructions that reach beyond the last whole page */
	forget_jumps(s, (last | ~HV_PAGE_MASK) - 15, 16);
}

static u64 current_cr3(const struct x86_state *st)
{
	if (!(st->cr0 & CR0_PG))
		return 0;
	/* without PCIDs the low bits say nothing, but that a table of 4 PDPTEs need not begin with a page */
	if (!(st->efer & EFER_LMA))
		return st->cr3 & ~0x1fUL;
	return st->cr3 & ~(st->cr4 & CR4_PCIDE ? CR3_PCID_NOFLUSH : CR3_PCID_MASK | CR3_PCID_NOFLUSH);
}

static void current_key(const struct soft_vcpu *sv, struct space_key *k)
{
	const struct x86_state *st = &sv->st;
	u32 mode = (u32)sv->code_key << SPACE_CODE_SHIFT;

	k->cr3 = current_cr3(st);
	if (st->cr0 & CR0_PG) {
		if (st->cpl != 3 && (st->cr4 & CR4_PGE) && (st->efer & EFER_LMA))
			k->cr3 = SPACE_SHARED;
		mode |= SPACE_PG;
		if (st->cr0 & CR0_WP)
			mode |= SPACE_WP;
		if (st->cr4 & CR4_PAE)
			mode |= SPACE_PAE;
		if (st->cr4 & CR4_PSE)
			mode |= SPACE_PSE;
		if (st->cr4 & CR4_PGE)
			mode |= SPACE_PGE;
		if (st->efer & EFER_LMA)
			mode |= SPACE_LONG;
		if (st->efer & EFER_NX)
			mode |= SPACE_NXE;
		if (st->cr4 & CR4_SMEP)
			mode |= SPACE_SMEP;
		if (st->cr4 & CR4_SMAP)
			mode |= SPACE_SMAP;
		if ((st->cr4 & CR4_SMAP) && st->cpl != 3 && (st->rflags & X86_FLAG_AC))
			mode |= SPACE_AC;
	}
	if (st->cpl == 3)
		mode |= SPACE_USER;
	k->mode = mode;
}

void soft_space_select(struct soft_vcpu *sv)
{
	struct space_key key;
	struct space *s = sv->space, *victim = NULL;
	u64 cr3 = current_cr3(&sv->st);
	u32 n = 0;

	current_key(sv, &key);
	if (s && s->valid && s->key.cr3 == key.cr3 && s->key.mode == key.mode)
		goto tables;
	for (u32 i = 0; i < NR_SPACES; i++) {
		if (sv->keys[i].cr3 == key.cr3 && sv->keys[i].mode == key.mode) {
			s = sv->spaces[i];
			goto found;
		}
	}
	for (u32 i = 0; i < NR_SPACES; i++) {
		s = sv->spaces[i];
		if (!victim || !s->valid || (victim->valid && s->used < victim->used)) {
			victim = s;
			n = i;
		}
	}
	s = victim;
	sv->keys[n] = key;
	soft_flush_space(s);
	s->key = key;
	s->valid = true;
	s->cr3 = cr3;
	walk_mode_from_state(&s->walk, &sv->st, vcpu_maxphyaddr(sv->vcpu));
found:
	s->used = ++sv->space_clock;
	sv->space = s;
	__asm__ volatile("wrgsbase %0" :: "r"(s));
tables:
	if (unlikely(s->cr3 != cr3)) {
		soft_flush_local(s);
		s->cr3 = cr3;
		s->walk.cr3 = sv->st.cr3;
	}
	if (unlikely((key.mode & (SPACE_PAE | SPACE_LONG)) == SPACE_PAE))
		host_memcpy(s->walk.pdptr, sv->st.pdptr, sizeof(s->walk.pdptr));
}

void soft_flush_all(struct soft_vcpu *sv)
{
	for (u32 i = 0; i < NR_SPACES; i++) {
		if (sv->spaces[i]->valid)
			soft_flush_space(sv->spaces[i]);
		/* keys go stale with MAXPHYADDR or the PDPTRs too: start over */
		sv->spaces[i]->valid = false;
		sv->keys[i].mode = SPACE_NONE;
	}
	sv->fetch_epoch++;
	sv->mode_dirty = true;
	sv->stat->flush++;
}

/* true: code may have been fetched from the page */
static bool flush_page(struct space *s, u64 page)
{
	struct itlb_entry *it = &s->itlb[(page >> HV_PAGE_SHIFT) % ITLB_SIZE];
	u32 i = TLB_INDEX(page);
	bool code;

	if (maybe_large(s, page)) {
		soft_flush_space(s);
		return true;
	}
	clear_slot(s, i);
	if (s->stk_neg == -page)
		soft_forget_stack(s);
	if (!((s64)page < 0 ? s->fetched_high : s->fetched_low))
		return false;
	if (it->page == (page | 1))
		drop_fetch(s, it);
	code = maybe(s->fetched, page);
	if (code) {
		forget_jumps(s, page, HV_PAGE_SIZE);
		soft_forget_returns(s);
	}
	if (page == (-s->thunk_neg & HV_PAGE_MASK) || page == (s->thunk_safe & HV_PAGE_MASK))
		soft_thunk_forget(s);
	/* an instruction may begin at the end of the page before and reach into this one */
	if (maybe(s->fetched, page - HV_PAGE_SIZE))
		forget_jumps(s, page - (1 << JC_SHIFT) * 4, (1 << JC_SHIFT) * 4);
	return code;
}

void soft_flush_page(struct soft_vcpu *sv, gva_t va, bool every_pcid)
{
	u64 page = va & HV_PAGE_MASK, mask = sv->st.cr4 & CR4_PCIDE ? CR3_PCID_MASK : ~CR3_PCID_MASK;
	bool code = false;

	/* a global page may be in any space; nobody maps one below the kernel's half, or it is noted */
	every_pcid |= (s64)va < 0 || sv->global_low;
	for (u32 k = 0; k < NR_SPACES; k++)
		if (sv->keys[k].mode != SPACE_NONE &&
		    (every_pcid || sv->keys[k].cr3 == SPACE_SHARED || !((sv->keys[k].cr3 ^ sv->st.cr3) & mask)))
			code |= flush_page(sv->spaces[k], page);
	/* another page's mapping says nothing about those that hold code */
	sv->fetch_epoch += code;
}

/* ---- fills ----------------------------------------------------------------------------------------------------- */

/* A plain load: enter() goes on at soft_recover() if the memory is not there. */
static int walk_read(void *ctx, gpa_t gpa, bool wide, u64 *val, u64 *host)
{
	u64 hva = gmem_hva(ctx, gpa, NULL);

	if (unlikely(!hva))
		return -EIO;
	*val = wide ? READ_ONCE(*(u64 *)hva) : READ_ONCE(*(u32 *)hva);
	*host = hva;
	return 0;
}

static const struct walk_ops soft_walk_ops = { .read = walk_read, .update = vcpu_walk_update };

static void page_fault(struct soft_vcpu *sv, u64 va, u32 error)
{
	sv->fault = (struct x86_fault){ .vector = EXC_PF, .has_error = true, .error = error, .cr2 = va };
}

/*
 * Walk for va; 0, or SX_FAULT with sv->fault set, or SX_EMULATE: the emulator knows the answer, or
 * fails the same way.
 */
static u32 translate(struct soft_vcpu *sv, u64 va, unsigned int access, struct walk_result *r)
{
	struct space *s = sv->space;
	int ret;

	if (unlikely(!x86_canonical(va) && (s->key.mode & SPACE_LONG))) {
		sv->fault = (struct x86_fault){ .vector = EXC_GP, .has_error = true };
		/* data: #GP or #SS by the instruction's segment, which the emulator knows */
		return access & WALK_EXEC ? SX_FAULT : SX_EMULATE;
	}
	if (s->key.mode & SPACE_USER)
		access |= WALK_USER;
	ret = x86_walk(&s->walk, va, access, &soft_walk_ops, sv->vcpu, r);
	if (likely(!ret))
		return 0;
	if (ret == -EFAULT) {
		page_fault(sv, va, r->error_code);
		return SX_FAULT;
	}
	return SX_EMULATE;
}

static void claim_slot(struct space *s, u32 i, bool global)
{
	if (TLB_INDEX(s->own_code) == i)
		s->own_code = SPACE_NO_PAGE;
	if (global) {
		s->global[i / 64] |= BIT_ULL(i % 64);
		s->nr_global++;
		return;
	}
	s->global[i / 64] &= ~BIT_ULL(i % 64);
	if (s->nr_filled < SPACE_MAX_DIRTY)
		s->filled[s->nr_filled] = i;
	if (s->nr_filled <= SPACE_MAX_DIRTY)
		s->nr_filled++;
}

/*
 * One access inside a page: 0 and *host its host address, with the TLB filled where that is allowed; or an
 * enum soft_exit.
 */
static u32 fill(struct soft_vcpu *sv, u64 va, u32 len, bool write, bool stack, u64 *host)
{
	struct space *s = sv->space;
	u64 page = va & HV_PAGE_MASK;
	u32 i = TLB_INDEX(va);
	struct tlb *tlb = &s->tlb;
	const struct memslot *slot;
	struct page_state *ps;
	struct walk_result r;
	bool wok;
	u64 hva;
	u32 x;

	if ((write ? tlb->wneg[i] : tlb->rneg[i]) == -page) {
		*host = tlb->host[i] + (va & ~HV_PAGE_MASK);
		goto stack_entry;
	}
	sv->stat->tlb_fill++;
	if (write && s->own_code == page && soft_smc_write(sv, s->own_gfn << HV_PAGE_SHIFT | (va & ~HV_PAGE_MASK), len)) {
		*host = tlb->host[i] + (va & ~HV_PAGE_MASK);
		return 0;
	}
	/* core does this one and leaves the guest */
	if (unlikely(dirty_ring_full(sv->vcpu)))
		return SX_EMULATE;
	x = translate(sv, va, write ? WALK_WRITE : WALK_READ, &r);
	if (x)
		return x;
	hva = gmem_hva(sv->vcpu, r.gpa & HV_PAGE_MASK, &slot);
	if (!hva || (write && (slot->flags & KVM_MEM_READONLY)))
		return SX_EMULATE;
	*host = hva + (va & ~HV_PAGE_MASK);
	if (r.page_shift > HV_PAGE_SHIFT)
		note_large(s, va, r.page_shift);
	ps = soft_page_state(sv->vcpu->vm, r.gpa >> HV_PAGE_SHIFT);
	if (!ps)
		return SX_EMULATE;
	wok = write || (r.writable && r.dirty && !slot->dirty && !(slot->flags & KVM_MEM_READONLY));
	if (wok) {
		u64 me = BIT_ULL(sv->vcpu->index);

		if (write && slot->dirty)
			memslot_mark_dirty(sv->vcpu->vm, sv->vcpu, slot, r.gpa >> HV_PAGE_SHIFT);
		/*
		 * Pairs with soft_protect_code(): either we see its code bit or it sees our writer bit. A locked operation
		 * is a fence; and nobody but us takes the bit back, so that a bit found set has been seen long ago.
		 */
		if (!(host_load_relaxed(&ps->writers) & me))
			host_fetch_or(&ps->writers, me);
		if (unlikely(host_load_relaxed(&ps->code))) {
			/* our own code bit was set: no slot of ours lets the page be written, so we are no writer */
			if (host_load_relaxed(&ps->code) & me)
				host_fetch_and(&ps->writers, ~me);
			if (write && !soft_smc_write(sv, r.gpa, len))
				return SX_EMULATE;
			wok = false;
		}
	}
	claim_slot(s, i, r.global);
	if (r.global && (s64)va >= 0)
		sv->global_low = true;
	tlb->rneg[i] = -page;
	tlb->wneg[i] = wok ? -page : TLB_NONE(i);
	tlb->host[i] = hva;
	tlb->addend[i] = hva - page;
	if (wok)
		note_writable(s, i);
	if (write && !wok) {
		s->own_code = page;
		s->own_gfn = r.gpa >> HV_PAGE_SHIFT;
		return 0;
	}
stack_entry:
	if (stack && tlb->wneg[i] == -page) {
		s->stk_neg = -page;
		s->stk_host = tlb->host[i];
		s->stk_addend = tlb->addend[i];
	}
	return 0;
}

static u64 tlb_miss(struct soft_vcpu *sv, u64 va, u32 info)
{
	u32 len = info & TLBI_LEN, x;
	bool write = info & TLBI_WRITE, stack = info & TLBI_STACK;
	u32 first = HV_PAGE_SIZE - (va & ~HV_PAGE_MASK);
	u64 host, host2;

	if (unlikely((info & TLBI_ALIGNED) && (va & (len - 1)))) {
		sv->fault = (struct x86_fault){ .vector = EXC_GP, .has_error = true };
		x = SX_FAULT;
	} else if (likely(len <= first)) {
		x = fill(sv, va, len, write, stack, &host);
		if (likely(!x))
			return host;
	} else {
		/* outside 64-bit mode the address wraps, or the limit is exceeded: who knows is the emulator */
		x = (va + first) & ~sv->rip_mask ? SX_EMULATE : 0;
		/* the second page's fault address is that page's first byte */
		if (!x)
			x = fill(sv, va, first, write, stack, &host);
		if (!x)
			x = fill(sv, va + first, len - first, write, stack, &host2);
		if (!x) {
			if (host + first == host2)
				return host;
			if (!write && len <= sizeof(sv->bounce) - 64) {
				/* as misaligned as the guest's: the host checks it */
				u8 *b = sv->bounce + (va & 63);

				host_memcpy(b, (void *)host, first);
				host_memcpy(b + first, (void *)host2, len - first);
				return (u64)b;
			}
			x = SX_EMULATE;
		}
	}
	sv->exit_arg = x;
	return 0;
}

/* st->rip is not in memory while a block runs: where it was is found when something goes wrong. */
void soft_miss_rip(struct soft_vcpu *sv)
{
	struct block *b;

	if (!sv->miss_pc)
		return;
	b = soft_block_of_cold_pc(sv, sv->miss_pc);
	sv->st.rip = sv->page_va + b->offset + (b->map[FIELD_GET(TLBI_INSN, sv->miss_info)].guest & ~MAP_FLAGS_AWAY);
	sv->miss_pc = 0;
}

u64 soft_tlb_miss(struct soft_vcpu *sv, u64 va, u32 info)
{
	u64 host;

	/* for soft_recover(), should a page table's memory turn out to be missing */
	sv->miss_pc = sv->scratch[1] - 1;	/* in the call */
	sv->miss_info = info;
	host = tlb_miss(sv, va, info);
	if (unlikely(!host))
		soft_miss_rip(sv);
	sv->miss_pc = 0;
	return host;
}

void *soft_access(struct soft_vcpu *sv, u64 va, u32 len, bool write, int *why)
{
	u64 host;
	u32 x = fill(sv, va, len, write, false, &host);

	if (!x)
		return (void *)host;
	*why = x == SX_FAULT ? SOFT_FAULTED : SOFT_EMULATE;
	return NULL;
}

struct cpage *soft_fetch_page(struct soft_vcpu *sv, u64 va, int *why)
{
	struct space *s = sv->space;
	struct itlb_entry *it = &s->itlb[(va >> HV_PAGE_SHIFT) % ITLB_SIZE];
	const struct memslot *slot;
	struct walk_result r;
	struct cpage *p;
	u64 hva;
	u32 x;

	if (likely(it->page == ((va & HV_PAGE_MASK) | 1)))
		return it->cpage;
	x = translate(sv, va, WALK_EXEC, &r);
	if (x) {
		*why = x == SX_FAULT ? SOFT_FAULTED : SOFT_EMULATE;
		return NULL;
	}
	hva = gmem_hva(sv->vcpu, r.gpa & HV_PAGE_MASK, &slot);
	if (!hva) {
		*why = SOFT_EMULATE;
		return NULL;
	}
	/* beyond the table, writes could not be noticed */
	if (!soft_page_state(sv->vcpu->vm, r.gpa >> HV_PAGE_SHIFT)) {
		*why = SOFT_EMULATE;
		return NULL;
	}
	p = soft_cpage(sv, r.gpa >> HV_PAGE_SHIFT, true);
	if (!p) {
		*why = SOFT_FULL;
		return NULL;
	}
	if (r.page_shift > HV_PAGE_SHIFT)
		note_large(s, va, r.page_shift);
	soft_cpage_refresh(sv, p, (const u8 *)hva);
	if (!r.global)
		s->code_local = true;
	note(s->fetched, va & HV_PAGE_MASK);
	if ((s64)va < 0)
		s->fetched_high = true;
	else
		s->fetched_low = true;
	if (it->cpage)
		drop_fetch(s, it);
	else
		s->itlb_filled[s->nr_itlb++] = it - s->itlb;
	it->page = (va & HV_PAGE_MASK) | 1;
	it->cpage = p;
	s->code_at[p->index] = 1 - (va & HV_PAGE_MASK);
	soft_jc_restore(sv, p, va & HV_PAGE_MASK);
	return p;
}
