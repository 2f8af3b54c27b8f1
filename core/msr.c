// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * msr.c - model-specific registers by the table x86/arch/msr.def, for the guest's RDMSR and WRMSR
 * and for the client's KVM_GET_MSRS and KVM_SET_MSRS.
 *
 * Getters and setters: index within the VM's MSRs, host for the client's calls; 0 or -EINVAL, which
 * is #GP(0) for the guest. vcpu->mutex held.
 */
#include "private.h"
#include "../x86/policy/cpuid.h"

static bool guest_bit(struct vcpu *v, u32 leaf, enum cpuid_reg reg, unsigned int bit)
{
	return policy_bit(v->priv->cpuid, v->priv->nr_cpuid, leaf, 0, reg, bit);
}

/* ---- time stamp counter ---------------------------------------------------------------------- */

static int get_tsc(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = vcpu_guest_tsc(v);
	return 0;
}

static int set_tsc(struct vcpu *v, u32 index, u64 val, bool host)
{
	u64 delta;

	if (host) {
		tsc_synchronize(v, val);
		return 0;
	}
	delta = val - vcpu_guest_tsc(v);
	v->priv->tsc_adjust += delta;
	tsc_offset_set(v, v->st->tsc_offset + delta);
	return 0;
}

static int get_tsc_adjust(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->tsc_adjust;
	return 0;
}

static int set_tsc_adjust(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!host)
		tsc_offset_set(v, v->st->tsc_offset + val - v->priv->tsc_adjust);
	v->priv->tsc_adjust = val;
	return 0;
}

static int get_tsc_deadline(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->lapic ? lapic_tscdeadline(v->lapic) : 0;
	return 0;
}

static int set_tsc_deadline(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (v->lapic)
		lapic_set_tscdeadline(v->lapic, val);
	return 0;
}

static int get_tsc_aux(struct vcpu *v, u32 index, u64 *val, bool host)
{
	if (!host && !vcpu_has_feature(v, FEAT_RDTSCP) && !vcpu_has_feature(v, FEAT_RDPID))
		return -EINVAL;
	*val = v->st->tsc_aux;
	return 0;
}

static int set_tsc_aux(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!host && ((val >> 32) ||
		      (!vcpu_has_feature(v, FEAT_RDTSCP) && !vcpu_has_feature(v, FEAT_RDPID))))
		return -EINVAL;
	v->st->tsc_aux = (u32)val;
	v->vm->vendor->regs_changed(v, REGS_MSR);
	return 0;
}

/* ---- local APIC, EFER ------------------------------------------------------------------------ */

static int get_apic_base(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = vcpu_apic_base(v);
	return 0;
}

static int set_apic_base(struct vcpu *v, u32 index, u64 val, bool host)
{
	return vcpu_set_apic_base(v, val, host);
}

static int get_x2apic(struct vcpu *v, u32 index, u64 *val, bool host)
{
	return v->lapic && !lapic_msr_read(v->lapic, index, val) ? 0 : -EINVAL;
}

static int set_x2apic(struct vcpu *v, u32 index, u64 val, bool host)
{
	return v->lapic && !lapic_msr_write(v->lapic, index, val) ? 0 : -EINVAL;
}

static int get_efer(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->st->efer;
	return 0;
}

static int set_efer(struct vcpu *v, u32 index, u64 val, bool host)
{
	return vcpu_cr_write(v, EMUL_EFER, val) ? -EINVAL : 0;
}

/* ---- memory types ---------------------------------------------------------------------------- */

/* UC, WC, WT, WP, WB; PAT adds UC-. SDM 3A 11.11.2.1, 11.12.2 */
static bool memory_type_ok(u64 type, bool pat)
{
	return type < 8 && (BIT(type) & (pat ? 0xf3 : 0x73));
}

static bool memory_types_ok(u64 eight, bool pat)
{
	unsigned int i;

	for (i = 0; i < 64; i += 8)
		if (!memory_type_ok(eight >> i & 0xff, pat))
			return false;
	return true;
}

static u64 *mtrr_var(struct vcpu *v, u32 index)
{
	unsigned int i = (index - MSR_MTRR_PHYSBASE0) / 2;

	return index & 1 ? &v->priv->mtrr_mask[i] : &v->priv->mtrr_base[i];
}

