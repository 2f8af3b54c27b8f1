/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * clock.c - the host's clocks and the rate of its TSC. Clocks are read through the kernel's vDSO
 * (25 ns against 140 ns for the system call), which the kernel builds without vector registers.
 */
#include <elf.h>
#include <linux/perf_event.h>
#include <linux/mman.h>
#include "../host.h"
#include "sys.h"
#include "user.h"

#define CLK_REALTIME		0
#define CLK_MONOTONIC		1
#define CLK_MONOTONIC_RAW	4

typedef int (*clock_gettime_fn)(int clock, struct __kernel_timespec *ts);
static clock_gettime_fn vdso_gettime;

static u64 read_clock(int clock)
{
	clock_gettime_fn fn = host_load_relaxed(&vdso_gettime);
	struct __kernel_timespec ts;

	if (!fn || fn(clock, &ts))
		sys2(__NR_clock_gettime, (u64)clock, (u64)&ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

u64 host_monotonic_ns(void)
{
	return read_clock(CLK_MONOTONIC);
}

u64 host_realtime_ns(void)
{
	return read_clock(CLK_REALTIME);
}

u64 host_thread_cpu_ns(void)
{
	struct __kernel_timespec ts;

	if (sys2(__NR_clock_gettime, 3 /* CLOCK_THREAD_CPUTIME_ID */, (u64)&ts))
		return 0;
	return ts.tv_sec * 1000000000UL + ts.tv_nsec;
}

/* Read up to n - 1 bytes of a small file and end them with a NUL. */
static long read_file(const char *path, void *buf, size_t n)
{
	long fd = sys3(__NR_open, (u64)path, 02000000 /* O_CLOEXEC */, 0);
	long got;

	if (fd < 0)
		return fd;
	got = sys3(__NR_read, (u64)fd, (u64)buf, n - 1);
	sys1(__NR_close, (u64)fd);
	((u8 *)buf)[got > 0 ? got : 0] = 0;
	return got;
}

static bool same_string(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static clock_gettime_fn vdso_lookup(const u8 *base)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)base;
	const Elf64_Phdr *ph = (const Elf64_Phdr *)(base + eh->e_phoff);
	const Elf64_Dyn *dyn = NULL;
	const Elf64_Sym *sym = NULL;
	const char *str = NULL;
	const u32 *hash = NULL;
	u64 bias = 0;
	u32 i;

	for (i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			bias = (u64)base + ph[i].p_offset - ph[i].p_vaddr;
		else if (ph[i].p_type == PT_DYNAMIC)
			dyn = (const Elf64_Dyn *)(base + ph[i].p_offset);
	}
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		if (dyn->d_tag == DT_SYMTAB)
			sym = (const Elf64_Sym *)(bias + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_STRTAB)
			str = (const char *)(bias + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_HASH)
			hash = (const u32 *)(bias + dyn->d_un.d_ptr);
	}
	if (!sym || !str || !hash)
		return NULL;
	for (i = 0; i < hash[1]; i++)	/* hash[1]: how many symbols */
		if (sym[i].st_shndx != SHN_UNDEF &&
		    same_string(str + sym[i].st_name, "__vdso_clock_gettime"))
			return (clock_gettime_fn)(bias + sym[i].st_value);
	return NULL;
}

/** Find the vDSO. Without it clocks work by system calls. */
void host_clock_init(void)
{
	u64 auxv[128] = { 0 };
	unsigned int i;
	long n;

	if (host_load_relaxed(&vdso_gettime))
		return;
	n = read_file("/proc/self/auxv", auxv, sizeof(auxv));
	for (i = 0; n > 0 && i + 1 < (unsigned long)n / 8 && auxv[i] != AT_NULL; i += 2)
		if (auxv[i] == AT_SYSINFO_EHDR && auxv[i + 1])
			host_store_relaxed(&vdso_gettime, vdso_lookup((const u8 *)auxv[i + 1]));
}

/* ---- TSC rate ---- */

