// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * segments.c - far transfers between privilege levels and modes: IRET, far jumps, calls and returns, conforming code, call gates,
 * LDT, compatibility mode, SYSCALL and SYSRET, SYSENTER and SYSEXIT, a task switch; VERW. SDM 3A 5.8, 7.3; SDM 2 per instruction.
 */
#include "kit.h"

enum {
	CONFORMING = SEL_FREE, NP_CODE = SEL_FREE + 8, NP_DATA = SEL_FREE + 16, LDT_SEL = SEL_FREE + 24, GATE = SEL_FREE + 40,
	NP_GATE = SEL_FREE + 56, TASK = SEL_FREE + 72, SMALL_CODE = SEL_FREE + 88, READ_ONLY = SEL_FREE + 96,
	EXPAND_DOWN = SEL_FREE + 104,
};

static u64 ldt[4] __attribute__((aligned(16)));
static struct { u32 offset; u16 sel; } __attribute__((packed)) far_ptr;

SNIPPET(far_call, "", "lcall *(" R(di) ")");
SNIPPET(far_jmp, "", "ljmp *(" R(di) ")");
SNIPPET(user_code, "mov %cs, %ecx; mov %ss, %edx", "int $0x80");
SNIPPET(load_es, "mov %edi, %eax; mov %eax, %es", "mov %es, %ecx; int $0x80");
#ifdef __x86_64__
/* far return from the far call's target, through the same operand size */
SNIPPET(far_target, "mov %cs, %eax; mov %eax, far_cs", "lretl");
SNIPPET(gate_target, "mov %cs, %eax; mov %eax, far_cs; mov %ss, %eax; mov %eax, far_ss; mov %rsp, far_sp", "lretq");
#else
SNIPPET(far_target, "mov %cs, %eax; mov %eax, far_cs", "lret");
SNIPPET(gate_target, "mov %cs, %eax; mov %eax, %ss:far_cs; mov %ss, %eax; mov %eax, %ss:far_ss; mov %esp, %ss:far_sp; "
	"mov 8(%esp), %eax; mov %eax, %ss:far_param", "lret $4");
#endif
u32 far_cs, far_ss, far_param;
ul far_sp;

static void iret_row(const char *name, ul cs, const void *fn, ul ss, ul flags, ul vector, ul error, const void *at)
{
	try_iret(cs, fn, ss, (ul)user_stack + 4096, flags, 0);
	check_trap(name, vector, error, at);
}

static void irets(void)
{
	extern const u8 kit_iret_at[];

	iret_row("iret_user", SEL_UCODE, user_code, SEL_UDATA, 2, USER_EXIT, 0, user_code_next);
	report("iret_user", "cs", trap.cx, SEL_UCODE);
	report("iret_user", "ss", trap.dx, SEL_UDATA);
	report("iret_user", "sp", trap.sp, (ul)user_stack + 4096);
	iret_row("iret_null_cs", 0, user_code, SEL_UDATA, 2, GP, 0, kit_iret_at);
	iret_row("iret_data_cs", SEL_UDATA, user_code, SEL_UDATA, 2, GP, SEL_UDATA & ~3, kit_iret_at);
	iret_row("iret_np_cs", NP_CODE | 3, user_code, SEL_UDATA, 2, NP, NP_CODE, kit_iret_at);
	iret_row("iret_beyond", 0xffb, user_code, SEL_UDATA, 2, GP, 0xff8, kit_iret_at);
	iret_row("iret_rpl", SEL_CODE | 3, user_code, SEL_UDATA, 2, GP, SEL_CODE, kit_iret_at);
	iret_row("iret_null_ss", SEL_UCODE, user_code, 0, 2, GP, 0, kit_iret_at);
	iret_row("iret_ss_rpl", SEL_UCODE, user_code, SEL_DATA, 2, GP, SEL_DATA, kit_iret_at);
	iret_row("iret_ss_np", SEL_UCODE, user_code, NP_DATA | 3, 2, SS, NP_DATA, kit_iret_at);
	iret_row("iret_ss_code", SEL_UCODE, user_code, SEL_UCODE, 2, GP, SEL_UCODE & ~3, kit_iret_at);
	iret_row("iret_conforming", CONFORMING | 3, user_code, SEL_UDATA, 2, USER_EXIT, 0, user_code_next);
	report("iret_conforming", "cs", trap.cx, CONFORMING | 3);
#ifdef __x86_64__
	try_iret(SEL_UCODE, (void *)0x800000000000, SEL_UDATA, (ul)user_stack + 4096, 2, 0);
	report("iret_noncanonical", "vector", trap.vector, GP);
	try_iret(SEL_CODE, user_code, 0, (ul)user_stack + 4096, 2, 0);	/* SS may be null in ring 0 of 64-bit mode */
	check_trap("iret_null_ss_kernel", USER_EXIT, 0, user_code_next);
	report("iret_null_ss_kernel", "ss", trap.dx, 0);
#endif
	/* ring 3 cannot change IF or IOPL, ring 0 can: seen in the flags that its INT pushes */
	iret_row("iret_flags", SEL_UCODE, user_code, SEL_UDATA, 2 | 0x3000 | FL_IF | FL_CF | FL_DF, USER_EXIT, 0, NULL);
	report("iret_flags", "value", trap.flags & 0x3fff & ~0x8d4ul, (2 | 0x3000 | FL_IF | FL_CF | FL_DF) & ~0x8d4ul);
}

