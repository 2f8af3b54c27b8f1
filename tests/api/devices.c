/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* devices.c - the 8254, coalesced writes, statistics files. */
#include "lib/t_kvm.h"
#include <pthread.h>
#include <signal.h>

static struct t_vm vm;
static struct t_cpu cpu;

/* ---- 8254 ---- */

GUEST16(pit_code, "movb $0x36, %al; outb %al, $0x43; movb $0x34, %al; outb %al, $0x40; movb $0x12, %al; outb %al, $0x40; outb %al, $0x10; hlt");

static void pit_creation(void **state)
{
	struct kvm_pit_config c = { .flags = 0 };
	struct kvm_pit_state2 s;

	t_vm_create(&vm, 0);
	t_fails(ENOENT, T(vm.fd, KVM_CREATE_PIT2, &c));
	t_fails(ENXIO, T(vm.fd, KVM_GET_PIT2, &s));
	memset(&s, 0, sizeof(s));
	t_fails(ENXIO, T(vm.fd, KVM_SET_PIT2, &s));
	t_vm_destroy(&vm);
	t_vm_create(&vm, T_SPLIT);
	t_fails(ENOENT, T(vm.fd, KVM_CREATE_PIT2, &c));
	t_vm_destroy(&vm);
	t_vm_create(&vm, T_IRQCHIP);
	t_fails(EFAULT, T(vm.fd, KVM_CREATE_PIT2, T_BAD_PTR));
	t_ok(T(vm.fd, KVM_CREATE_PIT2, &c));
	t_fails(EEXIST, T(vm.fd, KVM_CREATE_PIT2, &c));
	t_fails(EEXIST, T(vm.fd, KVM_CREATE_PIT, 0));
	t_vm_destroy(&vm);
	t_vm_create(&vm, T_IRQCHIP);
	t_ok(T(vm.fd, KVM_CREATE_PIT, 0));
	t_vm_destroy(&vm);
}

static void pit_state(void **state)
{
	struct kvm_reinject_control re = { .pit_reinject = 0 };
	struct kvm_pit_state2 s, t;
	struct kvm_pit_state old;

	T_START(&vm, &cpu, T_PIT, pit_code);
	t_run_to(&cpu, KVM_EXIT_IO);
	t_ok(T(vm.fd, KVM_GET_PIT2, &s));
	assert_int_equal(s.channels[0].count, 0x1234);
	assert_int_equal(s.channels[0].mode, 3);
	assert_int_equal(s.channels[0].rw_mode, 3);
	t_ok(T(vm.fd, KVM_GET_PIT, &old));
	assert_int_equal(old.channels[0].count, 0x1234);
	s.channels[2].count = 0x4321;
	s.channels[2].mode = 0;
	t_ok(T(vm.fd, KVM_SET_PIT2, &s));
	t_ok(T(vm.fd, KVM_GET_PIT2, &t));
	assert_int_equal(t.channels[2].count, 0x4321);
	assert_int_equal(t.channels[0].count, 0x1234);
	old.channels[2].count = 0x2222;
	t_ok(T(vm.fd, KVM_SET_PIT, &old));
	t_ok(T(vm.fd, KVM_GET_PIT2, &t));
	assert_int_equal(t.channels[2].count, 0x2222);
	t_fails(EFAULT, T(vm.fd, KVM_GET_PIT2, T_BAD_PTR));
	t_fails(EFAULT, T(vm.fd, KVM_SET_PIT2, T_BAD_PTR));
	t_fails(EFAULT, T(vm.fd, KVM_GET_PIT, T_BAD_PTR));
	t_fails(EFAULT, T(vm.fd, KVM_SET_PIT, T_BAD_PTR));
	t_ok(T(vm.fd, KVM_REINJECT_CONTROL, &re));
	re.pit_reinject = 1;
	t_ok(T(vm.fd, KVM_REINJECT_CONTROL, &re));
	t_fails(EFAULT, T(vm.fd, KVM_REINJECT_CONTROL, T_BAD_PTR));
	T_END(&vm, &cpu);
	t_vm_create(&vm, T_IRQCHIP);
	t_fails(ENXIO, T(vm.fd, KVM_REINJECT_CONTROL, &re));
	t_vm_destroy(&vm);
}

/* ---- coalesced writes ---- */

static struct kvm_coalesced_mmio_ring *ring(void)
{
	return (void *)((uint8_t *)cpu.run + t_cap(&vm, KVM_CAP_COALESCED_MMIO) * 4096);
}

static long zone(unsigned long nr, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };

	return T(vm.fd, nr, &z);
}

#define REG	KVM_REGISTER_COALESCED_MMIO
#define UNREG	KVM_UNREGISTER_COALESCED_MMIO

