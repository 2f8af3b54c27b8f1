// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * cpuid.c - the CPUID that guests may see, from the host's by the table in cpuid.def, and what
 * follows from it.
 */
#include "../../host/host.h"
#include "../arch/cr.h"
#include "../arch/msr.h"
#include "../decode/decode.h"
#include "cpuid.h"

enum cpuid_action { EXPOSE, HIDE, SET, SOFTWARE, UNAFFECTED_AMD, UNAFFECTED_INTEL };

struct cpuid_bit {
	u32 leaf;
	u8 subleaf, reg, bit, action;
};

static const struct cpuid_bit bits[] = {
#define CPUID_BIT(leaf, subleaf, reg, bit, name, action) { leaf, subleaf, CPUID_##reg, bit, action },
#include "cpuid.def"
#undef CPUID_BIT
};

#define XSAVE_LEGACY	576u	/* FXSAVE image and header */
#define XSAVE_AVX_SIZE	256u

static void host_cpuid(u32 leaf, u32 subleaf, u32 r[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "a"(leaf), "c"(subleaf));
}

static bool vendor_is_amd(u32 ebx)
{
	return ebx == 0x68747541 || ebx == 0x6f677948;	/* "Auth"enticAMD, "Hygo"nGenuine */
}

bool policy_host_is_amd(void)
{
	u32 r[4];

	host_cpuid(0, 0, r);
	return vendor_is_amd(r[CPUID_EBX]);
}

u64 policy_arch_capabilities(bool software)
{
	if (!software || policy_host_is_amd())
		return 0;
	return ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_SKIP_L1DFL | ARCH_CAP_SSB_NO |
	       ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO |
	       ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO |
	       ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO | ARCH_CAP_ITS_NO;
}

/* ---- the supported entries ------------------------------------------------------------------- */

struct builder {
	struct kvm_cpuid_entry2 *e;
	u32 n, max;
	policy_limit_fn limit;
	bool software, amd;
	u64 xcr0;
};

static bool action_sets(const struct builder *b, u8 action)
{
	return action == SET || (b->software && action == SOFTWARE) ||
	       (b->software && action == (b->amd ? UNAFFECTED_AMD : UNAFFECTED_INTEL));
}

static bool action_exposes(const struct builder *b, u8 action)
{
	return action == EXPOSE ||
	       (!b->software && (action == SOFTWARE || action == UNAFFECTED_AMD ||
				action == UNAFFECTED_INTEL));
}

/* A register of features: what the table leaves of the host's value. */
static u32 feature_word(const struct builder *b, u32 leaf, u32 subleaf, unsigned int reg, u32 host)
{
	u32 expose = 0, set = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		const struct cpuid_bit *c = &bits[i];

		if (c->leaf != leaf || c->subleaf != subleaf || c->reg != reg)
			continue;
		if (action_sets(b, c->action))
			set |= 1u << c->bit;
		else if (action_exposes(b, c->action))
			expose |= 1u << c->bit;
	}
	return (host & expose) | set;
}

static void add(struct builder *b, u32 leaf, u32 subleaf, bool indexed, const u32 r[4])
{
	struct kvm_cpuid_entry2 *e = &b->e[b->n];
	u32 v[4] = { r[0], r[1], r[2], r[3] };

	if (b->n++ >= b->max)
		return;
	if (b->limit)
		b->limit(leaf, subleaf, &v[0], &v[1], &v[2], &v[3]);
	*e = (struct kvm_cpuid_entry2){
		.function = leaf, .index = indexed ? subleaf : 0,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = v[0], .ebx = v[1], .ecx = v[2], .edx = v[3],
	};
}

static void add_basic(struct builder *b)
{
	u32 r[4], max;

	host_cpuid(0, 0, r);
	max = min(r[0], 0xdu);
	r[0] = max;
	add(b, 0, 0, false, r);

	host_cpuid(1, 0, r);
	/* CLFLUSH line; one logical processor; the APIC id is the client's */
	r[1] = (r[1] & 0xff00) | 1u << 16;
	r[2] = feature_word(b, 1, 0, CPUID_ECX, r[2]);
	r[3] = feature_word(b, 1, 0, CPUID_EDX, r[3]);
	add(b, 1, 0, false, r);
	if (!b->amd) {
		host_cpuid(2, 0, r);
		add(b, 2, 0, false, r);
	}
}

