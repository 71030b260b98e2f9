"""A case as statements of C: the table at open, and a call for each operation, each with a comment.

Decided here: the calls, and which parts of the program they need. Not known here: how these parts are written.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sockiter.cases import Case, spell
from sockiter.claims import Hazard
from sockiter.export.forms import ESTABLISHED, Form
from sockiter.operations import (
    Accept,
    Add,
    Again,
    Bucket,
    Change,
    Close,
    Destroy,
    End,
    Fail,
    Life,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    update_lives,
)

_COMMENT_WIDTH = 105
_KINDS: Mapping[type[Change], str] = {
    Add: "ENTERS",
    Reinsert: "MOVES",
    Rehash: "MOVES",
    Remove: "LEAVES",
    Close: "IS_SUCCEEDED",
    Accept: "IS_SUCCEEDED",
}
_PLAIN = re.compile(r"[A-Z][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class Variable:
    """A socket as a variable of C."""

    name: str
    variable: str
    unwanted: bool


@dataclass(frozen=True, slots=True)
class Step:
    """An operation: the lines of its comment, and its calls."""

    comment: Sequence[str]
    calls: Sequence[str]


@dataclass(frozen=True, slots=True)
class Inside:
    """A change inside a read, as a function of its own. `sock`: its socket; `kind`: a constant of the program."""

    nth: int
    sock: str
    kind: str
    function: str
    calls: Sequence[str]


@dataclass(slots=True)
class Steps:
    """All steps of a case. `uses`: the parts of a program that they need. `inside`: the changes inside reads.

    `pairs`: buckets between which a socket is moved by its address. `placements`: how often sockets enter each bucket, of
    the established ones apart for requests. `numbers`: of all buckets.
    """

    sockets: list[Variable] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)
    inside: list[list[Inside]] = field(default_factory=list)
    pairs: dict[tuple[int, int], None] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)
    listening: int = 0
    connections: dict[int, int] = field(default_factory=dict)
    requests: dict[int, int] = field(default_factory=dict)


def steps_of(case: Case, form: Form, tables: Sequence[str], in_place: frozenset[Hazard]) -> Steps:
    """The steps of a case. `in_place`: of close and accept those whose successor takes its predecessor's place."""
    return _Builder(case, form, tables, in_place).steps


