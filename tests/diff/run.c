// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * run.c - a small guest: state for a mode set or left as it is, then KVM_RUN until the guest says it is done, with every
 * exit shown, and registers, events and memory at the end.
 */
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include "calls.h"
#include "guests.h"

#define EXITS		8
#define LATE_S		1	/* then the result would depend on time */

static void out_exit(struct kvm_run *run)
{
	uint64_t v = 0;
	unsigned int n;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		n = (unsigned int)run->io.size * run->io.count;
		out(" io %s %x %ux%u", run->io.direction ? "out" : "in", run->io.port, run->io.size, run->io.count);
		if (run->io.direction) {
			memcpy(&v, (uint8_t *)run + run->io.data_offset, n < 8 ? n : 8);
			out(" %lx", (unsigned long)v);
		} else {
			memset((uint8_t *)run + run->io.data_offset, 0xa5, n < 64 ? n : 64);
		}
		break;
	case KVM_EXIT_MMIO:
		memcpy(&v, run->mmio.data, run->mmio.len < 8 ? run->mmio.len : 8);
		out(" mmio %s %llx %u", run->mmio.is_write ? "w" : "r", run->mmio.phys_addr, run->mmio.len);
		if (run->mmio.is_write)
			out(" %lx", (unsigned long)v);
		else
			memset(run->mmio.data, 0x5a, 8);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		out(" error %u", run->internal.suberror);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		out(" msr %u %x %u", run->exit_reason, run->msr.index, run->msr.reason);
		if (run->exit_reason == KVM_EXIT_X86_WRMSR)
			out(" %llx", run->msr.data);
		else
			run->msr.data = 0x1234;
		run->msr.error = run->msr.index & 1;
		break;
	case KVM_EXIT_DEBUG:
		out(" debug %u %llx %llx %llx", run->debug.arch.exception, run->debug.arch.pc, run->debug.arch.dr6, run->debug.arch.dr7);
		break;
	default:
		out(" exit %u", run->exit_reason);
	}
}

static void set_mode(struct rnd *r, unsigned int cpu, unsigned int mode)
{
	struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_sregs sregs;

	call(s.cpu[cpu].fd, KVM_GET_SREGS, &sregs);
	if (mode == 0) {
		data = (struct kvm_segment){ .limit = 0xffff, .type = 3, .present = 1, .s = 1 };
		sregs.cr0 = 0x60000010;
	} else {
		sregs.cr0 = mode == 1 ? 0x60000011 : 0xe0000011;
	}
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cs = data;
	sregs.cs.type = 11;
	sregs.cs.selector = mode == 0 ? 0 : mode == 1 ? 24 : 8;
	sregs.cs.l = mode == 2;
	sregs.cs.db = mode == 1;
	sregs.tr = (struct kvm_segment){ .base = TSS_AT, .limit = 0x67, .selector = 48, .type = 11, .present = 1 };
	sregs.ldt = (struct kvm_segment){ .unusable = 1 };
	sregs.gdt.base = GDT_AT;
	sregs.gdt.limit = 0x3f;
	sregs.idt.base = mode == 0 ? 0 : mode == 1 ? IDT32_AT : IDT64_AT;
	sregs.idt.limit = mode == 0 ? 0x3ff : mode == 1 ? 0x7ff : 0xfff;
	sregs.cr3 = TABLES_AT;
	sregs.cr4 = mode == 2 ? 0x620 : 0x600;
	sregs.efer = mode == 2 ? 0x500 : 0;
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
	out(" mode");
	out_ret(call(s.cpu[cpu].fd, KVM_SET_SREGS, &sregs));
}

