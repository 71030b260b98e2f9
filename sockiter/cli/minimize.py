"""`sockiter minimize`: shrink a case by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sockiter.backend import run
from sockiter.cases import STDIN, Case, dumps
from sockiter.cli.output import note, print_json
from sockiter.cli.subject import choose_target, drop_unneeded_rights
from sockiter.errors import InputError, Unavailable
from sockiter.files import escaped, write_whole
from sockiter.fuzzing.triage import fails_as, shrunk
from sockiter.operations import length
from sockiter.oracle import judge
from sockiter.replay import refused, with_expects
from sockiter.shrink.minimize import Patience
from sockiter.targets import SCHEME_TARGETS, load_known
from sockiter.verdict import KINDS, describe


@click.command()
@click.argument("case_file", type=click.Path(path_type=Path), metavar="CASE")
@click.option("--target", "name", metavar="T", help="The target; default: as for show.")
@click.option(
    "--kind",
    type=click.Choice([kind for kind in KINDS if kind != "incomplete"]),
    help="The kind of finding, if there are several.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write the case there; default: standard output."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def minimize(case_file: Path, *, name: str | None, kind: str | None, output: Path | None, as_json: bool) -> None:
    """Shrink a case to a shortest case with the same failure on the same target. Ctrl-C keeps the shortest case so far.

    CASE is a file, or - for standard input.
    """
    case = load_known(case_file)
    target = choose_target(case, name, case_file)
    drop_unneeded_rights([target])
    if why := refused(case, target):
        raise Unavailable(f"{escaped(case_file)}: {why}")
    with target.session() as session:
        verdict = judge(run(session, target, case.operations, slots=case.slots))
        failures = [finding for finding in verdict if finding.kind != "incomplete" and kind in (None, finding.kind)]
        if not failures:
            raise InputError(f"{escaped(case_file)}: {describe(verdict)} on {target.name}: expected a case that fails there")
        finding = failures[0]
        patience = Patience()
        operations, slots, is_shortest = shrunk(
            case.operations, case.slots, finding, target, fails_as(finding, target, session), patience
        )
    # The old `expect` lines are dropped: they may name sockets that are no longer in the case.
    origin = "standard input" if str(case_file) == STDIN else escaped(case_file.name)
    least = Case(operations, slots, comment=(f"Shrunk from {origin}.",))
    least = with_expects(least, {t.name: t for t in (*SCHEME_TARGETS, target)}.values())
    if output is not None:
        try:
            write_whole(output, dumps(least))
        except OSError as error:
            raise Unavailable(f"{escaped(output)}: cannot be written: {error.strerror}\n{dumps(least)}") from None
    summary = {
        "target": target.name,
        "kind": finding.kind,
        "moved": finding.moved,
        "elsewhere": finding.elsewhere,
        "operations_before": length(case.operations),
        "operations": length(operations),
        "shortest": is_shortest,
        "case": dumps(least),
    }
    if as_json:
        print_json(summary)
        _exit_if(patience)
        return
    sure = ", the shortest with these hazards, sockets, buckets and slots" if is_shortest else ""
    note(f"{target.name}: {finding}: from {length(case.operations)} operations to {length(operations)}{sure}")
    if output is None:
        click.echo(dumps(least), nl=False)
    _exit_if(patience)


def _exit_if(patience: Patience) -> None:
    if patience.interrupted:
        note("interrupted: not shrunk to the end")
        sys.exit(130)
