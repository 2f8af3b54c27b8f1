/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Shared by the files of x86/emul: faults, operands, memory, descriptors, and the handlers'
 * prototypes.
 */
#ifndef X86_EMUL_PRIVATE_H
#define X86_EMUL_PRIVATE_H

#include "../../host/host.h"
#include "emul.h"

/*
 * A handler works on e->gpr, e->rip (the next instruction's already) and e->rflags. It returns 0 to
 * retire, one of HANDLER_*, or what an op returned: -EFAULT (e->fault set), -EAGAIN, any other
 * errno for EMUL_UNHANDLED. It changes the live state (segments, system registers) only when
 * nothing can fail any more.
 */
#define HANDLER_AGAIN	1	/* retire, but RIP stays */
#define HANDLER_HLT	2
#define HANDLER_SHUTDOWN 3

/* e->retire: what committing must do besides copying registers */
#define RETIRE_MODE	0x01	/* call ops->mode_changed */
#define RETIRE_STI	0x02	/* open the STI shadow */
#define RETIRE_MOVSS	0x04	/* open the MOV SS shadow */
#define RETIRE_KEEP_RF	0x08	/* RF was loaded by the instruction */
#define RETIRE_NO_STEP	0x10	/* no single-step trap after this one */
#define RETIRE_NEW_TF	0x20	/* single-step trap by the new TF, not the old */
#define RETIRE_FAULTED	0x40	/* a fault comes after the point of no return: commit, then report it */

#define LOCK_TRIES	10000	/* compare-and-exchange attempts before the vCPU may look at other things */

typedef u64 (*alu_fn)(u64 dst, u64 src, unsigned int size, u32 *flags);
typedef int (*emul_fn)(struct emul *e);

struct desc {
	struct x86_seg seg;	/* base, limit, attr of the descriptor; sel as asked for */
	gva_t addr;		/* of the descriptor */
	u32 lo, hi;
};

/* ---- faults ---------------------------------------------------------------------------------- */

/* Set e->fault; always -EFAULT. */
int emul_raise(struct emul *e, unsigned int vector, u32 error);
static inline int emul_ud(struct emul *e) { return emul_raise(e, EXC_UD, 0); }
static inline int emul_gp(struct emul *e, u32 error) { return emul_raise(e, EXC_GP, error); }

/* ---- emul.c ---------------------------------------------------------------------------------- */

/* Begin: live state to scratch. End: result of a handler to enum emul_result, with commit. */
void emul_begin(struct emul *e);
void emul_mode_begin(struct emul *e);
enum emul_result emul_end(struct emul *e, int r);
bool emul_cond(u64 rflags, unsigned int cc);

/* ---- memory (mem.c) -------------------------------------------------------------------------- */

static inline unsigned int emul_user(const struct emul *e)
{
	return e->cpl == 3 ? WALK_USER : 0;
}

static inline u64 size_mask(unsigned int size)
{
	return ~0ULL >> (64 - 8 * size);
}

static inline u64 sign_extend(u64 v, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (u64)((s64)(v << shift) >> shift);
}

/*
 * Segment checks and base: offset to linear address. access: WALK_READ, WALK_WRITE. SDM 3A 5.3 to
 * 5.5, SDM 1 3.3.7
 */
int emul_linear(struct emul *e, unsigned int seg, u64 off, unsigned int len, unsigned int access,
		gva_t *lin);
/* The same with the alignment and breakpoint checks of a data access. */
int emul_data_linear(struct emul *e, unsigned int seg, u64 off, unsigned int len,
		     unsigned int access, gva_t *lin);
int emul_read(struct emul *e, unsigned int seg, u64 off, void *buf, unsigned int len);
int emul_write(struct emul *e, unsigned int seg, u64 off, const void *buf, unsigned int len);
/* System tables, linear address, supervisor rights. */
int emul_read_sys(struct emul *e, gva_t lin, void *buf, unsigned int len);
int emul_write_sys(struct emul *e, gva_t lin, const void *buf, unsigned int len);
int emul_push(struct emul *e, u64 val, unsigned int size);
int emul_pop(struct emul *e, u64 *val, unsigned int size);
/* Stack pointer plus delta, in the width of the stack. */
u64 emul_sp(const struct emul *e, s64 delta);
void emul_set_sp(struct emul *e, u64 sp);
/*
 * n values of size bytes, val[0] pushed first; one access where the stack does not wrap. n * size
 * <= 64.
 */
