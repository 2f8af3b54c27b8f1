// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * decode_zydis.c - the decoder against Zydis: validity, length, mnemonic, operands, memory operand,
 * immediates, flags and privilege, over every prefix set x opcode x ModRM in all modes, and over
 * random bytes.
 *
 * usage: decode_zydis [COUNT]    random cases per mode; from 1,000,000 on the structured part is run in full
 *
 * Where the two differ on purpose a row of the lists below says so, and why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <Zydis/Zydis.h>
#include "x86/decode/decode.h"

#define FLAGS_COMPARED	(X86_FLAGS_ARITH | X86_FLAG_DF)

static ZydisDecoder zydis[3];
static unsigned long cases, both_valid, differences, allowed;

/* ---- what is allowed to differ --------------------------------------------------------------- */

/*
 * Instruction sets no supported CPU offers, or that are decoded as the NOPs they are without the
 * feature.
 */
static const ZydisISASet not_offered[] = {
	ZYDIS_ISA_SET_AMD3DNOW, ZYDIS_ISA_SET_AMD_INVLPGB, ZYDIS_ISA_SET_AMX_BF16,
	ZYDIS_ISA_SET_AMX_INT8,
	ZYDIS_ISA_SET_AMX_TILE, ZYDIS_ISA_SET_AVX512BW_KOP, ZYDIS_ISA_SET_AVX512DQ_KOP,
	ZYDIS_ISA_SET_AVX512F_KOP,
	ZYDIS_ISA_SET_AVX_VNNI, ZYDIS_ISA_SET_CET, ZYDIS_ISA_SET_ENQCMD, ZYDIS_ISA_SET_FMA4,
	ZYDIS_ISA_SET_HRESET,
	ZYDIS_ISA_SET_KEYLOCKER, ZYDIS_ISA_SET_KEYLOCKER_WIDE, ZYDIS_ISA_SET_LWP,
	ZYDIS_ISA_SET_MCOMMIT,
	ZYDIS_ISA_SET_MOVDIR, ZYDIS_ISA_SET_MPX, ZYDIS_ISA_SET_PADLOCK_ACE,
	ZYDIS_ISA_SET_PADLOCK_PHE,
	ZYDIS_ISA_SET_PADLOCK_PMM, ZYDIS_ISA_SET_PADLOCK_RNG, ZYDIS_ISA_SET_PCONFIG,
	ZYDIS_ISA_SET_PT,
	ZYDIS_ISA_SET_RDPRU, ZYDIS_ISA_SET_SERIALIZE, ZYDIS_ISA_SET_SGX, ZYDIS_ISA_SET_SGX_ENCLV,
	ZYDIS_ISA_SET_SMX,
	ZYDIS_ISA_SET_SNP, ZYDIS_ISA_SET_TBM, ZYDIS_ISA_SET_TDX, ZYDIS_ISA_SET_TSX_LDTRK,
	ZYDIS_ISA_SET_UINTR,
	ZYDIS_ISA_SET_WAITPKG, ZYDIS_ISA_SET_XOP, ZYDIS_ISA_SET_CLDEMOTE, ZYDIS_ISA_SET_PREFETCHWT1,
	/* Knights Corner: Debian's Zydis 4.0.0 decodes it whatever ZydisDecoderEnableMode() was
	 * told */
	ZYDIS_ISA_SET_KNCE, ZYDIS_ISA_SET_KNCJKBR, ZYDIS_ISA_SET_KNCSTREAM, ZYDIS_ISA_SET_KNCV,
	ZYDIS_ISA_SET_KNC_MISC,
	ZYDIS_ISA_SET_KNC_PF_HINT,
};

static bool is_offered(const ZydisDecodedInstruction *z)
{
	unsigned int i;

	if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
	    z->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX ||
	    z->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
	    z->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW)
		return false;
	for (i = 0; i < ARRAY_SIZE(not_offered); i++)
		if (z->meta.isa_set == not_offered[i])
			return false;
	return true;
}

