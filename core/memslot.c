// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * memslot.c - guest physical memory: the table of slots, KVM_SET_USER_MEMORY_REGION, and access to
 * guest memory.
 *
 * A table is immutable once published. A change builds a new table, publishes it, drives every vCPU
 * out of guest mode so that it drops what it cached, waits for readers of the old table, and frees
 * that. Only then the ioctl returns, so the client may unmap or reuse the memory of a deleted slot
 * at once.
 */
#include "ioctl.h"

#define SLOT_MAX_PAGES	((1UL << 31) - 1)
/*
 * Architectural limit of guest-physical addresses, SDM 3A 4.1.4; a guest's own CPUID may say less.
 */
#define GFN_LIMIT	(1UL << (52 - HV_PAGE_SHIFT))
/* End of the lower half of a 64-bit process's addresses: no slot lies above. */
#define HVA_LIMIT	((1UL << 47) - HV_PAGE_SIZE)

static struct memslots *memslots_alloc(u32 nr)
{
	return host_zalloc(sizeof(struct memslots) + nr * sizeof(struct memslot));
}

struct memslots *vm_memslots(struct vm *vm, unsigned int as)
{
	/* pairs with the release in memslots_publish() */
	return host_load_acquire(&vm->memslots[as]);
}

/** Give @vm its empty tables. 0 or -ENOMEM. */
int memslots_init(struct vm *vm)
{
	unsigned int as;

	for (as = 0; as < ARRAY_SIZE(vm->memslots); as++) {
		vm->memslots[as] = memslots_alloc(0);
		if (!vm->memslots[as]) {
			memslots_destroy(vm);
			return -ENOMEM;
		}
	}
	return 0;
}

/** Free all tables and dirty logs; nobody uses the VM any more. */
void memslots_destroy(struct vm *vm)
{
	unsigned int as;
	u32 i;

	for (as = 0; as < ARRAY_SIZE(vm->memslots); as++) {
		struct memslots *slots = vm->memslots[as];

		for (i = 0; slots && i < slots->nr; i++)
			host_free(slots->slot[i].dirty);
		host_free(slots);
		vm->memslots[as] = NULL;
	}
}

