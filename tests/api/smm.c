/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * smm.c - system management mode: KVM_SMI, the save area, RSM, its state in KVM_GET_VCPU_EVENTS, and the second address
 * space. Offsets of the save area: AMD's APM 2 table 10-1 and, for processors without long mode, the 32-bit layout.
 */
#include "lib/t_kvm.h"

#define SMBASE	0x30000UL
#define ENTRY	(SMBASE + 0x8000)
#define AREA(base, off)	((base) + 0x8000 + (off))

static struct t_vm vm;
static struct t_cpu cpu;
static uint8_t *smram;		/* 128 KiB at SMBASE in address space 1 */

/* The usual beginning, and memory in space 1: all of slot 0 but for the SMRAM laid over it. */
static void smm_begin(unsigned int how)
{
	t_vm_create(&vm, how);
	t_cpu_create(&vm, &cpu, 0);
	t_cpu_cpuid(&vm, &cpu);
	smram = t_mmap(0x20000);
	t_ok(t_slot(&vm, 1 << 16 | 0, 0, 0, SMBASE, vm.mem));
	t_ok(t_slot(&vm, 1 << 16 | 1, 0, SMBASE, 0x20000, smram));
	t_ok(t_slot(&vm, 1 << 16 | 2, 0, SMBASE + 0x20000, T_MEM - SMBASE - 0x20000, vm.mem + SMBASE + 0x20000));
}

static void smm_end(void)
{
	T_END(&vm, &cpu);
	munmap(smram, 0x20000);
}

#define SMRAM(gpa)	(smram + (gpa) - SMBASE)
#define SMM_LOAD(gpa, name)	memcpy(SMRAM(gpa), name, (size_t)(name##_end - name))

static uint64_t saved(uint64_t base, unsigned int off, unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, SMRAM(AREA(base, off)), size);
	return v;
}

static struct kvm_vcpu_events events(void)
{
	struct kvm_vcpu_events ev;

	t_ok(T(cpu.fd, KVM_GET_VCPU_EVENTS, &ev));
	assert_true(ev.flags & KVM_VCPUEVENT_VALID_SMM);
	return ev;
}

static void out_at(uint16_t port)
{
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.port, port);
}

/* 64-bit code that waits, and then shows what it has in RAX and flags. */
GUEST64(main64, "out %al, $0x10; mov $0x1122334455667788, %r15; stc; out %al, $0x11; setc %al; out %al, $0x12; hlt");
/* The handler adds 1 to the saved RAX, and shows a byte of its memory. */
GUEST16(handler, "movb %cs:0x100, %al; outb %al, $0x30; movl $0x7ff8 + 0x8000, %ebx; incl %cs:(%ebx); rsm");

