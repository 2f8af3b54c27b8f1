/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Locks in the order in which a thread may take them, with what each covers. A lock may be taken while any lock
 * above it in the list is held, never one below. docs/locking.md explains; keep both true.
 *
 * vcpu->mutex		one ioctl at a time on a vCPU; all of *vcpu->st, vcpu->xsave and vcpu->priv but the marked
 *			atomics; held for all of KVM_RUN
 * vm->lock		vm->vcpus[], nr_vcpus, irqchip creation, capabilities switched on
 * vm->slots_lock	writers of vm->memslots, dirty log ioctls
 * priv->irq_lock	writers of a VM's irqfds, ioeventfds, coalesced zones and MSR filter
 * irqchip->lock	routing table writers, PIC, PIT, I/O APIC registers (spinlock, short)
 * lapic->lock		one local APIC's registers against other vCPUs and timers (spinlock, innermost but for
 *			host-internal locks)
 * priv->resample_lock	the list of irqfds that want to hear of an EOI (spinlock; nothing is taken under it)
 *
 * Readers of memslots and the routing table take no lock: host_read_lock(vm->rdomain, ...).
 */
#ifndef CORE_LOCKING_H
#define CORE_LOCKING_H
#endif
