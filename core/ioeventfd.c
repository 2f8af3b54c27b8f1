// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * ioeventfd.c - KVM_IOEVENTFD: a guest's write to a port or MMIO address signals an eventfd instead
 * of an exit.
 *
 * Each bus is an immutable table, sorted by address; writers replace it, vCPUs look into it from
 * their read section.
 */
#include "ioctl.h"

struct ioeventfd {
	u64 addr;
	u64 datamatch;
	u32 len;		/* 0: any */
	bool wildcard;		/* any value */
	struct host_eventfd *event;
};

struct ioeventfd_bus {
	u32 nr;
	struct ioeventfd ev[];
};

/* Index of the first entry at or above addr. */
static u32 bus_lower_bound(const struct ioeventfd_bus *bus, u64 addr)
{
	u32 lo = 0, hi = bus->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (bus->ev[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool ioeventfd_write(struct vm *vm, bool mmio, u64 addr, const void *data, unsigned int len)
{
	const struct ioeventfd_bus *bus = host_load_acquire(&vm->priv->ioeventfds[mmio]);
	u64 val = 0;
	u32 i;

	if (!bus)
		return false;
	host_memcpy(&val, data, len < sizeof(val) ? len : sizeof(val));
	for (i = bus_lower_bound(bus, addr); i < bus->nr && bus->ev[i].addr == addr; i++) {
		const struct ioeventfd *e = &bus->ev[i];

		if ((e->len == 0 || e->len == len) && (e->wildcard || e->datamatch == val)) {
			host_eventfd_signal(e->event);
			return true;
		}
	}
	return false;
}

/* Can one write hit both? */
static bool ioeventfd_collide(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (a->wildcard || b->wildcard || a->datamatch == b->datamatch);
}

static bool ioeventfd_same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->addr == b->addr && a->len == b->len && a->wildcard == b->wildcard &&
	       (a->wildcard || a->datamatch == b->datamatch) &&
	       host_eventfd_same(a->event, b->event);
}

/*
 * irq_lock held. Replace the bus by one without entry skip (if below nr) and with in (if not NULL).
 */
static int bus_replace(struct vm *vm, struct ioeventfd_bus **where, u32 skip,
		       const struct ioeventfd *in)
{
	struct ioeventfd_bus *old = *where, *new;
	u32 nr = old ? old->nr : 0, i;

	new = host_zalloc(sizeof(*new) + (nr + 1) * sizeof(new->ev[0]));
	if (!new)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		if (in && in->addr < old->ev[i].addr) {
			new->ev[new->nr++] = *in;
			in = NULL;
		}
		if (i != skip)
			new->ev[new->nr++] = old->ev[i];
	}
	if (in)
		new->ev[new->nr++] = *in;
	host_store_release(where, new);		/* pairs with the acquire in ioeventfd_write() */
	vm_quiesce(vm, REQ_EVENT);
	host_free(old);
	return 0;
}

static int ioeventfd_assign(struct vm *vm, struct ioeventfd_bus **where, const struct ioeventfd *e)
{
	const struct ioeventfd_bus *bus = *where;
	u32 i;

	for (i = 0; bus && i < bus->nr; i++)
		if (ioeventfd_collide(&bus->ev[i], e))
			return -EEXIST;
	if (bus && bus->nr >= VM_MAX_IOEVENTFDS)
		return -ENOSPC;
	return bus_replace(vm, where, ~0u, e);
}

static int ioeventfd_deassign(struct vm *vm, struct ioeventfd_bus **where,
			      const struct ioeventfd *e)
{
	const struct ioeventfd_bus *bus = *where;
	struct host_eventfd *event;
	u32 i;
	int ret;

	for (i = 0; bus && i < bus->nr; i++) {
		if (!ioeventfd_same(&bus->ev[i], e))
			continue;
		event = bus->ev[i].event;
		ret = bus_replace(vm, where, i, NULL);
		if (!ret)
			host_eventfd_put(event);
		return ret;
	}
	return -ENOENT;
}

/**
 * KVM_IOEVENTFD. -EINVAL: flags, length not 0, 1, 2, 4 or 8, a value to match with length 0,
 * wrap-around, not an eventfd; -EBADF; -EEXIST: one write could hit two; -ENOENT: nothing to take
 * away; -ENOSPC: too many; -ENOMEM.
 */
long vm_ioeventfd(struct vm *vm, struct kvm_ioeventfd *a)
{
	struct vm_priv *p = vm->priv;
	struct ioeventfd e = {
		.addr = a->addr, .len = a->len, .datamatch = a->datamatch,
		.wildcard = !(a->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
	};
	struct ioeventfd_bus **where = &p->ioeventfds[!(a->flags & KVM_IOEVENTFD_FLAG_PIO)];
	bool deassign = a->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	int ret;

	/* what was never taken is just not found */
	if (!deassign && ((a->flags & ~(u32)(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO)) ||
			  a->len > 8 || (a->len & (a->len - 1)) || a->addr + a->len < a->addr ||
			  (!a->len && !e.wildcard)))
		return -EINVAL;
	ret = host_eventfd_get(a->fd, &e.event);
	if (ret)
		return ret;
	host_mutex_lock(&p->irq_lock);
	ret = deassign ? ioeventfd_deassign(vm, where, &e) : ioeventfd_assign(vm, where, &e);
	host_mutex_unlock(&p->irq_lock);
	if (ret || deassign)
		host_eventfd_put(e.event);
	return ret;
}

/** Free all ioeventfds of a VM that nobody uses any more. */
void ioeventfds_destroy(struct vm *vm)
{
	unsigned int b;
	u32 i;

	for (b = 0; b < ARRAY_SIZE(vm->priv->ioeventfds); b++) {
		struct ioeventfd_bus *bus = vm->priv->ioeventfds[b];

		for (i = 0; bus && i < bus->nr; i++)
			host_eventfd_put(bus->ev[i].event);
		host_free(bus);
		vm->priv->ioeventfds[b] = NULL;
	}
}
