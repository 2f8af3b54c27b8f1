/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * vm.h - a virtual machine and its vCPUs, as a client of the KVM API.
 *
 * The main thread creates everything, then runs the event loop. Each vCPU has a thread. When the VM
 * must stop or be reset, whoever notices calls vm_request(); the main thread leaves the loop,
 * brings all vCPUs to a halt ("parks" them) and acts while nothing runs.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>

#include "boot/linux.h"
#include "bus.h"
#include "error.h"
#include "gmem.h"
#include "kvmapi.h"
#include "loop.h"
#include "machine/q35.h"
#include "options.h"
#include "term.h"

#define VM_KICK_SIGNAL	SIGUSR1		/* does nothing but end KVM_RUN */
#define VM_DUMP_SIZE	2048

struct vm;

struct vm_msrs {
	struct kvm_msrs hdr;
	struct kvm_msr_entry entries[256];
};

/* All of a vCPU that a reset restores. */
struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	struct vm_msrs msrs;
};

struct vcpu {
	struct vm *vm;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	struct vcpu_state pristine;	/* after power-on */
};

enum vm_request {
	VM_RUN,		/* go on */
	VM_RESET,
	VM_STOP,
};

struct vm {
	const struct options *opt;
	const struct kvm_calls *calls;
	int kvm_fd, vm_fd;
	int run_size;			/* of the area shared with each vCPU */
	bool tsc_deadline;		/* KVM offers the TSC-deadline timer */
	struct gmem mem;
	struct bus bus;
	struct loop loop;
	struct term term;
	struct q35 machine;
	struct linux_boot boot;
	struct kvm_irqchip irqchips[3];	/* after power-on */
	struct kvm_pit_state2 pit;
	unsigned int nr_vcpus;		/* created so far */
	struct vcpu *vcpus;

	int request;			/* enum vm_request; written under lock, read without it */
	pthread_mutex_t lock;		/* the rest */
	pthread_cond_t parked_cond;	/* a vCPU has parked */
	pthread_cond_t resume_cond;	/* go on, or end */
	unsigned int parked;
	unsigned int generation;	/* counts resumptions */
	int exit_status;
	bool failed;
	struct vmm_err failure;		/* why, if failed */
	char dump[VM_DUMP_SIZE];	/* registers of the vCPU that failed */
};

/** Boot and run a VM until it ends. The program's exit status; failures have been reported. */
int vm_main(const struct options *opt);

/** Ask the main thread to stop or reset the VM; the stronger request wins. Any thread. */
void vm_request(struct vm *vm, enum vm_request request);

static inline int vm_requested(const struct vm *vm)
{
	/* pairs with the release in vm_request() */
	return __atomic_load_n(&vm->request, __ATOMIC_ACQUIRE);
}

/**
 * The VM cannot go on: report @err (and @dump, may be NULL) when it has stopped. The first failure
 * counts.
 */
void vm_fail(struct vm *vm, const struct vmm_err *err, const char *dump);

static inline int vm_ioctl(const struct vm *vm, unsigned long request, const void *arg)
{
	return vm->calls->ioctl(vm->vm_fd, request, (unsigned long)arg);
}

static inline int vcpu_ioctl(const struct vcpu *vcpu, unsigned long request, const void *arg)
{
	return vcpu->vm->calls->ioctl(vcpu->fd, request, (unsigned long)arg);
}

/* vcpu.c */

/** Create vCPU @index with its CPUID and power-on state. 0, or -1 with *err set. */
int vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned int index,
		const struct kvm_cpuid2 *supported, struct vmm_err *err);
void vcpu_destroy(struct vcpu *vcpu);
/** Start its thread. 0 or a positive errno. */
int vcpu_start(struct vcpu *vcpu);
/** Make KVM_RUN return. */
void vcpu_kick(struct vcpu *vcpu);

/* state.c */

/** Read all of a vCPU's state. 0, or -1 with *err set. */
int vcpu_state_save(struct vcpu *vcpu, struct vcpu_state *state, struct vmm_err *err);
/** Put it back. The vCPU does not run. */
int vcpu_state_restore(struct vcpu *vcpu, const struct vcpu_state *state, struct vmm_err *err);
int vm_irqchips_save(struct vm *vm, struct vmm_err *err);
int vm_irqchips_restore(struct vm *vm, struct vmm_err *err);

#endif
