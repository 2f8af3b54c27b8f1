// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * System and string instructions that translated code leaves to C and that are common enough for a
 * path of their own. Anything unusual about them (a fault, another mode) goes to the emulator,
 * which does them all.
 */
#include "soft.h"

static enum soft_done next(struct soft_vcpu *sv, u32 arg)
{
	sv->st.rip += FIELD_GET(SYS_LEN, arg);
	return SOFT_NEXT;
}

static enum soft_done after_access(int why)
{
	return why == SOFT_FAULTED ? SOFT_TO_FAULT : SOFT_TO_EMULATOR;
}

/* An aligned stack slot never crosses a page. */
static u64 *stack_slot(struct soft_vcpu *sv, u64 va, bool write, int *why)
{
	*why = SOFT_EMULATE;
	if (va & 7)
		return NULL;
	return soft_access(sv, va, 8, write, why);
}

static enum soft_done do_pushf(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;
	u64 *slot;
	int why;

	if (FIELD_GET(SYS_OPSIZE, arg) != 3)
		return SOFT_TO_EMULATOR;
	slot = stack_slot(sv, st->gpr[X86_RSP] - 8, true, &why);
	if (!slot)
		return after_access(why);
	WRITE_ONCE(*slot, (st->rflags & ~(X86_FLAG_VM | X86_FLAG_RF)) | X86_FLAG_FIXED);
	st->gpr[X86_RSP] -= 8;
	return next(sv, arg);
}

static enum soft_done do_popf(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;
	u64 may = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_AC |
		  X86_FLAG_ID;
	u64 *slot, old = st->rflags, new;
	int why;

	if (FIELD_GET(SYS_OPSIZE, arg) != 3)
		return SOFT_TO_EMULATOR;
	slot = stack_slot(sv, st->gpr[X86_RSP], false, &why);
	if (!slot)
		return after_access(why);
	new = READ_ONCE(*slot);
	if (new & X86_FLAG_TF)
		return SOFT_TO_EMULATOR;
	if (!st->cpl)
		may |= X86_FLAG_IOPL;
	if (st->cpl <= (old & X86_FLAG_IOPL) >> 12)
		may |= X86_FLAG_IF;
	/* RF, VIF and VIP end up clear. SDM 2B, POPF */
	st->rflags = (new & may) | (old & ~may & ~(X86_FLAG_RF | X86_FLAG_VIF | X86_FLAG_VIP)) |
		     X86_FLAG_FIXED;
	st->gpr[X86_RSP] += 8;
	if ((old ^ st->rflags) & X86_FLAG_AC)
		sv->mode_dirty = true;
	return next(sv, arg);
}

static enum soft_done do_sti(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;

	if (st->cpl)
		return SOFT_TO_EMULATOR;
	if (!(st->rflags & X86_FLAG_IF)) {
		st->rflags |= X86_FLAG_IF;
		st->shadow_sti = 1;
	}
	return next(sv, arg);
}

static enum soft_done do_ac(struct soft_vcpu *sv, u32 arg, bool set)
{
	struct x86_state *st = &sv->st;
	u64 new = set ? st->rflags | X86_FLAG_AC : st->rflags & ~X86_FLAG_AC;

	if (st->cpl)
		return SOFT_TO_EMULATOR;
	if (new != st->rflags) {
		st->rflags = new;
		sv->mode_dirty = true;
	}
	return next(sv, arg);
}

static enum soft_done do_wrmsr(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;

	if (st->cpl || vcpu_msr_write(sv->vcpu, st->gpr[X86_RCX],
				      st->gpr[X86_RDX] << 32 | (u32)st->gpr[X86_RAX]))
		return SOFT_TO_EMULATOR;
	sv->mode_dirty = true;		/* EFER may have changed */
	return next(sv, arg);
}

static enum soft_done do_rdmsr(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;
	u64 val;

	if (st->cpl || vcpu_msr_read(sv->vcpu, st->gpr[X86_RCX], &val))
		return SOFT_TO_EMULATOR;
	st->gpr[X86_RAX] = (u32)val;
	st->gpr[X86_RDX] = val >> 32;
	return next(sv, arg);
}

