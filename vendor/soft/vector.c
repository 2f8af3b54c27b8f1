// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vendor_ops.vector: one x87, MMX, SSE, AVX or XSAVE-family instruction for the emulator. It is
 * executed on the host with its memory operand in a buffer; the guest's vector registers are in the
 * host's already (load/put).
 */
#include "soft.h"
#include "reemit.h"

#define VEC_BASE_REG	H_RSI	/* the buffer */
#define VEC_GPR_REG	H_RDI	/* vec_gpr[] */

/* The stub's host register for a general-register operand: RAX RCX RDX at home, others in R8.. */
struct stub {
	struct emitter e;
	u8 host[X86_NR_GPR];
	u8 next;
};

static u8 stub_reg(struct stub *s, u8 guest)
{
	if (guest == X86_RAX || guest == X86_RCX || guest == X86_RDX)
		return guest;
	if (!s->host[guest]) {
		s->host[guest] = s->next++;
		em_mov_rm(&s->e, 8, s->host[guest], HMEM(VEC_GPR_REG, 8 * guest));
	}
	return s->host[guest];
}

static void stub_insn(struct stub *s, const struct insn *in)
{
	struct emitter *e = &s->e;
	u8 reg = reemit_reg(in), rm = reemit_rm(in), vvvv = in->vvvv;
	bool force_rex = false;
	struct hop op;

	if (!in->has_modrm) {
		if (!reemit_vzero(e, in))
			reemit_bytes(e, in, 0);
		return;
	}
	for (u32 i = 0; i < in->nr_opnd; i++) {
		const struct opnd *o = &in->opnd[i];

		if (o->kind != OPND_GPR || o->implicit)
			continue;
		if (o->field == FIELD_REG)
			reg = stub_reg(s, o->reg);
		else if (o->field == FIELD_RM)
			rm = stub_reg(s, o->reg);
		else if (o->field == FIELD_VVVV)
			vvvv = stub_reg(s, o->reg);
		force_rex |= o->size == 1;
	}
	op = reemit_hop(in, vvvv, force_rex);
	if (in->has_mem)
		em_op_rm(e, &op, reg, &HMEM(VEC_BASE_REG, 0));
	else
		em_op_rr(e, &op, reg, rm);
	reemit_imm(e, in);
}

/* rdi = vec_gpr, rsi = buffer, rdx = &vec_flags */
static void build_stub(struct soft_vcpu *sv, const struct insn *in)
{
	struct stub s = { .next = H_R8 };
	struct emitter *e = &s.e;

	*e = (struct emitter){ .p = sv->vec.rw, .end = sv->vec.rw + sv->vec.size,
			       .rx_delta = sv->vec.rx - sv->vec.rw };
	em_u8(e, 0x53);							/* push rbx */
	em_mov_rr(e, 8, H_RBX, H_RDX);
	em_op_rm(e, &(struct hop){ .opcode = 0xff }, 6, &HMEM(H_RBX, 0));	/* push [rbx] */
	em_u8(e, 0x9d);							/* popfq */
	em_mov_rm(e, 8, H_RAX, HMEM(VEC_GPR_REG, 8 * X86_RAX));
	em_mov_rm(e, 8, H_RCX, HMEM(VEC_GPR_REG, 8 * X86_RCX));
	em_mov_rm(e, 8, H_RDX, HMEM(VEC_GPR_REG, 8 * X86_RDX));
	stub_insn(&s, in);
	sv->vec_end = em_rx(e);
	em_mov_mr(e, 8, HMEM(VEC_GPR_REG, 8 * X86_RAX), H_RAX);
	em_mov_mr(e, 8, HMEM(VEC_GPR_REG, 8 * X86_RCX), H_RCX);
	em_mov_mr(e, 8, HMEM(VEC_GPR_REG, 8 * X86_RDX), H_RDX);
	for (u32 g = 0; g < X86_NR_GPR; g++)
		if (s.host[g])
			em_mov_mr(e, 8, HMEM(VEC_GPR_REG, 8 * g), s.host[g]);
	em_u8(e, 0x9c);							/* pushfq */
	em_op_rm(e, &(struct hop){ .opcode = 0x8f }, 0, &HMEM(H_RBX, 0));	/* pop [rbx] */
	em_u8(e, 0x5b);							/* pop rbx */
	em_u8(e, 0xc3);
}

static int raise(struct emul *e, u8 vector, bool has_error)
{
	e->fault = (struct x86_fault){ .vector = vector, .has_error = has_error };
	return -EFAULT;
}

/*
 * Sizes and alignment of the state-saving family, whose operands the decoder cannot size. SDM 1
 * 13.4, 10.5.1
 */
