// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Arithmetic flags. They are the host's while translated code runs, and the TLB's checks would like to use the host's as
 * well: where the guest's are dead, as the code gives them new values before it reads them, a check need not keep
 * them. Dead flags are still seen if an instruction faults or is left to C meanwhile, so they are not lost:
 *
 * - An interval is what lies between two instructions that write flags. Slow paths in it bring dead flags back first:
 *   they do the instruction before the interval again if its operands are still there, or can be told from its result.
 *   Else, if only one check finds the flags dead, it takes the variant that keeps them; if there are several, the flags
 *   are put away before the first of them (sv->flags_away).
 * - After a block's end flags count as dead only if what follows gives all of them new values with instructions that
 *   cannot fault. An interrupt or a kick that comes right there waits until it has (settle() in run.c).
 */
#include "trans.h"

/* Nothing but registers: it can neither fault nor leave translated code. */
static bool cannot_fault(const struct insn *in)
{
	if (in->family != FAM_INT || in->feature != FEAT_BASE || trans_is_stack(in))
		return false;
	switch (in->op) {
	case OP_LEA: case OP_NOP:
		return true;
	case OP_DIV: case OP_IDIV: case OP_ENTER: case OP_XLAT: case OP_AAM:
		return false;
	}
	return !in->has_mem;
}

/*
 * Flags that the instruction certainly gives a new value. Where the manual leaves one undefined, processors often
 * keep the old one, so that it must still be right.
 */
static u16 flags_killed(const struct insn *in)
{
	switch (in->op) {
	case OP_MUL: case OP_IMUL1: case OP_IMUL:
		return X86_FLAG_CF | X86_FLAG_OF;
	case OP_BSF: case OP_BSR:
		return X86_FLAG_ZF;
	case OP_TZCNT: case OP_LZCNT:
		return X86_FLAG_CF | X86_FLAG_ZF;
	case OP_BT: case OP_BTS: case OP_BTR: case OP_BTC:
		return X86_FLAG_CF;
	case OP_DIV: case OP_IDIV:
		return 0;
	}
	return in->flags_written;
}

#define LOOK_AHEAD	6	/* instructions */

/* How many of the block's first ones give all flags new values, if they are sure to do so? Else 0. */
u8 trans_settle_count(const struct trans *t)
{
	u16 stale = X86_FLAGS_ARITH;

	for (u32 i = 0; i < t->n && i < LOOK_AHEAD; i++) {
		const struct insn *in = &t->insns[i];

		if (!cannot_fault(in) || (in->flags_read & stale))
			return 0;
		stale &= ~flags_killed(in);
		if (!stale)
			return i + 1;
	}
	return 0;
}

/* A few instructions of the scan below; returns where it stopped. */
static s64 scan_flags(enum insn_mode mode, const u8 *page, s64 off, u16 *live)
{
	u16 read = 0, want = *live;
	struct insn in;

	for (int n = 0; n < LOOK_AHEAD && want && off >= 0 && off < (s64)HV_PAGE_SIZE; n++) {
		if (insn_decode(&in, page + off, min_t(u32, HV_PAGE_SIZE - off, INSN_MAX_LEN), mode) != DECODE_OK)
			break;
		off += in.len;
		if (!cannot_fault(&in))
			break;
		read |= in.flags_read & want;
		want &= ~(in.flags_read | flags_killed(&in));
	}
	*live = read | want;
	return off;
}

/*
 * Which arithmetic flags does the code at page + off read before it writes them? What it looked at counts as the
 * block's: if that changes, so may the answer.
 */
static u16 flags_wanted(struct trans *t, const u8 *page, s64 off)
{
	u16 live = X86_FLAGS_ARITH;
	s64 end = scan_flags(t->mode, page, off, &live);

	if (live == X86_FLAGS_ARITH)
		return live;
	t->b->peek[t->nr_peeks].offset = off;
	t->b->peek[t->nr_peeks++].len = end - off;
	return live;
}

/* For a direct jump. */
static u16 flags_at_target(struct trans *t, const struct insn *in, const u8 *page, s64 target)
{
	/* where the target may be another */
	if ((t->key & CODE_EDGE) || (in->opsize == 2 && t->mode == INSN_MODE_32))
		return X86_FLAGS_ARITH;
	return flags_wanted(t, page, target);
}

static u16 flags_at_end(struct trans *t, const u8 *page, s64 next_off)
{
	const struct insn *in = &t->insns[t->n - 1];
	s64 target = next_off + (s64)in->imm;

	if (in->family != FAM_FLOW)
		return in->family == FAM_SYSTEM ? X86_FLAGS_ARITH : flags_wanted(t, page, next_off);
	switch (in->op) {
	case OP_JMP: case OP_CALL:
		return flags_at_target(t, in, page, target);
	case OP_JCC:
		return flags_at_target(t, in, page, target) | flags_wanted(t, page, next_off);
	}
	return X86_FLAGS_ARITH;
}

