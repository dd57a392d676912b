#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh DIR SECONDS libfuzzer|plain TARGET: runs the program TARGET in DIR for SECONDS, from its seeds
# and the corpus of earlier runs.  What is found stays in DIR/findings/TARGET.
# Exit code 0: nothing was found.

set -u
dir=$1 seconds=$2 how=$3 t=$4

# The sanitizers of Debian 12 can't map their shadow where recent kernels put things.
fixed=
setarch -R true 2>/dev/null && fixed='setarch -R'

mkdir -p "$dir/seeds/$t" "$dir/corpus/$t" "$dir/findings/$t"
$fixed "$dir/$t" --seeds "$dir/seeds/$t" || exit 1
if [ "$how" = libfuzzer ]; then
	$fixed "$dir/$t" -max_total_time="$seconds" -timeout=20 -max_len=1500 -len_control=20 \
		-rss_limit_mb=2048 -malloc_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$dir/findings/$t/" \
		"$dir/corpus/$t" "$dir/seeds/$t" >"$dir/$t.log" 2>&1
else
	$fixed "$dir/$t" "$dir/corpus/$t" "$dir/seeds/$t" >"$dir/$t.log" 2>&1
fi
code=$?
if [ $code = 0 ]; then
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p; s/ inputs$//p' "$dir/$t.log" | tail -n 1)
	cov=$(sed -n 's/.* cov: \([0-9]*\) .*/, \1 edges/p' "$dir/$t.log" | tail -n 1)
	echo "$t: ${runs:-0} inputs$cov, nothing found"
	exit 0
fi
echo "$t: FOUND, exit code $code:"
grep -E 'ERROR:|SUMMARY:|does not hold|runtime error|Test unit written' "$dir/$t.log" |
	head -n 8 | sed 's/^/    /'
echo "    log: $dir/$t.log"
exit 1
