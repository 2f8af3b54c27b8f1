// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vm.c - the life of a VM: creation, start, reset, end. Main thread, but for vm_request() and
 * vm_fail().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "commands.h"
#include "cpuid.h"
#include "machine/e820.h"
#include "vm.h"

/* -- requests from any thread -- */

void vm_request(struct vm *vm, enum vm_request request)
{
	pthread_mutex_lock(&vm->lock);
	if ((int)request > vm->request) {
		/* pairs with vm_requested() */
		__atomic_store_n(&vm->request, request, __ATOMIC_RELEASE);
		loop_wake(&vm->loop);
	}
	pthread_mutex_unlock(&vm->lock);
}

void vm_fail(struct vm *vm, const struct vmm_err *err, const char *dump)
{
	pthread_mutex_lock(&vm->lock);
	if (!vm->failed) {
		vm->failed = true;
		vm->exit_status = EXIT_VM_FAILED;
		vm->failure = *err;
		snprintf(vm->dump, sizeof(vm->dump), "%s", dump ?: "");
	}
	pthread_mutex_unlock(&vm->lock);
	vm_request(vm, VM_STOP);
}

static void machine_irq(void *opaque, unsigned int gsi, int level)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	/* Fails only for a line that does not exist, and the board's lines do. */
	vm_ioctl(opaque, KVM_IRQ_LINE, &irq);
}

static void machine_poweroff(void *opaque)
{
	vm_request(opaque, VM_STOP);
}

static void machine_reset(void *opaque)
{
	struct vm *vm = opaque;

	vm_request(vm, vm->opt->no_reboot ? VM_STOP : VM_RESET);
}

static void term_quit(void *opaque)
{
	vm_request(opaque, VM_STOP);
}

/* -- creation -- */

static int kvm_open(struct vm *vm, struct vmm_err *err)
{
	const char *path = vm->opt->kvm_path;
	int version;

	vm->kvm_fd = vm->calls->open(path);
	if (vm->kvm_fd < 0 && path)
		return err_set(err, "--kvm %s: %s; run without --kvm to use AnyKVM itself", path,
			       strerror(-vm->kvm_fd));
	if (vm->kvm_fd < 0)
		return err_set(err, "AnyKVM cannot run here: %s; see anykvm info",
			       strerror(-vm->kvm_fd));
	version = vm->calls->ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		vm->calls->close(vm->kvm_fd);
		return err_set(err, "--kvm %s: not KVM (no API version %d)", path ?: "",
			       KVM_API_VERSION);
	}
	/* It may answer all the same, and its vCPUs run or not: a guest that stays silent needs an explanation. */
	if (path && !host_has_virtualization())
		fprintf(stderr, "anykvm: --kvm %s: this CPU has neither VT-x nor AMD-V, so the guest may not run; without "
				"--kvm AnyKVM runs it\n", path);
	return 0;
}

static int extension(const struct vm *vm, unsigned int cap)
{
	int ret = vm->calls->ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, cap);

	return ret < 0 ? 0 : ret;
}

static int check_limits(struct vm *vm, const struct kvm_cpuid2 *cpuid, struct vmm_err *err)
{
	unsigned int max_cpus = extension(vm, KVM_CAP_MAX_VCPUS) ?: 4;
	unsigned int bits = cpuid_phys_bits(cpuid);

	if (!extension(vm, KVM_CAP_IRQCHIP) || !extension(vm, KVM_CAP_PIT2))
		return err_set(err, "this KVM has no interrupt controllers (KVM_CAP_IRQCHIP); the "
				    "machine needs them");
	if (vm->opt->cpus > max_cpus)
		return err_set(err, "-smp %u: this KVM takes at most %u CPUs", vm->opt->cpus,
			       max_cpus);
	if (vm->mem.high_end > 1ull << bits)
		return err_set(err, "-m: the memory would end beyond the CPU's %u-bit physical addresses; give less", bits);
	return 0;
}

