"""The machine and the checks as Mermaid flowcharts, and what has changed since a drawing was made.

`transitions` can draw a state diagram. In one, Mermaid can't colour an arrow, so the table is drawn here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from mecbounce.checks import CHECKS, Check
from mecbounce.machine import BEFORE_DELETION, TRANSITIONS, WAITING, Event, State, follow
from mecbounce.messages import limit_of, utc
from mecbounce.record import BounceRecord
from mecbounce.steps import HANDLERS

GROUPS = {"before": ("Nothing is deleted yet", BEFORE_DELETION), "after": ("Deleted: resume only", WAITING)}
_BLANKS = {"before": 70, "after": 6}  # after a title: they push it to the left, away from the arrow into the group
HAPPY = tuple(state for state in State if state is not State.FAILED)
_HAPPY_PAIRS = [*pairwise(HAPPY)]
FAILS = "✘"  # in a box: an event that fails there; at the arrow of a group: any of those
IN_A_LINE = 3  # events in one line of a box

_GREEN, _RED, _BLUE, _PALE = "#2e9e4f", "#d1453b", "#2f7fd1", "#999999"
_STYLES = (
    f"classDef good stroke:{_GREEN},stroke-width:3px",
    f"classDef bad stroke:{_RED},stroke-width:3px",
    f"classDef present stroke:{_BLUE},stroke-width:4px",
    f"classDef pale stroke:{_PALE},color:{_PALE}",
)
_ENDS = {State.DONE: "good", State.FAILED: "bad"}

Rows = frozenset[tuple[State, Event]]  # rows of the table, by their source and event


class _Drawing(NamedTuple):
    """What is drawn: a bounce or none, the rows that it took, and the rows and states to show."""

    record: BounceRecord | None
    took: Rows
    rows: Rows
    states: frozenset[State]


class _Arrow(NamedTuple):
    source: str
    label: str
    dest: State
    taken: bool


def bounce(record: BounceRecord | None = None, *, taken: bool = False) -> str:
    """Draw the machine. With a record: colour the path that it took. `taken`: draw that path alone."""
    path = record.path if record else ()
    took = frozenset((before.state, here.event) for before, here in pairwise(path) if here.event)
    rows = took if taken else frozenset((row.source, row.event) for row in TRANSITIONS)
    drawing = _Drawing(record, took, rows, frozenset(entry.state for entry in path) if taken else frozenset(State))
    arrows = [*_arrows(drawing)]
    lines = _head(f"Bounce {record.bounce_id} of {record.request.pod}" if record else "One bounce")
    lines += [*_boxes(drawing), f"    begin(( )) --> {State.INIT_CHECKS}"]
    lines += [f'    {arrow.source} -->|"{arrow.label}"| {arrow.dest}' for arrow in arrows]
    lines += [f"    {style}" for style in _STYLES]
    if record is not None:
        lines += _arrow_styles(arrows)
    lines += [f"    class {state} {style}" for state, style in _box_styles(record) if state in drawing.states]
    lines += [
        f'    click {state} href "../mecbounce/steps.py#:~:text=def%20{handler.__name__}" "its handler"'
        for state, handler in HANDLERS.items()
        if state in drawing.states
    ]
    return _text(lines)


def happy_path() -> str:
    """Draw the states of a bounce without trouble, and the events that lead from one to the next."""
    lines = _head("One bounce, if nothing is out of the ordinary")
    for state in HAPPY:
        box = f'["{"<br/>".join(_about(state)[:2])}"]' if state in HANDLERS else f"([{state}])"
        lines.append(f"    {state}{box}")
    for source, dest in _HAPPY_PAIRS:
        events = " or<br/>".join(row.event for row in TRANSITIONS if (row.source, row.dest) == (source, dest))
        lines.append(f'    {source} -->|"{events}"| {dest}')
    return _text([*lines, f"    {_STYLES[0]}", f"    class {State.DONE} good"])


def init_checks() -> str:
    """Draw the checks in order: each statement, and what happens if it is not true."""
    lines = _head(f"{State.INIT_CHECKS}, in order")
    lines += [f'    {check.code}["<b>{check.statement}</b><br/>{_if_not(check)}"]' for check in CHECKS]
    passed = Event.CHECKS_PASSED
    lines.append(f'    {passed}(["{_event(passed, taken=False)}<br/>{follow(State.INIT_CHECKS, passed)}"])')
    order = [f"start([{State.INIT_CHECKS}])", *(check.code for check in CHECKS), passed]
    lines += [f"    {source} --> {dest}" for source, dest in pairwise(order)]
    return _text([*lines, f"    {_STYLES[0]}", f"    class {passed} good"])


def _if_not(check: Check) -> str:
    """Say what happens if a statement is not true."""
    if check.event is None:
        return "if not: a notice"
    dest, event = follow(State.INIT_CHECKS, check.event), _event(check.event, taken=False)
    ends = f"{FAILS} {event}" if dest is State.FAILED else f"{event}, go to {dest}"
    return f"if not: {ends}{', with force a notice' if check.forced else ''}"


def files() -> dict[str, str]:
    """Give the diagrams that are committed, by the names of their files."""
    return {"bounce.mmd": bounce(), "init_checks.mmd": init_checks()}


def changes(committed: str, drawn: str) -> list[str]:
    """List what is new in a drawing (+) and what is gone (-): rows of the table, or lines of the checks."""
    then, now = ([*_rows(text)] or [line.strip() for line in text.splitlines()] for text in (committed, drawn))
    return [*(f"+ {row}" for row in now if row not in then), *(f"- {row}" for row in then if row not in now)]


def _rows(drawing: str) -> Iterator[str]:
    """Read the rows of the table from a drawing of the machine."""
    members: dict[str, list[str]] = {}  # the states of each group
    fails: dict[str, list[str]] = {}  # the events in the box of each state
    group = ""
    for line in re.sub(r"<[^>]*>", " ", drawing).splitlines():
        if begins := re.match(r" +subgraph (\w+)", line):
            group = begins[1]
        elif box := re.match(r' +([A-Z_]+)\["(.*)"\]', line):
            members.setdefault(group, []).append(box[1])
            fails[box[1]] = re.findall(r"[a-z_]+", box[2].partition(FAILS)[2])
        elif arrow := re.match(r' +(\w+) -->\|"(.*)"\| (\w+)', line):
            for source in members.get(arrow[1], [arrow[1]]):
                for event in (*re.findall(r"[a-z_]+", arrow[2]), *(fails.get(source, ()) if FAILS in arrow[2] else ())):
                    yield f"{source} --{event}--> {arrow[3]}"


def _head(title: str) -> list[str]:
    return ["---", f"title: {title}", "config:", "  flowchart:", "    wrappingWidth: 500", "---", "flowchart TD"]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _boxes(drawing: _Drawing) -> Iterator[str]:
    """Give a box for each state, within its group."""
    for group, (title, states) in GROUPS.items():
        if not drawing.states.intersection(states):
            continue
        yield f'    subgraph {group} ["{title}{"&nbsp;" * _BLANKS[group]}"]'
        for state in states:
            if state in drawing.states:
                text = "<br/>".join((*_about(state), *_times(drawing.record, state), *_fails(drawing, state)))
                yield f'        {state}["{text}"]'
        yield "    end"
    for state in _ENDS:
        if state in drawing.states:
            yield f'    {state}(["{"<br/>".join((state, *_end(drawing.record, state)))}"])'


def _about(state: State) -> list[str]:
    """Say what a state is, from its handler's docstring."""
    promise, _, writes = (inspect.getdoc(HANDLERS[state]) or "").partition("\n\n")
    return [f"<b>{state}</b>", promise.rstrip(".").replace(";", ","), *writes.rstrip(".").split(". ")]


