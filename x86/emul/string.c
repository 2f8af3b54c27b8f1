// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * String instructions. A run of REP does a bounded amount of work and then reports EMUL_AGAIN, so
 * that events are taken in between; a fault after some iterations is left to the next run, which
 * meets it first. SDM 2B REP, MOVS
 */
#include "alu.h"

#define RUN_BYTES	4096
#define CHUNK		64

struct run {
	u64 count;		/* iterations left when the run begins */
	u64 done;
	u64 max;
	s64 step;
	unsigned int size;
	bool rep;
};

static void run_begin(struct emul *e, struct run *s)
{
	const struct insn *i = &e->insn;

	s->rep = i->pfx & (PFX_REP | PFX_REPNE);
	s->size = i->opsize;
	s->step = e->rflags & X86_FLAG_DF ? -(s64)i->opsize : i->opsize;
	s->count = s->rep ? emul_reg_read(e, X86_RCX, i->addrsize) : 1;
	s->done = 0;
	s->max = min_t(u64, s->count, RUN_BYTES / i->opsize);
	/* a single-step trap follows each iteration */
	if ((e->rflags & X86_FLAG_TF) && s->count)
		s->max = 1;
}

/* r: what ended the loop; stop: the instruction's own condition did. */
static int run_end(struct emul *e, const struct run *s, int r, bool stop)
{
	if (r && !s->done)
		return r;
	if (!s->rep)
		return 0;
	if (s->done)
		emul_reg_write(e, X86_RCX, e->insn.addrsize, s->count - s->done);
	return s->done == s->count || stop ? 0 : HANDLER_AGAIN;
}

static u64 offset(const struct emul *e, unsigned int reg)
{
	return emul_reg_read(e, reg, e->insn.addrsize);
}

static void advance(struct emul *e, unsigned int reg, s64 by)
{
	emul_reg_write(e, reg, e->insn.addrsize, e->gpr[reg] + by);
}

/*
 * Bytes from [seg:reg] on that one access may cover, at most bytes: inside the page, the segment
 * and the address size, upward, in RAM. 0: go element by element.
 */
static u64 chunk_at(struct emul *e, unsigned int seg, unsigned int reg, u64 bytes,
		    unsigned int access, gva_t *lin)
{
	u64 off = offset(e, reg), room;

	if (emul_linear(e, seg, off, 1, access, lin))
		return 0;
	room = HV_PAGE_SIZE - (*lin & ~HV_PAGE_MASK);
	bytes = min_t(u64, bytes, room);
	if (bytes - 1 > size_mask(e->insn.addrsize) - off ||
	    emul_linear(e, seg, off, bytes, access, lin))
		return 0;
	if (!e->ops->is_ram || !e->ops->is_ram(e, *lin, bytes, access | emul_user(e)))
		return 0;
	return bytes;
}

static bool bulk_possible(const struct emul *e, const struct run *s)
{
	return s->rep && s->step > 0 && s->max > 1 && !(e->st->dr7 & 0xff) && !e->align_check;
}

/*
 * MOVS upward through RAM: whole elements done, or 0. Ranges that overlap closely repeat a pattern:
 * not here.
 */
static u64 movs_bulk(struct emul *e, const struct run *s)
{
	u64 bytes = (s->max - s->done) * s->size, i, n;
	unsigned int user = emul_user(e);
	u8 buf[CHUNK];
	gva_t from, to;

	bytes = chunk_at(e, e->insn.seg, X86_RSI, bytes, WALK_READ, &from);
	if (bytes)
		bytes = chunk_at(e, X86_ES, X86_RDI, bytes, WALK_WRITE, &to);
	if (bytes < s->size || to - from < CHUNK)
		return 0;
	bytes -= bytes % s->size;
	for (i = 0; i < bytes; i += n) {
		n = min_t(u64, CHUNK, bytes - i);
		if (e->ops->read(e, from + i, buf, n, WALK_READ | user) ||
		    e->ops->write(e, to + i, buf, n, WALK_WRITE | user))
			break;
	}
	advance(e, X86_RSI, i);
	advance(e, X86_RDI, i);
	return i / s->size;
}

