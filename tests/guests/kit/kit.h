/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * kit.h - library of the guest programs, 32-bit protected and 64-bit long mode. A program is kit/ and one file with
 * main(step); it runs bare, with everything identity-mapped (64-bit) or without paging (32-bit), and reports every
 * result with the value the manuals ask for.
 */
#ifndef GUEST_KIT_H
#define GUEST_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "abi.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned long ul;	/* a register */

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BIT(n)		(1ull << (n))
#define PAGE		4096ul

#ifdef __x86_64__
#define R(r)		"%r" #r		/* R(ax): %rax or %eax */
#define W		"q"
#define WORD		".quad"
#define IS64		1
#define IRET		"iretq"
#else
#define R(r)		"%e" #r
#define W		"l"
#define WORD		".long"
#define IS64		0
#define IRET		"iretl"
#endif

enum {
	DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14,
	MF = 16, AC = 17, MC = 18, XM = 19,
	NONE = 0x1000,			/* no exception */
	USER_EXIT = 0x80,		/* a snippet in user mode reached its end */
};

#define FL_CF	0x1
#define FL_ZF	0x40
#define FL_TF	0x100
#define FL_IF	0x200
#define FL_DF	0x400
#define FL_OF	0x800
#define FL_NT	0x4000
#define FL_RF	0x10000
#define FL_VM	0x20000
#define FL_AC	0x40000

#define CR0_PE	BIT(0)
#define CR0_MP	BIT(1)
#define CR0_EM	BIT(2)
#define CR0_TS	BIT(3)
#define CR0_NE	BIT(5)
#define CR0_WP	BIT(16)
#define CR0_AM	BIT(18)
#define CR0_PG	BIT(31)
#define CR4_TSD	BIT(2)
#define CR4_DE	BIT(3)
#define CR4_PSE	BIT(4)
#define CR4_PAE	BIT(5)
#define CR4_PGE	BIT(7)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP BIT(11)
#define CR4_FSGSBASE BIT(16)
#define CR4_PCIDE BIT(17)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)

#define MSR_APICBASE	0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_SYSENTER_CS	0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_EFER	0xc0000080u
#define   EFER_SCE	BIT(0)
#define   EFER_LME	BIT(8)
#define   EFER_LMA	BIT(10)
#define   EFER_NXE	BIT(11)
#define MSR_STAR	0xc0000081u
#define MSR_LSTAR	0xc0000082u
#define MSR_CSTAR	0xc0000083u
#define MSR_FMASK	0xc0000084u
#define MSR_FS_BASE	0xc0000100u
#define MSR_GS_BASE	0xc0000101u
#define MSR_KERNEL_GS	0xc0000102u

/* selectors of the kit's GDT */
#define SEL_CODE	0x08
#define SEL_DATA	0x10
#define SEL_UCODE32	0x1b
#define SEL_UDATA	0x23
#define SEL_UCODE64	0x2b
#define SEL_UCODE	(IS64 ? SEL_UCODE64 : SEL_UCODE32)
#define SEL_TSS		0x30	/* two entries */
#define SEL_CODE32	0x40
#define SEL_FREE	0x48	/* from here on a program's own */

#define GDT_ENTRIES	64
extern u64 gdt[GDT_ENTRIES];

/** A segment descriptor: access byte (P, DPL, S, type), flags (G, D/B, L, AVL) in the low four bits of flags. */
u64 descriptor(u32 base, u32 limit, u8 access, u8 flags);
void gdt_load(void);

/* The interrupt descriptor table: entries of 16 or 8 bytes. */
struct gate {
	u16 offset0, selector;
	u8 ist, access;
	u16 offset1;
#ifdef __x86_64__
	u32 offset2, zero;
#endif
};
extern struct gate idt[256];
void gate_set(unsigned int vector, const void *entry, u16 selector, u8 access, u8 ist);
struct table_reg { u16 limit; ul base; } __attribute__((packed));

/* What the processor pushed, and the registers. */
struct frame {
#ifdef __x86_64__
	ul r15, r14, r13, r12, r11, r10, r9, r8;
#else
	ul es, ds;
#endif
	ul di, si, bp, bx, dx, cx, ax, vector, error, ip, cs, flags, sp, ss;
};

struct trap {
	ul vector, error, ip, cs, flags, sp, ss, cr2;
	ul ax, bx, cx, dx, si, di, bp;
	ul entry_flags;			/* RFLAGS at the handler's first instruction */
};
extern volatile struct trap trap;

