/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* dirty_log.c - KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG, with and without the manual mode. */
#include "lib/t_kvm.h"

#define SLOT	1
#define PAGES	130		/* not a multiple of 64 */
#define AT	0x2000000UL
#define WORDS	((PAGES + 63) / 64)

/* Writes a byte to each of the pages whose numbers are given in %esi (first) and %ecx (how many), then port 0x10. */
GUEST64(writer, "1: mov %esi, %eax; shl $12, %rax; add $0x2000000, %rax; movb $1, (%rax); inc %esi; dec %ecx; jnz 1b;"
	"out %al, $0x10; hlt");
GUEST64(reader, "1: mov %esi, %eax; shl $12, %rax; add $0x2000000, %rax; movb (%rax), %bl; inc %esi; dec %ecx; jnz 1b;"
	"out %al, $0x10; hlt");

static struct t_vm vm;
static struct t_cpu cpu;
static uint8_t *mem;

static void begin(uint32_t flags)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	mem = t_mmap(PAGES * T_PAGE);
	if (flags & 0x100)
		t_ok(t_enable(vm.fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, flags & 0xff));
	t_ok(t_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, AT, PAGES * T_PAGE, mem));
	T_LOAD(&vm, T_CODE, writer);
	T_LOAD(&vm, T_CODE + 0x100, reader);
}

static void end(void)
{
	T_END(&vm, &cpu);
	munmap(mem, PAGES * T_PAGE);
}

static void touch(uint64_t code, uint64_t first, uint64_t n)
{
	t_cpu_long_over(&vm, &cpu, code, first, n);
	t_run_to(&cpu, KVM_EXIT_IO);
}

static void write_pages(uint64_t first, uint64_t n)
{
	touch(T_CODE, first, n);
}

static long get(uint64_t map[WORDS + 1])
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = map };

	memset(map, 0xa5, (WORDS + 1) * 8);
	return T(vm.fd, KVM_GET_DIRTY_LOG, &log);
}

static void get_is(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t map[WORDS + 1];

	t_ok(get(map));
	assert_int_equal(map[0], a);
	assert_int_equal(map[1], b);
	assert_int_equal(map[2], c);
	assert_int_equal(map[3], 0xa5a5a5a5a5a5a5a5);		/* and no more */
}

static void guests_writes_are_logged(void **state)
{
	begin(0);
	get_is(0, 0, 0);
	write_pages(3, 2);
	get_is(0x18, 0, 0);
	get_is(0, 0, 0);			/* fetched is cleared */
	touch(T_CODE + 0x100, 0, PAGES);	/* reading is no writing */
	get_is(0, 0, 0);
	write_pages(3, 1);			/* again, after it was cleared */
	write_pages(63, 2);
	get_is(1ULL << 63 | 8, 1, 0);
	write_pages(0, PAGES);
	get_is(~0ULL, ~0ULL, 3);
	end();
}

static void client_writes_are_not(void **state)
{
	begin(0);
	memset(mem, 1, PAGES * T_PAGE);
	get_is(0, 0, 0);
	end();
}

static void switched_on_and_off(void **state)
{
	uint64_t map[WORDS + 1];

	begin(0);
	write_pages(1, 1);
	t_ok(t_slot(&vm, SLOT, 0, AT, PAGES * T_PAGE, mem));
	t_fails(ENOENT, get(map));
	write_pages(2, 1);
	t_ok(t_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, AT, PAGES * T_PAGE, mem));
	get_is(0, 0, 0);
	write_pages(2, 1);			/* the guest may have written here just before */
	get_is(4, 0, 0);
	t_ok(t_slot(&vm, SLOT, 0, 0, 0, NULL));
	t_fails(ENOENT, get(map));
	end();
}