static int add_memory(struct vm *vm, struct vmm_err *err)
{
	struct kvm_userspace_memory_region r = { 0 };
	const struct gmem_slot *s;
	unsigned int i;
	int ret;

	for (i = 0; i < vm->mem.nr_slots; i++) {
		s = &vm->mem.slots[i];
		r.slot = i;
		r.guest_phys_addr = s->gpa;
		r.memory_size = s->len;
		r.userspace_addr = (uintptr_t)vm->mem.base + s->offset;
		ret = vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r);
		if (ret < 0)
			return err_set(err, "KVM refuses %llu MiB of memory at %#llx: %s",
				       (unsigned long long)(s->len >> 20),
				       (unsigned long long)s->gpa, strerror(-ret));
	}
	return 0;
}

/* In the order KVM asks for: places of its helper areas, controllers, then (elsewhere) vCPUs. */
static int create_chips(struct vm *vm, struct vmm_err *err)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_enable_cap x2apic = { .cap = KVM_CAP_X2APIC_API,
					 .args = { KVM_X2APIC_API_USE_32BIT_IDS } };
	uint64_t identity_map = KVM_IDENTITY_MAP;
	int ret = 0;

	if (extension(vm, KVM_CAP_SET_IDENTITY_MAP_ADDR))
		ret = vm_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	if (ret >= 0 && extension(vm, KVM_CAP_SET_TSS_ADDR))
		ret = vm->calls->ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS);
	if (ret < 0)
		return err_set(err, "KVM refuses the place of its helper pages: %s",
			       strerror(-ret));
	ret = vm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL);
	if (ret < 0)
		return err_set(err, "KVM_CREATE_IRQCHIP: %s", strerror(-ret));
	ret = vm_ioctl(vm, KVM_CREATE_PIT2, &pit);
	if (ret < 0)
		return err_set(err, "KVM_CREATE_PIT2: %s", strerror(-ret));
	if (vm->opt->cpus > 255) {
		ret = vm_ioctl(vm, KVM_ENABLE_CAP, &x2apic);
		if (ret < 0)
			return err_set(err,
				       "-smp %u: this KVM has no APIC ids above 254 (%s); give at "
				       "most 255",
				       vm->opt->cpus, strerror(-ret));
	}
	return vm_irqchips_save(vm, err);
}

static int create_vcpus(struct vm *vm, const struct kvm_cpuid2 *cpuid, struct vmm_err *err)
{
	vm->run_size = vm->calls->ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vm->run_size < (int)sizeof(struct kvm_run))
		return err_set(err, "KVM_GET_VCPU_MMAP_SIZE: %d is too small", vm->run_size);
	vm->tsc_deadline = extension(vm, KVM_CAP_TSC_DEADLINE_TIMER);
	vm->vcpus = calloc(vm->opt->cpus, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return err_set(err, "out of memory for %u vCPUs", vm->opt->cpus);
	while (vm->nr_vcpus < vm->opt->cpus) {
		if (vcpu_create(&vm->vcpus[vm->nr_vcpus], vm, vm->nr_vcpus, cpuid, err))
			return -1;
		vm->nr_vcpus++;
	}
	return 0;
}

static int create_machine(struct vm *vm, struct vmm_err *err)
{
	const struct q35_host host = {
		.bus = &vm->bus, .loop = &vm->loop, .mem = &vm->mem, .cpus = vm->opt->cpus,
		.irq = machine_irq, .poweroff = machine_poweroff, .reset = machine_reset,
		.opaque = vm,
	};
	const struct uart_host console = term_uart_host(&vm->term);

	bus_init(&vm->bus);
	return q35_create(&vm->machine, &host, vm->opt->no_serial ? NULL : &console, err);
}

/*
 * Everything into memory, and the boot CPU to the kernel's entry; the other CPUs wait for INIT and
 * SIPI.
 */
static int load(struct vm *vm, struct vmm_err *err)
{
	struct vcpu *boot = &vm->vcpus[0];
	struct kvm_sregs sregs = boot->pristine.sregs;
	struct kvm_regs regs = boot->pristine.regs;
	uint64_t rsdp;
	int ret;

	rsdp = q35_write_tables(&vm->machine, err);
	if (!rsdp || linux_load(&vm->boot, &vm->mem, rsdp, err))
		return -1;
	linux_entry(&vm->boot, &regs, &sregs);
	ret = vcpu_ioctl(boot, KVM_SET_SREGS, &sregs);
	if (ret >= 0)
		ret = vcpu_ioctl(boot, KVM_SET_REGS, &regs);
	if (ret < 0)
		return err_set(err, "KVM refuses the kernel's entry state: %s", strerror(-ret));
	return 0;
}

