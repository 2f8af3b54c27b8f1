/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * uart.h - a 16550A serial port that is as fast as its host side.
 *
 * The guest's side is uart_ops on eight ports. The host's side is uart_take() and uart_feed(),
 * driven by whoever owns the terminal; the port calls struct uart_host when there is something to
 * do there.
 */
#ifndef VMM_HW_UART_H
#define VMM_HW_UART_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bus.h"

#define UART_FIFO	16
#define UART_OUT	65536	/* bytes of output the host has not taken yet */
#define UART_OUT_HIGH	4096	/* above this the transmitter says that it is busy */
#define UART_IN		4096	/* bytes of input that wait for the FIFO */

struct uart_host {
	/* There is output: take it within a few ms, or now. Any vCPU thread, uart->lock held. */
	void (*output)(void *opaque, bool now);
	/* There is room for input again. Any vCPU thread, uart->lock held. */
	void (*input)(void *opaque);
	void *opaque;
};

struct uart_ring {
	uint8_t *buf;
	unsigned int size, head, len;	/* size: a power of two */
};

struct uart {
	pthread_mutex_t lock;		/* everything below */
	pthread_cond_t out_room;
	struct irq_pin irq;
	struct uart_host host;
	int irq_level;
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	uint8_t lsr_errors;		/* break and overrun, until LSR is read */
	uint8_t msr_delta;
	uint8_t msr_lines;		/* as last shown, for the delta bits */
	bool thre_event;		/* the transmitter ran empty and nobody has looked */
	bool break_pending;		/* for when the FIFO has room */
	bool input_wanted;		/* uart_feed() refused something */
	bool draining;			/* the VM stops: do not wait for room */
	bool out_busy;
	struct uart_ring fifo, in, out;
	uint8_t fifo_buf[UART_FIFO], in_buf[UART_IN], out_buf[UART_OUT];
};

extern const struct bus_ops uart_ops;

void uart_init(struct uart *u, const struct irq_pin *irq, const struct uart_host *host);
void uart_destroy(struct uart *u);
/** State as after power-on; output not yet taken stays. */
void uart_reset(struct uart *u);

/** Take up to @max bytes of output. Their number. */
size_t uart_take(struct uart *u, uint8_t *buf, size_t max);
/** Give input. How many bytes were taken; host.input() is called when there is room again. */
size_t uart_feed(struct uart *u, const uint8_t *buf, size_t len);
/** The other side sends a break. */
void uart_break(struct uart *u);
/** From now on (on) a full output buffer loses bytes and does not wait for the host. */
void uart_drain(struct uart *u, bool on);

#endif
