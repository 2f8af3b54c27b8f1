// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * CPUID policy: against the host's own CPUID, and by tables of SDM 2A CPUID and APM 3 appendix E.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include <cpuid.h>
#include "../../x86/policy/cpuid.h"
#include "../../x86/arch/cr.h"
#include "../../x86/arch/msr.h"
#include "../../x86/decode/decode.h"

static struct kvm_cpuid_entry2 e[POLICY_MAX_CPUID];
static u32 n;

static int setup(void **state)
{
	int ret = policy_supported_cpuid(e, POLICY_MAX_CPUID, NULL, true);

	assert_true(ret > 0);
	n = ret;
	return 0;
}

static u32 host(u32 leaf, u32 subleaf, enum cpuid_reg reg)
{
	u32 r[4] = { 0 };

	__get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]);
	return r[reg];
}

static void sizes(void **state)
{
	struct kvm_cpuid_entry2 few[POLICY_MAX_CPUID + 1];
	u32 i;

	assert_in_range(n, 20, POLICY_MAX_CPUID);
	for (i = 0; i < n; i++) {
		memset(few, 0xee, sizeof(few));
		assert_int_equal(policy_supported_cpuid(few, i, NULL, true), -E2BIG);
		assert_int_equal(few[i].function, 0xeeeeeeee);	/* nothing behind the buffer */
	}
	assert_int_equal(policy_supported_cpuid(few, n, NULL, true), n);
	for (i = 0; i < n; i++)
		/* no entry twice */
		assert_ptr_equal(policy_find(e, n, e[i].function, e[i].index), &e[i]);
}

/* Whatever the table exposes the host has; what must never show does not. */
static void bits(void **state)
{
	static const struct { u32 leaf, sub; enum cpuid_reg reg; u32 set, hidden; } words[] = {
		/* leaf 1 ECX: HYPERVISOR, X2APIC; MONITOR, VMX, PDCM, TSC_DEADLINE, OSXSAVE */
		{ 1, 0, CPUID_ECX, BIT(31) | BIT(21), BIT(3) | BIT(5) | BIT(15) | BIT(24) | BIT(27) },
		{ 1, 0, CPUID_EDX, BIT(9) | BIT(12) | BIT(16), BIT(18) | BIT(28) },
		/* leaf 7: TSC_ADJUST; HLE, RTM, MPX, AVX-512, PT */
		{ 7, 0, CPUID_EBX, BIT(1), BIT(4) | BIT(11) | BIT(14) | BIT(16) | BIT(17) | BIT(21) | BIT(25) | BIT(28) |
		  BIT(30) | BIT(31) },
		{ 7, 0, CPUID_ECX, 0, BIT(3) | BIT(4) | BIT(16) },	/* PKU, OSPKE, LA57 */
		{ 7, 0, CPUID_EDX, 0, BIT(26) | BIT(27) | BIT(31) },	/* SPEC_CTRL, STIBP, SSBD */
		{ 0xd, 1, CPUID_EAX, 0, BIT(4) },			/* XFD */
		{ 0x80000001, 0, CPUID_ECX, 0, BIT(2) | BIT(29) },	/* SVM, MWAITX */
		{ 0x80000001, 0, CPUID_EDX, 0, BIT(25) | BIT(31) },	/* FFXSR, 3DNow! */
		{ 0x80000007, 0, CPUID_EDX, 0, 0xfffffeff },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		const struct kvm_cpuid_entry2 *f = policy_find(e, n, words[i].leaf, words[i].sub);
		u32 r;

		if (!f)
			continue;
		r = (const u32[]){ f->eax, f->ebx, f->ecx, f->edx }[words[i].reg];
		assert_int_equal(r & words[i].set, words[i].set);
		assert_int_equal(r & words[i].hidden, 0);
		assert_int_equal(
			r & ~words[i].set & ~host(words[i].leaf, words[i].sub, words[i].reg), 0);
	}
	/* ARAT: Linux takes the APIC timer in idle */
	assert_true(policy_bit(e, n, 6, 0, CPUID_EAX, 2));
	assert_int_equal(policy_bit(e, n, 0x80000007, 0, CPUID_EDX, 8),
			 host(0x80000007, 0, CPUID_EDX) >> 8 & 1);
}

