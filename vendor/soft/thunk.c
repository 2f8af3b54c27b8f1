// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * thunk.c - return thunks. Where Linux thinks that its processor mispredicts returns (SRSO), each return of the kernel
 * is a jump to
 *
 *	thunk:	call safe; ud2
 *	safe:	lea 8(%rsp), %rsp; ret
 *
 * in other pages: three ways through the jump cache, the last one from the same place for all. So a jump to such a thunk
 * does all of it where it stands (trans/flow.c), if the space says that the thunk is there: space.thunk_neg is set when
 * both blocks exist, and goes with either of them, with the mapping of either page, and with the jump cache.
 */
#include "soft.h"

/* Either ends its block; what follows the call in a thunk traps, as nothing comes back there. */
enum soft_thunk soft_thunk_kind(const struct insn *in, u32 n, const u8 *page, u32 off, u16 key)
{
	const struct insn *lea = &in[0], *ret = &in[1];
	const u8 *after = page + off + THUNK_CALL_LEN;

	if (!(key & CODE_64) || !(key & CODE_CPL0))
		return THUNK_NONE;
	if (n == 1 && in->op == OP_CALL && in->len == THUNK_CALL_LEN && off + THUNK_CALL_LEN + 2 <= HV_PAGE_SIZE &&
	    (after[0] == 0xcc || (after[0] == 0x0f && after[1] == 0x0b)))
		return THUNK_CALL;
	if (n == 2 && lea->op == OP_LEA && lea->opsize == 8 && lea->addrsize == 8 && lea->opnd[0].reg == X86_RSP &&
	    lea->base == X86_RSP && lea->index == INSN_BASE_NONE && lea->disp == 8 &&
	    ret->op == OP_RET && ret->opsize == 8 && !ret->imm_size)
		return THUNK_SAFE;
	return THUNK_NONE;
}

bool soft_thunk_known(const struct soft_vcpu *sv, u64 va)
{
	for (u32 i = 0; i < NR_SPACES; i++)
		if (sv->spaces[i]->valid && sv->spaces[i]->thunk_neg == -va)
			return true;
	return false;
}

void soft_thunk_found(struct soft_vcpu *sv, const struct block *b, u64 va)
{
	struct space *s = sv->space;
	const struct block *safe;
	int why;
	s32 rel;

	__builtin_memcpy(&rel, b->cpage->host + b->offset + 1, sizeof(rel));
	safe = soft_find_block(sv, va + THUNK_CALL_LEN + rel, false, &why);
	/* finding the second may have dropped the first */
	if (!safe || safe->thunk != THUNK_SAFE || b->dead)
		return;
	s->thunk_neg = -va;
	s->thunk_safe = va + THUNK_CALL_LEN + rel;
}

void soft_thunk_killed(struct soft_vcpu *sv)
{
	for (u32 i = 0; i < NR_SPACES; i++)
		soft_thunk_forget(sv->spaces[i]);
}
