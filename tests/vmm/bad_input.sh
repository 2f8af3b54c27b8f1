#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Bad input to the program: each case must end by itself with the expected status and exactly one line on stderr that
# says what is wrong. $ANYKVM: the program. time limit: 60 s
set -u
ANYKVM=${ANYKVM:-build/anykvm}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 failed=0

# check NAME STATUS TEXT ARGUMENTS...
check() {
	local name=$1 want=$2 text=$3 status lines
	shift 3
	n=$((n + 1))
	timeout 20 "$ANYKVM" "$@" </dev/null >"$dir/out" 2>"$dir/err"
	status=$?
	lines=$(wc -l <"$dir/err")
	if [ $status = "$want" ] && [ "$lines" = 1 ] && [ ! -s "$dir/out" ] &&
	   grep -q '^anykvm: ' "$dir/err" && grep -qF -e "$text" "$dir/err"; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name: status $status (want $want), $lines lines: $(head -c 300 "$dir/err")"
		failed=1
	fi
}

# succeeds NAME TEXT ARGUMENTS...: status 0 and the text on stdout, nothing on stderr
succeeds() {
	local name=$1 text=$2
	shift 2
	n=$((n + 1))
	if timeout 20 "$ANYKVM" "$@" </dev/null >"$dir/out" 2>"$dir/err" && grep -qF -e "$text" "$dir/out" &&
	   [ ! -s "$dir/err" ]; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name: $(head -c 300 "$dir/out" "$dir/err")"
		failed=1
	fi
}

# le VALUE BYTES: little-endian
le() {
	local v=$1 i
	for ((i = 0; i < $2; i++)); do
		printf "\\x$(printf %02x $((v & 255)))"
		v=$((v >> 8))
	done
}

# poke FILE OFFSET VALUE BYTES
poke() {
	le "$3" "$4" | dd of="$1" bs=1 seek=$(($2)) conv=notrunc status=none
}

# A bzImage header as Documentation/arch/x86/boot.rst has it, with 64 KiB of zeros as its code.
good=$dir/kernel
truncate -s $((5 * 512 + 65536)) "$good"
poke "$good" 0x1f1 4 1			# setup_sects
poke "$good" 0x1f4 4096 4		# syssize
poke "$good" 0x1fe 0xaa55 2
poke "$good" 0x202 0x53726448 4		# HdrS
poke "$good" 0x206 0x20f 2
poke "$good" 0x211 1 1			# LOADED_HIGH
poke "$good" 0x22c 0x7fffffff 4		# initrd_addr_max
poke "$good" 0x230 0x200000 4
poke "$good" 0x236 1 2			# XLF_KERNEL_64
poke "$good" 0x238 2047 4
poke "$good" 0x258 0x1000000 8		# pref_address
poke "$good" 0x260 0x2000000 4		# init_size: 32 MiB
head -c 100000 /dev/zero >"$dir/initrd"
head -c 3000 "$good" >"$dir/short"
head -c 600 "$good" >"$dir/shorter"
head -c 4096 /dev/urandom >"$dir/random"
: >"$dir/empty"
cp "$good" "$dir/old"
poke "$dir/old" 0x206 0x200 2
cp "$good" "$dir/huge"
poke "$dir/huge" 0x260 0xffffffff 4

check "no command" 2 "--help"
check "unknown command" 2 "frobnicate" frobnicate
check "unknown option before the command" 2 "--frob" --frob
check "info with an argument" 2 "info" info x
check "run without a kernel" 2 "-kernel" run
check "unknown option" 2 "-drive" run -kernel "$good" -drive x
check "option without its value" 2 "-m" run -kernel "$good" -m
check "a word that is no option" 2 "stray" run stray
for m in 0 -1 x 1.5G 99999999999999999999 1000000T ""; do
	check "-m '$m'" 2 "-m" run -kernel "$good" -m "$m"
done
for s in 0 -1 x 1000000 99999999999999999999 2x ""; do
	check "-smp '$s'" 2 "-smp" run -kernel "$good" -smp "$s"
done
check "-cpu" 2 "-cpu" run -kernel "$good" -cpu z80
check "-M" 2 "pc" run -kernel "$good" -M pc

