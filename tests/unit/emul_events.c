// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Delivery of interrupts and exceptions, IRET, task switches: hand-made rows with the state that
 * SDM 3A chapters 6, 7 and 20 give.
 */
#include "emul_fixture.h"

static enum emul_result deliver(enum event_kind kind, unsigned int vector, u32 error)
{
	struct x86_fault f = { .vector = vector, .error = error,
		.has_error = kind == EVENT_EXCEPTION && vector < 32 && EXC_HAS_ERROR_CODE(vector) };

	return emul_deliver(&em, kind, &f);
}

/* ---- real mode ---------------------------------------- */

static void real_mode_interrupt(void **state)
{
	machine_real();
	put(0x21 * 4, 0x12345678, 4);
	st.rip = 0x50;
	st.rflags = 0x2 | X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_CF;
	CODE_BYTES("\xcd\x21");
	step_done();
	assert_int_equal(st.rip, 0x5678);
	assert_int_equal(st.seg[X86_CS].sel, 0x1234);
	assert_int_equal(st.seg[X86_CS].base, 0x12340);
	assert_int_equal(st.gpr[X86_RSP], 0xfa);
	assert_int_equal(peek(STACK0 + 0xfa, 2), 0x52);
	assert_int_equal(peek(STACK0 + 0xfc, 2), CODE >> 4);
	assert_int_equal(peek(STACK0 + 0xfe, 2), 0x303);
	assert_int_equal(st.rflags, 0x3);
	assert_int_equal(em.db_trap, 0);	/* INT clears TF before a trap */

	/* back */
	CODE_BYTES("\xcf");
	step_done();
	assert_int_equal(st.rip, 0x52);
	assert_int_equal(st.seg[X86_CS].base, CODE);
	assert_int_equal(st.gpr[X86_RSP], 0x100);
	assert_int_equal(st.rflags, 0x303);
}

static void real_mode_exception(void **state)
{
	machine_real();
	put(13 * 4, 0x00003333, 4);
	st.rip = 0x80;
	/* #GP in real mode has no error code; the fault's return address is the instruction */
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_GP, 0), EMUL_DONE);
	assert_int_equal(st.rip, 0x3333);
	assert_int_equal(st.gpr[X86_RSP], 0xfa);
	assert_int_equal(peek(STACK0 + 0xfa, 2), 0x80);
	/* a table that ends before the vector: #GP, double fault, shutdown */
	st.idtr.limit = 0x1f;
	assert_int_equal(deliver(EVENT_EXTINT, 0x40, 0), EMUL_SHUTDOWN);
}

/* ---- protected mode ---------------------------------------- */

static void protected_same_level(void **state)
{
	machine_protected(0);
	gate(IDT + 0x30 * 8, CS0, HANDLER, 0x8e, 0);
	st.rflags = 0x2 | X86_FLAG_IF | X86_FLAG_NT;
	st.halted = 1;
	st.shadow_sti = 1;
	assert_int_equal(deliver(EVENT_EXTINT, 0x30, 0), EMUL_DONE);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.seg[X86_CS].sel, CS0);
	assert_int_equal(st.gpr[X86_RSP], STACK0 - 12);
	assert_int_equal(peek(STACK0 - 12, 4), CODE);
	assert_int_equal(peek(STACK0 - 8, 4), CS0);
	assert_int_equal(peek(STACK0 - 4, 4), 0x2 | X86_FLAG_IF | X86_FLAG_NT);
	assert_int_equal(st.rflags, 2);
	assert_int_equal(st.halted, 0);
	assert_int_equal(st.shadow_sti, 0);

	/* a trap gate leaves IF; an error code is pushed; a fault's image has RF */
	machine_protected(0);
	gate(IDT + 14 * 8, CS0, HANDLER, 0x8f, 0);
	st.rflags = 0x2 | X86_FLAG_IF;
	em.fault.cr2 = 0;
	assert_int_equal(emul_deliver(&em, EVENT_EXCEPTION, &(struct x86_fault){ .vector = 14, .has_error = true, .error = 2,
				      .cr2 = 0xdead000 }), EMUL_DONE);
	assert_int_equal(st.cr2, 0xdead000);
	assert_int_equal(st.gpr[X86_RSP], STACK0 - 16);
	assert_int_equal(peek(STACK0 - 16, 4), 2);
	assert_int_equal(peek(STACK0 - 4, 4), 0x2 | X86_FLAG_IF | X86_FLAG_RF);
	assert_int_equal(st.rflags, 2 | X86_FLAG_IF);

	/* 16-bit gate: words, offset of 16 bits */
	machine_protected(0);
	gate(IDT + 13 * 8, CS0, 0x7777abcd, 0x86, 0);
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_GP, 0x18), EMUL_DONE);
	assert_int_equal(st.rip, 0xabcd);
	assert_int_equal(st.gpr[X86_RSP], STACK0 - 8);
	assert_int_equal(peek(STACK0 - 8, 2), 0x18);
	assert_int_equal(peek(STACK0 - 6, 2), CODE & 0xffff);
}

