/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A machine for the emulator's tests: one megabyte of memory where linear addresses are offsets,
 * page rights as a byte a page, and system tables with helpers to fill them. Segment bases are 0
 * unless a test says otherwise.
 */
#ifndef TESTS_UNIT_EMUL_FIXTURE_H
#define TESTS_UNIT_EMUL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "x86/emul/emul.h"

#define MEM_SIZE	0x100000
#define GDT		0x1000
#define IDT		0x2000
#define LDT		0x2800
#define TSS		0x3000
#define TSS2		0x3400
#define CODE		0x10000
#define HANDLER		0x18000
#define STACK0		0x20000
#define STACK3		0x30000
#define DATA		0x40000

/* Selectors that machine_protected() and machine_long() set up. */
#define CS0		0x08
#define SS0		0x10
#define CS3		0x1b
#define SS3		0x23
#define CS0_16		0x28
#define SS0_16		0x30
#define SEL_TSS		0x38	/* in long mode two entries: 0x38, 0x40 */
#define SEL_LDT		0x48	/* likewise 0x48, 0x50 */
#define SEL_FREE	0x58	/* and on: for tests */
#define CS0_64		0x88
#define CS3_64		0x93

#define PAGE_ABSENT	1
#define PAGE_RO		2
#define PAGE_SUPER	4

static u8 mem[MEM_SIZE];
static u8 page_rights[MEM_SIZE >> 12];
static struct x86_state st;
static unsigned int mode_changes;
static struct { u16 port; unsigned int size, count; u8 data[256]; u64 in; } io;

static int fx_check(struct emul *e, gva_t gva, unsigned int len, unsigned int access)
{
	unsigned int i;

	for (i = 0; i < len; i++) {
		gva_t a = gva + i;
		u32 error = (access & WALK_WRITE ? PF_W : 0) | (access & WALK_USER ? PF_U : 0);
		u8 rights = a < MEM_SIZE ? page_rights[a >> 12] : PAGE_ABSENT;

		if (!(rights & PAGE_ABSENT)) {
			error |= PF_P;
			if (!((rights & PAGE_RO) && (access & WALK_WRITE)) &&
			    !((rights & PAGE_SUPER) && (access & WALK_USER)))
				continue;
		}
		e->fault = (struct x86_fault){ .vector = EXC_PF, .has_error = true, .error = error, .cr2 = a };
		return -EFAULT;
	}
	return 0;
}

static int fx_read(struct emul *e, gva_t gva, void *buf, unsigned int len, unsigned int access)
{
	int r = fx_check(e, gva, len, access);

	if (!r)
		memcpy(buf, mem + gva, len);
	return r;
}

static int fx_write(struct emul *e, gva_t gva, const void *buf, unsigned int len,
		    unsigned int access)
{
	int r = fx_check(e, gva, len, access);

	if (!r)
		memcpy(mem + gva, buf, len);
	return r;
}

static int fx_fetch(struct emul *e, gva_t gva, void *buf, unsigned int len)
{
	int r = fx_check(e, gva, 1, WALK_EXEC);

	if (r)
		return r;
	len = min_t(u64, len, 4096 - (gva & 4095));
	memcpy(buf, mem + gva, len);
	return len;
}

static int fx_cmpxchg(struct emul *e, gva_t gva, void *old, const void *new, unsigned int len,
		      unsigned int access)
{
	int r = fx_check(e, gva, len, access);

	if (r)
		return r;
	if (memcmp(mem + gva, old, len)) {
		memcpy(old, mem + gva, len);
		return -EBUSY;
	}
	memcpy(mem + gva, new, len);
	return 0;
}

static int fx_io_in(struct emul *e, u16 port, unsigned int size, void *data, unsigned int *count)
{
	unsigned int i;

	io.port = port;
	io.size = size;
	io.count = *count;
	for (i = 0; i < *count * size; i++)
		((u8 *)data)[i] = (u8)(io.in >> (8 * (i % 8)));
	return 0;
}

static int fx_io_out(struct emul *e, u16 port, unsigned int size, const void *data,
		     unsigned int *count)
{
	io.port = port;
	io.size = size;
	io.count = *count;
	memcpy(io.data, data, min_t(size_t, sizeof(io.data), (size_t)*count * size));
	return 0;
}

