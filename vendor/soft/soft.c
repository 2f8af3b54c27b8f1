// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The soft vendor: what core calls. The processor itself is in run.c, mmu.c, block.c, smc.c and trans/. */
#include "soft.h"
#include "probe.h"

/* For CODE_SIZE bytes of blocks of 240 bytes that take 10 entries of the map, as measured in Debian guests. */
#define MAX_BLOCKS	300000u
#define MAX_MAP		3000000u
#define MAX_LINKS	900000u
#define GUEST_XCR0	(XCR0_X87 | XCR0_SSE | XCR0_AVX)

static int soft_vm_init(struct vm *vm)
{
	struct soft_vm *svm = host_zalloc(sizeof(*svm));
	int ret;

	if (!svm)
		return -ENOMEM;
	/* 2^40 bytes of guest-physical space, in pages, in chunks */
	svm->nr_chunks = (1UL << (40 - HV_PAGE_SHIFT)) / PSTATE_CHUNK;
	svm->chunk = host_pages_alloc(svm->nr_chunks * sizeof(*svm->chunk) / HV_PAGE_SIZE);
	if (!svm->chunk) {
		host_free(svm);
		return -ENOMEM;
	}
	vm->vendor_data = svm;
	soft_recheck_init(svm, vm);
	ret = soft_fault_init();
	if (ret) {
		host_pages_free(svm->chunk, svm->nr_chunks * sizeof(*svm->chunk) / HV_PAGE_SIZE);
		host_free(svm);
	}
	return ret;
}

static void soft_vm_destroy(struct vm *vm)
{
	struct soft_vm *svm = vm->vendor_data;

	for (u64 i = 0; i < svm->nr_chunks; i++)
		if (svm->chunk[i])
			host_free(svm->chunk[i]);
	host_pages_free(svm->chunk, svm->nr_chunks * sizeof(*svm->chunk) / HV_PAGE_SIZE);
	host_free(svm);
}

#define PAGES(bytes)	(((bytes) + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE)

static void soft_vcpu_destroy(struct vcpu *vcpu)
{
	struct soft_vcpu *sv = vcpu->vendor_data;

	if (!sv)
		return;
	soft_recheck_stop(vcpu->vm->vendor_data);
	soft_fault_del(sv);
	host_pages_free(sv->recheck_copy, 1);
	codebuf_destroy(&sv->cb);
	codebuf_destroy(&sv->vec);
	host_pages_free(sv->spaces[0], NR_SPACES * PAGES(sizeof(struct space)));
	host_pages_free(sv->block_pool, PAGES(MAX_BLOCKS * sizeof(struct block)));
	host_pages_free(sv->cold_pool, PAGES(MAX_BLOCKS * sizeof(u32)));
	host_pages_free(sv->cpage_pool, PAGES(MAX_CPAGES * sizeof(struct cpage)));
	host_pages_free(sv->map_pool, PAGES(MAX_MAP * sizeof(struct insn_map)));
	host_pages_free(sv->link_pool, PAGES(MAX_LINKS * sizeof(struct link)));
	host_pages_free(sv->target_pool, PAGES(MAX_TARGETS * sizeof(struct targets)));
	host_pages_free(sv->trans, PAGES(soft_trans_size));
	host_pages_free((u8 *)sv - SOFT_STACK_PAGES * HV_PAGE_SIZE, SOFT_STACK_PAGES + PAGES(sizeof(*sv)));
	vcpu->vendor_data = NULL;
	vcpu->st = NULL;
}

static u64 host_xcr0(void)
{
	u32 lo, hi;

	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo;
}

static void set_masks(struct soft_vcpu *sv)
{
	sv->pext_tlb = (u64)(TLB_SIZE - 1) << HV_PAGE_SHIFT;
	sv->pext_jc = (u64)(JC_SIZE - 1) << JC_SHIFT;
	sv->pext_line = sv->pext_jc & ~((u64)(JC_LINE - 1) << JC_SHIFT);
	sv->clear_if = ~X86_FLAG_IF;
	sv->only_arith = X86_FLAGS_ARITH;
	sv->pushed_flags = ~(X86_FLAGS_ARITH | X86_FLAG_VM | X86_FLAG_RF);
	sv->clear_df = ~X86_FLAG_DF;
	sv->only_df = X86_FLAG_DF;
	sv->bit_mask[0] = 31;
	sv->bit_mask[1] = 63;
	sv->slow_pext = soft_host_slow.pext;
	sv->go = !soft_host_slow.loop;
	sv->kick = sv->go;
	for (u32 i = 0; i < ARRAY_SIZE(sv->pext_page); i++)
		sv->pext_page[i] = HV_PAGE_MASK | ((1u << i) - 1);
}