def _fails(drawing: _Drawing, state: State) -> Iterator[str]:
    """List the events with which this state can fail, without those of its whole group."""
    group = next(states for _, states in GROUPS.values() if state in states)
    own = (event for event in _ends([state]) if event not in _ends(group) and (state, event) in drawing.rows)
    names = [_event(event, taken=(state, event) in drawing.took) for event in own]
    for first in range(0, len(names), IN_A_LINE):
        yield f"{f'{FAILS} ' if first == 0 else ''}{', '.join(names[first : first + IN_A_LINE])}"


def _ends(states: Iterable[State]) -> list[Event]:
    """List the events with which each of these states can fail."""
    fails = [[row.event for row in TRANSITIONS if (row.source, row.dest) == (state, State.FAILED)] for state in states]
    return [event for event in fails[0] if all(event in others for others in fails)]


def _event(event: Event, *, taken: bool) -> str:
    """Link an event to its row in the documents. Mermaid's own `click` is for whole boxes only."""
    link = f"<a href='../docs/operations.md#event-{event}' style='color:inherit'>{event}</a>"
    return f"<b>{link}</b>" if taken else link


def _arrows(drawing: _Drawing) -> Iterator[_Arrow]:
    """Give an arrow from a state to another, and one from each group to FAILED."""
    pairs = {(row.source, row.dest) for row in TRANSITIONS if row.dest is not State.FAILED}
    for source, dest in sorted(pairs, key=_place):
        events = [row.event for row in TRANSITIONS if (row.source, row.dest) == (source, dest)]
        yield from _arrow(drawing, source, (source,), events, dest)
    for group, (_, states) in GROUPS.items():
        yield from _arrow(drawing, group, states, _ends(states), State.FAILED)


