# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Debian's QEMU on AnyKVM with a Linux guest: its serial console, its QMP socket, and the frame of a test."""
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from console import Console, ConsoleError, Tap
from kernel_log import trouble

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(TOP, os.environ.get("CACHE", "cache"))
ANYKVM = os.path.join(TOP, os.environ.get("ANYKVM", "build/anykvm"))
KERNEL = os.path.join(CACHE, "vmlinuz")
INITRD = os.path.join(CACHE, "initramfs.cpio.gz")
ENGINE = ["-accel", "tcg,thread=multi"] if "--tcg" in sys.argv[1:] else ["-accel", "kvm"]


def module_files(*names):
    """Paths of the kernel's modules of these names and of all they need, in the order to load them."""
    found = {os.path.basename(p)[:-3].replace("-", "_"): p
             for p in glob.glob(os.path.join(CACHE, "kernel/lib/modules/*/kernel/**/*.ko"), recursive=True)}
    out = []

    def add(name):
        path = found.get(name.replace("-", "_"))
        if not path or path in out:     # built in, or there already
            return
        with open(path, "rb") as f:
            needs = re.search(rb"\0depends=([^\0]*)\0", f.read())
        for need in filter(None, needs.group(1).decode().split(",") if needs else []):
            add(need)
        out.append(path)
    for n in names:
        add(n)
    return out


def initramfs(path, modules):
    """Writes an initramfs that has those modules in /m; returns the shell command that loads them."""
    files = module_files(*modules)
    argv = [os.path.join(TOP, "tools/mkinitramfs")]
    for f in files:
        argv += ["--add", "%s:/m/%s" % (f, os.path.basename(f))]
    subprocess.run([*argv, path], check=True, stdout=subprocess.DEVNULL)
    return "; ".join("insmod /m/" + os.path.basename(f) for f in files)


class Qmp:
    """The machine protocol on a Unix socket. Events that come in between are kept in self.events."""

    def __init__(self, path, seconds=20):
        deadline = time.monotonic() + seconds
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                if time.monotonic() > deadline:
                    raise ConsoleError("no QMP socket within %d s" % seconds)
                time.sleep(0.02)
        self.sock.settimeout(60)
        self.file = self.sock.makefile("r")
        self.events = []
        self.message()
        self("qmp_capabilities")

    def message(self):
        line = self.file.readline()
        if not line:
            raise ConsoleError("QEMU closed its QMP socket")
        return json.loads(line)

    def __call__(self, command, **arguments):
        """Executes a command and returns its result; ConsoleError if QEMU refuses it."""
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            m = self.message()
            if "event" in m:
                self.events.append(m)
            elif "error" in m:
                raise ConsoleError("%s: %s" % (command, m["error"]["desc"]))
            else:
                return m["return"]

    def hmp(self, line):
        """A command of the human monitor; its output as text."""
        return self("human-monitor-command", **{"command-line": line}).replace("\r", "")

    def wait_event(self, name, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            for e in self.events:
                if e["event"] == name:
                    self.events.remove(e)
                    return e
            self.sock.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                m = self.message()
            except TimeoutError:
                raise ConsoleError("no event %s within %d s" % (name, seconds))
            finally:
                self.sock.settimeout(60)
            self.events.append(m)

    def poll(self, command, good, seconds=60):
        """Repeats a query until good(result); returns the result."""
        deadline = time.monotonic() + seconds
        while True:
            r = self(command)
            if good(r):
                return r
            if time.monotonic() > deadline:
                raise ConsoleError("%s: %r after %d s" % (command, r, seconds))
            time.sleep(0.05)


class Qemu:
    """A QEMU process: .console, .qmp, .folder (for files that go with it).

    kernel and initrd are files, by default Debian's cloud kernel and the busybox initramfs; kernel=None leaves the boot
    to the firmware. modules: modules of that kernel which up() loads. before(folder) may make files in the folder; it
    returns further arguments.
    """

    def __init__(self, *args, machine="q35", cpu="host", smp=1, memory=256, kernel=KERNEL, initrd=INITRD, modules=(), append="",
                 limit=90, before=None):
        self.folder = tempfile.mkdtemp(prefix="anykvm-qemu-")
        path = os.path.join(self.folder, "qmp")
        if "kvm" not in ENGINE:
            cpu = cpu.replace("host,host-phys-bits-limit=", "max,phys-bits=").replace("host", "max")
        argv = ["qemu-system-x86_64", *ENGINE, "-M", machine, "-cpu", cpu, "-smp", str(smp), "-m", str(memory),
                "-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-user-config",
                "-qmp", "unix:%s,server=on,wait=off" % path, *args]
        self.load = None
        if modules:
            initrd = os.path.join(self.folder, "initrd")
            self.load = initramfs(initrd, modules)
        if before:
            argv += before(self.folder)
        if kernel:
            argv += ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 LINES=50 COLUMNS=1000 " + append]
        if "kvm" in ENGINE:
            argv = [ANYKVM, "exec", "--", *argv]
        self.console = Console(argv, cwd=TOP, limit=limit)
        try:
            self.qmp = Qmp(path)
        except (ConsoleError, OSError):
            self.console.pump(0.2)
            print("\n".join("# " + line for line in self.console.tail()))
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.console.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def up(self, seconds=60):
        """Waits for the guest's shell."""
        self.console.expect("init: first line", seconds)
        self.console.at_prompt(30)
        if self.load:
            self.sh(self.load)

    def sh(self, line, seconds=60):
        """A shell command in the guest; its output, stripped."""
        return self.console.command(line, seconds)[0].strip()


class Steps:
    """Cases of a script: `with steps("name"):` turns what goes wrong inside into one failed case."""

    def __init__(self):
        self.tap = Tap()
        self.qemu = None

    def ok(self, good, name, *why):
        return self.tap.ok(good, name, *why)

    def equal(self, have, want, name):
        return self.tap.ok(have == want, name, "have %r" % (have,), "want %r" % (want,))

    def run(self, name, function, *args, **kwargs):
        """Starts a QEMU with the given arguments and calls function(qemu)."""
        try:
            with Qemu(*args, **kwargs) as q:
                try:
                    function(q)
                except (ConsoleError, OSError, ValueError) as e:
                    self.tap.ok(False, name, e, *q.console.tail())
        except (ConsoleError, OSError) as e:
            self.tap.ok(False, name, e)

    def healthy(self, q, name):
        """Nothing bad in the guest's kernel log."""
        bad = trouble(q.sh("dmesg -r", 60))
        self.tap.ok(not bad, name, *bad)

    def exit(self):
        self.tap.exit()
