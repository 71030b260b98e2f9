"""Surveys beside each other: changes, text and the page."""

from __future__ import annotations

from dataclasses import replace

from sockiter.survey.page import page
from sockiter.survey.survey import Failure, News, Replayed, Survey, TargetSurvey
from sockiter.survey.table import changes, columns, in_order, lines, progression

SKIP = Failure("skip", False, False, ("remove",), "a.case")
REPEAT = Failure("repeat", True, False, ("rehash",), "b.case")
UNSEEN = Failure("stuck", False, False, (), "")


def udp(scheme: str | None, *failures: Failure, **findings: str) -> TargetSurvey:
    replayed = tuple(Replayed(f"{name}.case", tuple(filter(None, [text])), True) for name, text in findings.items())
    return TargetSurvey("kernel:udp", None, scheme, failures=failures, replayed=replayed)


CASES = {"a.case": "add <A> head\n", "b.case": "add B tail\n"}
OLD = Survey(
    "linux-image-6.1", "6.1.0-47-amd64", is_complete=True, cases=CASES, seed=1,
    targets=(
        udp("rank", SKIP, UNSEEN, a="skip A", b="", c="skip C", only="skip A"),
        TargetSurvey("kernel:listns", "listns(2): Function not implemented"),
        TargetSurvey("kernel:nsid", None, "nsid-count"),
    ),
)  # fmt: skip
NEW = Survey(
    "running", "6.18.44", is_complete=True, cases=CASES, seed=1,
    targets=(
        udp("cookie-udp", REPEAT, UNSEEN, a="", b="repeat B", c="skip D"),
        TargetSurvey("kernel:listns", None, None),
        TargetSurvey("kernel:threads", None, "threads"),
        TargetSurvey("kernel:nsid", "no"),
    ),
)  # fmt: skip


def test_changes_are_what_a_newer_kernel_shows_no_longer_newly_or_otherwise() -> None:
    found = changes(OLD, NEW)
    assert [(change.case, change.before, change.after) for change in found.gone] == [("a.case", ("skip A",), ())]
    assert [(change.case, change.before, change.after) for change in found.new] == [("b.case", (), ("repeat B",))]
    assert [(change.case, change.before, change.after) for change in found.other] == [("c.case", ("skip C",), ("skip D",))]
    assert found.schemes == (("kernel:udp", "rank", "cookie-udp"),)
    assert (found.appeared, found.vanished) == (("kernel:listns",), ("kernel:nsid",))


def test_a_kernel_does_not_differ_from_itself() -> None:
    assert not changes(OLD, OLD)


def test_kernels_stand_in_the_order_of_their_releases() -> None:
    releases = ["6.12.117+deb12-amd64", "6.1.0-47-amd64", "", "7.2.13+deb14-amd64", "6.1.0-57-amd64", "6.18.44-fc-v782"]
    ordered = [survey.release for survey in in_order(Survey("a", release) for release in releases)]
    assert ordered == [
        "6.1.0-47-amd64", "6.1.0-57-amd64", "6.12.117+deb12-amd64", "6.18.44-fc-v782", "7.2.13+deb14-amd64", "",
    ]  # fmt: skip


def test_the_progression_leaves_out_kernels_that_did_not_boot() -> None:
    failed = Survey("linux-image-5", trouble="the guest did not come up")
    assert [(before.kernel, after.kernel) for before, after, _ in progression([NEW, failed, OLD])] == [
        ("linux-image-6.1", "running")
    ]


def test_columns_stand_in_the_groups_of_their_schemes() -> None:
    found = [(column.target, column.group) for column in columns([OLD, NEW])]
    assert found == [
        ("kernel:udp", "Sockets by count"),
        ("kernel:nsid", "Namespaces"),
        ("kernel:listns", "Namespaces"),
        ("kernel:threads", "Other tables"),
    ]


def test_the_text_begins_with_what_is_new_and_the_progression() -> None:
    news = News("fuzz", "kernel:udp: skip under show", "new.case")
    bad = replace(NEW, targets=(replace(NEW.targets[0], news=(news,), trouble="no room"), *NEW.targets[1:]))
    failed = Survey("linux-image-5", trouble="the guest did not come up")
    assert list(lines([bad, OLD, failed])) == [
        "NEW on Linux 6.18.44: kernel:udp: kernel:udp: skip under show (by fuzz): new.case",
        "Linux 6.18.44: kernel:udp: no room",
        "linux-image-5: the guest did not come up",
        "",
        "From Linux 6.1.0-47-amd64 to 6.18.44:",
        "  kernel:udp walks by cookie-udp, no longer by rank",
        "  kernel:udp, not shown any more: a",
        "  kernel:udp, newly shown: b",
        "  kernel:udp, shown otherwise: c",
        "  runs only on the newer: kernel:listns",
        "  runs only on the older: kernel:nsid",
        "",
        "target          6.1.0-47-amd64  6.18.44",
        "kernel:udp      rank 1/2        cookie-udp 1/2!",
        "kernel:nsid     nsid-count 0/0  does not run",
        "kernel:listns   does not run    unknown 0/0",
        "kernel:threads  -               threads 0/0",
        "",
        "A cell has the scheme, and how many of its known failures were seen on that kernel.",
    ]


def test_kernels_without_a_difference_are_reported_as_such() -> None:
    assert "  no changes" in list(lines([OLD, replace(OLD, release="6.1.0-48-amd64")]))


def test_nothing_is_no_table() -> None:
    assert list(lines([])) == [""]


def test_the_page_has_the_progression_the_cells_and_the_marks_of_changes() -> None:
    news = News("conform", "differs at read 2", "b.case")
    bad = replace(NEW, targets=(replace(NEW.targets[0], news=(news,)), *NEW.targets[1:]))
    html = page([bad, OLD, Survey("linux-image-5", trouble="no boot"), replace(NEW, release="6.19.1")], "sockiter <kernels>")
    assert "sockiter &lt;kernels&gt;" in html
    assert html.index("From Linux 6.1.0-47-amd64 to 6.18.44") < html.index("Kernels and targets")
    assert "linux-image-5: no boot" in html
    assert "New on Linux 6.18.44: kernel:udp: differs at read 2" in html
    assert "<li>scheme: was rank</li>" in html
    assert "<li>new: repeat (moved) under rehash</li>" in html
    assert "<li>no longer: skip under remove</li>" in html
    assert "<li>runs only here</li>" in html
    assert "<li>ran before</li>" in html
    assert "add &lt;A&gt; head" in html
    assert "<p>No changes.</p>" in html
    assert "<script" not in html


def test_a_scheme_that_is_not_known_any_more_is_marked() -> None:
    unknown = replace(OLD, release="6.2", targets=(udp(None),))
    html = page([OLD, unknown, replace(OLD, release="6.3")], "")
    assert "no known scheme" in html
    assert "scheme: was unknown" in html
