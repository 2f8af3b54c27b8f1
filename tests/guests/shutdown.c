// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * shutdown.c - guests that destroy themselves, one a step: triple faults of all kinds end with KVM_EXIT_SHUTDOWN. SDM 3A 6.15 (double fault), APM 2 8.5.
 */
#include "kit.h"

#define KVM_EXIT_SHUTDOWN	8

SNIPPET(ud, "", "ud2");

static void idt_limit(u16 limit)
{
	struct table_reg r = { limit, (ul)idt };

	__asm__ volatile("lidt %0" :: "m"(r));
}

/* no table at all: #UD, #GP, double fault, none of which can be delivered */
static void no_idt(void)
{
	idt_limit(0);
	__asm__ volatile("ud2");
}

/* the double fault's gate is missing */
static void no_df_gate(void)
{
	idt[UD].access = 0;
	idt[DF].access = 0;
	idt[GP].access = 0;
	idt[NP].access = 0;
	__asm__ volatile("ud2");
}

/* the stack cannot be pushed to */
static void no_stack(void)
{
#ifdef __x86_64__
	__asm__ volatile("mov $0x800000000010, %%rsp; ud2" ::: "memory");
#else
	gdt[SEL_FREE / 8] = descriptor(0, 0, 0x93, 0x4);
	__asm__ volatile("mov %0, %%ss; mov $0x8000, %%esp; ud2" :: "r"(SEL_FREE) : "memory");
#endif
}

/* the interrupted code is in ring 3, and the task register's stack does not exist */
static void no_tss_stack(void)
{
	extern u32 kit_tss[];

#ifdef __x86_64__
	*(u64 *)((u8 *)kit_tss + 4) = 0x800000000010;
#else
	kit_tss[2] = 0;		/* SS0: null */
#endif
	try_user(ud, 0);
}

/* the page tables vanish */
static void no_page_tables(void)
{
#ifdef __x86_64__
	extern u64 pml4[];

	pml4[0] = 0;
	flush_tlb();
#else
	static u32 empty[1024] __attribute__((aligned(4096)));

	wr_cr3((ul)empty);
	wr_cr0(rd_cr0() | CR0_PG);
#endif
	__asm__ volatile("nop");
}

static void (*const steps[])(void) = { no_idt, no_df_gate, no_stack, no_tss_stack, no_page_tables };

int main(u32 step)
{
	if (step < ARRAY_SIZE(steps)) {
		command(COMMAND_END, KVM_EXIT_SHUTDOWN);
		steps[step]();
		return 1;
	}
	check("alive", 1, 1);
	return 0;
}
