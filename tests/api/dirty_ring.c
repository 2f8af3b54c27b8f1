/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* dirty_ring.c - KVM_CAP_DIRTY_LOG_RING: written pages as entries in a ring that the client maps. */
#include "lib/t_kvm.h"

#define SLOT	1
#define PAGES	400
#define AT	0x2000000UL
#define ENTRIES	256		/* a page, the least there may be */
#define OFFSET	(KVM_DIRTY_LOG_PAGE_OFFSET * T_PAGE)

/* Writes a byte to each of the pages whose numbers are given in %esi (first) and %ecx (how many), then port 0x10. */
GUEST64(writer, "1: mov %esi, %eax; shl $12, %rax; add $0x2000000, %rax; movb $1, (%rax); inc %esi; dec %ecx; jnz 1b;"
	"out %al, $0x10; hlt");
/* The same by REP STOSQ over all of them. */
GUEST64(filler, "mov %esi, %edi; shl $12, %rdi; add $0x2000000, %rdi; shl $9, %ecx; cld; rep stosq; out %al, $0x10; hlt");

static struct t_vm vm;
static struct t_cpu cpu;
static uint8_t *mem;
static struct kvm_dirty_gfn *ring;
static uint32_t next;		/* entry */

static void begin(void)
{
	t_vm_create(&vm, 0);
	if (!t_cap(&vm, KVM_CAP_DIRTY_LOG_RING)) {
		printf("no dirty rings here\n");
		t_vm_destroy(&vm);
		skip();
	}
	t_ok(t_enable(vm.fd, KVM_CAP_DIRTY_LOG_RING, ENTRIES * sizeof(*ring)));
	t_cpu_create(&vm, &cpu, 0);
	mem = t_mmap(PAGES * T_PAGE);
	t_ok(t_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, AT, PAGES * T_PAGE, mem));
	T_LOAD(&vm, T_CODE, writer);
	T_LOAD(&vm, T_CODE + 0x100, filler);
	ring = mmap(NULL, ENTRIES * sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED, cpu.fd, OFFSET);
	assert_ptr_not_equal(ring, MAP_FAILED);
	next = 0;
}

static void end(void)
{
	munmap(ring, ENTRIES * sizeof(*ring));
	T_END(&vm, &cpu);
	munmap(mem, PAGES * T_PAGE);
}

static void start(uint64_t code, uint64_t first, uint64_t n)
{
	t_cpu_long_over(&vm, &cpu, code, first, n);
}

static void write_pages(uint64_t first, uint64_t n)
{
	start(T_CODE, first, n);
	t_run_to(&cpu, KVM_EXIT_IO);
}

/* The next entry is page; harvest it. */
static void harvest(uint64_t page)
{
	struct kvm_dirty_gfn *e = &ring[next++ % ENTRIES];

	assert_int_equal(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE), KVM_DIRTY_GFN_F_DIRTY);
	assert_int_equal(e->slot, SLOT);
	assert_int_equal(e->offset, page);
	__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
}

static void no_more(void)
{
	assert_int_equal(__atomic_load_n(&ring[next % ENTRIES].flags, __ATOMIC_ACQUIRE), 0);
}

static long reset(void)
{
	return T(vm.fd, KVM_RESET_DIRTY_RINGS, 0);
}

static void refusals(void **state)
{
	struct kvm_dirty_log log = { .slot = SLOT };
	uint64_t map[(PAGES + 63) / 64];
	long max;

	t_vm_create(&vm, 0);
	max = t_cap(&vm, KVM_CAP_DIRTY_LOG_RING);
	t_vm_destroy(&vm);
	begin();
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_DIRTY_LOG_RING, 4096));		/* twice, and too late */
	log.dirty_bitmap = map;
	t_fails(ENXIO, T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	assert_ptr_equal(mmap(NULL, T_PAGE, PROT_READ, MAP_PRIVATE, cpu.fd, OFFSET), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(mmap(NULL, T_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, cpu.fd, OFFSET), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	end();

	t_vm_create(&vm, 0);
	t_fails(EINVAL, reset());						/* there are none */
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_DIRTY_LOG_RING, 0));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_DIRTY_LOG_RING, 2048));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_DIRTY_LOG_RING, 3 * 4096));
	t_fails(E2BIG, t_enable(vm.fd, KVM_CAP_DIRTY_LOG_RING, max * 2));
	t_cpu_create(&vm, &cpu, 0);
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_DIRTY_LOG_RING, 4096));		/* after a vCPU */
	T_END(&vm, &cpu);
}

static void entries(void **state)
{
	begin();
	no_more();
	write_pages(3, 2);
	write_pages(3, 3);			/* 3 and 4 are there already */
	harvest(3);
	harvest(4);
	harvest(5);
	no_more();
	write_pages(3, 1);			/* harvested, not reset: still known as dirty */
	no_more();
	assert_int_equal(reset(), 3);
	assert_int_equal(reset(), 0);
	write_pages(4, 3);
	harvest(4);
	harvest(5);
	harvest(6);
	no_more();
	assert_int_equal(ring[0].flags, 0);
	assert_int_equal(reset(), 3);
	end();
}

/* A full ring ends KVM_RUN before an entry is lost, and the guest goes on where it was. */
static void fill_up(uint64_t code)
{
	unsigned int full = 0;
	uint64_t page = 0;

	begin();
	start(code, 0, PAGES);
	for (;;) {
		t_ok(t_run(&cpu));
		if (cpu.run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			break;
		full++;
		/* nothing harvested, so it stays full */
		t_run_to(&cpu, KVM_EXIT_DIRTY_RING_FULL);
		while (ring[next % ENTRIES].flags)
			harvest(page++);
		assert_true(page > 0 && reset() > 0);
	}
	assert_int_equal(cpu.run->exit_reason, KVM_EXIT_IO);
	assert_true(full >= 1);
	while (page < PAGES)
		harvest(page++);
	no_more();
	reset();
	end();
}

static void full_ring(void **state)
{
	fill_up(T_CODE);
}

static void full_ring_by_string_instruction(void **state)
{
	fill_up(T_CODE + 0x100);
}

/* Nonsense in the ring, which is the client's memory, harms nobody. */
static void nonsense(void **state)
{
	unsigned int i;

	begin();
	for (i = 0; i < ENTRIES; i++)
		ring[i] = (struct kvm_dirty_gfn){ .flags = KVM_DIRTY_GFN_F_RESET, .slot = ~0u, .offset = ~0ULL };
	reset();
	memset(ring, 0, ENTRIES * sizeof(*ring));
	end();

	begin();
	write_pages(7, 3);
	ring[0] = (struct kvm_dirty_gfn){ .flags = KVM_DIRTY_GFN_F_RESET, .slot = 0xffffffff, .offset = 7 };
	ring[1] = (struct kvm_dirty_gfn){ .flags = KVM_DIRTY_GFN_F_RESET, .slot = SLOT, .offset = 1ULL << 60 };
	ring[2] = (struct kvm_dirty_gfn){ .flags = ~0u, .slot = 511, .offset = PAGES };
	assert_int_equal(reset(), 3);
	write_pages(10, 1);
	next = 3;
	harvest(10);
	end();
}

T_MAIN(T_CASE(refusals), T_CASE(entries), T_CASE(full_ring), T_CASE(full_ring_by_string_instruction), T_CASE(nonsense))
