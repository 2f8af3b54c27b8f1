// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* vcpu.c - a vCPU's thread: KVM_RUN, and one function per exit reason. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpuid.h"
#include "vm.h"

#define MSR_MISC_ENABLE		0x1a0
#define   MISC_FAST_STRING	1
#define MSR_MTRR_PHYSBASE0	0x200
#define MSR_MTRR_PHYSMASK0	0x201
#define MSR_MTRR_FIX64K		0x250
#define MSR_MTRR_FIX16K_80	0x258
#define MSR_MTRR_FIX16K_A0	0x259
#define MSR_MTRR_FIX4K_C0	0x268	/* eight of them, up to 0x26f */
#define MSR_MTRR_DEF_TYPE	0x2ff
#define   MTRR_ENABLE		0xc00	/* E and FE */
#define   MTRR_WB		6
#define   MTRR_MASK_VALID	0x800
#define ALL_WB			0x0606060606060606ull
#define DEVICES_START		0xc0000000ull	/* to 4 GiB: uncached */

#define LAPIC_LVT_LINT0		0x350
#define LAPIC_LVT_LINT1		0x360
#define   LVT_EXTINT		0x700
#define   LVT_NMI		0x400
#define   LVT_MASKED		0x10000

static int set_cpuid(struct vcpu *vcpu, const struct kvm_cpuid2 *supported, struct vmm_err *err)
{
	const struct vm *vm = vcpu->vm;
	int khz = vcpu_ioctl(vcpu, KVM_GET_TSC_KHZ, NULL);
	const struct cpuid_config cfg = {
		.index = vcpu->index, .cpus = vm->opt->cpus, .tsc_khz = khz > 0 ? khz : 0,
		.tsc_deadline = vm->tsc_deadline, .hide_kvm = vm->opt->hide_kvm,
	};
	struct vm_cpuid *cpuid = calloc(1, sizeof(*cpuid));
	int ret;

	if (!cpuid)
		return err_set(err, "out of memory");
	cpuid_build(cpuid, supported, &cfg);
	ret = vcpu_ioctl(vcpu, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	if (ret < 0)
		return err_set(err, "vCPU %u: KVM_SET_CPUID2: %s", vcpu->index, strerror(-ret));
	return 0;
}

/*
 * What firmware leaves in the MSRs: everything write-back but the legacy video window and the
 * devices below 4 GiB. A KVM that does not know one of them is no reason to fail.
 */
static void set_msrs(struct vcpu *vcpu, unsigned int phys_bits)
{
	struct {
		struct kvm_msrs hdr;
		struct kvm_msr_entry entry;
	} one = { .hdr.nmsrs = 1 };
	struct kvm_msr_entry msrs[] = {
		{ .index = MSR_MISC_ENABLE, .data = MISC_FAST_STRING },
		{ .index = MSR_MTRR_FIX64K, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX16K_80, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX16K_A0, .data = 0 },
		{ .index = MSR_MTRR_FIX4K_C0 + 0, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX4K_C0 + 1, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX4K_C0 + 2, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX4K_C0 + 3, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX4K_C0 + 4, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX4K_C0 + 5, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX4K_C0 + 6, .data = ALL_WB },
		{ .index = MSR_MTRR_FIX4K_C0 + 7, .data = ALL_WB },
		{ .index = MSR_MTRR_PHYSBASE0, .data = DEVICES_START },
		{ .index = MSR_MTRR_PHYSMASK0,
		  .data = (((1ull << phys_bits) - 1) & ~((1ull << 32) - DEVICES_START - 1)) | MTRR_MASK_VALID },
		{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE | MTRR_WB },
	};
	unsigned int i;

	for (i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		one.entry = msrs[i];
		vcpu_ioctl(vcpu, KVM_SET_MSRS, &one);
	}
}

/* As firmware does: the 8259's output at the boot CPU's LINT0, NMI at everybody's LINT1. */
static int set_lints(struct vcpu *vcpu, struct vmm_err *err)
{
	const uint32_t lint0 = vcpu->index ? LVT_EXTINT | LVT_MASKED : LVT_EXTINT, lint1 = LVT_NMI;
	struct kvm_lapic_state lapic;
	int ret;

	ret = vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic);
	if (ret >= 0) {
		memcpy(lapic.regs + LAPIC_LVT_LINT0, &lint0, sizeof(lint0));
		memcpy(lapic.regs + LAPIC_LVT_LINT1, &lint1, sizeof(lint1));
		ret = vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic);
	}
	if (ret < 0)
		return err_set(err, "vCPU %u: cannot set up its APIC: %s", vcpu->index,
			       strerror(-ret));
	return 0;
}

int vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned int index,
		const struct kvm_cpuid2 *supported, struct vmm_err *err)
{
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->started = false;
	vcpu->fd = vm->calls->ioctl(vm->vm_fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0)
		return err_set(err, "cannot create vCPU %u: %s", index, strerror(-vcpu->fd));
	vcpu->run = vm->calls->mmap(vcpu->fd, vm->run_size, 0);
	if (vcpu->run == MAP_FAILED) {
		err_set(err, "cannot map vCPU %u: %s", index, strerror(errno));
		goto err_fd;
	}
	if (set_cpuid(vcpu, supported, err))
		goto err_run;
	set_msrs(vcpu, cpuid_phys_bits(supported));
	if (set_lints(vcpu, err) || vcpu_state_save(vcpu, &vcpu->pristine, err))
		goto err_run;
	return 0;

err_run:
	munmap(vcpu->run, vm->run_size);
err_fd:
	vm->calls->close(vcpu->fd);
	return -1;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	munmap(vcpu->run, vcpu->vm->run_size);
	vcpu->vm->calls->close(vcpu->fd);
}

/* -- exits -- */

static void dump_segment(char **p, char *end, const char *name, const struct kvm_segment *s)
{
	*p += snprintf(*p, end - *p,
		       "%s %04x base %016llx limit %08x type %x s%u dpl%u p%u l%u db%u g%u\n", name,
		       s->selector, s->base, s->limit, s->type, s->s, s->dpl, s->present, s->l,
		       s->db, s->g);
}

/* The vCPU's registers as text; @buf holds VM_DUMP_SIZE bytes. */
static void dump(struct vcpu *vcpu, char *buf)
{
	char *p = buf, *end = buf + VM_DUMP_SIZE;
	struct kvm_sregs s;
	struct kvm_regs r;

	*buf = '\0';
	if (vcpu_ioctl(vcpu, KVM_GET_REGS, &r) < 0 || vcpu_ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
		return;
	p += snprintf(p, end - p, "vCPU %u: rip %016llx rflags %08llx\n", vcpu->index, r.rip,
		      r.rflags);
	p += snprintf(p, end - p, "rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", r.rax, r.rbx,
		      r.rcx, r.rdx);
	p += snprintf(p, end - p, "rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n", r.rsi, r.rdi,
		      r.rbp, r.rsp);
	p += snprintf(p, end - p, "r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n", r.r8, r.r9,
		      r.r10, r.r11);
	p += snprintf(p, end - p, "r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n", r.r12, r.r13,
		      r.r14, r.r15);
	dump_segment(&p, end, "cs ", &s.cs);
	dump_segment(&p, end, "ss ", &s.ss);
	dump_segment(&p, end, "ds ", &s.ds);
	dump_segment(&p, end, "es ", &s.es);
	dump_segment(&p, end, "fs ", &s.fs);
	dump_segment(&p, end, "gs ", &s.gs);
	dump_segment(&p, end, "tr ", &s.tr);
	p += snprintf(p, end - p, "gdt %016llx %04x idt %016llx %04x\n", s.gdt.base, s.gdt.limit,
		      s.idt.base, s.idt.limit);
	snprintf(p, end - p, "cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %llx\n", s.cr0,
		 s.cr2, s.cr3, s.cr4, s.efer);
}

static void fail(struct vcpu *vcpu, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct vcpu *vcpu, const char *fmt, ...)
{
	char text[256], regs[VM_DUMP_SIZE];
	struct vmm_err err;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(&err, "vCPU %u: %s", vcpu->index, text);
	dump(vcpu, regs);
	vm_fail(vcpu->vm, &err, regs);
}

static void exit_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = &vcpu->vm->bus;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int i, size = run->io.size;
	uint64_t value;

	for (i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			value = 0;
			memcpy(&value, data, size);
			bus_port_write(bus, run->io.port, value, size);
		} else {
			value = bus_port_read(bus, run->io.port, size);
			memcpy(data, &value, size);
		}
	}
}

static void exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = &vcpu->vm->bus;
	uint64_t value = 0;

	if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, sizeof(value));
		bus_mmio_write(bus, run->mmio.phys_addr, value, run->mmio.len);
	} else {
		value = bus_mmio_read(bus, run->mmio.phys_addr, run->mmio.len);
		memcpy(run->mmio.data, &value, sizeof(value));
	}
}

