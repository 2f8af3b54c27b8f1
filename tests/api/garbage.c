/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * garbage.c - guests that make no sense: random bytes as code in real, protected and 64-bit mode, with random registers,
 * tables and control registers; code that is overwritten while it runs; nonsense in the interrupt controllers. Whatever
 * comes of it is an exit, -EINTR when a signal asks for it, or an errno the API documents, in time; the program lives, and
 * a sane guest runs on the same vCPU afterwards.
 */
#include "lib/t_kvm.h"

#include <signal.h>
#include <sys/time.h>
#include <time.h>

#define ROUNDS		150
#define EXITS		60	/* per round */
#define SLICE_US	2000	/* between signals */
#define LATE_S		3.0	/* on a busy machine */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void fill(void *p, size_t n)
{
	uint64_t *q = p;

	for (n /= 8; n; n--)
		*q++ = rnd();
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile sig_atomic_t kicked;

static void on_alarm(int sig)
{
	kicked = 1;
}

static void ticks(long us)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval it = { { 0, us }, { 0, us } };

	sigaction(SIGVTALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	setitimer(ITIMER_VIRTUAL, &it, NULL);
}

/* A halted vCPU takes no CPU time, so a second timer runs by the clock. */
static timer_t by_clock;

static void kicks_on(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec it = { { 0, 3000000 }, { 0, 3000000 } };

	ticks(SLICE_US);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &ev, &by_clock), 0);
	timer_settime(by_clock, 0, &it, NULL);
}

static void kicks_off(void)
{
	ticks(0);
	timer_delete(by_clock);
}

/* Run until a signal came or the guest is done for; random answers to what it reads. */
static void run_some(struct t_cpu *cpu)
{
	double start = now();
	long ret;
	int i;

	kicked = 0;
	for (i = 0; i < EXITS && !kicked; i++) {
		ret = t_run(cpu);
		if (ret) {
			if (ret != -EINTR && ret != -EFAULT && ret != -EAGAIN && ret != -EINVAL)
				fail_msg("KVM_RUN: %s, seed %#lx", strerror((int)-ret), seed);
			break;
		}
		if (cpu->run->exit_reason == KVM_EXIT_IO)
			fill(t_io_data(cpu->run), 8);
		else if (cpu->run->exit_reason == KVM_EXIT_MMIO)
			fill(cpu->run->mmio.data, 8);
		else if (cpu->run->exit_reason == KVM_EXIT_SHUTDOWN || cpu->run->exit_reason == KVM_EXIT_INTERNAL_ERROR ||
			 cpu->run->exit_reason == KVM_EXIT_FAIL_ENTRY)
			break;
	}
	if (now() - start > LATE_S)
		fail_msg("%.1f s for one slice, exit %u, seed %#lx", now() - start, cpu->run->exit_reason, seed);
}

GUEST16(sane, "mov $0x1234, %ax; mov %ax, 0x6000; hlt");

/* The same vCPU, brought back to order, does as it is told. */
static void still_works(struct t_vm *vm, struct t_cpu *cpu)
{
	const struct kvm_segment seg = { .limit = 0xffff, .type = 3, .present = 1, .s = 1 };
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_vcpu_events events = { 0 };
	struct kvm_debugregs debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_sregs s;
	int i;

	t_ok(T(cpu->fd, KVM_GET_SREGS, &s));
	s.cr0 = 0x10;
	s.cr3 = s.cr4 = s.efer = s.cr8 = 0;
	s.cs = s.ds = s.es = s.fs = s.gs = s.ss = seg;
	s.cs.type = 11;
	memset(s.interrupt_bitmap, 0, sizeof(s.interrupt_bitmap));
	t_ok(T(cpu->fd, KVM_SET_SREGS, &s));
	T(cpu->fd, KVM_SET_MP_STATE, &runnable);
	t_ok(T(cpu->fd, KVM_SET_VCPU_EVENTS, &events));
	t_ok(T(cpu->fd, KVM_SET_DEBUGREGS, &debug));
	t_cpu_real(cpu, T_CODE);
	memset(vm->mem + 0x6000, 0, 2);
	T_LOAD(vm, T_CODE, sane);
	for (i = 0; i < 4; i++)		/* an exit that was not completed yet comes first */
		if (!t_run(cpu) && cpu->run->exit_reason == KVM_EXIT_HLT)
			break;
	assert_int_equal(cpu->run->exit_reason, KVM_EXIT_HLT);
	assert_memory_equal(vm->mem + 0x6000, "\x34\x12", 2);
}

