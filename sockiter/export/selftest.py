"""A case as a test function for the kernel's BPF selftests, on the program of their sock_iter_batch.c.

That program sees sockets of one family on the loopback address. So the test has sockets of a table that share a port, or,
for UDP, that have neighbouring ports.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from sockiter.cases import Case, dumps, spell
from sockiter.errors import Unavailable
from sockiter.export.forms import check, form_of
from sockiter.export.source import templates, tidied
from sockiter.export.steps import Step, Steps, harmless, steps_of
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Add, Again, Open, Operation, Read, Rehash, Reinsert, Remove, changes

_WIDTH = 75
_TARGETS = ("kernel:udp", "kernel:tcp")


def selftest(case: Case, target: KernelTarget, name: str) -> str:
    """The C source of a selftest; raises `Unavailable` for a case that the program of sock_iter_batch.c cannot follow."""
    check(case, target)
    if target.name not in _TARGETS:
        raise Unavailable(f"{target.name}: the selftest of socket iterators has programs for {' and '.join(_TARGETS)}")
    opened = case.operations.index(Open())
    operations = case.operations
    for op in operations:
        if why := _refusal(op, target):
            raise Unavailable(f"`{spell(op)[0]}` has no form as a selftest: {why}")
    kind = form_of(target).kind
    ends = {change.end for op in operations[opened:] for change in changes(op) if isinstance(change, (Add, Reinsert))}
    if kind == "tcp" and len(ends) == 2:
        raise Unavailable(f"{target.name}: sockets on one address all enter at the same end of the bucket, head or tail")
    is_v6 = kind == "udp" or ends != {"head"}
    steps = steps_of(case, form_of(target), target.tables, frozenset())
    several = bool(steps.numbers - {0})
    written = _Writer(steps, kind == "udp", several, is_v6).steps(operations)
    function = "sock_iter_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return tidied(
        templates()
        .get_template("selftest.c")
        .render(
            about=_about(case, target),
            kind=kind,
            v6=is_v6,
            family="AF_INET6" if is_v6 else "AF_INET",
            several=several,
            buckets=1 + max(steps.numbers),
            sockets=steps.sockets,
            variables=[socket.variable for socket in steps.sockets],
            uses={use: use in steps.uses for use in ("remove", "reinsert", "read_all")},
            again="again" in steps.uses,
            steps=written,
            function=function,
        )
    )


def _refusal(op: Operation, target: KernelTarget) -> str:
    match op:
        case Read(unit="bytes"):
            return "a read in bytes cuts records"
        case Read(silent=True) | Read(destroying=True):
            return "the program writes a record of each socket, and does nothing else"
        case Read(gives_up=True):
            return "an error fails the test"
        case Add(properties=properties) if properties:
            return f"no socket of a selftest is {' and '.join(properties)}"
        case Add(bucket=bucket) | Rehash(bucket=bucket) if bucket.table not in ("", target.tables[0]):
            return f"no socket of a selftest is in table {bucket.table}"
        case Add(bucket=bucket) if target.name == "kernel:tcp" and bucket.number:
            return "all listening sockets share an address and a port, and so a bucket"
        case Reinsert() if target.name == "kernel:tcp":
            return ""
        case Add() | Remove() | Read() | Open() | Again():
            return ""
    return "its sockets are bound to a port for good"


class _Writer:
    # The steps of a selftest. `steps` has the variables of the sockets.

    def __init__(self, steps: Steps, is_udp: bool, several: bool, is_v6: bool) -> None:
        self._variables = {socket.name: socket.variable for socket in steps.sockets}
        self._is_udp = is_udp
        self._several = several
        self._is_v6 = is_v6

    def steps(self, operations: Sequence[Operation]) -> list[Step]:
        opened = operations.index(Open())
        order: dict[int, list[str]] = {}
        for op in operations[:opened]:
            for change in changes(op):
                self._arrange(order, change)
        written = [
            Step(
                [f"From head to tail of {f'bucket {number}' if self._several else 'the bucket'}: {' '.join(names)}"],
                # TCP sockets of this family enter at the tail.
                [
                    line
                    for name in (names if not self._is_udp and self._is_v6 else reversed(names))
                    for line in self._add(name, number, at_tail=False)
                ],
            )
            for number, names in order.items()
            if names
        ]
        present = [name for names in order.values() for name in names]
        calls = [f"socks[{self._variables[name]}].is_owed = true;" for name in present]
        calls += ["iter_fd = bpf_iter_create(bpf_link__fd(link));", *_guarded('ASSERT_OK_FD(iter_fd, "bpf_iter_create")')]
        written.append(Step(["open"], calls))
        for op in operations[opened + 1 :]:
            written.append(Step([harmless(spell(op)[0])], self._calls(op)))
        return written

    def _arrange(self, order: dict[int, list[str]], change: Operation) -> None:
        match change:
            case Add(name, end, bucket):
                names = order.setdefault(bucket.number, [])
                names.insert(0 if end == "head" else len(names), name)
            case Remove(name):
                _bucket_of(order, name).remove(name)
            case _:
                assert isinstance(change, Reinsert)
                names = _bucket_of(order, change.name)
                names.remove(change.name)
                names.insert(0 if change.end == "head" else len(names), change.name)

    def _calls(self, op: Operation) -> list[str]:
        match op:
            case Add(name, end, bucket):
                return self._add(name, bucket.number, at_tail=end == "tail")
            case Remove(name):
                return [f"remove_sock({self._variables[name]});"]
            case Reinsert(name, _):
                return _guarded(f"reinsert_sock({self._variables[name]})")
            case Read(count=None):
                return ["read_all(iter_fd);"]
            case Read(count=count):
                return [f"read_socks(iter_fd, {count});"]
        return [
            "close(iter_fd);",
            "has_ended = false;",
            "iter_fd = bpf_iter_create(bpf_link__fd(link));",
            *_guarded('ASSERT_OK_FD(iter_fd, "bpf_iter_create")'),
        ]

    def _add(self, name: str, number: int, *, at_tail: bool) -> list[str]:
        words = [self._variables[name]]
        words += [str(number)] if self._several else []
        words += [str(at_tail).lower()] if self._is_udp else []
        return _guarded(f"add_sock({', '.join(words)})")


def _bucket_of(order: dict[int, list[str]], name: str) -> list[str]:
    return next(names for names in order.values() if name in names)


def _guarded(call: str) -> list[str]:
    return [f"if (!{call})", "\tgoto done;"]


def _about(case: Case, target: KernelTarget) -> list[str]:
    lines = [line for paragraph in case.comment for line in textwrap.wrap(harmless(paragraph), _WIDTH)]
    operations = [f"\t{harmless(line)}" for line in dumps(Case(case.operations)).splitlines()[2:]]
    return [
        *([*lines, ""] if lines else []),
        f"A case of sockiter on {target.name}:",
        "",
        *operations,
        "",
        "The file belongs into tools/testing/selftests/bpf/prog_tests.",
    ]
