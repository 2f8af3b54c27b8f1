/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * signals.c - handlers that interrupt KVM_RUN: however they were installed, whatever they do, they run as after a system
 * call that the signal ended. time limit: 120 s
 */
#include "lib/t_kvm.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <ucontext.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"	/* sigset(), siginterrupt() */

GUEST64(code_loop64, "1: inc %rax; mov %rax, 0x9000; cmpb $0, 0x9008; je 1b; hlt");

static struct t_vm vm;
static struct t_cpu cpu;
static volatile int handled;
static volatile long seen;

/* A guest in 64-bit mode; the quadword at 0x9000 counts while it runs, the byte at 0x9008 ends it. */
static void start(void)
{
	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, code_loop64);
	t_cpu_long(&vm, &cpu, T_CODE);
	handled = 0;
	seen = 0;
}

static void end(void)
{
	T_END(&vm, &cpu);
}

static volatile uint64_t *counter(void)
{
	return (volatile uint64_t *)(vm.mem + 0x9000);
}

/* Wait until the guest is running, now. */
static void wait_for_guest(void)
{
	uint64_t was = *counter();

	while (*counter() == was)
		sched_yield();
}

static void *run(void *arg)
{
	return (void *)t_run(&cpu);
}

/* Send sig to a thread whose guest runs, and end it; what KVM_RUN returned there. */
static long interrupt(void *(*body)(void *), int sig)
{
	pthread_t t;
	void *ret;

	pthread_create(&t, NULL, body, NULL);
	wait_for_guest();
	pthread_kill(t, sig);
	pthread_join(t, &ret);
	return (long)ret;
}

static void count(int sig)
{
	handled++;
}

static void set(int sig, void (*handler)(int), int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	assert_int_equal(sigaction(sig, &act, NULL), 0);
}

/* ---- installing ---- */

struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static void installed_in_every_way(void **state)
{
	struct kernel_sigaction act = { 0 }, old;

	start();		/* before: the library knows the VM and the vCPU */
	assert_ptr_equal(signal(SIGUSR1, count), SIG_DFL);
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	assert_int_equal(handled, 1);
	assert_int_equal(siginterrupt(SIGUSR1, 1), 0);
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	assert_int_equal(handled, 2);
	assert_ptr_equal(sigset(SIGUSR2, count), SIG_DFL);
	assert_int_equal(interrupt(run, SIGUSR2), -EINTR);
	assert_int_equal(handled, 3);
	assert_ptr_equal(sigset(SIGUSR2, SIG_HOLD), count);
	assert_ptr_equal(sigset(SIGUSR2, SIG_DFL), SIG_HOLD);
	assert_int_equal(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &act, 8UL), 0);
	assert_ptr_equal(act.handler, count);
	assert_int_equal(syscall(SYS_rt_sigaction, SIGUSR2, &act, &old, 8UL), 0);
	assert_ptr_equal(old.handler, SIG_DFL);
	assert_int_equal(interrupt(run, SIGUSR2), -EINTR);
	assert_int_equal(handled, 4);
	assert_int_equal(syscall(SYS_rt_sigaction, SIGUSR2, 8UL, NULL, 8UL), -1);
	assert_int_equal(errno, EFAULT);
	assert_ptr_equal(signal(SIGUSR2, SIG_DFL), count);
	end();
	set(SIGUSR2, count, 0);	/* before a VM */
	start();
	assert_int_equal(interrupt(run, SIGUSR2), -EINTR);
	assert_int_equal(handled, 1);
	end();
}

static void one_shot(void **state)
{
	struct sigaction old;

	start();
	set(SIGUSR1, count, (int)SA_RESETHAND);
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	assert_int_equal(handled, 1);
	sigaction(SIGUSR1, NULL, &old);
	assert_ptr_equal(old.sa_handler, SIG_DFL);
	end();
}

static void *run_twice(void *arg)
{
	long first = t_run(&cpu);

	return (void *)(first == -EINTR ? t_run(&cpu) : first);
}

/* A signal that is ignored does not end KVM_RUN. */
static void ignored(void **state)
{
	uint64_t was;
	pthread_t t;
	void *ret;

	start();
	set(SIGUSR1, count, 0);
	set(SIGUSR2, SIG_IGN, 0);
	pthread_create(&t, NULL, run_twice, NULL);
	wait_for_guest();
	pthread_kill(t, SIGUSR2);
	wait_for_guest();
	pthread_kill(t, SIGCHLD);	/* by default */
	was = *counter();
	while (*counter() < was + 1000000)
		sched_yield();
	assert_int_equal(pthread_tryjoin_np(t, &ret), EBUSY);
	do
		pthread_kill(t, SIGUSR1);
	while (sched_yield(), pthread_tryjoin_np(t, &ret));
	assert_int_equal((long)ret, -EINTR);
	signal(SIGUSR2, SIG_DFL);
	end();
}

