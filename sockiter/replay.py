"""Replays a case on a target: the result of each read, the verdict, whether the case expects that
verdict, and whether it breaks a claim.

Drivers and the command line share this code. It also writes the `expect` lines that make a verdict expected.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from sockiter.backend import Reason, Session, Target, refusal, run, shape_of
from sockiter.cases import Case, Expect
from sockiter.claims import hazards_of, unexplained
from sockiter.errors import Inconclusive
from sockiter.history import Returned
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Accept, Close, changes
from sockiter.oracle import judge
from sockiter.schemes import SCHEMES
from sockiter.verdict import Verdict

UNNAMED = "the case expects nothing of this target"
IN_PLACE = "on this kernel, the successor of a closed or accepted socket takes its predecessor's place, and not the head"

FORMERLY = {"proc-udp": "rank"}
"""The names of detected schemes in cases of earlier versions. /proc/net/udp walks as `rank`, in a frame of its own."""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of a case on one target. `expected`: the expected findings; empty: the target should pass.

    The lines for the target's own name count first, restricted to its detected scheme. Without such lines, the lines for
    the detected scheme itself count. `claims_broken`: the findings that no known failure of the target explains, expected or
    not.
    """

    target: str
    reads: tuple[Returned, ...]
    verdict: Verdict
    expected: tuple[Expect, ...]
    claims_broken: Verdict = ()

    @property
    def as_expected(self) -> bool:
        """Whether the verdict has exactly the expected findings."""
        found = [(finding.kind, finding.socket) for finding in self.verdict]
        return set(found) == {(expect.kind, expect.socket) for expect in self.expected}


def refused(case: Case, target: Target) -> Reason | None:
    """The reason why this target cannot carry out a case on any machine; None: it can."""
    return refusal(target, case.operations, shape_of(case.operations, slots=case.slots))


def incomparable(case: Case, target: Target) -> str | None:
    """The reason why a result on this target cannot be compared with the expectations of a case, in one line; None: it can.

    The behaviour of an iterator without a known scheme is known only for the kernel where it was recorded. So is that of a
    dump in a case whose `batch` is not the number of sockets in a message, which differs between kernels.
    """
    if target.is_real and case.expects and not _is_exact(case, target) and not is_named(case, target):
        return UNNAMED
    seen_on = {expect.remark for expect in case.expects if _is_of(expect, target)}
    if case.expects and _seen_on(target) not in seen_on and _succeeds_in_place(case, target):
        return IN_PLACE
    if (
        not target.is_real
        or (target.detected_scheme is not None and not _has_other_messages(case, target))
        or not seen_on
        or not seen_on.isdisjoint({"", _seen_on(target)})
    ):
        return None
    return f"the case has expectations only for {', '.join(sorted(seen_on))}"


def replay(case: Case, target: Target, session: Session) -> ReplayResult:
    """Run a case on a target; raises `Unavailable` if the target cannot carry it out."""
    history = run(session, target, case.operations, slots=case.slots)
    expected = tuple(expect for expect in case.expects if _is_of(expect, target)) or _of_its_scheme(case, target)
    verdict = judge(history)
    hazards = hazards_of(case.operations, narrow="rollover" in target.hazards)
    return ReplayResult(
        target.name, tuple(history.reads), verdict, expected, unexplained(target.known_failures, verdict, hazards)
    )


def expecting(case: Case, target: Target, session: Session) -> Case:
    """The case with this target's verdict as its expectations for the target; other targets keep theirs.

    For a kernel's iterator, an expectation holds wherever the same scheme is detected, and its line names this kernel.
    """
    others = tuple(expect for expect in case.expects if not _is_of(expect, target))
    new = [
        Expect(target.name, finding.kind, finding.socket, target.detected_scheme, _seen_on(target))
        for finding in replay(case, target, session).verdict
    ]
    # An equal expectation that was recorded on another kernel stays, if it is comparable here.
    if set(new) == {expect for expect in case.expects if _is_of(expect, target)} and incomparable(case, target) is None:
        return case
    return replace(case, expects=(*others, *new))


def with_expects(case: Case, targets: Iterable[Target]) -> Case:
    """The case `expecting` the verdict of each of these targets, except for targets that cannot carry it out here."""
    for target in targets:
        if target.missing() is None and not refused(case, target):
            with target.session() as session, suppress(Inconclusive):
                case = expecting(case, target, session)
    return case


def _succeeds_in_place(case: Case, target: Target) -> bool:
    # Whether a successor of this case takes another place on this kernel than in the models.
    used = {change for op in case.operations for change in changes(op)}
    return ("close" in target.in_place and any(isinstance(change, Close) for change in used)) or (
        "accept" in target.in_place and any(isinstance(change, Accept) for change in used)
    )


def _is_exact(case: Case, target: Target) -> bool:
    # Whether a target behaves exactly as a scheme in this case, over the same tables.
    is_modelled = any(scheme.name == target.detected_scheme and scheme.tables[0] == target.tables[0] for scheme in SCHEMES)
    return is_modelled and not _has_other_messages(case, target)


def _has_other_messages(case: Case, target: Target) -> bool:
    return isinstance(target, KernelTarget) and target.message_of(case.slots) not in (0, case.slots)


def is_named(case: Case, target: Target) -> bool:
    """Whether the case has a line about this target."""
    return any(expect.target == target.name for expect in case.expects)


def _of_its_scheme(case: Case, target: Target) -> tuple[Expect, ...]:
    # Without lines for a kernel's iterator itself, the lines for its detected scheme.
    if not _is_exact(case, target):
        return ()
    return tuple(expect for expect in case.expects if expect.target == target.detected_scheme and expect.scheme is None)


def _seen_on(target: Target) -> str:
    return f"Linux {platform.release()}" if target.is_real else ""


def _is_of(expect: Expect, target: Target) -> bool:
    schemes = (None, target.detected_scheme, FORMERLY.get(target.detected_scheme or ""))
    return expect.target == target.name and expect.scheme in schemes