/* Ours, theirs: one mnemonic with us, several with Zydis (by size, or an undocumented alias). */
static const struct { const char *ours, *theirs; } aliases[] = {
	{ "callf", "call" }, { "call_ind", "call" }, { "jmp_ind", "jmp" }, { "jmpf", "jmp" }, { "retf", "ret" }, { "imul1", "imul" }, { "cbw", "cwde" },
	{ "cbw", "cdqe" }, { "cwd", "cdq" }, { "cwd", "cqo" }, { "iret", "iretd" }, { "iret", "iretq" },
	{ "pushf", "pushfd" }, { "pushf", "pushfq" }, { "popf", "popfd" }, { "popf", "popfq" },
	{ "pusha", "pushad" }, { "popa", "popad" }, { "jcxz", "jecxz" }, { "jcxz", "jrcxz" },
	{ "push_sreg", "push" }, { "pop_sreg", "pop" }, { "mov_from_sreg", "mov" }, { "mov_to_sreg", "mov" },
	{ "mov_from_cr", "mov" }, { "mov_to_cr", "mov" }, { "mov_from_dr", "mov" }, { "mov_to_dr", "mov" },
	{ "fcmovcc", "fcmovb" }, { "fcmovcc", "fcmovnb" }, { "fcmovcc", "fcmovbe" }, { "fcmovcc", "fcmovnbe" },
	{ "fcmovcc", "fcmove" }, { "fcmovcc", "fcmovne" }, { "fcmovcc", "fcmovu" }, { "fcmovcc", "fcmovnu" },
	{ "fnop", "feni8087_nop" }, { "fnop", "fdisi8087_nop" }, { "fnop", "fsetpm287_nop" }, { "fstp", "fstpnce" },
	{ "movd", "movq" }, { "vmovd", "vmovq" }, { "pextrd", "pextrq" }, { "pinsrd", "pinsrq" },
	{ "vpextrd", "vpextrq" }, { "vpinsrd", "vpinsrq" }, { "endbr", "endbr32" }, { "endbr", "endbr64" },
	{ "fxsave", "fxsave64" }, { "fxrstor", "fxrstor64" }, { "xsave", "xsave64" }, { "xrstor", "xrstor64" },
	{ "xsaveopt", "xsaveopt64" }, { "xsavec", "xsavec64" }, { "xsaves", "xsaves64" },
	{ "xrstors", "xrstors64" },
};

/*
 * Differences on purpose, by the comparison that finds them and Zydis's mnemonic (* and ? as in a
 * shell). "host" means: tried on the CPU the tests were written on (Zen 3).
 */
