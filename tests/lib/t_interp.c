// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include <sys/mman.h>
#include "t_interp.h"

struct t_interp t_interp;
static struct vendor_ops ops;
static u32 kicked;

static bool intr_open(const struct x86_state *st)
{
	return (st->rflags & X86_FLAG_IF) && !st->shadow_sti && !st->shadow_movss;
}

static int interp_enter(struct vcpu *v)
{
	v->exit.decoded = false;
	if (host_xchg(&kicked, 0)) {
		v->exit.reason = EXIT_KICKED;
	} else if (t_interp.want_intr && intr_open(v->st)) {
		t_interp.want_intr = false;
		v->exit.reason = EXIT_INTR_WINDOW;
	} else if (t_interp.want_nmi && !v->st->nmi_masked) {
		t_interp.want_nmi = false;
		v->exit.reason = EXIT_NMI_WINDOW;
	} else if (t_interp.budget && t_interp.budget-- != 0) {
		v->exit.reason = EXIT_EMULATE;
	} else {
		v->exit.reason = EXIT_SHUTDOWN;
	}
	return 0;
}

static void interp_kick(struct vcpu *v)
{
	host_store_release(&kicked, 1);
}

static int interp_inject(struct vcpu *v, enum event_kind kind, const struct x86_fault *f)
{
	unsigned int n = t_interp.nr_events;

	if (n < T_EVENTS) {
		t_interp.event[n].kind = kind;
		t_interp.event[n].f = *f;
		t_interp.event[n].rip = v->st->rip;
		t_interp.nr_events++;
	}
	if (t_interp.inject_result != EMUL_DONE)
		return t_interp.inject_result;
	return t_interp.record_only ? EMUL_DONE : emul_deliver(&v->emul, kind, f);
}

static void interp_window(struct vcpu *v, bool intr, bool nmi)
{
	t_interp.want_intr = intr;
	t_interp.want_nmi = nmi;
}

void t_interp_begin(bool irqchip, u64 pages)
{
	memset(&t_vendor, 0, sizeof(t_vendor));
	memset(&t_interp, 0, sizeof(t_interp));
	t_interp.budget = -1;
	kicked = 0;
	t_interp.vm_fd = t_vm(irqchip);
	t_interp.vm = t_vm_obj(t_interp.vm_fd);
	ops = *t_interp.vm->vendor;
	ops.enter = interp_enter;
	ops.kick = interp_kick;
	ops.inject = interp_inject;
	ops.request_window = interp_window;
	t_interp.vm->vendor = &ops;
	t_interp.ram = t_memory(t_interp.vm_fd, 0, 0, pages, 0);
	t_interp.vcpu_fd = t_ioctl_n(t_interp.vm_fd, KVM_CREATE_VCPU, 0);
	assert_true(t_interp.vcpu_fd >= 0);
	t_interp.v = t_vcpu_obj(t_interp.vcpu_fd);
	t_interp.run = t_interp.v->run;
	t_interp_code("\xf4", 1);
}

void t_interp_end(void)
{
	t_fd_close(t_interp.vcpu_fd);
	t_fd_close(t_interp.vm_fd);
}

void t_interp_code(const void *code, size_t len)
{
	struct kvm_regs r = { .rip = 0x1000, .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs s;

	memcpy(t_interp.ram + 0x1000, code, len);
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_GET_SREGS, &s), 0);
	s.cs.base = s.ds.base = s.es.base = s.ss.base = 0;
	s.cs.selector = s.ds.selector = s.es.selector = s.ss.selector = 0;
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_SET_SREGS, &s), 0);
	t_interp_set_regs(&r);
}

long t_interp_run(void)
{
	return t_ioctl_n(t_interp.vcpu_fd, KVM_RUN, 0);
}

struct kvm_regs t_interp_regs(void)
{
	struct kvm_regs r;

	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_GET_REGS, &r), 0);
	return r;
}

void t_interp_set_regs(const struct kvm_regs *r)
{
	struct kvm_regs copy = *r;

	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_SET_REGS, &copy), 0);
}
