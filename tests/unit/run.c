// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KVM_RUN's rules for the client (the KVM API document, and what clients rely on): port and
 * memory-mapped I/O exits and their completion, immediate_exit, HLT, state synchronised through
 * kvm_run, MSRs handed to the client.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "t_interp.h"

#define CODE(bytes)	t_interp_code(bytes, sizeof(bytes) - 1)

static struct kvm_run *run;

static int setup(void **state)
{
	t_interp_begin(false, 16);
	run = t_interp.run;
	return 0;
}

static int setup_irqchip(void **state)
{
	t_interp_begin(true, 16);
	run = t_interp.run;
	return 0;
}

static int teardown(void **state)
{
	t_interp_end();
	return 0;
}

static u8 *pio_data(void)
{
	return (u8 *)run + run->io.data_offset;
}

static void expect_io(unsigned int direction, unsigned int port, unsigned int size,
		      unsigned int count)
{
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(run->io.direction, direction);
	assert_int_equal(run->io.port, port);
	assert_int_equal(run->io.size, size);
	assert_int_equal(run->io.count, count);
}

static void expect_mmio(bool write, u64 gpa, unsigned int len, const void *data)
{
	assert_int_equal(run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(run->mmio.is_write, write);
	assert_int_equal(run->mmio.phys_addr, gpa);
	assert_int_equal(run->mmio.len, len);
	if (write)
		assert_memory_equal(run->mmio.data, data, len);
}

static void run_expect_mmio(bool write, u64 gpa, unsigned int len, const void *data)
{
	assert_int_equal(t_interp_run(), 0);
	expect_mmio(write, gpa, len, data);
}

static void expect_hlt(void)
{
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_HLT);
}

static void port_out(void **state)
{
	CODE("\xb0\x5a\xe6\x42\xf4");			/* mov al, 0x5a; out 0x42, al; hlt */
	expect_io(KVM_EXIT_IO_OUT, 0x42, 1, 1);
	assert_int_equal(*pio_data(), 0x5a);
	expect_hlt();
	assert_int_equal(t_interp_regs().rip, 0x1005);
}

static void port_in(void **state)
{
	CODE("\xb8\xff\xff\xe4\x60\xf4");		/* mov ax, 0xffff; in al, 0x60; hlt */
	expect_io(KVM_EXIT_IO_IN, 0x60, 1, 1);
	*pio_data() = 0x12;
	expect_hlt();
	assert_int_equal(t_interp_regs().rax & 0xffff, 0xff12);
}

/* A client finishes a half-done instruction by immediate_exit and KVM_RUN before it saves state. */
static void immediate_exit_completes(void **state)
{
	CODE("\xe4\x60\xf4");
	expect_io(KVM_EXIT_IO_IN, 0x60, 1, 1);
	*pio_data() = 0x77;
	run->immediate_exit = 1;
	assert_int_equal(t_interp_run(), -EINTR);
	assert_int_equal(run->exit_reason, KVM_EXIT_IO);	/* no signal: as it was */
	assert_int_equal(t_interp_regs().rax & 0xff, 0x77);
	assert_int_equal(t_interp_regs().rip, 0x1002);
	/* nothing runs as long as the flag is set, and it is never cleared for the client */
	assert_int_equal(t_interp_run(), -EINTR);
	assert_int_equal(t_interp_regs().rip, 0x1002);
	assert_int_equal(run->immediate_exit, 1);
	run->immediate_exit = 0;
	expect_hlt();
}

/* rep insb: as many bytes as fit a page at once; the client may change RCX while it answers. */
static void rep_ins(void **state)
{
	struct kvm_regs r;

	/* mov cx,3; mov di,0x2000; mov dx,0x80; rep insb */
	CODE("\xb9\x03\x00\xbf\x00\x20\xba\x80\x00\xf3\x6c\xf4");
	expect_io(KVM_EXIT_IO_IN, 0x80, 1, 3);
	memset(pio_data(), 0xaa, 3);
	r = t_interp_regs();
	assert_int_equal(r.rcx & 0xffff, 3);
	r.rcx = 1;
	t_interp_set_regs(&r);
	expect_hlt();
	assert_int_equal(t_interp_regs().rcx & 0xffff, 0);
	assert_int_equal(t_interp_regs().rdi & 0xffff, 0x2001);
	assert_int_equal(t_interp.ram[0x2000], 0xaa);
	assert_int_equal(t_interp.ram[0x2001], 0);
}

