/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * start.S - from the runner's 32-bit flat protected mode (EDI: step) to main(), the interrupt entries, and the two ways
 * to run code that may end in an exception.
 */
#include "abi.h"

#ifdef __x86_64__
#define BYTES	8
#define AX	%rax
#define BX	%rbx
#define CX	%rcx
#define DX	%rdx
#define SI	%rsi
#define DI	%rdi
#define BP	%rbp
#define SP	%rsp
#else
#define BYTES	4
#define AX	%eax
#define BX	%ebx
#define CX	%ecx
#define DX	%edx
#define SI	%esi
#define DI	%edi
#define BP	%ebp
#define SP	%esp
#endif

	.section .text.start, "ax"
	.code32
	.global _start
_start:
	movl	$kernel_stack_top, %esp
#ifdef __x86_64__
	movl	%edi, %ebp
	call	enter_long
	.code64
	movl	%ebp, %edi
	call	kit_start
#else
	subl	$12, %esp
	pushl	%edi
	call	kit_start
#endif
1:	hlt
	jmp	1b

#ifdef __x86_64__
	/* Identity map of 4 GiB in 2 MiB pages, user-accessible; returns in 64-bit mode. Other CPUs reuse the tables. */
	.code32
	.global enter_long
enter_long:
	cmpl	$0, pml4
	jne	2f
	movl	$(pdpt + 7), pml4
	xorl	%ecx, %ecx
	movl	$(pd + 7), %eax
1:	movl	%eax, pdpt(, %ecx, 8)
	addl	$4096, %eax
	incl	%ecx
	cmpl	$4, %ecx
	jb	1b
	xorl	%ecx, %ecx
	movl	$0x87, %eax
1:	movl	%eax, pd(, %ecx, 8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$2048, %ecx
	jb	1b
2:	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x901, %eax		/* SCE, LME, NXE */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000020, %eax	/* PG, NE */
	movl	%eax, %cr0
	lgdt	start_gdtr
	popl	%eax
	movl	%eax, start_return
	ljmp	$8, $1f
	.code64
1:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	start_return, %eax
	jmp	*%rax

	.data
	.p2align 3
start_gdt:
	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff
start_gdtr:
	.word	. - start_gdt - 1
	.long	start_gdt
start_return:
	.long	0
	.bss
	.p2align 12
	.global pml4, pdpt, pd
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4096 * 4
#endif

	.bss
	.p2align 12
	.skip	16384
	.global kernel_stack_top, trap_stack_top, user_stack, user_stack_top, ist_stack_top
kernel_stack_top:
	.skip	16384
trap_stack_top:
	.skip	8192
ist_stack_top:
user_stack:
	.skip	8192
user_stack_top:
	.skip	64

/* -- interrupt entries: 16 bytes each, all leave a struct frame ---------------------------------------------------- */

	.text
	.p2align 4
	.global kit_vectors
kit_vectors:
	.set	v, 0
	.rept	256
	.p2align 4
	.if (v == 8) || ((v >= 10) && (v <= 14)) || (v == 17)
	.else
	push	$0
	.endif
	push	$v
	jmp	entry
	.set	v, v + 1
	.endr

entry:
	push	AX
	push	CX
	push	DX
	push	BX
	push	BP
	push	SI
	push	DI
#ifdef __x86_64__
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushf
	pop	%rsi
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	cld
	call	kit_trap
	movq	%rbp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
#else
	push	%ds
	push	%es
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	pushf
	pop	%edx
	movl	%esp, %eax
	cld
	call	kit_trap
	pop	%es
	pop	%ds
#endif
	pop	DI
	pop	SI
	pop	BP
	pop	BX
	pop	DX
	pop	CX
	pop	AX
	add	$(2 * BYTES), SP
#ifdef __x86_64__
	iretq
#else
	iretl
#endif

/* -- code that may end in an exception ----------------------------------------------------------------------------- */

	.macro	save_callee
	push	BX
	push	BP
#ifdef __x86_64__
	push	%r12
	push	%r13
	push	%r14
	push	%r15
#else
	push	SI
	push	DI
#endif
	.endm
	.macro	restore_callee
#ifdef __x86_64__
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
#else
	pop	DI
	pop	SI
#endif
	pop	BP
	pop	BX
	.endm

	/* kit_call(fn, arg): returns 0, or 1 by way of kit_resume */
	.global	kit_call, kit_resume, kit_iret, user_end
kit_call:
#ifdef __x86_64__
	save_callee
	movq	%rsp, resume_sp
	movq	%rdi, %rax
	movq	%rsi, %rdi
#else
	movl	4(%esp), %eax
	movl	8(%esp), %edx
	save_callee
	movl	%esp, resume_sp
	movl	%edx, %edi
#endif
	call	*AX
	mov	resume_sp, SP		/* a snippet may leave something on the stack */
	xorl	%eax, %eax
	restore_callee
	ret

kit_resume:
	mov	resume_sp, SP
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	push	$2
	popf
	movl	$1, %eax
	restore_callee
	ret

	/* kit_iret(frame): frame is ip, cs, flags, sp, ss, then di */
kit_iret:
#ifdef __x86_64__
	save_callee
	movq	%rsp, resume_sp
	pushq	32(%rdi)
	pushq	24(%rdi)
	pushq	16(%rdi)
	pushq	8(%rdi)
	pushq	(%rdi)
	movq	40(%rdi), %rdi
	.global kit_iret_at
kit_iret_at:
	iretq
#else
	movl	4(%esp), %eax
	save_callee
	movl	%esp, resume_sp
	pushl	16(%eax)
	pushl	12(%eax)
	pushl	8(%eax)
	pushl	4(%eax)
	pushl	(%eax)
	movl	20(%eax), %edi
	movl	16(%eax), %eax
	cmpl	$0x23, %eax
	jne	1f
	movl	%eax, %ds
	movl	%eax, %es
1:
	.global kit_iret_at
kit_iret_at:
	iretl

	/* kit_iret_v86(frame): ip, cs, flags, sp, ss, es, ds, fs, gs, then ax */
	.global	kit_iret_v86, kit_iret_v86_at
kit_iret_v86:
	movl	4(%esp), %eax
	save_callee
	movl	%esp, resume_sp
	.set	i, 32
	.rept	9
	pushl	i(%eax)
	.set	i, i - 4
	.endr
	movl	36(%eax), %eax
kit_iret_v86_at:
	iretl
#endif

user_end:
	int	$0x80
	.data
	.p2align 3
resume_sp:
	.quad	0

	.section .note.GNU-stack, "", @progbits
