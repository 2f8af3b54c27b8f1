/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * soft.h - the processor in software: what its files share. The design is explained in docs/soft-cpu.md.
 *
 * While guest code runs, rsp points into struct soft_vcpu (so that every field is an [rsp + n] operand and any signal
 * handler of the client has a stack below it) and the GS base points at the current struct space.
 */
#ifndef SOFT_H
#define SOFT_H

#include "../../core/hv.h"
#include "../../x86/paging/walk.h"

/* ---- address spaces: soft TLB and jump cache --------------------------------------------------------------- */

#define TLB_BITS	11
#define TLB_SIZE	(1u << TLB_BITS)
/*
 * Arrays with one index, so that translated code reaches them by [8 * index + constant]. A tag is minus the guest-linear
 * page, or TLB_NONE(slot), minus a page that neither maps to the slot nor is beside one that does. The gaps keep what an
 * access reads of one slot out of one set of the host's cache.
 */
struct tlb {
	u64 rneg[TLB_SIZE];	/* page may be read */
	u64 gap0[64];
	u64 wneg[TLB_SIZE];	/* page may be written (implies readable) without telling anybody */
	u64 gap1[64];
	u64 addend[TLB_SIZE];	/* host address of the page - page */
	u64 host[TLB_SIZE];	/* that host address: for C */
};
#define TLB_INDEX(va)	(((va) >> HV_PAGE_SHIFT) & (TLB_SIZE - 1))
#define TLB_NONE(i)	((i) && (i) != TLB_SIZE - 1 ? 0UL : -((u64)TLB_SIZE / 2 << HV_PAGE_SHIFT))
#define TLB_STK_NONE	0x8000000000000000UL	/* its own negative; see soft_forget_stack() */

#define JC_BITS		14
#define JC_SIZE		(1u << JC_BITS)
#define JC_SHIFT	2	/* lowest address bit that takes part in the index */
#define JC_INDEX(va)	(((va) >> JC_SHIFT) & (JC_SIZE - 1))
/*
 * An address has its entry at JC_INDEX(va), where translated code looks. One that had to make room for another stands
 * elsewhere in the line of so many: a stub looks there (stub_jump).
 */
#define JC_LINE		4u

struct jc_entry {
	u64 neg_va;		/* minus the guest-linear address of a block's first byte; empty: of another line's */
	u64 code;		/* its entry for jumps that come with the address in T1 */
};

static inline struct jc_entry jc_empty(u32 j)
{
	return (struct jc_entry){ .neg_va = j < JC_LINE ? -(u64)(JC_LINE << JC_SHIFT) : 0 };
}

/*
 * The return stack: what the last calls of 64-bit code pushed, and where the code after them is. A return that finds its
 * address on top goes there, and needs no jump cache. Returns take an entry off whether it is theirs or not, so that calls
 * and returns stay in step where code returns to somewhere else, as retpolines do. soft_vcpu.ret_top is a byte, RET_STEP
 * for each entry: it wraps by itself.
 */
#define RET_SIZE	64u
#define RET_STEP	(256 / (s32)RET_SIZE)
#define RET_EMPTY	0x8000000000000000UL	/* no canonical address's complement */
struct ret_entry {
	u64 not_va;		/* complement of the return address */
	u64 code;		/* takes the linear address in T1, as a block's code_jc */
};

#define ITLB_SIZE	4096u
#define MAX_CPAGES	32768u

struct cpage;
struct itlb_entry {
	u64 page;		/* guest-linear page | 1 when valid */
	struct cpage *cpage;
};

#define FILTER_BITS	13
#define FILTER_SIZE	((1u << FILTER_BITS) / 64)
#define LARGE_SHIFT	22
#define WSLOT_BITS	12
#define WSLOT_MANY	0xffff
#define SPACE_MAX_DIRTY	512	/* soft TLB slots listed for a flush */
#define SPACE_MAX_JC	4096	/* and jump cache entries */