static void protected_inner_level(void **state)
{
	machine_protected(3);
	gate(IDT + 0x80 * 8, CS0, HANDLER, 0xee, 0);
	st.rflags = 2 | X86_FLAG_IF;
	CODE_BYTES("\xcd\x80");
	step_done();
	assert_int_equal(st.cpl, 0);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.seg[X86_CS].sel, CS0);
	assert_int_equal(st.seg[X86_SS].sel, SS0);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x800 - 20);
	assert_int_equal(peek(STACK0 + 0x7ec, 4), CODE + 2);
	assert_int_equal(peek(STACK0 + 0x7f0, 4), CS3);
	assert_int_equal(peek(STACK0 + 0x7f4, 4), 2 | X86_FLAG_IF);
	assert_int_equal(peek(STACK0 + 0x7f8, 4), STACK3);
	assert_int_equal(peek(STACK0 + 0x7fc, 4), SS3);
	assert_true(mode_changes);

	/* IRETD back to CPL 3; a data segment of DPL 0 is lost, one of DPL 3 stays */
	st.seg[X86_DS] = seg_of(SS0, 0, 0xffffffff, ATTR_DATA32);
	st.rip = CODE + 0x100;
	CODE_BYTES("\xcf");
	step_done();
	assert_int_equal(st.cpl, 3);
	assert_int_equal(st.rip, CODE + 2);
	assert_int_equal(st.seg[X86_CS].sel, CS3);
	assert_int_equal(st.seg[X86_SS].sel, SS3);
	assert_int_equal(st.gpr[X86_RSP], STACK3);
	assert_int_equal(st.rflags, 2 | X86_FLAG_IF);
	assert_int_equal(st.seg[X86_DS].sel, 0);
	assert_true(st.seg[X86_DS].attr & SEG_UNUSABLE);
	assert_int_equal(st.seg[X86_ES].sel, SS3);
}

static void protected_errors(void **state)
{
	/* INT n through a gate of lower DPL; not present; of no gate type; beyond the limit */
	machine_protected(3);
	gate(IDT + 0x80 * 8, CS0, HANDLER, 0x8e, 0);
	CODE_BYTES("\xcd\x80");
	expect_fault(EXC_GP, 0x80 * 8 + 2);
	gate(IDT + 0x80 * 8, CS0, HANDLER, 0x6e, 0);
	expect_fault(EXC_NP, 0x80 * 8 + 2);
	gate(IDT + 0x80 * 8, CS0, HANDLER, 0xec, 0);
	expect_fault(EXC_GP, 0x80 * 8 + 2);
	gate(IDT + 0x80 * 8, CS0, HANDLER, 0xee, 0);
	st.idtr.limit = 0x80 * 8 + 6;
	expect_fault(EXC_GP, 0x80 * 8 + 2);
	st.idtr.limit = 0x7ff;
	/* target: null, data segment, not present */
	gate(IDT + 0x80 * 8, 0, HANDLER, 0xee, 0);
	expect_fault(EXC_GP, 0);
	gate(IDT + 0x80 * 8, SS0, HANDLER, 0xee, 0);
	expect_fault(EXC_GP, SS0);
	gdt(SEL_FREE, 0, 0xfffff, 0x1b, 0xc);
	gate(IDT + 0x80 * 8, SEL_FREE, HANDLER, 0xee, 0);
	expect_fault(EXC_NP, SEL_FREE);
	/* inner stack: selector of the wrong privilege, not present, TSS too short */
	gate(IDT + 0x80 * 8, CS0, HANDLER, 0xee, 0);
	put(TSS + 8, SS3, 2);
	expect_fault(EXC_TS, SS3 & ~3);
	gdt(SEL_FREE, 0, 0xfffff, 0x13, 0xc);
	put(TSS + 8, SEL_FREE, 2);
	expect_fault(EXC_SS, SEL_FREE);
	put(TSS + 8, SS0, 2);
	st.seg[X86_TR].limit = 8;
	expect_fault(EXC_TS, SEL_TSS);
	st.seg[X86_TR].limit = 0x67;
	/* no room on the new stack */
	gdt(SEL_FREE, 0, 0x100, 0x93, 0x4);
	put(TSS + 8, SEL_FREE, 2);
	expect_fault(EXC_SS, SEL_FREE);
}