static int soft_vcpu_create(struct vcpu *vcpu)
{
	/* the stack for helpers and the client's signal handlers lies right below the state */
	u8 *mem = host_pages_alloc(SOFT_STACK_PAGES + PAGES(sizeof(struct soft_vcpu)));
	struct soft_vcpu *sv;
	int ret = -ENOMEM;

	if (!mem)
		return -ENOMEM;
	sv = (struct soft_vcpu *)(mem + SOFT_STACK_PAGES * HV_PAGE_SIZE);
	sv->vcpu = vcpu;
	sv->stat = (struct soft_stats *)vcpu->vendor_stats;
	vcpu->vendor_data = sv;
	vcpu->st = &sv->st;
	host_spin_init(&sv->revoke_lock);
	sv->xstate_mask = host_xcr0() & GUEST_XCR0;
	set_masks(sv);
	/* together, so that the host can use large pages */
	sv->spaces[0] = host_pages_alloc(NR_SPACES * PAGES(sizeof(struct space)));
	if (!sv->spaces[0])
		goto err;
	for (u32 i = 0; i < NR_SPACES; i++) {
		sv->spaces[i] = (struct space *)((u8 *)sv->spaces[0] + i * PAGES(sizeof(struct space)) * HV_PAGE_SIZE);
		sv->keys[i].mode = SPACE_NONE;
	}
	sv->max_blocks = MAX_BLOCKS;
	sv->max_cpages = MAX_CPAGES;
	sv->max_map = MAX_MAP;
	sv->max_links = MAX_LINKS;
	sv->block_pool = host_pages_alloc(PAGES(MAX_BLOCKS * sizeof(struct block)));
	sv->cold_pool = host_pages_alloc(PAGES(MAX_BLOCKS * sizeof(u32)));
	sv->cpage_pool = host_pages_alloc(PAGES(MAX_CPAGES * sizeof(struct cpage)));
	sv->map_pool = host_pages_alloc(PAGES(MAX_MAP * sizeof(struct insn_map)));
	sv->link_pool = host_pages_alloc(PAGES(MAX_LINKS * sizeof(struct link)));
	sv->target_pool = host_pages_alloc(PAGES(MAX_TARGETS * sizeof(struct targets)));
	soft_forget_all_targets(sv);
	sv->trans = host_pages_alloc(PAGES(soft_trans_size));
	sv->recheck_copy = host_pages_alloc(1);
	if (!sv->block_pool || !sv->cold_pool || !sv->cpage_pool || !sv->map_pool || !sv->link_pool || !sv->target_pool ||
	    !sv->trans || !sv->recheck_copy)
		goto err;
	ret = codebuf_init(&sv->cb, CODE_SIZE);
	if (ret)
		goto err;
	ret = codebuf_init(&sv->vec, HV_PAGE_SIZE);
	if (ret)
		goto err;
	ret = soft_fault_add(sv);
	if (ret)
		goto err;
	sv->mode_dirty = true;
	return 0;
err:
	soft_vcpu_destroy(vcpu);
	return ret;
}

/* The vector state comes later, when something needs it: most stretches between two exits do not. */
static void soft_load(struct vcpu *vcpu)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	__asm__ volatile("rdgsbase %0" : "=r"(sv->host_gs));
	if (sv->space)
		__asm__ volatile("wrgsbase %0" :: "r"(sv->space));
	host_store_relaxed(&sv->region->thread, soft_thread());
	sv->vec_away = 1;
	if (unlikely(sv->refetch)) {
		sv->refetch = false;
		sv->fetch_epoch++;
		for (u32 i = 0; i < NR_SPACES; i++)
			if (sv->spaces[i]->valid)
				soft_flush_fetch(sv->spaces[i]);
	}
}

void soft_vec_load(struct soft_vcpu *sv)
{
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(sv->host_mxcsr), "=m"(sv->host_fcw));
	__asm__ volatile("xrstor64 (%0)" :: "r"(sv->vcpu->xsave), "a"(sv->xstate_mask), "d"(0) : "memory");
	sv->vec_away = 0;
}

