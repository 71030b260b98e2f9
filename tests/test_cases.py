"""The text form of a case: its meaning, its errors, and the atomic writing of files."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sockiter import cases
from sockiter.cases import BYTES_MAX, Case, Expect, dumps, files, is_name, load, loads, save, spell
from sockiter.errors import InputError, SockiterError, Unavailable
from sockiter.files import write_whole
from sockiter.operations import Add, At, Bucket, Change, End, Fail, Open, Operation, Read, Rehash, Reinsert, Remove, possible
from sockiter.verdict import KINDS, OF_A_SOCKET
from tests.support.paths import ROOT

CHANGE_WORDS = "add, remove, reinsert, rehash, close, accept, destroy"
WORDS = f"{CHANGE_WORDS}, open, again, read, walk, batch, expect, at"
ADD = "add NAME head|tail [in BUCKET] [unwanted] [request] [bound]"
READ = "read N [bytes], read all, or read until error, each with [destroying]"
AT = "at show N: CHANGE, at bucket N: CHANGE, at realloc N: CHANGE, or at realloc N: fail"
EXPECT = "expect TARGET skip|repeat|stale|stuck|refused|incomplete [NAME] [as SCHEME], with a NAME for skip, repeat, stale"
COUNT = "a number from 1 to 1000000"
BUCKET = "a number from 0 to 1023"
THERE = "one that is in the table"
HEAD_ONLY = "table 'established' takes sockets at the head only: expected `head`"
PRINT = "has characters that cannot be printed: expected plain text"

ADDED: tuple[Operation, ...] = (Add("A", "tail"), Open())
SMALL = Case((*ADDED, Read(None)))


def lines(*some: str) -> str:
    return "".join(f"{line}\n" for line in some)


def wrong(text: str) -> str:
    """The error message for a case."""
    with pytest.raises(InputError) as caught:
        loads(text, file="FILE")
    return str(caught.value)


class TestACase:
    def test_of_the_design_is_read_as_the_design_says(self) -> None:
        text = lines(
            "# sockiter case v1",
            "# A seen socket closes between two reads (RFC, scenario 1).",
            "batch 16                         # optional: slots at open, 16 unless said",
            "expect offset-udp skip B         # one line per target that fails; a target not named is expected ok",
            "expect offset-tcp skip B",
            "",
            "add A tail                       # add NAME head|tail [in BUCKET]; bucket 0 unless said",
            "add B tail",
            "add C tail",
            "add D tail in 0",
            "open",
            "read 1",
            "remove A",
            "read all                         # until the end",
        )
        adds = tuple(Add(name, "tail") for name in "ABCD")
        assert loads(text) == Case(
            (*adds, Open(), Read(1), Remove("A"), Read(None)),
            16,
            (Expect("offset-udp", "skip", "B"), Expect("offset-tcp", "skip", "B")),
            ("A seen socket closes between two reads (RFC, scenario 1).",),
        )

    def test_may_hold_everything_that_there_is(self) -> None:
        text = lines(
            "batch 3",
            "expect t stuck",
            "add A head in established:2",
            "open",
            "reinsert A head",
            "read 12",
            "\tat show 2: remove A",
            "  at realloc 1: fail",
            "  at realloc 1: add B head in 7",
            "rehash B to 0",
        )
        inside = (
            At("show", 2, Remove("A")),
            At("realloc", 1, Fail()),
            At("realloc", 1, Add("B", "head", Bucket(7))),
        )
        assert loads(text) == Case(
            (
                Add("A", "head", Bucket(2, "established")),
                Open(),
                Reinsert("A", "head"),
                Read(12, inside),
                Rehash("B", Bucket(0)),
            ),
            3,
            (Expect("t", "stuck"),),
        )

    def test_is_written_in_one_way(self) -> None:
        case = Case(
            (Add("A", "head", Bucket(2, "t")), Open(), Read(2, (At("realloc", 1, Fail()),)), Read(None)),
            2,
            (Expect("index", "refused"), Expect("index", "skip", "A")),
            ("Why.", "", "  More."),
        )
        assert dumps(case) == lines(
            "# sockiter case v1",
            "# Why.",
            "#",
            "#   More.",
            "batch 2",
            "expect index refused",
            "expect index skip A",
            "",
            "add A head in t:2",
            "open",
            "read 2",
            "  at realloc 1: fail",
            "read all",
        )

    def test_is_written_without_what_goes_without_saying(self) -> None:
        assert dumps(SMALL) == lines("# sockiter case v1", "", "add A tail", "open", "read all")

    @pytest.mark.parametrize("count", [1, 1_000_000])
    def test_may_count_up_to_a_million(self, count: int) -> None:
        text = lines(f"batch {count}", "open", f"read {count}", f"  at realloc {count}: fail")
        assert loads(text) == Case((Open(), Read(count, (At("realloc", count, Fail()),))), count)

    @pytest.mark.parametrize("number", [0, 1023])
    def test_may_name_a_thousand_buckets(self, number: int) -> None:
        assert loads(lines(f"add A tail in {number}", "open")).operations[0] == Add("A", "tail", Bucket(number))

    def test_may_end_with_the_first_error(self) -> None:
        text = lines("# sockiter case v1", "", "open", "read until error", "  at realloc 1: fail", "read until error")
        case = Case((Open(), Read(None, (At("realloc", 1, Fail()),), gives_up=True), Read(None, gives_up=True)))
        assert loads(text) == loads(text.replace(" error", "  error # and no further")) == case
        assert dumps(case) == text

    def test_may_have_its_settings_anywhere(self) -> None:
        assert loads(lines("add A tail", "open", "batch 2", "expect t skip A")) == Case(
            ADDED, 2, (Expect("t", "skip", "A"),)
        )

    def test_keeps_the_comments_above_everything_else(self) -> None:
        text = lines("#one", "", "# # two", "# ", "add A tail # no", "# no", "open")
        assert loads(text).comment == ("one", "# two", "")

    @pytest.mark.parametrize("first", ["add A tail", "batch 2", "expect t stuck"])
    def test_drops_the_comments_below_anything_else(self, first: str) -> None:
        assert loads(lines(first, "# no", "open")).comment == ()

    def test_has_its_header_in_the_first_line_only(self) -> None:
        assert loads(lines("# sockiter case v1", "# sockiter case v1", "# sockiter case v9", "open")).comment == (
            "sockiter case v1",
            "sockiter case v9",
        )

    def test_needs_no_header(self) -> None:
        assert loads("open") == loads("# sockiter case v1\nopen\n") == Case((Open(),))

    def test_with_the_line_ends_of_windows_is_the_same(self) -> None:
        text = dumps(Case((*ADDED, Read(1, (At("show", 1, Remove("A")),))), 2, (Expect("t", "skip", "A"),), ("Why.",)))
        assert loads(text.replace("\n", "\r\n")) == loads(text)

    def test_may_have_names_in_any_script_and_with_a_hash_inside(self) -> None:
        assert loads(lines("add ä#1 tail", "add 套接字 head", "open #")).operations[:2] == (
            Add("ä#1", "tail"),
            Add("套接字", "head"),
        )

    def test_may_have_thousands_of_lines_inside_a_read(self) -> None:
        text = lines("open", "read 1") + "  at realloc 9: fail\n" * 4_998
        assert loads(text) == Case((Open(), Read(1, (At("realloc", 9, Fail()),) * 4_998)))


MALFORMED: list[tuple[str, str]] = [
    # words and their number
    ("add A", f"1: `add A`: expected {ADD}"),
    ("add A up", f"1: `add A up`: expected {ADD}"),
    ("add A tail in", f"1: `add A tail in`: expected {ADD}"),
    ("add A tail in 0 0", f"1: unknown property '0' in `add A tail in 0 0`: expected {ADD}"),
    ("add", f"1: `add`: expected {ADD}"),
    ("add A tail\nremove", "2: `remove`: expected remove NAME"),
    ("add A tail\nremove A A", "2: `remove A A`: expected remove NAME"),
    ("add A tail\nreinsert A", "2: `reinsert A`: expected reinsert NAME head|tail"),
    ("add A tail\nrehash A 1", "2: `rehash A 1`: expected rehash NAME to BUCKET"),
    ("open now", "1: `open now`: expected open"),
    ("open\nread", f"2: `read`: expected {READ}"),
    ("open\nread 1 2", f"2: `read 1 2`: expected {READ}"),
    ("open\nread until", f"2: `read until`: expected {READ}"),
    ("open\nread until end", f"2: `read until end`: expected {READ}"),
    ("open\nread until error now", f"2: `read until error now`: expected {READ}"),
    ("open\nread 1 until error", f"2: `read 1 until error`: expected {READ}"),
    ("batch", "1: `batch`: expected batch SLOTS"),
    ("close", "1: `close`: expected close NAME"),
    ("Open", f"1: unknown word 'Open': expected {WORDS}"),
    ("fail", f"1: unknown word 'fail': expected {WORDS}"),
    # numbers
    ("open\nread 0", f"2: '0': expected {COUNT}"),
    ("open\nread -1", f"2: '-1': expected {COUNT}"),
    ("open\nread 1000001", f"2: '1000001': expected {COUNT}"),
    ("open\nread 99999999999999999999", f"2: '99999999999999999999': expected {COUNT}"),
    ("open\nread 1e3", f"2: '1e3': expected {COUNT}"),
    ("open\nread ٣", f"2: '٣': expected {COUNT}"),
    ("open\nread ALL", f"2: 'ALL': expected {COUNT}"),
    ("batch 0", f"1: '0': expected {COUNT}"),
    ("batch 1000001", f"1: '1000001': expected {COUNT}"),
    ("add A tail in 1000000000", f"1: '1000000000': expected {BUCKET}"),
    ("add A tail in 1024", f"1: '1024': expected {BUCKET}"),
    ("add A tail in -1", f"1: '-1': expected {BUCKET}"),
    ("add A tail in t:1024", f"1: '1024': expected {BUCKET}"),
    ("add A tail in t:", f"1: '': expected {BUCKET}"),
    ("add A tail in :1", "1: ':1': expected a bucket as NUMBER or TABLE:NUMBER"),
    ("add A tail\nrehash A to x", f"2: 'x': expected {BUCKET}"),
    # sequences
    ("", "1: the iterator is never opened: expected one `open`"),
    ("# nothing\n\n", "3: the iterator is never opened: expected one `open`"),
    ("add A tail\nremove A", "2: the iterator is never opened: expected one `open`"),
    ("open\n\nopen", "3: the iterator is open already: expected one `open`"),
    ("read until error", "1: a read before open: expected `open` above the first read"),
    ("read 1\nopen", "1: a read before open: expected `open` above the first read"),
    ("add A tail\nopen\nadd A head", "3: a socket named 'A' was added before: expected a name that is new"),
    ("add A tail\nremove A\nadd A tail", "3: a socket named 'A' was added before: expected a name that is new"),
    ("add A tail\nremove A\n# gone\nremove A\nopen", f"4: socket 'A' is not in the table any more: expected {THERE}"),
    ("add A tail\nremove A\nrehash A to 1\nopen", f"3: socket 'A' is not in the table any more: expected {THERE}"),
    ("open\nreinsert A tail", f"2: socket 'A' was never added: expected {THERE}"),
    (
        "add A tail\nopen\nread 1\n  at show 1: add B tail\n\n  at show 1: remove C",
        f"6: socket 'C' was never added: expected {THERE}",
    ),
    ("add X tail in established:0\nopen", f"1: {HEAD_ONLY}"),
    ("open\nread all\n  at show 1: add X head\n  at show 1: add Y tail in established:7", f"4: {HEAD_ONLY}"),
    (
        "add X head in established:0\nopen\n\nreinsert X tail",
        "4: socket 'X' is in table 'established', which takes sockets at the head only: expected `head`",
    ),
    (
        "add X tail\nopen\nread 1\n  at show 1: rehash X to established:0\n  at show 2: reinsert X tail",
        "5: socket 'X' is in table 'established', which takes sockets at the head only: expected `head`",
    ),
    # inside a read
    ("  at show 1: remove A", "1: `at` outside of a read: expected an indented line under a `read`"),
    ("open\n  at show 1: remove A", "2: `at` outside of a read: expected an indented line under a `read`"),
    (
        "add A tail\nopen\nread 1\nremove A\n  at realloc 1: fail",
        "5: `at` outside of a read: expected an indented line under a `read`",
    ),
    ("open\nread 1\nat realloc 1: fail", "3: `at` is not indented: expected an indented line under its `read`"),
    ("open\n  read 1", "2: 'read' is indented: expected only `at` lines to be indented, under their `read`"),
    ("\topen", "1: 'open' is indented: expected only `at` lines to be indented, under their `read`"),
    ("open\nread 1\n  at show 1:", f"3: `at show 1:`: expected {AT}"),
    ("open\nread 1\n  at show 1 remove A", f"3: `at show 1 remove A`: expected {AT}"),
    ("open\nread 1\n  at open 1: remove A", f"3: `at open 1: remove A`: expected {AT}"),
    ("open\nread 1\n  at show x: remove A", f"3: 'x': expected {COUNT}"),
    ("open\nread 1\n  at show 0: remove A", f"3: '0': expected {COUNT}"),
    ("open\nread 1\n  at show 1000001: remove A", f"3: '1000001': expected {COUNT}"),
    (
        "open\nread 1\n  at show 1: fail",
        "3: `fail` at show: expected `fail` at realloc, the only point with an allocation",
    ),
    ("open\nread 1\n  at realloc 1: fail now", "3: `fail now`: expected fail"),
    ("open\nread 1\n  at realloc 1: add A", f"3: `add A`: expected {ADD}"),
    ("open\nread 1\n  at show 1: open", f"3: unknown word 'open': expected {CHANGE_WORDS}"),
    ("open\nread 1\n  at realloc 1: shut", f"3: unknown word 'shut': expected {CHANGE_WORDS}, fail"),
    # expectations, and settings
    ("batch 2\nbatch 2", "2: a second `batch`: expected one at the most"),
    ("expect index", f"1: `expect index`: expected {EXPECT}"),
    ("expect index ok", f"1: `expect index ok`: expected {EXPECT}"),
    ("expect index skip", f"1: `expect index skip`: expected {EXPECT}"),
    ("expect index stuck A", f"1: `expect index stuck A`: expected {EXPECT}"),
    ("expect index skip A B", f"1: `expect index skip A B`: expected {EXPECT}"),
    ("expect index skip as rank", f"1: `expect index skip as rank`: expected {EXPECT}"),
    ("expect index skip A as", f"1: `expect index skip A as`: expected {EXPECT}"),
    ("expect index stuck A as rank", f"1: `expect index stuck A as rank`: expected {EXPECT}"),
    (
        "open\n\nexpect t skip A\nexpect t stuck\nexpect t  skip A # again",
        "5: `expect t skip A` stands in line 3 already: expected one such line",
    ),
    ("expect t stuck\nexpect t skip A\nopen\n", "2: no socket 'A' is ever added: expected the name of an added socket"),
    # text
    ("# sockiter case v2\nopen", "1: '# sockiter case v2' is an unknown version: expected '# sockiter case v1'"),
    ("open\nread\x001", rf"2: 'read\x001' {PRINT}"),
    ("# bell \a\nopen", rf"1: '# bell \x07' {PRINT}"),
    ("\ufeffopen", rf"1: '\ufeffopen' {PRINT}"),
    ("add\xa0A tail", rf"1: 'add\xa0A tail' {PRINT}"),
    ("open\u2028read 1", rf"1: 'open\u2028read 1' {PRINT}"),
    ("open\rread 1", rf"1: 'open\rread 1' {PRINT}"),
    ("open\vread 1", rf"1: 'open\x0bread 1' {PRINT}"),
    ("\x7fELF\x02\x01\x01", rf"1: '\x7fELF\x02\x01\x01' {PRINT}"),
    ("add \ud800 tail", rf"1: 'add \ud800 tail' {PRINT}"),
    ("x" * 200, f"1: unknown word '{'x' * 83}...: expected {WORDS}"),
    ("add " + "x" * 94, f"1: `add {'x' * 94}`: expected {ADD}"),
    ("add " + "x" * 95, f"1: `add {'x' * 92}...: expected {ADD}"),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=[ascii(text[-40:]) for text, _ in MALFORMED])
def test_an_error_has_its_line_and_the_expected_text(text: str, message: str) -> None:
    assert wrong(text) == f"FILE:{message}"


def test_a_text_that_came_from_no_file_is_called_a_case() -> None:
    with pytest.raises(InputError, match=r"^<case>:1: unknown word 'x'"):
        loads("x")


def test_wrong_input_and_a_lacking_machine_have_exit_statuses_of_their_own() -> None:
    assert (SockiterError.status, InputError.status, Unavailable.status) == (2, 2, 3)


@pytest.mark.parametrize(
    ("operation", "spelled"),
    [
        (Open(), ["open"]),
        (Add("A", "head"), ["add A head"]),
        (Add("A", "tail", Bucket(3)), ["add A tail in 3"]),
        (Add("A", "tail", Bucket(0, "t")), ["add A tail in t:0"]),
        (Remove("A"), ["remove A"]),
        (Reinsert("A", "tail"), ["reinsert A tail"]),
        (Rehash("A", Bucket(0)), ["rehash A to 0"]),
        (Read(None), ["read all"]),
        (Read(7, (At("show", 2, Remove("A")),)), ["read 7", "  at show 2: remove A"]),
        (Read(None, gives_up=True), ["read until error"]),
        (Read(None, (At("realloc", 1, Fail()),), gives_up=True), ["read until error", "  at realloc 1: fail"]),
        (
            Read(None, (At("realloc", 1, Fail()), At("realloc", 9, Add("B", "head")))),
            ["read all", "  at realloc 1: fail", "  at realloc 9: add B head"],
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_an_operation_is_spelled_as_in_the_design(operation: Operation, spelled: list[str]) -> None:
    assert spell(operation) == spelled


@pytest.mark.parametrize("word", ["A", "a#b", "ß", "all", "'"])
def test_a_name_is_a_printable_word(word: str) -> None:
    assert is_name(word)


@pytest.mark.parametrize("word", ["", "a b", "#a", " a", "a\n", "a\0", "\xa0", "a\tb", "a\r"], ids=ascii)
def test_a_name_is_not_like_a_comment_and_has_no_spaces(word: str) -> None:
    assert not is_name(word)


@pytest.mark.parametrize(
    ("expect", "spelled"),
    [
        (Expect("t", "skip", "A"), "expect t skip A"),
        (Expect("t", "stuck"), "expect t stuck"),
        (Expect("kernel:udp", "skip", "A", "cookie-udp"), "expect kernel:udp skip A as cookie-udp"),
        (Expect("t", "refused", remark="Linux 6.18"), "expect t refused  # Linux 6.18"),
        (Expect("k", "skip", "as", "as", "as # as"), "expect k skip as as as  # as # as"),
    ],
)
def test_an_expected_finding_is_spelled_as_it_is_read(expect: Expect, spelled: str) -> None:
    assert str(expect) == spelled
    (read,) = loads(f"{spelled}\nadd A tail\nadd as tail\nopen\n").expects
    assert (read, read.remark) == (expect, expect.remark)


def test_a_comment_does_not_change_an_expectation() -> None:
    assert Expect("t", "stuck", remark="Linux 6.1") == Expect("t", "stuck")
    with pytest.raises(InputError, match="`expect t stuck` stands in line 1 already"):
        loads("expect t stuck # here\nexpect t stuck # there\nopen\n")


def test_the_same_is_expected_of_a_kernel_by_each_scheme_that_it_may_walk_by() -> None:
    text = lines(*(f"expect kernel:udp skip A{of}" for of in ("", " as rank", " as offset-udp")), "", "add A tail", "open")
    read = loads(text)
    assert [expect.scheme for expect in read.expects] == [None, "rank", "offset-udp"]
    assert dumps(read) == f"# sockiter case v1\n{text}"


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=5)
WORD = PRINTABLE.filter(is_name)
COUNTS = st.integers(1, 3) | st.integers(1, 1_000_000)
BUCKETS = st.builds(Bucket, st.integers(0, 2) | st.integers(0, 1023), st.just("") | WORD)
COMMENT = st.text(st.sampled_from("#ab \t: é"), max_size=8).map(str.rstrip)


@st.composite
def whole_cases(draw: st.DrawFn) -> Case:
    """Any case that can be written: the drawn operations without the impossible ones."""
    names = st.sampled_from(draw(st.lists(WORD, min_size=1, max_size=4, unique=True)))
    ends: st.SearchStrategy[End] = st.sampled_from(("head", "tail"))
    adds = st.builds(Add, names, ends, BUCKETS)
    changes: st.SearchStrategy[Change] = st.one_of(
        adds, st.builds(Remove, names), st.builds(Reinsert, names, ends), st.builds(Rehash, names, BUCKETS)
    )
    show = st.builds(At, st.just("show"), COUNTS, changes)
    realloc = st.builds(At, st.just("realloc"), COUNTS, changes | st.just(Fail()))
    inside = st.lists(show | realloc, max_size=3).map(tuple)
    reads = st.builds(Read, COUNTS, inside) | st.builds(Read, st.none(), inside, st.booleans())
    before = draw(st.lists(adds | changes, max_size=4))
    after = draw(st.lists(st.one_of(reads, changes, reads), max_size=5))
    operations = possible([*before, Open(), *after])
    added = sorted({op.name for op in operations if isinstance(op, Add)})
    befell = st.sampled_from([kind for kind in KINDS if kind in OF_A_SOCKET])
    others = st.sampled_from([kind for kind in KINDS if kind not in OF_A_SOCKET])
    expects = st.builds(Expect, WORD, others)
    if added:
        expects |= st.builds(Expect, WORD, befell, st.sampled_from(added))
    return Case(
        operations,
        draw(st.just(16) | COUNTS),
        tuple(draw(st.lists(expects, max_size=3, unique=True))),
        tuple(draw(st.lists(COMMENT, max_size=3))),
    )


@pytest.mark.unmeasured
@given(whole_cases())
def test_every_case_is_read_back_as_it_was_written_with_the_line_ends_of_windows_too(case: Case) -> None:
    assert loads(dumps(case)) == case
    assert loads(dumps(case).replace("\n", "\r\n")) == case


VOCABULARY = (
    "add remove reinsert rehash open read batch expect at A B head tail in to 0 1 all until error show realloc 1: fail "
    "skip stuck established:0"
)
SENTENCES = st.lists(st.sampled_from(VOCABULARY.split()), max_size=6).map(" ".join)
TEXTS = st.lists(st.tuples(st.sampled_from(("", "", "  ", "#")), SENTENCES).map("".join), max_size=8).map("\n".join)


@pytest.mark.unmeasured
@settings(max_examples=400)
@given(st.text() | TEXTS | TEXTS.map(lambda text: f"add A tail\nopen\nread 1\n{text}"))
@example("add A tail\nopen\nread 1\n  at show 1: remove A")
def test_any_text_is_a_case_or_wrong_input_and_nothing_else(text: str) -> None:
    with suppress(InputError):
        case = loads(text)
        assert loads(dumps(case)) == case


@given(data=st.binary(max_size=64) | st.binary(max_size=16).map(lambda junk: b"add A tail\nopen\n" + junk))
def test_any_bytes_are_a_case_or_wrong_input_and_nothing_else(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.case"
    path.write_bytes(data)
    with suppress(InputError):
        assert isinstance(load(path), Case)


class TestAFile:
    def read(self, path: Path) -> str:
        """The error message for a file, behind its path."""
        with pytest.raises(InputError) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}:")
        return str(caught.value).removeprefix(f"{path}:")

    def test_is_read_as_its_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.case"
        path.write_text(dumps(SMALL))
        assert load(path) == SMALL

    def test_is_named_in_what_is_wrong_with_its_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.case"
        path.write_text("open\nread")
        assert self.read(path) == f"2: `read`: expected {READ}"

    def test_that_is_missing_is_said_to_be(self, tmp_path: Path) -> None:
        assert self.read(tmp_path / "none.case") == " cannot be read: No such file or directory"

    def test_that_is_a_directory_is_said_to_be(self, tmp_path: Path) -> None:
        assert self.read(tmp_path) == " cannot be read: Is a directory"

    def test_that_is_not_text_is_told_by_its_first_wrong_byte(self, tmp_path: Path) -> None:
        path = tmp_path / "a.case"
        path.write_bytes(b"\nread 1\nadd \xff\xfe tail\n")
        assert self.read(path) == "3: byte 0xff is not UTF-8: expected a text file"

    def test_that_was_cut_off_within_a_character_is_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.case"
        path.write_bytes("add ä".encode()[:-1])
        assert self.read(path) == "1: byte 0xc3 is not UTF-8: expected a text file"

    def test_of_zeros_is_not_printable(self, tmp_path: Path) -> None:
        path = tmp_path / "a.case"
        path.write_bytes(bytes(3))
        assert self.read(path) == rf"1: '\x00\x00\x00' {PRINT}"

    def test_of_a_hundred_megabytes_is_refused_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "a.case"
        with path.open("wb") as stream:
            stream.write(b"open\n")
            stream.truncate(100_000_000)
        start = time.process_time()
        assert self.read(path) == "2: the file is too large: expected a case of at most 1048576 bytes"
        assert time.process_time() - start < 0.5

    def test_may_have_just_the_greatest_size(self, tmp_path: Path) -> None:
        path = tmp_path / "a.case"
        path.write_bytes(b"open\n#".ljust(BYTES_MAX, b"."))
        assert load(path) == Case((Open(),))
        path.write_bytes(b"open\n#".ljust(BYTES_MAX + 1, b"."))
        assert self.read(path) == "2: the file is too large: expected a case of at most 1048576 bytes"


class TestSaving:
    @pytest.fixture
    def no_open_files(self, tmp_path: Path) -> Iterator[None]:
        """Everything that was opened below the directory is closed in the end."""
        yield
        for descriptor in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):
                assert not os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(tmp_path))

    def test_gives_a_file_named_after_what_happened_and_what_is_done(self, tmp_path: Path) -> None:
        path = save(SMALL, tmp_path / "deep" / "er", "index-skip")
        assert path.relative_to(tmp_path).as_posix() == "deep/er/index-skip-72942b87.case"
        assert load(path) == SMALL
        assert path.read_text() == dumps(SMALL)

    def test_gives_a_file_that_everyone_may_read(self, tmp_path: Path) -> None:
        assert stat.S_IMODE(save(SMALL, tmp_path, "a").stat().st_mode) == 0o644

    def test_makes_a_plain_name_of_any_stem(self, tmp_path: Path) -> None:
        path = save(SMALL, tmp_path, "../kernel:udp skip/ä.B_1")
        assert path.parent == tmp_path
        assert path.name.startswith("..-kernel-udp-skip--.B_1-")

    def test_names_the_same_thing_the_same_whatever_is_said_of_it(self, tmp_path: Path) -> None:
        remarked = Case(SMALL.operations, SMALL.slots, (Expect("t", "stuck"),), ("Why.",))
        assert save(remarked, tmp_path, "a") == save(SMALL, tmp_path, "a")
        assert os.listdir(tmp_path) == [save(SMALL, tmp_path, "a").name]

    @pytest.mark.parametrize("other", [Case(SMALL.operations[:-1]), Case(SMALL.operations, 2)], ids=["operations", "slots"])
    def test_names_another_thing_otherwise(self, tmp_path: Path, other: Case) -> None:
        assert save(other, tmp_path, "a") != save(SMALL, tmp_path, "a")

    def test_leaves_a_file_that_is_there_as_it_is(self, tmp_path: Path) -> None:
        path = save(SMALL, tmp_path, "a")
        path.write_text("# mine\nopen\n")
        assert save(SMALL, tmp_path, "a") == path
        assert path.read_text() == "# mine\nopen\n"

    def test_puts_the_file_on_the_disk_before_it_gets_its_name_and_then_the_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_open_files: None
    ) -> None:
        order: list[str] = []
        fsync, replace = os.fsync, os.replace

        def watched_fsync(descriptor: int) -> None:
            order.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
            assert os.fstat(descriptor).st_size > 0
            fsync(descriptor)

        def watched_replace(temporary: str, path: Path) -> None:
            order.append("name")
            assert Path(temporary).parent == tmp_path
            assert Path(temporary).read_text() == dumps(SMALL)
            assert list(files([tmp_path])) == []
            replace(temporary, path)

        monkeypatch.setattr(os, "fsync", watched_fsync)
        monkeypatch.setattr(os, "replace", watched_replace)
        save(SMALL, tmp_path, "a")
        assert order == ["file", "name", "directory"]

    @pytest.mark.parametrize("call", ["fsync", "fchmod", "replace"])
    @pytest.mark.parametrize("trouble", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["full", "interrupt"])
    def test_that_fails_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_open_files: None, call: str, trouble: BaseException
    ) -> None:
        monkeypatch.setattr(os, call, failing(trouble))
        with pytest.raises(type(trouble)) as caught:
            save(SMALL, tmp_path, "a")
        assert caught.value is trouble
        assert os.listdir(tmp_path) == []

    def test_that_fails_tells_the_first_trouble_even_if_there_is_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "replace", failing(OSError(errno.ENOSPC, "full")))
        monkeypatch.setattr(os, "unlink", failing(OSError(errno.EROFS, "read-only")))
        with pytest.raises(OSError, match="full"):
            save(SMALL, tmp_path, "a")

    def test_known_that_cannot_put_the_name_on_the_disk_fails_although_the_whole_file_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_open_files: None
    ) -> None:
        replace = os.replace

        def replace_and_fail_from_now_on(temporary: str, path: Path) -> None:
            replace(temporary, path)
            monkeypatch.setattr(os, "fsync", failing(OSError(errno.EIO, "broken")))

        monkeypatch.setattr(os, "replace", replace_and_fail_from_now_on)
        with pytest.raises(OSError, match="broken"):
            save(SMALL, tmp_path, "a")
        assert [load(path) for path in tmp_path.iterdir()] == [SMALL]

    def test_where_a_file_is_in_the_way_of_the_directory_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("")
        with pytest.raises(FileExistsError):
            save(SMALL, tmp_path / "a", "a")

    def test_of_the_same_cases_by_two_processes_at_once_gives_each_once_and_whole(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path\n"
            "from sockiter.cases import Case, save; from sockiter.operations import Open, Read\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "for n in range(1, 41): save(Case((Open(), Read(n))), Path(sys.argv[1]) / 'cases', 'same')\n"
        )
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate() and process.returncode for process in both] == [0, 0]
        found = [load(path) for path in (tmp_path / "cases").iterdir()]
        assert sorted(case.operations[1].count or 0 for case in found if isinstance(case.operations[1], Read)) == [
            *range(1, 41)
        ]
        assert len(found) == 40


def failing(trouble: BaseException) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise trouble

    return call


def test_a_file_that_is_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old and longer")
    write_whole(path, "näw")
    assert path.read_bytes() == "näw".encode()
    assert os.listdir(tmp_path) == ["page.html"]


def test_the_files_of_a_directory_come_by_name_in_its_stead_and_others_as_they_are_given(tmp_path: Path) -> None:
    for name in ("b.case", "a.case", ".x.part", "notes.txt"):
        (tmp_path / name).write_text("")
    other, missing = tmp_path / "notes.txt", tmp_path / "missing.case"
    assert list(files([other, tmp_path, missing])) == [other, tmp_path / "a.case", tmp_path / "b.case", missing]
    assert list(files([])) == []


def test_the_limits_are_those_that_the_messages_name() -> None:
    assert (cases.BYTES_MAX, cases.BUCKETS_MAX, cases.COUNT_MAX) == (1 << 20, 1024, 1_000_000)
