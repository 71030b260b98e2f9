"""`map-iter`: the BPF iterator over the elements of a BPF hash map keeps a bucket, and a count of the elements seen in it.

Models bpf_hash_map_seq_find_next and its callers of kernel/bpf/hashtab.c, Linux 5.10 to 7.1. No lock is held, only RCU. The
changes of the map are those of `map-next-key`.

Not modelled: changes while an element is shown. The element may be freed and used again at once, for another bucket, so that
the walk goes on there.
"""

from __future__ import annotations

from sockiter.claims import known_failure
from sockiter.schemes.dump import Dump
from sockiter.schemes.map_next_key import MAP, MAP_HAZARDS
from sockiter.schemes.scheme import FrameName
from sockiter.schemes.versions import mainline


class MapIter(Dump):
    """Claims: those of `Dump`, under the changes of a map."""

    name = "map-iter"
    summary = f"bucket, and count of elements seen in it ({mainline('map-iter')})"
    hazards = MAP_HAZARDS
    tables = MAP
    frame: FrameName = "bpf_seq"
    known_failures = (
        known_failure("skip", "remove"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("repeat", "add-head"),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "reinsert", moved=True),
    )