class _Builder:
    def __init__(self, case: Case, form: Form, tables: Sequence[str], in_place: frozenset[Hazard]) -> None:
        self._form = form
        self._first = tables[0]
        self._in_place = in_place
        self.steps = Steps()
        self._variables = _variables(case.operations)
        self._order: dict[Bucket, list[str]] = {}
        self._where: dict[str, Bucket] = {}
        self._homes: dict[str, int] = {}
        self._lives: dict[str, Life] = {}
        self._entries: set[str] = set()  # sockets that are request sockets, or connections in TIME_WAIT
        self._bound: set[str] = set()
        unwanted: set[str] = set()
        for op in case.operations:
            for change in changes(op):
                if isinstance(change, Add) and "unwanted" in change.properties:
                    unwanted.add(change.name)
        if unwanted:
            self._use("unwanted")
        self.steps.sockets = [Variable(name, of, name in unwanted) for name, of in self._variables.items()]
        # What a comment says of a call may depend on a later operation.
        opened = case.operations.index(Open())
        self._has_tail = form.is_v6 and any(
            isinstance(change, (Add, Reinsert)) and change.end == "tail"
            for op in case.operations[opened:]
            for change in changes(op)
        )
        if self._has_tail:
            self._use("tail")
        self.steps.numbers = {
            change.bucket.number for op in case.operations for change in changes(op) if isinstance(change, (Add, Rehash))
        }
        self._several = bool(self.steps.numbers - {0}) or any(
            isinstance(change, Rehash) for op in case.operations for change in changes(op)
        )
        if form.kind != "tcp" and self._several:
            self._use("learn")
        for op in case.operations[:opened]:
            for change in changes(op):
                self._arrange(change)
        self._fill()
        self._step(["open: the walk begins."], ["open_first();"])
        for op in case.operations[opened + 1 :]:
            self._carry_out(op)

    def _use(self, *parts: str) -> None:
        self.steps.uses.update(parts)

    def _step(self, comment: Iterable[str], calls: Sequence[str]) -> None:
        lines = [line for paragraph in comment for line in textwrap.wrap(harmless(paragraph), _COMMENT_WIDTH)]
        self.steps.steps.append(Step(lines, calls))

    def _place(self, bucket: Bucket) -> Bucket:
        return Bucket(bucket.number, bucket.table or self._first)

    def _is_established(self, bucket: Bucket) -> bool:
        return bucket.table == ESTABLISHED

    # Before open.

    def _arrange(self, change: Change) -> None:
        name = change.name
        if isinstance(change, Add):
            place = self._place(change.bucket)
            if "bound" in change.properties:
                self._bound.add(name)
            self._homes[name] = place.number
            update_lives(self._lives, change)
            self._enter(name, place, change.end)
            return
        place = self._where[name]
        names = self._order[place]
        match change:
            case Close() | Accept():
                update_lives(self._lives, change)
                if ("close" if isinstance(change, Close) else "accept") not in self._in_place:
                    names.remove(name)
                    names.insert(0, name)
            case Destroy() if name in self._bound:
                self._move(name, Bucket(self._homes[name], place.table))
            case Remove() | Destroy():
                names.remove(name)
                del self._where[name]
            case Reinsert(_, end):
                names.remove(name)
                self._enter(name, place, end)
            case _:
                assert isinstance(change, Rehash)
                self._move(name, self._place(change.bucket))

    def _move(self, name: str, to: Bucket) -> None:
        if self._where[name] != to:
            self._order[self._where[name]].remove(name)
            self._enter(name, to, "head")

    def _enter(self, name: str, place: Bucket, end: End) -> None:
        names = self._order.setdefault(place, [])
        names.insert(0 if end == "head" else len(names), name)
        self._where[name] = place

    def _fill(self) -> None:
        for place, names in self._order.items():
            if not names:
                continue
            calls: list[str] = []
            for name in reversed(names):
                home = self._homes[name] if name in self._bound else place.number
                self._homes[name] = home
                calls += self._add(name, "head", Bucket(home, place.table))
                if home != place.number:
                    calls += self._rehash(name, place)
                if self._lives.get(name) == "closed":
                    calls += self._close(name)
            bucket = f"bucket {place}" if self._several or self._form.kind == "tcp" else "the bucket"
            self._step([f"The table at open, from head to tail of {bucket}: {' '.join(names)}."], calls)

    # From open on.

    def _stopped_read(self, op: Read) -> None:
        self._use("stops")
        words, *lines = spell(op)
        written: list[Inside] = []
        number = len(self.steps.inside) + 1
        self.steps.inside.append(written)
        step = len(self.steps.steps)
        for nth, at in enumerate(op.at, start=1):
            assert not isinstance(at.what, (Fail, Destroy))
            stays = isinstance(at.what, Rehash) and self._where[at.what.name] == self._place(at.what.bucket)
            self._carry_out(at.what)
            # The comment of the read has the lines of its changes.
            calls = self.steps.steps.pop().calls
            kind = "STAYS" if stays else _KINDS[type(at.what)]
            if kind == "LEAVES" and self._form.kind != "unix":
                self._use("doomed")
            written.append(Inside(at.nth, self._of(at.what.name), kind, f"inside_{number}_{nth}", calls))
        assert len(self.steps.steps) == step
        comment = [f"{words}: {_read_in_words(op)}. Inside:", *(line.strip() for line in lines)]
        begin = f"begin_changes(inside_{number}, {len(written)});"
        self._step(comment, [begin, *self._read(op), "end_changes();"])

    def _carry_out(self, op: Operation) -> None:
        words = spell(op)[0]
        match op:
            case Again():
                self._use("again")
                self._step([f"{words}: a second walk."], ["open_again();"])
            case Read(at=()):
                self._step([f"{words}: {_read_in_words(op)}."], self._read(op))
            case Read():
                self._stopped_read(op)
            case Add(name, end, bucket, properties):
                place = self._place(bucket)
                if "bound" in properties:
                    self._bound.add(name)
                update_lives(self._lives, op)
                self._homes[name] = place.number
                self._step([f"{words}: a new socket enters the table."], self._add(name, end, place))
            case Remove(name):
                self._step([f"{words}: {self._removal(name)}."], self._remove(name))
            case Reinsert(name, end):
                self._step([f"{words}: {self._reinsertion(name)}."], self._reinsert(name, end))
            case Rehash(name, bucket):
                self._step(
                    [f"{words}: {self._movement(name, self._place(bucket))}."], self._rehash(name, self._place(bucket))
                )
            case Close(name):
                self._step(
                    [f"{words}: both sides close the connection, and it goes on as one in TIME_WAIT."], self._close(name)
                )
            case Accept(name):
                self._use("accept")
                self._entries.discard(name)
                self._step([f"{words}: the handshake completes."], [f"accept_connection({self._of(name)});"])
            case _:
                assert isinstance(op, Destroy)
                how = "SOCK_DESTROY" if self._form.kind == "tcp" else "bpf_sock_destroy, in a walk of its own"
                self._step([f"{words}: by {how}."], self._destroy(op.name))

    def _of(self, name: str) -> str:
        return f"&{self._variables[name]}"

    def _add(self, name: str, end: End, place: Bucket) -> list[str]:
        self._where[name] = place
        numbered = [str(place.number)]
        ends = [end.upper()] if self._has_tail else []
        if self._lives.get(name) == "request":
            self._use("request", "established")
            self._entries.add(name)
            self.steps.requests[place.number] = self.steps.requests.get(place.number, 0) + 1
            return [f"add_request({', '.join([self._of(name), *numbered])});"]
        self._use("remember")
        match self._form.kind:
            case "unix":
                return [f"add({', '.join([self._of(name), *(numbered if self._several else [])])});"]
            case "udp":
                self._use("bound" if name in self._bound else "add_plain")
                verb = "add_bound" if name in self._bound else "add"
                return [f"{verb}({', '.join([self._of(name), *ends, *(numbered if self._several else [])])});"]
        self._count(place)
        if self._is_established(place):
            self._use("add_established")
            return [f"add_established({', '.join([self._of(name), *numbered])});"]
        self._use("add_listening")
        return [f"add_listening({', '.join([self._of(name), *ends, *numbered])});"]

    def _remove(self, name: str) -> list[str]:
        self._use("remove")
        if name in self._entries:
            self._use("remove_entry")
        return [f"remove_sock({self._of(name)});"]

    def _removal(self, name: str) -> str:
        return "a reset from the peer ends it" if name in self._entries else "close(2)"

    def _reinsert(self, name: str, end: End) -> list[str]:
        self._use("reinsert")
        place = self._where[name]
        self._homes[name] = place.number
        self._count(place)
        return [f"reinsert({', '.join([self._of(name), *([end.upper()] if self._has_tail else [])])});"]

    def _reinsertion(self, name: str) -> str:
        if self._form.kind == "udp":
            return "disconnected, it leaves its bucket; bound again, it enters it"
        if self._is_established(self._where[name]):
            return "disconnected, it leaves its bucket; connected again, it enters it"
        return "shutdown(2) takes it out of its bucket; listening again, it enters it"

    def _rehash(self, name: str, place: Bucket) -> list[str]:
        self._use("rehash")
        self._where[name] = place
        if self._form.kind == "udp":
            if place.number != self._homes[name]:
                self.steps.pairs[self._homes[name], place.number] = None
            return [f"rehash({self._of(name)}, {place.number});"]
        self._count(place)
        verb = "rehash_established" if self._is_established(place) else "rehash_listening"
        self._use(verb)
        return [f"{verb}({self._of(name)}, {place.number});"]

    def _movement(self, name: str, place: Bucket) -> str:
        if self._form.kind == "udp":
            return "connect(2) moves it" if self._form.walk == "bpf" else "bound to another port, it moves"
        if self._is_established(place):
            return "it is connected to another port of the peer"
        return "it listens on another port"

    def _close(self, name: str) -> list[str]:
        self._use("close")
        self._entries.add(name)
        return [f"close_connection({self._of(name)});"]

    def _destroy(self, name: str) -> list[str]:
        self._use("destroy")
        if name in self._entries:
            self._use("remove_entry")
        return [f"destroy({self._of(name)});"]

    def _count(self, place: Bucket) -> None:
        if self._form.kind != "tcp":
            return
        if self._is_established(place):
            self._use("established", "put_established")
            self.steps.connections[place.number] = self.steps.connections.get(place.number, 0) + 1
        else:
            self._use("listening")
            self.steps.listening += 1

    def _read(self, read: Read) -> list[str]:
        self._use("reads")
        if self._form.walk == "bpf":
            self._use(*(["silent"] if read.silent else []), *(["destroying"] if read.destroying else []))
        if read.unit == "bytes":
            self._use("bytes")
        if read.silent:
            verb = "walk_silently_until_error" if read.gives_up else "walk_silently"
        elif read.count is None:
            verb = "read_until_error" if read.gives_up else "read_all"
        else:
            verb = ""
            size = str(read.count) if read.unit == "bytes" else f"RECORDS({read.count})"
        if verb:
            self._use(verb)
            call = f"{verb}();"
        else:
            call = f"read_once({size}{{silently}});"
        if not read.destroying:
            return [call]
        return ["shared->mode |= DESTROYING;", call, "shared->mode &= ~(__u64)DESTROYING;"]


def _read_in_words(read: Read) -> str:
    if read.silent:
        words = "the program writes nothing, so that a read(2) walks to the end"
    elif read.count is None:
        words = f"read(2) until {'an error or ' if read.gives_up else ''}the end"
    else:
        words = f"one read(2) of {read.count} {read.unit if read.count > 1 else read.unit.removesuffix('s')}"
    return f"{words}; the program destroys each socket that it shows" if read.destroying else words


def _variables(operations: Sequence[Operation]) -> Mapping[str, str]:
    names = [change.name for op in operations for change in changes(op) if isinstance(change, Add)]
    return {name: name if _PLAIN.fullmatch(name) else f"sock_{nth}" for nth, name in enumerate(names, start=1)}


def harmless(text: str) -> str:
    """A text that neither ends nor begins a comment of C."""
    return text.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")
