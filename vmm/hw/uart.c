// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * uart.c - 16550A serial port (National Semiconductor PC16550D data sheet; register names as
 * there).
 *
 * There is no line and no baud rate: a byte is sent when it is written. Output gathers in a buffer,
 * which the host side empties a moment later, so that a guest that prints byte by byte does not
 * cost a system call for each. If the host side falls behind, the transmitter reports itself busy,
 * as a real one would.
 */
#include <linux/serial_reg.h>
#include <string.h>

#include "uart.h"

#define LSR_READY	(UART_LSR_THRE | UART_LSR_TEMT)
#define MSR_CONNECTED	(UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD)

static void ring_init(struct uart_ring *r, uint8_t *buf, unsigned int size)
{
	*r = (struct uart_ring){ .buf = buf, .size = size };
}

static bool ring_full(const struct uart_ring *r)
{
	return r->len == r->size;
}

static void ring_put(struct uart_ring *r, uint8_t c)
{
	r->buf[(r->head + r->len++) & (r->size - 1)] = c;
}

static uint8_t ring_get(struct uart_ring *r)
{
	uint8_t c = r->buf[r->head];

	r->head = (r->head + 1) & (r->size - 1);
	r->len--;
	return c;
}

static uint8_t uart_lsr(const struct uart *u)
{
	return (u->fifo.len ? UART_LSR_DR : 0) | (u->out_busy ? 0 : LSR_READY) | u->lsr_errors;
}

