"""The sources of kernels: Debian's packages, their kept files, and a build. Nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sockiter.cli import main
from sockiter.errors import InputError, Unavailable
from sockiter.vm import build, cache, packages, programs, toolchain, worker
from tests.support import stand_ins
from tests.support.command import DEADLINE_S, started, wait_until
from tests.support.stand_ins import alive

IMAGE = "linux-image-6.1.0-10-amd64"


@pytest.fixture
def kept(machine: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder where kernels are kept, and afterwards nothing half done in it."""
    folder = tmp_path / "cache" / "sockiter" / "kernels"
    yield folder
    assert list(folder.glob(".*.part")) == []


def downloads(machine: Path) -> list[str]:
    log = machine / "downloads"
    return log.read_text().split() if log.exists() else []


def test_a_package_is_downloaded_once_and_kept_with_its_modules(machine: Path, kept: Path) -> None:
    image = worker.image_of(IMAGE)
    assert image == kept / IMAGE / "boot" / "vmlinuz-6.1.0-10-amd64"
    assert image.read_bytes() == stand_ins.IMAGE
    assert (kept / IMAGE / "lib/modules/6.1.0-10-amd64/modules.dep").exists()
    assert sorted(path.name for path in (kept / IMAGE).iterdir()) == ["boot", "lib"]
    assert worker.image_of(IMAGE) == image
    assert downloads(machine) == [IMAGE]


def test_a_kept_kernel_needs_no_apt(machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = worker.image_of(IMAGE)
    monkeypatch.setattr(programs, "program", lambda name: None)
    assert worker.image_of(IMAGE) == image


def test_apt_must_check_signatures(machine: Path, kept: Path) -> None:
    worker.image_of(IMAGE)
    log = (machine / "apt-get.told").read_text().split()
    assert log[-2:] == ["download", IMAGE]
    assert {"APT::Get::AllowUnauthenticated=false", "Acquire::AllowInsecureRepositories=false"} <= set(log)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("linux-image-6.12", "linux-image-6.12.11+deb12-amd64"),
        ("linux-image-6.1", "linux-image-6.1.0-10-amd64"),
        ("linux-image-6.1.0-9-amd64", "linux-image-6.1.0-9-amd64"),
        ("linux-image-amd64", "linux-image-6.1.0-10-amd64"),
    ],
)
def test_a_name_stands_for_the_newest_package_that_begins_with_it(
    machine: Path, kept: Path, name: str, package: str
) -> None:
    assert worker.image_of(name).parent.parent == kept / package
    assert worker.image_of(name).parent.parent == kept / package
    assert downloads(machine) == [package]


def test_an_unknown_package_is_reported(machine: Path, kept: Path) -> None:
    with pytest.raises(Unavailable, match=r"^linux-image-9.9: apt knows no such kernel for amd64: is the name right, is"):
        worker.image_of("linux-image-9.9")
    assert downloads(machine) == []