/* 52: the emulated processor takes any base. 53: ports that cannot be read, or tell time. */
static void tame_regs(const struct guest *g, struct kvm_regs *regs)
{
	uint32_t msr = (uint32_t)regs->rcx;
	uint16_t port = (uint16_t)regs->rdx;

	if (!strcmp(g->name, "wrmsr") && (msr == 0x174 || msr == 0xc0000084 || msr == 0xc0000103))	/* 17 */
		regs->rdx = 0;
	if (!strcmp(g->name, "wrmsr") && (msr == 0xc0000082 || msr == 0xc0000083 || (msr >= 0xc0000100 && msr <= 0xc0000102)))
		regs->rdx = canonical(regs->rdx << 32) >> 32;
	if (!strcmp(g->name, "wrmsr") && msr >> 8 == 8) {	/* 66 */
		uint64_t v = x2apic_value(msr, regs->rdx << 32 | (uint32_t)regs->rax);

		regs->rax = (uint32_t)v;
		regs->rdx = v >> 32;
	}
	if (!strcmp(g->name, "out8") && (port == 0x20 || port == 0xa0) && (regs->rax & 0x18) == 8)	/* 50, 68 */
		regs->rax &= ~0x64UL;
	if (!strcmp(g->name, "monitor"))			/* 64 */
		regs->rcx = 0;
	if (!strcmp(g->name, "rdpmc"))				/* 70 */
		regs->rcx = 0xffff;
	if ((!strncmp(g->name, "in", 2) || !strncmp(g->name, "out", 3)) && strcmp(g->name, "in8") && strcmp(g->name, "out8") &&
	    (port == 0x20 || port == 0xa0 || port == 0x4d0))	/* 20 */
		regs->rdx = 0x80;
	if (!strcmp(g->name, "rdmsr") && msr == 0x803)		/* 13 */
		regs->rcx = 0x802;
	if ((!strncmp(g->name, "in", 2) || !strcmp(g->name, "rep_in")) && s.irqchip == FULL && (port == 0x43 || port == 0x61))
		regs->rdx = 0x80;
}

static void set_regs(struct rnd *r, unsigned int cpu, unsigned int mode, const struct guest *g)
{
	static const uint16_t wide[] = { 0x21, 0xa1, 0x43, 0x80, 0x60, 0xcf8, 0x4d1 };	/* 20 */
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x43, 0x61, 0x4d0, 0x60, 0x70, 0x80, 0xcf8, 0xffff };
	static const uint64_t places[] = { DATA_AT, DATA_AT + 0xffe, 0x100000, 0xfec00000, 0xfec00010, 0xfee00020, 0xfee00080,
					   0xfee000f0, 0xfee00300, 0xfee00350, 0xd0000000, 0x3ffff000 };
	static const uint32_t leaves[] = { 0, 1, 2, 7, 0xd, 0x40000000, 0x40000001, 0x80000000, 0x80000001, 0x80000008, 0x80000009, 0x20 };
	struct kvm_regs regs;
	unsigned int i;

	for (i = 0; i < 16; i++)
		(&regs.rax)[i] = rnd_below(r, 0x10000);
	regs.rcx = any_msr(r);
	regs.rdx = ports[rnd_below(r, sizeof(ports) / 2)];
	if (!strcmp(g->name, "wrmsr")) {
		uint64_t v = any_msr_value(r, (uint32_t)regs.rcx);

		regs.rax = (uint32_t)v;
		regs.rdx = v >> 32;
	} else if (!strcmp(g->name, "cpuid")) {
		regs.rax = leaves[rnd_below(r, sizeof(leaves) / 4)];
		regs.rcx = rnd_below(r, 3);
	} else if (!strncmp(g->name, "wr_", 3)) {
		regs.rax = one_in(r, 2) ? 1UL << rnd_below(r, 32) : rnd_odd(r);
		if (!strcmp(g->name, "wr_cr0") && !one_in(r, 4))
			regs.rax = 0x60000010 ^ (1UL << rnd_below(r, 32));
		if (!strncmp(g->name, "wr_cr", 5))
			regs.rax = (uint32_t)regs.rax;		/* 69 */
		if (!strcmp(g->name, "wr_dr7"))
			regs.rax &= ~0xf0ffUL;	/* 33 */
		if (!strcmp(g->name, "wr_dr6"))
			regs.rax &= ~0x1000UL;
	}
	if (!strcmp(g->name, "xsetbv"))
		regs.rax = rnd_below(r, 16);
	if (!strcmp(g->name + (g->name[0] == 'i' ? 2 : 3), "16") || !strcmp(g->name + (g->name[0] == 'i' ? 2 : 3), "32"))
		regs.rdx = wide[rnd_below(r, sizeof(wide) / 2)];
	regs.rsi = DATA_AT + rnd_below(r, 0x800);
	regs.rdi = places[rnd_below(r, sizeof(places) / 8)];
	if (mode == 0)		/* 24: no limit checks in the emulated processor */
		regs.rdi = DATA_AT + (one_in(r, 3) ? 0xffe : 0);
	if (mode < 2)
		regs.rax = (uint32_t)regs.rax;
	if (regs.rdi == 0xfee00300)	/* 41 */
		regs.rax &= ~0x700UL;
	regs.rsp = STACK_AT;
	regs.rip = CODE_AT;
	regs.rflags = 2 | (rnd64(r) & 0x8d5) | (one_in(r, 4) ? 0x200 : 0);
	tame_regs(g, &regs);
	out(" rax %llx rcx %llx rdx %llx rdi %llx fl %llx", regs.rax, regs.rcx, regs.rdx, regs.rdi, regs.rflags);
	call(s.cpu[cpu].fd, KVM_SET_REGS, &regs);
}

