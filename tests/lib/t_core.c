// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <stdlib.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include "../../host/user/fail.h"
#include "../../host/user/signal.h"
#include "../../host/user/user.h"
#include "t_core.h"

struct t_vendor t_vendor;
unsigned int t_shared;
bool t_same_owner = true;

/*
 * cmocka puts its own SIGSEGV handler in front for each test, and with it would end copies from bad
 * addresses, which our handler turns into -EFAULT. Take the signals back; cmocka still gets what is
 * not ours.
 */
static void take_faults(void)
{
	host_signal_take(SIGSEGV);
	host_signal_take(SIGBUS);
}

/* ---- the vendor ------------------------------------------------------------------------------ */

struct fake_vcpu {
	struct x86_state st;
	u32 kicked;
};

static int fake_cpu_enable(void)
{
	if (!t_vendor.cpu_enable)
		t_vendor.enabled++;
	return t_vendor.cpu_enable;
}

static void fake_cpu_disable(void)
{
	t_vendor.enabled--;
}

static int fake_vm_init(struct vm *vm)
{
	if (t_vendor.vm_init)
		return t_vendor.vm_init;
	vm->vendor_data = host_zalloc(100);
	if (!vm->vendor_data)
		return -ENOMEM;
	t_vendor.vms++;
	return 0;
}

static void fake_vm_destroy(struct vm *vm)
{
	host_free(vm->vendor_data);
	t_vendor.vms--;
}

static int fake_vcpu_create(struct vcpu *vcpu)
{
	struct fake_vcpu *f;

	if (t_vendor.vcpu_create)
		return t_vendor.vcpu_create;
	f = host_zalloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	vcpu->vendor_data = f;
	vcpu->st = &f->st;
	t_vendor.vcpus++;
	return 0;
}

static void fake_vcpu_destroy(struct vcpu *vcpu)
{
	host_free(vcpu->vendor_data);
	t_vendor.vcpus--;
}

static void fake_nothing(struct vcpu *vcpu)
{
}

static int fake_enter(struct vcpu *vcpu)
{
	struct fake_vcpu *f = vcpu->vendor_data;

	if (t_vendor.enter)
		return t_vendor.enter(vcpu);
	while (!host_xchg(&f->kicked, 0))
		host_yield();
	vcpu->exit.reason = EXIT_KICKED;
	return 0;
}

static void fake_kick(struct vcpu *vcpu)
{
	struct fake_vcpu *f = vcpu->vendor_data;

	host_store_release(&f->kicked, 1);
	host_fetch_add(&t_vendor.kicks, 1);
}

static void fake_regs_changed(struct vcpu *vcpu, u32 groups)
{
	t_vendor.regs_changed++;
}

static int fake_inject(struct vcpu *vcpu, enum event_kind kind, const struct x86_fault *event)
{
	return EMUL_DONE;
}

static void fake_request_window(struct vcpu *vcpu, bool intr, bool nmi)
{
}

static void fake_tlb_flush(struct vcpu *vcpu, bool all)
{
	host_fetch_add(&t_vendor.flushes, 1);
}

static void fake_tlb_flush_page(struct vcpu *vcpu, gva_t gva)
{
}

static void fake_tlb_flush_pcid(struct vcpu *vcpu, unsigned int type, u64 pcid, gva_t gva)
{
}

static void fake_memslots_changed(struct vm *vm, gfn_t first, u64 pages)
{
	t_vendor.changes++;
	t_vendor.changed_first = first;
	t_vendor.changed_pages = pages;
}

static void fake_gmem_written(struct vm *vm, gpa_t gpa, unsigned int len)
{
	t_vendor.written_gpa = gpa;
	t_vendor.written_len = len;
}

static const struct vendor_ops fake_vendor = {
	.name = "fake",
	.cpu_enable = fake_cpu_enable, .cpu_disable = fake_cpu_disable,
	.vm_init = fake_vm_init, .vm_destroy = fake_vm_destroy,
	.vcpu_create = fake_vcpu_create, .vcpu_destroy = fake_vcpu_destroy,
	.load = fake_nothing, .put = fake_nothing, .enter = fake_enter, .kick = fake_kick,
	.regs_changed = fake_regs_changed, .inject = fake_inject,
	.request_window = fake_request_window,
	.tlb_flush = fake_tlb_flush, .tlb_flush_page = fake_tlb_flush_page,
	.tlb_flush_pcid = fake_tlb_flush_pcid,
	.memslots_changed = fake_memslots_changed, .gmem_written = fake_gmem_written,
};

/* ---- the glue: weak, as a program may have the library's own in it --------------------------- */

#define GLUE __attribute__((weak))

static struct {
	bool used;
	enum glue_kind kind;
	void *obj;
	char name[32];
} fds[T_FDS];

