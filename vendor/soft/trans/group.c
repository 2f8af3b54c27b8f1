// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Accesses of a block that share one check. Code reads several members of a structure, or saves several registers on
 * its stack: operands with one base register and other displacements. The first of them checks a range that holds
 * all, and leaves host minus guest address in sv->addend[]; the others add that and need no check.
 *
 * Where the range's check fails (the page is not in the soft TLB, the range crosses its end, a write has to be seen)
 * nothing has happened yet, and the block's twin takes over from that instruction: CODE_ALONE, where every access has
 * its own check. What is checked stays right to the block's end, as a page's permissions are taken away only
 * between blocks.
 */
#include "trans.h"

#define MAX_SPAN	128	/* bytes of a range; the longer, the more often it crosses a page's end */
#define NO_INDEX	0xffffu
#define MAX_DISP	(1 << 30)	/* so that range starts fit a displacement, too */

/* What is known of a register: that it is the value with this number, plus delta. */
struct value {
	u16 origin;
	s64 delta;
};

struct values {
	struct value reg[X86_NR_GPR];
	u16 next;
};

/* Two places with the same base, index and scale are off apart. */
struct place {
	u16 base, index;
	u8 scale;
	u8 len;			/* 0: there is none */
	bool write;
	s64 off;
};

static void forget(struct values *v, u8 reg)
{
	v->reg[reg] = (struct value){ .origin = v->next++ };
}

static void forget_all(struct values *v)
{
	for (u8 r = 0; r < X86_NR_GPR; r++)
		forget(v, r);
}

static bool whole_gpr(const struct opnd *o)
{
	return o->kind == OPND_GPR && o->size == 8;
}

/* General registers that its operands say it changes, a bit for each. */
static u16 written(const struct insn *in)
{
	u16 regs = 0;

	for (u32 i = 0; i < in->nr_opnd; i++)
		if (in->opnd[i].kind == OPND_GPR && (in->opnd[i].access & OPND_W))
			regs |= 1 << in->opnd[i].reg;
	if (in->attr & INSN_RAX_RDX)
		regs |= 1 << X86_RAX | 1 << X86_RDX | 1 << X86_RCX;
	if (trans_index_result(in))
		regs |= 1 << X86_RCX;
	return regs;
}

u16 trans_written(const struct insn *in)
{
	if (in->family == FAM_SYSTEM || in->family == FAM_STRING || in->op == OP_POPA)
		return 0xffff;
	if (in->op == OP_LEAVE)
		return 1 << X86_RSP | 1 << X86_RBP;
	return written(in) | (in->family == FAM_FLOW || trans_is_stack(in) ? 1 << X86_RSP | 1 << X86_RCX : 0);
}

static void forget_written(struct values *v, const struct insn *in)
{
	for (u16 regs = written(in); regs; regs &= regs - 1)
		forget(v, __builtin_ctz(regs));
}

/* What the instruction makes of the registers. */
static void follow(struct values *v, const struct insn *in)
{
	const struct opnd *o = in->opnd;

	switch (in->op) {
	case OP_PUSH:
		v->reg[X86_RSP].delta -= 8;
		return;
	case OP_POP:
		v->reg[X86_RSP].delta += 8;
		forget_written(v, in);
		return;
	case OP_LEAVE:
		v->reg[X86_RSP] = v->reg[X86_RBP];
		v->reg[X86_RSP].delta += 8;
		forget(v, X86_RBP);
		return;
	case OP_ADD: case OP_SUB:
		if (!whole_gpr(&o[0]) || o[1].kind != OPND_IMM)
			break;
		v->reg[o[0].reg].delta += in->op == OP_ADD ? (s64)in->imm : -(s64)in->imm;
		return;
	case OP_INC: case OP_DEC:
		if (!whole_gpr(&o[0]))
			break;
		v->reg[o[0].reg].delta += in->op == OP_INC ? 1 : -1;
		return;
	case OP_MOV:
		if (!whole_gpr(&o[0]) || !whole_gpr(&o[1]))
			break;
		v->reg[o[0].reg] = v->reg[o[1].reg];
		return;
	case OP_LEA:
		if (!whole_gpr(&o[0]) || in->addrsize != 8 || in->base >= X86_NR_GPR || in->index != INSN_BASE_NONE)
			break;
		v->reg[o[0].reg] = v->reg[in->base];
		v->reg[o[0].reg].delta += in->disp;
		return;
	}
	/* these may do more than their operands say */
	if (in->family == FAM_SYSTEM || in->family == FAM_STRING)
		forget_all(v);
	else
		forget_written(v, in);
}

