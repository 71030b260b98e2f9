"""The life of a socket, and the ways of reading: text form, possible sequences, the frame, the judge, and readers."""

from __future__ import annotations

import pytest

from sockiter.backend import refusal, run, shape_of
from sockiter.cases import Case, dumps, loads
from sockiter.claims import Hazard, hazards_of, implied, without_implied
from sockiter.errors import InputError
from sockiter.history import Event, History, Reopened, Returned, Shown
from sockiter.operations import (
    Accept,
    Add,
    Again,
    At,
    Bucket,
    Close,
    Destroy,
    Impossible,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    check,
    possible,
)
from sockiter.oracle import judge
from sockiter.readers import FEATURES, READERS, Reader, features_of, lacking, reader_named
from sockiter.shrink.edits import rebucketed, renamed, without_names
from sockiter.shrink.order import sort_key
from sockiter.simulation import Simulation
from sockiter.table import InheritedIndex, Socket
from sockiter.targets import target_named
from sockiter.verdict import Finding, Verdict

END = Returned(())
TEXT = """# sockiter case v1

add A head in established:1 unwanted
add B tail request
add C tail unwanted bound
open
read 24 bytes
read 1 destroying
read 3 bytes destroying
  at show 1: accept B
  at bucket 2: close B
  at show 2: destroy C
read all destroying
read until error destroying
again
walk
walk destroying
walk until error
walk until error destroying
"""
OPERATIONS: tuple[Operation, ...] = (
    Add("A", "head", Bucket(1, "established"), ("unwanted",)),
    Add("B", "tail", properties=("request",)),
    Add("C", "tail", properties=("unwanted", "bound")),
    Open(),
    Read(24, unit="bytes"),
    Read(1, destroying=True),
    Read(
        3,
        (At("show", 1, Accept("B")), At("bucket", 2, Close("B")), At("show", 2, Destroy("C"))),
        unit="bytes",
        destroying=True,
    ),
    Read(None, destroying=True),
    Read(None, gives_up=True, destroying=True),
    Again(),
    Read(None, silent=True),
    Read(None, silent=True, destroying=True),
    Read(None, gives_up=True, silent=True),
    Read(None, gives_up=True, silent=True, destroying=True),
)


def ops(text: str) -> tuple[Operation, ...]:
    return loads(text.replace("; ", "\n")).operations


def reads(target: str, text: str) -> list[Returned]:
    """The results of a sequence on a scheme."""
    scheme = target_named(target)
    with scheme.session() as session:
        return run(session, scheme, ops(text)).reads


# The text form


def test_every_line_of_lives_and_readers_is_read_and_written_in_one_way() -> None:
    assert loads(TEXT) == Case(OPERATIONS)
    assert dumps(Case(OPERATIONS)) == TEXT


def test_properties_are_read_in_any_order_and_written_in_one() -> None:
    assert ops("add A tail bound unwanted; open") == (Add("A", "tail", properties=("unwanted", "bound")), Open())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("add A tail wanted", "1: unknown property 'wanted' in `add A tail wanted`: expected add NAME head|tail"),
        ("add A tail bound bound", "1: `bound bound`: expected each property once, and not both `request` and `bound`"),
        ("add A tail request bound", "1: `request bound`: expected each property once"),
        ("open\nread 0 bytes", "2: '0': expected a number from 1 to 1048576"),
        ("open\nread 1048577 bytes", "2: '1048577': expected a number from 1 to 1048576"),
        ("open\nread all bytes", "2: 'all': expected a number from 1 to 1048576"),
        ("open\nread 1 records", "2: `read 1 records`: expected read N [bytes], read all, or read until error"),
        ("open\nwalk 3", "2: `walk 3`: expected walk, or walk until error, each with [destroying]"),
        ("open\nwalk destroying destroying", "2: `walk destroying destroying`: expected walk"),
        ("again\nopen", "1: a second pass before open: expected `open` above `again`"),
        ("open\nagain now", "2: `again now`: expected again"),
        ("add A tail\naccept A\nopen", "2: socket 'A' is no request socket: expected one that was added with `request`"),
        ("add A tail request\nclose A\nopen", "2: socket 'A' is a request socket: expected `accept`, `remove` or `destroy`"),
        ("add A tail\nclose A\nclose A\nopen", "3: socket 'A' was closed, and can only leave the table: expected `remove`"),
        ("add A tail bound\nreinsert A head\nopen", "2: socket 'A' is bound by number, and keeps its place: expected a"),
        ("add A tail\nopen\ndestroy A\nclose A", "4: socket 'A' is not in the table any more: expected one that is in"),
        ("open\ndestroy", "2: `destroy`: expected destroy NAME"),
    ],
)
def test_a_wrong_line_is_refused_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        loads(text, file="FILE")
    assert str(caught.value).startswith(f"FILE:{message}")