static void in_and_out(void **state)
{
	struct kvm_sregs s, in, after;
	struct kvm_regs r;
	uint64_t flags, rip;

	smm_begin(T_IRQCHIP);
	assert_int_equal(t_cap(&vm, KVM_CAP_X86_SMM), 1);
	assert_int_equal(t_cap(&vm, KVM_CAP_MULTI_ADDRESS_SPACE), 2);
	T_LOAD(&vm, T_CODE, main64);
	SMM_LOAD(ENTRY, handler);
	smram[0x100] = 0x5a;
	vm.mem[SMBASE + 0x100] = 0xa5;
	t_cpu_long(&vm, &cpu, T_CODE);
	out_at(0x10);
	assert_int_equal(cpu.run->flags & KVM_RUN_X86_SMM, 0);
	out_at(0x11);
	r = t_regs(&cpu);
	r.rax = 41;
	t_set_regs(&cpu, &r);
	rip = r.rip + 2;		/* OUT completes first */
	flags = r.rflags;
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	t_ok(T(cpu.fd, KVM_SMI, 0));
	out_at(0x30);
	rip = saved(SMBASE, 0x7f78, 8) == r.rip ? r.rip : rip;	/* KVM leaves RIP at the OUT, or behind it */
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0x5a);
	assert_int_equal(cpu.run->flags & KVM_RUN_X86_SMM, KVM_RUN_X86_SMM);
	assert_int_equal(events().smi.smm, 1);
	assert_int_equal(events().smi.pending, 0);
	assert_int_equal(events().nmi.masked, 1);
	assert_int_equal(t_msr(&cpu, 0x34), 1);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &in));
	assert_int_equal(in.cs.base, SMBASE);
	assert_int_equal(in.cs.selector, SMBASE >> 4);
	assert_int_equal(in.ds.limit, 0xffffffff);
	assert_int_equal(in.cr0 & 0x80000001, 0);
	assert_int_equal(in.cr4 | in.efer | in.idt.limit, 0);
	/* the save area */
	assert_int_equal(saved(SMBASE, 0x7efc, 4), 0x20064);
	assert_int_equal(saved(SMBASE, 0x7f00, 4), SMBASE);
	assert_int_equal(saved(SMBASE, 0x7ff8, 8), 41);
	assert_int_equal(saved(SMBASE, 0x7f80, 8), 0x1122334455667788);
	assert_int_equal(saved(SMBASE, 0x7fd8, 8), r.rsp);
	assert_int_equal(saved(SMBASE, 0x7f78, 8), rip);
	assert_int_equal(saved(SMBASE, 0x7f70, 8), flags);
	assert_int_equal(saved(SMBASE, 0x7f58, 8), s.cr0);
	assert_int_equal(saved(SMBASE, 0x7f50, 8), s.cr3);
	assert_int_equal(saved(SMBASE, 0x7f48, 8), s.cr4);
	assert_int_equal(saved(SMBASE, 0x7ed0, 8), s.efer);
	assert_int_equal(saved(SMBASE, 0x7e10, 2), s.cs.selector);
	assert_int_equal(saved(SMBASE, 0x7e12, 2), 0xa09b);	/* G, L, present, code */
	assert_int_equal(saved(SMBASE, 0x7e14, 4), s.cs.limit);
	assert_int_equal(saved(SMBASE, 0x7e64, 2), s.gdt.limit);
	/* and back: RAX is one more, everything else as before */
	t_run_to(&cpu, KVM_EXIT_IO);
	if (cpu.run->io.port == 0x11)
		out_at(0x12);
	assert_int_equal(cpu.run->io.port, 0x12);
	assert_int_equal(cpu.run->flags & KVM_RUN_X86_SMM, 0);
	assert_int_equal(events().smi.smm, 0);
	assert_int_equal(events().nmi.masked, 0);
	assert_int_equal(t_regs(&cpu).rax & 0xff, 1);		/* carry, from SETC */
	assert_int_equal(t_regs(&cpu).r15, 0x1122334455667788);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &after));
	assert_memory_equal(&after, &s, sizeof(s));
	smm_end();
}

/* Waits in the loop until RAX is not 0: the handler changed it in the save area. */
GUEST64(loop64, "xor %eax, %eax; out %al, $0x10; 1: test %eax, %eax; jz 1b; out %eax, $0x11; hlt");

static void handler_changes_rax(void **state)
{
	smm_begin(0);
	T_LOAD(&vm, T_CODE, loop64);
	SMM_LOAD(ENTRY, handler);
	t_cpu_long(&vm, &cpu, T_CODE);
	out_at(0x10);
	t_ok(T(cpu.fd, KVM_SMI, 0));
	out_at(0x30);
	out_at(0x11);
	assert_int_equal(*(uint32_t *)t_io_data(cpu.run), 1);
	smm_end();
}

/* Moves SMBASE by 64 KiB; there, another handler. */
GUEST16(relocate, "movl $0x7f00 + 0x8000, %ebx; movl $0x40000, %cs:(%ebx); outb %al, $0x31; rsm");
GUEST16(relocated, "movw %cs, %ax; outw %ax, $0x32; rsm");
GUEST64(idle64, "1: out %al, $0x10; jmp 1b");

