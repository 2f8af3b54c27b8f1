/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * features.c - what CPUID announces is there: for each feature that KVM_GET_SUPPORTED_CPUID reports, a guest in 64-bit
 * mode at CPL 0 sets the control bit or executes an instruction that only it brings, and goes on to a port. That the
 * instructions are right is shown elsewhere (tests/isa, tests/guests).
 */
#include "lib/t_kvm.h"

enum reg { EAX, EBX, ECX, EDX };

struct feature {
	const char *name;
	uint32_t leaf, index;
	enum reg reg;
	unsigned int bit;
	const uint8_t *code, *end;
};

#define DONE "out %al, $0x10"
/* CR4 with OSXSAVE, and XCR0 with all that CPUID leaf 0xd offers: what VEX-coded instructions need */
#define VEX "mov %cr4, %rax; bts $18, %rax; mov %rax, %cr4; mov $7, %eax; xor %edx, %edx; xor %ecx, %ecx; xsetbv;"
#define CR4(bit) "mov %cr4, %rax; bts $" #bit ", %rax; mov %rax, %cr4; mov %cr4, %rbx; cmp %rax, %rbx; jz 1f; ud2; 1:"
#define EFER(bit) "mov $0xc0000080, %ecx; rdmsr; bts $" #bit ", %eax; wrmsr; mov %eax, %ebx; rdmsr; cmp %eax, %ebx; jz 1f; ud2; 1:"
#define READ(msr) "mov $" #msr ", %ecx; rdmsr;"
#define KEEP(msr) READ(msr) "wrmsr;"

