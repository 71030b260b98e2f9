"""The marks and the layout of the picture."""

from __future__ import annotations

from sockiter.cases import load
from sockiter.history import Returned, Shown
from sockiter.operations import Remove
from sockiter.report.picture import svg
from sockiter.report.trace import trace
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget
from tests.support.paths import CASES, ROOT
from tests.support.pictures import EVIL, SVG, Picture, scenario, traced, unknown


def test_a_skipped_socket_is_marked_from_where_it_is_passed_over_to_the_end() -> None:
    marks = Picture(svg(scenario("rfc_skip", OffsetUdp()))).marks("B")
    assert ["skipped" in of for of in marks if of is not None] == [False, False, False, True, True, True]


def test_the_band_in_which_a_socket_is_passed_over_has_a_mark_and_a_word() -> None:
    picture = Picture(svg(scenario("rfc_skip", OffsetUdp())))
    assert [band.attrib["class"] for band in picture.bands] == ["band", "band", "band", "band skipped-here", "band", "band"]
    assert picture.texts("tag") == ["closed", "skipped"]


def test_a_socket_that_closes_is_a_ghost_in_the_row_where_it_leaves_and_not_seen_afterwards() -> None:
    picture = Picture(svg(scenario("rfc_skip", OffsetUdp())))
    assert picture.marks("A") == [{"unseen"}, {"delivered", "now"}, {"delivered", "gone"}, None, None, None]
    faint = [path.attrib["class"] for path in picture.bands[2].iter(f"{SVG}path") if "link" in path.attrib.get("class", "")]
    assert faint == ["link faint", "link", "link"]
    assert len([path for path in picture.bands[2].iter(f"{SVG}path") if path.attrib.get("class") == "cross"]) == 1


def test_the_cursor_is_on_the_deliveries_of_a_read_and_delivered_sockets_stay_filled() -> None:
    picture = Picture(svg(scenario("rfc_skip", OffsetUdp())))
    delivered = [[name for name, marks in picture.classes(nth) if "now" in marks.split()] for nth in range(6)]
    assert delivered == [[], ["A"], [], ["C"], ["D"], []]
    assert picture.marks("C")[3:] == [{"delivered", "now"}, {"delivered"}, {"delivered"}]
    assert all(len(list(band.iter(f"{SVG}path"))) for band in picture.bands)


def test_time_event_and_place_stand_in_their_columns() -> None:
    picture = Picture(svg(scenario("rfc_skip", OffsetUdp())))
    assert picture.texts("time") == ["open", "1", "2", "3", "4", "5"]
    assert picture.texts("event")[1:] == [
        "read(iter_fd) -> A",
        "close(A)",
        "read(iter_fd) -> C",
        "read(iter_fd) -> D",
        "read(iter_fd) -> 0",
    ]
    assert picture.texts("place") == ["1", "1", "2", "3", "-"]


def test_a_repeated_socket_and_an_added_one_have_marks_of_their_own() -> None:
    picture = Picture(svg(scenario("rfc_repeat", OffsetUdp())))
    assert ["repeated" in (of or ()) for of in picture.marks("A")] == [False, False, False, True, True, True, True, True]
    assert picture.marks("E")[1:4] == [None, {"unseen", "added"}, {"unseen"}]
    assert picture.texts("tag") == ["added", "repeated"]


def test_where_nothing_is_wrong_nothing_is_marked_as_wrong() -> None:
    picture = Picture(svg(scenario("rfc_skip", Index())))
    assert all("skipped" not in (of or ()) for of in picture.marks("B"))
    assert {band.attrib["class"] for band in picture.bands} == {"band"}
    assert picture.texts("verdict good") == ["index: ok"]


def test_the_picture_has_a_title_and_a_description() -> None:
    root = Picture(svg(scenario("rfc_skip", OffsetUdp()))).root
    title, desc = root[0], root[1]
    assert (title.tag, desc.tag) == (f"{SVG}title", f"{SVG}desc")
    assert (title.text or "").startswith("A seen socket closes between two reads")
    assert (desc.text or "").startswith("B is skipped: ")
    assert root.attrib["role"] == "img"


def test_a_picture_of_a_case_without_a_comment_is_titled_by_its_verdict() -> None:
    root = Picture(svg(traced("add A tail\nopen\nread all\n"))).root
    assert root[0].text == "offset-udp: ok"


def test_a_socket_that_moves_leaves_a_trace_in_the_bucket_it_came_from() -> None:
    text = "add A tail\nadd B tail\nadd C tail in 1\nopen\nrehash B to 1\nreinsert C head\nread all\n"
    picture = Picture(svg(traced(text)))
    assert picture.classes(1) == [("A", "unseen"), ("B", "unseen away"), ("B", "unseen moved"), ("C", "unseen")]
    assert picture.classes(2) == [("A", "unseen"), ("C", "unseen moved"), ("B", "unseen")]
    assert picture.texts("tag") == ["moved", "moved", "moved"]
    assert picture.texts("bucket") == ["0", "1"] * len(picture.bands)


def test_the_turns_of_a_read_of_several_are_numbered() -> None:
    picture = Picture(svg(traced("add A tail\nadd B tail\nopen\nread 2\nread 1\n")))
    assert picture.texts("order") == ["1", "2"]


