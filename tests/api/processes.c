/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * processes.c - KVM and more than one process: programs started in every way find /dev/kvm, descriptors come by exec and
 * over a socket, children are forked while guests run. time limit: 120 s
 */
#include "lib/t_kvm.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ENV_ENTRIES	20000

static char exe[4096];

GUEST16(code_hlt, "1: hlt; jmp 1b");
GUEST16(code_loop, "1: jmp 1b");

/* ---- what this program does when it is started with an argument ---- */

static int child_has_kvm(void)
{
	int kvm = open("/dev/kvm", O_RDWR);

	if (kvm < 0)
		return 10;
	if (ioctl(kvm, KVM_GET_API_VERSION, 0UL) != KVM_API_VERSION)
		return 11;
	return ioctl(kvm, KVM_CREATE_VM, 0UL) >= 0 ? 0 : 12;
}

/* argv: --inherited KVM VM VCPU */
static int child_inherited(char **argv)
{
	int kvm = atoi(argv[0]), vm = atoi(argv[1]), vcpu = atoi(argv[2]), null = open("/dev/null", O_RDWR);

	if (ioctl(kvm, KVM_GET_API_VERSION, 0UL) != KVM_API_VERSION)
		return 20;
	if (ioctl(vm, KVM_CREATE_VCPU, 1UL) != -1 || errno != EIO)
		return 21;
	if (ioctl(vcpu, KVM_RUN, 0UL) != -1 || errno != EIO)
		return 22;
	if (ioctl(kvm, KVM_CREATE_VM, 0UL) < 0)
		return 23;
	if (ioctl(null, KVM_RUN, 0UL) != -1 || errno != ENOTTY)
		return 24;
	return 0;
}

static int status_of(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- starting programs ---- */

enum way {
	EXECV, EXECVE_EMPTY, EXECVE_NULL, EXECVE_OTHER_PRELOAD, EXECVE_LARGE, EXECVP, EXECVPE, EXECL, EXECLP, EXECLE, FEXECVE,
	EXECVEAT, SYSCALL, CLEARENV_EXECV, CLEARENV_SYSTEM, CLEARENV_POPEN, NR_WAYS
};

static int by_shell(bool use_popen)
{
	char command[5000];
	int status;

	snprintf(command, sizeof(command), "'%s' --kvm", exe);
	status = use_popen ? pclose(popen(command, "r")) : system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 30;
}

/* In a child: become `exe --kvm`. Status 40: the call came back. */
static int become(enum way way)
{
	char *argv[] = { exe, "--kvm", NULL }, *empty[] = { NULL };
	char *other[] = { "A=b", "LD_PRELOAD=libpthread.so.0", NULL }, **large;
	size_t i;

	switch (way) {
	case EXECV:
		execv(exe, argv);
		break;
	case EXECVE_EMPTY:
		execve(exe, argv, empty);
		break;
	case EXECVE_NULL:
		execve(exe, argv, NULL);
		break;
	case EXECVE_OTHER_PRELOAD:
		execve(exe, argv, other);
		break;
	case EXECVE_LARGE:
		large = calloc(ENV_ENTRIES + 1, sizeof(*large));
		for (i = 0; i < ENV_ENTRIES; i++)
			large[i] = "VARIABLE=value";
		execve(exe, argv, large);
		break;
	case EXECVP:
		execvp(exe, argv);
		break;
	case EXECVPE:
		execvpe(exe, argv, empty);
		break;
	case EXECL:
		execl(exe, exe, "--kvm", NULL);
		break;
	case EXECLP:
		execlp(exe, exe, "--kvm", NULL);
		break;
	case EXECLE:
		execle(exe, exe, "--kvm", NULL, empty);
		break;
	case FEXECVE:
		fexecve(open(exe, O_RDONLY), argv, empty);
		break;
	case EXECVEAT:
		execveat(AT_FDCWD, exe, argv, empty, 0);
		break;
	case SYSCALL:
		syscall(SYS_execve, exe, argv, empty);
		break;
	case CLEARENV_EXECV:
		clearenv();
		execv(exe, argv);
		break;
	case CLEARENV_SYSTEM:
		clearenv();
		return by_shell(false);
	case CLEARENV_POPEN:
		clearenv();
		return by_shell(true);
	case NR_WAYS:
		break;
	}
	return 40;
}

/* A library with a sanitizer in it wants to find its options in each environment. */
static bool instrumented(void)
{
	if (getenv("ASAN_OPTIONS"))
		print_message("programs with an environment of their own lose the sanitizer's options\n");
	return getenv("ASAN_OPTIONS");
}

static void programs_it_starts_find_kvm(void **state)
{
	enum way way;

	if (instrumented())
		skip();

	for (way = 0; way < NR_WAYS; way++) {
		pid_t pid = fork();
		int status;

		if (!pid)
			_exit(become(way));
		status = status_of(pid);
		if (status)
			print_error("way %d: status %d\n", way, status);
		assert_int_equal(status, 0);
	}
}

static void spawned_programs_find_kvm(void **state)
{
	char *argv[] = { exe, "--kvm", NULL }, *empty[] = { NULL };
	pid_t pid;

	if (instrumented())
		skip();
	assert_int_equal(posix_spawn(&pid, exe, NULL, NULL, argv, empty), 0);
	assert_int_equal(status_of(pid), 0);
	assert_int_equal(posix_spawnp(&pid, exe, NULL, NULL, argv, environ), 0);
	assert_int_equal(status_of(pid), 0);
	pid = vfork();
	if (!pid) {
		execve(exe, argv, empty);
		_exit(40);
	}
	assert_int_equal(status_of(pid), 0);
	/* our own environment is as it was */
	assert_int_equal(execve("/nonexistent", argv, empty), -1);
	assert_int_equal(errno, ENOENT);
}

/* ---- descriptors in other programs and processes ---- */

static void descriptors_come_by_exec(void **state)
{
	char fds[3][16];
	char *argv[] = { exe, "--inherited", fds[0], fds[1], fds[2], NULL };
	struct t_cpu cpu;
	struct t_vm vm;
	int kvm = open("/dev/kvm", O_RDWR), kept;
	pid_t pid;

	T_START(&vm, &cpu, 0, code_hlt);
	assert_int_equal(fcntl(kvm, F_GETFD), 0);
	kept = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(kept, F_GETFD), FD_CLOEXEC);
	close(kept);
	fcntl(vm.fd, F_SETFD, 0);
	fcntl(cpu.fd, F_SETFD, 0);
	snprintf(fds[0], sizeof(fds[0]), "%d", kvm);
	snprintf(fds[1], sizeof(fds[1]), "%d", vm.fd);
	snprintf(fds[2], sizeof(fds[2]), "%d", cpu.fd);
	assert_int_equal(posix_spawn(&pid, exe, NULL, NULL, argv, environ), 0);
	assert_int_equal(status_of(pid), 0);
	pid = fork();
	if (!pid) {
		execv(exe, argv);
		_exit(40);
	}
	assert_int_equal(status_of(pid), 0);
	t_run_to(&cpu, KVM_EXIT_HLT);
	close(kvm);
	T_END(&vm, &cpu);
}

