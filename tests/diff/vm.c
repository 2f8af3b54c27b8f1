// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vm.c - calls on VMs, and the small ones on vCPUs; the table of all.
 */
#include <errno.h>
#include <string.h>
#include "calls.h"

static unsigned int any_cpu(struct rnd *r)
{
	return one_in(r, 3) ? rnd_below(r, s.cpus) : 0;
}

static void vm_call(unsigned long nr, const void *arg, size_t n)
{
	out_words(arg, n);
	out_ret(call(s.vm, nr, arg));
}

static void cpu_call(struct rnd *r, unsigned long nr, const void *arg, size_t n)
{
	unsigned int cpu = any_cpu(r);

	out(" cpu %u", cpu);
	out_words(arg, n);
	out_ret(call(s.cpu[cpu].fd, nr, arg));
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* 23: the number of slots differs. */
static uint32_t any_slot(struct rnd *r)
{
	uint32_t slot = one_in(r, 8) ? (uint32_t)rnd_odd(r) : rnd_below(r, 4);

	return (slot & 0xffff) < 512 || (slot & 0xffff) >= 32764 ? slot : slot & 3;
}

/* Slots 1 to 3; slot 0, in which guests run, stays, but its log may be switched on and off. */
static void op_slot(struct rnd *r)
{
	struct kvm_userspace_memory_region m = { .slot = 1 + rnd_below(r, 3) };

	m.guest_phys_addr = 0x100000 + rnd_below(r, 24) * 4096UL;
	m.memory_size = one_in(r, 3) ? 0 : (1 + rnd_below(r, 12)) * 4096UL;
	m.flags = one_in(r, 3) ? rnd_below(r, 4) : 0;
	m.userspace_addr = rnd_below(r, 16) * 4096UL;
	if (one_in(r, 6)) {
		m.slot = 0;
		m.guest_phys_addr = 0;
		m.memory_size = MEM;
		m.userspace_addr = 0;
		m.flags = rnd_below(r, 2);
	}
	switch (rnd_below(r, 16)) {
	case 0:
		m.guest_phys_addr ^= rnd_odd(r);
		break;
	case 1:
		m.memory_size = rnd_odd(r);
		break;
	case 2:
		m.flags = (uint32_t)rnd_odd(r);
		break;
	case 3:
		m.slot = any_slot(r);
		break;
	case 4:
		m.userspace_addr ^= rnd_odd(r) >> 20;
		break;
	}
	if (m.guest_phys_addr >> 40 && !(m.guest_phys_addr >> 52))	/* 55 */
		m.guest_phys_addr &= 0xffffffffff;
	if (m.memory_size >> 38 && !(m.memory_size >> 42))		/* 63 */
		m.memory_size &= 0x3fffffffff;
	if (m.userspace_addr >> 47 == 0 && m.userspace_addr >= MEM)	/* 63 */
		m.userspace_addr &= 0xffff;
	if (m.slot == 0 && !m.memory_size)
		m.slot = 1;
	out_words(&m, sizeof(m));
	m.userspace_addr += (unsigned long)s.mem;
	out_ret(call(s.vm, KVM_SET_USER_MEMORY_REGION, &m));
}

static void op_dirty_log(struct rnd *r)
{
	uint64_t bitmap[8] = { 0 };
	struct kvm_dirty_log log = { .slot = any_slot(r), .dirty_bitmap = bitmap };

	out(" slot %x", log.slot);
	if (one_in(r, 10))
		log.dirty_bitmap = (void *)8;
	out_ret(call(s.vm, KVM_GET_DIRTY_LOG, &log));
	/* 40: which pages is for tests/api/dirty_log.c */
}

static void op_clear_dirty_log(struct rnd *r)
{
	uint64_t bitmap[8];
	struct kvm_clear_dirty_log log = { .slot = any_slot(r), .dirty_bitmap = bitmap };

	rnd_fill(r, bitmap, sizeof(bitmap));
	log.first_page = one_in(r, 4) ? rnd_odd(r) : 0;
	log.num_pages = one_in(r, 3) ? rnd_below(r, 130) : 64;
	out(" slot %x first %llx pages %x", log.slot, log.first_page, log.num_pages);
	out_ret(call(s.vm, KVM_CLEAR_DIRTY_LOG, &log));
}

static void op_refill(struct rnd *r)
{
	fill_memory();
}

/* ---- creation -------------------------------------------------------------------------------- */

static void op_create_vcpu(struct rnd *r)
{
	unsigned long id = one_in(r, 4) ? rnd_odd(r) & 0xffffffff : rnd_below(r, 4);

	if (id >= 64 && id < 4096)	/* the limits differ */
		id = 2;
	out(" id %lx", id);
	vcpu_add(id);
}

static void op_create_irqchip(struct rnd *r)
{
	long ret = call_n(s.vm, KVM_CREATE_IRQCHIP, 0);

	if (!ret)
		s.irqchip = FULL;
	out_ret(ret);
}

static void op_create_pit(struct rnd *r)
{
	struct kvm_pit_config c = { .flags = one_in(r, 4) ? (uint32_t)rnd_odd(r) : rnd_below(r, 2) };

	if (s.irqchip != FULL)
		out(" no controllers");		/* 19 */
	else if (one_in(r, 3))
		out_ret(call_n(s.vm, KVM_CREATE_PIT, 0));
	else
		vm_call(KVM_CREATE_PIT2, &c, sizeof(c));
}

static void op_tss_addr(struct rnd *r)
{
	uint64_t v = one_in(r, 2) ? rnd_odd(r) : 0xfffbd000;

	out(" %lx", (unsigned long)v);
	out_ret(call_n(s.vm, KVM_SET_TSS_ADDR, v));
}

static void op_identity_map(struct rnd *r)
{
	uint64_t v = one_in(r, 2) ? rnd_odd(r) : 0xfffbc000;

	vm_call(KVM_SET_IDENTITY_MAP_ADDR, &v, 8);
}

static void op_boot_cpu(struct rnd *r)
{
	unsigned long id = rnd_below(r, 4);

	out(" %lu", id);
	out_ret(call_n(s.vm, KVM_SET_BOOT_CPU_ID, id));
}

/* Capabilities that both have and whose effect is on the VM; those with limits of their own are tested in tests/api. */
static void op_enable_cap(struct rnd *r)
{
	static const uint32_t caps[] = { KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_USER_SPACE_MSR,
					 KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_MSR_PLATFORM_INFO, KVM_CAP_X86_TRIPLE_FAULT_EVENT,
					 KVM_CAP_HLT, KVM_CAP_IRQCHIP, 9999 };
	struct kvm_enable_cap c = { .cap = caps[rnd_below(r, sizeof(caps) / 4)] };
	long ret;

	c.args[0] = one_in(r, 4) ? rnd_odd(r) : rnd_below(r, 4);
	if (c.cap == KVM_CAP_SPLIT_IRQCHIP && !one_in(r, 4))
		c.args[0] = 24;
	if (one_in(r, 10))
		c.flags = (uint32_t)rnd_odd(r);
	out_words(&c, sizeof(c));
	ret = call(s.vm, KVM_ENABLE_CAP, &c);
	if (!ret && c.cap == KVM_CAP_SPLIT_IRQCHIP)
		s.irqchip = SPLIT;
	out_ret(ret);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* 65: not the one that leads to the cascade. */
static uint32_t any_gsi(struct rnd *r)
{
	uint32_t gsi = one_in(r, 8) ? (uint32_t)rnd_odd(r) : rnd_below(r, 24);

	return gsi == 2 ? 3 : gsi;
}

static void op_irq_line(struct rnd *r)
{
	struct kvm_irq_level l = { .irq = any_gsi(r), .level = rnd_below(r, 2) };
	uint32_t gsi = l.irq;

	out(" gsi %x level %u", l.irq, l.level);
	if (one_in(r, 2)) {
		out_ret(call(s.vm, KVM_IRQ_LINE, &l));
	} else {
		long ret = call(s.vm, KVM_IRQ_LINE_STATUS, &l);

		out(" with status");
		out_ret(ret);
		if (!ret)
			out(" %d", (int)l.status < 0 && (s.msi_gsis >> (gsi & 31) & 1) ? 0 : (int)l.status);	/* 45 */
	}
}

/* 34: no SMI, no ExtINT. 71: redirection of interrupts only. */
static uint32_t any_msi_data(struct rnd *r, uint32_t address)
{
	uint32_t data = one_in(r, 4) ? rnd_below(r, 0x10000) : 0x20 + rnd_below(r, 0xd0), mode = data >> 8 & 7;

	return mode == 2 || mode == 3 || mode == 7 || (mode > 1 && (address & 8)) ? data & ~0x700u : data;
}

static void op_routing(struct rnd *r)
{
	struct {
		struct kvm_irq_routing h;
		struct kvm_irq_routing_entry e[6];
	} a = { .h.nr = rnd_below(r, 7), .h.flags = one_in(r, 12) };
	uint32_t msis = 0;
	unsigned int i;
	long ret;

	for (i = 0; i < a.h.nr; i++) {
		a.e[i].gsi = one_in(r, 10) ? (uint32_t)rnd_odd(r) : rnd_below(r, 24);
		a.e[i].type = one_in(r, 20) ? rnd_below(r, 4) : 1 + rnd_below(r, 2);
		a.e[i].flags = one_in(r, 20) ? (uint32_t)rnd_odd(r) : 0;
		if (a.e[i].type == KVM_IRQ_ROUTING_IRQCHIP) {
			a.e[i].u.irqchip.irqchip = one_in(r, 20) ? (uint32_t)rnd_odd(r) : rnd_below(r, 3);
			a.e[i].u.irqchip.pin = one_in(r, 20) ? (uint32_t)rnd_odd(r) : rnd_below(r, 8);
			if (!a.e[i].u.irqchip.irqchip && a.e[i].u.irqchip.pin == 2)	/* 65 */
				a.e[i].u.irqchip.pin = 3;
		} else {
			a.e[i].u.msi.address_lo = 0xfee00000 | (one_in(r, 2) ? 0 : rnd_below(r, 0x100000));
			a.e[i].u.msi.data = any_msi_data(r, a.e[i].u.msi.address_lo);
			msis |= 1u << (a.e[i].gsi & 31);
		}
	}
	out_words(&a, sizeof(a.h) + a.h.nr * sizeof(a.e[0]));
	ret = call(s.vm, KVM_SET_GSI_ROUTING, &a);
	out_ret(ret);
	if (!ret)
		s.msi_gsis = msis;
}

/* Fixed and lowest-priority delivery; INIT, SIPI and NMI as well. */
static void op_msi(struct rnd *r)
{
	struct kvm_msi m = { .address_lo = 0xfee00000 | (one_in(r, 2) ? rnd_below(r, 4) << 12 : rnd_below(r, 0x100000)) };
	long ret;

	m.data = any_msi_data(r, m.address_lo);
	m.flags = one_in(r, 20) ? (uint32_t)rnd_odd(r) : 0;
	m.address_hi = one_in(r, 8) ? (uint32_t)rnd_odd(r) : 0;
	out_words(&m, sizeof(m));
	ret = call(s.vm, KVM_SIGNAL_MSI, &m);
	out_ret(ret == -EPERM ? 0 : ret);	/* 45 */
}

static int any_event(struct rnd *r, unsigned int *shown)
{
	*shown = rnd_below(r, EVENTS + 1);
	return *shown < EVENTS ? s.event[*shown] : one_in(r, 2) ? -1 : s.vm;
}

static void op_irqfd(struct rnd *r)
{
	struct kvm_irqfd q = { .gsi = any_gsi(r), .flags = rnd_below(r, one_in(r, 6) ? 8 : 4) };
	unsigned int a, b;

	q.fd = (uint32_t)any_event(r, &a);
	q.resamplefd = (uint32_t)any_event(r, &b);
	out(" fd %u gsi %x flags %x resample %u", a, q.gsi, q.flags, b);
	out_ret(call(s.vm, KVM_IRQFD, &q));
}

static void op_ioeventfd(struct rnd *r)
{
	static const uint64_t at[] = { 0x42, 0xf4, 0x80, 0xd0000000, 0x100000, 0x3ffff000 };
	struct kvm_ioeventfd e = { .datamatch = rnd_below(r, 3), .addr = at[rnd_below(r, 6)], .len = 1u << rnd_below(r, 4) };
	unsigned int a;

	e.flags = one_in(r, 8) ? (uint32_t)rnd_odd(r) & ~0x18u : rnd_below(r, 8);	/* 37 */
	if (one_in(r, 8))
		e.len = (uint32_t)rnd_odd(r);
	if (one_in(r, 12))
		e.addr = rnd_odd(r);
	e.fd = any_event(r, &a);
	if (e.addr == 0x42 || e.addr == 0xf4)	/* guests end there */
		e.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	out(" fd %u addr %llx len %x match %llx flags %x", a, e.addr, e.len, e.datamatch, e.flags);
	out_ret(call(s.vm, KVM_IOEVENTFD, &e));
}

static void op_coalesced(struct rnd *r)
{
	static const uint64_t at[] = { 0x80, 0xd0000000, 0x100000, 0x3ffff000 };
	struct kvm_coalesced_mmio_zone z = { .addr = at[rnd_below(r, 4)], .size = 1 + rnd_below(r, 16) };
	bool add = one_in(r, 2);

	z.pio = one_in(r, 12) ? 2 : z.addr < 0x10000;
	out(" %s", add ? "add" : "remove");
	vm_call(add ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &z, sizeof(z));
}

/* ---- the rest of the VM ---------------------------------------------------------------------- */

static void op_clock(struct rnd *r)
{
	struct kvm_clock_data c = { .clock = rnd_odd(r) >> 8, .flags = one_in(r, 2) ? rnd_below(r, 16) : 0 };

	out(" clock %llx flags %x", c.clock, c.flags);
	out_ret(call(s.vm, KVM_SET_CLOCK, &c));
	out(" get");
	out_ret(call(s.vm, KVM_GET_CLOCK, &c));
}

static void op_reinject(struct rnd *r)
{
	struct kvm_reinject_control c = { .pit_reinject = (uint8_t)rnd_below(r, 2) };

	vm_call(KVM_REINJECT_CONTROL, &c, sizeof(c));
}

static void op_msr_filter(struct rnd *r)
{
	struct kvm_msr_filter f = { .flags = one_in(r, 8) ? (uint32_t)rnd_odd(r) : rnd_below(r, 2) };
	uint8_t bitmap[16];
	unsigned int i, n = rnd_below(r, 4);

	rnd_fill(r, bitmap, sizeof(bitmap));
	for (i = 0; i < n; i++) {
		f.ranges[i].flags = one_in(r, 8) ? (uint32_t)rnd_odd(r) : 1 + rnd_below(r, 3);
		f.ranges[i].base = any_msr(r);
		f.ranges[i].nmsrs = one_in(r, 8) ? (uint32_t)rnd_odd(r) : rnd_below(r, 128);
	}
	out_words(&f, sizeof(f));
	for (i = 0; i < n; i++)
		f.ranges[i].bitmap = one_in(r, 10) ? (uint8_t *)8 : bitmap;
	out(" bitmap %08x", hash(bitmap, sizeof(bitmap)));
	out_ret(call(s.vm, KVM_X86_SET_MSR_FILTER, &f));
}

/* ---- vCPUs ----------------------------------------------------------------------------------- */

static void op_interrupt(struct rnd *r)
{
	struct kvm_interrupt i = { one_in(r, 6) ? (uint32_t)rnd_odd(r) : 0x20 + rnd_below(r, 0xe0) };

	cpu_call(r, KVM_INTERRUPT, &i, sizeof(i));
}

static void op_nmi(struct rnd *r)
{
	cpu_call(r, KVM_NMI, NULL, 0);
}

static void op_translate(struct rnd *r)
{
	struct kvm_translation t = { .linear_address = one_in(r, 3) ? (uint32_t)rnd_odd(r) : rnd_below(r, 0x80000000) };
	unsigned int cpu = any_cpu(r);
	long ret;

	out(" cpu %u %llx", cpu, t.linear_address);
	ret = call(s.cpu[cpu].fd, KVM_TRANSLATE, &t);
	out_ret(ret);
	if (!ret)
		out_words(&t, sizeof(t));
}

static void op_mce(struct rnd *r)
{
	uint64_t cap = (one_in(r, 4) ? rnd_odd(r) : 1 + rnd_below(r, 34)) | (one_in(r, 2) ? 0x1000100 : 0);
	struct kvm_x86_mce m = { .status = rnd_odd(r) | (one_in(r, 4) ? 0 : 1UL << 63), .addr = rnd_odd(r), .misc = rnd_odd(r) };

	if (one_in(r, 2)) {
		cpu_call(r, KVM_X86_SETUP_MCE, &cap, 8);
		return;
	}
	m.mcg_status = rnd_odd(r);
	m.bank = (uint8_t)rnd_below(r, one_in(r, 4) ? 256 : 4);
	cpu_call(r, KVM_X86_SET_MCE, &m, sizeof(m));
}

static void op_cpuid(struct rnd *r)
{
	struct {
		struct kvm_cpuid2 c;
		struct kvm_cpuid_entry2 e[40];
	} a = { .c.nent = one_in(r, 6) ? rnd_below(r, 12) : 40 };
	unsigned int cpu = any_cpu(r), i;
	long ret = call(s.cpu[cpu].fd, KVM_GET_CPUID2, &a);

	out(" cpu %u", cpu);
	out_ret(ret);
	/* 10: the number of leaves is not told */
	for (a.c.nent = i = 0; i < 40; i++)
		if (a.e[i].function)
			a.c.nent = i + 1;
	for (i = 0; !ret && i < a.c.nent; i++)
		out(" %x.%x:%x,%x,%x,%x", a.e[i].function, a.e[i].index, a.e[i].eax, a.e[i].ebx, a.e[i].ecx, a.e[i].edx);
	if (ret || !one_in(r, 3))
		return;
	if (one_in(r, 2))
		a.e[rnd_below(r, a.c.nent)].edx ^= 1u << rnd_below(r, 32);
	if (one_in(r, 8))
		a.c.nent = (uint32_t)rnd_odd(r) | 0x1000;
	ret = call(s.cpu[cpu].fd, KVM_SET_CPUID2, &a);
	out(" set");
	out_ret(ret);
}

static void op_guest_debug(struct rnd *r)
{
	struct kvm_guest_debug d = { .control = one_in(r, 2) ? 0 : one_in(r, 4) ? (uint32_t)rnd_odd(r) : KVM_GUESTDBG_ENABLE };

	/* not the single step, whose stops are for tests/guests and tests/api; 18: no unknown bits */
	d.control &= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP;
	cpu_call(r, KVM_SET_GUEST_DEBUG, &d, sizeof(d));
}

static void op_small(struct rnd *r)
{
	struct kvm_enable_cap cap = { .cap = one_in(r, 2) ? KVM_CAP_ENFORCE_PV_FEATURE_CPUID : KVM_CAP_HLT, .args = { rnd_below(r, 2) } };

	switch (rnd_below(r, 3)) {
	case 0:
		cpu_call(r, KVM_KVMCLOCK_CTRL, NULL, 0);
		break;
	case 1:
		s.pv_enforced |= cap.cap == KVM_CAP_ENFORCE_PV_FEATURE_CPUID;
		cpu_call(r, KVM_ENABLE_CAP, &cap, sizeof(cap));
		break;
	default:
		out(" odd run argument");
		out_ret(call_n(s.cpu[0].fd, KVM_RUN, 1));
		break;
	}
}

static void device_create(struct rnd *r)
{
	struct kvm_create_device c = { .type = one_in(r, 4) ? (uint32_t)rnd_odd(r) : KVM_DEV_TYPE_VFIO };
	long ret;

	if (one_in(r, 3))
		c.flags = one_in(r, 2) ? KVM_CREATE_DEVICE_TEST : (uint32_t)rnd_odd(r);
	out(" create %x %x", c.type, c.flags);
	ret = call(s.vm, KVM_CREATE_DEVICE, &c);
	out_ret(ret);
	if (!ret && !(c.flags & KVM_CREATE_DEVICE_TEST))
		s.device = (int)c.fd;
}

/* The VFIO device; there are no groups to give to it. */
static void op_device(struct rnd *r)
{
	static const unsigned long nrs[] = {
		KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, KVM_RUN,
	};
	const int files[] = { -1, s.event[0], s.vm, s.device };
	struct kvm_device_attr a = { .group = KVM_DEV_VFIO_GROUP, .attr = 1 + rnd_below(r, 2), .addr = 8 };
	unsigned int nr = rnd_below(r, 5), file = rnd_below(r, 5);

	if (s.device < 0 || one_in(r, 4)) {
		device_create(r);
		return;
	}
	if (one_in(r, 8)) {
		out(" close");
		shut(s.device);
		s.device = -1;
		return;
	}
	if (one_in(r, 4))
		a.group = (uint32_t)rnd_odd(r);
	if (one_in(r, 4))
		a.attr = rnd_odd(r);
	out(" %u file %u", nr, file);
	out_words(&a, sizeof(a));
	if (file < 4)
		a.addr = (unsigned long)&files[file];
	out_ret(call(s.device, nrs[nr], &a));
}

/* Pointers that lead nowhere. */
static void op_bad_pointer(struct rnd *r)
{
	static const struct {
		const char *name;
		unsigned long nr;
		bool vm;
	} calls[] = {
		{ "SET_REGS", KVM_SET_REGS, false }, { "GET_REGS", KVM_GET_REGS, false }, { "SET_SREGS", KVM_SET_SREGS, false },
		{ "GET_SREGS", KVM_GET_SREGS, false }, { "SET_XSAVE", KVM_SET_XSAVE, false }, { "GET_MSRS", KVM_GET_MSRS, false },
		{ "SET_MSRS", KVM_SET_MSRS, false }, { "SET_CPUID2", KVM_SET_CPUID2, false }, { "GET_CPUID2", KVM_GET_CPUID2, false },
		{ "GET_EVENTS", KVM_GET_VCPU_EVENTS, false }, { "SET_EVENTS", KVM_SET_VCPU_EVENTS, false }, { "SET_FPU", KVM_SET_FPU, false },
		{ "GET_FPU", KVM_GET_FPU, false }, { "GET_XCRS", KVM_GET_XCRS, false }, { "SET_XCRS", KVM_SET_XCRS, false },
		{ "GET_MP_STATE", KVM_GET_MP_STATE, false }, { "SET_MP_STATE", KVM_SET_MP_STATE, false },
		{ "GET_DEBUGREGS", KVM_GET_DEBUGREGS, false }, { "SET_GUEST_DEBUG", KVM_SET_GUEST_DEBUG, false },
		{ "INTERRUPT", KVM_INTERRUPT, false }, { "TRANSLATE", KVM_TRANSLATE, false }, { "SETUP_MCE", KVM_X86_SETUP_MCE, false },
		{ "SET_MCE", KVM_X86_SET_MCE, false }, { "SIGNAL_MASK", KVM_SET_SIGNAL_MASK, false }, { "ENABLE_CAP cpu", KVM_ENABLE_CAP, false },
		{ "SET_MEMORY", KVM_SET_USER_MEMORY_REGION, true }, { "IRQ_LINE", KVM_IRQ_LINE, true }, { "IRQ_STATUS", KVM_IRQ_LINE_STATUS, true },
		{ "ROUTING", KVM_SET_GSI_ROUTING, true }, { "IRQFD", KVM_IRQFD, true }, { "IOEVENTFD", KVM_IOEVENTFD, true },
		{ "SIGNAL_MSI", KVM_SIGNAL_MSI, true }, { "PIT2", KVM_CREATE_PIT2, true }, { "SET_CLOCK", KVM_SET_CLOCK, true },
		{ "GET_CLOCK", KVM_GET_CLOCK, true }, { "DIRTY", KVM_GET_DIRTY_LOG, true }, { "CLEAR", KVM_CLEAR_DIRTY_LOG, true },
		{ "ENABLE_CAP", KVM_ENABLE_CAP, true }, { "DEVICE", KVM_CREATE_DEVICE, true }, { "FILTER", KVM_X86_SET_MSR_FILTER, true },
		{ "COALESCED", KVM_REGISTER_COALESCED_MMIO, true }, { "GET_IRQCHIP", KVM_GET_IRQCHIP, true }, { "SET_IRQCHIP", KVM_SET_IRQCHIP, true },
		{ "GET_PIT2", KVM_GET_PIT2, true }, { "SET_PIT2", KVM_SET_PIT2, true }, { "REINJECT", KVM_REINJECT_CONTROL, true },
		{ "GET_LAPIC", KVM_GET_LAPIC, false }, { "SET_LAPIC", KVM_SET_LAPIC, false },
	};
	unsigned int i = rnd_below(r, sizeof(calls) / sizeof(calls[0]));

	if (calls[i].nr == KVM_SET_LAPIC && s.irqchip == NO_CHIP)	/* 39 */
		i = 0;
	out(" %s", calls[i].name);
	out_ret(call(calls[i].vm ? s.vm : s.cpu[0].fd, calls[i].nr, (void *)8));
}

const struct op ops[] = {
	{ "run", 50, op_run }, { "get", 12, op_get }, { "set", 34, op_set }, { "round_trip", 14, op_round_trip },
	{ "get_msrs", 6, op_msrs_get }, { "set_msrs", 14, op_msrs_set }, { "slot", 12, op_slot }, { "dirty_log", 5, op_dirty_log },
	{ "clear_dirty_log", 2, op_clear_dirty_log }, { "refill", 2, op_refill }, { "create_vcpu", 2, op_create_vcpu },
	{ "create_irqchip", 1, op_create_irqchip }, { "create_pit", 1, op_create_pit }, { "tss_addr", 1, op_tss_addr },
	{ "identity_map", 1, op_identity_map }, { "boot_cpu", 1, op_boot_cpu }, { "enable_cap", 6, op_enable_cap },
	{ "irq_line", 8, op_irq_line }, { "routing", 5, op_routing }, { "msi", 6, op_msi }, { "irqfd", 5, op_irqfd },
	{ "ioeventfd", 5, op_ioeventfd }, { "coalesced", 3, op_coalesced }, { "clock", 3, op_clock }, { "reinject", 1, op_reinject },
	{ "msr_filter", 3, op_msr_filter }, { "interrupt", 5, op_interrupt }, { "nmi", 4, op_nmi }, { "translate", 4, op_translate },
	{ "mce", 4, op_mce }, { "cpuid", 3, op_cpuid }, { "guest_debug", 3, op_guest_debug }, { "small", 2, op_small },
	{ "device", 3, op_device },
	{ "bad_pointer", 4, op_bad_pointer }, { NULL, 0, NULL },
};