def test_a_socket_that_enters_and_leaves_inside_the_read_that_delivered_it_is_shown_apart() -> None:
    text = "add A tail\nadd D tail in 1\nopen\nread 9\n  at show 1: add C head in 1\n  at show 3: remove C\nread 1\n"
    picture = Picture(svg(traced(text)))
    assert picture.classes(1) == [("A", "delivered now"), ("D", "delivered now"), ("C", "delivered now added gone")]
    assert not [path for path in picture.bands[1].iter(f"{SVG}path") if "link" in path.attrib.get("class", "")]


def test_the_lines_of_an_event_are_indented_as_in_the_table() -> None:
    picture = Picture(svg(traced("add A tail\nadd B tail\nopen\nread all\n  at show 1: remove B\n")))
    inner = [text for text in picture.root.iter(f"{SVG}text") if text.attrib.get("class") == "event inner"]
    event = next(text for text in picture.root.iter(f"{SVG}text") if text.attrib.get("class") == "event")
    assert [text.text for text in inner] == ["at show 1: close(B)"]
    assert float(inner[0].attrib["x"]) > float(event.attrib["x"])


def test_long_chains_wrap_and_stay_inside_the_picture() -> None:
    names = "".join(f"add socket-number-{nth} tail\n" for nth in range(32))
    picture = Picture(svg(traced(f"{names}batch 64\nopen\nread all\n")))
    width = float(picture.root.attrib["width"])
    height = float(picture.root.attrib["height"])
    boxes = [rect for band in picture.bands for rect in band.iter(f"{SVG}rect") if "rx" in rect.attrib]
    assert len({rect.attrib["y"] for rect in boxes}) > len(picture.bands)
    assert all(float(rect.attrib["x"]) + float(rect.attrib["width"]) < width for rect in boxes)
    assert all(float(rect.attrib["y"]) < height for rect in boxes)
    assert width < 1200


def test_a_wrapped_line_begins_with_an_arrow() -> None:
    names = "".join(f"add socket-{nth} tail\n" for nth in range(12))
    band = Picture(svg(traced(f"{names}open\nread all\n"))).bands[0]
    links = [path for path in band.iter(f"{SVG}path") if path.attrib.get("class") == "link"]
    assert len(links) == 11


def test_a_bucket_without_sockets_is_empty() -> None:
    assert Picture(svg(traced("open\nread 1\n"))).texts("nothing") == ["empty", "empty"]


def test_on_a_real_iterator_only_deliveries_are_shown() -> None:
    real = unknown([Returned(("A",)), Remove("A"), Returned(("B",)), Returned(())])
    picture = Picture(svg(real))
    assert picture.texts("nothing") == ["empty", "not known", "not known"]
    assert [picture.classes(nth) for nth in range(5)] == [[], [("A", "delivered now")], [], [("B", "delivered now")], []]
    assert picture.texts("place") == []
    assert "Bucket Offset" not in svg(real)


def test_a_socket_that_a_read_delivers_twice_has_at_most_two_numbers() -> None:
    twice = unknown([Shown("A"), Shown("A"), Shown("A"), Returned(("A", "B", "A", "A")), Returned(())])
    picture = Picture(svg(twice))
    assert picture.texts("order") == ["1,3…", "2"]


def test_a_stale_socket_is_marked() -> None:
    stale = unknown([Remove("A"), Shown("A"), Returned(("A",)), Returned(())])
    assert "stale" in (Picture(svg(stale)).marks("A")[3] or ())


def test_the_whole_verdict_stands_below_the_title() -> None:
    refused = unknown([Returned((), "ENOMEM"), Returned(())], text="open\nread 1\nread 1\n")
    assert Picture(svg(refused)).texts("verdict bad") == ["real: skip A, skip B, refused"]


def test_the_legend_explains_the_marks_that_occur_and_no_others() -> None:
    root = Picture(svg(scenario("rfc_skip", OffsetUdp()))).root
    legend = next(group for group in root.iter(f"{SVG}g") if group.attrib.get("class") == "legend")
    texts = [text.text for text in legend.iter(f"{SVG}text")]
    assert texts == ["unseen", "delivered", "delivered by this read", "closed", "skipped"]


def test_a_long_legend_goes_on_in_another_line() -> None:
    text = "add A tail\nadd B tail\nadd C tail\nopen\nread 1\nadd E head\nrehash C to 1\nremove E\nremove A\nread all\n"
    root = Picture(svg(traced(text))).root
    legend = next(group for group in root.iter(f"{SVG}g") if group.attrib.get("class") == "legend")
    assert len({text.attrib["y"] for text in legend.iter(f"{SVG}text")}) == 2


def test_a_name_that_is_too_long_for_a_box_is_cut_and_whole_in_the_tooltip() -> None:
    picture = Picture(svg(traced(EVIL)))
    assert "connection-to-a…" in picture.texts("name")
    titles = [title.text or "" for title in picture.bands[0].iter(f"{SVG}title")]
    assert titles[-1] == "connection-to-a-pod-with-a-very-long-name: unseen"


def test_the_readmes_picture_is_the_one_that_this_version_draws() -> None:
    drawn = svg(scenario("rfc_skip", OffsetUdp()))
    assert (ROOT / "docs" / "pictures" / "rfc_skip.svg").read_text(encoding="utf-8") == drawn


def test_the_same_trace_is_always_the_same_picture() -> None:
    target = SchemeTarget(OffsetUdp())
    with target.session() as session:
        case = load(CASES / "rfc_repeat.case")
        assert svg(trace(case, target, session)) == svg(trace(case, target, session))
