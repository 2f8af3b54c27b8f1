// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory slots: the rules of KVM_SET_USER_MEMORY_REGION, lookup, access to guest memory, changes
 * under running vCPUs.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>
#include <sys/mman.h>
#include "t_core.h"
#include "../../core/ioctl.h"

#define PAGE	0x1000UL
#define MEM	((void *)0x10000000)	/* a host address that no slot of the rules test dereferences */

static int vm_fd;

static int setup(void **state)
{
	memset(&t_vendor, 0, sizeof(t_vendor));
	vm_fd = t_vm(false);
	return 0;
}

static int teardown(void **state)
{
	t_fd_close(vm_fd);
	assert_int_equal(t_vendor.vms, 0);
	assert_int_equal(t_vendor.enabled, 0);
	return 0;
}

/*
 * What Linux 6.1 answers to KVM_SET_USER_MEMORY_REGION. Before each row: slot 0 at 1 MiB, 16 pages;
 * 1 at 2 MiB, read-only.
 */
static const struct rule {
	const char *name;
	struct kvm_userspace_memory_region r;
	long want;
} rules[] = {
	{ "size not of whole pages", { .slot = 2, .memory_size = 0x800 }, -EINVAL },
	{ "guest address not of a page", { .slot = 2, .guest_phys_addr = 0x400800, .memory_size = PAGE }, -EINVAL },
	{ "host address not of a page", { .slot = 2, .memory_size = PAGE, .userspace_addr = 0x10000010 }, -EINVAL },
	{ "kernel's half of addresses", { .slot = 2, .memory_size = PAGE, .userspace_addr = 0xffff800000000000 }, -EINVAL },
	{ "host range wraps", { .slot = 2, .memory_size = PAGE, .userspace_addr = 0xfffffffffffff000 }, -EINVAL },
	{ "guest range wraps", { .slot = 2, .guest_phys_addr = 0xfffffffffffff000, .memory_size = 2 * PAGE }, -EINVAL },
	{ "beyond 52 bits", { .slot = 2, .guest_phys_addr = 1UL << 52, .memory_size = PAGE }, -EINVAL },
	{ "over 2^31 pages", { .slot = 2, .guest_phys_addr = 1UL << 44, .memory_size = 1UL << 43 }, -EINVAL },
	{ "slot number", { .slot = HV_MAX_MEMSLOTS, .memory_size = PAGE }, -EINVAL },
	{ "address space 2", { .slot = 0x20000, .memory_size = PAGE }, -EINVAL },
	{ "unknown flag", { .slot = 2, .flags = 4, .memory_size = PAGE }, -EINVAL },
	{ "delete what is not there", { .slot = 2 }, -EINVAL },
	{ "unknown flag on deletion", { .slot = 0, .flags = 0x80000000 }, -EINVAL },
	{ "grow", { .slot = 0, .guest_phys_addr = 0x100000, .memory_size = 32 * PAGE, .userspace_addr = 0x10000000 }, -EINVAL },
	{ "shrink", { .slot = 0, .guest_phys_addr = 0x100000, .memory_size = PAGE, .userspace_addr = 0x10000000 }, -EINVAL },
	{ "other host address", { .slot = 0, .guest_phys_addr = 0x100000, .memory_size = 16 * PAGE, .userspace_addr = 0x20000000 },
	  -EINVAL },
	{ "read-only switched on", { .slot = 0, .flags = KVM_MEM_READONLY, .guest_phys_addr = 0x100000, .memory_size = 16 * PAGE,
	  .userspace_addr = 0x10000000 }, -EINVAL },
	{ "read-only switched off", { .slot = 1, .guest_phys_addr = 0x200000, .memory_size = 16 * PAGE,
	  .userspace_addr = 0x10000000 }, -EINVAL },
	{ "overlap at the front", { .slot = 2, .guest_phys_addr = 0xff000, .memory_size = 2 * PAGE }, -EEXIST },
	{ "overlap at the end", { .slot = 2, .guest_phys_addr = 0x10f000, .memory_size = 2 * PAGE }, -EEXIST },
	{ "overlap inside", { .slot = 2, .guest_phys_addr = 0x104000, .memory_size = PAGE }, -EEXIST },
	{ "overlap around", { .slot = 2, .guest_phys_addr = 0, .memory_size = 0x1000000 }, -EEXIST },
	{ "move onto another", { .slot = 0, .guest_phys_addr = 0x208000, .memory_size = 16 * PAGE, .userspace_addr = 0x10000000 },
	  -EEXIST },
	{ "no change", { .slot = 0, .guest_phys_addr = 0x100000, .memory_size = 16 * PAGE, .userspace_addr = 0x10000000 }, 0 },
};