/* x86-64-v3, System V ABI's level, where the host has it. */
static void level_v3(void **state)
{
	static const struct { u32 leaf; enum cpuid_reg reg; u8 bit; } v3[] = {
		{ 1, CPUID_ECX, 0 }, { 1, CPUID_ECX, 9 }, { 1, CPUID_ECX, 12 }, { 1, CPUID_ECX, 13 }, { 1, CPUID_ECX, 19 },
		{ 1, CPUID_ECX, 20 }, { 1, CPUID_ECX, 22 }, { 1, CPUID_ECX, 23 }, { 1, CPUID_ECX, 26 },
		{ 1, CPUID_ECX, 28 }, { 1, CPUID_ECX, 29 }, { 7, CPUID_EBX, 3 }, { 7, CPUID_EBX, 5 }, { 7, CPUID_EBX, 8 },
		{ 0x80000001, CPUID_ECX, 0 }, { 0x80000001, CPUID_ECX, 5 }, { 0x80000001, CPUID_EDX, 29 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(v3); i++)
		assert_int_equal(policy_bit(e, n, v3[i].leaf, 0, v3[i].reg, v3[i].bit),
				 host(v3[i].leaf, 0, v3[i].reg) >> v3[i].bit & 1);
}

static void limit_rdtscp(u32 leaf, u32 subleaf, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	if (leaf == 0x80000001)
		*edx &= ~(1u << 27);
	if (leaf == 1)
		*ecx &= ~(1u << 28);	/* AVX */
}

static void vendor_limits(void **state)
{
	struct kvm_cpuid_entry2 f[POLICY_MAX_CPUID];
	int m = policy_supported_cpuid(f, POLICY_MAX_CPUID, limit_rdtscp, true);

	assert_true(m > 0);
	assert_false(policy_bit(f, m, 0x80000001, 0, CPUID_EDX, 27));
	assert_false(policy_bit(f, m, 1, 0, CPUID_ECX, 28));
	/* no AVX, no AVX state */
	assert_int_equal(policy_xcr0(f, m) & XCR0_AVX, 0);
	assert_null(policy_find(f, m, 0xd, 2));
}

/*
 * A hardware vendor's guests see what the hardware says of speculation, not what a translator may.
 */
static void speculation(void **state)
{
	struct kvm_cpuid_entry2 f[POLICY_MAX_CPUID];
	int m = policy_supported_cpuid(f, POLICY_MAX_CPUID, NULL, false);

	assert_int_equal(policy_arch_capabilities(false), 0);
	if (policy_host_is_amd()) {
		static const struct { u32 leaf; enum cpuid_reg reg; u8 bit; } no[] = {
			/* SSB_NO, BTC_NO */
			{ 0x80000008, CPUID_EBX, 26 }, { 0x80000008, CPUID_EBX, 29 },
			/* automatic IBRS, SRSO_NO */
			{ 0x80000021, CPUID_EAX, 8 }, { 0x80000021, CPUID_EAX, 29 },
			{ 0x80000021, CPUID_ECX, 1 }, { 0x80000021, CPUID_ECX, 2 },	/* TSA */
		};
		unsigned int i;

		for (i = 0; i < ARRAY_SIZE(no); i++) {
			assert_true(policy_bit(e, n, no[i].leaf, 0, no[i].reg, no[i].bit));
			assert_int_equal(policy_bit(f, m, no[i].leaf, 0, no[i].reg, no[i].bit),
					 host(no[i].leaf, 0, no[i].reg) >> no[i].bit & 1);
		}
		assert_true(policy_efer(e, n) & EFER_AUTOIBRS);
		assert_false(policy_bit(e, n, 7, 0, CPUID_EDX, 29));
	} else {
		assert_true(policy_bit(e, n, 7, 0, CPUID_EDX, 29));
		assert_true(policy_arch_capabilities(true) & ARCH_CAP_IBRS_ALL);
		assert_true(policy_arch_capabilities(true) & ARCH_CAP_RDCL_NO);
	}
}

static void xsave_layout(void **state)
{
	if (!policy_find(e, n, 0xd, 0))
		skip();
	assert_int_equal(policy_xcr0(e, n) & ~host(0xd, 0, CPUID_EAX), 0);
	assert_int_equal(policy_xsave_size(XCR0_X87), 576);	/* SDM 1 13.4.1, 13.4.2: 512 + 64 */
	assert_int_equal(policy_xsave_size(XCR0_X87 | XCR0_SSE), 576);
	if (policy_xcr0(e, n) & XCR0_AVX) {
		/* the place and size of AVX state are what the host's processor says */
		assert_int_equal(policy_find(e, n, 0xd, 2)->eax, host(0xd, 2, CPUID_EAX));
		assert_int_equal(policy_find(e, n, 0xd, 2)->ebx, host(0xd, 2, CPUID_EBX));
		assert_int_equal(policy_xsave_size(7),
				 host(0xd, 2, CPUID_EAX) + host(0xd, 2, CPUID_EBX));
	}
}

static void paravirtual(void **state)
{
	const struct kvm_cpuid_entry2 *f = policy_find(e, n, 0x40000000, 0);

	assert_int_equal(f->eax, 0x40000001);
	assert_memory_equal(&f->ebx, "KVMKVMKVM\0\0\0", 12);
	f = policy_find(e, n, 0x40000001, 0);
	assert_true(f->eax & BIT(3));			/* clocksource2 */
	assert_true(f->eax & BIT(24));			/* stable */
	assert_true(f->eax & BIT(6));			/* PV EOI */
	assert_true(f->eax & BIT(9));			/* PV TLB flush */
	/* async PF */
	assert_int_equal(f->eax & (BIT(4) | BIT(10) | BIT(14)), 0);
	assert_int_equal(f->edx, 0);
}

/* ---- lookup ---------------------------------------------------------------------------------- */

#define INDEXED	KVM_CPUID_FLAG_SIGNIFCANT_INDEX

static void out_of_range(void **state)
{
	struct kvm_cpuid_entry2 t[] = {
		{ .function = 0, .eax = 0xb, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69 },
		{ .function = 1, .eax = 0x11 },
		{ .function = 4, .index = 0, .flags = INDEXED, .eax = 0x40 },
		{ .function = 4, .index = 1, .flags = INDEXED, .eax = 0x41 },
		{ .function = 0xb, .index = 0, .flags = INDEXED, .eax = 0xb0, .edx = 7 },
		{ .function = 0xb, .index = 1, .flags = INDEXED, .eax = 0xb1, .edx = 7 },
		{ .function = 0x40000000, .eax = 0x40000001 },
		{ .function = 0x80000000, .eax = 0x80000004 },
		{ .function = 0x80000004, .eax = 0x84 },
	};
	static const struct { u32 leaf, sub, intel, amd; } rows[] = {
		{ 1, 5, 0x11, 0x11 },			/* subleaf does not count */
		{ 4, 1, 0x41, 0x41 },
		{ 4, 2, 0, 0 },				/* within range: zeros */
		{ 3, 0, 0, 0 },
		/* out of range: Intel's highest basic leaf */
		{ 0xc, 0, 0xb0, 0 },
		{ 0x1000, 1, 0xb1, 0 },
		{ 0x40000001, 0, 0, 0 },
		{ 0x40000002, 0, 0xb0, 0 },
		{ 0x80000003, 0, 0, 0 },
		{ 0x80000004, 0, 0x84, 0x84 },
		{ 0x80000005, 0, 0xb0, 0 },
		{ 0xc0000000, 0, 0xb0, 0 },
	};
	unsigned int i;
	u32 r[4];

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		t[0].ebx = 0x756e6547;
		policy_lookup(t, ARRAY_SIZE(t), rows[i].leaf, rows[i].sub, r);
		assert_int_equal(r[0], rows[i].intel);
		t[0].ebx = 0x68747541;
		policy_lookup(t, ARRAY_SIZE(t), rows[i].leaf, rows[i].sub, r);
		assert_int_equal(r[0], rows[i].amd);
	}
	/* a level that does not exist: its number and the x2APIC id */
	policy_lookup(t, ARRAY_SIZE(t), 0xb, 5, r);
	assert_int_equal(r[0], 0);
	assert_int_equal(r[2], 5);
	assert_int_equal(r[3], 7);
	policy_lookup(NULL, 0, 0, 0, r);
	assert_int_equal(r[0] | r[1] | r[2] | r[3], 0);
}