static void double_and_triple_fault(void **state)
{
	/* #GP whose gate is missing: #DF with error code 0 */
	machine_protected(0);
	gate(IDT + 8 * 8, CS0, HANDLER, 0x8e, 0);
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_GP, 0x10), EMUL_DONE);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(peek(st.gpr[X86_RSP], 4), 0);
	assert_int_equal(peek(st.gpr[X86_RSP] + 4, 4), CODE);

	/* a benign one (#UD) whose gate is missing: the #GP is delivered on its own, with EXT */
	machine_protected(0);
	gate(IDT + 13 * 8, CS0, HANDLER, 0x8e, 0);
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_UD, 0), EMUL_DONE);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(peek(st.gpr[X86_RSP], 4), 6 * 8 + 2 + 1);

	/* page fault while delivering #GP is delivered serially: contributory, then page fault */
	machine_protected(0);
	gate(IDT + 14 * 8, CS0, HANDLER, 0x8e, 0);
	/* the gate of 13 is the last thing in an absent page, that of 14 begins the next */
	st.idtr.base = 0x5000 - 14 * 8;
	page_rights[4] = PAGE_ABSENT;
	memcpy(mem + 0x5000, mem + IDT + 14 * 8, 8);
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_GP, 0), EMUL_DONE);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.cr2, 0x5000 - 8);

	/* the same for a page fault: double fault, whose gate is in the absent page too:
	 * shutdown */
	machine_protected(0);
	page_rights[IDT >> 12] = PAGE_ABSENT;
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_PF, 0), EMUL_SHUTDOWN);

	/* #DF that meets #GP */
	machine_protected(0);
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_DF, 0), EMUL_SHUTDOWN);

	/* INT n is benign whatever its vector: INT 13 without gate gives #GP, not #DF */
	machine_protected(0);
	CODE_BYTES("\xcd\x0d");
	expect_fault(EXC_GP, 13 * 8 + 2);
}

static void debug_exception(void **state)
{
	machine_protected(0);
	gate(IDT + 8, CS0, HANDLER, 0x8e, 0);
	st.dr6 = 0xffff0ff1;
	st.dr7 = 0x2400;
	assert_int_equal(emul_deliver(&em, EVENT_EXCEPTION, &(struct x86_fault){ .vector = 1, .dr6 = 0x4000 }), EMUL_DONE);
	assert_int_equal(st.dr6, 0xffff4ff0);
	assert_int_equal(st.dr7, 0x400);
	/* a trap's image has no RF */
	assert_int_equal(peek(STACK0 - 4, 4), 2);
}

static void nmi(void **state)
{
	machine_protected(0);
	gate(IDT + 2 * 8, CS0, HANDLER, 0x8e, 0);
	assert_int_equal(deliver(EVENT_NMI, EXC_NMI, 0), EMUL_DONE);
	assert_int_equal(st.nmi_masked, 1);
	CODE_BYTES("\xcf");
	step_done();
	assert_int_equal(st.nmi_masked, 0);
	assert_int_equal(st.rip, CODE);
}

/* ---- virtual-8086 mode ---------------------------------------- */

