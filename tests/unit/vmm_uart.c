// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The serial port, as the PC16550D data sheet and Linux's 8250 driver expect it. */
#include <linux/serial_reg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/hw/uart.h"

static struct uart u;
static int level, edges;
static unsigned int wants_output, wants_now, wants_input;

static void set_irq(void *opaque, unsigned int gsi, int l)
{
	assert_int_equal(gsi, 4);
	assert_int_not_equal(l, level);		/* only changes are passed on */
	level = l;
	edges += l;
}

static void output(void *opaque, bool now)
{
	if (now)
		wants_now++;
	else
		wants_output++;
}

static void input(void *opaque)
{
	wants_input++;
}

static uint8_t in(unsigned int reg)
{
	return uart_ops.read(&u, reg, 1);
}

static void out(unsigned int reg, uint8_t value)
{
	uart_ops.write(&u, reg, value, 1);
}

static int setup(void **state)
{
	const struct irq_pin pin = { .set = set_irq, .gsi = 4 };
	const struct uart_host host = { .output = output, .input = input };

	level = edges = 0;
	wants_output = wants_now = wants_input = 0;
	uart_init(&u, &pin, &host);
	return 0;
}

static int teardown(void **state)
{
	uart_destroy(&u);
	return 0;
}

/* As Linux opens the port: FIFOs, OUT2, RTS, receive interrupts. */
static void open_port(void)
{
	out(UART_FCR,
	    UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT | UART_FCR_R_TRIG_10);
	out(UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
	out(UART_IER, UART_IER_RDI | UART_IER_RLSI);
}

static void reset_state(void **state)
{
	assert_int_equal(in(UART_IER), 0);
	assert_int_equal(in(UART_IIR), 0x01);
	assert_int_equal(in(UART_LCR), 0);
	assert_int_equal(in(UART_MCR), 0);
	assert_int_equal(in(UART_LSR), 0x60);
	assert_int_equal(in(UART_MSR), 0xb0);
}

/* How Linux's autoconfig() knows a 16550A. */
static void probe_16550a(void **state)
{
	out(UART_IER, 0xff);
	assert_int_equal(in(UART_IER), 0x0f);
	out(UART_IER, 0);
	out(UART_SCR, 0xa5);
	assert_int_equal(in(UART_SCR), 0xa5);
	out(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(in(UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	out(UART_MCR, 0);
	out(UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(in(UART_IIR) >> 6, 3);
	/* no 16750: the 64-byte FIFO bit does not stick */
	out(UART_LCR, UART_LCR_DLAB);
	out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(in(UART_IIR) & 0x20, 0);
	out(UART_LCR, 0);
	out(UART_FCR, 0);
	assert_int_equal(in(UART_IIR) >> 6, 0);
}

static void divisor(void **state)
{
	out(UART_LCR, UART_LCR_DLAB | 3);
	out(UART_DLL, 0x34);
	out(UART_DLM, 0x12);
	assert_int_equal(in(UART_DLL), 0x34);
	assert_int_equal(in(UART_DLM), 0x12);
	out(UART_LCR, 3);
	assert_int_equal(in(UART_IER), 0);
	assert_int_equal(wants_output, 0);
}

static void transmit(void **state)
{
	uint8_t buf[8];

	out(UART_TX, 'h');
	out(UART_TX, 'i');
	assert_int_equal(wants_output, 1);	/* once per burst */
	assert_int_equal(in(UART_LSR) & 0x60, 0x60);
	assert_int_equal(uart_take(&u, buf, sizeof(buf)), 2);
	assert_memory_equal(buf, "hi", 2);
	assert_int_equal(uart_take(&u, buf, sizeof(buf)), 0);
	out(UART_TX, '!');
	assert_int_equal(wants_output, 2);
}

static void transmit_interrupt(void **state)
{
	out(UART_MCR, UART_MCR_OUT2);
	out(UART_IER, UART_IER_THRI);
	assert_int_equal(level, 1);
	assert_int_equal(in(UART_IIR), UART_IIR_THRI);
	assert_int_equal(level, 0);			/* reading IIR took it */
	assert_int_equal(in(UART_IIR), UART_IIR_NO_INT);
	out(UART_TX, 'x');
	assert_int_equal(level, 1);
	/* Linux's test for a broken THRE: off and on again raises it again */
	in(UART_IIR);
	out(UART_IER, 0);
	out(UART_IER, UART_IER_THRI);
	assert_int_equal(in(UART_IIR), UART_IIR_THRI);
	/* without OUT2 the line is not connected */
	out(UART_IER, 0);
	out(UART_MCR, 0);
	out(UART_IER, UART_IER_THRI);
	assert_int_equal(level, 0);
	out(UART_MCR, UART_MCR_OUT2);
	assert_int_equal(level, 1);
}

/* Nobody takes the output: the port says busy, and says when it is not any more. */
static void transmit_back_pressure(void **state)
{
	static uint8_t buf[UART_OUT];
	unsigned int sent = 0;

	out(UART_MCR, UART_MCR_OUT2);
	out(UART_IER, UART_IER_THRI);
	while (in(UART_LSR) & UART_LSR_THRE) {
		out(UART_TX, sent++);
		assert_true(sent <= UART_OUT);
	}
	assert_int_equal(sent, UART_OUT_HIGH);
	assert_int_equal(wants_now, 1);
	assert_int_equal(level, 0);
	assert_int_equal(uart_take(&u, buf, 16), 16);
	assert_int_equal(in(UART_LSR) & UART_LSR_THRE, 0);
	assert_int_equal(uart_take(&u, buf, sizeof(buf)), UART_OUT_HIGH - 16);
	assert_int_equal(buf[0], 16);
	assert_int_equal(in(UART_LSR) & UART_LSR_THRE, UART_LSR_THRE);
	assert_int_equal(level, 1);
	/* a guest that does not look overruns the buffer only when nobody will ever take it */
	uart_drain(&u, true);
	for (sent = 0; sent < UART_OUT + 10; sent++)
		out(UART_TX, 'y');
	assert_int_equal(uart_take(&u, buf, sizeof(buf)), UART_OUT);
}

static void receive(void **state)
{
	unsigned int i;

	open_port();
	assert_int_equal(level, 0);
	assert_int_equal(uart_feed(&u, (const uint8_t *)"a", 1), 1);
	assert_int_equal(level, 1);
	/* below the trigger level of 8 */
	assert_int_equal(in(UART_IIR), 0xc0 | UART_IIR_RX_TIMEOUT);
	assert_int_equal(in(UART_LSR) & UART_LSR_DR, UART_LSR_DR);
	assert_int_equal(in(UART_RX), 'a');
	assert_int_equal(level, 0);
	assert_int_equal(in(UART_LSR) & UART_LSR_DR, 0);
	assert_int_equal(uart_feed(&u, (const uint8_t *)"0123456789abcdefghij", 20), 20);
	assert_int_equal(in(UART_IIR), 0xc0 | UART_IIR_RDI);
	for (i = 0; i < 20; i++)
		assert_int_equal(in(UART_RX), "0123456789abcdefghij"[i]);
	assert_int_equal(level, 0);
}

/* What comes before the driver is ready waits, and is not lost when the driver clears the FIFO. */
static void receive_early(void **state)
{
	assert_int_equal(uart_feed(&u, (const uint8_t *)"early", 5), 5);
	assert_int_equal(in(UART_LSR) & UART_LSR_DR, 0);
	open_port();
	assert_int_equal(level, 1);
	assert_int_equal(in(UART_RX), 'e');
}

static void receive_full(void **state)
{
	static uint8_t much[UART_IN + UART_FIFO + 100];
	size_t taken;
	unsigned int i;

	taken = uart_feed(&u, much, sizeof(much));
	assert_int_equal(taken, UART_IN);
	assert_int_equal(wants_input, 0);
	open_port();
	for (i = 0; i < UART_IN; i++)
		in(UART_RX);
	assert_int_equal(wants_input, 1);
	assert_int_equal(in(UART_LSR) & UART_LSR_DR, 0);
}

static void break_condition(void **state)
{
	open_port();
	uart_break(&u);
	assert_int_equal(level, 1);
	assert_int_equal(in(UART_IIR) & 0x0f, UART_IIR_RLSI);
	assert_int_equal(in(UART_LSR) & (UART_LSR_BI | UART_LSR_DR), UART_LSR_BI | UART_LSR_DR);
	assert_int_equal(in(UART_LSR) & UART_LSR_BI, 0);
	assert_int_equal(in(UART_RX), 0);
	assert_int_equal(level, 0);
}

static void loopback(void **state)
{
	uint8_t buf[4];

	out(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2);
	out(UART_TX, 'L');
	assert_int_equal(in(UART_RX), 'L');
	out(UART_TX, '1');
	out(UART_TX, '2');		/* without FIFO the second overruns */
	assert_int_equal(in(UART_LSR) & UART_LSR_OE, UART_LSR_OE);
	assert_int_equal(uart_take(&u, buf, sizeof(buf)), 0);
	assert_int_equal(edges, 0);
}

static void reset(void **state)
{
	open_port();
	uart_feed(&u, (const uint8_t *)"x", 1);
	assert_int_equal(level, 1);
	out(UART_TX, 'q');
	uart_reset(&u);
	assert_int_equal(level, 0);
	reset_state(state);
	assert_int_equal(u.out.len, 1);		/* output that was sent is not lost */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reset_state, setup, teardown),
		cmocka_unit_test_setup_teardown(probe_16550a, setup, teardown),
		cmocka_unit_test_setup_teardown(divisor, setup, teardown),
		cmocka_unit_test_setup_teardown(transmit, setup, teardown),
		cmocka_unit_test_setup_teardown(transmit_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(transmit_back_pressure, setup, teardown),
		cmocka_unit_test_setup_teardown(receive, setup, teardown),
		cmocka_unit_test_setup_teardown(receive_early, setup, teardown),
		cmocka_unit_test_setup_teardown(receive_full, setup, teardown),
		cmocka_unit_test_setup_teardown(break_condition, setup, teardown),
		cmocka_unit_test_setup_teardown(loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(reset, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
