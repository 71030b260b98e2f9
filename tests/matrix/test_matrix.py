"""The verdict of a cell: proved, refuted, measured, unknown or unsupported; and broken claims."""

from __future__ import annotations

import functools
from itertools import combinations

import pytest

from sockiter.backend import Target
from sockiter.cases import loads
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.claims import Hazard, implied, in_order, known_failure
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.matrix.compute import parts
from sockiter.matrix.matrix import (
    ALL,
    NONE,
    SIGNATURES,
    Cell,
    Column,
    Matrix,
    MatrixRow,
    Measured,
    broken,
    case_name,
    claims,
    columns,
    describe,
    distinct,
    own_scope,
    unfinished,
    verdicts,
    with_violations_of,
)
from sockiter.schemes.index import Index
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Signature
from tests.support.matrices import corpus_matrix, searched

OFFSET = SchemeTarget(OffsetUdp())
INDEX = SchemeTarget(Index())
RANK = SchemeTarget(Rank())
NARROW = SchemeTarget(IndexNarrow())
MOVING: frozenset[Hazard] = frozenset({"reinsert", "rehash"})

SKIP = Counterexample("skip", False, loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n"))
ROLLED = Counterexample(
    "skip", False, loads("".join(f"add {name} tail\n" for name in "ABCDEFGH") + "open\nread all\n"), elsewhere=True
)


def column(*hazards: Hazard) -> Column:
    return Column("+".join(hazards), frozenset(hazards))


def cell(target: Target, *hazards: Hazard, incomplete: str = "", violations: tuple[Counterexample, ...] = ()) -> Cell:
    of = column(*hazards)
    return Cell(of, of.hazards, SearchResult(target.name, of.hazards, Scope(), 1, 1, 0.1, violations, incomplete))


def measured(*violations: Counterexample) -> Cell:
    of = column("remove")
    return Cell(of, of.hazards, Measured("kernel:udp", of.hazards, 4000, 1.0, violations))


# Columns.


def test_the_columns_are_none_each_supported_hazard_and_all() -> None:
    assert [one.name for one in columns([RANK])] == [
        "none",
        "add-head",
        "add-tail",
        "remove",
        "reinsert",
        "rehash",
        "destroying",
        "between",
        "all",
    ]
    assert [one.name for one in columns([RANK, NARROW])][6:] == [
        "close",
        "destroying",
        "show",
        "between",
        "realloc",
        "enomem",
        "rollover",
        "all",
    ]


def test_a_hazard_that_is_another_one_to_a_walk_has_a_column_only_without_that() -> None:
    destroyed = SchemeTarget(Rank())
    destroyed.hazards = frozenset({"destroy", "accept"})
    assert [one.name for one in columns([destroyed])] == ["none", "accept", "destroy", "all"]
    assert [one.name for one in columns([destroyed, RANK])][3:-1] == [
        "remove",
        "reinsert",
        "rehash",
        "accept",
        "destroying",
        "between",
    ]


def test_a_single_hazard_is_for_targets_that_support_it_and_all_hazards_are_for_every_target() -> None:
    assert column("show").of(RANK) is None
    assert column("remove").of(RANK) == frozenset[Hazard]({"remove"})
    assert ALL.of(RANK) == RANK.hazards
    assert NONE.of(RANK) == frozenset()


# The claims of a target.


def test_the_claims_are_the_largest_sets_that_exclude_some_kind_of_failure() -> None:
    """Index admits a skip of a socket that did not move where one is reinserted while a socket is shown, or while a larger
    batch is allocated and refused; a repeat, where one is rehashed as well; and either of one that moved. A read that
    destroys changes the table while a socket is shown."""
    everything = INDEX.hazards
    assert claims(INDEX) == (
        Column("all but reinsert", everything - {"reinsert"}),
        Column("all but reinsert, rehash", everything - {"reinsert", "rehash"}),
        Column("all but destroying, show, realloc", everything - {"destroying", "show", "realloc"}),
        Column("all but destroying, show, enomem", everything - {"destroying", "show", "enomem"}),
    )


def test_a_set_of_hazards_is_named_the_shorter_way() -> None:
    assert claims(RANK) == (
        column_named("all but add-head, add-tail, rehash", "remove", "reinsert", "destroy", "destroying", "between"),
        column_named("add-head, add-tail, reinsert, between", "add-head", "add-tail", "reinsert", "between"),
        column_named("remove, destroy, destroying, between", "remove", "destroy", "destroying", "between"),
        column_named("add-head, add-tail, between", "add-head", "add-tail", "between"),
    )
    target = SchemeTarget(Index())
    target.hazards = frozenset({"remove"})
    target.known_failures = (known_failure("skip", "remove"),)
    assert claims(target) == (NONE,)


def column_named(name: str, *hazards: Hazard) -> Column:
    return Column(name, frozenset(hazards))


def test_a_claim_about_moved_sockets_needs_a_hazard_that_moves_them() -> None:
    target = SchemeTarget(Index())
    target.known_failures = (known_failure("skip"), known_failure("skip", "reinsert", moved=True))
    assert claims(target) == (Column("all but reinsert", target.hazards - {"reinsert"}),)
    target.known_failures = (known_failure("skip"), *(known_failure("skip", hazard, moved=True) for hazard in MOVING))
    assert claims(target) == (Column("all but reinsert, rehash", target.hazards - MOVING),)
    target.known_failures = (*target.known_failures, known_failure("skip", "close", moved=True))
    assert claims(target) == ()


def test_a_target_without_smaller_claims_has_only_the_column_all() -> None:
    target = SchemeTarget(Index())
    target.known_failures = ()
    assert claims(target) == ()


@pytest.mark.parametrize("target", [OFFSET, INDEX, RANK, SchemeTarget(OffsetTcp())], ids=lambda target: target.name)
def test_whatever_is_claimed_under_some_hazards_is_proved_with_the_claims_or_with_all(target: Target) -> None:
    """Without successions in the whole scope. With successions it may be the smaller one, which all of them fit in."""
    whole, smaller = Scope(3, 2, 2), Scope(3, 1, 2)
    columns = (Column(ALL.name, target.hazards), *claims(target))
    searches = [task for one in columns for task in parts(target, one, one.hazards, whole)]
    assert {task.scope for task in searches} <= {whole, smaller}

    @functools.cache
    def claimed(hazards: frozenset[Hazard]) -> frozenset[Signature]:
        possible = [one for one in target.known_failures if one.hazards <= implied(hazards)]
        return frozenset(one for one in SIGNATURES if not any(failure.explains(one) for failure in possible))

    for size in range(len(target.hazards) + 1):
        for some in map(frozenset, combinations(in_order(target.hazards), size)):
            succeeds = bool(some & {"close", "accept"})
            proofs = [task for task in searches if some <= task.hazards and (succeeds or task.scope == whole)]
            proved = frozenset[Signature]().union(*(claimed(task.hazards) for task in proofs))
            # Without a hazard that moves sockets, none has moved.
            trivial = {one for one in SIGNATURES if one.moved and not succeeds and not some & MOVING}
            assert claimed(some) <= proved | trivial


# The text of a cell.


def test_a_search_that_is_complete_proves_all_that_it_did_not_find_impossible() -> None:
    verdict = verdicts(OFFSET, cell(OFFSET, "add-tail"))
    assert [one.signature for one in verdict] == list(SIGNATURES)
    assert {(one.possible, one.admitted, one.violation, one.name) for one in verdict} == {(False, False, None, "")}


def test_only_verdicts_on_a_socket_are_separated_by_moved() -> None:
    assert (
        Signature("skip"),
        Signature("skip", elsewhere=True),
        Signature("skip", moved=True),
        Signature("repeat"),
        Signature("repeat", elsewhere=True),
        Signature("repeat", moved=True),
        Signature("stale"),
        Signature("stale", moved=True),
        Signature("stuck"),
        Signature("refused"),
    ) == SIGNATURES


def test_a_finding_is_possible_and_named_like_a_file_of_the_corpus() -> None:
    skip, *others = verdicts(OFFSET, cell(OFFSET, "remove", violations=(SKIP,)))
    assert (skip.possible, skip.admitted, skip.violation, skip.name) == (True, True, SKIP, "offset-udp-skip-remove")
    assert not skip.breaks_a_claim
    assert {one.possible for one in others} == {False}


def test_a_socket_that_moved_one_elsewhere_and_a_rollover_are_in_the_name() -> None:
    moved = Counterexample("skip", True, loads("add A tail\nadd B tail\nopen\nread 1\nreinsert B head\nread all\n"))
    assert case_name(OFFSET, moved) == "offset-udp-skip-moved-reinsert"
    assert case_name(NARROW, ROLLED) == "index-narrow-skip-rollover"
    assert case_name(OFFSET, ROLLED) == "offset-udp-skip"


def test_a_known_failure_that_is_excluded_in_the_scope_is_reported_as_both() -> None:
    (skip,) = [one for one in verdicts(OFFSET, cell(OFFSET, "remove")) if one.signature == Signature("skip")]
    assert (skip.possible, skip.admitted, skip.breaks_a_claim) == (False, True, False)


def test_a_violation_that_no_known_failure_explains_breaks_a_claim() -> None:
    skip = verdicts(INDEX, cell(INDEX, "remove", violations=(SKIP,)))[0]
    assert (skip.possible, skip.admitted, skip.breaks_a_claim) == (True, False, True)


def test_a_claim_counts_under_the_hazards_of_the_case_and_not_of_the_column() -> None:
    """All together would admit it, but this case needs no more than a removal, which does not."""
    assert verdicts(INDEX, cell(INDEX, "remove", "reinsert", "show", violations=(SKIP,)))[0].breaks_a_claim
    explaining = SchemeTarget(Index())
    explaining.known_failures = (known_failure("skip", "remove"),)
    assert not verdicts(explaining, cell(explaining, "remove", "show", violations=(SKIP,)))[0].breaks_a_claim


def test_a_search_that_was_cut_short_proves_nothing_and_its_findings_stand() -> None:
    cut = cell(OFFSET, "remove", incomplete="interrupted", violations=(SKIP,))
    assert [one.possible for one in verdicts(OFFSET, cut)] == [True] + [None] * 9
    assert cut.unfinished == "interrupted"


@pytest.mark.usefixtures("limited_kernel")
def test_a_measured_failure_is_never_impossible() -> None:
    kernel = KERNEL_UDP
    assert {one.possible for one in verdicts(kernel, measured())} == {None}
    assert [one.possible for one in verdicts(kernel, measured(SKIP))] == [True] + [None] * 9
    assert verdicts(kernel, measured(SKIP))[0].breaks_a_claim
    assert measured().unfinished == ""


def test_an_unsupported_cell_has_no_verdicts_and_is_not_unfinished() -> None:
    cannot = Cell(column("show"), frozenset(), None)
    assert verdicts(RANK, cannot) == ()
    assert not cannot.can
    assert cannot.unfinished == ""


def test_a_cell_without_a_result_has_a_reason_and_unknown_verdicts() -> None:
    failed = Cell(NONE, frozenset(), None, "a worker ended with exit code -9")
    assert {one.possible for one in verdicts(RANK, failed)} == {None}
    assert failed.can
    assert failed.unfinished == "a worker ended with exit code -9"


# The matrix.


def test_a_matrix_lists_broken_claims_and_unfinished_cells() -> None:
    whole = corpus_matrix("offset-udp", "index")
    assert broken(whole) == []
    assert unfinished(whole) == []
    bad = cell(INDEX, "remove", violations=(SKIP,))
    cut = cell(INDEX, "remove", incomplete="interrupted")
    other = Matrix(whole.scope, whole.columns, (MatrixRow(INDEX, (bad, cut)),))
    assert [(row.target, of, one.name) for row, of, one in broken(other)] == [(INDEX, bad, "index-skip-remove")]
    assert [of for _, of in unfinished(other)] == [cut]


def test_a_case_of_the_corpus_is_in_the_cells_with_its_hazards() -> None:
    (row,) = corpus_matrix("offset-udp").rows
    skips = {of.column.name: verdicts(OFFSET, of)[0].possible for of in row.cells}
    assert [title for title, can in skips.items() if can] == ["remove", "reinsert", "rehash", "all"]
    (row,) = corpus_matrix("rank").rows
    elsewhere = {of.column.name: verdicts(RANK, of)[1].possible for of in row.cells}
    assert [title for title, can in elsewhere.items() if can] == ["remove", "rehash", "all"]


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (
            Scope(4, 1, 2),
            "at most 4 sockets in the table at once, 1 bucket in each table, 2 slots in the batch at open, "
            "sequences of any length",
        ),
        (
            Scope(1, 2, 1, 9),
            "at most 1 socket in the table at once, 2 buckets in each table, 1 slot in the batch at open, "
            "sequences of at most 9 operations",
        ),
    ],
)
def test_a_scope_is_reported_in_words(scope: Scope, words: str) -> None:
    assert describe(scope) == words


