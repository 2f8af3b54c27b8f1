// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * dirty_ring.c - KVM_CAP_DIRTY_LOG_RING: written pages as entries in a ring of each vCPU, which the
 * client maps behind kvm_run. Linux's Documentation/virt/kvm/api.rst 8.29.
 *
 * The slot's bitmap (dirty.c) stays what tells whether a page's next write must be noticed: the
 * thread that sets a page's bit puts the entry into a ring, and KVM_RESET_DIRTY_RINGS clears the
 * bits of the entries that the client has taken and flushes as KVM_CLEAR_DIRTY_LOG does.
 *
 * A ring is full for the guest while RESERVED entries are left. Then no vendor gives write access
 * to another page (dirty_ring_full()), and KVM_RUN ends before the next stretch: what one emulated
 * instruction, one delivered event and core's own pages can still write fits the reserve.
 */
#include "ioctl.h"

#define RESERVED	64
#define MAX_BYTES	(65536 * sizeof(struct kvm_dirty_gfn))

static_assert(sizeof(struct kvm_dirty_gfn) == 16, "ABI");

/* How many entries are with the client. */
static u32 ring_used(const struct dirty_ring *r)
{
	return host_load_relaxed(&r->dirty_index) - host_load_acquire(&r->reset_index);
}

bool dirty_ring_full(struct vcpu *v)
{
	const struct dirty_ring *r = &v->priv->dirty_ring;

	return unlikely(r->entry) && ring_used(r) >= r->size - RESERVED;
}

/** Pages of each vCPU's ring, 0 without. */
u32 dirty_ring_pages(struct vm *vm)
{
	return vm->priv->dirty_ring_bytes / HV_PAGE_SIZE;
}

/** Give a new vCPU its ring, in its mapping. vm->lock held. */
void dirty_ring_init(struct vcpu *v)
{
	struct dirty_ring *r = &v->priv->dirty_ring;
	u32 bytes = v->vm->priv->dirty_ring_bytes;

	host_spin_init(&r->lock);
	if (!bytes)
		return;
	r->size = bytes / sizeof(*r->entry);
	r->entry = (void *)((u8 *)v->run + KVM_DIRTY_LOG_PAGE_OFFSET * HV_PAGE_SIZE);
}

/*
 * Page @offset of slot @slot was clean and has been written by @v, or by a thread that is no vCPU's
 * (NULL): then the first vCPU's ring has it. False: nowhere to tell it.
 */
bool dirty_ring_push(struct vm *vm, struct vcpu *v, u32 slot, u64 offset)
{
	struct kvm_dirty_gfn *e;
	struct dirty_ring *r;

	if (!v) {
		if (!host_load_acquire(&vm->nr_vcpus))
			return false;
		v = vm->vcpus[0];
	}
	r = &v->priv->dirty_ring;
	host_spin_lock(&r->lock);
	if (unlikely(ring_used(r) >= r->size)) {
		host_spin_unlock(&r->lock);
		return false;
	}
	e = &r->entry[r->dirty_index % r->size];
	WRITE_ONCE(e->slot, slot);
	WRITE_ONCE(e->offset, offset);
	/* pairs with the client's acquire of flags */
	host_store_release(&e->flags, KVM_DIRTY_GFN_F_DIRTY);
	host_store_relaxed(&r->dirty_index, r->dirty_index + 1);
	host_spin_unlock(&r->lock);
	if (unlikely(dirty_ring_full(v)))
		vcpu_request(v, REQ_EVENT);	/* leave the guest: the run loop looks */
	return true;
}

/* What the client has harvested of a ring. Its memory is the client's: nothing in it is believed. */
static u32 ring_reset(struct vm *vm, struct dirty_ring *r)
{
	u32 n = 0;

	while (n < r->size) {
		struct kvm_dirty_gfn *e = &r->entry[r->reset_index % r->size];
		u32 slot;
		u64 offset;

		if (r->reset_index == host_load_acquire(&r->dirty_index) ||
		    !(host_load_acquire(&e->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		slot = READ_ONCE(e->slot);
		offset = READ_ONCE(e->offset);
		host_store_release(&e->flags, 0);
		dirty_ring_clear_page(vm, slot, offset);
		/* the entry is free only now: pairs with the acquire in ring_used() */
		host_store_release(&r->reset_index, r->reset_index + 1);
		n++;
	}
	return n;
}

/**
 * KVM_RESET_DIRTY_RINGS: harvested entries are free again, and writes to their pages are noticed
 * from the return on. Their number; -EINVAL: the VM has no rings. May sleep.
 */
long vm_reset_dirty_rings(struct vm *vm)
{
	u32 i, nr, n = 0;

	if (!host_load_relaxed(&vm->priv->dirty_ring_bytes))
		return -EINVAL;
	host_mutex_lock(&vm->slots_lock);
	nr = host_load_acquire(&vm->nr_vcpus);
	for (i = 0; i < nr; i++)
		n += ring_reset(vm, &vm->vcpus[i]->priv->dirty_ring);
	if (n)
		vm_quiesce(vm, REQ_TLB_FLUSH);
	host_mutex_unlock(&vm->slots_lock);
	return n;
}

/**
 * KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL on a VM: rings of @bytes, once and before
 * the first vCPU. -EINVAL: not a power of two of at least a page, too late; -E2BIG.
 */
long dirty_ring_enable(struct vm *vm, u64 bytes)
{
	long ret = -EINVAL;

	if (bytes & (bytes - 1) || bytes < HV_PAGE_SIZE)
		return -EINVAL;
	if (bytes > MAX_BYTES)
		return -E2BIG;
	host_mutex_lock(&vm->lock);
	if (!vm->priv->dirty_ring_bytes && !vm->nr_vcpus) {
		host_store_relaxed(&vm->priv->dirty_ring_bytes, (u32)bytes);
		ret = 0;
	}
	host_mutex_unlock(&vm->lock);
	return ret;
}
