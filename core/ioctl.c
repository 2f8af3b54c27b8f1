// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * ioctl.c - from an ioctl number to its handler.
 *
 * Each class of descriptor has a table. A row is found by the whole 32-bit number, because the low
 * byte is used more than once with another direction or size. The number also says how many bytes
 * to copy in and out; an INPUT row belongs to one of the few whose number claims the wrong
 * direction.
 */
#include "ioctl.h"

#define ARG_SIZE(nr)	(((nr) >> _IOC_SIZESHIFT) & _IOC_SIZEMASK)
#define ARG_IN(nr)	((nr) & ((u32)_IOC_WRITE << _IOC_DIRSHIFT))
#define ARG_OUT(nr)	((nr) & ((u32)_IOC_READ << _IOC_DIRSHIFT))

/* Arguments up to this size live on the stack. */
#define ARG_ON_STACK	576

enum row_kind {
	ROW_VALUE,		/* the argument is a number, or nothing */
	ROW_STRUCT,		/* copied as the number says */
	ROW_INPUT,		/* copied in, whatever the number says */
};

struct ioctl_row {
	u32 nr;
	enum row_kind kind;
	long (*fn)(void *obj, void *arg, u64 uarg);
};

/*
 * The rows, by the handler's shape: NONE(obj), VALUE(obj, number or pointer that it reads itself),
 * STRUCT(obj, copy), INPUT(obj, copy), LIST(obj, copy of the header, its address). System handlers
 * have no obj.
 */
#define SYS_ROWS(NONE, VALUE, STRUCT, INPUT, LIST)						\
	VALUE(KVM_GET_API_VERSION, sys_get_api_version)						\
	VALUE(KVM_CREATE_VM, sys_create_vm)							\
	VALUE(KVM_CHECK_EXTENSION, sys_check_extension)						\
	VALUE(KVM_GET_VCPU_MMAP_SIZE, sys_get_vcpu_mmap_size)					\
	LIST(KVM_GET_SUPPORTED_CPUID, sys_get_supported_cpuid, struct kvm_cpuid2)		\
	LIST(KVM_GET_EMULATED_CPUID, sys_get_emulated_cpuid, struct kvm_cpuid2)			\
	STRUCT(KVM_GET_DEVICE_ATTR, sys_get_device_attr, struct kvm_device_attr)		\
	STRUCT(KVM_HAS_DEVICE_ATTR, sys_has_device_attr, struct kvm_device_attr)		\
	LIST(KVM_GET_MSR_INDEX_LIST, sys_get_msr_index_list, struct kvm_msr_list)		\
	LIST(KVM_GET_MSR_FEATURE_INDEX_LIST, sys_get_msr_feature_index_list, struct kvm_msr_list) \
	LIST(KVM_GET_MSRS, sys_get_msrs, struct kvm_msrs)					\
	STRUCT(KVM_X86_GET_MCE_CAP_SUPPORTED, sys_get_mce_cap, u64)

