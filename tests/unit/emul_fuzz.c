// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Garbage through the emulator: random code, descriptors, registers and page rights in every mode.
 * Whatever comes out, the emulator must return, keep to the memory it is given, and leave the state
 * alone when it says so.
 */
#include "emul_fixture.h"

static u64 seed = 0x123456789abcdefULL;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dULL;
}

/* Addresses near something, small numbers, or anything. */
static u64 rnd_value(void)
{
	u64 r = rnd();

	switch (r & 7) {
	case 0:
		return rnd();
	case 1:
		return (u32)rnd();
	case 2:
		return rnd() & 0xff;
	case 3:
		return GDT + (rnd() & 0x3fff);
	default:
		return rnd() & (MEM_SIZE - 1);
	}
}

static int any_result(struct emul *e)
{
	switch (rnd() & 15) {
	case 0:
		return -EAGAIN;
	case 1:
		e->fault = (struct x86_fault){ .vector = EXC_GP, .has_error = true };
		return -EFAULT;
	default:
		return 0;
	}
}

static int msr_read(struct emul *e, u32 index, u64 *val)
{
	*val = rnd();
	return any_result(e);
}

static int msr_write(struct emul *e, u32 index, u64 val)
{
	return any_result(e);
}

static void cpuid(struct emul *e, u32 *a, u32 *b, u32 *c, u32 *d)
{
	*a = *b = *c = *d = (u32)rnd();
}

/* Modes are the test's to choose: registers that change them are left alone. */
static int cr_write(struct emul *e, unsigned int cr, u64 val)
{
	return any_result(e);
}

static int dr_write(struct emul *e, unsigned int dr, u64 val)
{
	return any_result(e);
}

static void invlpg(struct emul *e, gva_t gva)
{
}

static int invpcid(struct emul *e, unsigned int type, u64 pcid, gva_t gva)
{
	assert_true(type < 4);
	return any_result(e);
}

static u64 rdtsc(struct emul *e)
{
	return rnd();
}

static int hypercall(struct emul *e)
{
	return any_result(e);
}

static int vector(struct emul *e, gva_t gva)
{
	return any_result(e);
}

static bool has_feature(struct emul *e, unsigned int feature)
{
	assert_true(feature < FEAT_NR);
	/* those that the emulator executes on the host */
	switch (feature) {
	case FEAT_BMI1: case FEAT_BMI2: case FEAT_ADX: case FEAT_RDRAND: case FEAT_RDSEED: case FEAT_SSE42: case FEAT_LZCNT:
		return __builtin_cpu_supports("bmi2") && feature != FEAT_RDRAND &&
		       feature != FEAT_RDSEED && feature != FEAT_ADX;
	default:
		return rnd() & 31;
	}
}

static struct emul_ops fuzz_ops;

static void random_machine(void)
{
	unsigned int i;
	u64 r = rnd();

	if (r & 1)
		machine_long(r & 2 ? 3 : 0);
	else if (r & 4)
		machine_protected(r & 2 ? 3 : 0);
	else
		machine_real();
	if (!(r & 1) && (r & 4) && (r & 0x30) == 0x30) {
		st.rflags |= X86_FLAG_VM;
		st.cpl = 3;
	}
	em.ops = &fuzz_ops;
	for (i = 0; i < X86_NR_GPR; i++)
		st.gpr[i] = rnd_value();
	st.rflags |= rnd() & (X86_FLAGS_ARITH | X86_FLAG_DF | X86_FLAG_IOPL | X86_FLAG_NT |
			      X86_FLAG_AC | X86_FLAG_RF | X86_FLAG_IF);
	st.cr4 |= rnd() & (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_OSFXSR | CR4_UMIP |
			   CR4_FSGSBASE | CR4_OSXSAVE);
	st.cr0 |= rnd() & (CR0_TS | CR0_EM | CR0_AM | CR0_MP);
	st.xcr0 = 7;
	if (r & 0x100)
		st.dr7 = rnd();
	for (i = 0; i < 4; i++)
		st.dr[i] = rnd_value();
	st.star = rnd();
	st.lstar = rnd_value();
	st.sysenter_cs = rnd() & 0xfff;
	/* tables of plausible and of random descriptors */
	for (i = 0; i < 0x1000; i += 8)
		if (rnd() & 1)
			put(LDT + i % 0x800, rnd(), 8);
	for (i = SEL_FREE; i < 0x400; i += 8)
		if (i != CS0_64 && i != (CS3_64 & ~7))
			put(GDT + i, rnd() & 1 ? rnd() : 0x00cf00000000ffff | (rnd() & 0xff) << 40, 8);
	for (i = 0; i < 0x800; i += 8)
		put(IDT + i, rnd() & 1 ? rnd() : (rnd() & 0xffff) | (u64)CS0 << 16 | (rnd() & 0xff) << 40, 8);
	st.gdtr.limit = rnd() & 0x3ff;
	for (i = 0; i < 64; i++)
		put(DATA + 8 * i, rnd() & 1 ? rnd() : rnd() & 0x3fc, 8);
	for (i = 0; i < MEM_SIZE >> 12; i++)
		page_rights[i] = rnd() & 3 ? 0 : rnd() & 7;
	for (i = 0; i < X86_NR_SEG; i++)
		if (!(rnd() & 3) && i != X86_CS)
			st.seg[i].limit = (u32)rnd_value();
	page_rights[CODE >> 12] = 0;
}