def test_only_the_differences_of_a_scope_are_described() -> None:
    assert own_scope(Scope(3, 2, 2), Scope(3, 2, 2)) == ""
    assert own_scope(Scope(3, 1, 2), Scope(3, 2, 2)) == "1 bucket"
    assert own_scope(Scope(1, 1, 4), Scope(3, 2, 2)) == "at most 1 socket, 1 bucket, 4 slots"
    assert own_scope(Scope(3, 2, 2, 1), Scope(3, 2, 2)) == "sequences of at most 1 operation"


# With the violations of others.


def of_others(*violations: Counterexample) -> SearchResult:
    result = cell(OFFSET, violations=violations).result
    assert isinstance(result, SearchResult)
    return result


LONGER = Counterexample("skip", False, loads("add A tail\nadd B tail\nadd C tail\nopen\nread 1\nremove A\nread all\n"))
MOVED = Counterexample("skip", True, loads("add A tail\nopen\nreinsert A head\nread all\n"))


def test_a_result_takes_over_new_and_shorter_violations_shortest_first() -> None:
    assert with_violations_of(of_others(), [of_others(SKIP)]).violations == (SKIP,)
    assert with_violations_of(of_others(LONGER), [of_others(SKIP), of_others(MOVED)]).violations == (MOVED, SKIP)
    assert with_violations_of(of_others(), [of_others(LONGER), of_others(SKIP), of_others(LONGER)]).violations == (SKIP,)


