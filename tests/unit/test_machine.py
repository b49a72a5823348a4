"""The table of the design, held against the machine."""

from __future__ import annotations

from itertools import product

import pytest

from mecbounce import machine
from mecbounce.errors import ImpossibleEvent
from mecbounce.machine import BEFORE_DELETION, FINAL, MACHINE, TRANSITIONS, WAITING, Event, State, Transition, follow

STATES = ["INIT_CHECKS", "DISABLE_PROTECTION", "DELETE_POD", "AWAIT_TERMINATION", "AWAIT_READY", "DONE", "FAILED"]

# The design's own table. An empty first cell repeats the one above it.
TABLE = """
| INIT_CHECKS        | checks_passed                                              | DISABLE_PROTECTION |
|                    | already_terminating                                        | AWAIT_TERMINATION  |
|                    | already_replaced                                           | AWAIT_READY        |
|                    | node_unserved, node_missing, node_unreadable               | FAILED             |
|                    | node_deleting, node_down, node_rebuilding                  | FAILED             |
|                    | pod_missing, pod_static, pod_unmanaged, pod_foreign        | FAILED             |
|                    | pod_ended, pod_of_job                                      | FAILED             |
| DISABLE_PROTECTION | protection_disabled, protection_unused, protection_kept    | DELETE_POD         |
| DELETE_POD         | delete_accepted                                            | AWAIT_TERMINATION  |
|                    | pod_gone                                                   | AWAIT_READY        |
|                    | delete_refused                                             | FAILED             |
|                    | intent_expired                                             | INIT_CHECKS        |
| AWAIT_TERMINATION  | pod_gone                                                   | AWAIT_READY        |
|                    | termination_timeout                                        | FAILED             |
| AWAIT_READY        | pod_started                                                | DONE               |
|                    | pod_ready                                                  | DONE               |
|                    | not_recreated, ready_timeout                               | FAILED             |
| the first three    | cancelled, access_denied, cluster_unreachable              | FAILED             |
"""


def _rows() -> list[Transition]:
    rows: list[Transition] = []
    sources: list[str] = []
    for line in TABLE.strip().splitlines():
        where, events, dest = (cell.strip() for cell in line.strip("|").split("|"))
        if where:
            sources = STATES[:3] if where == "the first three" else [where]
        rows += [
            Transition(State(source), Event(event.strip()), State(dest))
            for source, event in product(sources, events.split(","))
        ]
    return rows


ROWS = _rows()
POSSIBLE = {(row.source, row.event) for row in ROWS}
IMPOSSIBLE = [pair for pair in product(State, Event) if pair not in POSSIBLE]


def _reachable(start: State) -> set[State]:
    found: set[State] = set()
    ahead = [start]
    while ahead:
        here = ahead.pop()
        onwards = {row.dest for row in TRANSITIONS if row.source is here} - found
        found |= onwards
        ahead += onwards
    return found


def test_states_are_exactly_those_of_the_design() -> None:
    assert STATES == [state.value for state in State]
    assert STATES == [state.name for state in State]


def test_table_is_the_designs_and_has_no_row_twice() -> None:
    assert sorted(ROWS) == sorted(TRANSITIONS)


def test_no_state_knows_an_event_twice() -> None:
    assert len(TRANSITIONS) == len({(row.source, row.event) for row in TRANSITIONS})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.source}-{row.event}")
def test_each_row_leads_where_the_design_says(row: Transition) -> None:
    assert row.dest is follow(row.source, row.event)


@pytest.mark.parametrize(("state", "event"), IMPOSSIBLE)
def test_every_other_pair_is_impossible_and_the_error_names_both(state: State, event: Event) -> None:
    with pytest.raises(ImpossibleEvent) as caught:
        follow(state, event)
    assert f"{event} can't happen in {state}: please report this as a bug in mecbounce" == str(caught.value)


def test_every_event_happens_somewhere() -> None:
    assert set(Event) == {row.event for row in TRANSITIONS}


def test_every_state_is_reachable_from_the_first() -> None:
    assert set(State) == {State.INIT_CHECKS} | _reachable(State.INIT_CHECKS)


