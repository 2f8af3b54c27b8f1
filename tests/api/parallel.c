/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * parallel.c - three vCPUs at full speed for some seconds, while the client does to their VM what clients do: memory
 * slots come and go, the dirty log is switched and read, interrupts come by irqfd, MSI and IPI, and the vCPUs rewrite
 * their own and each other's code. The suites api-asan and api-tsan run it on instrumented builds.
 *
 * time limit: 120 s
 */
#include "lib/t_kvm.h"
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#define CPUS		3
#define SECONDS		3
#define SHARED		0x1f000UL		/* counter of all */
#define DATA(n)		(0x10000UL + (n) * T_PAGE)
#define OWN_CODE(n)	(0x20000UL + (n) * T_PAGE)
#define SHARED_CODE	0x24003UL		/* its immediate operand is aligned */
#define WINDOW		0x2000000UL		/* a slot that comes and goes */
#define WINDOW_SIZE	0x10000UL
#define IDT		0x6000UL
#define GDT		0x5000UL
#define IRQFD_VECTOR	0x50
#define IPI_VECTOR	0x51
#define MSI_VECTOR	0x52
#define GSI		30

/* RBX: its data; R12: its own function; R13: APIC id to send to; R15: the window. */
struct data {
	uint64_t rounds, received[3], sent;
};

GUEST64(code,
	"	mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr; sti\n"
	"1:	incq (%rbx); lock incq 0x1f000\n"
	/* its own function returns what was written into it just now */
	"	mov %r14d, 1(%r12); call *%r12; cmp %r14d, %eax; jne 9f\n"
	/* the shared one returns what somebody has written, whole */
	"	test $7, %r14b; jne 4f; movzwl %r14w, %eax; imul $0x10001, %eax, %eax; mov %eax, 0x24004\n"
	"4:	mov $0x24003, %edx; call *%rdx; mov %eax, %edx; shr $16, %edx; cmp %ax, %dx; jne 9f\n"
	"	test $63, %r14b; jne 2f\n"
	"	mov $0x830, %ecx; mov %r13d, %edx; mov $0x51, %eax; wrmsr; incq 32(%rbx)\n"
	"2:	test $0xff, %r14b; jne 3f; mov %r14, (%r15); mov 8(%r15), %rax; out %al, $0x10\n"
	"3:	inc %r14; jmp 1b\n"
	"9:	out %al, $0x11; jmp 9b");
GUEST64(function, "mov $0, %eax; ret");
#define HANDLER(name, slot) \
	GUEST64(name, "push %rax; push %rcx; push %rdx; incq " slot "(%rbx); mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx;" \
		"wrmsr; pop %rdx; pop %rcx; pop %rax; iretq")
HANDLER(on_irqfd, "8");
HANDLER(on_ipi, "16");
HANDLER(on_msi, "24");

static struct t_vm vm;
static struct t_cpu cpu[CPUS];
static volatile bool stop;
static const char *failure[CPUS];

static struct data *data(unsigned int n)
{
	return (struct data *)(vm.mem + DATA(n));
}

static uint64_t seen(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void *run(void *arg)
{
	unsigned int n = (unsigned int)(uintptr_t)arg;
	struct kvm_run *r = cpu[n].run;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		long ret = t_run(&cpu[n]);

		if (ret == -EINTR)
			continue;
		if (ret)
			failure[n] = "KVM_RUN fails";
		else if (r->exit_reason == KVM_EXIT_MMIO && r->mmio.phys_addr - WINDOW < WINDOW_SIZE)
			continue;
		else if (r->exit_reason == KVM_EXIT_IO && r->io.port == 0x11)
			failure[n] = "stale code";
		else if (r->exit_reason != KVM_EXIT_IO)
			failure[n] = "exit";
		if (failure[n])
			break;
	}
	return NULL;
}

static void gate(unsigned int vector, uint64_t to)
{
	uint64_t *g = (uint64_t *)(vm.mem + IDT) + 2 * vector;

	g[0] = (to & 0xffff) | 8 << 16 | 0x8e00ULL << 32 | (to >> 16) << 48;
	g[1] = 0;
}

static void set_up(void)
{
	uint64_t *gdt;
	unsigned int n;

	t_vm_create(&vm, T_IRQCHIP);
	gdt = (uint64_t *)(vm.mem + GDT);
	gdt[1] = 0x00af9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	T_LOAD(&vm, T_CODE, code);
	T_LOAD(&vm, 0x9000, on_irqfd);
	T_LOAD(&vm, 0x9100, on_ipi);
	T_LOAD(&vm, 0x9200, on_msi);
	T_LOAD(&vm, SHARED_CODE, function);
	gate(IRQFD_VECTOR, 0x9000);
	gate(IPI_VECTOR, 0x9100);
	gate(MSI_VECTOR, 0x9200);
	for (n = 0; n < CPUS; n++) {
		struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
		struct kvm_sregs s;
		struct kvm_regs r;

		t_cpu_create(&vm, &cpu[n], n);
		T_LOAD(&vm, OWN_CODE(n), function);
		t_cpu_long(&vm, &cpu[n], T_CODE);
		t_ok(T(cpu[n].fd, KVM_GET_SREGS, &s));
		s.gdt.base = GDT;
		s.gdt.limit = 23;
		s.idt.base = IDT;
		s.idt.limit = 0xfff;
		s.apic_base |= 0xc00;		/* x2APIC */
		t_ok(T(cpu[n].fd, KVM_SET_SREGS, &s));
		r = t_regs(&cpu[n]);
		r.rbx = DATA(n);
		r.rsp = DATA(n) + 0xff0;
		r.r12 = OWN_CODE(n);
		r.r13 = (n + 1) % CPUS;
		r.r14 = n << 20;
		r.r15 = WINDOW;
		t_set_regs(&cpu[n], &r);
		t_ok(T(cpu[n].fd, KVM_SET_MP_STATE, &runnable));
	}
}