static void test_rules(void **state)
{
	struct vm *vm = t_vm_obj(vm_fd);
	struct memslots *table;
	unsigned int i;

	assert_int_equal(t_set_slot(vm_fd, 0, 0x100000, 16 * PAGE, MEM, 0), 0);
	assert_int_equal(t_set_slot(vm_fd, 1, 0x200000, 16 * PAGE, MEM, KVM_MEM_READONLY), 0);
	table = vm->memslots[0];
	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		struct kvm_userspace_memory_region r = rules[i].r;
		long ret = t_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &r);

		if (ret != rules[i].want)
			fail_msg("%s: %ld, not %ld", rules[i].name, ret, rules[i].want);
		if (vm->memslots[0] != table)
			fail_msg("%s: refused, but the table is another", rules[i].name);
	}
	assert_int_equal(t_ioctl_n(vm_fd, KVM_SET_USER_MEMORY_REGION, 8), -EFAULT);
	/* edges that are allowed */
	assert_int_equal(t_set_slot(vm_fd, 2, 0x110000, PAGE, MEM, 0), 0);
	assert_int_equal(t_set_slot(vm_fd, 3, 0xff000, PAGE, MEM, 0), 0);
	assert_int_equal(t_set_slot(vm_fd, HV_MAX_MEMSLOTS - 1, (1UL << 52) - PAGE, PAGE, MEM, 0), 0);
	/* flags and addresses of a deletion are ignored, an overlapping own range is a move */
	assert_int_equal(t_set_slot(vm_fd, 2, 0xdead000, 0, NULL, KVM_MEM_READONLY), 0);
	assert_int_equal(t_set_slot(vm_fd, 0, 0x108000, 16 * PAGE, MEM, 0), 0);
	assert_int_equal(t_vendor.changed_first, 0x100);
	assert_int_equal(t_vendor.changed_pages, 16);
	assert_null(memslot_find(vm->memslots[0], 0x107));
	assert_int_equal(memslot_find(vm->memslots[0], 0x108)->id, 0);
}

/* A plain list of slots to compare with. */
#define MODEL_SLOTS	64
static struct { bool live; u64 gfn, npages; } model[MODEL_SLOTS];

static int model_find(u64 gfn)
{
	int i;

	for (i = 0; i < MODEL_SLOTS; i++)
		if (model[i].live && gfn >= model[i].gfn && gfn - model[i].gfn < model[i].npages)
			return i;
	return -1;
}

static bool model_overlap(int id, u64 gfn, u64 npages)
{
	int i;

	for (i = 0; i < MODEL_SLOTS; i++)
		if (i != id && model[i].live && gfn < model[i].gfn + model[i].npages &&
		    model[i].gfn < gfn + npages)
			return true;
	return false;
}

static void compare_with_model(const struct memslots *t)
{
	u64 gfn;
	u32 i;

	for (i = 1; i < t->nr; i++)
		assert_true(t->slot[i - 1].gfn + t->slot[i - 1].npages <= t->slot[i].gfn);
	for (gfn = 0; gfn < 0x420; gfn++) {
		const struct memslot *s = memslot_find(t, gfn);
		int want = model_find(gfn);

		assert_int_equal(s ? (int)s->id : -1, want);
	}
}

static void test_random(void **state)
{
	struct vm *vm = t_vm_obj(vm_fd);
	u64 seed = 88172645463325252ULL;
	int round;

	memset(model, 0, sizeof(model));
	for (round = 0; round < 4000; round++) {
		int id;
		u64 gfn, npages, want;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		id = seed % MODEL_SLOTS;
		gfn = (seed >> 8) % 0x400;
		npages = model[id].live ? model[id].npages : 1 + (seed >> 24) % 24;
		if (model[id].live && (seed >> 40) % 3 == 0)
			npages = 0;
		want = 0;
		if (npages && model_overlap(id, gfn, npages))
			want = -EEXIST;
		assert_int_equal(t_set_slot(vm_fd, id, gfn * PAGE, npages * PAGE, MEM, 0), want);
		if (!want) {
			model[id].live = npages != 0;
			model[id].gfn = gfn;
			model[id].npages = npages;
		}
		if (round % 16 == 0)
			compare_with_model(vm->memslots[0]);
	}
}

static void test_access(void **state)
{
	struct vm *vm = t_vm_obj(vm_fd);
	u8 *a = t_memory(vm_fd, 0, 0x10000, 4, 0);
	u8 *b = t_memory(vm_fd, 1, 0x14000, 4, 0);
	u8 *ro = t_memory(vm_fd, 2, 0x30000, 1, KVM_MEM_READONLY);
	u8 buf[3 * PAGE], back[3 * PAGE];
	unsigned int i;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = i * 7 + 1;
	/* over page borders and from one slot into the next */
	assert_int_equal(gmem_write(vm, 0x13000 - 5, buf, PAGE + 10), 0);
	assert_memory_equal(a + 3 * PAGE - 5, buf, PAGE + 5);
	assert_memory_equal(b, buf + PAGE + 5, 5);
	assert_int_equal(gmem_read(vm, 0x13000 - 5, back, PAGE + 10), 0);
	assert_memory_equal(back, buf, PAGE + 10);
	assert_int_equal(t_vendor.written_gpa, 0x14000);
	assert_int_equal(t_vendor.written_len, 5);
	/* holes, read-only memory, addresses at the end of the world */
	assert_int_equal(gmem_read(vm, 0x17ff8, back, 16), -EFAULT);
	assert_int_equal(gmem_read(vm, 0xf000, back, 1), -EFAULT);
	assert_int_equal(gmem_read(vm, 0xfffffffffffffff8, back, 16), -EFAULT);
	ro[100] = 42;
	assert_int_equal(gmem_read(vm, 0x30064, back, 1), 0);
	assert_int_equal(back[0], 42);
	assert_int_equal(gmem_write(vm, 0x30064, buf, 1), -EFAULT);
	assert_int_equal(ro[100], 42);
	assert_int_equal(gmem_read(vm, 0, back, 0), 0);
	/* host memory that went away: an error, no signal */
	assert_int_equal(munmap(b, 4 * PAGE), 0);
	assert_int_equal(gmem_read(vm, 0x14000, back, 8), -EFAULT);
	assert_int_equal(gmem_write(vm, 0x14000, buf, 8), -EFAULT);
	assert_int_equal(gmem_read(vm, 0x13ff0, back, 16), 0);
}

