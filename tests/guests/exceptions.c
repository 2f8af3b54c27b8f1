// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * exceptions.c - every exception from an instruction: vector, error code, pushed RIP and flags. SDM 3A chapter 6, the
 * instructions' pages in SDM 2; APM 2 chapter 8. Faults push the instruction's address and RF, traps the next one's.
 */
#include "kit.h"

/* -- one instruction, one exception ---------------------------------------------------------------------------- */

SNIPPET(de_zero, "xor %ecx, %ecx; mov $5, %eax; cltd", "div %ecx");
SNIPPET(de_overflow, "mov $0x80000000, %eax; mov $-1, %edx; mov $-1, %ecx", "idiv %ecx");
SNIPPET(de_byte, "mov $0x1234, %eax; mov $2, %cl", "div %cl");
SNIPPET(bp_int3, "", "int3");
SNIPPET(bp_cd, "", ".byte 0xcd, 3");
SNIPPET(db_icebp, "", ".byte 0xf1");
SNIPPET(int_n, "", "int $0x91");
SNIPPET(ud_ud2, "", "ud2");
SNIPPET(ud_ud1, "", "ud1 %eax, %eax");
SNIPPET(ud_lock_mov, "", ".byte 0xf0, 0x89, 0xc0");
SNIPPET(ud_lock_reg, "", ".byte 0xf0, 0x01, 0xc0");
SNIPPET(ud_lock_cmp, "", ".byte 0xf0, 0x39, 0x07");
SNIPPET(ud_mov_cs, "mov $8, %eax", ".byte 0x8e, 0xc8");
SNIPPET(ud_sreg6, "", ".byte 0x8c, 0xf0");
SNIPPET(ud_cr1, "", ".byte 0x0f, 0x20, 0xc8");
SNIPPET(ud_lea_reg, "", ".byte 0x8d, 0xc0");
SNIPPET(ud_cx8_reg, "", ".byte 0x0f, 0xc7, 0xc8");
SNIPPET(ud_c6_7, "", ".byte 0xc6, 0xc8, 0x00");
SNIPPET(ud_fe_7, "", ".byte 0xfe, 0xf8");
SNIPPET(ud_0f04, "", ".byte 0x0f, 0x04");
SNIPPET(ud_rsm, "", "rsm");
SNIPPET(gp_long, "", ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
SNIPPET(ok_15, "", ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
SNIPPET(gp_rdmsr, "mov $0x12345678, %ecx", "rdmsr");
SNIPPET(gp_wrmsr, "mov $0x12345678, %ecx", "wrmsr");
SNIPPET(gp_efer, "mov $0xc0000080, %ecx; rdmsr; or $0x80, %edx", "wrmsr");
SNIPPET(gp_apicbase, "mov $0x1b, %ecx; rdmsr; or $0x80000000, %edx", "wrmsr");
SNIPPET(gp_cr4, "mov %cr4, " R(ax) "; or $0x80000000, %eax", "mov " R(ax) ", %cr4");
SNIPPET(gp_cr0_nw, "mov %cr0, " R(ax) "; or $0x20000000, %eax; and $~0xe00000, %eax", "mov " R(ax) ", %cr0");
SNIPPET(gp_cr0_pg, "mov %cr0, " R(ax) "; or $0x80000000, %eax; and $~1, %eax", "mov " R(ax) ", %cr0");
SNIPPET(xsetbv_0, "xor %ecx, %ecx; xor %edx, %edx; xor %eax, %eax", "xsetbv");
SNIPPET(fx_wait, "fninit; fnstcw -4(" R(sp) "); andw $~4, -4(" R(sp) "); fldcw -4(" R(sp) "); fld1; fldz; fdivrp",
	"fwait");
SNIPPET(fx_next, "fninit; fnstcw -4(" R(sp) "); andw $~4, -4(" R(sp) "); fldcw -4(" R(sp) "); fld1; fldz; fdivrp",
	"fld1");
SNIPPET(fx_nowait, "fninit; fnstcw -4(" R(sp) "); andw $~4, -4(" R(sp) "); fldcw -4(" R(sp) "); fld1; fldz; fdivrp",
	"fnstsw %ax; fnclex");
SNIPPET(xm_div, "stmxcsr -4(" R(sp) "); andl $~0x200, -4(" R(sp) "); ldmxcsr -4(" R(sp) "); xorps %xmm1, %xmm1; "
	"mov $0x3f800000, %eax; movd %eax, %xmm0", "divss %xmm1, %xmm0");
SNIPPET(xm_reset, "movl $0x1f80, -4(" R(sp) ")", "ldmxcsr -4(" R(sp) ")");
SNIPPET(gp_mxcsr, "movl $0x80001f80, -4(" R(sp) ")", "ldmxcsr -4(" R(sp) ")");
SNIPPET(gp_movaps, "lea -33(" R(sp) "), " R(ax) "; or $1, %eax", "movaps (" R(ax) "), %xmm0");
SNIPPET(ok_movups, "lea -33(" R(sp) "), " R(ax) "; or $1, %eax", "movups (" R(ax) "), %xmm0");
SNIPPET(nm_fpu, "", "fnop");
SNIPPET(nm_mmx, "", "emms");
SNIPPET(nm_sse, "", "xorps %xmm0, %xmm0");
SNIPPET(nm_wait, "", "fwait");
SNIPPET(cpl_cli, "", "cli");
SNIPPET(cpl_sti, "", "sti");
SNIPPET(cpl_hlt, "", "hlt");
SNIPPET(cpl_in, "", "in $0x80, %al");
SNIPPET(cpl_out, "", "out %al, $0x80");
SNIPPET(cpl_cr0, "", "mov %cr0, " R(ax));
SNIPPET(cpl_cr3, "", "mov " R(ax) ", %cr3");
SNIPPET(cpl_dr7, "", "mov %dr7, " R(ax));
SNIPPET(cpl_rdmsr, "mov $0x10, %ecx", "rdmsr");
SNIPPET(cpl_lgdt, "", "lgdt -64(" R(sp) ")");
SNIPPET(cpl_lidt, "", "lidt -64(" R(sp) ")");
SNIPPET(cpl_ltr, "mov $0x30, %eax", "ltr %ax");
SNIPPET(cpl_lldt, "xor %eax, %eax", "lldt %ax");
SNIPPET(cpl_invlpg, "", "invlpg (" R(sp) ")");
SNIPPET(cpl_wbinvd, "", "wbinvd");
SNIPPET(cpl_clts, "", "clts");
SNIPPET(cpl_lmsw, "", "lmsw %ax");
SNIPPET(cpl_int80, "", "int $0x20");
SNIPPET(cpl_smsw, "", "smsw %ax");
SNIPPET(cpl_rdtsc, "", "rdtsc");
SNIPPET(sel_beyond, "mov $0xff8, %eax", "mov %eax, %ds");
SNIPPET(sel_load, "mov %edi, %eax", "mov %eax, %es");
SNIPPET(sel_ss, "mov %edi, %eax", "mov %eax, %ss");
SNIPPET(sel_ltr, "mov %edi, %eax", "ltr %ax");
SNIPPET(sel_lldt, "mov %edi, %eax", "lldt %ax");

#ifdef __x86_64__
SNIPPET(de_64, "xor %ecx, %ecx; mov $5, %eax; cqto", "idiv %rcx");
SNIPPET(de_64_high, "mov $1, %edx; xor %eax, %eax; mov $1, %ecx", "div %rcx");
SNIPPET(ud_push_es, "", ".byte 0x06");
SNIPPET(ud_pop_ds, "", ".byte 0x1f");
SNIPPET(ud_daa, "", ".byte 0x27");
SNIPPET(ud_aam, "", ".byte 0xd4, 0x0a");
SNIPPET(ud_pusha, "", ".byte 0x60");
SNIPPET(ud_into, "", ".byte 0xce");
SNIPPET(ud_82, "", ".byte 0x82, 0xc0, 0x01");
SNIPPET(ud_far_jmp, "", ".byte 0xea, 0, 0, 0, 0, 8, 0");
SNIPPET(ud_far_call, "", ".byte 0x9a, 0, 0, 0, 0, 8, 0");
SNIPPET(nc_read, "mov $0x800000000000, %rax", "mov (%rax), %ecx");
SNIPPET(nc_write, "mov $0x800000000000, %rax", "mov %ecx, (%rax)");
SNIPPET(nc_rbp, "mov $0x800000000000, %rbp", "mov (%rbp), %ecx");
SNIPPET(nc_fs, "mov $0x800000000000, %rbp", "mov %fs:(%rbp), %ecx");
SNIPPET(nc_push, "mov $0x800000000010, %rsp", "push %rax");
SNIPPET(nc_call, "mov $0x800000000000, %rax", "call *%rax");
SNIPPET(pf_read, "mov $0xe00000, %eax", "mov (%rax), %ecx");
SNIPPET(pf_write, "mov $0xe00008, %eax", "mov %ecx, (%rax)");
SNIPPET(pf_rmw, "mov $0xe00010, %eax", "addl $1, (%rax)");
SNIPPET(pf_cmp, "mov $0xe00010, %eax", "cmpl $1, (%rax)");
SNIPPET(pf_exec, "mov $0xe00020, %eax; call *%rax", "nop");
SNIPPET(pf_push, "mov $0xe00108, %esp", "push %rax");
SNIPPET(pf_cross, "mov $0xdffffd, %eax", "mov (%rax), %ecx");
SNIPPET(flags_mov, "mov $0xe00000, %eax; stc; sbb %ecx, %ecx; stc", "mov (%rax), %ecx");
#else
SNIPPET(of_into, "mov $0x7fffffff, %eax; add $1, %eax", "into");
SNIPPET(of_none, "xor %eax, %eax", "into");
SNIPPET(br_bound, "movl $1, -8(%esp); movl $4, -4(%esp); mov $5, %eax", "bound %eax, -8(%esp)");
SNIPPET(br_inside, "movl $1, -8(%esp); movl $4, -4(%esp); mov $4, %eax", "bound %eax, -8(%esp)");
SNIPPET(de_aam0, "", "aam $0");
SNIPPET(limit_ds, "mov %edi, %eax; mov %eax, %es", "mov %es:0xffe, %eax");
SNIPPET(limit_ok, "mov %edi, %eax; mov %eax, %es", "mov %es:0xffc, %eax");
SNIPPET(limit_write, "mov %edi, %eax; mov %eax, %es", "movb $0, %es:0x1000");
SNIPPET(null_read, "xor %eax, %eax; mov %eax, %es", "mov %es:0, %eax");
SNIPPET(null_load, "xor %eax, %eax", "mov %eax, %es");
SNIPPET(ss_read, "mov %ss, %ecx; mov %edi, %eax; mov %eax, %ss; mov %ss:0x1000, %eax", "nop");
SNIPPET(ss_push, "mov $2, %esp; mov %edi, %eax; mov %eax, %ss", "push %eax");
SNIPPET(cs_write, "", "movl $0, %cs:-16(%esp)");
SNIPPET(xonly_read, "mov %edi, %eax; mov %eax, %es", "nop");
#endif

static const struct row {
	const char *name;
	const u8 *fn, *at;
	u16 vector, error;
	bool user, trap;
} rows[] = {
#define FAULT(n, vec, err)	{ #n, n, n##_at, vec, err, false, false }
#define TRAP(n, vec)		{ #n, n, n##_next, vec, 0, false, true }
#define CPL3(n, vec, err)	{ #n, n, n##_at, vec, err, true, false }
#define RUNS(n)			{ #n, n, NULL, NONE, 0, false, true }
	FAULT(de_zero, DE, 0), FAULT(de_overflow, DE, 0), FAULT(de_byte, DE, 0),
	TRAP(bp_int3, BP), TRAP(bp_cd, BP), TRAP(db_icebp, DB), TRAP(int_n, 0x91),
	FAULT(ud_ud2, UD, 0), FAULT(ud_ud1, UD, 0), FAULT(ud_lock_mov, UD, 0), FAULT(ud_lock_reg, UD, 0),
	FAULT(ud_lock_cmp, UD, 0), FAULT(ud_mov_cs, UD, 0), FAULT(ud_sreg6, UD, 0), FAULT(ud_cr1, UD, 0),
	FAULT(ud_lea_reg, UD, 0), FAULT(ud_cx8_reg, UD, 0), FAULT(ud_c6_7, UD, 0), FAULT(ud_fe_7, UD, 0),
	FAULT(ud_0f04, UD, 0), FAULT(ud_rsm, UD, 0),
	FAULT(gp_long, GP, 0), RUNS(ok_15),
	FAULT(gp_rdmsr, GP, 0), FAULT(gp_wrmsr, GP, 0), FAULT(gp_efer, GP, 0), FAULT(gp_apicbase, GP, 0),
	FAULT(gp_cr4, GP, 0), FAULT(gp_cr0_nw, GP, 0), FAULT(gp_cr0_pg, GP, 0),
	CPL3(cpl_cli, GP, 0), CPL3(cpl_sti, GP, 0), CPL3(cpl_hlt, GP, 0), CPL3(cpl_in, GP, 0), CPL3(cpl_out, GP, 0),
	CPL3(cpl_cr0, GP, 0), CPL3(cpl_cr3, GP, 0), CPL3(cpl_dr7, GP, 0), CPL3(cpl_rdmsr, GP, 0), CPL3(cpl_lgdt, GP, 0),
	CPL3(cpl_lidt, GP, 0), CPL3(cpl_ltr, GP, 0), CPL3(cpl_lldt, GP, 0), CPL3(cpl_invlpg, GP, 0),
	CPL3(cpl_wbinvd, GP, 0), CPL3(cpl_clts, GP, 0), CPL3(cpl_lmsw, GP, 0), CPL3(cpl_int80, GP, 0x20 * 8 + 2),
	CPL3(de_zero, DE, 0), CPL3(ud_ud2, UD, 0), CPL3(gp_long, GP, 0),
	FAULT(sel_beyond, GP, 0xff8),
#ifdef __x86_64__
	FAULT(de_64, DE, 0), FAULT(de_64_high, DE, 0),
	FAULT(ud_push_es, UD, 0), FAULT(ud_pop_ds, UD, 0), FAULT(ud_daa, UD, 0), FAULT(ud_aam, UD, 0),
	FAULT(ud_pusha, UD, 0), FAULT(ud_into, UD, 0), FAULT(ud_82, UD, 0), FAULT(ud_far_jmp, UD, 0),
	FAULT(ud_far_call, UD, 0),
	/* SDM 3A 6.15: #SS for a non-canonical address off the stack segment, #GP for all others */
	FAULT(nc_read, GP, 0), FAULT(nc_write, GP, 0), FAULT(nc_rbp, SS, 0), FAULT(nc_fs, GP, 0), CPL3(nc_push, SS, 0),
	/* the RIP of this one: the call's (SDM) or the target (processors of AMD) */
	{ "nc_call", nc_call, NULL, GP, 0, false, false },
#else
	TRAP(of_into, OF), RUNS(of_none), FAULT(br_bound, BR, 0), RUNS(br_inside), FAULT(de_aam0, DE, 0),
	FAULT(null_read, GP, 0), RUNS(null_load), FAULT(cs_write, GP, 0),
#endif
};

static void table(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];

		if (r->user)
			try_user(r->fn, 0);
		else
			try_kernel(r->fn, 0);
		check_trap(r->name, r->vector, r->error, r->at);
		if (r->vector == NONE)
			continue;
		/* SDM 3B 17.3.1.1: RF is set in the image a fault pushes, clear in a trap's; the handler has it clear */
		report(r->name, "rf", !!(trap.flags & FL_RF), !r->trap);
		report(r->name, "entry", trap.entry_flags & (FL_RF | FL_TF | FL_NT | FL_IF), 0);
		if (r->user) {
			report(r->name, "cs", trap.cs, SEL_UCODE);
			report(r->name, "ss", trap.ss, SEL_UDATA);
		}
	}
}

