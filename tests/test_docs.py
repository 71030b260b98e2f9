"""The documents: every link has a target, and each command line that they show runs, with the output that they show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from sockiter.schemes import SCHEMES
from sockiter.targets import target_named
from tests.support.command import commands, unmeasured
from tests.support.paths import ROOT

FOLDERS = ("docs", "fuzz", ".github")
# Blocks with commands: a line each, or `$ ` before each and the output behind it.
SHELL, CONSOLE = "sh", "console"
LANGUAGES = {SHELL, CONSOLE, "text", "python", "toml"}
COMMENT = re.compile(r"<!-- (not run|needs|file|installed): (.+) -->")
TIMEOUT_S = 300

if not (ROOT / "docs").is_dir():
    pytest.skip(f"no {ROOT / 'docs'}: this is not a checkout", allow_module_level=True)


class Block(NamedTuple):
    """A fenced block, and the comment above it, as `not run` and why; CONTRIBUTING.md has the others."""

    page: str
    line: int
    language: str
    text: str
    kind: str
    reason: str

    @property
    def commands(self) -> list[tuple[str, str | None]]:
        """Each command, with the output that is shown, if any is."""
        if self.language == SHELL:
            lines = self.text.replace("\\\n", "").splitlines()
            return [(line, None) for line in lines if line.strip() and not line.startswith("#")]
        if self.language == CONSOLE:
            parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
            assert parts[0] == "", f"{self.page}:{self.line}: output before the first command"
            return [(command, output) for command, _, output in (part.partition("\n") for part in parts[1:])]
        return []


def texts() -> dict[str, str]:
    found = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.md")))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in found}


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    lines = text.splitlines()
    start = None
    for number, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            if start is None:
                start = number
            else:
                above = COMMENT.fullmatch(lines[start - 1].strip()) if start else None
                kind, reason = above.groups() if above else ("", "")
                inside = "".join(f"{row}\n" for row in lines[start + 1 : number])
                yield Block(page, start + 1, lines[start].strip()[3:], inside, kind, reason)
                start = None
    assert start is None, f"{page}:{start}: a block without an end"


PAGES = texts()
BLOCKS = {page: list(blocks_of(page, text)) for page, text in PAGES.items()}
RUN = {page: [block for block in blocks if block.kind != "not run"] for page, blocks in BLOCKS.items()}
WITH_COMMANDS = [page for page, blocks in RUN.items() if any(block.commands for block in blocks)]


# The commands that are run


def matches(shown: str, actual: str) -> bool:
    """Whether an output is as shown. `...` stands for any text; spaces at the end of lines do not count."""

    def clean(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip().splitlines())

    pattern = ".*?".join(re.sub(r"(?:\\ )+", " +", re.escape(part)) for part in clean(shown).split("..."))
    return re.fullmatch(pattern, re.sub(r"\n{2,}", "\n\n", clean(actual)), re.DOTALL) is not None


@pytest.mark.parametrize(
    ("shown", "actual", "is_match"),
    [
        ("a  b\n", "\na b  \n", True),
        ("a b\n", "\na   b  \n", True),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a ... d\n", "a b c d", True),
        ("a.b", "aab", False),
        ("a", "a\nb", False),
    ],
)
def test_a_shown_output_is_compared_but_for_dots_and_widths(shown: str, actual: str, is_match: bool) -> None:
    assert matches(shown, actual) == is_match


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that looks like a checkout to the examples: the cases, and a `venv` with the installed command.

    Only the command is a link. An example that clears `venv` clears a folder of the test.
    """
    shutil.copytree(ROOT / "tests" / "cases", tmp_path / "tests" / "cases")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "sockiter").symlink_to(Path(sys.executable).parent / "sockiter")
    return tmp_path


