// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* A vCPU's state through the API: what goes in comes out, what is refused changes nothing. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "t_core.h"

static int vm_fd, cpu_fd;
static struct vcpu *v;

static int setup_with(bool irqchip)
{
	memset(&t_vendor, 0, sizeof(t_vendor));
	vm_fd = t_vm(irqchip);
	cpu_fd = t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 0);
	v = t_vcpu_obj(cpu_fd);
	return 0;
}

static int setup(void **state)
{
	return setup_with(true);
}

static int setup_bare(void **state)
{
	return setup_with(false);
}

static int teardown(void **state)
{
	t_fd_close(cpu_fd);
	t_fd_close(vm_fd);
	return 0;
}

#define GET(what, p)	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_##what, (p)), 0)
#define SET(what, p)	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_##what, (p)), 0)
#define REFUSED(what, p, why) assert_int_equal(t_ioctl(cpu_fd, KVM_SET_##what, (p)), why)

/* SDM 3A table 10-1 */
static void test_reset_state(void **state)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct kvm_fpu f;
	struct kvm_debugregs d;

	GET(REGS, &r);
	GET(SREGS, &s);
	GET(FPU, &f);
	GET(DEBUGREGS, &d);
	assert_int_equal(r.rip, 0xfff0);
	assert_int_equal(r.rflags, 2);
	assert_int_equal(s.cs.selector, 0xf000);
	assert_int_equal(s.cs.base, 0xffff0000);
	assert_int_equal(s.cs.limit, 0xffff);
	assert_int_equal(s.cs.type & 8, 8);
	assert_int_equal(s.tr.type, 11);
	assert_int_equal(s.tr.present, 1);
	assert_int_equal(s.ldt.type, 2);
	assert_int_equal(s.ds.unusable, 0);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.idt.limit, 0xffff);
	assert_int_equal(s.apic_base, 0xfee00900);
	assert_int_equal(f.fcw, 0x37f);	/* after FNINIT-like power-up in KVM's initial FPU state */
	assert_int_equal(f.mxcsr, 0x1f80);
	assert_int_equal(d.dr6, 0xffff0ff0);
	assert_int_equal(d.dr7, 0x400);
}

static void test_regs(void **state)
{
	struct kvm_regs in, out;
	u64 *w = (u64 *)&in;
	unsigned int i;

	for (i = 0; i < sizeof(in) / 8; i++)
		w[i] = 0x0101010101010101UL * (i + 1);
	in.rflags = 0xffffffffffffffff;
	SET(REGS, &in);
	GET(REGS, &out);
	assert_memory_equal(&in, &out, offsetof(struct kvm_regs, rflags));
	/* the flags there are; bit 1 is one. SDM 1 figure 3-8 */
	assert_int_equal(out.rflags, 0x3f7fd7);
	in.rflags = 0;
	SET(REGS, &in);
	GET(REGS, &out);
	assert_int_equal(out.rflags, 2);
}

static void test_sregs_round_trip(void **state)
{
	struct kvm_sregs in, out;

	GET(SREGS, &in);
	/* 64-bit code as Linux's boot protocol leaves it */
	in.cr0 = 0x80050033;
	in.cr3 = 0x1000;
	in.cr4 = 0x20;
	in.efer = 0x500;
	in.cs = (struct kvm_segment){ .base = 0, .limit = 0xffffffff, .selector = 0x10, .type = 11, .present = 1, .s = 1,
				      .l = 1, .g = 1 };
	in.ss = (struct kvm_segment){ .base = 0, .limit = 0xffffffff, .selector = 0x18, .type = 3, .present = 1, .s = 1,
				      .db = 1, .g = 1, .dpl = 3 };
	in.fs.base = 0x7fff12345678;
	in.ldt.unusable = 1;
	in.gdt = (struct kvm_dtable){ .base = 0xffffff0000001000, .limit = 0x7f };
	in.cr2 = 0xdeadbeef;
	in.cr8 = 5;
	in.interrupt_bitmap[1] = 1UL << 3;
	SET(SREGS, &in);
	GET(SREGS, &out);
	assert_memory_equal(&in, &out, sizeof(in));
	assert_int_equal(v->st->cpl, 3);
	assert_true(v->priv->interrupt.injected);
	assert_int_equal(v->priv->interrupt.nr, 67);
}

/* SDM 3A 2.5: reserved bits of CR0's lower half read as 0, ET as 1. */
static void test_cr0_reserved(void **state)
{
	struct kvm_sregs s;

	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_SREGS, &s), 0);
	s.cr0 = 0xfffffff1 & ~0x10UL;
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_SREGS, &s), 0);
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_SREGS, &s), 0);
	assert_int_equal(s.cr0, 0xe0050031);
}

