// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * decode.c - the decoder against rows written from the manuals (SDM 2A-2D, APM 3 and 4): the fewest
 * bytes, and all that struct insn must say about them. tests/isa/decode_zydis.c does the same in
 * bulk.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <stdio.h>
#include <cmocka.h>
#include "x86/decode/decode.h"

/* rows leave out what is 0 at their end */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define C	X86_FLAG_CF
#define P	X86_FLAG_PF
#define A	X86_FLAG_AF
#define Z	X86_FLAG_ZF
#define S	X86_FLAG_SF
#define O	X86_FLAG_OF
#define D	X86_FLAG_DF
#define ARITH	(C | P | A | Z | S | O)
#define B(...)	{ __VA_ARGS__ }, sizeof((u8[]){ __VA_ARGS__ })

struct row {
	int mode;
	u8 bytes[INSN_MAX_LEN];
	unsigned int len;
	const char *text;	/* at address 0x1000 */
	unsigned int opsize, feature;
	u32 attr;		/* all of them but the condition */
	u32 read, written, maybe;
};

static const struct row rows[] = {
	/* integer: sizes by mode and prefix */
	{ 16, B(0x01, 0xd8), "add ax, bx", 2, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 16, B(0x66, 0x01, 0xd8), "add eax, ebx", 4, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 32, B(0x01, 0xd8), "add eax, ebx", 4, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 64, B(0x66, 0x48, 0x01, 0xd8), "add rax, rbx", 8, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 64, B(0x48, 0x66, 0x01, 0xd8), "add ax, bx", 2, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 64, B(0x4d, 0x11, 0xf8), "adc r8, r15", 8, FEAT_BASE, INSN_LOCKABLE, C, ARITH },
	{ 64, B(0x00, 0xe0), "add al, ah", 1, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 64, B(0x40, 0x00, 0xe0), "add al, spl", 1, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 64, B(0xf0, 0x48, 0x83, 0x04, 0x24, 0xff), "lock add m64 ss:[rsp], 0xffffffffffffffff", 8, FEAT_BASE,
	  INSN_LOCKABLE, 0, ARITH },
	{ 64, B(0x48, 0x81, 0xc0, 0, 0, 0, 0x80), "add rax, 0xffffffff80000000", 8, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 64, B(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8), "mov rax, 0x807060504030201", 8 },
	{ 64, B(0x66, 0xb8, 0x34, 0x12), "mov ax, 0x1234", 2 },
	{ 64, B(0x63, 0xc8), "movsxd ecx, eax", 4 },
	{ 32, B(0x63, 0xc8), "arpl ax, cx", 4, FEAT_BASE, INSN_NO_REAL, 0, Z },
	{ 32, B(0x40), "inc eax", 4, FEAT_BASE, INSN_LOCKABLE, 0, P | A | Z | S | O },
	{ 64, B(0x90), "nop", 4 },
	{ 64, B(0xf3, 0x90), "pause", 4 },
	{ 64, B(0x41, 0x90), "xchg r8d, eax", 4, FEAT_BASE, INSN_LOCKABLE },
	{ 64, B(0x66, 0x98), "cbw ax", 2 },
	{ 64, B(0x48, 0x99), "cwd rdx, rax", 8 },
	{ 64, B(0xf6, 0xe1), "mul cl, ax", 1, FEAT_BASE, 0, 0, ARITH },
	{ 64, B(0x48, 0xf7, 0xf9), "idiv rcx, rax, rdx", 8, FEAT_BASE, 0, 0, ARITH },
	{ 64, B(0x6b, 0xc1, 0xfe), "imul eax, ecx, 0xfffffffe", 4, FEAT_BASE, 0, 0, ARITH },
	{ 64, B(0x0f, 0xb1, 0x0b), "cmpxchg m32 ds:[rbx], ecx, eax", 4, FEAT_BASE, INSN_LOCKABLE, 0, ARITH },
	{ 64, B(0x48, 0x0f, 0xc7, 0x0e), "cmpxchg16b m128 ds:[rsi]", 8, FEAT_CX16, INSN_LOCKABLE | INSN_RAX_RDX, 0, Z },
	{ 32, B(0x0f, 0xc7, 0x0e), "cmpxchg8b m64 ds:[esi]", 4, FEAT_CX8, INSN_LOCKABLE | INSN_RAX_RDX, 0, Z },
	{ 64, B(0x0f, 0xa3, 0x0b), "bt m32 ds:[rbx], ecx", 4, FEAT_BASE, 0, 0, C | P | A | S | O },
	{ 64, B(0x0f, 0xba, 0x2b, 0x1f), "bts m32 ds:[rbx], 0x1f", 4, FEAT_BASE, INSN_LOCKABLE, 0, C | P | A | S | O },
	{ 64, B(0xc1, 0xe0, 0x04), "shl eax, 0x4", 4, FEAT_BASE, 0, 0, ARITH },
	{ 64, B(0xc1, 0xf0, 0x04), "shl eax, 0x4", 4, FEAT_BASE, 0, 0, ARITH },
	{ 64, B(0xc1, 0xe0, 0x20), "shl eax, 0x20", 4 },
	{ 64, B(0x48, 0xc1, 0xe0, 0x20), "shl rax, 0x20", 8, FEAT_BASE, 0, 0, ARITH },
	{ 64, B(0xd1, 0xd8), "rcr eax, 1", 4, FEAT_BASE, 0, C, C | O },
	{ 64, B(0xd3, 0xc0), "rol eax, cl", 4, FEAT_BASE, 0, 0, 0, C | O },
	{ 64, B(0x48, 0x0f, 0xad, 0xd0), "shrd rax, rdx, cl", 8, FEAT_BASE, 0, 0, 0, ARITH },
	{ 64, B(0x0f, 0xbc, 0xc1), "bsf eax, ecx", 4, FEAT_BASE, 0, 0, ARITH },
	{ 64, B(0xf3, 0x0f, 0xbc, 0xc1), "tzcnt eax, ecx", 4, FEAT_BMI1, 0, 0, ARITH },
	{ 64, B(0x66, 0xf3, 0x0f, 0xbd, 0xc1), "lzcnt ax, cx", 2, FEAT_LZCNT, 0, 0, ARITH },
	{ 64, B(0xf3, 0x48, 0x0f, 0xb8, 0xc1), "popcnt rax, rcx", 8, FEAT_POPCNT, 0, 0, ARITH },
	{ 64, B(0x66, 0x0f, 0x38, 0xf0, 0x08), "movbe cx, m16 ds:[rax]", 2, FEAT_MOVBE },
	{ 64, B(0x66, 0xf2, 0x0f, 0x38, 0xf1, 0x08), "crc32 ecx, m16 ds:[rax]", 2, FEAT_SSE42 },
	{ 64, B(0xf2, 0x48, 0x0f, 0x38, 0xf0, 0x08), "crc32 rcx, m8 ds:[rax]", 1, FEAT_SSE42 },
	{ 64, B(0x66, 0x0f, 0x38, 0xf6, 0xc1), "adcx eax, ecx", 4, FEAT_ADX, 0, C, C },
	{ 64, B(0xf3, 0x48, 0x0f, 0x38, 0xf6, 0xc1), "adox rax, rcx", 8, FEAT_ADX, 0, O, O },
	{ 64, B(0x0f, 0x97, 0x00), "setnbe m8 ds:[rax]", 1, FEAT_BASE, 0, C | Z },
	{ 64, B(0x0f, 0x4c, 0xc1), "cmovl eax, ecx", 4, FEAT_CMOV, 0, S | O },
	{ 64, B(0x9e), "sahf ah", 1, FEAT_BASE, 0, 0, C | P | A | Z | S },
	{ 32, B(0x27), "daa al", 1, FEAT_BASE, 0, A | C, ARITH },
	{ 64, B(0xd7), "xlat al", 1, FEAT_BASE, INSN_RAX_RDX },
	{ 64, B(0xf3, 0x0f, 0x1e, 0xfa), "endbr", 4 },
	{ 64, B(0x0f, 0x1f, 0x44, 0x00, 0x00), "nop ds:[rax+rax]", 4 },
	{ 64, B(0x0f, 0x18, 0x08), "prefetcht0 ds:[rax]", 4, FEAT_SSE },
	{ 64, B(0x48, 0x0f, 0xc3, 0x08), "movnti m64 ds:[rax], rcx", 8, FEAT_SSE2 },
	/* stack: 64-bit by default */
	{ 64, B(0x41, 0x50), "push r8", 8, FEAT_BASE, INSN_STACK64 },
	{ 64, B(0x66, 0x50), "push ax", 2, FEAT_BASE, INSN_STACK64 },
	{ 64, B(0x6a, 0xff), "push 0xffffffffffffffff", 8, FEAT_BASE, INSN_STACK64 },
	{ 32, B(0x6a, 0xff), "push 0xffffffff", 4, FEAT_BASE, INSN_STACK64 },
	{ 64, B(0x8f, 0x00), "pop m64 ds:[rax]", 8, FEAT_BASE, INSN_STACK64 },
	{ 64, B(0xc8, 0x10, 0x00, 0x01), "enter 0x10, 0x1", 8, FEAT_BASE, INSN_STACK64 },
	{ 64, B(0x0f, 0xa0), "push_sreg fs", 8, FEAT_BASE, INSN_STACK64 },
	/* addresses */
	{ 64, B(0x8b, 0x45, 0xf8), "mov eax, m32 ss:[rbp-0x8]", 4 },
	{ 64, B(0x41, 0x8b, 0x45, 0xf8), "mov eax, m32 ds:[r13-0x8]", 4 },
	{ 64, B(0x36, 0x8b, 0x00), "mov eax, m32 ds:[rax]", 4 },
	{ 64, B(0x64, 0x3e, 0x8b, 0x00), "mov eax, m32 fs:[rax]", 4 },
	{ 32, B(0x64, 0x3e, 0x8b, 0x45, 0x00), "mov eax, m32 ds:[ebp]", 4 },
	{ 64, B(0x8b, 0x05, 0x10, 0, 0, 0), "mov eax, m32 ds:[0x1016]", 4 },
	{ 64, B(0x67, 0x8b, 0x05, 0x00, 0xf0, 0xff, 0xff), "mov eax, m32 ds:[0x7]", 4 },
	{ 32, B(0x8b, 0x05, 0x10, 0, 0, 0), "mov eax, m32 ds:[0x10]", 4 },
	{ 64, B(0x8b, 0x04, 0x25, 0, 0, 0, 0x80), "mov eax, m32 ds:[0xffffffff80000000]", 4 },
	{ 64, B(0x43, 0x8b, 0x44, 0xa5, 0x04), "mov eax, m32 ds:[r13+r12*4+0x4]", 4 },
	{ 64, B(0x8b, 0x04, 0x24), "mov eax, m32 ss:[rsp]", 4 },
	{ 64, B(0x67, 0x8b, 0x00), "mov eax, m32 ds:[eax]", 4 },
	{ 16, B(0x8b, 0x42, 0xfe), "mov ax, m16 ss:[bp+si-0x2]", 2 },
	{ 16, B(0x8b, 0x06, 0x00, 0x90), "mov ax, m16 ds:[0x9000]", 2 },
	{ 16, B(0x67, 0x8b, 0x04, 0xb3), "mov ax, m16 ds:[ebx+esi*4]", 2 },
	{ 32, B(0x67, 0x8b, 0x07), "mov eax, m32 ds:[bx]", 4 },
	{ 64, B(0xa1, 1, 2, 3, 4, 5, 6, 7, 0x80), "mov eax, m32 ds:[0x8007060504030201]", 4 },
	{ 64, B(0x65, 0x67, 0xa2, 1, 2, 3, 0x84), "mov m8 gs:[0x84030201], al", 1 },
	{ 64, B(0x48, 0x8d, 0x40, 0x01), "lea rax, ds:[rax+0x1]", 8 },
	/* flow */
	{ 64, B(0xe8, 0xfb, 0xff, 0xff, 0xff), "call 0x1000", 8, FEAT_BASE,
	  INSN_BRANCH | INSN_ENDS_BLOCK | INSN_STACK64 },
	{ 64, B(0x66, 0xe8, 0, 0, 0, 0), "call 0x1006", 8, FEAT_BASE, INSN_BRANCH | INSN_ENDS_BLOCK | INSN_STACK64 },
	{ 16, B(0xe9, 0xfd, 0xef), "jmp 0x0", 2, FEAT_BASE, INSN_BRANCH | INSN_ENDS_BLOCK | INSN_STACK64 },
	{ 64, B(0x0f, 0x8f, 0, 0, 0, 0), "jnle 0x1006", 8, FEAT_BASE,
	  INSN_BRANCH | INSN_COND | INSN_ENDS_BLOCK | INSN_STACK64, Z | S | O },
	{ 32, B(0xe1, 0xfe), "loope 0x1000", 4, FEAT_BASE, INSN_BRANCH | INSN_COND | INSN_ENDS_BLOCK | INSN_STACK64, Z },
	{ 64, B(0xff, 0x10), "call_ind m64 ds:[rax]", 8, FEAT_BASE, INSN_BRANCH | INSN_ENDS_BLOCK | INSN_STACK64 },
	{ 64, B(0xff, 0x18), "callf m48 ds:[rax]", 4, FEAT_BASE, INSN_ENDS_BLOCK },
	{ 16, B(0xea, 0x34, 0x12, 0x00, 0xf0), "jmpf 0x1234, 0xf000", 2, FEAT_BASE, INSN_ENDS_BLOCK },
	{ 64, B(0xc2, 0x08, 0x00), "ret 0x8", 8, FEAT_BASE, INSN_BRANCH | INSN_ENDS_BLOCK | INSN_STACK64 },
	{ 64, B(0x48, 0xcf), "iret", 8, FEAT_BASE, INSN_IOPL | INSN_ENDS_BLOCK, 0, ARITH | D },
	/* strings */
	{ 64, B(0xf3, 0x48, 0xa5), "rep movsq", 8, FEAT_BASE, INSN_REP_OK, D },
	{ 64, B(0xa6), "cmpsb", 1, FEAT_BASE, INSN_REP_OK, D, ARITH },
	{ 64, B(0xf2, 0xae), "repne scasb", 1, FEAT_BASE, INSN_REP_OK, D, 0, ARITH },
	{ 64, B(0x48, 0x6d), "insd", 4, FEAT_BASE, INSN_REP_OK | INSN_IOPL, D },
	/* system */
	{ 16, B(0x0f, 0x20, 0x04), "mov_from_cr esp, cr0", 2, FEAT_BASE, INSN_CPL0, 0, ARITH },
	{ 64, B(0x44, 0x0f, 0x22, 0xc0), "mov_to_cr cr8, rax", 4, FEAT_BASE, INSN_CPL0 | INSN_ENDS_BLOCK, 0, ARITH },
	{ 64, B(0x8e, 0xd0), "mov_to_sreg ss, ax", 4, FEAT_BASE, INSN_ENDS_BLOCK },
	{ 64, B(0x8c, 0x18), "mov_from_sreg m16 ds:[rax], ds", 4 },
	{ 64, B(0x48, 0x8c, 0xd8), "mov_from_sreg rax, ds", 8 },
	{ 64, B(0x0f, 0x01, 0x18), "lidt m80 ds:[rax]", 4, FEAT_BASE, INSN_CPL0 },
	{ 32, B(0x0f, 0x01, 0x10), "lgdt m48 ds:[eax]", 4, FEAT_BASE, INSN_CPL0 },
	{ 64, B(0x0f, 0x01, 0xf8), "swapgs", 4, FEAT_BASE, INSN_CPL0 },
	{ 64, B(0x0f, 0x00, 0xd8), "ltr ax", 4, FEAT_BASE, INSN_CPL0 | INSN_NO_REAL },
	{ 64, B(0x48, 0xed), "in eax, dx", 4, FEAT_BASE, INSN_IOPL },
	{ 64, B(0xe6, 0x80), "out 0x80, al", 1, FEAT_BASE, INSN_IOPL },
	{ 32, B(0xc5, 0x00), "lds eax, m48 ds:[eax]", 4, FEAT_BASE, INSN_ENDS_BLOCK },
	{ 32, B(0x62, 0x00), "bound eax, m64 ds:[eax]", 4 },
	{ 64, B(0xf3, 0x48, 0x0f, 0xae, 0xd0), "wrfsbase rax", 8, FEAT_FSGSBASE },
	{ 64, B(0xf3, 0x0f, 0xc7, 0xf8), "rdpid rax", 4, FEAT_RDPID },
	{ 64, B(0x66, 0x0f, 0xc7, 0xf0), "rdrand ax", 2, FEAT_RDRAND, 0, 0, ARITH },
	{ 64, B(0x66, 0x0f, 0x38, 0x82, 0x00), "invpcid rax, m128 ds:[rax]", 4, FEAT_INVPCID, INSN_CPL0 | INSN_ENDS_BLOCK },
	{ 64, B(0x48, 0x0f, 0xae, 0x20), "xsave ds:[rax]", 8, FEAT_XSAVE, INSN_RAX_RDX },
	{ 64, B(0x66, 0x0f, 0xae, 0x30), "clwb ds:[rax]", 4, FEAT_CLWB },
	{ 64, B(0x0f, 0x05), "syscall", 4, FEAT_SYSCALL, INSN_ENDS_BLOCK, ARITH | D, 0, ARITH | D },
	{ 64, B(0x48, 0x0f, 0x07), "sysret", 8, FEAT_SYSCALL, INSN_CPL0 | INSN_NO_REAL | INSN_ENDS_BLOCK, 0, ARITH | D },
	/* x87 */
	{ 64, B(0xd8, 0x00), "fadd st0, m32 ds:[rax]", 4, FEAT_X87, INSN_FPU },
	{ 64, B(0xdc, 0xe1), "fsubr st1, st0", 4, FEAT_X87, INSN_FPU },
	{ 64, B(0xde, 0xe9), "fsubp st1, st0", 4, FEAT_X87, INSN_FPU },
	{ 64, B(0xdb, 0x28), "fld m80 ds:[rax]", 4, FEAT_X87, INSN_FPU },
	{ 64, B(0xd9, 0x30), "fnstenv m224 ds:[rax]", 4, FEAT_X87, INSN_FPU },
	{ 16, B(0xdd, 0x37), "fnsave m752 ds:[bx]", 2, FEAT_X87, INSN_FPU },
	{ 64, B(0xdf, 0xe0), "fnstsw ax", 4, FEAT_X87, INSN_FPU },
	{ 64, B(0xda, 0xd9), "fcmovcc st0, st1", 4, FEAT_CMOV, INSN_FPU, P },
	{ 64, B(0xdb, 0xf1), "fcomi st0, st1", 4, FEAT_CMOV, INSN_FPU, 0, ARITH },
	/* MMX, SSE */
	{ 64, B(0x0f, 0xfc, 0xc1), "paddb mm0, mm1", 4, FEAT_MMX, INSN_VECTOR | INSN_FPU },
	{ 64, B(0x0f, 0xd4, 0xc1), "paddq mm0, mm1", 4, FEAT_SSE2, INSN_VECTOR | INSN_FPU },
	{ 64, B(0x66, 0x0f, 0xfc, 0x00), "paddb xmm0, m128 ds:[rax]", 4, FEAT_SSE2, INSN_VECTOR | INSN_ALIGNED },
	{ 64, B(0x0f, 0x10, 0x00), "movups xmm0, m128 ds:[rax]", 4, FEAT_SSE, INSN_VECTOR },
	{ 64, B(0x0f, 0x28, 0xc1), "movaps xmm0, xmm1", 4, FEAT_SSE, INSN_VECTOR },
	{ 64, B(0xf3, 0x44, 0x0f, 0x10, 0x00), "movss xmm8, m32 ds:[rax]", 4, FEAT_SSE, INSN_VECTOR },
	{ 64, B(0xf2, 0x66, 0x0f, 0x58, 0x00), "addsd xmm0, m64 ds:[rax]", 2, FEAT_SSE2, INSN_VECTOR },
	{ 64, B(0xf2, 0x0f, 0x12, 0x00), "movddup xmm0, m64 ds:[rax]", 4, FEAT_SSE3, INSN_VECTOR },
	{ 64, B(0xf3, 0x48, 0x0f, 0x2a, 0xc1), "cvtsi2ss xmm0, rcx", 8, FEAT_SSE, INSN_VECTOR },
	{ 64, B(0x0f, 0x5a, 0x00), "cvtps2pd xmm0, m64 ds:[rax]", 4, FEAT_SSE2, INSN_VECTOR },
	{ 64, B(0x66, 0x0f, 0x38, 0x32, 0x00), "pmovzxbq xmm0, m16 ds:[rax]", 4, FEAT_SSE41, INSN_VECTOR },
	{ 64, B(0x66, 0x0f, 0xc4, 0x00, 0x07), "pinsrw xmm0, m16 ds:[rax], 0x7", 4, FEAT_SSE2, INSN_VECTOR },
	{ 64, B(0x66, 0x0f, 0x3a, 0x21, 0x00, 0x10), "insertps xmm0, m32 ds:[rax], 0x10", 4, FEAT_SSE41, INSN_VECTOR },
	{ 64, B(0x66, 0x0f, 0x3a, 0x63, 0x00, 0x0c), "pcmpistri xmm0, m128 ds:[rax], 0xc, ecx", 4, FEAT_SSE42, INSN_VECTOR,
	  0, ARITH },
	{ 64, B(0x66, 0x0f, 0x38, 0x10, 0xc1), "pblendvb xmm0, xmm1, xmm0", 4, FEAT_SSE41, INSN_VECTOR },
	{ 64, B(0x66, 0x48, 0x0f, 0x7e, 0xc0), "movd rax, xmm0", 8, FEAT_SSE2, INSN_VECTOR },
	{ 64, B(0x66, 0x0f, 0x78, 0xc0, 0x04, 0x08), "extrq xmm0, 0x4, 0x8", 4, FEAT_SSE4A, INSN_VECTOR },
	{ 64, B(0x66, 0x0f, 0x38, 0xdc, 0x00), "aesenc xmm0, m128 ds:[rax]", 4, FEAT_AES, INSN_VECTOR | INSN_ALIGNED },
	{ 64, B(0x0f, 0x38, 0xcb, 0xca), "sha256rnds2 xmm1, xmm2, xmm0", 4, FEAT_SHA, INSN_VECTOR },
	/* VEX */
	{ 64, B(0xc5, 0xf8, 0x58, 0xc1), "vaddps xmm0, xmm0, xmm1", 4, FEAT_AVX, INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc5, 0x34, 0x58, 0x00), "vaddps ymm8, ymm9, m256 ds:[rax]", 4, FEAT_AVX, INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc5, 0xf9, 0xfc, 0xc1), "vpaddb xmm0, xmm0, xmm1", 4, FEAT_AVX, INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc5, 0xfd, 0xfc, 0xc1), "vpaddb ymm0, ymm0, ymm1", 4, FEAT_AVX2, INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc5, 0xfd, 0x6f, 0x00), "vmovdqa ymm0, m256 ds:[rax]", 4, FEAT_AVX,
	  INSN_VECTOR | INSN_NO_REAL | INSN_ALIGNED },
	{ 64, B(0xc4, 0xe2, 0x7d, 0x18, 0x00), "vbroadcastss ymm0, m32 ds:[rax]", 4, FEAT_AVX, INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc4, 0xe2, 0x7d, 0x18, 0xc1), "vbroadcastss ymm0, xmm1", 4, FEAT_AVX2, INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc4, 0xe2, 0xf5, 0xb8, 0x00), "vfmadd231pd ymm0, ymm1, m256 ds:[rax]", 8, FEAT_FMA,
	  INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc4, 0xe3, 0x71, 0x4a, 0xc2, 0x30), "vblendvps xmm0, xmm1, xmm2, xmm3", 4, FEAT_AVX,
	  INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc4, 0xe2, 0xe9, 0x92, 0x04, 0x98), "vgatherdpd xmm0, ds:[rax+xmm3*4], xmm2", 8, FEAT_AVX2,
	  INSN_VECTOR | INSN_NO_REAL | INSN_VSIB },
	{ 64, B(0xc4, 0xe2, 0xf0, 0xf2, 0xc2), "andn rax, rcx, rdx", 8, FEAT_BMI1, INSN_NO_REAL, 0, ARITH },
	{ 32, B(0xc4, 0xe2, 0xf0, 0xf2, 0xc2), "andn eax, ecx, edx", 4, FEAT_BMI1, INSN_NO_REAL, 0, ARITH },
	{ 64, B(0xc4, 0xe2, 0xf3, 0xf6, 0xc3), "mulx rax, rcx, rbx, rdx", 8, FEAT_BMI2, INSN_NO_REAL },
	{ 64, B(0xc4, 0xe3, 0xfb, 0xf0, 0xc1, 0x3f), "rorx rax, rcx, 0x3f", 8, FEAT_BMI2, INSN_NO_REAL },
	{ 64, B(0xc4, 0xe2, 0x7d, 0xdc, 0xc1), "vaesenc ymm0, ymm0, ymm1", 4, FEAT_VAES, INSN_VECTOR | INSN_NO_REAL },
	{ 64, B(0xc5, 0xfc, 0x77), "vzeroall", 4, FEAT_AVX, INSN_VECTOR | INSN_NO_REAL },
};

