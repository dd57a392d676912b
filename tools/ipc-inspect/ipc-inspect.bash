# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Completion for ipc-inspect: commands, options and columns as the program itself names them, objects
# as it finds them.

_ipc_inspect_commands()
{
	"$1" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

_ipc_inspect_options()	# program, command or nothing
{
	"$1" ${2:+"$2"} --help 2>/dev/null |
		sed -n 's/^ *\(-[A-Za-z]\), \(--[a-z-]*\).*/\1 \2/p; s/^ *\(--[a-z-]*\).*/\1/p'
}

_ipc_inspect_columns()	# program, command
{
	"$1" "$2" -H -n -r -o NAME 2>/dev/null | cut -d' ' -f1
}

# Descriptors, processes and names
_ipc_inspect_objects()
{
	"$1" list -n -r -o OBJECT,NAME,HOLDERS 2>/dev/null | while read -r object name holders; do
		echo "$object"
		[ "$name" = - ] || echo "$name"
		[ "$holders" = - ] || echo "$holders" | tr , '\n' | sed 's/^/pid:/'
	done | sort -u
}

_ipc_inspect_operands()	# program, command or nothing
{
	[ -n "$2" ] || _ipc_inspect_commands "$1"
	if [ "$2" = names ]; then
		"$1" names -n -r -o NAME 2>/dev/null | sort -u
	else
		_ipc_inspect_objects "$1"
	fi
}

# Replies with those of the words that begin with the second argument; what stands before a colon
# is a word of its own for bash.
_ipc_inspect_reply()
{
	local colon=
	[[ $2 == *:* && $COMP_WORDBREAKS == *:* ]] && colon=${2%:*}:
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
	COMPREPLY=("${COMPREPLY[@]#"$colon"}")
}

# The word in front of the cursor, and the one before, with colons in them.
_ipc_inspect_words()
{
	local line=${COMP_LINE:0:COMP_POINT} words
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	cur=${words[-1]}
	prev=${words[-2]-}
}

_ipc_inspect()
{
	local program=$1 cur prev command= word
	_ipc_inspect_words
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case " $(_ipc_inspect_commands "$program" | tr '\n' ' ') " in
		*" $word "*)	command=$word; break ;;
		esac
	done
	case $prev in
	-o|--output)
		# the last of several
		local before=
		[[ $cur == *,* ]] && before=${cur%,*},
		[[ -z $before && $cur == +* ]] && before=+
		mapfile -t COMPREPLY < <(compgen -P "$before" \
			-W "$(_ipc_inspect_columns "$program" "${command:-list}")" -- "${cur#"$before"}")
		compopt -o nospace 2>/dev/null
		return ;;
	-p|--pid)
		_ipc_inspect_reply "$(_ipc_inspect_objects "$program" | sed -n 's/^pid://p')" "$cur"
		return ;;
	-f|--file|--save)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
		return ;;
	-s|--sort)
		_ipc_inspect_reply "object messages bytes depth waiters cpu" "$cur"
		return ;;
	-c|--count|-d|--duration|-w|--watch)
		return ;;
	esac
	case $cur in
	--color=*)
		mapfile -t COMPREPLY < <(compgen -W "always never auto" -- "${cur#*=}") ;;
	-*)	_ipc_inspect_reply "$(_ipc_inspect_options "$program" "$command")" "$cur" ;;
	*/*)	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null ;;
	*)	_ipc_inspect_reply "$(_ipc_inspect_operands "$program" "$command")" "$cur" ;;
	esac
}

complete -F _ipc_inspect ipc-inspect
