#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""The same QEMU command with -accel kvm on AnyKVM and with -accel tcg,thread=multi, in turn, with the Debian disk.

    bench/clients.py [--reps N] [--only boot,build,...]

From power-on to the login prompt; building a C project of 100 files in the guest; virtio-blk sequential and random reads;
iperf3 over virtio-net with user networking. Prints medians, and ratios that are above 1 where AnyKVM is faster. Needs
`make guest-images` and, for the network, the package iperf3. Run it on an idle machine.
"""
import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests/lib"))
import qemu  # noqa: E402
from console import ConsoleError  # noqa: E402
from debian import BLOCK, DISK, NET, login, poweroff  # noqa: E402

ENGINES = {"anykvm": ["-accel", "kvm"], "tcg": ["-accel", "tcg,thread=multi"]}
# name, unit, is a small value good, bar
ROWS = (("boot", "s", True, 2.5), ("build", "s", True, 2.5), ("sequential", "MiB/s", False, 1.0),
        ("random", "reads/s", False, 1.0), ("to host", "Mbit/s", False, 1.0), ("from host", "Mbit/s", False, 1.0))

PROJECT = r"""mkdir -p /root/p && cd /root/p && for i in $(seq 100); do { echo '#include <stdio.h>';
echo '#include <stdlib.h>'; echo '#include <string.h>'; for j in $(seq 20); do
echo "static int g$j(const char *s, int n) { int r = $j; while (*s) r = r * 31 + *s++ % (n + $i); return r; }"; done;
echo "int f$i(const char *s) { char b[256]; int r = 0; snprintf(b, sizeof(b), \"%s-$i\", s);";
for j in $(seq 20); do echo "r += g$j(b, r & 63);"; done; echo 'return r; }'; } >f$i.c; done;
{ echo '#include <stdio.h>'; for i in $(seq 100); do echo "int f$i(const char *);"; done;
echo 'int main(void) { int r = 0;'; for i in $(seq 100); do echo "r ^= f$i(\"bench\");"; done;
echo 'printf("%d\n", r); return 0; }'; } >main.c;
printf 'p: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\t$(CC) -o $@ $^\nCFLAGS = -O2\n' >Makefile; sync"""

# reads past the guest's cache, 5 s each: 256 MiB in order again and again, then single blocks of 4 KiB at places that a fixed
# recurrence picks
READS = r"""#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(void)
{
	int fd = open("/dev/vda", O_RDONLY | O_DIRECT), n = 0;
	unsigned long x = 1;
	double t = now();
	void *b;

	if (fd < 0 || posix_memalign(&b, 4096, 1 << 20))
		return 1;
	for (; now() - t < 5; n++)
		if (pread(fd, b, 1 << 20, (36L + n % 256) << 20) != 1 << 20)
			return 1;
	printf("%.1f ", n / (now() - t));
	n = 0;
	for (t = now(); now() - t < 5; n++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		if (pread(fd, b, 4096, (x >> 33) % 300000 * 4096) != 4096)
			return 1;
	}
	printf("%.0f\n", n / (now() - t));
	return 0;
}
"""


def warm(path):
    """Reads a file, so that all engines find it in the host's page cache: the first would wait for the host's disk."""
    with open(path, "rb", buffering=0) as f:
        while f.read(1 << 20):
            pass


def put(q, path, text):
    """Writes a file in the guest, in lines that its terminal takes."""
    code = base64.b64encode(text.encode()).decode()
    q.sh(": >/root/b64")
    for i in range(0, len(code), 600):
        q.sh("echo %s >>/root/b64" % code[i:i + 600])
    q.sh("base64 -d /root/b64 >%s" % path)


def one(engine, what):
    """One start of the guest and the wanted measurements in it; {row: value}."""
    qemu.ENGINE[:] = ENGINES[engine]
    found = {}
    start = time.monotonic()
    with qemu.Qemu(*BLOCK, *NET, smp=2, memory=1024, kernel=None, limit=900) as q:
        q.console.expect("debian login: ", 900)
        found["boot"] = time.monotonic() - start
        q.console.at = 0
        login(q, 900)
        q.sh("systemctl is-system-running --wait", 300)
        if "build" in what:
            put(q, "/root/project.sh", PROJECT)
            q.sh(". /root/project.sh", 300)
            start = time.monotonic()
            out, status = q.console.command("make -s -j2", 1800)
            found["build"] = time.monotonic() - start
            if status:
                raise ConsoleError("the project does not build: " + out)
            found["sum"] = q.sh("./p")
        if {"sequential", "random"} & what:
            put(q, "/root/r.c", READS)
            q.sh("gcc -O2 -o /root/r /root/r.c", 300)
            found["sequential"], found["random"] = [float(n) for n in q.sh("/root/r", 600).split()]
        if {"to host", "from host"} & what:
            server = subprocess.Popen(["iperf3", "-s", "-p", "5299"], stdout=subprocess.DEVNULL)
            try:
                for name, option in (("to host", ""), ("from host", "-R")):
                    r = json.loads(q.sh("iperf3 -c 10.0.2.2 -p 5299 -t 5 -J " + option, 120))
                    found[name] = r["end"]["sum_received"]["bits_per_second"] / 1e6
            finally:
                server.terminate()
                server.wait()
        poweroff(q)
    return found


def main():
    names = [r[0] for r in ROWS]
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--reps", type=int, default=3)
    ap.add_argument("--only", default=",".join(names), help="rows of: " + ",".join(names))
    args = ap.parse_args()
    what = set(args.only.split(","))
    if what - set(names):
        ap.error("unknown rows: " + ", ".join(what - set(names)))
    if {"to host", "from host"} & what and not shutil.which("iperf3"):
        sys.exit("bench/clients.py: no iperf3 here; install the package, or name other rows with --only")
    warm(DISK)
    values = {e: [] for e in ENGINES}
    for rep in range(args.reps):
        for engine in ENGINES:
            values[engine].append(one(engine, what))
            print("%d %-7s %s" % (rep + 1, engine, values[engine][-1]), file=sys.stderr, flush=True)
    sums = {v["sum"] for e in values for v in values[e] if "sum" in v}
    if len(sums) > 1:
        sys.exit("bench/clients.py: the built programs disagree: %s" % sums)
    print("| what | unit | AnyKVM | TCG | AnyKVM is faster by | bar | holds |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, unit, small, bar in ROWS:
        if name in what:
            a, t = (statistics.median(v[name] for v in values[e]) for e in ("anykvm", "tcg"))
            ratio = t / a if small else a / t
            print("| %s | %s | %.1f | %.1f | %.2f | %.1f | %s |" % (name, unit, a, t, ratio, bar, "yes" if ratio >= bar else "no"))


main()
