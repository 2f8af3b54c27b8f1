// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * v86.c - virtual-8086 mode: what is sensitive to IOPL, interrupts through the IDT and, with CR4.VME, through the
 * interrupt vector table; the virtual interrupt flag; I/O permission bitmap; segments; the same flag in protected mode
 * (CR4.PVI). SDM 3B chapter 20; SDM 2 CLI, STI, PUSHF, POPF, INT n, IRET; APM 2 8.2 and 10.
 */
#include "kit.h"

#define FL_IOPL	0x3000
#define FL_VIF	0x80000
#define FL_VIP	0x100000
#define CR4_VME	BIT(0)
#define CR4_PVI	BIT(1)

#define CODE_SEG	0x2000		/* at linear 0x20000; the handler of the vector table's entries at offset 0x800 */
#define STACK_SEG	0x3000
#define STACK_TOP	0x1000
#define HANDLER		0x800
#define RUN_TO_END	0x1001		/* #UD of the UD2 after the code */

/* SDM 3A 8.2.1: the interrupt redirection bitmap, 32 bytes, ends where the I/O permission bitmap begins. */
static struct {
	u32 regs[26];
	u8 redirect[32];
	u8 ports[8192];
	u8 end;
} __attribute__((packed, aligned(16))) tss;

int kit_iret_v86(const ul *frame);
__attribute__((regparm(3))) void kit_trap(struct frame *f, ul entry_flags);

