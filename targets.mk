# SPDX-License-Identifier: GPL-2.0-only OR MIT
# What one does with the programs once they are built: run, test, bench, clean. Included by the Makefile.

CACHE ?= cache
RUN_MEM ?= 512
RUN_CPUS ?= 2

setup:
	@tools/setup

# Debian's kernel and a busybox initramfs, kept in cache/ between runs
kernel: $(CACHE)/vmlinuz
initramfs: $(CACHE)/initramfs.cpio.gz

$(CACHE)/vmlinuz:
	@tools/fetch-kernel $(CACHE)

$(CACHE)/initramfs.cpio.gz: tools/mkinitramfs
	@mkdir -p $(CACHE)
	@tools/mkinitramfs $@

# The packages come first: in a sub-make, as nothing can be built before they are there.
run:
	@tools/setup
	@$(MAKE) --no-print-directory all kernel initramfs
	@tools/run-guest $(BUILD)/anykvm $(CACHE) $(RUN_CPUS) $(RUN_MEM)

.PHONY: setup kernel initramfs run
