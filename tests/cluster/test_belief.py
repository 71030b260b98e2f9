"""A worker's finding is replayed here before it is called one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockiter.backend import Target
from sockiter.cases import loads
from sockiter.claims import known_failure
from sockiter.cluster.belief import happens_here
from sockiter.cluster.member import RemoteTarget
from sockiter.cluster.wire import Disbelieved
from sockiter.errors import Unavailable
from sockiter.fuzzing.triage import TriagedFinding
from sockiter.targets import target_named

CASE = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
SKIP = known_failure("skip", "remove")
FOUND = TriagedFinding("offset-udp", "skip", False, CASE, frozenset({"remove"}), SKIP, 12, 1, 1)
MODEL = target_named("offset-udp")


def kernel(detected: str | None, *, claims_all: bool = False) -> RemoteTarget:
    failures = () if claims_all else MODEL.known_failures
    return RemoteTarget("kernel:udp", "Linux 6.12", "", MODEL.hazards, failures, detected)


ON_A_KERNEL = replace(FOUND, target="kernel:udp")


def test_a_finding_that_a_model_shows_is_one() -> None:
    assert happens_here(FOUND, MODEL)


@pytest.mark.parametrize(
    ("found", "target", "problem"),
    [
        (FOUND, target_named("rank"), "a finding on offset-udp in a job on rank"),
        (replace(FOUND, hazards=frozenset({"rehash"})), MODEL, "its case has other hazards"),
        (replace(FOUND, known_failure=None), MODEL, "its known failure does not explain it"),
        (replace(FOUND, known_failure=known_failure("repeat", "remove")), MODEL, "does not explain it"),
        (replace(FOUND, moved=True, known_failure=None), MODEL, "it does not happen in a replay"),
    ],
)
def test_a_finding_that_contradicts_itself_or_a_model_is_not_believed(
    found: TriagedFinding, target: Target, problem: str
) -> None:
    with pytest.raises(Disbelieved, match=problem):
        happens_here(found, target)


def test_a_kernels_finding_is_replayed_on_the_model_of_its_scheme() -> None:
    assert happens_here(ON_A_KERNEL, kernel("offset-udp"))
    assert not happens_here(ON_A_KERNEL, kernel(None))
    assert not happens_here(replace(ON_A_KERNEL, known_failure=None), kernel("cookie-udp", claims_all=True))


def test_a_model_that_cannot_carry_out_a_kernels_case_does_not_show_it() -> None:
    case = loads("add A tail\nadd B tail\nopen\nread 1 bytes\nremove A\nread all\n")
    found = replace(ON_A_KERNEL, case=case, known_failure=None)
    assert not happens_here(found, kernel("map-next-key", claims_all=True))


def test_a_remote_target_has_no_session_here() -> None:
    target = kernel("offset-udp")
    assert target.name == "kernel:udp (Linux 6.12)"
    assert target.missing() is None
    with pytest.raises(Unavailable, match="runs on other machines"):
        target.session()
