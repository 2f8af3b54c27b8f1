// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * smp.c - three vCPUs: INIT and start-up IPIs, IPIs of every kind, locked instructions under contention, what the memory model
 * forbids, TLB shoot-down, code changed by another processor, one time for all. SDM 3A 8.1 to 8.4, 10.6; APM 2 7.1 to 7.4.
 */
#include "smp.h"

#define CPUS	3
#define ROUNDS	20000

static unsigned int self_index(void)
{
	return apic_rd(0x20) >> 24;
}

/* -- jobs ---------------------------------------------------------------------------------------------------------- */

typedef void (*job_fn)(unsigned int cpu);
static volatile job_fn job[CPUS];
static volatile bool up[CPUS];
static volatile unsigned int count[CPUS][256];
static volatile unsigned int barrier_in;

static void on_ipi(struct frame *f)
{
	count[self_index()][f->vector]++;
	if (f->vector != NMI)
		apic_wr(0xb0, 0);
}

/* All three at the same place; each use has a number of its own, counted up from 1. */
static void barrier(unsigned int n)
{
	__atomic_fetch_add(&barrier_in, 1, __ATOMIC_SEQ_CST);
	while (barrier_in < n * CPUS)
		pause();
}

static volatile u64 ap_base[CPUS];

void ap_main(u32 index)
{
	struct table_reg r = { sizeof(idt) - 1, (ul)idt };

	gdt_load();
	__asm__ volatile("lidt %0" :: "m"(r));
	apic_wr(0xf0, 0x1ff);
	apic_wr(0xd0, 1u << (24 + index));
	ap_base[index] = rdmsr(MSR_APICBASE);
	up[index] = true;
	for (;;) {
		while (!job[index])
			__asm__ volatile("sti; pause; cli" ::: "memory");
		job[index](index);
		__atomic_store_n(&job[index], NULL, __ATOMIC_RELEASE);
	}
}

static void together(job_fn fn)
{
	barrier_in = 0;
	for (unsigned int i = 1; i < CPUS; i++)
		__atomic_store_n(&job[i], fn, __ATOMIC_RELEASE);
	fn(0);
	for (unsigned int i = 1; i < CPUS; i++)
		while (__atomic_load_n(&job[i], __ATOMIC_ACQUIRE))
			pause();
}

static bool soon(volatile unsigned int *p, unsigned int n)
{
	u64 until = rdtsc() + 20000000000ull;

	while (*p < n && rdtsc() < until)
		__asm__ volatile("sti; pause; cli" ::: "memory");
	return *p == n;
}

static bool start_up(void)
{
	for (unsigned int i = 1; i < CPUS; i++) {
		start_ap(i, &up[i]);
		check("startup", up[i], 1);
		if (!up[i])
			return false;
		/* SDM 3A table 9-1 and 8.4.4: CS is the vector times 100h; CD, NW and ET are what CR0 has after INIT */
		report("startup", "cs", *(volatile u16 *)(0x8000 + (ap_cs - ap_start)), 0x800);
		report("startup", "cr0", *(volatile u32 *)(0x8000 + (ap_cr0 - ap_start)) & ~0x60000000u, 0x10);
		report("startup", "apicbase", ap_base[i], 0xfee00800);
	}
	/* a second start-up IPI does nothing to a running processor */
	ipi(1, ICR_STARTUP | 9);
	return true;
}

/* -- interrupts between processors ------------------------------------------------------------------------------------- */

static void sleep_until_ipi(unsigned int cpu)
{
	if (cpu == 1) {
		while (!count[1][0x44])
			__asm__ volatile("sti; hlt; cli" ::: "memory");
	}
}

