# SPDX-License-Identifier: GPL-2.0-only OR MIT
# The program of the differential test: static, as it also runs where there is nothing but a kernel.

DIFF_SRC := $(wildcard tests/diff/*.c)

$(BUILD)/tests/diff/calls: $(DIFF_SRC) $(wildcard tests/diff/*.h) tests/lib/t_random.h $(BUILD)/libanykvm-closed.o
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -Wno-missing-field-initializers $(CPPFLAGS_ALL) -Itests/lib -static -o $@ $(DIFF_SRC) \
		$(BUILD)/libanykvm-closed.o -lpthread
