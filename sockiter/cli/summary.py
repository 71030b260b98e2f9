"""The summary of a campaign, in tables and as JSON.

The module decides the layout of claims and refutations, and which finding represents the others of its kind.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sockiter.backend import Target
from sockiter.cases import dumps
from sockiter.claims import KnownFailure, in_order, within
from sockiter.cli.output import known_failure_json
from sockiter.fuzzing.campaign import SavedFinding, Track
from sockiter.fuzzing.counted import AnyCampaign, CountedCampaign
from sockiter.operations import length
from sockiter.verdict import Kind

# The columns of the overview: each kind, for moved sockets and for others.
_COLUMNS: tuple[tuple[Kind, bool], ...] = (
    ("skip", False),
    ("skip", True),
    ("repeat", False),
    ("repeat", True),
    ("stale", False),
    ("stuck", False),
    ("refused", False),
)


def print_summary(
    out: Console, campaign: AnyCampaign, took: float, workers: int, absent: list[tuple[Target, str]], *, detailed: bool
) -> None:
    """Print claims and findings of the targets; `detailed`: each known failure separately, with its hazards."""
    interrupted = ", interrupted" if campaign.interrupted else ""
    each = f", {campaign.sequences:,} sequences for each target and driver" if isinstance(campaign, CountedCampaign) else ""
    out.print(f"\n[bold]sockiter fuzz[/bold]: seed {campaign.seed}{each}, {took:.0f} s, {workers} workers{interrupted}")
    if isinstance(campaign, CountedCampaign) and not campaign.is_whole:
        out.print("[bold]Not the whole run[/bold]: it was cut. The whole run with this seed may find more or other cases.")
    out.print(_work(campaign))
    out.print(_overview(campaign))
    out.print(
        "-: claimed not to happen, and not seen. 4/5 in 6: four of five known failures were seen; the shortest case has\n"
        "6 operations. Moved: of a socket that had itself been moved.\n"
    )
    if detailed and (details := _details(campaign)).row_count:
        out.print(details)
    if not_seen := [
        f"{target.name}: {failure}" for target in _targets(campaign) for failure in _unrefuted(campaign, target)
    ]:
        out.print("Known failures not seen in this run: " + "; ".join(not_seen) + ".\n")
    firsts = [(target, _first(campaign, target)) for target in _targets(campaign)]
    broken = [group[0] for _, found in firsts for failure, group in found if failure is None]
    for kept in broken:
        found = kept.found
        again = f", again in {found.reproduced} of {found.reruns} runs" if found.reruns > 1 else ""
        out.print(f"[bold red]CLAIM BROKEN[/bold red] {escape(str(found))}{again}")
        replay = f"replay it: sockiter replay {_quoted(kept.path)} --target {found.target}" if kept.path else "not saved"
        out.print(f"  {replay}\n", soft_wrap=True)
        out.print(escape(dumps(found.case)), soft_wrap=True)
    sequences = sum(track.sequences for track in campaign.tracks)
    reached = {track.target.name: None for track in campaign.tracks if track.sequences}
    if reached and not broken:
        on = ", ".join(reached)
        out.print(f"[bold green]No claim was broken[/bold green] in {sequences:,} sequences on {on}. That is no proof.")
    if unreached := [target.name for target in _targets(campaign) if target.name not in reached]:
        out.print(f"Not reached: {', '.join(unreached)}")
    for track in campaign.tracks:
        for trouble in track.troubles:
            out.print(f"[bold]trouble[/bold] ({track.target.name}, {track.driver}): {escape(trouble)}", soft_wrap=True)
    for target, missing in absent:
        out.print(f"Not fuzzed: {target.name}: {escape(missing)}")
    paths = (group[0].path for _, found in firsts for failure, group in found if failure is not None)
    if example := next((path for path in paths if path), None):
        out.print(
            f"All cases are in {escape(str(example.parent))}. Look at one: sockiter show {_quoted(example)}",
            soft_wrap=True,
        )


def summary_json(campaign: AnyCampaign, took: float, absent: list[tuple[Target, str]]) -> dict[str, object]:
    """The summary as a JSON document."""
    return {
        "seed": campaign.seed,
        "seconds": round(took, 3),
        "interrupted": campaign.interrupted,
        "sequences": campaign.sequences if isinstance(campaign, CountedCampaign) else None,
        "whole": campaign.is_whole if isinstance(campaign, CountedCampaign) else None,
        "targets": [_target_json(campaign, target) for target in _targets(campaign)],
        "not_here": [{"target": target.name, "missing": missing} for target, missing in absent],
        "troubles": [trouble for track in campaign.tracks for trouble in track.troubles],
    }


def _work(campaign: AnyCampaign) -> Table:
    work = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    work.add_column("driver")
    for title in ("sequences", "operations", "operations/s"):
        work.add_column(title, justify="right")
    for driver in dict.fromkeys(track.driver for track in campaign.tracks):
        tracks = [track for track in campaign.tracks if track.driver == driver]
        numbers = (sum(track.sequences for track in tracks), sum(track.operations for track in tracks), _rate(tracks))
        work.add_row(driver, *(f"{number:,.0f}" for number in numbers))
    return work


def _overview(campaign: AnyCampaign) -> Table:
    overview = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    overview.add_column("target", no_wrap=True)
    overview.add_column("sequences", justify="right")
    for kind, moved in _COLUMNS:
        overview.add_column(f"{kind}{', moved' if moved else ''}")
    for target in _targets(campaign):
        tracks = _tracks(campaign, target)
        admitted = within(target.known_failures, tracks[0].hazards)
        overview.add_row(
            target.name,
            f"{sum(track.sequences for track in tracks):,}",
            *(_cell(campaign, target, admitted, *column) for column in _COLUMNS),
        )
    return overview


def _cell(campaign: AnyCampaign, target: Target, admitted: frozenset[KnownFailure], kind: Kind, moved: bool) -> str:
    found = [
        (failure, group[0])
        for failure, group in _first(campaign, target)
        if (group[0].found.kind, group[0].found.moved) == (kind, moved)
    ]
    if any(failure is None for failure, _ in found):
        return "[bold red]BROKEN[/bold red]"
    may = sum((failure.kind, failure.moved) == (kind, moved) for failure in admitted)
    least = f" in {min(length(kept.found.case.operations) for _, kept in found)}" if found else ""
    return f"{len(found)}/{may}{least}" if may else "-"


def _details(campaign: AnyCampaign) -> Table:
    details = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="Known failures that were seen: the shortest case, and the time of each driver",
        title_justify="left",
    )
    for title in ("target", "known failure"):
        details.add_column(title)
    drivers = list(dict.fromkeys(track.driver for track in campaign.tracks))
    for title in ("operations", *(f"{driver} after" for driver in drivers)):
        details.add_column(title, justify="right")
    for target in _targets(campaign):
        for failure, group in _first(campaign, target):
            if failure is not None:
                after = {kept.driver: f"{kept.seconds:.2f} s" for kept in reversed(group)}
                operations = str(length(group[0].found.case.operations))
                details.add_row(target.name, str(failure), operations, *(after.get(driver, "-") for driver in drivers))
    return details


def _quoted(path: Path) -> str:
    # Quoted for a shell, and escaped for Rich.
    return escape(shlex.quote(str(path)))


def _target_json(campaign: AnyCampaign, target: Target) -> dict[str, object]:
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
            for failure, group in found
            if failure is None
        ],
        "refuted": [_kept_json(group) for failure, group in found if failure is not None],
        "unrefuted": [known_failure_json(failure) for failure in _unrefuted(campaign, target)],
    }


def _kept_json(group: list[SavedFinding]) -> dict[str, object]:
    best = group[0]
    soonest = min(group, key=_soonness)
    counted: dict[str, object] = {} if soonest.sequences is None else {"sequences_to_find": soonest.sequences}
    document: dict[str, object] = {
        "kind": best.found.kind,
        "moved": best.found.moved,
        "elsewhere": best.found.elsewhere,
        "hazards": in_order(best.found.hazards),
        "case": None if best.path is None else str(best.path),
        "operations": length(best.found.case.operations),
        "driver": soonest.driver,
        "seconds_to_find": round(soonest.seconds, 4),
        "found_by": {kept.driver: round(kept.seconds, 4) for kept in reversed(group)},
    }
    return document | counted


def _soonness(kept: SavedFinding) -> float:
    # By the clock only where nothing else is counted.
    return kept.seconds if kept.sequences is None else kept.sequences


def _first(campaign: AnyCampaign, target: Target) -> list[tuple[KnownFailure | None, list[SavedFinding]]]:
    # The findings on a target by known failure, shortest case first; broken claims by case.
    groups: dict[object, list[SavedFinding]] = {}
    for track in _tracks(campaign, target):
        for kept in track.kept:
            key = kept.found.known_failure or (kept.found.signature, kept.found.case.operations)
            groups.setdefault(key, []).append(kept)
    for group in groups.values():
        group.sort(key=lambda kept: (length(kept.found.case.operations), _soonness(kept)))
    return [(group[0].found.known_failure, group) for group in groups.values()]


def _unrefuted(campaign: AnyCampaign, target: Target) -> list[KnownFailure]:
    return [
        failure for failure in target.known_failures if all(failure in track.pending for track in _tracks(campaign, target))
    ]


def _tracks(campaign: AnyCampaign, target: Target) -> list[Track]:
    return [track for track in campaign.tracks if track.target is target]


def _rate(tracks: Sequence[Track]) -> float:
    # Operations per second of search; 0 without a search.
    seconds = sum(track.seconds for track in tracks)
    return sum(track.operations for track in tracks) / seconds if seconds else 0


def _targets(campaign: AnyCampaign) -> list[Target]:
    return list({track.target.name: track.target for track in campaign.tracks}.values())
