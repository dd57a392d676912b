#!/bin/sh
# SPDX-License-Identifier: MIT
#
# libkipc.so exports what lib/libkipc.map lists, all of it and nothing else.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

[ -z "${KIPC_PARTIAL:-}" ] || skip_all "a part of the library was built (LIBDIRS)"

LIB=$KIPC_BUILD/libkipc.so
MAP=$SRCDIR/lib/libkipc.map

same()
{
	diff "$1" "$2" >"$TMP/diff" && return 0
	sed -n 's/^< /listed in lib\/libkipc.map, not in the library: /p
		s/^> /exported, not listed in lib\/libkipc.map: /p' "$TMP/diff"
	return 1
}

# symbol@node, for each symbol under global:
listed()
{
	sed 's/;/;\n/g' "$MAP" | awk '
	{ gsub(/\/\*[^*]*\*\//, "") }
	/{/ { node = $1 }
	/global:/ { global = 1; next }
	/local:|}/ { global = 0 }
	global { gsub(/[ \t;]/, ""); if ($0 != "") print $0 "@" node }
	' | sort
}

exported()
{
	nm -D --defined-only --with-symbol-versions "$LIB" |
		awk '$2 != "A" { sub(/@@/, "@", $3); print $3 }' | sort
}

names_only()
{
	! listed | grep -vE '^kipc_[a-z0-9_]+@KIPC_[0-9.]+$'
}

soname()
{
	readelf -d "$LIB" | grep -F "SONAME" | grep -F "[libkipc.so.0]"
}

listed >"$TMP/listed"
exported >"$TMP/exported"
check "the library exports something" test -s "$TMP/exported"
check "the map lists names, no patterns" names_only
check "the library exports what the map lists" same "$TMP/listed" "$TMP/exported"
check "soname" soname
done_testing
