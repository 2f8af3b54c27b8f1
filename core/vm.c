// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vm.c - the life of a VM: vm_create(), arch_vm_init(), hardware_enable_all() for the first one,
 * references, the end.
 *
 * A VM lives while a descriptor of it, of one of its vCPUs, of their statistics or of its device lives. A vCPU
 * lives as long as its VM: closing its descriptor leaves it, and its id, in place.
 */
#include "ioctl.h"

/*
 * VMs that need the processor's virtualisation switched on, and the lock for going from and to
 * none.
 */
static struct {
	u32 state;		/* 0 untouched, 1 being set up, 2 ready; atomic */
	struct host_mutex lock;
	u32 vms;
	u32 serial;
} hw;

static void hw_lock(void)
{
	if (host_load_acquire(&hw.state) != 2) {
		if (host_cmpxchg(&hw.state, 0, 1) == 0) {
			host_mutex_init(&hw.lock);
			/* pairs with the acquire above and below */
			host_store_release(&hw.state, 2);
		}
		while (host_load_acquire(&hw.state) != 2)
			host_yield();
	}
	host_mutex_lock(&hw.lock);
}

/**
 * Count a VM; for the first one switch virtualisation on on every CPU. 0 or the vendor's -errno.
 * May sleep.
 */
int hardware_enable_all(const struct vendor_ops *vendor)
{
	int ret = 0;

	hw_lock();
	if (hw.vms == 0 && vendor->cpu_enable)
		ret = vendor->cpu_enable();
	if (!ret)
		hw.vms++;
	host_mutex_unlock(&hw.lock);
	return ret;
}

/** Undo one hardware_enable_all(). */
void hardware_disable_all(const struct vendor_ops *vendor)
{
	hw_lock();
	if (--hw.vms == 0 && vendor->cpu_disable)
		vendor->cpu_disable();
	host_mutex_unlock(&hw.lock);
}

int supported_xcr0(const struct vendor_ops *vendor, u64 *xcr0)
{
	struct kvm_cpuid_entry2 *e = host_zalloc(HV_MAX_CPUID * sizeof(*e));
	int i, n;

	if (!e)
		return -ENOMEM;
	*xcr0 = XCR0_X87 | XCR0_SSE;
	n = cpuid_supported(vendor, e, HV_MAX_CPUID);
	for (i = 0; i < n; i++)
		if (e[i].function == 0xd && e[i].index == 0)
			*xcr0 = e[i].eax | (u64)e[i].edx << 32;
	host_free(e);
	return 0;
}

/* The architecture's part of a new VM: clock, TSC, what the processor offers. Nothing to undo. */
static int arch_vm_init(struct vm *vm)
{
	struct vm_priv *p = vm->priv;

	p->clock_offset = -(s64)host_monotonic_ns();
	p->default_tsc_khz = host_tsc_khz();
	p->identity_map_addr = 0xfffbc000;
	p->msr_platform_info = true;
	host_spin_init(&p->tsc_lock);
	host_spin_init(&p->ring_lock);
	host_mutex_init(&p->irq_lock);
	host_spin_init(&p->resample_lock);
	return supported_xcr0(vm->vendor, &p->supported_xcr0);
}

/**
 * A new VM without memory and vCPUs, owned by the calling process, with one reference.
 * 0 and *@out; -ENOMEM; -ENODEV: no vendor for this machine; or what the vendor says.
 */
int vm_create(struct vm **out)
{
	const struct vendor_ops *vendor;
	const char *why = NULL;
	struct vm *vm;
	int ret;

	vendor = glue_vendor(&why);
	if (!vendor)
		return -ENODEV;
	vm = host_zalloc(sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	ret = -ENOMEM;
	vm->priv = host_zalloc(sizeof(*vm->priv));
	if (!vm->priv)
		goto err_vm;
	vm->vendor = vendor;
	vm->priv->refs = 1;
	vm->priv->owner = glue_owner_token();
	vm->priv->serial = host_fetch_add(&hw.serial, 1);
	ret = vm_stats_create(vm);
	if (ret)
		goto err_priv;
	ret = -ENOMEM;
	host_mutex_init(&vm->lock);
	host_mutex_init(&vm->slots_lock);
	vm->rdomain = host_rdomain_create(HV_MAX_VCPUS + 1);
	if (!vm->rdomain)
		goto err_stats;
	ret = memslots_init(vm);
	if (ret)
		goto err_rdomain;
	ret = arch_vm_init(vm);
	if (ret)
		goto err_slots;
	ret = hardware_enable_all(vendor);
	if (ret)
		goto err_slots;
	if (vendor->vm_init) {
		host_mutex_lock(&vm->lock);
		ret = vendor->vm_init(vm);
		host_mutex_unlock(&vm->lock);
		if (ret)
			goto err_hw;
	}
	*out = vm;
	return 0;

err_hw:
	hardware_disable_all(vendor);
err_slots:
	memslots_destroy(vm);
err_rdomain:
	host_rdomain_destroy(vm->rdomain);
err_stats:
	vm_stats_destroy(vm);
err_priv:
	host_free(vm->priv);
err_vm:
	host_free(vm);
	return ret;
}

/*
 * The last reference is gone: no thread is in a call on this VM. What fires by itself is stopped
 * first.
 */
static void vm_destroy(struct vm *vm)
{
	u32 i;

	irqfds_destroy(vm);
	for (i = 0; i < vm->nr_vcpus; i++)
		vcpu_destroy(vm->vcpus[i]);
	if (vm->irqchip)
		irqchip_destroy(vm->irqchip);
	ioeventfds_destroy(vm);
	coalesced_destroy(vm);
	msr_filter_free(vm);
	if (vm->vendor->vm_destroy)
		vm->vendor->vm_destroy(vm);
	hardware_disable_all(vm->vendor);
	memslots_destroy(vm);
	host_rdomain_destroy(vm->rdomain);
	vm_stats_destroy(vm);
	host_free(vm->priv);
	host_free(vm);
}

void core_vm_get(struct vm *vm)
{
	host_fetch_add(&vm->priv->refs, 1);
}

void core_vm_put(struct vm *vm)
{
	if (host_fetch_add(&vm->priv->refs, -1u) == 1)
		vm_destroy(vm);
}

/**
 * KVM_CREATE_VM: a descriptor. -EINVAL: @type is not 0 (the only one on x86 in Linux 6.1); else as
 * vm_create(), or
 * -EMFILE and the like from the descriptor.
 */
long sys_create_vm(u64 type)
{
	struct vm *vm;
	int ret;

	if (type)
		return -EINVAL;
	ret = vm_create(&vm);
	if (ret)
		return ret;
	ret = glue_fd_new(GLUE_VM, vm, NULL, "kvm-vm");
	if (ret < 0)
		core_vm_put(vm);
	return ret;
}