static const struct { const char *what, *name, *why; } on_purpose[] = {
	{ "mnemonic", "pause", "F3 with REX.B is XCHG r8 (host)" },
	{ "register operand added", "pause", "the same" },
	{ "only theirs", "nop", "0F 0D with a register: #UD by AMD (host), a NOP by Intel" },
	{ "not offered, ours", "prefetchwt1", "0F 0D /2: a PREFETCHW on CPUs without it" },
	{ "only ours", "nop", "0F 1A and 1B with 16-bit addresses: MPX to Zydis, NOPs without it (host)" },
	{ "only theirs", "vpextrd", "VEX.W1 outside 64-bit mode: #UD (host)" },
	{ "only theirs", "vpinsrd", "the same" },
	{ "mnemonic", "wbinvd", "F3 0F 09 is WBNOINVD, which Debian's Zydis 4.0.0 does not know whatever it was told" },
	{ "register operand missing", "nop", "hint NOPs have one operand" },
	{ "register size", "lsl", "16 bits of the source are used" },
	{ "register size", "movsxd", "with 66 the source has 32 bits (host), of which 16 are kept" },
	{ "flags written", "vm*", "Zydis lists what the entered guest's RFLAGS may bring" },
	{ "flags written", "vptest", "Zydis forgets that OF, AF, PF and SF are cleared, unlike for PTEST" },
	{ "flags written", "vtestp*", "the same" },
	{ "register access", "movhp*", "the other half is kept: read and written" },
	{ "register access", "movlhps", "the same" },
	{ "register access", "extrq", "the destination is the source too (APM 4)" },
	{ "register access", "insertq", "the same" },
	{ "flags read", "cmps*", "Zydis counts ZF, which repetition tests after each iteration wrote it" },
	{ "flags read", "scas*", "the same" },
	{ "flags read", "int*", "the whole of RFLAGS is pushed" },
	{ "flags read", "syscall", "the whole of RFLAGS goes to R11" },
	{ "flags written", "mov", "to and from CR and DR: undefined by the SDM" },
	{ "memory size", "fxsave*", "512 bytes do not fit mem_size: 0, as for the XSAVE family" },
	{ "memory size", "fxrstor*", "the same" },
	{ "memory size", "xsave*", "the area's size is not fixed" },
	{ "memory size", "xrstor*", "the same" },
	{ "memory size", "cl*", "cache line operations and hints access no data" },
	{ "memory size", "prefetch*", "the same" },
	{ "memory size", "invlpg", "the same" },
	{ "memory size", "nop", "the same" },
	{ "register size", "nop", "the same" },
	{ "privilege", "lgdt", "missing in Zydis" },
	{ "privilege", "*gi", "SVM's CLGI and STGI: missing in Zydis" },
	{ "privilege", "vm*", "the same for VMRUN, VMLOAD, VMSAVE" },
	{ "privilege", "skinit", "the same" },
	{ "register access", "bs*", "the destination keeps its value if the source is 0: read and written" },
	{ "register access", "cmov*", "the same, if the condition is false" },
	{ "register access", "lar", "the same, if the selector is bad" },
	{ "alignment", "movups", "unaligned access is what they are for; Zydis names the class of their neighbours" },
	{ "alignment", "movupd", "the same" },
	{ "alignment", "movdqu", "the same" },
	{ "alignment", "lddqu", "the same" },
	{ "alignment", "pcmp?str*", "no alignment check (SDM 2B PCMPESTRI)" },
	{ "alignment", "cvtpd2pi", "128 bits, aligned (SDM 3B table 23-4)" },
	{ "alignment", "cvttpd2pi", "the same" },
	{ "conditional branch", "xbegin", "TSX is no near branch" },
	{ "conditional branch", "xend", "the same" },
	{ "feature", "f*comi*", "CPUID.CMOV (SDM 2A FCOMI); to Zydis older than that" },
	{ "feature", "cmpxchg8b", "CPUID.CX8; no set of its own with Zydis" },
	{ "feature", "rdmsr", "CPUID.MSR, as above" },
	{ "feature", "wrmsr", "the same" },
	{ "feature", "rdtsc", "CPUID.TSC, as above" },
	{ "feature", "sys*", "CPUID.SEP, SYSCALL, as above" },
	{ "feature", "prefetch*", "CPUID.3DNOWPREFETCH, as above" },
	{ "feature", "vm*call", "a hypercall on any vendor's virtual CPU" },
	{ "feature", "vpclmulqdq", "the 128-bit form needs PCLMULQDQ (and AVX)" },
	{ "feature", "wbinvd", "WBNOINVD, as above" },
	{ "operand size", "nop", "hint NOPs have no operand size" },
	{ "operand size", "ad?x", "66 or F3 is part of the opcode, or 66 is ignored" },
	{ "operand size", "crc32", "the source's size counts" },
	{ "operand size", "da?", "AL's operations: 1" },
	{ "operand size", "salc", "the same" },
	{ "operand size", "xlat", "the same" },
	{ "operand size", "?ahf", "the same" },
	{ "x87", "fisttp", "SSE3 is FISTTP's feature, its family x87" },
	{ "register access", "cvtsi2s*", "the kept upper part is not counted as read, as for other scalar results" },
};

static bool name_matches(const char *pat, const char *name)
{
	for (; *pat; pat++, name++) {
		if (*pat == '*') {
			if (!pat[1])
				return true;
			for (; *name; name++)
				if (name_matches(pat + 1, name))
					return true;
			return false;
		}
		if (!*name || (*pat != '?' && *pat != *name))
			return false;
	}
	return !*name;
}

static bool is_on_purpose(const char *what, const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(on_purpose); i++)
		if (!strcmp(on_purpose[i].what, what) && name_matches(on_purpose[i].name, name))
			return true;
	return false;
}

/* ---- comparison ------------------------------------------------------------------------------ */

struct seen {
	char what[32];
	char name[32];
	unsigned long count;
	u8 bytes[15];
	unsigned int len;
	int mode;
};
static struct seen seen[400];
static unsigned int nr_seen;

static void differ(const char *what, const char *name, const u8 *bytes, unsigned int len, int mode)
{
	unsigned int i;

	if (is_on_purpose(what, name)) {
		allowed++;
		return;
	}
	differences++;
	for (i = 0; i < nr_seen; i++)
		if (!strcmp(seen[i].what, what) && !strcmp(seen[i].name, name)) {
			seen[i].count++;
			return;
		}
	if (nr_seen == ARRAY_SIZE(seen))
		return;
	snprintf(seen[i].what, sizeof(seen[i].what), "%s", what);
	snprintf(seen[i].name, sizeof(seen[i].name), "%s", name);
	seen[i].count = 1;
	seen[i].len = len;
	seen[i].mode = mode;
	memcpy(seen[i].bytes, bytes, 15);
	nr_seen++;
}

