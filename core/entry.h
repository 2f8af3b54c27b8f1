/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * entry.h - core's front door, for the glue that owns file descriptors (lib in user space, kmod in
 * the kernel), and what core asks of that glue.
 */
#ifndef CORE_ENTRY_H
#define CORE_ENTRY_H

#include "../host/types.h"

/*
 * Only names: the kernel's own headers, which glue needs, define many of the x86 constants of hv.h.
 */
struct vm;
struct vcpu;
struct vm_device;
struct vendor_ops;

/* ---- called by the glue; nr is the full 32-bit ioctl number, arg the caller's third argument ---- */
/* Results: >= 0, or -errno. Unknown numbers: -ENOTTY. */
long core_system_ioctl(u32 nr, u64 arg);
long core_vm_ioctl(struct vm *vm, u32 nr, u64 arg);
long core_vcpu_ioctl(struct vcpu *vcpu, u32 nr, u64 arg);
long core_device_ioctl(struct vm_device *d, u32 nr, u64 arg);
/*
 * Read from a stats descriptor (GLUE_VM_STATS, GLUE_VCPU_STATS; obj as given to glue_fd_new()):
 * bytes, 0 at the end.
 */
long core_stats_read(void *obj, void *buf, size_t n, u64 pos);
void core_stats_put(void *obj);		/* its last reference is gone */

/* The last reference on a descriptor's object is gone. vcpu: drops its reference on the VM; the
 * vCPU itself stays until the VM dies. */
void core_vm_put(struct vm *vm);
void core_vcpu_put(struct vcpu *vcpu);
void core_device_put(struct vm_device *d);	/* of the last reference: it ends */
void core_vm_get(struct vm *vm);

/* ---- provided by the glue ---- */

enum glue_kind { GLUE_VM, GLUE_VCPU, GLUE_VM_STATS, GLUE_VCPU_STATS, GLUE_DEVICE };

/*
 * Pages that core and the client's mmap() of a vCPU descriptor share (kvm_run, PIO data, coalesced
 * ring).
 */
struct glue_shared {
	void *addr;
	unsigned long npages;
	void *last;	/* the last page */
	/* the glue's own; user space: */
	int fd;		/* the memfd behind it */
	u64 ino;
	struct glue_shared *next;
};
/*
 * npages, zeroed; first not NULL: the last one is first's last one, in the client's mmap() and as
 * s->last, but not at s->addr. ring: so many more from page KVM_DIRTY_LOG_PAGE_OFFSET on, of s->addr
 * as well; then a client sees the last one only in first's mmap(). 0 or -errno.
 */
int glue_shared_alloc(struct glue_shared *s, unsigned long npages, unsigned long ring,
		      const struct glue_shared *first);
void glue_shared_free(struct glue_shared *s);

/* A new close-on-exec descriptor for obj; takes over the caller's reference on success. shared: for
 * vCPUs, the pages that mmap() shows. name: as in /proc/PID/fd, "kvm-vcpu:0". fd or -errno. */
int glue_fd_new(enum glue_kind kind, void *obj, struct glue_shared *shared, const char *name);

/*
 * Zeroed memory for the counters of a VM or a vCPU (kind: its statistics), where the glue may show
 * them to others at any time: rows name n of its u64s. size: at most 1024 bytes. NULL: no memory.
 */
struct glue_counter {
	const char *name;	/* constant */
	u32 index;
};
void *glue_counters_alloc(enum glue_kind kind, const char *id, const struct glue_counter *rows, u32 n,
			  size_t size);
void glue_counters_free(void *counters);

/*
 * True if the calling process (address space) is the one that created the VM: else its ioctls give
 * -EIO.
 */
bool glue_same_owner(u64 token);
u64 glue_owner_token(void);

/* The vendor for this machine: soft, or what the module was built for. */
const struct vendor_ops *glue_vendor(const char **why);

#endif
