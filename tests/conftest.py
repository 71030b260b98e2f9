"""Shared fixtures: a deterministic Hypothesis profile, and targets that a machine may lack."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver, spawn, util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from rich.console import Console

from sockiter import claims
from sockiter.check import transitions
from sockiter.cli import progress
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelTarget
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.schemes import index_detect, index_narrow
from tests.support import stand_ins
from tests.support.kernel_targets import ABSENT, LIMITED, here, with_capabilities

# A package of its own, with tests of its own, which test_testing runs where it is installed.
collect_ignore = ["example_package"]

settings.register_profile("tests", derandomize=True, database=None, deadline=None, print_blob=False)
settings.load_profile("tests")

HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Commands that tests start stay root's, whatever user called sudo; test_rights has callers of its own.
for name in ("SUDO_UID", "SUDO_GID"):
    os.environ.pop(name, None)
# The output of commands is as wide as for a pipe; pytest-xdist sets the width of its own terminal.
for name in ("COLUMNS", "NO_COLOR"):
    os.environ.pop(name, None)

# A background process of a shell ignores Ctrl-C, and so would all processes that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`, one more than there are processors: a quarter of the time, tests wait for processes and the kernel."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Workers and commands that run in this process leave signal handlers, which the next test would inherit."""
    handlers = {number: signal.getsignal(number) for number in HEEDED}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


REAL = {"kernel_udp", "kernel_target"}
# A target for each kind of elements and each way to walk them: programs, dumps, files and loops.
WAYS = {
    *("kernel:udp", "kernel:tcp-established", "kernel:unix-diag", "kernel:proc-tcp", "kernel:packet-diag"),
    *("kernel:nsid", "kernel:netlink", "kernel:map-next-key", "kernel:threads"),
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m interpreter...`, does not import the many files without such a test: each worker would do so."""
    is_about_interpreters = config.option.markexpr.startswith("interpreter")
    if is_about_interpreters and collection_path.name.startswith("test_") and collection_path.suffix == ".py":
        return None if "mark.interpreter" in collection_path.read_text(encoding="utf-8") else True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need the running kernel, and the slow ones of `each_way`."""
    for item in items:
        if not REAL.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("kernel")
        if item.get_closest_marker("each_way") and isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            target = item.callspec.params.get("kernel_target")
            if isinstance(target, KernelTarget) and target.name not in WAYS:
                item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints why tests were skipped, a line for each reason; `-rs` prints a line for each test."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


_spawnv_passfds = util.spawnv_passfds


def _spawned_unmeasured(path: bytes, args: Any, passfds: Sequence[int]) -> int:
    # The server that forks workers, and the tracker of resources. Coverage measures the workers one by one; those of a
    # measured server would inherit its tracer, and unmeasured tests would pay for it.
    config = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    try:
        return _spawnv_passfds(path, args, passfds)
    finally:
        if config is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = config


util.spawnv_passfds = _spawned_unmeasured
_set_forkserver_preload = forkserver.set_forkserver_preload


def _preload_with_coverage(modules_names: list[str]) -> None:
    # Each measured worker would import coverage otherwise.
    measuring = ["coverage.control", "coverage.multiproc"] if "coverage" in sys.modules else []
    _set_forkserver_preload([*modules_names, *measuring])


forkserver.__dict__["set_forkserver_preload"] = _preload_with_coverage


def _without_coverage(prepare: Any) -> Any:
    # What a worker gets at its start, without the part by which coverage would begin there.
    def prepared(name: str) -> dict[str, Any]:
        data: dict[str, Any] = prepare(name)
        data.pop("stowaway", None)
        return data

    return prepared


@pytest.fixture(autouse=True)
def coverage_paused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Does not measure the tests that are marked `unmeasured`, nor the processes that they start."""
    module = sys.modules.get("coverage")
    measured = module and request.node.get_closest_marker("unmeasured") and module.Coverage.current()
    if not measured:
        yield
        return
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(spawn, "get_preparation_data", _without_coverage(spawn.get_preparation_data))
    measured.stop()
    yield
    measured.start()


@pytest.fixture
def kernel_udp() -> KernelTarget:
    """The kernel's UDP iterator, where it runs."""
    return here(KERNEL_UDP)


@pytest.fixture(params=KERNEL_TARGETS, ids=lambda target: target.name)
def kernel_target(request: pytest.FixtureRequest) -> KernelTarget:
    """Each iterator of the kernel, or those that a test is parametrized with, where they run."""
    return here(request.param)


@pytest.fixture
def on_any_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel's iterator runs here, unless a test asks for one that does."""
    if not {*REAL, "limited_kernel"} & set(request.fixturenames):
        with_capabilities(monkeypatch, ABSENT)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is a terminal, and standard output is none."""

    def console(*, stderr: bool = False) -> Console:
        return Console(stderr=stderr, width=160, highlight=False, force_terminal=stderr)

    monkeypatch.setattr(progress, "console", console)


@pytest.fixture
def two_processors() -> None:
    """For tests that need two processors; this process may use at least this many."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this takes two processors")


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """There are as many processes and processors as before, in the end."""
    before = os.sched_getaffinity(0)
    yield
    assert multiprocessing.active_children() == []
    assert os.sched_getaffinity(0) == before


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
    return folder


@pytest.fixture
def limited_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every iterator of the kernel seems to run here, and can do little."""
    with_capabilities(monkeypatch, LIMITED)


@pytest.fixture
def absent_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """No iterator of the kernel seems to run here."""
    with_capabilities(monkeypatch, ABSENT)


@pytest.fixture
def _two_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    # As narrow as that, versions roll over with the second socket that is put in, within a few lines.
    monkeypatch.setattr(index_narrow, "VERSION_BITS", 2)
    monkeypatch.setattr(index_detect, "EPOCH", 2)
    monkeypatch.setattr(claims, "INSERTIONS_MAX", 1)
    monkeypatch.setattr(transitions, "INSERTIONS_MAX", 1)
