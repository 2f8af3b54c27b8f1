// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Data movement, exchange, stack frames, and the odd integer instructions that are no arithmetic.
 * SDM 2A, 2B.
 */
#include "alu.h"

int emul_op_mov(struct emul *e)
{
	u64 v;
	int r = emul_opnd_read(e, 1, &v);

	return r ? r : emul_opnd_write(e, 0, v);
}

int emul_op_movsx(struct emul *e)
{
	u64 v;
	int r = emul_opnd_read(e, 1, &v);

	return r ? r : emul_opnd_write(e, 0, sign_extend(v, e->insn.opnd[1].size));
}

int emul_op_lea(struct emul *e)
{
	return emul_opnd_write(e, 0, e->ea);
}

int emul_op_bswap(struct emul *e)
{
	const struct opnd *o = &e->insn.opnd[0];
	u64 v = e->gpr[o->reg & 15];

	if (o->size == 8)
		v = __builtin_bswap64(v);
	else if (o->size == 4)
		v = __builtin_bswap32((u32)v);
	else
		v = 0;	/* undefined with 16 bits; processors clear the register */
	return emul_opnd_write(e, 0, v);
}

int emul_op_movbe(struct emul *e)
{
	unsigned int size = e->insn.opnd[0].size;
	u64 v;
	int r = emul_opnd_read(e, 1, &v);

	if (r)
		return r;
	if (size == 8)
		v = __builtin_bswap64(v);
	else if (size == 4)
		v = __builtin_bswap32((u32)v);
	else
		v = __builtin_bswap16((u16)v);
	return emul_opnd_write(e, 0, v);
}

int emul_op_xlat(struct emul *e)
{
	u64 off = (e->gpr[X86_RBX] + (u8)e->gpr[X86_RAX]) & size_mask(e->insn.addrsize);
	u8 v;
	int r = emul_read(e, e->insn.seg, off, &v, 1);

	if (!r)
		emul_reg_write(e, X86_RAX, 1, v);
	return r;
}

/* ---- exchange: memory operands of XCHG are locked always ------------------------------------- */

static u64 take_src(u64 dst, u64 src, unsigned int size, u32 *flags)
{
	return src;
}

int emul_op_xchg(struct emul *e)
{
	u64 a, b;
	int r;

	if (e->insn.opnd[0].kind == OPND_GPR && e->insn.opnd[1].kind == OPND_GPR) {
		emul_opnd_read(e, 0, &a);
		emul_opnd_read(e, 1, &b);
		emul_opnd_write(e, 0, b);
		return emul_opnd_write(e, 1, a);
	}
	e->insn.pfx |= PFX_LOCK;
	emul_opnd_read(e, 1, &b);
	r = emul_rmw(e, take_src, b, &a);
	return r ? r : emul_opnd_write(e, 1, a);
}

int emul_op_xadd(struct emul *e)
{
	u64 src, old, v;
	int r;

	emul_opnd_read(e, 1, &src);
	r = emul_rmw(e, emul_alu_add, src, &old);
	if (r || e->insn.opnd[0].kind == OPND_MEM)
		return r ? r : emul_opnd_write(e, 1, old);
	/* the sum is written last: XADD of a register with itself doubles it */
	emul_opnd_read(e, 0, &v);
	emul_opnd_write(e, 1, old);
	return emul_opnd_write(e, 0, v);
}

/*
 * Compare and exchange in memory, as one access. @old: what is asked for, then what was there; @equal: it was that. The first read
 * is for devices, where there is no comparing; what is not equal is written back, which a device hears. -EBUSY never.
 */
static int locked_cmpxchg(struct emul *e, gva_t lin, u64 *old, const u64 *new, unsigned int size, unsigned int access, bool *equal)
{
	u64 cur[2] = { 0 }, put[2];
	int r = e->ops->read(e, lin, cur, size, access);

	if (r)
		return r;
	do {
		*equal = !host_memcmp(cur, old, size);
		host_memcpy(put, *equal ? new : cur, size);
		r = e->ops->cmpxchg(e, lin, cur, put, size, access);
	} while (r == -EBUSY);
	host_memcpy(old, cur, size);
	return r;
}

