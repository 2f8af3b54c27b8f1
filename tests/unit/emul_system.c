// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Segmentation, far control transfer and system instructions in the emulator: hand-made rows with
 * the state that the instructions' pages in SDM 2A to 2D give; segment loads as a matrix against
 * SDM 2B MOV.
 */
#include "emul_fixture.h"

/* ---- segment checks ---------------------------------------- */

static void limits(void **state)
{
	/* mov al, [ebx] and mov [ebx], al with DS of limit 0xfff */
	machine_protected(0);
	st.seg[X86_DS] = seg_of(SS0, DATA, 0xfff, ATTR_DATA32);
	put(DATA + 0xfff, 0x5a, 1);
	st.gpr[X86_RBX] = 0xfff;
	CODE_BYTES("\x8a\x03");
	step_done();
	assert_int_equal(st.gpr[X86_RAX], 0x5a);
	st.rip = CODE;
	st.gpr[X86_RBX] = 0x1000;
	expect_fault(EXC_GP, 0);
	/* a word across the limit; one that wraps */
	CODE_BYTES("\x66\x8b\x03");
	st.gpr[X86_RBX] = 0xfff;
	expect_fault(EXC_GP, 0);
	st.seg[X86_DS].limit = 0xffffffff;
	st.gpr[X86_RBX] = 0xffffffff;
	expect_fault(EXC_GP, 0);
	/* the same through SS: #SS(0); [ebp] means SS */
	st.seg[X86_SS].limit = 0xfff;
	st.gpr[X86_RBP] = 0x1000;
	CODE_BYTES("\x8a\x45\x00");
	expect_fault(EXC_SS, 0);
	CODE_BYTES("\x50");
	st.gpr[X86_RSP] = 0x1003;
	expect_fault(EXC_SS, 0);

	/* expand-down: valid above the limit, up to 64 KiB or 4 GiB by B */
	machine_protected(0);
	st.seg[X86_DS] = seg_of(SS0, 0, 0xfff, SEG_P | SEG_S | 7);
	CODE_BYTES("\x8a\x03");
	st.gpr[X86_RBX] = 0xfff;
	expect_fault(EXC_GP, 0);
	st.gpr[X86_RBX] = 0x10000;
	expect_fault(EXC_GP, 0);
	st.gpr[X86_RBX] = 0xffff;
	step_done();
	st.rip = CODE;
	CODE_BYTES("\x66\x8b\x03");
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\x8a\x03");
	st.seg[X86_DS].attr |= SEG_DB;
	st.gpr[X86_RBX] = 0x10000;
	step_done();

	/* rights: null, read-only, execute-only, code */
	machine_protected(0);
	CODE_BYTES("\x88\x03");
	st.gpr[X86_RBX] = DATA;
	st.seg[X86_DS].attr = SEG_UNUSABLE;
	expect_fault(EXC_GP, 0);
	st.seg[X86_DS] = seg_of(SS0, 0, 0xffffffff, ATTR_DATA32 & ~2);
	expect_fault(EXC_GP, 0);
	st.seg[X86_DS] = seg_of(CS0, 0, 0xffffffff, ATTR_CODE32);
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\x8a\x03");
	step_done();
	st.rip = CODE;
	st.seg[X86_DS].attr &= ~SEG_TYPE_WR;
	expect_fault(EXC_GP, 0);

	/* real mode: the same limits, through vector 13 without error code; 16-bit addresses
	 * wrap */
	machine_real();
	CODE_BYTES("\x8b\x07");
	st.gpr[X86_RBX] = 0xffff;
	expect_fault(EXC_GP, 0);
	assert_false(em.fault.has_error);
	CODE_BYTES("\x8a\x47\x10");		/* mov al, [bx+16] */
	put(0xf, 0x77, 1);
	step_done();
	assert_int_equal(st.gpr[X86_RAX] & 0xff, 0x77);

	/* instructions end where CS does */
	machine_protected(0);
	st.seg[X86_CS].limit = CODE + 1;
	CODE_BYTES("\xb8\x01\x02\x03\x04");
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\x90\x90");
	step_done();
	step_done();
	expect_fault(EXC_GP, 0);
}

static void canonical_addresses(void **state)
{
	machine_long(3);
	CODE_BYTES("\x8a\x03");
	st.gpr[X86_RBX] = 0x0000800000000000;
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\x8a\x45\x00");
	st.gpr[X86_RBP] = 0x0000800000000000;
	expect_fault(EXC_SS, 0);
	CODE_BYTES("\x48\x8b\x03");
	st.gpr[X86_RBX] = 0x00007ffffffffffc;
	expect_fault(EXC_GP, 0);
	/* segment limits and rights do not count; FS's base does */
	st.seg[X86_DS] = seg_of(0, 0x5000, 0, SEG_UNUSABLE);
	st.seg[X86_FS] = seg_of(0, DATA, 0, SEG_UNUSABLE);
	put(DATA + 8, 0x1234, 8);
	put(DATA + 0x1000, 0x99, 1);
	st.gpr[X86_RBX] = 8;
	CODE_BYTES("\x64\x48\x8b\x03");
	step_done();
	assert_int_equal(st.gpr[X86_RAX], 0x1234);
	st.rip = CODE;
	st.gpr[X86_RBX] = DATA + 0x1000;
	CODE_BYTES("\x8a\x03");
	step_done();
	assert_int_equal(st.gpr[X86_RAX] & 0xff, 0x99);
	/* a jump out of the range faults at the jump */
	st.rip = CODE;
	st.gpr[X86_RAX] = 0x0000800000000000;
	CODE_BYTES("\xff\xe0");
	expect_fault(EXC_GP, 0);
}

static void alignment_check(void **state)
{
	machine_protected(3);
	st.cr0 |= CR0_AM;
	st.rflags |= X86_FLAG_AC;
	st.gpr[X86_RBX] = DATA + 2;
	CODE_BYTES("\x8b\x03");
	expect_fault(EXC_AC, 0);
	st.rflags &= ~X86_FLAG_AC;
	step_done();
	st.rip = CODE;
	st.rflags |= X86_FLAG_AC;
	st.cr0 &= ~CR0_AM;
	step_done();
	machine_protected(0);
	st.cr0 |= CR0_AM;
	st.rflags |= X86_FLAG_AC;
	st.gpr[X86_RBX] = DATA + 2;
	CODE_BYTES("\x8b\x03");
	step_done();
}

