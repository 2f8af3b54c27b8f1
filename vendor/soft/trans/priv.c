// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* System instructions that are common enough to stay in translated code, and the exit for all the others. */
#include "trans.h"

/* Leave translated code with st->rip = page start + off. */
void trans_exit(struct trans *t, u32 code, u32 arg, s32 off)
{
	struct emitter *e = &t->e;

	trans_page_off(t, T1, off);
	em_mov_mr(e, 8, SV(st.rip), T1);
	em_mov_mi(e, 4, SV(exit_arg), arg);
	em_mov_ri(e, H_RCX, code);
	em_patch32(e, em_jmp32(e), t->sv->cb.stub_exit);
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

bool trans_system(struct trans *t, const struct insn *in)
{
	switch (in->op) {
	case OP_RDTSC:
		if (!(t->sv->code_key & CODE_TSC))
			return false;
		trans_rdtsc(t);
		return true;
	case OP_RDTSCP:
		if (!(t->sv->code_key & CODE_TSC))
			return false;
		em_u8(&t->e, 0x0f);
		em_u8(&t->e, 0xae);
		em_u8(&t->e, 0xe8);	/* lfence: earlier loads first, as RDTSCP promises */
		trans_rdtsc(t);
		em_mov_rm(&t->e, 4, H_R13, SV(st.tsc_aux));
		return true;
	case OP_CLI:
		if (!(t->sv->code_key & CODE_CPL0))
			return false;
		if (!t->live[t->i]) {
			em_alu_mi(&t->e, 4, 4, SV(st.rflags), ~(s32)X86_FLAG_IF);
		} else {
			em_mov_rm(&t->e, 8, T1, SV(st.rflags));
			em_pext(&t->e, T1, T1, SV(clear_if));
			em_pdep(&t->e, T1, T1, SV(clear_if));
			em_mov_mr(&t->e, 4, SV(st.rflags), T1);
		}
		return true;
	default:
		return false;
	}
}
