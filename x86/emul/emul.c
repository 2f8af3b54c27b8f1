// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Fetch, decode, check, dispatch, commit. A handler sees copies of the registers; they become the
 * guest's when it retires, so a fault anywhere leaves the live state as it was.
 */
#include "private.h"

/* Which handler an op id has. What is not listed: vector ops by family, else EMUL_UNHANDLED. */
static const emul_fn handlers[OP_NR] = {
	[OP_ADD] = emul_op_alu, [OP_OR] = emul_op_alu, [OP_ADC] = emul_op_alu,
	[OP_SBB] = emul_op_alu,
	[OP_AND] = emul_op_alu, [OP_SUB] = emul_op_alu, [OP_XOR] = emul_op_alu,
	[OP_SHL] = emul_op_alu, [OP_SHR] = emul_op_alu, [OP_SAR] = emul_op_alu,
	[OP_ROL] = emul_op_alu,
	[OP_ROR] = emul_op_alu, [OP_RCL] = emul_op_alu, [OP_RCR] = emul_op_alu,
	[OP_CMP] = emul_op_cmp, [OP_TEST] = emul_op_cmp,
	[OP_INC] = emul_op_alu_unary, [OP_DEC] = emul_op_alu_unary, [OP_NOT] = emul_op_alu_unary,
	[OP_NEG] = emul_op_alu_unary,
	[OP_MOV] = emul_op_mov, [OP_MOVZX] = emul_op_mov, [OP_MOVNTI] = emul_op_mov,
	[OP_MOVSX] = emul_op_movsx, [OP_MOVSXD] = emul_op_movsx, [OP_LEA] = emul_op_lea,
	[OP_BSWAP] = emul_op_bswap, [OP_XLAT] = emul_op_xlat, [OP_XCHG] = emul_op_xchg,
	[OP_XADD] = emul_op_xadd,
	[OP_CMPXCHG] = emul_op_cmpxchg, [OP_CMPXCHG8B] = emul_op_cmpxchg8b,
	[OP_CMPXCHG16B] = emul_op_cmpxchg8b,
	[OP_PUSH] = emul_op_push, [OP_POP] = emul_op_pop, [OP_PUSHA] = emul_op_pusha,
	[OP_POPA] = emul_op_popa,
	[OP_ENTER] = emul_op_enter, [OP_LEAVE] = emul_op_leave,
	[OP_SHLD] = emul_op_shld, [OP_SHRD] = emul_op_shld,
	[OP_BT] = emul_op_bt, [OP_BTS] = emul_op_bt, [OP_BTR] = emul_op_bt, [OP_BTC] = emul_op_bt,
	[OP_BSF] = emul_op_scan, [OP_BSR] = emul_op_scan, [OP_LZCNT] = emul_op_scan,
	[OP_TZCNT] = emul_op_scan,
	[OP_POPCNT] = emul_op_scan, [OP_BLSI] = emul_op_scan, [OP_BLSMSK] = emul_op_scan,
	[OP_BLSR] = emul_op_scan,
	[OP_MUL] = emul_op_mul, [OP_IMUL1] = emul_op_mul, [OP_IMUL] = emul_op_imul,
	[OP_DIV] = emul_op_div, [OP_IDIV] = emul_op_div, [OP_CBW] = emul_op_cbw,
	[OP_CWD] = emul_op_cwd,
	[OP_SETCC] = emul_op_setcc, [OP_CMOVCC] = emul_op_cmovcc,
	[OP_LAHF] = emul_op_lahf, [OP_SAHF] = emul_op_sahf, [OP_SALC] = emul_op_salc,
	[OP_CLC] = emul_op_flag, [OP_STC] = emul_op_flag, [OP_CMC] = emul_op_flag,
	[OP_CLD] = emul_op_flag,
	[OP_STD] = emul_op_flag,
	[OP_AAA] = emul_op_bcd, [OP_AAS] = emul_op_bcd, [OP_DAA] = emul_op_bcd,
	[OP_DAS] = emul_op_bcd,
	[OP_AAM] = emul_op_bcd, [OP_AAD] = emul_op_bcd,
	[OP_NOP] = emul_op_nop, [OP_PAUSE] = emul_op_nop, [OP_ENDBR] = emul_op_nop,
	[OP_PREFETCHNTA] = emul_op_prefetch, [OP_PREFETCHT0] = emul_op_prefetch,
	[OP_PREFETCHT1] = emul_op_prefetch,
	[OP_PREFETCHT2] = emul_op_prefetch, [OP_PREFETCH] = emul_op_prefetch,
	[OP_PREFETCHW] = emul_op_prefetch,
	[OP_MOVBE] = emul_op_movbe, [OP_CRC32] = emul_op_crc32, [OP_ADCX] = emul_op_adx,
	[OP_ADOX] = emul_op_adx,
	[OP_ANDN] = emul_op_vex3, [OP_BEXTR] = emul_op_vex3, [OP_BZHI] = emul_op_vex3,
	[OP_PDEP] = emul_op_vex3,
	[OP_PEXT] = emul_op_vex3, [OP_SARX] = emul_op_vex3, [OP_SHLX] = emul_op_vex3,
	[OP_SHRX] = emul_op_vex3,
	[OP_MULX] = emul_op_mulx, [OP_RORX] = emul_op_rorx,
	[OP_LFENCE] = emul_op_nop, [OP_MFENCE] = emul_op_nop, [OP_SFENCE] = emul_op_nop,
	[OP_RDRAND] = emul_op_random, [OP_RDSEED] = emul_op_random,

	[OP_JCC] = emul_op_jcc, [OP_JMP] = emul_op_jmp, [OP_JMP_IND] = emul_op_jmp_ind,
	[OP_CALL] = emul_op_call,
	[OP_CALL_IND] = emul_op_call_ind, [OP_RET] = emul_op_ret, [OP_LOOP] = emul_op_loop,
	[OP_LOOPE] = emul_op_loop, [OP_LOOPNE] = emul_op_loop, [OP_JCXZ] = emul_op_jcxz,

	[OP_MOVS] = emul_op_movs, [OP_CMPS] = emul_op_cmps, [OP_STOS] = emul_op_stos,
	[OP_LODS] = emul_op_lods,
	[OP_SCAS] = emul_op_scas, [OP_INS] = emul_op_ins, [OP_OUTS] = emul_op_outs,
	[OP_IN] = emul_op_in,
	[OP_OUT] = emul_op_out,

	[OP_PUSHF] = emul_op_pushf, [OP_POPF] = emul_op_popf, [OP_CLI] = emul_op_cli,
	[OP_STI] = emul_op_sti,
	[OP_PUSH_SREG] = emul_op_push_sreg, [OP_POP_SREG] = emul_op_pop_sreg,
	[OP_MOV_FROM_SREG] = emul_op_mov_from_sreg, [OP_MOV_TO_SREG] = emul_op_mov_to_sreg,
	[OP_LES] = emul_op_lds, [OP_LDS] = emul_op_lds, [OP_LSS] = emul_op_lds,
	[OP_LFS] = emul_op_lds,
	[OP_LGS] = emul_op_lds,
	[OP_CALLF] = emul_op_callf, [OP_JMPF] = emul_op_jmpf, [OP_RETF] = emul_op_retf,
	[OP_INT] = emul_op_int, [OP_INT3] = emul_op_int3, [OP_INT1] = emul_op_int1,
	[OP_INTO] = emul_op_into,
	[OP_IRET] = emul_op_iret, [OP_BOUND] = emul_op_bound, [OP_ARPL] = emul_op_arpl,
	[OP_UD0] = emul_op_ud, [OP_UD1] = emul_op_ud, [OP_UD2] = emul_op_ud, [OP_RSM] = emul_op_rsm,
	[OP_HLT] = emul_op_hlt, [OP_SYSCALL] = emul_op_syscall, [OP_SYSRET] = emul_op_sysret,
	[OP_SYSENTER] = emul_op_sysenter, [OP_SYSEXIT] = emul_op_sysexit,
	[OP_SWAPGS] = emul_op_swapgs,
	[OP_CPUID] = emul_op_cpuid, [OP_RDTSC] = emul_op_rdtsc, [OP_RDTSCP] = emul_op_rdtsc,
	[OP_RDPMC] = emul_op_rdpmc, [OP_RDMSR] = emul_op_rdmsr, [OP_WRMSR] = emul_op_wrmsr,
	[OP_RDPID] = emul_op_rdpid,
	[OP_MOV_FROM_CR] = emul_op_mov_from_cr, [OP_MOV_TO_CR] = emul_op_mov_to_cr,
	[OP_MOV_FROM_DR] = emul_op_mov_from_dr, [OP_MOV_TO_DR] = emul_op_mov_to_dr,
	[OP_CLTS] = emul_op_clts, [OP_LMSW] = emul_op_lmsw, [OP_SMSW] = emul_op_smsw,
	[OP_LGDT] = emul_op_lgdt, [OP_LIDT] = emul_op_lgdt, [OP_SGDT] = emul_op_sgdt,
	[OP_SIDT] = emul_op_sgdt,
	[OP_LLDT] = emul_op_lldt, [OP_LTR] = emul_op_ltr, [OP_SLDT] = emul_op_sldt,
	[OP_STR] = emul_op_sldt,
	[OP_VERR] = emul_op_verr, [OP_VERW] = emul_op_verr, [OP_LAR] = emul_op_lar,
	[OP_LSL] = emul_op_lar,
	[OP_INVLPG] = emul_op_invlpg, [OP_INVPCID] = emul_op_invpcid,
	[OP_INVD] = emul_op_nop, [OP_WBINVD] = emul_op_nop, [OP_WBNOINVD] = emul_op_nop,
	[OP_CLAC] = emul_op_clac, [OP_STAC] = emul_op_clac,
	/* An idle loop that uses MWAIT polls: correct, as MWAIT may end for any reason. */
	[OP_MONITOR] = emul_op_nop, [OP_MWAIT] = emul_op_nop, [OP_MONITORX] = emul_op_nop,
	[OP_MWAITX] = emul_op_nop,
	[OP_XGETBV] = emul_op_xgetbv, [OP_XSETBV] = emul_op_xsetbv,
	[OP_RDPKRU] = emul_op_pkru, [OP_WRPKRU] = emul_op_pkru,
	[OP_RDFSBASE] = emul_op_fsgsbase, [OP_RDGSBASE] = emul_op_fsgsbase,
	[OP_WRFSBASE] = emul_op_fsgsbase, [OP_WRGSBASE] = emul_op_fsgsbase,
	[OP_CLFLUSH] = emul_op_clflush, [OP_CLFLUSHOPT] = emul_op_clflush,
	[OP_CLWB] = emul_op_clflush,
	[OP_CLZERO] = emul_op_clzero,
	[OP_VMCALL] = emul_op_vmcall, [OP_VMMCALL] = emul_op_vmcall,
	[OP_FXSAVE] = emul_op_xsave, [OP_FXRSTOR] = emul_op_xsave, [OP_XSAVE] = emul_op_xsave,
	[OP_XRSTOR] = emul_op_xsave, [OP_XSAVEOPT] = emul_op_xsave, [OP_XSAVEC] = emul_op_xsave,
	[OP_XSAVES] = emul_op_xsave, [OP_XRSTORS] = emul_op_xsave,
	[OP_XBEGIN] = emul_op_ud, [OP_XABORT] = emul_op_ud, [OP_XEND] = emul_op_ud,
	[OP_XTEST] = emul_op_ud,
	[OP_VMLAUNCH] = emul_op_ud, [OP_VMRESUME] = emul_op_ud, [OP_VMXOFF] = emul_op_ud,
	[OP_VMXON] = emul_op_ud,
	[OP_VMCLEAR] = emul_op_ud, [OP_VMPTRLD] = emul_op_ud, [OP_VMPTRST] = emul_op_ud,
	[OP_VMREAD] = emul_op_ud,
	[OP_VMWRITE] = emul_op_ud, [OP_VMFUNC] = emul_op_ud, [OP_INVEPT] = emul_op_ud,
	[OP_INVVPID] = emul_op_ud,
	[OP_VMRUN] = emul_op_ud, [OP_VMLOAD] = emul_op_ud, [OP_VMSAVE] = emul_op_ud,
	[OP_STGI] = emul_op_ud,
	[OP_CLGI] = emul_op_ud, [OP_SKINIT] = emul_op_ud, [OP_INVLPGA] = emul_op_ud,
};