/* ---- segment loads ---------------------------------------- */

/* SDM 2B MOV, "Protected Mode Exceptions", for DS and SS: vector, 0 for success. */
static unsigned int load_outcome(bool ss, unsigned int cpl, unsigned int rpl, u8 access)
{
	unsigned int type = access & 0xf, dpl = (access >> 5) & 3;
	bool system = !(access & 0x10), is_code = type & 8, present = access & 0x80;

	if (ss) {
		if (rpl != cpl || system || is_code || !(type & 2) || dpl != cpl)
			return EXC_GP;
		return present ? 0 : EXC_SS;
	}
	if (system || (is_code && !(type & 2)))
		return EXC_GP;
	if (!(is_code && (type & 4)) && (rpl > dpl || cpl > dpl))
		return EXC_GP;
	return present ? 0 : EXC_NP;
}

static void load_matrix(void **state)
{
	unsigned int cpl, rpl, access, want;
	int ss;

	for (cpl = 0; cpl < 4; cpl += 3)
		for (ss = 0; ss < 2; ss++)
			for (rpl = 0; rpl < 4; rpl++)
				for (access = 0; access < 256; access++) {
					u16 sel = SEL_FREE | rpl;

					machine_protected(cpl);
					gdt(SEL_FREE, 0x12345678, 0x54321, access, 0x4);
					st.gpr[X86_RAX] = sel;
					if (ss)
						CODE_BYTES("\x8e\xd0");
					else
						CODE_BYTES("\x8e\xd8");
					want = load_outcome(ss, cpl, rpl, access);
					if (want) {
						expect_fault(want, SEL_FREE);
						assert_int_equal(peek(GDT + SEL_FREE + 5, 1),
								 access);
						continue;
					}
					step_done();
					{
						const struct x86_seg *s =
							&st.seg[ss ? X86_SS : X86_DS];

						assert_int_equal(s->sel, sel);
						assert_int_equal(s->base, 0x12345678);
						assert_int_equal(s->limit, 0x54321);
						assert_int_equal(s->attr, 0x4000 | access | 1);
						assert_int_equal(peek(GDT + SEL_FREE + 5, 1),
								 access | 1);
						assert_int_equal(st.shadow_movss, ss);
					}
				}
}

static void load_corners(void **state)
{
	/* null: DS takes it, SS does not, CS is no destination */
	machine_protected(0);
	st.gpr[X86_RAX] = 3;
	CODE_BYTES("\x8e\xd8");
	step_done();
	assert_true(st.seg[X86_DS].attr & SEG_UNUSABLE);
	assert_int_equal(st.seg[X86_DS].sel, 3);
	st.gpr[X86_RAX] = 0;
	st.rip = CODE;
	CODE_BYTES("\x8e\xd0");
	expect_fault(EXC_GP, 0);
	st.gpr[X86_RAX] = SS0;
	CODE_BYTES("\x8e\xc8");
	expect_fault(EXC_UD, 0);
	/* beyond the table; through the LDT; through an LDT that is not there */
	st.gpr[X86_RAX] = 0x100;
	CODE_BYTES("\x8e\xd8");
	expect_fault(EXC_GP, 0x100);
	put_desc(LDT + 0x10, 0x777000, 0xfffff, 0x92, 0xc);
	st.gpr[X86_RAX] = 0x14;
	step_done();
	assert_int_equal(st.seg[X86_DS].base, 0x777000);
	assert_int_equal(st.seg[X86_DS].limit, 0xffffffff);
	st.rip = CODE;
	st.seg[X86_LDTR].attr |= SEG_UNUSABLE;
	expect_fault(EXC_GP, 0x14);
	/* 64-bit code below level 3 may run on a null SS */
	machine_long(0);
	CODE_BYTES("\x8e\xd0");
	step_done();
	assert_true(st.seg[X86_SS].attr & SEG_UNUSABLE);
	machine_long(3);
	st.gpr[X86_RAX] = 3;
	CODE_BYTES("\x8e\xd0");
	expect_fault(EXC_GP, 0);
	/* real mode: base from the selector, limit kept */
	machine_real();
	st.seg[X86_DS].limit = 0xffffffff;
	st.gpr[X86_RAX] = 0x1234;
	CODE_BYTES("\x8e\xd8");
	step_done();
	assert_int_equal(st.seg[X86_DS].base, 0x12340);
	assert_int_equal(st.seg[X86_DS].limit, 0xffffffff);
	/* LDS: offset and selector; POP SS opens the shadow, which the next instruction closes */
	machine_protected(0);
	st.gpr[X86_RBX] = DATA;
	put(DATA, 0x11223344, 4);
	put(DATA + 4, SS3, 2);
	CODE_BYTES("\xc5\x0b");
	step_done();
	assert_int_equal(st.gpr[X86_RCX], 0x11223344);
	assert_int_equal(st.seg[X86_DS].sel, SS3);
	put(STACK0, SS0, 4);
	CODE_BYTES("\x17\x90");
	step_done();
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 4);
	assert_int_equal(st.shadow_movss, 1);
	step_done();
	assert_int_equal(st.shadow_movss, 0);
}

/* ---- far control transfer ---------------------------------------- */

