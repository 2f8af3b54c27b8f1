/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* routing_msi.c - KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_CAP_X2APIC_API. */
#include "lib/t_kvm.h"

static struct t_vm vm;
static struct t_cpu cpu;

static struct {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry e[4097];
} r;

static long set(uint32_t nr)
{
	r.head.nr = nr;
	return T(vm.fd, KVM_SET_GSI_ROUTING, &r);
}

static void msi(unsigned int i, uint32_t gsi, uint8_t vector)
{
	r.e[i] = (struct kvm_irq_routing_entry){ .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };
	r.e[i].u.msi.address_lo = 0xfee00000;
	r.e[i].u.msi.data = vector;
}

static void pin(unsigned int i, uint32_t gsi, uint32_t chip, uint32_t p)
{
	r.e[i] = (struct kvm_irq_routing_entry){ .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };
	r.e[i].u.irqchip.irqchip = chip;
	r.e[i].u.irqchip.pin = p;
}

/* The local APIC's IRR tells what arrived; it is enabled through its page. */
static bool arrived(uint8_t vector)
{
	struct kvm_lapic_state s;
	uint32_t irr;

	t_ok(T(cpu.fd, KVM_GET_LAPIC, &s));
	memcpy(&irr, s.regs + 0x200 + vector / 32 * 0x10, 4);
	return irr >> vector % 32 & 1;
}

static int begin(void **state)
{
	struct kvm_lapic_state s;

	memset(&r, 0, sizeof(r));
	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &s));
	memcpy(s.regs + 0xf0, &(uint32_t){ 0x1ff }, 4);
	t_ok(T(cpu.fd, KVM_SET_LAPIC, &s));
	return 0;
}

static int end(void **state)
{
	T_END(&vm, &cpu);
	return 0;
}

static int raise_gsi(uint32_t gsi)
{
	struct kvm_irq_level l = { .irq = gsi, .level = 1 };
	int status;

	t_ok(T(vm.fd, KVM_IRQ_LINE_STATUS, &l));
	status = l.status;
	l.irq = gsi;
	l.level = 0;
	t_ok(T(vm.fd, KVM_IRQ_LINE, &l));
	return status;
}

static void table_is_replaced(void **state)
{
	msi(0, 40, 0x41);
	t_ok(set(1));
	assert_true(raise_gsi(40) > 0);
	assert_true(arrived(0x41));
	assert_true(raise_gsi(5) <= 0);		/* the table from the creation is gone */
	msi(0, 41, 0x42);
	t_ok(set(1));
	assert_true(raise_gsi(40) <= 0);
	raise_gsi(41);
	assert_true(arrived(0x42));
	t_ok(set(0));
	assert_true(raise_gsi(41) <= 0);
}

/* One GSI on PIC and I/O APIC: the usual identity routes. */
static void two_pins_of_a_gsi(void **state)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	t_ok(T(vm.fd, KVM_GET_IRQCHIP, &chip));
	chip.chip.ioapic.redirtbl[4].bits = 0x44;	/* vector, edge, physical, unmasked */
	t_ok(T(vm.fd, KVM_SET_IRQCHIP, &chip));
	pin(0, 4, KVM_IRQCHIP_PIC_MASTER, 4);
	pin(1, 4, KVM_IRQCHIP_IOAPIC, 4);
	t_ok(set(2));
	raise_gsi(4);
	assert_true(arrived(0x44));
	chip.chip_id = KVM_IRQCHIP_PIC_MASTER;
	t_ok(T(vm.fd, KVM_GET_IRQCHIP, &chip));
}

static void as_many_as_announced(void **state)
{
	long n = t_cap(&vm, KVM_CAP_IRQ_ROUTING), i;

	assert_true(n <= 4096);
	for (i = 0; i < n; i++)
		msi((unsigned int)i, (uint32_t)i, 0x50);
	t_ok(set((uint32_t)n));
	raise_gsi((uint32_t)n - 1);
	assert_true(arrived(0x50));
	t_fails(EINVAL, set((uint32_t)n + 1));
}