static const char *our_mnemonic(const struct insn *insn)
{
	static char text[128];
	char *name = text, *end;

	insn_format(text, sizeof(text), insn, 0);
	if (!strncmp(name, "lock ", 5))
		name += 5;
	if (!strncmp(name, "rep ", 4))
		name += 4;
	if (!strncmp(name, "repne ", 6))
		name += 6;
	end = strchr(name, ' ');
	if (end)
		*end = 0;
	return name;
}

static bool same_mnemonic(const struct insn *insn, const ZydisDecodedInstruction *z)
{
	const char *ours = our_mnemonic(insn), *theirs = ZydisMnemonicGetString(z->mnemonic);
	unsigned int i;

	if (!strcmp(ours, theirs))
		return true;
	for (i = 0; i < ARRAY_SIZE(aliases); i++)
		if (!strcmp(ours, aliases[i].ours) && !strcmp(theirs, aliases[i].theirs))
			return true;
	return false;
}

static int gpr_number(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return INSN_BASE_NONE;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return INSN_BASE_RIP;
	return ZydisRegisterGetId(reg);
}

static const char *compare_mem(const struct insn *insn, const ZydisDecodedInstruction *z,
			       const ZydisDecodedOperand *op)
{
	u64 mask = insn->addrsize == 8 ? ~0ULL : (1ULL << insn->addrsize * 8) - 1;
	unsigned int access = 0;
	bool agen = op->mem.type == ZYDIS_MEMOP_TYPE_AGEN || op->mem.type == ZYDIS_MEMOP_TYPE_MIB;

	if (!insn->has_mem)
		return "memory operand";
	if (insn->addrsize * 8 != z->address_width)
		return "address size";
	/* Zydis 4.0.0 takes base 5 without displacement for R13D if REX.B is set (SDM 2A table 2-3:
	 * it is not) */
	if (insn->addrsize == 4 && op->mem.base == ZYDIS_REGISTER_R13D &&
	    insn->base == INSN_BASE_NONE && insn->modrm < 0x40)
		return NULL;
	if (gpr_number(op->mem.base) != insn->base)
		return "base";
	if (gpr_number(op->mem.index) != insn->index)
		return "index";
	if (insn->index != INSN_BASE_NONE && op->mem.scale != 1 << insn->scale)
		return "scale";
	/* 3E is NOTRACK to Zydis where CET has it, so that an earlier FS or GS stays */
	if (op->mem.segment != ZYDIS_REGISTER_NONE &&
	    ZydisRegisterGetId(op->mem.segment) != insn->seg && !agen &&
	    !(z->attributes & ZYDIS_ATTRIB_HAS_NOTRACK))
		return "segment";
	if (((u64)op->mem.disp.value ^ (u64)insn->disp) & mask)
		return "displacement";
	if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
		return insn->mem_size || !(insn->attr & INSN_VSIB) ? "VSIB" : NULL;
	if (insn->mem_size != (agen ? 0 : op->size / 8))
		return "memory size";
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		access |= OPND_R;
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		access |= OPND_W;
	if (access != insn->mem_access && !agen)
		return "memory access";
	return NULL;
}

static unsigned int kind_of(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8: case ZYDIS_REGCLASS_GPR16: case ZYDIS_REGCLASS_GPR32: case ZYDIS_REGCLASS_GPR64:
		return OPND_GPR;
	case ZYDIS_REGCLASS_X87:
		return OPND_ST;
	case ZYDIS_REGCLASS_MMX:
		return OPND_MMX;
	case ZYDIS_REGCLASS_XMM: case ZYDIS_REGCLASS_YMM:
		return OPND_VEC;
	case ZYDIS_REGCLASS_SEGMENT:
		return OPND_SREG;
	case ZYDIS_REGCLASS_CONTROL:
		return OPND_CR;
	case ZYDIS_REGCLASS_DEBUG:
		return OPND_DR;
	default:
		return OPND_NONE;
	}
}

