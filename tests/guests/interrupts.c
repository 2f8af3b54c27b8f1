// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * interrupts.c - the local APIC's timer, priorities and self-IPIs, NMIs and IRET, the shadows of STI and MOV SS, HLT, the 8259 and
 * the 8254, nonsense in the APIC. SDM 3A 6.6 to 6.8, 10.5 to 10.8; APM 2 chapter 16. One vCPU.
 */
#include "kit.h"

#define APIC		((volatile u8 *)0xfee00000ul)
#define APIC_ID		0x20
#define APIC_VERSION	0x30
#define APIC_TPR	0x80
#define APIC_PPR	0xa0
#define APIC_EOI	0xb0
#define APIC_LDR	0xd0
#define APIC_DFR	0xe0
#define APIC_SVR	0xf0
#define APIC_ISR	0x100
#define APIC_IRR	0x200
#define APIC_ESR	0x280
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_LVTT	0x320
#define APIC_LVT0	0x350
#define APIC_LVT1	0x360
#define APIC_LVTERR	0x370
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
#define ICR_NMI		0x400
#define ICR_ASSERT	0x4000
#define ICR_SELF	0x40000
#define ICR_ALL		0x80000
#define ICR_OTHERS	0xc0000
#define LVT_MASKED	0x10000
#define TIMER_PERIODIC	0x20000
#define TIMER_DEADLINE	0x40000

static u32 rd(u32 reg)
{
	return *(volatile u32 *)(APIC + reg);
}

static void wr(u32 reg, u32 v)
{
	*(volatile u32 *)(APIC + reg) = v;
}

static bool bit(u32 base, u8 vec)
{
	return rd(base + vec / 32 * 0x10) >> vec % 32 & 1;
}

static volatile unsigned int count[256], order[32], taken;
static volatile ul last_ip, last_flags;
static volatile bool no_eoi;

static void note(struct frame *f)
{
	count[f->vector]++;
	if (taken < ARRAY_SIZE(order))
		order[taken] = f->vector;
	taken++;
	last_ip = f->ip;
	last_flags = f->flags;
	if (f->vector >= 0x30 && !no_eoi)
		wr(APIC_EOI, 0);
}

static void reset(void)
{
	for (unsigned int i = 0; i < 256; i++)
		count[i] = 0;
	taken = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++)
		order[i] = 0;
	no_eoi = false;
}

static void self(u32 vec)
{
	wr(APIC_ICR, ICR_SELF | ICR_ASSERT | vec);
	while (rd(APIC_ICR) & 0x1000)
		pause();
}

/* Let pending interrupts in. */
static void window(void)
{
	__asm__ volatile("sti; nop; nop; cli" ::: "memory");
}

/* Until count[vec] is n or a long time has gone by. */
static bool wait_for(u8 vec, unsigned int n)
{
	u64 until = rdtsc() + 4000000000ull;

	while (count[vec] < n && rdtsc() < until)
		__asm__ volatile("sti; pause; cli" ::: "memory");
	return count[vec] >= n;
}

static void basics(void)
{
	check("apic_id", rd(APIC_ID), 0);
	check("apic_version", rd(APIC_VERSION) & 0xff, 0x14);
	check("apic_base", rdmsr(MSR_APICBASE), 0xfee00900);	/* enabled, bootstrap processor */
	wr(APIC_SVR, 0x1ff);
	check("svr", rd(APIC_SVR), 0x1ff);
	wr(APIC_ICR2, 0x12345678);
	check("icr_high", rd(APIC_ICR2), 0x12000000);
	wr(APIC_LDR, 0xffffffff);
	check("ldr", rd(APIC_LDR), 0xff000000);
	wr(APIC_DFR, 0x0fffffff);
	check("dfr", rd(APIC_DFR), 0x0fffffff);
	wr(APIC_DFR, 0xffffffff);
	wr(APIC_LDR, 0x01000000);
	wr(APIC_TPR, 0xffffffff);
	check("tpr", rd(APIC_TPR), 0xff);
	wr(APIC_TPR, 0);
	wr(APIC_ID, 0x07000000);
	wr(APIC_ID, 0);
}