GLUE const struct vendor_ops *glue_vendor(const char **why)
{
	*why = "a test asked for it";
	return &fake_vendor;
}

GLUE int glue_shared_alloc(struct glue_shared *s, unsigned long npages, unsigned long ring,
			   const struct glue_shared *first)
{
	if (host_fail(HOST_FAIL_shared))
		return -ENOMEM;
	s->npages = ring ? KVM_DIRTY_LOG_PAGE_OFFSET + ring : npages;
	s->addr = host_pages_alloc(s->npages);
	if (!s->addr)
		return -ENOMEM;
	s->last = first ? first->last : (u8 *)s->addr + (npages - 1) * HV_PAGE_SIZE;
	t_shared++;
	return 0;
}

GLUE void glue_shared_free(struct glue_shared *s)
{
	host_pages_free(s->addr, s->npages);
	t_shared--;
}

GLUE void *glue_counters_alloc(enum glue_kind kind, const char *id, const struct glue_counter *rows,
			       u32 n, size_t size)
{
	assert_true(size <= 1024);
	return host_zalloc(size);
}

GLUE void glue_counters_free(void *counters)
{
	host_free(counters);
}

GLUE int glue_fd_new(enum glue_kind kind, void *obj, struct glue_shared *shared, const char *name)
{
	int fd;

	if (host_fail(HOST_FAIL_fd))
		return -EMFILE;
	for (fd = 0; fd < T_FDS; fd++) {
		if (fds[fd].used)
			continue;
		fds[fd].used = true;
		fds[fd].kind = kind;
		fds[fd].obj = obj;
		strncpy(fds[fd].name, name, sizeof(fds[fd].name) - 1);
		return fd;
	}
	return -EMFILE;
}

GLUE bool glue_same_owner(u64 token)
{
	return t_same_owner;
}

GLUE u64 glue_owner_token(void)
{
	return 42;
}

void *t_fd_obj(int fd)
{
	assert_true(fd >= 0 && fd < T_FDS && fds[fd].used);
	return fds[fd].obj;
}

enum glue_kind t_fd_kind(int fd)
{
	return fds[fd].kind;
}

const char *t_fd_name(int fd)
{
	return fds[fd].name;
}

void t_fd_close(int fd)
{
	void *obj = t_fd_obj(fd);

	fds[fd].used = false;
	if (fds[fd].kind == GLUE_VM)
		core_vm_put(obj);
	else if (fds[fd].kind == GLUE_VCPU)
		core_vcpu_put(obj);
	else if (fds[fd].kind == GLUE_DEVICE)
		core_device_put(obj);
	else
		core_stats_put(obj);
	memset(fds[fd].name, 0, sizeof(fds[fd].name));
}

unsigned int t_fds_open(void)
{
	unsigned int fd, n = 0;

	for (fd = 0; fd < T_FDS; fd++)
		n += fds[fd].used;
	return n;
}

/* ---- shorthands ------------------------------------------------------------------------------ */

long t_ioctl_n(int fd, u32 nr, u64 arg)
{
	take_faults();
	if (fd < 0)
		return core_system_ioctl(nr, arg);
	switch (fds[fd].kind) {
	case GLUE_VM:
		return core_vm_ioctl(t_fd_obj(fd), nr, arg);
	case GLUE_DEVICE:
		return core_device_ioctl(t_fd_obj(fd), nr, arg);
	default:
		return core_vcpu_ioctl(t_fd_obj(fd), nr, arg);
	}
}

long t_ioctl(int fd, u32 nr, void *arg)
{
	return t_ioctl_n(fd, nr, (u64)arg);
}

int t_vm(bool irqchip)
{
	static bool begun;
	int fd;

	if (!begun) {
		assert_int_equal(host_process_begin(NULL), 0);
		assert_int_equal(host_process_init(), 0);
		begun = true;
	}
	fd = t_ioctl_n(-1, KVM_CREATE_VM, 0);
	assert_true(fd >= 0);
	if (irqchip)
		assert_int_equal(t_ioctl_n(fd, KVM_CREATE_IRQCHIP, 0), 0);
	return fd;
}

struct vm *t_vm_obj(int fd)
{
	assert_int_equal(t_fd_kind(fd), GLUE_VM);
	return t_fd_obj(fd);
}

struct vcpu *t_vcpu_obj(int fd)
{
	assert_int_equal(t_fd_kind(fd), GLUE_VCPU);
	return t_fd_obj(fd);
}

long t_set_slot(int vm_fd, u32 slot, u64 gpa, u64 size, void *host, u32 flags)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (u64)host,
	};

	return t_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &r);
}

void *t_memory(int vm_fd, u32 slot, u64 gpa, u64 pages, u32 flags)
{
	void *p = mmap(NULL, pages * HV_PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(t_set_slot(vm_fd, slot, gpa, pages * HV_PAGE_SIZE, p, flags), 0);
	return p;
}
