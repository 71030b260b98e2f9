"""One text of a relation, with two readings: over values of a moment, and over the symbols of a solver.

A formula is a Python function of a `Moment`. Over values, it is True or False. Over symbols, it is a formula of z3. So the
solver proves the same text that is compared with the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

Term: TypeAlias = Any
"""A truth value, a number or a socket: of Python, or of the solver."""


class Symbol(NamedTuple):
    """A part of a moment: a value, or a function `of_sockets`. Undefined parts have the `default`, False or 0.

    `order_in`: only the order of its values counts, among the sockets for which this other symbol holds.
    """

    name: str
    default: bool | int
    of_sockets: bool = False
    order_in: str = ""


class Moment(Protocol):
    """A state of the table, the iterator and the monitor: an attribute for each symbol."""

    def __getattr__(self, name: str) -> Any: ...

    def every(self, holds: Callable[[Term], Term]) -> Term:
        """Whether this holds for every socket."""

    def some(self, holds: Callable[[Term], Term]) -> Term:
        """Whether this holds for some socket."""


class Observed:
    """A moment of values. A function of sockets is a mapping; a socket that it lacks has the default."""

    def __init__(self, symbols: Iterable[Symbol], sockets: Iterable[str], values: Mapping[str, Any]) -> None:
        self.all_sockets = tuple(sockets)
        for symbol in symbols:
            value = values.get(symbol.name, {} if symbol.of_sockets else symbol.default)
            setattr(self, symbol.name, _function(value, symbol.default) if symbol.of_sockets else value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def every(self, holds: Callable[[Term], Term]) -> Term:
        return all(holds(socket) for socket in self.all_sockets)

    def some(self, holds: Callable[[Term], Term]) -> Term:
        return any(holds(socket) for socket in self.all_sockets)


class After:
    """The moment after some updates of another moment; everything else is as it was."""

    def __init__(self, moment: Moment, updates: Mapping[str, Any]) -> None:
        self._moment = moment
        self._updates = updates

    def __getattr__(self, name: str) -> Any:
        updates = self._updates
        return updates[name] if name in updates else getattr(self._moment, name)

    def every(self, holds: Callable[[Term], Term]) -> Term:
        return self._moment.every(holds)

    def some(self, holds: Callable[[Term], Term]) -> Term:
        return self._moment.some(holds)


def both(*parts: Term) -> Term:
    """The conjunction."""
    rest: Term = True
    for part in parts:
        if part is False:
            return False
        if part is not True:
            rest = part if rest is True else rest & part
    return rest


def either(*parts: Term) -> Term:
    """The disjunction."""
    rest: Term = False
    for part in parts:
        if part is True:
            return True
        if part is not False:
            rest = part if rest is False else rest | part
    return rest


def negated(part: Term) -> Term:
    """The negation."""
    return not part if isinstance(part, bool) else ~part


def implies(condition: Term, then: Term) -> Term:
    """The implication."""
    return either(negated(condition), then)


def choose(condition: Term, then: Term, otherwise: Term) -> Term:
    """One of two terms."""
    if isinstance(condition, bool):
        return then if condition else otherwise
    import z3

    return z3.If(condition, then, otherwise)


def changed(function: Callable[[Term], Term], at: Term, value: Term) -> Callable[[Term], Term]:
    """A function with another value for one socket."""
    return lambda socket: choose(socket == at, value, function(socket))


def nobody(socket: Term) -> Term:
    """The function of an empty set."""
    return False


Answer: TypeAlias = Literal["begin", "granted", "refused"]
"""The call of a step: `begin`, or `resume` with a request that was granted or refused."""


def _function(values: Mapping[str, Any], default: bool | int) -> Callable[[str], Any]:
    return lambda socket: values.get(socket, default)
