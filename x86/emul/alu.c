// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Arithmetic and logic: the host's instruction does the work, so results and flags, the undefined
 * ones included, are those of the processor the guest believes to run on.
 */
#include "alu.h"

/*
 * Flags travel in EAX as LAHF and SETO leave them: AH holds SF ZF AF PF CF, AL holds OF. Neither
 * touches the stack, which in user space has a red zone below it. "add $0x7f" makes OF of AL's 0 or
 * 1 again.
 */
#define FLAGS_IN	"addb $0x7f, %%al; sahf; "
#define FLAGS_OUT	"; lahf; seto %%al"

#define ASM2(insn) \
	__asm__(FLAGS_IN insn FLAGS_OUT : "+&a"(*flags), [d] "+r"(d) : [s] "r"(s) : "cc")

#define ALU2(name, mn) \
static u64 alu_##name(u64 d, u64 s, unsigned int size, u32 *flags) \
{ \
	switch (size) { \
	case 1: \
		ASM2(mn "b %b[s], %b[d]"); \
		break; \
	case 2: \
		ASM2(mn "w %w[s], %w[d]"); \
		break; \
	case 4: \
		ASM2(mn "l %k[s], %k[d]"); \
		break; \
	default: \
		ASM2(mn "q %[s], %[d]"); \
		break; \
	} \
	return d; \
}

#define ALU2_WIDE(name, mn) \
static u64 alu_##name(u64 d, u64 s, unsigned int size, u32 *flags) \
{ \
	switch (size) { \
	case 2: \
		ASM2(mn "w %w[s], %w[d]"); \
		break; \
	case 4: \
		ASM2(mn "l %k[s], %k[d]"); \
		break; \
	default: \
		ASM2(mn "q %[s], %[d]"); \
		break; \
	} \
	return d; \
}

#define ALU2_VEX(name, mn) \
static u64 alu_##name(u64 d, u64 s, unsigned int size, u32 *flags) \
{ \
	if (size == 4) \
		ASM2(mn "l %k[s], %k[d]"); \
	else \
		ASM2(mn "q %[s], %[d]"); \
	return d; \
}

#define ASM1(insn) \
	__asm__(FLAGS_IN insn FLAGS_OUT : "+&a"(*flags), [d] "+r"(d) : : "cc")

#define ALU1(name, mn) \
static u64 alu_##name(u64 d, u64 s, unsigned int size, u32 *flags) \
{ \
	switch (size) { \
	case 1: \
		ASM1(mn "b %b[d]"); \
		break; \
	case 2: \
		ASM1(mn "w %w[d]"); \
		break; \
	case 4: \
		ASM1(mn "l %k[d]"); \
		break; \
	default: \
		ASM1(mn "q %[d]"); \
		break; \
	} \
	return d; \
}

#define ASMSH(insn) \
	__asm__(FLAGS_IN insn FLAGS_OUT : "+&a"(*flags), [d] "+r"(d) : "c"(s) : "cc")

#define SHIFT(name, mn) \
static u64 alu_##name(u64 d, u64 s, unsigned int size, u32 *flags) \
{ \
	switch (size) { \
	case 1: \
		ASMSH(mn "b %%cl, %b[d]"); \
		break; \
	case 2: \
		ASMSH(mn "w %%cl, %w[d]"); \
		break; \
	case 4: \
		ASMSH(mn "l %%cl, %k[d]"); \
		break; \
	default: \
		ASMSH(mn "q %%cl, %[d]"); \
		break; \
	} \
	return d; \
}

