// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * MSRs: the list that clients save and restore, legality of values, the TSC's rules, control
 * registers.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "t_interp.h"
#include "../../x86/policy/cpuid.h"

static struct vcpu *v;

static void supported_cpuid(void)
{
	static struct { struct kvm_cpuid2 c; struct kvm_cpuid_entry2 e[POLICY_MAX_CPUID]; } s;

	s.c.nent = POLICY_MAX_CPUID;
	assert_int_equal(t_ioctl_n(-1, KVM_GET_SUPPORTED_CPUID, (u64)&s), 0);
	assert_int_equal(t_ioctl_n(t_interp.vcpu_fd, KVM_SET_CPUID2, (u64)&s), 0);
}

static int setup(void **state)
{
	t_interp_begin(true, 16);
	v = t_interp.v;
	return 0;
}

static int teardown(void **state)
{
	t_interp_end();
	return 0;
}

static void list_is_restorable(void **state)
{
	u32 list[256], n, i;
	u64 val, again;

	supported_cpuid();
	n = msr_list(list, 256);
	assert_in_range(n, 20, 255);
	assert_int_equal(msr_list(list, 3), n);
	for (i = 0; i < n; i++) {
		assert_int_equal(msr_get(v, list[i], &val, true), 0);
		assert_int_equal(msr_set(v, list[i], val, true), 0);
		assert_int_equal(msr_get(v, list[i], &again, true), 0);
		if (list[i] != MSR_IA32_TSC)
			assert_true(again == val);
	}
	n = msr_feature_list(list, 256);
	assert_true(n > 0);
	for (i = 0; i < n; i++)
		assert_int_equal(msr_feature_get(list[i], &val), 0);
	assert_int_equal(msr_feature_get(0x12345678, &val), -EINVAL);
}

/*
 * Every number, both ways, with random values: nothing but 0 and -EINVAL, and what was refused did
 * not change.
 */
static void all_numbers(void **state)
{
	static const u32 ranges[][2] = { { 0, 0x2000 }, { 0xc0000000, 0xc0000200 }, { 0xc0010000, 0xc0012000 },
					 { 0x4b564d00, 0x4b564d20 }, { 0xffffff00, 0xffffffff } };
	u64 seed = 88172645463325252, before, after;
	unsigned int r, k;
	u32 i;

	for (r = 0; r < ARRAY_SIZE(ranges); r++)
		for (i = ranges[r][0]; i != ranges[r][1]; i++)
			for (k = 0; k < 4; k++) {
				int was = msr_get(v, i, &before, k & 1), ret;

				seed ^= seed << 13;
				seed ^= seed >> 7;
				seed ^= seed << 17;
				ret = msr_set(v, i, k < 2 ? seed : seed & 0x1f, k & 1);
				assert_true(ret == 0 || ret == -EINVAL);
				assert_true(was == 0 || was == -EINVAL);
				if (!ret || was || i == MSR_IA32_TSC ||
				    (i & ~0xffu) == MSR_X2APIC_FIRST)
					continue;
				assert_int_equal(msr_get(v, i, &after, k & 1), 0);
				assert_true(before == after);
			}
}

