#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The short run of the soak (make soak is the long one): many processes use every kind of object, one
# of them killed every few milliseconds.

set -u
SRCDIR=${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
KIPC_BUILD=${KIPC_BUILD:-$SRCDIR/out}

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 4
}

case ${KIPC_SAN:-} in
*thread*) skip_all "ThreadSanitizer sees one process only" ;;
esac
[ -z "${KIPC_VALGRIND:-}" ] || skip_all "valgrind has one process run after another"
[ -x "$KIPC_BUILD/selftests/soak/soak" ] || skip_all "the soak was not built"
exec "$KIPC_BUILD/selftests/soak/soak" --tap --seconds=3
