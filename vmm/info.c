// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* info.c - `anykvm info`. */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <anykvm/anykvm_fd.h>

#include "commands.h"
#include "kvmapi.h"

#define KVM_DEVICE	"/dev/kvm"
#define LEAF1_ECX_VMX		(1u << 5)
#define LEAF1_ECX_HYPERVISOR	(1u << 31)
#define AMD1_ECX_SVM		(1u << 2)

struct host_cpu {
	char name[49];
	bool vmx, svm, virtual;
};

static void host_cpu(struct host_cpu *cpu)
{
	unsigned int r[4], i;
	const char *p;

	memset(cpu, 0, sizeof(*cpu));
	if (__get_cpuid(1, &r[0], &r[1], &r[2], &r[3])) {
		cpu->vmx = r[2] & LEAF1_ECX_VMX;
		cpu->virtual = r[2] & LEAF1_ECX_HYPERVISOR;
	}
	if (__get_cpuid(0x80000001, &r[0], &r[1], &r[2], &r[3]))
		cpu->svm = r[2] & AMD1_ECX_SVM;
	for (i = 0; i < 3; i++)
		if (__get_cpuid(0x80000002 + i, &r[0], &r[1], &r[2], &r[3]))
			memcpy(cpu->name + i * 16, r, 16);
	for (p = cpu->name; *p == ' '; p++)
		;
	memmove(cpu->name, p, strlen(p) + 1);
}

bool host_has_virtualization(void)
{
	struct host_cpu cpu;

	host_cpu(&cpu);
	return cpu.vmx || cpu.svm;
}

/* What stands behind the device node, in words. */
static void describe_device(const struct host_cpu *cpu, char *text, size_t size)
{
	const struct kvm_calls *calls = &kvm_calls_kernel;
	struct stat st;
	int fd, version, vm;

	if (stat(KVM_DEVICE, &st)) {
		snprintf(text, size, "not there");
		return;
	}
	fd = calls->open(KVM_DEVICE);
	if (fd < 0) {
		snprintf(text, size, "there, but cannot be opened: %s", strerror(-fd));
		return;
	}
	version = calls->ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		snprintf(text, size, "there, but not KVM (it has no API version %d)",
			 KVM_API_VERSION);
		goto out;
	}
	vm = calls->ioctl(fd, KVM_CREATE_VM, 0);
	if (vm < 0)
		snprintf(text, size, "KVM, API version %d, but it cannot create a VM: %s", version,
			 strerror(-vm));
	else if (!cpu->vmx && !cpu->svm)
		snprintf(text, size,
			 "answers as KVM, API version %d, but no VT-x or AMD-V stands behind it: "
			 "not usable",
			 version);
	else
		snprintf(text, size, "the kernel's KVM, API version %d, on %s (use it by --kvm %s)",
			 version, cpu->vmx ? "VT-x" : "AMD-V", KVM_DEVICE);
	if (vm >= 0)
		calls->close(vm);
out:
	calls->close(fd);
}

int info_main(void)
{
	const char *vendor, *why = "";
	struct host_cpu cpu;
	char device[160];

	host_cpu(&cpu);
	describe_device(&cpu, device, sizeof(device));
	vendor = anykvm_vendor(&why);
	printf("AnyKVM      %s\n", anykvm_version());
	printf("CPU         %s%s, %ld online\n", cpu.name[0] ? cpu.name : "unknown",
	       cpu.virtual ? " (inside a virtual machine)" : "", sysconf(_SC_NPROCESSORS_ONLN));
	printf("VT-x        %s\n", cpu.vmx ? "yes" : "no");
	printf("AMD-V       %s\n", cpu.svm ? "yes" : "no");
	printf("%-12s%s\n", KVM_DEVICE, device);
	printf("vendor      %s: %s\n", vendor, why);
	return 0;
}
