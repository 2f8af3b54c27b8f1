// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * term.c - standard input and output as the guest's serial console.
 *
 * Everything here runs in the main thread, but for the port's two calls, which only arm timers.
 * Nothing blocks: if nobody reads our output, the port fills up and the guest waits, while Ctrl-A x
 * and signals still work.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "term.h"

#define OUTPUT_DELAY_NS	1000000		/* gather output for this long before it is written */
#define RETRY_NS	5000000		/* the reader is slow: try again then */
#define STOP_WAIT_MS	1000
#define KEY_ESCAPE	0x01		/* Ctrl-A */

static const char help_text[] =
	"\r\n"
	"Ctrl-A x       quit\r\n"
	"Ctrl-A b       send a break (Linux: SysRq)\r\n"
	"Ctrl-A Ctrl-A  send Ctrl-A\r\n"
	"Ctrl-A h       this help\r\n";
static const char no_monitor_text[] = "\r\nThere is no monitor. Ctrl-A h lists the keys.\r\n";

/* A process has one controlling terminal; its modes are kept here for signal handlers and exit. */
static struct termios saved_modes, raw_modes;
static volatile sig_atomic_t modes_changed;

void term_restore(void)
{
	if (modes_changed) {
		modes_changed = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &saved_modes);
	}
}

void term_raw_again(void)
{
	if (modes_changed)
		tcsetattr(STDIN_FILENO, TCSANOW, &raw_modes);
}

static void crashed(int sig)
{
	term_restore();
	raise(sig);		/* SA_RESETHAND: the default action now, with its core file */
}

/*
 * Only where a fault would end the process anyway: libanykvm, whose handlers come later, passes on
 * what is not its.
 */
static void catch_crashes(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction sa = { .sa_handler = crashed,
				.sa_flags = SA_RESETHAND | SA_ONSTACK | SA_NODEFER };
	unsigned int i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
}

static bool make_raw(void)
{
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved_modes))
		return false;
	raw_modes = saved_modes;
	cfmakeraw(&raw_modes);
	raw_modes.c_cc[VMIN] = 1;
	raw_modes.c_cc[VTIME] = 0;
	atexit(term_restore);
	catch_crashes();
	modes_changed = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw_modes);
	return true;
}

/* -- output -- */

/*
 * A descriptor for output that does not block. O_NONBLOCK on the one we were given would reach
 * everybody who shares it, such as our shell; a terminal or pipe can be opened a second time
 * instead.
 */
static void open_output(struct term *t)
{
	struct stat st;

	t->out_fd = -1;
	if (!fstat(STDOUT_FILENO, &st) && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)))
		t->out_fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	t->own_out = t->out_fd >= 0;
	if (!t->own_out)
		t->out_fd = STDOUT_FILENO;
}

/* Write what there is. False: the reader is not ready for all of it. */
static bool write_output(struct term *t)
{
	struct pollfd pfd = { .fd = t->out_fd, .events = POLLOUT };
	ssize_t n;

	for (;;) {
		if (t->out_at == t->out_len) {
			t->out_at = 0;
			t->out_len = uart_take(t->uart, t->out_buf, sizeof(t->out_buf));
			if (!t->out_len)
				return true;
		}
		if (t->out_gone) {
			t->out_at = t->out_len;
			continue;
		}
		if (!t->own_out && poll(&pfd, 1, 0) == 0)
			return false;
		n = write(t->out_fd, t->out_buf + t->out_at, t->out_len - t->out_at);
		if (n >= 0)
			t->out_at += n;
		else if (errno == EAGAIN)
			return false;
		else if (errno != EINTR)
			t->out_gone = true;	/* the VM goes on without a listener */
	}
}

static void output_due(void *opaque)
{
	struct term *t = opaque;

	if (!write_output(t))
		loop_timer_set(&t->out, clock_ns() + RETRY_NS);
}

static void uart_output(void *opaque, bool now)
{
	struct term *t = opaque;

	loop_timer_set(&t->out, now ? 1 : clock_ns() + OUTPUT_DELAY_NS);
}

static void say(const char *text)
{
	ssize_t n = write(STDOUT_FILENO, text, strlen(text));

	(void)n;	/* nobody to tell */
}

