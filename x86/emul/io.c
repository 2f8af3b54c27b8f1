// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Port I/O: permission by IOPL and the TSS's bitmap, IN, OUT, INS, OUTS. SDM 1 chapter 19 */
#include "private.h"

#define BULK_BYTES	256
#define TSS_IOMAP_BASE	0x66

int emul_io_allowed(struct emul *e, u16 port, unsigned int size)
{
	const struct x86_state *st = e->st;
	const struct x86_seg *tr = &st->seg[X86_TR];
	unsigned int type = tr->attr & SEG_TYPE;
	u16 base, bits;
	int r;

	if (!x86_protected(st))
		return 0;
	if (!(st->rflags & X86_FLAG_VM) && st->cpl <= (st->rflags & X86_FLAG_IOPL) >> 12)
		return 0;
	if ((tr->attr & SEG_UNUSABLE) || (type != DESC_TSS32 && type != DESC_TSS32_BUSY) ||
	    tr->limit < TSS_IOMAP_BASE + 1)
		return emul_gp(e, 0);
	r = emul_read_sys(e, tr->base + TSS_IOMAP_BASE, &base, 2);
	if (r)
		return r;
	if ((u64)base + port / 8 + 1 > tr->limit)
		return emul_gp(e, 0);
	r = emul_read_sys(e, tr->base + base + port / 8, &bits, 2);
	if (r)
		return r;
	return (bits >> (port & 7)) & ((1u << size) - 1) ? emul_gp(e, 0) : 0;
}

static void io_breakpoint(struct emul *e, u16 port, unsigned int size)
{
	if (unlikely((e->st->dr7 & 0xff) && (e->st->cr4 & CR4_DE)))
		e->db_trap |= emul_breakpoints(e, port, size, 2);
}

int emul_op_in(struct emul *e)
{
	unsigned int size = e->insn.opsize, count = 1;
	u64 port, v = 0;
	int r;

	emul_opnd_read(e, 1, &port);
	r = emul_io_allowed(e, (u16)port, size);
	if (!r)
		r = e->ops->io_in(e, (u16)port, size, &v, &count);
	if (r)
		return r;
	io_breakpoint(e, (u16)port, size);
	emul_reg_write(e, X86_RAX, size, v);
	return 0;
}

int emul_op_out(struct emul *e)
{
	unsigned int size = e->insn.opsize, count = 1;
	u64 port, v = emul_reg_read(e, X86_RAX, size);
	int r;

	emul_opnd_read(e, 0, &port);
	r = emul_io_allowed(e, (u16)port, size);
	if (!r)
		r = e->ops->io_out(e, (u16)port, size, &v, &count);
	if (!r)
		io_breakpoint(e, (u16)port, size);
	return r;
}

/*
 * INS and OUTS move as many elements in one go as lie upward in one page of RAM; else one. The
 * memory side is known to be good before the port is touched.
 */
struct io_run {
	u64 count;
	unsigned int n;		/* elements of this run */
	unsigned int size;
	unsigned int reg;	/* X86_RSI, X86_RDI */
	bool rep;
	gva_t lin;
};

static int io_run_begin(struct emul *e, struct io_run *s, unsigned int seg, unsigned int reg,
			unsigned int access)
{
	const struct insn *i = &e->insn;
	unsigned int elem = access | emul_user(e);
	u64 off = emul_reg_read(e, reg, i->addrsize), bytes;
	gva_t lin;
	int r;

	s->rep = i->pfx & (PFX_REP | PFX_REPNE);
	s->size = i->opsize;
	s->reg = reg;
	s->count = s->rep ? emul_reg_read(e, X86_RCX, i->addrsize) : 1;
	s->n = 0;
	if (!s->count)
		return 0;
	r = emul_io_allowed(e, (u16)e->gpr[X86_RDX], s->size);
	if (!r)
		r = emul_data_linear(e, seg, off, s->size, access, &s->lin);
	if (r)
		return r;
	s->n = 1;
	if (!s->rep || (e->rflags & (X86_FLAG_DF | X86_FLAG_TF)) || !e->ops->is_ram ||
	    (e->st->dr7 & 0xff) || e->align_check)
		return 0;
	bytes = min_t(u64, BULK_BYTES, HV_PAGE_SIZE - (s->lin & ~HV_PAGE_MASK)) / s->size;
	bytes = min_t(u64, bytes, s->count) * s->size;
	if (bytes <= s->size || bytes - 1 > size_mask(i->addrsize) - off)
		return 0;
	if (!emul_linear(e, seg, off, bytes, access, &lin) && e->ops->is_ram(e, lin, bytes, elem))
		s->n = bytes / s->size;
	return 0;
}

static int io_run_end(struct emul *e, const struct io_run *s, unsigned int done)
{
	unsigned int addrsize = e->insn.addrsize;
	s64 by = (s64)done * s->size;

	io_breakpoint(e, (u16)e->gpr[X86_RDX], s->size);
	emul_reg_write(e, s->reg, addrsize, e->gpr[s->reg] + (e->rflags & X86_FLAG_DF ? -by : by));
	if (!s->rep)
		return 0;
	emul_reg_write(e, X86_RCX, addrsize, s->count - done);
	return s->count == done ? 0 : HANDLER_AGAIN;
}

int emul_op_ins(struct emul *e)
{
	unsigned int access = WALK_WRITE | emul_user(e), done, i, len;
	u8 buf[BULK_BYTES];
	struct io_run s;
	int r = io_run_begin(e, &s, X86_ES, X86_RDI, WALK_WRITE);

	if (r || !s.n)
		return r;
	if (s.n == 1 && !(e->ops->is_ram && e->ops->is_ram(e, s.lin, s.size, access))) {
		r = e->ops->read(e, s.lin, buf, s.size, access);
		if (r)
			return r;
	}
	done = s.n;
	r = e->ops->io_in(e, (u16)e->gpr[X86_RDX], s.size, buf, &done);
	if (r)
		return r;
	done = min_t(unsigned int, done, s.n);
	for (i = 0; i < done * s.size; i += len) {
		len = min_t(unsigned int, 64, done * s.size - i);
		r = e->ops->write(e, s.lin + i, buf + i, len, access);
		if (r)
			return r;
	}
	return io_run_end(e, &s, done);
}

int emul_op_outs(struct emul *e)
{
	unsigned int access = WALK_READ | emul_user(e), done, i, len;
	u8 buf[BULK_BYTES];
	struct io_run s;
	int r = io_run_begin(e, &s, e->insn.seg, X86_RSI, WALK_READ);

	if (r || !s.n)
		return r;
	for (i = 0; i < s.n * s.size; i += len) {
		len = min_t(unsigned int, 64, s.n * s.size - i);
		r = e->ops->read(e, s.lin + i, buf + i, len, access);
		if (r)
			return r;
	}
	done = s.n;
	r = e->ops->io_out(e, (u16)e->gpr[X86_RDX], s.size, buf, &done);
	return r ? r : io_run_end(e, &s, min_t(unsigned int, done, s.n));
}