static void interrupts(void)
{
	ipi(1, 0x41);
	check("ipi_fixed", soon(&count[1][0x41], 1), 1);
	ipi(2, 0x41);
	check("ipi_fixed2", soon(&count[2][0x41], 1), 1);
	ipi(6, ICR_LOGICAL | 0x42);		/* flat: processors 1 and 2 */
	check("ipi_logical", soon(&count[1][0x42], 1) && soon(&count[2][0x42], 1), 1);
	ipi(0, ICR_OTHERS | 0x43);
	check("ipi_others", soon(&count[1][0x43], 1) && soon(&count[2][0x43], 1), 1);
	report("ipi_others", "not_self", count[0][0x43], 0);
	ipi(0, ICR_ALL | 0x45);
	check("ipi_all", soon(&count[1][0x45], 1) && soon(&count[2][0x45], 1) && soon(&count[0][0x45], 1), 1);
	ipi(0, ICR_SELF | 0x46);
	check("ipi_self", soon(&count[0][0x46], 1), 1);
	report("ipi_self", "only", count[1][0x46] + count[2][0x46], 0);
	ipi(0xff, 0x47);			/* physical broadcast */
	check("ipi_broadcast", soon(&count[1][0x47], 1) && soon(&count[2][0x47], 1) && soon(&count[0][0x47], 1), 1);
	ipi(2, ICR_NMI);
	check("ipi_nmi", soon(&count[2][NMI], 1), 1);
	command(COMMAND_NMI, 1);
	check("kvm_nmi", soon(&count[1][NMI], 1), 1);
	ipi(6, ICR_LOGICAL | 0x100 | 0x48);	/* lowest priority: one of the two */
	{
		u64 until = rdtsc() + 20000000000ull;

		while (!(count[1][0x48] + count[2][0x48]) && rdtsc() < until)
			pause();
		for (unsigned int i = 0; i < 10000; i++)
			pause();
		check("ipi_lowest", count[1][0x48] + count[2][0x48], 1);
	}
	/* asleep in HLT */
	job[1] = sleep_until_ipi;
	for (unsigned int i = 0; i < 10000; i++)
		pause();
	ipi(1, 0x44);
	check("ipi_hlt", soon(&count[1][0x44], 1), 1);
	while (job[1])
		pause();
}

/* -- locked instructions ------------------------------------------------------------------------------------------------ */

static volatile u64 counter[16] __attribute__((aligned(64)));
static volatile u64 pair[2] __attribute__((aligned(16)));
static volatile u32 lock_bit, lock_byte;
static volatile u64 plain;
static u8 splitbuf[128] __attribute__((aligned(64)));

static void atomics(unsigned int cpu)
{
	volatile u32 *split = (volatile u32 *)(splitbuf + 62);

	barrier(1);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		u64 a = 1, d = 0, old;

		__asm__ volatile("lock incq %0" : "+m"(counter[0]));
		__asm__ volatile("lock addl $1, %0" : "+m"(*(volatile u32 *)&counter[1]));
		__asm__ volatile("lock xaddq %1, %0" : "+m"(counter[2]), "+r"(a));
		__asm__ volatile("lock subw $1, %0" : "+m"(*(volatile u16 *)&counter[3]));
		__asm__ volatile("lock addb $1, %0" : "+m"(*(volatile u8 *)&counter[4]));
		do {
			old = counter[5];
		} while (!__sync_bool_compare_and_swap(&counter[5], old, old + 1));
		/* CMPXCHG8B and 16B: the same number in both halves */
		for (bool ok = false; !ok;) {
			u32 lo = counter[6], hi = counter[6] >> 32;

			__asm__ volatile("lock cmpxchg8b %1" : "=@ccz"(ok), "+m"(counter[6]), "+a"(lo), "+d"(hi)
					 : "b"(lo + 1), "c"(hi + 1) : "memory");
		}
		for (bool ok = false; !ok;) {
			a = pair[0];
			d = pair[1];
			__asm__ volatile("lock cmpxchg16b %1" : "=@ccz"(ok), "+m"(pair), "+a"(a), "+d"(d)
					 : "b"(a + 1), "c"(d + 1) : "memory");
		}
		for (bool was = true; was;)
			__asm__ volatile("lock btsl $5, %1" : "=@ccc"(was), "+m"(lock_bit));
		plain++;
		__asm__ volatile("lock btrl $5, %0" : "+m"(lock_bit));
		for (u32 v = 1; v;)
			__asm__ volatile("xchgl %0, %1" : "+r"(v), "+m"(lock_byte));
		counter[7]++;
		lock_byte = 0;
		/* across a cache line */
		__asm__ volatile("lock incl %0" : "+m"(*split));
		__asm__ volatile("lock notl %0" : "+m"(*(volatile u32 *)&counter[8]));
		__asm__ volatile("lock decq %0" : "+m"(counter[9]));
	}
}

static void check_atomics(void)
{
	const u64 n = CPUS * ROUNDS;

	together(atomics);
	check("lock_inc", counter[0], n);
	check("lock_add", counter[1], n);
	check("lock_xadd", counter[2], n);
	check("lock_sub16", counter[3], (u16)-n);
	check("lock_add8", counter[4], (u8)n);
	check("lock_cmpxchg", counter[5], n);
	check("cmpxchg8b", counter[6], n << 32 | n);
	check("cmpxchg16b_low", pair[0], n);
	check("cmpxchg16b_high", pair[1], n);
	check("bts_lock", plain, n);
	check("xchg_lock", counter[7], n);
	check("lock_split", *(u32 *)(splitbuf + 62), n);
	check("lock_not", (u32)counter[8], n & 1 ? ~0u : 0);
	check("lock_dec", counter[9], -n);
}

