"""Schemes of other packages: an installed scheme works like any other, and a broken one does not disturb the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner, Result

from sockiter import targets, watch
from sockiter.backend import Target
from sockiter.cases import Expect, dumps, files, load, loads
from sockiter.check import verify
from sockiter.claims import HAZARDS, known_failure
from sockiter.cli import main
from sockiter.errors import Unavailable
from sockiter.fuzzing.campaign import Ended, FuzzJob, annotated, search
from sockiter.fuzzing.drivers import DRIVERS
from sockiter.fuzzing.triage import Triage
from sockiter.kernel import KERNEL_TARGETS
from sockiter.plugins import GROUP, BrokenPlugin, PluginTarget, load_plugins
from sockiter.replay import replay
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD
from sockiter.simulation import SchemeTarget
from sockiter.targets import SCHEME_TARGETS, target_named
from tests.support.inline_workers import work_inline
from tests.support.kernel_targets import ABSENT, with_capabilities
from tests.support.packages import EXAMPLE, python
from tests.support.packages import install as install_package
from tests.support.paths import CASES, ROOT

RFC_SKIP = CASES / "rfc_skip.case"

# A package of one module, in which every test finds the scheme that it needs.
FOREIGN = """
import atexit
import os
import signal
from sockiter.claims import Harm, KnownFailure, harm, known_failure
from sockiter.schemes.offset_udp import OffsetUdp


class Foreign(OffsetUdp):
    name = "foreign"


class Needy(Foreign):
    def __init__(self, slots):
        pass


class Moody(Foreign):
    @property
    def summary(self):
        raise ValueError("not today,\\n\\n  nor tomorrow" + 300 * ", nor ever")


class Silent(Foreign):
    @property
    def summary(self):
        raise ValueError


class Shy(Foreign):
    def open(self, slots, table):
        return None


class Clumsy(Foreign):
    def begin(self, state, table):
        raise IndexError("bucket [/3]")  # THE LINE


class Leaver(Foreign):
    def begin(self, state, table):
        raise SystemExit(0)  # AND LEAVES


class Quitter(Foreign):
    def begin(self, state, table):
        os._exit(0)


class Replacer(Foreign):
    def begin(self, state, table):
        os.execv("/bin/true", ["true"])


class Killed(Foreign):
    def begin(self, state, table):
        os.kill(os.getpid(), signal.SIGKILL)


class Interrupting(Foreign):
    def begin(self, state, table):
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()


class Deaf(Interrupting):
    def open(self, slots, table):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return super().open(slots, table)


class Orphan(Foreign):
    def begin(self, state, table):
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()


class Late(Foreign):
    def begin(self, state, table):
        atexit.register(os._exit, 0)
        raise SystemExit


class Talker(Foreign):
    def begin(self, state, table):
        print("printed")
        os.write(1, b"written\\n")
        return super().begin(state, table)


class Garbled(Foreign):
    def canonical(self, at, table, where):
        raise LookupError("no form")  # NO FORM


class Lost(Foreign):
    def place(self, state):
        raise KeyError("nowhere")


class Nothing:
    name = "foreign"
    summary = "nothing"


class Former:
    # Declares its known failures by their earlier names.

    name = "foreign"
    summary = progress = "former"
    hazards, tables = OffsetUdp.hazards, OffsetUdp.tables
    harms = (harm("skip", "remove"), Harm("repeat", frozenset({"add-head"})))
    open, begin, resume, place = OffsetUdp.open, OffsetUdp.begin, OffsetUdp.resume, OffsetUdp.place


def with_member(name, value):
    return type("Foreign", (Foreign,), {name: value})


def make():
    return Foreign()


def leave():
    raise SystemExit("leaving")


def vanish():
    os._exit(0)


def chatter():
    print("printed")
    os.write(1, b"written\\n")
    return Foreign()