/** Handlers that return to the interrupted code; without one an event ends try_*(). */
extern void (*volatile handler[256])(struct frame *f);

/** Call fn with rdi = arg in ring 0; the exception that ended it, or NONE, is in trap. */
void try_kernel(const void *fn, ul arg);
/** The same in ring 3, on a stack of its own; NONE if it came to its end. flags: RFLAGS to begin with. */
void try_user(const void *fn, ul arg);
void try_user_flags(const void *fn, ul arg, ul flags);
/** Enter cs:fn with ss:sp and flags by IRET; ends with an event, or with INT 0x80. */
void try_iret(ul cs, const void *fn, ul ss, ul sp, ul flags, ul arg);
extern u8 user_stack[], user_stack_top[], kernel_stack_top[], trap_stack_top[];
void user_end(void);

/* NAME: pre, then an instruction at NAME_at; what follows it is at NAME_next; returns to the caller. */
#define SNIPPET(name, pre, insn) \
	extern const u8 name[], name##_at[], name##_next[]; \
	__asm__(".pushsection .text.snippet, \"ax\"\n.p2align 4\n.global " #name ", " #name "_at, " #name "_next\n" \
		#name ":\n" pre "\n" #name "_at: " insn "\n" #name "_next: ret\n.popsection")

/* -- results --------------------------------------------------------------------------------------------------- */

void report(const char *name, const char *part, u64 got, u64 want);
static inline void check(const char *name, u64 got, u64 want)
{
	report(name, NULL, got, want);
}
/** The last trap had this vector and error code (0 if it has none) and pointed to at. */
void check_trap(const char *name, ul vector, ul error, const void *at);
void command(u32 op, u32 arg);
void skip(const char *what);
void done(void) __attribute__((noreturn));

int main(u32 step);

/* -- instructions ---------------------------------------------------------------------------------------------- */

#define CR_ACCESS(n) \
static inline ul rd_cr##n(void) { ul v; __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v) :: "memory"); return v; } \
static inline void wr_cr##n(ul v) { __asm__ volatile("mov %0, %%cr" #n :: "r"(v) : "memory"); }
CR_ACCESS(0) CR_ACCESS(2) CR_ACCESS(3) CR_ACCESS(4)
#define DR_ACCESS(n) \
static inline ul rd_dr##n(void) { ul v; __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v) :: "memory"); return v; } \
static inline void wr_dr##n(ul v) { __asm__ volatile("mov %0, %%dr" #n :: "r"(v) : "memory"); }
DR_ACCESS(0) DR_ACCESS(1) DR_ACCESS(2) DR_ACCESS(3) DR_ACCESS(6) DR_ACCESS(7)

static inline u64 rdmsr(u32 nr)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(nr) : "memory");
	return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 nr, u64 v)
{
	__asm__ volatile("wrmsr" :: "c"(nr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
	return (u64)hi << 32 | lo;
}
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub) : "memory");
}
static inline bool cpu_has(u32 leaf, u32 sub, int reg, int bit)
{
	u32 r[4];

	cpuid(leaf & 0x80000000, 0, r);
	if (r[0] < leaf)
		return false;
	cpuid(leaf, sub, r);
	return r[reg] >> bit & 1;
}
static inline void invlpg(const volatile void *p)
{
	__asm__ volatile("invlpg %0" :: "m"(*(const volatile char *)p) : "memory");
}
static inline void flush_tlb(void)
{
	wr_cr3(rd_cr3());
}
static inline ul flags_get(void)
{
	ul f;

	__asm__ volatile("pushf\n\tpop %0" : "=r"(f) :: "memory");
	return f;
}
static inline void cli(void) { __asm__ volatile("cli" ::: "memory"); }
static inline void sti(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void pause(void) { __asm__ volatile("pause" ::: "memory"); }
static inline void outb(u16 p, u8 v) { __asm__ volatile("outb %0, %1" :: "a"(v), "Nd"(p) : "memory"); }
static inline void outw(u16 p, u16 v) { __asm__ volatile("outw %0, %1" :: "a"(v), "Nd"(p) : "memory"); }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0, %1" :: "a"(v), "Nd"(p) : "memory"); }
static inline u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p) : "memory"); return v; }
static inline u16 inw(u16 p) { u16 v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(p) : "memory"); return v; }
static inline u32 inl(u16 p) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p) : "memory"); return v; }

void *memset(void *d, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
