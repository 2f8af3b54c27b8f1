// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * io.c - where port and memory-mapped I/O go: the interrupt controllers and ioeventfds in core, the
 * coalesced ring, or the client as KVM_EXIT_IO and KVM_EXIT_MMIO, and how those complete. The rules
 * are those of Linux's Documentation/virt/kvm/api.rst, section 5 (struct kvm_run).
 *
 * A read that the client must answer stops the emulator before the instruction has changed
 * anything; when the answer is there the instruction runs again and takes it from replay. A write
 * waits until its instruction has retired, so that the client sees the state after it. Outside
 * core's own emulation (collecting unset: a vendor calls the ops from within the guest) what the
 * client must do is refused with -EAGAIN, and the vendor leaves with EXIT_EMULATE.
 */
#include "private.h"

#define PIO_DATA_OFFSET	HV_PAGE_SIZE
#define MMIO_PIECE	8u

static u8 *pio_data(struct vcpu *v)
{
	return (u8 *)v->run + PIO_DATA_OFFSET;
}

/**
 * Before an instruction. @resumed: it is the one that waited for the client, and its answers are
 * kept.
 */
void io_begin(struct vcpu *v, bool resumed)
{
	struct io_state *io = &v->priv->io;

	io->want = WANT_NONE;
	io->queued = QUEUED_NONE;
	io->mem_error = false;
	io->replay_pos = 0;
	if (!resumed) {
		io->nr_replay = 0;
		io->pio_ready = false;
		v->priv->msr_exit.reply_ready = v->priv->hypercall.reply_ready = false;
	}
}

/* ---- devices in core ------------------------------------------------------------------------- */

