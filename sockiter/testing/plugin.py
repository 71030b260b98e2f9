"""The pytest plugin: the fixture `scheme`, and a broken claim shown without a traceback.

pytest loads it in every run, wherever sockiter is installed. So it imports next to nothing, and leaves other tests alone.
"""

from __future__ import annotations

import pkgutil
from typing import Any

import pytest

from sockiter.testing.checks import ClaimBroken

OPTION = "sockiter_scheme"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini option that names the scheme."""
    parser.addini(OPTION, "the scheme that the fixture `scheme` gives, as MODULE:OBJECT", default="")


@pytest.fixture
def scheme(request: pytest.FixtureRequest) -> Any:
    """The scheme under test: the attribute `scheme` of the test's class, or the ini option `sockiter_scheme`.

    A fixture of the same name in a module or a conftest.py overrides this one.
    """
    given = getattr(request.cls, "scheme", None)
    if given is None and (name := request.config.getini(OPTION)):
        given = pkgutil.resolve_name(name)
    if given is None:
        pytest.fail(
            f"no scheme: expected an attribute `scheme` of the test's class, the ini option {OPTION}, or a fixture `scheme`",
            pytrace=False,
        )
    return given() if isinstance(given, type) else given


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Report a broken claim as its message: its case can be pasted only from lines without a margin."""
    if call.excinfo is not None and isinstance(broken := call.excinfo.value, ClaimBroken):
        message = pytest.fail.Exception(str(broken), pytrace=False)
        call.excinfo = pytest.ExceptionInfo.from_exception(message.with_traceback(broken.__traceback__))
