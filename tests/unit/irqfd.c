// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* irqfd, ioeventfd and coalesced writes: rules, matching, and what hostile clients do to the ring.
 * Linux's Documentation/virt/kvm/api.rst 4.75, 4.59, 4.116 */
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <cmocka.h>
#include "t_core.h"

#define VECTOR		0x51
#define GSI_MSI		30
#define GSI_LEVEL	11

static int vm_fd, cpu_fd;
static struct lapic *lapic;

static int setup_with(bool irqchip)
{
	memset(&t_vendor, 0, sizeof(t_vendor));
	vm_fd = t_vm(irqchip);
	cpu_fd = t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 0);
	lapic = t_vcpu_obj(cpu_fd)->lapic;
	return 0;
}

static int setup(void **state)
{
	u32 svr = 0x1ff;

	setup_with(true);
	assert_true(lapic_mmio(lapic, 0xf0, &svr, 4, true));	/* software-enable the APIC */
	return 0;
}

static int setup_bare(void **state)
{
	return setup_with(false);
}

static int teardown(void **state)
{
	t_fd_close(cpu_fd);
	t_fd_close(vm_fd);
	assert_int_equal(t_vendor.vms, 0);
	return 0;
}

static long irqfd(int fd, u32 gsi, u32 flags, int resamplefd)
{
	struct kvm_irqfd a = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resamplefd };

	return t_ioctl(vm_fd, KVM_IRQFD, &a);
}

static void signal_fd(int fd)
{
	u64 one = 1;

	assert_int_equal(write(fd, &one, 8), 8);
}

/* The service thread delivers: wait for it, a second at most. */
static int pending_soon(void)
{
	struct timespec ms = { 0, 1000000 };
	int i, v = -1;

	for (i = 0; i < 1000 && v < 0; i++) {
		v = lapic_pending(lapic);
		if (v < 0)
			nanosleep(&ms, NULL);
	}
	return v;
}

static bool pending_never(void)
{
	struct timespec ms = { 0, 20000000 };

	nanosleep(&ms, NULL);
	return lapic_pending(lapic) < 0;
}

static void route_msi(void)
{
	struct { struct kvm_irq_routing r; struct kvm_irq_routing_entry e; } t = {
		.r.nr = 1,
		.e = { .gsi = GSI_MSI, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_lo = 0xfee00000, .data = VECTOR } },
	};

	assert_int_equal(t_ioctl(vm_fd, KVM_SET_GSI_ROUTING, &t), 0);
}

static void test_irqfd_rules(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK), pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(irqfd(e, 1, 4, 0), -EINVAL);
	assert_int_equal(irqfd(pipes[0], 1, 0, 0), -EINVAL);
	assert_int_equal(irqfd(-1, 1, 0, 0), -EBADF);
	assert_int_equal(irqfd(e, 1, KVM_IRQFD_FLAG_RESAMPLE, -1), -EBADF);
	assert_int_equal(irqfd(e, 1, 0, 0), 0);
	assert_int_equal(irqfd(e, 2, 0, 0), -EBUSY);
	assert_int_equal(irqfd(dup(e), 2, 0, 0), -EBUSY);
	assert_int_equal(irqfd(other, 1, 0, 0), 0);
	assert_int_equal(irqfd(e, 9, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);	/* matches nothing */
	assert_int_equal(irqfd(e, 1, 0, 0), -EBUSY);
	assert_int_equal(irqfd(e, 1, KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE, 0), 0);
	assert_int_equal(irqfd(e, 2, 0, 0), 0);
	close(e);
	close(other);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_irqfd_needs_irqchip(void **state)
{
	int e = eventfd(0, 0);

	assert_int_equal(irqfd(e, 1, 0, 0), -EINVAL);
	close(e);
}

static void test_irqfd_split(void **state)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	int e = eventfd(0, 0), r = eventfd(0, 0), fd = t_vm(false), save = vm_fd;

	assert_int_equal(t_ioctl(fd, KVM_ENABLE_CAP, &c), 0);
	assert_int_equal(t_ioctl(fd, KVM_ENABLE_CAP, &c), -EEXIST);
	vm_fd = fd;
	assert_int_equal(irqfd(e, 1, KVM_IRQFD_FLAG_RESAMPLE, r), -EINVAL);
	assert_int_equal(irqfd(e, 1, 0, 0), 0);
	vm_fd = save;
	t_fd_close(fd);
	close(e);
	close(r);
}

