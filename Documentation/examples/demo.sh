#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the five examples one after another: make demo. Arguments go to each of them
# (--tutorial-pace: with the pauses of the tutorial).

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
echo
echo "demo: $passed of $total passed"
[ "$passed" = "$total" ]
