// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vcpu.c - the life of a vCPU, requests to it, and what the interrupt controllers want of it.
 */
#include "ioctl.h"

#define XSAVE_PAGES	1	/* 4096 bytes: the client's struct kvm_xsave */

static_assert(sizeof(struct kvm_run) <= HV_PAGE_SIZE, "kvm_run is one page of the mapping");

/* ---- requests -------------------------------------------------------------------------------- */

void vcpu_request(struct vcpu *v, enum vcpu_req r)
{
	host_fetch_or(&v->requests, BIT(r));
	host_wake(&v->waitq);
	/* pairs with the run loop's: it sets in_guest before it looks at requests for the last
	 * time */
	host_mb();
	if (host_load_relaxed(&v->in_guest))
		v->vm->vendor->kick(v);
}

static void request_all(struct vm *vm, enum vcpu_req r)
{
	/* pairs with the release in vm_create_vcpu() */
	u32 i, nr = host_load_acquire(&vm->nr_vcpus);

	for (i = 0; i < nr; i++)
		vcpu_request(vm->vcpus[i], r);
}

/* Until no vCPU is in guest mode that has not looked at r since it was requested. */
static void wait_all(struct vm *vm, enum vcpu_req r)
{
	u32 i, nr = host_load_acquire(&vm->nr_vcpus);

	for (i = 0; i < nr; i++) {
		struct vcpu *v = vm->vcpus[i];
		unsigned int spins = 0;

		while (host_load_acquire(&v->in_guest) && vcpu_has_request(v, r)) {
			/* Kicked threads leave within microseconds, unless the host has taken their
			 * CPU away. */
			if (++spins < 1000)
				host_cpu_relax();
			else
				host_yield();
		}
	}
}

void vm_request_sync(struct vm *vm, enum vcpu_req r)
{
	request_all(vm, r);
	wait_all(vm, r);
}

struct quiesce {
	struct vm *vm;
	enum vcpu_req r;
};

static void quiesce_kick(void *arg)
{
	struct quiesce *q = arg;

	request_all(q->vm, q->r);
}

/*
 * Both waits are needed. A vCPU may go back into the guest between a kick and the moment from which
 * host_synchronize() counts, and then stay; so the kick comes after that moment. And one that began
 * its section later is not waited for there, but may still hold translations from before it looked
 * at the request.
 */
void vm_quiesce(struct vm *vm, enum vcpu_req r)
{
	struct quiesce q = { .vm = vm, .r = r };

	if (r == REQ_TLB_FLUSH)
		host_fetch_add(&vm->priv->stat->tlb_shootdowns, 1);
	host_synchronize_kick(vm->rdomain, quiesce_kick, &q);
	wait_all(vm, r);
}

/* ---- creation and end ------------------------------------------------------------------------ */

/* Pages shared with the client, kept beside the vCPU for glue_shared_free(). */
struct vcpu_alloc {
	struct vcpu vcpu;
	struct vcpu_priv priv;
	struct glue_shared shared;
};