/* What cached translations depend on: one struct space per (CR3, mode) in use. */
struct space_key {
	/* with PCID bits if CR4.PCIDE, without the no-flush bit; or SPACE_SHARED: one for all, where nearly everything
	 * is global, as in a kernel. Then a change of CR3 drops what is not. */
	u64 cr3;
	u32 mode;		/* SPACE_* */
};
#define SPACE_USER	0x01
#define SPACE_AC	0x02	/* supervisor with EFLAGS.AC, where SMAP is on */
#define SPACE_PG	0x04
#define SPACE_WP	0x08
#define SPACE_PAE	0x10
#define SPACE_LONG	0x20
#define SPACE_NXE	0x40
#define SPACE_SMEP	0x80
#define SPACE_SMAP	0x100
#define SPACE_PSE	0x200
#define SPACE_PGE	0x400
#define SPACE_SHARED	(~0UL)
#define SPACE_NONE	(~0u)	/* in soft_vcpu.keys: unused */
#define SPACE_CODE_SHIFT 16	/* the translator's mode key: jump caches hold blocks of one key */

struct space {
	/* the stack's page, kept apart: no index to compute */
	u64 stk_neg;		/* as wneg */
	u64 stk_addend;
	u64 stk_host;
	/* thunk.c: minus the address of the return thunk that stands there, or NO_THUNK; and where the thunk calls to */
	u64 thunk_neg;
	u64 thunk_safe;
	u64 ret_none;		/* code of empty entries: looks into the jump cache */
	struct ret_entry ret[1 + RET_SIZE];	/* the first stays empty: below 0 */
	struct tlb tlb;
	struct jc_entry jc[JC_SIZE] __aligned(64);
	struct itlb_entry itlb[ITLB_SIZE];
	u32 nr_itlb;
	u16 itlb_filled[ITLB_SIZE];	/* those with a cpage */
	/*
	 * The same seen from the page of code: 1 minus the linear page of the instruction mapping that leads to it, or 0.
	 * Jumps between pages that look here need no jump cache (trans/flow.c).
	 */
	u64 code_at[MAX_CPAGES];
	u64 code_nowhere;	/* 0 */
	struct space_key key;
	u64 cr3;		/* whose tables the entries came from, as in the key but never SPACE_SHARED */
	u64 cs_base, cs_last;	/* outside 64-bit mode: the code segment that the jump cache was filled under */
	bool valid;
	/* a page that may be written but holds code of ours, of which each write has to ask; SPACE_NO_PAGE: none */
	u64 own_code;
	gfn_t own_gfn;
	/*
	 * Where it holds 4 KiB pieces of larger guest pages, as INVLPG there drops all: a filter of pieces of 4 MiB, and for
	 * pages of 1 GiB a bit for each 512 GiB.
	 */
	u64 large[FILTER_SIZE], huge[8];
	u64 used;		/* LRU stamp */
	/* Global pages (PTE.G with CR4.PGE) survive a change of CR3: which slots hold them, how many were filled. */
	u64 global[TLB_SIZE / 64];
	u32 nr_global;
	bool code_local;	/* code was fetched from a page that is not global */
	u32 nr_filled;		/* other slots filled since the last flush, the first SPACE_MAX_DIRTY in filled[] */
	u16 filled[SPACE_MAX_DIRTY];
	/* by a hash of host pages: 1 + the only slot that may let such a page be written, WSLOT_MANY, or 0 */
	u16 wslot[1 << WSLOT_BITS];
	u64 fetched[FILTER_SIZE];	/* filter of guest-linear pages that the jump cache may have entries for */
	bool fetched_low, fetched_high;	/* code was fetched from that half of the address space */
	u32 nr_jc, jc_turn;
	u16 jc_filled[SPACE_MAX_JC];
	struct walk_mode walk;
};

#define SPACE_NO_PAGE	1UL
#define NO_THUNK	0x8000000000000000UL	/* no canonical address is minus this */

#define NR_SPACES	16

/* ---- translated code --------------------------------------------------------------------------------------- */

