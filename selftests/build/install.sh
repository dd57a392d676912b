#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A parallel out-of-tree build of a copy of the source writes nothing into it, installs, and what was
# installed is enough to build and run a program, shared and static; uninstall leaves nothing.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

[ -z "${KIPC_PARTIAL:-}" ] || skip_all "a part of the library is being worked on (LIBDIRS)"
[ -z "$KIPC_SAN" ] || skip_all "the compiler's part of it does not depend on SAN"
case $KIPC_CC in
*clang*) skip_all "done once, with gcc: it is about make" ;;
esac

SRC=$TMP/source
OUT=$TMP/out
DEST=$TMP/dest

copy()
{
	case $KIPC_BUILD in
	"$SRCDIR"/*)	built=./${KIPC_BUILD#"$SRCDIR"/} ;;
	*)		built=./out ;;
	esac
	mkdir "$SRC" && cd "$SRCDIR" &&
		tar -c --exclude=./.git --exclude=./out --exclude="$built" . | tar -x -C "$SRC" &&
		cd "$SRC" && find . -type f -exec sha1sum {} + | sort >"$TMP/before"
}

build()
{
	make -s -C "$SRC" -j"$(nproc)" O="$OUT" CC="$KIPC_CC" CFLAGS=-O0 "$@"
}

unchanged()
{
	cd "$SRC" && find . -type f -exec sha1sum {} + | sort | diff "$TMP/before" -
}

# Nothing is compiled twice when nothing changed
up_to_date()
{
	build V=1 | grep -e " -c " -e " -o " && return 1
	return 0
}

rebuilt_when_flags_change()
{
	make -n -C "$SRC" O="$OUT" CC="$KIPC_CC" CFLAGS=-O1 lib | grep -q " -O1 .*-c lib/"
}

version_mismatch()
{
	sed -i 's/^KIPC_[0-9.]* {/KIPC_99.9 {/' "$SRC/lib/libkipc.map" || return 0
	build
}

cat >"$TMP/user.c" <<'END'
#include <kipc/base.h>
#include <kipc/version.h>

#include <stdio.h>

int main(void)
{
	printf("%x %s\n", kipc_version(), kipc_strerror(-22));
	return kipc_version() != KIPC_VERSION;
}
END
cp "$TMP/user.c" "$TMP/user.cc"

# Only for what is linked with the installed tree: the build itself wants the system's packages. The
# sysroot is for our own paths; liburing's are the system's and need no flag.
installed()
{
	PKG_CONFIG_SYSROOT_DIR="$DEST" PKG_CONFIG_LIBDIR="$DEST/usr/lib/pkgconfig:$(
		pkg-config --variable pc_path pkg-config)" pkg-config "$@" libkipc
}

shared()
{
	"$KIPC_CC" $(installed --cflags) "$TMP/user.c" -o "$TMP/shared" \
		$(installed --libs) && readelf -d "$TMP/shared" | grep "libkipc.so.0" &&
		LD_LIBRARY_PATH="$DEST/usr/lib" "$TMP/shared"
}

static()
{
	"$KIPC_CC" $(installed --cflags) "$TMP/user.c" -o "$TMP/static" \
		-static $(installed --static --libs) && "$TMP/static"
}

cplusplus()
{
	g++ -std=c++17 $(installed --cflags) "$TMP/user.cc" -o "$TMP/cplusplus" \
		$(installed --libs) && LD_LIBRARY_PATH="$DEST/usr/lib" "$TMP/cplusplus"
}

tools_run()
{
	for tool in "$DEST"/usr/bin/* "$DEST"/usr/libexec/*; do
		[ ! -e "$tool" ] || "$tool" --version || return 1
	done
}

nothing_left()
{
	! find "$DEST" ! -type d | grep .
}

check "copy the source" copy
check "parallel build, out of tree" build
check "the source is unchanged" unchanged
check "nothing is built twice" up_to_date
check "other flags build all again" rebuilt_when_flags_change
check "install" build install DESTDIR="$DEST" PREFIX=/usr
check "a program links the shared library and runs" shared
check "a program links the static library and runs" static
check "so does one in C++" cplusplus
check "installed tools run" tools_run
check "uninstall" build uninstall DESTDIR="$DEST" PREFIX=/usr
check "uninstall leaves nothing" nothing_left
refuse "version.h and libkipc.map must agree" version_mismatch
done_testing
