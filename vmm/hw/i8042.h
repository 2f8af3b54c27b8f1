/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * i8042.h - keyboard controller without keyboard or mouse: what firmware, boot loaders and reset
 * code use of it. Beside it the chip set's own ways to the reset line, ports 0x92 and 0xcf9.
 */
#ifndef VMM_HW_I8042_H
#define VMM_HW_I8042_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../bus.h"

#define I8042_DATA	0x60
#define I8042_STATUS	0x64
#define RESET_FAST	0x92
#define RESET_CONTROL	0xcf9
#define   RESET_FULL	0x0e	/* the value the FADT tells the guest to write */

struct reset_line {
	void (*reset)(void *opaque);	/* any vCPU thread */
	void *opaque;
};

struct i8042 {
	pthread_mutex_t lock;	/* everything below */
	struct reset_line line;
	uint8_t config;
	uint8_t output_port;	/* bit 0: not reset, bit 1: A20 */
	uint8_t pending;	/* command that waits for its data byte, 0: none */
	uint8_t out;
	bool out_full;
	uint8_t control;	/* port 0xcf9 */
};

extern const struct bus_ops i8042_data_ops, i8042_status_ops, reset_fast_ops, reset_control_ops;

void i8042_init(struct i8042 *kbc, const struct reset_line *line);
void i8042_destroy(struct i8042 *kbc);
void i8042_reset(struct i8042 *kbc);

#endif
