/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * device_ctrl.c - KVM_CREATE_DEVICE and the VFIO device: which types there are, how long one lives, its attributes, its
 * descriptor. What needs a VFIO group takes the first that is there and may be opened.
 */
#include "lib/t_kvm.h"

#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char exe[] = "/proc/self/exe";

static long create(const struct t_vm *vm, uint32_t flags, int *fd)
{
	struct kvm_create_device c = { .type = KVM_DEV_TYPE_VFIO, .fd = 0x7777, .flags = flags };
	long ret = T(vm->fd, KVM_CREATE_DEVICE, &c);

	assert_int_equal(c.type, KVM_DEV_TYPE_VFIO);
	assert_int_equal(c.flags, flags);
	if (ret || (flags & KVM_CREATE_DEVICE_TEST))
		assert_int_equal(c.fd, 0x7777);
	else
		*fd = (int)c.fd;
	return ret;
}

static int device(const struct t_vm *vm)
{
	int fd = -1;

	t_ok(create(vm, 0, &fd));
	assert_true(fd >= 0);
	return fd;
}

static long attr(int fd, unsigned long nr, uint32_t group, uint64_t number, const void *addr)
{
	struct kvm_device_attr a = { .flags = 0x80000001, .group = group, .attr = number, .addr = (uintptr_t)addr };

	return T(fd, nr, &a);
}

static long add(int fd, int32_t file)
{
	return attr(fd, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, &file);
}

static long del(int fd, int32_t file)
{
	return attr(fd, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_DEL, &file);
}

static void is_device(int fd)
{
	t_ok(attr(fd, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, NULL));
}

static void types(void **state)
{
	static const uint32_t nobodys[] = { 0, KVM_DEV_TYPE_FSL_MPIC_20, KVM_DEV_TYPE_VFIO - 1, KVM_DEV_TYPE_VFIO + 1, 1000, ~0u };
	struct t_vm vm;
	unsigned int i, flags;

	t_vm_create(&vm, 0);
	for (i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++)
		for (flags = 0; flags < 3; flags++) {
			struct kvm_create_device c = { .type = nobodys[i], .flags = flags };

			t_fails(ENODEV, T(vm.fd, KVM_CREATE_DEVICE, &c));
		}
	t_fails(EFAULT, T(vm.fd, KVM_CREATE_DEVICE, T_BAD_PTR));
	t_vm_destroy(&vm);
}

static void flags(void **state)
{
	struct t_vm vm;
	int fd = -1;

	t_vm_create(&vm, 0);
	t_ok(create(&vm, KVM_CREATE_DEVICE_TEST, NULL));
	t_ok(create(&vm, ~0u, NULL));
	t_ok(create(&vm, ~(uint32_t)KVM_CREATE_DEVICE_TEST, &fd));	/* they mean nothing */
	t_fails(EBUSY, create(&vm, 0, NULL));
	t_ok(create(&vm, KVM_CREATE_DEVICE_TEST, NULL));
	close(fd);
	t_vm_destroy(&vm);
}

/* The type is there, another one is not made while it is; another VM has its own. It ends with its last descriptor. */
static void one_of_a_vm(void **state)
{
	struct t_vm vm, other;
	int fd, copy;

	t_vm_create(&vm, 0);
	t_vm_create(&other, 0);
	fd = device(&vm);
	close(device(&other));
	t_fails(EBUSY, create(&vm, 0, NULL));
	copy = dup(fd);
	close(fd);
	t_fails(EBUSY, create(&vm, 0, NULL));
	is_device(copy);
	close(copy);
	t_fails(EBADF, attr(copy, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, NULL));
	fd = device(&vm);
	/* a number that becomes another file's is closed */
	assert_int_equal(dup2(vm.kvm, fd), fd);
	copy = device(&vm);
	is_device(copy);
	close(copy);
	close(fd);
	t_vm_destroy(&other);
	t_vm_destroy(&vm);
}

