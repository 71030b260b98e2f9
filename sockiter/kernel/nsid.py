"""The dump of the ids of peer namespaces as a target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sockiter.claims import Hazard
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.namespace import private
from sockiter.kernel.peers import ID_AT, ROUTE, Ids, ids_request, kept_peers
from sockiter.kernel.target import (
    DUMP_READS,
    NO_BATCH,
    NO_DESTROYING,
    NO_PROGRAM_IN_DUMP,
    NO_STOP,
    KernelTarget,
    SessionSetup,
)

_FINAL = "a namespace keeps its id until it ends"
_NEVER: dict[Hazard, str] = {
    **NO_STOP,
    **NO_BATCH,
    **NO_DESTROYING,
    **dict.fromkeys(("close", "accept"), "this list has no connections"),
    **dict.fromkeys(("reinsert", "rehash"), _FINAL),
    "destroy": _FINAL,
    "show": "the ids' lock is held while a message is filled",
}


@contextmanager
def _dump() -> Iterator[SessionSetup]:
    with private() as namespace, kept_peers(namespace) as peers:
        walk = DiagWalk(ids_request(), ID_AT, 4, ROUTE, "RTM_GETNSID").measured(Ids(peers))
        yield SessionSetup(namespace, walk, lambda _: Ids(peers))


KERNEL_NSID = KernelTarget(
    "kernel:nsid",
    "the running kernel's dump of the ids of peer network namespaces (RTM_GETNSID)",
    _dump,
    frozenset({"add-head", "add-tail", "remove"}),
    schemes=("nsid", "nsid-count"),
    buckets_max=1,
    slots=None,
    never=_NEVER,
    reads=DUMP_READS,
    never_reads=NO_PROGRAM_IN_DUMP,
)