def _place(pair: tuple[State, State]) -> tuple[int, int, int]:
    """Order the arrows so that Mermaid draws the happy path straight down. Many orders were tried for that."""
    source, dest = map([*State].index, pair)
    if pair[0] is State.INIT_CHECKS:
        return 1, -dest, 0
    return (0, -source, 0) if pair in _HAPPY_PAIRS else (2, -source, -dest)


def _arrow(
    drawing: _Drawing, source: str, states: Iterable[State], events: Iterable[Event], dest: State
) -> Iterator[_Arrow]:
    """Give the arrow with its events, if any of its rows is drawn."""
    rows = {(row.source, row.event) for row in TRANSITIONS if row.source in states and row.dest is dest}
    if not rows & drawing.rows:
        return
    taken = {event: any((state, event) in drawing.took for state in states) for event in events}
    shown = [event for event in events if any((state, event) in drawing.rows for state in states)]
    label = [FAILS] if source in GROUPS else []
    yield _Arrow(
        source,
        "<br/>".join((*label, *(_event(event, taken=taken[event]) for event in shown))),
        dest,
        taken=bool(rows & drawing.took),
    )


def _arrow_styles(arrows: list[_Arrow]) -> Iterator[str]:
    """Colour the arrows that were taken, and make the others pale. Number 0 is the one from the beginning."""
    colours = [
        _GREEN,
        *((_RED if arrow.dest is State.FAILED else _GREEN) if arrow.taken else _PALE for arrow in arrows),
    ]
    for number, colour in enumerate(colours):  # one by one: with `default`, Mermaid gives all heads one colour
        yield f"    linkStyle {number} stroke:{colour},color:{colour}{',stroke-width:3px' if colour != _PALE else ''}"


def _box_styles(record: BounceRecord | None) -> Iterator[tuple[State, str]]:
    if record is None:
        yield from _ENDS.items()
        return
    passed = {entry.state for entry in record.path}
    for state in State:
        if state is record.failed_in:
            yield state, "bad"
        elif state is record.state:
            yield state, _ENDS.get(state, "present")
        else:
            yield state, "good" if state in passed else "pale"


def _times(record: BounceRecord | None, state: State) -> Iterator[str]:
    """Say how long a state took, or since when it is the present state."""
    if record is None:
        return
    if state in record.durations and state is not record.state:
        how = "failed after" if state is record.failed_in else "passed in"
        yield f"<b>{how} {record.durations[state]:,.1f} s</b>"
    elif record.state is state:
        limit = f", at most {limit_of(record.limit)}" if record.limit is not None else ""
        yield f"<b>here since {utc(record.entered_at)}{limit}</b>"


def _end(record: BounceRecord | None, state: State) -> Iterator[str]:
    if record is not None and record.state is state:
        why = f"{record.diagnosis.code}, " if record.diagnosis else ""
        yield f"<b>{why}after {record.took(record.entered_at):,.1f} s</b>"
