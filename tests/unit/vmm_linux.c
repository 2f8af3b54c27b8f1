// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The Linux loader: made-up kernel files, good and bad, against Documentation/arch/x86/boot.rst. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/boot/linux.h"
#include "vmm/machine/e820.h"

#define SETUP_SECTORS	3
#define CODE_OFFSET	((SETUP_SECTORS + 1) * 512)
#define CODE_SIZE	8192
#define MIB		(1ull << 20)

static char dir[] = "/tmp/vmm_linux.XXXXXX";
static char kernel[64], initrd[64];
static uint8_t image[CODE_OFFSET + CODE_SIZE];

static struct setup_header *header(void)
{
	return (void *)(image + offsetof(struct boot_params, hdr));
}

static void write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_true(write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static int setup(void **state)
{
	struct setup_header *h = header();
	unsigned int i;

	memset(image, 0, sizeof(image));
	h->setup_sects = SETUP_SECTORS;
	h->boot_flag = 0xaa55;
	h->header = 0x53726448;
	h->version = 0x020f;
	h->loadflags = LOADED_HIGH;
	h->syssize = CODE_SIZE / 16;
	h->initrd_addr_max = 0x7fffffff;
	h->kernel_alignment = 2 * MIB;
	h->relocatable_kernel = 1;
	h->xloadflags = XLF_KERNEL_64;
	h->cmdline_size = 2047;
	h->pref_address = 16 * MIB;
	h->init_size = 8 * MIB;
	for (i = 0; i < CODE_SIZE; i++)
		image[CODE_OFFSET + i] = i * 7 + (i >> 8);
	write_file(initrd, "070701 initrd", 13);
	return 0;
}

static void expect_refusal(const char *cmdline, const char *part)
{
	struct linux_boot lb;
	struct vmm_err err;

	if (!linux_open(&lb, kernel, initrd, cmdline, &err))
		fail_msg("accepted; expected '%s'", part);
	if (!strstr(err.text, part))
		fail_msg("'%s' does not say '%s'", err.text, part);
	assert_int_equal(lb.kernel_fd, -1);
	assert_int_equal(lb.initrd_fd, -1);
}

static void refuse_image(size_t len, const char *part)
{
	write_file(kernel, image, len);
	expect_refusal("", part);
}

static void bad_kernels(void **state)
{
	static const uint8_t elf[64] = "\177ELF", gzip[64] = "\x1f\x8b";

	unlink(kernel);
	expect_refusal("", "No such file");
	refuse_image(0, "not a Linux bzImage");
	refuse_image(0x1f0, "not a Linux bzImage");
	refuse_image(0x210, "truncated");
	refuse_image(CODE_OFFSET, "truncated");
	refuse_image(sizeof(image) - 16, "truncated");
	write_file(kernel, elf, sizeof(elf));
	expect_refusal("", "ELF");
	write_file(kernel, gzip, sizeof(gzip));
	expect_refusal("", "gzip");
	header()->version = 0x0207;
	refuse_image(sizeof(image), "64-bit");
	setup(NULL);
	header()->xloadflags = 0;
	refuse_image(sizeof(image), "64-bit");
	setup(NULL);
	header()->syssize = 0;
	refuse_image(sizeof(image), "damaged");
	header()->syssize = 0xffffffff;
	refuse_image(sizeof(image), "truncated");
	setup(NULL);
	header()->init_size = CODE_SIZE - 1;
	refuse_image(sizeof(image), "damaged");
	setup(NULL);
	header()->header = 0;
	refuse_image(sizeof(image), "not a Linux bzImage");
}

static void bad_others(void **state)
{
	char *longline = malloc(70000);

	write_file(kernel, image, sizeof(image));
	memset(longline, 'x', 69999);
	longline[69999] = '\0';
	expect_refusal(longline, "-append");
	longline[2048] = '\0';
	expect_refusal(longline, "takes 2047");
	free(longline);
	write_file(initrd, "", 0);
	expect_refusal("", "empty");
	unlink(initrd);
	expect_refusal("", "No such file");
}

/* kernel at 16 MiB needing 8: free from 24 MiB on */
static void placement(void **state)
{
	static const struct {
		uint64_t low_end, initrd_size, initrd_max;
		int ret;
		uint64_t addr;
	} rows[] = {
		{ 512 * MIB, 0, 0x7fffffff, 0, 0 },
		{ 24 * MIB, 0, 0x7fffffff, 0, 0 },
		{ 24 * MIB - 4096, 0, 0x7fffffff, -1, 0 },
		{ 1 * MIB, 0, 0x7fffffff, -1, 0 },
		{ 512 * MIB, 5000, 0x7fffffff, 0, 512 * MIB - 8192 },
		{ 512 * MIB, 4096, 0x7fffffff, 0, 512 * MIB - 4096 },
		/* kept below initrd_addr_max */
		{ 0xb0000000, 4096, 0x7fffffff, 0, 0x80000000 - 4096 },
		/* fills memory to the byte */
		{ 32 * MIB, 8 * MIB, 0x7fffffff, 0, 24 * MIB },
		{ 32 * MIB, 8 * MIB + 1, 0x7fffffff, -1, 0 },
		{ 32 * MIB, 1ull << 40, 0x7fffffff, -1, 0 },
		{ 32 * MIB, ~0ull, 0x7fffffff, -1, 0 },
		{ 512 * MIB, 4096, 8 * MIB, -1, 0 },
	};
	struct linux_boot lb;
	struct vmm_err err;
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&lb, 0, sizeof(lb));
		lb.kernel_path = "K";
		lb.initrd_path = "I";
		lb.hdr = *header();
		lb.hdr.initrd_addr_max = rows[i].initrd_max;
		lb.initrd_size = rows[i].initrd_size;
		if (linux_place(&lb, rows[i].low_end, &err) != rows[i].ret ||
		    (!rows[i].ret && lb.initrd_addr != rows[i].addr))
			fail_msg("row %u: initrd at %#llx", i, (unsigned long long)lb.initrd_addr);
	}
}

