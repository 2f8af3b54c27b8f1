// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * guests.c - guests made of random bytes in every mode of the processor: real, virtual-8086, protected with 16- and 32-bit
 * code, 32-bit and PAE paging, compatibility and 64-bit mode; random registers, descriptor and page tables, interrupt gates
 * that lead to more of the same. Whatever they do, the answers are the architecture's: exits that the API knows, errnos that it
 * documents, state that can be read and be loaded again. Memory outside the slots keeps its pattern, a read-only slot its bytes,
 * and a kick ends KVM_RUN in time.
 *
 *	guests [SECONDS [SEED]]		rounds until the time is over
 *	guests round NUMBER		one round again, by the number that a failure printed
 *
 * time limit: 120 s
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <anykvm/anykvm_fd.h>
#include "t_random.h"

#define MEM		0x200000UL		/* slot 0, at guest-physical 0 */
#define ROM		0x10000UL		/* slot 1, read-only, right behind it */
#define HIGH		0x40000UL		/* slot 2 */
#define HIGH_GPA	0x100000000UL
#define GAP		0x100000UL		/* canaries between and around the slots' memory */
#define AREA		(4 * GAP + MEM + ROM + HIGH)
#define TABLES		0x100000UL		/* page tables, GDT, IDT, TSS in slot 0 */
#define GDT		(TABLES + 0x20000)
#define IDT		(TABLES + 0x21000)
#define TSS		(TABLES + 0x22000)

#define CODE		0x10000UL		/* what is made anew, here and there */
#define EXITS		40			/* KVM_RUNs a round */
#define SLICE_NS	1500000			/* between kicks */
#define CPU_LATE_MS	500			/* of the thread's own time, from a kick to the end of KVM_RUN */
#define STUCK_S		20

enum mode { REAL, VM86, PROT16, PROT32, PAGED32, PAE, COMPAT, LONG, MODES };
static const char *const mode_name[] = { "real", "virtual-8086", "protected 16-bit", "protected 32-bit", "32-bit paging", "PAE",
					  "compatibility", "64-bit" };

static uint8_t *area, *mem, *rom, *high;
static uint64_t canary;			/* the pattern of this round */
static uint8_t *rom_copy;
static int sys_fd, vm_fd;
static uint64_t round_now, rounds, exits[40], errnos[140], mode_rounds[MODES], kicked_out, shutdowns;
static double worst_cpu_ms;
static struct kvm_cpuid2 *cpuid;

struct cpu {
	int fd;
	struct kvm_run *run;
	size_t run_size;
	struct rnd r;
	enum mode mode;
};

