"""The checks of a scheme as assertions, and as a class of tests for pytest.

The plugin imports this module in every run of pytest, wherever sockiter is installed. So it imports nothing until a check
runs, and it works without pytest. Not known here: how a check works, and where pytest gets a scheme from.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sockiter.backend import Session, Target
    from sockiter.cases import Case
    from sockiter.check.result import Scope, SearchResult
    from sockiter.claims import Hazard, KnownFailure
    from sockiter.fuzzing.violations import Violation
    from sockiter.plugins import PluginTarget
    from sockiter.schemes.scheme import AnyScheme
    from sockiter.shrink.minimize import Patience
    from sockiter.verdict import Signature

STATES_MAX = 300_000
"""The states after which a search is given up."""
OPS_WITHOUT_END = 5
"""The operations of the sequences that are searched of a scheme without `canonical`."""
SECONDS_MAX = 120.0
"""The seconds after which a search, or a fuzz, is given up."""
SHRINKING_S = 10.0
"""The seconds that a case is shrunk for."""
# Of the swarm driver, in which a known failure that the search has not shown has to show.
_BITES_MAX = 40


class ClaimBroken(AssertionError):
    """A scheme did what it claims not to do; the message has the case, and the command that replays it."""


class TooSlow(AssertionError):
    """A check of a scheme did not end in time."""


class SchemeTests:
    """The tests of a scheme: a subclass whose name begins with `Test`, with the scheme as its attribute `scheme`.

    Or any subclass, where the fixture `scheme` gives the scheme.
    """

    scheme: AnyScheme

    def test_nothing_new_is_fuzzed(self, scheme: AnyScheme) -> None:
        """Random sequences break no claim."""
        assert_nothing_new_is_fuzzed(scheme)

    def test_claims_are_proved(self, scheme: AnyScheme) -> None:
        """The exhaustive search of a small scope proves every claim."""
        assert_claims_are_proved(scheme)

    def test_known_failures_happen(self, scheme: AnyScheme) -> None:
        """Every declared known failure happens, under just its hazards. Its shortest case is printed: `pytest -rP`."""
        for case in assert_known_failures_happen(scheme).values():
            print(_text(case))

    def test_canonical_form_is_sound(self, scheme: AnyScheme) -> None:
        """The search can be trusted: `sockiter check --verify` finds no wrong merge."""
        assert_canonical_form_is_sound(scheme)


def assert_claims_hold(scheme: AnyScheme, *, examples: int | None = None, scope: Scope | None = None) -> None:
    """All four checks of a scheme, the quick ones first; `examples` and `scope` as in each of them."""
    assert_nothing_new_is_fuzzed(scheme, examples=examples)
    assert_claims_are_proved(scheme, scope=scope)
    assert_known_failures_happen(scheme, scope=scope)
    assert_canonical_form_is_sound(scheme)


def assert_nothing_new_is_fuzzed(scheme: AnyScheme, *, examples: int | None = None) -> None:
    """Run the Hypothesis state machine on a scheme: under all its hazards, under each, and under those of each claim.

    `examples`: in all of these together; those of the current Hypothesis profile by default. Raises `ClaimBroken`.
    """
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    from sockiter.fuzzing.drivers import HYPOTHESIS_STEPS
    from sockiter.fuzzing.machine import machine_for
    from sockiter.fuzzing.triage import Triage
    from sockiter.fuzzing.violations import Violation
    from sockiter.testing.machines import EXAMPLES_MIN, runs

    with _target(scheme) as target, target.session() as session:
        untimed, target.scheme = target.scheme, _Timed(target.scheme, SECONDS_MAX)
        machines = dict(runs(target))
        examples_each = max((examples or settings().max_examples) // len(machines), EXAMPLES_MIN)
        profile = settings(
            max_examples=examples_each,
            stateful_step_count=HYPOTHESIS_STEPS,
            deadline=None,
            # The case is shrunk below, to a shortest one.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            # A busy machine is no fault of the scheme.
            suppress_health_check=[HealthCheck.too_slow],
        )
        for name, hazards in machines.items():
            triage = Triage(target, session)
            try:
                features = target.features if name == "all" else frozenset()
                machine = machine_for(triage, hazards, f"{target.name} {name}", features=features)
                run_state_machine_as_test(machine, settings=profile)
            except Violation as violation:
                target.scheme = untimed
                raise _followed(target, session, violation) from None


def assert_claims_are_proved(scheme: AnyScheme, *, scope: Scope | None = None) -> None:
    """Search every history in a scope, under all hazards and for each claim, as `sockiter check` does.

    `scope`: the default of `sockiter check` unless given. Raises `ClaimBroken` for a violation that no known failure
    explains, and an AssertionError where a search comes to more than `STATES_MAX` states.
    """
    from sockiter.claims import explaining, in_order
    from sockiter.matrix.matrix import claims, used

    with _target(scheme) as target:
        for hazards in (target.hazards, *(column.hazards for column in claims(target))):
            result = _searched(target, hazards, scope)
            for one in result.violations:
                of_case = used(target, one.case)
                if not explaining(target.known_failures, one.signature, of_case):
                    raise _broken(target, one.signature, of_case, one.case, "by the search of every history")
            if not result.complete:
                raise AssertionError(
                    f"{target.name}: the search under {', '.join(in_order(hazards)) or 'no hazard'} did not end within "
                    f"{STATES_MAX:,} states, and proves nothing: `canonical` keeps too much, or the scope is too large"
                )


def assert_known_failures_happen(scheme: AnyScheme, *, scope: Scope | None = None) -> dict[KnownFailure, Case]:
    """Show every known failure that a scheme declares, under just its hazards, and return the cases.

    Raises an AssertionError for those that did not happen, in the exhaustive search of the scope or in random sequences,
    and for those that take fewer hazards than they name.
    """
    from sockiter.fuzzing.suggest import covers, declaration

    cases: dict[KnownFailure, Case] = {}
    wrong = []
    with _target(scheme) as target:
        for failure in target.known_failures:
            if other := next((other for other in target.known_failures if covers(other, failure)), None):
                wrong.append(f"{declaration(failure)} goes without saying: {declaration(other)}")
                continue
            shown, case = _shown(target, failure, scope)
            if case is None:
                wrong.append(f"{declaration(failure)} did not happen")
            elif shown != failure:
                wrong.append(f"{declaration(failure)} takes fewer hazards: {declaration(shown)}")
            else:
                cases[failure] = _commented(target, case, f"{str(failure).capitalize()}, a known failure of {target.name}.")
    if wrong:
        raise AssertionError("\n".join([f"{target.name}: wrong known failures:", *wrong]))
    return cases


def assert_canonical_form_is_sound(scheme: AnyScheme) -> None:
    """Make the comparisons of `sockiter check --verify`; an AssertionError says what is merged wrongly."""
    from sockiter.check.trials import Trial
    from sockiter.check.verify import verify
    from sockiter.cli.verification import report_lines

    with _target(scheme) as target:
        result = verify(target.scheme)
    if not result.agrees:
        raise AssertionError("\n".join(report_lines(Trial(target, result))))


@contextmanager
def _target(scheme: AnyScheme) -> Iterator[PluginTarget]:
    # The scheme as a target, be its package installed or not, with every call of it checked.
    from sockiter.errors import InputError
    from sockiter.guard import stop_clock, text
    from sockiter.plugins import checked

    try:
        target = checked(scheme)
    except InputError as error:
        raise AssertionError(f"{text(scheme)} is no scheme: {error}") from None
    try:
        yield target
    finally:
        stop_clock()


class _Timed:
    # A scheme, whose calls raise `TooSlow` when the time is up. A signal would do too, but belongs to others.

    def __init__(self, scheme: AnyScheme, seconds: float) -> None:
        self._scheme = scheme
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._scheme, name)
        if not callable(member):
            return member

        def timed(*arguments: Any) -> Any:
            if time.monotonic() > self._until:
                name = self._scheme.name
                raise TooSlow(f"{name} did not end within {self._seconds:g} s: it walks for ever, or its states have no end")
            return member(*arguments)

        setattr(self, name, timed)
        return timed


def _searched(
    target: PluginTarget, hazards: frozenset[Hazard], scope: Scope | None, signature: Signature | None = None
) -> SearchResult:
    from dataclasses import replace

    from sockiter.check.monitor import MONITORED
    from sockiter.check.result import SCOPE
    from sockiter.check.search import at_most, search
    from sockiter.matrix.compute import within_reach

    reach = within_reach(target, hazards, scope or SCOPE)
    if scope is None and reach.ops is not None:
        reach = replace(reach, ops=OPS_WITHOUT_END)
    timed = _Timed(target.scheme, SECONDS_MAX)
    signatures = MONITORED if signature is None else [signature]
    return search(timed, hazards, reach, signatures=signatures, progress=at_most(STATES_MAX))


def _shown(target: PluginTarget, failure: KnownFailure, scope: Scope | None) -> tuple[KnownFailure, Case | None]:
    # The known failure that a case shows, which may take fewer hazards; no case where it did not happen.
    from dataclasses import replace
    from itertools import islice

    from sockiter.claims import in_order
    from sockiter.fuzzing.drivers import drive_swarm
    from sockiter.fuzzing.triage import Triage

    # Without `canonical`, random sequences are sooner there.
    if scope is not None or hasattr(target.scheme, "canonical"):
        case = _shortest(target, failure, scope)
        for hazard in in_order(failure.hazards if case else ()):
            fewer = replace(failure, hazards=failure.hazards - {hazard})
            if case_with_fewer := _shortest(target, fewer, scope):
                failure, case = fewer, case_with_fewer
        if case is not None:
            return failure, case
    with target.session() as session:
        triage = Triage(target, session, {failure}, patience=_patience())
        for bite in islice(drive_swarm(triage, failure.hazards, f"{target.name}: {failure}"), _BITES_MAX):
            if bite.found is not None and bite.found.known_failure == failure:
                return failure, bite.found.case
    return failure, None


def _shortest(target: PluginTarget, failure: KnownFailure, scope: Scope | None) -> Case | None:
    violations = _searched(target, failure.hazards, scope, failure.signature).violations
    return violations[0].case if violations else None


def _followed(target: PluginTarget, session: Session, violation: Violation) -> ClaimBroken:
    # With its least case; with that which was drawn, where a scheme that walks for ever leaves no time to shrink it.
    from sockiter.fuzzing.triage import Triage, TriagedFinding

    drawn: list[TriagedFinding | None] = []
    triage = Triage(target, session, patience=_patience(), drawn=drawn.append)
    untimed = target.scheme
    target.scheme = _Timed(untimed, SHRINKING_S + 1)
    with suppress(TooSlow):
        drawn.append(triage.investigate(violation.operations, violation.slots, violation.finding))
    target.scheme = untimed
    found = drawn[-1]
    assert found is not None
    return _broken(target, found.signature, found.hazards, found.case, "by the state machine")


def _patience() -> Patience:
    from sockiter.shrink.minimize import Patience

    until = time.monotonic() + SHRINKING_S
    return Patience(lambda: time.monotonic() >= until)


def _broken(target: Target, signature: Signature, hazards: frozenset[Hazard], case: Case, how: str) -> ClaimBroken:
    from sockiter.claims import KnownFailure
    from sockiter.fuzzing.suggest import declaration

    failure = KnownFailure(signature.kind, hazards, signature.moved, signature.elsewhere)
    case = _commented(target, case, f"{str(failure).capitalize()}, which {target.name} claims not to do.")
    return ClaimBroken(
        f"{target.name}: {failure}, which it claims not to do, found {how}.\n"
        f"A known failure is declared with: {declaration(failure)}\n"
        f"Replay it:\n\nsockiter replay - --target {target.name} <<'END'\n{_text(case)}END"
    )


def _commented(target: Target, case: Case, comment: str) -> Case:
    from dataclasses import replace

    from sockiter.replay import expecting

    with target.session() as session:
        return replace(expecting(case, target, session), comment=(comment,))


def _text(case: Case) -> str:
    from sockiter.cases import dumps

    return dumps(case)
