// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Interrupts and exceptions through the IDT, and the instructions that raise them. SDM 3A chapter
 * 6, 20.3
 */
#include "private.h"

#define DR6_TRAPS	0xfULL
#define DR6_FIXED	0xffff0ff0ULL
#define DR7_GD		BIT_ULL(13)

/* ---- one delivery ---------------------------------------------------------------------------- */

static int real_mode(struct emul *e, unsigned int vector, u64 image, u64 return_rip)
{
	const struct x86_state *st = e->st;
	struct x86_seg cs = st->seg[X86_CS];
	u64 frame[3] = { image, cs.sel, return_rip };
	u16 entry[2];
	int r;

	if (vector * 4 + 3 > st->idtr.limit)
		return emul_gp(e, 0);
	r = emul_read_sys(e, st->idtr.base + vector * 4, entry, 4);
	if (!r)
		r = emul_push_frame(e, frame, 3, 2);
	if (r)
		return r;
	emul_seg_real(e, &cs, X86_CS, entry[1]);
	e->rip = entry[0];
	e->rflags &= ~(X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_AC | X86_FLAG_RF);
	emul_set_cs(e, &cs, st->cpl);
	return 0;
}

/*
 * The stack of the handler: *ss and *rsp, *switched if it is not the current one. Long mode: SDM 3A
 * 6.14.2, 6.14.5
 */
static int handler_stack(struct emul *e, unsigned int cpl, unsigned int ist, u32 ext,
			 struct x86_seg *ss, u64 *rsp)
{
	struct x86_state *st = e->st;
	int r = 0;

	*ss = st->seg[X86_SS];
	*rsp = e->gpr[X86_RSP];
	if (!x86_long_mode(st))
		return cpl < st->cpl ? emul_tss_stack(e, cpl, ext, ss, rsp) : 0;
	if (ist)
		r = emul_tss_rsp(e, 0x24 + 8 * (ist - 1), ext, rsp);
	else if (cpl < st->cpl)
		r = emul_tss_rsp(e, 4 + 8 * cpl, ext, rsp);
	if (r)
		return r;
	*rsp &= ~15ULL;
	if (cpl < st->cpl) {
		ss->sel = cpl;
		ss->base = 0;
		ss->limit = 0;
		ss->attr = SEG_UNUSABLE | cpl << SEG_DPL_SHIFT;
	}
	return 0;
}