static void fail(const char *fmt, ...)
{
	va_list ap;

	printf("not ok - ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("; again: guests round %lu\n", (unsigned long)round_now);
	fflush(stdout);
	_exit(1);
}

static void must(long ret, const char *what)
{
	if (ret < 0)
		fail("%s: %s", what, strerror((int)-ret));
}

#define CALL(fd, nr, arg)	anykvm_ioctl(fd, nr, (unsigned long)(arg))

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- kicks ----------------------------------------------------------------------------------- */

static __thread volatile double kick_at;	/* the first one since KVM_RUN began, 0: none */
static volatile uint64_t progress;

static void on_kick(int sig)
{
	if (!kick_at)
		kick_at = cpu_ms();
}

static timer_t kick_me(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct itimerspec it = { { 0, SLICE_NS }, { 0, SLICE_NS } };
	timer_t t;

	ev._sigev_un._tid = (int)syscall(SYS_gettid);
	must(timer_create(CLOCK_MONOTONIC, &ev, &t), "timer_create");
	timer_settime(t, 0, &it, NULL);
	return t;
}

static void *watch(void *arg)
{
	uint64_t seen = 0;
	int same = 0;

	for (;;) {
		sleep(1);
		same = progress == seen ? same + 1 : 0;
		seen = progress;
		if (same >= STUCK_S)
			fail("no KVM_RUN has ended for %d s", STUCK_S);
	}
	return NULL;
}

/* ---- what the guest finds -------------------------------------------------------------------- */

/* Bytes that are instructions more often than random ones: common opcodes with random operands. */
static void random_code(struct rnd *r, uint8_t *p, size_t n)
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x4c, 0x41 };
	static const uint8_t one[] = {
		0x01, 0x03, 0x09, 0x11, 0x21, 0x29, 0x31, 0x39, 0x50, 0x58, 0x60, 0x61, 0x63, 0x69, 0x6a, 0x6c, 0x6e, 0x70, 0x75, 0x80, 0x81,
		0x83, 0x84, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x98, 0x9a, 0x9b, 0x9c, 0x9d, 0xa0, 0xa3, 0xa4, 0xa5, 0xa6,
		0xaa, 0xab, 0xad, 0xae, 0xb0, 0xb8, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xcf, 0xd1, 0xd3,
		0xd7, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xdf, 0xe0, 0xe2, 0xe3, 0xe4, 0xe6, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xee, 0xf1, 0xf4, 0xf6, 0xf7,
		0xfa, 0xfb, 0xfc, 0xfe, 0xff,
	};
	static const uint8_t two[] = {
		0x00, 0x01, 0x02, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0d, 0x10, 0x11, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x31, 0x32,
		0x34, 0x35, 0x38, 0x3a, 0x40, 0x51, 0x58, 0x6e, 0x6f, 0x70, 0x77, 0x7f, 0x80, 0x85, 0x90, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xab, 0xae,
		0xaf, 0xb0, 0xb1, 0xb2, 0xb6, 0xb7, 0xb8, 0xba, 0xbc, 0xbe, 0xc0, 0xc1, 0xc2, 0xc7, 0xc8, 0xe7, 0xef, 0xff,
	};
	size_t i = 0;

	while (i < n) {
		if (one_in(r, 8) && i + 1 < n)
			p[i++] = prefixes[rnd_below(r, sizeof(prefixes))];
		if (one_in(r, 8)) {
			p[i++] = (uint8_t)rnd64(r);
		} else if (one_in(r, 4) && i + 1 < n) {
			p[i++] = 0x0f;
			p[i++] = two[rnd_below(r, sizeof(two))];
		} else {
			p[i++] = one[rnd_below(r, sizeof(one))];
		}
		while (i < n && one_in(r, 2))
			p[i++] = one_in(r, 3) ? 0 : (uint8_t)rnd64(r);
	}
}

/* A guest-physical address: mostly memory, also the other slots, the interrupt controllers, nothing. */
static uint64_t any_gpa(struct rnd *r)
{
	switch (rnd_below(r, 12)) {
	case 0:
		return MEM + rnd_below(r, 2 * ROM);
	case 1:
		return HIGH_GPA + rnd_below(r, 2 * HIGH);
	case 2:
		return 0xfee00000 + rnd_below(r, 0x400);
	case 3:
		return rnd_odd(r) & 0xfffffffffffff;
	default:
		return rnd_below(r, MEM);
	}
}

static uint64_t any_entry(struct rnd *r, bool table)
{
	uint64_t e = (table && !one_in(r, 8) ? TABLES + rnd_below(r, 32) * 4096UL : any_gpa(r)) & ~0xfffUL;

	e |= one_in(r, 8) ? rnd64(r) & 0xfff : 0x67;
	if (table && !one_in(r, 6))
		e &= ~0x80UL;		/* a large page now and then */
	if (one_in(r, 10))
		e |= 1UL << 63;
	if (one_in(r, 40))
		e ^= 1UL << rnd_below(r, 63);
	return e;
}

/* 32 pages of tables for all formats at once; what is read as another format than meant is odd, and that is the purpose. */
static void random_tables(struct rnd *r, enum mode mode)
{
	uint64_t *t = (uint64_t *)(mem + TABLES);
	uint32_t *t32 = (uint32_t *)(mem + TABLES);
	unsigned int i;

	for (i = 0; i < 32 * 512; i++) {
		if (mode == PAGED32) {
			t32[2 * i] = (uint32_t)any_entry(r, i < 8 * 512);
			t32[2 * i + 1] = (uint32_t)any_entry(r, i < 8 * 512);
		} else {
			t[i] = any_entry(r, i < 20 * 512);
		}
	}
	if (mode == PAE)	/* the four at CR3 have few bits */
		for (i = 0; i < 4; i++)
			t[i] = (TABLES + 0x1000 * (1 + rnd_below(r, 8))) | 1;
	/* half the time the first memory is mapped one to one, so that the code is found */
	if (mode == PAGED32 && one_in(r, 2)) {
		t32[0] = 0xe7;		/* 4 MiB, if CR4.PSE */
	} else if (one_in(r, 2)) {
		t[0] = (TABLES + 0x1000) | (mode == PAE ? 1 : 0x67);
		t[512] = mode == PAE ? 0xe7 : (TABLES + 0x2000) | 0x67;
		t[1024] = 0xe7;
	}
}