/* Index of the last slot that begins at or below gfn, or -1. */
static int slot_at_or_below(const struct memslots *slots, gfn_t gfn)
{
	int lo = 0, hi = (int)slots->nr;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;

		if (slots->slot[mid].gfn <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

const struct memslot *memslot_find(const struct memslots *slots, gfn_t gfn)
{
	int i = slot_at_or_below(slots, gfn);

	if (i < 0 || gfn - slots->slot[i].gfn >= slots->slot[i].npages)
		return NULL;
	return &slots->slot[i];
}

u64 gmem_hva(struct vcpu *vcpu, gpa_t gpa, const struct memslot **slot)
{
	const struct memslots *slots = vm_memslots(vcpu->vm, vcpu->st->smm);
	const struct memslot *s = NULL;
	gfn_t gfn = gpa >> HV_PAGE_SHIFT;
	u32 last = vcpu->priv->last_slot;

	/* An index, not a pointer: whatever table it came from, it is checked against this one. */
	if (last < slots->nr && gfn - slots->slot[last].gfn < slots->slot[last].npages) {
		s = &slots->slot[last];
	} else {
		s = memslot_find(slots, gfn);
		if (s)
			vcpu->priv->last_slot = s - slots->slot;
	}
	if (slot)
		*slot = s;
	return s ? s->hva + (gpa - (s->gfn << HV_PAGE_SHIFT)) : 0;
}

void memslot_mark_dirty(struct vm *vm, struct vcpu *vcpu, const struct memslot *slot, gfn_t gfn)
{
	u64 rel, bit, old;

	if (!slot->dirty)
		return;
	rel = gfn - slot->gfn;
	bit = 1UL << (rel & 63);
	/* Most pages are dirty already: look before writing to a shared cache line. */
	if (rel >= slot->npages || (host_load_relaxed(&slot->dirty[rel / 64]) & bit))
		return;
	old = host_fetch_or(&slot->dirty[rel / 64], bit);
	if (unlikely(host_load_relaxed(&vm->priv->dirty_ring_bytes)) && !(old & bit) &&
	    !dirty_ring_push(vm, vcpu, slot->id, rel))
		host_fetch_and(&slot->dirty[rel / 64], ~bit);
}

/* Bytes from gpa to the end of what one slot covers, at most len. */
static size_t slot_span(const struct memslot *s, gpa_t gpa, size_t len)
{
	u64 room = ((s->gfn + s->npages) << HV_PAGE_SHIFT) - gpa;

	return room < len ? room : len;
}

int gmem_read_as(struct vm *vm, unsigned int as, gpa_t gpa, void *buf, size_t len)
{
	u8 *p = buf;
	int ret = 0;

	host_read_lock(vm->rdomain, HOST_READ_SHARED);
	while (len && !ret) {
		const struct memslot *s = memslot_find(vm_memslots(vm, as), gpa >> HV_PAGE_SHIFT);
		size_t n;

		if (!s) {
			ret = -EFAULT;
			break;
		}
		n = slot_span(s, gpa, len);
		ret = host_mem_read(s->hva + (gpa - (s->gfn << HV_PAGE_SHIFT)), p, n);
		gpa += n;
		p += n;
		len -= n;
	}
	host_read_unlock(vm->rdomain, HOST_READ_SHARED);
	return ret;
}

int gmem_write_as(struct vm *vm, unsigned int as, gpa_t gpa, const void *buf, size_t len)
{
	const u8 *p = buf;
	int ret = 0;

	host_read_lock(vm->rdomain, HOST_READ_SHARED);
	while (len && !ret) {
		const struct memslot *s = memslot_find(vm_memslots(vm, as), gpa >> HV_PAGE_SHIFT);
		gfn_t gfn;
		size_t n;

		if (!s || (s->flags & KVM_MEM_READONLY)) {
			ret = -EFAULT;
			break;
		}
		n = slot_span(s, gpa, len);
		ret = host_mem_write(s->hva + (gpa - (s->gfn << HV_PAGE_SHIFT)), p, n);
		/* After the write: a log fetched between the two must not lose it. */
		for (gfn = gpa >> HV_PAGE_SHIFT; gfn <= (gpa + n - 1) >> HV_PAGE_SHIFT; gfn++)
			memslot_mark_dirty(vm, NULL, s, gfn);
		if (vm->vendor->gmem_written)
			vm->vendor->gmem_written(vm, gpa, n);
		gpa += n;
		p += n;
		len -= n;
	}
	host_read_unlock(vm->rdomain, HOST_READ_SHARED);
	return ret;
}

int gmem_swap_byte(struct vm *vm, gpa_t gpa, u8 new, u8 *old)
{
	const struct memslot *s;
	int ret = -EFAULT;
	u64 hva;

	host_read_lock(vm->rdomain, HOST_READ_SHARED);
	s = memslot_find(vm_memslots(vm, 0), gpa >> HV_PAGE_SHIFT);
	if (!s || (s->flags & KVM_MEM_READONLY))
		goto out;
	hva = s->hva + (gpa - (s->gfn << HV_PAGE_SHIFT));
	ret = host_mem_read(hva, old, 1);
	if (ret)
		goto out;
	do
		ret = host_mem_cmpxchg(hva, old, &new, 1);
	while (ret == -EBUSY);
	if (ret)
		goto out;
	memslot_mark_dirty(vm, NULL, s, gpa >> HV_PAGE_SHIFT);
	if (vm->vendor->gmem_written)
		vm->vendor->gmem_written(vm, gpa, 1);
out:
	host_read_unlock(vm->rdomain, HOST_READ_SHARED);
	return ret;
}

int gmem_read(struct vm *vm, gpa_t gpa, void *buf, size_t len)
{
	return gmem_read_as(vm, 0, gpa, buf, len);
}

int gmem_write(struct vm *vm, gpa_t gpa, const void *buf, size_t len)
{
	return gmem_write_as(vm, 0, gpa, buf, len);
}

/* ---- KVM_SET_USER_MEMORY_REGION -------------------------------------------------------------- */

enum slot_change { SLOT_NONE, SLOT_ADD, SLOT_DELETE, SLOT_MOVE, SLOT_FLAGS };

static const struct memslot *slot_by_id(const struct memslots *slots, u32 id)
{
	u32 i;

	for (i = 0; i < slots->nr; i++)
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	return NULL;
}

/* Does [gfn, gfn + npages) touch a slot other than id? */
static bool slot_overlap(const struct memslots *slots, u32 id, gfn_t gfn, u64 npages)
{
	u32 i;

	for (i = 0; i < slots->nr; i++) {
		const struct memslot *s = &slots->slot[i];

		if (s->id != id && gfn < s->gfn + s->npages && s->gfn < gfn + npages)
			return true;
	}
	return false;
}

/* Reads only. What r asks for: enum slot_change, or -EINVAL, -EEXIST. */
static int memslot_check(struct vm *vm, const struct memslots *slots,
			 const struct kvm_userspace_memory_region *r)
{
	const struct memslot *old;
	u64 npages = r->memory_size >> HV_PAGE_SHIFT;
	gfn_t gfn = r->guest_phys_addr >> HV_PAGE_SHIFT;

	if (r->flags & ~(u32)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if ((r->memory_size | r->guest_phys_addr | r->userspace_addr) & ~HV_PAGE_MASK)
		return -EINVAL;
	old = slot_by_id(slots, r->slot);
	if (!r->memory_size)
		return old ? SLOT_DELETE : -EINVAL;	/* whatever its flags and addresses say */
	if (npages > SLOT_MAX_PAGES || !range_below(gfn, npages, GFN_LIMIT) ||
	    !range_below(r->userspace_addr, r->memory_size, HVA_LIMIT))
		return -EINVAL;
	if (old) {
		if (r->userspace_addr != old->hva || npages != old->npages ||
		    ((r->flags ^ old->flags) & KVM_MEM_READONLY))
			return -EINVAL;
		if (gfn == old->gfn)
			return r->flags == old->flags ? SLOT_NONE : SLOT_FLAGS;
	}
	if (slot_overlap(slots, r->slot, gfn, npages))
		return -EEXIST;
	return old ? SLOT_MOVE : SLOT_ADD;
}

/* Make new the table that everybody sees and old nobody's. */
static void memslots_publish(struct vm *vm, unsigned int as, struct memslots *new, gfn_t first,
			     u64 npages)
{
	/* a vendor whose accesses may fault asks here too: the client may take the memory away meanwhile */
	host_store_release(&vm->leaving, vm->memslots[as]);
	/* pairs with the acquire in vm_memslots() */
	host_store_release(&vm->memslots[as], new);
	if (vm->vendor->memslots_changed)
		vm->vendor->memslots_changed(vm, first, npages);
	/* A vCPU inside enter() is a reader for as long as it stays there, so it is kicked out
	 * before the wait. */
	vm_quiesce(vm, REQ_TLB_FLUSH);
	host_store_release(&vm->leaving, (struct memslots *)NULL);
	host_fetch_add(&vm->priv->stat->slot_changes, 1);
}

/* Copy src to dst without slot id, then put in (if any) where it belongs by gfn. */
static void memslots_copy(struct memslots *dst, const struct memslots *src, u32 id,
			  const struct memslot *in)
{
	u32 i;

	dst->nr = 0;
	for (i = 0; i < src->nr; i++) {
		if (src->slot[i].id == id)
			continue;
		if (in && in->gfn < src->slot[i].gfn) {
			dst->slot[dst->nr++] = *in;
			in = NULL;
		}
		dst->slot[dst->nr++] = src->slot[i];
	}
	if (in)
		dst->slot[dst->nr++] = *in;
	dst->generation = src->generation + 1;
}

/*
 * slots_lock held; change is memslot_check()'s answer and not SLOT_NONE. All or nothing: 0 or
 * -ENOMEM.
 */
static int memslot_commit(struct vm *vm, unsigned int as,
			  const struct kvm_userspace_memory_region *r, enum slot_change change)
{
	struct memslots *old_table = vm->memslots[as], *table;
	const struct memslot *old = slot_by_id(old_table, r->slot);
	struct memslot new = {
		.gfn = r->guest_phys_addr >> HV_PAGE_SHIFT,
		.npages = r->memory_size >> HV_PAGE_SHIFT,
		.hva = r->userspace_addr, .id = r->slot, .flags = r->flags,
	};
	gfn_t old_gfn = old ? old->gfn : 0;
	u64 *drop = NULL;

	table = memslots_alloc(old_table->nr + 1);
	if (!table)
		return -ENOMEM;
	if (old)
		drop = old->dirty;
	if (change != SLOT_DELETE && (new.flags & KVM_MEM_LOG_DIRTY_PAGES)) {
		new.dirty = drop ? drop : dirty_bitmap_alloc(vm, new.npages);
		if (!new.dirty) {
			host_free(table);
			return -ENOMEM;
		}
		drop = NULL;
	}
	memslots_copy(table, old_table, r->slot, change == SLOT_DELETE ? NULL : &new);
	if (change == SLOT_MOVE || change == SLOT_DELETE)
		memslots_publish(vm, as, table, old_gfn, old->npages);
	else
		memslots_publish(vm, as, table, new.gfn, new.npages);
	host_free(old_table);
	host_free(drop);
	return 0;
}

/**
 * KVM_SET_USER_MEMORY_REGION: add, delete (size 0), move (other guest address) or re-flag slot
 * @r->slot.
 * -EINVAL: misaligned, out of range, unknown flag, resized, changed host address or KVM_MEM_READONLY of a live slot,
 * deletion of an absent one, no such slot number or address space. -EEXIST: overlaps another slot.
 * -ENOMEM. May sleep; not from a vCPU thread inside KVM_RUN.
 */
int vm_set_memory_region(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	unsigned int as = r->slot >> 16;
	int ret;

	if (as >= HV_ADDRESS_SPACES || (r->slot & 0xffff) >= HV_MAX_MEMSLOTS)
		return -EINVAL;
	host_mutex_lock(&vm->slots_lock);
	ret = memslot_check(vm, vm->memslots[as], r);
	if (ret > SLOT_NONE)
		ret = memslot_commit(vm, as, r, ret);
	host_mutex_unlock(&vm->slots_lock);
	return ret;
}

long vm_ioctl_set_memory_region(struct vm *vm, struct kvm_userspace_memory_region *r)
{
	return vm_set_memory_region(vm, r);
}

#define MIN_MMU_PAGES	64

/**
 * KVM_SET_NR_MMU_PAGES: how many pages shadow page tables may take. No vendor here has any: what
 * soft caches of translations has a fixed size, so every limit is kept. -EINVAL: below 64, which
 * Linux asks for.
 */
long vm_set_nr_mmu_pages(struct vm *vm, u64 nr)
{
	if (nr < MIN_MMU_PAGES)
		return -EINVAL;
	host_store_relaxed(&vm->priv->nr_mmu_pages, nr > 0x7fffffff ? 0x7fffffff : nr);
	return 0;
}

/** KVM_GET_NR_MMU_PAGES: the limit in force, 0 before the first. */
long vm_get_nr_mmu_pages(struct vm *vm)
{
	return host_load_relaxed(&vm->priv->nr_mmu_pages);
}
