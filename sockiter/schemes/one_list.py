"""A base class for dumps of one list: the place is a count of the elements that were looked at.

A callback of such a dump steps over as many elements of the list as it has counted, and goes on until a record does not fit.
No case changes the list while a message is filled.
"""

from __future__ import annotations

from sockiter.schemes.one_by_one import Found, OneByOne
from sockiter.schemes.scheme import FrameName
from sockiter.table import Table


class OneList(OneByOne[int]):
    """Claims: no stale element, always an end, no error."""

    progress = "Seen"
    frame: FrameName = "netlink"
    buckets_max = 1
    start = 0

    def after(self, place: int, table: Table) -> Found[int] | None:
        (elements,) = table.buckets
        return Found(elements[place], place + 1) if place < len(elements) else None
