"""`sockiter fuzz`: a fuzz of targets, and its progress. `summary` prints the result."""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.progress import Progress, TaskID

from sockiter.backend import Target
from sockiter.cases import dumps
from sockiter.claims import HAZARDS, Hazard
from sockiter.cli import options
from sockiter.cli.fuzz_summary import print_summary, summary_json, summary_ktap
from sockiter.cli.ktap import ktap_option, print_ktap
from sockiter.cli.names import TARGET, hazard_option, literal
from sockiter.cli.output import console, print_json
from sockiter.cli.progress import watch
from sockiter.cli.subject import choose_targets, drop_unneeded_rights, matching, split_by_hazards
from sockiter.cli.suggestions import print_suggestions, suggestions_json
from sockiter.errors import Unavailable
from sockiter.files import sweep
from sockiter.fuzzing.campaign import Campaign, SavedFinding
from sockiter.fuzzing.counted import AnyCampaign, CountedCampaign
from sockiter.fuzzing.drivers import DRIVERS
from sockiter.operations import length

if TYPE_CHECKING:
    from sockiter.cluster.pool import ClusterPool

SECONDS = 60.0


@click.command()
@click.argument("names", nargs=-1, type=TARGET, metavar="[TARGET...]")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    help=f"Duration, from the first sequence on; default: {SECONDS:.0f}, or no limit with --sequences.",
)
@click.option(
    "--sequences",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of sequences for each target and driver. With --seed, the same run with any number of workers.",
)
@options.workers("processes")
@options.cluster()
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all sequences; printed; default: random.")
@click.option("--driver", type=click.Choice(sorted(DRIVERS)), help="Only this driver; default: both.")
@hazard_option(HAZARDS, "Only this hazard; default: all supported.")
@click.option(
    "--cases",
    type=click.Path(path_type=Path, file_okay=False),
    default=options.CASES,
    show_default=True,
    help="Directory for cases.",
)
@click.option("--suggest", "suggests", is_flag=True, help="Print the known failures to declare for what broke a claim.")
@click.option("--verbose", is_flag=True, help="List the known failures that were not seen.")
@click.option("--json", "as_json", is_flag=True, is_eager=True, help="One JSON document on standard output.")
@ktap_option
def fuzz(
    names: tuple[str, ...],
    *,
    seconds: float | None,
    sequences: int | None,
    workers: int,
    cluster: str | None,
    seed: int | None,
    driver: str | None,
    hazards: tuple[Hazard, ...],
    cases: Path,
    suggests: bool,
    verbose: bool,
    as_json: bool,
    as_ktap: bool,
) -> None:
    """Fuzz targets, and save every failure as a shortest case.

    Default: all schemes and, as root on Linux, the kernel's iterators. A TARGET may be a pattern: 'kernel:*'.

    Without --sequences, slices of the run end by the clock, and two runs with the same --seed find different things. With
    --seed and --sequences, a run has the same cases and the same counts on every machine with the same versions of sockiter
    and Hypothesis. Of a kernel's iterator that is so as far as the kernel is deterministic. With --seconds as well, the run
    may be cut, and the report then says so.
    """
    with _pool(cluster, names) as pool:
        chosen, absent = choose_targets(names) if pool is None else _choose_members_targets(pool, names)
        if hazards:
            chosen, unable = split_by_hazards(chosen, hazards, named=literal(names))
            absent += unable
        drop_unneeded_rights(chosen)
        cases = _writable(cases)
        seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        with_hazards = [(target, target.hazards & frozenset(hazards or HAZARDS)) for target in chosen]
        drivers = [driver] if driver else sorted(DRIVERS)
        workers = workers if pool is None else pool.threads
        campaign: AnyCampaign
        if sequences is None:
            seconds = SECONDS if seconds is None else seconds
            campaign = Campaign(
                with_hazards, drivers=drivers, seed=seed, seconds=seconds, workers=workers, cases=cases, pool=pool
            )
        else:
            seconds = math.inf if seconds is None else seconds
            campaign = CountedCampaign(
                with_hazards,
                drivers=drivers,
                seed=seed,
                sequences=sequences,
                seconds=seconds,
                workers=workers,
                cases=cases,
                pool=pool,
            )
        started = time.monotonic()
        _run(campaign, pool)
    took = time.monotonic() - started
    # Before the summary, which may fail on a full disk.
    unsaved = [kept for track in campaign.tracks for kept in track.kept if kept.path is None]
    for kept in unsaved:
        click.echo(f"sockiter: {kept.trouble}: this case could not be saved there:\n{dumps(kept.found.case)}", err=True)
    if as_json:
        document = summary_json(campaign, took, absent, pool)
        print_json(document | {"suggested": suggestions_json(campaign) if suggests else None})
    elif as_ktap:
        print_ktap(summary_ktap(campaign, absent))
    else:
        print_summary(console(), campaign, took, workers, absent, pool, detailed=bool(names), verbose=verbose)
        if suggests:
            print_suggestions(campaign)
    if campaign.interrupted:
        raise KeyboardInterrupt
    restarted = pool is not None and pool.restarts
    if restarted or any(kept.found.known_failure is None for track in campaign.tracks for kept in track.kept):
        sys.exit(1)
    if not any(track.sequences or track.kept or track.troubles for track in campaign.tracks):
        raise Unavailable(f"no sequence was finished in {took:.0f} s: nothing was fuzzed; use a larger --seconds")
    doubtful = pool is not None and (pool.unconfirmed or pool.disbelieved)
    if unsaved or doubtful or any(track.troubles for track in campaign.tracks):
        sys.exit(3)


