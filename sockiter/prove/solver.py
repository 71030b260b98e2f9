"""The solver: formulas over symbols of z3, obligations, and the model of an obligation that does not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import z3

from sockiter.prove.logic import Moment, Observed, Symbol, Term
from sockiter.prove.result import Answer

SOCKET = z3.DeclareSort("Socket")
VERSION = z3.get_version_string()


class Symbolic:
    """A moment of symbols of the solver."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self.symbols = tuple(symbols)
        for symbol in self.symbols:
            sort = z3.BoolSort() if isinstance(symbol.default, bool) else z3.IntSort()
            if symbol.of_sockets:
                setattr(self, symbol.name, z3.Function(symbol.name, SOCKET, sort))
            else:
                setattr(self, symbol.name, z3.Const(symbol.name, sort))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def every(self, holds: Callable[[Term], Term]) -> Term:
        socket = z3.FreshConst(SOCKET, "s")
        body = holds(socket)
        return body if isinstance(body, bool) else z3.ForAll([socket], body)

    def some(self, holds: Callable[[Term], Term]) -> Term:
        socket = z3.FreshConst(SOCKET, "s")
        body = holds(socket)
        return body if isinstance(body, bool) else z3.Exists([socket], body)


def fresh_sockets(count: int) -> list[Term]:
    """New symbols for sockets."""
    return [z3.FreshConst(SOCKET, "p") for _ in range(count)]


def fresh_number() -> Term:
    """A new symbol for a number."""
    return z3.FreshInt("b")


def fresh_flag() -> Term:
    """A new symbol for a truth value."""
    return z3.FreshBool("f")


def quantified(moment: Moment, sockets: int, holds: Callable[..., Term]) -> Term:
    """A formula for all so many sockets."""
    if sockets == 0:
        return holds(moment)
    return moment.every(lambda socket: quantified(moment, sockets - 1, lambda m, *others: holds(m, socket, *others)))


@dataclass(slots=True)
class Counted:
    """The checks so far, and their seconds."""

    checks: int = 0
    seconds: float = 0.0


class Query:
    """Assumptions, and the formulas that follow from them or not."""

    def __init__(self, assumptions: Iterable[Term], timeout_ms: int, counted: Counted) -> None:
        self.counted = counted
        self.solver = z3.Solver()
        self.solver.set("timeout", timeout_ms)
        # Ctrl-C is for the program.
        self.solver.set("ctrl_c", False)
        # A fixed seed: the same answers in every run.
        self.solver.set("random_seed", 0)
        for assumption in assumptions:
            if assumption is not True:
                self.solver.add(z3.BoolVal(False) if assumption is False else assumption)

    def follows(self, goals: Sequence[Term]) -> tuple[Answer, Any]:
        """Whether all goals follow; if not, a model in which one of them does not hold."""
        started = time.perf_counter()
        self.solver.push()
        self.solver.add(z3.Or([z3.Not(goal) if not isinstance(goal, bool) else z3.BoolVal(not goal) for goal in goals]))
        result = self.solver.check()
        model = self.solver.model() if result == z3.sat else None
        self.solver.pop()
        self.counted.checks += 1
        self.counted.seconds += time.perf_counter() - started
        return ("holds" if result == z3.unsat else "fails" if result == z3.sat else "unknown"), model


def read(
    model: Any, symbols: Iterable[Symbol], moment: Moment, sockets: Sequence[Term], number: Term, flag: Term
) -> tuple[Observed, tuple[Any, ...]]:
    """The values of a moment in a model, with names for its sockets; and the values of these parameters."""
    elements = model.get_universe(SOCKET) or [model.eval(z3.Const("any", SOCKET), model_completion=True)]
    names = {str(element): f"s{nth}" for nth, element in enumerate(sorted(elements, key=str), 1)}
    values: dict[str, Any] = {}
    for symbol in symbols:
        term = getattr(moment, symbol.name)
        if symbol.of_sockets:
            values[symbol.name] = {names[str(element)]: _value(model, term(element)) for element in elements}
        else:
            values[symbol.name] = _value(model, term)
    given = [names[str(model.eval(socket, model_completion=True))] for socket in sockets]
    return Observed(symbols, names.values(), values), (*given, _value(model, number), _value(model, flag))


def _value(model: Any, term: Term) -> bool | int:
    value = model.eval(term, model_completion=True)
    return int(value.as_long()) if z3.is_int_value(value) else bool(z3.is_true(value))
