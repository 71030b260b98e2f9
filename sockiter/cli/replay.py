"""`sockiter replay`: run cases, and compare with what they expect."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from sockiter.backend import Session, Target
from sockiter.cases import Case, Expect, dumps, files, load, write_whole
from sockiter.cli.output import finding_json, print_json
from sockiter.errors import InputError, MachineLacks, Untold
from sockiter.replay import Outcome, refused, unsaid, with_expects
from sockiter.replay import replay as replay_case
from sockiter.targets import INSTALLED_TARGETS, SCHEME_TARGETS, TARGETS, target_named
from sockiter.verdict import describe


@click.command()
@click.argument("cases", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CASE...")
@click.option("--target", "name", metavar="T", help="Only this target, instead of every scheme and every iterator here.")
@click.option("--record", is_flag=True, help="Write what comes of a case into it, in place of what it expects.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def replay(cases: tuple[Path, ...], *, name: str | None, record: bool, as_json: bool) -> None:
    """Run cases, and compare what comes of them with what they expect.

    A CASE is a file, or a directory of them. Without --target, a target that does not run here, or cannot carry out a case,
    is left out, and said to be; and so is a scheme of another package in a case that does not name it. --record goes through
    the project's schemes only, unless it is told a --target: what others do is not for everybody's cases.
    """
    loaded = [(path, load(path)) for path in files(cases)]
    if not loaded:
        raise InputError(f"{', '.join(map(str, cases))}: no case in there: expected files that end in .case")
    chosen = TARGETS if name is None else (target_named(name),)
    if record:
        chosen = SCHEME_TARGETS if name is None else chosen
        loaded = [(path, _recorded(path, case, chosen)) for path, case in loaded]
    outcomes: list[tuple[Path, Outcome]] = []
    width = max(len(target.name) for target in chosen)
    with ExitStack() as stack:
        sessions: dict[str, Session | str] = {}
        for target in chosen:
            why = target.missing()
            sessions[target.name] = stack.enter_context(target.session()) if why is None else why
        for path, case in loaded:
            if not as_json:
                click.echo(str(path))
            _warn_of_unknown(path, case)
            for target in chosen:
                session = sessions[target.name]
                why = session if isinstance(session, str) else refused(case, target) or unsaid(case, target)
                if why is None and name is None and target in INSTALLED_TARGETS and not _is_named(case, target):
                    why = "the case says nothing of it"
                if isinstance(session, str) or why is not None:
                    if name is not None:
                        raise MachineLacks(f"{path}: {target.name} cannot run it: {why}")
                    if not as_json:
                        click.echo(f"  {target.name:<{width}}  not run: {why}")
                    continue
                try:
                    outcome = replay_case(case, target, session)
                except Untold as untold:
                    if name is not None:
                        raise MachineLacks(f"{path}: {target.name} cannot run it here: {untold}") from None
                    if not as_json:
                        click.echo(f"  {target.name:<{width}}  not run: {untold}")
                    continue
                outcomes.append((path, outcome))
                if not as_json:
                    click.echo(f"  {target.name:<{width}}  {_in_words(outcome)}")
    if as_json:
        print_json([_json(path, outcome) for path, outcome in outcomes])
    if not all(outcome.as_expected for _, outcome in outcomes):
        sys.exit(1)


def _recorded(path: Path, case: Case, targets: Sequence[Target]) -> Case:
    recorded = with_expects(case, targets)
    if recorded != case:
        try:
            write_whole(path, dumps(recorded))
        except OSError as error:
            raise MachineLacks(f"{path}: cannot be written: {error.strerror}") from None
    return recorded


def _is_named(case: Case, target: Target) -> bool:
    return any(expect.target == target.name for expect in case.expects)


def _in_words(outcome: Outcome) -> str:
    verdict = describe(outcome.verdict)
    if outcome.as_expected:
        return f"{verdict}, as expected"
    return f"{verdict}, NOT AS EXPECTED: {', '.join(_spell(expect) for expect in outcome.expected) or 'ok'}"


def _spell(expect: Expect) -> str:
    return expect.kind if expect.socket is None else f"{expect.kind} {expect.socket}"


def _warn_of_unknown(path: Path, case: Case) -> None:
    known = {target.name for target in TARGETS}
    for unknown in sorted({expect.target for expect in case.expects} - known):
        click.echo(f"sockiter: {path}: expects something of {unknown}, which is no target here: not compared", err=True)


def _json(path: Path, outcome: Outcome) -> dict[str, object]:
    return {
        "case": str(path),
        "target": outcome.target,
        "reads": [{"delivered": list(read.delivered), "error": read.error} for read in outcome.reads],
        "verdict": [finding_json(finding) for finding in outcome.verdict],
        "as_expected": outcome.as_expected,
    }
