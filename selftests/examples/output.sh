#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The five examples print what the tutorial's programs print, make demo says so, and the system calls
# behind it are those of the design.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

[ -z "${KIPC_PARTIAL:-}" ] || skip_all "a part of the library was built (LIBDIRS)"
[ "$KIPC_SAN" != thread ] || skip_all "the peers are processes, ThreadSanitizer sees one"

EX=$KIPC_BUILD/examples
export KIPC_RUNTIME_DIR="$TMP/runtime"
case $KIPC_SAN in
?*)	RUN="setarch -R" ;;	# the sanitizers of Debian 12 need a predictable address space
*)	RUN= ;;
esac

run()
{
	# shellcheck disable=SC2086 # no word, or two
	$RUN "$EX/$1" >"$TMP/$1" 2>"$TMP/$1.err" || { cat "$TMP/$1.err"; return 1; }
}

has()	# file, the lines that match a pattern, in order, are exactly these
{
	grep "$2" "$TMP/$1" >"$TMP/seen"
	printf '%s\n' "$3" | diff - "$TMP/seen"
}

numbers()	# from, to, format
{
	seq -f "$3" "$1" "$2"
}

queue()
{
	run queue &&
	has queue sending "$(numbers 0 9 'Process 1 is sending data: %g')" &&
	has queue got "$(numbers 0 9 'Process 2 got `%g` data')" &&
	[ "$(wc -l <"$TMP/queue")" = 20 ]
}

pipe()
{
	run pipe &&
	has pipe sending "$(numbers 0 9 'Process 1 is sending data: %g'
			    echo 'Process 1 is sending data: END')" &&
	has pipe got "$(numbers 0 9 'Process 2 got `%g` data'; echo 'Process 2 got `END` data')" &&
	[ "$(wc -l <"$TMP/pipe")" = 22 ]
}

# The list's numbers, a line each.
list()
{
	sed -n 's/^The final list is : \[\(.*\)\]$/\1/p' "$TMP/$1" | tr -d ' ' | tr , '\n'
}

manager()
{
	run manager || return 1
	list manager >"$TMP/list"
	seq 0 19 >"$TMP/all"
	sort -n "$TMP/list" | diff "$TMP/all" - &&
	seq 0 9 >"$TMP/first" && awk '$1 < 10' "$TMP/list" | diff "$TMP/first" - &&
	seq 10 19 >"$TMP/second" && awk '$1 >= 10' "$TMP/list" | diff "$TMP/second" -
}

manager_lock()
{
	run manager_lock || return 1
	list manager_lock >"$TMP/list"
	seq 0 199 >"$TMP/one"
	(seq 100 199; seq 0 99) >"$TMP/other"
	cmp -s "$TMP/one" "$TMP/list" || diff "$TMP/other" "$TMP/list"
}

shared_memory()
{
	run shared_memory && diff - "$TMP/shared_memory" <<-'END'
	Process 1 got a uint8 array of 100 x 100
	[[255 255 255 ... 255 255 255]
	 [255 255 255 ... 255 255 255]
	 [255 255 255 ... 255 255 255]
	 ...
	 [255 255 255 ... 255 255 255]
	 [255 255 255 ... 255 255 255]
	 [255 255 255 ... 255 255 255]]
	END
}

for example in queue pipe manager manager_lock shared_memory; do
	check "$example prints what the tutorial's does" "$example"
done

demo()
{
	KIPC_BUILD=$KIPC_BUILD $RUN "$SRCDIR/Documentation/examples/demo.sh" >"$TMP/demo" 2>&1 &&
	[ "$(tail -n 1 "$TMP/demo")" = "demo: 5 of 5 passed" ] || { cat "$TMP/demo"; return 1; }
}
check "the demo passes, and says so" demo

failing_demo()
{
	mkdir -p "$TMP/build/examples"
	for example in queue pipe manager manager_lock; do
		cp /bin/true "$TMP/build/examples/$example"
	done
	cp /bin/false "$TMP/build/examples/shared_memory"
	KIPC_BUILD=$TMP/build "$SRCDIR/Documentation/examples/demo.sh" >"$TMP/demo" 2>&1 && return 1
	[ "$(tail -n 1 "$TMP/demo")" = "demo: 4 of 5 passed" ]
}
check "a demo with a failing example fails" failing_demo

traced()	# file, then names of system calls that it must show
{
	file=$1
	shift
	for call in "$@"; do
		grep -q "\<$call(" "$file" || { echo "no $call"; return 1; }
	done
}

calls()
{
	strace -f -o "$TMP/trace.$1" "$EX/$1" >/dev/null 2>&1
}

if [ -n "$KIPC_SAN" ]; then
	skip "system calls of the examples" "strace and sanitizers don't go together"
elif ! strace -o "$TMP/true" true 2>/dev/null; then
	skip "system calls of the examples" "no strace, or no permission to trace"
else
	calls queue
	check "queue: memfd, eventfds, a lock of its own" \
		traced "$TMP/trace.queue" memfd_create eventfd2 fcntl
	check "every memfd is sealed" \
		grep -q 'F_ADD_SEALS.*F_SEAL_SHRINK' "$TMP/trace.queue"
	check "liveness is an open file description lock" \
		grep -q F_OFD_SETLK "$TMP/trace.queue"
	calls pipe
	check "pipe: memfd, eventfds, a control socket" \
		traced "$TMP/trace.pipe" memfd_create eventfd2 socketpair
	calls shared_memory
	check "array: memfd, by name from the broker" \
		traced "$TMP/trace.shared_memory" memfd_create connect sendmsg recvmsg
	strace -f -o "$TMP/trace.slow" "$EX/queue" --tutorial-pace >/dev/null 2>&1 &
	tracer=$!
	sleeps()
	{
		for _ in $(seq 100); do
			grep -q io_uring_enter "$TMP/trace.slow" && return 0
			sleep 0.05
		done
		return 1
	}
	if grep -q . /proc/sys/kernel/io_uring_disabled && [ "$(cat /proc/sys/kernel/io_uring_disabled)" != 0 ]; then
		skip "who waits sleeps in io_uring" "io_uring is disabled here"
	else
		check "who waits sleeps in io_uring" sleeps
	fi
	kill -9 $tracer 2>/dev/null
	pkill -9 -P $tracer 2>/dev/null
fi

# Nothing is left of shared_memory's name, so the broker goes, which it started.
broker_ends()
{
	for _ in $(seq 200); do
		[ -e "$KIPC_RUNTIME_DIR/broker" ] || return 0
		sleep 0.05
	done
	return 1
}
check "the broker was there" test -e "$KIPC_RUNTIME_DIR/names"
check "... and ends by itself" broker_ends

done_testing