static enum soft_done do_mov_cr(struct soft_vcpu *sv, u32 arg, bool write)
{
	struct x86_state *st = &sv->st;
	u64 *gpr = &st->gpr[FIELD_GET(SYS_GPR, arg)];

	if (st->cpl)
		return SOFT_TO_EMULATOR;
	if (write) {
		if (FIELD_GET(SYS_CR, arg) != 3 || vcpu_cr_write(sv->vcpu, 3, *gpr))
			return SOFT_TO_EMULATOR;
		sv->mode_dirty = true;
		return next(sv, arg);
	}
	switch (FIELD_GET(SYS_CR, arg)) {
	case 0: *gpr = st->cr0; break;
	case 2: *gpr = st->cr2; break;
	case 3: *gpr = st->cr3; break;
	case 4: *gpr = st->cr4; break;
	default: return SOFT_TO_EMULATOR;
	}
	return next(sv, arg);
}

static enum soft_done do_cpuid(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;
	u32 a = st->gpr[X86_RAX], b, c = st->gpr[X86_RCX], d;

	vcpu_cpuid(sv->vcpu, &a, &b, &c, &d);
	st->gpr[X86_RAX] = a;
	st->gpr[X86_RBX] = b;
	st->gpr[X86_RCX] = c;
	st->gpr[X86_RDX] = d;
	return next(sv, arg);
}

/* The bitmap in the TSS is the emulator's to look at. */
static enum soft_done do_io(struct soft_vcpu *sv, u32 arg)
{
	const struct x86_state *st = &sv->st;
	struct vm_exit_io *io = &sv->vcpu->exit.io;

	if (st->cpl > (st->rflags & X86_FLAG_IOPL) >> 12)
		return SOFT_TO_EMULATOR;
	io->in = (arg & SYS_OP) == OP_IN;
	io->port = arg & SYS_PORT_IMM ? FIELD_GET(SYS_PORT, arg) : st->gpr[X86_RDX];
	io->size = 1 << FIELD_GET(SYS_OPSIZE, arg);
	io->next_rip = st->rip + FIELD_GET(SYS_LEN, arg);
	return SOFT_TO_IO;
}

/* What a fast piece of the emulator did. */
static enum soft_done from_emul(struct soft_vcpu *sv, enum emul_result r)
{
	sv->mode_dirty = true;
	switch (r) {
	case EMUL_DONE:
		return SOFT_NEXT;
	case EMUL_FAULT:
		sv->fault = sv->vcpu->emul.fault;
		return SOFT_TO_FAULT;
	default:
		return SOFT_TO_EMULATOR;
	}
}

enum soft_done soft_system(struct soft_vcpu *sv, u32 arg)
{
	struct emul *e = &sv->vcpu->emul;
	struct x86_state *st = &sv->st;

	switch (arg & SYS_OP) {
	case OP_PUSHF: return do_pushf(sv, arg);
	case OP_POPF: return do_popf(sv, arg);
	case OP_STI: return do_sti(sv, arg);
	case OP_STAC: return do_ac(sv, arg, true);
	case OP_CLAC: return do_ac(sv, arg, false);
	case OP_WRMSR: return do_wrmsr(sv, arg);
	case OP_RDMSR: return do_rdmsr(sv, arg);
	case OP_MOV_TO_CR: return do_mov_cr(sv, arg, true);
	case OP_MOV_FROM_CR: return do_mov_cr(sv, arg, false);
	case OP_CPUID: return do_cpuid(sv, arg);
	case OP_SYSCALL:
		if (!(st->efer & EFER_SCE))
			return SOFT_TO_EMULATOR;
		return from_emul(sv, emul_syscall(e, FIELD_GET(SYS_LEN, arg)));
	case OP_SYSRET:
		if (!(st->efer & EFER_SCE) || st->cpl)
			return SOFT_TO_EMULATOR;
		return from_emul(sv, emul_sysret(e, FIELD_GET(SYS_OPSIZE, arg) == 3));
	case OP_IRET:
		return from_emul(sv, emul_iret(e, 1u << FIELD_GET(SYS_OPSIZE, arg)));
	case OP_INVLPG:
		if (st->cpl)
			return SOFT_TO_EMULATOR;
		vcpu_invlpg(sv->vcpu, sv->exit_arg64);
		return next(sv, arg);
	case OP_IN:
	case OP_OUT:
		return do_io(sv, arg);
	case OP_HLT:
		if (st->cpl)
			return SOFT_TO_EMULATOR;
		st->halted = 1;
		next(sv, arg);
		return SOFT_TO_HLT;
	}
	return SOFT_TO_EMULATOR;
}

