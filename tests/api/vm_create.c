/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * vm_create.c - VMs and vCPUs: creation, limits, what may be set only before the first vCPU, KVM_ENABLE_CAP's refusals,
 * several VMs in one program, descriptors closed in any order while vCPUs run, fork.
 */
#include "lib/t_kvm.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

GUEST16(code_hlt, "1: hlt; jmp 1b");
GUEST16(code_loop, "1: incl 0x600; jmp 1b");
GUEST16(code_count, "1: incl 0x600; cmpl $100000, 0x600; jb 1b; movl 0x604, %eax; outl %eax, $0x10; hlt");

static void vcpu_ids(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	long max;

	t_vm_create(&vm, 0);
	max = t_cap(&vm, KVM_CAP_MAX_VCPU_ID);
	t_fails(EINVAL, T(vm.fd, KVM_CREATE_VCPU, max));
	t_fails(EINVAL, T(vm.fd, KVM_CREATE_VCPU, ~0UL));
	t_cpu_create(&vm, &cpu, 1);
	assert_true(fcntl(cpu.fd, F_GETFD) & FD_CLOEXEC);
	t_fails(EEXIST, T(vm.fd, KVM_CREATE_VCPU, 1));
	t_cpu_destroy(&cpu);
	t_fails(EEXIST, T(vm.fd, KVM_CREATE_VCPU, 1));	/* an id is taken until the VM ends */
	t_cpu_create(&vm, &cpu, (unsigned long)max - 1);
	T_END(&vm, &cpu);
}

static void as_many_vcpus_as_announced(void **state)
{
	struct t_vm vm;
	long max, i;
	int fd[1024];

	t_vm_create(&vm, T_IRQCHIP);
	max = t_cap(&vm, KVM_CAP_MAX_VCPUS);
	if (max <= 64) {		/* a kernel's thousand takes seconds */
		for (i = 0; i < max; i++) {
			fd[i] = (int)T(vm.fd, KVM_CREATE_VCPU, i);
			assert_true(fd[i] >= 0);
		}
		t_fails(EINVAL, T(vm.fd, KVM_CREATE_VCPU, max));
		for (i = 0; i < max; i++)
			close(fd[i]);
	}
	t_vm_destroy(&vm);
}

static void mapping(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	struct kvm_run *again;
	uint8_t *ring;

	T_START(&vm, &cpu, 0, code_hlt);
	again = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, cpu.fd, 0);
	assert_ptr_not_equal(again, MAP_FAILED);
	ring = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, cpu.fd, 2 * 4096);
	assert_ptr_not_equal(ring, MAP_FAILED);
	munmap(cpu.run, cpu.run_size);
	again->immediate_exit = 1;
	t_fails(EINTR, t_run(&cpu));
	again->immediate_exit = 0;
	t_ok(t_run(&cpu));
	assert_int_equal(again->exit_reason, KVM_EXIT_HLT);
	cpu.run = again;
	cpu.run_size = 4096;
	munmap(ring, 4096);
	T_END(&vm, &cpu);
}

