// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * xstate.c - x87, SSE and AVX state and what saves it: XSAVE, XSAVEOPT, XSAVEC, XRSTOR, FXSAVE, FNSAVE, the environments;
 * state that lives through exits, interrupts, ring 3 and lazy task switches. SDM 1 chapter 13, SDM 2 per instruction,
 * SDM 3A 2.5 and 13.4; APM 1 chapter 6, APM 2 chapter 11.
 */
#include "kit.h"

#define XCR0_X87	1
#define XCR0_SSE	2
#define XCR0_AVX	4
#define AREA		1024
#define HEADER		512		/* XSTATE_BV, XCOMP_BV, 48 bytes of zeros */
#define YMM_HI		576

struct area {
	u8 b[AREA];
} __attribute__((aligned(64)));

static struct area a, b, c, zero;
static u64 patterns[16][4] __attribute__((aligned(32)));
static u64 image[16][4] __attribute__((aligned(32)));
static bool avx;
static u32 all;				/* XCR0 */

static u64 *bv(struct area *x)
{
	return (u64 *)(x->b + HEADER);
}

static inline void xsave(struct area *x, u32 mask)
{
	__asm__ volatile("xsave64 (%0)" :: "r"(x), "a"(mask), "d"(0) : "memory");
}

static inline void xrstor(const struct area *x, u32 mask)
{
	__asm__ volatile("xrstor64 (%0)" :: "r"(x), "a"(mask), "d"(0) : "memory");
}

static u64 xgetbv(u32 n)
{
	u32 lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(n));
	return (u64)hi << 32 | lo;
}

static void xsetbv(u64 v)
{
	__asm__ volatile("xsetbv" :: "c"(0), "a"((u32)v), "d"((u32)(v >> 32)));
}

/* XSETBV; where the machine loses it at the next exit, the client sets the register. */
static void set_xcr0(u64 v)
{
	xsetbv(v);
	outb(PORT_DEVICE, 0);
	if (xgetbv(0) != v)
		command(COMMAND_XCR0, (u32)v);
}

#define EACH(X)	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

/* Other values for each seed in every register there is, MXCSR and control word too. */
static void load_all(u64 seed)
{
	u32 mxcsr = 0x1f80 | (seed & 3) << 13;
	u16 cw = 0x37f & ~((seed & 1) << 10);

	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int k = 0; k < 4; k++)
			patterns[i][k] = (seed + 1) * 0x9e3779b97f4a7c15 ^ (i << 8 | k) * 0x100000001b3;
	if (avx) {
#define LOAD(n)	__asm__ volatile("vmovdqa %0, %%ymm" #n :: "m"(patterns[n]), "m"(patterns[n][2]));
		EACH(LOAD)
	} else {
#define LOAD128(n) __asm__ volatile("movdqa %0, %%xmm" #n :: "m"(patterns[n]));
		EACH(LOAD128)
	}
	__asm__ volatile("ldmxcsr %0; fninit; fldcw %1" :: "m"(mxcsr), "m"(cw));
	/* two values on the stack: seed, and pi */
	__asm__ volatile("fildll %0; fldpi" :: "m"(seed));
}

static u32 wrong_vectors(void)
{
	u32 bad = 0;

	if (avx) {
#define STORE(n) __asm__ volatile("vmovdqa %%ymm" #n ", %0" : "=m"(image[n]), "=m"(image[n][2]));
		EACH(STORE)
	} else {
#define STORE128(n) __asm__ volatile("movdqa %%xmm" #n ", %0" : "=m"(image[n]));
		EACH(STORE128)
	}
	for (unsigned int i = 0; i < 16; i++)
		bad |= (u32)!!memcmp(image[i], patterns[i], avx ? 32 : 16) << i;
	return bad;
}

