"""A runner that is paused anywhere while another finishes its bounce does no harm when it goes on."""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGSTOP

import pytest
from sampling import forms, sampled
from trials import Tally, Trace, paused, points, shuffled, sites, try_all


def assert_harmless(tally: Tally, tried: int) -> None:
    assert tally.faults == []
    assert set(tally.ends) <= {"DONE", "Superseded"}
    assert tally.hit > 0.85 * tried


@forms("most", short=40, long=1000)
def test_paused_at_any_line_in_any_state(most: int, figure: Callable[[str], None]) -> None:
    """SIGSTOP there, a second runner, SIGCONT: one DELETE, and the new pod's protection as it was."""
    with sites() as at:
        found = points(at[0])
        chosen = sampled(found, most, "paused")
        tally = try_all(paused, [Trace(SIGSTOP, point) for point in chosen], at)
    ends = ", ".join(f"{count} {end}" for end, count in sorted(tally.ends.items()))
    figure(f"paused at {tally.hit} of {len(found)} points (line and state) while another runner finished: {ends}")
    assert_harmless(tally, len(chosen))


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
        tally = try_all(paused, shuffled(points(at[0]), {state}, SIGSTOP), at, until=fault)
    figure(f"with a runner {mutant.replace('_', ' ')}, pauses show it after {tally.hit} points")
    assert any(fault in found for found in tally.faults)