/* -- memory order --------------------------------------------------------------------------------------------------------- */

static volatile u64 word __attribute__((aligned(64)));
static volatile u64 data __attribute__((aligned(64)));
static volatile u64 flag __attribute__((aligned(64)));
static volatile u64 torn, stale, both_zero;
static volatile u64 x_var __attribute__((aligned(64))), y_var __attribute__((aligned(64))), seen[2];

/* Aligned accesses are whole: 0 or all ones, never half. SDM 3A 8.1.1 */
static void tearing(unsigned int cpu)
{
	barrier(1);
	for (unsigned int i = 0; i < 4 * ROUNDS; i++) {
		if (!cpu) {
			word = i & 1 ? ~0ull : 0;
		} else {
			u64 v = word;

			if (v && ~v)
				__atomic_fetch_add(&torn, 1, __ATOMIC_SEQ_CST);
		}
	}
}

/* Stores are seen in their order, loads are done in theirs. SDM 3A 8.2.3.2 */
static void message_passing(unsigned int cpu)
{
	barrier(1);
	for (u64 i = 1; i <= 4 * ROUNDS; i++) {
		if (!cpu) {
			data = i;
			flag = i;
		} else {
			u64 f = flag, d = data;

			if (d < f)
				__atomic_fetch_add(&stale, 1, __ATOMIC_SEQ_CST);
		}
	}
}

/* With MFENCE between store and load not both can miss the other's store. SDM 3A 8.2.3.4 (without, they may) */
static void store_buffer(unsigned int cpu)
{
	if (cpu == 2)
		return;
	for (unsigned int i = 0; i < 2000; i++) {
		u64 v;

		__atomic_fetch_add(&barrier_in, 1, __ATOMIC_SEQ_CST);
		while (barrier_in < 4 * i + 2)
			;
		if (cpu) {
			x_var = i + 1;
			__asm__ volatile("mfence" ::: "memory");
			v = y_var;
		} else {
			y_var = i + 1;
			__asm__ volatile("lock orl $0, (%%rsp)" ::: "memory");
			v = x_var;
		}
		seen[cpu] = v;
		__atomic_fetch_add(&barrier_in, 1, __ATOMIC_SEQ_CST);
		while (barrier_in < 4 * i + 4)
			;
		if (!cpu && seen[0] <= i && seen[1] <= i)
			both_zero++;
	}
}

static void check_order(void)
{
	together(tearing);
	check("tearing", torn, 0);
	together(message_passing);
	check("message_passing", stale, 0);
	together(store_buffer);
	check("store_buffer_fenced", both_zero, 0);
}

/* -- the time stamp counter: no processor sees it go back ----------------------------------------------------------------- */

static volatile u64 last_tsc, backwards;

static void tsc(unsigned int cpu)
{
	barrier(1);
	for (unsigned int i = 0; i < 5000; i++) {
		u64 now;

		for (u32 v = 1; v;)
			__asm__ volatile("xchgl %0, %1" : "+r"(v), "+m"(lock_byte));
		__asm__ volatile("lfence" ::: "memory");	/* RDTSC by itself is not ordered */
		now = rdtsc();
		if (now < last_tsc)
			backwards++;
		last_tsc = now;
		lock_byte = 0;
	}
}

/* -- TLB shoot-down and changed code ------------------------------------------------------------------------------------------ */

#define TEST_VA	0x40000000ul
#define FRAME0	0x800000ul
#define FRAME1	0xa00000ul
extern u64 pd[];
static volatile u32 acked, stop, wrong;

static void on_shootdown(struct frame *f)
{
	invlpg((void *)TEST_VA);
	apic_wr(0xb0, 0);
	__atomic_fetch_add(&acked, 1, __ATOMIC_SEQ_CST);
}

/* Reads through the mapping; POISON must never be seen. */
static void shot(unsigned int cpu)
{
	volatile u32 *v = (volatile u32 *)TEST_VA;

	barrier(1);
	if (cpu) {
		while (!stop) {
			if (*v == 0xdead)
				wrong = 1;
			__asm__ volatile("sti; nop; cli" ::: "memory");
		}
		return;
	}
	for (unsigned int i = 0; i < 500; i++) {
		ul old = i & 1 ? FRAME1 : FRAME0, new = i & 1 ? FRAME0 : FRAME1;

		*(volatile u32 *)new = 1;
		pd[512] = new | 0x87;
		invlpg((void *)v);
		acked = 0;
		ipi(0, ICR_OTHERS | 0x60);
		while (acked < CPUS - 1)
			pause();
		*(volatile u32 *)old = 0xdead;
	}
	stop = 1;
}