/* From real mode at reset. */
static const struct {
	const char *name;
	u64 cr0, cr4, efer, apic_base;
	u8 cs_l;
} bad_sregs[] = {
	{ "PG without PE", 0x80000010, 0, 0, 0xfee00900, 0 },
	{ "NW without CD", 0x20000010, 0, 0, 0xfee00900, 0 },
	{ "high half of CR0", 0x100000010, 0, 0, 0xfee00900, 0 },
	{ "LMA without PG", 0x11, 0x20, 0x500, 0xfee00900, 0 },
	{ "LME and PG without LMA", 0x80000011, 0x20, 0x100, 0xfee00900, 0 },
	{ "LMA without PAE", 0x80000011, 0, 0x500, 0xfee00900, 0 },
	{ "CR4 bit that is reserved", 0x10, 1UL << 31, 0, 0xfee00900, 0 },
	{ "CS.L without long mode", 0x11, 0, 0, 0xfee00900, 1 },
	{ "x2APIC without enable", 0x10, 0, 0, 0xfee00500, 0 },
	{ "reserved bit of APIC_BASE", 0x10, 0, 0, 0xfee00901, 0 },
	{ "APIC_BASE beyond physical addresses", 0x10, 0, 0, 0x80000fee00900, 0 },
};

static void test_sregs_refused(void **state)
{
	struct kvm_sregs good, s;
	struct kvm_sregs2 s2;
	unsigned int i;

	GET(SREGS, &good);
	for (i = 0; i < ARRAY_SIZE(bad_sregs); i++) {
		s = good;
		s.cr0 = bad_sregs[i].cr0;
		s.cr4 = bad_sregs[i].cr4;
		s.efer = bad_sregs[i].efer;
		s.apic_base = bad_sregs[i].apic_base;
		s.cs.l = bad_sregs[i].cs_l;
		s.ds.base = 0x1234;
		if (t_ioctl(cpu_fd, KVM_SET_SREGS, &s) != -EINVAL)
			fail_msg("%s: taken", bad_sregs[i].name);
		GET(SREGS, &s);
		if (memcmp(&s, &good, sizeof(s)))
			fail_msg("%s: refused, but something changed", bad_sregs[i].name);
	}
	GET(SREGS2, &s2);
	s2.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;	/* no PAE paging */
	REFUSED(SREGS2, &s2, -EINVAL);
	s2.flags = 4;
	REFUSED(SREGS2, &s2, -EINVAL);
}

