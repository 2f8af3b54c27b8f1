// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * transfers.c - jumps, calls and returns between pages. A processor in software remembers where they led; so between two of
 * them everything changes that could make them lead elsewhere: bytes, mappings, address spaces, return addresses, stacks,
 * the address at which the same page is run. 64-bit.
 */
#include "aside.h"

/* linear page n maps frame n, if nothing else is said */
#define CALLER	0		/* calls, and adds 1 to EAX afterwards */
#define CALLEE	1		/* calls the function in RBX */
#define OTHER	2		/* CALLER, but adds 1000 */
#define OTHER_CALLEE 3		/* CALLEE, but adds 50 */
#define LAST	4		/* a call whose return address is the next page */
#define NEXT	5		/* adds 2, returns */
#define OTHER_NEXT 6		/* adds 2000, returns */
#define HELPERS	7
#define ALIAS	16		/* CALLER again, behind it OTHER_CALLEE; in the second space OTHER and CALLEE */

#define CALL_OFF	0x100ul
#define JUMP_OFF	0x180ul	/* jmp to CALLEE */
#define JCC_OFF		0x1c0ul	/* the same by a conditional jump that is taken if the carry is set; else returns */
#define CALLEE_OFF	0x340ul
#define BACK_OFF	0x2c0ul

static u8 *put_rel(u8 *at, u8 op, ul from, ul to)
{
	u32 rel = (u32)(to - (from + 5));

	*at++ = op;
	memcpy(at, &rel, 4);
	return at + 4;
}

/* add $n, %eax; ret */
static void put_add_ret(u8 *at, u32 n)
{
	at[0] = 0x05;
	memcpy(at + 1, &n, 4);
	at[5] = 0xc3;
}

static void put_caller(ul page, u32 n)
{
	u8 *at = frame(page, CALL_OFF);

	put_add_ret(put_rel(at, 0xe8, va(CALLER, CALL_OFF), va(CALLEE, CALLEE_OFF)), n);
	put_rel(frame(page, JUMP_OFF), 0xe9, va(CALLER, JUMP_OFF), va(CALLEE, CALLEE_OFF));
	at = frame(page, JCC_OFF);
	*at = 0x0f;
	*put_rel(at + 1, 0x82, va(CALLER, JCC_OFF + 1), va(CALLEE, CALLEE_OFF)) = 0xc3;
}

/* call *%rbx; add $n, %eax; ret */
static void put_callee(ul page, u32 n)
{
	u8 *at = frame(page, CALLEE_OFF);

	at[0] = 0xff;
	at[1] = 0xd3;
	put_add_ret(at + 2, n);
}

static void code(void)
{
	put_caller(CALLER, 1);
	put_caller(OTHER, 1000);
	put_callee(CALLEE, 0);
	put_callee(OTHER_CALLEE, 50);
	put_rel(frame(LAST, PAGE - 5), 0xe8, va(LAST, PAGE - 5), va(CALLEE, CALLEE_OFF));
	put_add_ret(frame(NEXT, 0), 2);
	put_add_ret(frame(OTHER_NEXT, 0), 2000);
}

static void tables(void)
{
	aside_init();
	for (ul i = 0; i < 2; i++) {
		for (ul n = 0; n <= HELPERS; n++)
			map_in(i, n, n);
		map_in(i, ALIAS, i ? OTHER : CALLER);
		map_in(i, ALIAS + 1, i ? CALLEE : OTHER_CALLEE);
	}
	map_in(1, CALLER, OTHER);
	map_in(1, NEXT, OTHER_NEXT);
	enter_space(0);
}

static ul nothing_done;

__attribute__((noinline)) static void nothing(void)
{
	nothing_done++;
}

/* Calls a function of C from code that counts in EAX. */
static void (*volatile hooked)(void) __attribute__((used));

__attribute__((naked, used)) static void keep_ax(void)
{
	__asm__("push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11\n\t"
		"call *hooked(%rip)\n\t"
		"pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax; ret");
}

