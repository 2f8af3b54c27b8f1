// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vfio.c - VFIO groups among the caller's files: none. VFIO has to be told of the VM that a group is
 * given to, as the kernel's own struct kvm, and a VM of ours has none.
 */
#include <linux/file.h>
#include "../host.h"

int host_vfio_group_id(int fd, u64 *id)
{
	struct file *file = fget(fd);

	if (!file)
		return -EBADF;
	fput(file);
	return -EINVAL;
}

int host_vfio_group_get(int fd, struct host_vfio_group *g)
{
	return host_vfio_group_id(fd, &g->id);
}

void host_vfio_group_put(struct host_vfio_group *g)
{
}
