// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * pit.c - the 8254 (ports 40 to 43) and the port 0x61 gate of its speaker channel. Intel 8254 data
 * sheet.
 *
 * Nothing counts here: a channel's counter and output follow from the time since its count was
 * loaded. Only channel 0 has a timer, for its interrupt. chip->lock covers all of it; the interrupt
 * is raised with the lock dropped.
 */
#include "private.h"

#define PIT_HZ		1193182ULL
#define NS_PER_S	1000000000ULL
/* 200 us, as for the local APIC: a guest must not keep the host busy with ticks. */
#define MIN_PERIOD	239		/* PIT clocks */
#define MAX_PENDING	(1U << 20)

/* read_state, write_state and count_latched of KVM's state */
enum { RW_LSB = 1, RW_MSB = 2, RW_WORD0 = 3, RW_WORD1 = 4 };

#define CTRL_CHANNEL	GENMASK(7, 6)
#define CTRL_ACCESS	GENMASK(5, 4)
#define CTRL_MODE	GENMASK(3, 1)
#define CTRL_BCD	BIT(0)
#define READBACK_NO_COUNT	BIT(5)
#define READBACK_NO_STATUS	BIT(4)
#define STATUS_OUT	BIT(7)
#define STATUS_NULL	BIT(6)
#define MODE_NONE	0xff		/* since power-up nobody has programmed the channel */

#define P61_GATE	BIT(0)
#define P61_SPEAKER	BIT(1)
#define P61_REFRESH	BIT(4)
#define P61_OUT2	BIT(5)

static u64 ns_to_clocks(u64 ns)
{
	return ns / NS_PER_S * PIT_HZ + ns % NS_PER_S * PIT_HZ / NS_PER_S;
}

/* Rounded up: when that time has passed, so have the clocks. */
static u64 clocks_to_ns(u64 clocks)
{
	return clocks / PIT_HZ * NS_PER_S + (clocks % PIT_HZ * NS_PER_S + PIT_HZ - 1) / PIT_HZ;
}

static bool waits_for_gate(const struct pit_channel *ch)
{
	return ch->s.mode == 1 || ch->s.mode == 5;
}

/* Clocks counted since the count was loaded or triggered. */
static u64 clocks(const struct pit_channel *ch, u64 now)
{
	if (ch->null_count || (waits_for_gate(ch) && !ch->triggered))
		return 0;
	if (!ch->s.gate && !waits_for_gate(ch))
		return ns_to_clocks(ch->frozen);
	return ns_to_clocks(now - ch->s.count_load_time);
}

static u32 count_range(const struct pit_channel *ch)
{
	return ch->s.bcd ? 10000 : 0x10000;
}

static u16 to_bcd(u32 val)
{
	return val / 1000 % 10 << 12 | val / 100 % 10 << 8 | val / 10 % 10 << 4 | val % 10;
}

/* The counting element as software reads it. */
static u16 counter(const struct pit_channel *ch, u64 now)
{
	u32 count = ch->s.count, range = count_range(ch), val;
	u64 d = clocks(ch, now);

	switch (ch->s.mode) {
	case 2:
		val = count - d % count;
		break;
	case 3:
		val = count - 2 * d % count;
		break;
	default:
		val = (count + range - d % range) % range;	/* runs on below zero */
		break;
	}
	return ch->s.bcd ? to_bcd(val) : val;
}

static bool output(const struct pit_channel *ch, u64 now)
{
	u32 count = ch->s.count;
	u64 d = clocks(ch, now);

	if (ch->null_count)
		return ch->s.mode != 0;
	switch (ch->s.mode) {
	case 0:
		return d >= count;
	case 1:
		return !ch->triggered || d >= count;
	case 2:
		return !ch->s.gate || d % count != count - 1;
	case 3:
		return !ch->s.gate || d % count < (count + 1) / 2;
	case 4:
		return d != count;
	case 5:
		return !ch->triggered || d != count;
	default:
		return true;
	}
}

/* ---- channel 0's interrupt ---- */

/* Clocks from one interrupt to the next; modes 0 and 4 have only one, as soon as asked for. */
static u32 period(const struct pit_channel *ch)
{
	return ch->s.mode == 2 || ch->s.mode == 3 ? max_t(u32, ch->s.count, MIN_PERIOD)
						  : ch->s.count;
}

