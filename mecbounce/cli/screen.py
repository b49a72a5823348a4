"""Where a bounce stands, live in a terminal or line by line: pure functions of record, last look and time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from rich.text import Text

from mecbounce.cli.layout import LABEL, SIGNS, Signs, labelled, plain, short_uid, wrapped
from mecbounce.cli.pages import codes
from mecbounce.machine import FINAL, State
from mecbounce.messages import limit_of
from mecbounce.progress import LastLook, Progress, whole_seconds
from mecbounce.record import BounceRecord, Notice
from mecbounce.request import BounceRequest

SHORTEST_BAR, LONGEST_BAR = 8, 40  # columns


def screen(
    record: BounceRecord,
    now: datetime,
    width: int,
    *,
    where: str = "",
    look: LastLook | None = None,
    signs: Signs = SIGNS,
    about: Mapping[str, str] = {},
) -> Text:
    """Lay out where a bounce stands: its pod, what else to tell `about` it, each state with its time and its notices.

    `about` has short labels, each with its text.
    """
    request = record.request
    lines = [Text(heading(request, where), style="bold")]
    if record.node is not None:
        lines += labelled("node", str(record.node), width, LABEL // 2)
    if record.old_pod is not None:
        lines += labelled("pod", _incarnations(record, signs), width, LABEL // 2)
    for label, text in about.items():
        lines += labelled(label, text, width, LABEL // 2)
    lines.append(Text())
    passed, notices = {**record.durations, record.state: record.elapsed(now)}, _notices(record)
    for state in State:
        # After `intent_expired` a state that was passed comes once more.
        to_come = not record.finished and [*State].index(state) > [*State].index(record.state)
        if state in passed and not to_come:
            lines.append(_row(record, state, passed[state], width, signs))
            indent = " " * signs.columns
            for notice in notices.get(state, []):
                lines += wrapped(notice.message, width, first=f"{indent}{signs.mind} ", style="yellow")
            if state is record.state and (waiting := Progress.of(record, look, now).text):
                lines += wrapped(waiting, width, first=indent, style="cyan")
        elif state not in FINAL and not record.finished:
            lines.append(Text(f"{signs.before(signs.aside)}{state}", style="dim"))
    return Text("\n").join(lines)


def heading(request: BounceRequest, where: str = "") -> str:
    """Name the pod, its namespace, and its cluster: `where` is the kubeconfig's context or an address."""
    return f"{request.pod} in {request.namespace}" + (f" ({plain(where)})" if where else "")


def _incarnations(record: BounceRecord, signs: Signs) -> str:
    known = [pod for pod in (record.old_pod, record.new_pod) if pod is not None]
    return f" {signs.then} ".join(
        f"{pod.name} {short_uid(pod.uid)}{f' on {pod.host}' if pod.host else ''}" for pod in known
    )


def _notices(record: BounceRecord) -> dict[State, list[Notice]]:
    """Give the notices of each state, those of the step that left it included."""
    found: dict[State, list[Notice]] = {}
    for notice in record.notices:
        state = next((here.state for here, after in pairwise(record.path) if notice.at <= after.at), record.state)
        found.setdefault(state, []).append(notice)
    return found


def _row(record: BounceRecord, state: State, took: float, width: int, signs: Signs) -> Text:
    failed_here = state is record.failed_in
    if state is State.FAILED or failed_here:
        mark, style = signs.bad, "red"
    elif state is record.state and state is not State.DONE:
        mark, style = signs.here, "cyan"
    elif all(entry.state is not state for entry in record.since_checks):
        mark, style = signs.aside, "dim"  # passed before the intent expired: it may come once more
    else:
        mark, style = signs.good, "green"
    row = Text.assemble((signs.before(mark), style), (f"{state:18}", style if state is record.state else ""))
    if state in FINAL:
        row.rstrip()
        if state is State.FAILED:
            row.append(f": {codes(record)}", "red")
        return row
    present = state is record.state
    row.append(f"{f'{took:,.0f} s' if present else f'{took:,.1f} s':>9}")
    if present and (limit := record.limit) is not None:
        said = f"  of at most {limit_of(limit)}"
        room = min(LONGEST_BAR, width - row.cell_len - len(said) - 2)
        if room >= SHORTEST_BAR:
            filled = min(room, int(room * took / limit)) if limit > 0 else room
            row.append("  ").append(signs.done * filled, style).append(signs.left * (room - filled), "dim")
        row.append(said if row.cell_len + len(said) <= width else f" / {limit_of(limit)}")
    return row


class ProgressLines:
    """Progress for a log: a line once something was waited for FIRST, and again after each AGAIN."""

    FIRST, AGAIN = timedelta(seconds=1), timedelta(seconds=30)

    def __init__(self) -> None:
        self._waited_for: tuple[State, str] | None = None
        self._due = datetime.max.replace(tzinfo=UTC)

    def line(self, found: Progress, now: datetime) -> str | None:
        """Give the line that is due now, if any."""
        if not found.code:
            return None
        if (found.state, found.code) != self._waited_for:
            self._waited_for = found.state, found.code
            self._due = now + (self.AGAIN if found.code == "trouble" else self.FIRST)  # a notice has told it
        if now < self._due:
            return None
        self._due = now + self.AGAIN
        took = whole_seconds(now - found.since)
        limit = (
            f" of at most {limit_of((found.deadline - found.since).total_seconds())}"
            if found.deadline is not None
            else ""
        )
        return f"waiting, {took}{limit}: {plain(found.text)}"