/* 16-bit code; name_at is the instruction in question. */
#define V86(name, pre, insn)	\
	extern const u8 name[], name##_at[], name##_end[]; \
	__asm__(".pushsection .rodata.v86, \"a\"\n.code16\n" #name ": " pre "\n" #name "_at: " insn "\n" \
		#name "_end: ud2\n.code32\n.popsection")

static u32 segs_pushed[4], segs_in_handler[4];

/* The first exception out of virtual-8086 mode: note the segments, then end as usual. */
static void note_segments(struct frame *f)
{
	const ul *extra = &f->ss + 1;		/* ES, DS, FS, GS */
	u16 fs, gs;

	__asm__ volatile("mov %%fs, %0\n\tmov %%gs, %1" : "=r"(fs), "=r"(gs));
	for (unsigned int i = 0; i < 4; i++)
		segs_pushed[i] = extra[i];
	segs_in_handler[0] = f->es;
	segs_in_handler[1] = f->ds;
	segs_in_handler[2] = fs;
	segs_in_handler[3] = gs;
	handler[f->vector] = NULL;
	kit_trap(f, 0);
}

static void go(const u8 *code, const u8 *end, u32 flags, u16 ax)
{
	static const u8 ud2[] = { 0x0f, 0x0b };
	ul frame[10] = { 0, CODE_SEG, flags | FL_VM | 2, STACK_TOP, STACK_SEG, 0x4321, 0x5432, 0x6543, 0x7654, ax };

	memset((void *)0x20000, 0x90, 0x1000);
	memcpy((void *)0x20000, code, (size_t)(end - code) + 2);
	memcpy((void *)(0x20000 + HANDLER), ud2, sizeof(ud2));
	memset((void *)(STACK_SEG * 16), 0, 0x2000);
	trap.vector = 0xdead;
	kit_iret_v86(frame);
}

struct row {
	const char *name;
	const u8 *code, *at, *end;
	u32 flags;		/* to begin with */
	u32 vector, error;
	u32 fmask, fwant;	/* of the flags at the end */
	u32 ax;			/* at the end; ~0: not looked at */
	bool after;		/* the trap points behind the instruction */
};
#define ROW(name, code, flags, vector, error, fmask, fwant, ax, after) \
	{ name, code, code##_at, code##_end, flags, vector, error, fmask, fwant, ax, after }
#define DENIED(name, code, flags)	ROW(name, code, flags, GP, 0, FL_VM, FL_VM, ~0u, false)
#define RUNS(name, code, flags, fmask, fwant, ax)	ROW(name, code, flags, RUN_TO_END, 0, fmask, fwant, ax, true)

V86(c_cli, "", "cli");
V86(c_sti, "", "sti");
V86(c_pushf, "", "pushfw; popw %ax");
V86(c_pushfd, "", "pushfl; popl %eax");
V86(c_popf_if, "pushw $0x0203", "popfw");
V86(c_popf_0, "pushw $0x0002", "popfw");
V86(c_popf_tf, "pushw $0x0102", "popfw");
V86(c_popfd, "pushl $0x00000203", "popfl");
V86(c_int20, "", "int $0x20");
V86(c_int80, "", "int $0x80");
V86(c_int3, "", "int3");
V86(c_into, "movb $0x7f, %al; addb $1, %al", "into");
V86(c_iret_if, "pushw $0x0203; pushw %cs; pushw $c_iret_if_end - c_iret_if", "iretw");
V86(c_iret_0, "pushw $0x0002; pushw %cs; pushw $c_iret_0_end - c_iret_0", "iretw");
V86(c_iret_tf, "pushw $0x0102; pushw %cs; pushw $c_iret_tf_end - c_iret_tf", "iretw");
V86(c_iretd, "pushl $0x00000203; pushl $0x2000; pushl $c_iretd_end - c_iretd", "iretl");
V86(c_hlt, "", "hlt");
V86(c_lgdt, "", "lgdt 0");
V86(c_cr0, "", "movl %cr0, %eax");
V86(c_lmsw, "", "lmsw %ax");
V86(c_clts, "", "clts");
V86(c_rdmsr, "movl $0x1b, %ecx", "rdmsr");
V86(c_smsw, "", "smsw %ax; andw $1, %ax");
V86(c_sldt, "", "sldt %ax");
V86(c_str, "", "str %ax");
V86(c_lar, "", "lar %ax, %bx");
V86(c_verr, "", "verr %ax");
V86(c_arpl, "", "arpl %ax, %bx");
V86(c_in_allowed, "movw $0x5f0, %dx", "inb %dx, %al");
V86(c_in_denied, "", "inb $0x60, %al");
V86(c_out_denied, "", "outb %al, $0x60");
V86(c_in_partly, "movw $0x5f7, %dx", "inw %dx, %ax");
V86(c_limit, "movw $0xffff, %bx; xorw %ax, %ax; movw %ax, %ds", "movw (%bx), %ax");
V86(c_limit32, "movl $0x10000, %ebx", "movb (%ebx), %al");
V86(c_stack_limit, "movw $1, %sp", "pushw %ax");
V86(c_segments, "movw $0x1234, %ax; movw %ax, %es; movw %ax, %ds; movw %ax, %fs; movw %ax, %gs", "movw %gs, %ax");
V86(c_base, "movw $0x2000, %ax; movw %ax, %ds; movb $0x5a, 0xf00; movw $0x20f0, %ax; movw %ax, %es", "movzbw %es:0, %ax");
V86(c_far_jump, "ljmp $0x1ff0, $c_far_jump_at - c_far_jump + 0x100; nop; nop", "movw %cs, %ax; ljmp $0x2000, $c_far_jump_end - c_far_jump");
V86(c_far_call, "lcall $0x2000, $c_far_call_at - c_far_call + 2; jmp c_far_call_end", "jmp . + 3; movw $7, %ax; lretw");
V86(c_nop, "", "nop");
V86(c_div, "xorw %cx, %cx", "divw %cx");

static const struct row plain[] = {
	DENIED("cli", c_cli, 0), DENIED("sti", c_sti, 0), DENIED("pushf", c_pushf, 0), DENIED("pushfd", c_pushfd, 0),
	DENIED("popf", c_popf_if, 0), DENIED("popfd", c_popfd, 0), DENIED("int20", c_int20, 0), DENIED("int80", c_int80, 0),
	DENIED("iret", c_iret_if, 0), DENIED("iretd", c_iretd, 0), DENIED("iopl2_cli", c_cli, 0x2000),
	/* not sensitive */
	ROW("int3", c_int3, 0, BP, 0, FL_VM, FL_VM, ~0u, true),
	ROW("into", c_into, 0, OF, 0, FL_VM, FL_VM, ~0u, true),
	ROW("div", c_div, 0, DE, 0, FL_VM, FL_VM, ~0u, false),
	/* with IOPL 3 */
	RUNS("iopl3_cli", c_cli, FL_IOPL | FL_IF, FL_IF | FL_IOPL | FL_VM, FL_IOPL | FL_VM, ~0u),
	RUNS("iopl3_sti", c_sti, FL_IOPL, FL_IF | FL_IOPL | FL_VM, FL_IF | FL_IOPL | FL_VM, ~0u),
	RUNS("iopl3_pushf", c_pushf, FL_IOPL | FL_IF | FL_CF, FL_IF, FL_IF, FL_IOPL | FL_IF | FL_CF | 2),
	RUNS("iopl3_pushfd", c_pushfd, FL_IOPL | FL_IF | FL_CF, FL_IF, FL_IF, FL_IOPL | FL_IF | FL_CF | 2),
	RUNS("iopl3_popf", c_popf_0, FL_IOPL | FL_IF | FL_CF, FL_IF | FL_IOPL | FL_CF | FL_VM, FL_IOPL | FL_VM, ~0u),
	RUNS("iopl3_popfd", c_popfd, FL_IOPL, FL_IF | FL_IOPL | FL_CF | FL_VM, FL_IF | FL_CF | FL_IOPL | FL_VM, ~0u),
	RUNS("iopl3_iret", c_iret_if, FL_IOPL, FL_IF | FL_IOPL | FL_CF | FL_VM, FL_IF | FL_CF | FL_IOPL | FL_VM, ~0u),
	RUNS("iopl3_iretd", c_iretd, FL_IOPL, FL_IF | FL_IOPL | FL_CF | FL_VM, FL_IF | FL_CF | FL_IOPL | FL_VM, ~0u),
	ROW("iopl3_int20", c_int20, FL_IOPL, GP, 0x20 * 8 + 2, FL_VM, FL_VM, ~0u, false),	/* a gate of DPL 0 */
	ROW("iopl3_int80", c_int80, FL_IOPL | FL_IF, USER_EXIT, 0, FL_VM | FL_IF | FL_IOPL, FL_VM | FL_IF | FL_IOPL, ~0u, true),
	DENIED("hlt", c_hlt, FL_IOPL), DENIED("lgdt", c_lgdt, FL_IOPL), DENIED("mov_cr0", c_cr0, FL_IOPL),
	DENIED("lmsw", c_lmsw, FL_IOPL), DENIED("clts", c_clts, FL_IOPL), DENIED("rdmsr", c_rdmsr, FL_IOPL),
	RUNS("smsw", c_smsw, 0, FL_VM, FL_VM, 1),
	ROW("sldt", c_sldt, FL_IOPL, UD, 0, FL_VM, FL_VM, ~0u, false), ROW("str", c_str, FL_IOPL, UD, 0, FL_VM, FL_VM, ~0u, false),
	ROW("lar", c_lar, FL_IOPL, UD, 0, FL_VM, FL_VM, ~0u, false), ROW("verr", c_verr, FL_IOPL, UD, 0, FL_VM, FL_VM, ~0u, false),
	ROW("arpl", c_arpl, FL_IOPL, UD, 0, FL_VM, FL_VM, ~0u, false),
	/* ports: the bitmap alone decides */
	RUNS("in_allowed", c_in_allowed, 0, FL_VM, FL_VM, 0xa510), DENIED("in_denied", c_in_denied, FL_IOPL),
	DENIED("out_denied", c_out_denied, FL_IOPL), DENIED("in_partly", c_in_partly, 0),
	/* segments of 64 KiB at sixteen times the selector */
	DENIED("limit", c_limit, 0), DENIED("limit32", c_limit32, 0),
	ROW("stack_limit", c_stack_limit, 0, SS, 0, FL_VM, FL_VM, ~0u, false),
	RUNS("segments", c_segments, 0, FL_VM, FL_VM, 0x1234), RUNS("base", c_base, 0, FL_VM, FL_VM, 0x5a),
	RUNS("far_jump", c_far_jump, 0, FL_VM, FL_VM, 0x1ff0), RUNS("far_call", c_far_call, 0, FL_VM, FL_VM, 7),
	ROW("step", c_nop, FL_TF, DB, 0, FL_VM | FL_TF, FL_VM | FL_TF, ~0u, true),
};

/* CR4.VME: the virtual interrupt flag in place of IF for IOPL below 3. */
#define VFLAGS	(FL_VM | FL_IF | FL_VIF | FL_VIP | FL_IOPL)
static const struct row vme[] = {
	RUNS("cli", c_cli, FL_IF | FL_VIF, VFLAGS, FL_VM | FL_IF, ~0u),
	RUNS("sti", c_sti, 0, VFLAGS, FL_VM | FL_VIF, ~0u),
	RUNS("sti_if", c_sti, FL_IF, VFLAGS, FL_VM | FL_IF | FL_VIF, ~0u),
	DENIED("sti_pending", c_sti, FL_VIP),
	RUNS("cli_pending", c_cli, FL_VIP | FL_VIF, VFLAGS, FL_VM | FL_VIP, ~0u),
	RUNS("pushf", c_pushf, FL_VIF, VFLAGS, FL_VM | FL_VIF, FL_IOPL | FL_IF | 2),
	RUNS("pushf_if", c_pushf, FL_IF, VFLAGS, FL_VM | FL_IF, FL_IOPL | 2),
	RUNS("popf", c_popf_if, 0, VFLAGS | FL_CF, FL_VM | FL_VIF | FL_CF, ~0u),
	RUNS("popf_0", c_popf_0, FL_IF | FL_VIF, VFLAGS, FL_VM | FL_IF, ~0u),
	DENIED("popf_pending", c_popf_if, FL_VIP), DENIED("popf_tf", c_popf_tf, 0),
	RUNS("popf_0_pending", c_popf_0, FL_VIP | FL_VIF, VFLAGS, FL_VM | FL_VIP, ~0u),
	DENIED("pushfd", c_pushfd, 0), DENIED("popfd", c_popfd, 0),
	RUNS("iret", c_iret_if, 0, VFLAGS | FL_CF, FL_VM | FL_VIF | FL_CF, ~0u),
	RUNS("iret_0", c_iret_0, FL_IF | FL_VIF, VFLAGS, FL_VM | FL_IF, ~0u),
	DENIED("iret_pending", c_iret_if, FL_VIP), DENIED("iret_tf", c_iret_tf, 0), DENIED("iretd", c_iretd, 0),
	/* IOPL 3: IF itself, whatever is pending */
	RUNS("iopl3_cli", c_cli, FL_IOPL | FL_IF | FL_VIF, VFLAGS, FL_VM | FL_VIF | FL_IOPL, ~0u),
	RUNS("iopl3_sti", c_sti, FL_IOPL | FL_VIP, VFLAGS, FL_VM | FL_IF | FL_VIP | FL_IOPL, ~0u),
	RUNS("iopl3_pushf", c_pushf, FL_IOPL | FL_VIF, VFLAGS, FL_VM | FL_VIF | FL_IOPL, FL_IOPL | 2),
	RUNS("iopl3_popf", c_popf_if, FL_IOPL | FL_VIP, VFLAGS, FL_VM | FL_VIP | FL_IF | FL_IOPL, ~0u),
	/* vector 0x80 goes to the IDT by the bitmap */
	DENIED("int80", c_int80, FL_VIF),
	ROW("iopl3_int80", c_int80, FL_IOPL, USER_EXIT, 0, FL_VM | FL_IOPL, FL_VM | FL_IOPL, ~0u, true),
	ROW("int3", c_int3, 0, BP, 0, FL_VM, FL_VM, ~0u, true),	/* never redirected */
	ROW("into", c_into, 0, OF, 0, FL_VM, FL_VM, ~0u, true),
};

static char name_buf[40];
static const char *prefixed(const char *prefix, const char *name)
{
	char *p = name_buf;

	while (*prefix)
		*p++ = *prefix++;
	while (*name)
		*p++ = *name++;
	*p = 0;
	return name_buf;
}

static void run_rows(const char *prefix, const struct row *r, unsigned int n)
{
	for (; n--; r++) {
		const char *name = prefixed(prefix, r->name);
		bool to_end = r->vector == RUN_TO_END;
		u32 ip = to_end ? r->end - r->code : (r->after ? r->end : r->at) - r->code;

		go(r->code, r->end, r->flags, 0xa5a5);
		report(name, "vector", trap.vector, to_end ? UD : r->vector);
		if (trap.vector != (to_end ? UD : r->vector))
			continue;
		report(name, "error", trap.error, r->error);
		report(name, "ip", trap.ip, ip);
		report(name, "cs", trap.cs & 0xffff, CODE_SEG);
		report(name, "flags", trap.flags & r->fmask, r->fwant);
		if (r->ax != ~0u)
			report(name, "ax", trap.ax & 0xffff, r->ax);
	}
}

/* What is on the ring 0 stack and in the segment registers on the way out. */
static void entry_and_exit(void)
{
	static const u32 want[4] = { 0x4321, 0x5432, 0x6543, 0x7654 };

	handler[UD] = note_segments;
	go(c_nop, c_nop_end, 0, 0x1234);
	report("out", "vector", trap.vector, UD);
	report("out", "ip", trap.ip, 1);
	report("out", "sp", trap.sp, STACK_TOP);
	report("out", "ss", trap.ss & 0xffff, STACK_SEG);
	report("out", "ax", trap.ax & 0xffff, 0x1234);
	for (unsigned int i = 0; i < 4; i++) {
		report("out", "segment", segs_pushed[i] & 0xffff, want[i]);
		report("out", "null", segs_in_handler[i] & 0xffff, 0);
	}
}

/* INT n by the vector table at linear address 0. */
static void redirected(const char *name, u32 flags, u32 image, u32 fmask, u32 fwant)
{
	const volatile u16 *stack = (u16 *)(STACK_SEG * 16 + STACK_TOP - 6);

	*(volatile u32 *)(0x20 * 4) = CODE_SEG << 16 | HANDLER;
	go(c_int20, c_int20_end, flags, 0);
	report(name, "vector", trap.vector, UD);
	report(name, "ip", trap.ip, HANDLER);
	report(name, "sp", trap.sp & 0xffff, STACK_TOP - 6);
	report(name, "return_ip", stack[0], c_int20_end - c_int20);
	report(name, "return_cs", stack[1], CODE_SEG);
	report(name, "image", stack[2], image);
	report(name, "flags", trap.flags & fmask, fwant);
}

static void redirection(void)
{
	redirected("vme_int20", FL_IF | FL_VIF | FL_CF, FL_IOPL | FL_IF | FL_CF | 2, VFLAGS | FL_CF, FL_VM | FL_IF | FL_CF);
	redirected("vme_int20_masked", FL_IF, FL_IOPL | 2, VFLAGS, FL_VM | FL_IF);
	redirected("vme_int20_pending", FL_VIP | FL_VIF, FL_IOPL | FL_IF | 2, VFLAGS, FL_VM | FL_VIP);
	redirected("vme_iopl3_int20", FL_IOPL | FL_IF | FL_VIF, FL_IOPL | FL_IF | 2, VFLAGS, FL_VM | FL_VIF | FL_IOPL);
}

/* An interrupt of the machine's goes by IF, whatever the virtual flag says. */
static void hardware_interrupts(void)
{
	volatile u32 *apic = (u32 *)0xfee00000;
	static const struct {
		const char *name;
		u32 cr4, flags;
		bool taken;
	} rows[] = {
		{ "irq", 0, FL_IF, true }, { "irq_masked", 0, 0, false },
		{ "irq_vme", CR4_VME, FL_IF, true }, { "irq_vme_vif", CR4_VME, FL_VIF, false },
	};

	apic[0xf0 / 4] = 0x1ff;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		wr_cr4((rd_cr4() & ~CR4_VME) | rows[i].cr4);
		apic[0x310 / 4] = 0;
		apic[0x300 / 4] = 0x44050;		/* to itself, vector 0x50 */
		go(c_nop, c_nop_end, rows[i].flags, 0);
		report(rows[i].name, "vector", trap.vector, rows[i].taken ? 0x50 : UD);
		report(rows[i].name, "ip", trap.ip, rows[i].taken ? 0 : 1);
		report(rows[i].name, "flags", trap.flags & VFLAGS, rows[i].flags | FL_VM);
		if (!rows[i].taken) {
			/* take it now */
			try_kernel((const void *)"\xfb\x90\xc3", 0);
			report(rows[i].name, "later", trap.vector, 0x50);
		}
		apic[0xb0 / 4] = 0;
	}
	wr_cr4(rd_cr4() & ~CR4_VME);
}

/* CR4.PVI: CLI and STI of ring 3 in protected mode. SDM 3B 20.4 */
SNIPPET(user_cli, "", "cli");
SNIPPET(user_sti, "", "sti");
SNIPPET(user_pushf, "pushf", "pop %eax");

static void pvi(const char *name, const void *fn, const void *at, u32 flags, ul vector, u32 want)
{
	try_user_flags(fn, 0, flags | 2);
	check_trap(name, vector, 0, vector == NONE ? NULL : at);
	report(name, "flags", trap.flags & (FL_IF | FL_VIF | FL_VIP), want);
}

static void protected_mode(void)
{
	pvi("no_pvi_cli", user_cli, user_cli_at, FL_IF, GP, FL_IF);
	wr_cr4(rd_cr4() | CR4_PVI);
	pvi("pvi_cli", user_cli, user_cli_at, FL_IF | FL_VIF, NONE, FL_IF);
	pvi("pvi_sti", user_sti, user_sti_at, FL_IF, NONE, FL_IF | FL_VIF);
	pvi("pvi_sti_pending", user_sti, user_sti_at, FL_VIP, GP, FL_VIP);
	pvi("pvi_iopl3_cli", user_cli, user_cli_at, FL_IOPL | FL_IF | FL_VIF, NONE, FL_VIF);
	/* PUSHF shows IF as it is */
	pvi("pvi_pushf", user_pushf, user_pushf_at, FL_VIF, NONE, FL_VIF);
	report("pvi_pushf", "image", trap.ax & (FL_IF | FL_IOPL), 0);
	wr_cr4(rd_cr4() & ~CR4_PVI);
}

int main(u32 step)
{
	memset(&tss, 0, sizeof(tss));
	tss.regs[1] = (ul)trap_stack_top;
	tss.regs[2] = SEL_DATA;
	*(u16 *)((u8 *)tss.regs + 102) = offsetof(typeof(tss), ports);
	memset(tss.ports, 0xff, sizeof(tss.ports) + 1);
	tss.ports[0x5f0 / 8] = 0;		/* 0x5f0 to 0x5f7 */
	tss.redirect[0x80 / 8] = 1;
	gdt[SEL_TSS / 8] = descriptor((u32)(ul)&tss, sizeof(tss) - 1, 0x89, 0);
	__asm__ volatile("ltr %w0" :: "r"(SEL_TSS));

	entry_and_exit();
	run_rows("", plain, ARRAY_SIZE(plain));
	if (!cpu_has(1, 0, 3, 1)) {
		skip("vme");
		return 0;
	}
	hardware_interrupts();
	protected_mode();
	wr_cr4(rd_cr4() | CR4_VME);
	run_rows("vme_", vme, ARRAY_SIZE(vme));
	redirection();
	return 0;
}
