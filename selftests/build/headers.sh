#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each installed header compiles alone and twice, as C11, C17 and C++17, with gcc and clang, and takes
# nothing from the source tree.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

[ -z "$KIPC_SAN" ] || skip_all "headers do not depend on SAN"
case $KIPC_CC in
*clang*) skip_all "done once, in the gcc run, with both compilers" ;;
esac

INCLUDE=$TMP/include

compiles()	# compiler language standard
{
	status=0
	for header in "$INCLUDE"/kipc/*.h "$INCLUDE"/uapi/kipc/*.h; do
		[ -e "$header" ] || continue
		name=${header#"$INCLUDE"/}
		printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' \
			"$name" "$name" |
			"$1" -x "$2" -std="$3" -Wall -Wextra -Werror -I"$INCLUDE" -fsyntax-only - || {
			echo "$name: not as $3 with $1"
			status=1
		}
	done
	return $status
}

check "install-headers" make -s -C "$SRCDIR" install-headers INCLUDEDIR="$INCLUDE" DESTDIR=
check "version.h is installed" test -e "$INCLUDE/kipc/version.h"
for compilers in gcc:g++ clang:clang++; do
	cc=${compilers%:*} cxx=${compilers#*:}
	for run in "$cc:c:c11" "$cc:c:c17" "$cxx:c++:c++17"; do
		compiler=${run%%:*} standard=${run##*:}
		language=${run#*:} language=${language%:*}
		if command -v "$compiler" >/dev/null; then
			check "$standard with $compiler" compiles "$compiler" "$language" "$standard"
		else
			skip "$standard with $compiler" "$compiler is missing: make deps"
		fi
	done
done
done_testing
