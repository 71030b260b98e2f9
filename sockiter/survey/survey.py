"""The survey of a running kernel: the schemes of its iterators, replayed cases, random sequences, and comparisons.

`survey` does the work, in the process that calls it, and returns a `Survey`; `document` and `survey_of` turn a survey into
JSON data and back. `table.changes` compares two. To survey another kernel, run `sockiter kernels running` in a guest: the
file of its `--resume` has the document, also after a crash.

    plan = Plan(kernel="running", targets=KERNEL_TARGETS, corpus=corpus_in(folder), seconds=2, seed=1, found=Path("found"))
    result = survey(plan)
    result.is_good, [(one.target, one.scheme) for one in result.targets]

Each step is reported to `keep` with the survey so far, and each finding is saved in `found` before it is shrunk: what ends
this process, or the kernel, loses neither. A step that fails is a `trouble` of its target, and the others go on.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sockiter.cases import Case, dumps, files, load, save
from sockiter.claims import Hazard, KnownFailure, hazards_of, in_order
from sockiter.conform import ConformanceTrial
from sockiter.errors import Inconclusive, SockiterError
from sockiter.fuzzing.campaign import annotated
from sockiter.fuzzing.drivers import DRIVERS, FASTEST
from sockiter.fuzzing.triage import Triage, TriagedFinding
from sockiter.kernel.target import KernelTarget
from sockiter.replay import incomparable, refused, replay
from sockiter.shrink.minimize import Patience
from sockiter.targets import SCHEME_TARGETS, scheme_of
from sockiter.verdict import Kind

RUNNING = "running"
"""The name of the running kernel among kernels."""
_SEQUENCES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of a survey: `kernel` is the name of the kernel in its document, `corpus` the cases by their names.

    `seconds`: the time of fuzzing and of the comparison, for each target and each of the two, from its first sequence on; 0
    leaves both out. `replay_s`: the time of the replay on each target, after which further cases are left out. `found`: the
    directory of new cases.
    """

    kernel: str
    targets: Sequence[KernelTarget]
    corpus: Mapping[str, Case]
    seconds: float
    seed: int
    found: Path
    replay_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Failure:
    """A known failure of a target on a kernel, and the name of a case that shows it there; "" where none was seen."""

    kind: Kind
    moved: bool
    elsewhere: bool
    hazards: tuple[Hazard, ...]
    case: str = ""

    def __str__(self) -> str:
        return str(self.known)

    @property
    def known(self) -> KnownFailure:
        return KnownFailure(self.kind, frozenset(self.hazards), self.moved, self.elsewhere)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A case on a target: its findings in words, and whether they are expected; None: the case expects nothing here."""

    case: str
    findings: tuple[str, ...]
    as_expected: bool | None


@dataclass(frozen=True, slots=True)
class News:
    """A result that is not known to happen on this kernel: found `by` replay, fuzz or conform, in words, with its case."""

    by: str
    text: str
    case: str


@dataclass(frozen=True, slots=True)
class Amount:
    """The sequences and operations of fuzzing, or of a comparison; `left_out`: sequences that the kernel cannot run."""

    sequences: int = 0
    operations: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class TargetSurvey:
    """One iterator on a kernel. `missing`: the prerequisite without which it does not run there, and nothing else is known.

    `scheme`: the detected scheme; None where no known scheme matches. `not_run`: the number of cases that this target cannot
    run; `left_out`: of those for which there was no time. `fuzzed` and `conformed` are None where that was not done.
    `trouble`: the reason why a step failed.
    """

    target: str
    missing: str | None = None
    scheme: str | None = None
    in_place: tuple[Hazard, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    failures: tuple[Failure, ...] = ()
    replayed: tuple[Replayed, ...] = ()
    not_run: int = 0
    left_out: int = 0
    fuzzed: Amount | None = None
    conformed: Amount | None = None
    news: tuple[News, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found out about a kernel. `release` and `build` are those of uname; `cases`: the text of each named case.

    `is_complete`: all steps were carried out. `trouble`: the reason why there is no more, as a guest that did not boot.
    """

    kernel: str
    release: str = ""
    build: str = ""
    seconds: float = 0.0
    seed: int = 0
    took_s: float = 0.0
    is_complete: bool = False
    trouble: str = ""
    targets: tuple[TargetSurvey, ...] = ()
    cases: Mapping[str, str] = field(default_factory=dict)

    @property
    def news(self) -> tuple[News, ...]:
        """All results that are not known to happen on this kernel."""
        return tuple(news for one in self.targets for news in one.news)

    @property
    def is_good(self) -> bool:
        """Whether the survey is complete, without trouble and without news."""
        troubles = [self.trouble, *(one.trouble for one in self.targets)]
        return self.is_complete and not any(troubles) and not self.news


def corpus_in(folder: Path) -> dict[str, Case]:
    """The cases of a directory by the names of their files; raises `InputError` for a file that is no case."""
    return {path.name: load(path) for path in files([folder])}