static u64 stos_bulk(struct emul *e, const struct run *s)
{
	u64 bytes = (s->max - s->done) * s->size, i, n, v = emul_reg_read(e, X86_RAX, s->size);
	u64 buf[CHUNK / 8];
	gva_t to;

	bytes = chunk_at(e, X86_ES, X86_RDI, bytes, WALK_WRITE, &to);
	bytes -= bytes % s->size;
	if (s->size < 8)
		v *= s->size == 1   ? 0x0101010101010101ULL
		     : s->size == 2 ? 0x0001000100010001ULL
				    : 0x100000001ULL;
	for (i = 0; i < CHUNK / 8; i++)
		buf[i] = v;
	for (i = 0; i < bytes; i += n) {
		n = min_t(u64, CHUNK, bytes - i);
		if (e->ops->write(e, to + i, buf, n, WALK_WRITE | emul_user(e)))
			break;
	}
	advance(e, X86_RDI, i);
	return i / s->size;
}

int emul_op_movs(struct emul *e)
{
	struct run s;
	u64 v, n;
	int r = 0;

	run_begin(e, &s);
	while (s.done < s.max && !e->db_trap) {
		if (bulk_possible(e, &s)) {
			n = movs_bulk(e, &s);
			s.done += n;
			if (n)
				continue;
		}
		r = emul_read(e, e->insn.seg, offset(e, X86_RSI), &v, s.size);
		if (!r)
			r = emul_write(e, X86_ES, offset(e, X86_RDI), &v, s.size);
		if (r)
			break;
		advance(e, X86_RSI, s.step);
		advance(e, X86_RDI, s.step);
		s.done++;
	}
	return run_end(e, &s, r, false);
}

int emul_op_stos(struct emul *e)
{
	struct run s;
	u64 n;
	int r = 0;

	run_begin(e, &s);
	while (s.done < s.max && !e->db_trap) {
		if (bulk_possible(e, &s)) {
			n = stos_bulk(e, &s);
			s.done += n;
			if (n)
				continue;
		}
		r = emul_write(e, X86_ES, offset(e, X86_RDI), &e->gpr[X86_RAX], s.size);
		if (r)
			break;
		advance(e, X86_RDI, s.step);
		s.done++;
	}
	return run_end(e, &s, r, false);
}

int emul_op_lods(struct emul *e)
{
	struct run s;
	u64 v;
	int r = 0;

	run_begin(e, &s);
	while (s.done < s.max && !e->db_trap) {
		r = emul_read(e, e->insn.seg, offset(e, X86_RSI), &v, s.size);
		if (r)
			break;
		emul_reg_write(e, X86_RAX, s.size, v);
		advance(e, X86_RSI, s.step);
		s.done++;
	}
	return run_end(e, &s, r, false);
}

/*
 * CMPS and SCAS: compare until the repeat condition fails. a is rAX for SCAS, read from rSI for
 * CMPS.
 */
static int compare(struct emul *e, bool cmps)
{
	bool stop = false, zf;
	struct run s;
	u64 a = e->gpr[X86_RAX], b;
	int r = 0;

	run_begin(e, &s);
	while (s.done < s.max && !stop && !e->db_trap) {
		/* where both addresses fault, processors report rDI's */
		r = emul_read(e, X86_ES, offset(e, X86_RDI), &b, s.size);
		if (!r && cmps)
			r = emul_read(e, e->insn.seg, offset(e, X86_RSI), &a, s.size);
		if (r)
			break;
		emul_flags_cmp(e, a, b, s.size);
		if (cmps)
			advance(e, X86_RSI, s.step);
		advance(e, X86_RDI, s.step);
		s.done++;
		zf = e->rflags & X86_FLAG_ZF;
		stop = e->insn.pfx & PFX_REPNE ? zf : !zf;
	}
	return run_end(e, &s, r, stop);
}

int emul_op_cmps(struct emul *e)
{
	return compare(e, true);
}

int emul_op_scas(struct emul *e)
{
	return compare(e, false);
}
