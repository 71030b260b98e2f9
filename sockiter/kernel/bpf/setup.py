"""The set-up of a session on a BPF iterator: the iterating program, and the stops of its reads.

Some parts are optional: if the kernel lacks them, the session does not support some hazards.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from sockiter.claims import Hazard
from sockiter.errors import Unavailable
from sockiter.kernel.bpf.btf import kernel_function
from sockiter.kernel.bpf.faults import need_faults
from sockiter.kernel.bpf.loader import Walker, shared_page, walker
from sockiter.kernel.bpf.programs import PAGE, BucketSource, record_program
from sockiter.kernel.bpf.stops import Stops, attach_stops, stoppable_reads


@dataclass(frozen=True, slots=True)
class LoadedIterator:
    """An iterating program, and the hazards of its reads. `stops`: stops its reads, None if they cannot be stopped.

    `destroys`: whether it can destroy a socket (bpf_sock_destroy, Linux 6.5). `unable`: unsupported hazards with the
    reasons.
    """

    walker: Walker
    stops: Stops | None
    destroys: bool
    unable: Mapping[Hazard, str]


def load_iterator(stack: ExitStack, family: str, bucket: BucketSource, *, destroys: bool = True) -> LoadedIterator:
    """The program of bpf_iter_<family>, loaded until the stack ends, with the best stops that this kernel supports.

    Raises `Unavailable` if the kernel lacks the iterator.
    """
    function = f"bpf_iter_{family}"
    page, words = stack.enter_context(shared_page(PAGE))
    unable: dict[Hazard, str] = {}
    destroy = _destroy() if destroys else None
    try:
        stack.enter_context(attach_stops(family, page))
        at_entry = True
    except Unavailable as lack:
        unable["realloc"] = f"functions of this kernel cannot be traced: {lack}"
        at_entry = False
    try:
        program = record_program(bucket, page=page, destroy=destroy, stops=not at_entry)
        loaded = stack.enter_context(walker(function, program))
        stops = stack.enter_context(stoppable_reads(words, at_entry=at_entry))
    except Unavailable as lack:
        loaded = stack.enter_context(walker(function, record_program(bucket)))
        why = f"a read cannot be stopped, which requires Linux 6.9 or later: {lack}"
        return LoadedIterator(loaded, None, False, dict.fromkeys(("show", "realloc", "enomem"), why))
    try:
        need_faults()
        if not at_entry:
            unable["enomem"] = unable["realloc"]
    except Unavailable as lack:
        unable["enomem"] = str(lack)
    return LoadedIterator(loaded, stops, destroy is not None, unable)


def _destroy() -> int | None:
    try:
        return kernel_function("bpf_sock_destroy")
    except Unavailable:
        return None  # before Linux 6.5