/* ---- what a handler is given ---- */

static void with_info(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	sigset_t now;
	char here;
	stack_t ss;

	handled++;
	seen = info->si_value.sival_int;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	sigaltstack(NULL, &ss);
	if (info->si_signo != sig || info->si_code != SI_QUEUE || info->si_pid != getpid())
		seen = -1;
	if (!sigismember(&now, sig) || !sigismember(&now, SIGHUP) || sigismember(&uc->uc_sigmask, sig))
		seen = -2;
	if ((ss.ss_flags & SS_ONSTACK) != SS_ONSTACK || &here < (char *)ss.ss_sp || &here > (char *)ss.ss_sp + ss.ss_size)
		seen = -3;
}

static void *run_with_altstack(void *arg)
{
	static char stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) }, off = { .ss_flags = SS_DISABLE };
	sigset_t now;
	long ret;

	sigaltstack(&ss, NULL);
	*(pthread_t *)arg = pthread_self();
	ret = t_run(&cpu);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	if (sigismember(&now, SIGUSR1) || sigismember(&now, SIGHUP))
		ret = -1;
	sigaltstack(&off, NULL);
	return (void *)ret;
}

static void value_mask_and_stack(void **state)
{
	struct sigaction act = { .sa_sigaction = with_info, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	union sigval value = { .sival_int = 12345 };
	pthread_t t, self;
	void *ret;

	start();
	sigaddset(&act.sa_mask, SIGHUP);
	sigaction(SIGUSR1, &act, NULL);
	pthread_create(&t, NULL, run_with_altstack, &self);
	wait_for_guest();
	pthread_sigqueue(t, SIGUSR1, value);
	pthread_join(t, &ret);
	assert_int_equal((long)ret, -EINTR);
	assert_int_equal(handled, 1);
	assert_int_equal(seen, 12345);
	end();
}

static void nested(int sig)
{
	if (handled++ == 0) {
		raise(SIGUSR1);		/* SA_NODEFER: here and now */
		seen = handled;
	}
}

static void not_deferred(void **state)
{
	start();
	set(SIGUSR1, nested, SA_NODEFER);
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	assert_int_equal(handled, 2);
	assert_int_equal(seen, 2);
	end();
}

/* ---- what a handler does ---- */

static void uses_the_vcpu(int sig)
{
	struct kvm_regs regs;

	if (!ioctl(cpu.fd, KVM_GET_REGS, &regs))
		seen = (long)regs.rax;
	handled++;
}

/* The vCPU has left KVM_RUN by the time the handler runs: it may be looked at. */
static void handler_uses_the_vcpu(void **state)
{
	start();
	set(SIGUSR1, uses_the_vcpu, 0);
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	assert_int_equal(handled, 1);
	assert_true(seen >= (long)*counter());
	end();
}

static sigjmp_buf jump;

static void jumps(int sig)
{
	siglongjmp(jump, 1);
}

static void *run_and_jump(void *arg)
{
	sigset_t now;

	if (!sigsetjmp(jump, 1))
		return (void *)t_run(&cpu);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	return (void *)(sigismember(&now, SIGUSR1) ? -1L : 77L);
}

static void handler_jumps_out(void **state)
{
	int i;

	start();
	for (i = 0; i < 5; i++) {
		set(SIGUSR1, jumps, 0);
		assert_int_equal(interrupt(run_and_jump, SIGUSR1), 77);
	}
	/* the vCPU can be run by others */
	set(SIGUSR1, count, 0);
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	end();
}

static void ends_the_thread(int sig)
{
	pthread_exit((void *)78L);
}

static void handler_ends_the_thread(void **state)
{
	start();
	set(SIGUSR1, ends_the_thread, 0);
	assert_int_equal(interrupt(run, SIGUSR1), 78);
	set(SIGUSR1, count, 0);
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	end();
}

static void forks(int sig)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct kvm_regs regs;

		_exit(ioctl(cpu.fd, KVM_GET_REGS, &regs) == -1 && errno == EIO ? 3 : 4);
	}
	waitpid(pid, &status, 0);
	seen = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void handler_forks(void **state)
{
	start();
	set(SIGUSR1, forks, 0);
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	assert_int_equal(seen, 3);
	end();
}

static void *run_in_a_loop_until_told(void *arg)
{
	long ret;

	do
		ret = t_run(&cpu);
	while (ret == -EINTR && handled < 200);
	return (void *)ret;
}

