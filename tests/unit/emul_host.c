// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Integer and string instructions in the emulator against the processor this runs on: random
 * encodings, registers, flags and memory operands in 64-bit mode; registers, RFLAGS (undefined bits
 * too), memory, vector, error code and address of faults must be equal.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <time.h>
#include <cmocka.h>
#include "x86/emul/emul.h"

#define WINDOW		0x10000000UL	/* page 0 RW, 1 RW, 2 read-only, 3 absent */
#define WINDOW_SIZE	0x4000UL
#define STUB		0x11000000UL
#define CODE		0x12000000UL	/* where the emulator believes the instruction to be */
#define COMPARED_FLAGS	(X86_FLAGS_ARITH | X86_FLAG_DF)

struct regs {
	u64 gpr[16];
	u64 rflags;
};

/* at the start of the stub's page, reached by absolute addresses */
struct shared {
	struct regs in, out;
	u64 rsp;
};

static struct shared *shared;
static u8 *stub;
static sigjmp_buf jump;
static struct { bool hit; u64 vector, error, cr2; struct regs regs; } fault;

static u8 before[WINDOW_SIZE], copy[WINDOW_SIZE];
static bool missing[FEAT_NR];
static u64 seed = 0x9e3779b97f4a7c15ULL;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dULL;
}

/* Values that find corners more often than uniform ones. */
static u64 rnd_value(void)
{
	static const u64 corner[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xaaaaaaaaaaaaaaaa };
	u64 r = rnd();

	switch (r & 3) {
	case 0:
		return corner[(r >> 8) % ARRAY_SIZE(corner)];
	case 1:
		return rnd() & 0xff;
	default:
		return rnd() >> ((r >> 8) & 31);
	}
}

/* ---- the host ---------------------------------------- */