static void fars(void)
{
	far_ptr.offset = (u32)(ul)far_target;
	far_ptr.sel = SEL_CODE;
	far_cs = 0;
	try_kernel(far_call, (ul)&far_ptr);
	check_trap("far_call", NONE, 0, NULL);
	check("far_call.cs", far_cs, SEL_CODE);
	far_ptr.sel = 0;
	try_kernel(far_call, (ul)&far_ptr);
	check_trap("far_call_null", GP, 0, far_call_at);
	far_ptr.sel = SEL_DATA;
	try_kernel(far_call, (ul)&far_ptr);
	check_trap("far_call_data", GP, SEL_DATA, far_call_at);
	far_ptr.sel = NP_CODE;
	try_kernel(far_jmp, (ul)&far_ptr);	/* the wrong level comes first */
	check_trap("far_jmp_np_level", GP, NP_CODE, far_jmp_at);
	try_user(far_jmp, (ul)&far_ptr);
	check_trap("far_jmp_np", NP, NP_CODE, far_jmp_at);
	far_ptr.sel = SEL_UCODE;
	try_kernel(far_jmp, (ul)&far_ptr);
	check_trap("far_jmp_outer", GP, SEL_UCODE & ~3, far_jmp_at);
	far_ptr.sel = SEL_CODE;
	try_user(far_call, (ul)&far_ptr);
	check_trap("far_call_inner", GP, SEL_CODE, far_call_at);
	far_ptr.sel = 0x1008;
	try_user(far_jmp, (ul)&far_ptr);
	check_trap("far_jmp_beyond", GP, 0x1008, far_jmp_at);
	/* conforming code runs at the caller's level */
	far_ptr.sel = CONFORMING;
	far_ptr.offset = (u32)(ul)user_code;
	try_user(far_jmp, (ul)&far_ptr);
	check_trap("conforming", NONE, 0, NULL);
	report("conforming", "cs", trap.cx, CONFORMING | 3);
	/* a local descriptor table */
	ldt[1] = descriptor(0, 0xfffff, 0xf3, 0xc);
	ldt[2] = descriptor(0, 0xfffff, 0xfb, IS64 ? 0xa : 0xc);
	gdt[LDT_SEL / 8] = descriptor((u32)(ul)ldt, sizeof(ldt) - 1, 0x82, 0);
	gdt[LDT_SEL / 8 + 1] = 0;
	__asm__ volatile("lldt %w0" :: "r"(LDT_SEL));
	try_user(load_es, 8 | 4 | 3);
	check_trap("ldt_data", NONE, 0, NULL);
	report("ldt_data", "es", trap.cx, 8 | 4 | 3);
	try_user(load_es, 32 | 4 | 3);		/* beyond its limit */
	check_trap("ldt_beyond", GP, 32 | 4, NULL);
	try_iret(16 | 4 | 3, user_code, SEL_UDATA, (ul)user_stack + 4096, 2, 0);
	check_trap("ldt_code", USER_EXIT, 0, user_code_next);
	report("ldt_code", "cs", trap.cx, 16 | 4 | 3);
	__asm__ volatile("lldt %w0" :: "r"(0));
	try_user(load_es, 8 | 4 | 3);
	check_trap("ldt_gone", GP, 8 | 4, NULL);
}