int emul_raise(struct emul *e, unsigned int vector, u32 error)
{
	e->fault.vector = vector;
	e->fault.has_error = EXC_HAS_ERROR_CODE(vector) && x86_protected(e->st);
	e->fault.soft = false;
	e->fault.error = error;
	e->fault.cr2 = 0;
	e->fault.dr6 = 0;
	return -EFAULT;
}

/* Condition codes of Jcc, SETcc, CMOVcc. SDM 1 appendix B */
bool emul_cond(u64 f, unsigned int cc)
{
	bool sf_ne_of = !(f & X86_FLAG_SF) != !(f & X86_FLAG_OF);
	bool r;

	switch (cc >> 1) {
	case 0:
		r = f & X86_FLAG_OF;
		break;
	case 1:
		r = f & X86_FLAG_CF;
		break;
	case 2:
		r = f & X86_FLAG_ZF;
		break;
	case 3:
		r = f & (X86_FLAG_CF | X86_FLAG_ZF);
		break;
	case 4:
		r = f & X86_FLAG_SF;
		break;
	case 5:
		r = f & X86_FLAG_PF;
		break;
	case 6:
		r = sf_ne_of;
		break;
	default:
		r = sf_ne_of || (f & X86_FLAG_ZF);
		break;
	}
	return r != (cc & 1);
}

