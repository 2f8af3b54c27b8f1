/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * modes.S - code segments that begin and end inside pages, 16- and 32-bit protected mode in segments with bases and
 * limits, big real mode. Loops, so that what is cached from one round is used in the next. SDM 3A 3.4, 5.3; 3B 21.1.
 */
#include "real.h"

#define CODE16	0x08	/* base 0, 64 KiB */
#define FLAT	0x10
#define DATA	0x18	/* base 20000h, limit FFFh */
#define STACK16	0x20	/* base 30000h, 64 KiB, 16-bit */
#define DOWN	0x28	/* base 40000h, expand-down: 1000h to FFFFh */
#define RDONLY	0x30	/* base 20000h, read only */
#define CODE32	0x38	/* base 8000h, limit 2FFFh, 32-bit */
#define DATA32	0x40	/* base 50000h, limit 1FFFh, 32-bit */
#define STACK32	0x48	/* base 30000h, limit FFFFh, 32-bit */
#define EXONLY	0x50	/* base 20000h, code that cannot be read */

#define BASE32	0x8000

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

	/* one piece of code at two offsets: CALL pushes the offset */
	movw	$3, %cx
1:	lcall	$0, $where
	movw	%ax, %bx
	lcall	$0x123, $(where - 0x1230)
	subw	%ax, %bx
	loop	1b
	movw	%bx, %ax
	result	"two_segments", 0x1230

	/* a loop in a page in which CS begins: CS 2F8h is 2F80h, the code goes to 2FC0h */
	movw	$sum, %si
	movw	$0x2fc0, %di
	movw	$(sum_end - sum), %cx
	rep movsb
	xorw	%dx, %dx
	movw	$5, %bp
1:	lcall	$0x2f8, $0x40
	decw	%bp
	jnz	1b
	movw	%dx, %ax
	result	"edge_loop", 25250
	/* the same page is all inside another CS */
	xorw	%dx, %dx
	lcall	$0x200, $0xfc0
	lcall	$0x2f8, $0x40
	lcall	$0x200, $0xfc0
	movw	%dx, %ax
	result	"edge_other", 15150
	/* a jump below offset 0 goes to the segment's other end: 12F70h, not 2F70h */
	movw	$wrap_wrong, %si
	movw	$0x2f70, %di
	movw	$(wrap_right - wrap_wrong), %cx
	rep movsb
	movw	$wrap_jump, %si
	movw	$0x2f90, %di
	movw	$(wrap_end - wrap_jump), %cx
	rep movsb
	movw	$0x1000, %ax
	movw	%ax, %es
	movw	$wrap_right, %si
	movw	$0x2f70, %di
	movw	$(wrap_jump - wrap_right), %cx
	rep movsb
	xorw	%ax, %ax
	movw	%ax, %es
	movw	$3, %cx
1:	lcall	$0x2f8, $0x10
	loop	1b
	result	"wrap_jump", 0x600d
	/* and the wrong place is right for a segment in which nothing wraps */
	lcall	$0x200, $0xf90
	result	"no_wrap", 0xbad
	/* ---- 16-bit protected mode ---- */
	lgdtw	gdtr
	lidtw	idtr16
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmp	$CODE16, $1f
1:	movw	$FLAT, %ax
	movw	%ax, %gs
	movw	$DATA, %ax
	movw	%ax, %ds
	movw	$DOWN, %ax
	movw	%ax, %es
	movw	$STACK16, %ax
	movw	%ax, %ss
	movl	$0x12340100, %esp		/* the upper half must not matter, nor change */

/* Run the instruction; what it did is in out: 0, or the vector * 1000h + error code if it faulted at its address */
.macro try16 n, insn:vararg
	movw	$9f, %gs:resume
	movw	$8f, %gs:at
	movw	$0, %gs:out + 2 * \n
	movw	$(out + 2 * \n), %gs:where_out
8:	\insn
9:
.endm
	movw	$3, %cx
