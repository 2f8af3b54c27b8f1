/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* fail.c - scripted failures: HV_FAIL="alloc:ssf,fd:f". */
#include "../host.h"
#include "fail.h"

#define SCRIPT_MAX	256

extern char **environ;

static const char *const kind_names[HOST_FAIL_NR] = {
#define X(name) [HOST_FAIL_##name] = #name,
	HOST_FAIL_LIST(X)
#undef X
};

/* Per kind: a bit per call, 1 = fail; and how many calls there have been. */
static u64 fail_bits[HOST_FAIL_NR][SCRIPT_MAX / 64];
static u32 fail_calls[HOST_FAIL_NR];
bool host_fail_active;

bool host_fail_slow(enum host_fail_kind kind)
{
	u32 n = host_fetch_add(&fail_calls[kind], 1);

	return n < SCRIPT_MAX && (host_load_relaxed(&fail_bits[kind][n / 64]) & BIT_ULL(n % 64));
}

/* Length of name if s starts with it and a colon, else 0. */
static size_t match_name(const char *s, const char *name)
{
	size_t n = 0;

	while (name[n] && s[n] == name[n])
		n++;
	return !name[n] && s[n] == ':' ? n : 0;
}

static const char *parse_one(const char *s)
{
	size_t n = 0;
	u32 kind, i;

	for (kind = 0; kind < HOST_FAIL_NR; kind++) {
		n = match_name(s, kind_names[kind]);
		if (n)
			break;
	}
	if (kind == HOST_FAIL_NR)
		return NULL;
	s += n + 1;
	for (i = 0; *s == 's' || *s == 'f'; s++, i++) {
		if (i == SCRIPT_MAX)
			return NULL;
		if (*s == 'f')
			fail_bits[kind][i / 64] |= BIT_ULL(i % 64);
	}
	if (*s && *s != ',')
		return NULL;
	return *s ? s + 1 : s;
}

int host_fail_script(const char *script)
{
	bool any = script && *script;

	host_store_release(&host_fail_active, false);
	host_memset(fail_bits, 0, sizeof(fail_bits));
	host_memset(fail_calls, 0, sizeof(fail_calls));
	while (script && *script) {
		script = parse_one(script);
		if (!script)
			return -EINVAL;
	}
	host_store_release(&host_fail_active, any);
	return 0;
}

__attribute__((constructor)) static void fail_from_environment(void)
{
	static const char key[] = "HV_FAIL=";
	char **e;

	for (e = environ; e && *e; e++) {
		size_t n = 0;

		while (key[n] && (*e)[n] == key[n])
			n++;
		if (!key[n] && host_fail_script(*e + n))
			host_log("HV_FAIL: cannot understand \"%s\"", *e + n);
	}
}
