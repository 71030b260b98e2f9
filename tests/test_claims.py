"""Hazards and claims: the hazards that a sequence uses, and the known failures that explain a finding."""

from __future__ import annotations

import pytest

from sockiter.claims import (
    HAZARD_OF,
    HAZARDS,
    INSERTIONS_MAX,
    Hazard,
    KnownFailure,
    explaining,
    hazards_of,
    in_order,
    known_failure,
    largest_claims,
    unexplained,
    within,
)
from sockiter.operations import Add, At, Bucket, Change, Fail, Open, Operation, Read, Rehash, Reinsert, Remove
from sockiter.schemes import SCHEMES
from sockiter.schemes.scheme import AnyScheme
from sockiter.verdict import VIOLATIONS, Finding, Signature

CHANGES: list[tuple[Change, Hazard]] = [
    (Add("B", "head"), "add-head"),
    (Add("B", "tail", Bucket(1)), "add-tail"),
    (Remove("A"), "remove"),
    (Reinsert("A", "tail"), "reinsert"),
    (Rehash("A", Bucket(1)), "rehash"),
]


def test_the_hazards_have_the_order_and_the_names_of_the_design() -> None:
    assert HAZARDS == (
        "add-head",
        "add-tail",
        "remove",
        "reinsert",
        "rehash",
        "close",
        "accept",
        "destroy",
        "destroying",
        "show",
        "between",
        "realloc",
        "enomem",
        "rollover",
    )


@pytest.mark.parametrize(("change", "hazard"), CHANGES, ids=[hazard for _, hazard in CHANGES])
class TestAChange:
    def test_is_a_hazard_between_two_reads(self, change: Change, hazard: Hazard) -> None:
        assert hazards_of([Add("A", "head"), Open(), Read(1), change]) == {hazard}

    def test_is_none_before_open(self, change: Change, hazard: Hazard) -> None:
        assert hazards_of([Add("A", "head"), change, Open(), Read(None)]) == frozenset()

    def test_is_one_more_where_it_is_made_inside_a_read(self, change: Change, hazard: Hazard) -> None:
        assert hazards_of([Open(), Read(1, (At("show", 2, change),))]) == {hazard, "show"}
        assert hazards_of([Open(), Read(None, (At("bucket", 2, change),))]) == {hazard, "between"}
        assert hazards_of([Open(), Read(None, (At("realloc", 1, change),))]) == {hazard, "realloc"}


def test_a_refused_allocation_is_the_hazard_enomem_and_no_other() -> None:
    assert hazards_of([Open(), Read(1, (At("realloc", 1, Fail()),))]) == {"enomem"}


def test_the_hazards_of_a_sequence_are_those_of_all_its_operations() -> None:
    inside = (At("realloc", 1, Fail()), At("show", 1, Remove("A")), At("realloc", 2, Add("B", "tail")))
    operations: list[Operation] = [Add("A", "head"), Open(), Read(1, inside), Rehash("B", Bucket(1))]
    assert hazards_of(operations) == {"enomem", "show", "remove", "realloc", "add-tail", "rehash"}


def test_a_sequence_without_operations_uses_no_hazard() -> None:
    assert hazards_of([]) == frozenset()


SEVEN: list[Operation] = [Add(f"S{number}", "tail") for number in range(7)]
EIGHTH: list[Change] = [
    Add("A", "head"),
    Add("A", "tail", Bucket(1)),
    Reinsert("S0", "tail"),
    Rehash("S0", Bucket(1)),
    Rehash("S0", Bucket(0)),  # it is there already
]


class TestNarrowVersions:
    def test_can_number_seven_insertions(self) -> None:
        assert INSERTIONS_MAX == 7
        assert hazards_of([*SEVEN, Open()], narrow=True) == frozenset()

    @pytest.mark.parametrize("change", EIGHTH, ids=str)
    def test_roll_over_with_the_eighth_wherever_it_is_made_and_with_moves_as_well(self, change: Change) -> None:
        assert hazards_of([*SEVEN, change, Open()], narrow=True) == {"rollover"}
        alone = hazards_of([*SEVEN, Open(), change])
        assert hazards_of([*SEVEN, Open(), change], narrow=True) == {*alone, "rollover"}
        for at in (At("show", 1, change), At("bucket", 1, change), At("realloc", 9, change)):
            hazards = {*alone, HAZARD_OF[at.point], "rollover"}
            assert hazards_of([*SEVEN, Open(), Read(1, (at,))], narrow=True) == hazards

    @pytest.mark.parametrize("change", EIGHTH, ids=str)
    def test_do_not_roll_over_one_insertion_sooner(self, change: Change) -> None:
        assert "rollover" not in hazards_of([*SEVEN[:-1], Open(), change, Read(None)], narrow=True)

    def test_are_not_used_up_by_removals_nor_given_back(self) -> None:
        gone: list[Operation] = [Remove(f"S{number}") for number in range(3)]
        assert hazards_of([*SEVEN, *gone, Open(), Remove("S5"), Read(1)], narrow=True) == {"remove"}
        assert hazards_of([*SEVEN, *gone, Open(), Add("A", "tail")], narrow=True) == {"add-tail", "rollover"}

    def test_are_not_used_up_by_reads_and_refusals(self) -> None:
        fails = tuple(At("realloc", nth, Fail()) for nth in range(1, 9))
        assert hazards_of([*SEVEN, Open(), Read(1), Read(None, fails)], narrow=True) == {"enomem"}

    def test_count_and_wide_ones_never_roll_over(self) -> None:
        assert hazards_of([Add(f"S{number}", "tail") for number in range(100)]) == frozenset()


