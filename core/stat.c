// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * stat.c - the counters of a VM or a vCPU: their names, and KVM_GET_STATS_FD, a self-describing file: header, id,
 * descriptors, values, in that order and each at an offset that is a multiple of 8. What was never
 * laid out is computed as it is read.
 */
#include "ioctl.h"

#define NAME_SIZE	48
#define MAX_ROWS	(ARRAY_SIZE(vcpu_rows) + VENDOR_STATS)

struct stat_row {
	const char *name;
	u32 offset;		/* of a u64 in struct vcpu_stats or vm_stats */
};

#define VCPU_STAT(name_, field) { name_, offsetof(struct vcpu_stats, field) }
#define VM_STAT(name_, field) { name_, offsetof(struct vm_stats, field) }

static const struct stat_row vcpu_rows[] = {
	VCPU_STAT("exits", exits),
	VCPU_STAT("io_exits", io_exits),
	VCPU_STAT("mmio_exits", mmio_exits),
	VCPU_STAT("halt_exits", halt_exits),
	VCPU_STAT("halt_wakeup", halt_wakeup),
	VCPU_STAT("irq_injections", irq_injections),
	VCPU_STAT("nmi_injections", nmi_injections),
	VCPU_STAT("irq_window", irq_window_exits),
	VCPU_STAT("signal_exits", signal_exits),
	VCPU_STAT("request_irq_exits", request_irq_exits),
	VCPU_STAT("insn_emulation", insn_emulation),
	VCPU_STAT("hypercalls", hypercalls),
	VCPU_STAT("tlb_flush", tlb_flush),
	VCPU_STAT("userspace_exits", userspace_exits),
	VCPU_STAT("exit_kicked", exit[EXIT_KICKED]),
	VCPU_STAT("exit_emulate", exit[EXIT_EMULATE]),
	VCPU_STAT("exit_io", exit[EXIT_IO]),
	VCPU_STAT("exit_hlt", exit[EXIT_HLT]),
	VCPU_STAT("exit_intr_window", exit[EXIT_INTR_WINDOW]),
	VCPU_STAT("exit_nmi_window", exit[EXIT_NMI_WINDOW]),
	VCPU_STAT("exit_shutdown", exit[EXIT_SHUTDOWN]),
	VCPU_STAT("exit_debug", exit[EXIT_DEBUG]),
	VCPU_STAT("exit_mem_error", exit[EXIT_MEM_ERROR]),
	VCPU_STAT("exit_fail", exit[EXIT_FAIL]),
};
#define FIRST_EXIT	14	/* rows from here on are the reasons, all of them */
static_assert(ARRAY_SIZE(vcpu_rows) - FIRST_EXIT == EXIT_NR, "each exit reason has a name");

static const struct stat_row vm_rows[] = {
	VM_STAT("remote_tlb_flush", tlb_shootdowns),
	VM_STAT("memslot_changes", slot_changes),
};

/* What a descriptor stands for. It holds a reference on the VM. */
struct stats {
	struct vm *vm;
	struct vcpu *vcpu;	/* NULL: the VM's own */
	char id[NAME_SIZE];
};

static u32 vendor_rows(const struct stats *s)
{
	const char *const *names = s->vcpu ? s->vm->vendor->stat_names : NULL;
	u32 n = 0;

	while (names && n < VENDOR_STATS && names[n])
		n++;
	return n;
}

static u32 own_rows(const struct stats *s)
{
	return s->vcpu ? ARRAY_SIZE(vcpu_rows) : ARRAY_SIZE(vm_rows);
}

static const char *name_of(const struct stats *s, u32 i)
{
	if (i < own_rows(s))
		return s->vcpu ? vcpu_rows[i].name : vm_rows[i].name;
	return s->vm->vendor->stat_names[i - own_rows(s)];
}

/* Where counter i is, from the beginning of the VM's or vCPU's. */
static u32 offset_of(const struct stats *s, u32 i)
{
	if (i < own_rows(s))
		return s->vcpu ? vcpu_rows[i].offset : vm_rows[i].offset;
	return offsetof(struct vcpu_stats, vendor) + (i - own_rows(s)) * sizeof(u64);
}

/* The descriptor of counter i, name included. */
static void fill_desc(const struct stats *s, u32 i, struct kvm_stats_desc *d, char *name)
{
	const char *from = name_of(s, i);
	u32 n;

	host_memset(d, 0, sizeof(*d));
	host_memset(name, 0, NAME_SIZE);
	d->flags = KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10;
	d->size = 1;
	d->offset = i * sizeof(u64);
	for (n = 0; n < NAME_SIZE - 1 && from[n]; n++)
		name[n] = from[n];
}

static u64 value(const struct stats *s, u32 i)
{
	const u8 *base = s->vcpu ? (const u8 *)s->vcpu->priv->stat : (const u8 *)s->vm->priv->stat;

	return host_load_relaxed((const u64 *)(base + offset_of(s, i)));
}

/* The window of the file that a read asks for. */
struct window {
	u8 *buf;
	u64 pos, end;		/* file offsets */
	u64 at;			/* where the next piece begins */
};