/* Bits: a vector register by number, 16: MXCSR, 17: control word, 18: top of the stack, 19: its values. */
static u32 differences(u64 seed)
{
	u32 bad = wrong_vectors(), mxcsr;
	u16 cw, sw;
	u64 top;

	__asm__ volatile("stmxcsr %0; fnstcw %1; fnstsw %2" : "=m"(mxcsr), "=m"(cw), "=m"(sw));
	bad |= (mxcsr != (0x1f80 | (seed & 3) << 13)) << 16;
	bad |= (cw != (0x37f & ~((seed & 1) << 10))) << 17;
	bad |= ((sw >> 11 & 7) != 6) << 18;
	if (bad >> 18)
		return bad;
	__asm__ volatile("fstp %%st(0); fistpll %0" : "=m"(top));
	bad |= (top != seed) << 19;
	__asm__ volatile("fildll %0; fldpi" :: "m"(seed));
	return bad;
}

/* The same registers in both, but for the x87's pointers, opcode, and what is reserved. */
static bool same(const struct area *x, const struct area *y)
{
	bool stack = true;

	for (unsigned int i = 0; i < 8; i++)
		stack &= !memcmp(x->b + 32 + 16 * i, y->b + 32 + 16 * i, 10);
	return stack && !memcmp(x->b, y->b, 5) && !memcmp(x->b + 24, y->b + 24, 8) && !memcmp(x->b + 160, y->b + 160, 256) &&
	       *(const u64 *)(x->b + HEADER) == *(const u64 *)(y->b + HEADER) &&
	       (!avx || !memcmp(x->b + YMM_HI, y->b + YMM_HI, 256));
}

/* -- what is there, who may use it --------------------------------------------------------------------------------- */

SNIPPET(do_xgetbv, "xor %ecx, %ecx", "xgetbv");
SNIPPET(do_xgetbv_2, "mov $2, %ecx", "xgetbv");
SNIPPET(do_xsetbv, "mov %edi, %eax; xor %edx, %edx; xor %ecx, %ecx", "xsetbv");
SNIPPET(do_xsetbv_1, "mov $7, %eax; xor %edx, %edx; mov $1, %ecx", "xsetbv");
SNIPPET(do_xsave, "mov $7, %eax; xor %edx, %edx", "xsave64 (%rdi)");
SNIPPET(do_xrstor, "mov $7, %eax; xor %edx, %edx", "xrstor64 (%rdi)");
SNIPPET(do_fxsave, "", "fxsave64 (%rdi)");
SNIPPET(do_fxrstor, "", "fxrstor64 (%rdi)");
SNIPPET(do_sse, "", "movaps %xmm0, %xmm0");
SNIPPET(do_avx, "", "vmovaps %ymm0, %ymm0");
SNIPPET(do_x87, "", "fnop");
SNIPPET(do_ldmxcsr, "", "ldmxcsr (%rdi)");

static void row(const char *name, const void *fn, u64 arg, ul vector, ul error, const void *at)
{
	try_kernel(fn, arg);
	check_trap(name, vector, error, at);
}