static void route(unsigned int to)
{
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e; } r = { .head.nr = 1 };

	r.e.gsi = GSI;
	r.e.type = KVM_IRQ_ROUTING_MSI;
	r.e.u.msi.address_lo = 0xfee00000 | to << 12;
	r.e.u.msi.data = IRQFD_VECTOR;
	t_ok(T(vm.fd, KVM_SET_GSI_ROUTING, &r));
}

/* Log what is written between two looks: every vCPU's page and the shared one, if they went on meanwhile. */
static void dirty_log(unsigned int turn)
{
	static uint64_t bits[T_MEM / T_PAGE / 64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bits };
	uint64_t before[CPUS];
	unsigned int n;

	t_ok(t_slot(&vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, T_MEM, vm.mem));
	t_ok(T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	for (n = 0; n < CPUS; n++)
		before[n] = seen(&data(n)->rounds);
	for (n = 0; n < CPUS; n++)
		while (seen(&data(n)->rounds) < before[n] + 2 && !failure[n])
			sched_yield();
	t_ok(T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	for (n = 0; n < CPUS; n++)
		assert_true(bits[0] >> (DATA(n) / T_PAGE) & 1);
	assert_true(bits[0] >> (SHARED / T_PAGE) & 1);
	if (turn & 1)
		t_ok(t_slot(&vm, 0, 0, 0, T_MEM, vm.mem));
}

static void all_at_once(void **state)
{
	struct kvm_irqfd irqfd = { .gsi = GSI };
	uint8_t *window = t_mmap(WINDOW_SIZE);
	uint64_t total = 0, shared, irqs[3] = { 0 };
	struct timespec start, now;
	pthread_t thread[CPUS];
	unsigned int n, turn;
	int fd = eventfd(0, EFD_NONBLOCK);

	set_up();
	t_catch_usr1();
	route(0);
	irqfd.fd = (uint32_t)fd;
	t_ok(T(vm.fd, KVM_IRQFD, &irqfd));
	for (n = 0; n < CPUS; n++)
		t_ok(pthread_create(&thread[n], NULL, run, (void *)(uintptr_t)n));
	/* by then their APICs are switched on */
	for (n = 0; n < CPUS; n++)
		while (!seen(&data(n)->rounds) && !failure[n])
			sched_yield();
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (turn = 0;; turn++) {
		struct kvm_msi msi = { .address_lo = 0xfee00000 | (turn % CPUS) << 12, .data = MSI_VECTOR };

		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec >= SECONDS || failure[0] || failure[1] || failure[2])
			break;
		t_ok(t_slot(&vm, 1, 0, WINDOW, WINDOW_SIZE, window));
		eventfd_write(fd, 1);
		assert_true(T(vm.fd, KVM_SIGNAL_MSI, &msi) > 0);
		route(turn % CPUS);
		dirty_log(turn);
		/* moved, and away */
		t_ok(t_slot(&vm, 1, 0, WINDOW + WINDOW_SIZE, WINDOW_SIZE, window));
		t_ok(t_slot(&vm, 1, 0, WINDOW, 0, NULL));
		if (!(turn & 7)) {
			irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
			t_ok(T(vm.fd, KVM_IRQFD, &irqfd));
			irqfd.flags = 0;
			t_ok(T(vm.fd, KVM_IRQFD, &irqfd));
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (n = 0; n < CPUS; n++) {
		__atomic_store_n(&cpu[n].run->immediate_exit, 1, __ATOMIC_RELAXED);
		pthread_kill(thread[n], SIGUSR1);
		t_ok(pthread_join(thread[n], NULL));
	}
	for (n = 0; n < CPUS; n++) {
		if (failure[n])
			print_message("# vCPU %u: %s\n", n, failure[n]);
		assert_null(failure[n]);
		total += data(n)->rounds;
		irqs[0] += data(n)->received[0];
		irqs[1] += data(n)->received[1];
		irqs[2] += data(n)->received[2];
		assert_true(data(n)->sent > 0);
	}
	shared = *(uint64_t *)(vm.mem + SHARED);
	print_message("# %u turns, %lu rounds, %lu by irqfd, %lu IPIs, %lu MSIs\n", turn, (unsigned long)total,
		      (unsigned long)irqs[0], (unsigned long)irqs[1], (unsigned long)irqs[2]);
	/* each may have been stopped between its own counter and the shared one */
	assert_in_range(total - shared, 0, CPUS);
	assert_true(irqs[0] > 0 && irqs[1] > 0 && irqs[2] > 0);
	for (n = 0; n < CPUS; n++)
		t_cpu_destroy(&cpu[n]);
	t_vm_destroy(&vm);
	close(fd);
}

T_MAIN(T_CASE(all_at_once))