static void smbase_moves(void **state)
{
	smm_begin(0);
	T_LOAD(&vm, T_CODE, idle64);
	SMM_LOAD(ENTRY, relocate);
	SMM_LOAD(0x48000UL, relocated);
	t_cpu_long(&vm, &cpu, T_CODE);
	out_at(0x10);
	assert_int_equal(t_msr(&cpu, 0x9e), SMBASE);
	t_ok(T(cpu.fd, KVM_SMI, 0));
	out_at(0x31);
	/* one that comes in the mode waits; more than one are one */
	t_ok(T(cpu.fd, KVM_SMI, 0));
	t_ok(T(cpu.fd, KVM_SMI, 0));
	cpu.run->immediate_exit = 1;
	t_fails(EINTR, t_run(&cpu));
	cpu.run->immediate_exit = 0;
	assert_int_equal(events().smi.smm, 1);
	assert_int_equal(events().smi.pending, 1);
	out_at(0x32);
	assert_int_equal(*(uint16_t *)t_io_data(cpu.run), 0x4000);
	assert_int_equal(t_msr(&cpu, 0x9e), 0x40000);
	assert_int_equal(t_msr(&cpu, 0x34), 2);
	assert_int_equal(events().smi.pending, 0);
	out_at(0x10);
	/* the client may move it as well */
	assert_int_equal(t_set_msr(&cpu, 0x9e, SMBASE), 1);
	t_ok(T(cpu.fd, KVM_SMI, 0));
	out_at(0x31);
	smm_end();
}

/* An NMI waits for RSM as well; afterwards its handler runs. */
GUEST16(main16, "1: outb %al, $0x10; jmp 1b");
GUEST16(nmi16, "outb %al, $0x13; iretw");
GUEST16(short_handler, "outb %al, $0x30; outb %al, $0x31; rsm");

static void nmi_waits(void **state)
{
	uint64_t rsp;

	smm_begin(0);
	T_LOAD(&vm, T_CODE, main16);
	T_LOAD(&vm, 0x9000, nmi16);
	*(uint32_t *)(vm.mem + 2 * 4) = 0x9000;
	SMM_LOAD(ENTRY, short_handler);
	t_cpu_real(&cpu, T_CODE);
	out_at(0x10);
	t_ok(T(cpu.fd, KVM_SMI, 0));
	out_at(0x30);
	t_ok(T(cpu.fd, KVM_NMI, 0));
	out_at(0x31);
	out_at(0x13);
	rsp = t_regs(&cpu).rsp;
	/* an SMI inside the NMI's handler: NMIs stay blocked after RSM */
	t_ok(T(cpu.fd, KVM_SMI, 0));
	out_at(0x30);
	assert_int_equal(events().smi.smm_inside_nmi, 1);
	t_ok(T(cpu.fd, KVM_NMI, 0));
	out_at(0x31);
	/* not before IRET: the stack is as deep as it was */
	out_at(0x13);
	assert_int_equal(t_regs(&cpu).rsp, rsp);
	smm_end();
}

/* A processor without long mode: the 32-bit layout. */
static void without_long_mode(void **state)
{
	struct kvm_cpuid2 *c;
	struct kvm_regs r;
	unsigned int i;

	smm_begin(0);
	c = t_supported_cpuid(vm.kvm);
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x80000001)
			c->entries[i].edx &= ~(1u << 29);
	t_ok(T(cpu.fd, KVM_SET_CPUID2, c));
	free(c);
	T_LOAD(&vm, T_CODE, main16);
	SMM_LOAD(ENTRY, short_handler);
	t_cpu_real(&cpu, T_CODE);
	r = t_regs(&cpu);
	r.rdi = 0x12345678;
	t_set_regs(&cpu, &r);
	out_at(0x10);
	t_ok(T(cpu.fd, KVM_SMI, 0));
	out_at(0x30);
	assert_int_equal(saved(SMBASE, 0x7efc, 4), 0x20000);
	assert_int_equal(saved(SMBASE, 0x7ef8, 4), SMBASE);
	assert_int_equal(saved(SMBASE, 0x7fd0 + 7 * 4, 4), 0x12345678);
	memcpy(SMRAM(AREA(SMBASE, 0x7fd0 + 7 * 4)), &(uint32_t){ 0x87654321 }, 4);
	out_at(0x31);
	out_at(0x10);
	assert_int_equal(t_regs(&cpu).rdi, 0x87654321);
	smm_end();
}

GUEST16(rsm16, "rsm; outb %al, $0x10");
GUEST16(ud16, "outb %al, $0x14; hlt");
GUEST16(spoil, "movl $0x7f58 + 0x8000, %ebx; movl $0x80000000, %cs:(%ebx); rsm");