ALU2(add, "add")
ALU2(or, "or")
ALU2(adc, "adc")
ALU2(sbb, "sbb")
ALU2(and, "and")
ALU2(sub, "sub")
ALU2(xor, "xor")
ALU2(test, "test")
ALU1(inc, "inc")
ALU1(dec, "dec")
ALU1(not, "not")
ALU1(neg, "neg")
SHIFT(shl, "shl")
SHIFT(shr, "shr")
SHIFT(sar, "sar")
SHIFT(rol, "rol")
SHIFT(ror, "ror")
SHIFT(rcl, "rcl")
SHIFT(rcr, "rcr")
ALU2_WIDE(bt, "bt")
ALU2_WIDE(bts, "bts")
ALU2_WIDE(btr, "btr")
ALU2_WIDE(btc, "btc")
ALU2_WIDE(bsf, "bsf")
ALU2_WIDE(bsr, "bsr")
ALU2_WIDE(lzcnt, "lzcnt")
ALU2_WIDE(tzcnt, "tzcnt")
ALU2_WIDE(popcnt, "popcnt")
ALU2_WIDE(imul, "imul")
ALU2_VEX(blsi, "blsi")
ALU2_VEX(blsmsk, "blsmsk")
ALU2_VEX(blsr, "blsr")
ALU2_VEX(adcx, "adcx")
ALU2_VEX(adox, "adox")

static const alu_fn alu[OP_NR] = {
	[OP_ADD] = alu_add, [OP_OR] = alu_or, [OP_ADC] = alu_adc, [OP_SBB] = alu_sbb,
	[OP_AND] = alu_and,
	[OP_SUB] = alu_sub, [OP_XOR] = alu_xor, [OP_CMP] = alu_sub, [OP_TEST] = alu_test,
	[OP_INC] = alu_inc, [OP_DEC] = alu_dec, [OP_NOT] = alu_not, [OP_NEG] = alu_neg,
	[OP_SHL] = alu_shl, [OP_SHR] = alu_shr, [OP_SAR] = alu_sar, [OP_ROL] = alu_rol,
	[OP_ROR] = alu_ror,
	[OP_RCL] = alu_rcl, [OP_RCR] = alu_rcr,
	[OP_BT] = alu_bt, [OP_BTS] = alu_bts, [OP_BTR] = alu_btr, [OP_BTC] = alu_btc,
	[OP_BSF] = alu_bsf, [OP_BSR] = alu_bsr, [OP_LZCNT] = alu_lzcnt, [OP_TZCNT] = alu_tzcnt,
	[OP_POPCNT] = alu_popcnt, [OP_BLSI] = alu_blsi, [OP_BLSMSK] = alu_blsmsk,
	[OP_BLSR] = alu_blsr,
	[OP_ADCX] = alu_adcx, [OP_ADOX] = alu_adox,
};

u64 emul_alu_add(u64 dst, u64 src, unsigned int size, u32 *flags)
{
	return alu_add(dst, src, size, flags);
}

u32 emul_flags_pack(u64 rflags)
{
	return (u32)((rflags & 0xff) << 8 | ((rflags >> 11) & 1));
}

u64 emul_flags_unpack(u64 rflags, u32 flags)
{
	return (rflags & ~X86_FLAGS_ARITH) | ((flags >> 8) & (X86_FLAGS_ARITH & 0xff)) |
	       (u64)(flags & 1) << 11;
}

void emul_flags_cmp(struct emul *e, u64 a, u64 b, unsigned int size)
{
	u32 f = emul_flags_pack(e->rflags);

	alu_sub(a, b, size, &f);
	e->rflags = emul_flags_unpack(e->rflags, f);
}