static void rep_ins_grown(void **state)
{
	struct kvm_regs r;
	unsigned int got = 3;

	CODE("\xb9\x03\x00\xbf\x00\x20\xba\x80\x00\xf3\x6c\xf4");
	expect_io(KVM_EXIT_IO_IN, 0x80, 1, 3);
	memset(pio_data(), 0xaa, HV_PAGE_SIZE);
	r = t_interp_regs();
	r.rcx = 8192;
	t_interp_set_regs(&r);
	for (;;) {
		assert_int_equal(t_interp_run(), 0);
		if (run->exit_reason != KVM_EXIT_IO)
			break;
		assert_in_range(run->io.count, 1, HV_PAGE_SIZE);
		memset(pio_data(), 0xaa, HV_PAGE_SIZE);
		got += run->io.count;
	}
	assert_int_equal(run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(got, 8192);
	assert_int_equal(t_interp_regs().rdi & 0xffff, 0x2000 + 8192);
	assert_int_equal(t_interp.ram[0x2000 + 8191], 0xaa);
	assert_int_equal(t_interp.ram[0x2000 + 8192], 0);
}

static void rep_outs(void **state)
{
	unsigned int got = 0;

	/* rep outsw, four words from 0x2000 */
	CODE("\xb9\x04\x00\xbe\x00\x20\xba\x80\x00\xf3\x6f\xf4");
	memcpy(t_interp.ram + 0x2000, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
	for (;;) {
		assert_int_equal(t_interp_run(), 0);
		if (run->exit_reason != KVM_EXIT_IO)
			break;
		assert_int_equal(run->io.direction, KVM_EXIT_IO_OUT);
		assert_int_equal(run->io.size, 2);
		assert_memory_equal(pio_data(), t_interp.ram + 0x2000 + 2 * got, 2 * run->io.count);
		got += run->io.count;
	}
	assert_int_equal(got, 4);
	assert_int_equal(t_interp_regs().rsi & 0xffff, 0x2008);
	assert_int_equal(t_interp_regs().rcx & 0xffff, 0);
}

/* ---- memory-mapped; memory ends at 0x10000, DS is set to 0xffff: 0xffff0 + offset ------------ */

#define DS_FFFF		"\xb8\xff\xff\x8e\xd8"		/* mov ax, 0xffff; mov ds, ax */

static void mmio_read(void **state)
{
	CODE(DS_FFFF "\x66\xa1\x10\x00\xf4");		/* mov eax, [0x10]; hlt */
	run_expect_mmio(false, 0x100000, 4, NULL);
	memcpy(run->mmio.data, "\x78\x56\x34\x12", 4);
	expect_hlt();
	assert_int_equal(t_interp_regs().rax, 0x12345678);
}

static void mmio_write(void **state)
{
	CODE(DS_FFFF "\x66\xb8\x78\x56\x34\x12\x66\xa3\x10\x00\xf4");
	run_expect_mmio(true, 0x100000, 4, "\x78\x56\x34\x12");
	expect_hlt();
}

/* Read-modify-write: a read exit, then a write exit on the next KVM_RUN. */
static void mmio_rmw(void **state)
{
	CODE(DS_FFFF "\x83\x06\x10\x00\x05\xf4");	/* add word [0x10], 5 */
	run_expect_mmio(false, 0x100000, 2, NULL);
	memcpy(run->mmio.data, "\xff\xff", 2);
	run_expect_mmio(true, 0x100000, 2, "\x04\x00");
	expect_hlt();
	assert_true(t_interp_regs().rflags & X86_FLAG_CF);
}

/* An access over the end of memory: what is in memory is done here, the rest is the client's. */
static void mmio_half_in_memory(void **state)
{
	/* mov eax, ..; mov [0xfffe], eax: #GP by the limit */
	CODE("\x66\xb8\x78\x56\x34\x12\x66\xa3\xfe\xff\xf4");
	memcpy(t_interp.ram + 0x34, "\x00\x20\x00\x00", 4);	/* vector 13: 0:0x2000 */
	t_interp.ram[0x2000] = 0xf4;
	expect_hlt();
	assert_int_equal(t_interp_regs().rip, 0x2001);
	/* without the limit in the way: DS = 0xfff, offset 0xe makes linear 0xfffe */
	CODE("\xb8\xff\x0f\x8e\xd8\x66\xb8\x78\x56\x34\x12\x66\xa3\x0e\x00\xf4");
	run_expect_mmio(true, 0x10000, 2, "\x34\x12");
	assert_memory_equal(t_interp.ram + 0xfffe, "\x78\x56", 2);
	expect_hlt();
	CODE("\xb8\xff\x0f\x8e\xd8\x66\xa1\x0e\x00\xf4");
	run_expect_mmio(false, 0x10000, 2, NULL);
	memcpy(run->mmio.data, "\xcd\xab", 2);
	expect_hlt();
	assert_int_equal(t_interp_regs().rax, 0xabcd5678);
}

/* Two device pages: one exit for each part, in order. */
static void mmio_page_crossing(void **state)
{
	CODE("\xb8\xff\x1f\x8e\xd8\x66\xa1\x0d\x00\xf4");	/* linear 0x1fffd */
	run_expect_mmio(false, 0x1fffd, 3, NULL);
	memcpy(run->mmio.data, "\x11\x22\x33", 3);
	run_expect_mmio(false, 0x20000, 1, NULL);
	run->mmio.data[0] = 0x44;
	expect_hlt();
	assert_int_equal(t_interp_regs().rax, 0x44332211);

	CODE("\xb8\xff\x1f\x8e\xd8\x66\xb8\x78\x56\x34\x12\x66\xa3\x0d\x00\xf4");
	run_expect_mmio(true, 0x1fffd, 3, "\x78\x56\x34");
	run_expect_mmio(true, 0x20000, 1, "\x12");
	expect_hlt();
}

static void mmio_string(void **state)
{
	unsigned int i;

	/* mov si,0x2000; mov di,0x10; mov cx,3; mov es=0xffff; rep movsb */
	CODE("\xb8\xff\xff\x8e\xc0\xbe\x00\x20\xbf\x10\x00\xb9\x03\x00\xf3\xa4\xf4");
	memcpy(t_interp.ram + 0x2000, "abc", 3);
	for (i = 0; i < 3; i++)
		run_expect_mmio(true, 0x100000 + i, 1, "abc" + i);
	expect_hlt();
	/* device to device: a read and a write for each element; more elements than any buffer
	 * holds */
	CODE("\xb8\xff\xff\x8e\xc0\x8e\xd8\xbe\x10\x00\xbf\x10\x01\xb9\x0c\x00\xf3\xa4\xf4");
	for (i = 0; i < 12; i++) {
		u8 byte = 0x30 + i;

		run_expect_mmio(false, 0x100000 + i, 1, NULL);
		run->mmio.data[0] = byte;
		run_expect_mmio(true, 0x100100 + i, 1, &byte);
	}
	expect_hlt();
}

static void mmio_push(void **state)
{
	/* mov ax,0xffff; mov ss,ax; mov sp,0x12; push ax; hlt */
	CODE("\xb8\xff\xff\x8e\xd0\xbc\x12\x00\x50\xf4");
	run_expect_mmio(true, 0x100000, 2, "\xff\xff");
	assert_int_equal(t_interp_regs().rsp & 0xffff, 0x10);
	expect_hlt();
}

static void mmio_xchg(void **state)
{
	/* mov ax, 0x1234; xchg [0x10], ax */
	CODE(DS_FFFF "\xb8\x34\x12\x87\x06\x10\x00\xf4");
	run_expect_mmio(false, 0x100000, 2, NULL);
	memcpy(run->mmio.data, "\x78\x56", 2);
	run_expect_mmio(true, 0x100000, 2, "\x34\x12");
	expect_hlt();
	assert_int_equal(t_interp_regs().rax & 0xffff, 0x5678);
}

/* Writes to a read-only slot are the client's and leave the memory alone; reads are not. */
static void read_only_slot(void **state)
{
	u8 *rom = t_memory(t_interp.vm_fd, 1, 0x100000, 1, KVM_MEM_READONLY);

	rom[0] = 0x41;
	CODE(DS_FFFF "\xfe\x06\x10\x00\xf4");		/* inc byte [0x10] */
	run_expect_mmio(true, 0x100000, 1, "\x42");
	expect_hlt();
	assert_int_equal(rom[0], 0x41);
}

/* The client moved RIP instead of finishing the instruction: its answer is dropped. */
static void rip_moved_at_exit(void **state)
{
	struct kvm_regs r;

	CODE("\xb8\x99\x99\xe4\x60\xf4");
	expect_io(KVM_EXIT_IO_IN, 0x60, 1, 1);
	*pio_data() = 0x12;
	r = t_interp_regs();
	r.rip = 0x1005;
	t_interp_set_regs(&r);
	expect_hlt();
	assert_int_equal(t_interp_regs().rax & 0xffff, 0x9999);
}

/* ---- HLT, input fields, memory that is not there --------------------------------------------- */

static void fields_after_exit(void **state)
{
	CODE("\xfb\x90\xf4");				/* sti; nop; hlt */
	expect_hlt();
	assert_int_equal(run->if_flag, 1);
	assert_int_equal(run->ready_for_interrupt_injection, 1);
	assert_int_equal(run->apic_base & 0xfffff000, 0xfee00000);
	run->cr8 = 16;
	assert_int_equal(t_interp_run(), -EINVAL);
	run->cr8 = 5;
	CODE("\xf4");
	expect_hlt();
	assert_int_equal(run->cr8, 5);
}

static void sync_regs(void **state)
{
	CODE("\x40\xf4");				/* inc ax; hlt */
	run->kvm_valid_regs = 8;
	assert_int_equal(t_interp_run(), -EINVAL);
	run->kvm_valid_regs = 0;
	run->kvm_dirty_regs = 1UL << 40;
	assert_int_equal(t_interp_run(), -EINVAL);
	run->kvm_dirty_regs = 0;
	memset(&run->s.regs, 0xbb, sizeof(run->s.regs));
	run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	expect_hlt();
	assert_int_equal(run->s.regs.regs.rip, 0x1002);
	assert_int_equal(((u8 *)&run->s.regs.sregs)[0], 0xbb);	/* not asked for: untouched */
	run->s.regs.regs.rip = 0x1000;
	run->s.regs.regs.rax = 0x41;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	expect_hlt();
	assert_int_equal(run->s.regs.regs.rax, 0x42);
	assert_int_equal(run->kvm_dirty_regs, 0);		/* taken, once */
}

static void no_memory(void **state)
{
	struct kvm_sregs s;

	/* no slot under the code: nothing can be fetched */
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_GET_SREGS, &s), 0);
	s.cs.base = 0x200000;
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_SET_SREGS, &s), 0);
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
}

