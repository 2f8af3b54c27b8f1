# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Stock KVM: kvm-amd of Debian's kernel in an emulated machine with AMD-V (QEMU's TCG), where a crash costs nothing.

The machine runs a script of busybox whose standard input and output are a virtio port, which comes out here as lines.
It may stand still, or come to its end too early; what it left over is for a fresh one, MACHINES at most.
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

from qemu import CACHE, KERNEL, TOP, module_files

BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
MODULES = ("kvm-amd", "virtio_pci", "virtio_console")
MACHINES = 3
BOOT_S = 100        # until the script begins, on a busy machine
PORT = "/dev/vport0p1"
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for m in %s; do /bin/busybox insmod /modules/$m || echo "insmod $m failed"; done
until /bin/busybox true 2>/dev/null <>%s; do :; done    # the node is there before the port is
exec 3<>%s
echo up >&3
. /script <&3 >&3
/bin/busybox poweroff -f
"""
NOTES = re.compile(r"insmod|(\[[^\]]*\] )?(BUG|WARNING|Kernel panic|kvm|general protection)")


def skip(why):
    print("1..0 # SKIP " + why)
    sys.exit(77)


def require(*modules):
    """Ends the test where an emulated machine, with these modules besides, cannot be made."""
    for program in ("qemu-system-x86_64", "cpio"):
        if not shutil.which(program):
            skip("no " + program)
    if not os.path.exists(KERNEL):
        skip("no guest kernel; make kernel fetches it")
    if not os.path.exists("/bin/busybox"):
        skip("no busybox")
    if not all(any(os.path.basename(f).startswith(m) for f in module_files(m)) for m in MODULES + modules):
        skip("modules of Debian's kernel are missing in " + CACHE)


class MachineEnded(Exception):
    def __init__(self, why, stalled=False):
        super().__init__(why)
        self.stalled = stalled


class Machine:
    """One emulated machine with these files (host's path -> its own), in which `script` runs. Besides, modules and arguments
    for the kernel, and devices."""

    def __init__(self, files, script, cpus=1, memory=512, stall=60, modules=(), append="", devices=()):
        self.folder = tempfile.TemporaryDirectory()
        self.port, self.rest = None, b""
        self.modules = MODULES + tuple(modules)
        path = os.path.join(self.folder.name, "port")
        argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,+svm,+npt", "-M", "q35",
                "-smp", str(cpus), "-m", str(memory), "-kernel", KERNEL, "-initrd", self.initramfs(files, script),
                "-append", "console=ttyS0 quiet nokaslr mitigations=off no_timer_check panic=-1 " + append,
                "-nographic", "-no-reboot", "-nic", "none", *(a for d in devices for a in ("-device", d)),
                "-device", "virtio-serial",
                "-chardev", "socket,id=port,path=" + path, "-device", "virtserialport,chardev=port"]
        with socket.socket(socket.AF_UNIX) as listener, open(self.console(), "wb") as console:
            listener.bind(path)
            listener.listen(1)
            self.p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)
            try:
                self.wait_for_script(listener)
            except MachineEnded as e:
                with open(self.console(), errors="replace") as f:
                    said = f.read().split("\n")[-4:]
                self.close()
                raise MachineEnded("%s; its last lines: %r" % (e, said), e.stalled) from None
            except BaseException:
                self.close()
                raise
        self.port.settimeout(stall)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def console(self):
        return os.path.join(self.folder.name, "console")

    def wait_for_script(self, listener):
        listener.settimeout(BOOT_S)
        try:
            self.port = listener.accept()[0]
        except socket.timeout:
            raise MachineEnded("did not begin within %d s" % BOOT_S) from None
        self.port.settimeout(BOOT_S)
        self.line()

    def initramfs(self, files, script):
        root = os.path.join(self.folder.name, "root")
        modules = module_files(*self.modules)
        add = [("/bin/busybox", "bin/busybox"), *files.items()]
        add += [(m, "modules/" + os.path.basename(m)) for m in modules]
        os.makedirs(os.path.join(root, "dev"))
        os.makedirs(os.path.join(root, "proc"))
        for src, dst in add:
            dst = os.path.join(root, dst.lstrip("/"))
            os.makedirs(os.path.dirname(dst), exist_ok=True)
            shutil.copy(src, dst)
        init = INIT % (" ".join(os.path.basename(m) for m in modules), PORT, PORT)
        for name, text in (("init", init), ("script", script)):
            with open(os.path.join(root, name), "w") as f:
                f.write(text)
            os.chmod(os.path.join(root, name), 0o755)
        path = os.path.join(self.folder.name, "initramfs")
        with open(path, "wb") as f:
            names = subprocess.run(["find", "."], cwd=root, check=True, stdout=subprocess.PIPE).stdout
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=f, check=True)
        return path

    def send(self, line):
        self.port.sendall(line.encode() + b"\n")

    def line(self):
        """The next line; MachineEnded where there is none to come."""
        while b"\n" not in self.rest:
            try:
                got = self.port.recv(1 << 16)
            except socket.timeout:
                raise MachineEnded("stood still for %d s" % self.port.gettimeout(), True) from None
            except ConnectionError:
                got = b""
            if not got:
                raise MachineEnded("ended" + self.fatal())
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode(errors="replace").rstrip()

    def fatal(self):
        """What QEMU said where it gave up on its own: there are guests that TCG has no answer to."""
        with open(self.console(), errors="replace") as f:
            said = re.search(r"qemu: fatal: (.+)", f.read())
        return ": QEMU's '%s'" % said.group(1).rstrip() if said else ""

    def close(self):
        """Ends it, and prints what its kernel complained about."""
        self.p.kill()
        self.p.wait()
        if self.port:
            self.port.close()
        with open(self.console(), errors="replace") as f:
            for line in f:
                if NOTES.match(line):
                    print("# emulated machine: " + line.rstrip(), flush=True)
        self.folder.cleanup()