/* alone in its page */
static u8 code[PAGE] __attribute__((aligned(4096)));
static volatile u32 wanted;

static void on_new_code(struct frame *f)
{
	u32 r[4];

	cpuid(0, 0, r);		/* a serialising instruction, as SDM 3A 8.1.3 asks for */
	apic_wr(0xb0, 0);
	__atomic_fetch_add(&acked, 1, __ATOMIC_SEQ_CST);
}

static u32 call_code(void)
{
	u32 v;

	__asm__ volatile("call *%1" : "=a"(v) : "r"(code) : "memory", "cc");
	return v;
}

/* mov $imm, %eax; ret: after the IPI was answered nobody runs the old constant */
static void changed(unsigned int cpu)
{
	barrier(1);
	if (cpu) {
		while (!stop) {
			u32 least = wanted, v = call_code();

			if (v < least)
				wrong++;
			__asm__ volatile("sti; nop; cli" ::: "memory");
		}
		return;
	}
	for (u32 i = 1; i < 100; i++) {
		*(volatile u32 *)(code + 4) = i;		/* aligned: whole */
		acked = 0;
		ipi(0, ICR_OTHERS | 0x61);
		while (acked < CPUS - 1)
			pause();
		wanted = i;
	}
	stop = 1;
}

/* The textbook way: one waits for a flag and serialises, the other writes a whole new function. */
static volatile u32 turn, answer[CPUS];

static void handed_over(unsigned int cpu)
{
	barrier(1);
	for (u32 i = 1; i <= 25; i++) {
		if (!cpu) {
			static const u8 kinds[2][7] = {
				{ 0xb8, 0, 0, 0, 0, 0xc3, 0x90 },	/* mov $imm, %eax; ret */
				{ 0x90, 0xb8, 0, 0, 0, 0, 0xc3 },	/* nop; mov $imm, %eax; ret */
			};

			memcpy(code + 16, kinds[i & 1], 7);
			memcpy(code + 17 + (i & 1), &i, 4);
			answer[1] = answer[2] = 0;
			turn = i;
			while (answer[1] != i || answer[2] != i)
				if (answer[1] > 1000 || answer[2] > 1000)
					return;
		} else {
			u32 r[4], v;

			while (turn < i)
				pause();
			cpuid(0, 0, r);
			__asm__ volatile("call *%1" : "=a"(v) : "r"(code + 16) : "memory", "cc");
			if (v != i)
				wrong++;
			answer[cpu] = i;
		}
	}
}

static void check_changes(void)
{
	handler[0x60] = on_shootdown;
	handler[0x61] = on_new_code;
	*(volatile u32 *)FRAME0 = 1;
	pd[512] = FRAME0 | 0x87;
	flush_tlb();
	stop = wrong = 0;
	together(shot);
	check("shootdown", wrong, 0);
	memcpy(code, (const u8[]){ 0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3 }, 9);
	stop = wrong = 0;
	together(changed);
	check("cross_modifying", wrong, 0);
	wrong = 0;
	together(handed_over);
	check("cross_modifying_flag", wrong, 0);
}

/* No exception is wanted here, on any processor. */
static void on_exception(struct frame *f)
{
	static const char name[] = "exception";

	report(name, "vector", f->vector, ~0ull);
	report(name, "error", f->error, ~0ull);
	report(name, "rip", f->ip, ~0ull);
	report(name, "bytes", *(u64 *)(code + 16), ~0ull);
	done();
}

static volatile unsigned int debug_exceptions;

static void on_debug(struct frame *f)
{
	debug_exceptions++;
}

int main(u32 step)
{
	for (unsigned int i = 0; i < 32; i++)
		handler[i] = i == DB ? on_debug : on_exception;
	for (unsigned int i = 0x20; i < 256; i++)
		handler[i] = on_ipi;
	handler[NMI] = on_ipi;
	apic_wr(0xf0, 0x1ff);
	apic_wr(0xd0, 0x01000000);
	if (!start_up())
		return 1;
	interrupts();
	check_atomics();
	check_order();
	together(tsc);
	check("tsc_backwards", backwards, 0);
	check_changes();
	check("debug_exceptions", debug_exceptions, 0);
	return 0;
}