/* What of the scratch depends on the segments and the mode. */
void emul_mode_begin(struct emul *e)
{
	const struct x86_state *st = e->st;

	if (x86_64bit(st)) {
		e->mode = INSN_MODE_64;
		e->stack_size = 8;
	} else {
		e->mode = st->seg[X86_CS].attr & SEG_DB ? INSN_MODE_32 : INSN_MODE_16;
		e->stack_size = st->seg[X86_SS].attr & SEG_DB ? 4 : 2;
	}
	e->cpl = st->cpl;
	e->align_check = st->cpl == 3 && (st->cr0 & CR0_AM) && (st->rflags & X86_FLAG_AC);
}

/* Twice an instruction: four at a time, as one at a time is slow and a call of memcpy is as well. */
static void copy_gprs(u64 *to, const u64 *from)
{
	unsigned int i;

	static_assert(X86_NR_GPR % 4 == 0, "copied by fours");
	for (i = 0; i < X86_NR_GPR; i += 4) {
		u64 a = from[i], b = from[i + 1], c = from[i + 2], d = from[i + 3];

		to[i] = a;
		to[i + 1] = b;
		to[i + 2] = c;
		to[i + 3] = d;
	}
}

void emul_begin(struct emul *e)
{
	const struct x86_state *st = e->st;

	emul_mode_begin(e);
	e->retire = 0;
	e->db_trap = 0;
	copy_gprs(e->gpr, st->gpr);
	e->rip = st->rip;
	e->rflags = st->rflags;
}