static int create_vm(struct vm *vm, struct vmm_err *err)
{
	struct vm_cpuid *cpuid = calloc(1, sizeof(*cpuid));
	int ret = -1;

	if (!cpuid)
		return err_set(err, "out of memory");
	cpuid->hdr.nent = CPUID_MAX;
	ret = vm->calls->ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, (unsigned long)cpuid);
	if (ret < 0) {
		err_set(err, "KVM_GET_SUPPORTED_CPUID: %s", strerror(-ret));
		goto out;
	}
	ret = check_limits(vm, &cpuid->hdr, err);
	if (ret)
		goto out;
	vm->vm_fd = vm->calls->ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->vm_fd < 0) {
		ret = err_set(err, "KVM cannot create a VM: %s", strerror(-vm->vm_fd));
		goto out;
	}
	ret = create_chips(vm, err) ?: add_memory(vm, err) ?: create_vcpus(vm, &cpuid->hdr, err);
out:
	free(cpuid);
	return ret;
}

static void destroy_vm(struct vm *vm)
{
	while (vm->nr_vcpus)
		vcpu_destroy(&vm->vcpus[--vm->nr_vcpus]);
	free(vm->vcpus);
	if (vm->vm_fd >= 0)
		vm->calls->close(vm->vm_fd);
}

/* -- running -- */

static void kick_ignored(int sig)
{
}

static void kick_all(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].started)
			vcpu_kick(&vm->vcpus[i]);
}

static unsigned int started(const struct vm *vm)
{
	unsigned int i, n = 0;

	for (i = 0; i < vm->nr_vcpus; i++)
		n += vm->vcpus[i].started;
	return n;
}

/* Bring all vCPUs to a halt: vm->request says why. */
static void park_all(struct vm *vm)
{
	if (vm->machine.has_uart)
		uart_drain(&vm->machine.uart, true);
	kick_all(vm);
	pthread_mutex_lock(&vm->lock);
	while (vm->parked < started(vm))
		pthread_cond_wait(&vm->parked_cond, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
}

/*
 * Let parked vCPUs go: on with the guest (true), or, if a stop is requested, to their end (false).
 */
static bool unpark_all(struct vm *vm)
{
	unsigned int i;
	bool go_on;

	if (vm->machine.has_uart)
		uart_drain(&vm->machine.uart, false);
	for (i = 0; i < vm->nr_vcpus; i++)
		__atomic_store_n(&vm->vcpus[i].run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&vm->lock);
	go_on = vm->request != VM_STOP;
	if (go_on)
		__atomic_store_n(&vm->request, VM_RUN, __ATOMIC_RELEASE);
	vm->parked = 0;
	vm->generation++;
	pthread_cond_broadcast(&vm->resume_cond);
	pthread_mutex_unlock(&vm->lock);
	return go_on;
}

static int reset(struct vm *vm, struct vmm_err *err)
{
	unsigned int i;

	q35_reset(&vm->machine);
	if (vm_irqchips_restore(vm, err))
		return -1;
	for (i = 0; i < vm->nr_vcpus; i++)
		if (vcpu_state_restore(&vm->vcpus[i], &vm->vcpus[i].pristine, err))
			return -1;
	return load(vm, err);
}

/* Run until the end. Every vCPU thread is gone when this returns. */
static void run(struct vm *vm)
{
	struct vmm_err err;
	unsigned int i;
	int ret;

	for (i = 0; i < vm->nr_vcpus; i++) {
		ret = vcpu_start(&vm->vcpus[i]);
		if (ret) {
			err_set(&err, "cannot start a thread for vCPU %u: %s", i, strerror(ret));
			vm_fail(vm, &err, NULL);
			break;
		}
	}
	do {
		do
			loop_run(&vm->loop);
		while (vm_requested(vm) == VM_RUN);
		park_all(vm);
		if (vm_requested(vm) == VM_RESET && reset(vm, &err))
			vm_fail(vm, &err, NULL);
	} while (unpark_all(vm));
	for (i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].started)
			pthread_join(vm->vcpus[i].thread, NULL);
}

