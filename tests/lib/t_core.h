/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * t_core.h - core without descriptors and without a processor: the glue of entry.h over a table of
 * small numbers, and a vendor whose every operation can be told to fail and whose enter() is a
 * function of the test's.
 */
#ifndef T_CORE_H
#define T_CORE_H

#include "../../core/private.h"
#include "../../core/entry.h"

struct t_vendor {
	/* results; 0: the operation works */
	int vm_init, vcpu_create, cpu_enable;
	/* enter(): may be NULL (then it waits for kick()) */
	int (*enter)(struct vcpu *vcpu);
	/* counts */
	unsigned int enabled, vms, vcpus, kicks, flushes, changes, regs_changed;
	gfn_t changed_first;
	u64 changed_pages;
	gpa_t written_gpa;
	unsigned int written_len;
};
extern struct t_vendor t_vendor;

/* Descriptors: small numbers, not the kernel's. */
#define T_FDS	128
/** The object behind a descriptor. */
void *t_fd_obj(int fd);
enum glue_kind t_fd_kind(int fd);
const char *t_fd_name(int fd);
/** Close it as the glue would. */
void t_fd_close(int fd);
unsigned int t_fds_open(void);
/** Pages shared with "clients" now. */
extern unsigned int t_shared;
/** False: calls come from another process. */
extern bool t_same_owner;

/** ioctl() on a descriptor of the table; system ioctls with fd -1. */
long t_ioctl(int fd, u32 nr, void *arg);
long t_ioctl_n(int fd, u32 nr, u64 arg);

/** A VM, with in-kernel interrupt controllers if irqchip. Aborts if that fails. */
int t_vm(bool irqchip);
struct vm *t_vm_obj(int fd);
struct vcpu *t_vcpu_obj(int fd);

/** Map and fill guest memory: slot @slot at guest address @gpa, @pages pages; its host address. */
void *t_memory(int vm_fd, u32 slot, u64 gpa, u64 pages, u32 flags);
long t_set_slot(int vm_fd, u32 slot, u64 gpa, u64 size, void *host, u32 flags);

#endif
