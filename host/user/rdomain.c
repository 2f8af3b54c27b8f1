/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * rdomain.c - read sections by epochs. A reader publishes the epoch it entered in; a writer raises
 * the epoch and waits until no reader shows an older one.
 *
 * A reader with its own slot pays one exchange per outermost section and a plain store at its end.
 * membarrier(2) could save that exchange (some 20 cycles per KVM_RUN), but clients' system call
 * filters kill vCPU threads for it.
 */
#include "../host.h"
#include "sys.h"
#include "user.h"

#define SHARED_SLOTS	16	/* threads at once in sections of HOST_READ_SHARED; more of them spin */

struct rslot {
	u64 epoch;		/* 0: not in a section */
	u64 owner;		/* shared slots: thread_self() of the reader */
	u32 nest;
} __aligned(64);

struct host_rdomain {
	u64 epoch;
	u32 writers;		/* waiting in host_synchronize() */
	u32 wake;		/* futex word: counts section ends seen by writers */
	struct host_mutex sync_lock;
	unsigned int nr;
	struct rslot *slots;	/* SHARED_SLOTS shared ones, then one for each index */
	unsigned long npages;
};

struct host_rdomain *host_rdomain_create(unsigned int slots)
{
	struct host_rdomain *d;

	if (slots > 65536)
		return NULL;
	d = host_zalloc(sizeof(*d));
	if (!d)
		return NULL;
	d->nr = SHARED_SLOTS + slots;
	d->npages = (d->nr * sizeof(struct rslot) + HV_PAGE_SIZE - 1) >> HV_PAGE_SHIFT;
	d->slots = host_pages_alloc(d->npages);
	if (!d->slots) {
		host_free(d);
		return NULL;
	}
	d->epoch = 1;
	host_mutex_init(&d->sync_lock);
	return d;
}

void host_rdomain_destroy(struct host_rdomain *d)
{
	if (!d)
		return;
	host_pages_free(d->slots, d->npages);
	host_free(d);
}

static struct rslot *shared_slot(struct host_rdomain *d)
{
	u64 self = thread_self();
	unsigned int i;

	for (i = 0; i < SHARED_SLOTS; i++)
		if (host_load_relaxed(&d->slots[i].owner) == self)
			return &d->slots[i];
	for (;;) {
		for (i = 0; i < SHARED_SLOTS; i++) {
			struct rslot *s = &d->slots[(i + (self >> 12)) % SHARED_SLOTS];

			if (!host_load_relaxed(&s->owner) && !host_cmpxchg(&s->owner, 0, self))
				return s;
		}
		host_yield();
	}
}

static __always_inline struct rslot *find_slot(struct host_rdomain *d, unsigned int slot)
{
	if (slot == HOST_READ_SHARED)
		return shared_slot(d);
	return &d->slots[SHARED_SLOTS - 1 + slot];
}

void host_read_lock(struct host_rdomain *d, unsigned int slot)
{
	struct rslot *s = find_slot(d, slot);

	if (s->nest++)
		return;
	/* Exchange: the epoch is visible before this reader loads any pointer. Pairs with the one
	 * in host_synchronize() */
	host_xchg(&s->epoch, host_load_relaxed(&d->epoch));
}

void host_read_unlock(struct host_rdomain *d, unsigned int slot)
{
	struct rslot *s = find_slot(d, slot);

	if (--s->nest)
		return;
	host_store_release(&s->epoch, 0);
	if (slot == HOST_READ_SHARED)
		host_store_release(&s->owner, 0);
	/* No barrier between the store and this load: a writer that is missed looks again by itself
	 * soon. */
	if (unlikely(host_load_relaxed(&d->writers))) {
		host_fetch_add(&d->wake, 1);
		sys_futex_wake(&d->wake, 0x7fffffff);
	}
}

/* The section that s was in when the writer began has ended. */
static bool slot_passed(struct rslot *s, u64 target)
{
	u64 epoch = host_load_acquire(&s->epoch);

	return !epoch || epoch >= target;
}

void host_synchronize_kick(struct host_rdomain *d, void (*kick)(void *arg), void *arg)
{
	unsigned int i, tries = 0;
	u64 target;

	host_mutex_lock(&d->sync_lock);
	/* Full barrier: what the writer published before is visible to any reader that shows the
	 * new epoch. */
	target = host_fetch_add(&d->epoch, 1) + 1;
	host_fetch_add(&d->writers, 1);
	if (kick)
		kick(arg);
	for (i = 0; i < d->nr; i++) {
		while (!slot_passed(&d->slots[i], target)) {
			u32 wake = host_load_acquire(&d->wake);

			if (slot_passed(&d->slots[i], target))
				break;
			if (tries++ < 100)
				host_cpu_relax();
			else
				sys_futex_wait(&d->wake, wake, host_monotonic_ns() + 200000);
		}
	}
	host_fetch_add(&d->writers, (u32)-1);
	host_mutex_unlock(&d->sync_lock);
}

void host_synchronize(struct host_rdomain *d)
{
	host_synchronize_kick(d, NULL, NULL);
}
