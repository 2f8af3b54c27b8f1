/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Descriptors and lifetimes of lib, over a core that only counts: dup, reuse, closing in any order
 * and behind our back, fork, scripted failures.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "anykvm/anykvm_fd.h"
#include "core/entry.h"
#include "host/user/fail.h"
#include "lib/fd.h"

/*
 * Part of this program, not of the library beside it: tests/lib has another glue, for tests of core
 * without lib.
 */
#include "lib/fd.c"
#include "lib/api.c"

/* ---- a core of nothing but reference counts ---- */

static u32 live_vms, live_vcpus, live_stats;
static u32 run_calls, stop_requests;

struct fake_vcpu {
	struct vcpu vcpu;
	struct glue_shared shared;
};

void core_vm_put(struct vm *vm)
{
	u32 i;

	if (host_fetch_add(&vm->nr_vcpus, (u32)-1) != 1)
		return;
	for (i = 0; i < HV_MAX_VCPUS; i++)
		if (vm->vcpus[i]) {
			struct fake_vcpu *v = container_of(vm->vcpus[i], struct fake_vcpu, vcpu);

			glue_shared_free(&v->shared);
			host_free(v);
		}
	host_free(vm);
	host_fetch_add(&live_vms, (u32)-1);
}

void core_vm_get(struct vm *vm)
{
	host_fetch_add(&vm->nr_vcpus, 1);
}

void core_vcpu_put(struct vcpu *vcpu)
{
	host_fetch_add(&live_vcpus, (u32)-1);
	core_vm_put(vcpu->vm);
}

