// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What a vCPU's CPUID says about itself, read as the manuals tell software to read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/cpuid.h"

static struct vm_cpuid supported, out;

static void row(uint32_t f, uint32_t i, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	supported.entries[supported.hdr.nent++] = (struct kvm_cpuid_entry2){
		.function = f, .index = i, .eax = a, .ebx = b, .ecx = c, .edx = d,
	};
}

static const struct kvm_cpuid_entry2 *find(uint32_t f, uint32_t i)
{
	unsigned int k;

	for (k = 0; k < out.hdr.nent; k++)
		if (out.entries[k].function == f && out.entries[k].index == i)
			return &out.entries[k];
	return NULL;
}

static int setup(void **state)
{
	supported.hdr.nent = 0;
	row(0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	row(1, 0, 0x806f8, 0x12100800, 1u << 24, 0x0f8bfbff);
	row(4, 0, 0xfc004121, 0x02c0003f, 63, 0);	/* level 1 data */
	row(4, 1, 0xfc1fc143, 0x03c0003f, 2047, 0);	/* level 2 */
	row(4, 2, 0xfc1fc163, 0x04c0003f, 4095, 0);	/* level 3 */
	row(4, 3, 0, 0, 0, 0);
	row(0xb, 0, 1, 2, 0x100, 7);
	row(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	row(0x40000001, 0, 0x01007efb, 0, 0, 0);
	row(0x80000000, 0, 0x8000001e, 0, 0, 0);
	row(0x80000001, 0, 0, 0, 0x123, 0);
	row(0x80000008, 0, 0x3030, 0, 0x701f, 0);
	row(0x8000001d, 0, 0x4121, 0, 63, 0);
	row(0x8000001d, 3, 0x1c163, 0, 4095, 0);
	row(0x8000001e, 0, 99, 99, 99, 0);
	return 0;
}

static void build(unsigned int index, unsigned int cpus, bool hide)
{
	const struct cpuid_config cfg = {
		.index = index, .cpus = cpus, .tsc_khz = 2500000, .tsc_deadline = !hide,
		.hide_kvm = hide,
	};

	cpuid_build(&out, &supported.hdr, &cfg);
}

static void identity(void **state)
{
	const struct kvm_cpuid_entry2 *e;

	build(3, 6, false);
	e = find(1, 0);
	assert_int_equal(e->ebx >> 24, 3);
	assert_int_equal(e->ebx >> 16 & 0xff, 6);
	assert_int_equal(e->ebx & 0xffff, 0x0800);
	assert_true(e->ecx & 1u << 31);
	assert_true(e->ecx & 1u << 24);
	assert_true(e->edx & 1u << 28);
	e = find(0x8000001e, 0);
	assert_int_equal(e->eax, 3);
	assert_int_equal(e->ebx, 3);		/* core 3, one thread */
	build(0, 1, true);
	e = find(1, 0);
	assert_true(e->ecx & 1u << 31);
	assert_false(e->ecx & 1u << 24);
	assert_false(e->edx & 1u << 28);
	build(300, 400, false);
	/* the field's end; leaf 0xb has the number */
	assert_int_equal(find(1, 0)->ebx >> 16 & 0xff, 255);
}

/* SDM 3A 9.9.3: shift the x2APIC id right by a level's EAX to get the next level's id. */
static void topology(void **state)
{
	static const unsigned int leaves[] = { 0xb, 0x1f };
	const struct kvm_cpuid_entry2 *e;
	unsigned int i, cpu;

	for (i = 0; i < 2; i++) {
		for (cpu = 0; cpu < 6; cpu++) {
			build(cpu, 6, false);
			e = find(leaves[i], 0);
			assert_int_equal(e->ecx >> 8 & 0xff, 1);	/* SMT */
			assert_int_equal(e->ebx & 0xffff, 1);
			assert_int_equal(e->edx, cpu);
			assert_int_equal(e->edx >> (e->eax & 31), cpu);	/* each thread a core */
			e = find(leaves[i], 1);
			assert_int_equal(e->ecx >> 8 & 0xff, 2);	/* core */
			assert_int_equal(e->ebx & 0xffff, 6);
			assert_int_equal(e->edx >> (e->eax & 31), 0);	/* one package */
			e = find(leaves[i], 2);
			assert_int_equal(e->ecx >> 8 & 0xff, 0);
			assert_int_equal(e->ebx, 0);
		}
	}
}

static void caches(void **state)
{
	build(1, 6, false);
	assert_int_equal(find(4, 0)->eax >> 14 & 0xfff, 0);
	assert_int_equal(find(4, 1)->eax >> 14 & 0xfff, 0);
	assert_int_equal(find(4, 2)->eax >> 14 & 0xfff, 7);	/* ids for the next power of two */
	assert_int_equal(find(4, 0)->eax >> 26, 7);
	assert_int_equal(find(4, 0)->eax & 0x3ff, 0x121);
	assert_int_equal(find(4, 3)->eax, 0);
	assert_int_equal(find(0x8000001d, 0)->eax >> 14 & 0xfff, 0);
	assert_int_equal(find(0x8000001d, 3)->eax >> 14 & 0xfff, 5);
	/* APM: NC is the number of cores less one, ApicIdSize the bits for them */
	assert_int_equal(find(0x80000008, 0)->ecx & 0xff, 5);
	assert_int_equal(find(0x80000008, 0)->ecx >> 12 & 15, 3);
}

static void paravirtual(void **state)
{
	unsigned int k;

	build(0, 2, false);
	assert_true(find(0x40000000, 0)->eax == 0x40000010);
	assert_int_equal(find(0x40000010, 0)->eax, 2500000);
	assert_int_equal(find(0x40000010, 0)->ebx, 1000000);
	assert_true(find(0x40000001, 0)->eax == 0x01007efb);
	build(0, 2, true);
	for (k = 0; k < out.hdr.nent; k++)
		assert_false(out.entries[k].function >> 28 == 4);
}

static void crowded(void **state)
{
	supported.hdr.nent = 0;
	row(0, 0, 0x1f, 0, 0, 0);
	while (supported.hdr.nent < CPUID_MAX)
		row(0x80000002, supported.hdr.nent, 0, 0, 0, 0);
	build(0, 2, false);
	assert_int_equal(out.hdr.nent, CPUID_MAX);
}

static void physical_bits(void **state)
{
	assert_int_equal(cpuid_phys_bits(&supported.hdr), 48);
	supported.hdr.nent = 1;
	assert_int_equal(cpuid_phys_bits(&supported.hdr), 36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(identity, setup), cmocka_unit_test_setup(topology, setup),
		cmocka_unit_test_setup(caches, setup), cmocka_unit_test_setup(paravirtual, setup),
		cmocka_unit_test_setup(crowded, setup), cmocka_unit_test_setup(physical_bits, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