static void test_hva(void **state)
{
	int fd = t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 0);
	struct vcpu *v = t_vcpu_obj(fd);
	const struct memslot *s;
	u8 *a = t_memory(vm_fd, 0, 0, 2, 0), *b = t_memory(vm_fd, 1, 0x100000, 2, 0);

	assert_int_equal(gmem_hva(v, 0x1234, &s), (u64)a + 0x1234);
	assert_int_equal(s->id, 0);
	assert_int_equal(gmem_hva(v, 0x100fff, NULL), (u64)b + 0xfff);
	assert_int_equal(gmem_hva(v, 0x1fff, &s), (u64)a + 0x1fff);
	assert_int_equal(gmem_hva(v, 0x2000, &s), 0);
	assert_null(s);
	assert_int_equal(gmem_hva(v, ~0UL, &s), 0);
	/* The hit remembered from before must not outlive its slot. */
	assert_int_equal(gmem_hva(v, 0x100000, &s), (u64)b);
	assert_int_equal(t_set_slot(vm_fd, 1, 0, 0, NULL, 0), 0);
	assert_int_equal(gmem_hva(v, 0x100000, &s), 0);
	assert_int_equal(gmem_hva(v, 0, &s), (u64)a);
	t_fd_close(fd);
}

/* ---- changes under running vCPUs ------------------------------------------------------------- */

static bool stop;

static void *run_vcpu(void *fd)
{
	while (!host_load_acquire(&stop))
		t_ioctl_n((int)(long)fd, KVM_RUN, 0);
	return NULL;
}

static void *read_moving(void *vm_)
{
	struct vm *vm = vm_;
	u64 val, n = 0;

	while (!host_load_acquire(&stop)) {
		/* The page says where it is: what is read at an address is that, or nothing is
		 * there. */
		u64 gpa = 0x100000 + (n++ % 2) * 0x100000;

		if (!gmem_read(vm, gpa, &val, sizeof(val)))
			assert_int_equal(val, 0x1122334455667788);
	}
	return NULL;
}

static void test_move_under_load(void **state)
{
	struct vm *vm = t_vm_obj(vm_fd);
	int fd[2] = { t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 0), t_ioctl_n(vm_fd, KVM_CREATE_VCPU, 1) };
	u64 *mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), val;
	pthread_t t[3];
	unsigned int i, flushes;

	*mem = 0x1122334455667788;
	assert_int_equal(t_set_slot(vm_fd, 0, 0x100000, PAGE, mem, 0), 0);
	stop = false;
	flushes = t_vendor.flushes;
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, run_vcpu, (void *)(long)fd[i]), 0);
	assert_int_equal(pthread_create(&t[2], NULL, read_moving, vm), 0);
	for (i = 0; i < 2; i++)
		while (!host_load_acquire(&t_vcpu_obj(fd[i])->in_guest))
			host_yield();
	for (i = 1; i <= 300; i++) {
		u64 now = 0x100000 + (i % 2) * 0x100000, before = 0x300000 - now;

		assert_int_equal(t_set_slot(vm_fd, 0, now, PAGE, mem, 0), 0);
		assert_int_equal(gmem_read(vm, now, &val, sizeof(val)), 0);
		assert_int_equal(gmem_read(vm, before, &val, sizeof(val)), -EFAULT);
	}
	assert_int_equal(t_set_slot(vm_fd, 0, 0, 0, NULL, 0), 0);
	munmap(mem, PAGE);	/* nobody looks at a deleted slot's memory any more */
	host_store_release(&stop, true);
	for (i = 0; i < 2; i++) {
		t_vcpu_obj(fd[i])->run->immediate_exit = 1;
		vcpu_request(t_vcpu_obj(fd[i]), REQ_STOP);
	}
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_true(t_vendor.flushes > flushes);
	assert_true(t_vendor.kicks > 0);
	t_fd_close(fd[0]);
	t_fd_close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_access, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hva, setup, teardown),
		cmocka_unit_test_setup_teardown(test_move_under_load, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