static void test_pdptrs(void **state)
{
	u64 *mem = t_memory(vm_fd, 0, 0, 16, 0);
	struct kvm_sregs s;
	struct kvm_sregs2 s2, out;
	unsigned int i;

	for (i = 0; i < 4; i++)
		mem[0x1020 / 8 + i] = 0x2001 + i * 0x1000;
	GET(SREGS, &s);
	s.cr0 = 0x80000011;
	s.cr4 = 0x20;
	s.cr3 = 0x1020;
	SET(SREGS, &s);
	GET(SREGS2, &s2);
	assert_int_equal(s2.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	for (i = 0; i < 4; i++)
		assert_int_equal(s2.pdptrs[i], 0x2001 + i * 0x1000);
	s2.pdptrs[2] = 0x9001;
	SET(SREGS2, &s2);
	GET(SREGS2, &out);
	assert_memory_equal(&s2, &out, sizeof(out));
}

static void test_fpu_and_xsave(void **state)
{
	static struct kvm_xsave x, y;
	struct kvm_fpu f, g;
	unsigned int i;

	GET(FPU, &f);
	for (i = 0; i < sizeof(f.xmm); i++)
		((u8 *)f.xmm)[i] = i;
	for (i = 0; i < 8; i++)
		memset(f.fpr[i], 0x30 + i, 10);
	f.fcw = 0x27f;
	f.fsw = 0x3800;
	f.ftwx = 0xff;
	f.last_ip = 0x1122334455667788;
	f.mxcsr = 0x9fc0;
	SET(FPU, &f);
	GET(FPU, &g);
	assert_memory_equal(&f, &g, sizeof(f));
	GET(XSAVE, &x);
	assert_memory_equal((u8 *)&x + 160, f.xmm, 256);
	assert_int_equal(x.region[512 / 4] & 3, 3);
	/* what XRSTOR would fault on */
	y = x;
	y.region[512 / 4 + 1] = 0x80000000;
	REFUSED(XSAVE, &y, -EINVAL);
	y = x;
	y.region[520 / 4 + 1] = 0x80000000;
	REFUSED(XSAVE, &y, -EINVAL);
	y = x;
	y.region[560 / 4] = 1;
	REFUSED(XSAVE, &y, -EINVAL);
	y = x;
	y.region[24 / 4] = 0x10000000;
	REFUSED(XSAVE, &y, -EINVAL);
	f.mxcsr = 0x10000000;
	REFUSED(FPU, &f, -EINVAL);
	GET(XSAVE, &y);
	assert_memory_equal(&x, &y, sizeof(x));
	/* a component in its initial state shows as such, whatever its bytes are. SDM 1 13.6 */
	memset((u8 *)&y + 160, 0xcc, 256);
	y.region[512 / 4] &= ~2u;
	SET(XSAVE, &y);
	GET(FPU, &g);
	for (i = 0; i < sizeof(g.xmm); i++)
		assert_int_equal(((u8 *)g.xmm)[i], 0);
	assert_int_equal(g.fcw, 0x27f);
}

static void test_xcrs(void **state)
{
	struct kvm_xcrs x = { .nr_xcrs = 1 };

	GET(XCRS, &x);
	assert_int_equal(x.nr_xcrs, 1);
	assert_int_equal(x.xcrs[0].value, 1);
	x.xcrs[0].value = 3;
	SET(XCRS, &x);
	x.xcrs[0].value = 0;
	REFUSED(XCRS, &x, -EINVAL);
	x.xcrs[0].value = 5;		/* AVX without SSE */
	REFUSED(XCRS, &x, -EINVAL);
	x.xcrs[0].value = 1UL << 62;
	REFUSED(XCRS, &x, -EINVAL);
	x.nr_xcrs = KVM_MAX_XCRS + 1;
	REFUSED(XCRS, &x, -EINVAL);
	x.nr_xcrs = 1;
	x.flags = 1;
	REFUSED(XCRS, &x, -EINVAL);
	GET(XCRS, &x);
	assert_int_equal(x.xcrs[0].value, 3);
}

static void enable(u32 cap)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { 1 } };

	assert_int_equal(t_ioctl(vm_fd, KVM_ENABLE_CAP, &c), 0);
}

static void test_events(void **state)
{
	struct kvm_vcpu_events ev, out;
	struct kvm_regs r;

	GET(VCPU_EVENTS, &ev);
	assert_int_equal(ev.flags, KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM);
	ev.exception.injected = 1;
	ev.exception.nr = 14;
	ev.exception.has_error_code = 1;
	ev.exception.error_code = 6;
	ev.interrupt.injected = 1;
	ev.interrupt.nr = 0x30;
	ev.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	ev.nmi.pending = 1;
	ev.nmi.masked = 1;
	SET(VCPU_EVENTS, &ev);
	GET(VCPU_EVENTS, &out);
	assert_memory_equal(&ev, &out, sizeof(ev));
	/* bad ones */
	out.flags |= 0x80;
	REFUSED(VCPU_EVENTS, &out, -EINVAL);
	out = ev;
	out.exception.nr = 2;
	REFUSED(VCPU_EVENTS, &out, -EINVAL);
	out.exception.nr = 32;
	REFUSED(VCPU_EVENTS, &out, -EINVAL);
	out = ev;
	out.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	REFUSED(VCPU_EVENTS, &out, -EINVAL);
	out.flags = ev.flags | KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	REFUSED(VCPU_EVENTS, &out, -EINVAL);
	GET(VCPU_EVENTS, &out);
	assert_memory_equal(&ev, &out, sizeof(ev));
	/* with payloads */
	enable(KVM_CAP_EXCEPTION_PAYLOAD);
	enable(KVM_CAP_X86_TRIPLE_FAULT_EVENT);
	ev.flags |= KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	ev.exception.injected = 0;
	ev.exception.pending = 1;
	ev.exception_has_payload = 1;
	ev.exception_payload = 0x123456;
	ev.triple_fault.pending = 1;
	SET(VCPU_EVENTS, &ev);
	GET(VCPU_EVENTS, &out);
	assert_memory_equal(&ev, &out, sizeof(ev));
	/* KVM_SET_REGS drops a pending exception */
	GET(REGS, &r);
	SET(REGS, &r);
	GET(VCPU_EVENTS, &out);
	assert_int_equal(out.exception.pending, 0);
	assert_int_equal(out.exception.injected, 0);
}