/* EAX after fn, called with EAX 0 and the carry set; CALLEE calls hook. */
static ul call(ul fn, void (*hook)(void))
{
	ul v;

	hooked = hook;
	__asm__ volatile("xor %%eax, %%eax; stc; call *%[fn]" : "=&a"(v) : [fn] "r"(fn), "b"(keep_ax) : "memory", "cc");
	return v;
}

static ul call_caller(void (*hook)(void))
{
	return call(va(CALLER, CALL_OFF), hook);
}

static void warm(ul fn, ul want)
{
	unsigned int wrong = 0;

	for (ul i = 0; i < 40; i++)
		wrong += call(fn, nothing) != want;
	check("warm", wrong, 0);
}

/* -- what changes while the call is under way -------------------------------------------------------------------- */

static void rewrite(void) { put_caller(CALLER, 7); }
static void remap_invlpg(void) { remap(CALLER, OTHER, false); }
static void remap_cr3(void) { remap(CALLER, OTHER, true); }
static void remap_next(void) { remap(NEXT, OTHER_NEXT, false); }
static void second_space(void) { enter_space(1); }

static void under_way(void)
{
	for (ul i = 0; i < 3; i++) {
		warm(va(CALLER, CALL_OFF), 1);
		check("rewritten", call_caller(rewrite), 7);
		check("rewritten_stays", call_caller(nothing), 7);
		put_caller(CALLER, 1);
		warm(va(CALLER, CALL_OFF), 1);
		check("invlpg", call_caller(remap_invlpg), 1000);
		check("invlpg_stays", call_caller(nothing), 1000);
		remap(CALLER, CALLER, false);
		warm(va(CALLER, CALL_OFF), 1);
		check("cr3", call_caller(remap_cr3), 1000);
		check("cr3_stays", call_caller(nothing), 1000);
		remap(CALLER, CALLER, true);
		warm(va(CALLER, CALL_OFF), 1);
		check("space", call_caller(second_space), 1000);
		check("space_stays", call_caller(nothing), 1000);
		enter_space(0);
		check("space_back", call_caller(nothing), 1);
		warm(va(LAST, PAGE - 5), 2);
		check("next", call(va(LAST, PAGE - 5), remap_next), 2000);
		check("next_stays", call(va(LAST, PAGE - 5), nothing), 2000);
		remap(NEXT, NEXT, false);
		warm(va(LAST, PAGE - 5), 2);
	}
}

/* -- what changes between two jumps ------------------------------------------------------------------------------ */

static const u16 way[] = { CALL_OFF, JUMP_OFF, JCC_OFF };

static void jumps(void)
{

	for (ul w = 0; w < ARRAY_SIZE(way); w++) {
		ul fn = va(CALLER, way[w]), alias = va(ALIAS, way[w]), plus = !w;

		for (ul by_cr3 = 0; by_cr3 < 2; by_cr3++) {
			warm(fn, plus);
			remap(CALLEE, OTHER_CALLEE, by_cr3);
			warm(fn, plus + 50);
			remap(CALLEE, CALLEE, by_cr3);
			warm(fn, plus);
			put_callee(CALLEE, 9);
			warm(fn, plus + 9);
			put_callee(CALLEE, 0);
			/* the same page at two addresses leads to two places */
			for (ul i = 0; i < 20; i++) {
				check("alias", call(alias, nothing), plus + 50);
				check("alias_not", call(fn, nothing), plus);
			}
			warm(alias, plus + 50);
			warm(fn, plus);
			enter_space(1);
			warm(alias, plus * 1000);
			warm(fn, plus * 1000);
			enter_space(0);
			warm(alias, plus + 50);
			for (ul i = 0; i < 20; i++) {
				enter_space(1);
				check("spaces", call(alias, nothing), plus * 1000);
				enter_space(0);
				check("spaces_not", call(alias, nothing), plus + 50);
			}
			warm(fn, plus);
		}
	}
}

/*
 * What is remembered of a page makes room for another page's, so many bytes away; a change of the first page's mapping
 * must be noticed all the same.
 */
#define CONFLICT 0x1000000ul

