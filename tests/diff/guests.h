/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * guests.h - the small guests that run between the calls: a few instructions in real, protected or 64-bit mode, then
 * OUT to port 0xf4. All other memory is full of OUT to port 0x42, and exceptions and interrupts lead to a handler that
 * shows the vector at port 0xf5, so that wherever a guest comes to, it soon exits.
 */
#ifndef TESTS_DIFF_GUESTS_H
#define TESTS_DIFF_GUESTS_H

#include <stdint.h>

/* name, needs no interrupt controllers in the kernel (it may halt), text for all three modes */
#define GUESTS(G)								\
	G(nothing, 0, "nop")							\
	G(cpuid, 0, "cpuid")							\
	G(rdmsr, 0, "rdmsr")							\
	G(wrmsr, 0, "wrmsr; rdmsr")						\
	G(out8, 0, "out %al, %dx")						\
	G(out16, 0, "out %ax, %dx")						\
	G(out32, 0, "out %eax, %dx")						\
	G(in8, 0, "in %dx, %al")						\
	G(in16, 0, "in %dx, %ax")						\
	G(in32, 0, "in %dx, %eax")						\
	G(read32, 0, "mov (%edi), %eax")					\
	G(write32, 0, "mov %eax, (%edi)")					\
	G(write8, 0, "mov %al, (%edi)")					\
	G(add16, 0, "add %ax, (%edi)")					\
	G(xchg32, 0, "xchg %eax, (%edi)")					\
	G(int48, 0, "int $48")							\
	G(int3, 0, "int3")							\
	G(ud2, 0, "ud2")							\
	G(divide, 0, "mov $0, %ecx; div %ecx")				\
	G(arith, 0, "add %ebx, %eax; adc %esi, %edx; sbb %ecx, %edx; lea 3(%ebx,%esi), %ebp; cmp %edi, %esi")	\
	G(sti, 0, "sti; nop; nop; cli")						\
	G(cli, 0, "cli")							\
	G(hlt, 1, "hlt")							\
	G(sti_hlt, 1, "sti; hlt")						\
	G(lmsw, 0, "smsw %ax; lmsw %ax")					\
	G(clts, 0, "clts")							\
	G(xgetbv, 0, "mov $0, %ecx; xgetbv")				\
	G(xsetbv, 0, "mov $0, %ecx; mov $0, %edx; xsetbv")	\
	G(fpu, 0, "fninit; fld1; fldpi; faddp")					\
	G(sse, 0, "movd %eax, %xmm0; movd %ebx, %xmm1; paddd %xmm1, %xmm0; movd %xmm0, %eax")	\
	G(wbinvd, 0, "wbinvd")							\
	G(rdpmc, 0, "rdpmc")							\
	G(monitor, 0, "mov $0, %ecx; mov $0, %edx; monitor")		\
	G(vmcall, 0, ".byte 0x0f, 0x01, 0xd9")					\
	G(popf, 0, "push %ax; popfw; pushfw; pop %bx")			\
	G(push_pop, 0, "push %ax; pop %bx; mov %ss, %ax; mov %ax, %ss; nop")	\
	G(rep_out, 0, "mov $1, %ecx; cld; rep outsb")				\
	G(rep_in, 0, "mov $3, %ecx; cld; mov $0x3000, %edi; rep insb")		\
	G(rep_movs, 0, "mov $16, %ecx; cld; rep movsb")			\
	G(cmpxchg, 0, "lock cmpxchg %ebx, (%edi)")				\
	G(invlpg, 0, "invlpg (%edi)")						\
	G(sidt, 0, "sidt 0x3000; sgdt 0x3010; sldt %ax; str %bx")		\
	G(ltr, 0, "ltr %ax")							\
	G(mov_ds, 0, "mov %ax, %ds; mov %ds, %bx")				\
	G(mov_ss, 0, "mov %ax, %ss; mov %ss, %bx")				\
	G(lar, 0, "lar %eax, %ebx; lsl %eax, %ecx")				\
	G(self, 0, "movb $0x90, 0x8000; nop")

/* These have another register width in each mode: a and b are the names of RAX and RBX. */
#define WIDE_GUESTS(G, a, b)							\
	G(rd_cr0, "mov %cr0, " a)	G(wr_cr0, "mov " a ", %cr0")		\
	G(rd_cr2, "mov %cr2, " a)	G(wr_cr2, "mov " a ", %cr2; mov %cr2, " b)	\
	G(rd_cr3, "mov %cr3, " a)	G(wr_cr3, "mov %cr3, " a "; mov " a ", %cr3")	\
	G(rd_cr4, "mov %cr4, " a)	G(wr_cr4, "mov " a ", %cr4")		\
	G(rd_dr6, "mov %dr6, " a)	G(wr_dr6, "mov " a ", %dr6; mov %dr6, " b)	\
	G(rd_dr7, "mov %dr7, " a)	G(wr_dr7, "mov " a ", %dr7; mov %dr7, " b)	\
	G(wr_dr0, "mov " a ", %dr0; mov %dr0, " b)

struct guest {
	const char *name;
	int halts;
	const uint8_t *code[3], *end[3];	/* 16, 32, 64 bits */
};

#define GUEST_LABELS(name)									\
	extern const uint8_t g16_##name[], g16_##name##_end[], g32_##name[], g32_##name##_end[],	\
		g64_##name[], g64_##name##_end[];
#define GUEST_DECLARE(name, halts, text)	GUEST_LABELS(name)
#define WIDE_DECLARE(name, text)		GUEST_LABELS(name)
GUESTS(GUEST_DECLARE)
WIDE_GUESTS(WIDE_DECLARE, , )

#define GUEST_TEXT(bits, name, text)								\
	".code" #bits "\n.globl g" #bits "_" #name "\ng" #bits "_" #name ": " text		\
	"; out %al, $0xf4\n.globl g" #bits "_" #name "_end\ng" #bits "_" #name "_end:\n"
#define GUEST_BODY(name, halts, text)	GUEST_TEXT(16, name, text) GUEST_TEXT(32, name, text) GUEST_TEXT(64, name, text)
#define WIDE16(name, text)		GUEST_TEXT(16, name, text)
#define WIDE32(name, text)		GUEST_TEXT(32, name, text)
#define WIDE64(name, text)		GUEST_TEXT(64, name, text)
__asm__(".pushsection .rodata,\"a\",@progbits\n"
	GUESTS(GUEST_BODY)
	WIDE_GUESTS(WIDE16, "%eax", "%ebx")
	WIDE_GUESTS(WIDE32, "%eax", "%ebx")
	WIDE_GUESTS(WIDE64, "%rax", "%rbx")
	".code64\n.popsection\n");

#define GUEST_ROW(name, halts, text)	{ #name, halts, { g16_##name, g32_##name, g64_##name },		\
					  { g16_##name##_end, g32_##name##_end, g64_##name##_end } },
#define WIDE_ROW(name, text)		GUEST_ROW(name, 0, text)
static const struct guest guests[] = { GUESTS(GUEST_ROW) WIDE_GUESTS(WIDE_ROW, , ) };
#define NR_GUESTS	(sizeof(guests) / sizeof(guests[0]))

#endif
