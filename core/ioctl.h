/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * ioctl.h - the typed handlers behind the tables in ioctl.c, by file. Each returns >= 0 or -errno
 * and leaves the object as it was when it fails. Handlers of a vCPU run with its mutex held and
 * outside KVM_RUN.
 *
 * A handler's argument has been copied in (and is copied out after success) as the number's
 * direction says. uarg is the caller's pointer, for what follows a header of variable length and
 * for answers that go with an error.
 */
#ifndef CORE_IOCTL_H
#define CORE_IOCTL_H

#include "private.h"
#include "entry.h"

/* vm.c */
long sys_create_vm(u64 type);
int vm_create(struct vm **out);
/* XCR0 bits that CPUID leaf 0xd will offer; x87 and SSE where the host has no XSAVE. 0, -ENOMEM */
int supported_xcr0(const struct vendor_ops *vendor, u64 *xcr0);
void hardware_disable_all(const struct vendor_ops *vendor);
int hardware_enable_all(const struct vendor_ops *vendor);

/* vcpu.c */
long vm_create_vcpu(struct vm *vm, u64 id);
int vcpu_create(struct vm *vm, u32 id, struct vcpu **out);
void vcpu_destroy(struct vcpu *vcpu);

/* memslot.c */
int memslots_init(struct vm *vm);
void memslots_destroy(struct vm *vm);
/* The published table of address space as, for a holder of slots_lock. */
struct memslots *vm_memslots(struct vm *vm, unsigned int as);
long vm_ioctl_set_memory_region(struct vm *vm, struct kvm_userspace_memory_region *r);
long vm_set_nr_mmu_pages(struct vm *vm, u64 nr);
long vm_get_nr_mmu_pages(struct vm *vm);

/* dirty.c */
u64 dirty_bitmap_words(u64 npages);
u64 *dirty_bitmap_alloc(struct vm *vm, u64 npages);
long vm_get_dirty_log(struct vm *vm, struct kvm_dirty_log *log);
long vm_clear_dirty_log(struct vm *vm, struct kvm_clear_dirty_log *log);
void dirty_ring_clear_page(struct vm *vm, u32 id, u64 offset);

/* dirty_ring.c */
u32 dirty_ring_pages(struct vm *vm);
void dirty_ring_init(struct vcpu *vcpu);
long dirty_ring_enable(struct vm *vm, u64 bytes);
long vm_reset_dirty_rings(struct vm *vm);

/* cap.c */
long sys_check_extension(u64 cap);
long vm_ioctl_check_extension(struct vm *vm, u64 cap);
long vm_enable_cap(struct vm *vm, struct kvm_enable_cap *cap);
long vcpu_enable_cap(struct vcpu *vcpu, struct kvm_enable_cap *cap);
long vm_set_msr_filter(struct vm *vm, struct kvm_msr_filter *f);
void msr_filter_free(struct vm *vm);

/* irq.c */
long vm_create_irqchip(struct vm *vm);
int vm_split_irqchip(struct vm *vm, u64 pins);
long vm_irq_line(struct vm *vm, struct kvm_irq_level *l);
long vm_irq_line_status(struct vm *vm, struct kvm_irq_level *l);
long vm_get_irqchip(struct vm *vm, struct kvm_irqchip *chip);
long vm_set_irqchip(struct vm *vm, struct kvm_irqchip *chip);
long vm_set_gsi_routing(struct vm *vm, struct kvm_irq_routing *r, u64 uarg);
long vm_signal_msi(struct vm *vm, struct kvm_msi *msi);
long vm_create_pit(struct vm *vm);
long vm_create_pit2(struct vm *vm, struct kvm_pit_config *c);
long vm_get_pit(struct vm *vm, struct kvm_pit_state *s);
long vm_set_pit(struct vm *vm, struct kvm_pit_state *s);
long vm_get_pit2(struct vm *vm, struct kvm_pit_state2 *s);
long vm_set_pit2(struct vm *vm, struct kvm_pit_state2 *s);
long vm_reinject_control(struct vm *vm, struct kvm_reinject_control *c);
long vcpu_get_lapic(struct vcpu *vcpu, struct kvm_lapic_state *s);
long vcpu_set_lapic(struct vcpu *vcpu, struct kvm_lapic_state *s);

/* irqfd.c, ioeventfd.c, coalesced.c */
long vm_irqfd(struct vm *vm, struct kvm_irqfd *a);
void irqfds_destroy(struct vm *vm);
long vm_ioeventfd(struct vm *vm, struct kvm_ioeventfd *a);
void ioeventfds_destroy(struct vm *vm);
long vm_register_coalesced(struct vm *vm, struct kvm_coalesced_mmio_zone *z);
long vm_unregister_coalesced(struct vm *vm, struct kvm_coalesced_mmio_zone *z);
void coalesced_destroy(struct vm *vm);

/* device.c */
long vm_create_device(struct vm *vm, struct kvm_create_device *c);
long device_set_attr(struct vm_device *d, struct kvm_device_attr *a);
long device_get_attr(struct vm_device *d, u64 uarg);
long device_has_attr(struct vm_device *d, struct kvm_device_attr *a);

