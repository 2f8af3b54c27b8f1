// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * cap.c - KVM_CHECK_EXTENSION and KVM_ENABLE_CAP. A capability stands here only if all of it works;
 * clients switch on whatever they see.
 */
#include "ioctl.h"

#define ROUTES		4096
#define MCE_BANKS	32
#define MSR_EXITS	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)
#define GUEST_DEBUG	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | \
			 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | \
			 KVM_GUESTDBG_BLOCKIRQ)
/* not OUT_7E_INC_RIP: an exit for OUT shows the RIP behind it for every port */
#define QUIRKS		(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE | \
			 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | \
			 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)
/* PAUSE and C-states cost no exit anyway; MWAIT would wait for nothing. */
#define DISABLE_EXITS	(KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE)
#define HYPERCALL_EXITS	BIT(KVM_HC_MAP_GPA_RANGE)
#define HALT_POLL_MAX	1000000000u
#define X2APIC_API	(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

/* docs/api-coverage.md has those with a value; what is not listed is 0. */
static const struct cap_row {
	u32 cap;
	u32 value;
} caps[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_VAPIC, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_NR_VCPUS, HV_MAX_VCPUS },
	{ KVM_CAP_NR_MEMSLOTS, HV_MAX_MEMSLOTS },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_COALESCED_MMIO, 2 },		/* the ring's page in the vCPU mapping */
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_IRQ_ROUTING, ROUTES },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_MCE, MCE_BANKS },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_ADJUST_CLOCK, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_PCI_SEGMENT, 1 },
	{ KVM_CAP_INTR_SHADOW, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_XCRS, 1 },
	{ KVM_CAP_TSC_CONTROL, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_MAX_VCPUS, HV_MAX_VCPUS },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_DEVICE_CTRL, 1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_DISABLE_QUIRKS, 1 },
	{ KVM_CAP_NESTED_STATE, NESTED_STATE_SIZE },
	{ KVM_CAP_X86_SMM, 1 },
	{ KVM_CAP_MULTI_ADDRESS_SPACE, HV_ADDRESS_SPACES },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_MAX_VCPU_ID, HV_MAX_VCPU_ID },
	{ KVM_CAP_X2APIC_API, X2APIC_API },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_X86_DISABLE_EXITS, DISABLE_EXITS },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1 },
	{ KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_HALT_POLL, 1 },
	{ KVM_CAP_STEAL_TIME, 1 },
	{ KVM_CAP_X86_USER_SPACE_MSR, MSR_EXITS },
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, GUEST_DEBUG },
	{ KVM_CAP_DIRTY_LOG_RING, 65536 * sizeof(struct kvm_dirty_gfn) },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_EXIT_HYPERCALL, HYPERCALL_EXITS },
	{ KVM_CAP_BINARY_STATS_FD, 1 },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1 },
	{ KVM_CAP_XSAVE2, sizeof(struct kvm_xsave) },
	{ KVM_CAP_VM_TSC_CONTROL, 1 },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 },
	{ KVM_CAP_DISABLE_QUIRKS2, QUIRKS },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 65536 * sizeof(struct kvm_dirty_gfn) },
};

int vm_check_extension(struct vm *vm, u32 cap)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i].cap == cap)
			return caps[i].value;
	return 0;
}

long sys_check_extension(u64 cap)
{
	return cap > 0xffffffff ? 0 : vm_check_extension(NULL, cap);
}

long vm_ioctl_check_extension(struct vm *vm, u64 cap)
{
	return cap > 0xffffffff ? 0 : vm_check_extension(vm, cap);
}

/* ---- KVM_ENABLE_CAP -------------------------------------------------------------------------- */

/* KVM_CAP_MAX_VCPU_ID: once, before the first vCPU, at most what is announced. */
static int set_max_vcpu_id(struct vm *vm, u64 max)
{
	int ret = -EINVAL;

	host_mutex_lock(&vm->lock);
	if (!vm->nr_vcpus && max && max <= HV_MAX_VCPU_ID &&
	    (!vm->priv->max_vcpu_id || vm->priv->max_vcpu_id == max)) {
		vm->priv->max_vcpu_id = max;
		ret = 0;
	}
	host_mutex_unlock(&vm->lock);
	return ret;
}

