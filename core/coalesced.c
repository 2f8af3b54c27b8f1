// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * coalesced.c - KVM_REGISTER_COALESCED_MMIO: writes to a zone are put into a ring that the client
 * drains later.
 *
 * A VM has one ring, which is page 2 of each vCPU's mapping. The client can write to the page, so its
 * indices are read once and checked.
 */
#include "ioctl.h"

struct coalesced_zones {
	u32 nr;
	struct kvm_coalesced_mmio_zone zone[];
};

#define RING_MAX ((HV_PAGE_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

static_assert(RING_MAX == 170, "as clients compute it");

/* len may be 0: a client may have made such a zone, and may end it. */
static bool covers(const struct kvm_coalesced_mmio_zone *z, bool pio, u64 addr, u32 len)
{
	u64 off = addr - z->addr;

	return z->pio == pio && addr >= z->addr && off <= z->size && len <= z->size - off;
}

static bool in_zone(const struct coalesced_zones *zones, bool pio, u64 addr, u32 len)
{
	u32 i;

	for (i = 0; i < zones->nr; i++)
		if (covers(&zones->zone[i], pio, addr, len))
			return true;
	return false;
}

/* ring_lock held. False: full, or the client's indices make no sense. */
static bool ring_put(struct kvm_coalesced_mmio_ring *ring, const struct kvm_coalesced_mmio *entry)
{
	/* pairs with the client's store after it took entries out */
	u32 first = host_load_acquire(&ring->first), last = READ_ONCE(ring->last), next;

	if (last >= RING_MAX)
		return false;
	next = (last + 1) % RING_MAX;
	if (next == first)
		return false;
	ring->coalesced_mmio[last] = *entry;
	/* pairs with the client's load before it takes them out */
	host_store_release(&ring->last, next);
	return true;
}

bool coalesced_write(struct vcpu *vcpu, bool pio, u64 addr, const void *data, unsigned int len)
{
	const struct coalesced_zones *zones = host_load_acquire(&vcpu->vm->priv->coalesced);
	struct kvm_coalesced_mmio entry = { .phys_addr = addr, .len = len, .pio = pio };
	struct vm_priv *p = vcpu->vm->priv;
	bool room;

	if (!zones || len > sizeof(entry.data) || !in_zone(zones, pio, addr, len))
		return false;
	host_memcpy(entry.data, data, len);
	host_spin_lock(&p->ring_lock);
	room = ring_put(p->ring, &entry);
	host_spin_unlock(&p->ring_lock);
	return room;
}

/* irq_lock held. Replace the table by one without zone skip and with in (if not NULL). */
static int zones_replace(struct vm *vm, const bool *skip, const struct kvm_coalesced_mmio_zone *in)
{
	struct coalesced_zones *old = vm->priv->coalesced, *new;
	u32 nr = old ? old->nr : 0, i;

	new = host_zalloc(sizeof(*new) + (nr + 1) * sizeof(new->zone[0]));
	if (!new)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		if (!skip || !skip[i])
			new->zone[new->nr++] = old->zone[i];
	if (in)
		new->zone[new->nr++] = *in;
	/* pairs with the acquire in coalesced_write() */
	host_store_release(&vm->priv->coalesced, new);
	vm_quiesce(vm, REQ_EVENT);
	host_free(old);
	return 0;
}

/** KVM_REGISTER_COALESCED_MMIO. -EINVAL: pio neither 0 nor 1; -ENOSPC: too many zones; -ENOMEM. */
long vm_register_coalesced(struct vm *vm, struct kvm_coalesced_mmio_zone *z)
{
	long ret = -ENOSPC;

	if (z->pio > 1)
		return -EINVAL;
	host_mutex_lock(&vm->priv->irq_lock);
	if (!vm->priv->coalesced || vm->priv->coalesced->nr < VM_MAX_COALESCED)
		ret = zones_replace(vm, NULL, z);
	host_mutex_unlock(&vm->priv->irq_lock);
	return ret;
}

/**
 * KVM_UNREGISTER_COALESCED_MMIO: drop all zones of that kind in which [addr, addr + size) lies whole;
 * none is fine.
 */
long vm_unregister_coalesced(struct vm *vm, struct kvm_coalesced_mmio_zone *z)
{
	bool skip[VM_MAX_COALESCED] = { false }, any = false;
	const struct coalesced_zones *zones;
	long ret = 0;
	u32 i;

	if (z->pio > 1)
		return -EINVAL;
	host_mutex_lock(&vm->priv->irq_lock);
	zones = vm->priv->coalesced;
	for (i = 0; zones && i < zones->nr; i++) {
		skip[i] = covers(&zones->zone[i], z->pio, z->addr, z->size);
		any |= skip[i];
	}
	if (any)
		ret = zones_replace(vm, skip, NULL);
	host_mutex_unlock(&vm->priv->irq_lock);
	return ret;
}

void coalesced_destroy(struct vm *vm)
{
	host_free(vm->priv->coalesced);
	vm->priv->coalesced = NULL;
}
