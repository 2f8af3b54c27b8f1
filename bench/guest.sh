#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# What bench/run.py starts in the guest: run=/bench/guest.sh, with its arguments in args= and, for the idle
# measurement, rest=SECONDS.
dmesg -n 1
echo "C $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource) $(nproc)"
/bench/workload $args
echo "E $?"
if [ -n "$rest" ]; then
	echo "I"
	sleep "$rest"
fi
