"""What breaks a promise, and what changed against a base."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sockiter.promise.verdict import TargetVerdict, Tried, judged, kinds_of
from sockiter.survey.survey import News, Replayed, Survey, TargetSurvey
from sockiter.verdict import Kind

SKIP = News("fuzz", "kernel:udp: skip under remove", "skip.case")
REPEAT = News("replay", "repeat A, skip B breaks a claim", "both.case")
OTHERWISE = News("replay", "ok, not skip A", "otherwise.case")
DIFFERS = News("conform", "kernel:udp and cookie-udp differ at read 2", "differs.case")
CASES = {
    "skip.case": "add A head\nadd B head\nopen\nread 1\nremove A\nread all\n",
    "both.case": "add A head\nadd B head\nopen\nread 1\nremove A\nadd C head\nread all\n",
    "calm.case": "add A head\nadd B head\nopen\nread 1\nread all\n",
}


def tried(
    news: Sequence[News] = (),
    *,
    scheme: str | None = "cookie-udp",
    walks_by: str | None = "cookie-udp",
    replayed: Sequence[Replayed] = (),
    missing: str | None = None,
) -> Tried:
    """A kernel with one iterator."""
    found = TargetSurvey("kernel:udp", missing=missing, scheme=scheme, news=tuple(news), replayed=tuple(replayed))
    texts = {name: f"# sockiter case v1\n{text}" for name, text in CASES.items()}
    return Tried(Survey("running", "6.12", is_complete=True, targets=(found,), cases=texts), {"kernel:udp": walks_by})


def verdict(now: Tried, *, meant: str | None = None, base: Tried | None = None, kind: Kind | None = None) -> TargetVerdict:
    (one,) = judged(now, {"kernel:udp": meant}, base=base, kind=kind)
    return one


def test_a_kernel_without_news_keeps_its_promise() -> None:
    found = verdict(tried())
    assert (found.is_kept, found.promised, found.walks_by, found.broken, found.differences) == (
        *(True, "cookie-udp", "cookie-udp"),
        *((), ()),
    )


def test_an_iterator_that_does_not_run_there_has_no_verdict() -> None:
    assert list(judged(tried(missing="no BPF"), {"kernel:udp": None})) == []


def test_a_broken_claim_breaks_the_promise_and_another_difference_does_not() -> None:
    found = verdict(tried([SKIP, OTHERWISE, DIFFERS]))
    assert (found.is_kept, found.broken, found.differences) == (False, (SKIP,), (OTHERWISE, DIFFERS))
    assert verdict(tried([OTHERWISE, DIFFERS])).is_kept


@pytest.mark.parametrize(
    ("news", "kinds"),
    [
        (SKIP, {"skip"}),
        (REPEAT, {"repeat", "skip"}),
        (OTHERWISE, set()),
        (DIFFERS, set()),
        (News("fuzz", "kernel:udp: repeat (moved) under rehash", ""), {"repeat"}),
    ],
)
def test_the_kinds_of_a_result_are_those_of_the_failures_that_break_a_claim(news: News, kinds: set[str]) -> None:
    assert kinds_of(news) == kinds


def test_with_a_kind_only_such_failures_break_the_promise() -> None:
    assert verdict(tried([SKIP]), kind="repeat").is_kept
    assert verdict(tried([SKIP, REPEAT]), kind="repeat").broken == (REPEAT,)


def test_another_scheme_than_the_meant_one_breaks_the_promise_unless_only_a_kind_counts() -> None:
    now = tried(walks_by="offset-udp")
    assert verdict(now, meant="cookie-udp").unlike
    assert not verdict(now, meant="cookie-udp").is_kept
    assert verdict(now, meant="cookie-udp", kind="skip").is_kept
    assert verdict(now).is_kept


def test_of_broken_claims_the_one_with_the_least_hazards_is_kept_for_its_kind() -> None:
    calm = News("replay", "skip B breaks a claim", "calm.case")
    assert verdict(tried([SKIP, calm])).broken == (calm,)
    assert verdict(tried([REPEAT, SKIP])).broken == (SKIP, REPEAT)


def test_what_the_base_shows_too_breaks_nothing() -> None:
    assert verdict(tried([SKIP, REPEAT]), base=tried([SKIP])).broken == (REPEAT,)
    assert verdict(tried([SKIP]), base=tried([SKIP])).is_kept
    assert not verdict(tried([SKIP]), base=tried(missing="no BPF")).is_kept


def test_cases_with_other_findings_than_on_the_base_are_listed() -> None:
    def replayed(**findings: str) -> list[Replayed]:
        return [Replayed(name, tuple(text.split()), None) for name, text in findings.items()]

    found = verdict(
        tried(replayed=replayed(a="", b="x", c="x y", d="x")), base=tried(replayed=replayed(a="x", b="", c="y", d="x"))
    )
    assert [[change.case for change in part] for part in (found.gone, found.new, found.other)] == [["a"], ["b"], ["c"]]