static void far_jump(void **state)
{
	machine_real();
	CODE_BYTES("\xea\x34\x12\x00\x20");
	step_done();
	assert_int_equal(st.rip, 0x1234);
	assert_int_equal(st.seg[X86_CS].base, 0x20000);

	machine_protected(0);
	CODE_BYTES("\xea\x34\x12\x00\x00\x28\x00");
	step_done();
	assert_int_equal(st.rip, 0x1234);
	assert_int_equal(st.seg[X86_CS].sel, CS0_16);
	assert_int_equal(st.seg[X86_CS].limit, 0xffff);
	assert_true(mode_changes);
	/* target beyond the limit; null; data; not present; wrong level; conforming from outside
	 * keeps CPL */
	machine_protected(0);
	CODE_BYTES("\xea\x00\x00\x01\x00\x28\x00");
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\xea\x00\x00\x01\x00\x00\x00");
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\xea\x00\x00\x01\x00\x10\x00");
	expect_fault(EXC_GP, SS0);
	CODE_BYTES("\xea\x00\x00\x01\x00\x1b\x00");
	expect_fault(EXC_GP, CS3 & ~3);
	gdt(SEL_FREE, 0, 0xfffff, 0x1b, 0xc);
	CODE_BYTES("\xea\x00\x00\x01\x00\x58\x00");
	expect_fault(EXC_NP, SEL_FREE);
	machine_protected(3);
	gdt(SEL_FREE, 0, 0xfffff, 0x9e, 0xc);
	CODE_BYTES("\xea\x00\x00\x01\x00\x58\x00");
	step_done();
	assert_int_equal(st.seg[X86_CS].sel, SEL_FREE | 3);
	assert_int_equal(st.cpl, 3);

	/* returns go outward only: RETF and IRET to an inner level */
	machine_protected(3);
	put(STACK3, HANDLER, 4);
	put(STACK3 + 4, CS0, 4);
	put(STACK3 + 8, 2, 4);
	CODE_BYTES("\xcb");
	expect_fault(EXC_GP, CS0);
	CODE_BYTES("\xcf");
	expect_fault(EXC_GP, CS0);

	/* from 64-bit to compatibility mode by far return, and L with D set */
	machine_long(0);
	put(STACK0, 0x4321, 8);
	put(STACK0 + 8, CS0, 8);
	CODE_BYTES("\x48\xcb");
	step_done();
	assert_int_equal(st.rip, 0x4321);
	assert_int_equal(st.seg[X86_CS].attr & (SEG_L | SEG_DB), SEG_DB);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 16);
	machine_long(0);
	gdt(SEL_FREE, 0, 0xfffff, 0x9b, 0xe);
	put(STACK0 + 8, SEL_FREE, 8);
	CODE_BYTES("\x48\xcb");
	expect_fault(EXC_GP, SEL_FREE);
	st.gpr[X86_RBX] = DATA;
	put(DATA + 4, SEL_FREE, 2);
	CODE_BYTES("\xff\x2b");
	expect_fault(EXC_GP, SEL_FREE);
	gdt(SEL_FREE, 0, 0xfffff, 0x9b, 0xa);
	put(DATA, HANDLER, 4);
	step_done();
	assert_int_equal(st.rip, HANDLER);
}

static void call_gates(void **state)
{
	/* 32-bit gate to level 0 with two parameters, and RETF 8 back */
	machine_protected(3);
	gate(GDT + SEL_FREE, CS0, HANDLER, 0xec, 2);
	put(STACK3, 0xaaaa, 4);
	put(STACK3 + 4, 0xbbbb, 4);
	CODE_BYTES("\x9a\0\0\0\0\x5b\0");
	step_done();
	assert_int_equal(st.cpl, 0);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.seg[X86_CS].sel, CS0);
	assert_int_equal(st.seg[X86_SS].sel, SS0);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x800 - 24);
	{
		const u64 want[6] = { CODE + 7, CS3, 0xaaaa, 0xbbbb, STACK3, SS3 };
		unsigned int i;

		for (i = 0; i < 6; i++)
			assert_int_equal(peek(STACK0 + 0x800 - 24 + 4 * i, 4), want[i]);
	}
	CODE_BYTES("\xca\x08\x00");
	step_done();
	assert_int_equal(st.cpl, 3);
	assert_int_equal(st.rip, CODE + 7);
	assert_int_equal(st.seg[X86_CS].sel, CS3);
	assert_int_equal(st.seg[X86_SS].sel, SS3);
	assert_int_equal(st.gpr[X86_RSP], STACK3 + 8);

	/* same level through a 16-bit gate: words */
	machine_protected(0);
	gate(GDT + SEL_FREE, CS0, 0xffff8000, 0x84, 0);
	CODE_BYTES("\x9a\0\0\0\0\x58\0");
	step_done();
	assert_int_equal(st.rip, 0x8000);
	assert_int_equal(st.gpr[X86_RSP], STACK0 - 4);

	/* gate's DPL, its presence, JMP to an inner level */
	machine_protected(3);
	gate(GDT + SEL_FREE, CS0, HANDLER, 0x8c, 0);
	CODE_BYTES("\x9a\0\0\0\0\x5b\0");
	expect_fault(EXC_GP, SEL_FREE);
	gate(GDT + SEL_FREE, CS0, HANDLER, 0x6c, 0);
	expect_fault(EXC_NP, SEL_FREE);
	gate(GDT + SEL_FREE, CS0, HANDLER, 0xec, 0);
	CODE_BYTES("\xea\0\0\0\0\x5b\0");
	expect_fault(EXC_GP, CS0);
	/* the new stack cannot be written: nothing has changed, the old one included */
	CODE_BYTES("\x9a\0\0\0\0\x5b\0");
	page_rights[STACK0 >> 12] = PAGE_RO;
	expect_fault(EXC_PF, PF_P | PF_W);

	/* 64-bit gate: quadwords, null SS, call through memory */
	machine_long(3);
	gate(GDT + SEL_FREE, CS0_64, HANDLER, 0xec, 0);
	put(GDT + SEL_FREE + 8, 0, 8);
	st.gpr[X86_RBX] = DATA;
	put(DATA, 0, 4);
	put(DATA + 4, SEL_FREE | 3, 2);
	CODE_BYTES("\xff\x1b");
	step_done();
	assert_int_equal(st.cpl, 0);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.seg[X86_SS].sel, 0);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x800 - 32);
	assert_int_equal(peek(STACK0 + 0x7e0, 8), CODE + 2);
	assert_int_equal(peek(STACK0 + 0x7f0, 8), STACK3);
	/* and to 32-bit code: not here */
	machine_long(3);
	gate(GDT + SEL_FREE, CS0, HANDLER, 0xec, 0);
	put(GDT + SEL_FREE + 8, 0, 8);
	st.gpr[X86_RBX] = DATA;
	put(DATA + 4, SEL_FREE | 3, 2);
	CODE_BYTES("\xff\x1b");
	expect_fault(EXC_GP, CS0);
}