static int get_mtrr_var(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = *mtrr_var(v, index);
	return 0;
}

static int set_mtrr_var(struct vcpu *v, u32 index, u64 val, bool host)
{
	u64 address = GENMASK(vcpu_maxphyaddr(v) - 1, 12);

	if (index & 1) {
		if (val & ~(address | MTRR_PHYSMASK_V))
			return -EINVAL;
	} else if ((val & ~(address | 0xff)) || !memory_type_ok(val & 0xff, false)) {
		return -EINVAL;
	}
	*mtrr_var(v, index) = val;
	return 0;
}

static u64 *mtrr_fix(struct vcpu *v, u32 index)
{
	if (index == MSR_MTRR_FIX64K_00000)
		return &v->priv->mtrr_fix[0];
	if (index <= MSR_MTRR_FIX16K_A0000)
		return &v->priv->mtrr_fix[1 + index - MSR_MTRR_FIX16K_80000];
	return &v->priv->mtrr_fix[3 + index - MSR_MTRR_FIX4K_C0000];
}

static int get_mtrr_fix(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = *mtrr_fix(v, index);
	return 0;
}

static int set_mtrr_fix(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!memory_types_ok(val, false))
		return -EINVAL;
	*mtrr_fix(v, index) = val;
	return 0;
}

static int get_mtrr_def(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->mtrr_def;
	return 0;
}

static int set_mtrr_def(struct vcpu *v, u32 index, u64 val, bool host)
{
	if ((val & ~(u64)(MTRR_DEF_TYPE_E | MTRR_DEF_TYPE_FE | 0xff)) ||
	    !memory_type_ok(val & 0xff, false))
		return -EINVAL;
	v->priv->mtrr_def = val;
	return 0;
}

static int get_pat(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->pat;
	return 0;
}

static int set_pat(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!memory_types_ok(val, true))
		return -EINVAL;
	v->priv->pat = val;
	return 0;
}

/* ---- machine checks -------------------------------------------------------------------------- */

static int get_mcg_cap(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->mcg_cap;
	return 0;
}

static int set_mcg_cap(struct vcpu *v, u32 index, u64 val, bool host)
{
	return host && val == v->priv->mcg_cap ? 0 : -EINVAL;	/* KVM_X86_SETUP_MCE sets it */
}

static int get_mcg_ctl(struct vcpu *v, u32 index, u64 *val, bool host)
{
	if (!(v->priv->mcg_cap & MCG_CTL_P) && !host)
		return -EINVAL;
	*val = v->priv->mcg_ctl;
	return 0;
}

static int set_mcg_ctl(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!(v->priv->mcg_cap & MCG_CTL_P) && !(host && !val))
		return -EINVAL;
	if (val && val != ~0UL)
		return -EINVAL;
	v->priv->mcg_ctl = val;
	return 0;
}

static int get_mce_bank(struct vcpu *v, u32 index, u64 *val, bool host)
{
	u32 i = index - MSR_IA32_MC0_CTL;

	if (i >= (v->priv->mcg_cap & MCG_BANKS) * 4 || i >= ARRAY_SIZE(v->priv->mce_banks))
		return -EINVAL;
	*val = v->priv->mce_banks[i];
	return 0;
}

static int set_mce_bank(struct vcpu *v, u32 index, u64 val, bool host)
{
	u32 i = index - MSR_IA32_MC0_CTL;

	if (i >= (v->priv->mcg_cap & MCG_BANKS) * 4 || i >= ARRAY_SIZE(v->priv->mce_banks))
		return -EINVAL;
	/* CTL takes all or nothing; but old Linux clears bit 10 of bank 4 and some clear bit 0. SDM
	 * 3B 16.3.2.1 */
	if ((i & 3) == 0 && val && (val | BIT(10) | 1) != ~0UL)
		return -EINVAL;
	/* STATUS can only be cleared, but where AMD's McStatusWrEn says otherwise */
	if ((i & 3) == 1 && val && !host && !(v->priv->hwcr & HWCR_MCSTATUS_WREN))
		return -EINVAL;
	v->priv->mce_banks[i] = val;
	return 0;
}

