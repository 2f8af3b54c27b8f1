// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * enter.c - the border between C and translated code, in assembly, with the offsets taken from the
 * C structures.
 *
 * Registers inside: rsp = st of struct soft_vcpu; guest rax rdx rbx rbp rsi rdi r8 r9 r10 r12 in their
 * namesakes, guest rsp in r11, guest rcx in r13, guest r11 r13 r14 r15 in memory; rcx (T0), r14
 * (T1), r15 (T2) are scratch. The guest's arithmetic flags are the host's.
 */
#include "soft.h"

#define G(r)	(8 * (X86_##r))
#define OFF(field) ((long)offsetof(struct soft_vcpu, field) - SOFT_RSP)

/*
 * The guest's registers and arithmetic flags to memory; leaves rcx, r14 and r15 alone, AX is lost.
 */
#define SAVE_GUEST \
	"	mov %%rax, %c[rax](%%rsp)\n" \
	"	lahf\n" \
	"	seto %%al\n" \
	"	mov %%ax, %c[flags](%%rsp)\n" \
	"	mov %%r13, %c[rcx](%%rsp)\n" \
	"	mov %%rdx, %c[rdx](%%rsp)\n" \
	"	mov %%rbx, %c[rbx](%%rsp)\n" \
	"	mov %%r11, %c[rsp](%%rsp)\n" \
	"	mov %%rbp, %c[rbp](%%rsp)\n" \
	"	mov %%rsi, %c[rsi](%%rsp)\n" \
	"	mov %%rdi, %c[rdi](%%rsp)\n" \
	"	mov %%r8, %c[r8](%%rsp)\n" \
	"	mov %%r9, %c[r9](%%rsp)\n" \
	"	mov %%r10, %c[r10](%%rsp)\n" \
	"	mov %%r12, %c[r12](%%rsp)\n"

/* The arithmetic flags from memory: OF from AL (0x7f + 1 overflows), the others from AH. */
#define LOAD_FLAGS \
	"	movzwl %c[flags](%%rsp), %%eax\n" \
	"	add $0x7f, %%al\n" \
	"	sahf\n"

/* Never called: a frame for the assembly, so that it can use offsetof(). */
static void __attribute__((used, noinline)) enter_code(void)
{
	__asm__ volatile(
	".pushsection .text\n"
	".balign 64\n"
	".globl soft_enter_code\n.hidden soft_enter_code\n.type soft_enter_code, @function\n"
	"soft_enter_code:\n"
	"	push %%rbx\n	push %%rbp\n	push %%r12\n	push %%r13\n	push %%r14\n	push %%r15\n"
	"	add %[below], %%rdi\n"
	"	mov %%rsp, %c[host_rsp](%%rdi)\n"
	"	mov %%rdi, %%rsp\n"
	"	mov %%rsi, %c[scratch0](%%rsp)\n"
	LOAD_FLAGS
	"	mov %c[rip](%%rsp), %%r14\n"
	"	mov %c[rax](%%rsp), %%rax\n"
	"	mov %c[rcx](%%rsp), %%r13\n"
	"	mov %c[rdx](%%rsp), %%rdx\n"
	"	mov %c[rbx](%%rsp), %%rbx\n"
	"	mov %c[rsp](%%rsp), %%r11\n"
	"	mov %c[rbp](%%rsp), %%rbp\n"
	"	mov %c[rsi](%%rsp), %%rsi\n"
	"	mov %c[rdi](%%rsp), %%rdi\n"
	"	mov %c[r8](%%rsp), %%r8\n"
	"	mov %c[r9](%%rsp), %%r9\n"
	"	mov %c[r10](%%rsp), %%r10\n"
	"	mov %c[r12](%%rsp), %%r12\n"
	"	jmp *%c[scratch0](%%rsp)\n"

	/* slow paths call these; where from says the rest */
	".balign 16\n"
	".globl soft_link_thunk\n.hidden soft_link_thunk\n"
	"soft_link_thunk:\n"
	"	popq %c[scratch1](%%rsp)\n"
	"	mov %[sx_link], %%ecx\n"
	"	jmp soft_exit_common\n"
	".globl soft_kick_thunk\n.hidden soft_kick_thunk\n"
	"soft_kick_thunk:\n"
	"	popq %c[scratch1](%%rsp)\n"
	"	mov %[sx_kick], %%ecx\n"
	"	jmp soft_exit_common\n"

	/* ecx = enum soft_exit; everything else is guest state */
	".balign 64\n"
	".globl soft_exit_common\n.hidden soft_exit_common\n"
	"soft_exit_common:\n"
	SAVE_GUEST
	"	mov %%ecx, %%eax\n"
	"1:	mov %c[host_rsp](%%rsp), %%rsp\n"
	"	pop %%r15\n	pop %%r14\n	pop %%r13\n	pop %%r12\n	pop %%rbp\n	pop %%rbx\n"
	"	cld\n"
	"	ret\n"

	/*
	 * Called by an access whose TLB check failed: r14 = guest-linear address, ecx = TLBI_*.
	 * Returns with rcx = host address - r14, to the caller's retry point, or leaves translated
	 * code for good.
	 */
	".balign 64\n"
	".globl soft_tlb_thunk\n.hidden soft_tlb_thunk\n"
	"soft_tlb_thunk:\n"
	"	popq %c[scratch1](%%rsp)\n"
	SAVE_GUEST
	"	lea -%c[below](%%rsp), %%rdi\n"
	"	mov %%rdi, %%rsp\n"
	"	mov %%r14, %%rsi\n"
	"	mov %%ecx, %%edx\n"
	"	call soft_tlb_miss\n"
	"	lea %c[below](%%rsp), %%rsp\n"
	"	test %%rax, %%rax\n"
	"	jz 2f\n"
	"	mov %%rax, %%rcx\n"
	"	sub %%r14, %%rcx\n"
	LOAD_FLAGS
	"	mov %c[rax](%%rsp), %%rax\n"
	"	mov %c[rdx](%%rsp), %%rdx\n"
	"	mov %c[rsp](%%rsp), %%r11\n"
	"	mov %c[rsi](%%rsp), %%rsi\n"
	"	mov %c[rdi](%%rsp), %%rdi\n"
	"	mov %c[r8](%%rsp), %%r8\n"
	"	mov %c[r9](%%rsp), %%r9\n"
	"	mov %c[r10](%%rsp), %%r10\n"
	"	jmp *%c[scratch1](%%rsp)\n"
	"2:	mov %c[exit_arg](%%rsp), %%eax\n"
	"	jmp 1b\n"
	".popsection\n"
	:: [host_rsp] "i"(OFF(host_rsp)),
	   [scratch0] "i"(OFF(scratch[0])),
	   [scratch1] "i"(OFF(scratch[1])),
	   [flags] "i"(OFF(saved_flags)),
	   [exit_arg] "i"(OFF(exit_arg)),
	   [below] "i"(SOFT_RSP), [sx_link] "i"(SX_LINK), [sx_kick] "i"(SX_KICK),
	   [rip] "i"(OFF(st.rip)),
	   [rax] "i"(G(RAX)), [rcx] "i"(G(RCX)), [rdx] "i"(G(RDX)), [rbx] "i"(G(RBX)), [rsp] "i"(G(RSP)),
	   [rbp] "i"(G(RBP)), [rsi] "i"(G(RSI)), [rdi] "i"(G(RDI)), [r8] "i"(G(R8)), [r9] "i"(G(R9)),
	   [r10] "i"(G(R10)), [r12] "i"(G(R12)));
}
