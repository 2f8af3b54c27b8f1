// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Operands: registers, segment checks, linear addresses, the stack. SDM 3A chapter 5; SDM 1 3.3.7,
 * 3.7.
 */
#include "private.h"

u64 emul_breakpoints(const struct emul *e, u64 addr, unsigned int len, unsigned int rw)
{
	static const u8 bp_len[4] = { 1, 2, 8, 4 };
	const struct x86_state *st = e->st;
	unsigned int i;
	u64 hits = 0;

	for (i = 0; i < 4; i++) {
		unsigned int type = (st->dr7 >> (16 + 4 * i)) & 3;
		u64 size = bp_len[(st->dr7 >> (18 + 4 * i)) & 3];
		u64 start = st->dr[i] & ~(size - 1);

		if (!(st->dr7 & (3ULL << (2 * i))))
			continue;
		/* type 3 is reads and writes; type 2 is I/O */
		if (type != rw && !(type == 3 && rw == 1))
			continue;
		if (addr < start + size && start < addr + len)
			hits |= BIT_ULL(i);
	}
	return hits;
}

static int seg_fault(struct emul *e, unsigned int seg)
{
	return emul_raise(e, seg == X86_SS ? EXC_SS : EXC_GP, 0);
}

int emul_linear(struct emul *e, unsigned int seg, u64 off, unsigned int len, unsigned int access,
		gva_t *lin)
{
	const struct x86_seg *s = &e->st->seg[seg];

	if (likely(e->mode == INSN_MODE_64)) {
		u64 a = seg >= X86_FS ? s->base + off : off;

		if (unlikely(!x86_canonical(a) || !x86_canonical(a + len - 1)))
			return seg_fault(e, seg);
		*lin = a;
		return 0;
	}
	if (x86_protected(e->st) && !(e->rflags & X86_FLAG_VM)) {
		if (unlikely((s->attr & SEG_UNUSABLE) || !(s->attr & SEG_P)))
			return seg_fault(e, seg);
		if (access & WALK_WRITE) {
			if (unlikely((s->attr & (SEG_TYPE_CODE | SEG_TYPE_WR)) != SEG_TYPE_WR))
				return seg_fault(e, seg);
		} else if (unlikely((s->attr & (SEG_TYPE_CODE | SEG_TYPE_WR)) == SEG_TYPE_CODE)) {
			return seg_fault(e, seg);
		}
	}
	off = (u32)off;
	if (unlikely((s->attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_DC)) == (SEG_S | SEG_TYPE_DC))) {
		u64 top = s->attr & SEG_DB ? 0xffffffff : 0xffff;

		if (off <= s->limit || off > top || off + len - 1 > top)
			return seg_fault(e, seg);
	} else if (unlikely(off + len - 1 > s->limit)) {
		return seg_fault(e, seg);
	}
	*lin = (u32)(s->base + off);
	return 0;
}

int emul_data_linear(struct emul *e, unsigned int seg, u64 off, unsigned int len,
		     unsigned int access, gva_t *lin)
{
	int r = emul_linear(e, seg, off, len, access, lin);

	if (unlikely(r))
		return r;
	if (unlikely(e->align_check) && len <= 8 && !(len & (len - 1)) && (*lin & (len - 1)))
		return emul_raise(e, EXC_AC, 0);
	if (unlikely(e->st->dr7 & 0xff))
		e->db_trap |= emul_breakpoints(e, *lin, len, access & WALK_WRITE ? 1 : 3);
	return 0;
}

int emul_read(struct emul *e, unsigned int seg, u64 off, void *buf, unsigned int len)
{
	gva_t lin;
	int r = emul_data_linear(e, seg, off, len, WALK_READ, &lin);

	return r ? r : e->ops->read(e, lin, buf, len, WALK_READ | emul_user(e));
}

int emul_write(struct emul *e, unsigned int seg, u64 off, const void *buf, unsigned int len)
{
	gva_t lin;
	int r = emul_data_linear(e, seg, off, len, WALK_WRITE, &lin);

	return r ? r : e->ops->write(e, lin, buf, len, WALK_WRITE | emul_user(e));
}

int emul_read_sys(struct emul *e, gva_t lin, void *buf, unsigned int len)
{
	if (!x86_long_mode(e->st))
		lin = (u32)lin;
	return e->ops->read(e, lin, buf, len, WALK_READ | WALK_IMPLICIT);
}

int emul_write_sys(struct emul *e, gva_t lin, const void *buf, unsigned int len)
{
	if (!x86_long_mode(e->st))
		lin = (u32)lin;
	return e->ops->write(e, lin, buf, len, WALK_WRITE | WALK_IMPLICIT);
}