static void random_regs(struct t_cpu *cpu, uint64_t rip)
{
	struct kvm_regs r;
	unsigned int i;
	__u64 *v = &r.rax;

	for (i = 0; i < 16; i++)	/* half of them point into memory */
		v[i] = rnd() & 1 ? rnd() % T_MEM : rnd() >> (rnd() % 64);
	r.rip = rip;
	r.rflags = (rnd() & 0x3f7fd5) | 2;
	t_set_regs(cpu, &r);
}

enum mode { REAL, PROTECTED, LONG };

static void enter(struct t_vm *vm, struct t_cpu *cpu, enum mode mode)
{
	struct kvm_segment flat = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_sregs s;

	if (mode == LONG) {
		t_cpu_long(vm, cpu, T_CODE);
		return;
	}
	t_cpu_real(cpu, T_CODE);
	if (mode == REAL)
		return;
	t_ok(T(cpu->fd, KVM_GET_SREGS, &s));
	s.ds = s.es = s.fs = s.gs = s.ss = flat;
	flat.type = 11;
	s.cs = flat;
	s.cr0 = 0x11;
	t_ok(T(cpu->fd, KVM_SET_SREGS, &s));
}

static void garbage_in(enum mode mode)
{
	struct t_vm vm;
	struct t_cpu cpu;
	int i;

	kicks_on();
	for (i = 0; i < ROUNDS; i++) {
		t_vm_create(&vm, 0);
		t_cpu_create(&vm, &cpu, 0);
		fill(vm.mem, i % 3 ? T_MEM / 4 : T_MEM);
		enter(&vm, &cpu, mode);
		random_regs(&cpu, rnd() % T_MEM & (mode == REAL ? 0xffff : ~0UL));
		run_some(&cpu);
		still_works(&vm, &cpu);
		T_END(&vm, &cpu);
	}
	kicks_off();
}

static void garbage_real(void **state) { garbage_in(REAL); }
static void garbage_protected(void **state) { garbage_in(PROTECTED); }
static void garbage_long(void **state) { garbage_in(LONG); }

/* Any state the API takes, however odd; what it refuses it must refuse whole. */
static void random_system_state(void **state)
{
	struct kvm_sregs s, before, after;
	struct t_vm vm;
	struct t_cpu cpu;
	__u64 *cr;
	int i, j, taken = 0;

	kicks_on();
	for (i = 0; i < ROUNDS * 4; i++) {
		t_vm_create(&vm, 0);
		t_cpu_create(&vm, &cpu, 0);
		t_cpu_cpuid(&vm, &cpu);
		fill(vm.mem, T_MEM / 4);
		enter(&vm, &cpu, (enum mode)(rnd() % 3));
		t_ok(T(cpu.fd, KVM_GET_SREGS, &before));
		s = before;
		for (j = 0; j < 1 + (int)(rnd() % 4); j++) {
			switch (rnd() % 6) {
			case 0:
				((uint8_t *)&s)[rnd() % sizeof(s)] ^= 1u << rnd() % 8;
				break;
			case 1:
				cr = rnd() & 1 ? &s.cr0 : &s.cr4;
				*cr ^= 1ULL << rnd() % 24;
				break;
			case 2:
				s.cr3 = rnd() % T_MEM & ~0xfffUL;
				break;
			case 3:
				s.efer ^= 1ULL << rnd() % 16;
				break;
			case 4:
				s.idt.base = s.gdt.base = rnd() % T_MEM;
				s.idt.limit = s.gdt.limit = (uint16_t)rnd();
				break;
			default:
				fill(&s.cs + rnd() % 8, sizeof(s.cs));
				break;
			}
		}
		if (T(cpu.fd, KVM_SET_SREGS, &s) == 0) {
			taken++;
		} else {
			t_ok(T(cpu.fd, KVM_GET_SREGS, &after));
			assert_memory_equal(&before, &after, sizeof(s));
		}
		random_regs(&cpu, rnd() % T_MEM);
		run_some(&cpu);
		still_works(&vm, &cpu);
		T_END(&vm, &cpu);
	}
	kicks_off();
	assert_true(taken > 10);
}

