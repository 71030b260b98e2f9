"""Shared parts of the fuzz tests: profiles, available targets, and the saved cases of broken claims."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.errors import InvalidArgument
from profiles import PROFILES, register

from sockiter.backend import Session, Target
from sockiter.cases import dumps, save
from sockiter.fuzzing.campaign import annotated
from sockiter.fuzzing.triage import Triage, TriagedFinding
from sockiter.fuzzing.violations import Violation

try:
    register()
except (ImportError, ValueError) as error:
    raise pytest.UsageError(str(error)) from None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", default="sockiter-cases", help="where the cases of broken claims are kept")


@pytest.fixture(scope="session")
def here() -> Callable[[Target], None]:
    """Skips a target that does not run here, or fails if the kernel is required."""

    def check(target: Target) -> None:
        if (missing := target.missing()) is not None:
            if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1":
                pytest.fail(f"{target.name}: {missing}")
            pytest.skip(f"{target.name}: {missing}")

    return check


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Reject an unregistered profile, before Hypothesis's plugin loads it."""
    if name := config.getoption("--hypothesis-profile", None):
        try:
            settings.get_profile(name)
        except InvalidArgument:
            raise pytest.UsageError(f"no profile {name!r}: expected one of {', '.join(PROFILES)}") from None


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Add to a broken claim the path of its case and the command that replays it, the case as a section."""
    if call.excinfo is not None and isinstance(call.excinfo.value, Violation):
        violation = call.excinfo.value
        triage = Triage(violation.triage.target, violation.triage.session)
        found = triage.investigate(violation.operations, violation.slots, violation.finding)
        assert found is not None
        violation.add_note(kept(found, triage.session, "hypothesis", "(Hypothesis's database)", item))


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[TriagedFinding, Session, str, str], str]:
    """Saves the finding of a broken claim, given its session, driver and seed, and returns the message about its case."""
    return partial(kept, item=request.node)


def kept(found: TriagedFinding, session: Session, driver: str, seed: str, item: pytest.Item) -> str:
    """Save the finding of a broken claim, and return how to replay it; safe in many workers at once.

    The case itself becomes a section of the test's report, whose lines can be pasted as they are.
    """
    case = annotated(found, session, driver=driver, seed=seed)
    item.add_report_section("call", "case", dumps(case))
    directory = Path(str(item.config.getoption("--cases")))
    try:
        path = save(case, directory, found.stem)
    except OSError as error:
        return f"{found}; {directory}: {error.strerror}, so the case below could not be saved"
    return f"{found}; replay it with: sockiter replay {path} --target {found.target}"
