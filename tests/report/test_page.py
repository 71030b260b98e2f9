"""The parts of the page of a case."""

from __future__ import annotations

import re

import pytest

from sockiter.history import Returned
from sockiter.report.page import html, replay_command
from sockiter.report.picture import svg
from sockiter.report.render import policy
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from tests.support.pictures import EVIL, SVG, Picture, Tags, scenario, scripts_of, traced, unknown


def test_the_text_of_a_case_is_never_markup() -> None:
    trace = traced(EVIL)
    picture = Picture(svg(trace))
    assert [name for name, _ in picture.classes(0)][:2] == ["<script>alert(2)</script>", "a&amp;\"b'"]
    assert not list(picture.root.iter(f"{SVG}script"))
    other = traced(EVIL, Index())
    text = html(trace, [other], [("<b>evil</b>", "</p><script>alert(3)</script>")])
    page = Tags(text)
    assert scripts_of(text) == scripts_of(html(scenario("rfc_skip", OffsetUdp())))
    assert "<script>alert" not in text
    assert "<script>alert(2)</script>" in page.words
    assert "<b>evil</b> (</p><script>alert(3)</script>)" in page.words
    assert len(page.named("main")) == 1


def test_a_page_allows_its_own_scripts_and_no_others() -> None:
    text = html(scenario("rfc_skip", OffsetUdp()))
    scripts = scripts_of(text)
    assert len(scripts) == 2
    (meta,) = [attrs for attrs in Tags(text).named("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert meta["content"] == policy(*scripts)
    assert policy("alert(1)").startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy("alert(1)").split("style-src")[0]


@pytest.mark.parametrize("make", [svg, html])
def test_neither_the_picture_nor_the_page_needs_anything_else(make: type) -> None:
    text = make(scenario("rfc_skip", OffsetUdp())).replace("http://www.w3.org/2000/svg", "")
    text = re.sub(r"\n\s*//.*|'sha256-[^']*'|href=\"data:,\"", "", text)
    for foreign in ("http:", "https:", "//", "url(", "@import", "src=", "href="):
        assert foreign not in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_is_a_table_with_a_caption_and_headers_that_can_be_scrolled_by_keyboard() -> None:
    page = Tags(html(scenario("rfc_skip", OffsetUdp())))
    assert len(page.named("caption")) == 1
    assert [attrs["scope"] for attrs in page.named("th")] == ["col"] * 5 + ["row"] * 6
    assert len(page.named("td")) == 24
    labels = [attrs.get("aria-labelledby") or attrs["aria-label"] for _, attrs in page.tags if attrs.get("tabindex") == "0"]
    assert labels == ["Table of offset-udp", "on-offset-udp-picture", "case"]
    assert {"on-offset-udp-picture", "case"} <= {attrs.get("id") for _, attrs in page.tags}
    assert page.named("html") == [{"lang": "en"}]


def test_a_page_of_several_targets_has_a_tab_a_table_and_a_picture_of_each() -> None:
    page = Tags(html(scenario("rfc_skip", OffsetUdp()), [scenario("rfc_skip", Index())], [("kernel:udp", "no root")]))
    assert [attrs["id"] for attrs in page.named("section")] == ["on-offset-udp", "on-index"]
    assert [attrs["href"] for attrs in page.named("a")] == ["#on-offset-udp", "#on-index"]
    assert [attrs["value"] for attrs in page.named("option")] == ["", "on-offset-udp", "on-index"]
    assert len(page.named("table")) == len(page.named("figure")) == 2
    assert re.search(r"offset-udp\s+skip\s+index\s+ok", page.words)
    assert "Not on this page: kernel:udp (no root)." in page.words
    anchors = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(anchors) == len(set(anchors))


def test_a_page_of_one_target_has_no_tabs() -> None:
    page = Tags(html(scenario("rfc_skip", OffsetUdp())))
    assert page.named("nav") == page.named("select") == []
    assert "Not on this page" not in page.words


def test_the_pictures_of_a_page_share_one_style() -> None:
    text = html(scenario("rfc_skip", OffsetUdp()), [scenario("rfc_skip", Index())])
    assert text.count(".sockiter .box rect {") == 1


def test_the_rows_of_two_targets_that_belong_together_have_the_same_operation() -> None:
    text = "add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n"
    page = Tags(html(traced(text), [traced(text, Index())]))
    rows = [attrs["data-operation"] for attrs in page.named("tr") if "data-operation" in attrs]
    assert rows == ["0", "1", "2", "3", "0", "1", "2", "3", "3"]


def test_the_page_names_the_command_that_replays_the_case() -> None:
    assert "Replay it: sockiter replay --target offset-udp FILE" in Tags(html(scenario("rfc_skip", OffsetUdp()))).words
    assert replay_command("a;b") == "sockiter replay --target 'a;b'"


def test_the_page_has_the_words_once_and_the_case_as_it_is_written() -> None:
    trace = scenario("rfc_skip", OffsetUdp())
    page = Tags(html(trace))
    assert [attrs["class"] for attrs in page.named("li")] == ["skipped"]
    assert "B is skipped: it was in the table" in page.words
    assert "expect offset-udp skip B\n" in page.words


def test_the_page_of_a_real_iterator_has_no_column_for_its_place() -> None:
    page = Tags(html(unknown([Returned(("A",)), Returned(("B",)), Returned(())])))
    assert [attrs["scope"] for attrs in page.named("th")] == ["col"] * 4 + ["row"] * 4
