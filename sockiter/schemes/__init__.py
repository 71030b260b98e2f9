"""The registry: every scheme, once, by name.

A new scheme is a file in this folder and a line here.
"""

from __future__ import annotations

from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.full_batch import FullBatch, FullBatchHeld
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import AnyScheme

SCHEMES: tuple[AnyScheme, ...] = (OffsetUdp(), Index(), Rank(), FullBatch(), FullBatchHeld(), CookieUdp())