/* 64-bit guest: random 32-bit values to random registers of the local APIC (or the I/O APIC), forever. */
GUEST64(apic_noise,
	"mov $0xfee00000, %edi; mov $0x12345678, %eax;"
	"1: imul $1664525, %eax, %eax; add $1013904223, %eax;"
	"mov %eax, %edx; shr $16, %edx; and $0x3f0, %edx;"
	"mov %eax, %ecx; rol $7, %ecx; mov %ecx, (%rdi,%rdx); mov (%rdi,%rdx), %ebx; sti; nop; jmp 1b");
GUEST64(ioapic_noise,
	"mov $0xfec00000, %edi; mov $0x87654321, %eax;"
	"1: imul $1664525, %eax, %eax; add $1013904223, %eax;"
	"mov %eax, %edx; shr $20, %edx; mov %edx, (%rdi); mov %eax, 16(%rdi); mov 16(%rdi), %ebx; mov %eax, 0x40(%rdi);"
	"sti; nop; jmp 1b");
/* and by MSR, in x2APIC mode: the first #GP ends it in a triple fault, which is the architecture's answer */
GUEST64(x2apic_noise,
	"mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr; mov $0x9abcdef1, %esi;"
	"1: imul $1664525, %esi, %esi; add $1013904223, %esi;"
	"mov %esi, %ecx; shr $24, %ecx; and $0x3f, %ecx; add $0x800, %ecx; mov %esi, %eax; xor %edx, %edx; wrmsr; jmp 1b");
GUEST64(pic_noise,
	"mov $0x31415926, %esi;"
	"1: imul $1664525, %esi, %esi; add $1013904223, %esi; mov %esi, %eax; shr $24, %eax;"
	"out %al, $0x20; rol $3, %eax; out %al, $0x21; out %al, $0xa1; xor $0x5a, %al; out %al, $0xa0; out %al, $0x43;"
	"out %al, $0x40; out %al, $0x42; in $0x40, %al; in $0x61, %al; in $0x20, %al; sti; nop; jmp 1b");
/* every interrupt gate leads here */
GUEST64(just_iret, "iretq");

struct noise {
	const uint8_t *code, *end;
};
#define NOISE(n) { n, n##_end }
static const struct noise noises[] = {
	NOISE(apic_noise), NOISE(ioapic_noise), NOISE(x2apic_noise), NOISE(pic_noise),
};

static void interrupt_table(struct t_vm *vm, struct t_cpu *cpu)
{
	uint64_t *gdt = (uint64_t *)(vm->mem + 0x5000), *idt = (uint64_t *)(vm->mem + 0x9000);
	const uint64_t handler = 0xb000;
	struct kvm_sregs s;
	int i;

	gdt[1] = 0x00af9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	for (i = 0; i < 256; i++) {
		idt[2 * i] = (handler & 0xffff) | 8 << 16 | 0x8eULL << 40 | handler >> 16 << 48;
		idt[2 * i + 1] = 0;
	}
	T_LOAD(vm, handler, just_iret);
	t_ok(T(cpu->fd, KVM_GET_SREGS, &s));
	s.gdt.base = 0x5000;
	s.gdt.limit = 0x17;
	s.idt.base = 0x9000;
	s.idt.limit = 0xfff;
	t_ok(T(cpu->fd, KVM_SET_SREGS, &s));
}

