/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* smp.h - the local APIC and other processors, for programs with more than one vCPU. */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "kit.h"

#define APIC	0xfee00000ul
#define ICR_NMI		0x400
#define ICR_INIT	0x500
#define ICR_STARTUP	0x600
#define ICR_LOGICAL	0x800
#define ICR_ASSERT	0x4000
#define ICR_SELF	0x40000
#define ICR_ALL		0x80000
#define ICR_OTHERS	0xc0000

/* kit/ap.S: what runs at the start-up vector, and where it calls with the processor's number from 1 on. */
extern const u8 ap_start[], ap_end[], ap_cs[], ap_cr0[];
void ap_main(u32 index);

static inline void apic_wr(u32 reg, u32 v)
{
	*(volatile u32 *)(APIC + reg) = v;
}

static inline u32 apic_rd(u32 reg)
{
	return *(volatile u32 *)(APIC + reg);
}

static inline void ipi(u32 dest, u32 low)
{
	apic_wr(0x310, dest << 24);
	apic_wr(0x300, low | ICR_ASSERT);
	while (apic_rd(0x300) & 0x1000)
		pause();
}

/** Start processor i and wait, seconds at most, until it has set *up. */
static inline bool start_ap(unsigned int i, const volatile bool *up)
{
	u64 until = rdtsc() + 20000000000ull;

	memcpy((void *)0x8000, ap_start, ap_end - ap_start);
	ipi(i, ICR_INIT);
	ipi(i, ICR_STARTUP | 8);
	while (!*up && rdtsc() < until)
		pause();
	return *up;
}

#endif