static void random_code(void **state)
{
	const char *cases = getenv("CASES");
	unsigned long limit = cases ? strtoul(cases, NULL, 0) : 60000, n, by_result[8] = { 0 };
	struct x86_state before;
	enum emul_result r;
	unsigned int steps;

	fuzz_ops = fx_ops;
	fuzz_ops.msr_read = msr_read;
	fuzz_ops.msr_write = msr_write;
	fuzz_ops.cpuid = cpuid;
	fuzz_ops.cr_write = cr_write;
	fuzz_ops.dr_write = dr_write;
	fuzz_ops.invlpg = invlpg;
	fuzz_ops.invpcid = invpcid;
	fuzz_ops.rdtsc = rdtsc;
	fuzz_ops.hypercall = hypercall;
	fuzz_ops.vector = vector;
	fuzz_ops.has_feature = has_feature;
	for (n = 0; n < limit; ) {
		random_machine();
		for (steps = 0; steps < 40; steps++, n++) {
			static const u8 likely_op[] = { 0x0f, 0xcd, 0xcf, 0xcb, 0xca, 0x9a, 0xea, 0xff, 0x8e, 0xc4, 0xc5, 0x9d, 0x6c, 0x6e,
				0xf3, 0x66, 0x48, 0x62, 0x17, 0xe4, 0xee, 0x61, 0x60, 0xc8 };
			gva_t at;
			unsigned int i;

			st.rip = (st.seg[X86_CS].base ? 0 : CODE) + (rnd() & 0xfff);
			at = (u32)(st.seg[X86_CS].base + st.rip);
			if (at < MEM_SIZE - 16) {
				for (i = 0; i < 15; i++)
					mem[at + i] = (u8)rnd();
				if (rnd() & 1)
					mem[at] = likely_op[rnd() % ARRAY_SIZE(likely_op)];
				if (mem[at] == 0x0f && (rnd() & 1))
					mem[at + 1] = rnd() & 15;
			}
			before = st;
			r = emul_step(&em);
			by_result[r & 7]++;
			switch (r) {
			case EMUL_FAULT:
				assert_true(em.fault.vector < 32);
				/* a task switch past its point of no return */
				if (!(em.retire & 0x40))
					assert_memory_equal(&before, &st, sizeof(st));
				emul_deliver(&em, EVENT_EXCEPTION, &em.fault);
				break;
			case EMUL_RETRY:
			case EMUL_UNHANDLED:
				if (!(em.retire & 0x40))
					assert_memory_equal(&before, &st, sizeof(st));
				break;
			default:
				assert_true(st.rflags & X86_FLAG_FIXED);
				assert_true(st.cpl <= 3);
				break;
			}
			if (!(rnd() & 15))
				emul_deliver(&em, EVENT_EXTINT, &(struct x86_fault){ .vector = rnd() & 0xff });
		}
	}
	print_message(
		"%lu steps: %lu done, %lu again, %lu fault, %lu retry, %lu halt, %lu unhandled\n",
		n, by_result[EMUL_DONE], by_result[EMUL_AGAIN], by_result[EMUL_FAULT],
		by_result[EMUL_RETRY], by_result[EMUL_HLT], by_result[EMUL_UNHANDLED]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
