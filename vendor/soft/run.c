// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Guest mode: find or make the block at RIP, run translated code, and deal with its exits that need no core. */
#include "soft.h"

/* Arithmetic flags between RFLAGS and the form LAHF and SETO use. */
static void flags_split(struct soft_vcpu *sv)
{
	u64 f = sv->st.rflags;

	sv->saved_flags = (f & 0xff) << 8 | ((f & X86_FLAG_OF) ? 1 : 0);
}

u64 soft_arith_flags(u64 split)
{
	return ((split >> 8) & (X86_FLAGS_ARITH & 0xff)) | ((split & 1) ? X86_FLAG_OF : 0);
}

static void flags_merge(struct soft_vcpu *sv)
{
	/* RF is about one instruction and breakpoints; where there are any, nothing is translated */
	sv->st.rflags = (sv->st.rflags & ~(X86_FLAGS_ARITH | X86_FLAG_RF)) | soft_arith_flags(sv->saved_flags);
}

static bool flat(const struct x86_seg *s)
{
	return !s->base && s->limit == 0xffffffff && (s->attr & SEG_P) && !(s->attr & SEG_UNUSABLE);
}

static bool flat_data(const struct x86_seg *s)
{
	return flat(s) && (s->attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_DC | SEG_TYPE_WR)) == (SEG_S | SEG_TYPE_WR);
}

static void view_segment(struct seg_view *v, const struct x86_seg *s, bool protected)
{
	s64 last = s->limit;
	bool read = true, write = true;

	if ((s->attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_DC)) == (SEG_S | SEG_TYPE_DC))
		last = -1;	/* expand-down */
	if (protected) {
		if ((s->attr & SEG_UNUSABLE) || !(s->attr & SEG_P))
			last = -1;
		write = (s->attr & (SEG_TYPE_CODE | SEG_TYPE_WR)) == SEG_TYPE_WR;
		read = (s->attr & (SEG_TYPE_CODE | SEG_TYPE_WR)) != SEG_TYPE_CODE;
	}
	v->base = s->base;
	v->neg_base = -s->base;
	v->last[0] = read ? last : -1;
	v->last[1] = write ? last : -1;
	v->neg_last[0] = -v->last[0];
	v->neg_last[1] = -v->last[1];
}

/* Outside 64-bit mode: what the segments make of the code key, and their short form for translated code. */
static u16 segments_key(struct soft_vcpu *sv)
{
	const struct x86_state *st = &sv->st;
	const struct x86_seg *seg = st->seg;
	bool protected = x86_protected(st), as_real = true;
	u16 key = 0;

	for (u32 i = 0; i < X86_NR_SEG; i++) {
		view_segment(&sv->view[i], &seg[i], protected);
		if (i != X86_CS && i != X86_SS)
			as_real &= (seg[i].attr & ~(SEG_DB | SEG_G)) == (SEG_P | SEG_S | SEG_TYPE_WR | SEG_TYPE_ACCESSED);
	}
	if (seg[X86_CS].attr & SEG_DB)
		key |= CODE_32;
	if (seg[X86_SS].attr & SEG_DB)
		key |= CODE_SS32;
	if (!protected)
		return key | CODE_REAL | (as_real ? CODE_REALSEG : 0);
	if (flat(&seg[X86_CS])) {
		if (key & CODE_32)
			key |= CODE_CSFLAT;
		if ((seg[X86_CS].attr & (SEG_TYPE_CODE | SEG_TYPE_WR)) == (SEG_TYPE_CODE | SEG_TYPE_WR) &&
		    flat_data(&seg[X86_ES]) && flat_data(&seg[X86_SS]) && flat_data(&seg[X86_DS]))
			key |= CODE_FLAT;
	}
	return key;
}

void soft_mode_update(struct soft_vcpu *sv)
{
	const struct x86_state *st = &sv->st;
	u16 key;

	sv->mode_dirty = false;
	sv->mode_flags = st->rflags;
	/* blocks and soft TLB are about address space 0: not for system management mode */
	sv->interpret = st->smm || (st->rflags & (X86_FLAG_TF | X86_FLAG_VM)) ||
			((st->cr0 & CR0_AM) && (st->rflags & X86_FLAG_AC) && st->cpl == 3) || (st->dr7 & 0xff) ||
			vcpu_debug_wants_steps(sv->vcpu);
	if (likely(x86_64bit(st))) {
		key = CODE_64;
		sv->cs_base = 0;
		sv->rip_mask = sv->rip_last = ~0UL;
	} else {
		key = segments_key(sv);
		sv->cs_base = st->seg[X86_CS].base;
		sv->rip_mask = 0xffffffff;
		sv->rip_last = st->seg[X86_CS].limit;
		sv->neg_rip_end = -(sv->rip_last + 1);
	}
	if (!(st->cr0 & (CR0_EM | CR0_TS))) {
		key |= CODE_X87;
		if (st->cr4 & CR4_OSFXSR)
			key |= CODE_SSE;
		if ((st->cr4 & CR4_OSXSAVE) && (st->xcr0 & XCR0_AVX))
			key |= CODE_AVX;
	}
	/* a scaled counter is the emulator's */
	if ((!(st->cr4 & CR4_TSD) || !st->cpl) && !st->tsc_ratio)
		key |= CODE_TSC;
	if (!st->cpl)
		key |= CODE_CPL0;
	sv->code_key = key;
	soft_space_select(sv);
	if (unlikely(!(key & CODE_64)))
		soft_cs_changed(sv);
}