/* -- x87 and vectors: CR0.EM, TS, MP, NE and CR4's bits. SDM 3A tables 2-2 and 13-1 ---------------------------------- */

static void vectors(void)
{
	ul cr0 = rd_cr0() & ~(CR0_EM | CR0_TS | CR0_MP), cr4 = rd_cr4() & ~(CR4_OSFXSR | CR4_OSXMMEXCPT);

	wr_cr4(cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT);
	wr_cr0(cr0 | CR0_NE | CR0_MP);
	try_kernel(nm_fpu, 0);
	check_trap("fpu", NONE, 0, NULL);
	wr_cr0(cr0 | CR0_NE | CR0_TS);
	try_kernel(nm_fpu, 0);
	check_trap("ts_fpu", NM, 0, nm_fpu_at);
	try_kernel(nm_mmx, 0);
	check_trap("ts_mmx", NM, 0, nm_mmx_at);
	try_kernel(nm_sse, 0);
	check_trap("ts_sse", NM, 0, nm_sse_at);
	try_kernel(nm_wait, 0);
	check_trap("ts_wait", NONE, 0, NULL);
	wr_cr0(cr0 | CR0_NE | CR0_TS | CR0_MP);
	try_kernel(nm_wait, 0);
	check_trap("ts_mp_wait", NM, 0, nm_wait_at);
	wr_cr0(cr0 | CR0_NE | CR0_EM);
	try_kernel(nm_fpu, 0);
	check_trap("em_fpu", NM, 0, nm_fpu_at);
	try_kernel(nm_mmx, 0);
	check_trap("em_mmx", UD, 0, nm_mmx_at);
	try_kernel(nm_sse, 0);
	check_trap("em_sse", UD, 0, nm_sse_at);
	wr_cr0(cr0 | CR0_NE | CR0_MP);
	wr_cr4(cr4);
	try_kernel(nm_sse, 0);
	check_trap("no_osfxsr", UD, 0, nm_sse_at);
	try_kernel(xsetbv_0, 0);
	check_trap("xsetbv_no_osxsave", UD, 0, xsetbv_0_at);
	wr_cr4(cr4 | CR4_OSFXSR);
	try_kernel(xm_div, 0);
	check_trap("xm_no_osxmmexcpt", UD, 0, xm_div_at);
	wr_cr4(cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT);
	try_kernel(xm_reset, 0);
	try_kernel(xm_div, 0);
	check_trap("xm", XM, 0, xm_div_at);
	try_kernel(xm_reset, 0);
	try_kernel(gp_mxcsr, 0);
	check_trap("mxcsr_reserved", GP, 0, gp_mxcsr_at);
	try_kernel(gp_movaps, 0);
	check_trap("movaps", GP, 0, gp_movaps_at);
	try_kernel(ok_movups, 0);
	check_trap("movups", NONE, 0, NULL);
	/* the exception comes with the next waiting instruction */
	try_kernel(fx_nowait, 0);
	check_trap("mf_nowait", NONE, 0, NULL);
	try_kernel(fx_wait, 0);
	check_trap("mf_wait", MF, 0, fx_wait_at);
	__asm__ volatile("fnclex");
	try_kernel(fx_next, 0);
	check_trap("mf_next", MF, 0, fx_next_at);
	__asm__ volatile("fninit");
	if (cpu_has(1, 0, 2, 26)) {
		wr_cr4(rd_cr4() | CR4_OSXSAVE);
		try_kernel(xsetbv_0, 0);	/* bit 0 must be set */
		check_trap("xsetbv_0", GP, 0, xsetbv_0_at);
		try_user(xsetbv_0, 0);
		check_trap("xsetbv_user", GP, 0, xsetbv_0_at);
		wr_cr4(rd_cr4() & ~CR4_OSXSAVE);
	}
}

