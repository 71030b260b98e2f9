"""The summary of a campaign, in tables and as JSON.

The module decides the layout of claims and refutations, and which finding represents the others of its kind.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sockiter.backend import Target
from sockiter.cases import dumps
from sockiter.claims import KnownFailure, in_order, within
from sockiter.cli.ktap import KtapTest
from sockiter.cli.output import by_reason, known_failure_json
from sockiter.fuzzing.campaign import SavedFinding, Track
from sockiter.fuzzing.counted import AnyCampaign
from sockiter.operations import length
from sockiter.schemes import GROUPS
from sockiter.verdict import Kind

if TYPE_CHECKING:
    from sockiter.cluster.pool import ClusterPool

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
# In a cell: claimed not to happen, and not seen.
_CLAIMED = "-"
# So narrow, columns stand close.
_NARROW = 100
# With more targets, the models of a group share a row.
_ROWS_MAX = 30
# So many targets are named in a sentence.
_NAMES_MAX = 3


def print_summary(
    out: Console,
    campaign: AnyCampaign,
    took: float,
    workers: int,
    absent: list[tuple[Target, str]],
    pool: ClusterPool | None = None,
    *,
    detailed: bool,
    verbose: bool = False,
) -> None:
    """Print claims and findings of the targets, and the verdict as the last line.

    `detailed`: each known failure separately, with its hazards; `verbose`: also those that were not seen.
    """
    interrupted = ", interrupted" if campaign.interrupted else ""
    each = f", {campaign.sequences:,} sequences for each target and driver" if campaign.sequences is not None else ""
    out.print(f"\n[bold]sockiter fuzz[/bold]: seed {campaign.seed}{each}, {took:.0f} s, {workers} workers{interrupted}")
    if pool is not None:
        _print_members(out, pool)
    if campaign.is_whole is False:
        out.print("[bold]Not the whole run[/bold]: it was cut. The whole run with this seed may find more or other cases.")
    out.print(_work(campaign))
    for line in _overview(out, campaign, verbose=verbose):
        out.print(line)
    if detailed and (details := _details(campaign)).row_count:
        out.print(details)
    _print_not_seen(out, campaign, verbose=verbose)
    firsts = [(target, _first(campaign, target)) for target in targets_of(campaign)]
    broken = [group[0] for _, found in firsts for failure, group in found if failure is None]
    for kept in broken:
        found = kept.found
        again = f", again in {found.reproduced} of {found.reruns} runs" if found.reruns > 1 else ""
        out.print(f"[bold red]CLAIM BROKEN[/bold red] {escape(str(found))}{again}")
        replay = f"replay it: sockiter replay {_quoted(kept.path)} --target {found.target}" if kept.path else "not saved"
        out.print(f"  {replay}\n", soft_wrap=True)
        out.print(escape(dumps(found.case)), soft_wrap=True)
    reached = {track.target.name: None for track in campaign.tracks if track.sequences}
    if unreached := [target.name for target in targets_of(campaign) if target.name not in reached]:
        out.print(f"Not reached: {', '.join(unreached)}")
    for track in campaign.tracks:
        for trouble in track.troubles:
            out.print(f"[bold]trouble[/bold] ({track.target.name}, {track.driver}): {escape(trouble)}", soft_wrap=True)
    for missing, of in by_reason((target.name, missing) for target, missing in absent).items():
        out.print(f"Not fuzzed: {escape(of)}: {escape(missing)}")
    paths = (group[0].path for _, found in firsts for failure, group in found if failure is not None)
    if example := next((path for path in paths if path), None):
        out.print(
            f"All cases are in {escape(str(example.parent))}. Look at one: sockiter show {_quoted(example)}",
            soft_wrap=True,
        )
    for text in (*pool.restarts, *pool.unconfirmed, *pool.disbelieved) if pool is not None else ():
        out.print(f"[bold red]CLUSTER[/bold red] {escape(str(text))}", soft_wrap=True)
    sequences = sum(track.sequences for track in campaign.tracks)
    if broken:
        claims = "A claim was" if len(broken) == 1 else f"{len(broken)} claims were"
        on = _listed(dict.fromkeys(kept.found.target for kept in broken))
        out.print(f"\n[bold red]{claims} broken[/bold red], on {on}, in {sequences:,} sequences.", soft_wrap=True)
    elif reached:
        sure = f"in {sequences:,} sequences on {_listed(reached)}. That is no proof."
        out.print(f"\n[bold green]No claim was broken[/bold green] {sure}", soft_wrap=True)


def _print_members(out: Console, pool: ClusterPool) -> None:
    kernels = [member.identity.kernel for member in pool.joined if member.identity is not None]
    counts = ", ".join(f"{kernels.count(kernel)} on {kernel}" for kernel in dict.fromkeys(kernels))
    lost = f"; {pool.lost} jobs were lost with their workers, and done again" if pool.lost else ""
    out.print(f"Workers of {escape(pool.address)}: {escape(counts) or 'none is left'}{lost}", soft_wrap=True)
    for note in pool.notes:
        out.print(f"  {escape(note)}", soft_wrap=True)


def _listed(names: Collection[str]) -> str:
    return escape(", ".join(names)) if len(names) <= _NAMES_MAX else f"{len(names)} targets"


def _print_not_seen(out: Console, campaign: AnyCampaign, *, verbose: bool) -> None:
    not_seen = {target.name: failures for target in targets_of(campaign) if (failures := _unrefuted(campaign, target))}
    if not not_seen:
        return
    known = sum(
        len(within(target.known_failures, tracks_on(campaign, target)[0].hazards)) for target in targets_of(campaign)
    )
    count = sum(map(len, not_seen.values()))
    hint = ":" if verbose else " (--verbose lists them)."
    out.print(f"Not seen in this run: {count} of {known} known failures{hint}")
    if verbose:
        for name, failures in not_seen.items():
            for failure in failures:
                out.print(f"  {escape(name)}: {failure}", soft_wrap=True)


def summary_json(
    campaign: AnyCampaign, took: float, absent: list[tuple[Target, str]], pool: ClusterPool | None = None
) -> dict[str, object]:
    """The summary as a JSON document."""
    return {
        "seed": campaign.seed,
        "seconds": round(took, 3),
        "interrupted": campaign.interrupted,
        "sequences": campaign.sequences,
        "whole": campaign.is_whole,
        "targets": [_target_json(campaign, target) for target in targets_of(campaign)],
        "not_here": [{"target": target.name, "missing": missing} for target, missing in absent],
        "troubles": [trouble for track in campaign.tracks for trouble in track.troubles],
        "cluster": None if pool is None else _cluster_json(pool),
    }


def _cluster_json(pool: ClusterPool) -> dict[str, object]:
    return {
        "address": pool.address,
        "workers": [
            {
                "address": member.address,
                "threads": member.threads,
                "host": member.identity.host,
                "kernel": member.identity.kernel,
                "boot_id": member.identity.boot_id,
                "python": member.identity.python,
            }
            for member in pool.joined
            if member.identity is not None
        ],
        "notes": pool.notes,
        "lost": pool.lost,
        "restarts": [
            {"host": restart.host, "kernel": restart.kernel, "seeds": list(restart.seeds)} for restart in pool.restarts
        ],
        "unconfirmed": pool.unconfirmed,
        "disbelieved": pool.disbelieved,
    }


def summary_ktap(campaign: AnyCampaign, absent: list[tuple[Target, str]]) -> list[KtapTest]:
    """The summary as KTAP: a test for each target, which fails if a claim was broken."""
    tests = [_target_ktap(campaign, target) for target in targets_of(campaign)]
    return tests + [KtapTest(target.name, "skip", missing) for target, missing in absent]


def _target_ktap(campaign: AnyCampaign, target: Target) -> KtapTest:
    tracks = tracks_on(campaign, target)
    sequences = sum(track.sequences for track in tracks)
    found = _first(campaign, target)
    lines = [f"{sequences:,} sequences, seed {campaign.seed}"]
    for failure, group in found:
        kept = group[0]
        words = f"claim broken: {kept.found}" if failure is None else f"known failure: {kept.found}"
        lines.append(f"{words}: {kept.path or kept.trouble}")
    if any(failure is None for failure, _ in found):
        return KtapTest(target.name, "not ok", lines=lines)
    troubles = [trouble for track in tracks for trouble in track.troubles]
    if troubles:
        return KtapTest(target.name, "error", troubles[0], lines)
    return KtapTest(target.name, "ok" if sequences else "skip", "" if sequences else "no sequence was finished", lines)


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


def _overview(out: Console, campaign: AnyCampaign, *, verbose: bool) -> Iterator[Table | str]:
    # The table, without the columns of what all targets claim and keep, and how to read it.
    rows = _rows(targets_of(campaign), verbose=verbose)
    cells = {label: [_cell(campaign, targets, *column) for column in _COLUMNS] for label, targets in rows.items()}
    used = [nth for nth, _ in enumerate(_COLUMNS) if any(row[nth] != _CLAIMED for row in cells.values())]
    overview = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0 if out.width < _NARROW else 1))
    overview.add_column("target", no_wrap=True)
    overview.add_column("sequences", justify="right")
    for nth in used:
        kind, moved = _COLUMNS[nth]
        overview.add_column(f"{kind}*" if moved else kind)
    for label, targets in rows.items():
        sequences = sum(track.sequences for target in targets for track in tracks_on(campaign, target))
        overview.add_row(escape(label), f"{sequences:,}", *(cells[label][nth] for nth in used))
    yield overview
    if any(len(targets) > 1 for targets in rows.values()):
        yield "A name with a number stands for so many models; --verbose gives each a line."
    if used:
        yield "4/5 in 6: four of five known failures seen; the shortest case has 6 operations."
        yield "-: claimed not to happen. *: of a socket that had itself been moved."
    shown = {_COLUMNS[nth][0] for nth in used}
    if kept := [kind for kind in dict.fromkeys(kind for kind, _ in _COLUMNS) if kind not in shown]:
        yield f"Claimed by all, and not seen: {', '.join(f'no {kind}' for kind in kept)}."
    yield ""


def _rows(targets: Sequence[Target], *, verbose: bool) -> dict[str, list[Target]]:
    # The targets of each row, by its label. Many models are a row for each group of schemes, so that the table stays short.
    if verbose or len(targets) <= _ROWS_MAX:
        return {target.name: [target] for target in targets}
    title_of = {scheme.name: title for title, schemes in GROUPS for scheme in schemes}
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(title_of.get(target.name, target.name), []).append(target)
    return {f"{title} ({len(group)})" if len(group) > 1 else group[0].name: group for title, group in groups.items()}


def _cell(campaign: AnyCampaign, targets: Sequence[Target], kind: Kind, moved: bool) -> str:
    found = [
        (failure, group[0])
        for target in targets
        for failure, group in _first(campaign, target)
        if (group[0].found.kind, group[0].found.moved) == (kind, moved)
    ]
    if any(failure is None for failure, _ in found):
        return "[bold red]BROKEN[/bold red]"
    may = sum(
        (failure.kind, failure.moved) == (kind, moved)
        for target in targets
        for failure in within(target.known_failures, tracks_on(campaign, target)[0].hazards)
    )
    least = f" in {min(length(kept.found.case.operations) for _, kept in found)}" if found else ""
    return f"{len(found)}/{may}{least}" if may else _CLAIMED


def _details(campaign: AnyCampaign) -> Table:
    details = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="Known failures that were seen, and when each driver had them",
        title_justify="left",
    )
    details.add_column("target", no_wrap=True)
    details.add_column("known failure")
    drivers = list(dict.fromkeys(track.driver for track in campaign.tracks))
    for title in ("length", *drivers):
        details.add_column(title, justify="right", no_wrap=True)
    for target in targets_of(campaign):
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
    tracks = tracks_on(campaign, target)
    found = _first(campaign, target)
    return {
        "target": getattr(target, "target", target.name),
        "kernel": getattr(target, "kernel", None),
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
    return {
        "kind": best.found.kind,
        "moved": best.found.moved,
        "elsewhere": best.found.elsewhere,
        "hazards": in_order(best.found.hazards),
        "case": None if best.path is None else str(best.path),
        "operations": length(best.found.case.operations),
        "driver": soonest.driver,
        "seconds_to_find": round(soonest.seconds, 4),
        "sequences_to_find": soonest.sequences,
        "found_by": {kept.driver: round(kept.seconds, 4) for kept in reversed(group)},
    }


def _soonness(kept: SavedFinding) -> float:
    # By the clock only where nothing else is counted.
    return kept.seconds if kept.sequences is None else kept.sequences


def _first(campaign: AnyCampaign, target: Target) -> list[tuple[KnownFailure | None, list[SavedFinding]]]:
    # The findings on a target by known failure, shortest case first; broken claims by case.
    groups: dict[object, list[SavedFinding]] = {}
    for track in tracks_on(campaign, target):
        for kept in track.kept:
            key = kept.found.known_failure or (kept.found.signature, kept.found.case.operations)
            groups.setdefault(key, []).append(kept)
    for group in groups.values():
        group.sort(key=lambda kept: (length(kept.found.case.operations), _soonness(kept)))
    return [(group[0].found.known_failure, group) for group in groups.values()]


def _unrefuted(campaign: AnyCampaign, target: Target) -> list[KnownFailure]:
    tracks = tracks_on(campaign, target)
    return [failure for failure in target.known_failures if all(failure in track.pending for track in tracks)]


def tracks_on(campaign: AnyCampaign, target: Target) -> list[Track]:
    """The tracks of a target, one for each driver."""
    return [track for track in campaign.tracks if track.target is target]


def _rate(tracks: Sequence[Track]) -> float:
    # Operations per second of search; 0 without a search.
    seconds = sum(track.seconds for track in tracks)
    return sum(track.operations for track in tracks) / seconds if seconds else 0


def targets_of(campaign: AnyCampaign) -> list[Target]:
    """The targets of a campaign, each once."""
    return list({track.target.name: track.target for track in campaign.tracks}.values())
