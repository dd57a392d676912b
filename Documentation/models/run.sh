#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Checks the models with spin: each as it is, which must hold, and with each known bug put back, which
# must be found. Prints TAP; exits 0 when all is as it should be. Arguments: models to run (all).

set -u
cd "$(dirname "$0")" || exit 1
here=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
run=0 failed=0

command -v spin >/dev/null && command -v "${CC:-gcc}" >/dev/null || {
	echo "1..0 # SKIP spin or gcc is missing (make deps)"
	exit 4
}

# model, expectation (holds|found), macros: errors of the exhaustive search, or why it isn't one
verify()
{
	model=$1 want=$2
	shift 2
	run=$((run + 1))
	name="$model${*:+ }$* $want"
	(
		cd "$tmp" && rm -f pan* && spin -a "$@" "$here/$model.pml" &&
		"${CC:-gcc}" -O2 -w -DSAFETY -DNOCLAIM -DCOLLAPSE -DMEMLIM=8000 -o pan pan.c &&
		timeout 600 ./pan -E -m4000000
	) >"$tmp/log" 2>&1
	errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$tmp/log")
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$tmp/log")
	if grep -qE 'max search depth too small|out of memory|reached -DMEMLIM' "$tmp/log" || [ -z "$errors" ]; then
		verdict=incomplete
	elif [ "$errors" = 0 ]; then
		verdict=holds
	else
		verdict=found
	fi
	if [ $verdict = "$want" ]; then
		echo "ok $run $name: $states states"
	else
		failed=$((failed + 1))
		tail -n 20 "$tmp/log" | sed 's/^/# /'
		echo "not ok $run $name: $verdict"
	fi
}

wanted()	# model, of the script's arguments
{
	[ -z "$models" ] && return 0
	case " $models " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

models=$*
for model in doorbell queue lock rwlock; do
	wanted $model || continue
	# the variants and the bugs stand in the model's head: lines "  HOLDS -DX -DY", "  FOUND -DZ"
	sed -n 's/^ \*[ \t]*\(HOLDS\|FOUND\)\(.*\)/\1 \2/p' $model.pml >"$tmp/cases"
	while read -r want macros; do
		macros=${macros%%:*}
		case $want in
		HOLDS) want=holds ;;
		*) want=found ;;
		esac
		# shellcheck disable=SC2086 # none, one or several words
		verify $model $want $macros
	done <"$tmp/cases"
done
echo "1..$run"
[ "$failed" = 0 ]