static void fast_system_calls(void **state)
{
	machine_long(3);
	st.star = (u64)0x1000 << 48 | (u64)CS0 << 32;
	st.lstar = 0xffff800000001000;
	st.cstar = 0xffff800000002000;
	st.sfmask = X86_FLAG_IF | X86_FLAG_TF;
	st.rflags = 2 | X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_CF | X86_FLAG_RF;
	CODE_BYTES("\x0f\x05");
	step_done();
	assert_int_equal(st.rip, 0xffff800000001000);
	assert_int_equal(st.gpr[X86_RCX], CODE + 2);
	assert_int_equal(st.gpr[X86_R11], 2 | X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_CF);
	assert_int_equal(st.rflags, 2 | X86_FLAG_CF);
	assert_int_equal(st.cpl, 0);
	assert_int_equal(st.seg[X86_CS].sel, CS0);
	assert_int_equal(st.seg[X86_CS].attr, ATTR_CODE64);
	assert_int_equal(st.seg[X86_SS].sel, CS0 + 8);
	assert_int_equal(st.seg[X86_SS].attr, ATTR_DATA32);
	assert_int_equal(em.db_trap, 0);	/* TF counts after masking */

	st.rip = CODE;
	CODE_BYTES("\x48\x0f\x07");
	st.gpr[X86_R11] = 2 | X86_FLAG_IF | X86_FLAG_RF | X86_FLAG_VM;
	step_done();
	assert_int_equal(st.rip, CODE + 2);
	assert_int_equal(st.cpl, 3);
	assert_int_equal(st.seg[X86_CS].sel, 0x1013);
	assert_int_equal(st.seg[X86_SS].sel, 0x100b);
	assert_int_equal(st.rflags, 2 | X86_FLAG_IF);
	/* at level 3; to a non-canonical address; 32-bit form */
	st.rip = CODE;
	expect_fault(EXC_GP, 0);
	machine_long(0);
	st.star = (u64)0x1000 << 48;
	CODE_BYTES("\x48\x0f\x07");
	st.gpr[X86_RCX] = 0x0000800000000000;
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\x0f\x07");
	st.gpr[X86_RCX] = 0xf00012345678;
	step_done();
	assert_int_equal(st.rip, 0x12345678);
	assert_int_equal(st.seg[X86_CS].sel, 0x1003);
	assert_true(st.seg[X86_CS].attr & SEG_DB);
	machine_long(3);
	st.efer &= ~EFER_SCE;
	CODE_BYTES("\x0f\x05");
	expect_fault(EXC_UD, 0);

	machine_protected(3);
	st.sysenter_cs = CS0;
	st.sysenter_esp = STACK0;
	st.sysenter_eip = HANDLER;
	st.rflags |= X86_FLAG_IF;
	CODE_BYTES("\x0f\x34");
	step_done();
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.gpr[X86_RSP], STACK0);
	assert_int_equal(st.cpl, 0);
	assert_int_equal(st.rflags, 2);
	st.gpr[X86_RDX] = CODE;
	st.gpr[X86_RCX] = STACK3;
	CODE_BYTES("\x0f\x35");
	step_done();
	assert_int_equal(st.rip, CODE);
	assert_int_equal(st.gpr[X86_RSP], STACK3);
	assert_int_equal(st.seg[X86_CS].sel, CS0 + 16 + 3);
	st.sysenter_cs = 0;
	CODE_BYTES("\x0f\x34");
	expect_fault(EXC_GP, 0);
}

/* ---- flags, privileges ---------------------------------------- */

static void flag_rules(void **state)
{
	const u64 all = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF | X86_FLAG_IOPL |
			X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_AC | X86_FLAG_ID;

	/* POPFD of all ones at level 0; at level 3 with IOPL 0 and 3 */
	machine_protected(0);
	put(STACK0, 0xffffffff, 4);
	CODE_BYTES("\x9d");
	step_done();
	assert_int_equal(st.rflags, 2 | (all & ~X86_FLAG_RF));
	assert_int_equal(em.db_trap, 0);
	CODE_BYTES("\x90");
	step_done();
	/* TF set by POPF traps after the next instruction */
	assert_int_equal(em.db_trap, 1 << 14);
	machine_protected(3);
	put(STACK3, 0xffffffff, 4);
	CODE_BYTES("\x9d");
	step_done();
	assert_int_equal(st.rflags, 2 | (all & ~(X86_FLAG_RF | X86_FLAG_IOPL | X86_FLAG_IF)));
	machine_protected(3);
	st.rflags |= X86_FLAG_IOPL | X86_FLAG_IF;
	CODE_BYTES("\x9d");
	step_done();
	assert_int_equal(st.rflags, 2 | X86_FLAG_IOPL);
	/* POPF changes 16 bits only */
	machine_protected(0);
	st.rflags |= X86_FLAG_AC;
	CODE_BYTES("\x66\x9d");
	step_done();
	assert_int_equal(st.rflags, 2 | X86_FLAG_AC);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 2);

	/* CLI, STI and the shadow */
	machine_protected(3);
	CODE_BYTES("\xfa");
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\xfb");
	expect_fault(EXC_GP, 0);
	machine_protected(0);
	CODE_BYTES("\xfb\xfb\xfa");
	step_done();
	assert_int_equal(st.shadow_sti, 1);
	step_done();
	assert_int_equal(st.shadow_sti, 0);	/* IF was set already */
	step_done();
	assert_int_equal(st.rflags, 2);

	/* HLT; its privilege */
	machine_protected(0);
	CODE_BYTES("\xf4");
	step_is(EMUL_HLT);
	assert_int_equal(st.halted, 1);
	assert_int_equal(st.rip, CODE + 1);
	machine_protected(3);
	CODE_BYTES("\xf4");
	expect_fault(EXC_GP, 0);
	/* absent feature: #UD, whatever the level */
	machine_long(3);
	CODE_BYTES("\x0f\x01\xcb");
	expect_fault(EXC_UD, 0);
	/* RF is for one instruction */
	machine_protected(0);
	st.rflags |= X86_FLAG_RF;
	CODE_BYTES("\x90");
	step_done();
	assert_int_equal(st.rflags, 2);
}

