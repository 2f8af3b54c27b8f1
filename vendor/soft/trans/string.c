// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * MOVS, STOS and LODS without a REP prefix, upward: boot loaders copy and decompress with them. With REP, and
 * downward, they are done in C.
 */
#include "trans.h"

/* The address in reg into T1. */
static void index_ea(struct trans *t, u8 size, u8 reg)
{
	em_mov_rr(&t->e, size, T1, trans_home[reg]);
	if (size == 2)
		em_zx_rr(&t->e, 2, T1, trans_home[reg]);
}

static void index_advance(struct trans *t, u8 size, u8 reg, u8 by)
{
	u8 home = trans_home[reg];

	if (size == 2) {
		em_lea(&t->e, 4, T0, HMEM(home, by));
		em_mov_rr(&t->e, 2, home, T0);
	} else {
		em_lea(&t->e, size, home, HMEM(home, by));
	}
}

static bool in_line(const struct trans *t, const struct insn *in)
{
	if ((in->pfx & (PFX_REP | PFX_REPNE)) || (in->op != OP_MOVS && in->op != OP_STOS && in->op != OP_LODS))
		return false;
	return !trans_64(t) || (in->addrsize == 8 && in->seg < X86_FS);
}

bool trans_string(struct trans *t, const struct insn *in)
{
	struct cold c = { .kind = COLD_EXIT, .insn = t->i, .info = SX_STRING, .arg = trans_sys_arg(in), .off = t->off };
	struct hop load = { .prefix[0] = in->opsize == 2 ? 0x66 : 0, .w = in->opsize == 8 };
	u8 len = in->opsize, size = in->addrsize;
	u16 flags = trans_flags_before(t);
	struct emitter *e = &t->e;
	struct access a;

	if (!in_line(t, in))
		return false;
	em_mov_rm(e, 8, T1, SV(st.rflags));
	em_pext(e, T0, T1, SV(only_df));
	em_lea(e, 8, T0, HMEM(T0, e->go));
	c.site = em_unless_go(e);
	trans_cold(t, &c);
	/* nothing of the guest's registers changes before the last access that can fault */
	if (in->op != OP_STOS) {
		index_ea(t, size, X86_RSI);
		a = trans_access(t, in->seg, len, false, flags, false);
		if (in->op == OP_LODS) {
			load.opcode = 0x8a + (len != 1);
			em_op_rm(e, &load, H_RAX, &a.m);
		} else {
			em_mov_rm(e, len, a.free, a.m);
			em_mov_mr(e, 8, SV(scratch[3]), a.free);
		}
	}
	if (in->op != OP_LODS) {
		index_ea(t, size, X86_RDI);
		a = trans_access(t, X86_ES, len, true, flags, false);
		if (in->op == OP_MOVS) {
			em_mov_rm(e, 8, a.free, SV(scratch[3]));
			em_mov_mr(e, len, a.m, a.free);
		} else {
			em_mov_mr(e, len, a.m, H_RAX);
		}
		index_advance(t, size, X86_RDI, len);
	}
	if (in->op != OP_STOS)
		index_advance(t, size, X86_RSI, len);
	return true;
}