static int set_x2apic_api(struct vm *vm, u64 flags)
{
	if (flags & ~(u64)X2APIC_API)
		return -EINVAL;
	host_mutex_lock(&vm->lock);
	vm->priv->x2apic_api |= flags;
	if (vm->irqchip)
		irqchip_set_x2apic_api(vm->irqchip, vm->priv->x2apic_api);
	host_mutex_unlock(&vm->lock);
	return 0;
}

static int set_manual_dirty_log(struct vm *vm, u64 flags)
{
	if (flags & ~(u64)(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET))
		return -EINVAL;
	/* The second flag without the first means nothing. */
	if ((flags & KVM_DIRTY_LOG_INITIALLY_SET) && !(flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		return -EINVAL;
	host_mutex_lock(&vm->slots_lock);
	host_store_relaxed(&vm->priv->manual_dirty_flags, flags);
	vm->priv->manual_dirty_log = flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	host_mutex_unlock(&vm->slots_lock);
	return 0;
}

static int set_masked(u64 *where, u64 val, u64 mask)
{
	if (val & ~mask)
		return -EINVAL;
	host_store_relaxed(where, val);
	return 0;
}

/* KVM_CAP_DISABLE_QUIRKS and its stricter sister: what is set is off, everything else on. */
static int set_quirks(struct vm *vm, u64 off, bool strict)
{
	if (strict && (off & ~(u64)QUIRKS))
		return -EINVAL;
	host_mutex_lock(&vm->lock);
	host_store_relaxed(&vm->priv->quirks_off, off & QUIRKS);
	if (vm->irqchip)
		irqchip_set_lint0(vm->irqchip, vm_has_quirk(vm, KVM_X86_QUIRK_LINT0_REENABLED));
	host_mutex_unlock(&vm->lock);
	return 0;
}

/* KVM_CAP_X86_DISABLE_EXITS: before the first vCPU, so that its CPUID does not change. */
static int set_exits(struct vm *vm, u64 off)
{
	int ret = -EINVAL;

	if (off & ~(u64)DISABLE_EXITS)
		return -EINVAL;
	host_mutex_lock(&vm->lock);
	if (!vm->nr_vcpus) {
		host_store_relaxed(&vm->priv->exits_off, vm->priv->exits_off | off);
		ret = 0;
	}
	host_mutex_unlock(&vm->lock);
	return ret;
}

/**
 * KVM_ENABLE_CAP on a VM. -EINVAL: flags, not a capability to switch on, or arguments it does not
 * take.
 */
long vm_enable_cap(struct vm *vm, struct kvm_enable_cap *cap)
{
	struct vm_priv *p = vm->priv;
	u64 arg = cap->args[0];

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		return vm_split_irqchip(vm, arg);
	case KVM_CAP_X2APIC_API:
		return set_x2apic_api(vm, arg);
	case KVM_CAP_MAX_VCPU_ID:
		return set_max_vcpu_id(vm, arg);
	case KVM_CAP_MSR_PLATFORM_INFO:
		host_store_relaxed(&p->msr_platform_info, arg != 0);
		return 0;
	case KVM_CAP_EXCEPTION_PAYLOAD:
		host_store_relaxed(&p->exception_payload, arg != 0);
		return 0;
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
		host_store_relaxed(&p->exit_on_emulation_failure, arg != 0);
		return 0;
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		host_store_relaxed(&p->triple_fault_event, arg != 0);
		return 0;
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return dirty_ring_enable(vm, arg);
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return set_manual_dirty_log(vm, arg);
	case KVM_CAP_DISABLE_QUIRKS:
	case KVM_CAP_DISABLE_QUIRKS2:
		return set_quirks(vm, arg, cap->cap == KVM_CAP_DISABLE_QUIRKS2);
	case KVM_CAP_X86_DISABLE_EXITS:
		return set_exits(vm, arg);
	case KVM_CAP_HALT_POLL:
		host_store_relaxed(&p->halt_poll_ns, min_t(u64, arg, HALT_POLL_MAX));
		return 0;
	case KVM_CAP_EXIT_HYPERCALL:
		return set_masked(&p->hypercall_exits, arg, HYPERCALL_EXITS);
	case KVM_CAP_X86_USER_SPACE_MSR:
		return set_masked(&p->user_space_msr_mask, arg, MSR_EXITS);
	default:
		return -EINVAL;
	}
}

/** KVM_ENABLE_CAP on a vCPU. -EINVAL as above. */
long vcpu_enable_cap(struct vcpu *vcpu, struct kvm_enable_cap *cap)
{
	if (cap->flags || cap->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	vcpu->priv->enforce_pv_features = cap->args[0] != 0;
	return 0;
}

/* ---- KVM_X86_SET_MSR_FILTER ------------------------------------------------------------------ */

struct msr_range {
	u32 flags, base, nmsrs;
	u8 *bitmap;		/* a 1 allows what flags name */
};

struct msr_filter {
	bool default_allow;
	u32 nr;
	struct msr_range range[KVM_MSR_FILTER_MAX_RANGES];
};

bool vm_msr_allowed(struct vm *vm, u32 index, bool write)
{
	const struct msr_filter *f = host_load_acquire(&vm->priv->msr_filter);
	u32 type = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
	u32 i;

	/* x2APIC registers are the local APIC's, whatever the filter says. */
	if (likely(!f) || (index >= 0x800 && index <= 0x8ff))
		return true;
	for (i = 0; i < f->nr; i++) {
		const struct msr_range *r = &f->range[i];
		u32 n = index - r->base;

		if (n < r->nmsrs && (r->flags & type))
			return r->bitmap[n / 8] & 1u << (n % 8);
	}
	return f->default_allow;
}

static void filter_free(struct msr_filter *f)
{
	u32 i;

	for (i = 0; f && i < f->nr; i++)
		host_free(f->range[i].bitmap);
	host_free(f);
}

static int filter_add_range(struct msr_filter *f, const struct kvm_msr_filter_range *u)
{
	struct msr_range *r = &f->range[f->nr];
	size_t size;

	if ((u->flags & ~(u32)(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)) || !u->flags)
		return -EINVAL;
	size = ((u64)u->nmsrs + 63) / 64 * 8;
	if (size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	r->bitmap = host_zalloc(size);
	if (!r->bitmap)
		return -ENOMEM;
	f->nr++;
	r->flags = u->flags;
	r->base = u->base;
	r->nmsrs = u->nmsrs;
	return host_copy_from_caller(r->bitmap, (u64)(unsigned long)u->bitmap, size);
}

/**
 * KVM_X86_SET_MSR_FILTER: replace the filter; without any range it is switched off. -EINVAL: flags,
 * a bitmap too long, denial by default without ranges; -EFAULT; -ENOMEM. May sleep.
 */
long vm_set_msr_filter(struct vm *vm, struct kvm_msr_filter *u)
{
	struct msr_filter *f, *old;
	unsigned int i;
	int ret = 0;

	if (u->flags & ~(u32)KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	f = host_zalloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->default_allow = !(u->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (i = 0; i < ARRAY_SIZE(u->ranges) && !ret; i++)
		if (u->ranges[i].nmsrs)
			ret = filter_add_range(f, &u->ranges[i]);
	if (!ret && !f->nr && !f->default_allow)
		ret = -EINVAL;
	if (ret) {
		filter_free(f);
		return ret;
	}
	if (!f->nr) {
		filter_free(f);
		f = NULL;
	}
	host_mutex_lock(&vm->priv->irq_lock);
	old = vm->priv->msr_filter;
	/* pairs with the acquire in vm_msr_allowed() */
	host_store_release(&vm->priv->msr_filter, f);
	vm_quiesce(vm, REQ_EVENT);
	host_mutex_unlock(&vm->priv->irq_lock);
	filter_free(old);
	return 0;
}

void msr_filter_free(struct vm *vm)
{
	filter_free(vm->priv->msr_filter);
	vm->priv->msr_filter = NULL;
}
