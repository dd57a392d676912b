#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the five examples one after another: make demo. Arguments go to each of them
# (--tutorial-pace: with the pauses of the tutorial). Then looks at two of them while they run.

set -u
KIPC_BUILD=${KIPC_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/out}
examples='queue pipe manager manager_lock shared_memory'

about()
{
	case $1 in
	queue)		echo "a queue: one process puts, another gets" ;;
	pipe)		echo "a pipe: two processes talk to each other" ;;
	manager)	echo "a manager: two processes append to one list" ;;
	manager_lock)	echo "a manager's lock: each batch stays together" ;;
	shared_memory)	echo "shared memory: a 100 x 100 array, filled here, read in another process" ;;
	esac
}

n=0 passed=0 total=5
for example in $examples; do
	n=$((n + 1))
	printf '%s=== %d/%d %s: %s\n' "${sep-}" "$n" "$total" "$example" "$(about "$example")"
	sep='
'
	if "$KIPC_BUILD/examples/$example" "$@"; then
		passed=$((passed + 1))
	else
		echo "=== $example failed, exit code $?"
	fi
done

# A process and its children, as ipc-inspect wants them.
family()
{
	for pid in "$1" $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		echo "pid:$pid"
	done
}

# What ipc-inspect says of the queue and the pipe, while their examples take their time.
look()
{
	inspect=$KIPC_BUILD/ipc-inspect
	[ -x "$inspect" ] || return 0
	setsid "$KIPC_BUILD/examples/queue" --tutorial-pace >/dev/null 2>&1 &
	queue=$!
	setsid "$KIPC_BUILD/examples/pipe" --tutorial-pace >/dev/null 2>&1 &
	pipe=$!
	for _ in $(seq 100); do
		# shellcheck disable=SC2046 # several words
		set -- $(family $queue) $(family $pipe)
		[ "$("$inspect" list -n "$@" 2>/dev/null | wc -l)" -lt 2 ] || break
		sleep 0.02
	done
	printf '\n=== ipc-inspect list: objects of two examples that run\n'
	"$inspect" list "$@"
	printf '\n=== ipc-inspect show: the queue\n'
	"$inspect" show "pid:$queue"
	kill -9 -- -$queue -$pipe 2>/dev/null
}
look

echo
echo "demo: $passed of $total passed"
[ "$passed" = "$total" ]
