# SPDX-License-Identifier: GPL-2.0-only OR MIT
# make            build/anykvm, build/libanykvm.so, build/libanykvm-preload.so
# make run        boot Debian's kernel to a shell (installs what is missing first)
# make test       every test that fits CI; make bench: the figures; make help: all targets
TOP :=
include files.mk

BUILD ?= build
CC ?= gcc
OPT ?= -O2
VERSION := 0.1.0

WARN := -Wall -Wextra -Werror -Wtype-limits -Wimplicit-fallthrough -Wno-unused-parameter -Wmissing-prototypes \
	-Wstrict-prototypes -Wno-sign-compare
CFLAGS_ALL := -std=gnu11 -g $(OPT) -fPIC -fvisibility=hidden -fno-strict-aliasing -fno-common $(WARN) \
	-DANYKVM_VERSION='"$(VERSION)"' $(SAN) $(EXTRA_CFLAGS)
# The guest's vector registers live in the host's while a vCPU runs: nothing on that path may touch them.
CFLAGS_GUESTPATH := -mgeneral-regs-only -fno-tree-loop-distribute-patterns -fno-stack-protector

PATH_SRC := $(SRC_PORTABLE) $(SRC_SOFT) $(SRC_HOSTUSER)
PATH_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(PATH_SRC)) $(patsubst %.S,$(BUILD)/obj/%.o,$(SRC_SOFT_ASM))
LIB_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(SRC_LIB))
SHIM_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(SRC_SHIM))
VMM_OBJ := $(patsubst %.c,$(BUILD)/obj/%.o,$(SRC_VMM))

all: $(BUILD)/anykvm $(BUILD)/libanykvm.so $(BUILD)/libanykvm-preload.so

$(patsubst %.c,$(BUILD)/obj/%.o,$(PATH_SRC)): CFLAGS_EXTRA := $(CFLAGS_GUESTPATH)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(CFLAGS_EXTRA) -I. -Iinclude $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -I. -Iinclude -MMD -MP -c -o $@ $<

$(BUILD)/libanykvm.a: $(PATH_OBJ) $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libanykvm.so: $(PATH_OBJ) $(LIB_OBJ) lib/libanykvm.map
	$(CC) $(SAN) -shared -Wl,-Bsymbolic -Wl,--version-script=lib/libanykvm.map -Wl,-soname,libanykvm.so -o $@ \
		$(PATH_OBJ) $(LIB_OBJ) -lpthread

$(BUILD)/libanykvm-preload.so: $(PATH_OBJ) $(LIB_OBJ) $(SHIM_OBJ) lib/preload.map
	$(CC) $(SAN) -shared -Wl,-Bsymbolic -Wl,--version-script=lib/preload.map -Wl,-soname,libanykvm-preload.so -o $@ \
		$(PATH_OBJ) $(LIB_OBJ) $(SHIM_OBJ) -lpthread -ldl

$(BUILD)/anykvm: $(VMM_OBJ) $(BUILD)/libanykvm.a
	$(CC) $(SAN) -o $@ $(VMM_OBJ) $(BUILD)/libanykvm.a -lpthread

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
-include targets.mk

.PHONY: all clean
