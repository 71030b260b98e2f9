"""The frame of netlink dumps: a callback fills messages, and user space receives them.

Models netlink_dump, __netlink_dump_start and netlink_recvmsg of net/netlink/af_netlink.c (Linux 6.1 to 7.1) with a receive
buffer that has room for one message. The first message is filled at the request, each other one when the one before is
received. So a socket is shown earlier than it is delivered. A record that does not fit ends its message. A message without
records is the end of the dump.

A read returns the rest of one message, or else the next message. For a dump, the `batch` of a case is the number of records
that fit into a message. A reader that destroys sends a request for each record that a read returned, as `ss -K` does: the
next message was filled before.

Some callbacks keep a generation counter of their table in cb->seq; sock_diag does not. If it has changed since the last
message, the first record of the next one, or the end, has the flag NLM_F_DUMP_INTR (nl_dump_check_consistent).

Not modelled: changes while a message is filled.
"""

from __future__ import annotations

import sys
from typing import ClassVar

from sockiter.frames.frame import Walk
from sockiter.history import Returned
from sockiter.readers import Feature


class Netlink:
    """`slots`: the records of a message."""

    __slots__ = ("_error", "_filled", "_generation", "_has_changed", "_rest", "records_max")

    features: ClassVar[frozenset[Feature]] = frozenset({"again", "unwanted", "request", "bound"})
    record_bytes = 1

    def __init__(self, slots: int, line_bytes: int, records_max: int | None) -> None:
        # The rest of the message that is being read, and the next message.
        self._rest: tuple[str, ...] = ()
        self._filled: tuple[str, ...] = ()
        self._error: str | None = None
        # Of the next message: its generation, and whether that differs from the one before.
        self._generation = 0
        self._has_changed = False
        self.records_max = slots if records_max is None else records_max

    def open(self, walk: Walk) -> None:
        self._rest = ()
        self._generation = 0
        self._fill(walk)

    def read(self, walk: Walk, size: int, *, silent: bool) -> Returned:
        interrupted = False
        if not self._rest:
            interrupted, self._has_changed = self._has_changed, False
        if not self._rest and self._filled:
            self._rest, self._filled = self._filled, ()
            if self._error is None:
                self._fill(walk)
        elif not self._rest and self._error is not None:
            error, self._error = self._error, None
            return Returned((), error, interrupted=interrupted)
        records, self._rest = self._rest[:size], self._rest[size:]
        return Returned(records, interrupted=interrupted)

    def _fill(self, walk: Walk) -> None:
        produced, self._error = walk.run(sys.maxsize)
        self._filled = tuple(produced)
        before, self._generation = self._generation, walk.generation()
        self._has_changed = before not in (0, self._generation)
