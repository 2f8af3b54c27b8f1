/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * real.S - 16-bit real-address mode: exceptions through the interrupt vector table without error codes, segment bases and
 * limits, INT and IRET, 32-bit operands, unreal mode. SDM 3B 21.1.
 */
#include "real.h"

	.code16
	.text
	.global _start
_start:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp

	/* divide error: the frame is FLAGS, CS, IP of the instruction; no error code */
	vector	0, 1f
	movw	$5, %ax
	xorw	%dx, %dx
	xorw	%cx, %cx
10:	divw	%cx
	movw	$0xdead, %ax
	jmp	2f
1:	popw	%ax
	subw	$10b, %ax
	addw	$4, %sp
2:	result	"de.ip", 0
	movw	%sp, %ax
	result	"de.sp", 0x7c00

	/* INT n: the next instruction's IP, IF and TF clear inside, flags back after IRET */
	vector	0x21, 1f
	stc
	sti
20:	int	$0x21
21:	pushfw
	cli
	popw	%ax
	andw	$0x201, %ax
	result	"int.flags_after", 0x201
	jmp	3f
1:	pushfw
	popw	%ax
	andw	$0x300, %ax
	result	"int.flags_inside", 0
	movw	%sp, %bp
	movw	(%bp), %ax
	subw	$21b, %ax
	result	"int.ip", 0
	movw	4(%bp), %ax
	andw	$0x201, %ax
	result	"int.pushed", 0x201
	iret
3:
	/* INTO, BOUND, undefined opcodes */
	vector	4, 1f
	movw	$0x7fff, %ax
	addw	$1, %ax
	into
30:	movw	$0xdead, %ax
	jmp	2f
1:	popw	%ax
	subw	$30b, %ax
	addw	$4, %sp
2:	result	"of.ip", 0
	vector	6, 1f
31:	ud2
	movw	$0xdead, %ax
	jmp	2f
1:	popw	%ax
	subw	$31b, %ax
	addw	$4, %sp
2:	result	"ud.ip", 0
	/* protected mode's instructions are undefined here */
	vector	6, 1f
32:	sldt	%ax
	movw	$0xdead, %ax
	jmp	2f
1:	popw	%ax
	subw	$32b, %ax
	addw	$4, %sp
2:	result	"ud_sldt.ip", 0
	vector	3, 1f
	int3
33:	movw	$0xdead, %ax
	jmp	2f
1:	popw	%ax
	subw	$33b, %ax
	addw	$4, %sp
2:	result	"bp.ip", 0

	/* a segment is 16 times its selector, and 64 KiB */
	movw	$0x1234, %ax
	movw	%ax, %ds
	movl	$0xcafe, %ds:0x10
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	$0x1235, %ax
	movw	%ax, %fs
	movw	%fs:0, %ax
	result	"base", 0xcafe
	/* an access across offset FFFFh, and one by a 32-bit address beyond it: #GP, #SS for the stack */
	vector	13, 1f
34:	movw	0xffff, %ax
	movw	$0xdead, %ax
	jmp	2f
1:	popw	%ax
	subw	$34b, %ax
	addw	$4, %sp
2:	result	"limit.ip", 0
	vector	13, 1f
	movl	$0x10000, %ebx
35:	movb	(%ebx), %al
	movw	$0xdead, %ax
	jmp	2f
1:	popw	%ax
	subw	$35b, %ax
	addw	$4, %sp
2:	result	"limit32.ip", 0
	/* addresses wrap at 16 bits where the address size is 16 */
	movw	$0xbeef, 0x500
	movw	$0x8500, %bx
	movw	$0x8000, %si
	movw	(%bx, %si), %ax
	result	"wrap", 0xbeef
	/* far call and return */
	lcall	$0x100, $(1f - 0x1000)
	result	"far_call", 0x100
	jmp	2f
1:	movw	%cs, %ax
	lret
2:
	/* 32-bit operands and addresses */
	movl	$0x12345678, %eax
	shrl	$16, %eax
	result	"operand32", 0x1234
	pushl	$0x55667788
	popw	%bx
	popw	%ax
	result	"push32", 0x5566
	/* LOOP, string moves, BCD */
	movw	$10, %cx
	xorw	%ax, %ax
1:	addw	%cx, %ax
	loop	1b
	result	"loop", 55
	movw	$0x600, %di
	movw	$0xa5a5, %ax
	movw	$8, %cx
	rep stosw
	movw	0x60e, %ax
	result	"stos", 0xa5a5
	movw	%di, %ax
	result	"stos.di", 0x610
	movb	$0x19, %al
	addb	$0x28, %al
	daa
	xorb	%ah, %ah
	result	"daa", 0x47

	/* single step */
	vector	1, 1f
	pushfw
	movw	%sp, %bp
	orw	$0x100, (%bp)
	popfw
	nop
36:	movw	$0xdead, %ax
	jmp	2f
1:	popw	%ax
	subw	$36b, %ax
	addw	$4, %sp
2:	result	"step.ip", 0

	/* to protected mode and back with a 4 GiB limit left in DS */
	lgdtw	gdtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$8, %bx
	movw	%bx, %ds
	andb	$0xfe, %al
	movl	%eax, %cr0
	xorw	%bx, %bx
	movw	%bx, %ds
	movl	$0x200000, %ebx
	movw	$0xf00d, (%ebx)
	movw	(%ebx), %ax
	result	"unreal", 0xf00d

	movl	$COMMAND_DONE, %eax
	movw	$PORT_COMMAND, %dx
	outl	%eax, %dx
1:	hlt
	jmp	1b

	.p2align 3
gdt:	.quad	0, 0x00cf93000000ffff
gdtr:	.word	15
	.long	gdt
	.p2align 3
record:	.long	0, 0, 0, 0, 0, 0

	.section .note.GNU-stack, "", @progbits