static struct place stack_place(const struct values *v, u8 reg, s64 delta, bool write)
{
	return (struct place){ .base = v->reg[reg].origin, .index = NO_INDEX, .len = 8, .write = write,
			       .off = v->reg[reg].delta + delta };
}

/* The one access of an instruction that may share a check; *implicit: it is not the operand in ModRM. */
static struct place place_of(const struct values *v, const struct insn *in, bool *implicit)
{
	struct place p = { 0 };

	*implicit = true;
	switch (in->op) {
	case OP_PUSH:
		return in->has_mem || in->opsize != 8 ? p : stack_place(v, X86_RSP, -8, true);
	case OP_POP:
		return in->has_mem || in->opsize != 8 ? p : stack_place(v, X86_RSP, 0, false);
	case OP_LEAVE:
		return in->opsize != 8 ? p : stack_place(v, X86_RBP, 0, false);
	case OP_CALL:
		return stack_place(v, X86_RSP, -8, true);
	case OP_CALL_IND:
		if (in->has_mem)
			break;
		return stack_place(v, X86_RSP, -8, true);
	case OP_RET:
		return stack_place(v, X86_RSP, 0, false);
	case OP_LEA: case OP_CMPXCHG8B: case OP_CMPXCHG16B:
		return p;
	case OP_BT: case OP_BTS: case OP_BTR: case OP_BTC:
		/* a bit offset in a register moves the address */
		if (in->opnd[1].kind == OPND_GPR)
			return p;
		break;
	}
	*implicit = false;
	if (!in->has_mem || !in->has_modrm || !in->mem_size || in->mem_size > 64 || in->addrsize != 8 ||
	    in->base >= X86_NR_GPR || (in->attr & INSN_VSIB) || in->seg == X86_FS || in->seg == X86_GS ||
	    in->family == FAM_SYSTEM || in->family == FAM_STRING || in->disp > MAX_DISP || in->disp < -MAX_DISP)
		return p;
	p = (struct place){ .base = v->reg[in->base].origin, .index = NO_INDEX, .len = in->mem_size,
			    .write = in->mem_access & OPND_W, .off = v->reg[in->base].delta + in->disp };
	if (in->index != INSN_BASE_NONE) {
		p.index = v->reg[in->index].origin;
		p.scale = in->scale;
		p.off += (s64)((u64)v->reg[in->index].delta << in->scale);
	}
	return p;
}

static bool same_place(const struct place *a, const struct place *b)
{
	return a->base == b->base && a->index == b->index && a->scale == b->scale;
}

/* A word of sv->addend[] that no group uses at instruction i any more, or -1. */
static int free_slot(const struct trans *t, u32 i)
{
	u32 used = 0;

	for (u32 g = 0; g < t->nr_groups; g++)
		if (t->group[g].last >= i)
			used |= 1u << t->group[g].slot;
	used = ~used & ((1u << NR_ADDENDS) - 1);
	return used ? __builtin_ctz(used) : -1;
}

/* Let those of the accesses after i that can share its check do so. */
static void group_from(struct trans *t, const struct place *place, u32 i)
{
	const struct place *first = &place[i];
	s64 lo = first->off, hi = lo + first->len;
	struct group *g = &t->group[t->nr_groups];
	int slot = free_slot(t, i);
	u32 last = i;

	if (slot < 0)
		return;
	for (u32 k = i + 1; k < t->n; k++) {
		const struct place *p = &place[k];
		s64 lo2 = min_t(s64, lo, p->off), hi2 = max_t(s64, hi, p->off + p->len);

		if (!p->len || t->member[k].group || !same_place(p, first) || (p->write && !first->write) ||
		    hi2 - lo2 > MAX_SPAN)
			continue;
		lo = lo2;
		hi = hi2;
		last = k;
		t->member[k].group = t->nr_groups + 1;
	}
	if (last == i)
		return;
	t->member[i].group = ++t->nr_groups;
	*g = (struct group){ .first = i, .last = last, .slot = slot, .span = hi - lo, .before = first->off - lo,
			     .write = first->write };
}

void trans_find_groups(struct trans *t)
{
	struct place place[BLOCK_MAX_INSNS + 1];
	struct values v = { .next = 0 };
	u32 off = t->off;

	t->nr_groups = 0;
	host_memset(t->member, 0, sizeof(t->member));
	if (!trans_64(t) || (t->key & CODE_ALONE) || t->b->gfn2 != ~0UL)
		return;
	forget_all(&v);
	for (u32 i = 0; i < t->n; i++) {
		place[i] = place_of(&v, &t->insns[i], &t->member[i].implicit);
		follow(&v, &t->insns[i]);
	}
	for (u32 i = 0; i < t->n; off += t->insns[i++].len)
		/* the twin must be reachable by a direct jump */
		if (place[i].len && !t->member[i].group && t->nr_groups < BLOCK_MAX_GROUPS &&
		    trans_links(t, off))
			group_from(t, place, i);
}

