"""Replaying: a case on a target, against its expectation, and the required capabilities of a target."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from sockiter.backend import SLOTS, Reason, Shape, Target, refusal, run, shape_of
from sockiter.cases import Case, Expect
from sockiter.claims import Hazard, KnownFailure
from sockiter.errors import Inconclusive, InputError, Unavailable
from sockiter.history import History, Returned
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.udp import KERNEL_UDP_DIAG
from sockiter.operations import (
    Accept,
    Add,
    At,
    Bucket,
    Close,
    Fail,
    Open,
    Operation,
    Property,
    Read,
    Rehash,
    Remove,
)
from sockiter.readers import Feature
from sockiter.replay import IN_PLACE, ReplayResult, expecting, incomparable, replay, with_expects
from sockiter.schemes import SCHEMES
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget, Simulation
from sockiter.targets import SCHEME_TARGETS, TARGETS, target_named
from sockiter.verdict import Finding, Verdict
from tests.support.kernel_targets import with_capabilities

OFFSET, INDEX = target_named("offset-udp"), target_named("index")
END = Returned(())

# The RFC's first scenario, which makes offset-udp skip B.
SKIPS = Case((Add("A", "tail"), Add("B", "tail"), Open(), Read(1), Remove("A"), Read(None)))
SKIP_B = Expect("offset-udp", "skip", "B")
OTHER = Expect("kernel:udp", "stuck")


@dataclass
class Limited:
    """A target, and its own session and backend, whose every read returns EAGAIN, and which supports few hazards."""

    name: str = "limited"
    summary: str = ""
    progress: str = ""
    hazards: frozenset[Hazard] = frozenset({"remove"})
    known_failures: tuple[KnownFailure, ...] = ()
    tables: tuple[str, ...] = ("listening", "established")
    buckets_max: int | None = None
    slots: int | None = SLOTS
    unable: Mapping[Hazard, str] = field(default_factory=dict)
    has_tail: bool = True
    features: frozenset[Feature] = frozenset()
    lacks: Mapping[Feature, str] = field(default_factory=dict)
    detected_scheme: str | None = None
    in_place: frozenset[Hazard] = frozenset()
    is_real: bool = False
    lack: str | None = None
    began: int = 0
    closed: int = 0

    def missing(self) -> str | None:
        return self.lack

    @contextmanager
    def session(self) -> Iterator[Limited]:
        yield self

    def begin(self, shape: Shape) -> Limited:
        self.began += 1
        self.shape = shape
        self.history = History()
        return self

    def apply(self, operation: Operation) -> None:
        if operation == Read(13):
            raise Unavailable("thirteen")
        if isinstance(operation, Read):
            self.history.events.append(Returned((), "EAGAIN"))

    def state(self) -> None:
        return None

    def place(self) -> str:
        return ""

    def close(self) -> None:
        self.closed += 1


def outcome_of(verdict: Verdict, *expected: Expect) -> ReplayResult:
    return ReplayResult("t", (), verdict, expected)


class TestTheShapeOfASequence:
    @pytest.mark.parametrize(
        ("operations", "buckets"),
        [
            ([], (("", 1),)),
            ([Add("A", "head")], (("", 1),)),
            ([Add("A", "head", Bucket(2)), Add("B", "head", Bucket(1)), Remove("A")], (("", 3),)),
            ([Rehash("A", Bucket(4))], (("", 5),)),
            ([Open(), Read(1, (At("show", 9, Add("A", "head", Bucket(3))), At("realloc", 1, Fail())))], (("", 4),)),
            ([Add("A", "head", Bucket(0, "t"))], (("", 1), ("t", 1))),
            ([Add("A", "head", Bucket(0, "t")), Rehash("A", Bucket(1, "t"))], (("", 1), ("t", 2))),
        ],
        ids=["nothing", "bucket 0", "highest", "rehash", "inside", "other table", "highest of another table"],
    )
    def test_has_as_many_buckets_as_are_named(
        self, operations: Sequence[Operation], buckets: tuple[tuple[str, int], ...]
    ) -> None:
        assert shape_of(operations) == Shape(buckets, 16)

    def test_has_the_given_slots(self) -> None:
        assert shape_of([], slots=3) == Shape((("", 1),), 3)
        assert Shape() == shape_of([])


class TestARefusal:
    def test_names_all_hazards_that_the_target_does_not_support(self) -> None:
        operations: list[Operation] = [Open(), Read(1, (At("realloc", 1, Fail()), At("show", 1, Add("A", "tail"))))]
        text = "limited does not support: add-tail, show, enomem"
        assert refusal(Limited(), operations, Shape()) == Reason("hazard", text, ("add-tail", "show", "enomem"))

    def test_names_a_table_that_the_target_has_not_got(self) -> None:
        shape = Shape((("", 1), ("established", 2), ("other", 1)))
        assert refusal(Limited(), [], shape) == Reason("table", "limited has no table named 'other'")

    def test_names_the_slots_that_the_target_is_bound_to(self) -> None:
        text = "limited has 16 slots at open; the case needs 4"
        assert refusal(Limited(), [], Shape(slots=4)) == Reason("slots", text)

    @pytest.mark.parametrize(
        ("target", "shape"),
        [
            (Limited(), Shape((("", 9), ("established", 2), ("listening", 1)))),
            (Limited(slots=None), Shape(slots=4)),
            (OFFSET, Shape(slots=1)),
        ],
        ids=["tables", "any slots", "scheme"],
    )
    def test_is_none_where_the_target_can_do_it(self, target: Target, shape: Shape) -> None:
        assert refusal(target, [Add("A", "head"), Open(), Remove("A")], shape) is None


class TestARun:
    def test_gives_the_history_of_the_whole_sequence(self) -> None:
        with OFFSET.session() as session:
            history = run(session, OFFSET, SKIPS.operations)
        assert history.opened == ("A", "B")
        assert history.reads == [Returned(("A",)), END]

    def test_is_laid_out_for_the_sequence_and_ended_afterwards(self) -> None:
        target = Limited()
        run(target, target, [Add("A", "tail", Bucket(2)), Open(), Read(1)])
        assert (target.shape, target.began, target.closed) == (Shape((("", 3),), 16), 1, 1)

    def test_has_the_given_slots(self) -> None:
        target = Limited(slots=3)
        run(target, target, [Open()], slots=3)
        assert target.shape.slots == 3

    def test_that_fails_is_ended_too(self) -> None:
        target = Limited()
        with pytest.raises(Unavailable, match=r"^thirteen$"):
            run(target, target, [Open(), Read(13)])
        assert target.closed == 1

    def test_of_what_the_target_cannot_do_is_not_begun(self) -> None:
        target = Limited()
        with pytest.raises(Unavailable, match=r"^limited does not support: add-head$"):
            run(target, target, [Open(), Add("A", "head")])
        assert target.began == 0


class TestAnOutcome:
    def test_tells_reads_and_verdict_and_what_is_expected_of_this_target(self) -> None:
        with OFFSET.session() as session:
            outcome = replay(replace(SKIPS, expects=(OTHER, SKIP_B)), OFFSET, session)
        assert outcome == ReplayResult("offset-udp", (Returned(("A",)), END), (Finding("skip", "B"),), (SKIP_B,))

    def test_is_of_the_slots_of_the_case(self) -> None:
        target = Limited(slots=3)
        replay(Case((Open(),), 3), target, target)
        assert target.shape.slots == 3

    @pytest.mark.parametrize(
        ("verdict", "expected"),
        [
            ((), ()),
            ((Finding("skip", "B", moved=True),), (Expect("t", "skip", "B"),)),
            ((Finding("skip", "B"), Finding("stuck")), (Expect("t", "stuck"), Expect("t", "skip", "B"))),
        ],
        ids=["fine", "moved or not", "in any order"],
    )
    def test_is_as_expected_when_all_of_it_was(self, verdict: Verdict, expected: tuple[Expect, ...]) -> None:
        assert outcome_of(verdict, *expected).as_expected

    @pytest.mark.parametrize(
        ("verdict", "expected"),
        [
            ((Finding("skip", "B"),), ()),
            ((), (Expect("t", "skip", "B"),)),
            ((Finding("skip", "B"),), (Expect("t", "skip", "A"),)),
            ((Finding("skip", "B"),), (Expect("t", "repeat", "B"),)),
            ((Finding("skip", "B"), Finding("skip", "C")), (Expect("t", "skip", "B"),)),
        ],
        ids=["not expected", "did not come", "other socket", "other kind", "more"],
    )
    def test_is_not_as_expected_when_anything_else_came(self, verdict: Verdict, expected: tuple[Expect, ...]) -> None:
        assert not outcome_of(verdict, *expected).as_expected


class TestExpecting:
    def expecting(self, *before: Expect, target: Target = OFFSET) -> tuple[Expect, ...]:
        with target.session() as session:
            return expecting(replace(SKIPS, expects=before), target, session).expects

    def test_writes_down_what_comes(self) -> None:
        assert self.expecting() == (SKIP_B,)

    def test_takes_the_place_of_what_was_expected_of_the_target_and_leaves_the_others(self) -> None:
        assert self.expecting(Expect("offset-udp", "stuck"), OTHER) == (OTHER, SKIP_B)

    def test_expects_nothing_of_a_target_that_is_fine(self) -> None:
        assert self.expecting(Expect("index", "stuck"), target=INDEX) == ()

    def test_changes_nothing_else(self) -> None:
        case = replace(SKIPS, comment=("Why.",), slots=2)
        with OFFSET.session() as session:
            assert expecting(case, OFFSET, session) == replace(case, expects=(SKIP_B,))

    def test_asks_all_targets_that_can_carry_it_out_here(self) -> None:
        absent, unable, able = Limited(lack="no kernel"), Limited(hazards=frozenset()), Limited(name="able")
        expects = with_expects(SKIPS, [OFFSET, absent, unable, INDEX, able]).expects
        # The able target returns EAGAIN for each read, and never the end.
        assert expects == (SKIP_B, Expect("able", "refused"), Expect("able", "incomplete"))
        assert (absent.began, unable.began, able.began) == (0, 0, 1)

    def test_asks_for_the_slots_of_the_case(self) -> None:
        bound = Limited(slots=16)
        assert with_expects(replace(SKIPS, slots=3), [bound]).expects == ()
        assert bound.began == 0

    def test_leaves_what_is_expected_of_a_target_that_was_not_asked(self) -> None:
        case = replace(SKIPS, expects=(OTHER,))
        assert with_expects(case, [Limited(name="kernel:udp", lack="root")]) == case


class Real(SchemeTarget):
    """A kernel's iterator that was found to walk by offset-udp."""

    is_real = True
    detected_scheme: str | None = "offset-udp"

    def __init__(self) -> None:
        super().__init__(OffsetUdp())
        self.name = "kernel:any"


