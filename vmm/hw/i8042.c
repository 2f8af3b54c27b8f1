// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * i8042.c - keyboard controller with nothing plugged in, and the reset ports.
 *
 * The ACPI tables say that there is no controller, so that Linux does not wait for keyboards; what
 * remains is for code that resets through it or asks for the A20 gate. A20 is always open: no guest
 * of ours needs it closed.
 */
#include "i8042.h"

#define STATUS_OUT_FULL	0x01
#define STATUS_SELFTEST	0x04
#define STATUS_UNLOCKED	0x10

#define CMD_READ_CONFIG		0x20
#define CMD_WRITE_CONFIG	0x60
#define CMD_AUX_DISABLE		0xa7
#define CMD_AUX_ENABLE		0xa8
#define CMD_AUX_TEST		0xa9
#define CMD_SELFTEST		0xaa
#define CMD_KBD_TEST		0xab
#define CMD_KBD_DISABLE		0xad
#define CMD_KBD_ENABLE		0xae
#define CMD_READ_OUTPUT		0xd0
#define CMD_WRITE_OUTPUT	0xd1
#define CMD_PULSE		0xf0	/* to 0xff: pulls the output port's bits that are 0 in the low nibble */

#define CONFIG_KBD_OFF	0x10
#define CONFIG_AUX_OFF	0x20
#define OUTPUT_RESET_N	0x01
#define OUTPUT_A20	0x02
#define FAST_RESET	0x01
#define CONTROL_RESET	0x04
#define CONTROL_BITS	0x0e

static void answer(struct i8042 *kbc, uint8_t value)
{
	kbc->out = value;
	kbc->out_full = true;
}

static uint64_t data_read(void *dev, uint64_t offset, unsigned int size)
{
	struct i8042 *kbc = dev;
	uint8_t value;

	pthread_mutex_lock(&kbc->lock);
	value = kbc->out;
	kbc->out_full = false;
	pthread_mutex_unlock(&kbc->lock);
	return value;
}

static void data_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct i8042 *kbc = dev;
	bool reset = false;

	pthread_mutex_lock(&kbc->lock);
	if (kbc->pending == CMD_WRITE_CONFIG) {
		kbc->config = value;
	} else if (kbc->pending == CMD_WRITE_OUTPUT) {
		kbc->output_port = value | OUTPUT_A20;
		reset = !(value & OUTPUT_RESET_N);
	}
	/* Anything else is for the keyboard, which is not there and does not answer. */
	kbc->pending = 0;
	pthread_mutex_unlock(&kbc->lock);
	if (reset)
		kbc->line.reset(kbc->line.opaque);
}

static uint64_t status_read(void *dev, uint64_t offset, unsigned int size)
{
	struct i8042 *kbc = dev;
	uint8_t value;

	pthread_mutex_lock(&kbc->lock);
	value = STATUS_UNLOCKED | STATUS_SELFTEST | (kbc->out_full ? STATUS_OUT_FULL : 0);
	pthread_mutex_unlock(&kbc->lock);
	return value;
}

static void status_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct i8042 *kbc = dev;
	bool reset = false;

	pthread_mutex_lock(&kbc->lock);
	kbc->pending = 0;
	switch (value) {
	case CMD_READ_CONFIG:
		answer(kbc, kbc->config);
		break;
	case CMD_WRITE_CONFIG:
	case CMD_WRITE_OUTPUT:
		kbc->pending = value;
		break;
	case CMD_AUX_DISABLE:
		kbc->config |= CONFIG_AUX_OFF;
		break;
	case CMD_AUX_ENABLE:
		kbc->config &= ~CONFIG_AUX_OFF;
		break;
	case CMD_KBD_DISABLE:
		kbc->config |= CONFIG_KBD_OFF;
		break;
	case CMD_KBD_ENABLE:
		kbc->config &= ~CONFIG_KBD_OFF;
		break;
	case CMD_SELFTEST:
		answer(kbc, 0x55);
		break;
	case CMD_KBD_TEST:
	case CMD_AUX_TEST:
		answer(kbc, 0x00);
		break;
	case CMD_READ_OUTPUT:
		answer(kbc, kbc->output_port);
		break;
	default:
		reset = value >= CMD_PULSE && !(value & OUTPUT_RESET_N);
		break;
	}
	pthread_mutex_unlock(&kbc->lock);
	if (reset)
		kbc->line.reset(kbc->line.opaque);
}

static uint64_t fast_read(void *dev, uint64_t offset, unsigned int size)
{
	return OUTPUT_A20;
}

static void fast_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct i8042 *kbc = dev;

	if (value & FAST_RESET)
		kbc->line.reset(kbc->line.opaque);
}

static uint64_t control_read(void *dev, uint64_t offset, unsigned int size)
{
	struct i8042 *kbc = dev;
	uint8_t value;

	pthread_mutex_lock(&kbc->lock);
	value = kbc->control;
	pthread_mutex_unlock(&kbc->lock);
	return value;
}

static void control_write(void *dev, uint64_t offset, uint64_t value, unsigned int size)
{
	struct i8042 *kbc = dev;
	bool reset;

	pthread_mutex_lock(&kbc->lock);
	reset = value & ~kbc->control & CONTROL_RESET;
	kbc->control = value & CONTROL_BITS & ~CONTROL_RESET;
	pthread_mutex_unlock(&kbc->lock);
	if (reset)
		kbc->line.reset(kbc->line.opaque);
}

const struct bus_ops i8042_data_ops = { .read = data_read, .write = data_write, .max_size = 1 };
const struct bus_ops i8042_status_ops = { .read = status_read,
					  .write = status_write,
					  .max_size = 1 };
const struct bus_ops reset_fast_ops = { .read = fast_read, .write = fast_write, .max_size = 1 };
const struct bus_ops reset_control_ops = { .read = control_read,
					   .write = control_write,
					   .max_size = 1 };

void i8042_init(struct i8042 *kbc, const struct reset_line *line)
{
	*kbc = (struct i8042){ .line = *line };
	pthread_mutex_init(&kbc->lock, NULL);
	i8042_reset(kbc);
}

void i8042_destroy(struct i8042 *kbc)
{
	pthread_mutex_destroy(&kbc->lock);
}

void i8042_reset(struct i8042 *kbc)
{
	pthread_mutex_lock(&kbc->lock);
	kbc->config = CONFIG_KBD_OFF | CONFIG_AUX_OFF;
	kbc->output_port = OUTPUT_RESET_N | OUTPUT_A20;
	kbc->pending = 0;
	kbc->out_full = false;
	kbc->control = 0;
	pthread_mutex_unlock(&kbc->lock);
}
