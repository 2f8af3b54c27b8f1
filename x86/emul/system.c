// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * System instructions: control, debug and model-specific registers, flags, descriptor tables, time.
 * SDM 2A-2D
 */
#include "../arch/msr.h"
#include "private.h"

#define DR6_BD		BIT_ULL(13)
#define DR7_GD		BIT_ULL(13)

/* ---- flags ----------------------------------------------------------------------------------- */

static unsigned int iopl(const struct emul *e)
{
	return (e->rflags & X86_FLAG_IOPL) >> 12;
}

/* IF may not be touched, but its virtual counterpart may. SDM 3B 20.3, 20.4 */
static bool virtual_if(const struct emul *e)
{
	if (e->rflags & X86_FLAG_VM)
		return e->st->cr4 & CR4_VME;
	return e->st->cpl == 3 && (e->st->cr4 & CR4_PVI);
}

int emul_op_pushf(struct emul *e)
{
	u64 image = e->rflags & ~(X86_FLAG_VM | X86_FLAG_RF);

	if (x86_v8086(e->st) && iopl(e) < 3) {
		if (!virtual_if(e) || e->insn.opsize != 2)
			return emul_gp(e, 0);
		image |= X86_FLAG_IOPL;
		image = image & X86_FLAG_VIF ? image | X86_FLAG_IF : image & ~X86_FLAG_IF;
	}
	return emul_push(e, image, e->insn.opsize);
}

int emul_op_popf(struct emul *e)
{
	unsigned int cpl = e->st->cpl;
	bool v86 = x86_v8086(e->st), sensitive = v86 && iopl(e) < 3;
	u64 image, may = FLAGS_ANY_CPL;
	int r;

	if (sensitive && (!virtual_if(e) || e->insn.opsize != 2))
		return emul_gp(e, 0);
	r = emul_pop(e, &image, e->insn.opsize);
	if (r)
		return r;
	if (sensitive) {
		if ((image & X86_FLAG_TF) ||
		    ((image & X86_FLAG_IF) && (e->rflags & X86_FLAG_VIP)))
			return emul_gp(e, 0);
		emul_load_flags(e, image, 2, may);
		e->rflags = image & X86_FLAG_IF ? e->rflags | X86_FLAG_VIF
						: e->rflags & ~X86_FLAG_VIF;
		return 0;
	}
	if (cpl <= iopl(e) || v86)
		may |= X86_FLAG_IF;
	if (!cpl)
		may |= X86_FLAG_IOPL;
	emul_load_flags(e, image, e->insn.opsize, may);
	return 0;
}

int emul_op_cli(struct emul *e)
{
	if (e->st->cpl <= iopl(e))
		e->rflags &= ~X86_FLAG_IF;
	else if (virtual_if(e))
		e->rflags &= ~X86_FLAG_VIF;
	else
		return emul_gp(e, 0);
	return 0;
}

int emul_op_sti(struct emul *e)
{
	if (e->st->cpl <= iopl(e)) {
		if (!(e->rflags & X86_FLAG_IF))
			e->retire |= RETIRE_STI;
		e->rflags |= X86_FLAG_IF;
	} else if (virtual_if(e) && !(e->rflags & X86_FLAG_VIP)) {
		e->rflags |= X86_FLAG_VIF;
	} else {
		return emul_gp(e, 0);
	}
	return 0;
}

int emul_op_clac(struct emul *e)
{
	if (e->insn.op == OP_STAC)
		e->rflags |= X86_FLAG_AC;
	else
		e->rflags &= ~X86_FLAG_AC;
	return 0;
}

int emul_op_hlt(struct emul *e)
{
	return HANDLER_HLT;
}

/* ---- control and debug registers ---------------------------------------- */

static bool is_cr(unsigned int cr)
{
	return cr == 0 || cr == 2 || cr == 3 || cr == 4 || cr == 8;
}

static int cr_write(struct emul *e, unsigned int cr, u64 val)
{
	int r = e->ops->cr_write(e, cr, val);

	if (!r && cr != 2 && cr != 8)
		e->retire |= RETIRE_MODE;
	return r;
}

int emul_op_mov_from_cr(struct emul *e)
{
	const struct x86_state *st = e->st;
	u64 v;

	switch (e->insn.opnd[1].reg) {
	case 0:
		v = st->cr0;
		break;
	case 2:
		v = st->cr2;
		break;
	case 3:
		v = st->cr3;
		break;
	case 4:
		v = st->cr4;
		break;
	case 8:
		v = e->ops->cr8_read ? e->ops->cr8_read(e) : st->cr8;
		break;
	default:
		return emul_ud(e);
	}
	return emul_opnd_write(e, 0, v);
}

