// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * io.c - port and memory-mapped I/O in all sizes, INS and OUTS, string instructions that fault in the middle, the I/O permission
 * bitmap. A read of the runner's device gives bytes 0x10 + low four bits of the address.
 */
#include "kit.h"

static struct guest_log iolog __attribute__((aligned(4096)));

static void log_start(void)
{
	memset(&iolog, 0, sizeof(iolog));
	command(COMMAND_LOG, (u32)(ul)&iolog);
}

static void log_check(const char *name, unsigned int i, u32 addr, u32 len, bool write, u64 data)
{
	volatile struct guest_log *l = &iolog;

	report(name, "addr", l->entry[i].addr, addr);
	report(name, "len", l->entry[i].len, len);
	report(name, "write", l->entry[i].write, write);
	report(name, "data", l->entry[i].data, data);
}

static void ports(void)
{
	static u32 buf[8] = { 0x11111111, 0x22222222, 0x33333333 };
	void *p;
	ul n;

	check("in8", inb(PORT_DEVICE + 3), 0x13);
	check("in16", inw(PORT_DEVICE + 2), 0x1312);
	check("in32", inl(PORT_DEVICE + 4), 0x17161514);
	{
		ul v = (ul)0x8877665544332211ull;

		__asm__ volatile("inb %w1, %b0" : "+a"(v) : "d"(PORT_DEVICE));
		check("in8_keeps", v, (ul)0x8877665544332210ull);
		__asm__ volatile("inw %w1, %w0" : "+a"(v) : "d"(PORT_DEVICE));
		check("in16_keeps", v, (ul)0x8877665544331110ull);
		__asm__ volatile("inl %w1, %k0" : "+a"(v) : "d"(PORT_DEVICE));
		check("in32_clears", v, 0x13121110);
	}
	{
		/* the interrupt mask of the 8259, in the hypervisor on every engine */
		ul v = (ul)0x88776655443322a5ull;

		__asm__ volatile("outb %b0, $0x21; inb $0x21, %b0" : "+a"(v));
		check("pic.out_in", v, (ul)0x88776655443322a5ull);
		__asm__ volatile("movb $0xff, %b0; outb %b0, $0x21; movb $0, %b0; inb $0x21, %b0" : "+a"(v));
		check("pic.in_keeps", v, (ul)0x88776655443322ffull);
	}
	log_start();
	outb(PORT_DEVICE + 1, 0xab);
	outw(PORT_DEVICE + 2, 0xabcd);
	outl(PORT_DEVICE + 4, 0xabcdef01);
	p = buf;
	n = 3;
	__asm__ volatile("rep outsl" : "+S"(p), "+c"(n) : "d"(PORT_DEVICE) : "memory");
	command(COMMAND_LOG_STOP, 0);
	check("out.count", iolog.count, 6);
	log_check("out8", 0, PORT_DEVICE + 1, 1, true, 0xab);
	log_check("out16", 1, PORT_DEVICE + 2, 2, true, 0xabcd);
	log_check("out32", 2, PORT_DEVICE + 4, 4, true, 0xabcdef01);
	log_check("outs", 5, PORT_DEVICE, 4, true, 0x33333333);
	report("outs", "rsi", (ul)p - (ul)buf, 12);
	report("outs", "rcx", n, 0);
	p = buf;
	n = 5;
	memset(buf, 0, sizeof(buf));
	__asm__ volatile("rep insw" : "+D"(p), "+c"(n) : "d"(PORT_DEVICE + 6) : "memory");
	check("ins.data", buf[0], 0x17161716);
	report("ins", "last", buf[2], 0x1716);
	report("ins", "rdi", (ul)p - (ul)buf, 10);
	/* backwards */
	p = buf + 3;
	n = 2;
	__asm__ volatile("std; rep insl; cld" : "+D"(p), "+c"(n) : "d"(PORT_DEVICE) : "memory");
	report("ins_down", "rdi", (ul)p - (ul)buf, 4);
	report("ins_down", "data", buf[2], 0x13121110);
	check("absent_port", inb(0x5d0), 0xff);
}

