"""How lengths of time are written for people."""

from __future__ import annotations

import pytest

from mecbounce.cli.layout import span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172799, "47 h"),
        (172800, "2 days"),
        (2592000, "30 days"),
    ],
)
def test_a_length_of_time_is_told_in_one_unit(seconds: float, said: str) -> None:
    assert span(seconds) == said