instance = Foreign()
former = Former()
another = with_member("name", "another")
no_summary = with_member("summary", None)
a_number = with_member("progress", 7)
a_list_of_hazards = with_member("hazards", ["remove"])
unknown_hazards = with_member("hazards", frozenset({"reset"}))
a_list_of_failures = with_member("known_failures", [])
a_kind_alone = with_member("known_failures", ("skip",))
an_unknown_kind = with_member("known_failures", (KnownFailure("loss", frozenset()),))
a_failure_beyond = with_member("known_failures", (known_failure("skip", "rollover"),))
no_table = with_member("tables", ())
a_list_of_tables = with_member("tables", [""])
one_table_twice = with_member("tables", ("a", "a"))
two_words = with_member("tables", ("a b",))
a_nameless_second = with_member("tables", ("a", ""))
a_text = with_member("place", "0:0")
a_former_list = with_member("harms", [])
"""


def put(directory: Path, *entries: str) -> None:
    """The files of that package once installed, with these entry points."""
    (directory / "foreign.py").write_text(FOREIGN, encoding="utf-8")
    information = directory / "foreign-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1\n", encoding="utf-8")
    (information / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entries, ""]), encoding="utf-8")


class Install(Protocol):
    def __call__(self, *entries: str, taken: tuple[str, ...] = ()) -> list[Target]: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """The targets of the package in this process, with these entry points."""
    before = {target.name for target in load_plugins(())}

    def install_foreign(*entries: str, taken: tuple[str, ...] = ()) -> list[Target]:
        directory = tmp_path / "site"
        directory.mkdir()
        put(directory, *entries)
        monkeypatch.syspath_prepend(directory)
        # Other packages may be there wherever these tests are run.
        return [target for target in load_plugins(taken) if target.name not in before]

    yield install_foreign
    sys.modules.pop("foreign", None)


@pytest.fixture
def foreign(install: Install, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Target:
    """The target of an entry point `foreign = foreign:OBJECT`; the commands know of it, and of no kernel that runs."""
    with_capabilities(monkeypatch, ABSENT)
    (target,) = install(f"foreign = foreign:{request.param}")
    modules = ["sockiter.targets", *(f"sockiter.cli.{command}" for command in ("replay", "subject", "targets"))]
    for module in modules:
        monkeypatch.setattr(import_module(module), "TARGETS", (*SCHEME_TARGETS, target, *KERNEL_TARGETS))
    for module in ("sockiter.targets", "sockiter.cli.replay"):
        monkeypatch.setattr(import_module(module), "PLUGIN_TARGETS", (target,))
    return target


def with_foreign(given: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("foreign", [given], indirect=True)


def sockiter(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="sockiter", catch_exceptions=False)


def trouble(result: Result) -> str:
    """The only line of a missing prerequisite."""
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    return result.stderr.removeprefix("sockiter: ").rstrip("\n")


# The value of an entry point.


@pytest.mark.parametrize("given", ["Foreign", "instance", "make"])
def test_an_entry_point_is_a_scheme_or_its_factory(given: str, install: Install) -> None:
    (target,) = install(f"foreign = foreign:{given}")
    assert isinstance(target, PluginTarget)
    assert (target.name, target.summary, target.known_failures) == ("foreign", OffsetUdp.summary, OffsetUdp.known_failures)
    assert (target.is_real, target.slots) == (False, None)
    case = load(RFC_SKIP)
    with target.session() as session:
        as_foreign = replay(case, target, session)
    with target_named("offset-udp").session() as session:
        as_own = replay(case, target_named("offset-udp"), session)
    assert (as_foreign.reads, as_foreign.verdict) == (as_own.reads, as_own.verdict)


@pytest.mark.parametrize("given", ["Former", "former"])
def test_known_failures_may_be_declared_by_their_earlier_names(given: str, install: Install) -> None:
    (target,) = install(f"foreign = foreign:{given}")
    assert isinstance(target, PluginTarget)
    expected = (known_failure("skip", "remove"), known_failure("repeat", "add-head"))
    assert target.known_failures == SchemeTarget(target.scheme).known_failures == expected


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("nonsense:Foreign", "cannot be loaded: ModuleNotFoundError: No module named 'nonsense'"),
        ("foreign:Absent", "cannot be loaded: AttributeError: module 'foreign' has no attribute 'Absent'"),
        ("foreign:Needy", "cannot be loaded: TypeError: Needy.__init__() missing 1 required positional argument: 'slots'"),
        ("foreign:leave", "cannot be loaded: SystemExit: leaving"),
        ("foreign:Silent", "cannot be loaded: ValueError"),
        ("foreign:Nothing", "is no scheme: it has no progress, known_failures, hazards, tables, open, begin, resume, place"),
        ("foreign:another", "is no scheme: `name` is 'another': expected 'foreign', the name of its entry point"),
        ("foreign:no_summary", "is no scheme: `summary` is None: expected a str"),
        ("foreign:a_number", "is no scheme: `progress` is 7: expected a str"),
        ("foreign:a_list_of_hazards", "is no scheme: `hazards` is ['remove']: expected a frozenset of any of add-head, "),
        ("foreign:unknown_hazards", "is no scheme: `hazards` is frozenset({'reset'}): expected a frozenset of any of "),
        ("foreign:a_list_of_failures", "is no scheme: `known_failures` is []: expected a tuple of KnownFailure "),
        ("foreign:a_former_list", "is no scheme: `harms` is []: expected a tuple of KnownFailure within its hazards"),
        ("foreign:a_kind_alone", "is no scheme: `known_failures` is ('skip',): expected a tuple of KnownFailure "),
        (
            "foreign:an_unknown_kind",
            "is no scheme: `known_failures` is (KnownFailure(kind='loss', hazards=frozenset(), moved=False, elsew",
        ),
        (
            "foreign:a_failure_beyond",
            "is no scheme: `known_failures` is (KnownFailure(kind='skip', hazards=frozenset({'rollover",
        ),
        ("foreign:no_table", "is no scheme: `tables` is (): expected ('',), or different names in order"),
        ("foreign:a_list_of_tables", "is no scheme: `tables` is ['']: expected "),
        ("foreign:one_table_twice", "is no scheme: `tables` is ('a', 'a'): expected "),
        ("foreign:two_words", "is no scheme: `tables` is ('a b',): expected "),
        ("foreign:a_nameless_second", "is no scheme: `tables` is ('a', ''): expected "),
        ("foreign:a_text", "is no scheme: `place` is '0:0': expected a method"),
    ],
)
def test_an_entry_point_without_a_scheme_is_a_target_with_a_reason(given: str, why: str, install: Install) -> None:
    (target,) = install(f"foreign = {given}")
    assert isinstance(target, BrokenPlugin)
    assert (target.name, target.summary) == ("foreign", f"entry point foreign = {given}")
    assert target.missing().startswith(f"{given} {why}")


def test_the_message_about_a_broken_scheme_is_one_line_of_limited_length(install: Install) -> None:
    (target,) = install("foreign = foreign:Moody")
    missing = target.missing()
    assert missing is not None
    assert missing.startswith("foreign:Moody cannot be loaded: ValueError: not today, nor tomorrow, nor ever, nor ever")
    assert missing.endswith(" ...")
    assert len(missing) < 400


@pytest.mark.parametrize("name", ["kernel:mine", "two words", "-x", "a.b", "x[/b]"])
def test_a_name_that_is_not_a_plain_word_is_refused(name: str, install: Install) -> None:
    (target,) = install(f"{name} = foreign:Foreign")
    # Without the markup of the tables of the command line.
    assert target.name == f"{name.replace('[/', '??').replace(']', '?')} (foreign:Foreign)"
    assert target.summary == f"entry point {name} = foreign:Foreign"
    assert target.missing() == "its name has other characters than letters, digits, dashes and underscores"


def test_a_name_that_is_taken_stays_with_whom_it_belongs_to(install: Install) -> None:
    given = install("foreign = foreign:instance", "foreign = foreign:Foreign", "mine = foreign:another", taken=("mine",))
    assert [(target.name, target.missing()) for target in given] == [
        ("foreign", None),
        ("foreign (foreign:instance)", "its name is another target's"),
        ("mine (foreign:another)", "its name is another target's"),
    ]


def test_a_broken_one_is_in_the_way_of_no_other(install: Install) -> None:
    given = install("another = foreign:another", "broken = foreign:leave", "foreign = foreign:Foreign")
    assert [(target.name, target.missing() is None) for target in given] == [
        ("another", True),
        ("broken", False),
        ("foreign", True),
    ]


def test_a_broken_one_can_be_put_through_nothing(install: Install) -> None:
    (target,) = install("foreign = foreign:Absent")
    assert (target.hazards, target.known_failures) == (frozenset(), ())
    with pytest.raises(Unavailable, match=r"^foreign does not run here: foreign:Absent cannot be loaded: "):
        target.session()


def test_no_scheme_of_another_package_has_the_name_of_one_of_the_project() -> None:
    assert len({target.name for target in targets.TARGETS}) == len(targets.TARGETS)
    assert targets.TARGETS[: len(SCHEME_TARGETS)] == SCHEME_TARGETS


# The commands with a scheme of a package.


@with_foreign("a_text")
def test_a_broken_one_is_listed_with_the_reason(foreign: Target) -> None:
    listed = json.loads(sockiter("targets", "--json").stdout)
    assert listed[len(SCHEME_TARGETS)] == {
        "version": 1,
        "target": "foreign",
        "summary": "entry point foreign = foreign:a_text",
        "hazards": [],
        "features": [],
        "admits": [],
        "runs_here": False,
        "missing": "foreign:a_text is no scheme: `place` is '0:0': expected a method",
        "walks_by": None,
        "in_place": None,
    }
    assert "foreign:a_text is no scheme:" in sockiter("targets").stdout


@pytest.mark.usefixtures("foreign")
@with_foreign("a_text")
@pytest.mark.parametrize("command", [["fuzz"], ["replay", RFC_SKIP, "--target"], ["show", RFC_SKIP, "--target"]])
def test_a_named_broken_scheme_is_reported_with_its_reason(
    command: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reason = "foreign:a_text is no scheme: `place` is '0:0': expected a method"
    assert trouble(sockiter(*command, "foreign")).endswith(f": {reason}")


@with_foreign("a_text")
def test_a_fuzz_of_everything_leaves_out_the_broken_scheme_with_a_message(
    foreign: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_inline(monkeypatch)
    monkeypatch.setattr(import_module("sockiter.cli.subject"), "TARGETS", (target_named("index"), foreign))
    options = ["--seconds", "0.1", "--workers", "1", "--driver", "swarm", "--cases", tmp_path / "cases"]
    result = sockiter("fuzz", *options, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert [one["target"] for one in report["targets"]] == ["index"]
    assert [one["target"] for one in report["not_here"]] == ["foreign"]


@pytest.mark.usefixtures("foreign")
@with_foreign("Foreign")
def test_a_case_has_expectations_of_a_scheme_of_another_package_only_by_name(tmp_path: Path) -> None:
    result = sockiter("replay", RFC_SKIP)
    assert result.exit_code == 0
    assert f"  {'foreign':<22}  not run: the case expects nothing of this target\n" in result.stdout
    named = sockiter("replay", RFC_SKIP, "--target", "foreign")
    assert named.exit_code == 0
    assert "  foreign  skip B, a known failure; not compared: the case expects nothing of this target\n" in named.stdout

    naming = tmp_path / "naming.case"
    naming.write_text(f"expect foreign skip C\n{dumps(load(RFC_SKIP))}", encoding="utf-8")
    result = sockiter("replay", naming)
    assert result.exit_code == 1
    assert f"  {'foreign':<22}  skip B, NOT AS EXPECTED: skip C\n" in result.stdout
    assert sockiter("show", naming).stdout.startswith(f"{naming} on offset-udp\n")


@pytest.mark.usefixtures("foreign")
@with_foreign("Foreign")
def test_record_uses_the_project_s_schemes_unless_another_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bare.case"
    path.write_text("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n", encoding="utf-8")
    assert sockiter("replay", path, "--record").exit_code == 0
    assert {expect.target for expect in load(path).expects} <= {target.name for target in SCHEME_TARGETS}
    assert sockiter("replay", path, "--record", "--target", "foreign").exit_code == 0
    assert Expect("foreign", "skip", "B") in load(path).expects
    assert sockiter("replay", path).exit_code == 0


@with_foreign("Foreign")
def test_a_case_that_is_found_names_its_own_target_and_no_other_of_another_package(foreign: Target) -> None:
    case = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
    for target, names_it in ((foreign, True), (target_named("offset-udp"), False)):
        with target.session() as session:
            triage = Triage.of(target, session, {"remove"})
            (finding,) = replay(case, target, session).verdict
            found = triage.investigate(case.operations, case.slots, finding)
            assert found is not None
            expects = annotated(found, session, driver="swarm", seed="1").expects
        assert (Expect("foreign", "skip", "B") in expects) == names_it
        assert Expect("offset-udp", "skip", "B") in expects


# Errors during a walk.


@pytest.mark.usefixtures("foreign")
@with_foreign("Clumsy")
def test_an_exception_in_a_scheme_of_another_package_is_one_line_with_its_place(tmp_path: Path) -> None:
    line = FOREIGN[: FOREIGN.index("# THE LINE")].count("\n") + 1
    where = f"{tmp_path / 'site' / 'foreign.py'}:{line}"
    message = f"foreign failed: Clumsy.begin raised IndexError: bucket [/3] ({where})"
    assert trouble(sockiter("replay", RFC_SKIP, "--target", "foreign")) == message
    assert trouble(sockiter("show", RFC_SKIP, "--target", "foreign")) == message


@pytest.mark.usefixtures("foreign")
@with_foreign("Lost")
def test_an_exception_where_it_tells_its_place_is_one_line_as_well() -> None:
    assert sockiter("replay", RFC_SKIP, "--target", "foreign").exit_code == 0
    assert trouble(sockiter("show", RFC_SKIP, "--target", "foreign")).startswith(
        "foreign failed: Lost.place raised KeyError: 'nowhere' ("
    )


@pytest.mark.usefixtures("foreign")
@with_foreign("Shy")
def test_a_state_that_is_none_would_pass_for_an_iterator_that_is_not_open_and_is_refused() -> None:
    message = "foreign failed: Shy.open returned None: expected a state, which is any other hashable value"
    assert trouble(sockiter("replay", RFC_SKIP, "--target", "foreign")) == message


@pytest.mark.usefixtures("foreign")
@with_foreign("Foreign")
def test_the_states_of_a_scheme_of_another_package_can_be_explored(tmp_path: Path) -> None:
    page = tmp_path / "states.html"
    result = sockiter("explore", "foreign", "--buckets", 1, "--hazard", "remove", "--html", page)
    assert (result.exit_code, result.stderr) == (0, f"sockiter: wrote {page} ({page.stat().st_size / 1000:,.0f} kB)\n")
    assert result.stdout.startswith("foreign under remove: 44 states, 127 steps\n")


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        ("Clumsy", "foreign failed: Clumsy.begin raised IndexError: bucket [/3] ("),
        ("Lost", "foreign failed: Lost.place raised KeyError: 'nowhere' ("),
        ("Garbled", "foreign failed: Garbled.canonical raised LookupError: no form ("),
        ("Shy", "foreign failed: Shy.open returned None"),
        ("Nothing", "foreign does not run here: "),
    ],
    indirect=["foreign"],
)
@pytest.mark.usefixtures("foreign")
def test_a_scheme_of_another_package_that_makes_a_mistake_is_explored_to_no_page(message: str, tmp_path: Path) -> None:
    page = tmp_path / "states.html"
    assert trouble(sockiter("explore", "foreign", "--sockets", 1, "--html", page)).startswith(message)
    assert not page.exists()


# The line of the package in which each fails, and how that reads.
MISTAKES = {
    "Clumsy": ("# THE LINE", "Clumsy.begin raised IndexError: bucket [/3]"),
    "Leaver": ("# AND LEAVES", "Leaver.begin raised SystemExit: 0"),
    "Garbled": ("# NO FORM", "Garbled.canonical raised LookupError: no form"),
}
IN_BEGIN = pytest.mark.parametrize("foreign", ["Clumsy", "Leaver"], indirect=True)
ANYWHERE = pytest.mark.parametrize("foreign", list(MISTAKES), indirect=True)


@pytest.fixture
def mistake(request: pytest.FixtureRequest, foreign: Target, tmp_path: Path) -> str:
    """The message of every command about the scheme `foreign`."""
    mark, words = MISTAKES[request.node.callspec.params["foreign"]]
    line = FOREIGN[: FOREIGN.index(mark)].count("\n") + 1
    return f"foreign failed: {words} ({tmp_path / 'site' / 'foreign.py'}:{line})"


@ANYWHERE
def test_a_fuzz_goes_on_with_the_others_where_a_scheme_makes_a_mistake(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_inline(monkeypatch)
    options = ["--seconds", "0.2", "--workers", "1", "--driver", "swarm", "--cases", tmp_path / "cases", "--seed", "1"]
    result = sockiter("fuzz", "foreign", "index", *options)
    assert (result.exit_code, result.stdout.count(mistake)) == (3, 1)
    document = json.loads(sockiter("fuzz", "foreign", "index", *options, "--json").stdout)
    assert document["troubles"] == [mistake]
    assert [one["target"] for one in document["targets"] if one["drivers"]["swarm"]["sequences"]][-1] == "index"


@IN_BEGIN
def test_a_replay_goes_on_with_the_others_where_a_scheme_makes_a_mistake(mistake: str, tmp_path: Path) -> None:
    naming = tmp_path / "naming.case"
    naming.write_text(f"expect foreign skip C\n{dumps(load(RFC_SKIP))}", encoding="utf-8")
    result = sockiter("replay", naming)
    assert (result.exit_code, result.stderr) == (3, f"sockiter: {mistake}\n")
    assert f"  {'foreign':<22}  failed: {mistake}\n" in result.stdout
    assert f"  {'index':<22}  ok, as expected\n" in result.stdout


@IN_BEGIN
@pytest.mark.parametrize("command", ["replay", "show", "minimize"])
def test_a_command_on_one_case_ends_where_the_scheme_makes_a_mistake(command: str, mistake: str) -> None:
    assert trouble(sockiter(command, RFC_SKIP, "--target", "foreign")) == mistake


@with_foreign("Garbled")
def test_shrinking_ends_where_the_canonical_form_raises(mistake: str) -> None:
    assert trouble(sockiter("minimize", RFC_SKIP, "--target", "foreign")) == mistake
    assert sockiter("show", RFC_SKIP, "--target", "foreign").exit_code == 0
    # A case that does not name a target is compared with its claims.
    assert sockiter("replay", RFC_SKIP, "--target", "foreign").exit_code == 0


@ANYWHERE
@pytest.mark.parametrize("command", ["check", "matrix"])
def test_searches_go_on_with_the_others_where_a_scheme_makes_a_mistake(
    command: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_inline(monkeypatch, "sockiter.matrix.compute")
    scope = ["--sockets", 2, "--buckets", 1, "--workers", 1]
    result = sockiter(command, "foreign", "index", *scope)
    assert (result.exit_code, result.stderr, result.stdout.count("Incomplete: foreign")) == (3, "", 1)
    assert result.stdout.count(mistake) == 1
    document = json.loads(sockiter(command, "foreign", "index", *scope, "--json").stdout)
    if command == "check":
        assert [(one["why_incomplete"], one["complete"]) for one in document] == [(mistake, False), (None, True)]


@ANYWHERE
def test_a_verification_goes_on_with_the_others_where_a_scheme_makes_a_mistake(
    mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_inline(monkeypatch, "sockiter.check.trials")
    monkeypatch.setattr(verify, "SEARCHES", verify.SEARCHES[-1:])
    monkeypatch.setattr(verify, "MERGES", ())
    result = sockiter("check", "--verify", "foreign", "index")
    assert (result.exit_code, result.stderr) == (3, "")
    broken, fine = result.stdout.splitlines()
    assert broken == f"foreign: NOT VERIFIED: {mistake}"
    assert fine.startswith("index: 1 searches agree")


@ANYWHERE
def test_a_mistake_hides_no_broken_claim_and_no_other_search_that_was_cut_short(
    foreign: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_inline(monkeypatch, "sockiter.matrix.compute")
    scope = ["--sockets", 2, "--buckets", 1, "--workers", 1]
    monkeypatch.setattr(target_named("rank"), "known_failures", ())
    for command in ("check", "matrix"):
        assert sockiter(command, "foreign", "rank", *scope).exit_code == 1


def job(target: str, driver: str, cases: Path) -> FuzzJob:
    return FuzzJob(target, driver, ANY_HAZARD, "1", cases, 5.0, 0.0, frozenset(), frozenset())


@pytest.mark.usefixtures("foreign")
@with_foreign("Clumsy")
@pytest.mark.parametrize("driver", DRIVERS)
def test_an_exception_ends_the_search_on_that_target_alone(driver: str, tmp_path: Path) -> None:
    (ended,) = search(job("foreign", driver, tmp_path))
    assert isinstance(ended, Ended)
    assert ended.trouble.startswith("foreign failed: Clumsy.begin raised IndexError: bucket [/3] (")


def test_a_worker_that_does_not_know_the_target_reports_it(tmp_path: Path) -> None:
    (ended,) = search(job("foreign", "swarm", tmp_path))
    assert isinstance(ended, Ended)
    assert ended.trouble.startswith("no target is named 'foreign': expected one of offset-udp, ")


# Schemes that end the process itself.

ENDED = "sockiter: ended with {} in the middle: a scheme of another package (foreign) or the system ended it\n"


def with_package(tmp_path: Path, given: str, *args: object) -> subprocess.CompletedProcess[str]:
    """A command where that package is installed, without the iterators of a kernel."""
    (site := tmp_path / "site").mkdir()
    put(site, f"foreign = foreign:{given}")
    return python("-m", "sockiter", *args, site=site)


@pytest.mark.parametrize(
    ("given", "how"),
    [("Quitter", "exit code 0"), ("Replacer", "exit code 0"), ("Killed", "signal 9"), ("Late", "exit code 0")],
)
def test_a_scheme_that_ends_the_process_is_no_success(given: str, how: str, tmp_path: Path) -> None:
    done = with_package(tmp_path, given, "replay", RFC_SKIP, "--target", "foreign", "--json")
    # A scheme that ends the process when all is over leaves a whole document of the error.
    assert (done.returncode, done.stdout and json.loads(done.stdout)["status"]) in {(3, ""), (3, 3)}
    assert done.stderr.endswith(ENDED.format(how))


@pytest.mark.parametrize("command", ["show", "minimize"])
def test_no_command_on_one_case_is_ended_by_a_scheme_without_a_word(command: str, tmp_path: Path) -> None:
    done = with_package(tmp_path, "Quitter", command, RFC_SKIP, "--target", "foreign")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", ENDED.format("exit code 0"))


@pytest.mark.parametrize("command", [["check", "foreign"], ["fuzz", "foreign", "--seconds", "0.3"]])
def test_no_worker_is_ended_by_a_scheme_without_a_word(command: list[object], tmp_path: Path) -> None:
    options = ["--cases", tmp_path / "cases"] if command[0] == "fuzz" else []
    done = with_package(tmp_path, "Quitter", *command, *options)
    # A search that was not made to its end proves nothing.
    assert done.returncode == (3 if command[0] == "fuzz" else 1)
    assert "ended with exit code 0: the scheme or the system ended it" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "fuzz",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("replay", "show", "minimize", "check", "conform", "targets")
        ),
    ],
)
def test_a_package_that_ends_the_process_when_it_is_imported_is_no_success(command: str, tmp_path: Path) -> None:
    done = with_package(tmp_path, "vanish", command)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", ENDED.format("exit code 0"))


@pytest.mark.parametrize(
    ("args", "status"),
    [(("replay", RFC_SKIP, "--target", "foreign"), 0), (("replay", "wrong.case", "--target", "index"), 1), (("replay",), 2)],
)
def test_the_exit_status_is_the_command_s_where_a_package_is_installed(
    args: tuple[object, ...], status: int, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.case"
    wrong.write_text(f"{RFC_SKIP.read_text(encoding='utf-8')}expect index stuck\n", encoding="utf-8")
    given = [wrong if arg == wrong.name else arg for arg in args]
    assert with_package(tmp_path, "Foreign", *given).returncode == status


@pytest.mark.parametrize("given", ["Interrupting", "Deaf"])
def test_a_command_that_is_terminated_is_interrupted_where_a_package_is_installed(given: str, tmp_path: Path) -> None:
    done = with_package(tmp_path, given, "replay", RFC_SKIP, "--target", "foreign")
    assert (done.returncode, done.stderr) == (130, "sockiter: interrupted\n")


def test_a_command_does_not_outlive_the_process_that_watches_it(tmp_path: Path) -> None:
    # Its standard output would not end.
    done = with_package(tmp_path, "Orphan", "replay", RFC_SKIP, "--target", "foreign")
    assert done.returncode == -9


def test_a_command_is_watched_without_standard_streams(tmp_path: Path) -> None:
    (site := tmp_path / "site").mkdir()
    put(site, "foreign = foreign:chatter")
    script = (
        "import os, sys; os.closerange(0, 3); os.execv(sys.executable, [sys.executable, '-m', 'sockiter', *sys.argv[1:]])"
    )
    assert python("-c", script, "replay", RFC_SKIP, "--target", "index", site=site).returncode == 0
    assert python("-c", script, "replay", "nosuch.case", site=site).returncode == 2


def test_a_command_is_watched_where_a_hang_up_is_ignored(tmp_path: Path) -> None:
    (site := tmp_path / "site").mkdir()
    put(site, "foreign = foreign:Foreign")
    run = "os.execv(sys.executable, [sys.executable, '-m', 'sockiter', *sys.argv[1:]])"
    script = f"import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); {run}"
    assert python("-c", script, "replay", RFC_SKIP, "--target", "index", site=site).returncode == 0


def test_a_command_is_not_watched_where_no_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "entry_points", lambda group: ())
    processes: list[int] = []
    watch.watched(lambda: processes.append(os.getpid()))
    assert processes == [os.getpid()]


def _exits(code: object) -> Callable[[], None]:
    def leave() -> None:
        raise SystemExit(code)

    return leave


@pytest.mark.parametrize(
    ("command", "status"),
    [(lambda: None, 0), (_exits(None), 0), (_exits(0), 0), (_exits(130), 130), (_exits("why"), 1), (lambda: 1 / 0, 1)],
)
def test_the_status_that_a_command_reports_is_that_of_its_process(command: Callable[[], None], status: int) -> None:
    reader, writer = os.pipe()
    with suppress(SystemExit, ZeroDivisionError):
        watch._announce_status(command, writer)
    assert os.read(reader, 9) == bytes([status])
    os.close(reader)


@pytest.mark.parametrize(
    "command",
    [
        ("replay", RFC_SKIP, "--target", "foreign", "--json"),
        ("fuzz", "foreign", "--seconds", "0.3", "--workers", "1", "--cases", "cases", "--json"),
    ],
    ids=lambda command: command[0],
)
def test_the_output_of_a_scheme_is_not_part_of_the_document(
    command: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = with_package(tmp_path, "Talker", *command)
    assert json.loads(done.stdout)
    assert {"printed", "written"} <= set(done.stderr.split())


def test_the_output_of_an_import_is_not_part_of_the_document(tmp_path: Path) -> None:
    done = with_package(tmp_path, "chatter", "replay", RFC_SKIP, "--target", "index", "--json")
    assert [one["target"] for one in json.loads(done.stdout)] == ["index"]
    assert sorted(done.stderr.splitlines()) == ["printed", "written"]


# The example, as a user installs it: built as a wheel, and its files put where Python looks for them.

NEXT_KEY_ADMITS = [
    {"kind": "skip", "moved": False, "elsewhere": False, "hazards": ["reinsert"]},
    {"kind": "skip", "moved": True, "elsewhere": False, "hazards": ["reinsert"]},
    {"kind": "repeat", "moved": False, "elsewhere": True, "hazards": ["remove"]},
    {"kind": "repeat", "moved": False, "elsewhere": False, "hazards": ["reinsert"]},
    {"kind": "repeat", "moved": True, "elsewhere": False, "hazards": ["reinsert"]},
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_package(EXAMPLE, tmp_path_factory.mktemp("example"))


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_example_is_listed_when_it_is_installed(site: Path) -> None:
    (listed,) = [
        target
        for target in document(python("-m", "sockiter", "targets", "--json", site=site))
        if target["target"] == "next-key"
    ]
    assert (listed["runs_here"], listed["missing"], listed["admits"]) == (True, None, NEXT_KEY_ADMITS)
    assert listed["hazards"] == ["add-head", "remove", "reinsert", "show"]


def fuzz_the_example(site: Path, cases: Path, seconds: float) -> Any:
    options = ["--seconds", seconds, "--seed", "1", "--workers", "2", "--cases", cases, "--json"]
    (report,) = document(python("-m", "sockiter", "fuzz", "next-key", *options, site=site))["targets"]
    assert (report["target"], report["claims_broken"]) == ("next-key", [])
    return report


@pytest.mark.slow
def test_the_example_is_fuzzed_in_workers_and_its_cases_are_as_expected(site: Path, tmp_path: Path) -> None:
    report = fuzz_the_example(site, tmp_path, 0.6)
    assert all(driver["sequences"] for driver in report["drivers"].values())
    assert report["refuted"]
    done = python("-m", "sockiter", "replay", tmp_path, "--json", site=site)
    # The cases have no expectations of a kernel.
    replayed = [one for one in json.loads(done.stdout) if not one["target"].startswith("kernel:")]
    assert all(one["as_expected"] for one in replayed)
    assert {one["case"] for one in replayed if one["target"] == "next-key" and one["verdict"]} == {
        str(path) for path in files([tmp_path])
    }


@pytest.mark.slow
def test_the_example_has_its_known_failures_and_no_others(site: Path, tmp_path: Path) -> None:
    report = fuzz_the_example(site, tmp_path, 3)
    assert report["unrefuted"] == []
    assert {one["operations"] for one in report["refuted"]} <= {6, 7}


@pytest.mark.slow
@pytest.mark.deep
def test_the_suite_in_fuzz_takes_the_example_in(site: Path, tmp_path: Path) -> None:
    command = ["-m", "pytest", ROOT / "fuzz", f"--rootdir={ROOT}", "-p", "no:cacheprovider"]
    chosen = ["-n", "2", "-k", "next-key or NextKey", "--cases", tmp_path]
    done = python(*command, *chosen, site=site, HYPOTHESIS_STORAGE_DIRECTORY=str(tmp_path / "hypothesis"))
    assert done.returncode == 0, done.stdout
    # With all its hazards, without those that void a claim, with each alone, in the plain loop, and every known failure.
    assert f"{1 + 3 + 4 + 1 + len(NEXT_KEY_ADMITS)} passed" in done.stdout


@pytest.mark.slow
def test_a_broken_package_beside_the_example_stops_neither_workers_nor_other_targets(site: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    put(both, "foreign = foreign:Clumsy", "index = foreign:leave")
    options = ["--seconds", "4", "--seed", "1", "--cases", tmp_path / "cases", "--json"]
    names = ["foreign", "next-key", "index"]
    done = python("-m", "sockiter", "fuzz", *names, *options, site=both, PYTHONPATH=str(site))
    assert (done.returncode, done.stderr) == (3, "")
    report = json.loads(done.stdout)
    assert [one["target"] for one in report["targets"] if one["sequences"]] == ["next-key", "index"]
    assert len(report["troubles"]) == len(DRIVERS)
    assert all(one.startswith("foreign failed: Clumsy.begin raised IndexError: ") for one in report["troubles"])


def test_the_documents_spell_out_the_example_as_it_is() -> None:
    text = (ROOT / "docs" / "how-to" / "write-a-scheme.md").read_text(encoding="utf-8")
    for name, language in (("next_key.py", "python"), ("pyproject.toml", "toml")):
        assert f"```{language}\n{(EXAMPLE / name).read_text(encoding='utf-8')}```\n" in text


def test_the_documents_name_every_hazard_and_every_member_of_a_scheme() -> None:
    text = (ROOT / "docs" / "how-to" / "write-a-scheme.md").read_text(encoding="utf-8")
    for word in (*HAZARDS, "name", "summary", "progress", "tables", "hazards", "known_failures"):
        assert f"`{word}`" in text