bool trans_grouped(const struct trans *t, bool implicit)
{
	u8 n = t->member[t->i].group;

	return n && t->member[t->i].implicit == implicit && (t->group[n - 1].ready || t->group[n - 1].first == t->i);
}

/* T1 = base + (index << scale) + disp. Clobbers T2 if the index is not at home. */
static void address(struct trans *t, u8 base, u8 index, u8 scale, s32 disp)
{
	u8 b = trans_home[base], x = H_NONE;

	if (b == H_NONE) {
		b = T1;
		em_mov_rm(&t->e, 8, T1, GPR_MEM(base));
	}
	if (index != INSN_BASE_NONE) {
		x = trans_home[index];
		if (x == H_NONE) {
			x = T2;
			em_mov_rm(&t->e, 8, T2, GPR_MEM(index));
		}
	}
	em_lea(&t->e, 8, T1, HMEM_X(b, x, scale, disp));
}

/* The check of the whole range; its start is in T1. Then T0 is host minus guest address. */
static void check_plain(struct trans *t, const struct group *g, bool stack)
{
	struct emitter *e = &t->e;
	struct hmem neg = SPACE_MEM(stk_neg), addend = SPACE_MEM(stk_addend);

	if (!stack) {
		trans_tlb_index(t);
		neg = trans_tlb_neg(g->write);
		addend = HMEM_GS(H_NONE, T0, 3, SPACE_OFF(tlb.addend));
	}
	em_mov_rm(e, 8, T2, neg);
	em_alu_rr(e, 8, 0x03, T2, T1);
	em_alu_ri(e, 8, 7, T2, HV_PAGE_SIZE - g->span);
	trans_link(t, em_jcc32(e, 7), t->off, true);	/* ja */
	em_mov_rm(e, 8, T0, addend);
	em_mov_mr(e, 8, ADDEND_MEM(g->slot), T0);
}

/*
 * The same with flags untouched: the last byte's distance from the tag has no page number; from that of the stack's
 * entry, which may be near, the first byte's neither.
 */
static void check_live(struct trans *t, const struct group *g, bool stack)
{
	struct emitter *e = &t->e;
	struct hmem addend = SPACE_MEM(stk_addend);

	if (stack) {
		em_mov_rm(e, 8, T2, SPACE_MEM(stk_neg));
		em_lea(e, 8, T2, HMEM_X(T2, T1, 0, 0));
		em_lea(e, 8, T0, HMEM(T2, g->span - 1));
		em_pext(e, T2, T2, SV(pext_page[0]));
		em_pext(e, T0, T0, SV(pext_page[0]));
		em_lea(e, 8, T0, HMEM_X(T0, T2, 0, e->go));
	} else {
		em_pext(e, T0, T1, SV(pext_tlb));
		em_mov_rm(e, 8, T2, trans_tlb_neg(g->write));
		em_mov_rm(e, 8, T0, HMEM_GS(H_NONE, T0, 3, SPACE_OFF(tlb.addend)));
		em_mov_mr(e, 8, ADDEND_MEM(g->slot), T0);
		em_lea(e, 8, T2, HMEM_X(T2, T1, 0, g->span - 1 + (e->go << HV_PAGE_SHIFT)));
		addend = ADDEND_MEM(g->slot);
		em_pext(e, T0, T2, SV(pext_page[0]));
	}
	trans_link(t, em_unless_go(e), t->off, true);
	em_mov_rm(e, 8, T0, addend);
	if (stack)
		em_mov_mr(e, 8, ADDEND_MEM(g->slot), T0);
}

struct access trans_group_access(struct trans *t, u8 base, u8 index, u8 scale, s32 disp, bool stack)
{
	struct group *g = &t->group[t->member[t->i].group - 1];

	if (g->first == t->i) {
		address(t, base, index, scale, disp - g->before);
		if (trans_flags_before(t))
			check_live(t, g, stack);
		else
			check_plain(t, g, stack);
		g->ready = true;
		return (struct access){ .m = HMEM_X(T0, T1, 0, g->before), .free = T2 };
	}
	em_mov_rm(&t->e, 8, T0, ADDEND_MEM(g->slot));
	if (index == INSN_BASE_NONE && trans_home[base] != H_NONE)
		return (struct access){ .m = HMEM_X(T0, trans_home[base], 0, disp), .free = T2 };
	address(t, base, index, scale, disp);
	return (struct access){ .m = HMEM_X(T0, T1, 0, 0), .free = T2 };
}
