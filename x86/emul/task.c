// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Hardware task switch through 16- and 32-bit task-state segments. SDM 3A chapter 7 */
#include "private.h"

#define DR6_BT	BIT_ULL(15)
#define DR7_LOCAL 0x155ULL	/* L0 to L3, LE */

/* What a TSS holds of a task. 32-bit: SDM 3A figure 7-2; 16-bit: figure 7-10. */
struct task {
	u32 cr3, eip, eflags;
	u32 gpr[8];
	u16 sel[X86_NR_SEG];	/* enum x86_sreg is the TSS's order */
	u16 ldt;
	bool trap;
};

#define TSS32_CR3	0x1c
#define TSS32_EIP	0x20
#define TSS32_LDT	0x60
#define TSS32_TRAP	0x64
#define TSS32_SIZE	0x68
#define TSS16_IP	0x0e
#define TSS16_LDT	0x2a
#define TSS16_SIZE	0x2c

static int read_task(struct emul *e, gva_t base, bool wide, struct task *t)
{
	u32 w[19];
	u16 h[15];
	unsigned int i;
	int r;

	host_memset(t, 0, sizeof(*t));
	if (!wide) {
		r = emul_read_sys(e, base + TSS16_IP, h, sizeof(h));
		if (r)
			return r;
		t->eip = h[0];
		t->eflags = h[1];
		for (i = 0; i < 8; i++)
			t->gpr[i] = h[2 + i];
		for (i = 0; i < 4; i++)
			t->sel[i] = h[10 + i];
		t->ldt = h[14];
		return 0;
	}
	r = emul_read_sys(e, base + TSS32_CR3, w, 64);
	if (!r)
		r = emul_read_sys(e, base + TSS32_CR3 + 64, w + 16, sizeof(w) - 64);
	if (r)
		return r;
	t->cr3 = w[0];
	t->eip = w[1];
	t->eflags = w[2];
	for (i = 0; i < 8; i++)
		t->gpr[i] = w[3 + i];
	for (i = 0; i < X86_NR_SEG; i++)
		t->sel[i] = (u16)w[11 + i];
	t->ldt = (u16)w[17];
	t->trap = w[18] & 1;
	return 0;
}

static int save_task(struct emul *e, gva_t base, bool wide, u64 flags)
{
	u32 w[16];
	u16 h[14];
	unsigned int i;

	if (wide) {
		w[0] = (u32)e->rip;
		w[1] = (u32)flags;
		for (i = 0; i < 8; i++)
			w[2 + i] = (u32)e->gpr[i];
		for (i = 0; i < X86_NR_SEG; i++)
			w[10 + i] = e->st->seg[i].sel;
		return emul_write_sys(e, base + TSS32_EIP, w, sizeof(w));
	}
	h[0] = (u16)e->rip;
	h[1] = (u16)flags;
	for (i = 0; i < 8; i++)
		h[2 + i] = (u16)e->gpr[i];
	for (i = 0; i < 4; i++)
		h[10 + i] = e->st->seg[i].sel;
	return emul_write_sys(e, base + TSS16_IP, h, sizeof(h));
}

static int load_ldt(struct emul *e, u16 sel)
{
	struct desc d;
	int r;

	if (!sel_err(sel))
		return 0;
	if (sel & 4)
		return emul_raise(e, EXC_TS, sel_err(sel));
	r = emul_desc_read(e, sel, EXC_TS, 0, &d);
	if (r)
		return r;
	if (desc_type(&d) != DESC_LDT || !(d.seg.attr & SEG_P))
		return emul_raise(e, EXC_TS, sel_err(sel));
	e->st->seg[X86_LDTR] = d.seg;
	return 0;
}

