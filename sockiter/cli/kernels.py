"""`sockiter kernels`: surveys of several kernels as one table, with the changes from each to the next newer one."""

from __future__ import annotations

import itertools
import json
import random
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import sockiter
from sockiter import documents, rights
from sockiter.cli.names import KERNEL_TARGET, expanded
from sockiter.cli.options import CASES
from sockiter.cli.output import note, note_written, print_json, write
from sockiter.cli.subject import kernel_target
from sockiter.errors import InputError, Unavailable
from sockiter.files import escaped, in_file_name
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelTarget
from sockiter.survey.survey import RUNNING, Plan, Survey, corpus_in, document, merged, survey, survey_of
from sockiter.survey.table import CaseChange, in_order, lines, progression
from sockiter.vm import worker
from sockiter.vm.guest import TIMED_OUT, writable_folders

_SECONDS = 2.0
# In a guest: the modules of connection tracking, in a table whose buckets a few connections fill.
_PREPARED = (
    "modprobe -qa nf_conntrack nf_conntrack_netlink 2>/dev/null; "
    "echo 512 2>/dev/null >/proc/sys/net/netfilter/nf_conntrack_buckets; "
    'exec "$@"'
)
_REPLAY_S = 300.0
_TIMEOUT_S = 3600.0
# The file of an unfinished survey, in the directory of its new cases.
_PART = ".survey.json"


@click.command()
@click.argument("kernels", nargs=-1, required=True, metavar="KERNEL...")
@click.option("--suite", metavar="SUITE", help="Take packages from this suite of Debian: sid, trixie, bookworm.")
@click.option("--target", "names", type=KERNEL_TARGET, multiple=True, metavar="T", help="Only this target, or pattern.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=_SECONDS,
    show_default=True,
    help="Time of fuzzing, and of the comparison, for each target.",
)
@click.option(
    "--replay",
    "replay_s",
    type=click.FloatRange(min=0),
    default=_REPLAY_S,
    show_default=True,
    metavar="SECONDS",
    help="At most this time to replay the cases on each target.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Draw the same sequences again.")
