"""Surveys the running kernel for a promise: a program of its own, which a guest runs.

Its argument is an order in JSON. The report is a file, written anew after each step: a kernel that crashes loses no result.
Progress goes to standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sockiter.claims import hazards_of
from sockiter.errors import SockiterError
from sockiter.files import write_whole
from sockiter.kernel.target import KernelTarget
from sockiter.promise.promised import promised
from sockiter.survey.survey import RUNNING, Plan, Survey, corpus_in, document, survey
from sockiter.targets import target_named


def main(text: str) -> int:
    """Carry out an order, and return the exit status.

    An order has the `targets`, each with the scheme that it is meant to have or null; `corpus`, the folders of cases to
    replay; `hazards`, those that are tried, or none for all; `seconds` and `seed` of the survey; `found`, the folder of new
    cases; `report`, the file of the report, with `survey` and with the detected `schemes`; and `shows_progress`.
    """
    order = json.loads(text)
    try:
        _carry_out(order)
    except (SockiterError, OSError) as error:
        _show(str(error))
        return error.status if isinstance(error, SockiterError) else 3
    return 0


def _carry_out(order: dict[str, Any]) -> None:
    targets = {name: target_named(name) for name in order["targets"]}
    note = _show if order["shows_progress"] else lambda line: None
    detected: dict[str, str | None] = {}
    meant = []
    for name, target in targets.items():
        assert isinstance(target, KernelTarget)
        detected[name] = target.detected_scheme if target.missing() is None else None
        scheme = order["targets"][name] or detected[name]
        meant.append(promised(target, scheme, order["hazards"]))
        note(f"{name}: detected as {detected[name] or 'no known scheme'}, judged as {scheme or 'no known scheme'}")
    hazards = frozenset(order["hazards"])
    corpus = {name: case for folder in order["corpus"] for name, case in corpus_in(Path(folder)).items()}
    if hazards:
        corpus = {name: case for name, case in corpus.items() if hazards_of(case.operations) <= hazards}
    plan = Plan(RUNNING, meant, corpus, order["seconds"], order["seed"], Path(order["found"]))

    def keep(so_far: Survey) -> None:
        write_whole(Path(order["report"]), json.dumps({"survey": document(so_far), "schemes": detected}))

    survey(plan, keep, note)


def _show(line: str) -> None:
    print(f"sockiter: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
