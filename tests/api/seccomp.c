/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * seccomp.c - a vCPU thread under the kind of system call filter that VMMs put on theirs. The guest takes ten timer
 * interrupts through the 8259 and 8254 in the kernel, sleeping in HLT in between, touches 64 pages, and reports by port
 * I/O. Whatever KVM_RUN needs beyond the list ends the program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEM_SIZE	0x80000
#define CODE		0x1000
#define PORT		0x3f8

static const uint8_t code[] = {
	0xfa,					/* cli */
	0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0,	/* xor %ax,%ax; mov %ax,%ds; mov %ax,%ss */
	0xbc, 0x00, 0x08,			/* mov $0x800,%sp */
	0xb0, 0x11, 0xe6, 0x20,			/* 8259: ICW1 */
	0xb0, 0x08, 0xe6, 0x21,			/* vectors from 8 */
	0xb0, 0x04, 0xe6, 0x21,
	0xb0, 0x01, 0xe6, 0x21,
	0xb0, 0xfe, 0xe6, 0x21,			/* only IRQ 0 */
	0xb0, 0x34, 0xe6, 0x43,			/* 8254: counter 0, mode 2 */
	0xb0, 0xa9, 0xe6, 0x40,			/* 1193 ticks: 1 ms */
	0xb0, 0x04, 0xe6, 0x40,
	0xfb,					/* sti */
	0xf4,					/* 1: hlt */
	0x80, 0x3e, 0x00, 0x06, 0x0a,		/* cmpb $10,0x600 */
	0x72, 0xf8,				/* jb 1b */
	0xfa,					/* cli */
	0xb8, 0x00, 0x20, 0x8e, 0xd8,		/* mov $0x2000,%ax; mov %ax,%ds */
	0xb9, 0x40, 0x00,			/* mov $64,%cx */
	0xc6, 0x06, 0x00, 0x00, 0x5a,		/* 2: movb $0x5a,0 */
	0x05, 0x00, 0x01, 0x8e, 0xd8,		/* add $0x100,%ax; mov %ax,%ds */
	0xe2, 0xf4,				/* loop 2b */
	0xba, 0xf8, 0x03, 0xb0, 'k', 0xee,	/* mov $0x3f8,%dx; mov $'k',%al; out %al,(%dx) */
	0xf4,
};
static const uint8_t handler[] = {
	0x1e, 0x50,				/* push %ds; push %ax */
	0x31, 0xc0, 0x8e, 0xd8,			/* xor %ax,%ax; mov %ax,%ds */
	0xfe, 0x06, 0x00, 0x06,			/* incb 0x600 */
	0xb0, 0x20, 0xe6, 0x20,			/* EOI */
	0x58, 0x1f, 0xcf,			/* pop %ax; pop %ds; iret */
};

/* What the filters of the VMMs we know have in common, on the threads that run vCPUs. */
static const int allowed[] = {
	SYS_ioctl, SYS_futex, SYS_mmap, SYS_munmap, SYS_madvise, SYS_write, SYS_close, SYS_rt_sigreturn,
	SYS_rt_sigprocmask, SYS_clock_gettime, SYS_sched_yield, SYS_exit, SYS_exit_group,
};
#define NR_ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

static int confine(void)
{
	struct sock_filter filter[NR_ALLOWED + 3] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog prog = { .len = NR_ALLOWED + 3, .filter = filter };
	size_t i;

	for (i = 0; i < NR_ALLOWED; i++)
		filter[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)allowed[i],
							     (uint8_t)(NR_ALLOWED - i), 0);
	filter[1 + i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter[2 + i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

struct machine {
	int vcpu;
	struct kvm_run *run;
	const char *error;
};

static void *vcpu_thread(void *arg)
{
	struct machine *m = arg;

	if (confine()) {
		m->error = "no filter can be set here";
		return NULL;
	}
	while (ioctl(m->vcpu, KVM_RUN, 0UL))
		if (errno != EINTR) {
			m->error = "KVM_RUN failed";
			return NULL;
		}
	if (m->run->exit_reason != KVM_EXIT_IO || m->run->io.port != PORT ||
	    ((char *)m->run)[m->run->io.data_offset] != 'k')
		m->error = "not the exit that was expected";
	return NULL;
}

static int fail(const char *what)
{
	fprintf(stderr, "seccomp: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(void)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEM_SIZE };
	struct kvm_pit_config pit = { 0 };
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs sregs;
	struct machine m = { 0 };
	pthread_t thread;
	uint8_t *mem;
	int kvm, vm, i;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm == -1) {
		fail("/dev/kvm");
		return 77;
	}
	vm = ioctl(kvm, KVM_CREATE_VM, 0UL);
	mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm == -1 || mem == MAP_FAILED)
		return fail("creating the VM");
	memcpy(mem + CODE, code, sizeof(code));
	memcpy(mem + 0x700, handler, sizeof(handler));
	mem[8 * 4 + 1] = 0x07;	/* vector 8: 0000:0700 */
	region.userspace_addr = (uintptr_t)mem;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) || ioctl(vm, KVM_CREATE_IRQCHIP, 0UL) ||
	    ioctl(vm, KVM_CREATE_PIT2, &pit))
		return fail("setting up the VM");
	m.vcpu = ioctl(vm, KVM_CREATE_VCPU, 0UL);
	if (m.vcpu == -1)
		return fail("KVM_CREATE_VCPU");
	m.run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0UL), PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0);
	if (m.run == MAP_FAILED || ioctl(m.vcpu, KVM_GET_SREGS, &sregs))
		return fail("KVM_GET_SREGS");
	sregs.cs.base = sregs.cs.selector = 0;
	if (ioctl(m.vcpu, KVM_SET_SREGS, &sregs) || ioctl(m.vcpu, KVM_SET_REGS, &regs))
		return fail("setting registers");
	if (pthread_create(&thread, NULL, vcpu_thread, &m))
		return fail("pthread_create");
	pthread_join(thread, NULL);
	if (m.error) {
		fprintf(stderr, "seccomp: %s (exit reason %u)\n", m.error, m.run->exit_reason);
		return 1;
	}
	for (i = 0; i < 64; i++)
		if (mem[0x20000 + i * 0x1000] != 0x5a)
			return fail("guest memory");
	printf("%u timer interrupts under a filter of %zu system calls\n", mem[0x600], NR_ALLOWED);
	return 0;
}