static void timer_stop(struct pit *p)
{
	if (p->target)
		host_timer_cancel(&p->timer);
	p->target = 0;
}

static void timer_set(struct pit *p, u64 round)
{
	const struct pit_channel *ch = &p->ch[0];

	p->round = round;
	p->target = ch->s.count_load_time + clocks_to_ns(round * period(ch));
	host_timer_arm(&p->timer, p->target);
}

/* The channel counts from count_load_time on: arm the next rise of its output. */
static void timer_start(struct pit *p, u64 now)
{
	const struct pit_channel *ch = &p->ch[0];
	u64 passed = clocks(ch, now);

	timer_stop(p);
	if (ch->null_count || (p->flags & KVM_PIT_FLAGS_HPET_LEGACY))
		return;
	switch (ch->s.mode) {
	case 0:
	case 4:
		if (passed < ch->s.count)
			timer_set(p, 1);
		break;
	case 2:
	case 3:
		timer_set(p, passed / period(ch) + 1);
		break;
	}
}

/* One tick to GSI 0. The answer tells whether there will be an EOI to wait for. */
static void raise(struct pit *p)
{
	if (irqchip_pulse_gsi(p->chip, IRQ_SOURCE_PIT, 0) >= 0)
		return;
	host_spin_lock(&p->chip->lock);
	p->wait_ack = false;
	p->pending = 0;
	host_spin_unlock(&p->chip->lock);
}

/* Take a tick that may be raised now. chip->lock held. */
static bool take_tick(struct pit *p)
{
	if (!p->pending || p->wait_ack)
		return false;
	p->pending--;
	p->wait_ack = true;
	return true;
}

static void timer_fn(struct host_timer *t)
{
	struct pit *p = container_of(t, struct pit, timer);
	struct pit_channel *ch = &p->ch[0];
	bool tick = false;
	u64 now, next;

	host_spin_lock(&p->chip->lock);
	now = host_monotonic_ns();
	if (!p->target || now < p->target)
		goto out;
	if (ch->s.mode == 2 || ch->s.mode == 3) {
		next = max_t(u64, p->round, clocks(ch, now) / period(ch)) + 1;
		p->pending = min_t(u64, p->pending + (next - p->round), MAX_PENDING);
		timer_set(p, next);
	} else {
		p->pending++;
		p->target = 0;
	}
	if (p->reinject) {
		tick = take_tick(p);
	} else {
		p->pending = 0;
		tick = true;
	}
out:
	host_spin_unlock(&p->chip->lock);
	if (tick)
		raise(p);
}

void pit_acked(struct irqchip *c)
{
	struct pit *p = host_load_acquire(&c->pit);
	bool tick;

	if (!p)
		return;
	host_spin_lock(&c->lock);
	p->wait_ack = false;
	tick = p->reinject && take_tick(p);
	host_spin_unlock(&c->lock);
	if (tick)
		raise(p);
}

void pit_unmasked(struct irqchip *c)
{
	if (!c->pit)
		return;
	c->pit->pending = 0;
	c->pit->wait_ack = false;
}

/* ---- programming ---- */

static void load(struct pit *p, unsigned int n, u16 val)
{
	struct pit_channel *ch = &p->ch[n];
	u64 now = host_monotonic_ns();
	u32 count = val;

	if (ch->s.bcd)
		count = (val >> 12) * 1000 + (val >> 8 & 0xf) * 100 + (val >> 4 & 0xf) * 10 +
			(val & 0xf);
	ch->s.count = count ? count : count_range(ch);
	ch->null_count = false;
	/* In modes 1 and 5 the count waits for the gate to rise. */
	if (waits_for_gate(ch) && ch->triggered)
		return;
	ch->s.count_load_time = now;
	ch->frozen = 0;
	if (n == 0)
		timer_start(p, now);
}

static void write_count(struct pit *p, unsigned int n, u8 val)
{
	struct pit_channel *ch = &p->ch[n];

	switch (ch->s.write_state) {
	case RW_MSB:
		load(p, n, val << 8);
		break;
	case RW_WORD0:
		ch->s.write_latch = val;
		ch->s.write_state = RW_WORD1;
		if (ch->s.mode == 0) {	/* the first byte stops the count */
			ch->null_count = true;
			if (n == 0)
				timer_stop(p);
		}
		break;
	case RW_WORD1:
		ch->s.write_state = RW_WORD0;
		load(p, n, ch->s.write_latch | val << 8);
		break;
	default:
		load(p, n, val);
		break;
	}
}

