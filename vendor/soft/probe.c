// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Can the soft vendor run on this host? */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <stdint.h>
#include "probe.h"

typedef uint32_t u32;

struct soft_host soft_host_slow;

/* AMD before family 19h runs PEXT in microcode; Intel's processors need 7 operations for LOOP, AMD's and Hygon's one. */
static void find_slow(void)
{
	const char *slow = getenv("ANYKVM_SLOW");
	u32 a = 0, b = 0, c, d, family;

	__get_cpuid(0, &a, &b, &c, &d);
	soft_host_slow.loop = b != signature_AMD_ebx && b != 0x6f677948 /* "Hygo" */;
	__get_cpuid(1, &a, &b, &c, &d);
	family = ((a >> 8) & 15) + ((a >> 20) & 0xff);
	soft_host_slow.pext = !soft_host_slow.loop && family < 0x19;
	if (slow) {
		soft_host_slow.loop = strstr(slow, "loop");
		soft_host_slow.pext = strstr(slow, "pext");
	}
}

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
	find_slow();
	*why = "no VT-x or AMD-V is usable here: processor in software";
	return 0;
}
