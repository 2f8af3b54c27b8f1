// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * System and string instructions that translated code leaves to C and that are common enough for a
 * path of their own. Anything unusual about them (a fault, another mode) goes to the emulator,
 * which does them all.
 */
#include "soft.h"

static enum soft_done next(struct soft_vcpu *sv, u32 arg)
{
	sv->st.rip = (sv->st.rip + FIELD_GET(SYS_LEN, arg)) & sv->rip_mask;
	return SOFT_NEXT;
}

static enum soft_done after_access(int why)
{
	return why == SOFT_FAULTED ? SOFT_TO_FAULT : SOFT_TO_EMULATOR;
}

static bool is_64(const struct soft_vcpu *sv)
{
	return sv->code_key & CODE_64;
}

/* The linear address of len bytes at off in seg; false: the emulator must look. */
static bool linear(const struct soft_vcpu *sv, u32 seg, u64 off, u64 len, bool write, u64 *va)
{
	if (is_64(sv)) {
		*va = seg >= X86_FS ? off + sv->st.seg[seg].base : off;
		return true;
	}
	*va = (u32)(off + sv->view[seg].base);
	return (s64)(off + len - 1) <= sv->view[seg].last[write];
}

static u64 sp_mask(const struct soft_vcpu *sv)
{
	return is_64(sv) ? ~0UL : sv->code_key & CODE_SS32 ? 0xffffffff : 0xffff;
}

static void sp_add(struct soft_vcpu *sv, s64 delta)
{
	u64 *rsp = &sv->st.gpr[X86_RSP], sp = (*rsp + delta) & sp_mask(sv);

	*rsp = sp_mask(sv) == 0xffff ? (*rsp & ~0xffffUL) | sp : sp;
}

/* An aligned stack slot never crosses a page. */
static void *stack_slot(struct soft_vcpu *sv, s64 delta, u32 size, bool write, int *why)
{
	u64 va;

	*why = SOFT_EMULATE;
	if (!linear(sv, X86_SS, (sv->st.gpr[X86_RSP] + delta) & sp_mask(sv), size, write, &va) || (va & (size - 1)))
		return NULL;
	return soft_access(sv, va, size, write, why);
}

static enum soft_done do_pushf(struct soft_vcpu *sv, u32 arg)
{
	u32 size = 1u << FIELD_GET(SYS_OPSIZE, arg);
	u64 image = (sv->st.rflags & ~(X86_FLAG_VM | X86_FLAG_RF)) | X86_FLAG_FIXED;
	void *slot;
	int why;

	if (is_64(sv) && size != 8)
		return SOFT_TO_EMULATOR;
	slot = stack_slot(sv, -(s64)size, size, true, &why);
	if (!slot)
		return after_access(why);
	if (size == 8)
		WRITE_ONCE(*(u64 *)slot, image);
	else if (size == 4)
		WRITE_ONCE(*(u32 *)slot, image);
	else
		WRITE_ONCE(*(u16 *)slot, image);
	sp_add(sv, -(s64)size);
	return next(sv, arg);
}