/* 9, 57: without RF in what a fault pushed, nor whether it was a write; the stack may be anywhere. */
static uint32_t memory_hash(void)
{
	static uint64_t words[HASHED / 8];
	unsigned int i;

	for (i = 0; i < HASHED / 8; i++)
		words[i] = ((const uint64_t *)s.mem)[i] & ~0x0303030303030303UL;
	return hash(words, sizeof(words));
}

/* A number for the state of a virtual CPU: what differs shows when it is read. */
static void out_state(unsigned int cpu)
{
	struct kvm_vcpu_events ev = { 0 };
	struct kvm_regs regs = { 0 };
	struct kvm_sregs sregs = { 0 };

	call(s.cpu[cpu].fd, KVM_GET_REGS, &regs);
	call(s.cpu[cpu].fd, KVM_GET_VCPU_EVENTS, &ev);
	call(s.cpu[cpu].fd, KVM_GET_SREGS, &sregs);
	out(" | ax %llx bx %llx cx %llx dx %llx sp %llx bp %llx si %llx di %llx ip %llx fl %llx | cr %llx %llx %llx %llx %llx efer %llx | ev",
	    regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsp, regs.rbp, regs.rsi, regs.rdi, regs.rip, regs.rflags & ~0x10000ULL, sregs.cr0, sregs.cr2,
	    sregs.cr3, sregs.cr4, sregs.cr8, sregs.efer);
	hide_events(&ev);
	out_words(&ev, sizeof(ev));
	out(" | cs %x ss %x | mem %08x", sregs.cs.selector, sregs.ss.selector, memory_hash());
}

/* 27: an interrupt that is being injected finds IF set. 72: no shadow. An exception is shown: see intended.list. */
static void open_for_injected(unsigned int cpu)
{
	struct kvm_vcpu_events ev = { 0 };
	struct kvm_regs regs;

	call(s.cpu[cpu].fd, KVM_GET_VCPU_EVENTS, &ev);
	if (ev.exception.injected || ev.exception.pending)
		out(" exception");
	if (!ev.interrupt.injected && !ev.interrupt.shadow)
		return;
	call(s.cpu[cpu].fd, KVM_GET_REGS, &regs);
	if (ev.interrupt.injected)
		regs.rflags |= 0x200;
	ev.interrupt.shadow = 0;
	if (ev.nmi.injected || ev.exception.injected || ev.exception.pending)
		ev.interrupt.injected = 0;		/* 38 */
	ev.flags &= KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_PAYLOAD;
	call(s.cpu[cpu].fd, KVM_SET_REGS, &regs);
	call(s.cpu[cpu].fd, KVM_SET_VCPU_EVENTS, &ev);
}

