"""A case as a mail to a list: what happens, the table, the kernels tried, and the program.

Everything in it comes from the case, or from a run of it on this machine. A model's table is called a model's.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from sockiter.cases import Case
from sockiter.errors import Unavailable
from sockiter.export.forms import form_of
from sockiter.export.source import templates, tidied
from sockiter.kernel.target import KernelTarget
from sockiter.report.explain import words
from sockiter.report.table import table
from sockiter.report.trace import Trace
from sockiter.verdict import VIOLATIONS, describe

_WIDTH = 76
_VERBS = {
    "skip": "skips a socket",
    "repeat": "delivers a socket twice",
    "stale": "delivers a socket that is closed",
    "stuck": "never ends",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A case as it came out: on a target, or on the model that stands in for it. `kernel`: the release, "" for a model."""

    trace: Trace
    where: str
    kernel: str = ""

    @property
    def fails(self) -> bool:
        """Whether there is a violation to report."""
        return any(finding.kind in VIOLATIONS for finding in self.trace.verdict)


def mail(case: Case, target: KernelTarget, name: str, runs: list[Run], program: str) -> str:
    """The mail about a case. `runs`: the results on this machine, the target's first; `program`: the C source.

    Raises `Unavailable` if no run shows a violation.
    """
    shown = next((run for run in runs if run.fails), None)
    if shown is None:
        tried = " and ".join(f"{run.where}: {describe(run.trace.verdict)}" for run in runs) or "nothing runs it here"
        raise Unavailable(f"there is nothing to report on {target.name}: {tried}")
    source = f"Step by step, on {shown.where}:"
    if not shown.kernel:
        source = f"Step by step, in a model of this iterator ({shown.where}), not on a kernel:"
    return tidied(
        templates()
        .get_template("mail.txt")
        .render(
            subject=_subject(target, shown.trace),
            summary=[line for sentence in _two_sentences(target, shown.trace) for line in textwrap.wrap(sentence, _WIDTH)],
            source="\n".join(textwrap.wrap(source, _WIDTH)),
            table=table(shown.trace).splitlines(),
            kernels=_kernels(case, target, runs),
            files=form_of(target).files,
            file=f"{name}.c",
            program=program,
        )
    )


def _subject(target: KernelTarget, trace: Trace) -> str:
    finding = next(finding for finding in trace.verdict if finding.kind in VIOLATIONS)
    return f"{form_of(target).title} {_VERBS[finding.kind]}"


def _two_sentences(target: KernelTarget, trace: Trace) -> list[str]:
    # The finding, and its last cause.
    sentences = re.split(r"(?<=\.) ", words(trace)[0])
    first = f"In a walk by {form_of(target).title}, {sentences[0]}"
    return [first, *(sentences[-1:] if len(sentences) > 1 else [])]


def _kernels(case: Case, target: KernelTarget, runs: list[Run]) -> list[str]:
    results = {f"Linux {run.kernel}": describe(run.trace.verdict) for run in runs if run.kernel}
    lines = [f"{kernel}: {result}" for kernel, result in results.items()]
    recorded: dict[tuple[str, str], list[str]] = {}
    for expect in case.expects:
        if expect.target == target.name:
            key = expect.remark or "a kernel that the case does not name", expect.scheme or ""
            recorded.setdefault(key, []).append(f"{expect.kind} {expect.socket}" if expect.socket else expect.kind)
    for (kernel, scheme), found in recorded.items():
        if kernel not in results:
            lines.append(
                f"{kernel}: {', '.join(found)}{f' (it walks as {scheme})' if scheme else ''}, as recorded in the case"
            )
    return lines or ["none"]