/* The code segment a gate names. */
static int handler_code(struct emul *e, u16 sel, u32 ext, struct desc *cs)
{
	bool lma = x86_long_mode(e->st);
	int r;

	if (!sel_err(sel))
		return emul_gp(e, ext);
	r = emul_desc_read(e, sel, EXC_GP, ext, cs);
	if (r)
		return r;
	if (!desc_is_code(cs) || desc_dpl(cs) > e->st->cpl ||
	    (lma && (cs->seg.attr & (SEG_L | SEG_DB)) != SEG_L))
		return emul_gp(e, sel_err(sel) | ext);
	if (!(cs->seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(sel) | ext);
	if ((e->st->rflags & X86_FLAG_VM) && ((cs->seg.attr & SEG_TYPE_DC) || desc_dpl(cs)))
		return emul_gp(e, sel_err(sel) | ext);
	return 0;
}

struct gate {
	u64 off;
	u16 sel;
	u8 type, ist;
};

static int read_gate(struct emul *e, unsigned int vector, bool soft, u32 ext, struct gate *g)
{
	const struct x86_state *st = e->st;
	bool lma = x86_long_mode(st);
	unsigned int size = lma ? 16 : 8;
	u32 err = vector * 8 | SEL_ERR_IDT | ext, raw[4] = { 0 };
	int r;

	if (vector * size + size - 1 > st->idtr.limit)
		return emul_gp(e, err);
	r = emul_read_sys(e, st->idtr.base + vector * size, raw, size);
	if (r)
		return r;
	g->type = (raw[1] >> 8) & 0x1f;
	g->sel = raw[0] >> 16;
	g->off = (raw[0] & 0xffff) | (u64)(raw[1] & 0xffff0000);
	g->ist = lma ? raw[1] & 7 : 0;
	g->off |= (u64)raw[2] << 32;
	if (g->type != DESC_INTGATE32 && g->type != DESC_TRAPGATE32 &&
	    (lma ||
	     (g->type != DESC_TASKGATE && g->type != DESC_INTGATE16 && g->type != DESC_TRAPGATE16)))
		return emul_gp(e, err);
	if (soft && ((raw[1] >> 13) & 3) < st->cpl)
		return emul_gp(e, err);
	if (!(raw[1] & BIT(15)))
		return emul_raise(e, EXC_NP, err);
	if (g->type == DESC_INTGATE16 || g->type == DESC_TRAPGATE16)
		g->off &= 0xffff;
	return 0;
}

static int protected_mode(struct emul *e, bool soft, unsigned int vector, const u32 *error,
			  u64 image, u64 return_rip, u32 ext)
{
	struct x86_state *st = e->st;
	bool lma = x86_long_mode(st), v86 = st->rflags & X86_FLAG_VM, inner;
	unsigned int n = 0, size, cpl;
	struct inner_stack old;
	struct x86_seg ss;
	u64 frame[10], rsp;
	struct desc cs;
	struct gate g;
	int r = read_gate(e, vector, soft, ext, &g);

	if (r)
		return r;
	if (g.type == DESC_TASKGATE) {
		e->rip = return_rip;
		e->rflags = image;
		return emul_task_switch(e, g.sel, TASK_INT, error, ext);
	}
	r = handler_code(e, g.sel, ext, &cs);
	if (r)
		return r;
	cpl = cs.seg.attr & SEG_TYPE_DC ? st->cpl : desc_dpl(&cs);
	inner = cpl < st->cpl;
	r = handler_stack(e, cpl, g.ist, ext, &ss, &rsp);
	if (!r)
		r = emul_jump_check(e, &cs.seg, &g.off, lma ? 8 : 4);
	if (!r)
		r = emul_desc_accessed(e, &cs);
	if (r) {
		if (r == -EFAULT && e->fault.vector == EXC_GP && !e->fault.error)
			e->fault.error = ext;
		return r;
	}

	size = lma ? 8 : g.type >= DESC_INTGATE32 ? 4 : 2;
	if (v86) {
		frame[n++] = st->seg[X86_GS].sel;
		frame[n++] = st->seg[X86_FS].sel;
		frame[n++] = st->seg[X86_DS].sel;
		frame[n++] = st->seg[X86_ES].sel;
	}
	if (inner || lma) {
		frame[n++] = st->seg[X86_SS].sel;
		frame[n++] = e->gpr[X86_RSP];
	}
	frame[n++] = image;
	frame[n++] = st->seg[X86_CS].sel;
	frame[n++] = return_rip;
	if (error)
		frame[n++] = *error;
	e->rflags &= ~(X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_VM);
	if (!(g.type & 1))
		e->rflags &= ~X86_FLAG_IF;
	e->align_check = false;
	if (lma)
		e->mode = INSN_MODE_64;
	emul_stack_enter(e, &old, &ss, cpl, lma ? 8 : ss.attr & SEG_DB ? 4 : 2, rsp);
	r = emul_push_frame(e, frame, n, size);
	if (r == -EFAULT && e->fault.vector == EXC_SS && (!inner || lma)) {
		/* no selector to name: the stack is the interrupted one, or flat */
		emul_stack_pushed(e, &old, r, ext);
		e->fault.error = ext;
		return r;
	}
	r = emul_stack_pushed(e, &old, r, ext);
	if (r)
		return r;
	if (v86) {
		static const u8 data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
		unsigned int i;

		for (i = 0; i < ARRAY_SIZE(data); i++) {
			struct x86_seg *s = &st->seg[data[i]];

			s->sel = 0;
			s->base = 0;
			s->limit = 0;
			s->attr = SEG_UNUSABLE;
		}
	}
	e->rip = g.off;
	emul_set_cs(e, &cs.seg, cpl);
	return 0;
}

int emul_interrupt(struct emul *e, enum event_kind kind, unsigned int vector, bool has_error,
		   u32 error, u64 return_rip)
{
	u64 image = e->rflags;
	u32 ext = kind == EVENT_SOFT ? 0 : SEL_ERR_EXT;
	int r;

	/* A fault's handler returns to the instruction, whose breakpoint has been met. SDM 3B
	 * 17.3.1.1 */
	if (kind == EVENT_EXCEPTION && vector != EXC_DB && vector != EXC_BP && vector != EXC_OF &&
	    vector != EXC_DF)
		image |= X86_FLAG_RF;
	if (x86_protected(e->st))
		r = protected_mode(e, kind == EVENT_SOFT, vector, has_error ? &error : NULL, image,
				   return_rip, ext);
	else
		r = real_mode(e, vector, image, return_rip);
	if (!r)
		e->retire |= RETIRE_KEEP_RF | RETIRE_NO_STEP;
	return r;
}

/* ---- events from outside, with double and triple faults -------------------------------------- */

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

/* SDM 3A table 6-4 */
static enum fault_class classify(enum event_kind kind, unsigned int vector)
{
	if (kind != EVENT_EXCEPTION)
		return BENIGN;
	switch (vector) {
	case EXC_DE:
	case EXC_TS:
	case EXC_NP:
	case EXC_SS:
	case EXC_GP:
		return CONTRIBUTORY;
	case EXC_PF:
		return PAGE_FAULT;
	case EXC_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

/* A fault while delivering another: true for a double fault. SDM 3A table 6-5 */
static bool doubles(enum fault_class first, enum fault_class second)
{
	if (first == CONTRIBUTORY)
		return second == CONTRIBUTORY;
	return first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT);
}

/* Registers that an exception writes before its handler starts. */
static void exception_registers(struct x86_state *st, const struct x86_fault *event)
{
	if (event->vector == EXC_PF)
		st->cr2 = event->cr2;
	if (event->vector == EXC_DB) {
		st->dr6 = (st->dr6 & ~DR6_TRAPS) | DR6_FIXED | event->dr6;
		st->dr7 &= ~DR7_GD;
	}
}

/*
 * Each round either ends or moves to a more severe class, but benign faults can follow each other:
 * bound them.
 */
#define MAX_NESTED	8

enum emul_result emul_deliver(struct emul *e, enum event_kind kind, const struct x86_fault *event)
{
	struct x86_fault now = *event;
	enum fault_class first, second;
	struct x86_state *st = e->st;
	unsigned int rounds;
	int r;

	for (rounds = 0; rounds < MAX_NESTED; rounds++) {
		emul_begin(e);
		if (kind == EVENT_EXCEPTION)
			exception_registers(st, &now);
		r = emul_interrupt(e, kind, now.vector, now.has_error && x86_protected(st),
				   now.error, st->rip);
		if (r != -EFAULT)
			break;
		/* a task switch may have passed its point of no return: the second fault is the new
		 * task's */
		if (e->retire & RETIRE_FAULTED)
			emul_end(e, -EFAULT);
		first = classify(kind, now.vector);
		if (kind == EVENT_NMI)
			st->nmi_masked = 1;
		now = e->fault;
		kind = EVENT_EXCEPTION;
		second = classify(kind, now.vector);
		if (first == DOUBLE_FAULT && second != BENIGN)
			return EMUL_SHUTDOWN;
		if (doubles(first, second)) {
			if (now.vector == EXC_PF)
				st->cr2 = now.cr2;
			emul_raise(e, EXC_DF, 0);
			now = e->fault;
		}
	}
	if (r == -EFAULT)
		return EMUL_SHUTDOWN;
	if (!r) {
		st->halted = 0;
		if (kind == EVENT_NMI)
			st->nmi_masked = 1;
	}
	return emul_end(e, r);
}

/* ---- INT n, INT3, INTO, INT1 ----------------------------------------------------------------- */

/*
 * Virtual-8086 mode extensions: INT n by the interrupt vector table of the virtual machine. SDM 3B
 * 20.3.3
 */
static int vme_redirect(struct emul *e, unsigned int vector, bool *redirected)
{
	const struct x86_seg *tr = &e->st->seg[X86_TR];
	bool iopl3 = (e->rflags & X86_FLAG_IOPL) == X86_FLAG_IOPL;
	u64 image = e->rflags, frame[3];
	struct x86_seg cs;
	u16 base, entry[2];
	u8 bits;
	int r;

	*redirected = false;
	if (tr->limit < 0x67)
		return emul_gp(e, 0);
	r = emul_read_sys(e, tr->base + 0x66, &base, 2);
	if (r)
		return r;
	/* the redirection bitmap is the 32 bytes before the I/O bitmap */
	if (base < 32 || (u32)base - 32 + vector / 8 > tr->limit)
		return emul_gp(e, 0);
	r = emul_read_sys(e, tr->base + base - 32 + vector / 8, &bits, 1);
	if (r || (bits & (1 << (vector & 7))))
		return r;
	r = e->ops->read(e, vector * 4, entry, 4, WALK_READ | WALK_USER);
	if (r)
		return r;
	if (!iopl3) {
		image |= X86_FLAG_IOPL;
		image = image & X86_FLAG_VIF ? image | X86_FLAG_IF : image & ~X86_FLAG_IF;
	}
	frame[0] = image;
	frame[1] = e->st->seg[X86_CS].sel;
	frame[2] = e->rip;
	r = emul_push_frame(e, frame, 3, 2);
	if (r)
		return r;
	cs = e->st->seg[X86_CS];
	emul_seg_real(e, &cs, X86_CS, entry[1]);
	e->rip = entry[0];
	e->rflags &= ~((iopl3 ? X86_FLAG_IF : X86_FLAG_VIF) | X86_FLAG_TF | X86_FLAG_RF |
		       X86_FLAG_NT);
	emul_set_cs(e, &cs, 3);
	e->retire |= RETIRE_NO_STEP;
	*redirected = true;
	return 0;
}

int emul_op_int(struct emul *e)
{
	unsigned int vector = e->insn.imm & 0xff;
	bool redirected;
	int r;

	if (x86_v8086(e->st)) {
		if (e->st->cr4 & CR4_VME) {
			r = vme_redirect(e, vector, &redirected);
			if (r || redirected)
				return r;
		}
		if ((e->rflags & X86_FLAG_IOPL) != X86_FLAG_IOPL)
			return emul_gp(e, 0);
	}
	return emul_interrupt(e, EVENT_SOFT, vector, false, 0, e->rip);
}

int emul_op_int3(struct emul *e)
{
	if (e->stop_bp) {
		emul_raise(e, EXC_BP, 0);
		e->fault.soft = true;
		return -EFAULT;
	}
	return emul_interrupt(e, EVENT_SOFT, EXC_BP, false, 0, e->rip);
}

int emul_op_into(struct emul *e)
{
	return e->rflags & X86_FLAG_OF ? emul_interrupt(e, EVENT_SOFT, EXC_OF, false, 0, e->rip) : 0;
}

/* A #DB that no gate's DPL stops; DR6 stays. SDM 2A INT1 */
int emul_op_int1(struct emul *e)
{
	return emul_interrupt(e, EVENT_EXCEPTION, EXC_DB, false, 0, e->rip);
}