static uint64_t any_descriptor(struct rnd *r)
{
	uint64_t base = one_in(r, 3) ? any_gpa(r) & 0xffffffff : 0, limit = one_in(r, 4) ? rnd64(r) & 0xfffff : 0xfffff;
	uint64_t access = one_in(r, 3) ? rnd64(r) & 0xff : 0x80 | (rnd64(r) & 0x60) | (one_in(r, 2) ? 0x1b : 0x13);
	uint64_t flags = rnd64(r) & 0xf;

	return (limit & 0xffff) | (base & 0xffffff) << 16 | access << 40 | (limit >> 16) << 48 | flags << 52 | (base >> 24) << 56;
}

static void random_descriptors(struct rnd *r, enum mode mode)
{
	static const uint8_t gates[] = { 0x8e, 0x8f, 0xee, 0xef, 0x86, 0x87, 0x85, 0xe5 };
	uint64_t *gdt = (uint64_t *)(mem + GDT), *idt = (uint64_t *)(mem + IDT);
	bool wide = mode == LONG || mode == COMPAT;
	uint64_t offset;
	unsigned int i;

	for (i = 0; i < 64; i++)
		gdt[i] = any_descriptor(r);
	if (!one_in(r, 3)) {
		gdt[1] = wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff;
		gdt[2] = 0x00cf93000000ffff;
		gdt[3] = 0x008089000000ffff | (TSS & 0xffffff) << 16;
		gdt[4] = 0;
	}
	for (i = 0; i < 256; i++) {
		offset = rnd_below(r, TABLES);
		if (wide && i >= 128)
			break;
		idt[wide ? 2 * i : i] = (offset & 0xffff) | (one_in(r, 6) ? rnd64(r) & 0xffff : 8) << 16 |
					(uint64_t)gates[rnd_below(r, one_in(r, 3) ? 8 : 2)] << 40 | (offset >> 16) << 48;
		if (wide)
			idt[2 * i + 1] = one_in(r, 10) ? rnd64(r) : 0;
		if (one_in(r, 10))
			idt[i] = rnd64(r);
	}
	rnd_fill(r, mem + TSS, 256);
	for (i = 0; i < 26; i++)	/* stacks that are memory */
		((uint32_t *)(mem + TSS))[i] = rnd_below(r, one_in(r, 8) ? ~0u : MEM);
}

static void make_memory(struct rnd *r, enum mode mode)
{
	unsigned int i;

	for (i = 0; i < MEM; i += CODE)
		if (i % (4 * CODE) == 0)
			random_code(r, mem + i, CODE);
		else
			memcpy(mem + i, mem + i - CODE, CODE);
	random_code(r, high, CODE);
	random_code(r, rom, ROM);
	if (mode == REAL || mode == VM86) {
		for (i = 0; i < 256; i++)	/* vectors */
			((uint32_t *)mem)[i] = rnd_below(r, 0xffff) | (uint32_t)rnd_below(r, 0xffff) << 16;
	}
	random_tables(r, mode);
	random_descriptors(r, mode);
	memcpy(rom_copy, rom, ROM);
}

/* ---- the processor's state ------------------------------------------------------------------- */