again:
	movw	$0xffe, %bx
	movw	$0x1000, %di
	try16	0, movw %ax, (%bx)
	try16	1, movw %ax, 1(%bx)
	try16	2, movb %al, 1(%bx)
	try16	3, movb 2(%bx), %al
	try16	4, movw %ax, %es:(%di)
	try16	5, movw %ax, %es:-1(%di)
	try16	6, movb %al, %es:0xffff
	try16	7, movw %ax, %es:0xffff
	movw	$RDONLY, %ax
	movw	%ax, %fs
	try16	8, movw %fs:(%di), %ax		/* beyond */
	try16	9, movw %fs:(%bx), %ax
	try16	10, movw %ax, %fs:(%bx)
	movw	$EXONLY, %ax
	try16	11, movw %ax, %fs
	xorw	%ax, %ax
	movw	%ax, %fs
	try16	12, movw %fs:(%bx), %ax
	movw	$0xffff, %bp
	try16	13, movw (%bp), %ax
	try16	14, addl $1, %es:(%di)
	loop	again1
	jmp	2f
again1:	jmp	again
2:	movl	$0x55667788, %eax
	pushl	%eax
	popw	%bx
	popw	%ax
	movw	%ax, %gs:out + 30
	pushal
	movl	%esp, %eax
	movl	%eax, %gs:out + 32
	popal
	call	3f
3:	popw	%ax
	subw	$3b, %ax
	movw	%ax, %gs:out + 36
	movw	$0x10, %bx
	movb	$0x5a, %ch
	movb	%ch, (%bx)
	movb	(%bx), %ah
	movb	%ah, %cl
	movw	%cx, %gs:out + 38
	/* a string across nothing: bases of both segments */
	movw	$0x100, %si
	movw	$0xf00d, (%si)
	movw	$0x2000, %di
	movw	$1, %cx
	rep movsw
	movw	%es:0x2000, %ax
	movw	%ax, %gs:out + 40

	/* ---- 32-bit protected mode, segmented ---- */
	lidtw	%gs:idtr32
	ljmp	$CODE32, $(start32 - BASE32)
	.code32
.macro try32 n, insn:vararg
	movl	$(9f - BASE32), %gs:resume
	movl	$(8f - BASE32), %gs:at
	movw	$0, %gs:out + 2 * \n
	movl	$(out + 2 * \n), %gs:where_out
8:	\insn
9:
.endm
start32:
	movl	$DATA32, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	$STACK32, %eax
	movl	%eax, %ss
	movl	$0x8000, %esp
	movl	$FLAT, %eax
	movl	%eax, %gs
	movl	$3, %ecx
again32:
	movl	$0x1ffc, %ebx
	try32	21, movl %eax, (%ebx)
	try32	22, movl %eax, 1(%ebx)
	try32	23, movb 4(%ebx), %al
	try32	24, movl %eax, 0x20(,%ebx,8)
	try32	25, movl %eax, %cs:0x100
	movl	$-4, %ebp
	try32	26, movl 0x10000(%ebp), %eax
	try32	27, movl 0x10001(%ebp), %eax
	try32	28, lock addl $1, 4(%ebx)
	movl	$0x3000, %edx
	try32	29, jmp *%edx
	movl	$0x1000, %ebx
	movl	$0xabcd1234, (%ebx)
	movl	$0x51000, %esi
	movl	%gs:(%esi), %eax		/* where that is */
	shrl	$16, %eax
	movw	%ax, %gs:out + 60
	decl	%ecx
	jnz	again32
	call	3f
3:	popl	%eax
	subl	$(3b - BASE32), %eax
	movw	%ax, %gs:out + 62
	movl	%esp, %eax
	movw	%ax, %gs:out + 64
	pushl	$77f - BASE32
	ret	$8
	ud2