static void machine_v86(unsigned int iopl)
{
	unsigned int i;

	machine_protected(3);
	for (i = 0; i < X86_NR_SEG; i++)
		st.seg[i] = seg_of(0x3000 + i, 0x30000 + 16 * i, 0xffff,
				   SEG_P | SEG_DPL | SEG_S | 3);
	st.seg[X86_CS] = seg_of(CODE >> 4, CODE, 0xffff, SEG_P | SEG_DPL | SEG_S | 3);
	st.rip = 0x40;
	st.gpr[X86_RSP] = 0x1000;
	st.rflags = 2 | X86_FLAG_VM | X86_FLAG_IF | (u64)iopl << 12;
}

static void v86_interrupt_and_return(void **state)
{
	unsigned int i;

	machine_v86(3);
	gate(IDT + 0x21 * 8, CS0, HANDLER, 0xee, 0);
	CODE_BYTES("\xcd\x21");
	step_done();
	assert_int_equal(st.cpl, 0);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.rflags, 2 | X86_FLAG_IOPL);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x800 - 36);
	{
		const u64 want[9] = { 0x42, CODE >> 4, 2 | X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_IOPL, 0x1000, 0x3000 + X86_SS,
			0x3000 + X86_ES, 0x3000 + X86_DS, 0x3000 + X86_FS, 0x3000 + X86_GS };

		for (i = 0; i < 9; i++)
			assert_int_equal(peek(STACK0 + 0x800 - 36 + 4 * i, 4), want[i]);
	}
	assert_true(st.seg[X86_DS].attr & SEG_UNUSABLE);
	assert_true(st.seg[X86_GS].attr & SEG_UNUSABLE);

	st.rip = CODE + 0x200;
	CODE_BYTES("\xcf");
	step_done();
	assert_int_equal(st.cpl, 3);
	assert_int_equal(st.rip, 0x42);
	assert_int_equal(st.gpr[X86_RSP], 0x1000);
	assert_int_equal(st.rflags, 2 | X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_IOPL);
	assert_int_equal(st.seg[X86_CS].base, CODE);
	assert_int_equal(st.seg[X86_DS].sel, 0x3000 + X86_DS);
	assert_int_equal(st.seg[X86_DS].base, 0x30000 + 16 * X86_DS);
	assert_int_equal(st.seg[X86_DS].limit, 0xffff);
}

static void v86_privileges(void **state)
{
	static const char *sensitive[] = { "\xcd\x21", "\x9c", "\x9d", "\xfa", "\xfb", "\xcf" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sensitive); i++) {
		machine_v86(0);
		code(sensitive[i], 2);
		expect_fault(EXC_GP, 0);
	}
	/* the handler must run at level 0 */
	machine_v86(3);
	gate(IDT + 0x21 * 8, CS3, HANDLER, 0xee, 0);
	CODE_BYTES("\xcd\x21");
	expect_fault(EXC_GP, CS3 & ~3);
	/* virtual interrupt flag: CLI and STI change VIF */
	machine_v86(0);
	st.cr4 = CR4_VME;
	CODE_BYTES("\xfb\xfa");
	step_done();
	assert_true(st.rflags & X86_FLAG_VIF);
	step_done();
	assert_false(st.rflags & X86_FLAG_VIF);
	assert_true(st.rflags & X86_FLAG_IF);
	/* redirected by the bitmap: the virtual machine's own table */
	put(TSS + 0x66, 0x60, 2);
	put(0x21 * 4, 0x12340010, 4);
	CODE_BYTES("\xcd\x21");
	step_done();
	assert_int_equal(st.rip, 0x10);
	assert_int_equal(st.seg[X86_CS].base, 0x12340);
	assert_int_equal(st.gpr[X86_RSP], 0xffa);
}

/* ---- long mode ---------------------------------------- */

static void gate64(unsigned int vector, u16 sel, u64 off, u8 access, u8 ist)
{
	gate(IDT + vector * 16, sel, (u32)off, access, ist);
	put(IDT + vector * 16 + 8, off >> 32, 8);
}