static void legality(void **state)
{
	static const struct { u32 index; u64 val; int guest; } rows[] = {
		{ MSR_LSTAR, 0x7fffffffffff, 0 }, { MSR_LSTAR, 0x800000000000, -EINVAL },
		{ MSR_LSTAR, 0xffff800000000000, 0 }, { MSR_KERNEL_GS_BASE, 1UL << 63, -EINVAL },
		{ MSR_GS_BASE, 0xffff888000000000, 0 }, { MSR_FS_BASE, 0x8000000000000000, -EINVAL },
		/* PAT: UC- is 7, 2 and 3 are reserved; MTRRs have no UC- */
		{ MSR_IA32_PAT, PAT_RESET, 0 }, { MSR_IA32_PAT, 0x0007040600070402, -EINVAL },
		{ MSR_IA32_PAT, 0x0807040600070406, -EINVAL },
		{ MSR_MTRR_FIX64K_00000, 0x0606060606060606, 0 }, { MSR_MTRR_FIX64K_00000, 0x0706060606060606, -EINVAL },
		{ MSR_MTRR_FIX4K_F8000, 0x0505050505050505, 0 },
		{ MSR_MTRR_DEF_TYPE, 0xc06, 0 }, { MSR_MTRR_DEF_TYPE, 0x1006, -EINVAL }, { MSR_MTRR_DEF_TYPE, 2, -EINVAL },
		{ MSR_MTRR_PHYSBASE0, 0xc0000006, 0 }, { MSR_MTRR_PHYSBASE0, 0xc0000106, -EINVAL },
		{ MSR_MTRR_PHYSBASE0 + 1, 0xfc0000800, 0 }, { MSR_MTRR_PHYSBASE0 + 1, 0xfc0000400, -EINVAL },
		{ MSR_MTRR_PHYSBASE0 + 1, 1UL << 63, -EINVAL },
		{ MSR_IA32_MCG_CAP, 0, -EINVAL },
		{ MSR_IA32_MC0_CTL, ~0UL, 0 }, { MSR_IA32_MC0_CTL, ~0UL & ~BIT(10), 0 }, { MSR_IA32_MC0_CTL, 6, -EINVAL },
		{ MSR_IA32_MC0_CTL + 1, 0, 0 }, { MSR_IA32_MC0_CTL + 1, 1, -EINVAL },
		{ MSR_IA32_FEATURE_CONTROL, 5, -EINVAL },
		{ MSR_IA32_SMBASE, 0x30000, -EINVAL }, { MSR_PLATFORM_INFO, 0, -EINVAL },
		{ MSR_IA32_ARCH_CAPABILITIES, 0, -EINVAL },
		{ MSR_EFER, EFER_SCE | EFER_LME | EFER_NX, 0 }, { MSR_EFER, EFER_SVME, -EINVAL },
		{ MSR_KVM_STEAL_TIME, 0x2001, 0 }, { MSR_KVM_STEAL_TIME, 0x2003, -EINVAL },
		{ MSR_KVM_POLL_CONTROL, 0, 0 }, { MSR_KVM_POLL_CONTROL, 2, -EINVAL },
		{ MSR_KVM_ASYNC_PF_EN, 0, -EINVAL }, { MSR_KVM_PV_EOI_EN, 2, -EINVAL },
		{ MSR_IA32_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE | APIC_BASE_BSP, 0 },
		/* x2APIC without enable */
		{ MSR_IA32_APIC_BASE, 0xfee00000 | APIC_BASE_X2APIC, -EINVAL },
		{ 0x40000000, 0, -EINVAL }, { 0xda0, 1, -EINVAL }, { 0x480, 0, -EINVAL },
	};
	unsigned int i;

	supported_cpuid();
	v->priv->mcg_cap = 10;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (msr_set(v, rows[i].index, rows[i].val, false) != rows[i].guest)
			fail_msg("row %u: MSR %#x = %#llx", i, rows[i].index, rows[i].val);
}

/* SDM 3B 17.17.3, and what the API says of host writes. */
static void tsc_and_adjust(void **state)
{
	u64 adjust, tsc, t0 = vcpu_guest_tsc(v), k = 10000000000000ULL;

	/* the guest's write of either moves both */
	assert_int_equal(msr_set(v, MSR_IA32_TSC_ADJUST, k, false), 0);
	tsc = vcpu_guest_tsc(v);
	assert_in_range(tsc - k, t0, t0 + 1000000000);
	assert_int_equal(msr_set(v, MSR_IA32_TSC, 5 * k, false), 0);
	assert_in_range(vcpu_guest_tsc(v), 5 * k, 5 * k + 1000000000);
	msr_get(v, MSR_IA32_TSC_ADJUST, &adjust, false);
	assert_in_range(adjust, 5 * k - t0 - 1000000000, 5 * k - t0);
	/* the client's write of ADJUST moves nothing, its write of the TSC leaves ADJUST */
	tsc = vcpu_guest_tsc(v);
	assert_int_equal(msr_set(v, MSR_IA32_TSC_ADJUST, 0, true), 0);
	assert_in_range(vcpu_guest_tsc(v), tsc, tsc + 1000000000);
	assert_int_equal(msr_set(v, MSR_IA32_TSC, 9 * k, true), 0);
	msr_get(v, MSR_IA32_TSC_ADJUST, &adjust, true);
	assert_int_equal(adjust, 0);
	assert_in_range(vcpu_guest_tsc(v), 9 * k, 9 * k + 1000000000);
}

/*
 * Host writes within a second of the others mean "equal": vCPUs that are restored one by one end up
 * the same.
 */
static void tsc_synchronised(void **state)
{
	int fd = t_ioctl_n(t_interp.vm_fd, KVM_CREATE_VCPU, 1);
	struct vcpu *w = t_vcpu_obj(fd);
	u64 hz = v->priv->tsc_khz * 1000;

	assert_true(hz > 0);
	assert_int_equal(v->st->tsc_offset, w->st->tsc_offset);	/* from power-up on */
	assert_int_equal(msr_set(v, MSR_IA32_TSC, 1000 * hz, true), 0);
	assert_int_not_equal(v->st->tsc_offset, w->st->tsc_offset);
	assert_int_equal(msr_set(w, MSR_IA32_TSC, 1000 * hz + hz / 2, true), 0);
	assert_int_equal(v->st->tsc_offset, w->st->tsc_offset);
	assert_int_equal(msr_set(w, MSR_IA32_TSC, 1000 * hz - hz / 2, true), 0);
	assert_int_equal(v->st->tsc_offset, w->st->tsc_offset);
	assert_int_equal(msr_set(w, MSR_IA32_TSC, 0, true), 0);
	assert_int_equal(v->st->tsc_offset, w->st->tsc_offset);
	assert_int_equal(msr_set(w, MSR_IA32_TSC, 1010 * hz, true), 0);
	assert_int_not_equal(v->st->tsc_offset, w->st->tsc_offset);
	t_fd_close(fd);
}

