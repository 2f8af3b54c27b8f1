// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * thunks.c - functions that return through a thunk in another page, which calls to a third, as in a Linux kernel that does
 * not trust its processor's return predictor. A processor in software knows the sequence, so all that can make it another
 * one is tried: new bytes, new mappings, other addresses of the same page, stacks at any place. 64-bit.
 */
#include "aside.h"

/* linear page n maps frame n, if nothing else is said */
#define FUNCS	0		/* functions that end in a jump to the thunk */
#define THUNK	1
#define SAFE	2
#define OTHER_SAFE 3		/* adds 3000 to EAX before it does the same */
#define PLAIN	4		/* adds 5000 and returns, where THUNK has the thunk */
#define STACK	8		/* two pages, and none before them */
#define ALIAS	16		/* the page of functions again, and behind it PLAIN */

#define THUNK_OFF 0x340ul
#define SAFE_OFF 0x7c0ul

/* In the second address space SAFE is OTHER_SAFE. */
static void tables(void)
{
	aside_init();
	for (ul i = 0; i < 2; i++) {
		for (ul n = 0; n <= PLAIN; n++)
			map_in(i, n, i && n == SAFE ? OTHER_SAFE : n);
		/* no neighbours in memory */
		map_in(i, STACK, STACK + 2);
		map_in(i, STACK + 1, STACK);
		map_in(i, ALIAS, FUNCS);
		map_in(i, ALIAS + THUNK, PLAIN);
	}
	enter_space(0);
}

/* Adds n to EAX and returns; safe: drops what was pushed first. */
static void put_add(u8 *at, u32 n, bool safe)
{
	static const u8 lea[] = { 0x48, 0x8d, 0x64, 0x24, 0x08, 0xc3, 0xcc };

	if (n) {
		*at++ = 0x05;
		memcpy(at, &n, 4);
		at += 4;
	}
	memcpy(at, safe ? lea : lea + 5, safe ? 7 : 2);
}

/* call SAFE_OFF of the page so many after; ud2 */
static void put_thunk(u8 *at, ul pages)
{
	u32 rel = (u32)(pages * PAGE + SAFE_OFF - THUNK_OFF - 5);

	at[0] = 0xe8;
	memcpy(at + 1, &rel, 4);
	at[5] = 0x0f;
	at[6] = 0x0b;
}

/* lea 1(%rax), %eax; jmp thunk, in 8 bytes; later ones are translated when the thunk is known already */
static void put_func(ul n)
{
	u8 *at = frame(FUNCS, n * 16);
	u32 rel = (u32)(THUNK * PAGE + THUNK_OFF - (n * 16 + 3 + 5));

	at[0] = 0x8d;
	at[1] = 0x40;
	at[2] = 0x01;
	at[3] = 0xe9;
	memcpy(at + 4, &rel, 4);
}

#define NR_FUNCS 64
static ul next_func;

static void code(void)
{
	for (ul n = 0; n < NR_FUNCS; n++)
		put_func(n);
	put_thunk(frame(THUNK, THUNK_OFF), SAFE - THUNK);
	put_add(frame(SAFE, SAFE_OFF), 0, true);
	put_add(frame(OTHER_SAFE, SAFE_OFF), 3000, true);
	put_add(frame(PLAIN, THUNK_OFF), 5000, false);
}

static ul below;	/* what was pushed under the return address */
static bool carry;

/*
 * Call fn with EAX 0 and the carry set; what it leaves in EAX, or -1 if the stack is not where it was. aside: by a jump,
 * with a return address that was not pushed, and the last use of the stack below it.
 */
static ul call_on(ul fn, ul sp, bool aside)
{
	ul v, after, flags;

	*(volatile ul *)(sp - 16) = 0;
	if (aside)
		__asm__ volatile("mov %%rsp, %%rbx; lea 1f(%%rip), %%rax; mov %%rax, -8(%[sp]); lea -16(%[sp]), %%rsp\n\t"
				 "push %%rax; pop %%rax; lea 8(%%rsp), %%rsp; xor %%eax, %%eax; stc; jmp *%[fn]\n1:\t"
				 "mov %%rsp, %[after]; mov %%rbx, %%rsp; pushf; pop %[flags]"
				 : "=&a"(v), [after] "=&r"(after), [flags] "=&r"(flags)
				 : [fn] "r"(fn), [sp] "r"(sp) : "rbx", "memory", "cc");
	else
		__asm__ volatile("mov %%rsp, %%rbx; mov %[sp], %%rsp; xor %%eax, %%eax; stc; call *%[fn]\n\t"
				 "mov %%rsp, %[after]; mov %%rbx, %%rsp; pushf; pop %[flags]"
				 : "=&a"(v), [after] "=&r"(after), [flags] "=&r"(flags)
				 : [fn] "r"(fn), [sp] "r"(sp) : "rbx", "memory", "cc");
	below = *(volatile ul *)(sp - 16);
	carry = flags & FL_CF;
	return after == sp ? v : ~0ul;
}

