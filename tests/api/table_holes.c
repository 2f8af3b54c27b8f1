/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * table_holes.c - page tables in client memory that cannot be reached, or cannot be written when the processor has to
 * set an accessed or dirty bit there: KVM_RUN says -EFAULT, for translated code, for instructions that are emulated,
 * for events on their way through the IDT, in all paging modes. Once the memory is there the guest goes on where it
 * was.
 */
#include "lib/t_kvm.h"
#include <pthread.h>
#include <stdatomic.h>

#define HOLE	0x300000UL	/* the last level of tables for 0x40000000 to 0x403fffff */
#define LEN	T_PAGE
#define IDT	0x200000UL	/* guest-physical; linear 0x40200000 */
#define GDT	0x6000UL
#define HANDLER	0x9000UL
#define VALUE	0x42

/* What goes through the table at HOLE; port 0x10 when it is done, 0x11 from the handler. */
GUEST64(long_read, "mov $0x40000000, %esi; mov (%rsi), %al; out %al, $0x10; hlt");
GUEST64(long_write, "mov $0x40000008, %edi; mov $0x42, %al; mov %al, (%rdi); out %al, $0x10; hlt");
GUEST64(long_atomic, "mov $0x40000008, %edi; mov $0x42, %eax; lock xadd %eax, (%rdi); mov 8(%rsp), %al;"
	"mov $0x42, %al; out %al, $0x10; hlt");
GUEST64(long_string, "mov $0x40000008, %edi; mov $0x42, %al; mov $9, %ecx; rep stosb; out %al, $0x10; hlt");
GUEST64(long_fxsave, "mov $0x40000040, %edi; fxsave (%rdi); mov $0x42, %al; out %al, $0x10; hlt");
GUEST64(long_sidt, "mov $0x40000040, %edi; sidt (%rdi); mov $0x42, %al; out %al, $0x10; hlt");
GUEST64(long_cmpxchg16b, "mov $0x40000040, %edi; lock cmpxchg16b (%rdi); mov $0x42, %al; out %al, $0x10; hlt");
GUEST64(long_jump, "mov $0x40009000, %eax; jmp *%rax");
GUEST64(long_ud2, "ud2");
GUEST64(long_int, "int $0x20");
GUEST64(long_wait, "mov $0x42, %al; sti; nop; 1: jmp 1b");
GUEST64(long_handler, "mov $0x42, %al; out %al, $0x10; hlt");
GUEST_CODE(".code32", prot_read, "mov $0x40000000, %esi; mov (%esi), %al; out %al, $0x10; hlt");
GUEST_CODE(".code32", prot_write, "mov $0x40000008, %edi; mov $0x42, %al; mov %al, (%edi); out %al, $0x10; hlt");
GUEST_CODE(".code32", prot_atomic, "mov $0x40000040, %edi; lock cmpxchg8b (%edi); mov $0x42, %al; out %al, $0x10; hlt");

enum mode { LONG, LONG_STEPPED, PAE, LEGACY };

struct row {
	const char *name;
	const uint8_t *code, *end;
	enum mode mode;
	int interrupt;		/* KVM_INTERRUPT with this vector once the guest waits for it */
};
#define ROW(n, ...) { #n, n, n##_end, __VA_ARGS__ }
static const struct row rows[] = {
	ROW(long_read, LONG), ROW(long_write, LONG), ROW(long_atomic, LONG), ROW(long_string, LONG),
	ROW(long_fxsave, LONG), ROW(long_sidt, LONG), ROW(long_cmpxchg16b, LONG), ROW(long_jump, LONG),
	ROW(long_ud2, LONG), ROW(long_int, LONG), ROW(long_wait, LONG, 0x20),
	ROW(long_read, LONG_STEPPED), ROW(long_write, LONG_STEPPED), ROW(long_atomic, LONG_STEPPED),
	ROW(long_string, LONG_STEPPED), ROW(long_jump, LONG_STEPPED),
	ROW(prot_read, PAE), ROW(prot_write, PAE), ROW(prot_atomic, PAE),
	ROW(prot_read, LEGACY), ROW(prot_write, LEGACY), ROW(prot_atomic, LEGACY),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* The table at HOLE: guest-physical 0 and on, without accessed and dirty bits. */
static void fill(struct t_vm *vm, enum mode mode)
{
	uint64_t *wide = (uint64_t *)(vm->mem + HOLE);
	uint32_t *narrow = (uint32_t *)(vm->mem + HOLE), i;

	for (i = 0; i < 2; i++)
		if (mode != LEGACY)
			wide[i] = (uint64_t)i << 21 | 0x83;
	for (i = 0; i < 1024 && mode == LEGACY; i++)
		narrow[i] = i << 12 | 3;
}

static void protected_mode(struct t_vm *vm, struct t_cpu *cpu, bool pae)
{
	const struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1 };
	const struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_regs regs = { .rip = T_CODE, .rflags = 2, .rsp = T_STACK };
	uint64_t *wide = (uint64_t *)(vm->mem + T_TABLES);
	uint32_t *narrow = (uint32_t *)wide;
	struct kvm_sregs s;

	memset(wide, 0, 2 * T_PAGE);
	if (pae) {
		wide[0] = (T_TABLES + T_PAGE) | 1;
		wide[1] = HOLE | 1;
		wide[512] = 0xe3;
		wide[513] = 0x2000e3;
	} else {
		narrow[0] = 0xe3;
		narrow[0x100] = HOLE | 3;
	}
	t_ok(T(cpu->fd, KVM_GET_SREGS, &s));
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x80000011;
	s.cr3 = T_TABLES;
	s.cr4 = pae ? 0x20 : 0x10;
	t_ok(T(cpu->fd, KVM_SET_SREGS, &s));
	t_ok(T(cpu->fd, KVM_SET_REGS, &regs));
}

