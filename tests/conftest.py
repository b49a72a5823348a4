"""The embedded cluster as a fixture, and quiet logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

pytest_plugins = ["mecbounce.sandbox.fixture"]


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Leave structlog as it was found."""
    yield
    structlog.reset_defaults()