/*
 * Does any instruction before the i-th care which flags are live after it? Only accesses do, and none that comes
 * before an instruction that gives all flags new values. Else there is no need to look ahead.
 */
static bool flags_matter(const struct trans *t, u32 i)
{
	while (i-- > 0) {
		const struct insn *in = &t->insns[i];

		if ((flags_killed(in) & X86_FLAGS_ARITH) == X86_FLAGS_ARITH)
			return false;
		if (in->op != OP_JCC && (in->has_mem || (in->attr & INSN_STACK64) || in->family == FAM_STRING ||
					 in->family == FAM_SYSTEM || in->family == FAM_FLOW))
			return true;
	}
	return false;
}

void trans_find_liveness(struct trans *t, const u8 *page, s64 next_off)
{
	u16 live = flags_matter(t, t->n) ? flags_at_end(t, page, next_off) : X86_FLAGS_ARITH;

	for (u32 i = t->n; i-- > 0; next_off -= t->insns[i].len) {
		const struct insn *in = &t->insns[i];

		t->live[i + 1] = live & X86_FLAGS_ARITH;
		if (in->op == OP_JCC && i + 1 < t->n)
			live |= flags_matter(t, i) ? flags_at_target(t, in, page, next_off + (s64)in->imm) : X86_FLAGS_ARITH;
		if (in->family == FAM_SYSTEM || in->family == FAM_STRING)
			live = X86_FLAGS_ARITH;	/* C may look at them */
		else
			live = (live & ~flags_killed(in)) | (in->flags_read & X86_FLAGS_ARITH);
	}
	t->live[0] = live & X86_FLAGS_ARITH;
}

/* -- dead flags that can still be seen ------------------------------------------------------------------------------- */

/* How many checks of its own does instruction i make, in translated code? */
static u32 checks(const struct trans *t, u32 i)
{
	const struct insn *in = &t->insns[i];
	u8 g = t->member[i].group;
	bool shares = g && t->group[g - 1].first != i;
	u32 n = 0;

	switch (in->op) {
	case OP_PUSH: case OP_POP: case OP_CALL: case OP_CALL_IND: case OP_RET: case OP_LEAVE: case OP_PUSHA: case OP_POPA:
		n = !(shares && t->member[i].implicit);
		break;
	case OP_LEA: case OP_NOP: case OP_PREFETCHNTA: case OP_PREFETCHT0: case OP_PREFETCHT1: case OP_PREFETCHT2:
	case OP_PREFETCH: case OP_PREFETCHW:
		return 0;
	case OP_XLAT:
		return 1;
	}
	return n + (in->has_mem && !(shares && !t->member[i].implicit));
}

static bool plain_gpr(const struct opnd *o)
{
	return o->kind == OPND_GPR && !o->high8;
}

/* Can the instruction's flags be had again from its result and its other operand? */
static bool repeatable(const struct insn *in)
{
	const struct opnd *o = in->opnd;

	switch (in->op) {
	case OP_AND: case OP_OR: case OP_XOR: case OP_NEG:
		return plain_gpr(&o[0]);
	case OP_ADD: case OP_SUB:
		if (plain_gpr(&o[1]) && o[1].reg == o[0].reg)
			return false;
		break;
	case OP_CMP: case OP_TEST:
		break;
	default:
		return false;
	}
	return plain_gpr(&o[0]) && (o[1].kind == OPND_IMM || plain_gpr(&o[1]));
}

static bool uses_source(const struct insn *in)
{
	return in->op == OP_ADD || in->op == OP_SUB || in->op == OP_CMP || in->op == OP_TEST;
}

/* May slow paths of instructions up to last do the one before the interval again? */
static bool can_replay(const struct trans *t, int writer, u32 last)
{
	const struct insn *w;
	u16 regs;

	if (writer < 0)
		return false;
	w = &t->insns[writer];
	if (!repeatable(w))
		return false;
	regs = 1 << w->opnd[0].reg;
	if (uses_source(w) && w->opnd[1].kind == OPND_GPR)
		regs |= 1 << w->opnd[1].reg;
	for (u32 i = writer + 1; i <= last; i++) {
		const struct insn *in = &t->insns[i];

		/* a fault of the host has no slow path */
		if ((in->family != FAM_INT && in->family != FAM_FLOW) || in->op == OP_DIV || in->op == OP_IDIV)
			return false;
		if (i < last && (trans_written(in) & regs))
			return false;
	}
	return true;
}

/*
 * What instructions first to last do, the only one that writes flags being the last if any; n checks find them dead.
 * writer: the one before the interval, or -1.
 */
