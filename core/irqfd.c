// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * irqfd.c - KVM_IRQFD: an eventfd's signal raises a GSI.
 *
 * An edge irqfd pulses the line. A resampling one (KVM_IRQFD_FLAG_RESAMPLE) raises it; the EOI lets
 * the controllers lower it (they do that themselves, irqchip.h) and we signal the second eventfd,
 * so that the device may raise it again.
 *
 * An irqfd lives until it is taken away, or the last reference on its eventfd is: it has none
 * itself.
 */
#include "ioctl.h"

struct irqfd {
	struct irqfd *next;		/* vm->priv->irqfds, under irq_lock */
	struct irqfd *next_resampler;	/* vm->priv->resamplers, under resample_lock */
	struct vm *vm;
	u32 gsi;
	struct host_eventfd *resample;	/* NULL: edge */
	struct host_eventfd_watch *watch;
};

/*
 * On a host thread, or the one that signals, each time the eventfd was signalled. The route is looked
 * up now, not when the irqfd was made.
 */
static void irqfd_fire(void *arg)
{
	struct irqfd *f = arg;

	if (f->resample)
		irqchip_set_gsi(f->vm->irqchip, IRQ_SOURCE_RESAMPLE, f->gsi, 1);
	else
		irqchip_pulse_gsi(f->vm->irqchip, IRQ_SOURCE_USER, f->gsi);
}

/**
 * A level-triggered GSI was acknowledged: notify every device that shares it. Any thread, no
 * irqchip lock held.
 */
void irqfd_gsi_eoi(struct vm *vm, u32 gsi)
{
	struct vm_priv *p = vm->priv;
	struct irqfd *f;

	if (!host_load_acquire(&p->resamplers))
		return;
	host_spin_lock(&p->resample_lock);
	for (f = p->resamplers; f; f = f->next_resampler)
		if (f->gsi == gsi)
			host_eventfd_signal(f->resample);
	host_spin_unlock(&p->resample_lock);
}

static void resampler_add(struct vm_priv *p, struct irqfd *f)
{
	host_spin_lock(&p->resample_lock);
	f->next_resampler = p->resamplers;
	host_store_release(&p->resamplers, f);
	host_spin_unlock(&p->resample_lock);
}

/* The last resampler of a GSI takes the line's level with it. */
static void resampler_remove(struct vm_priv *p, struct irqfd *f)
{
	struct irqfd **at, *other;

	host_spin_lock(&p->resample_lock);
	for (at = &p->resamplers; *at; at = &(*at)->next_resampler) {
		if (*at == f) {
			host_store_release(at, f->next_resampler);
			break;
		}
	}
	for (other = p->resamplers; other && other->gsi != f->gsi; other = other->next_resampler)
		;
	host_spin_unlock(&p->resample_lock);
	if (!other)
		irqchip_set_gsi(f->vm->irqchip, IRQ_SOURCE_RESAMPLE, f->gsi, 0);
}

/*
 * On a host thread: nobody has the eventfd any more. The line is not held by it from now on; memory
 * waits for irqfds_reap().
 */
static void irqfd_gone(void *arg)
{
	struct irqfd *f = arg;

	if (f->resample)
		resampler_remove(f->vm->priv, f);
}

/* Off every list already, or never on one. */
static void irqfd_free(struct irqfd *f)
{
	if (f->resample)
		host_eventfd_put(f->resample);
	host_free(f);
}

/* irq_lock held: take *at off the list and stop it. */
static void irqfd_remove(struct vm *vm, struct irqfd **at)
{
	struct irqfd *f = *at;

	*at = f->next;
	vm->priv->nr_irqfds--;
	host_eventfd_unwatch(f->watch);
	if (f->resample)
		resampler_remove(vm->priv, f);
	irqfd_free(f);
}

/*
 * irq_lock held. Free the irqfds whose eventfd is gone, whenever their number has doubled: to ask
 * for each of them each time would make many of them slow.
 */
