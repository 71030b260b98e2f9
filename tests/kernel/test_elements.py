"""What most kinds of elements lack: only targets that offer an operation use it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sockiter.kernel.elements import Elements
from sockiter.operations import Bucket, End


class Plain(Elements):
    """Elements that can only be added and removed."""

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return False

    def bucket(self, name: str) -> Bucket:
        return Bucket()

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        return 1

    def remove(self, name: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "operation",
    [
        lambda elements: elements.reinsert("A", "head"),
        lambda elements: elements.rehash("A", Bucket(1)),
        lambda elements: elements.add_request("A", Bucket()),
        lambda elements: elements.prepare_requests(1),
        lambda elements: elements.finish("A"),
        lambda elements: elements.accept("A"),
        lambda elements: elements.destroy("A"),
        lambda elements: elements.release("A"),
        lambda elements: elements.has_returned("A", Bucket()),
    ],
)
def test_an_operation_that_a_kind_lacks_is_not_implemented(operation: Callable[[Elements], object]) -> None:
    with pytest.raises(NotImplementedError):
        operation(Plain())


def test_plain_elements_have_no_connections_and_are_whole() -> None:
    elements = Plain()
    elements.enter()
    elements.prepare(1)
    elements.sweep()
    assert not elements.connects(Bucket())
    assert elements.small("A") is None
