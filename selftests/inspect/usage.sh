#!/bin/sh
# SPDX-License-Identifier: MIT
#
# ipc-inspect's command line: exit codes, messages, help, columns; and its manual page.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

INSPECT=$KIPC_BUILD/ipc-inspect
[ -x "$INSPECT" ] || skip_all "ipc-inspect was not built"
MAN=$SRCDIR/Documentation/man/ipc-inspect.1

# exits CODE WORDS ARGUMENTS...: that exit code, and the words somewhere in what it says
exits()
{
	want=$1 words=$2
	shift 2
	"$INSPECT" "$@" >"$TMP/out" 2>"$TMP/err"
	code=$?
	cat "$TMP/out" "$TMP/err"
	[ "$code" = "$want" ] || { echo "exit code $code"; return 1; }
	[ -z "$words" ] || grep -qF -e "$words" "$TMP/out" "$TMP/err"
}

# A usage error says nothing on stdout
silent()
{
	exits "$@" && [ ! -s "$TMP/out" ]
}

# This shell has no kipc objects
empty_table()
{
	exits 0 '' -p $$ && [ ! -s "$TMP/out" ] && [ ! -s "$TMP/err" ]
}

empty_json()
{
	exits 0 objects -J -p $$ && python3 -c 'import json, sys
assert json.load(sys.stdin) == {"objects": []}' <"$TMP/out"
}

columns_json()
{
	exits 0 columns -H -J && python3 -c 'import json, sys
c = json.load(sys.stdin)["columns"]
names = [x["name"] for x in c]
keys = [x["key"] for x in c]
assert len(set(names)) == len(names) and len(set(keys)) == len(keys)
assert {"KIND", "OBJECT", "STATE", "HOLDERS"} <= set(names)
assert all(x["meaning"] for x in c)
assert [x["key"] for x in c if x["name"] == "SIZE"] == ["size_bytes"]' <"$TMP/out"
}

full_disk()
{
	"$INSPECT" -H >/dev/full 2>"$TMP/err"
	code=$?
	cat "$TMP/err"
	[ "$code" = 1 ] && grep -q "No space left" "$TMP/err"
}