#define DEV	((volatile u8 *)(ul)MMIO_DEVICE)

static void mmio(void)
{
	volatile u8 *d = DEV;
	u32 v32;
	ul p;

	check("mmio8", d[5], 0x15);
	check("mmio16", *(volatile u16 *)(d + 4), 0x1514);
	check("mmio32", *(volatile u32 *)(d + 8), 0x1b1a1918);
#ifdef __x86_64__
	check("mmio64", *(volatile u64 *)d, 0x1716151413121110);
#endif
	check("mmio_odd", *(volatile u32 *)(d + 1), 0x14131211);
	/* across a page the bus sees two accesses; together they are the bytes */
	check("mmio_cross", *(volatile u32 *)(d + 0xffe), 0x11101f1e);
	__asm__ volatile("movzbl %1, %0" : "=r"(v32) : "m"(d[3]));
	check("mmio_movzx", v32, 0x13);
	__asm__ volatile("movsbl %1, %0" : "=r"(v32) : "m"(d[3]));
	check("mmio_movsx", v32, 0x13);
	log_start();
	d[7] = 0x77;
	*(volatile u16 *)(d + 2) = 0x2233;
	*(volatile u32 *)(d + 4) = 0x44556677;
	__asm__ volatile("orl $0x80, %0" : "+m"(*(volatile u32 *)d));
	v32 = 0x5555;
	__asm__ volatile("xchgl %0, %1" : "+r"(v32), "+m"(*(volatile u32 *)d));
	command(COMMAND_LOG_STOP, 0);
	log_check("mmio_w8", 0, MMIO_DEVICE + 7, 1, true, 0x77);
	log_check("mmio_w16", 1, MMIO_DEVICE + 2, 2, true, 0x2233);
	log_check("mmio_w32", 2, MMIO_DEVICE + 4, 4, true, 0x44556677);
	log_check("mmio_rmw_read", 3, MMIO_DEVICE, 4, false, 0x13121110);
	log_check("mmio_rmw_write", 4, MMIO_DEVICE, 4, true, 0x13121190);
	check("mmio_xchg", v32, 0x13121110);
	log_check("mmio_xchg_write", 6, MMIO_DEVICE, 4, true, 0x5555);
	__asm__ volatile("cmpl %2, %1; setz %b0" : "=q"(v32) : "m"(*(volatile u32 *)d), "r"(0x13121110));
	check("mmio_cmp", v32 & 1, 1);
	__asm__ volatile("push" W " %1; pop %0" : "=r"(p) : "m"(*(volatile ul *)d));
	check("mmio_push", (u32)p, 0x13121110);
	/* string instructions to and from the device */
	static u8 buf[16];
	void *di = buf;
	const volatile void *si = d + 2;
	ul n = 6;

	__asm__ volatile("rep movsb" : "+D"(di), "+S"(si), "+c"(n) :: "memory");
	check("mmio_movs", *(u32 *)(buf + 2), 0x17161514);
	report("mmio_movs", "rcx", n, 0);
	log_start();
	di = (void *)(d + 0x20);
	n = 4;
	__asm__ volatile("rep stosw" : "+D"(di), "+c"(n) : "a"(0xbeef) : "memory");
	command(COMMAND_LOG_STOP, 0);
	check("mmio_stos", iolog.count, 4);
	log_check("mmio_stos3", 3, MMIO_DEVICE + 0x26, 2, true, 0xbeef);
}

#ifdef __x86_64__
extern u64 pd[];
#define HOLE	0xe00000ul		/* from here on nothing is mapped */

