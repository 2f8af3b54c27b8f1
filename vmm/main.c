// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* main.c - the anykvm program: picks the command. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <anykvm/anykvm_fd.h>

#include "commands.h"
#include "error.h"
#include "options.h"
#include "vm.h"

static void help(FILE *out)
{
	fputs("Usage: anykvm COMMAND\n"
	      "\n"
	      "A KVM for every Linux machine, with or without VT-x and AMD-V.\n"
	      "\n"
	      "  anykvm run -kernel FILE [options]   boot Linux in a virtual machine (anykvm run --help)\n"
	      "  anykvm exec -- PROGRAM [arguments]  run a program that uses /dev/kvm on AnyKVM instead\n"
	      "  anykvm stat [PID]                   live counters of the VMs of a process (anykvm stat --help)\n"
	      "  anykvm info                         what this host offers, and what AnyKVM uses of it\n"
	      "  anykvm --version\n"
	      "  anykvm --help\n",
	      out);
}

static int usage(const char *what, const char *arg)
{
	struct vmm_err err;

	err_set(&err, "%s '%s'; see anykvm --help", what, arg);
	err_report(&err);
	return EXIT_USAGE;
}

static int run_main(int argc, char **argv)
{
	struct options opt;
	struct vmm_err err;
	int ret = options_parse(&opt, argc, argv, &err);

	if (ret > 0) {
		options_help(stdout);
		return 0;
	}
	if (ret < 0) {
		err_report(&err);
		return EXIT_USAGE;
	}
	return vm_main(&opt);
}

static bool is_help(const char *arg)
{
	return !strcmp(arg, "--help") || !strcmp(arg, "-h");
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "run"))
		return run_main(argc - 2, argv + 2);
	if (!strcmp(command, "exec"))
		return exec_main(argc - 2, argv + 2);
	if (!strcmp(command, "stat"))
		return stat_main(argc - 2, argv + 2);
	if (!strcmp(command, "info") && argc == 2)
		return info_main();
	if (!strcmp(command, "info") && !is_help(argv[2]))
		return usage("info takes no argument, not", argv[2]);
	if (!strcmp(command, "--version") || !strcmp(command, "version")) {
		printf("anykvm %s\n", anykvm_version());
		return 0;
	}
	if (is_help(command) || !strcmp(command, "help") || !strcmp(command, "info")) {
		help(stdout);
		return 0;
	}
	if (argc < 2) {
		fputs("anykvm: no command; see anykvm --help\n", stderr);
		return EXIT_USAGE;
	}
	return usage(command[0] == '-' ? "unknown option" : "unknown command", command);
}
