"""The kernel targets that have a C form, and the cases that a C program can carry out.

Decided here: what is refused, and why. Not known here: how an operation is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from sockiter.backend import Target, refusal, shape_of
from sockiter.cases import Case
from sockiter.claims import Hazard, hazards_of, in_order
from sockiter.errors import Unavailable
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Add, At, Close, Destroy, Operation, Read, changes
from sockiter.readers import SPELLED, Feature, features_of, lacking

Kind: TypeAlias = Literal["udp", "tcp", "unix"]
WalkKind: TypeAlias = Literal["bpf", "proc", "diag"]

ESTABLISHED = "established"
ESTABLISHED_BUCKETS = 16
LISTENING_BUCKETS = 64
OPERATIONS_MAX = 500
"""The most operations of a case in C: each is a statement."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a kernel target is written in C. `title`: what walks; `files`: the kernel's files that a report concerns."""

    title: str
    kind: Kind
    walk: WalkKind
    is_v6: bool
    files: tuple[str, ...]
    line_width: int = 0


_UDP, _TCP, _UNIX = "net/ipv4/udp.c", "net/ipv4/tcp_ipv4.c", "net/unix/af_unix.c"
_DIAG = "net/ipv4/inet_diag.c"

FORMS: Mapping[str, Form] = {
    "kernel:udp": Form("bpf_iter_udp", "udp", "bpf", True, (_UDP,)),
    "kernel:proc-udp": Form("/proc/net/udp", "udp", "proc", False, (_UDP,), 128),
    "kernel:udp-diag": Form("sock_diag's dump of UDP sockets", "udp", "diag", False, ("net/ipv4/udp_diag.c", _DIAG)),
    "kernel:tcp": Form("bpf_iter_tcp", "tcp", "bpf", True, (_TCP,)),
    "kernel:tcp-established": Form("bpf_iter_tcp", "tcp", "bpf", True, (_TCP,)),
    "kernel:proc-tcp": Form("/proc/net/tcp", "tcp", "proc", False, (_TCP,), 150),
    "kernel:tcp-diag": Form("sock_diag's dump of TCP sockets", "tcp", "diag", True, ("net/ipv4/tcp_diag.c", _DIAG)),
    "kernel:unix": Form("bpf_iter_unix", "unix", "bpf", False, (_UNIX,)),
    "kernel:unix-diag": Form("sock_diag's dump of UNIX sockets", "unix", "diag", False, ("net/unix/diag.c", _UNIX)),
}
"""The kernel targets that have a C form."""


# The programs' hazards and features. A target may support more.
_CHANGES: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove", "reinsert", "rehash", "destroy"})
_HAZARDS: Mapping[WalkKind, frozenset[Hazard]] = {
    "bpf": _CHANGES | {"close", "accept", "destroying", "show"},
    "proc": _CHANGES,
    "diag": _CHANGES,
}
_FEATURES: Mapping[WalkKind, frozenset[Feature]] = {
    "bpf": frozenset({"bytes", "silent", "again", "unwanted", "request", "bound"}),
    "proc": frozenset({"bytes", "again"}),
    "diag": frozenset({"again"}),
}


def form_of(target: Target) -> Form:
    """The C form of a target; raises `Unavailable` for a target without one."""
    if target.name not in FORMS:
        why = "no C form yet" if target.is_real else "only iterators of the kernel have a C form"
        raise Unavailable(f"{target.name}: {why}: expected one of {', '.join(FORMS)}")
    return FORMS[target.name]


def check(case: Case, target: Target, *, file: str = "", lines: Sequence[tuple[int, ...]] = ()) -> None:
    """Raise `Unavailable` if a C program for this target cannot carry out the case on any kernel.

    `file`: for the message. `lines`: the lines of each operation, and of those inside it, for the message.
    """
    before = f"{file}: " if file else ""
    try:
        form = form_of(target)
    except Unavailable as error:
        raise Unavailable(f"{before}{error}") from None
    assert isinstance(target, KernelTarget)
    for index, op in enumerate(case.operations):
        for nth, at in enumerate(op.at if isinstance(op, Read) else (), start=1):
            if (inside := _refused_inside(at, form)) is not None:
                where = f"{file}:{lines[index][nth]}: " if lines else before
                raise Unavailable(f"{where}`at {at.point} {at.nth}:` has no C form: {inside}")
    if (why := _refusal(case, target)) is not None:
        raise Unavailable(f"{before}{why}")


def _refused_inside(at: At, form: Form) -> str | None:
    if at.point != "show":
        return "a program of its own would have to stop the kernel at that point"
    if form.walk != "bpf":
        return "no program runs for the sockets of this walk"
    return "another program cannot walk to the socket meanwhile" if isinstance(at.what, Destroy) else None


def _refusal(case: Case, target: KernelTarget) -> str | None:
    operations = case.operations
    shape = shape_of(operations, slots=case.slots)
    if (why := refusal(cast(Target, _OnAnyKernel(target)), operations, shape)) is not None:
        return why.text
    walk = FORMS[target.name].walk
    if unknown := in_order(hazards_of(operations) - _HAZARDS[walk]):
        return f"{target.name}: no C form yet for {', '.join(unknown)}"
    if lacks := lacking(features_of(operations), _FEATURES[walk]):
        return f"{target.name}: no C form yet for {', '.join(SPELLED[feature] for feature in lacks)}"
    if not any(isinstance(op, Read) for op in operations):
        return "the case reads nothing, so there is nothing to reproduce"
    if not any(isinstance(change, Add) for op in operations for change in changes(op)):
        return "the case has no socket, so there is nothing to reproduce"
    if len(operations) > OPERATIONS_MAX:
        return f"the case has {len(operations):,} operations; a C program has at most {OPERATIONS_MAX}"
    if FORMS[target.name].kind == "tcp":
        for table, count in shape.buckets:
            most = ESTABLISHED_BUCKETS if (table or target.tables[0]) == ESTABLISHED else LISTENING_BUCKETS
            if count > most:
                return (
                    f"the kernel's table of {table or target.tables[0]} sockets has {most} buckets; the case needs {count}"
                )
    if any(isinstance(op, Read) and op.destroying for op in operations) and _has_entries(operations):
        return "a program cannot destroy request sockets and connections in TIME_WAIT"
    reads = [op for op in operations if isinstance(op, Read)]
    if any(read.at for read in reads) and any(read.destroying or read.silent or read.unit == "bytes" for read in reads):
        return "a case with changes inside a read has no C form if the program also stores or destroys what it shows"
    return None


class _OnAnyKernel:
    # A target with everything that it supports on some kernel. Another kernel than this one may run the program.

    def __init__(self, target: KernelTarget) -> None:
        self._target = target
        self.hazards = target.offers
        self.unable = target.never
        self.features = target.reads
        self.lacks = target.never_reads
        self.has_tail = "add-tail" in target.offers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


def _has_entries(operations: Sequence[Operation]) -> bool:
    return any(
        isinstance(change, Close) or (isinstance(change, Add) and "request" in change.properties)
        for op in operations
        for change in changes(op)
    )
