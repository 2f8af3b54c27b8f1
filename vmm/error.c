// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* error.c - messages for the user. */
#include <stdarg.h>
#include <stdio.h>

#include "error.h"

int err_set(struct vmm_err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -1;
}

void err_report(const struct vmm_err *err)
{
	char line[sizeof(err->text)];
	unsigned int i;

	/* File names come from outside: a newline or an escape sequence in one must not reach the
	 * terminal. */
	for (i = 0; i < sizeof(line) - 1 && err->text[i]; i++)
		line[i] = (unsigned char)err->text[i] < 0x20 || err->text[i] == 0x7f ? '?' : err->text[i];
	line[i] = '\0';
	fprintf(stderr, "anykvm: %s\n", line);
}
