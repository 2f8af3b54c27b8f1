// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The dirty log: what marks it, what fetching and clearing do, manual mode.
 * Linux's Documentation/virt/kvm/api.rst 4.8, 4.117 */
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "t_core.h"

#define PAGE	0x1000UL
#define PAGES	200UL		/* not a multiple of 64 */
#define WORDS	4

static int vm_fd;
static u8 *mem;
static u64 log_[WORDS];

static int setup(void **state)
{
	memset(&t_vendor, 0, sizeof(t_vendor));
	vm_fd = t_vm(false);
	return 0;
}

static int teardown(void **state)
{
	t_fd_close(vm_fd);
	return 0;
}

static long get_log(u32 slot, void *to)
{
	struct kvm_dirty_log l = { .slot = slot, .dirty_bitmap = to };

	return t_ioctl(vm_fd, KVM_GET_DIRTY_LOG, &l);
}

static long clear_log(u32 slot, u64 first, u32 num, void *from)
{
	struct kvm_clear_dirty_log l = { .slot = slot, .first_page = first, .num_pages = num, .dirty_bitmap = from };

	return t_ioctl(vm_fd, KVM_CLEAR_DIRTY_LOG, &l);
}

static long enable(u32 cap, u64 arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return t_ioctl(vm_fd, KVM_ENABLE_CAP, &c);
}

static void logged_memory(void)
{
	mem = t_memory(vm_fd, 0, 0x100000, PAGES, KVM_MEM_LOG_DIRTY_PAGES);
}

static void touch(u64 page)
{
	u64 val = page;

	assert_int_equal(gmem_write(t_vm_obj(vm_fd), 0x100000 + page * PAGE + 8, &val, sizeof(val)), 0);
}

/* The log says just these pages (a list that ends with -1). */
static void want_log(const long *pages)
{
	u64 want[WORDS] = { 0 };

	memset(log_, 0xaa, sizeof(log_));
	assert_int_equal(get_log(0, log_), 0);
	for (; *pages >= 0; pages++)
		want[*pages / 64] |= 1UL << (*pages % 64);
	assert_memory_equal(log_, want, sizeof(want));
}

#define WANT(...) want_log((const long[]){ __VA_ARGS__, -1 })

static void test_fetch_clears(void **state)
{
	unsigned int flushes;

	logged_memory();
	WANT(-1);
	touch(0);
	touch(63);
	touch(64);
	touch(199);
	touch(64);
	/* a write over a page border marks both */
	assert_int_equal(gmem_write(t_vm_obj(vm_fd), 0x100000 + 101 * PAGE - 4, log_, 8), 0);
	flushes = t_vm_obj(vm_fd)->priv->stat->tlb_shootdowns;
	WANT(0, 63, 64, 100, 101, 199);
	assert_int_equal(t_vm_obj(vm_fd)->priv->stat->tlb_shootdowns, flushes + 1);
	WANT(-1);	/* nothing to flush for */
	assert_int_equal(t_vm_obj(vm_fd)->priv->stat->tlb_shootdowns, flushes + 1);
	touch(5);
	WANT(5);
}

static void test_errors(void **state)
{
	assert_int_equal(get_log(0, log_), -ENOENT);
	logged_memory();
	t_memory(vm_fd, 1, 0x800000, 1, 0);
	touch(3);
	assert_int_equal(get_log(1, log_), -ENOENT);			/* not logged */
	assert_int_equal(get_log(HV_MAX_MEMSLOTS, log_), -EINVAL);
	assert_int_equal(get_log(HV_ADDRESS_SPACES << 16, log_), -EINVAL);
	assert_int_equal(get_log(0, (void *)8), -EFAULT);
	/* the failed call lost nothing */
	WANT(3);
	assert_int_equal(clear_log(1, 0, 64, log_), -ENOENT);
	assert_int_equal(clear_log(0, 1, 64, log_), -EINVAL);		/* first page */
	assert_int_equal(clear_log(0, 0, 63, log_), -EINVAL);		/* number */
	assert_int_equal(clear_log(0, 192, 64, log_), -EINVAL);		/* past the end */
	assert_int_equal(clear_log(0, 256, 0, log_), -EINVAL);
	assert_int_equal(clear_log(0, ~0UL & ~63UL, 64, log_), -EINVAL);
	touch(3);
	assert_int_equal(clear_log(0, 0, 64, (void *)8), -EFAULT);
	WANT(3);
}

static void test_manual_mode(void **state)
{
	u64 some[WORDS] = { 1UL << 3, 0, 0, 0 };

	assert_int_equal(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 4), -EINVAL);
	assert_int_equal(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_INITIALLY_SET),
			 -EINVAL);
	assert_int_equal(
		enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE), 0);
	logged_memory();
	touch(3);
	touch(130);
	touch(199);
	WANT(3, 130, 199);
	WANT(3, 130, 199);		/* fetching does not clear */
	assert_int_equal(clear_log(0, 0, 64, some), 0);
	WANT(130, 199);
	/* the tail may be short, and only what is asked for goes */
	some[0] = 1UL << 7;
	assert_int_equal(clear_log(0, 192, PAGES - 192, some), 0);
	WANT(130);
	some[0] = ~(1UL << 2);
	assert_int_equal(clear_log(0, 128, PAGES - 128, some), 0);
	WANT(130);
	some[0] = 1UL << 2;
	assert_int_equal(clear_log(0, 128, PAGES - 128, some), 0);
	WANT(-1);
}

static void test_initially_set(void **state)
{
	const u64 want[WORDS] = { ~0UL, ~0UL, ~0UL, 0xff };

	assert_int_equal(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
				KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET), 0);
	logged_memory();
	assert_int_equal(get_log(0, log_), 0);
	assert_memory_equal(log_, want, sizeof(want));
}

/* Switching the log on and off keeps the mapping; moving a slot keeps its log. */
static void test_flags_and_move(void **state)
{
	mem = t_memory(vm_fd, 0, 0x100000, PAGES, 0);
	touch(1);
	assert_int_equal(t_set_slot(vm_fd, 0, 0x100000, PAGES * PAGE, mem, KVM_MEM_LOG_DIRTY_PAGES), 0);
	WANT(-1);
	touch(2);
	assert_int_equal(
		t_set_slot(vm_fd, 0, 0x10000000, PAGES * PAGE, mem, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_int_equal(t_set_slot(vm_fd, 0, 0x100000, PAGES * PAGE, mem, KVM_MEM_LOG_DIRTY_PAGES), 0);
	WANT(2);
	assert_int_equal(t_set_slot(vm_fd, 0, 0x100000, PAGES * PAGE, mem, 0), 0);
	assert_int_equal(get_log(0, log_), -ENOENT);
	touch(4);
	assert_int_equal(*(u64 *)(mem + 4 * PAGE + 8), 4);
	assert_int_equal(t_set_slot(vm_fd, 0, 0x100000, PAGES * PAGE, mem, KVM_MEM_LOG_DIRTY_PAGES), 0);
	WANT(-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fetch_clears, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_manual_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(test_initially_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flags_and_move, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
