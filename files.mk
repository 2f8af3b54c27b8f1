# SPDX-License-Identifier: GPL-2.0-only OR MIT
# The source lists, read by the Makefile and by Kbuild alike. A folder is a list; paths are from the root.

SRC_DECODE   := $(wildcard $(TOP)x86/decode/*.c)
SRC_PAGING   := $(wildcard $(TOP)x86/paging/*.c)
SRC_POLICY   := $(wildcard $(TOP)x86/policy/*.c)
SRC_EMUL     := $(wildcard $(TOP)x86/emul/*.c)
SRC_IRQCHIP  := $(wildcard $(TOP)irqchip/*.c)
SRC_CORE     := $(wildcard $(TOP)core/*.c)
SRC_SOFT     := $(wildcard $(TOP)vendor/soft/*.c $(TOP)vendor/soft/trans/*.c $(TOP)vendor/soft/emit/*.c)
SRC_SOFT_ASM := $(wildcard $(TOP)vendor/soft/*.S)
SRC_HOSTUSER := $(wildcard $(TOP)host/user/*.c)
# the shim is only in the preload library
SRC_SHIM     := $(wildcard $(TOP)lib/shim.c $(TOP)lib/shim_*.c)
SRC_LIB      := $(filter-out $(SRC_SHIM),$(wildcard $(TOP)lib/*.c))
SRC_VMM      := $(wildcard $(TOP)vmm/*.c $(TOP)vmm/*/*.c)

# what must also compile as kernel objects
SRC_PORTABLE := $(SRC_DECODE) $(SRC_PAGING) $(SRC_POLICY) $(SRC_EMUL) $(SRC_IRQCHIP) $(SRC_CORE)
