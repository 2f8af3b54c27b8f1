// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * mem.c - memory of the kernel, and memory of the calling process. host.h says what each function
 * does.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "../host.h"

void *host_zalloc(size_t size)
{
	return kvzalloc(size, GFP_KERNEL_ACCOUNT);
}

void host_free(void *p)
{
	kvfree(p);
}

void *host_pages_alloc(unsigned long n)
{
	return n <= ULONG_MAX >> PAGE_SHIFT ? __vmalloc(n << PAGE_SHIFT, GFP_KERNEL_ACCOUNT | __GFP_ZERO) : NULL;
}

void host_pages_free(void *p, unsigned long n)
{
	vfree(p);
}

int host_copy_from_caller(void *dst, u64 src, size_t n)
{
	return copy_from_user(dst, (const void __user *)src, n) ? -EFAULT : 0;
}

int host_copy_to_caller(u64 dst, const void *src, size_t n)
{
	return copy_to_user((void __user *)dst, src, n) ? -EFAULT : 0;
}

/*
 * vCPU and VM ioctls run in the owner's address space, so slots are reached as the caller's memory
 * is.
 */
int host_mem_read(u64 hva, void *dst, size_t n)
{
	return host_copy_from_caller(dst, hva, n);
}

int host_mem_write(u64 hva, const void *src, size_t n)
{
	return host_copy_to_caller(hva, src, n);
}
