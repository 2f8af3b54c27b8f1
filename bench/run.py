#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Figures: the same guest kernel, initramfs and static programs natively, under QEMU TCG and in AnyKVM.

    bench/run.py [--engines native,tcg,anykvm] [--only NAME,GROUP...] [--reps N] [--json FILE] [--doc FILE]

Each repetition runs the engines in turn, one boot each, and the table shows medians. A slow-down is
time per unit of work against the native time; groups are geometric means. Exit status 1 if a run
failed or a checksum differs; a missed bar is printed and, with --strict, is a failure too.
"""
import argparse
import json
import math
import os
import platform
import re
import selectors
import signal
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GROUPS = {"integer": 3.5, "memory": 4.0, "fp": 2.0, "flow": 8.0, "kernel": 7.0}
TITLES = {"integer": "integer", "memory": "memory", "fp": "FP and SIMD", "flow": "control flow",
          "kernel": "kernel, system calls", "atomic": "atomics, one vCPU", "smp": "two vCPUs"}
NOISE = 1.10
FIRST_LINE = b"init: first line"


class Failure(Exception):
    pass


class Boot:
    """One run of a guest to its power-off, or until the caller has what it wants."""

    def __init__(self, argv, limit):
        self.lines, self.first_line = [], None
        self.limit = limit
        self.argv = argv
        self.start = time.monotonic()
        self.p = subprocess.Popen(argv, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, start_new_session=True)
        os.set_blocking(self.p.stdout.fileno(), False)
        self.sel = selectors.DefaultSelector()
        self.sel.register(self.p.stdout, selectors.EVENT_READ)
        self.rest = b""

    def read(self, until=None):
        """Reads lines to the end, or to one that starts with `until`. Returns whether that came."""
        while True:
            left = self.start + self.limit - time.monotonic()
            if left <= 0:
                raise Failure("no end after %d s; last lines:\n%s" % (self.limit, self.tail()))
            if not self.sel.select(left):
                continue
            data = self.p.stdout.read()
            if data is None:
                continue
            if not data:
                return False
            self.rest += data
            if self.first_line is None and FIRST_LINE in self.rest:
                self.first_line = time.monotonic() - self.start
            *lines, self.rest = self.rest.split(b"\n")
            found = False
            for raw in lines:
                line = raw.decode(errors="replace").strip("\r")
                self.lines.append(line)
                found = found or (until is not None and line.startswith(until))
            if found:
                return True

    def tail(self):
        return "\n".join("    " + line for line in self.lines[-12:])

    def finish(self):
        self.read()
        status = self.p.wait()
        if status:
            raise Failure("status %d of %s\n%s" % (status, " ".join(self.argv), self.tail()))

    def kill(self):
        if self.p.poll() is None:
            os.killpg(self.p.pid, signal.SIGKILL)
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


class Bench:
    def __init__(self, args):
        self.args = args
        self.workload = os.path.join(args.build, "bench/workload")
        self.kernel = os.path.join(args.cache, "vmlinuz")
        self.initrd = os.path.join(args.build, "bench/initramfs.cpio.gz")
        # (engine, workload) -> ns per unit, one per repetition
        self.samples, self.sums, self.groups = {}, {}, {}
        self.boots = {}
        self.clocks = {}
        self.figures = {}
        self.failed = []

    def command(self, engine, cpus, append):
        guest = ["-smp", str(cpus), "-m", "512", "-kernel", self.kernel, "-initrd", self.initrd,
                 "-append", "console=ttyS0 " + append, "-nographic"]
        if engine == "tcg":
            return ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-M", "q35",
                    "-nic", "none", *guest]
        if engine == "kvm":
            return ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-M", "q35", "-nic", "none", *guest]
        return [os.path.join(self.args.build, "anykvm"), "run", "-M", "q35", "-enable-kvm", "-cpu", "host", *guest]

    # -- taking -----------------------------------------------------------------------------------

    def take_lines(self, engine, cpus, lines):
        seen = False
        for line in lines:
            f = line.split()
            if len(f) >= 2 and f[0] == "C":
                self.clocks[engine, cpus] = f[1]
            if len(f) == 2 and f[0] == "E":
                seen = True
                if f[1] != "0":
                    raise Failure("a workload failed:\n" + "\n".join(lines[-8:]))
            if len(f) < 4 or f[0] != "W" or f[3] == "skip":
                continue
            if len(f) != 6 or not f[4].isdigit():
                raise Failure("%s: %s" % (engine, line))
            name, group, checksum, ns = f[1], f[2], f[3], int(f[4])
            known = self.sums.setdefault(name, (checksum, engine))
            if known[0] != checksum:
                self.failed.append("%s: checksum %s in %s, %s in %s" % (name, checksum, engine, *known))
            self.groups[name] = group
            self.samples.setdefault((engine, name, cpus), []).append(ns)
        if not seen:
            raise Failure("the workloads did not end:\n" + "\n".join(lines[-8:]))

    def run_once(self, engine, cpus, names):
        arguments = ["-t", str(self.args.time), *names]
        if engine == "native":
            p = subprocess.run([self.workload, *arguments], cwd=TOP, capture_output=True, text=True, timeout=600)
            self.take_lines(engine, cpus, p.stdout.splitlines() + ["E %d" % p.returncode])
            return
        boot = Boot(self.command(engine, cpus, 'run=/bench/guest.sh args="%s"' % " ".join(arguments)), self.args.limit)
        try:
            boot.finish()
        finally:
            boot.kill()
        self.take_lines(engine, cpus, boot.lines)
        if boot.first_line is not None:
            self.boots.setdefault((engine, cpus), []).append(boot.first_line)

    def attempt(self, what, f, *args):
        start = time.monotonic()
        try:
            f(*args)
        except (Failure, OSError, subprocess.SubprocessError) as e:
            self.failed.append("%s: %s" % (what, e))
        print("%-28s %5.1f s" % (what, time.monotonic() - start), file=sys.stderr, flush=True)

    def idle(self, engine):
        """CPU use of an idle guest, and what the process holds besides the guest's memory."""
        boot = Boot(self.command(engine, 1, 'run=/bench/guest.sh args="-t 50 integer fork-exec" rest=60'), 120)
        try:
            if not boot.read(until="I"):
                raise Failure("ended early\n" + boot.tail())
            time.sleep(2)
            before = cpu_ticks(boot.p.pid)
            time.sleep(8)
            used = (cpu_ticks(boot.p.pid) - before) / os.sysconf("SC_CLK_TCK") / 8
            self.figures[engine + " idle %"] = 100 * used
            self.figures[engine + " resident MiB"] = resident_beyond_guest(boot.p.pid) / 1024
        finally:
            boot.kill()

    def exits(self):
        prog = os.path.join(self.args.build, "bench/exits")
        p = subprocess.run([prog], cwd=TOP, capture_output=True, text=True, timeout=60)
        if p.returncode:
            raise Failure(p.stderr.strip() or "status %d" % p.returncode)
        long_mode, real_mode = map(int, p.stdout.split())
        self.figures["anykvm exit ns"] = long_mode
        self.figures["anykvm real-mode exit ns"] = real_mode

    def measure(self):
        guests = [e for e in self.args.engines if e != "native"]
        one = [n for n in self.args.only if n != "smp"]
        for rep in range(self.args.reps):
            for e in self.args.engines:
                if not self.args.only or one:
                    self.attempt("%s, 1 CPU, %d" % (e, rep + 1), self.run_once, e, 1,
                                 one or [*GROUPS, "atomic"])
            for e in self.args.engines:
                if not self.args.only or "smp" in self.args.only:
                    self.attempt("%s, 2 CPUs, %d" % (e, rep + 1), self.run_once, e, 2, ["smp"])
        if self.args.only:
            return
        for e in guests:
            self.attempt(e + ", idle", self.idle, e)
        if "anykvm" in guests:
            self.attempt("port-I/O exits", self.exits)

    # -- telling ----------------------------------------------------------------------------------

    def median(self, engine, name, cpus=1):
        s = self.samples.get((engine, name, cpus))
        return statistics.median(s) if s else None

    def slowdown(self, engine, name, base="native"):
        t, n = self.median(engine, name), self.median(base, name)
        return t / n if t and n else None

    def group_mean(self, engine, groups, base="native"):
        values = [self.slowdown(engine, n, base) for n, g in self.groups.items() if g in groups]
        values = [v for v in values if v]
        return math.exp(statistics.mean(map(math.log, values))) if values else None

    def table(self):
        guests = [e for e in self.args.engines if e != "native"]
        both = "tcg" in guests and "anykvm" in guests
        head = ["workload", "native"] + guests + (["tcg/anykvm"] if both else [])
        rows = []
        for group in [*GROUPS, "atomic"]:
            names = [n for n, g in self.groups.items() if g == group]
            if not names:
                continue
            for n in names:
                row = [n, duration(self.median("native", n))]
                row += [self.cell(e, n) for e in guests]
                if both:
                    row.append(number(self.slowdown("tcg", n, "anykvm")))
                rows.append(row)
            row = ["**%s**" % TITLES[group], ""] + [number(self.group_mean(e, [group])) for e in guests]
            if both:
                row.append(number(self.group_mean("tcg", [group], "anykvm")))
            rows.append(row)
        row = ["**over all**", ""] + [number(self.group_mean(e, GROUPS)) for e in guests]
        if both:
            row.append(number(self.group_mean("tcg", GROUPS, "anykvm")))
        rows.append(row)
        return markdown(head, rows)

    def cell(self, engine, name):
        s = self.slowdown(engine, name)
        if s:
            return number(s)
        t = self.median(engine, name)
        return duration(t) if t else "-"

    def boot_seconds(self, engine, cpus):
        s = self.boots.get((engine, cpus))
        return statistics.median(s) if s else None

    def scaling(self, engine):
        one, two = (self.samples.get((engine, "threads-%d" % n, 2), []) for n in (1, 2))
        ratios = [2 * t1 / t2 for t1, t2 in zip(one, two)]
        return statistics.median(ratios) if ratios else None

    def other(self):
        rows = []
        for e in self.args.engines:
            rows.append([e, number(self.boot_seconds(e, 1)), number(self.boot_seconds(e, 2)), number(self.scaling(e)),
                         duration(self.median(e, "contention", 2)), self.clocks.get((e, 1), "-"),
                         self.clocks.get((e, 2), "-"), number(self.figures.get(e + " idle %")),
                         number(self.figures.get(e + " resident MiB")), number(self.figures.get(e + " exit ns")),
                         number(self.figures.get(e + " real-mode exit ns"))])
        return markdown(["engine", "boot, 1 vCPU, s", "2 vCPUs, s", "2 threads / 1", "contention", "clock, 1 vCPU",
                         "2 vCPUs", "idle, %", "resident beyond guest, MiB", "port-I/O exit, ns", "real mode"], rows)

    def bars(self):
        """(text, measured, holds) for each bar whose figures are there."""
        out = []

        def at_most(text, value, limit):
            if value is not None:
                out.append(("%s at most %g" % (text, limit), value, value <= limit))

        def at_least(text, value, limit):
            if value is not None:
                out.append(("%s at least %g" % (text, limit), value, value >= limit))

        for g, limit in GROUPS.items():
            at_most(TITLES[g] + ", slow-down", self.group_mean("anykvm", [g]), limit)
        at_least("speed over all, in TCG's", self.group_mean("tcg", GROUPS, "anykvm"), 4)
        slower = {n: self.slowdown("anykvm", n, "tcg") for n, g in self.groups.items() if g in GROUPS}
        slower = {n: s for n, s in slower.items() if s}
        if slower:
            worst = max(slower, key=slower.get)
            at_most("worst workload against TCG (%s)" % worst, slower[worst], NOISE)
        at_least("two vCPUs, throughput of one", self.scaling("anykvm"), 1.8)
        for cpus in (1, 2):
            ours, theirs = self.boot_seconds("anykvm", cpus), self.boot_seconds("tcg", cpus)
            if ours and theirs:
                at_most("boot with %d vCPU%s, of TCG's time" % (cpus, "s"[:cpus - 1]), ours / theirs, 0.8)
        at_most("port-I/O exit, ns", self.figures.get("anykvm exit ns"), 250)
        at_most("idle guest, % of a core", self.figures.get("anykvm idle %"), 2)
        at_most("resident beyond the guest, MiB", self.figures.get("anykvm resident MiB"), 64)
        for cpus in (1, 2):
            clock = self.clocks.get(("anykvm", cpus))
            if clock:
                out.append(("clock with %d vCPUs is kvm-clock or tsc" % cpus, clock, clock in ("kvm-clock", "tsc")))
        return out

    def bar_table(self):
        rows = [[text, value if isinstance(value, str) else number(value), "yes" if holds else "**no**"]
                for text, value, holds in self.bars()]
        return markdown(["bar", "measured", "holds"], rows) if rows else ""

    def machine(self):
        model = "?"
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    model = line.split(":", 1)[1].strip()
                    break
        qemu = first_line(["qemu-system-x86_64", "--version"])
        release = os.path.join(self.args.cache, "kernel/boot")
        guest = [n for n in os.listdir(release) if n.startswith("vmlinuz-")] if os.path.isdir(release) else []
        return "%s, %d CPUs, host Linux %s; guest Linux %s, 512 MiB; %s; median of %d" % (
            model, os.cpu_count(), platform.release(), guest[0][8:] if guest else "?", qemu, self.args.reps)

    def text(self):
        return "\n\n".join(t for t in (self.machine(), self.table(), self.other(), self.bar_table()) if t)