/* Mode bits that decide how bytes are translated. */
#define CODE_64		0x01
#define CODE_X87	0x02	/* x87 and MMX usable: no EM, no TS */
#define CODE_SSE	0x04
#define CODE_AVX	0x08
#define CODE_TSC	0x10	/* RDTSC needs no check and no scaling */
#define CODE_CPL0	0x20
#define CODE_32		0x40	/* CS.D; neither this nor CODE_64: 16-bit code */
#define CODE_SS32	0x80	/* outside 64-bit mode: SS.B, the stack pointer is ESP */
#define CODE_FLAT	0x100	/* protected mode; ES, SS and DS: all 4 GiB, writable; CS: all 4 GiB, readable */
#define CODE_CSFLAT	0x200	/* 32-bit code; CS has base 0 and covers 4 GiB */
#define CODE_REAL	0x400	/* real mode */
#define CODE_REALSEG	0x800	/* and ES, DS, FS, GS look as if they were loaded in it */
#define CODE_ALONE	0x2000	/* only in blocks: no two accesses share a check; see trans/group.c */
#define CODE_EDGE	0x1000	/* only in blocks: the page, or the next one's start, is not all inside CS */

struct block;

/* A patchable direct jump out of a block. */
struct link {
	struct link *next_in;	/* others that lead to the same block */
	struct block *to;	/* NULL: leads to its stub */
	struct block *from;
	u32 site, stub;		/* in the code buffer: the jump's rel32, and its exit stub */
	s32 off;		/* target, from the page's start */
	bool alone;		/* leads to a block with CODE_ALONE */
	bool ret;		/* not a jump: where a call's return goes on, which comes with its address in T1 */
	/* a jump to another page; so far before site are the displacements of the load from code_at[] and of the slow path */
	u8 load, slow;		/* 0: none */
};

#define BLOCK_MAX_INSNS	48
#define BLOCK_MAX_SIDE	4	/* conditional jumps that it goes on after */
#define BLOCK_MAX_PEEKS	(BLOCK_MAX_SIDE + 2)
#define BLOCK_MAX_GROUPS 6	/* of accesses that share a check */
#define BLOCK_MAX_LINKS	(BLOCK_MAX_SIDE + 2 + BLOCK_MAX_GROUPS)

/* Of these there are many: no byte too much. */
struct block {
	struct block *hash_next;
	struct block *page_next;	/* others of the same cpage */
	struct cpage *cpage;
	u16 offset;			/* in the page */
	u16 key;
	u16 bytes;			/* guest bytes it was made from */
	u16 nr_insns;
	struct link *in;		/* jumps that lead here */
	u8 *code_jc;			/* entry that takes the linear address in T1 and sets page_va */
	u16 code_len;
	u8 poll;			/* from code_jc: entry for backward jumps, which looks at the kick flag first */
	u8 entry;			/* from code_jc: entry for forward jumps from the same page */
	u8 nr_links;
	bool vec;			/* has x87, MMX, SSE or AVX instructions */
	u8 settle;			/* so many instructions until the arithmetic flags are right; 0: they are */
	bool dead;
	u8 thunk;			/* enum soft_thunk */
	bool listed;			/* in its page's targets */
	gfn_t gfn2;			/* page of the second part of its only instruction, if that crosses; else ~0 */
	struct block *joined_next;	/* others that end in gfn2 */
	struct link *link;
	/* per instruction: offset from code_jc, guest offset from the block's start; for faults in translated code */
	struct insn_map { u16 host, guest; } *map;
#define MAP_FLAGS_AWAY	0x8000		/* in .guest: the flags are in sv->flags_away, not the host's */
	u64 sum, sum2;			/* of its guest bytes in its page, with those peeked at, and in gfn2 */
	u64 lines;			/* a bit per 64 bytes of the page that these are in */
	/* where it was looked which flags its successors read */
	struct { u16 offset, len; } peek[BLOCK_MAX_PEEKS];
};

/* From the stub of a jump to another page: the call that asks for the link, then the way through the jump cache. */
#define FAR_LOOKUP	5

#define PAGE_CHANGING	32	/* more than a kernel does to a page when it patches itself at boot */