int emul_op_mov_to_cr(struct emul *e)
{
	unsigned int cr = e->insn.opnd[0].reg;
	u64 v;

	if (!is_cr(cr))
		return emul_ud(e);
	emul_opnd_read(e, 1, &v);
	return cr_write(e, cr, v);
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE. SDM 3B 17.2.2 */
static int debug_register(struct emul *e, unsigned int *dr)
{
	if (*dr > 7 || ((*dr == 4 || *dr == 5) && (e->st->cr4 & CR4_DE)))
		return emul_ud(e);
	if (*dr == 4 || *dr == 5)
		*dr += 2;
	if (e->st->dr7 & DR7_GD) {
		emul_raise(e, EXC_DB, 0);
		e->fault.dr6 = DR6_BD;
		return -EFAULT;
	}
	return 0;
}

int emul_op_mov_from_dr(struct emul *e)
{
	unsigned int dr = e->insn.opnd[1].reg;
	const struct x86_state *st = e->st;
	int r = debug_register(e, &dr);

	return r ? r : emul_opnd_write(e, 0, dr == 7 ? st->dr7 : dr == 6 ? st->dr6 : st->dr[dr]);
}

int emul_op_mov_to_dr(struct emul *e)
{
	unsigned int dr = e->insn.opnd[0].reg;
	u64 v;
	int r = debug_register(e, &dr);

	if (r)
		return r;
	emul_opnd_read(e, 1, &v);
	if (dr >= 6 && v >> 32)
		return emul_gp(e, 0);
	return e->ops->dr_write(e, dr, v);
}

int emul_op_clts(struct emul *e)
{
	return e->st->cr0 & CR0_TS ? cr_write(e, 0, e->st->cr0 & ~CR0_TS) : 0;
}

/* PE can be set, not cleared. */
int emul_op_lmsw(struct emul *e)
{
	const u64 low = CR0_MP | CR0_EM | CR0_TS;
	u64 v;
	int r = emul_opnd_read(e, 0, &v);

	return r ? r : cr_write(e, 0, (e->st->cr0 & ~low) | (v & (low | CR0_PE)));
}

static bool umip_refuses(const struct emul *e)
{
	return (e->st->cr4 & CR4_UMIP) && e->st->cpl;
}

int emul_op_smsw(struct emul *e)
{
	if (umip_refuses(e))
		return emul_gp(e, 0);
	return emul_opnd_write(e, 0, e->st->cr0);
}

int emul_op_xgetbv(struct emul *e)
{
	u32 index = (u32)e->gpr[X86_RCX];

	if (!(e->st->cr4 & CR4_OSXSAVE))
		return emul_ud(e);
	/* 1 asks for the components in use: all enabled ones may be */
	if (index > 1)
		return emul_gp(e, 0);
	e->gpr[X86_RAX] = (u32)e->st->xcr0;
	e->gpr[X86_RDX] = e->st->xcr0 >> 32;
	return 0;
}

static u64 edx_eax(const struct emul *e)
{
	return (u32)e->gpr[X86_RAX] | e->gpr[X86_RDX] << 32;
}

static void set_edx_eax(struct emul *e, u64 v)
{
	e->gpr[X86_RAX] = (u32)v;
	e->gpr[X86_RDX] = v >> 32;
}

int emul_op_xsetbv(struct emul *e)
{
	if (!(e->st->cr4 & CR4_OSXSAVE))
		return emul_ud(e);
	if ((u32)e->gpr[X86_RCX])
		return emul_gp(e, 0);
	return cr_write(e, EMUL_XCR0, edx_eax(e));
}

/* ---- model-specific registers, CPUID, time ---------------------------------------- */

int emul_op_rdmsr(struct emul *e)
{
	u64 v = 0;
	int r = e->ops->msr_read(e, (u32)e->gpr[X86_RCX], &v);

	if (!r)
		set_edx_eax(e, v);
	return r;
}

int emul_op_wrmsr(struct emul *e)
{
	u32 index = (u32)e->gpr[X86_RCX];
	int r = e->ops->msr_write(e, index, edx_eax(e));

	if (!r && (index == MSR_EFER || index == MSR_FS_BASE || index == MSR_GS_BASE))
		e->retire |= RETIRE_MODE;
	return r;
}

int emul_op_cpuid(struct emul *e)
{
	u32 a = (u32)e->gpr[X86_RAX], b = 0, c = (u32)e->gpr[X86_RCX], d = 0;

	e->ops->cpuid(e, &a, &b, &c, &d);
	e->gpr[X86_RAX] = a;
	e->gpr[X86_RBX] = b;
	e->gpr[X86_RCX] = c;
	e->gpr[X86_RDX] = d;
	return 0;
}

int emul_op_rdtsc(struct emul *e)
{
	if ((e->st->cr4 & CR4_TSD) && e->st->cpl)
		return emul_gp(e, 0);
	set_edx_eax(e, e->ops->rdtsc(e));
	if (e->insn.op == OP_RDTSCP)
		e->gpr[X86_RCX] = (u32)e->st->tsc_aux;
	return 0;
}

int emul_op_rdpid(struct emul *e)
{
	return emul_opnd_write(e, 0, e->st->tsc_aux);
}

int emul_op_rdpmc(struct emul *e)
{
	u64 v = 0;
	int r;

	if (!(e->st->cr4 & CR4_PCE) && e->st->cpl)
		return emul_gp(e, 0);
	r = e->ops->rdpmc ? e->ops->rdpmc(e, (u32)e->gpr[X86_RCX], &v) : emul_gp(e, 0);
	if (!r)
		set_edx_eax(e, v);
	return r;
}

/* ---- descriptor tables, segment bases ---------------------------------------- */

int emul_op_lgdt(struct emul *e)
{
	struct x86_dtable *t = e->insn.op == OP_LGDT ? &e->st->gdtr : &e->st->idtr;
	bool wide = e->mode == INSN_MODE_64;
	u64 base = 0;
	u16 limit;
	int r;

	r = emul_read(e, e->insn.seg, e->ea, &limit, 2);
	if (!r)
		r = emul_read(e, e->insn.seg, (e->ea + 2) & size_mask(e->insn.addrsize), &base,
			      wide ? 8 : 4);
	if (r)
		return r;
	if (wide && !x86_canonical(base))
		return emul_gp(e, 0);
	if (!wide && e->insn.opsize == 2)
		base &= 0xffffff;
	t->base = base;
	t->limit = limit;
	e->retire |= RETIRE_MODE;
	return 0;
}

int emul_op_sgdt(struct emul *e)
{
	const struct x86_dtable *t = e->insn.op == OP_SGDT ? &e->st->gdtr : &e->st->idtr;
	unsigned int i, size = e->mode == INSN_MODE_64 ? 8 : 4;
	u8 image[10];

	if (umip_refuses(e))
		return emul_gp(e, 0);
	image[0] = (u8)t->limit;
	image[1] = t->limit >> 8;
	for (i = 0; i < size; i++)
		image[2 + i] = (u8)(t->base >> (8 * i));
	return emul_write(e, e->insn.seg, e->ea, image, 2 + size);
}

int emul_op_swapgs(struct emul *e)
{
	struct x86_state *st = e->st;
	u64 base = st->seg[X86_GS].base;

	st->seg[X86_GS].base = st->kernel_gs_base;
	st->kernel_gs_base = base;
	e->retire |= RETIRE_MODE;
	return 0;
}

int emul_op_fsgsbase(struct emul *e)
{
	bool gs = e->insn.op == OP_RDGSBASE || e->insn.op == OP_WRGSBASE;
	struct x86_seg *seg = &e->st->seg[gs ? X86_GS : X86_FS];
	u64 v;

	if (!(e->st->cr4 & CR4_FSGSBASE))
		return emul_ud(e);
	if (e->insn.op == OP_RDFSBASE || e->insn.op == OP_RDGSBASE)
		return emul_opnd_write(e, 0, seg->base);
	emul_opnd_read(e, 0, &v);
	if (!x86_canonical(v))
		return emul_gp(e, 0);
	seg->base = v;
	e->retire |= RETIRE_MODE;
	return 0;
}

/* SDM 3C 32.7 */
int emul_op_rsm(struct emul *e)
{
	const struct x86_state *st = e->st;
	unsigned int i;

	if (!st->smm || !e->ops->rsm)
		return emul_ud(e);
	if (e->ops->rsm(e))
		return HANDLER_SHUTDOWN;
	for (i = 0; i < X86_NR_GPR; i++)
		e->gpr[i] = st->gpr[i];
	e->rip = st->rip;
	e->rflags = st->rflags;
	e->retire |= RETIRE_MODE | RETIRE_KEEP_RF | RETIRE_NO_STEP |
		     (st->shadow_sti ? RETIRE_STI : 0) | (st->shadow_movss ? RETIRE_MOVSS : 0);
	return 0;
}

/* ---- translations, hypercalls ---------------------------------------- */

int emul_op_invlpg(struct emul *e)
{
	gva_t gva = e->ea;

	/* no checks: an address that is none has no translation */
	if (e->mode != INSN_MODE_64)
		gva = (u32)(gva + e->st->seg[e->insn.seg].base);
	else if (e->insn.seg >= X86_FS)
		gva += e->st->seg[e->insn.seg].base;
	e->ops->invlpg(e, gva);
	return 0;
}

int emul_op_invpcid(struct emul *e)
{
	u64 type, desc[2];
	int r;

	emul_opnd_read(e, 0, &type);
	r = emul_read(e, e->insn.seg, e->ea, desc, sizeof(desc));
	if (r)
		return r;
	if (type > 3 || desc[0] >> 12 || (!type && !x86_canonical(desc[1])) ||
	    (type < 2 && desc[0] && !(e->st->cr4 & CR4_PCIDE)))
		return emul_gp(e, 0);
	return e->ops->invpcid(e, type, desc[0], desc[1]);
}

int emul_op_vmcall(struct emul *e)
{
	unsigned int i;
	int r;

	if (!e->ops->hypercall)
		return emul_ud(e);
	r = e->ops->hypercall(e);
	if (r)
		return r;
	/* arguments and result are in the live registers */
	for (i = 0; i < X86_NR_GPR; i++)
		e->gpr[i] = e->st->gpr[i];
	return 0;
}