static enum insn_mode mode_of(int bits)
{
	return bits == 16 ? INSN_MODE_16 : bits == 32 ? INSN_MODE_32 : INSN_MODE_64;
}

static void check_rows(void **state)
{
	struct insn insn;
	unsigned int i;
	char text[128];
	bool bad = false;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];

		memset(&insn, 0xa5, sizeof(insn));
		if (insn_decode(&insn, r->bytes, r->len, mode_of(r->mode)) != DECODE_OK) {
			print_error("%s (%d bit): does not decode\n", r->text, r->mode);
			bad = true;
			continue;
		}
		insn_format(text, sizeof(text), &insn, 0x1000);
		if (strcmp(text, r->text) || insn.len != r->len ||
		    memcmp(insn.bytes, r->bytes, r->len) || insn.opsize != r->opsize ||
		    insn.feature != r->feature || (insn.attr & ~INSN_CC_MASK) != r->attr ||
		    insn.flags_read != r->read || insn.flags_written != r->written ||
		    insn.flags_maybe != r->maybe) {
			print_error("%s (%d bit): got %s, length %u, opsize %u, feature %u, attr "
				    "%x, flags %x %x %x\n",
				    r->text, r->mode, text, insn.len, insn.opsize, insn.feature,
				    insn.attr, insn.flags_read, insn.flags_written,
				    insn.flags_maybe);
			bad = true;
		}
	}
	assert_false(bad);
}

