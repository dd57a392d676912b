#!/bin/sh
# SPDX-License-Identifier: MIT
#
# For each further name in a page's NAME section: the file by which man(1) finds it, and the page.
#
#   build/man-links.sh Documentation/man/kipc_lock.3	kipc_lock_open.3 kipc_lock.3 ...

[ $# = 0 ] || exec awk '
FNR == 1 { page = FILENAME; sub(/.*\//, "", page); section = page; sub(/.*\./, "", section) }
$1 == ".Sh" { in_name = $2 == "NAME" }
in_name && $1 == ".Nm" && $2 "." section != page { print $2 "." section, page }
' "$@"
