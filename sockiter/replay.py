"""A case on a target: what each read returned, the verdict, whether that was expected, and whether it breaks a claim.

Decided here: what "as expected" means, and which lines a case gets so that it is. Both drivers and the command line use it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from sockiter.backend import Session, Target, refusal, run, shape_of
from sockiter.cases import Case, Expect
from sockiter.claims import hazards_of, unexplained
from sockiter.errors import Inconclusive
from sockiter.history import Returned
from sockiter.oracle import judge
from sockiter.schemes import SCHEMES
from sockiter.verdict import Verdict

UNNAMED = "the case says nothing of it"


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What came of a case on one target. `expected` is what the case says of it, and, if it is a kernel's, for the scheme
    that it walks by, or of that scheme, where it says nothing of the iterator; none for fine. `claims_broken`: the findings
    that no known failure of the target explains, whether the case expects them or not."""

    target: str
    reads: tuple[Returned, ...]
    verdict: Verdict
    expected: tuple[Expect, ...]
    claims_broken: Verdict = ()

    @property
    def as_expected(self) -> bool:
        """Whether the verdict holds what the case expects, all of it and nothing else."""
        came = [(finding.kind, finding.socket) for finding in self.verdict]
        return set(came) == {(expect.kind, expect.socket) for expect in self.expected}


def refused(case: Case, target: Target) -> str | None:
    """Why this target cannot carry out a case on any machine, in one line; None: it can."""
    return refusal(target, case.operations, shape_of(case.operations, slots=case.slots))


def incomparable(case: Case, target: Target) -> str | None:
    """Why what comes of a case here cannot be compared with what it says, in one line; None: it can.

    What an iterator does that walks by no known scheme is known of the kernel alone that it was seen on: how many sockets
    there are in a message of a dump, for one.
    """
    if target.is_real and case.expects and not _has_scheme(target) and not _is_named(case, target):
        return UNNAMED
    seen_on = {expect.remark for expect in case.expects if _is_of(expect, target)}
    if (
        not target.is_real
        or target.detected_scheme is not None
        or not seen_on
        or not seen_on.isdisjoint({"", _seen_on(target)})
    ):
        return None
    return f"the case says what comes of it on {', '.join(sorted(seen_on))}"


def replay(case: Case, target: Target, session: Session) -> ReplayResult:
    """Run a case on a target; raises `Unavailable` where the target cannot carry it out."""
    history = run(session, target, case.operations, slots=case.slots)
    expected = tuple(expect for expect in case.expects if _is_of(expect, target)) or _of_its_scheme(case, target)
    verdict = judge(history)
    hazards = hazards_of(case.operations, narrow="rollover" in target.hazards)
    return ReplayResult(
        target.name, tuple(history.reads), verdict, expected, unexplained(target.known_failures, verdict, hazards)
    )


def expecting(case: Case, target: Target, session: Session) -> Case:
    """The case with what this target makes of it as what is expected of it; what is expected of others stays.

    Of a kernel's iterator it is expected wherever it walks by the same scheme, and the line says which kernel it was.
    """
    others = tuple(expect for expect in case.expects if not _is_of(expect, target))
    new = [
        Expect(target.name, finding.kind, finding.socket, target.detected_scheme, _seen_on(target))
        for finding in replay(case, target, session).verdict
    ]
    # As it is, where it says so already, whichever kernel it was then, if that does not matter.
    if set(new) == {expect for expect in case.expects if _is_of(expect, target)} and incomparable(case, target) is None:
        return case
    return replace(case, expects=(*others, *new))


def with_expects(case: Case, targets: Iterable[Target]) -> Case:
    """The case `expecting` what it gets of each of these targets, but of those that cannot carry it out, or not here."""
    for target in targets:
        if target.missing() is None and not refused(case, target):
            with target.session() as session, suppress(Inconclusive):
                case = expecting(case, target, session)
    return case


def _has_scheme(target: Target) -> bool:
    # Whether a target does just what a scheme does, over the same tables.
    return any(scheme.name == target.detected_scheme and scheme.tables[0] == target.tables[0] for scheme in SCHEMES)


def _is_named(case: Case, target: Target) -> bool:
    return any(expect.target == target.name for expect in case.expects)


def _of_its_scheme(case: Case, target: Target) -> tuple[Expect, ...]:
    # Of a kernel's iterator that no line is about, the lines about the scheme that it walks by.
    if not _has_scheme(target):
        return ()
    return tuple(expect for expect in case.expects if expect.target == target.detected_scheme and expect.scheme is None)


def _seen_on(target: Target) -> str:
    return f"Linux {platform.release()}" if target.is_real else ""


def _is_of(expect: Expect, target: Target) -> bool:
    return expect.target == target.name and expect.scheme in (None, target.detected_scheme)