/* Descriptors as t_cpu_long() has them, and all gates of the IDT to HANDLER. */
static void descriptors(struct t_vm *vm, struct t_cpu *cpu)
{
	uint64_t *gdt = (uint64_t *)(vm->mem + GDT), *idt = (uint64_t *)(vm->mem + IDT);
	struct kvm_sregs s;
	unsigned int i;

	gdt[1] = 0x00af9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	for (i = 0; i < 64; i++) {
		idt[2 * i] = (HANDLER & 0xffff) | 8 << 16 | 0x8e00ULL << 32;
		idt[2 * i + 1] = 0;
	}
	t_ok(T(cpu->fd, KVM_GET_SREGS, &s));
	s.gdt.base = GDT;
	s.gdt.limit = 23;
	s.idt.base = 0x40000000 + IDT;
	s.idt.limit = 64 * 16 - 1;
	t_ok(T(cpu->fd, KVM_SET_SREGS, &s));
}

static void begin(struct t_vm *vm, struct t_cpu *cpu, const struct row *r)
{
	uint64_t *pdpt;
	struct kvm_regs regs;

	t_vm_create(vm, 0);
	t_cpu_create(vm, cpu, 0);
	memcpy(vm->mem + T_CODE, r->code, (size_t)(r->end - r->code));
	T_LOAD(vm, HANDLER, long_handler);
	vm->mem[0] = VALUE;
	t_ok(mmap(vm->mem + HOLE, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
	     vm->mem + HOLE);
	fill(vm, r->mode);
	if (r->mode == PAE || r->mode == LEGACY) {
		protected_mode(vm, cpu, r->mode == PAE);
		return;
	}
	t_cpu_long(vm, cpu, T_CODE);
	pdpt = (uint64_t *)(vm->mem + T_TABLES + T_PAGE);
	pdpt[1] = HOLE | 3;
	descriptors(vm, cpu);
	if (r->mode == LONG_STEPPED) {
		struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

		t_ok(T(cpu->fd, KVM_SET_GUEST_DEBUG, &d));
	}
	if (r->interrupt) {
		struct kvm_interrupt irq = { .irq = (uint32_t)r->interrupt };

		regs = t_regs(cpu);
		regs.rflags |= 0x200;
		t_set_regs(cpu, &regs);
		t_ok(T(cpu->fd, KVM_INTERRUPT, &irq));
	}
}

/* KVM_RUN over the steps of a debugger. */
static long go(struct t_cpu *cpu)
{
	unsigned int steps;
	long ret;

	for (steps = 0; steps < 50; steps++) {
		ret = t_run(cpu);
		if (ret || cpu->run->exit_reason != KVM_EXIT_DEBUG)
			break;
	}
	return ret;
}

static void finish(struct t_vm *vm, struct t_cpu *cpu)
{
	t_ok(go(cpu));
	assert_int_equal(cpu->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(cpu->run->io.port, 0x10);
	assert_int_equal(*(uint8_t *)t_io_data(cpu->run), VALUE);
	/* the processor has used the table, and left its mark */
	assert_true((vm->mem[HOLE] | vm->mem[HOLE + 8] | vm->mem[HOLE + 9 * 4]) & 0x20);
	T_END(vm, cpu);
}

static void with_protection(int prot)
{
	struct t_vm vm;
	struct t_cpu cpu;
	unsigned int i;

	for (i = 0; i < ROWS; i++) {
		print_message("# %s%s\n", rows[i].name, rows[i].mode == LONG_STEPPED ? ", stepped" :
			      rows[i].mode == PAE ? ", PAE" : rows[i].mode == LEGACY ? ", 32-bit paging" : "");
		begin(&vm, &cpu, &rows[i]);
		t_ok(mprotect(vm.mem + HOLE, LEN, prot));
		t_fails(EFAULT, go(&cpu));
		t_fails(EFAULT, go(&cpu));
		t_ok(mprotect(vm.mem + HOLE, LEN, PROT_READ | PROT_WRITE));
		finish(&vm, &cpu);
	}
}

static void tables_write_protected(void **state)
{
	with_protection(PROT_READ);
}

static void tables_out_of_reach(void **state)
{
	with_protection(PROT_NONE);
}

static void tables_unmapped(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	unsigned int i;

	for (i = 0; i < ROWS; i++) {
		print_message("# %s\n", rows[i].name);
		begin(&vm, &cpu, &rows[i]);
		t_ok(munmap(vm.mem + HOLE, LEN));
		t_fails(EFAULT, go(&cpu));
		assert_ptr_equal(mmap(vm.mem + HOLE, LEN, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), vm.mem + HOLE);
		fill(&vm, rows[i].mode);
		finish(&vm, &cpu);
	}
}

/* Bits that are set already need no write: tables in read-only memory work. */
static void marked_tables_need_no_write(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	unsigned int i, k;

	for (i = 0; i < ROWS; i++) {
		begin(&vm, &cpu, &rows[i]);
		for (k = 0; k < LEN; k += rows[i].mode == LEGACY ? 4 : 8)
			vm.mem[HOLE + k] |= 0x60;
		t_ok(mprotect(vm.mem + HOLE, LEN, PROT_READ));
		finish(&vm, &cpu);
	}
}

/* Tables in a slot that is read-only to the guest: used as they are, never written. */
static void tables_in_rom(void **state)
{
	uint8_t before[LEN];
	struct t_vm vm;
	struct t_cpu cpu;
	unsigned int i;

	for (i = 0; i < ROWS; i++) {
		begin(&vm, &cpu, &rows[i]);
		t_ok(t_slot(&vm, 0, 0, 0, 0, vm.mem));
		t_ok(t_slot(&vm, 0, 0, 0, HOLE, vm.mem));
		t_ok(t_slot(&vm, 1, KVM_MEM_READONLY, HOLE, LEN, vm.mem + HOLE));
		memcpy(before, vm.mem + HOLE, LEN);
		t_ok(mprotect(vm.mem + HOLE, LEN, PROT_READ));
		t_ok(go(&cpu));
		assert_int_equal(cpu.run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(*(uint8_t *)t_io_data(cpu.run), VALUE);
		assert_memory_equal(before, vm.mem + HOLE, LEN);
		T_END(&vm, &cpu);
	}
}

/* ---- while the guest runs ------------------------------------------------------------------------------------ */

/* Take the marks off, forget translations, use the table in three ways. */
GUEST64(code_loop, "1: andl $~0x60, 0x300000; mov %cr3, %rax; mov %rax, %cr3; mov $0x40000000, %esi; mov (%rsi), %al;"
	"andl $~0x60, 0x300000; mov %cr3, %rdx; mov %rdx, %cr3; sidt 64(%rsi); lock incl 80(%rsi); out %al, $0x10; jmp 1b");

struct flipper {
	uint8_t *page;
	atomic_bool stop;
	unsigned long flips;
};

static void *flip(void *arg)
{
	static const int prots[] = { PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE, PROT_READ | PROT_WRITE };
	struct flipper *f = arg;

	while (!atomic_load(&f->stop))
		if (mprotect(f->page, LEN, prots[f->flips++ % 4]))
			return "mprotect";
	return mprotect(f->page, LEN, PROT_READ | PROT_WRITE) ? "mprotect" : NULL;
}

static void protection_changes_meanwhile(void **state)
{
	static const struct row row = ROW(code_loop, LONG);
	unsigned long done = 0, failed = 0, n;
	struct flipper f = { 0 };
	struct t_vm vm;
	struct t_cpu cpu;
	pthread_t thread;
	void *error;

	begin(&vm, &cpu, &row);
	f.page = vm.mem + HOLE;
	t_ok(pthread_create(&thread, NULL, flip, &f));
	for (n = 0; n < 200000 && (done < 2000 || failed < 500); n++) {
		long ret = t_run(&cpu);

		if (ret) {
			t_fails(EFAULT, ret);
			failed++;
			continue;
		}
		assert_int_equal(cpu.run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(*(uint8_t *)t_io_data(cpu.run), VALUE);
		done++;
	}
	atomic_store(&f.stop, true);
	t_ok(pthread_join(thread, &error));
	assert_null(error);
	print_message("# %lu rounds, %lu refused, %lu changes\n", done, failed, f.flips);
	assert_true(done >= 1000 && failed >= 10);
	finish(&vm, &cpu);
}

T_MAIN(T_CASE(tables_write_protected), T_CASE(tables_out_of_reach), T_CASE(tables_unmapped),
       T_CASE(marked_tables_need_no_write), T_CASE(tables_in_rom), T_CASE(protection_changes_meanwhile))