static int fx_cr_write(struct emul *e, unsigned int cr, u64 val)
{
	switch (cr) {
	case 0:
		st.cr0 = val;
		break;
	case 2:
		st.cr2 = val;
		break;
	case 3:
		st.cr3 = val;
		break;
	case 4:
		st.cr4 = val;
		break;
	case EMUL_XCR0:
		st.xcr0 = val;
		break;
	default:
		break;
	}
	return 0;
}

static int fx_dr_write(struct emul *e, unsigned int dr, u64 val)
{
	if (dr < 4)
		st.dr[dr] = val;
	else if (dr == 6)
		st.dr6 = val;
	else
		st.dr7 = val;
	return 0;
}

static bool fx_has_feature(struct emul *e, unsigned int feature)
{
	return feature != FEAT_SMAP;	/* one that is absent */
}

static void fx_mode_changed(struct emul *e)
{
	mode_changes++;
}

static bool fx_is_ram(struct emul *e, gva_t gva, unsigned int len, unsigned int access)
{
	struct x86_fault keep = e->fault;
	bool ok = !fx_check(e, gva, len, access);

	e->fault = keep;
	return ok;
}

static const struct emul_ops fx_ops = {
	.read = fx_read, .write = fx_write, .fetch = fx_fetch, .cmpxchg = fx_cmpxchg,
	.io_in = fx_io_in,
	.io_out = fx_io_out, .cr_write = fx_cr_write, .dr_write = fx_dr_write,
	.has_feature = fx_has_feature,
	.mode_changed = fx_mode_changed, .is_ram = fx_is_ram,
};

static struct emul em = { .st = &st, .ops = &fx_ops };

/* ---- memory ---------------------------------------------------------------------------------- */

static inline void put(gva_t at, u64 val, unsigned int size)
{
	memcpy(mem + at, &val, size);
}

static inline u64 peek(gva_t at, unsigned int size)
{
	u64 val = 0;

	memcpy(&val, mem + at, size);
	return val;
}

static inline void code(const char *bytes, unsigned int len)
{
	memcpy(mem + st.seg[X86_CS].base + st.rip, bytes, len);
}
/* String literal of machine code at CS:RIP. */
#define CODE_BYTES(s) code(s, sizeof(s) - 1)

/* ---- descriptors ----------------------------------------------------------------------------- */

