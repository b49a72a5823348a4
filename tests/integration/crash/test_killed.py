"""A bounce that is killed anywhere, and again while it recovers, ends DONE, and its pod was deleted once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import pytest
from sampling import forms, sampled
from trials import (
    Site,
    Tally,
    Trace,
    killed,
    killed_with_an_old_intent,
    one_of_each_line,
    points,
    points_of_an_old_intent,
    shuffled,
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
    assert tally.hit > 0.85 * tried  # what a run does while it waits depends on how long that takes
    assert tally.hit_again > 0.3 * tried  # the others had recovered before their second kill


def told(tally: Tally, tried: int, where: str) -> str:
    return f"killed at {tally.hit} of {tried} {where}, {tally.hit_again} of them again while recovering: all DONE"


@forms("most", short=50, long=None)
def test_killed_at_every_line(most: int | None, at: list[Site], figure: Callable[[str], None]) -> None:
    """SIGKILL at each line of mecbounce's own in turn, a second one during the recovery, then a clean run."""
    found = points(at[0])
    assert any(file == "task.py" and line in WAITING for _, file, line in found), "no run has waited"
    lines = one_of_each_line(found)
    chosen = sampled(lines, most, "killed at lines")
    tally = try_all(killed, [Trace(point=point) for point in chosen], at)
    figure(told(tally, len(chosen), f"lines of {len(lines)}"))
    assert_survived(tally, len(chosen))


@forms("most", short=15, long=None)
def test_killed_while_a_step_state_is_saved(most: int | None, figure: Callable[[str], None]) -> None:
    """The same with a MappingStore, at each line of the runner's flush, in each state."""
    with sites(in_mapping=True) as at:
        found = [point for point in points(at[0]) if point[1] == "victims.py"]
        chosen = sampled(found, most, "killed in flush")
        tally = try_all(killed, [Trace(point=point) for point in chosen], at)
    figure(told(tally, len(chosen), f"points of {len(found)} within a runner's flush"))
    assert_survived(tally, len(chosen))


TWICE = "2 accepted DELETEs"
OURS = ("task.py", "advancing.py", "steps.py")  # where the way round is decided; the rest is killed above


@forms("most", short=30, long=None)
def test_killed_with_an_old_intent(most: int | None, at: list[Site], figure: Callable[[str], None]) -> None:
    """SIGKILL in each state at each line of a bounce that is resumed a day late, and another hand may be quicker."""
    found = [point for point in points_of_an_old_intent(at[0]) if point[1] in OURS]
    assert {state for state, _, _ in found} > {*BEFORE_DELETION}
    chosen = sampled(found, most, "killed with an old intent")
    tally = try_all(killed_with_an_old_intent, [Trace(point=point) for point in chosen], at)
    figure(told(tally, len(chosen), f"points of {len(found)} on the way of an old intent"))
    assert tally.faults == []
    assert set(tally.ends) == {"DONE"}
    assert tally.hit > 0.4 * len(chosen)  # where another hand was quicker, the way is shorter


@pytest.mark.parametrize("mutant", ["acts_before_it_saves", "adopts_the_new_pod"])
def test_sees_a_bounce_that(mutant: str, figure: Callable[[str], None]) -> None:
    """A test of the test. (A missing precondition is seen where a runner is paused: a killed one deletes no more.)"""
    with sites(mutant=mutant) as at:
        tally = try_all(killed, shuffled(points(at[0]), {"DELETE_POD"}), at, until=TWICE)
    figure(f"with a bounce that {mutant}, kills show it after {tally.hit} points")
    assert any(TWICE in fault for fault in tally.faults)


@pytest.mark.long
@pytest.mark.parametrize(("bytecodes", "most"), [(False, 800), (True, 1500)], ids=["line_events", "bytecodes"])
def test_killed_at_any_moment(most: int, at: list[Site], figure: Callable[[str], None], *, bytecodes: bool) -> None:
    """Each time that a line or a bytecode runs is a moment, not only the first."""
    moments = range(1, undisturbed(at[0], bytecodes=bytecodes).count + 1)
    chosen = sampled(moments, most, f"killed at moments, {bytecodes}")
    tally = try_all(killed, [Trace(nth=nth, bytecodes=bytecodes) for nth in chosen], at)
    figure(told(tally, len(chosen), f"{'bytecodes' if bytecodes else 'line events'} of {len(moments)}"))
    assert_survived(tally, len(chosen))