/*
 * Deterministic caches: leaf 4, or AMD's 0x8000001d. Who shares them is the client's topology:
 * nobody, until told.
 */
static void add_caches(struct builder *b, u32 leaf)
{
	u32 r[4], i;

	for (i = 0; i < 8; i++) {
		host_cpuid(leaf, i, r);
		r[0] &= 0x3fff;
		add(b, leaf, i, true, r);
		if (!(r[0] & 0x1f))
			break;
	}
}

static void add_features(struct builder *b, u32 max)
{
	static const u32 none[4];
	u32 r[4], r1[4];

	if (max >= 4 && !b->amd)
		add_caches(b, 4);
	add(b, 5, 0, false, none);		/* no MONITOR */
	host_cpuid(6, 0, r);
	r[0] = feature_word(b, 6, 0, CPUID_EAX, r[0]);
	r[1] = r[2] = r[3] = 0;
	add(b, 6, 0, false, r);
	if (max < 7)
		return;
	host_cpuid(7, 0, r);
	host_cpuid(7, 1, r1);
	if (!r[0])
		r1[0] = 0;
	r[0] = min(r[0], 1u);
	r[1] = feature_word(b, 7, 0, CPUID_EBX, r[1]);
	r[2] = feature_word(b, 7, 0, CPUID_ECX, r[2]);
	r[3] = feature_word(b, 7, 0, CPUID_EDX, r[3]);
	add(b, 7, 0, true, r);
	if (r[0]) {
		r1[0] = feature_word(b, 7, 1, CPUID_EAX, r1[0]);
		r1[1] = r1[2] = r1[3] = 0;
		add(b, 7, 1, true, r1);
	}
	if (max >= 0xb)
		add(b, 0xb, 0, true, none);	/* the client knows the topology */
}

static void add_xsave(struct builder *b, u32 max)
{
	u32 r[4], one[4], size;

	if (max < 0xd || !(b->e[1].ecx & BIT(26)))
		return;
	host_cpuid(0xd, 0, r);
	b->xcr0 = r[0] & (XCR0_X87 | XCR0_SSE);
	if ((r[0] & XCR0_AVX) && (b->e[1].ecx & BIT(28)))
		b->xcr0 |= XCR0_AVX;
	size = policy_xsave_size(b->xcr0);
	r[0] = b->xcr0;
	r[1] = r[2] = size;
	r[3] = 0;
	add(b, 0xd, 0, true, r);
	host_cpuid(0xd, 1, one);
	one[0] = feature_word(b, 0xd, 1, CPUID_EAX, one[0]);
	one[1] = size;
	one[2] = one[3] = 0;
	add(b, 0xd, 1, true, one);
	if (b->xcr0 & XCR0_AVX) {
		const u32 avx[4] = { XSAVE_AVX_SIZE, XSAVE_LEGACY, 0, 0 };

		add(b, 0xd, 2, true, avx);
	}
}