/* access: byte 5; flags: high nibble of byte 6 (G DB L AVL). SDM 3A figure 3-8 */
static inline void put_desc(gva_t at, u32 base, u32 limit20, u8 access, u8 flags)
{
	put(at, (limit20 & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
	    (u64)((limit20 >> 16) & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56, 8);
}

static inline void gdt(u16 sel, u32 base, u32 limit20, u8 access, u8 flags)
{
	put_desc(GDT + (sel & 0xfff8), base, limit20, access, flags);
}

/* Gates: access is byte 5, count_or_ist byte 4. SDM 3A figures 5-8, 6-2 */
static inline void gate(gva_t at, u16 sel, u32 off, u8 access, u8 count_or_ist)
{
	put(at, (off & 0xffff) | (u64)sel << 16 | (u64)count_or_ist << 32 | (u64)access << 40 |
	    (u64)(off >> 16) << 48, 8);
}

static inline struct x86_seg seg_of(u16 sel, u32 base, u32 limit, u16 attr)
{
	return (struct x86_seg){ .sel = sel, .base = base, .limit = limit, .attr = attr };
}

#define ATTR_CODE32	(SEG_G | SEG_DB | SEG_P | SEG_S | 11)
#define ATTR_CODE64	(SEG_G | SEG_L | SEG_P | SEG_S | 11)
#define ATTR_DATA32	(SEG_G | SEG_DB | SEG_P | SEG_S | 3)

static inline void fill_gdt(void)
{
	gdt(CS0, 0, 0xfffff, 0x9b, 0xc);
	gdt(SS0, 0, 0xfffff, 0x93, 0xc);
	gdt(CS3, 0, 0xfffff, 0xfb, 0xc);
	gdt(SS3, 0, 0xfffff, 0xf3, 0xc);
	gdt(CS0_16, 0, 0xffff, 0x9b, 0);
	gdt(SS0_16, 0, 0xffff, 0x93, 0);
	gdt(CS0_64, 0, 0xfffff, 0x9b, 0xa);
	gdt(CS3_64, 0, 0xfffff, 0xfb, 0xa);
	gdt(SEL_TSS, TSS, 0x67, 0x8b, 0);
	gdt(SEL_LDT, LDT, 0xff, 0x82, 0);
	st.gdtr = (struct x86_dtable){ GDT, 0xff };
	st.seg[X86_TR] = seg_of(SEL_TSS, TSS, 0x67, SEG_P | 11);
	st.seg[X86_LDTR] = seg_of(SEL_LDT, LDT, 0xff, SEG_P | 2);
}

static inline void machine_clear(void)
{
	memset(mem, 0, sizeof(mem));
	memset(page_rights, 0, sizeof(page_rights));
	memset(&st, 0, sizeof(st));
	memset(&io, 0, sizeof(io));
	memset(&em.fault, 0, sizeof(em.fault));
	em.stop_bp = false;
	st.rflags = 2;
	st.dr6 = 0xffff0ff0;
	st.dr7 = 0x400;
	mode_changes = 0;
}

/* Real mode at 1000:0000 (linear CODE), stack 2000:0100, IVT at 0. */
static inline void machine_real(void)
{
	unsigned int i;

	machine_clear();
	st.cr0 = CR0_ET;
	for (i = 0; i < X86_NR_SEG; i++)
		st.seg[i] = seg_of(0, 0, 0xffff, SEG_P | SEG_S | 3);
	st.seg[X86_CS] = seg_of(CODE >> 4, CODE, 0xffff, SEG_P | SEG_S | 11);
	st.seg[X86_SS] = seg_of(STACK0 >> 4, STACK0, 0xffff, SEG_P | SEG_S | 3);
	st.idtr.limit = 0x3ff;
	st.gpr[X86_RSP] = 0x100;
}

/* Flat 32-bit protected mode at the given CPL. */
static inline void machine_protected(unsigned int cpl)
{
	unsigned int i;
	u16 dpl = cpl << SEG_DPL_SHIFT;

	machine_clear();
	fill_gdt();
	st.cr0 = CR0_PE | CR0_ET;
	for (i = 0; i < X86_NR_SEG; i++)
		st.seg[i] = seg_of(cpl ? SS3 : SS0, 0, 0xffffffff, ATTR_DATA32 | dpl);
	st.seg[X86_CS] = seg_of(cpl ? CS3 : CS0, 0, 0xffffffff, ATTR_CODE32 | dpl);
	st.idtr = (struct x86_dtable){ IDT, 0x7ff };
	st.cpl = cpl;
	st.rip = CODE;
	st.gpr[X86_RSP] = cpl ? STACK3 : STACK0;
	put(TSS + 4, STACK0 + 0x800, 4);
	put(TSS + 8, SS0, 4);
	put(TSS + 0x66, 0x68, 2);
}

/* Flat 64-bit mode at the given CPL. */
static inline void machine_long(unsigned int cpl)
{
	machine_protected(cpl);
	st.cr0 |= CR0_PG;
	st.cr4 = CR4_PAE;
	st.efer = EFER_LME | EFER_LMA | EFER_SCE;
	st.seg[X86_CS] = seg_of(cpl ? CS3_64 : CS0_64, 0, 0xffffffff,
				ATTR_CODE64 | cpl << SEG_DPL_SHIFT);
	st.idtr.limit = 0xfff;
	memset(mem + TSS, 0, 0x68);
	put(TSS + 4, STACK0 + 0x800, 8);
	put(TSS + 0x24, STACK0 + 0x1000, 8);
	put(TSS + 0x66, 0x68, 2);
}

/* ---- expectations ---------------------------------------------------------------------------- */

static inline void expect_fault_(unsigned int vector, u32 error, int line)
{
	struct x86_state before = st;
	enum emul_result r = emul_step(&em);

	if (r != EMUL_FAULT || em.fault.vector != vector || em.fault.error != error)
		print_error("line %d: result %d, vector %u, error %x\n", line, r, em.fault.vector,
			    em.fault.error);
	assert_int_equal(r, EMUL_FAULT);
	assert_int_equal(em.fault.vector, vector);
	assert_int_equal(em.fault.error, error);
	assert_memory_equal(&before, &st, sizeof(st));
}
/* The next step faults so, and nothing of the state has changed. */
#define expect_fault(vector, error) expect_fault_(vector, error, __LINE__)

static inline void expect_step_(enum emul_result want, int line)
{
	enum emul_result r = emul_step(&em);

	if (r != want)
		print_error("line %d: result %d, vector %u, error %x, cr2 %llx\n", line, r,
			    em.fault.vector, em.fault.error, em.fault.cr2);
	assert_int_equal(r, want);
}
#define step_done() expect_step_(EMUL_DONE, __LINE__)
#define step_is(want) expect_step_(want, __LINE__)

#endif
