"""The selection of targets for a command: the one for a case, or all that a command works on.

Decided here: which targets are selected where none is named, and that a named one has to run here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sockiter import rights
from sockiter.backend import Target, barred
from sockiter.cases import Case
from sockiter.claims import Hazard
from sockiter.errors import Unavailable
from sockiter.replay import refused
from sockiter.targets import SCHEME_TARGETS, TARGETS, target_named


def choose_target(case: Case, name: str | None) -> Target:
    """The target of that name, or else the first one running here that the case expects to fail, or else the first scheme.

    Raises `InputError` for a name that is no target's, `Unavailable` for a target that does not run here.
    """
    if name is not None:
        return require_running(target_named(name))
    failing = {expect.target for expect in case.expects}
    for target in TARGETS:
        if target.name in failing and target.missing() is None:
            return target
    return SCHEME_TARGETS[0]


def others_named(case: Case, target: Target) -> tuple[list[Target], list[tuple[str, str]]]:
    """The other targets of which a case expects something and that can carry it out here; and the rest, with the reason."""
    names = {expect.target for expect in case.expects}
    others: list[Target] = []
    absent: list[tuple[str, str]] = []
    for other in TARGETS:
        if other.name in names and other.name != target.name:
            if (why := other.missing() or refused(case, other)) is None:
                others.append(other)
            else:
                absent.append((other.name, why))
    return others, absent


def choose_targets(names: tuple[str, ...]) -> tuple[list[Target], list[tuple[Target, str]]]:
    """The targets of those names, each once, or else all that run here; and those that do not, with what the machine lacks.

    Raises `InputError` for a name that is no target's, `Unavailable` for a named target that does not run here.
    """
    # A name that is none is wrong, whatever the machine lacks besides.
    if named := [target_named(name) for name in dict.fromkeys(names)]:
        return [require_running(target) for target in named], []
    lacks = [(target, target.missing()) for target in TARGETS]
    return [target for target, lack in lacks if lack is None], [(target, lack) for target, lack in lacks if lack is not None]


def split_by_hazards(
    targets: list[Target], hazards: Collection[Hazard], *, are_named: bool
) -> tuple[list[Target], list[tuple[Target, str]]]:
    """The targets that can be put through the hazards that were asked for, and those that cannot, with the reason.

    Raises `Unavailable` for a named target that cannot be put through one of them, and where no target is left. A target
    that was not named is left where it can be put through some.
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
    """Give up the rights that only sessions on the kernel need, unless one of these targets has such."""
    if not any(target.is_real for target in targets):
        rights.give_up()


def require_running(target: Target) -> Target:
    """This target; raises `Unavailable` where it does not run here."""
    if (missing := target.missing()) is not None:
        raise Unavailable(f"{target.name} does not run here: {missing}")
    return target