@contextmanager
def _pool(cluster: str | None, names: tuple[str, ...]) -> Iterator[ClusterPool | None]:
    # The workers of a cluster, asked for these targets; None: the workers are processes of this machine.
    if cluster is None:
        yield None
        return
    try:
        from sockiter.cluster.pool import ClusterPool
    except ImportError as error:
        raise Unavailable(f"--cluster: {error}; install sockiter with the extra `cluster`") from None
    with ClusterPool(cluster, [target.name for target in matching(names)]) as pool:
        yield pool


def _choose_members_targets(pool: ClusterPool, names: tuple[str, ...]) -> tuple[list[Target], list[tuple[Target, str]]]:
    # As `choose_targets`, of the targets of the members: a kernel target once for each kernel.
    chosen: list[Target] = []
    absent: list[tuple[Target, str]] = []
    for target in matching(names):
        if there := pool.targets(target):
            chosen += there
        elif target.name in literal(names):
            raise Unavailable(f"{target.name} does not run there: {pool.missing(target)}")
        else:
            absent.append((target, pool.missing(target)))
    if not chosen:
        raise Unavailable(f"{absent[0][0].name} does not run there: {absent[0][1]}")
    return chosen, absent


def _writable(cases: Path) -> Path:
    # An early error is better than one after the first finding.
    try:
        cases.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{cases}: cannot be made: {error.strerror}; name another directory with --cases") from None
    if not os.access(cases, os.W_OK | os.X_OK):
        raise Unavailable(f"{cases}: cannot be written to; name another directory with --cases")
    sweep(cases)
    return cases


def _run(campaign: AnyCampaign, pool: ClusterPool | None) -> None:
    started = time.monotonic()
    if isinstance(campaign, CountedCampaign):
        total, left = float(campaign.sequences * len(campaign.tracks)), "{task.remaining:,.0f} sequences left"
    else:
        total, left = campaign.left_s, "{task.remaining:.0f} s left"
    printed: set[object] = set()

    def update(bar: Progress, task: TaskID) -> None:
        kept = [kept_case for track in campaign.tracks for kept_case in track.kept]
        for kept_case in kept:
            # A finding of the other driver is not new.
            key = (kept_case.found.target, kept_case.found.known_failure or kept_case.found.case.operations)
            if key not in printed:
                printed.add(key)
                style = "bold red" if kept_case.found.known_failure is None else ""
                bar.console.print(escape(_line(kept_case)), style=style, soft_wrap=True)
        if isinstance(campaign, CountedCampaign):
            completed, took = float(sum(track.sequences for track in campaign.tracks)), time.monotonic() - started
        else:
            completed = took = total - campaign.left_s
        rate = sum(track.operations for track in campaign.tracks) / max(took, 0.1)
        saved = sum(kept_case.path is not None for kept_case in kept)
        bar.update(
            task,
            completed=completed,
            description=f"{rate:,.0f} operations/s, {len(kept)} found, {saved} saved{'' if pool is None else pool.status}",
        )

    watch(campaign.run, update, total=total, left=left)


def _line(kept: SavedFinding) -> str:
    line = f"{kept.found}, {length(kept.found.case.operations)} operations, by {kept.driver}"
    return f"CLAIM BROKEN: {line}: {kept.path or kept.trouble}" if kept.found.known_failure is None else line
