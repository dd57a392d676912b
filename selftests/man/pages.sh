#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual pages are clean mdoc and agree with the headers: every function has a page with its
# exact prototype, every struct is printed as it is, every errno and constant is explained, nothing
# is spoken of that doesn't exist. pages.py says how; that it notices mistakes is tested as well.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"
export SRCDIR

[ -z "$KIPC_SAN" ] || skip_all "pages do not depend on SAN"
case $KIPC_CC in
*clang*) skip_all "done once, with gcc" ;;
esac

MAN=$SRCDIR/Documentation/man

pages()	# verb, folder
{
	mkdir -p "$2" && python3 "$SRCDIR/selftests/man/pages.py" "$@"
}

nothing()	# file: what is wrong
{
	cat "$1" && [ ! -s "$1" ]
}

lint()
{
	mandoc -Tlint -Wwarning "$MAN"/*.[1-8]
}

# All prototypes of a page after its own #includes and nothing else: the compiler compares types.
compiles()
{
	"$KIPC_CC" -std=c11 -Wall -Wextra -Werror -I"$SRCDIR/lib/include" -fsyntax-only "$1"/*.c
}

if command -v mandoc >/dev/null; then
	check "mandoc has nothing to say" lint
else
	skip "mandoc has nothing to say" "mandoc is missing: make deps"
fi
check "the pages can be read" pages check "$TMP/wrong"
check "they have the form that the tests can read" nothing "$TMP/wrong/form"
check "every exported symbol has a page, every function of a page exists" \
	nothing "$TMP/wrong/symbols"
check "the prototypes are those of the headers" nothing "$TMP/wrong/prototypes"
check "NAME lists what SYNOPSIS has" nothing "$TMP/wrong/names"
check "structs and enums are those of the headers" nothing "$TMP/wrong/definitions"
check "every struct and every constant is explained" nothing "$TMP/wrong/complete"
check "nothing is spoken of that doesn't exist" nothing "$TMP/wrong/exist"
check "ERRORS has the headers' errnos, and no others" nothing "$TMP/wrong/errors"
check "pages and sections that are referred to exist" nothing "$TMP/wrong/references"
check "prototypes, to be compiled" pages prototypes "$TMP/c"
check "the compiler accepts each SYNOPSIS beside the headers" compiles "$TMP/c"

# The same with a mistake of each kind.
export KIPC_PAGES="$TMP/man"
cp -r "$MAN" "$KIPC_PAGES"
sed -i -e '/^\.Fn kipc_queue_len /d' \
	-e 's/"size_t len"/"unsigned int len"/' \
	-e '/^	uint32_t max_peers;/d' \
	-e 's/KIPC_QUEUE_POPULATE/KIPC_QUEUE_CROWD/' \
	-e 's/Er EMSGSIZE/Er EXDEV/' \
	-e 's/^\.Xr kipc_pipe 3/.Xr kipc_tube 3/' \
	-e 's/^#include <poll.h>/	\\&/' "$KIPC_PAGES/kipc_queue.3"
check "pages with mistakes can be read" pages check "$TMP/mistakes"
for what in form symbols prototypes names definitions complete exist errors references; do
	refuse "a mistake is noticed: $what" nothing "$TMP/mistakes/$what"
done
check "prototypes with a mistake, to be compiled" pages prototypes "$TMP/c-mistakes"
refuse "a mistake is noticed: by the compiler" compiles "$TMP/c-mistakes"
done_testing
