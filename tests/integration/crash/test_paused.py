"""A runner that is paused anywhere while another finishes its bounce does no harm when it goes on."""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGSTOP

import pytest
from trials import Tally, Trace, one_of_each_line, paused, points, sites, try_all


def assert_harmless(tally: Tally, tried: int) -> None:
    assert tally.faults == []
    assert set(tally.ends) == {"DONE", "Superseded"}
    assert tally.hit > 0.9 * tried


def test_paused_at_every_line(figure: Callable[[str], None]) -> None:
    """SIGSTOP at each line, a second runner, SIGCONT: one DELETE, and the new pod's protection as it was."""
    with sites() as at:
        traces = [Trace(SIGSTOP, one.point) for one in one_of_each_line(points(at[0]), seed=2)]
        tally = try_all(paused, traces, at)
    figure(f"paused at {tally.hit} of {len(traces)} lines while another runner finished: {_ends(tally)}")
    assert_harmless(tally, len(traces))


@pytest.mark.parametrize(
    ("mutant", "state", "fault"),
    [
        ("without_precondition", "DELETE_POD", "2 accepted DELETEs"),
        ("unpinned_protection", "DISABLE_PROTECTION", "the protection of the new pod was switched off"),
    ],
)
def test_sees_a_runner(mutant: str, state: str, fault: str, figure: Callable[[str], None]) -> None:
    """A test of the test."""
    with sites(mutant=mutant) as at:
        traces = [Trace(SIGSTOP, point) for point in points(at[0]) if point[0] == state]
        tally = try_all(paused, traces[::9], at)
    figure(f"with a runner {mutant.replace('_', ' ')}, pauses show {len(tally.faults)} faults at {tally.hit} points")
    assert any(fault in found for found in tally.faults)


@pytest.mark.long
def test_paused_at_every_line_in_every_state(figure: Callable[[str], None]) -> None:
    with sites() as at:
        traces = [Trace(SIGSTOP, point) for point in points(at[0])]
        tally = try_all(paused, traces, at)
    figure(f"paused at {tally.hit} of {len(traces)} points (line and state): {_ends(tally)}")
    assert_harmless(tally, len(traces))


def _ends(tally: Tally) -> str:
    return ", ".join(f"{count} {end}" for end, count in sorted(tally.ends.items()))
