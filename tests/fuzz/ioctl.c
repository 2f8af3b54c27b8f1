// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * ioctl.c - calls that a broken or malicious client might make: every ioctl with sensible, mutated and random structures,
 * pointers to nowhere, descriptors of the wrong kind, closed, duplicated and replaced at random, guest memory that is
 * unmapped, KVM_RUN with random code, a kvm_run page full of rubbish. The library is linked in, so a sanitizer sees all.
 *
 *	ioctl [CALLS [SEED [THREADS]]]
 *
 * With several threads all work on the same descriptors, and then a seed does not repeat a run. No call may last longer than
 * the timer that kicks each thread allows; afterwards an honest VM must work. time limit: 120 s
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <anykvm/anykvm_fd.h>
#include "t_random.h"

#define FDS		48
#define THREADS		8
#define GUEST_MEM	(4UL << 20)
#define GUEST_BASE	0x200000000000UL	/* where no sanitizer, heap or library lives, and no bit flip of it leads to one */
#define ARG_BASE	0x210000000000UL
#define ARG_SIZE	0x10000UL
#define ARG_ROOM	0x40000000UL		/* before the next thread's; nothing is mapped behind ARG_SIZE */
#define KICK_NS		1000000
#define STUCK_S		30
#define WORLD_CALLS	3000			/* then everything is closed, and it begins anew */

enum kind { NONE, SYS, VM, VCPU, DEVICE, OTHER };

static struct {
	pthread_mutex_t lock;
	struct {
		int fd;
		enum kind kind;
		struct kvm_run *run;
	} f[FDS];
} world = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct worker {
	struct rnd r;
	unsigned long calls, left;
	uint8_t *arg;
	/* what the watchdog looks at */
	volatile long since;
	volatile unsigned long nr;
	pthread_t thread;
};

static struct worker worker[THREADS];
static unsigned int threads = 1;
static uint64_t seed = 20261125;
static unsigned long guests_ran, interrupted;

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void shut(int fd, enum kind kind, bool behind_the_library)
{
	/* what was replaced by dup2() is none of the library's any more */
	if (kind == OTHER || behind_the_library || anykvm_close(fd) == -EBADF)
		close(fd);
}

static void fd_add(int fd, enum kind kind, struct kvm_run *run)
{
	unsigned int i;

	pthread_mutex_lock(&world.lock);
	for (i = 0; i < FDS; i++)
		if (!world.f[i].kind) {
			world.f[i].fd = fd;
			world.f[i].kind = kind;
			world.f[i].run = run;
			break;
		}
	pthread_mutex_unlock(&world.lock);
	if (i == FDS)
		shut(fd, kind, false);
}

/* One of that kind, or of another once in a while; -1 if there is none. run: of a vCPU. */
static int fd_pick(struct rnd *r, enum kind kind, struct kvm_run **run)
{
	unsigned int i, at = rnd_below(r, FDS);
	bool any = one_in(r, 50);
	int fd = -1;

	pthread_mutex_lock(&world.lock);
	for (i = 0; i < FDS && fd < 0; i++, at = (at + 1) % FDS)
		if (world.f[at].kind == kind || (any && world.f[at].kind)) {
			fd = world.f[at].fd;
			if (run)
				*run = world.f[at].run;
		}
	pthread_mutex_unlock(&world.lock);
	return fd;
}

/* Close one entry, which leaves the table before: a number is closed once. Mappings of kvm_run stay. */
static void fd_drop(unsigned int at, bool behind_the_library)
{
	enum kind kind;
	int fd;

	pthread_mutex_lock(&world.lock);
	fd = world.f[at].fd;
	kind = world.f[at].kind;
	world.f[at].kind = NONE;
	pthread_mutex_unlock(&world.lock);
	if (kind)
		shut(fd, kind, behind_the_library);
}

