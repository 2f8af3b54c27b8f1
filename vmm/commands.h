/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* commands.h - the program's commands. Each returns the exit status. */
#ifndef VMM_COMMANDS_H
#define VMM_COMMANDS_H

#include <stdbool.h>

/** `anykvm info`: what this host offers, and which vendor is used. */
int info_main(void);

/** Has this CPU VT-x or AMD-V, by CPUID? */
bool host_has_virtualization(void);

/** `anykvm exec -- PROGRAM ARGUMENTS`: returns only if the program cannot be started. */
int exec_main(int argc, char **argv);

/** `anykvm stat [PID]`: live counters of a process with VMs. */
int stat_main(int argc, char **argv);

#endif