int emul_push_frame(struct emul *e, const u64 *val, unsigned int n, unsigned int size);

u64 emul_reg_read(const struct emul *e, unsigned int reg, unsigned int size);
void emul_reg_write(struct emul *e, unsigned int reg, unsigned int size, u64 val);
int emul_opnd_read(struct emul *e, unsigned int n, u64 *val);
int emul_opnd_write(struct emul *e, unsigned int n, u64 val);
void emul_compute_ea(struct emul *e);
/* Breakpoints of DR7 that match an access: DR6 bits. rw as in DR7. SDM 3B 17.2.4 */
u64 emul_breakpoints(const struct emul *e, u64 addr, unsigned int len, unsigned int rw);

/* ---- control flow, segments ------------------------------------------------------------------ */

/* Near jump target: canonical or within CS's limit, else #GP(0); sets e->rip. */
int emul_jump(struct emul *e, u64 target, unsigned int opsize);
int emul_jump_check(struct emul *e, const struct x86_seg *cs, u64 *target, unsigned int opsize);

/* Read sel's descriptor; null or outside the table: vector(sel | ext). SDM 3A 3.4.2 */
int emul_desc_read(struct emul *e, u16 sel, unsigned int vector, u32 ext, struct desc *d);
/* Upper half of a 16-byte system descriptor (long mode) into d->seg.base. */
int emul_desc_read_high(struct emul *e, struct desc *d, unsigned int vector, u32 ext);
/* Set the accessed bit in memory and in d->seg.attr. */
int emul_desc_accessed(struct emul *e, struct desc *d);
/* Change the type of a TSS descriptor between available and busy. */
int emul_desc_set_busy(struct emul *e, struct desc *d, bool busy);
int emul_seg_load(struct emul *e, unsigned int reg, u16 sel);
/* Check sel for SS with the given cpl; faults as vector (TS, GP); EXT bit in ext. Fills *seg. */
int emul_ss_check(struct emul *e, u16 sel, unsigned int cpl, unsigned int vector, u32 ext,
		  struct x86_seg *seg);
void emul_seg_real(struct emul *e, struct x86_seg *seg, unsigned int reg, u16 sel);
/* Code segment of a far transfer to d at privilege cpl. */
void emul_set_cs(struct emul *e, const struct x86_seg *cs, unsigned int cpl);
void emul_set_cpl(struct emul *e, unsigned int cpl);
/* Null the data segments that cpl may not use after a return outward. */
void emul_drop_segments(struct emul *e, unsigned int cpl);
static inline u16 desc_type(const struct desc *d) { return d->seg.attr & (SEG_TYPE | SEG_S); }
static inline unsigned int desc_dpl(const struct desc *d) { return (d->seg.attr & SEG_DPL) >> SEG_DPL_SHIFT; }
static inline bool desc_is_code(const struct desc *d)
{
	return (d->seg.attr & (SEG_S | SEG_TYPE_CODE)) == (SEG_S | SEG_TYPE_CODE);
}
static inline u16 sel_err(u16 sel) { return sel & 0xfffc; }

#define DESC_TSS16	1
#define DESC_LDT	2
#define DESC_TSS16_BUSY	3
#define DESC_CALLGATE16	4
#define DESC_TASKGATE	5
#define DESC_INTGATE16	6
#define DESC_TRAPGATE16	7
#define DESC_TSS32	9
#define DESC_TSS32_BUSY	11
#define DESC_CALLGATE32	12
#define DESC_INTGATE32	14
#define DESC_TRAPGATE32	15

