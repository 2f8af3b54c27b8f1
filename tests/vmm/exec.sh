#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# `anykvm exec`: what cannot work is refused with one line that says why, and everything else is as if the program had
# been started without it. $ANYKVM: the program. time limit: 60 s
set -u
ANYKVM=${ANYKVM:-build/anykvm}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 failed=0

result() {	# NAME GOOD DETAIL
	n=$((n + 1))
	if [ "$2" = 0 ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1: $3"
		failed=1
	fi
}

# runs NAME STATUS TEXT COMMAND...: status and the whole of stdout; nothing on stderr
runs() {
	local name=$1 want=$2 text=$3 status
	shift 3
	timeout 20 "$@" </dev/null >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status = "$want" ] && [ "$(cat "$dir/out")" = "$text" ] && [ ! -s "$dir/err" ]
	result "$name" $? "status $status, $(head -c 300 "$dir/out" "$dir/err")"
}

# refused NAME STATUS TEXT COMMAND...: one line on stderr with the text in it
refused() {
	local name=$1 want=$2 text=$3 status
	shift 3
	timeout 20 "$@" </dev/null >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status = "$want" ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ] &&
		grep -q '^anykvm: exec: ' "$dir/err" && grep -qF -e "$text" "$dir/err"
	result "$name" $? "status $status, $(head -c 300 "$dir/out" "$dir/err")"
}

cat >"$dir/prog.c" <<'C'
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>
int main(void)
{
	return ioctl(open("/dev/kvm", O_RDWR), KVM_GET_API_VERSION, 0) == KVM_API_VERSION ? 3 : 4;
}
C
cc=${CC:-gcc}
$cc -o "$dir/prog" "$dir/prog.c" && $cc -static -o "$dir/static" "$dir/prog.c" &&
	$cc -static-pie -o "$dir/static-pie" "$dir/prog.c" &&
	$cc -Wl,--dynamic-linker="$dir/ld-musl-x86_64.so.1" -o "$dir/musl" "$dir/prog.c" &&
	$cc -Wl,--dynamic-linker=/nowhere/ld.so -o "$dir/nolinker" "$dir/prog.c" || exit 1
cp "$dir/prog" "$dir/ld-musl-x86_64.so.1"
cp "$dir/prog" "$dir/32bit" && printf '\x01' | dd of="$dir/32bit" bs=1 seek=4 conv=notrunc status=none
cp "$dir/prog" "$dir/arm" && printf '\xb7' | dd of="$dir/arm" bs=1 seek=18 conv=notrunc status=none
cp "$dir/prog" "$dir/headers" && printf '\xff\xff\xff\xff' | dd of="$dir/headers" bs=1 seek=32 conv=notrunc status=none
printf '#!%s\n' "$dir/static" >"$dir/script-static"
printf '#!/bin/sh\n"%s"\n' "$dir/prog" >"$dir/script"
printf '#! /usr/bin/env bash\n"%s"\n' "$dir/prog" >"$dir/script-env"
printf '#!/nowhere/sh\n' >"$dir/script-nowhere"
printf '"%s"; echo "$1:$?"\n' "$dir/prog" >"$dir/no-first-line"
chmod +x "$dir"/script* "$dir/no-first-line"
mkdir "$dir/dir"

runs "a program" 3 "" "$ANYKVM" exec -- "$dir/prog"
runs "without --" 3 "" "$ANYKVM" exec "$dir/prog"
runs "a script" 3 "" "$ANYKVM" exec -- "$dir/script"
runs "a script by env" 3 "" "$ANYKVM" exec -- "$dir/script-env"
runs "a script without a first line" 0 "x:3" "$ANYKVM" exec -- "$dir/no-first-line" x
runs "from PATH" 3 "" env PATH="$dir:$PATH" "$ANYKVM" exec -- prog
runs "arguments and output" 0 "-- a b" "$ANYKVM" exec -- echo -- a b
runs "status of the program" 42 "" "$ANYKVM" exec -- sh -c 'exit 42'
runs "exec within exec" 3 "" "$ANYKVM" exec -- "$ANYKVM" exec -- "$dir/prog"
runs "another preload stays" 0 "libutil.so.1" env LD_PRELOAD=libutil.so.1 "$ANYKVM" exec -- \
	sh -c 'echo ${LD_PRELOAD#*:}'
