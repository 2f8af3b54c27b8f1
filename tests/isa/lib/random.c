// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Random user-mode instructions, operands, flags and vector state, executed by the host's CPU and
 * in a VM, and compared bit for bit: registers, flags, x87/SSE/AVX state, memory, and which
 * exception at which instruction.
 *
 * 32-bit code runs on the host in compatibility mode, in the segments that Linux has for it; 16-bit code in
 * segments of its own with bases and limits, which modify_ldt() makes.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>
#include "anykvm/anykvm_fd.h"
#include "random.h"

#define CODE_VA		0x10000000UL	/* the same linear addresses natively and in the guest */
#define DATA_VA		0x20000000UL
#define CTX_VA		0x30000000UL
#define CODE_SIZE	0x200000UL
#define DATA_SIZE	0x2000UL
#define SLOT_BYTES	128UL

/* Linux's selectors, and those of the LDT that 16-bit code gets */
#define HOST_CS32	0x23
#define HOST_CS64	0x33
#define HOST_DS		0x2b
#define LDT_CS		0x07
#define LDT_DS		0x0f
#define LDT_ES		0x17
#define LDT_SS		0x1f
/* 16-bit code: where its segments begin, and their last offsets */
#define ES_OFF		0x400UL
#define CS_LAST		0xffffUL
#define DATA_LAST	(DATA_SIZE - 1)
#define ES_LAST		(DATA_SIZE - 1 - ES_OFF)

/*
 * guest-physical: tables, descriptor tables, stack, handlers below 1 MiB; code and data at their
 * linear addresses
 */
#define GPA_PML4	0x1000UL
#define GPA_PDPT	0x2000UL
#define GPA_PD		0x3000UL
#define GPA_PT_DATA	0x4000UL
#define GPA_GDT		0x5000UL
#define GPA_IDT		0x6000UL
#define GPA_TSS		0x7000UL
#define GPA_STACK	0x9000UL	/* grows down from here */
#define GPA_HANDLERS	0xa000UL
#define LOW_SIZE	0x200000UL

#define MAX_SEQ		8
#define XS_SIZE		832

struct regs {
	u64 gpr[16];
	u64 flags;
};

struct ctx {
	struct regs in, out;
	u64 host_rsp;
	u8 xs_in[1024] __attribute__((aligned(64)));
	u8 xs_out[1024] __attribute__((aligned(64)));
};

static enum insn_mode mode;
static u64 code_base, data_base;	/* what offsets count from: 0 in flat modes */
static u32 nr_slots, nr_regs;
static struct ctx *ctx;
static u8 *code, *data, *guest_low, *guest_code, *guest_data;
static u8 *native_end;			/* where a native fault goes on */
static volatile int native_vector;
static u64 native_fault_rip;
static int vcpu_fd;
static struct kvm_run *run;
static u64 seed;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dUL;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- native side ----------------------------------------------------------------------------- */