/* A guest-physical page that holds translated code of this vCPU. */
struct cpage {
	struct cpage *hash_next;
	gfn_t gfn;
	u32 index;		/* in cpage_pool, and in spaces' code_at[] */
	u32 targets;		/* jumps.c: first node in target_pool, or 0 */
	const u8 *host;		/* its memory when last looked up */
	struct block *blocks;
	u64 lines;		/* a bit per 64 bytes that some block covers */
	u64 check[2];		/* of the page's bytes when last found unchanged */
	struct block *joined;	/* those whose only instruction ends here; dead ones too */
	bool guarded;		/* our code bit in its page_state is set */
	bool checked;		/* check[] covers all lines */
	u8 kills;		/* writes that cost blocks since something was translated */
	u8 all_kills;		/* and ever, up to PAGE_CHANGING: what is translated now may not last */
	u64 checked_at;		/* soft_vcpu.fetch_epoch when all blocks were last known to be right */
};

/* Blocks of a page that jumps from elsewhere come to: a list of nodes, each a line of the host's cache. */
struct targets {
	u32 next;		/* node, or 0 */
	u32 n;
	struct target {
		u16 offset, key;
		u32 code;	/* code_jc, from the code buffer's start */
	} at[7];
};
#define MAX_TARGETS	65536u

#define HASH_BLOCKS	262144u
#define HASH_PAGES	16384u

/* Code memory: one memfd mapped twice, so that nothing is writable and executable at one address. */
struct codebuf {
	u8 *rw, *rx;
	size_t size, used;
	/* The last part is for slow paths, so that what runs stands close together. */
	size_t cold_start, cold_used;
	/* shared stubs at its start, executable addresses */
	u8 *stub_exit, *stub_tlb, *stub_lookup, *stub_jump, *stub_jump_miss, *stub_link, *stub_kick, *stub_call;
	size_t start;				/* where blocks begin */
};

/* ---- per vCPU ---------------------------------------------------------------------------------------------- */

/*
 * A segment outside 64-bit mode, as translated code checks it: the last offset that may be accessed, for reads and
 * for writes, -1 if none or if the emulator has to look closer (expand-down). SDM 3A 5.3
 */
struct seg_view {
	u64 base, neg_base;
	s64 last[2], neg_last[2];
};

enum soft_exit {
	SX_LINK = 1,	/* a link's stub, which is known by where it called from */
	SX_JUMP,	/* jump cache missed: target in st->rip */
	SX_KICK,	/* the poll saw the flag; of the block whose slow path called */
	SX_EMULATE,	/* the emulator must do the instruction at st->rip */
	SX_SYSTEM,	/* a system instruction: op and length in arg */
	SX_FAULT,	/* sv->fault is to be delivered at st->rip */
	SX_MEM_ERROR,	/* host memory not there */
	SX_STRING,	/* a string instruction: like SX_SYSTEM */
};

/* Set by the timer and the vCPU in turn; anything but RUNNING makes enter() look closer. */
enum recheck {
	RECHECK_IDLE,		/* has not run yet */
	RECHECK_RUNNING,	/* has run since the timer last looked */
	RECHECK_DUE,		/* pages are to be compared before guest code runs */
};

#define SOFT_STACK_PAGES 64
#define REVOKE_SLOTS	16

/* vcpu->vendor_stats; the names are in soft.c. */
struct soft_stats {
	u64 tlb_fill, blocks, jump_miss, system, smc, flush;
};