/* -- alignment check: CR0.AM, EFLAGS.AC and ring 3. SDM 3A 6.15 ------------------------------------------------------ */

SNIPPET(ac_read, "lea 1(" R(di) "), " R(ax), "mov (" R(ax) "), %ecx");
SNIPPET(ac_write2, "lea 1(" R(di) "), " R(ax), "mov %cx, (" R(ax) ")");
SNIPPET(ac_byte, "lea 1(" R(di) "), " R(ax), "mov %cl, (" R(ax) ")");
SNIPPET(ac_push, "mov " R(sp) ", " R(dx) "; dec " R(sp), "push " R(ax));
static u8 ac_data[16] __attribute__((aligned(16)));

static void alignment(void)
{
	ul cr0 = rd_cr0();

	wr_cr0(cr0 | CR0_AM);
	try_user_flags(ac_read, (ul)ac_data, 2 | FL_AC);
	check_trap("ac_read", AC, 0, ac_read_at);
	report("ac_read", "rf", !!(trap.flags & FL_RF), 1);
	try_user_flags(ac_write2, (ul)ac_data, 2 | FL_AC);
	check_trap("ac_write2", AC, 0, ac_write2_at);
	try_user_flags(ac_push, (ul)ac_data, 2 | FL_AC);
	check_trap("ac_push", AC, 0, ac_push_at);
	try_user_flags(ac_byte, (ul)ac_data, 2 | FL_AC);
	check_trap("ac_byte", NONE, 0, NULL);
	try_user_flags(ac_read, (ul)ac_data + 3, 2 | FL_AC);
	check_trap("ac_aligned", NONE, 0, NULL);
	try_user(ac_read, (ul)ac_data);
	check_trap("ac_no_flag", NONE, 0, NULL);
	wr_cr0(cr0 & ~CR0_AM);
	try_user_flags(ac_read, (ul)ac_data, 2 | FL_AC);
	check_trap("ac_no_am", NONE, 0, NULL);
	wr_cr0(cr0);
}

