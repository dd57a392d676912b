#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Manual pages are installed, each under all of its names, so that man(1) finds every function; and
# uninstalled.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

[ -z "$KIPC_SAN" ] || skip_all "it does not depend on SAN"
case $KIPC_CC in
*clang*) skip_all "done once, with gcc: it is about make" ;;
esac

MAN=$TMP/a\ folder/man

man_pages()	# verb of make
{
	make -s -C "$SRCDIR" "$1" DESTDIR= MANDIR="$MAN"
}

pages_are_there()
{
	for page in "$SRCDIR"/Documentation/man/*.[1-8]; do
		cmp "$page" "$MAN/man${page##*.}/${page##*/}" || return 1
	done
}

# By its own name, and what is found there speaks of it.
functions_are_there()
{
	sed -n 's/^\t\(kipc_[a-z0-9_]*\);$/\1/p' "$SRCDIR/lib/libkipc.map" >"$TMP/symbols"
	[ -s "$TMP/symbols" ] || return 1
	while read -r symbol; do
		grep -q "^\.F[no] $symbol\>" "$MAN/man3/$symbol.3" || { echo "$symbol"; return 1; }
	done <"$TMP/symbols"
}

links_are_relative()
{
	find "$MAN" -type l >"$TMP/links"
	[ -s "$TMP/links" ] && ! find "$MAN" -type l -printf '%l\n' | grep /
}

man_finds_it()
{
	MANPATH=$MAN man -w kipc_queue_put
}

nothing_left()
{
	! find "$MAN" ! -type d | grep .
}

check "install-man" man_pages install-man
check "the pages are there" pages_are_there
check "every exported function is found by its name" functions_are_there
check "links lead to pages beside them" links_are_relative
if command -v man >/dev/null; then
	check "man finds one" man_finds_it
else
	skip "man finds one" "man is missing"
fi
check "install-man, over the old ones" man_pages install-man
check "uninstall-man" man_pages uninstall-man
check "which leaves nothing" nothing_left
done_testing
