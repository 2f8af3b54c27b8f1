# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""A program on a terminal of its own, and a hand at the keyboard; TAP for scripts."""
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

PROMPT = r"anykvm:\S*# "


class ConsoleError(Exception):
    pass


class Console:
    """Runs argv on a new pseudo terminal. Everything it printed is in self.log (text)."""

    def __init__(self, argv, cwd=None, limit=120):
        self.argv, self.limit = argv, limit
        self.log = ""
        self.at = 0         # how far expect() has read
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.start = time.monotonic()
        self.p = subprocess.Popen(argv, cwd=cwd, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                  start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()
        os.close(self.master)
        os.close(self.slave)

    def pump(self, seconds):
        """Takes in what comes within the given time; True if something came."""
        if not select.select([self.master], [], [], max(0, seconds))[0]:
            return False
        self.log += os.read(self.master, 65536).decode(errors="replace")
        return True

    def expect(self, pattern, seconds=None):
        """Waits for a regular expression in the output after the last match; returns the match."""
        deadline = time.monotonic() + (seconds or self.limit)
        while True:
            m = re.compile(pattern).search(self.log, self.at)
            if m:
                self.at = m.end()
                return m
            if self.p.poll() is not None and not self.pump(0):
                raise ConsoleError("ended with status %d while %r was awaited" % (self.p.returncode, pattern))
            left = deadline - time.monotonic()
            if left <= 0:
                raise ConsoleError("no %r within %d s" % (pattern, seconds or self.limit))
            self.pump(min(left, 0.2))

    def send(self, text):
        os.write(self.master, text.encode())

    def command(self, line, seconds=None):
        """Types a shell command and returns (output, exit status)."""
        # the shell says where the output begins: in the echo of what was typed there may be a line of the kernel's
        self.send('echo "BE""GIN"; ' + line + '; echo "E""ND:$?"\r')
        self.expect(r"BEGIN\r*\n", 20)
        start = self.at
        m = self.expect(r"END:(\d+)\r*\n", seconds)
        out = self.log[start:m.start()].replace("\r", "")
        self.expect(PROMPT, 20)
        return out, int(m.group(1))

    def at_prompt(self, seconds):
        """Waits for the shell and keeps the kernel's messages in its log: on the console they land in what commands print."""
        self.expect(PROMPT, seconds)
        self.command("dmesg -n 1")

    def wait(self, seconds):
        """The exit status, or an error if there is none in time. Output goes on being read meanwhile."""
        deadline = time.monotonic() + seconds
        while self.p.poll() is None:
            if time.monotonic() > deadline:
                raise ConsoleError("did not end within %d s" % seconds)
            self.pump(0.1)
        while self.pump(0):
            pass
        return self.p.returncode

    def restored(self):
        """Is the terminal as it was before?"""
        return termios.tcgetattr(self.slave) == self.before

    def kill(self):
        if self.p.poll() is None:
            os.killpg(self.p.pid, signal.SIGKILL)
            self.p.wait()

    def tail(self, lines=25):
        return self.log.replace("\r", "").splitlines()[-lines:]


class Tap:
    """Counts and prints cases; exit() gives the program's status."""

    def __init__(self):
        self.number = self.bad = 0

    def ok(self, good, name, *why):
        self.number += 1
        self.bad += not good
        print("%s %d - %s" % ("ok" if good else "not ok", self.number, name))
        if not good:
            for line in why:
                print("# " + str(line))
        sys.stdout.flush()
        return good

    def exit(self):
        print("1..%d" % self.number)
        sys.exit(1 if self.bad else 0)
