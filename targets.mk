# SPDX-License-Identifier: GPL-2.0-only OR MIT
# What one does with the programs once they are built: run, test, bench. Included by the Makefile.

CACHE ?= cache
RUN_MEM ?= 512
RUN_CPUS ?= 2

# -- the guest: Debian's kernel and a busybox initramfs, kept in cache/ ----------------------------

setup:
	@tools/setup

kernel: $(CACHE)/vmlinuz
initramfs: $(CACHE)/initramfs.cpio.gz

$(CACHE)/vmlinuz:
	@tools/fetch-kernel $(CACHE)

$(CACHE)/initramfs.cpio.gz: tools/mkinitramfs
	@mkdir -p $(CACHE)
	@tools/mkinitramfs $@

# The guests of tests/qemu: a disk with Debian 12, other kernels, firmware and programs, all from Debian's packages.
FULL := $(CACHE)/guests/linux-image-amd64
FULL_MODULES := virtio_pci,virtio_blk,virtio_net,virtio_scsi,sd_mod,virtio_rng,virtio_balloon,ahci,e1000,bochs,evdev

guest-images: $(CACHE)/debian.img $(CACHE)/guests/full.cpio.gz
	@tools/fetch-debs $(CACHE)/guests ovmf memtest86+ debian-installer-12-netboot-amd64 xen-hypervisor-4.17-amd64 hello:

$(CACHE)/debian.img:
	@tools/mkdisk $@

$(FULL):
	@tools/fetch-debs $(CACHE)/guests linux-image-amd64

$(CACHE)/guests/full.cpio.gz: tools/mkinitramfs | $(FULL)
	@tools/mkinitramfs --modules $(FULL) $(FULL_MODULES) $@

# The packages come first: in a sub-make, as nothing can be built before they are there.
run:
	@tools/setup
	@$(MAKE) --no-print-directory all kernel initramfs
	@tools/run-guest $(BUILD)/anykvm $(CACHE) $(RUN_CPUS) $(RUN_MEM)

# -- tests -----------------------------------------------------------------------------------------
# tests/run builds what it runs, program by program, so that one that does not compile is one failure.

test:
	@tools/setup
	@$(MAKE) --no-print-directory kernel initramfs
	-@$(MAKE) --no-print-directory -k guest-images
	@tests/run --build $(BUILD) --cache $(CACHE)

# at least 10 million cases in every program of tests/isa; hours
test-isa-long:
	@tests/run --build $(BUILD) --long isa

# ioctls: 10 million calls by one thread and by four; guests of random bytes: an hour
test-fuzz-long:
	@tests/run --build $(BUILD) --long fuzz
.PHONY: test-fuzz-long

# 100,000 sequences of calls here and on stock KVM; most of a day
test-diff-long: kernel
	@tests/run --build $(BUILD) --cache $(CACHE) --long diff
.PHONY: test-diff-long

# with libvirt, the installer, memtest86+ and Xen
test-qemu-long: kernel initramfs all
	@tests/run --build $(BUILD) --cache $(CACHE) qemu qemu/installer qemu/libvirt qemu/memtest qemu/xen

test-boot-long: kernel initramfs all
	@tests/run --build $(BUILD) --cache $(CACHE) --long boot

# Linux's KVM selftests with the arguments that they have by themselves
test-selftests-long: all
	@tests/run --build $(BUILD) --cache $(CACHE) --long selftests

# hours: stress-ng for five minutes, a whole pass of memtest86+ over 256 MiB, 100 boots of the Debian disk
test-guests-long: all guest-images
	tests/qemu/debian --stress 300
	tests/qemu/memtest --pass
	tests/long/debian_boots --repeat 100