def put_on_path(package: Path, site: Path) -> None:
    """The modules and the entry points of a package, as an installation leaves them."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shutil.copytree(package, site, ignore=shutil.ignore_patterns("__pycache__"))
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    points = [line for group, of in groups for line in (f"[{group}]", *(f"{name} = {to}" for name, to in of.items()))]
    (info / "entry_points.txt").write_text("\n".join(points) + "\n")


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in unmeasured().items() if not name.startswith("SOCKITER_")}
    return {**kept, "HOME": str(home), "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])}


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[] if page == "README.md" else pytest.mark.slow) for page in WITH_COMMANDS]
)
def test_the_commands_of_a_page_have_the_shown_output(page: str, place: Path) -> None:
    for block in RUN[page]:
        at = f"{page}:{block.line}"
        if block.kind == "file":
            (place / block.reason).write_text(block.text, encoding="utf-8")
        if block.kind == "needs" and (missing := target_named(block.reason).missing()) is not None:
            assert os.environ.get("SOCKITER_REQUIRE_KERNEL") != "1", f"{at}: {missing}"
            print(f"{at}: not run: {missing}")
            continue
        set_up = environment(place)
        if block.kind == "installed":
            put_on_path(ROOT / block.reason, place / "site")
            set_up["PYTHONPATH"] = str(place / "site")
        for command, shown in block.commands:
            done = subprocess.run(
                ["bash", "-c", f"set -uo pipefail; {command}"],
                cwd=place,
                env=set_up,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{at}: {command}: exit status {done.returncode}\n{done.stdout}"
            if shown is not None:
                assert matches(shown, done.stdout), f"{at}: {command}: the page shows\n{shown}\nbut it prints\n{done.stdout}"


def test_every_block_names_its_language_and_every_comment_above_one_is_known() -> None:
    for page, blocks in BLOCKS.items():
        for block in blocks:
            assert block.language in LANGUAGES, (
                f"{page}:{block.line}: {block.language!r}: expected one of {sorted(LANGUAGES)}"
            )
        comments = [line for line in PAGES[page].splitlines() if COMMENT.fullmatch(line.strip())]
        assert len(comments) == sum(1 for block in blocks if block.kind), f"{page}: a comment that stands above no block"


def test_as_many_command_lines_are_run_as_are_listed_here() -> None:
    """A page whose commands fall out of the test is noticed. `pytest -s` prints the reasons of the others."""
    counts = {}
    for page, blocks in BLOCKS.items():
        run = sum(len(block.commands) for block in RUN[page])
        if total := sum(len(block.commands) for block in blocks):
            counts[page] = (run, total - run)
        for block in blocks:
            if block.kind == "not run":
                print(f"{page}:{block.line}: {len(block.commands)} not run: {block.reason}")
    assert counts == COUNTS


# How many command lines of each page are run, and how many are not.
COUNTS: dict[str, tuple[int, int]] = {
    "README.md": (5, 2),
    "docs/explanation/impossible.md": (1, 0),
    "docs/explanation/proofs.md": (2, 3),
    "docs/explanation/races.md": (1, 1),
    "docs/explanation/rights.md": (0, 1),
    "docs/how-to/ci.md": (1, 1),
    "docs/how-to/export-a-case.md": (4, 1),
    "docs/how-to/explore.md": (1, 0),
    "docs/how-to/fleets.md": (0, 8),
    "docs/how-to/judge-a-tree.md": (0, 7),
    "docs/how-to/list-or-destroy.md": (1, 1),
    "docs/how-to/other-kernels.md": (0, 13),
    "docs/how-to/read-a-case.md": (4, 3),
    "docs/how-to/reproduce-ci.md": (2, 2),
    "docs/how-to/share-failures.md": (0, 3),
    "docs/how-to/write-a-scheme.md": (4, 7),
    "docs/measurements/kernels.md": (0, 4),
    "docs/measurements/time-to-refute.md": (0, 1),
    "docs/reference/cases.md": (4, 0),
    "docs/reference/commands.md": (3, 0),
    "docs/reference/exit-statuses.md": (2, 0),
    "docs/reference/json.md": (1, 0),
    "docs/tutorial/first-finding.md": (8, 3),
    "fuzz/README.md": (0, 5),
}


# Links and paths


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        target = unquote("".join(link))
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.resolve().is_relative_to(ROOT), f"{page}: {target} leads out of the checkout"
        assert file.exists(), f"{page}: {target}: no such file"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{page}: {target}: no such heading"


def test_every_path_of_a_page_that_the_code_names_exists() -> None:
    files = [*ROOT.glob("*.toml"), ROOT / "tox.ini", *ROOT.glob("*.md")]
    files += [
        path for folder in ("sockiter", "fuzz", "tests", ".github") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    for file in files:
        if file.suffix in {".py", ".toml", ".ini", ".md", ".yml", ".yaml", ".case"}:
            for named in re.findall(r"\bdocs/[\w/-]+\.(?:md|png|svg|py)\b", file.read_text(encoding="utf-8")):
                assert (ROOT / named).is_file(), f"{file.relative_to(ROOT)} names {named}: no such file"


def test_every_page_is_reached_from_the_index() -> None:
    listed = {(ROOT / "docs" / link).resolve() for link in re.findall(r"\]\(([^)#]+\.md)", PAGES["docs/index.md"])}
    assert {path.resolve() for path in (ROOT / "docs").rglob("*.md")} <= listed | {(ROOT / "docs" / "index.md").resolve()}


# The reference


def test_the_reference_names_every_command_and_every_option() -> None:
    text = PAGES["docs/reference/commands.md"]
    for name, command in commands().items():
        assert f"| `{name}" in text, f"docs/reference/commands.md has no row for {name}"
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("-"):
                    assert f"`{option}" in text, f"docs/reference/commands.md has no row for {option} of {name}"


def test_the_reference_names_every_scheme() -> None:
    text = PAGES["docs/reference/schemes.md"]
    for scheme in SCHEMES:
        assert f"`{scheme.name}`" in text
