"""A small parser of KTAP version 1, by Documentation/dev-tools/ktap.rst of the kernel. It accepts valid output only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_RESULT = re.compile(r"(ok|not ok) ([0-9]+)(?: ([^#]*?))?(?: # ?(?:(SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b ?)?(.*))?")


@dataclass
class Result:
    """One result. `lines`: the diagnostic lines above it, without the hash sign."""

    name: str
    is_ok: bool
    directive: str = ""
    why: str = ""
    lines: list[str] = field(default_factory=list)
    parts: list[Result] = field(default_factory=list)


def parsed(text: str) -> list[Result]:
    """The results of a complete output; raises AssertionError for an invalid one."""
    lines = text.split("\n")
    assert lines.pop() == "", "the last line is not complete"
    results, rest = _results(lines, 0)
    assert rest == [], f"behind the last result: {rest}"
    return results


def _results(lines: list[str], depth: int) -> tuple[list[Result], list[str]]:
    indent = "  " * depth
    assert lines[0] == f"{indent}KTAP version 1", lines[0]
    plan = re.fullmatch(rf"{indent}1\.\.([0-9]+)", lines[1])
    assert plan, lines[1]
    lines = lines[2:]
    results: list[Result] = []
    remarks: list[str] = []
    parts: list[Result] = []
    while len(results) < int(plan[1]):
        assert lines, f"{plan[1]} results are planned, and {len(results)} came"
        line = lines[0]
        if line.startswith(f"{indent}  KTAP"):
            assert not parts, "two groups of subtests for one result"
            parts, lines = _results(lines, depth + 1)
            continue
        lines = lines[1:]
        assert line.startswith(indent), line
        line = line[len(indent) :]
        if line.startswith("# "):
            remarks.append(line[2:])
            continue
        result = _RESULT.fullmatch(line)
        assert result, f"no result, and no diagnostic line: {line!r}"
        outcome, number, name, directive, why = result.groups(default="")
        assert int(number) == len(results) + 1, f"result {number} after {len(results)}"
        # Other parsers ignore the case of a directive.
        assert not re.match(r"(?i)(skip|todo)\b", why), f"read as a directive by some: {why!r}"
        assert (directive != "ERROR") or outcome == "not ok", line
        failed = any(not part.is_ok for part in parts)
        assert not failed or outcome == "not ok", f"a part of {name} failed, and it did not"
        results.append(Result(name, outcome == "ok", directive, why, remarks, parts))
        remarks, parts = [], []
    return results, lines
