// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory operands: the guest-linear address, and the soft TLB's check of it. Two variants: one may clobber the
 * flags (trans_flags_before() says so), the other works with LEA, PEXT and LOOP or JRCXZ only, which leave flags alone.
 */
#include "trans.h"

const u8 trans_home[X86_NR_GPR] = {
	[X86_RAX] = H_RAX, [X86_RCX] = H_R13, [X86_RDX] = H_RDX, [X86_RBX] = H_RBX,
	[X86_RSP] = H_R11, [X86_RBP] = H_RBP, [X86_RSI] = H_RSI, [X86_RDI] = H_RDI,
	[X86_R8] = H_R8, [X86_R9] = H_R9, [X86_R10] = H_R10, [X86_R11] = H_NONE,
	[X86_R12] = H_R12, [X86_R13] = H_NONE, [X86_R14] = H_NONE, [X86_R15] = H_NONE,
};

void trans_gpr_load(struct trans *t, u8 size, u8 dst, u8 guest)
{
	if (trans_home[guest] != H_NONE) {
		if (trans_home[guest] != dst)
			em_mov_rr(&t->e, size, dst, trans_home[guest]);
	} else {
		em_mov_rm(&t->e, size, dst, GPR_MEM(guest));
	}
}

void trans_gpr_store(struct trans *t, u8 guest, u8 src)
{
	if (trans_home[guest] != H_NONE) {
		if (trans_home[guest] != src)
			em_mov_rr(&t->e, 8, trans_home[guest], src);
	} else {
		em_mov_mr(&t->e, 8, GPR_MEM(guest), src);
	}
}

void trans_cold(struct trans *t, const struct cold *c)
{
	if (t->nr_cold < MAX_COLD)
		t->cold[t->nr_cold++] = *c;
	else
		t->e.overflow = true;
}

void trans_page_off(struct trans *t, u8 dst, s64 off)
{
	if (!trans_64(t)) {
		em_mov_rm(&t->e, 4, dst, SV(page_va));
		if (off)
			em_lea(&t->e, 4, dst, HMEM(dst, (s32)off));
		return;
	}
	em_mov_rm(&t->e, 8, dst, SV(page_va));
	while (off) {
		/* an instruction near the page's end can push a 32-bit displacement over its limit */
		s32 d = off > 0x7fffffff ? 0x7fffffff : off < -0x7fffffffLL ? -0x7fffffff : off;

		em_lea(&t->e, 8, dst, HMEM(dst, d));
		off -= d;
	}
}

void trans_base_index(struct trans *t, const struct insn *in, u8 *base, u8 *index)
{
	*base = *index = H_NONE;
	if (in->base != INSN_BASE_NONE) {
		*base = trans_home[in->base];
		if (*base == H_NONE) {
			em_mov_rm(&t->e, 8, T1, GPR_MEM(in->base));
			*base = T1;
		}
	}
	if (in->index != INSN_BASE_NONE) {
		*index = trans_home[in->index];
		if (*index == H_NONE) {
			em_mov_rm(&t->e, 8, T2, GPR_MEM(in->index));
			*index = T2;
		}
	}
}

bool trans_ea(struct trans *t, const struct insn *in)
{
	u8 size = in->addrsize == 8 ? 8 : 4;
	u8 base = H_NONE, index = H_NONE;
	bool fsgs = trans_64(t) && (in->seg == X86_FS || in->seg == X86_GS);

	if (in->attr & INSN_VSIB)
		return false;
	if (in->base == INSN_BASE_RIP) {
		trans_page_off(t, T1, (s64)t->next_off + in->disp);
		if (size == 4)
			em_mov_rr(&t->e, 4, T1, T1);
	} else {
		trans_base_index(t, in, &base, &index);
		if (index == H_NONE && !in->disp && base != H_NONE)
			em_mov_rr(&t->e, size, T1, base);
		else if (index == H_NONE && base == H_NONE)
			em_mov_ri(&t->e, T1, in->addrsize == 2 ? (u16)in->disp : size == 4 ? (u32)in->disp : (u64)in->disp);
		else if ((s32)in->disp == in->disp)
			em_lea(&t->e, size, T1, HMEM_X(base, index, in->scale, in->disp));
		else
			return false;
		if (in->addrsize == 2 && (base != H_NONE || index != H_NONE))
			em_zx_rr(&t->e, 2, T1, T1);
	}
	if (fsgs) {
		em_mov_rm(&t->e, 8, T2, SEG_MEM(in->seg, base));
		em_lea(&t->e, 8, T1, HMEM_X(T1, T2, 0, 0));
	}
	return true;
}

void trans_segment(struct trans *t, u8 seg, u32 len, bool write, u16 flags)
{
	struct cold c = { .kind = COLD_EXIT, .insn = t->i, .info = SX_EMULATE, .off = t->off };
	struct emitter *e = &t->e;

	if (trans_64(t) || ((t->key & CODE_FLAT) && seg < X86_FS && !(seg == X86_CS && write)))
		return;
	if (!flags) {
		if (len == 1) {
			em_alu_rm(e, 8, 0x3b, T1, VIEW(seg, last[write]));
		} else {
			em_lea(e, 8, T0, HMEM(T1, len - 1));
			em_alu_rm(e, 8, 0x3b, T0, VIEW(seg, last[write]));
		}
		c.site = em_jcc32(e, 15);	/* jg */
	} else {
		/* last byte - last offset - 1 is negative, its upper half -1, if the access is inside */
		em_mov_rm(e, 8, T0, VIEW(seg, neg_last[write]));
		em_lea(e, 8, T0, HMEM_X(T0, T1, 0, (s32)len - 2));
		em_rorx(e, 8, T0, T0, 32);
		em_lea(e, 4, T0, HMEM(T0, 1 + e->go));
		c.site = em_unless_go(e);
	}
	trans_cold(t, &c);
	em_mov_rm(e, 8, T0, VIEW(seg, base));
	em_lea(e, 4, T1, HMEM_X(T1, T0, 0, 0));
}

