"""`sockiter fuzz`: the main job, its progress, and its summary."""

from __future__ import annotations

import os
import random
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from sockiter.backend import Target
from sockiter.campaign import Campaign, Kept, Track
from sockiter.cases import dumps
from sockiter.claims import HAZARDS, Harm, Hazard, in_order
from sockiter.cli.output import console, harm_json, print_json
from sockiter.drivers import DRIVERS
from sockiter.errors import MachineLacks
from sockiter.operations import length
from sockiter.targets import TARGETS, target_named

SECONDS = 30.0
CASES = Path("sockiter-cases")


@click.command()
@click.argument("names", nargs=-1, metavar="[TARGET...]")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=SECONDS, show_default=True, help="How long.")
@click.option("--workers", type=click.IntRange(min=1, max=256), help="How many processes at once; the cores, unless said.")
@click.option("--seed", type=click.IntRange(min=0), help="What all is drawn from; printed, and drawn itself unless said.")
@click.option("--driver", type=click.Choice(sorted(DRIVERS)), help="Only this one, instead of both.")
@click.option(
    "--hazard", "hazards", type=click.Choice(HAZARDS), multiple=True, help="Only these; all that it can, unless said."
)
@click.option(
    "--cases",
    type=click.Path(path_type=Path, file_okay=False),
    default=CASES,
    show_default=True,
    help="Where cases are kept.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def fuzz(
    names: tuple[str, ...],
    *,
    seconds: float,
    workers: int | None,
    seed: int | None,
    driver: str | None,
    hazards: tuple[Hazard, ...],
    cases: Path,
    as_json: bool,
) -> None:
    """Fuzz the targets: all schemes and, with root on Linux, the kernel's iterators. Keep what fails as least cases.

    Exit status 1 means that a target did what it claims not to do. What it admits, and was shown to do, is no failure.
    """
    chosen, absent = _choose(names)
    cases = _writable(cases)
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    workers = workers or os.cpu_count() or 1
    campaign = Campaign(
        [(target, target.hazards & frozenset(hazards or HAZARDS)) for target in chosen],
        drivers=[driver] if driver else sorted(DRIVERS),
        seed=seed,
        seconds=seconds,
        workers=workers,
        cases=cases,
    )
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    _run(campaign)
    took = time.monotonic() - started
    # Before the summary, which may come to nothing on a disk that is full.
    unsaved = [kept for track in campaign.tracks for kept in track.kept if kept.path is None]
    for kept in unsaved:
        click.echo(f"sockiter: {kept.trouble}: this case could not be saved there:\n{dumps(kept.found.case)}", err=True)
    if as_json:
        print_json(_json(campaign, took, absent))
    else:
        _print_summary(console(), campaign, took, workers, absent)
    if any(kept.found.harm is None for track in campaign.tracks for kept in track.kept):
        sys.exit(1)
    if unsaved or any(track.troubles for track in campaign.tracks):
        sys.exit(3)


def _choose(names: tuple[str, ...]) -> tuple[list[Target], list[tuple[Target, str]]]:
    # The targets to fuzz, and those that would have been, but for what the machine lacks.
    here: list[Target] = []
    absent: list[tuple[Target, str]] = []
    for target in [target_named(name) for name in dict.fromkeys(names)] or TARGETS:
        if (missing := target.missing()) is None:
            here.append(target)
        elif names:
            raise MachineLacks(f"{target.name} does not run here: {missing}")
        else:
            absent.append((target, missing))
    return here, absent


