"""Times the same proof by the project's search, by minicheck and by musil, by turns in one process; prints JSON.

Run as `python -m tests.benchmarks.peers.timed SOCKETS ROUNDS`, where musil and minicheck can be imported. Each proves that
`index` neither skips nor repeats in sequences of any length. Every round starts from nothing.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Hashable
from statistics import median
from typing import Any, NamedTuple

from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.schemes.index import Index
from tests.benchmarks.peers.successors import FIELDS, HAZARDS, SLOTS, VIOLATED, Following, Placed, followed, placed

# More than the states of either, so that neither stops there.
STATES_MAX = 10_000_000


class Problem(NamedTuple):
    """A model: its first state and successor function, the names of a state's parts, and its invariant."""

    begin: Callable[[], tuple[Any, Following]]
    fields: tuple[str, ...]
    holds: Callable[[Any], bool]


def by_minicheck(minicheck: Any, problem: Problem) -> int:
    """The states that minicheck comes to in its proof."""
    start, following = problem.begin()
    # It has a state as a dictionary by then.
    invariants = {"holds": lambda parts: problem.holds(tuple(parts.values()))}
    model = minicheck.Protocol("index", False, problem.fields, start, following, invariants)
    result = minicheck.check_safety(model, max_states=STATES_MAX)
    assert result["exhaustive"], result
    assert result["properties"]["holds"]["holds"], result
    return int(result["reachable_states"])


def by_musil(musil: Any, problem: Problem) -> int:
    """The states that musil comes to in its proof."""
    start, following = problem.begin()
    action = musil.Action

    def always(state: Hashable) -> bool:
        return True

    def actions(state: Hashable) -> list[Any]:
        return [action(name, always, lambda before, after=after: after) for name, after in following(state)]

    model = musil.Model(init=[start], actions_fn=actions, invariants={"holds": problem.holds}, terminal=always)
    result = musil.check(model, max_states=STATES_MAX)
    assert result.ok, result
    assert not result.truncated
    return int(result.states_explored)


def main(sockets: int, rounds: int) -> dict[str, tuple[float, int]]:
    """Seconds, the median of the rounds, and states, of each."""
    minicheck, musil = importlib.import_module("minicheck"), importlib.import_module("musil")
    scheme = Index()

    def by_search() -> int:
        searched = search(scheme, HAZARDS, Scope(sockets, 1, SLOTS))
        assert searched.complete
        assert not searched.violations
        return searched.states

    def sound(state: Any) -> bool:
        here = Placed(*state)
        return not here.skipped and not here.repeated

    of_search = Problem(
        lambda: followed(scheme, sockets), ("system state", "monitor state"), lambda state: tuple(state) != VIOLATED
    )
    of_positions = Problem(lambda: placed(scheme, sockets), FIELDS, sound)
    sides: dict[str, Callable[[], int]] = {
        "sockiter": by_search,
        "minicheck, the search's successors": lambda: by_minicheck(minicheck, of_search),
        "musil, the search's successors": lambda: by_musil(musil, of_search),
        "minicheck, all fates at once": lambda: by_minicheck(minicheck, of_positions),
        "musil, all fates at once": lambda: by_musil(musil, of_positions),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    states: dict[str, int] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            started = time.process_time()
            states[name] = side()
            seconds[name].append(time.process_time() - started)
    return {name: (median(seconds[name]), states[name]) for name in sides}


if __name__ == "__main__":
    json.dump(main(*map(int, sys.argv[1:])), sys.stdout)