/* RSM is no instruction outside the mode, and cannot make an impossible state: paging without protection. */
static void rsm_refused(void **state)
{
	smm_begin(0);
	T_LOAD(&vm, T_CODE, rsm16);
	T_LOAD(&vm, 0x9000, ud16);
	*(uint32_t *)(vm.mem + 6 * 4) = 0x9000;
	t_cpu_real(&cpu, T_CODE);
	out_at(0x14);
	SMM_LOAD(ENTRY, spoil);
	t_ok(T(cpu.fd, KVM_SMI, 0));
	t_run_to(&cpu, KVM_EXIT_SHUTDOWN);
	smm_end();
}

/* The client puts the vCPU into the mode: it runs in space 1; and out of it. */
GUEST16(where, "1: movb 0x100(%bx), %al; outb %al, $0x10; jmp 1b");

static void events_set_and_get(void **state)
{
	struct kvm_vcpu_events ev;
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_INIT_RECEIVED };
	struct kvm_sregs s;

	smm_begin(T_IRQCHIP);
	T_LOAD(&vm, T_CODE, where);
	smram[0x100] = 1;
	vm.mem[SMBASE + 0x100] = 0;
	t_cpu_real(&cpu, T_CODE);
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.ds.base = SMBASE;
	s.ds.selector = SMBASE >> 4;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	out_at(0x10);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0);
	ev = events();
	ev.smi.smm = 1;
	ev.smi.smm_inside_nmi = 1;
	t_ok(T(cpu.fd, KVM_SET_VCPU_EVENTS, &ev));
	assert_int_equal(events().smi.smm, 1);
	assert_int_equal(events().smi.smm_inside_nmi, 1);
	t_fails(EINVAL, T(cpu.fd, KVM_SET_MP_STATE, &mp));
	out_at(0x10);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 1);
	/* without the flag the mode stays */
	ev.smi.smm = 0;
	ev.flags &= ~(uint32_t)KVM_VCPUEVENT_VALID_SMM;
	t_ok(T(cpu.fd, KVM_SET_VCPU_EVENTS, &ev));
	out_at(0x10);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 1);
	ev.flags |= KVM_VCPUEVENT_VALID_SMM;
	t_ok(T(cpu.fd, KVM_SET_VCPU_EVENTS, &ev));
	out_at(0x10);
	assert_int_equal(*(uint8_t *)t_io_data(cpu.run), 0);
	smm_end();
}

/* Slots of the two spaces have nothing to do with one another; each has its own log. */
static void two_spaces(void **state)
{
	uint64_t bits[8] = { 0 };
	struct kvm_dirty_log log = { .slot = 1 << 16 | 1, .dirty_bitmap = bits };

	smm_begin(0);
	t_fails(EEXIST, t_slot(&vm, 1 << 16 | 5, 0, SMBASE, T_PAGE, smram));
	t_fails(EINVAL, t_slot(&vm, 2 << 16, 0, 0, T_PAGE, smram));
	T_LOAD(&vm, T_CODE, main16);
	SMM_LOAD(ENTRY, short_handler);
	t_cpu_real(&cpu, T_CODE);
	out_at(0x10);
	t_ok(t_slot(&vm, 1 << 16 | 1, KVM_MEM_LOG_DIRTY_PAGES, SMBASE, 0x20000, smram));
	t_ok(T(cpu.fd, KVM_SMI, 0));
	out_at(0x30);
	t_ok(T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	assert_int_equal(bits[0], 1u << 15);		/* the save area's page */
	log.slot = 0;
	t_fails(ENOENT, T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	log.slot = 2 << 16;
	t_fails(EINVAL, T(vm.fd, KVM_GET_DIRTY_LOG, &log));
	/* the handler's memory goes away under it: the code it was is not there any more */
	t_ok(t_slot(&vm, 1 << 16 | 1, 0, SMBASE, 0, smram));
	t_ok(t_run(&cpu));
	assert_true(cpu.run->exit_reason == KVM_EXIT_INTERNAL_ERROR || cpu.run->exit_reason == KVM_EXIT_SHUTDOWN ||
		    cpu.run->exit_reason == KVM_EXIT_MMIO);
	smm_end();
}

T_MAIN(T_CASE(in_and_out), T_CASE(handler_changes_rax), T_CASE(smbase_moves), T_CASE(nmi_waits), T_CASE(without_long_mode),
       T_CASE(rsm_refused), T_CASE(events_set_and_get), T_CASE(two_spaces))
