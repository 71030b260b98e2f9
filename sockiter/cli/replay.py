"""`sockiter replay`: runs cases, and compares the results with their expectations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from sockiter.backend import Session, Target
from sockiter.cases import Case, Expect, dumps, files, loads
from sockiter.cli.output import finding_json, print_json
from sockiter.cli.subject import drop_unneeded_rights
from sockiter.errors import Inconclusive, InputError, Unavailable
from sockiter.files import escaped, write_whole
from sockiter.replay import ReplayResult, incomparable, refused, with_expects
from sockiter.replay import replay as replay_case
from sockiter.targets import PLUGIN_TARGETS, SCHEME_TARGETS, TARGETS, load_known, target_named
from sockiter.verdict import describe


@click.command()
@click.argument("cases", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CASE...")
@click.option("--target", "name", metavar="T", help="Only this target; default: all schemes and iterators that run here.")
@click.option("--record", is_flag=True, help="Write the results into the case, in place of its `expect` lines.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def replay(cases: tuple[Path, ...], *, name: str | None, record: bool, as_json: bool) -> None:
    """Run cases, and compare the results with the expectations.

    A CASE is a file, or a directory of files. A case that a target cannot run is left out, with the reason. Without
    --target, also left out are targets that do not run here, and schemes of other packages that the case does not name.
    Without --target, --record records only the project's own schemes.

    Exit status: 0 all results are as expected, 1 a result is not as expected, 3 no case could be run.
    """
    loaded = [(path, load_known(path)) for path in files(cases)]
    if not loaded:
        raise InputError(f"{', '.join(map(escaped, cases))}: no case found: expected files that end in .case")
    chosen = TARGETS if name is None else (target_named(name),)
    if name is not None and (missing := chosen[0].missing()) is not None:
        raise Unavailable(f"{escaped(loaded[0][0])}: {name} cannot run it: {missing}")
    if record:
        chosen = SCHEME_TARGETS if name is None else chosen
    drop_unneeded_rights(chosen)
    if record:
        loaded = [(path, _recorded(path, case, chosen)) for path, case in loaded]
    replay_run = _ReplayRun(max(len(target.name) for target in chosen), is_alone=name is not None, is_quiet=as_json)
    with ExitStack() as stack:
        sessions: dict[str, Session | str] = {}
        for target in chosen:
            why = target.missing()
            sessions[target.name] = stack.enter_context(target.session()) if why is None else why
        interrupted = None
        try:
            for path, case in loaded:
                if not as_json:
                    click.echo(escaped(path))
                _warn_of_unknown(path, case)
                for target in chosen:
                    replay_run.replay_on(path, case, target, sessions[target.name])
        except KeyboardInterrupt as error:
            interrupted = error
    if not replay_run.outcomes and interrupted is None:
        raise Unavailable(replay_run.why_empty())
    if as_json:
        print_json([_json(path, outcome) for path, outcome in replay_run.outcomes])
    replay_run.report()
    if interrupted is not None:
        raise interrupted
    if not all(outcome.as_expected for _, outcome in replay_run.outcomes):
        sys.exit(1)
    if replay_run.failures:
        sys.exit(Unavailable.status)


class _ReplayRun:
    # The outcomes so far. `is_alone`: on a named target only.

    def __init__(self, width: int, *, is_alone: bool, is_quiet: bool) -> None:
        self.outcomes: list[tuple[Path, ReplayResult]] = []
        self.left_out: list[str] = []
        self.failures: list[str] = []
        self._width = width
        self._is_alone = is_alone
        self._is_quiet = is_quiet

    def replay_on(self, path: Path, case: Case, target: Target, session: Session | str) -> None:
        if isinstance(session, str):
            self._leave_out(path, target, session)
        elif (why := refused(case, target) or incomparable(case, target)) is not None:
            self._leave_out(path, target, why)
        elif not self._is_alone and target in PLUGIN_TARGETS and not _is_named(case, target):
            self._leave_out(path, target, "the case expects nothing of this target")
        else:
            try:
                outcome = replay_case(case, target, session)
            except Inconclusive as error:
                self._leave_out(path, target, str(error), here=" here")
            except Unavailable as failure:
                self.failures.append(str(failure))
                self._echo(target, f"failed: {failure}")
            else:
                self.outcomes.append((path, outcome))
                self._echo(target, _in_words(outcome))

    def why_empty(self) -> str:
        """The reason for a missing outcome, in one line, below the reasons of several cases."""
        reasons = [*self.failures, *self.left_out]
        if len(reasons) == 1:
            return reasons[0]
        for reason in reasons:
            click.echo(f"sockiter: {reason}", err=True)
        return "no case could be run"

    def report(self) -> None:
        """Report the cases that were left out of a document, or their number in a list."""
        for failure in self.failures:
            click.echo(f"sockiter: {failure}", err=True)
        if self._is_alone and self._is_quiet:
            for reason in self.left_out:
                click.echo(f"sockiter: {reason}", err=True)
        elif self._is_alone and self.left_out:
            click.echo(f"{len(self.left_out)} of {len(self.left_out) + len(self.outcomes)} cases were not run.")

    def _leave_out(self, path: Path, target: Target, why: str, *, here: str = "") -> None:
        self.left_out.append(f"{escaped(path)}: {target.name} cannot run it{here}: {why}")
        self._echo(target, f"not run: {why}")

    def _echo(self, target: Target, message: str) -> None:
        if not self._is_quiet:
            click.echo(f"  {target.name:<{self._width}}  {message}")


def _recorded(path: Path, case: Case, targets: Sequence[Target]) -> Case:
    recorded = with_expects(case, targets)
    if recorded != case:
        text = dumps(recorded)
        loads(text, file=escaped(path))  # the results of a large case may exceed the limits of a case
        try:
            write_whole(path, text)
        except OSError as error:
            raise Unavailable(f"{escaped(path)}: cannot be written: {error.strerror}") from None
    return recorded


def _is_named(case: Case, target: Target) -> bool:
    return any(expect.target == target.name for expect in case.expects)


def _in_words(outcome: ReplayResult) -> str:
    verdict = describe(outcome.verdict)
    if outcome.as_expected:
        return f"{verdict}, as expected"
    return f"{verdict}, NOT AS EXPECTED: {', '.join(_spell(expect) for expect in outcome.expected) or 'ok'}"


def _spell(expect: Expect) -> str:
    return expect.kind if expect.socket is None else f"{expect.kind} {expect.socket}"


def _warn_of_unknown(path: Path, case: Case) -> None:
    known = {target.name for target in TARGETS}
    for unknown in sorted({expect.target for expect in case.expects} - known):
        click.echo(
            f"sockiter: {escaped(path)}: expects a finding of {unknown}, which is not a target here: not compared", err=True
        )


def _json(path: Path, outcome: ReplayResult) -> dict[str, object]:
    return {
        "case": escaped(path),
        "target": outcome.target,
        "reads": [{"delivered": list(read.delivered), "error": read.error} for read in outcome.reads],
        "verdict": [finding_json(finding) for finding in outcome.verdict],
        "as_expected": outcome.as_expected,
    }
