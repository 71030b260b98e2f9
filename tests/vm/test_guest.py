"""A command in a guest: its environment, its results, and messages about missing prerequisites. Nothing is booted."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sockiter.cli import main
from sockiter.errors import InputError, Unavailable
from sockiter.vm import acceleration, cache, guest, programs, worker
from tests.support import stand_ins
from tests.support.command import DEADLINE_S, started, wait_until
from tests.support.paths import ROOT
from tests.support.schemas import validated
from tests.support.stand_ins import alive


@pytest.fixture
def vm(machine: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`sockiter vm`, by default with the image of the stand-ins; its status, output and errors."""

    def run(*arguments: str, options: tuple[str, ...] = ("--no-kvm",), kernel: str = "") -> tuple[int, str, str]:
        command = ["vm", *options, kernel or str(machine / "image"), "--", *arguments]
        result = CliRunner().invoke(main, command)
        out, err = capfd.readouterr()
        return result.exit_code, result.stdout + out, result.stderr + err

    return run


Run = Callable[..., tuple[int, str, str]]


def parent_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return 0


def test_the_output_of_the_command_comes_out_and_its_status_is_returned(vm: Run) -> None:
    assert vm("sh", "-c", "echo one; echo two >&2; exit 7") == (7, "one\n", "two\n")


def test_a_status_of_zero_is_one_too(vm: Run) -> None:
    assert vm("true") == (0, "", "")


def test_a_command_that_there_is_not_has_the_status_of_a_shell(vm: Run) -> None:
    status, _, _ = vm("no-such-command")
    assert status == 127


def test_arguments_arrive_as_they_are(vm: Run) -> None:
    assert vm("printf", "%s|", "a b", "$HOME", "'", '"', "*", "--timeout", "") == (0, "a b|$HOME|'|\"|*|--timeout||", "")


def test_much_output_arrives_whole_before_the_status(vm: Run) -> None:
    status, out, _ = vm("seq", "200000")
    assert (status, out.count("\n"), out.splitlines()[-1]) == (0, 200000, "200000")