/* Deliver through the IDT. 0, or a vm exit reason in *reason. */
static int deliver(struct soft_vcpu *sv, enum event_kind kind, const struct x86_fault *f, u32 *reason)
{
	switch (emul_deliver(&sv->vcpu->emul, kind, f)) {
	case EMUL_DONE:
		sv->mode_dirty = true;
		return 0;
	case EMUL_SHUTDOWN:
		*reason = EXIT_SHUTDOWN;
		return 1;
	default:
		/* the IDT, GDT, TSS or stack is not in memory, or the client has taken that away */
		*reason = vcpu_take_mem_error(sv->vcpu) ? EXIT_MEM_ERROR : EXIT_FAIL;
		return 1;
	}
}

int soft_inject(struct vcpu *vcpu, enum event_kind kind, const struct x86_fault *f)
{
	struct soft_vcpu *sv = soft_of(vcpu);
	enum emul_result r = emul_deliver(&vcpu->emul, kind, f);

	sv->mode_dirty = true;
	return r;
}

static bool window_open(const struct soft_vcpu *sv)
{
	const struct x86_state *st = &sv->st;

	return sv->want_intr_window && (st->rflags & X86_FLAG_IF) && !st->shadow_sti && !st->shadow_movss;
}

static bool nmi_window_open(const struct soft_vcpu *sv)
{
	const struct x86_state *st = &sv->st;

	return sv->want_nmi_window && !st->nmi_masked && !st->shadow_sti && !st->shadow_movss;
}

static void rip_to_linear(struct soft_vcpu *sv)
{
	sv->st.rip = (sv->st.rip + sv->cs_base) & sv->rip_mask;
	sv->rip_linear = true;
}

static void rip_to_offset(struct soft_vcpu *sv)
{
	sv->st.rip = (sv->st.rip - sv->cs_base) & sv->rip_mask;
	sv->rip_linear = false;
}

/* Where the guest was when a slow path of some block called out: st->rip, and the link if it was a link's. */
static struct link *locate_call(struct soft_vcpu *sv, bool is_link)
{
	u64 pc = sv->scratch[1] - 1;		/* in the call */
	struct block *b = soft_block_of_cold_pc(sv, pc);
	struct link *l = b->link;

	if (!is_link) {
		sv->st.rip = sv->page_va + b->offset;
		return NULL;
	}
	for (u32 n = b->nr_links; n > 1 && pc >= (u64)(sv->cb.rx + l[1].stub); n--)
		l++;
	sv->st.rip = sv->page_va + l->off;
	return l;
}

static bool has_to_leave(const struct soft_vcpu *sv)
{
	return soft_kicked(sv) || (sv->want_intr_window && window_open(sv)) ||
	       (sv->want_nmi_window && !sv->st.nmi_masked);
}

/*
 * Between two blocks, where the guest's arithmetic flags may be gone because the next instructions give all of them new
 * values without a way out (trans/flags.c): let them do so before anyone sees the flags.
 */
static void settle(struct soft_vcpu *sv)
{
	int why = SOFT_EMULATE;
	struct block *b = soft_find_block(sv, (sv->st.rip + sv->cs_base) & sv->rip_mask, false, &why);

	if (!b && why == SOFT_FULL) {
		soft_drop_all_code(sv);
		b = soft_find_block(sv, (sv->st.rip + sv->cs_base) & sv->rip_mask, false, &why);
	}
	for (u32 n = b ? b->settle : 0; n; n--)
		if (emul_step(&sv->vcpu->emul) != EMUL_DONE)
			return;
}

