"""The selection of targets for a case or a command.

The module decides the default targets. A named target must run here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from sockiter import rights
from sockiter.backend import Target, barred
from sockiter.cases import Case
from sockiter.claims import Hazard
from sockiter.cli.names import expanded, literal
from sockiter.cli.output import note
from sockiter.errors import InputError, Unavailable
from sockiter.files import escaped
from sockiter.kernel.target import KernelTarget
from sockiter.replay import refused
from sockiter.targets import SCHEME_TARGETS, TARGETS, about, model_of, require_running, target_named

LONG = 200
"""Operations of a case from which on a page shows a single target: a page with ten would have 20 MB."""


def choose_target(case: Case, case_file: Path) -> Target:
    """The target that the case is about, or else the first target here that the case expects to fail, or else the first
    scheme.

    A scheme replaces a kernel's iterator that does not run here, with a note.
    """
    if (subject := about(case, case_file)) is not None:
        if (missing := subject.missing()) is None:
            return subject
        model = model_of(case, subject) or _first_failing(case)
        note(f"{subject.name} does not run here: {missing}; {model.name} stands in for it")
        return model
    return _first_failing(case)


def _first_failing(case: Case) -> Target:
    failing = {expect.target for expect in case.expects}
    for target in TARGETS:
        if target.name in failing and target.missing() is None:
            return target
    return SCHEME_TARGETS[0]


def kernel_target(name: str, iterators: Iterable[KernelTarget]) -> KernelTarget:
    """The iterator of the kernel with this name; raises `InputError` for another target, and for an unknown name."""
    by_name = {target.name: target for target in iterators}
    if name not in by_name:
        target_named(name)
        raise InputError(f"{name} is no kernel's iterator: expected one of {', '.join(by_name)}")
    return by_name[name]


def others_named(case: Case, target: Target) -> tuple[list[Target], list[tuple[str, str]]]:
    """The other targets in the `expect` lines: those that can run the case here, and the rest with the reason."""
    names = {expect.target for expect in case.expects}
    others: list[Target] = []
    absent: list[tuple[str, str]] = []
    for other in TARGETS:
        if other.name in names and other.name != target.name:
            why = other.missing()
            if why is None and (reason := refused(case, other)) is not None:
                why = reason.text
            if why is None and len(case.operations) > LONG:
                why = f"a case of more than {LONG} operations is shown on one target"
            if why is None:
                others.append(other)
            else:
                absent.append((other.name, why))
    return others, absent


def choose_targets_of(case: Case, names: tuple[str, ...], case_file: Path) -> list[Target]:
    """The targets of these names and patterns that can carry out a case here; by default the one of `choose_target`.

    Raises `InputError` for an unknown name, `Unavailable` for a named target that does not run here or cannot carry out the
    case, and if no target is left.
    """
    chosen = choose_targets(names)[0] if names else [choose_target(case, case_file)]
    by_name = literal(names)
    able: list[Target] = []
    refusals: list[str] = []
    for target in chosen:
        if (why := refused(case, target)) is None:
            able.append(target)
        else:
            refusals.append(f"{escaped(case_file)}: {why.text}")
            if target.name in by_name:
                raise Unavailable(refusals[-1])
    if not able:
        raise Unavailable(refusals[0])
    return able


def matching(names: tuple[str, ...]) -> Sequence[Target]:
    """The targets of these names and patterns, each once, whether they run here or not; by default all.

    Raises `InputError` for an unknown name, and for a pattern that matches none.
    """
    return [target_named(name) for name in expanded(names, [target.name for target in TARGETS])] or TARGETS


def choose_targets(names: tuple[str, ...]) -> tuple[list[Target], list[tuple[Target, str]]]:
    """The targets of these names and patterns, each once; by default all. Those that do not run here are apart, with the
    missing prerequisite.

    Raises `InputError` for an unknown name, `Unavailable` for a named target that does not run here, and if patterns match
    no target that does.
    """
    by_name = literal(names)
    # An unknown name is an error even if a prerequisite is missing as well.
    lacks = [(target, target.missing()) for target in matching(names)]
    for target, lack in lacks:
        if lack is not None and target.name in by_name:
            require_running(target)
    chosen = [target for target, lack in lacks if lack is None]
    absent = [(target, lack) for target, lack in lacks if lack is not None]
    if names and not chosen:
        require_running(absent[0][0])
    return chosen, absent


def split_by_hazards(
    targets: list[Target], hazards: Collection[Hazard], *, named: Collection[str]
) -> tuple[list[Target], list[tuple[Target, str]]]:
    """The targets that support the requested hazards, and the others with the reason.

    Raises `Unavailable` if a named target does not support one of them, or if no target is left. A target that was not named
    stays if it supports at least one.
    """
    left_out: list[tuple[Target, str]] = []
    for target in targets:
        if (why := barred(target, hazards)) is not None:
            if target.name in named:
                raise Unavailable(why.text)
            if target.hazards.isdisjoint(hazards):
                left_out.append((target, why.text))
    if len(left_out) == len(targets):
        raise Unavailable("; ".join(why for _, why in left_out))
    without = {target.name for target, _ in left_out}
    return [target for target in targets if target.name not in without], left_out


def drop_unneeded_rights(targets: Iterable[Target]) -> None:
    """Give up the rights that only sessions on the kernel need, unless one of these targets is a kernel's."""
    if not any(target.is_real for target in targets):
        rights.give_up()