static int state_size(struct soft_vcpu *sv, struct emul *e, gva_t gva, u32 *len)
{
	u64 mask = (sv->st.gpr[X86_RDX] << 32 | (u32)sv->st.gpr[X86_RAX]) & sv->st.xcr0;

	switch (e->insn.op) {
	case OP_FXSAVE: case OP_FXRSTOR:
		*len = 512;
		return gva & 15 ? raise(e, EXC_GP, true) : 0;
	case OP_XSAVE: case OP_XSAVEOPT: case OP_XSAVEC: case OP_XSAVES:
	case OP_XRSTOR: case OP_XRSTORS:
		*len = mask & XCR0_AVX ? 832 : 576;
		return gva & 63 ? raise(e, EXC_GP, true) : 0;
	}
	*len = e->insn.mem_size;
	if ((e->insn.attr & INSN_ALIGNED) && e->insn.feature != FEAT_SHA && *len &&
	    (gva & (*len - 1)))
		return raise(e, EXC_GP, true);
	return 0;
}

static int copy(struct emul *e, gva_t gva, u8 *buf, u32 len, bool write)
{
	u32 user = e->st->cpl == 3 ? WALK_USER : 0;

	for (u32 done = 0; done < len; ) {
		u32 n = min_t(u32, len - done, 64);
		int ret = write ? e->ops->write(e, gva + done, buf + done, n, WALK_WRITE | user) :
				  e->ops->read(e, gva + done, buf + done, n, WALK_READ | user);

		if (ret)
			return ret;
		done += n;
	}
	return 0;
}

/* What the guest's XCR0 forbids although the host's may allow it. */
static int check_xrstor(struct soft_vcpu *sv, struct emul *e, const u8 *buf)
{
	u64 bv, comp;

	__builtin_memcpy(&bv, buf + 512, 8);
	__builtin_memcpy(&comp, buf + 520, 8);
	if (bv & ~sv->st.xcr0)
		return raise(e, EXC_GP, true);
	/* XRSTORS takes the compacted form only. SDM 1 13.12 */
	if (e->insn.op == OP_XRSTORS && !(comp & BIT_ULL(63)))
		return raise(e, EXC_GP, true);
	if ((comp & BIT_ULL(63)) && ((comp & ~BIT_ULL(63)) & ~sv->st.xcr0))
		return raise(e, EXC_GP, true);
	return 0;
}

/* ---- masked stores and loads, gathers: element by element ------------------------------------ */

/*
 * vmovdqu [rsi], ymm / ymm, [rsi]; XMM and MMX forms for hosts and operands without the upper half
 */
static int move_vec(struct soft_vcpu *sv, struct emul *e, u8 reg, u8 *buf, bool load, u8 size)
{
	struct emitter em = { .p = sv->vec.rw,
			      .end = sv->vec.rw + sv->vec.size,
			      .rx_delta = sv->vec.rx - sv->vec.rw };
	struct hop op = { .vex = true, .map = 1, .pp = 2, .l = size == 32, .opcode = load ? 0x6f : 0x7f };

	if (size == 8)
		/* movq mm */
		op = (struct hop){ .map = 1, .opcode = load ? 0x6f : 0x7f };
	else if (size == 16 && !load)
		op = (struct hop){ .prefix = { 0xf3 }, .map = 1, .opcode = 0x7f };	/* movdqu */
	em_op_rm(&em, &op, reg, &HMEM(VEC_BASE_REG, 0));
	sv->vec_end = em_rx(&em);
	em_u8(&em, 0xc3);
	sv->vec_faulted = false;
	((void (*)(u64 *, u8 *))sv->vec.rx)(sv->vec_gpr, buf);
	if (!sv->vec_faulted)
		return 0;
	e->fault = sv->fault;	/* #MF that was pending before an MMX one */
	return -EFAULT;
}

static int byte_mask_store(struct soft_vcpu *sv, struct emul *e, gva_t gva)
{
	const struct insn *in = &e->insn;
	u8 size = in->op == OP_MASKMOVQ ? 8 : 16, reg = reemit_reg(in), rm = reemit_rm(in);
	u8 data[32], mask[32];

	if (size == 8) {
		reg &= 7;
		rm &= 7;
	}
	if (move_vec(sv, e, reg, data, false, size) || move_vec(sv, e, rm, mask, false, size))
		return -EFAULT;
	for (u32 i = 0; i < size; i++) {
		int ret = mask[i] & 0x80 ? copy(e, gva + i, &data[i], 1, true) : 0;

		if (ret)
			return ret;
	}
	return 0;
}

/*
 * VMASKMOVPS/PD, VPMASKMOVD/Q: the mask's elements are in VEX.vvvv, the data in the register field.
 */