@pytest.mark.parametrize("state", [state for state in State if state not in FINAL])
def test_both_ends_can_be_reached_from_everywhere(state: State) -> None:
    assert set(FINAL) <= _reachable(state)


def test_the_one_way_back_is_an_intent_that_has_expired() -> None:
    """Every other arrow leads on, so only that one needs a bound: each expiry doubles the age that is allowed."""
    order = list(State)
    back = [row for row in TRANSITIONS if order.index(row.dest) <= order.index(row.source)]
    assert [Transition(State.DELETE_POD, Event.INTENT_EXPIRED, State.INIT_CHECKS)] == back


@pytest.mark.parametrize(
    ("state", "events"),
    [
        (State.AWAIT_TERMINATION, {Event.TERMINATION_TIMEOUT}),
        (State.AWAIT_READY, {Event.NOT_RECREATED, Event.READY_TIMEOUT}),
    ],
)
def test_every_waiting_state_has_a_timeout_way_out(state: State, events: set[Event]) -> None:
    assert state in WAITING
    assert events == {row.event for row in TRANSITIONS if row.source is state and row.dest is State.FAILED}


def test_each_state_before_the_end_either_acts_before_the_deletion_or_waits_after_it() -> None:
    assert tuple(State) == (*BEFORE_DELETION, *WAITING, *FINAL)


@pytest.mark.parametrize("state", FINAL)
def test_nothing_leads_out_of_an_end(state: State) -> None:
    assert [] == [row for row in TRANSITIONS if row.source is state]


@pytest.mark.parametrize("state", WAITING)
def test_no_waiting_leads_back_to_the_deletion(state: State) -> None:
    assert State.DELETE_POD not in _reachable(state)


@pytest.mark.parametrize("state", WAITING)
def test_after_the_deletion_nothing_can_be_cancelled(state: State) -> None:
    assert (state, Event.CANCELLED) in IMPOSSIBLE


class TestTrapsOfTransitions:
    """What the library would let pass without a word."""

    def test_its_states_are_exactly_ours(self) -> None:
        """An unknown `source` or `dest` would invent a state."""
        assert [state.name for state in State] == list(MACHINE.states)
        assert list(State) == [known.value for known in MACHINE.states.values()]

    def test_its_initial_state_is_ours(self) -> None:
        """An unknown `initial` would be accepted."""
        assert State.INIT_CHECKS.name == MACHINE.initial

    def test_it_has_our_triggers_alone(self) -> None:
        """Auto transitions would let every state jump to every other (to_DELETE_POD)."""
        assert {event.value for event in Event} == set(MACHINE.events)
        assert [] == [name for name in MACHINE.events if name.startswith("to_")]

    def test_it_has_our_rows_alone(self) -> None:
        found = [
            (row.source, name, row.dest)
            for name, event in MACHINE.events.items()
            for rows in event.transitions.values()
            for row in rows
        ]
        assert sorted((row.source.name, row.event.value, row.dest.name) for row in TRANSITIONS) == sorted(found)

    def test_no_row_has_a_guard_or_a_callback(self) -> None:
        """A handler runs before its event: what hangs on an arrow would run after the decision."""
        rows = [row for event in MACHINE.events.values() for rows in event.transitions.values() for row in rows]
        assert [] == [row for row in rows if row.prepare or row.conditions or row.before or row.after]
        assert [] == [state for state in MACHINE.states.values() if state.on_enter or state.on_exit]

    def test_it_holds_no_model_even_after_an_event(self) -> None:
        """`add_model` would set a resumed bounce back to the initial state."""
        assert State.DONE is follow(State.AWAIT_READY, Event.POD_STARTED)
        assert [] == MACHINE.models

    def test_a_fault_leaves_no_trace(self) -> None:
        with pytest.raises(ImpossibleEvent):
            follow(State.DONE, Event.POD_GONE)
        assert State.AWAIT_READY is follow(State.DELETE_POD, Event.POD_GONE)


def test_header_tells_every_state() -> None:
    story = machine.__doc__ or ""
    assert [] == [state for state in State if state.value not in story]