def test_a_read_that_gives_up_is_no_hazard() -> None:
    assert hazards_of([Open(), Read(None, gives_up=True)]) == frozenset()


def test_hazards_are_put_in_order_each_once() -> None:
    assert in_order(["show", "add-tail", "show", "add-head"]) == ["add-head", "add-tail", "show"]


@pytest.mark.parametrize(
    ("admitted", "text"),
    [
        (known_failure("skip", "show", "remove"), "skip under remove, show"),
        (known_failure("repeat", "rehash", moved=True), "repeat (moved) under rehash"),
        (known_failure("stuck"), "stuck under no hazard"),
        (known_failure("skip", "remove", elsewhere=True), "skip (elsewhere) under remove"),
        (known_failure("skip"), "skip under no hazard"),
    ],
    ids=["plain", "moved", "always", "elsewhere", "elsewhere and always"],
)
def test_a_known_failure_is_printed_in_one_line(admitted: KnownFailure, text: str) -> None:
    assert str(admitted) == text


def test_known_failures_within_some_hazards_need_no_others_than_these_and_those_that_they_imply() -> None:
    remove, close = known_failure("skip", "remove"), known_failure("repeat", "close")
    both = known_failure("skip", "remove", "show")
    failures = (remove, close, both)
    assert within(failures, ()) == frozenset()
    assert within(failures, {"remove", "add-head"}) == within(failures, {"destroy"}) == {remove}
    assert within(failures, {"destroying"}) == {remove, both}
    assert within(failures, {"accept"}) == {close}


def test_a_known_failure_is_of_an_unmoved_socket_by_default() -> None:
    assert known_failure("skip", "remove", "remove") == KnownFailure("skip", frozenset({"remove"}), False)
    assert known_failure("skip", moved=True) == KnownFailure("skip", frozenset(), True)


def test_a_known_failure_without_hazards_is_elsewhere() -> None:
    assert known_failure("skip") == KnownFailure("skip", frozenset(), elsewhere=True)
    assert known_failure("refused") == KnownFailure("refused", frozenset())


@pytest.mark.parametrize(
    ("admitted", "stem"),
    [
        (known_failure("skip", "remove"), "rank-skip-remove"),
        (known_failure("skip", "remove", elsewhere=True), "rank-skip-elsewhere-remove"),
        (known_failure("skip", "rehash", moved=True), "rank-skip-moved-rehash"),
        (known_failure("skip"), "rank-skip"),
    ],
    ids=["plain", "elsewhere", "moved", "always"],
)
def test_a_case_of_a_known_failure_is_named_after_it(admitted: KnownFailure, stem: str) -> None:
    assert admitted.stem("rank") == stem


SKIP, REPEAT, MOVED = (
    known_failure("skip", "remove", "show"),
    known_failure("repeat", "remove"),
    known_failure("skip", "reinsert", moved=True),
)
ANYWHERE = known_failure("repeat", "rehash", elsewhere=True)


@pytest.mark.parametrize(
    ("finding", "hazards", "expected"),
    [
        (Finding("skip", "A"), {"remove", "show"}, [SKIP]),
        (Finding("skip", "A"), {"remove", "show", "add-head"}, [SKIP]),
        (Finding("skip", "A"), {"remove"}, []),
        (Finding("repeat", "A"), {"remove"}, [REPEAT]),
        (Finding("repeat", "A", moved=True), {"remove", "show", "reinsert"}, []),
        (Finding("skip", "A", moved=True), {"reinsert", "remove", "show"}, [MOVED]),
        (Finding("stale", "A"), {"remove", "show", "reinsert"}, []),
        (Finding("skip", "A", elsewhere=True), {"remove", "show"}, []),
        (Finding("repeat", "A", elsewhere=True), {"remove", "rehash"}, [ANYWHERE]),
        (Finding("repeat", "A"), {"remove", "rehash"}, [REPEAT, ANYWHERE]),
    ],
    ids=[
        "just",
        "more",
        "too little",
        "other kind",
        "moved and not admitted",
        "moved and admitted",
        "never admitted",
        "elsewhere and only that of a neighbour is admitted",
        "elsewhere and admitted",
        "of a neighbour and admitted everywhere",
    ],
)
def test_a_finding_is_explained_by_the_known_failures_of_its_kind_whose_hazards_are_all_there(
    finding: Finding, hazards: set[Hazard], expected: list[KnownFailure]
) -> None:
    assert explaining((SKIP, REPEAT, MOVED, ANYWHERE), finding.signature, frozenset(hazards)) == expected