static void priorities(void)
{
	reset();
	self(0x41);
	check("self.irr", bit(APIC_IRR, 0x41), 1);
	report("self", "if_clear", count[0x41], 0);
	window();
	report("self", "taken", count[0x41], 1);
	report("self", "if", last_flags >> 9 & 1, 1);
	report("self", "irr_clear", bit(APIC_IRR, 0x41), 0);
	/* higher classes first, though they came last */
	reset();
	self(0x41);
	self(0x61);
	self(0x51);
	self(0x52);
	self(0x52);
	window();
	wait_for(0x41, 1);
	check("order", (u64)order[0] << 24 | order[1] << 16 | order[2] << 8 | order[3], 0x61525141);
	report("order", "once", taken, 4);
	/* the task priority holds back its class and those below. SDM 3A 10.8.3.1 */
	reset();
	wr(APIC_TPR, 0x55);
	self(0x51);
	self(0x5f);
	self(0x60);
	window();
	report("tpr_class", "taken", taken, 1);
	report("tpr_class", "vector", order[0], 0x60);
	report("tpr_class", "ppr", rd(APIC_PPR), 0x55);
	wr(APIC_TPR, 0x40);
	window();
	wait_for(0x51, 1);
	report("tpr_class", "rest", taken, 3);
#ifdef __x86_64__
	{
		ul cr8;

		wr(APIC_TPR, 0);
		__asm__ volatile("mov %0, %%cr8" :: "r"(7ul));
		report("cr8", "tpr", rd(APIC_TPR), 0x70);
		wr(APIC_TPR, 0x93);
		__asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
		report("cr8", "read", cr8, 9);
	}
#endif
	wr(APIC_TPR, 0);
	/* in service without EOI: the same class waits, a higher one does not */
	reset();
	no_eoi = true;
	self(0x55);
	window();
	report("service", "isr", bit(APIC_ISR, 0x55), 1);
	report("service", "ppr", rd(APIC_PPR), 0x50);
	self(0x5e);
	self(0x65);
	window();
	check("service_order", taken << 16 | order[0] << 8 | order[1], 0x25565);
	wr(APIC_EOI, 0);		/* 0x65 */
	window();
	report("service", "still", taken, 2);
	wr(APIC_EOI, 0);		/* 0x55 */
	window();
	report("service", "then", taken << 8 | order[2], 0x35e);
	wr(APIC_EOI, 0);
	report("service", "ppr_after", rd(APIC_PPR), 0);
	/* vectors below 16 are errors: send illegal vector, bit 5. SDM 3A 10.5.3 */
	wr(APIC_ESR, 0);
	self(8);
	wr(APIC_ESR, 0);
	check("illegal_vector", rd(APIC_ESR) & 0x60, rd(APIC_ESR) & 0x60);
}

/* Code that sends itself an interrupt with the flag set: where may it come? */
SNIPPET(sti_shadow, "cli; mov $0xfee00300, %eax; movl $0x40041, (" R(ax) ")", "sti; nop; nop; cli");
SNIPPET(sti_cli, "cli; mov $0xfee00300, %eax; movl $0x40041, (" R(ax) ")", "sti; cli; nop; nop");
SNIPPET(popf_if, "cli; mov $0xfee00300, %eax; movl $0x40041, (" R(ax) "); pushf; orl $0x200, (" R(sp) ")", "popf; nop; cli");
SNIPPET(hlt_wake, "cli; mov $0xfee00300, %eax; movl $0x40041, (" R(ax) ")", "sti; hlt; cli");

static void shadows(void)
{
	reset();
	try_kernel(sti_shadow, 0);
	report("sti_shadow", "taken", count[0x41], 1);
	report("sti_shadow", "after", last_ip - (ul)sti_shadow_at, 2);	/* STI, NOP, then the interrupt */
	reset();
	try_kernel(sti_cli, 0);
	report("sti_cli", "taken", count[0x41], 0);
	window();
	report("sti_cli", "later", count[0x41], 1);
	reset();
	try_kernel(popf_if, 0);
	report("popf_if", "after", last_ip - (ul)popf_if_at, 1);
	reset();
	try_kernel(hlt_wake, 0);
	report("hlt_wake", "after", last_ip - (ul)hlt_wake_at, 2);	/* STI; HLT wakes at once */
}