static void faults(void)
{
	struct area *odd = (struct area *)(a.b + 16);
	ul cr4 = rd_cr4(), cr0 = rd_cr0();

	wr_cr4(cr4 & ~CR4_OSXSAVE);
	check("cpuid_osxsave_off", cpu_has(1, 0, 2, 27), 0);
	row("xsave_off", do_xsave, (ul)&a, UD, 0, do_xsave_at);
	row("xrstor_off", do_xrstor, (ul)&a, UD, 0, do_xrstor_at);
	row("xgetbv_off", do_xgetbv, 0, UD, 0, do_xgetbv_at);
	row("avx_off", do_avx, 0, UD, 0, do_avx_at);
	wr_cr4(cr4);
	check("cpuid_osxsave", cpu_has(1, 0, 2, 27), 1);
	row("xsetbv_no_x87", do_xsetbv, 6, GP, 0, do_xsetbv_at);
	row("xsetbv_avx_only", do_xsetbv, 5, GP, 0, do_xsetbv_at);
	row("xsetbv_unknown", do_xsetbv, 0x80000007, GP, 0, do_xsetbv_at);
	row("xsetbv_1", do_xsetbv_1, 0, GP, 0, do_xsetbv_1_at);
	row("xgetbv_2", do_xgetbv_2, 0, GP, 0, do_xgetbv_2_at);
	try_user(do_xsetbv, 7);
	check_trap("xsetbv_user", GP, 0, do_xsetbv_at);
	try_user(do_xgetbv, 0);
	check_trap("xgetbv_user", NONE, 0, NULL);
	report("xgetbv_user", "eax", trap.ax, all);
	wr_cr0(cr0 | CR0_TS);
	row("ts_xsave", do_xsave, (ul)&a, NM, 0, do_xsave_at);
	row("ts_xrstor", do_xrstor, (ul)&a, NM, 0, do_xrstor_at);
	row("ts_fxsave", do_fxsave, (ul)&a, NM, 0, do_fxsave_at);
	row("ts_sse", do_sse, 0, NM, 0, do_sse_at);
	row("ts_x87", do_x87, 0, NM, 0, do_x87_at);
	if (avx)
		row("ts_avx", do_avx, 0, NM, 0, do_avx_at);
	row("ts_xgetbv", do_xgetbv, 0, NONE, 0, NULL);
	wr_cr0(cr0);
	/* bad areas */
	row("xsave_misaligned", do_xsave, (ul)odd, GP, 0, do_xsave_at);
	row("xrstor_misaligned", do_xrstor, (ul)odd, GP, 0, do_xrstor_at);
	row("fxsave_misaligned", do_fxsave, (ul)(a.b + 8), GP, 0, do_fxsave_at);
	xsave(&a, all);
	c = a;
	*bv(&c) |= BIT(40);
	row("xrstor_unknown_bv", do_xrstor, (ul)&c, GP, 0, do_xrstor_at);
	c = a;
	c.b[HEADER + 16] = 1;
	row("xrstor_header", do_xrstor, (ul)&c, GP, 0, do_xrstor_at);
	c = a;
	c.b[HEADER + 8] = 1;				/* XCOMP_BV without its top bit */
	row("xrstor_xcomp", do_xrstor, (ul)&c, GP, 0, do_xrstor_at);
	c = a;
	c.b[26] = 1;					/* MXCSR bit 16 */
	row("xrstor_mxcsr", do_xrstor, (ul)&c, GP, 0, do_xrstor_at);
	row("fxrstor_mxcsr", do_fxrstor, (ul)&c, GP, 0, do_fxrstor_at);
	row("ldmxcsr", do_ldmxcsr, (ul)(c.b + 24), GP, 0, do_ldmxcsr_at);
	if (avx) {
		/* XCR0 without AVX: no AVX instructions, no AVX state in areas */
		set_xcr0(XCR0_X87 | XCR0_SSE);
		row("avx_disabled", do_avx, 0, UD, 0, do_avx_at);
		memset(&c, 0, sizeof(c));
		xsave(&c, 7);
		report("avx_disabled", "xstate_bv", *bv(&c) & XCR0_AVX, 0);
		c = a;
		*bv(&c) = 7;
		row("xrstor_disabled_bv", do_xrstor, (ul)&c, GP, 0, do_xrstor_at);
		set_xcr0(all);
	}
}

static void enumeration(void)
{
	u32 r[4];

	cpuid(0xd, 0, r);
	check("size_enabled", r[1], avx ? 832 : 576);
	check("states", r[0] & all, all);
	if (avx) {
		set_xcr0(XCR0_X87 | XCR0_SSE);
		cpuid(0xd, 0, r);
		check("size_without_avx", r[1], 576);
		set_xcr0(all);
		cpuid(0xd, 2, r);
		report("avx_state", "size", r[0], 256);
		report("avx_state", "offset", r[1], 576);
	}
	check("xgetbv", xgetbv(0), all);
}

/* -- saved and restored -------------------------------------------------------------------------------------------- */

