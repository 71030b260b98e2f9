"""`sockiter replay`: runs cases, and compares the results with their expectations and with the claims of the targets."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from sockiter.backend import Reason, Session, Target
from sockiter.cases import STDIN, Case, Expect, Origin, dumps, files, loads, origin
from sockiter.cli.ktap import KtapTest, ktap_option, outcome_of, print_ktap
from sockiter.cli.names import literal, target_option
from sockiter.cli.output import finding_json, print_json, write
from sockiter.cli.replay_summary import Tally
from sockiter.cli.subject import drop_unneeded_rights, matching
from sockiter.errors import Inconclusive, InputError, Unavailable
from sockiter.files import escaped
from sockiter.replay import UNNAMED, ReplayResult, incomparable, is_named, refused, with_expects
from sockiter.replay import replay as replay_case
from sockiter.targets import PLUGIN_TARGETS, SCHEME_TARGETS, TARGETS, load_known
from sockiter.verdict import describe


@click.command()
@click.argument("cases", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CASE...")
@target_option("Only this target; may be repeated, and a pattern; default: all schemes and iterators that run here.")
@click.option("-q", "--quiet", is_flag=True, help="Print only results that are not as expected, and the summary.")
@click.option("-x", "--exitfirst", "stops", is_flag=True, help="Stop at the first result that is not as expected.")
@click.option("--record", is_flag=True, help="Write the results into the case, in place of its `expect` lines.")
@click.option("--json", "as_json", is_flag=True, is_eager=True, help="One JSON document on standard output.")
@ktap_option
def replay(
    cases: tuple[Path, ...],
    *,
    names: tuple[str, ...],
    quiet: bool,
    stops: bool,
    record: bool,
    as_json: bool,
    as_ktap: bool,
) -> None:
    """Run cases, and compare the results with the expectations and with the claims of the targets.

    A CASE is a file, a directory of files, or - for standard input. A finding that no known failure of the target explains
    is "CLAIM BROKEN", even if the case expects it. A case without `expect` lines is a question: its results are compared
    with the claims alone.

    A case that a target cannot run is left out, with the reason. Without --target, also left out are targets that do not
    run here, and schemes of other packages that the case does not name. Without --target, --record records only the
    project's own schemes.
    """
    loaded, targets = _plan(cases, names, is_recorded=record)
    drop_unneeded_rights(targets)
    if record:
        loaded = [(path, _recorded(path, case, targets)) for path, case in loaded]
    replay_run = _ReplayRun(len(loaded), targets, is_alone=bool(names), is_silent=as_json or as_ktap, is_quiet=quiet)
    interrupted = None
    with _sessions(targets) as sessions:
        try:
            _replay_all(replay_run, loaded, sessions, stops=stops)
        except KeyboardInterrupt as error:
            interrupted = error
    if not replay_run.outcomes and interrupted is None:
        raise replay_run.why_empty()
    if as_json:
        print_json([_json(one) for one in replay_run.order if isinstance(one, _Outcome)])
    if as_ktap:
        print_ktap(_ktap(replay_run.order))
    replay_run.report(has_summary=not (as_json or as_ktap) and (quiet or len(loaded) > 1))
    if interrupted is not None:
        raise interrupted
    if status := replay_run.status:
        sys.exit(status)


def _plan(
    cases: tuple[Path, ...], names: tuple[str, ...], *, is_recorded: bool
) -> tuple[list[tuple[Path, Case]], Sequence[Target]]:
    # The cases of the files, and the targets that run them.
    if is_recorded and Path(STDIN) in cases:
        raise InputError(f"{STDIN}: standard input cannot be recorded into: expected files or directories")
    loaded = [(path, load_known(path)) for path in files(cases)]
    if not loaded:
        raise InputError(f"{', '.join(map(escaped, cases))}: no case found: expected files that end in .case")
    targets = _choose(names, loaded[0][0])
    return loaded, SCHEME_TARGETS if is_recorded and not names else targets


@contextmanager
def _sessions(targets: Sequence[Target]) -> Iterator[list[tuple[Target, Session | Reason]]]:
    # A session of each target, or the reason why it does not run here.
    with ExitStack() as stack:
        sessions: list[tuple[Target, Session | Reason]] = []
        for target in targets:
            why = target.missing()
            sessions.append((target, stack.enter_context(target.session()) if why is None else Reason("missing", why)))
        yield sessions


def _replay_all(
    replay_run: _ReplayRun,
    loaded: Sequence[tuple[Path, Case]],
    sessions: Sequence[tuple[Target, Session | Reason]],
    *,
    stops: bool,
) -> None:
    for path, case in loaded:
        replay_run.begin(path)
        _warn_of_unknown(path, case)
        for target, session in sessions:
            replay_run.replay_on(path, case, target, session)
            if stops and replay_run.tally.wrong:
                return


@dataclass(frozen=True, slots=True)
class _Outcome:
    # A case on one target. `unsaid`: the reason why the case expects nothing of this target; "" if it does, None for a case
    # that expects nothing of any target.

    path: Path
    result: ReplayResult
    unsaid: str | None
    origin: Origin

    @property
    def is_compared(self) -> bool:
        return self.unsaid == ""

    @property
    def as_expected(self) -> bool:
        return not self.is_compared or self.result.as_expected

    @property
    def is_fine(self) -> bool:
        return self.as_expected and not self.result.claims_broken


@dataclass(frozen=True, slots=True)
class _NotRun:
    path: Path
    target: str
    reason: Reason

    def __str__(self) -> str:
        if self.reason.kind == "failed":
            return self.reason.text
        here = " here" if self.reason.kind == "inconclusive" else ""
        return f"{escaped(self.path)}: {self.target} cannot run it{here}: {self.reason.text}"


class _NothingRan(Unavailable):
    # No case could be run on any target.

    def __init__(self, message: str, not_run: Sequence[_NotRun]) -> None:
        super().__init__(message)
        self.details = {"not_run": [_not_run_json(one) for one in not_run]}


class _ReplayRun:
    # The outcomes so far. `is_alone`: on the requested targets only. `is_silent`: they are printed as a document.
    # `is_quiet`: only results that are not as expected are printed, below the name of their case.

    def __init__(
        self, case_count: int, targets: Sequence[Target], *, is_alone: bool, is_silent: bool, is_quiet: bool
    ) -> None:
        self.order: list[_Outcome | _NotRun] = []
        self.tally = Tally(case_count, len(targets))
        self._width = max(len(target.name) for target in targets)
        self._is_alone = is_alone
        self._is_silent = is_silent
        self._is_quiet = is_quiet
        self._title = ""

    @property
    def outcomes(self) -> list[_Outcome]:
        return [one for one in self.order if isinstance(one, _Outcome)]

    @property
    def failures(self) -> list[_NotRun]:
        return [one for one in self._not_run if one.reason.kind == "failed"]

    @property
    def _not_run(self) -> list[_NotRun]:
        return [one for one in self.order if isinstance(one, _NotRun)]

    def begin(self, path: Path) -> None:
        """Begin the next case."""
        self.tally.begun += 1
        self._title = escaped(path)
        if not self._is_quiet:
            self._print_title()

    def replay_on(self, path: Path, case: Case, target: Target, session: Session | Reason) -> None:
        if isinstance(session, Reason):
            self._leave_out(path, target, session)
        elif (why := refused(case, target)) is not None:
            self._leave_out(path, target, why)
        elif (unsaid := _unsaid(case, target)) and not self._is_alone:
            self._leave_out(path, target, Reason("expectation", unsaid))
        else:
            try:
                result = replay_case(case, target, session)
            except Inconclusive as error:
                self._leave_out(path, target, Reason("inconclusive", str(error)))
            except Unavailable as failure:
                self.order.append(_NotRun(path, target.name, Reason("failed", str(failure))))
                self.tally.failed += 1
                self._echo(target, f"failed: {failure}", is_fine=False)
            else:
                outcome = _Outcome(path, result, unsaid if case.expects else None, origin(case))
                self.order.append(outcome)
                self.tally.count(
                    is_compared=outcome.is_compared, is_broken=bool(result.claims_broken), is_fine=outcome.is_fine
                )
                self._echo(target, _in_words(outcome), is_fine=outcome.is_fine)

    @property
    def status(self) -> int:
        """The exit status of the command."""
        if not all(outcome.is_fine for outcome in self.outcomes):
            return 1
        return Unavailable.status if self.failures else 0

    def why_empty(self) -> Unavailable:
        """The error of a run without an outcome. Several reasons are printed here, one a line."""
        reasons = sorted(self._not_run, key=lambda one: one.reason.kind != "failed")
        if len(reasons) == 1:
            return _NothingRan(str(reasons[0]), reasons)
        for reason in reasons:
            click.echo(f"sockiter: {reason}", err=True)
        return _NothingRan("no case could be run", self._not_run)

    def report(self, *, has_summary: bool) -> None:
        """Report the cases that were left out of a document, or the summary of a list."""
        if has_summary:
            for line in self.tally.lines():
                click.echo(line)
        for failure in self.failures:
            click.echo(f"sockiter: {failure}", err=True)
        if self._is_alone and self._is_silent:
            for left_out in [one for one in self._not_run if one.reason.kind != "failed"]:
                click.echo(f"sockiter: {left_out}", err=True)

    def _leave_out(self, path: Path, target: Target, reason: Reason) -> None:
        self.order.append(_NotRun(path, target.name, reason))
        self.tally.leave_out(target.name, reason)
        self._echo(target, f"not run: {reason.text}", is_fine=True)

    def _print_title(self) -> None:
        if not self._is_silent:
            click.echo(self._title)
        self._title = ""

    def _echo(self, target: Target, message: str, *, is_fine: bool) -> None:
        if self._is_silent or (self._is_quiet and is_fine):
            return
        if self._title:
            self._print_title()
        click.echo(f"  {target.name:<{self._width}}  {message}")


def _choose(names: tuple[str, ...], first: Path) -> Sequence[Target]:
    # Targets of patterns that do not run here are left out, as without a choice.
    chosen = matching(names)
    for target in chosen:
        if target.name in literal(names) and (missing := target.missing()) is not None:
            not_run = _NotRun(first, target.name, Reason("missing", missing))
            raise _NothingRan(str(not_run), [not_run])
    return chosen


def _recorded(path: Path, case: Case, targets: Sequence[Target]) -> Case:
    recorded = with_expects(case, targets)
    if recorded != case:
        text = dumps(recorded)
        loads(text, file=escaped(path))  # the results of a large case may exceed the limits of a case
        write(path, text)
    return recorded


def _unsaid(case: Case, target: Target) -> str:
    # Why a case says nothing of a target; "": it says something, or is a question to every target.
    if target in PLUGIN_TARGETS:
        return "" if is_named(case, target) else UNNAMED
    return incomparable(case, target) or ""


def _in_words(outcome: _Outcome) -> str:
    result = outcome.result
    words = describe(result.verdict)
    if result.claims_broken:
        words += ", CLAIM BROKEN"
        if result.claims_broken != result.verdict:
            words += f" by {describe(result.claims_broken)}"
        if any(outcome.origin):
            words += f" (found with {outcome.origin})"
    elif not outcome.is_compared and any(finding.kind != "incomplete" for finding in result.verdict):
        words += ", a known failure"
    if outcome.unsaid:
        words += f"; not compared: {outcome.unsaid}"
    if not outcome.as_expected:
        words += f", NOT AS EXPECTED: {', '.join(_spell(expect) for expect in result.expected) or 'ok'}"
    elif outcome.is_compared and not result.claims_broken:
        words += ", as expected"
    return words


def _spell(expect: Expect) -> str:
    return expect.kind if expect.socket is None else f"{expect.kind} {expect.socket}"


def _warn_of_unknown(path: Path, case: Case) -> None:
    known = {target.name for target in TARGETS}
    for unknown in sorted({expect.target for expect in case.expects} - known):
        click.echo(
            f"sockiter: {escaped(path)}: expects a finding of {unknown}, which is not a target here: not compared", err=True
        )


def _not_run_json(one: _NotRun) -> dict[str, object]:
    return {
        "case": escaped(one.path),
        "target": one.target,
        "kind": one.reason.kind,
        "reason": one.reason.text,
        "hazards": list(one.reason.hazards),
    }


def _json(one: _Outcome) -> dict[str, object]:
    result = one.result
    return {
        "case": escaped(one.path),
        "target": result.target,
        "reads": [{"delivered": list(read.delivered), "error": read.error} for read in result.reads],
        "verdict": [finding_json(finding) for finding in result.verdict],
        "as_expected": one.as_expected,
        "compared": one.is_compared,
        "claims_broken": [finding_json(finding) for finding in result.claims_broken],
        "seed": one.origin.seed or None,
        "found_on_linux": one.origin.kernel or None,
    }


def _ktap(order: Sequence[_Outcome | _NotRun]) -> list[KtapTest]:
    # A test for each case, with one for each target in it.
    cases: dict[str, list[KtapTest]] = {}
    for one in order:
        cases.setdefault(escaped(one.path), []).append(_ktap_part(one))
    return [KtapTest(path, outcome_of(parts), parts=parts) for path, parts in cases.items()]


def _ktap_part(one: _Outcome | _NotRun) -> KtapTest:
    if isinstance(one, _NotRun):
        return KtapTest(one.target, "error" if one.reason.kind == "failed" else "skip", one.reason.text)
    # Behind the hash sign, "skip" alone would be a directive.
    return KtapTest(one.result.target, "ok" if one.is_fine else "not ok", f"verdict: {_in_words(one)}")