static enum soft_done do_popf(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;
	u32 size = 1u << FIELD_GET(SYS_OPSIZE, arg);
	u64 may = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_AC |
		  X86_FLAG_ID;
	u64 old = st->rflags, new;
	void *slot;
	int why;

	if (is_64(sv) && size != 8)
		return SOFT_TO_EMULATOR;
	slot = stack_slot(sv, 0, size, false, &why);
	if (!slot)
		return after_access(why);
	new = size == 8 ? READ_ONCE(*(u64 *)slot) : size == 4 ? READ_ONCE(*(u32 *)slot) : READ_ONCE(*(u16 *)slot);
	if (new & X86_FLAG_TF)
		return SOFT_TO_EMULATOR;
	if (!st->cpl)
		may |= X86_FLAG_IOPL;
	if (st->cpl <= (old & X86_FLAG_IOPL) >> 12)
		may |= X86_FLAG_IF;
	if (size == 2)
		may &= 0xffff;
	/* RF, VIF and VIP end up clear; POPF of 16 bits leaves the last two. SDM 2B, POPF */
	old &= size == 2 ? ~X86_FLAG_RF : ~(X86_FLAG_RF | X86_FLAG_VIF | X86_FLAG_VIP);
	st->rflags = (new & may) | (old & ~may) | X86_FLAG_FIXED;
	sp_add(sv, size);
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
	u64 *gpr = &st->gpr[FIELD_GET(SYS_GPR, arg)], mask = is_64(sv) ? ~0UL : 0xffffffff;

	if (st->cpl)
		return SOFT_TO_EMULATOR;
	if (write) {
		if (FIELD_GET(SYS_CR, arg) != 3 || vcpu_cr_write(sv->vcpu, 3, *gpr & mask))
			return SOFT_TO_EMULATOR;
		sv->mode_dirty = true;
		return next(sv, arg);
	}
	switch (FIELD_GET(SYS_CR, arg)) {
	case 0: *gpr = st->cr0 & mask; break;
	case 2: *gpr = st->cr2 & mask; break;
	case 3: *gpr = st->cr3 & mask; break;
	case 4: *gpr = st->cr4 & mask; break;
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
	io->next_rip = (st->rip + FIELD_GET(SYS_LEN, arg)) & sv->rip_mask;
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
		if (st->cpl || !is_64(sv))
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

/* ---- string instructions, forward ------------------------------------------------------------- */

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

/* An operand in memory: its register, and the segment it is in. */
struct str_opnd {
	u64 *reg;
	u32 seg;
	bool write;
};

/*
 * At most *n elements of 1 << shift bytes at the operand, as many as are in one page: NULL if there are none that C
 * can do, *why then says what is to be done.
 */
static void *str_access(struct soft_vcpu *sv, const struct str_opnd *o, u32 shift, u64 mask, u64 *n, int *why)
{
	u64 off = *o->reg & mask, va;

	*why = SOFT_EMULATE;
	if (!linear(sv, o->seg, off, 1, o->write, &va))
		return NULL;
	*n = min(*n, room(va, shift));
	/* an element across a page's end, or past the limit, or at the address where the register wraps */
	if (!*n || !linear(sv, o->seg, off, *n << shift, o->write, &va) || ((off + (*n << shift) - 1) & ~mask))
		return NULL;
	return soft_access(sv, va, *n << shift, o->write, why);
}

static void str_add(u64 *reg, u64 delta, u64 mask)
{
	u64 new = (*reg + delta) & mask;

	*reg = mask == 0xffff ? (*reg & ~mask) | new : new;
}

/*
 * A page's worth at a time; a kick between leaves RIP at the instruction with the registers saying
 * how far it got, as an interrupt between iterations does.
 */
enum soft_done soft_string(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;
	u32 op = arg & SYS_OP, shift = FIELD_GET(SYS_OPSIZE, arg);
	u64 mask = arg & SYS_ADDR16 ? 0xffff : arg & SYS_ADDR32 ? 0xffffffff : ~0UL;
	struct str_opnd from = { &st->gpr[X86_RSI], FIELD_GET(SYS_SEG, arg), false };
	struct str_opnd to = { &st->gpr[X86_RDI], X86_ES, true };
	u64 left = arg & SYS_REP ? st->gpr[X86_RCX] & mask : 1;

	if ((st->rflags & X86_FLAG_DF) || (arg & SYS_REPNE) ||
	    (op != OP_MOVS && op != OP_STOS && op != OP_LODS) || (op == OP_LODS && (arg & SYS_REP)))
		return SOFT_TO_EMULATOR;
	while (left) {
		void *src = NULL, *dst = NULL;
		u64 n = left;
		int why;

		if (op == OP_MOVS) {
			u64 va;

			/* as many as both have in one page */
			if (!linear(sv, to.seg, *to.reg & mask, 1, true, &va))
				return SOFT_TO_EMULATOR;
			n = min(n, room(va, shift));
		}
		if (op != OP_STOS) {
			src = str_access(sv, &from, shift, mask, &n, &why);
			if (!src)
				return after_access(why);
		}
		if (op != OP_LODS) {
			dst = str_access(sv, &to, shift, mask, &n, &why);
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
			str_add(from.reg, n << shift, mask);
		if (op != OP_LODS)
			str_add(to.reg, n << shift, mask);
		left -= n;
		if (arg & SYS_REP)
			str_add(&st->gpr[X86_RCX], -n, mask);
		if (left && unlikely(host_load_relaxed(&sv->kick)))
			return SOFT_NEXT;
	}
	return next(sv, arg);
}