static void round_trips(void)
{
	u64 bvs;

	load_all(5);
	memset(&a, 0xcc, sizeof(a));
	memset(a.b + HEADER, 0, 64);
	xsave(&a, all);
	report("xsave", "bv", *bv(&a), all);
	report("xsave", "mxcsr", *(u32 *)(a.b + 24), 0x1f80 | 1 << 13);
	report("xsave", "fcw", *(u16 *)a.b, 0x37f & ~(1 << 10));
	report("xsave", "fsw", *(u16 *)(a.b + 2) >> 11 & 7, 6);
	report("xsave", "ftw", a.b[4], 0xc0);
	report("xsave", "xmm9", memcmp(a.b + 160 + 16 * 9, patterns[9], 16), 0);
	if (avx)
		report("xsave", "ymm9", memcmp(a.b + YMM_HI + 16 * 9, &patterns[9][2], 16), 0);
	/* bytes 464 to 511 are the program's own */
	report("xsave", "untouched", a.b[464] == 0xcc && a.b[511] == 0xcc, 1);
	load_all(8);
	xrstor(&a, all);
	load_all(8);
	xsave(&b, all);
	xrstor(&a, all);
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int k = 0; k < 4; k++)
			patterns[i][k] = 6 * 0x9e3779b97f4a7c15 ^ (i << 8 | k) * 0x100000001b3;
	check("xrstor", differences(5), 0);
	memset(&c, 0, sizeof(c));
	xsave(&c, all);
	memcpy(c.b + 464, a.b + 464, 48);
	check("again", same(&a, &c), 1);
	/* parts */
	load_all(9);
	memset(&c, 0xcc, sizeof(c));
	memset(c.b + HEADER, 0, 64);
	*bv(&c) = XCR0_X87;
	xsave(&c, XCR0_SSE);
	report("xsave_sse", "bv", *bv(&c), XCR0_X87 | XCR0_SSE);
	report("xsave_sse", "fcw", *(u16 *)c.b, 0xcccc);
	report("xsave_sse", "mxcsr", *(u32 *)(c.b + 24), 0x1f80 | 1 << 13);
	report("xsave_sse", "xmm3", memcmp(c.b + 160 + 16 * 3, patterns[3], 16), 0);
	report("xsave_sse", "ymm", c.b[YMM_HI], 0xcc);
	/* from an area whose XSTATE_BV has it clear, a part becomes its initial state; MXCSR comes from memory */
	c = zero;
	*(u32 *)(c.b + 24) = 0x3f80;
	memcpy(c.b + 160, patterns, 256);
	load_all(10);
	xrstor(&c, XCR0_SSE | (avx ? XCR0_AVX : 0));
	memset(patterns, 0, sizeof(patterns));
	check("init_vectors", wrong_vectors(), 0);
	xsave(&b, all);
	report("init", "mxcsr", *(u32 *)(b.b + 24), 0x3f80);
	report("init", "fcw_kept", *(u16 *)b.b, 0x37f);
	load_all(11);
	xrstor(&c, XCR0_X87);
	__asm__ volatile("fnstcw %0; fnstsw %1" : "=m"(*(u16 *)b.b), "=m"(*(u16 *)(b.b + 2)));
	report("init_x87", "fcw", *(u16 *)b.b, 0x37f);
	report("init_x87", "fsw", *(u16 *)(b.b + 2), 0);
	check("init_x87_vectors", wrong_vectors(), 0);
	/* what the area says is in use is loaded, the rest is not looked at */
	load_all(12);
	xsave(&a, all);
	*bv(&a) = XCR0_X87 | XCR0_SSE;
	load_all(13);
	xrstor(&a, all);
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int k = 0; k < 4; k++)
			patterns[i][k] = k < 2 ? 13 * 0x9e3779b97f4a7c15 ^ (i << 8 | k) * 0x100000001b3 : 0;
	check("avx_not_in_use", wrong_vectors(), 0);
	/* after that, a clear bit in XSTATE_BV must mean zeros */
	memset(&b, 0xee, sizeof(b));
	memset(b.b + HEADER, 0, 64);
	xsave(&b, all);
	bvs = *bv(&b);
	check("xinuse", (bvs & XCR0_AVX) && avx ? memcmp(b.b + YMM_HI, zero.b, 256) : 0, 0);
}

