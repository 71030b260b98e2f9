"""`sockiter advise`: what each way to list or destroy sockets can lose here, and which way to prefer.

The module decides the table, the JSON document and the exit status. A measurement that shows more than the model admits is a
finding: status 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from sockiter.advice.advice import SITUATIONS, Situation, SourceAdvice, Way, readers_of, recommendation, surprises
from sockiter.advice.compute import AdviceWorkers, tasks_of
from sockiter.advice.page import html
from sockiter.advice.risks import EVENTS, SOCKETS, Effect, scope_of
from sockiter.cases import dumps
from sockiter.cli import options
from sockiter.cli.names import KERNEL_TARGET, SCHEME, expanded
from sockiter.cli.origin import origin
from sockiter.cli.output import by_reason, console, note, note_written, print_json, scope_json, write
from sockiter.cli.progress import watch
from sockiter.cli.subject import choose_targets, drop_unneeded_rights
from sockiter.errors import InputError, Unavailable
from sockiter.files import escaped
from sockiter.kernel import KERNEL_TARGETS
from sockiter.matrix.matrix import describe
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named

SECONDS = 3.0
SEED = "0"


@click.command()
@click.argument("names", nargs=-1, type=KERNEL_TARGET, metavar="[SOURCE...]")
@click.option("--scheme", "schemes", type=SCHEME, multiple=True, metavar="SCHEME", help="Advise for a scheme instead.")
@click.option(
    "--as",
    "situation",
    type=click.Choice([situation.name for situation in SITUATIONS]),
    help="For a program like this one: its sources, and its own way to read first.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=SECONDS,
    show_default=True,
    help="Time to measure each source on the kernel; 0: not at all.",
)
@click.option("--seed", default=SEED, show_default=True, metavar="SEED", help="Of the random sequences on the kernel.")
@click.option(
    "--sockets", type=click.IntRange(1, 8), default=SOCKETS, show_default=True, help="Sockets at once in the searches."
)
@options.workers("searches")
@options.memory()
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write a self-contained page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def advise(
    names: tuple[str, ...],
    *,
    schemes: tuple[str, ...],
    situation: str | None,
    seconds: float,
    seed: str,
    sockets: int,
    workers: int,
    memory_max: int,
    page: Path | None,
    as_json: bool,
) -> None:
    """Say how to list or destroy sockets safely here: the risks of each way to read, and the way to prefer.

    A SOURCE is an iterator, a file or a dump of the running kernel; default: all that run here. Its risks are searched on
    the model of the scheme that it was detected to use, and measured on the kernel. Without root, name the scheme:
    --scheme offset-udp.
    """
    chosen_situation = next((known for known in SITUATIONS if known.name == situation), None)
    sources = _of_schemes(schemes, names) if schemes else _of_kernel(names, chosen_situation)
    drop_unneeded_rights([source.target for source in sources])
    if page is not None and not page.absolute().parent.is_dir():
        raise Unavailable(f"{escaped(page)}: cannot be written: there is no such directory")
    tasks = tasks_of(sources, sockets=sockets, seconds=seconds, seed=seed, memory_max=memory_max // workers)
    work = AdviceWorkers(tasks, workers=workers)
    watch(
        work.run,
        lambda bar, bar_task: _update(work, bar, bar_task),
        total=len(tasks),
        left="{task.completed:.0f} of {task.total:.0f} searches and measurements, {task.elapsed:.0f} s",
    )
    if page is not None:
        text = html(sources, chosen_situation, origin())
        write(page, text)
        note_written(page, text)
    if as_json:
        print_json(_document(sources, chosen_situation, sockets))
    else:
        _print(console(), sources, chosen_situation)
    if work.interrupted:
        raise KeyboardInterrupt
    ways = [way for source in sources for way in source.ways]
    if any(surprises(source, way) for source in sources for way in source.ways):
        sys.exit(1)
    if all(way.risks is None for way in ways):
        raise Unavailable(f"nothing could be searched: {next(way.trouble for way in ways)}")


def _of_schemes(schemes: tuple[str, ...], names: tuple[str, ...]) -> list[SourceAdvice]:
    if names:
        raise InputError(f"--scheme takes the place of a source: expected no {names[0]}")
    sources = []
    for name in schemes:
        target = target_named(name)
        if not isinstance(target, SchemeTarget):
            raise InputError(f"{name} is no scheme: expected a source without --scheme, or a scheme")
        sources.append(SourceAdvice(target, name, ways=[Way(reader) for reader in readers_of(target)]))
    note("from the model alone: nothing was measured, and which scheme a kernel uses is shown by `sockiter targets`")
    return sources


def _of_kernel(names: tuple[str, ...], situation: Situation | None) -> list[SourceAdvice]:
    known = [target.name for target in KERNEL_TARGETS]
    if situation is not None and not names:
        names = tuple(name for name in known if any(fnmatchcase(name, pattern) for pattern in situation.sources))
    for name in expanded(names, known, noun="source"):
        if not target_named(name).is_real:
            raise InputError(f"{name} is a scheme: expected --scheme {name}")
    chosen, absent = choose_targets(names or ("kernel:*",))
    for why, of in by_reason((target.name, why) for target, why in absent).items():
        note(f"not here: {of}: {why}")
    sources = []
    for target in chosen:
        scheme = target.detected_scheme
        if scheme is None:
            note(f"{target.name} walks by no scheme that is known here; it can only be fuzzed")
            continue
        readers = readers_of(target)
        if situation is not None:
            if situation.reader not in readers:
                note(f"{target.name} does not offer the reader {situation.reader.name} here")
            readers = tuple(sorted(readers, key=lambda reader: reader != situation.reader))
        sources.append(SourceAdvice(target, scheme, [Way(reader) for reader in readers]))
    if not sources:
        raise Unavailable("no source of this kernel has a model: expected --scheme")
    return sources


def _update(work: AdviceWorkers, bar: Progress, bar_task: TaskID) -> None:
    doing = [f"{task.job.target} {task.job.reader}: {task.done:,}" for _, task in work.running.values()]
    bar.update(bar_task, completed=sum(task.is_over for task in work.tasks), description=escape("; ".join(doing)))


def _print(out: Console, sources: Sequence[SourceAdvice], situation: Situation | None) -> None:
    for source in sources:
        title = f"{source.target.name}: walks by {source.scheme}" if source.target.is_real else source.scheme
        out.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in ("reader", "lost", "listed twice", "error"):
            table.add_column(column)
        if any(way.measured for way in source.ways):
            table.add_column("measured here", justify="right")
        for way in source.ways:
            own = situation is not None and way.reader == situation.reader
            cells = [f"{way.reader.name}{' (yours)' if own else ''}"]
            if way.risks is None or way.risks.incomplete:
                cells += [f"? {way.trouble or (way.risks.incomplete if way.risks else 'not searched')}", "?", "?"]
            else:
                cells += [_events(way, "lost", "survives", "endless"), _events(way, "doubled"), _events(way, "error")]
            if way.measured is not None:
                cells.append(_measured(way))
            table.add_row(*map(escape, cells))
        out.print(table)
        for surprise in (surprise for way in source.ways for surprise in surprises(source, way)):
            out.print(f"[bold red]NOT IN THE MODEL[/bold red]: {escape(surprise)}", soft_wrap=True)
        for purpose, destroys in (("To list", False), ("To destroy", True)):
            if sentence := recommendation(source, destroys=destroys):
                out.print(f"{purpose}: {escape(sentence)}", soft_wrap=True)
        out.print()
    scopes = dict.fromkeys(describe(way.risks.scope) for source in sources for way in source.ways if way.risks)
    out.print(f"Searched in this scope: {'; '.join(scopes) or 'nothing'}.", soft_wrap=True)
    out.print("Every socket that is there from beginning to end counts. A reader that destroys leaves alive what it loses.")
    for event in EVENTS:
        out.print(f"  {event.name:<8} {event.summary}", soft_wrap=True)
    out.print("  -        never, in the scope;  *  only the socket itself that the event concerns", soft_wrap=True)


def _events(way: Way, *effects: Effect) -> str:
    assert way.risks is not None
    parts = [
        "+".join(event.name for event in risk.events or ()) + ("*" if risk.own else "") or "always"
        for risk in way.risks.risks
        if risk.effect in effects
    ]
    return ", ".join(dict.fromkeys(parts)) or "-"


def _measured(way: Way) -> str:
    measured = way.measured
    assert measured is not None
    counts: dict[str, int] = {}
    for (effect, _), walks in measured.effects.items():
        counts[effect] = counts.get(effect, 0) + walks
    found = ", ".join(f"{effect} in {walks:,}" for effect, walks in counts.items())
    return f"{found or 'nothing'} of {measured.walks:,}"


def _document(sources: Sequence[SourceAdvice], situation: Situation | None, sockets: int) -> dict[str, Any]:
    return {
        "situation": situation and situation.name,
        "events": [{"event": event.name, "summary": event.summary, "hazards": sorted(event.hazards)} for event in EVENTS],
        "sources": [_source_json(source, sockets) for source in sources],
    }


def _source_json(source: SourceAdvice, sockets: int) -> dict[str, Any]:
    scheme = target_named(source.scheme)
    assert isinstance(scheme, SchemeTarget)
    return {
        "source": source.target.name,
        "scheme": source.scheme,
        "scope": scope_json(scope_of(scheme.scheme, sockets)),
        "to_list": recommendation(source, destroys=False) or None,
        "to_destroy": recommendation(source, destroys=True) or None,
        "ways": [_way_json(source, way) for way in source.ways],
    }


def _way_json(source: SourceAdvice, way: Way) -> dict[str, Any]:
    return {
        "reader": way.reader.name,
        "advice": way.reader.advice,
        "complete": way.risks is not None and not way.risks.incomplete,
        "trouble": way.trouble or (way.risks.incomplete if way.risks else "") or None,
        "risks": [
            {
                "effect": risk.effect,
                "own": risk.own,
                "events": [event.name for event in risk.events],
                "case": dumps(risk.case),
            }
            for risk in (way.risks.risks if way.risks else ())
        ],
        "measured": way.measured
        and {
            "walks": way.measured.walks,
            "seconds": round(way.measured.seconds, 3),
            "seed": way.measured.seed,
            "effects": [
                {"effect": effect, "own": own, "walks": walks, "case": dumps(way.measured.cases[effect, own])}
                for (effect, own), walks in sorted(way.measured.effects.items())
            ],
        },
        "surprises": surprises(source, way),
    }
