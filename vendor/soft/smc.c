// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Code that changes. Per guest page: which vCPUs have translated from it, and which may write to it through a TLB
 * entry. A page is never both for the same or for two vCPUs: whoever comes second makes the first one give way.
 */
#include "soft.h"

struct page_state *soft_page_state(struct vm *vm, gfn_t gfn)
{
	struct soft_vm *svm = vm->vendor_data;
	u64 i = gfn / PSTATE_CHUNK;
	struct page_state *c;

	if (i >= svm->nr_chunks)
		return NULL;
	c = host_load_acquire(&svm->chunk[i]);
	if (unlikely(!c)) {
		struct page_state *fresh = host_zalloc(PSTATE_CHUNK * sizeof(*c));

		if (!fresh)
			return NULL;
		c = host_cmpxchg(&svm->chunk[i], (struct page_state *)NULL, fresh);
		if (c)
			host_free(fresh);
		else
			c = fresh;
	}
	return &c[gfn % PSTATE_CHUNK];
}

/* Post a page to another vCPU's list; it drops writable TLB entries for it and code made from it. */
static void post_revoke(struct vcpu *to, gfn_t gfn)
{
	struct soft_vcpu *sv = soft_of(to);
	u32 i = 0;

	host_spin_lock(&sv->revoke_lock);
	while (i < sv->nr_revoke && sv->revoke[i] != gfn)
		i++;
	if (i == REVOKE_SLOTS)
		sv->flush_all = true;
	else if (i == sv->nr_revoke)
		sv->revoke[sv->nr_revoke++] = gfn;
	host_store_release(&sv->revoke_seq, sv->revoke_seq + 1);
	host_spin_unlock(&sv->revoke_lock);
	vcpu_request(to, REQ_VENDOR);
}

static void revoke_own_writes(struct soft_vcpu *sv, gfn_t gfn)
{
	const struct memslot *slot;
	u64 hva = gmem_hva(sv->vcpu, gfn << HV_PAGE_SHIFT, &slot);

	for (u32 k = 0; k < NR_SPACES; k++)
		if (sv->spaces[k]->valid)
			soft_revoke_writes(sv->spaces[k], hva);
}

void soft_handle_revokes(struct soft_vcpu *sv)
{
	gfn_t gfns[REVOKE_SLOTS];
	u32 n, seq;
	bool all;

	host_spin_lock(&sv->revoke_lock);
	n = sv->nr_revoke;
	host_memcpy(gfns, sv->revoke, n * sizeof(gfns[0]));
	all = sv->flush_all;
	seq = sv->revoke_seq;
	sv->nr_revoke = 0;
	sv->flush_all = false;
	host_spin_unlock(&sv->revoke_lock);
	if (all) {
		/* too many to list. The pools stay: somebody up the call chain may hold a block. */
		for (u32 i = 0; i < sv->nr_cpages; i++)
			soft_drop_page_code(sv, sv->cpage_pool[i].gfn);
		soft_flush_all(sv);
	}
	for (u32 i = 0; i < n; i++) {
		struct page_state *ps = soft_page_state(sv->vcpu->vm, gfns[i]);

		soft_drop_page_code(sv, gfns[i]);
		revoke_own_writes(sv, gfns[i]);
		if (ps)
			host_fetch_and(&ps->writers, ~BIT_ULL(sv->vcpu->index));
	}
	host_store_release(&sv->revoke_done, seq);
}

void soft_attend(struct vcpu *vcpu)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	if (host_load_acquire(&sv->revoke_seq) != sv->revoke_done)
		soft_handle_revokes(sv);
}

/* Wait until every vCPU in mask has given way, or is outside guest mode (it gives way before it enters again). */
static void wait_revoked(struct soft_vcpu *self, u64 mask)
{
	struct vm *vm = self ? self->vcpu->vm : NULL;

	for (; mask; mask &= mask - 1) {
		struct vcpu *v = vm->vcpus[__builtin_ctzll(mask)];
		struct soft_vcpu *sv = soft_of(v);
		u32 seq = host_load_acquire(&sv->revoke_seq), spins = 0;

		while (host_load_acquire(&v->in_guest) &&
		       (s32)(seq - host_load_acquire(&sv->revoke_done)) > 0) {
			/* two vCPUs may wait for each other */
			if (host_load_acquire(&self->revoke_seq) != self->revoke_done)
				soft_handle_revokes(self);
			if (++spins < 2000)
				host_cpu_relax();
			else
				host_yield();
		}
	}
}

static void revoke_others(struct soft_vcpu *self, gfn_t gfn, u64 mask)
{
	for (u64 m = mask; m; m &= m - 1)
		post_revoke(self->vcpu->vm->vcpus[__builtin_ctzll(m)], gfn);
	host_mb();	/* pairs with the run loop's in_guest store before it looks at requests */
	wait_revoked(self, mask);
}

void soft_protect_code(struct soft_vcpu *sv, struct cpage *p)
{
	u64 me = BIT_ULL(sv->vcpu->index);
	struct page_state *ps;
	u64 writers;

	if (p->guarded)
		return;
	ps = soft_page_state(sv->vcpu->vm, p->gfn);
	if (!ps)
		return;
	/* while we wait for others we may have to give this very page up: then once more */
	while (!p->guarded) {
		p->guarded = true;
		host_fetch_or(&ps->code, me);
		host_mb();	/* pairs with fill(): either it sees our code bit or we see its writer bit */
		writers = host_load_relaxed(&ps->writers);
		if (writers & me) {
			revoke_own_writes(sv, p->gfn);
			host_fetch_and(&ps->writers, ~me);
		}
		if (writers & ~me)
			revoke_others(sv, p->gfn, writers & ~me);
	}
}

bool soft_smc_write(struct soft_vcpu *sv, gpa_t gpa, u32 len)
{
	struct page_state *ps = soft_page_state(sv->vcpu->vm, gpa >> HV_PAGE_SHIFT);

	if (!ps || (host_load_relaxed(&ps->code) & ~BIT_ULL(sv->vcpu->index)))
		return false;
	return !soft_code_at(sv, gpa, len);
}

static struct soft_vcpu *soft_self(struct vm *vm)
{
	for (u32 i = 0; i < vm->nr_vcpus; i++) {
		struct vcpu *v = vm->vcpus[i];

		if (v && host_load_relaxed(&soft_of(v)->region->thread) == soft_thread())
			return soft_of(v);
	}
	return NULL;
}

/* The emulator or core wrote: by now the bytes are there. */
void soft_gmem_written(struct vm *vm, gpa_t gpa, unsigned int len)
{
	struct soft_vcpu *self = NULL;

	while (len) {
		u32 n = min_t(u64, len, HV_PAGE_SIZE - (gpa & ~HV_PAGE_MASK));
		struct page_state *ps = soft_page_state(vm, gpa >> HV_PAGE_SHIFT);
		u64 code = ps ? host_load_acquire(&ps->code) : 0;

		if (unlikely(code)) {
			if (!self)
				self = soft_self(vm);
			if (self && (code & BIT_ULL(self->vcpu->index))) {
				soft_code_written(self, gpa, n);
				self->stat->smc++;
				code &= ~BIT_ULL(self->vcpu->index);
			}
			for (u64 m = code; m; m &= m - 1)
				post_revoke(vm->vcpus[__builtin_ctzll(m)], gpa >> HV_PAGE_SHIFT);
			if (self && code) {
				host_mb();
				wait_revoked(self, code);
			}
		}
		gpa += n;
		len -= n;
	}
}
