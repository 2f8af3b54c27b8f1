// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * emulate.c - one guest instruction through x86/emul: the emul_ops over a vCPU, and what becomes of
 * each result.
 */
#include "private.h"
#include "../x86/policy/cpuid.h"

static_assert(FEAT_NR <= 128, "features[] is a bitmap of two words");

/* MONITOR and MWAIT: KVM takes them for NOPs, announced or not, unless the client wants #UD. */
static bool has_monitor(struct vcpu *v)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	if (vm_has_quirk(v->vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		return true;
	vcpu_cpuid(v, &eax, &ebx, &ecx, &edx);
	return ecx & BIT(3);
}

bool vcpu_has_feature(struct vcpu *v, unsigned int feature)
{
	if (unlikely(feature == FEAT_MONITOR))
		return has_monitor(v);
	return feature < FEAT_NR && (v->priv->features[feature / 64] & BIT(feature % 64));
}

u8 vcpu_maxphyaddr(struct vcpu *v)
{
	return v->priv->maxphyaddr;
}

/* ---- the ops --------------------------------------------------------------------------------- */

static int gp_fault(struct emul *e)
{
	e->fault = (struct x86_fault){ .vector = EXC_GP, .has_error = true };
	return -EFAULT;
}

/* -EAGAIN: the exit for the client has been filled in. */
static int msr_result(struct emul *e, int ret)
{
	struct vcpu *v = e->ctx;

	if (ret == -EAGAIN && v->priv->io.collecting)
		v->priv->io.want = WANT_MSR;
	return ret == -EFAULT ? gp_fault(e) : ret;
}

static int op_msr_read(struct emul *e, u32 index, u64 *val)
{
	return msr_result(e, vcpu_msr_read(e->ctx, index, val));
}

static int op_msr_write(struct emul *e, u32 index, u64 val)
{
	return msr_result(e, vcpu_msr_write(e->ctx, index, val));
}

static void op_cpuid(struct emul *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	vcpu_cpuid(e->ctx, eax, ebx, ecx, edx);
}

static int op_cr_write(struct emul *e, unsigned int cr, u64 val)
{
	return vcpu_cr_write(e->ctx, cr, val) ? gp_fault(e) : 0;
}

static int op_dr_write(struct emul *e, unsigned int dr, u64 val)
{
	struct vcpu *v = e->ctx;
	struct x86_state *st = v->st;

	/* SDM 3A 17.2: upper halves of DR6 and DR7 must be zero */
	if (dr >= 4 && val >> 32)
		return gp_fault(e);
	switch (dr) {
	case 0 ... 3:
		st->dr[dr] = val;
		break;
	case 4:
	case 6:
		st->dr6 = (val & 0xe00f) | 0xffff0ff0;
		break;
	default:
		st->dr7 = (val & 0xffff2bff) | 0x400;
		break;
	}
	v->vm->vendor->regs_changed(v, REGS_DR);
	return 0;
}

void vcpu_invlpg(struct vcpu *v, gva_t gva)
{
	gaccess_flush(v);
	v->vm->vendor->tlb_flush_page(v, gva);
}

static void op_invlpg(struct emul *e, gva_t gva)
{
	vcpu_invlpg(e->ctx, gva);
}

static int op_invpcid(struct emul *e, unsigned int type, u64 pcid, gva_t gva)
{
	struct vcpu *v = e->ctx;

	if (type > 3 || pcid > CR3_PCID_MASK)
		return gp_fault(e);
	if (type < 2 && pcid && !(v->st->cr4 & CR4_PCIDE))
		return gp_fault(e);
	if (type == 0 && !x86_canonical(gva))
		return gp_fault(e);
	gaccess_flush(v);
	v->vm->vendor->tlb_flush_pcid(v, type, pcid, gva);
	return 0;
}

static int op_rdpmc(struct emul *e, u32 index, u64 *val)
{
	return gp_fault(e);	/* no counters are offered */
}

static u64 op_rdtsc(struct emul *e)
{
	return vcpu_guest_tsc(e->ctx);
}

/*
 * The other vendor's instruction for a hypercall: KVM writes its own over it, where that can be
 * done, and so does this; or #UD, if the client wants that. 0 or -EFAULT.
 */
static int foreign_hypercall(struct emul *e)
{
	struct vcpu *v = e->ctx;
	struct x86_state *st = v->st;
	bool amd = policy_host_is_amd();
	u8 native[3] = { 0x0f, 0x01, amd ? 0xd9 : 0xc1 };
	unsigned int access = WALK_WRITE | (st->cpl == 3 ? WALK_USER : 0);
	gva_t lin = x86_64bit(st) ? st->rip : (u32)(st->seg[X86_CS].base + st->rip);

	if (e->insn.op == (amd ? OP_VMMCALL : OP_VMCALL))
		return 0;
	if (!vm_has_quirk(v->vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN)) {
		e->fault = (struct x86_fault){ .vector = EXC_UD };
		return -EFAULT;
	}
	if (e->insn.len == sizeof(native) && (lin & ~HV_PAGE_MASK) <= HV_PAGE_SIZE - sizeof(native) &&
	    gaccess_is_ram(e, lin, sizeof(native), access))
		gaccess_write(e, lin, native, sizeof(native), access);
	return 0;
}

static int op_hypercall(struct emul *e)
{
	struct vcpu *v = e->ctx;

	if (foreign_hypercall(e))
		return -EFAULT;
	if (vcpu_hypercall(v) > 0)
		return 0;
	/* the exit for the client has been filled in, if it can be made from here */
	if (v->priv->io.collecting)
		v->priv->io.want = WANT_MSR;
	return -EAGAIN;
}

static int op_rsm(struct emul *e)
{
	return smm_leave(e->ctx);
}

static int op_vector(struct emul *e, gva_t gva)
{
	struct vcpu *v = e->ctx;

	return v->vm->vendor->vector ? v->vm->vendor->vector(v, e, gva) : -ENOSYS;
}

static bool op_x87_pending(struct emul *e)
{
	struct vcpu *v = e->ctx;

	return v->vm->vendor->x87_pending && v->vm->vendor->x87_pending(v);
}

static bool op_has_feature(struct emul *e, unsigned int feature)
{
	return vcpu_has_feature(e->ctx, feature);
}

static void op_mode_changed(struct emul *e)
{
	struct vcpu *v = e->ctx;

	v->vm->vendor->regs_changed(v, REGS_SEG | REGS_CR);
}

static u64 op_cr8_read(struct emul *e)
{
	return vcpu_cr8(e->ctx);
}

const struct emul_ops vcpu_emul_ops = {
	.read = gaccess_read, .write = gaccess_write, .fetch = gaccess_fetch,
	.cmpxchg = gaccess_cmpxchg,
	.is_ram = gaccess_is_ram, .io_in = io_port_in, .io_out = io_port_out,
	.msr_read = op_msr_read, .msr_write = op_msr_write, .cpuid = op_cpuid,
	.cr_write = op_cr_write,
	.cr8_read = op_cr8_read, .dr_write = op_dr_write, .invlpg = op_invlpg,
	.invpcid = op_invpcid,
	.rdpmc = op_rdpmc, .rdtsc = op_rdtsc, .hypercall = op_hypercall, .rsm = op_rsm, .vector = op_vector,
	.x87_pending = op_x87_pending,
	.has_feature = op_has_feature, .mode_changed = op_mode_changed,
};

void vcpu_emulate_init(struct vcpu *v)
{
	v->emul.st = v->st;
	v->emul.ops = &vcpu_emul_ops;
	v->emul.ctx = v;
	v->emul.cache = &v->priv->emul_cache;
}

/* ---- results --------------------------------------------------------------------------------- */

/*
 * KVM's answer to an instruction it does not know: #UD for programs, and for kernels a stop as
 * well. With KVM_CAP_EXIT_ON_EMULATION_FAILURE always a stop, and nothing else.
 */
static int emulation_failed(struct vcpu *v)
{
	static const struct x86_fault ud = { .vector = EXC_UD };
	struct kvm_run *run = v->run;
	unsigned int n;

	if (vcpu_take_mem_error(v))
		return -EFAULT;
	if (!host_load_relaxed(&v->vm->priv->exit_on_emulation_failure)) {
		vcpu_queue_exception(v, &ud);
		if (v->st->cpl != 0)
			return 1;
	}
	host_memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 3;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	n = min_t(unsigned int, v->emul.insn.len, sizeof(run->emulation_failure.insn_bytes));
	run->emulation_failure.insn_size = n;
	host_memcpy(run->emulation_failure.insn_bytes, v->emul.insn.bytes, n);
	return 0;
}

static int emulation_fault(struct vcpu *v)
{
	const struct x86_fault *f = &v->emul.fault;

	if (f->vector == EXC_BP && (v->priv->debug.control & KVM_GUESTDBG_USE_SW_BP))
		return vcpu_exit_debug(v, f);
	if (f->vector == EXC_DB && (v->priv->debug.control & KVM_GUESTDBG_USE_HW_BP))
		return vcpu_exit_debug(v, f);
	vcpu_queue_exception(v, f);
	return 1;
}

/*
 * #DB traps after the instruction: single-step of the guest or of the client's debugger,
 * breakpoints.
 */
static int debug_trap(struct vcpu *v, u64 dr6, int ret)
{
	struct x86_fault f = { .vector = EXC_DB, .dr6 = dr6 };
	u32 control = v->priv->debug.control;

	if (control & KVM_GUESTDBG_ENABLE &&
	    control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP)) {
		if (ret == 0 && v->priv->io.pending) {
			v->priv->io.step_exit = true;
			return 0;
		}
		return vcpu_exit_debug(v, &f);
	}
	vcpu_queue_exception(v, &f);
	return ret;
}

