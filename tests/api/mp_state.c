/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* mp_state.c - KVM_GET/SET_MP_STATE, INIT and start-up IPIs, and processors that wait inside KVM_RUN. */
#include "lib/t_kvm.h"

#include <pthread.h>
#include <signal.h>

static struct t_vm vm;

static uint32_t get(struct t_cpu *c)
{
	struct kvm_mp_state s;

	t_ok(T(c->fd, KVM_GET_MP_STATE, &s));
	return s.mp_state;
}

static long set(struct t_cpu *c, uint32_t state)
{
	struct kvm_mp_state s = { .mp_state = state };

	return T(c->fd, KVM_SET_MP_STATE, &s);
}

static void without_apic(void **state)
{
	struct t_cpu c;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &c, 0);
	assert_int_equal(get(&c), KVM_MP_STATE_RUNNABLE);
	t_ok(set(&c, KVM_MP_STATE_RUNNABLE));
	t_fails(EINVAL, set(&c, KVM_MP_STATE_HALTED));
	t_fails(EINVAL, set(&c, KVM_MP_STATE_UNINITIALIZED));
	assert_int_equal(get(&c), KVM_MP_STATE_RUNNABLE);
	t_fails(EFAULT, T(c.fd, KVM_GET_MP_STATE, T_BAD_PTR));
	t_fails(EFAULT, T(c.fd, KVM_SET_MP_STATE, T_BAD_PTR));
	T_END(&vm, &c);
}

static void with_apic(void **state)
{
	struct t_cpu bsp, ap;
	struct kvm_regs r;
	struct kvm_sregs s;

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &bsp, 0);
	t_cpu_create(&vm, &ap, 1);
	assert_int_equal(get(&bsp), KVM_MP_STATE_RUNNABLE);
	assert_int_equal(get(&ap), KVM_MP_STATE_UNINITIALIZED);
	t_ok(set(&bsp, KVM_MP_STATE_HALTED));
	assert_int_equal(get(&bsp), KVM_MP_STATE_HALTED);
	t_ok(set(&ap, KVM_MP_STATE_INIT_RECEIVED));
	assert_int_equal(get(&ap), KVM_MP_STATE_INIT_RECEIVED);
	t_fails(EINVAL, set(&ap, 99));
	t_fails(EINVAL, set(&ap, KVM_MP_STATE_STOPPED));
	assert_int_equal(get(&ap), KVM_MP_STATE_INIT_RECEIVED);
	/* firmware's reset: registers at the reset vector make the boot processor run */
	r = t_regs(&bsp);
	t_set_regs(&bsp, &r);
	t_ok(T(bsp.fd, KVM_GET_SREGS, &s));
	t_ok(T(bsp.fd, KVM_SET_SREGS, &s));
	assert_int_equal(get(&bsp), KVM_MP_STATE_RUNNABLE);
	t_cpu_destroy(&ap);
	T_END(&vm, &bsp);
}

/* The boot processor sends INIT and SIPI to APIC id 1; the other one reports from 0x9000. */
GUEST16(bsp_code, "movl $0xfee00000, %ebx; movl $0x1ff, %fs:0xf0(%ebx); movl $0x1000000, %fs:0x310(%ebx); movl $0x4500, %fs:0x300(%ebx);"
	"movl $0x1000000, %fs:0x310(%ebx); movl $0x4609, %fs:0x300(%ebx); outb %al, $0x10; 1: hlt; jmp 1b");
GUEST16(ap_code, "movw %cs, %ax; outw %ax, $0x10; 1: hlt; jmp 1b");

static void *ap_thread(void *arg)
{
	struct t_cpu *ap = arg;
	long ret;

	do
		ret = t_run(ap);
	while (ret == -EAGAIN || ret == -EINTR);
	return (void *)ret;
}

