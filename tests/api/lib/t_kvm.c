/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* t_kvm.c - helpers of the API tests; see t_kvm.h. */
#include "t_kvm.h"

#include <signal.h>

long t_kvm_ioctl(int fd, unsigned long nr, unsigned long arg)
{
	int ret = ioctl(fd, nr, arg);

	return ret == -1 ? -errno : ret;
}

bool t_have_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR);

	if (fd == -1) {
		printf("no /dev/kvm: %s\n", strerror(errno));
		return false;
	}
	close(fd);
	alarm(55);	/* a guest that does not come back */
	return true;
}

int t_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

void *t_mmap(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

long t_slot(const struct t_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, const void *hva)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return T(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

void t_vm_create(struct t_vm *vm, unsigned int how)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	vm->kvm = t_open();
	vm->fd = (int)T(vm->kvm, KVM_CREATE_VM, 0);
	assert_true(vm->fd >= 0);
	vm->mem = t_mmap(T_MEM);
	t_ok(t_slot(vm, 0, 0, 0, T_MEM, vm->mem));
	if (how & (T_IRQCHIP | T_PIT))
		t_ok(T(vm->fd, KVM_CREATE_IRQCHIP, 0));
	if (how & T_PIT)
		t_ok(T(vm->fd, KVM_CREATE_PIT2, &pit));
	if (how & T_SPLIT)
		t_ok(t_enable(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 24));
}

void t_vm_destroy(struct t_vm *vm)
{
	close(vm->fd);
	close(vm->kvm);
	munmap(vm->mem, T_MEM);
}

void t_cpu_create(struct t_vm *vm, struct t_cpu *cpu, unsigned long id)
{
	cpu->fd = (int)T(vm->fd, KVM_CREATE_VCPU, id);
	assert_true(cpu->fd >= 0);
	cpu->run_size = (size_t)T(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	cpu->run = mmap(NULL, cpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	assert_ptr_not_equal(cpu->run, MAP_FAILED);
}

void t_cpu_destroy(struct t_cpu *cpu)
{
	munmap(cpu->run, cpu->run_size);
	close(cpu->fd);
}

long t_cap(const struct t_vm *vm, unsigned long cap)
{
	return T(vm->fd, KVM_CHECK_EXTENSION, cap);
}

long t_enable(int fd, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return T(fd, KVM_ENABLE_CAP, &c);
}

void t_cpu_real(struct t_cpu *cpu, uint64_t rip)
{
	struct kvm_regs regs = { .rip = rip, .rflags = 2, .rsp = T_STACK };
	struct kvm_sregs s;

	t_ok(T(cpu->fd, KVM_GET_SREGS, &s));
	s.cs.base = s.cs.selector = 0;
	s.ds.base = s.ds.selector = s.es.base = s.es.selector = s.ss.base = s.ss.selector = 0;
	t_ok(T(cpu->fd, KVM_SET_SREGS, &s));
	t_ok(T(cpu->fd, KVM_SET_REGS, &regs));
}

void t_cpu_long(struct t_vm *vm, struct t_cpu *cpu, uint64_t rip)
{
	const struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	const struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_regs regs = { .rip = rip, .rflags = 2, .rsp = T_STACK };
	uint64_t *table = (uint64_t *)(vm->mem + T_TABLES);
	struct kvm_sregs s;
	uint64_t i;

	memset(table, 0, 3 * T_PAGE);
	table[0] = (T_TABLES + T_PAGE) | 3;
	table[512] = (T_TABLES + 2 * T_PAGE) | 3;
	for (i = 0; i < 512; i++)
		table[1024 + i] = i << 21 | 0x83;
	t_cpu_cpuid(vm, cpu);
	t_ok(T(cpu->fd, KVM_GET_SREGS, &s));
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x80000011;	/* PG, ET, PE */
	s.cr3 = T_TABLES;
	s.cr4 = 0x620;		/* PAE, OSFXSR, OSXMMEXCPT */
	s.efer = 0x500;		/* LMA, LME */
	t_ok(T(cpu->fd, KVM_SET_SREGS, &s));
	t_ok(T(cpu->fd, KVM_SET_REGS, &regs));
}

struct kvm_cpuid2 *t_supported_cpuid(int kvm)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 100 * sizeof(c->entries[0]));

	assert_non_null(c);
	c->nent = 100;
	t_ok(T(kvm, KVM_GET_SUPPORTED_CPUID, c));
	return c;
}

void t_cpu_cpuid(struct t_vm *vm, struct t_cpu *cpu)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm->kvm);

	t_ok(T(cpu->fd, KVM_SET_CPUID2, c));
	free(c);
}

long t_run(struct t_cpu *cpu)
{
	return T(cpu->fd, KVM_RUN, 0);
}

struct kvm_regs t_regs(struct t_cpu *cpu)
{
	struct kvm_regs regs;

	t_ok(T(cpu->fd, KVM_GET_REGS, &regs));
	return regs;
}

void t_set_regs(struct t_cpu *cpu, const struct kvm_regs *regs)
{
	t_ok(T(cpu->fd, KVM_SET_REGS, regs));
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

uint64_t t_msr(struct t_cpu *cpu, uint32_t index)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = index };

	assert_int_equal(T(cpu->fd, KVM_GET_MSRS, &m), 1);
	return m.entry.data;
}

long t_set_msr(struct t_cpu *cpu, uint32_t index, uint64_t val)
{
	struct one_msr m = { .head.nmsrs = 1, .entry = { .index = index, .data = val } };

	return T(cpu->fd, KVM_SET_MSRS, &m);
}

static void on_usr1(int sig)
{
}

void t_catch_usr1(void)
{
	struct sigaction act = { .sa_handler = on_usr1 };

	t_ok(sigaction(SIGUSR1, &act, NULL));
}

void t_cpu_long_over(struct t_vm *vm, struct t_cpu *cpu, uint64_t code, uint64_t rsi, uint64_t rcx)
{
	struct kvm_regs r;

	t_cpu_long(vm, cpu, code);
	r = t_regs(cpu);
	r.rsi = rsi;
	r.rcx = rcx;
	t_set_regs(cpu, &r);
}