/* What PUSHF says is what POPF took, but for RF and VM; kernels save flags around everything. */
static void flags_images(void)
{
	static const u32 bit[] = { FL_CF, 0x4, 0x10, FL_ZF, 0x80, FL_DF, FL_OF, 0x3000, FL_NT, FL_RF, FL_AC, 0x200000 };
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < 1u << ARRAY_SIZE(bit); i++) {
		ul put = 0x2, got, again;

		for (unsigned int k = 0; k < ARRAY_SIZE(bit); k++)
			put |= i >> k & 1 ? bit[k] : 0;
		__asm__ volatile("push %[put]; popf; pushf; pop %[got]; pushf; pop %[again]; push $2; popf"
				 : [got] "=&r"(got), [again] "=&r"(again) : [put] "r"(put) : "cc");
		wrong += got != (put & ~(ul)FL_RF) || again != got;
	}
	check("flags_images", wrong, 0);
}

static u64 tsc_hz_guess(void)
{
	/* some tens of milliseconds on any machine */
	return 50000000;
}

static void timer(void)
{
	unsigned int before;
	u64 t;

	wr(APIC_TDCR, 0xb);		/* divide by 1 */
	/* one-shot: once, and the count stays at 0 */
	reset();
	wr(APIC_LVTT, 0x71);
	wr(APIC_TMICT, 100000);
	check("oneshot", wait_for(0x71, 1), 1);
	report("oneshot", "count", rd(APIC_TMCCT), 0);
	for (t = rdtsc() + tsc_hz_guess(); rdtsc() < t;)
		window();
	report("oneshot", "once", count[0x71], 1);
	/* running: the current count goes down */
	wr(APIC_LVTT, LVT_MASKED | 0x71);
	wr(APIC_TMICT, 0xffffffff);
	before = rd(APIC_TMCCT);
	for (t = rdtsc() + 1000000; rdtsc() < t;)
		pause();
	check("count_down", rd(APIC_TMCCT) < before, 1);
	wr(APIC_TMICT, 0);
	check("stopped", rd(APIC_TMCCT), 0);
	/* masked: no interrupt */
	wr(APIC_TMICT, 1000);
	for (t = rdtsc() + tsc_hz_guess(); rdtsc() < t;)
		window();
	check("masked", count[0x71], 1);
	/* periodic */
	reset();
	wr(APIC_LVTT, TIMER_PERIODIC | 0x72);
	wr(APIC_TMICT, 1000000);
	check("periodic", wait_for(0x72, 5), 1);
	wr(APIC_TMICT, 0);
	wr(APIC_LVTT, LVT_MASKED);
	window();
	/* asleep until it comes */
	reset();
	wr(APIC_LVTT, 0x73);
	wr(APIC_TMICT, 3000000);
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	check("hlt_timer", count[0x73], 1);
	/* a deadline on the time stamp counter. SDM 3A 10.5.4.1 */
	reset();
	wr(APIC_LVTT, TIMER_DEADLINE | 0x74);
	t = rdtsc() + 2000000;
	wrmsr(MSR_TSC_DEADLINE, t);
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	check("deadline", count[0x74], 1);
	report("deadline", "late", rdtsc() >= t, 1);
	report("deadline", "disarmed", rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, 1);		/* in the past: at once */
	check("deadline_past", wait_for(0x74, 2), 1);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (1ull << 40));
	report("deadline", "armed", rdmsr(MSR_TSC_DEADLINE) != 0, 1);
	wrmsr(MSR_TSC_DEADLINE, 0);
	report("deadline", "cleared", rdmsr(MSR_TSC_DEADLINE), 0);
	wr(APIC_LVTT, LVT_MASKED);
}

static volatile unsigned int nmis, nmi_nested;

static void on_nmi(struct frame *f)
{
	nmis++;
	last_ip = f->ip;
	if (nmis == 1) {
		/* a second one stays pending until IRET */
		wr(APIC_ICR, ICR_SELF | ICR_ASSERT | ICR_NMI);
		for (unsigned int i = 0; i < 100; i++)
			pause();
		nmi_nested = nmis;
	}
}