int emul_rmw(struct emul *e, alu_fn fn, u64 src, u64 *old_out)
{
	const struct opnd *o = &e->insn.opnd[0];
	u32 f = emul_flags_pack(e->rflags);
	unsigned int size = o->size, access, tries;
	u64 old = 0, new;
	gva_t lin;
	int r;

	if (o->kind == OPND_GPR) {
		r = emul_opnd_read(e, 0, &old);
		new = fn(old, src, size, &f);
		emul_opnd_write(e, 0, new);
	} else {
		access = WALK_WRITE | emul_user(e);
		r = emul_data_linear(e, e->insn.seg, e->ea, size, WALK_WRITE, &lin);
		if (r)
			return r;
		r = e->ops->read(e, lin, &old, size, access);
		if (r)
			return r;
		for (tries = 0; ; tries++) {
			f = emul_flags_pack(e->rflags);
			new = fn(old, src, size, &f);
			if (!(e->insn.pfx & PFX_LOCK)) {
				r = e->ops->write(e, lin, &new, size, access);
				break;
			}
			r = e->ops->cmpxchg(e, lin, &old, &new, size, access);
			if (r != -EBUSY)
				break;
			if (tries == LOCK_TRIES)
				return HANDLER_AGAIN;
		}
	}
	if (r)
		return r;
	e->rflags = emul_flags_unpack(e->rflags, f);
	if (old_out)
		*old_out = old;
	return 0;
}

int emul_op_alu(struct emul *e)
{
	u64 src;
	int r = emul_opnd_read(e, 1, &src);

	return r ? r : emul_rmw(e, alu[e->insn.op], src, NULL);
}

int emul_op_alu_unary(struct emul *e)
{
	return emul_rmw(e, alu[e->insn.op], 0, NULL);
}

int emul_op_cmp(struct emul *e)
{
	u32 f = emul_flags_pack(e->rflags);
	u64 a, b;
	int r;

	r = emul_opnd_read(e, 0, &a);
	if (!r)
		r = emul_opnd_read(e, 1, &b);
	if (r)
		return r;
	alu[e->insn.op](a, b, e->insn.opnd[0].size, &f);
	e->rflags = emul_flags_unpack(e->rflags, f);
	return 0;
}

/*
 * BT family. With a register bit offset the memory operand is a bit string of either direction. SDM
 * 2A BT
 */
int emul_op_bt(struct emul *e)
{
	const struct insn *i = &e->insn;
	unsigned int size = i->opnd[0].size;
	u32 f;
	u64 bit, val;
	int r;

	r = emul_opnd_read(e, 1, &bit);
	if (r)
		return r;
	if (i->opnd[0].kind == OPND_MEM && i->opnd[1].kind == OPND_GPR) {
		s64 word = (s64)sign_extend(bit, size) >> (size == 2 ? 4 : size == 4 ? 5 : 6);

		e->ea = (e->ea + (u64)word * size) & size_mask(i->addrsize);
	}
	bit &= 8 * size - 1;
	if (i->op != OP_BT)
		return emul_rmw(e, alu[i->op], bit, NULL);
	r = emul_opnd_read(e, 0, &val);
	if (r)
		return r;
	f = emul_flags_pack(e->rflags);
	alu_bt(val, bit, size, &f);
	e->rflags = emul_flags_unpack(e->rflags, f);
	return 0;
}

/* dst = f(src); the old destination goes in, as BSF and BSR of 0 may keep it. */
int emul_op_scan(struct emul *e)
{
	u32 f = emul_flags_pack(e->rflags);
	const struct opnd *o = &e->insn.opnd[0];
	u64 src, dst;
	int r = emul_opnd_read(e, 1, &src);

	if (r)
		return r;
	/* all 64 bits, so that what the host leaves alone is left alone */
	dst = alu[e->insn.op](e->gpr[o->reg & 15], src, o->size, &f);
	if (o->size == 4)
		e->gpr[o->reg & 15] = dst;
	else
		emul_reg_write(e, o->reg, o->size, dst);
	e->rflags = emul_flags_unpack(e->rflags, f);
	return 0;
}

int emul_op_adx(struct emul *e)
{
	u64 src;
	int r = emul_opnd_read(e, 1, &src);

	return r ? r : emul_rmw(e, alu[e->insn.op], src, NULL);
}

