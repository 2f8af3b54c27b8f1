// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * kvmclock.c - the paravirtual clock, three vCPUs: each has a record of its own, time never goes back, on one vCPU or
 * between them, whatever exits, sleeps and updates come between; its rate is that of the APIC timer; the wall clock.
 * Linux's Documentation/virt/kvm/x86/msr.rst and cpuid.rst.
 */
#include "smp.h"

#define CPUS	3
#define MSR_WALL_CLOCK_OLD	0x11
#define MSR_SYSTEM_TIME_OLD	0x12
#define MSR_WALL_CLOCK		0x4b564d00
#define MSR_SYSTEM_TIME		0x4b564d01
#define STABLE			1

struct time_info {
	u32 version, pad;
	u64 tsc_timestamp, system_time;
	u32 mul;
	signed char shift;
	u8 flags, pad2[2];
} __attribute__((aligned(64)));

static volatile struct time_info info[CPUS];
static volatile struct {
	u32 version, sec, nsec;
} wall __attribute__((aligned(16)));

static volatile bool up[CPUS], finished[CPUS];
static volatile u32 phase;

static u64 to_ns(u64 ticks, u32 mul, int shift)
{
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return (u64)((unsigned __int128)ticks * mul >> 32);
}

/* As a guest kernel reads it; *flags may be NULL. */
static u64 now(unsigned int cpu, u8 *flags)
{
	volatile struct time_info *i = &info[cpu];
	u32 version;
	u64 ns;

	do {
		version = i->version;
		__asm__ volatile("lfence" ::: "memory");
		ns = i->system_time + to_ns(rdtsc() - i->tsc_timestamp, i->mul, i->shift);
		if (flags)
			*flags = i->flags;
		__asm__ volatile("lfence" ::: "memory");
	} while ((version & 1) || version != i->version);
	return ns;
}

static void enable(unsigned int cpu)
{
	wrmsr(MSR_SYSTEM_TIME, (ul)&info[cpu] | 1);
}

static u32 khz(unsigned int cpu)
{
	u64 v = (1000000ull << 32) / info[cpu].mul;

	return (u32)(info[cpu].shift < 0 ? v << -info[cpu].shift : v >> info[cpu].shift);
}

/* -- between processors -------------------------------------------------------------------------------------------- */

#define ROUNDS	20000

static volatile u32 lock;
static volatile u64 last, backwards, worst;

static void take_turns(unsigned int cpu)
{
	for (u32 n = 0; n < ROUNDS; n++) {
		u64 t;

		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			pause();
		t = now(cpu, NULL);
		if (t < last) {
			backwards++;
			if (last - t > worst)
				worst = last - t;
		}
		last = t;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
		/* some exits, and some new records */
		if (!(n & 1023))
			outb(PORT_DEVICE, 0);
		if (!(n & 4095))
			enable(cpu);
	}
}