static void machine_check_banks(void **state)
{
	u64 val;

	v->priv->mcg_cap = 4;
	assert_int_equal(msr_get(v, MSR_IA32_MC0_CTL + 15, &val, false), 0);
	assert_int_equal(msr_get(v, MSR_IA32_MC0_CTL + 16, &val, false), -EINVAL);
	v->priv->mcg_cap = 0xff;	/* more than there is room for */
	assert_int_equal(msr_get(v, MSR_IA32_MC0_CTL + 127, &val, true), 0);
	assert_int_equal(msr_set(v, MSR_IA32_MC0_CTL + 128, 0, true), -EINVAL);
	/* AMD's McStatusWrEn */
	assert_int_equal(msr_set(v, MSR_IA32_MC0_CTL + 1, 7, false), -EINVAL);
	assert_int_equal(msr_set(v, MSR_K7_HWCR, HWCR_MCSTATUS_WREN, false), 0);
	assert_int_equal(msr_set(v, MSR_IA32_MC0_CTL + 1, 7, false), 0);
}

/* ---- control registers: SDM 3A 2.5, 4.1.2, 4.10.1 -------------------------------------------- */

static void control_registers(void **state)
{
	struct x86_state *st = v->st;

	supported_cpuid();
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PG), -EFAULT);		/* PG without PE */
	assert_int_equal(vcpu_cr_write(v, 0, CR0_NW), -EFAULT);		/* NW without CD */
	assert_int_equal(vcpu_cr_write(v, 0, 1UL << 32), -EFAULT);
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PE), 0);
	assert_int_equal(st->cr0, CR0_PE | CR0_ET);			/* ET is always 1 */
	assert_int_equal(vcpu_cr_write(v, 4, CR4_VMXE), -EFAULT);
	assert_int_equal(vcpu_cr_write(v, 4, CR4_PCIDE), -EFAULT);	/* outside long mode */
	assert_int_equal(vcpu_cr_write(v, 4, 1UL << 40), -EFAULT);

	/* long mode: LME, PAE, then PG */
	assert_int_equal(vcpu_cr_write(v, EMUL_EFER, EFER_LME), 0);
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PE | CR0_PG), -EFAULT);	/* without PAE */
	assert_int_equal(st->efer & EFER_LMA, 0);
	assert_int_equal(vcpu_cr_write(v, 4, CR4_PAE), 0);
	st->seg[X86_CS].attr |= SEG_L;
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PE | CR0_PG), -EFAULT);	/* CS.L set */
	st->seg[X86_CS].attr &= ~SEG_L;
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PE | CR0_PG), 0);
	assert_int_equal(st->efer & EFER_LMA, EFER_LMA);
	assert_int_equal(vcpu_cr_write(v, 4, 0), -EFAULT);			/* PAE stays */
	/* LME under paging */
	assert_int_equal(vcpu_cr_write(v, EMUL_EFER, 0), -EFAULT);
	assert_int_equal(vcpu_cr_write(v, EMUL_EFER, EFER_LME | EFER_NX), 0);
	assert_int_equal(st->efer, EFER_LME | EFER_LMA | EFER_NX);

	/* CR3: reserved bits, PCID */
	assert_int_equal(vcpu_cr_write(v, 3, 1UL << 63), -EFAULT);
	assert_int_equal(vcpu_cr_write(v, 3, 1UL << vcpu_maxphyaddr(v)), -EFAULT);
	if (v->priv->cr4_allowed & CR4_PCIDE) {
		unsigned int flushes;

		st->cr3 = 0x5001;
		/* a PCID in CR3 */
		assert_int_equal(vcpu_cr_write(v, 4, CR4_PAE | CR4_PCIDE), -EFAULT);
		st->cr3 = 0x5000;
		assert_int_equal(vcpu_cr_write(v, 4, CR4_PAE | CR4_PCIDE), 0);
		flushes = t_vendor.flushes;
		assert_int_equal(vcpu_cr_write(v, 3, 0x6001 | 1UL << 63), 0);
		assert_int_equal(st->cr3, 0x6001);
		assert_int_equal(t_vendor.flushes, flushes);
		assert_int_equal(vcpu_cr_write(v, 3, 0x6001), 0);
		assert_int_equal(t_vendor.flushes, flushes + 1);
		assert_int_equal(vcpu_cr_write(v, 0, CR0_PE), -EFAULT);	/* paging off under PCID */
		assert_int_equal(vcpu_cr_write(v, 4, CR4_PAE), 0);
	}
	/* leaving long mode */
	st->seg[X86_CS].attr |= SEG_L;
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PE), -EFAULT);
	st->seg[X86_CS].attr &= ~SEG_L;
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PE), 0);
	assert_int_equal(st->efer & EFER_LMA, 0);
}