static void loading(void **state)
{
	const struct boot_params *zp;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct linux_boot lb;
	struct vmm_err err;
	struct gmem g;
	uint64_t e, gpa;

	write_file(kernel, image, sizeof(image));
	assert_int_equal(linux_open(&lb, kernel, initrd, "root=/dev/x", &err), 0);
	assert_int_equal(gmem_create(&g, 64 * MIB, &err), 0);
	assert_int_equal(linux_place(&lb, g.low_end, &err), 0);
	assert_int_equal(linux_load(&lb, &g, 0xe0000, &err), 0);
	memset(&sregs, 0, sizeof(sregs));
	linux_entry(&lb, &regs, &sregs);
	/* "The 64-bit kernel entry point is the load address plus 0x200" */
	assert_true(regs.rip == 16 * MIB + 0x200);
	assert_memory_equal(gmem_at(&g, 16 * MIB, CODE_SIZE), image + CODE_OFFSET, CODE_SIZE);
	assert_memory_equal(gmem_at(&g, lb.initrd_addr, 13), "070701 initrd", 13);
	/* "%rsi must hold the base address of the struct boot_params"; interrupts disabled */
	zp = gmem_at(&g, regs.rsi, sizeof(*zp));
	assert_non_null(zp);
	assert_int_equal(zp->hdr.header, 0x53726448);
	assert_int_equal(zp->hdr.type_of_loader, 0xff);
	assert_true(zp->hdr.ramdisk_image == lb.initrd_addr && zp->hdr.ramdisk_size == 13);
	assert_string_equal(gmem_at(&g, zp->hdr.cmd_line_ptr, 12), "root=/dev/x");
	assert_true(zp->acpi_rsdp_addr == 0xe0000);
	assert_true(zp->e820_entries >= 4);
	assert_true(!(regs.rflags & 0x200));
	/* long mode, flat segments by the GDT that is in memory */
	assert_true((sregs.cr0 & 0x80000001) == 0x80000001 && (sregs.cr4 & 0x20) &&
		    (sregs.efer & 0x500) == 0x500);
	assert_int_equal(sregs.cs.selector, 0x10);
	assert_int_equal(sregs.ds.selector, 0x18);
	assert_int_equal(gmem_read(&g, sregs.gdt.base + 0x10, &e, 8), 0);
	assert_true(e == 0x00af9b000000ffffull);
	assert_int_equal(gmem_read(&g, sregs.gdt.base + 0x18, &e, 8), 0);
	assert_true(e == 0x00cf93000000ffffull);
	/* page tables: identity for the first 4 GiB */
	for (gpa = 0; gpa < 1ull << 32; gpa += 0x12345000) {
		assert_int_equal(gmem_read(&g, sregs.cr3 + (gpa >> 39) * 8, &e, 8), 0);
		assert_int_equal(gmem_read(&g, (e & ~0xfffull) + (gpa >> 30 & 511) * 8, &e, 8), 0);
		assert_int_equal(gmem_read(&g, (e & ~0xfffull) + (gpa >> 21 & 511) * 8, &e, 8), 0);
		assert_true((e & 0x83) == 0x83 && (e & ~0x1fffffull) == (gpa & ~0x1fffffull));
	}
	/* the file shrinks between open and load */
	write_file(kernel, image, 4096);
	assert_int_equal(linux_load(&lb, &g, 0xe0000, &err), -1);
	assert_non_null(strstr(err.text, "shorter"));
	gmem_destroy(&g);
	linux_close(&lb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bad_kernels, setup),
		cmocka_unit_test_setup(bad_others, setup),
		cmocka_unit_test_setup(placement, setup),
		cmocka_unit_test_setup(loading, setup),
	};
	int ret;

	if (!mkdtemp(dir))
		return 1;
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	snprintf(initrd, sizeof(initrd), "%s/initrd", dir);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(kernel);
	unlink(initrd);
	rmdir(dir);
	return ret;
}
