"""The search against other model checkers, Spin, TLC, minicheck and musil, in one run, by turns.

The test times the proof that `index` neither skips nor repeats, in one bucket with a bounded number of sockets and a batch
of two slots. Sockets are added and removed between reads, and allocations are refused. The search proves it for any length.
The comparison is by processor time; TLC's is wall-clock time, which is less. docs/measurements/peers.md has the results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import pytest

from sockiter.check.result import Scope, SearchResult
from sockiter.check.search import search
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from sockiter.verdict import Kind
from tests.benchmarks.conftest import Tell
from tests.benchmarks.peers import programs
from tests.benchmarks.peers.programs import ModelRun, Unavailable, spin, tlc
from tests.benchmarks.peers.successors import HAZARDS, SLOTS, named, placed, reachable
from tests.support.paths import ROOT

SOCKETS = 6
OPS = 10
CHECKED = ("NO_SKIP", "NO_REPEAT")
SCHEMES = pytest.mark.parametrize(
    ("scheme", "defined"), [(OffsetUdp(), ()), (Index(), ("INDEX",))], ids=["offset-udp", "index"]
)

T = TypeVar("T")


@pytest.fixture(scope="session")
def spin_is_here() -> None:
    had(programs.programs)


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("packages")
    had(lambda: programs.packages(into))
    return into


def had(get: Callable[[], T]) -> T:
    """A prerequisite that a machine may lack; skips with the reason."""
    try:
        return get()
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))


def searched(scheme: AnyScheme, sockets: int) -> SearchResult:
    """Sequences of any length, searched in this process."""
    return search(scheme, HAZARDS, Scope(sockets, 1, SLOTS))


def seconds(scheme: AnyScheme, sockets: int) -> float:
    """The processor time of a search."""
    started = time.process_time()
    searched(scheme, sockets)
    return time.process_time() - started


@SCHEMES
def test_the_models_have_as_many_states_as_the_scheme_s_own_code(
    scheme: AnyScheme, defined: tuple[str, ...], spin_is_here: None, packages: Path, tmp_path: Path
) -> None:
    # Spin continues after a failure. TLC has a state for a failure, so it gets a scope without failures.
    for ops in (5, 8):
        assert spin("naive.pml", tmp_path, *CHECKED, *defined, f"OPS={ops}").states == len(
            reachable(*named(scheme, SOCKETS, ops))
        )
    assert tlc(packages, tmp_path, index=bool(defined), ops=5, sockets=SOCKETS).states == len(
        reachable(*named(scheme, SOCKETS, 5))
    )

    start, following = placed(scheme, SOCKETS)
    by_position = reachable(start, lambda state: [after for _, after in following(state)])
    found = spin("canonical.pml", tmp_path, *CHECKED, *defined, f"SOCKETS={SOCKETS}", depth=50_000)

    assert found.states == sum(not state.repeated for state in by_position)
    assert (found.violations > 0) == any(state.skipped or state.repeated for state in by_position)


@pytest.mark.parametrize(("kind", "invariant"), [("skip", "NoSkip"), ("repeat", "NoRepeat")])
def test_all_checkers_find_the_same_shortest_case_against_offset_udp(
    kind: Kind, invariant: str, spin_is_here: None, packages: Path, tmp_path: Path
) -> None:
    lengths = {violation.kind: violation.operations for violation in searched(OffsetUdp(), SOCKETS).violations}
    only = f"NO_{kind.upper()}"

    assert lengths[kind] == 6
    assert spin("naive.pml", tmp_path, only, "OPS=5").violations == 0
    assert spin("naive.pml", tmp_path, only, "OPS=6").violations > 0
    assert tlc(packages, tmp_path, index=False, ops=OPS, sockets=SOCKETS, invariants=invariant).lines == 6
    assert spin("canonical.pml", tmp_path, only, "ONE", depth=50_000).violations > 0


def test_a_proof_takes_a_tenth_of_spin_s_time_a_hundredth_of_tlc_s_and_a_hundredth_of_their_states(
    tell: Tell, spin_is_here: None, packages: Path, tmp_path: Path
) -> None:
    ours: list[float] = []
    spins: list[ModelRun] = []
    tlcs: list[ModelRun] = []
    proof = searched(Index(), SOCKETS)
    for turn in range(9):
        ours.append(seconds(Index(), SOCKETS))
        if turn % 2 == 0:
            spins.append(spin("naive.pml", tmp_path, *CHECKED, "INDEX", f"SOCKETS={SOCKETS}", f"OPS={OPS}"))
        if turn % 4 == 0:
            tlcs.append(tlc(packages, tmp_path, index=True, ops=OPS, sockets=SOCKETS))
    assert proof.complete
    assert not proof.violations
    assert spins[0].states == tlcs[0].states

    took = median(ours)
    by_spin, by_tlc = median(one.seconds for one in spins), median(one.seconds for one in tlcs)
    tell(f"| search, any length | {took:.3f} s | 1 | {proof.states:,} |")
    run_s, states = median(one.run_s for one in spins), spins[0].states
    tell(f"| Spin, {OPS} lines | {by_spin:.2f} s | {by_spin / took:.1f} | {states:,} |")
    tell(f"| its run alone | {run_s:.2f} s | {run_s / took:.1f} | {states:,} |")
    tell(f"| TLC, {OPS} lines | {by_tlc:.1f} s | {by_tlc / took:.0f} | {tlcs[0].states:,} |")

    assert by_spin / took >= 10
    assert by_tlc / took >= 100
    assert states / proof.states >= 100


def test_the_command_line_takes_less_time_than_spin_too(tell: Tell, spin_is_here: None, tmp_path: Path) -> None:
    hazards = [f"--hazard={hazard}" for hazard in sorted(HAZARDS)]
    scope = [f"--sockets={SOCKETS}", "--buckets=1", f"--batch={SLOTS}"]
    command = [sys.executable, "-m", "sockiter", "check", "index", *scope, *hazards, "--json"]
    ours, theirs = [], []
    for _ in range(5):
        started = programs.spent()
        programs.run(ROOT, *command)
        ours.append(programs.spent() - started)
        theirs.append(spin("naive.pml", tmp_path, *CHECKED, "INDEX", f"SOCKETS={SOCKETS}", f"OPS={OPS}").seconds)

    took = median(ours)
    tell(f"| `sockiter check`, its start included | {took:.2f} s | Spin: {median(theirs) / took:.1f} times as long |")
    assert took < median(theirs)


@pytest.mark.parametrize(("sockets", "rounds"), [(6, 5), (12, 3), (24, 1)])
def test_known_spin_is_faster_in_large_scopes_where_the_canonical_encoding_is_written_by_hand(
    sockets: int, rounds: int, tell: Tell, spin_is_here: None, tmp_path: Path
) -> None:
    ours: list[float] = []
    spins: dict[str, list[ModelRun]] = {"all fates at once": [], "one socket followed": []}
    for _ in range(rounds):
        started = time.process_time()
        proof = searched(Index(), sockets)
        ours.append(time.process_time() - started)
        for (name, made), more in zip(spins.items(), ((), ("ONE",)), strict=True):
            defined = (*CHECKED, "INDEX", f"SOCKETS={sockets}", *more)
            made.append(spin("canonical.pml", tmp_path / name.replace(" ", "-"), *defined, depth=100_000))
    took = median(ours)
    tell(f"| search, {sockets} sockets | {took:.2f} s | 1 | {proof.states:,} |")
    for name, made in spins.items():
        whole, run_s = median(one.seconds for one in made), median(one.run_s for one in made)
        ratios = f"{whole / took:.2f}, {run_s / took:.2f}"
        tell(f"| Spin, {name} | {whole:.2f} s, run alone {run_s:.2f} s | {ratios} | {made[0].states:,} |")
        assert made[0].violations == 0
    if sockets == 24:
        assert median(one.seconds for one in spins["one socket followed"]) < took


@pytest.mark.parametrize(("sockets", "rounds"), [(6, 9), (12, 3)])
def test_on_the_same_successors_the_search_is_within_a_tenth_of_other_checkers_in_python(
    sockets: int, rounds: int, tell: Tell, packages: Path
) -> None:
    path = os.pathsep.join(map(str, [ROOT, packages]))
    command = [had(programs.new_python), "-m", "tests.benchmarks.peers.timed", str(sockets), str(rounds)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results: dict[str, tuple[float, int]] = json.loads(done.stdout)
    took, states = results.pop("sockiter")
    assert {count for name, (_, count) in results.items() if "search's" in name} == {states}

    tell(f"| search, {sockets} sockets | {took:.3f} s | 1 | {states:,} |")
    for name, (other, count) in results.items():
        tell(f"| {name} | {other:.3f} s | {other / took:.2f} | {count:,} |")
    # The loop is all that differs, and there is little to it: a tie, give or take.
    assert all(other >= 0.9 * took for name, (other, _) in results.items() if "search's" in name)


def test_the_search_makes_a_hundred_thousand_transitions_a_second(tell: Tell) -> None:
    rates = []
    for _ in range(9):
        started = time.process_time()
        made = searched(Index(), 12).transitions
        rates.append(made / (time.process_time() - started))

    tell(f"transitions a second of processor time, index, 12 sockets: {median(rates):,.0f} (floor 100,000)")
    assert median(rates) >= 100_000
