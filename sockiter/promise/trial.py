"""A trial of a kernel: builds it where it is a source tree, boots it, and surveys it in the guest."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sockiter.claims import Hazard
from sockiter.errors import CannotJudge, InputError
from sockiter.files import escaped
from sockiter.promise.verdict import Tried
from sockiter.survey.survey import survey_of
from sockiter.vm import cache, worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How kernels are tried. `seconds` and `seed`: of random sequences. `found`: the folder of new cases, where the
    guest may write. `timeout_s`: the time limit of a guest."""

    hazards: Sequence[Hazard]
    seconds: float
    seed: int
    found: Path
    timeout_s: float
    kvm: bool
    verbose: bool


def tried(
    kernel: str, targets: Mapping[str, str | None], corpus: Sequence[Path], trial: Trial, *, patch: Path | None = None
) -> Tried:
    """Try a kernel: a source tree, an image, or a package.

    `targets`: each with the scheme that it is meant to have, or None. `corpus`: folders of cases to replay. `patch`: is
    applied to a copy of the tree. A trial that is cut short, by its time limit or by a crash of the kernel, has a `trouble`.
    Raises `CannotJudge` if the kernel cannot be built or booted, and `InputError` for wrong input.
    """
    report = trial.found / f".promise-{os.getpid()}.json"
    with tempfile.TemporaryDirectory(prefix="sockiter-promise-") as folder:
        if is_source(Path(kernel)):
            tree = {"tree": os.path.abspath(kernel), "patch": patch and os.path.abspath(patch), "to": folder}
            status, account = _handed_over({"do": "build-tree", **tree})
            if status:
                raise CannotJudge(account.report["trouble"])
            image = account.report["image"]
        elif patch is not None:
            raise InputError(f"--patch {escaped(patch)}: {escaped(kernel)} is no source tree: expected one to apply it to")
        else:
            image = kernel
        paths = [os.path.abspath(path) for path in corpus]
        order = {
            "targets": dict(targets),
            "corpus": paths,
            "hazards": list(trial.hazards),
            "seconds": trial.seconds,
            "seed": trial.seed,
            "found": str(trial.found),
            "report": str(report),
            "shows_progress": sys.stderr.isatty(),
        }
        guest = {
            "command": [sys.executable, "-m", "sockiter.promise.observe", json.dumps(order)],
            "cases": [str(trial.found)],
            "reads": paths,
            "timeout_s": trial.timeout_s,
            "kvm": trial.kvm,
            "verbose": trial.verbose,
        }
        try:
            status, account = _handed_over({"do": "run", "kernel": image, **guest})
            trouble = account.report.get("trouble") or f"the trial ended with status {status}"
            if not report.exists():
                raise CannotJudge(f"{escaped(kernel)}: {trouble}")
            found = json.loads(report.read_text(encoding="utf-8"))
        finally:
            report.unlink(missing_ok=True)
    return Tried(survey_of(found["survey"]), found["schemes"], trouble if status else "")


def is_source(path: Path) -> bool:
    """Whether a path is taken for a source tree: a folder without an image of a kernel and without packages."""
    return path.is_dir() and cache.image_in(path) is None and not any(path.glob("*.deb"))


def _handed_over(order: Mapping[str, Any]) -> tuple[int, worker.Account]:
    # The status and the account of a worker that has carried out an order; raises an interrupt and an error in the input.
    account = worker.Account()
    status = worker.hand_over({**order, "is_silent": True}, account)
    if status == worker.INTERRUPTED:
        raise KeyboardInterrupt
    if status == InputError.status and "trouble" in account.report:
        raise InputError(account.report["trouble"])
    return status, account