#define DR6_BS	BIT_ULL(14)
/* flags that decide what memory may be accessed or how code decodes */
#define MODE_FLAGS (X86_FLAG_AC | X86_FLAG_VM | X86_FLAG_IOPL)

static void commit(struct emul *e, bool again)
{
	struct x86_state *st = e->st;
	u64 tf = (e->retire & RETIRE_NEW_TF ? e->rflags : st->rflags) & X86_FLAG_TF;

	copy_gprs(st->gpr, e->gpr);
	if (again) {
		/* an event taken here resumes the instruction without meeting its breakpoint
		 * again */
		e->rflags |= X86_FLAG_RF;
	} else {
		st->rip = e->rip;
		if (!(e->retire & RETIRE_KEEP_RF))
			e->rflags &= ~X86_FLAG_RF;
	}
	if (unlikely((st->rflags ^ e->rflags) & MODE_FLAGS))
		e->retire |= RETIRE_MODE;
	st->rflags = e->rflags | X86_FLAG_FIXED;
	st->shadow_sti = !!(e->retire & RETIRE_STI);
	st->shadow_movss = !!(e->retire & RETIRE_MOVSS);
	if (unlikely(tf) && !(e->retire & (RETIRE_NO_STEP | RETIRE_MOVSS | RETIRE_FAULTED)))
		e->db_trap |= DR6_BS;
	if (unlikely(e->retire & RETIRE_MODE) && e->ops->mode_changed)
		e->ops->mode_changed(e);
}

enum emul_result emul_end(struct emul *e, int r)
{
	if (likely(!r)) {
		commit(e, false);
		return EMUL_DONE;
	}
	switch (r) {
	case HANDLER_AGAIN:
		commit(e, true);
		return EMUL_AGAIN;
	case HANDLER_HLT:
		commit(e, false);
		e->st->halted = 1;
		return EMUL_HLT;
	case HANDLER_SHUTDOWN:
		return EMUL_SHUTDOWN;
	case -EFAULT:
		if (e->retire & RETIRE_FAULTED)
			commit(e, false);
		e->db_trap = 0;
		return EMUL_FAULT;
	case -EAGAIN:
		return EMUL_RETRY;
	default:
		return EMUL_UNHANDLED;
	}
}