/* Also where no APIC answers there: KVM fills the hole with ones, unless the client wants to. */
static bool lapic_page(struct vcpu *v, gpa_t gpa)
{
	if (!v->lapic || (gpa & HV_PAGE_MASK) != (lapic_base_msr(v->lapic) & HV_PAGE_MASK))
		return false;
	return (lapic_enabled(v->lapic) && !lapic_x2apic(v->lapic)) ||
	       vm_has_quirk(v->vm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
}

/* KVM_TPR_ACCESS_REPORTING: the client wants to hear of this access. SDM 3A table 11-1 */
static bool tpr_reported(struct vcpu *v, gpa_t gpa)
{
	return unlikely(v->priv->tpr_reporting) && (gpa & ~HV_PAGE_MASK) == LAPIC_TPR_OFFSET &&
	       lapic_page(v, gpa);
}

static void note_tpr_access(struct vcpu *v, u64 rip, bool write)
{
	struct vcpu_priv *p = v->priv;

	p->tpr_access.pending = true;
	p->tpr_access.write = write;
	p->tpr_access.rip = rip;
}

static bool core_mmio_read(struct vcpu *v, gpa_t gpa, void *buf, unsigned int len)
{
	if (lapic_page(v, gpa))
		return lapic_mmio(v->lapic, gpa & ~HV_PAGE_MASK, buf, len, false);
	return v->vm->irqchip && irqchip_mmio(v->vm->irqchip, gpa, buf, len, false);
}

static bool core_mmio_write(struct vcpu *v, gpa_t gpa, void *buf, unsigned int len)
{
	if (lapic_page(v, gpa))
		return lapic_mmio(v->lapic, gpa & ~HV_PAGE_MASK, buf, len, true);
	if (v->vm->irqchip && irqchip_mmio(v->vm->irqchip, gpa, buf, len, true))
		return true;
	return ioeventfd_write(v->vm, true, gpa, buf, len) ||
	       coalesced_write(v, false, gpa, buf, len);
}

static bool core_pio_write(struct vcpu *v, u16 port, void *data, unsigned int size)
{
	if (v->vm->irqchip && irqchip_pio(v->vm->irqchip, port, data, size, true))
		return true;
	return ioeventfd_write(v->vm, false, port, data, size) ||
	       coalesced_write(v, true, port, data, size);
}

/* ---- memory-mapped --------------------------------------------------------------------------- */

static unsigned int piece_len(const struct io_state *io)
{
	/* A piece does not cross from the first page's part to the second's. */
	u32 end = io->done < io->first_len ? io->first_len : io->len;

	return min(end - io->done, MMIO_PIECE);
}

static gpa_t piece_gpa(const struct io_state *io)
{
	return io->done < io->first_len ? io->gpa[0] + io->done
					: io->gpa[1] + (io->done - io->first_len);
}

static int exit_mmio(struct vcpu *v)
{
	struct io_state *io = &v->priv->io;
	struct kvm_run *run = v->run;
	unsigned int n = piece_len(io);

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = piece_gpa(io);
	run->mmio.len = n;
	run->mmio.is_write = io->is_write;
	host_memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (io->is_write)
		host_memcpy(run->mmio.data, io->data + io->done, n);
	io->pending = true;
	v->priv->stat->mmio_exits++;
	return 0;
}

/*
 * Pieces from io->done on: devices in core take theirs, the first other one is the client's (0);
 * >0: all done.
 */
static int mmio_write_on(struct vcpu *v)
{
	struct io_state *io = &v->priv->io;

	while (io->done < io->len) {
		unsigned int n = piece_len(io);

		if (tpr_reported(v, piece_gpa(io)))
			note_tpr_access(v, io->rip, true);
		if (!core_mmio_write(v, piece_gpa(io), io->data + io->done, n))
			return exit_mmio(v);
		io->done += n;
	}
	return 1;
}

/**
 * Read @len bytes (at most 64, in one page) of device memory. 0; -EAGAIN: the client has to; -EIO:
 * too much.
 */
int io_mmio_read(struct vcpu *v, gva_t gva, gpa_t gpa, void *buf, unsigned int len)
{
	struct io_state *io = &v->priv->io;
	u32 pos = io->replay_pos;

	if (len > sizeof(io->data))
		return -EIO;
	if (io->collecting && pos < io->nr_replay && io->replay[pos].gva == gva &&
	    io->replay[pos].len == len) {
		host_memcpy(buf, io->replay[pos].data, len);
		io->replay_pos++;
		return 0;
	}
	if (tpr_reported(v, gpa)) {
		if (!io->collecting)
			return -EAGAIN;
		note_tpr_access(v, v->st->rip, false);
	}
	if (len <= MMIO_PIECE && core_mmio_read(v, gpa, buf, len))
		return 0;
	/* After a write (REP) the iterations before have to go out first. */
	if (!io->collecting || io->queued != QUEUED_NONE)
		return -EAGAIN;
	if (pos < io->nr_replay)
		/* not the access that was answered: the client changed registers */
		io->nr_replay = pos;
	if (io->nr_replay == ARRAY_SIZE(io->replay))
		return -EIO;
	io->want = WANT_MMIO_READ;
	io->gva = gva;
	io->gpa[0] = gpa;
	io->len = io->first_len = len;
	return -EAGAIN;
}

/** Write @len bytes (in one page) of device or read-only memory. 0, -EAGAIN, -EIO. */
int io_mmio_write(struct vcpu *v, gpa_t gpa, const void *buf, unsigned int len)
{
	struct io_state *io = &v->priv->io;
	u8 copy[MMIO_PIECE];

	if (!io->collecting) {
		if (len > sizeof(copy) || tpr_reported(v, gpa))
			return -EAGAIN;
		host_memcpy(copy, buf, len);
		return core_mmio_write(v, gpa, copy, len) ? 0 : -EAGAIN;
	}
	if (io->queued == QUEUED_NONE && len <= sizeof(io->data)) {
		io->queued = QUEUED_MMIO;
		io->rip = v->st->rip;
		io->gpa[0] = gpa;
		io->len = io->first_len = len;
		host_memcpy(io->data, buf, len);
		return 0;
	}
	/* The second page of the same access; any other second write has to wait for the next run
	 * (REP). */
	if (io->queued == QUEUED_MMIO && io->len == io->first_len && !(gpa & ~HV_PAGE_MASK) &&
	    !((io->gpa[0] + io->len) & ~HV_PAGE_MASK) && io->len + len <= sizeof(io->data)) {
		io->gpa[1] = gpa;
		host_memcpy(io->data + io->len, buf, len);
		io->len += len;
		return 0;
	}
	return -EAGAIN;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static int exit_pio(struct vcpu *v)
{
	struct io_state *io = &v->priv->io;
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = io->is_write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = io->size;
	run->io.port = io->port;
	run->io.count = io->count;
	run->io.data_offset = PIO_DATA_OFFSET;
	io->pending = true;
	v->priv->stat->io_exits++;
	return 0;
}

static void pio_set(struct io_state *io, u16 port, unsigned int size, unsigned int count)
{
	io->port = port;
	io->size = size;
	io->count = count;
}

/* emul_ops.io_in */
int io_port_in(struct emul *e, u16 port, unsigned int size, void *data, unsigned int *count)
{
	struct vcpu *v = e->ctx;
	struct io_state *io = &v->priv->io;
	unsigned int i;

	*count = min_t(unsigned int, *count, HV_PAGE_SIZE / size);
	if (io->collecting && io->pio_ready && port == io->port && size == io->size) {
		*count = min(*count, io->count);
		host_memcpy(data, pio_data(v), *count * size);
		io->pio_ready = false;
		return 0;
	}
	for (i = 0; i < *count; i++)
		if (!v->vm->irqchip ||
		    !irqchip_pio(v->vm->irqchip, port, (u8 *)data + i * size, size, false))
			break;
	if (i) {
		*count = i;
		return 0;
	}
	if (io->collecting && io->queued == QUEUED_NONE) {
		io->want = WANT_PIO_IN;
		pio_set(io, port, size, *count);
	}
	return -EAGAIN;
}

/* emul_ops.io_out */
int io_port_out(struct emul *e, u16 port, unsigned int size, const void *data, unsigned int *count)
{
	struct vcpu *v = e->ctx;
	struct io_state *io = &v->priv->io;
	unsigned int i;

	if (io->queued != QUEUED_NONE)
		return -EAGAIN;
	*count = min_t(unsigned int, *count, HV_PAGE_SIZE / size);
	for (i = 0; i < *count; i++) {
		u64 val = 0;

		host_memcpy(&val, (const u8 *)data + i * size, size);
		if (!core_pio_write(v, port, &val, size))
			break;
	}
	if (i) {
		*count = i;
		return 0;
	}
	if (!io->collecting)
		return -EAGAIN;
	io->queued = QUEUED_PIO;
	pio_set(io, port, size, *count);
	host_memcpy(pio_data(v), data, *count * size);
	return 0;
}

/**
 * EXIT_IO: an IN or OUT without the emulator, where no client's answer and no debugger is involved.
 * As the other handlers of exits: >0 go on, 0 exit to the client, -errno. In a read section.
 */
int vcpu_port_io(struct vcpu *v)
{
	const struct vm_exit_io *x = &v->exit.io;
	struct io_state *io = &v->priv->io;
	struct x86_state *st = v->st;
	unsigned int count = 1;
	u64 data = st->gpr[X86_RAX];

	if (unlikely((st->dr7 & 0xff) || v->priv->debug.control))
		return vcpu_emulate(v, false);
	io_begin(v, false);
	if (x->in) {
		data = 0;
		if (!v->vm->irqchip || !irqchip_pio(v->vm->irqchip, x->port, &data, x->size, false))
			return vcpu_emulate(v, false);
		if (x->size == 4)
			st->gpr[X86_RAX] = (u32)data;
		else
			host_memcpy(&st->gpr[X86_RAX], &data, x->size);
	} else {
		io->collecting = true;
		io_port_out(&v->emul, x->port, x->size, &data, &count);
		io->collecting = false;
	}
	st->rip = x->next_rip;
	st->shadow_sti = st->shadow_movss = 0;
	v->vm->vendor->regs_changed(v, REGS_GPR | REGS_RIP_FLAGS);
	return io_retire(v);
}

/* ---- instruction done, instruction stopped, client done -------------------------------------- */

int io_retire(struct vcpu *v)
{
	struct io_state *io = &v->priv->io;
	u8 queued = io->queued;

	io->nr_replay = io->replay_pos = 0;
	io->want = WANT_NONE;
	io->queued = QUEUED_NONE;
	if (likely(queued == QUEUED_NONE))
		return 1;
	io->is_write = true;
	io->is_mmio = queued == QUEUED_MMIO;
	io->done = 0;
	return io->is_mmio ? mmio_write_on(v) : exit_pio(v);
}

int io_stop(struct vcpu *v)
{
	struct io_state *io = &v->priv->io;
	u8 want = io->want;

	io->want = WANT_NONE;
	io->queued = QUEUED_NONE;
	io->rip = v->st->rip;
	switch (want) {
	case WANT_MMIO_READ:
		io->is_mmio = true;
		io->is_write = false;
		io->done = 0;
		return exit_mmio(v);
	case WANT_PIO_IN:
		io->is_mmio = io->is_write = false;
		return exit_pio(v);
	case WANT_MSR:
		return 0;	/* run is filled */
	default:
		return -EINVAL;
	}
}

/*
 * A piece of a read has come. >0: the instruction may run again; 0: the next piece is with the
 * client.
 */
static int mmio_read_on(struct vcpu *v)
{
	struct io_state *io = &v->priv->io;
	unsigned int n = piece_len(io);

	host_memcpy(io->data + io->done, v->run->mmio.data, n);
	io->done += n;
	if (io->done < io->len)
		return exit_mmio(v);
	io->replay[io->nr_replay].gva = io->gva;
	io->replay[io->nr_replay].len = io->len;
	host_memcpy(io->replay[io->nr_replay].data, io->data, io->len);
	io->nr_replay++;
	return 1;
}

/** The client has done what the last exit asked for. >0: done, *@resume tells if the instruction is
 * to run again; 0: exit once more. In a read section. */
int io_complete(struct vcpu *v, bool *resume)
{
	struct vcpu_priv *p = v->priv;
	struct io_state *io = &p->io;
	int ret;

	*resume = false;
	if (p->hypercall.pending) {
		p->hypercall.pending = false;
		p->hypercall.reply_ready = true;
		p->hypercall.ret = READ_ONCE(v->run->hypercall.ret);
		*resume = true;
		return 1;
	}
	if (p->msr_exit.pending) {
		p->msr_exit.pending = false;
		p->msr_exit.reply_ready = true;
		p->msr_exit.failed = READ_ONCE(v->run->msr.error);
		if (!p->msr_exit.write)
			p->msr_exit.data = READ_ONCE(v->run->msr.data);
		*resume = true;
		return 1;
	}
	io->pending = false;
	if (io->is_write) {
		if (!io->is_mmio)
			return 1;
		io->done += piece_len(io);
		return mmio_write_on(v);
	}
	if (io->is_mmio) {
		ret = mmio_read_on(v);
		if (ret <= 0)
			return ret;
	} else {
		io->pio_ready = true;
	}
	/* An event whose delivery stopped is injected again by inject.c. */
	*resume = !io->delivering;
	io->delivering = false;
	return 1;
}
