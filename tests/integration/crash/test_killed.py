"""A bounce that is killed anywhere, and again while it recovers, ends DONE, and its pod was deleted once."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator

import pytest
from trials import (
    Site,
    Tally,
    Trace,
    killed,
    killed_with_an_old_intent,
    one_of_each_line,
    points,
    points_of_an_old_intent,
    sites,
    try_all,
    undisturbed,
)

from mecbounce.machine import BEFORE_DELETION
from mecbounce.task import BounceTask

FIRST_LINE = inspect.getsourcelines(BounceTask.wait_till_ok)[1]
WAITING = range(FIRST_LINE + 2, FIRST_LINE + len(inspect.getsourcelines(BounceTask.wait_till_ok)[0]))


@pytest.fixture(scope="module")
def at() -> Iterator[list[Site]]:
    with sites() as made:
        yield made


def assert_survived(tally: Tally, tried: int) -> None:
    assert tally.faults == []
    assert set(tally.ends) == {"DONE"}
    assert tally.hit > 0.9 * tried  # what a run does while it waits depends on how long that takes
    assert tally.hit_again > 0.3 * tried  # the others had recovered before their second kill


def test_killed_at_every_line(at: list[Site], figure: Callable[[str], None]) -> None:
    """SIGKILL at each line of mecbounce's own in turn, a second one during the recovery, then a clean run."""
    begun = time.monotonic()
    found = points(at[0])
    assert any(file == "task.py" and line in WAITING for _, file, line in found), "no run has waited"
    traces = one_of_each_line(found, seed=1)
    tally = try_all(killed, traces, at)
    took = time.monotonic() - begun
    again = f"{tally.hit_again} of them again while recovering"
    figure(f"killed at {tally.hit} of {len(traces)} lines, {again}, in {took:.0f} s: all DONE")
    assert_survived(tally, len(traces))


def test_killed_while_a_step_state_is_saved(figure: Callable[[str], None]) -> None:
    """The same with a MappingStore, at each line of the runner's flush, in each state."""
    with sites(in_mapping=True) as at:
        found = [Trace(point=point) for point in points(at[0]) if point[1] == "victims.py"]
        tally = try_all(killed, found, at)
    figure(f"killed at {tally.hit} of {len(found)} points within a runner's flush: all DONE")
    assert_survived(tally, len(found))


OURS = ("task.py", "steps.py")  # where the way round is decided; the rest is killed above


def test_killed_with_an_old_intent(at: list[Site], figure: Callable[[str], None]) -> None:
    """SIGKILL in each state at each line of a bounce that is resumed a day late, and another hand may be quicker."""
    found = [Trace(point=point) for point in points_of_an_old_intent(at[0]) if point[1] in OURS]
    assert {trace.point[0] for trace in found if trace.point} > {*BEFORE_DELETION}
    tally = try_all(killed_with_an_old_intent, found, at)
    figure(f"killed at {tally.hit} of {len(found)} points on the way of an old intent: all DONE")
    assert tally.faults == []
    assert set(tally.ends) == {"DONE"}
    assert tally.hit > 0.5 * len(found)  # where another hand was quicker, the way is shorter


@pytest.mark.parametrize("mutant", ["acts_before_it_saves", "adopts_the_new_pod"])
def test_sees_a_bounce_that(mutant: str, figure: Callable[[str], None]) -> None:
    """A test of the test. (A missing precondition is seen where a runner is paused: a killed one deletes no more.)"""
    with sites(mutant=mutant) as at:
        around = [Trace(point=point) for point in points(at[0]) if point[0] in ("DELETE_POD", "AWAIT_TERMINATION")]
        tally = try_all(killed, around[::20], at)
    figure(f"with a bounce that {mutant}, kills show {len(tally.faults)} faults at {tally.hit} points")
    assert any("2 accepted DELETEs" in fault for fault in tally.faults)


@pytest.mark.long
def test_killed_at_every_line_event(at: list[Site], figure: Callable[[str], None]) -> None:
    """Each time that a line runs, not only once."""
    events = undisturbed(at[0]).count
    tally = try_all(killed, [Trace(nth=nth) for nth in range(1, events + 1)], at)
    figure(f"killed at {tally.hit} of {events} line events, {tally.hit_again} of them again: all DONE")
    assert_survived(tally, events)


@pytest.mark.long
def test_killed_at_every_third_bytecode(at: list[Site], figure: Callable[[str], None]) -> None:
    nths = range(1, undisturbed(at[0], bytecodes=True).count + 1, 3)
    tally = try_all(killed, [Trace(nth=nth, bytecodes=True) for nth in nths], at)
    figure(f"killed at {tally.hit} of {len(nths)} bytecodes (each third), {tally.hit_again} of them again: all DONE")
    assert_survived(tally, len(nths))