static void tss_and_identity_map(void **state)
{
	uint64_t addr = 0xfeffc000;
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, 0);
	t_ok(T(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	t_fails(EFAULT, T(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, T_BAD_PTR));
	t_ok(T(vm.fd, KVM_SET_TSS_ADDR, 0xfeffd000));
	t_fails(EINVAL, T(vm.fd, KVM_SET_TSS_ADDR, 0xfffff000));
	t_fails(EINVAL, T(vm.fd, KVM_SET_TSS_ADDR, 0x100000000UL));
	t_cpu_create(&vm, &cpu, 0);
	t_fails(EINVAL, T(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	T_END(&vm, &cpu);
}

static void boot_cpu(void **state)
{
	struct kvm_sregs s;
	struct t_vm vm;
	struct t_cpu cpu[2];
	struct kvm_mp_state mp;

	t_vm_create(&vm, T_IRQCHIP);
	t_ok(T(vm.fd, KVM_SET_BOOT_CPU_ID, 1));
	t_cpu_create(&vm, &cpu[0], 0);
	t_fails(EBUSY, T(vm.fd, KVM_SET_BOOT_CPU_ID, 0));
	t_cpu_create(&vm, &cpu[1], 1);
	t_ok(T(cpu[0].fd, KVM_GET_SREGS, &s));
	assert_false(s.apic_base & 0x100);		/* IA32_APIC_BASE.BSP */
	t_ok(T(cpu[1].fd, KVM_GET_SREGS, &s));
	assert_true(s.apic_base & 0x100);
	t_ok(T(cpu[0].fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	t_ok(T(cpu[1].fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	t_cpu_destroy(&cpu[0]);
	T_END(&vm, &cpu[1]);
}

static void max_vcpu_id(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	long max;

	t_vm_create(&vm, 0);
	max = t_cap(&vm, KVM_CAP_MAX_VCPU_ID);
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_MAX_VCPU_ID, (uint64_t)max + 1));
	t_ok(t_enable(vm.fd, KVM_CAP_MAX_VCPU_ID, 3));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_MAX_VCPU_ID, 4));	/* once */
	t_fails(EINVAL, T(vm.fd, KVM_CREATE_VCPU, 3));
	t_cpu_create(&vm, &cpu, 2);
	T_END(&vm, &cpu);
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_MAX_VCPU_ID, 3));	/* too late */
	T_END(&vm, &cpu);
}

static void enable_cap_refusals(void **state)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .flags = 1, .args = { 1 } };
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_fails(EINVAL, T(vm.fd, KVM_ENABLE_CAP, &c));
	t_fails(EFAULT, T(vm.fd, KVM_ENABLE_CAP, T_BAD_PTR));
	t_fails(EINVAL, t_enable(vm.fd, 0xfff0, 1));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_IRQCHIP, 1));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_X2APIC_API, 8 << 8));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 8));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_INITIALLY_SET));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_X86_USER_SPACE_MSR, 1 << 20));
	t_fails(EFAULT, T(cpu.fd, KVM_ENABLE_CAP, T_BAD_PTR));
	t_fails(EINVAL, T(cpu.fd, KVM_ENABLE_CAP, &c));
	t_fails(EINVAL, t_enable(cpu.fd, 0xfff0, 1));
	t_fails(EINVAL, t_enable(cpu.fd, KVM_CAP_IRQCHIP, 1));
	T_END(&vm, &cpu);
}

/* ---- several at once ---- */

static void *run_to_hlt(void *arg)
{
	struct t_cpu *cpu = arg;

	while (!t_run(cpu))
		if (cpu->run->exit_reason == KVM_EXIT_IO)
			return (void *)(uintptr_t)*(uint32_t *)t_io_data(cpu->run);
	return (void *)~0UL;
}

static void two_vms_in_one_program(void **state)
{
	struct t_vm vm[2];
	struct t_cpu cpu[2];
	pthread_t t[2];
	void *out;
	uint32_t i;

	for (i = 0; i < 2; i++) {
		T_START(&vm[i], &cpu[i], i ? T_IRQCHIP : 0, code_count);
		memcpy(vm[i].mem + 0x604, &(uint32_t){ 0x1000 + i }, 4);
	}
	for (i = 0; i < 2; i++)
		t_ok(pthread_create(&t[i], NULL, run_to_hlt, &cpu[i]));
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], &out);
		assert_int_equal((uintptr_t)out, 0x1000 + i);
		assert_int_equal(*(uint32_t *)(vm[i].mem + 0x600), 100000);
	}
	T_END(&vm[0], &cpu[0]);
	t_set_regs(&cpu[1], &(struct kvm_regs){ .rip = T_CODE, .rflags = 2 });
	t_run_to(&cpu[1], KVM_EXIT_IO);		/* the other one is still there */
	T_END(&vm[1], &cpu[1]);
}

