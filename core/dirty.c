// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * dirty.c - KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG.
 *
 * A slot's log is two bitmaps in one allocation: the live one, which any thread that writes guest
 * memory ors into, and a second one under slots_lock, where a snapshot waits until the client has
 * it. After bits were cleared every vCPU must fault on its next write to such a page, so all are
 * driven out of guest mode with a TLB flush before the client gets the snapshot: a write before the
 * flush is in the memory that the client reads afterwards, one behind it is in the next log.
 */
#include "ioctl.h"

/** Words of 64 pages for a log of @npages. */
u64 dirty_bitmap_words(u64 npages)
{
	return (npages + 63) / 64;
}

/**
 * A log for @npages pages, clean, or all set if the client asked for that with the manual mode.
 * NULL: no memory.
 */
u64 *dirty_bitmap_alloc(struct vm *vm, u64 npages)
{
	u64 words = dirty_bitmap_words(npages);
	u64 *log = host_zalloc(words * 2 * sizeof(u64));

	if (log && !vm->priv->dirty_ring_bytes &&
	    (host_load_relaxed(&vm->priv->manual_dirty_flags) & KVM_DIRTY_LOG_INITIALLY_SET)) {
		host_memset(log, 0xff, words * sizeof(u64));
		if (npages % 64)
			log[words - 1] = (1UL << (npages % 64)) - 1;
	}
	return log;
}

/*
 * slots_lock held. The slot number's entry if it has a log; -EINVAL or -ENOENT; -ENXIO: the VM has
 * rings.
 */
static int logged_slot(struct vm *vm, u32 id, const struct memslot **out)
{
	const struct memslots *slots;
	u32 i;

	if (vm->priv->dirty_ring_bytes)
		return -ENXIO;
	if (id >> 16 >= HV_ADDRESS_SPACES || (id & 0xffff) >= HV_MAX_MEMSLOTS)
		return -EINVAL;
	slots = vm_memslots(vm, id >> 16);
	for (i = 0; i < slots->nr; i++) {
		if (slots->slot[i].id == id && slots->slot[i].dirty) {
			*out = &slots->slot[i];
			return 0;
		}
	}
	return -ENOENT;
}

static void dirty_flush(struct vm *vm)
{
	/* core's own writes of guest memory happen in read sections */
	vm_quiesce(vm, REQ_TLB_FLUSH);
}

/**
 * KVM_GET_DIRTY_LOG: copy slot @log->slot's bitmap to @log->dirty_bitmap, and clear it unless in
 * manual mode.
 * -EINVAL: no such slot number; -ENOENT: slot absent or not logged; -ENXIO: the VM has dirty rings;
 * -EFAULT: nothing cleared.
 */
long vm_get_dirty_log(struct vm *vm, struct kvm_dirty_log *log)
{
	const struct memslot *s;
	u64 *live, *snap;
	u64 words, i;
	bool any = false;
	long ret;

	host_mutex_lock(&vm->slots_lock);
	ret = logged_slot(vm, log->slot, &s);
	if (ret)
		goto out;
	words = dirty_bitmap_words(s->npages);
	live = s->dirty;
	snap = s->dirty + words;
	if (vm->priv->manual_dirty_log) {
		for (i = 0; i < words; i++)
			snap[i] = host_load_relaxed(&live[i]);
		ret = host_copy_to_caller(log->padding2, snap, words * sizeof(u64));
		goto out;
	}
	for (i = 0; i < words; i++) {
		snap[i] = host_load_relaxed(&live[i]) ? host_xchg(&live[i], 0) : 0;
		any |= snap[i] != 0;
	}
	if (any)
		dirty_flush(vm);
	ret = host_copy_to_caller(log->padding2, snap, words * sizeof(u64));
	for (i = 0; ret && i < words; i++)
		if (snap[i])
			host_fetch_or(&live[i], snap[i]);
out:
	host_mutex_unlock(&vm->slots_lock);
	return ret;
}

/**
 * KVM_CLEAR_DIRTY_LOG: clear the bits that are set in the client's bitmap, for pages first_page on.
 * -EINVAL: first_page or (unless it reaches the slot's end) num_pages not a multiple of 64, or outside the slot;
 * -ENOENT as above; -EFAULT: nothing cleared.
 */
long vm_clear_dirty_log(struct vm *vm, struct kvm_clear_dirty_log *log)
{
	const struct memslot *s;
	u64 words, i, *ask;
	bool any = false;
	long ret;

	host_mutex_lock(&vm->slots_lock);
	ret = logged_slot(vm, log->slot, &s);
	if (log->first_page & 63)
		ret = -EINVAL;
	if (ret)
		goto out;
	ret = -EINVAL;
	if (log->first_page > s->npages ||
	    log->num_pages > s->npages - log->first_page)
		goto out;
	if ((log->num_pages & 63) && log->num_pages != s->npages - log->first_page)
		goto out;
	words = dirty_bitmap_words(log->num_pages);
	ask = s->dirty + dirty_bitmap_words(s->npages);
	ret = host_copy_from_caller(ask, log->padding2, words * sizeof(u64));
	if (ret)
		goto out;
	for (i = 0; i < words; i++) {
		u64 *live = &s->dirty[log->first_page / 64 + i];

		if (ask[i] & host_load_relaxed(live)) {
			host_fetch_and(live, ~ask[i]);
			any = true;
		}
	}
	if (any)
		dirty_flush(vm);
out:
	host_mutex_unlock(&vm->slots_lock);
	return ret;
}

/** The entry for page @offset of slot @id was harvested from a ring: its next write counts again. */
void dirty_ring_clear_page(struct vm *vm, u32 id, u64 offset)
{
	const struct memslots *slots;
	u32 i;

	if (id >> 16 >= HV_ADDRESS_SPACES)
		return;
	slots = vm_memslots(vm, id >> 16);
	for (i = 0; i < slots->nr; i++) {
		const struct memslot *s = &slots->slot[i];

		if (s->id == id && s->dirty && offset < s->npages)
			host_fetch_and(&s->dirty[offset / 64], ~BIT(offset % 64));
	}
}