static const char *compare_reg(const struct insn *insn, const struct opnd *o,
			       const ZydisDecodedOperand *op)
{
	unsigned int access = 0, id = ZydisRegisterGetId(op->reg.value), size = op->size / 8;

	if (o->kind != kind_of(op->reg.value))
		return "register kind";
	if (o->kind == OPND_GPR && ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_GPR8) {
		/* Zydis counts AL CL DL BL AH CH DH BH SPL BPL SIL DIL R8B ... */
		bool high = op->reg.value >= ZYDIS_REGISTER_AH &&
			    op->reg.value <= ZYDIS_REGISTER_BH;

		id = op->reg.value - ZYDIS_REGISTER_AL;
		if (id >= 8)
			id -= 4;
		if (high)
			id = op->reg.value - ZYDIS_REGISTER_AH;
		if (high != o->high8)
			return "high byte register";
	}
	if (o->reg != id)
		return "register number";
	/* of vector registers Zydis tells the part that is used, with many inconsistencies: compare
	 * XMM or YMM */
	if (o->kind == OPND_VEC ? (o->size == 32) != (ZydisRegisterGetClass(op->reg.value) ==
						      ZYDIS_REGCLASS_YMM)
				: o->size != size && o->kind != OPND_SREG && o->kind != OPND_MMX)
		return "register size";
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		access |= OPND_R;
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		access |= OPND_W;
	if (access != o->access)
		return "register access";
	return NULL;
}

static const struct opnd *by_field(const struct insn *insn, unsigned int field)
{
	unsigned int i;

	for (i = 0; i < insn->nr_opnd; i++)
		if (insn->opnd[i].field == field)
			return &insn->opnd[i];
	return NULL;
}

static const char *compare_imm(const struct insn *insn, const ZydisDecodedOperand *op,
			       unsigned int nth, const ZydisDecodedInstruction *z)
{
	u64 ours = nth ? insn->imm2 : insn->imm;
	unsigned int size = op->size / 8;

	if (!nth && insn->imm_size != z->raw.imm[0].size / 8)
		return "immediate's encoded size";
	if (!nth && insn->imm_off != z->raw.imm[0].offset)
		return "immediate's place";
	if (size < 8 ? (ours ^ op->imm.value.u) & ((1ULL << size * 8) - 1)
		     : ours != op->imm.value.u)
		return "immediate";
	return NULL;
}

static const char *compare_operands(const struct insn *insn, const ZydisDecodedInstruction *z,
				    const ZydisDecodedOperand *ops)
{
	static const u8 field_of[ZYDIS_OPERAND_ENCODING_MAX_VALUE + 1] = {
		[ZYDIS_OPERAND_ENCODING_MODRM_REG] = FIELD_REG,
		[ZYDIS_OPERAND_ENCODING_MODRM_RM] = FIELD_RM,
		[ZYDIS_OPERAND_ENCODING_OPCODE] = FIELD_OPCODE,
		[ZYDIS_OPERAND_ENCODING_NDSNDD] = FIELD_VVVV,
		[ZYDIS_OPERAND_ENCODING_IS4] = FIELD_IMM4,
	};
	unsigned int i, imms = 0, fields = 0;
	bool mem = false;
	const char *why;

	for (i = 0; i < z->operand_count; i++) {
		const ZydisDecodedOperand *op = &ops[i];
		const struct opnd *o;

		why = NULL;
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			mem = true;
			why = compare_mem(insn, z, op);
		} else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && field_of[op->encoding]) {
			o = by_field(insn, field_of[op->encoding]);
			fields |= 1u << field_of[op->encoding];
			why = o ? compare_reg(insn, o, op) : "register operand missing";
		} else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
			   op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			why = compare_imm(insn, op, imms++, z);
		}
		if (why)
			return why;
	}
	if (mem != insn->has_mem)
		return "memory operand";
	for (i = 0; i < insn->nr_opnd; i++)
		if (insn->opnd[i].field && !(fields & 1u << insn->opnd[i].field))
			return "register operand added";
	return NULL;
}

static const char *compare_flags(const struct insn *insn, const ZydisDecodedInstruction *z)
{
	static const ZydisAccessedFlags none;
	const ZydisAccessedFlags *f = z->cpu_flags ? z->cpu_flags : &none;

	bool zero_count = (insn->family == FAM_INT && insn->nr_opnd && !insn->flags_written &&
			   !insn->flags_maybe && insn->opnd[insn->nr_opnd - 1].kind == OPND_IMM &&
			   !(insn->imm & (insn->opsize == 8 ? 63 : 31)));

	/* a shift by an immediate that counts as 0 leaves the flags alone; Zydis does not look */
	if (zero_count)
		return NULL;
	if ((insn->flags_read ^ f->tested) & FLAGS_COMPARED)
		return "flags read";
	if (((insn->flags_written | insn->flags_maybe) ^
	     (f->modified | f->set_0 | f->set_1 | f->undefined)) &
	    FLAGS_COMPARED)
		return "flags written";
	return NULL;
}