/* SDM 3B 15.3.2.5 */
static int get_mce_ctl2(struct vcpu *v, u32 index, u64 *val, bool host)
{
	u32 i = index - MSR_IA32_MC0_CTL2;

	if (i >= (v->priv->mcg_cap & MCG_BANKS) || (!(v->priv->mcg_cap & MCG_CMCI_P) && !host))
		return -EINVAL;
	*val = v->priv->mce_ctl2[i];
	return 0;
}

static int set_mce_ctl2(struct vcpu *v, u32 index, u64 val, bool host)
{
	u32 i = index - MSR_IA32_MC0_CTL2;

	if (i >= (v->priv->mcg_cap & MCG_BANKS) || (val & ~(MCI_CTL2_THRESHOLD | MCI_CTL2_CMCI_EN)))
		return -EINVAL;
	if (!(v->priv->mcg_cap & MCG_CMCI_P) && (val || !host))
		return -EINVAL;
	v->priv->mce_ctl2[i] = val;
	return 0;
}

/* ---- model and platform ---------------------------------------------------------------------- */

static int get_feature_control(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->feature_control;
	return 0;
}

static int set_feature_control(struct vcpu *v, u32 index, u64 val, bool host)
{
	if ((val & ~FEATURE_CONTROL_LOCK) ||
	    (!host && (v->priv->feature_control & FEATURE_CONTROL_LOCK)))
		return -EINVAL;
	v->priv->feature_control = val;
	return 0;
}

static int get_ucode_rev(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->ucode_rev;
	return 0;
}

static int set_ucode_rev(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (host)	/* the guest's writes of 0 ask for an update of the value */
		v->priv->ucode_rev = val;
	return 0;
}

static int get_write_only(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = 0;
	return host ? 0 : -EINVAL;
}

static int set_write_only(struct vcpu *v, u32 index, u64 val, bool host)
{
	return 0;	/* microcode loaders: nothing is loaded */
}

static int get_arch_capabilities(struct vcpu *v, u32 index, u64 *val, bool host)
{
	if (!host && !guest_bit(v, 7, CPUID_EDX, 29))
		return -EINVAL;
	*val = v->priv->arch_capabilities;
	return 0;
}

static int set_arch_capabilities(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!host)
		return -EINVAL;
	v->priv->arch_capabilities = val;
	return 0;
}

/* A guest that was told of enhanced IBRS switches it on here, SPEC_CTRL announced or not. */
static bool has_spec_ctrl(struct vcpu *v)
{
	return guest_bit(v, 7, CPUID_EDX, 26) || guest_bit(v, 7, CPUID_EDX, 29) ||
	       guest_bit(v, 0x80000008, CPUID_EBX, 14) || guest_bit(v, 0x80000008, CPUID_EBX, 24);
}

static int get_spec_ctrl(struct vcpu *v, u32 index, u64 *val, bool host)
{
	if (!host && !has_spec_ctrl(v))
		return -EINVAL;
	*val = v->priv->spec_ctrl;
	return 0;
}

static int set_spec_ctrl(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!host && !has_spec_ctrl(v))
		return -EINVAL;
	if (val & ~7UL)		/* IBRS, STIBP, SSBD */
		return -EINVAL;
	v->priv->spec_ctrl = val;
	return 0;
}

static int get_pred_cmd(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = 0;
	return host ? 0 : -EINVAL;
}

static int set_pred_cmd(struct vcpu *v, u32 index, u64 val, bool host)
{
	return (host || has_spec_ctrl(v)) && !(val & ~1UL) ? 0 : -EINVAL;
}

static int get_platform_info(struct vcpu *v, u32 index, u64 *val, bool host)
{
	if (!host && !v->vm->priv->msr_platform_info)
		return -EINVAL;
	*val = v->priv->platform_info;
	return 0;
}

static int set_platform_info(struct vcpu *v, u32 index, u64 val, bool host)
{
	/* CPUID faulting is not offered. */
	if (!host || (val & PLATFORM_INFO_CPUID_FAULTING))
		return -EINVAL;
	v->priv->platform_info = val;
	return 0;
}

