// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * One block: decode up to its end, find out which flags matter where, emit, lay out the cold paths, commit.
 * Nothing of a block refers to its linear address: RIP-relative things start from page_va, so that a page of a
 * shared library is translated once wherever processes map it.
 */
#include "trans.h"

#define CALL_LEN	5	/* of a host's call */
#define BLOCK_ROOM	32768	/* more than a block, or its slow paths, can take */

/* What the mode allows; anything else is left to the emulator, which raises #UD or #NM as it should. */
static bool family_ok(const struct trans *t, const struct insn *in)
{
	u16 key = t->key;

	if ((key & CODE_REAL) && (in->attr & INSN_NO_REAL))
		return false;
	if (in->feature != FEAT_BASE && !vcpu_has_feature(t->sv->vcpu, in->feature))
		return false;
	if (in->attr & INSN_FPU)
		return key & CODE_X87;
	if (in->attr & INSN_VECTOR)
		return key & (in->enc == ENC_VEX ? CODE_AVX : CODE_SSE);
	if (in->family == FAM_SSE)	/* MMX has no CR4.OSFXSR condition, but the same EM and TS rules */
		return key & CODE_X87;
	return true;
}

static bool masked_access(const struct insn *in)
{
	switch (in->op) {
	case OP_MASKMOVQ: case OP_MASKMOVDQU: case OP_VMASKMOVDQU: case OP_VMASKMOVPS: case OP_VMASKMOVPD:
	case OP_VPMASKMOVD: case OP_VPMASKMOVQ:
		return true;
	}
	return in->attr & INSN_VSIB;
}

/* Ends a block only if it has to be done in C. */
static bool stays_in_line(const struct trans *t, const struct insn *in)
{
	switch (in->op) {
	case OP_STI: case OP_CLI:
		return t->key & CODE_CPL0;
	case OP_MOV_TO_SREG: case OP_POP_SREG:
		return (t->key & CODE_REALSEG) && in->opnd[0].reg != X86_SS;
	}
	return false;
}

/*
 * Decode from p + off; the last one may be cut off by the page's end (then it is not counted). A conditional jump
 * does not end the block if what follows it is not translated yet; but where code keeps changing, less is lost with
 * small blocks.
 */
static int decode_block(struct trans *t, const struct cpage *p, u32 off)
{
	const u8 *page = p->host;
	u32 side = 0;

	t->n = 0;
	while (t->n < BLOCK_MAX_INSNS && off < HV_PAGE_SIZE) {
		struct insn *in = &t->insns[t->n];
		enum decode_result r = insn_decode(in, page + off, min_t(u32, HV_PAGE_SIZE - off, INSN_MAX_LEN),
						   t->mode);

		if (r != DECODE_OK)
			return r;
		t->n++;
		off += in->len;
		if (in->op == OP_JCC && side++ < BLOCK_MAX_SIDE && p->all_kills < PAGE_CHANGING &&
		    off < HV_PAGE_SIZE - INSN_MAX_LEN && !(t->key & CODE_ALONE) &&
		    !soft_block_at(t->sv, p, off, t->key))
			continue;
		if (in->family == FAM_FLOW)
			break;
		/* CLI and STI stay in line, and the instruction in STI's shadow must follow without a way out between */
		if ((in->attr & INSN_ENDS_BLOCK) && !stays_in_line(t, in))
			break;
	}
	return DECODE_OK;
}

/* The three entries: with T1 = linear address, for backward jumps, for forward jumps. */
static void emit_entries(struct trans *t)
{
	struct emitter *e = &t->e;
	struct block *b = t->b;
	struct cold c = { .kind = COLD_KICK };

	b->code_jc = em_rx(e);
	em_lea(e, 8, T1, HMEM(T1, -(s32)b->offset));
	em_mov_mr(e, 8, SV(page_va), T1);
	b->poll = em_rx(e) - b->code_jc;
	/* a block with vector instructions must not begin before their registers are there */
	em_mov_rm(e, b->vec ? 8 : 4, H_RCX, SV(kick));
	c.site = em_unless_go(e);
	trans_cold(t, &c);
	b->entry = em_rx(e) - b->code_jc;
}