/* name, leaf, index, register, bit, code */
#define FEATURES(X)										\
	X(vme,		1, 0, EDX, 0, CR4(0) CR4(1))						\
	X(de,		1, 0, EDX, 2, CR4(3))							\
	X(pse,		1, 0, EDX, 3, CR4(4))							\
	X(tsc,		1, 0, EDX, 4, CR4(2) "rdtsc;" READ(0x10))				\
	X(mce,		1, 0, EDX, 7, CR4(6))							\
	X(cx8,		1, 0, EDX, 8, "mov $0x6000, %esi; cmpxchg8b (%rsi);")			\
	X(apic,		1, 0, EDX, 9, READ(0x1b))						\
	X(sep,		1, 0, EDX, 11, KEEP(0x174) KEEP(0x175) KEEP(0x176))			\
	X(mtrr,		1, 0, EDX, 12, READ(0xfe) KEEP(0x2ff) KEEP(0x200) KEEP(0x201) KEEP(0x250))	\
	X(pge,		1, 0, EDX, 13, CR4(7))							\
	X(mca,		1, 0, EDX, 14, READ(0x179) READ(0x17a) KEEP(0x400))			\
	X(cmov,		1, 0, EDX, 15, "cmovz %rax, %rbx;")					\
	X(pat,		1, 0, EDX, 16, KEEP(0x277))						\
	X(clfsh,	1, 0, EDX, 19, "mov $0x6000, %esi; clflush (%rsi);")			\
	X(mmx,		1, 0, EDX, 23, "paddb %mm0, %mm1; emms;")				\
	X(fxsr,		1, 0, EDX, 24, "mov $0x6000, %esi; fxsave (%rsi); fxrstor (%rsi);")	\
	X(sse,		1, 0, EDX, 25, "addps %xmm0, %xmm1;")					\
	X(sse2,		1, 0, EDX, 26, "paddq %xmm0, %xmm1;")					\
	X(sse3,		1, 0, ECX, 0, "haddps %xmm0, %xmm1;")					\
	X(pclmulqdq,	1, 0, ECX, 1, "pclmulqdq $0, %xmm0, %xmm1;")				\
	X(monitor,	1, 0, ECX, 3, "mov $0x6000, %eax; xor %ecx, %ecx; xor %edx, %edx; monitor;")	\
	X(ssse3,	1, 0, ECX, 9, "pshufb %xmm0, %xmm1;")					\
	X(fma,		1, 0, ECX, 12, VEX "vfmadd213ps %ymm0, %ymm1, %ymm2;")			\
	X(cx16,		1, 0, ECX, 13, "mov $0x6000, %esi; cmpxchg16b (%rsi);")			\
	X(pcid,		1, 0, ECX, 17, CR4(17))							\
	X(sse4_1,	1, 0, ECX, 19, "pmulld %xmm0, %xmm1;")					\
	X(sse4_2,	1, 0, ECX, 20, "crc32 %eax, %ebx; pcmpistri $0, %xmm0, %xmm1;")		\
	X(x2apic,	1, 0, ECX, 21, READ(0x1b) "or $0xc00, %eax; wrmsr;" READ(0x802))	\
	X(movbe,	1, 0, ECX, 22, "mov $0x6000, %esi; movbe (%rsi), %rax;")		\
	X(popcnt,	1, 0, ECX, 23, "popcnt %rax, %rbx;")					\
	X(tsc_deadline,	1, 0, ECX, 24, KEEP(0x6e0))						\
	X(aes,		1, 0, ECX, 25, "aesenc %xmm0, %xmm1; aeskeygenassist $1, %xmm0, %xmm1;")	\
	X(xsave,	1, 0, ECX, 26, VEX "xgetbv; mov $0x6000, %esi; xsave (%rsi); xrstor (%rsi);")	\
	X(avx,		1, 0, ECX, 28, VEX "vaddps %ymm0, %ymm1, %ymm2; vzeroupper;")		\
	X(f16c,		1, 0, ECX, 29, VEX "vcvtph2ps %xmm0, %ymm1;")				\
	X(rdrand,	1, 0, ECX, 30, "rdrand %rax;")						\
	X(fsgsbase,	7, 0, EBX, 0, CR4(16) "wrfsbase %rax; rdgsbase %rbx;")			\
	X(tsc_adjust,	7, 0, EBX, 1, KEEP(0x3b))						\
	X(bmi1,		7, 0, EBX, 3, "andn %rax, %rbx, %rcx; tzcnt %rax, %rbx; blsr %rax, %rbx;")	\
	X(avx2,		7, 0, EBX, 5, VEX "vpaddd %ymm0, %ymm1, %ymm2; vpbroadcastd %xmm0, %ymm1;")	\
	X(smep,		7, 0, EBX, 7, CR4(20))							\
	X(bmi2,		7, 0, EBX, 8, "pdep %rax, %rbx, %rcx; mulx %rax, %rbx, %rcx; rorx $3, %rax, %rbx;")	\
	X(erms,		7, 0, EBX, 9, "mov $0x6000, %edi; mov $4, %ecx; rep stosb;")		\
	X(invpcid,	7, 0, EBX, 10, "mov $0x6000, %esi; mov $2, %eax; invpcid (%rsi), %rax;")	\
	X(rdseed,	7, 0, EBX, 18, "rdseed %rax;")						\
	X(adx,		7, 0, EBX, 19, "adcx %rax, %rbx; adox %rax, %rbx;")			\
	X(smap,		7, 0, EBX, 20, CR4(21) "clac; stac;")					\
	X(clflushopt,	7, 0, EBX, 23, "mov $0x6000, %esi; clflushopt (%rsi);")			\
	X(clwb,		7, 0, EBX, 24, "mov $0x6000, %esi; clwb (%rsi);")			\
	X(sha,		7, 0, EBX, 29, "sha256rnds2 %xmm0, %xmm1; sha1rnds4 $1, %xmm0, %xmm1;")	\
	X(umip,		7, 0, ECX, 2, CR4(11))							\
	X(pku,		7, 0, ECX, 3, CR4(22) "xor %ecx, %ecx; rdpkru; xor %edx, %edx; wrpkru;")	\
	X(gfni,		7, 0, ECX, 8, "gf2p8mulb %xmm0, %xmm1;")				\
	X(vaes,		7, 0, ECX, 9, VEX "vaesenc %ymm0, %ymm1, %ymm2;")			\
	X(vpclmulqdq,	7, 0, ECX, 10, VEX "vpclmulqdq $0, %ymm0, %ymm1, %ymm2;")		\
	X(rdpid,	7, 0, ECX, 22, "rdpid %rax;")						\
	X(movdiri,	7, 0, ECX, 27, "mov $0x6000, %esi; movdiri %rax, (%rsi);")		\
	X(serialize,	7, 0, EDX, 14, "serialize;")						\
	X(spec_ctrl,	7, 0, EDX, 26, KEEP(0x48))						\
	X(arch_cap,	7, 0, EDX, 29, READ(0x10a))						\
	X(avx_vnni,	7, 1, EAX, 4, VEX ".byte 0xc4, 0xe2, 0x75, 0x50, 0xd0;")			\
	X(xsaveopt,	0xd, 1, EAX, 0, VEX "mov $0x6000, %esi; xsaveopt (%rsi);")		\
	X(xsavec,	0xd, 1, EAX, 1, VEX "mov $0x6000, %esi; xsavec (%rsi); xrstor (%rsi);")	\
	X(xgetbv1,	0xd, 1, EAX, 2, VEX "mov $1, %ecx; xgetbv;")				\
	X(xsaves,	0xd, 1, EAX, 3, VEX KEEP(0xda0) "mov $0x6000, %esi; xsaves (%rsi); xrstors (%rsi);")	\
	X(lahf_lm,	0x80000001, 0, ECX, 0, "lahf; sahf;")					\
	X(cr8_legacy,	0x80000001, 0, ECX, 4, "mov %cr8, %rax;")				\
	X(abm,		0x80000001, 0, ECX, 5, "lzcnt %rax, %rbx;")				\
	X(sse4a,	0x80000001, 0, ECX, 6, "extrq $8, $4, %xmm0; mov $0x6000, %esi; movntss %xmm0, (%rsi);")	\
	X(prefetchw,	0x80000001, 0, ECX, 8, "mov $0x6000, %esi; prefetchw (%rsi);")		\
	X(osvw,		0x80000001, 0, ECX, 9, READ(0xc0010140) READ(0xc0010141))		\
	X(xop,		0x80000001, 0, ECX, 11, VEX "vpcomltub %xmm0, %xmm1, %xmm2;")		\
	X(fma4,		0x80000001, 0, ECX, 16, VEX "vfmaddps %xmm0, %xmm1, %xmm2, %xmm3;")	\
	X(tbm,		0x80000001, 0, ECX, 21, "blcfill %rax, %rbx;")				\
	X(syscall,	0x80000001, 0, EDX, 11, EFER(0) KEEP(0xc0000081) KEEP(0xc0000082) KEEP(0xc0000084))	\
	X(nx,		0x80000001, 0, EDX, 20, EFER(11))					\
	X(mmxext,	0x80000001, 0, EDX, 22, "pshufw $1, %mm0, %mm1; emms;")			\
	X(ffxsr,	0x80000001, 0, EDX, 25, EFER(14))					\
	X(rdtscp,	0x80000001, 0, EDX, 27, KEEP(0xc0000103) "rdtscp;")			\
	X(clzero,	0x80000008, 0, EBX, 0, "mov $0x6000, %eax; clzero;")			\
	X(wbnoinvd,	0x80000008, 0, EBX, 9, "wbnoinvd;")					\
	X(auto_ibrs,	0x80000021, 0, EAX, 8, EFER(21))