static int load_cs(struct emul *e, u16 sel)
{
	unsigned int rpl = sel & 3;
	struct desc d;
	int r;

	if (!sel_err(sel))
		return emul_raise(e, EXC_TS, 0);
	r = emul_desc_read(e, sel, EXC_TS, 0, &d);
	if (r)
		return r;
	if (!desc_is_code(&d) ||
	    (d.seg.attr & SEG_TYPE_DC ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		return emul_raise(e, EXC_TS, sel_err(sel));
	if (!(d.seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(sel));
	r = emul_desc_accessed(e, &d);
	if (!r)
		e->st->seg[X86_CS] = d.seg;
	return r;
}

/* Segments of the new task; faults belong to it. SDM 3A 7.3 step 13 and table 7-1 */
static int load_segments(struct emul *e, const struct task *t)
{
	static const u8 data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	struct x86_state *st = e->st;
	struct x86_seg ss;
	unsigned int i;
	int r = load_ldt(e, t->ldt);

	if (r)
		return r;
	if (e->rflags & X86_FLAG_VM) {
		for (i = 0; i < X86_NR_SEG; i++)
			emul_seg_real(e, &st->seg[i], i, t->sel[i]);
		return 0;
	}
	r = load_cs(e, t->sel[X86_CS]);
	if (!r)
		r = emul_ss_check(e, t->sel[X86_SS], st->cpl, EXC_TS, 0, &ss);
	if (r)
		return r;
	st->seg[X86_SS] = ss;
	for (i = 0; i < ARRAY_SIZE(data); i++) {
		r = emul_seg_load(e, data[i], t->sel[data[i]]);
		if (r == -EFAULT && e->fault.vector == EXC_GP)
			e->fault.vector = EXC_TS;
		if (r)
			return r;
	}
	return 0;
}

/*
 * The new task's registers, with segments not loaded yet. From here on faults are the new task's.
 */
static void enter_task(struct emul *e, const struct task *t, bool wide)
{
	struct x86_state *st = e->st;
	unsigned int i;

	for (i = 0; i < 8; i++)
		e->gpr[i] = wide ? t->gpr[i] : t->gpr[i] | 0xffff0000;
	e->rip = t->eip;
	e->rflags = t->eflags | X86_FLAG_FIXED;
	for (i = 0; i < X86_NR_SEG; i++) {
		st->seg[i].sel = t->sel[i];
		st->seg[i].attr |= SEG_UNUSABLE;
	}
	st->seg[X86_LDTR].sel = t->ldt;
	st->seg[X86_LDTR].attr = SEG_UNUSABLE;
	st->cpl = e->rflags & X86_FLAG_VM ? 3 : t->sel[X86_CS] & 3;
	e->cpl = st->cpl;
	e->retire |= RETIRE_MODE | RETIRE_KEEP_RF | RETIRE_NO_STEP | RETIRE_FAULTED;
}

static int new_tss(struct emul *e, u16 sel, enum task_reason why, u32 ext, struct desc *d,
		   bool *wide)
{
	unsigned int vector = why == TASK_IRET ? EXC_TS : EXC_GP, type;
	int r;

	if (!sel_err(sel) || (sel & 4))
		return emul_raise(e, vector, sel_err(sel) | ext);
	r = emul_desc_read(e, sel, vector, ext, d);
	if (r)
		return r;
	type = desc_type(d);
	*wide = type == DESC_TSS32 || type == DESC_TSS32_BUSY;
	if (why == TASK_IRET ? type != DESC_TSS32_BUSY && type != DESC_TSS16_BUSY :
			       type != DESC_TSS32 && type != DESC_TSS16)
		return emul_raise(e, vector, sel_err(sel) | ext);
	if (!(d->seg.attr & SEG_P))
		return emul_raise(e, EXC_NP, sel_err(sel) | ext);
	if (d->seg.limit < (*wide ? TSS32_SIZE : TSS16_SIZE) - 1)
		return emul_raise(e, EXC_TS, sel_err(sel) | ext);
	return 0;
}

int emul_task_switch(struct emul *e, u16 sel, enum task_reason why, const u32 *error, u32 ext)
{
	struct x86_state *st = e->st;
	struct x86_seg *tr = &st->seg[X86_TR];
	bool nested = why == TASK_CALL || why == TASK_INT, wide = false;
	u16 old_sel = tr->sel;
	struct desc d, old;
	struct task t;
	u64 flags = e->rflags;
	int r = new_tss(e, sel, why, ext, &d, &wide);

	if (!r)
		r = read_task(e, d.seg.base, wide, &t);
	if (r)
		return r;
	if (why == TASK_IRET)
		flags &= ~X86_FLAG_NT;
	r = save_task(e, tr->base, (tr->attr & SEG_TYPE) >= DESC_TSS32, flags);
	if (!r && !nested) {
		r = emul_desc_read(e, old_sel, EXC_TS, ext, &old);
		if (!r)
			r = emul_desc_set_busy(e, &old, false);
	}
	if (!r && nested)
		r = emul_write_sys(e, d.seg.base, &old_sel, 2);
	if (!r)
		r = emul_desc_set_busy(e, &d, true);
	if (!r && wide && (st->cr0 & CR0_PG))
		r = e->ops->cr_write(e, 3, t.cr3);
	if (r)
		return r;

	if (nested)
		t.eflags |= X86_FLAG_NT;
	st->seg[X86_TR] = d.seg;
	st->seg[X86_TR].attr |= 2;
	enter_task(e, &t, wide);
	r = e->ops->cr_write(e, 0, st->cr0 | CR0_TS);
	if (!r && (st->dr7 & DR7_LOCAL))
		r = e->ops->dr_write(e, 7, st->dr7 & ~DR7_LOCAL);
	if (!r)
		r = load_segments(e, &t);
	if (r)
		return r;
	emul_mode_begin(e);
	e->align_check = false;
	if (e->rip > st->seg[X86_CS].limit)
		return emul_gp(e, 0);
	if (error) {
		r = emul_push(e, *error, wide ? 4 : 2);
		if (r)
			return r;
	}
	if (t.trap)
		e->db_trap |= DR6_BT;
	e->retire &= ~RETIRE_FAULTED;
	return 0;
}
