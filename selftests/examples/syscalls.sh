#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The system calls of the examples, as strace sees them, are those of the design: what an object is made
# of, how its users sleep; and that there is none for a message, or an operation, while both sides are
# busy (busy.c).

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

[ -z "${KIPC_PARTIAL:-}" ] || skip_all "a part of the library was built (LIBDIRS)"
[ -z "$KIPC_SAN" ] || skip_all "strace and sanitizers don't go together"
command -v strace >/dev/null || skip_all "strace is missing: make deps"
strace -o "$TMP/true" true 2>/dev/null || skip_all "no permission to trace a process"

EX=$KIPC_BUILD/examples
export KIPC_RUNTIME_DIR="$TMP/runtime"
BUSY=$KIPC_BUILD/selftests/examples/busy
MESSAGES=$(sed -n 's/^#define MESSAGES \([0-9]*\)u*$/\1/p' "$SRCDIR/selftests/examples/busy.c")

trace()	# example
{
	strace -f -o "$TMP/$1" "$EX/$1" >/dev/null
}

has()	# example, names of system calls that it makes
{
	file=$TMP/$1
	shift
	for call; do
		grep -q "\<$call(" "$file" || { echo "no $call"; return 1; }
	done
}

has_not()	# example, names of system calls that it does not make
{
	file=$TMP/$1
	shift
	for call; do
		! grep "\<$call(" "$file" || return 1
	done
}

# What an object is made of: the first four words the library can't do without.
made_of()	# example, system calls; "not", system calls
{
	example=$1 calls="memfd_create ftruncate mmap fcntl" others=
	shift
	while [ $# != 0 ] && [ "$1" != not ]; do
		calls="$calls $1"
		shift
	done
	[ $# = 0 ] || { shift; others=$*; }
	# shellcheck disable=SC2086 # lists of words
	has "$example" $calls && has_not "$example" $others &&
	grep -q 'F_ADD_SEALS.*F_SEAL_SHRINK' "$TMP/$example" &&
	grep -q F_OFD_SETLK "$TMP/$example"
}

for example in queue pipe manager manager_lock shared_memory; do
	check "$example under strace" trace "$example"
done
check "queue: a memfd and eventfds" made_of queue eventfd2 not socketpair sendmsg
check "pipe: a memfd, eventfds, a control socket that nothing is sent over" \
	made_of pipe eventfd2 socketpair not sendmsg sendto recvmsg recvfrom
check "manager: a memfd, and no server that would be asked" \
	made_of manager not eventfd2 socket socketpair connect sendmsg recvmsg
check "manager with a lock: the same" \
	made_of manager_lock not eventfd2 socket socketpair connect sendmsg recvmsg
check "array: a memfd, by name from the broker" \
	made_of shared_memory connect sendmsg recvmsg not eventfd2 socketpair

# ---- sleeping ----

# Runs the example with the tutorial's pauses until its trace shows the system call, or 20 s.
sleeps_in()	# call, example
{
	set -- "$1" "$2" "$TMP/slow.$2"
	: >"$3"
	strace -f -o "$3" "$EX/$2" --tutorial-pace >/dev/null 2>&1 &
	tracer=$!
	tries=0
	until grep -q "\<$1(" "$3" || [ $((tries += 1)) -gt 400 ]; do
		sleep 0.05
	done
	# the processes that it traced
	for pid in $(sed 's/ .*//' "$3" | sort -u) $tracer; do
		kill -9 "$pid" 2>/dev/null
	done
	wait $tracer 2>/dev/null
	grep -q "\<$1(" "$3"
}

uring=$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 0)

# spawn: the parent waits at a pipe while its worker is only being started.
in_ppoll()
{
	KIPC_NO_IO_URING=1 trace spawn && has spawn ppoll && has_not spawn io_uring_setup io_uring_enter
}

in_io_uring()
{
	trace spawn && has spawn io_uring_setup io_uring_enter
}

check "who waits sleeps in ppoll where io_uring is not wanted" in_ppoll
if [ "$uring" = 0 ]; then
	check "who waits sleeps in io_uring" in_io_uring
	check "queue: who waits for the next message does" sleeps_in io_uring_enter queue
else
	skip "who waits sleeps in io_uring" "io_uring is disabled here"
fi

[ -x "$BUSY" ] || {
	skip "system calls while both sides are busy" "$BUSY was not built"
	done_testing
}

lock_sleeps()
{
	strace -f -e trace=futex -o "$TMP/lock" "$BUSY" -t held_lock >/dev/null &&
	grep 'FUTEX_WAIT, ' "$TMP/lock" && grep 'FUTEX_WAKE_OP, ' "$TMP/lock"
}
check "lock: who waits sleeps in futex, who releases wakes in one call" lock_sleeps

# ---- busy ----

# All system calls of a run, start and end included: less than one for ten messages.
silent()	# test
{
	strace -f -c -o "$TMP/count" "$BUSY" -t "$1" || return 1
	total=$(awk '$NF == "total" { print $4 }' "$TMP/count")
	echo "$total system calls, $MESSAGES messages"
	# a program can't start without some dozens: they are counted
	[ "$total" -gt 30 ] && [ "$total" -lt $((MESSAGES / 10)) ] || { cat "$TMP/count"; return 1; }
}
for kind in queue pipe list free_lock; do
	check "$kind: no system call for each operation while both sides are busy" silent "$kind"
done

done_testing
