#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run_kselftest.sh counts what programs print, and believes neither half a plan nor an exit code that
# says other than the TAP.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

# A test program that prints its arguments, a line each, and exits with the first
program()
{
	file=$TMP/$1
	code=$2
	shift 2
	{
		echo "#!/bin/sh"
		for line in "$@"; do
			echo "echo '$line'"
		done
		echo "exit $code"
	} >"$file"
	chmod +x "$file"
}

# The last line and the exit code, of a run over the programs named
runs()
{
	want=$1 want_code=$2
	shift 2
	for p in "$@"; do
		set -- "$@" "$TMP/$p"
		shift
	done
	KIPC_SAN='' KIPC_VALGRIND='' "$SRCDIR/selftests/run_kselftest.sh" "$@" >"$TMP/log"
	code=$?
	cat "$TMP/log"
	[ "$code" = "$want_code" ] && [ "$(tail -n 1 "$TMP/log")" = "$want" ]
}

shows()
{
	grep -F "$1" "$TMP/log"
}

program good 0 "TAP version 13" "1..3" "ok 1 a" "ok 2 b # SKIP no luck" "ok 3 c # XFAIL later"
program plan_last 0 "ok 1 a" "1..1"
program bad 1 "1..2" "# the reason" "not ok 1 a" "ok 2 b"
program short 0 "1..2" "ok 1 a"
program silent 0
program many 4 "1..4" "ok 1 a # SKIP no luck" "ok 2 b # SKIP no luck" "ok 3 c # SKIP no luck" "ok 4 d # SKIP no luck"
program none 4 "1..0 # SKIP nothing to test"
program liar 3 "1..1" "ok 1 a"
program optimist 0 "1..1" "not ok 1 a"
program killed 0 "1..1" "ok 1 a"
echo 'kill -9 $$' >"$TMP/.k" && sed -i "/^exit/d" "$TMP/killed" && cat "$TMP/.k" >>"$TMP/killed"

check "passed and skipped" runs "1 passed, 0 failed, 2 skipped" 0 good
check "the reason of a skip is shown" shows "skipped: b: no luck"
check "the reason of an XFAIL is shown" shows "xfail: c: later"
check "many skips" runs "0 passed, 0 failed, 4 skipped" 0 many
check "many skips for one reason are one line" shows "skipped: 4 tests: no luck"
check "the plan may come last" runs "1 passed, 0 failed, 0 skipped" 0 plan_last
check "failed" runs "1 passed, 1 failed, 0 skipped" 1 bad
check "the output of a failure is shown" shows "# the reason"
check "half a plan is a failure" runs "1 passed, 1 failed, 0 skipped" 1 short
check "no plan is a failure" runs "0 passed, 1 failed, 0 skipped" 1 silent
check "a program skipped as a whole" runs "0 passed, 0 failed, 1 skipped" 0 none
check "its reason is shown" shows "nothing to test"
check "an exit code without a failure" runs "1 passed, 1 failed, 0 skipped" 1 liar
check "a failure without an exit code" runs "0 passed, 2 failed, 0 skipped" 1 optimist
check "a signal" runs "1 passed, 1 failed, 0 skipped" 1 killed
check "the signal is named" shows "SIGKILL"
check "a sum" runs "3 passed, 1 failed, 3 skipped" 1 good plan_last bad none
check "a program that is not there" runs "0 passed, 1 failed, 0 skipped" 1 missing
done_testing
