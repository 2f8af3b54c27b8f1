// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * ACPI tables: walked as a guest does from the RSDP on; the AML is judged by iasl's disassembler
 * where installed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/machine/acpi.h"

#define BASE	0xe0000u
#define SIZE	0x20000u

static uint8_t mem[SIZE];

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint8_t sum(const uint8_t *p, uint32_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

/* A table by address, checked. */
static const uint8_t *table(uint32_t addr, const char *signature)
{
	const uint8_t *t = mem + (addr - BASE);

	assert_in_range(addr, BASE, BASE + SIZE - 36);
	assert_memory_equal(t, signature, 4);
	assert_true(le32(t + 4) <= BASE + SIZE - addr);
	assert_int_equal(sum(t, le32(t + 4)), 0);
	return t;
}

static const uint8_t *find(const char *signature)
{
	const uint8_t *xsdt = table(le32(mem + 24), "XSDT");
	uint32_t i;

	for (i = 36; i < le32(xsdt + 4); i += 8) {
		assert_int_equal(le32(xsdt + i + 4), 0);
		if (!memcmp(mem + (le32(xsdt + i) - BASE), signature, 4))
			return table(le32(xsdt + i), signature);
	}
	fail_msg("no table %s", signature);
	return NULL;
}

static void rsdp(void **state)
{
	assert_true(acpi_build(mem, SIZE, BASE, 2) > 0);
	assert_memory_equal(mem, "RSD PTR ", 8);
	assert_int_equal(sum(mem, 20), 0);
	assert_int_equal(mem[15], 2);
	assert_int_equal(le32(mem + 20), 36);
	assert_int_equal(sum(mem, 36), 0);
}

static void fadt(void **state)
{
	const uint8_t *f, *facs;

	assert_true(acpi_build(mem, SIZE, BASE, 2) > 0);
	f = find("FACP");
	assert_int_equal(f[46] | f[47] << 8, 9);			/* SCI_INT */
	/* no SMI_CMD: always in ACPI mode */
	assert_int_equal(le32(f + 48), 0);
	assert_int_equal(le32(f + 56), 0x600);				/* PM1a_EVT_BLK */
	assert_int_equal(le32(f + 64), 0x604);				/* PM1a_CNT_BLK */
	assert_int_equal(le32(f + 76), 0x608);				/* PM_TMR_BLK */
	assert_int_equal(f[108], 0x32);					/* CENTURY */
	assert_true(le32(f + 112) & 1 << 10);				/* RESET_REG_SUP */
	assert_int_equal(f[116], 1);					/* RESET_REG: system I/O */
	assert_int_equal(le32(f + 120), 0xcf9);
	assert_true(f[128] & 4);
	assert_int_equal(le32(f + 40), le32(f + 140));			/* DSDT, X_DSDT */
	table(le32(f + 40), "DSDT");
	facs = mem + (le32(f + 36) - BASE);
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(le32(f + 36) % 64, 0);
}

/* Each CPU once, in the entry its id needs. */
static void madt(void **state)
{
	static const unsigned int counts[] = { 1, 2, 8, 255, 256, 300, 1024 };
	unsigned int i, lapics, x2apics, ioapics, overrides, nmis;
	const uint8_t *m, *e;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		assert_true(acpi_build(mem, SIZE, BASE, counts[i]) > 0);
		m = find("APIC");
		assert_true(le32(m + 36) == 0xfee00000);
		lapics = x2apics = ioapics = overrides = nmis = 0;
		for (e = m + 44; e < m + le32(m + 4); e += e[1]) {
			assert_true(e[1] >= 2);
			switch (e[0]) {
			case 0:
				assert_int_equal(e[3], lapics);
				assert_int_equal(e[2], lapics++);
				assert_int_equal(le32(e + 4), 1);
				break;
			case 9:
				assert_int_equal(le32(e + 4), 255 + x2apics);
				assert_int_equal(le32(e + 12), 255 + x2apics++);
				break;
			case 1:
				ioapics++;
				assert_true(le32(e + 4) == 0xfec00000);
				break;
			case 2:
				overrides++;
				assert_int_equal(le32(e + 4), e[3] ? 9 : 2);
				break;
			case 4:
				nmis++;
				assert_int_equal(e[5], 1);
				break;
			}
		}
		assert_true(e == m + le32(m + 4));
		assert_int_equal(lapics + x2apics, counts[i]);
		assert_int_equal(lapics, counts[i] < 255 ? counts[i] : 255);
		assert_int_equal(ioapics, 1);
		assert_int_equal(overrides, 2);
		assert_int_equal(nmis, 1);
	}
}

static void mcfg(void **state)
{
	const uint8_t *m;

	assert_true(acpi_build(mem, SIZE, BASE, 2) > 0);
	m = find("MCFG");
	assert_int_equal(le32(m + 4), 60);
	assert_true(le32(m + 44) == 0xb0000000);
	assert_int_equal(m[54], 0);
	assert_int_equal(m[55], 0);		/* as many buses as the DSDT's _CRS */
}

static void no_room(void **state)
{
	uint32_t size, need = acpi_build(mem, SIZE, BASE, 4);

	assert_true(need > 0 && need <= SIZE);
	for (size = 0; size < need; size++)
		assert_int_equal(acpi_build(mem, size, BASE, 4), 0);
	assert_int_equal(acpi_build(mem, need, BASE, 4), need);
}

/* How often iasl's disassembly of a table holds @text. */
static unsigned int disassembly_count(const uint8_t *t, const char *text)
{
	char dir[] = "/tmp/vmm_acpi.XXXXXX", path[64], command[256], line[512];
	unsigned int n = 0;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/t.aml", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(t, 1, le32(t + 4), f), le32(t + 4));
	fclose(f);
	snprintf(command, sizeof(command), "cd %s && iasl -d t.aml >log 2>&1", dir);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/t.dsl", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += !!strstr(line, text);
	fclose(f);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	return n;
}

static void aml(void **state)
{
	const uint8_t *dsdt;

	if (system("command -v iasl >/dev/null 2>&1")) {
		print_message("iasl is not installed\n");
		skip();
	}
	assert_true(acpi_build(mem, SIZE, BASE, 300) > 0);
	assert_int_equal(disassembly_count(find("SSDT"), "\"ACPI0007\""), 300);
	assert_int_equal(disassembly_count(find("SSDT"), "_UID, 0x0000012B"), 1);
	dsdt = table(le32(find("FACP") + 40), "DSDT");
	assert_int_equal(disassembly_count(dsdt, "_S5"), 1);
	assert_int_equal(disassembly_count(dsdt, "PNP0501"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rsdp), cmocka_unit_test(fadt),	   cmocka_unit_test(madt),
		cmocka_unit_test(mcfg), cmocka_unit_test(no_room), cmocka_unit_test(aml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