static int get_smbase(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->smbase;
	return host ? 0 : -EINVAL;
}

static int set_smbase(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!host)
		return -EINVAL;
	v->priv->smbase = val;
	return 0;
}

static int get_smi_count(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->smi_count;
	return 0;
}

static int set_smi_count(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!host)
		return -EINVAL;
	v->priv->smi_count = val;
	return 0;
}

static int get_must_be_zero(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = 0;
	return 0;
}

static int set_must_be_zero(struct vcpu *v, u32 index, u64 val, bool host)
{
	return val ? -EINVAL : 0;
}

/* No supervisor state components are offered. SDM 1 13.3 */
static int get_xss(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = 0;
	return host || vcpu_has_feature(v, FEAT_XSAVES) ? 0 : -EINVAL;
}

static int set_xss(struct vcpu *v, u32 index, u64 val, bool host)
{
	return !val && (host || vcpu_has_feature(v, FEAT_XSAVES)) ? 0 : -EINVAL;
}

/* Linux warns of firmware where the TSC does not count with P0's frequency: it does. */
static int get_hwcr(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->hwcr | HWCR_TSC_FREQ_SEL;
	return 0;
}

static int set_hwcr(struct vcpu *v, u32 index, u64 val, bool host)
{
	/* dropped: flush filter, IGNNE, TLB cache, TscFreqSel. PPR for the family, MSRC001_0015 */
	val &= ~(HWCR_FFDIS | HWCR_IGNNE | BIT(3) | HWCR_TSC_FREQ_SEL);
	if (val & ~HWCR_MCSTATUS_WREN)
		return -EINVAL;
	v->priv->hwcr = val;
	return 0;
}

/* ---- paravirtual ----------------------------------------------------------------------------- */

static bool pv_allowed(struct vcpu *v, unsigned int bit, bool host)
{
	return host || !v->priv->enforce_pv_features || guest_bit(v, 0x40000001, CPUID_EAX, bit);
}

/* Old and new numbers have a feature bit each. */
static unsigned int clock_bit(u32 index)
{
	return index >= MSR_KVM_WALL_CLOCK_NEW ? 3 : 0;
}

static int get_wall_clock(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = host_load_relaxed(&v->vm->priv->pv_wall_clock);
	return pv_allowed(v, clock_bit(index), host) ? 0 : -EINVAL;
}

static int set_wall_clock(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!pv_allowed(v, clock_bit(index), host))
		return -EINVAL;
	host_store_relaxed(&v->vm->priv->pv_wall_clock, val);
	pv_wall_clock_write(v, val);
	return 0;
}

static int get_system_time(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->pv_system_time;
	return pv_allowed(v, clock_bit(index), host) ? 0 : -EINVAL;
}

static int set_system_time(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!pv_allowed(v, clock_bit(index), host))
		return -EINVAL;
	v->priv->pv_system_time = val;
	vcpu_request(v, REQ_CLOCK_UPDATE);
	return 0;
}

static int get_steal_time(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->pv_steal;
	return pv_allowed(v, 5, host) ? 0 : -EINVAL;
}

static int set_steal_time(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!pv_allowed(v, 5, host) || (val & KVM_STEAL_RESERVED))
		return -EINVAL;
	v->priv->pv_steal = val;
	v->priv->steal_wall = v->priv->steal_last = v->priv->steal_left = 0;
	if (val & KVM_STEAL_ENABLE)
		vcpu_request(v, REQ_STEAL_UPDATE);
	return 0;
}

static int get_pv_eoi(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->pv_eoi;
	return pv_allowed(v, 6, host) ? 0 : -EINVAL;
}

static int set_pv_eoi(struct vcpu *v, u32 index, u64 val, bool host)
{
	u64 gpa = val & ~KVM_PV_EOI_ON;
	u8 flag;

	if (!pv_allowed(v, 6, host) || (gpa & 3))
		return -EINVAL;
	if ((val & KVM_PV_EOI_ON) && gmem_read(v->vm, gpa, &flag, sizeof(flag)))
		return -EINVAL;
	v->priv->pv_eoi = val;
	return 0;
}

static int get_poll_control(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = v->priv->pv_poll_control;
	return pv_allowed(v, 12, host) ? 0 : -EINVAL;
}

