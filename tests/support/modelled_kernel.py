"""A kernel whose iterators are models, for the tests of what is done on a kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from sockiter.backend import Backend, Session, Shape
from sockiter.claims import Hazard
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.target import KernelTarget
from sockiter.targets import target_named
from tests.support.kernel_targets import with_capabilities

FEW: Mapping[Hazard, str] = dict.fromkeys(
    ("reinsert", "rehash", "show", "between", "realloc", "enomem", "destroy", "destroying"), "it is a small one"
)


class ModelledSession:
    """A session of a model, as a session of a kernel's iterator."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, shape: Shape) -> Backend:
        return self._session.begin(shape)

    def records_max(self) -> int:
        return RECORDS_MAX


def model_kernel(monkeypatch: pytest.MonkeyPatch, scheme: str, *, detected: str | None = "") -> None:
    """Every kernel's target walks by a scheme, and is detected to use it, or another one, or none."""

    @contextmanager
    def session(target: KernelTarget) -> Iterator[ModelledSession]:
        with target_named(scheme).session() as of_model:
            yield ModelledSession(of_model)

    found = scheme if detected == "" else detected
    with_capabilities(monkeypatch, Capabilities(unable=FEW, scheme=found))
    monkeypatch.setattr(KernelTarget, "session", session)
