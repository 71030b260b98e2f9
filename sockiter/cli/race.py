"""`sockiter race`: walks the running kernel's iterators while sockets change on another processor."""

from __future__ import annotations

import platform
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from sockiter.backend import barred
from sockiter.claims import Hazard, KnownFailure, in_order
from sockiter.cli.names import KERNEL_TARGET, expanded, hazard_option, literal
from sockiter.cli.options import CASES
from sockiter.cli.output import by_reason, console, known_failure_json, print_json
from sockiter.cli.progress import watch
from sockiter.cli.subject import kernel_target
from sockiter.errors import Unavailable
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelTarget
from sockiter.race.race import Race, RaceViolation
from sockiter.race.sides import RACED
from sockiter.targets import require_running
from sockiter.verdict import KINDS, VIOLATIONS, Kind

SECONDS = 60.0


@click.command()
@click.argument("names", nargs=-1, type=KERNEL_TARGET, metavar="[TARGET...]")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=SECONDS,
    show_default=True,
    help="Duration for all iterators together.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all rounds; printed; default: random.")
@hazard_option(RACED, "Only this hazard; default: all supported.")
@click.option(
    "--cases",
    type=click.Path(path_type=Path, file_okay=False),
    default=CASES,
    show_default=True,
    help="Directory for the records of violations.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def race(
    names: tuple[str, ...],
    *,
    seconds: float,
    seed: int | None,
    hazards: tuple[Hazard, ...],
    cases: Path,
    as_json: bool,
) -> None:
    """Walk the running kernel's iterators on one processor while sockets change on another, without coordination.

    Only certain findings count: an unchanged socket must be delivered once, and no socket twice.

    A TARGET may be a pattern: 'kernel:tcp*'.
    """
    kinds = frozenset(hazards or RACED)
    chosen, absent = _choose(names, kinds, frozenset(hazards))
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    races = [Race(target, seed=f"{seed}/{target.name}", kinds=kinds & target.hazards, cases=cases) for target in chosen]
    started = time.monotonic()
    _run(races, seconds)
    took = time.monotonic() - started
    violations = [violation for race in races for violation in race.result.violations]
    unsaved = [violation for violation in violations if violation.path is None]
    for violation in unsaved:
        click.echo(f"sockiter: {violation.trouble}: this record could not be saved there:\n{violation.text}", err=True)
    if as_json:
        print_json(_json(races, seed, took, absent))
    else:
        _print(console(), races, seed, took, absent)
    if any(race.interrupted for race in races):
        raise KeyboardInterrupt
    if any(race.result.violation_count for race in races):
        sys.exit(1)
    if any(race.result.trouble for race in races):
        sys.exit(3)


def _choose(
    names: tuple[str, ...], kinds: frozenset[Hazard], named: frozenset[Hazard]
) -> tuple[list[KernelTarget], list[tuple[str, str]]]:
    # The iterators to race and, if none was named, the others with the reason.
    iterators = {target.name: target for target in KERNEL_TARGETS}
    by_name = literal(names)
    for name in by_name:
        kernel_target(name, KERNEL_TARGETS)
    chosen: list[KernelTarget] = []
    absent: list[tuple[str, str]] = []
    for name in expanded(names, list(iterators)) or iterators:
        target = iterators[name]
        try:
            require_running(target)
            if name in by_name and (why := barred(target, named)):
                raise Unavailable(why.text)
            if not kinds & target.hazards:
                raise Unavailable(f"{name} supports none of: {', '.join(in_order(kinds))}")
            chosen.append(target)
        except Unavailable as lack:
            if name in by_name:
                raise
            absent.append((name, str(lack)))
    if not chosen:
        raise Unavailable(f"no iterator can be raced here: {absent[0][1]}")
    return chosen, absent


def _run(races: list[Race], seconds: float) -> None:
    started = time.monotonic()

    def run(progress: Callable[[], None]) -> None:
        for nth, race in enumerate(races):
            # If one iterator took longer, the others have less time.
            left = seconds - (time.monotonic() - started if nth else 0)
            race.run(max(left, 0) / (len(races) - nth), progress)
            if race.interrupted:
                return

    def update(bar: Progress, task: TaskID) -> None:
        under_way = [race for race in races if race.result.rounds][-1]
        counts = under_way.result.counts
        violations = sum(race.result.violation_count for race in races)
        bar.update(
            task,
            completed=min(time.monotonic() - started, seconds),
            description=f"{under_way.target.name}: {counts.walks:,} walks, {counts.during_reads:,} changes during reads, "
            f"{violations} violations",
        )

    watch(run, update, total=seconds, left="{task.remaining:.0f} s left")


