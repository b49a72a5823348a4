"""The embedded cluster as a fixture, quiet logs, the seed of the day, and the figures that tests tell."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import settings
from sampling import SEED, VARIABLE, mark_what_is_left_out

os.environ["XDG_CONFIG_HOME"] = "/nonexistent"  # a developer's own file must not change what a test sees

pytest_plugins = ["mecbounce.sandbox.fixture", "real_cluster"]

# Hypothesis' examples are of the same seed as all that is sampled; none is kept for the next run.
settings.register_profile("seeded", deadline=None, database=None, print_blob=True)
settings.load_profile("seeded")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = SEED


def pytest_report_header() -> str:
    return f"sampled by seed {SEED}; to repeat: {VARIABLE}={SEED}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a real cluster where there is none. That it is asked for at all takes `-m e2e`."""
    for item in items:
        if item.get_closest_marker("e2e") and not os.environ.get("KUBECONFIG"):
            item.add_marker(pytest.mark.skip(reason="$KUBECONFIG is not set"))
    mark_what_is_left_out(items)


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Leave structlog and the standard logger as they were found."""
    yield
    structlog.reset_defaults()
    logging.getLogger("mecbounce").setLevel(logging.NOTSET)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tell a figure in the summary: what was counted or measured; nothing hangs on it."""
    return lambda told: record_property("figure", told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the figures, and how many checks of the conformance suite each cluster passed, of all processes."""
    figures, conformance = list[str](), Counter[tuple[str, str]]()
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            told: dict[str, Any] = dict(report.user_properties)
            figures += [text for name, text in report.user_properties if name == "figure"]
            if "conformance" in told:
                conformance[told["conformance"], outcome] += 1
    for cluster in sorted({cluster for cluster, _ in conformance}):
        checks = sum(count for (asked, _), count in conformance.items() if asked == cluster)
        differ = conformance[cluster, "xfailed"]
        figures.append(f"conformance, {cluster}: {checks} checks, {differ} differ for a listed reason")
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.line(text)
