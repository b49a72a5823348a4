"""The embedded cluster as a fixture, quiet logs, and the figures that tests tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["mecbounce.sandbox.fixture", "real_cluster"]

# The same examples in each run: a failure is a fault of this change. `make crash` looks further.
settings.register_profile("same", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile("same")

FIGURES: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a real cluster where there is none. That it is asked for at all takes `-m e2e`."""
    for item in items:
        if item.get_closest_marker("e2e") and not os.environ.get("KUBECONFIG"):
            item.add_marker(pytest.mark.skip(reason="$KUBECONFIG is not set"))


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Leave structlog as it was found."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Tell a figure in the summary: what was counted or measured; nothing hangs on it."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if figures := config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.line(figure)