int emul_op_cmpxchg(struct emul *e)
{
	const struct opnd *o = &e->insn.opnd[0];
	unsigned int size = o->size, access = WALK_WRITE | emul_user(e);
	u64 acc = emul_reg_read(e, X86_RAX, size), src, old = 0;
	bool equal;
	gva_t lin;
	int r;

	emul_opnd_read(e, 1, &src);
	if (o->kind == OPND_GPR) {
		emul_opnd_read(e, 0, &old);
		emul_flags_cmp(e, acc, old, size);
		if (old == acc)
			return emul_opnd_write(e, 0, src);
		emul_reg_write(e, X86_RAX, size, old);
		return 0;
	}
	r = emul_data_linear(e, e->insn.seg, e->ea, size, WALK_WRITE, &lin);
	if (r)
		return r;
	if (e->insn.pfx & PFX_LOCK) {
		old = acc;
		r = locked_cmpxchg(e, lin, &old, &src, size, access, &equal);
	} else {
		r = e->ops->read(e, lin, &old, size, access);
		if (r)
			return r;
		equal = old == acc;
		r = e->ops->write(e, lin, equal ? &src : &old, size, access);
	}
	if (r)
		return r;
	emul_flags_cmp(e, acc, old, size);
	if (!equal)
		emul_reg_write(e, X86_RAX, size, old);
	return 0;
}

/* CMPXCHG8B and CMPXCHG16B; always atomic here. */
int emul_op_cmpxchg8b(struct emul *e)
{
	unsigned int half = e->insn.op == OP_CMPXCHG16B ? 8 : 4;
	unsigned int access = WALK_WRITE | emul_user(e);
	u64 old[2], new[2];
	bool equal;
	gva_t lin;
	int r;

	r = emul_data_linear(e, e->insn.seg, e->ea, 2 * half, WALK_WRITE, &lin);
	if (r)
		return r;
	if (half == 8 && (lin & 15))
		return emul_gp(e, 0);
	if (half == 8) {
		old[0] = e->gpr[X86_RAX];
		old[1] = e->gpr[X86_RDX];
		new[0] = e->gpr[X86_RBX];
		new[1] = e->gpr[X86_RCX];
	} else {
		old[0] = (u32)e->gpr[X86_RAX] | e->gpr[X86_RDX] << 32;
		new[0] = (u32)e->gpr[X86_RBX] | e->gpr[X86_RCX] << 32;
		old[1] = new[1] = 0;
	}
	r = locked_cmpxchg(e, lin, old, new, 2 * half, access, &equal);
	if (r)
		return r;
	e->rflags &= ~X86_FLAG_ZF;
	if (equal) {
		e->rflags |= X86_FLAG_ZF;
		return 0;
	}
	if (half == 8) {
		e->gpr[X86_RAX] = old[0];
		e->gpr[X86_RDX] = old[1];
	} else {
		e->gpr[X86_RAX] = (u32)old[0];
		e->gpr[X86_RDX] = old[0] >> 32;
	}
	return 0;
}

/* ---- stack ----------------------------------------------------------------------------------- */

int emul_op_push(struct emul *e)
{
	u64 v;
	int r = emul_opnd_read(e, 0, &v);

	return r ? r : emul_push(e, v, e->insn.opsize);
}

int emul_op_pop(struct emul *e)
{
	u64 v;
	int r = emul_pop(e, &v, e->insn.opsize);

	if (r)
		return r;
	/* an address that uses rSP uses the incremented one */
	if (e->insn.has_mem)
		emul_compute_ea(e);
	return emul_opnd_write(e, 0, v);
}

int emul_op_pusha(struct emul *e)
{
	u64 val[8];
	unsigned int i;

	for (i = 0; i < 8; i++)
		val[i] = e->gpr[i];
	return emul_push_frame(e, val, 8, e->insn.opsize);
}

int emul_op_popa(struct emul *e)
{
	u64 v;
	int i, r;

	for (i = 7; i >= 0; i--) {
		r = emul_pop(e, &v, e->insn.opsize);
		if (r)
			return r;
		if (i != X86_RSP)
			emul_reg_write(e, i, e->insn.opsize, v);
	}
	return 0;
}