def _writable(cases: Path) -> Path:
    # Better now than after the first find.
    try:
        cases.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineLacks(f"{cases}: cannot be made: {error.strerror}; name another directory with --cases") from None
    if not os.access(cases, os.W_OK | os.X_OK):
        raise MachineLacks(f"{cases}: cannot be written to; name another directory with --cases")
    return cases


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(campaign: Campaign) -> None:
    progress_console = console(stderr=True)
    if not progress_console.is_terminal:
        campaign.run()
        return
    total = campaign.left_s
    # Refreshed by hand: a thread of its own would be one too many where processes are started.
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[left]:.0f} s left"),
        console=progress_console,
        auto_refresh=False,
        transient=True,
    )
    with bar:
        task = bar.add_task("starting", total=total, left=total)
        told: set[object] = set()

        def show() -> None:
            kept = [one for track in campaign.tracks for one in track.kept]
            for one in kept:
                # What the other driver finds as well is no news.
                what = (one.found.target, one.found.harm or one.found.case.operations)
                if what not in told:
                    told.add(what)
                    style = "bold red" if one.found.harm is None else ""
                    bar.console.print(escape(_line(one)), style=style, soft_wrap=True)
            rate = sum(track.operations for track in campaign.tracks) / max(total - campaign.left_s, 0.1)
            saved = sum(one.path is not None for one in kept)
            bar.update(
                task,
                completed=total - campaign.left_s,
                left=campaign.left_s,
                description=f"{rate:,.0f} operations/s, {len(kept)} found, {saved} saved",
            )
            bar.refresh()

        campaign.run(show)


def _line(kept: Kept) -> str:
    line = f"{kept.found}, {length(kept.found.case.operations)} operations, by {kept.driver}"
    return f"CLAIM BROKEN: {line}: {kept.path or kept.trouble}" if kept.found.harm is None else line


def _first(campaign: Campaign, target: Target) -> list[tuple[Harm | None, list[Kept]]]:
    # What was found on a target, by harm, each with its least case first; broken claims by case.
    groups: dict[object, list[Kept]] = {}
    for track in _tracks(campaign, target):
        for kept in track.kept:
            key = kept.found.harm or (kept.found.kind, kept.found.moved, kept.found.case.operations)
            groups.setdefault(key, []).append(kept)
    for group in groups.values():
        group.sort(key=lambda kept: (length(kept.found.case.operations), kept.seconds))
    return [(group[0].found.harm, group) for group in groups.values()]


def _unrefuted(campaign: Campaign, target: Target) -> list[Harm]:
    return [harm for harm in target.harms if all(harm in track.pending for track in _tracks(campaign, target))]


def _tracks(campaign: Campaign, target: Target) -> list[Track]:
    return [track for track in campaign.tracks if track.target is target]


def _rate(tracks: Sequence[Track]) -> float:
    # Operations a second of search; 0 where none was made.
    seconds = sum(track.seconds for track in tracks)
    return sum(track.operations for track in tracks) / seconds if seconds else 0


def _targets(campaign: Campaign) -> list[Target]:
    return list({track.target.name: track.target for track in campaign.tracks}.values())


