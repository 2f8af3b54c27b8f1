// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * selfmod.c - code that writes code on one processor: after a jump the new bytes run. SDM 3A 8.1.3. 32- and 64-bit.
 */
#include "kit.h"

static u8 page[3 * PAGE] __attribute__((aligned(4096)));

static ul call(const void *fn)
{
	ul v;

	__asm__ volatile("call *%1" : "=a"(v) : "r"(fn) : "memory", "cc", "cx", "dx");
	return v;
}

/* mov $v, %eax; ret */
static void put_mov(u8 *at, u32 v)
{
	at[0] = 0xb8;
	memcpy(at + 1, &v, 4);
	at[5] = 0xc3;
}

/* writes the constant of its own next instruction, with a jump between */
SNIPPET(own_next, "movl $0x1234, 1f + 1; jmp 1f; 1: mov $0, %eax; movl $0, 1b + 1", "ret");
/* a loop whose body's constant is raised by itself each time round */
SNIPPET(own_loop, "xor %eax, %eax; mov $100, %ecx; movl $1, 2f + 1; 1: jmp 2f; 2: .byte 5; .long 1; incl 2b + 1; dec %ecx; jnz 1b", "ret");

static void rewritten(void)
{
	unsigned int wrong = 0;
	u64 sum = 0;

	check("own_next", call(own_next), 0x1234);
	check("own_next_again", call(own_next), 0x1234);
	check("own_loop", call(own_loop), 100 * 101 / 2);
	check("own_loop_again", call(own_loop), 100 * 101 / 2);
	for (u32 i = 0; i < 3000; i++) {
		put_mov(page, i * 7);
		wrong += call(page) != i * 7;
	}
	check("rewritten", wrong, 0);
	/* by string instructions, and a byte at a time */
	for (u32 i = 0; i < 300; i++) {
		u8 buf[6];

		put_mov(buf, i);
		memcpy(page, buf, 6);
		wrong += call(page) != i;
		memset(page, 0x90, 32);
		put_mov(page + 32, i + 1);
		wrong += call(page) != i + 1;
		page[33] = (u8)(i + 2);
		wrong += (u8)call(page) != (u8)(i + 2);
	}
	check("rewritten_string", wrong, 0);
	/* code and a counter in one page, and one line */
	static const u8 counting[] = { 0xff, 0x07, 0x8b, 0x07, 0xc3 };	/* incl (rdi); mov (rdi), %eax; ret */
	memcpy(page + 64, counting, sizeof(counting));
	for (unsigned int far = 0; far < 2; far++) {
		volatile u32 *n = (volatile u32 *)(page + (far ? 2048 : 96));
		ul v = 0;

		*n = 0;
		for (u32 i = 0; i < 5000; i++)
			__asm__ volatile("call *%1" : "=a"(v) : "r"(page + 64), "D"(n) : "memory", "cc");
		check(far ? "mixed_page" : "mixed_line", v, 5000);
	}
	/* flags that nobody reads, until the code after a jump is another one: clc; mov (rdi), %eax; jmp 256f */
	static const u8 jumping[] = { 0xf8, 0x8b, 0x07, 0xe9, 256 - 128 - 8, 0, 0, 0 };
	static const u8 clearing[] = { 0x31, 0xc0, 0xc3 }, carry[] = { 0x19, 0xc0, 0xc3 };	/* xor, sbb %eax, %eax; ret */
	memcpy(page + 128, jumping, sizeof(jumping));
	for (u32 i = 0; i < 4; i++) {
		ul v;

		memcpy(page + 256, i & 1 ? carry : clearing, 3);
		__asm__ volatile("call *%1" : "=a"(v) : "r"(page + 128), "D"(page) : "memory", "cc");
		wrong += v != 0;
	}
	check("successor_changed", wrong, 0);
	/* an instruction across a page's end, either half changed */
	put_mov(page + PAGE - 3, 0x11223344);
	check("crossing", call(page + PAGE - 3), 0x11223344);
	page[PAGE + 1] = 0x55;
	check("crossing_second", call(page + PAGE - 3), 0x55223344);
	page[PAGE - 1] = 0x66;
	check("crossing_first", call(page + PAGE - 3), 0x55226644);
	/* pushed onto the stack and called there: mov $imm, %eax; ret in 8 bytes */
	for (u32 i = 0; i < 200; i++) {
		volatile u8 buf[8];

		put_mov((u8 *)buf, i);
		sum += call((void *)buf);
	}
	check("on_stack", sum, 199 * 200 / 2);
}

#define MANY	((u8 *)0x800000)

/* Pages that all could be written when code in each came to run. */
static void many_pages(void)
{
	unsigned int wrong = 0;

	for (u32 i = 0; i < 1000; i++)
		put_mov(MANY + i * PAGE, i);
	for (u32 i = 0; i < 1000; i++)
		wrong += call(MANY + i * PAGE) != i;
	for (u32 i = 0; i < 1000; i++)
		put_mov(MANY + i * PAGE, i + 7);
	for (u32 i = 0; i < 1000; i++)
		wrong += call(MANY + i * PAGE) != i + 7;
	check("many_pages", wrong, 0);
}