COMMANDS=$("$INSPECT" -h | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')

# Every command, column and option of the help has its place in the manual
manual_is_complete()
{
	status=0
	for command in $COMMANDS; do
		grep -q "^\.It Cm $command\>" "$MAN" || { echo "command $command"; status=1; }
		for column in $("$INSPECT" "$command" -H -n -r -o NAME 2>/dev/null | awk '{ print $1 }'); do
			grep -qE "^\.It Cm (.* )?$column( |\$)" "$MAN" ||
				{ echo "column $column of $command"; status=1; }
		done
		for option in $("$INSPECT" "$command" -h |
				sed -n 's/^ *\(-[A-Za-z], \)\{0,1\}--\([a-z-]*\).*/\2/p'); do
			grep -q "^\.It .*Fl Fl $option\>" "$MAN" ||
				{ echo "option $option of $command"; status=1; }
		done
	done
	return $status
}

# Each has a help text, with its name in it, and refuses what it doesn't know
commands_explain_themselves()
{
	for command in $COMMANDS; do
		exits 0 "Usage: ipc-inspect $command" "$command" --help || return 1
		silent 2 "Try 'ipc-inspect --help'" "$command" --no-such-option || return 1
	done
}

features()
{
	exits 0 "" features -J && python3 -c 'import json, sys
f = {x["feature"]: x for x in json.load(sys.stdin)["features"]}
assert f["ofd-locks"]["found"] is True and f["ofd-locks"]["required"] is True
assert f["proc-fd"]["found"] is True
assert all(isinstance(x["found"], bool) and x["meaning"] for x in f.values())
assert {"io-uring", "hugetlb-2m", "proc-syscall", "pidfd-getfd", "trace"} <= set(f)' <"$TMP/out"
}

json_lines()
{
	exits 0 "" features --jsonl && python3 -c 'import json, sys
lines = sys.stdin.read().splitlines()
assert len(lines) > 5 and all("feature" in json.loads(x) for x in lines)' <"$TMP/out"
}

check "help" exits 0 "Usage: ipc-inspect" -h
check "help names the commands" exits 0 "show     OBJECT..." --help
check "every command has help and refuses unknown options" commands_explain_themselves
check "features" features
check "features take no objects" silent 2 "are not an object's" features pid:$$
check "names take no objects" silent 2 "only names can be looked for" names pid:$$
check "names take no process" silent 2 "names has no option -p" names -p $$
check "JSON, an object a line" json_lines
check "help of a command" exits 0 "Usage: ipc-inspect show" show -h
check "help explains the columns" exits 0 "HOLDERS    processes" list --help
check "version" exits 0 "ipc-inspect 0." -V
check "version, long" exits 0 "ipc-inspect 0." --version
check "columns are listed" exits 0 "size_bytes" -H
check "columns as JSON" columns_json
check "no objects: nothing" empty_table
check "no objects: JSON" empty_json
check "options behind the object" exits 0 objects pid:$$ -J
check "an object without a command" exits 0 '' pid:$$
check "long options" exits 0 KIND list --noheadings --raw --bytes --pid=$$ --output=KIND -H
check "a full disk" full_disk

check "unknown command" silent 2 "'frob' is no command" frob
check "unknown option" silent 2 "Try 'ipc-inspect --help'" -x
check "unknown long option" silent 2 "Try 'ipc-inspect --help'" list --frob
check "option without its argument" silent 2 "Try 'ipc-inspect --help'" -o
check "unknown column" silent 2 "unknown column: 'FROB'" -o KIND,FROB
check "empty column" silent 2 "unknown column: ''" -o KIND,
check "too long a column" silent 2 "unknown column: 'KINDS'" -o KINDS
check "a column that wants to be red" \
	silent 2 "unknown column: '\\x1b[31m'" -o "$(printf '\033[31m')"
check "JSON and raw" silent 2 "exclude each other" -J -r
check "an option of another command" silent 2 "show has no option -o" show -o KIND pid:$$
check "show without an object" silent 2 "which object?" show
check "trace without an object" silent 2 "which object?" trace
check "trace for no time" silent 2 "'0' is no number of seconds" trace -d 0 pid:$$
check "trace for what is no number" silent 2 "'1x' is no number of seconds" trace --duration 1x pid:$$
check "trace of no process" exits 1 "no process 4194303" trace pid:4194303
check "-p without a number" silent 2 "no process ID" -p x
check "-p with a negative number" silent 2 "no process ID" -p -1
check "pid 0" silent 2 "no process ID" show pid:0
check "a number that is too large" silent 2 "no process ID" show pid:99999999999999999999
check "half a descriptor" silent 2 "is no object" show 1:
check "no descriptor" silent 2 "is no object" show 1:-1
check "no such name" exits 1 "no object named 'myqueue'" show myqueue
check "no such name, list" exits 1 "no object named 'myqueue'" list myqueue
check "no such image" exits 1 "/no/image: No such file" show /no/image
check "no image at all" exits 1 "no image of an object" show "$0"
check "an image that is none of ours" exits 1 "/dev/null: no image of an object" check /dev/null
check "no such mapping" exits 1 "maps no kipc object" show $$:0x1000
check "half an address" silent 2 "is no object" show 1:0x
check "a mistaken colour" silent 2 "always, never or auto" list --color=red
check "no such process" exits 1 "no process 2147483647" show pid:2147483647
check "no such process, list" exits 1 "no process 2147483647" -p 2147483647
check "no such descriptor" exits 1 "has no descriptor 77" show $$:77
check "another descriptor" exits 1 "is no kipc object" show $$:0
check "a process without objects" exits 1 "has no kipc objects" show pid:$$
check "a process without objects, list" exits 0 '' list pid:$$

check "the manual has all columns and options" manual_is_complete
done_testing
