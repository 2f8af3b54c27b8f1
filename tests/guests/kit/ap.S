/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* ap.S - where start-up IPIs lead: copied to 0x8000, from real mode to ap_main(index) in 64-bit mode. */
	.section .note.GNU-stack, "", @progbits
#ifdef __x86_64__
	.text
	.global ap_start, ap_end
	.set	AT, 0x8000
	.code16
ap_start:
	cli
	movw	%cs, %bx
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%bx, AT + (ap_cs - ap_start)
	movl	%cr0, %eax
	movl	%eax, AT + (ap_cr0 - ap_start)
	lgdtl	AT + (ap_gdtr - ap_start)
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$8, $(AT + (1f - ap_start))
	.code32
1:	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	%cr0, %eax
	andl	$~0x60000000, %eax
	movl	%eax, %cr0
	movl	$1, %ebp
	lock xaddl %ebp, ap_count
	incl	%ebp
	movl	%ebp, %esp
	shll	$13, %esp
	addl	$ap_stacks, %esp
	movl	$enter_long, %eax
	call	*%eax
	.code64
	movl	%ebp, %edi
	movq	$ap_main, %rax
	call	*%rax
2:	cli
	hlt
	jmp	2b
	.p2align 3
ap_gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
ap_gdtr:
	.word	. - ap_gdt - 1
	.long	AT + (ap_gdt - ap_start)
	.p2align 3
	.global ap_cs, ap_cr0
ap_cs:	.long	0
ap_cr0:	.long	0
ap_end:
	.weak	ap_main
	.data
	.p2align 2
ap_count:
	.long	0
	.bss
	.p2align 4
ap_stacks:
	.skip	8192 * 8
#endif