static void map_point(struct trans *t)
{
	struct insn_map *m;

	if (t->sv->nr_map + t->nr_map >= t->sv->max_map) {
		t->e.overflow = true;
		return;
	}
	m = &t->b->map[t->nr_map++];
	m->host = em_rx(&t->e) - t->b->code_jc;
	m->guest = (t->off - t->b->offset) | (t->away[t->i] && !t->replay[t->i] ? MAP_FLAGS_AWAY : 0);
}

static void emit_cold(struct trans *t)
{
	struct codebuf *cb = &t->sv->cb;
	struct emitter hot = t->e, *e = &t->e;

	*e = (struct emitter){ .p = cb->rw + cb->cold_used, .end = cb->rw + cb->cold_used + BLOCK_ROOM,
			       .rx_delta = cb->rx - cb->rw, .overflow = hot.overflow };
	t->sv->cold_pool[t->sv->nr_blocks] = cb->cold_used;
	for (u32 i = 0; i < t->nr_cold; i++) {
		const struct cold *c = &t->cold[i];

		t->i = c->insn;
		em_here32(e, c->site);
		switch (c->kind) {
		case COLD_TLB:
			trans_flags_back(t, c->insn);
			em_mov_ri(e, H_RCX, c->info | FIELD_PREP(TLBI_INSN, c->insn));
			em_patch32(e, em_call32(e), t->sv->cb.stub_tlb);
			if (c->keep_t2)
				em_mov_rr(e, 8, T2, T0);
			em_patch32(e, em_jmp32(e), c->back);
			break;
		case COLD_LINK: {
			struct link *l = &t->b->link[c->arg];

			if (l->alone && t->away[c->insn]) {
				/* the twin begins with the flags: the link is the jump after this */
				trans_flags_back(t, c->insn);
				l->site = em_jmp32(e) - cb->rw;
			}
			l->stub = em_rx(e) - cb->rx;
			l->off = c->off;
			if (l->ret) {
				/* come here from anywhere, with the return address in T1 */
				em_lea(e, 8, T1, HMEM(T1, -c->off));
				em_mov_mr(e, 8, SV(page_va), T1);
			}
			em_patch32(e, em_call32(e), cb->stub_link);
			if (l->load) {
				em_lea(e, 8, T1, HMEM(T1, c->off & ~HV_PAGE_MASK));
				em_patch32(e, em_jmp32(e), cb->stub_lookup);
			}
			break;
		}
		case COLD_JUMP_OFF:
			trans_goto_far(t, c->off, c->arg, c->from);
			break;
		case COLD_KICK:
			em_patch32(e, em_call32(e), cb->stub_kick);
			break;
		case COLD_EXIT:
			trans_exit(t, c->info, c->arg, c->off);
			break;
		}
	}
	hot.overflow |= e->overflow;
	cb->cold_used = e->p - cb->rw;
	*e = hot;
}

static void emit_insns(struct trans *t, const u8 *page)
{
	struct emitter *e = &t->e;
	bool ended = false;

	for (t->i = 0; t->i < t->n && !e->overflow; t->i++) {
		const struct insn *in = &t->insns[t->i];
		struct emitter before;
		u32 cold_before = t->nr_cold, links_before = t->nr_links;
		bool done = false;

		t->next_off = t->off + in->len;
		map_point(t);
		trans_flags_begin(t);
		before = *e;
		if (family_ok(t, in)) {
			switch (in->family) {
			case FAM_INT: done = trans_int(t, in); break;
			case FAM_SSE: case FAM_AVX: case FAM_X87:
				done = !masked_access(in) && trans_generic(t, in);
				break;
			case FAM_FLOW:
				if (in->op == OP_JCC && t->i + 1 < t->n)
					done = trans_side_exit(t, in);
				else
					done = ended = trans_flow(t, in);
				break;
			case FAM_STRING: done = trans_string(t, in); break;
			case FAM_SYSTEM: done = trans_system(t, in); break;
			}
		}
		for (u32 k = cold_before; k < t->nr_cold && done; k++)
			if (t->cold[k].kind == COLD_TLB)
				t->cold[k].off = t->off;
		if (!done) {
			/* leave for C; the block ends here, whatever follows is another */
			*e = before;
			t->nr_cold = cold_before;
			t->nr_links = links_before;
			trans_exit(t, !family_ok(t, in) ? SX_EMULATE : in->family == FAM_SYSTEM ? SX_SYSTEM : in->family == FAM_STRING ? SX_STRING :
				   SX_EMULATE, trans_sys_arg(in), t->off);
			t->off = t->next_off;
			t->n = t->i + 1;
			return;
		}
		t->off = t->next_off;
	}
	if (!ended)
		trans_goto_off(t, t->off, 0);
}