static void control_registers(void **state)
{
	machine_protected(0);
	st.gpr[X86_RAX] = CR0_PE | CR0_TS | CR0_ET;
	CODE_BYTES("\x0f\x22\xc0\x0f\x06\x0f\x20\xc1");
	step_done();
	assert_true(st.cr0 & CR0_TS);
	step_done();
	assert_false(st.cr0 & CR0_TS);
	step_done();
	assert_int_equal(st.gpr[X86_RCX], CR0_PE | CR0_ET);
	/* LMSW sets MP, EM, TS but cannot clear PE */
	st.rip = CODE;
	st.gpr[X86_RAX] = CR0_TS;
	CODE_BYTES("\x0f\x01\xf0");
	step_done();
	assert_int_equal(st.cr0, CR0_PE | CR0_TS | CR0_ET);
	machine_protected(3);
	CODE_BYTES("\x0f\x22\xc0");
	expect_fault(EXC_GP, 0);
	/* UMIP */
	st.gpr[X86_RBX] = DATA;
	CODE_BYTES("\x0f\x01\x03");
	step_done();
	assert_int_equal(peek(DATA, 2), st.gdtr.limit);
	assert_int_equal(peek(DATA + 2, 4), GDT);
	st.rip = CODE;
	st.cr4 = CR4_UMIP;
	expect_fault(EXC_GP, 0);
	/* LGDT: 24-bit base with 16-bit operand size; 64-bit bases must be canonical */
	machine_protected(0);
	st.gpr[X86_RBX] = DATA;
	put(DATA, 0x1234, 2);
	put(DATA + 2, 0xff123456, 4);
	CODE_BYTES("\x66\x0f\x01\x13");
	step_done();
	assert_int_equal(st.gdtr.limit, 0x1234);
	assert_int_equal(st.gdtr.base, 0x123456);
	machine_long(0);
	st.gpr[X86_RBX] = DATA;
	put(DATA + 2, 0x0000800000000000, 8);
	CODE_BYTES("\x0f\x01\x1b");
	expect_fault(EXC_GP, 0);

	/* debug registers: general detect, DR4 as DR6 or #UD, upper half of DR7 */
	machine_protected(0);
	st.gpr[X86_RAX] = 0x1234;
	CODE_BYTES("\x0f\x23\xc0\x0f\x21\xe1");
	step_done();
	assert_int_equal(st.dr[0], 0x1234);
	step_done();
	assert_int_equal(st.gpr[X86_RCX], 0xffff0ff0);
	st.rip = CODE + 3;
	st.cr4 = CR4_DE;
	expect_fault(EXC_UD, 0);
	st.cr4 = 0;
	st.dr7 |= 1 << 13;
	expect_fault(EXC_DB, 0);
	assert_int_equal(em.fault.dr6, 1 << 13);
	machine_long(0);
	st.gpr[X86_RAX] = 1ULL << 32;
	CODE_BYTES("\x0f\x23\xf8");
	expect_fault(EXC_GP, 0);
}

static void segment_queries(void **state)
{
	/* LAR and LSL of a code segment; of a call gate (LAR only); beyond the table; of an inner
	 * level */
	machine_protected(3);
	st.gpr[X86_RAX] = CS3;
	CODE_BYTES("\x0f\x02\xc8\x0f\x03\xd0");
	step_done();
	step_done();
	assert_true(st.rflags & X86_FLAG_ZF);
	assert_int_equal(st.gpr[X86_RCX], 0xcffb00);
	assert_int_equal(st.gpr[X86_RDX], 0xffffffff);
	gate(GDT + SEL_FREE, CS0, HANDLER, 0xec, 0);
	st.gpr[X86_RAX] = SEL_FREE;
	st.rip = CODE;
	step_done();
	assert_true(st.rflags & X86_FLAG_ZF);
	step_done();
	assert_false(st.rflags & X86_FLAG_ZF);
	st.gpr[X86_RAX] = CS0;
	st.rip = CODE;
	st.rflags |= X86_FLAG_ZF;
	step_done();
	assert_false(st.rflags & X86_FLAG_ZF);
	assert_int_equal(st.gpr[X86_RCX], 0x01ec00);	/* of the gate, unchanged */
	/* VERW of code, of data */
	st.gpr[X86_RAX] = CS3;
	st.rip = CODE;
	CODE_BYTES("\x0f\x00\xe8\x0f\x00\xe8");
	step_done();
	assert_false(st.rflags & X86_FLAG_ZF);
	st.gpr[X86_RAX] = SS3;
	step_done();
	assert_true(st.rflags & X86_FLAG_ZF);
	/* LTR marks busy, wants an available one; LLDT */
	machine_protected(0);
	gdt(SEL_FREE, TSS2, 0x67, 0x89, 0);
	st.gpr[X86_RAX] = SEL_FREE;
	CODE_BYTES("\x0f\x00\xd8");
	step_done();
	assert_int_equal(st.seg[X86_TR].base, TSS2);
	assert_int_equal(st.seg[X86_TR].attr & 15, 11);
	assert_int_equal(peek(GDT + SEL_FREE + 5, 1), 0x8b);
	st.rip = CODE;
	expect_fault(EXC_GP, SEL_FREE);
	CODE_BYTES("\x0f\x00\xd0");
	expect_fault(EXC_GP, SEL_FREE);
	st.gpr[X86_RAX] = SEL_LDT;
	step_done();
	assert_int_equal(st.seg[X86_LDTR].base, LDT);
	/* long mode: 16-byte descriptors */
	machine_long(0);
	gdt(SEL_FREE, TSS2, 0x67, 0x89, 0);
	put(GDT + SEL_FREE + 8, 0xffff8000, 8);
	st.gpr[X86_RAX] = SEL_FREE;
	CODE_BYTES("\x0f\x00\xd8");
	step_done();
	assert_int_equal(st.seg[X86_TR].base, 0xffff800000000000 | TSS2);
	put(GDT + SEL_FREE + 5, 0x89, 1);
	st.gdtr.limit = SEL_FREE + 14;		/* the upper half is not all inside */
	st.rip = CODE;
	expect_fault(EXC_GP, SEL_FREE);
	st.gdtr.limit = SEL_FREE + 15;
	step_done();
	put(GDT + SEL_FREE + 5, 0x89, 1);
	put(GDT + SEL_FREE + 8, 0x00008000, 8);
	st.rip = CODE;
	expect_fault(EXC_GP, SEL_FREE);
	put(GDT + SEL_FREE + 5, 0x82, 1);
	CODE_BYTES("\x0f\x00\xd0");
	expect_fault(EXC_GP, SEL_FREE);
}

