"""click's completion for bash and fish, with what our values need beside it.

- bash cuts words at colons, and click's script then asks about another word than the one that is
  written; its values may hold no blank; and it offers either names or files, where an argument
  takes both.
- fish's script of click cuts values at commas, which separate the names of metrics.
"""

from __future__ import annotations

import os

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    add_completion_class,
    split_arg_string,
)

_BASH = """\
%(complete_func)s() {
    local kind value file='' names=()
    COMPREPLY=()
    while IFS=',' read -r kind value; do
        case $kind in
            file) file=1 ;;
            open) compopt -o nospace; names+=("$value") ;;
            plain) names+=("$value") ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
%(complete_var)s=bash_complete "$1")
    if [[ $file && ${#names[@]} -eq 0 ]]; then
        compopt -o bashdefault -o default
        return
    fi
    for value in "${names[@]}"; do
        [[ $value == *[[:space:]]* ]] && printf -v value '%%q' "$value"
        COMPREPLY+=("$value")
    done
    if [[ $file ]]; then
        while IFS='' read -r value; do
            compopt -o filenames
            COMPREPLY+=("$value")
        done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
    fi
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_FISH_CUT = 'string split "," $completion'


class Bash(BashComplete):
    """The line up to the cursor is taken apart here, not by bash."""

    source_template = _BASH
    #: How much of a value bash already has: what it takes for the word begins behind a colon.
    cut = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is being written, and that one."""
        line = os.environ.get("COMP_LINE")
        if line is None:
            return super().get_completion_args()
        words = split_arg_string(line)
        last = "" if line[-1:].isspace() else words.pop()
        if ":" in os.environ.get("COMP_WORDBREAKS", ""):
            self.cut = last.rpartition("=")[2].rfind(":") + 1
        return words[1:], last

    def format_completion(self, item: CompletionItem) -> str:
        """One line for one value: "open" where more may follow without a blank."""
        kind = "open" if item.nospace else item.type
        return f"{kind},{item.value[self.cut :]}"


class Fish(FishComplete):
    """A value is all that stands behind the first comma."""

    source_template = FishComplete.source_template.replace(
        _FISH_CUT, 'string split -m 1 "," $completion'
    )


def register() -> None:
    """Let click take these two for its own."""
    add_completion_class(Bash, "bash")
    add_completion_class(Fish, "fish")
