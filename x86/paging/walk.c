// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The guest's page tables: linear to guest-physical. SDM 3A chapter 4; APM 2 chapter 5.
 *
 * A walk first follows the entries down, checking presence and reserved bits at each, then checks
 * the rights of the whole path, and only then sets accessed and dirty bits, each by
 * compare-and-exchange against the value the walk has read: had another processor changed an entry
 * meanwhile, the walk starts over, as if it had come later. It touches the tables only through its
 * ops, which know how to survive memory that the client takes away.
 */
#include "../../host/host.h"
#include "formats.h"
#include "walk.h"

/*
 * Another processor that rewrites the entries all the time must not keep this one in the walk for
 * ever.
 */
#define WALK_MAX_RESTARTS	1000

struct path {
	u64 host[PT_MAX_LEVELS + 1];
	u64 val[PT_MAX_LEVELS + 1];
	gpa_t gpa[PT_MAX_LEVELS + 1];
};

void walk_mode_from_state(struct walk_mode *m, const struct x86_state *st, u8 maxphyaddr)
{
	unsigned int i;

	m->cr3 = st->cr3;
	if (!(st->cr0 & CR0_PG))
		m->levels = 0;
	else if (!(st->cr4 & CR4_PAE))
		m->levels = 2;
	else if (!(st->efer & EFER_LMA))
		m->levels = 3;
	else
		m->levels = st->cr4 & CR4_LA57 ? 5 : 4;
	for (i = 0; i < 4; i++)
		m->pdptr[i] = st->pdptr[i];
	m->pse = st->cr4 & CR4_PSE;
	m->pge = st->cr4 & CR4_PGE;
	m->nxe = (st->efer & EFER_NX) && (st->cr4 & CR4_PAE);
	m->wp = st->cr0 & CR0_WP;
	m->smep = st->cr4 & CR4_SMEP;
	m->smap = st->cr4 & CR4_SMAP;
	m->ac = st->rflags & X86_FLAG_AC;
	m->maxphyaddr = maxphyaddr;
}

/* Error code of a #PF. SDM 3A 4.7: I only where instruction fetches can be refused as such. */
static u32 fault_code(const struct walk_mode *m, unsigned int access, u32 why)
{
	u32 code = why;

	if (access & WALK_WRITE)
		code |= PF_W;
	if (access & WALK_USER)
		code |= PF_U;
	if ((access & WALK_EXEC) && (m->smep || (m->nxe && m->levels >= 3)))
		code |= PF_I;
	return code;
}

/* Rights of the whole path. SDM 3A 4.6.1 */
static bool allowed(const struct walk_mode *m, unsigned int access, const struct walk_result *r)
{
	if (access & WALK_USER) {
		if (!r->user)
			return false;
		if ((access & WALK_WRITE) && !r->writable)
			return false;
		return !((access & WALK_EXEC) && r->nx);
	}
	if (access & WALK_EXEC)
		return !r->nx && !(m->smep && r->user);
	if (r->user && m->smap && (!m->ac || (access & WALK_IMPLICIT)))
		return false;
	return !(access & WALK_WRITE) || r->writable || !m->wp;
}

/*
 * Accessed bits on the path from the top to the leaf, dirty on the leaf. 0, or as update(). SDM 3A
 * 4.8
 */
static int update_path(const struct path *p, unsigned int top, unsigned int leaf, u64 leaf_bits,
		       bool wide, const struct walk_ops *ops, void *ctx)
{
	unsigned int level;
	int ret;

	for (level = top; level >= leaf; level--) {
		u64 want = level == leaf ? leaf_bits : PTE_A, val = p->val[level];

		if ((val & want) == want)
			continue;
		ret = ops->update(ctx, p->gpa[level], wide, p->host[level], val, val | want);
		if (ret)
			return ret;
	}
	return 0;
}

enum walk_step { STEP_DONE, STEP_FAULT, STEP_IO, STEP_LOST, STEP_AGAIN };

/*
 * One attempt. fmt, top and wide are constants at each call, so that the compiler makes one tight
 * loop per paging mode.
 */