/* jmp *0(%rip) to the library's code, which may be too far away for a 32-bit displacement */
static u8 *far_jump(struct emitter *e, const u8 *target)
{
	u8 *at = em_rx(e);

	em_u8(e, 0xff);
	em_u8(e, 0x25);
	em_u32(e, 0);
	em_u64(e, (u64)target);
	return at;
}

/* T1 = address that was not at its place in the jump cache: elsewhere in the line? No flag may change. */
static void emit_jump_stub(struct emitter *e, struct codebuf *cb)
{
	u8 *hit[JC_LINE];

	cb->stub_jump = em_rx(e);
	em_pext(e, T2, T1, SV(pext_line));
	em_lea(e, 8, T2, HMEM_X(H_NONE, T2, 3, 0));
	for (u32 k = 0; k < JC_LINE; k++) {
		em_mov_rm(e, 8, T0, HMEM_GS(H_NONE, T2, 3, SPACE_OFF(jc[k].neg_va)));
		em_lea(e, 8, T0, HMEM_X(T0, T1, 0, 0));
		hit[k] = em_jrcxz(e);
	}
	em_patch32(e, em_jmp32(e), cb->stub_jump_miss);
	for (u32 k = 0; k < JC_LINE; k++) {
		em_here8(e, hit[k]);
		em_mov_rm(e, 8, T2, HMEM_GS(H_NONE, T2, 3, SPACE_OFF(jc[k].code)));
		em_jmp_reg(e, T2);
	}
}

/*
 * Called after a guest's call has pushed its return address, which is in T2. What precedes the host's call is MOV ECX with
 * an immediate that says where the code after the guest's call is, from the MOV's end.
 */
static void emit_call_stub(struct emitter *e, struct codebuf *cb)
{
	struct hmem top = HMEM(H_RSP, SV_OFF(ret_top) + 8);
	struct hop movsxd = { .opcode = 0x63, .w = true };

	cb->stub_call = em_rx(e);
	em_op_rr(e, &movsxd, T1, H_RCX);
	em_not(e, 8, T2);
	em_mov_rm(e, 1, T0, top);
	em_mov_mr(e, 8, HMEM_GS(H_NONE, T0, 2, SPACE_OFF(ret[1].not_va)), T2);
	em_mov_rm(e, 8, T2, HMEM(H_RSP, 0));
	em_lea(e, 8, T2, HMEM_X(T2, T1, 0, -CALL_LEN));
	em_mov_mr(e, 8, HMEM_GS(H_NONE, T0, 2, SPACE_OFF(ret[1].code)), T2);
	em_lea(e, 4, T0, HMEM(T0, RET_STEP));
	em_mov_mr(e, 1, top, T0);
	em_u8(e, 0xc3);
}

static void emit_common_stubs(struct soft_vcpu *sv)
{
	struct codebuf *cb = &sv->cb;
	struct emitter e = { .p = cb->rw, .end = cb->rw + cb->size, .rx_delta = cb->rx - cb->rw,
			     .go = sv->go };

	cb->stub_exit = far_jump(&e, soft_exit_common);
	cb->stub_tlb = far_jump(&e, soft_tlb_thunk);
	cb->stub_link = far_jump(&e, soft_link_thunk);
	cb->stub_kick = far_jump(&e, soft_kick_thunk);
	cb->stub_jump_miss = em_rx(&e);
	em_mov_mr(&e, 8, SV(st.rip), T1);
	em_mov_ri(&e, H_RCX, SX_JUMP);
	em_patch32(&e, em_jmp32(&e), cb->stub_exit);
	emit_jump_stub(&e, cb);
	cb->stub_lookup = em_rx(&e);
	trans_lookup(&e, cb);
	emit_call_stub(&e, cb);
	for (u32 i = 0; i < NR_SPACES; i++) {
		sv->spaces[i]->ret_none = (u64)cb->stub_lookup;
		soft_forget_returns(sv->spaces[i]);
	}
	cb->start = cb->used = (e.p - cb->rw + 63) & ~63UL;
	cb->cold_start = cb->cold_used = cb->size / 4 * 3;
}