class TestWhatAKernelIsExpectedToDo:
    """By the scheme that it walks by: another kernel may walk by another."""

    AS_OFFSET = Expect("kernel:any", "skip", "B", "offset-udp")
    AS_RANK = Expect("kernel:any", "stuck", None, "rank")

    def expecting(self, *before: Expect, target: Target | None = None) -> tuple[Expect, ...]:
        target = target or Real()
        with target.session() as session:
            return expecting(replace(SKIPS, expects=before), target, session).expects

    def outcome(self, *expected: Expect, target: Target | None = None) -> ReplayResult:
        target = target or Real()
        with target.session() as session:
            return replay(replace(SKIPS, expects=expected), target, session)

    def test_is_written_down_with_the_scheme_and_which_kernel_it_was(self) -> None:
        (written,) = self.expecting()
        assert (written, written.remark) == (self.AS_OFFSET, f"Linux {platform.release()}")

    def test_takes_the_place_of_what_was_expected_of_it_and_of_any_kernel(self) -> None:
        of_any, wrong = Expect("kernel:any", "stuck"), Expect("kernel:any", "skip", "A", "offset-udp")
        assert self.expecting(of_any, wrong, OTHER) == (OTHER, self.AS_OFFSET)

    def test_stays_where_it_is_expected_of_other_schemes(self) -> None:
        assert self.expecting(self.AS_RANK) == (self.AS_RANK, self.AS_OFFSET)

    def test_stays_as_it_is_where_it_was_seen_before_on_another_kernel(self) -> None:
        before = replace(self.AS_OFFSET, remark="Linux 6.12")
        (written,) = self.expecting(before)
        assert written.remark == "Linux 6.12"

    def test_is_of_no_scheme_where_none_is_known(self) -> None:
        target = Real()
        target.detected_scheme = None
        assert self.expecting(target=target) == (Expect("kernel:any", "skip", "B"),)

    def test_is_as_expected_of_its_own_scheme_or_of_any(self) -> None:
        assert self.outcome(self.AS_OFFSET, self.AS_RANK).as_expected
        assert self.outcome(self.AS_OFFSET).expected == (self.AS_OFFSET,)
        assert self.outcome(Expect("kernel:any", "skip", "B"), self.AS_RANK).as_expected

    def test_is_that_of_its_scheme_where_no_line_is_about_it(self) -> None:
        assert self.outcome(SKIP_B).as_expected
        assert self.outcome(SKIP_B).expected == (SKIP_B,)
        assert not self.outcome(OTHER).as_expected

    def test_is_not_as_expected_of_another_scheme(self) -> None:
        assert not self.outcome(replace(self.AS_OFFSET, scheme="rank")).as_expected
        assert self.outcome(self.AS_RANK).expected == ()

    @pytest.mark.parametrize(
        ("detected_scheme", "remarks", "reason"),
        [
            (None, ("Linux 6.12",), "the case has expectations only for Linux 6.12"),
            (None, ("Linux 6.12", "Linux 6.1"), "the case has expectations only for Linux 6.1, Linux 6.12"),
            (None, ("Linux 6.12", f"Linux {platform.release()}"), None),
            (None, ("",), None),
            (None, (), "the case expects nothing of this target"),
            ("offset-udp", (), None),
            ("offset-udp", ("Linux 6.12",), None),
        ],
    )
    def test_is_known_of_the_kernel_alone_that_it_was_seen_on_where_no_scheme_is_known(
        self, detected_scheme: str | None, remarks: Sequence[str], reason: str | None
    ) -> None:
        target = Real()
        target.detected_scheme = detected_scheme
        expects = [Expect("kernel:any", "skip", name, None, remark) for name, remark in zip("BC", remarks, strict=False)]
        assert incomparable(replace(SKIPS, expects=(SKIP_B, *expects)), target) == reason

    @pytest.mark.parametrize(
        ("change", "in_place", "remark", "reason"),
        [
            (Close("A"), {"close"}, "Linux 6.12", IN_PLACE),
            (Accept("A"), {"accept"}, "Linux 6.12", IN_PLACE),
            (Close("A"), {"accept"}, "Linux 6.12", None),
            (Close("A"), set(), "Linux 6.12", None),
            (Close("A"), {"close"}, f"Linux {platform.release()}", None),
        ],
    )
    def test_is_not_compared_where_successors_enter_elsewhere(
        self, change: Close | Accept, in_place: set[Hazard], remark: str, reason: str | None
    ) -> None:
        target = Real()
        target.in_place = frozenset(in_place)
        properties: tuple[Property, ...] = ("request",) if isinstance(change, Accept) else ()
        operations = (Add("A", "head", Bucket(0, "established"), properties), Open(), change, Read(None))
        case = Case(operations, expects=(Expect("kernel:any", "skip", "A", "offset-udp", remark),))
        assert incomparable(case, target) == reason

    @pytest.mark.parametrize(
        ("ahead", "expects", "reason"),
        [
            (2, (Expect("udp-diag", "skip", "B"),), None),
            (18, (Expect("udp-diag", "skip", "B"),), "the case expects nothing of this target"),
            (2, (Expect("kernel:udp-diag", "skip", "B", "udp-diag", "Linux 6.12"),), None),
            (
                18,
                (Expect("kernel:udp-diag", "skip", "B", "udp-diag", "Linux 6.12"),),
                "the case has expectations only for Linux 6.12",
            ),
        ],
    )
    def test_of_a_dump_is_known_where_a_message_has_as_many_sockets_as_a_batch_of_the_case(
        self, ahead: int, expects: tuple[Expect, ...], reason: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with_capabilities(monkeypatch, Capabilities(scheme="udp-diag", ahead=ahead))
        assert incomparable(replace(SKIPS, slots=2, expects=expects), KERNEL_UDP_DIAG) == reason

    def test_is_written_anew_where_it_was_seen_on_another_kernel_and_no_scheme_is_known(self) -> None:
        target = Real()
        target.detected_scheme = None
        (written,) = self.expecting(Expect("kernel:any", "skip", "B", None, "Linux 6.12"), target=target)
        assert written.remark == f"Linux {platform.release()}"

    def test_is_left_as_it_was_where_it_cannot_be_judged(self) -> None:
        class Mute(Real):
            def begin(self, shape: Shape) -> Simulation:
                raise Inconclusive("nobody knows")

        case = replace(SKIPS, expects=(self.AS_OFFSET,))
        assert with_expects(case, [Mute(), OFFSET]).expects == (self.AS_OFFSET, SKIP_B)


class TestTheTargets:
    def test_are_the_schemes_first_and_then_the_kernels(self) -> None:
        assert [target.name for target in SCHEME_TARGETS] == [scheme.name for scheme in SCHEMES]
        assert TARGETS[: len(SCHEME_TARGETS)] == SCHEME_TARGETS
        assert [target.is_real for target in TARGETS] == sorted(target.is_real for target in TARGETS)

    def test_are_found_by_name(self) -> None:
        assert [target_named(target.name) for target in TARGETS] == list(TARGETS)

    def test_have_names_of_their_own(self) -> None:
        assert len({target.name for target in TARGETS}) == len(TARGETS)

    def test_are_all_named_to_one_who_asks_for_another(self) -> None:
        with pytest.raises(InputError) as caught:
            target_named("zebra")
        names = ", ".join(target.name for target in TARGETS)
        assert str(caught.value) == f"no target is named 'zebra': expected one of {names}"