static int set_poll_control(struct vcpu *v, u32 index, u64 val, bool host)
{
	if (!pv_allowed(v, 12, host) || (val & ~1UL))
		return -EINVAL;
	v->priv->pv_poll_control = val;
	return 0;
}

/* ---- by the table ---------------------------------------------------------------------------- */

#define CHECK_ANY	0
#define CHECK_CANON	1
#define CHECK_LOW32	2

static int check_value(u64 *val, unsigned int check)
{
	if (check == CHECK_CANON && !x86_canonical(*val))
		return -EINVAL;
	if (check == CHECK_LOW32)
		*val = (u32)*val;
	return 0;
}

static int set_state(struct vcpu *v, u64 *field, u64 val, unsigned int check)
{
	if (check_value(&val, check))
		return -EINVAL;
	*field = val;
	v->vm->vendor->regs_changed(v, REGS_MSR | REGS_SEG);
	return 0;
}

static int set_field(u64 *field, u64 val, u64 mask)
{
	if (val & ~mask)
		return -EINVAL;
	*field = val;
	return 0;
}

int msr_get(struct vcpu *v, u32 index, u64 *val, bool host)
{
	*val = 0;
	switch (index) {
#define MSR_FN(first, count, fn, list)		case (first) ... (first) + (count) - 1: return get_##fn(v, index, val, host);
#define MSR_STATE(index, field, check, list)	case index: *val = v->st->field; return 0;
#define MSR_FIELD(index, field, mask, list)	case index: *val = v->priv->field; return 0;
#define MSR_CONST(first, count, value, list)	case (first) ... (first) + (count) - 1: *val = (value); return 0;
#define MSR_READ(first, count, value, list)	case (first) ... (first) + (count) - 1: *val = (value); return 0;
#include "../x86/arch/msr.def"
#undef MSR_FN
#undef MSR_STATE
#undef MSR_FIELD
#undef MSR_CONST
#undef MSR_READ
	default:
		return -EINVAL;
	}
}

int msr_set(struct vcpu *v, u32 index, u64 val, bool host)
{
	switch (index) {
#define MSR_FN(first, count, fn, list)		case (first) ... (first) + (count) - 1: return set_##fn(v, index, val, host);
#define MSR_STATE(index, field, check, list)	case index: return set_state(v, &v->st->field, val, CHECK_##check);
#define MSR_FIELD(index, field, mask, list)	case index: return set_field(&v->priv->field, val, mask);
#define MSR_CONST(first, count, value, list)	case (first) ... (first) + (count) - 1: return 0;
#define MSR_READ(first, count, value, list)	case (first) ... (first) + (count) - 1: return -EINVAL;
#include "../x86/arch/msr.def"
#undef MSR_FN
#undef MSR_STATE
#undef MSR_FIELD
#undef MSR_CONST
#undef MSR_READ
	default:
		return -EINVAL;
	}
}

#define SAVE	true
#define NOSAVE	false

static const struct { u32 index; bool save; } table[] = {
#define MSR_FN(first, count, fn, list)		{ first, list },
#define MSR_STATE(index, field, check, list)	{ index, list },
#define MSR_FIELD(index, field, mask, list)	{ index, list },
#define MSR_CONST(first, count, value, list)	{ first, list },
#define MSR_READ(first, count, value, list)	{ first, list },
#include "../x86/arch/msr.def"
#undef MSR_FN
#undef MSR_STATE
#undef MSR_FIELD
#undef MSR_CONST
#undef MSR_READ
};

/** KVM_GET_MSR_INDEX_LIST: writes at most @max, returns how many there are. */
u32 msr_list(u32 *out, u32 max)
{
	u32 i, n = 0;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].save && n++ < max)
			out[n - 1] = table[i].index;
	return n;
}

static const u32 feature_msrs[] = { MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_BIOS_SIGN_ID, MSR_AMD64_DE_CFG };

/** KVM_GET_MSR_FEATURE_INDEX_LIST: as msr_list(). */
u32 msr_feature_list(u32 *out, u32 max)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(feature_msrs) && i < max; i++)
		out[i] = feature_msrs[i];
	return ARRAY_SIZE(feature_msrs);
}

