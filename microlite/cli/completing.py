"""What a shell gets when it asks for completions, and the scripts by which it asks.

A script passes on the command line up to the cursor, and gets a line for each candidate: `kind <tab> value <tab> text`.
The kind is `plain`, or `dir` or `file` where the shell itself knows better; the text explains, and may be empty.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from microlite.cli.commands import COMPLETION_VARIABLE, PROGRAM
from microlite.cli.output import plain
from microlite.cli.root import root

if TYPE_CHECKING:
    from collections.abc import Callable

_LINE: Final = "_MICROLITE_LINE"
"""Holds the command line up to the cursor."""

# `microlite` may be a program, a function, or an alias, which only its shell can resolve.
_BASH: Final = """\
_microlite_completion() {
    local kind value text
    COMPREPLY=()
    while IFS=$'\\t' read -r kind value text; do
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(
        export _MICROLITE_COMPLETE=bash_complete _MICROLITE_LINE="${COMP_LINE:0:COMP_POINT}"
        eval "${BASH_ALIASES[$1]-$1}" 2>/dev/null </dev/null
    )
}

complete -o nosort -F _microlite_completion microlite 2>/dev/null ||
    complete -F _microlite_completion microlite
"""

_ZSH: Final = """\
#compdef microlite

_microlite_completion() {
    local kind value text line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    local -a candidates
    local files
    while IFS=$'\\t' read -r kind value text; do
        case $kind in
            dir) files=-/ ;;
            file) files=-f ;;
            plain) candidates+=("${value//:/\\\\:}${text:+:$text}") ;;
        esac
    done < <(
        export _MICROLITE_COMPLETE=zsh_complete _MICROLITE_LINE="$line"
        eval "${aliases[$words[1]]:-$words[1]}" 2>/dev/null </dev/null
    )
    [[ $PREFIX == --*=* ]] && compset -P '*='
    [[ -n $files ]] && _path_files $files
    (( $#candidates )) && _describe -V microlite candidates
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _microlite_completion "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _microlite_completion microlite
fi
"""

_FISH: Final = """\
function __microlite_completion
    set -lx _MICROLITE_COMPLETE fish_complete
    set -lx _MICROLITE_LINE (commandline -cp | string collect)
    for answer in (microlite 2>/dev/null </dev/null)
        set -l parts (string split -m 2 \\t -- $answer)
        switch $parts[1]
            case dir
                __fish_complete_directories (commandline -ct)
            case file
                __fish_complete_path (commandline -ct)
            case plain
                string join \\t -- $parts[2..]
        end
    end
end

complete --keep-order --no-files --command microlite --arguments "(__microlite_completion)"
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""What is evaluated in each shell."""


class _Completion(ShellComplete):
    """Finds the candidates for the line that a script passed on.

    Args:
        quote: what makes a value one word in the shell that asked.
        whole: whether that shell replaces all of `--option=value` by a candidate, and not only the value.
    """

    def __init__(self, quote: Callable[[str], str], *, whole: bool) -> None:
        super().__init__(root, {}, PROGRAM, COMPLETION_VARIABLE)
        self._quote = quote
        self._whole = whole

    def get_completion_args(self) -> tuple[list[str], str]:
        """See `ShellComplete`."""
        line = os.environ.get(_LINE, "")
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """See `ShellComplete`."""
        option, equals, value = incomplete.partition("=")
        if not (equals and option.startswith("-")):
            return super().get_completions(args, incomplete)
        found = super().get_completions([*args, option], value)
        if self._whole:
            return [CompletionItem(f"{option}={item.value}", item.type, item.help) for item in found]
        return found

    def format_completion(self, item: CompletionItem[str]) -> str:
        """See `ShellComplete`."""
        value = self._quote(plain(item.value)) if item.type == "plain" else ""
        return "\t".join((item.type, value, " ".join(plain(item.help or "").split())))


def complete(asked: str) -> int:
    """Print what a shell asked for and return the exit code. What goes wrong is nothing to tell in the midst of a line.

    Args:
        asked: `bash_complete` for candidates, `bash_source` for the script; so for the other shells.
    """
    shell, _, what = asked.partition("_")
    if shell not in SCRIPTS:
        return 1
    if what == "source":
        click.echo(SCRIPTS[shell], nl=False)
        return 0
    try:
        answer = _Completion(_escape if shell == "bash" else str, whole=shell == "fish").complete()
    except Exception:  # noqa: BLE001 - as the docstring says
        return 1
    click.echo(answer)
    return 0


def _escape(value: str) -> str:
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", value)
