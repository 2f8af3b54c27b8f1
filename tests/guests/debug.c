// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * debug.c - single-step, breakpoint registers, DR6 and DR7.GD. SDM 3B 17.2, 17.3; DR6's bits 31:16 and 11:4 read as ones
 * (RTM's bit 16 and bus lock's bit 11 too where they are not used).
 */
#include "kit.h"

#define DR6_FIXED	0xffff0ff0ul
#define DR6_BS		BIT(14)
#define DR6_BD		BIT(13)
#define DR7_FIXED	0x400ul
#define DR7_GD		BIT(13)
/* enable n locally, kind 0 execution, 1 write, 3 read or write; length 0: 1 byte, 1: 2, 3: 4, 2: 8 */
#define DR7_ENABLE(n, kind, len)	((ul)BIT(2 * (n)) | (ul)(kind) << (16 + 4 * (n)) | (ul)(len) << (18 + 4 * (n)))

#define MAX_HITS	32
static volatile unsigned int hits;
static volatile ul hit_ip[MAX_HITS], hit_dr6[MAX_HITS];
static volatile ul set_flags, clear_flags = FL_TF;

/* Notes each #DB and lets the code go on. */
static void on_debug(struct frame *f)
{
	if (hits < MAX_HITS) {
		hit_ip[hits] = f->ip;
		hit_dr6[hits] = rd_dr6();
	}
	hits = hits + 1;
	wr_dr6(0);
	f->flags = (f->flags & ~clear_flags) | set_flags;
}

static void start(ul dr7, ul set, ul clear)
{
	hits = 0;
	set_flags = set;
	clear_flags = clear;
	handler[DB] = on_debug;
	wr_dr6(0);
	wr_dr7(DR7_FIXED | dr7);
}

static void finish(void)
{
	__asm__ volatile("push $2; popf" ::: "memory", "cc");
	wr_dr7(DR7_FIXED);
	handler[DB] = NULL;
}

static volatile u64 watched __attribute__((aligned(16)));

/* POPF sets TF: the trap comes after the instruction behind it */
SNIPPET(step3, "pushf; orl $0x100, (" R(sp) "); popf", "nop; nop; inc %eax; pushf; andl $~0x100, (" R(sp) "); popf");
SNIPPET(step_str, "push " R(di) "; push " R(si) "; mov $3, %ecx; mov " R(di) ", " R(si) "; pushf; orl $0x100, (" R(sp) "); popf",
	"rep lodsb; pop " R(si) "; pop " R(di));
SNIPPET(step_ss, "mov %ss, %eax; pushf; orl $0x100, (" R(sp) "); popf", "mov %eax, %ss; nop; nop");
SNIPPET(step_int3, "pushf; orl $0x100, (" R(sp) "); popf", "int3");
SNIPPET(step_ud, "pushf; orl $0x100, (" R(sp) "); popf", "ud2");
SNIPPET(step_out, "mov $0x5f0, %edx; pushf; orl $0x100, (" R(sp) "); popf", "in (%dx), %al; nop");
SNIPPET(step_cpuid, "push " R(bx) "; xor %eax, %eax; pushf; orl $0x100, (" R(sp) "); popf",
	"cpuid; pushf; andl $~0x100, (" R(sp) "); popf; pop " R(bx));
SNIPPET(bp_code, "xor %eax, %eax", "inc %eax; inc %eax");
SNIPPET(bp_write, "mov $5, %eax", "mov %eax, (" R(di) "); nop");
SNIPPET(bp_read, "", "mov (" R(di) "), %eax; nop");
SNIPPET(bp_byte3, "", "movb $1, 3(" R(di) "); nop");
SNIPPET(bp_beyond, "", "movb $1, 4(" R(di) "); nop");
SNIPPET(bp_span, "mov $5, %eax", "mov %eax, -3(" R(di) "); nop");
SNIPPET(gd_read, "", "mov %dr0, " R(ax));
SNIPPET(gd_write, "xor %eax, %eax", "mov " R(ax) ", %dr6");
SNIPPET(dr4_read, "", ".byte 0x0f, 0x21, 0xe0");
SNIPPET(icebp_code, "", ".byte 0xf1; nop");

static void single_step(void)
{
	start(0, 0, 0);
	try_kernel(step3, 0);
	/* nop, nop, inc, pushf, andl, popf: five with TF set at their start, and popf itself, whose TF was set too */
	check("step.count", hits, 6);
	report("step", "first", hit_ip[0] - (ul)step3_at, 1);
	report("step", "second", hit_ip[1] - (ul)step3_at, 2);
	report("step", "dr6", hit_dr6[0], DR6_FIXED | DR6_BS);
	finish();
	/* each iteration of a repeated string instruction */
	start(0, 0, 0);
	set_flags = 0;
	try_kernel(step_str, (ul)&watched);
	check("step_rep.iterations", hit_ip[0] == (ul)step_str_at && hit_ip[1] == (ul)step_str_at &&
	      hit_ip[2] == (ul)step_str_at + 2, 1);
	finish();
	/* MOV SS holds the trap off for one instruction */
	start(0, 0, 0);
	try_kernel(step_ss, 0);
	report("step_ss", "first", hit_ip[0] - (ul)step_ss_at, 3);
	finish();
	/* the handler of INT3 starts with TF clear, and the frame has it set */
	start(0, 0, FL_TF);
	try_kernel(step_int3, 0);
	check_trap("step_int3", BP, 0, step_int3_next);
	report("step_int3", "tf", !!(trap.flags & FL_TF), 1);
	report("step_int3", "hits", hits, 0);
	finish();
	start(0, 0, FL_TF);
	try_kernel(step_ud, 0);
	check_trap("step_ud", UD, 0, step_ud_at);
	report("step_ud", "tf", !!(trap.flags & FL_TF), 1);
	report("step_ud", "hits", hits, 0);
	finish();
	/* instructions that leave guest mode */
	start(0, 0, FL_TF);
	try_kernel(step_out, 0);
	report("step_in", "hits", hits, 1);
	report("step_in", "first", hit_ip[0] - (ul)step_out_at, 1);
	finish();
	start(0, 0, FL_TF);
	try_kernel(step_cpuid, 0);
	report("step_cpuid", "first", hit_ip[0] - (ul)step_cpuid_at, 2);
	finish();
	/* from IRET to user mode: the trap is after the first instruction there */
	start(0, 0, FL_TF);
	try_user_flags(bp_code, 0, 2 | FL_TF);
	check_trap("step_user", NONE, 0, NULL);
	report("step_user", "first", hit_ip[0] - (ul)bp_code, 2);
	finish();
}