static void start_up(void **state)
{
	struct t_cpu bsp, ap;
	struct kvm_sregs s;
	pthread_t t;
	void *ret;

	T_START(&vm, &bsp, T_IRQCHIP, bsp_code);
	t_cpu_create(&vm, &ap, 1);
	T_LOAD(&vm, 0x9000, ap_code);
	t_ok(T(bsp.fd, KVM_GET_SREGS, &s));
	s.fs.limit = 0xffffffff;
	s.fs.g = 1;
	t_ok(T(bsp.fd, KVM_SET_SREGS, &s));
	t_ok(pthread_create(&t, NULL, ap_thread, &ap));
	usleep(5000);
	pthread_kill(t, SIGUSR1);			/* a kick is no start */
	usleep(5000);
	assert_int_equal(pthread_tryjoin_np(t, &ret), EBUSY);
	t_run_to(&bsp, KVM_EXIT_IO);
	pthread_join(t, &ret);
	assert_int_equal((long)ret, 0);
	assert_int_equal(ap.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(*(uint16_t *)t_io_data(ap.run), 0x900);
	assert_int_equal(get(&ap), KVM_MP_STATE_RUNNABLE);
	t_cpu_destroy(&ap);
	T_END(&vm, &bsp);
}

/* Queued, but the target has not run: KVM_GET_MP_STATE settles them. */
static void get_settles_queued_sipi(void **state)
{
	struct t_cpu bsp, ap;
	struct kvm_sregs s;

	T_START(&vm, &bsp, T_IRQCHIP, bsp_code);
	t_cpu_create(&vm, &ap, 1);
	t_ok(T(bsp.fd, KVM_GET_SREGS, &s));
	s.fs.limit = 0xffffffff;
	s.fs.g = 1;
	t_ok(T(bsp.fd, KVM_SET_SREGS, &s));
	t_run_to(&bsp, KVM_EXIT_IO);
	get(&ap);
	if (get(&ap) == KVM_MP_STATE_RUNNABLE) {
		t_ok(T(ap.fd, KVM_GET_SREGS, &s));
		assert_int_equal(s.cs.selector, 0x900);
		assert_int_equal(s.cs.base, 0x9000);
		assert_int_equal(t_regs(&ap).rip, 0);
	} else {
		assert_int_equal(get(&ap), KVM_MP_STATE_SIPI_RECEIVED);
	}
	t_cpu_destroy(&ap);
	T_END(&vm, &bsp);
}

/* Who runs at once after a reset says IA32_APIC_BASE.BSP, which the client may give to another vCPU. */
static void the_bsp_flag_decides(void **state)
{
	struct kvm_msi init = { .data = 0x4500 };
	struct t_cpu cpu[2];
	struct kvm_sregs s;
	struct kvm_regs r;
	unsigned int i;

	t_vm_create(&vm, T_IRQCHIP);
	for (i = 0; i < 2; i++) {
		t_cpu_create(&vm, &cpu[i], i);
		t_ok(T(cpu[i].fd, KVM_GET_SREGS, &s));
		s.apic_base ^= 0x100;
		t_ok(T(cpu[i].fd, KVM_SET_SREGS, &s));
	}
	/* the registers of a reset are set: the one with the flag runs, the other waits */
	assert_int_equal(get(&cpu[1]), KVM_MP_STATE_RUNNABLE);
	t_ok(set(&cpu[0], KVM_MP_STATE_HALTED));
	r = t_regs(&cpu[0]);
	assert_int_equal(r.rip, 0xfff0);
	t_ok(T(cpu[0].fd, KVM_GET_SREGS, &s));
	t_ok(T(cpu[0].fd, KVM_SET_SREGS, &s));
	assert_int_equal(get(&cpu[0]), KVM_MP_STATE_HALTED);
	/* and an INIT */
	for (i = 0; i < 2; i++) {
		init.address_lo = 0xfee00000 | i << 12;
		assert_int_equal(T(vm.fd, KVM_SIGNAL_MSI, &init), 1);
	}
	assert_int_equal(get(&cpu[0]), KVM_MP_STATE_INIT_RECEIVED);
	assert_int_equal(get(&cpu[1]), KVM_MP_STATE_RUNNABLE);
	t_cpu_destroy(&cpu[1]);
	T_END(&vm, &cpu[0]);
}

static void *run_once(void *arg)
{
	return (void *)t_run(arg);
}

/* Waiting for INIT: only a signal ends it. */
static void uninitialized_waits(void **state)
{
	struct t_cpu bsp, ap;
	pthread_t t;
	void *ret;

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &bsp, 0);
	t_cpu_create(&vm, &ap, 1);
	t_ok(pthread_create(&t, NULL, run_once, &ap));
	usleep(10000);
	assert_int_equal(pthread_tryjoin_np(t, &ret), EBUSY);
	pthread_kill(t, SIGUSR1);
	pthread_join(t, &ret);
	assert_int_equal((long)ret, -EINTR);
	assert_int_equal(get(&ap), KVM_MP_STATE_UNINITIALIZED);
	t_cpu_destroy(&ap);
	T_END(&vm, &bsp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T_CASE(without_apic), T_CASE(with_apic), T_CASE(start_up), T_CASE(get_settles_queued_sipi),
		T_CASE(uninitialized_waits), T_CASE(the_bsp_flag_decides),
	};

	if (!t_have_kvm())
		return 77;
	t_catch_usr1();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