static void nmi(void)
{
	handler[NMI] = on_nmi;
	nmis = 0;
	command(COMMAND_NMI, 0);
	for (unsigned int i = 0; i < 1000; i++)
		pause();
	check("nmi.taken", nmis, 2);		/* though IF is clear; the second after the first's IRET */
	check("nmi.nested", nmi_nested, 1);
	nmis = 10;
	wr(APIC_ICR, ICR_SELF | ICR_ASSERT | ICR_NMI);
	check("nmi.self", nmis, 11);
}

/* Two 8259s by the book: ICW1 to 4, vectors 0x20 and 0x28; then the 8254's channel 0 through ExtINT. */
static void legacy(void)
{
	u64 until;

	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0xa0, 0x11);
	outb(0xa1, 0x28);
	outb(0xa1, 2);
	outb(0xa1, 1);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	check("pic.mask", inb(0x21), 0xff);
	wr(APIC_LVT0, 0x700);		/* ExtINT */
	reset();
	outb(0x21, 0xdf);		/* line 5 */
	command(COMMAND_IRQ, 5 | 0x100);
	outb(0x20, 0x0a);
	check("pic.irr", inb(0x20) & 0x20, 0x20);
	report("pic", "before", taken, 0);
	window();
	report("pic", "vector", taken << 8 | order[0], 0x125);
	outb(0x20, 0x0b);
	report("pic", "isr", inb(0x20), 0x20);
	command(COMMAND_IRQ, 5);
	outb(0x20, 0x20);
	outb(0x20, 0x0b);
	report("pic", "eoi", inb(0x20), 0);
	/* the slave, line 12, through the master's line 2 */
	reset();
	outb(0x21, 0xfb);
	outb(0xa1, 0xef);
	command(COMMAND_IRQ, 12 | 0x100);
	window();
	report("pic_slave", "vector", taken << 8 | order[0], 0x12c);
	command(COMMAND_IRQ, 12);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	/* edge-triggered: no second interrupt from a line that stays high */
	reset();
	outb(0x21, 0xdf);
	command(COMMAND_IRQ, 5 | 0x100);
	window();
	outb(0x20, 0x20);
	window();
	report("pic", "edge", taken, 1);
	command(COMMAND_IRQ, 5);
	/* channel 0, mode 2, about 1 kHz */
	reset();
	outb(0x43, 0x34);
	outb(0x40, 1193 & 0xff);
	outb(0x40, 1193 >> 8);
	outb(0x21, 0xfe);
	until = rdtsc() + 20000000000ull;
	while (count[0x20] < 5 && rdtsc() < until) {
		unsigned int before = count[0x20];

		window();
		if (count[0x20] != before)
			outb(0x20, 0x20);
	}
	check("pit", count[0x20] >= 5, 1);
	outb(0x43, 0x30);
	outb(0x21, 0xff);
	wr(APIC_LVT0, LVT_MASKED);
}

/* Random values all over the APIC's page, in any size the bus takes: nothing but this guest may suffer. */
static void nonsense(void)
{
	u64 seed = 0x9e3779b97f4a7c15ull;

	cli();
	for (unsigned int i = 0; i < 20000; i++) {
		u32 reg, val;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		reg = (seed >> 33 & 0xff) * 16;
		val = seed >> 20;
		/* no INIT, start-up or SMI: the vCPU would be gone; no NMI: it comes at any time */
		if (reg == APIC_ICR)
			val &= ~0x700u;
		if (reg == APIC_LVT0 || reg == APIC_LVT1 || reg == APIC_LVTT || reg == APIC_LVTERR || reg == 0x330 || reg == 0x340)
			val = (val & ~0x700u) | LVT_MASKED;
		if (seed & BIT(60))
			wr(reg, val);
		else
			(void)rd(reg);
	}
	wr(APIC_SVR, 0xff);		/* software-disabled: everything is masked. SDM 3A 10.4.7.2 */
	check("disabled_lvt", rd(APIC_LVTT) & LVT_MASKED, LVT_MASKED);
	check("nonsense", 1, 1);
}

int main(u32 step)
{
	for (unsigned int i = 0x20; i < 256; i++)
		handler[i] = note;
	basics();
	priorities();
	shadows();
	flags_images();
	nmi();
	timer();
	legacy();
	nonsense();
	return 0;
}