static void send_fds(int sock, const int *fds)
{
	char control[CMSG_SPACE(3 * sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(3 * sizeof(int));
	memcpy(CMSG_DATA(c), fds, 3 * sizeof(int));
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

static bool receive_fds(int sock, int *fds)
{
	char control[CMSG_SPACE(3 * sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		return false;
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), 3 * sizeof(int));
	return true;
}

static int receiver(int sock)
{
	struct kvm_regs regs;
	struct kvm_run *run;
	int fds[3], vm;

	if (!receive_fds(sock, fds))
		return 50;
	vm = ioctl(fds[0], KVM_CREATE_VM, 0UL);
	if (vm < 0 || ioctl(vm, KVM_CREATE_VCPU, 0UL) < 0)
		return 51;
	if (ioctl(fds[1], KVM_CREATE_VCPU, 1UL) != -1 || errno != EIO)
		return 52;
	if (ioctl(fds[2], KVM_RUN, 0UL) != -1 || errno != EIO)
		return 53;
	if (ioctl(fds[2], KVM_GET_REGS, &regs) != -1 || errno != EIO)
		return 54;
	/* kvm_run is memory like any other */
	run = mmap(NULL, T_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[2], 0);
	if (run == MAP_FAILED || run->exit_reason != KVM_EXIT_HLT)
		return 55;
	run->exit_reason = 77;
	close(fds[1]);
	close(fds[2]);
	return ioctl(fds[0], KVM_GET_API_VERSION, 0UL) == KVM_API_VERSION ? 0 : 56;
}

static void descriptors_come_over_a_socket(void **state)
{
	struct t_cpu cpu;
	struct t_vm vm;
	int sock[2], fds[3];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	pid = fork();		/* before there is any VM */
	if (!pid)
		_exit(receiver(sock[1]));
	T_START(&vm, &cpu, 0, code_hlt);
	t_run_to(&cpu, KVM_EXIT_HLT);
	fds[0] = vm.kvm;
	fds[1] = vm.fd;
	fds[2] = cpu.fd;
	send_fds(sock[0], fds);
	assert_int_equal(status_of(pid), 0);
	assert_int_equal(cpu.run->exit_reason, 77);
	t_run_to(&cpu, KVM_EXIT_HLT);
	/* to this process itself: the same objects */
	send_fds(sock[0], fds);
	assert_true(receive_fds(sock[1], fds));
	t_cpu_destroy(&cpu);
	assert_int_equal(ioctl(fds[2], KVM_RUN, 0UL), 0);
	assert_int_equal(ioctl(fds[1], KVM_CREATE_VCPU, 0UL), -1);
	assert_int_equal(errno, EEXIST);
	close(fds[0]);
	close(fds[1]);
	close(fds[2]);
	close(sock[0]);
	close(sock[1]);
	t_vm_destroy(&vm);
}

/* ---- fork while guests run ---- */

static void *run_until_error(void *arg)
{
	struct t_cpu *cpu = arg;
	long ret;

	do
		ret = t_run(cpu);
	while (!ret);
	return (void *)-ret;
}

/* Kick with SIGUSR1 until the thread has ended; the error that ended its KVM_RUN. */
static long stop_thread(pthread_t t)
{
	struct timespec soon;
	void *err;

	do {
		pthread_kill(t, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_nsec += 10000000;
		if (soon.tv_nsec >= 1000000000) {
			soon.tv_sec++;
			soon.tv_nsec -= 1000000000;
		}
	} while (pthread_timedjoin_np(t, &err, &soon));
	return (long)err;
}

GUEST16(code_rounds, "1: incw 0x9000; jmp 1b");

/*
 * A process with a guest that runs, forked from one with a guest that runs. Not one whose thread is just beginning: a
 * sanitizer's child would find the sanitizer's locks held.
 */
static int generation(int left)
{
	struct t_cpu cpu, loop;
	struct t_vm vm, busy;
	pthread_t t;
	pid_t pid;
	int ret;

	T_START(&busy, &loop, 0, code_rounds);
	T_START(&vm, &cpu, 0, code_hlt);
	pthread_create(&t, NULL, run_until_error, &loop);
	while (!*(volatile uint16_t *)(busy.mem + 0x9000))
		sched_yield();
	if (t_run(&cpu) || cpu.run->exit_reason != KVM_EXIT_HLT)
		return 60;
	if (left) {
		pid = fork();
		if (!pid) {
			alarm(30);
			if (ioctl(cpu.fd, KVM_RUN, 0UL) != -1 || errno != EIO)
				_exit(61);
			if (ioctl(loop.fd, KVM_RUN, 0UL) != -1 || errno != EIO)
				_exit(62);
			/* what it closes is only its own */
			close(loop.fd);
			_exit(generation(left - 1));
		}
		ret = status_of(pid);
		if (ret)
			return ret;
	}
	if (stop_thread(t) != EINTR)
		return 63;
	if (t_run(&cpu) || cpu.run->exit_reason != KVM_EXIT_HLT)
		return 64;
	T_END(&vm, &cpu);
	T_END(&busy, &loop);
	return 0;
}

static void forked_with_guests_running(void **state)
{
	t_catch_usr1();
	assert_int_equal(generation(2), 0);
}

/* ---- threads ---- */

static void two_vcpus_on_one_thread(void **state)
{
	struct t_cpu a, b;
	struct t_vm vm;
	int i;

	T_START(&vm, &a, 0, code_hlt);
	t_cpu_create(&vm, &b, 1);
	t_cpu_real(&b, T_CODE);
	for (i = 0; i < 100; i++) {
		t_run_to(&a, KVM_EXIT_HLT);
		t_run_to(&b, KVM_EXIT_HLT);
	}
	t_cpu_destroy(&b);
	T_END(&vm, &a);
}

static void *run_once(void *arg)
{
	return (void *)(t_run(arg) ? -1L : (long)((struct t_cpu *)arg)->run->exit_reason);
}

/* A vCPU's thread may end, in KVM_RUN or out of it, and another one take it over. */
static void one_vcpu_on_many_threads(void **state)
{
	struct t_cpu cpu;
	struct t_vm vm;
	pthread_t t;
	void *ret;
	int i;

	T_START(&vm, &cpu, 0, code_hlt);
	for (i = 0; i < 50; i++) {
		pthread_create(&t, NULL, run_once, &cpu);
		pthread_join(t, &ret);
		assert_int_equal((long)ret, KVM_EXIT_HLT);
	}
	T_END(&vm, &cpu);
}

/*
 * Only one KVM_RUN at a time: the second thread waits for the vCPU, and does not run the guest if a signal came meanwhile.
 */
static void one_vcpu_on_two_threads_at_once(void **state)
{
	struct t_cpu cpu;
	struct t_vm vm;
	int i;

	t_catch_usr1();
	T_START(&vm, &cpu, 0, code_loop);
	for (i = 0; i < 20; i++) {
		pthread_t t[2];
		int turn = 0, left;

		pthread_create(&t[0], NULL, run_until_error, &cpu);
		pthread_create(&t[1], NULL, run_until_error, &cpu);
		for (left = 2; left; turn = !turn) {
			void *err;

			if (!t[turn])
				continue;
			pthread_kill(t[turn], SIGUSR1);
			sched_yield();
			if (pthread_tryjoin_np(t[turn], &err))
				continue;
			assert_int_equal((long)err, EINTR);
			t[turn] = 0;
			left--;
		}
	}
	T_END(&vm, &cpu);
}

GUEST64(code_reader, "1: mov 0x300000, %eax; mov %eax, 0x9000; jmp 1b");

/* Memory that the client unmaps under a running guest. */
static void memory_unmapped_under_a_running_guest(void **state)
{
	volatile uint32_t *seen;
	struct t_cpu cpu;
	struct t_vm vm;
	pthread_t t;
	void *err;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, code_reader);
	t_cpu_long(&vm, &cpu, T_CODE);
	*(volatile uint32_t *)(vm.mem + 0x300000) = 0x1234;
	seen = (volatile uint32_t *)(vm.mem + 0x9000);
	pthread_create(&t, NULL, run_until_error, &cpu);
	while (*seen != 0x1234)
		sched_yield();
	assert_int_equal(munmap(vm.mem + 0x300000, T_PAGE), 0);
	pthread_join(t, &err);
	assert_int_equal((long)err, EFAULT);
	/* and back: the guest goes on where it was */
	assert_ptr_equal(mmap(vm.mem + 0x300000, T_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			      -1, 0), vm.mem + 0x300000);
	*(volatile uint32_t *)(vm.mem + 0x300000) = 0x5678;
	t_catch_usr1();
	pthread_create(&t, NULL, run_until_error, &cpu);
	while (*seen != 0x5678)
		sched_yield();
	assert_int_equal(stop_thread(t), EINTR);
	T_END(&vm, &cpu);
}

/* ---- waiting on descriptors ---- */

static void waiting_on_descriptors(void **state)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), i;
	struct t_cpu cpu;
	struct t_vm vm;
	fd_set set;

	T_START(&vm, &cpu, 0, code_hlt);
	for (i = 0; i < 3; i++) {
		int fd = i == 0 ? vm.kvm : i == 1 ? vm.fd : cpu.fd;
		struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

		/* files that have nothing to wait for are always ready, and epoll does not take them */
		assert_int_equal(poll(&p, 1, -1), 1);
		assert_int_equal(p.revents, POLLIN | POLLOUT);
		assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), -1);
		assert_int_equal(errno, EPERM);
		FD_ZERO(&set);
		FD_SET(fd, &set);
		assert_int_equal(select(fd + 1, &set, NULL, NULL, NULL), 1);
	}
	close(ep);
	T_END(&vm, &cpu);
}

