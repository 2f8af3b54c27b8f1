// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * device.c - KVM_CREATE_DEVICE and the one type of device that x86 has: the list of VFIO groups whose
 * hardware the client gives to the guest.
 *
 * The list is all there is to it. A guest's accesses to such hardware go through the client's own
 * mapping of it, in a slot, and its interrupts are irqfds.
 *
 * A VM has one at most; it ends, with its list, when its last descriptor is closed.
 */
#include "ioctl.h"

struct vfio_group {
	struct vfio_group *next;
	struct host_vfio_group ref;
};

/* vm->lock held: where in the list that group is, or the list's end. */
static struct vfio_group **group_find(struct vm_device *d, u64 id)
{
	struct vfio_group **at = &d->groups;

	host_assert_mutex_held(&d->vm->lock);
	while (*at && (*at)->ref.id != id)
		at = &(*at)->next;
	return at;
}

static void group_free(struct vfio_group *g)
{
	host_vfio_group_put(&g->ref);
	host_free(g);
}

static long group_add(struct vm_device *d, s32 fd)
{
	struct vfio_group *g = host_zalloc(sizeof(*g)), **at;
	long ret;

	if (!g)
		return -ENOMEM;
	ret = host_vfio_group_get(fd, &g->ref);
	if (ret) {
		host_free(g);
		return ret;
	}
	host_mutex_lock(&d->vm->lock);
	at = group_find(d, g->ref.id);
	if (*at)
		ret = -EEXIST;
	else
		*at = g;
	host_mutex_unlock(&d->vm->lock);
	if (ret)
		group_free(g);
	return ret;
}

static long group_del(struct vm_device *d, s32 fd)
{
	struct vfio_group *g, **at;
	u64 id;
	int ret = host_vfio_group_id(fd, &id);

	if (ret)
		return ret == -EINVAL ? -ENOENT : ret;	/* another kind of file is not in the list */
	host_mutex_lock(&d->vm->lock);
	at = group_find(d, id);
	g = *at;
	if (g)
		*at = g->next;
	host_mutex_unlock(&d->vm->lock);
	if (!g)
		return -ENOENT;
	group_free(g);
	return 0;
}

/** KVM_HAS_DEVICE_ATTR on a device. -ENXIO: no such attribute. */
long device_has_attr(struct vm_device *d, struct kvm_device_attr *a)
{
	return a->group == KVM_DEV_VFIO_GROUP &&
	       (a->attr == KVM_DEV_VFIO_GROUP_ADD || a->attr == KVM_DEV_VFIO_GROUP_DEL) ? 0 : -ENXIO;
}

/** KVM_GET_DEVICE_ATTR on a device. -EPERM: it has nothing to be read, wherever @uarg leads. */
long device_get_attr(struct vm_device *d, u64 uarg)
{
	return -EPERM;
}

/**
 * KVM_SET_DEVICE_ATTR on a device: enter a VFIO group, or strike it. -ENXIO: no such attribute;
 * -EFAULT; -EBADF: no open file; -EINVAL: no VFIO group to enter; -EEXIST: it is in the list;
 * -ENOENT: it is not; -ENOMEM, -EMFILE: no room for a reference on it. May sleep.
 */
long device_set_attr(struct vm_device *d, struct kvm_device_attr *a)
{
	long ret = device_has_attr(d, a);
	s32 fd;

	if (ret)
		return ret;
	if (host_copy_from_caller(&fd, a->addr, sizeof(fd)))
		return -EFAULT;
	return a->attr == KVM_DEV_VFIO_GROUP_ADD ? group_add(d, fd) : group_del(d, fd);
}

void core_device_put(struct vm_device *d)
{
	struct vfio_group *g;

	while ((g = d->groups)) {
		d->groups = g->next;
		group_free(g);
	}
	/* no lock: this may come from glue_fd_new() under vm->lock. Pairs with vm_create_device(). */
	host_store_release(&d->vm->priv->has_device, 0);
	core_vm_put(d->vm);
	host_free(d);
}

/**
 * KVM_CREATE_DEVICE: a descriptor in @c->fd, which keeps the VM alive. -ENODEV: no such type;
 * -EBUSY: the VM has one; -ENOMEM or the descriptor's error. With KVM_CREATE_DEVICE_TEST nothing but
 * the type is looked at.
 */
long vm_create_device(struct vm *vm, struct kvm_create_device *c)
{
	struct vm_device *d;
	int fd;

	if (c->type != KVM_DEV_TYPE_VFIO)
		return -ENODEV;
	if (c->flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	d = host_zalloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	if (host_cmpxchg(&vm->priv->has_device, 0, 1)) {
		host_free(d);
		return -EBUSY;
	}
	d->vm = vm;
	core_vm_get(vm);
	fd = glue_fd_new(GLUE_DEVICE, d, NULL, "kvm-vfio");
	if (fd < 0) {
		core_device_put(d);
		return fd;
	}
	c->fd = (u32)fd;
	return 0;
}