# A test program is one file in tests/SUITE/; helpers for all of them are in tests/lib and tests/SUITE/lib.
TESTLIB_OBJ := $(call objects,$(wildcard tests/lib/*.c tests/*/lib/*.c))
TEST_CFLAGS = $(CFLAGS_ALL) -Wno-missing-prototypes -Wno-missing-field-initializers $(CPPFLAGS_ALL) -Itests/lib
$(TESTLIB_OBJ): CFLAGS_EXTRA := -Itests/lib -Wno-missing-prototypes

$(BUILD)/libtests.a: $(TESTLIB_OBJ)
	@mkdir -p $(@D) && rm -f $@
	$(Q)ar rcs $@ $^

# everything of the VMM but main(), for its unit tests
$(BUILD)/libvmm.a: $(filter-out %/vmm/main.o,$(VMM_OBJ))
	@mkdir -p $(@D) && rm -f $@
	$(Q)ar rcs $@ $^

# Programs for /dev/kvm: nothing of ours is linked into them.
$(BUILD)/tests/api/%: tests/api/%.c $(BUILD)/libtests.a
	$(call say,TEST,$<)
	@mkdir -p $(@D) && rm -f $@
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MF $@.d -MT $@ -o $@ $< $(BUILD)/libtests.a -Wl,--as-needed -lcmocka -lpthread

# the VMM's see the library as the VMM does, all others see inside it
VMM_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/vmm_*.c))
$(VMM_TESTS): $(BUILD)/libvmm.a $(BUILD)/libanykvm-closed.o
$(VMM_TESTS): TEST_LIBS := $(BUILD)/libvmm.a $(BUILD)/libanykvm-closed.o
TEST_LIBS = $(BUILD)/libtests.a $(BUILD)/libanykvm.a

$(BUILD)/tests/%: tests/%.c $(BUILD)/libtests.a $(BUILD)/libanykvm.a
	$(call say,TEST,$<)
	@mkdir -p $(@D) && rm -f $@
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MF $@.d -MT $@ -o $@ $< $(TEST_LIBS) -Wl,--as-needed -lcmocka -lZydis -lpthread -ldl -lm

include tests/guests/guests.mk
include tests/diff/diff.mk

# -- figures ---------------------------------------------------------------------------------------

BENCH_REPS ?= 3

# static, so that the same file runs natively and in every guest; baseline x86-64 but for marked functions
$(BUILD)/bench/workload: $(wildcard bench/workloads/*.c bench/workloads/*.h)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -fno-math-errno -ffp-contract=off $(WARN) -Wno-missing-field-initializers -static -pthread \
		-o $@ $(filter %.c,$^)

$(BUILD)/bench/exits: bench/exits.c $(BUILD)/libanykvm-closed.o
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -o $@ $^ -lpthread

$(BUILD)/bench/initramfs.cpio.gz: $(BUILD)/bench/workload bench/guest.sh tools/mkinitramfs
	$(Q)tools/mkinitramfs --add $(BUILD)/bench/workload:/bench/workload --add bench/guest.sh:/bench/guest.sh $@

bench-programs: all kernel $(BUILD)/bench/initramfs.cpio.gz $(BUILD)/bench/exits

bench:
	@tools/setup
	@$(MAKE) --no-print-directory bench-programs
	@bench/run.py --build $(BUILD) --cache $(CACHE) --reps $(BENCH_REPS)

# Debian's QEMU on AnyKVM against its TCG, with the Debian disk
bench-clients:
	@tools/setup
	@$(MAKE) --no-print-directory all guest-images
	@bench/clients.py --reps $(BENCH_REPS)

bench-doc:
	@tools/setup
	@$(MAKE) --no-print-directory bench-programs
	@bench/run.py --build $(BUILD) --cache $(CACHE) --reps $(BENCH_REPS) --doc docs/bench.md

help:
	@sed -n '2,/^TOP/s/^# //p' Makefile
	@echo 'make kernel initramfs   the guest alone, in $(CACHE)/'
	@echo 'make test-isa-long      10 million instruction cases per program; make test-boot-long: 20 boots'
	@echo 'make test-diff-long     100,000 random sequences of KVM calls, compared with stock KVM'
	@echo 'make test-fuzz-long     10 million random ioctls, an hour of guests made of random bytes'
	@echo 'make test-selftests-long  Linux'"'"'s KVM selftests at full length'
	@echo 'tests/run unit isa/int  single suites and tests; tests/run --help'

.PHONY: test-qemu-long setup kernel initramfs guest-images run bench bench-doc bench-programs test test-isa-long test-boot-long \
	test-selftests-long help