/* Memory ends at 1 MiB: 0xffff:0x10 on is the zone. */
GUEST16(co_code, "movw $0xffff, %ax; movw %ax, %ds; movb $1, 0x10; movw $2, 0x12; movb $3, 0x30; outb %al, $0x10; hlt");
GUEST16(co_fill, "movw $0xffff, %ax; movw %ax, %ds; 1: movb $1, 0x10; jmp 1b");
GUEST16(co_pio, "movb $7, %al; outb %al, $0x60; outb %al, $0x61; outb %al, $0x62; hlt");

static void co_begin(const uint8_t *code, const uint8_t *code_end)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(t_slot(&vm, 0, 0, 0, 0, NULL));
	t_ok(t_slot(&vm, 0, 0, 0, 0x100000, vm.mem));
	memcpy(vm.mem + T_CODE, code, (size_t)(code_end - code));
	t_cpu_real(&cpu, T_CODE);
}

static void coalesced_mmio(void **state)
{
	struct kvm_coalesced_mmio_ring *r;

	co_begin(co_code, co_code_end);
	r = ring();
	t_ok(zone(REG, 0x100000, 0x10, 0));
	t_run_to(&cpu, KVM_EXIT_MMIO);			/* 0x30 is outside */
	assert_int_equal(cpu.run->mmio.phys_addr, 0x100020);
	assert_int_equal(r->first, 0);
	assert_int_equal(r->last, 2);
	assert_int_equal(r->coalesced_mmio[0].phys_addr, 0x100000);
	assert_int_equal(r->coalesced_mmio[0].len, 1);
	assert_int_equal(r->coalesced_mmio[0].data[0], 1);
	assert_int_equal(r->coalesced_mmio[1].phys_addr, 0x100002);
	assert_int_equal(r->coalesced_mmio[1].len, 2);
	r->first = r->last;
	t_run_to(&cpu, KVM_EXIT_IO);
	t_ok(zone(UNREG, 0x100000, 0x11, 0));		/* more than the zone: not meant */
	t_cpu_real(&cpu, T_CODE);
	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal(cpu.run->mmio.phys_addr, 0x100020);
	t_run_to(&cpu, KVM_EXIT_IO);
	t_ok(zone(UNREG, 0x10000c, 4, 0));		/* a part of it stands for the whole */
	t_cpu_real(&cpu, T_CODE);
	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal(cpu.run->mmio.phys_addr, 0x100000);
	t_ok(zone(UNREG, 0x100000, 0x10, 0));		/* nothing there: fine */
	t_fails(EINVAL, zone(REG, 0, 1, 2));
	t_fails(EINVAL, zone(UNREG, 0, 1, 2));
	t_fails(EFAULT, T(vm.fd, REG, T_BAD_PTR));
	t_fails(EFAULT, T(vm.fd, UNREG, T_BAD_PTR));
	T_END(&vm, &cpu);
}

/* A full ring: the write exits. Nonsense in its indices is the client's own loss. */
static void full_ring(void **state)
{
	struct kvm_coalesced_mmio_ring *r;

	co_begin(co_fill, co_fill_end);
	r = ring();
	t_ok(zone(REG, 0x100000, 0x10, 0));
	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal((r->last + 1) % 170, r->first);
	r->first = (r->first + 10) % 170;
	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal((r->last + 1) % 170, r->first);
	r->last = 0xffffffff;
	t_run_to(&cpu, KVM_EXIT_MMIO);
	r->first = 0xffffffff;
	t_run_to(&cpu, KVM_EXIT_MMIO);
	T_END(&vm, &cpu);
}

static void coalesced_pio(void **state)
{
	struct kvm_coalesced_mmio_ring *r;

	co_begin(co_pio, co_pio_end);
	if (!t_cap(&vm, KVM_CAP_COALESCED_PIO))
		skip();
	r = ring();
	t_ok(zone(REG, 0x60, 2, 1));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x62);
	assert_int_equal(r->last, 2);
	assert_int_equal(r->coalesced_mmio[1].phys_addr, 0x61);
	assert_int_equal(r->coalesced_mmio[1].pio, 1);
	assert_int_equal(r->coalesced_mmio[1].data[0], 7);
	T_END(&vm, &cpu);
}

/* BX writes of two bytes to SI, each with the next number. */
GUEST16(co_count, "movw $0xffff, %ax; movw %ax, %ds; xorw %ax, %ax; 1: incw %ax; movw %ax, (%si); cmpw %bx, %ax; jne 1b; hlt");

#define WRITES	30000

struct writer {
	struct t_cpu cpu;
	uint64_t addr;
	unsigned int from_ring, exits, last;
};

static struct writer writers[2];
static pthread_mutex_t drain_lock = PTHREAD_MUTEX_INITIALIZER;