/* -- the program -- */

struct signals {
	struct vm *vm;
	struct loop_source src;
	int fd;
	int fatal;		/* the signal that ended the VM */
};

static void signal_ready(void *opaque)
{
	struct signals *s = opaque;
	struct signalfd_siginfo info;

	if (read(s->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCONT) {
		term_raw_again();
		return;
	}
	s->fatal = info.ssi_signo;
	vm_request(s->vm, VM_STOP);
}

/*
 * Signals that end us are events of the loop, so that the terminal is given back and the output
 * written.
 */
static int signals_init(struct signals *s, struct vm *vm, struct vmm_err *err)
{
	struct sigaction kick = { .sa_handler = kick_ignored };
	sigset_t set;
	int ret;

	s->vm = vm;
	s->fatal = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGCONT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(VM_KICK_SIGNAL, &kick, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->fd < 0)
		return err_set(err, "signalfd: %s", strerror(errno));
	ret = loop_add(&vm->loop, &s->src, s->fd, signal_ready, s);
	if (ret) {
		close(s->fd);
		return err_set(err, "epoll: %s", strerror(-ret));
	}
	return 0;
}

static void report_failure(const struct vm *vm)
{
	err_report(&vm->failure);
	fputs(vm->dump, stderr);
}

static int run_to_end(struct vm *vm, struct signals *signals)
{
	if (!vm->opt->no_serial)
		term_start(&vm->term, &vm->machine.uart);
	run(vm);
	term_stop(&vm->term);
	if (vm->failed) {
		report_failure(vm);
	} else if (signals->fatal) {
		fprintf(stderr, "anykvm: ended by signal %d (%s)\n", signals->fatal,
			strsignal(signals->fatal));
		vm->exit_status = 128 + signals->fatal;
	}
	return vm->exit_status;
}

int vm_main(const struct options *opt)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct signals signals;
	struct vmm_err err;
	int ret, status = EXIT_VM_FAILED;

	if (!vm) {
		err_set(&err, "out of memory");
		goto out;
	}
	vm->opt = opt;
	vm->calls = opt->kvm_path ? &kvm_calls_kernel : &kvm_calls_anykvm;
	vm->vm_fd = -1;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->parked_cond, NULL);
	pthread_cond_init(&vm->resume_cond, NULL);
	if (linux_open(&vm->boot, opt->kernel, opt->initrd, opt->append, &err))
		goto out_vm;
	if (gmem_create(&vm->mem, opt->memory, &err))
		goto out_boot;
	if (linux_place(&vm->boot, vm->mem.low_end, &err))
		goto out_mem;
	ret = loop_init(&vm->loop);
	if (ret) {
		err_set(&err, "cannot make the event loop: %s", strerror(-ret));
		goto out_mem;
	}
	if (signals_init(&signals, vm, &err))
		goto out_loop;
	ret = term_init(&vm->term, &vm->loop, term_quit, vm);
	if (ret) {
		err_set(&err, "cannot make the console: %s", strerror(-ret));
		goto out_signals;
	}
	if (create_machine(vm, &err))
		goto out_term;
	if (kvm_open(vm, &err))
		goto out_machine;
	if (create_vm(vm, &err) || load(vm, &err))
		goto out_kvm;
	status = run_to_end(vm, &signals);
	err.text[0] = '\0';

out_kvm:
	destroy_vm(vm);
	vm->calls->close(vm->kvm_fd);
out_machine:
	q35_destroy(&vm->machine);
out_term:
	term_destroy(&vm->term);
out_signals:
	close(signals.fd);
out_loop:
	loop_destroy(&vm->loop);
out_mem:
	gmem_destroy(&vm->mem);
out_boot:
	linux_close(&vm->boot);
out_vm:
	pthread_cond_destroy(&vm->resume_cond);
	pthread_cond_destroy(&vm->parked_cond);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
out:
	if (err.text[0])
		err_report(&err);
	return status;
}