static u8 *put(u8 *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

/* opcode [disp32 absolute], reg; 64-bit */
static u8 *put_abs(u8 *p, u8 opcode, u8 reg, const void *addr)
{
	u32 a = (u32)(u64)addr;

	*p++ = 0x48 | (reg >> 3) << 2;
	*p++ = opcode;
	*p++ = (reg & 7) << 3 | 4;
	*p++ = 0x25;
	return put(p, &a, 4);
}

/* mov eax, sel; mov sreg, eax */
static u8 *put_sreg(u8 *p, u8 sreg, u8 sel)
{
	return put(p, (u8[]){ 0xb8, sel, 0, 0, 0, 0x8e, 0xc0 | sreg << 3 }, 7);
}

static const u8 mask7[] = { 0xb8, 7, 0, 0, 0, 0x31, 0xd2 };	/* mov eax, 7; xor edx, edx */

/* xrstor64/xsave64 [abs] */
static u8 *put_xstate(u8 *p, u8 ext, const void *addr)
{
	u32 a = (u32)(u64)addr;

	p = put(p, mask7, sizeof(mask7));
	p = put(p, (u8[]){ 0x48, 0x0f, 0xae, ext << 3 | 4, 0x25 }, 5);
	return put(p, &a, 4);
}

static u8 *native_tail(u8 *p)
{
	for (int r = 0; r < 16; r++)
		p = put_abs(p, 0x89, r, &ctx->out.gpr[r]);
	p = put_abs(p, 0x8b, 4, &ctx->host_rsp);
	p = put(p, (u8[]){ 0x9c, 0x58, 0xfc }, 3);		/* pushfq; pop rax; cld */
	p = put_abs(p, 0x89, 0, &ctx->out.flags);
	for (u8 s = X86_ES; s <= X86_DS; s++)
		if (s != X86_CS)
			p = put_sreg(p, s, HOST_DS);
	p = put_xstate(p, 4, ctx->xs_out);
	/* an empty FPU and default MXCSR for the C code */
	p = put(p, (u8[]){ 0xdb, 0xe3, 0xc5, 0xf8, 0x77 }, 5);
	p = put(p, (u8[]){ 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3 }, 11);
	return p;
}

/* The stub up to the tested instructions, which go to @at. */
static void run_native(u8 *at, const u8 *bytes, u32 n)
{
	static u8 *head, *tail;
	u32 mxcsr = 0x1f80;

	if (!head) {
		u8 *p = head = (u8 *)CTX_VA + 0x2000;

		p = put(p, (u8[]){ 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57 }, 10);
		p = put_abs(p, 0x89, 4, &ctx->host_rsp);
		p = put_xstate(p, 5, ctx->xs_in);
		p = put_abs(p, 0x8b, 0, &ctx->in.flags);
		p = put(p, (u8[]){ 0x50, 0x9d }, 2);		/* push rax; popfq */
		if (mode == INSN_MODE_16) {
			p = put_sreg(p, X86_DS, LDT_DS);
			p = put_sreg(p, X86_ES, LDT_ES);
			p = put_sreg(p, X86_SS, LDT_SS);
		} else {
			p = put_sreg(p, X86_DS, HOST_DS);
			p = put_sreg(p, X86_ES, HOST_DS);
		}
		for (int r = 0; r < 16; r++)
			p = put_abs(p, 0x8b, r, &ctx->in.gpr[r]);
		/* jmp [rip] to the address that follows, or ljmp, 32-bit offset and selector */
		p = put(p, (u8[]){ 0xff, mode == INSN_MODE_64 ? 0x25 : 0x2d, 0, 0, 0, 0 }, 6);
		tail = p;
		native_end = p + 8;
		native_tail(native_end);
	}
	memcpy(at, bytes, n);
	if (mode == INSN_MODE_64) {
		memcpy(tail, &at, 8);
		/* tested bytes, then jmp [rip] to the tail */
		memcpy(at + n, (u8[]){ 0xff, 0x25, 0, 0, 0, 0 }, 6);
		memcpy(at + n + 6, &native_end, 8);
	} else {
		u32 off = (u64)at - code_base, end = (u64)native_end;
		u16 cs = mode == INSN_MODE_32 ? HOST_CS32 : LDT_CS, cs64 = HOST_CS64;

		memcpy(tail, &off, 4);
		memcpy(tail + 4, &cs, 2);
		/* ljmp with a 32-bit offset */
		at += n;
		if (mode == INSN_MODE_16)
			*at++ = 0x66;
		*at++ = 0xea;
		memcpy(at, &end, 4);
		memcpy(at + 4, &cs64, 2);
	}
	native_vector = -1;
	((void (*)(void))head)();
	__asm__ volatile("ldmxcsr %0" :: "m"(mxcsr));
}

static void on_fault(int sig, siginfo_t *info, void *ucp)
{
	ucontext_t *uc = ucp;
	greg_t *g = uc->uc_mcontext.gregs;

	(void)info;
	u16 cs = g[REG_CSGSFS];

	if (native_vector != -1 ||
	    (cs != LDT_CS && (cs != (mode == INSN_MODE_32 ? HOST_CS32 : HOST_CS64) ||
			      (u64)g[REG_RIP] - CODE_VA >= CODE_SIZE))) {
		signal(sig, SIG_DFL);
		return;
	}
	native_vector = g[REG_TRAPNO];
	native_fault_rip = g[REG_RIP];
	g[REG_RIP] = (greg_t)native_end;
	/* CS, GS, FS, SS */
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000) | HOST_CS64 | (u64)HOST_DS << 48;
}

/* false: the host has no modify_ldt() */
static bool native_segments(void)
{
	struct user_desc d[4] = {
		{ .entry_number = LDT_CS >> 3, .base_addr = CODE_VA, .limit = CS_LAST, .contents = 2 },
		{ .entry_number = LDT_DS >> 3, .base_addr = DATA_VA, .limit = DATA_LAST },
		{ .entry_number = LDT_ES >> 3, .base_addr = DATA_VA + ES_OFF, .limit = ES_LAST },
		{ .entry_number = LDT_SS >> 3, .base_addr = DATA_VA, .limit = DATA_LAST },
	};

	for (int i = 0; i < 4; i++)
		if (syscall(SYS_modify_ldt, 0x11, &d[i], sizeof(d[i])))
			return false;
	return true;
}