/*
 * 43: the emulated processor has its host's CR0 back after an exit only if the guest's EFER and CR4 would allow it as a MOV
 * to CR0: not with LME set and PAE clear while the guest does not page.
 */
static void spare_oracle(unsigned int cpu, const struct guest *g)
{
	const uint64_t pg = 0x80000000, pae = 0x20, lme = 0x100;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	call(s.cpu[cpu].fd, KVM_GET_SREGS, &sregs);
	if (sregs.cr0 & pg)
		return;
	if ((sregs.efer & lme) && !(sregs.cr4 & pae)) {
		sregs.efer &= ~lme;
		out(" no lme");
		out_ret(call(s.cpu[cpu].fd, KVM_SET_SREGS, &sregs));
	}
	call(s.cpu[cpu].fd, KVM_GET_REGS, &regs);
	if (!strcmp(g->name, "wrmsr") && (uint32_t)regs.rcx == 0xc0000080 && !(sregs.cr4 & pae))
		regs.rax &= ~lme;
	if (!strcmp(g->name, "wr_cr4") && (sregs.efer & lme))
		regs.rax |= pae;
	call(s.cpu[cpu].fd, KVM_SET_REGS, &regs);
}

/* 32 bits of a base, or 0 where what is used of n bytes from there may go beyond 4 GiB. */
static uint64_t below_wrap(uint64_t base, uint64_t n)
{
	base = (uint32_t)base;
	return (base + n) >> 32 ? 0 : base;
}

/*
 * 24: the emulated processor does not look whether what segment registers hold can be used, and for what; and the addresses from
 * which it executes and at which it delivers events do not wrap at 4 GiB outside of 64-bit mode. 32: no base of CS in 64-bit mode.
 * 67: no CPL in real mode.
 */
static void usable_segments(unsigned int cpu)
{
	struct kvm_sregs sregs, was;
	struct kvm_segment *seg;
	struct kvm_regs regs;

	call(s.cpu[cpu].fd, KVM_GET_SREGS, &sregs);
	call(s.cpu[cpu].fd, KVM_GET_REGS, &regs);
	was = sregs;
	if (sregs.ss.unusable)		/* 6 */
		sregs.ss.db = 1;
	for (seg = &sregs.cs; seg <= &sregs.ss; seg++) {
		if (seg > &sregs.cs) {
			seg->limit = 0xffffffff;
			seg->g = 1;
			seg->type = 3;
		}
		seg->present = seg->s = 1;
		seg->unusable = 0;
	}
	if (!(sregs.cr0 & 1))		/* 67 */
		sregs.ss.dpl = 0;
	if (sregs.efer & 0x400) {
		sregs.cs.base = 0;
	} else {
		sregs.idt.base = below_wrap(sregs.idt.base, 0x10000);
		sregs.gdt.base = below_wrap(sregs.gdt.base, 0x10000);
		for (seg = &sregs.cs; seg <= &sregs.ldt; seg++)
			seg->base = (uint32_t)seg->base;
		sregs.cs.base = below_wrap(sregs.cs.base, 0x10000);
		sregs.ss.base = below_wrap(sregs.ss.base, (uint32_t)regs.rsp);
	}
	if (memcmp(&was, &sregs, sizeof(was)))
		call(s.cpu[cpu].fd, KVM_SET_SREGS, &sregs);
}

