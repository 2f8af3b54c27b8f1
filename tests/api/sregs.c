/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* sregs.c - KVM_GET/SET_SREGS and SREGS2: round trips, what the guest sees, and refusals that change nothing. */
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

static struct kvm_sregs get(void)
{
	struct kvm_sregs s;

	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	return s;
}

static void power_up(void **state)
{
	struct kvm_sregs s = get();

	assert_int_equal(s.cs.selector, 0xf000);	/* SDM 3A table 10-1 */
	assert_int_equal(s.cs.base, 0xffff0000);
	assert_int_equal(s.cs.limit, 0xffff);
	assert_int_equal(s.ds.base | s.ds.selector | s.ss.base, 0);
	assert_int_equal(s.tr.type, 11);
	assert_int_equal(s.ldt.type, 2);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.cr3 | s.cr4 | s.efer | s.cr8, 0);
	assert_int_equal(s.apic_base & ~0xfffULL, 0xfee00000);
	assert_int_equal(s.gdt.limit, 0xffff);
	assert_int_equal(s.idt.limit, 0xffff);
}

static void round_trip(void **state)
{
	struct kvm_sregs s, t;

	t_cpu_long(&vm, &cpu, T_CODE);
	s = get();
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	t = get();
	assert_memory_equal(&s, &t, sizeof(s));
	s.fs.base = 0x7fff12345678;
	s.gs.base = 0xffff888000000000;
	s.gdt.base = 0x5000;
	s.gdt.limit = 0x7f;
	s.idt.base = 0x6000;
	s.idt.limit = 0xfff;
	s.cr2 = 0x1234567890;
	s.cr8 = 5;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	t = get();
	assert_memory_equal(&s, &t, sizeof(s));
}

/* Real mode with a base that no selector stands for, as firmware and small VMMs use it. */
GUEST16(unreal, "movb %ds:0x10, %al; outb %al, $0x10; movw %ds, %ax; outw %ax, $0x12; movl $0x20000, %ebx; movb %fs:(%ebx), %al; outb %al, $0x10; hlt");

static void hidden_parts_are_honoured(void **state)
{
	struct kvm_sregs s;

	T_LOAD(&vm, T_CODE, unreal);
	t_cpu_real(&cpu, T_CODE);
	s = get();
	s.ds.base = 0x20000;
	s.ds.selector = 0x123;
	s.fs.limit = 0xffffffff;
	s.fs.g = 1;
	s.fs.base = 0;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	vm.mem[0x20010] = 0x77;
	vm.mem[0x20000] = 0x78;
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0x77);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint16_t *)t_io_data(cpu.run), 0x123);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0x78);
}

GUEST64(show, "mov %cr0, %rax; mov %cr3, %rbx; mov %cr4, %rcx; mov %cr2, %rdx; mov %cr8, %rsi; sgdt 0x9000; sidt 0x9010; mov %gs:0, %rdi; out %al, $0x10; hlt");

static void guest_sees_them(void **state)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	uint64_t base;

	T_LOAD(&vm, T_CODE, show);
	t_cpu_long(&vm, &cpu, T_CODE);
	s = get();
	s.cr2 = 0xabcdef;
	s.gs.base = 0x9100;
	s.gdt.base = 0x5000;
	s.gdt.limit = 0x7f;
	s.idt.base = 0x6000;
	s.idt.limit = 0xfff;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	cpu.run->cr8 = 3;		/* without an APIC in there the task priority comes with KVM_RUN */
	*(uint64_t *)(vm.mem + 0x9100) = 0x5566;
	t_run_to(&cpu, KVM_EXIT_IO);
	r = t_regs(&cpu);
	assert_int_equal(r.rax, s.cr0);
	assert_int_equal(r.rbx, s.cr3);
	assert_int_equal(r.rcx, s.cr4);
	assert_int_equal(r.rdx, 0xabcdef);
	assert_int_equal(r.rsi, 3);
	assert_int_equal(r.rdi, 0x5566);
	assert_int_equal(*(uint16_t *)(vm.mem + 0x9000), 0x7f);
	memcpy(&base, vm.mem + 0x9002, sizeof(base));
	assert_int_equal(base, 0x5000);
	memcpy(&base, vm.mem + 0x9012, sizeof(base));
	assert_int_equal(base, 0x6000);
	assert_int_equal(cpu.run->cr8, 3);
	assert_int_equal(cpu.run->apic_base, s.apic_base);
}

enum what { CR0, CR3, CR4, EFER };