static void irqfds_reap(struct vm *vm)
{
	struct vm_priv *p = vm->priv;
	struct irqfd **at;

	if (p->nr_irqfds < p->reap_irqfds_at)
		return;
	for (at = &p->irqfds; *at;) {
		if (host_eventfd_watch_ended((*at)->watch))
			irqfd_remove(vm, at);
		else
			at = &(*at)->next;
	}
	p->reap_irqfds_at = 2 * p->nr_irqfds + 8;
}

/* irq_lock held. */
static bool irqfd_present(const struct vm *vm, const struct host_eventfd *e)
{
	const struct irqfd *f;

	for (f = vm->priv->irqfds; f; f = f->next)
		if (host_eventfd_watches(f->watch, e))
			return true;
	return false;
}

static int irqfd_assign(struct vm *vm, const struct kvm_irqfd *a)
{
	struct host_eventfd *event = NULL;
	struct vm_priv *p = vm->priv;
	struct irqfd *f;
	int ret;

	f = host_zalloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->vm = vm;
	f->gsi = a->gsi;
	ret = host_eventfd_get(a->fd, &event);
	if (ret)
		goto err_free;
	if (a->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		ret = host_eventfd_get(a->resamplefd, &f->resample);
		if (ret)
			goto err_free;
	}
	host_mutex_lock(&p->irq_lock);
	irqfds_reap(vm);
	ret = -EBUSY;
	if (irqfd_present(vm, event))
		goto err_unlock;
	if (f->resample)
		resampler_add(p, f);
	/* a pending count fires at once */
	ret = host_eventfd_watch(event, irqfd_fire, irqfd_gone, f, &f->watch);
	if (ret)
		goto err_resampler;
	f->next = p->irqfds;
	p->irqfds = f;
	p->nr_irqfds++;
	host_mutex_unlock(&p->irq_lock);
	/* the client's references decide how long it lives */
	host_eventfd_put(event);
	return 0;

err_resampler:
	if (f->resample)
		resampler_remove(p, f);
err_unlock:
	host_mutex_unlock(&p->irq_lock);
err_free:
	if (event)
		host_eventfd_put(event);
	irqfd_free(f);
	return ret;
}

/* What does not match anything is gone already: no error. */
static int irqfd_deassign(struct vm *vm, const struct kvm_irqfd *a)
{
	struct host_eventfd *e;
	struct irqfd **at;
	int ret;

	ret = host_eventfd_get(a->fd, &e);
	if (ret)
		return ret;
	host_mutex_lock(&vm->priv->irq_lock);
	for (at = &vm->priv->irqfds; *at;) {
		if ((*at)->gsi == a->gsi && host_eventfd_watches((*at)->watch, e))
			irqfd_remove(vm, at);
		else
			at = &(*at)->next;
	}
	host_mutex_unlock(&vm->priv->irq_lock);
	host_eventfd_put(e);
	return 0;
}

/**
 * KVM_IRQFD. -EINVAL: unknown flags, no controllers in here, resampling with a split irqchip, not
 * an eventfd;
 * -EBADF; -EBUSY: the eventfd is in use as an irqfd of this VM; -ENOMEM.
 */
long vm_irqfd(struct vm *vm, struct kvm_irqfd *a)
{
	if (a->flags & ~(u32)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (a->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(vm, a);
	if (!host_load_acquire(&vm->irqchip))
		return -EINVAL;
	if ((a->flags & KVM_IRQFD_FLAG_RESAMPLE) && vm->priv->irqchip_split)
		return -EINVAL;
	return irqfd_assign(vm, a);
}

/** Stop and free all irqfds of a VM that nobody uses any more. */
void irqfds_destroy(struct vm *vm)
{
	host_mutex_lock(&vm->priv->irq_lock);
	while (vm->priv->irqfds)
		irqfd_remove(vm, &vm->priv->irqfds);
	host_mutex_unlock(&vm->priv->irq_lock);
}
