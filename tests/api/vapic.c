/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * vapic.c - KVM_TPR_ACCESS_REPORTING and KVM_SET_VAPIC_ADDR: reports of accesses to the task priority register, and its
 * shadow in guest memory.
 */
#include "lib/t_kvm.h"

#define SHADOW	0x9f00
#define TPR	0xfee00080

static struct t_vm vm;
static struct t_cpu cpu;

static long reporting(uint32_t enabled, uint32_t flags)
{
	struct kvm_tpr_access_ctl c = { .enabled = enabled, .flags = flags };

	return T(cpu.fd, KVM_TPR_ACCESS_REPORTING, &c);
}

static long shadow_at(uint64_t gpa)
{
	struct kvm_vapic_addr a = { .vapic_addr = gpa };

	return T(cpu.fd, KVM_SET_VAPIC_ADDR, &a);
}

static uint32_t lapic_reg(unsigned int off)
{
	static struct kvm_lapic_state s;
	uint32_t v;

	t_ok(T(cpu.fd, KVM_GET_LAPIC, &s));
	memcpy(&v, s.regs + off, sizeof(v));
	return v;
}

static void refusals(void **state)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_fails(EINVAL, shadow_at(SHADOW));
	t_fails(EINVAL, shadow_at(0));
	T_END(&vm, &cpu);
	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	assert_int_equal(t_cap(&vm, KVM_CAP_VAPIC), 1);
	t_fails(EINVAL, shadow_at(T_NOWHERE));
	t_ok(shadow_at(SHADOW));
	t_ok(shadow_at(0));
	t_fails(EINVAL, reporting(1, 1));
	t_ok(reporting(1, 0));
	t_ok(reporting(0, 0));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_VAPIC_ADDR, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_TPR_ACCESS_REPORTING, T_BAD_PTR));
	T_END(&vm, &cpu);
}

/* Reads and writes of the TPR, an access of another register in between, and OUT at the end. */
GUEST64(tpr_code, "mov $0xfee00080, %edi; movl $0x30, (%rdi); mov (%rdi), %eax; mov -0x50(%rdi), %ecx; out %al, $0x10;"
	"movl $0x50, (%rdi); mov (%rdi), %eax; out %al, $0x11");

/* The client's view of one access: after the instruction, with the instruction's address. */
static void reported(uint64_t rip, unsigned int len, int write)
{
	t_run_to(&cpu, KVM_EXIT_TPR_ACCESS);
	assert_int_equal(cpu.run->tpr_access.rip, rip);
	assert_int_equal(cpu.run->tpr_access.is_write, write);
	assert_int_equal(t_regs(&cpu).rip, rip + len);
}

static void reports(void **state)
{
	struct kvm_sregs s;
	uint64_t *pd;

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, tpr_code);
	t_cpu_long(&vm, &cpu, T_CODE);
	/* the tables map 1 GiB; the APIC's page comes to the fourth */
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	pd = (uint64_t *)(vm.mem + T_TABLES + 3 * T_PAGE);
	pd[0x1f7] = 0xfee00000 | 0x83;
	((uint64_t *)(vm.mem + T_TABLES + T_PAGE))[3] = (T_TABLES + 3 * T_PAGE) | 3;
	t_ok(reporting(1, 0));
	reported(T_CODE + 5, 6, 1);
	assert_int_equal(lapic_reg(0x80), 0x30);
	reported(T_CODE + 11, 2, 0);
	assert_int_equal(t_regs(&cpu).rax, 0x30);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x10);
	t_ok(reporting(0, 0));
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, 0x11);
	assert_int_equal(t_regs(&cpu).rax, 0x50);
	T_END(&vm, &cpu);
}

/*
 * Raise the priority in the shadow, and let an interrupt come; nothing happens until the shadow is lowered and
 * KVM_HC_VAPIC_POLL_IRQ (1) called. The handler reports the shadow's value.
 */
GUEST64(shadow_code, "movb $0x50, 0x9f00; out %al, $0x10; sti; nop; nop; out %al, $0x11; movb $0x20, 0x9f00; mov $1, %eax;"
	"vmcall; nop; out %al, $0x13; hlt");
GUEST64(shadow_handler, "mov 0x9f00, %eax; out %eax, $0x12; iretq");

static void out_at(uint16_t port)
{
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, port);
}

static void shadow(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x45 };
	static struct kvm_lapic_state lapic;
	struct kvm_sregs s;
	uint64_t gate = 0x9000;
	uint32_t *word, svr = 0x1ff;

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	word = (uint32_t *)(vm.mem + SHADOW);
	T_LOAD(&vm, T_CODE, shadow_code);
	T_LOAD(&vm, 0x9000, shadow_handler);
	t_cpu_long(&vm, &cpu, T_CODE);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	/* a GDT with the flat code segment that the IDT's gate names */
	((uint64_t *)(vm.mem + 0xa000))[s.cs.selector / 8] = 0x00af9b000000ffff;
	((uint64_t *)(vm.mem + 0xa000))[s.ss.selector / 8 ? s.ss.selector / 8 : 15] = 0x00cf93000000ffff;
	s.gdt.base = 0xa000;
	s.gdt.limit = 0x7f;
	s.idt.base = 0xb000;
	s.idt.limit = 0xfff;
	memset(vm.mem + 0xb000, 0, 0x1000);
	*(uint64_t *)(vm.mem + 0xb000 + 0x45 * 16) = gate | (uint64_t)s.cs.selector << 16 | 0x8e0000000000;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &lapic));
	memcpy(lapic.regs + 0xf0, &svr, sizeof(svr));
	t_ok(T(cpu.fd, KVM_SET_LAPIC, &lapic));
	*word = 0;
	t_ok(shadow_at(SHADOW));
	out_at(0x10);
	assert_int_equal(lapic_reg(0x80), 0x50);
	assert_int_equal(T(vm.fd, KVM_SIGNAL_MSI, &msi), 1);
	out_at(0x11);
	/* the request stands in the word: the guest would not know else that it has to call */
	assert_int_equal(*word, 0x45000050);
	out_at(0x12);
	/* in service, nothing requested, the priority as the guest left it */
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run), 0x00004020);
	assert_int_equal(lapic_reg(0x80), 0x20);
	out_at(0x13);
	/* off: the word is memory like any other */
	t_ok(shadow_at(0));
	*word = 0x70;
	cpu.run->immediate_exit = 1;
	t_fails(EINTR, t_run(&cpu));
	assert_int_equal(lapic_reg(0x80), 0x20);
	T_END(&vm, &cpu);
}

T_MAIN(T_CASE(refusals), T_CASE(reports), T_CASE(shadow))