static const struct {
	int mode;
	u8 bytes[INSN_MAX_LEN];
	unsigned int len;
	const char *why;
} undefined[] = {
	{ 64, B(0x06), "PUSH ES in 64-bit mode" },
	{ 64, B(0x27), "DAA in 64-bit mode" },
	{ 64, B(0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0), "EVEX" },
	{ 32, B(0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0), "EVEX, or BOUND with a register" },
	{ 32, B(0x0f, 0x01, 0xf8), "SWAPGS outside 64-bit mode" },
	{ 64, B(0xf0, 0x01, 0xd8), "LOCK, register destination" },
	{ 64, B(0xf0, 0x03, 0x18), "LOCK ADD with memory as source" },
	{ 64, B(0xf0, 0x89, 0x18), "LOCK MOV" },
	{ 64, B(0xf0, 0x0f, 0xa3, 0x18), "LOCK BT" },
	{ 64, B(0x8d, 0xc0), "LEA of a register" },
	{ 64, B(0x8e, 0xc8), "MOV to CS" },
	{ 64, B(0x8c, 0xf0), "segment register 6" },
	{ 64, B(0x0f, 0x22, 0xc8), "CR1" },
	{ 64, B(0x44, 0x0f, 0x23, 0xc0), "DR8" },
	{ 64, B(0xfe, 0xd0), "group 4 /2" },
	{ 64, B(0x8f, 0xc8), "group 1A /1" },
	{ 64, B(0x0f, 0xc7, 0xc8), "CMPXCHG8B of a register" },
	{ 64, B(0x66, 0x0f, 0x01, 0xd0), "XGETBV with 66" },
	{ 64, B(0x66, 0xc5, 0xf8, 0x58, 0xc1), "66 before VEX" },
	{ 64, B(0xf0, 0xc5, 0xf8, 0x58, 0xc1), "LOCK before VEX" },
	{ 64, B(0x48, 0xc5, 0xf8, 0x58, 0xc1), "REX before VEX" },
	{ 64, B(0xc5, 0xf0, 0x28, 0xc1), "VMOVAPS with vvvv" },
	{ 32, B(0xc4, 0xe1, 0x38, 0x28, 0xc1), "the same, only vvvv's high bit" },
	{ 64, B(0xc5, 0xfd, 0x6e, 0xc0), "VMOVD with VEX.L" },
	{ 64, B(0xc4, 0xe2, 0x79, 0x16, 0xc0), "VPERMPS without VEX.L" },
	{ 64, B(0xc4, 0xe2, 0xe9, 0x92, 0x04, 0x90), "gather with mask as index" },
	{ 64, B(0xc4, 0xe2, 0xe9, 0x92, 0x00), "gather without SIB" },
	{ 64, B(0xc4, 0xe2, 0xf4, 0xf2, 0xc2), "ANDN with VEX.L" },
	{ 64, B(0x0f, 0x0f, 0xc0, 0x9e), "3DNow!" },
	{ 64, B(0x66, 0x0f, 0x12, 0xc0), "MOVLPD of a register" },
};