/* state.c */
long vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *r);
long vcpu_set_regs(struct vcpu *vcpu, struct kvm_regs *r);
long vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *s);
long vcpu_set_sregs(struct vcpu *vcpu, struct kvm_sregs *s);
long vcpu_get_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *s);
long vcpu_set_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *s);
long vcpu_get_debugregs(struct vcpu *vcpu, struct kvm_debugregs *d);
long vcpu_set_debugregs(struct vcpu *vcpu, struct kvm_debugregs *d);
long vcpu_get_mp_state(struct vcpu *vcpu, struct kvm_mp_state *s);
long vcpu_set_mp_state(struct vcpu *vcpu, struct kvm_mp_state *s);
long vcpu_translate(struct vcpu *vcpu, struct kvm_translation *t);

/* xstate.c */
void xstate_reset(u8 *xsave);
long vcpu_get_fpu(struct vcpu *vcpu, struct kvm_fpu *f);
long vcpu_set_fpu(struct vcpu *vcpu, struct kvm_fpu *f);
long vcpu_get_xsave(struct vcpu *vcpu, struct kvm_xsave *x);
long vcpu_set_xsave(struct vcpu *vcpu, struct kvm_xsave *x);
long vcpu_get_xcrs(struct vcpu *vcpu, struct kvm_xcrs *x);
long vcpu_set_xcrs(struct vcpu *vcpu, struct kvm_xcrs *x);

/* event.c */
long vcpu_get_events(struct vcpu *vcpu, struct kvm_vcpu_events *ev);
long vcpu_set_events(struct vcpu *vcpu, struct kvm_vcpu_events *ev);
long vcpu_interrupt(struct vcpu *vcpu, struct kvm_interrupt *irq);
long vcpu_nmi(struct vcpu *vcpu);
long vcpu_set_guest_debug(struct vcpu *vcpu, struct kvm_guest_debug *dbg);
long vcpu_setup_mce(struct vcpu *vcpu, u64 *mcg_cap);
long vcpu_set_mce(struct vcpu *vcpu, struct kvm_x86_mce *mce);
long sys_get_mce_cap(u64 *mcg_cap);
long vcpu_set_signal_mask(struct vcpu *vcpu, u64 uarg);

/* policy.c */
long sys_get_supported_cpuid(struct kvm_cpuid2 *c, u64 uarg);
long sys_get_emulated_cpuid(struct kvm_cpuid2 *c, u64 uarg);
long sys_get_device_attr(struct kvm_device_attr *a);
long sys_has_device_attr(struct kvm_device_attr *a);
long vcpu_ioctl_set_cpuid(struct vcpu *vcpu, struct kvm_cpuid *c, u64 uarg);
long sys_get_msr_index_list(struct kvm_msr_list *l, u64 uarg);
long sys_get_msr_feature_index_list(struct kvm_msr_list *l, u64 uarg);
long sys_get_msrs(struct kvm_msrs *m, u64 uarg);
long vcpu_ioctl_set_cpuid2(struct vcpu *vcpu, struct kvm_cpuid2 *c, u64 uarg);
long vcpu_ioctl_get_cpuid2(struct vcpu *vcpu, struct kvm_cpuid2 *c, u64 uarg);
long vcpu_get_nested_state(struct vcpu *vcpu, struct kvm_nested_state *s, u64 uarg);
long vcpu_set_nested_state(struct vcpu *vcpu, struct kvm_nested_state *s, u64 uarg);
#define NESTED_STATE_SIZE	128	/* the header: guests have nothing to nest */
long vcpu_get_msrs(struct vcpu *vcpu, struct kvm_msrs *m, u64 uarg);
long vcpu_set_msrs(struct vcpu *vcpu, struct kvm_msrs *m, u64 uarg);

/* clock.c */
long vm_get_clock(struct vm *vm, struct kvm_clock_data *d);
long vm_set_clock(struct vm *vm, struct kvm_clock_data *d);
long vcpu_get_tsc_khz(struct vcpu *vcpu);
long vcpu_set_tsc_khz(struct vcpu *vcpu, u64 khz);
long vm_get_tsc_khz(struct vm *vm);
long vm_set_tsc_khz(struct vm *vm, u64 khz);
long vcpu_has_attr(struct vcpu *vcpu, struct kvm_device_attr *a);
long vcpu_get_attr(struct vcpu *vcpu, struct kvm_device_attr *a);
long vcpu_set_attr(struct vcpu *vcpu, struct kvm_device_attr *a);
long vcpu_kvmclock_ctrl(struct vcpu *vcpu);

/* smm.c */
long vcpu_smi(struct vcpu *vcpu);

/* vapic.c */
long vcpu_set_vapic_addr(struct vcpu *vcpu, struct kvm_vapic_addr *a);
long vcpu_tpr_access_reporting(struct vcpu *vcpu, struct kvm_tpr_access_ctl *c);

/* stat.c */
long vm_get_stats_fd(struct vm *vm);
long vcpu_get_stats_fd(struct vcpu *vcpu);

#endif
