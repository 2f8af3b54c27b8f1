// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * calls.c - a repeatable sequence of KVM API calls, one line of output each: what was called, with what, what came back.
 * The same program runs on libanykvm and on a kernel's KVM; tests/diff/compare puts the lines beside each other.
 *
 *	calls [--kvm DEVICE] SEED FIRST COUNT [I,J,K...]
 *
 * Sequences FIRST to FIRST + COUNT - 1, each on a VM of its own; of each, only the calls I, J, K if they are given. What
 * call number I does depends on the seed, the sequence and I, and on what was read before where state is changed a little and
 * written back; so calls can be left out. Lines hold no times, addresses or numbers of descriptors.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <anykvm/anykvm_fd.h>
#include "t_random.h"
#include "calls.h"

static const char *device;		/* NULL: libanykvm */
static int sys_fd;
static uint64_t seed;

struct seq s;

void out(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

void out_ret(long ret)
{
	if (ret < 0)
		out(" = %s", strerrorname_np((int)-ret) ? strerrorname_np((int)-ret) : "?");
	else
		out(" = %ld", ret);
}

/* The 8-byte words that are not 0, with their offsets. */
void out_words(const void *p, size_t n)
{
	const uint8_t *b = p;
	size_t i, j;
	uint64_t v;

	for (i = 0; i < n; i += 8) {
		for (v = 0, j = 0; j < 8 && i + j < n; j++)
			v |= (uint64_t)b[i + j] << (8 * j);
		if (v)
			out(" %zx:%lx", i, (unsigned long)v);
	}
}

uint32_t hash(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t h = 0xcbf29ce484222325, v;

	for (; n >= 8; n -= 8, b += 8) {	/* by words, as the emulated machine is slow */
		memcpy(&v, b, 8);
		h = (h ^ v) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	for (; n; n--)
		h = (h ^ *b++) * 0x100000001b3;
	return (uint32_t)(h ^ h >> 32);
}

long call(int fd, unsigned long nr, const void *arg)
{
	int ret;

	if (!device)
		return anykvm_ioctl(fd, nr, (unsigned long)arg);
	ret = ioctl(fd, nr, arg);
	return ret == -1 ? -errno : ret;
}

long call_n(int fd, unsigned long nr, unsigned long arg)
{
	return call(fd, nr, (const void *)arg);
}

void shut(int fd)
{
	if (device)
		close(fd);
	else
		anykvm_close(fd);
}

static void must(long ret, const char *what)
{
	if (ret >= 0)
		return;
	out("Bail out! %s: %s\n", what, strerror((int)-ret));
	exit(1);
}

/* ---- the VM of a sequence -------------------------------------------------------------------- */

/*
 * Features that both sides have, and that do not differ between AMD and Intel. Leaf 1: all that 64-bit code expects, SSE4.2, MOVBE,
 * XSAVE, AVX, x2APIC; 7: FSGSBASE, SMEP, SMAP, UMIP; 0x80000001: SYSCALL, NX, LM, LAHF, RDTSCP.
 */
static const struct kvm_cpuid_entry2 leaves[] = {
	{ .function = 0, .eax = 0xd, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65 },
	{ .function = 1, .eax = 0xa20f10, .ebx = 0x800, .ecx = 0x95f82201, .edx = 0x078bfbff },
	{ .function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .ebx = 0x100083, .ecx = 4 },
	{ .function = 0xd, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 7, .ebx = 832, .ecx = 832 },
	{ .function = 0xd, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX },
	{ .function = 0xd, .index = 2, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 256, .ebx = 576 },
	{ .function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d },
	{ .function = 0x40000001, .eax = 0x100002b },
	{ .function = 0x80000000, .eax = 0x80000008, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65 },
	{ .function = 0x80000001, .ecx = 1, .edx = 0x28100800 },
	{ .function = 0x80000008, .eax = 0x3028 },
};

static void set_cpuid(int fd)
{
	struct {
		struct kvm_cpuid2 c;
		struct kvm_cpuid_entry2 e[sizeof(leaves) / sizeof(leaves[0])];
	} a = { .c.nent = sizeof(leaves) / sizeof(leaves[0]) };

	memcpy(a.e, leaves, sizeof(leaves));
	must(call(fd, KVM_SET_CPUID2, &a), "KVM_SET_CPUID2");
}

/* 11: all components of the vector state are there, with their initial values. */
static void all_vectors(int fd)
{
	struct kvm_xsave x = { 0 };
	const uint64_t bv = 7;
	const uint32_t mxcsr[2] = { 0x1f80, 0xffff };
	const uint16_t fcw = 0x37f;

	memcpy(x.region, &fcw, 2);
	memcpy((uint8_t *)x.region + 24, mxcsr, 8);
	memcpy((uint8_t *)x.region + 512, &bv, 8);
	must(call(fd, KVM_SET_XSAVE, &x), "KVM_SET_XSAVE");
}

/* 51: Linux looks anew at who has which APIC ID. */
static void show_apic(int fd)
{
	struct kvm_lapic_state lapic;

	if (s.irqchip == NO_CHIP)
		return;
	must(call(fd, KVM_GET_LAPIC, &lapic), "KVM_GET_LAPIC");
	must(call(fd, KVM_SET_LAPIC, &lapic), "KVM_SET_LAPIC");
}

void vcpu_add(unsigned long id)
{
	long ret = call_n(s.vm, KVM_CREATE_VCPU, id);

	if (ret >= 0 && s.cpus < CPUS) {
		s.cpu[s.cpus].fd = (int)ret;
		s.cpu[s.cpus].id = (unsigned int)id;
		s.cpu[s.cpus].run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)ret, 0);
		if (s.cpu[s.cpus].run == MAP_FAILED)
			must(-errno, "mmap of a vCPU");
		set_cpuid((int)ret);
		all_vectors((int)ret);
		show_apic((int)ret);
		s.cpus++;
	} else if (ret >= 0) {
		shut((int)ret);
	}
	out_ret(ret > 0 ? 0 : ret);
}