static void check_undefined(void **state)
{
	struct insn insn;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(undefined); i++)
		if (insn_decode(&insn, undefined[i].bytes, undefined[i].len,
				mode_of(undefined[i].mode)) != DECODE_UD)
			fail_msg("%s decodes", undefined[i].why);
}

static void check_length(void **state)
{
	u8 b[16] = { 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
		     0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90, 0x90 };
	struct insn insn;
	unsigned int n;

	assert_int_equal(insn_decode(&insn, b, 16, INSN_MODE_32), DECODE_OK);
	assert_int_equal(insn.len, 15);
	b[14] = 0x66;
	assert_int_equal(insn_decode(&insn, b, 16, INSN_MODE_32), DECODE_TOO_LONG);
	assert_int_equal(insn_decode(&insn, b, 14, INSN_MODE_32), DECODE_MORE);
	/* the whole has 15 bytes without the last of the immediate */
	b[9] = 0x81;
	b[10] = 0xc0;
	assert_int_equal(insn_decode(&insn, b, 15, INSN_MODE_32), DECODE_OK);
	b[9] = 0x66;
	b[10] = 0x81;
	b[11] = 0x80;
	assert_int_equal(insn_decode(&insn, b, 16, INSN_MODE_32), DECODE_TOO_LONG);
	for (n = 0; n < 10; n++)
		assert_int_equal(insn_decode(&insn, rows[10].bytes, n, INSN_MODE_64), DECODE_MORE);
}

