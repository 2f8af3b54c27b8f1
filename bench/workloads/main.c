// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * workload [-t MILLISECONDS] [-l] [NAME | GROUP]...
 *
 * Runs each named workload (all of them if none is named) for at least the given time and two
 * units, and prints `W NAME GROUP CHECKSUM NANOSECONDS-PER-UNIT UNITS`. Two that are compared with
 * each other (WL_TURNS) do their units in turn. A workload whose instructions or CPUs are not there prints `W NAME GROUP skip REASON`. A unit whose checksum
 * differs from the first one's ends the program with status 1.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

static const struct workload *const tables[] = {
	wl_integer, wl_memory, wl_fp, wl_flow, wl_kernel, wl_smp,
};

#define N_TABLES (sizeof(tables) / sizeof(tables[0]))

static cpu_set_t all_cpus;

void wl_check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

void *wl_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	wl_check(p != MAP_FAILED, "mmap");
	return p;
}

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* what is missing, or NULL */
static const char *missing(unsigned int needs)
{
	unsigned int a, b = 0, c, d;

	__builtin_cpu_init();
	__get_cpuid_count(7, 0, &a, &b, &c, &d);
	if ((needs & WL_AVX2) && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
		return "no AVX2 and FMA";
	if ((needs & WL_SHA) && !((b & bit_SHA) && __builtin_cpu_supports("sse4.1")))
		return "no SHA-NI";
	if ((needs & WL_AES) && (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_AES)))
		return "no AES-NI";
	if ((needs & WL_CPUS2) && CPU_COUNT(&all_cpus) < 2)
		return "one CPU";
	return NULL;
}

/* A guest with one vCPU has one CPU: so has the host while it is compared with that. */
static void pin(bool one)
{
	cpu_set_t set;
	int cpu;

	for (cpu = 0; !CPU_ISSET(cpu, &all_cpus); cpu++)
		;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), one ? &set : &all_cpus);
}

struct measured {
	u64 sum, units, spent;
};

/* One unit. false: its checksum is not the first one's. */
static bool run_unit(const struct workload *w, struct measured *m)
{
	u64 before = now(), sum = w->unit();

	m->spent += now() - before;
	if (m->units && sum != m->sum) {
		printf("W %s %s wrong in unit %" PRIu64 "\n", w->name, w->group, m->units);
		return false;
	}
	m->sum = sum;
	m->units++;
	return true;
}

/* That many rows, in turn. */
static int run(const struct workload *w, u32 rows, u64 nanoseconds)
{
	const char *why = missing(w->needs);
	struct measured m[2] = { { 0 } };

	for (u32 i = 0; i < rows && why; i++)
		printf("W %s %s skip %s\n", w[i].name, w[i].group, why);
	if (why)
		return 0;
	pin(!(w->needs & WL_CPUS2));
	if (w->setup)
		w->setup();
	while (m[0].units < 2 || m[0].spent < nanoseconds)
		for (u32 i = 0; i < rows; i++)
			if (!run_unit(&w[i], &m[i]))
				return 1;
	for (u32 i = 0; i < rows; i++)
		printf("W %s %s %016" PRIx64 " %" PRIu64 " %" PRIu64 "\n", w[i].name, w[i].group, m[i].sum,
		       m[i].spent / m[i].units, m[i].units);
	fflush(stdout);
	return 0;
}

static bool chosen(const struct workload *w, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, w->name) || !strcmp(*names, w->group))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct workload *w;
	u64 milliseconds = 400;
	bool list = false;
	int opt, bad = 0;
	u32 rows;

	sched_getaffinity(0, sizeof(all_cpus), &all_cpus);
	while ((opt = getopt(argc, argv, "t:lx")) >= 0) {
		switch (opt) {
		case 't':
			milliseconds = strtoull(optarg, NULL, 0);
			break;
		case 'l':
			list = true;
			break;
		case 'x':	/* what the exec workload starts */
			return 0;
		default:
			fprintf(stderr, "usage: workload [-t MILLISECONDS] [-l] [NAME | GROUP]...\n");
			return 2;
		}
	}
	for (size_t i = 0; i < N_TABLES; i++) {
		for (w = tables[i]; w->name; w += rows) {
			rows = w->needs & WL_TURNS ? 2 : 1;
			if (!chosen(w, argv + optind))
				continue;
			for (u32 k = 0; k < rows && list; k++)
				printf("%s %s\n", w[k].name, w[k].group);
			if (!list)
				bad |= run(w, rows, milliseconds * 1000000);
		}
	}
	return bad;
}