/* ---- port I/O ---------------------------------------- */

static void port_permissions(void **state)
{
	machine_protected(3);
	st.seg[X86_TR].limit = 0x67 + 0x80 + 1;
	CODE_BYTES("\xe5\x61");			/* in eax, 0x61 */
	io.in = 0x8877665544332211;
	step_done();
	assert_int_equal(st.gpr[X86_RAX], 0x44332211);
	/* any of the four ports' bits refuses; so does a bitmap that ends too soon */
	put(TSS + 0x68 + 0x64 / 8, 1 << (0x64 & 7), 1);
	st.rip = CODE;
	expect_fault(EXC_GP, 0);
	put(TSS + 0x68 + 0x64 / 8, 0, 1);
	st.seg[X86_TR].limit = 0x68 + 0x61 / 8;
	expect_fault(EXC_GP, 0);
	st.seg[X86_TR].limit = 0x68 + 0x61 / 8 + 1;
	step_done();
	/* IOPL 3 needs no bitmap */
	machine_protected(3);
	st.rflags |= X86_FLAG_IOPL;
	st.seg[X86_TR].limit = 0x20;
	st.gpr[X86_RAX] = 0xabcd;
	st.gpr[X86_RDX] = 0x3f8;
	CODE_BYTES("\xee");
	step_done();
	assert_int_equal(io.port, 0x3f8);
	assert_int_equal(io.size, 1);
	assert_int_equal(io.data[0], 0xcd);
	st.rip = CODE;
	st.rflags &= ~X86_FLAG_IOPL;
	expect_fault(EXC_GP, 0);
}

static void port_strings(void **state)
{
	unsigned int i;

	machine_protected(0);
	st.gpr[X86_RDX] = 0x1f0;
	st.gpr[X86_RDI] = DATA + 0xff0;
	st.gpr[X86_RCX] = 16;
	io.in = 0x0807060504030201;
	CODE_BYTES("\xf3\x66\x6d");		/* rep insw */
	step_is(EMUL_AGAIN);			/* to the end of the page */
	assert_int_equal(io.count, 8);
	assert_int_equal(st.gpr[X86_RCX], 8);
	assert_int_equal(st.rip, CODE);
	step_done();
	assert_int_equal(st.gpr[X86_RDI], DATA + 0x1010);
	for (i = 0; i < 32; i++)
		assert_int_equal(mem[DATA + 0xff0 + i], 1 + i % 8);
	/* a destination that cannot be written faults before the port is read */
	machine_protected(0);
	st.gpr[X86_RDI] = DATA;
	st.gpr[X86_RCX] = 4;
	page_rights[DATA >> 12] = PAGE_RO;
	CODE_BYTES("\xf3\x6c");
	expect_fault(EXC_PF, PF_P | PF_W);
	assert_int_equal(io.count, 0);
	/* OUTSB downward: one at a time */
	machine_protected(0);
	st.rflags |= X86_FLAG_DF;
	st.gpr[X86_RSI] = DATA + 1;
	st.gpr[X86_RCX] = 2;
	put(DATA, 0x2211, 2);
	CODE_BYTES("\xf3\x6e");
	step_is(EMUL_AGAIN);
	assert_int_equal(io.data[0], 0x22);
	step_done();
	assert_int_equal(io.data[0], 0x11);
	assert_int_equal(st.gpr[X86_RSI], DATA - 1);
}

/* ---- strings and stack in 16- and 32-bit code ---------------------------------------- */

static void strings_in_16_bit(void **state)
{
	/* rep movsb with CX; SI wraps at 64 KiB, upper halves of the registers stay */
	machine_real();
	st.gpr[X86_RCX] = 0xaaaa0004;
	st.gpr[X86_RSI] = 0xbbbbfffe;
	st.gpr[X86_RDI] = 0xcccc0100;
	st.seg[X86_DS].base = 0x50000;
	st.seg[X86_ES].base = 0x60000;
	put(0x5fffe, 0x2211, 2);
	put(0x50000, 0x4433, 2);
	CODE_BYTES("\xf3\xa4");
	step_done();
	assert_int_equal(st.gpr[X86_RCX], 0xaaaa0000);
	assert_int_equal(st.gpr[X86_RSI], 0xbbbb0002);
	assert_int_equal(st.gpr[X86_RDI], 0xcccc0104);
	assert_int_equal(peek(0x60100, 4), 0x44332211);

	/* a fault in the middle keeps what was done: a run that ends there, then the fault */
	machine_protected(0);
	st.gpr[X86_RCX] = 100;
	st.gpr[X86_RSI] = DATA;
	st.gpr[X86_RDI] = DATA + 0x1fc0;
	page_rights[(DATA >> 12) + 2] = PAGE_ABSENT;
	CODE_BYTES("\xf3\xa5");
	step_is(EMUL_AGAIN);
	assert_int_equal(st.gpr[X86_RCX], 84);
	assert_int_equal(st.gpr[X86_RDI], DATA + 0x2000);
	assert_true(st.rflags & X86_FLAG_RF);
	expect_fault(EXC_PF, PF_W);
	assert_int_equal(em.fault.cr2, DATA + 0x2000);

	/* a run is bounded; overlapping copies repeat the pattern */
	machine_protected(0);
	st.gpr[X86_RCX] = 0x3000;
	st.gpr[X86_RSI] = DATA;
	st.gpr[X86_RDI] = DATA + 3;
	put(DATA, 0x332211, 3);
	CODE_BYTES("\xf3\xa4");
	step_is(EMUL_AGAIN);
	step_is(EMUL_AGAIN);
	step_done();
	assert_int_equal(peek(DATA + 0x2ffd, 3), 0x332211);
	assert_int_equal(st.gpr[X86_RCX], 0);
}

