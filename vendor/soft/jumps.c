// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The jump cache's entries, and where they come from again after a flush. A flush empties the jump cache of a space, and a new
 * process begins with an empty one, but what jumps come to in a page of code stays the same. So each page keeps a list of
 * its blocks that ever had an entry, and when its instruction mapping is filled all of them have one again.
 */
#include "soft.h"

static void jc_set(struct space *s, u32 j, struct jc_entry entry)
{
	if (s->nr_jc < SPACE_MAX_JC)
		s->jc_filled[s->nr_jc] = j;
	if (s->nr_jc <= SPACE_MAX_JC)
		s->nr_jc++;
	s->jc[j] = entry;
}

/* A node for page p's list, from the free ones or the pool; NULL: all are in use. */
static struct targets *new_node(struct soft_vcpu *sv, struct cpage *p)
{
	struct targets *t;
	u32 i = sv->free_targets;

	if (i)
		sv->free_targets = sv->target_pool[i].next;
	else if (sv->nr_targets < MAX_TARGETS)
		i = sv->nr_targets++;
	else
		return NULL;
	t = &sv->target_pool[i];
	t->n = 0;
	t->next = p->targets;
	p->targets = i;
	return t;
}

static void list_target(struct soft_vcpu *sv, struct block *b)
{
	struct cpage *p = b->cpage;
	struct targets *t = p->targets ? &sv->target_pool[p->targets] : NULL;

	if (!t || t->n == ARRAY_SIZE(t->at))
		t = new_node(sv, p);
	if (!t)
		return;
	t->at[t->n++] = (struct target){ .offset = b->offset, .key = b->key, .code = b->code_jc - sv->cb.rx };
	b->listed = true;
}

void soft_forget_target(struct soft_vcpu *sv, struct block *b)
{
	struct cpage *p = b->cpage;
	struct targets *first = &sv->target_pool[p->targets];
	u32 code = b->code_jc - sv->cb.rx;

	if (!b->listed)
		return;
	b->listed = false;
	for (u32 i = p->targets; i; i = sv->target_pool[i].next) {
		struct targets *t = &sv->target_pool[i];

		for (u32 k = 0; k < t->n; k++) {
			if (t->at[k].code != code)
				continue;
			t->at[k] = first->at[--first->n];
			if (!first->n) {
				u32 empty = p->targets;

				p->targets = first->next;
				first->next = sv->free_targets;
				sv->free_targets = empty;
			}
			return;
		}
	}
}

void soft_forget_all_targets(struct soft_vcpu *sv)
{
	sv->nr_targets = 1;	/* 0 is the end of a list */
	sv->free_targets = 0;
}

/* Whoever has the address's place moves to another in the line, by turns. */
void soft_jc_insert(struct soft_vcpu *sv, u64 va, struct block *b)
{
	struct space *s = sv->space;
	u32 j = JC_INDEX(va), line = j & ~(JC_LINE - 1);
	struct jc_entry was = s->jc[j];

	/* these ask C each time */
	if (b->key & (CODE_EDGE | CODE_ALONE))
		return;
	for (u32 k = line; k < line + JC_LINE; k++)
		if (s->jc[k].neg_va == -va)
			s->jc[k] = jc_empty(k);		/* leads to a block that is gone */
	if (was.code && was.neg_va != -va)
		jc_set(s, line + (j + 1 + s->jc_turn++ % (JC_LINE - 1)) % JC_LINE, was);
	jc_set(s, j, (struct jc_entry){ .neg_va = -va, .code = (u64)b->code_jc });
	/* not those that depend on more than their own page: a second one, the segment, what else is known of a thunk */
	if (!b->listed && (b->key & CODE_64) && b->gfn2 == ~0UL && !b->thunk)
		list_target(sv, b);
}

void soft_jc_restore(struct soft_vcpu *sv, const struct cpage *p, u64 page)
{
	struct space *s = sv->space;

	for (u32 i = p->targets; i; i = sv->target_pool[i].next) {
		const struct targets *t = &sv->target_pool[i];

		for (u32 k = 0; k < t->n; k++) {
			u64 va = page + t->at[k].offset;
			u32 j = JC_INDEX(va);

			if (t->at[k].key == sv->code_key && !s->jc[j].code)
				jc_set(s, j, (struct jc_entry){ .neg_va = -va, .code = (u64)sv->cb.rx + t->at[k].code });
		}
	}
}
