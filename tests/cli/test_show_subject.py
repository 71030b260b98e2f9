"""The target that a case is shown on where none is named: the one that the case is about."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sockiter.cases import Case, load, loads
from sockiter.targets import TARGETS, about, model_of, target_named
from tests.support.command import DEADLINE_S, NO_KERNEL, sockiter
from tests.support.paths import CASES

pytestmark = pytest.mark.usefixtures("on_any_machine")

NAMES = {target.name.replace(":", "-"): target.name for target in TARGETS}
# Each case of the corpus that is named after a target, with the longest such name.
NAMED = {
    path: max((stem for stem in NAMES if path.stem.startswith(f"{stem}-")), key=len)
    for path in sorted(CASES.glob("*.case"))
    if any(path.stem.startswith(f"{stem}-") for stem in NAMES)
}
PLAIN = loads("add A tail\nopen\nread all\n")


def commented(*comment: str) -> Case:
    return Case(PLAIN.operations, comment=comment)


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.stem)
def test_a_case_of_the_corpus_is_about_the_target_that_it_is_named_after(path: Path) -> None:
    target = about(load(path), path)
    assert target is not None
    assert target.name == NAMES[NAMED[path]]


def test_most_of_the_corpus_is_named_after_a_target() -> None:
    assert len(NAMED) > 60


@pytest.mark.parametrize("path", [path for path in NAMED if "kernel" not in path.stem], ids=lambda path: path.stem)
def test_a_case_of_the_corpus_is_shown_on_its_target(path: Path) -> None:
    result = sockiter("show", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{path} on {NAMED[path]}\n")


@pytest.mark.parametrize(
    ("comment", "file", "name"),
    [
        (["Skip under remove, found on cookie-udp by swarm."], "-", "cookie-udp"),
        (["Skip under remove, found on kernel:udp (Linux 6.8,", "5 of 5 runs) by swarm."], "-", "kernel:udp"),
        (["It was found on", "rank, and on index."], "-", "rank"),
        (["Found on rank."], "-", None),
        (["It was found on Tuesday, and found on index too."], "-", "index"),
        (["found on rank"], "index-skip-remove-1234abcd.case", "rank"),
        ([], "index-narrow-skip-rollover.case", "index-narrow"),
        ([], "index-narrow.case", "index-narrow"),
        ([], "index.of.all.case", "index"),
        ([], "index-of-all.case", None),
        ([], "kernel-tcp-established-refused-enomem.case", "kernel:tcp-established"),
        ([], "-", None),
    ],
)
def test_a_case_is_about_the_target_in_its_comment_or_else_in_its_file_name(
    comment: Sequence[str], file: str, name: str | None
) -> None:
    target = about(commented(*comment), Path(file))
    assert (None if target is None else target.name) == name


# An iterator of the kernel that does not run here.

SKIPS = "# Skip under remove, found on kernel:udp (Linux 6.8) by swarm.\n{expects}add A tail\nadd B tail\nopen\nread all\n"


@pytest.mark.parametrize(
    ("expects", "name", "model"),
    [
        ("expect index skip A\nexpect kernel:udp skip B as offset-udp\n", "kernel:udp", "offset-udp"),
        ("expect offset-udp skip A\nexpect rank skip A\n", "kernel:udp", "offset-udp"),
        ("expect rank skip A\n", "kernel:udp", "rank"),
        ("expect index skip A\n", "kernel:udp", None),
        ("expect index skip A\n", "kernel:udp-diag", "udp-diag"),
        ("expect kernel:udp skip B as next-year\n", "kernel:udp", None),
    ],
)
def test_the_scheme_of_an_iterator_stands_in_for_it(expects: str, name: str, model: str | None) -> None:
    found = model_of(loads(SKIPS.format(expects=expects)), target_named(name))
    assert (None if found is None else found.name) == model


def test_a_scheme_that_cannot_carry_out_the_case_does_not_stand_in() -> None:
    case = loads("add A tail\nopen\nread all\n  at realloc 1: fail\n")
    assert model_of(case, target_named("kernel:udp-diag")) is None


@pytest.mark.parametrize(
    ("expects", "model"),
    [
        ("expect cookie-udp skip A\nexpect kernel:udp skip B as rank\n", "rank"),
        ("expect index skip A\nexpect kernel:udp skip B  # Linux 6.8\n", "index"),
    ],
)
def test_a_case_of_an_iterator_that_does_not_run_here_is_shown_on_a_scheme_with_a_note(
    expects: str, model: str, tmp_path: Path
) -> None:
    (path := tmp_path / "my.case").write_text(SKIPS.format(expects=expects), encoding="utf-8")
    result = sockiter("show", path)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{path} on {model}\n")
    assert result.stderr == f"sockiter: kernel:udp does not run here: {NO_KERNEL}; {model} stands in for it\n"


# Standard input.


@pytest.mark.parametrize(
    ("command", "out", "err"),
    [
        ("show", "- on removal-count\n", ""),
        ("minimize", "# sockiter case v1\n# Shrunk from standard input.\n", "sockiter: removal-count: repeat"),
    ],
)
def test_a_case_that_is_pasted_is_read_from_standard_input(command: str, out: str, err: str) -> None:
    text = (CASES / "removal-count-repeat-remove.case").read_text(encoding="utf-8")
    process = [sys.executable, "-m", "sockiter", command, "-"]
    done = subprocess.run(process, input=text, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0
    assert done.stdout.startswith(out)
    assert done.stderr.startswith(err)