static void long_mode_inner(void **state)
{
	machine_long(3);
	gate64(14, CS0_64, 0xffff800000018000, 0x8e, 0);
	st.rip = 0x400123;
	st.rflags = 2 | X86_FLAG_IF;
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_PF, 7), EMUL_DONE);
	assert_int_equal(st.cpl, 0);
	assert_int_equal(st.rip, 0xffff800000018000);
	assert_int_equal(st.seg[X86_CS].sel, CS0_64);
	assert_int_equal(st.seg[X86_SS].sel, 0);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x800 - 48);
	{
		const u64 want[6] = { 7,      0x400123, CS3_64, 2 | X86_FLAG_IF | X86_FLAG_RF,
				      STACK3, SS3 };
		unsigned int i;

		for (i = 0; i < 6; i++)
			assert_int_equal(peek(STACK0 + 0x800 - 48 + 8 * i, 8), want[i]);
	}
	/* IRETQ after the error code is taken off */
	st.gpr[X86_RSP] += 8;
	st.rip = CODE;
	CODE_BYTES("\x48\xcf");
	step_done();
	assert_int_equal(st.cpl, 3);
	assert_int_equal(st.rip, 0x400123);
	assert_int_equal(st.gpr[X86_RSP], STACK3);
	assert_int_equal(st.seg[X86_SS].sel, SS3);
	assert_int_equal(st.rflags, 2 | X86_FLAG_IF | X86_FLAG_RF);
}

static void long_mode_stacks(void **state)
{
	/* same level: the stack is aligned to 16 and SS:RSP pushed all the same */
	machine_long(0);
	gate64(0x30, CS0_64, HANDLER, 0x8e, 0);
	st.gpr[X86_RSP] = STACK0 + 9;
	assert_int_equal(deliver(EVENT_EXTINT, 0x30, 0), EMUL_DONE);
	assert_int_equal(st.gpr[X86_RSP], STACK0 - 40);
	assert_int_equal(peek(STACK0 - 16, 8), STACK0 + 9);
	assert_int_equal(peek(STACK0 - 8, 8), SS0);
	assert_int_equal(st.seg[X86_SS].sel, SS0);

	/* IST */
	machine_long(0);
	gate64(2, CS0_64, HANDLER, 0x8e, 1);
	assert_int_equal(deliver(EVENT_NMI, 2, 0), EMUL_DONE);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x1000 - 40);

	/* a non-canonical stack: #SS, and as the #SS has no gate, double fault, shutdown */
	machine_long(0);
	gate64(2, CS0_64, HANDLER, 0x8e, 1);
	gate64(12, CS0_64, HANDLER + 0x100, 0x8e, 0);
	put(TSS + 0x24, 0x0001000000000000, 8);
	assert_int_equal(deliver(EVENT_NMI, 2, 0), EMUL_DONE);
	assert_int_equal(st.rip, HANDLER + 0x100);
	assert_int_equal(peek(st.gpr[X86_RSP], 8), 1);

	/* 32-bit code, task and 16-bit gates do not exist here */
	machine_long(0);
	gate64(0x30, CS0, HANDLER, 0x8e, 0);
	CODE_BYTES("\xcd\x30");
	expect_fault(EXC_GP, CS0);
	gate64(0x30, SEL_TSS, 0, 0x85, 0);
	expect_fault(EXC_GP, 0x30 * 8 + 2);
	gate64(0x30, CS0_64, HANDLER, 0x86, 0);
	expect_fault(EXC_GP, 0x30 * 8 + 2);
	/* a handler outside the canonical range */
	gate64(0x30, CS0_64, 0x0000900000000000, 0x8e, 0);
	expect_fault(EXC_GP, 0);
}

