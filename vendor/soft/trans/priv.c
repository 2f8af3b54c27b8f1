// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * System instructions that are common enough to stay in translated code, and the exit for all the
 * others.
 */
#include "trans.h"

/* Leave translated code with st->rip = page start + off. */
void trans_exit(struct trans *t, u32 code, u32 arg, s32 off)
{
	struct emitter *e = &t->e;

	trans_flags_back(t, t->i);
	trans_page_off(t, T1, off);
	em_mov_mr(e, 8, SV(st.rip), T1);
	em_mov_mi(e, 4, SV(exit_arg), arg);
	em_mov_ri(e, H_RCX, code);
	em_patch32(e, em_jmp32(e), t->sv->cb.stub_exit);
}

u32 trans_sys_arg(const struct insn *in)
{
	u32 arg = in->op | FIELD_PREP(SYS_LEN, in->len) |
		  FIELD_PREP(SYS_OPSIZE, in->opsize == 8 ? 3 : in->opsize == 4 ? 2 : in->opsize == 2 ? 1 : 0);

	if (in->op == OP_MOV_FROM_CR || in->op == OP_MOV_TO_CR) {
		const struct opnd *gpr = &in->opnd[in->op == OP_MOV_FROM_CR], *cr = &in->opnd[in->op != OP_MOV_FROM_CR];

		if (gpr->kind != OPND_GPR) {
			const struct opnd *o = gpr;

			gpr = cr;
			cr = o;
		}
		return arg | FIELD_PREP(SYS_GPR, gpr->reg) | FIELD_PREP(SYS_CR, cr->reg);
	}
	if (in->op == OP_IN || in->op == OP_OUT) {
		const struct opnd *port = &in->opnd[in->op == OP_IN];

		return port->kind == OPND_IMM ? arg | SYS_PORT_IMM | FIELD_PREP(SYS_PORT, in->imm & 0xff) : arg;
	}
	if (in->family != FAM_STRING)
		return arg;
	if (in->pfx & PFX_REP)
		arg |= SYS_REP;
	if (in->pfx & PFX_REPNE)
		arg |= SYS_REPNE;
	if (in->addrsize == 4)
		arg |= SYS_ADDR32;
	if (in->addrsize == 2)
		arg |= SYS_ADDR16;
	return arg | FIELD_PREP(SYS_SEG, in->seg);
}

/* RDTSC: EDX:EAX = host TSC + offset, without touching flags. */
static void trans_rdtsc(struct trans *t)
{
	struct emitter *e = &t->e;

	em_u8(e, 0x0f);
	em_u8(e, 0x31);
	em_rorx(e, 8, H_RDX, H_RDX, 32);
	em_mov_rm(e, 8, T0, SV(st.tsc_offset));
	em_lea(e, 8, H_RAX, HMEM_X(H_RAX, H_RDX, 0, 0));
	em_lea(e, 8, H_RAX, HMEM_X(H_RAX, T0, 0, 0));
	em_rorx(e, 8, H_RDX, H_RAX, 32);
	em_mov_rr(e, 4, H_RDX, H_RDX);
	em_mov_rr(e, 4, H_RAX, H_RAX);
}

static void trans_cli(struct trans *t)
{
	struct emitter *e = &t->e;

	if (!trans_flags_before(t)) {
		em_alu_mi(e, 4, 4, SV(st.rflags), ~(s32)X86_FLAG_IF);
	} else {
		em_mov_rm(e, 8, T1, SV(st.rflags));
		em_pext(e, T1, T1, SV(clear_if));
		em_pdep(e, T1, T1, SV(clear_if));
		em_mov_mr(e, 4, SV(st.rflags), T1);
	}
}

/* PUSHF as 64-bit code has it: the arithmetic flags are the host's, the others in st.rflags. */
static void trans_pushf(struct trans *t)
{
	struct emitter *e = &t->e;

	em_u8(e, 0x9c);			/* pushfq; pop %rcx */
	em_u8(e, 0x58 + T0);
	em_pext(e, T0, T0, SV(only_arith));
	em_pdep(e, T0, T0, SV(only_arith));
	em_mov_rm(e, 8, T1, SV(st.rflags));
	em_pext(e, T1, T1, SV(pushed_flags));
	em_pdep(e, T1, T1, SV(pushed_flags));
	em_lea(e, 8, T0, HMEM_X(T0, T1, 0, 0));
	em_mov_mr(e, 8, SV(scratch[3]), T0);
	trans_push_value(t, 8, H_NONE);
}

/*
 * STI. Nothing can leave the block between this and the next instruction's end but that instruction
 * itself, which is just the shadow. An interrupt that waits already needs the exact way, in C.
 */
static bool trans_sti(struct trans *t, const struct insn *in)
{
	struct emitter *e = &t->e;
	struct cold c = { .kind = COLD_EXIT, .insn = t->i, .info = SX_SYSTEM, .arg = trans_sys_arg(in), .off = t->off };

	if (t->i + 1 == t->n)
		return false;
	em_mov_rm(e, 1, H_RCX, SV(want_intr_window));
	em_lea(e, 8, H_RCX, HMEM(H_RCX, e->go));
	c.site = em_unless_go(e);
	trans_cold(t, &c);
	em_mov_rm(e, 8, T1, SV(st.rflags));
	em_pext(e, T1, T1, SV(clear_if));
	em_pdep(e, T1, T1, SV(clear_if));
	em_lea(e, 8, T1, HMEM(T1, X86_FLAG_IF));
	em_mov_mr(e, 4, SV(st.rflags), T1);
	return true;
}