/* One thread runs the vCPUs of two VMs in turn. */
static void two_vms_in_one_thread(void **state)
{
	struct t_vm vm[2];
	struct t_cpu cpu[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		T_START(&vm[i], &cpu[i], 0, code_hlt);
	for (i = 0; i < 20; i++)
		t_run_to(&cpu[i & 1], KVM_EXIT_HLT);
	T_END(&vm[0], &cpu[0]);
	t_run_to(&cpu[1], KVM_EXIT_HLT);
	T_END(&vm[1], &cpu[1]);
}

static void *run_until_error(void *arg)
{
	struct t_cpu *cpu = arg;
	long ret;

	do
		ret = t_run(cpu);
	while (!ret);
	return (void *)ret;
}

/* Every order of closing /dev/kvm, the VM, the vCPU that runs and one that does not. */
static void closed_in_any_order_while_running(void **state)
{
	unsigned int order, i;

	for (order = 0; order < 24; order++) {
		unsigned int left[4] = { 0, 1, 2, 3 }, n, code = order;
		struct t_cpu cpu, idle;
		struct t_vm vm;
		pthread_t t;
		void *ret;
		int fd[4];

		T_START(&vm, &cpu, 0, code_loop);
		t_cpu_create(&vm, &idle, 1);
		fd[0] = vm.kvm;
		fd[1] = vm.fd;
		fd[2] = cpu.fd;
		fd[3] = idle.fd;
		t_ok(pthread_create(&t, NULL, run_until_error, &cpu));
		while (!*(volatile uint32_t *)(vm.mem + 0x600))
			usleep(500);
		for (n = 4; n; n--) {		/* order in factorial base: every permutation once */
			i = code % n;
			code /= n;
			close(fd[left[i]]);
			left[i] = left[n - 1];
		}
		cpu.run->immediate_exit = 1;
		do {
			pthread_kill(t, SIGUSR1);
			usleep(1000);
		} while (pthread_tryjoin_np(t, &ret));
		/* its descriptor is gone: the call that was inside ends, the next finds nothing */
		if ((long)ret != -EINTR)
			t_fails(EBADF, (long)ret);
		munmap(cpu.run, cpu.run_size);
		munmap(idle.run, idle.run_size);
		munmap(vm.mem, T_MEM);
	}
}

/* A second thread's ioctl on a running vCPU waits; on another vCPU it does not. */
static void other_vcpu_while_running(void **state)
{
	struct t_cpu cpu, idle;
	struct kvm_regs regs;
	struct t_vm vm;
	pthread_t t;
	void *ret;

	T_START(&vm, &cpu, 0, code_loop);
	t_cpu_create(&vm, &idle, 1);
	t_ok(pthread_create(&t, NULL, run_until_error, &cpu));
	usleep(2000);
	t_ok(T(idle.fd, KVM_GET_REGS, &regs));
	t_ok(t_slot(&vm, 1, 0, 0x10000000, 0x1000, vm.mem));
	assert_true(pthread_tryjoin_np(t, &ret) == EBUSY);
	cpu.run->immediate_exit = 1;
	do {
		pthread_kill(t, SIGUSR1);
		usleep(1000);
	} while (pthread_tryjoin_np(t, &ret));
	assert_int_equal((long)ret, -EINTR);
	t_cpu_destroy(&idle);
	T_END(&vm, &cpu);
}

static void forked_child_gets_eio(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	int status;
	pid_t pid;

	T_START(&vm, &cpu, T_IRQCHIP, code_hlt);
	pid = fork();
	if (!pid) {
		struct kvm_irq_level level = { .irq = 1 };
		struct kvm_regs regs;

		if (t_run(&cpu) != -EIO || T(cpu.fd, KVM_GET_REGS, &regs) != -EIO)
			_exit(1);
		if (T(vm.fd, KVM_IRQ_LINE, &level) != -EIO || T(vm.fd, KVM_CREATE_VCPU, 1) != -EIO ||
		    t_slot(&vm, 1, 0, 0x10000000, 0x1000, vm.mem) != -EIO)
			_exit(2);
		if (T(vm.fd, KVM_CHECK_EXTENSION, 0) != -EIO)
			_exit(3);
		if (T(vm.kvm, KVM_CHECK_EXTENSION, 0) != 1)
			_exit(4);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	t_cpu_create(&vm, &(struct t_cpu){ 0 }, 1);	/* the parent is untouched */
	T_END(&vm, &cpu);
}

/* A hundred VMs one after another: nothing is used up. */
static void vms_come_and_go(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	int i, fd;

	for (i = 0; i < 100; i++) {
		T_START(&vm, &cpu, i & 1 ? T_PIT : 0, code_hlt);
		if (!(i & 1))
			t_run_to(&cpu, KVM_EXIT_HLT);
		T_END(&vm, &cpu);
	}
	fd = open("/dev/null", O_RDONLY);
	assert_true(fd < 50);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T_CASE(vcpu_ids), T_CASE(as_many_vcpus_as_announced), T_CASE(mapping), T_CASE(tss_and_identity_map),
		T_CASE(boot_cpu), T_CASE(max_vcpu_id), T_CASE(enable_cap_refusals), T_CASE(two_vms_in_one_program),
		T_CASE(two_vms_in_one_thread), T_CASE(closed_in_any_order_while_running),
		T_CASE(other_vcpu_while_running), T_CASE(forked_child_gets_eio), T_CASE(vms_come_and_go),
	};

	if (!t_have_kvm())
		return 77;
	t_catch_usr1();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
