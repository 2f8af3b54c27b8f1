// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * irqchip.c - the chip as a whole: creation, GSIs, MSIs, EOI, port and memory access,
 * KVM_GET/SET_IRQCHIP.
 */
#include "private.h"

#define LAPIC_TABLE_PAGES \
	((IRQCHIP_MAX_APIC_ID * sizeof(struct lapic *) + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE)

/** See irqchip.h. pins: routes reserved for the client's I/O APIC, split only. -EINVAL, -ENOMEM */
int irqchip_create(struct irqchip **out, const struct irq_sink *sink, void *vm, bool split,
		   unsigned int pins)
{
	struct irqchip *c;

	if (pins > ROUTE_MAX_GSI)
		return -EINVAL;
	c = host_zalloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->sink = sink;
	c->vm = vm;
	c->split = split;
	c->pins = split ? pins : 0;
	c->pit_vector = -1;
	host_spin_init(&c->lock);
	c->lapics = host_pages_alloc(LAPIC_TABLE_PAGES);
	if (!c->lapics)
		goto err_free;
	c->rdomain = host_rdomain_create(IRQCHIP_READ_SLOTS);
	if (!c->rdomain)
		goto err_lapics;
	c->routes = route_defaults(split);
	if (!c->routes)
		goto err_rdomain;
	pic_reset(c);
	ioapic_reset(c);
	*out = c;
	return 0;

err_rdomain:
	host_rdomain_destroy(c->rdomain);
err_lapics:
	host_pages_free(c->lapics, LAPIC_TABLE_PAGES);
err_free:
	host_free(c);
	return -ENOMEM;
}

/** All local APICs must be destroyed before, and nobody may raise interrupts any more. */
void irqchip_destroy(struct irqchip *c)
{
	if (!c)
		return;
	pit_destroy(c);
	host_free(c->routes);
	host_rdomain_destroy(c->rdomain);
	host_pages_free(c->lapics, LAPIC_TABLE_PAGES);
	host_free(c);
}

void irqchip_set_lint0(struct irqchip *c, bool open)
{
	host_store_relaxed(&c->lint0_masked, !open);
}

void irqchip_set_x2apic_api(struct irqchip *c, u64 flags)
{
	c->x2apic_api = flags;
}

int irqchip_set_routing(struct irqchip *c, const struct kvm_irq_routing_entry *e, u32 nr)
{
	struct route_table *new, *old;
	int ret;

	ret = route_build(c, e, nr, &new);
	if (ret)
		return ret;
	old = host_xchg(&c->routes, new);
	host_read_lock(c->rdomain, HOST_READ_SHARED);
	host_spin_lock(&c->lock);
	ioapic_update_pit_vector(c);
	host_spin_unlock(&c->lock);
	host_read_unlock(c->rdomain, HOST_READ_SHARED);
	host_synchronize(c->rdomain);
	host_free(old);
	return 0;
}

/* ---- interrupts in ---- */

static int msi_deliver(struct irqchip *c, u64 addr, u32 data)
{
	struct apic_msg msg;

	msi_decode(c->x2apic_api, addr, data, &msg);
	return apic_deliver(c, NULL, &msg);
}

int irqchip_send_msi(struct irqchip *c, u64 addr, u32 data)
{
	int r;

	if ((c->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS) && (addr >> 32 & 0xff))
		return -EINVAL;
	host_read_lock(c->rdomain, HOST_READ_SHARED);
	r = msi_deliver(c, addr, data);
	host_read_unlock(c->rdomain, HOST_READ_SHARED);
	return max(r, 0);
}

static void add_result(int *sum, int r)
{
	if (r >= 0)
		*sum = r + max(*sum, 0);
}

/* chip->lock held. */
static int set_pins(struct irqchip *c, const struct route *r, unsigned int source, int level)
{
	unsigned int i;
	int ret = -1;

	for (i = 0; i < 2; i++)
		if (r->pic[i] >= 0)
			add_result(&ret, pic_set_pin(c, i * 8 + r->pic[i], source, level));
	if (r->ioapic >= 0)
		add_result(&ret, ioapic_set_pin(c, r->ioapic, source, level));
	return ret;
}

static int drive_gsi(struct irqchip *c, unsigned int source, u32 gsi, int level, bool pulse)
{
	const struct route *r;
	int ret = -1;

	if (source > IRQ_SOURCE_PIT)
		return -EINVAL;
	host_read_lock(c->rdomain, HOST_READ_SHARED);
	r = route_lookup(host_load_acquire(&c->routes), gsi);
	if (!r)
		goto out;
	if (r->msi) {
		if (level)
			ret = msi_deliver(c, (u64)r->addr_hi << 32 | r->addr_lo, r->data);
		goto out;
	}
	host_spin_lock(&c->lock);
	ret = set_pins(c, r, source, level);
	if (pulse)
		set_pins(c, r, source, 0);
	host_spin_unlock(&c->lock);
out:
	host_read_unlock(c->rdomain, HOST_READ_SHARED);
	return ret;
}

int irqchip_set_gsi(struct irqchip *c, unsigned int source, u32 gsi, int level)
{
	return drive_gsi(c, source, gsi, level, false);
}

int irqchip_pulse_gsi(struct irqchip *c, unsigned int source, u32 gsi)
{
	return drive_gsi(c, source, gsi, 1, true);
}

/* ---- interrupts acknowledged ---- */

static void eoi_note(struct irqchip *c, int gsi, struct eoi_list *eoi)
{
	const struct route *r;
	unsigned int i;

	if (gsi < 0)
		return;
	r = route_lookup(host_load_acquire(&c->routes), gsi);
	for (i = 0; r && i < 2; i++)
		if (r->pic[i] >= 0 && (c->pic_line[i * 8 + r->pic[i]] & 1U << IRQ_SOURCE_RESAMPLE))
			pic_set_pin(c, i * 8 + r->pic[i], IRQ_SOURCE_RESAMPLE, false);
	if (r && r->ioapic >= 0 && (c->ioapic_line[r->ioapic] & 1U << IRQ_SOURCE_RESAMPLE))
		ioapic_set_pin(c, r->ioapic, IRQ_SOURCE_RESAMPLE, false);
	for (i = 0; i < eoi->n; i++)
		if (eoi->gsi[i] == gsi)
			return;
	if (eoi->n < ARRAY_SIZE(eoi->gsi))
		eoi->gsi[eoi->n++] = gsi;
}

void eoi_note_pic(struct irqchip *c, unsigned int pin, struct eoi_list *eoi)
{
	eoi_note(c, host_load_acquire(&c->routes)->pic_gsi[pin], eoi);
}

void eoi_note_ioapic(struct irqchip *c, unsigned int pin, struct eoi_list *eoi)
{
	eoi_note(c, host_load_acquire(&c->routes)->ioapic_gsi[pin], eoi);
}

/* Tell the outside, with no lock held: what it does may come back as irqchip_set_gsi(). */
static void eoi_tell(struct irqchip *c, const struct eoi_list *eoi)
{
	u32 i;

	for (i = 0; i < eoi->n; i++) {
		if (!eoi->gsi[i])
			pit_acked(c);
		c->sink->gsi_eoi(c->vm, eoi->gsi[i]);
	}
}

/*
 * Split: the client's I/O APIC speaks through level-triggered MSI routes below its number of pins.
 */
static bool client_wants_eoi(struct irqchip *c, u8 vector)
{
	const struct route_table *t = host_load_acquire(&c->routes);
	u32 gsi, n = min_t(u32, c->pins, t->nr);
	struct apic_msg msg;

	for (gsi = 0; gsi < n; gsi++) {
		if (!t->route[gsi].msi)
			continue;
		msi_decode(0, t->route[gsi].addr_lo, t->route[gsi].data, &msg);
		if (msg.level && msg.vector == vector)
			return true;
	}
	return false;
}

void irqchip_eoi(struct lapic *l, u8 vector)
{
	struct irqchip *c = l->chip;
	u32 slot = lapic_read_slot(l);
	struct eoi_list eoi;
	bool tell;

	eoi.n = 0;
	host_read_lock(c->rdomain, slot);
	if (c->split) {
		tell = client_wants_eoi(c, vector);
		host_read_unlock(c->rdomain, slot);
		if (tell)
			c->sink->eoi_exit(l->owner, vector);
		return;
	}
	host_spin_lock(&c->lock);
	ioapic_eoi(c, vector, &eoi);
	host_spin_unlock(&c->lock);
	host_read_unlock(c->rdomain, slot);
	eoi_tell(c, &eoi);
}

int irqchip_pic_ack(struct irqchip *c)
{
	struct eoi_list eoi;
	int vector;

	if (c->split)
		return -1;
	eoi.n = 0;
	host_read_lock(c->rdomain, HOST_READ_SHARED);
	host_spin_lock(&c->lock);
	vector = pic_ack(c, &eoi);
	host_spin_unlock(&c->lock);
	host_read_unlock(c->rdomain, HOST_READ_SHARED);
	eoi_tell(c, &eoi);
	return vector;
}

bool irqchip_pic_pending(struct irqchip *c)
{
	return host_load_relaxed(&c->pic_output);
}

/* ---- access by the guest ---- */

bool irqchip_mmio(struct irqchip *c, u64 gpa, void *data, unsigned int len, bool write)
{
	unsigned int offset, shift;
	u32 val = 0;

	if (c->split || gpa < IOAPIC_BASE || gpa - IOAPIC_BASE >= IOAPIC_LEN ||
	    len > IOAPIC_LEN - (gpa - IOAPIC_BASE))
		return false;
	offset = (gpa - IOAPIC_BASE) & ~0xfU;
	shift = (gpa - IOAPIC_BASE) & 0xf;
	if (write && shift)
		/* registers are on 16-byte steps, nothing is between them */
		return true;
	host_read_lock(c->rdomain, HOST_READ_SHARED);
	host_spin_lock(&c->lock);
	if (write) {
		host_memcpy(&val, data, min_t(unsigned int, len, 4));
		ioapic_write(c, offset, val);
	} else {
		val = ioapic_read(c, offset);
		host_memset(data, 0, len);
		if (shift < 4)
			host_memcpy(data, (u8 *)&val + shift, min_t(unsigned int, len, 4 - shift));
	}
	host_spin_unlock(&c->lock);
	host_read_unlock(c->rdomain, HOST_READ_SHARED);
	return true;
}

static bool pio_byte(struct irqchip *c, u16 port, u8 *val, bool write)
{
	struct eoi_list eoi;
	bool done;

	if (pit_port(c, port, val, write))
		return true;
	eoi.n = 0;
	host_read_lock(c->rdomain, HOST_READ_SHARED);
	host_spin_lock(&c->lock);
	done = pic_port(c, port, val, write, &eoi);
	host_spin_unlock(&c->lock);
	host_read_unlock(c->rdomain, HOST_READ_SHARED);
	eoi_tell(c, &eoi);
	return done;
}

/* Cheap answer for the many ports that are not ours. */
static bool port_is_ours(const struct irqchip *c, u16 port)
{
	switch (port) {
	case 0x20: case 0x21: case 0xa0: case 0xa1: case 0x4d0: case 0x4d1:
		return true;
	case 0x40 ... 0x43: case 0x61:
		return host_load_acquire(&c->pit);
	default:
		return false;
	}
}

bool irqchip_pio(struct irqchip *c, u16 port, void *data, unsigned int len, bool write)
{
	u8 *bytes = data;
	unsigned int i;

	if (c->split || !port_is_ours(c, port) || !port_is_ours(c, port + len - 1))
		return false;		/* a part of it is the client's, and so is all of it */
	if (!pio_byte(c, port, bytes, write))
		return false;
	/* An 8-bit bus: a wide access is so many byte accesses. */
	for (i = 1; i < len; i++)
		if (!pio_byte(c, port + i, &bytes[i], write) && !write)
			bytes[i] = 0xff;
	return true;
}

/* ---- state ---- */

int irqchip_get(struct irqchip *c, struct kvm_irqchip *chip)
{
	int ret = 0;

	if (c->split)
		return -ENXIO;
	host_spin_lock(&c->lock);
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_get(c, chip->chip_id, &chip->chip.pic);
		break;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_get(c, &chip->chip.ioapic);
		break;
	default:
		ret = -EINVAL;
		break;
	}
	host_spin_unlock(&c->lock);
	return ret;
}

int irqchip_set(struct irqchip *c, const struct kvm_irqchip *chip)
{
	int ret = 0;

	if (c->split)
		return -ENXIO;
	host_read_lock(c->rdomain, HOST_READ_SHARED);
	host_spin_lock(&c->lock);
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_set(c, chip->chip_id, &chip->chip.pic);
		break;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_set(c, &chip->chip.ioapic);
		break;
	default:
		ret = -EINVAL;
		break;
	}
	host_spin_unlock(&c->lock);
	host_read_unlock(c->rdomain, HOST_READ_SHARED);
	return ret;
}