/* Features by Zydis's instruction set; sets that are not named are FEAT_BASE. */
static const u8 feature_of[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
	[ZYDIS_ISA_SET_ADOX_ADCX] = FEAT_ADX, [ZYDIS_ISA_SET_AES] = FEAT_AES,
	[ZYDIS_ISA_SET_AVX] = FEAT_AVX,
	[ZYDIS_ISA_SET_AVX2] = FEAT_AVX2, [ZYDIS_ISA_SET_AVX2GATHER] = FEAT_AVX2,
	[ZYDIS_ISA_SET_AVXAES] = FEAT_AES,
	[ZYDIS_ISA_SET_AVX_GFNI] = FEAT_GFNI, [ZYDIS_ISA_SET_BMI1] = FEAT_BMI1,
	[ZYDIS_ISA_SET_BMI2] = FEAT_BMI2,
	[ZYDIS_ISA_SET_CLFLUSHOPT] = FEAT_CLFLUSHOPT, [ZYDIS_ISA_SET_CLFSH] = FEAT_CLFLUSH,
	[ZYDIS_ISA_SET_CLWB] = FEAT_CLWB, [ZYDIS_ISA_SET_CLZERO] = FEAT_CLZERO,
	[ZYDIS_ISA_SET_CMOV] = FEAT_CMOV,
	[ZYDIS_ISA_SET_CMPXCHG16B] = FEAT_CX16, [ZYDIS_ISA_SET_F16C] = FEAT_F16C,
	[ZYDIS_ISA_SET_FCMOV] = FEAT_CMOV,
	[ZYDIS_ISA_SET_FMA] = FEAT_FMA, [ZYDIS_ISA_SET_FXSAVE] = FEAT_FXSR,
	[ZYDIS_ISA_SET_FXSAVE64] = FEAT_FXSR,
	[ZYDIS_ISA_SET_GFNI] = FEAT_GFNI, [ZYDIS_ISA_SET_INVPCID] = FEAT_INVPCID,
	[ZYDIS_ISA_SET_LZCNT] = FEAT_LZCNT,
	[ZYDIS_ISA_SET_MONITOR] = FEAT_MONITOR, [ZYDIS_ISA_SET_MONITORX] = FEAT_MONITOR,
	[ZYDIS_ISA_SET_MOVBE] = FEAT_MOVBE, [ZYDIS_ISA_SET_PCLMULQDQ] = FEAT_PCLMUL,
	[ZYDIS_ISA_SET_PENTIUMMMX] = FEAT_MMX, [ZYDIS_ISA_SET_PKU] = FEAT_PKU,
	[ZYDIS_ISA_SET_POPCNT] = FEAT_POPCNT,
	[ZYDIS_ISA_SET_RDPID] = FEAT_RDPID, [ZYDIS_ISA_SET_RDRAND] = FEAT_RDRAND,
	[ZYDIS_ISA_SET_RDSEED] = FEAT_RDSEED,
	[ZYDIS_ISA_SET_RDTSCP] = FEAT_RDTSCP, [ZYDIS_ISA_SET_RDWRFSGS] = FEAT_FSGSBASE,
	[ZYDIS_ISA_SET_RTM] = FEAT_HLE_RTM, [ZYDIS_ISA_SET_SHA] = FEAT_SHA,
	[ZYDIS_ISA_SET_SMAP] = FEAT_SMAP,
	[ZYDIS_ISA_SET_SSE] = FEAT_SSE, [ZYDIS_ISA_SET_SSE2] = FEAT_SSE2,
	[ZYDIS_ISA_SET_SSE2MMX] = FEAT_SSE2,
	[ZYDIS_ISA_SET_SSE3] = FEAT_SSE3, [ZYDIS_ISA_SET_SSE3X87] = FEAT_SSE3,
	[ZYDIS_ISA_SET_SSE4] = FEAT_SSE41,
	[ZYDIS_ISA_SET_SSE42] = FEAT_SSE42, [ZYDIS_ISA_SET_SSE4A] = FEAT_SSE4A,
	[ZYDIS_ISA_SET_SSEMXCSR] = FEAT_SSE,
	[ZYDIS_ISA_SET_SSE_PREFETCH] = FEAT_SSE, [ZYDIS_ISA_SET_SSSE3] = FEAT_SSSE3,
	[ZYDIS_ISA_SET_SSSE3MMX] = FEAT_SSSE3, [ZYDIS_ISA_SET_SVM] = FEAT_SVM,
	[ZYDIS_ISA_SET_VAES] = FEAT_VAES,
	[ZYDIS_ISA_SET_VMFUNC] = FEAT_VMX, [ZYDIS_ISA_SET_VPCLMULQDQ] = FEAT_VPCLMUL,
	[ZYDIS_ISA_SET_VTX] = FEAT_VMX,
	[ZYDIS_ISA_SET_X87] = FEAT_X87, [ZYDIS_ISA_SET_XSAVE] = FEAT_XSAVE,
	[ZYDIS_ISA_SET_XSAVEC] = FEAT_XSAVEC,
	[ZYDIS_ISA_SET_XSAVEOPT] = FEAT_XSAVEOPT, [ZYDIS_ISA_SET_XSAVES] = FEAT_XSAVES,
};

