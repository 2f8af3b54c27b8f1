/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* error.h - one line that tells a user what went wrong, where, and what to do. */
#ifndef VMM_ERROR_H
#define VMM_ERROR_H

/* Exit statuses of the program. */
#define EXIT_VM_FAILED	1
#define EXIT_USAGE	2

struct vmm_err {
	char text[512];
};

/** Fill in @err (printf style, no newline). Always -1, so that callers can return it. */
int err_set(struct vmm_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Print "anykvm: TEXT" as one line to stderr; control characters in it are made harmless. */
void err_report(const struct vmm_err *err);

#endif