int emul_op_enter(struct emul *e)
{
	unsigned int size = e->insn.opsize, level = e->insn.imm2 & 31, i;
	u64 frame, bp = e->gpr[X86_RBP], v = 0;
	gva_t lin;
	int r;

	r = emul_push(e, bp, size);
	if (r)
		return r;
	frame = e->gpr[X86_RSP];
	for (i = 1; i < level; i++) {
		bp -= size;
		v = 0;
		r = emul_read(e, X86_SS, bp & size_mask(e->stack_size), &v, size);
		if (!r)
			r = emul_push(e, v, size);
		if (r)
			return r;
	}
	if (level) {
		r = emul_push(e, frame, size);
		if (r)
			return r;
	}
	emul_reg_write(e, X86_RBP, size, frame);
	emul_set_sp(e, emul_sp(e, -(s64)(u16)e->insn.imm));
	/* the final stack pointer must be writable, though nothing is written there */
	r = emul_linear(e, X86_SS, emul_sp(e, 0), size, WALK_WRITE, &lin);
	return r ? r : e->ops->read(e, lin, &v, size, WALK_WRITE | emul_user(e));
}

int emul_op_leave(struct emul *e)
{
	u64 v;
	int r;

	emul_set_sp(e, e->gpr[X86_RBP]);
	r = emul_pop(e, &v, e->insn.opsize);
	if (!r)
		emul_reg_write(e, X86_RBP, e->insn.opsize, v);
	return r;
}

/* ---- conditions, flags, conversions ---------------------------------------------------------- */

int emul_op_setcc(struct emul *e)
{
	return emul_opnd_write(e, 0, emul_cond(e->rflags, INSN_CC(&e->insn)));
}

int emul_op_cmovcc(struct emul *e)
{
	u64 v;
	int r = emul_opnd_read(e, 1, &v);

	if (r)
		return r;
	/* a 32-bit destination is zero-extended either way */
	if (!emul_cond(e->rflags, INSN_CC(&e->insn)))
		emul_opnd_read(e, 0, &v);
	return emul_opnd_write(e, 0, v);
}

int emul_op_flag(struct emul *e)
{
	switch (e->insn.op) {
	case OP_CLC:
		e->rflags &= ~X86_FLAG_CF;
		break;
	case OP_STC:
		e->rflags |= X86_FLAG_CF;
		break;
	case OP_CMC:
		e->rflags ^= X86_FLAG_CF;
		break;
	case OP_CLD:
		e->rflags &= ~X86_FLAG_DF;
		break;
	default:
		e->rflags |= X86_FLAG_DF;
		break;
	}
	return 0;
}

#define LAHF_FLAGS (X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF)

int emul_op_lahf(struct emul *e)
{
	if (e->mode == INSN_MODE_64 && !e->ops->has_feature(e, FEAT_LAHF64))
		return emul_ud(e);
	e->gpr[X86_RAX] = (e->gpr[X86_RAX] & ~0xff00ULL) |
			  ((e->rflags & LAHF_FLAGS) | X86_FLAG_FIXED) << 8;
	return 0;
}

int emul_op_sahf(struct emul *e)
{
	if (e->mode == INSN_MODE_64 && !e->ops->has_feature(e, FEAT_LAHF64))
		return emul_ud(e);
	e->rflags = (e->rflags & ~LAHF_FLAGS) | ((e->gpr[X86_RAX] >> 8) & LAHF_FLAGS);
	return 0;
}

int emul_op_salc(struct emul *e)
{
	emul_reg_write(e, X86_RAX, 1, e->rflags & X86_FLAG_CF ? 0xff : 0);
	return 0;
}

int emul_op_cbw(struct emul *e)
{
	unsigned int size = e->insn.opsize;

	emul_reg_write(e, X86_RAX, size,
		       sign_extend(e->gpr[X86_RAX] & size_mask(size / 2), size / 2));
	return 0;
}

int emul_op_cwd(struct emul *e)
{
	unsigned int size = e->insn.opsize;

	emul_reg_write(e, X86_RDX, size, (u64)((s64)sign_extend(e->gpr[X86_RAX], size) >> 63));
	return 0;
}