runs "through a program that empties the environment" 3 "" "$ANYKVM" exec -- env -i "$dir/prog"
timeout 20 "$ANYKVM" exec -- sh -c 'kill -9 $$' >/dev/null 2>&1
[ $? = 137 ]
result "death by a signal" $? "status"

refused "static" 126 "statically linked" "$ANYKVM" exec -- "$dir/static"
refused "static, position-independent" 126 "statically linked" "$ANYKVM" exec -- "$dir/static-pie"
refused "a script for a static program" 126 "statically linked" "$ANYKVM" exec -- "$dir/script-static"
refused "musl" 126 "musl" "$ANYKVM" exec -- "$dir/musl"
refused "no dynamic linker" 127 "/nowhere/ld.so" "$ANYKVM" exec -- "$dir/nolinker"
refused "32-bit" 126 "not a 64-bit x86 program" "$ANYKVM" exec -- "$dir/32bit"
refused "for another processor" 126 "not a 64-bit x86 program" "$ANYKVM" exec -- "$dir/arm"
refused "damaged" 126 "damaged" "$ANYKVM" exec -- "$dir/headers"
refused "an interpreter that is not there" 127 "/nowhere/sh" "$ANYKVM" exec -- "$dir/script-nowhere"
refused "not executable" 126 "denied" "$ANYKVM" exec -- "$dir/prog.c"
refused "a folder" 126 "not a program" "$ANYKVM" exec -- "$dir/dir"
refused "not found" 127 "not found" "$ANYKVM" exec -- nowhere-to-be-found
refused "an unknown option" 2 "--frob" "$ANYKVM" exec --frob "$dir/prog"
refused "no descriptors" 126 "memfd" bash -c 'ulimit -n 5; exec "$0" exec -- "$1"' "$ANYKVM" "$dir/prog"
refused "no memory" 126 "can be created" bash -c 'ulimit -v 100000; exec "$0" exec -- "$1"' "$ANYKVM" "$dir/prog"
if [ "$(id -u)" = 0 ]; then
	cp "$dir/prog" "$dir/setuid" && chown nobody "$dir/setuid" && chmod u+s "$dir/setuid"
	refused "setuid" 126 "privileges" "$ANYKVM" exec -- "$dir/setuid"
else
	echo "ok - setuid # SKIP only root can make such a file"
fi
# the library alone, and moved away from the program
cp "$ANYKVM" "$dir/alone"
refused "the library is not there" 126 "libanykvm-preload.so" "$dir/alone" exec -- "$dir/prog"

cat >"$dir/filter.py" <<'PY'
import ctypes, os, struct, sys
# a filter that answers memfd_create (319) with EPERM or kills the process
action = {"errno": 0x00050001, "kill": 0x80000000}[sys.argv[1]]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 319), (6, 0, 0, action), (6, 0, 0, 0x7fff0000)]
prog = b"".join(struct.pack("HBBI", *c) for c in code)
buf = ctypes.create_string_buffer(prog)
fprog = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buf))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, fprog, 0, 0):
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
PY
refused "a filter refuses memfd_create" 126 "not permitted" python3 "$dir/filter.py" errno "$ANYKVM" exec -- "$dir/prog"
refused "a filter kills for memfd_create" 126 "filter" python3 "$dir/filter.py" kill "$ANYKVM" exec -- "$dir/prog"

timeout 20 "$ANYKVM" exec --help >"$dir/out" 2>"$dir/err" && grep -q '^Usage: anykvm exec' "$dir/out" && [ ! -s "$dir/err" ]
result "help" $? "$(head -c 300 "$dir/out" "$dir/err")"
echo "1..$n"
exit $failed
