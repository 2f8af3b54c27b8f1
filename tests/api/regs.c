/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* regs.c - general, x87/SSE/AVX, XCR and debug registers, KVM_TRANSLATE: set, seen by the guest, read back, refused. */
#include "lib/t_kvm.h"

static struct t_vm vm;
static struct t_cpu cpu;

static int begin(void **state)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	return 0;
}

static int end(void **state)
{
	T_END(&vm, &cpu);
	return 0;
}

/* Every register becomes its complement; RFLAGS: carry set. */
GUEST64(flip, "not %rax; not %rbx; not %rcx; not %rdx; not %rsi; not %rdi; not %rbp; not %r8; not %r9; not %r10; not %r11;"
	"not %r12; not %r13; not %r14; not %r15; not %rsp; stc; out %al, $0x10; hlt");

static void general_registers(void **state)
{
	struct kvm_regs in, out;
	uint64_t *a = (uint64_t *)&in, *b = (uint64_t *)&out;
	unsigned int i;

	T_LOAD(&vm, T_CODE, flip);
	t_cpu_long(&vm, &cpu, T_CODE);
	for (i = 0; i < 16; i++)
		a[i] = 0x0123456789abcdefULL * (i + 1);
	in.rip = T_CODE;
	in.rflags = 0x202;
	t_set_regs(&cpu, &in);
	out = t_regs(&cpu);
	assert_memory_equal(&in, &out, sizeof(in));
	t_run_to(&cpu, KVM_EXIT_IO);
	out = t_regs(&cpu);
	for (i = 0; i < 16; i++)
		assert_int_equal(b[i], ~a[i]);
	assert_int_equal(out.rflags, 0x203);
	t_fails(EFAULT, T(cpu.fd, KVM_GET_REGS, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_REGS, T_BAD_PTR));
}

static void rflags_bit_1_is_one(void **state)
{
	struct kvm_regs r = { .rip = 0x1234, .rflags = 0 };

	t_set_regs(&cpu, &r);
	r = t_regs(&cpu);
	assert_int_equal(r.rflags, 2);
	assert_int_equal(r.rip, 0x1234);
}

static void power_up_values(void **state)
{
	struct kvm_regs r = t_regs(&cpu);
	struct kvm_fpu f;

	assert_int_equal(r.rip, 0xfff0);	/* SDM 3A table 10-1 */
	assert_int_equal(r.rflags, 2);
	assert_int_equal(r.rax | r.rbx | r.rcx | r.rsp, 0);
	t_ok(T(cpu.fd, KVM_GET_FPU, &f));
	assert_int_equal(f.fcw, 0x37f);
}

/* ---- x87, SSE, AVX ---- */

GUEST64(fpu_code, "fldpi; fstpl 0x9000; movdqu %xmm3, 0x9010; stmxcsr 0x9020; paddq %xmm3, %xmm3; out %al, $0x10; hlt");

static void fpu(void **state)
{
	struct kvm_fpu f, g;

	T_LOAD(&vm, T_CODE, fpu_code);
	t_cpu_long(&vm, &cpu, T_CODE);
	t_ok(T(cpu.fd, KVM_GET_FPU, &f));
	f.fcw = 0x37f;
	memset(f.xmm[3], 0x11, 16);
	f.mxcsr = 0;		/* Linux does not look at it; all exceptions unmasked would be no use */
	t_ok(T(cpu.fd, KVM_SET_FPU, &f));
	t_ok(T(cpu.fd, KVM_GET_FPU, &g));
	assert_memory_equal(&f, &g, offsetof(struct kvm_fpu, mxcsr));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint64_t *)(vm.mem + 0x9000), 0x400921fb54442d18);	/* pi */
	assert_int_equal(*(uint64_t *)(vm.mem + 0x9010), 0x1111111111111111);
	t_ok(T(cpu.fd, KVM_GET_FPU, &g));
	assert_int_equal(*(uint64_t *)g.xmm[3], 0x2222222222222222);
	assert_int_equal(*(uint32_t *)(vm.mem + 0x9020), 0x1f80);
	t_fails(EFAULT, T(cpu.fd, KVM_GET_FPU, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_FPU, T_BAD_PTR));
}