static void call_gate(u16 sel, u8 access, u8 params)
{
	u64 t = (ul)gate_target;

	gdt[sel / 8] = (t & 0xffff) | (u64)SEL_CODE << 16 | (u64)params << 32 | (u64)access << 40 | (t >> 16 & 0xffff) << 48;
	gdt[sel / 8 + 1] = IS64 ? t >> 32 : 0;
}

SNIPPET(user_gate, "push $0x77", "lcall *(" R(di) "); mov %cs, %ecx; int $0x80");

static void gates(void)
{
	call_gate(GATE, 0xec, IS64 ? 0 : 1);
	call_gate(NP_GATE, 0x6c, 0);
	far_ptr.sel = GATE;
	far_ptr.offset = 0xdeadbeef;		/* not used */
	far_cs = 0;
	try_user(user_gate, (ul)&far_ptr);
	/* LRETQ is what a 64-bit gate asks for; its caller's frame is of the gate's size */
	check_trap("gate", NONE, 0, NULL);
	report("gate", "inner_cs", far_cs, SEL_CODE);
	report("gate", "inner_ss", far_ss, IS64 ? 0 : SEL_DATA);	/* null in 64-bit mode */
	report("gate", "inner_sp", far_sp, (ul)trap_stack_top - (IS64 ? 32 : 20));
	report("gate", "back", trap.cx, SEL_UCODE);
	if (!IS64)
		report("gate", "param", far_param, 0x77);
	call_gate(GATE, 0x8c, 0);
	try_user(user_gate, (ul)&far_ptr);
	check_trap("gate_dpl", GP, GATE, user_gate_at);
	far_ptr.sel = NP_GATE;
	try_user(user_gate, (ul)&far_ptr);
	check_trap("gate_np", NP, NP_GATE, user_gate_at);
}

#ifdef __x86_64__
/* inc %eax is 40 in 32-bit code and a prefix in 64-bit code; cs and ss into ecx, edx; int $0x80 */
static const u8 compat_code[] = { 0xb8, 5, 0, 0, 0, 0x40, 0x40, 0x8c, 0xc9, 0x8c, 0xd2, 0xcd, 0x80 };
SNIPPET(syscall_user, "mov $0x1111, %edx", "syscall");
SNIPPET(after_sysret, "mov %cs, %esi; mov %ss, %ebx", "int $0x80");
SNIPPET(sysret64, "lea after_sysret(%rip), %rcx; mov $0x3202, %r11d", "sysretq");
SNIPPET(sysret32, "lea compat_code(%rip), %rcx; mov $2, %r11d", "sysretl");
SNIPPET(sysret_user, "", "sysretq");
SNIPPET(syscall_target, "mov %cs, %esi; mov %ss, %ebx; pushf; pop %rdi; mov $trap_stack_top, %esp", "int $0x81");

