/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* term.h - this terminal as the guest's serial console. */
#ifndef VMM_TERM_H
#define VMM_TERM_H

#include "hw/uart.h"
#include "loop.h"

struct term {
	struct loop *loop;
	struct uart *uart;
	void (*quit)(void *opaque);	/* Ctrl-A x. Main thread. */
	void *opaque;
	struct loop_source in;
	struct loop_timer out;
	bool watching;			/* in is a source of the loop */
	bool tty;			/* input is a terminal: never stop listening for Ctrl-A x */
	bool escape;			/* Ctrl-A was the last key */
	bool in_file;			/* input is a regular file: no waiting for it */
	bool out_gone;			/* nobody reads the output any more */
	bool own_out;			/* out_fd is ours to close */
	int out_fd;
	struct loop_timer in_retry;
	size_t held_at, held;		/* input read and not yet taken by the port: held[at..] */
	uint8_t in_buf[1024];
	uint8_t out_buf[4096];
	size_t out_at, out_len;		/* output taken from the port and not yet written */
};

/** Prepare; the port's other side is term_uart_host(). 0 or -errno. */
int term_init(struct term *t, struct loop *loop, void (*quit)(void *), void *opaque);
struct uart_host term_uart_host(struct term *t);

/** Raw mode, and begin to listen. */
void term_start(struct term *t, struct uart *uart);
/**
 * Write out everything (giving up if nobody reads for a second), stop listening, give the terminal
 * back.
 */
void term_stop(struct term *t);
void term_destroy(struct term *t);

/** The terminal's modes as they were found. Safe in a signal handler and at exit. */
void term_restore(void);
/** Raw mode again, after the process was stopped and continued. */
void term_raw_again(void);

#endif