#define XS_BV	(512 / 4)

static void xsave(void **state)
{
	static struct kvm_xsave a, b;
	struct kvm_fpu f;

	t_cpu_cpuid(&vm, &cpu);
	t_ok(T(cpu.fd, KVM_GET_XSAVE, &a));
	assert_int_equal(a.region[6], 0x1f80);
	a.region[XS_BV] |= 3;
	a.region[160 / 4] = 0xdeadbeef;		/* XMM0 */
	t_ok(T(cpu.fd, KVM_SET_XSAVE, &a));
	t_ok(T(cpu.fd, KVM_GET_XSAVE, &b));
	assert_int_equal(b.region[160 / 4], 0xdeadbeef);
	t_ok(T(cpu.fd, KVM_GET_FPU, &f));
	assert_int_equal(*(uint32_t *)f.xmm[0], 0xdeadbeef);
	/* refused, and nothing changed: components nobody has, MXCSR's reserved bits */
	a.region[160 / 4] = 1;
	a.region[XS_BV + 1] = 0x40000000;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_XSAVE, &a));
	a.region[XS_BV + 1] = 0;
	a.region[6] = 0xffffffff;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_XSAVE, &a));
	t_ok(T(cpu.fd, KVM_GET_XSAVE, &a));
	assert_memory_equal(&a, &b, sizeof(a));
	t_fails(EFAULT, T(cpu.fd, KVM_GET_XSAVE, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_XSAVE, T_BAD_PTR));
}

static void xsave2(void **state)
{
	long size = t_cap(&vm, KVM_CAP_XSAVE2);
	uint8_t *area, *old;

	if (!size)
		skip();
	t_cpu_cpuid(&vm, &cpu);
	area = calloc(1, (size_t)size + 8);
	old = calloc(1, sizeof(struct kvm_xsave));
	memset(area + size, 0x5a, 8);
	t_ok(T(cpu.fd, KVM_GET_XSAVE2, area));
	assert_int_equal(area[size], 0x5a);
	t_ok(T(cpu.fd, KVM_GET_XSAVE, old));
	assert_memory_equal(area, old, sizeof(struct kvm_xsave));
	t_ok(T(cpu.fd, KVM_SET_XSAVE, area));
	t_fails(EFAULT, T(cpu.fd, KVM_GET_XSAVE2, T_BAD_PTR));
	free(area);
	free(old);
}

/*
 * With IA32_XSS 0, XSAVES writes what XSAVEC does, and XRSTORS takes that back; %ebx says what to restore in the end.
 * SDM 1 13.11, 13.12
 */
GUEST64(xsaves_code, "mov %cr4, %rax; or $0x40600, %eax; mov %rax, %cr4; xor %ecx, %ecx; xor %edx, %edx; mov $7, %eax; xsetbv;"
	"mov $0xa000, %esi; xrstor (%rsi);"			/* the pattern */
	"mov $6, %eax; mov $0xb000, %esi; xsavec (%rsi); mov $0xc000, %esi; xsaves (%rsi);"
	"vzeroall; xrstors (%rsi);"
	"mov $0xd000, %esi; xsavec (%rsi);"
	"xrstors (%rbx); out %al, $0x10; hlt");

