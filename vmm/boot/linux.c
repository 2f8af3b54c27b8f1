// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * linux.c - loads a bzImage and enters its 64-bit entry point (Documentation/arch/x86/boot.rst,
 * "64-bit boot protocol"; struct names as there).
 *
 * The files are trusted no further than their sizes: every number of the header is checked against
 * the file and the guest's memory before it is used.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../machine/e820.h"
#include "linux.h"

/* Where the loader's own data go: conventional memory, which the kernel reads before it uses it. */
#define GDT_ADDR	0x1000
#define ZERO_PAGE_ADDR	0x7000
#define STACK_TOP	0x9000
#define PML4_ADDR	0xa000
#define PDPT_ADDR	0xb000
#define PD_ADDR		0xc000		/* four pages: 4 GiB in pages of 2 MiB */
#define CMDLINE_ADDR	0x20000
#define CMDLINE_MAX	0x10000

#define SECTOR		512
#define BOOT_FLAG	0xaa55
#define HDRS_MAGIC	0x53726448	/* "HdrS" */
#define PROTOCOL_64BIT	0x020c		/* first version with xloadflags */
#define HDR_OFFSET	offsetof(struct boot_params, hdr)
#define ENTRY_64	0x200
#define LOADER_OTHER	0xff
#define VIDEO_NORMAL	0xffff

#define PTE_PRESENT	0x01ull
#define PTE_WRITE	0x02ull
#define PTE_LARGE	0x80ull
#define LARGE_PAGE	(2ull << 20)

#define BOOT_CS		0x10
#define BOOT_DS		0x18
#define BOOT_TR		0x20
#define GDT_CODE64	0x00af9b000000ffffull
#define GDT_DATA	0x00cf93000000ffffull
#define GDT_TSS		0x00008b000000ffffull

#define CR0_PE		0x00000001ull
#define CR0_ET		0x00000010ull
#define CR0_PG		0x80000000ull
#define CR4_PAE		0x20ull
#define EFER_LME	0x100ull
#define EFER_LMA	0x400ull
#define RFLAGS_FIXED	0x2ull

#define MIB(bytes)	((unsigned long long)(((bytes) + (1 << 20) - 1) >> 20))

static int open_file(const char *path, const char *what, uint64_t *size, struct vmm_err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, "%s '%s': %s; check the path after -%s", what, path,
			       strerror(errno), what);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, "%s '%s': not a regular file; check the path after -%s", what,
			       path, what);
	}
	*size = st.st_size;
	return fd;
}

/* Say what the file is instead, where that is easy to see. */
static int not_bzimage(const char *path, const uint8_t *head, size_t n, struct vmm_err *err)
{
	if (n >= 4 && !memcmp(head, "\177ELF", 4))
		return err_set(err, "kernel '%s': an ELF file (vmlinux?); give the bzImage made from it", path);
	if (n >= 2 && head[0] == 0x1f && head[1] == 0x8b)
		return err_set(err, "kernel '%s': a gzip file; unpack it or give a bzImage", path);
	return err_set(err, "kernel '%s': not a Linux bzImage; give a file like Debian's /boot/vmlinuz-*", path);
}

