"""Manual pages: what click knows of them, and the sections that it has no place for.

    python docs/man/pages.py FOLDER

writes them all; building the wheel does so. (click-man has names, options and subcommands only, and
needs an installed program.) The texts that click does not have are in `sections.py`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from sections import ALL, EXAMPLES, OWN

from cmdmetric.cli.main import main as cmdmetric, score
from cmdmetric.version import __version__
from grgan_ref.cli.main import main as grgan

#: Lines that are commands rather than text.
_COMMAND = re.compile(r"\s*(cmd-score|cmdmetric|grgan|torchrun)\b.*")


def pages() -> dict[str, str]:
    """Every page in roff, by the name of its file."""
    found = {"cmd-score.1": _page("cmd-score", score)}
    for name, program in (("cmdmetric", cmdmetric), ("grgan", grgan)):
        found[f"{name}.1"] = _page(name, program)
        for sub, command in program.commands.items():
            page = f"{name}-{sub}"
            known = command is score
            found[f"{page}.1"] = ".so man1/cmd-score.1\n" if known else _page(page, command)
    return found


def write(folder: Path) -> list[Path]:
    """Write them all; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _page(name: str, command: click.Command) -> str:
    """One page. name is the page's, with hyphens between a command and its subcommand."""
    typed = name if command is score else name.replace("-", " ", 1)
    text, examples = _parts(command)
    lines = [
        f'.TH {name.upper()} 1 "" "cmdmetric {__version__}" "User commands"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(_first_sentence(command))}",
        ".SH SYNOPSIS",
        *_synopsis(typed, command),
        ".SH DESCRIPTION",
        *text,
    ]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for sub, child in command.commands.items():
            if name in ("cmdmetric", "grgan"):
                lines += [".TP", f".BR {_text(f'{name}-{sub}')} (1)", _text(_first_sentence(child))]
            else:  # of a group within a group: all on one page
                lines += [*_synopsis(f"{typed} {sub}", child), *_parts(child)[0]]
                lines += _options(child, ".SS Options")
    lines += _options(command)
    for title, body in (*OWN.get(name, ()), *ALL[name.partition("-")[0]]):
        lines += [f".SH {title}", *_body(body)]
    if name in EXAMPLES:
        examples.append(EXAMPLES[name])
    if examples:
        lines += [".SH EXAMPLES", *(line for block in examples for line in _examples(block))]
    lines += [".SH SEE ALSO", *_list([page for page in _neighbours(name) if page != name])]
    page = "\n".join(line.rstrip() for line in lines) + "\n"
    return re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", page, flags=re.M)  # a heading begins a paragraph


def _list(names: Sequence[str]) -> Iterator[str]:
    """Pages, separated by commas."""
    for name in names:
        yield f".BR {_text(name)} {'(1)' if name == names[-1] else '(1),'}"


def _neighbours(name: str) -> list[str]:
    """The pages that it points at."""
    program = name.partition("-")[0]
    if name in ("cmd-score", "cmdmetric"):
        subs = [f"cmdmetric-{sub}" for sub in cmdmetric.commands if sub != "score"]
        return ["cmd-score", "cmdmetric", *subs, "grgan"]
    if program == "grgan":
        subs = [f"grgan-{sub}" for sub in grgan.commands] if name != "grgan" else []
        return ["grgan", *subs, "cmd-score"]
    return ["cmd-score", "cmdmetric"]


def _first_sentence(command: click.Command) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split()).removesuffix(".")


def _parts(command: click.Command) -> tuple[list[str], list[str]]:
    """The description in roff, and the blocks of commands within it and behind it."""
    lines: list[str] = []
    examples: list[str] = []
    text = inspect.cleandoc(command.help or "")
    for paragraph in [*text.split("\n\n"), command.epilog or ""]:
        fixed = paragraph.startswith("\b")
        paragraph = paragraph.removeprefix("\b").strip("\n")
        if fixed and any(_COMMAND.match(line) for line in paragraph.splitlines()):
            examples.append(paragraph)
        elif paragraph.strip():
            if _COMMAND.fullmatch(paragraph.splitlines()[-1]):  # what it is, and a command
                examples.append(paragraph)
                continue
            lines += [".PP", *(_text(line) for line in paragraph.splitlines())]
    return lines, examples


