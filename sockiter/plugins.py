"""Loads the schemes of other packages as targets, from the entry points of those packages.

Decided here: the requirements on an entry point. A broken entry point becomes a target that runs nowhere and names the
reason; it does not disturb other targets, and is always listed. A package is code that its user chose to install. An
error in it, at load time or during a walk, becomes a one-line message. Not known here: the project's own targets, except
for their names.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sockiter.backend import Session, Target
from sockiter.claims import HAZARDS, Hazard, KnownFailure
from sockiter.errors import InputError, SchemeFault, Unavailable
from sockiter.guard import Guarded, guarded, in_a_line, stop_clock, text
from sockiter.readers import Feature
from sockiter.schemes.scheme import ONE_TABLE, AnyScheme, Scheme, known_failures_of
from sockiter.simulation import SchemeTarget
from sockiter.verdict import KINDS

GROUP = "sockiter.schemes"
"""The group of the entry points. An entry point has the scheme's name, and gives the scheme or a factory without
arguments."""

# The names of schemes and of their tables: a word of a case, but no kernel iterator, no option, and no markup.
_NAME = re.compile(r"\w[\w-]*")
# Characters that are replaced in the target name of a broken entry point.
_UNSEEMLY = re.compile(r"[^\w.:() -]")
_MEMBERS = tuple(member for member in vars(Scheme) if not member.startswith("_"))


def load_plugins(taken: Collection[str]) -> tuple[Target, ...]:
    """The schemes of other packages in the order of their names. The names in `taken` are reserved.

    A broken entry point becomes a `BrokenPlugin` target with a unique name.
    """
    targets: dict[str, Target] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        fault = name_fault(entry.name, {*taken, *targets})
        name = _UNSEEMLY.sub("?", f"{entry.name} ({entry.value})") if fault else entry.name
        with _stdout_to_stderr():
            target = fault or _load(entry)
        if isinstance(target, str):
            target = BrokenPlugin(name, f"entry point {entry.name} = {entry.value}", target)
        targets[name] = target
    stop_clock()
    return tuple(targets.values())


class PluginTarget(SchemeTarget):
    """A scheme of another package. Its mistakes raise a `SchemeFault` that names the method and the field."""

    def __init__(self, scheme: AnyScheme) -> None:
        super().__init__(Guarded(scheme))


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """An entry point that gives no scheme: a target without hazards, for the reason `why`."""

    name: str
    summary: str
    why: str
    progress: str = ""
    hazards: frozenset[Hazard] = frozenset()
    known_failures: tuple[KnownFailure, ...] = ()
    tables: tuple[str, ...] = ONE_TABLE
    buckets_max: int | None = None
    slots: int | None = None
    is_real: bool = False
    has_tail: bool = True
    detected_scheme: str | None = None
    features: frozenset[Feature] = frozenset()
    in_place: frozenset[Hazard] = frozenset()
    unable: Mapping[Hazard, str] = field(default_factory=dict)
    lacks: Mapping[Feature, str] = field(default_factory=dict)

    def missing(self) -> str:
        return self.why

    def session(self) -> AbstractContextManager[Session]:
        raise Unavailable(f"{self.name} does not run here: {self.why}")


def checked(scheme: Any, name: str | None = None) -> PluginTarget:
    """A scheme as a target, installed or not; an `InputError` names the first member that is wrong.

    `name`: the name that it has to have, its own unless given.
    """
    for fault in _faults(scheme, getattr(scheme, "name", "") if name is None else name):
        raise InputError(fault)
    return PluginTarget(scheme)


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    # A package's output goes to standard error: standard output holds the document of a command.
    with ExitStack() as stack:
        with suppress(OSError):  # one of the two may be closed
            os.fstat(2)
            ours = os.dup(1)
            stack.callback(os.close, ours)
            stack.callback(os.dup2, ours, 1)
            os.dup2(2, 1)
        stack.enter_context(redirect_stdout(sys.stderr))
        yield


def name_fault(name: str, taken: Collection[str]) -> str | None:
    """Why a scheme cannot have this name, where some are taken; None: it can."""
    if not _NAME.fullmatch(name):
        return "its name has other characters than letters, digits, dashes and underscores"
    return "its name is another target's" if name in taken else None


def _load(entry: EntryPoint) -> Target | str:
    # The scheme as a target, or the reason why it cannot be loaded.
    def load() -> Target | str:
        try:
            loaded: Any = entry.load()
            scheme: AnyScheme = loaded() if callable(loaded) else loaded
            return checked(scheme, entry.name)
        except InputError as error:
            return f"{entry.value} is no scheme: {error}"
        except (Exception, SystemExit) as error:
            return f"{entry.value} cannot be loaded: {in_a_line(error)}"

    try:
        return guarded("its entry point", entry.name, load)
    except SchemeFault as fault:
        return f"{entry.value} cannot be loaded: {str(fault).removeprefix(f'{entry.name} failed: ')}"


def _faults(scheme: Any, name: str) -> Iterator[str]:
    # Each check relies on the checks before it.
    missing = [member for member in _MEMBERS if not hasattr(scheme, member)]
    if hasattr(scheme, "harms"):
        missing = [member for member in missing if member != "known_failures"]
    if missing:
        yield f"it has no {', '.join(missing)}"
    for member, is_right, expected in _members(scheme, name):
        if not is_right:
            yield f"`{member}` is {text(getattr(scheme, member))}: expected {expected}"


def _members(scheme: Any, name: str) -> Iterator[tuple[str, bool, str]]:
    # Each member, whether its value is valid, and the expected value.
    hazards, known_failures, tables = scheme.hazards, known_failures_of(scheme), scheme.tables
    yield "name", scheme.name == name, f"{name!r}, the name of its entry point"
    for member in ("summary", "progress"):
        yield member, isinstance(getattr(scheme, member), str), "a str"
    yield (
        "hazards",
        isinstance(hazards, frozenset) and hazards <= set(HAZARDS),
        f"a frozenset of any of {', '.join(HAZARDS)}",
    )
    yield (
        "harms" if hasattr(scheme, "harms") else "known_failures",
        isinstance(known_failures, tuple)
        and all(_is_known_failure(known_failure, hazards) for known_failure in known_failures),
        "a tuple of KnownFailure within its hazards",
    )
    yield "tables", isinstance(tables, tuple) and _are_tables(tables), f"{ONE_TABLE}, or different names in order"
    optional = [method for method in ("canonical", "canonical_in_order") if hasattr(scheme, method)]
    for method in ("open", "begin", "resume", "place", *optional):
        yield method, callable(getattr(scheme, method)), "a method"


def _is_known_failure(known_failure: Any, hazards: frozenset[Hazard]) -> bool:
    return isinstance(known_failure, KnownFailure) and known_failure.kind in KINDS and known_failure.hazards <= hazards


def _are_tables(tables: tuple[Any, ...]) -> bool:
    named = all(isinstance(table, str) and _NAME.fullmatch(table) for table in tables)
    return tables == ONE_TABLE or (named and 0 < len(tables) == len(set(tables)))