77:	movl	%esp, %eax
	movw	%ax, %gs:out + 66
	movl	$0x100, %edi
	movl	$0x1357, %eax
	movl	$8, %ecx
	rep stosl
	movl	0x11c, %eax
	movw	%ax, %gs:out + 68
	/* INC and DEC of one byte, a conditional jump on what they leave, and opcode 82h */
	xorl	%eax, %eax
	movl	$100, %edx
4:	incl	%eax
	.byte	0x82, 0xc0, 0x01		/* addb $1, %al */
	decl	%edx
	jnz	4b
	movw	%ax, %gs:out + 70
	ljmp	$CODE16, $to_real
	.code16
to_real:
	movw	$STACK16, %ax			/* limits stay when real mode loads a segment */
	movw	%ax, %ss
	movw	%ax, %ds
	movw	%ax, %es
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$0, $1f
1:	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	lidtw	idtr_real

.macro report n, name, want
	movw	out + 2 * \n, %ax
	result	"\name", \want
.endm
	report	0, "pm16_last_word", 0
	report	1, "pm16_beyond_word", 0xd000
	report	2, "pm16_last_byte", 0
	report	3, "pm16_beyond_byte", 0xd000
	report	4, "pm16_down", 0
	report	5, "pm16_down_below", 0xd000
	report	6, "pm16_down_top", 0
	report	7, "pm16_down_over", 0xd000
	report	8, "pm16_read_beyond", 0xd000
	report	9, "pm16_read_only_read", 0
	report	10, "pm16_read_only_write", 0xd000
	report	11, "pm16_load_execute_only", 0xd050
	report	12, "pm16_null", 0xd000
	report	13, "pm16_stack", 0xc000
	report	14, "pm16_down_rmw", 0
	report	15, "pm16_push32", 0x5566
	report	16, "pm16_pushal.sp", 0x00e0
	report	17, "pm16_pushal.esp_high", 0x1234
	report	18, "pm16_call_offset", 0
	report	19, "pm16_high_bytes", 0x5a5a
	report	20, "pm16_movs", 0xf00d
	report	21, "pm32_last", 0
	report	22, "pm32_beyond", 0xd000
	report	23, "pm32_beyond_byte", 0xd000
	report	24, "pm32_scaled", 0xd000
	report	25, "pm32_code_write", 0xd000
	report	26, "pm32_stack_last", 0
	report	27, "pm32_stack_beyond", 0xc000
	report	28, "pm32_locked", 0xd000
	report	29, "pm32_jump_beyond", 0xd000
	report	30, "pm32_base", 0xabcd
	report	31, "pm32_call_offset", 0
	report	32, "pm32_call_esp", 0x8000
	report	33, "pm32_ret_imm", 0x8008
	report	34, "pm32_stos", 0x1357
	report	35, "pm32_inc_dec", 200

	/* ---- big real mode: 32-bit addresses with segment bases, 16-bit ones beside them ---- */
	lgdtw	gdtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$FLAT, %bx
	movw	%bx, %ds
	movw	%bx, %es
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$0, $1f
1:	movw	$0x100, %ax
	movw	%ax, %ds			/* base 1000h, limit still 4 GiB */
	movl	$0x300000, %ebx
	movl	$1000, %ecx
	xorl	%eax, %eax
1:	movl	%ecx, (%ebx,%ecx,4)
	addl	(%ebx,%ecx,4), %eax
	loopl	1b
	movw	%cx, %ds
	subl	$500500, %eax
	result	"big_real.sum", 0
	movl	$0x301000, %ebx
	movw	40(%ebx), %ax
	result	"big_real.base", 10
	/* two bytes at offset FFFFh are inside this limit */
	movw	$0x1122, %es:0xffff
	movl	$0x10000, %ebx
	movw	-1(%ebx), %ax
	result	"big_real.ffff", 0x1122

	/* ---- the end of a code segment: an instruction that reaches beyond it ---- */
	vector	13, 1f
	movw	$0x2000, %ax
	movw	%ax, %ds
	movw	$0xb890, 0xfffd		/* nop; movw $imm, %ax */
	ljmp	$0x2000, $0xfffd