static void variants(void)
{
	u32 r[4];

	cpuid(0xd, 1, r);
	load_all(20);
	xsave(&a, all);
	if (r[0] & 1) {
		memset(&b, 0, sizeof(b));
		__asm__ volatile("xsaveopt64 (%0)" :: "r"(&b), "a"(all), "d"(0) : "memory");
		check("xsaveopt", same(&a, &b), 1);
		/* the same area after a change */
		load_all(21);
		__asm__ volatile("xsaveopt64 (%0)" :: "r"(&b), "a"(all), "d"(0) : "memory");
		xsave(&a, all);
		check("xsaveopt_changed", same(&a, &b), 1);
		/* loaded from one area, it may be saved to another that has never been written */
		xrstor(&a, all);
		memset(&c, 0, sizeof(c));
		__asm__ volatile("xsaveopt64 (%0)" :: "r"(&c), "a"(all), "d"(0) : "memory");
		check("xsaveopt_elsewhere", same(&a, &c), 1);
		/* and an area that the program has changed since is written again if the state was */
		load_all(22);
		__asm__ volatile("xsaveopt64 (%0)" :: "r"(&c), "a"(all), "d"(0) : "memory");
		xrstor(&c, all);
		check("xsaveopt_restored", differences(22), 0);
	} else {
		check("no_xsaveopt", 0, 0);
	}
	if (!(r[0] & 2))
		return;
	load_all(23);
	xsave(&a, all);
	memset(&b, 0xcc, sizeof(b));
	memset(b.b + HEADER + 16, 0, 48);		/* XRSTOR wants zeros there, and XSAVEC leaves them alone */
	__asm__ volatile("xsavec64 (%0)" :: "r"(&b), "a"(all), "d"(0) : "memory");
	report("xsavec", "bv", *bv(&b), all);
	report("xsavec", "xcomp_bv", bv(&b)[1], BIT(63) | all);
	report("xsavec", "xmm", memcmp(a.b + 160, b.b + 160, 256), 0);
	if (avx)
		report("xsavec", "ymm", memcmp(a.b + YMM_HI, b.b + YMM_HI, 256), 0);
	load_all(24);
	xrstor(&b, all);
	load_all(23);
	xrstor(&b, all);
	check("xsavec_restored", differences(23), 0);
	/* AVX alone: still behind the header; the init optimisation leaves what is not in use out of XSTATE_BV */
	if (avx) {
		memset(&b, 0xcc, sizeof(b));
		memset(b.b + HEADER + 16, 0, 48);
		__asm__ volatile("xsavec64 (%0)" :: "r"(&b), "a"(XCR0_AVX), "d"(0) : "memory");
		report("xsavec_avx", "xcomp_bv", bv(&b)[1], BIT(63) | XCR0_AVX);
		report("xsavec_avx", "ymm", memcmp(a.b + YMM_HI, b.b + YMM_HI, 256), 0);
		report("xsavec_avx", "xmm", b.b[160], 0xcc);
		__asm__ volatile("vzeroall");
		xrstor(&b, XCR0_AVX);
		xrstor(&a, XCR0_X87 | XCR0_SSE);
		check("xsavec_avx_restored", differences(23), 0);
	}
	/* a compacted area that claims more than XCR0 */
	c = b;
	bv(&c)[1] = BIT(63) | BIT(40) | all;
	row("xrstor_compact_unknown", do_xrstor, (ul)&c, GP, 0, do_xrstor_at);
	c = b;
	bv(&c)[1] = BIT(63);
	*bv(&c) = all;
	row("xrstor_compact_bv", do_xrstor, (ul)&c, GP, 0, do_xrstor_at);
	report("xgetbv_1", "in_use", xgetbv(1) & XCR0_SSE, XCR0_SSE);
}

