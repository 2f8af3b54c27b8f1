/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What alu.c offers to the other integer files of x86/emul. */
#ifndef X86_EMUL_ALU_H
#define X86_EMUL_ALU_H

#include "private.h"

/* RFLAGS' arithmetic flags in the form an alu_fn takes and leaves them, and back into rflags. */
u32 emul_flags_pack(u64 rflags);
u64 emul_flags_unpack(u64 rflags, u32 flags);
u64 emul_alu_add(u64 dst, u64 src, unsigned int size, u32 *flags);
/* Flags of CMP a, b. */
void emul_flags_cmp(struct emul *e, u64 a, u64 b, unsigned int size);
/* Operand 0 = fn(operand 0, src), atomic with LOCK; flags; *old: operand 0 before, may be NULL. */
int emul_rmw(struct emul *e, alu_fn fn, u64 src, u64 *old);

#endif