/* -- descriptors: not present, wrong type, wrong level. SDM 3A 6.15, MOV and LTR in SDM 2 ------------------------------ */

static void selectors(void)
{
	enum { NP_DATA = SEL_FREE, RO_DATA = SEL_FREE + 8, XO_CODE = SEL_FREE + 16, NP_TSS = SEL_FREE + 24,
	       DPL3_DATA = SEL_FREE + 40, LIMITED = SEL_FREE + 48, LDT = SEL_FREE + 56 };

	gdt[NP_DATA / 8] = descriptor(0, 0xfffff, 0x13, 0xc);
	gdt[RO_DATA / 8] = descriptor(0, 0xfffff, 0x91, 0xc);
	gdt[XO_CODE / 8] = descriptor(0, 0xfffff, 0x99, 0xc);
	gdt[NP_TSS / 8] = descriptor(0x1000, 103, 0x09, 0);
	gdt[NP_TSS / 8 + 1] = 0;
	gdt[DPL3_DATA / 8] = descriptor(0, 0xfffff, 0xf3, 0xc);
	gdt[LIMITED / 8] = descriptor((u32)(ul)user_stack, 0xfff, 0x93, 0x4);
	gdt[LDT / 8] = descriptor(0x1000, 103, 0x02, 0);
	gdt[LDT / 8 + 1] = 0;

	try_kernel(sel_load, NP_DATA);
	check_trap("load_np", NP, NP_DATA, sel_load_at);
	try_kernel(sel_load, XO_CODE);
	check_trap("load_execute_only", GP, XO_CODE, sel_load_at);
	try_kernel(sel_load, SEL_TSS);
	check_trap("load_tss", GP, SEL_TSS, sel_load_at);
	try_kernel(sel_load, SEL_FREE | 4);	/* there is no LDT */
	check_trap("load_no_ldt", GP, SEL_FREE | 4, sel_load_at);
	try_kernel(sel_load, RO_DATA);
	check_trap("load_read_only", NONE, 0, NULL);
	try_user(sel_load, SEL_DATA);
	check_trap("load_dpl", GP, SEL_DATA, sel_load_at);
	try_user(sel_load, SEL_DATA | 3);
	check_trap("load_rpl", GP, SEL_DATA, sel_load_at);
	try_kernel(sel_ss, NP_DATA);
	check_trap("ss_np", SS, NP_DATA, sel_ss_at);
	try_kernel(sel_ss, RO_DATA);
	check_trap("ss_read_only", GP, RO_DATA, sel_ss_at);
	try_kernel(sel_ss, SEL_CODE);
	check_trap("ss_code", GP, SEL_CODE, sel_ss_at);
	try_kernel(sel_ss, DPL3_DATA);
	check_trap("ss_dpl", GP, DPL3_DATA, sel_ss_at);
	try_kernel(sel_ss, SEL_DATA | 3);
	check_trap("ss_rpl", GP, SEL_DATA, sel_ss_at);
	try_user(sel_ss, 0);
	check_trap("ss_null_user", GP, 0, sel_ss_at);
	try_kernel(sel_ss, 0);		/* 64-bit mode allows it at CPL 0 to 2 with RPL = CPL */
	if (IS64)
		check_trap("ss_null", NONE, 0, NULL);
	else
		check_trap("ss_null", GP, 0, sel_ss_at);
	__asm__ volatile("mov %0, %%ss" :: "r"(SEL_DATA));
	try_kernel(sel_ltr, 0);
	check_trap("ltr_null", GP, 0, sel_ltr_at);
	try_kernel(sel_ltr, SEL_DATA);
	check_trap("ltr_data", GP, SEL_DATA, sel_ltr_at);
	try_kernel(sel_ltr, SEL_TSS);		/* busy */
	check_trap("ltr_busy", GP, SEL_TSS, sel_ltr_at);
	try_kernel(sel_ltr, NP_TSS);
	check_trap("ltr_np", NP, NP_TSS, sel_ltr_at);
	try_kernel(sel_ltr, SEL_FREE | 4);
	check_trap("ltr_ti", GP, SEL_FREE | 4, sel_ltr_at);
	gdt[SEL_TSS / 8] &= ~BIT(41);
	try_kernel(sel_ltr, SEL_TSS);
	check_trap("ltr", NONE, 0, NULL);
	report("ltr", "busy", gdt[SEL_TSS / 8] >> 40 & 0xff, 0x8b);
	try_kernel(sel_lldt, LDT);
	check_trap("lldt_np", NP, LDT, sel_lldt_at);
	try_kernel(sel_lldt, SEL_DATA);
	check_trap("lldt_data", GP, SEL_DATA, sel_lldt_at);
	try_kernel(sel_lldt, 0);
	check_trap("lldt_null", NONE, 0, NULL);
#ifndef __x86_64__
	try_kernel(limit_ds, LIMITED);
	check_trap("limit_read", GP, 0, limit_ds_at);
	try_kernel(limit_ok, LIMITED);
	check_trap("limit_last", NONE, 0, NULL);
	try_kernel(limit_write, LIMITED);
	check_trap("limit_write", GP, 0, limit_write_at);
#endif
}