static u32 run(struct soft_vcpu *sv)
{
	struct x86_state *st = &sv->st;
	struct link *link = NULL;
	bool missed = false;	/* the jump cache has no entry for RIP, or one that leads to a dead block */
	bool unsettled = false;
	u32 reason;

	for (;;) {
		const struct jc_entry *jc;
		int why = SOFT_EMULATE;
		struct block *b;
		const u8 *code;
		u64 va;
		u32 x;

		if (unlikely(sv->mode_dirty)) {
			soft_mode_update(sv);
			link = NULL;
		}
		if (unlikely(unsettled && has_to_leave(sv))) {
			settle(sv);
			unsettled = false;
			link = NULL;
		}
		if (unlikely(soft_kicked(sv))) {
			host_store_relaxed(&sv->kick, sv->go);
			return EXIT_KICKED;
		}
		if (unlikely(sv->want_intr_window) && window_open(sv)) {
			sv->want_intr_window = false;
			return EXIT_INTR_WINDOW;
		}
		if (unlikely(sv->want_nmi_window) && nmi_window_open(sv)) {
			sv->want_nmi_window = false;
			return EXIT_NMI_WINDOW;
		}
		/* the shadow of STI and MOV SS covers exactly one instruction: step over it */
		if (sv->interpret || st->shadow_sti || st->shadow_movss || unlikely(st->rip > sv->rip_last))
			return EXIT_EMULATE;

		va = (st->rip + sv->cs_base) & sv->rip_mask;
		jc = &sv->space->jc[JC_INDEX(va)];
		if (!missed && !link && jc->neg_va == -va) {
			code = (const u8 *)jc->code;
			goto enter;
		}
		b = soft_find_block(sv, va, link && link->alone, &why);
		if (unlikely(!b)) {
			link = NULL;
			if (why == SOFT_FULL) {
				soft_drop_all_code(sv);
				continue;
			}
			if (why == SOFT_EMULATE)
				return EXIT_EMULATE;
			if (deliver(sv, EVENT_EXCEPTION, &sv->fault, &reason))
				return reason;
			continue;
		}
		if (!link)
			soft_jc_insert(sv, va, b);
		else if (!link->from->dead)
			soft_link(sv, link, b);
		link = NULL;
		if (unlikely(b->thunk == THUNK_CALL)) {
			soft_thunk_found(sv, b, va);
			if (b->dead)
				continue;
		}
		code = b->code_jc;
		missed = false;
enter:
		flags_split(sv);
		rip_to_linear(sv);
		x = soft_enter_code(sv, code);
		if (x == SX_LINK || x == SX_KICK)
			link = locate_call(sv, x == SX_LINK);
		rip_to_offset(sv);
		flags_merge(sv);
		unsettled = x == SX_LINK || x == SX_JUMP || x == SX_KICK;
		switch (x) {
		case SX_LINK:
			break;
		case SX_JUMP:
			sv->stat->jump_miss++;
			missed = true;
			break;
		case SX_KICK:
			/* a kick is seen above; or the block at RIP needs the vector registers */
			if (sv->vec_away && !soft_kicked(sv))
				soft_vec_load(sv);
			break;
		case SX_SYSTEM: case SX_STRING:
			sv->stat->system++;
			switch (x == SX_SYSTEM ? soft_system(sv, sv->exit_arg) : soft_string(sv, sv->exit_arg)) {
			case SOFT_NEXT:
				break;
			case SOFT_TO_EMULATOR:
				return EXIT_EMULATE;
			case SOFT_TO_HLT:
				return EXIT_HLT;
			case SOFT_TO_IO:
				return EXIT_IO;
			case SOFT_TO_FAULT:
				if (deliver(sv, EVENT_EXCEPTION, &sv->fault, &reason))
					return reason;
			}
			break;
		case SX_FAULT:
			if (deliver(sv, EVENT_EXCEPTION, &sv->fault, &reason))
				return reason;
			break;
		case SX_MEM_ERROR:
			return EXIT_MEM_ERROR;
		default:
			return EXIT_EMULATE;
		}
	}
}

/* Reached from the fault handler, on whatever stack the fault happened. */
void soft_recover(struct soft_vcpu *sv)
{
	__builtin_longjmp(sv->recover, 1);
}

int soft_vcpu_enter(struct vcpu *vcpu)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	soft_attend(vcpu);
	if (unlikely(host_load_relaxed(&sv->recheck) != RECHECK_RUNNING))
		soft_recheck(sv);
	vcpu->exit.decoded = false;
	if (unlikely(__builtin_setjmp(sv->recover))) {
		/* everything live was written to *sv before: nothing of this frame is trusted but vcpu's vendor data */
		flags_merge(sv);
		soft_miss_rip(sv);
		if (sv->rip_linear)
			rip_to_offset(sv);
		sv->vcpu->exit.reason = EXIT_MEM_ERROR;
		sv->armed = false;
		return 0;
	}
	sv->armed = true;
	vcpu->exit.reason = run(sv);
	sv->armed = false;
	return 0;
}
