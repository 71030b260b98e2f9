"""What the fuzz tests share: profiles, targets that run here, and where the case of a broken claim goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from profiles import register

from sockiter.backend import Session, Target
from sockiter.campaign import annotated
from sockiter.cases import dumps, save
from sockiter.hunt import Hunt
from sockiter.machine import Violation

register()

Keep = Callable[[Hunt, Violation], str]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", default="sockiter-cases", help="where the cases of broken claims are kept")


@pytest.fixture(scope="session")
def here() -> Callable[[Target], None]:
    """Skips, or fails where the kernel is required, for a target that does not run here."""

    def check(target: Target) -> None:
        if (missing := target.missing()) is not None:
            if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1":
                pytest.fail(f"{target.name}: {missing}")
            pytest.skip(f"{target.name}: {missing}")

    return check


@pytest.fixture(scope="session")
def keep(pytestconfig: pytest.Config) -> Keep:
    """Shrinks and saves what broke a claim, and says in words how to have it again; safe in many workers at once."""
    directory = Path(str(pytestconfig.getoption("--cases")))

    def keep_violation(hunt: Hunt, violation: Violation) -> str:
        session: Session = hunt.session
        found = hunt.follow(violation.operations, violation.slots, violation.finding)
        assert found is not None
        case = annotated(found, session, driver="hypothesis", seed="(Hypothesis's database)")
        try:
            path = save(case, directory, found.stem)
        except OSError as error:
            return f"{found}; {directory}: {error.strerror}, so this case could not be saved:\n{dumps(case)}"
        return f"{found}; replay it with: sockiter replay {path} --target {found.target}"

    return keep_violation