/* Each on top of the 64-bit state of t_cpu_long(). */
static const struct bad_row {
	const char *name;
	enum what what;
	uint64_t clear, set;
} bad[] = {
	{ "CR0 above bit 31", CR0, 0, 1ULL << 32 },
	{ "CR0.PG without PE", CR0, 1, 0 },
	{ "CR0.NW without CD", CR0, 0, 1 << 29 },
	{ "CR4 reserved", CR4, 0, 1ULL << 40 },
	{ "CR4.PAE clear in long mode", CR4, 1 << 5, 0 },
	{ "EFER.LME, PG, no LMA", EFER, 1 << 10, 0 },
	{ "CR3 beyond the physical address", CR3, 0, 1ULL << 60 },
};

static uint64_t *field(struct kvm_sregs *s, enum what w)
{
	switch (w) {
	case CR0: return (uint64_t *)&s->cr0;
	case CR3: return (uint64_t *)&s->cr3;
	case CR4: return (uint64_t *)&s->cr4;
	default: return (uint64_t *)&s->efer;
	}
}

static void refusals_change_nothing(void **state)
{
	struct kvm_sregs before, s, after;
	unsigned int i;

	t_cpu_long(&vm, &cpu, T_CODE);
	before = get();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t *f = field(&s, bad[i].what);

		s = before;
		*f = (*f & ~bad[i].clear) | bad[i].set;
		s.cr2 = 0x99;
		s.ds.base = 0x99;
		if (T(cpu.fd, KVM_SET_SREGS, &s) != -EINVAL)
			fail_msg("%s is taken", bad[i].name);
		after = get();
		assert_memory_equal(&before, &after, sizeof(before));
	}
	t_fails(EFAULT, T(cpu.fd, KVM_SET_SREGS, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_GET_SREGS, T_BAD_PTR));
}

/* CR4 bits that CPUID does not offer; before KVM_SET_CPUID2 what the host has is taken. */
static void cr4_follows_cpuid(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	struct kvm_sregs s = get();
	unsigned int i;

	s.cr4 |= 1 << 18;			/* OSXSAVE */
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	s.cr4 = 0;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1)
			c->entries[i].ecx &= ~(1u << 26);
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	s.cr4 |= 1 << 18;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_SREGS, &s));
	s = get();
	assert_int_equal(s.cr4, 0);
	free(c);
}

/* Linux takes PCIDE outside long mode too: before KVM_SET_CPUID2 all that is supported goes together. */
static void pcide_in_real_mode(void **state)
{
	struct kvm_cpuid2 *c = t_supported_cpuid(vm.kvm);
	struct kvm_sregs s = get();
	bool has = false;
	unsigned int i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1)
			has = c->entries[i].ecx & 1u << 17;
	s.cr4 |= 1 << 17;
	if (has)
		t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	else
		t_fails(EINVAL, T(cpu.fd, KVM_SET_SREGS, &s));
	assert_int_equal(get().cr4, has ? 1 << 17 : 0);
	free(c);
}

static void bad_apic_base(void **state)
{
	struct kvm_sregs s, t;
	struct t_vm v;
	struct t_cpu c;

	t_vm_create(&v, T_IRQCHIP);
	t_cpu_create(&v, &c, 0);
	t_cpu_cpuid(&v, &c);
	t_ok(T(c.fd, KVM_GET_SREGS, &s));
	s.apic_base |= 0x400;			/* x2APIC */
	s.apic_base &= ~0x800ULL;		/* but disabled */
	t_fails(EINVAL, T(c.fd, KVM_SET_SREGS, &s));
	s.apic_base = 0xfee00000 | 1ULL << 60;
	t_fails(EINVAL, T(c.fd, KVM_SET_SREGS, &s));
	t_ok(T(c.fd, KVM_GET_SREGS, &t));
	assert_int_equal(t.apic_base, 0xfee00900);
	s.apic_base = 0xfee00d00;
	t_ok(T(c.fd, KVM_SET_SREGS, &s));
	t_ok(T(c.fd, KVM_GET_SREGS, &t));
	assert_int_equal(t.apic_base, 0xfee00d00);
	T_END(&v, &c);
}

/* x2APIC mode is a reserved bit where CPUID does not announce it, with an APIC or without. */
static void x2apic_follows_cpuid(void **state)
{
	for (int irqchip = 0; irqchip < 2; irqchip++) {
		struct kvm_sregs s;
		struct t_vm v;
		struct t_cpu c;

		t_vm_create(&v, irqchip ? T_IRQCHIP : 0);
		t_cpu_create(&v, &c, 0);
		for (int has = 0; has < 3; has++) {
			struct kvm_cpuid2 *id = t_supported_cpuid(v.kvm);
			struct kvm_cpuid_entry2 *e = id->entries;

			while (e->function != 1)
				e++;
			/* first without any, then without the bit, then with it */
			if (has) {
				assert_true(e->ecx & 1 << 21);
				e->ecx &= has == 2 ? ~0u : ~(1u << 21);
				t_ok(T(c.fd, KVM_SET_CPUID2, id));
			}
			t_ok(T(c.fd, KVM_GET_SREGS, &s));
			s.apic_base = 0xfee00d00;
			if (has == 2)
				t_ok(T(c.fd, KVM_SET_SREGS, &s));
			else
				t_fails(EINVAL, T(c.fd, KVM_SET_SREGS, &s));
			t_ok(T(c.fd, KVM_GET_SREGS, &s));
			assert_int_equal(s.apic_base & 0x400, has == 2 ? 0x400 : 0);
			free(id);
		}
		T_END(&v, &c);
	}
}

