// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Segment registers and descriptors: loads with their checks, LDTR, TR, LAR and friends. SDM 3A
 * chapters 3 and 5
 */
#include "private.h"

/* ---- descriptors ----------------------------------------------------------------------------- */

static void parse(struct desc *d, u16 sel)
{
	u32 limit = (d->lo & 0xffff) | (d->hi & 0xf0000);

	d->seg.sel = sel;
	d->seg.base = (d->lo >> 16) | (u64)(d->hi & 0xff) << 16 | (d->hi & 0xff000000);
	d->seg.limit = d->hi & (1u << 23) ? limit << 12 | 0xfff : limit;
	d->seg.attr = (d->hi >> 8) & 0xf0ff;
}

int emul_desc_read(struct emul *e, u16 sel, unsigned int vector, u32 ext, struct desc *d)
{
	const struct x86_state *st = e->st;
	const struct x86_seg *ldtr = &st->seg[X86_LDTR];
	u32 raw[2], off = sel & 0xfff8;
	u64 base = st->gdtr.base, limit = st->gdtr.limit;
	int r;

	if (sel & 4) {
		if ((ldtr->attr & SEG_UNUSABLE) || !(ldtr->attr & SEG_P))
			return emul_raise(e, vector, sel_err(sel) | ext);
		base = ldtr->base;
		limit = ldtr->limit;
	}
	if (!sel_err(sel) || off + 7 > limit)
		return emul_raise(e, vector, sel_err(sel) | ext);
	d->addr = base + off;
	r = emul_read_sys(e, d->addr, raw, 8);
	if (r)
		return r;
	d->lo = raw[0];
	d->hi = raw[1];
	parse(d, sel);
	return 0;
}

int emul_desc_read_high(struct emul *e, struct desc *d, unsigned int vector, u32 ext)
{
	u16 sel = d->seg.sel;
	u64 limit = sel & 4 ? e->st->seg[X86_LDTR].limit : e->st->gdtr.limit;
	u32 raw[2];
	int r;

	if ((u64)(sel & 0xfff8) + 15 > limit)
		return emul_raise(e, vector, sel_err(sel) | ext);
	r = emul_read_sys(e, d->addr + 8, raw, 8);
	if (r)
		return r;
	/* the type field of the upper half must be 0 */
	if (raw[1] & 0x1f00)
		return emul_raise(e, vector, sel_err(sel) | ext);
	d->seg.base = (u32)d->seg.base | (u64)raw[0] << 32;
	return 0;
}

/*
 * Change bits of the descriptor's second doubleword in memory, unless another processor has changed
 * it.
 */
static int update(struct emul *e, struct desc *d, u32 clear, u32 set)
{
	unsigned int tries;
	u32 old = d->hi, new;
	gva_t at = d->addr + 4;
	int r;

	if (!x86_long_mode(e->st))
		at = (u32)at;
	for (tries = 0; tries < LOCK_TRIES; tries++) {
		new = (old & ~clear) | set;
		if (new == old)
			break;
		r = e->ops->cmpxchg(e, at, &old, &new, 4, WALK_WRITE | WALK_IMPLICIT);
		if (!r)
			break;
		if (r != -EBUSY)
			return r;
	}
	d->hi = (d->hi & ~clear) | set;
	d->seg.attr = (d->hi >> 8) & 0xf0ff;
	return 0;
}

int emul_desc_accessed(struct emul *e, struct desc *d)
{
	return d->seg.attr & SEG_TYPE_ACCESSED ? 0 : update(e, d, 0, SEG_TYPE_ACCESSED << 8);
}

int emul_desc_set_busy(struct emul *e, struct desc *d, bool busy)
{
	return busy ? update(e, d, 0, 2 << 8) : update(e, d, 2 << 8, 0);
}

/* ---- loading --------------------------------------------------------------------------------- */

void emul_seg_real(struct emul *e, struct x86_seg *seg, unsigned int reg, u16 sel)
{
	seg->sel = sel;
	seg->base = (u32)sel << 4;
	if (e->rflags & X86_FLAG_VM) {
		seg->limit = 0xffff;
		seg->attr = SEG_P | SEG_DPL | SEG_S | SEG_TYPE_WR | SEG_TYPE_ACCESSED;
		return;
	}
	/* real mode keeps limit and size, which is what "unreal" mode lives on */
	if (seg->attr & SEG_UNUSABLE)
		seg->limit = 0xffff;
	seg->attr &= SEG_DB | SEG_G;
	seg->attr |= SEG_P | SEG_S | SEG_TYPE_WR | SEG_TYPE_ACCESSED;
	if (reg == X86_CS)
		seg->attr |= SEG_TYPE_CODE;
}