static void xsaves(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	uint8_t *from = vm.mem + 0xa000;
	const uint64_t bv = 6;
	struct kvm_regs r;
	bool has = false, avx = false;
	unsigned int i, k;

	for (i = 0; i < c->nent; i++) {
		if (c->entries[i].function == 0xd && c->entries[i].index == 1)
			has = c->entries[i].eax & 8;
		if (c->entries[i].function == 0xd && c->entries[i].index == 0)
			avx = c->entries[i].eax & 4;
	}
	free(c);
	if (!has || !avx) {
		printf("no XSAVES here\n");
		skip();
	}
	T_LOAD(&vm, T_CODE, xsaves_code);
	for (k = 0; k < 3; k++) {
		memset(vm.mem + 0xb000, 0xcc, 0x3000);
		for (i = 0xb000; i < 0xe000; i += 0x1000)
			memset(vm.mem + i + 512, 0, 64);	/* the header, which is not written as a whole */
		memset(vm.mem + 0xe000, 0, 0x1000);
		memset(from, 0, 0x1000);
		for (i = 0; i < 256; i++)			/* XMM0-15, their upper halves */
			from[160 + i] = from[576 + i] = (uint8_t)(i * 7 + 1);
		from[24] = 0x80;
		from[25] = 0x1f;				/* MXCSR */
		memcpy(from + 512, &bv, 8);
		t_cpu_long(&vm, &cpu, T_CODE);
		r = t_regs(&cpu);
		/* last: the saved area; one that is not compacted; one with a component beyond XCR0: #GP, no IDT */
		r.rbx = k ? 0xe000 : 0xc000;
		t_set_regs(&cpu, &r);
		if (k == 2)
			vm.mem[0xe000 + 527] = 0x80, vm.mem[0xe000 + 520] = 8;
		t_run_to(&cpu, k ? KVM_EXIT_SHUTDOWN : KVM_EXIT_IO);
		assert_memory_equal(vm.mem + 0xb000, vm.mem + 0xc000, 0x1000);
		assert_memory_equal(vm.mem + 0xb000, vm.mem + 0xd000, 0x1000);
		assert_memory_equal(from + 160, vm.mem + 0xc000 + 160, 256);
		assert_memory_equal(from + 576, vm.mem + 0xc000 + 576, 256);
		assert_int_equal(vm.mem[0xc000 + 527], 0x80);	/* compacted */
		t_cpu_destroy(&cpu);
		t_vm_destroy(&vm);
		t_vm_create(&vm, 0);
		t_cpu_create(&vm, &cpu, 0);
		T_LOAD(&vm, T_CODE, xsaves_code);
		from = vm.mem + 0xa000;
	}
}

GUEST64(ymm_code, "mov %cr4, %rax; or $0x40000, %eax; mov %rax, %cr4; xor %ecx, %ecx; xgetbv; mov %eax, 0x9000;"
	"vpaddq %ymm5, %ymm5, %ymm5; out %al, $0x10; hlt");

static void xcrs_and_ymm(void **state)
{
	struct kvm_xcrs x = { 0 }, y;
	static struct kvm_xsave s;

	T_LOAD(&vm, T_CODE, ymm_code);
	t_cpu_long(&vm, &cpu, T_CODE);
	t_ok(T(cpu.fd, KVM_GET_XCRS, &x));
	assert_int_equal(x.nr_xcrs, 1);
	assert_int_equal(x.xcrs[0].xcr, 0);
	assert_int_equal(x.xcrs[0].value, 1);
	x.xcrs[0].value = 2;			/* without x87 */
	t_fails(EINVAL, T(cpu.fd, KVM_SET_XCRS, &x));
	x.xcrs[0].value = 5;			/* AVX without SSE */
	t_fails(EINVAL, T(cpu.fd, KVM_SET_XCRS, &x));
	x.xcrs[0].value = 1ULL << 60 | 1;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_XCRS, &x));
	x.xcrs[0].value = 7;
	x.flags = 1;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_XCRS, &x));
	x.flags = 0;
	x.nr_xcrs = KVM_MAX_XCRS + 1;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_XCRS, &x));
	t_ok(T(cpu.fd, KVM_GET_XCRS, &y));
	assert_int_equal(y.xcrs[0].value, 1);
	x.nr_xcrs = 1;
	if (T(cpu.fd, KVM_SET_XCRS, &x))
		skip();				/* no AVX here */
	t_ok(T(cpu.fd, KVM_GET_XSAVE, &s));
	s.region[XS_BV] |= 7;
	s.region[(160 + 5 * 16) / 4] = 21;	/* YMM5, low and high */
	s.region[(576 + 5 * 16) / 4] = 33;
	t_ok(T(cpu.fd, KVM_SET_XSAVE, &s));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint32_t *)(vm.mem + 0x9000), 7);
	t_ok(T(cpu.fd, KVM_GET_XSAVE, &s));
	assert_int_equal(s.region[(160 + 5 * 16) / 4], 42);
	assert_int_equal(s.region[(576 + 5 * 16) / 4], 66);
	t_fails(EFAULT, T(cpu.fd, KVM_GET_XCRS, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_XCRS, T_BAD_PTR));
}

