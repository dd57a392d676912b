#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each fuzz target for ten seconds: what hostile and damaged segments and sockets bring about is an
# error and nothing else. Once a CI run: with clang, without other sanitizers. `make fuzz` is the
# long run.

set -u
. "${SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}/selftests/harness/tap.sh"

SECONDS_EACH=${KIPC_FUZZ_SECONDS:-10}

[ -z "${KIPC_PARTIAL:-}" ] || skip_all "a part of the library is being worked on (LIBDIRS)"
[ -z "$KIPC_SAN" ] || skip_all "runs in the clang configuration: it brings its own sanitizers"
[ -z "${KIPC_VALGRIND:-}" ] || skip_all "not under valgrind"
case $KIPC_CC in
*clang*) ;;
*) skip_all "runs in the clang configuration, for libFuzzer" ;;
esac
echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p == (char *)n; }' >"$TMP/t.c"
"$KIPC_CC" -fsanitize=fuzzer,address,undefined "$TMP/t.c" -o "$TMP/t" 2>/dev/null ||
	skip_all "this clang has no libFuzzer (Debian: libclang-rt-dev)"

mk()
{
	make -s -C "$SRCDIR" O="$KIPC_BUILD" FUZZ_CC="$KIPC_CC" WERROR=1 "$@"
}

# What its run said of one target.
result()
{
	sed -n "/^$1: /,/^[a-z]*: /p" "$TMP/log"
	grep -q "^$1: .*, nothing found\$" "$TMP/log"
}

check build mk -j"$(nproc)" fuzz-build
[ "$tap_failed" = 0 ] || done_testing
mk -k -j"$(nproc)" -Otarget fuzz FUZZ_SECONDS="$SECONDS_EACH" >"$TMP/log" 2>&1
for target in $(mk fuzz-list); do
	check "$target" result "$target"
done
done_testing