# Possible sequences


def test_a_life_goes_on_only_as_it_can() -> None:
    check(ops("add A tail request; accept A; reinsert A head; close A; open; remove A"))
    check(ops("add A tail bound; open; destroy A; destroy A; rehash A to 1; close A; remove A"))
    for operations in (
        (Add("A", "tail"), Open(), Accept("A")),
        (Add("A", "tail", properties=("request",)), Open(), Reinsert("A", "head")),
        (Add("A", "tail"), Close("A"), Rehash("A", Bucket(1)), Open()),
        (Again(), Open()),
    ):
        with pytest.raises(Impossible):
            check(operations)


def test_possible_drops_what_a_life_does_not_allow() -> None:
    read = Read(1, (At("show", 1, Accept("A")), At("show", 1, Accept("A"))))
    operations = (Again(), Add("A", "tail", properties=("request",)), Close("A"), Open(), read, Again(), Accept("A"))
    kept = (Add("A", "tail", properties=("request",)), Open(), Read(1, (At("show", 1, Accept("A")),)), Again())
    assert possible(operations) == kept
    check(kept)


# The frame


def test_a_read_in_bytes_delivers_a_record_with_its_last_byte() -> None:
    results = reads("index", "add A tail; add B tail; add C tail; open; read 24 bytes; read 4 bytes; read 4 bytes; read all")
    assert results == [
        Returned(("A",), cut=True),
        Returned((), cut=True),
        Returned(("B",)),
        Returned(("C",)),
        END,
    ]
    assert not results[1].is_the_end


def test_a_silent_walk_never_stops_and_is_at_the_end() -> None:
    (walked,) = reads("unix", "add A tail; add B tail; open; walk")
    assert walked == Returned(("A", "B"), silent=True)
    assert walked.is_the_end


def test_a_destroying_read_destroys_what_it_shows_and_no_more() -> None:
    target = target_named("index")
    with target.session() as session:
        backend = session.begin(
            shape_of(operations := ops("add A tail unwanted; add B tail; add C tail; open; read 1 destroying"))
        )
        for op in operations:
            backend.apply(op)
        assert backend.state() == (("A", "C"),)
        assert backend.history.events == [Shown("B"), Destroy("B"), Returned(("B",))]
        backend.apply(Remove("B"))  # it has no effect: the case cannot know who was destroyed
        assert backend.history.events[-1] == Returned(("B",))


def events_of(text: str, scheme: str = "udp-diag", slots: int = 2) -> list[Event]:
    with (target := target_named(scheme)).session() as session:
        return run(session, target, ops(text), slots=slots).events


def test_a_reader_of_a_dump_destroys_what_it_received_when_the_next_message_is_filled() -> None:
    assert events_of("add A tail; add B tail; add C tail; open; read 1 destroying; read all destroying") == [
        *(Shown("A"), Shown("B"), Shown("C")),
        *(Returned(("A",)), Destroy("A")),
        *(Returned(("B",)), Destroy("B")),
        *(Returned(("C",)), Destroy("C")),
        END,
    ]
    # A and B are destroyed when C is shown, and D comes too early.
    text = f"{'; '.join(f'add {name} tail' for name in 'ABCDEF')}; open; read all destroying"
    assert judge(run_of(text)) == (Finding("skip", "E"), Finding("skip", "F"))


def run_of(text: str) -> History:
    with (target := target_named("udp-diag")).session() as session:
        return run(session, target, ops(text), slots=2)


@pytest.mark.parametrize("change", ["add X head", "reinsert B head"])
def test_of_udp_sockets_that_share_a_port_only_the_first_is_destroyed(change: str) -> None:
    text = f"add A tail; add B tail; open; {change}; read 1 destroying; read all"
    assert Destroy("A") not in events_of(text)
    assert Destroy("A") in events_of(text, "tcp-diag")


