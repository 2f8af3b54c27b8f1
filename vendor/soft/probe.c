// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Can the soft vendor run on this host? */
#include <cpuid.h>
#include <errno.h>
#include <sys/auxv.h>
#include <stdint.h>
#include "probe.h"

typedef uint32_t u32;

int soft_probe(const char **why)
{
	u32 a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) {
		*why = "the CPU or the kernel offers no XSAVE";
		return -ENODEV;
	}
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_BMI2)) {
		*why = "the CPU has no BMI2 (x86-64-v3)";
		return -ENODEV;
	}
	/* HWCAP2_FSGSBASE: the kernel lets programs write the GS base */
	if (!(getauxval(AT_HWCAP2) & 2)) {
		*why = "the kernel does not enable FSGSBASE (Linux 5.9 or newer does)";
		return -ENODEV;
	}
	*why = "no VT-x or AMD-V is usable here: processor in software";
	return 0;
}
