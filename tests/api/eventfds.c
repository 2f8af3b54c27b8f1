/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* eventfds.c - KVM_IRQFD and KVM_IOEVENTFD. */
#include "lib/t_kvm.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static struct t_vm vm;
static struct t_cpu cpu;

static int event(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static uint64_t taken(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void kick(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* ---- irqfd ---- */

static bool arrived(uint8_t vector)
{
	struct kvm_lapic_state s;
	uint32_t irr, n;

	for (n = 0; n < 200; n++) {		/* another thread brings it */
		t_ok(T(cpu.fd, KVM_GET_LAPIC, &s));
		memcpy(&irr, s.regs + 0x200 + vector / 32 * 0x10, 4);
		if (irr >> vector % 32 & 1)
			return true;
		usleep(1000);
	}
	return false;
}

static void begin_irq(unsigned int how)
{
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e[2]; } r = { .head.nr = 2 };
	struct kvm_lapic_state s;
	int i;

	t_vm_create(&vm, how);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(T(cpu.fd, KVM_GET_LAPIC, &s));
	memcpy(s.regs + 0xf0, &(uint32_t){ 0x1ff }, 4);
	t_ok(T(cpu.fd, KVM_SET_LAPIC, &s));
	for (i = 0; i < 2; i++) {
		r.e[i].gsi = 40 + (uint32_t)i;
		r.e[i].type = KVM_IRQ_ROUTING_MSI;
		r.e[i].u.msi.address_lo = 0xfee00000;
		r.e[i].u.msi.data = 0x51 + (uint32_t)i;
	}
	t_ok(T(vm.fd, KVM_SET_GSI_ROUTING, &r));
}

static long irqfd(int fd, uint32_t gsi, uint32_t flags, int resample)
{
	struct kvm_irqfd a = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags, .resamplefd = (uint32_t)resample };

	return T(vm.fd, KVM_IRQFD, &a);
}

static void irqfd_fires(void **state)
{
	int a = event(), b = event();

	begin_irq(T_IRQCHIP);
	t_ok(irqfd(a, 40, 0, 0));
	t_fails(EBUSY, irqfd(a, 41, 0, 0));
	kick(a);
	assert_true(arrived(0x51));
	assert_int_equal(taken(a), 0);			/* drained */
	kick(b);
	t_ok(irqfd(b, 41, 0, 0));			/* pending when it is assigned: fires */
	assert_true(arrived(0x52));
	t_ok(irqfd(a, 41, KVM_IRQFD_FLAG_DEASSIGN, 0));	/* matches nothing */
	t_ok(irqfd(a, 40, KVM_IRQFD_FLAG_DEASSIGN, 0));
	kick(a);
	usleep(5000);
	assert_int_equal(taken(a), 1);			/* nobody's any more */
	t_ok(irqfd(a, 40, 0, 0));
	t_ok(irqfd(b, 41, KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE, 0));
	close(a);
	close(b);
	T_END(&vm, &cpu);
}

static bool line_high(unsigned int pin)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	t_ok(T(vm.fd, KVM_GET_IRQCHIP, &chip));
	return chip.chip.ioapic.irr >> pin & 1;
}

static bool line_becomes(unsigned int pin, bool high)
{
	int n;

	for (n = 0; n < 200 && line_high(pin) != high; n++)
		usleep(1000);
	return line_high(pin) == high;
}

/* dup2() by the instruction itself: nobody in this process hears of it. */
static int raw_dup2(int old, int new)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "0"(SYS_dup2), "D"((long)old), "S"((long)new) : "rcx", "r11", "memory");
	return (int)ret;
}

