"""How long something took the last time: kept, rounded, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from sockiter import durations
from sockiter.vm import cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sockiter"


def test_the_last_time_counts(folder: Path) -> None:
    assert durations.last("boot") is None
    durations.keep("boot", 12.34)
    durations.keep("build", 600)
    durations.keep("boot", 7)
    assert (durations.last("boot"), durations.last("build")) == (7, 600)
    assert [path.name for path in folder.iterdir()] == ["durations.json"]


def test_the_least_recent_ones_are_dropped() -> None:
    for number in range(durations._ENTRIES_MAX):
        durations.keep(str(number), 1)
    durations.keep("0", 2)
    durations.keep("more", 3)
    assert (durations.last("0"), durations.last("1"), durations.last("more")) == (2, None, 3)


@pytest.mark.parametrize("text", ["{", "[1]", '{"boot": "long"}', '{"boot": NaN}', '{"boot": Infinity}'])
def test_a_file_that_makes_no_sense_is_as_good_as_none(text: str, folder: Path) -> None:
    folder.mkdir()
    (folder / "durations.json").write_text(text)
    assert durations.last("boot") is None
    durations.keep("boot", 3)
    assert durations.last("boot") == 3


def test_a_cache_that_cannot_be_written_is_no_trouble(folder: Path) -> None:
    folder.write_text("a file")
    durations.keep("boot", 3)
    assert durations.last("boot") is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99.4, "99 s"), (100, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_seconds_are_put_in_words(seconds: float, words: str) -> None:
    assert durations.in_words(seconds) == words


def test_a_step_shows_its_last_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(cache, "show_progress", lines.append)
    with cache.step("booting 6.12", "boot"):
        durations.keep("boot", 60)
    assert durations.last("boot") == 0
    durations.keep("boot", 11)
    with pytest.raises(ZeroDivisionError), cache.step("booting 6.12", "boot"):
        raise ZeroDivisionError
    assert durations.last("boot") == 11
    assert lines == ["booting 6.12", "booting 6.12; the last time that took 11 s"]