static u32 log2_size(u32 len)
{
	return len <= 1 ? 0 : 32 - __builtin_clz(len - 1);
}

void trans_tlb_index(struct trans *t)
{
	struct emitter *e = &t->e;

	if (t->sv->slow_pext) {
		em_mov_rr(e, 4, T0, T1);
		em_shift_ri(e, 4, 5, T0, HV_PAGE_SHIFT);
		em_alu_ri(e, 4, 4, T0, TLB_SIZE - 1);
	} else {
		em_pext(e, T0, T1, SV(pext_tlb));
	}
}

struct hmem trans_tlb_neg(bool write)
{
	return HMEM_GS(H_NONE, T0, 3, write ? SPACE_OFF(tlb.wneg) : SPACE_OFF(tlb.rneg));
}

/* Flags may be clobbered: compare the distance from the page. */
static struct access access_plain(struct trans *t, u32 info, bool stack)
{
	struct emitter *e = &t->e;
	u32 len = info & TLBI_LEN;
	struct cold c = { .kind = COLD_TLB, .insn = t->i, .info = info };
	struct hmem neg = SPACE_MEM(stk_neg);
	struct hmem addend = SPACE_MEM(stk_addend);

	if (!stack) {
		trans_tlb_index(t);
		neg = trans_tlb_neg(info & TLBI_WRITE);
		addend = HMEM_GS(H_NONE, T0, 3, SPACE_OFF(tlb.addend));
	}
	em_mov_rm(e, 8, T2, neg);
	em_alu_rr(e, 8, 0x03, T2, T1);
	em_alu_ri(e, 8, 7, T2, HV_PAGE_SIZE - len);
	c.site = em_jcc32(e, 7);	/* ja */
	em_mov_rm(e, 8, T0, addend);
	/* the slow path comes back with T0 = host - address and T1 = address */
	c.back = em_rx(e);
	trans_cold(t, &c);
	return (struct access){ .m = HMEM_X(T0, T1, 0, 0), .free = T2 };
}

/*
 * Flags live: the distance of the last byte from the tag must have no page number. That is enough, as no other tag in
 * the slot is near (TLB_NONE()). The stack's entry may be near: there the first byte counts, and a misaligned access
 * takes the slow path.
 */
static struct access access_live(struct trans *t, u32 info, bool stack)
{
	struct emitter *e = &t->e;
	u32 len = info & TLBI_LEN;
	struct hmem mask = SV(pext_page[0]);
	struct cold c = { .kind = COLD_TLB, .insn = t->i, .info = info, .keep_t2 = true };
	s32 go = e->go << HV_PAGE_SHIFT;

	if (stack && len <= 8 && !(len & (len - 1))) {
		mask.disp += 8 * log2_size(len);
		if (len > 1)
			go = e->go;
		em_mov_rm(e, 8, T0, SPACE_MEM(stk_neg));
		em_mov_rm(e, 8, T2, SPACE_MEM(stk_addend));
		em_lea(e, 8, T0, HMEM_X(T0, T1, 0, go));
	} else {
		em_pext(e, T0, T1, SV(pext_tlb));
		em_mov_rm(e, 8, T2, HMEM_GS(H_NONE, T0, 3, SPACE_OFF(tlb.addend)));
		em_mov_rm(e, 8, T0, trans_tlb_neg(info & TLBI_WRITE));
		em_lea(e, 8, T0, HMEM_X(T0, T1, 0, (s32)len - 1 + go));
	}
	/* PEXT takes its source from VEX.vvvv, the mask from memory */
	em_pext(e, T0, T0, mask);
	c.site = em_unless_go(e);
	c.back = em_rx(e);
	trans_cold(t, &c);
	return (struct access){ .m = HMEM_X(T2, T1, 0, 0), .free = T0 };
}

/* SHA's operands are checked by Intel processors and not by AMD's: there the host's own verdict counts. */
static bool must_align(const struct insn *in)
{
	return ((in->attr & INSN_ALIGNED) && in->feature != FEAT_SHA) || in->op == OP_CMPXCHG16B;
}

struct access trans_access(struct trans *t, u8 seg, u32 len, bool write, u16 flags, bool stack)
{
	u32 info = len | (write ? TLBI_WRITE : 0) | (stack ? TLBI_STACK : 0) |
		   (must_align(&t->insns[t->i]) ? TLBI_ALIGNED : 0);

	trans_segment(t, seg, len, write, flags);
	return flags ? access_live(t, info, stack) : access_plain(t, info, stack);
}

bool trans_operand(struct trans *t, const struct insn *in, u32 len, bool write, struct access *a)
{
	/* most likely it hits the stack's page, which has a TLB entry of its own */
	bool stack = in->seg == X86_SS && in->base == X86_RSP && in->index == INSN_BASE_NONE;

	if (trans_grouped(t, false)) {
		*a = trans_group_access(t, in->base, in->index, in->scale, (s32)in->disp, stack);
		return true;
	}
	if (!trans_ea(t, in))
		return false;
	*a = trans_access(t, in->seg, len, write, trans_flags_before(t), stack);
	return true;
}
