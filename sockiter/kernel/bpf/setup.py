"""What sessions on BPF iterators are set up with: the iterating program, and what stops its reads.

Decided here: what of it a session goes without where the kernel does not have it, and what it then cannot do. Not known
here: which sockets are walked.
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
from sockiter.kernel.bpf.programs import PAGE, BucketAt, writes_a_record
from sockiter.kernel.bpf.stops import Halts, halting, watching


@dataclass(frozen=True, slots=True)
class Iterating:
    """An iterating program, and what its reads can be put through. `halts`: how they are stopped, None if they cannot be.
    `destroys`: whether it can destroy a socket (bpf_sock_destroy, Linux 6.5). `unable`: what cannot be done, and why."""

    walker: Walker
    halts: Halts | None
    destroys: bool
    unable: Mapping[Hazard, str]


def iterating(stack: ExitStack, family: str, bucket: BucketAt, *, destroys: bool = True) -> Iterating:
    """The program of bpf_iter_<family>, loaded until the stack ends, with the best that this kernel has to stop its reads;
    raises `Unavailable` where it has not even the iterator."""
    function = f"bpf_iter_{family}"
    page, words = stack.enter_context(shared_page(PAGE))
    unable: dict[Hazard, str] = {}
    destroy = _destroy() if destroys else None
    try:
        stack.enter_context(watching(family, page))
        at_entry = True
    except Unavailable as lack:
        unable["realloc"] = f"functions of this kernel cannot be watched: {lack}"
        at_entry = False
    try:
        program = writes_a_record(bucket, page=page, destroy=destroy, stops=not at_entry)
        loaded = stack.enter_context(walker(function, program))
        halts = stack.enter_context(halting(words, at_entry=at_entry))
    except Unavailable as lack:
        loaded = stack.enter_context(walker(function, writes_a_record(bucket)))
        why = f"a read of it cannot be stopped, as since Linux 6.9: {lack}"
        return Iterating(loaded, None, False, dict.fromkeys(("show", "realloc", "enomem"), why))
    try:
        need_faults()
        if not at_entry:
            unable["enomem"] = unable["realloc"]
    except Unavailable as lack:
        unable["enomem"] = str(lack)
    return Iterating(loaded, halts, destroy is not None, unable)


def _destroy() -> int | None:
    try:
        return kernel_function("bpf_sock_destroy")
    except Unavailable:
        return None  # as before 6.5
