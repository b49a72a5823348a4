"""The pytest fixture: ``pytest_plugins = ["mecbounce.sandbox.fixture"]``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mecbounce.sandbox.cluster import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A started sandbox of its own for each test, twenty times as fast as life."""
    with Sandbox(speed=20) as started:
        yield started
