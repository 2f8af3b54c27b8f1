/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* api.c - the public calls of anykvm_fd.h, and which vendor runs the VMs of this process. */
#include <linux/kvm.h>
#include <linux/mman.h>
#include "anykvm/anykvm_fd.h"
#include "fd.h"
#include "../host/user/sys.h"
#include "../host/user/user.h"
#include "../host/user/signal.h"

/*
 * Signal context: a signal for the client has come to the thread that is inside this vCPU's
 * KVM_RUN.
 */
static void stop_vcpu(void *vcpu)
{
	vcpu_request(vcpu, REQ_STOP);
}

static long vcpu_ioctl(struct vcpu *vcpu, u32 nr, u64 arg)
{
	long ret;

	if (nr != KVM_RUN)
		return core_vcpu_ioctl(vcpu, nr, arg);
	host_run_begin(stop_vcpu, vcpu);
	ret = core_vcpu_ioctl(vcpu, nr, arg);
	host_run_end();
	return ret;
}

static long system_ioctl(u32 nr, u64 arg)
{
	int ret;

	if (nr == KVM_CREATE_VM) {
		ret = fd_process_begin();
		if (!ret)
			ret = host_process_init();
		if (ret)
			return ret;
		host_signal_adopt();
		fd_sweep();
	}
	return core_system_ioctl(nr, arg);
}

static long vm_ioctl(struct vm *vm, u32 nr, u64 arg)
{
	/* the last moment before vCPU threads start: handlers installed since KVM_CREATE_VM get
	 * ours before them */
	if (nr == KVM_CREATE_VCPU)
		host_signal_adopt();
	return core_vm_ioctl(vm, nr, arg);
}

int anykvm_open(void)
{
	int ret = fd_process_begin();

	if (ret)
		return ret;
	fd_sweep();
	return fd_open_system();
}

static int do_ioctl(int fd, u32 nr, unsigned long arg)
{
	struct fd_object *o = fd_get(fd, nr != KVM_RUN);
	long ret;

	if (unlikely(!o)) {
		ret = fd_get_foreign(fd, &o);
		if (ret)
			return (int)ret;
	}
	if (unlikely(!fd_usable(o)))
		return -EIO;	/* a forked child; its copy of the reference count means nothing */
	switch (o->kind) {
	case FD_SYSTEM:
		ret = system_ioctl(nr, arg);
		break;
	case FD_VM:
		ret = vm_ioctl(o->obj, nr, arg);
		break;
	case FD_VCPU:
		ret = vcpu_ioctl(o->obj, nr, arg);
		break;
	case FD_DEVICE:
		ret = core_device_ioctl(o->obj, nr, arg);
		break;
	default:
		ret = -ENOTTY;
	}
	fd_put(o);
	return (int)ret;
}

int anykvm_ioctl(int fd, unsigned long request, unsigned long arg)
{
	int ret;

	host_call_begin();
	ret = do_ioctl(fd, (u32)request, arg);	/* some clients pass a sign-extended int */
	host_call_end();
	return ret;
}

void *anykvm_mmap(int fd, size_t len, long offset)
{
	long ret;

	if (!anykvm_is_ours(fd))
		return (void *)-1;
	ret = sys6(__NR_mmap, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED, (u64)fd, (u64)offset);
	return sys_is_err(ret) ? (void *)-1 : (void *)ret;
}

int anykvm_close(int fd)
{
	struct fd_object *o;
	int ret;

	if (!anykvm_is_ours(fd))
		return -EBADF;
	fd_forget(fd);
	fd_sweep();
	ret = (int)sys1(__NR_close, (u64)fd);
	/* a thread in KVM_RUN may have found the descriptor still open and taken it up again: look
	 * once more */
	o = fd_get(fd, true);
	if (o)
		fd_put(o);
	return ret;
}

bool anykvm_is_ours(int fd)
{
	struct fd_object *o = fd_get(fd, true);

	if (!o)
		return false;
	if (fd_usable(o))
		fd_put(o);
	return true;
}

void anykvm_signal_ran(void)
{
	host_signal_ran();
}

const char *anykvm_version(void)
{
	return ANYKVM_VERSION;
}

/* ---- vendor ---- */

static void cpuid(u32 leaf, u32 *a, u32 *c)
{
	u32 b, d;

	__asm__ volatile("cpuid" : "=a"(*a), "=b"(b), "=c"(*c), "=d"(d) : "0"(leaf), "2"(0));
}

/* Inside a process there is only soft; the reason depends on what the CPU has. */
static const char *why_soft(void)
{
	u32 a, c;

	cpuid(1, &a, &c);
	if (c & BIT(5))
		return "the CPU offers VT-x, but VMs of this process run without the kernel's help";
	cpuid(0x80000000, &a, &c);
	if (a >= 0x80000001) {
		cpuid(0x80000001, &a, &c);
		if (c & BIT(2))
			return "the CPU offers AMD-V, but VMs of this process run without the "
			       "kernel's help";
	}
	return "the CPU offers neither VT-x nor AMD-V";
}

const struct vendor_ops *glue_vendor(const char **why)
{
	const char *problem = NULL;

	if (vendor_soft.probe && vendor_soft.probe(&problem)) {
		*why = problem ? problem : "the soft vendor cannot run here";
		return NULL;
	}
	*why = why_soft();
	return &vendor_soft;
}

const char *anykvm_vendor(const char **why)
{
	const char *reason = NULL;
	const struct vendor_ops *v = glue_vendor(&reason);

	if (why)
		*why = reason;
	return v ? v->name : "none";
}