static void fd_events(struct rnd *r)
{
	unsigned int at = rnd_below(r, FDS);
	int fd, other;

	switch (rnd_below(r, 12)) {
	case 0:
		fd_drop(at, one_in(r, 2));
		break;
	case 1:	/* a duplicate, of which the library hears at its next use only */
		fd = fd_pick(r, VM, NULL);
		fd = fd < 0 ? -1 : dup(fd);
		if (fd >= 0)
			fd_add(fd, VM, NULL);
		break;
	case 2:	/* another file takes the place of one of ours, or one of ours that of another file */
		fd = fd_pick(r, one_in(r, 2) ? VCPU : OTHER, NULL);
		other = fd_pick(r, one_in(r, 2) ? VCPU : OTHER, NULL);
		if (threads == 1 && fd >= 0 && other >= 0)
			dup2(fd, other);
		break;
	default:
		fd = eventfd(rnd_below(r, 3), EFD_NONBLOCK);
		if (fd >= 0)
			fd_add(fd, OTHER, NULL);
		break;
	}
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint8_t *guest_mem(void)
{
	return (uint8_t *)GUEST_BASE;
}

static void guest_map(uint64_t offset, uint64_t size, int prot)
{
	mmap(guest_mem() + offset, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* The client changes its mapping under the VM. */
static void memory_events(struct rnd *r)
{
	uint64_t offset = rnd_below(r, GUEST_MEM >> 12) * 4096UL;
	uint64_t size = (1 + rnd_below(r, 16)) * 4096UL;

	if (offset + size > GUEST_MEM)
		size = GUEST_MEM - offset;
	switch (rnd_below(r, 8)) {
	case 0:
		munmap(guest_mem() + offset, size);
		break;
	case 1:
		mprotect(guest_mem() + offset, size, PROT_READ);
		break;
	case 2:
		madvise(guest_mem() + offset, size, MADV_DONTNEED);
		break;
	default:
		guest_map(offset, size, PROT_READ | PROT_WRITE);
		break;
	}
}

/* ---- arguments ------------------------------------------------------------------------------- */

static uint64_t any_gpa(struct rnd *r)
{
	switch (rnd_below(r, 6)) {
	case 0:
		return rnd_odd(r);
	case 1:
		return 0xfee00000 + rnd_below(r, 0x2000);
	case 2:
		return 0xfec00000 + rnd_below(r, 0x200);
	default:
		return rnd_below(r, 2 * GUEST_MEM);
	}
}

static const uint32_t msrs[] = {
	0x10, 0x11, 0x12, 0x17, 0x1b, 0x34, 0x3a, 0x3b, 0x48, 0x49, 0x79, 0x8b, 0xc1, 0xce, 0xcd, 0xfe, 0x10a, 0x10b, 0x122, 0x140,
	0x174, 0x175, 0x176, 0x179, 0x17a, 0x17b, 0x186, 0x198, 0x19a, 0x1a0, 0x1c9, 0x1d9, 0x200, 0x201, 0x20f, 0x250, 0x258,
	0x268, 0x277, 0x2ff, 0x38d, 0x38f, 0x400, 0x401, 0x402, 0x403, 0x41c, 0x480, 0x491, 0x4d0, 0x6e0, 0x802, 0x808, 0x80b,
	0x80d, 0x80f, 0x828, 0x830, 0x832, 0x838, 0x83e, 0x83f, 0xda0, 0x40000000, 0x40000001, 0x4b564d00, 0x4b564d01, 0x4b564d02,
	0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d06, 0x4b564d07, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,
	0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103, 0xc0010015, 0xc001001f, 0xc0010117, 0xc0011029,
};

static uint32_t any_msr(struct rnd *r)
{
	return one_in(r, 8) ? (uint32_t)rnd_odd(r) : msrs[rnd_below(r, sizeof(msrs) / sizeof(msrs[0]))];
}

static uint64_t any_msr_value(struct rnd *r)
{
	switch (rnd_below(r, 5)) {
	case 0:
		return any_gpa(r) | rnd_below(r, 4);
	case 1:
		return 0xfee00000 | rnd_below(r, 0x1000);
	default:
		return rnd_odd(r);
	}
}

static void fill_slot(struct rnd *r, struct kvm_userspace_memory_region *m)
{
	m->slot = one_in(r, 20) ? (uint32_t)rnd_odd(r) : rnd_below(r, 6);
	m->flags = one_in(r, 20) ? (uint32_t)rnd_odd(r) : rnd_below(r, 4) & (one_in(r, 2) ? 3 : 1);
	m->guest_phys_addr = one_in(r, 10) ? rnd_odd(r) : rnd_below(r, 2 * GUEST_MEM >> 12) * 4096UL;
	m->memory_size = one_in(r, 10) ? rnd_odd(r) : one_in(r, 4) ? 0 : (1 + rnd_below(r, 512)) * 4096UL;
	m->userspace_addr = one_in(r, 10) ? rnd_odd(r) : GUEST_BASE + rnd_below(r, GUEST_MEM >> 12) * 4096UL;
	if (one_in(r, 2)) {	/* the plain case, so that guests have something to run in */
		*m = (struct kvm_userspace_memory_region){ .memory_size = GUEST_MEM, .userspace_addr = GUEST_BASE };
		m->flags = rnd_below(r, 4) & KVM_MEM_LOG_DIRTY_PAGES;
	}
}

static void fill_segment(struct rnd *r, struct kvm_segment *s, bool code)
{
	*s = (struct kvm_segment){ .limit = 0xffffffff, .type = code ? 11 : 3, .present = 1, .s = 1, .g = 1 };
	s->db = rnd_below(r, 2);
	s->selector = (uint16_t)(rnd_below(r, 8) * 8);
	if (one_in(r, 4))
		s->base = any_gpa(r);
	if (one_in(r, 4))
		s->limit = (uint32_t)rnd_odd(r);
	if (one_in(r, 6)) {
		s->type = (uint8_t)rnd_below(r, 16);
		s->dpl = (uint8_t)rnd_below(r, 4);
		s->present = (uint8_t)rnd_below(r, 2);
		s->unusable = (uint8_t)rnd_below(r, 2);
	}
}

static void fill_sregs(struct rnd *r, struct kvm_sregs *s)
{
	struct kvm_segment *seg;

	memset(s, 0, sizeof(*s));
	for (seg = &s->cs; seg <= &s->ldt; seg++)
		fill_segment(r, seg, seg == &s->cs);
	s->tr.type = 11;
	s->tr.s = 0;
	s->ldt.type = 2;
	s->ldt.s = 0;
	s->gdt.base = any_gpa(r);
	s->gdt.limit = (uint16_t)rnd64(r);
	s->idt.base = any_gpa(r);
	s->idt.limit = (uint16_t)rnd64(r);
	s->cr0 = 0x10;
	switch (rnd_below(r, 5)) {
	case 0:			/* real */
		break;
	case 1:			/* protected */
		s->cr0 = 0x11;
		break;
	case 2:			/* 32-bit paging, or PAE */
		s->cr0 = 0x80000011;
		s->cr4 = one_in(r, 2) ? 0x20 : 0x10;
		break;
	default:		/* long, or compatibility */
		s->cr0 = 0x80000011;
		s->cr4 = 0x620;
		s->efer = 0x500;
		s->cs.l = !one_in(r, 3);
		s->cs.db &= !s->cs.l;
	}
	s->cr3 = rnd_below(r, GUEST_MEM >> 12) * 4096UL;
	s->cr8 = rnd_below(r, 16);
	s->apic_base = 0xfee00800 | (one_in(r, 3) ? 0x400 : 0);
	if (one_in(r, 8))
		s->cr4 ^= 1UL << rnd_below(r, 24);
	if (one_in(r, 8))
		s->cr0 ^= 1UL << rnd_below(r, 32);
}

static void fill_routing(struct rnd *r, struct kvm_irq_routing *t)
{
	unsigned int i;

	t->nr = one_in(r, 20) ? (uint32_t)rnd_odd(r) : rnd_below(r, 30);
	t->flags = one_in(r, 20);
	for (i = 0; i < t->nr && i < 64; i++) {
		struct kvm_irq_routing_entry *e = &t->entries[i];

		*e = (struct kvm_irq_routing_entry){ .gsi = one_in(r, 20) ? (uint32_t)rnd_odd(r) : rnd_below(r, 32) };
		e->type = 1 + rnd_below(r, one_in(r, 30) ? 6 : 2);
		e->flags = one_in(r, 40) ? (uint32_t)rnd_odd(r) : 0;
		if (e->type == KVM_IRQ_ROUTING_IRQCHIP) {
			e->u.irqchip.irqchip = rnd_below(r, one_in(r, 30) ? 5 : 3);
			e->u.irqchip.pin = rnd_below(r, e->u.irqchip.irqchip == 2 ? 24 : 8);
		} else {
			e->u.msi.address_lo = 0xfee00000 | rnd_below(r, 0x100000);
			e->u.msi.data = rnd_below(r, 0x10000);
		}
	}
}

static void fill_cpuid(struct rnd *r, struct kvm_cpuid2 *c)
{
	unsigned int i;

	/* what is supported, changed a little, or random leaves */
	c->nent = 100;
	if (one_in(r, 3) || anykvm_ioctl(fd_pick(r, SYS, NULL), KVM_GET_SUPPORTED_CPUID, (unsigned long)c)) {
		c->nent = one_in(r, 10) ? (uint32_t)rnd_odd(r) : rnd_below(r, 60);
		for (i = 0; i < c->nent && i < 100; i++) {
			c->entries[i].function = rnd_below(r, 0x20) | (rnd_below(r, 3) << 30) | (one_in(r, 2) ? 0x80000000 : 0);
			c->entries[i].index = rnd_below(r, 4);
		}
	} else if (one_in(r, 2)) {
		rnd_mutate(r, c->entries, c->nent * sizeof(c->entries[0]));
	}
}

static void fill_msr_filter(struct rnd *r, struct kvm_msr_filter *f, uint64_t bitmap)
{
	unsigned int i;

	memset(f, 0, sizeof(*f));
	f->flags = rnd_below(r, 2);
	for (i = rnd_below(r, 5); i < KVM_MSR_FILTER_MAX_RANGES; i += 1 + rnd_below(r, 8)) {
		f->ranges[i].flags = 1 + rnd_below(r, 3);
		f->ranges[i].base = any_msr(r);
		f->ranges[i].nmsrs = one_in(r, 10) ? (uint32_t)rnd_odd(r) : rnd_below(r, 64);
		f->ranges[i].bitmap = (uint8_t *)(one_in(r, 10) ? rnd_odd(r) >> 20 : bitmap);
	}
}

static const uint32_t vm_caps[] = {
	KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
	KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_MSR_PLATFORM_INFO, KVM_CAP_X86_TRIPLE_FAULT_EVENT, KVM_CAP_MAX_VCPU_ID,
	KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_DIRTY_LOG_RING, KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
	KVM_CAP_EXIT_ON_EMULATION_FAILURE, KVM_CAP_X86_BUS_LOCK_EXIT, KVM_CAP_EXIT_HYPERCALL, KVM_CAP_PMU_CAPABILITY,
};

/* Something sensible for the call in w->arg; other calls find random bytes, most of them 0. */
static void fill(struct worker *w, unsigned long nr)
{
	struct rnd *r = &w->r;
	union {
		uint8_t *bytes;
		struct kvm_regs *regs;
		struct kvm_mp_state *mp;
		struct kvm_enable_cap *cap;
		struct kvm_irq_level *level;
		struct kvm_irqchip *chip;
		struct kvm_irqfd *irqfd;
		struct kvm_ioeventfd *ioeventfd;
		struct kvm_msi *msi;
		struct kvm_pit_config *pit;
		struct kvm_dirty_log *log;
		struct kvm_clear_dirty_log *clear;
		struct kvm_coalesced_mmio_zone *zone;
		struct kvm_msrs *msrs;
		struct kvm_cpuid2 *cpuid;
		struct kvm_msr_list *list;
		struct kvm_vcpu_events *events;
		struct kvm_guest_debug *debug;
		struct kvm_interrupt *irq;
		struct kvm_x86_mce *mce;
		struct kvm_xcrs *xcrs;
		struct kvm_clock_data *clock;
		struct kvm_create_device *device;
		struct kvm_device_attr *attr;
		uint64_t *word;
		uint32_t *half;
	} a = { w->arg };
	unsigned int i;
	size_t n = _IOC_SIZE(nr) ? _IOC_SIZE(nr) : 64;

	memset(a.bytes, 0, 512);
	switch (nr) {
	case KVM_SET_USER_MEMORY_REGION:
		fill_slot(r, (void *)w->arg);
		return;
	case KVM_SET_SREGS:
	case KVM_SET_SREGS2:
		fill_sregs(r, (void *)w->arg);
		if (nr == KVM_SET_SREGS2)
			((struct kvm_sregs2 *)w->arg)->flags = rnd_below(r, 2);
		return;
	case KVM_SET_REGS:
		for (i = 0; i < 16; i++)
			(&a.regs->rax)[i] = one_in(r, 2) ? any_gpa(r) : rnd_odd(r);
		a.regs->rip = any_gpa(r);
		a.regs->rflags = 2 | (rnd_odd(r) & 0x3fffff);
		return;
	case KVM_SET_MP_STATE:
		a.mp->mp_state = one_in(r, 2) ? 0 : rnd_below(r, 6);
		return;
	case KVM_ENABLE_CAP:
		a.cap->cap = one_in(r, 8) ? rnd_below(r, 240) : vm_caps[rnd_below(r, sizeof(vm_caps) / 4)];
		a.cap->args[0] = one_in(r, 4) ? rnd_odd(r) : rnd_below(r, 8);
		if (a.cap->cap == KVM_CAP_SPLIT_IRQCHIP)
			a.cap->args[0] = 24;
		return;
	case KVM_IRQ_LINE:
	case KVM_IRQ_LINE_STATUS:
		a.level->irq = rnd_below(r, one_in(r, 20) ? 5000 : 26);
		a.level->level = rnd_below(r, 2);
		return;
	case KVM_GET_IRQCHIP:
	case KVM_SET_IRQCHIP:
		rnd_fill(r, a.bytes, n);
		a.chip->chip_id = rnd_below(r, one_in(r, 10) ? 5 : 3);
		return;
	case KVM_SET_GSI_ROUTING:
		fill_routing(r, (void *)w->arg);
		return;
	case KVM_IRQFD:
		a.irqfd->fd = (uint32_t)fd_pick(r, OTHER, NULL);
		a.irqfd->resamplefd = (uint32_t)fd_pick(r, OTHER, NULL);
		a.irqfd->gsi = rnd_below(r, one_in(r, 20) ? 5000 : 26);
		a.irqfd->flags = rnd_below(r, 4);
		return;
	case KVM_IOEVENTFD:
		a.ioeventfd->fd = fd_pick(r, OTHER, NULL);
		a.ioeventfd->addr = one_in(r, 2) ? rnd_below(r, 0x10000) : any_gpa(r);
		a.ioeventfd->len = one_in(r, 10) ? (uint32_t)rnd_odd(r) : 1u << rnd_below(r, 4);
		a.ioeventfd->datamatch = rnd_below(r, 4);
		a.ioeventfd->flags = rnd_below(r, 8);
		return;
	case KVM_SIGNAL_MSI:
		a.msi->address_lo = 0xfee00000 | rnd_below(r, 0x100000);
		a.msi->data = rnd_below(r, 0x10000);
		return;
	case KVM_CREATE_PIT2:
		a.pit->flags = rnd_below(r, one_in(r, 8) ? 4 : 2);
		return;
	case KVM_GET_DIRTY_LOG:
		a.log->slot = rnd_below(r, 6);
		a.log->dirty_bitmap = w->arg + 4096;
		return;
	case KVM_CLEAR_DIRTY_LOG:
		memset(w->arg + 4096, (int)rnd64(r), 256);
		a.clear->slot = rnd_below(r, 6);
		a.clear->first_page = rnd_below(r, 16) * 64;
		a.clear->num_pages = rnd_below(r, 16) * 64;
		a.clear->dirty_bitmap = w->arg + 4096;
		return;
	case KVM_REGISTER_COALESCED_MMIO:
	case KVM_UNREGISTER_COALESCED_MMIO:
		a.zone->pio = one_in(r, 2);
		a.zone->addr = a.zone->pio ? rnd_below(r, 0x10000) : any_gpa(r);
		a.zone->size = 1 + rnd_below(r, 64);
		return;
	case KVM_X86_SET_MSR_FILTER:
		rnd_fill(r, w->arg + 4096, 64);
		fill_msr_filter(r, (void *)w->arg, (uint64_t)(uintptr_t)w->arg + 4096);
		return;
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		a.msrs->nmsrs = one_in(r, 20) ? (uint32_t)rnd_odd(r) : rnd_below(r, 20);
		for (i = 0; i < a.msrs->nmsrs && i < 32; i++) {
			a.msrs->entries[i].index = any_msr(r);
			a.msrs->entries[i].data = any_msr_value(r);
		}
		return;
	case KVM_SET_CPUID2:
		fill_cpuid(r, (void *)w->arg);
		return;
	case KVM_GET_CPUID2:
	case KVM_GET_SUPPORTED_CPUID:
		a.cpuid->nent = one_in(r, 4) ? (uint32_t)rnd_odd(r) : 100;
		return;
	case KVM_GET_MSR_INDEX_LIST:
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		a.list->nmsrs = one_in(r, 4) ? (uint32_t)rnd_odd(r) : 1000;
		return;
	case KVM_SET_VCPU_EVENTS:
		for (i = rnd_below(r, 8); i; i--)
			a.bytes[rnd_below(r, 40)] = (uint8_t)rnd_odd(r);
		a.events->exception.nr &= 31;
		a.events->flags = rnd_below(r, 0x40);
		return;
	case KVM_SET_GUEST_DEBUG:
		a.debug->control = one_in(r, 3) ? 0 : KVM_GUESTDBG_ENABLE | (1u << (16 + rnd_below(r, 6)));
		a.debug->control |= one_in(r, 3) ? KVM_GUESTDBG_SINGLESTEP : 0;
		for (i = 0; i < 8; i++)
			a.debug->arch.debugreg[i] = any_gpa(r);
		return;
	case KVM_INTERRUPT:
		a.irq->irq = rnd_below(r, one_in(r, 10) ? 1000 : 256);
		return;
	case KVM_X86_SETUP_MCE:
		*a.word = 1 + rnd_below(r, 40) + (one_in(r, 2) ? 0x1000100 : 0);
		return;
	case KVM_X86_SET_MCE:
		rnd_fill(r, a.bytes, n);
		a.mce->bank = (uint8_t)rnd_below(r, 40);
		return;
	case KVM_SET_XCRS:
		a.xcrs->nr_xcrs = one_in(r, 8) ? (uint32_t)rnd_odd(r) : 1;
		a.xcrs->xcrs[0].value = rnd_below(r, 8) | 1;
		return;
	case KVM_SET_CLOCK:
		a.clock->clock = rnd_odd(r);
		a.clock->flags = rnd_below(r, 16);
		return;
	case KVM_CREATE_DEVICE:
		a.device->type = one_in(r, 8) ? (uint32_t)rnd_odd(r) : KVM_DEV_TYPE_VFIO;
		return;
	case KVM_SET_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_HAS_DEVICE_ATTR:	/* of a device's, or a vCPU's only one */
		a.attr->group = rnd_below(r, 2);
		a.attr->attr = rnd_below(r, 3);
		a.attr->addr = (uintptr_t)w->arg + 4096;
		*(int *)(w->arg + 4096) = fd_pick(r, 1 + rnd_below(r, OTHER), NULL);
		return;
	case KVM_SET_IDENTITY_MAP_ADDR:
		*a.word = any_gpa(r) & ~0xfffUL;
		return;
	default:
		if (one_in(r, 2))
			rnd_fill(r, a.bytes, n);
		else
			rnd_mutate(r, a.bytes, n);
	}
}

/* A pointer inside an argument, changed at random, leads to our own areas or to nothing: not to the heap or a sanitizer's map. */
static void tame(uint64_t *p)
{
	uint64_t a = *p;

	if (a >= 0x10000 && a < 0x800000000000 && a - GUEST_BASE >= GUEST_MEM && a - ARG_BASE >= THREADS * ARG_ROOM)
		*p = 0x300000000000 | (a & 0xffffffffff);
}

static void tame_pointers(struct worker *w, unsigned long nr)
{
	struct kvm_msr_filter *f = (void *)w->arg;
	unsigned int i;

	switch (nr) {
	case KVM_SET_USER_MEMORY_REGION:
		tame((uint64_t *)&((struct kvm_userspace_memory_region *)w->arg)->userspace_addr);
		break;
	case KVM_GET_DIRTY_LOG:
		tame((uint64_t *)&((struct kvm_dirty_log *)w->arg)->dirty_bitmap);
		break;
	case KVM_CLEAR_DIRTY_LOG:
		tame((uint64_t *)&((struct kvm_clear_dirty_log *)w->arg)->dirty_bitmap);
		break;
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		tame((uint64_t *)&((struct kvm_device_attr *)w->arg)->addr);
		break;
	case KVM_CREATE_DEVICE:		/* new_device() makes them: another thread may write over a descriptor told here */
		((struct kvm_create_device *)w->arg)->flags |= KVM_CREATE_DEVICE_TEST;
		break;
	case KVM_X86_SET_MSR_FILTER:
		for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
			tame((uint64_t *)&f->ranges[i].bitmap);
		break;
	}
}

/* Where the argument is: mostly w->arg, else moved to a border of what is mapped, or nowhere. */
static unsigned long place(struct worker *w, unsigned long nr)
{
	static const uint64_t bad[] = { 0, 8, ~0UL, 0xffff888000000000, 0x8000000000000000, 0x7ffffffff000, GUEST_BASE - 4096 };
	struct rnd *r = &w->r;
	size_t n = _IOC_SIZE(nr);

	switch (rnd_below(r, 60)) {
	case 0:
		return bad[rnd_below(r, sizeof(bad) / sizeof(bad[0]))];
	case 1:		/* the last bytes lie beyond the end */
		n = 1 + rnd_below(r, (uint32_t)n + 8);
		memmove(w->arg + ARG_SIZE - n, w->arg, n);
		return (unsigned long)w->arg + ARG_SIZE - n;
	case 2:		/* exactly up to the end */
		if (n && n < 8192) {
			memmove(w->arg + ARG_SIZE - n, w->arg, n);
			return (unsigned long)w->arg + ARG_SIZE - n;
		}
		return (unsigned long)w->arg;
	case 3:
		memmove(w->arg + 3, w->arg, n);
		return (unsigned long)w->arg + 3;
	case 4:		/* in guest memory, which may be gone */
		return GUEST_BASE + rnd_below(r, GUEST_MEM);
	case 5:		/* where another thread works; its pointers may be half changed */
		if (nr == KVM_SET_USER_MEMORY_REGION || nr == KVM_GET_DIRTY_LOG || nr == KVM_GET_DEVICE_ATTR)
			return (unsigned long)w->arg;
		return ARG_BASE + rnd_below(r, threads) * ARG_ROOM;
	case 6:
		return rnd_odd(r) & 0xffff;
	default:
		return (unsigned long)w->arg;
	}
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct call {
	unsigned long nr;
	const char *name;
	enum kind kind;
	bool number;		/* the argument is one */
	unsigned int weight;
	unsigned long good, bad;
};

#define C(kind, nr, weight)	{ nr, #nr, kind, false, weight, 0, 0 }
#define N(kind, nr, weight)	{ nr, #nr, kind, true, weight, 0, 0 }
static struct call calls[] = {
	N(SYS, KVM_GET_API_VERSION, 1), N(SYS, KVM_CREATE_VM, 1), N(SYS, KVM_CHECK_EXTENSION, 2), N(SYS, KVM_GET_VCPU_MMAP_SIZE, 1),
	C(SYS, KVM_GET_SUPPORTED_CPUID, 1), C(SYS, KVM_GET_MSR_INDEX_LIST, 1), C(SYS, KVM_GET_MSR_FEATURE_INDEX_LIST, 1),
	C(SYS, KVM_GET_MSRS, 2), C(SYS, KVM_X86_GET_MCE_CAP_SUPPORTED, 1),
	N(VM, KVM_CHECK_EXTENSION, 2), N(VM, KVM_CREATE_VCPU, 2), C(VM, KVM_SET_USER_MEMORY_REGION, 12), N(VM, KVM_SET_TSS_ADDR, 1),
	C(VM, KVM_SET_IDENTITY_MAP_ADDR, 1), N(VM, KVM_CREATE_IRQCHIP, 2), C(VM, KVM_ENABLE_CAP, 5), C(VM, KVM_IRQ_LINE, 6),
	C(VM, KVM_IRQ_LINE_STATUS, 6), C(VM, KVM_GET_IRQCHIP, 4), C(VM, KVM_SET_IRQCHIP, 4), C(VM, KVM_SET_GSI_ROUTING, 6),
	C(VM, KVM_IRQFD, 6), C(VM, KVM_IOEVENTFD, 6), C(VM, KVM_SIGNAL_MSI, 6), N(VM, KVM_CREATE_PIT, 1), C(VM, KVM_CREATE_PIT2, 1),
	C(VM, KVM_GET_PIT, 1), C(VM, KVM_SET_PIT, 1), C(VM, KVM_GET_PIT2, 2), C(VM, KVM_SET_PIT2, 2), C(VM, KVM_REINJECT_CONTROL, 1),
	C(VM, KVM_SET_CLOCK, 2), C(VM, KVM_GET_CLOCK, 2), C(VM, KVM_GET_DIRTY_LOG, 4), C(VM, KVM_CLEAR_DIRTY_LOG, 4),
	C(VM, KVM_REGISTER_COALESCED_MMIO, 2), C(VM, KVM_UNREGISTER_COALESCED_MMIO, 2), N(VM, KVM_SET_BOOT_CPU_ID, 1),
	C(VM, KVM_X86_SET_MSR_FILTER, 3), N(VM, KVM_GET_STATS_FD, 1), N(VM, KVM_RESET_DIRTY_RINGS, 1), C(VM, KVM_CREATE_DEVICE, 2),
	N(VM, KVM_SET_NR_MMU_PAGES, 1), C(VM, KVM_SET_PMU_EVENT_FILTER, 1), C(VM, KVM_XEN_HVM_CONFIG, 1), C(VM, KVM_HAS_DEVICE_ATTR, 1),
	C(DEVICE, KVM_SET_DEVICE_ATTR, 2), C(DEVICE, KVM_GET_DEVICE_ATTR, 1), C(DEVICE, KVM_HAS_DEVICE_ATTR, 1),
	N(VCPU, KVM_RUN, 40), C(VCPU, KVM_GET_REGS, 6), C(VCPU, KVM_SET_REGS, 8), C(VCPU, KVM_GET_SREGS, 4), C(VCPU, KVM_SET_SREGS, 8),
	C(VCPU, KVM_GET_SREGS2, 2), C(VCPU, KVM_SET_SREGS2, 4), C(VCPU, KVM_GET_FPU, 2), C(VCPU, KVM_SET_FPU, 2),
	C(VCPU, KVM_GET_XSAVE, 2), C(VCPU, KVM_SET_XSAVE, 2), C(VCPU, KVM_GET_XSAVE2, 1), C(VCPU, KVM_GET_XCRS, 1),
	C(VCPU, KVM_SET_XCRS, 2), C(VCPU, KVM_GET_MSRS, 4), C(VCPU, KVM_SET_MSRS, 8), C(VCPU, KVM_SET_CPUID2, 3),
	C(VCPU, KVM_GET_CPUID2, 2), C(VCPU, KVM_GET_LAPIC, 3), C(VCPU, KVM_SET_LAPIC, 3), C(VCPU, KVM_GET_MP_STATE, 3),
	C(VCPU, KVM_SET_MP_STATE, 5), C(VCPU, KVM_GET_VCPU_EVENTS, 3), C(VCPU, KVM_SET_VCPU_EVENTS, 5), C(VCPU, KVM_GET_DEBUGREGS, 2),
	C(VCPU, KVM_SET_DEBUGREGS, 2), N(VCPU, KVM_GET_TSC_KHZ, 1), N(VCPU, KVM_SET_TSC_KHZ, 1), C(VCPU, KVM_ENABLE_CAP, 1),
	N(VCPU, KVM_KVMCLOCK_CTRL, 1), C(VCPU, KVM_INTERRUPT, 4), N(VCPU, KVM_NMI, 3), C(VCPU, KVM_SET_GUEST_DEBUG, 3),
	C(VCPU, KVM_TRANSLATE, 3), C(VCPU, KVM_X86_SETUP_MCE, 2), C(VCPU, KVM_X86_SET_MCE, 2), N(VCPU, KVM_GET_STATS_FD, 1),
	N(VCPU, KVM_SMI, 1), C(VCPU, KVM_TPR_ACCESS_REPORTING, 1), C(VCPU, KVM_SET_VAPIC_ADDR, 1), C(VCPU, KVM_GET_NESTED_STATE, 1),
	C(VCPU, KVM_SET_NESTED_STATE, 1), C(VCPU, KVM_HAS_DEVICE_ATTR, 1), C(VCPU, KVM_GET_DEVICE_ATTR, 1), C(VCPU, KVM_SET_DEVICE_ATTR, 1),
};
#define CALLS	(sizeof(calls) / sizeof(calls[0]))
static unsigned int weights;

static long call(struct worker *w, int fd, unsigned long nr, unsigned long arg)
{
	long ret;

	w->nr = nr;
	w->since = now_ms();
	ret = anykvm_ioctl(fd, nr, arg);
	w->since = 0;
	w->calls++;
	return ret;
}

static void new_vm(struct worker *w, long fd)
{
	struct kvm_userspace_memory_region m = { .memory_size = GUEST_MEM, .userspace_addr = GUEST_BASE };
	struct kvm_run *run;
	long cpu, size;
	int i;

	fd_add((int)fd, VM, NULL);
	if (!one_in(&w->r, 8))
		call(w, (int)fd, KVM_SET_USER_MEMORY_REGION, (unsigned long)&m);
	if (one_in(&w->r, 3))
		return;		/* the rest comes by chance, or not */
	if (!one_in(&w->r, 3))
		call(w, (int)fd, KVM_CREATE_IRQCHIP, 0);
	for (i = 0; i < 2; i++) {
		cpu = call(w, (int)fd, KVM_CREATE_VCPU, (unsigned long)i);
		if (cpu < 0)
			continue;
		size = call(w, fd_pick(&w->r, SYS, NULL), KVM_GET_VCPU_MMAP_SIZE, 0);
		run = size > 0 ? mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, (int)cpu, 0) : MAP_FAILED;
		fd_add((int)cpu, VCPU, run == MAP_FAILED ? NULL : run);
	}
}

static long new_device(struct worker *w, int fd)
{
	struct kvm_create_device c = { .type = KVM_DEV_TYPE_VFIO };
	long ret = call(w, fd, KVM_CREATE_DEVICE, (unsigned long)&c);

	if (!ret)
		fd_add((int)c.fd, DEVICE, NULL);
	return ret;
}

/* What the client may do to kvm_run between, and here also during, calls. */
static void scribble(struct rnd *r, struct kvm_run *run)
{
	run->immediate_exit = one_in(r, 8);
	run->request_interrupt_window = one_in(r, 8);
	if (one_in(r, 4))
		rnd_fill(r, (uint8_t *)run + 4096, 16);		/* answers to port reads */
	if (one_in(r, 4))
		rnd_fill(r, run->mmio.data, 8);
	if (one_in(r, 8))
		run->kvm_dirty_regs = rnd_below(r, 8);
	if (one_in(r, 8))
		run->kvm_valid_regs = rnd_below(r, 8);
	if (one_in(r, 16))
		rnd_mutate(r, run, sizeof(*run));
}

static void one_call(struct worker *w)
{
	struct rnd *r = &w->r;
	struct kvm_run *run = NULL;
	unsigned int at = rnd_below(r, weights);
	struct call *c = calls;
	unsigned long arg;
	long ret;
	int fd;

	for (; at >= c->weight; c++)
		at -= c->weight;
	fd = fd_pick(r, c->kind, &run);
	if (c->number) {
		arg = one_in(r, 8) ? rnd_odd(r) : c->nr == KVM_CHECK_EXTENSION ? rnd_below(r, 250) : c->nr == KVM_CREATE_VCPU ?
			rnd_below(r, 5) : 0;
		if (c->nr == KVM_SET_TSC_KHZ && one_in(r, 2))
			arg = (unsigned long)call(w, fd, KVM_GET_TSC_KHZ, 0);
	} else {
		fill(w, c->nr);
		if (one_in(r, 3) && _IOC_SIZE(c->nr))
			rnd_mutate(r, w->arg, _IOC_SIZE(c->nr));
		tame_pointers(w, c->nr);
		arg = place(w, c->nr);
	}
	if (c->nr == KVM_RUN) {
		if (run)
			scribble(r, run);
		if (one_in(r, 4) && threads == 1) {
			guest_map(0, GUEST_MEM, PROT_READ | PROT_WRITE);
			rnd_fill(r, guest_mem() + rnd_below(r, 0x1000) * 16, 2048);
		}
	}
	ret = c->nr == KVM_CREATE_DEVICE && one_in(r, 2) ? new_device(w, fd) : call(w, fd, c->nr, arg);
	__atomic_fetch_add(ret >= 0 ? &c->good : &c->bad, 1, __ATOMIC_RELAXED);
	if (c->nr == KVM_RUN) {
		__atomic_fetch_add(ret == -EINTR ? &interrupted : &guests_ran, ret == 0 || ret == -EINTR, __ATOMIC_RELAXED);
		return;
	}
	if (ret < 0 || fd < 0)
		return;
	if (c->nr == KVM_CREATE_VM)
		new_vm(w, ret);
	else if (c->nr == KVM_CREATE_VCPU)
		fd_add((int)ret, VCPU, NULL);
	else if (c->nr == KVM_GET_STATS_FD)
		fd_add((int)ret, OTHER, NULL);
}

/* A number nobody has, or one of ours with a size or direction that is wrong. */
static void foreign_call(struct worker *w)
{
	struct rnd *r = &w->r;
	unsigned long nr = _IOC(rnd_below(r, 4), one_in(r, 8) ? rnd_below(r, 256) : KVMIO, rnd_below(r, 256), rnd_below(r, 1100));

	rnd_fill(r, w->arg, 1200);
	if ((nr & 0xffff) == (KVM_RUN & 0xffff) || (nr & 0xffff) == (KVM_SET_SIGNAL_MASK & 0xffff))
		return;		/* the mask may keep the kick away */
	call(w, fd_pick(r, 1 + rnd_below(r, OTHER), NULL), nr, place(w, nr));
}

/* Masks that let the kick through, as well as such that are no masks. */
static void signal_mask(struct worker *w)
{
	struct { uint32_t len; uint8_t set[8]; } *m = (void *)w->arg;
	struct rnd *r = &w->r;

	m->len = one_in(r, 8) ? (uint32_t)rnd_odd(r) : 8;
	rnd_fill(r, m->set, 8);
	m->set[(SIGUSR1 - 1) / 8] &= (uint8_t)~(1u << ((SIGUSR1 - 1) % 8));
	call(w, fd_pick(r, VCPU, NULL), KVM_SET_SIGNAL_MASK, one_in(r, 4) ? 0 : one_in(r, 8) ? 8 : (unsigned long)m);
}

static void close_all(void)
{
	unsigned int i;

	for (i = 0; i < FDS; i++) {
		struct kvm_run *run = world.f[i].kind == VCPU ? world.f[i].run : NULL;

		fd_drop(i, false);
		if (run && threads == 1)
			munmap(run, 3 * 4096);
	}
}

static void begin_anew(struct worker *w)
{
	int fd = anykvm_open(), i;
	long vm;

	if (fd < 0)
		return;
	fd_add(fd, SYS, NULL);
	for (i = 0; i < 4; i++)
		fd_add(eventfd(0, EFD_NONBLOCK), OTHER, NULL);
	for (i = 0; i < 2; i++) {
		vm = call(w, fd, KVM_CREATE_VM, 0);
		if (vm >= 0)
			new_vm(w, vm);
	}
}

static void no_op(int sig)
{
}

static timer_t kick_me(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct itimerspec it = { { 0, KICK_NS }, { 0, KICK_NS } };
	timer_t t;

	ev._sigev_un._tid = (int)syscall(SYS_gettid);
	timer_create(CLOCK_MONOTONIC, &ev, &t);
	timer_settime(t, 0, &it, NULL);
	return t;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned long n = 0;
	timer_t kicks = kick_me();

	while (w->calls < w->left) {
		if (n++ % WORLD_CALLS == 0 && w == &worker[0]) {
			close_all();
			begin_anew(w);
		}
		switch (rnd_below(&w->r, 64)) {
		case 0:
			fd_events(&w->r);
			break;
		case 1:
			memory_events(&w->r);
			break;
		case 2:
			foreign_call(w);
			break;
		case 3:
			signal_mask(w);
			break;
		default:
			one_call(w);
		}
	}
	timer_delete(kicks);
	return NULL;
}

static void *watch(void *arg)
{
	unsigned int i;
	long since;

	for (;;) {
		usleep(500000);
		for (i = 0; i < threads; i++) {
			since = worker[i].since;
			if (since && now_ms() - since > STUCK_S * 1000) {
				printf("not ok - a call lasts longer than %d s: number %#lx, thread %u, seed %lu\n", STUCK_S, worker[i].nr, i,
				       (unsigned long)seed);
				fflush(stdout);
				abort();
			}
		}
	}
	return NULL;
}

/* mov $0x1234, %ax; mov %ax, (0x6000); hlt */
static const uint8_t sane[] = { 0xb8, 0x34, 0x12, 0xa3, 0x00, 0x60, 0xf4 };

static bool honest_vm_works(void)
{
	struct kvm_userspace_memory_region m = { .memory_size = GUEST_MEM, .userspace_addr = GUEST_BASE };
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct kvm_sregs s;
	struct kvm_run *run;
	int sys = anykvm_open(), vm, cpu;
	bool works;

	guest_map(0, GUEST_MEM, PROT_READ | PROT_WRITE);
	memcpy(guest_mem() + 0x1000, sane, sizeof(sane));
	vm = anykvm_ioctl(sys, KVM_CREATE_VM, 0);
	if (vm < 0 || anykvm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, (unsigned long)&m))
		return false;
	cpu = anykvm_ioctl(vm, KVM_CREATE_VCPU, 0);
	if (cpu < 0)
		return false;
	run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	anykvm_ioctl(cpu, KVM_GET_SREGS, (unsigned long)&s);
	s.cs.base = s.cs.selector = 0;
	anykvm_ioctl(cpu, KVM_SET_SREGS, (unsigned long)&s);
	anykvm_ioctl(cpu, KVM_SET_REGS, (unsigned long)&regs);
	works = !anykvm_ioctl(cpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_HLT && guest_mem()[0x6000] == 0x34 &&
		guest_mem()[0x6001] == 0x12;
	anykvm_close(cpu);
	anykvm_close(vm);
	anykvm_close(sys);
	return works;
}

static unsigned long report(void)
{
	unsigned long total = 0, never = 0;
	unsigned int i;

	for (i = 0; i < CALLS; i++) {
		if (!calls[i].good && calls[i].kind != NONE)
			printf("# never successful: %s (%lu times refused)\n", calls[i].name, calls[i].bad), never++;
	}
	for (i = 0; i < threads; i++)
		total += worker[i].calls;
	printf("# %lu calls, %u threads, seed %lu; KVM_RUN: %lu exits, %lu kicked out\n", total, threads, (unsigned long)seed, guests_ran,
	       interrupted);
	return never;
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000, never;
	struct sigaction sa = { .sa_handler = no_op };
	pthread_t watchdog;
	unsigned int i;
	bool works;

	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	if (argc > 3)
		threads = (unsigned int)strtoul(argv[3], NULL, 0);
	if (threads < 1 || threads > THREADS) {
		fprintf(stderr, "ioctl [CALLS [SEED [THREADS]]], up to %d threads\n", THREADS);
		return 2;
	}
	sigaction(SIGUSR1, &sa, NULL);
	guest_map(0, GUEST_MEM, PROT_READ | PROT_WRITE);
	for (i = 0; i < CALLS; i++)
		weights += calls[i].weight;
	for (i = 0; i < threads; i++) {
		worker[i].r = rnd_of(seed, i, 0);
		worker[i].left = count / threads;
		worker[i].arg = mmap((void *)(ARG_BASE + i * ARG_ROOM), ARG_SIZE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
	pthread_create(&watchdog, NULL, watch, NULL);
	for (i = 0; i < threads; i++)
		pthread_create(&worker[i].thread, NULL, work, &worker[i]);
	for (i = 0; i < threads; i++)
		pthread_join(worker[i].thread, NULL);
	close_all();
	works = honest_vm_works();
	never = report();
	fflush(stdout);		/* a leak checker that finds something ends the program */
	printf("%s 1 - %lu calls, and an honest VM works\n", works ? "ok" : "not ok", count);
	printf("%s 2 - most calls succeed now and then\n", never * 4 < CALLS ? "ok" : "not ok");
	fflush(stdout);
	return works && never * 4 < CALLS ? 0 : 1;
}
