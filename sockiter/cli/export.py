"""`sockiter export`: a case as a C program, as a selftest, as a mail to a list."""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from pathlib import Path

import click

from sockiter import rights
from sockiter.cases import STDIN, SUFFIX, Case, load_with_lines
from sockiter.claims import Hazard
from sockiter.cli.names import KERNEL_TARGET
from sockiter.cli.output import note_written, write
from sockiter.errors import Inconclusive, InputError, Unavailable
from sockiter.export.forms import FORMS, check
from sockiter.export.mail import Run, mail
from sockiter.export.selftest import selftest
from sockiter.export.source import c_program
from sockiter.files import escaped
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Accept, Close, Open
from sockiter.replay import refused
from sockiter.report.trace import trace
from sockiter.targets import about, load_known, model_of, target_named

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("case_file", type=click.Path(path_type=Path), metavar="CASE")
@click.option(
    "--target",
    "name",
    type=KERNEL_TARGET,
    metavar="T",
    help="The kernel's iterator; default: the one that the case is about, or else the first that it expects to fail.",
)
@click.option("--c", "c_file", type=_FILE, metavar="FILE", help="Write a C program that carries out the case.")
@click.option(
    "--selftest", "selftest_file", type=_FILE, metavar="FILE", help="Write a test function for the kernel's BPF selftests."
)
@click.option("--report", "report_file", type=_FILE, metavar="FILE", help="Write a mail to a list, with the C program.")
def export(
    case_file: Path, *, name: str | None, c_file: Path | None, selftest_file: Path | None, report_file: Path | None
) -> None:
    """Write a case as a C program, as a selftest of the kernel, or as a mail.

    CASE is a file, or - for standard input. The C program needs no sockiter: it makes private namespaces, carries out the
    case by system calls, and prints KTAP. It exits with 0 if every socket is delivered as it ought to be, 1 if the defect is
    there, 4 if it cannot run here, with the reason.
    """
    if c_file is None and selftest_file is None and report_file is None:
        raise click.UsageError("Nothing to write: expected --c, --selftest or --report, each with a FILE.")
    case = load_known(case_file)
    # Standard input cannot be read again.
    lines = () if str(case_file) == STDIN else load_with_lines(case_file)[1].operations
    file = escaped(case_file)
    target = _choose(case, case_file, name)
    check(case, target, file=file, lines=lines)
    in_place = _in_place(case, target)
    if report_file is None and not in_place:
        rights.give_up()
    stem = "case" if str(case_file) == STDIN else re.sub(r"[^A-Za-z0-9_.-]", "_", case_file.name.removesuffix(SUFFIX))
    program = c_program(case, target, stem, in_place=in_place)
    texts: list[tuple[Path, str]] = [] if c_file is None else [(c_file, program)]
    try:
        if selftest_file is not None:
            texts.append((selftest_file, selftest(case, target, stem)))
        if report_file is not None:
            texts.append((report_file, mail(case, target, stem, _runs(case, target), program)))
    except Unavailable as error:
        raise Unavailable(f"{file}: {error}") from None
    for path, text in texts:
        write(path, text)
        note_written(path, text)


def _choose(case: Case, case_file: Path, name: str | None) -> KernelTarget:
    if name is not None:
        target = target_named(name)
        if not isinstance(target, KernelTarget):
            raise InputError(f"{name} is a model: expected an iterator of the kernel: {', '.join(FORMS)}")
        return target
    expected = [target_named(expect.target) for expect in case.expects if expect.target.startswith("kernel:")]
    for candidate in (about(case, case_file), *expected):
        if isinstance(candidate, KernelTarget):
            return candidate
    why = "the case expects nothing of a kernel's iterator"
    raise InputError(f"{escaped(case_file)}: {why}: expected --target with one of {', '.join(FORMS)}")


def _in_place(case: Case, target: KernelTarget) -> frozenset[Hazard]:
    # Where successors go on this kernel. Only for those of the table at open does the program have to know.
    arranged = case.operations[: case.operations.index(Open())]
    if not any(isinstance(op, (Close, Accept)) for op in arranged) or target.missing() is not None:
        return frozenset()
    return target.in_place


def _runs(case: Case, target: KernelTarget) -> list[Run]:
    # The case on this kernel, and, if it is fine there, on the model of the iterator of another one.
    runs = []
    if target.missing() is None and refused(case, target) is None:
        with target.session() as session, suppress(Inconclusive):
            kernel = platform.release()
            runs.append(Run(trace(case, target, session), f"{target.name} of Linux {kernel}", kernel))
    model = None if any(run.fails for run in runs) else model_of(case, target)
    if model is not None:
        with model.session() as session:
            runs.append(Run(trace(case, model, session), model.name))
    return runs
