// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* kvm_anykvm.c - KVM by libanykvm, linked into this program. */
#include <anykvm/anykvm_fd.h>

#include "kvmapi.h"

static int calls_open(const char *path)
{
	return anykvm_open();
}

const struct kvm_calls kvm_calls_anykvm = {
	.open = calls_open, .ioctl = anykvm_ioctl, .mmap = anykvm_mmap, .close = anykvm_close,
};