def first_line(argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return argv[0] + " is missing"


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def resident_beyond_guest(pid):
    """KiB. The guest's memory is the mapping named for it, else the one with most resident pages; a page that is
    mapped twice in the process counts once, as smaps' Pss has it."""
    areas = []
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ *(.*)$", line)
            if m:
                areas.append([m.group(3).strip(), 0])
            elif line.startswith("Pss:"):
                areas[-1][1] = int(line.split()[1])
    named = [a for a in areas if "guest" in a[0]]
    guest = sum(a[1] for a in named) if named else max(a[1] for a in areas)
    return sum(a[1] for a in areas) - guest


def number(x):
    if x is None:
        return "-"
    return "%.0f" % x if x >= 100 else "%.1f" % x if x >= 10 else "%.2f" % x


def duration(ns):
    if ns is None:
        return "-"
    return "%s ms" % number(ns / 1e6) if ns >= 1e5 else "%s µs" % number(ns / 1e3)


def markdown(head, rows):
    rows = [head] + rows
    width = [max(len(r[i]) for r in rows) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, width))) + " |"
             for r in rows]
    rule = "| " + " | ".join("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(width)) + " |"
    return "\n".join([lines[0], rule] + lines[1:])


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--engines", default="native,tcg,anykvm", help="of native, tcg, anykvm, kvm")
    ap.add_argument("--only", default="", help="workloads or groups, with commas")
    ap.add_argument("--reps", type=int, default=3)
    ap.add_argument("--time", type=int, default=400, help="milliseconds per workload, at least two units")
    ap.add_argument("--limit", type=int, default=300, help="seconds per boot")
    ap.add_argument("--build", default=os.path.join(TOP, "build"))
    ap.add_argument("--cache", default=os.path.join(TOP, "cache"))
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--doc", metavar="FILE", help="write the tables there as well")
    ap.add_argument("--strict", action="store_true", help="a missed bar is a failure")
    args = ap.parse_args()
    args.engines = args.engines.split(",")
    args.only = [n for n in args.only.split(",") if n]
    args.build, args.cache = os.path.abspath(args.build), os.path.abspath(args.cache)
    for e in args.engines:
        if e not in ("native", "tcg", "anykvm", "kvm"):
            ap.error("no engine " + e)

    b = Bench(args)
    b.measure()
    print(b.text())
    for f in b.failed:
        print("failed: " + f)
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"machine": b.machine(), "samples": [[*k, v] for k, v in b.samples.items()],
                       "boots": [[*k, v] for k, v in b.boots.items()], "figures": b.figures,
                       "bars": b.bars(), "failed": b.failed}, f, indent=1)
    if args.doc and not b.failed:
        with open(args.doc, "w") as f:
            f.write("# Figures\n\nWritten by `make bench-doc`; testing.md tells how they are taken. Times are those of one\n"
                    "unit of work natively, the other columns are multiples of it: slow-downs, 1 vCPU.\n\n")
            f.write(b.text() + "\n")
    missed = [text for text, _, holds in b.bars() if not holds]
    return 1 if b.failed or (missed and args.strict) else 0


sys.exit(main())
