"""How many sockets an iteration may have: never more than this process may open."""

from __future__ import annotations

import resource

import pytest

from sockiter.errors import MachineLacks
from sockiter.kernel.sockets import SOCKETS_MAX, Socket
from sockiter.kernel.unix_sockets import UnixSockets
from sockiter.operations import Bucket


@pytest.mark.parametrize(
    ("files", "room"), [(resource.RLIM_INFINITY, SOCKETS_MAX), (1 << 20, SOCKETS_MAX), (1000, 500), (100, 0)]
)
def test_the_limit_to_open_files_is_one_to_sockets(files: int, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    sockets = UnixSockets(None, [])  # type: ignore[arg-type]  # no namespace is entered for a socket too many
    sockets._held = {str(number): (Socket.__new__(Socket), Bucket()) for number in range(room)}
    with pytest.raises(MachineLacks, match=f"an iteration can have {room} sockets at a time here; the case asks for more"):
        sockets.add("more", "head", Bucket())
