"""`sockiter promise`: a verdict on the kernel of a source tree, for a person or for `git bisect run`."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from sockiter import rights
from sockiter.claims import HAZARDS, Hazard, in_order
from sockiter.cli import options
from sockiter.cli.names import SCHEME, TARGET, expanded, hazard_option, literal
from sockiter.cli.output import console, print_json, write
from sockiter.cli.subject import kernel_target
from sockiter.errors import CannotJudge, InputError, Unavailable
from sockiter.files import escaped
from sockiter.kernel import KERNEL_TARGETS
from sockiter.promise.trial import Trial, tried
from sockiter.promise.verdict import TargetVerdict, Tried, hazards_in, judged, kinds_of
from sockiter.verdict import VIOLATIONS, Kind
from sockiter.vm.guest import writable_folders

SECONDS = 60.0
TIMEOUT_S = 3600.0
# The most results in the table that differ from a scheme and break no claim.
_SHOWN_MAX = 3
_UNKNOWN = "no known scheme"
_CORPUS = Path(__file__).parents[2] / "tests" / "cases"


@click.command()
@click.argument("tree", type=click.Path(), metavar="TREE")
@click.argument("names", nargs=-1, type=TARGET, metavar="[TARGET...]")
@click.option(
    "--patch", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Apply this to a copy of the tree."
)
@click.option("--base", type=click.Path(), metavar="KERNEL", help="Compare with this tree, image or package.")
@click.option(
    "--scheme",
    "schemes",
    type=SCHEME,
    multiple=True,
    help="The scheme that a target is meant to have; default: the detected one. May be repeated.",
)
@click.option("--kind", type=click.Choice((*VIOLATIONS, "refused")), help="Only failures of this kind break the promise.")
@hazard_option(HAZARDS, "Only this hazard.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=SECONDS,
    show_default=True,
    metavar="S",
    help="Time for random sequences, and again for the comparison with the scheme, for each target.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all sequences; printed; default: random.")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Directory of cases to replay; default: those of the checkout. May be repeated.",
)
@click.option(
    "--cases",
    type=click.Path(path_type=Path, file_okay=False),
    default=options.CASES,
    show_default=True,
    help="Directory for the cases of what breaks the promise.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=TIMEOUT_S, show_default=True, help="Limit of each guest, in seconds."
)
@click.option("--no-kvm", is_flag=True, help="Emulate, even if /dev/kvm works.")
@click.option("--verbose", is_flag=True, help="Show the guest's console, on standard error.")
@click.option("--json", "as_json", is_flag=True, is_eager=True, help="One JSON document on standard output.")
def promise(
    tree: str,
    names: tuple[str, ...],
    *,
    patch: Path | None,
    base: str | None,
    schemes: tuple[str, ...],
    kind: Kind | None,
    hazards: tuple[Hazard, ...],
    seconds: float,
    seed: int | None,
    corpus: tuple[Path, ...],
    cases: Path,
    timeout: float,
    no_kvm: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Judge the kernel of a source tree: git bisect run sockiter promise . kernel:tcp --scheme cookie-tcp --kind skip

    TREE is built with a small configuration, out of the tree, and booted in a guest. There, cases are replayed, and random
    sequences are run and compared with the scheme. What no known failure of the scheme explains breaks the promise. TREE may
    also be an image or a package, as for `sockiter vm`.
    """
    rights.give_up()
    meant = _meant(names, schemes)
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    replayed = list(corpus) or [path for path in (_CORPUS,) if path.is_dir()]
    before = None
    try:
        folder = writable_folders([cases])[0]
        trial = Trial(
            hazards=hazards, seconds=seconds, seed=seed, found=folder, timeout_s=timeout, kvm=not no_kvm, verbose=verbose
        )
        if base is not None:
            before = tried(base, meant, replayed, trial)
        # Unless the user says otherwise, a target is meant to be what it is on the base.
        wanted = meant if before is None else {name: scheme or before.schemes.get(name) for name, scheme in meant.items()}
        now = tried(tree, wanted, replayed, trial, patch=patch)
    except Unavailable as error:
        raise CannotJudge(str(error)) from None
    verdicts = list(judged(now, meant, base=before, kind=kind))
    run = _Run(tree, patch, base, kind, now, before, trial)
    if all(verdict.is_kept for verdict in verdicts):
        # A break that was found before a crash is one all the same.
        _require_whole(now, literal(names))
    _keep_cases(now, verdicts, folder)
    if as_json:
        print_json(_json(run, verdicts))
    else:
        _print(run, verdicts)
    if not all(verdict.is_kept for verdict in verdicts):
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class _Run:
    tree: str
    patch: Path | None
    base: str | None
    kind: Kind | None
    now: Tried
    before: Tried | None
    trial: Trial


