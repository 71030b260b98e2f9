"""The selection of targets for a case or a command.

The module decides the default targets. A named target must run here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from sockiter import rights
from sockiter.backend import Target, barred
from sockiter.cases import Case
from sockiter.claims import Hazard
from sockiter.cli.output import note
from sockiter.errors import Unavailable
from sockiter.replay import refused
from sockiter.targets import SCHEME_TARGETS, TARGETS, about, model_of, target_named

LONG = 200
"""Operations of a case from which on a page shows a single target: a page with ten would have 20 MB."""


def choose_target(case: Case, name: str | None, case_file: Path) -> Target:
    """The named target; by default the one that the case is about, or else the first target here that the case expects to
    fail, or else the first scheme.

    A scheme replaces a kernel's iterator that does not run here, with a note. Raises `InputError` for an unknown name,
    `Unavailable` for a named target that does not run here.
    """
    if name is not None:
        return require_running(target_named(name))
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


def others_named(case: Case, target: Target) -> tuple[list[Target], list[tuple[str, str]]]:
    """The other targets in the `expect` lines: those that can run the case here, and the rest with the reason."""
    names = {expect.target for expect in case.expects}
    others: list[Target] = []
    absent: list[tuple[str, str]] = []
    for other in TARGETS:
        if other.name in names and other.name != target.name:
            why = other.missing() or refused(case, other)
            if why is None and len(case.operations) > LONG:
                why = f"a case of more than {LONG} operations is shown on one target"
            if why is None:
                others.append(other)
            else:
                absent.append((other.name, why))
    return others, absent


def choose_targets(names: tuple[str, ...]) -> tuple[list[Target], list[tuple[Target, str]]]:
    """The named targets, each once; by default all that run here, and the others with the missing prerequisite.

    Raises `InputError` for an unknown name, `Unavailable` for a named target that does not run here.
    """
    # An unknown name is an error even if the machine also lacks a prerequisite.
    if named := [target_named(name) for name in dict.fromkeys(names)]:
        return [require_running(target) for target in named], []
    lacks = [(target, target.missing()) for target in TARGETS]
    return [target for target, lack in lacks if lack is None], [(target, lack) for target, lack in lacks if lack is not None]


def split_by_hazards(
    targets: list[Target], hazards: Collection[Hazard], *, are_named: bool
) -> tuple[list[Target], list[tuple[Target, str]]]:
    """The targets that support the requested hazards, and the others with the reason.

    Raises `Unavailable` if a named target does not support one of them, or if no target is left. A target that was not named
    stays if it supports at least one.
    """
    left_out: list[tuple[Target, str]] = []
    for target in targets:
        if (why := barred(target, hazards)) is not None:
            if are_named:
                raise Unavailable(why)
            if target.hazards.isdisjoint(hazards):
                left_out.append((target, why))
    if len(left_out) == len(targets):
        raise Unavailable("; ".join(why for _, why in left_out))
    without = {target.name for target, _ in left_out}
    return [target for target in targets if target.name not in without], left_out


def drop_unneeded_rights(targets: Iterable[Target]) -> None:
    """Give up the rights that only sessions on the kernel need, unless one of these targets is a kernel's."""
    if not any(target.is_real for target in targets):
        rights.give_up()


def require_running(target: Target) -> Target:
    """This target; raises `Unavailable` if it does not run here."""
    if (missing := target.missing()) is not None:
        raise Unavailable(f"{target.name} does not run here: {missing}")
    return target
