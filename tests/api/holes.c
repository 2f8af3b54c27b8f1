/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * holes.c - a memory slot over client addresses that are not mapped, or no more: the guest reads, writes, executes and
 * keeps its page tables there. KVM_RUN says -EFAULT (or reports the access as one nobody can handle); the program and
 * other VMs go on, and so does this one once the memory is there.
 */
#include "lib/t_kvm.h"

#define HOLE	0x300000UL	/* guest-physical, 64 KiB, in a large page of its own tables */
#define LEN	0x10000UL

GUEST64(code_read, "mov $0x300000, %esi; 1: mov (%rsi), %al; out %al, $0x10; jmp 1b");
GUEST64(code_write, "mov $0x300000, %edi; 1: movb $0x5a, (%rdi); out %al, $0x10; jmp 1b");
GUEST64(code_exec, "1: mov $0x300000, %eax; call *%rax; out %al, $0x10; jmp 1b");
GUEST64(code_ret, "ret");
GUEST64(code_atomic, "mov $0x300000, %edi; 1: lock incl (%rdi); out %al, $0x10; jmp 1b");
GUEST64(code_sse, "mov $0x300008, %edi; 1: movups (%rdi), %xmm0; movups %xmm0, 16(%rdi); out %al, $0x10; jmp 1b");
GUEST64(code_string, "1: mov $0x300000, %edi; mov $64, %ecx; rep stosb; out %al, $0x10; jmp 1b");
GUEST64(code_stack, "mov $0x300800, %esp; 1: push %rax; pop %rax; out %al, $0x10; jmp 1b");
GUEST64(code_cross, "mov $0x2ffffc, %esi; 1: mov (%rsi), %rax; out %al, $0x10; jmp 1b");
/* what the spare table maps: 0x40000000 */
GUEST64(code_tables, "mov $0x40000000, %esi; 1: mov (%rsi), %al; out %al, $0x10; mov %cr3, %rax; mov %rax, %cr3; jmp 1b");
GUEST16(real_read, "movw $0xf000, %ax; movw %ax, %ds; 1: movb 0x100, %al; outb %al, $0x10; jmp 1b");
GUEST16(real_write, "movw $0xf000, %ax; movw %ax, %ds; 1: movb $1, 0x100; outb %al, $0x10; jmp 1b");
GUEST16(real_exec, "lcall $0xf000, $0x100; outb %al, $0x10; hlt");
GUEST16(real_lret, "lret");

static void unmap(struct t_vm *vm, uint64_t gpa)
{
	t_ok(munmap(vm->mem + gpa, LEN));
}

static void map(struct t_vm *vm, uint64_t gpa)
{
	assert_ptr_equal(mmap(vm->mem + gpa, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 vm->mem + gpa);
}

/* The two answers of a kernel's KVM, which depend on whether it had to emulate the instruction. */
static void error_exit(struct t_cpu *cpu)
{
	long ret = t_run(cpu);

	if (ret)
		t_fails(EFAULT, ret);
	else if (cpu->run->exit_reason != KVM_EXIT_SHUTDOWN)
		assert_int_equal(cpu->run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
}

struct row {
	const char *name;
	const uint8_t *code, *end;
	bool real, exec;
};
#define ROW(n, ...) { #n, n, n##_end, __VA_ARGS__ }
static const struct row rows[] = {
	ROW(code_read, false, false), ROW(code_write, false, false), ROW(code_exec, false, true),
	ROW(code_atomic, false, false), ROW(code_sse, false, false), ROW(code_string, false, false),
	ROW(code_stack, false, false), ROW(code_cross, false, false), ROW(real_read, true, false),
	ROW(real_write, true, false), ROW(real_exec, true, true),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static uint64_t hole_of(const struct row *r)
{
	return r->real ? 0xf0000 : HOLE;
}

static void fill(struct t_vm *vm, const struct row *r)
{
	if (r->exec && r->real)
		T_LOAD(vm, 0xf0100, real_lret);
	else if (r->exec)
		T_LOAD(vm, HOLE, code_ret);
}

static void restart(struct t_vm *vm, struct t_cpu *cpu, const struct row *r)
{
	if (r->real)
		t_cpu_real(cpu, T_CODE);
	else
		t_cpu_long(vm, cpu, T_CODE);
}

static void begin(struct t_vm *vm, struct t_cpu *cpu, const struct row *r)
{
	t_vm_create(vm, 0);
	t_cpu_create(vm, cpu, 0);
	memcpy(vm->mem + T_CODE, r->code, (size_t)(r->end - r->code));
	restart(vm, cpu, r);
}

/* Never there: the first access fails, and works when the client has mapped the page. */
static void never_mapped(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	unsigned int i;

	for (i = 0; i < ROWS; i++) {
		begin(&vm, &cpu, &rows[i]);
		unmap(&vm, hole_of(&rows[i]));
		print_message("# %s\n", rows[i].name);
		error_exit(&cpu);
		error_exit(&cpu);
		map(&vm, hole_of(&rows[i]));
		fill(&vm, &rows[i]);
		restart(&vm, &cpu, &rows[i]);
		t_run_to(&cpu, KVM_EXIT_IO);
		T_END(&vm, &cpu);
	}
}

/* Used for a while, then unmapped: translations and cached addresses of the page must not be used. */
static void unmapped_later(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	unsigned int i, n;

	for (i = 0; i < ROWS; i++) {
		print_message("# %s\n", rows[i].name);
		begin(&vm, &cpu, &rows[i]);
		fill(&vm, &rows[i]);
		for (n = 0; n < 3; n++) {
			t_run_to(&cpu, KVM_EXIT_IO);
			if (rows[i].real && rows[i].exec)
				t_cpu_real(&cpu, T_CODE);
		}
		unmap(&vm, hole_of(&rows[i]));
		/* Nobody tells a KVM in user space of an munmap: code that it has translated may run until the next flush. */
		if (rows[i].exec)
			restart(&vm, &cpu, &rows[i]);
		error_exit(&cpu);
		map(&vm, hole_of(&rows[i]));
		fill(&vm, &rows[i]);
		restart(&vm, &cpu, &rows[i]);
		t_run_to(&cpu, KVM_EXIT_IO);
		T_END(&vm, &cpu);
	}
}

/* The page directory pointer's second entry leads to a page directory in the hole. */
static void page_tables(bool before)
{
	struct t_vm vm;
	struct t_cpu cpu;
	uint64_t *pdpt, *pd;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, code_tables);
	t_cpu_long(&vm, &cpu, T_CODE);
	pdpt = (uint64_t *)(vm.mem + T_TABLES + T_PAGE);
	pdpt[1] = HOLE | 3;
	pd = (uint64_t *)(vm.mem + HOLE);
	pd[0] = 0x83;
	vm.mem[0] = 0x42;
	if (!before) {
		t_run_to(&cpu, KVM_EXIT_IO);
		assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0x42);
	}
	unmap(&vm, HOLE);
	error_exit(&cpu);
	map(&vm, HOLE);
	pd[0] = 0x83;
	t_cpu_long(&vm, &cpu, T_CODE);
	pdpt[1] = HOLE | 3;
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0x42);
	T_END(&vm, &cpu);
}