def _meant(names: tuple[str, ...], schemes: tuple[str, ...]) -> dict[str, str | None]:
    # The targets, each with the scheme that it is meant to have.
    words = expanded(names, [target.name for target in KERNEL_TARGETS])
    chosen = [kernel_target(name, KERNEL_TARGETS) for name in words]
    takes = (
        [target for target in KERNEL_TARGETS if not set(schemes).isdisjoint(target.schemes)] if schemes else KERNEL_TARGETS
    )
    chosen = chosen or list(takes)
    for scheme in schemes:
        if not any(scheme in target.schemes for target in chosen):
            possible = ", ".join(dict.fromkeys(scheme for target in chosen or KERNEL_TARGETS for scheme in target.schemes))
            raise InputError(f"--scheme {scheme}: no target is meant to have it: expected one of {possible}")
    meant = {target.name: [scheme for scheme in schemes if scheme in target.schemes] for target in chosen}
    for name, several in meant.items():
        if several[1:]:
            raise InputError(f"--scheme {several[1]}: {name} is meant to have {several[0]} already")
    return {name: next(iter(of), None) for name, of in meant.items()}


def _require_whole(now: Tried, named: frozenset[str]) -> None:
    # Without a break, there is a verdict only if all that was asked for could be tried.
    survey = now.survey
    missing = {one.target: one.missing for one in survey.targets if one.missing is not None}
    troubles = [f"{one.target}: {one.trouble}" for one in survey.targets if one.trouble]
    troubles += [f"{name} does not run there: {why}" for name, why in missing.items() if name in named]
    if len(missing) == len(survey.targets):
        troubles += [f"no target runs there: {why}" for why in list(missing.values())[:1]]
    if now.trouble or troubles or not survey.is_complete:
        raise CannotJudge(
            f"Linux {survey.release}: {'; '.join(filter(None, [now.trouble, *troubles])) or 'not all was tried'}"
        )


def _keep_cases(now: Tried, verdicts: Sequence[TargetVerdict], folder: Path) -> None:
    # The cases of what breaks the promise: those of the corpus too, beside those that were found now.
    for verdict in verdicts:
        for news in verdict.broken:
            if not (folder / news.case).exists():
                write(folder / news.case, now.survey.cases[news.case])


def _print(run: _Run, verdicts: Sequence[TargetVerdict]) -> None:
    out = console()
    patched = f" with {escaped(run.patch)}" if run.patch else ""
    title = f"[bold]{escape(run.tree + patched)}[/bold]: Linux {escape(run.now.survey.release)}, seed {run.trial.seed}"
    out.print(title, soft_wrap=True)
    if run.before is not None:
        out.print(f"Against {escape(str(run.base))}: Linux {escape(run.before.survey.release)}", soft_wrap=True)
    table = Table("target", "walks as", "promise", "result", "case", box=None, pad_edge=False)
    for verdict in verdicts:
        for nth, (result, case) in enumerate(_rows(verdict, run)):
            firsts = (verdict.target, verdict.walks_by or _UNKNOWN, _promise(verdict)) if nth == 0 else ("", "", "")
            table.add_row(*map(escape, firsts), result, escape(case))
    out.print(table)
    for one in run.now.survey.targets:
        if one.missing is not None:
            out.print(f"Not there: {escape(one.target)}: {escape(one.missing)}", soft_wrap=True)
    if run.now.trouble:
        out.print(f"Cut short: {escape(run.now.trouble)}", soft_wrap=True)
    broken = [verdict.target for verdict in verdicts if not verdict.is_kept]
    if broken:
        out.print(f"[bold red]The promise is broken[/bold red], on {escape(', '.join(broken))}.", soft_wrap=True)
    else:
        out.print("[bold green]The promise is kept[/bold green]. That is no proof.")


