#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The short run of the crash tests (make crash is the long one): a process killed in the middle of every
# operation, and for some after each of its instructions.

set -u
SRCDIR=${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
KIPC_BUILD=${KIPC_BUILD:-$SRCDIR/out}

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 4
}

[ -z "${KIPC_SAN:-}" ] || skip_all "a sanitizer makes ten instructions of one"
[ -z "${KIPC_VALGRIND:-}" ] || skip_all "valgrind can't be stepped"
[ -x "$KIPC_BUILD/selftests/crash/crash" ] || skip_all "the crash tests were not built"
exec "$KIPC_BUILD/selftests/crash/crash" --short --tap