def test_a_download_that_apt_refuses_is_reported_with_its_reason(
    machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APT_FAILS", "1")
    with pytest.raises(Unavailable, match=r"^apt-get failed: W: a warning; E: no signature$"):
        worker.image_of(IMAGE)
    assert cache.kept() == []


def test_a_download_that_leaves_nothing_is_reported(machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APT_EMPTY", "1")
    with pytest.raises(Unavailable, match=rf"^apt-get download {IMAGE} left no package$"):
        worker.image_of(IMAGE)


def test_a_package_without_a_kernel_is_reported_and_not_kept(machine: Path, kept: Path) -> None:
    with pytest.raises(Unavailable, match=r"^linux-empty has no kernel image: there is no boot/vmlinuz-\* in it$"):
        cache.fill("linux-empty", lambda to: packages._get_image("linux-empty", to))
    with pytest.raises(Unavailable, match=r"^nothing has no kernel image"):
        cache.fill("nothing", lambda to: None)
    assert cache.kept() == []


@pytest.mark.parametrize("name", ["apt-get", "apt-cache", "dpkg", "depmod"])
def test_each_program_that_a_package_takes_is_named_where_it_is_missing(
    machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(programs, "program", lambda asked: None if asked == name else "/bin/true")
    with pytest.raises(
        Unavailable, match=rf"^downloading {IMAGE} requires programs that are not installed: {name} \(Debian's package "
    ):
        worker.image_of(IMAGE)


def test_two_at_once_download_it_once(machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APT_SLOW", "1")
    images: list[Path] = []
    both = [threading.Thread(target=lambda: images.append(worker.image_of(IMAGE))) for _ in range(2)]
    both[0].start()
    wait_until((machine / "slow").exists)
    waiting = threading.Event()
    monkeypatch.setattr(
        cache, "show_progress", lambda progress: waiting.set() if progress.startswith("waiting for") else None
    )
    both[1].start()
    assert waiting.wait(DEADLINE_S)
    (machine / "slow").unlink()
    for thread in both:
        thread.join()
    assert len(images) == 2
    assert images[0] == images[1]
    assert downloads(machine) == [IMAGE]


def test_half_written_files_of_a_killed_process_are_removed(machine: Path, kept: Path) -> None:
    (kept / f".{IMAGE}.old.part" / "download").mkdir(parents=True)
    (kept / ".other.old.part").mkdir()
    worker.image_of(IMAGE)
    assert [path.name for path in kept.glob(".*.part")] == [".other.old.part"]
    (kept / ".other.old.part").rmdir()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_in_the_middle_of_a_download_leaves_nothing(
    machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    monkeypatch.setenv("APT_SLOW", "1")
    command = [sys.executable, "-m", "sockiter", "vm", IMAGE, "--", "true"]
    with started(command, stderr=subprocess.PIPE) as process:
        wait_until((machine / "slow").exists)
        assert len(list(kept.glob(".*.part"))) == 1
        process.send_signal(sent)
        process.wait(DEADLINE_S)
    wait_until(lambda: list(kept.glob(".*.part")) == [] and alive(str(machine / "apt-get")) == [])
    assert cache.kept() == []


def test_the_place_of_kernels_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache.folder() == Path("/home/somebody/.cache/sockiter/kernels")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.folder() == Path("/elsewhere/sockiter/kernels")


def test_a_folder_that_cannot_be_made_is_reported(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("file"))
    with pytest.raises(Unavailable, match=r"cannot be made: Not a directory; set XDG_CACHE_HOME to another folder$"):
        cache.fill("a", lambda to: None)


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", ""])
def test_no_name_leads_out_of_the_cache(machine: Path, name: str) -> None:
    assert cache.find(name) is None
    with pytest.raises(InputError, match="is not a valid name for a kernel"):
        cache.fill(name, lambda to: None)


@pytest.fixture
def builds(machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that can build; the folder where kernels are kept."""
    for header in toolchain._HEADERS:
        (tmp_path / header).touch()
    monkeypatch.setattr(toolchain, "_INCLUDE", (str(tmp_path),))
    return kept


def test_a_build_is_kept_under_a_name_and_made_once(machine: Path, builds: Path) -> None:
    image = build.build("6.12")
    assert image == builds / "fault-injection-6.12" / "boot" / "vmlinuz-6.12.1-fault-injection"
    assert image.read_bytes() == stand_ins.IMAGE
    made = (builds / "fault-injection-6.12" / "boot" / "config-6.12.1-fault-injection").read_text()
    assert "CONFIG_FAILSLAB=y\n" in made
    assert [path.name for path in (builds / "fault-injection-6.12").iterdir()] == ["boot"]
    assert build.build("6.12") == worker.image_of("fault-injection-6.12") == image
    assert downloads(machine) == ["linux-source-6.12"]


def test_the_command_builds_and_prints_the_path(machine: Path, kept: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (kept / "fault-injection-6.12" / "boot").mkdir(parents=True)
    (kept / "fault-injection-6.12" / "boot" / "vmlinuz-6").touch()
    assert CliRunner().invoke(main, ["vm", "--build"]).exit_code == 0
    assert capfd.readouterr().out == f"{kept}/fault-injection-6.12/boot/vmlinuz-6\n"


def test_all_that_a_build_lacks_is_named_at_once(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = programs.program
    monkeypatch.setattr(programs, "program", lambda name: None if name in ("pahole", "flex") else found(name))
    monkeypatch.setattr(toolchain, "_INCLUDE", ())
    lacks = r"^building a kernel requires more packages: apt-get install flex dwarves libelf-dev zlib1g-dev$"
    with pytest.raises(Unavailable, match=lacks):
        build.build()


def test_a_disk_too_small_for_a_build_is_reported_before_the_build(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5 << 20))
    with pytest.raises(Unavailable, match="5 MiB are free, and a build requires 4096"):
        build.build()


def test_an_option_that_the_kernel_does_not_accept_is_reported(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WITHOUT", "_BTF=")
    with pytest.raises(Unavailable, match=r"^this kernel cannot be configured with CONFIG_DEBUG_INFO_BTF=y$"):
        build.build()


def test_a_failed_build_is_reported_and_leaves_nothing(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKE_FAILS", "1")
    with pytest.raises(Unavailable, match=r"^nice failed: cc1: no memory$"):
        build.build()
    assert cache.kept() == []


@pytest.mark.parametrize("version", ["6", "v6.12", "../6.12", "6.12.1"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(InputError, match=r"expected the version of a linux-source package of Debian, such as 6.12"):
        build.build(version)


def test_the_configuration_has_the_options_for_the_targets_and_the_faults() -> None:
    lines = toolchain.configuration().splitlines()
    for name in (
        "BPF_SYSCALL",
        "DEBUG_INFO_BTF",
        "NET_NS",
        "IPV6",
        "FAILSLAB",
        "FAULT_INJECTION_DEBUG_FS",
    ):
        assert f"CONFIG_{name}=y" in lines
    assert not any("KPROBES" in line for line in lines if line.startswith("CONFIG_"))
