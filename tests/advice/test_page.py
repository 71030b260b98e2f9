"""The page of an advice: its sources, its risks with their cases, and its measurements."""

from __future__ import annotations

import re
from html import unescape

from sockiter.advice.advice import SITUATIONS, Situation, SourceAdvice, Way
from sockiter.advice.page import html
from sockiter.cases import dumps
from sockiter.matrix.page import Origin
from sockiter.readers import SILENT
from tests.support.advising import CASE, measured, of_kernel, of_scheme, risk, way

ORIGIN = Origin("1.2", "abc", "today", "Linux 6.12", "sockiter advise")


def text_of(*sources: SourceAdvice, situation: Situation | None = None) -> str:
    """The text of a page, without tags, in one line."""
    page = re.sub(r"<style>.*?</style>", "", html(sources, situation, ORIGIN), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_a_page_names_its_origin_and_for_each_source_the_recommendation_and_the_scope() -> None:
    text = text_of(of_scheme(way("silent"), way("silent-destroying", risk("survives", "leave"))))
    assert "Made by sockiter 1.2 (commit abc) at today on Linux 6.12: sockiter advise" in text
    assert (
        "To list: Let the program store its records in a map: no search found a socket lost or listed twice. To destroy: "
        "Let the program destroy each socket and store its record in a map: a socket survives when another socket closes "
        "and leaves." in text
    )
    assert "Nothing, in the scope." in text
    assert "Scope of the searches: at most 2 sockets in the table at once, 2 buckets in each table" in text
    assert "walks by" not in text


def test_each_risk_has_its_case() -> None:
    text = text_of(of_scheme(way("partial", risk("lost", "open"), risk("doubled", "move", own=True))))
    case = " ".join(dumps(CASE).split())
    assert f"A socket is lost when another socket opens {case}" in text
    assert f"A socket is listed twice when it moves between buckets, as by connect() {case}" in text


def test_a_way_without_a_complete_search_has_the_reason_and_no_risks() -> None:
    missing = Way(SILENT, trouble="the worker was killed")
    text = text_of(of_scheme(missing, way("partial", risk("lost", "open"), incomplete="enough")))
    assert "silent ? the worker was killed" in text
    assert "partial ? enough" in text
    assert "is lost" not in text
    assert "To list" not in text
    assert "Scope" not in text


def test_a_measurement_has_its_walks_and_its_cases_and_a_surprise_is_marked() -> None:
    seen = measured("partial", {("lost", False): 1234, ("doubled", True): 1}, walks=5000)
    known = way("partial", risk("lost", "open"), measured=seen)
    text = text_of(of_kernel(known, way("silent", measured=measured("silent", {}))))
    case = " ".join(dumps(CASE).split())
    assert "walks by offset-udp" in text
    assert f"5,000 walks, seed 7 doubled, the socket itself: 1 {case} lost: 1,234 {case}" in text
    assert "1,000 walks, seed 7 nothing" in text
    assert "Not in the model: kernel:udp, partial: a socket that changes itself is listed twice, in 1 of 5,000 walks" in text


def test_the_own_way_of_a_situation_is_marked() -> None:
    situation = SITUATIONS[0]
    text = text_of(of_kernel(way("partial-destroying"), way("whole")), situation=situation)
    assert f"For {situation.summary}." in text
    assert "partial-destroying (yours)" in text
    assert text.count("(yours)") == 1
