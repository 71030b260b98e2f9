"""`sockiter vm`: runs a command on another kernel."""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sockiter import documents, rights
from sockiter.cli.options import CASES
from sockiter.cli.output import print_json
from sockiter.errors import InputError
from sockiter.vm import worker
from sockiter.vm.build import VERSION
from sockiter.vm.guest import MEMORY, processors, writable_folders

TIMEOUT_S = 600.0


@click.command()
@click.argument("kernel", required=False)
@click.argument("command", nargs=-1, metavar="-- COMMAND...")
@click.option(
    "--cases",
    type=click.Path(path_type=Path, file_okay=False),
    multiple=True,
    help=f"A directory that the command may write to; default: {CASES}.",
)
@click.option(
    "--read",
    "reads",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Another directory or file that the command may read.",
)
@click.option("--suite", metavar="SUITE", help="Take the package from this suite of Debian: sid, trixie, bookworm.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of boot and command.",
)
@click.option("--memory", default=MEMORY, show_default=True, metavar="SIZE", help="The guest's memory: 512M, 2G.")
@click.option("--cpus", type=click.IntRange(min=1), help="The guest's processors; default: this machine's, at most 2.")
@click.option("--no-kvm", is_flag=True, help="Emulate, even if /dev/kvm works.")
@click.option("--verbose", is_flag=True, help="Show the guest's console, on standard error.")
@click.option(
    "--build", "version", is_flag=False, flag_value=VERSION, metavar="[VERSION]", help="Build a kernel with fault injection."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON document on standard output, with the command's output in it.",
)
def vm(
    kernel: str | None,
    command: tuple[str, ...],
    *,
    cases: tuple[Path, ...],
    reads: tuple[Path, ...],
    suite: str | None,
    timeout: float,
    memory: str,
    cpus: int | None,
    no_kvm: bool,
    verbose: bool,
    version: str | None,
    as_json: bool,
) -> None:
    """Run a command on another kernel: sockiter vm linux-image-6.12 -- sockiter fuzz kernel:udp

    KERNEL is a kernel image, the tree or the packages of one, a package that apt knows, or fault-injection-VERSION after
    --build. The guest sees the files of this machine that the command needs: the system's, Python's, the working directory,
    and paths in the command. It may write only to the directories of --cases.
    """
    rights.give_up()
    if version is not None:
        if kernel is not None:
            raise InputError("--build VERSION goes without KERNEL and COMMAND: expected one or the other")
        sys.exit(_hand_over({"do": "build", "version": version}, version, (), as_json=as_json))
    if kernel is None or not command:
        raise click.UsageError("expected KERNEL -- COMMAND..., or --build")
    if not re.fullmatch(r"[1-9][0-9]*[MG]", memory):
        raise InputError(f"--memory {memory}: expected megabytes or gigabytes, as 512M or 2G")
    asked = cases or (CASES,)
    folders = [*asked, *_named_in(command)]
    made = [folder for folder in folders if not folder.exists()]
    order = {
        "do": "run",
        "kernel": kernel,
        "command": list(command),
        "cases": [str(folder) for folder in writable_folders(folders)],
        "reads": [str(path.absolute()) for path in reads],
        "suite": suite or "",
        "timeout_s": timeout,
        "memory": memory,
        "cpus": cpus or processors(),
        "kvm": not no_kvm,
        "verbose": verbose,
    }
    try:
        status = _hand_over(order, kernel, command, as_json=as_json)
    finally:
        _remove_empty(made)
    sys.exit(status)


def _hand_over(order: dict[str, Any], kernel: str, command: Sequence[str], *, as_json: bool) -> int:
    # Returns the exit status.
    if not as_json:
        return worker.hand_over(order)
    started = time.monotonic()
    account = worker.Account()
    status = worker.hand_over(order, account)
    report = account.report
    if "outcome" not in report:
        # There was no guest. The worker has written the line on standard error.
        documents.print_error(report.get("trouble", "interrupted"), status)
        return status
    is_build = report["outcome"] == "built"
    print_json(
        {
            "kernel": kernel,
            "image": report["image"],
            "command": list(command),
            "outcome": report["outcome"],
            "status": status,
            "trouble": report.get("trouble"),
            "acceleration": report.get("acceleration"),
            "why_emulated": report.get("why_emulated"),
            "boot_seconds": report.get("boot_seconds"),
            "seconds": round(time.monotonic() - started, 3),
            "output": "" if is_build else account.output.decode(errors="replace"),
        }
    )
    return status


def _named_in(command: tuple[str, ...]) -> list[Path]:
    # The command's own --cases, so that its files are kept.
    named = [word.partition("=")[2] for word in command if word.startswith("--cases=")]
    named += [value for option, value in itertools.pairwise(command) if option == "--cases"]
    return [Path(name) for name in named if name]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