static void pae_pointers(void **state)
{
	u64 *pdpt = (u64 *)(t_interp.ram + 0x3020);

	supported_cpuid();
	assert_int_equal(vcpu_cr_write(v, 4, CR4_PAE), 0);
	v->st->cr3 = 0x3020;
	pdpt[2] = 0x4000 | BIT(1) | 1;				/* R/W is reserved in it */
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PE | CR0_PG), -EFAULT);
	pdpt[2] = 0x4000 | 1;
	pdpt[3] = ~1UL;						/* not present: anything goes */
	assert_int_equal(vcpu_cr_write(v, 0, CR0_PE | CR0_PG), 0);
	assert_int_equal(v->st->pdptr[2], 0x4001);
	pdpt[0] = 1UL << vcpu_maxphyaddr(v) | 1;
	assert_int_equal(vcpu_cr_write(v, 3, 0x3020), -EFAULT);
	assert_int_equal(vcpu_cr_write(v, 3, 0x40000000), -EFAULT);	/* no memory there */
	assert_int_equal(v->st->cr3, 0x3020);
}

static void xcr0(void **state)
{
	supported_cpuid();
	assert_int_equal(vcpu_cr_write(v, EMUL_XCR0, 0), -EFAULT);
	assert_int_equal(vcpu_cr_write(v, EMUL_XCR0, 5), -EFAULT);	/* AVX without SSE */
	assert_int_equal(vcpu_cr_write(v, EMUL_XCR0, 1UL << 9 | 1), -EFAULT);
	assert_int_equal(vcpu_cr_write(v, EMUL_XCR0, 3), v->priv->xcr0_allowed & 2 ? 0 : -EFAULT);
}

/* Bits and sizes of CPUID that follow the registers. */
static void runtime_cpuid(void **state)
{
	u32 a, b, c, d;

	supported_cpuid();
	if (!(v->priv->cr4_allowed & CR4_OSXSAVE))
		skip();
	a = 1;
	c = 0;
	vcpu_cpuid(v, &a, &b, &c, &d);
	assert_false(c & BIT(27));
	assert_true(d & BIT(9));
	assert_int_equal(vcpu_cr_write(v, 4, CR4_OSXSAVE), 0);
	assert_int_equal(msr_set(v, MSR_IA32_APIC_BASE, 0xfee00000 | APIC_BASE_BSP, false), 0);
	a = 1;
	c = 0;
	vcpu_cpuid(v, &a, &b, &c, &d);
	assert_true(c & BIT(27));
	assert_false(d & BIT(9));			/* the APIC is switched off */
	a = 0xd;
	c = 0;
	vcpu_cpuid(v, &a, &b, &c, &d);
	assert_int_equal(b, 576);
	if (!(v->priv->xcr0_allowed & XCR0_AVX))
		return;
	assert_int_equal(vcpu_cr_write(v, EMUL_XCR0, 7), 0);
	a = 0xd;
	c = 0;
	vcpu_cpuid(v, &a, &b, &c, &d);
	assert_int_equal(b, 832);
	a = 0xd;
	c = 1;
	vcpu_cpuid(v, &a, &b, &c, &d);
	assert_int_equal(b, 832);
}

static void cpuid_after_run(void **state)
{
	static struct { struct kvm_cpuid2 c; struct kvm_cpuid_entry2 e[POLICY_MAX_CPUID]; } s;

	s.c.nent = POLICY_MAX_CPUID;
	assert_int_equal(t_ioctl_n(-1, KVM_GET_SUPPORTED_CPUID, (u64)&s), 0);
	assert_int_equal(t_ioctl_n(t_interp.vcpu_fd, KVM_SET_CPUID2, (u64)&s), 0);
	t_interp.budget = 0;
	assert_int_equal(t_interp_run(), 0);
	/* the same again */
	assert_int_equal(t_ioctl_n(t_interp.vcpu_fd, KVM_SET_CPUID2, (u64)&s), 0);
	s.e[1].ecx ^= 1;
	assert_int_equal(t_ioctl_n(t_interp.vcpu_fd, KVM_SET_CPUID2, (u64)&s), -EINVAL);
}

int main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(list_is_restorable), T(all_numbers), T(legality), T(tsc_and_adjust), T(tsc_synchronised),
		T(machine_check_banks), T(control_registers), T(pae_pointers), T(xcr0), T(runtime_cpuid),
		T(cpuid_after_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
