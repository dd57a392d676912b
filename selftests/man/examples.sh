#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every program in the manual pages and in README.md compiles as C11 without a warning, links with
# -lkipc, runs, and exits with 0.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"
export SRCDIR

[ -z "${KIPC_PARTIAL:-}" ] || skip_all "a part of the library was built (LIBDIRS)"
[ -z "$KIPC_SAN" ] || skip_all "for users' compilers, without SAN"
case $KIPC_CC in
*clang*) skip_all "done once, with gcc" ;;
esac

DIR=$TMP/programs
export KIPC_RUNTIME_DIR="$TMP/runtime"	# for those with names
SECONDS_EACH=60

programs()
{
	mkdir "$DIR" && python3 "$SRCDIR/selftests/man/pages.py" programs "$DIR"
}

# A program: NAME.out becomes what the compiler says, NAME the program.
cat >"$TMP/compile" <<END
#!/bin/sh
exec "$KIPC_CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror "-I$SRCDIR/lib/include" "\$1.c" \\
	-o "\$1" "-L$KIPC_BUILD" "-Wl,-rpath,$KIPC_BUILD" -lkipc >"\$1.out" 2>&1
END
chmod +x "$TMP/compile"

compile_all()
{
	find "$DIR" -name '*.c' | sed 's/\.c$//' | xargs -n 1 -P "$(nproc)" "$TMP/compile"
}

compiled()
{
	cat "$1.out"
	[ -x "$1" ]
}

runs()
{
	timeout "$SECONDS_EACH" "$1"
}

every_page()
{
	for page in "$SRCDIR"/Documentation/man/kipc*.3; do
		ls "$DIR/${page##*/}"-*.c || return 1
	done
	ls "$DIR"/kipc.7-*.c "$DIR"/kipc_names.7-*.c "$DIR"/README.md-*.c
}

check "programs are found" programs
check "every page of section 3 has one, and so have those of section 7 and README.md" every_page
compile_all	# what went wrong is said below
for source in "$DIR"/*.c; do
	program=${source%.c}
	name=${program##*/}
	check "$name compiles and links" compiled "$program"
	[ ! -e "$program.run" ] || check "$name runs" runs "$program"
done
done_testing
