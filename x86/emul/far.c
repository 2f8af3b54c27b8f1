// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Control transfer between segments: far JMP, CALL, RET, call gates, IRET, SYSCALL and SYSENTER
 * pairs. SDM 2A, 2B: the instructions' operation sections; SDM 3A 5.8.
 */
#include "private.h"

static bool real_or_v86(const struct emul *e)
{
	return !x86_protected(e->st) || (e->rflags & X86_FLAG_VM);
}

static bool conforming(const struct desc *d)
{
	return d->seg.attr & SEG_TYPE_DC;
}

static bool is_64bit_code(const struct emul *e, const struct desc *d)
{
	return x86_long_mode(e->st) && (d->seg.attr & SEG_L);
}

void emul_stack_enter(struct emul *e, struct inner_stack *old, const struct x86_seg *ss,
		      unsigned int cpl, unsigned int stack_size, u64 rsp)
{
	old->ss = e->st->seg[X86_SS];
	old->rsp = e->gpr[X86_RSP];
	old->cpl = e->cpl;
	old->stack_size = e->stack_size;
	e->st->seg[X86_SS] = *ss;
	e->cpl = cpl;
	e->stack_size = stack_size;
	emul_set_sp(e, rsp);
}

int emul_stack_pushed(struct emul *e, const struct inner_stack *old, int r, u32 ext)
{
	if (!r)
		return 0;
	if (r == -EFAULT && e->fault.vector == EXC_SS)
		e->fault.error = sel_err(e->st->seg[X86_SS].sel) | ext;
	e->st->seg[X86_SS] = old->ss;
	e->gpr[X86_RSP] = old->rsp;
	e->cpl = old->cpl;
	e->stack_size = old->stack_size;
	return r;
}

int emul_tss_stack(struct emul *e, unsigned int cpl, u32 ext, struct x86_seg *ss, u64 *esp)
{
	const struct x86_seg *tr = &e->st->seg[X86_TR];
	bool wide = (tr->attr & SEG_TYPE) == DESC_TSS32 || (tr->attr & SEG_TYPE) == DESC_TSS32_BUSY;
	u32 off = wide ? 4 + 8 * cpl : 2 + 4 * cpl, sp = 0;
	u16 sel;
	int r;

	if (off + (wide ? 5 : 3) > tr->limit)
		return emul_raise(e, EXC_TS, sel_err(tr->sel) | ext);
	r = emul_read_sys(e, tr->base + off, &sp, wide ? 4 : 2);
	if (!r)
		r = emul_read_sys(e, tr->base + off + (wide ? 4 : 2), &sel, 2);
	if (r)
		return r;
	*esp = sp;
	return emul_ss_check(e, sel, cpl, EXC_TS, ext, ss);
}

int emul_tss_rsp(struct emul *e, unsigned int offset, u32 ext, u64 *rsp)
{
	const struct x86_seg *tr = &e->st->seg[X86_TR];
	int r;

	if (offset + 7 > tr->limit)
		return emul_raise(e, EXC_TS, sel_err(tr->sel) | ext);
	r = emul_read_sys(e, tr->base + offset, rsp, 8);
	if (r)
		return r;
	return x86_canonical(*rsp) ? 0 : emul_raise(e, EXC_SS, ext);
}

/* ---- far jumps and calls --------------------------------------------------------------------- */

static int far_pointer(struct emul *e, u16 *sel, u64 *off)
{
	unsigned int size = e->insn.opsize;
	int r;

	if (!e->insn.has_mem) {
		*off = e->insn.imm & size_mask(size);
		*sel = (u16)e->insn.imm2;
		return 0;
	}
	*off = 0;
	r = emul_read(e, e->insn.seg, e->ea, off, size);
	return r ? r
		 : emul_read(e, e->insn.seg, (e->ea + size) & size_mask(e->insn.addrsize), sel, 2);
}

static int push_return(struct emul *e, unsigned int size)
{
	u64 frame[2] = { e->st->seg[X86_CS].sel, e->rip };

	return emul_push_frame(e, frame, 2, size);
}