static void latch_count(struct pit_channel *ch, u64 now)
{
	if (ch->s.count_latched)
		return;
	ch->s.latched_count = counter(ch, now);
	ch->s.count_latched = ch->s.rw_mode;
}

static void latch_status(struct pit_channel *ch, u64 now)
{
	if (ch->s.status_latched)
		return;
	ch->s.status = (output(ch, now) ? STATUS_OUT : 0) | (ch->null_count ? STATUS_NULL : 0) |
		       ch->s.rw_mode << 4 | (ch->s.mode & 7) << 1 | ch->s.bcd;
	ch->s.status_latched = 1;
}

static u8 read_count(struct pit_channel *ch, u64 now)
{
	struct kvm_pit_channel_state *s = &ch->s;

	if (s->status_latched) {
		s->status_latched = 0;
		return s->status;
	}
	switch (s->count_latched) {
	case 0:
		break;
	case RW_MSB:
		s->count_latched = 0;
		return s->latched_count >> 8;
	case RW_WORD0:
		s->count_latched = RW_MSB;
		return s->latched_count;
	default:
		s->count_latched = 0;
		return s->latched_count;
	}
	switch (s->read_state) {
	case RW_MSB:
		return counter(ch, now) >> 8;
	case RW_WORD0:
		s->read_state = RW_WORD1;
		return counter(ch, now);
	case RW_WORD1:
		s->read_state = RW_WORD0;
		return counter(ch, now) >> 8;
	default:
		return counter(ch, now);
	}
}

static void write_control(struct pit *p, u8 val)
{
	unsigned int n = FIELD_GET(CTRL_CHANNEL, val), access = FIELD_GET(CTRL_ACCESS, val), i;
	u64 now = host_monotonic_ns();
	struct pit_channel *ch;

	if (n == 3) {
		for (i = 0; i < 3; i++) {
			if (!(val & BIT(1 + i)))
				continue;
			if (!(val & READBACK_NO_COUNT))
				latch_count(&p->ch[i], now);
			if (!(val & READBACK_NO_STATUS))
				latch_status(&p->ch[i], now);
		}
		return;
	}
	ch = &p->ch[n];
	if (!access) {
		latch_count(ch, now);
		return;
	}
	ch->s.rw_mode = ch->s.read_state = ch->s.write_state = access;
	ch->s.mode = FIELD_GET(CTRL_MODE, val);
	if (ch->s.mode > 5)
		ch->s.mode &= 3;		/* the top bit is not looked at for 2 and 3 */
	ch->s.bcd = val & CTRL_BCD;
	ch->s.count_latched = 0;
	ch->s.status_latched = 0;
	ch->null_count = true;
	ch->triggered = false;
	ch->frozen = 0;
	if (n == 0)
		timer_stop(p);
}

static void set_gate(struct pit_channel *ch, bool gate)
{
	u64 now = host_monotonic_ns();

	if (gate == ch->s.gate)
		return;
	ch->s.gate = gate;
	if (!gate) {
		ch->frozen = now - ch->s.count_load_time;
	} else if (ch->s.mode == 0 || ch->s.mode == 4) {
		ch->s.count_load_time = now - ch->frozen;	/* goes on */
	} else {
		ch->s.count_load_time = now;			/* starts over */
		ch->triggered = true;
	}
}

static u8 read_port61(struct pit *p)
{
	u64 now = host_monotonic_ns();
	u8 val = 0;

	if (p->ch[2].s.gate)
		val |= P61_GATE;
	if (p->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON)
		val |= P61_SPEAKER;
	if (now >> 14 & 1)			/* memory refresh: toggles every 15 us or so */
		val |= P61_REFRESH;
	if (output(&p->ch[2], now))
		val |= P61_OUT2;
	return val;
}

static void write_port61(struct pit *p, u8 val)
{
	if (val & P61_SPEAKER)
		p->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	else
		p->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	set_gate(&p->ch[2], val & P61_GATE);
}