#define VM_ROWS(NONE, VALUE, STRUCT, INPUT, LIST)						\
	VALUE(KVM_CHECK_EXTENSION, vm_ioctl_check_extension)					\
	VALUE(KVM_CREATE_VCPU, vm_create_vcpu)							\
	STRUCT(KVM_SET_USER_MEMORY_REGION, vm_ioctl_set_memory_region, struct kvm_userspace_memory_region) \
	VALUE(KVM_SET_NR_MMU_PAGES, vm_set_nr_mmu_pages)					\
	NONE(KVM_GET_NR_MMU_PAGES, vm_get_nr_mmu_pages)						\
	VALUE(KVM_SET_TSS_ADDR, vm_set_tss_addr)						\
	STRUCT(KVM_SET_IDENTITY_MAP_ADDR, vm_set_identity_map_addr, u64)			\
	NONE(KVM_CREATE_IRQCHIP, vm_create_irqchip)						\
	STRUCT(KVM_ENABLE_CAP, vm_enable_cap, struct kvm_enable_cap)				\
	STRUCT(KVM_IRQ_LINE, vm_irq_line, struct kvm_irq_level)					\
	STRUCT(KVM_IRQ_LINE_STATUS, vm_irq_line_status, struct kvm_irq_level)			\
	STRUCT(KVM_GET_IRQCHIP, vm_get_irqchip, struct kvm_irqchip)				\
	INPUT(KVM_SET_IRQCHIP, vm_set_irqchip, struct kvm_irqchip)				\
	LIST(KVM_SET_GSI_ROUTING, vm_set_gsi_routing, struct kvm_irq_routing)			\
	STRUCT(KVM_IRQFD, vm_irqfd, struct kvm_irqfd)						\
	STRUCT(KVM_IOEVENTFD, vm_ioeventfd, struct kvm_ioeventfd)				\
	STRUCT(KVM_SIGNAL_MSI, vm_signal_msi, struct kvm_msi)					\
	NONE(KVM_CREATE_PIT, vm_create_pit)							\
	STRUCT(KVM_CREATE_PIT2, vm_create_pit2, struct kvm_pit_config)				\
	STRUCT(KVM_GET_PIT, vm_get_pit, struct kvm_pit_state)					\
	INPUT(KVM_SET_PIT, vm_set_pit, struct kvm_pit_state)					\
	STRUCT(KVM_GET_PIT2, vm_get_pit2, struct kvm_pit_state2)				\
	STRUCT(KVM_SET_PIT2, vm_set_pit2, struct kvm_pit_state2)				\
	VALUE(KVM_REINJECT_CONTROL, vm_ioctl_reinject_control)					\
	STRUCT(KVM_SET_CLOCK, vm_set_clock, struct kvm_clock_data)				\
	STRUCT(KVM_GET_CLOCK, vm_get_clock, struct kvm_clock_data)				\
	NONE(KVM_GET_TSC_KHZ, vm_get_tsc_khz)							\
	VALUE(KVM_SET_TSC_KHZ, vm_set_tsc_khz)							\
	STRUCT(KVM_GET_DIRTY_LOG, vm_get_dirty_log, struct kvm_dirty_log)			\
	STRUCT(KVM_CLEAR_DIRTY_LOG, vm_clear_dirty_log, struct kvm_clear_dirty_log)		\
	NONE(KVM_RESET_DIRTY_RINGS, vm_reset_dirty_rings)					\
	STRUCT(KVM_REGISTER_COALESCED_MMIO, vm_register_coalesced, struct kvm_coalesced_mmio_zone) \
	STRUCT(KVM_UNREGISTER_COALESCED_MMIO, vm_unregister_coalesced, struct kvm_coalesced_mmio_zone)	\
	VALUE(KVM_SET_BOOT_CPU_ID, vm_set_boot_cpu_id)						\
	STRUCT(KVM_X86_SET_MSR_FILTER, vm_set_msr_filter, struct kvm_msr_filter)		\
	STRUCT(KVM_CREATE_DEVICE, vm_create_device, struct kvm_create_device)			\
	NONE(KVM_GET_STATS_FD, vm_get_stats_fd)