def test_a_result_keeps_its_own_where_those_of_others_are_no_shorter_and_all_else() -> None:
    own = Counterexample("skip", False, loads("add A tail\nadd C tail\nopen\nread 1\nremove A\nread all\n"))
    assert with_violations_of(of_others(own), [of_others(SKIP), of_others(LONGER)]) == of_others(own)
    assert with_violations_of(of_others(own), []) == of_others(own)


def test_a_measurement_takes_over_findings_under_fewer_hazards() -> None:
    more, less = measured().result, measured(SKIP).result
    assert more is not None
    assert less is not None
    assert with_violations_of(more, [less]) == less


def test_a_cell_has_the_verdicts_of_its_search() -> None:
    """The stand-in for a search leaves out failures that need more hazards."""
    less = searched(INDEX, column("reinsert").hazards)
    more = searched(INDEX, column("reinsert", "show").hazards)
    assert {one.signature for one in more.violations} > {one.signature for one in less.violations}


# KnownFailure of a neighbour, and elsewhere.

ELSEWHERE = Counterexample(
    "skip", False, loads("add A tail\nadd B tail in 1\nopen\nread 1\nremove A\nread all\n"), elsewhere=True
)


def test_harm_of_a_neighbour_is_left_out_where_less_does_it_elsewhere() -> None:
    both = verdicts(RANK, cell(RANK, "remove", violations=(LONGER, ELSEWHERE)))
    assert [one.violation for one in both if one.violation] == [LONGER, ELSEWHERE]
    assert [one.violation for one in distinct(both)] == [ELSEWHERE]


def test_harm_of_a_neighbour_stays_where_it_is_no_longer_or_breaks_a_claim() -> None:
    as_long = verdicts(RANK, cell(RANK, "remove", violations=(SKIP, ELSEWHERE)))
    assert [one.violation for one in distinct(as_long)] == [SKIP, ELSEWHERE]
    broken = verdicts(INDEX, cell(INDEX, "remove", violations=(LONGER, ELSEWHERE)))
    assert [one.violation for one in distinct(broken)] == [LONGER, ELSEWHERE]


def test_a_known_failure_of_a_neighbour_explains_none_elsewhere() -> None:
    skip = verdicts(OFFSET, cell(OFFSET, "remove", violations=(SKIP, ELSEWHERE)))
    assert [one.breaks_a_claim for one in skip[:2]] == [False, True]
