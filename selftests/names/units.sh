#!/bin/sh
# SPDX-License-Identifier: MIT
#
# kipcd's command line, and its units as the service manager reads them.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

[ -z "${KIPC_PARTIAL:-}" ] || skip_all "a part of the library was built (LIBDIRS)"

case $KIPC_SAN in
?*)	RUN="setarch -R" ;;
*)	RUN= ;;
esac
export KIPC_RUNTIME_DIR="$TMP/runtime"

kipcd()
{
	# shellcheck disable=SC2086 # no word, or two
	$RUN "$KIPC_BUILD/kipcd" "$@"
}

says()	# text, command...: the output has it
{
	text=$1
	shift
	"$@" >"$TMP/said" 2>&1 && grep -q -e "$text" "$TMP/said"
}

code()	# exit code, command...
{
	want=$1
	shift
	"$@"
	got=$?
	[ $got = "$want" ] || { echo "exit code $got"; return 1; }
}

check "--help" says "--user-objects=N" kipcd --help
check "--version" says "^kipcd [0-9]" kipcd --version
for bad in --nonsense operand --idle=x --idle= --user-bytes=1Q --user-objects=-1 --user-clients=0 \
	--runtime-dir=relative --ready-fd=1 --max-objects=99999999999; do
	check "usage: $bad" code 2 kipcd "$bad"
done

# In the background it returns when it listens; with nothing to do it ends.
gone()
{
	for _ in $(seq 200); do
		[ -e "$KIPC_RUNTIME_DIR/broker" ] || return 0
		sleep 0.05
	done
	return 1
}
background()
{
	kipcd --idle=300 && [ -S "$KIPC_RUNTIME_DIR/broker" ] && gone
}
check "starts in the background, and ends" background
check "in the foreground" code 0 kipcd --foreground --idle=0
chmod 777 "$KIPC_RUNTIME_DIR"
check "refuses a folder that others may write to" code 1 kipcd --foreground
check "refuses a folder that can't be" code 1 kipcd --runtime-dir=/proc/nothing/here

# ---- the units ----

[ -z "$KIPC_SAN" ] || { skip "units" "they do not depend on SAN"; done_testing; }
mkdir "$TMP/units"
units()
{
	for unit in service socket; do
		sed "s|@LIBEXECDIR@|$KIPC_BUILD|" "$SRCDIR/tools/kipcd/kipcd.$unit.in" \
			>"$TMP/units/kipcd.$unit" || return 1
	done
	! grep @ "$TMP/units/"* | grep -v 'SystemCallFilter=~*@'
}
check "units are made" units
if command -v systemd-analyze >/dev/null; then
	verify()
	{
		systemd-analyze verify --man=no "$TMP/units/kipcd.service" \
			"$TMP/units/kipcd.socket" >"$TMP/said" 2>&1
		! grep kipcd "$TMP/said"
	}
	check "systemd has nothing to say against them" verify
	# 0 is a service that can do nothing, 10 one that can do everything
	exposure()
	{
		level=$(systemd-analyze security --offline=true "$TMP/units/kipcd.service" 2>&1 |
			sed -n 's/.*exposure level for kipcd.service: \([0-9]*\).*/\1/p')
		echo "exposure level: $level"
		[ "${level:-10}" -le 2 ]
	}
	if systemd-analyze security --help 2>&1 | grep -q -e --offline; then
		check "the service is well sandboxed" exposure
	else
		skip "the service is well sandboxed" "this systemd-analyze has no --offline"
	fi
else
	skip "systemd has nothing to say against them" "no systemd-analyze"
fi
done_testing
