# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# TAP for shell tests: . "$SRCDIR/selftests/harness/tap.sh"
#
#   check NAME COMMAND...	ok when the command succeeds; its output is shown when it fails
#   refuse NAME COMMAND...	ok when the command fails
#   skip NAME REASON		say what is missing
#   skip_all REASON		ends the script
#   done_testing		the last line of the script: prints the plan, exits
#
# $TMP is a folder for the script, removed at its end.

SRCDIR=${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
KIPC_BUILD=${KIPC_BUILD:-$SRCDIR/out}
KIPC_CC=${KIPC_CC:-gcc}
KIPC_SAN=${KIPC_SAN:-}
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
trap 'exit 1' INT TERM

tap_run=0
tap_failed=0
tap_skipped=0

tap_result()
{
	tap_run=$((tap_run + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tap_run $2"
	else
		tap_failed=$((tap_failed + 1))
		sed 's/^/# /' "$TMP/.output"
		[ "$1" = 1 ] || echo "# exit code $1"
		echo "not ok $tap_run $2"
	fi
}

check()
{
	tap_name=$1
	shift
	"$@" >"$TMP/.output" 2>&1 </dev/null
	tap_result $? "$tap_name"
}

refuse()
{
	tap_name=$1
	shift
	if "$@" >"$TMP/.output" 2>&1 </dev/null; then
		echo "should have failed: $*" >>"$TMP/.output"
		tap_result 1 "$tap_name"
	else
		tap_result 0 "$tap_name"
	fi
}

skip()
{
	tap_run=$((tap_run + 1))
	tap_skipped=$((tap_skipped + 1))
	echo "ok $tap_run $1 # SKIP $2"
}

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 4
}

done_testing()
{
	echo "1..$tap_run"
	[ "$tap_failed" = 0 ] || exit 1
	[ "$tap_run" != "$tap_skipped" ] || exit 4
	exit 0
}
