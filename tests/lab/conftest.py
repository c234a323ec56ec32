"""The lab's own tests use its fixtures."""

from tests.lab.fixtures import make_lab, pytest_runtest_makereport

__all__ = ["make_lab", "pytest_runtest_makereport"]
