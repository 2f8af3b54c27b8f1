/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * textbook.c - the KVM program that every introduction shows: one VM, one memory slot, one vCPU in real mode that
 * adds two numbers and writes the sum and a newline to a port, then halts. It knows nothing of AnyKVM: it opens /dev/kvm,
 * and runs the same on a kernel's KVM and under `anykvm exec`. Prints what the guest printed; 77 without /dev/kvm.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#define GUEST_START	0x1000
#define PORT		0x3f8

static const uint8_t code[] = {
	0xba, 0xf8, 0x03,	/* mov $0x3f8, %dx */
	0x00, 0xd8,		/* add %bl, %al */
	0x04, '0',		/* add $'0', %al */
	0xee,			/* out %al, (%dx) */
	0xb0, '\n',		/* mov $'\n', %al */
	0xee,			/* out %al, (%dx) */
	0xf4,			/* hlt */
};

static int fail(const char *what)
{
	fprintf(stderr, "textbook: %s: %s\n", what, strerror(errno));
	return 1;
}

/* Run until HLT; 0 if everything that came out of the port was expected. */
static int run(int vcpu, struct kvm_run *run, char *out, size_t size)
{
	size_t n = 0;

	for (;;) {
		if (ioctl(vcpu, KVM_RUN, NULL) == -1)
			return fail("KVM_RUN");
		switch (run->exit_reason) {
		case KVM_EXIT_HLT:
			out[n] = 0;
			return 0;
		case KVM_EXIT_IO:
			if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 1 || run->io.port != PORT ||
			    run->io.count != 1 || n + 1 >= size) {
				fprintf(stderr, "textbook: unexpected access to port %#x\n", run->io.port);
				return 1;
			}
			out[n++] = ((char *)run)[run->io.data_offset];
			break;
		default:
			fprintf(stderr, "textbook: exit reason %u\n", run->exit_reason);
			return 1;
		}
	}
}

int main(void)
{
	struct kvm_userspace_memory_region region = {
		.slot = 0, .guest_phys_addr = GUEST_START, .memory_size = 0x1000,
	};
	struct kvm_regs regs = { .rip = GUEST_START, .rax = 2, .rbx = 2, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_run *kvm_run;
	int kvm, vm, vcpu, size;
	char out[16];
	void *mem;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm == -1) {
		fail("/dev/kvm");
		return 77;
	}
	if (ioctl(kvm, KVM_GET_API_VERSION, NULL) != KVM_API_VERSION)
		return fail("KVM_GET_API_VERSION");
	vm = ioctl(kvm, KVM_CREATE_VM, 0UL);
	if (vm == -1)
		return fail("KVM_CREATE_VM");
	mem = mmap(NULL, region.memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return fail("guest memory");
	memcpy(mem, code, sizeof(code));
	region.userspace_addr = (uintptr_t)mem;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == -1)
		return fail("KVM_SET_USER_MEMORY_REGION");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0UL);
	if (vcpu == -1)
		return fail("KVM_CREATE_VCPU");
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (size < (int)sizeof(*kvm_run))
		return fail("KVM_GET_VCPU_MMAP_SIZE");
	kvm_run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (kvm_run == MAP_FAILED)
		return fail("mmap of the vCPU");
	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) == -1)
		return fail("KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) == -1)
		return fail("KVM_SET_SREGS");
	if (ioctl(vcpu, KVM_SET_REGS, &regs) == -1)
		return fail("KVM_SET_REGS");
	if (run(vcpu, kvm_run, out, sizeof(out)))
		return 1;
	printf("the guest says %s", out);
	return strcmp(out, "4\n") ? 1 : 0;
}
