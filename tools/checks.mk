# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Checks of the tree itself: who includes whom, headers that stand alone, API rows with tests, the portable parts as kernel objects.

check-deps:
	@tools/check-deps

check-headers:
	@tools/check-headers

check-coverage:
	@tools/check-coverage

# Build only; nothing is loaded. KERNEL_HEADERS: a configured kernel build tree, by default Debian's newest.
# The kernel's build puts objects beside sources, so it gets a tree of links to them.
KERNEL_HEADERS ?= $(lastword $(sort $(wildcard /usr/src/linux-headers-*-cloud-amd64)))
KMOD_DIR := $(abspath $(BUILD))/kmod

kmod-check:
	@test -n "$(KERNEL_HEADERS)" || { echo 'kmod-check: package linux-headers-cloud-amd64 is missing'; exit 1; }
	@mkdir -p $(KMOD_DIR)/host
	@cp -rsf $(CURDIR)/core $(CURDIR)/x86 $(CURDIR)/irqchip $(CURDIR)/kmod $(KMOD_DIR)
	@cp -rsf $(CURDIR)/host/linux $(CURDIR)/host/*.h $(KMOD_DIR)/host
	@cp -sf $(CURDIR)/files.mk $(CURDIR)/kmod/Kbuild $(KMOD_DIR)
	@+$(MAKE) --no-print-directory -C $(KERNEL_HEADERS) M=$(KMOD_DIR) modules

.PHONY: check-deps check-headers check-coverage kmod-check