static void breakpoints(void)
{
	/* an instruction breakpoint is a fault before the instruction; RF in the returned flags lets it run */
	wr_dr0((ul)bp_code_at);
	start(DR7_ENABLE(0, 0, 0), FL_RF, 0);
	try_kernel(bp_code, 0);
	report("bp_code", "hits", hits, 1);
	report("bp_code", "rip", hit_ip[0] - (ul)bp_code_at, 0);
	report("bp_code", "dr6", hit_dr6[0], DR6_FIXED | 1);
	finish();
	wr_dr0(0);
	wr_dr3((ul)bp_code_at);
	start(DR7_ENABLE(3, 0, 0), FL_RF, 0);
	try_user(bp_code, 0);
	report("bp_code_user", "hits", hits, 1);
	report("bp_code_user", "dr6", hit_dr6[0], DR6_FIXED | 8);
	finish();
	start(0, FL_RF, 0);
	try_kernel(bp_code, 0);
	report("bp_disabled", "hits", hits, 0);
	finish();
	/* data breakpoints are traps after the access */
	wr_dr3(0);
	wr_dr1((ul)&watched);
	start(DR7_ENABLE(1, 1, 3), 0, 0);
	watched = 0;
	hits = 0;
	try_kernel(bp_write, (ul)&watched);
	report("bp_write", "hits", hits, 1);
	report("bp_write", "rip", hit_ip[0] - (ul)bp_write_at, IS64 ? 2 : 2);
	report("bp_write", "dr6", hit_dr6[0], DR6_FIXED | 2);
	report("bp_write", "done", watched, 5);
	hits = 0;
	try_kernel(bp_read, (ul)&watched);
	report("bp_write", "read", hits, 0);
	try_kernel(bp_byte3, (ul)&watched);
	report("bp_write", "byte3", hits, 1);
	hits = 0;
	try_kernel(bp_beyond, (ul)&watched);
	report("bp_write", "beyond", hits, 0);
	try_kernel(bp_span, (ul)&watched);
	report("bp_write", "span", hits, 1);
	finish();
	wr_dr1(0);
	wr_dr2((ul)&watched);
	start(DR7_ENABLE(2, 3, 3), 0, 0);
	try_kernel(bp_read, (ul)&watched);
	report("bp_rw", "read", hits, 1);
	report("bp_rw", "dr6", hit_dr6[0], DR6_FIXED | 4);
	hits = 0;
	try_user(bp_read, (ul)&watched);
	report("bp_rw", "user", hits, 1);
	report("bp_rw", "rip", hit_ip[0] - (ul)bp_read_at, 2);
	finish();
}

static void general_detect(void)
{
	start(0, 0, 0);
	handler[DB] = NULL;
	wr_dr7(DR7_FIXED | DR7_GD);
	try_kernel(gd_read, 0);
	check_trap("gd_read", DB, 0, gd_read_at);
	/* the processor has cleared GD for the handler */
	report("gd", "dr6", rd_dr6(), DR6_FIXED | DR6_BD);
	report("gd", "dr7", rd_dr7(), DR7_FIXED);
	wr_dr6(0);
	wr_dr7(DR7_FIXED | DR7_GD);
	try_kernel(gd_write, 0);
	check_trap("gd_write", DB, 0, gd_write_at);
	wr_dr6(0);
	wr_dr7(DR7_FIXED);
	/* DR4 is DR6 unless CR4.DE */
	try_kernel(dr4_read, 0);
	check_trap("dr4", NONE, 0, NULL);
	wr_cr4(rd_cr4() | CR4_DE);
	try_kernel(dr4_read, 0);
	check_trap("dr4_de", UD, 0, dr4_read_at);
	wr_cr4(rd_cr4() & ~CR4_DE);
	/* fixed bits */
	wr_dr6(0);
	check("dr6_fixed", rd_dr6(), DR6_FIXED);
	wr_dr7(0);
	check("dr7_fixed", rd_dr7(), DR7_FIXED);
#ifdef __x86_64__
	{
		static const u8 over[] = { 0x48, 0xb8, 0, 0, 0, 0, 1, 0, 0, 0, 0x0f, 0x23, 0xf8, 0xc3 };

		try_kernel(over, 0);		/* mov $1 << 32, %rax; mov %rax, %dr7 */
		check_trap("dr7_high", GP, 0, over + 10);
	}
#endif
}

int main(u32 step)
{
	single_step();
	breakpoints();
	general_detect();
	return 0;
}
