"""The pytest fixture: ``pytest_plugins = ["mecbounce.sandbox.fixture"]``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from mecbounce.sandbox.cluster import Sandbox
from mecbounce.sandbox.resources import EXPRESS_NODES

_DEFAULTS: dict[str, Any] = {"speed": 20, "types": (EXPRESS_NODES,)}


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, for ``--strict-markers``."""
    text = (
        "sandbox(speed=20, types=[ResourceType(...)]): the speed and the custom resource types of the fixture sandbox"
    )
    config.addinivalue_line("markers", text)


def marked_sandbox(marks: Iterable[pytest.Mark]) -> Sandbox:
    """Make a sandbox as the markers say: the nearest to the test comes first, and goes before the others."""
    options = _DEFAULTS
    for mark in reversed(list(marks)):
        if mark.args or mark.kwargs.keys() - _DEFAULTS:
            wrong = ", ".join([*map(repr, mark.args), *mark.kwargs])
            pytest.fail(f"@pytest.mark.sandbox takes speed=... and types=[...], not {wrong}", pytrace=False)
        options = {**options, **mark.kwargs}
    return Sandbox(tuple(options["types"]), options["speed"])


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Give each test a sandbox of its own, started: twenty times as fast as a real cluster, unless a marker says more.

    ``@pytest.mark.sandbox(speed=50, types=[ResourceType("example.com", "v1", "caches", "Cache")])``
    """
    with marked_sandbox(request.node.iter_markers("sandbox")) as started:
        yield started