/* Each way to signal, and what looks like a signal and is none. */
static void irqfd_writes(void **state)
{
	int fd = event(), other = event(), keep, pipes[2], status, n;
	uint64_t one = 1, all = ~0ULL, got;
	struct iovec iov = { &one, sizeof(one) };
	pid_t child;

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	for (n = 0; n < 6; n++) {
		t_ok(irqfd(fd, 20, KVM_IRQFD_FLAG_RESAMPLE, other));
		assert_false(line_high(20));
		switch (n) {
		case 0:
			assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
			break;
		case 1:
			assert_int_equal(eventfd_write(fd, 1), 0);
			break;
		case 2:
			assert_int_equal(syscall(SYS_write, fd, &one, sizeof(one)), sizeof(one));
			break;
		case 3:
			assert_int_equal(writev(fd, &iov, 1), sizeof(one));
			break;
		case 4:
			assert_int_equal(eventfd_write(fd, 12), 0);
			break;
		case 5:
			child = fork();
			if (!child)
				_exit(write(fd, &one, sizeof(one)) != sizeof(one));
			assert_int_equal(waitpid(child, &status, 0), child);
			assert_int_equal(status, 0);
		}
		assert_true(line_becomes(20, true));
		assert_int_equal(taken(fd), 0);
		t_ok(irqfd(fd, 20, KVM_IRQFD_FLAG_DEASSIGN, 0));	/* and the line falls */
	}
	t_ok(irqfd(fd, 20, KVM_IRQFD_FLAG_RESAMPLE, other));
	assert_int_equal(write(fd, &one, 4), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(write(fd, &all, sizeof(all)), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(syscall(SYS_write, fd, T_BAD_PTR, sizeof(one)), -1);
	assert_int_equal(errno, EFAULT);
	/* the number becomes something else's, in a way that a library need not see */
	keep = dup(fd);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(raw_dup2(pipes[1], fd), fd);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(read(pipes[0], &got, sizeof(got)), sizeof(got));
	assert_int_equal(got, 1);
	assert_int_equal(raw_dup2(other, fd), fd);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(taken(other), 1);
	assert_false(line_high(20));
	kick(keep);
	assert_true(line_becomes(20, true));
	for (n = 0; n < 2; n++)
		close(pipes[n]);
	close(keep);
	close(fd);
	close(other);
	T_END(&vm, &cpu);
}

static void irqfd_refusals(void **state)
{
	int fd = event(), null = open("/dev/null", O_RDWR);

	t_vm_create(&vm, 0);
	t_fails(EINVAL, irqfd(fd, 1, 0, 0));		/* no controllers in there */
	t_vm_destroy(&vm);
	begin_irq(T_IRQCHIP);
	t_fails(EINVAL, irqfd(fd, 40, 4, 0));
	t_fails(EBADF, irqfd(9999, 40, 0, 0));
	t_fails(EINVAL, irqfd(null, 40, 0, 0));
	t_fails(EBADF, irqfd(fd, 40, KVM_IRQFD_FLAG_RESAMPLE, 9999));
	t_fails(EFAULT, T(vm.fd, KVM_IRQFD, T_BAD_PTR));
	t_ok(irqfd(fd, 40, 0, 0));			/* none of this is left behind */
	T_END(&vm, &cpu);
	begin_irq(T_SPLIT);
	t_fails(EINVAL, irqfd(fd, 40, KVM_IRQFD_FLAG_RESAMPLE, event()));
	t_ok(irqfd(fd, 40, 0, 0));
	kick(fd);
	assert_true(arrived(0x51));
	T_END(&vm, &cpu);
	close(fd);
	close(null);
}

/* A level-triggered pin: raised by the eventfd, lowered by the guest's EOI, which tells both devices on it. */
GUEST16(level_code, "movl $0xfee00000, %ebx; movl $0x1ff, %fs:0xf0(%ebx); outb %al, $0x11; sti; 1: hlt; jmp 1b");
GUEST16(level_isr, "movl $0, %fs:0xb0(%ebx); outb %al, $0x10; iretw");

static void irqfd_resample(void **state)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	int fd[2] = { event(), event() }, again[2] = { event(), event() };
	struct kvm_sregs s;
	int n;

	T_START(&vm, &cpu, T_IRQCHIP, level_code);
	T_LOAD(&vm, 0x9000, level_isr);
	*(uint32_t *)(vm.mem + 0x55 * 4) = 0x9000;
	t_ok(T(cpu.fd, KVM_GET_SREGS, &s));
	s.fs.limit = 0xffffffff;
	s.fs.g = 1;
	t_ok(T(cpu.fd, KVM_SET_SREGS, &s));
	t_ok(T(vm.fd, KVM_GET_IRQCHIP, &chip));
	chip.chip.ioapic.redirtbl[20].bits = 0x55 | 1 << 15;
	t_ok(T(vm.fd, KVM_SET_IRQCHIP, &chip));
	for (n = 0; n < 2; n++)
		t_ok(irqfd(fd[n], 20, KVM_IRQFD_FLAG_RESAMPLE, again[n]));
	t_run_to(&cpu, KVM_EXIT_IO);
	for (n = 0; n < 3; n++) {
		kick(fd[n & 1]);
		t_run_to(&cpu, KVM_EXIT_IO);
		assert_int_equal(cpu.run->io.port, 0x10);
		assert_int_equal(taken(again[0]), 1);
		assert_int_equal(taken(again[1]), 1);
	}
	t_ok(irqfd(fd[0], 20, KVM_IRQFD_FLAG_DEASSIGN, 0));
	kick(fd[1]);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(taken(again[0]), 0);
	assert_int_equal(taken(again[1]), 1);
	for (n = 0; n < 2; n++) {
		close(fd[n]);
		close(again[n]);
	}
	T_END(&vm, &cpu);
}

static unsigned int open_descriptors(void)
{
	unsigned int n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* An eventfd with the number fd, which is free. */
static void event_at(int fd)
{
	int below[16], n = 0, tries = 0, e;

	/* not by dup2(): for a moment the number may be somebody else's in the process */
	while ((e = event()) != fd) {
		if (e < fd && n < 16) {
			below[n++] = e;
			continue;
		}
		close(e);
		sched_yield();
		assert_true(tries++ < 1000000);
	}
	while (n)
		close(below[--n]);
}

/* The last reference of the client's, wherever it is, ends the irqfd. */
static void irqfd_ends_with_the_eventfd(void **state)
{
	int fd = event(), copy = dup(fd), n;
	unsigned int before;

	begin_irq(T_IRQCHIP);
	t_ok(irqfd(fd, 40, 0, 0));
	close(fd);
	t_fails(EBUSY, irqfd(copy, 40, 0, 0));		/* it is the same eventfd still */
	close(copy);
	/* the number, and maybe the kernel's own for it, come back: another eventfd */
	event_at(fd);
	t_ok(irqfd(fd, 41, 0, 0));
	kick(fd);
	assert_true(arrived(0x52));
	t_ok(irqfd(fd, 41, KVM_IRQFD_FLAG_DEASSIGN, 0));
	/* a signal right before the end is an interrupt like any other */
	event_at(copy);
	t_ok(irqfd(copy, 40, 0, 0));
	kick(copy);
	close(copy);
	assert_true(arrived(0x51));
	close(fd);
	/* a client that never takes them away: twice as many as are kept for their last signal, and some */
	before = open_descriptors();
	for (n = 0; n < 1000; n++) {
		fd = event();
		t_ok(irqfd(fd, 41, 0, 0));
		assert_true(open_descriptors() < before + 200);
		close(fd);
	}
	fd = event();
	t_ok(irqfd(fd, 40, 0, 0));
	T_END(&vm, &cpu);
	/* nothing of ours keeps it, or is left, once the ends have been noticed */
	close(fd);
	for (n = 0; n < 5000 && open_descriptors() > before; n++)
		usleep(1000);
	assert_true(open_descriptors() <= before);
}

/* A level that a resampling irqfd holds does not outlive its eventfd. */
static void closing_lowers_the_line(void **state)
{
	int fd = event(), other = event(), again = event();

	t_vm_create(&vm, T_IRQCHIP);
	t_cpu_create(&vm, &cpu, 0);
	t_ok(irqfd(fd, 20, KVM_IRQFD_FLAG_RESAMPLE, again));
	t_ok(irqfd(other, 21, KVM_IRQFD_FLAG_RESAMPLE, again));
	kick(fd);
	kick(other);
	assert_true(line_becomes(20, true));
	assert_true(line_becomes(21, true));
	close(fd);
	assert_true(line_becomes(20, false));
	assert_true(line_high(21));
	/* replaced by something else is closed, too */
	assert_int_equal(dup2(again, other), other);
	assert_true(line_becomes(21, false));
	close(other);
	close(again);
	T_END(&vm, &cpu);
}

/* The irqfd outlives the descriptor the client closes, and the VM its eventfd. */
static void irqfd_and_closing(void **state)
{
	int fd = event(), copy;

	begin_irq(T_IRQCHIP);
	copy = dup(fd);
	t_ok(irqfd(fd, 40, 0, 0));
	t_fails(EBUSY, irqfd(copy, 41, 0, 0));		/* the same eventfd */
	close(fd);
	kick(copy);
	assert_true(arrived(0x51));
	T_END(&vm, &cpu);
	kick(copy);
	close(copy);
}

/* ---- ioeventfd ---- */

static long io(int fd, uint64_t addr, uint32_t len, uint64_t match, uint32_t flags)
{
	struct kvm_ioeventfd a = { .fd = fd, .addr = addr, .len = len, .datamatch = match, .flags = flags };

	return T(vm.fd, KVM_IOEVENTFD, &a);
}

#define PIO	KVM_IOEVENTFD_FLAG_PIO
#define MATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define GONE	KVM_IOEVENTFD_FLAG_DEASSIGN

GUEST16(pio_code, "movw $7, %ax; outb %al, $0x50; outw %ax, $0x50; outw %ax, $0x52; movw $8, %ax; outw %ax, $0x52; inb $0x50, %al;"
	"outb %al, $0x10; hlt");

static void port_writes(void **state)
{
	int any = event(), seven = event();

	T_START(&vm, &cpu, 0, pio_code);
	t_ok(io(any, 0x50, 2, 0, PIO));
	t_ok(io(seven, 0x52, 2, 7, PIO | MATCH));
	t_run_to(&cpu, KVM_EXIT_IO);			/* one byte: another length */
	assert_int_equal(cpu.run->io.size, 1);
	assert_int_equal(taken(any), 0);
	t_run_to(&cpu, KVM_EXIT_IO);			/* both match; then 8 does not */
	assert_int_equal(cpu.run->io.port, 0x52);
	assert_int_equal(*(uint16_t *)t_io_data(cpu.run), 8);
	assert_int_equal(taken(any), 1);
	assert_int_equal(taken(seven), 1);
	t_run_to(&cpu, KVM_EXIT_IO);			/* reads always exit */
	assert_int_equal(cpu.run->io.direction, KVM_EXIT_IO_IN);
	t_run_to(&cpu, KVM_EXIT_IO);
	/* taken away: exits again */
	t_ok(io(any, 0x50, 2, 0, PIO | GONE));
	t_ok(io(seven, 0x52, 2, 7, PIO | MATCH | GONE));
	t_cpu_real(&cpu, T_CODE);
	t_run_to(&cpu, KVM_EXIT_IO);
	t_run_to(&cpu, KVM_EXIT_IO);
	assert_int_equal(cpu.run->io.size, 2);
	assert_int_equal(cpu.run->io.port, 0x50);
	assert_int_equal(taken(any), 0);
	close(any);
	close(seven);
	T_END(&vm, &cpu);
}

GUEST64(mmio_code, "mov $0x20000000, %edi; movb $1, (%rdi); movl $2, (%rdi); movq $3, (%rdi); movl $4, 8(%rdi); movl $5, 8(%rdi);"
	"mov 8(%rdi), %eax; out %al, $0x10; hlt");

static void memory_writes(void **state)
{
	int any = event(), four = event();

	t_vm_create(&vm, 0);
	t_cpu_create(&vm, &cpu, 0);
	T_LOAD(&vm, T_CODE, mmio_code);
	t_cpu_long(&vm, &cpu, T_CODE);
	t_ok(io(any, 0x20000000, 0, 0, 0));		/* of any length */
	t_ok(io(four, 0x20000008, 4, 4, MATCH));
	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal(cpu.run->mmio.phys_addr, 0x20000008);
	assert_int_equal(cpu.run->mmio.data[0], 5);
	assert_int_equal(taken(any), 3);
	assert_int_equal(taken(four), 1);
	t_run_to(&cpu, KVM_EXIT_MMIO);
	assert_int_equal(cpu.run->mmio.is_write, 0);
	t_run_to(&cpu, KVM_EXIT_IO);
	T_END(&vm, &cpu);
	close(any);
	close(four);
}

static void ioeventfd_refusals(void **state)
{
	int fd = event(), other = event(), null = open("/dev/null", O_RDWR);

	t_vm_create(&vm, 0);
	t_fails(EINVAL, io(fd, 0x50, 3, 0, PIO));
	t_fails(EINVAL, io(fd, 0x50, 16, 0, PIO));
	t_fails(EINVAL, io(fd, 0x50, 2, 0, 1 << 10));
	t_fails(EINVAL, io(fd, ~0ULL, 8, 0, 0));
	t_fails(EINVAL, io(fd, 0x50, 0, 1, PIO | MATCH));
	t_fails(EBADF, io(9999, 0x50, 2, 0, PIO));
	t_fails(EINVAL, io(null, 0x50, 2, 0, PIO));
	t_fails(ENOENT, io(fd, 0x50, 2, 0, PIO | GONE));
	t_fails(EFAULT, T(vm.fd, KVM_IOEVENTFD, T_BAD_PTR));
	t_ok(io(fd, 0x50, 2, 1, PIO | MATCH));
	t_fails(EEXIST, io(fd, 0x50, 2, 1, PIO | MATCH));
	t_fails(EEXIST, io(other, 0x50, 2, 1, PIO | MATCH));
	t_fails(EEXIST, io(other, 0x50, 2, 0, PIO));		/* a wildcard over it */
	t_ok(io(other, 0x50, 2, 2, PIO | MATCH));
	t_ok(io(other, 0x50, 2, 1, MATCH));			/* memory is another bus */
	t_fails(ENOENT, io(other, 0x50, 2, 1, PIO | MATCH | GONE));
	t_fails(ENOENT, io(fd, 0x50, 4, 1, PIO | MATCH | GONE));
	t_ok(io(fd, 0x50, 2, 1, PIO | MATCH | GONE));
	t_fails(ENOENT, io(fd, 0x50, 2, 1, PIO | MATCH | GONE));
	t_vm_destroy(&vm);
	close(fd);
	close(other);
	close(null);
}

/* QEMU's probe: seven on one port at once. */
static void seven_on_one_port(void **state)
{
	int fd[7];
	unsigned int i;

	t_vm_create(&vm, 0);
	for (i = 0; i < 7; i++) {
		fd[i] = event();
		t_ok(io(fd[i], 0, 2, i, PIO | MATCH));
	}
	for (i = 0; i < 7; i++) {
		t_ok(io(fd[i], 0, 2, i, PIO | MATCH | GONE));
		close(fd[i]);
	}
	t_vm_destroy(&vm);
}

T_MAIN(T_CASE(irqfd_fires), T_CASE(irqfd_writes), T_CASE(irqfd_refusals), T_CASE(irqfd_resample), T_CASE(irqfd_and_closing),
       T_CASE(irqfd_ends_with_the_eventfd), T_CASE(closing_lowers_the_line),
       T_CASE(port_writes), T_CASE(memory_writes), T_CASE(ioeventfd_refusals), T_CASE(seven_on_one_port))