static void put_piece(struct window *w, const void *piece, u32 len)
{
	u64 from = w->at > w->pos ? w->at : w->pos;
	u64 to = w->at + len < w->end ? w->at + len : w->end;

	if (from < to)
		host_memcpy(w->buf + (from - w->pos), (const u8 *)piece + (from - w->at),
			    to - from);
	w->at += len;
}

long core_stats_read(void *obj, void *buf, size_t n, u64 pos)
{
	const struct stats *s = obj;
	u32 nr = own_rows(s) + vendor_rows(s), i;
	const struct kvm_stats_header h = {
		.name_size = NAME_SIZE, .num_desc = nr, .id_offset = sizeof(h),
		.desc_offset = sizeof(h) + NAME_SIZE,
		.data_offset = sizeof(h) + NAME_SIZE + nr * (sizeof(struct kvm_stats_desc) + NAME_SIZE),
	};
	u64 size = h.data_offset + nr * sizeof(u64);
	struct window w = { .buf = buf, .pos = pos };

	if (pos >= size)
		return 0;
	w.end = n < size - pos ? pos + n : size;
	put_piece(&w, &h, sizeof(h));
	put_piece(&w, s->id, NAME_SIZE);
	for (i = 0; i < nr; i++) {
		struct kvm_stats_desc d;
		char name[NAME_SIZE];

		fill_desc(s, i, &d, name);
		put_piece(&w, &d, sizeof(d));
		put_piece(&w, name, NAME_SIZE);
	}
	for (i = 0; i < nr; i++) {
		u64 v = value(s, i);

		put_piece(&w, &v, sizeof(v));
	}
	return w.end - pos;
}

static_assert(sizeof(struct kvm_stats_header) % 8 == 0 && NAME_SIZE % 8 == 0 &&
		      sizeof(struct kvm_stats_desc) % 8 == 0,
	      "blocks begin at multiples of 8");

void core_stats_put(void *obj)
{
	struct stats *s = obj;

	core_vm_put(s->vm);
	host_free(s);
}

static char *put_text(char *p, const char *text)
{
	while (*text)
		*p++ = *text++;
	return p;
}

static char *put_number(char *p, u32 v)
{
	char digits[10];
	unsigned int n = 0;

	do {
		digits[n++] = '0' + v % 10;
		v /= 10;
	} while (v);
	while (n)
		*p++ = digits[--n];
	return p;
}

/* "kvm-0", or of a vCPU "kvm-0/vcpu-1". */
static void set_id(struct stats *s)
{
	char *p = put_number(put_text(s->id, "kvm-"), s->vm->priv->serial);

	if (s->vcpu)
		put_number(put_text(p, "/vcpu-"), s->vcpu->id);
}

static void *create(struct stats *s, size_t size)
{
	struct glue_counter rows[MAX_ROWS];
	u32 n = own_rows(s) + vendor_rows(s), i;

	set_id(s);
	for (i = 0; i < n; i++) {
		rows[i].name = name_of(s, i);
		rows[i].index = offset_of(s, i) / sizeof(u64);
	}
	return glue_counters_alloc(s->vcpu ? GLUE_VCPU_STATS : GLUE_VM_STATS, s->id, rows, n, size);
}

int vm_stats_create(struct vm *vm)
{
	struct stats s = { .vm = vm };

	vm->priv->stat = create(&s, sizeof(struct vm_stats));
	return vm->priv->stat ? 0 : -ENOMEM;
}

void vm_stats_destroy(struct vm *vm)
{
	glue_counters_free(vm->priv->stat);
}

int vcpu_stats_create(struct vcpu *vcpu)
{
	struct stats s = { .vm = vcpu->vm, .vcpu = vcpu };

	vcpu->priv->stat = create(&s, sizeof(struct vcpu_stats));
	if (!vcpu->priv->stat)
		return -ENOMEM;
	vcpu->vendor_stats = vcpu->priv->stat->vendor;
	return 0;
}

void vcpu_stats_destroy(struct vcpu *vcpu)
{
	glue_counters_free(vcpu->priv->stat);
}

static long stats_fd(struct vm *vm, struct vcpu *vcpu)
{
	struct stats *s = host_zalloc(sizeof(*s));
	long ret;

	if (!s)
		return -ENOMEM;
	s->vm = vm;
	s->vcpu = vcpu;
	set_id(s);
	core_vm_get(vm);
	ret = glue_fd_new(vcpu ? GLUE_VCPU_STATS : GLUE_VM_STATS, s, NULL,
			  vcpu ? "kvm-vcpu-stats" : "kvm-vm-stats");
	if (ret < 0)
		core_stats_put(s);
	return ret;
}

/**
 * KVM_GET_STATS_FD on a VM: a descriptor that keeps the VM alive; -ENOMEM or the descriptor's
 * error.
 */
long vm_get_stats_fd(struct vm *vm)
{
	return stats_fd(vm, NULL);
}

/** The same on a vCPU. */
long vcpu_get_stats_fd(struct vcpu *vcpu)
{
	return stats_fd(vcpu->vm, vcpu);
}
