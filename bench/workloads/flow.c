// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Control flow: branches taken and not, calls, returns, indirect jumps, code that changes. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "workload.h"

/* -- a stack machine with one switch, running a small program: count the primes below a bound -- */

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, MOD, LESS, JUMP, JUMP0, DUP, DROP, HALT };

static const int primes_program[] = {
	/*  0: n = 2, found = 0 */	PUSH, 2, STORE, 0, PUSH, 0, STORE, 2,
	/*  8: while n < 1200 */	LOAD, 0, PUSH, 1200, LESS, JUMP0, 64,
	/* 15: d = 2 */			PUSH, 2, STORE, 1,
	/* 19: d * d > n: a prime */	LOAD, 1, LOAD, 1, MUL, LOAD, 0, PUSH, 1, ADD, LESS, JUMP0, 48,
	/* 32: n % d == 0: none */	LOAD, 0, LOAD, 1, MOD, JUMP0, 55,
	/* 39: d++ */			LOAD, 1, PUSH, 1, ADD, STORE, 1, JUMP, 19,
	/* 48: found++ */		LOAD, 2, PUSH, 1, ADD, STORE, 2,
	/* 55: n++ */			LOAD, 0, PUSH, 1, ADD, STORE, 0, JUMP, 8,
	/* 64: */			LOAD, 2, HALT,
};

static u64 interpret(const int *code)
{
	long stack[32], vars[8] = { 0 };
	int sp = 0, pc = 0;

	for (;;) {
		switch (code[pc++]) {
		case PUSH:
			stack[sp++] = code[pc++];
			break;
		case LOAD:
			stack[sp++] = vars[code[pc++]];
			break;
		case STORE:
			vars[code[pc++]] = stack[--sp];
			break;
		case ADD:
			sp--;
			stack[sp - 1] += stack[sp];
			break;
		case SUB:
			sp--;
			stack[sp - 1] -= stack[sp];
			break;
		case MUL:
			sp--;
			stack[sp - 1] *= stack[sp];
			break;
		case MOD:
			sp--;
			stack[sp - 1] %= stack[sp];
			break;
		case LESS:
			sp--;
			stack[sp - 1] = stack[sp - 1] < stack[sp];
			break;
		case JUMP:
			pc = code[pc];
			break;
		case JUMP0:
			pc = stack[--sp] ? pc + 1 : code[pc];
			break;
		case DUP:
			stack[sp] = stack[sp - 1];
			sp++;
			break;
		case DROP:
			sp--;
			break;
		case HALT:
			return stack[--sp];
		}
	}
}

static u64 interpreter(void)
{
	u64 sum = 0;

	for (int i = 0; i < 8; i++)
		sum = wl_mix(sum, interpret(primes_program));
	return sum;
}

/* -- the same with a jump per instruction ------------------------------------------------------ */

static u8 threaded_code[4096];

static void threaded_setup(void)
{
	u64 seed = 8;

	for (u32 i = 0; i < sizeof(threaded_code); i++)
		threaded_code[i] = (wl_random(&seed) >> 50) % 7;
	threaded_code[sizeof(threaded_code) - 1] = 7;
}

static u64 threaded(void)
{
	static const void *const labels[] = { &&l0, &&l1, &&l2, &&l3, &&l4, &&l5, &&l6, &&end };
	const u8 *pc = threaded_code;
	u64 a = 1, b = 2;
	int rounds = 300;

#define NEXT goto *labels[*pc++]
again:
	NEXT;
l0:	a += b;
	NEXT;
l1:	b ^= a << 3;
	NEXT;
l2:	a = a >> 7 | a << 57;
	NEXT;
l3:	b -= 12345;
	NEXT;
l4:	a ^= b;
	NEXT;
l5:	b = b * 5 + 1;
	NEXT;
l6:	a = ~a;
	NEXT;
end:
#undef NEXT
	pc = threaded_code;
	if (--rounds)
		goto again;
	return a ^ b;
}

/* -- calls ------------------------------------------------------------------------------------- */