#define ASM3(mn) do { \
	if (size == 4) \
		__asm__(FLAGS_IN mn "l %k[b], %k[a], %k[d]" FLAGS_OUT \
			: "+&a"(f), [d] "=&r"(d) : [a] "r"(a), [b] "r"(b) : "cc"); \
	else \
		__asm__(FLAGS_IN mn "q %[b], %[a], %[d]" FLAGS_OUT \
			: "+&a"(f), [d] "=&r"(d) : [a] "r"(a), [b] "r"(b) : "cc"); \
} while (0)

/* VEX-coded BMI with two sources. SDM 2A, 2B, 2C */
int emul_op_vex3(struct emul *e)
{
	unsigned int size = e->insn.opnd[0].size;
	u32 f = emul_flags_pack(e->rflags);
	u64 a, b, d;
	int r;

	r = emul_opnd_read(e, 1, &a);
	if (!r)
		r = emul_opnd_read(e, 2, &b);
	if (r)
		return r;
	switch (e->insn.op) {
	case OP_ANDN:
		ASM3("andn");
		break;
	case OP_BEXTR:
		ASM3("bextr");
		break;
	case OP_BZHI:
		ASM3("bzhi");
		break;
	case OP_PDEP:
		ASM3("pdep");
		break;
	case OP_PEXT:
		ASM3("pext");
		break;
	case OP_SARX:
		ASM3("sarx");
		break;
	case OP_SHLX:
		ASM3("shlx");
		break;
	default:
		ASM3("shrx");
		break;
	}
	e->rflags = emul_flags_unpack(e->rflags, f);
	return emul_opnd_write(e, 0, d);
}

int emul_op_rorx(struct emul *e)
{
	unsigned int bits = 8 * e->insn.opnd[0].size, n;
	u64 v;
	int r = emul_opnd_read(e, 1, &v);

	if (r)
		return r;
	n = e->insn.imm & (bits - 1);
	if (n)
		v = v >> n | v << (bits - n);
	return emul_opnd_write(e, 0, v);
}

int emul_op_mulx(struct emul *e)
{
	unsigned int size = e->insn.opnd[0].size;
	u64 src, lo, hi, rdx = emul_reg_read(e, X86_RDX, size);
	int r = emul_opnd_read(e, 2, &src);

	if (r)
		return r;
	if (size == 4) {
		lo = src * rdx;
		hi = lo >> 32;
	} else {
		__asm__("mulq %[s]" : "=a"(lo), "=d"(hi) : "0"(src), [s] "r"(rdx) : "cc");
	}
	emul_opnd_write(e, 1, lo);
	return emul_opnd_write(e, 0, hi);
}

#define ASMSHD(insn) \
	__asm__(FLAGS_IN insn FLAGS_OUT : "+&a"(*flags), [d] "+r"(d) : [s] "r"(s), "c"(count) : "cc")

static u64 shift_double(u64 d, u64 s, u64 count, bool left, unsigned int size, u32 *flags)
{
	if (left) {
		if (size == 2)
			ASMSHD("shldw %%cl, %w[s], %w[d]");
		else if (size == 4)
			ASMSHD("shldl %%cl, %k[s], %k[d]");
		else
			ASMSHD("shldq %%cl, %[s], %[d]");
	} else {
		if (size == 2)
			ASMSHD("shrdw %%cl, %w[s], %w[d]");
		else if (size == 4)
			ASMSHD("shrdl %%cl, %k[s], %k[d]");
		else
			ASMSHD("shrdq %%cl, %[s], %[d]");
	}
	return d;
}