#define CODE(name, leaf, index, reg, bit, text) GUEST64(code_##name, text DONE);
FEATURES(CODE)
GUEST64(undefined, "ud2;" DONE);

static const struct feature features[] = {
#define ROW(name, leaf, index, reg, bit, text) { #name, leaf, index, reg, bit, code_##name, code_##name##_end },
	FEATURES(ROW)
};

static bool announced(const struct kvm_cpuid2 *c, const struct feature *f)
{
	unsigned int i;

	for (i = 0; i < c->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &c->entries[i];
		const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

		if (e->function == f->leaf && e->index == f->index)
			return regs[f->reg] >> f->bit & 1;
	}
	return false;
}

/* True: it came to the port. */
static bool try(const uint8_t *code, const uint8_t *end)
{
	struct t_vm vm;
	struct t_cpu cpu;
	bool there;

	t_vm_create(&vm, T_SPLIT);
	t_cpu_create(&vm, &cpu, 0);
	t_cpu_long(&vm, &cpu, T_CODE);
	memcpy(vm.mem + T_CODE, code, (size_t)(end - code));
	t_ok(t_run(&cpu));
	there = cpu.run->exit_reason == KVM_EXIT_IO && cpu.run->io.port == 0x10;
	T_END(&vm, &cpu);
	return there;
}

static void announced_features_are_there(void **state)
{
	struct kvm_cpuid2 *c;
	unsigned int i, n = 0, missing = 0;
	int kvm = t_open();

	c = t_supported_cpuid(kvm);
	for (i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (!announced(c, &features[i]))
			continue;
		n++;
		if (!try(features[i].code, features[i].end)) {
			printf("# announced, but not there: %s\n", features[i].name);
			missing++;
		}
	}
	printf("# %u features tried\n", n);
	free(c);
	close(kvm);
	assert_true(n > 20);
	assert_int_equal(missing, 0);
}

/* The test sees the difference. */
static void what_is_not_there_is_seen(void **state)
{
	assert_false(try(undefined, undefined_end));
}

T_MAIN(T_CASE(announced_features_are_there), T_CASE(what_is_not_there_is_seen))