SNIPPET(movs_out, "mov $0xdffff8, %edi; mov $0x800000, %esi; mov $20, %ecx", "rep movsb");
SNIPPET(movs_in, "mov $0x800000, %edi; mov $0xdffff0, %esi; mov $10, %ecx", "rep movsl");
SNIPPET(stos_out, "mov $0xdfffe0, %edi; mov $100, %ecx; mov $0x5a, %eax", "rep stosq");
SNIPPET(movs_down, "std; mov $0x800010, %edi; mov $0xe00008, %esi; mov $4, %ecx", "rep movsb");
SNIPPET(scas, "mov $0xdffff0, %edi; mov $100, %ecx; mov $0xee, %al", "repne scasb");
SNIPPET(ins_out, "mov $0xdffffc, %edi; mov $3, %ecx; mov $0x5f0, %edx", "rep insl");
SNIPPET(movs_zero, "mov $0xe00000, %edi; mov $0xe00000, %esi; xor %ecx, %ecx", "rep movsb");

/* A fault leaves the registers at the element that faulted. SDM 2B, REP */
static void faults(void)
{
	pd[7] = 0;
	flush_tlb();
	memset((void *)0x800000, 0x33, 64);
	try_kernel(movs_out, 0);
	check_trap("movs_out", PF, 2, movs_out_at);
	report("movs_out", "rcx", trap.cx, 12);
	report("movs_out", "rdi", trap.di, HOLE);
	report("movs_out", "rsi", trap.si, 0x800008);
	report("movs_out", "cr2", trap.cr2, HOLE);
	report("movs_out", "done", *(u64 *)(HOLE - 8), 0x3333333333333333);
	try_kernel(movs_in, 0);
	check_trap("movs_in", PF, 0, movs_in_at);
	report("movs_in", "rcx", trap.cx, 6);
	report("movs_in", "rsi", trap.si, HOLE);
	report("movs_in", "rdi", trap.di, 0x800010);
	try_kernel(stos_out, 0);
	check_trap("stos_out", PF, 2, stos_out_at);
	report("stos_out", "rcx", trap.cx, 96);
	report("stos_out", "done", *(u64 *)(HOLE - 8), 0x5a);
	try_kernel(movs_down, 0);
	check_trap("movs_down", PF, 0, movs_down_at);
	report("movs_down", "rcx", trap.cx, 4);
	report("movs_down", "df", trap.flags >> 10 & 1, 1);
	try_kernel(scas, 0);
	check_trap("scas", PF, 0, scas_at);
	report("scas", "rcx", trap.cx, 84);
	try_kernel(ins_out, 0);
	check_trap("ins_out", PF, 2, ins_out_at);
	report("ins_out", "rcx", trap.cx, 2);
	report("ins_out", "rdi", trap.di, HOLE);
	try_kernel(movs_zero, 0);
	check_trap("movs_zero", NONE, 0, NULL);
}
#endif

/* The bitmap in the TSS lets ring 3 use single ports. SDM 1 18.5.2 */
SNIPPET(user_in, "mov $0x5f4, %edx", "inb %dx, %al");
SNIPPET(user_in2, "mov $0x5f4, %edx", "inw %dx, %ax");
static u8 tss[104 + 8192 + 1] __attribute__((aligned(4096)));

static void bitmap(void)
{
	extern u32 kit_tss[];

	memcpy(tss, kit_tss, 104);
	memset(tss + 104, 0xff, 8193);
	*(u16 *)(tss + 102) = 104;
	gdt[SEL_FREE / 8] = descriptor((u32)(ul)tss, sizeof(tss) - 1, 0x89, 0);
	gdt[SEL_FREE / 8 + 1] = 0;
	__asm__ volatile("ltr %w0" :: "r"(SEL_FREE));
	try_user(user_in, 0);
	check_trap("iopb_set", GP, 0, user_in_at);
	tss[104 + 0x5f4 / 8] &= ~(1 << (0x5f4 & 7));
	try_user(user_in, 0);
	check_trap("iopb_clear", NONE, 0, NULL);
	try_user(user_in2, 0);		/* the second port's bit is set */
	check_trap("iopb_half", GP, 0, user_in2_at);
	try_user_flags(user_in2, 0, 0x3002);	/* IOPL 3 */
	check_trap("iopl", NONE, 0, NULL);
}

int main(u32 step)
{
	ports();
	mmio();
	bitmap();
#ifdef __x86_64__
	faults();
#endif
	return 0;
}