static void exit_nothing(struct vcpu *vcpu)
{
}

static void exit_hlt(struct vcpu *vcpu)
{
	fail(vcpu, "KVM handed out a HLT although it has the interrupt controllers");
}

static void exit_shutdown(struct vcpu *vcpu)
{
	fail(vcpu, "triple fault: the guest met an exception it could not handle; registers below");
}

static void exit_fail_entry(struct vcpu *vcpu)
{
	fail(vcpu, "the processor refuses to enter the guest (reason %#llx)",
	     vcpu->run->fail_entry.hardware_entry_failure_reason);
}

static void exit_internal_error(struct vcpu *vcpu)
{
	static const char *const names[] = {
		[KVM_INTERNAL_ERROR_EMULATION] = "an instruction KVM cannot emulate",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "two exceptions at once",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "an exit while an event was delivered",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "an exit of unknown reason",
	};
	const struct kvm_run *run = vcpu->run;
	unsigned int suberror = run->internal.suberror, i, n = 0;
	const char *name = suberror < sizeof(names) / sizeof(names[0]) ? names[suberror] : NULL;
	char bytes[64] = "";

	if (suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 4 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		for (i = 0; i < run->emulation_failure.insn_size && i < 15; i++)
			n += snprintf(bytes + n, sizeof(bytes) - n, " %02x",
				      run->emulation_failure.insn_bytes[i]);
	fail(vcpu, "KVM internal error %u: %s%s%s", suberror, name ?: "no name known",
	     n ? ", bytes" : "", bytes);
}

static void exit_unknown(struct vcpu *vcpu)
{
	fail(vcpu, "KVM reports a hardware exit it does not know (%#llx)",
	     vcpu->run->hw.hardware_exit_reason);
}

static void exit_exception(struct vcpu *vcpu)
{
	fail(vcpu, "KVM handed out exception %u (error code %#x)", vcpu->run->ex.exception,
	     vcpu->run->ex.error_code);
}

static void exit_debug(struct vcpu *vcpu)
{
	fail(vcpu, "a debug exit that nobody asked for");
}

static void exit_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_request(vcpu->vm, VM_STOP);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_request(vcpu->vm, VM_RESET);
		break;
	default:
		fail(vcpu, "the guest reports a crash (system event %u)",
		     vcpu->run->system_event.type);
		break;
	}
}

static void (*const exits[])(struct vcpu *vcpu) = {
	[KVM_EXIT_UNKNOWN] = exit_unknown,
	[KVM_EXIT_EXCEPTION] = exit_exception,
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_DEBUG] = exit_debug,
	[KVM_EXIT_HLT] = exit_hlt,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = exit_nothing,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTR] = exit_nothing,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
};

static void handle_exit(struct vcpu *vcpu)
{
	unsigned int reason = vcpu->run->exit_reason;

	if (reason < sizeof(exits) / sizeof(exits[0]) && exits[reason])
		exits[reason](vcpu);
	else
		fail(vcpu, "an exit nobody asked for (reason %u)", reason);
}

/* -- the thread -- */

/* Wait where the main thread wants all vCPUs to be. False: the thread shall end. */
static bool park(struct vm *vm)
{
	unsigned int generation;
	bool go_on;

	pthread_mutex_lock(&vm->lock);
	generation = vm->generation;
	vm->parked++;
	pthread_cond_signal(&vm->parked_cond);
	while (vm->generation == generation)
		pthread_cond_wait(&vm->resume_cond, &vm->lock);
	go_on = vm->request == VM_RUN;
	pthread_mutex_unlock(&vm->lock);
	return go_on;
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vm *vm = vcpu->vm;
	int ret;

	for (;;) {
		if (vm_requested(vm) != VM_RUN) {
			if (!park(vm))
				return NULL;
			continue;
		}
		ret = vm->calls->ioctl(vcpu->fd, KVM_RUN, 0);
		if (ret >= 0)
			handle_exit(vcpu);
		else if (ret == -EFAULT)
			fail(vcpu, "KVM_RUN: the guest's memory is not there (%s)", strerror(-ret));
		else if (ret != -EINTR && ret != -EAGAIN)
			fail(vcpu, "KVM_RUN: %s", strerror(-ret));
	}
}

int vcpu_start(struct vcpu *vcpu)
{
	char name[16];
	int ret = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);

	if (ret)
		return ret;
	vcpu->started = true;
	snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
	pthread_setname_np(vcpu->thread, name);
	return 0;
}

void vcpu_kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, VM_KICK_SIGNAL);
}