static void test_interrupt_and_nmi(void **state)
{
	struct kvm_interrupt irq = { .irq = 0x30 };
	struct kvm_vcpu_events ev;

	assert_int_equal(t_ioctl(cpu_fd, KVM_INTERRUPT, &irq), 0);
	assert_int_equal(t_ioctl(cpu_fd, KVM_INTERRUPT, &irq), -EEXIST);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_NMI, 0), 0);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_NMI, 0), 0);
	assert_int_equal(t_ioctl_n(cpu_fd, KVM_NMI, 0), 0);
	assert_int_equal(v->priv->nmi.pending, 2);
	GET(VCPU_EVENTS, &ev);
	assert_int_equal(ev.interrupt.injected, 1);
	assert_int_equal(ev.interrupt.nr, 0x30);
	assert_int_equal(ev.nmi.pending, 1);
}

static void test_debugregs(void **state)
{
	struct kvm_debugregs d, e;

	GET(DEBUGREGS, &d);
	d.db[0] = 0xffffffff81000000;
	d.db[3] = 5;
	d.dr6 = 0xffff4ff1;
	d.dr7 = 0x401;
	SET(DEBUGREGS, &d);
	GET(DEBUGREGS, &e);
	assert_memory_equal(&d, &e, sizeof(d));
	e.flags = 1;
	REFUSED(DEBUGREGS, &e, -EINVAL);
	e = d;
	e.dr6 |= 1UL << 32;
	REFUSED(DEBUGREGS, &e, -EINVAL);
	e = d;
	e.dr7 |= 1UL << 63;
	REFUSED(DEBUGREGS, &e, -EINVAL);
	GET(DEBUGREGS, &e);
	assert_memory_equal(&d, &e, sizeof(d));
}

static void test_mp_state(void **state)
{
	struct kvm_mp_state s;
	int ap = t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 1);
	struct kvm_sregs sregs;
	u32 i;

	GET(MP_STATE, &s);
	assert_int_equal(s.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(t_ioctl(ap, KVM_GET_MP_STATE, &s), 0);
	assert_int_equal(s.mp_state, KVM_MP_STATE_UNINITIALIZED);
	for (i = 0; i < 4; i++) {
		s.mp_state = i;
		SET(MP_STATE, &s);
		GET(MP_STATE, &s);
		assert_int_equal(s.mp_state, i);
	}
	for (i = 5; i < 12; i++) {
		s.mp_state = i;
		REFUSED(MP_STATE, &s, -EINVAL);
	}
	/* a SIPI that has been received starts at vector 0 here; asking for the state lets it
	 * happen */
	s.mp_state = KVM_MP_STATE_SIPI_RECEIVED;
	assert_int_equal(t_ioctl(ap, KVM_SET_MP_STATE, &s), 0);
	assert_int_equal(t_ioctl(ap, KVM_GET_MP_STATE, &s), 0);
	assert_int_equal(s.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(t_ioctl(ap, KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cs.base, 0);
	t_fd_close(ap);
}

static void test_mp_state_without_apic(void **state)
{
	struct kvm_mp_state s = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_lapic_state l;
	int ap = t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 1);

	SET(MP_STATE, &s);
	s.mp_state = KVM_MP_STATE_HALTED;
	REFUSED(MP_STATE, &s, -EINVAL);
	assert_int_equal(t_ioctl(ap, KVM_GET_MP_STATE, &s), 0);
	assert_int_equal(s.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(t_ioctl(cpu_fd, KVM_GET_LAPIC, &l), -EINVAL);
	t_fd_close(ap);
}

static void test_lapic(void **state)
{
	struct kvm_lapic_state a, b;

	GET(LAPIC, &a);
	*(u32 *)&a.regs[0xf0] = 0x1ff;
	*(u32 *)&a.regs[0x80] = 0x20;
	SET(LAPIC, &a);
	GET(LAPIC, &b);
	assert_int_equal(*(u32 *)&b.regs[0xf0], 0x1ff);
	assert_int_equal(*(u32 *)&b.regs[0x80], 0x20);
}

static void test_translate(void **state)
{
	u32 *mem = t_memory(vm_fd, 0, 0, 16, 0);
	struct kvm_translation t = { .linear_address = 0x123456 };
	struct kvm_sregs s;

	assert_int_equal(t_ioctl(cpu_fd, KVM_TRANSLATE, &t), 0);
	assert_int_equal(t.valid, 1);
	assert_int_equal(t.physical_address, 0x123456);		/* paging off */
	/* 32-bit paging: page 1 to frame 5, the rest absent. SDM 3A 4.3 */
	mem[0x1000 / 4] = 0x2007;
	mem[0x2000 / 4 + 1] = 0x5001;
	mem[0x1000 / 4 + 1] = 0x7777000 | 1;			/* table outside memory */
	GET(SREGS, &s);
	s.cr0 = 0x80000011;
	s.cr3 = 0x1000;
	SET(SREGS, &s);
	t.linear_address = 0x1abc;
	assert_int_equal(t_ioctl(cpu_fd, KVM_TRANSLATE, &t), 0);
	assert_int_equal(t.valid, 1);
	assert_int_equal(t.physical_address, 0x5abc);
	assert_int_equal(mem[0x1000 / 4], 0x2007);		/* no accessed bits */
	assert_int_equal(mem[0x2000 / 4 + 1], 0x5001);
	t.linear_address = 0x2000;
	assert_int_equal(t_ioctl(cpu_fd, KVM_TRANSLATE, &t), 0);
	assert_int_equal(t.valid, 0);
	t.linear_address = 0x400000;
	assert_int_equal(t_ioctl(cpu_fd, KVM_TRANSLATE, &t), 0);
	assert_int_equal(t.valid, 0);
}

static void test_guest_debug(void **state)
{
	struct kvm_guest_debug d = { .control = 4 };

	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_GUEST_DEBUG, &d), -EINVAL);
	d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	d.arch.debugreg[7] = 0x402;
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_GUEST_DEBUG, &d), 0);
	assert_int_equal(v->priv->debug.control, d.control);
	d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP;
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_GUEST_DEBUG, &d), 0);
	assert_true(v->priv->exception.pending);
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_GUEST_DEBUG, &d), -EBUSY);
	d.control = 0;
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_GUEST_DEBUG, &d), 0);
	assert_int_equal(v->priv->debug.control, 0);
}

