/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* memslots.c - KVM_SET_USER_MEMORY_REGION: what is refused, and what the guest sees of what is not. */
#include "lib/t_kvm.h"

#define AT	0x10000000UL	/* where test slots go */

static void refused(void **state)
{
	struct t_vm vm;
	uint8_t *mem = t_mmap(0x8000);
	long slots;

	t_vm_create(&vm, 0);
	slots = t_cap(&vm, KVM_CAP_NR_MEMSLOTS);
	t_fails(EFAULT, T(vm.fd, KVM_SET_USER_MEMORY_REGION, T_BAD_PTR));
	t_fails(EINVAL, t_slot(&vm, 1, 0, AT + 0x800, 0x1000, mem));
	t_fails(EINVAL, t_slot(&vm, 1, 0, AT, 0x1800, mem));
	t_fails(EINVAL, t_slot(&vm, 1, 0, AT, 0x1000, mem + 8));
	t_fails(EINVAL, t_slot(&vm, 1, 1U << 31, AT, 0x1000, mem));
	t_fails(EINVAL, t_slot(&vm, (uint32_t)slots, 0, AT, 0x1000, mem));
	t_fails(EINVAL, t_slot(&vm, 7 << 16 | 1, 0, AT, 0x1000, mem));	/* address space */
	t_fails(EINVAL, t_slot(&vm, 1, 0, 0xfffffffffffff000UL, 0x2000, mem));
	t_fails(EINVAL, t_slot(&vm, 1, 0, AT, 0x1000, (void *)0xfffffffffffff000UL));
	t_fails(EINVAL, t_slot(&vm, 1, 0, AT, 0, mem));			/* deletion of nothing */
	t_fails(EEXIST, t_slot(&vm, 1, 0, T_MEM - 0x1000, 0x2000, mem));
	t_fails(EEXIST, t_slot(&vm, 1, 0, 0, 0x1000, mem));
	/* nothing of this is there */
	t_fails(EINVAL, t_slot(&vm, 1, 0, AT, 0, mem));
	t_ok(t_slot(&vm, 1, 0, T_MEM, 0x1000, mem));			/* adjacent */
	t_ok(t_slot(&vm, (uint32_t)slots - 1, 0, AT, 0x1000, mem));
	t_vm_destroy(&vm);
	munmap(mem, 0x8000);
}

static void live_slot(void **state)
{
	struct t_vm vm;
	uint8_t *mem = t_mmap(0x8000);

	t_vm_create(&vm, 0);
	t_ok(t_slot(&vm, 1, 0, AT, 0x2000, mem));
	t_ok(t_slot(&vm, 1, 0, AT, 0x2000, mem));				/* the same again */
	t_fails(EINVAL, t_slot(&vm, 1, 0, AT, 0x3000, mem));			/* size */
	t_fails(EINVAL, t_slot(&vm, 1, 0, AT, 0x2000, mem + 0x1000));		/* host address */
	t_fails(EINVAL, t_slot(&vm, 1, KVM_MEM_READONLY, AT, 0x2000, mem));
	t_fails(EEXIST, t_slot(&vm, 1, 0, T_MEM - 0x1000, 0x2000, mem));	/* move onto another */
	t_ok(t_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AT, 0x2000, mem));
	t_ok(t_slot(&vm, 1, 0, AT, 0x2000, mem));
	t_ok(t_slot(&vm, 1, 0, AT + 0x1000, 0x2000, mem));			/* move onto itself */
	t_ok(t_slot(&vm, 2, 0, AT, 0x1000, mem));				/* where it was */
	t_fails(EEXIST, t_slot(&vm, 2, 0, AT + 0x1000, 0x1000, mem));
	t_ok(t_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, 0, 0, NULL));		/* flags of a deletion do not matter */
	t_fails(EINVAL, t_slot(&vm, 1, 0, 0, 0, NULL));
	t_ok(t_slot(&vm, 1, KVM_MEM_READONLY, AT + 0x1000, 0x2000, mem));
	t_vm_destroy(&vm);
	munmap(mem, 0x8000);
}

/* Two slots show the same memory: allowed. */
static void one_memory_twice(void **state)
{
	struct t_vm vm;

	t_vm_create(&vm, 0);
	t_ok(t_slot(&vm, 1, 0, AT, T_MEM, vm.mem));
	t_vm_destroy(&vm);
}

GUEST16(reader, "1: movb 0x2000, %al; outb %al, $0x10; jmp 1b");

static uint8_t port_byte(struct t_cpu *cpu)
{
	t_run_to(cpu, KVM_EXIT_IO);
	assert_int_equal(cpu->run->io.port, 0x10);
	return *(uint8_t *)t_io_data(cpu->run);
}

/* Real mode, reading 0x2000 all the time, while the slot there comes, moves and goes. */
static void guest_sees_changes(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	uint8_t *a = t_mmap(0x1000), *b = t_mmap(0x1000);

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(t_slot(&vm, 0, 0, 0, 0, NULL));
	t_ok(t_slot(&vm, 0, 0, T_CODE, 0x8000, vm.mem + T_CODE));
	T_LOAD(&vm, T_CODE, reader);
	t_cpu_real(&cpu, T_CODE);
	a[0] = 0xaa;
	b[0] = 0xbb;
	t_ok(t_slot(&vm, 1, 0, 0x2000, 0x1000, a));
	t_ok(t_slot(&vm, 2, 0, 0x3000, 0x1000, b));
	assert_int_equal(port_byte(&cpu), 0xaa);
	a[0] = 0xac;
	assert_int_equal(port_byte(&cpu), 0xac);
	t_ok(t_slot(&vm, 1, 0, 0x5000, 0x1000, a));		/* move away: device memory now */
	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal(cpu.run->mmio.phys_addr, 0x2000);
	assert_int_equal(cpu.run->mmio.is_write, 0);
	cpu.run->mmio.data[0] = 0x77;
	assert_int_equal(port_byte(&cpu), 0x77);
	t_ok(t_slot(&vm, 2, 0, 0x2000, 0x1000, b));		/* another one moves here */
	assert_int_equal(port_byte(&cpu), 0xbb);
	t_ok(t_slot(&vm, 2, 0, 0, 0, NULL));
	t_run_to(&cpu, KVM_EXIT_MMIO);
	T_END(&vm, &cpu);
	munmap(a, 0x1000);
	munmap(b, 0x1000);
}

