// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * x87, MMX, SSE, AVX and the XSAVE family: whether they may run and where their memory operand is.
 * The vendor executes them. SDM 3A 2.5, 13.1; SDM 2A 2.4 (exception classes).
 */
#include "private.h"

static int fpu_check(struct emul *e)
{
	u64 cr0 = e->st->cr0;

	if (e->insn.op == OP_FWAIT)
		return (cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS) ? emul_raise(e, EXC_NM, 0) : 0;
	if ((cr0 & CR0_EM) && e->insn.op == OP_EMMS)
		return emul_ud(e);
	return cr0 & (CR0_EM | CR0_TS) ? emul_raise(e, EXC_NM, 0) : 0;
}

/* MMX instructions do not need the system's promise to save XMM registers. */
static bool mmx_only(const struct insn *i)
{
	bool mmx = false;
	unsigned int n;

	for (n = 0; n < i->nr_opnd; n++) {
		if (i->opnd[n].kind == OPND_VEC)
			return false;
		mmx |= i->opnd[n].kind == OPND_MMX;
	}
	return mmx || i->feature == FEAT_MMX;
}

static int vector_check(struct emul *e)
{
	const struct x86_state *st = e->st;
	const u64 avx = XCR0_SSE | XCR0_AVX;

	if (e->insn.enc == ENC_VEX) {
		if (!(st->cr4 & CR4_OSXSAVE) || (st->xcr0 & avx) != avx)
			return emul_ud(e);
	} else {
		if (st->cr0 & CR0_EM)
			return emul_ud(e);
		if (!(st->cr4 & CR4_OSFXSR) && !mmx_only(&e->insn))
			return emul_ud(e);
	}
	return st->cr0 & CR0_TS ? emul_raise(e, EXC_NM, 0) : 0;
}

/* Linear address of the operand; align: power of two it must have, or #GP(0). */
static int operand(struct emul *e, unsigned int seg, unsigned int len, unsigned int align,
		   gva_t *gva)
{
	unsigned int access = e->insn.mem_access & OPND_W ? WALK_WRITE : WALK_READ;
	int r = emul_data_linear(e, seg, e->ea, len ? len : 1, access, gva);

	if (!r && (*gva & (align - 1)))
		return emul_gp(e, 0);
	return r;
}

static int execute(struct emul *e, gva_t gva)
{
	return e->ops->vector ? e->ops->vector(e, gva) : -ENOSYS;
}

int emul_op_vector(struct emul *e)
{
	const struct insn *i = &e->insn;
	gva_t gva = 0;
	int r = i->attr & INSN_FPU ? fpu_check(e) : vector_check(e);

	if (r)
		return r;
	switch (i->op) {
	case OP_MASKMOVQ:
	case OP_MASKMOVDQU:
	case OP_VMASKMOVDQU:
		e->ea = emul_reg_read(e, X86_RDI, i->addrsize);
		r = emul_data_linear(e, i->seg, e->ea,
				     e->mode == INSN_MODE_64 ? 1 : i->op == OP_MASKMOVQ ? 8 : 16, WALK_WRITE, &gva);
		break;
	case OP_VPGATHERDD:
	case OP_VPGATHERDQ:
	case OP_VPGATHERQD:
	case OP_VPGATHERQQ:
	case OP_VGATHERDPS:
	case OP_VGATHERDPD:
	case OP_VGATHERQPS:
	case OP_VGATHERQPD:
		/* the index is a vector: the address of index 0, segment base included, for the
		 * vendor to add to */
		gva = i->disp + (i->base == INSN_BASE_NONE ? 0 : e->gpr[i->base & 15]);
		gva &= size_mask(i->addrsize);
		if (e->mode != INSN_MODE_64 || i->seg >= X86_FS)
			gva += e->st->seg[i->seg].base;
		break;
	default:
		/* which is found before anything that is wrong with the operand */
		if (i->has_mem && insn_waits_for_x87(i) && e->ops->x87_pending && e->ops->x87_pending(e))
			return emul_raise(e, EXC_MF, 0);
		if (i->has_mem)
			r = operand(e, i->seg, i->mem_size,
				    i->attr & INSN_ALIGNED && i->mem_size ? i->mem_size : 1, &gva);
		break;
	}
	return r ? r : execute(e, gva);
}

/* FXSAVE, FXRSTOR, XSAVE and their kin. SDM 1 13.4 to 13.12 */
int emul_op_xsave(struct emul *e)
{
	bool fx = e->insn.op == OP_FXSAVE || e->insn.op == OP_FXRSTOR;
	const struct x86_state *st = e->st;
	gva_t gva;
	int r;

	if (!fx && !(st->cr4 & CR4_OSXSAVE))
		return emul_ud(e);
	if (st->cr0 & (fx ? CR0_EM | CR0_TS : CR0_TS))
		return emul_raise(e, EXC_NM, 0);
	r = operand(e, e->insn.seg, fx ? 512 : 576, fx ? 16 : 64, &gva);
	return r ? r : execute(e, gva);
}

int emul_op_pkru(struct emul *e)
{
	return e->st->cr4 & CR4_PKE ? execute(e, 0) : emul_ud(e);
}