static void long_mode(void)
{
	try_iret(SEL_UCODE32, compat_code, SEL_UDATA, (ul)user_stack + 4096, 2, 0);
	check_trap("compat", USER_EXIT, 0, compat_code + sizeof(compat_code));
	report("compat", "eax", trap.ax, 7);
	report("compat", "cs", trap.cx, SEL_UCODE32);
	/* SYSCALL: RCX the next RIP, R11 the flags, masked by FMASK; CS and SS from STAR. SDM 2B */
	wrmsr(MSR_STAR, (u64)SEL_CODE << 32 | (u64)SEL_UCODE32 << 48);
	wrmsr(MSR_LSTAR, (ul)syscall_target);
	wrmsr(MSR_FMASK, FL_CF | FL_IF | FL_DF);
	try_user_flags(syscall_user, 0, 2 | FL_CF | FL_IF | FL_ZF);
	check_trap("syscall", 0x81, 0, syscall_target_next);
	report("syscall", "cs", trap.si, SEL_CODE);
	report("syscall", "ss", trap.bx, SEL_DATA);
	report("syscall", "rcx", trap.cx - (ul)syscall_user_next, 0);
	report("syscall", "flags", trap.di, 2 | FL_ZF);
	report("syscall", "rdx", trap.dx, 0x1111);
	try_kernel(sysret64, 0);
	check_trap("sysret64", USER_EXIT, 0, after_sysret_next);
	report("sysret64", "cs", trap.si, SEL_UCODE64);
	report("sysret64", "ss", trap.bx, SEL_UDATA);
	report("sysret64", "flags", trap.flags, 0x3202);
	try_kernel(sysret32, 0);
	check_trap("sysret32", USER_EXIT, 0, compat_code + sizeof(compat_code));
	report("sysret32", "cs", trap.cx, SEL_UCODE32);
	report("sysret32", "eax", trap.ax, 7);
	try_user(sysret_user, 0);
	check_trap("sysret_user", GP, 0, sysret_user_at);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	try_user(syscall_user, 0);
	check_trap("syscall_off", UD, 0, syscall_user_at);
	try_kernel(sysret64, 0);
	check_trap("sysret_off", UD, 0, sysret64_at);
	/* bases of FS and GS */
	wrmsr(MSR_FS_BASE, 0x800000);
	*(volatile u32 *)0x800010 = 0xfeed;
	{
		u32 v;

		__asm__ volatile("movl %%fs:0x10, %0" : "=r"(v) :: "memory");
		check("fs_base", v, 0xfeed);
		wrmsr(MSR_GS_BASE, 1);
		wrmsr(MSR_KERNEL_GS, 0x800000);
		__asm__ volatile("swapgs; movl %%gs:0x10, %0" : "=r"(v) :: "memory");
		check("swapgs", v, 0xfeed);
		check("swapgs.kernel", rdmsr(MSR_KERNEL_GS), 1);
	}
}
#else
SNIPPET(sysenter_user, "", "sysenter");
SNIPPET(sysenter_target, "mov %cs, %ecx; mov %ss, %edx", "int $0x81");
SNIPPET(sysexit_kernel, "lea user_code, %edx; lea user_stack + 4096, %ecx", "sysexit");
SNIPPET(task_jmp, "", "ljmp *(%edi)");
static u32 other_tss[26] __attribute__((aligned(128)));

static void legacy_mode(void)
{
	extern u32 kit_tss[];

	/* SYSENTER: CS, CS + 8; SYSEXIT: CS + 16, CS + 24. SDM 2B */
	wrmsr(MSR_SYSENTER_CS, 0);
	try_user(sysenter_user, 0);
	check_trap("sysenter_null", GP, 0, sysenter_user_at);
	wrmsr(MSR_SYSENTER_CS, SEL_CODE);
	wrmsr(MSR_SYSENTER_EIP, (ul)sysenter_target);
	wrmsr(MSR_SYSENTER_ESP, (ul)trap_stack_top);
	try_user_flags(sysenter_user, 0, 2 | FL_IF);
	check_trap("sysenter", 0x81, 0, sysenter_target_next);
	report("sysenter", "cs", trap.cx, SEL_CODE);
	report("sysenter", "ss", trap.dx, SEL_DATA);
	report("sysenter", "if", trap.flags & FL_IF, 0);
	try_kernel(sysexit_kernel, 0);
	check_trap("sysexit", USER_EXIT, 0, user_code_next);
	report("sysexit", "cs", trap.cx, SEL_UCODE32);
	report("sysexit", "ss", trap.dx, SEL_UDATA);
	try_user(sysexit_kernel, 0);
	check_trap("sysexit_user", GP, 0, sysexit_kernel_at);
	/* a jump to a task: registers from its TSS, the old one's saved, CR0.TS set. SDM 3A 7.3 */
	other_tss[8] = (ul)user_code;
	other_tss[9] = 2;
	other_tss[10] = 0x12345678;	/* EAX */
	other_tss[14] = (ul)user_stack + 4096;
	other_tss[18] = other_tss[20] = other_tss[21] = other_tss[22] = other_tss[23] = SEL_DATA;
	other_tss[19] = SEL_CODE;
	other_tss[25] = 104 << 16;
	gdt[TASK / 8] = descriptor((u32)(ul)other_tss, 103, 0x89, 0);
	far_ptr.sel = TASK;
	far_ptr.offset = 0;
	kit_tss[8] = 0;
	try_kernel(task_jmp, (ul)&far_ptr);
	check_trap("task_jmp", USER_EXIT, 0, user_code_next);
	report("task_jmp", "eax", trap.ax, 0x12345678);
	report("task_jmp", "ts", rd_cr0() & CR0_TS, CR0_TS);
	report("task_jmp", "saved_eip", kit_tss[8] - (ul)task_jmp_next, 0);
	report("task_jmp", "busy", gdt[TASK / 8] >> 40 & 0xff, 0x8b);
	report("task_jmp", "old_free", gdt[SEL_TSS / 8] >> 40 & 0xff, 0x89);
	try_kernel(task_jmp, (ul)&far_ptr);	/* it is busy now */
	check_trap("task_busy", GP, TASK, task_jmp_at);
}
#endif

