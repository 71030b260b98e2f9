"""`sockiter minimize`: shrink a case by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from sockiter.backend import Session, Target, run
from sockiter.cases import STDIN, Case, dumps
from sockiter.cli.names import target_option
from sockiter.cli.output import note, print_json
from sockiter.cli.subject import choose_targets_of, drop_unneeded_rights
from sockiter.errors import InputError, Unavailable
from sockiter.files import escaped, write_whole
from sockiter.fuzzing.triage import fails_as, shrunk
from sockiter.operations import length
from sockiter.oracle import judge
from sockiter.replay import with_expects
from sockiter.shrink.minimize import Fails, Patience
from sockiter.shrink.minimize import minimize as minimized
from sockiter.targets import SCHEME_TARGETS, load_known
from sockiter.verdict import KINDS, Finding, describe


@click.command()
@click.argument("case_file", type=click.Path(path_type=Path), metavar="CASE")
@target_option("The target on which it fails; may be repeated, and a pattern; default: as for `show`.")
@click.option(
    "--kind",
    type=click.Choice([kind for kind in KINDS if kind != "incomplete"]),
    help="The kind of finding, if there are several.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write the case there; default: standard output."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def minimize(case_file: Path, *, names: tuple[str, ...], kind: str | None, output: Path | None, as_json: bool) -> None:
    """Shrink a case to a shortest case with the same failure on the same target, or on all named targets.

    CASE is a file, or - for standard input. Ctrl-C keeps the shortest case so far.
    """
    case = load_known(case_file)
    targets = choose_targets_of(case, names, case_file)
    drop_unneeded_rights(targets)
    patience = Patience()
    with ExitStack() as stack:
        sessions = [(target, stack.enter_context(target.session())) for target in targets]
        finding = _first_failure(case_file, case, sessions, kind)
        predicates = [fails_as(finding, target, session) for target, session in sessions]
        if len(targets) == 1:
            shrunken = shrunk(case.operations, case.slots, finding, targets[0], predicates[0], patience)
        else:
            # The search for the shortest is one in a single scheme.
            fails = _all_of(predicates)
            shrunken = (*minimized(case.operations, case.slots, fails, patience=patience), False)
    operations, slots, is_shortest = shrunken
    target = targets[0]
    # The old `expect` lines are dropped: they may name sockets that are no longer in the case.
    origin = "standard input" if str(case_file) == STDIN else escaped(case_file.name)
    least = Case(operations, slots, comment=(f"Shrunk from {origin}.",))
    least = with_expects(least, {t.name: t for t in (*SCHEME_TARGETS, *targets)}.values())
    if output is not None:
        try:
            write_whole(output, dumps(least))
        except OSError as error:
            raise Unavailable(f"{escaped(output)}: cannot be written: {error.strerror}\n{dumps(least)}") from None
    summary: dict[str, object] = {
        "target": target.name,
        "kind": finding.kind,
        "moved": finding.moved,
        "elsewhere": finding.elsewhere,
        "operations_before": length(case.operations),
        "operations": length(operations),
        "shortest": is_shortest,
        "case": dumps(least),
    }
    if len(targets) > 1:
        summary["targets"] = [one.name for one in targets]
    if as_json:
        print_json(summary)
        _exit_if(patience)
        return
    sure = ", the shortest with these hazards, sockets, buckets and slots" if is_shortest else ""
    on = ", ".join(one.name for one in targets)
    note(f"{on}: {finding}: from {length(case.operations)} operations to {length(operations)}{sure}")
    if output is None:
        click.echo(dumps(least), nl=False)
    _exit_if(patience)


def _first_failure(case_file: Path, case: Case, sessions: Sequence[tuple[Target, Session]], kind: str | None) -> Finding:
    # The first finding of that kind on the first target; all of them have one with its signature.
    wanted: Finding | None = None
    for target, session in sessions:
        verdict = judge(run(session, target, case.operations, slots=case.slots))
        failures = [finding for finding in verdict if finding.kind != "incomplete"]
        fitting = [finding for finding in failures if kind in (None, finding.kind)]
        if wanted is not None:
            fitting = [finding for finding in fitting if finding.signature == wanted.signature]
        if not fitting:
            where = f"{escaped(case_file)}: {describe(verdict)} on {target.name}"
            if failures and wanted is not None:
                raise InputError(f"{where}, and {wanted} on {sessions[0][0].name}: expected a case that fails alike on all")
            if failures:
                others = " or ".join(f"--kind {other}" for other in dict.fromkeys(finding.kind for finding in failures))
                raise InputError(f"{where}, and no {kind}: expected {others}, or a case with a {kind} there")
            raise InputError(f"{where}: expected a case that fails there")
        wanted = wanted or fitting[0]
    assert wanted is not None
    return wanted


def _all_of(predicates: Sequence[Fails]) -> Fails:
    return lambda operations, slots: all(fails(operations, slots) for fails in predicates)


def _exit_if(patience: Patience) -> None:
    if patience.interrupted:
        note("interrupted: not shrunk to the end")
        sys.exit(130)
