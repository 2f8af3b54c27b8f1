// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* fd.c - the kernel's side of core/entry.h: VMs, vCPUs, their statistics and devices as anonymous files. */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "../core/entry.h"

#define STATS_CHUNK	256	/* bytes copied at once */

/* What a file stands for. */
struct handle {
	void *obj;
	struct glue_shared *shared;	/* vCPU: the pages that mmap() shows */
};

int glue_shared_alloc(struct glue_shared *s, unsigned long npages, unsigned long ring,
		      const struct glue_shared *first)
{
	s->npages = ring ? KVM_DIRTY_LOG_PAGE_OFFSET + ring : npages - !!first;
	s->addr = vmalloc_user(s->npages << PAGE_SHIFT);
	if (!s->addr)
		return -ENOMEM;
	s->last = first ? first->last : s->addr + ((npages - 1) << PAGE_SHIFT);
	s->fd = -1;
	return 0;
}

void glue_shared_free(struct glue_shared *s)
{
	vfree(s->addr);
	s->addr = NULL;
}

void *glue_counters_alloc(enum glue_kind kind, const char *id, const struct glue_counter *rows, u32 n,
			  size_t size)
{
	return kzalloc(size, GFP_KERNEL_ACCOUNT);
}

void glue_counters_free(void *counters)
{
	kfree(counters);
}

u64 glue_owner_token(void)
{
	return (u64)current->mm;
}

bool glue_same_owner(u64 token)
{
	return token == (u64)current->mm;
}

/*
 * The vendors that enter guest mode in the kernel are modules of their own; without one there is no
 * VM.
 */
const struct vendor_ops *glue_vendor(const char **why)
{
	*why = "no vendor module is loaded";
	return NULL;
}

static long vm_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct handle *h = file->private_data;

	return core_vm_ioctl(h->obj, nr, arg);
}

static int vm_release(struct inode *inode, struct file *file)
{
	struct handle *h = file->private_data;

	core_vm_put(h->obj);
	kfree(h);
	return 0;
}

static long vcpu_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct handle *h = file->private_data;

	return core_vcpu_ioctl(h->obj, nr, arg);
}

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct handle *h = file->private_data;
	unsigned long addr, n = vma->vm_pgoff;
	int ret = 0;

	for (addr = vma->vm_start; addr < vma->vm_end && !ret; addr += PAGE_SIZE, n++) {
		void *page = n == KVM_COALESCED_MMIO_PAGE_OFFSET ? h->shared->last :
			     n < h->shared->npages ? h->shared->addr + (n << PAGE_SHIFT) : NULL;

		ret = page ? vm_insert_page(vma, addr, vmalloc_to_page(page)) : -EINVAL;
	}
	return ret;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct handle *h = file->private_data;

	core_vcpu_put(h->obj);
	kfree(h);
	return 0;
}

static ssize_t stats_read(struct file *file, char __user *to, size_t n, loff_t *pos)
{
	struct handle *h = file->private_data;
	u8 buf[STATS_CHUNK];
	ssize_t done = 0;
	long got;

	while (n) {
		got = core_stats_read(h->obj, buf, min_t(size_t, n, sizeof(buf)), *pos);
		if (got <= 0)
			return done ? done : got;
		if (copy_to_user(to + done, buf, got))
			return done ? done : -EFAULT;
		done += got;
		n -= got;
		*pos += got;
	}
	return done;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct handle *h = file->private_data;

	core_stats_put(h->obj);
	kfree(h);
	return 0;
}

static long device_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct handle *h = file->private_data;

	return core_device_ioctl(h->obj, nr, arg);
}

static int device_release(struct inode *inode, struct file *file)
{
	struct handle *h = file->private_data;

	core_device_put(h->obj);
	kfree(h);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE, .unlocked_ioctl = vm_ioctl, .release = vm_release,
	.llseek = noop_llseek,
};

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE, .unlocked_ioctl = vcpu_ioctl, .mmap = vcpu_mmap,
	.release = vcpu_release,
	.llseek = noop_llseek,
};

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE, .read = stats_read, .release = stats_release, .llseek = noop_llseek,
};

static const struct file_operations device_fops = {
	.owner = THIS_MODULE, .unlocked_ioctl = device_ioctl, .release = device_release,
};

int glue_fd_new(enum glue_kind kind, void *obj, struct glue_shared *shared, const char *name)
{
	static const struct file_operations *const fops[] = {
		[GLUE_VM] = &vm_fops, [GLUE_VCPU] = &vcpu_fops,
		[GLUE_VM_STATS] = &stats_fops, [GLUE_VCPU_STATS] = &stats_fops,
		[GLUE_DEVICE] = &device_fops,
	};
	struct handle *h;
	int fd;

	if (kind >= ARRAY_SIZE(fops) || !fops[kind])
		return -ENODEV;
	h = kzalloc(sizeof(*h), GFP_KERNEL_ACCOUNT);
	if (!h)
		return -ENOMEM;
	h->obj = obj;
	h->shared = shared;
	fd = anon_inode_getfd(name, fops[kind], h, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		kfree(h);
	return fd;
}
