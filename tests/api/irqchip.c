/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * irqchip.c - interrupt controllers behind the API: their creation and state, KVM_IRQ_LINE, the local APIC's page, the
 * split form whose I/O APIC is the client's.
 */
#include "lib/t_kvm.h"

static struct t_vm vm;
static struct t_cpu cpu;

/* 8259s at vectors 0x20 and 0x28, all unmasked; handlers of IRQ 5 and 9 report. */
GUEST16(pic_code, "movb $0x11, %al; outb %al, $0x20; outb %al, $0xa0; movb $0x20, %al; outb %al, $0x21; movb $0x28, %al;"
	"outb %al, $0xa1; movb $4, %al; outb %al, $0x21; movb $2, %al; outb %al, $0xa1; movb $1, %al; outb %al, $0x21;"
	"outb %al, $0xa1; xorb %al, %al; outb %al, $0x21; outb %al, $0xa1; outb %al, $0x11; sti; 1: hlt; jmp 1b");
GUEST16(irq5, "movb $0x20, %al; outb %al, $0x20; movb $5, %al; outb %al, $0x10; iretw");
GUEST16(irq9, "movb $0x20, %al; outb %al, $0xa0; outb %al, $0x20; movb $9, %al; outb %al, $0x10; iretw");

static void pic_begin(unsigned int how)
{
	T_START(&vm, &cpu, how, pic_code);
	T_LOAD(&vm, 0x9000, irq5);
	T_LOAD(&vm, 0x9100, irq9);
	*(uint32_t *)(vm.mem + 0x25 * 4) = 0x9000;
	*(uint32_t *)(vm.mem + 0x29 * 4) = 0x9100;
}

static void reports(uint16_t port, uint8_t nr)
{
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, port);
	if (port == 0x10)
		assert_int_equal(*(uint8_t *)t_io_data(cpu.run), nr);
}

static long line(unsigned long nr, uint32_t irq, uint32_t level, int *status)
{
	struct kvm_irq_level l = { .irq = irq, .level = level };
	long ret = T(vm.fd, nr, &l);

	if (status)
		*status = l.status;
	return ret;
}

static void creation(void **state)
{
	t_vm_create(&vm, 0);
	t_ok(T(vm.fd, KVM_CREATE_IRQCHIP, 0));
	t_fails(EEXIST, T(vm.fd, KVM_CREATE_IRQCHIP, 0));
	t_fails(EEXIST, t_enable(vm.fd, KVM_CAP_SPLIT_IRQCHIP, 24));
	t_vm_destroy(&vm);
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_fails(EINVAL, T(vm.fd, KVM_CREATE_IRQCHIP, 0));
	t_fails(EEXIST, t_enable(vm.fd, KVM_CAP_SPLIT_IRQCHIP, 24));
	T_END(&vm, &cpu);
	t_vm_create(&vm, 0);
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_SPLIT_IRQCHIP, 100000));
	t_ok(t_enable(vm.fd, KVM_CAP_SPLIT_IRQCHIP, 24));
	t_fails(EEXIST, T(vm.fd, KVM_CREATE_IRQCHIP, 0));
	t_vm_destroy(&vm);
}

static void none(void **state)
{
	struct kvm_irqchip chip = { .chip_id = 0 };
	static struct kvm_lapic_state lapic;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	t_fails(ENXIO, line(KVM_IRQ_LINE, 5, 1, NULL));
	t_fails(ENXIO, line(KVM_IRQ_LINE_STATUS, 5, 1, NULL));
	t_fails(ENXIO, T(vm.fd, KVM_GET_IRQCHIP, &chip));
	t_fails(ENXIO, T(vm.fd, KVM_SET_IRQCHIP, &chip));
	t_fails(EINVAL, T(cpu.fd, KVM_GET_LAPIC, &lapic));
	t_fails(EINVAL, T(cpu.fd, KVM_SET_LAPIC, &lapic));
	T_END(&vm, &cpu);
}