def test_a_socket_that_has_moved_is_not_where_its_record_says() -> None:
    text = "add A tail; add B tail in 1; open; rehash A to 1; read all destroying"
    assert [event for event in events_of(text) if isinstance(event, Destroy)] == []
    assert [event for event in events_of(text, "tcp-diag") if isinstance(event, Destroy)] == [Destroy("B")]
    assert Destroy("A") in events_of(text.replace("to 1;", "to 1; rehash A to 0;"))
    assert Destroy("A") not in events_of(text.replace("rehash A to 1", "remove A"))


def test_a_second_dump_destroys_by_its_own_records() -> None:
    text = "add A tail; add B tail; add C tail; open; again; read all destroying"
    assert [event.name for event in events_of(text) if isinstance(event, Destroy)] == ["A", "B", "C"]


def test_a_bound_socket_that_is_destroyed_returns_to_its_bucket() -> None:
    text = "add A tail in 1 bound; add B tail; open; rehash A to 0; destroy A; destroy A; read all"
    target = target_named("index")
    with target.session() as session:
        history = run(session, target, ops(text))
    assert [event for event in history.events if isinstance(event, Rehash)] == [
        Rehash("A", Bucket(0)),
        Rehash("A", Bucket(1)),
    ]
    assert judge(history) == ()


def test_a_change_inside_a_read_is_left_out_where_the_life_does_not_allow_it_yet() -> None:
    results = reads("index", "add A tail request; add B tail; open; read all\n at show 3: accept A\n at show 1: close A")
    assert results == [Returned(("A", "B")), END]


def test_an_object_with_a_successor_is_not_shown() -> None:
    # The batch holds the old B; the successor is at the head, and was not captured.
    assert reads("full-batch-held", "add A tail; add B tail; open; read 1; close B; read all") == [Returned(("A",)), END]


@pytest.mark.parametrize("hazard", ["close", "accept"])
def test_a_successor_may_take_the_place_of_its_predecessor(hazard: Hazard) -> None:
    operations = ops(
        f"add A tail request; add B tail; add C tail; open; read 1; {'accept A' if hazard == 'accept' else 'close B'}"
    )
    scheme = target_named("index").scheme  # type: ignore[attr-defined]
    simulation = Simulation(scheme, shape_of(operations), in_place=frozenset({hazard}))
    for op in operations:
        simulation.apply(op)
    assert simulation.state() == (("A", "B", "C"),)
    simulation.apply(Read(None))
    assert judge(simulation.history) == ()


def test_an_inherited_index_sorts_as_that_of_the_predecessor() -> None:
    inherited = InheritedIndex.of(3, 7)
    assert (inherited, inherited.since) == (3, 7)
    assert Socket("A", inherited) == Socket("A", 3)


def test_records_that_were_left_are_lost_with_their_iterator() -> None:
    assert reads("index", "add A tail; add B tail; open; read 24 bytes; again; read 1") == [
        Returned(("A",), cut=True),
        Returned(("A",)),
    ]


# The judge


def verdict(opened: str, *events: Event) -> Verdict:
    return judge(History(tuple(opened), list(events)))


def test_a_successor_is_the_same_socket() -> None:
    skip = verdict("AB", Close("A"), Shown("B"), Returned(("B",)), END)
    assert skip == (Finding("skip", "A", moved=True),)
    repeat = verdict("A", Shown("A"), Returned(("A",)), Accept("A"), Shown("A"), Returned(("A",)), END)
    assert repeat == (Finding("repeat", "A", moved=True),)


def test_a_destroyed_socket_is_owed_to_nobody_and_may_be_stale() -> None:
    assert verdict("A", Destroy("A"), END) == ()
    assert verdict("A", Destroy("A"), Shown("A"), Returned(("A",)), END) == (Finding("stale", "A"),)


def test_two_passes_are_joined_by_cookie() -> None:
    first = (Shown("A"), Returned(("A",)), END)
    assert verdict("AB", *first, Reopened(), Shown("A"), Shown("B"), Returned(("A", "B")), END) == ()
    assert verdict("AB", *first, Reopened(), *first) == (Finding("skip", "B", elsewhere=False),)
    assert verdict("AB", *first, Reopened(), Shown("B"), Returned(("B",))) == (Finding("incomplete"),)


