"""The machine and the checks as Mermaid diagrams. What `transitions` draws lacks the title and the final arrows."""

from __future__ import annotations

import inspect
from itertools import pairwise

from mecbounce.checks import CHECKS
from mecbounce.machine import FINAL, TRANSITIONS, Event, State, follow
from mecbounce.messages import utc
from mecbounce.record import BounceRecord
from mecbounce.steps import HANDLERS

_STYLES = (
    "classDef good stroke:#2e9e4f,stroke-width:3px",
    "classDef bad stroke:#d1453b,stroke-width:3px",
    "classDef passed stroke:#2e9e4f,stroke-width:3px",
    "classDef present stroke:#2f7fd1,stroke-width:4px",
)


def bounce(record: BounceRecord | None = None) -> str:
    """Draw the machine. With a record: mark its states, with their times, and its present state."""
    title = f"Bounce {record.bounce_id} of {record.request.pod}" if record else "One bounce"
    lines = ["---", f"title: {title}", "---", "stateDiagram-v2"]
    for state in State:
        if state in HANDLERS:
            lines += [f"    {state} : {state}", f"    {state} : {_first_line(HANDLERS[state])}{_times(record, state)}"]
    if record is not None and record.finished:
        lines += [f"    {record.state} : {record.state}", f"    {record.state} : {_end(record)}"]
    lines.append(f"    [*] --> {State.INIT_CHECKS}")
    arrows: dict[tuple[State, State], list[Event]] = {}
    for row in TRANSITIONS:
        arrows.setdefault((row.source, row.dest), []).append(row.event)
    taken = {(before.state, here.event) for before, here in pairwise(record.path)} if record else set()
    for (source, dest), events in arrows.items():
        mark = "✘" if dest is State.FAILED else "✔"
        names = (f"<b>{mark} {event}</b>" if (source, event) in taken else event for event in events)
        lines.append(f"    {source} --> {dest} : {'<br/>'.join(names)}")
    lines += [f"    {state} --> [*]" for state in FINAL]
    lines += [f"    {style}" for style in _STYLES]
    styles = {State.DONE: "good", State.FAILED: "bad"}
    if record is not None:
        present = {record.state: styles.get(record.state, "present")}
        failed_in = {record.failed_in: "bad"} if record.failed_in else {}
        styles = {entry.state: "passed" for entry in record.path} | failed_in | present
    lines += [f"    class {state} {style}" for state, style in styles.items()]
    return "\n".join(lines) + "\n"


def init_checks() -> str:
    """Draw the checks in order: each statement, and where it leads if it is true and if it is not."""
    lines = ["---", f"title: {State.INIT_CHECKS}, in order", "---", "flowchart TD"]
    lines.append(f"    start([{State.INIT_CHECKS}]) --> {CHECKS[0].code}")
    dest = follow(State.INIT_CHECKS, Event.CHECKS_PASSED)
    passed = f'{Event.CHECKS_PASSED}(["{Event.CHECKS_PASSED}<br/>{dest}"])'
    for number, check in enumerate(CHECKS):
        after = CHECKS[number + 1].code if number + 1 < len(CHECKS) else passed
        lines.append(f'    {check.code}{{{{"{check.statement}"}}}}')
        if check.event is None:
            lines.append(f'    {check.code} -- "yes, or no: a notice" --> {after}')
            continue
        goes_on = "yes, or no with force: a notice" if check.forced else "yes"
        dest = follow(State.INIT_CHECKS, check.event)
        style = "bad" if dest is State.FAILED else "good"
        lines.append(f'    {check.code} -- "{goes_on}" --> {after}')
        lines.append(f'    {check.code} -- "no" --> {check.code}_end(["{check.event}<br/>{dest}"]):::{style}')
    lines.append(f"    class {Event.CHECKS_PASSED} good")
    lines += [f"    {style}" for style in _STYLES[:2]]
    return "\n".join(lines) + "\n"


def _times(record: BounceRecord | None, state: State) -> str:
    """Say how long a state took, or since when it is the present state."""
    if record is None:
        return ""
    if state in record.durations and state is not record.state:
        how = "failed after" if state is record.failed_in else "passed in"
        return f"<br/><b>{how} {record.durations[state]:,.1f} s</b>"
    if record.state is not state:
        return ""
    since = utc(record.entered_at).replace(":", "#58;")  # a colon is Mermaid syntax
    limit = f", at most {record.limit:,.0f} s" if record.limit is not None else ""
    return f"<br/><b>here since {since}{limit}</b>"


def _end(record: BounceRecord) -> str:
    why = f"{record.diagnosis.code}, " if record.diagnosis else ""
    return f"<b>{why}after {record.took(record.entered_at):,.1f} s</b>"


def _first_line(handler: object) -> str:
    return (inspect.getdoc(handler) or "").partition("\n")[0].rstrip(".").replace(";", ",")
