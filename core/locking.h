/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Locks in the order in which a thread may take them, with what each covers. A lock may be taken
 * while any lock above it in the list is held, never one below. docs/locking.md explains; keep both
 * true.
 *
 * vcpu->mutex		one ioctl at a time on a vCPU; all of *vcpu->st, vcpu->xsave and vcpu->priv
 *			but the marked atomics; held for all of KVM_RUN
 * vm->lock		vm->vcpus[], nr_vcpus, irqchip creation, capabilities switched on, the
 *			device's list of VFIO groups
 * vm->slots_lock	writers of vm->memslots, dirty log ioctls
 * priv->irq_lock	writers of a VM's irqfds, ioeventfds, coalesced zones and MSR filter
 *
 * Spinlocks, held shortly:
 * irqchip->lock	registers of PIC, PIT and I/O APIC, levels of their pins
 * lapic->lock		the timer of one local APIC; its other registers need no lock, see
 *			irqchip/private.h
 * priv->resample_lock	the list of irqfds that want to hear of an EOI; nothing is taken under it
 * priv->tsc_lock	a VM's reference for kvmclock and its last host write of a TSC; nothing is
 *			taken under it
 * priv->ring_lock	writers of a VM's coalesced ring; nothing is taken under it
 * dirty_ring.lock	who adds entries to one vCPU's dirty ring; nothing is taken under it
 * sv->revoke_lock	vendor/soft: what other vCPUs want of one vCPU; nothing is taken under it
 *
 * Locks inside host/ and the glue are taken under all of these and take none of them.
 *
 * Readers of memslots and of what irq_lock's writers publish take no lock:
 * host_read_lock(vm->rdomain, ...). So do those of the interrupt routing, with irqchip->rdomain;
 * its writers need no lock either, each publishes a whole table by one exchange.
 */
#ifndef CORE_LOCKING_H
#define CORE_LOCKING_H
#endif
