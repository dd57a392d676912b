#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What bash offers on a command line of ipc-inspect.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

INSPECT=$KIPC_BUILD/ipc-inspect
[ -x "$INSPECT" ] || skip_all "ipc-inspect was not built"
. "$SRCDIR/tools/ipc-inspect/ipc-inspect.bash"

# Sets COMPREPLY for this line; words are cut as bash does it, at colons and = as well.
offers()
{
	COMP_LINE=$1 COMP_POINT=${#1}
	mapfile -t COMP_WORDS < <(grep -o '[:=]\|[^[:space:]:=]\+' <<<"$COMP_LINE")
	[[ $COMP_LINE == *[[:space:]] ]] && COMP_WORDS+=("")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
	_ipc_inspect "$INSPECT" 2>/dev/null
}

# all LINE WORD...: exactly these, in any order
all()
{
	offers "$1"
	shift
	diff <(printf '%s\n' "$@" | sort) <(printf '%s\n' "${COMPREPLY[@]}" | sort)
}

# has LINE WORD...: these among others
has()
{
	offers "$1"
	shift
	for word in "$@"; do
		printf '%s\n' "${COMPREPLY[@]}" | grep -qxF -e "$word" ||
			{ echo "no $word in: ${COMPREPLY[*]}"; return 1; }
	done
}

check "commands" has "ipc-inspect " list names show stats top trace locks dump check record replay gc features
check "the only command that begins so" all "ipc-inspect rep" replay
check "options of all" has "ipc-inspect -" --json --jsonl -J --help
check "a command's own options" has "ipc-inspect dump --" --hex --text --save --json
check "no other command's options" all "ipc-inspect dump --fo"
check "an option that begins so" all "ipc-inspect gc --fo" --force
check "options of trace" has "ipc-inspect trace -" --hist --duration -d -p --json --jsonl
check "columns" has "ipc-inspect list -o " KIND STATE HOLDERS
check "columns of the command" all "ipc-inspect locks --output DEAD" DEADLOCK
check "the next column" all "ipc-inspect list -o KIND,DEP" KIND,DEPTH
check "one more column" all "ipc-inspect -o +PROB" +PROBLEM
check "when to colour" all "ipc-inspect --color=a" always auto
check "orders of top" all "ipc-inspect top -s w" waiters
check "columns of names" has "ipc-inspect names -o " NAME KIND OWNER STATE
# names, without a broker: what the program would say
printf '#!/bin/sh\n[ "$1 $2" = "names -n" ] && exec printf "jobs\\nlog\\njobs\\n"\nexec "%s" "$@"\n' \
	"$INSPECT" >"$TMP/stub"
chmod +x "$TMP/stub"
INSPECT=$TMP/stub check "names" all "ipc-inspect names " jobs log
INSPECT=$TMP/stub check "options of names" has "ipc-inspect names -" -b --bytes --output
touch "$TMP/image-1" "$TMP/image-2"
check "files to save to" all "ipc-inspect dump --save $TMP/im" "$TMP/image-1" "$TMP/image-2"
check "images" all "ipc-inspect show $TMP/image-1" "$TMP/image-1"
check "after a number, nothing" all "ipc-inspect record -c " ""

# An object to be offered: an example's, which takes its time
if [ -n "$KIPC_SAN" ]; then
	skip "objects" "the examples need a predictable address space under sanitizers"
elif [ ! -x "$KIPC_BUILD/examples/queue" ]; then
	skip "objects" "the examples were not built"
else
	setsid "$KIPC_BUILD/examples/queue" --tutorial-pace >/dev/null 2>&1 &
	pid=$!
	object=
	for _ in $(seq 200); do
		object=$("$INSPECT" list -n -r -o OBJECT -p $pid 2>/dev/null | head -n 1)
		[ -n "$object" ] && break
		sleep 0.02
	done
	check "objects" has "ipc-inspect show " "$object" "pid:$pid"
	check "the descriptor" all "ipc-inspect show $pid:" "${object#*:}"
	check "the process" all "ipc-inspect show pid:$pid" "$pid"
	check "the process of -p" all "ipc-inspect list -p $pid" "$pid"
	kill -- -$pid 2>/dev/null
	wait $pid 2>/dev/null
fi
done_testing