static void cpuid(u32 leaf, u32 *a, u32 *b, u32 *c, u32 *d)
{
	__asm__ volatile("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(*d) : "0"(leaf), "2"(0));
}

/*
 * The kernel's own figure, from the conversion factors it shows beside a perf counter: exact, and
 * no waiting.
 */
static u32 khz_from_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	const struct perf_event_mmap_page *page;
	long fd, map;
	u64 mult, shift;
	u32 khz = 0;

	fd = sys6(__NR_perf_event_open, (u64)&attr, 0, (u64)-1, (u64)-1, PERF_FLAG_FD_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	map = sys6(__NR_mmap, 0, HV_PAGE_SIZE, PROT_READ, MAP_SHARED, (u64)fd, 0);
	sys1(__NR_close, (u64)fd);
	if (sys_is_err(map))
		return 0;
	page = (const void *)map;
	mult = page->time_mult;
	shift = page->time_shift;
	/* ns = cycles * mult >> shift, so kHz = 10^6 << shift / mult */
	if (page->cap_user_time && mult && shift < 44)
		khz = (u32)(((1000000ULL << shift) + mult / 2) / mult);
	sys2(__NR_munmap, (u64)map, HV_PAGE_SIZE);
	return khz;
}

/* CPUID: the crystal's rate and ratio (leaf 15h), or a hypervisor's statement (leaf 40000010h). */
static u32 khz_from_cpuid(void)
{
	u32 a, b, c, d, max;

	cpuid(0, &max, &b, &c, &d);
	if (max >= 0x15) {
		cpuid(0x15, &a, &b, &c, &d);
		if (a && b && c)
			return (u32)((u64)c * b / a / 1000);
	}
	cpuid(1, &a, &b, &c, &d);
	if (!(c & BIT(31)))
		return 0;
	cpuid(0x40000000, &max, &b, &c, &d);
	if (max < 0x40000010 || max > 0x400000ff)
		return 0;
	cpuid(0x40000010, &a, &b, &c, &d);
	return a;
}

/* One reading of both clocks, as close together as the best of some tries. */
static void read_pair(u64 *tsc, u64 *ns)
{
	u64 best = ~0ULL;
	int i;

	for (i = 0; i < 20; i++) {
		u64 t0 = host_rdtsc();
		u64 now = read_clock(CLK_MONOTONIC_RAW);
		u64 t1 = host_rdtsc();

		if (t1 - t0 < best) {
			best = t1 - t0;
			*tsc = t0 + (t1 - t0) / 2;
			*ns = now;
		}
	}
}

static u32 khz_by_measurement(void)
{
	u64 tsc0 = 0, ns0 = 0, tsc1 = 0, ns1 = 0;
	u32 never = 0;

	read_pair(&tsc0, &ns0);
	sys_futex_wait(&never, 0, host_monotonic_ns() + 20000000);
	read_pair(&tsc1, &ns1);
	if (ns1 <= ns0 || tsc1 <= tsc0)
		return 0;
	return (u32)((tsc1 - tsc0) * 1000000 / (ns1 - ns0));
}

static bool tsc_is_clock(void)
{
	u32 a, b, c, d;
	char name[32];

	cpuid(0x80000000, &a, &b, &c, &d);
	if (a >= 0x80000007) {
		cpuid(0x80000007, &a, &b, &c, &d);
		if (d & BIT(8))	/* invariant TSC */
			return true;
	}
	return read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", name,
			 sizeof(name)) > 0 &&
	       same_string(name, "tsc\n");
}

u32 host_tsc_khz(void)
{
	static u64 cached;	/* kHz | 1 << 32 once known */
	u64 khz = host_load_relaxed(&cached);

	if (khz)
		return (u32)khz;
	host_clock_init();
	khz = khz_from_perf();
	if (!khz && tsc_is_clock()) {
		khz = khz_from_cpuid();
		if (!khz)
			khz = khz_by_measurement();
	}
	host_store_relaxed(&cached, khz | BIT_ULL(32));
	return (u32)khz;
}