static void conflicts(void)
{
	static u64 table[512] __attribute__((aligned(4096)));

	table[CALLEE] = (ASIDE_PA + OTHER_NEXT * PAGE) | 3;
	space[0][2][(ASIDE_VA + CONFLICT) >> 21 & 511] = (ul)table | 3;
	flush_tlb();
	for (ul w = 0; w < ARRAY_SIZE(way); w++) {
		ul fn = va(CALLER, way[w]), plus = !w;

		/* the jump led there last, from ALIAS: let it be about CALLEE again */
		put_callee(OTHER_CALLEE, 50);
		warm(fn, plus);
		check("conflict", call(va(CALLEE, CONFLICT), nothing), 2000);
		remap(CALLEE, OTHER_CALLEE, false);
		warm(fn, plus + 50);
		remap(CALLEE, CALLEE, false);
	}
}

/* -- returns that are none ----------------------------------------------------------------------------------------- */

#define HELPER(name, text) \
	extern const u8 name[], name##_end[]; \
	__asm__(".pushsection .text.helper, \"ax\"\n" #name ":\n" text "\n" #name "_end:\n.popsection")

HELPER(skips, "addq $5, (%rsp); ret");			/* over the ADD after its call */
HELPER(retpoline, "call 1f; 2: pause; jmp 2b; 1: mov %rbx, (%rsp); ret");
HELPER(deep, "dec %ecx; jz 1f; call deep; 1: inc %eax; ret");
HELPER(drops, "lea 8(%rsp), %rsp; ret");		/* to its caller's caller */
HELPER(calls_drops, "call drops; add $100, %eax; ret");
HELPER(calls_calls_drops, "call calls_drops; add $200, %eax; ret");
HELPER(with_args, "push %rax; push %rax; call 1f; inc %eax; ret; 1: inc %eax; ret $16");
/* RSP and (RDX) change places: another stack, on which other calls are open */
HELPER(switches, "xchg %rsp, (%rdx); ret");
HELPER(nested, "call 1f; inc %eax; ret; 1: call 2f; inc %eax; ret; 2: call switches; inc %eax; ret");

static ul call_with(const void *fn, ul b, ul c)
{
	ul v;

	__asm__ volatile("xor %%eax, %%eax; call *%[fn]" : "=&a"(v), "+c"(c) : [fn] "r"(fn), "b"(b), "d"(0) : "memory", "cc");
	return v;
}

static void elsewhere(void)
{
	extern const u8 one[];

	__asm__(".pushsection .text.helper, \"ax\"\none: inc %eax; ret\n.popsection");
	for (ul i = 0; i < 20; i++) {
		put_rel(frame(CALLER, CALL_OFF), 0xe8, va(CALLER, CALL_OFF), va(HELPERS, 0));
		check("skips", call_caller(nothing), 0);
		put_caller(CALLER, 1);
		check("skips_not", call_caller(nothing), 1);
		check("retpoline", call_with(retpoline, (ul)one, 0), 1);
		check("deep", call_with(deep, 0, 10 * i + 1), 10 * i + 1);
		check("drops", call_with(calls_calls_drops, 0, 0), 200);
		check("with_args", call_with(with_args, 0, 0), 2);
	}
	check("deeper", call_with(deep, 0, 1000), 1000);
}

/* Two stacks in turn, each with three open calls. */
static void stacks(void)
{
	static ul stack[64], other;
	ul v, ok = 0;

	for (ul i = 0; i < 20; i++) {
		stack[63] = (ul)nested;
		other = (ul)&stack[63];
		/* the second stack begins with nested, which switches back: the first one's calls end, the second's stay open */
		__asm__ volatile("xor %%eax, %%eax; call nested" : "=&a"(v) : "d"(&other) : "memory", "cc");
		ok += v == 3;
	}
	check("stacks", ok, 20);
}

static void all(void)
{
	tables();
	memcpy(frame(HELPERS, 0), skips, (ul)(skips_end - skips));
	under_way();
	jumps();
	conflicts();
	elsewhere();
	stacks();
}

int main(u32 step)
{
	code();
	aside_run(all);
	done();
}