def survey(
    plan: Plan, keep: Callable[[Survey], None] = lambda survey: None, note: Callable[[str], None] = lambda step: None
) -> Survey:
    """Carry out a plan on the running kernel; `keep` gets the survey after each step, and `note` a line about it.

    The schemes of all targets are detected first, then the corpus is replayed on each, then each is fuzzed and compared.
    Raises nothing for a target that fails. A KeyboardInterrupt is passed on, after the last `keep`.
    """
    started = time.monotonic()
    uname = platform.uname()
    so_far = Survey(plan.kernel, uname.release, uname.version, plan.seconds, plan.seed)
    by_name: dict[str, TargetSurvey] = {}
    cases: dict[str, str] = {}

    def carry_out(step: Step) -> None:
        nonlocal so_far
        for target in plan.targets:
            known = by_name.get(target.name, TargetSurvey(target.name))
            if known.missing is None and not known.trouble:
                try:
                    by_name[target.name], text = step(plan, target, known, cases)
                except SockiterError as error:
                    by_name[target.name], text = replace(known, trouble=str(error)), f"failed: {error}"
                except _Interrupted as interrupt:
                    by_name[target.name] = interrupt.known
                    keep(with_targets())
                    raise KeyboardInterrupt from None
                so_far = with_targets()
                keep(so_far)
                note(f"{target.name}: {text}")

    def with_targets() -> Survey:
        took_s = round(time.monotonic() - started, 1)
        return replace(so_far, took_s=took_s, targets=tuple(by_name.values()), cases=dict(cases))

    for step in (_detect, _replay, *((_fuzz, _conform) if plan.seconds else ())):
        carry_out(step)
    reasons = [one.missing for one in so_far.targets if one.missing is not None]
    trouble = f"no target runs there: {reasons[0]}" if reasons and len(reasons) == len(so_far.targets) else ""
    so_far = replace(so_far, is_complete=True, trouble=trouble)
    keep(so_far)
    return so_far


def merged(before: Survey, more: Survey) -> Survey:
    """A complete survey of some targets, with the targets of another survey of the same kernel, which count more."""
    new = {one.target for one in more.targets}
    targets = (*(one for one in before.targets if one.target not in new), *more.targets)
    return replace(more, targets=targets, took_s=round(before.took_s + more.took_s, 1), cases={**before.cases, **more.cases})


def document(survey: Survey) -> dict[str, Any]:
    """A survey as JSON data."""
    return asdict(survey)


def survey_of(data: Mapping[str, Any]) -> Survey:
    """The survey of JSON data that `document` returned; fields of later versions are left out.

    Raises `KeyError`, `TypeError` or `ValueError` for other data.
    """
    targets = tuple(map(_target_of, data["targets"]))
    survey: Survey = _made(Survey, {**data, "targets": targets, "cases": dict(data["cases"])})
    return survey


class _Interrupted(Exception):
    # An interrupt of a step, with what is known of its target.

    def __init__(self, known: TargetSurvey) -> None:
        super().__init__()
        self.known = known


# A step gets the plan, a target, what is known of it, and the texts of the cases, to which it adds. It returns what is known
# of the target then, and a line about the step.
Step = Callable[[Plan, KernelTarget, TargetSurvey, dict[str, str]], tuple[TargetSurvey, str]]


def _detect(plan: Plan, target: KernelTarget, known: TargetSurvey, cases: dict[str, str]) -> tuple[TargetSurvey, str]:
    if (missing := target.missing()) is not None:
        return replace(known, missing=missing), f"does not run here: {missing}"
    failures = tuple(
        Failure(failure.kind, failure.moved, failure.elsewhere, tuple(in_order(failure.hazards)))
        for failure in target.known_failures
    )
    detected = replace(
        known,
        scheme=target.detected_scheme,
        in_place=tuple(in_order(target.in_place)),
        hazards=tuple(in_order(target.hazards)),
        failures=failures,
    )
    return detected, f"walks by {target.detected_scheme or 'no known scheme'}"


def _replay(plan: Plan, target: KernelTarget, known: TargetSurvey, cases: dict[str, str]) -> tuple[TargetSurvey, str]:
    replayed: list[Replayed] = []
    news: list[News] = []
    not_run = left_out = 0
    with target.session() as session:
        until = time.monotonic() + plan.replay_s
        for name, case in plan.corpus.items():
            if refused(case, target) is not None:
                not_run += 1
                continue
            if time.monotonic() >= until:
                left_out += 1
                continue
            try:
                result = replay(case, target, session)
            except Inconclusive:
                not_run += 1
                continue
            findings = tuple(str(finding) for finding in result.verdict)
            is_compared = bool(case.expects) and incomparable(case, target) is None
            replayed.append(Replayed(name, findings, result.as_expected if is_compared else None))
            if broken := [str(finding) for finding in result.claims_broken]:
                news.append(News("replay", f"{', '.join(broken)} breaks a claim", name))
            elif is_compared and not result.as_expected:
                wanted = ", ".join(f"{expect.kind} {expect.socket or ''}".strip() for expect in result.expected)
                news.append(News("replay", f"{', '.join(findings) or 'ok'}, not {wanted or 'ok'}", name))
            if news and news[-1].case == name:
                cases[name] = dumps(case)
            hazards = hazards_of(case.operations)
            for finding in result.verdict:
                known = _shown(
                    known, KnownFailure(finding.kind, hazards, finding.moved, finding.elsewhere), name, case, cases
                )
    known = replace(known, replayed=tuple(replayed), not_run=not_run, left_out=left_out, news=(*known.news, *news))
    text = f"{len(replayed)} cases replayed, {sum(bool(one.findings) for one in replayed)} with findings"
    text += f", {len(news)} not as expected" if news else ""
    return known, text + (f", {left_out} left out for want of time" if left_out else "")