static void flags_szp(struct emul *e, u8 v, u64 others)
{
	u64 f = e->rflags & ~X86_FLAGS_ARITH;

	f |= v & X86_FLAG_SF;
	f |= v ? 0 : X86_FLAG_ZF;
	f |= __builtin_parity(v) ? 0 : X86_FLAG_PF;
	e->rflags = f | others;
}

/*
 * Decimal adjustment; not in 64-bit mode, so not the host's to execute. Flags that the manual
 * leaves undefined are as measured on AMD's processors: those of the addition or subtraction
 * inside. SDM 2A AAA to DAS
 */
int emul_op_bcd(struct emul *e)
{
	u16 ax = (u16)e->gpr[X86_RAX];
	u8 al = (u8)ax, old = al, base = (u8)e->insn.imm;
	bool af = e->rflags & X86_FLAG_AF, cf = e->rflags & X86_FLAG_CF;
	bool low = (al & 15) > 9 || af, high = al > 0x99 || cf, borrow;
	const u64 carries = X86_FLAG_AF | X86_FLAG_CF;
	u32 f = emul_flags_pack(e->rflags);

	switch (e->insn.op) {
	case OP_AAA:
		emul_alu_add(ax, low ? 0x106 : 0, 2, &f);
		e->rflags = (emul_flags_unpack(e->rflags, f) & ~carries) | (low ? carries : 0);
		ax = (low ? ax + 0x106 : ax) & 0xff0f;
		break;
	case OP_AAS:
		emul_flags_cmp(e, ax, low ? 0x106 : 0, 2);
		e->rflags = (e->rflags & ~carries) | (low ? carries : 0);
		ax = (low ? ax - 0x106 : ax) & 0xff0f;
		break;
	case OP_DAA:
		if (low)
			al += 6;
		if (high)
			al += 0x60;
		ax = (ax & 0xff00) | al;
		flags_szp(e, al, (low ? X86_FLAG_AF : 0) | (high ? X86_FLAG_CF : 0) |
			  (~old & al & 0x80 ? X86_FLAG_OF : 0));
		break;
	case OP_DAS:
		borrow = cf || (low && old < 6);
		if (low)
			al -= 6;
		if (high)
			al -= 0x60;
		ax = (ax & 0xff00) | al;
		flags_szp(e, al, (low ? X86_FLAG_AF : 0) | (high || borrow ? X86_FLAG_CF : 0) |
			  (old & ~al & 0x80 ? X86_FLAG_OF : 0));
		break;
	case OP_AAM:
		if (!base)
			return emul_raise(e, EXC_DE, 0);
		ax = (u16)((al / base) << 8 | al % base);
		flags_szp(e, (u8)ax, 0);
		break;
	default:
		ax = (u8)emul_alu_add(al, (u8)((ax >> 8) * base), 1, &f);
		e->rflags = emul_flags_unpack(e->rflags, f);
		break;
	}
	emul_reg_write(e, X86_RAX, 2, ax);
	return 0;
}

/* ---- no effect, or only on caches ------------------------------------------------------------ */

int emul_op_nop(struct emul *e)
{
	return 0;
}

int emul_op_prefetch(struct emul *e)
{
	return 0;	/* never faults */
}

int emul_op_clflush(struct emul *e)
{
	u8 v;

	return emul_read(e, e->insn.seg, e->ea, &v, 1);
}

int emul_op_clzero(struct emul *e)
{
	u64 off = e->gpr[X86_RAX] & size_mask(e->insn.addrsize) & ~63ULL;
	u64 zero[8] = { 0 };

	return emul_write(e, e->insn.seg, off, zero, sizeof(zero));
}

int emul_op_ud(struct emul *e)
{
	return emul_ud(e);
}

int emul_op_bound(struct emul *e)
{
	unsigned int size = e->insn.opsize;
	s64 index, bounds[2];
	u64 v;
	unsigned int i;
	int r;

	emul_opnd_read(e, 0, &v);
	index = (s64)sign_extend(v, size);
	for (i = 0; i < 2; i++) {
		v = 0;
		r = emul_read(e, e->insn.seg, (e->ea + i * size) & size_mask(e->insn.addrsize), &v, size);
		if (r)
			return r;
		bounds[i] = (s64)sign_extend(v, size);
	}
	return index < bounds[0] || index > bounds[1] ? emul_raise(e, EXC_BR, 0) : 0;
}
