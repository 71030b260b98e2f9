"""`sockiter check --verify`: checks that a scheme's canonical form merges only equivalent states, as text and as JSON.

The module decides the allowed options, the layout of comparisons, and the exit status: 1 if a form merges wrongly or two
searches disagree, 3 if a scheme could not be verified.
"""

from __future__ import annotations

import sys
from typing import Any

import click
from click.core import ParameterSource
from rich.markup import escape
from rich.progress import Progress, TaskID

from sockiter.backend import Target
from sockiter.check.differences import WrongMerge
from sockiter.check.trials import Trial, Trials
from sockiter.check.verify import Compare, Merged, Verified
from sockiter.claims import in_order
from sockiter.cli.output import print_json, scope_json
from sockiter.cli.progress import watch
from sockiter.errors import InputError, Unavailable
from sockiter.matrix.matrix import describe
from sockiter.verdict import Signature

# The options that set a scope or use the result of a search.
_OPTIONS_OF_SCOPE = {
    "sockets": "--sockets",
    "buckets": "--buckets",
    "batch": "--batch",
    "ops": "--ops",
    "hazards": "--hazard",
    "cases": "--cases",
    "memory_max": "--memory",
}
_FOUND = ("with `canonical`", "without it", "every sequence")


def run(chosen: list[Target], *, workers: int, as_json: bool) -> None:
    """Verify these schemes, print the results, and exit with 1 or 3 if a scheme fails."""
    context = click.get_current_context()
    for name, option in _OPTIONS_OF_SCOPE.items():
        if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None):
            raise InputError(f"--verify has scopes of its own: expected no {option} with it")
    trials = Trials(chosen, workers=workers)
    _watch(trials)
    if as_json:
        print_json([_json(trial) for trial in trials.trials])
    else:
        for trial in trials.trials:
            click.echo("\n".join(report_lines(trial)))
    if trials.interrupted:
        raise KeyboardInterrupt
    if any(trial.result and not trial.result.agrees for trial in trials.trials):
        sys.exit(1)
    if any(trial.trouble for trial in trials.trials):
        sys.exit(Unavailable.status)


def _watch(trials: Trials) -> None:
    def update(bar: Progress, task: TaskID) -> None:
        doing = "; ".join(trial.doing for _, trial in trials.running.values())
        done = sum(trial.result is not None for trial in trials.trials)
        bar.update(task, completed=done, description=escape(doing))

    watch(trials.run, update, total=len(trials.trials), left="{task.completed:.0f} of {task.total:.0f} schemes")


def report_lines(trial: Trial) -> list[str]:
    """The report on a scheme, as text."""
    name, result = trial.target.name, trial.result
    if result is None:
        return [f"{name}: NOT VERIFIED: {trial.trouble}"]
    lines = []
    for search in result.searches:
        if not search.agrees:
            lines += _search_lines(search)
    for merge in result.merges:
        if merge.wrong is not None:
            lines += [f"  WRONG MERGE under {_under(merge)}:", *_wrong_lines(merge.wrong)]
    if lines:
        return [f"{name}: DISAGREES", *lines]
    searches = f"{name}: {len(result.searches)} searches agree with every sequence of operations"
    if not result.has_form:
        return [f"{searches}. It has no `canonical`: nothing is merged, and searches of any length do not end."]
    merged = sum(merge.compared for merge in result.merges)
    lines.append(f"{searches} and with the search without `canonical`; {merged:,} merged states are equivalent.")
    for merge in result.merges:
        if not merge.complete:
            lines.append(f"  Not all states were reached under {_under(merge)}: the first {merge.states:,} were.")
    return lines


def _search_lines(search: Compare) -> list[str]:
    lines = [f"  DIFFERENT VIOLATIONS under {_under(search)}:"]
    if search.why:
        lines.append(f"    {search.why}")
    for title, found in zip(_FOUND, (search.canonical, search.literal, search.everything), strict=True):
        if found is not None:
            lengths = ", ".join(_words(signature, operations) for signature, operations in found.items())
            lines.append(f"    {title + ':':<18}{lengths or 'nothing'}")
    return lines


def _wrong_lines(wrong: WrongMerge) -> list[str]:
    lines = [f"    `canonical` forgets {', '.join(wrong.fields)}"]
    for nth, side in enumerate(wrong.sides, start=1):
        lines += [f"    {nth}: {side.at}", f"       table: {side.table}"]
    if wrong.after:
        lines.append(f"    They part after: {'; '.join(wrong.after)}")
        lines += [f"    {nth}: {does}" for nth, does in enumerate(wrong.does, start=1)]
    return lines


def _under(comparison: Compare | Merged) -> str:
    return f"{', '.join(in_order(comparison.hazards)) or 'no hazard'} ({describe(comparison.scope)})"


def _words(signature: Signature, operations: int) -> str:
    of = " of a moved socket" if signature.moved else " elsewhere" if signature.elsewhere else ""
    return f"{signature.kind}{of} in {operations}"


def _json(trial: Trial) -> dict[str, Any]:
    result = trial.result
    return {
        "scheme": trial.target.name,
        "canonical": None if result is None else result.has_form,
        "agrees": None if result is None else result.agrees,
        "trouble": trial.trouble or None,
        "seconds": 0.0 if result is None else round(result.seconds, 3),
        **_comparisons(result),
    }


def _comparisons(result: Verified | None) -> dict[str, Any]:
    return {
        "searches": [
            {
                "hazards": in_order(comparison.hazards),
                "scope": scope_json(comparison.scope),
                "agrees": comparison.agrees,
                "why": comparison.why or None,
                "canonical": None if comparison.canonical is None else _found_json(comparison.canonical),
                "literal": _found_json(comparison.literal),
                "everything": _found_json(comparison.everything),
            }
            for comparison in (result.searches if result else ())
        ],
        "merges": [
            {
                "hazards": in_order(comparison.hazards),
                "scope": scope_json(comparison.scope),
                "agrees": comparison.agrees,
                "complete": comparison.complete,
                "moments": comparison.states,
                "merged": comparison.merged,
                "compared": comparison.compared,
                "wrong": None if comparison.wrong is None else _wrong_json(comparison.wrong),
            }
            for comparison in (result.merges if result else ())
        ],
    }


def _found_json(found: dict[Signature, int]) -> list[dict[str, Any]]:
    return [{**signature._asdict(), "operations": operations} for signature, operations in found.items()]


def _wrong_json(wrong: WrongMerge) -> dict[str, Any]:
    return {
        "fields": list(wrong.fields),
        "states": [side._asdict() for side in wrong.sides],
        "after": list(wrong.after),
        "does": list(wrong.does),
    }
