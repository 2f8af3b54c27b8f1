// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The kit's tables, trap handling and reports. */
#include "kit.h"

u64 gdt[GDT_ENTRIES] __attribute__((aligned(16)));
struct gate idt[256] __attribute__((aligned(16)));
volatile struct trap trap;
void (*volatile handler[256])(struct frame *f);

extern const u8 kit_vectors[];
extern u8 ist_stack_top[];
int kit_call(const void *fn, ul arg);
int kit_iret(const ul *frame);
void kit_resume(void) __attribute__((noreturn));
void kit_start(u32 step);
/* in registers in both modes */
#ifdef __x86_64__
#define IN_REGISTERS
#else
#define IN_REGISTERS	__attribute__((regparm(3)))
#endif
IN_REGISTERS void kit_trap(struct frame *f, ul entry_flags);

/* SDM 3A 8.2.1 and 8.7 */
u32 kit_tss[26 + 2] __attribute__((aligned(16)));

u64 descriptor(u32 base, u32 limit, u8 access, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 0xf) << 48 |
	       (u64)(flags & 0xf) << 52 | (u64)(base >> 24) << 56;
}

void gate_set(unsigned int vector, const void *entry, u16 selector, u8 access, u8 ist)
{
	struct gate g = {
		.offset0 = (ul)entry, .offset1 = (ul)entry >> 16, .selector = selector, .access = access, .ist = ist,
	};

#ifdef __x86_64__
	g.offset2 = (ul)entry >> 32;
#endif
	idt[vector] = g;
}

void gdt_load(void)
{
	struct table_reg r = { sizeof(gdt) - 1, (ul)gdt };

	__asm__ volatile("lgdt %0" :: "m"(r) : "memory");
}

static void tables_init(void)
{
	struct table_reg r = { sizeof(idt) - 1, (ul)idt };

	gdt[1] = descriptor(0, 0xfffff, 0x9b, IS64 ? 0xa : 0xc);
	gdt[2] = descriptor(0, 0xfffff, 0x93, 0xc);
	gdt[3] = descriptor(0, 0xfffff, 0xfb, 0xc);
	gdt[4] = descriptor(0, 0xfffff, 0xf3, 0xc);
	gdt[5] = descriptor(0, 0xfffff, 0xfb, IS64 ? 0xa : 0xc);
	gdt[6] = descriptor((u32)(ul)kit_tss, 103, 0x89, 0);
	gdt[8] = descriptor(0, 0xfffff, 0x9b, 0xc);
#ifdef __x86_64__
	*(u64 *)((u8 *)kit_tss + 4) = (ul)trap_stack_top;
	*(u64 *)((u8 *)kit_tss + 36) = (ul)ist_stack_top;
#else
	kit_tss[1] = (ul)trap_stack_top;
	kit_tss[2] = SEL_DATA;
#endif
	*(u16 *)((u8 *)kit_tss + 102) = 104;
	for (unsigned int i = 0; i < 256; i++)
		gate_set(i, kit_vectors + 16 * i, SEL_CODE, i == BP || i == OF || i == USER_EXIT ? 0xee : 0x8e, 0);
	gdt_load();
	__asm__ volatile("lidt %0\n\tltr %w1\n\tmov %w2, %%ss\n\tmov %w2, %%ds\n\tmov %w2, %%es\n\t"
#ifdef __x86_64__
			 "push %q3\n\tlea 1f(%%rip), %%rax\n\tpush %%rax\n\tlretq\n1:"
#else
			 "ljmp %3, $1f\n1:"
#endif
			 :: "m"(r), "r"(SEL_TSS), "r"(SEL_DATA), "i"(SEL_CODE) : "rax", "memory");
}

IN_REGISTERS void kit_trap(struct frame *f, ul entry_flags)
{
	void (*h)(struct frame *) = handler[f->vector & 0xff];

	if (h) {
		h(f);
		return;
	}
	trap.vector = f->vector;
	trap.error = f->error;
	trap.ip = f->ip;
	trap.cs = f->cs;
	trap.flags = f->flags;
	trap.entry_flags = entry_flags;
	trap.cr2 = rd_cr2();
	trap.ax = f->ax;
	trap.bx = f->bx;
	trap.cx = f->cx;
	trap.dx = f->dx;
	trap.si = f->si;
	trap.di = f->di;
	trap.bp = f->bp;
	/* 32-bit mode pushes the stack pointer only when the privilege level changed */
	if (IS64 || (f->cs & 3) || (f->flags & FL_VM)) {
		trap.sp = f->sp;
		trap.ss = f->ss;
	} else {
		trap.sp = (ul)&f->sp;
		trap.ss = SEL_DATA;
	}
	kit_resume();
}

void try_kernel(const void *fn, ul arg)
{
	trap.vector = 0xdead;
	if (!kit_call(fn, arg))
		trap.vector = NONE;
}

void try_iret(ul cs, const void *fn, ul ss, ul sp, ul flags, ul arg)
{
	ul frame[6] = { (ul)fn, cs, flags, sp, ss, arg };

	trap.vector = 0xdead;
	kit_iret(frame);
}

void try_user_flags(const void *fn, ul arg, ul flags)
{
	ul *sp = (ul *)user_stack_top - 4;

	*sp = (ul)user_end;
	try_iret(SEL_UCODE, fn, SEL_UDATA, (ul)sp, flags, arg);
	if (trap.vector == USER_EXIT)
		trap.vector = NONE;
}

void try_user(const void *fn, ul arg)
{
	try_user_flags(fn, arg, 2);
}

/* -- reports --------------------------------------------------------------------------------------------------- */

void report(const char *name, const char *part, u64 got, u64 want)
{
	volatile struct guest_record r = { (u32)(ul)name, (u32)(ul)part, got, want };

	outl(PORT_RECORD, (u32)(ul)&r);
}

void check_trap(const char *name, ul vector, ul error, const void *at)
{
	report(name, "vector", trap.vector, vector);
	if (trap.vector != vector || vector == NONE)
		return;
	report(name, "error", trap.error, error);
	if (at)
		report(name, "rip", (long)(trap.ip - (ul)at), 0);
}

void command(u32 op, u32 arg)
{
	outl(PORT_COMMAND, arg << 8 | op);
}

void skip(const char *what)
{
	command(COMMAND_SKIP, (u32)(ul)what);
}

void done(void)
{
	command(COMMAND_DONE, 0);
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

void kit_start(u32 step)
{
	tables_init();
	main(step);
	done();
}

void *memset(void *d, int c, size_t n)
{
	void *r = d;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return r;
}

void *memcpy(void *d, const void *s, size_t n)
{
	void *r = d;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
	return r;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}