/* The bitmap re-queues one vector. */
GUEST16(isr, "movb $0x21, %al; outb %al, $0x10; hlt");

static void interrupt_bitmap(void **state)
{
	struct kvm_sregs s;

	T_LOAD(&vm, 0x9000, isr);
	*(uint16_t *)(vm.mem + 0x21 * 4) = 0x9000;
	t_cpu_real(&cpu, T_CODE);
	t_set_regs(&cpu, &(struct kvm_regs){ .rip = T_CODE, .rflags = 0x202, .rsp = T_STACK });
	s = get();
	s.interrupt_bitmap[0] = 1ULL << 0x21;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	s = get();
	assert_int_equal(s.interrupt_bitmap[0], 1ULL << 0x21);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0x21);
	s = get();
	assert_int_equal(s.interrupt_bitmap[0], 0);
}

/* ---- SREGS2 ---- */

GUEST_CODE(".code32", pae_code, "movb 0x400123, %al; outb %al, $0x10; hlt");

static void pae_state(struct kvm_sregs *s)
{
	const struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1 };
	const struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_regs r = { .rip = T_CODE, .rflags = 2, .rsp = T_STACK };

	*s = get();
	s->cs = code;
	s->ds = s->es = s->ss = s->fs = s->gs = data;
	s->cr0 = 0x80000011;
	s->cr4 = 0x20;
	s->cr3 = T_TABLES;
	s->efer = 0;
	t_set_regs(&cpu, &r);
}

/* PDPTEs that the table in memory does not have (any more): the ones given count. */
static void sregs2_pdptrs(void **state)
{
	uint64_t *pdpt = (uint64_t *)(vm.mem + T_TABLES), *pd = (uint64_t *)(vm.mem + T_TABLES + T_PAGE);
	struct kvm_sregs2 s2;
	struct kvm_sregs s;

	if (!t_cap(&vm, KVM_CAP_SREGS2))
		skip();
	t_cpu_cpuid(&vm, &cpu);
	T_LOAD(&vm, T_CODE, pae_code);
	pd[0] = 0x83;
	pd[2] = 0x200083;
	vm.mem[0x200123] = 0x66;
	pdpt[0] = (T_TABLES + T_PAGE) | 1;
	pae_state(&s);
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	t_ok(T(cpu.fd, KVM_GET_SREGS2, &s2));
	assert_int_equal(s2.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	assert_int_equal(s2.pdptrs[0], (T_TABLES + T_PAGE) | 1);
	assert_int_equal(s2.cr3, T_TABLES);
	assert_memory_equal(&s2.cs, &s.cs, sizeof(s.cs));
	pdpt[0] = 0;
	t_ok(T(cpu.fd, KVM_SET_SREGS2, &s2));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0x66);
}

static void sregs2_refusals(void **state)
{
	struct kvm_sregs2 s, before, after;

	if (!t_cap(&vm, KVM_CAP_SREGS2))
		skip();
	t_cpu_long(&vm, &cpu, T_CODE);
	t_ok(T(cpu.fd, KVM_GET_SREGS2, &before));
	assert_int_equal(before.flags, 0);		/* no PDPTEs in this mode */
	s = before;
	s.flags = 2;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_SREGS2, &s));
	s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_SREGS2, &s));
	s = before;
	s.cr4 |= 1ULL << 40;
	t_fails(EINVAL, T(cpu.fd, KVM_SET_SREGS2, &s));
	t_ok(T(cpu.fd, KVM_GET_SREGS2, &after));
	assert_memory_equal(&before, &after, sizeof(before));
	t_ok(T(cpu.fd, KVM_SET_SREGS2, &before));
	t_fails(EFAULT, T(cpu.fd, KVM_GET_SREGS2, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_SREGS2, T_BAD_PTR));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
T_MAIN(CASE(power_up), CASE(round_trip), CASE(hidden_parts_are_honoured), CASE(guest_sees_them),
       CASE(refusals_change_nothing), CASE(cr4_follows_cpuid), CASE(pcide_in_real_mode), CASE(bad_apic_base), CASE(x2apic_follows_cpuid),
       CASE(interrupt_bitmap), CASE(sregs2_pdptrs), CASE(sregs2_refusals))