static void plan_interval(struct trans *t, int writer, u32 first, u32 last, u32 n)
{
	bool replay;

	if (!n)
		return;
	replay = can_replay(t, writer, last);
	if (n == 1 && !replay && !t->sv->slow_pext) {
		t->keep[first] = X86_FLAGS_ARITH;
		return;
	}
	t->save[first] = !replay;
	for (u32 i = first; i <= last; i++) {
		t->away[i] = true;
		t->replay[i] = replay ? writer + 1 : 0;
	}
}

void trans_plan_flags(struct trans *t)
{
	u32 first = 0, n = 0;
	int writer = -1;

	host_memcpy(t->keep, t->live, sizeof(t->keep));
	host_memset(t->save, 0, sizeof(t->save));
	host_memset(t->back, 0, sizeof(t->back));
	host_memset(t->away, 0, sizeof(t->away));
	for (u32 i = 0; i < t->n; i++) {
		const struct insn *in = &t->insns[i];
		bool writes = (in->flags_written | in->flags_maybe) & X86_FLAGS_ARITH;
		bool all = (flags_killed(in) & X86_FLAGS_ARITH) == X86_FLAGS_ARITH;
		u32 k = t->live[i] ? 0 : checks(t, i);

		if (k && writes && !all) {
			/* some of the old flags stay: it needs them in their place, and its check must keep them */
			t->keep[i] = X86_FLAGS_ARITH;
			k = 0;
		}
		if (k && !n)
			first = i;
		n += k;
		if (!writes)
			continue;
		plan_interval(t, writer, first, i, n);
		writer = i;
		if (!all && t->away[i]) {
			t->back[i] = true;
			t->away[i] = false;
		}
		n = 0;
	}
	plan_interval(t, writer, first, t->n - 1, n);
}

enum { HOST_ADD = 0x01, HOST_SUB = 0x29, HOST_TEST = 0x85, HOST_NEG = 0xf7 };	/* opcodes of all sizes but 1 */

/* dst op= src in T0 and T2, which as bytes need no REX prefix of their own */
static void alu(struct emitter *e, u8 size, u8 opcode, u8 dst, u8 src)
{
	struct hop op = { .prefix[0] = size == 2 ? 0x66 : 0, .opcode = opcode - (size == 1), .w = size == 8 };

	em_op_rr(e, &op, opcode == HOST_NEG ? 3 : src, dst);
}

/* Do an instruction again for its flags; its operands are as it left them. Clobbers T0 and T2. */
static void replay(struct trans *t, const struct insn *in)
{
	const struct opnd *o = in->opnd;
	struct emitter *e = &t->e;
	u8 size = in->opsize;

	trans_gpr_load(t, 8, T0, o[0].reg);
	if (!uses_source(in)) {
		if (in->op == OP_NEG)
			alu(e, 8, HOST_NEG, T0, T0);	/* what was there before */
		alu(e, size, in->op == OP_NEG ? HOST_NEG : HOST_TEST, T0, T0);
		return;
	}
	if (o[1].kind == OPND_IMM)
		em_mov_ri(e, T2, in->imm);
	else
		trans_gpr_load(t, 8, T2, o[1].reg);
	switch (in->op) {
	case OP_ADD:
		alu(e, 8, HOST_SUB, T0, T2);
		alu(e, size, HOST_ADD, T0, T2);
		break;
	case OP_SUB:
		alu(e, 8, HOST_ADD, T0, T2);
		alu(e, size, HOST_SUB, T0, T2);
		break;
	case OP_CMP:
		alu(e, size, HOST_SUB, T0, T2);
		break;
	case OP_TEST:
		alu(e, size, HOST_TEST, T0, T2);
		break;
	}
}

/* The host's flags become the guest's again, in a place where instruction i has them away. Clobbers T0 and T2. */
static void flags_back(struct trans *t, u32 i)
{
	struct emitter *e = &t->e;

	if (t->replay[i]) {
		replay(t, &t->insns[t->replay[i] - 1]);
		return;
	}
	em_mov_rr(e, 8, T0, H_RAX);
	em_mov_rm(e, 8, H_RAX, SV(flags_away));
	em_u8(e, 0x04);							/* add al, 0x7f */
	em_u8(e, 0x7f);
	em_u8(e, 0x9e);							/* sahf */
	em_mov_rr(e, 8, H_RAX, T0);
}

void trans_flags_begin(struct trans *t)
{
	struct emitter *e = &t->e;

	if (t->save[t->i]) {
		em_mov_rr(e, 8, T0, H_RAX);
		em_u8(e, 0x9f);						/* lahf */
		em_op_rr(e, &(struct hop){ .map = 1, .opcode = 0x90 }, 0, H_RAX);	/* seto al */
		em_mov_mr(e, 2, SV(flags_away), H_RAX);
		em_mov_rr(e, 8, H_RAX, T0);
	}
	if (t->back[t->i])
		flags_back(t, t->i);
}

void trans_flags_back(struct trans *t, u32 i)
{
	if (t->away[i])
		flags_back(t, i);
}
