# SPDX-License-Identifier: GPL-2.0-only OR MIT
# make            build/anykvm, build/libanykvm.so, build/libanykvm-preload.so
# make run        boot Debian's kernel to a shell (installs what is missing first)
# make test       every test that fits CI; make bench: the figures; make help: all targets
# V=1 shows the commands; BUILD=dir builds elsewhere; SAN='-fsanitize=address,undefined' instruments.
TOP :=
include files.mk

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
OPT ?= -O2
VERSION := 0.1.0

ifneq ($(V),1)
Q := @
say = @$(if $(findstring s,$(firstword -$(MAKEFLAGS))),:,printf '  %-5s %s\n' $(1) $(2))
else
say = @:
endif

WARN := -Wall -Wextra -Werror -Wtype-limits -Wimplicit-fallthrough -Wno-unused-parameter -Wmissing-prototypes \
	-Wstrict-prototypes -Wno-sign-compare
# The KVM ABI has headers with entries after them; clang has a warning for just that.
ifneq ($(findstring clang,$(CC)),)
WARN += -Wno-gnu-variable-sized-type-not-at-end
endif
CFLAGS_ALL := -std=gnu11 -g $(OPT) -fPIC -fvisibility=hidden -fno-strict-aliasing -fno-common $(WARN) \
	-DANYKVM_VERSION='"$(VERSION)"' $(SAN) $(EXTRA_CFLAGS)
CPPFLAGS_ALL := -I. -Iinclude -I$(BUILD)/gen $(CPPFLAGS)
# The guest's vector registers live in the host's while a vCPU runs: nothing on that path may touch them.
CFLAGS_GUESTPATH := -mgeneral-regs-only -fno-stack-protector
# nor may a loop become a call of libc's memset
ifeq ($(findstring clang,$(CC)),)
CFLAGS_GUESTPATH += -fno-tree-loop-distribute-patterns
else
CFLAGS_GUESTPATH += -fno-builtin
endif

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter %.c,$(1))) $(patsubst %.S,$(BUILD)/obj/%.o,$(filter %.S,$(1)))

PATH_SRC := $(SRC_PORTABLE) $(SRC_SOFT) $(SRC_HOSTUSER)
PATH_OBJ := $(call objects,$(PATH_SRC) $(SRC_SOFT_ASM))
LIB_OBJ := $(call objects,$(SRC_LIB))
SHIM_OBJ := $(call objects,$(SRC_SHIM))
VMM_OBJ := $(call objects,$(SRC_VMM))

all: $(BUILD)/anykvm $(BUILD)/libanykvm.so $(BUILD)/libanykvm-preload.so

$(call objects,$(PATH_SRC)): CFLAGS_EXTRA := $(CFLAGS_GUESTPATH)
# ThreadSanitizer's start calls sigaction(), which is the shim's, before it can take notes
$(SHIM_OBJ): CFLAGS_EXTRA := -fno-sanitize=thread

$(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CFLAGS_EXTRA) $(CPPFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: %.S
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -MMD -MP -c -o $@ $<

# An ACPI table is written in ASL and becomes `static const unsigned char NAME_aml_code[]` in NAME.h.
ASL_H := $(patsubst vmm/machine/%.asl,$(BUILD)/gen/%.h,$(wildcard vmm/machine/*.asl))
$(BUILD)/gen/%.h: vmm/machine/%.asl
	$(call say,IASL,$<)
	@mkdir -p $(@D)
	$(Q)iasl -va -tc -p $(BUILD)/gen/$* $< >$(BUILD)/gen/$*.log 2>&1 || { cat $(BUILD)/gen/$*.log; exit 1; }
	$(Q)sed 's/^unsigned char/static const unsigned char/' $(BUILD)/gen/$*.hex >$@
$(VMM_OBJ): | $(ASL_H)

$(BUILD)/libanykvm.a: $(PATH_OBJ) $(LIB_OBJ)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/libanykvm.so: $(PATH_OBJ) $(LIB_OBJ) lib/libanykvm.map
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -shared -Wl,-Bsymbolic -Wl,--version-script=lib/libanykvm.map -Wl,-soname,libanykvm.so -o $@ \
		$(PATH_OBJ) $(LIB_OBJ) -lpthread

$(BUILD)/libanykvm-preload.so: $(PATH_OBJ) $(LIB_OBJ) $(SHIM_OBJ) lib/preload.map
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -shared -Wl,-Bsymbolic -Wl,--version-script=lib/preload.map -Wl,-soname,libanykvm-preload.so -o $@ \
		$(PATH_OBJ) $(LIB_OBJ) $(SHIM_OBJ) -lpthread -ldl

# The library as one object whose only visible names are those of its public header: the VMM has names of its own.
$(BUILD)/libanykvm-closed.o: $(PATH_OBJ) $(LIB_OBJ)
	$(call say,LD,$@)
	$(Q)ld -r -o $@.tmp $^ && objcopy --localize-hidden $@.tmp $@ && rm $@.tmp

$(BUILD)/anykvm: $(VMM_OBJ) $(BUILD)/libanykvm-closed.o
	$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -o $@ $(VMM_OBJ) $(BUILD)/libanykvm-closed.o -lpthread

clean:
	rm -rf $(BUILD)

include targets.mk
-include $(wildcard tools/*.mk)
-include $(shell find $(BUILD)/obj $(BUILD)/tests -name '*.d' 2>/dev/null)

.PHONY: all clean