static bool trans_fsgsbase(struct trans *t, const struct insn *in)
{
	u8 seg = in->op == OP_RDFSBASE || in->op == OP_WRFSBASE ? X86_FS : X86_GS;
	const struct opnd *o = &in->opnd[0];

	/* 32-bit forms, and WRxxBASE with its canonical check, are left to the emulator */
	if (!(t->sv->st.cr4 & CR4_FSGSBASE) || in->opsize != 8 || o->kind != OPND_GPR ||
	    in->op == OP_WRFSBASE || in->op == OP_WRGSBASE)
		return false;
	em_mov_rm(&t->e, 8, T1, SEG_MEM(seg, base));
	trans_gpr_store(t, o->reg, T1);
	return true;
}

static bool trans_from_sreg(struct trans *t, const struct insn *in)
{
	const struct opnd *o = &in->opnd[0];
	struct emitter *e = &t->e;
	struct access a;

	if (in->has_mem) {
		if (!trans_ea(t, in))
			return false;
		a = trans_access(t, in->seg, 2, true, trans_flags_before(t), false);
		em_mov_rm(e, 2, a.free, SEG_MEM(in->opnd[1].reg, sel));
		em_mov_mr(e, 2, a.m, a.free);
		return true;
	}
	em_mov_rm(e, 2, T1, SEG_MEM(in->opnd[1].reg, sel));
	if (in->opsize >= 4)
		trans_gpr_store(t, o->reg, T1);
	else if (trans_home[o->reg] != H_NONE)
		em_mov_rr(e, 2, trans_home[o->reg], T1);
	else
		em_mov_mr(e, 2, GPR_MEM(o->reg), T1);
	return true;
}

/* MOV and POP to ES, DS, FS and GS in real mode: the base changes, and nothing else if they look as CODE_REALSEG says. */
static bool trans_real_sreg(struct trans *t, const struct insn *in)
{
	u8 reg = in->opnd[0].reg;
	struct emitter *e = &t->e;
	struct access a;

	if (reg == X86_SS || reg == X86_CS)
		return false;
	if (in->op == OP_POP_SREG) {
		trans_sp_ea(t, 0);
		a = trans_access(t, X86_SS, 2, false, trans_flags_before(t), true);
		em_mov_rm(e, 2, T1, a.m);
		trans_sp_add(t, in->opsize);
	} else if (in->has_mem) {
		if (!trans_ea(t, in))
			return false;
		a = trans_access(t, in->seg, 2, false, trans_flags_before(t), false);
		em_mov_rm(e, 2, T1, a.m);
	} else {
		em_zx_rr(e, 2, T1, trans_home[in->opnd[1].reg]);
	}
	em_mov_mr(e, 2, SEG_MEM(reg, sel), T1);
	em_lea(e, 4, T1, HMEM_X(H_NONE, T1, 3, 0));
	em_lea(e, 4, T1, HMEM_X(T1, T1, 0, 0));
	em_mov_mr(e, 8, SEG_MEM(reg, base), T1);
	em_mov_mr(e, 8, VIEW(reg, base), T1);
	return true;
}

bool trans_system(struct trans *t, const struct insn *in)
{
	struct emitter *e = &t->e;
	u16 key = t->key;

	switch (in->op) {
	case OP_RDTSC:
		if (!(key & CODE_TSC))
			return false;
		trans_rdtsc(t);
		return true;
	case OP_RDTSCP:
		if (!(key & CODE_TSC))
			return false;
		em_u8(e, 0x0f);
		em_u8(e, 0xae);
		em_u8(e, 0xe8);		/* lfence: earlier loads first, as RDTSCP promises */
		trans_rdtsc(t);
		em_mov_rm(e, 4, H_R13, SV(st.tsc_aux));
		return true;
	case OP_CLI:
		if (!(key & CODE_CPL0))
			return false;
		trans_cli(t);
		return true;
	case OP_STI:
		return (key & CODE_CPL0) && trans_sti(t, in);
	case OP_PUSHF:
		if (!trans_64(t) || in->opsize != 8)
			return false;
		trans_pushf(t);
		return true;
	case OP_SWAPGS:
		if (!(key & CODE_CPL0))
			return false;
		em_mov_rm(e, 8, T1, SEG_MEM(X86_GS, base));
		em_mov_rm(e, 8, T2, SV(st.kernel_gs_base));
		em_mov_mr(e, 8, SEG_MEM(X86_GS, base), T2);
		em_mov_mr(e, 8, SV(st.kernel_gs_base), T1);
		return true;
	case OP_MOV_FROM_SREG:
		return trans_from_sreg(t, in);
	case OP_PUSH_SREG:
		return trans_push_sreg(t, in);
	case OP_MOV_TO_SREG: case OP_POP_SREG:
		return (key & CODE_REALSEG) && trans_real_sreg(t, in);
	case OP_RDFSBASE: case OP_RDGSBASE: case OP_WRFSBASE: case OP_WRGSBASE:
		return trans_fsgsbase(t, in);
	case OP_INVLPG:
		if ((key & CODE_64) && (key & CODE_CPL0) && in->has_mem && trans_ea(t, in))
			em_mov_mr(e, 8, SV(exit_arg64), T1);
		else
			return false;
		trans_exit(t, SX_SYSTEM, trans_sys_arg(in), t->off);
		return true;
	case OP_VERW:
		/* kernels clear processors' buffers with it, each time they go back to a program */
		if (!trans_64(t) || !in->has_mem || !trans_ea(t, in))
			return false;
		em_mov_mr(e, 8, SV(exit_arg64), T1);
		trans_exit(t, SX_SYSTEM, trans_sys_arg(in) | SYS_MEM, t->off);
		return true;
	}
	return false;
}