struct soft_vcpu {
	/*
	 * What translated code uses most stands below rsp, where an 8-bit displacement reaches it and signal handlers,
	 * which leave 128 bytes alone, do not.
	 */
	u64 page_va;			/* guest-linear address of the page the running block was entered at */
	/* polled by translated code; blocks that use vector registers look at both words */
	u32 kick __aligned(8);		/* sv->go, or KICKED */
#define KICKED		2
	u32 vec_away;			/* the guest's vector state is in vcpu->xsave, not in the host's registers */
	u64 pext_tlb;			/* masks for address pieces, taken with PEXT */
	u64 ret_top;			/* of the return stack: a byte */
	u64 pext_page[6];		/* page number and the low bits that alignment to 1 << n needs zero */
#define NR_ADDENDS	5
	u64 addend[NR_ADDENDS];		/* host minus guest address of what a check covers; for the running block */
	u64 call;			/* return address of a slow path's call */
	struct x86_state st;		/* rsp: [rsp + 8 * n] are the general registers */
	u64 scratch[4];
	u64 flags_away;			/* arithmetic flags, as LAHF and SETO give them, while the host's are used otherwise */
	u64 bit_mask[2];		/* 31, 63: for PEXT, which changes no flags */
	u64 pext_jc, pext_line;		/* for the jump cache, and its lines */
	u64 clear_if;			/* ~IF, for PEXT and PDEP */
	u64 only_arith, pushed_flags;	/* likewise: arithmetic flags, and the others that PUSHF pushes */
	u32 exit_arg;
	u64 exit_arg64;
	u64 host_rsp;			/* the client thread's, while inside */
	u8 go;				/* emit/emit.h: 1 where LOOP is fast */
	bool slow_pext;			/* the host's PEXT is microcode: only where flags are live */
	u64 clear_df, only_df;		/* ~DF, DF, likewise */
	struct seg_view view[X86_NR_SEG];
	/*
	 * st.rip is an offset in CS; between soft_enter_code() and the code after it, it holds a linear address. In
	 * 64-bit mode: 0, and all ones.
	 */
	u64 cs_base, rip_mask, rip_last, neg_rip_end;
	bool rip_linear;
	u64 saved_flags;		/* arithmetic flags as LAHF and SETO give them, outside translated code */
	u64 host_gs;
	u32 xstate_mask;
	u32 host_mxcsr;
	u16 host_fcw;
	struct soft_region *region;	/* fault.c; NULL before soft_fault_add() */
	/* where C code goes on when a slot's host memory turns out to be missing; armed inside enter() */
	void *recover[5];
	u64 miss_pc;			/* inside soft_tlb_miss(): the slow path that called, and its TLBI_* */
	u32 miss_info;
	bool armed;
	bool mode_dirty;
	bool global_low;		/* a global page below the kernel's half was seen */
	u64 mode_flags;			/* RFLAGS as the mode was last derived from */
	bool refetch;			/* the client was at work between two runs: it may have written to code */
	bool interpret;			/* this mode is left to the emulator */
	bool want_intr_window, want_nmi_window;
	bool flush_all;			/* set with REVOKE overflow */
	struct x86_fault fault;
	struct vcpu *vcpu;
	struct space *space;		/* current; NULL: recompute */
	struct space *spaces[NR_SPACES];
	struct space_key keys[NR_SPACES];	/* of the valid ones, close together for the search */
	u64 space_clock;
	u64 fetch_epoch;		/* counts what drops instruction mappings: flushes, returns from the client */
	u16 code_key;
	struct codebuf cb;
	struct block *blocks[HASH_BLOCKS];
	struct cpage *cpages[HASH_PAGES];
	struct block *block_pool;	/* bump allocators, emptied together with the code buffer */
	u32 *cold_pool;			/* where each block's slow paths begin, from the code buffer's start */
	u32 nr_blocks, max_blocks;
	struct cpage *cpage_pool;
	u32 nr_cpages, max_cpages;
	struct insn_map *map_pool;
	u32 nr_map, max_map;
	struct link *link_pool;
	u32 nr_links, max_links;
	struct targets *target_pool;
	u32 nr_targets, free_targets;
	struct insn insns[BLOCK_MAX_INSNS + 1];
	struct trans *trans;		/* the translator's work space */
	/* pages whose write permission or blocks others want dropped; covered by revoke_lock */
	struct host_spinlock revoke_lock;
	u32 nr_revoke;
	gfn_t revoke[REVOKE_SLOTS];
	u32 revoke_seq, revoke_done;	/* asked, answered */
	/* one instruction at a time, for soft_vector(); a host fault in it goes on at vec_end */
	struct codebuf vec;
	u8 *vec_end;
	bool vec_faulted;
	u64 vec_gpr[X86_NR_GPR];
	u64 vec_flags;
	u8 bounce[1024] __aligned(64);
	/* recheck.c: is it time to compare translated code with memory? */
	u32 recheck;			/* enum recheck; atomic */
	u32 recheck_at;			/* index in cpage_pool of the next page */
	u8 *recheck_copy;		/* a page */
	struct soft_stats *stat;
};