static struct kvm_coalesced_mmio_ring *ring_of(struct t_cpu *c)
{
	return (void *)((uint8_t *)c->run + 2 * T_PAGE);
}

/* What the vCPUs wrote, by the mapping of one of them; false: nonsense. */
static bool drain(struct t_cpu *c)
{
	struct kvm_coalesced_mmio_ring *r = ring_of(c);
	bool ok = true;
	uint32_t end;

	pthread_mutex_lock(&drain_lock);
	end = __atomic_load_n(&r->last, __ATOMIC_ACQUIRE);
	while (r->first != end && ok) {
		const struct kvm_coalesced_mmio *m = &r->coalesced_mmio[r->first];
		struct writer *w = &writers[(m->phys_addr - 0x100000) / 8 & 1];
		uint16_t value = *(const uint16_t *)m->data;

		ok = m->phys_addr == w->addr && m->len == 2 && value > w->last;
		w->last = value;
		w->from_ring++;
		__atomic_store_n(&r->first, (r->first + 1) % 170, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&drain_lock);
	return ok;
}

/* A vCPU's thread, which empties the ring after each exit, as kvmtool's do. */
static void *write_all(void *arg)
{
	struct writer *w = arg;
	bool in_order;

	for (;;) {
		if (t_run(&w->cpu))
			return "KVM_RUN";
		if (!drain(&w->cpu))
			return "ring";
		if (w->cpu.run->exit_reason == KVM_EXIT_HLT)
			return NULL;
		/* the ring was full */
		if (w->cpu.run->exit_reason != KVM_EXIT_MMIO || w->cpu.run->mmio.phys_addr != w->addr)
			return "exit";
		pthread_mutex_lock(&drain_lock);
		in_order = *(uint16_t *)w->cpu.run->mmio.data > w->last;
		pthread_mutex_unlock(&drain_lock);
		if (!in_order)
			return "order";
		w->exits++;
	}
}

/*
 * Two vCPUs write to one zone at once; one ring has all their writes, each vCPU's in its order, and every vCPU's
 * mapping shows it.
 */
static void one_ring_for_all(void **state)
{
	struct kvm_coalesced_mmio_ring *again;
	struct writer *w = writers;
	pthread_t thread[2];
	unsigned int n;
	void *error;

	t_vm_create(&vm, 0);
	for (n = 0; n < 2; n++) {
		t_cpu_create(&vm, &w[n].cpu, n);
		w[n].addr = 0x100000 + n * 8;
	}
	t_ok(t_slot(&vm, 0, 0, 0, 0, NULL));
	t_ok(t_slot(&vm, 0, 0, 0, 0x100000, vm.mem));
	T_LOAD(&vm, T_CODE, co_count);
	t_ok(zone(REG, 0x100000, 0x10, 0));
	for (n = 0; n < 2; n++) {
		struct kvm_regs regs;

		t_cpu_real(&w[n].cpu, T_CODE);
		regs = t_regs(&w[n].cpu);
		regs.rsi = 0x10 + n * 8;
		regs.rbx = WRITES;
		t_set_regs(&w[n].cpu, &regs);
	}
	for (n = 0; n < 2; n++)
		t_ok(pthread_create(&thread[n], NULL, write_all, &w[n]));
	for (n = 0; n < 2; n++) {
		t_ok(pthread_join(thread[n], &error));
		assert_null(error);
	}
	assert_true(drain(&w[0].cpu));
	for (n = 0; n < 2; n++) {
		print_message("# vCPU %u: %u in the ring, %u exits\n", n, w[n].from_ring, w[n].exits);
		assert_int_equal(w[n].from_ring + w[n].exits, WRITES);
		assert_true(w[n].from_ring > WRITES / 2);
	}
	/* one more mapping, of the ring's page alone */
	again = mmap(NULL, T_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, w[1].cpu.fd, 2 * T_PAGE);
	assert_ptr_not_equal(again, MAP_FAILED);
	again->first = 77;
	assert_int_equal(ring_of(&w[0].cpu)->first, 77);
	assert_int_equal(ring_of(&w[1].cpu)->first, 77);
	assert_int_equal(again->last, ring_of(&w[0].cpu)->last);
	munmap(again, T_PAGE);
	t_cpu_destroy(&w[1].cpu);
	t_cpu_destroy(&w[0].cpu);
	t_vm_destroy(&vm);
}

/* ---- statistics ---- */

GUEST16(out_code, "1: outb %al, $0x10; jmp 1b");

/* The value of a counter by name; -1: there is none. Checks the file's form on the way. */
static int64_t counter(int fd, const char *name)
{
	struct kvm_stats_header h;
	int64_t found = -1;
	uint8_t *all;
	off_t size;
	uint32_t i;

	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(h.flags, 0);
	assert_true(h.num_desc > 0 && h.name_size > 0 && h.name_size % 8 == 0);
	assert_true(h.id_offset >= sizeof(h) && h.desc_offset >= h.id_offset + h.name_size);
	assert_true(h.data_offset >= h.desc_offset + h.num_desc * (sizeof(struct kvm_stats_desc) + h.name_size));
	size = h.data_offset + 4096 * 8;
	all = calloc(1, (size_t)size);
	size = pread(fd, all, (size_t)size, 0);
	assert_memory_equal(all + h.id_offset, "kvm", 3);
	for (i = 0; i < h.num_desc; i++) {
		const struct kvm_stats_desc *d = (void *)(all + h.desc_offset + i * (sizeof(*d) + h.name_size));
		const char *n = (const char *)(d + 1);

		assert_true(strnlen(n, h.name_size) < h.name_size && *n);
		assert_true((d->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_MAX);
		assert_true(d->size >= 1);
		assert_true(h.data_offset + d->offset + d->size * 8 <= size);
		if (!strcmp(n, name))
			memcpy(&found, all + h.data_offset + d->offset, 8);
	}
	free(all);
	return found;
}

static void statistics(void **state)
{
	int fd, vmfd, i;
	int64_t before;
	char byte;

	T_START(&vm, &cpu, 0, out_code);
	if (!t_cap(&vm, KVM_CAP_BINARY_STATS_FD))
		skip();
	fd = (int)T(cpu.fd, KVM_GET_STATS_FD, 0);
	vmfd = (int)T(vm.fd, KVM_GET_STATS_FD, 0);
	assert_true(fd >= 0 && vmfd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	before = counter(fd, "exits");
	assert_true(before >= 0);
	assert_int_equal(counter(fd, "no such counter"), -1);
	assert_true(counter(vmfd, "remote_tlb_flush") >= 0);
	for (i = 0; i < 10; i++)
		t_run_to(&cpu, KVM_EXIT_IO);
	assert_true(counter(fd, "exits") - before >= 10);
	assert_int_equal(pread(fd, &byte, 1, 1 << 24), 0);
	/* lives on without the VM's other descriptors */
	T_END(&vm, &cpu);
	assert_true(counter(fd, "exits") - before >= 10);
	close(fd);
	assert_true(counter(vmfd, "remote_tlb_flush") >= 0);
	close(vmfd);
}

GUEST16(sleeper_code, "mov $0x3000, %ax; call *%ax; movb $1, 0x2000; cli; 1: hlt; jmp 1b");
GUEST16(sleeper_function, "ret");
GUEST16(writer_code, "1: mov $1000, %cx; 2: movb %cl, 0x3800; loop 2b; outb %al, $0x10; jmp 1b");

static void *run_until_told(void *arg)
{
	return (void *)t_run(arg);
}

/*
 * A processor that sleeps has run code of a page; another one writes to that page. What the writes cost must not stay
 * what it was when the code was in use.
 */
static void code_of_a_sleeper(void **state)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct t_cpu sleeper;
	int64_t before, after;
	pthread_t t;
	void *ret;
	int fd;

	T_START(&vm, &cpu, T_IRQCHIP, writer_code);
	if (!t_cap(&vm, KVM_CAP_BINARY_STATS_FD))
		skip();
	t_catch_usr1();
	t_cpu_create(&vm, &sleeper, 1);
	T_LOAD(&vm, 0x3000, sleeper_function);
	T_LOAD(&vm, 0x4000, sleeper_code);
	t_cpu_real(&sleeper, 0x4000);
	t_ok(T(sleeper.fd, KVM_SET_MP_STATE, &runnable));
	t_ok(pthread_create(&t, NULL, run_until_told, &sleeper));
	while (!__atomic_load_n(vm.mem + 0x2000, __ATOMIC_ACQUIRE))
		sched_yield();
	fd = (int)T(cpu.fd, KVM_GET_STATS_FD, 0);
	do {
		before = counter(fd, "insn_emulation");
		t_run_to(&cpu, KVM_EXIT_IO);
		after = counter(fd, "insn_emulation");
	} while (after - before >= 1000);
	assert_int_equal(vm.mem[0x3800], 1);
	close(fd);
	__atomic_store_n(&sleeper.run->immediate_exit, 1, __ATOMIC_RELAXED);
	pthread_kill(t, SIGUSR1);
	t_ok(pthread_join(t, &ret));
	assert_int_equal((long)ret, -EINTR);
	t_cpu_destroy(&sleeper);
	T_END(&vm, &cpu);
}

T_MAIN(T_CASE(pit_creation), T_CASE(pit_state), T_CASE(coalesced_mmio), T_CASE(full_ring), T_CASE(coalesced_pio), T_CASE(one_ring_for_all),
       T_CASE(statistics), T_CASE(code_of_a_sleeper))
