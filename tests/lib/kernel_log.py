# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""What a guest's kernel log must not have in it."""
import re

# what no healthy boot prints
TROUBLE = re.compile(
    r"WARNING:|BUG:|Oops|Call Trace|RIP: 0|general protection|unable to handle|soft lockup|hard LOCKUP|self-detected stall"
    r"|detected stalls|hung_task|blocked for more than|double fault|segfault|traps:|APIC error|unstable|Spurious"
    r"|spurious|NMI received|nobody cared|do_IRQ|Kernel panic|invalid opcode|Bad page|failed to come up|not responding",
)


# What the kernel also says on a kernel's KVM: of the host's processor; and of a virtual AMD processor without invariant TSC,
# which QEMU leaves out because it bars migration. kvm-clock is used then.
KNOWN = re.compile(r"Speculative Return Stack Overflow|Marking TSC unstable due to TSCs unsynchronized")


def trouble(log):
    """The bad lines of a log."""
    return [line for line in log.splitlines() if TROUBLE.search(line) and not KNOWN.search(line)]
