/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* real.h - reports from 16-bit real mode programs, loaded at 0:8000h. */
#ifndef GUEST_REAL_H
#define GUEST_REAL_H
#include "abi.h"

/* Report AX as NAME, which must be WANT. Keeps all registers and flags; DS may be anything. */
.macro result name, want
	pushfl
	pushal
	push	%ds
	xorw	%bx, %bx
	movw	%bx, %ds
	movw	%ax, record + 8
	movw	$\want, record + 16
	movl	$.Lname\@, record
	movl	$record, %eax
	movw	$PORT_RECORD, %dx
	outl	%eax, %dx
	pop	%ds
	popal
	popfl
	jmp	.Lafter\@
.Lname\@:
	.asciz	"\name"
.Lafter\@:
.endm

/* Until the next call, an exception VECTOR (0 to 31) comes to LABEL with its frame on the stack. */
.macro vector nr, label
	movw	$\label, %es:(\nr * 4)
	movw	$0, %es:(\nr * 4 + 2)
.endm
#endif