int emul_op_shld(struct emul *e)
{
	const struct opnd *o = &e->insn.opnd[0];
	u32 f = emul_flags_pack(e->rflags);
	unsigned int access = WALK_WRITE | emul_user(e);
	u64 d = 0, s, count;
	gva_t lin = 0;
	int r;

	emul_opnd_read(e, 1, &s);
	r = emul_opnd_read(e, 2, &count);
	if (r)
		return r;
	if (o->kind == OPND_MEM) {
		r = emul_data_linear(e, e->insn.seg, e->ea, o->size, WALK_WRITE, &lin);
		if (!r)
			r = e->ops->read(e, lin, &d, o->size, access);
	} else {
		r = emul_opnd_read(e, 0, &d);
	}
	if (r)
		return r;
	d = shift_double(d, s, count, e->insn.op == OP_SHLD, o->size, &f);
	r = o->kind == OPND_MEM ? e->ops->write(e, lin, &d, o->size, access)
				: emul_opnd_write(e, 0, d);
	if (!r)
		e->rflags = emul_flags_unpack(e->rflags, f);
	return r;
}

/* ---- multiplication and division ------------------------------------------------------------- */

#define ASMMUL(insn) \
	__asm__("mov %[fl], %%eax; " FLAGS_IN "mov %[lo], %%rax; " insn "; mov %%rax, %[lo]" FLAGS_OUT "; mov %%eax, %[fl]" \
		: [fl] "+r"(*flags), [lo] "+r"(lo), "+d"(hi) : [s] "r"(s) : "rax", "cc")

static void mul_host(bool is_signed, u64 *plo, u64 *phi, u64 s, unsigned int size, u32 *flags)
{
	u64 lo = *plo, hi = *phi;

	if (is_signed) {
		if (size == 1)
			ASMMUL("imulb %b[s]");
		else if (size == 2)
			ASMMUL("imulw %w[s]");
		else if (size == 4)
			ASMMUL("imull %k[s]");
		else
			ASMMUL("imulq %[s]");
	} else {
		if (size == 1)
			ASMMUL("mulb %b[s]");
		else if (size == 2)
			ASMMUL("mulw %w[s]");
		else if (size == 4)
			ASMMUL("mull %k[s]");
		else
			ASMMUL("mulq %[s]");
	}
	*plo = lo;
	*phi = hi;
}

static void div_host(bool is_signed, u64 *plo, u64 *phi, u64 s, unsigned int size, u32 *flags)
{
	u64 lo = *plo, hi = *phi;

	if (is_signed) {
		if (size == 1)
			ASMMUL("idivb %b[s]");
		else if (size == 2)
			ASMMUL("idivw %w[s]");
		else if (size == 4)
			ASMMUL("idivl %k[s]");
		else
			ASMMUL("idivq %[s]");
	} else {
		if (size == 1)
			ASMMUL("divb %b[s]");
		else if (size == 2)
			ASMMUL("divw %w[s]");
		else if (size == 4)
			ASMMUL("divl %k[s]");
		else
			ASMMUL("divq %[s]");
	}
	*plo = lo;
	*phi = hi;
}

/*
 * Would the host's DIV or IDIV fault? Decided on magnitudes. lo, hi: rAX, rDX as the instruction
 * sees them.
 */
static bool div_overflows(bool is_signed, u64 lo, u64 hi, u64 s, unsigned int size)
{
	u64 q, rem, limit;
	bool negative;

	if (size == 1) {
		hi = (lo >> 8) & 0xff;
		lo &= 0xff;
	} else {
		lo &= size_mask(size);
		hi &= size_mask(size);
	}
	s &= size_mask(size);
	if (!s)
		return true;
	if (!is_signed)
		return hi >= s;
	negative = ((hi ^ s) >> (8 * size - 1)) & 1;
	if ((hi >> (8 * size - 1)) & 1) {
		lo = (0 - lo) & size_mask(size);
		hi = (~hi + !lo) & size_mask(size);
	}
	if ((s >> (8 * size - 1)) & 1)
		s = (0 - s) & size_mask(size);
	if (hi >= s)
		return true;
	if (size < 8)
		q = ((hi << (8 * size)) | lo) / s;
	else
		__asm__("divq %[s]" : "=a"(q), "=d"(rem) : "0"(lo), "1"(hi), [s] "r"(s) : "cc");
	limit = 1ULL << (8 * size - 1);
	return negative ? q > limit : q >= limit;
}

