"""The entry point of the pytest plugin `sockiter.testing.plugin`.

pytest rewrites the assertions of the package that has the entry point: in an editable installation, of this module alone.
"""

from sockiter.testing.plugin import pytest_addoption, pytest_runtest_makereport, scheme

__all__ = ["pytest_addoption", "pytest_runtest_makereport", "scheme"]