static void native_init(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t ss = { .ss_size = 65536, .ss_sp = malloc(65536) };
	int prot = PROT_READ | PROT_WRITE;

	code = mmap((void *)CODE_VA, CODE_SIZE + 4096, prot | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	data = mmap((void *)DATA_VA, DATA_SIZE, prot,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ctx = mmap((void *)CTX_VA, 0x4000, prot | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (code == MAP_FAILED || data == MAP_FAILED || ctx == MAP_FAILED)
		die("mmap");
	sigaltstack(&ss, NULL);
	for (int i = 0; i < 5; i++)
		sigaction((int[]){ SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP }[i], &sa, NULL);
}

/* ---- guest side ------------------------------------------------------------------------------ */

static void vcpu_ioctl(unsigned long nr, void *arg, const char *what)
{
	int r = anykvm_ioctl(vcpu_fd, nr, (unsigned long)arg);

	if (r < 0) {
		errno = -r;
		die(what);
	}
}

static void set64(u64 gpa, u64 v)
{
	memcpy(guest_low + gpa, &v, 8);
}

/* guest_data as guest-physical memory: in the order that guest_tables() undoes. */
static u8 *data_slot(void)
{
	u8 *slot;

	slot = mmap(NULL, DATA_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* with an old size of 0, of shared memory: a second mapping */
	for (u64 i = 0; i < DATA_SIZE; i += 4096)
		if (mremap(guest_data + i, 0, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, slot + DATA_SIZE - 4096 - i) == MAP_FAILED)
			die("mremap");
	return slot;
}

static void guest_tables(void)
{
	set64(GPA_PML4, GPA_PDPT | 3);
	set64(GPA_PDPT, GPA_PD | 3);
	/* 2 MiB pages: low memory and the code; the data by 4 KiB pages with nothing around them */
	set64(GPA_PD, 0x83);
	set64(GPA_PD + (CODE_VA >> 21) * 8, CODE_VA | 0x83);
	set64(GPA_PD + (DATA_VA >> 21) * 8, GPA_PT_DATA | 3);
	/* the last page first: neighbours in linear memory are none behind it */
	for (u64 i = 0; i < DATA_SIZE / 4096; i++)
		set64(GPA_PT_DATA + i * 8, (DATA_VA + DATA_SIZE - (i + 1) * 4096) | 3);
	set64(GPA_GDT + 8, 0x00af9b000000ffffUL);
	set64(GPA_GDT + 16, 0x00cf93000000ffffUL);
	for (u64 v = 0; v < 32; v++) {
		u64 h = GPA_HANDLERS + v * 16;

		/* interrupt gate on IST 1; the handler is HLT */
		set64(GPA_IDT + v * 16,
		      (h & 0xffff) | 8 << 16 | 1UL << 32 | 0x8eUL << 40 | (h >> 16) << 48);
		guest_low[h] = 0xf4;
	}
	set64(GPA_TSS + 36, GPA_STACK);
}

static void guest_sregs(void)
{
	struct kvm_sregs s;
	struct kvm_segment cs = { .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	struct kvm_segment ds = { .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };

	vcpu_ioctl(KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	if (mode != INSN_MODE_64) {
		cs.l = 0;
		cs.db = mode == INSN_MODE_32;
	}
	s.cs = cs;
	s.ds = s.es = s.fs = s.gs = s.ss = ds;
	if (mode == INSN_MODE_16) {
		s.cs.base = CODE_VA;
		s.cs.limit = CS_LAST;
		s.ds.base = s.ss.base = DATA_VA;
		s.ds.limit = s.ss.limit = DATA_LAST;
		s.es.base = DATA_VA + ES_OFF;
		s.es.limit = ES_LAST;
		s.ss.db = s.cs.g = s.ds.g = s.es.g = s.ss.g = 0;
	}
	s.tr = (struct kvm_segment){ .base = GPA_TSS, .limit = 0x67, .selector = 24, .type = 11, .present = 1 };
	s.gdt.base = GPA_GDT;
	s.gdt.limit = 0x3f;
	s.idt.base = GPA_IDT;
	s.idt.limit = 0x1ff;
	s.cr0 = 0x80000033;
	s.cr3 = GPA_PML4;
	s.cr4 = 0x40620 | 0x10000;	/* OSXSAVE PAE OSFXSR OSXMMEXCPT FSGSBASE */
	s.efer = 0xd00;
	vcpu_ioctl(KVM_SET_SREGS, &s, "KVM_SET_SREGS");
}

static void guest_init(void)
{
	struct kvm_userspace_memory_region m[3];
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[100]; } id = { .h.nent = 100 };
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = 7 } };
	int sys = anykvm_open(), vm, r;

	if (sys < 0) {
		errno = -sys;
		die("anykvm_open");
	}
	vm = anykvm_ioctl(sys, KVM_CREATE_VM, 0);
	guest_low = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	guest_code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	guest_data = mmap(NULL, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	m[0] = (struct kvm_userspace_memory_region){ .slot = 0,
						     .memory_size = LOW_SIZE,
						     .userspace_addr = (u64)guest_low };
	m[1] = (struct kvm_userspace_memory_region){ .slot = 1, .guest_phys_addr = CODE_VA, .memory_size = CODE_SIZE,
						     .userspace_addr = (u64)guest_code };
	m[2] = (struct kvm_userspace_memory_region){ .slot = 2, .guest_phys_addr = DATA_VA, .memory_size = DATA_SIZE,
						     .userspace_addr = (u64)data_slot() };
	for (int i = 0; i < 3; i++) {
		r = anykvm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, (unsigned long)&m[i]);
		if (r < 0) {
			errno = -r;
			die("KVM_SET_USER_MEMORY_REGION");
		}
	}
	vcpu_fd = anykvm_ioctl(vm, KVM_CREATE_VCPU, 0);
	run = anykvm_mmap(vcpu_fd, anykvm_ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, 0), 0);
	r = anykvm_ioctl(sys, KVM_GET_SUPPORTED_CPUID, (unsigned long)&id);
	if (r < 0 || vcpu_fd < 0 || run == (void *)-1) {
		fprintf(stderr, "instructions: cannot make a vCPU (%d, %d)\n", r, vcpu_fd);
		exit(1);
	}
	vcpu_ioctl(KVM_SET_CPUID2, &id, "KVM_SET_CPUID2");
	guest_tables();
	guest_sregs();
	vcpu_ioctl(KVM_SET_XCRS, &x, "KVM_SET_XCRS");
}

/* Runs until HLT. Returns the vector or -1 for the end of the sequence; state in *out. */
static int run_guest(u64 at, const u8 *bytes, u32 n, struct regs *out, u64 *fault_rip, u8 *xs)
{
	struct kvm_regs r = { .rip = at - code_base, .rflags = ctx->in.flags };
	static struct kvm_xsave x;
	const u64 *g = ctx->in.gpr;
	u64 frame[6];
	int vector;

	memcpy(guest_code + (at - CODE_VA), bytes, n);
	guest_code[at - CODE_VA + n] = 0xf4;
	r.rax = g[0]; r.rcx = g[1]; r.rdx = g[2]; r.rbx = g[3]; r.rsp = g[4]; r.rbp = g[5]; r.rsi = g[6]; r.rdi = g[7];
	r.r8 = g[8]; r.r9 = g[9]; r.r10 = g[10]; r.r11 = g[11]; r.r12 = g[12]; r.r13 = g[13]; r.r14 = g[14]; r.r15 = g[15];
	memcpy(&x, ctx->xs_in, XS_SIZE);
	vcpu_ioctl(KVM_SET_REGS, &r, "KVM_SET_REGS");
	vcpu_ioctl(KVM_SET_XSAVE, &x, "KVM_SET_XSAVE");
	vcpu_ioctl(KVM_RUN, NULL, "KVM_RUN");
	if (run->exit_reason != KVM_EXIT_HLT) {
		printf("exit reason %u instead of HLT (suberror %u)\n", run->exit_reason,
		       run->internal.suberror);
		return -2;
	}
	vcpu_ioctl(KVM_GET_REGS, &r, "KVM_GET_REGS");
	vcpu_ioctl(KVM_GET_XSAVE, &x, "KVM_GET_XSAVE");
	memcpy(xs, &x, XS_SIZE);
	*out = (struct regs){ .gpr = { r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11,
				       r.r12, r.r13, r.r14, r.r15 }, .flags = r.rflags };
	if (r.rip == at - code_base + n + 1)
		return -1;
	if (r.rip - 1 - GPA_HANDLERS >= 32 * 16) {
		printf("stopped at %#llx\n", r.rip);
		return -2;
	}
	vector = (r.rip - 1 - GPA_HANDLERS) / 16;
	/* RIP CS RFLAGS RSP SS on top of the IST stack, below them an error code for some */
	memcpy(frame, guest_low + GPA_STACK - 40, 40);
	*fault_rip = frame[0];
	out->flags = frame[2];
	out->gpr[4] = frame[3];
	/* the exception left the mode */
	if (mode != INSN_MODE_64)
		guest_sregs();
	return vector;
}

/* ---- cases ----------------------------------------------------------------------------------- */

struct seq {
	u8 bytes[MAX_SEQ * INSN_MAX_LEN];
	u32 len, n;
	u32 fixed;		/* registers whose initial value is decided (bit per register) */
	bool stack_edge;	/* the stack pointer is near the segment's end */
	u32 written;		/* registers that an earlier instruction may have changed */
	/* Operands that all have this base, close together, so that the translator checks them as one. 0: not so */
	u8 base;
	bool base_moved;
};

static bool excluded(const struct insn *in)
{
	switch (in->op) {
	case OP_RDRAND: case OP_RDSEED: case OP_ENTER:
	/* they store where the last x87 instruction was: another address here */
	case OP_FNSTENV: case OP_FNSAVE:
		return true;
	case OP_JMP: case OP_JCC: case OP_CALL: case OP_LOOP: case OP_LOOPE: case OP_LOOPNE: case OP_JCXZ:
		/* of 16 bits only where that is enough to go on at the next instruction */
		return mode == INSN_MODE_64 ? in->pfx & PFX_OPSIZE : in->opsize == 2 && mode == INSN_MODE_32;
	}
	if (in->family == FAM_FLOW || in->family == FAM_SYSTEM || (in->attr & INSN_VSIB))
		return true;
	/* elements that are masked out are beyond no limit, which the emulator does not know */
	if (mode == INSN_MODE_16 && (in->op == OP_VMASKMOVPS || in->op == OP_VMASKMOVPD || in->op == OP_VPMASKMOVD ||
				     in->op == OP_VPMASKMOVQ))
		return true;
	/* the host marks the x87 registers used before #GP */
	if (in->op == OP_MASKMOVQ && in->pfx & PFX_SEG)
		return true;
	/* thread-local storage natively; a jump of the code, not of the processor */
	if (in->seg == X86_FS || in->seg == X86_GS || (mode == INSN_MODE_16 && in->seg == X86_CS))
		return in->has_mem || in->family == FAM_STRING || in->op == OP_XLAT;
	/* the first 64 KiB are not the same on both sides */
	return mode == INSN_MODE_32 && in->addrsize == 2 && in->op != OP_LEA && in->op != OP_NOP &&
	       (in->has_mem || in->family == FAM_STRING || in->op == OP_XLAT || in->op == OP_MASKMOVQ ||
		in->op == OP_MASKMOVDQU || in->op == OP_VMASKMOVDQU);
}

static u64 random_value(void)
{
	switch (rnd() % 6) {
	case 0: return rnd() % 256;
	case 1: return -(rnd() % 256);
	case 2: return (u32)rnd();
	case 3: return 1UL << (rnd() % 64);
	case 4: return DATA_VA + rnd() % DATA_SIZE;
	default: return rnd();
	}
}

static bool fix(struct seq *s, u8 reg, u64 value)
{
	if (mode != INSN_MODE_64)
		value = (u32)value;
	if (((s->fixed | s->written) >> reg) & 1)
		return ctx->in.gpr[reg] == value && !((s->written >> reg) & 1);
	ctx->in.gpr[reg] = value;
	s->fixed |= 1u << reg;
	return true;
}

static bool known(const struct seq *s, u8 reg)
{
	return !((s->written >> reg) & 1);
}

/* [base + disp8] in place of the operand that was decoded. */
static bool rebase(const struct seq *s, struct insn *in, u8 *b)
{
	u32 end = in->imm_size ? in->imm_off : in->len, sib = (in->modrm & 7) == 4;
	u32 at = end - in->disp_size - sib - 1;

	if (in->enc == ENC_VEX || !in->has_modrm || in->addrsize != 8)
		return false;
	if (!(in->pfx & PFX_REX) && s->base >= 8)
		return false;
	if (in->pfx & PFX_REX) {
		u8 *rex = memchr(b, in->rex, at);

		*rex = (*rex & ~1) | s->base >> 3;
	}
	b[at] = 0x40 | (in->modrm & 0x38) | (s->base & 7);
	return insn_decode(in, b, INSN_MAX_LEN, mode) == DECODE_OK && in->has_mem && in->base == s->base &&
	       in->index == INSN_BASE_NONE;
}

/* lea disp8(base), base or add or sub $imm8, base: it stays near. */
static bool move_base(struct seq *s)
{
	u8 *b = s->bytes + s->len;
	u32 kind = rnd() % 3;

	b[0] = 0x48 | (s->base >> 3) | (kind ? 0 : (s->base >> 3) << 2);
	b[1] = kind ? 0x83 : 0x8d;
	b[2] = kind ? 0xc0 | (kind == 2 ? 5 : 0) << 3 | (s->base & 7) : 0x40 | (s->base & 7) << 3 | (s->base & 7);
	b[3] = rnd() % 32 - 16;
	s->base_moved = true;
	s->len += 4;
	s->n++;
	return true;
}

/* Make the operand's address lie in the data, by choosing the base register or the displacement. */
static bool aim(struct seq *s, struct insn *in, u64 at)
{
	u64 size = in->mem_size ? in->mem_size : 64, target, index = 0;
	u32 end = in->imm_size ? in->imm_off : in->len;

	if (mode == INSN_MODE_64 && !in->has_modrm)
		return false;
	if (s->base)
		return !((s->written >> s->base) & 1) &&
		       !((in->attr & INSN_ALIGNED) && ctx->in.gpr[s->base] > DATA_VA + DATA_SIZE - 512);
	target = DATA_VA + rnd() % (DATA_SIZE - size);
	if (rnd() % 4)
		target &= ~(u64)(size >= 32 ? 31 : size >= 16 ? 15 : size >= 8 ? 7 : size - 1);
	else if (rnd() % 8 == 0 && !(in->attr & INSN_ALIGNED))	/* which of #GP and #PF wins is the CPU's choice */
		/* off the end now and then */
		target = DATA_VA + DATA_SIZE - rnd() % size;
	target -= data_base;
	if (mode == INSN_MODE_16 && in->seg == X86_ES)
		target -= ES_OFF;
	if (in->base == INSN_BASE_RIP) {
		s32 d = target - (at + s->len + in->len);

		memcpy(s->bytes + s->len + end - 4, &d, 4);
		return in->addrsize == 8;
	}
	if (in->base == INSN_BASE_NONE && in->index == INSN_BASE_NONE && mode != INSN_MODE_64) {
		memcpy(s->bytes + s->len + end - in->disp_size, &target, in->disp_size);
		return true;
	}
	if (in->base == INSN_BASE_NONE || in->base == X86_RSP || in->base == in->index)
		return false;
	if (in->index != INSN_BASE_NONE) {
		if (!known(s, in->index))
			return false;
		s->fixed |= 1u << in->index;
		index = ctx->in.gpr[in->index] << in->scale;
	}
	target -= in->disp + index;
	if (in->addrsize == 4)
		target = (u32)target;
	if (in->addrsize == 2)
		target = (target & 0xffff) | (rnd() & 0xffff0000);
	return fix(s, in->base, target);
}

static bool add_insn(struct seq *s, u64 at)
{
	u8 *b = s->bytes + s->len;
	struct insn in;
	u32 n = 0;

	if (s->base && !((s->written >> s->base) & 1) && rnd() % 6 == 0)
		return move_base(s);
	for (u32 i = 0; i < INSN_MAX_LEN; i++)
		b[i] = rnd();
	/* steer: plain opcodes are reached by chance, prefixes and the other maps need help */
	switch (rnd() % 8) {
	case 0: b[n++] = 0x66; break;
	case 1: b[n++] = 0xf3; break;
	case 2: b[n++] = 0xf2; break;
	}
	if (mode != INSN_MODE_64) {
		if (rnd() % 8 == 0)
			b[n++] = 0x67;
		if (rnd() % 8 == 0)
			b[n++] = 0x26 | (rnd() & 3) << 3;
	}
	switch (mode == INSN_MODE_64 ? rnd() % 10 : 10 + rnd() % 10) {
	case 0: case 1: b[n++] = 0x40 | rnd() % 16; b[n] = rnd(); break;
	case 2: case 3: b[n++] = 0x40 | rnd() % 16; b[n++] = 0x0f; break;
	case 4: b[n++] = 0x0f; b[n++] = rnd() & 1 ? 0x38 : 0x3a; break;
	case 5: case 6: n = 0; b[n++] = 0xc4; b[n] = (b[n] & 0xe0) | (1 + rnd() % 3); break;
	case 7: n = 0; b[n++] = 0xc5; break;
	case 8: case 10: b[n++] = 0xd8 | rnd() % 8; break;
	case 9: case 11: case 12: b[n++] = 0x0f; break;
	case 13: b[n++] = 0x0f; b[n++] = rnd() & 1 ? 0x38 : 0x3a; break;
	case 14: n = 0; b[n++] = 0xc4; b[n] = (b[n] & 0xe0) | 0xc0 | (1 + rnd() % 3); break;
	case 15: n = 0; b[n++] = 0xc5; b[n] |= 0xc0; break;
	}
	if (insn_decode(&in, b, INSN_MAX_LEN, mode) != DECODE_OK ||
	    (s->base && in.has_mem && !rebase(s, &in, b)) || excluded(&in))
		return false;
	if (in.family == FAM_FLOW) {
		memset(b + in.imm_off, 0, in.imm_size);
		if (in.op == OP_LOOP || in.op == OP_LOOPE || in.op == OP_LOOPNE)
			s->written |= 1u << X86_RCX;
	}
	if (in.op == OP_LEAVE) {
		if (!fix(s, X86_RBP, DATA_VA - data_base + 0x800 + 8 * (rnd() % 64)))
			return false;
		s->written |= 1u << X86_RBP;
	}
	/* if it faults, some of the registers may be loaded, some of the memory written: a processor's choice */
	if ((in.op == OP_POPA || in.op == OP_PUSHA) && s->stack_edge)
		return false;
	if (in.op == OP_POPA)
		s->written |= 0xff;
	if (in.op == OP_XLAT && !fix(s, X86_RBX, DATA_VA - data_base + 0x800 + rnd() % 0x1000))
		return false;
	if (in.has_mem && in.op != OP_LEA && in.op != OP_NOP && !aim(s, &in, at))
		return false;
	if (in.family == FAM_STRING) {
		if ((mode == INSN_MODE_64 && in.addrsize != 8) ||
		    !known(s, X86_RCX) || !fix(s, X86_RSI, DATA_VA - data_base + 512 + rnd() % 6000) ||
		    !fix(s, X86_RDI, DATA_VA - data_base + 512 + rnd() % 6000))
			return false;
		if (((s->fixed >> X86_RCX) & 1) && ctx->in.gpr[X86_RCX] > 64)
			return false;
		fix(s, X86_RCX, rnd() % 40);
	}
	if ((in.op == OP_BT || in.op == OP_BTS || in.op == OP_BTR || in.op == OP_BTC) &&
	    in.has_mem && in.opnd[1].kind == OPND_GPR && !fix(s, in.opnd[1].reg, rnd() % 2048))
		return false;
	if ((in.op == OP_MASKMOVQ || in.op == OP_MASKMOVDQU || in.op == OP_VMASKMOVDQU) &&
	    ((mode == INSN_MODE_64 && in.addrsize != 8) ||
	     !fix(s, X86_RDI, DATA_VA - data_base + rnd() % (DATA_SIZE - 64))))
		return false;
	/* the stack pointer stays where it is useful */
	for (u32 i = 0; i < in.nr_opnd; i++) {
		const struct opnd *o = &in.opnd[i];

		if (o->kind != OPND_GPR || !(o->access & OPND_W))
			continue;
		if (o->reg == X86_RSP)
			return false;
		s->written |= 1u << o->reg;
	}
	if (in.family == FAM_STRING)
		s->written |= 1u << X86_RSI | 1u << X86_RDI | 1u << X86_RCX | 1u << X86_RAX;
	if (in.op == OP_PCMPISTRI || in.op == OP_PCMPESTRI || in.op == OP_VPCMPISTRI ||
	    in.op == OP_VPCMPESTRI)
		s->written |= 1u << X86_RCX;
	if (in.attr & INSN_RAX_RDX)
		s->written |= 1u << X86_RAX | 1u << X86_RDX | 1u << X86_RCX;
	s->len += in.len;
	s->n++;
	return true;
}

/*
 * What no operand and no rule above says is written must not be: the translator and the emulator rely on it. A
 * moved base is in none of them.
 */
static bool wrote_more(const struct seq *s)
{
	u32 may = s->written | 1u << X86_RSP | (s->base_moved ? 1u << s->base : 0);
	bool bad = false;

	for (u32 i = 0; i < nr_regs; i++) {
		if (((may >> i) & 1) || ctx->out.gpr[i] == ctx->in.gpr[i])
			continue;
		printf("  register %u is changed, and no operand says so\n", i);
		bad = true;
	}
	return bad;
}

static void random_vectors(void)
{
	u8 *x = ctx->xs_in;
	u32 mxcsr = 0x1f80 | (rnd() & 3) << 13 | (rnd() % 8 ? 0 : 0x8040);
	u16 fcw = 0x037f;
	u64 bv = 7;

	for (u32 i = 0; i < XS_SIZE; i += 8) {
		u64 v = rnd();

		if (rnd() % 3 == 0)	/* ordinary doubles and floats */
			v = rnd() & 1 ? 0x3ff0000000000000UL + (rnd() >> 12)
				      : 0x3f8000003f800000UL + (rnd() & 0x007fffff007fffffUL);
		if (rnd() % 16 == 0)
			v = 0;
		memcpy(x + i, &v, 8);
	}
	memset(x, 0, 32);
	if (rnd() % 8 == 0)
		fcw = (rnd() & 0x0f00) | 0x7f;
	if (rnd() % 32 == 0)
		mxcsr &= ~(0x80u << rnd() % 6);
	memcpy(x, &fcw, 2);
	x[4] = rnd() % 3 ? 0 : rnd();		/* abridged tags: empty more often than not */
	x[3] = rnd() & 0x38;			/* top of stack */
	memcpy(x + 24, &mxcsr, 4);
	for (int i = 0; i < 8; i++) {		/* x87: exponents near one */
		u16 e = 0x3fff - 8 + rnd() % 16;

		if (rnd() % 2) {
			x[32 + i * 16 + 7] |= 0x80;
			memcpy(x + 32 + i * 16 + 8, &e, 2);
		}
	}
	memset(x + 416, 0, 96);
	memset(x + 512, 0, 64);
	memcpy(x + 512, &bv, 8);
}

/* Components in their initial state may be saved as anything: make them comparable. */
static void normalise(u8 *x)
{
	u64 bv;

	memcpy(&bv, x + 512, 8);
	if (!(bv & 1)) {
		memset(x, 0, 24);
		x[0] = 0x7f;
		x[1] = 3;
		memset(x + 32, 0, 128);
	}
	if (!(bv & 2))
		memset(x + 160, 0, 256);
	if (!(bv & 4))
		memset(x + 576, 0, 256);
	/* FOP, FIP, FDP: where the last x87 instruction and operand were */
	memset(x + 6, 0, 18);
	memset(x + 28, 0, 4);
	for (int i = 0; i < 8; i++)
		memset(x + 32 + i * 16 + 10, 0, 6);
	memset(x + 416, 0, 160);
}

static u64 reg_mask(void)
{
	return mode == INSN_MODE_64 ? ~0UL : 0xffffffff;
}

static bool differ(const char *what, u64 want, u64 got)
{
	if (want != got)
		printf("  %s: CPU %#018lx, VM %#018lx\n", what, (unsigned long)want,
		       (unsigned long)got);
	return want != got;
}

static bool compare(int nv, int gv, const struct regs *g, u64 frip, u8 *xs)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					       "rsi", "rdi", "r8",  "r9",  "r10", "r11",
					       "r12", "r13", "r14", "r15" };
	const u64 mask = X86_FLAGS_ARITH | X86_FLAG_DF;
	bool bad = differ("exception", nv, gv);

	if (!bad && nv >= 0)
		bad |= differ("fault at", native_fault_rip, frip);
	/* a 32-bit program cannot see the upper halves */
	for (u32 i = 0; i < nr_regs && !bad; i++)
		bad |= differ(names[i], ctx->out.gpr[i] & reg_mask(), g->gpr[i] & reg_mask());
	bad |= differ("rflags", ctx->out.flags & mask, g->flags & mask);
	normalise(ctx->xs_out);
	normalise(xs);
	for (u32 i = 0; i < XS_SIZE && !bad; i += 8) {
		u64 a, b;
		char name[32];

		memcpy(&a, ctx->xs_out + i, 8);
		memcpy(&b, xs + i, 8);
		snprintf(name, sizeof(name), "xsave+%u", i);
		bad |= differ(name, a, b);
	}
	for (u32 i = 0; i < DATA_SIZE && !bad; i += 8) {
		u64 a, b;
		char name[32];

		memcpy(&a, data + i, 8);
		memcpy(&b, guest_data + i, 8);
		snprintf(name, sizeof(name), "data+%#x", i);
		bad |= differ(name, a, b);
	}
	return bad;
}