static void iretq_rules(void **state)
{
	machine_long(0);
	CODE_BYTES("\x48\xcf");
	put(STACK0, HANDLER, 8);
	put(STACK0 + 8, CS0_64, 8);
	put(STACK0 + 16, 2 | X86_FLAG_IOPL | X86_FLAG_IF, 8);
	put(STACK0 + 24, STACK0 + 0x500, 8);
	put(STACK0 + 32, 0, 8);
	/* a null SS is right for 64-bit code of level 0 */
	step_done();
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x500);
	assert_true(st.seg[X86_SS].attr & SEG_UNUSABLE);
	assert_int_equal(st.rflags, 2 | X86_FLAG_IOPL | X86_FLAG_IF);

	/* NT, non-canonical RIP, null SS at level 3 */
	machine_long(0);
	CODE_BYTES("\x48\xcf");
	st.rflags |= X86_FLAG_NT;
	expect_fault(EXC_GP, 0);
	st.rflags &= ~X86_FLAG_NT;
	put(STACK0, 0x0000800000000000, 8);
	put(STACK0 + 8, CS0_64, 8);
	put(STACK0 + 32, SS0, 8);
	expect_fault(EXC_GP, 0);
	put(STACK0, HANDLER, 8);
	put(STACK0 + 8, CS3_64, 8);
	put(STACK0 + 32, 3, 8);
	expect_fault(EXC_GP, 0);
	put(STACK0 + 32, SS0, 8);
	expect_fault(EXC_GP, SS0);
	/* from level 3: IF and IOPL stay */
	machine_long(3);
	CODE_BYTES("\x48\xcf");
	put(STACK3, HANDLER, 8);
	put(STACK3 + 8, CS3_64, 8);
	put(STACK3 + 16, 2 | X86_FLAG_IOPL | X86_FLAG_IF | X86_FLAG_CF, 8);
	put(STACK3 + 24, STACK3, 8);
	put(STACK3 + 32, SS3, 8);
	step_done();
	assert_int_equal(st.rflags, 2 | X86_FLAG_CF);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void fill_tss2(void)
{
	unsigned int i;

	gdt(SEL_FREE, TSS2, 0x67, 0x89, 0);
	put(TSS2 + 0x1c, 0x7000, 4);
	put(TSS2 + 0x20, HANDLER, 4);
	put(TSS2 + 0x24, 2 | X86_FLAG_CF, 4);
	for (i = 0; i < 8; i++)
		put(TSS2 + 0x28 + 4 * i, 0x100 + i, 4);
	put(TSS2 + 0x38, STACK0 + 0x400, 4);
	put(TSS2 + 0x48, SS0, 4);
	put(TSS2 + 0x4c, CS0, 4);
	put(TSS2 + 0x50, SS0, 4);
	put(TSS2 + 0x54, SS0, 4);
	put(TSS2 + 0x58, 0, 4);
	put(TSS2 + 0x5c, SS0, 4);
	put(TSS2 + 0x60, SEL_LDT, 4);
}

static void task_call_and_return(void **state)
{
	unsigned int i;

	machine_protected(0);
	fill_tss2();
	for (i = 0; i < 8; i++)
		if (i != X86_RSP)
			st.gpr[i] = 0x500 + i;
	st.rflags = 2 | X86_FLAG_ZF;
	CODE_BYTES("\x9a\0\0\0\0\x58\0");
	step_done();
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.seg[X86_TR].sel, SEL_FREE);
	assert_int_equal(st.seg[X86_TR].attr & SEG_TYPE, 11);
	assert_int_equal(peek(GDT + SEL_FREE + 5, 1), 0x8b);
	assert_int_equal(peek(GDT + SEL_TSS + 5, 1), 0x8b);	/* nested: the caller stays busy */
	assert_int_equal(peek(TSS2, 2), SEL_TSS);
	assert_int_equal(st.rflags, 2 | X86_FLAG_CF | X86_FLAG_NT);
	assert_int_equal(st.gpr[X86_RCX], 0x101);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x400);
	assert_int_equal(st.seg[X86_DS].sel, SS0);
	assert_true(st.seg[X86_FS].attr & SEG_UNUSABLE);
	assert_true(st.cr0 & CR0_TS);
	assert_int_equal(st.cr3, 0);		/* paging is off */
	assert_int_equal(peek(TSS + 0x20, 4), CODE + 7);
	assert_int_equal(peek(TSS + 0x24, 4), 2 | X86_FLAG_ZF);
	assert_int_equal(peek(TSS + 0x2c, 4), 0x501);
	assert_int_equal(peek(TSS + 0x38, 4), STACK0);
	assert_int_equal(peek(TSS + 0x4c, 2), CS0);

	CODE_BYTES("\xcf");
	step_done();
	assert_int_equal(st.rip, CODE + 7);
	assert_int_equal(st.seg[X86_TR].sel, SEL_TSS);
	assert_int_equal(st.rflags, 2 | X86_FLAG_ZF);
	assert_int_equal(st.gpr[X86_RDI], 0x507);
	assert_int_equal(peek(GDT + SEL_FREE + 5, 1), 0x89);
	assert_int_equal(peek(TSS2 + 0x20, 4), HANDLER + 1);
	/* NT is not saved by IRET */
	assert_int_equal(peek(TSS2 + 0x24, 4), 2 | X86_FLAG_CF);
}

