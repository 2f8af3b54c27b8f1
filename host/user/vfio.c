// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vfio.c - VFIO groups among the client's files. A group can be open once at a time, so the number of
 * its device tells which it is; and its name tells that it is one.
 */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <fcntl.h>
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "eventfd.h"

bool host_vfio_is_group_name(const char *path)
{
	static const char folder[] = "/dev/vfio/", no_iommu[] = "noiommu-";

	if (host_proc_find(path, folder) != path + sizeof(folder) - 1)
		return false;
	path += sizeof(folder) - 1;
	if (host_proc_find(path, no_iommu) == path + sizeof(no_iommu) - 1)
		path += sizeof(no_iommu) - 1;
	if (!*path)
		return false;
	while (*path >= '0' && *path <= '9')
		path++;
	return !*path;
}

int host_vfio_group_id(int fd, u64 *id)
{
	char link[PROC_LINK_SIZE];
	struct stat st;
	long flags = sys2(__NR_fcntl, (u64)fd, F_GETFL);

	if (flags < 0)
		return (int)flags;
	if (flags & O_PATH)
		return -EBADF;	/* names a file, is none */
	if (sys2(__NR_fstat, (u64)fd, (u64)&st) || !S_ISCHR(st.st_mode) || !host_proc_link(fd, link) ||
	    !host_vfio_is_group_name(link))
		return -EINVAL;
	*id = st.st_rdev;
	return 0;
}

int host_vfio_group_get(int fd, struct host_vfio_group *g)
{
	long own = sys3(__NR_fcntl, (u64)fd, F_DUPFD_CLOEXEC, 3);
	int ret;

	if (own < 0)
		return (int)own;
	ret = host_vfio_group_id((int)own, &g->id);
	g->fd = (int)own;
	if (ret)
		host_vfio_group_put(g);
	return ret;
}

void host_vfio_group_put(struct host_vfio_group *g)
{
	sys1(__NR_close, (u64)g->fd);
}