#define VCPU_ROWS(NONE, VALUE, STRUCT, INPUT, LIST)						\
	STRUCT(KVM_GET_REGS, vcpu_get_regs, struct kvm_regs)					\
	STRUCT(KVM_SET_REGS, vcpu_set_regs, struct kvm_regs)					\
	STRUCT(KVM_GET_SREGS, vcpu_get_sregs, struct kvm_sregs)					\
	STRUCT(KVM_SET_SREGS, vcpu_set_sregs, struct kvm_sregs)					\
	STRUCT(KVM_GET_SREGS2, vcpu_get_sregs2, struct kvm_sregs2)				\
	STRUCT(KVM_SET_SREGS2, vcpu_set_sregs2, struct kvm_sregs2)				\
	STRUCT(KVM_GET_FPU, vcpu_get_fpu, struct kvm_fpu)					\
	STRUCT(KVM_SET_FPU, vcpu_set_fpu, struct kvm_fpu)					\
	STRUCT(KVM_GET_XSAVE, vcpu_get_xsave, struct kvm_xsave)					\
	STRUCT(KVM_GET_XSAVE2, vcpu_get_xsave2, struct kvm_xsave)				\
	STRUCT(KVM_SET_XSAVE, vcpu_set_xsave, struct kvm_xsave)					\
	STRUCT(KVM_GET_XCRS, vcpu_get_xcrs, struct kvm_xcrs)					\
	STRUCT(KVM_SET_XCRS, vcpu_set_xcrs, struct kvm_xcrs)					\
	LIST(KVM_GET_NESTED_STATE, vcpu_get_nested_state, struct kvm_nested_state)		\
	LIST(KVM_SET_NESTED_STATE, vcpu_set_nested_state, struct kvm_nested_state)		\
	LIST(KVM_GET_MSRS, vcpu_get_msrs, struct kvm_msrs)					\
	LIST(KVM_SET_MSRS, vcpu_set_msrs, struct kvm_msrs)					\
	LIST(KVM_SET_CPUID, vcpu_ioctl_set_cpuid, struct kvm_cpuid)				\
	LIST(KVM_SET_CPUID2, vcpu_ioctl_set_cpuid2, struct kvm_cpuid2)				\
	LIST(KVM_GET_CPUID2, vcpu_ioctl_get_cpuid2, struct kvm_cpuid2)				\
	STRUCT(KVM_GET_LAPIC, vcpu_get_lapic, struct kvm_lapic_state)				\
	STRUCT(KVM_SET_LAPIC, vcpu_set_lapic, struct kvm_lapic_state)				\
	STRUCT(KVM_GET_MP_STATE, vcpu_get_mp_state, struct kvm_mp_state)			\
	STRUCT(KVM_SET_MP_STATE, vcpu_set_mp_state, struct kvm_mp_state)			\
	STRUCT(KVM_GET_VCPU_EVENTS, vcpu_get_events, struct kvm_vcpu_events)			\
	STRUCT(KVM_SET_VCPU_EVENTS, vcpu_set_events, struct kvm_vcpu_events)			\
	STRUCT(KVM_GET_DEBUGREGS, vcpu_get_debugregs, struct kvm_debugregs)			\
	STRUCT(KVM_SET_DEBUGREGS, vcpu_set_debugregs, struct kvm_debugregs)			\
	NONE(KVM_GET_TSC_KHZ, vcpu_get_tsc_khz)							\
	VALUE(KVM_SET_TSC_KHZ, vcpu_set_tsc_khz)						\
	STRUCT(KVM_HAS_DEVICE_ATTR, vcpu_has_attr, struct kvm_device_attr)			\
	STRUCT(KVM_GET_DEVICE_ATTR, vcpu_get_attr, struct kvm_device_attr)			\
	STRUCT(KVM_SET_DEVICE_ATTR, vcpu_set_attr, struct kvm_device_attr)			\
	STRUCT(KVM_ENABLE_CAP, vcpu_enable_cap, struct kvm_enable_cap)				\
	NONE(KVM_KVMCLOCK_CTRL, vcpu_kvmclock_ctrl)						\
	STRUCT(KVM_INTERRUPT, vcpu_interrupt, struct kvm_interrupt)				\
	NONE(KVM_NMI, vcpu_nmi)									\
	NONE(KVM_SMI, vcpu_smi)									\
	STRUCT(KVM_SET_GUEST_DEBUG, vcpu_set_guest_debug, struct kvm_guest_debug)		\
	STRUCT(KVM_TRANSLATE, vcpu_translate, struct kvm_translation)				\
	STRUCT(KVM_TPR_ACCESS_REPORTING, vcpu_tpr_access_reporting, struct kvm_tpr_access_ctl)	\
	STRUCT(KVM_SET_VAPIC_ADDR, vcpu_set_vapic_addr, struct kvm_vapic_addr)			\
	VALUE(KVM_SET_SIGNAL_MASK, vcpu_set_signal_mask)					\
	STRUCT(KVM_X86_SETUP_MCE, vcpu_setup_mce, u64)						\
	STRUCT(KVM_X86_SET_MCE, vcpu_set_mce, struct kvm_x86_mce)				\
	NONE(KVM_GET_STATS_FD, vcpu_get_stats_fd)

#define DEVICE_ROWS(NONE, VALUE, STRUCT, INPUT, LIST)						\
	STRUCT(KVM_SET_DEVICE_ATTR, device_set_attr, struct kvm_device_attr)			\
	VALUE(KVM_GET_DEVICE_ATTR, device_get_attr)						\
	STRUCT(KVM_HAS_DEVICE_ATTR, device_has_attr, struct kvm_device_attr)

/* ---- handlers too small for a file ----------------------------------------------------------- */

