# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""The Debian 12 disk that tools/mkdisk makes, and the firmware and kernels of tools/fetch-debs, under Debian's QEMU."""
import glob
import os

from console import ConsoleError
from qemu import CACHE

DISK = os.path.join(CACHE, "debian.img")
PACKAGES = os.path.join(CACHE, "guests")
OVMF = os.path.join(PACKAGES, "ovmf/usr/share/OVMF")
# Changes go into a temporary file that is gone with QEMU: every test begins with the disk as it was made.
BLOCK = ["-drive", "if=none,id=disk,format=raw,snapshot=on,file=" + DISK, "-device", "virtio-blk-pci,drive=disk"]
NET = ["-nic", "user,model=virtio-net-pci"]


def package(pattern):
    """The one file of an unpacked package that the pattern (below cache/guests) stands for."""
    found = glob.glob(os.path.join(PACKAGES, pattern))
    if len(found) != 1:
        raise ConsoleError("%s: %d files; `make guest-images` fetches them" % (pattern, len(found)))
    return found[0]


def ovmf(folder, code="OVMF_CODE_4M.fd"):
    """Options for OVMF with a variable store of its own in a folder."""
    store = os.path.join(folder, "vars.fd")
    with open(package("ovmf/usr/share/OVMF/OVMF_VARS_4M.fd"), "rb") as f, open(store, "wb") as g:
        g.write(f.read())
    return ["-drive", "if=pflash,format=raw,readonly=on,file=" + package("ovmf/usr/share/OVMF/" + code),
            "-drive", "if=pflash,format=raw,file=" + store]


def ovmf_smm(folder):
    """The same with the build that keeps its variables in system management mode, where nobody else can write to them."""
    return [*ovmf(folder, "OVMF_CODE_4M.secboot.fd"), "-global", "driver=cfi.pflash01,property=secure,value=on"]


def login(q, seconds=240):
    """From power-on through GRUB and systemd to a root shell with the prompt that Console.command() knows."""
    c = q.console
    c.expect(r"GRUB on \S+ starts Linux", seconds)
    c.expect(r"debian login: ", seconds)
    c.send("root\r")
    c.expect("Password: ", 60)
    c.send("anykvm\r")
    c.expect(r"root@debian:~# ", 60)
    # no escape sequences, no line breaks: what comes back is what was said
    c.send("stty cols 1000; TERM=dumb PS1='anykvm:\\w# ' exec bash --norc\r")
    c.at_prompt(30)


def poweroff(q, seconds=90):
    """Powers the guest off in an orderly way; QEMU's exit status."""
    q.console.send("poweroff\r")
    return q.console.wait(seconds)
