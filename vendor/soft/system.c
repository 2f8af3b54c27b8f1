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

/* VERW of a selector in memory whose descriptor, in the GDT, may be written to; whatever else it is goes to the emulator. */
static enum soft_done do_verw(struct soft_vcpu *sv, u32 arg)
{
	struct x86_state *st = &sv->st;
	const void *p;
	u64 desc;
	u32 dpl;
	u16 at;
	int why;

	if (!(arg & SYS_MEM) || !is_64(sv))
		return SOFT_TO_EMULATOR;
	p = soft_access(sv, sv->exit_arg64, sizeof(at), false, &why);
	if (!p)
		return SOFT_TO_EMULATOR;
	__builtin_memcpy(&at, p, sizeof(at));		/* neither need be aligned */
	if (!(at & 0xfff8) || (at & 4) || (at | 7) > st->gdtr.limit)
		return SOFT_TO_EMULATOR;
	p = soft_access(sv, st->gdtr.base + (at & 0xfff8), sizeof(desc), false, &why);
	if (!p)
		return SOFT_TO_EMULATOR;
	/* bits 44: S, 43: code, 41: writable. SDM 3A 3.4.5 */
	__builtin_memcpy(&desc, p, sizeof(desc));
	dpl = desc >> 45 & 3;
	if ((desc >> 41 & 13) != 9 || st->cpl > dpl || (at & 3) > dpl)
		return SOFT_TO_EMULATOR;
	st->rflags |= X86_FLAG_ZF;
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
	case OP_VERW:
		return do_verw(sv, arg);
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

/* ---- string instructions ---------------------------------------------------------------------- */

static void host_movs(void *dst, const void *src, u64 n, u32 shift)
{
	switch (shift) {
	case 0: __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	case 1: __asm__ volatile("rep movsw" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	case 2: __asm__ volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	default: __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	}
}

/* dst and src: of the highest element */
static void host_movs_down(void *dst, const void *src, u64 n, u32 shift)
{
	switch (shift) {
	case 0: __asm__ volatile("std; rep movsb; cld" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	case 1: __asm__ volatile("std; rep movsw; cld" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	case 2: __asm__ volatile("std; rep movsl; cld" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
	default: __asm__ volatile("std; rep movsq; cld" : "+D"(dst), "+S"(src), "+c"(n) :: "memory"); break;
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

static u64 host_lods(const void *src, u64 rax, u32 shift)
{
	switch (shift) {
	case 0: __asm__ volatile("lodsb" : "+a"(rax), "+S"(src) :: "memory"); break;
	case 1: __asm__ volatile("lodsw" : "+a"(rax), "+S"(src) :: "memory"); break;
	case 2: __asm__ volatile("lodsl" : "+a"(rax), "+S"(src) :: "memory"); break;
	default: __asm__ volatile("lodsq" : "+a"(rax), "+S"(src) :: "memory"); break;
	}
	return rax;
}

/* An operand in memory: its register, and the segment it is in. */
struct str_opnd {
	u64 *reg;
	u32 seg;
	bool write;
};

/* How the addresses go: elements of 1 << shift bytes, upwards or down, in registers of mask's width. */
struct str_walk {
	u64 mask;
	u32 shift;
	bool down;
};

/* How many elements from here on are in the page of the first, before the register wraps. */
static u64 str_room(const struct soft_vcpu *sv, const struct str_opnd *o, const struct str_walk *w)
{
	u64 off = *o->reg & w->mask, va, in_page, room;

	if (!linear(sv, o->seg, off, 1UL << w->shift, o->write, &va))
		return 0;
	in_page = va & ~HV_PAGE_MASK;
	room = (HV_PAGE_SIZE - in_page) >> w->shift;
	if (w->down)
		return room ? min((in_page >> w->shift) + 1, (off >> w->shift) + 1) : 0;
	return min(room, ((w->mask - off) >> w->shift) + 1);
}

/* The lowest of n elements; NULL if C cannot do them, *why then says what is to be done. */
static void *str_access(struct soft_vcpu *sv, const struct str_opnd *o, const struct str_walk *w, u64 n, int *why)
{
	u64 off = *o->reg & w->mask, va;

	if (w->down)
		off -= (n - 1) << w->shift;
	*why = SOFT_EMULATE;
	if (!linear(sv, o->seg, off, n << w->shift, o->write, &va))
		return NULL;
	return soft_access(sv, va, n << w->shift, o->write, why);
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
	struct str_walk w = {
		.mask = arg & SYS_ADDR16 ? 0xffff : arg & SYS_ADDR32 ? 0xffffffff : ~0UL,
		.shift = shift, .down = st->rflags & X86_FLAG_DF,
	};
	struct str_opnd from = { &st->gpr[X86_RSI], FIELD_GET(SYS_SEG, arg), false };
	struct str_opnd to = { &st->gpr[X86_RDI], X86_ES, true };
	u64 left = arg & SYS_REP ? st->gpr[X86_RCX] & w.mask : 1;

	if ((arg & SYS_REPNE) || (op != OP_MOVS && op != OP_STOS && op != OP_LODS) ||
	    (op == OP_LODS && (arg & SYS_REP)))
		return SOFT_TO_EMULATOR;
	while (left) {
		u64 n = left, moved, top;
		u8 *src = NULL, *dst = NULL;
		int why;

		if (op != OP_STOS)
			n = min(n, str_room(sv, &from, &w));
		if (op != OP_LODS)
			n = min(n, str_room(sv, &to, &w));
		if (!n)
			return SOFT_TO_EMULATOR;	/* an element across a page's end, or beyond the limit */
		if (op != OP_STOS) {
			src = str_access(sv, &from, &w, n, &why);
			if (!src)
				return after_access(why);
		}
		if (op != OP_LODS) {
			dst = str_access(sv, &to, &w, n, &why);
			if (!dst)
				return after_access(why);
		}
		top = (n - 1) << shift;
		if (op == OP_MOVS && w.down)
			host_movs_down(dst + top, src + top, n, shift);
		else if (op == OP_MOVS)
			host_movs(dst, src, n, shift);
		else if (op == OP_STOS)
			host_stos(dst, st->gpr[X86_RAX], n, shift);
		else
			st->gpr[X86_RAX] = host_lods(src, st->gpr[X86_RAX], shift);
		moved = w.down ? -(n << shift) : n << shift;
		if (op != OP_STOS)
			str_add(from.reg, moved, w.mask);
		if (op != OP_LODS)
			str_add(to.reg, moved, w.mask);
		left -= n;
		if (arg & SYS_REP)
			str_add(&st->gpr[X86_RCX], -n, w.mask);
		if (left && unlikely(soft_kicked(sv)))
			return SOFT_NEXT;
	}
	return next(sv, arg);
}