static void set_rax_rdx(struct emul *e, u64 lo, u64 hi, unsigned int size)
{
	emul_reg_write(e, X86_RAX, size == 1 ? 2 : size, lo);
	if (size != 1)
		emul_reg_write(e, X86_RDX, size, hi);
}

int emul_op_mul(struct emul *e)
{
	unsigned int size = e->insn.opnd[0].size;
	u32 f = emul_flags_pack(e->rflags);
	u64 lo = e->gpr[X86_RAX], hi = e->gpr[X86_RDX], s;
	int r = emul_opnd_read(e, 0, &s);

	if (r)
		return r;
	mul_host(e->insn.op == OP_IMUL1, &lo, &hi, s, size, &f);
	set_rax_rdx(e, lo, hi, size);
	e->rflags = emul_flags_unpack(e->rflags, f);
	return 0;
}

int emul_op_div(struct emul *e)
{
	unsigned int size = e->insn.opnd[0].size;
	bool is_signed = e->insn.op == OP_IDIV;
	u32 f = emul_flags_pack(e->rflags);
	u64 lo = e->gpr[X86_RAX], hi = e->gpr[X86_RDX], s;
	int r = emul_opnd_read(e, 0, &s);

	if (r)
		return r;
	if (div_overflows(is_signed, lo, hi, s, size))
		return emul_raise(e, EXC_DE, 0);
	div_host(is_signed, &lo, &hi, s, size, &f);
	set_rax_rdx(e, lo, hi, size);
	e->rflags = emul_flags_unpack(e->rflags, f);
	return 0;
}

/* Two operands: dst *= src; three: dst = src * imm. */
int emul_op_imul(struct emul *e)
{
	unsigned int size = e->insn.opnd[0].size;
	bool three = e->insn.nr_opnd == 3;
	u32 f = emul_flags_pack(e->rflags);
	u64 a, b;
	int r;

	r = emul_opnd_read(e, three ? 1 : 0, &a);
	if (!r)
		r = emul_opnd_read(e, three ? 2 : 1, &b);
	if (r)
		return r;
	a = alu_imul(a, b, size, &f);
	e->rflags = emul_flags_unpack(e->rflags, f);
	return emul_opnd_write(e, 0, a);
}

/* ---- CRC32, random numbers ------------------------------------------------------------------- */

int emul_op_crc32(struct emul *e)
{
	u64 d, s;
	int r;

	emul_opnd_read(e, 0, &d);
	r = emul_opnd_read(e, 1, &s);
	if (r)
		return r;
	switch (e->insn.opnd[1].size) {
	case 1:
		__asm__("crc32b %b[s], %k[d]" : [d] "+r"(d) : [s] "r"(s));
		break;
	case 2:
		__asm__("crc32w %w[s], %k[d]" : [d] "+r"(d) : [s] "r"(s));
		break;
	case 4:
		__asm__("crc32l %k[s], %k[d]" : [d] "+r"(d) : [s] "r"(s));
		break;
	default:
		__asm__("crc32q %[s], %[d]" : [d] "+r"(d) : [s] "r"(s));
		break;
	}
	return emul_opnd_write(e, 0, d);
}

/* RDRAND, RDSEED: the host's own; CF tells success, the other flags are cleared. SDM 2B */
int emul_op_random(struct emul *e)
{
	u64 v;
	u8 ok;

	if (e->insn.op == OP_RDRAND)
		__asm__ volatile("rdrand %0; setc %1" : "=r"(v), "=qm"(ok) : : "cc");
	else
		__asm__ volatile("rdseed %0; setc %1" : "=r"(v), "=qm"(ok) : : "cc");
	e->rflags = (e->rflags & ~X86_FLAGS_ARITH) | (ok ? X86_FLAG_CF : 0);
	return emul_opnd_write(e, 0, ok ? v : 0);
}
