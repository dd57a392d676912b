#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The library has the probes that lib/core/trace.h lists, each with these arguments, each one nop.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

[ -z "${KIPC_PARTIAL:-}" ] || skip_all "a part of the library was built (LIBDIRS)"

LIB=$KIPC_BUILD/libkipc.so
HEADER=$SRCDIR/lib/core/trace.h

readelf -nW "$LIB" | awk '
	/Provider: / { provider = $NF }
	$1 == "Name:" { name = $2 }
	$1 == "Location:" { where = substr($2, 1, length($2) - 1); semaphore = $NF }
	$1 == "Arguments:" && provider == "kipc" { print name, NF - 1, where, semaphore }
' >"$TMP/probes"
[ -s "$TMP/probes" ] || skip_all "built without probes (SDT=0, or no <sys/sdt.h>)"

# name and number of arguments, the id among them
listed()
{
	sed -n 's/^ \*\t\([a-z]*_[a-z]*\|repair\)\t\t*\([a-z, ]*\)\(\t.*\)*$/\1 \2/p' "$HEADER" |
		awk '{ print $1, NF }' | sort
}

same_as_listed()
{
	awk '{ print $1, $2 }' "$TMP/probes" | sort -u >"$TMP/there"
	listed >"$TMP/listed"
	diff "$TMP/listed" "$TMP/there"
}

# A breakpoint goes on one instruction, and nothing around it counts or asks whether somebody looks
one_nop()
{
	case $(uname -m) in
	x86_64)		nop=90 ;;
	aarch64)	nop=d503201f ;;
	esac
	objdump -d -j .text "$LIB" | sed -n 's/^ *\([0-9a-f]*\):\t\([0-9a-f ]*\)\t.*/\1 \2/p' |
		awk '{ gsub(/ *$/, ""); at = $1; sub(/^[^ ]* /, ""); print at, $0 }' >"$TMP/code"
	awk -v nop=$nop '
	NR == FNR { code[$1] = substr($0, length($1) + 2); next }
	{ sub(/^0x0*/, "", $3) }
	code[$3] != nop { print $1, "at", $3 ": " code[$3]; bad = 1 }
	END { exit bad }' "$TMP/code" "$TMP/probes"
}

no_semaphores()
{
	! awk '$4 !~ /^0x0*$/' "$TMP/probes" | grep .
}

check "the probes that the header lists, and their arguments" same_as_listed
check "no semaphores" no_semaphores
case $(uname -m) in
x86_64|aarch64)	check "each is one nop" one_nop ;;
*)		skip "each is one nop" "what a nop is on this machine, the test doesn't know" ;;
esac
done_testing