static void any_segment(struct rnd *r, struct kvm_segment *s, enum mode mode, bool code)
{
	*s = (struct kvm_segment){ .limit = 0xffffffff, .selector = code ? 8 : 16, .type = code ? 11 : 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	if (mode == REAL || mode == VM86) {
		s->selector = (uint16_t)rnd_below(r, 0x2000);
		s->base = s->selector * 16u;
		s->limit = 0xffff;
		s->db = s->g = 0;
		s->dpl = mode == VM86 ? 3 : 0;
		s->type = 3;
		return;
	}
	if (mode == PROT16)
		s->db = 0;
	if (mode == LONG && code) {
		s->l = 1;
		s->db = 0;
	}
	if (!code && one_in(r, 6)) {
		s->base = any_gpa(r);
		s->limit = (uint32_t)rnd_odd(r);
		s->type = (uint8_t)(rnd_below(r, 16));
		s->g = (uint8_t)rnd_below(r, 2);
		s->db = (uint8_t)rnd_below(r, 2);
	}
	if (!code && one_in(r, 12))
		s->unusable = 1;
}

static void set_state(struct cpu *c)
{
	struct rnd *r = &c->r;
	enum mode mode = c->mode;
	struct kvm_regs regs;
	struct kvm_sregs s;
	bool user = mode != REAL && one_in(r, 3);
	struct kvm_segment *seg;
	unsigned int i;
	__u64 *v = &regs.rax;

	must(CALL(c->fd, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	for (seg = &s.cs; seg <= &s.ss; seg++) {
		any_segment(r, seg, mode, seg == &s.cs);
		if (user && mode != VM86) {
			seg->dpl = 3;
			seg->selector |= 3;
		}
	}
	s.ss.unusable = 0;
	s.tr = (struct kvm_segment){ .base = TSS, .limit = 0xfff, .selector = 24, .type = mode == PROT16 && one_in(r, 2) ? 3 : 11, .present = 1 };
	s.ldt = (struct kvm_segment){ .base = GDT, .limit = 0xff, .selector = 40, .type = 2, .present = 1 };
	s.gdt.base = GDT;
	s.gdt.limit = one_in(r, 8) ? (uint16_t)rnd64(r) : 0x1ff;
	s.idt.base = mode == REAL ? 0 : IDT;
	s.idt.limit = one_in(r, 8) ? (uint16_t)rnd64(r) : 0x7ff;
	s.cr0 = mode == REAL ? 0x10 : mode >= PAGED32 || (mode == VM86 && one_in(r, 3)) ? 0x80000011 : 0x11;
	s.cr0 |= rnd64(r) & (mode == REAL ? 0xe : 0x5002e) & (one_in(r, 2) ? 0 : ~0UL);
	s.cr4 = mode >= PAE ? 0x620 : mode == PAGED32 ? 0x610 : 0x600;
	if (one_in(r, 2))
		s.cr4 |= rnd64(r) & 0x3508df;
	if (mode == PAGED32 || mode == VM86)
		s.cr4 &= ~0x20UL;
	if (mode < COMPAT)
		s.cr4 &= ~(1UL << 17);		/* CR4.PCIDE is for long mode */
	s.efer = mode >= COMPAT ? 0x501 : 0;
	s.efer |= one_in(r, 2) ? 0x800 : 0;
	s.cr3 = TABLES;
	s.cr8 = rnd_below(r, 16);
	memset(s.interrupt_bitmap, 0, sizeof(s.interrupt_bitmap));
	if (CALL(c->fd, KVM_SET_SREGS, &s)) {	/* a bit that CPUID does not have */
		s.cr4 &= 0x6b0;
		must(CALL(c->fd, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	}
	for (i = 0; i < 16; i++)
		v[i] = one_in(r, 4) ? rnd_odd(r) : any_gpa(r);
	regs.rsp = one_in(r, 8) ? rnd_odd(r) : rnd_below(r, mode <= VM86 ? 0x10000 : TABLES);
	regs.rip = rnd_below(r, mode <= VM86 || mode == PROT16 ? 0xffff : TABLES);
	regs.rflags = (rnd64(r) & 0x3c4ed5) | 2;	/* TF and NT now and then */
	regs.rflags |= mode == VM86 ? 0x20000 : 0;
	if (one_in(r, 6))
		regs.rflags |= 0x100;
	must(CALL(c->fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void make_cpu(struct cpu *c, unsigned int id, enum mode mode)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

	c->mode = mode;
	c->r = rnd_of(round_now, 1 + id, 0);
	c->fd = CALL(vm_fd, KVM_CREATE_VCPU, id);
	must(c->fd, "KVM_CREATE_VCPU");
	c->run_size = (size_t)CALL(sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	c->run = anykvm_mmap(c->fd, c->run_size, 0);
	if (c->run == (void *)-1)
		fail("no kvm_run");
	must(CALL(c->fd, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	CALL(c->fd, KVM_SET_MP_STATE, &runnable);
	set_state(c);
}

/* ---- running --------------------------------------------------------------------------------- */

/* A kernel could migrate the guest at any moment: what was read can be loaded. */
static void reload(struct cpu *c)
{
	struct kvm_vcpu_events ev;
	struct kvm_debugregs dr;
	struct kvm_sregs s, again;
	struct kvm_xsave x;
	struct kvm_regs regs;

	must(CALL(c->fd, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	must(CALL(c->fd, KVM_GET_REGS, &regs), "KVM_GET_REGS");
	must(CALL(c->fd, KVM_GET_VCPU_EVENTS, &ev), "KVM_GET_VCPU_EVENTS");
	must(CALL(c->fd, KVM_GET_DEBUGREGS, &dr), "KVM_GET_DEBUGREGS");
	must(CALL(c->fd, KVM_GET_XSAVE, &x), "KVM_GET_XSAVE");
	/* A far jump outside long mode keeps the descriptor's L bit, which nobody looks at there, and which the API refuses. */
	if (!(s.efer & 0x400))
		s.cs.l = 0;
	if (CALL(c->fd, KVM_SET_SREGS, &s))
		fail("cr0 %#llx cr3 %#llx cr4 %#llx cr8 %#llx efer %#llx apic base %#llx cs.l %u cannot be loaded again, %s", s.cr0, s.cr3,
		     s.cr4, s.cr8, s.efer, s.apic_base, s.cs.l, mode_name[c->mode]);
	must(CALL(c->fd, KVM_SET_REGS, &regs), "KVM_SET_REGS of what was there");
	must(CALL(c->fd, KVM_SET_VCPU_EVENTS, &ev), "KVM_SET_VCPU_EVENTS of what was there");
	must(CALL(c->fd, KVM_SET_DEBUGREGS, &dr), "KVM_SET_DEBUGREGS of what was there");
	must(CALL(c->fd, KVM_SET_XSAVE, &x), "KVM_SET_XSAVE of what was there");
	must(CALL(c->fd, KVM_GET_SREGS, &again), "KVM_GET_SREGS");
	if (memcmp(&s, &again, sizeof(s)))
		fail("SREGS differ after loading them");
}

static void answer(struct cpu *c)
{
	struct kvm_run *run = c->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (!run->io.size || run->io.data_offset + (uint64_t)run->io.size * run->io.count > c->run_size)
			fail("port exit with %u times %u bytes at %#llx", run->io.count, run->io.size, run->io.data_offset);
		if (run->io.direction == KVM_EXIT_IO_IN)
			rnd_fill(&c->r, (uint8_t *)run + run->io.data_offset, (size_t)run->io.size * run->io.count);
		break;
	case KVM_EXIT_MMIO:
		if (!run->mmio.len || run->mmio.len > 8)
			fail("MMIO exit with %u bytes", run->mmio.len);
		rnd_fill(&c->r, run->mmio.data, 8);
		break;
	}
}

/* False: this guest is done for. */
static bool run_once(struct cpu *c)
{
	double taken;
	long ret;

	kick_at = 0;
	ret = CALL(c->fd, KVM_RUN, 0);
	taken = kick_at ? cpu_ms() - kick_at : 0;
	progress++;
	if (taken > worst_cpu_ms)
		worst_cpu_ms = taken;
	if (taken > CPU_LATE_MS)
		fail("%.0f ms of processor time from the kick to the end of KVM_RUN, %s", taken, mode_name[c->mode]);
	if (ret == -EINTR) {
		__atomic_fetch_add(&kicked_out, 1, __ATOMIC_RELAXED);
		return true;
	}
	if (ret) {
		if (ret != -EFAULT)
			fail("KVM_RUN: %s, %s", strerror((int)-ret), mode_name[c->mode]);
		__atomic_fetch_add(&errnos[-ret], 1, __ATOMIC_RELAXED);
		return false;
	}
	if (c->run->exit_reason >= sizeof(exits) / sizeof(exits[0]))
		fail("exit reason %u", c->run->exit_reason);
	__atomic_fetch_add(&exits[c->run->exit_reason], 1, __ATOMIC_RELAXED);
	switch (c->run->exit_reason) {
	case KVM_EXIT_IO:
	case KVM_EXIT_MMIO:
		answer(c);
		return true;
	case KVM_EXIT_HLT:
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
		return true;
	case KVM_EXIT_SHUTDOWN:
		__atomic_fetch_add(&shutdowns, 1, __ATOMIC_RELAXED);
		/* fallthrough */
	case KVM_EXIT_INTERNAL_ERROR:
		return false;
	default:
		fail("exit reason %u, %s", c->run->exit_reason, mode_name[c->mode]);
	}
	return false;
}

static void *run_some(void *arg)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_vcpu_events none = { 0 };
	struct cpu *c = arg;
	timer_t kicks = kick_me();
	int i;

	for (i = 0; i < EXITS; i++) {
		if (!run_once(c) || one_in(&c->r, 10)) {
			must(CALL(c->fd, KVM_SET_VCPU_EVENTS, &none), "KVM_SET_VCPU_EVENTS");
			CALL(c->fd, KVM_SET_MP_STATE, &runnable);
			set_state(c);
		}
		if (one_in(&c->r, 4))
			reload(c);
		if (one_in(&c->r, 16))
			CALL(c->fd, KVM_NMI, 0);
	}
	timer_delete(kicks);
	return NULL;
}

static void slot(uint32_t id, uint32_t flags, uint64_t gpa, uint64_t size, void *host)
{
	struct kvm_userspace_memory_region m = { id, flags, gpa, size, (unsigned long)host };

	must(CALL(vm_fd, KVM_SET_USER_MEMORY_REGION, &m), "KVM_SET_USER_MEMORY_REGION");
}

static void fill_canaries(void)
{
	uint64_t *p;

	for (p = (uint64_t *)area; p < (uint64_t *)(area + AREA); p++)
		*p = canary;
}

static void check_gap(const uint8_t *from, const uint8_t *to)
{
	const uint64_t *p;

	for (p = (const uint64_t *)from; p < (const uint64_t *)to; p++)
		if (*p != canary)
			fail("memory outside the slots was written, %ld bytes from slot 0", (long)((const uint8_t *)p - mem));
}

static void one_round(uint64_t number)
{
	struct rnd r = rnd_of(number, 0, 0);
	struct cpu cpu[2];
	unsigned int cpus = one_in(&r, 4) ? 2 : 1, i;
	bool irqchip = one_in(&r, 3);
	enum mode mode = (enum mode)rnd_below(&r, MODES);
	pthread_t other;

	round_now = number;
	canary = rnd64(&r);
	fill_canaries();
	make_memory(&r, mode);
	vm_fd = CALL(sys_fd, KVM_CREATE_VM, 0);
	must(vm_fd, "KVM_CREATE_VM");
	if (irqchip)
		must(CALL(vm_fd, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	slot(0, 0, 0, MEM, mem);
	slot(1, KVM_MEM_READONLY, MEM, ROM, rom);
	slot(2, one_in(&r, 2) ? KVM_MEM_LOG_DIRTY_PAGES : 0, HIGH_GPA, HIGH, high);
	for (i = 0; i < cpus; i++)
		make_cpu(&cpu[i], i, i ? (enum mode)rnd_below(&r, MODES) : mode);
	if (cpus == 2)
		must(-pthread_create(&other, NULL, run_some, &cpu[1]), "pthread_create");
	run_some(&cpu[0]);
	if (cpus == 2)
		pthread_join(other, NULL);
	for (i = 0; i < cpus; i++) {
		munmap(cpu[i].run, cpu[i].run_size);
		anykvm_close(cpu[i].fd);
	}
	anykvm_close(vm_fd);
	check_gap(area, mem);
	check_gap(mem + MEM, rom);
	check_gap(rom + ROM, high);
	check_gap(high + HIGH, area + AREA);
	if (memcmp(rom, rom_copy, ROM))
		fail("the read-only slot was written");
	mode_rounds[mode]++;
	rounds++;
}

static void report(void)
{
	unsigned int i;

	for (i = 0; i < MODES; i++)
		printf("# %lu rounds in %s mode\n", (unsigned long)mode_rounds[i], mode_name[i]);
	for (i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
		if (exits[i])
			printf("# %lu exits with reason %u\n", (unsigned long)exits[i], i);
	printf("# %lu times kicked out, %lu times EFAULT; at most %.1f ms of processor time from a kick to the end\n",
	       (unsigned long)kicked_out, (unsigned long)errnos[EFAULT], worst_cpu_ms);
	printf("ok 1 - %lu guests of random bytes\n", (unsigned long)rounds);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_kick };
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 20261125;
	bool again = argc > 2 && !strcmp(argv[1], "round");
	long seconds = argc > 1 && !again ? strtol(argv[1], NULL, 0) : 5;
	pthread_t watchdog;
	time_t end;

	sigaction(SIGUSR1, &sa, NULL);
	sys_fd = anykvm_open();
	must(sys_fd, "anykvm_open");
	cpuid = calloc(1, sizeof(*cpuid) + 128 * sizeof(cpuid->entries[0]));
	cpuid->nent = 128;
	must(CALL(sys_fd, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rom_copy = malloc(ROM);
	if (area == MAP_FAILED || !rom_copy)
		fail("no memory");
	mem = area + GAP;
	rom = mem + MEM + GAP;
	high = rom + ROM + GAP;
	pthread_create(&watchdog, NULL, watch, NULL);
	if (again) {
		one_round(seed);
	} else {
		printf("# seed %lu, %ld s\n", (unsigned long)seed, seconds);
		for (end = time(NULL) + seconds; time(NULL) < end; )
			one_round(seed * 1000000 + rounds);
	}
	report();
	return 0;
}
