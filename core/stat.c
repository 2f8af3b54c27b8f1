// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * stat.c - KVM_GET_STATS_FD: counters of a VM or a vCPU as a self-describing file: header, id,
 * descriptors, values, in that order and each at an offset that is a multiple of 8. What was never
 * laid out is computed as it is read.
 */
#include "ioctl.h"

#define NAME_SIZE	48

struct stat_row {
	char name[NAME_SIZE];
	u32 offset;		/* of a u64 in struct vcpu_priv or vm_priv */
};

#define VCPU_STAT(name_, field) { name_, offsetof(struct vcpu_priv, field) }
#define VM_STAT(name_, field) { name_, offsetof(struct vm_priv, field) }

static const struct stat_row vcpu_rows[] = {
	VCPU_STAT("exits", stat_exits),
	VCPU_STAT("io_exits", stat_io_exits),
	VCPU_STAT("mmio_exits", stat_mmio_exits),
	VCPU_STAT("halt_exits", stat_halt_exits),
	VCPU_STAT("halt_wakeup", stat_halt_wakeup),
	VCPU_STAT("irq_injections", stat_irq_injections),
	VCPU_STAT("nmi_injections", stat_nmi_injections),
	VCPU_STAT("irq_window", stat_irq_window_exits),
	VCPU_STAT("signal_exits", stat_signal_exits),
	VCPU_STAT("request_irq_exits", stat_request_irq_exits),
	VCPU_STAT("insn_emulation", stat_insn_emulation),
	VCPU_STAT("hypercalls", stat_hypercalls),
	VCPU_STAT("tlb_flush", stat_tlb_flush),
};

static const struct stat_row vm_rows[] = {
	VM_STAT("remote_tlb_flush", stat_tlb_shootdowns),
	VM_STAT("memslot_changes", stat_slot_changes),
};

/* What a descriptor stands for. It holds a reference on the VM. */
struct stats {
	struct vm *vm;
	struct vcpu *vcpu;	/* NULL: the VM's own */
	char id[NAME_SIZE];
};

static u32 vendor_rows(const struct stats *s)
{
	const struct vendor_ops *v = s->vm->vendor;
	u32 n = 0;

	if (s->vcpu && v->stat_names && v->stats)
		while (v->stat_names[n])
			n++;
	return n;
}

static u32 own_rows(const struct stats *s)
{
	return s->vcpu ? ARRAY_SIZE(vcpu_rows) : ARRAY_SIZE(vm_rows);
}

/* The descriptor of counter i, name included. */
static void fill_desc(const struct stats *s, u32 i, struct kvm_stats_desc *d, char *name)
{
	const char *from;
	u32 n;

	host_memset(d, 0, sizeof(*d));
	host_memset(name, 0, NAME_SIZE);
	d->flags = KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10;
	d->size = 1;
	d->offset = i * sizeof(u64);
	if (i < own_rows(s))
		from = s->vcpu ? vcpu_rows[i].name : vm_rows[i].name;
	else
		from = s->vm->vendor->stat_names[i - own_rows(s)];
	for (n = 0; n < NAME_SIZE - 1 && from[n]; n++)
		name[n] = from[n];
}

static u64 value(const struct stats *s, u32 i)
{
	const u8 *base = s->vcpu ? (const u8 *)s->vcpu->priv : (const u8 *)s->vm->priv;

	if (i >= own_rows(s))
		return host_load_relaxed(&s->vm->vendor->stats(s->vcpu)[i - own_rows(s)]);
	return host_load_relaxed(
		(const u64 *)(base + (s->vcpu ? vcpu_rows[i].offset : vm_rows[i].offset)));
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

static long stats_fd(struct vm *vm, struct vcpu *vcpu)
{
	struct stats *s = host_zalloc(sizeof(*s));
	char *p;
	long ret;

	if (!s)
		return -ENOMEM;
	s->vm = vm;
	s->vcpu = vcpu;
	p = put_number(put_text(s->id, "kvm-"), vm->priv->serial);
	if (vcpu)
		put_number(put_text(p, "/vcpu-"), vcpu->id);
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