static void test_mce(void **state)
{
	u64 cap = 0, bad;
	struct kvm_x86_mce m = { .status = 1UL << 63 | 0x135, .addr = 0x1000, .bank = 9 };

	assert_int_equal(t_ioctl(-1, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap), 0);
	assert_true(cap & 1 << 8);
	bad = cap;
	assert_int_equal(t_ioctl(cpu_fd, KVM_X86_SETUP_MCE, &bad), -EINVAL);	/* no banks */
	bad = cap | 33;
	assert_int_equal(t_ioctl(cpu_fd, KVM_X86_SETUP_MCE, &bad), -EINVAL);
	bad = ~cap | 10;
	assert_int_equal(t_ioctl(cpu_fd, KVM_X86_SETUP_MCE, &bad), -EINVAL);
	cap |= 10;
	assert_int_equal(t_ioctl(cpu_fd, KVM_X86_SETUP_MCE, &cap), 0);
	m.bank = 10;
	assert_int_equal(t_ioctl(cpu_fd, KVM_X86_SET_MCE, &m), -EINVAL);
	m.bank = 9;
	/* corrected: logged only */
	assert_int_equal(t_ioctl(cpu_fd, KVM_X86_SET_MCE, &m), 0);
	assert_int_equal(v->priv->mce_banks[9 * 4 + 1], m.status);
	assert_false(v->priv->exception.pending);
	/* uncorrected with CR4.MCE off */
	m.status |= 1UL << 61 | 1UL << 57;		/* PCC: else no action would be needed */
	assert_int_equal(t_ioctl(cpu_fd, KVM_X86_SET_MCE, &m), 0);
	assert_true(v->priv->triple_fault);
}

static void test_signal_mask(void **state)
{
	struct { u32 len; u8 set[8]; } m = { .len = 16, .set = { 0xff } };

	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_SIGNAL_MASK, &m), -EINVAL);
	assert_false(v->priv->sigmask_set);
	m.len = 8;
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_SIGNAL_MASK, &m), 0);
	assert_true(v->priv->sigmask_set);
	assert_int_equal(v->priv->sigmask, 0xff);
	assert_int_equal(t_ioctl(cpu_fd, KVM_SET_SIGNAL_MASK, NULL), 0);
	assert_false(v->priv->sigmask_set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reset_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_regs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sregs_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cr0_reserved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sregs_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pdptrs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fpu_and_xsave, setup, teardown),
		cmocka_unit_test_setup_teardown(test_xcrs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupt_and_nmi, setup_bare, teardown),
		cmocka_unit_test_setup_teardown(test_debugregs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mp_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mp_state_without_apic, setup_bare, teardown),
		cmocka_unit_test_setup_teardown(test_lapic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_translate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_debug, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mce, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal_mask, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