static void legacy(void)
{
	static u8 env[108], env2[108];
	u32 mask, tags;

	load_all(30);
	__asm__ volatile("fxsave64 (%0)" :: "r"(&a) : "memory");
	mask = *(u32 *)(a.b + 28);
	report("fxsave", "mask", mask & 0xffbf, 0xffbf);
	report("fxsave", "mxcsr", *(u32 *)(a.b + 24), 0x1f80 | 2 << 13);
	report("fxsave", "xmm15", memcmp(a.b + 160 + 16 * 15, patterns[15], 16), 0);
	/* FXRSTOR leaves the upper halves alone */
	load_all(31);
	__asm__ volatile("fxrstor64 (%0)" :: "r"(&a) : "memory");
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int k = 0; k < 2; k++)
			patterns[i][k] = 31 * 0x9e3779b97f4a7c15 ^ (i << 8 | k) * 0x100000001b3;
	check("fxrstor", differences(30), 0);
	if (avx) {
		/* legacy SSE keeps the upper half, VEX.128 clears it */
		__asm__ volatile("pxor %xmm4, %xmm4; vpxor %xmm5, %xmm5, %xmm5");
		patterns[4][0] = patterns[4][1] = 0;
		memset(patterns[5], 0, 32);
		check("upper_halves", wrong_vectors(), 0);
		__asm__ volatile("vzeroupper");
		for (unsigned int i = 0; i < 16; i++)
			patterns[i][2] = patterns[i][3] = 0;
		check("vzeroupper", wrong_vectors(), 0);
	}
	/* the x87 alone */
	load_all(32);
	__asm__ volatile("fnsave %0" : "=m"(env));
	report("fnsave", "fcw", *(u16 *)env, 0x37f);
	report("fnsave", "top", *(u16 *)(env + 4) >> 11 & 7, 6);
	report("fnsave", "ftw", *(u16 *)(env + 8), 0x0fff);
	__asm__ volatile("fnstenv %0" : "=m"(env2));		/* and it initialises */
	report("fnsave", "init_fcw", *(u16 *)env2, 0x37f);
	report("fnsave", "init_fsw", *(u16 *)(env2 + 4), 0);
	report("fnsave", "init_ftw", *(u16 *)(env2 + 8), 0xffff);
	__asm__ volatile("frstor %0" :: "m"(env));
	check("frstor", differences(32), 0);
	/* environment: control, status and tags, not the registers; FNSTENV masks exceptions */
	*(u16 *)env = 0x27f;
	__asm__ volatile("fldenv %0" :: "m"(env));
	__asm__ volatile("fnstenv %0" : "=m"(env2));
	report("fldenv", "fcw", *(u16 *)env2, 0x27f);
	report("fldenv", "top", *(u16 *)(env2 + 4) >> 11 & 7, 6);
	report("fldenv", "ftw", *(u16 *)(env2 + 8), 0x0fff);
	__asm__ volatile("fldcw %0; fnstenv %1; fnstcw %2" :: "m"(*(u16 *)"\x7e\x02"), "m"(env2), "m"(*(u16 *)b.b) : "memory");
	report("fnstenv", "fcw", *(u16 *)env2, 0x27e);
	report("fnstenv", "masked", *(u16 *)b.b, 0x27f);
	/* an MMX instruction marks all as valid, with the top at 0 */
	__asm__ volatile("fninit; movq %0, %%mm3; fnstenv %1" :: "m"(patterns[0]), "m"(env2) : "memory");
	tags = *(u16 *)(env2 + 8);
	report("mmx", "empty", tags & (tags >> 1) & 0x5555, 0);
	report("mmx", "top", *(u16 *)(env2 + 4) >> 11 & 7, 0);
	__asm__ volatile("emms; fnstenv %0" :: "m"(env2) : "memory");
	report("emms", "ftw", *(u16 *)(env2 + 8), 0xffff);
}

/*
 * The x87's pointers to its last instruction and operand: the program's own addresses, or zeros where the processor does
 * not keep them, but nothing of the machine below.
 */
static bool own(u64 addr)
{
	return !addr || (addr >= GUEST_BASE && addr < GUEST_MEMORY);
}

