"""The modes of the iterating program, on a page and a log in memory."""

from __future__ import annotations

import pytest

from sockiter.errors import Inconclusive
from sockiter.kernel.bpf.modes import LOG_SIZE, Modes
from sockiter.kernel.bpf.programs import DESTROYING, FILTERING, MODE, PAGE, SILENT, STORED, STORING
from sockiter.operations import Read

PAGE_WORDS = PAGE // 8


@pytest.fixture
def words() -> memoryview:
    return memoryview(bytearray(PAGE)).cast("Q")


@pytest.fixture
def log() -> memoryview:
    return memoryview(bytearray(16 * LOG_SIZE)).cast("Q")


@pytest.mark.parametrize(
    ("read", "mode"),
    [
        (Read(1), 0),
        (Read(None, silent=True), STORING | SILENT),
        (Read(1, destroying=True), STORING | DESTROYING),
        (Read(None, silent=True, destroying=True), STORING | SILENT | DESTROYING),
        (Read(1, unit="bytes"), STORING),
    ],
)
def test_a_read_has_its_mode_and_the_filter_comes_on_top(read: Read, mode: int, words: memoryview, log: memoryview) -> None:
    modes = Modes(words, log)
    assert modes.begin(read, filters=False) == (mode != 0)
    assert words[MODE // 8] == mode
    assert modes.begin(read, filters=True) == (mode != 0)
    assert words[MODE // 8] == mode | FILTERING
    modes.end()
    assert words[MODE // 8] == 0


def test_cookies_are_taken_out_of_the_log_once(words: memoryview, log: memoryview) -> None:
    modes = Modes(words, log)
    log[0], log[2], log[4] = 1 << 63, 7, 9
    words[STORED // 8] = 2
    assert modes.take() == [1 << 63, 7]
    assert modes.take() == []


def test_what_an_earlier_read_stored_is_forgotten(words: memoryview, log: memoryview) -> None:
    words[STORED // 8] = 2
    modes = Modes(words, log)
    modes.begin(Read(1, destroying=True), filters=False)
    assert modes.take() == []


def test_a_loss_of_records_is_reported(words: memoryview, log: memoryview) -> None:
    modes = Modes(words, log)
    words[STORED // 8] = LOG_SIZE
    assert len(modes.take()) == LOG_SIZE
    words[STORED // 8] = LOG_SIZE + 1
    problem = f"one read showed {LOG_SIZE + 1} sockets; the log of the program holds {LOG_SIZE}"
    with pytest.raises(Inconclusive, match=f"^{problem}$"):
        modes.take()