/* Functions all over a page run, some or most of them are written anew, and all run again. */
static void written_anew(void)
{
	unsigned int wrong = 0;

	for (u32 i = 0; i < 64; i++)
		put_mov(page + 64 * i, i);
	for (u32 n = 0; n < 64; n++) {
		for (u32 i = 0; i < 64; i++)
			wrong += call(page + 64 * i) != (i < n ? 1000 * n : 0) + i;
		for (u32 i = 0; i <= n; i++)
			put_mov(page + 64 * i, 1000 * (n + 1) + i);
	}
	check("written_anew", wrong, 0);
}

/* Writes that leave code as it was, with and without it running between, then one that does not; and bytes beside code. */
static void same_bytes(void)
{
	volatile u8 *p = page + 64;
	unsigned int wrong = 0;

	memset(page, 0xcc, PAGE);
	for (u32 n = 0; n < 300; n++) {
		put_mov((u8 *)p, n);
		wrong += call((u8 *)p) != n;
		for (u32 i = 0; i < n; i++) {
			p[1] = (u8)n;		/* the constant's low byte again */
			p[-1] = (u8)i;
			p[6] = (u8)i;		/* after the RET */
			if (n & 1)
				wrong += call((u8 *)p) != n;
		}
		p[2] ^= 0x80;
		wrong += call((u8 *)p) != (n ^ 0x8000);
	}
	check("same_bytes", wrong, 0);
	/* an instruction across the page's end, its second half written as it is */
	put_mov(page + PAGE - 3, 0x11223344);
	for (u32 i = 0; i < 100; i++) {
		wrong += call(page + PAGE - 3) != 0x11223344;
		page[PAGE + 1] = 0x11;
		page[PAGE + 3] = (u8)i;		/* after the RET */
	}
	page[PAGE + 1] = 0x12;
	wrong += call(page + PAGE - 3) != 0x12223344;
	check("same_bytes_crossing", wrong, 0);
}

/* The runner writes a log into the page that code runs from, as a device does by DMA. */
static void by_device(void)
{
	struct guest_log *log = (void *)page;
	ul before;

	memset(page, 0, sizeof(*log));
	/* data of entry 0 lies at 16: the port's value becomes mov %ecx... bytes b8 xx xx xx, then nothing: a 4-byte value */
	put_mov(page + 15, 0);
	page[15] = 0xb8;
	page[20] = 0xc3;
	before = call(page + 15);
	check("dma_before", before, 0);
	command(COMMAND_LOG, (u32)(ul)page);
	outl(PORT_DEVICE, 0x00345678);
	command(COMMAND_LOG_STOP, 0);
	/* 8 bytes of data from 16: 78 56 34 00 00 ...; the RET is gone, so it is put back */
	page[20] = 0xc3;
	check("dma_after", call(page + 15), 0x00345678);
}

#ifdef __x86_64__
extern u64 pd[];

static void aliases(void)
{
	volatile u8 *alias = (volatile u8 *)(0x40000000ul + ((ul)page & 0x1fffff));
	u32 r[4];
	unsigned int wrong = 0;

	pd[512] = ((ul)page & ~0x1ffffful) | 0x87;
	flush_tlb();
	for (u32 i = 0; i < 500; i++) {
		put_mov((u8 *)alias, i);
		cpuid(0, 0, r);
		wrong += call(page) != i;
		put_mov(page + 64, i + 1);
		cpuid(0, 0, r);
		wrong += call((void *)(alias + 64)) != i + 1;
	}
	check("alias", wrong, 0);
	/* the page may be written at both addresses when its code comes to run; their pages' numbers differ in low bits too */
	pd[513] = pd[512];
	flush_tlb();
	alias += 0x200000;
	wrong = 0;
	for (u32 i = 0; i < 500; i++) {
		put_mov((u8 *)alias, i);
		put_mov(page + 64, i + 1);
		cpuid(0, 0, r);
		wrong += call(page) != i;
		wrong += call(page + 64) != i + 1;
		alias[1] ^= 1;
		cpuid(0, 0, r);
		wrong += call(page) != (i ^ 1);
		page[65] ^= 1;
		wrong += call(page + 64) != ((i + 1) ^ 1);
		memset(page, 0, 128);		/* none of the page's code is left */
	}
	check("alias_both", wrong, 0);
	/* other memory behind the same address */
	put_mov((u8 *)0x800000, 8);
	put_mov((u8 *)0xa00000, 10);
	wrong = 0;
	for (u32 i = 0; i < 300; i++) {
		pd[512] = (i & 1 ? 0xa00000 : 0x800000) | 0x87;
		invlpg((void *)0x40000000);
		wrong += call((void *)0x40000000) != (i & 1 ? 10 : 8);
	}
	check("remapped", wrong, 0);
}
#endif

int main(u32 step)
{
	rewritten();
	many_pages();
	written_anew();
	same_bytes();
	by_device();
#ifdef __x86_64__
	aliases();
#endif
	return 0;
}
