/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Faults and signals of host/user: copies that fault, registered handlers, and the client's
 * handlers behind ours.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/host.h"
#include "host/user/fault.h"
#include "host/user/signal.h"
#include "host/user/user.h"
#include "vendor/soft/soft.h"

#define PAGE	4096

static u8 *three_pages;	/* readable and writable, read-only, not there */

static int setup(void **state)
{
	three_pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(three_pages + PAGE, PAGE, PROT_READ);
	mprotect(three_pages + 2 * PAGE, PAGE, PROT_NONE);
	return 0;
}

/* cmocka puts its own handlers in place before each test and its callers' back afterwards. */
static void take_faults(void)
{
	host_fault_init();
	host_signal_adopt();
}

static void copies_fault_without_signals(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 7, 8, 9, 16, 31, 100, 511, 512, 600, 2000 };
	u64 bad[] = { 0, 8, 0x8000000000000000ULL, ~0ULL - 4096, (u64)three_pages + 2 * PAGE };
	u8 buf[2048] = { 0 }, out[2048];
	u64 end = (u64)three_pages + 2 * PAGE;

	take_faults();
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i];

		for (u32 k = 0; k < ARRAY_SIZE(bad); k++) {
			assert_int_equal(host_copy_from_caller(buf, bad[k], n), -EFAULT);
			assert_int_equal(host_copy_to_caller(bad[k], buf, n), -EFAULT);
		}
		/* the last byte lies behind the border */
		assert_int_equal(host_mem_read(end - n + 1, buf, n), -EFAULT);
		assert_int_equal(host_mem_read(end - n, buf, n), 0);
		/* read-only */
		assert_int_equal(host_mem_write((u64)three_pages + PAGE, buf, n), -EFAULT);
		for (size_t j = 0; j < n; j++)
			buf[j] = (u8)(j + i);
		assert_int_equal(host_mem_write((u64)three_pages + 3, buf, n), 0);
		assert_int_equal(host_mem_read((u64)three_pages + 3, out, n), 0);
		assert_memory_equal(buf, out, n);
	}
	assert_int_equal(host_copy_from_caller(buf, 0, 0), 0);
}

/* Exchanged, refused with what is there, or -EFAULT, in every size; nothing beyond the bytes asked for changes. */
static void exchanges_fault_without_signals(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8, 16 };
	u64 bad[] = { 0, 16, ~0ULL - 4095, (u64)three_pages + 2 * PAGE };
	u8 *mem = three_pages + 64, before[48], old[16], new[16];

	take_faults();
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned int n = sizes[i];

		for (u32 k = 0; k < sizeof(before); k++)
			mem[k] = (u8)(k * 7 + 1);
		memcpy(before, mem, sizeof(before));
		memset(new, 0xa5, sizeof(new));
		memset(old, 0xee, sizeof(old));
		memcpy(old, mem + 16, n);
		old[n - 1] ^= 1;
		assert_int_equal(host_mem_cmpxchg((u64)mem + 16, old, new, n), -EBUSY);
		assert_memory_equal(old, mem + 16, n);
		if (n < 16)
			assert_int_equal(old[n], 0xee);
		assert_memory_equal(before, mem, sizeof(before));
		assert_int_equal(host_mem_cmpxchg((u64)mem + 16, old, new, n), 0);
		memset(before + 16, 0xa5, n);
		assert_memory_equal(before, mem, sizeof(before));
		for (u32 k = 0; k < ARRAY_SIZE(bad); k++)
			assert_int_equal(host_mem_cmpxchg(bad[k], old, new, n), -EFAULT);
		/* read-only, whether it would match or not */
		assert_int_equal(host_mem_cmpxchg((u64)three_pages + PAGE, old, new, n), -EFAULT);
		memset(old, 0, sizeof(old));
		memcpy(old, three_pages + PAGE, n);
		assert_int_equal(host_mem_cmpxchg((u64)three_pages + PAGE, old, new, n), -EFAULT);
	}
}

static void *count_up(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		u64 old = 0, new = 1;

		while (host_mem_cmpxchg((u64)arg, &old, &new, 8))
			new = old + 1;
	}
	return NULL;
}

static void exchanges_are_atomic(void **state)
{
	u64 *counter = (u64 *)(three_pages + 128);
	pthread_t t[3];

	take_faults();
	*counter = 0;
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, count_up, counter);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(*counter, 60000);
}