def _synopsis(typed: str, command: click.Command) -> list[str]:
    """`cmdmetric merge [OPTIONS] --output FILE PARTS ...`."""
    needed, arguments = [], []
    for param in command.params:
        if isinstance(param, click.Argument):
            text = f"\\fI{_text(param.metavar or param.human_readable_name.upper())}\\fR"
            arguments.append(f"{text} ..." if param.nargs == -1 else text)
        elif param.required:
            assert isinstance(param, click.Option)
            needed.append(_invocation(param).split(", ")[-1])
    if isinstance(command, click.Group):
        arguments.append("\\fICOMMAND\\fR ...")
    return [".PP", f"\\fB{_text(typed)}\\fR [\\fIOPTIONS\\fR] {' '.join(needed + arguments)}"]


def _options(command: click.Command, heading: str = ".SH OPTIONS") -> list[str]:
    lines = [heading]
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        text = re.sub(r"\s*\[default: (.*)\]$", r"", option.help or "")
        default = re.search(r"\[default: (.*)\]$", option.help or "")
        said = default[1] if default else None
        if option.show_default and option.default is not None:
            said = str(option.default)
        lines += [".TP", _invocation(option), _text(text)]
        if said is not None:
            lines.append(f"Default: {_text(said)}.")
    lines += [".TP", "\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "Show a summary and exit."]
    return lines


def _invocation(option: click.Option) -> str:
    """`-o, --output FILE`."""
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in sorted(option.opts, key=len))
    if option.is_flag or option.count:
        return names
    if isinstance(option.type, click.Choice):
        choices = "|".join(f"\\fB{_text(choice)}\\fR" for choice in option.type.choices)
        return f"{names} {choices}"
    kind = {"integer": "N", "integer range": "N", "path": "PATH"}.get(option.type.name, "VALUE")
    return f"{names} \\fI{_text(option.metavar or kind)}\\fR"


def _body(text: str) -> Iterator[str]:
    """Paragraphs, and lines "TERM :: what it is"; an indented line belongs to the one before."""
    for paragraph in re.sub(r"\n +", " ", text.strip()).split("\n\n"):
        for line in paragraph.splitlines():
            term, colons, rest = line.partition(" :: ")
            if colons:
                yield from (".TP", f"\\fB{_text(term)}\\fR", _text(rest))
            elif line is paragraph.splitlines()[0]:
                yield from (".PP", _text(line))
            else:
                yield _text(line)


def _examples(block: str) -> Iterator[str]:
    """Commands as they are typed, what is said of them before."""
    for line in block.replace("\\\n", "\0").splitlines():
        if not line.strip() or line.strip() == "Examples:":
            continue
        command, comment, about = line.partition("  # ")
        if comment:
            about = about.strip()
            end = "" if about.endswith("?") else ":"
            yield from (".PP", _text(about[0].upper() + about[1:] + end))
        if _COMMAND.match(command):
            typed = [part.strip() for part in command.split("\0")]
            yield from (".PP", ".nf", ".RS 4")
            yield _text(f"{typed[0]}{' ' + chr(92) if len(typed) > 1 else ''}")
            for number, part in enumerate(typed[1:], 2):
                yield "    " + _text(part + (f" {chr(92)}" if number < len(typed) else ""))
            yield from (".RE", ".fi")
        else:
            yield from (".PP", _text(line.strip()))


def _text(text: str) -> str:
    """Text as roff takes it literally: dashes and quotes can be copied from the page."""
    for plain, escape in (
        ("\\", "\\e"),
        ("-", "\\-"),
        ("'", "\\(aq"),
        ("`", "\\(ga"),
        ("^", "\\(ha"),
        ("~", "\\(ti"),
    ):
        text = text.replace(plain, escape)
    return f"\\&{text}" if text.startswith((".", "\\(aq")) else text


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])):
        print(written)
