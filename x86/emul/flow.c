// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Near jumps, calls and returns. SDM 2A, 2B: JMP, CALL, RET, Jcc, LOOP. */
#include "private.h"

int emul_jump_check(struct emul *e, const struct x86_seg *cs, u64 *target, unsigned int opsize)
{
	*target &= size_mask(opsize);
	if (x86_long_mode(e->st) && (cs->attr & SEG_L))
		return x86_canonical(*target) ? 0 : emul_gp(e, 0);
	*target = (u32)*target;
	return *target <= cs->limit ? 0 : emul_gp(e, 0);
}

int emul_jump(struct emul *e, u64 target, unsigned int opsize)
{
	int r = emul_jump_check(e, &e->st->seg[X86_CS], &target, opsize);

	if (!r)
		e->rip = target;
	return r;
}

static int jump_relative(struct emul *e)
{
	return emul_jump(e, e->rip + e->insn.imm, e->insn.opsize);
}

int emul_op_jcc(struct emul *e)
{
	return emul_cond(e->rflags, INSN_CC(&e->insn)) ? jump_relative(e) : 0;
}

int emul_op_jmp(struct emul *e)
{
	return jump_relative(e);
}

int emul_op_jmp_ind(struct emul *e)
{
	u64 target;
	int r = emul_opnd_read(e, 0, &target);

	return r ? r : emul_jump(e, target, e->insn.opsize);
}

int emul_op_call(struct emul *e)
{
	u64 ret = e->rip;
	int r = jump_relative(e);

	return r ? r : emul_push(e, ret, e->insn.opsize);
}

int emul_op_call_ind(struct emul *e)
{
	u64 target, ret = e->rip;
	int r = emul_opnd_read(e, 0, &target);

	if (!r)
		r = emul_jump(e, target, e->insn.opsize);
	return r ? r : emul_push(e, ret, e->insn.opsize);
}

int emul_op_ret(struct emul *e)
{
	u64 target;
	int r = emul_pop(e, &target, e->insn.opsize);

	if (r)
		return r;
	if (e->insn.imm_size)
		emul_set_sp(e, emul_sp(e, (u16)e->insn.imm));
	return emul_jump(e, target, e->insn.opsize);
}

int emul_op_loop(struct emul *e)
{
	unsigned int size = e->insn.addrsize;
	u64 count = (emul_reg_read(e, X86_RCX, size) - 1) & size_mask(size);
	bool zf = e->rflags & X86_FLAG_ZF;

	emul_reg_write(e, X86_RCX, size, count);
	if (!count || (e->insn.op == OP_LOOPE && !zf) || (e->insn.op == OP_LOOPNE && zf))
		return 0;
	return jump_relative(e);
}

int emul_op_jcxz(struct emul *e)
{
	return emul_reg_read(e, X86_RCX, e->insn.addrsize) ? 0 : jump_relative(e);
}
