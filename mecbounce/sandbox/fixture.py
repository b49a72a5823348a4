"""The pytest fixture: ``pytest_plugins = ["mecbounce.sandbox.fixture"]``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mecbounce.sandbox.cluster import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give each test a sandbox of its own, started, with twenty sandbox seconds in one real second."""
    with Sandbox(speed=20) as started:
        yield started
