// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * options.c - the command line of `anykvm run`.
 *
 * QEMU's spelling, so that a command line of one works with the other as far as the machines are
 * alike: -option or
 * --option, the value always the next word, properties separated by commas. What would change nothing here is
 * accepted; what cannot be done is refused, never ignored.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

struct option {
	const char *name;
	bool has_value;
	int (*parse)(struct options *o, const char *name, const char *value, struct vmm_err *err);
};

int options_parse_size(const char *s, uint64_t *bytes)
{
	static const char suffixes[] = "bkmgt";		/* each 1024 times the one before */
	unsigned int shift = 20;
	unsigned long long n;
	const char *p;
	char *end;

	if (!isdigit((unsigned char)*s))		/* strtoull() would take a sign or blanks */
		return -1;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno)
		return -1;
	if (*end) {
		p = strchr(suffixes, tolower((unsigned char)*end));
		if (!p)
			return -1;
		shift = 10 * (p - suffixes);
		if (*p != 'b') {
			if (!strcasecmp(end + 1, "b") || !strcasecmp(end + 1, "ib"))
				end += strlen(end) - 1;
		}
		if (end[1])
			return -1;
	}
	if (shift && n >> (64 - shift))
		return -1;
	*bytes = n << shift;
	return 0;
}

/* If @s begins with "@key=", what is behind it, else NULL. */
static const char *property(const char *s, const char *key)
{
	size_t len = strlen(key);

	return !strncmp(s, key, len) && s[len] == '=' ? s + len + 1 : NULL;
}

static int parse_kernel(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	o->kernel = value;
	return 0;
}

static int parse_initrd(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	o->initrd = value;
	return 0;
}

static int parse_append(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	o->append = value;
	return 0;
}

static int parse_kvm(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	if (!*value)
		return err_set(err, "--kvm needs a device, for example --kvm /dev/kvm");
	o->kvm_path = value;
	return 0;
}

static int parse_memory(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	const char *size = property(value, "size") ?: value;
	uint64_t bytes;

	if (options_parse_size(size, &bytes))
		return err_set(err,
			       "-m %s: not a memory size; give for example -m 512 (MiB) or -m 2G",
			       value);
	if (bytes < OPT_MIN_MEMORY)
		return err_set(
			err, "-m %s: too little memory; 1M is the least, Linux wants 128M and more",
			value);
	if (bytes > OPT_MAX_MEMORY)
		return err_set(err, "-m %s: too much memory; 64T is the most", value);
	if (bytes % 4096)
		return err_set(err, "-m %s: not a multiple of 4K", value);
	o->memory = bytes;
	return 0;
}

static int parse_smp(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	const char *count = property(value, "cpus") ?: value;
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)*count))
		return err_set(err, "-smp %s: not a number of CPUs; give for example -smp 2",
			       value);
	errno = 0;
	n = strtoul(count, &end, 10);
	if (*end == ',')
		return err_set(err,
			       "-smp %s: only the number of CPUs can be set (one socket, one "
			       "thread per core)",
			       value);
	if (*end)
		return err_set(err, "-smp %s: not a number of CPUs; give for example -smp 2",
			       value);
	if (errno || n < 1 || n > OPT_MAX_CPUS)
		return err_set(err, "-smp %s: must be 1 to %d", value, OPT_MAX_CPUS);
	o->cpus = n;
	return 0;
}

static int parse_cpu(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	const char *p = value + strcspn(value, ",");
	const char *flag;
	bool hide = false;
	size_t len;

	if (p - value != 4 || strncmp(value, "host", 4))
		return err_set(
			err, "-cpu %s: only 'host' is known, with kvm=on or kvm=off behind a comma",
			value);
	while (*p == ',') {
		p++;
		len = strcspn(p, ",");
		flag = property(p, "kvm");
		if (!flag)
			return err_set(err, "-cpu %s: unknown property '%.*s'; kvm=on|off is known",
				       value, (int)len, p);
		len -= flag - p;
		if (len == 2 && !strncmp(flag, "on", 2))
			hide = false;
		else if (len == 3 && !strncmp(flag, "off", 3))
			hide = true;
		else
			return err_set(err, "-cpu %s: kvm= takes on or off", value);
		p = flag + len;
	}
	o->hide_kvm = hide;
	return 0;
}

static int parse_machine(struct options *o, const char *name, const char *value,
			 struct vmm_err *err)
{
	const char *p = value + strcspn(value, ",");
	const char *type = property(value, "type") ?: value;
	const char *accel;
	size_t len;

	if (p - type != 3 || strncmp(type, "q35", 3))
		return err_set(err, "-%s %s: only the machine 'q35' is known", name, value);
	while (*p == ',') {
		p++;
		len = strcspn(p, ",");
		accel = property(p, "accel");
		if (!accel || len != strlen("accel=kvm") || strncmp(accel, "kvm", 3))
			return err_set(err, "-%s %s: unknown property '%.*s'; accel=kvm is known",
				       name, value, (int)len, p);
		p += len;
	}
	return 0;
}

