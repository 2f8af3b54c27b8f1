// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* main.c - the module's frame. It registers nothing yet: the vendors that need the kernel will. */
#include <linux/module.h>

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("AnyKVM: the portable core, built for the kernel");
