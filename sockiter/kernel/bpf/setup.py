"""The set-up of a session on a BPF iterator: the iterating program, and the stops of its reads.

Some parts are optional: if the kernel lacks them, the session does not support some hazards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from sockiter.claims import Hazard
from sockiter.errors import Unavailable
from sockiter.kernel.bpf.btf import kernel_function, kernel_member
from sockiter.kernel.bpf.faults import need_faults
from sockiter.kernel.bpf.loader import Walker, shared_array, walker, whole_walk
from sockiter.kernel.bpf.modes import LOG_SIZE, Modes
from sockiter.kernel.bpf.programs import (
    DESTROY,
    PAGE,
    RECORD,
    BucketSource,
    ElementSource,
    MarkOffsets,
    Unknown,
    record_program,
)
from sockiter.kernel.bpf.stops import Stops, attach_stops, stoppable_reads
from sockiter.readers import Feature


@dataclass(frozen=True, slots=True)
class LoadedIterator:
    """An iterating program, and the hazards of its reads. `stops`: stops its reads, None if they cannot be stopped.

    `destroys`: whether it can destroy a socket (bpf_sock_destroy, Linux 6.5). `unable`: unsupported hazards with the
    reasons; `lacks`: the same of features. `modes`: switches the program's modes.
    """

    walker: Walker
    stops: Stops | None
    destroys: bool
    unable: Mapping[Hazard, str]
    modes: Modes
    lacks: Mapping[Feature, str]


@dataclass(slots=True)
class _Parts:
    # The optional parts of a program, and the reasons against the others.
    log: int | None = None
    log_words: memoryview | None = None
    marks: MarkOffsets | None = None
    destroy: int | None = None
    no_log: str = ""
    no_marks: str = ""
    no_destroy: str = ""

    def leave_out(self, lack: Unavailable) -> None:
        why = f"this kernel does not load a program that stores records: {lack}"
        self.log = self.log_words = self.marks = None
        self.no_log = self.no_log or why
        self.no_marks = self.no_marks or why


def load_iterator(stack: ExitStack, family: str, bucket: BucketSource, *, destroys: bool = True) -> LoadedIterator:
    """The program of bpf_iter_<family>, loaded until the stack ends, with the best stops that this kernel supports.

    Raises `Unavailable` if the kernel lacks the iterator.
    """
    function = f"bpf_iter_{family}"
    page, words = stack.enter_context(shared_array(PAGE))
    parts = _parts(stack, destroys=destroys)
    unable: dict[Hazard, str] = {}
    try:
        stack.enter_context(attach_stops(family, page))
        at_entry = True
    except Unavailable as lack:
        unable["realloc"] = f"functions of this kernel cannot be traced: {lack}"
        at_entry = False

    def load(program: bytes) -> Walker:
        return stack.enter_context(walker(function, program))

    most = partial(record_program, bucket, page=page, destroy=parts.destroy, log=parts.log, marks=parts.marks)
    less = partial(record_program, bucket, page=page, destroy=parts.destroy)
    stops: Stops | None = None
    try:
        try:
            loaded = load(most(stops=not at_entry))
        except Unavailable as lack:
            loaded = load(less(stops=not at_entry))
            parts.leave_out(lack)
        stops = stack.enter_context(stoppable_reads(words, at_entry=at_entry))
        try:
            need_faults()
            if not at_entry:
                unable["enomem"] = unable["realloc"]
        except Unavailable as lack:
            unable["enomem"] = str(lack)
    except Unavailable as lack:
        why = f"a read cannot be stopped, which requires Linux 6.9 or later: {lack}"
        unable = dict.fromkeys(("show", "realloc", "enomem"), why)
        try:
            loaded = load(most())
        except Unavailable as lack_of_most:
            loaded = load(record_program(bucket))
            parts.leave_out(lack_of_most)
            parts.destroy = None
    if why := parts.no_destroy or parts.no_log:
        unable["destroying"] = why
    lacks: dict[Feature, str] = {}
    if parts.no_log:
        lacks["bytes"] = lacks["silent"] = parts.no_log
    if parts.no_marks:
        lacks["unwanted"] = parts.no_marks
    return LoadedIterator(loaded, stops, parts.destroy is not None, unable, Modes(words, parts.log_words), lacks)


def load_recorder(
    stack: ExitStack, function: str, element: ElementSource, about: bytes
) -> tuple[Walker, Modes, Mapping[Feature, str]]:
    """A program that records the elements of an iterator, loaded until the stack ends, without stops; raises `Unavailable`.

    `about`: as of `loader.walker`. Also the switch of its modes, and the features that this kernel lacks, with the reasons.
    """
    page, words = stack.enter_context(shared_array(PAGE))
    parts = _parts(stack, destroys=False)
    program = partial(record_program, Unknown(), element=element)
    try:
        loaded = stack.enter_context(walker(function, program(page=page, log=parts.log), about))
    except Unavailable as lack:
        loaded = stack.enter_context(walker(function, program(), about))
        parts.leave_out(lack)
    lacks: dict[Feature, str] = {"bytes": parts.no_log, "silent": parts.no_log} if parts.no_log else {}
    return loaded, Modes(words, parts.log_words), lacks


def load_destroyer(stack: ExitStack, family: str, bucket: BucketSource) -> Callable[[int], None]:
    """A function that destroys the socket with a given cookie, by bpf_sock_destroy in a walk of its own.

    Loaded until the stack ends; raises `Unavailable`, as the function does if it does not find the socket.
    """
    page, words = stack.enter_context(shared_array(PAGE))
    program = record_program(bucket, page=page, destroy=kernel_function("bpf_sock_destroy"))
    loaded = stack.enter_context(walker(f"bpf_iter_{family}", program))

    def destroy(cookie: int) -> None:
        words[DESTROY // 8] = cookie
        whole_walk(loaded)
        if words[DESTROY // 8]:
            words[DESTROY // 8] = 0
            raise Unavailable("bpf_sock_destroy: a walk for this purpose did not meet the socket")

    return destroy


def _parts(stack: ExitStack, *, destroys: bool) -> _Parts:
    parts = _Parts()
    if destroys:
        try:
            parts.destroy = kernel_function("bpf_sock_destroy")
        except Unavailable as lack:
            parts.no_destroy = f"a program cannot destroy sockets, which requires Linux 6.5 or later: {lack}"
    try:
        parts.log, parts.log_words = stack.enter_context(shared_array(RECORD.size, LOG_SIZE))
    except Unavailable as lack:
        parts.no_log = f"the program has no map for its records: {lack}"
    try:
        parts.marks = MarkOffsets(
            kernel_member("sock_common", "skc_state"),
            kernel_member("sock", "sk_mark"),
            kernel_member("inet_request_sock", "ir_mark"),
            kernel_member("inet_timewait_sock", "tw_mark"),
        )
    except Unavailable as lack:
        parts.no_marks = f"the program cannot see the mark of a socket: {lack}"
    return parts