/* ---- string instructions, forward, 64-bit addresses ------------------------------------------ */

/* Elements of 1 << shift bytes from va to its page's end. */
static u64 room(u64 va, u32 shift)
{
	return (HV_PAGE_SIZE - (va & ~HV_PAGE_MASK)) >> shift;
}

static void host_movs(void *dst, const void *src, u64 n, u32 shift)
{
	switch (shift) {
	case 0: __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	case 1: __asm__ volatile("rep movsw" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	case 2: __asm__ volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	default: __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	}
}

static void host_stos(void *dst, u64 val, u64 n, u32 shift)
{
	switch (shift) {
	case 0: __asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	case 1: __asm__ volatile("rep stosw" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	case 2: __asm__ volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	default: __asm__ volatile("rep stosq" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	}
}

static u64 lods(const void *src, u64 old, u32 shift)
{
	switch (shift) {
	case 0: return (old & ~0xffUL) | *(const u8 *)src;
	case 1: return (old & ~0xffffUL) | *(const u16 *)src;
	case 2: return *(const u32 *)src;
	default: return *(const u64 *)src;
	}
}

/*
 * A page's worth at a time; a kick between leaves RIP at the instruction with the registers saying
 * how far it got, as an interrupt between iterations does.
 */
enum soft_done soft_string(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;
	u32 op = arg & SYS_OP, shift = FIELD_GET(SYS_OPSIZE, arg), seg = FIELD_GET(SYS_SEG, arg);
	u64 *rsi = &st->gpr[X86_RSI], *rdi = &st->gpr[X86_RDI];
	u64 left = arg & SYS_REP ? st->gpr[X86_RCX] : 1;
	u64 base = seg == X86_FS || seg == X86_GS ? st->seg[seg].base : 0;

	if ((st->rflags & X86_FLAG_DF) || (arg & (SYS_ADDR32 | SYS_REPNE)) ||
	    (op != OP_MOVS && op != OP_STOS && op != OP_LODS) || (op == OP_LODS && (arg & SYS_REP)))
		return SOFT_TO_EMULATOR;
	while (left) {
		void *src = NULL, *dst = NULL;
		u64 n = left;
		int why;

		if (op != OP_STOS)
			n = min(n, room(*rsi + base, shift));
		if (op != OP_LODS)
			n = min(n, room(*rdi, shift));
		if (!n)
			return SOFT_TO_EMULATOR;	/* an element across a page's end */
		if (op != OP_STOS) {
			src = soft_access(sv, *rsi + base, n << shift, false, &why);
			if (!src)
				return after_access(why);
		}
		if (op != OP_LODS) {
			dst = soft_access(sv, *rdi, n << shift, true, &why);
			if (!dst)
				return after_access(why);
		}
		if (op == OP_MOVS)
			host_movs(dst, src, n, shift);
		else if (op == OP_STOS)
			host_stos(dst, st->gpr[X86_RAX], n, shift);
		else
			st->gpr[X86_RAX] = lods(src, st->gpr[X86_RAX], shift);
		if (op != OP_STOS)
			*rsi += n << shift;
		if (op != OP_LODS)
			*rdi += n << shift;
		left -= n;
		if (arg & SYS_REP)
			st->gpr[X86_RCX] = left;
		if (left && unlikely(host_load_relaxed(&sv->kick)))
			return SOFT_NEXT;
	}
	return next(sv, arg);
}
