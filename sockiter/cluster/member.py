"""The members of a cluster: the report that each makes on itself, and the kernel targets that run on some of them."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis

import sockiter
from sockiter.backend import Session
from sockiter.claims import Hazard, KnownFailure, in_order
from sockiter.cluster.wire import Disbelieved, Plain, failure_data, failure_of, hazards_of_data
from sockiter.errors import Unavailable
from sockiter.readers import Feature
from sockiter.targets import TARGETS
from sockiter.version import __version__

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def release() -> str:
    """This version of sockiter, with eight letters that stand for the text of its modules, and that of Hypothesis.

    With the same release, the same seed draws the same sequences.
    """
    package = Path(sockiter.__file__).parent
    content = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return f"sockiter {__version__} ({content.hexdigest()[:8]}) with Hypothesis {hypothesis.__version__}"


def boot_id() -> str:
    """The identity of this boot of the kernel; "" where the system has none."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def identity() -> Plain:
    """The versions, the kernel, the boot and the user of this process. It costs nothing."""
    return {
        "release": release(),
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "boot_id": boot_id(),
        "host": socket.gethostname(),
        "user": os.geteuid(),
    }


def abilities(names: Iterable[str]) -> Plain:
    """Which of these targets run here. To probe a kernel takes seconds."""
    asked = frozenset(names)
    lacks = [(target, target.missing()) for target in TARGETS if target.name in asked]
    return {
        "models": [target.name for target, lack in lacks if lack is None and not target.is_real],
        "kernel_targets": [
            {
                "name": target.name,
                "summary": target.summary,
                "hazards": in_order(target.hazards),
                "known_failures": list(map(failure_data, target.known_failures)),
                "detected_scheme": target.detected_scheme,
            }
            for target, lack in lacks
            if lack is None and target.is_real
        ],
        "missing": {target.name: lack for target, lack in lacks if lack is not None},
    }


@dataclass(frozen=True)
class RemoteTarget:
    """A kernel target of some members, on one kernel. Only they have sessions of it."""

    target: str
    kernel: str
    summary: str
    hazards: frozenset[Hazard]
    known_failures: tuple[KnownFailure, ...]
    detected_scheme: str | None
    progress: str = ""
    unable: Mapping[Hazard, str] = field(default_factory=dict, compare=False)
    features: frozenset[Feature] = frozenset()
    lacks: Mapping[Feature, str] = field(default_factory=dict, compare=False)
    in_place: frozenset[Hazard] = frozenset()
    has_tail: bool = True
    tables: tuple[str, ...] = ("",)
    buckets_max: int | None = None
    slots: int | None = None
    is_real: bool = True

    @property
    def name(self) -> str:
        return f"{self.target} ({self.kernel})"

    def missing(self) -> str | None:
        """Some members have it."""
        return None

    def session(self) -> AbstractContextManager[Session]:
        raise Unavailable(f"{self.name} runs on other machines")


@dataclass(frozen=True)
class Identity:
    """The process of a member, as the member reports it. Members with equal identities can do the same jobs."""

    release: str
    python: str
    kernel: str
    boot_id: str
    host: str
    user: int

    @classmethod
    def of(cls, data: Any) -> Identity:
        """The identity that a member sent; raises `Disbelieved` for another form."""
        try:
            kernel, machine = str(data["kernel"]), str(data["machine"])
            where = kernel if machine == platform.machine() else f"{kernel} {machine}"
            boot, host = str(data["boot_id"]), str(data["host"])
            return cls(str(data["release"]), str(data["python"]), where, boot, host, int(data["user"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Disbelieved(f"its identity has another form: {error!r}") from None


@dataclass(frozen=True)
class Abilities:
    """The targets that run on a member, and what the others lack there."""

    models: frozenset[str]
    targets: tuple[RemoteTarget, ...]
    missing: Mapping[str, str]

    @classmethod
    def of(cls, data: Any, kernel: str) -> Abilities:
        """The abilities that a member sent; raises `Disbelieved` for another form."""
        try:
            targets = tuple(
                RemoteTarget(
                    str(each["name"]),
                    kernel,
                    str(each["summary"]),
                    hazards_of_data(each["hazards"]),
                    tuple(map(failure_of, each["known_failures"])),
                    each["detected_scheme"],
                )
                for each in data["kernel_targets"]
            )
            missing = {str(name): str(why) for name, why in data["missing"].items()}
            return cls(frozenset(map(str, data["models"])), targets, missing)
        except (KeyError, TypeError, AttributeError) as error:
            raise Disbelieved(f"its abilities have another form: {error!r}") from None

    def can(self, place: str) -> bool:
        """Whether the target of that name runs there."""
        return place in self.models or any(target.name == place for target in self.targets)
