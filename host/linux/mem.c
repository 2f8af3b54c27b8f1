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

static int cmpxchg16(u64 hva, u64 *old, const u64 *new)
{
	bool ok = false;
	int err = 0;

	if (!user_access_begin((void __user *)hva, 16))
		return -EFAULT;
	asm volatile("1: lock cmpxchg16b %1\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %[err])
		     : "=@ccz"(ok), "+m"(*(u8 (*)[16])hva), "+a"(old[0]), "+d"(old[1]), [err] "+r"(err)
		     : "b"(new[0]), "c"(new[1]) : "memory");
	user_access_end();
	return err ? -EFAULT : ok ? 0 : -EBUSY;
}

#define CMPXCHG(type, hva, old, new) ({							\
	type __user *mem_ = (type __user *)(hva);					\
	int ret_ = -EFAULT;								\
											\
	if (user_access_begin(mem_, sizeof(type))) {					\
		ret_ = unsafe_try_cmpxchg_user(mem_, (type *)(old), *(const type *)(new), \
					       cmpxchg_fault) ? 0 : -EBUSY;		\
		user_access_end();							\
	}										\
	ret_; })

int host_mem_cmpxchg(u64 hva, void *old, const void *new, unsigned int len)
{
	switch (len) {
	case 1:
		return CMPXCHG(u8, hva, old, new);
	case 2:
		return CMPXCHG(u16, hva, old, new);
	case 4:
		return CMPXCHG(u32, hva, old, new);
	case 8:
		return CMPXCHG(u64, hva, old, new);
	default:
		return cmpxchg16(hva, old, new);
	}
cmpxchg_fault:
	user_access_end();
	return -EFAULT;
}