static int element_mask(struct soft_vcpu *sv, struct emul *e, gva_t gva)
{
	const struct insn *in = &e->insn;
	u32 size = in->vex_l ? 32 : 16;
	u32 each = in->op == OP_VMASKMOVPD || (in->op == OP_VPMASKMOVQ) ? 8 : 4;
	u8 reg = reemit_reg(in);
	bool store = in->mem_access & OPND_W;
	u8 data[32] = { 0 }, mask[32];

	move_vec(sv, e, in->vvvv, mask, false, size);
	/* all elements must be accessible before the first one is written */
	for (u32 i = 0; i < size && store; i += each) {
		u32 user = e->st->cpl == 3 ? WALK_USER : 0;
		int ret = mask[i + each - 1] & 0x80 ?
			  e->ops->read(e, gva + i, data, each, WALK_WRITE | user) : 0;

		if (ret)
			return ret;
	}
	if (store)
		move_vec(sv, e, reg, data, false, size);
	for (u32 i = 0; i < size; i += each) {
		int ret = mask[i + each - 1] & 0x80 ? copy(e, gva + i, &data[i], each, store) : 0;

		if (ret)
			return ret;
	}
	if (!store)
		move_vec(sv, e, reg, data, true, size);
	return 0;
}

/*
 * VGATHER*, VPGATHER*: a fault leaves the elements before it done and their mask bits clear. SDM
 * 2C, VGATHERDPD. gva holds base + displacement; the index vector comes on top.
 */
static int gather(struct soft_vcpu *sv, struct emul *e, gva_t gva)
{
	const struct insn *in = &e->insn;
	u32 each = in->rex & 8 ? 8 : 4, ieach = in->opcode & 1 ? 8 : 4, size = in->vex_l ? 32 : 16;
	u32 n = size / max(each, ieach);
	u8 reg = reemit_reg(in);
	u8 data[32], mask[32], index[32];
	int ret = 0;

	if (reg == in->vvvv || reg == in->index || in->index == in->vvvv)
		return raise(e, EXC_UD, false);
	move_vec(sv, e, reg, data, false, size);
	move_vec(sv, e, in->vvvv, mask, false, size);
	move_vec(sv, e, in->index, index, false, size);
	/* the mask counts by sign bits: spread them first */
	for (u32 i = 0; i < n; i++)
		host_memset(mask + i * each, mask[i * each + each - 1] & 0x80 ? 0xff : 0, each);
	for (u32 i = 0; i < n && !ret; i++) {
		s64 x = 0;
		gva_t a;

		if (!mask[i * each])
			continue;
		if (ieach == 4) {
			s32 d;

			__builtin_memcpy(&d, index + i * 4, 4);
			x = d;
		} else {
			__builtin_memcpy(&x, index + i * 8, 8);
		}
		a = gva + ((u64)x << in->scale);
		if (in->addrsize == 4)
			a = (u32)a;
		ret = copy(e, a, data + i * each, each, false);
		if (!ret)
			host_memset(mask + i * each, 0, each);
	}
	if (!ret) {
		host_memset(mask, 0, sizeof(mask));
		host_memset(data + n * each, 0, sizeof(data) - n * each);
	}
	move_vec(sv, e, reg, data, true, size);
	move_vec(sv, e, in->vvvv, mask, true, size);
	return ret;
}

bool soft_x87_pending(struct vcpu *vcpu)
{
	struct soft_vcpu *sv = soft_of(vcpu);
	u16 status;

	if (sv->vec_away)
		soft_vec_load(sv);
	__asm__("fnstsw %0" : "=a"(status));
	return status & 0x80;
}

/*
 * Has the store that just ran left memory alone? It does for an unmasked exception that is found before the result
 * is rounded off: invalid operation (an empty register too), overflow, underflow. SDM 1 8.5
 */
static bool x87_withheld(void)
{
	u16 status, control;

	__asm__("fnstsw %0" : "=a"(status));
	__asm__("fnstcw %0" : "=m"(control));
	return status & ~control & 0x19;
}

/* ---- the x87's pointers to its last instruction and operand ---------------------------------- */

/* What FNSTENV stores with an operand size of 32 bits in protected mode. SDM 1 8.1.10 */
struct x87_environment {
	u32 fcw, fsw, ftw, fip, fcs_fop, fdp, fds;
};

/* All that was executed natively has an instruction pointer in one of these; its data pointer is the host's, too. */
static bool host_code(const struct soft_vcpu *sv, u64 fip, u64 mask)
{
	return ((fip - (u64)sv->cb.rx) & mask) < sv->cb.size ||
	       ((fip - (u64)sv->vec.rx) & mask) < sv->vec.size;
}

/*
 * Before the guest stores its x87 state: where our code and its memory are in the process is nothing
 * for it. It finds zeros, as after FNINIT; what it has loaded itself stays.
 */