static void task_gate_and_errors(void **state)
{
	/* double fault through a task gate: error code on the new task's stack, T bit gives a
	 * trap */
	machine_protected(0);
	fill_tss2();
	put(TSS2 + 0x64, 1, 2);
	gate(IDT + 8 * 8, SEL_FREE, 0, 0x85, 0);
	assert_int_equal(deliver(EVENT_EXCEPTION, EXC_DF, 0), EMUL_DONE);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.gpr[X86_RSP], STACK0 + 0x400 - 4);
	assert_int_equal(peek(STACK0 + 0x3fc, 4), 0);
	assert_int_equal(em.db_trap, 1 << 15);
	assert_int_equal(peek(TSS + 0x20, 4), CODE);

	/* JMP clears the old task's busy bit */
	machine_protected(0);
	fill_tss2();
	CODE_BYTES("\xea\0\0\0\0\x58\0");
	step_done();
	assert_int_equal(peek(GDT + SEL_TSS + 5, 1), 0x89);
	assert_int_equal(st.rflags & X86_FLAG_NT, 0);

	/* busy, not present, too short */
	machine_protected(0);
	fill_tss2();
	CODE_BYTES("\xea\0\0\0\0\x58\0");
	gdt(SEL_FREE, TSS2, 0x67, 0x8b, 0);
	expect_fault(EXC_GP, SEL_FREE);
	gdt(SEL_FREE, TSS2, 0x67, 0x09, 0);
	expect_fault(EXC_NP, SEL_FREE);
	gdt(SEL_FREE, TSS2, 0x66, 0x89, 0);
	expect_fault(EXC_TS, SEL_FREE);

	/* a bad segment in the new task faults there */
	gdt(SEL_FREE, TSS2, 0x67, 0x89, 0);
	put(TSS2 + 0x54, CS0 + 0x100, 2);
	step_is(EMUL_FAULT);
	assert_int_equal(em.fault.vector, EXC_TS);
	assert_int_equal(em.fault.error, CS0 + 0x100);
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(st.seg[X86_TR].sel, SEL_FREE);

	/* IRET with a back link to a task that is not busy */
	machine_protected(0);
	fill_tss2();
	st.rflags |= X86_FLAG_NT;
	put(TSS, SEL_FREE, 2);
	CODE_BYTES("\xcf");
	expect_fault(EXC_TS, SEL_FREE);
}

static void soft_breakpoint(void **state)
{
	machine_protected(0);
	gate(IDT + 3 * 8, CS0, HANDLER, 0x8f, 0);
	CODE_BYTES("\xcc");
	em.stop_bp = true;
	expect_fault(EXC_BP, 0);
	assert_true(em.fault.soft);
	em.stop_bp = false;
	step_done();
	assert_int_equal(st.rip, HANDLER);
	assert_int_equal(peek(st.gpr[X86_RSP], 4), CODE + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_mode_interrupt),
		cmocka_unit_test(real_mode_exception),
		cmocka_unit_test(protected_same_level),
		cmocka_unit_test(protected_inner_level),
		cmocka_unit_test(protected_errors),
		cmocka_unit_test(double_and_triple_fault),
		cmocka_unit_test(debug_exception),
		cmocka_unit_test(nmi),
		cmocka_unit_test(v86_interrupt_and_return),
		cmocka_unit_test(v86_privileges),
		cmocka_unit_test(long_mode_inner),
		cmocka_unit_test(long_mode_stacks),
		cmocka_unit_test(iretq_rules),
		cmocka_unit_test(task_call_and_return),
		cmocka_unit_test(task_gate_and_errors),
		cmocka_unit_test(soft_breakpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