static int far_real(struct emul *e, u16 sel, u64 off, bool call)
{
	struct x86_seg cs = e->st->seg[X86_CS];
	int r;

	emul_seg_real(e, &cs, X86_CS, sel);
	if (off > cs.limit)
		return emul_gp(e, 0);
	if (call) {
		r = push_return(e, e->insn.opsize);
		if (r)
			return r;
	}
	e->rip = off;
	emul_set_cs(e, &cs, e->st->cpl);
	return 0;
}

static int far_code(struct emul *e, u16 sel, struct desc *d, u64 off, bool call)
{
	unsigned int cpl = e->st->cpl;
	int r;

	if (conforming(d) ? desc_dpl(d) > cpl : (sel & 3) > cpl || desc_dpl(d) != cpl)
		return emul_gp(e, sel_err(sel));
	if (!(d->seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(sel));
	if (is_64bit_code(e, d) && (d->seg.attr & SEG_DB))
		return emul_gp(e, sel_err(sel));
	r = emul_jump_check(e, &d->seg, &off, e->insn.opsize);
	if (!r)
		r = emul_desc_accessed(e, d);
	if (!r && call)
		r = push_return(e, e->insn.opsize);
	if (r)
		return r;
	e->rip = off;
	emul_set_cs(e, &d->seg, cpl);
	return 0;
}

/* Call to a more privileged level: parameters move to the new stack. SDM 3A 5.8.5 */
static int gate_inner(struct emul *e, const struct desc *gate, struct desc *cs, u64 off,
		      unsigned int size)
{
	unsigned int cpl = desc_dpl(cs), n = 0, params, i;
	bool lma = x86_long_mode(e->st);
	struct inner_stack old;
	struct x86_seg ss = { 0 };
	u64 rsp, frame[2], val[31];
	int r;

	params = lma ? 0 : gate->hi & 31;
	if (lma) {
		ss.sel = cpl;
		ss.attr = SEG_UNUSABLE | cpl << SEG_DPL_SHIFT;
		r = emul_tss_rsp(e, 4 + 8 * cpl, 0, &rsp);
	} else {
		r = emul_tss_stack(e, cpl, 0, &ss, &rsp);
	}
	if (r)
		return r;
	for (i = 0; i < params; i++) {
		val[i] = 0;
		r = emul_read(e, X86_SS, emul_sp(e, (params - 1 - i) * size), &val[i], size);
		if (r)
			return r;
	}
	r = emul_desc_accessed(e, cs);
	if (r)
		return r;
	frame[n++] = e->st->seg[X86_SS].sel;
	frame[n++] = e->gpr[X86_RSP];
	emul_stack_enter(e, &old, &ss, cpl, lma ? 8 : ss.attr & SEG_DB ? 4 : 2, rsp);
	if (lma)
		e->mode = INSN_MODE_64;
	r = emul_push_frame(e, frame, 2, size);
	for (i = 0; i < params && !r; i++)
		r = emul_push(e, val[i], size);
	if (!r)
		r = push_return(e, size);
	r = emul_stack_pushed(e, &old, r, 0);
	if (r)
		return r;
	e->rip = off;
	emul_set_cs(e, &cs->seg, cpl);
	return 0;
}

static int far_gate(struct emul *e, u16 sel, struct desc *gate, bool call)
{
	unsigned int cpl = e->st->cpl, size = desc_type(gate) == DESC_CALLGATE16 ? 2 : 4;
	bool lma = x86_long_mode(e->st);
	struct desc cs;
	u16 cs_sel;
	u64 off;
	int r;

	if (desc_dpl(gate) < cpl || desc_dpl(gate) < (sel & 3))
		return emul_gp(e, sel_err(sel));
	if (!(gate->seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(sel));
	off = gate->lo & 0xffff;
	if (size == 4)
		off |= gate->hi & 0xffff0000;
	if (lma) {
		r = emul_desc_read_high(e, gate, EXC_GP, 0);
		if (r)
			return r;
		off |= gate->seg.base & ~0xffffffffULL;
		size = 8;
	}
	cs_sel = gate->lo >> 16;
	if (!sel_err(cs_sel))
		return emul_gp(e, 0);
	r = emul_desc_read(e, cs_sel, EXC_GP, 0, &cs);
	if (r)
		return r;
	if (!desc_is_code(&cs) || desc_dpl(&cs) > cpl ||
	    (lma && (cs.seg.attr & (SEG_L | SEG_DB)) != SEG_L) ||
	    (!call && !conforming(&cs) && desc_dpl(&cs) != cpl))
		return emul_gp(e, sel_err(cs_sel));
	if (!(cs.seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(cs_sel));
	r = emul_jump_check(e, &cs.seg, &off, size);
	if (r)
		return r;
	if (call && !conforming(&cs) && desc_dpl(&cs) < cpl)
		return gate_inner(e, gate, &cs, off, size);
	r = emul_desc_accessed(e, &cs);
	if (!r && call)
		r = push_return(e, size);
	if (r)
		return r;
	e->rip = off;
	emul_set_cs(e, &cs.seg, cpl);
	return 0;
}

static int far_transfer(struct emul *e, bool call)
{
	unsigned int cpl = e->st->cpl;
	bool lma = x86_long_mode(e->st);
	struct desc d;
	u16 sel;
	u64 off;
	int r = far_pointer(e, &sel, &off);

	if (r)
		return r;
	if (real_or_v86(e))
		return far_real(e, sel, off, call);
	if (!sel_err(sel))
		return emul_gp(e, 0);
	r = emul_desc_read(e, sel, EXC_GP, 0, &d);
	if (r)
		return r;
	if (desc_is_code(&d))
		return far_code(e, sel, &d, off, call);
	switch (desc_type(&d)) {
	case DESC_CALLGATE16:
		if (lma)
			break;
		fallthrough;
	case DESC_CALLGATE32:
		return far_gate(e, sel, &d, call);
	case DESC_TASKGATE:
		if (lma)
			break;
		if (desc_dpl(&d) < cpl || desc_dpl(&d) < (sel & 3))
			return emul_gp(e, sel_err(sel));
		if (!(d.seg.attr & SEG_P))
			return emul_raise(e, EXC_NP, sel_err(sel));
		return emul_task_switch(e, d.lo >> 16, call ? TASK_CALL : TASK_JMP, NULL, 0);
	case DESC_TSS16:
	case DESC_TSS32:
		if (lma)
			break;
		if (desc_dpl(&d) < cpl || desc_dpl(&d) < (sel & 3))
			return emul_gp(e, sel_err(sel));
		return emul_task_switch(e, sel, call ? TASK_CALL : TASK_JMP, NULL, 0);
	default:
		break;
	}
	return emul_gp(e, sel_err(sel));
}

int emul_op_jmpf(struct emul *e)
{
	return far_transfer(e, false);
}

int emul_op_callf(struct emul *e)
{
	return far_transfer(e, true);
}

/* ---- returns --------------------------------------------------------------------------------- */

/* The popped CS of RETF and IRET. */
static int return_cs(struct emul *e, u16 sel, struct desc *d)
{
	unsigned int rpl = sel & 3;
	int r;

	if (!sel_err(sel))
		return emul_gp(e, 0);
	r = emul_desc_read(e, sel, EXC_GP, 0, d);
	if (r)
		return r;
	if (!desc_is_code(d) || rpl < e->st->cpl ||
	    (conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl) ||
	    (is_64bit_code(e, d) && (d->seg.attr & SEG_DB)))
		return emul_gp(e, sel_err(sel));
	if (!(d->seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(sel));
	return 0;
}

/* The popped SS of a return to rpl. */
static int return_ss(struct emul *e, u16 sel, unsigned int rpl, const struct desc *cs,
		     struct x86_seg *ss)
{
	if (!sel_err(sel) && is_64bit_code(e, cs) && rpl != 3 && (sel & 3) == rpl) {
		host_memset(ss, 0, sizeof(*ss));
		ss->sel = sel;
		ss->attr = SEG_UNUSABLE | rpl << SEG_DPL_SHIFT;
		return 0;
	}
	return emul_ss_check(e, sel, rpl, EXC_GP, 0, ss);
}

/* Commit a return: ss NULL keeps the stack. */
static void return_commit(struct emul *e, const struct desc *cs, u64 rip, const struct x86_seg *ss,
			  u64 rsp)
{
	unsigned int rpl = cs->seg.sel & 3;
	bool outer = rpl > e->st->cpl;

	e->rip = rip;
	emul_set_cs(e, &cs->seg, rpl);
	if (ss) {
		e->st->seg[X86_SS] = *ss;
		e->stack_size = is_64bit_code(e, cs) ? 8 : ss->attr & SEG_DB ? 4 : 2;
		emul_set_sp(e, rsp);
	}
	if (outer)
		emul_drop_segments(e, rpl);
}

int emul_op_retf(struct emul *e)
{
	unsigned int size = e->insn.opsize, rpl;
	u16 release = e->insn.imm_size ? (u16)e->insn.imm : 0;
	struct x86_seg ss, cs;
	u64 rip, sel, rsp, ss_sel;
	struct desc d;
	int r;

	r = emul_pop(e, &rip, size);
	if (!r)
		r = emul_pop(e, &sel, size);
	if (r)
		return r;
	sel = (u16)sel;
	if (real_or_v86(e)) {
		cs = e->st->seg[X86_CS];
		emul_seg_real(e, &cs, X86_CS, (u16)sel);
		if (rip > cs.limit)
			return emul_gp(e, 0);
		emul_set_sp(e, emul_sp(e, release));
		e->rip = rip;
		emul_set_cs(e, &cs, e->st->cpl);
		return 0;
	}
	rpl = sel & 3;
	r = return_cs(e, (u16)sel, &d);
	if (!r)
		r = emul_jump_check(e, &d.seg, &rip, size);
	if (r)
		return r;
	emul_set_sp(e, emul_sp(e, release));
	if (rpl == e->st->cpl) {
		r = emul_desc_accessed(e, &d);
		if (!r)
			return_commit(e, &d, rip, NULL, 0);
		return r;
	}
	r = emul_pop(e, &rsp, size);
	if (!r)
		r = emul_pop(e, &ss_sel, size);
	if (!r)
		r = return_ss(e, (u16)ss_sel, rpl, &d, &ss);
	if (!r)
		r = emul_desc_accessed(e, &d);
	if (r)
		return r;
	return_commit(e, &d, rip, &ss, rsp);
	emul_set_sp(e, emul_sp(e, release));
	return 0;
}

void emul_load_flags(struct emul *e, u64 image, unsigned int size, u64 may)
{
	may &= size_mask(size);
	e->rflags = (e->rflags & ~may) | (image & may) | X86_FLAG_FIXED;
}

/* What every IRET pops first. */
static int pop_frame(struct emul *e, unsigned int size, u64 *rip, u64 *sel, u64 *image)
{
	int r = emul_pop(e, rip, size);

	if (!r)
		r = emul_pop(e, sel, size);
	return r ? r : emul_pop(e, image, size);
}

static int iret_real(struct emul *e, unsigned int size)
{
	u64 rip, sel, image, may = FLAGS_ANY_CPL | X86_FLAG_IF | X86_FLAG_RF;
	struct x86_seg cs = e->st->seg[X86_CS];
	bool virtual = false;
	int r;

	if (!(e->rflags & X86_FLAG_VM)) {
		may |= X86_FLAG_IOPL;
	} else if ((e->rflags & X86_FLAG_IOPL) != X86_FLAG_IOPL) {
		if (!(e->st->cr4 & CR4_VME) || size != 2)
			return emul_gp(e, 0);
		virtual = true;
		may &= ~X86_FLAG_IF;
	}
	r = pop_frame(e, size, &rip, &sel, &image);
	if (r)
		return r;
	/* VIF in the place of IF, as POPF does it. APM 3, IRET */
	if (virtual && ((image & X86_FLAG_TF) || ((image & X86_FLAG_IF) && (e->rflags & X86_FLAG_VIP))))
		return emul_gp(e, 0);
	emul_seg_real(e, &cs, X86_CS, (u16)sel);
	if (rip > cs.limit)
		return emul_gp(e, 0);
	e->rip = rip;
	emul_load_flags(e, image, size, may);
	if (virtual)
		e->rflags = image & X86_FLAG_IF ? e->rflags | X86_FLAG_VIF
						: e->rflags & ~X86_FLAG_VIF;
	emul_set_cs(e, &cs, e->st->cpl);
	return 0;
}

static int iret_to_v86(struct emul *e, u64 rip, u16 cs, u64 image)
{
	static const u8 order[] = { X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
	u64 rsp, sel[ARRAY_SIZE(order)];
	unsigned int i;
	int r = emul_pop(e, &rsp, 4);

	for (i = 0; i < ARRAY_SIZE(order) && !r; i++)
		r = emul_pop(e, &sel[i], 4);
	if (r)
		return r;
	if (rip > 0xffff)
		return emul_gp(e, 0);
	emul_load_flags(e, image, 4,
			FLAGS_ANY_CPL | X86_FLAG_IF | X86_FLAG_RF | X86_FLAG_IOPL | X86_FLAG_VM |
				X86_FLAG_VIF | X86_FLAG_VIP);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		emul_seg_real(e, &e->st->seg[order[i]], order[i], (u16)sel[i]);
	emul_seg_real(e, &e->st->seg[X86_CS], X86_CS, cs);
	e->gpr[X86_RSP] = rsp;
	e->rip = rip;
	emul_set_cpl(e, 3);
	return 0;
}

static int iret_protected(struct emul *e, unsigned int size)
{
	u64 rip, sel, image, rsp = 0, ss_sel, may = FLAGS_ANY_CPL | X86_FLAG_RF;
	unsigned int cpl = e->st->cpl, rpl;
	bool lma = x86_long_mode(e->st), stack;
	struct x86_seg ss;
	struct desc d;
	int r;

	if (e->rflags & X86_FLAG_NT) {
		u16 link;

		if (lma)
			return emul_gp(e, 0);
		r = emul_read_sys(e, e->st->seg[X86_TR].base, &link, 2);
		return r ? r : emul_task_switch(e, link, TASK_IRET, NULL, 0);
	}
	r = pop_frame(e, size, &rip, &sel, &image);
	if (r)
		return r;
	sel = (u16)sel;
	if ((image & X86_FLAG_VM) && !cpl && !lma && size == 4)
		return iret_to_v86(e, rip, (u16)sel, image);
	rpl = sel & 3;
	r = return_cs(e, (u16)sel, &d);
	if (r)
		return r;
	stack = e->mode == INSN_MODE_64 || rpl > cpl;
	if (stack) {
		r = emul_pop(e, &rsp, size);
		if (!r)
			r = emul_pop(e, &ss_sel, size);
		if (!r)
			r = return_ss(e, (u16)ss_sel, rpl, &d, &ss);
	}
	if (!r)
		r = emul_jump_check(e, &d.seg, &rip, size);
	if (!r)
		r = emul_desc_accessed(e, &d);
	if (r)
		return r;
	if (cpl <= (e->rflags & X86_FLAG_IOPL) >> 12)
		may |= X86_FLAG_IF;
	if (!cpl)
		may |= X86_FLAG_IOPL | X86_FLAG_VIF | X86_FLAG_VIP;
	emul_load_flags(e, image, size, may);
	return_commit(e, &d, rip, stack ? &ss : NULL, rsp);
	return 0;
}

static int iret(struct emul *e, unsigned int size)
{
	int r = real_or_v86(e) ? iret_real(e, size) : iret_protected(e, size);

	if (r)
		return r;
	e->st->nmi_masked = 0;
	e->retire |= RETIRE_KEEP_RF;
	return 0;
}

int emul_op_iret(struct emul *e)
{
	return iret(e, e->insn.opsize);
}

enum emul_result emul_iret(struct emul *e, unsigned int opsize)
{
	emul_begin(e);
	return emul_end(e, iret(e, opsize));
}

/* ---- SYSCALL, SYSRET, SYSENTER, SYSEXIT ------------------------------------------------------ */

/* The flat segments that these load without looking at memory. */
static void flat_cs(struct emul *e, u16 sel, unsigned int cpl, bool is64)
{
	struct x86_seg *cs = &e->st->seg[X86_CS];

	cs->sel = sel;
	cs->base = 0;
	cs->limit = 0xffffffff;
	cs->attr = SEG_G | SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WR | SEG_TYPE_ACCESSED |
		   cpl << SEG_DPL_SHIFT | (is64 ? SEG_L : SEG_DB);
	emul_set_cpl(e, cpl);
}

static void flat_ss(struct emul *e, u16 sel, unsigned int cpl)
{
	struct x86_seg *ss = &e->st->seg[X86_SS];

	ss->sel = sel;
	ss->base = 0;
	ss->limit = 0xffffffff;
	ss->attr = SEG_G | SEG_DB | SEG_P | SEG_S | SEG_TYPE_WR | SEG_TYPE_ACCESSED |
		   cpl << SEG_DPL_SHIFT;
}

/* SDM 2B SYSCALL; APM 3 SYSCALL for the modes that only AMD has. */
static int syscall(struct emul *e)
{
	struct x86_state *st = e->st;
	u16 sel = (u16)(st->star >> 32) & 0xfffc;

	if (!(st->efer & EFER_SCE) || real_or_v86(e))
		return emul_ud(e);
	if (x86_long_mode(st)) {
		e->gpr[X86_RCX] = e->rip;
		e->gpr[X86_R11] = e->rflags & ~X86_FLAG_RF;
		e->rip = e->mode == INSN_MODE_64 ? st->lstar : st->cstar;
		e->rflags &= ~(st->sfmask | X86_FLAG_RF);
		e->rflags |= X86_FLAG_FIXED;
		flat_cs(e, sel, 0, true);
	} else {
		e->gpr[X86_RCX] = (u32)e->rip;
		e->rip = (u32)st->star;
		e->rflags &= ~(X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
		flat_cs(e, sel, 0, false);
	}
	flat_ss(e, sel + 8, 0);
	e->retire |= RETIRE_NEW_TF;
	return 0;
}

static int sysret(struct emul *e, bool to64)
{
	struct x86_state *st = e->st;
	u16 sel = (u16)(st->star >> 48);
	const u64 image = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF |
			  X86_FLAG_IOPL | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_VIF | X86_FLAG_VIP |
			  X86_FLAG_ID;

	if (!(st->efer & EFER_SCE) || real_or_v86(e))
		return emul_ud(e);
	if (st->cpl)
		return emul_gp(e, 0);
	if (to64 && !x86_canonical(e->gpr[X86_RCX]))
		return emul_gp(e, 0);
	e->rip = to64 ? e->gpr[X86_RCX] : (u32)e->gpr[X86_RCX];
	if (x86_long_mode(st))
		e->rflags = (e->gpr[X86_R11] & image) | X86_FLAG_FIXED;
	else
		e->rflags |= X86_FLAG_IF;
	flat_cs(e, (sel + (to64 ? 16 : 0)) | 3, 3, to64);
	flat_ss(e, (sel + 8) | 3, 3);
	return 0;
}

int emul_op_syscall(struct emul *e)
{
	return syscall(e);
}

int emul_op_sysret(struct emul *e)
{
	return sysret(e, e->mode == INSN_MODE_64 && e->insn.opsize == 8);
}

enum emul_result emul_syscall(struct emul *e, unsigned int len)
{
	emul_begin(e);
	e->rip += len;
	if (e->mode != INSN_MODE_64)
		e->rip = (u32)e->rip;
	return emul_end(e, syscall(e));
}

enum emul_result emul_sysret(struct emul *e, bool to64)
{
	emul_begin(e);
	return emul_end(e, sysret(e, to64));
}

int emul_op_sysenter(struct emul *e)
{
	struct x86_state *st = e->st;
	bool lma = x86_long_mode(st);
	u16 sel = st->sysenter_cs & 0xfffc;

	if (!sel)
		return emul_gp(e, 0);
	e->rflags &= ~(X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
	e->gpr[X86_RSP] = lma ? st->sysenter_esp : (u32)st->sysenter_esp;
	e->rip = lma ? st->sysenter_eip : (u32)st->sysenter_eip;
	flat_cs(e, sel, 0, lma);
	flat_ss(e, sel + 8, 0);
	return 0;
}

int emul_op_sysexit(struct emul *e)
{
	struct x86_state *st = e->st;
	bool to64 = e->insn.opsize == 8;
	u16 sel = (u16)st->sysenter_cs;
	u64 rip = e->gpr[X86_RDX], rsp = e->gpr[X86_RCX];

	if (!sel_err(sel))
		return emul_gp(e, 0);
	if (to64 && (!x86_canonical(rip) || !x86_canonical(rsp)))
		return emul_gp(e, 0);
	e->rip = to64 ? rip : (u32)rip;
	e->gpr[X86_RSP] = to64 ? rsp : (u32)rsp;
	flat_cs(e, (sel + (to64 ? 32 : 16)) | 3, 3, to64);
	flat_ss(e, (sel + (to64 ? 40 : 24)) | 3, 3);
	return 0;
}