static void on_signal(int sig, siginfo_t *info, void *context)
{
	static const int map[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	ucontext_t *uc = context;
	int i;

	for (i = 0; i < 16; i++)
		fault.regs.gpr[i] = uc->uc_mcontext.gregs[map[i]];
	fault.regs.rflags = uc->uc_mcontext.gregs[REG_EFL];
	fault.vector = uc->uc_mcontext.gregs[REG_TRAPNO];
	fault.error = uc->uc_mcontext.gregs[REG_ERR];
	fault.cr2 = uc->uc_mcontext.gregs[REG_CR2];
	fault.hit = true;
	siglongjmp(jump, 1);
}

static u8 *emit_abs(u8 *p, u8 opcode, unsigned int reg, const void *at)
{
	u32 addr = (u32)(uintptr_t)at;

	*p++ = 0x48 | (reg >> 3) << 2;
	*p++ = opcode;
	*p++ = 0x04 | (reg & 7) << 3;
	*p++ = 0x25;
	memcpy(p, &addr, 4);
	return p + 4;
}

static void run_host(const u8 *code, unsigned int len)
{
	static const u8 save[] = { 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57 };
	static const u8 restore[] = { 0xfc, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3 };
	u8 *p = stub;
	unsigned int i;

	memcpy(p, save, sizeof(save));
	p += sizeof(save);
	p = emit_abs(p, 0xff, 6, &shared->in.rflags);	/* push m64 */
	*p++ = 0x9d;
	for (i = 0; i < 16; i++)
		if (i != X86_RSP)
			p = emit_abs(p, 0x8b, i, &shared->in.gpr[i]);
	memcpy(p, code, len);
	p += len;
	for (i = 0; i < 16; i++)
		if (i != X86_RSP)
			p = emit_abs(p, 0x89, i, &shared->out.gpr[i]);
	*p++ = 0x9c;
	p = emit_abs(p, 0x8f, 0, &shared->out.rflags);	/* pop m64 */
	memcpy(p, restore, sizeof(restore));

	fault.hit = false;
	if (!sigsetjmp(jump, 0))
		((void (*)(void))(uintptr_t)stub)();
	else
		shared->out = fault.regs;
}

/* ---- the emulator ---------------------------------------- */

static u8 insn_bytes[INSN_MAX_LEN];

static int page_fault(struct emul *e, gva_t gva, u32 error)
{
	e->fault = (struct x86_fault){ .vector = EXC_PF, .has_error = true, .error = error, .cr2 = gva };
	return -EFAULT;
}

static int check(struct emul *e, gva_t gva, unsigned int len, unsigned int access)
{
	gva_t a;

	for (a = gva; a < gva + len; a++) {
		u32 error = (access & WALK_WRITE ? PF_W : 0) | (access & WALK_USER ? PF_U : 0);

		if (a < WINDOW || a >= WINDOW + 0x3000)
			return page_fault(e, a, error);
		if ((access & WALK_WRITE) && a >= WINDOW + 0x2000)
			return page_fault(e, a, error | PF_P);
	}
	return 0;
}

static int op_read(struct emul *e, gva_t gva, void *buf, unsigned int len, unsigned int access)
{
	int r = check(e, gva, len, access);

	if (!r)
		memcpy(buf, copy + (gva - WINDOW), len);
	return r;
}

static int op_write(struct emul *e, gva_t gva, const void *buf, unsigned int len,
		    unsigned int access)
{
	int r = check(e, gva, len, access);

	if (!r)
		memcpy(copy + (gva - WINDOW), buf, len);
	return r;
}

static int op_cmpxchg(struct emul *e, gva_t gva, void *old, const void *new, unsigned int len,
		      unsigned int access)
{
	int r = check(e, gva, len, access);

	if (r)
		return r;
	if (memcmp(copy + (gva - WINDOW), old, len)) {
		memcpy(old, copy + (gva - WINDOW), len);
		return -EBUSY;
	}
	memcpy(copy + (gva - WINDOW), new, len);
	return 0;
}

static int op_fetch(struct emul *e, gva_t gva, void *buf, unsigned int len)
{
	memcpy(buf, insn_bytes + (gva - CODE), len);
	return len;
}

static bool op_has_feature(struct emul *e, unsigned int feature)
{
	return !missing[feature];
}

static bool op_is_ram(struct emul *e, gva_t gva, unsigned int len, unsigned int access)
{
	struct x86_fault keep = e->fault;
	bool ok = !check(e, gva, len, access);

	e->fault = keep;
	return ok;
}

static const struct emul_ops ops = {
	.read = op_read, .write = op_write, .cmpxchg = op_cmpxchg, .fetch = op_fetch,
	.has_feature = op_has_feature,
	.is_ram = op_is_ram,
};

static struct x86_state st;
static struct emul emul = { .st = &st, .ops = &ops };

static void setup_state(void)
{
	unsigned int i;

	memset(&st, 0, sizeof(st));
	st.cr0 = CR0_PE | CR0_PG | CR0_WP;
	st.cr4 = CR4_PAE;
	st.efer = EFER_LMA | EFER_LME | EFER_NX;
	for (i = 0; i < X86_NR_SEG; i++)
		st.seg[i].attr = SEG_P | SEG_DPL | SEG_S | 3 | SEG_G | SEG_DB;
	st.seg[X86_CS].attr = SEG_P | SEG_DPL | SEG_S | 11 | SEG_G | SEG_L;
	st.cpl = 3;
}

static enum emul_result run_emulator(void)
{
	enum emul_result r;
	unsigned int runs = 0;

	st.rip = CODE;
	do {
		r = emul_step(&emul);
	} while (r == EMUL_AGAIN && ++runs < 100000);
	return r;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static bool usable(const struct insn *i)
{
	unsigned int n;

	if (i->family != FAM_INT && i->family != FAM_STRING)
		return false;
	switch (i->op) {
	case OP_PUSH: case OP_POP: case OP_ENTER: case OP_LEAVE: case OP_RDRAND: case OP_RDSEED:
		return false;
	default:
		break;
	}
	if (i->seg == X86_FS || i->seg == X86_GS || i->base == X86_RSP || i->index == X86_RSP ||
	    i->base == INSN_BASE_RIP)
		return false;
	for (n = 0; n < i->nr_opnd; n++)
		if (i->opnd[n].kind == OPND_GPR && i->opnd[n].reg == X86_RSP && !i->opnd[n].high8)
			return false;
	return true;
}

/* Near the seams between the pages more often than not. */
static u64 rnd_address(void)
{
	u64 r = rnd();

	return r & 1 ? WINDOW + (r >> 8) % WINDOW_SIZE
		     : WINDOW + 0x1000 * (1 + (r >> 8) % 3) - (r >> 16) % 24;
}

/* Registers so that the memory operand falls into the window. False: it cannot. */
static bool place_operand(const struct insn *i, struct regs *in)
{
	u64 target = rnd_address(), mask = i->addrsize == 4 ? 0xffffffff : ~0ULL;

	if (i->family == FAM_STRING) {
		in->gpr[X86_RSI] = target;
		in->gpr[X86_RDI] = rnd() & 1 ? rnd_address() : target + (rnd() & 63);
		in->gpr[X86_RCX] = rnd() & 3 ? rnd() & 31 : rnd() % 3000;
		return true;
	}
	if (i->op == OP_XLAT) {
		in->gpr[X86_RBX] = target;
		return true;
	}
	if (!i->has_mem || i->op == OP_LEA || i->op == OP_NOP)
		return true;
	if (i->op >= OP_BT && i->op <= OP_BTC && i->opnd[1].kind == OPND_GPR) {
		if (i->opnd[1].reg == i->base || i->opnd[1].reg == i->index)
			return false;
		in->gpr[i->opnd[1].reg] = (rnd() & 0x3fff) - 0x2000;
		if (i->opnd[1].size == 4)
			in->gpr[i->opnd[1].reg] &= 0xffffffff;
	}
	if (i->base == INSN_BASE_NONE || i->base == i->index)
		return false;
	in->gpr[i->base] = (target - i->disp - (i->index == INSN_BASE_NONE ? 0 : in->gpr[i->index] << i->scale)) & mask;
	return true;
}

static void describe(const struct insn *i, const struct regs *in)
{
	char text[128];
	unsigned int n;

	insn_format(text, sizeof(text), i, 0);
	print_error("%s:", text);
	for (n = 0; n < i->len; n++)
		print_error(" %02x", i->bytes[n]);
	print_error("\nflags in %llx", in->rflags);
	for (n = 0; n < 16; n++)
		print_error("%sr%u=%llx", n % 4 ? " " : "\n  ", n, in->gpr[n]);
	print_error("\n");
}

static unsigned long count_ok, count_fault, mismatches, per_op[OP_NR];

static bool equal_case(const struct insn *i, enum emul_result r)
{
	bool ok = true;
	unsigned int n;

	if (fault.hit != (r == EMUL_FAULT) || (!fault.hit && r != EMUL_DONE)) {
		print_error("result %d, host fault %d vector %llu\n", r, fault.hit, fault.vector);
		return false;
	}
	if (fault.hit) {
		if (fault.vector != emul.fault.vector) {
			print_error("vector %u, host %llu\n", emul.fault.vector, fault.vector);
			ok = false;
		} else if (fault.vector == EXC_PF && i->op == OP_CMPS &&
			   emul.fault.error == fault.error) {
			/* which operand is read first is the processor's choice */
		} else if (fault.vector == EXC_PF &&
			   (emul.fault.cr2 != fault.cr2 || emul.fault.error != fault.error)) {
			print_error("#PF(%x) at %llx, host %llx at %llx\n", emul.fault.error,
				    emul.fault.cr2, fault.error, fault.cr2);
			ok = false;
		}
	} else if (st.rip != CODE + i->len) {
		print_error("rip %llx\n", st.rip - CODE);
		ok = false;
	}
	for (n = 0; n < 16; n++)
		if (n != X86_RSP && st.gpr[n] != shared->out.gpr[n]) {
			print_error("r%u %llx, host %llx\n", n, st.gpr[n], shared->out.gpr[n]);
			ok = false;
		}
	if ((st.rflags ^ shared->out.rflags) & COMPARED_FLAGS) {
		print_error("flags %llx, host %llx\n", st.rflags, shared->out.rflags);
		ok = false;
	}
	if (memcmp(copy, (void *)WINDOW, 0x3000)) {
		print_error("memory differs\n");
		ok = false;
	}
	return ok;
}

/* One random case. */
static void one(void)
{
	struct regs in;
	enum emul_result r;
	struct insn i;
	unsigned int n;

	for (n = 0; n < INSN_MAX_LEN; n++)
		insn_bytes[n] = (u8)rnd();
	if (rnd() & 1) {
		static const u8 prefix[] = { 0x66, 0xf3, 0xf2, 0x67, 0x48, 0x41, 0x4f, 0xf0 };

		insn_bytes[0] = prefix[rnd() % ARRAY_SIZE(prefix)];
	}
	if (!(rnd() & 3))
		insn_bytes[rnd() & 1] = 0x0f;
	if (!(rnd() & 7)) {
		/* VEX.LZ maps 2 and 3: BMI */
		insn_bytes[0] = 0xc4;
		insn_bytes[1] = (insn_bytes[1] & 0xe0) | (2 + (rnd() & 1));
		insn_bytes[2] &= ~4;
		insn_bytes[3] = 0xf0 | (insn_bytes[3] & 7);
	}
	if (!(rnd() & 15)) {
		/* CRC32, MOVBE, ADCX, ADOX, POPCNT, LZCNT, TZCNT */
		static const u8 prefix[] = { 0x66, 0xf2, 0xf3, 0x3e };

		insn_bytes[0] = prefix[rnd() & 3];
		insn_bytes[1] = 0x40 | (rnd() & 15);
		insn_bytes[2] = 0x0f;
		insn_bytes[3] = rnd() & 3 ? 0x38 : 0xb8 + (rnd() & 7);
		if (insn_bytes[3] == 0x38)
			insn_bytes[4] = 0xf0 + (rnd() & 7);
	}
	if (insn_decode(&i, insn_bytes, INSN_MAX_LEN, INSN_MODE_64) != DECODE_OK || !usable(&i))
		return;
	for (n = 0; n < 16; n++)
		in.gpr[n] = rnd_value();
	in.rflags = 0x202 | (rnd() & COMPARED_FLAGS);
	if (!place_operand(&i, &in))
		return;
	in.gpr[X86_RSP] = 0;
	mprotect((void *)(WINDOW + 0x2000), 0x1000, PROT_READ);
	memcpy(copy, before, WINDOW_SIZE);
	memcpy((void *)WINDOW, before, 0x2000);

	shared->in = in;
	run_host(insn_bytes, i.len);
	if (fault.hit && fault.vector == EXC_UD)
		missing[i.feature] = true;
	memcpy(st.gpr, in.gpr, sizeof(st.gpr));
	st.rflags = in.rflags;
	r = run_emulator();
	if (!equal_case(&i, r)) {
		describe(&i, &in);
		mismatches++;
	}
	per_op[i.op]++;
	if (fault.hit)
		count_fault++;
	else
		count_ok++;
}

/* After cmocka has installed its own handlers. */
static void catch_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = on_signal,
				.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	static char stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	unsigned int i;

	sigaltstack(&ss, NULL);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

static void random_instructions(void **state)
{
	const char *cases = getenv("CASES");
	unsigned long limit = cases ? strtoul(cases, NULL, 0) : 300000, op, kinds = 0;

	catch_signals();
	while (count_ok + count_fault < limit && mismatches < 20)
		one();
	for (op = 0; op < OP_NR; op++)
		kinds += per_op[op] != 0;
	print_message("%lu cases of %lu mnemonics retired, %lu faulted, %lu differ\n", count_ok,
		      kinds, count_fault, mismatches);
	assert_int_equal(mismatches, 0);
}

/* ---- decimal adjustment: the host runs it in compatibility mode ------------------------------ */

#define USER_CS32	0x23	/* Linux's code segments for user space */
#define USER_CS64	0x33

/* What the stub's second page holds: the far pointers and values it uses by absolute address. */
struct compat {
	u32 to32;
	u16 sel32;
	u32 eax;
	u64 flags;
	u64 rsp;
};

/*
 * 64-bit entry, the instruction in 32-bit code, and back. Flags pass through untouched by the
 * jumps.
 */
static void emit_compat(struct compat *c, const u8 *insn, unsigned int len)
{
	static const u8 enter[] = { 0x53, 0x55 }, leave[] = { 0x5d, 0x5b, 0xc3 };
	u32 low_stack = STUB + 0x1f00, back;
	u8 *p = stub;

	memcpy(p, enter, 2);
	p = emit_abs(p + 2, 0x89, X86_RSP, &c->rsp);
	*p++ = 0xbc;					/* mov esp, imm32 */
	memcpy(p, &low_stack, 4);
	p = emit_abs(p + 4, 0xff, 6, &c->flags);
	*p++ = 0x9d;
	p = emit_abs(p, 0x8b, X86_RAX, &c->eax);
	p = emit_abs(p, 0xff, 5, &c->to32);		/* far jump; the REX.W is taken off below */
	p[-8] = 0x40;
	c->to32 = (u32)(uintptr_t)p;
	c->sel32 = USER_CS32;
	memcpy(p, insn, len);
	p += len;
	*p++ = 0xea;
	back = (u32)(uintptr_t)(p + 6);
	memcpy(p, &back, 4);
	p[4] = USER_CS64;
	p[5] = 0;
	p = emit_abs(p + 6, 0x89, X86_RAX, &c->eax);
	*p++ = 0x9c;
	p = emit_abs(p, 0x8f, 0, &c->flags);
	p = emit_abs(p, 0x8b, X86_RSP, &c->rsp);
	memcpy(p, leave, 3);
}

/* False: this host runs no 32-bit code. */
static bool run_compat(void)
{
	fault.hit = false;
	if (sigsetjmp(jump, 0))
		return false;
	((void (*)(void))(uintptr_t)stub)();
	return true;
}

static void decimal_adjustment(void **state)
{
	const u64 szp = X86_FLAG_SF | X86_FLAG_ZF | X86_FLAG_PF, ac = X86_FLAG_AF | X86_FLAG_CF;
	/* defined: flags that SDM 2A defines; the others are compared on the make of processor they
	 * were measured on */
	const struct { u8 bytes[2]; unsigned int len; u64 defined; } ops_bcd[] = {
		{ { 0x27 }, 1, szp | ac }, { { 0x2f }, 1, szp | ac }, { { 0x37 }, 1, ac }, { { 0x3f }, 1, ac },
		{ { 0xd4, 10 }, 2, szp }, { { 0xd5, 10 }, 2, szp }, { { 0xd4, 7 }, 2, szp }, { { 0xd5, 0xff }, 2, szp },
	};
	bool amd = __builtin_cpu_is("amd");
	struct compat *c = (struct compat *)(shared + 1);
	unsigned int n, differ = 0;
	u32 ax, bits;

	catch_signals();
	st.seg[X86_CS].attr = SEG_P | SEG_DPL | SEG_S | 11 | SEG_G | SEG_DB;
	st.seg[X86_CS].limit = 0xffffffff;
	for (n = 0; n < ARRAY_SIZE(ops_bcd); n++) {
		emit_compat(c, ops_bcd[n].bytes, ops_bcd[n].len);
		memcpy(insn_bytes, ops_bcd[n].bytes, 2);
		for (ax = 0; ax < 0x10000 && differ < 4 * (n + 1); ax += 1 + (n > 3) * 2)
			for (bits = 0; bits < 4; bits++) {
				u64 flags = 0x202 | (bits & 1 ? X86_FLAG_CF : 0) |
					    (bits & 2 ? X86_FLAG_AF : 0);

				c->eax = 0xdead0000 | ax;
				c->flags = flags;
				if (!run_compat()) {
					print_message("no 32-bit code on this host: skipped\n");
					setup_state();
					return;
				}
				st.rip = CODE;
				st.gpr[X86_RAX] = 0xdead0000 | ax;
				st.rflags = flags;
				assert_int_equal(emul_step(&emul), EMUL_DONE);
				if ((u32)st.gpr[X86_RAX] == c->eax &&
				    !((st.rflags ^ c->flags) &
				      (amd ? X86_FLAGS_ARITH : ops_bcd[n].defined)))
					continue;
				print_error("%02x ax=%x flags=%llx: %llx %llx, host %x %llx\n",
					    ops_bcd[n].bytes[0], ax, flags, st.gpr[X86_RAX],
					    st.rflags, c->eax, c->flags);
				differ++;
			}
	}
	setup_state();
	assert_int_equal(differ, 0);
}

static void step_time(void **state)
{
	static const u8 add[] = { 0x48, 0x01, 0xd8 };
	struct timespec a, b;
	unsigned int n;
	double ns;

	memcpy(insn_bytes, add, sizeof(add));
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (n = 0; n < 1000000; n++) {
		st.rip = CODE;
		emul_step(&emul);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	ns = (b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec);
	print_message("add rax, rbx: %.0f ns a step\n", ns / n);
}

static int setup(void **state)
{
	u8 *page;
	unsigned int i;

	if (mmap((void *)WINDOW, 0x3000, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
		return -1;
	page = mmap((void *)STUB, 0x2000, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (page == MAP_FAILED)
		return -1;
	shared = (struct shared *)page;
	stub = page + 0x1000;
	for (i = 0; i < WINDOW_SIZE; i++)
		before[i] = (u8)rnd_value();
	memcpy((void *)WINDOW, before, 0x3000);
	setup_state();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_instructions),
		cmocka_unit_test(decimal_adjustment),
		cmocka_unit_test(step_time),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
