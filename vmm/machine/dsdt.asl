/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The fixed part of the machine. CPUs are in a table made at run time, as their number is not fixed; there is no
 * keyboard controller and no HPET, so none is declared.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "ANYKVM", "ANYKVMQ3", 1)
{
	/* Soft off: PM1a_CNT.SLP_TYP as hw/pm.h has it. */
	Name (\_S5, Package () { 5, 5, 0, 0 })

	Scope (\_SB)
	{
		/* One bus; memory from the MTRRs' uncached range up to the I/O APIC. */
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
				IO (Decode16, 0xcf8, 0xcf8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x1000, 0xffff, 0, 0xf000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
					0, 0xc0000000, 0xfebfffff, 0, 0x3ec00000)
			})
		}

		Device (PIC)
		{
			Name (_HID, EisaId ("PNP0000"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x20, 0x20, 0, 2)
				IO (Decode16, 0xa0, 0xa0, 0, 2)
				IO (Decode16, 0x4d0, 0x4d0, 0, 2)
				IRQNoFlags () { 2 }
			})
		}

		Device (TIMR)
		{
			Name (_HID, EisaId ("PNP0100"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x40, 0x40, 0, 4)
				IRQNoFlags () { 0 }
			})
		}

		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x70, 0x70, 0, 2)
				IRQNoFlags () { 8 }
			})
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Name (_STA, 0x0f)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x3f8, 0x3f8, 0, 8)
				IRQNoFlags () { 4 }
			})
		}

		/* Ports and addresses of the chip set itself, for nobody else to use. */
		Device (MBRD)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x61, 0x61, 0, 1)
				IO (Decode16, 0x92, 0x92, 0, 1)
				IO (Decode16, 0x600, 0x600, 0, 0x0c)
				Memory32Fixed (ReadOnly, 0xb0000000, 0x00100000)
				Memory32Fixed (ReadOnly, 0xfec00000, 0x1000)
				Memory32Fixed (ReadOnly, 0xfee00000, 0x1000)
			})
		}
	}
}