static void print_seq(const struct seq *s, u64 at)
{
	for (u32 off = 0; off < s->len; ) {
		struct insn in;
		char text[128];

		if (insn_decode(&in, s->bytes + off, s->len - off, mode) != DECODE_OK)
			break;
		insn_format(text, sizeof(text), &in, at + off);
		printf("  ");
		for (u32 i = 0; i < in.len; i++)
			printf("%02x ", s->bytes[off + i]);
		printf(" %s\n", text);
		off += in.len;
	}
}

static bool one_case(u64 number)
{
	u64 slot = number % nr_slots, at = CODE_VA + slot * SLOT_BYTES, start = seed, frip = 0;
	struct seq s = { .fixed = 1u << X86_RSP };
	static u8 xs[1024];
	struct regs g;
	u32 want = 1 + rnd() % 3;
	int gv;

	/* fresh code in a page that was run before: the instruction mapping must be filled anew */
	if (!slot)
		guest_sregs();
	for (int i = 0; i < 16; i++)
		ctx->in.gpr[i] = random_value() & reg_mask();
	ctx->in.gpr[X86_RSP] = DATA_VA - data_base + 0x1000 + 8 * (rnd() % 64) - 256;
	if (mode == INSN_MODE_16) {
		s.stack_edge = rnd() % 16 == 0;
		if (s.stack_edge)
			ctx->in.gpr[X86_RSP] = rnd() & 1 ? rnd() % 16 : DATA_SIZE - rnd() % 16;
		ctx->in.gpr[X86_RSP] |= rnd() & 0xffff0000;
	}
	ctx->in.flags = 2 | (rnd() & 0x8d5) | (rnd() % 8 ? 0 : 0x400);
	if (mode == INSN_MODE_64 && rnd() % 3 == 0) {
		static const u8 bases[] = { X86_RBX, X86_RBP, X86_RSI, X86_RDI, X86_R8, X86_R11, X86_R13, X86_R15 };

		s.base = bases[rnd() % sizeof(bases)];
		/* in the middle of a page, around its end, around the data's end */
		ctx->in.gpr[s.base] = DATA_VA + (rnd() % 3 == 0 ? 0x800 : rnd() & 1 ? 0x1000 : DATA_SIZE - 64) +
				      rnd() % 256 - 128;
		if (rnd() & 1)
			ctx->in.gpr[s.base] &= ~15UL;
		s.fixed |= 1u << s.base;
		want = 2 + rnd() % (MAX_SEQ - 1);
	}
	for (u32 tries = 0; s.n < want && tries < 400; tries++) {
		struct seq before = s;

		if (s.len > SLOT_BYTES - 32 || !add_insn(&s, at))
			s = before;
	}
	if (!s.n)
		return false;
	random_vectors();
	for (u32 i = 0; i < DATA_SIZE; i += 8) {
		u64 v = i % 64 ? rnd() : i * 0x0101010101010101UL;

		memcpy(data + i, &v, 8);
	}
	memcpy(guest_data, data, DATA_SIZE);
	run_native((u8 *)at, s.bytes, s.len);
	gv = run_guest(at, s.bytes, s.len, &g, &frip, xs);
	if (gv == -2 || compare(native_vector, gv, &g, frip, xs) || (native_vector < 0 && wrote_more(&s))) {
		printf("case %lu, seed %lu:\n", (unsigned long)number, (unsigned long)start);
		print_seq(&s, at);
		return true;
	}
	return false;
}

int isa_random(enum insn_mode m, const char *name, int argc, char **argv)
{
	u64 cases = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000, bad = 0, i;

	mode = m;
	nr_slots = (m == INSN_MODE_16 ? CS_LAST + 1 : CODE_SIZE) / SLOT_BYTES;
	nr_regs = m == INSN_MODE_64 ? 16 : 8;
	if (m == INSN_MODE_16) {
		code_base = CODE_VA;
		data_base = DATA_VA;
		if (!native_segments()) {
			printf("%s: the host has no modify_ldt()\n", name);
			return 77;
		}
	}
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x9e3779b97f4a7c15UL;
	setvbuf(stdout, NULL, _IOLBF, 0);
	native_init();
	guest_init();
	for (i = 0; i < cases && bad < 20; i++)
		bad += one_case(i);
	printf("%s: %lu cases, %lu differences\n", name, (unsigned long)i, (unsigned long)bad);
	return bad != 0;
}