1:	popw	%ax
	addw	$4, %sp
	result	"end_cross", 0xfffe
	/* running off the end */
	vector	13, 1f
	movw	$0x2000, %ax
	movw	%ax, %ds
	movl	$0x90909090, 0xfffc
	ljmp	$0x2000, $0xfffd
1:	popw	%ax
	popw	%ax
	addw	$2, %sp
	result	"end_off", 0x2000

	movl	$COMMAND_DONE, %eax
	movw	$PORT_COMMAND, %dx
	outl	%eax, %dx
1:	hlt
	jmp	1b

/* ---- pieces ---- */
where:	call	1f
1:	popw	%ax
	lret

sum:	movw	$100, %cx
1:	addw	%cx, %dx
	decw	%cx
	jnz	1b
	lret
sum_end:

/* to 2F70h, 12F70h and 2F90h: the jump's displacement is the same whatever CS is */
wrap_wrong:
	movw	$0xbad, %ax
	lret
wrap_right:
	movw	$0x600d, %ax
	lret
wrap_jump:
	xorw	%ax, %ax
	.byte	0xeb, 0x2f70 - 0x2f90 - 4	/* jmp to 20h before this piece */
wrap_end:

/* #SS and #GP in protected mode: note what and where, and go on */
	.macro handler16 vec
	pushw	%bp
	pushl	%eax
	movw	%sp, %bp
	movw	6(%bp), %ax
	orw	$(\vec << 12), %ax
	movw	8(%bp), %bp
	cmpw	%gs:at, %bp
	je	1f
	movw	$0xbad, %ax
1:	movw	%gs:where_out, %bp
	movw	%ax, %gs:(%bp)
	movw	%sp, %bp
	movw	%gs:resume, %ax
	movw	%ax, 8(%bp)
	popl	%eax
	popw	%bp
	addw	$2, %sp
	iretw
	.endm
ss16:	handler16 12
gp16:	handler16 13
	.code32
	.macro handler32 vec
	pushl	%ebp
	pushl	%eax
	movl	8(%esp), %eax
	orl	$(\vec << 12), %eax
	movl	12(%esp), %ebp
	cmpl	%gs:at, %ebp
	je	1f
	movl	$0xbad, %eax
1:	movl	%gs:where_out, %ebp
	movw	%ax, %gs:(%ebp)
	movl	%gs:resume, %eax
	movl	%eax, 12(%esp)
	popl	%eax
	popl	%ebp
	addl	$4, %esp
	iretl
	.endm
ss32:	handler32 12
gp32:	handler32 13
	.code16

	.p2align 3
gdt:	.quad	0, 0x00009b000000ffff, 0x00cf93000000ffff, 0x0000930200000fff, 0x000093030000ffff
	.quad	0x0000970400000fff, 0x0000910200000fff, 0x00409b0080002fff, 0x0040930500001fff, 0x004093030000ffff
	.quad	0x0000990200000fff
gdtr:	.word	. - gdt - 1
	.long	gdt
	.p2align 3
idt16:	.fill	12, 8, 0
	.word	ss16, CODE16, 0x8600, 0
	.word	gp16, CODE16, 0x8600, 0
idtr16:	.word	. - idt16 - 1
	.long	idt16
	.p2align 3
idt32:	.fill	12, 8, 0
	.word	ss32 - BASE32, CODE32, 0x8e00, 0
	.word	gp32 - BASE32, CODE32, 0x8e00, 0
idtr32:	.word	. - idt32 - 1
	.long	idt32
idtr_real:
	.word	0x3ff
	.long	0
	.p2align 3
resume:	.long	0
at:	.long	0
where_out:
	.long	0
out:	.fill	40, 2, 0
	.p2align 3
record:	.long	0, 0, 0, 0, 0, 0

	.section .note.GNU-stack, "", @progbits
