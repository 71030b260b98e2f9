"""`sockiter prove`: proofs of a scheme's claims for any number of sockets, as text and as JSON.

The module decides the chosen schemes, the layout of the results, and the exit status: 1 if the relation and the code differ
or a claim is not proved, 3 without the solver or for a scheme without a relation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

import click
from rich.markup import escape
from rich.progress import Progress, TaskID

from sockiter.backend import Target
from sockiter.claims import Hazard, in_order
from sockiter.cli.names import SCHEME, expanded, literal
from sockiter.cli.output import print_json
from sockiter.cli.progress import watch
from sockiter.cli.subject import drop_unneeded_rights
from sockiter.errors import InputError, Unavailable
from sockiter.prove.relation import Relation
from sockiter.prove.relations import relation_of
from sockiter.prove.result import Claim, Difference, Proof, Tie
from sockiter.schemes.scheme import AnyScheme
from sockiter.targets import PLUGIN_TARGETS, SCHEME_TARGETS, require_running, scheme_of, target_named
from sockiter.verdict import Signature

TIMEOUT_S = 10
SOLVER = "z3"
_ANSWERS = {"holds": "proved for any number", "fails": "NOT PROVED", "unknown": "NOT PROVED"}


@dataclass(slots=True)
class Task:
    """A scheme with its relation. `proof`: None while there is none, as where the relation and the code differ."""

    target: Target
    scheme: AnyScheme
    relation: Relation
    ties: list[Tie] = field(default_factory=list)
    proof: Proof | None = None

    @property
    def hazards(self) -> frozenset[Hazard]:
        return self.scheme.hazards - self.relation.excluded

    @property
    def difference(self) -> Difference | None:
        return next((tie.difference for tie in self.ties if tie.difference), None)

    @property
    def is_proved(self) -> bool:
        return self.proof is not None and all(claim.answer == "holds" for claim in self.proof.claims)


@click.command()
@click.argument("names", nargs=-1, type=SCHEME, metavar="[SCHEME...]")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(1, 3600),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="The time limit of the solver for one obligation.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def prove(names: tuple[str, ...], *, timeout_s: int, as_json: bool) -> None:
    """Prove claims for any number of sockets and buckets, any batch, and any length, by an SMT solver.

    Default: all schemes with a relation. A SCHEME may be a pattern. The relation of a scheme is first compared with every
    call of its code in a search.
    """
    tasks = _tasks(names)
    drop_unneeded_rights([task.target for task in tasks])
    if find_spec(SOLVER) is None:
        raise Unavailable("z3-solver is missing, which proves claims: pip install '.[prove]' in a checkout of sockiter")
    try:
        _run(tasks, timeout_s)
    finally:
        done = [task for task in tasks if task.proof or task.difference]
        if as_json:
            print_json([_json(task) for task in done])
        else:
            for task in done:
                click.echo("\n".join(_lines(task)))
    if not all(task.is_proved for task in tasks):
        sys.exit(1)


def _tasks(names: tuple[str, ...]) -> list[Task]:
    schemes = [target for target in (*SCHEME_TARGETS, *PLUGIN_TARGETS) if target.missing() is None]
    described = [target.name for target in schemes if (scheme := scheme_of(target)) and relation_of(scheme)]
    chosen = expanded(names, [target.name for target in schemes], noun="scheme") if names else described
    tasks = []
    for name in chosen:
        target = target_named(name)
        if target.is_real:
            raise InputError(f"{name} is an iterator of the running kernel: expected a scheme")
        require_running(target)
        scheme = scheme_of(target)
        assert scheme is not None
        relation = relation_of(scheme)
        if relation is not None:
            tasks.append(Task(target, scheme, relation))
        elif name in literal(names):
            raise Unavailable(
                f"{name} has no relation: its claims are proved only by search, with `sockiter check {name}`; "
                f"schemes with a relation: {', '.join(described)}"
            )
    if not tasks:
        raise Unavailable(f"none of these schemes has a relation: expected some of {', '.join(described)}")
    return tasks


def _run(tasks: list[Task], timeout_s: int) -> None:
    # Not before it is needed: the solver takes half a second to load.
    from sockiter.prove.proof import prove as proved
    from sockiter.prove.tie import SCOPES, tied

    doing = ""

    def run(tick: Callable[[], None]) -> None:
        def progress(task: Task, what: str) -> None:
            nonlocal doing
            doing = f"{task.target.name}: {what}"
            tick()

        for task in tasks:
            report = partial(progress, task)
            for scope in SCOPES:
                if task.difference is None:
                    task.ties.append(tied(task.scheme, task.relation, scope=scope, progress=report))
            if task.difference is None:
                task.proof = proved(task.scheme, task.relation, timeout_ms=timeout_s * 1000, progress=report)

    def update(bar: Progress, task: TaskID) -> None:
        done = sum(task.proof is not None for task in tasks)
        bar.update(task, completed=done, description=escape(doing))

    watch(run, update, total=len(tasks), left="{task.completed:.0f} of {task.total:.0f} schemes")


def _lines(task: Task) -> Iterator[str]:
    name = task.target.name
    if (difference := task.difference) is not None:
        yield f"{name}: THE RELATION AND THE CODE DIFFER: {difference.why}"
        yield f"  table:  {difference.table}"
        yield f"  before: {difference.before}" if difference.before else "  before: not open"
        yield f"  call:   {difference.call}"
        yield f"  after:  {difference.after}"
        return
    calls, states = sum(tie.calls for tie in task.ties), sum(tie.states for tie in task.ties)
    yield f"{name}: the relation allows all {calls:,} calls of the code in {states:,} states"
    if excluded := task.relation.excluded & task.scheme.hazards:
        yield f"  not in the relation: {', '.join(in_order(excluded))}"
    assert task.proof is not None
    for claim in task.proof.claims:
        reason = f": {claim.obligation}" if claim.obligation else ""
        yield f"  {_ANSWERS[claim.answer]}: no {_words(claim.signature)} {_under(task, claim)}{reason}"
        if claim.answer == "unknown":
            yield "    The solver gives no answer in time: see --timeout."
        elif claim.counterexample is not None:
            yield "    A counterexample to induction, which need not be reachable:"
            yield from (f"      {line}" for line in claim.counterexample.lines())
    yield f"  {task.proof.solver}: {task.proof.checks:,} checks in {task.proof.solver_seconds:.1f} s"


def _words(signature: Signature) -> str:
    mark = "moved" if signature.moved else "elsewhere" if signature.elsewhere else ""
    return f"{signature.kind} ({mark})" if mark else signature.kind


def _under(task: Task, claim: Claim) -> str:
    left_out = in_order(task.hazards - claim.hazards)
    return f"without {', '.join(left_out)}" if left_out else "under all these hazards"


def _json(task: Task) -> dict[str, Any]:
    proof = task.proof
    return {
        "scheme": task.target.name,
        "excluded": in_order(task.relation.excluded & task.scheme.hazards),
        "ties": [_tie_json(tie) for tie in task.ties],
        "claims": [_claim_json(claim, proof) for claim in proof.claims] if proof else [],
        "solver": proof.solver if proof else None,
        "checks": proof.checks if proof else 0,
        "solver_seconds": round(proof.solver_seconds, 3) if proof else 0.0,
        "seconds": round(proof.seconds, 3) if proof else 0.0,
    }


def _tie_json(tie: Tie) -> dict[str, Any]:
    sockets, buckets, slots = tie.scope
    difference = tie.difference
    return {
        "sockets": sockets,
        "buckets": buckets,
        "batch": slots,
        "states": tie.states,
        "calls": tie.calls,
        "difference": difference
        and {
            "call": difference.call,
            "table": difference.table,
            "before": difference.before,
            "after": difference.after,
            "why": difference.why,
        },
    }


def _claim_json(claim: Claim, proof: Proof) -> dict[str, Any]:
    return {
        "kind": claim.signature.kind,
        "moved": claim.signature.moved,
        "elsewhere": claim.signature.elsewhere,
        "hazards": in_order(claim.hazards),
        "proved": claim.answer == "holds",
        "answer": claim.answer,
        "obligation": claim.obligation or None,
        "counterexample": claim.counterexample.lines() if claim.counterexample else None,
        "invariant": [candidate.name for candidate in proof.invariants[claim.hazards]],
    }