/* 1 GiB of tables map the addresses from 3 to 4 GiB one to one as well. */
static void map_apic(struct t_vm *vm)
{
	uint64_t *table = (uint64_t *)(vm->mem + T_TABLES);
	uint64_t i;

	table[512 + 3] = (T_TABLES + 3 * T_PAGE) | 3;
	for (i = 0; i < 512; i++)
		table[1536 + i] = (0xc0000000 + (i << 21)) | 0x83;
}

static void nonsense_to_the_interrupt_controllers(void **state)
{
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct t_vm vm;
	struct t_cpu cpu[2];
	size_t i;
	int round;

	kicks_on();
	for (i = 0; i < sizeof(noises) / sizeof(noises[0]); i++) {
		for (round = 0; round < 4; round++) {
			t_vm_create(&vm, T_PIT);
			t_cpu_create(&vm, &cpu[0], 0);
			t_cpu_create(&vm, &cpu[1], 1);
			memcpy(vm.mem + T_CODE, noises[i].code, (size_t)(noises[i].end - noises[i].code));
			vm.mem[T_CODE + 6 + (i == 2)] ^= (uint8_t)(round * 16);	/* another sequence of numbers */
			t_cpu_long(&vm, &cpu[0], T_CODE);
			map_apic(&vm);
			interrupt_table(&vm, &cpu[0]);
			run_some(&cpu[0]);
			run_some(&cpu[0]);
			run_some(&cpu[1]);	/* which may have been sent anything */
			t_ok(T(cpu[0].fd, KVM_GET_LAPIC, &lapic));
			t_ok(T(cpu[0].fd, KVM_GET_MP_STATE, &mp));
			t_cpu_destroy(&cpu[1]);
			T_END(&vm, &cpu[0]);
		}
	}
	kicks_off();
}

/* Code that fills memory with itself, or with what it finds, under its own feet. */
GUEST64(flood_forward, "lea 2f(%rip), %rdi; mov $0x90, %al; mov $0x1000, %ecx; 2: rep stosb; jmp 2b");
GUEST64(flood_copy, "1: lea 1b(%rip), %rsi; lea 64(%rsi), %rdi; mov $64, %ecx; rep movsb; .rept 64; nop; .endr");
GUEST64(flood_self, "1: lea 1b(%rip), %rdi; 2: add %edi, 3f(%rip); incb 2b(%rip); 3: add $0x12345678, %eax; jmp 2b");

static void own_code_overwritten(void **state)
{
	static const struct noise rows[] = { NOISE(flood_forward), NOISE(flood_copy), NOISE(flood_self) };
	struct t_vm vm;
	struct t_cpu cpu;
	size_t i;

	kicks_on();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_vm_create(&vm, 0);
		t_cpu_create(&vm, &cpu, 0);
		memcpy(vm.mem + T_CODE, rows[i].code, (size_t)(rows[i].end - rows[i].code));
		t_cpu_long(&vm, &cpu, T_CODE);
		run_some(&cpu);
		run_some(&cpu);
		still_works(&vm, &cpu);
		T_END(&vm, &cpu);
	}
	kicks_off();
}

/* One write into a byte of every page, as a guest runs away through megabytes of zeros (add %al, (%rax)). */
static void zeros(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_cpu_long(&vm, &cpu, 0x200000);
	kicks_on();
	run_some(&cpu);
	kicks_off();
	still_works(&vm, &cpu);
	T_END(&vm, &cpu);
}

T_MAIN(T_CASE(garbage_real), T_CASE(garbage_protected), T_CASE(garbage_long), T_CASE(random_system_state),
       T_CASE(nonsense_to_the_interrupt_controllers), T_CASE(own_code_overwritten), T_CASE(zeros))