static void refusals_keep_the_table(void **state)
{
	msi(0, 40, 0x41);
	t_ok(set(1));
	pin(0, 1, 7, 1);
	t_fails(EINVAL, set(1));
	pin(0, 1, KVM_IRQCHIP_IOAPIC, 24);
	t_fails(EINVAL, set(1));
	pin(0, 1, KVM_IRQCHIP_PIC_MASTER, 8);
	t_fails(EINVAL, set(1));
	msi(0, 4096, 0x41);
	t_fails(EINVAL, set(1));
	msi(0, 40, 0x41);
	r.e[0].type = 99;
	t_fails(EINVAL, set(1));
	msi(0, 40, 0x41);
	r.e[0].flags = 0x80;
	t_fails(EINVAL, set(1));
	msi(0, 40, 0x41);
	r.head.flags = 1;
	t_fails(EINVAL, set(1));
	r.head.flags = 0;
	msi(1, 40, 0x42);			/* an MSI is alone on its GSI */
	t_fails(EINVAL, set(2));
	t_fails(EFAULT, T(vm.fd, KVM_SET_GSI_ROUTING, T_BAD_PTR));
	raise_gsi(40);
	assert_true(arrived(0x41));
}

static long signal_msi(uint32_t lo, uint32_t hi, uint32_t data, uint32_t flags)
{
	struct kvm_msi m = { .address_lo = lo, .address_hi = hi, .data = data, .flags = flags };

	return T(vm.fd, KVM_SIGNAL_MSI, &m);
}

static void signal(void **state)
{
	struct kvm_lapic_state s;
	struct t_vm bare;
	struct kvm_msi m = { .address_lo = 0xfee00000, .data = 0x61 };

	assert_true(signal_msi(0xfee00000, 0, 0x61, 0) > 0);
	assert_true(arrived(0x61));
	assert_true(signal_msi(0xfee05000, 0, 0x62, 0) <= 0);		/* nobody has that id */
	assert_false(arrived(0x62));
	t_fails(EINVAL, signal_msi(0xfee00000, 0, 0x63, 4));
	t_fails(EFAULT, T(vm.fd, KVM_SIGNAL_MSI, T_BAD_PTR));
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &s));
	memcpy(s.regs + 0xf0, &(uint32_t){ 0xff }, 4);			/* disabled by software: blocked */
	t_ok(T(cpu.fd, KVM_SET_LAPIC, &s));
	assert_true(signal_msi(0xfee00000, 0, 0x64, 0) <= 0);
	t_vm_create(&bare, 0);
	t_fails(EINVAL, T(bare.fd, KVM_SIGNAL_MSI, &m));
	r.head.nr = 0;
	t_fails(EINVAL, T(bare.fd, KVM_SET_GSI_ROUTING, &r));
	t_vm_destroy(&bare);
}

/* A device's id may come with an MSI, and with nothing else. */
static void device_ids(void **state)
{
	assert_true(signal_msi(0xfee00000, 0, 0x65, KVM_MSI_VALID_DEVID) > 0);
	assert_true(arrived(0x65));
	msi(0, 40, 0x66);
	r.e[0].flags = KVM_MSI_VALID_DEVID;
	r.e[0].u.msi.devid = 7;
	t_ok(set(1));
	assert_true(raise_gsi(40) > 0);
	assert_true(arrived(0x66));
	pin(0, 4, KVM_IRQCHIP_IOAPIC, 4);
	r.e[0].flags = KVM_MSI_VALID_DEVID;
	t_fails(EINVAL, set(1));
}

/* The upper address half is ignored until the client says what it means. */
static void x2apic_api(void **state)
{
	if (!t_cap(&vm, KVM_CAP_X2APIC_API))
		skip();
	assert_true(signal_msi(0xfee00000, 0x12345678, 0x71, 0) > 0);
	assert_true(arrived(0x71));
	t_fails(EINVAL, t_enable(vm.fd, KVM_CAP_X2APIC_API, 4 << 4));
	t_ok(t_enable(vm.fd, KVM_CAP_X2APIC_API, 3));
	assert_true(signal_msi(0xfee00000, 0x00000100, 0x72, 0) <= 0);	/* id 0x100 */
	assert_false(arrived(0x72));
	assert_true(signal_msi(0xfee00000, 0, 0x73, 0) > 0);
	msi(0, 40, 0x74);
	r.e[0].u.msi.address_hi = 0xff;					/* bits that are no id */
	t_fails(EINVAL, set(1));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
T_MAIN(CASE(table_is_replaced), CASE(two_pins_of_a_gsi), CASE(as_many_as_announced), CASE(refusals_keep_the_table),
       CASE(signal), CASE(device_ids), CASE(x2apic_api))