static bool real_or_v86(const struct emul *e)
{
	return !x86_protected(e->st) || (e->rflags & X86_FLAG_VM);
}

static void null_segment(struct x86_seg *seg, u16 sel)
{
	seg->sel = sel;
	seg->base = 0;
	seg->limit = 0;
	seg->attr = SEG_UNUSABLE;
}

int emul_ss_check(struct emul *e, u16 sel, unsigned int cpl, unsigned int vector, u32 ext,
		  struct x86_seg *seg)
{
	struct desc d;
	int r;

	if (!sel_err(sel))
		return emul_raise(e, vector, ext);
	r = emul_desc_read(e, sel, vector, ext, &d);
	if (r)
		return r;
	if ((sel & 3) != cpl || desc_dpl(&d) != cpl ||
	    (d.seg.attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_WR)) != (SEG_S | SEG_TYPE_WR))
		return emul_raise(e, vector, sel_err(sel) | ext);
	if (!(d.seg.attr & SEG_P))
		return emul_raise(e, EXC_SS, sel_err(sel) | ext);
	r = emul_desc_accessed(e, &d);
	if (!r)
		*seg = d.seg;
	return r;
}

/* Checks of a load of DS, ES, FS, GS. SDM 2B MOV */
static int data_check(struct emul *e, u16 sel, struct x86_seg *seg)
{
	struct desc d;
	int r;

	if (!sel_err(sel)) {
		null_segment(seg, sel);
		return 0;
	}
	r = emul_desc_read(e, sel, EXC_GP, 0, &d);
	if (r)
		return r;
	if (!(d.seg.attr & SEG_S) || (d.seg.attr & (SEG_TYPE_CODE | SEG_TYPE_WR)) == SEG_TYPE_CODE)
		return emul_gp(e, sel_err(sel));
	/* data and non-conforming code */
	if ((d.seg.attr & (SEG_TYPE_CODE | SEG_TYPE_DC)) != (SEG_TYPE_CODE | SEG_TYPE_DC) &&
	    ((sel & 3) > desc_dpl(&d) || e->st->cpl > desc_dpl(&d)))
		return emul_gp(e, sel_err(sel));
	if (!(d.seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(sel));
	r = emul_desc_accessed(e, &d);
	if (!r)
		*seg = d.seg;
	return r;
}

int emul_seg_load(struct emul *e, unsigned int reg, u16 sel)
{
	struct x86_state *st = e->st;
	struct x86_seg seg = st->seg[reg];
	int r = 0;

	if (real_or_v86(e)) {
		emul_seg_real(e, &seg, reg, sel);
	} else if (reg == X86_SS) {
		if (e->mode == INSN_MODE_64 && !sel_err(sel) && st->cpl < 3 &&
		    (sel & 3) == st->cpl) {
			null_segment(&seg, sel);
			seg.attr |= st->cpl << SEG_DPL_SHIFT;
		} else {
			r = emul_ss_check(e, sel, st->cpl, EXC_GP, 0, &seg);
		}
	} else {
		r = data_check(e, sel, &seg);
	}
	if (r)
		return r;
	st->seg[reg] = seg;
	e->retire |= RETIRE_MODE;
	return 0;
}

enum emul_result emul_load_seg(struct emul *e, enum x86_sreg reg, u16 sel)
{
	emul_begin(e);
	return emul_end(e, emul_seg_load(e, reg, sel));
}

void emul_set_cpl(struct emul *e, unsigned int cpl)
{
	e->st->cpl = cpl;
	e->retire |= RETIRE_MODE;
}

void emul_set_cs(struct emul *e, const struct x86_seg *cs, unsigned int cpl)
{
	e->st->seg[X86_CS] = *cs;
	if (!real_or_v86(e))
		e->st->seg[X86_CS].sel = (cs->sel & ~3) | cpl;
	emul_set_cpl(e, cpl);
}

void emul_drop_segments(struct emul *e, unsigned int cpl)
{
	static const u8 data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(data); i++) {
		struct x86_seg *s = &e->st->seg[data[i]];

		if (s->attr & SEG_UNUSABLE)
			continue;
		if ((s->attr & (SEG_TYPE_CODE | SEG_TYPE_DC)) == (SEG_TYPE_CODE | SEG_TYPE_DC))
			continue;
		if ((s->attr & SEG_DPL) >> SEG_DPL_SHIFT < cpl)
			null_segment(s, 0);
	}
}

