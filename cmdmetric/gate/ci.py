"""A verdict for services that run tests: GitHub's annotations and summary, and JUnit's XML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any
from xml.etree import ElementTree

from cmdmetric.gate.verdict import Check, Verdict
from cmdmetric.terminal import shown


def log_commands(verdict: Verdict, title: str = "cmd-score") -> list[str]:
    """Commands of GitHub's log that mark what failed: one for each number or reason.

    Whatever a name holds is escaped, so that it can be no command of its own.
    """
    reasons = [*verdict.meaningless, *(told(check) for check in verdict.checks if not check.within)]
    return [f"::error title={_property(title)}::{_message(reason)}" for reason in reasons]


def summary(verdict: Verdict, score: Mapping[str, Any]) -> str:
    """Markdown for the summary of a job: the verdict, a row a check, and the signature."""
    lines = [
        f"### cmd-score: {_cell(verdict.summary)}",
        "",
        "| number | expected | got | tolerance | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for check in verdict.checks:
        tolerance = "" if check.tolerance is None else f"{check.tolerance:.4f}"
        word = "within" if check.within else "**outside**"
        relation = "" if check.relation == "=" else f"{_cell(check.relation)} "
        lines.append(
            f"| {_cell(check.metric)} | {relation}{check.expected:.4f} | {check.got:.4f} "
            f"| {tolerance} | {word} |"
        )
    lines += ["", *(f"- {_cell(reason)}" for reason in (*verdict.meaningless, *verdict.notes))]
    return "\n".join([*lines, "", f"<code>{_cell(str(score.get('signature', '')))}</code>", ""])


def junit(verdict: Verdict) -> str:
    """The XML that most services read test results from: a test case a check.

    A number outside is a failure; a comparison that would mean nothing is an error.
    """
    failures = sum(not check.within for check in verdict.checks)
    counts = {
        "tests": str(len(verdict.checks) + len(verdict.meaningless)),
        "failures": str(failures),
        "errors": str(len(verdict.meaningless)),
    }
    suite = ElementTree.Element("testsuite", {"name": "cmd-score", **counts})
    for check in verdict.checks:
        case = _case(suite, f"{check.metric} against {check.against}")
        if not check.within:
            ElementTree.SubElement(case, "failure", {"message": _plain(told(check))})
    for number, reason in enumerate(verdict.meaningless, 1):
        case = _case(suite, f"comparison {number}")
        ElementTree.SubElement(case, "error", {"message": _plain(reason)})
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=False) + "\n"


def told(check: Check) -> str:
    """A check in a sentence."""
    if check.tolerance is None:
        return f"{check.metric} is {check.got:.6g}, and {check.against} does not hold"
    return (
        f"{check.metric} is {check.got:.4f}, {check.against} has {check.expected:.4f} "
        f"(tolerance {check.tolerance:.4f})"
    )


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", {"classname": "cmd-score", "name": _plain(name)}
    )


def _plain(text: str) -> str:
    """What XML can hold."""
    return "".join(c for c in shown(text) if c not in "\ufffe\uffff")


def _message(text: str) -> str:
    """As GitHub wants what follows `::`."""
    return _each(shown(text, keep="\n"), {"%": "%25", "\r": "%0D", "\n": "%0A"})


def _property(text: str) -> str:
    """As GitHub wants a property of a command."""
    return _each(shown(text), {"%": "%25", ":": "%3A", ",": "%2C"})


def _cell(text: str) -> str:
    """Text in Markdown: no table, link, image or HTML of its own."""
    return _each(escape(shown(text)), {mark: f"\\{mark}" for mark in "\\`*_[]|!"})


def _each(text: str, replaced: Mapping[str, str]) -> str:
    return "".join(replaced.get(c, c) for c in text)
