"""The replay of a worker's finding, here and on a model, before it counts."""

from __future__ import annotations

from sockiter.backend import Target, run
from sockiter.claims import KnownFailure, explaining, hazards_of
from sockiter.cluster.member import RemoteTarget
from sockiter.cluster.wire import Disbelieved
from sockiter.errors import SockiterError
from sockiter.fuzzing.triage import TriagedFinding
from sockiter.oracle import judge
from sockiter.targets import SCHEME_TARGETS


def happens_here(found: TriagedFinding, target: Target) -> bool:
    """Whether a model shows the finding. False: a kernel's finding that the model of its scheme does not show.

    Raises `Disbelieved` for a finding that contradicts its own case or the target's known failures, and for one on a model
    that does not happen.
    """
    name = target.target if isinstance(target, RemoteTarget) else target.name
    if found.target != name:
        raise Disbelieved(f"a finding on {found.target} in a job on {name}")
    operations = found.case.operations
    if found.hazards != hazards_of(operations, narrow="rollover" in target.hazards):
        raise Disbelieved(f"{found}: its case has other hazards")
    known = explaining(target.known_failures, found.signature, found.hazards)
    explanations: list[KnownFailure | None] = [*known]
    if found.known_failure not in (explanations or [None]):
        raise Disbelieved(f"{found}: its known failure does not explain it")
    model = target
    if isinstance(target, RemoteTarget):
        models = [scheme for scheme in SCHEME_TARGETS if scheme.name == target.detected_scheme]
        if not models:
            return False
        model = models[0]
    if _shows(found, model):
        return True
    if model is target:
        raise Disbelieved(f"{found}: it does not happen in a replay")
    return False


def _shows(found: TriagedFinding, model: Target) -> bool:
    try:
        with model.session() as session:
            verdict = judge(run(session, model, found.case.operations, slots=found.case.slots))
    except SockiterError:
        return False
    return any(finding.signature == found.signature for finding in verdict)
