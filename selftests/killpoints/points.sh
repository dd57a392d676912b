#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The short run of the test points (make crash has the long one): a process stopped in the middle of an
# operation while another is killed in the middle of one.

set -u
SRCDIR=${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
KIPC_BUILD=${KIPC_BUILD:-$SRCDIR/out}

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 4
}

[ -z "${KIPC_SAN:-}" ] || skip_all "it looks at processes, which a sanitizer makes slow"
[ -z "${KIPC_VALGRIND:-}" ] || skip_all "valgrind runs one process at a time"
[ -x "$KIPC_BUILD/selftests/crash/points" ] || skip_all "the crash tests were not built"
exec "$KIPC_BUILD/selftests/crash/points" --short --tap