static int run(struct emul *e)
{
	const struct insn *i = &e->insn;
	const struct x86_state *st = e->st;
	emul_fn fn;

	e->rip += i->len;
	if (e->mode != INSN_MODE_64)
		e->rip = (u32)e->rip;
	if (unlikely((i->attr & INSN_NO_REAL) &&
		     (!x86_protected(st) || (st->rflags & X86_FLAG_VM))))
		return emul_ud(e);
	if (i->feature != FEAT_BASE && !e->ops->has_feature(e, i->feature))
		return emul_ud(e);
	if (unlikely((i->attr & INSN_CPL0) && st->cpl))
		return emul_gp(e, 0);
	if (i->has_mem)
		emul_compute_ea(e);
	if (i->attr & (INSN_FPU | INSN_VECTOR))
		return emul_op_vector(e);
	fn = handlers[i->op < OP_NR ? i->op : OP_INVALID];
	return fn ? fn(e) : -ENOSYS;
}

enum emul_result emul_exec(struct emul *e)
{
	emul_begin(e);
	return emul_end(e, run(e));
}

/* Are these the bytes that insn was decoded from? Both arrays have at least 15 bytes. */
static bool same_bytes(const struct insn *insn, const u8 *bytes)
{
	u64 a, b, mask;

	__builtin_memcpy(&a, insn->bytes, 8);
	__builtin_memcpy(&b, bytes, 8);
	mask = insn->len >= 8 ? ~0UL : BIT(insn->len * 8) - 1;
	if ((a ^ b) & mask)
		return false;
	if (insn->len <= 8)
		return true;
	__builtin_memcpy(&a, insn->bytes + insn->len - 8, 8);
	__builtin_memcpy(&b, bytes + insn->len - 8, 8);
	return a == b;
}

static int decode(struct emul *e, gva_t lin, const u8 *bytes, unsigned int have)
{
	unsigned int i = (lin ^ lin >> 6) % EMUL_CACHE_SIZE;
	int r;

	if (e->cache && e->cache->entry[i].mode == e->mode + 1 &&
	    e->cache->entry[i].insn.len <= have && same_bytes(&e->cache->entry[i].insn, bytes)) {
		e->insn = e->cache->entry[i].insn;
		return DECODE_OK;
	}
	r = insn_decode(&e->insn, bytes, have, e->mode);
	if (e->cache && r == DECODE_OK) {
		e->cache->entry[i].mode = e->mode + 1;
		e->cache->entry[i].insn = e->insn;
	}
	return r;
}

/* Fetch and decode at CS:RIP. The bytes after the segment's limit are not there: #GP(0). */
static int fetch(struct emul *e)
{
	const struct x86_state *st = e->st;
	unsigned int have = 0, want = INSN_MAX_LEN;
	u8 bytes[INSN_MAX_LEN] = { 0 };
	gva_t lin;
	int r;

	if (e->mode == INSN_MODE_64) {
		lin = st->rip;
		if (unlikely(!x86_canonical(lin)))
			return emul_gp(e, 0);
	} else {
		const struct x86_seg *cs = &st->seg[X86_CS];

		if (unlikely((u32)st->rip > cs->limit))
			return emul_gp(e, 0);
		want = min_t(u64, want, (u64)cs->limit - (u32)st->rip + 1);
		lin = (u32)(cs->base + st->rip);
	}
	if (unlikely(st->dr7 & 0xff) && !(st->rflags & X86_FLAG_RF)) {
		u64 hits = emul_breakpoints(e, lin, 1, 0);

		if (hits) {
			emul_raise(e, EXC_DB, 0);
			e->fault.dr6 = hits;
			return -EFAULT;
		}
	}
	for (;;) {
		gva_t at = lin + have;

		if (e->mode != INSN_MODE_64)
			at = (u32)at;
		else if (unlikely(!x86_canonical(at)))
			return emul_gp(e, 0);
		r = e->ops->fetch(e, at, bytes + have, want - have);
		if (unlikely(r <= 0))
			return r ? r : -EIO;
		have += min_t(unsigned int, r, want - have);
		r = decode(e, lin, bytes, have);
		if (likely(r == DECODE_OK))
			return 0;
		if (r == DECODE_UD)
			return emul_ud(e);
		if (r != DECODE_MORE || have == want)
			return emul_gp(e, 0);
	}
}

enum emul_result emul_step(struct emul *e)
{
	int r;

	emul_begin(e);
	r = fetch(e);
	if (likely(!r))
		r = run(e);
	return emul_end(e, r);
}
