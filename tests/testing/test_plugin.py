"""The pytest plugin: the fixture `scheme`, a broken claim in the report, and a run that has nothing to do with it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sockiter.cases import loads
from sockiter.testing import plugin
from tests.support.packages import EXAMPLE, install, python

pytest_plugins = ["pytester"]

# A test that prints the scheme of the fixture.
TELLS = """
def test_the_scheme(scheme):
    assert scheme.name == "next-key"
"""


@pytest.fixture(autouse=True)
def example_on_the_path(pytester: pytest.Pytester) -> None:
    """The module of the example can be imported, as installed."""
    pytester.syspathinsert(str(EXAMPLE))


def passes(pytester: pytest.Pytester, *arguments: str) -> None:
    pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments).assert_outcomes(passed=1)


@pytest.mark.parametrize("scheme", ["NextKey()", "NextKey"])
def test_the_fixture_gives_the_scheme_of_the_tests_class(scheme: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        from next_key import NextKey

        class TestIt:
            scheme = {scheme}

            def test_the_scheme(self, scheme):
                assert scheme.name == "next-key"
                assert not isinstance(scheme, type)
    """)
    passes(pytester)


def test_the_fixture_gives_the_scheme_of_the_ini_option(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nsockiter_scheme = next_key:NextKey\n")
    pytester.makepyfile(TELLS)
    passes(pytester)


def test_a_fixture_of_the_author_overrides_the_plugins(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"import pytest, next_key\nscheme = pytest.fixture(lambda: next_key.NextKey(), name='scheme')\n{TELLS}"
    )
    passes(pytester)


def test_without_a_scheme_the_fixture_reports_how_to_name_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TELLS)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    line = "no scheme: expected an attribute `scheme` of the test's class, the ini option sockiter_scheme, or *"
    result.stdout.fnmatch_lines([line])


def test_a_broken_claim_is_reported_without_a_margin_so_that_its_case_can_be_pasted(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        from next_key import NextKey
        from sockiter.testing import SchemeTests

        class Liar(NextKey):
            known_failures = ()

        class TestLiar(SchemeTests):
            scheme = Liar()
    """)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "proved")
    result.assert_outcomes(failed=1)
    lines = result.outlines
    first = lines.index("sockiter replay - --target next-key <<'END'")
    last = lines.index("END")
    assert loads("\n".join(lines[first + 1 : last])).operations
    assert not any("checks.py" in line for line in lines)


def test_other_failures_are_reported_as_ever(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): assert 1 == 2")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *assert 1 == 2"])


def test_the_plugin_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass\n")
    passes(pytester, "-p", "no:sockiter")


def test_the_entry_point_is_outside_the_package_whose_assertions_pytest_would_rewrite() -> None:
    (entry,) = entry_points(group="pytest11", name="sockiter")
    assert entry.value == "pytest_sockiter"
    assert entry.load().scheme is plugin.scheme


def test_the_plugin_imports_next_to_nothing() -> None:
    code = "import sys, pytest; before = {*sys.modules}; import pytest_sockiter; print(*{*sys.modules} - before)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert sorted(name for name in modules if name.startswith("sockiter")) == [
        "sockiter",
        "sockiter.testing",
        "sockiter.testing.checks",
        "sockiter.testing.plugin",
    ]
    assert not {"hypothesis", "click", "rich", "jinja2"} & set(modules)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(EXAMPLE, tmp_path_factory.mktemp("example"))


def run_the_tests_of_the_example(site: Path, tmp_path: Path, *arguments: str) -> None:
    options = ["-p", "no:cacheprovider", *arguments]
    done = python("-m", "pytest", EXAMPLE, *options, site=site, HYPOTHESIS_STORAGE_DIRECTORY=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_of_the_example_pass_where_it_is_installed(site: Path, tmp_path: Path) -> None:
    run_the_tests_of_the_example(site, tmp_path, "-k", "known_failures")


@pytest.mark.slow
def test_all_tests_of_the_example_pass_where_it_is_installed(site: Path, tmp_path: Path) -> None:
    run_the_tests_of_the_example(site, tmp_path)


@pytest.mark.slow
def test_the_command_in_the_report_replays_the_case(site: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_liar.py"
    test.write_text(
        "from next_key import NextKey\n"
        "from sockiter.testing import SchemeTests\n"
        "NextKey.known_failures = ()\n"
        "class TestLiar(SchemeTests):\n"
        "    scheme = NextKey()\n",
        encoding="utf-8",
    )
    done = python("-m", "pytest", test, "-p", "no:cacheprovider", "-k", "proved", site=site)
    assert done.returncode == 1
    report = done.stdout
    command = report[report.index("sockiter replay - ") : report.index("\nEND\n") + len("\nEND\n")]
    shell = ["-c", "import subprocess, sys; subprocess.run(sys.argv[1], shell=True)", command]
    replayed = python(*shell, site=site, PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin")
    assert "next-key" in replayed.stdout
    assert " B" in replayed.stdout or " A" in replayed.stdout