static u64 at(const u8 *p, unsigned int len)
{
	u64 v = 0;

	memcpy(&v, p, len);
	return v;
}

static void pointers(void)
{
	static double value = 2.5, sum;
	static u8 env[108];

#define USE_X87	__asm__ volatile("fninit; fldl %1; faddl %1; fstpl %0" : "=m"(sum) : "m"(value))
	USE_X87;
	memset(env, 0, sizeof(env));
	__asm__ volatile("fnstenv %0" : "=m"(env));
	report("pointers", "fnstenv_ip", own(at(env + 12, 4)), 1);
	report("pointers", "fnstenv_data", own(at(env + 20, 4)), 1);
	USE_X87;
	__asm__ volatile("fnsave %0" : "=m"(env));
	report("pointers", "fnsave_ip", own(at(env + 12, 4)), 1);
	report("pointers", "fnsave_data", own(at(env + 20, 4)), 1);
	USE_X87;
	memset(&a, 0, sizeof(a));
	__asm__ volatile("fxsave64 (%0)" :: "r"(&a) : "memory");
	report("pointers", "fxsave_ip", own(at(a.b + 8, 8)), 1);
	report("pointers", "fxsave_data", own(at(a.b + 16, 8)), 1);
	memset(&a, 0, sizeof(a));
	__asm__ volatile("fxsave (%0)" :: "r"(&a) : "memory");
	report("pointers", "fxsave32_ip", own(at(a.b + 8, 4)), 1);
	report("pointers", "fxsave32_data", own(at(a.b + 16, 4)), 1);
	USE_X87;
	memset(&a, 0, sizeof(a));
	xsave(&a, all);
	report("pointers", "xsave_ip", own(at(a.b + 8, 8)), 1);
	report("pointers", "xsave_data", own(at(a.b + 16, 8)), 1);
	if (cpu_has(0xd, 1, 0, 3)) {
		USE_X87;
		memset(&a, 0, sizeof(a));
		__asm__ volatile("xsaves64 (%0)" :: "r"(&a), "a"(all), "d"(0) : "memory");
		report("pointers", "xsaves_ip", own(at(a.b + 8, 8)), 1);
		report("pointers", "xsaves_data", own(at(a.b + 16, 8)), 1);
	}
	/* one that faults: unmasked overflow, seen by the next one that waits */
	__asm__ volatile("fninit; fldcw %0; fldl %1; fdivl %2" :: "m"(*(u16 *)"\x7b\x03"), "m"(value), "m"(*(double *)"\0\0\0\0\0\0\0\0"));
	__asm__ volatile("fnstenv %0" : "=m"(env));
	report("pointers", "fault_ip", own(at(env + 12, 4)), 1);
	report("pointers", "fault_status", at(env + 4, 2) & 0x84, 0x84);	/* ES, ZE */
	/* loaded by the program: its own, or none */
	__asm__ volatile("fninit");
	memset(env, 0, sizeof(env));
	*(u16 *)env = 0x37f;
	*(u16 *)(env + 8) = 0xffff;
	*(u32 *)(env + 12) = 0x123456;
	__asm__ volatile("fldenv %1; fnstenv %0" : "=m"(env) : "m"(env));
	report("pointers", "fldenv_ip", own(at(env + 12, 4)), 1);
}

/* -- state that lives on ------------------------------------------------------------------------------------------- */

static volatile u32 interrupts_seen;

/* A handler that uses the registers for itself, as a kernel does. */
static void clobbering_interrupt(struct frame *f)
{
	static struct area mine;

	(void)f;
	interrupts_seen++;
	xsave(&mine, all);
	__asm__ volatile("fninit; fldz; fldz; fldz; pxor %xmm0, %xmm0; pcmpeqb %xmm7, %xmm7");
	if (avx)
		__asm__ volatile("vzeroall");
	xrstor(&mine, all);
	*(volatile u32 *)0xfee000b0 = 0;
}

SNIPPET(user_vectors, "paddq %xmm1, %xmm1", "movq %xmm1, %rcx");