def _fuzz(plan: Plan, target: KernelTarget, known: TargetSurvey, cases: dict[str, str]) -> tuple[TargetSurvey, str]:
    sequences = operations = 0
    news: list[News] = []
    drawn: list[Path] = []

    def keep_drawn(found: TriagedFinding) -> None:
        # Until it is shrunk, and if it never is.
        drawn.append(save(found.case, plan.found, f"{found.stem}-drawn"))

    seed = f"{plan.seed}/{target.name}/{FASTEST}"
    try:
        with target.session() as session:
            until = time.monotonic() + plan.seconds
            triage = Triage.of(target, session, target.hazards)
            # Those that a case has shown are not worth the time of shrinking another one.
            triage.pending -= {failure.known for failure in known.failures if failure.case}
            # In emulation, shrinking takes as long as finding.
            triage.patience = Patience(lambda: time.monotonic() >= until + plan.seconds)
            triage.drawn = keep_drawn
            for bite in DRIVERS[FASTEST](triage, target.hazards, seed):
                sequences += bite.sequences
                operations += bite.operations
                if (found := bite.found) is not None:
                    case = annotated(found, session, driver=FASTEST, seed=seed)
                    path = save(case, plan.found, found.stem)
                    if found.known_failure is None:
                        cases[path.name] = dumps(case)
                        news.append(News("fuzz", str(found), path.name))
                    else:
                        known = _shown(known, found.known_failure, path.name, case, cases)
                for before in drawn:
                    before.unlink(missing_ok=True)
                drawn.clear()
                if time.monotonic() >= until or triage.patience.ended:
                    break
    except OSError as error:
        return replace(known, trouble=f"{plan.found}: {error.strerror}"), "a case could not be saved"
    known = replace(known, fuzzed=Amount(sequences, operations), news=(*known.news, *news))
    return known, f"{sequences:,} sequences fuzzed{f', {len(news)} CLAIMS BROKEN' if news else ''}"


def _conform(plan: Plan, target: KernelTarget, known: TargetSurvey, cases: dict[str, str]) -> tuple[TargetSurvey, str]:
    scheme = next((scheme_of(model) for model in SCHEME_TARGETS if model.name == known.scheme), None)
    if scheme is None:
        return known, "not compared: no known scheme matches"
    trial = ConformanceTrial(target, scheme, seed=f"{plan.seed}/conform", hazards=target.hazards, cases=plan.found)
    trial.run(_SEQUENCES_MAX, plan.seconds)
    counts, kept = trial.counts, trial.kept
    news: tuple[News, ...] = ()
    if kept is not None:
        name = kept.path.name if kept.path else f"{target.name}-difference"
        cases[name] = dumps(kept.case)
        news = (News("conform", f"{target.name} and {scheme.name} differ at read {kept.difference.at}", name),)
    known = replace(
        known,
        conformed=Amount(counts.sequences, counts.operations, counts.left_out),
        news=(*known.news, *news),
        trouble=kept.trouble if kept else "",
    )
    if trial.interrupted:
        raise _Interrupted(known)
    return known, f"{counts.sequences:,} sequences compared with {scheme.name}{', A DIFFERENCE' if news else ''}"


def _shown(known: TargetSurvey, failure: KnownFailure, name: str, case: Case, cases: dict[str, str]) -> TargetSurvey:
    # With the case for that known failure, unless there is one.
    failures = list(known.failures)
    for nth, one in enumerate(failures):
        if one.known == failure and not one.case:
            failures[nth] = replace(one, case=name)
            cases[name] = dumps(case)
    return replace(known, failures=tuple(failures))


def _target_of(data: Mapping[str, Any]) -> TargetSurvey:
    made: dict[str, Any] = {
        **data,
        "in_place": tuple(data["in_place"]),
        "hazards": tuple(data["hazards"]),
        "failures": tuple(_made(Failure, {**one, "hazards": tuple(one["hazards"])}) for one in data["failures"]),
        "replayed": tuple(_made(Replayed, {**one, "findings": tuple(one["findings"])}) for one in data["replayed"]),
        "news": tuple(_made(News, one) for one in data["news"]),
    }
    for key in ("fuzzed", "conformed"):
        made[key] = None if data[key] is None else _made(Amount, data[key])
    target: TargetSurvey = _made(TargetSurvey, made)
    return target


def _made(cls: type[Any], data: Mapping[str, Any]) -> Any:
    names: Iterable[str] = cls.__dataclass_fields__
    return cls(**{name: data[name] for name in names if name in data})
