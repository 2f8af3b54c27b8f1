/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * descriptors.c - what a KVM program may do with its descriptors, processes and signals: every spelling of /dev/kvm, dup and
 * close in any order, fork, and signals that end KVM_RUN. The same on a kernel's KVM and under `anykvm exec`.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/kvm.h>

#define GUEST_START	0x1000

struct machine {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	uint8_t *mem;
};

/* A VM with one vCPU in real mode at GUEST_START. */
static void machine_create(struct machine *m, const uint8_t *code, size_t size)
{
	struct kvm_userspace_memory_region region = { .guest_phys_addr = GUEST_START, .memory_size = 0x1000 };
	struct kvm_regs regs = { .rip = GUEST_START, .rflags = 2 };
	struct kvm_sregs sregs;

	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	assert_true(m->kvm >= 0);
	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0UL);
	assert_true(m->vm >= 0);
	m->mem = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(m->mem, code, size);
	region.userspace_addr = (uintptr_t)m->mem;
	assert_int_equal(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0UL);
	assert_true(m->vcpu >= 0);
	m->run = mmap(NULL, (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0UL), PROT_READ | PROT_WRITE, MAP_SHARED,
		      m->vcpu, 0);
	assert_ptr_not_equal(m->run, MAP_FAILED);
	assert_int_equal(ioctl(m->vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.cs.selector = 0;
	assert_int_equal(ioctl(m->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(ioctl(m->vcpu, KVM_SET_REGS, &regs), 0);
}

static void machine_destroy(struct machine *m)
{
	munmap(m->run, (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0UL));
	close(m->vcpu);
	close(m->vm);
	close(m->kvm);
	munmap(m->mem, 0x1000);
}

static const uint8_t code_hlt[] = { 0xf4, 0xeb, 0xfd };		/* 1: hlt; jmp 1b */
static const uint8_t code_loop[] = { 0xeb, 0xfe };		/* 1: jmp 1b */

/* ---- opening ---- */

static void is_kvm(int fd)
{
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, KVM_GET_API_VERSION, 0UL), KVM_API_VERSION);
	close(fd);
}

static void every_spelling_opens_it(void **state)
{
	char cwd[4096];
	int dev = open("/dev", O_RDONLY | O_DIRECTORY), root = open("/", O_RDONLY | O_DIRECTORY);

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	is_kvm(open("/dev/kvm", O_RDWR));
	is_kvm(open("/dev/kvm", O_RDONLY));
	is_kvm(open64("/dev/kvm", O_RDWR | O_CLOEXEC));
	is_kvm(open("//dev/./kvm", O_RDWR));
	is_kvm(open("/dev//kvm", O_RDWR));
	is_kvm(open("/dev/../dev/kvm", O_RDWR));
	is_kvm(open("/proc/self/root/dev/kvm", O_RDWR));
	is_kvm(openat(AT_FDCWD, "/dev/kvm", O_RDWR));
	is_kvm(openat(dev, "kvm", O_RDWR));
	is_kvm(openat(dev, "./kvm", O_RDWR));
	is_kvm(openat(root, "dev/kvm", O_RDWR));
	is_kvm(openat(root, "/dev/kvm", O_RDWR));
	assert_int_equal(chdir("/dev"), 0);
	is_kvm(open("kvm", O_RDWR));
	is_kvm(open("./kvm", O_RDWR));
	assert_int_equal(chdir("/"), 0);
	is_kvm(open("dev/kvm", O_RDWR));
	assert_int_equal(open("kvm", O_RDWR), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(open("/kvm", O_RDWR), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(open("/dev/kvm/", O_RDWR), -1);
	assert_int_equal(chdir(cwd), 0);
	close(dev);
	close(root);
}

/* A folder of our own with a link to the device in it, and a link to that link. */
static void through_links(void **state)
{
	char dir[] = "/tmp/kvm-links-XXXXXX", path[64];
	struct stat st;
	int fd, dirfd;

	assert_non_null(mkdtemp(dir));
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(symlinkat("/dev/kvm", dirfd, "device"), 0);
	assert_int_equal(symlinkat("device", dirfd, "link"), 0);
	assert_int_equal(symlinkat("../../../../../../dev/kvm", dirfd, "relative"), 0);
	assert_int_equal(symlinkat("loop", dirfd, "loop"), 0);
	assert_int_equal(symlinkat("nowhere", dirfd, "kvm"), 0);
	snprintf(path, sizeof(path), "%s/device", dir);
	is_kvm(open(path, O_RDWR));
	assert_int_equal(access(path, R_OK | W_OK), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(open(path, O_RDWR | O_NOFOLLOW), -1);
	assert_int_equal(errno, ELOOP);
	snprintf(path, sizeof(path), "%s/link", dir);
	is_kvm(open(path, O_RDWR));
	is_kvm(openat(dirfd, "link", O_RDWR));
	is_kvm(openat(dirfd, "relative", O_RDWR));
	assert_int_equal(fstatat(dirfd, "link", &st, 0), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(openat(dirfd, "loop", O_RDWR), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(openat(dirfd, "kvm", O_RDWR), -1);
	assert_int_equal(errno, ENOENT);
	fd = openat(dirfd, "nowhere", O_RDWR | O_CREAT, 0600);
	assert_int_equal(ioctl(fd, KVM_GET_API_VERSION, 0UL), -1);
	assert_int_equal(errno, ENOTTY);
	close(fd);
	unlinkat(dirfd, "device", 0);
	unlinkat(dirfd, "link", 0);
	unlinkat(dirfd, "relative", 0);
	unlinkat(dirfd, "loop", 0);
	unlinkat(dirfd, "kvm", 0);
	unlinkat(dirfd, "nowhere", 0);
	close(dirfd);
	assert_int_equal(rmdir(dir), 0);
}

static void flags_mean_what_they_mean_on_a_device(void **state)
{
	int fd;

	is_kvm(creat("/dev/kvm", 0600));
	is_kvm(open("/dev/kvm", O_RDWR | O_CREAT | O_TRUNC, 0600));
	is_kvm(open("/dev/kvm", O_RDWR | O_NONBLOCK | O_NOFOLLOW));
	assert_int_equal(open("/dev/kvm", O_RDWR | O_CREAT | O_EXCL, 0600), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(open("/dev/kvm", O_RDONLY | O_DIRECTORY), -1);
	assert_int_equal(errno, ENOTDIR);
	fd = open("/dev/kvm", O_RDWR);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	close(fd);
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

/* System calls by their numbers. */
static void by_number(void **state)
{
	uint64_t how[3] = { O_RDWR };	/* struct open_how */
	struct kvm_run *run;
	struct machine m;
	struct stat st;
	int fd, vm2;
	long ret;

	fd = (int)syscall(SYS_open, "/dev/kvm", O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(syscall(SYS_ioctl, fd, KVM_GET_API_VERSION, 0UL), KVM_API_VERSION);
	assert_int_equal(syscall(SYS_ioctl, fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), 1);
	assert_int_equal(syscall(SYS_close, fd), 0);
	assert_int_equal(syscall(SYS_ioctl, fd, KVM_GET_API_VERSION, 0UL), -1);
	assert_int_equal(errno, EBADF);
	is_kvm((int)syscall(SYS_openat, AT_FDCWD, "/dev/kvm", O_RDWR));
	ret = syscall(SYS_openat2, AT_FDCWD, "/dev/kvm", how, sizeof(how));
	if (ret < 0)
		assert_int_equal(errno, ENOSYS);	/* before Linux 5.6 */
	else
		is_kvm((int)ret);
	assert_int_equal(syscall(SYS_access, "/dev/kvm", R_OK), 0);
	assert_int_equal(syscall(SYS_stat, "/dev/kvm", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	machine_create(&m, code_hlt, sizeof(code_hlt));
	vm2 = (int)syscall(SYS_dup, m.vm);
	assert_int_equal(syscall(SYS_ioctl, vm2, KVM_CREATE_VCPU, 0UL), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(syscall(SYS_dup3, m.vcpu, vm2, O_CLOEXEC), vm2);
	assert_int_equal(syscall(SYS_ioctl, vm2, KVM_RUN, 0UL), 0);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	syscall(SYS_close, vm2);
	/* all six arguments arrive, and errors of other calls are errors */
	run = (void *)syscall(SYS_mmap, NULL, 4096UL, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0UL);
	assert_ptr_not_equal(run, MAP_FAILED);
	assert_int_equal(run->exit_reason, KVM_EXIT_HLT);
	munmap(run, 4096);
	assert_int_equal(syscall(SYS_mmap, NULL, 4096UL, PROT_READ, MAP_SHARED, -1, 0UL), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(syscall(100000L), -1);
	assert_int_equal(errno, ENOSYS);
	assert_int_equal(syscall(SYS_getpid), getpid());
	machine_destroy(&m);
}

static void open_files_look_like_kvm_s(void **state)
{
	struct machine m;
	struct statx stx;
	struct stat st;
	int copy;

	machine_create(&m, code_hlt, sizeof(code_hlt));
	assert_int_equal(fstat(m.kvm, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, makedev(10, 232));
	assert_int_equal(fstat(m.vm, &st), 0);
	assert_int_equal(st.st_mode & S_IFMT, 0);
	assert_int_equal(fstat(m.vcpu, &st), 0);
	assert_int_equal(st.st_mode & S_IFMT, 0);
	assert_int_equal(st.st_size, 0);
	copy = dup(m.kvm);
	assert_int_equal(fstatat(copy, "", &st, AT_EMPTY_PATH), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(statx(m.kvm, "", AT_EMPTY_PATH, STATX_TYPE, &stx), 0);
	assert_true(S_ISCHR(stx.stx_mode));
	assert_int_equal(stx.stx_rdev_minor, 232);
	close(copy);
	copy = open("/dev/null", O_RDWR);
	assert_int_equal(fstat(copy, &st), 0);
	assert_int_equal(st.st_rdev, makedev(1, 3));
	close(copy);
	assert_int_equal(fstat(copy, &st), -1);
	assert_int_equal(errno, EBADF);
	machine_destroy(&m);
}

static void it_looks_like_a_device(void **state)
{
	struct statx stx;
	struct stat st;

	assert_int_equal(access("/dev/kvm", X_OK), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(access("/dev/kvn", F_OK), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(euidaccess("/dev/kvm", R_OK | W_OK), 0);

	assert_int_equal(access("/dev/kvm", R_OK | W_OK), 0);
	assert_int_equal(faccessat(AT_FDCWD, "/dev/kvm", F_OK, 0), 0);
	assert_int_equal(stat("/dev/kvm", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, makedev(10, 232));
	assert_int_equal(lstat("/dev/kvm", &st), 0);
	assert_int_equal(fstatat(AT_FDCWD, "/dev/kvm", &st, 0), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(statx(AT_FDCWD, "/dev/kvm", 0, STATX_BASIC_STATS, &stx), 0);
	assert_true(S_ISCHR(stx.stx_mode));
}

/* ---- descriptors ---- */

static void duplicates_are_the_same_object(void **state)
{
	struct machine m;
	struct kvm_run *again;
	int vm2, vcpu2, vcpu3;

	machine_create(&m, code_hlt, sizeof(code_hlt));
	assert_true(fcntl(m.vm, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(m.vcpu, F_GETFD) & FD_CLOEXEC);
	vm2 = dup(m.vm);
	assert_int_equal(ioctl(vm2, KVM_CREATE_VCPU, 0UL), -1);
	assert_int_equal(errno, EEXIST);
	vcpu2 = fcntl(m.vcpu, F_DUPFD_CLOEXEC, 50);
	assert_true(vcpu2 >= 50);
	close(m.vcpu);
	close(m.vm);
	assert_int_equal(ioctl(vcpu2, KVM_RUN, 0UL), 0);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	/* all mappings show one page */
	again = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu2, 0);
	assert_ptr_not_equal(again, MAP_FAILED);
	m.run->exit_reason = 77;
	assert_int_equal(again->exit_reason, 77);
	munmap(again, 4096);
	/* dup2 over a descriptor of ours closes that one */
	vcpu3 = dup2(vcpu2, vm2);
	assert_int_equal(vcpu3, vm2);
	assert_int_equal(ioctl(vcpu3, KVM_RUN, 0UL), 0);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	m.vm = vcpu2;
	m.vcpu = vcpu3;
	machine_destroy(&m);
}

static void other_files_are_not_kvm(void **state)
{
	struct machine m;
	int null = open("/dev/null", O_RDWR);

	machine_create(&m, code_hlt, sizeof(code_hlt));
	assert_int_equal(ioctl(null, KVM_GET_API_VERSION, 0UL), -1);
	assert_int_equal(errno, ENOTTY);
	/* a number that was a VM and is now something else */
	assert_int_equal(dup2(null, m.vm), m.vm);
	assert_int_equal(ioctl(m.vm, KVM_CREATE_VCPU, 1UL), -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(ioctl(m.vcpu, KVM_RUN, 0UL), 0);
	close(m.vcpu);
	assert_int_equal(ioctl(m.vcpu, KVM_RUN, 0UL), -1);
	assert_int_equal(errno, EBADF);
	m.vcpu = null;
	machine_destroy(&m);
}

static void *run_until_error(void *arg)
{
	struct machine *m = arg;
	int ret;

	do
		ret = ioctl(m->vcpu, KVM_RUN, 0UL);
	while (!ret);
	return (void *)(intptr_t)errno;
}

static void forked_child_gets_eio(void **state)
{
	struct machine m;
	struct kvm_regs regs;
	int status;
	pid_t pid;

	machine_create(&m, code_hlt, sizeof(code_hlt));
	pid = fork();
	if (!pid) {
		int vm, kvm = dup(m.kvm);

		alarm(10);
		if (ioctl(m.vcpu, KVM_RUN, 0UL) != -1 || errno != EIO)
			_exit(1);
		if (ioctl(m.vcpu, KVM_GET_REGS, &regs) != -1 || errno != EIO)
			_exit(2);
		if (ioctl(m.vm, KVM_CREATE_VCPU, 1UL) != -1 || errno != EIO)
			_exit(3);
		/* /dev/kvm itself belongs to nobody */
		vm = ioctl(m.kvm, KVM_CREATE_VM, 0UL);
		if (vm < 0 || ioctl(vm, KVM_CREATE_VCPU, 0UL) < 0)
			_exit(4);
		close(m.kvm);
		if (ioctl(kvm, KVM_GET_API_VERSION, 0UL) != KVM_API_VERSION)
			_exit(5);
		close(kvm);
		close(m.vcpu);
		close(m.vm);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(ioctl(m.vcpu, KVM_RUN, 0UL), 0);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	machine_destroy(&m);
}

/* ---- signals ---- */

static volatile int handled;

static void on_signal(int sig)
{
	handled++;
}

static void handlers_are_shown_as_installed(void **state)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, old;
	struct machine m;

	sigaddset(&act.sa_mask, SIGUSR2);
	assert_int_equal(sigaction(SIGUSR1, &act, NULL), 0);
	machine_create(&m, code_hlt, sizeof(code_hlt));
	assert_int_equal(sigaction(SIGUSR1, NULL, &old), 0);
	assert_ptr_equal(old.sa_handler, on_signal);
	assert_int_equal(old.sa_flags & SA_RESTART, SA_RESTART);
	assert_true(sigismember(&old.sa_mask, SIGUSR2));
	assert_ptr_equal(signal(SIGUSR1, SIG_IGN), on_signal);
	assert_ptr_equal(signal(SIGUSR1, SIG_DFL), SIG_IGN);
	assert_ptr_equal(signal(SIGUSR1, on_signal), SIG_DFL);
	handled = 0;
	raise(SIGUSR1);
	assert_int_equal(handled, 1);
	machine_destroy(&m);
}

/* Send SIGUSR1 until the thread ends: the first one may arrive before it is inside KVM_RUN. */
static int kick_and_join(pthread_t t)
{
	void *err;

	do {
		usleep(20000);
		pthread_kill(t, SIGUSR1);
	} while (pthread_tryjoin_np(t, &err));
	return (int)(intptr_t)err;
}

static void kick_until_eintr(struct machine *m, int flags)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = flags };
	pthread_t t;

	sigaction(SIGUSR1, &act, NULL);
	handled = 0;
	pthread_create(&t, NULL, run_until_error, m);
	assert_int_equal(kick_and_join(t), EINTR);
	assert_true(handled);
	assert_int_equal(m->run->exit_reason, KVM_EXIT_INTR);
}

static void a_handler_ends_kvm_run(void **state)
{
	struct machine m;

	machine_create(&m, code_loop, sizeof(code_loop));
	kick_until_eintr(&m, 0);
	kick_until_eintr(&m, SA_RESTART);	/* KVM_RUN is not restarted */
	machine_destroy(&m);
}

/* Rust clients drop their objects in any order. */
static void vm_descriptor_closed_while_running(void **state)
{
	struct machine m;
	pthread_t t;

	machine_create(&m, code_loop, sizeof(code_loop));
	pthread_create(&t, NULL, run_until_error, &m);
	usleep(20000);
	close(m.vm);
	close(m.kvm);
	m.run->immediate_exit = 1;
	assert_int_equal(kick_and_join(t), EINTR);
	m.kvm = m.vm = open("/dev/kvm", O_RDWR);
	machine_destroy(&m);
}

static void immediate_exit_keeps_the_guest_still(void **state)
{
	struct machine m;
	struct kvm_regs regs;

	machine_create(&m, code_hlt, sizeof(code_hlt));
	m.run->immediate_exit = 1;
	assert_int_equal(ioctl(m.vcpu, KVM_RUN, 0UL), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(ioctl(m.vcpu, KVM_GET_REGS, &regs), 0);
	assert_int_equal(regs.rip, GUEST_START);
	m.run->immediate_exit = 0;
	assert_int_equal(ioctl(m.vcpu, KVM_RUN, 0UL), 0);
	assert_int_equal(m.run->exit_reason, KVM_EXIT_HLT);
	machine_destroy(&m);
}

/* The way of kicking before immediate_exit: the signal is open in KVM_RUN only, and stays pending. */
static void signal_open_in_kvm_run_only(void **state)
{
	struct {
		uint32_t len;
		uint8_t sigset[8];
	} __attribute__((packed)) mask = { .len = 8 };
	struct sigaction act = { .sa_handler = on_signal };
	struct timespec zero = { 0 };
	struct machine m;
	siginfo_t info;
	sigset_t set;

	machine_create(&m, code_loop, sizeof(code_loop));
	sigaction(SIGUSR1, &act, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	assert_int_equal(ioctl(m.vcpu, KVM_SET_SIGNAL_MASK, &mask), 0);
	handled = 0;
	pthread_kill(pthread_self(), SIGUSR1);
	assert_int_equal(ioctl(m.vcpu, KVM_RUN, 0UL), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(handled, 0);
	assert_int_equal(sigtimedwait(&set, &info, &zero), SIGUSR1);
	assert_int_equal(sigtimedwait(&set, &info, &zero), -1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	machine_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_opens_it),
		cmocka_unit_test(it_looks_like_a_device),
		cmocka_unit_test(through_links),
		cmocka_unit_test(flags_mean_what_they_mean_on_a_device),
		cmocka_unit_test(by_number),
		cmocka_unit_test(open_files_look_like_kvm_s),
		cmocka_unit_test(duplicates_are_the_same_object),
		cmocka_unit_test(other_files_are_not_kvm),
		cmocka_unit_test(forked_child_gets_eio),
		cmocka_unit_test(handlers_are_shown_as_installed),
		cmocka_unit_test(a_handler_ends_kvm_run),
		cmocka_unit_test(vm_descriptor_closed_while_running),
		cmocka_unit_test(immediate_exit_keeps_the_guest_still),
		cmocka_unit_test(signal_open_in_kvm_run_only),
	};
	int fd = open("/dev/kvm", O_RDWR);

	if (fd == -1) {
		printf("no /dev/kvm: %s\n", strerror(errno));
		return 77;
	}
	close(fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