def test_an_unwanted_socket_is_never_owed() -> None:
    target = target_named("offset-udp")
    with target.session() as session:
        history = run(session, target, ops("add A tail unwanted; add B tail; open; read all"))
    assert history.opened == ("B",)
    assert judge(history) == ()


# Readers, features and hazards


def test_the_features_of_a_sequence_are_those_that_it_uses() -> None:
    assert features_of(OPERATIONS) == frozenset(FEATURES)
    assert features_of(ops("add A tail; open; read all destroying")) == frozenset()
    assert lacking(["bound", "bytes"], frozenset({"bytes"})) == ["bound"]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_reader_is_found_by_its_name_and_allows_only_its_own_reads(reader: Reader) -> None:
    walk = Read(None, silent=reader.silent, destroying=reader.destroys)
    operations: tuple[Operation, ...] = (Open(), walk, *(Again(), walk) * (reader.passes - 1))
    # A second pass may still follow.
    assert [one for one in READERS if one.allows(operations)] == [
        one
        for one in READERS
        if (one.silent, one.destroys) == (reader.silent, reader.destroys) and one.passes >= reader.passes
    ]
    assert reader_named(reader.name) == reader


def test_a_target_refuses_what_it_lacks_with_the_reason() -> None:
    target = target_named("cookie-tcp")
    for text, why in (
        ("add A tail; open; close A; read all", "A is a listening socket; only connections can be closed or accepted"),
        ("add A tail request; open; read all", "A is a listening socket; only connections can be closed or accepted"),
    ):
        refused = refusal(target, ops(text), shape_of(ops(text)))
        assert refused is not None
        assert why in refused.text
    moved = ops("add A tail; rehash A to established:0; open; close A")
    assert refusal(target, moved, shape_of(moved)) is None


def test_hazards_are_those_after_open_and_imply_others() -> None:
    assert hazards_of(ops("add A tail; close A; open; read all")) == frozenset()
    used = hazards_of(ops("add A tail; add B tail request; open; close A; accept B; destroy A; read 1 destroying"))
    assert used == {"close", "accept", "destroy", "destroying"}
    assert implied({"destroying", "accept"}) == {"destroying", "accept", "close", "remove", "show"}
    assert without_implied(frozenset({"destroy", "remove", "destroying"})) == {"remove", "destroying"}


def test_a_bound_socket_that_moves_counts_as_two_insertions() -> None:
    text = "add A tail bound; add B tail; add C tail; add D tail; open; rehash A to 1; add E tail; read all"
    assert "rollover" not in hazards_of(ops(text), narrow=True)
    assert "rollover" in hazards_of(ops(text.replace("add E tail", "rehash A to 0")), narrow=True)


def test_a_bound_socket_that_a_destruction_moves_back_is_moved() -> None:
    text = "add A tail bound; add B tail; rehash A to 1; open; read 1; destroy A; read all"
    assert hazards_of(ops(text)) == {"destroy", "rehash"}
    assert hazards_of(ops(text.replace("destroy A", "read 1 destroying"))) == {"destroying", "rehash"}
    assert hazards_of(ops(text.replace("rehash A to 1; ", ""))) == {"destroy"}


def test_the_simpler_of_two_sequences_has_the_usual_words() -> None:
    def key(text: str) -> tuple[object, ...]:
        return sort_key((ops(text), 16))

    assert key("add A tail; open; remove A; read all") < key("add A tail; open; destroy A; read all")
    assert key("add A tail; open; close A; read all") < key("add A tail request; open; accept A; read all")
    assert key("add A tail; open; read 1") < key("add A tail; open; read 1 destroying")
    assert key("add A tail; open; read 3") < key("add A tail; open; read 1 bytes")


def test_edits_keep_a_second_pass() -> None:
    operations = ops("add A tail; open; again; read 1\n at show 1: destroy A")
    assert without_names(operations, {"A"}) == (Open(), Again(), Read(1))
    assert renamed(Again(), {"A": "B"}) == rebucketed(Again(), None, Bucket(1)) == Again()
    assert [type(change) for op in operations for change in changes(op)] == [Add, Destroy]