/* A file's pages beyond its end: SIGBUS instead of SIGSEGV. */
static void truncated_file_is_efault(void **state)
{
	int fd = memfd_create("t", 0);
	u64 v;
	u8 *p;

	take_faults();
	assert_int_equal(ftruncate(fd, PAGE), 0);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_int_equal(host_mem_read((u64)p, &v, 8), 0);
	assert_int_equal(host_mem_read((u64)p + PAGE, &v, 8), -EFAULT);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(host_mem_write((u64)p, &v, 8), -EFAULT);
	munmap(p, 2 * PAGE);
	close(fd);
}

static void *copy_many(void *arg)
{
	u64 bad = (u64)three_pages + 2 * PAGE, v, wrong = 0;

	for (int i = 0; i < 3000; i++) {
		wrong += host_mem_read(bad, &v, 8) != -EFAULT;
		wrong += host_mem_read((u64)three_pages, &v, 8) != 0;
	}
	return (void *)(uintptr_t)wrong;
}

static void threads_fault_at_once(void **state)
{
	pthread_t t[4];
	void *wrong;

	take_faults();
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, copy_many, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &wrong);
		assert_null(wrong);
	}
}

/* ---- a registered owner of generated code ---- */

extern const u8 test_load[], test_load_end[];
u64 test_load_at(const void *p);
__asm__(".text\n"
	"test_load_at:\n"
	"test_load: mov (%rdi), %rax\n"
	"test_load_end: ret\n");

static u32 owner_calls;

static bool load_owner(int sig, siginfo_t *info, ucontext_t *uc)
{
	u64 pc = (u64)uc->uc_mcontext.gregs[REG_RIP];

	owner_calls++;
	if (pc < (u64)test_load || pc >= (u64)test_load_end)
		return false;
	uc->uc_mcontext.gregs[REG_RAX] = (greg_t)((u64)info->si_addr ^ 1);
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)test_load_end;
	return true;
}

static void registered_function_resolves_faults(void **state)
{
	u64 bad = (u64)three_pages + 2 * PAGE + 64;
	u8 b;

	take_faults();
	assert_int_equal(host_fault_register(load_owner), 0);
	assert_int_equal(host_fault_register(load_owner), 0);
	assert_int_equal(test_load_at((void *)bad), bad ^ 1);
	/* not its own: it says no, and the copy gets its answer */
	owner_calls = 0;
	assert_int_equal(host_mem_read(bad, &b, 1), -EFAULT);
	assert_int_equal(owner_calls, 1);
}

/* ---- the client's handlers ---- */

static volatile u32 client_calls;
static volatile int client_code;