/* ---- what follows from it -------------------------------------------------------------------- */

static bool has(const u64 f[2], unsigned int feature)
{
	return f[feature / 64] >> (feature % 64) & 1;
}

static struct kvm_cpuid_entry2 *guest_entry(struct kvm_cpuid_entry2 *g, u32 leaf, u32 sub)
{
	return (struct kvm_cpuid_entry2 *)policy_find(g, n, leaf, sub);
}

static void features(void **state)
{
	struct kvm_cpuid_entry2 g[POLICY_MAX_CPUID];
	u64 f[2];

	policy_features(e, n, e, n, f);
	assert_true(has(f, FEAT_BASE) && has(f, FEAT_X87) && has(f, FEAT_SSE2) &&
		    has(f, FEAT_CMOV));
	assert_int_equal(has(f, FEAT_AVX2), host(7, 0, CPUID_EBX) >> 5 & 1);
	assert_int_equal(has(f, FEAT_RDTSCP), host(0x80000001, 0, CPUID_EDX) >> 27 & 1);
	assert_false(has(f, FEAT_VMX) || has(f, FEAT_SVM) || has(f, FEAT_PKU));
	assert_int_equal(has(f, FEAT_XSAVES), host(0xd, 1, CPUID_EAX) >> 3 & 1);

	/* no CPUID at all: instructions that nothing guards work, as on hardware */
	policy_features(e, n, NULL, 0, f);
	assert_true(has(f, FEAT_SSE2) && has(f, FEAT_CMOV));
	assert_int_equal(has(f, FEAT_AVX2), host(7, 0, CPUID_EBX) >> 5 & 1);
	assert_false(has(f, FEAT_RDTSCP) || has(f, FEAT_INVPCID) || has(f, FEAT_FSGSBASE) ||
		     has(f, FEAT_XSAVE));

	memcpy(g, e, sizeof(g));
	guest_entry(g, 1, 0)->ecx &= ~(BIT(26) | BIT(17));	/* XSAVE, PCID */
	guest_entry(g, 7, 0)->ebx &= ~(BIT(7) | BIT(20));	/* SMEP, SMAP */
	policy_features(e, n, g, n, f);
	assert_false(has(f, FEAT_XSAVE) || has(f, FEAT_SMAP));
	assert_int_equal(policy_cr4(g, n) & (CR4_OSXSAVE | CR4_PCIDE | CR4_SMEP | CR4_SMAP), 0);
	assert_int_equal(policy_cr4(e, n) & (CR4_VMXE | CR4_SMXE | CR4_LA57 | CR4_PKE), 0);
	assert_true(policy_cr4(NULL, 0) & CR4_PAE);
}