static void every_order_of_closing(void **state)
{
	static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	int i, j, way;

	for (way = 0; way < 3; way++)
		for (i = 0; i < 6; i++) {
			struct t_cpu cpu;
			struct t_vm vm;
			int fds[3];

			T_START(&vm, &cpu, T_IRQCHIP, code_hlt);
			fds[0] = vm.kvm;
			fds[1] = vm.fd;
			fds[2] = cpu.fd;
			for (j = 0; j < 3; j++) {
				int fd = fds[orders[i][j]];

				if (way == 0)
					assert_int_equal(close(fd), 0);
				else if (way == 1)
					assert_int_equal(syscall(SYS_close, fd), 0);
				else
					assert_int_equal(close_range((unsigned int)fd, (unsigned int)fd, 0), 0);
				assert_int_equal(ioctl(fd, KVM_RUN, 0UL), -1);
				assert_int_equal(errno, EBADF);
			}
			/* kvm_run stays mapped */
			cpu.run->immediate_exit = 1;
			munmap(cpu.run, cpu.run_size);
			munmap(vm.mem, T_MEM);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T_CASE(programs_it_starts_find_kvm),
		T_CASE(spawned_programs_find_kvm),
		T_CASE(descriptors_come_by_exec),
		T_CASE(descriptors_come_over_a_socket),
		T_CASE(forked_with_guests_running),
		T_CASE(two_vcpus_on_one_thread),
		T_CASE(one_vcpu_on_many_threads),
		T_CASE(one_vcpu_on_two_threads_at_once),
		T_CASE(memory_unmapped_under_a_running_guest),
		T_CASE(waiting_on_descriptors),
		T_CASE(every_order_of_closing),
	};
	ssize_t n;

	if (argc > 1 && !strcmp(argv[1], "--kvm"))
		return child_has_kvm();
	if (argc > 4 && !strcmp(argv[1], "--inherited"))
		return child_inherited(argv + 2);
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n < 0)
		return 1;
	exe[n] = '\0';
	return t_have_kvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