static const char *compare_attributes(const struct insn *insn, const ZydisDecodedInstruction *z)
{
	bool aligned = z->meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE1 ||
		       z->meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE2 ||
		       z->meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE4 ||
		       z->meta.exception_class == ZYDIS_EXCEPTION_CLASS_AVX1;
	unsigned int category = z->meta.category;

	if (!(insn->attr & INSN_CPL0) != !(z->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED))
		return "privilege";
	/* SSE's additions to MMX are MMX to Zydis */
	if (insn->feature != feature_of[z->meta.isa_set] &&
	    !(z->meta.isa_set == ZYDIS_ISA_SET_PENTIUMMMX && insn->feature == FEAT_SSE &&
	      insn->attr & INSN_FPU))
		return "feature";
	if (!(insn->attr & INSN_ALIGNED) != !(aligned && insn->mem_size >= 16))
		return "alignment";
	if ((insn->family == FAM_X87) != (z->meta.isa_ext == ZYDIS_ISA_EXT_X87))
		return "x87";
	if (!(insn->attr & INSN_COND) != !(category == ZYDIS_CATEGORY_COND_BR))
		return "conditional branch";
	if (insn->enc == ENC_LEGACY && insn->family <= FAM_STRING &&
	    insn->opsize * 8 != z->operand_width)
		return "operand size";
	return NULL;
}

static void compare(const u8 *bytes, unsigned int avail, int mode)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct insn insn;
	const char *name, *why;
	bool ours, theirs;

	cases++;
	ours = insn_decode(&insn, bytes, avail, mode) == DECODE_OK;
	theirs = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&zydis[mode], bytes, avail, &z, ops));
	if (theirs && !is_offered(&z)) {
		if (ours && insn.op != OP_NOP && insn.op != OP_ENDBR)
			differ("not offered, ours", ZydisMnemonicGetString(z.mnemonic), bytes,
			       insn.len, mode);
		else
			allowed++;
		return;
	}
	if (!theirs && !ours)
		return;
	if (theirs != ours) {
		differ(theirs ? "only theirs" : "only ours",
		       theirs ? ZydisMnemonicGetString(z.mnemonic) : our_mnemonic(&insn), bytes, 15, mode);
		return;
	}
	both_valid++;
	name = ZydisMnemonicGetString(z.mnemonic);
	if (insn.len != z.length)
		differ("length", name, bytes, insn.len, mode);
	if (!same_mnemonic(&insn, &z))
		differ("mnemonic", name, bytes, insn.len, mode);
	why = compare_operands(&insn, &z, ops);
	if (why)
		differ(why, name, bytes, insn.len, mode);
	why = compare_flags(&insn, &z);
	if (why)
		differ(why, name, bytes, insn.len, mode);
	why = compare_attributes(&insn, &z);
	if (why)
		differ(why, name, bytes, insn.len, mode);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static u64 rng = 0x9e3779b97f4a7c15ULL;

static u64 next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void fill(u8 *p, unsigned int n)
{
	while (n--)
		*p++ = next_random() >> 24;
}

/*
 * Prefixes, ended by 0. REX bytes are only prefixes in 64-bit mode, other instructions elsewhere:
 * welcome too.
 */
static const u8 prefix_sets[][5] = {
	{ 0 }, { 0x66 }, { 0xf3 }, { 0xf2 }, { 0x67 }, { 0xf0 }, { 0x66, 0xf3 }, { 0xf2, 0x66 }, { 0xf3, 0xf2 },
	{ 0xf2, 0xf3 }, { 0x48 }, { 0x66, 0x48 }, { 0xf3, 0x48 }, { 0xf2, 0x48 }, { 0x40 }, { 0x41 }, { 0x42 },
	{ 0x44 }, { 0x4f }, { 0xf0, 0x48 }, { 0xf0, 0x66 }, { 0x64 }, { 0x65, 0x67 }, { 0x2e, 0x66 }, { 0x36 },
	{ 0x64, 0x3e }, { 0x48, 0x66 }, { 0x67, 0x66, 0x45 }, { 0x66, 0xf3, 0x4d }, { 0x66, 0xf2, 0x47 },
	{ 0xf0, 0xf3 }, { 0xf0, 0xf2 },
};