def test_every_known_failure_that_explains_a_finding_is_returned_in_order() -> None:
    wide, narrow = known_failure("skip", "remove"), known_failure("skip")
    assert explaining((wide, REPEAT, narrow), Signature("skip"), frozenset({"remove"})) == [wide, narrow]


EVERYTHING: frozenset[Hazard] = frozenset({"add-head", "remove", "rehash"})


def claims(*known_failures: KnownFailure) -> dict[frozenset[Hazard], set[str]]:
    """The largest claims, in words."""
    largest = largest_claims(known_failures, EVERYTHING)
    return {hazards: {words(one) for one in signatures} for hazards, signatures in largest.items()}


def words(signature: Signature) -> str:
    return f"{signature.kind}{' moved' * signature.moved}{' elsewhere' * signature.elsewhere}"


def test_a_kind_without_known_failure_is_claimed_under_everything() -> None:
    of_a_socket = {
        "skip",
        "skip elsewhere",
        "skip moved",
        "repeat",
        "repeat elsewhere",
        "repeat moved",
        "stale",
        "stale moved",
    }
    assert claims() == {EVERYTHING: of_a_socket | {"stuck", "refused"}}


def test_a_claim_leaves_out_one_hazard_of_each_known_failure_and_no_more() -> None:
    largest = claims(known_failure("skip", "remove"), known_failure("skip", "add-head", "rehash"))
    assert {hazards for hazards, kinds in largest.items() if "skip" in kinds} == {
        frozenset({"add-head"}),
        frozenset({"rehash"}),
    }
    assert {"skip moved", "skip elsewhere"} <= largest[EVERYTHING]


def test_a_known_failure_elsewhere_removes_both_claims() -> None:
    largest = claims(known_failure("skip", "remove", elsewhere=True))
    assert not {"skip", "skip elsewhere"} & largest[EVERYTHING]
    assert largest[EVERYTHING - {"remove"}] == {"skip", "skip elsewhere"}


def test_a_hazard_that_is_left_out_for_two_known_failures_leaves_the_others_in() -> None:
    largest = claims(known_failure("skip", "remove", "rehash"), known_failure("skip", "remove", "add-head"))
    assert {hazards for hazards, kinds in largest.items() if "skip" in kinds} == {
        frozenset({"add-head", "rehash"}),
        frozenset({"remove"}),
    }


def test_a_known_failure_without_hazards_excludes_the_claim_under_none() -> None:
    assert not [kinds for kinds in claims(known_failure("skip")).values() if "skip" in kinds]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
class TestAScheme:
    def test_has_known_failures_only_under_hazards_that_it_can_be_put_through(self, scheme: AnyScheme) -> None:
        assert {admitted.kind for admitted in scheme.known_failures} <= {*VIOLATIONS, "refused"}
        assert frozenset().union(*(admitted.hazards for admitted in scheme.known_failures)) <= scheme.hazards

    def test_has_no_known_failure_twice(self, scheme: AnyScheme) -> None:
        for admitted in scheme.known_failures:
            assert explaining(scheme.known_failures, admitted.signature, admitted.hazards) == [admitted]

    def test_names_the_socket_as_moved_only_where_sockets_are_moved(self, scheme: AnyScheme) -> None:
        # A successor counts as moved.
        moves = {"reinsert", "rehash", "close", "accept"}
        assert all(admitted.hazards & moves for admitted in scheme.known_failures if admitted.moved)


def test_a_finding_that_no_known_failure_explains_breaks_a_claim_and_an_incomplete_iteration_breaks_none() -> None:
    skip, moved, stuck = Finding("skip", "A"), Finding("skip", "B", moved=True), Finding("stuck")
    known = (known_failure("skip", "remove"), known_failure("stuck", "rehash"))
    hazards: frozenset[Hazard] = frozenset({"remove"})
    assert unexplained(known, (skip, moved, stuck, Finding("incomplete")), hazards) == (moved, stuck)
    assert unexplained((), (), hazards) == ()
