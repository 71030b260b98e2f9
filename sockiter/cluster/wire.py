"""Jobs and messages as plain data: lists, dictionaries, numbers and texts, which mean the same on every machine.

A job goes to a worker, and its messages come back. Reading a message checks its form, and raises `Disbelieved` for one that
no worker of this version sends. Whether a finding in it happens at all is for `belief` to decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, get_args

from sockiter.cases import SUFFIX, Case, dumps, loads
from sockiter.claims import HAZARDS, Hazard, KnownFailure, in_order
from sockiter.errors import InputError
from sockiter.files import own_path
from sockiter.fuzzing.campaign import Began, Drawn, Ended, FuzzJob, Message, SavedFinding, Tick
from sockiter.fuzzing.drivers import DRIVERS
from sockiter.fuzzing.triage import FindingKey, TriagedFinding
from sockiter.verdict import Kind, Signature

Plain: TypeAlias = dict[str, Any]

# The most characters of a worker's text, such as the reason why it could not go on.
_TEXT_MAX = 2_000
_NUMBER_MAX = 10**15


class Disbelieved(Exception):
    """A worker sent something that no worker of this version sends, or that is not so."""


def job_data(job: FuzzJob, target: str, left_s: float) -> Plain:
    """A job for a worker on which the target has this name; the clocks of two machines have nothing in common."""
    return {
        "target": target,
        "driver": job.driver,
        "hazards": in_order(job.hazards),
        "seed": job.seed,
        "seconds": _finite(job.seconds),
        "since": job.since,
        "pending": sorted(map(failure_data, job.pending), key=repr),
        "investigated": sorted(map(_key_data, job.investigated), key=repr),
        "left_s": _finite(left_s),
        "sequences": job.sequences,
        "done": job.done,
    }


def job_of(data: Plain) -> FuzzJob:
    """The job; its worker saves nothing."""
    return FuzzJob(
        data["target"],
        data["driver"],
        frozenset(data["hazards"]),
        data["seed"],
        None,
        _infinite(data["seconds"]),
        data["since"],
        frozenset(map(failure_of, data["pending"])),
        frozenset(map(_key_of, data["investigated"])),
        _infinite(data["left_s"]),
        None,
        data["sequences"],
        data["done"],
    )


def message_data(message: Message) -> Plain:
    """A message of a job."""
    match message:
        case Began(setup_s):
            return {"is": "began", "setup_s": setup_s}
        case Tick(sequences, operations, seconds):
            return {"is": "tick", "sequences": sequences, "operations": operations, "seconds": seconds}
        case Drawn(found, seconds):
            return {"is": "drawn", "found": _found_data(found), "seconds": seconds}
        case SavedFinding(found, driver, seconds, _, _, after):
            return {"is": "found", "found": _found_data(found), "driver": driver, "seconds": seconds, "sequences": after}
    keys = sorted(map(_key_data, message.investigated), key=repr)
    return {"is": "ended", "investigated": keys, "trouble": message.trouble, "is_cut": message.is_cut}


def message_of(data: Any) -> Message:
    """The message; a finding has no file yet."""
    fields = _Fields(data)
    match fields.text("is"):
        case "began":
            return Began(fields.seconds("setup_s"))
        case "tick":
            return Tick(fields.count("sequences"), fields.count("operations"), fields.seconds("seconds"))
        case "drawn":
            return Drawn(_found_of(fields.get("found")), fields.seconds("seconds"))
        case "found":
            driver = fields.one_of("driver", tuple(DRIVERS))
            sequences = None if fields.get("sequences") is None else fields.count("sequences")
            return SavedFinding(_found_of(fields.get("found")), driver, fields.seconds("seconds"), None, sequences=sequences)
        case "ended":
            keys = frozenset(map(_key_of, fields.items("investigated")))
            return Ended(keys, fields.text("trouble"), fields.truth("is_cut"))
        case other:
            raise Disbelieved(f"no message of a worker is named {other!r}")


def failure_data(failure: KnownFailure) -> Plain:
    """A known failure."""
    return {**_signature_data(failure.signature), "hazards": in_order(failure.hazards)}


def failure_of(data: Any) -> KnownFailure:
    """The known failure."""
    fields = _Fields(data)
    return KnownFailure(fields.kind(), fields.hazards(), fields.truth("moved"), fields.truth("elsewhere"))


def hazards_of_data(names: Any) -> frozenset[Hazard]:
    """The hazards of these names."""
    return _Fields({"hazards": names}).hazards()


def text_of(case: Case) -> tuple[str, str]:
    """The text of a case, and the name of its file without the stem, which is made from its content."""
    return dumps(case), own_path(Path(), "", dumps(Case(case.operations, case.slots)), SUFFIX).name


def case_of(fields: Mapping[str, Any]) -> Case:
    """The case of a text that has the name of its content."""
    text, name = _Fields(fields).text("case", 1 << 20), _Fields(fields).text("name")
    try:
        case = loads(text)
    except InputError as error:
        raise Disbelieved(f"a case cannot be read: {error}") from None
    if text_of(case)[1] != name:
        raise Disbelieved(f"a case is named {name}, and its content {text_of(case)[1]}")
    return case


def _found_data(found: TriagedFinding) -> Plain:
    text, name = text_of(found.case)
    return {
        "target": found.target,
        **_signature_data(found.signature),
        "case": text,
        "name": name,
        "hazards": in_order(found.hazards),
        "known_failure": None if found.known_failure is None else failure_data(found.known_failure),
        "drawn": found.drawn,
        "reproduced": found.reproduced,
        "reruns": found.reruns,
        "shortest": found.shortest,
        "cut_short": found.cut_short,
    }


def _found_of(data: Any) -> TriagedFinding:
    fields = _Fields(data)
    known = fields.get("known_failure")
    return TriagedFinding(
        fields.text("target"),
        fields.kind(),
        fields.truth("moved"),
        case_of(data),
        fields.hazards(),
        None if known is None else failure_of(known),
        fields.count("drawn"),
        fields.count("reproduced"),
        fields.count("reruns"),
        fields.truth("shortest"),
        fields.truth("elsewhere"),
        fields.truth("cut_short"),
    )


def _signature_data(signature: Signature) -> Plain:
    return {"kind": signature.kind, "moved": signature.moved, "elsewhere": signature.elsewhere}


def _key_data(key: FindingKey) -> Plain:
    signature, hazards = key
    return {**_signature_data(signature), "hazards": in_order(hazards)}


def _key_of(data: Any) -> FindingKey:
    fields = _Fields(data)
    return Signature(fields.kind(), fields.truth("moved"), fields.truth("elsewhere")), fields.hazards()


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds


def _infinite(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


class _Fields:
    # The fields of a dictionary, each checked as it is read.

    def __init__(self, data: Any) -> None:
        if not isinstance(data, dict):
            raise Disbelieved(f"a worker sent a {type(data).__name__} instead of a dictionary")
        self._data = data

    def get(self, name: str) -> Any:
        if name not in self._data:
            raise Disbelieved(f"a worker sent no {name}")
        return self._data[name]

    def text(self, name: str, longest: int = _TEXT_MAX) -> str:
        value = self.get(name)
        return value if isinstance(value, str) and len(value) <= longest else self._wrong(name)

    def truth(self, name: str) -> bool:
        value = self.get(name)
        return value if isinstance(value, bool) else self._wrong(name)

    def count(self, name: str) -> int:
        value = self.get(name)
        return value if type(value) is int and 0 <= value < _NUMBER_MAX else self._wrong(name)

    def seconds(self, name: str) -> float:
        value = self.get(name)
        return float(value) if type(value) in (int, float) and 0 <= value < _NUMBER_MAX else self._wrong(name)

    def items(self, name: str) -> list[Any]:
        value = self.get(name)
        # Dask's events have tuples in place of lists.
        return [*value] if isinstance(value, (list, tuple)) else self._wrong(name)

    def one_of(self, name: str, known: tuple[str, ...]) -> str:
        value = self.get(name)
        return value if isinstance(value, str) and value in known else self._wrong(name)

    def kind(self) -> Kind:
        return self.one_of("kind", get_args(Kind))  # type: ignore[return-value]

    def hazards(self) -> frozenset[Hazard]:
        names = self.items("hazards")
        return frozenset(names) if all(name in HAZARDS for name in names) else self._wrong("hazards")

    def _wrong(self, name: str) -> Any:
        raise Disbelieved(f"a worker sent {self._data[name]!r:.100} as {name}")
