"""`proc-conntrack`: /proc/net/nf_conntrack keeps a bucket, and a count of the entries read in it.

Models ct_seq_start, ct_seq_next and ct_get_next of net/netfilter/nf_conntrack_standalone.c, Linux 6.18: a bucket, and the
number of entries of this namespace to step over in it (skip_elems). No lock is held, only RCU. The changes of the table are
those of `conntrack`. Earlier releases count over the whole table, which all namespaces share.

Not modelled: an entry stands in the table twice, for both directions, and the count includes entries of the other direction.
"""

from __future__ import annotations

from sockiter.claims import known_failure
from sockiter.schemes.conntrack import Conntrack
from sockiter.schemes.dump import Dump
from sockiter.schemes.scheme import FrameName
from sockiter.schemes.versions import mainline


class ProcConntrack(Dump):
    """Claims: no skip without a removal, no repeat without an insertion; no stale entry, always an end, no error."""

    name = "proc-conntrack"
    summary = f"bucket, and count of entries read in it ({mainline('proc-conntrack')})"
    hazards = Conntrack.hazards
    frame: FrameName = "seq_file"
    line_bytes = 180
    known_failures = (known_failure("skip", "remove"), known_failure("repeat", "add-head"))
