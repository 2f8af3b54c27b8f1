// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * exits [/dev/kvm]: the time of one port-I/O exit to the client and back, in nanoseconds, from
 * 64-bit code and from real mode: medians of batches. By default through libanykvm's calls; with a
 * device, through that.
 */
#include <anykvm/anykvm_fd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define BATCHES	21
#define BATCH	20000

static const char *device;

static long call(int fd, unsigned long request, unsigned long arg, const char *what)
{
	long r;

	if (device) {
		r = ioctl(fd, request, arg);
		if (r < 0)
			r = -errno;
	} else {
		r = anykvm_ioctl(fd, request, arg);
	}
	if (r < 0) {
		fprintf(stderr, "exits: %s: %s\n", what, strerror(-r));
		exit(1);
	}
	return r;
}

#define CALL(fd, request, arg) call(fd, request, (unsigned long)(arg), #request)

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* mov dx, 0x80; again: out dx, al; jmp again */
static const uint8_t real_code[] = { 0xba, 0x80, 0x00, 0xee, 0xeb, 0xfd };
static const uint8_t long_code[] = { 0xba, 0x80, 0x00, 0x00, 0x00, 0xee, 0xeb, 0xfd };

#define CODE	0x1000
#define TABLES	0x2000

/* The first 2 MiB one to one, paging and 64-bit segments on. */
static void enter_long_mode(uint64_t *ram, struct kvm_sregs *s)
{
	ram[TABLES / 8] = (TABLES + 0x1000) | 3;
	ram[(TABLES + 0x1000) / 8] = (TABLES + 0x2000) | 3;
	ram[(TABLES + 0x2000) / 8] = 0x83;
	s->cr0 = 0x80000011;
	s->cr3 = TABLES;
	s->cr4 = 0x20;
	s->efer = 0x500;
	s->cs.l = 1;
	s->cs.db = 0;
	s->cs.g = 1;
	s->cs.limit = 0xffffffff;
	s->cs.type = 11;
	s->cs.s = s->cs.present = 1;
}

static uint64_t measure(int kvm, bool long_mode)
{
	struct kvm_userspace_memory_region slot = { .memory_size = 0x10000 };
	uint64_t times[BATCHES];
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct kvm_run *run;
	int vm, vcpu;
	void *ram;
	long size;

	vm = CALL(kvm, KVM_CREATE_VM, 0);
	ram = mmap(NULL, slot.memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (long_mode)
		memcpy((char *)ram + CODE, long_code, sizeof(long_code));
	else
		memcpy((char *)ram + CODE, real_code, sizeof(real_code));
	slot.userspace_addr = (uintptr_t)ram;
	CALL(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	vcpu = CALL(vm, KVM_CREATE_VCPU, 0);
	size = CALL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	run = device ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0) : anykvm_mmap(vcpu, size, 0);
	if (run == MAP_FAILED) {
		fprintf(stderr, "exits: cannot map kvm_run\n");
		exit(1);
	}
	CALL(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (long_mode)
		enter_long_mode(ram, &sregs);
	CALL(vcpu, KVM_SET_SREGS, &sregs);
	CALL(vcpu, KVM_SET_REGS, &regs);
	for (int b = 0; b < BATCHES; b++) {
		uint64_t start = now();

		for (int i = 0; i < BATCH; i++) {
			CALL(vcpu, KVM_RUN, 0);
			if (run->exit_reason != KVM_EXIT_IO || run->io.port != 0x80) {
				fprintf(stderr, "exits: exit reason %u\n", run->exit_reason);
				exit(1);
			}
		}
		times[b] = (now() - start) / BATCH;
	}
	qsort(times, BATCHES, sizeof(times[0]), compare);
	return times[BATCHES / 2];
}

int main(int argc, char **argv)
{
	unsigned long long in_long, in_real;
	int kvm;

	device = argv[1];
	kvm = device ? open(device, O_RDWR | O_CLOEXEC) : anykvm_open();
	if (kvm < 0) {
		fprintf(stderr, "exits: cannot open %s\n", device ?: "libanykvm");
		return 1;
	}
	in_long = measure(kvm, true);
	in_real = measure(kvm, false);
	printf("%llu %llu\n", in_long, in_real);
	return 0;
}