static int emulation_done(struct vcpu *v, enum emul_result res)
{
	u64 dr6 = v->emul.db_trap;
	int ret;

	v->vm->vendor->regs_changed(v, REGS_GPR | REGS_RIP_FLAGS);
	ret = io_retire(v);
	if (unlikely(res == EMUL_HLT))
		ret = vcpu_halt(v);
	if ((v->priv->debug.control & KVM_GUESTDBG_SINGLESTEP) &&
	    (v->priv->debug.control & KVM_GUESTDBG_ENABLE))
		dr6 |= 0x4000;
	return unlikely(dr6) ? debug_trap(v, dr6, ret) : ret;
}

/*
 * One instruction with the client's breakpoints in place of the guest's, whose own writes of its
 * registers stay.
 */
static enum emul_result exec_with_breakpoints(struct vcpu *v, bool decoded)
{
	const __u64 *bp = v->priv->debug.arch.debugreg;
	struct x86_state *st = v->st;
	u64 dr[4], dr7 = st->dr7;
	enum emul_result res;
	unsigned int i;

	host_memcpy(dr, st->dr, sizeof(dr));
	host_memcpy(st->dr, bp, sizeof(dr));
	st->dr7 = bp[7];
	res = decoded ? emul_exec(&v->emul) : emul_step(&v->emul);
	for (i = 0; i < ARRAY_SIZE(dr); i++)
		if (st->dr[i] == bp[i])
			st->dr[i] = dr[i];
	if (st->dr7 == bp[7])
		st->dr7 = dr7;
	return res;
}