/* ---- moves and pops -------------------------------------------------------------------------- */

static int load_sreg(struct emul *e, unsigned int reg, u16 sel)
{
	int r;

	if (reg == X86_CS || reg >= X86_NR_SEG)
		return emul_ud(e);
	r = emul_seg_load(e, reg, sel);
	if (!r && reg == X86_SS)
		e->retire |= RETIRE_MOVSS;
	return r;
}

int emul_op_mov_to_sreg(struct emul *e)
{
	u64 sel;
	int r = emul_opnd_read(e, 1, &sel);

	return r ? r : load_sreg(e, e->insn.opnd[0].reg, (u16)sel);
}

int emul_op_mov_from_sreg(struct emul *e)
{
	unsigned int reg = e->insn.opnd[1].reg;

	return reg >= X86_NR_SEG ? emul_ud(e) : emul_opnd_write(e, 0, e->st->seg[reg].sel);
}

int emul_op_push_sreg(struct emul *e)
{
	return emul_push(e, e->st->seg[e->insn.opnd[0].reg & 7].sel, e->insn.opsize);
}

int emul_op_pop_sreg(struct emul *e)
{
	u64 sel = 0;
	int r = emul_read(e, X86_SS, emul_sp(e, 0), &sel, 2);

	if (r)
		return r;
	/* by the width of the stack that the value came from, which loading SS may change */
	emul_set_sp(e, emul_sp(e, e->insn.opsize));
	return load_sreg(e, e->insn.opnd[0].reg, (u16)sel);
}

/* LDS, LES, LSS, LFS, LGS */
int emul_op_lds(struct emul *e)
{
	unsigned int size = e->insn.opnd[0].size, reg;
	u64 off = 0;
	u16 sel;
	int r;

	switch (e->insn.op) {
	case OP_LES:
		reg = X86_ES;
		break;
	case OP_LDS:
		reg = X86_DS;
		break;
	case OP_LSS:
		reg = X86_SS;
		break;
	case OP_LFS:
		reg = X86_FS;
		break;
	default:
		reg = X86_GS;
		break;
	}
	r = emul_read(e, e->insn.seg, e->ea, &off, size);
	if (!r)
		r = emul_read(e, e->insn.seg, (e->ea + size) & size_mask(e->insn.addrsize), &sel, 2);
	if (!r)
		r = emul_seg_load(e, reg, sel);
	return r ? r : emul_opnd_write(e, 0, off);
}

/* ---- LDTR and TR ----------------------------------------------------------------------------- */

/* An LDT's descriptor, or an available TSS's, from the GDT. SDM 2A, LLDT and LTR */
static int system_desc(struct emul *e, u16 sel, bool ldt, struct desc *d)
{
	int r;

	if (sel & 4)
		return emul_gp(e, sel_err(sel));
	r = emul_desc_read(e, sel, EXC_GP, 0, d);
	if (r)
		return r;
	if (ldt ? desc_type(d) != DESC_LDT :
	    desc_type(d) != DESC_TSS32 && (desc_type(d) != DESC_TSS16 || x86_long_mode(e->st)))
		return emul_gp(e, sel_err(sel));
	if (!(d->seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(sel));
	if (!x86_long_mode(e->st))
		return 0;
	r = emul_desc_read_high(e, d, EXC_GP, 0);
	if (r)
		return r;
	return x86_canonical(d->seg.base) ? 0 : emul_gp(e, sel_err(sel));
}

int emul_op_lldt(struct emul *e)
{
	struct x86_seg *ldtr = &e->st->seg[X86_LDTR];
	struct desc d;
	u64 v;
	u16 sel;
	int r = emul_opnd_read(e, 0, &v);

	if (r)
		return r;
	sel = (u16)v;
	if (!sel_err(sel)) {
		null_segment(ldtr, sel);
		e->retire |= RETIRE_MODE;
		return 0;
	}
	r = system_desc(e, sel, true, &d);
	if (r)
		return r;
	*ldtr = d.seg;
	e->retire |= RETIRE_MODE;
	return 0;
}

int emul_op_ltr(struct emul *e)
{
	struct desc d;
	u64 v;
	u16 sel;
	int r = emul_opnd_read(e, 0, &v);

	if (r)
		return r;
	sel = (u16)v;
	if (!sel_err(sel))
		return emul_gp(e, 0);
	r = system_desc(e, sel, false, &d);
	if (r)
		return r;
	r = emul_desc_set_busy(e, &d, true);
	if (r)
		return r;
	e->st->seg[X86_TR] = d.seg;
	e->retire |= RETIRE_MODE;
	return 0;
}

static bool umip_refuses(const struct emul *e)
{
	return (e->st->cr4 & CR4_UMIP) && e->st->cpl;
}

int emul_op_sldt(struct emul *e)
{
	if (umip_refuses(e))
		return emul_gp(e, 0);
	return emul_opnd_write(e, 0, e->st->seg[e->insn.op == OP_STR ? X86_TR : X86_LDTR].sel);
}

/* ---- questions about selectors: faults of the descriptor become ZF = 0 ----------------------- */

/* 0 and *d, 1: not accessible, or what the memory access returned. */
static int probe(struct emul *e, u16 sel, struct desc *d)
{
	const struct x86_seg *ldtr = &e->st->seg[X86_LDTR];
	u64 limit = sel & 4 ? ldtr->limit : e->st->gdtr.limit;

	if (!sel_err(sel) || (u64)(sel & 0xfff8) + 7 > limit)
		return 1;
	if ((sel & 4) && ((ldtr->attr & SEG_UNUSABLE) || !(ldtr->attr & SEG_P)))
		return 1;
	return emul_desc_read(e, sel, EXC_GP, 0, d);
}

static bool conforming_code(const struct desc *d)
{
	return (d->seg.attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_DC)) ==
	       (SEG_S | SEG_TYPE_CODE | SEG_TYPE_DC);
}

