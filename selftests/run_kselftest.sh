#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs test programs one after another, reads their TAP and counts test cases.
#
#   selftests/run_kselftest.sh [-v] [PROGRAM...]
#
# Without programs: all that are built below $KIPC_BUILD/selftests and all shell tests. What a
# program printed is shown when it failed, or with -v; reasons of skips always. XFAIL counts as skipped. A
# program that does not complete its plan, that is stopped by a signal, or whose exit code says other
# than its TAP, counts as one failure more. The last line is "N passed, N failed, N skipped".

set -u
shopt -s nullglob

SRCDIR=${SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
KIPC_BUILD=${KIPC_BUILD:-$SRCDIR/out}
KIPC_SAN=${KIPC_SAN:-}
export SRCDIR KIPC_BUILD KIPC_SAN
LIMIT=300	# seconds a program

# KIPC_VALGRIND=1: C programs are run under valgrind; an error or a leak fails the test it happens in
wrap=()
if [ -n "${KIPC_VALGRIND:-}" ]; then
	wrap=(valgrind -q --error-exitcode=99 --leak-check=full --trace-children=yes)
	LIMIT=1800
	# it lets no other thread run beside an io_uring_enter(2)
	export KIPC_NO_IO_URING=${KIPC_NO_IO_URING-1}
fi

verbose=
if [ "${1:-}" = -v ]; then
	verbose=1
	shift
fi

programs=("$@")
if [ $# = 0 ]; then
	mapfile -t programs < <(find "$KIPC_BUILD/selftests" -type f -perm -100 2>/dev/null | sort)
	for script in "$SRCDIR"/selftests/*/*.sh; do
		case $script in
		*/harness/*|*/crash/*|*/fuzz/*|*/soak/*) ;;
		*) programs+=("$script") ;;
		esac
	done
fi

# The sanitizers of Debian 12 cannot place their shadow memory where kernels since 6.6 put mappings.
launch=()
if [ -n "$KIPC_SAN" ] && setarch -R true 2>/dev/null; then
	launch=(setarch -R)
fi
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=1:strict_string_checks=1:check_initialization_order=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS-second_deadlock_stack=1:history_size=4:suppressions=$(
	cd "$(dirname "$0")" && pwd)/harness/tsan.supp}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
ulimit -c 0

# Prints: planned passed failed skipped, "-" for no plan.
count()
{
	awk '
	/^1\.\.[0-9]+/ { split($0, f, /[. #]+/); plan = f[2]; if (plan == 0) { skip++; plan = 1 } }
	/^ok / { if (toupper($0) ~ /# (SKIP|XFAIL|TODO)/) skip++; else pass++ }
	/^not ok / { if (toupper($0) ~ /# TODO/) skip++; else fail++ }
	END { print (plan == "" ? "-" : plan), pass + 0, fail + 0, skip + 0 }
	' "$log"
}

# What was left out and why: a line a test, or one for many that share a reason.
reasons()
{
	sed -n 's/^1\.\.0 .*# *[Ss][Kk][Ii][Pp] */skipped|all|/p
		s/^ok [0-9]* *-* *\(.*\) # *SKIP */skipped|\1|/p
		s/^ok [0-9]* *-* *\(.*\) # *XFAIL */xfail|\1|/p' "$log" |
	awk -F '|' '
	{
		key = $1 FS substr($0, length($1 $2) + 3)
		if (!(key in n))
			order[++keys] = key
		names[key] = n[key]++ ? names[key] ", " $2 : $2
	}
	END {
		for (i = 1; i <= keys; i++) {
			split(order[i], f, FS)
			what = n[order[i]] > 3 ? n[order[i]] " tests" : names[order[i]]
			printf "      %s: %s: %s\n", f[1], what, substr(order[i], length(f[1]) + 2)
		}
	}'
}

passed=0 failed=0 skipped=0 broken=()

for program in "${programs[@]}"; do
	name=${program##*selftests/}
	case $program in
	/*) ;;
	*) program=./$program ;;
	esac
	case $program in
	*.sh) command=("$program") ;;
	*) command=("${wrap[@]}" "$program") ;;
	esac

	start=${EPOCHREALTIME/[.,]/}
	timeout -k 10 "$LIMIT" "${launch[@]}" "${command[@]}" >"$log" 2>&1 </dev/null
	code=$?
	ms=$(( (${EPOCHREALTIME/[.,]/} - start) / 1000 ))

	read -r plan pass fail skip < <(count)
	trouble=
	if [ $code = 124 ]; then
		trouble="stopped after $LIMIT s"
	elif [ $code -ge 128 ]; then
		trouble="died of SIG$(kill -l $((code - 128)) 2>/dev/null || echo "?")"
	elif [ "$plan" = - ]; then
		trouble="printed no plan, exit code $code"
	elif [ "$plan" != $((pass + fail + skip)) ]; then
		trouble="ran $((pass + fail + skip)) of $plan tests, exit code $code"
	elif [ $code != 0 ] && [ $code != 4 ] && [ "$fail" = 0 ]; then
		trouble="exit code $code, though no test failed"
	elif [ $code = 0 ] && [ "$fail" != 0 ]; then
		trouble="exit code 0, though tests failed"
	fi

	if [ -n "$trouble" ]; then
		fail=$((fail + 1))
	fi
	passed=$((passed + pass)) failed=$((failed + fail)) skipped=$((skipped + skip))

	if [ "$fail" != 0 ]; then
		word=FAIL
		broken+=("$name")
	elif [ "$pass" = 0 ]; then
		word=SKIP
	else
		word=ok
	fi
	printf '%-4s  %s  (%d ok, %d.%03d s)\n' "$word" "$name" "$pass" $((ms / 1000)) $((ms % 1000))
	if [ "$fail" != 0 ] || [ -n "$verbose" ]; then
		sed "s|^|    $name: |" "$log"
	elif [ "$skip" != 0 ]; then
		reasons
	fi
	if [ -n "$trouble" ]; then
		echo "    $name: $trouble"
	fi
done

if [ ${#broken[@]} != 0 ]; then
	echo "failed: ${broken[*]}"
fi
if [ $((passed + failed + skipped)) = 0 ]; then
	echo "no test was run" >&2
	failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