#define SOFT_RSP	128	/* where in it rsp points */
static_assert(offsetof(struct soft_vcpu, st) == SOFT_RSP, "the x86-64 ABI's red zone");

/* gfn -> who translated code from the page, who may write it through a TLB entry. */
struct page_state {
	u64 code;		/* bit per vCPU index; atomic */
	u64 writers;
};
#define PSTATE_CHUNK	512
struct soft_vm {
	struct page_state **chunk;	/* by gfn / PSTATE_CHUNK; published once, never freed before the VM */
	u64 nr_chunks;
	struct vm *vm;
	struct host_timer recheck_timer;
	bool recheck_on;		/* the timer is armed, or its function about to arm it; atomic */
};

/* Names the calling thread: the thread pointer, which the ABI keeps at %fs:0. */
static inline u64 soft_thread(void)
{
	u64 self;

	__asm__("mov %%fs:0, %0" : "=r"(self));
	return self;
}

static inline bool soft_kicked(const struct soft_vcpu *sv)
{
	return host_load_relaxed(&sv->kick) != sv->go;
}

static inline struct soft_vcpu *soft_of(struct vcpu *v)
{
	return v->vendor_data;
}

/* ---- enter.S ---- */
/* Run translated code until an exit; returns enum soft_exit. */
u32 soft_enter_code(struct soft_vcpu *sv, const u8 *code);
extern const u8 soft_exit_common[], soft_tlb_thunk[], soft_link_thunk[], soft_kick_thunk[];

/* ---- mmu.c ---- */
void soft_space_select(struct soft_vcpu *sv);
void soft_flush_space(struct space *s);
/* Forget which code stands where, so that each page is checked again before anything of it runs. */
void soft_flush_fetch(struct space *s);
/* No return thunk in this space; the jump cache will have to look for it again. */
void soft_thunk_forget(struct space *s);
/* An empty return stack. */
void soft_forget_returns(struct space *s);
/* Outside 64-bit mode: jumps may go to other places than before, as CS has changed. */
void soft_cs_changed(struct soft_vcpu *sv);
/* As after MOV CR3: all but global pages. */
void soft_flush_local(struct space *s);
void soft_forget_stack(struct space *s);
/* No entry lets the host page be written any more. */
void soft_revoke_writes(struct space *s, u64 host);
void soft_flush_all(struct soft_vcpu *sv);
/* every_pcid: not only the current one's (and global pages). */
void soft_flush_page(struct soft_vcpu *sv, gva_t va, bool every_pcid);
/* Fill the TLB for va, or decide what else becomes of an access of len bytes. Called from enter.S:
 * returns the host address, or 0 with an exit recorded in sv->exit_code. */
u64 soft_tlb_miss(struct soft_vcpu *sv, u64 va, u32 info);
/* If soft_tlb_miss() was left half-way: set st->rip (linear) to its instruction. */
void soft_miss_rip(struct soft_vcpu *sv);
#define TLBI_LEN	0xffff
#define TLBI_WRITE	0x10000
#define TLBI_STACK	0x20000	/* fill the stack entry; #SS for non-canonical */
#define TLBI_ALIGNED	0x80000	/* #GP(0) for a misaligned address, before any page fault */
#define TLBI_INSN	0x3f000000	/* which instruction of the block */
/* Host pointer for one access inside a page, for C code of the vendor: NULL if it is not plain memory or faults
 * (*fault then tells: 0 go to the emulator, 1 sv->fault set). */
void *soft_access(struct soft_vcpu *sv, u64 va, u32 len, bool write, int *fault);
/* Fetch translation: cpage for the page of va; NULL with sv->fault set (and *why as soft_access). */
struct cpage *soft_fetch_page(struct soft_vcpu *sv, u64 va, int *why);