/* -- exceptions in the delivery of others. SDM 3A 6.15, table 6-5 ---------------------------------------------------- */

static void in_delivery(void)
{
	struct gate saved;

	/* benign first, then a contributory one: handled one after the other; EXT is told differently by SDM and APM */
	saved = idt[UD];
	idt[UD].access = 0x0e;
	try_kernel(ud_ud2, 0);
	report("ud_gate_np", "vector", trap.vector, NP);
	report("ud_gate_np", "error", trap.error & ~1ul, UD * 8 + 2);
	report("ud_gate_np", "rip", trap.ip - (ul)ud_ud2_at, 0);
	idt[UD].access = 0x84;		/* no such gate */
	try_kernel(ud_ud2, 0);
	report("ud_gate_type", "vector", trap.vector, GP);
	report("ud_gate_type", "error", trap.error & ~1ul, UD * 8 + 2);
	idt[UD] = saved;
	saved = idt[0x91];
	idt[0x91].access = 0x0e;
	try_kernel(int_n, 0);
	check_trap("int_gate_np", NP, 0x91 * 8 + 2, int_n_at);
	idt[0x91] = saved;
	gate_set(0x91, (void *)(ul)saved.offset0, 0, 0x8e, 0);
	try_kernel(int_n, 0);
	check_trap("int_gate_null_cs", GP, 0, int_n_at);
	gate_set(0x91, (void *)(ul)saved.offset0, SEL_DATA, 0x8e, 0);
	try_kernel(int_n, 0);
	check_trap("int_gate_data_cs", GP, SEL_DATA, int_n_at);
	idt[0x91] = saved;
	/* contributory in contributory: double fault */
	saved = idt[DE];
	idt[DE].access = 0x0e;
	try_kernel(de_zero, 0);
	check_trap("de_gate_np", DF, 0, NULL);
	idt[DE] = saved;
	saved = idt[GP];
	idt[GP].access = 0x0e;
	try_kernel(gp_rdmsr, 0);
	check_trap("gp_gate_np", DF, 0, NULL);
	idt[GP] = saved;
#ifdef __x86_64__
	saved = idt[PF];
	idt[PF].access = 0x0e;
	try_kernel(pf_read, 0);
	check_trap("pf_gate_np", DF, 0, NULL);
	idt[PF] = saved;
	/* a page fault while a general protection is delivered is handled on its own: the handler's code is not there */
	saved = idt[UD];
	gate_set(UD, (void *)0xe00000, SEL_CODE, 0x8e, 0);
	try_kernel(ud_ud2, 0);
	check_trap("handler_missing", PF, 0x10, (void *)0xe00000);
	gate_set(UD, (void *)0x800000000000, SEL_CODE, 0x8e, 0);
	try_kernel(ud_ud2, 0);
	report("handler_noncanonical", "vector", trap.vector, GP);
	idt[UD] = saved;
#endif
}