static void stack_instructions(void **state)
{
	/* PUSHA, POPA keep SP; PUSH SP pushes the old one; POP [ESP+4] uses the new one */
	machine_protected(0);
	st.gpr[X86_RAX] = 1;
	st.gpr[X86_RDI] = 7;
	CODE_BYTES("\x60\x61\x54\x58");
	step_done();
	assert_int_equal(st.gpr[X86_RSP], STACK0 - 32);
	assert_int_equal(peek(STACK0 - 4, 4), 1);
	assert_int_equal(peek(STACK0 - 20, 4), STACK0);
	assert_int_equal(peek(STACK0 - 32, 4), 7);
	put(STACK0 - 20, 0x999, 4);
	step_done();
	assert_int_equal(st.gpr[X86_RSP], STACK0);
	step_done();
	step_done();
	assert_int_equal(st.gpr[X86_RAX], STACK0);
	put(STACK0, 0x4242, 4);
	st.rip = CODE;
	CODE_BYTES("\x8f\x44\x24\x04");
	step_done();
	assert_int_equal(peek(STACK0 + 8, 4), 0x4242);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 4);
	/* 16-bit stack in 32-bit code: only SP moves */
	machine_protected(0);
	st.seg[X86_SS] = seg_of(SS0_16, STACK0, 0xffff, SEG_P | SEG_S | 3);
	st.gpr[X86_RSP] = 0x12340000;
	CODE_BYTES("\x50");
	step_done();
	assert_int_equal(st.gpr[X86_RSP], 0x1234fffc);
	/* ENTER 8, 2 copies the outer frame's pointer; LEAVE takes it down */
	machine_protected(0);
	st.gpr[X86_RBP] = STACK0 + 0x100;
	put(STACK0 + 0xfc, 0x7777, 4);
	CODE_BYTES("\xc8\x08\x00\x02\xc9");
	step_done();
	assert_int_equal(peek(STACK0 - 4, 4), STACK0 + 0x100);
	assert_int_equal(peek(STACK0 - 8, 4), 0x7777);
	assert_int_equal(peek(STACK0 - 12, 4), STACK0 - 4);
	assert_int_equal(st.gpr[X86_RBP], STACK0 - 4);
	assert_int_equal(st.gpr[X86_RSP], STACK0 - 20);
	step_done();
	assert_int_equal(st.gpr[X86_RBP], STACK0 + 0x100);
	assert_int_equal(st.gpr[X86_RSP], STACK0);
	/* ENTER whose new stack pointer lies in an absent page faults */
	machine_protected(0);
	page_rights[(STACK0 >> 12) - 2] = PAGE_ABSENT;
	CODE_BYTES("\xc8\x00\x18\x00");
	expect_fault(EXC_PF, PF_W);
}

