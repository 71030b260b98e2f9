"""`nsid-count`: the dump of the ids of peer network namespaces before Linux 6.10, by a count.

Models rtnl_net_dumpid and rtnl_net_dumpid_one of net/core/net_namespace.c, Linux 4.0 to 6.9: a number of ids in cb->args[0].
The ids are in an idr, in their order. So a new id enters at the head if it is lower than all others, and at the tail if it
is higher. An id leaves when its namespace ends.
"""

from __future__ import annotations

from sockiter.claims import Hazard, KnownFailure, known_failure
from sockiter.schemes.one_list import OneList
from sockiter.schemes.versions import mainline


class NsidCount(OneList):
    """Claims: no stale id, always an end, no error; no skip without a removal; no repeat without an addition at the head."""

    name = "nsid-count"
    summary = f"count of ids seen ({mainline('nsid-count')})"
    hazards: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove"})
    known_failures: tuple[KnownFailure, ...] = (known_failure("skip", "remove"), known_failure("repeat", "add-head"))