static void widths(void **state)
{
	struct kvm_cpuid_entry2 w = { .function = 0x80000008, .eax = 0x3028 };
	static const struct { u32 eax; u8 bits; } rows[] = {
		{ 0x3028, 40 }, { 0x3034, 52 }, { 0x3020, 32 }, { 0x3035, 36 }, { 0x301f, 36 }, { 0, 36 }, { 0x30ff, 36 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		w.eax = rows[i].eax;
		assert_int_equal(policy_maxphyaddr(&w, 1), rows[i].bits);
	}
	assert_int_equal(policy_maxphyaddr(NULL, 0), 36);
	assert_int_equal(policy_maxphyaddr(e, n), host(0x80000008, 0, CPUID_EAX) & 0xff);
	assert_int_equal(policy_efer(NULL, 0), EFER_SCE);
	assert_int_equal(policy_efer(e, n) & (EFER_LME | EFER_NX | EFER_SVME), EFER_LME | EFER_NX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),       cmocka_unit_test(bits),
		cmocka_unit_test(level_v3),    cmocka_unit_test(vendor_limits),
		cmocka_unit_test(speculation), cmocka_unit_test(xsave_layout),
		cmocka_unit_test(paravirtual), cmocka_unit_test(out_of_range),
		cmocka_unit_test(features),    cmocka_unit_test(widths),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