static void legacy(int mode, unsigned int stride)
{
	static const u8 maps[4][3] = { { 0 }, { 0x0f }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };
	unsigned int set, map, opcode, modrm, n;
	u8 b[24];

	for (set = 0; set < ARRAY_SIZE(prefix_sets); set++)
		for (map = 0; map < 4; map++)
			for (opcode = 0; opcode < 256; opcode++)
				for (modrm = next_random() % stride; modrm < 256; modrm += stride) {
					for (n = 0; prefix_sets[set][n]; n++)
						b[n] = prefix_sets[set][n];
					memcpy(b + n, maps[map], map < 2 ? map : 2);
					n += map < 2 ? map : 2;
					b[n++] = opcode;
					b[n++] = modrm;
					fill(b + n, sizeof(b) - n);
					compare(b, 15, mode);
				}
}

static void vex(int mode, unsigned int stride)
{
	unsigned int map, payload, opcode, i;
	u8 b[24];

	for (map = 0; map < 5; map++)
		for (payload = 0; payload < 256; payload++)
			for (opcode = next_random() % stride; opcode < 256; opcode += stride)
				for (i = 0; i < 12; i++) {
					fill(b, sizeof(b));
					if (map == 0) {		/* two-byte form */
						b[0] = 0xc5;
						b[1] = payload;
						b[2] = opcode;
					} else {
						b[0] = 0xc4;
						b[1] = map | (mode == INSN_MODE_64
								      ? b[1] & 0xe0
								      : 0xc0 | (b[1] & 0x20));
						b[2] = payload;
						b[3] = opcode;
					}
					/* half of them with vvvv unused, or few would be valid */
					if (i & 1)
						b[map ? 2 : 1] |= 0x78;
					/* every reg and mod, and a SIB byte often */
					b[map ? 4 : 3] = (b[map ? 4 : 3] & 0x38) | (i & 6) << 5 |
							 (i == 10 ? 4 : b[5] & 7);
					compare(b, 15, mode);
				}
}

static void random_bytes(int mode, unsigned long count)
{
	u8 b[24];

	while (count--) {
		fill(b, sizeof(b));
		/* opcodes of the long maps are rare otherwise */
		if (!(next_random() & 0x300))
			b[(next_random() >> 20) % 3] = 0x0f;
		compare(b, 15, mode);
	}
}

/* Every length short of the whole must ask for more, and never read beyond what is there. */
static void truncated(int mode, unsigned long count)
{
	struct insn insn;
	unsigned int n, len;
	u8 b[24], *end;

	while (count--) {
		fill(b, sizeof(b));
		if (insn_decode(&insn, b, 15, mode) != DECODE_OK)
			continue;
		len = insn.len;
		for (n = 0; n < len; n++) {
			/* a copy with nothing behind it, for the address sanitizer */
			end = malloc(n ? n : 1);
			memcpy(end, b, n);
			if (insn_decode(&insn, end, n, mode) != DECODE_MORE)
				differ("truncated", insn_op_name(insn.op), b, len, mode);
			free(end);
		}
	}
}

int main(int argc, char **argv)
{
	static const ZydisMachineMode machine[3] = { ZYDIS_MACHINE_MODE_LEGACY_16,
						     ZYDIS_MACHINE_MODE_LEGACY_32,
						     ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth stack[3] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64 };
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 100000;
	unsigned int stride = count >= 1000000 ? 1 : 37, i, j;
	int mode;

	for (mode = 0; mode < 3; mode++) {
		ZydisDecoderInit(&zydis[mode], machine[mode], stack[mode]);
		legacy(mode, stride);
		vex(mode, stride);
		random_bytes(mode, count);
		truncated(mode, count / 10);
	}
	for (i = 0; i < nr_seen; i++) {
		printf("# %8lu %-24s %-16s mode %d:", seen[i].count, seen[i].what, seen[i].name,
		       16 << seen[i].mode);
		for (j = 0; j < seen[i].len; j++)
			printf(" %02x", seen[i].bytes[j]);
		printf("\n");
	}
	printf("# %lu cases, %lu valid in both, %lu excepted by the lists\n", cases, both_valid,
	       allowed);
	printf("%s 1 - decoder equals Zydis, %lu differences\n", differences ? "not ok" : "ok",
	       differences);
	return differences ? 1 : 0;
}