/**
 * KVM_SET_TSS_ADDR: three pages for VT-x's real mode; vendors that need none ignore it. -EINVAL:
 * above 4 GiB.
 */
static long vm_set_tss_addr(struct vm *vm, u64 addr)
{
	if (addr > 0x100000000UL - 3 * HV_PAGE_SIZE)
		return -EINVAL;
	vm->priv->tss_addr = addr;
	return 0;
}

/** KVM_SET_IDENTITY_MAP_ADDR: one page, as above. -EINVAL: a vCPU exists. */
static long vm_set_identity_map_addr(struct vm *vm, u64 *addr)
{
	long ret = -EINVAL;

	host_mutex_lock(&vm->lock);
	if (!vm->nr_vcpus) {
		vm->priv->identity_map_addr = *addr ? *addr : 0xfffbc000;
		ret = 0;
	}
	host_mutex_unlock(&vm->lock);
	return ret;
}

/** KVM_SET_BOOT_CPU_ID. -EBUSY: a vCPU exists. */
static long vm_set_boot_cpu_id(struct vm *vm, u64 id)
{
	long ret = -EBUSY;

	host_mutex_lock(&vm->lock);
	if (!vm->nr_vcpus) {
		vm->priv->bsp_id = id;
		ret = 0;
	}
	host_mutex_unlock(&vm->lock);
	return ret;
}

/* The number carries no size although there is an argument. */
static long vm_ioctl_reinject_control(struct vm *vm, u64 uarg)
{
	struct kvm_reinject_control c;

	return host_copy_from_caller(&c, uarg, sizeof(c)) ? -EFAULT : vm_reinject_control(vm, &c);
}

static long sys_get_api_version(u64 zero)
{
	return zero ? -EINVAL : KVM_API_VERSION;
}

static long sys_get_vcpu_mmap_size(u64 zero)
{
	return zero ? -EINVAL : (long)(HV_VCPU_MMAP_PAGES * HV_PAGE_SIZE);
}

