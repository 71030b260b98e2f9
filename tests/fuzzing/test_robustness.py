"""The end of a fuzz, by any cause: complete cases, no workers left, and a report of all findings."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sockiter.cases import files, load, loads
from sockiter.operations import length
from tests.support.command import DEADLINE_S, members, unmeasured, wait_until

pytestmark = pytest.mark.interpreter

# The timeout for an immediate event on a busy machine.

FUZZ = [sys.executable, "-m", "sockiter", "fuzz", "offset-udp", "index", "--driver", "swarm", "--seed", "7"]
BOTH = ["--hazard", "remove", "--hazard", "add-head"]


def workers(session: int) -> list[int]:
    """The grandchildren of the main process: its only child that has children is the server."""
    parents = members(session)
    return [pid for pid, parent in parents.items() if parents.get(parent) == session]


@contextmanager
def fuzzing(*args: object, seconds: float = 600) -> Iterator[subprocess.Popen[str]]:
    """A fuzz in a session of its own, of which nothing is left at the end."""
    process = subprocess.Popen(
        [*FUZZ, "--workers", "2", "--seconds", str(seconds), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=unmeasured(),
    )
    try:
        yield process
    finally:
        for pid in members(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def has_cases(directory: Path) -> bool:
    return any(directory.glob("*.case"))


def interrupt_group(pid: int) -> None:
    os.killpg(pid, signal.SIGINT)


def terminate_group(pid: int) -> None:
    os.killpg(pid, signal.SIGTERM)


def terminate(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize("stop", [interrupt_group, terminate_group, terminate])
def test_an_interrupted_fuzz_ends_by_itself_and_reports_its_findings(stop: Callable[[int], None], tmp_path: Path) -> None:
    with fuzzing(*BOTH, "--cases", tmp_path, "--json") as process:
        wait_until(lambda: has_cases(tmp_path))
        stop(process.pid)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, err) == (130, "sockiter: interrupted\n")
        run = json.loads(out)
        assert run["interrupted"] is True
        assert run["troubles"] == []
        reported = {one["case"] for target in run["targets"] for one in target["refuted"]}
        assert reported == {str(path) for path in files([tmp_path])}
        wait_until(lambda: members(process.pid) == {})


def test_the_summary_of_an_interrupted_fuzz_is_marked_as_interrupted(tmp_path: Path) -> None:
    with fuzzing(*BOTH, "--cases", tmp_path) as process:
        wait_until(lambda: has_cases(tmp_path))
        interrupt_group(process.pid)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (130, "sockiter: interrupted\n")
    assert ", 2 workers, interrupted\n" in out
    assert f"All cases are in {tmp_path}. Look at one: " in out


def assert_whole(directory: Path) -> None:
    """All case files are complete. A partly written file is not a case file."""
    assert has_cases(directory)
    for path in files([directory]):
        load(path)
    for path in directory.iterdir():
        assert path.suffix == ".case" or (path.suffix == ".part" and path.name.startswith("."))


def test_after_the_main_process_was_killed_the_cases_are_whole_and_the_workers_end(tmp_path: Path) -> None:
    with fuzzing("--cases", tmp_path) as process:
        wait_until(lambda: has_cases(tmp_path))
        assert workers(process.pid)
        process.kill()
        wait_until(lambda: members(process.pid) == {})
    assert_whole(tmp_path)


def test_after_workers_were_killed_the_cases_are_whole_and_the_others_go_on(tmp_path: Path) -> None:
    # At least two workers: one may have finished its slice just before.
    killed: set[int] = set()

    def were_killed() -> bool:
        for pid in workers(process.pid) if has_cases(tmp_path) else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        return len(killed) >= 2

    with fuzzing("--cases", tmp_path, "--json", seconds=3) as process:
        wait_until(were_killed)
        out, _ = process.communicate(timeout=DEADLINE_S)
    run = json.loads(out)
    assert process.returncode == 3
    assert set(run["troubles"]) <= {
        f"a worker on {name} ended with exit code -9: the scheme or the system ended it" for name in ("offset-udp", "index")
    }
    assert run["troubles"]
    assert sum(target["sequences"] for target in run["targets"]) > 0
    assert_whole(tmp_path)
    for target in run["targets"]:
        for one in target["refuted"]:
            assert length(load(Path(one["case"])).operations) == one["operations"]


PRIVATE = """
set -e
mount -t tmpfs -o "$1" none "$2"
kept=$3
mounted=$2
shift 3
status=0
"$@" || status=$?
cp -a "$mounted/." "$kept"
exit $status
"""


def on_a_disk(options: str, tmp_path: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A fuzz that keeps its cases on a private disk, and the files that it left there."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a disk of one's own takes root and unshare(1)")
    private = ["unshare", "--mount", "sh", "-c", PRIVATE, "sh", options]
    (disk := tmp_path / "disk").mkdir()
    (kept := tmp_path / "kept").mkdir()
    probe = subprocess.run([*private, str(disk), str(kept), "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no disk of one's own: {probe.stderr.strip()}")
    command = [*FUZZ, "--workers", "1", "--sequences", "400", "--cases", str(disk), *args]
    command = [*private, str(disk), str(kept), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=unmeasured())
    return done, kept


def test_on_a_full_disk_no_case_is_half_written_and_unsaved_cases_are_printed(tmp_path: Path) -> None:
    # Room for one page: the first case fits, and no other.
    done, kept = on_a_disk("size=4k", tmp_path, *BOTH, "--json")
    assert done.returncode == 3
    (saved,) = kept.iterdir()
    load(saved)
    reason, _, text = done.stderr.partition(" this case could not be saved there:\n")
    assert reason == f"sockiter: {tmp_path}/disk: No space left on device:"
    assert len(loads(text).operations) == 6
    found = json.loads(done.stdout)["targets"][0]["refuted"]
    assert {one["case"] for one in found} == {f"{tmp_path}/disk/{saved.name}", None}


def test_on_a_disk_that_cannot_be_written_to_nothing_is_run(tmp_path: Path) -> None:
    done, kept = on_a_disk("ro", tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"sockiter: {tmp_path}/disk: cannot be written to; name another directory with --cases\n"
    assert list(kept.iterdir()) == []


EARLY = """
import signal
from pathlib import Path
from sockiter import workers
from sockiter.fuzzing import campaign
from sockiter.targets import target_named

if __name__ == "__main__":
    targets = [(target_named("index"), frozenset())]
    campaign.Campaign(targets, drivers=["swarm"], seed=7, seconds=0.01, workers=1, cases=Path("/nowhere")).run()
    for number in (signal.SIGINT, signal.SIGTERM):
        # A signal before `work` has begun.
        process = workers._CONTEXT.Process(target=signal.raise_signal, args=(number,))
        process.start()
        process.join()
        print(process.exitcode)
"""


def test_a_worker_that_has_not_begun_yet_survives_a_signal_to_the_whole_group(tmp_path: Path) -> None:
    (script := tmp_path / "early.py").write_text(EARLY, encoding="utf-8")
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=unmeasured())
    assert (done.stdout, done.stderr) == ("0\n0\n", "")