static void client_segv(int sig, siginfo_t *info, void *context)
{
	client_calls++;
	client_code = info->si_code;
	mprotect((void *)((u64)info->si_addr & ~(u64)(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
}

/* As the preload library passes them on. */
static int install(int sig, void *handler, int flags, struct ksigaction *old)
{
	struct ksigaction act = { .handler = (u64)handler, .flags = (u32)flags };

	return host_sigaction(sig, &act, old);
}

static void other_faults_reach_the_client(void **state)
{
	u8 *p = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ksigaction old;

	take_faults();
	assert_int_equal(install(SIGSEGV, client_segv, SA_SIGINFO, NULL), 0);
	client_calls = 0;
	*(volatile u8 *)p = 1;	/* the client's handler opens the page */
	assert_int_equal(client_calls, 1);
	assert_int_equal(client_code, SEGV_ACCERR);
	/* the client sees its own */
	assert_int_equal(install(SIGSEGV, NULL, 0, &old), 0);
	assert_int_equal(old.handler, (u64)client_segv);
	munmap(p, PAGE);
}

/* Status of a child that does what it does without any handler of the client's. */
static int child_status(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void fault(void)
{
	*(volatile u8 *)(three_pages + 2 * PAGE) = 1;
}

static void send_segv(void)
{
	kill(getpid(), SIGSEGV);
	usleep(1000);
}

static void ignore_and_fault(void)
{
	install(SIGSEGV, (void *)SIG_IGN, 0, NULL);
	send_segv();		/* ignored */
	fault();		/* cannot be ignored */
}

static void default_action_still_kills(void **state)
{
	int s;

	take_faults();
	install(SIGSEGV, (void *)SIG_DFL, 0, NULL);
	s = child_status(fault);
	assert_true(WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
	s = child_status(send_segv);
	assert_true(WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
	s = child_status(ignore_and_fault);
	assert_true(WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
}

static u32 stops;

static void on_stop(void *arg)
{
	host_fetch_add((u32 *)arg, 1);
}

static void plain_handler(int sig)
{
	client_calls++;
}

static void handlers_stop_kvm_run(void **state)
{
	struct sigaction act = { .sa_handler = plain_handler };
	u32 n;

	/* installed before, as a directly linked program has it */
	sigaction(SIGUSR1, &act, NULL);
	host_signal_adopt();
	/* installed after, as seen by the preload library */
	assert_int_equal(install(SIGUSR2, plain_handler, SA_RESTART, NULL), 0);
	client_calls = stops = 0;
	raise(SIGUSR1);
	assert_int_equal(client_calls, 1);
	assert_int_equal(stops, 0);		/* not inside KVM_RUN */
	host_run_begin(on_stop, &stops);
	assert_false(host_signal_pending());
	raise(SIGUSR1);
	assert_int_equal(stops, 1);
	assert_true(host_signal_pending());
	raise(SIGUSR2);
	host_run_end();
	assert_int_equal(stops, 2);
	assert_int_equal(client_calls, 3);
	host_run_begin(on_stop, &stops);
	assert_false(host_signal_pending());
	host_run_end();
	raise(SIGUSR1);
	assert_int_equal(stops, 2);
	/* adopting twice changes nothing */
	host_signal_adopt();
	n = client_calls;
	raise(SIGUSR1);
	assert_int_equal(client_calls, n + 1);
}

static siginfo_t kept_info;
static u64 kept_mask;
static jmp_buf jump;

static void info_handler(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	sigset_t now;

	client_calls++;
	kept_info = *info;
	memcpy(&kept_mask, &uc->uc_sigmask, sizeof(kept_mask));
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	assert_true(sigismember(&now, sig));
	assert_true(sigismember(&now, SIGHUP));
}

static void jumping_handler(int sig)
{
	siglongjmp(jump, 1);
}

/* Within a call of ours the client's handler waits for its end, with all that the kernel gave it. */
static void handlers_wait_for_the_end_of_a_call(void **state)
{
	struct sigaction act = { .sa_sigaction = info_handler, .sa_flags = SA_SIGINFO };
	union sigval value = { .sival_int = 4321 };
	sigset_t now;

#ifdef __SANITIZE_THREAD__
	print_message("ThreadSanitizer holds signals back and hands them on later\n");
	skip();
#endif
	sigaddset(&act.sa_mask, SIGHUP);
	sigaction(SIGUSR1, &act, NULL);
	host_signal_adopt();
	client_calls = stops = 0;
	host_call_begin();
	host_run_begin(on_stop, &stops);
	sigqueue(getpid(), SIGUSR1, value);
	sigqueue(getpid(), SIGUSR1, value);
	assert_int_equal(stops, 1);
	host_run_end();
	assert_int_equal(client_calls, 0);
	host_call_end();
	/* the second one was pending */
	assert_int_equal(client_calls, 2);
	assert_int_equal(stops, 1);
	assert_int_equal(kept_info.si_value.sival_int, 4321);
	assert_int_equal(kept_info.si_code, SI_QUEUE);
	assert_false(kept_mask & (SIGNAL_BIT(SIGUSR1) | SIGNAL_BIT(SIGHUP)));
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	assert_false(sigismember(&now, SIGUSR1));
	assert_false(sigismember(&now, SIGHUP));

	assert_int_equal(install(SIGUSR1, jumping_handler, 0, NULL), 0);
	if (!sigsetjmp(jump, 1)) {
		host_call_begin();
		raise(SIGUSR1);
		host_call_end();
		fail();
	}
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	assert_false(sigismember(&now, SIGUSR1));
}

static void one_shot_handlers(void **state)
{
	struct ksigaction old;

	assert_int_equal(install(SIGUSR2, plain_handler, (int)SA_RESETHAND, NULL), 0);
	client_calls = 0;
	raise(SIGUSR2);
	assert_int_equal(client_calls, 1);
	assert_int_equal(install(SIGUSR2, (void *)SIG_IGN, 0, &old), 0);
	assert_int_equal(old.handler, (u64)SIG_DFL);
	raise(SIGUSR2);
	assert_int_equal(client_calls, 1);
}

/* KVM_SET_SIGNAL_MASK: a signal that is blocked outside and open inside ends KVM_RUN, its handler
 * does not run, and it stays pending with its value for sigtimedwait(). */
static void signal_open_only_inside_stays_pending(void **state)
{
	union sigval value = { .sival_int = 1234 };
	struct timespec zero = { 0 };
	siginfo_t info;
	sigset_t set;
	u64 old, inner, dummy;

	install(SIGUSR1, plain_handler, 0, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigqueue(getpid(), SIGUSR1, value);
	client_calls = stops = 0;
	host_run_begin(on_stop, &stops);
	inner = 0;
	host_sigmask_swap(inner, &old);
	assert_int_equal(stops, 1);
	assert_true(host_signal_pending());
	assert_true(old & SIGNAL_BIT(SIGUSR1));
	host_sigmask_swap(old, &dummy);
	host_run_end();
	assert_int_equal(client_calls, 0);
	assert_int_equal(sigtimedwait(&set, &info, &zero), SIGUSR1);
	assert_int_equal(info.si_value.sival_int, 1234);
	assert_int_equal(sigtimedwait(&set, &info, &zero), -1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* A thread that blocks everything can still take faults once it has called us. */
static void *blocked_thread(void *arg)
{
	sigset_t all;
	u64 v;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	host_call_begin();
	host_call_end();
	return (void *)(uintptr_t)(host_mem_read((u64)three_pages + 2 * PAGE, &v, 8) != -EFAULT);
}

static void faults_on_threads_that_block_signals(void **state)
{
	pthread_t t;
	void *bad;

	take_faults();
	pthread_create(&t, NULL, blocked_thread, NULL);
	pthread_join(t, &bad);
	assert_null(bad);
}

static void *idle(void *arg)
{
	return arg;
}

/* The child has no service thread and its own token; it can begin anew. */
static void use_in_child(void)
{
	struct host_timer t;
	pthread_t th;
	u64 token = host_process_token();

	if (token || !host_process_is_copy())
		_exit(1);
	if (host_process_init() || !host_process_token() || host_process_is_copy())
		_exit(2);
	host_timer_init(&t, NULL);
	host_timer_arm(&t, ~0ULL - 1);
	host_timer_cancel_sync(&t);
	pthread_create(&th, NULL, idle, NULL);
	pthread_join(th, NULL);
}

static void forked_child_begins_anew(void **state)
{
	u64 token;
	int s;

	assert_int_equal(host_process_init(), 0);
	token = host_process_token();
	assert_int_not_equal(token, 0);
	s = child_status(use_in_child);
	assert_true(WIFEXITED(s));
	assert_int_equal(WEXITSTATUS(s), 0);
	assert_int_equal(host_process_token(), token);
}

/* ThreadSanitizer's: children of this program make threads. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

/*
 * Another thread may take its vCPU down while this one finds out whose fault it has: nothing of a vCPU that is not this
 * thread's may be touched.
 */
static void other_vcpus_are_left_alone(void **state)
{
	size_t size = (sizeof(struct soft_vcpu) + PAGE - 1) & ~(size_t)(PAGE - 1);
	struct soft_vcpu *other = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 buf[8];

	assert_ptr_not_equal(other, MAP_FAILED);
	take_faults();
	assert_int_equal(soft_fault_init(), 0);
	assert_int_equal(soft_fault_add(other), 0);
	assert_int_equal(mprotect(other, size, PROT_NONE), 0);
	assert_int_equal(host_copy_from_caller(buf, 8, sizeof(buf)), -EFAULT);
	assert_int_equal(mprotect(other, size, PROT_READ | PROT_WRITE), 0);
	soft_fault_del(other);
	munmap(other, size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_fault_without_signals),
		cmocka_unit_test(exchanges_fault_without_signals),
		cmocka_unit_test(exchanges_are_atomic),
		cmocka_unit_test(truncated_file_is_efault),
		cmocka_unit_test(threads_fault_at_once),
		cmocka_unit_test(registered_function_resolves_faults),
		cmocka_unit_test(other_faults_reach_the_client),
		cmocka_unit_test(default_action_still_kills),
		cmocka_unit_test(handlers_stop_kvm_run),
		cmocka_unit_test(handlers_wait_for_the_end_of_a_call),
		cmocka_unit_test(one_shot_handlers),
		cmocka_unit_test(signal_open_only_inside_stays_pending),
		cmocka_unit_test(faults_on_threads_that_block_signals),
		cmocka_unit_test(forked_child_begins_anew),
		cmocka_unit_test(other_vcpus_are_left_alone),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