/* ---- block.c ---- */
struct block *soft_find_block(struct soft_vcpu *sv, u64 va, bool alone, int *why);
/* The linear address of the page after va's. */
u64 soft_next_page(const struct soft_vcpu *sv, u64 va);
/* Outside 64-bit mode: the last offset in CS that code may stand at without jumps that wrap. */
u32 soft_cs_last(const struct soft_vcpu *sv);
void soft_block_kill(struct soft_vcpu *sv, struct block *b);
void soft_drop_all_code(struct soft_vcpu *sv);
void soft_link(struct soft_vcpu *sv, struct link *l, struct block *to);
struct cpage *soft_cpage(struct soft_vcpu *sv, gfn_t gfn, bool create);
struct block *soft_block_of_host_pc(struct soft_vcpu *sv, u64 pc);
/* The block whose slow paths pc is in; pc is in one. */
struct block *soft_block_of_cold_pc(struct soft_vcpu *sv, u64 pc);
/* Where the guest was, and with *flags_away whether its flags are in sv->flags_away. */
u64 soft_guest_rip(struct soft_vcpu *sv, struct block *b, u64 pc, bool *flags_away);
/* Is there a block at offset off of page p? */
bool soft_block_at(struct soft_vcpu *sv, const struct cpage *p, u32 off, u16 key);
/* Was code of this vCPU made from any of len bytes at gpa, all in one page? */
bool soft_code_at(struct soft_vcpu *sv, gpa_t gpa, u32 len);
/* They were written: drop what was made from them. */
void soft_code_written(struct soft_vcpu *sv, gpa_t gpa, u32 len);
/* Drop all that was made from a page. */
void soft_drop_page_code(struct soft_vcpu *sv, gfn_t gfn);
/* The only instruction of b ends in page p. */
void soft_block_join(struct block *b, struct cpage *p);
void soft_cpage_refresh(struct soft_vcpu *sv, struct cpage *p, const u8 *host);
/* Compare a page's bytes with what its blocks were made from, and drop those that differ. */
void soft_cpage_compare(struct soft_vcpu *sv, struct cpage *p, const u8 *bytes);

/* ---- jumps.c ---- */
/* Jumps to va find block b, which soft_find_block() gave, in the jump cache. */
void soft_jc_insert(struct soft_vcpu *sv, u64 va, struct block *b);
/* Page p has come to stand at linear page `page` of the current space, its blocks compared with memory. */
void soft_jc_restore(struct soft_vcpu *sv, const struct cpage *p, u64 page);
/* Block b is about to go. */
void soft_forget_target(struct soft_vcpu *sv, struct block *b);
/* With all pages and blocks. */
void soft_forget_all_targets(struct soft_vcpu *sv);

/* ---- thunk.c ---- */
enum soft_thunk { THUNK_NONE, THUNK_CALL, THUNK_SAFE };
#define THUNK_CALL_LEN	5	/* e8 and a displacement, no prefixes */
/* What part of a return thunk the n instructions at offset off of a page are, a whole block with this key. */
enum soft_thunk soft_thunk_kind(const struct insn *in, u32 n, const u8 *page, u32 off, u16 key);
/* Is a return thunk at this linear address in any space? */
bool soft_thunk_known(const struct soft_vcpu *sv, u64 va);
/* Block b, a THUNK_CALL, is about to be entered at va: is it a return thunk? Finding that out may drop b. */
void soft_thunk_found(struct soft_vcpu *sv, const struct block *b, u64 va);
/* A block that was a part of one is gone. */
void soft_thunk_killed(struct soft_vcpu *sv);

/* ---- recheck.c ---- */
void soft_recheck_init(struct soft_vm *svm, struct vm *vm);
void soft_recheck_stop(struct soft_vm *svm);
/* Before guest code runs, when sv->recheck says so. */
void soft_recheck(struct soft_vcpu *sv);