/* Decimal adjustment: the manual's examples and borders; flags defined by the manual. SDM 2A */
static void decimal_adjust(void **state)
{
	static const struct { char op[3]; unsigned int len; u16 ax; u64 in; u16 want; u64 out, mask; } rows[] = {
		{ "\x27", 1, 0x79 + 0x35, X86_FLAG_OF, 0x14, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_PF, 0xd5 },
		{ "\x27", 1, 0x2e, X86_FLAG_AF, 0x34, X86_FLAG_AF, 0xd5 },
		{ "\x2f", 1, 0x35 - 0x47 + 0x100, X86_FLAG_CF | X86_FLAG_AF, 0x88, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_SF |
			X86_FLAG_PF, 0xd5 },
		{ "\x37", 1, 0x000b, 0, 0x0101, X86_FLAG_CF | X86_FLAG_AF, 0x11 },
		{ "\x37", 1, 0x0205, 0, 0x0205, 0, 0x11 },
		{ "\x37", 1, 0x0209, 0, 0x0209, 0, 0x11 },
		{ "\x27", 1, 0x99, 0, 0x99, X86_FLAG_SF | X86_FLAG_PF, 0xd5 },
		{ "\x27", 1, 0x9a, 0, 0x00, X86_FLAG_CF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_PF, 0xd5 },
		{ "\x3f", 1, 0x0300, X86_FLAG_AF, 0x010a, X86_FLAG_CF | X86_FLAG_AF, 0x11 },
		{ "\xd4\x0a", 2, 0x0048, 0, 0x0702, 0, 0xc4 },
		{ "\xd5\x0a", 2, 0x0702, 0, 0x0048, X86_FLAG_PF, 0xc4 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		machine_protected(0);
		st.gpr[X86_RAX] = 0x12340000 | rows[i].ax;
		st.rflags = 2 | rows[i].in;
		code(rows[i].op, rows[i].len);
		step_done();
		assert_int_equal(st.gpr[X86_RAX], 0x12340000 | rows[i].want);
		assert_int_equal(st.rflags & rows[i].mask, rows[i].out);
	}
	machine_protected(0);
	CODE_BYTES("\xd4\x00");
	expect_fault(EXC_DE, 0);
}

static void breakpoints_and_step(void **state)
{
	/* data write, two bytes at DATA+4, DR1; reported with the instruction's result */
	machine_protected(0);
	st.dr[1] = DATA + 4;
	st.dr7 = 0x400 | 1 << 2 | 5 << 20;
	st.gpr[X86_RBX] = DATA + 2;
	CODE_BYTES("\x89\x03\x8b\x03");
	step_done();
	assert_int_equal(em.db_trap, 2);
	step_done();				/* a read does not match type 1 */
	assert_int_equal(em.db_trap, 0);
	/* instruction breakpoint: a fault, unless RF */
	machine_protected(0);
	st.dr[0] = CODE;
	st.dr7 = 0x401;
	CODE_BYTES("\x90");
	expect_fault(EXC_DB, 0);
	assert_int_equal(em.fault.dr6, 1);
	st.rflags |= X86_FLAG_RF;
	step_done();
	/* single step, not after MOV SS */
	machine_protected(0);
	st.rflags |= X86_FLAG_TF;
	st.gpr[X86_RAX] = SS0;
	CODE_BYTES("\x8e\xd0\x90");
	step_done();
	assert_int_equal(em.db_trap, 0);
	step_done();
	assert_int_equal(em.db_trap, 1 << 14);
	/* an iteration of REP at a time */
	machine_protected(0);
	st.rflags |= X86_FLAG_TF;
	st.gpr[X86_RCX] = 2;
	st.gpr[X86_RDI] = DATA;
	CODE_BYTES("\xf3\xaa");
	step_is(EMUL_AGAIN);
	assert_int_equal(st.gpr[X86_RCX], 1);
	assert_int_equal(em.db_trap, 1 << 14);
}

static void locked_operations(void **state)
{
	machine_long(3);
	st.gpr[X86_RBX] = DATA;
	st.gpr[X86_RAX] = 5;
	put(DATA, 0x100000001, 8);
	CODE_BYTES("\xf0\x48\x0f\xc1\x03");	/* lock xadd [rbx], rax */
	step_done();
	assert_int_equal(peek(DATA, 8), 0x100000006);
	assert_int_equal(st.gpr[X86_RAX], 0x100000001);
	/* LOCK CMPXCHG16B: alignment, success, failure */
	st.rip = CODE;
	st.gpr[X86_RBX] = 0x1111;
	st.gpr[X86_RSI] = DATA + 8;
	CODE_BYTES("\xf0\x48\x0f\xc7\x0e");
	expect_fault(EXC_GP, 0);
	st.gpr[X86_RSI] = DATA;
	st.gpr[X86_RAX] = 0x100000006;
	st.gpr[X86_RDX] = 0;
	st.gpr[X86_RCX] = 0x2222;
	step_done();
	assert_true(st.rflags & X86_FLAG_ZF);
	assert_int_equal(peek(DATA, 8), 0x1111);
	assert_int_equal(peek(DATA + 8, 8), 0x2222);
	st.rip = CODE;
	step_done();
	assert_false(st.rflags & X86_FLAG_ZF);
	assert_int_equal(st.gpr[X86_RAX], 0x1111);
	assert_int_equal(st.gpr[X86_RDX], 0x2222);
	/* LOCK without a memory destination */
	st.rip = CODE;
	CODE_BYTES("\xf0\x01\xc0");
	expect_fault(EXC_UD, 0);
}

static void vector_gatekeeping(void **state)
{
	/* movaps xmm0, [rbx]; vmovaps; fld; emms: #UD and #NM by control bits, alignment */
	machine_long(3);
	st.gpr[X86_RBX] = DATA + 8;
	CODE_BYTES("\x0f\x28\x03");
	expect_fault(EXC_UD, 0);
	st.cr4 |= CR4_OSFXSR;
	expect_fault(EXC_GP, 0);
	st.cr0 |= CR0_TS;
	expect_fault(EXC_NM, 0);
	st.cr0 = (st.cr0 & ~CR0_TS) | CR0_EM;
	expect_fault(EXC_UD, 0);
	CODE_BYTES("\xd9\xe8");
	expect_fault(EXC_NM, 0);
	st.cr0 &= ~CR0_EM;
	CODE_BYTES("\xc5\xf8\x28\x03");
	expect_fault(EXC_UD, 0);
	st.cr4 |= CR4_OSXSAVE;
	st.xcr0 = 3;
	expect_fault(EXC_UD, 0);
	st.xcr0 = 7;
	expect_fault(EXC_GP, 0);
	st.gpr[X86_RBX] = DATA;
	step_is(EMUL_UNHANDLED);		/* allowed, but this machine has no vector unit */
}

static bool pending(struct emul *e)
{
	(void)e;
	return true;
}

/* SDM 1 8.7: found before the operand's own faults, but not by instructions that do not wait. */
static void pending_x87_exception(void **state)
{
	struct emul_ops ops = fx_ops;

	machine_protected(0);
	st.seg[X86_DS] = seg_of(SS0, DATA, 0xfff, ATTR_DATA32);
	st.gpr[X86_RBX] = 0x1000;
	CODE_BYTES("\xd9\x03");			/* fld m32 [ebx] */
	expect_fault(EXC_GP, 0);
	ops.x87_pending = pending;
	em.ops = &ops;
	expect_fault(EXC_MF, 0);
	CODE_BYTES("\xd9\x33");			/* fnstenv */
	expect_fault(EXC_GP, 0);
	CODE_BYTES("\xd9\x23");			/* fldenv */
	expect_fault(EXC_MF, 0);
	CODE_BYTES("\x0f\x6f\x03");			/* movq mm0, [ebx] */
	expect_fault(EXC_MF, 0);
	st.cr4 |= CR4_OSFXSR;
	CODE_BYTES("\x0f\x28\x03");			/* movaps xmm0, [ebx] */
	expect_fault(EXC_GP, 0);
	em.ops = &fx_ops;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
		cmocka_unit_test(canonical_addresses),
		cmocka_unit_test(alignment_check),
		cmocka_unit_test(load_matrix),
		cmocka_unit_test(load_corners),
		cmocka_unit_test(far_jump),
		cmocka_unit_test(call_gates),
		cmocka_unit_test(fast_system_calls),
		cmocka_unit_test(flag_rules),
		cmocka_unit_test(pending_x87_exception),
		cmocka_unit_test(control_registers),
		cmocka_unit_test(segment_queries),
		cmocka_unit_test(port_permissions),
		cmocka_unit_test(port_strings),
		cmocka_unit_test(strings_in_16_bit),
		cmocka_unit_test(stack_instructions),
		cmocka_unit_test(decimal_adjust),
		cmocka_unit_test(breakpoints_and_step),
		cmocka_unit_test(locked_operations),
		cmocka_unit_test(vector_gatekeeping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