__attribute__((noinline, optimize("no-optimize-sibling-calls,no-inline,O1"))) static u32 fib(u32 n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static u64 recursion(void)
{
	return fib(27);
}

struct shape {
	u64 (*area)(const struct shape *s);
	u64 w, h;
};

static u64 area_box(const struct shape *s)
{
	return s->w * s->h;
}

static u64 area_triangle(const struct shape *s)
{
	return s->w * s->h / 2;
}

static u64 area_line(const struct shape *s)
{
	return s->w;
}

static u64 area_cross(const struct shape *s)
{
	return s->w * 3 + s->h;
}

static struct shape shapes[1024];

static void shapes_setup(void)
{
	static u64 (*const kinds[])(const struct shape *) = { area_box, area_triangle, area_line, area_cross };
	u64 seed = 31;

	for (int i = 0; i < 1024; i++) {
		shapes[i].area = kinds[wl_random(&seed) >> 62];
		shapes[i].w = i;
		shapes[i].h = i * 3 % 101;
	}
}

static u64 virtual_calls(void)
{
	u64 sum = 0;

	for (int round = 0; round < 600; round++)
		for (int i = 0; i < 1024; i++)
			sum += shapes[i].area(&shapes[i]);
	return sum;
}

static int compare(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static u64 callbacks(void)
{
	static u32 v[16384];
	u64 seed = 77, sum = 0;

	for (int i = 0; i < 16384; i++)
		v[i] = wl_random(&seed) >> 32;
	qsort(v, 16384, sizeof(v[0]), compare);
	for (int i = 0; i < 16384; i += 61)
		sum = wl_mix(sum, v[i]);
	return sum;
}

struct tree {
	struct tree *child[2];
	u32 key;
};

static u32 tree_sum(const struct tree *t, u32 depth)
{
	return t ? t->key * depth + tree_sum(t->child[0], depth + 1) + tree_sum(t->child[1], depth + 1) : 0;
}

/* an unbalanced binary tree: insert, walk */
static u64 trees(void)
{
	static struct tree pool[4096];
	struct tree *root = NULL;
	u64 seed = 19, sum = 0;

	for (int i = 0; i < 4096; i++) {
		struct tree **at = &root;
		u32 key = wl_random(&seed) >> 36;

		while (*at)
			at = &(*at)->child[key > (*at)->key];
		pool[i] = (struct tree){ .key = key };
		*at = &pool[i];
	}
	for (int i = 0; i < 8; i++)
		sum = wl_mix(sum, tree_sum(root, i));
	return sum;
}

/* a matcher that backtracks: . and * and letters */
static bool match(const char *re, const char *s)
{
	for (; *re; re++, s++) {
		if (re[1] == '*') {
			do {
				if (match(re + 2, s))
					return true;
			} while (*s && (*s++ == *re || *re == '.'));
			return false;
		}
		if (!*s || (*re != '.' && *re != *s))
			return false;
	}
	return !*s;
}

static u64 matches(void)
{
	static const char *const patterns[] = { "a*b*c", ".*ab.*", "a.*b.*c.*", "x*.b*", ".*.*c" };
	u64 seed = 2, sum = 0;

	for (int i = 0; i < 1500; i++) {
		char text[24];
		int n = 8 + (wl_random(&seed) >> 61);

		for (int k = 0; k < n; k++)
			text[k] = 'a' + (wl_random(&seed) >> 40) % 3;
		text[n] = 0;
		for (int k = 0; k < 5; k++)
			sum = sum * 3 + match(patterns[k], text);
	}
	return sum;
}

/* -- branches ---------------------------------------------------------------------------------- */

static u64 branches(void)
{
	u64 seed = 123, a = 0, b = 0, c = 0;

	for (int i = 0; i < 400000; i++) {
		u64 r = wl_random(&seed);

		if (r & 1 << 20) {
			a += r;
			if (r & 1 << 25)
				b ^= a;
		} else if (r & 1 << 30) {
			b += 3;
		}
		if (b & 4)
			c += a & 15;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c));
	}
	return a ^ b ^ c;
}

static u64 switches(void)
{
	u64 seed = 4, x = 1;

	for (int i = 0; i < 400000; i++) {
		switch (wl_random(&seed) >> 60) {
		case 0: x += 3; break;
		case 1: x ^= 0x55; break;
		case 2: x = x << 1 | x >> 63; break;
		case 3: x *= 3; break;
		case 4: x -= 7; break;
		case 5: x = ~x; break;
		case 6: x += x >> 5; break;
		case 7: x ^= x << 7; break;
		case 8: x |= 1; break;
		case 9: x += i; break;
		case 10: x ^= i; break;
		case 11: x = x >> 3 | x << 61; break;
		case 12: x += 0x1234567; break;
		case 13: x *= 5; break;
		case 14: x ^= x >> 9; break;
		case 15: x -= i; break;
		}
		__asm__ volatile("" : "+r"(x));
	}
	return x;
}

static jmp_buf jump_target;

__attribute__((noinline)) static void jump_back(int n)
{
	__asm__ volatile("" : "+r"(n));
	longjmp(jump_target, n);
}

static u64 long_jumps(void)
{
	volatile u64 sum = 0;

	for (volatile int i = 1; i < 60000; i++) {
		int n = setjmp(jump_target);

		if (!n)
			jump_back(i);
		sum += n;
	}
	return sum;
}