/* ---- debug registers ---- */

GUEST64(dr_code, "mov %dr0, %rax; mov %dr3, %rbx; mov %dr6, %rcx; mov %dr7, %rdx; mov $0x4000, %esi; mov %rsi, %dr1; out %al, $0x10; hlt");

static void debug_registers(void **state)
{
	struct kvm_debugregs d = { 0 }, e;
	struct kvm_regs r;

	T_LOAD(&vm, T_CODE, dr_code);
	t_cpu_long(&vm, &cpu, T_CODE);
	t_ok(T(cpu.fd, KVM_GET_DEBUGREGS, &d));
	assert_int_equal(d.dr6, 0xffff0ff0);
	assert_int_equal(d.dr7, 0x400);
	assert_int_equal(d.flags, 0);
	d.db[0] = 0x12345678;
	d.db[3] = 0x8765;
	t_ok(T(cpu.fd, KVM_SET_DEBUGREGS, &d));
	e = d;
	e.flags = 1;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_DEBUGREGS, &e));
	e = d;
	e.dr6 |= 1ULL << 32;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_DEBUGREGS, &e));
	e = d;
	e.dr7 |= 1ULL << 32;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_DEBUGREGS, &e));
	t_ok(T(cpu.fd, KVM_GET_DEBUGREGS, &e));
	assert_memory_equal(&d, &e, sizeof(d));
	t_run_to(&cpu, KVM_EXIT_IO);
	r = t_regs(&cpu);
	assert_int_equal(r.rax, 0x12345678);
	assert_int_equal(r.rbx, 0x8765);
	assert_int_equal(r.rcx, 0xffff0ff0);
	assert_int_equal(r.rdx, 0x400);
	t_ok(T(cpu.fd, KVM_GET_DEBUGREGS, &d));
	assert_int_equal(d.db[1], 0x4000);
	t_fails(EFAULT, T(cpu.fd, KVM_GET_DEBUGREGS, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_DEBUGREGS, T_BAD_PTR));
}

/* ---- KVM_TRANSLATE ---- */

static struct kvm_translation translate(uint64_t gva)
{
	struct kvm_translation t = { .linear_address = gva };

	t_ok(T(cpu.fd, KVM_TRANSLATE, &t));
	return t;
}

static void translation(void **state)
{
	struct kvm_translation t;
	uint64_t *pd;

	t_cpu_real(&cpu, T_CODE);
	t = translate(0x12345);
	assert_int_equal(t.valid, 1);
	assert_int_equal(t.physical_address, 0x12345);
	t_cpu_long(&vm, &cpu, T_CODE);
	pd = (uint64_t *)(vm.mem + T_TABLES + 2 * T_PAGE);
	pd[3] = 0x200083;
	t = translate(0x612345);
	assert_int_equal(t.valid, 1);
	assert_int_equal(t.physical_address, 0x212345);
	assert_int_equal(pd[3] & ~0x20ULL, 0x200083);	/* Linux leaves an accessed bit, we none */
	pd[3] = 0;
	assert_int_equal(translate(0x612345).valid, 0);
	assert_int_equal(translate(0x8000000000).valid, 0);
	t_fails(EFAULT, T(cpu.fd, KVM_TRANSLATE, T_BAD_PTR));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
T_MAIN(CASE(general_registers), CASE(rflags_bit_1_is_one), CASE(power_up_values), CASE(fpu), CASE(xsave), CASE(xsave2),
       CASE(xsaves), CASE(xcrs_and_ymm), CASE(debug_registers), CASE(translation))