def _print_summary(out: Console, campaign: Campaign, took: float, workers: int, absent: list[tuple[Target, str]]) -> None:
    out.print(
        f"\n[bold]sockiter fuzz[/bold]: seed {campaign.seed}, {took:.0f} s, {workers} workers"
        + (", interrupted" if campaign.interrupted else "")
    )
    work = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("target", "driver"):
        work.add_column(title)
    for title in ("sequences", "operations", "operations/s"):
        work.add_column(title, justify="right")
    for track in campaign.tracks:
        done = (f"{number:,.0f}" for number in (track.sequences, track.operations, _rate([track])))
        work.add_row(track.target.name, track.driver, *done)
    out.print(work)
    admitted = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="What the targets admit, and did: the least case, and when each driver had it",
        title_justify="left",
    )
    for title in ("target", "harm"):
        admitted.add_column(title)
    drivers = list(dict.fromkeys(track.driver for track in campaign.tracks))
    for title in ("operations", *(f"{driver} after" for driver in drivers)):
        admitted.add_column(title, justify="right")
    broken: list[Kept] = []
    open_harms: list[str] = []
    example: Path | None = None
    for target in _targets(campaign):
        for harm, group in _first(campaign, target):
            best = group[0]
            if harm is None:
                broken.append(best)
                continue
            example = example or best.path
            after = {kept.driver: f"{kept.seconds:.2f} s" for kept in reversed(group)}
            admitted.add_row(
                target.name,
                str(harm),
                str(length(best.found.case.operations)),
                *(after.get(driver, "-") for driver in drivers),
            )
        open_harms += [f"{target.name}: {harm}" for harm in _unrefuted(campaign, target)]
    if admitted.row_count:
        out.print(admitted)
    if open_harms:
        out.print("Admitted, but not seen in this run: " + "; ".join(open_harms) + ".\n")
    for kept in broken:
        found = kept.found
        again = f", again in {found.reproduced} of {found.reruns} runs" if found.reruns > 1 else ""
        out.print(f"[bold red]CLAIM BROKEN[/bold red] {escape(str(found))}{again}")
        replay = f"replay it: sockiter replay {_quoted(kept.path)} --target {found.target}" if kept.path else "not saved"
        out.print(f"  {replay}\n", soft_wrap=True)
    sequences = sum(track.sequences for track in campaign.tracks)
    reached = {track.target.name: None for track in campaign.tracks if track.sequences}
    if reached and not broken:
        on = ", ".join(reached)
        out.print(f"[bold green]No claim was broken[/bold green] in {sequences:,} sequences on {on}. That is no proof.")
    if unreached := [target.name for target in _targets(campaign) if target.name not in reached]:
        out.print(f"Not reached: {', '.join(unreached)}")
    for track in campaign.tracks:
        for trouble in track.troubles:
            out.print(f"[bold]trouble[/bold] ({track.target.name}, {track.driver}): {escape(trouble)}")
    for target, missing in absent:
        out.print(f"Not fuzzed: {target.name}: {escape(missing)}")
    if example:
        out.print(
            f"All cases are in {escape(str(example.parent))}. Look at one: sockiter show {_quoted(example)}",
            soft_wrap=True,
        )


def _quoted(path: Path) -> str:
    # For a shell, and not taken for markup.
    return escape(shlex.quote(str(path)))


def _json(campaign: Campaign, took: float, absent: list[tuple[Target, str]]) -> dict[str, object]:
    return {
        "seed": campaign.seed,
        "seconds": round(took, 3),
        "interrupted": campaign.interrupted,
        "targets": [_target_json(campaign, target) for target in _targets(campaign)],
        "not_here": [{"target": target.name, "missing": missing} for target, missing in absent],
        "troubles": [trouble for track in campaign.tracks for trouble in track.troubles],
    }


def _target_json(campaign: Campaign, target: Target) -> dict[str, object]:
    tracks = _tracks(campaign, target)
    found = _first(campaign, target)
    return {
        "target": target.name,
        "hazards": in_order(tracks[0].hazards),
        "sequences": sum(track.sequences for track in tracks),
        "operations": sum(track.operations for track in tracks),
        "per_second": round(_rate(tracks)),
        "drivers": {
            track.driver: {
                "sequences": track.sequences,
                "operations": track.operations,
                "per_second": round(_rate([track])),
            }
            for track in tracks
        },
        "claims_broken": [
            _kept_json(group) | {"reproduced": group[0].found.reproduced, "reruns": group[0].found.reruns}
            for harm, group in found
            if harm is None
        ],
        "refuted": [_kept_json(group) for harm, group in found if harm is not None],
        "unrefuted": [harm_json(harm) for harm in _unrefuted(campaign, target)],
    }


def _kept_json(group: list[Kept]) -> dict[str, object]:
    best = group[0]
    soonest = min(group, key=lambda kept: kept.seconds)
    return {
        "kind": best.found.kind,
        "moved": best.found.moved,
        "hazards": in_order(best.found.hazards),
        "case": None if best.path is None else str(best.path),
        "operations": length(best.found.case.operations),
        "driver": soonest.driver,
        "seconds_to_find": round(soonest.seconds, 4),
        "found_by": {kept.driver: round(kept.seconds, 4) for kept in reversed(group)},
    }