static int parse_serial(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	if (!strcmp(value, "none"))
		o->no_serial = true;
	else if (!strcmp(value, "stdio") || !strcmp(value, "mon:stdio"))
		o->no_serial = false;
	else
		return err_set(err, "-serial %s: stdio, mon:stdio and none are known", value);
	return 0;
}

static int parse_none(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	if (strcmp(value, "none"))
		return err_set(err,
			       "-%s %s: only 'none' is known; the machine has a serial console",
			       name, value);
	return 0;
}

static int parse_accel(struct options *o, const char *name, const char *value, struct vmm_err *err)
{
	if (strcmp(value, "kvm"))
		return err_set(err, "-accel %s: only 'kvm' is known", value);
	return 0;
}

static int parse_no_reboot(struct options *o, const char *name, const char *value,
			   struct vmm_err *err)
{
	o->no_reboot = true;
	return 0;
}

static int parse_nothing(struct options *o, const char *name, const char *value,
			 struct vmm_err *err)
{
	return 0;
}

static const struct option options[] = {
	{ "kernel", true, parse_kernel },
	{ "initrd", true, parse_initrd },
	{ "append", true, parse_append },
	{ "m", true, parse_memory },
	{ "smp", true, parse_smp },
	{ "cpu", true, parse_cpu },
	{ "M", true, parse_machine },
	{ "machine", true, parse_machine },
	{ "kvm", true, parse_kvm },
	{ "accel", true, parse_accel },
	{ "no-reboot", false, parse_no_reboot },
	{ "serial", true, parse_serial },
	{ "display", true, parse_none },
	{ "monitor", true, parse_none },
	{ "vga", true, parse_none },
	{ "enable-kvm", false, parse_nothing },
	{ "nographic", false, parse_nothing },
	{ "nodefaults", false, parse_nothing },
	{ "no-user-config", false, parse_nothing },
	{ "name", true, parse_nothing },
};

int options_parse(struct options *o, int argc, char **argv, struct vmm_err *err)
{
	const struct option *opt;
	const char *name, *value;
	unsigned int k;
	int i;

	*o = (struct options){
		.append = "console=ttyS0", .memory = 512ull << 20, .cpus = 1,
	};
	for (i = 0; i < argc; i++) {
		if (argv[i][0] != '-' || !argv[i][1])
			return err_set(err,
				       "run: '%s' is not an option; a kernel is given by -kernel",
				       argv[i]);
		name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
		if (!strcmp(name, "help") || !strcmp(name, "h"))
			return 1;
		for (k = 0; k < sizeof(options) / sizeof(options[0]); k++)
			if (!strcmp(name, options[k].name))
				break;
		if (k == sizeof(options) / sizeof(options[0]))
			return err_set(err, "run: unknown option '%s'; see anykvm run --help",
				       argv[i]);
		opt = &options[k];
		value = NULL;
		if (opt->has_value) {
			if (i + 1 >= argc)
				return err_set(err, "run: option '%s' needs a value", argv[i]);
			value = argv[++i];
		}
		if (opt->parse(o, opt->name, value, err))
			return -1;
	}
	if (!o->kernel)
		return err_set(err, "run: nothing to boot; give a Linux kernel with -kernel FILE");
	return 0;
}

void options_help(FILE *out)
{
	fputs("Usage: anykvm run -kernel FILE [options]\n"
	      "\n"
	      "Boot Linux in a virtual machine. The console is this terminal.\n"
	      "\n"
	      "  -kernel FILE          Linux kernel, a bzImage (Debian: /boot/vmlinuz-*)\n"
	      "  -initrd FILE          initial RAM disk\n"
	      "  -append STRING        kernel command line (default: console=ttyS0)\n"
	      "  -m SIZE               memory; MiB, or with a suffix K, M, G, T (default: 512)\n"
	      "  -smp N                number of CPUs (default: 1)\n"
	      "  -cpu host[,kvm=off]   the host's CPU; kvm=off hides KVM's paravirtual CPUID leaves\n"
	      "  -M q35                the machine; the only one\n"
	      "  -no-reboot            end when the guest reboots\n"
	      "  -serial none          no serial console (default: -serial mon:stdio)\n"
	      "  --kvm DEVICE          use the kernel's KVM, for example --kvm /dev/kvm, not AnyKVM\n"
	      "\n"
	      "Accepted for QEMU's sake, as they state what is so anyway: -enable-kvm -accel kvm -nographic\n"
	      "-display none -monitor none -vga none -nodefaults -no-user-config -name NAME -M q35,accel=kvm\n"
	      "\n"
	      "Keys: Ctrl-A x quits, Ctrl-A b sends a break, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A h lists them.\n"
	      "Exit status: 0 after the guest's power-off or Ctrl-A x, 1 if the VM failed, 2 for a bad option.\n",
	      out);
}