static void test_irqfd_edge(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK);
	u64 count;

	assert_int_equal(irqfd(e, GSI_MSI, 0, 0), 0);
	signal_fd(e);
	/* no route yet: lost, as on a wire to nowhere */
	assert_true(pending_never());
	route_msi();
	signal_fd(e);
	assert_int_equal(pending_soon(), VECTOR);
	assert_int_equal(read(e, &count, 8), -1);	/* drained by us */
	assert_int_equal(lapic_ack(lapic), VECTOR);
	/* gone */
	assert_int_equal(irqfd(e, GSI_MSI, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	signal_fd(e);
	assert_true(pending_never());
	close(e);
}

static void test_irqfd_pending_at_assign(void **state)
{
	int e = eventfd(3, EFD_NONBLOCK);
	u32 eoi = 0;

	route_msi();
	assert_int_equal(irqfd(e, GSI_MSI, 0, 0), 0);
	assert_int_equal(pending_soon(), VECTOR);
	assert_int_equal(lapic_ack(lapic), VECTOR);
	lapic_mmio(lapic, 0xb0, &eoi, 4, true);
	assert_true(pending_never());			/* a count of three is one interrupt */
	close(e);
}

static void ioapic_write(u32 reg, u32 val)
{
	struct irqchip *c = t_vm_obj(vm_fd)->irqchip;

	assert_true(irqchip_mmio(c, 0xfec00000, &reg, 4, true));
	assert_true(irqchip_mmio(c, 0xfec00010, &val, 4, true));
}

static bool signalled(int fd)
{
	u64 count;

	return read(fd, &count, 8) == 8;
}

static void test_irqfd_resample(void **state)
{
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK),
	    other = eventfd(0, EFD_NONBLOCK);
	int ra = eventfd(0, EFD_NONBLOCK), rb = eventfd(0, EFD_NONBLOCK),
	    rother = eventfd(0, EFD_NONBLOCK);
	u32 eoi = 0;

	ioapic_write(0x10 + 2 * GSI_LEVEL + 1, 0);
	ioapic_write(0x10 + 2 * GSI_LEVEL, VECTOR | 1 << 15);	/* level, unmasked, to APIC 0 */
	assert_int_equal(irqfd(a, GSI_LEVEL, KVM_IRQFD_FLAG_RESAMPLE, ra), 0);
	assert_int_equal(irqfd(b, GSI_LEVEL, KVM_IRQFD_FLAG_RESAMPLE, rb), 0);
	assert_int_equal(irqfd(other, 5, KVM_IRQFD_FLAG_RESAMPLE, rother), 0);
	signal_fd(a);
	assert_int_equal(pending_soon(), VECTOR);
	assert_int_equal(lapic_ack(lapic), VECTOR);
	assert_false(signalled(ra));
	lapic_mmio(lapic, 0xb0, &eoi, 4, true);
	/* the pin went low by itself, and all that share it are asked */
	assert_true(signalled(ra));
	assert_true(signalled(rb));
	assert_false(signalled(rother));
	assert_true(pending_never());
	/* the device still wants it */
	signal_fd(b);
	assert_int_equal(pending_soon(), VECTOR);
	/* without resamplers the level goes, too */
	assert_int_equal(irqfd(a, GSI_LEVEL, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	assert_int_equal(irqfd(b, GSI_LEVEL, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	assert_int_equal(lapic_ack(lapic), VECTOR);
	lapic_mmio(lapic, 0xb0, &eoi, 4, true);
	assert_true(pending_never());
	assert_false(signalled(ra));
	close(a);
	close(b);
	close(other);
	close(ra);
	close(rb);
	close(rother);
}

/*
 * The eventfd of an irqfd is closed, unnoticed: its place is free for the next one, dead ones are
 * freed as new ones come, and the level goes with the last resampler.
 */
static void test_irqfd_eventfd_closed(void **state)
{
	const struct vm_priv *p = t_vm_obj(vm_fd)->priv;
	int e = eventfd(0, EFD_NONBLOCK), r = eventfd(0, EFD_NONBLOCK), i;

	ioapic_write(0x10 + 2 * GSI_LEVEL + 1, 0);
	ioapic_write(0x10 + 2 * GSI_LEVEL, VECTOR | 1 << 15);
	assert_int_equal(irqfd(e, GSI_LEVEL, KVM_IRQFD_FLAG_RESAMPLE, r), 0);
	signal_fd(e);
	assert_int_equal(pending_soon(), VECTOR);
	close(e);
	for (i = 0; i < 100; i++) {
		e = eventfd(0, EFD_NONBLOCK);
		assert_int_equal(irqfd(e, GSI_MSI, 0, 0), 0);
		assert_in_range(p->nr_irqfds, 1, 10);
		close(e);
	}
	assert_null(p->resamplers);
	e = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(irqfd(e, GSI_MSI, 0, 0), 0);
	assert_int_equal(irqfd(dup(e), GSI_MSI, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	assert_int_equal(irqfd(e, GSI_MSI, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	assert_int_equal(irqfd(e, GSI_MSI, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	assert_in_range(p->nr_irqfds, 0, 9);	/* no more than dead ones */
	close(e);
	close(r);
}

/* ---- ioeventfd ------------------------------------------------------------------------------- */

#define PIO	KVM_IOEVENTFD_FLAG_PIO
#define MATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define REMOVE	KVM_IOEVENTFD_FLAG_DEASSIGN

static long ioeventfd(int fd, u64 addr, u32 len, u32 flags, u64 match)
{
	struct kvm_ioeventfd a = { .fd = fd, .addr = addr, .len = len, .flags = flags, .datamatch = match };

	return t_ioctl(vm_fd, KVM_IOEVENTFD, &a);
}

static bool guest_writes(bool mmio, u64 addr, u64 val, unsigned int len)
{
	struct vcpu *v = t_vcpu_obj(cpu_fd);
	bool hit;

	vcpu_read_lock(v);
	hit = ioeventfd_write(v->vm, mmio, addr, &val, len);
	vcpu_read_unlock(v);
	return hit;
}

static void test_ioeventfd_rules(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK), f = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(ioeventfd(e, 0x1000, 3, 0, 0), -EINVAL);
	assert_int_equal(ioeventfd(e, 0x1000, 16, 0, 0), -EINVAL);
	assert_int_equal(ioeventfd(e, 0x1000, 4, 0x80, 0), -EINVAL);
	assert_int_equal(ioeventfd(e, 0x1000, 0, MATCH, 0), -EINVAL);
	assert_int_equal(ioeventfd(e, ~0UL, 4, 0, 0), -EINVAL);
	assert_int_equal(ioeventfd(-1, 0x1000, 4, 0, 0), -EBADF);
	assert_int_equal(ioeventfd(e, 0x1000, 4, REMOVE, 0), -ENOENT);
	assert_int_equal(ioeventfd(e, 0x1000, 4, MATCH, 1), 0);
	assert_int_equal(ioeventfd(f, 0x1000, 4, MATCH, 1), -EEXIST);
	assert_int_equal(ioeventfd(f, 0x1000, 4, 0, 0), -EEXIST);	/* wildcard over a match */
	assert_int_equal(ioeventfd(f, 0x1000, 0, 0, 0), -EEXIST);	/* any length */
	assert_int_equal(ioeventfd(f, 0x1000, 4, MATCH, 2), 0);
	assert_int_equal(ioeventfd(f, 0x1000, 2, 0, 0), 0);		/* other length */
	assert_int_equal(ioeventfd(f, 0x1000, 4, PIO, 0), 0);		/* other bus */
	assert_int_equal(ioeventfd(f, 0x1000, 4, REMOVE | MATCH, 1), -ENOENT);	/* another's */
	assert_int_equal(ioeventfd(e, 0x1000, 4, REMOVE | MATCH, 1), 0);
	assert_int_equal(ioeventfd(e, 0x1000, 4, REMOVE | MATCH, 1), -ENOENT);
	close(e);
	close(f);
}

/* QEMU's probe: port 0, length 2, values 0 to 6 at once, then away with them. */
static void test_ioeventfd_probe(void **state)
{
	int e[7], i;

	for (i = 0; i < 7; i++) {
		e[i] = eventfd(0, EFD_NONBLOCK);
		assert_int_equal(ioeventfd(e[i], 0, 2, PIO | MATCH, i), 0);
	}
	assert_true(guest_writes(false, 0, 4, 2));
	for (i = 0; i < 7; i++) {
		assert_int_equal(signalled(e[i]), i == 4);
		assert_int_equal(ioeventfd(e[i], 0, 2, PIO | MATCH | REMOVE, i), 0);
	}
	assert_false(guest_writes(false, 0, 4, 2));
	for (i = 0; i < 7; i++)
		close(e[i]);
}

static void test_ioeventfd_match(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK), any = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(ioeventfd(e, 0xfe000000, 4, MATCH, 0x11223344), 0);
	assert_int_equal(ioeventfd(any, 0xfe000008, 0, 0, 0), 0);
	assert_true(guest_writes(true, 0xfe000000, 0x11223344, 4));
	assert_true(signalled(e));
	assert_false(guest_writes(true, 0xfe000000, 0x11223345, 4));
	assert_false(guest_writes(true, 0xfe000000, 0x11223344, 8));
	assert_false(guest_writes(true, 0xfe000001, 0x11223344, 4));
	assert_false(guest_writes(false, 0xfe000000, 0x11223344, 4));
	assert_false(signalled(e));
	assert_true(guest_writes(true, 0xfe000008, 0, 1));
	assert_true(guest_writes(true, 0xfe000008, 5, 8));
	assert_true(signalled(any));
	close(e);
	close(any);
}

static void test_ioeventfd_many(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK), i;

	/* in an order that is not sorted */
	for (i = 0; i < VM_MAX_IOEVENTFDS; i++)
		assert_int_equal(ioeventfd(e, (u64)(i * 611 % VM_MAX_IOEVENTFDS) * 8, 4, 0, 0), 0);
	assert_int_equal(ioeventfd(e, 0x100000, 4, 0, 0), -ENOSPC);
	for (i = 0; i < VM_MAX_IOEVENTFDS; i++) {
		assert_true(guest_writes(true, i * 8, 1, 4));
		assert_false(guest_writes(true, i * 8 + 4, 1, 4));
	}
	close(e);
}

/* ---- coalesced writes ------------------------------------------------------------------------ */

static long zone(bool add, u64 addr, u32 size, u32 pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };

	return t_ioctl(vm_fd, add ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &z);
}

static bool guest_coalesces(struct vcpu *v, bool pio, u64 addr, u64 val, unsigned int len)
{
	bool hit;

	vcpu_read_lock(v);
	hit = coalesced_write(v, pio, addr, &val, len);
	vcpu_read_unlock(v);
	return hit;
}

static void test_coalesced(void **state)
{
	struct vcpu *v = t_vcpu_obj(cpu_fd);
	struct kvm_coalesced_mmio_ring *ring = (void *)((u8 *)v->run + 2 * HV_PAGE_SIZE);
	int ap_fd = t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 1), i;

	assert_false(guest_coalesces(v, false, 0xa0000, 1, 4));
	assert_int_equal(zone(true, 0xa0000, 0x20000, 2), -EINVAL);
	assert_int_equal(zone(true, 0xa0000, 0x20000, 0), 0);
	assert_int_equal(zone(true, 0x70, 1, 1), 0);
	assert_true(guest_coalesces(v, false, 0xbfffc, 0x12345678, 4));
	assert_true(guest_coalesces(v, true, 0x70, 0x99, 1));
	assert_false(guest_coalesces(v, false, 0xbfffe, 1, 4));		/* sticks out */
	assert_false(guest_coalesces(v, false, 0x9ffff, 1, 1));
	assert_false(guest_coalesces(v, true, 0xa0000, 1, 1));
	assert_int_equal(ring->first, 0);
	assert_int_equal(ring->last, 2);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, 0xbfffc);
	assert_int_equal(ring->coalesced_mmio[0].len, 4);
	assert_int_equal(ring->coalesced_mmio[0].pio, 0);
	assert_int_equal(*(u32 *)ring->coalesced_mmio[0].data, 0x12345678);
	assert_int_equal(ring->coalesced_mmio[1].pio, 1);
	/* the other vCPU's go to the same ring */
	assert_true(guest_coalesces(t_vcpu_obj(ap_fd), false, 0xa0001, 0x77, 1));
	assert_int_equal(ring->last, 3);
	assert_int_equal(ring->coalesced_mmio[2].phys_addr, 0xa0001);
	assert_int_equal(ring->coalesced_mmio[2].data[0], 0x77);
	/* full: 169 of 170, the rest exits */
	for (i = 3; i < 169; i++)
		assert_true(guest_coalesces(v, false, 0xa0000, i, 1));
	assert_false(guest_coalesces(v, false, 0xa0000, 0, 1));
	ring->first = 1;
	assert_true(guest_coalesces(v, false, 0xa0000, 0, 1));
	assert_int_equal(ring->last, 0);
	/* a client that writes nonsense gets exits */
	ring->last = 170;
	assert_false(guest_coalesces(v, false, 0xa0000, 0, 1));
	ring->last = 0xffffffff;
	assert_false(guest_coalesces(v, false, 0xa0000, 0, 1));
	ring->last = 5;
	ring->first = 0xfffffff0;
	assert_true(guest_coalesces(v, false, 0xa0000, 0, 1));
	/* the zone in which a request lies goes, and none that is smaller */
	assert_int_equal(zone(false, 0x9ffff, 2, 0), 0);
	assert_int_equal(zone(false, 0, 0x100000, 0), 0);
	assert_int_equal(zone(false, 0xa0000, 0x20001, 0), 0);
	assert_int_equal(zone(false, 0xa0000, 0x20000, 1), 0);
	assert_true(guest_coalesces(v, false, 0xa0000, 0, 1));
	assert_int_equal(zone(false, 0xbffff, 1, 0), 0);
	assert_false(guest_coalesces(v, false, 0xa0000, 0, 1));
	assert_true(guest_coalesces(v, true, 0x70, 0, 1));
	/* an empty one takes its place until it ends */
	assert_int_equal(zone(true, 0x2000000, 0, 0), 0);
	assert_int_equal(zone(false, 0x2000000, 0, 0), 0);
	for (i = 1; i < VM_MAX_COALESCED; i++)
		assert_int_equal(zone(true, i * 0x1000, 0x1000, 0), 0);
	assert_int_equal(zone(true, 0x1000000, 0x1000, 0), -ENOSPC);
	t_fd_close(ap_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_irqfd_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_irqfd_needs_irqchip, setup_bare, teardown),
		cmocka_unit_test_setup_teardown(test_irqfd_split, setup_bare, teardown),
		cmocka_unit_test_setup_teardown(test_irqfd_edge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_irqfd_pending_at_assign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_irqfd_resample, setup, teardown),
		cmocka_unit_test_setup_teardown(test_irqfd_eventfd_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ioeventfd_rules, setup_bare, teardown),
		cmocka_unit_test_setup_teardown(test_ioeventfd_probe, setup_bare, teardown),
		cmocka_unit_test_setup_teardown(test_ioeventfd_match, setup_bare, teardown),
		cmocka_unit_test_setup_teardown(test_ioeventfd_many, setup_bare, teardown),
		cmocka_unit_test_setup_teardown(test_coalesced, setup_bare, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
