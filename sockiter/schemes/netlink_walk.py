"""`netlink` and `proc-netlink`: the walks over the netlink sockets of a namespace by bpf_iter_netlink and /proc/net/netlink.

Both model netlink_seq_start, netlink_seq_next and __netlink_seq_next of net/netlink/af_netlink.c, Linux 4.10 to 7.1, over
the rhashtable walk of lib/rhashtable.c: each read starts a new walk over the tables of all protocols, and steps over as many
sockets as were read. A new socket enters a chain at its head.

The table here is that of one protocol. The sockets of later protocols are shown behind it, and are owed to nobody. There are
more of them than a case adds, so a walk that has come to its end has nothing more to show. Not modelled: a resize of the
table, which moves every socket, and begins the walk of a read anew.
"""

from __future__ import annotations

from sockiter.claims import Hazard, known_failure
from sockiter.schemes.one_by_one import Found, OneByOne, State
from sockiter.schemes.scheme import FrameName
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table

# All sockets of later protocols, and the place behind them.
_OTHERS = Socket("", 0)
_OVER = 1 << 31


class Netlink(OneByOne[int]):
    """Claims: no stale socket, always an end, no error; no skip without a removal; no repeat without an addition at the
    head. The count covers all chains."""

    name = "netlink"
    summary = f"count of sockets seen in all tables ({mainline('netlink')})"
    progress = "Rank"
    hazards: frozenset[Hazard] = frozenset({"add-head", "remove"})
    known_failures = (
        known_failure("skip", "remove", elsewhere=True),
        known_failure("repeat", "add-head", elsewhere=True),
    )
    start = 0

    def after(self, place: int, table: Table) -> Found[int] | None:
        if place == _OVER:
            return None
        left = place
        for chain in table.buckets:
            if left < len(chain):
                return Found(chain[left], place + 1)
            left -= len(chain)
        return Found(_OTHERS, _OVER)

    def place(self, state: State[int]) -> str:
        return "end" if state.place == _OVER else str(state.place)


class ProcNetlink(Netlink):
    """Claims: those of `netlink`."""

    name = "proc-netlink"
    summary = f"count of lines read of all tables ({mainline('proc-netlink')})"
    frame: FrameName = "seq_file"
    line_bytes = 92
