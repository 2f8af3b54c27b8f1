# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""A client of the GDB remote serial protocol, as far as the tests need it."""
import socket

from console import ConsoleError

SIGTRAP = 5


class Gdb:
    """A connection to a stub on a Unix socket; connecting stops the machine."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(path)
        self.data = b""
        self.send("qSupported:hwbreak+;swbreak+")
        while "PacketSize" not in self.receive():       # the stop that connecting makes may be told first
            pass
        self.ask("?")
        self.ask("Hg1")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, text):
        raw = text.encode()
        self.sock.sendall(b"$" + raw + b"#%02x" % (sum(raw) & 0xff))

    def receive(self):
        """The next packet's text."""
        while True:
            start = self.data.find(b"$")
            end = self.data.find(b"#", start)
            if start >= 0 and end >= 0 and len(self.data) >= end + 3:
                text = self.data[start + 1:end].decode(errors="replace")
                self.data = self.data[end + 3:]
                self.sock.sendall(b"+")
                return text
            try:
                more = self.sock.recv(65536)
            except TimeoutError:
                raise ConsoleError("the gdb stub does not answer")
            if not more:
                raise ConsoleError("the gdb stub closed the connection")
            self.data += more

    def ask(self, text):
        self.send(text)
        return self.receive()

    def must(self, text):
        r = self.ask(text)
        if r != "OK":
            raise ConsoleError("%s: the gdb stub says %r" % (text, r))

    def go(self):
        self.send("c")

    def interrupt(self):
        """Stops the running machine."""
        self.sock.sendall(b"\x03")
        while not self.receive().startswith("T02"):
            pass

    def stopped(self):
        """Waits for a stop; its packet, with the registers of the thread that stopped at hand."""
        r = self.receive()
        while r.startswith("O") or r.startswith("T02"):    # console output, or an interruption
            r = self.receive()
        if not r.startswith("T%02x" % SIGTRAP):
            raise ConsoleError("stopped with %r" % r)
        for field in r[3:].split(";"):
            if field.startswith("thread:"):
                self.must("Hg" + field[7:])
        return r

    def step(self):
        self.send("s")
        return self.stopped()

    def registers(self):
        """rip, eflags, cs and rsp."""
        raw = bytes.fromhex(self.ask("g"))
        word = lambda at, size: int.from_bytes(raw[at:at + size], "little")     # noqa: E731
        return {"rsp": word(56, 8), "rip": word(128, 8), "eflags": word(136, 4), "cs": word(140, 4)}

    def memory(self, at, size):
        return bytes.fromhex(self.ask("m%x,%x" % (at, size)))

    def insert(self, kind, at, size=1):
        """kind 0: breakpoint in memory, 1: by debug register, 2: watch writes, 3: reads, 4: both."""
        self.must("Z%d,%x,%x" % (kind, at, size))

    def remove(self, kind, at, size=1):
        self.must("z%d,%x,%x" % (kind, at, size))