/* ---- smc.c ---- */
struct page_state *soft_page_state(struct vm *vm, gfn_t gfn);
/* This vCPU is about to translate from gfn: nobody may write it unseen from now on. */
void soft_protect_code(struct soft_vcpu *sv, struct cpage *p);
/* May len bytes at gpa be written without telling anybody, this once? */
bool soft_smc_write(struct soft_vcpu *sv, gpa_t gpa, u32 len);
void soft_gmem_written(struct vm *vm, gpa_t gpa, unsigned int len);
void soft_handle_revokes(struct soft_vcpu *sv);
/* The same from core, for a vCPU that sleeps. */
void soft_attend(struct vcpu *vcpu);

/* ---- trans ---- */
/* Why there is no block: */
#define SOFT_EMULATE	0	/* the emulator must do the next instruction */
#define SOFT_FAULTED	1	/* sv->fault is to be delivered */
#define SOFT_FULL	2	/* code memory is used up */
extern const unsigned long soft_trans_size;
struct block *soft_translate(struct soft_vcpu *sv, struct cpage *p, u64 va, u16 key, int *why);

/* ---- codebuf.c ---- */
int codebuf_init(struct codebuf *cb, size_t size);
void codebuf_destroy(struct codebuf *cb);
static inline u8 *codebuf_to_rw(const struct codebuf *cb, const u8 *rx)
{
	return cb->rw + (rx - cb->rx);
}

/* ---- fault.c ---- */
int soft_fault_init(void);
/* Room for a compiler's code, which is large and all in use: address space, touched as it fills up. */
#define CODE_SIZE	(96UL << 20)
/* What the handler of host faults knows of a vCPU that may be another thread's, and may be gone. Words are atomic. */
struct soft_region {
	struct soft_vcpu *sv;		/* NULL: the region is free */
	u64 code, vec;			/* executable addresses of its code memory, CODE_SIZE and a page */
	u64 thread;			/* who is inside load/put: its thread pointer */
};
int soft_fault_add(struct soft_vcpu *sv);
void soft_fault_del(struct soft_vcpu *sv);

/* ---- run.c ---- */
int soft_vcpu_enter(struct vcpu *vcpu);
int soft_inject(struct vcpu *vcpu, enum event_kind kind, const struct x86_fault *f);
void soft_mode_update(struct soft_vcpu *sv);
void soft_recover(struct soft_vcpu *sv) __attribute__((noreturn));
/* From the form of sv->saved_flags and sv->flags_away to RFLAGS. */
u64 soft_arith_flags(u64 split);

/* ---- system.c ---- */
/* What became of an instruction that translated code left to C. */
enum soft_done {
	SOFT_NEXT,		/* done, go on at st->rip */
	SOFT_TO_EMULATOR,
	SOFT_TO_FAULT,		/* sv->fault is to be delivered */
	SOFT_TO_HLT,
	SOFT_TO_IO,		/* vcpu->exit.io is filled in */
};
/* arg: the instruction in short, SYS_* */
enum soft_done soft_system(struct soft_vcpu *sv, u32 arg);
enum soft_done soft_string(struct soft_vcpu *sv, u32 arg);
#define SYS_OP		0x0000ffffu
#define SYS_LEN		0x000f0000u
#define SYS_OPSIZE	0x00300000u	/* log2 of bytes */
#define SYS_REP		0x00400000u
#define SYS_ADDR32	0x00800000u
#define SYS_ADDR16	0x10000000u
#define SYS_SEG		0x07000000u	/* string instructions: the source's segment */
#define SYS_REPNE	0x08000000u
/* MOV CR: overlays the four above */
#define SYS_GPR		0x0f000000u
#define SYS_CR		0xf0000000u
/* IN and OUT: likewise */
#define SYS_MEM		0x00400000u	/* VERW: of the word at exit_arg64 */
#define SYS_PORT_IMM	0x00400000u	/* SYS_PORT is the port, else DX */
#define SYS_PORT	0xff000000u

/* ---- vector.c ---- */
void soft_vec_load(struct soft_vcpu *sv);
/* A saved state, for the client: no host addresses for x87 instruction and data pointers. */
void soft_hide_pointers(const struct soft_vcpu *sv, u8 *xsave);
int soft_vector(struct vcpu *vcpu, struct emul *e, gva_t gva);
bool soft_x87_pending(struct vcpu *vcpu);

#endif