void ap_main(u32 index)
{
	struct table_reg r = { sizeof(idt) - 1, (ul)idt };

	gdt_load();
	__asm__ volatile("lidt %0" :: "m"(r));
	enable(index);
	up[index] = true;
	while (!phase)
		pause();
	take_turns(index);
	finished[index] = true;
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void between_processors(void)
{
	bool stable = true;
	u8 flags;

	for (unsigned int i = 1; i < CPUS; i++) {
		check("startup", start_ap(i, &up[i]), 1);
		if (!up[i])
			return;
		report("records", "version", info[i].version & 1 || !info[i].version, 0);
		report("records", "khz", khz(i), khz(0));
	}
	for (unsigned int i = 0; i < CPUS; i++) {
		now(i, &flags);
		stable &= flags & STABLE;
	}
	if (!stable) {
		/* then each guest has to make it monotonic itself */
		skip("stable");
		return;
	}
	phase = 1;
	take_turns(0);
	for (unsigned int i = 1; i < CPUS; i++)
		while (!finished[i])
			pause();
	report("between", "backwards", backwards, 0);
	report("between", "worst", worst, 0);
}

/* -- on one -------------------------------------------------------------------------------------------------------- */

static void alone(void)
{
	u64 t, before = now(0, NULL), first = before, bad = 0, jumps = 0;

	for (u32 n = 0; n < 100000; n++) {
		if (!(n & 255))
			outb(PORT_DEVICE, 1);
		if (!(n & 1023))
			enable(0);
		t = now(0, NULL);
		bad += t < before;
		before = t;
	}
	report("alone", "backwards", bad, 0);
	report("alone", "goes", before > first, 1);
	/* a new record says the same time: between two reads around it there is not more than the time it takes */
	for (u32 n = 0; n < 100; n++) {
		u64 tsc = rdtsc(), clock = now(0, NULL);

		enable(0);
		clock = now(0, NULL) - clock;
		tsc = to_ns(rdtsc() - tsc, info[0].mul, info[0].shift);
		jumps += clock > tsc + 1000;
	}
	check("no_jumps", jumps, 0);
}

/* The APIC timer counts nanoseconds in KVM. Of some tries one is free of other work on the host. */
static void rate(void)
{
	u64 apic = 0, clock = 0, error = ~0ull;

	apic_wr(0xf0, 0x1ff);
	apic_wr(0x320, 0x10050);
	apic_wr(0x3e0, 0xb);
	for (u32 n = 0; n < 20 && error > 100; n++) {
		u64 e, t;
		u32 a;

		apic_wr(0x380, 0xffffffff);
		t = now(0, NULL);
		a = apic_rd(0x390);
		while (now(0, NULL) - t < 20000000)
			pause();
		clock = now(0, NULL) - t;
		apic = a - apic_rd(0x390);
		e = (apic > clock ? apic - clock : clock - apic) * 10000 / clock;
		if (e < error)
			error = e;
	}
	/* in hundredths of a percent */
	report("rate", "error_small", error <= 100, 1);
}

static void wall_clock(u32 msr, const char *name)
{
	u64 first, second, t;

	wall.version = 0;
	wrmsr(msr, (ul)&wall);
	report(name, "version", wall.version & 1 || !wall.version, 0);
	report(name, "nsec", wall.nsec < 1000000000, 1);
	/* 2020 to 2100, when the clock was 0 */
	report(name, "sec", wall.sec > 1577836800u && wall.sec < 4102444800u, 1);
	first = wall.sec * 1000000000ull + wall.nsec;
	for (t = now(0, NULL); now(0, NULL) - t < 30000000;)
		pause();
	wrmsr(msr, (ul)&wall);
	second = wall.sec * 1000000000ull + wall.nsec;
	/* still the same moment */
	report(name, "moves", (second > first ? second - first : first - second) > 20000000, 0);
}

static void switched_off(void)
{
	u32 version;

	wrmsr(MSR_SYSTEM_TIME, (ul)&info[0]);		/* without the enable bit */
	report("off", "msr", rdmsr(MSR_SYSTEM_TIME), (ul)&info[0]);
	version = info[0].version;
	for (u32 n = 0; n < 20; n++)
		outb(PORT_DEVICE, 2);
	report("off", "version", info[0].version, version);
	/* the old numbers are the same registers */
	wrmsr(MSR_SYSTEM_TIME_OLD, (ul)&info[0] | 1);
	report("old", "msr", rdmsr(MSR_SYSTEM_TIME_OLD), (ul)&info[0] | 1);
	report("old", "version", info[0].version != version, 1);
}

int main(u32 step)
{
	u32 r[4];

	cpuid(0x40000000, 0, r);
	report("leaf", "ebx", r[1], 0x4b4d564b);
	report("leaf", "ecx", r[2], 0x564b4d56);
	report("leaf", "edx", r[3], 0x4d);
	cpuid(0x40000001, 0, r);
	if (!(r[0] >> 3 & 1)) {
		skip("clocksource2");
		return 0;
	}
	enable(0);
	report("record", "msr", rdmsr(MSR_SYSTEM_TIME), (ul)&info[0] | 1);
	report("record", "version", info[0].version & 1 || !info[0].version, 0);
	report("record", "khz", khz(0) > 100000 && khz(0) < 10000000, 1);
	alone();
	rate();
	between_processors();
	wall_clock(MSR_WALL_CLOCK, "wall");
	wall_clock(MSR_WALL_CLOCK_OLD, "wall_old");
	switched_off();
	return 0;
}