/** Free a vCPU that no thread uses; its VM still stands. */
void vcpu_destroy(struct vcpu *vcpu)
{
	struct vcpu_alloc *a = container_of(vcpu, struct vcpu_alloc, vcpu);
	unsigned int pages = (sizeof(*a) + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;

	if (vcpu->lapic)
		lapic_destroy(vcpu->lapic);
	vcpu->vm->vendor->vcpu_destroy(vcpu);
	host_pages_free(vcpu->xsave, XSAVE_PAGES);
	glue_shared_free(&a->shared);
	vcpu_stats_destroy(vcpu);
	host_pages_free(a, pages);
}

/* vcpu->mutex of the new vCPU held, so that nobody can use its descriptor before it is complete. */
static void vcpu_power_up(struct vcpu *vcpu)
{
	struct vm_priv *vp = vcpu->vm->priv;
	struct vcpu_priv *p = vcpu->priv;
	bool bsp = vcpu->id == vp->bsp_id;

	tsc_init(vcpu);
	p->apic_base = 0xfee00000 | APIC_BASE_ENABLE | (bsp ? APIC_BASE_BSP : 0);
	p->extint_vector = -1;
	p->pv_poll_control = 1;
	xstate_reset(vcpu->xsave);
	vcpu_emulate_init(vcpu);
	vcpu_reset(vcpu, false);
	if (vcpu->lapic)
		lapic_set_base_msr(vcpu->lapic, p->apic_base, true);
	/* Application processors wait for INIT and SIPI, if there is an APIC in here to receive
	 * them. */
	vcpu->mp_state = bsp || !vcpu->lapic ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
	vcpu->vm->vendor->regs_changed(vcpu, REGS_ALL);
}

/**
 * A vCPU with APIC id @id in its power-up state; not yet in @vm's list. vm->lock held; may sleep.
 * 0 and *@out with its mutex locked; -ENOMEM or what the vendor or the APIC say.
 */
int vcpu_create(struct vm *vm, u32 id, struct vcpu **out)
{
	unsigned int pages = (sizeof(struct vcpu_alloc) + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;
	const struct glue_shared *first = NULL;
	struct vcpu_alloc *a;
	struct vcpu *vcpu;
	int ret;

	host_assert_mutex_held(&vm->lock);
	if (vm->nr_vcpus)
		first = &container_of(vm->vcpus[0], struct vcpu_alloc, vcpu)->shared;
	a = host_pages_alloc(pages);
	if (!a)
		return -ENOMEM;
	vcpu = &a->vcpu;
	vcpu->vm = vm;
	vcpu->priv = &a->priv;
	vcpu->index = vm->nr_vcpus;
	vcpu->id = id;
	host_mutex_init(&vcpu->mutex);
	host_waitq_init(&vcpu->waitq);
	ret = vcpu_stats_create(vcpu);
	if (ret)
		goto err_alloc;
	ret = -ENOMEM;
	vcpu->xsave = host_pages_alloc(XSAVE_PAGES);
	if (!vcpu->xsave)
		goto err_stats;
	ret = glue_shared_alloc(&a->shared, HV_VCPU_MMAP_PAGES, dirty_ring_pages(vm), first);
	if (ret)
		goto err_xsave;
	vcpu->run = a->shared.addr;
	dirty_ring_init(vcpu);
	ret = vm->vendor->vcpu_create(vcpu);
	if (ret)
		goto err_shared;
	/* Locked against the order of locking.h: nobody else can see this vCPU. */
	host_mutex_lock(&vcpu->mutex);
	if (vm->irqchip) {
		ret = lapic_create(&vcpu->lapic, vm->irqchip, vcpu, id);
		if (ret)
			goto err_vendor;
	}
	vcpu_power_up(vcpu);
	*out = vcpu;
	return 0;

err_vendor:
	host_mutex_unlock(&vcpu->mutex);
	vm->vendor->vcpu_destroy(vcpu);
err_shared:
	glue_shared_free(&a->shared);
err_xsave:
	host_pages_free(vcpu->xsave, XSAVE_PAGES);
err_stats:
	vcpu_stats_destroy(vcpu);
err_alloc:
	host_pages_free(a, pages);
	return ret;
}

/* "kvm-vcpu:" and the id in decimal. */
static void vcpu_fd_name(char *name, u32 id)
{
	static const char prefix[] = "kvm-vcpu:";
	char digits[10];
	unsigned int n = 0;

	host_memcpy(name, prefix, sizeof(prefix) - 1);
	name += sizeof(prefix) - 1;
	do {
		digits[n++] = '0' + id % 10;
		id /= 10;
	} while (id);
	while (n)
		*name++ = digits[--n];
	*name = 0;
}

static int vcpu_id_check(struct vm *vm, u64 id)
{
	u32 limit = vm->priv->max_vcpu_id ? vm->priv->max_vcpu_id : HV_MAX_VCPU_ID;
	u32 i;

	if (id >= limit || vm->nr_vcpus >= HV_MAX_VCPUS)
		return -EINVAL;
	for (i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i]->id == id)
			return -EEXIST;
	return 0;
}

/**
 * KVM_CREATE_VCPU: a descriptor. -EINVAL: @id or the number of vCPUs beyond the limits; -EEXIST: id
 * in use; else as vcpu_create() or from the descriptor.
 */
long vm_create_vcpu(struct vm *vm, u64 id)
{
	struct vcpu_alloc *a;
	struct vcpu *vcpu;
	char name[24];
	long ret;

	host_mutex_lock(&vm->lock);
	ret = vcpu_id_check(vm, id);
	if (ret)
		goto out;
	ret = vcpu_create(vm, id, &vcpu);
	if (ret)
		goto out;
	a = container_of(vcpu, struct vcpu_alloc, vcpu);
	vcpu_fd_name(name, id);
	core_vm_get(vm);
	ret = glue_fd_new(GLUE_VCPU, vcpu, &a->shared, name);
	if (ret < 0) {
		host_mutex_unlock(&vcpu->mutex);
		vcpu_destroy(vcpu);
		host_fetch_add(&vm->priv->refs, -1u);	/* never the last: the caller has one */
		goto out;
	}
	if (!vm->nr_vcpus)
		vm->priv->ring = a->shared.last;
	vm->vcpus[vm->nr_vcpus] = vcpu;
	/* pairs with the acquire in vm_request_sync() */
	host_store_release(&vm->nr_vcpus, vm->nr_vcpus + 1);
	host_mutex_unlock(&vcpu->mutex);
out:
	host_mutex_unlock(&vm->lock);
	return ret;
}

void core_vcpu_put(struct vcpu *vcpu)
{
	core_vm_put(vcpu->vm);
}

/* ---- what the interrupt controllers tell us (any thread, their locks held) ------------------- */

static void sink_lapic_event(void *owner)
{
	vcpu_request(owner, REQ_EVENT);
}

static void sink_lapic_init(void *owner)
{
	struct vcpu *v = owner;

	/* An INIT cancels a SIPI that was not taken up yet. SDM 3A 8.4.2 */
	host_fetch_and(&v->priv->apic_events, ~(u32)APIC_EVENT_SIPI);
	host_fetch_or(&v->priv->apic_events, APIC_EVENT_INIT);
	vcpu_request(v, REQ_EVENT);
}

static void sink_lapic_sipi(void *owner, u8 vector)
{
	struct vcpu *v = owner;

	/* pairs with the run loop's read of apic_events */
	host_store_release(&v->priv->sipi_vector, vector);
	host_fetch_or(&v->priv->apic_events, APIC_EVENT_SIPI);
	vcpu_request(v, REQ_EVENT);
}

static void sink_lapic_nmi(void *owner)
{
	vcpu_nmi(owner);
}

static void sink_lapic_smi(void *owner)
{
	vcpu_smi(owner);
}

static void sink_pic_output(void *vm_, bool level)
{
	struct vm *vm = vm_;
	u32 i, nr = host_load_acquire(&vm->nr_vcpus);

	/* Which local APIC takes ExtINT is guarded by locks that may be held here: each vCPU looks
	 * for itself. */
	for (i = 0; level && i < nr; i++)
		vcpu_request(vm->vcpus[i], REQ_EVENT);
}

static void sink_eoi_exit(void *owner, u8 vector)
{
	struct vcpu *v = owner;

	host_fetch_or(&v->priv->eoi_exit[vector / 64], BIT(vector % 64));
	vcpu_request(v, REQ_IOAPIC_EOI);
}

static u64 sink_guest_tsc(void *owner)
{
	return vcpu_guest_tsc(owner);
}

static u32 sink_tsc_khz(void *owner)
{
	struct vcpu *v = owner;

	return v->priv->tsc_khz;
}

static void sink_gsi_eoi(void *vm, u32 gsi)
{
	irqfd_gsi_eoi(vm, gsi);
}

const struct irq_sink *core_irq_sink(void)
{
	static const struct irq_sink sink = {
		.lapic_event = sink_lapic_event,
		.lapic_init = sink_lapic_init,
		.lapic_sipi = sink_lapic_sipi,
		.lapic_nmi = sink_lapic_nmi,
		.lapic_smi = sink_lapic_smi,
		.pic_output = sink_pic_output,
		.eoi_exit = sink_eoi_exit,
		.guest_tsc = sink_guest_tsc,
		.tsc_khz = sink_tsc_khz,
		.gsi_eoi = sink_gsi_eoi,
	};

	return &sink;
}