static void add_extended(struct builder *b)
{
	u32 r[4], host_max, max, leaf;

	host_cpuid(0x80000000, 0, r);
	host_max = r[0];
	max = b->amd ? 0x80000021 : 0x80000008;
	r[0] = max;
	add(b, 0x80000000, 0, false, r);
	host_cpuid(0x80000001, 0, r);
	r[2] = feature_word(b, 0x80000001, 0, CPUID_ECX, r[2]);
	r[3] = feature_word(b, 0x80000001, 0, CPUID_EDX, r[3]);
	r[1] = 0;
	add(b, 0x80000001, 0, false, r);
	for (leaf = 0x80000002; leaf <= 0x80000006; leaf++) {	/* brand string, caches, TLBs */
		host_cpuid(leaf, 0, r);
		add(b, leaf, 0, false, r);
	}
	host_cpuid(0x80000007, 0, r);
	r[0] = r[1] = r[2] = 0;
	r[3] = feature_word(b, 0x80000007, 0, CPUID_EDX, r[3]);
	add(b, 0x80000007, 0, false, r);
	host_cpuid(0x80000008, 0, r);
	r[0] = (r[0] & 0xff) | 48u << 8;	/* no 5-level paging */
	r[1] = feature_word(b, 0x80000008, 0, CPUID_EBX, r[1]);
	r[2] = r[3] = 0;
	add(b, 0x80000008, 0, false, r);
	if (!b->amd)
		return;
	if (host_max >= 0x8000001a)
		/* TLBs, width of data paths */
		for (leaf = 0x80000019; leaf <= 0x8000001a; leaf++) {
			host_cpuid(leaf, 0, r);
			add(b, leaf, 0, false, r);
		}
	if (host_max >= 0x8000001e) {
		static const u32 none[4];

		add_caches(b, 0x8000001d);
		add(b, 0x8000001e, 0, false, none);
	}
	host_memset(r, 0, sizeof(r));
	if (host_max >= 0x80000021)
		host_cpuid(0x80000021, 0, r);
	r[0] = feature_word(b, 0x80000021, 0, CPUID_EAX, r[0]);
	r[1] = r[3] = 0;
	r[2] = feature_word(b, 0x80000021, 0, CPUID_ECX, r[2]);
	add(b, 0x80000021, 0, false, r);
}

static void add_paravirtual(struct builder *b)
{
	/* "KVMKVMKVM" */
	static const u32 signature[4] = { 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d };
	u32 r[4] = { 0 };

	add(b, 0x40000000, 0, false, signature);
	r[0] = feature_word(b, 0x40000001, 0, CPUID_EAX, 0);
	add(b, 0x40000001, 0, false, r);
}

