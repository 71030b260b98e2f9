"""Real guests on real kernels, downloaded and booted: `tox -e kernels`, since they take minutes and a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sockiter.vm import build, cache, guest, packages, programs
from tests import on_kernels
from tests.support.stand_ins import alive

pytestmark = pytest.mark.skipif(os.environ.get("SOCKITER_GUESTS") != "1", reason="boots guests: tox -e kernels")

# The expected lines in the output of a kernel; Debian's builds of 6.12 have a number behind them.
RELEASES = {name: name.removeprefix("linux-image-").removesuffix("-amd64") for name in on_kernels.KERNELS}


def vm(kernel: str, *command: str, timeout_s: int = 120, cases: Path | None = None) -> list[str]:
    options = ["--timeout", str(timeout_s), *(["--cases", str(cases)] if cases else [])]
    return [sys.executable, "-m", "sockiter", "vm", *options, kernel, "--", *command]


def available(kernel: str) -> str:
    """The name of a kernel; skips where something that it takes is missing, or fails with SOCKITER_REQUIRE_KERNEL=1."""
    needed = [*guest._NEEDED, *guest._NEEDED_FOR_MODULES, *(packages._APT if cache.find(kernel) is None else ())]
    if missing := [name for name in needed if programs.program(name) is None]:
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(f"without {', '.join(missing)}")
    return kernel


@pytest.mark.parametrize("kernel", on_kernels.KERNELS)
def test_a_command_runs_as_root_on_another_kernel_with_types_and_bpf(kernel: str, tmp_path: Path) -> None:
    available(kernel)
    script = f"uname -r; id -u; ls /sys/kernel/btf/vmlinux; ls -d /sys/fs/bpf; echo kept >{tmp_path}/a.case; exit 5"
    done = subprocess.run(vm(kernel, "sh", "-c", script, cases=tmp_path), stdout=subprocess.PIPE, text=True, check=False)
    release, *rest = done.stdout.splitlines()
    assert release.startswith(RELEASES[kernel])
    assert rest == ["0", "/sys/kernel/btf/vmlinux", "/sys/fs/bpf"]
    assert done.returncode == 5
    assert (tmp_path / "a.case").read_text() == "kept\n"


def test_files_of_a_guest_are_here_after_the_time_limit(tmp_path: Path) -> None:
    kernel = available(next(iter(on_kernels.KERNELS)))
    script = f"echo written >{tmp_path}/a.case; echo begun; exec sleep 1000"
    done = subprocess.run(
        vm(kernel, "sh", "-c", script, timeout_s=60, cases=tmp_path), stdout=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (guest.TIMED_OUT, "begun\n")
    assert (tmp_path / "a.case").read_text() == "written\n"
    assert alive(str(tmp_path)) == []


def test_a_guest_makes_no_set_uid_file_no_device_and_no_link_here(tmp_path: Path) -> None:
    kernel = available(next(iter(on_kernels.KERNELS)))
    (tmp_path / "secret").write_text("secret\n")
    cases = tmp_path / "cases"
    script = f"""
        cd {cases}
        cp /bin/true a.case; chown 0:0 a.case; chmod 6755 a.case; stat -c %a a.case
        mknod device.case c 1 3; ln -s /etc/passwd link.case; mkdir -m 4777 folder
        cat {tmp_path}/secret; mkdir {tmp_path}/other
    """
    done = subprocess.run(vm(kernel, "sh", "-c", script, cases=cases), stdout=subprocess.PIPE, text=True, check=False)
    assert done.stdout == "6755\n"
    modes = {path.name: oct(path.lstat().st_mode) for path in cases.iterdir()}
    assert modes == {"a.case": "0o100644", "device.case": "0o100644", "link.case": "0o100644", "folder": "0o40755"}
    assert (cases / "a.case").read_bytes() == Path("/bin/true").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases", "secret"]


def test_a_kernel_that_was_built_has_fault_injection() -> None:
    name = next((name for name in cache.kept() if name.startswith(build.PREFIX)), None)
    if name is None:
        pytest.skip("no kernel was built yet: sockiter vm --build")
    script = "echo 1 >/proc/thread-self/fail-nth; cat /sys/kernel/debug/failslab/ignore-gfp-wait"
    done = subprocess.run(vm(available(name), "sh", "-c", script), stdout=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "N\n")  # which spares nobody


@pytest.mark.parametrize("kernel", on_kernels.KERNELS)
def test_the_kernels_targets_keep_their_claims_and_agree_with_their_schemes(kernel: str, tmp_path: Path) -> None:
    available(kernel)
    inside = [sys.executable, str(Path(on_kernels.__file__)), kernel, str(tmp_path)]
    status = subprocess.call(vm(kernel, *inside, timeout_s=on_kernels.TIMEOUT_S, cases=tmp_path))
    assert status == 0, f"{status} commands failed, or it did not come to an end; cases, if there are any, are in {tmp_path}"


@pytest.mark.parametrize("kernel", on_kernels.KERNELS)
def test_a_survey_boots_a_kernel_once_and_has_its_scheme(kernel: str, tmp_path: Path) -> None:
    available(kernel)
    words = ["--target", "kernel:udp", "--seconds", "1", "--seed", "1", "--found", str(tmp_path / "found"), "--json"]
    command = [sys.executable, "-m", "sockiter", "kernels", kernel, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    (survey,) = json.loads(done.stdout)["kernels"]
    assert (done.returncode, survey["is_complete"], survey["trouble"]) == (0, True, "")
    (udp,) = survey["targets"]
    assert ("kernel:udp", udp["scheme"]) in on_kernels.KERNELS[kernel]