static int check_kernel(struct linux_boot *lb, uint64_t file_size, struct vmm_err *err)
{
	const char *path = lb->kernel_path;
	uint8_t head[HDR_OFFSET + sizeof(lb->hdr)] = { 0 };
	unsigned int setup_sectors;
	uint64_t want;
	ssize_t n;

	n = pread(lb->kernel_fd, head, sizeof(head), 0);
	if (n < 0)
		return err_set(err, "kernel '%s': cannot read: %s", path, strerror(errno));
	memcpy(&lb->hdr, head + HDR_OFFSET, sizeof(lb->hdr));
	if (lb->hdr.boot_flag != BOOT_FLAG || lb->hdr.header != HDRS_MAGIC)
		return not_bzimage(path, head, n, err);
	if (n < (ssize_t)sizeof(head))
		return err_set(
			err, "kernel '%s': truncated inside its header (%llu bytes); copy it again",
			path, (unsigned long long)file_size);
	if (lb->hdr.version < PROTOCOL_64BIT || !(lb->hdr.xloadflags & XLF_KERNEL_64) ||
	    !(lb->hdr.loadflags & LOADED_HIGH))
		return err_set(err,
			       "kernel '%s': no 64-bit entry point (boot protocol %u.%02u); "
			       "give an x86-64 kernel, 3.8 or later",
			       path, lb->hdr.version >> 8, lb->hdr.version & 0xff);
	setup_sectors = lb->hdr.setup_sects ?: 4;
	lb->code_offset = (setup_sectors + 1) * SECTOR;
	lb->code_size = lb->hdr.syssize * 16ull;
	want = lb->code_offset + lb->code_size;
	/* The last paragraph may be short: syssize is rounded up. */
	if (file_size + 15 < want)
		return err_set(err, "kernel '%s': truncated: %llu bytes, its header says %llu; copy it again", path,
			       (unsigned long long)file_size, (unsigned long long)want);
	if (file_size < want)
		lb->code_size = file_size - lb->code_offset;
	if (lb->code_size <= ENTRY_64 || lb->hdr.init_size < lb->code_size ||
	    lb->hdr.kernel_alignment & (lb->hdr.kernel_alignment - 1))
		return err_set(err,
			       "kernel '%s': damaged header (size %llu, needs %u); copy it again",
			       path, (unsigned long long)lb->code_size, lb->hdr.init_size);
	return 0;
}

int linux_open(struct linux_boot *lb, const char *kernel, const char *initrd, const char *cmdline,
	       struct vmm_err *err)
{
	uint64_t size;

	*lb = (struct linux_boot){
		.kernel_path = kernel, .initrd_path = initrd, .cmdline = cmdline, .kernel_fd = -1,
		.initrd_fd = -1,
	};
	lb->kernel_fd = open_file(kernel, "kernel", &size, err);
	if (lb->kernel_fd < 0)
		return -1;
	if (check_kernel(lb, size, err))
		goto err_close;
	size = strlen(cmdline);
	if (size >= CMDLINE_MAX || size > lb->hdr.cmdline_size) {
		err_set(err, "-append: %llu characters; this kernel takes %u",
			(unsigned long long)size, lb->hdr.cmdline_size);
		goto err_close;
	}
	if (initrd) {
		lb->initrd_fd = open_file(initrd, "initrd", &lb->initrd_size, err);
		if (lb->initrd_fd < 0)
			goto err_close;
		if (!lb->initrd_size) {
			err_set(err, "initrd '%s': an empty file; make it again", initrd);
			goto err_close;
		}
	}
	return 0;

err_close:
	linux_close(lb);
	return -1;
}

void linux_close(struct linux_boot *lb)
{
	if (lb->initrd_fd >= 0)
		close(lb->initrd_fd);
	if (lb->kernel_fd >= 0)
		close(lb->kernel_fd);
	lb->kernel_fd = lb->initrd_fd = -1;
}

int linux_place(struct linux_boot *lb, uint64_t low_end, struct vmm_err *err)
{
	uint64_t kernel_end, top;

	/* A relocatable kernel could go elsewhere, but it then moves itself to pref_address or
	 * above anyway. */
	lb->code_addr = lb->hdr.pref_address;
	kernel_end = lb->code_addr + lb->hdr.init_size;
	if (lb->code_addr < TABLES_END || lb->code_addr >> 32)
		return err_set(err,
			       "kernel '%s': damaged header (load address %#llx); copy it again",
			       lb->kernel_path, (unsigned long long)lb->code_addr);
	if (kernel_end > low_end)
		return err_set(err, "kernel '%s' needs %llu MiB of memory, the VM has %llu; give more with -m",
			       lb->kernel_path, MIB(kernel_end), (unsigned long long)(low_end >> 20));
	lb->initrd_addr = 0;
	if (lb->initrd_size) {
		top = low_end;
		if (top > lb->hdr.initrd_addr_max + 1ull)
			top = lb->hdr.initrd_addr_max + 1ull;
		if (top < kernel_end || lb->initrd_size > top - kernel_end ||
		    ((top - lb->initrd_size) & ~0xfffull) < kernel_end)
			return err_set(err, "initrd '%s' (%llu MiB) and the kernel (%llu MiB) do not fit in the VM's "
				       "%llu MiB; give more with -m", lb->initrd_path, MIB(lb->initrd_size), MIB(kernel_end),
				       (unsigned long long)(low_end >> 20));
		lb->initrd_addr = (top - lb->initrd_size) & ~0xfffull;
	}
	return 0;
}