static void lines_of_the_pic(void **state)
{
	int status;

	pic_begin(T_IRQCHIP);
	reports(0x11, 0);
	t_ok(line(KVM_IRQ_LINE, 5, 1, NULL));
	t_ok(line(KVM_IRQ_LINE, 5, 0, NULL));
	reports(0x10, 5);
	t_ok(line(KVM_IRQ_LINE_STATUS, 9, 1, &status));
	assert_true(status >= 0);
	reports(0x10, 9);
	t_ok(line(KVM_IRQ_LINE_STATUS, 9, 0, &status));
	t_fails(EFAULT, T(vm.fd, KVM_IRQ_LINE, T_BAD_PTR));
	t_fails(EFAULT, T(vm.fd, KVM_IRQ_LINE_STATUS, T_BAD_PTR));
	t_ok(line(KVM_IRQ_LINE, 5, 1, NULL));		/* raised while in HLT's exit-free sleep or before: the same */
	reports(0x10, 5);
	T_END(&vm, &cpu);
}

/* With its APIC off a CPU has an INTR pin, whether it is the one that booted or not. */
static void lines_without_an_apic(void **state)
{
	pic_begin(T_IRQCHIP);
	assert_int_equal(t_set_msr(&cpu, 0x1b, 0xfee00000), 1);
	reports(0x11, 0);
	t_ok(line(KVM_IRQ_LINE, 5, 1, NULL));
	reports(0x10, 5);
	T_END(&vm, &cpu);
}

static void state_of_the_chips(void **state)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER }, other;

	pic_begin(T_IRQCHIP);
	reports(0x11, 0);
	t_ok(T(vm.fd, KVM_GET_IRQCHIP, &chip));
	assert_int_equal(chip.chip.pic.irq_base, 0x20);
	assert_int_equal(chip.chip.pic.imr, 0);
	chip.chip.pic.irr |= 1 << 5;
	t_ok(T(vm.fd, KVM_SET_IRQCHIP, &chip));
	reports(0x10, 5);
	chip.chip_id = KVM_IRQCHIP_PIC_SLAVE;
	t_ok(T(vm.fd, KVM_GET_IRQCHIP, &chip));
	assert_int_equal(chip.chip.pic.irq_base, 0x28);
	chip.chip_id = KVM_IRQCHIP_IOAPIC;
	t_ok(T(vm.fd, KVM_GET_IRQCHIP, &chip));
	assert_int_equal(chip.chip.ioapic.base_address, 0xfec00000);
	assert_int_equal(chip.chip.ioapic.redirtbl[3].fields.mask, 1);
	chip.chip.ioapic.redirtbl[3].fields.vector = 0x55;
	t_ok(T(vm.fd, KVM_SET_IRQCHIP, &chip));
	other.chip_id = KVM_IRQCHIP_IOAPIC;
	t_ok(T(vm.fd, KVM_GET_IRQCHIP, &other));
	assert_int_equal(other.chip.ioapic.redirtbl[3].fields.vector, 0x55);
	chip.chip_id = 3;
	t_fails(EINVAL, T(vm.fd, KVM_GET_IRQCHIP, &chip));
	t_fails(EINVAL, T(vm.fd, KVM_SET_IRQCHIP, &chip));
	t_fails(EFAULT, T(vm.fd, KVM_GET_IRQCHIP, T_BAD_PTR));
	t_fails(EFAULT, T(vm.fd, KVM_SET_IRQCHIP, T_BAD_PTR));
	T_END(&vm, &cpu);
}

static uint32_t lapic_reg(const struct kvm_lapic_state *s, unsigned int off)
{
	uint32_t v;

	memcpy(&v, s->regs + off, sizeof(v));
	return v;
}

static void local_apic(void **state)
{
	static struct kvm_lapic_state a, b;
	struct kvm_sregs s;

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 3);
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &a));		/* before any CPUID: libvirt, kvmtool */
	assert_int_equal(lapic_reg(&a, 0x20) >> 24, 3);
	assert_int_equal(lapic_reg(&a, 0x30) & 0xff, 0x14);
	assert_int_equal(lapic_reg(&a, 0xf0), 0xff);
	memcpy(a.regs + 0x80, &(uint32_t){ 0x50 }, 4);	/* TPR */
	memcpy(a.regs + 0xf0, &(uint32_t){ 0x1ff }, 4);
	memcpy(a.regs + 0x350, &(uint32_t){ 0x700 }, 4);	/* LINT0: ExtINT, as kvmtool sets it */
	t_ok(T(cpu.fd, KVM_SET_LAPIC, &a));
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &b));
	assert_int_equal(lapic_reg(&b, 0x80), 0x50);
	assert_int_equal(lapic_reg(&b, 0xf0), 0x1ff);
	assert_int_equal(lapic_reg(&b, 0x350), 0x700);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	assert_int_equal(s.cr8, 5);
	t_fails(EFAULT, T(cpu.fd, KVM_GET_LAPIC, T_BAD_PTR));
	t_fails(EFAULT, T(cpu.fd, KVM_SET_LAPIC, T_BAD_PTR));
	T_END(&vm, &cpu);
}