def _rows(verdict: TargetVerdict, run: _Run) -> Iterator[tuple[str, str]]:
    # The results of a target, each with its case.
    if verdict.unlike:
        walk = f"{verdict.target} walks as {verdict.walks_by or _UNKNOWN}, not {verdict.promised}"
        yield f"[bold red]UNLIKE[/bold red] {escape(walk)}", ""
    for news in verdict.broken:
        # The target is in the first column.
        text = news.text.removeprefix(f"{verdict.target}: ")
        if news.by == "replay":
            hazards = ", ".join(in_order(hazards_in(news, run.now.survey.cases))) or "no hazard"
            text = f"{text.removesuffix(' breaks a claim')} under {hazards}"
        yield f"[bold red]BROKEN[/bold red] {escape(text)}", escaped(run.trial.found / news.case)
    for title, changes in (("not shown any more", verdict.gone), ("newly shown", verdict.new), ("otherwise", verdict.other)):
        for change in changes:
            yield f"{title}: {escape(', '.join(change.after or change.before))}", change.case
    for news in verdict.differences[:_SHOWN_MAX]:
        yield f"differs: {escape(news.text)}", news.case
    if (more := len(verdict.differences) - _SHOWN_MAX) > 0:
        yield f"{more} more results differ: --json lists them", ""
    found = verdict.found
    amounts = [f"{len(found.replayed):,} cases"]
    amounts += [f"{found.fuzzed.sequences:,} random sequences"] if found.fuzzed else []
    amounts += [f"{found.conformed.sequences:,} compared"] if found.conformed else []
    yield f"{'kept in ' if verdict.is_kept else ''}{', '.join(amounts)}", ""


def _promise(verdict: TargetVerdict) -> str:
    return "no failure" if verdict.promised is None else f"as {verdict.promised}"


def _json(run: _Run, verdicts: Sequence[TargetVerdict]) -> dict[str, Any]:
    survey = run.now.survey
    return {
        "tree": escaped(run.tree),
        "patch": None if run.patch is None else escaped(run.patch),
        "linux": survey.release,
        "base": run.base,
        "base_linux": run.before and run.before.survey.release,
        "kind": run.kind,
        "hazards": list(run.trial.hazards),
        "seed": run.trial.seed,
        "seconds": run.trial.seconds,
        "kept": all(verdict.is_kept for verdict in verdicts),
        "trouble": run.now.trouble or None,
        "targets": [_verdict_json(verdict, run) for verdict in verdicts],
        "not_there": [{"target": one.target, "missing": one.missing} for one in survey.targets if one.missing is not None],
    }


def _verdict_json(verdict: TargetVerdict, run: _Run) -> dict[str, Any]:
    found = verdict.found
    return {
        "target": verdict.target,
        "kept": verdict.is_kept,
        "promised": verdict.promised,
        "walks_by": verdict.walks_by,
        "base_walks_by": run.before and run.before.schemes.get(verdict.target),
        "unlike": verdict.unlike,
        "broken": [
            {
                "by": news.by,
                "text": news.text,
                "kinds": sorted(kinds_of(news)),
                "hazards": in_order(hazards_in(news, run.now.survey.cases)),
                "case": escaped(run.trial.found / news.case),
            }
            for news in verdict.broken
        ],
        "differences": [{"by": news.by, "text": news.text, "case": news.case} for news in verdict.differences],
        **{
            name: [{"case": one.case, "before": list(one.before), "after": list(one.after)} for one in changes]
            for name, changes in (("gone", verdict.gone), ("new", verdict.new), ("other", verdict.other))
        },
        "replayed": len(found.replayed),
        "not_run": found.not_run,
        "sequences": found.fuzzed.sequences if found.fuzzed else 0,
        "compared": found.conformed.sequences if found.conformed else 0,
    }