static void the_descriptor(void **state)
{
	struct t_vm vm;
	struct pollfd p = { .events = POLLIN | POLLOUT };
	char path[32], link[80] = "";
	struct stat st;

	t_vm_create(&vm, 0);
	p.fd = device(&vm);
	assert_int_equal(fcntl(p.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(p.fd, F_GETFL) & O_ACCMODE, O_RDWR);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p.fd);
	assert_true(readlink(path, link, sizeof(link) - 1) > 0);
	assert_non_null(strstr(link, "kvm-vfio"));
	assert_int_equal(fstat(p.fd, &st), 0);
	assert_int_equal(st.st_mode & S_IFMT, 0);
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(p.revents, POLLIN | POLLOUT);
	assert_ptr_equal(mmap(NULL, T_PAGE, PROT_READ, MAP_SHARED, p.fd, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	assert_ptr_equal(mmap(NULL, T_PAGE, PROT_READ, MAP_SHARED, vm.fd, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	close(p.fd);
	t_vm_destroy(&vm);
}

static void foreign_numbers(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	int fd;

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	fd = device(&vm);
	t_fails(ENOTTY, T(fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY));
	t_fails(ENOTTY, T(fd, KVM_CREATE_DEVICE, T_BAD_PTR));
	t_fails(ENOTTY, T(fd, KVM_GET_REGS, T_BAD_PTR));
	t_fails(ENOTTY, T(fd, KVM_RUN, 0));
	t_fails(ENOTTY, T(fd, _IOW(KVMIO, 0xe1, int), T_BAD_PTR));
	t_fails(ENOTTY, T(fd, _IO(KVMIO, 0xff), 0));
	/* a VM has no attributes on x86 */
	t_fails(ENOTTY, attr(vm.fd, KVM_HAS_DEVICE_ATTR, 0, 0, NULL));
	t_fails(ENOTTY, attr(vm.fd, KVM_GET_DEVICE_ATTR, 0, 0, NULL));
	t_fails(ENOTTY, attr(vm.fd, KVM_SET_DEVICE_ATTR, 0, 0, NULL));
	close(fd);
	T_END(&vm, &cpu);
}

static void attributes(void **state)
{
	static const struct { uint32_t group; uint64_t attr; } nobodys[] = {
		{ 0, 0 }, { 0, 1 }, { 2, 1 }, { ~0u, 2 }, { 1, 0 }, { 1, 3 }, { 1, 1UL << 32 | 1 }, { 1, ~0UL },
	};
	struct t_vm vm;
	unsigned int i;
	int fd, none = -1;

	t_vm_create(&vm, 0);
	fd = device(&vm);
	t_ok(attr(fd, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, NULL));
	t_ok(attr(fd, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_DEL, (void *)T_BAD_PTR));
	t_fails(EPERM, attr(fd, KVM_GET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, &none));
	for (i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++) {
		t_fails(ENXIO, attr(fd, KVM_HAS_DEVICE_ATTR, nobodys[i].group, nobodys[i].attr, &none));
		t_fails(ENXIO, attr(fd, KVM_SET_DEVICE_ATTR, nobodys[i].group, nobodys[i].attr, (void *)T_BAD_PTR));
		t_fails(EPERM, attr(fd, KVM_GET_DEVICE_ATTR, nobodys[i].group, nobodys[i].attr, &none));
	}
	t_fails(EFAULT, T(fd, KVM_HAS_DEVICE_ATTR, T_BAD_PTR));
	t_fails(EFAULT, T(fd, KVM_SET_DEVICE_ATTR, T_BAD_PTR));
	t_fails(EPERM, T(fd, KVM_GET_DEVICE_ATTR, T_BAD_PTR));
	close(fd);
	t_vm_destroy(&vm);
}

static void files_that_are_no_groups(void **state)
{
	int files[5] = { open("/dev/null", O_RDWR), open("/", O_RDONLY), memfd_create("/dev/vfio/1", 0), -1, -1 };
	int path = open("/dev/null", O_PATH), fd;
	struct t_vm vm;
	unsigned int i;

	t_vm_create(&vm, 0);
	fd = device(&vm);
	files[3] = vm.fd;
	files[4] = fd;
	for (i = 0; i < 5; i++) {
		t_fails(EINVAL, add(fd, files[i]));
		t_fails(ENOENT, del(fd, files[i]));
	}
	t_fails(EFAULT, attr(fd, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, (void *)T_BAD_PTR));
	t_fails(EFAULT, attr(fd, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_DEL, (void *)T_BAD_PTR));
	t_fails(EBADF, add(fd, -1));
	t_fails(EBADF, del(fd, -1));
	t_fails(EBADF, add(fd, 100000));
	t_fails(EBADF, add(fd, path));
	t_fails(EBADF, del(fd, path));
	for (i = 0; i < 3; i++)
		close(files[i]);
	close(path);
	close(fd);
	t_vm_destroy(&vm);
}

/* The path of the first VFIO group, and it open; -1: none. */
static int open_group(char path[64])
{
	DIR *dir = opendir("/dev/vfio");
	struct dirent *e;
	int fd = -1;

	while (dir && fd < 0 && (e = readdir(dir)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9') {
			snprintf(path, 64, "/dev/vfio/%.40s", e->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
	if (dir)
		closedir(dir);
	return fd;
}

static void groups(void **state)
{
	char path[64];
	int group = open_group(path), copy, fd, again;
	struct t_vm vm;

	if (group < 0) {
		print_message("no VFIO group to open in /dev/vfio\n");
		skip();
	}
	t_vm_create(&vm, 0);
	fd = device(&vm);
	t_fails(ENOENT, del(fd, group));
	t_ok(add(fd, group));
	t_fails(EEXIST, add(fd, group));
	copy = dup(group);
	t_fails(EEXIST, add(fd, copy));
	t_ok(del(fd, copy));
	t_fails(ENOENT, del(fd, group));
	t_ok(add(fd, copy));
	/* a group is open once at a time, and the device has it open */
	close(group);
	close(copy);
	assert_int_equal(open(path, O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	/* until it ends; the next one knows nothing of it */
	close(fd);
	group = open(path, O_RDWR | O_CLOEXEC);
	assert_true(group >= 0);
	again = device(&vm);
	t_fails(ENOENT, del(again, group));
	t_ok(add(again, group));
	close(group);
	t_vm_destroy(&vm);
	assert_int_equal(open(path, O_RDWR), -1);
	close(again);
	group = open(path, O_RDWR);
	assert_true(group >= 0);
	close(group);
}

GUEST16(code_hlt, "1: hlt; jmp 1b");

/* Neither the VM's descriptor nor a vCPU's is needed, and it keeps the VM for a vCPU. */
static void outlives_the_others(void **state)
{
	struct t_vm vm;
	struct t_cpu cpu;
	int fd;

	T_START(&vm, &cpu, 0, code_hlt);
	fd = device(&vm);
	close(vm.fd);
	is_device(fd);
	t_fails(EBADF, add(fd, vm.fd));
	t_run_to(&cpu, KVM_EXIT_HLT);
	close(cpu.fd);
	is_device(fd);
	t_fails(ENOENT, del(fd, vm.kvm));
	close(fd);
	munmap(cpu.run, cpu.run_size);
	close(vm.kvm);
	munmap(vm.mem, T_MEM);
}

static long all_eio(int fd)
{
	return attr(fd, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, KVM_DEV_VFIO_GROUP_ADD, NULL) == -EIO &&
	       T(fd, KVM_SET_DEVICE_ATTR, T_BAD_PTR) == -EIO && T(fd, KVM_GET_DEVICE_ATTR, T_BAD_PTR) == -EIO &&
	       T(fd, KVM_RUN, 0) == -EIO;
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* By fork, a copy of it, and by exec: what a child closes stays open here. */
static void other_processes(void **state)
{
	char number[16];
	char *argv[] = { exe, "--inherited", number, NULL };
	struct t_vm vm;
	pid_t pid;
	int fd;

	t_vm_create(&vm, 0);
	fd = device(&vm);
	pid = fork();
	if (!pid) {
		int copy = dup(fd);

		if (!all_eio(fd) || !all_eio(copy))
			_exit(1);
		close(fd);
		close(copy);
		_exit(T(copy, KVM_RUN, 0) == -EBADF ? 0 : 2);
	}
	assert_int_equal(status_of(pid), 0);
	is_device(fd);
	snprintf(number, sizeof(number), "%d", fcntl(fd, F_DUPFD, 0));
	pid = fork();
	if (!pid) {
		execv(exe, argv);
		_exit(3);
	}
	assert_int_equal(status_of(pid), 0);
	t_fails(EBUSY, create(&vm, 0, NULL));
	close(atoi(number));
	is_device(fd);
	close(fd);
	close(device(&vm));
	t_vm_destroy(&vm);
}

static void no_descriptor_left(void **state)
{
	struct rlimit old, none;
	struct t_vm vm;
	int fd;

	t_vm_create(&vm, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 0, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	t_fails(EMFILE, create(&vm, 0, NULL));
	t_fails(EMFILE, create(&vm, 0, NULL));
	t_ok(create(&vm, KVM_CREATE_DEVICE_TEST, NULL));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	fd = device(&vm);
	is_device(fd);
	close(fd);
	t_vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T_CASE(types), T_CASE(flags), T_CASE(one_of_a_vm), T_CASE(the_descriptor), T_CASE(foreign_numbers),
		T_CASE(attributes), T_CASE(files_that_are_no_groups), T_CASE(groups), T_CASE(outlives_the_others),
		T_CASE(other_processes), T_CASE(no_descriptor_left),
	};
	struct kvm_create_device c = { .type = KVM_DEV_TYPE_VFIO, .flags = KVM_CREATE_DEVICE_TEST };
	int vm;

	if (argc == 3 && !strcmp(argv[1], "--inherited"))
		return all_eio(atoi(argv[2])) ? 0 : 4;
	if (!t_have_kvm())
		return 77;
	vm = (int)T(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
	if (T(vm, KVM_CREATE_DEVICE, &c) == -ENODEV) {
		printf("no VFIO device: this kernel's KVM was built without it\n");
		return 77;
	}
	close(vm);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