static ul call(ul fn)
{
	static u8 stack[256] __attribute__((aligned(256)));

	return call_on(fn, (ul)stack + sizeof(stack), false);
}

/* A function that ran before, and one that runs for the first time: both return v. */
static void both(const char *name, ul v)
{
	ul n = next_func++ % NR_FUNCS;

	check(name, call(va(FUNCS, n * 16)), v);
	for (ul i = 0; i < 3; i++)
		check(name, call(va(FUNCS, 0)), v);
}

static void plain(void)
{
	unsigned int wrong = 0;

	for (ul n = 0; n < NR_FUNCS / 2; n++) {
		for (ul i = 0; i < 4; i++) {
			wrong += call(va(FUNCS, n * 16)) != 1;
			wrong += below != va(THUNK, THUNK_OFF + 5);
			wrong += !carry;
		}
	}
	check("plain", wrong, 0);
	next_func = NR_FUNCS / 2;
}

static void stacks(void)
{
	static const u16 at[] = { 24, 32, 4096 + 16, 4096 + 8, 4096, 4096 - 8, 100, 4096 + 4, 4096 + 12, 4096 + 17, 8192, 8191 };
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		for (ul n = 0; n < 4; n++) {
			wrong += call_on(va(FUNCS, n * 16), va(STACK, at[i]), n & 1) != 1;
			wrong += below != va(THUNK, THUNK_OFF + 5);
			wrong += !carry;
		}
	}
	check("stacks", wrong, 0);
}

/* The thunk's push meets no page: the fault is its call's, and what the function did has happened. */
SNIPPET(last_slot, "mov %rsp, %rbx; mov %rdi, %rsp; xor %eax, %eax; mov $0xffffffff88000000, %rcx; call *%rcx", "mov %rbx, %rsp");

static void no_page(void)
{
	idt[PF].ist = 1;	/* no room for its frame where the stack is */
	try_kernel(last_slot, va(STACK, 8));
	idt[PF].ist = 0;
	check_trap("no_page", PF, 2, (void *)va(THUNK, THUNK_OFF));
	check("no_page_address", trap.cr2, va(STACK, -8ul));
	check("no_page_stack", trap.sp, va(STACK, 0));
	check("no_page_done", (u32)trap.ax, 1);
	try_kernel(last_slot, va(STACK, 32));
	check("page", trap.vector, NONE);
}

static void new_bytes(void)
{
	for (ul i = 0; i < 2; i++) {
		put_add(frame(SAFE, SAFE_OFF), 1000, true);
		both("safe_rewritten", 1001);
		put_add(frame(SAFE, SAFE_OFF), 0, true);
		both("safe_restored", 1);
		/* calls into OTHER_SAFE */
		put_thunk(frame(THUNK, THUNK_OFF), OTHER_SAFE - THUNK);
		both("thunk_rewritten", 3001);
		put_thunk(frame(THUNK, THUNK_OFF), SAFE - THUNK);
		both("thunk_restored", 1);
	}
}

static void new_mappings(void)
{
	for (ul i = 0; i < 2; i++) {
		for (ul by_cr3 = 0; by_cr3 < 2; by_cr3++) {
			remap(SAFE, OTHER_SAFE, by_cr3);
			both("safe_mapped", 3001);
			remap(SAFE, SAFE, by_cr3);
			both("safe_mapped_back", 1);
			remap(THUNK, PLAIN, by_cr3);
			both("thunk_mapped", 5001);
			remap(THUNK, THUNK, by_cr3);
			both("thunk_mapped_back", 1);
		}
	}
}

/* Translated code of a page does not know where the page is: its jumps lead elsewhere from there. */
static void other_address(void)
{
	for (ul n = 0; n < 8; n++) {
		check("alias", call(va(ALIAS, n * 16)), 5001);
		check("alias_not", call(va(FUNCS, n * 16)), 1);
	}
}

static void other_space(void)
{
	for (ul i = 0; i < 4; i++) {
		enter_space(1);
		both("space", 3001);
		enter_space(0);
		both("space_back", 1);
	}
}

static void all(void)
{
	tables();
	plain();
	stacks();
	no_page();
	new_bytes();
	new_mappings();
	other_address();
	other_space();
}

int main(u32 step)
{
	code();
	aside_run(all);
	done();
}
