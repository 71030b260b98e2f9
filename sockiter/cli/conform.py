"""`sockiter conform`: whether a kernel's iterator delivers what a scheme does."""

from __future__ import annotations

import platform
import random
import sys
import time
from pathlib import Path

import click

from sockiter.cases import dumps, save
from sockiter.claims import HAZARDS, Hazard, in_order
from sockiter.cli.output import print_json
from sockiter.conformance import Conformance
from sockiter.errors import InputError, MachineLacks
from sockiter.kernel import KERNEL_TARGETS
from sockiter.schemes import SCHEMES
from sockiter.targets import target_named

_SEQUENCES = 10_000


@click.command()
@click.argument("name", metavar="TARGET")
@click.argument("scheme_name", metavar="[SCHEME]", required=False)
@click.option("--sequences", type=click.IntRange(1), default=_SEQUENCES, show_default=True, help="How many to compare.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after so long, however many there were.")
@click.option("--seed", type=int, help="Draw the same sequences again.")
@click.option(
    "--hazard", "hazards", multiple=True, type=click.Choice(HAZARDS), help="Only these; may be given several times."
)
@click.option(
    "--cases",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("sockiter-cases"),
    show_default=True,
    help="Where the least case of a difference is kept.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def conform(
    name: str,
    scheme_name: str | None,
    *,
    sequences: int,
    seconds: float | None,
    seed: int | None,
    hazards: tuple[Hazard, ...],
    cases: Path,
    as_json: bool,
) -> None:
    """Carry out random sequences on a kernel's iterator and on a scheme, and compare what every read delivers.

    Without SCHEME, the one that the running kernel was found to walk by. Exit status 1 means a difference, of which a least
    case is kept. A sequence that the kernel cannot carry out is left out, and counted.
    """
    target = next((one for one in KERNEL_TARGETS if one.name == name), None)
    if target is None:
        target_named(name)
        raise InputError(f"{name} is no kernel's iterator: expected one of {', '.join(one.name for one in KERNEL_TARGETS)}")
    if (missing := target.missing()) is not None:
        raise MachineLacks(f"{name} does not run here: {missing}")
    scheme_name = scheme_name or target.walks_by
    if scheme_name is None:
        raise MachineLacks(f"{name} walks by no scheme that is known here; name one to compare it with")
    scheme = next((one for one in SCHEMES if one.name == scheme_name), None)
    if scheme is None:
        raise InputError(f"no scheme is named {scheme_name!r}: expected one of {', '.join(one.name for one in SCHEMES)}")
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    on = frozenset(hazards or HAZARDS) & target.hazards & scheme.hazards
    path: Path | None = None
    started = time.monotonic()
    with target.session() as session:
        conformance = Conformance(target, session, scheme, records_max=target.records_max)
        compared = conformance.compared
        differences = conformance.differences(f"{seed}/conform", on)
        while (difference := next(differences)) is None:
            if compared.sequences >= sequences or (seconds and time.monotonic() - started >= seconds):
                break
        if difference is not None:
            difference = conformance.shrunk(difference)
            case = conformance.case(difference)
            try:
                path = save(case, cases, f"{name}-{scheme_name}-difference")
            except OSError as error:
                click.echo(f"sockiter: {cases}: {error.strerror}: this case could not be saved:\n{dumps(case)}", err=True)
    if as_json:
        print_json(
            {
                "target": name,
                "scheme": scheme_name,
                "kernel": platform.release(),
                "seed": seed,
                "hazards": in_order(on),
                "sequences": compared.sequences,
                "operations": compared.operations,
                "sockets": compared.sockets,
                "left_out": compared.untold,
                "seconds": round(time.monotonic() - started, 3),
                "difference": None if difference is None else {"case": path and str(path), "read": difference.at},
            }
        )
    else:
        told = f"{compared.sequences:,} sequences, {compared.operations:,} operations, up to {compared.sockets} sockets"
        left_out = f"; {compared.untold:,} left out, which this kernel cannot tell of" if compared.untold else ""
        click.echo(f"{name} (Linux {platform.release()}) and {scheme_name}: {told}, seed {seed}{left_out}")
        click.echo(f"Hazards: {', '.join(in_order(on)) or 'none'}.")
        if difference is None:
            click.echo("No difference in what any read delivered. That is no proof.")
        else:
            click.echo(f"A DIFFERENCE at read {difference.at} of this case, which is kept as {path}:\n")
            click.echo(dumps(case), nl=False)
    if difference is not None:
        sys.exit(1)