int policy_supported_cpuid(struct kvm_cpuid_entry2 *e, u32 max, policy_limit_fn limit,
			   bool software)
{
	struct builder b = { .e = e, .max = max, .limit = limit, .software = software, .amd = policy_host_is_amd() };

	if (max < 2)
		return -E2BIG;
	add_basic(&b);
	add_features(&b, e[0].eax);
	add_xsave(&b, e[0].eax);
	add_paravirtual(&b);
	add_extended(&b);
	return b.n > max ? -E2BIG : (int)b.n;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

const struct kvm_cpuid_entry2 *policy_find(const struct kvm_cpuid_entry2 *e, u32 n, u32 leaf,
					   u32 subleaf)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (e[i].function == leaf &&
		    (!(e[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e[i].index == subleaf))
			return &e[i];
	return NULL;
}

bool policy_bit(const struct kvm_cpuid_entry2 *e, u32 n, u32 leaf, u32 subleaf, enum cpuid_reg reg,
		unsigned int bit)
{
	const struct kvm_cpuid_entry2 *f = policy_find(e, n, leaf, subleaf);
	u32 val;

	if (!f)
		return false;
	switch (reg) {
	case CPUID_EAX:
		val = f->eax;
		break;
	case CPUID_EBX:
		val = f->ebx;
		break;
	case CPUID_ECX:
		val = f->ecx;
		break;
	default:
		val = f->edx;
		break;
	}
	return val >> bit & 1;
}

/* A leaf beyond the highest of its range: on Intel's processors the highest basic leaf answers. */
static const struct kvm_cpuid_entry2 *out_of_range(const struct kvm_cpuid_entry2 *e, u32 n,
						   u32 *leaf, u32 subleaf)
{
	const struct kvm_cpuid_entry2 *basic = policy_find(e, n, 0, 0), *range;

	if (!basic || vendor_is_amd(basic->ebx))
		return NULL;
	if (*leaf >= 0x40000000 && *leaf <= 0x4fffffff)
		range = policy_find(e, n, *leaf & 0xffffff00, 0);
	else if (*leaf >= 0xc0000000)
		range = policy_find(e, n, 0xc0000000, 0);
	else
		range = policy_find(e, n, *leaf & 0x80000000, 0);
	if (range && *leaf <= range->eax)
		return NULL;
	*leaf = basic->eax;
	return policy_find(e, n, *leaf, subleaf);
}

void policy_lookup(const struct kvm_cpuid_entry2 *e, u32 n, u32 leaf, u32 subleaf, u32 regs[4])
{
	const struct kvm_cpuid_entry2 *f = policy_find(e, n, leaf, subleaf);

	if (!f)
		f = out_of_range(e, n, &leaf, subleaf);
	regs[0] = f ? f->eax : 0;
	regs[1] = f ? f->ebx : 0;
	regs[2] = f ? f->ecx : 0;
	regs[3] = f ? f->edx : 0;
	/* Topology levels that do not exist still echo the level and give the x2APIC id. SDM 2A
	 * CPUID leaf 0bh */
	if (!f && (leaf == 0xb || leaf == 0x1f)) {
		const struct kvm_cpuid_entry2 *first = policy_find(e, n, leaf, 1);

		if (first) {
			regs[2] = subleaf & 0xff;
			regs[3] = first->edx;
		}
	}
}

/* ---- what follows from it -------------------------------------------------------------------- */

u32 policy_xsave_size(u64 xcr0)
{
	return XSAVE_LEGACY + (xcr0 & XCR0_AVX ? XSAVE_AVX_SIZE : 0);
}

struct feature_row {
	u8 feature;
	bool guarded;		/* the client's CPUID counts, too */
	u8 subleaf, reg, bit;
	u32 leaf;
};

static const struct feature_row features_by_cpuid[] = {
#define ROW(f, leaf, subleaf, reg, bit, guarded) { FEAT_##f, guarded, subleaf, CPUID_##reg, bit, leaf }
	ROW(X87, 1, 0, EDX, 0, false), ROW(TSC, 1, 0, EDX, 4, false), ROW(MSR, 1, 0, EDX, 5, false),
	ROW(CX8, 1, 0, EDX, 8, false), ROW(SEP, 1, 0, EDX, 11, false), ROW(CMOV, 1, 0, EDX, 15, false),
	ROW(CLFLUSH, 1, 0, EDX, 19, false), ROW(MMX, 1, 0, EDX, 23, false), ROW(FXSR, 1, 0, EDX, 24, false),
	ROW(SSE, 1, 0, EDX, 25, false), ROW(SSE2, 1, 0, EDX, 26, false), ROW(SSE3, 1, 0, ECX, 0, false),
	ROW(PCLMUL, 1, 0, ECX, 1, false), ROW(SSSE3, 1, 0, ECX, 9, false), ROW(FMA, 1, 0, ECX, 12, false),
	ROW(CX16, 1, 0, ECX, 13, false), ROW(SSE41, 1, 0, ECX, 19, false), ROW(SSE42, 1, 0, ECX, 20, false),
	ROW(MOVBE, 1, 0, ECX, 22, false), ROW(POPCNT, 1, 0, ECX, 23, false), ROW(AES, 1, 0, ECX, 25, false),
	ROW(XSAVE, 1, 0, ECX, 26, true), ROW(AVX, 1, 0, ECX, 28, false), ROW(F16C, 1, 0, ECX, 29, false),
	ROW(RDRAND, 1, 0, ECX, 30, true),
	ROW(FSGSBASE, 7, 0, EBX, 0, true), ROW(BMI1, 7, 0, EBX, 3, false), ROW(AVX2, 7, 0, EBX, 5, false),
	ROW(BMI2, 7, 0, EBX, 8, false), ROW(INVPCID, 7, 0, EBX, 10, true), ROW(RDSEED, 7, 0, EBX, 18, true),
	ROW(ADX, 7, 0, EBX, 19, false), ROW(SMAP, 7, 0, EBX, 20, true), ROW(CLFLUSHOPT, 7, 0, EBX, 23, false),
	ROW(CLWB, 7, 0, EBX, 24, false), ROW(SHA, 7, 0, EBX, 29, false), ROW(PKU, 7, 0, ECX, 3, true),
	ROW(GFNI, 7, 0, ECX, 8, false), ROW(VAES, 7, 0, ECX, 9, false), ROW(VPCLMUL, 7, 0, ECX, 10, false),
	ROW(RDPID, 7, 0, ECX, 22, true),
	ROW(XSAVEOPT, 0xd, 1, EAX, 0, false), ROW(XSAVEC, 0xd, 1, EAX, 1, false), ROW(XSAVES, 0xd, 1, EAX, 3, true),
	ROW(LAHF64, 0x80000001, 0, ECX, 0, false), ROW(LZCNT, 0x80000001, 0, ECX, 5, false),
	ROW(SSE4A, 0x80000001, 0, ECX, 6, false), ROW(PREFETCHW, 0x80000001, 0, ECX, 8, false),
	ROW(SYSCALL, 0x80000001, 0, EDX, 11, false), ROW(RDTSCP, 0x80000001, 0, EDX, 27, true),
	ROW(CLZERO, 0x80000008, 0, EBX, 0, false), ROW(WBNOINVD, 0x80000008, 0, EBX, 9, true),
	ROW(3DNOWPF, 0x80000001, 0, ECX, 8, false),
#undef ROW
};

void policy_features(const struct kvm_cpuid_entry2 *have, u32 nhave,
		     const struct kvm_cpuid_entry2 *guest, u32 nguest, u64 features[2])
{
	unsigned int i;

	features[0] = BIT(FEAT_BASE);
	features[1] = 0;
	/* KVM lets MONITOR and MWAIT pass as NOPs whatever CPUID says, for guests that do not ask
	 * it. */
	features[FEAT_MONITOR / 64] |= BIT(FEAT_MONITOR % 64);
	for (i = 0; i < ARRAY_SIZE(features_by_cpuid); i++) {
		const struct feature_row *f = &features_by_cpuid[i];

		if (!policy_bit(have, nhave, f->leaf, f->subleaf, f->reg, f->bit))
			continue;
		if (f->guarded && !policy_bit(guest, nguest, f->leaf, f->subleaf, f->reg, f->bit))
			continue;
		features[f->feature / 64] |= BIT(f->feature % 64);
	}
}

u64 policy_cr4(const struct kvm_cpuid_entry2 *e, u32 n)
{
	static const struct { u64 cr4; u32 leaf; u8 reg, bit; } guarded[] = {
		{ CR4_OSXSAVE, 1, CPUID_ECX, 26 }, { CR4_PCIDE, 1, CPUID_ECX, 17 }, { CR4_FSGSBASE, 7, CPUID_EBX, 0 },
		{ CR4_SMEP, 7, CPUID_EBX, 7 }, { CR4_SMAP, 7, CPUID_EBX, 20 }, { CR4_UMIP, 7, CPUID_ECX, 2 },
	};
	u64 cr4 = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE |
		  CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(guarded); i++)
		if (policy_bit(e, n, guarded[i].leaf, 0, guarded[i].reg, guarded[i].bit))
			cr4 |= guarded[i].cr4;
	return cr4;
}

u64 policy_efer(const struct kvm_cpuid_entry2 *e, u32 n)
{
	u64 efer = EFER_SCE;

	if (policy_bit(e, n, 0x80000001, 0, CPUID_EDX, 29))
		efer |= EFER_LME;
	if (policy_bit(e, n, 0x80000001, 0, CPUID_EDX, 20))
		efer |= EFER_NX;
	if (policy_bit(e, n, 0x80000021, 0, CPUID_EAX, 8))
		efer |= EFER_AUTOIBRS;
	return efer;
}

u64 policy_xcr0(const struct kvm_cpuid_entry2 *e, u32 n)
{
	const struct kvm_cpuid_entry2 *d = policy_find(e, n, 0xd, 0);

	return d ? d->eax & (XCR0_X87 | XCR0_SSE | XCR0_AVX) : XCR0_X87;
}

u8 policy_maxphyaddr(const struct kvm_cpuid_entry2 *e, u32 n)
{
	const struct kvm_cpuid_entry2 *a = policy_find(e, n, 0x80000008, 0);
	u8 bits_ = a ? a->eax & 0xff : 36;

	return bits_ < 32 || bits_ > 52 ? 36 : bits_;
}