static bool privileged_enough(const struct emul *e, u16 sel, const struct desc *d)
{
	return conforming_code(d) || (e->st->cpl <= desc_dpl(d) && (sel & 3) <= desc_dpl(d));
}

int emul_op_verr(struct emul *e)
{
	struct desc d;
	bool ok;
	u64 sel;
	int r = emul_opnd_read(e, 0, &sel);

	if (!r)
		r = probe(e, (u16)sel, &d);
	if (r < 0)
		return r;
	ok = !r && (d.seg.attr & SEG_S) && privileged_enough(e, (u16)sel, &d);
	if (ok && e->insn.op == OP_VERW)
		ok = (d.seg.attr & (SEG_TYPE_CODE | SEG_TYPE_WR)) == SEG_TYPE_WR;
	else if (ok)
		ok = (d.seg.attr & (SEG_TYPE_CODE | SEG_TYPE_WR)) != SEG_TYPE_CODE;
	e->rflags = ok ? e->rflags | X86_FLAG_ZF : e->rflags & ~X86_FLAG_ZF;
	return 0;
}

/* LAR, LSL. The system types each accepts: SDM 2A tables 3-52 (LAR) and 3-59 (LSL). */
int emul_op_lar(struct emul *e)
{
	const bool lsl = e->insn.op == OP_LSL;
	u32 types = x86_long_mode(e->st) ?
		(lsl ? BIT(2) | BIT(9) | BIT(11) : BIT(2) | BIT(9) | BIT(11) | BIT(12)) :
		(lsl ? BIT(1) | BIT(2) | BIT(3) | BIT(9) | BIT(11) :
		       BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(9) | BIT(11) | BIT(12));
	struct desc d;
	u64 sel;
	int r = emul_opnd_read(e, 1, &sel);

	sel = (u16)sel;
	if (!r)
		r = probe(e, (u16)sel, &d);
	if (r < 0)
		return r;
	if (r || !privileged_enough(e, (u16)sel, &d) ||
	    (!(d.seg.attr & SEG_S) && !(types & BIT(d.seg.attr & SEG_TYPE)))) {
		e->rflags &= ~X86_FLAG_ZF;
		return 0;
	}
	e->rflags |= X86_FLAG_ZF;
	return emul_opnd_write(e, 0, lsl ? d.seg.limit : d.hi & 0x00ffff00);
}

int emul_op_arpl(struct emul *e)
{
	u64 src, dst;
	int r;

	emul_opnd_read(e, 1, &src);
	r = emul_opnd_read(e, 0, &dst);
	if (r)
		return r;
	if ((dst & 3) >= (src & 3)) {
		e->rflags &= ~X86_FLAG_ZF;
		return 0;
	}
	e->rflags |= X86_FLAG_ZF;
	return emul_opnd_write(e, 0, (dst & ~3ULL) | (src & 3));
}
