"""What a sampled test tries: the seed of the day chooses. `make test` tries a few points, `make proof` more or all."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

Item = TypeVar("Item")

VARIABLE = "MECBOUNCE_TEST_SEED"
# Kept in the environment, so that all processes of one run agree, also around midnight.
SEED = int(os.environ.setdefault(VARIABLE, f"{datetime.now(UTC):%Y%m%d}"))


def dice(what: object) -> random.Random:
    """Give the random numbers of one test, the same in each run with one seed."""
    return random.Random(f"{SEED} {what}")  # noqa: S311 -- no secret


def sampled(points: Sequence[Item], most: int | None, what: object) -> list[Item]:
    """Choose `most` of the points, or all where it is None or large enough, in their order."""
    if most is None or most >= len(points):
        return list(points)
    return [points[index] for index in sorted(dice(what).sample(range(len(points)), most))]


def forms(name: str, *, short: Any, long: Any) -> pytest.MarkDecorator:
    """Parametrise a test with its extent: `short` in `make test`, `long` in `make proof`."""
    values = [
        pytest.param(short, marks=pytest.mark.short, id="short"),
        pytest.param(long, marks=pytest.mark.long, id="long"),
    ]
    return pytest.mark.parametrize(name, values)


def mark_what_is_left_out(items: list[pytest.Item]) -> None:
    """Of a test that is marked `sampled(n)`, leave all but n of its parameters, by the seed, to `make proof`."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("sampled"):
            groups.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for name, group in groups.items():
        marker = group[0].get_closest_marker("sampled")
        assert marker is not None
        chosen = sampled(group, marker.args[0], name)
        for item in group:
            if item not in chosen:
                item.add_marker(pytest.mark.long)
