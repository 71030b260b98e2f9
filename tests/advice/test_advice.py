"""Advice on a source: its readers, the reader to prefer, the sentence, and effects that no search found."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from sockiter.advice.advice import (
    IN_WORDS,
    SITUATIONS,
    SourceAdvice,
    Way,
    causes,
    readers_of,
    recommendation,
    remaining,
    surprises,
)
from sockiter.advice.risks import EFFECTS
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.udp import KERNEL_UDP, KERNEL_UDP_DIAG
from sockiter.readers import READERS, WHOLE
from sockiter.targets import target_named
from tests.support.advising import detected, measured, of_kernel, of_scheme, risk, way

NAMES = [reader.name for reader in READERS]


# Readers


def offered() -> list[str]:
    return [reader.name for reader in readers_of(KERNEL_UDP)]


def test_an_iterator_that_supports_everything_offers_every_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch)
    assert offered() == NAMES


def test_a_source_without_a_program_offers_no_reader_that_is_silent_or_destroys(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch, unable=("destroying",), lacks=("silent",))
    assert offered() == ["partial", "whole", "partial-twice", "whole-twice"]


def test_a_source_that_cannot_be_walked_again_offers_no_second_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch, unable=("destroying",), lacks=("again",))
    assert offered() == ["partial", "whole", "silent"]


def test_every_situation_has_sources_of_which_one_may_offer_its_reader() -> None:
    for situation in SITUATIONS:
        sources = [
            target for target in KERNEL_TARGETS if any(fnmatchcase(target.name, pattern) for pattern in situation.sources)
        ]
        assert sources, situation.name
        assert situation.reader in READERS


# The reader to prefer


def preferred(*ways: Way, destroys: bool = False) -> str | None:
    best = of_scheme(*ways).best(destroys=destroys)
    return best.reader.name if best else None


def test_a_loss_is_worse_than_a_double() -> None:
    assert preferred(way("partial", risk("lost", "open")), way("whole", risk("doubled", "open"))) == "whole"


def test_a_loss_of_another_socket_is_worse_than_one_of_a_socket_that_changed_itself() -> None:
    assert preferred(way("partial", risk("lost", "move")), way("whole", risk("lost", "move", own=True))) == "whole"


def test_a_risk_that_takes_a_failing_allocation_counts_only_between_equals() -> None:
    rare, ordinary = risk("lost", "memory"), risk("doubled", "open")
    assert preferred(way("partial", ordinary), way("whole", rare)) == "whole"
    assert preferred(way("silent", ordinary, rare), way("whole", ordinary)) == "whole"


def test_between_equals_one_silent_walk_is_preferred_and_then_whole_reads() -> None:
    assert preferred(*map(way, ("silent-twice", "partial", "whole", "silent"))) == "silent"
    assert preferred(way("partial"), way("whole")) == "whole"


def test_readers_that_destroy_and_those_that_list_do_not_compete() -> None:
    ways = way("whole", risk("lost", "open")), way("whole-destroying")
    assert preferred(*ways) == "whole"
    assert preferred(*ways, destroys=True) == "whole-destroying"


def test_a_reader_whose_search_was_cut_short_or_is_missing_is_never_preferred() -> None:
    assert preferred(way("silent", incomplete="enough"), Way(WHOLE), way("partial", risk("lost", "open"))) == "partial"
    assert preferred(way("silent", incomplete="enough"), Way(WHOLE)) is None


def test_a_loss_without_any_event_is_worst() -> None:
    others = risk("lost", "open"), risk("lost", "leave"), risk("lost", "move")
    assert preferred(way("partial", risk("lost")), way("whole", *others)) == "whole"


# The sentence


def test_the_recommendation_says_what_to_do_and_what_remains() -> None:
    source = of_scheme(way("silent", risk("lost", "move", own=True)))
    assert recommendation(source, destroys=False) == (
        "Let the program store its records in a map: a socket is lost when it moves between buckets, as by connect()."
    )
    assert recommendation(source, destroys=True) == ""


def of_dump(*ways: Way, kernel: bool = False) -> SourceAdvice:
    return SourceAdvice(KERNEL_UDP_DIAG if kernel else target_named("udp-diag"), "udp-diag", list(ways))


@pytest.mark.parametrize("kernel", [False, True], ids=["model", "kernel"])
def test_sockets_of_a_dump_are_destroyed_when_it_is_over_if_fewer_survive_then(kernel: bool) -> None:
    ways = way("whole", risk("lost", "leave"), risk("doubled", "open")), way("whole-destroying", risk("survives"))
    assert recommendation(of_dump(*ways, kernel=kernel), destroys=True) == (
        "List all sockets first, and destroy them then; to list, read with room for all records: a socket survives when "
        "another socket closes and leaves; a socket is listed twice when another socket opens."
    )


def test_a_dump_has_no_program_that_destroys() -> None:
    ways = way("whole", risk("lost", "leave")), way("whole-destroying", risk("survives", "leave"))
    assert recommendation(of_dump(*ways), destroys=True) == (
        "Read with room for all records, and destroy each socket by a request: a socket survives when another socket closes "
        "and leaves."
    )
    assert recommendation(of_dump(ways[1]), destroys=True).startswith("Read with room for all records, and destroy each")


def test_without_a_risk_no_search_found_a_socket_lost_or_listed_twice() -> None:
    assert remaining(()) == "no search found a socket lost or listed twice"


def test_risks_with_the_same_effect_are_joined_and_each_cause_is_named_once() -> None:
    found = risk("lost", "leave"), risk("lost", "open", "leave"), risk("lost", "leave", own=True), risk("doubled", "open")
    assert remaining(found) == (
        "a socket is lost when another socket closes and leaves, or when another socket opens and another socket "
        "closes and leaves; a socket is listed twice when another socket opens"
    )


def test_risks_that_take_a_failing_allocation_are_summed_up() -> None:
    rare = risk("lost", "memory")
    assert remaining((rare,)) == "no search found a socket lost or listed twice, unless an allocation fails"
    assert remaining((risk("lost", "leave"), rare)) == (
        "a socket is lost when another socket closes and leaves; more if an allocation fails"
    )


def test_after_an_error_a_reader_starts_over() -> None:
    assert remaining((risk("error", "memory"),)) == (
        "no search found a socket lost or listed twice; after an error, start over"
    )


def test_a_cause_is_worded_for_the_socket_itself_where_it_can_be_its_own() -> None:
    assert causes(risk("lost", "relisten")) == "another socket stops listening and listens again"
    assert causes(risk("lost", "relisten", own=True)) == "it stops listening and listens again"
    assert causes(risk("lost")) == "nothing changes"


def test_every_effect_has_words() -> None:
    assert set(IN_WORDS) == set(EFFECTS)


# Measurements


def test_an_effect_that_was_measured_and_that_no_search_found_is_a_surprise() -> None:
    seen = measured("partial", {("lost", False): 3, ("lost", True): 1, ("doubled", False): 1200}, walks=2000)
    found = way("partial", risk("lost", "open"), measured=seen)
    assert surprises(of_kernel(found), found) == [
        "kernel:udp, partial: a socket is listed twice, in 1,200 of 2,000 walks",
        "kernel:udp, partial: a socket that changes itself is lost, in 1 of 2,000 walks",
    ]


def test_without_a_complete_search_or_a_measurement_nothing_is_a_surprise() -> None:
    seen = measured("partial", {("lost", False): 3})
    cut_short = way("partial", incomplete="enough", measured=seen)
    for known in (cut_short, Way(WHOLE, None, seen), way("partial")):
        assert surprises(of_kernel(known), known) == []
