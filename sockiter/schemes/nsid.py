"""`nsid`: the dump of the ids of peer network namespaces, as `ip netns list-id` requests it.

Models rtnl_net_dumpid and rtnl_net_dumpid_one of net/core/net_namespace.c, Linux 6.10 to 7.1. The ids are in an idr, in
their order. Since commit 1514b06aff16, the callback also returns 0 when a record does not fit. So the first message is the
only one, and all ids behind it are skipped.
"""

from __future__ import annotations

from sockiter.claims import known_failure
from sockiter.schemes.nsid_count import NsidCount
from sockiter.schemes.versions import mainline

# No idr has so many ids.
_OVER = 1 << 31


class Nsid(NsidCount):
    """Claims: no repeat, no stale id, always an end, no error. All ids that fit into one message are dumped."""

    name = "nsid"
    summary = f"none: the first message is the only one ({mainline('nsid')})"
    known_failures = (known_failure("skip"),)

    def between_reads(self, place: int) -> int:
        return _OVER
