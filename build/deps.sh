#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What libkipc needs from Debian, and what each package is for: the only list there is.
#
#   build/deps.sh verify  [SCOPE]	say what is missing; exit 1 when anything is
#   build/deps.sh install [SCOPE]	install what is missing (root), else do as verify does
#
# Scopes: "build" is what `make` and `make demo` need, "test" (the default) is that and what `make check`
# needs, "models" what `make models` needs. "trace" is what ipc-inspect trace needs: the build leaves it
# out where that is missing. `install test` tries to bring it, too, and goes on without.
#
# A package counts as there when what we use of it is there, wherever it came from. When nothing is
# missing this takes a few milliseconds and prints nothing.

set -eu
# bpftool is among what root has
PATH=$PATH:/usr/sbin:/sbin

# scope, package, then one probe or more: cmd:PROGRAM, file:PATH (may be a glob), pc:MODULE:VERSION
packages()
{
	cat <<-'END'
	build build-essential cmd:gcc cmd:g++ cmd:ar cmd:nm file:/usr/include/stdio.h
	build pkg-config cmd:pkg-config
	build liburing-dev pc:liburing:2.3
	build libsmartcols-dev pc:smartcols:2.30
	build libncurses-dev pc:ncursesw:6.0
	test clang cmd:clang cmd:clang++
	test libclang-rt-dev file:/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.tsan*
	test valgrind cmd:valgrind
	test strace cmd:strace
	test python3 cmd:python3
	test mandoc cmd:mandoc
	test procps cmd:ps
	test python3-numpy file:/usr/lib/python3/dist-packages/numpy/__init__.py
	models spin cmd:spin
	trace systemtap-sdt-dev file:/usr/include/*/sys/sdt.h
	trace libbpf-dev pc:libbpf:1.0
	trace libelf-dev file:/usr/include/gelf.h
	trace bpftool cmd:bpftool
	trace clang cmd:clang
	END
}

probe()
{
	arg=${1#*:}
	case $1 in
	cmd:*)	command -v "$arg" >/dev/null 2>&1 ;;
	file:*)	for path in $arg; do [ -e "$path" ] && return 0; done; return 1 ;;
	pc:*)	command -v pkg-config >/dev/null 2>&1 &&
		pkg-config --atleast-version="${arg#*:}" "${arg%:*}" ;;
	esac
}

missing()
{
	packages | while read -r scope package probes; do
		case $1-$scope in
		build-build|test-build|test-test|models-build|models-models|trace-trace) ;;
		*) continue ;;
		esac
		for p in $probes; do
			probe "$p" || { printf '%s ' "$package"; break; }
		done
	done
}

refuse()
{
	echo "libkipc: missing Debian packages: $1" >&2
	echo "libkipc: as root, run: make deps   (or: apt-get install --no-install-recommends $1)" >&2
	exit 1
}

may_install()
{
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

apt_install()
{
	# shellcheck disable=SC2086 # a list of packages
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $1 </dev/null >&2
}

# If it fails, once more with new lists; those are fetched once.
install()
{
	echo "libkipc: installing: $1" >&2
	[ -n "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)" ] || update
	apt_install "$1" || { update && apt_install "$1"; }
}

updated=
update()
{
	[ -z "$updated" ] || return 1
	updated=1
	apt-get update >&2
}

verb=${1:-verify}
scope=${2:-test}
case $verb-$scope in
verify-build|verify-test|verify-models|verify-trace) ;;
install-build|install-test|install-models|install-trace) ;;
*)	echo "usage: $0 verify|install [build|test|models|trace]" >&2; exit 2 ;;
esac

want=$(missing "$scope")
want=${want% }
if [ -n "$want" ]; then
	[ "$verb" = install ] && may_install || refuse "$want"
	install "$want" || :
	want=$(missing "$scope")
	[ -z "$want" ] || refuse "${want% }"
fi

[ "$verb-$scope" = install-test ] && may_install || exit 0
for want in $(missing trace); do
	install "$want" || echo "libkipc: could not be had: $want" >&2
done