/*
 * A stack of another privilege level while a frame is pushed on it: st's SS, cpl and the stack's
 * width are switched, and stay so on success. On failure all is put back, and #SS names the new
 * stack's selector.
 */
struct inner_stack {
	struct x86_seg ss;
	u64 rsp;
	u8 cpl, stack_size;
};
void emul_stack_enter(struct emul *e, struct inner_stack *old, const struct x86_seg *ss,
		      unsigned int cpl, unsigned int stack_size, u64 rsp);
int emul_stack_pushed(struct emul *e, const struct inner_stack *old, int r, u32 ext);

/* RFLAGS from a popped or stored image of size bytes, in bits of may. */
void emul_load_flags(struct emul *e, u64 image, unsigned int size, u64 may);
#define FLAGS_ANY_CPL (X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID)

enum task_reason { TASK_JMP, TASK_CALL, TASK_IRET, TASK_INT };
/* Task switch, SDM 3A 7.3. error: pushed on the new stack if not NULL. */
int emul_task_switch(struct emul *e, u16 sel, enum task_reason why, const u32 *error, u32 ext);
/* Stack of an inner level from the TSS, checked. SDM 3A 5.8.5 */
int emul_tss_stack(struct emul *e, unsigned int cpl, u32 ext, struct x86_seg *ss, u64 *esp);
/* Long mode: RSPn or ISTn at offset in the TSS. SDM 3A 7.7 */
int emul_tss_rsp(struct emul *e, unsigned int offset, u32 ext, u64 *rsp);

/* Through the IDT once, without double-fault rules. kind EVENT_*; return_rip is pushed. */
int emul_interrupt(struct emul *e, enum event_kind kind, unsigned int vector, bool has_error,
		   u32 error, u64 return_rip);
/* Whether the current code may access port [port, port + size): 0 or -EFAULT #GP(0). */
int emul_io_allowed(struct emul *e, u16 port, unsigned int size);

/* ---- handlers -------------------------------------------------------------------------------- */

#define EMUL_HANDLERS(X) \
	X(alu) X(alu_unary) X(cmp) X(bt) X(scan) X(vex3) X(shld) X(mul) X(imul) X(div) X(mulx) X(rorx) X(cbw) X(cwd) \
	X(bcd) X(setcc) X(cmovcc) X(flag) X(lahf) X(sahf) X(salc) X(bswap) X(movbe) X(crc32) X(adx) X(random) \
	X(mov) X(movsx) X(lea) X(xlat) X(xchg) X(xadd) X(cmpxchg) X(cmpxchg8b) X(push) X(pop) X(pusha) X(popa) \
	X(enter) X(leave) X(nop) X(prefetch) X(clzero) \
	X(jcc) X(jmp) X(jmp_ind) X(call) X(call_ind) X(ret) X(loop) X(jcxz) \
	X(movs) X(cmps) X(stos) X(lods) X(scas) X(ins) X(outs) X(in) X(out) \
	X(pushf) X(popf) X(cli) X(sti) X(push_sreg) X(pop_sreg) X(mov_from_sreg) X(mov_to_sreg) X(lds) \
	X(callf) X(jmpf) X(retf) X(int) X(int3) X(int1) X(into) X(iret) X(bound) X(arpl) X(ud) X(hlt) \
	X(syscall) X(sysret) X(sysenter) X(sysexit) X(swapgs) X(cpuid) X(rdtsc) X(rdpmc) X(rdmsr) X(wrmsr) X(rdpid) \
	X(mov_from_cr) X(mov_to_cr) X(mov_from_dr) X(mov_to_dr) X(clts) X(lmsw) X(smsw) \
	X(lgdt) X(sgdt) X(lldt) X(ltr) X(sldt) X(verr) X(lar) X(invlpg) X(invpcid) X(clac) X(xgetbv) X(xsetbv) \
	X(pkru) X(fsgsbase) X(clflush) X(vmcall) X(rsm) X(xsave) X(vector)

#define X(name) int emul_op_##name(struct emul *e);
EMUL_HANDLERS(X)
#undef X

#endif