static __always_inline enum walk_step walk_once(const struct walk_mode *m, gva_t gva,
						unsigned int access, const struct walk_ops *ops,
						void *ctx, struct walk_result *r,
						const struct pt_level *fmt, unsigned int top,
						bool wide, u64 table)
{
	u64 phys_rsvd = wide && m->maxphyaddr && m->maxphyaddr < 52 ? GENMASK_ULL(51, m->maxphyaddr) : 0;
	u64 rights = PTE_W | PTE_U, nx = 0, accessed = PTE_A;
	unsigned int level = top;
	struct path p;
	u64 e, want;

	if (wide && !m->nxe)
		phys_rsvd |= PTE_NX;
	for (;; level--) {
		const struct pt_level *f = &fmt[level];
		u64 index = (gva >> f->shift) & ((1u << f->bits) - 1);
		gpa_t at = table + index * (wide ? 8 : 4);
		int ret = ops->read(ctx, at, wide, &e, &p.host[level]);

		if (unlikely(ret))
			return ret == -EIO ? STEP_IO : STEP_LOST;
		p.val[level] = e;
		p.gpa[level] = at;
		if (unlikely(!(e & PTE_P))) {
			r->error_code = fault_code(m, access, 0);
			return STEP_FAULT;
		}
		if (unlikely(e & (phys_rsvd | f->rsvd)))
			goto reserved;
		rights &= e;
		nx |= e;
		accessed &= e;
		if (f->leaf || (f->large && (e & PTE_PS) && (wide || m->pse)))
			break;
		table = e & PTE_ADDR;
	}

	r->page_shift = fmt[level].shift;
	if (fmt[level].leaf) {
		r->gpa = (e & PTE_ADDR) | (gva & 0xfff);
	} else {
		u64 offset = BIT_ULL(fmt[level].shift) - 1, rsvd = fmt[level].large_rsvd;

		if (!wide) {
			u8 width = m->maxphyaddr && m->maxphyaddr < 40 ? m->maxphyaddr : 40;

			/* SDM 3A table 4-4: bits (M-20):13 hold address bits (M-1):32 */
			rsvd |= width <= 32 ? GENMASK_ULL(20, 13) :
				width < 40 ? GENMASK_ULL(20, width - 19) : 0;
		}
		if (unlikely(e & rsvd))
			goto reserved;
		r->gpa = (e & PTE_ADDR & ~offset) | (gva & offset);
		if (!wide)
			r->gpa |= FIELD_GET(GENMASK_ULL(20, 13), e) << 32;
	}
	r->user = rights & PTE_U;
	r->writable = rights & PTE_W;
	r->nx = wide && m->nxe && (nx & PTE_NX);
	r->global = m->pge && (e & PTE_G);
	r->dirty = e & PTE_D;
	if (unlikely(!allowed(m, access, r))) {
		r->error_code = fault_code(m, access, PF_P);
		return STEP_FAULT;
	}

	if (access & WALK_NO_AD)
		return STEP_DONE;
	want = access & WALK_WRITE ? PTE_A | PTE_D : PTE_A;
	if (unlikely(!accessed || (e & want) != want)) {
		int ret = update_path(&p, top, level, want, wide, ops, ctx);

		if (ret)
			return ret == -EBUSY ? STEP_AGAIN : STEP_LOST;
		r->dirty |= !!(access & WALK_WRITE);
	}
	return STEP_DONE;

reserved:
	r->error_code = fault_code(m, access, PF_P | PF_RSVD);
	return STEP_FAULT;
}

static enum walk_step walk_pae(const struct walk_mode *m, gva_t gva, unsigned int access,
			       const struct walk_ops *ops, void *ctx, struct walk_result *r)
{
	u64 pdpte = m->pdptr[(gva >> 30) & 3];

	/* PDPTEs carry no rights and no accessed bit. SDM 3A 4.4.1 */
	if (!(pdpte & PTE_P)) {
		r->error_code = fault_code(m, access, 0);
		return STEP_FAULT;
	}
	return walk_once(m, gva, access, ops, ctx, r, pt_format_pae, 2, true, pdpte & PTE_ADDR);
}

int x86_walk(const struct walk_mode *m, gva_t gva, unsigned int access, const struct walk_ops *ops,
	     void *ctx, struct walk_result *r)
{
	enum walk_step step = STEP_FAULT;
	unsigned int restarts;

	r->error_code = 0;
	if (!m->levels) {
		r->gpa = (u32)gva;
		r->page_shift = HV_PAGE_SHIFT;
		r->user = r->writable = r->dirty = true;
		r->nx = r->global = false;
		return 0;
	}
	for (restarts = 0; restarts < WALK_MAX_RESTARTS; restarts++) {
		switch (m->levels) {
		case 4:
			step = walk_once(m, gva, access, ops, ctx, r, pt_format_long, 4, true,
					 m->cr3 & PTE_ADDR);
			break;
		case 5:
			step = walk_once(m, gva, access, ops, ctx, r, pt_format_long, 5, true,
					 m->cr3 & PTE_ADDR);
			break;
		case 3:
			step = walk_pae(m, (u32)gva, access, ops, ctx, r);
			break;
		default:
			step = walk_once(m, (u32)gva, access, ops, ctx, r, pt_format_legacy, 2,
					 false, m->cr3 & 0xfffff000);
			break;
		}
		if (likely(step != STEP_AGAIN))
			break;
	}
	if (likely(step == STEP_DONE))
		return 0;
	if (step == STEP_IO)
		return -EIO;
	if (step == STEP_LOST)
		return -ENXIO;
	/* Restarts used up: the guest sees the fault a moment of a non-present entry would have
	 * given. */
	if (step == STEP_AGAIN)
		r->error_code = fault_code(m, access, 0);
	return -EFAULT;
}
