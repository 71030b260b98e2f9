"""The walks over a BPF hash map: loops over its keys, loops over its buckets, and the BPF iterator.

The module defines the set-up of a session for each walk. A map has no namespace; the sessions have one, as all have.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.frames.loop import RECORDS_MAX
from sockiter.kernel.bpf.hash_map import HashMap, hash_map
from sockiter.kernel.bpf.programs import Value
from sockiter.kernel.bpf.setup import load_recorder
from sockiter.kernel.libc import unavailable
from sockiter.kernel.maps.elements import ELEMENTS_MAX, MapElements
from sockiter.kernel.maps.keys import KEY_BYTES
from sockiter.kernel.maps.walks import BatchWalk, NextKeyWalk
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.target import NO_BATCH, NO_PROGRAM_IN_FILE, NO_STOP, KernelTarget, SessionSetup
from sockiter.kernel.walks import BpfWalk, Walk
from sockiter.readers import Feature
from sockiter.schemes.map_next_key import MAP, MAP_HAZARDS

_NO_SOCKET = "the elements of a map are no sockets"
_INSIDE_CALL = "nothing stops a call"
_NEVER: dict[Hazard, str] = {
    **NO_STOP,
    **NO_BATCH,
    **dict.fromkeys(("close", "accept", "destroy"), _NO_SOCKET),
    "destroying": "no program deletes the elements",
    "add-tail": "an update puts an element at the head",
    "rehash": "a key determines its bucket",
}
_NEVER_IN_LOOP: dict[Hazard, str] = {**_NEVER, "show": _INSIDE_CALL}
_NO_BYTES: dict[Feature, str] = {**NO_PROGRAM_IN_FILE, "bytes": "a call returns whole elements"}
_NO_MARK: dict[Feature, str] = {"unwanted": "an element has no mark"}


@contextmanager
def _next_key() -> Iterator[SessionSetup]:
    with _made() as (_, namespace, elements):
        yield _setup(namespace, elements, NextKeyWalk(elements))


@contextmanager
def _batch() -> Iterator[SessionSetup]:
    with _made() as (_, namespace, elements):
        if (error := elements.batch(None, 1).error) is not None:
            raise unavailable("bpf(BPF_MAP_LOOKUP_BATCH)", error)
        yield _setup(namespace, elements, BatchWalk(elements))


@contextmanager
def _iterator() -> Iterator[SessionSetup]:
    with _made() as (stack, namespace, elements):
        about = struct.pack("=I12x", elements.fd)
        walker, modes, lacks = load_recorder(stack, "bpf_iter_bpf_map_elem", Value(), about)
        setup = _setup(namespace, elements, BpfWalk(walker))
        yield SessionSetup(namespace, setup.walk, setup.make_elements, has_tail=False, modes=modes, lacks=lacks)


@contextmanager
def _made() -> Iterator[tuple[ExitStack, Namespace, HashMap]]:
    with ExitStack() as stack:
        namespace = stack.enter_context(private())
        yield stack, namespace, stack.enter_context(hash_map(KEY_BYTES, ELEMENTS_MAX))


def _setup(namespace: Namespace, elements: HashMap, walk: Walk) -> SessionSetup:
    def make(shape: Shape) -> MapElements:
        return MapElements(namespace, elements)

    return SessionSetup(namespace, walk, make, has_tail=False)


KERNEL_MAP_NEXT_KEY = KernelTarget(
    "kernel:map-next-key",
    "the running kernel's loop over the keys of a BPF hash map (BPF_MAP_GET_NEXT_KEY)",
    _next_key,
    MAP_HAZARDS,
    schemes=("map-next-key",),
    tables=MAP,
    slots=None,
    never=_NEVER_IN_LOOP,
    read_max=RECORDS_MAX,
    reads=frozenset({"again"}),
    never_reads=_NO_BYTES,
)
KERNEL_MAP_BATCH = KernelTarget(
    "kernel:map-batch",
    "the running kernel's batches of elements of a BPF hash map (BPF_MAP_LOOKUP_BATCH)",
    _batch,
    MAP_HAZARDS,
    schemes=("map-batch",),
    tables=MAP,
    slots=None,
    never=_NEVER_IN_LOOP,
    read_max=RECORDS_MAX,
    reads=frozenset({"again"}),
    never_reads=_NO_BYTES,
)
KERNEL_MAP_ITER = KernelTarget(
    "kernel:map-iter",
    "the running kernel's iterator over the elements of a BPF hash map (bpf_iter_bpf_map_elem)",
    _iterator,
    MAP_HAZARDS,
    schemes=("map-iter",),
    tables=MAP,
    slots=None,
    never={**_NEVER, "show": "an element that is freed while it is shown may be used again at once, for another bucket"},
    reads=frozenset({"bytes", "silent", "again"}),
    never_reads=_NO_MARK,
)