static void soft_put(struct vcpu *vcpu)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	host_store_relaxed(&sv->region->thread, 0UL);
	__asm__ volatile("wrgsbase %0" :: "r"(sv->host_gs));
	if (sv->vec_away)
		return;
	__asm__ volatile("xsave64 (%0)" :: "r"(vcpu->xsave), "a"(sv->xstate_mask), "d"(0) : "memory");
	soft_hide_pointers(sv, vcpu->xsave);
	/* the C code outside expects an empty x87 stack, its own control words, and clean upper halves */
	__asm__ volatile("fninit; fldcw %1; ldmxcsr %0" :: "m"(sv->host_mxcsr), "m"(sv->host_fcw));
	if (sv->xstate_mask & XCR0_AVX)
		__asm__ volatile("vzeroupper");
}

static void soft_kick(struct vcpu *vcpu)
{
	host_store_release(&soft_of(vcpu)->kick, KICKED);
}

static void soft_regs_changed(struct vcpu *vcpu, u32 groups)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	if ((groups & ~(REGS_GPR | REGS_RIP_FLAGS)) ||
	    ((sv->st.rflags ^ sv->mode_flags) & (X86_FLAG_TF | X86_FLAG_AC)))
		sv->mode_dirty = true;
	/* outside KVM_RUN: an ioctl of the client's, who may have changed code as well (a debugger, a loader) */
	if (!host_load_relaxed(&sv->region->thread))
		sv->refetch = true;
}

static void soft_request_window(struct vcpu *vcpu, bool intr, bool nmi)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	sv->want_intr_window = intr;
	sv->want_nmi_window = nmi;
}

static void flush_pcid(struct soft_vcpu *sv, u64 pcid)
{
	for (u32 i = 0; i < NR_SPACES; i++)
		if (sv->spaces[i]->valid && (sv->spaces[i]->cr3 & CR3_PCID_MASK) == pcid)
			soft_flush_local(sv->spaces[i]);
	sv->stat->flush++;
}

static void soft_tlb_flush(struct vcpu *vcpu, bool all)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	sv->fetch_epoch++;
	sv->mode_dirty = true;
	if (all) {
		soft_flush_all(sv);
		return;
	}
	if (sv->st.cr4 & CR4_PCIDE) {
		flush_pcid(sv, sv->st.cr3 & CR3_PCID_MASK);
		return;
	}
	/* without PCIDs other tables' entries are dropped when those are loaded again */
	for (u32 i = 0; i < NR_SPACES; i++)
		if (sv->spaces[i]->valid && !((sv->spaces[i]->cr3 ^ sv->st.cr3) & ~CR3_PCID_MASK))
			soft_flush_local(sv->spaces[i]);
	sv->stat->flush++;
}

static void soft_tlb_flush_page(struct vcpu *vcpu, gva_t gva)
{
	soft_flush_page(soft_of(vcpu), gva, false);
}

static void soft_tlb_flush_pcid(struct vcpu *vcpu, unsigned int type, u64 pcid, gva_t gva)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	sv->fetch_epoch++;
	if (type == 0)
		soft_flush_page(sv, gva, true);
	else if (type == 1)
		flush_pcid(sv, pcid & CR3_PCID_MASK);
	else if (type == 2)
		soft_flush_all(sv);
	else
		for (u32 i = 0; i < NR_SPACES; i++)
			if (sv->spaces[i]->valid)
				soft_flush_local(sv->spaces[i]);
}

/* The next instruction is one for the emulator again: core need not come through enter(). */
static bool soft_interpreting(struct vcpu *vcpu)
{
	struct soft_vcpu *sv = soft_of(vcpu);

	return sv->interpret && !sv->mode_dirty && !soft_kicked(sv) && !sv->want_intr_window &&
	       !sv->want_nmi_window;
}

static const char *const stat_names[] = {
	"tlb_fills", "blocks_translated", "jump_misses", "system_instructions", "code_writes", "tlb_flushes", NULL,
};

const struct vendor_ops vendor_soft = {
	.name = "soft",
	.probe = soft_probe,
	.vm_init = soft_vm_init,
	.vm_destroy = soft_vm_destroy,
	.vcpu_create = soft_vcpu_create,
	.vcpu_destroy = soft_vcpu_destroy,
	.load = soft_load,
	.put = soft_put,
	.enter = soft_vcpu_enter,
	.attend = soft_attend,
	.interpreting = soft_interpreting,
	.kick = soft_kick,
	.regs_changed = soft_regs_changed,
	.inject = soft_inject,
	.request_window = soft_request_window,
	.tlb_flush = soft_tlb_flush,
	.tlb_flush_page = soft_tlb_flush_page,
	.tlb_flush_pcid = soft_tlb_flush_pcid,
	.gmem_written = soft_gmem_written,
	.vector = soft_vector,
	.x87_pending = soft_x87_pending,
	.stat_names = stat_names,
};