static void lives_on(void)
{
	volatile u32 *apic = (u32 *)0xfee00000;
	u32 bad = 0;

	/* exits to the client and back: reports and ports */
	load_all(40);
	for (unsigned int i = 0; i < 50; i++) {
		outb(PORT_DEVICE, (u8)i);
		bad |= differences(40);
	}
	check("through_exits", bad, 0);
	/* interrupts whose handler has its own state, at any moment */
	handler[0x60] = clobbering_interrupt;
	apic[0xf0 / 4] = 0x1ff;
	apic[0x3e0 / 4] = 0xb;				/* divide by 1 */
	apic[0x320 / 4] = 0x20060;			/* periodic */
	apic[0x380 / 4] = 500000;
	bad = 0;
	for (u64 i = 0; interrupts_seen < 50 && i < 4000000; i++) {
		if (!(i & 1023))
			load_all(41 + (i >> 10));
		sti();
		pause();
		cli();
		if ((i & 1023) == 1023)
			bad |= differences(41 + (i >> 10));
	}
	apic[0x320 / 4] = 0x10000;
	report("through_interrupts", "seen", interrupts_seen >= 50, 1);
	report("through_interrupts", "differences", bad, 0);
	/* sleep */
	load_all(43);
	interrupts_seen = 0;
	apic[0x320 / 4] = 0x60;
	apic[0x380 / 4] = 3000000;
	while (!interrupts_seen)
		__asm__ volatile("sti; hlt; cli" ::: "memory");
	check("through_hlt", differences(43), 0);
	/* ring 3 works on the same registers */
	load_all(44);
	try_user(user_vectors, 0);
	check_trap("user", NONE, 0, NULL);
	report("user", "sum", trap.cx, 2 * patterns[1][0]);
	patterns[1][0] *= 2;
	patterns[1][1] *= 2;
	check("user_vectors", wrong_vectors(), 0);
}

/*
 * Two tasks whose state is switched when they first use it: CR0.TS at the switch, #NM moves it. Only every third turn of the
 * second one uses it.
 */
static struct area task_area[2];
static unsigned int current, owner = ~0u, lazy_traps;

static void on_nm(struct frame *f)
{
	(void)f;
	__asm__ volatile("clts");
	lazy_traps++;
	if (owner == current)
		return;
	if (owner != ~0u)
		xsave(&task_area[owner], all);
	xrstor(&task_area[current], all);
	owner = current;
}

static void lazy_switches(void)
{
	u32 bad = 0, uses = 0;

	for (unsigned int t = 0; t < 2; t++) {
		load_all(50 + t);
		xsave(&task_area[t], all);
	}
	load_all(60);
	handler[NM] = on_nm;
	for (unsigned int turn = 0; turn < 200; turn++) {
		u64 seed = 50 + (turn & 1);

		current = turn & 1;
		wr_cr0(rd_cr0() | CR0_TS);
		if (turn % 3 == 1)
			continue;
		uses++;
		for (unsigned int i = 0; i < 16; i++)
			for (unsigned int k = 0; k < 4; k++)
				patterns[i][k] = (seed + 1) * 0x9e3779b97f4a7c15 ^ (i << 8 | k) * 0x100000001b3;
		bad |= differences(seed);
	}
	__asm__ volatile("clts");
	handler[NM] = NULL;
	report("lazy", "traps", lazy_traps, uses);
	report("lazy", "differences", bad, 0);
}

int main(u32 step)
{
	if (!cpu_has(1, 0, 2, 26)) {
		skip("xsave");
		return 0;
	}
	wr_cr0((rd_cr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
	wr_cr4(rd_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
	check("xcr0_reset", xgetbv(0), 1);
	avx = cpu_has(1, 0, 2, 28);
	all = avx ? 7 : 3;
	xsetbv(all);
	outb(PORT_DEVICE, 0);
	check("xsetbv", xgetbv(0), all);
	set_xcr0(all);
	enumeration();
	round_trips();
	variants();
	legacy();
	pointers();
	faults();
	lives_on();
	lazy_switches();
	return 0;
}