/* -- input -- */

/* Work off the escape keys; what is for the guest stays in @buf. Its length. */
static size_t filter_keys(struct term *t, uint8_t *buf, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (!t->escape) {
			if (buf[i] == KEY_ESCAPE)
				t->escape = true;
			else
				buf[n++] = buf[i];
			continue;
		}
		t->escape = false;
		switch (buf[i]) {
		case KEY_ESCAPE:
			buf[n++] = KEY_ESCAPE;
			break;
		case 'x':
			t->quit(t->opaque);
			return n;
		case 'b':
			uart_break(t->uart);
			break;
		case 'c':
			say(no_monitor_text);
			break;
		case 'h':
		case '?':
			say(help_text);
			break;
		}
	}
	return n;
}

/* Offer the port what it has not taken yet. False: it is full. */
static bool feed(struct term *t)
{
	size_t n = uart_feed(t->uart, t->in_buf + t->held_at, t->held);

	t->held_at += n;
	t->held -= n;
	return !t->held;
}

static void input_stop(struct term *t)
{
	if (t->watching)
		loop_enable(t->loop, &t->in, false);
	t->in_file = false;
}

/* Read until there is nothing more, or the port is full. */
static void input_ready(void *opaque)
{
	struct term *t = opaque;
	ssize_t n;

	if (t->held && !feed(t)) {
		/* A person types on: what does not fit is lost, as on a real line, but Ctrl-A x is
		 * seen. */
		if (t->tty) {
			t->held = 0;
		} else {
			if (t->watching)
				loop_enable(t->loop, &t->in, false);
			return;
		}
	}
	n = read(STDIN_FILENO, t->in_buf, sizeof(t->in_buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		/* The end of the input is not the end of the VM. */
		input_stop(t);
		return;
	}
	t->held_at = 0;
	t->held = filter_keys(t, t->in_buf, n);
	if (t->held && !feed(t) && !t->tty && t->watching)
		loop_enable(t->loop, &t->in, false);
	if (t->in_file && !t->held)
		loop_timer_set(&t->in_retry, 1);
}

/* The port has room again. */
static void input_resume(void *opaque)
{
	struct term *t = opaque;

	if (t->held && !feed(t))
		return;
	if (t->watching)
		loop_enable(t->loop, &t->in, true);
	else if (t->in_file)
		input_ready(t);
}

static void uart_input(void *opaque)
{
	struct term *t = opaque;

	loop_timer_set(&t->in_retry, 1);
}

/* -- life -- */

int term_init(struct term *t, struct loop *loop, void (*quit)(void *), void *opaque)
{
	int ret;

	*t = (struct term){ .loop = loop, .quit = quit, .opaque = opaque };
	ret = loop_timer_init(loop, &t->out, output_due, t);
	if (ret)
		return ret;
	ret = loop_timer_init(loop, &t->in_retry, input_resume, t);
	if (ret) {
		loop_timer_destroy(loop, &t->out);
		return ret;
	}
	open_output(t);
	return 0;
}

struct uart_host term_uart_host(struct term *t)
{
	return (struct uart_host){ .output = uart_output, .input = uart_input, .opaque = t };
}

void term_start(struct term *t, struct uart *uart)
{
	int ret;

	t->uart = uart;
	t->tty = make_raw();
	ret = loop_add(t->loop, &t->in, STDIN_FILENO, input_ready, t);
	t->watching = !ret;
	t->in_file = ret == -EPERM;
	if (t->in_file)
		loop_timer_set(&t->in_retry, 1);
}

void term_stop(struct term *t)
{
	struct pollfd pfd = { .fd = t->out_fd, .events = POLLOUT };

	if (!t->uart)
		return;
	while (!write_output(t))
		if (poll(&pfd, 1, STOP_WAIT_MS) <= 0)
			t->out_gone = true;
	if (t->watching)
		loop_remove(t->loop, &t->in);
	t->watching = false;
	term_restore();
}

void term_destroy(struct term *t)
{
	if (t->own_out)
		close(t->out_fd);
	loop_timer_destroy(t->loop, &t->in_retry);
	loop_timer_destroy(t->loop, &t->out);
}
