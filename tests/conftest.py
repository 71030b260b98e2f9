"""What several test files need: a Hypothesis profile that draws the same every time, and targets the machine may lack."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import stand_ins
from command import NO_KERNEL
from hypothesis import settings

from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.udp import KernelUdp

settings.register_profile("tests", derandomize=True, database=None, deadline=None, print_blob=False)
settings.load_profile("tests")


@pytest.fixture
def kernel_udp() -> KernelUdp:
    """The kernel's UDP iterator; skips where it cannot run, or fails with SOCKITER_REQUIRE_KERNEL=1."""
    target = KernelUdp()
    if lack := target.missing():
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(lack)
    return target


@pytest.fixture
def on_any_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No kernel's iterator runs here, unless a test asks for one; a command may install its handlers."""
    if "kernel_udp" not in request.fixturenames:
        for target in KERNEL_TARGETS:
            monkeypatch.setattr(type(target), "missing", lambda self: NO_KERNEL)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with stand-ins for all that it takes, in an empty working directory; the folder of the stand-ins."""
    folder = tmp_path / "stand-ins"
    folder.mkdir()
    stand_ins.install(folder)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    before = signal.getsignal(signal.SIGTERM)
    yield folder
    signal.signal(signal.SIGTERM, before)