static void gate(uint8_t *at, uint32_t offset, bool wide)
{
	uint64_t g = (offset & 0xffff) | 8 << 16 | 0x8eULL << 40 | (uint64_t)(offset >> 16) << 48;

	memcpy(at, &g, 8);
	if (wide)
		memset(at + 8, 0, 8);
}

/* What every guest finds: handlers for all vectors, tables for all modes, and OUT everywhere else. */
void fill_memory(void)
{
	static const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00009b000000ffff,
					0x000093000000ffff, 0x008089000000ffff | (uint64_t)TSS_AT << 16, 0 };
	uint64_t *t = (uint64_t *)(s.mem + TABLES_AT);
	unsigned int i;

	for (i = 0; i < MEM / 8; i++)
		((uint64_t *)s.mem)[i] = 0x42e642e642e642e6;	/* out %al, $0x42 */
	for (i = 0; i < 256; i++) {
		uint8_t *h = s.mem + HANDLERS_AT + 8 * i;

		h[0] = 0xb0;		/* mov $vector, %al; out %al, $0xf5 */
		h[1] = (uint8_t)i;
		h[2] = 0xe6;
		h[3] = 0xf5;
		((uint32_t *)s.mem)[i] = HANDLERS_AT + 8 * i;
		gate(s.mem + IDT32_AT + 8 * i, HANDLERS_AT + 8 * i, false);
		gate(s.mem + IDT64_AT + 16 * i, HANDLERS_AT + 8 * i, true);
	}
	/* the 32-bit gates name a 32-bit code segment */
	for (i = 0; i < 256; i++)
		s.mem[IDT32_AT + 8 * i + 2] = 0x18;
	memcpy(s.mem + GDT_AT, gdt, sizeof(gdt));
	memset(s.mem + TSS_AT, 0, 0x68);
	/* 1 GiB and the last below 4 GiB one to one, in 2 MiB pages, accessed and dirty */
	memset(t, 0, 4 * 4096);
	t[0] = (TABLES_AT + 0x1000) | 0x63;
	t[512] = (TABLES_AT + 0x2000) | 0x63;
	t[512 + 3] = (TABLES_AT + 0x3000) | 0x63;
	for (i = 0; i < 512; i++) {
		t[1024 + i] = ((uint64_t)i << 21) | 0xe3;
		t[1536 + i] = 0xc0000000 + ((uint64_t)i << 21) + 0xe3;
	}
}

