/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* fail.h - scripted failures, so that every unwind path can be run. */
#ifndef HOST_USER_FAIL_H
#define HOST_USER_FAIL_H

#include "../types.h"

#define HOST_FAIL_LIST(X) X(alloc) X(pages) X(eventfd) X(thread) X(fd) X(shared)

enum host_fail_kind {
#define X(name) HOST_FAIL_##name,
	HOST_FAIL_LIST(X)
#undef X
	HOST_FAIL_NR,
};

extern bool host_fail_active;
bool host_fail_slow(enum host_fail_kind kind);
/**
 * Replace the script: "alloc:ssf,fd:f" - of the calls of a kind, s lets one succeed and f makes one
 * fail; calls after the end succeed. NULL or "": no failures. At start the script is $HV_FAIL. 0,
 * or -EINVAL.
 */
int host_fail_script(const char *script);

/** True if the script says that this call shall fail. Any context. */
static inline bool host_fail(enum host_fail_kind kind)
{
	return unlikely(__atomic_load_n(&host_fail_active, __ATOMIC_RELAXED)) &&
	       host_fail_slow(kind);
}

#endif