long core_system_ioctl(u32 nr, u64 arg)
{
	struct vm *vm;
	int fd;

	if (nr == KVM_GET_API_VERSION)
		return 12;
	if (nr != KVM_CREATE_VM)
		return -ENOTTY;
	vm = host_zalloc(sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->nr_vcpus = 1;	/* here: references */
	host_fetch_add(&live_vms, 1);
	fd = glue_fd_new(GLUE_VM, vm, NULL, "kvm-vm");
	if (fd < 0)
		core_vm_put(vm);
	return fd;
}

static long create_vcpu(struct vm *vm, u64 id)
{
	struct fake_vcpu *v = host_zalloc(sizeof(*v));
	int ret = -ENOMEM;

	if (!v)
		return ret;
	v->vcpu.vm = vm;
	ret = glue_shared_alloc(&v->shared, 3, 0, NULL);
	if (ret)
		goto err;
	v->vcpu.run = v->shared.addr;
	core_vm_get(vm);
	host_fetch_add(&live_vcpus, 1);
	ret = glue_fd_new(GLUE_VCPU, &v->vcpu, &v->shared, "kvm-vcpu:0");
	if (ret < 0) {
		core_vcpu_put(&v->vcpu);
		glue_shared_free(&v->shared);
		goto err;
	}
	vm->vcpus[id] = &v->vcpu;
	return ret;
err:
	host_free(v);
	return ret;
}

long core_vm_ioctl(struct vm *vm, u32 nr, u64 arg)
{
	int fd;

	if (nr == KVM_CREATE_VCPU)
		return create_vcpu(vm, arg);
	if (nr != KVM_GET_STATS_FD)
		return -ENOTTY;
	core_vm_get(vm);
	host_fetch_add(&live_stats, 1);
	fd = glue_fd_new(GLUE_VM_STATS, vm, NULL, "kvm-vm-stats");
	if (fd < 0) {
		host_fetch_add(&live_stats, (u32)-1);
		core_vm_put(vm);
	}
	return fd;
}

long core_device_ioctl(struct vm_device *d, u32 nr, u64 arg)
{
	return -ENOTTY;
}

void core_device_put(struct vm_device *d)
{
}

static u32 wait_for_stop;

long core_vcpu_ioctl(struct vcpu *vcpu, u32 nr, u64 arg)
{
	if (nr != KVM_RUN)
		return -ENOTTY;
	host_fetch_add(&run_calls, 1);
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	if (!host_load_relaxed(&wait_for_stop))
		return 0;
	host_store_release(&wait_for_stop, 2);
	while (!vcpu_has_request(vcpu, REQ_STOP))
		host_cpu_relax();
	host_store_relaxed(&vcpu->requests, 0);
	return -EINTR;
}

void vcpu_request(struct vcpu *v, enum vcpu_req r)
{
	host_fetch_add(&stop_requests, 1);
	host_fetch_or(&v->requests, BIT(r));
}

long core_stats_read(void *obj, void *buf, size_t n, u64 pos)
{
	if (pos >= 4)
		return 0;
	host_memcpy(buf, &live_vcpus, 4);
	return 4;
}

void core_stats_put(void *obj)
{
	host_fetch_add(&live_stats, (u32)-1);
	core_vm_put(obj);
}

const struct vendor_ops vendor_soft = { .name = "soft" };

/* ---- helpers ---- */

static int new_vm(int kvm)
{
	int vm = anykvm_ioctl(kvm, KVM_CREATE_VM, 0);

	assert_true(vm >= 0);
	return vm;
}

static int new_vcpu(int vm, unsigned long id)
{
	int vcpu = anykvm_ioctl(vm, KVM_CREATE_VCPU, id);

	assert_true(vcpu >= 0);
	return vcpu;
}

static int raw_close(int fd)
{
	return (int)syscall(SYS_close, fd);
}

static void expect_live(u32 vms, u32 vcpus)
{
	assert_int_equal(host_load_relaxed(&live_vms), vms);
	assert_int_equal(host_load_relaxed(&live_vcpus), vcpus);
}

/* ---- tests ---- */

static void life_of_a_vm(void **state)
{
	int kvm = anykvm_open(), vm, vcpu;
	struct kvm_run *run;

	assert_true(kvm >= 0);
	assert_int_equal(anykvm_ioctl(kvm, KVM_GET_API_VERSION, 0), 12);
	/* sign-extended, as some clients pass numbers with the top bit set */
	assert_int_equal(anykvm_ioctl(kvm, 0xffffffff00000000UL | KVM_GET_API_VERSION, 0), 12);
	assert_int_equal(anykvm_ioctl(kvm, KVM_RUN, 0), -ENOTTY);
	vm = new_vm(kvm);
	vcpu = new_vcpu(vm, 0);
	assert_int_equal(fcntl(kvm, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(vm, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(vcpu, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	/* plain mmap, and twice: one page */
	run = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	assert_ptr_not_equal(run, MAP_FAILED);
	assert_int_equal(anykvm_ioctl(vcpu, KVM_RUN, 0), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(((struct kvm_run *)anykvm_mmap(vcpu, 4096, 0))->exit_reason, KVM_EXIT_HLT);
	/* the client cannot take the pages away */
	assert_int_equal(ftruncate(vcpu, 0), -1);
	assert_int_equal(ftruncate(vcpu, 1 << 20), -1);
	assert_int_equal(anykvm_close(vm), 0);
	expect_live(1, 1);
	assert_int_equal(anykvm_ioctl(vcpu, KVM_RUN, 0), 0);
	assert_int_equal(anykvm_close(kvm), 0);
	assert_int_equal(anykvm_close(vcpu), 0);
	expect_live(0, 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_HLT);	/* the mapping is the client's */
	munmap(run, 3 * 4096);
}

static void not_ours(void **state)
{
	int fd = open("/dev/null", O_RDWR);

	assert_int_equal(anykvm_ioctl(fd, KVM_RUN, 0), -EBADF);
	assert_int_equal(anykvm_ioctl(-1, KVM_RUN, 0), -EBADF);
	assert_int_equal(anykvm_ioctl(1 << 30, KVM_RUN, 0), -EBADF);
	assert_int_equal(anykvm_close(fd), -EBADF);
	assert_false(anykvm_is_ours(fd));
	assert_ptr_equal(anykvm_mmap(fd, 4096, 0), MAP_FAILED);
	close(fd);
}

/* dup() that nobody told us of: found by its inode. */
static void unseen_duplicates(void **state)
{
	int kvm = anykvm_open(), vm = new_vm(kvm), other = (int)syscall(SYS_dup, vm), vcpu;

	assert_true(anykvm_is_ours(other));
	vcpu = new_vcpu(other, 0);
	assert_int_equal(anykvm_close(vm), 0);
	expect_live(1, 1);
	assert_int_equal(anykvm_close(vcpu), 0);
	expect_live(1, 0);
	assert_int_equal(anykvm_close(other), 0);
	expect_live(0, 0);
	/* one that was never used before the last known one goes */
	vm = new_vm(kvm);
	other = (int)syscall(SYS_dup, vm);
	assert_int_equal(anykvm_close(vm), 0);
	expect_live(1, 0);
	vcpu = new_vcpu(other, 0);
	anykvm_close(vcpu);
	anykvm_close(other);
	expect_live(0, 0);
	anykvm_close(kvm);
}

/* Passed through a socket, as between processes. */
static void passed_descriptors(void **state)
{
	char control[CMSG_SPACE(sizeof(int))] __aligned(8) = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int kvm = anykvm_open(), vm = new_vm(kvm), pair[2], got;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &vm, sizeof(int));
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	assert_int_equal(recvmsg(pair[1], &msg, 0), 1);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	assert_int_not_equal(got, vm);
	assert_int_equal(anykvm_close(new_vcpu(got, 0)), 0);
	anykvm_close(vm);
	expect_live(1, 0);
	anykvm_close(got);
	expect_live(0, 0);
	anykvm_close(kvm);
	close(pair[0]);
	close(pair[1]);
}

static void closed_behind_our_back(void **state)
{
	int kvm = anykvm_open(), vm = new_vm(kvm), vcpu = new_vcpu(vm, 0), null, vm2;

	raw_close(vcpu);
	raw_close(vm);
	expect_live(1, 1);
	/* the number comes back as another file */
	null = open("/dev/null", O_RDWR);
	assert_true(null == vcpu || null == vm);
	assert_int_equal(anykvm_ioctl(null, KVM_CREATE_VCPU, 0), -EBADF);
	/* the next call that creates something gives all back */
	vm2 = new_vm(kvm);
	expect_live(1, 0);
	close(null);
	anykvm_close(vm2);
	expect_live(0, 0);
	/* ... or as one of ours */
	vm = new_vm(kvm);
	raw_close(vm);
	vm2 = new_vm(kvm);
	assert_int_equal(vm2, vm);
	anykvm_close(new_vcpu(vm2, 0));
	anykvm_close(vm2);
	expect_live(0, 0);
	anykvm_close(kvm);
}

static void statistics(void **state)
{
	int kvm = anykvm_open(), vm = new_vm(kvm), vcpu = new_vcpu(vm, 0);
	int stats = anykvm_ioctl(vm, KVM_GET_STATS_FD, 0);
	u32 value = 0;

	assert_true(stats >= 0);
	anykvm_close(vm);
	assert_int_equal(pread(stats, &value, 4, 0), 4);
	assert_int_equal(value, 1);
	anykvm_close(vcpu);
	expect_live(1, 0);	/* statistics pin the VM */
	fd_stats_refresh(stats);
	assert_int_equal(pread(stats, &value, 4, 0), 4);
	assert_int_equal(value, 0);
	assert_int_equal(anykvm_ioctl(stats, KVM_RUN, 0), -ENOTTY);
	anykvm_close(stats);
	expect_live(0, 0);
	assert_int_equal(live_stats, 0);
	anykvm_close(kvm);
}

static int in_child(int (*fn)(int, int), int vm, int vcpu)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		alarm(10);	/* a hang is a failure */
		_exit(fn(vm, vcpu));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int child_gets_eio(int vm, int vcpu)
{
	if (anykvm_ioctl(vcpu, KVM_RUN, 0) != -EIO)
		return 1;
	if (anykvm_ioctl(vm, KVM_CREATE_VCPU, 1) != -EIO)
		return 2;
	if (anykvm_close(vcpu) || anykvm_close(vm))
		return 3;
	return 0;
}

static int child_makes_its_own(int vm, int vcpu)
{
	int kvm = anykvm_open(), vm2, vcpu2;

	vm2 = anykvm_ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm2 < 0)
		return 1;
	vcpu2 = anykvm_ioctl(vm2, KVM_CREATE_VCPU, 0);
	if (vcpu2 < 0 || anykvm_ioctl(vcpu2, KVM_RUN, 0))
		return 2;
	if (anykvm_ioctl(vcpu, KVM_RUN, 0) != -EIO || anykvm_ioctl(vm, KVM_CREATE_VCPU, 1) != -EIO)
		return 3;
	return 0;
}

static void forked_children(void **state)
{
	int kvm = anykvm_open(), vm = new_vm(kvm), vcpu = new_vcpu(vm, 0);

	assert_int_equal(in_child(child_gets_eio, vm, vcpu), 0);
	assert_int_equal(in_child(child_makes_its_own, vm, vcpu), 0);
	/* the parent's are untouched */
	assert_int_equal(anykvm_ioctl(vcpu, KVM_RUN, 0), 0);
	expect_live(1, 1);
	anykvm_close(vcpu);
	anykvm_close(vm);
	anykvm_close(kvm);
	expect_live(0, 0);
}

/*
 * A vfork() child shares our memory but not our descriptors: what it closes is not closed for us.
 */
static void vfork_child_closes(void **state)
{
	int kvm = anykvm_open(), vm = new_vm(kvm), status;
	pid_t pid = vfork();

	if (!pid) {
		fd_forget(vm);
		raw_close(vm);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	expect_live(1, 0);
	anykvm_close(new_vcpu(vm, 0));
	anykvm_close(vm);
	anykvm_close(kvm);
	expect_live(0, 0);
}

/* ---- threads ---- */

static void *run_until_closed(void *arg)
{
	int vcpu = (int)(uintptr_t)arg, ret;

	do
		ret = anykvm_ioctl(vcpu, KVM_RUN, 0);
	while (!ret);
	return (void *)(uintptr_t)-ret;
}

static void closed_while_running(void **state)
{
	int kvm = anykvm_open();

	for (int i = 0; i < 50; i++) {
		int vm = new_vm(kvm), vcpu = new_vcpu(vm, 0);
		pthread_t t;
		void *ret;

		pthread_create(&t, NULL, run_until_closed, (void *)(uintptr_t)vcpu);
		usleep(i * 20);
		anykvm_close(vm);
		anykvm_close(vcpu);
		pthread_join(t, &ret);
		assert_int_equal((uintptr_t)ret, EBADF);
		expect_live(0, 0);
	}
	anykvm_close(kvm);
}

static void on_usr1(int sig)
{
}

static void *run_once(void *arg)
{
	return (void *)(uintptr_t)-anykvm_ioctl((int)(uintptr_t)arg, KVM_RUN, 0);
}

/* The handler is a plain sigaction() of a program linked with the library. */
static void signal_ends_run(void **state)
{
	struct sigaction act = { .sa_handler = on_usr1, .sa_flags = SA_RESTART };
	int kvm = anykvm_open(), vm = new_vm(kvm), vcpu;
	pthread_t t;
	void *ret;

	sigaction(SIGUSR1, &act, NULL);
	vcpu = new_vcpu(vm, 0);
	host_store_relaxed(&wait_for_stop, 1);
	pthread_create(&t, NULL, run_once, (void *)(uintptr_t)vcpu);
	while (host_load_acquire(&wait_for_stop) != 2)
		usleep(100);
	pthread_kill(t, SIGUSR1);
	pthread_join(t, &ret);
	assert_int_equal((uintptr_t)ret, EINTR);
	host_store_relaxed(&wait_for_stop, 0);
	anykvm_close(vcpu);
	anykvm_close(vm);
	anykvm_close(kvm);
	expect_live(0, 0);
}

/* Every position at which something can fail: an error comes out, nothing stays behind. */
static void scripted_failures(void **state)
{
	static const char *const kinds[] = { "alloc", "fd", "shared" };
	int kvm = anykvm_open();

	for (u32 k = 0; k < ARRAY_SIZE(kinds); k++)
		for (int n = 0; n < 6; n++) {
			char script[32] = "";
			int vm, vcpu = -1;

			strcat(strcpy(script, kinds[k]), ":");
			for (int i = 0; i < n; i++)
				strcat(script, "s");
			strcat(script, "f");
			assert_int_equal(host_fail_script(script), 0);
			vm = anykvm_ioctl(kvm, KVM_CREATE_VM, 0);
			if (vm >= 0) {
				vcpu = anykvm_ioctl(vm, KVM_CREATE_VCPU, 0);
				if (vcpu >= 0)
					assert_int_equal(anykvm_close(vcpu), 0);
				assert_int_equal(anykvm_close(vm), 0);
			}
			if (!n)
				assert_true(vm < 0 || vcpu < 0);
			assert_int_equal(host_fail_script(NULL), 0);
			expect_live(0, 0);
		}
	anykvm_close(kvm);
}

static void names_the_vendor(void **state)
{
	const char *why = NULL;

	assert_string_equal(anykvm_vendor(&why), "soft");
	assert_non_null(why);
	assert_string_equal(anykvm_version(), ANYKVM_VERSION);
}

/* A thread that found a number's file gone comes late: another has been given the number, and has entered its own. */
static void number_taken_meanwhile(void **state)
{
	int kvm = anykvm_open(), vm = new_vm(kvm), again;
	struct fd_object *late = fd_get(vm, true), *now;

	assert_non_null(late);
	close(vm);
	again = new_vm(kvm);
	assert_int_equal(again, vm);
	forget_entry(vm, late);
	fd_put(late);
	now = fd_get(again, true);
	assert_non_null(now);
	assert_ptr_not_equal(now, late);
	fd_put(now);
	expect_live(1, 0);
	assert_int_equal(anykvm_close(again), 0);
	expect_live(0, 0);
	assert_int_equal(anykvm_close(kvm), 0);
}

/* ThreadSanitizer's: children of this program make threads. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(life_of_a_vm),
		cmocka_unit_test(not_ours),
		cmocka_unit_test(unseen_duplicates),
		cmocka_unit_test(passed_descriptors),
		cmocka_unit_test(closed_behind_our_back),
		cmocka_unit_test(number_taken_meanwhile),
		cmocka_unit_test(statistics),
		cmocka_unit_test(forked_children),
		cmocka_unit_test(vfork_child_closes),
		cmocka_unit_test(closed_while_running),
		cmocka_unit_test(signal_ends_run),
		cmocka_unit_test(scripted_failures),
		cmocka_unit_test(names_the_vendor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