static uint8_t uart_iir(const struct uart *u)
{
	static const uint8_t trigger[4] = { 1, 4, 8, 14 };
	uint8_t id = UART_IIR_NO_INT;

	if ((u->ier & UART_IER_RLSI) && u->lsr_errors)
		id = UART_IIR_RLSI;
	else if ((u->ier & UART_IER_RDI) && u->fifo.len)
		/* Below the trigger level a real port waits four character times; characters take
		 * no time here. */
		id = !(u->fcr & UART_FCR_ENABLE_FIFO) || u->fifo.len >= trigger[u->fcr >> 6] ?
			UART_IIR_RDI : UART_IIR_RX_TIMEOUT;
	else if ((u->ier & UART_IER_THRI) && u->thre_event)
		id = UART_IIR_THRI;
	else if ((u->ier & UART_IER_MSI) && u->msr_delta)
		id = UART_IIR_MSI;
	return id | (u->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
}

static void uart_update_irq(struct uart *u)
{
	/* On a PC, OUT2 connects the interrupt output to the controller; loopback mode disconnects
	 * it. */
	int level = !(uart_iir(u) & UART_IIR_NO_INT) && (u->mcr & UART_MCR_OUT2) &&
		    !(u->mcr & UART_MCR_LOOP);

	if (level != u->irq_level) {
		u->irq_level = level;
		irq_set(&u->irq, level);
	}
}

/*
 * The other side sends only while we request it (RTS), as with hardware flow control, or once the
 * driver waits for interrupts. So what was typed during boot is not lost when the driver clears the
 * FIFO before it sets RTS.
 */
static bool uart_receiving(const struct uart *u)
{
	return !(u->mcr & UART_MCR_LOOP) && ((u->mcr & UART_MCR_RTS) || (u->ier & UART_IER_RDI));
}

static void uart_fill_fifo(struct uart *u)
{
	unsigned int limit = u->fcr & UART_FCR_ENABLE_FIFO ? UART_FIFO : 1;

	if (!uart_receiving(u))
		return;
	while (u->in.len && u->fifo.len < limit)
		ring_put(&u->fifo, ring_get(&u->in));
	if (u->break_pending && !u->in.len && u->fifo.len < limit) {
		ring_put(&u->fifo, 0);
		u->lsr_errors |= UART_LSR_BI;
		u->break_pending = false;
	}
	if (u->input_wanted && u->in.len <= UART_IN / 2) {
		u->input_wanted = false;
		u->host.input(u->host.opaque);
	}
}

static void uart_transmit(struct uart *u, uint8_t c)
{
	if (u->mcr & UART_MCR_LOOP) {
		if (u->fifo.len < (u->fcr & UART_FCR_ENABLE_FIFO ? UART_FIFO : 1))
			ring_put(&u->fifo, c);
		else
			u->lsr_errors |= UART_LSR_OE;
		u->thre_event = true;
		return;
	}
	while (ring_full(&u->out) && !u->draining) {
		u->host.output(u->host.opaque, true);
		pthread_cond_wait(&u->out_room, &u->lock);
	}
	if (ring_full(&u->out))
		return;
	ring_put(&u->out, c);
	if (u->out.len == 1)
		u->host.output(u->host.opaque, false);
	if (u->out.len == UART_OUT_HIGH) {
		u->out_busy = true;
		u->thre_event = false;
		u->host.output(u->host.opaque, true);
	}
	if (!u->out_busy)
		u->thre_event = true;
}

static uint8_t uart_msr_lines(const struct uart *u)
{
	if (!(u->mcr & UART_MCR_LOOP))
		return MSR_CONNECTED;
	return (u->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
	       (u->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
	       (u->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
	       (u->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static void uart_set_mcr(struct uart *u, uint8_t value)
{
	uint8_t lines, changed;

	u->mcr = value & 0x1f;
	lines = uart_msr_lines(u);
	changed = lines ^ u->msr_lines;
	/* A delta bit lies four below its line; RI counts only its trailing edge. */
	u->msr_delta |= (changed & (UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD)) >> 4;
	if (changed & u->msr_lines & UART_MSR_RI)
		u->msr_delta |= UART_MSR_TERI;
	u->msr_lines = lines;
}

static void uart_set_fcr(struct uart *u, uint8_t value)
{
	/* Switching the FIFOs on or off clears them. There is never anything unsent to clear. */
	if (((value ^ u->fcr) & UART_FCR_ENABLE_FIFO) || (value & UART_FCR_CLEAR_RCVR)) {
		u->fifo.len = 0;
		u->lsr_errors = 0;
	}
	u->fcr = value & UART_FCR_ENABLE_FIFO ? value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK) : 0;
}

static uint64_t uart_read(void *dev, uint64_t offset, unsigned int size)
{
	struct uart *u = dev;
	uint8_t value = 0xff;

	pthread_mutex_lock(&u->lock);
	switch (offset) {
	case UART_RX:
		if (u->lcr & UART_LCR_DLAB) {
			value = u->dll;
			break;
		}
		value = u->fifo.len ? ring_get(&u->fifo) : 0;
		uart_fill_fifo(u);
		uart_update_irq(u);
		break;
	case UART_IER:
		value = u->lcr & UART_LCR_DLAB ? u->dlm : u->ier;
		break;
	case UART_IIR:
		value = uart_iir(u);
		if ((value & 0x0f) == UART_IIR_THRI) {
			u->thre_event = false;
			uart_update_irq(u);
		}
		break;
	case UART_LCR:
		value = u->lcr;
		break;
	case UART_MCR:
		value = u->mcr;
		break;
	case UART_LSR:
		value = uart_lsr(u);
		if (u->lsr_errors) {
			u->lsr_errors = 0;
			uart_update_irq(u);
		}
		break;
	case UART_MSR:
		value = u->msr_lines | u->msr_delta;
		u->msr_delta = 0;
		uart_update_irq(u);
		break;
	case UART_SCR:
		value = u->scr;
		break;
	}
	pthread_mutex_unlock(&u->lock);
	return value;
}

static void uart_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct uart *u = dev;

	pthread_mutex_lock(&u->lock);
	switch (offset) {
	case UART_TX:
		if (u->lcr & UART_LCR_DLAB)
			u->dll = value;
		else
			uart_transmit(u, value);
		break;
	case UART_IER:
		if (u->lcr & UART_LCR_DLAB) {
			u->dlm = value;
			break;
		}
		/* Enabling the transmitter's interrupt while it is empty is an event of its own. */
		if ((value & ~u->ier & UART_IER_THRI) && !u->out_busy)
			u->thre_event = true;
		u->ier = value & 0x0f;
		break;
	case UART_FCR:
		uart_set_fcr(u, value);
		break;
	case UART_LCR:
		u->lcr = value;
		break;
	case UART_MCR:
		uart_set_mcr(u, value);
		break;
	case UART_SCR:
		u->scr = value;
		break;
	}
	uart_fill_fifo(u);
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

const struct bus_ops uart_ops = { .read = uart_read, .write = uart_write, .max_size = 1 };

void uart_init(struct uart *u, const struct irq_pin *irq, const struct uart_host *host)
{
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->out_room, NULL);
	u->irq = *irq;
	u->host = *host;
	u->irq_level = 0;
	u->input_wanted = false;
	u->draining = false;
	u->out_busy = false;
	ring_init(&u->fifo, u->fifo_buf, sizeof(u->fifo_buf));
	ring_init(&u->in, u->in_buf, sizeof(u->in_buf));
	ring_init(&u->out, u->out_buf, sizeof(u->out_buf));
	uart_reset(u);
}

void uart_destroy(struct uart *u)
{
	pthread_cond_destroy(&u->out_room);
	pthread_mutex_destroy(&u->lock);
}

void uart_reset(struct uart *u)
{
	pthread_mutex_lock(&u->lock);
	u->ier = u->lcr = u->mcr = u->scr = u->fcr = u->dlm = 0;
	u->dll = 1;
	u->lsr_errors = 0;
	u->msr_delta = 0;
	u->msr_lines = MSR_CONNECTED;
	u->thre_event = false;
	u->break_pending = false;
	u->fifo.len = 0;
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

size_t uart_take(struct uart *u, uint8_t *buf, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&u->lock);
	while (n < max && u->out.len)
		buf[n++] = ring_get(&u->out);
	if (n)
		pthread_cond_broadcast(&u->out_room);
	if (u->out_busy && u->out.len < UART_OUT_HIGH / 2) {
		u->out_busy = false;
		u->thre_event = true;
		uart_update_irq(u);
	}
	pthread_mutex_unlock(&u->lock);
	return n;
}

size_t uart_feed(struct uart *u, const uint8_t *buf, size_t len)
{
	size_t n = 0;

	pthread_mutex_lock(&u->lock);
	while (n < len && !ring_full(&u->in))
		ring_put(&u->in, buf[n++]);
	if (n < len)
		u->input_wanted = true;
	uart_fill_fifo(u);
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
	return n;
}

void uart_break(struct uart *u)
{
	pthread_mutex_lock(&u->lock);
	u->break_pending = true;
	uart_fill_fifo(u);
	uart_update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

void uart_drain(struct uart *u, bool on)
{
	pthread_mutex_lock(&u->lock);
	u->draining = on;
	pthread_cond_broadcast(&u->out_room);
	pthread_mutex_unlock(&u->lock);
}