@click.option(
    "--cases",
    "corpus",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of the cases to replay; default: the project's.",
)
@click.option(
    "--found",
    type=click.Path(path_type=Path, file_okay=False),
    default=CASES,
    show_default=True,
    help="Directory for new cases, in a folder for each kernel.",
)
@click.option("--resume", type=click.Path(path_type=Path, dir_okay=False), help="File of the surveys: those in it are kept.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of a guest.",
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the table as a page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def kernels(
    kernels: tuple[str, ...],
    *,
    suite: str | None,
    names: tuple[str, ...],
    seconds: float,
    replay_s: float,
    seed: int | None,
    corpus: Path | None,
    found: Path,
    resume: Path | None,
    timeout: float,
    html: Path | None,
    as_json: bool,
) -> None:
    """Survey kernels, and compare them: sockiter kernels running linux-image-6.1 linux-image-6.12 --resume kernels.json

    A KERNEL is as for `sockiter vm`, or `running` for the running kernel. Each is booted once. There, the schemes of all
    iterators are detected, the cases are replayed, and each iterator is fuzzed and compared with its scheme.
    """
    chosen = _chosen(names)
    corpus = corpus or _own_corpus()
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    surveys = _read(resume)
    # Of a kernel that was surveyed before, the targets that were not.
    before = {kernel: surveys[kernel] for kernel in kernels if _is_kept(surveys.get(kernel))}
    todo = {kernel: _others(chosen, before.get(kernel)) for kernel in dict.fromkeys(kernels)}
    for kernel in [kernel for kernel, targets in todo.items() if not targets]:
        note(f"{kernel}: kept from {resume}")
        del todo[kernel]

    troubled: list[str] = []

    def keep(so_far: Survey) -> None:
        kernel = so_far.kernel
        if kernel not in before:
            surveys[kernel] = so_far
        elif so_far.is_complete and not so_far.trouble:
            surveys[kernel] = merged(before[kernel], so_far)
        elif so_far.trouble:
            note(f"{kernel}: {so_far.trouble}")
            troubled.append(kernel)
        if resume is not None:
            write(resume, json.dumps({"version": documents.VERSION, **_document(surveys.values())}, indent=1) + "\n")

    # The running kernel first, since the rights for it are not needed afterwards.
    for kernel in sorted(todo, key=lambda name: name != RUNNING):
        if kernel == RUNNING:
            folder = writable_folders([found])[0]
            plan = Plan(kernel, todo[kernel], corpus_in(corpus), seconds, seed, folder, replay_s)
            survey(plan, keep, lambda step: note(f"{RUNNING}: {step}"))
            _remove_empty(folder)
        else:
            rights.give_up()
            options = ["--seconds", str(seconds), "--replay", str(replay_s), "--seed", str(seed)]
            options += ["--cases", str(corpus.absolute())]
            options += itertools.chain.from_iterable(("--target", target.name) for target in todo[kernel])
            keep(_in_guest(kernel, suite or "", options, found, corpus, timeout))
    results = in_order(survey for kernel, survey in surveys.items() if kernel in kernels)
    if html is not None:
        from sockiter.survey.page import page  # here, since its imports are slow

        text = page(results, shlex.join(["sockiter", *sys.argv[1:]]))
        write(html, text)
        note_written(html, text)
    if as_json:
        print_json(_document(results))
    else:
        for line in lines(results):
            click.echo(line)
    if any(survey.news for survey in results):
        sys.exit(1)
    if troubled or not all(survey.is_good for survey in results):
        sys.exit(Unavailable.status)


def _chosen(names: Sequence[str]) -> list[KernelTarget]:
    words = expanded(names, [target.name for target in KERNEL_TARGETS])
    chosen = {kernel_target(name, KERNEL_TARGETS).name for name in words}
    return [target for target in KERNEL_TARGETS if target.name in chosen or not words]


def _in_guest(kernel: str, suite: str, options: Sequence[str], found: Path, corpus: Path, timeout: float) -> Survey:
    # The guest runs this command on its own kernel, and writes its survey to a file here after each step.
    folder = writable_folders([found / in_file_name(kernel.strip("./"))])[0]
    part = folder / _PART
    part.unlink(missing_ok=True)
    command = ["sh", "-c", _PREPARED, "sh", sys.executable, "-m", "sockiter", "kernels", RUNNING, *options]
    command += ["--found", str(folder), "--resume", str(part), "--json"]
    note(f"{kernel}: booting")
    account = worker.Account()
    order = {
        "do": "run",
        "kernel": kernel,
        "suite": suite,
        "command": command,
        "cases": [str(folder)],
        "reads": [str(corpus.absolute())],
        "timeout_s": timeout,
    }
    status = worker.hand_over(order, account)
    surveyed = _read(part).get(RUNNING, Survey(RUNNING))
    part.unlink(missing_ok=True)
    _remove_empty(folder)
    trouble = ""
    if not surveyed.is_complete:
        if status == worker.INTERRUPTED:
            raise KeyboardInterrupt
        trouble = account.report.get("trouble") or (
            f"the time limit of {timeout:g} s came first (--timeout)" if status == TIMED_OUT else f"status {status}"
        )
    return replace(surveyed, kernel=kernel, trouble=trouble)


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _own_corpus() -> Path:
    # In an installed package, or in a checkout.
    package = Path(sockiter.__file__).parent
    for folder in (package / "corpus", package.parent / "tests" / "cases"):
        if folder.is_dir():
            return folder
    raise Unavailable("this installation has no cases of the project; name a directory with --cases")


def _others(targets: Sequence[KernelTarget], before: Survey | None) -> list[KernelTarget]:
    known = {one.target for one in before.targets} if before else set()
    return [target for target in targets if target.name not in known]


def _is_kept(survey: Survey | None) -> bool:
    return survey is not None and survey.is_complete and not survey.trouble


def _read(path: Path | None) -> dict[str, Survey]:
    if path is None or not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {one["kernel"]: survey_of(one) for one in data["kernels"]}
    except OSError as error:
        raise Unavailable(f"{escaped(path)}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{escaped(path)}: expected a document of `sockiter kernels --json`") from None


def _document(surveys: Iterable[Survey]) -> dict[str, Any]:
    rows = in_order(surveys)
    return {
        "kernels": [document(survey) for survey in rows],
        "progression": [
            {
                "before": before.kernel,
                "after": after.kernel,
                "schemes": [{"target": target, "before": old, "after": new} for target, old, new in changes.schemes],
                "gone": [_change_json(change) for change in changes.gone],
                "new": [_change_json(change) for change in changes.new],
                "other": [_change_json(change) for change in changes.other],
                "appeared": list(changes.appeared),
                "vanished": list(changes.vanished),
            }
            for before, after, changes in progression(rows)
        ],
    }


def _change_json(change: CaseChange) -> dict[str, Any]:
    return {"target": change.target, "case": change.case, "before": list(change.before), "after": list(change.after)}
