/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Kinds of access to linear memory: what the page walk checks and the emulator asks for. SDM 3A 4.6
 */
#ifndef X86_ARCH_ACCESS_H
#define X86_ARCH_ACCESS_H

enum walk_access {
	WALK_READ = 0,
	WALK_WRITE = 1,
	WALK_EXEC = 2,
};
#define WALK_USER	0x10	/* access with user rights (CPL 3, not an implicit supervisor access) */
#define WALK_IMPLICIT	0x20	/* implicit supervisor access (GDT, IDT, TSS): SMAP applies even with EFLAGS.AC */
#define WALK_NO_AD	0x40	/* change no A/D bits (KVM_TRANSLATE, debugger) */

#endif