/* -- may a segment be written to? SDM 2B, VERW ------------------------------------------------------------------ */

SNIPPET(verw_user, "mov $0x5a, %ecx; or %ecx, %ecx; verw (" R(di) "); setz %cl; jnz 1f; cmp $1, %cl; 1:", "int $0x80");

static void verw_row(const char *name, u16 sel, ul kernel, ul user)
{
	unsigned int wrong = 0;
	struct { u8 before; u16 sel; } __attribute__((packed)) odd = { 0xff, sel };

	/* other flags stay */
	for (unsigned int i = 0; i < 12; i++) {
		ul mem, reg, before = FL_CF | FL_OF | 0x80 | (i & 1 ? FL_ZF : 0);

		__asm__ volatile("push %[f]; popf; verw %[sel]; pushf; pop %[out]" : [out] "=&r"(mem) : [f] "r"(before), [sel] "m"(odd.sel) : "cc");
		__asm__ volatile("push %[f]; popf; verw %[sel]; pushf; pop %[out]" : [out] "=&r"(reg) : [f] "r"(before), [sel] "r"(sel) : "cc");
		wrong += (mem & 0x8d5) != (FL_CF | FL_OF | 0x80 | (kernel ? FL_ZF : 0));
		wrong += (reg & 0x8d5) != (mem & 0x8d5);
	}
	report("verw", name, wrong, 0);
	for (unsigned int i = 0; i < 3; i++)
		try_user(verw_user, (ul)&odd.sel);
	report("verw_user", name, trap.vector << 8 | (trap.cx & 0xff), NONE << 8 | user);
}

static void verws(void)
{
	gdt[READ_ONLY / 8] = descriptor(0, 0xfffff, 0xf1, 0xc);
	gdt[EXPAND_DOWN / 8] = descriptor(0, 0, 0xf7, 0xc);
	verw_row("data", SEL_DATA, 1, 0);
	verw_row("data_rpl", SEL_DATA | 3, 0, 0);
	verw_row("user_data", SEL_UDATA, 1, 1);
	verw_row("user_data_rpl0", SEL_UDATA & ~3, 1, 1);
	verw_row("code", SEL_CODE, 0, 0);
	verw_row("user_code", SEL_UCODE, 0, 0);
	verw_row("conforming", CONFORMING, 0, 0);
	verw_row("read_only", READ_ONLY, 0, 0);
	verw_row("expand_down", EXPAND_DOWN, 1, 1);
	verw_row("tss", SEL_TSS, 0, 0);
	verw_row("null", 0, 0, 0);
	verw_row("null_rpl", 3, 0, 0);
	verw_row("last", GDT_ENTRIES * 8 - 8, 0, 0);
	verw_row("beyond", GDT_ENTRIES * 8, 0, 0);
	verw_row("far_beyond", 0xfff8, 0, 0);
}

int main(u32 step)
{
	gdt[CONFORMING / 8] = descriptor(0, 0xfffff, 0x9f, IS64 ? 0xa : 0xc);
	gdt[NP_CODE / 8] = descriptor(0, 0xfffff, 0x7b, IS64 ? 0xa : 0xc);
	gdt[NP_DATA / 8] = descriptor(0, 0xfffff, 0x73, 0xc);
	irets();
	fars();
	gates();
	verws();
#ifdef __x86_64__
	long_mode();
#else
	legacy_mode();
#endif
	return 0;
}