static void halt_sleeps_until_nmi(void **state)
{
	CODE("\xf4\xf4");
	memcpy(t_interp.ram + 8, "\x00\x20\x00\x00", 4);	/* vector 2: 0:0x2000 */
	t_interp.ram[0x2000] = 0xe6;			/* out 0x99, al */
	t_interp.ram[0x2001] = 0x99;
	t_interp.budget = 2;
	assert_int_equal(t_ioctl_n(t_interp.vcpu_fd, KVM_NMI, 0), 0);
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(run->io.port, 0x99);
}

static void init_and_sipi(void **state)
{
	struct kvm_mp_state mp;
	struct kvm_regs r = { .rip = 0x1234, .rax = 5, .rflags = 2 };
	struct kvm_sregs s;
	int fd = t_ioctl_n(t_interp.vm_fd, KVM_CREATE_VCPU, 1);
	struct vcpu *ap = t_vcpu_obj(fd);

	assert_int_equal(t_ioctl(fd, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	t_interp_set_regs(&r);
	/* a SIPI before INIT is ignored */
	core_irq_sink()->lapic_sipi(ap, 0x44);
	assert_int_equal(t_ioctl(fd, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	core_irq_sink()->lapic_init(ap);
	assert_int_equal(t_ioctl(fd, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_INIT_RECEIVED);
	core_irq_sink()->lapic_sipi(ap, 0x9a);
	assert_int_equal(t_ioctl(fd, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(t_ioctl(fd, KVM_GET_SREGS, &s), 0);
	assert_int_equal(t_ioctl(fd, KVM_GET_REGS, &r), 0);
	assert_int_equal(s.cs.selector, 0x9a00);
	assert_int_equal(s.cs.base, 0x9a000);
	assert_int_equal(r.rip, 0);
	/* SDM 3A table 10-1 */
	assert_int_equal(r.rflags, 2);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.gdt.limit, 0xffff);
	assert_int_equal(s.tr.limit, 0xffff);
	/* INIT to the boot processor restarts it */
	core_irq_sink()->lapic_init(t_interp.v);
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(t_interp_regs().rip, 0xfff0);
	t_fd_close(fd);
}

/*
 * Translations that core keeps for the emulator go with the processor's: INVLPG, KVM_SET_SREGS,
 * slots.
 */
static void translations_dropped(void **state)
{
	u64 *p4 = (u64 *)(t_interp.ram + 0x2000), *p3 = (u64 *)(t_interp.ram + 0x3000);
	u64 *p2 = (u64 *)(t_interp.ram + 0x4000), *p1 = (u64 *)(t_interp.ram + 0x5000);
	struct vcpu *v = t_interp.v;
	struct kvm_sregs s;
	u8 byte;

	p4[0] = 0x3003;
	p3[0] = 0x4003;
	p2[0] = 0x5003;
	p1[0x40] = 0x6003;
	t_interp.ram[0x6000] = 0x66;
	t_interp.ram[0x7000] = 0x77;
	t_interp.ram[0x8000] = 0x88;
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_GET_SREGS, &s), 0);
	s.cr3 = 0x2000;
	s.cr4 = CR4_PAE;
	s.cr0 = CR0_PE | CR0_PG | CR0_ET;
	s.efer = EFER_LME | EFER_LMA;
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_SET_SREGS, &s), 0);
	vcpu_read_lock(v);
	assert_int_equal(gaccess_read(&v->emul, 0x40000, &byte, 1, WALK_READ), 0);
	assert_int_equal(byte, 0x66);
	p1[0x40] = 0x7003;
	vcpu_invlpg(v, 0x40000);
	assert_int_equal(gaccess_read(&v->emul, 0x40000, &byte, 1, WALK_READ), 0);
	assert_int_equal(byte, 0x77);
	vcpu_read_unlock(v);
	p1[0x40] = 0x8003;
	assert_int_equal(t_ioctl(t_interp.vcpu_fd, KVM_SET_SREGS, &s), 0);
	vcpu_read_lock(v);
	assert_int_equal(gaccess_read(&v->emul, 0x40000, &byte, 1, WALK_READ), 0);
	assert_int_equal(byte, 0x88);
	vcpu_read_unlock(v);
	/* other memory appears in place of a hole */
	p1[0x41] = 0x100003;
	vcpu_read_lock(v);
	assert_int_equal(gaccess_read(&v->emul, 0x41000, &byte, 1, WALK_READ), -EAGAIN);
	vcpu_read_unlock(v);
	*(u8 *)t_memory(t_interp.vm_fd, 1, 0x100000, 1, 0) = 0x99;
	vcpu_read_lock(v);
	assert_int_equal(gaccess_read(&v->emul, 0x41000, &byte, 1, WALK_READ), 0);
	assert_int_equal(byte, 0x99);
	vcpu_read_unlock(v);
}

/* ---- MSRs that the client handles ------------------------------------------------------------ */

static void msr_to_client(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_UNKNOWN } };

	if (t_ioctl_n(t_interp.vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR) <= 0)
		skip();
	assert_int_equal(t_ioctl(t_interp.vm_fd, KVM_ENABLE_CAP, &cap), 0);
	/* mov ecx, 0x12345678; rdmsr; wrmsr; rdmsr */
	CODE("\x66\xb9\x78\x56\x34\x12\x0f\x32\x0f\x30\x0f\x32\xf4");
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_X86_RDMSR);
	assert_int_equal(run->msr.index, 0x12345678);
	assert_int_equal(run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	run->msr.data = 0x1122334455667788;
	run->msr.error = 0;
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_X86_WRMSR);
	assert_int_equal(run->msr.data, 0x1122334455667788);
	assert_int_equal(t_interp_run(), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_X86_RDMSR);
	run->msr.error = 1;				/* #GP */
	memcpy(t_interp.ram + 0x34, "\x00\x20\x00\x00", 4);
	t_interp.ram[0x2000] = 0xf4;
	expect_hlt();
	assert_int_equal(t_interp_regs().rip, 0x2001);
	assert_int_equal(t_interp_regs().rax, 0x55667788);
}

int main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TI(f)	cmocka_unit_test_setup_teardown(f, setup_irqchip, teardown)
	const struct CMUnitTest tests[] = {
		T(port_out), T(port_in), T(immediate_exit_completes), T(rep_ins), T(rep_ins_grown), T(rep_outs),
		T(mmio_read), T(mmio_write), T(mmio_rmw), T(mmio_half_in_memory), T(mmio_page_crossing), T(mmio_string),
		T(mmio_push), T(mmio_xchg), T(read_only_slot), T(rip_moved_at_exit), T(fields_after_exit), T(sync_regs),
		T(no_memory), TI(halt_sleeps_until_nmi), TI(init_and_sipi), T(translations_dropped),
		T(msr_to_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
