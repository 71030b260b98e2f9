"""The detection of a kernel's scheme, with simulations in place of the kernel, and its effect on a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from sockiter.backend import Shape, refusal, shape_of
from sockiter.cases import Expect, load
from sockiter.claims import Hazard, explaining, hazards_of
from sockiter.errors import Unavailable
from sockiter.kernel import KERNEL_TARGETS, identify, probe
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.target import KernelTarget, SessionSetup
from sockiter.kernel.tcp import KERNEL_PROC_TCP, KERNEL_TCP, KERNEL_TCP_ESTABLISHED
from sockiter.kernel.udp import KERNEL_PROC_UDP, KERNEL_UDP
from sockiter.kernel.unix import KERNEL_UNIX
from sockiter.operations import Add, At, Bucket, Fail, Open, Operation, Read, Reinsert, Remove
from sockiter.schemes import SCHEMES
from sockiter.schemes.scheme import ANY_HAZARD, SUCCESSIONS, is_dump
from sockiter.simulation import Simulation
from sockiter.verdict import Kind, Signature
from tests.support.kernel_targets import with_capabilities
from tests.support.paths import CASES

SCHEME = {scheme.name: scheme for scheme in SCHEMES}
PAIRS = [(target, name) for target in KERNEL_TARGETS for name in target.schemes]


def kernel_with_scheme(name: str, tables: Sequence[str]) -> Any:
    """Begins iterations, of which nothing but the reads is looked at."""

    def begin(shape: Shape) -> Simulation:
        # The target's first table is the scheme's table that has its sockets.
        return Simulation(SCHEME[name], shape)

    return begin


@pytest.mark.parametrize(("target", "name"), PAIRS, ids=[f"{target.name}-{name}" for target, name in PAIRS])
def test_each_scheme_of_an_iterator_is_distinguished_from_the_others(target: KernelTarget, name: str) -> None:
    begin = kernel_with_scheme(name, target.tables)
    # With messages of one record.
    ahead = 1 if is_dump(SCHEME[name]) else 0
    assert identify.identify(begin, target.schemes, target.tables, ahead, holds=target.bucket_holds) == name


@pytest.mark.parametrize("name", ["index", "removal-count", "restart", "unix"])
def test_a_scheme_that_is_not_listed_for_an_iterator_is_not_detected(name: str) -> None:
    assert identify.identify(kernel_with_scheme(name, ("",)), ("offset-udp", "rank"), ("",)) is None


def test_a_kernel_without_listed_schemes_has_none_detected() -> None:
    assert identify.identify(kernel_with_scheme("rank", ("",)), (), ("",)) is None


@pytest.mark.parametrize("tables", [("",), ("listening", "established"), ("established",)])
def test_any_kernel_can_carry_out_some_of_the_distinguishing_sequences(tables: tuple[str, ...]) -> None:
    for target in (target for target in KERNEL_TARGETS if target.tables == tables):
        sequences = identify.distinguishing_sequences(tables, holds=target.bucket_holds)
        able = [operations for operations in sequences if target._is_able(operations)]
        assert len(able) >= 3
        assert all(refusal(target, operations, shape_of(operations)) is None for operations in able)
        assert all(add.bucket.table == tables[0] for operations in able for add in operations if isinstance(add, Add))


# A target with probed capabilities


def test_a_target_has_the_known_failures_of_its_scheme_under_its_own_hazards(monkeypatch: pytest.MonkeyPatch) -> None:
    unable: dict[Hazard, str] = {"realloc": "it is not watched", "enomem": "it was not built for it"}
    with_capabilities(monkeypatch, Capabilities(unable=unable, scheme="cookie-udp"))
    assert KERNEL_UDP.detected_scheme == "cookie-udp"
    assert KERNEL_UDP.missing() is None
    assert KERNEL_UDP.unable == {**KERNEL_UDP.never, **unable}
    assert KERNEL_UDP.hazards == KERNEL_UDP.offers - {"realloc", "enomem"}
    assert set(KERNEL_UDP.known_failures) < set(SCHEME["cookie-udp"].known_failures)
    assert all(known_failure.hazards <= KERNEL_UDP.hazards for known_failure in KERNEL_UDP.known_failures)
    assert KERNEL_UDP.all_known_failures == SCHEME["cookie-udp"].known_failures


def test_a_kernel_of_no_known_scheme_has_no_known_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    with_capabilities(monkeypatch, Capabilities())
    assert (KERNEL_UDP.detected_scheme, KERNEL_UDP.known_failures) == (None, ())
    assert KERNEL_PROC_TCP.known_failures == ()


def test_a_target_that_does_not_run_says_why_and_what_it_could_be_put_through_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_capabilities(monkeypatch, Capabilities("no such kernel"))
    assert KERNEL_UDP.missing() == "no such kernel"
    assert KERNEL_UDP.hazards == KERNEL_UDP.offers
    assert (KERNEL_UDP.detected_scheme, KERNEL_UDP.known_failures) == (None, ())


@pytest.mark.parametrize("target", KERNEL_TARGETS, ids=lambda target: target.name)
def test_no_kernel_stops_a_walk_between_two_buckets(target: KernelTarget) -> None:
    assert target.unable["between"] == "there is no known way to stop a walk between two buckets"
    operations: list[Operation] = [Add("A", "head"), Open(), Read(1, (At("bucket", 1, Remove("A")),))]
    reason = refusal(target, operations, Shape())
    assert reason is not None
    assert "between (there is no known way to stop a walk between two buckets)" in reason.text


@pytest.mark.parametrize("target", KERNEL_TARGETS, ids=lambda target: target.name)
def test_what_a_target_is_never_put_through_has_a_reason_and_all_else_it_offers(target: KernelTarget) -> None:
    assert target.offers | set(target.never) | {"destroying"} == ANY_HAZARD | SUCCESSIONS
    assert not target.offers & set(target.never)
    assert all(target.never.values())
    assert target.is_real
    assert set(target.schemes) <= set(SCHEME)
    assert target.schemes
    assert target.progress == ""


@pytest.mark.parametrize(
    ("kind", "hazard", "socket"), [("skip", "remove", "C"), ("repeat", "add-head", "A"), ("repeat", "rehash", "B")]
)
def test_proc_net_tcp_has_the_known_failures_that_its_cases_show_whichever_bucket_the_socket_is_in(
    kind: Kind, hazard: str, socket: str
) -> None:
    case = load(CASES / f"kernel-proc-tcp-{kind}-elsewhere-{hazard}.case")
    assert Expect(KERNEL_PROC_TCP.name, kind, socket) in case.expects
    assert explaining(SCHEME["proc-tcp"].known_failures, Signature(kind, elsewhere=True), hazards_of(case.operations))


# Refusals


@pytest.mark.parametrize(
    ("target", "operations", "message"),
    [
        (
            KERNEL_TCP_ESTABLISHED,
            [Open(), Add("A", "tail")],
            "kernel:tcp-established does not support: add-tail (established sockets go to the head)",
        ),
        (
            KERNEL_UNIX,
            [Add("A", "head"), Open(), Reinsert("A", "head")],
            "kernel:unix does not support: reinsert (the name of a UNIX socket is permanent and determines its bucket)",
        ),
        (
            KERNEL_PROC_UDP,
            [Add("A", "head"), Open(), Read(1, (At("show", 1, Remove("A")),))],
            "kernel:proc-udp does not support: show (the bucket's lock is held for a whole read)",
        ),
        (
            KERNEL_UDP,
            [Open(), Read(1, (At("realloc", 1, Fail()),))],
            "kernel:udp does not support: enomem (it was not built for it)",
        ),
        (
            KERNEL_UDP,
            [Add("A", "head"), Open(), Reinsert("A", "tail")],
            "kernel:udp has buckets without a tail: A cannot be reinserted there",
        ),
    ],
)
def test_an_unsupported_hazard_is_refused_with_the_reason(
    target: KernelTarget, operations: list[Operation], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_capabilities(monkeypatch, Capabilities(unable={"enomem": "it was not built for it"}, has_tail=False))
    reason = refusal(target, operations, Shape())
    assert reason is not None
    assert reason.text == message


def test_before_open_a_tail_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with_capabilities(monkeypatch, Capabilities(has_tail=False))
    before: list[Operation] = [Add("A", "tail"), Add("B", "tail"), Reinsert("A", "tail"), Open(), Reinsert("A", "head")]
    assert refusal(KERNEL_UDP, before, Shape()) is None
    inside = Read(1, (At("show", 1, Reinsert("B", "tail")),))
    assert refusal(KERNEL_UDP, [*before, inside], Shape()) is not None


@pytest.mark.parametrize(
    ("target", "shape", "message"),
    [
        (KERNEL_UDP, Shape((("", 1), ("established", 1))), "kernel:udp has no table named 'established'"),
        (KERNEL_UDP, Shape(slots=2), "kernel:udp has 16 slots at open; the case needs 2"),
        (KERNEL_TCP_ESTABLISHED, Shape((("listening", 1),)), "kernel:tcp-established has no table named 'listening'"),
        (KERNEL_PROC_UDP, Shape(slots=2), None),
        (KERNEL_TCP, Shape((("listening", 3), ("established", 3))), None),
    ],
)
def test_a_shape_that_a_target_does_not_have_is_refused(
    target: KernelTarget, shape: Shape, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_capabilities(monkeypatch, Capabilities())
    reason = refusal(target, [], shape)
    assert (reason and reason.text) == message


# Trying it out


def test_a_target_is_tried_by_a_session_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Shape] = []
    ended: list[str] = []

    class Tried(Simulation):
        def close(self) -> None:
            ended.append("closed")

    def iteration(
        name: str, walk: object, shape: Shape, order: list[Bucket], stops: object, **options: object
    ) -> Simulation:
        begun.append(shape)
        return Tried(SCHEME["rank"], shape)

    class Here:
        def enter(self) -> None:
            ended.append("entered")

    walk = SimpleNamespace(is_dump=False)

    @contextmanager
    def set_up() -> Iterator[SessionSetup]:
        made: dict[str, Any] = {"namespace": Here(), "walk": walk, "make_elements": lambda shape: shape}
        yield SessionSetup(**made, has_tail=False, unable={"enomem": "it was not built for it"})
        ended.append("all")

    monkeypatch.setattr("sockiter.kernel.target.Iteration", iteration)
    monkeypatch.setattr("sockiter.kernel.target.need_linux", lambda: None)
    target = replace(KERNEL_UDP, name="kernel:tried", set_up=set_up)
    probe.forget()
    try:
        assert (target.missing(), target.detected_scheme, target.has_tail) == (None, "rank", False)
        assert target.unable == {**KERNEL_UDP.never, "enomem": "it was not built for it"}
        assert len(begun) == 2 + len(identify.distinguishing_sequences(("",)))
        assert ended[-1] == "all"
        assert ended.count("closed") >= len(begun)
    finally:
        probe.forget()


def test_a_session_refuses_a_shape_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with_capabilities(monkeypatch, Capabilities())
    monkeypatch.setattr("sockiter.kernel.target.need_linux", lambda: None)

    @contextmanager
    def set_up() -> Iterator[Any]:
        yield None

    with (
        replace(KERNEL_UDP, set_up=set_up).session() as session,
        pytest.raises(Unavailable, match="16 slots at open; the case needs 3"),
    ):
        session.begin(Shape(slots=3))