/* Timers of several kinds at once, as fast as they come. */
static void many_signals(void **state)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, off = { 0 };
	pthread_t t;
	void *ret;
	sigset_t alarms;

	start();
	set(SIGALRM, count, SA_RESTART);
	set(SIGUSR1, count, 0);
	/* not SA_NODEFER: such frames pile up faster than handlers run, on whatever stack it is */
	set(SIGUSR2, count, 0);
	set(SIGURG, count, 0);
	set(SIGHUP, count, 0);
	pthread_create(&t, NULL, run_in_a_loop_until_told, NULL);
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);	/* so that the other thread takes them */
	setitimer(ITIMER_REAL, &often, NULL);
	while (pthread_tryjoin_np(t, &ret)) {
		pthread_kill(t, SIGUSR1);
		pthread_kill(t, SIGUSR2);
		pthread_kill(t, SIGURG);
		pthread_kill(t, SIGHUP);
		sched_yield();
	}
	setitimer(ITIMER_REAL, &off, NULL);
	pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
	assert_int_equal((long)ret, -EINTR);
	end();
}

/* ---- blocked signals ---- */

static void *run_blocked(void *arg)
{
	sigset_t set;

	sigfillset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	return (void *)t_run(&cpu);
}

/* What is blocked does not end KVM_RUN. */
static void blocked_signals_stay_away(void **state)
{
	uint64_t was;
	pthread_t t;
	void *ret;

	start();
	set(SIGUSR1, count, 0);
	pthread_create(&t, NULL, run_blocked, NULL);
	wait_for_guest();
	pthread_kill(t, SIGUSR1);
	was = *counter();
	while (*counter() < was + 1000000)
		sched_yield();
	assert_int_equal(pthread_tryjoin_np(t, &ret), EBUSY);
	vm.mem[0x9008] = 1;	/* the guest halts */
	pthread_join(t, &ret);
	assert_int_equal((long)ret, 0);
	assert_int_equal(cpu.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(handled, 0);
	end();
}

static void *run_open_inside(void *arg)
{
	struct {
		uint32_t len;
		uint8_t sigset[8];
	} __attribute__((packed)) mask = { .len = 8 };
	sigset_t set;
	long ret;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	t_ok(T(cpu.fd, KVM_SET_SIGNAL_MASK, &mask));
	ret = t_run(&cpu);
	t_ok(T(cpu.fd, KVM_SET_SIGNAL_MASK, NULL));
	if (ret == -EINTR) {
		struct signalfd_siginfo info = { 0 };
		int fd = signalfd(-1, &set, SFD_NONBLOCK);

		ret = read(fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1 ? 79 : -1;
		close(fd);
	}
	return (void *)ret;
}

static void kick_read_from_a_signalfd(void **state)
{
	start();
	set(SIGUSR1, count, 0);
	assert_int_equal(interrupt(run_open_inside, SIGUSR1), 79);
	assert_int_equal(handled, 0);
	end();
}

/* ---- cancellation ---- */

static void *run_then_cancellation_point(void *arg)
{
	t_run(&cpu);
	pthread_testcancel();
	return NULL;
}

static void *run_asynchronously_cancelable(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	t_run(&cpu);
	return NULL;
}

static void cancelled_in_kvm_run(void **state)
{
	pthread_t t;
	void *ret;

	start();
	set(SIGUSR1, count, 0);
	pthread_create(&t, NULL, run_then_cancellation_point, NULL);
	wait_for_guest();
	pthread_cancel(t);
	do
		pthread_kill(t, SIGUSR1);
	while (sched_yield(), pthread_tryjoin_np(t, &ret));
	assert_ptr_equal(ret, PTHREAD_CANCELED);
	pthread_create(&t, NULL, run_asynchronously_cancelable, NULL);
	wait_for_guest();
	pthread_cancel(t);
	pthread_join(t, &ret);
	assert_ptr_equal(ret, PTHREAD_CANCELED);
	/* and the vCPU is free */
	assert_int_equal(interrupt(run, SIGUSR1), -EINTR);
	end();
}

T_MAIN(
	T_CASE(installed_in_every_way),
	T_CASE(one_shot),
	T_CASE(ignored),
	T_CASE(value_mask_and_stack),
	T_CASE(not_deferred),
	T_CASE(handler_uses_the_vcpu),
	T_CASE(handler_jumps_out),
	T_CASE(handler_ends_the_thread),
	T_CASE(handler_forks),
	T_CASE(many_signals),
	T_CASE(blocked_signals_stay_away),
	T_CASE(kick_read_from_a_signalfd),
	T_CASE(cancelled_in_kvm_run),
)