/* The client changes what is mapped behind the slot: KVM_CAP_SYNC_MMU. */
static void mapping_changes_behind_slot(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;

	T_START(&vm, &cpu, 0, reader);
	vm.mem[0x2000] = 1;
	assert_int_equal(port_byte(&cpu), 1);
	t_ok(madvise(vm.mem + 0x2000, 0x1000, MADV_DONTNEED));
	assert_int_equal(port_byte(&cpu), 0);
	assert_ptr_equal(mmap(vm.mem + 0x2000, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			      0), vm.mem + 0x2000);
	vm.mem[0x2000] = 2;
	assert_int_equal(port_byte(&cpu), 2);
	T_END(&vm, &cpu);
}

GUEST16(rom, "movb $0x5a, 0x2000; movb 0x2000, %al; outb %al, $0x10; hlt");

static void read_only_slot(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	uint8_t *mem = t_mmap(0x1000);

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(t_slot(&vm, 0, 0, 0, 0, NULL));
	t_ok(t_slot(&vm, 0, 0, T_CODE, 0x8000, vm.mem + T_CODE));
	T_LOAD(&vm, T_CODE, rom);
	t_cpu_real(&cpu, T_CODE);
	mem[0] = 0x11;
	t_ok(t_slot(&vm, 1, KVM_MEM_READONLY, 0x2000, 0x1000, mem));
	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal(cpu.run->mmio.phys_addr, 0x2000);
	assert_int_equal(cpu.run->mmio.is_write, 1);
	assert_int_equal(cpu.run->mmio.len, 1);
	assert_int_equal(cpu.run->mmio.data[0], 0x5a);
	assert_int_equal(port_byte(&cpu), 0x11);
	assert_int_equal(mem[0], 0x11);
	T_END(&vm, &cpu);
	munmap(mem, 0x1000);
}

GUEST16(runner, "hlt");

static void code_slot_deleted(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;

	T_START(&vm, &cpu, 0, runner);
	t_run_to(&cpu, KVM_EXIT_HLT);
	t_ok(t_slot(&vm, 0, 0, 0, 0, NULL));
	t_cpu_real(&cpu, T_CODE);
	t_ok(t_run(&cpu));
	assert_true(cpu.run->exit_reason == KVM_EXIT_INTERNAL_ERROR || cpu.run->exit_reason == KVM_EXIT_SHUTDOWN);
	/* and it goes on when the memory is back */
	t_ok(t_slot(&vm, 0, 0, 0, T_MEM, vm.mem));
	t_cpu_real(&cpu, T_CODE);
	t_run_to(&cpu, KVM_EXIT_HLT);
	T_END(&vm, &cpu);
}

static void run_without_any_slot(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, 0);
	t_ok(t_slot(&vm, 0, 0, 0, 0, NULL));
	t_cpu_create(&vm, &cpu, 0);
	t_ok(t_run(&cpu));
	assert_int_equal(cpu.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	T_END(&vm, &cpu);
}

static void all_slots(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	uint32_t n, i;

	T_START(&vm, &cpu, 0, runner);
	n = (uint32_t)t_cap(&vm, KVM_CAP_NR_MEMSLOTS);
	if (n > 600)
		n = 600;
	for (i = 1; i < n; i++)
		t_ok(t_slot(&vm, i, 0, AT + i * 0x2000UL, 0x1000, vm.mem));
	t_run_to(&cpu, KVM_EXIT_HLT);
	for (i = 1; i < n; i++)
		t_ok(t_slot(&vm, i, 0, 0, 0, NULL));
	T_END(&vm, &cpu);
}

static void mmu_pages(void **state)
{
	struct t_vm vm;
	long n;

	t_vm_create(&vm, 0);
	if (t_cap(&vm, KVM_CAP_MMU_SHADOW_CACHE_CONTROL)) {
		t_fails(EINVAL, T(vm.fd, KVM_SET_NR_MMU_PAGES, 63));
		t_ok(T(vm.fd, KVM_SET_NR_MMU_PAGES, 64));
		n = T(vm.fd, KVM_GET_NR_MMU_PAGES, 0);
		assert_true(n == 64 || n == -ENOTTY);	/* later Linux has not got this one */
	} else {
		t_fails(ENOTTY, T(vm.fd, KVM_SET_NR_MMU_PAGES, 64));
	}
	t_vm_destroy(&vm);
}

T_MAIN(T_CASE(refused), T_CASE(live_slot), T_CASE(one_memory_twice), T_CASE(guest_sees_changes),
       T_CASE(mapping_changes_behind_slot), T_CASE(read_only_slot), T_CASE(code_slot_deleted),
       T_CASE(run_without_any_slot), T_CASE(all_slots), T_CASE(mmu_pages))