const unsigned long soft_trans_size = sizeof(struct trans);

struct block *soft_translate(struct soft_vcpu *sv, struct cpage *p, u64 va, u16 key, int *why)
{
	struct trans *t = sv->trans;
	struct codebuf *cb = &sv->cb;
	u32 off = va & ~HV_PAGE_MASK;
	u8 joint[2 * INSN_MAX_LEN];
	struct cpage *p2 = NULL;
	struct block *b;
	int r;

	if (!cb->start)
		emit_common_stubs(sv);
	if (cb->cold_start - cb->used < BLOCK_ROOM || cb->size - cb->cold_used < BLOCK_ROOM || sv->nr_blocks == sv->max_blocks ||
	    sv->max_map - sv->nr_map <= BLOCK_MAX_INSNS || sv->max_links - sv->nr_links < BLOCK_MAX_LINKS) {
		*why = SOFT_FULL;
		return NULL;
	}
	t->sv = sv;
	t->key = key;
	t->page_va = va & HV_PAGE_MASK;
	t->mode = key & CODE_64 ? INSN_MODE_64 : key & CODE_32 ? INSN_MODE_32 : INSN_MODE_16;
	t->insns = sv->insns;
	t->nr_cold = t->nr_map = t->nr_links = t->nr_peeks = 0;
	r = decode_block(t, p, off);
	if (r == DECODE_MORE && !t->n) {
		/* one instruction across the page's end: a block of its own, tied to both pages */
		u32 first = HV_PAGE_SIZE - off;

		p2 = soft_fetch_page(sv, soft_next_page(sv, va), why);
		if (!p2)
			return NULL;
		/* before the bytes are read, so that no write to them goes unseen */
		soft_protect_code(sv, p2);
		host_memcpy(joint, p->host + off, first);
		host_memcpy(joint + first, p2->host, INSN_MAX_LEN);
		if (insn_decode(&t->insns[0], joint, INSN_MAX_LEN, t->mode) != DECODE_OK) {
			*why = SOFT_EMULATE;
			return NULL;
		}
		t->n = 1;
		p2->lines |= 1;
		p2->checked = false;
	} else if (!t->n) {
		*why = SOFT_EMULATE;
		return NULL;
	}
	b = &sv->block_pool[sv->nr_blocks];
	host_memset(b, 0, sizeof(*b));
	b->offset = off;
	b->gfn2 = p2 ? p2->gfn : ~0UL;
	b->key = key;
	b->cpage = p;
	b->map = sv->map_pool + sv->nr_map;
	b->link = sv->link_pool + sv->nr_links;
	t->b = b;
	t->off = off;
	t->e = (struct emitter){ .p = cb->rw + cb->used, .end = cb->rw + cb->used + BLOCK_ROOM,
				 .rx_delta = cb->rx - cb->rw, .go = sv->go };
	{
		s64 end = off;

		for (u32 i = 0; i < t->n; i++)
			end += t->insns[i].len;
		trans_find_liveness(t, p->host, end);
	}
	b->thunk = p2 ? THUNK_NONE : soft_thunk_kind(t->insns, t->n, p->host, off, key);
	b->settle = trans_settle_count(t);
	trans_find_groups(t);
	trans_plan_flags(t);
	for (u32 i = 0; i < t->n; i++)
		b->vec |= (t->insns[i].attr & (INSN_VECTOR | INSN_FPU)) || t->insns[i].family == FAM_SSE ||
			  t->insns[i].family == FAM_AVX || t->insns[i].family == FAM_X87;
	emit_entries(t);
	emit_insns(t, p->host);
	emit_cold(t);
	if (t->e.overflow) {
		*why = SOFT_EMULATE;
		return NULL;
	}
	b->bytes = t->off - off;
	if (p2)
		soft_block_join(b, p2);
	b->nr_insns = t->nr_map;
	b->code_len = em_rx(&t->e) - b->code_jc;
	sv->nr_blocks++;
	sv->nr_map += t->nr_map;
	b->nr_links = t->nr_links;
	sv->nr_links += t->nr_links;
	cb->used = (t->e.p - cb->rw + 15) & ~15UL;
	sv->stat->blocks++;
	return b;
}