/** One byte at ports 40 to 43 or 61; false: not ours. */
bool pit_port(struct irqchip *c, u16 port, u8 *val, bool write)
{
	struct pit *p = host_load_acquire(&c->pit);
	bool ours = true;

	if (!p)
		return false;
	host_spin_lock(&c->lock);
	switch (port) {
	case 0x40: case 0x41: case 0x42:
		if (write)
			write_count(p, port & 3, *val);
		else
			*val = read_count(&p->ch[port & 3], host_monotonic_ns());
		break;
	case 0x43:
		if (write)
			write_control(p, *val);
		else
			*val = 0xff;		/* write-only */
		break;
	case 0x61:
		ours = p->speaker_port;
		if (ours && write)
			write_port61(p, *val);
		else if (ours)
			*val = read_port61(p);
		break;
	default:
		ours = false;
		break;
	}
	host_spin_unlock(&c->lock);
	return ours;
}

/* ---- life and state ---- */

/** KVM_CREATE_PIT2. -ENOENT: no PIC in this chip; -EEXIST; -ENOMEM */
int pit_create(struct irqchip *c, u32 flags)
{
	struct pit *p;
	unsigned int i;

	if (c->split)
		return -ENOENT;
	p = host_zalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->chip = c;
	p->speaker_port = flags & KVM_PIT_SPEAKER_DUMMY;
	p->reinject = true;
	for (i = 0; i < 3; i++) {
		p->ch[i].s.mode = MODE_NONE;
		p->ch[i].s.gate = i != 2;
		p->ch[i].s.count = 0x10000;
		p->ch[i].s.count_load_time = host_monotonic_ns();
		p->ch[i].null_count = true;
	}
	host_timer_init(&p->timer, timer_fn);
	if (host_cmpxchg(&c->pit, NULL, p)) {
		host_timer_cancel_sync(&p->timer);
		host_free(p);
		return -EEXIST;
	}
	return pit_reinject(c, true);
}

void pit_destroy(struct irqchip *c)
{
	struct pit *p = c->pit;

	if (!p)
		return;
	host_spin_lock(&c->lock);
	timer_stop(p);
	host_spin_unlock(&c->lock);
	host_timer_cancel_sync(&p->timer);
	c->pit = NULL;
	host_free(p);
}

int pit_reinject(struct irqchip *c, bool on)
{
	struct pit *p = host_load_acquire(&c->pit);

	if (!p)
		return -ENXIO;
	host_read_lock(c->rdomain, HOST_READ_SHARED);
	host_spin_lock(&c->lock);
	p->reinject = on;
	pit_unmasked(c);
	ioapic_update_pit_vector(c);
	host_spin_unlock(&c->lock);
	host_read_unlock(c->rdomain, HOST_READ_SHARED);
	return 0;
}

int pit_get(struct irqchip *c, struct kvm_pit_state2 *s)
{
	struct pit *p = host_load_acquire(&c->pit);
	unsigned int i;

	if (!p)
		return -ENXIO;
	host_memset(s, 0, sizeof(*s));
	host_spin_lock(&c->lock);
	for (i = 0; i < 3; i++)
		s->channels[i] = p->ch[i].s;
	s->flags = p->flags;
	host_spin_unlock(&c->lock);
	return 0;
}

static void set_channel(struct pit_channel *ch, const struct kvm_pit_channel_state *new, u64 now)
{
	struct kvm_pit_channel_state *s = &ch->s;

	*s = *new;
	s->bcd &= 1;
	s->gate = !!s->gate;
	s->status_latched = !!s->status_latched;
	if (!s->count || s->count > count_range(ch))
		s->count = count_range(ch);
	if (s->count_load_time < 0 || (u64)s->count_load_time > now)
		s->count_load_time = now;
	if (s->mode > 5)
		s->mode = MODE_NONE;
	ch->null_count = s->mode == MODE_NONE;
	ch->triggered = s->gate;
	ch->frozen = now - s->count_load_time;
}

int pit_set(struct irqchip *c, const struct kvm_pit_state2 *s)
{
	struct pit *p = host_load_acquire(&c->pit);
	u64 now = host_monotonic_ns();
	unsigned int i;

	if (!p)
		return -ENXIO;
	host_spin_lock(&c->lock);
	for (i = 0; i < 3; i++)
		set_channel(&p->ch[i], &s->channels[i], now);
	p->flags = s->flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	/* no line drives these two gates */
	p->ch[0].s.gate = p->ch[1].s.gate = 1;
	p->ch[0].triggered = p->ch[1].triggered = false;
	pit_unmasked(c);
	timer_start(p, now);
	host_spin_unlock(&c->lock);
	return 0;
}