/* -- code that changes ------------------------------------------------------------------------- */

static u8 *code;

static void code_setup(void)
{
	if (code)
		return;
	code = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	wl_check(code != MAP_FAILED, "mmap of code");
	memset(code, 0xc3, 1 << 20);
}

/* lea eax, [rdi + imm32]; xor eax, imm32; ret */
static u32 emit(u8 *at, u32 a, u32 b)
{
	at[0] = 0x8d;
	at[1] = 0x87;
	memcpy(at + 2, &a, 4);
	at[6] = 0x35;
	memcpy(at + 7, &b, 4);
	at[11] = 0xc3;
	return 12;
}

typedef u32 (*generated)(u32);

/* The same function is written again with other constants and called: a patched inline cache. */
static u64 code_patched(void)
{
	u32 x = 1;

	for (u32 i = 0; i < 1000; i++) {
		emit(code, i, i * 3);
		for (int k = 0; k < 4; k++)
			x = ((generated)(uintptr_t)code)(x);
	}
	return x;
}

/* New functions beside old ones that keep running: a compiler at work. */
static u64 code_generated(void)
{
	u32 x = 1, at = 4096;

	for (u32 i = 0; i < 1000; i++) {
		emit(code + at, i * 7, i);
		for (int k = 0; k < 20; k++)
			x = ((generated)(uintptr_t)(code + at))(x);
		x = ((generated)(uintptr_t)(code + 4096))(x);
		at += 64;
	}
	return x;
}

/*
 * A just-in-time compiler: some 200 operations with branches between them are written byte by byte,
 * then run.
 */
static u64 code_compiled(void)
{
	u64 seed = 41, sum = 0;

	for (int f = 0; f < 40; f++) {
		u8 *at = code + 8192;

		*at++ = 0x89;	/* mov eax, edi */
		*at++ = 0xf8;
		for (int i = 0; i < 200; i++) {
			u64 r = wl_random(&seed);

			switch (r >> 62) {
			case 0:		/* add eax, imm32 */
				*at++ = 0x05;
				break;
			case 1:		/* xor eax, imm32 */
				*at++ = 0x35;
				break;
			case 2:		/* imul eax, eax, imm32 */
				*at++ = 0x69;
				*at++ = 0xc0;
				break;
			case 3:		/* test eax, eax; js over; sub eax, imm32 */
				*at++ = 0x85;
				*at++ = 0xc0;
				*at++ = 0x78;
				*at++ = 5;
				*at++ = 0x2d;
				break;
			}
			for (int k = 0; k < 32; k += 8)
				*at++ = r >> k;
		}
		*at = 0xc3;
		for (u32 i = 0; i < 20; i++)
			sum = wl_mix(sum, ((generated)(uintptr_t)(code + 8192))(i));
	}
	return sum;
}

/* One constant changes in a page full of functions that are all in use. */
static u64 code_shared_page(void)
{
	u8 *page = code + 16384;
	u32 x = 1;

	for (u32 i = 0; i < 128; i++)
		emit(page + 32 * i, i, i + 1);
	for (u32 i = 0; i < 200; i++) {
		emit(page + 32 * (i & 127), i * 5, i);
		for (u32 k = 0; k < 128; k++)
			x = ((generated)(uintptr_t)(page + 32 * k))(x);
	}
	return x;
}

/* Data written to the page that the running code is on. */
static u64 code_and_data(void)
{
	volatile u32 *data = (u32 *)(code + 2048);
	u32 x = 1;

	emit(code, 5, 9);
	data[0] = 0;
	for (u32 i = 0; i < 2000; i++) {
		x = ((generated)(uintptr_t)code)(x);
		data[0] += x & 15;
	}
	return x + data[0];
}

const struct workload wl_flow[] = {
	{ "interpreter", "flow", interpreter },
	{ "threaded", "flow", threaded, threaded_setup },
	{ "recursion", "flow", recursion },
	{ "virtual", "flow", virtual_calls, shapes_setup },
	{ "callbacks", "flow", callbacks },
	{ "trees", "flow", trees },
	{ "matches", "flow", matches },
	{ "branches", "flow", branches },
	{ "switches", "flow", switches },
	{ "long-jumps", "flow", long_jumps },
	{ "code-patched", "flow", code_patched, code_setup },
	{ "code-generated", "flow", code_generated, code_setup },
	{ "code-compiled", "flow", code_compiled, code_setup },
	{ "code-shared", "flow", code_shared_page, code_setup },
	{ "code-and-data", "flow", code_and_data, code_setup },
	{ NULL },
};