static void refusals(void **state)
{
	struct kvm_dirty_log log = { .slot = 2 };
	uint64_t map[WORDS + 1];

	begin(0);
	t_fails(EFAULT, T(vm.fd, KVM_GET_DIRTY_LOG, T_BAD_PTR));
	log.dirty_bitmap = map;
	t_fails(ENOENT, T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	log.slot = 0;			/* is there, without a log */
	t_fails(ENOENT, T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	log.slot = 0xffff;
	t_fails(EINVAL, T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	log.slot = 9 << 16;
	t_fails(EINVAL, T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	end();
}

/* A bitmap that cannot be written loses nothing. */
static void bad_bitmap_loses_nothing(void **state)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = (void *)T_BAD_PTR };
	uint64_t map[WORDS + 1];

	begin(0x100 | KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	write_pages(5, 1);
	t_fails(EFAULT, T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	t_ok(get(map));
	assert_int_equal(map[0], 32);
	end();
}

static long clear(uint64_t first, uint32_t n, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t map[3] = { a, b, c };
	struct kvm_clear_dirty_log log = { .slot = SLOT, .first_page = first, .num_pages = n, .dirty_bitmap = map };

	return T(vm.fd, KVM_CLEAR_DIRTY_LOG, &log);
}

static void manual_mode(void **state)
{
	begin(0x100 | KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	write_pages(0, 4);
	write_pages(70, 1);
	get_is(15, 64, 0);
	get_is(15, 64, 0);		/* stays */
	t_ok(clear(0, 64, 3, 0, 0));
	get_is(12, 64, 0);
	t_ok(clear(64, 64, 64, 0, 0));
	get_is(12, 0, 0);
	write_pages(0, 1);		/* logged anew */
	get_is(13, 0, 0);
	write_pages(128, 2);
	t_ok(clear(128, 2, 1, 0, 0));	/* to the slot's end */
	get_is(13, 0, 2);
	t_ok(clear(0, PAGES, ~0ULL, ~0ULL, 3));
	get_is(0, 0, 0);
	end();
}

static void clear_refusals(void **state)
{
	struct kvm_clear_dirty_log log = { .slot = 2, .num_pages = 64 };
	uint64_t map[WORDS];

	begin(0x100 | KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	write_pages(0, 4);
	t_fails(EINVAL, clear(1, 64, 1, 0, 0));
	t_fails(EINVAL, clear(0, 63, 1, 0, 0));
	t_fails(EINVAL, clear(64, 128, 1, 0, 0));
	t_fails(EINVAL, clear(192, 64, 1, 0, 0));
	t_fails(EFAULT, T(vm.fd, KVM_CLEAR_DIRTY_LOG, T_BAD_PTR));
	log.dirty_bitmap = map;
	t_fails(ENOENT, T(vm.fd, KVM_CLEAR_DIRTY_LOG, &log));
	log.slot = SLOT;
	log.dirty_bitmap = (void *)T_BAD_PTR;
	t_fails(EFAULT, T(vm.fd, KVM_CLEAR_DIRTY_LOG, &log));
	get_is(15, 0, 0);
	end();
}

static void initially_set(void **state)
{
	begin(0x100 | KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	get_is(~0ULL, ~0ULL, 3);
	t_ok(clear(0, PAGES, ~0ULL, ~0ULL, 3));
	write_pages(9, 1);
	get_is(512, 0, 0);
	end();
}

/* KVM's own writes to guest memory count: here a string input, whose data the client supplies. */
GUEST16(input, "movw $0x1000, %ax; movw %ax, %es; movw $0x200, %di; movw $0x20, %dx; movw $4, %cx; rep insb; outb %al, $0x10");

static void string_input_is_logged(void **state)
{
	struct kvm_dirty_log log = { .slot = SLOT };
	uint64_t map[WORDS] = { 0 };

	begin(0);
	t_ok(t_slot(&vm, SLOT, 0, 0, 0, NULL));
	t_ok(t_slot(&vm, 0, 0, 0, 0, NULL));
	t_ok(t_slot(&vm, 0, 0, T_CODE, 0x8000, vm.mem + T_CODE));
	t_ok(t_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, 0x10000, PAGES * T_PAGE, mem));
	T_LOAD(&vm, T_CODE, input);
	t_cpu_real(&cpu, T_CODE);
	for (;;) {
		t_run_to(&cpu, KVM_EXIT_IO);
		if (cpu.run->io.direction == KVM_EXIT_IO_OUT)
			break;
		memset(t_io_data(cpu.run), 'x', cpu.run->io.count);
	}
	assert_memory_equal(mem + 0x200, "xxxx", 5);
	log.dirty_bitmap = map;
	t_ok(T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(map[0], 1);
	end();
}

T_MAIN(T_CASE(guests_writes_are_logged), T_CASE(client_writes_are_not), T_CASE(switched_on_and_off), T_CASE(refusals),
       T_CASE(bad_bitmap_loses_nothing), T_CASE(manual_mode), T_CASE(clear_refusals), T_CASE(initially_set),
       T_CASE(string_input_is_logged))