static bool runnable(unsigned int cpu)
{
	struct kvm_mp_state mp = { 0 };

	call(s.cpu[cpu].fd, KVM_GET_MP_STATE, &mp);
	out(" mp %u", mp.mp_state);
	return mp.mp_state == KVM_MP_STATE_RUNNABLE;
}

void op_run(struct rnd *r)
{
	struct itimerval late = { .it_value = { LATE_S, 0 } }, off = { 0 };
	unsigned int cpu = one_in(r, 3) ? rnd_below(r, s.cpus) : 0, mode = rnd_below(r, 3), i;
	bool set = !one_in(r, 5);
	const struct guest *g;
	struct kvm_run *run;
	long ret = 0;

	do
		g = &guests[rnd_below(r, NR_GUESTS)];
	while (g->halts && s.irqchip);
	out(" cpu %u %s %s", cpu, (const char *[]){ "real", "protected", "long" }[mode], g->name);
	if (!runnable(cpu) && one_in(r, 2)) {
		struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };

		call(s.cpu[cpu].fd, KVM_SET_MP_STATE, &mp);
	}
	memcpy(s.mem + CODE_AT, g->code[mode], (size_t)(g->end[mode] - g->code[mode]));
	if (set) {
		set_mode(r, cpu, mode);
		set_regs(r, cpu, mode, g);
	} else {
		struct kvm_sregs sregs;
		struct kvm_regs regs;

		usable_segments(cpu);
		call(s.cpu[cpu].fd, KVM_GET_SREGS, &sregs);
		call(s.cpu[cpu].fd, KVM_GET_REGS, &regs);
		regs.rip = CODE_AT;
		if (!(sregs.cr0 & 1) || (sregs.efer & 0x400))	/* 59 */
			regs.rflags &= ~0x20000UL;
		if (!(sregs.efer & 0x400))			/* 24 */
			regs.rsp = (uint32_t)regs.rsp;
		if ((uint16_t)regs.rsp < 0x200)
			regs.rsp = STACK_AT;
		if ((uint32_t)regs.rdi > 0xfffffff0)
			regs.rdi = DATA_AT;
		regs.rax = (uint32_t)regs.rax & ~0xf0ffUL;	/* 30, 33 */
		tame_regs(g, &regs);
		if (regs.rflags & 0x100)
			out(" tf");
		call(s.cpu[cpu].fd, KVM_SET_REGS, &regs);
	}
	open_for_injected(cpu);
	spare_oracle(cpu, g);
	run = s.cpu[cpu].run;
	run->immediate_exit = !runnable(cpu) || one_in(r, 16);
	run->request_interrupt_window = one_in(r, 8);
	for (i = 0; i < EXITS; i++) {
		setitimer(ITIMER_REAL, &late, NULL);
		ret = call(s.cpu[cpu].fd, KVM_RUN, NULL);
		setitimer(ITIMER_REAL, &off, NULL);
		if (ret == -EINTR && !run->immediate_exit) {
			out(" late");
			s.over = true;
			return;
		}
		if (ret) {
			out_ret(ret);
			break;
		}
		out_exit(run);
		if (run->exit_reason == KVM_EXIT_SHUTDOWN || run->exit_reason == KVM_EXIT_INTERNAL_ERROR ||
		    run->exit_reason == KVM_EXIT_FAIL_ENTRY) {
			s.over = true;		/* 25 */
			return;
		}
		out(" if %u irr %u cr8 %llx", run->if_flag, run->ready_for_interrupt_injection, run->cr8);
		if (run->exit_reason == KVM_EXIT_IO && (run->io.port == 0xf4 || run->io.port == 0xf5 || run->io.port == 0x42))
			break;
		run->request_interrupt_window = 0;
	}
	/* what is at an exit for OUT is completed by the next KVM_RUN */
	if (!ret) {
		run->immediate_exit = 1;
		ret = call(s.cpu[cpu].fd, KVM_RUN, NULL);
		out_ret(ret);
	}
	run->immediate_exit = 0;
	out_state(cpu);
}
