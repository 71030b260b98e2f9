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
    with pytest.raises(Unavailable, match=rf"^apt-get download {IMAGE} left 0 packages$"):
        worker.image_of(IMAGE)


def test_a_package_without_a_kernel_is_reported_and_not_kept(machine: Path, kept: Path) -> None:
    no_image = r"^linux-empty has no kernel image: there is no boot/vmlinuz-\* and no lib/modules/\*/vmlinuz in it$"
    with pytest.raises(Unavailable, match=no_image):
        cache.fill("linux-empty", lambda to: packages._get_image("linux-empty", to, packages.OWN))
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


def test_the_modules_of_a_package_without_modules_are_missed(
    machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_MODULES", "1")
    with pytest.raises(Unavailable, match=rf"^{IMAGE} has no modules in it$"):
        worker.image_of(IMAGE)


def test_a_package_without_a_dependency_is_a_kernel_of_one_part(machine: Path) -> None:
    assert packages._parts("linux-image-alone", packages.OWN) == []


# Kernels in several packages, and other suites.


@pytest.fixture
def suites(machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with the keys of Debian's archive; the folder of the indexes of sid."""
    monkeypatch.setattr(packages, "_KEYRING", tmp_path / "keyring.gpg")
    (tmp_path / "keyring.gpg").touch()
    return tmp_path / "cache" / "sockiter" / "apt" / "sid"


def test_a_package_of_another_suite_leaves_the_machines_apt_alone(machine: Path, kept: Path, suites: Path) -> None:
    name = "linux-image-7.2.13+deb14-amd64"
    image = worker.image_of("linux-image-7.2", "sid")
    assert image == kept / name / "boot" / "vmlinuz-7.2.13+deb14-amd64"
    assert downloads(machine) == ["update", name, *(name.replace("image", part) for part in ("binary", "modules"))]
    sources = (suites / "sources.list").read_text()
    assert sources == f"deb [arch=amd64 signed-by={packages._KEYRING}] http://mirror/debian/ sid main\n"
    settings = (suites / "apt.conf").read_text()
    assert f'Dir::State "{suites}/state";\n' in settings
    assert 'Dir::Etc::sourceparts "/dev/null";\n' in settings
    assert "#clear APT::Update;\n" in settings
    log = (machine / "apt-get.told").read_text()
    assert log.startswith(f"-c {suites}/apt.conf -q -o APT::Get::AllowUnauthenticated=false ")
    with pytest.raises(Unavailable, match=r"^linux-image-7.2: apt knows no such kernel .* \(or use --suite\), and is"):
        worker.image_of("linux-image-7.2")


def test_compressed_modules_are_kept_uncompressed_and_without_those_of_missing_devices(
    machine: Path, kept: Path, suites: Path
) -> None:
    modules = worker.image_of("linux-image-7.2", "sid").parent.parent / "lib" / "modules" / "7.2.13+deb14-amd64"
    assert (modules / "kernel" / "net" / "9p.ko").read_text() == "module"
    files = sorted(path.relative_to(modules).as_posix() for path in modules.rglob("*") if path.is_file())
    assert files == ["kernel/net/9p.ko", "modules.dep"]


def test_the_indexes_of_a_suite_are_fetched_once_an_hour(machine: Path, kept: Path, suites: Path) -> None:
    packages.archive_of("sid")
    packages.archive_of("sid")
    assert downloads(machine) == ["update"]
    os.utime(suites / "updated", (0, 0))
    packages.archive_of("sid")
    assert downloads(machine) == ["update", "update"]


def test_a_released_suite_has_its_archive_for_security(machine: Path, kept: Path, suites: Path) -> None:
    packages.archive_of("trixie")
    lines = (suites.parent / "trixie" / "sources.list").read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines] == [
        "http://mirror/debian/ trixie main",
        "http://mirror/security/ trixie-security main",
    ]


def test_a_suite_that_cannot_be_had_is_reported(
    machine: Path, kept: Path, suites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"^--suite \.\./sid: expected a suite of Debian, such as sid, trixie or bookworm-"):
        worker.image_of("linux-image-7.2", "../sid")
    unknown = r"^linux-image-9.9: the suite sid has no such kernel for amd64: is the name right\?$"
    with pytest.raises(Unavailable, match=unknown):
        worker.image_of("linux-image-9.9", "sid")
    monkeypatch.setenv("APT_SOURCES", "Ubuntu http://mirror/ubuntu/\n")
    with pytest.raises(Unavailable, match=r"^apt has no source of Debian's archive here"):
        packages.archive_of("sid")
    packages._KEYRING.unlink()
    with pytest.raises(Unavailable, match=r"keyring.gpg is not there: apt-get install debian-archive-keyring$"):
        packages.archive_of("sid")


def test_a_kernel_of_ubuntu_comes_with_its_modules(machine: Path, kept: Path) -> None:
    image = worker.image_of("linux-image-6.8")
    assert image == kept / "linux-image-6.8.0-31-generic" / "boot" / "vmlinuz-6.8.0-31-generic"


@pytest.mark.parametrize("path", ["packages", "packages/linux-image-7.2.13-amd64_7.2.13-1_amd64.deb"])
def test_files_of_packages_are_a_kernel(machine: Path, kept: Path, path: str) -> None:
    """A folder of them, or a file, with those of the same version beside it."""
    Path("packages").mkdir()
    for part in ("image", "binary", "modules"):
        Path(f"packages/linux-{part}-7.2.13-amd64_7.2.13-1_amd64.deb").touch()
    image = worker.image_of(path)
    assert image.name == "vmlinuz-7.2.13-amd64"
    assert (image.parent.parent / "lib/modules/7.2.13-amd64/kernel/net/9p.ko").exists()
    assert worker.image_of(path) == image


# Trees.


def tree(folder: Path, *, image: str = "usr/lib/modules/6.18.1-fc43/vmlinuz", version: str = "6.18.1-fc43") -> Path:
    """The tree of a distribution, with its modules beside the image."""
    modules = folder / "usr" / "lib" / "modules" / version
    (modules / "kernel" / "sound").mkdir(parents=True)
    (modules / "build").symlink_to("/usr/src/nothing")
    for module in ("kernel/9p.ko", "kernel/sound/snd.ko"):
        (modules / module).write_text("module")
    (folder / image).parent.mkdir(parents=True, exist_ok=True)
    (folder / image).write_bytes(stand_ins.IMAGE)
    return modules


def test_a_tree_of_a_distribution_is_booted_as_it_is_if_its_modules_are_ready(machine: Path, kept: Path) -> None:
    modules = tree(Path("tree"))
    (modules / "modules.dep").write_text("kernel/9p.ko:\n")
    assert worker.image_of("./tree") == Path("tree/usr/lib/modules/6.18.1-fc43/vmlinuz")
    assert cache.modules_of(worker.image_of("./tree")) == modules.absolute().parent
    assert not kept.exists()


def test_a_tree_without_modules_is_booted_as_it_is(machine: Path, kept: Path) -> None:
    modules = tree(Path("tree"))
    for path in modules.rglob("*.ko"):
        path.unlink()
    assert worker.image_of("./tree").parent == Path("tree/usr/lib/modules/6.18.1-fc43")
    shutil.rmtree(modules)
    (modules.parent / "other").mkdir()
    Path("tree/boot").mkdir()
    Path("tree/boot/vmlinuz-1").touch()
    assert worker.image_of("./tree/boot/vmlinuz-1") == Path("tree/boot/vmlinuz-1")


@pytest.mark.parametrize("image", ["usr/lib/modules/6.18.1-fc43/vmlinuz", "boot/vmlinuz-6.18.1-fc43"])
def test_modules_that_nobody_has_listed_are_listed_in_a_copy(machine: Path, kept: Path, image: str) -> None:
    modules = tree(Path("tree"), image=image)
    before = sorted(Path("tree").rglob("*"))
    copy = worker.image_of("./tree")
    assert copy.is_relative_to(kept)
    assert copy.parent.parent.name.startswith("tree-6.18.1-fc43-")
    assert copy.name == "vmlinuz-6.18.1-fc43"
    listed = copy.parent.parent / "lib" / "modules" / "6.18.1-fc43" / "modules.dep"
    assert listed.read_text() == "kernel/9p.ko:\n"
    assert sorted(Path("tree").rglob("*")) == before
    # Once, until the image is another one.
    assert worker.image_of(f"./tree/{image}") == copy
    os.utime(f"tree/{image}", (0, 0))
    assert worker.image_of("./tree") != copy
    assert modules.is_dir()


@pytest.mark.parametrize(("program", "end"), [("xz", ".xz"), ("gzip", ".gz"), ("zstd", ".zst")])
def test_compressed_modules_of_a_tree_are_uncompressed_in_a_copy(machine: Path, kept: Path, program: str, end: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program}")
    modules = tree(Path("tree"))
    packed = modules / "kernel" / f"9p.ko{end}"
    with open(packed, "wb") as output:
        subprocess.run([program, "-c", modules / "kernel" / "9p.ko"], stdout=output, check=True)
    (modules / "kernel" / "9p.ko").unlink()
    (modules / "modules.dep").write_text(f"kernel/9p.ko{end}:\n")
    copy = worker.image_of("./tree").parent.parent / "lib" / "modules" / "6.18.1-fc43"
    assert (copy / "kernel" / "9p.ko").read_text() == "module"
    assert not (copy / "kernel" / packed.name).exists()
    assert packed.exists()


def test_without_zstd_the_package_to_install_is_named(machine: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = tree(Path("tree"))
    (modules / "kernel" / "9p.ko.zst").touch()
    found = programs.program
    monkeypatch.setattr(programs, "program", lambda name: None if name == "zstd" else found(name))
    lacks = r"^uncompressing modules requires programs that are not installed: zstd \(Debian's package zstd\)$"
    with pytest.raises(Unavailable, match=lacks):
        worker.image_of("./tree")
    (machine / "zstd").write_text('#!/bin/sh\nfor path; do :; done; touch "${path%.zst}"; rm "$path"\n')
    (machine / "zstd").chmod(0o755)
    monkeypatch.setattr(programs, "program", found)
    assert (worker.image_of("./tree").parent.parent / "lib/modules/6.18.1-fc43/kernel/9p.ko").exists()


def test_the_newest_of_several_kernels_in_a_tree_is_booted(machine: Path, kept: Path) -> None:
    for version in ("6.9.1", "6.18.2"):
        (tree(Path("tree"), image=f"usr/lib/modules/{version}/vmlinuz", version=version) / "modules.dep").touch()
    assert worker.image_of("./tree").parent.name == "6.18.2"


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