static int emulate(struct vcpu *v, bool decoded, bool resumed)
{
	struct vcpu_priv *p = v->priv;
	struct emul *e = &v->emul;
	enum emul_result res;

	io_begin(v, resumed);
	e->db_trap = 0;
	e->stop_bp = p->debug.control & KVM_GUESTDBG_USE_SW_BP;
	p->io.collecting = true;
	if (unlikely(p->debug.control & KVM_GUESTDBG_USE_HW_BP))
		res = exec_with_breakpoints(v, decoded);
	else
		res = decoded ? emul_exec(e) : emul_step(e);
	p->io.collecting = false;
	p->stat->insn_emulation++;
	switch (res) {
	case EMUL_DONE:
	case EMUL_AGAIN:
	case EMUL_HLT:
		return emulation_done(v, res);
	case EMUL_FAULT:
		return emulation_fault(v);
	case EMUL_RETRY:
		return io_stop(v) ? emulation_failed(v) : 0;
	case EMUL_SHUTDOWN:
		v->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	default:
		return emulation_failed(v);
	}
}

int vcpu_emulate(struct vcpu *v, bool decoded)
{
	return emulate(v, decoded, false);
}

int vcpu_complete_io(struct vcpu *v)
{
	struct io_state *io = &v->priv->io;
	bool resume;
	int ret;

	ret = io_complete(v, &resume);
	if (ret <= 0)
		return ret;
	if (unlikely(io->step_exit)) {
		static const struct x86_fault step = { .vector = EXC_DB, .dr6 = 0x4000 };

		io->step_exit = false;
		return vcpu_exit_debug(v, &step);
	}
	/* A client that moved RIP meanwhile has given the instruction up. */
	if (!resume || v->st->rip != io->rip)
		return 1;
	return emulate(v, true, true);
}
