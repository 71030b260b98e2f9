"""The Python interface: cases in and out, replay, search and fuzzing, with results as values.

Import these names from `sockiter`. Nothing here prints, starts a process, or writes a file that was not asked for. The names
are not `replay`, `check` and `targets`, which are modules of the package.

>>> import sockiter
>>> case = sockiter.loads('''
... add A tail
... add B tail
... add C tail
... open
... read 1
... remove A
... read all
... ''')
>>> result = sockiter.replay_case(case, "offset-udp")
>>> [str(finding) for finding in result.verdict]
['skip B']
>>> result.claims_broken
()

A finding that no known failure of the target explains is in `claims_broken`. `offset-udp` does not claim to avoid this skip;
`cookie-udp` does not have it:

>>> sockiter.replay_case(case, "cookie-udp").verdict
()

Decided here: what a caller has to name, and what is filled in. Not known here: the command line.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from sockiter import cases
from sockiter.backend import Target, barred
from sockiter.cases import Case
from sockiter.check.result import SCOPE, Counterexample, Scope, SearchResult
from sockiter.claims import HAZARDS, Hazard, explaining
from sockiter.errors import InputError, Unavailable
from sockiter.schemes.scheme import AnyScheme

if TYPE_CHECKING:
    from sockiter.fuzzing.triage import Triage, TriagedFinding
    from sockiter.replay import ReplayResult

# The modules of searches and of fuzzing are imported by the functions that need them: a script that reads cases starts at
# once.

Subject: TypeAlias = str | Target | AnyScheme
"""What is tested: the name of a target, a target, or a scheme that no package has registered."""

SEQUENCES = 10_000
"""The sequences of `fuzz_target`, unless it is given a number or a time."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of `check_scheme`.

    `searches`: the search under the given hazards, or under all, followed by one for each claim. `claims_broken`: what can
    happen and no known failure explains, each with a shortest case.
    """

    searches: tuple[SearchResult, ...]
    claims_broken: tuple[Counterexample, ...]

    @property
    def violations(self) -> tuple[Counterexample, ...]:
        """What can happen under all the hazards together, the shortest case first."""
        return self.searches[0].violations

    @property
    def proved(self) -> bool:
        """Whether every search covered its scope and no claim was broken: within the scope, that is a proof."""
        return not self.claims_broken and all(search.complete for search in self.searches)


@dataclass(frozen=True, slots=True)
class FuzzResult:
    """The result of `fuzz_target`: the numbers of sequences and operations that were run, and the findings in the order in
    which they were made, each with its least case in `finding.case`.

    `paths`: the files of the cases, in the same order; empty without a directory for them.
    """

    target: str
    hazards: frozenset[Hazard]
    seed: int
    sequences: int
    operations: int
    findings: tuple[TriagedFinding, ...]
    paths: tuple[Path, ...] = ()

    @property
    def claims_broken(self) -> tuple[TriagedFinding, ...]:
        """The findings that no known failure of the target explains."""
        return tuple(finding for finding in self.findings if finding.known_failure is None)


def load(path: str | os.PathLike[str]) -> Case:
    """Read a case from a file; `-` is standard input. Nothing is run.

    Raises `InputError` for a file that cannot be read and for the first thing that is wrong in it, by file and line.
    """
    return cases.load(Path(path))


def loads(text: str, *, file: str = "<case>") -> Case:
    """Read a case from text. Nothing is run. `file` is the name in error messages.

    Raises `InputError` for the first thing that is wrong, by file and line.
    """
    return cases.loads(text, file=file)


def dumps(case: Case) -> str:
    """Write a case as text, so that `loads(dumps(case)) == case`."""
    return cases.dumps(case)


def save(case: Case, directory: str | os.PathLike[str], name: str) -> Path:
    """Save a case as DIRECTORY/NAME-HASH.case and return the path. The directory is made if it does not exist.

    The hash is that of the operations, so that processes in parallel never overwrite another case. A file that exists is
    left as it is. The file appears whole or not at all. Raises `OSError` if it cannot be written.
    """
    return cases.save(case, Path(directory), name)


def list_targets() -> tuple[Target, ...]:
    """All targets: the project's schemes, those of other packages, and the iterators of the running kernel.

    `target.name` is its name, `target.known_failures` what it does not claim to avoid. `target.missing()` is the
    missing prerequisite on this machine, or None; for a kernel's iterator the first call probes the machine.

    >>> "offset-udp" in [target.name for target in list_targets()]
    True
    """
    from sockiter.targets import TARGETS

    return TARGETS


def replay_case(case: Case, target: Subject) -> ReplayResult:
    """Run a case on a target.

    A kernel's iterator is run in a private network namespace, which takes the rights of root; the calling thread is in it
    until the end. Raises `InputError` for an unknown name, `Unavailable` for a target that does not run here, and its
    subclass `Inconclusive` for a case that this target cannot carry out.
    """
    from sockiter.replay import replay

    subject = _running(target)
    with subject.session() as session:
        return replay(case, subject, session)


def check_scheme(
    scheme: str | AnyScheme, *, hazards: Iterable[Hazard] | None = None, scope: Scope | None = None
) -> CheckResult:
    """Search every history of a scheme in a scope, in this process.

    With `hazards`, there is one search under these; otherwise one under all hazards that the scheme supports, and one for
    each of its claims, as in `sockiter check`. `scope`: by default `Scope(sockets=3, buckets=2, batch=2)`, as there.
    The searched scope is smaller if versions roll over, and has short sequences only if the scheme has no `canonical`:
    `scope` of each search says how much. It takes seconds to minutes, and memory in proportion. A KeyboardInterrupt is
    passed on.

    Raises `InputError` for an unknown name or hazard and for a kernel's iterator, `Unavailable` for a scheme that does not
    run here or does not support a hazard, and `TypeError` for one whose states cannot be searched.

    >>> result = check_scheme("index", hazards=["remove", "add-tail"])
    >>> result.proved, result.violations
    (True, ())
    """
    from sockiter.check.search import INTERRUPTED, search
    from sockiter.matrix.compute import within_reach
    from sockiter.matrix.matrix import claims, used
    from sockiter.targets import scheme_of

    target = _running(scheme)
    if (searched := scheme_of(target)) is None:
        raise InputError(f"{target.name} is an iterator of the running kernel, which can be fuzzed, but not searched")
    sets = [_hazards(target, hazards)]
    if hazards is None:
        sets += [column.hazards for column in claims(target)]
    searches = []
    for on in sets:
        searches.append(search(searched, on, within_reach(target, on, scope or SCOPE)))
        if searches[-1].incomplete == INTERRUPTED:
            raise KeyboardInterrupt
    broken = {
        violation.case.operations: violation
        for result in searches
        for violation in result.violations
        if not explaining(target.known_failures, violation.signature, used(target, violation.case))
    }
    return CheckResult(tuple(searches), tuple(broken.values()))


def fuzz_target(
    target: Subject,
    *,
    hazards: Iterable[Hazard] | None = None,
    sequences: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    driver: str = "swarm",
    directory: str | os.PathLike[str] | None = None,
) -> FuzzResult:
    """Run random sequences on a target, in this process, and shrink what is found.

    It ends after so many `sequences` or `seconds`, whichever comes first; after 10,000 sequences if neither is given. Both
    are looked at every few hundred sequences; shrinking goes on for up to two seconds when the time is up. Without
    `seconds`, a scheme gives the same findings for the same seed on every machine. `hazards`: by default all that the target
    supports. `driver`: `swarm`, or `hypothesis`, which is slower. `directory`: where each case is saved as soon as
    it is found, so that a KeyboardInterrupt, which is passed on, loses none.

    Each known failure is found at most once; a broken claim once for each set of hazards. To use several processors, call it
    with other seeds in processes of your own.

    Raises `InputError` for an unknown name or hazard, `Unavailable` for a target that does not run here or does not
    support a hazard, `KeyError` for an unknown driver, and `OSError` if a case cannot be saved.

    >>> result = fuzz_target("offset-udp", hazards=["remove"], sequences=1_000)
    >>> for finding in result.findings:
    ...     print(finding)
    offset-udp: skip under remove
    >>> result.claims_broken
    ()
    """
    from sockiter.fuzzing.campaign import SHRINKING_S
    from sockiter.fuzzing.drivers import DRIVERS
    from sockiter.fuzzing.triage import Triage
    from sockiter.shrink.minimize import Patience

    subject = _running(target)
    on = _hazards(subject, hazards)
    sequences_max = SEQUENCES if sequences is None and seconds is None else math.inf if sequences is None else sequences
    until = math.inf if seconds is None else time.monotonic() + seconds
    findings: list[TriagedFinding] = []
    paths: list[Path] = []
    run = operations = 0
    with subject.session() as session:
        triage = Triage.of(subject, session, on)
        triage.patience = Patience(lambda: time.monotonic() >= until + SHRINKING_S)
        bites = DRIVERS[driver](triage, on, str(seed))
        while run < sequences_max and time.monotonic() < until:
            bite = next(bites)
            run += bite.sequences
            operations += bite.operations
            if bite.found is not None:
                finding = replace(bite.found, case=_annotated(bite.found, triage, driver=driver, seed=seed))
                findings.append(finding)
                if directory is not None:
                    paths.append(save(finding.case, directory, finding.stem))
    return FuzzResult(subject.name, on, seed, run, operations, tuple(findings), tuple(paths))


def _annotated(found: TriagedFinding, triage: Triage, *, driver: str, seed: int) -> Case:
    # The case with its origin, and with what comes of it; of a scheme that only the caller knows, without the origin.
    from sockiter.fuzzing.campaign import annotated
    from sockiter.replay import expecting
    from sockiter.targets import TARGETS

    if triage.target in TARGETS:
        return annotated(found, triage.session, driver=driver, seed=str(seed))
    return expecting(found.case, triage.target, triage.session)


def _hazards(target: Target, hazards: Iterable[Hazard] | None) -> frozenset[Hazard]:
    # Those that were asked for, or all.
    if hazards is None:
        return target.hazards
    asked = frozenset(hazards)
    if unknown := sorted(asked - set(HAZARDS)):
        raise InputError(f"no hazard is named {unknown[0]!r}: expected any of {', '.join(HAZARDS)}")
    if (why := barred(target, asked)) is not None:
        raise Unavailable(why.text)
    return asked


def _running(subject: Subject) -> Target:
    from sockiter.simulation import SchemeTarget
    from sockiter.targets import require_running, target_named

    if isinstance(subject, str):
        target = target_named(subject)
    else:
        is_target = hasattr(subject, "session")
        target = cast(Target, subject) if is_target else SchemeTarget(cast(AnyScheme, subject))
    return require_running(target)