/*
 * Encoding fields, for who emits the instruction again: vfmadd231pd ymm8, ymm1,
 * [r9+r10*8+0x11223344]
 */
static void check_encoding(void **state)
{
	static const u8 fma[] = { 0xc4, 0x02, 0xf5, 0xb8, 0x84, 0xd1, 0x44, 0x33, 0x22, 0x11 };
	static const u8 imul[] = { 0x66, 0x64, 0x45, 0x69, 0x48, 0x7f, 0x34, 0x12 };
	struct insn i;

	assert_int_equal(insn_decode(&i, fma, sizeof(fma), INSN_MODE_64), DECODE_OK);
	assert_int_equal(i.enc, ENC_VEX);
	assert_int_equal(i.map, 2);
	assert_int_equal(i.opcode, 0xb8);
	assert_int_equal(i.mand, 0x66);
	assert_int_equal(i.rex, 0x4f);
	assert_int_equal(i.vex_l, 1);
	assert_int_equal(i.vvvv, 1);
	assert_int_equal(i.modrm, 0x84);
	assert_int_equal(i.disp_size, 4);
	assert_int_equal(i.family, FAM_AVX);
	assert_int_equal(i.mem_size, 32);
	assert_int_equal(i.mem_access, OPND_R);
	assert_int_equal(i.nr_opnd, 3);
	assert_int_equal(i.opnd[0].kind, OPND_VEC);
	assert_int_equal(i.opnd[0].access, OPND_R | OPND_W);
	assert_int_equal(i.opnd[0].field, FIELD_REG);
	assert_int_equal(i.opnd[1].field, FIELD_VVVV);
	assert_int_equal(i.opnd[1].access, OPND_R);
	assert_int_equal(i.opnd[2].kind, OPND_MEM);

	assert_int_equal(insn_decode(&i, imul, sizeof(imul), INSN_MODE_64), DECODE_OK);
	assert_int_equal(i.enc, ENC_LEGACY);
	assert_int_equal(i.map, 0);
	assert_int_equal(i.mand, 0);
	assert_int_equal(i.pfx, PFX_OPSIZE | PFX_REX | PFX_SEG);
	assert_int_equal(i.rex, 0x45);
	assert_int_equal(i.seg, X86_FS);
	assert_int_equal(i.base, 8);
	assert_int_equal(i.index, INSN_BASE_NONE);
	assert_int_equal(i.disp, 0x7f);
	assert_int_equal(i.disp_size, 1);
	assert_int_equal(i.imm_size, 2);
	assert_int_equal(i.imm_off, 6);
	assert_int_equal(i.opnd[0].access, OPND_W);
	assert_int_equal(i.opnd[0].reg, 9);
}