/** KVM_GET_MSRS on the system descriptor. 0 or -EINVAL. */
int msr_feature_get(u32 index, u64 *val)
{
	switch (index) {
	case MSR_IA32_ARCH_CAPABILITIES:
		*val = policy_arch_capabilities(true);
		return 0;
	case MSR_IA32_BIOS_SIGN_ID:
		*val = policy_host_is_amd() ? 0x01000065 : 1UL << 32;
		return 0;
	case MSR_AMD64_DE_CFG:
		*val = DE_CFG_LFENCE_SERIALIZE;
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- the guest's instructions ---------------------------------------------------------------- */

/*
 * An access that the client wants to see (KVM_CAP_X86_USER_SPACE_MSR). -EAGAIN: run is filled;
 * -EFAULT: it does not
 */
static int client_msr(struct vcpu *v, u32 index, u64 data, bool write, u64 reason)
{
	struct kvm_run *run = v->run;

	if (!(v->vm->priv->user_space_msr_mask & reason))
		return -EFAULT;
	if (!v->priv->io.collecting)
		/* a vendor inside the guest: it comes again by EXIT_EMULATE */
		return -EAGAIN;
	v->priv->msr_exit.pending = true;
	v->priv->msr_exit.write = write;
	v->priv->msr_exit.index = index;
	host_memset(&run->msr, 0, sizeof(run->msr));
	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	run->msr.reason = reason;
	run->msr.index = index;
	run->msr.data = data;
	return -EAGAIN;
}

/* The client's answer to that exit. True: *ret says how it went. */
static bool client_answered(struct vcpu *v, u32 index, bool write, int *ret)
{
	struct vcpu_priv *p = v->priv;

	if (likely(!p->msr_exit.reply_ready))
		return false;
	p->msr_exit.reply_ready = false;
	if (p->msr_exit.index != index || p->msr_exit.write != write)
		return false;
	*ret = p->msr_exit.failed ? -EFAULT : 0;
	return true;
}

static bool known_msr(u32 index)
{
	switch (index) {
#define MSR_FN(first, count, fn, list)		case (first) ... (first) + (count) - 1:
#define MSR_STATE(index, field, check, list)	case index:
#define MSR_FIELD(index, field, mask, list)	case index:
#define MSR_CONST(first, count, value, list)	case (first) ... (first) + (count) - 1:
#define MSR_READ(first, count, value, list)	case (first) ... (first) + (count) - 1:
#include "../x86/arch/msr.def"
#undef MSR_FN
#undef MSR_STATE
#undef MSR_FIELD
#undef MSR_CONST
#undef MSR_READ
		return true;
	default:
		return false;
	}
}

static u64 refusal(u32 index)
{
	return known_msr(index) ? KVM_MSR_EXIT_REASON_INVAL : KVM_MSR_EXIT_REASON_UNKNOWN;
}

/** RDMSR. 0; -EFAULT: #GP(0); -EAGAIN: the client is asked. In a read section. */
int vcpu_msr_read(struct vcpu *v, u32 index, u64 *val)
{
	int ret;

	if (client_answered(v, index, false, &ret)) {
		*val = v->priv->msr_exit.data;
		return ret;
	}
	if (unlikely(host_load_relaxed(&v->vm->priv->msr_filter)) &&
	    !vm_msr_allowed(v->vm, index, false))
		return client_msr(v, index, 0, false, KVM_MSR_EXIT_REASON_FILTER);
	if (likely(!msr_get(v, index, val, false)))
		return 0;
	return client_msr(v, index, 0, false, refusal(index));
}

/** WRMSR. As vcpu_msr_read(). */
int vcpu_msr_write(struct vcpu *v, u32 index, u64 val)
{
	int ret;

	if (client_answered(v, index, true, &ret))
		return ret;
	if (unlikely(host_load_relaxed(&v->vm->priv->msr_filter)) &&
	    !vm_msr_allowed(v->vm, index, true))
		return client_msr(v, index, val, true, KVM_MSR_EXIT_REASON_FILTER);
	if (likely(!msr_set(v, index, val, false)))
		return 0;
	return client_msr(v, index, val, true, refusal(index));
}
