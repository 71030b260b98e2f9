"""`tox -e fresh` without root: its parts, its commands, and the settings that it reads from the machine."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests import fresh
from tests.fresh import Part, Registries, Unavailable
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
REGISTRIES = Registries(
    "http://mirror.test/debian/", ('Acquire::Retries "3"',), {"PIP_INDEX_URL": "http://pip.test/"}, "/a.pem"
)


def named(parts: list[Part]) -> list[str]:
    return [f"{part.suite} {part.name}" for part in parts]


def test_the_package_excludes_the_python_whose_fork_server_has_no_password() -> None:
    pythons = SpecifierSet(PROJECT["requires-python"])
    assert not pythons.contains("3.11.0")
    assert all(pythons.contains(f"{python}.1") for python in [*PYTHONS, "3.16"])


def test_classifiers_tox_ci_and_roots_name_the_same_pythons() -> None:
    prefix = "Programming Language :: Python :: "
    assert [line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix)] == PYTHONS
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    for environment in ("coverage", "slow", "bench"):
        assert sorted(re.findall(r"python(3\.\d+)", tox[f"testenv:{environment}"]["base_python"])) == PYTHONS
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    installed = re.search(r"python-version: \|\n((?: +3\.\d+\n)+)", workflow)
    assert installed is not None
    assert sorted(installed[1].split()) == PYTHONS
    assert {python for pythons in fresh.SUITES.values() for python in pythons} <= set(PYTHONS)


def test_the_commands_of_the_readme_are_the_lines_of_its_sh_blocks() -> None:
    assert fresh.readme_command(README, "Run it").endswith(" install -q pip . && venv/bin/sockiter fuzz")
    assert fresh.readme_command(README, "Test it").endswith(" install -q tox && venv-tox/bin/tox")


@pytest.mark.parametrize(
    "text",
    [
        "## Other\n```sh\ntrue\n```\n",
        "## Run it\n```\ntrue\n```\n",
        "## Run it\n```sh\n```\n",
        "## Run it\n```sh\ntrue\nfalse\n```\n",
        "## Run it\nNothing.\n## Test it\n```sh\ntrue\n```\n",
        "## Run it too\n```sh\ntrue\n```\n",
    ],
)
def test_a_section_without_one_command_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"README\.md: the section 'Run it' has no `sh` block of one line"):
        fresh.readme_command(text, "Run it")


def test_without_words_all_parts_of_all_roots_are_chosen() -> None:
    assert named(fresh.chosen([], README)) == [
        *("bookworm run", "bookworm test", "bookworm 3.11"),
        *("trixie run", "trixie test", "trixie 3.13"),
        *("sid run", "sid test", "sid 3.14", "sid 3.15"),
    ]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["trixie"], ["trixie run", "trixie test", "trixie 3.13"]),
        (["run"], ["bookworm run", "trixie run", "sid run"]),
        (["quick"], ["bookworm 3.11", "trixie 3.13", "sid 3.14", "sid 3.15"]),
        (["3.15"], ["sid 3.15"]),
        (["3.15", "sid", "test", "bookworm"], ["bookworm test", "sid test", "sid 3.15"]),
    ],
)
def test_words_choose_roots_and_parts(words: list[str], parts: list[str]) -> None:
    assert named(fresh.chosen(words, README)) == parts


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sid", "3.12"], r"3\.12: neither a root \(bookworm, trixie, sid\) nor a part \(run, test, quick, 3\.11, .*\)"),
        (["bookworm", "3.15"], r"bookworm 3\.15: there is no such part in this root"),
    ],
)
def test_words_that_choose_nothing_are_an_error(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fresh.chosen(words, README)


def test_the_quick_tests_run_on_their_python_in_an_environment_of_their_own() -> None:
    (part,) = fresh.chosen(["3.15"], README)
    assert part.command.startswith("python3.15 -m venv ")
    assert part.command.endswith(" -m 'not slow and not kernel' tests")
    assert part.tests


@pytest.mark.parametrize("program", ["mmdebstrap", "debootstrap"])
def test_a_root_is_made_of_signed_packages_only(program: str) -> None:
    command = fresh.making(program, "sid", Path("/cache/part"), REGISTRIES)
    assert command[-3:] == ["sid", "/cache/part", "http://mirror.test/debian/"]
    assert f"--keyring={fresh.KEYRING}" in command
    assert "--include=python3,python3-pip,python3.14,python3.15" in command
    assert ("--force-check-gpg" in command) == (program == "debootstrap")
    assert ('--aptopt=Acquire::Retries "3"' in command) == (program == "mmdebstrap")


def test_mounts_are_private_and_everything_dies_with_the_caller() -> None:
    for command in (
        fresh.inside("sid-3.14", "true", REGISTRIES),
        fresh.making("debootstrap", "sid", Path("/a"), REGISTRIES),
    ):
        assert command[:3] == ["setpriv", "--pdeathsig", "KILL"]
        assert command[3] == "unshare"
        assert {"--mount", "--pid", "--fork", "--kill-child"} <= set(command[:9])


def test_a_command_finds_the_tree_and_the_variables_of_registries_only() -> None:
    command = fresh.inside("sid-3.14", "python3 --version", REGISTRIES)
    behind = command[command.index("env") :]
    assert behind == [
        *("env", "-i", "HOME=/home/newcomer", "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin"),
        *("PIP_INDEX_URL=http://pip.test/", "sh", "-c", "cd ~/sockiter && python3 --version"),
    ]
    assert command[command.index("env") - 3 : command.index("env")] == ["sid-3.14", "home/newcomer/sockiter", "/a.pem"]


def test_the_mirror_is_that_of_the_first_source_of_debians_archive() -> None:
    targets = (
        "Elsewhere Debian http://other.test/\n"
        "Debian Debian-Security http://security.test/debian-security/\n"
        "Debian Debian http://mirror.test/debian/\n"
        "Debian Debian http://second.test/debian/\n"
    )
    assert fresh.debian_mirror(targets) == "http://mirror.test/debian/"
    with pytest.raises(Unavailable, match="apt has no source of Debian's archive here"):
        fresh.debian_mirror("Ubuntu Ubuntu http://mirror.test/ubuntu/\n")


def test_of_apts_settings_those_on_the_way_to_a_registry_are_kept() -> None:
    settings = (
        'Acquire "";\n'
        'Acquire::AllowInsecureRepositories "1";\n'
        'Acquire::http "";\n'
        'Acquire::http::Proxy "http://proxy.test:3128";\n'
        'Acquire::https::CAInfo "/etc/ca.pem";\n'
        'Acquire::Languages:: "de";\n'
        'Acquire::Check-Date "false";\n'
    )
    assert fresh.apt_options(settings) == (
        'Acquire::http::Proxy "http://proxy.test:3128"',
        'Acquire::https::CAInfo "/etc/ca.pem"',
        'Acquire::Check-Date "false"',
    )


def test_of_pips_settings_those_on_the_way_to_a_registry_are_kept() -> None:
    settings = (
        ":env:.default-timeout='180'\n"
        ":env:.index-url='https://variable.test/simple'\n"
        "download.proxy='http://unused.test'\n"
        "global.cert='/etc/ca.pem'\n"
        "global.constraint='/etc/constraints.txt'\n"
        "global.extra-index-url='file:///wheels/simple https://extra.test/simple\\n/wheels'\n"
        "global.find-links='/wheels'\n"
        "global.index-url='https://file.test/simple'\n"
        "install.trusted-host='extra.test'\n"
    )
    environment = {
        "HTTPS_PROXY": "http://proxy.test",
        "no_proxy": "localhost",
        "HOME": "/root",
        "SSL_CERT_FILE": "/other.pem",
    }
    assert fresh.pip_variables(settings, environment) == (
        {
            "HTTPS_PROXY": "http://proxy.test",
            "no_proxy": "localhost",
            "PIP_INDEX_URL": "https://variable.test/simple",
            "PIP_EXTRA_INDEX_URL": "https://extra.test/simple",
            "PIP_TRUSTED_HOST": "extra.test",
            "PIP_DEFAULT_TIMEOUT": "180",
            "PIP_CERT": "/etc/ssl/registries.pem",
        },
        "/etc/ca.pem",
    )


def test_a_machine_without_settings_passes_on_nothing_and_certificates_of_the_environment_are_used() -> None:
    assert fresh.pip_variables("", {"HOME": "/root"}) == ({}, "")
    assert fresh.pip_variables("", {"SSL_CERT_FILE": "/b.pem"}) == ({"PIP_CERT": "/etc/ssl/registries.pem"}, "/b.pem")


def test_no_registry_is_named() -> None:
    assert "://" not in Path(fresh.__file__).read_text(encoding="utf-8")


def test_the_output_of_a_command_is_kept_with_its_status(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["sh", "-c", "echo out; echo err >&2; pwd; exit 3"]
    assert fresh.carry_out(command, log, title="a title", cwd=tmp_path) == 3
    assert log.read_text() == f"$ a title\nout\nerr\n{tmp_path}\n"


def test_a_command_whose_time_is_up_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    assert fresh.carry_out(command, tmp_path / "log", title="a title", cwd=tmp_path, time_limit_s=0.0) is None


QUICK = Part("sid", "3.15", "true", tests=True)


@pytest.mark.parametrize(
    ("part", "status", "output", "expected"),
    [
        (Part("sid", "run", "true", tests=False), 0, "a table", (True, "passed")),
        (QUICK, 0, "....\n3376 passed, 35 skipped in 154.00s (0:02:33)\n", (True, "passed, 3376 passed, 35 skipped")),
        (
            Part("sid", "test", "true", tests=True),
            0,
            "12 passed in 1.00s\n  coverage: OK (3.02=setup[1]+cmd[2] seconds)\n  py313: SKIP (0.01 seconds)\n",
            (True, "passed, coverage OK, py313 skipped"),
        ),
        (QUICK, 0, "0 passed", (False, "FAILED: no test ran: sid.log")),
        (QUICK, 1, "1 failed, 3 passed in 1.00s", (False, "FAILED: status 1: sid.log")),
        (QUICK, None, "", (False, "FAILED: its time was up: sid.log")),
    ],
)
def test_a_part_passes_with_status_0_and_where_it_has_tests_only_if_some_ran(
    part: Part, status: int | None, output: str, expected: tuple[bool, str]
) -> None:
    assert fresh.judged(part, status, output, Path("sid.log")) == expected


def test_a_line_has_the_part_its_duration_and_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    with fresh.timed("sid", "3.15") as outcome:
        assert capsys.readouterr().out == "sid       3.15 "
        outcome.text = "passed"
    assert re.fullmatch(r" +0\.\d s  passed\n", capsys.readouterr().out)


def test_without_root_or_programs_a_message_names_the_prerequisite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unavailable, match="it must be run as root"):
        fresh.require()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"not installed: unshare \(Debian's package util-linux\), "):
        fresh.require()
    for name in fresh.PROGRAMS:
        (tmp_path / name).touch(mode=0o755)
    with pytest.raises(Unavailable, match="neither mmdebstrap nor debootstrap is installed"):
        fresh.require()
    (tmp_path / "debootstrap").touch(mode=0o755)
    monkeypatch.setattr(fresh, "KEYRING", tmp_path / "keyring")
    with pytest.raises(Unavailable, match="keyring is not there: apt-get install debian-archive-keyring"):
        fresh.require()
    (tmp_path / "keyring").touch()
    fresh.require()
    assert fresh.maker() == "debootstrap"


def test_roots_are_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fresh.cache_folder() == tmp_path / "sockiter" / "fresh"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert fresh.cache_folder() == Path("/home/somebody/.cache/sockiter/fresh")


class TestRoot:
    """The root of a suite, made by a stand-in for mmdebstrap."""

    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "logs").mkdir()
        programs = tmp_path / "programs"
        programs.mkdir()
        for name, script in {
            "mmdebstrap": 'for part; do folder=$last last=$part; done; mkdir -p "$folder/etc"; touch "$folder/etc/hostname"',
            "chroot": 'touch "$1/$2"',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(fresh, "namespaces", list)
        return tmp_path

    def test_a_root_is_made_once_and_kept_without_the_names_of_this_machine(
        self, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fresh.root("sid", home, REGISTRIES, anew=False) == "sid-3.14-3.15"
        assert sorted(path.name for path in (home / "sid-3.14-3.15").rglob("*")) == ["etc", "useradd"]
        assert capsys.readouterr().out.endswith(" s  made\n")
        (home / "sid-3.14-3.15" / "mark").touch()
        assert fresh.root("sid", home, REGISTRIES, anew=False) == "sid-3.14-3.15"
        assert re.search(r" s  kept, made \d{4}-\d\d-\d\d\n$", capsys.readouterr().out)
        assert (home / "sid-3.14-3.15" / "mark").exists()

    def test_a_root_is_made_anew_on_request(self, home: Path) -> None:
        fresh.root("sid", home, REGISTRIES, anew=False)
        (home / "sid-3.14-3.15" / "mark").touch()
        assert fresh.root("sid", home, REGISTRIES, anew=True) == "sid-3.14-3.15"
        assert not (home / "sid-3.14-3.15" / "mark").exists()
        assert list(home.glob(".*.part")) == []

    def test_the_leftovers_of_a_killed_process_are_removed(self, home: Path) -> None:
        (home / ".sid-3.14-3.15.abc.part" / "etc").mkdir(parents=True)
        fresh.root("sid", home, REGISTRIES, anew=False)
        assert list(home.glob(".*.part")) == []

    @pytest.mark.parametrize("program", ["mmdebstrap", "chroot"])
    def test_a_root_that_cannot_be_made_is_reported_and_not_kept(
        self, home: Path, program: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (home / "programs" / program).write_text("#!/bin/sh\necho no such suite; exit 9\n")
        assert fresh.root("sid", home, REGISTRIES, anew=False) is None
        assert capsys.readouterr().out.endswith(f" s  FAILED: status 9: {home}/logs/sid-root.log\n")
        assert "no such suite" in (home / "logs" / "sid-root.log").read_text()
        assert [path.name for path in home.iterdir() if "sid" in path.name] == [".sid-3.14-3.15.lock"]