/* Implicit operands and the byte registers without REX */
static void check_implicit(void **state)
{
	static const u8 mul[] = { 0x48, 0xf7, 0xe1 }, ah[] = { 0x88, 0xe3 }, shl[] = { 0xd3, 0x20 }, movs[] = { 0x26, 0xa4 };
	struct insn i;

	insn_decode(&i, mul, sizeof(mul), INSN_MODE_64);
	assert_int_equal(i.opnd[0].access, OPND_R);
	assert_true(i.opnd[1].implicit && i.opnd[1].reg == X86_RAX &&
		    i.opnd[1].access == (OPND_R | OPND_W));
	assert_true(i.opnd[2].implicit && i.opnd[2].reg == X86_RDX && i.opnd[2].access == OPND_W);
	insn_decode(&i, ah, sizeof(ah), INSN_MODE_64);
	assert_true(i.opnd[1].high8 && i.opnd[1].reg == X86_RAX && i.opnd[1].size == 1);
	insn_decode(&i, shl, sizeof(shl), INSN_MODE_32);
	assert_true(i.opnd[1].implicit && i.opnd[1].reg == X86_RCX && i.opnd[1].size == 1);
	assert_int_equal(i.mem_access, OPND_R | OPND_W);
	insn_decode(&i, movs, sizeof(movs), INSN_MODE_32);
	assert_int_equal(i.has_mem, 0);
	assert_int_equal(i.seg, X86_ES);
}

static void check_format(void **state)
{
	struct insn insn;
	char buf[8];

	insn_decode(&insn, rows[0].bytes, rows[0].len, INSN_MODE_16);
	assert_int_equal(insn_format(buf, sizeof(buf), &insn, 0), 10);
	assert_string_equal(buf, "add ax,");
	assert_int_equal(insn_format(NULL, 0, &insn, 0), 10);
	assert_string_equal(insn_op_name(OP_VPADDB), "VPADDB");
	assert_string_equal(insn_op_name(OP_NR + 5), "INVALID");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_rows),	  cmocka_unit_test(check_undefined),
		cmocka_unit_test(check_length),	  cmocka_unit_test(check_encoding),
		cmocka_unit_test(check_implicit), cmocka_unit_test(check_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