def test_output_is_passed_on_while_the_command_runs(machine: Path) -> None:
    command = [sys.executable, "-m", "sockiter", "vm", "--no-kvm", str(machine / "image"), "--", "sh", "-c"]
    with started([*command, "echo early; sleep 60"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"early\n"
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 130


def test_the_guest_runs_this_interpreter_with_this_package_in_this_directory(vm: Run) -> None:
    # Another folder of the name in the working directory changes nothing for the process that starts the guest.
    Path("sockiter").mkdir()
    Path("sockiter/__init__.py").touch()
    code = "import os, sys; sys.path.pop(0); import sockiter; print(sys.prefix, sockiter.__file__, os.getcwd(), sep='\\n')"
    status, out, err = vm("python", "-c", code)
    expected = [sys.prefix, str(ROOT / "sockiter" / "__init__.py"), os.getcwd()]
    assert (status, out.splitlines(), err) == (0, expected, "")


def test_the_command_gets_the_relevant_part_of_the_environment(vm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCKITER_SHOWN", "a 'b'\nc")
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    monkeypatch.setenv("PYTHON-ODD", "no name for a shell")
    found = guest.environment(os.environ)
    assert found["SOCKITER_SHOWN"] == "a 'b'\nc"
    assert {"SECRET_TOKEN", "PYTHON-ODD"} & set(found) == set()
    assert vm("printenv", "SOCKITER_SHOWN") == (0, "a 'b'\nc\n", "")


def test_a_package_that_is_installed_needs_no_place_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert guest.python_path({"PYTHONPATH": "/a::/b"}) == f"{ROOT}:/a:/b"
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(ROOT))
    assert guest.python_path({"PYTHONPATH": "/a"}) == "/a"


def test_the_command_has_no_input(vm: Run) -> None:
    assert vm("wc", "-c") == (0, "0\n", "")


def test_the_directory_for_cases_is_shared_and_removed_when_nothing_came(vm: Run, machine: Path) -> None:
    assert vm("true")[0] == 0
    assert f"sockiter0 {Path('sockiter-cases').absolute()}\n" in (machine / "mounts").read_text()
    assert not Path("sockiter-cases").exists()
    assert vm("sh", "-c", "echo found >sockiter-cases/a.case")[0] == 0
    assert Path("sockiter-cases/a.case").read_text() == "found\n"


def test_a_directory_that_was_there_stays(vm: Run) -> None:
    Path("mine").mkdir()
    assert vm("true", options=("--no-kvm", "--cases", "mine"))[0] == 0
    assert Path("mine").is_dir()
    assert not Path("sockiter-cases").exists()


def test_the_directories_that_the_command_names_for_cases_are_shared_as_well(vm: Run, machine: Path) -> None:
    assert vm("echo", "--cases", "here", "--cases=there", "--cases=")[0] == 0
    text = (machine / "virtme-run.told").read_text()
    for number, name in enumerate(("sockiter-cases", "there", "here")):
        share = f"local,id=sockiter{number},path={Path(name).absolute()},security_model=mapped-xattr,multidevs=remap"
        assert f"{share},fmode=0644,dmode=0755 " in text


def test_no_share_that_a_guest_writes_to_passes_modes_and_owners_on(vm: Run, machine: Path) -> None:
    assert vm("true", options=("--no-kvm", "--cases", "here", "--cases", "there"))[0] == 0
    shares = [word for word in (machine / "virtme-run.told").read_text().split() if word.startswith("local,")]
    written = [share for share in shares if "readonly=on" not in share]
    assert len(shares) == 3
    assert len(written) == 2
    assert all("security_model=mapped-" in share for share in written)


def test_qemu_is_in_its_sandbox_where_it_has_one(vm: Run, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vm("true")[0] == 0
    assert "-sandbox" not in (machine / "virtme-run.told").read_text()
    monkeypatch.setenv("QEMU_STATUS", "0")
    assert vm("true")[0] == 0
    assert "--qemu-opts -sandbox on,obsolete=deny,elevateprivileges=deny," in (machine / "virtme-run.told").read_text()


def test_paths_in_the_command_are_visible(vm: Run, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def take(order: dict[str, Any]) -> int:
        seen.append(order["reads"])
        return 0

    monkeypatch.setattr(worker, "hand_over", take)
    Path("more").mkdir()
    assert vm("true", options=("--read", "more"))[0] == 0
    assert seen == [[str(Path("more").absolute())]]


def test_a_directory_of_any_name_is_shared(vm: Run, machine: Path) -> None:
    assert vm("sh", "-c", "echo x >'a, b=c/x.case'", options=("--no-kvm", "--cases", "a, b=c"))[0] == 0
    assert Path("a, b=c/x.case").exists()
    assert f"path={os.getcwd()}/a,, b=c,security" in (machine / "virtme-run.told").read_text()


def test_an_unwritable_case_directory_is_reported_before_the_boot(
    vm: Run, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    status, _, err = vm("true", options=("--cases", "file/below"))
    assert (status, err) == (
        3,
        "sockiter: file/below: cannot be made: Not a directory; name another directory with --cases\n",
    )
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    status, _, err = vm("true", options=("--cases", "closed"))
    assert (status, err) == (3, "sockiter: closed: cannot be written to; name another directory with --cases\n")
    assert not (machine / "virtme-run.told").exists()


@pytest.mark.parametrize("is_writable", [True, False])
def test_a_guest_is_not_given_the_whole_machine(machine: Path, monkeypatch: pytest.MonkeyPatch, is_writable: bool) -> None:
    """Neither root's nor an ordinary user's."""
    monkeypatch.setattr(os, "access", lambda path, mode: is_writable)
    with pytest.raises(InputError, match="a guest must not write to the whole machine"):
        guest.writable_folders([Path("/")])


def test_hidden_files_that_the_command_needs_are_visible(
    vm: Run, machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(guest, "_HIDDEN", (str(tmp_path),))
    image = Path(machine / "image")
    asked = guest.Guest(image=image, cases=[], timeout_s=60, memory="1G", cpus=1, kvm=False, verbose=False)
    folder = tmp_path / "run"
    folder.mkdir()
    assert guest.run(asked, ["true"], folder, {}) == 0
    text = (machine / "virtme-run.told").read_text()
    assert f"local,id=sockiter0,path={os.getcwd()},security_model=none,multidevs=remap,readonly=on " in text


def test_memory_processors_and_the_image_are_the_requested_ones(vm: Run, machine: Path) -> None:
    assert vm("true", options=("--no-kvm", "--memory", "512M", "--cpus", "3", "--verbose"))[0] == 0
    text = (machine / "virtme-run.told").read_text()
    for words in (
        f"--kimg {machine}/image ",
        "--memory 512M ",
        "--cpus 3 ",
        "--disable-kvm ",
        "--show-boot-console --verbose ",
    ):
        assert words in text


def test_a_folder_with_a_kernel_in_it_is_as_good_as_its_image(vm: Run, machine: Path) -> None:
    Path("kernel/boot").mkdir(parents=True)
    Path("kernel/lib/modules").mkdir(parents=True)
    Path("kernel/boot/vmlinuz-1").write_bytes(stand_ins.IMAGE)
    assert vm("true", kernel="kernel")[0] == 0
    assert f"--kimg {os.getcwd()}/kernel/boot/vmlinuz-1 " in (machine / "virtme-run.told").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("linux-image-6.12",), 2, "expected KERNEL -- COMMAND..., or --build"),
        ((), 2, "expected KERNEL -- COMMAND..., or --build"),
        (("--memory", "much", "a", "--", "true"), 2, "--memory much: expected megabytes or gigabytes, as 512M or 2G"),
        (("--timeout", "0", "a", "--", "true"), 2, "--timeout"),
        (("--build", "6.12", "a", "--", "true"), 2, "--build VERSION goes without KERNEL and COMMAND"),
        (("--no-kvm", "./none", "--", "true"), 3, "none: no kernel image: No such file or directory"),
        (("--no-kvm", ".", "--", "true"), 3, ".: no kernel image in it: expected boot/vmlinuz-* or lib/modules/*/vmlinuz"),
        (("--no-kvm", "text", "--", "true"), 3, "text: no kernel image for x86: expected a bzImage, as in boot/vmlinuz-*"),
        (
            ("--no-kvm", "6.12", "--", "true"),
            3,
            "6.12: no such kernel: expected the path of an image, a tree or a package, or a package such as linux-im",
        ),
        (("--no-kvm", "fault-injection-6.1", "--", "true"), 3, "is not built yet: sockiter vm --build 6.1"),
    ],
)
def test_an_impossible_request_is_reported_in_one_line(
    machine: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, message: str
) -> None:
    Path("text").write_text("no kernel")
    result = CliRunner().invoke(main, ["vm", *arguments])
    _, err = capfd.readouterr()
    assert (result.exit_code, (result.stderr + err).count(message)) == (status, 1)
    assert "Traceback" not in result.stderr + err
    assert not Path("sockiter-cases").exists()


def test_kernels_that_are_here_are_named_where_one_is_unknown(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / "sockiter" / "kernels" / "linux-image-1").mkdir(parents=True)
    (tmp_path / "cache" / "sockiter" / "kernels" / ".linux-image-1.lock").touch()
    with pytest.raises(Unavailable, match=r"; built or downloaded already: linux-image-1$"):
        worker.image_of("6.12")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("virtme-run", r"virtme-run \(virtme-ng: pip install '\.\[vm\]' in a checkout of sockiter\)"),
        ("qemu-system-x86_64", r"qemu-system-x86_64 \(Debian's package qemu-system-x86\)"),
        ("busybox", r"busybox \(Debian's package busybox-static\)"),
    ],
)
def test_each_missing_program_is_named_with_its_package(
    machine: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    Path("kernel/boot").mkdir(parents=True)
    Path("kernel/lib/modules").mkdir(parents=True)
    Path("kernel/boot/vmlinuz-1").write_bytes(stand_ins.IMAGE)
    monkeypatch.setattr(programs, "program", lambda asked: None if asked == name else "/bin/true")
    asked = guest.Guest(
        image=Path("kernel/boot/vmlinuz-1"), cases=[], timeout_s=1, memory="1G", cpus=1, kvm=False, verbose=False
    )
    with pytest.raises(Unavailable, match=f"^booting a kernel requires programs that are not installed: {what}$"):
        guest.run(asked, ["true"], Path(), {})


def test_a_program_that_is_not_there_is_not_run(machine: Path) -> None:
    with pytest.raises(Unavailable, match=r"^no-such-program is not installed$"):
        programs.run(["no-such-program"])


def test_a_silent_failure_of_a_program_is_reported_by_its_status(machine: Path) -> None:
    with pytest.raises(Unavailable, match=r"^false failed: status 1$"):
        programs.run(["false"])


def test_a_program_that_does_not_heed_the_first_signal_is_killed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATIENCE_S", 0.05)
    deaf = "trap '' TERM; echo deaf; while :; do sleep 0.01; done"
    with programs.running(["sh", "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"deaf\n"
    assert process.returncode == -signal.SIGKILL


def test_the_background_processes_of_a_program_end_as_well(machine: Path) -> None:
    with programs.running(["sh", "-c", "sleep 61.25 & echo $!"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        left = int(process.stdout.readline())
        process.wait()
        assert Path(f"/proc/{left}").exists()
    wait_until(lambda: alive("61.25") == [])


def test_without_setpriv_a_program_runs_all_the_same(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = programs.program
    monkeypatch.setattr(programs, "program", lambda name: None if name == "setpriv" else found(name))
    assert programs.dies_with_parent() == []
    assert programs.run(["echo", "here"]) == "here\n"


def test_a_guest_that_does_not_boot_is_reported_with_the_last_output_of_qemu(
    vm: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_BOOT", "1")
    status, _, err = vm("true")
    assert (status, err) == (3, "sockiter: the guest did not come up: qemu: no machine; --verbose shows its console\n")
    status, _, err = vm("true", options=("--no-kvm", "--verbose"))
    assert (status, err) == (3, "qemu: no machine\nsockiter: the guest did not come up\n")


def test_a_guest_that_cannot_share_the_cases_does_not_run_the_command(vm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_MOUNT", "1")
    status, out, err = vm("echo", "ran")
    assert (status, out) == (3, "")
    assert "sockiter: the guest did not come up" in err


def test_a_guest_that_crashes_under_the_command_is_reported_and_has_no_status(vm: Run) -> None:
    status, out, err = vm("sh", "-c", "echo begun; kill -KILL 0")
    assert (status, out) == (3, "begun\n")
    assert err.startswith("sockiter: the guest ended before the command did, perhaps by a crash of the kernel; --verbose")


def test_after_the_time_limit_the_guest_is_ended_and_the_written_files_are_here(vm: Run, tmp_path: Path) -> None:
    status, out, err = vm(
        "sh", "-c", "echo begun; echo x >sockiter-cases/x.case; sleep 62.5", options=("--no-kvm", "--timeout", "1")
    )
    assert (status, out) == (124, "begun\n")
    assert err == "sockiter: the guest was ended after 1 s, its time limit (--timeout)\n"
    assert Path("sockiter-cases/x.case").read_text() == "x\n"
    assert alive("62.5") == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("sent", "to", "status"),
    [
        (signal.SIGINT, "command line", 130),
        (signal.SIGTERM, "command line", 130),
        (signal.SIGHUP, "command line", 130),
        (signal.SIGKILL, "command line", -signal.SIGKILL),
        (signal.SIGKILL, "group", -signal.SIGKILL),
        (signal.SIGKILL, "worker", 3),
    ],
)
def test_whatever_ends_the_command_line_ends_the_guest(
    machine: Path, tmp_path: Path, sent: signal.Signals, to: str, status: int
) -> None:
    # A word of this test's own, since others run beside it.
    mark = f"{sent.name} to {to} under {tmp_path}"
    script = f"echo begun; sleep 63 & wait # {mark}"
    command = [sys.executable, "-m", "sockiter", "vm", "--no-kvm", str(machine / "image"), "--", "sh", "-c", script]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        [folder] = (tmp_path / "tmp").iterdir()
        guests = alive(str(folder))
        assert guests != []
        if to == "group":
            os.killpg(process.pid, sent)
        elif to == "worker":
            [parent] = [pid for pid in alive("sockiter.vm.worker") if parent_of(pid) == process.pid]
            os.kill(parent, sent)
        else:
            process.send_signal(sent)
        process.wait(DEADLINE_S)
        assert process.returncode == status
    wait_until(lambda: alive(mark) == [] and alive(str(folder)) == [])
    wait_until(lambda: list((tmp_path / "tmp").iterdir()) == [])


def test_a_reader_that_has_seen_enough_ends_the_guest(machine: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sockiter", "vm", "--no-kvm", str(machine / "image"), "--", "yes", str(tmp_path)]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{tmp_path}\n".encode()
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 128 + signal.SIGPIPE
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert alive(f"yes\0{tmp_path}") == []


def test_a_worker_without_a_message_ends(machine: Path) -> None:
    command = [sys.executable, "-m", "sockiter.vm.worker"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_a_full_disk_is_reported_in_one_line(vm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # The worker's folder, in which it cannot write.
    monkeypatch.setattr("tempfile.TemporaryDirectory", lambda **how: contextlib.nullcontext("/proc/self"))
    status, _, err = vm("true")
    assert status == 3
    assert err.startswith("sockiter: [Errno ")
    assert err.count("\n") == 1


def test_the_boot_is_reported_only_on_a_terminal(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sockiter.vm import cache

    cache.show_progress("unseen")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    cache.show_progress("booting")
    assert capsys.readouterr().err == "sockiter: booting\n"


def test_a_step_that_takes_long_is_reported_now_and_then_also_without_a_terminal(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "NOW_AND_THEN_S", 0.001)
    lines: list[str] = []
    reported = threading.Event()

    def tell(line: str) -> None:
        lines.append(line)
        reported.set()

    monkeypatch.setattr(cache, "tell", tell)
    with cache.step("booting 6.1", "boot"):
        assert reported.wait(DEADLINE_S)
    assert lines[0] == "booting 6.1: 0 s so far"


def test_a_line_about_a_long_step_begins_otherwise_than_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    cache.tell("at work")
    assert capsys.readouterr().err == "sockiter vm: at work\n"


def test_a_silent_command_is_reported_now_and_then(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    def tell(line: str) -> None:
        if line.startswith("the command runs, "):
            (tmp_path / "reported").touch()

    monkeypatch.setattr(cache, "tell", tell)
    monkeypatch.setattr(cache, "NOW_AND_THEN_S", 0.01)
    asked = guest.Guest(image=machine / "image", cases=[], timeout_s=60, memory="1G", cpus=1, kvm=False, verbose=False)
    wait = ["sh", "-c", f"while [ ! -e {tmp_path}/reported ]; do sleep 0.01; done"]
    assert guest.run(asked, wait, folder, {}) == 0


def test_commands_show_their_progress_in_a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert guest.environment({})["SOCKITER_PROGRESS"] == "lines"
    assert guest.environment({"SOCKITER_PROGRESS": "none"})["SOCKITER_PROGRESS"] == "none"


def test_a_missing_kvm_is_reported_with_its_reason(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(acceleration, "KVM", str(tmp_path / "none"))
    assert acceleration.model(guest.QEMU, tmp_path) == (None, f"{tmp_path}/none: No such file or directory")
    monkeypatch.setattr(acceleration, "KVM", os.devnull)
    model, why = acceleration.model(guest.QEMU, tmp_path)
    assert (model, why) == (None, "/dev/null: KVM_GET_API_VERSION: Inappropriate ioctl for device")
    monkeypatch.setattr(fcntl, "ioctl", lambda descriptor, request: 11)
    assert acceleration.model(guest.QEMU, tmp_path) == (None, "/dev/null: API version 11; expected 12")


@pytest.fixture
def kvm(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev/kvm that opens and answers; the stand-in decides qemu's result. The folder for the trial."""
    monkeypatch.setattr(acceleration, "KVM", os.devnull)
    monkeypatch.setattr(acceleration, "_LIMIT_S", DEADLINE_S)
    monkeypatch.setattr(fcntl, "ioctl", lambda descriptor, request: 12)
    return machine


def test_kvm_works_where_a_loop_ends_on_it(kvm: Path) -> None:
    assert acceleration.model(guest.QEMU, kvm) == ("host", "")


def test_the_second_model_is_tried_where_qemu_fails_with_the_first(kvm: Path) -> None:
    (kvm / "qemu-system-x86_64").write_text("#!/bin/sh\ncase $4 in host) kill -ABRT $$;; *) exit 33;; esac\n")
    assert acceleration.model(guest.QEMU, kvm) == ("host,arch-capabilities=off", "")


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ("exit 1", "qemu-system-x86_64 ends with status 1 on /dev/null"),
        ("kill -ABRT $$", "qemu-system-x86_64 ends with SIGABRT on /dev/null"),
    ],
)
def test_a_kvm_on_which_qemu_fails_is_none(kvm: Path, ends: str, why: str) -> None:
    (kvm / "qemu-system-x86_64").write_text(f"#!/bin/sh\n{ends}\n")
    assert acceleration.model(guest.QEMU, kvm) == (None, why)


def test_a_kvm_on_which_the_loop_does_not_end_is_none(kvm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (kvm / "qemu-system-x86_64").write_text("#!/bin/sh\nsleep 64\n")
    monkeypatch.setattr(acceleration, "_LIMIT_S", 0.1)
    assert acceleration.model(guest.QEMU, kvm) == (None, "/dev/null is slower than emulation")


def test_with_kvm_the_guest_has_the_model_that_was_found(kvm: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    asked = guest.Guest(image=kvm / "image", cases=[], timeout_s=60, memory="1G", cpus=1, kvm=True, verbose=False)
    assert guest.run(asked, ["true"], folder, {}) == 0
    text = (kvm / "virtme-run.told").read_text()
    assert "--qemu-opts -cpu host -fsdev" in text
    assert "--disable-kvm" not in text


def test_the_loop_is_a_bios_that_starts_at_its_end() -> None:
    image = acceleration.loop(0x01020304)
    assert len(image) == 1 << 16
    assert image[:6] == b"\x66\xb9\x04\x03\x02\x01"
    assert image[-16:-11] == b"\xea\x00\x00\x00\xf0"


def test_an_end_of_a_session_ends_all_of_it_and_nothing_else(machine: Path) -> None:
    with started(["sleep", "65.5"], start_new_session=True) as process:
        worker.end_session(process.pid + 1_000_000)
        assert process.poll() is None
        worker.end_session(process.pid)
    assert process.returncode == -signal.SIGKILL


def test_an_order_is_refused_where_the_worker_is_gone_at_once(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert worker.hand_over({"do": "build", "version": "x" * 100_000}) == 1


# The document.


@pytest.fixture
def vm_document(machine: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """`sockiter vm --json`: its status, its document, and its errors."""

    def run(*arguments: str, options: tuple[str, ...] = ()) -> tuple[int, Any, str]:
        result = CliRunner().invoke(main, ["vm", "--json", *options, *arguments])
        out, err = capfd.readouterr()
        document = json.loads(result.stdout + out)
        return result.exit_code, validated(document, "error" if "error" in document else "vm"), result.stderr + err

    return run


VmDocument = Callable[..., tuple[int, Any, str]]


def test_the_document_has_the_output_of_the_command_and_the_guest(vm_document: VmDocument, machine: Path) -> None:
    command = ["sh", "-c", "echo one; printf '\\377'; echo two >&2; exit 3"]
    status, document, err = vm_document("--no-kvm", str(machine / "image"), "--", *command)
    assert (status, err) == (3, "two\n")
    assert 0 <= document.pop("boot_seconds") <= document.pop("seconds")
    assert document == {
        "version": 1,
        "kernel": str(machine / "image"),
        "image": str(machine / "image"),
        "command": command,
        "outcome": "finished",
        "status": 3,
        "trouble": None,
        "acceleration": "emulation",
        "why_emulated": "--no-kvm",
        "output": "one\n�",
    }


def test_the_document_reports_the_time_limit(vm_document: VmDocument, machine: Path) -> None:
    command = ("--", "sh", "-c", "echo one; sleep 66")
    status, document, _ = vm_document("--no-kvm", "--timeout", "1", str(machine / "image"), *command)
    assert (status, document["outcome"], document["status"], document["output"]) == (124, "timed out", 124, "one\n")


def test_the_document_has_the_reason_why_a_guest_failed(
    vm_document: VmDocument, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_BOOT", "1")
    status, document, err = vm_document("--no-kvm", str(machine / "image"), "--", "true")
    assert (status, document["outcome"], document["boot_seconds"]) == (3, "failed", None)
    assert document["trouble"].startswith("the guest did not come up: qemu: no machine")
    assert err == f"sockiter: {document['trouble']}\n"


def test_a_kernel_that_cannot_be_had_is_an_error(vm_document: VmDocument) -> None:
    status, document, err = vm_document("nonsense", "--", "true")
    assert (status, document["status"]) == (3, 3)
    assert err == f"sockiter: {document['error']}\n"


def test_the_document_of_a_build_has_the_image(vm_document: VmDocument, machine: Path) -> None:
    boot = cache.folder() / "fault-injection-6.12" / "boot"
    boot.mkdir(parents=True)
    image = boot / "vmlinuz-6.12.1"
    image.write_bytes((machine / "image").read_bytes())
    status, document, _ = vm_document("--build", "6.12")
    assert (status, document["outcome"], document["kernel"], document["image"]) == (0, "built", "6.12", str(image))
    assert (document["command"], document["acceleration"], document["output"]) == ([], None, "")


def test_a_worker_that_reports_nothing_was_interrupted(vm_document: VmDocument, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_hand_over", lambda order, output, descriptors: 130)
    status, document, _ = vm_document("nonsense", "--", "true")
    assert (status, document["error"]) == (130, "interrupted")


def test_a_silent_worker_reports_an_error_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    account = worker.Account()
    order = {"do": "run", "kernel": "no-kernel", "command": [], "cases": [], "reads": [], "is_silent": True}
    assert worker.hand_over(order, account) == 3
    assert account.report["trouble"].startswith("no-kernel: no such kernel")
    assert capfd.readouterr() == ("", "")