static int write_tables(const struct gmem *g)
{
	const uint64_t gdt[] = { 0, 0, GDT_CODE64, GDT_DATA, GDT_TSS, 0 };
	uint64_t entry, *pd;
	unsigned int i;
	int ret;

	static_assert(CMDLINE_ADDR + CMDLINE_MAX < EBDA_START,
		      "the command line ends below the EBDA");
	ret = gmem_write(g, GDT_ADDR, gdt, sizeof(gdt));
	entry = PDPT_ADDR | PTE_PRESENT | PTE_WRITE;
	ret = ret ?: gmem_write(g, PML4_ADDR, &entry, sizeof(entry));
	for (i = 0; i < 4; i++) {
		entry = (PD_ADDR + i * 0x1000) | PTE_PRESENT | PTE_WRITE;
		ret = ret ?: gmem_write(g, PDPT_ADDR + i * 8, &entry, sizeof(entry));
	}
	pd = gmem_at(g, PD_ADDR, 4 * 0x1000);
	if (ret || !pd)
		return -EFAULT;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = i * LARGE_PAGE | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	return 0;
}

static int load_file(const struct gmem *g, uint64_t gpa, int fd, uint64_t offset, uint64_t len,
		     const char *what, const char *path, struct vmm_err *err)
{
	int ret = gmem_load(g, gpa, fd, offset, len);

	if (ret)
		return err_set(err, "%s '%s': cannot read: %s", what, path,
			       ret == -ENODATA ? "it has become shorter" : strerror(-ret));
	return 0;
}

int linux_load(const struct linux_boot *lb, const struct gmem *g, uint64_t rsdp,
	       struct vmm_err *err)
{
	struct boot_params *zp = gmem_at(g, ZERO_PAGE_ADDR, sizeof(*zp));
	int ret;

	if (load_file(g, lb->code_addr, lb->kernel_fd, lb->code_offset, lb->code_size, "kernel",
		      lb->kernel_path, err))
		return -1;
	if (lb->initrd_size && load_file(g, lb->initrd_addr, lb->initrd_fd, 0, lb->initrd_size,
					 "initrd", lb->initrd_path, err))
		return -1;
	ret = write_tables(g);
	ret = ret ?: gmem_write(g, CMDLINE_ADDR, lb->cmdline, strlen(lb->cmdline) + 1);
	if (ret || !zp)
		return err_set(err, "the VM has no memory for the boot data; give more with -m");
	memset(zp, 0, sizeof(*zp));
	zp->hdr = lb->hdr;
	zp->hdr.type_of_loader = LOADER_OTHER;
	zp->hdr.loadflags = (lb->hdr.loadflags | KEEP_SEGMENTS) & ~CAN_USE_HEAP;
	zp->hdr.vid_mode = VIDEO_NORMAL;
	zp->hdr.cmd_line_ptr = CMDLINE_ADDR;
	zp->hdr.code32_start = lb->code_addr;
	zp->hdr.ramdisk_image = lb->initrd_addr;
	zp->hdr.ramdisk_size = lb->initrd_size;
	zp->ext_ramdisk_image = lb->initrd_addr >> 32;
	zp->ext_ramdisk_size = lb->initrd_size >> 32;
	zp->acpi_rsdp_addr = rsdp;
	zp->e820_entries = e820_build(g, zp->e820_table);
	return 0;
}

void linux_entry(const struct linux_boot *lb, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = BOOT_CS, .type = 0xb, .present = 1, .s = 1, .l = 1,
		.g = 1,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = BOOT_DS, .type = 0x3, .present = 1, .s = 1,
		.db = 1, .g = 1,
	};

	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr = (struct kvm_segment){ .limit = 0xffff, .selector = BOOT_TR, .type = 0xb, .present = 1 };
	sregs->gdt = (struct kvm_dtable){ .base = GDT_ADDR, .limit = 6 * 8 - 1 };
	sregs->idt = (struct kvm_dtable){ 0 };
	sregs->cr0 = CR0_PE | CR0_ET | CR0_PG;
	sregs->cr3 = PML4_ADDR;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
	*regs = (struct kvm_regs){
		.rip = lb->code_addr + ENTRY_64, .rsi = ZERO_PAGE_ADDR, .rsp = STACK_TOP,
		.rflags = RFLAGS_FIXED,
	};
}
