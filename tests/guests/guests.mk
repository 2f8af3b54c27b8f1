# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Guest programs (flat images) and the program that runs them. NAME.c gives NAME.64.bin and NAME.32.bin, NAME.S NAME.16.bin.

GUEST_IMAGES := $(shell sed -n 's/^GUEST.[a-z0-9_]*, *\([a-z0-9_.]*\),.*/\1/p' tests/guests/guests.def | sort -u)
GUEST_BINS := $(GUEST_IMAGES:%=$(BUILD)/tests/guests/%.bin)
GUEST_KIT := $(wildcard tests/guests/kit/*)
GUEST_CFLAGS := -std=gnu11 -O2 -ffreestanding -nostdlib -static -fno-pic -fno-pie -no-pie -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-tree-loop-distribute-patterns -fcf-protection=none \
	-mno-red-zone -mgeneral-regs-only -Wall -Wextra -Werror -Wno-unused-parameter -Wno-array-bounds -Wno-stringop-overflow -Wl,--build-id=none -Wl,-z,norelro \
	-Wl,--no-warn-rwx-segments -Itests/guests/kit

guests: $(GUEST_BINS) $(BUILD)/tests/guests/run

define guest_rule
	$(call say,GUEST,$@)
	@mkdir -p $(@D)
	$(Q)gcc $(1) $(GUEST_CFLAGS) -T tests/guests/kit/guest.lds -o $@.elf tests/guests/kit/start.S tests/guests/kit/ap.S tests/guests/kit/kit.c $<
	$(Q)objcopy -O binary $@.elf $@
endef

$(BUILD)/tests/guests/%.64.bin: tests/guests/%.c $(GUEST_KIT)
	$(call guest_rule,-m64)

$(BUILD)/tests/guests/%.32.bin: tests/guests/%.c $(GUEST_KIT)
	$(call guest_rule,-m32)

$(BUILD)/tests/guests/%.16.bin: tests/guests/%.S tests/guests/kit/abi.h tests/guests/kit/real.h
	$(call say,GUEST,$@)
	@mkdir -p $(@D)
	$(Q)gcc -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-Ttext=0x8000 -Wl,-e,_start -Wl,--no-warn-rwx-segments \
		-Itests/guests/kit -o $@.elf $<
	$(Q)objcopy -O binary -j .text $@.elf $@

# static, as it also runs where there is nothing but a kernel
$(BUILD)/tests/guests/run: tests/guests/runner/run.c tests/guests/guests.def tests/guests/kit/abi.h $(BUILD)/libanykvm-closed.o
	$(call say,TEST,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -static -o $@ $< $(BUILD)/libanykvm-closed.o -lpthread

.PHONY: guests