static void hide_pointers(const struct soft_vcpu *sv)
{
	struct x87_environment env;

	__asm__ volatile("fnstenv %0" : "=m"(env));
	if (host_code(sv, env.fip, 0xffffffff))
		env.fip = env.fcs_fop = env.fdp = env.fds = 0;
	/* always: FNSTENV has masked the exceptions */
	__asm__ volatile("fldenv %0" :: "m"(env));
}

void soft_hide_pointers(const struct soft_vcpu *sv, u8 *xsave)
{
	u64 fip;

	__builtin_memcpy(&fip, xsave + 8, 8);
	if (!host_code(sv, fip, ~0UL))
		return;
	host_memset(xsave + 6, 0, 2);		/* FOP */
	host_memset(xsave + 8, 0, 16);		/* FIP, FDP */
}

int soft_vector(struct vcpu *vcpu, struct emul *e, gva_t gva)
{
	struct soft_vcpu *sv = soft_of(vcpu);
	struct insn *in = &e->insn;
	bool restore = in->op == OP_XRSTOR || in->op == OP_XRSTORS;
	bool xstate = in->op == OP_XSAVE || in->op == OP_XSAVEOPT || in->op == OP_XSAVEC ||
		      in->op == OP_XSAVES || restore;
	struct insn plain;
	u32 len = 0;
	int ret;

	if (sv->vec_away)
		soft_vec_load(sv);
	if (in->attr & INSN_VSIB)
		return gather(sv, e, gva);
	switch (in->op) {
	case OP_MASKMOVQ: case OP_MASKMOVDQU: case OP_VMASKMOVDQU:
		return byte_mask_store(sv, e, gva);
	case OP_VMASKMOVPS: case OP_VMASKMOVPD: case OP_VPMASKMOVD: case OP_VPMASKMOVQ:
		return element_mask(sv, e, gva);
	}
	if (in->has_mem) {
		ret = state_size(sv, e, gva, &len);
		if (ret)
			return ret;
		if (!len || len > sizeof(sv->bounce))
			return -ENOSYS;
		/* partly written buffers (XSAVE, FXSAVE) start from what is there */
		if ((in->mem_access & OPND_R) || len > 64) {
			ret = copy(e, gva, sv->bounce, len, false);
			if (ret)
				return ret;
		}
	}
	if (restore) {
		ret = check_xrstor(sv, e, sv->bounce);
		if (ret)
			return ret;
	}
	host_memcpy(sv->vec_gpr, e->gpr, sizeof(sv->vec_gpr));
	if (xstate) {
		u64 mask = (e->gpr[X86_RDX] << 32 | (u32)e->gpr[X86_RAX]) & sv->st.xcr0;

		sv->vec_gpr[X86_RAX] = (u32)mask;
		sv->vec_gpr[X86_RDX] = mask >> 32;
	}
	if (in->op == OP_XSAVEOPT) {
		/* its "unchanged since the last XRSTOR from here" is about our buffer's address:
		 * never use it */
		plain = *in;
		plain.modrm = (in->modrm & ~0x38) | 4 << 3;
		plain.op = OP_XSAVE;
		in = &plain;
	} else if (in->op == OP_XSAVES) {
		/* IA32_XSS is 0 for guests: the same as XSAVEC, 0f c7 /4, but for privilege. SDM 1
		 * 13.11 */
		plain = *in;
		plain.modrm = (in->modrm & ~0x38) | 4 << 3;
		in = &plain;
	} else if (in->op == OP_XRSTORS) {
		/* as XRSTOR, 0f ae /5 */
		plain = *in;
		plain.opcode = 0xae;
		plain.modrm = (in->modrm & ~0x38) | 5 << 3;
		in = &plain;
	}
	switch (in->op) {
	case OP_FNSTENV: case OP_FNSAVE: case OP_FXSAVE: case OP_XSAVE: case OP_XSAVEC: case OP_XSAVES:
		hide_pointers(sv);
	}
	build_stub(sv, in);
	sv->vec_flags = (e->rflags & X86_FLAGS_ARITH) | X86_FLAG_FIXED | X86_FLAG_IF;
	sv->vec_faulted = false;
	((void (*)(u64 *, u8 *, u64 *))sv->vec.rx)(sv->vec_gpr, sv->bounce, &sv->vec_flags);
	if (sv->vec_faulted) {
		e->fault = sv->fault;
		return -EFAULT;
	}
	if (in->family == FAM_X87 && in->has_mem && insn_waits_for_x87(in) && x87_withheld())
		len = 0;
	if (in->has_mem && (in->mem_access & OPND_W) && len) {
		ret = copy(e, gva, sv->bounce, len, true);
		if (ret)
			return ret;
	}
	if (!xstate)
		host_memcpy(e->gpr, sv->vec_gpr, sizeof(sv->vec_gpr));
	e->rflags = (e->rflags & ~X86_FLAGS_ARITH) | (sv->vec_flags & X86_FLAGS_ARITH);
	return 0;
}