/* ---- stack ----------------------------------------------------------------------------------- */

u64 emul_sp(const struct emul *e, s64 delta)
{
	return (e->gpr[X86_RSP] + delta) & size_mask(e->stack_size);
}

void emul_set_sp(struct emul *e, u64 sp)
{
	if (e->stack_size == 2)
		e->gpr[X86_RSP] = (e->gpr[X86_RSP] & ~0xffffULL) | (sp & 0xffff);
	else
		e->gpr[X86_RSP] = sp & size_mask(e->stack_size);
}

int emul_push(struct emul *e, u64 val, unsigned int size)
{
	u64 sp = emul_sp(e, -(s64)size);
	int r = emul_write(e, X86_SS, sp, &val, size);

	if (!r)
		emul_set_sp(e, sp);
	return r;
}

int emul_pop(struct emul *e, u64 *val, unsigned int size)
{
	int r;

	*val = 0;
	r = emul_read(e, X86_SS, emul_sp(e, 0), val, size);
	if (!r)
		emul_set_sp(e, emul_sp(e, size));
	return r;
}

int emul_push_frame(struct emul *e, const u64 *val, unsigned int n, unsigned int size)
{
	u64 top = emul_sp(e, 0), sp = emul_sp(e, -(s64)(n * size));
	u8 frame[80];
	unsigned int i, k;
	int r;

	if (n * size > 64 || (sp > top && top != 0)) {
		for (i = 0; i < n; i++) {
			r = emul_push(e, val[i], size);
			if (r)
				return r;
		}
		return 0;
	}
	for (i = 0; i < n; i++)
		for (k = 0; k < size; k++)
			frame[(n - 1 - i) * size + k] = (u8)(val[i] >> (8 * k));
	/* as n pushes: #AC by the size of one */
	if (e->align_check && (sp & (size - 1)))
		return emul_raise(e, EXC_AC, 0);
	r = emul_write(e, X86_SS, sp, frame, n * size);
	if (!r)
		emul_set_sp(e, sp);
	return r;
}

/* ---- operands -------------------------------------------------------------------------------- */

u64 emul_reg_read(const struct emul *e, unsigned int reg, unsigned int size)
{
	return e->gpr[reg & 15] & size_mask(size);
}

void emul_reg_write(struct emul *e, unsigned int reg, unsigned int size, u64 val)
{
	u64 *r = &e->gpr[reg & 15];

	switch (size) {
	case 1:
		*r = (*r & ~0xffULL) | (u8)val;
		break;
	case 2:
		*r = (*r & ~0xffffULL) | (u16)val;
		break;
	case 4:
		*r = (u32)val;
		break;
	default:
		*r = val;
		break;
	}
}

void emul_compute_ea(struct emul *e)
{
	const struct insn *i = &e->insn;
	u64 ea = i->disp;

	if (i->base == INSN_BASE_RIP)
		ea += e->rip;
	else if (i->base != INSN_BASE_NONE)
		ea += e->gpr[i->base & 15];
	if (i->index != INSN_BASE_NONE)
		ea += e->gpr[i->index & 15] << i->scale;
	e->ea = ea & size_mask(i->addrsize);
}

int emul_opnd_read(struct emul *e, unsigned int n, u64 *val)
{
	const struct opnd *o = &e->insn.opnd[n];

	switch (o->kind) {
	case OPND_GPR:
		if (unlikely(o->high8))
			*val = (u8)(e->gpr[o->reg & 3] >> 8);
		else
			*val = emul_reg_read(e, o->reg, o->size);
		return 0;
	case OPND_MEM:
		*val = 0;
		return emul_read(e, e->insn.seg, e->ea, val, o->size);
	case OPND_IMM:
	case OPND_REL:
		*val = e->insn.imm;
		return 0;
	case OPND_IMM2:
		*val = e->insn.imm2;
		return 0;
	case OPND_CONST:
		*val = o->reg;
		return 0;
	default:
		return -ENOSYS;
	}
}

int emul_opnd_write(struct emul *e, unsigned int n, u64 val)
{
	const struct opnd *o = &e->insn.opnd[n];

	switch (o->kind) {
	case OPND_GPR:
		if (unlikely(o->high8))
			e->gpr[o->reg & 3] = (e->gpr[o->reg & 3] & ~0xff00ULL) |
					     ((val & 0xff) << 8);
		else
			emul_reg_write(e, o->reg, o->size, val);
		return 0;
	case OPND_MEM:
		return emul_write(e, e->insn.seg, e->ea, &val, o->size);
	default:
		return -ENOSYS;
	}
}