#ifdef __x86_64__
/* -- page faults by kind of access; 14 to 16 MiB are not mapped. SDM 3A 4.7 ------------------------------------ */

extern u64 pd[];

static void pf_row(const char *name, const u8 *fn, const void *at, ul error, ul cr2, bool user)
{
	if (user)
		try_user(fn, 0);
	else
		try_kernel(fn, 0);
	check_trap(name, PF, error | (user ? 4 : 0), at);
	report(name, "cr2", trap.cr2, cr2);
	report(name, "rf", !!(trap.flags & FL_RF), 1);
}

static void page_faults(void)
{
	pf_row("pf_read", pf_read, pf_read_at, 0, 0xe00000, false);
	pf_row("pf_write", pf_write, pf_write_at, 2, 0xe00008, false);
	pf_row("pf_rmw", pf_rmw, pf_rmw_at, 2, 0xe00010, false);
	pf_row("pf_cmp", pf_cmp, pf_cmp_at, 0, 0xe00010, false);
	pf_row("pf_exec", pf_exec, (void *)0xe00020, 0x10, 0xe00020, false);
	pf_row("pf_cross", pf_cross, pf_cross_at, 0, 0xe00000, false);
	pf_row("pf_push", pf_push, pf_push_at, 2, 0xe00100, true);
	pf_row("pf_read_user", pf_read, pf_read_at, 0, 0xe00000, true);
	pf_row("pf_write_user", pf_write, pf_write_at, 2, 0xe00008, true);
	pf_row("pf_exec_user", pf_exec, (void *)0xe00020, 0x10, 0xe00020, true);
	try_kernel(flags_mov, 0);
	check_trap("flags_mov", PF, 0, flags_mov_at);
	report("flags_mov", "cf", trap.flags & FL_CF, FL_CF);
	report("flags_mov", "rcx", trap.cx, 0xffffffff);
	/* bits 63:32 of RSP survive, the frame is aligned to 16 and holds SS:RSP at the same level too. SDM 3A 6.14.2 */
	try_kernel(ud_ud2, 0);
	report("frame64", "ss", trap.ss, SEL_DATA);
	report("frame64", "cs", trap.cs, SEL_CODE);
}

/* the second stack of an IST entry */
static void ist(void)
{
	struct gate saved = idt[UD];

	idt[UD].ist = 1;
	try_kernel(ud_ud2, 0);
	check_trap("ist", UD, 0, ud_ud2_at);
	idt[UD] = saved;
}
#endif

int main(u32 step)
{
#ifdef __x86_64__
	pd[7] = 0;
	flush_tlb();
#endif
	table();
	vectors();
	alignment();
	selectors();
	in_delivery();
#ifdef __x86_64__
	page_faults();
	ist();
#endif
	return 0;
}
