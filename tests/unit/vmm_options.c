// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The command line of `anykvm run`: QEMU's syntax; what is malformed is refused in one line that
 * names it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/options.h"

#define ARGS_MAX	32

static int parse(struct options *o, struct vmm_err *err, const char *line)
{
	static char words[512];
	char *argv[ARGS_MAX], *save = NULL, *w;
	int argc = 0;

	assert_true(strlen(line) < sizeof(words));
	strcpy(words, line);
	for (w = strtok_r(words, " ", &save); w && argc < ARGS_MAX; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	err->text[0] = '\0';
	return options_parse(o, argc, argv, err);
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int ret;
		uint64_t bytes;
	} rows[] = {
		{ "512", 0, 512ull << 20 }, { "512M", 0, 512ull << 20 }, { "512MiB", 0, 512ull << 20 },
		{ "512mb", 0, 512ull << 20 }, { "2G", 0, 2ull << 30 }, { "1T", 0, 1ull << 40 },
		{ "64k", 0, 64 << 10 }, { "4096b", 0, 4096 }, { "0", 0, 0 },
		{ "", -1, 0 }, { "-1", -1, 0 }, { "+1", -1, 0 }, { " 1", -1, 0 }, { "1 ", -1, 0 }, { "x", -1, 0 },
		{ "1X", -1, 0 }, { "1MM", -1, 0 }, { "1.5G", -1, 0 }, { "0x10", -1, 0 },
		{ "17592186044416", -1, 0 },		/* 2^44 MiB is 2^64 bytes */
		{ "17592186044415", 0, 17592186044415ull << 20 },
		{ "99999999999999999999", -1, 0 }, { "16777216T", -1, 0 },
	};
	uint64_t bytes;
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bytes = 0;
		if (options_parse_size(rows[i].text, &bytes) != rows[i].ret ||
		    bytes != rows[i].bytes)
			fail_msg("'%s' gives %#llx", rows[i].text, (unsigned long long)bytes);
	}
}

static void defaults(void **state)
{
	struct vmm_err err;
	struct options o;

	assert_int_equal(parse(&o, &err, "-kernel K"), 0);
	assert_string_equal(o.kernel, "K");
	assert_null(o.initrd);
	assert_string_equal(o.append, "console=ttyS0");
	assert_null(o.kvm_path);
	assert_true(o.memory == 512ull << 20);
	assert_int_equal(o.cpus, 1);
	assert_false(o.hide_kvm);
	assert_false(o.no_reboot);
}

static void qemu_line(void **state)
{
	struct vmm_err err;
	struct options o;

	assert_int_equal(parse(&o, &err, "-enable-kvm -M q35 -cpu host,kvm=off -m size=2G -smp cpus=4 -kernel K "
					 "-initrd I -append ro -nographic -no-reboot"), 0);
	assert_string_equal(o.initrd, "I");
	assert_string_equal(o.append, "ro");
	assert_true(o.memory == 2ull << 30);
	assert_int_equal(o.cpus, 4);
	assert_true(o.hide_kvm);
	assert_true(o.no_reboot);
	assert_int_equal(parse(&o, &err, "-machine type=q35,accel=kvm -accel kvm -cpu host,kvm=on -serial mon:stdio "
					 "-display none --kernel K --kvm /dev/kvm"), 0);
	assert_false(o.hide_kvm);
	assert_string_equal(o.kvm_path, "/dev/kvm");
	assert_int_equal(parse(&o, &err, "-kernel K --help"), 1);
}

/* Each of these is refused, and the message names the word that is wrong. */
static void refused(void **state)
{
	static const struct {
		const char *line, *names;
	} rows[] = {
		{ "", "-kernel" }, { "-kernel", "-kernel" }, { "-kernal K", "-kernal" }, { "K", "'K'" }, { "-", "'-'" },
		{ "--", "'--'" }, { "-kernel K -m 0", "-m 0" }, { "-kernel K -m -1", "-m -1" }, { "-kernel K -m", "-m" },
		{ "-kernel K -m 1000000T", "1000000T" }, { "-kernel K -m 1025b", "1025b" },
		{ "-kernel K -m 1048577b", "4K" }, { "-kernel K -smp 0", "-smp 0" }, { "-kernel K -smp -2", "-smp -2" },
		{ "-kernel K -smp 100000", "1 to" }, { "-kernel K -smp 99999999999999999999", "1 to" },
		{ "-kernel K -smp two", "two" }, { "-kernel K -smp 2,threads=2", "thread" }, { "-kernel K -smp 2x", "2x" },
		{ "-kernel K -cpu qemu64", "qemu64" }, { "-kernel K -cpu hostile", "hostile" },
		{ "-kernel K -cpu host,kvm=maybe", "kvm=" }, { "-kernel K -cpu host,+vmx", "+vmx" },
		{ "-kernel K -cpu host,", "unknown property" }, { "-kernel K -M pc", "pc" }, { "-kernel K -M q35x", "q35x" },
		{ "-kernel K -M q35,accel=tcg", "accel=tcg" }, { "-kernel K -accel tcg", "tcg" },
		{ "-kernel K -serial tcp:1", "tcp:1" }, { "-kernel K -display gtk", "gtk" },
		{ "-kernel K -drive x", "-drive" }, { "-kernel=K", "-kernel=K" },
	};
	struct vmm_err err;
	struct options o;
	unsigned int i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (parse(&o, &err, rows[i].line) != -1)
			fail_msg("'%s' is accepted", rows[i].line);
		if (!strstr(err.text, rows[i].names))
			fail_msg("'%s': message '%s' does not name '%s'", rows[i].line, err.text,
				 rows[i].names);
		if (strchr(err.text, '\n'))
			fail_msg("'%s': more than a line", rows[i].line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes), cmocka_unit_test(defaults), cmocka_unit_test(qemu_line), cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
