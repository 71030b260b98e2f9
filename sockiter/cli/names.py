"""Names on the command line: patterns stand for several, a misspelled one is corrected, and the shell completes them.

Decided here: what a pattern is, and which name a misspelled word is taken for. Not known here: what the names stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from sockiter.claims import Hazard
from sockiter.errors import InputError
from sockiter.targets import PLUGIN_TARGETS, SCHEME_TARGETS, TARGETS, close_to

_Command: TypeAlias = Callable[..., Any]


def is_pattern(word: str) -> bool:
    """Whether a word is a shell pattern, and no name."""
    return any(sign in word for sign in "*?[")


def expanded(words: Iterable[str], known: Sequence[str], *, noun: str = "target") -> list[str]:
    """The names that these words stand for, each once: a pattern for all that match, in the order of `known`.

    A word that is no pattern is passed on as it is, known or not. Raises `InputError` for a pattern that matches nothing.
    """
    names: dict[str, None] = {}
    for word in words:
        matching = [name for name in known if fnmatchcase(name, word)] if is_pattern(word) else [word]
        if not matching:
            raise InputError(f"no {noun} matches {word!r}: expected a pattern for some of {', '.join(known)}")
        names.update(dict.fromkeys(matching))
    return list(names)


def literal(words: Iterable[str]) -> frozenset[str]:
    """The words that are no patterns: what was asked for by its name has to be there."""
    return frozenset(word for word in words if not is_pattern(word))


class Name(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # no generic class before Click 8.2
    """A name that the shell completes; it is looked up by the command itself."""

    def __init__(self, noun: str, known: Callable[[], Sequence[str]]) -> None:
        self.name = noun
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self._known() if name.startswith(incomplete)]


class Hazards(click.Choice):  # type: ignore[type-arg, unused-ignore]  # no generic class before Click 8.2
    """Some hazards, as a tuple: one by its name, or all that match a pattern."""

    name = "hazard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = tuple(name for name in self.choices if fnmatchcase(name, value))
        if not names:
            like = close_to(value, self.choices)
            expected = f"did you mean {like!r}?" if like else f"expected one of {', '.join(self.choices)}."
            self.fail(f"no hazard is named {value!r}: {expected}", param, ctx)
        return names


def hazard_option(known: Sequence[Hazard], meaning: str) -> Callable[[_Command], _Command]:
    """--hazard, which may be repeated; the command gets each of the `hazards` once."""
    return click.option(
        "--hazard",
        "hazards",
        type=Hazards(known),
        multiple=True,
        metavar="HAZARD",
        callback=lambda context, option, value: tuple(dict.fromkeys(name for names in value for name in names)),
        help=f"{meaning} HAZARD: {', '.join(known)}. May be repeated.",
    )


def target_option(meaning: str) -> Callable[[_Command], _Command]:
    """--target, which may be repeated; the command gets the words as `names`."""
    return click.option("--target", "names", type=TARGET, multiple=True, metavar="T", help=meaning)


TARGET = Name("target", lambda: [target.name for target in TARGETS])
SCHEME = Name("scheme", lambda: [target.name for target in (*SCHEME_TARGETS, *PLUGIN_TARGETS)])
KERNEL_TARGET = Name("target", lambda: [target.name for target in TARGETS if target.is_real])