static void page_tables_never_mapped(void **state)
{
	page_tables(true);
}

static void page_tables_unmapped_later(void **state)
{
	page_tables(false);
}

/* Mapped, but not to be written: the write fails, the read does not. */
static void write_protected(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;

	begin(&vm, &cpu, &rows[1]);
	vm.mem[HOLE] = 3;
	t_ok(mprotect(vm.mem + HOLE, LEN, PROT_READ));
	error_exit(&cpu);
	assert_int_equal(vm.mem[HOLE], 3);
	t_ok(mprotect(vm.mem + HOLE, LEN, PROT_READ | PROT_WRITE));
	t_cpu_long(&vm, &cpu, T_CODE);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(vm.mem[HOLE], 0x5a);
	T_END(&vm, &cpu);
	begin(&vm, &cpu, &rows[0]);
	vm.mem[HOLE] = 3;
	t_ok(mprotect(vm.mem + HOLE, LEN, PROT_READ));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 3);
	T_END(&vm, &cpu);
}

/* A slot over a file that is shorter than the mapping: SIGBUS for a program that reads there. */
static void beyond_end_of_file(void **state)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	struct t_vm vm;
	struct t_cpu cpu;

	begin(&vm, &cpu, &rows[0]);
	t_ok(ftruncate(fd, 0));
	assert_ptr_equal(mmap(vm.mem + HOLE, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), vm.mem + HOLE);
	error_exit(&cpu);
	t_ok(ftruncate(fd, LEN));
	t_cpu_long(&vm, &cpu, T_CODE);
	t_run_to(&cpu, KVM_EXIT_IO);
	T_END(&vm, &cpu);
	close(fd);
}

/* The client's own wild access is still its own fault. */
static void other_vm_goes_on(void **state)
{
	struct t_vm vm[2];
	struct t_cpu cpu[2];

	begin(&vm[0], &cpu[0], &rows[0]);
	begin(&vm[1], &cpu[1], &rows[0]);
	t_run_to(&cpu[1], KVM_EXIT_IO);
	unmap(&vm[0], HOLE);
	error_exit(&cpu[0]);
	t_run_to(&cpu[1], KVM_EXIT_IO);
	T_END(&vm[0], &cpu[0]);
	t_run_to(&cpu[1], KVM_EXIT_IO);
	T_END(&vm[1], &cpu[1]);
}

T_MAIN(T_CASE(never_mapped), T_CASE(unmapped_later), T_CASE(page_tables_never_mapped),
       T_CASE(page_tables_unmapped_later), T_CASE(write_protected), T_CASE(beyond_end_of_file),
       T_CASE(other_vm_goes_on))