static void begin(uint64_t number)
{
	struct kvm_userspace_memory_region m = { .memory_size = MEM, .userspace_addr = (unsigned long)s.mem };
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_pit_config pit = { 0 };
	struct rnd r = rnd_of(seed, number, ~0UL);
	unsigned int i, cpus = 1 + one_in(&r, 4);
	long ret;

	fill_memory();
	s.number = number;
	s.cpus = 0;
	s.device = -1;
	s.msi_gsis = 0;
	s.pv_enforced = false;
	memset(s.got, 0, sizeof(s.got));
	ret = call_n(sys_fd, KVM_CREATE_VM, 0);
	must(ret, "KVM_CREATE_VM");
	s.vm = (int)ret;
	s.irqchip = (enum irqchip)rnd_below(&r, 3);
	out("seq %lu %s\n", (unsigned long)number, (const char *[]){ "none", "full", "split" }[s.irqchip]);
	must(call(s.vm, KVM_SET_USER_MEMORY_REGION, &m), "KVM_SET_USER_MEMORY_REGION");
	if (s.irqchip == FULL)
		must(call_n(s.vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	if (s.irqchip == SPLIT)
		must(call(s.vm, KVM_ENABLE_CAP, &split), "KVM_CAP_SPLIT_IRQCHIP");
	if (s.irqchip == FULL && one_in(&r, 2))
		must(call(s.vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
	for (i = 0; i < EVENTS; i++)
		s.event[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (i = 0; i < cpus; i++) {
		out("%lu.- create_vcpu %u", (unsigned long)number, i);
		vcpu_add(i);
		out("\n");
	}
}

static void end(void)
{
	unsigned int i;

	for (i = 0; i < s.cpus; i++) {
		munmap(s.cpu[i].run, RUN_SIZE);
		shut(s.cpu[i].fd);
	}
	if (s.device >= 0)
		shut(s.device);
	shut(s.vm);
	for (i = 0; i < EVENTS; i++)
		close(s.event[i]);
}

/* ---- sequences ------------------------------------------------------------------------------- */

static void one_call(unsigned int i)
{
	struct rnd r = rnd_of(seed, s.number, i);
	unsigned int weights = 0, at;
	const struct op *op;

	for (op = ops; op->name; op++)
		weights += op->weight;
	at = rnd_below(&r, weights);
	for (op = ops; at >= op->weight; op++)
		at -= op->weight;
	out("%lu.%u %s", (unsigned long)s.number, i, op->name);
	op->fn(&r);
	out("\n");
}

static bool wanted(const char *list, unsigned int i)
{
	unsigned long n;
	char *next;

	if (!list)
		return true;
	for (; *list; list = *next ? next + 1 : next) {
		n = strtoul(list, &next, 10);
		if (n == i)
			return true;
		if (next == list)
			return false;
	}
	return false;
}

static void on_alarm(int sig)
{
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	unsigned long first, count, n;
	const char *list;
	unsigned int i;

	if (argc > 2 && !strcmp(argv[1], "--kvm")) {
		device = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc < 4) {
		fprintf(stderr, "calls [--kvm DEVICE] SEED FIRST COUNT [I,J,K...]\n");
		return 2;
	}
	seed = strtoull(argv[1], NULL, 0);
	first = strtoul(argv[2], NULL, 0);
	count = strtoul(argv[3], NULL, 0);
	list = argc > 4 ? argv[4] : NULL;
	sigaction(SIGALRM, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 1 << 16);		/* the line of a call that does not end is wanted too */
	sys_fd = device ? open(device, O_RDWR | O_CLOEXEC) : anykvm_open();
	must(sys_fd < 0 && device ? -errno : sys_fd, device ? device : "anykvm_open");
	s.mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s.mem == MAP_FAILED)
		must(-errno, "mmap");
	for (n = first; n < first + count; n++) {
		begin(n);
		for (i = 0; i < SEQ_CALLS && !s.over; i++)
			if (wanted(list, i))
				one_call(i);
		s.over = false;
		end();
	}
	return 0;
}
