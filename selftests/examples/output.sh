#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The five examples print what the tutorial's programs print, make demo says so, and the system calls
# behind it are those of the design.  The others do what they say.

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

spawn()
{
	run spawn && diff - "$TMP/spawn" <<-'END'
	A square: 1
	A square: 4
	A square: 9
	A square: 16
	A square: 25
	The worker is gone
	END
}
check "spawn: a program finds its objects, and is missed at once" spawn
# With fewer descriptors than 1,000 pipes need (ulimit -Hn) it serves as many as it can.
echo_server()
{
	run echo_server || return 1
	n=$(sed -n 's/^serving \([0-9]*\) pipes in one thread$/\1/p' "$TMP/echo_server")
	case $(ulimit -Hn) in
	unlimited) [ "$n" = 1000 ] ;;
	*) [ "$n" = 1000 ] || [ "$(ulimit -Hn)" -lt 16100 ] ;;
	esac && [ "$n" -gt 0 ] || return 1
	printf '%s\n' "serving $n pipes in one thread" \
		"$((3 * n)) messages echoed, $n pipes hung up" | diff - "$TMP/echo_server"
}

echo_server_on_epoll()
{
	KIPC_NO_IO_URING=1
	export KIPC_NO_IO_URING
	echo_server
	status=$?
	unset KIPC_NO_IO_URING
	return $status
}

epoll_loop()
{
	run epoll_loop &&
	has epoll_loop queue "$(numbers 0 4 'from the queue: %g')" &&
	has epoll_loop pipe "$(printf 'from the pipe: %s\n' zero one two three four)" &&
	[ "$(wc -l <"$TMP/epoll_loop")" = 10 ]
}

check "echo_server answers every client" echo_server
check "echo_server does so on epoll" echo_server_on_epoll
check "epoll_loop has what the queue and the pipe bring" epoll_loop

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