def _print(out: Console, races: list[Race], seed: int, took: float, absent: list[tuple[str, str]]) -> None:
    interrupted = ", interrupted" if any(race.interrupted for race in races) else ""
    out.print(f"\n[bold]sockiter race[/bold]: seed {seed}, {took:.0f} s, Linux {platform.release()}{interrupted}")
    out.print(_rates(races))
    out.print(
        "Rates are per second in which both sides ran. During reads: the share of changes that overlap a read. Inside one:\n"
        "the share of changes that began and ended inside a read.\n"
    )
    if (failures := _failures(races)).row_count:
        out.print(failures)
    for race in races:
        for violation in race.result.violations:
            where = f"record: {violation.path}" if violation.path else "not saved"
            out.print(
                f"[bold red]VIOLATION[/bold red] {escape(f'{race.target.name}: {_kinds(violation)}')}, reproduced "
                f"{violation.reproduced} of {violation.reruns}; {escape(where)}",
                soft_wrap=True,
            )
    walks = sum(race.result.counts.walks for race in races)
    if walks and not any(race.result.violation_count for race in races):
        out.print(f"[bold green]No violation[/bold green] in {walks:,} walks. That is no proof.")
    for race in races:
        if race.result.trouble:
            out.print(f"[bold]trouble[/bold] ({race.target.name}): {escape(race.result.trouble)}")
    for why, of in by_reason(absent).items():
        out.print(f"Not raced: {of}: {escape(why)}")


def _rates(races: list[Race]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("target", "scheme"):
        table.add_column(title, no_wrap=True)
    for title in ("walks", "walks/s", "reads/s", "changes/s", "during reads", "inside one"):
        table.add_column(title, justify="right")
    for race in races:
        result, counts = race.result, race.result.counts
        table.add_row(
            race.target.name,
            _scheme(race.target),
            f"{counts.walks:,}",
            *(f"{_a_second(race, number):,.0f}" for number in (counts.walks, counts.reads, counts.changes)),
            *(f"{part / max(result.counts.changes, 1):.0%}" for part in (counts.during_reads, counts.inside_reads)),
        )
    return table


def _failures(races: list[Race]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("target", "failure"):
        table.add_column(title, no_wrap=True)
    for title in ("walks", "rate"):
        table.add_column(title, justify="right")
    table.add_column("admitted")
    for race in races:
        for (kind, failure), walks in _in_order(race):
            rate = f"{walks / race.result.counts.walks:.3%}"
            admitted = "[bold red]no[/bold red]" if kind in VIOLATIONS else "memory was short"
            table.add_row(race.target.name, kind, f"{walks:,}", rate, escape(str(failure)) if failure else admitted)
    return table


def _in_order(race: Race) -> list[tuple[tuple[Kind, KnownFailure | None], int]]:
    return sorted(race.result.failures.items(), key=lambda entry: (KINDS.index(entry[0][0]), -entry[1]))


def _kinds(violation: RaceViolation) -> str:
    return ", ".join(violation.kinds)


def _scheme(target: KernelTarget) -> str:
    return target.detected_scheme or "unknown"


def _a_second(race: Race, number: int) -> float:
    return number / race.result.raced_s if race.result.raced_s else 0.0


def _json(races: list[Race], seed: int, took: float, absent: list[tuple[str, str]]) -> dict[str, object]:
    return {
        "seed": seed,
        "kernel": platform.release(),
        "seconds": round(took, 3),
        "interrupted": any(race.interrupted for race in races),
        "targets": [_target_json(race) for race in races],
        "not_here": [{"target": name, "missing": why} for name, why in absent],
    }


def _target_json(race: Race) -> dict[str, object]:
    result, counts = race.result, race.result.counts
    return {
        "target": race.target.name,
        "walks_by": race.target.detected_scheme,
        "hazards": in_order(race.kinds),
        "rounds": result.rounds,
        "raced_seconds": round(result.raced_s, 3),
        "walks": counts.walks,
        "reads": counts.reads,
        "changes": counts.changes,
        "changes_during_reads": counts.during_reads,
        "changes_inside_one_read": counts.inside_reads,
        "harms": [
            {"kind": kind, "walks": walks, "admitted": known_failure_json(failure) if failure else None}
            for (kind, failure), walks in _in_order(race)
        ],
        "violations": [
            {
                "kinds": violation.kinds,
                "seed": violation.seed,
                "walk": violation.walk,
                "record": violation.path and str(violation.path),
                "reproduced": violation.reproduced,
                "reruns": violation.reruns,
            }
            for violation in result.violations
        ],
        "trouble": result.trouble or None,
    }
