// SPDX-License-Identifier: GPL-2.0-only OR MIT
#define _GNU_SOURCE
/*
 * Code memory. The same pages are mapped twice: writable at rw, executable at rx; never both at one
 * address.
 */
#include <sys/mman.h>
#include <unistd.h>
#include "soft.h"

/* Called from KVM_CREATE_VCPU, never inside KVM_RUN: libc is fine here. */
int codebuf_init(struct codebuf *cb, size_t size)
{
	int fd = memfd_create("anykvm-code", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, size))
		goto err_fd;
	cb->rw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (cb->rw == MAP_FAILED)
		goto err_fd;
	cb->rx = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (cb->rx == MAP_FAILED)
		goto err_rw;
	close(fd);
	cb->size = size;
	cb->used = 0;
	return 0;
err_rw:
	munmap(cb->rw, size);
err_fd:
	close(fd);
	cb->rw = NULL;
	return -ENOMEM;
}

void codebuf_destroy(struct codebuf *cb)
{
	if (!cb->rw)
		return;
	munmap(cb->rw, cb->size);
	munmap(cb->rx, cb->size);
	cb->rw = NULL;
}
