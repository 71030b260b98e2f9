"""The sockets of a sequence that the state machine draws, and the changes to them that are possible."""

from __future__ import annotations

from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.sockets import Sockets
from sockiter.operations import Accept, Add, Bucket, Close


def test_only_connections_close_and_only_request_sockets_are_accepted() -> None:
    sockets = Sockets(Room(("listening", "established"), features=frozenset({"request"})))
    sockets.carry_over(Add("A", "tail"))
    assert [kind for kind in ("close", "accept") if sockets.may(kind)] == []
    sockets.carry_over(Add("B", "head", Bucket(0, "established")))
    assert sockets.change("close", lambda options: options[0]) == Close("B")
    sockets.carry_over(Add("C", "head", Bucket(0, "established"), ("request",)))
    assert sockets.change("accept", lambda options: options[0]) == Accept("C")