check "no such kernel" 1 "No such file" run -kernel "$dir/none"
check "kernel is a folder" 1 "regular file" run -kernel "$dir"
check "kernel is a device" 1 "regular file" run -kernel /dev/zero
check "empty kernel" 1 "bzImage" run -kernel "$dir/empty"
check "kernel of random bytes" 1 "bzImage" run -kernel "$dir/random"
check "kernel is a program" 1 "ELF" run -kernel /bin/sh
check "truncated kernel" 1 "truncated" run -kernel "$dir/short"
check "kernel truncated in its header" 1 "truncated" run -kernel "$dir/shorter"
check "kernel of an old protocol" 1 "64-bit" run -kernel "$dir/old"
check "kernel larger than memory" 1 "-m" run -kernel "$dir/huge"
check "memory too small for the kernel" 1 "-m" run -kernel "$good" -m 40
check "memory of a page" 2 "-m" run -kernel "$good" -m 4k
check "memory far beyond the host's" 1 "-m" run -kernel "$good" -m 32T
check "no such initrd" 1 "No such file" run -kernel "$good" -initrd "$dir/none"
check "empty initrd" 1 "empty" run -kernel "$good" -initrd "$dir/empty"
truncate -s 60M "$dir/big"
check "initrd larger than memory" 1 "-m" run -kernel "$good" -initrd "$dir/big" -m 64
truncate -s 16T "$dir/big" 2>/dev/null &&
	check "initrd larger than any memory" 1 "initrd" run -kernel "$good" -initrd "$dir/big"
check "command line too long" 1 "-append" run -kernel "$good" -append "$(head -c 5000 /dev/zero | tr '\0' x)"
check "newline in a file name" 1 "No such file" run -kernel $'/no\nne'
check "--kvm not there" 1 "--kvm" run -kernel "$good" --kvm "$dir/none"
check "--kvm is no KVM" 1 "not KVM" run -kernel "$good" --kvm /dev/null

check "exec without a program" 2 "exec" exec --
check "exec: no such program" 127 "not found" exec -- frobnicate-nowhere
check "exec: no such path" 127 "not found" exec -- "$dir/none"
check "exec: not executable" 126 "denied" exec -- "$dir/random"
check "exec: a folder" 126 "not a program" exec -- "$dir"
if [ "$(id -u)" != 0 ] && [ -u /bin/su ]; then
	check "exec: setuid" 126 "privileges" exec -- /bin/su
fi
if command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1; then
	check "exec: static" 126 "static" exec -- busybox true
fi

succeeds "--version" "anykvm " --version
succeeds "--help" "anykvm run" --help
succeeds "run --help" "-kernel FILE" run --help
succeeds "info" "vendor" info
succeeds "info --help" "anykvm run" info --help

# a /dev/kvm that answers though the CPU cannot virtualize: the guest may be silent there, but the reason is told
if "$ANYKVM" info | grep -q '^/dev/kvm .*answers as KVM.*not usable'; then
	n=$((n + 1))
	if ! timeout 20 "$ANYKVM" run -kernel "$good" -smp 1024 --kvm /dev/kvm </dev/null 2>"$dir/err" &&
	   head -1 "$dir/err" | grep -q '^anykvm: --kvm /dev/kvm: .*neither VT-x nor AMD-V'; then
		echo "ok $n - --kvm without VT-x and AMD-V"
	else
		echo "not ok $n - --kvm without VT-x and AMD-V: $(head -c 300 "$dir/err")"
		failed=1
	fi
fi

# guest NAME TEXT CODE: code (printf escapes) at the kernel's entry makes the VM fail with the text, not hang or crash
guest() {
	local name=$1 text=$2 code=$3 status
	n=$((n + 1))
	printf "$code" | dd of="$good" bs=1 seek=$((5 * 512 + 0x200)) conv=notrunc status=none
	timeout 20 "$ANYKVM" run -kernel "$good" -m 64 -append x </dev/null >"$dir/out" 2>"$dir/err"
	status=$?
	if [ $status = 1 ] && head -1 "$dir/err" | grep -q "^anykvm: vCPU 0: .*$text" && grep -q '^cr0 ' "$dir/err"; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name: status $status: $(head -c 300 "$dir/err")"
		failed=1
	fi
}

guest "guest: invalid opcode without an IDT" "triple fault" '\x0f\x0b'
guest "guest: jump outside memory" "" '\xb8\x00\x00\x00\xd0\xff\xe0'	# mov $0xd0000000, %eax; jmp *%rax
guest "guest: jump into the APIC" "" '\xb8\x00\x00\xe0\xfe\xff\xe0'	# mov $0xfee00000, %eax; jmp *%rax
guest "guest: page tables outside memory" "" '\xb8\x00\x00\x00\xd0\x0f\x22\xd8'	# mov $0xd0000000, %eax; mov %rax, %cr3
guest "guest: paging off in 64-bit mode" "triple fault" '\x31\xc0\x0f\x22\xc0'	# xor %eax, %eax; mov %rax, %cr0
guest "guest: non-canonical jump" "triple fault" '\x48\xb8\x00\x00\x00\x00\x00\x00\x00\x80\xff\xe0'
echo "1..$n"
exit $failed
