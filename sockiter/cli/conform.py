"""`sockiter conform`: compares the deliveries of a kernel's iterator and of a scheme."""

from __future__ import annotations

import math
import platform
import random
import sys
import time
from pathlib import Path

import click
from rich.progress import Progress, TaskID

from sockiter.backend import barred
from sockiter.cases import dumps
from sockiter.claims import HAZARDS, Hazard, in_order
from sockiter.cli.ktap import KtapTest, ktap_option, print_ktap
from sockiter.cli.names import KERNEL_TARGET, SCHEME, hazard_option
from sockiter.cli.output import print_json
from sockiter.cli.progress import watch
from sockiter.cli.subject import kernel_target
from sockiter.conform import ConformanceTrial
from sockiter.errors import InputError, Unavailable
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.sockets.base import SOCKETS_MAX
from sockiter.schemes.scheme import AnyScheme
from sockiter.targets import PLUGIN_TARGETS, SCHEME_TARGETS, close_to, expected, require_running, scheme_of

_SEQUENCES = 10_000


@click.command()
@click.argument("name", type=KERNEL_TARGET, metavar="TARGET")
@click.argument("scheme_name", type=SCHEME, metavar="[SCHEME]", required=False)
@click.option(
    "--sequences", type=click.IntRange(1), default=_SEQUENCES, show_default=True, help="Number of sequences to compare."
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after this time.")
@click.option(
    "--crowd",
    type=click.IntRange(1, SOCKETS_MAX),
    metavar="N",
    help="Up to N more sockets in each sequence, and reads of up to 4096 records.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Draw the same sequences again.")
@hazard_option(HAZARDS, "Only this hazard.")
@click.option(
    "--cases",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("sockiter-cases"),
    show_default=True,
    help="Directory for the shortest case of a difference.",
)
@click.option("--json", "as_json", is_flag=True, is_eager=True, help="One JSON document on standard output.")
@ktap_option
def conform(
    name: str,
    scheme_name: str | None,
    *,
    sequences: int,
    seconds: float | None,
    crowd: int | None,
    seed: int | None,
    hazards: tuple[Hazard, ...],
    cases: Path,
    as_json: bool,
    as_ktap: bool,
) -> None:
    """Run random sequences on a kernel's iterator and on a scheme, and compare the deliveries of every read.

    SCHEME: default: the scheme that the running kernel was detected to use. A sequence that the kernel cannot run is left
    out, and counted.
    """
    target = kernel_target(name, KERNEL_TARGETS)
    require_running(target)
    scheme_name = scheme_name or target.detected_scheme
    if scheme_name is None:
        raise Unavailable(f"{name} uses no known scheme; name a SCHEME to compare it with")
    scheme = _scheme(scheme_name)
    if why := barred(target, hazards):
        raise Unavailable(why.text)
    if unable := in_order(frozenset(hazards) - scheme.hazards):
        raise Unavailable(f"{scheme.name} does not support: {', '.join(unable)}")
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    trial = ConformanceTrial(
        target, scheme, seed=f"{seed}/conform", hazards=frozenset(hazards or HAZARDS), cases=cases, crowd=crowd or 0
    )
    started = time.monotonic()
    _run(trial, sequences, seconds)
    took = time.monotonic() - started
    kept = trial.kept
    if kept and kept.trouble:
        click.echo(f"sockiter: {kept.trouble}: this case could not be saved:\n{dumps(kept.case)}", err=True)
    if as_json:
        print_json(_json(trial, seed, took))
    elif as_ktap:
        print_ktap([_ktap(trial, seed)])
    else:
        _print(trial, seed)
    if trial.interrupted:
        raise KeyboardInterrupt
    if kept:
        sys.exit(1)


def _scheme(name: str) -> AnyScheme:
    schemes = (*SCHEME_TARGETS, *PLUGIN_TARGETS)
    for target in schemes:
        if target.name == name:
            # A scheme of another package that cannot be loaded has the reason.
            scheme = scheme_of(require_running(target))
            assert scheme is not None
            return scheme
    known = [target.name for target in schemes]
    raise InputError(f"no scheme is named {name!r}: {expected(close_to(name, known), known)}")


def _run(trial: ConformanceTrial, sequences: int, seconds: float | None) -> None:
    def update(bar: Progress, task: TaskID) -> None:
        counts = trial.counts
        doing = "shrinking a difference" if trial.kept else f"{counts.operations:,} operations compared"
        bar.update(task, completed=counts.sequences, description=f"{trial.target.name} and {trial.scheme.name}: {doing}")

    watch(
        lambda progress: trial.run(sequences, math.inf if seconds is None else seconds, progress),
        update,
        total=sequences,
        left="{task.completed:,.0f} of {task.total:,.0f} sequences",
    )


def _print(trial: ConformanceTrial, seed: int) -> None:
    counts = trial.counts
    compared = f"{counts.sequences:,} sequences, {counts.operations:,} operations, up to {counts.sockets} sockets"
    names = f"{trial.target.name} (Linux {platform.release()}) and {trial.scheme.name}"
    click.echo(f"{names}: {compared}, seed {seed}{', interrupted' if trial.interrupted else ''}")
    click.echo(f"Hazards: {', '.join(in_order(trial.hazards)) or 'none'}.")
    if counts.left_out:
        click.echo(f"{counts.left_out:,} sequences were left out as inconclusive; the first: {counts.why_left_out}")
    if (kept := trial.kept) is None:
        click.echo("All reads delivered the same. That is no proof.")
        return
    where = f"saved as {kept.path}" if kept.path else ""
    if kept.trouble:
        where = f"not saved; the unshrunk case is {where}" if where else "not saved"
    least = "" if kept.is_least else ", not completely shrunk"
    click.echo(f"A DIFFERENCE at read {kept.difference.at} of this case, which is {where}{least}:\n")
    click.echo(dumps(kept.case), nl=False)


def _ktap(trial: ConformanceTrial, seed: int) -> KtapTest:
    counts, kept = trial.counts, trial.kept
    lines = [f"{counts.sequences:,} sequences, {counts.operations:,} operations, {counts.left_out:,} left out, seed {seed}"]
    if kept is not None:
        lines += [f"a difference at read {kept.difference.at} of {kept.path or 'a case that was not saved'}"]
    name = f"{trial.target.name} and {trial.scheme.name}"
    if kept is None and trial.interrupted:
        return KtapTest(name, "skip", "interrupted", lines)
    return KtapTest(name, "ok" if kept is None else "not ok", lines=lines)


def _json(trial: ConformanceTrial, seed: int, took: float) -> dict[str, object]:
    counts, kept = trial.counts, trial.kept
    return {
        "target": trial.target.name,
        "scheme": trial.scheme.name,
        "kernel": platform.release(),
        "seed": seed,
        "interrupted": trial.interrupted,
        "hazards": in_order(trial.hazards),
        "crowd": trial.crowd,
        "sequences": counts.sequences,
        "operations": counts.operations,
        "sockets": counts.sockets,
        "left_out": counts.left_out,
        "why_left_out": counts.why_left_out or None,
        "seconds": round(took, 3),
        "difference": kept
        and {
            "case": kept.path and str(kept.path),
            "read": kept.difference.at,
            "least": kept.is_least,
        },
    }