/* The deadline timer wakes a halted guest: KVM_CAP_TSC_DEADLINE_TIMER. The xAPIC's page through 32-bit addresses. */
GUEST16(deadline, "movl $0xfee00000, %ebx; movl $0x1ff, %fs:0xf0(%ebx); movl $0x40025, %fs:0x320(%ebx); rdtsc; addl $100000, %eax;"
	"adcl $0, %edx; movl $0x6e0, %ecx; wrmsr; sti; 1: hlt; jmp 1b");

static void deadline_timer(void **state)
{
	struct kvm_cpuid2 *c;
	struct kvm_sregs s;
	unsigned int i;

	pic_begin(T_IRQCHIP);
	c = t_supported_cpuid(vm.kvm);
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1)
			c->entries[i].ecx |= 1u << 24;	/* not reported, the client adds it */
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	free(c);
	T_LOAD(&vm, T_CODE, deadline);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.fs.limit = 0xffffffff;
	s.fs.g = 1;
	s.fs.base = 0;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	reports(0x10, 5);
	assert_int_equal(t_msr(&cpu, 0x6e0), 0);	/* has fired */
	T_END(&vm, &cpu);
}

/* ---- split ---- */

/* A level interrupt by a routed MSI; its end of interrupt is the client's to know. */
GUEST16(split_code, "movl $0xfee00000, %ebx; movl $0x1ff, %fs:0xf0(%ebx); outb %al, $0x11; sti; 1: hlt; jmp 1b");
GUEST16(split_isr, "movb $5, %al; outb %al, $0x10; movl $0, %fs:0xb0(%ebx); outb %al, $0x12; iretw");

static void split(void **state)
{
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e[1]; } r = { .head.nr = 1 };
	struct kvm_irqchip chip = { .chip_id = 0 };
	struct kvm_interrupt irq = { .irq = 0x25 };
	struct kvm_sregs s;

	T_START(&vm, &cpu, T_SPLIT, split_code);
	T_LOAD(&vm, 0x9000, split_isr);
	*(uint32_t *)(vm.mem + 0x25 * 4) = 0x9000;
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.fs.limit = 0xffffffff;
	s.fs.g = 1;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	t_fails(ENXIO, T(vm.fd, KVM_GET_IRQCHIP, &chip));
	t_fails(ENXIO, T(vm.fd, KVM_SET_IRQCHIP, &chip));
	r.e[0].gsi = 5;
	r.e[0].type = KVM_IRQ_ROUTING_MSI;
	r.e[0].u.msi.address_lo = 0xfee00000;
	r.e[0].u.msi.data = 0x25 | 1 << 15;		/* level */
	t_ok(T(vm.fd, KVM_SET_GSI_ROUTING, &r));
	reports(0x11, 0);
	t_ok(line(KVM_IRQ_LINE, 5, 1, NULL));
	reports(0x10, 5);
	t_run_to(&cpu, KVM_EXIT_IOAPIC_EOI);
	assert_int_equal(cpu.run->eoi.vector, 0x25);
	reports(0x12, 0);
	/* the 8259 is the client's: its vector comes by KVM_INTERRUPT */
	t_ok(T(cpu.fd, KVM_INTERRUPT, &irq));
	t_fails(EEXIST, T(cpu.fd, KVM_INTERRUPT, &irq));
	T_END(&vm, &cpu);
}

T_MAIN(T_CASE(creation), T_CASE(none), T_CASE(lines_of_the_pic), T_CASE(lines_without_an_apic), T_CASE(state_of_the_chips), T_CASE(local_apic),
       T_CASE(deadline_timer), T_CASE(split))
