"""KTAP version 1, the form of test results that kernel developers and their machines read.

Decided here: the lines. Documentation/dev-tools/ktap.rst of the kernel defines them. Not known here: the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import click

Outcome: TypeAlias = Literal["ok", "not ok", "skip", "error"]


@dataclass(frozen=True, slots=True)
class KtapTest:
    """One result. `why`: behind the directive of a skipped test or an error; of another one, the diagnostic data.

    `lines`: diagnostic lines above the result. A test with `parts` has their outcomes as its own: `outcome_of` them.
    """

    name: str
    outcome: Outcome
    why: str = ""
    lines: Sequence[str] = ()
    parts: Sequence[KtapTest] = ()


def outcome_of(parts: Sequence[KtapTest]) -> Outcome:
    """The outcome of a test with these parts. One part that fails makes it fail; it is skipped if every part is skipped."""
    outcomes = [part.outcome for part in parts]
    if all(outcome == "skip" for outcome in outcomes):
        return "skip"
    return "ok" if all(outcome in ("ok", "skip") for outcome in outcomes) else "not ok"


def print_ktap(tests: Sequence[KtapTest]) -> None:
    """Print the results as KTAP on standard output."""
    for line in _document(tests):
        click.echo(line)


def ktap_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--ktap, which excludes --json; the command gets it as `as_ktap`."""
    return click.option(
        "--ktap", "as_ktap", is_flag=True, callback=_without_json, help="The results as KTAP on standard output."
    )(command)


def _without_json(context: click.Context, option: click.Parameter, value: bool) -> bool:
    if value and context.params.get("as_json"):
        raise click.UsageError("--json and --ktap: expected one of them, since each has standard output for itself.")
    return value


def _document(tests: Sequence[KtapTest]) -> Iterator[str]:
    yield "KTAP version 1"
    yield f"1..{len(tests)}"
    for number, test in enumerate(tests, start=1):
        if test.parts:
            for line in _document(test.parts):
                yield f"  {line}"
        for line in test.lines:
            yield f"# {_one_line(line)}"
        yield _result(number, test)


def _result(number: int, test: KtapTest) -> str:
    # A name has no hash sign, behind which a directive would begin.
    words = [
        "ok" if test.outcome in ("ok", "skip") else "not ok",
        str(number),
        _one_line(test.name).replace("#", "_"),
    ]
    directive = {"skip": "SKIP", "error": "ERROR"}.get(test.outcome, "")
    if note := " ".join(filter(None, [directive, _one_line(test.why)])):
        words += ["#", note]
    return " ".join(words)


def _one_line(text: str) -> str:
    return " ".join(text.split())