/* The area is as large as KVM_CAP_XSAVE2 says, which is the old size. */
static long vcpu_get_xsave2(struct vcpu *vcpu, struct kvm_xsave *x)
{
	return vcpu_get_xsave(vcpu, x);
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* One wrapper a row, so that each handler is called with its own types. */
#define WRAP_NONE(nr, f)	static long do_##f(void *o, void *a, u64 u) { return f((OBJ *)o); }
#define WRAP_VALUE(nr, f)	static long do_##f(void *o, void *a, u64 u) { return f((OBJ *)o, u); }
#define WRAP_STRUCT(nr, f, t)	static long do_##f(void *o, void *a, u64 u) { return f((OBJ *)o, (t *)a); }	\
				static_assert(sizeof(t) == ARG_SIZE(nr), #nr);
#define WRAP_LIST(nr, f, t)	static long do_##f(void *o, void *a, u64 u) { return f((OBJ *)o, (t *)a, u); }	\
				static_assert(sizeof(t) == ARG_SIZE(nr), #nr);
#define SYS_VALUE(nr, f)	static long do_##f(void *o, void *a, u64 u) { return f(u); }
#define SYS_STRUCT(nr, f, t)	static long do_##f(void *o, void *a, u64 u) { return f((t *)a); }
#define SYS_LIST(nr, f, t)	static long do_##f(void *o, void *a, u64 u) { return f((t *)a, u); }

#define ROW_OF_VALUE(nr_, f)		{ .nr = (u32)(nr_), .kind = ROW_VALUE, .fn = do_##f },
#define ROW_OF_STRUCT(nr_, f, t)	{ .nr = (u32)(nr_), .kind = ROW_STRUCT, .fn = do_##f },
#define ROW_OF_INPUT(nr_, f, t)		{ .nr = (u32)(nr_), .kind = ROW_INPUT, .fn = do_##f },
#define TABLE(rows)	{ rows(ROW_OF_VALUE, ROW_OF_VALUE, ROW_OF_STRUCT, ROW_OF_INPUT, ROW_OF_STRUCT) }

SYS_ROWS(SYS_NONE, SYS_VALUE, SYS_STRUCT, SYS_STRUCT, SYS_LIST)
#define OBJ struct vm
VM_ROWS(WRAP_NONE, WRAP_VALUE, WRAP_STRUCT, WRAP_STRUCT, WRAP_LIST)
#undef OBJ
#define OBJ struct vcpu
VCPU_ROWS(WRAP_NONE, WRAP_VALUE, WRAP_STRUCT, WRAP_STRUCT, WRAP_LIST)
#undef OBJ
#define OBJ struct vm_device
DEVICE_ROWS(WRAP_NONE, WRAP_VALUE, WRAP_STRUCT, WRAP_STRUCT, WRAP_LIST)
#undef OBJ

static const struct ioctl_row sys_table[] = TABLE(SYS_ROWS);
static const struct ioctl_row vm_table[] = TABLE(VM_ROWS);
static const struct ioctl_row vcpu_table[] = TABLE(VCPU_ROWS);
static const struct ioctl_row device_table[] = TABLE(DEVICE_ROWS);

static const struct ioctl_row *row_find(const struct ioctl_row *table, unsigned int n, u32 nr)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (table[i].nr == nr)
			return &table[i];
	return NULL;
}

/* ---- the argument's way in and out ----------------------------------------------------------- */

static long call_with(const struct ioctl_row *row, void *obj, void *buf, u64 uarg)
{
	u32 size = ARG_SIZE(row->nr);
	long ret;

	if (ARG_IN(row->nr) || row->kind == ROW_INPUT) {
		if (host_copy_from_caller(buf, uarg, size))
			return -EFAULT;
	} else {
		host_memset(buf, 0, size);
	}
	ret = row->fn(obj, buf, uarg);
	if (ret >= 0 && ARG_OUT(row->nr) && row->kind != ROW_INPUT &&
	    host_copy_to_caller(uarg, buf, size))
		return -EFAULT;
	return ret;
}

static __attribute__((__noinline__)) long call_on_stack(const struct ioctl_row *row, void *obj,
							u64 uarg)
{
	u64 buf[ARG_ON_STACK / 8];

	return call_with(row, obj, buf, uarg);
}

static long call(const struct ioctl_row *row, void *obj, u64 uarg)
{
	void *buf;
	long ret;

	if (row->kind == ROW_VALUE)
		return row->fn(obj, NULL, uarg);
	if (ARG_SIZE(row->nr) <= ARG_ON_STACK)
		return call_on_stack(row, obj, uarg);
	buf = host_zalloc(ARG_SIZE(row->nr));
	if (!buf)
		return -ENOMEM;
	ret = call_with(row, obj, buf, uarg);
	host_free(buf);
	return ret;
}

/* ---- the doors ------------------------------------------------------------------------------- */

long core_system_ioctl(u32 nr, u64 arg)
{
	const struct ioctl_row *row = row_find(sys_table, ARRAY_SIZE(sys_table), nr);

	return row ? call(row, NULL, arg) : -ENOTTY;
}

/* On an object of that VM's, which only who created the VM may use. */
static long call_as_owner(struct vm *vm, const struct ioctl_row *table, unsigned int n, void *obj,
			  u32 nr, u64 arg)
{
	const struct ioctl_row *row;

	if (!glue_same_owner(vm->priv->owner))
		return -EIO;
	row = row_find(table, n, nr);
	return row ? call(row, obj, arg) : -ENOTTY;
}

long core_vm_ioctl(struct vm *vm, u32 nr, u64 arg)
{
	return call_as_owner(vm, vm_table, ARRAY_SIZE(vm_table), vm, nr, arg);
}

long core_device_ioctl(struct vm_device *d, u32 nr, u64 arg)
{
	return call_as_owner(d->vm, device_table, ARRAY_SIZE(device_table), d, nr, arg);
}

long core_vcpu_ioctl(struct vcpu *vcpu, u32 nr, u64 arg)
{
	const struct ioctl_row *row = NULL;
	long ret;

	if (!glue_same_owner(vcpu->vm->priv->owner))
		return -EIO;
	if (likely(nr == KVM_RUN)) {
		if (arg)
			return -EINVAL;
	} else {
		row = row_find(vcpu_table, ARRAY_SIZE(vcpu_table), nr);
		if (!row)
			return -ENOTTY;
	}
	host_mutex_lock(&vcpu->mutex);
	ret = row ? call(row, vcpu, arg) : vcpu_run(vcpu);
	host_mutex_unlock(&vcpu->mutex);
	return ret;
}
