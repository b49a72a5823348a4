"""Where a bounce stands, live in a terminal or line by line: pure functions of record, last look and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from rich.text import Text

from mecbounce import diagnosis, probes
from mecbounce.cli.layout import LABEL, labelled, plain, short_uid, wrapped
from mecbounce.cli.pages import codes
from mecbounce.codes import DiagnosisCode
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import FINAL, State
from mecbounce.record import BounceRecord, Notice, PinnedPod
from mecbounce.request import BounceRequest

SHORTEST_BAR, LONGEST_BAR = 8, 40  # columns
REMOVAL = 30.0  # seconds that a kubelet may take to remove a pod whose containers have ended
INDENT = " " * 3  # of what belongs to a state


@dataclass(frozen=True)
class LastLook:
    """The pods that were seen last, and how far the API server's clock is ahead of this machine's."""

    pods: tuple[Pod, ...]
    skew: timedelta = timedelta()


def screen(
    record: BounceRecord,
    now: datetime,
    width: int,
    *,
    where: str = "",
    look: LastLook | None = None,
    about: Mapping[str, str] = {},
) -> Text:
    """Lay out where a bounce stands: its pod, what else to tell `about` it, each state with its time and its notices.

    `about` has short labels, each with its text.
    """
    request = record.request
    lines = [Text(heading(request, where), style="bold")]
    if request.node is not None:
        lines += labelled("node", str(request.node), width, LABEL // 2)
    if record.old_pod is not None:
        lines += labelled("pod", _incarnations(record), width, LABEL // 2)
    for label, text in about.items():
        lines += labelled(label, text, width, LABEL // 2)
    lines.append(Text())
    passed, notices = {**record.durations, record.state: record.elapsed(now)}, _notices(record)
    for state in State:
        # After `intent_expired` a state that was passed comes once more.
        to_come = not record.finished and [*State].index(state) > [*State].index(record.state)
        if state in passed and not to_come:
            lines.append(_row(record, state, passed[state], width))
            for notice in notices.get(state, []):
                lines += wrapped(notice.message, width, first=f"{INDENT}! ", style="yellow")
            if state is record.state and (waiting := waiting_for(record, look, now)):
                lines += wrapped(waiting[1], width, first=INDENT, style="cyan")
        elif state not in FINAL and not record.finished:
            lines.append(Text(f"·  {state}", style="dim"))
    return Text("\n").join(lines)


def heading(request: BounceRequest, where: str = "") -> str:
    """Name the pod, its namespace, and its cluster: `where` is the kubeconfig's context or an address."""
    return f"{request.pod} in {request.namespace}" + (f" ({plain(where)})" if where else "")


def waiting_for(record: BounceRecord, look: LastLook | None, now: datetime) -> tuple[str, str] | None:
    """Say what the present state waits for: a code that changes with it, and words. None: nothing worth telling."""
    old, trouble = record.old_pod, record.trouble
    if trouble is not None and not record.finished:
        since = f"{_whole_seconds(now - trouble.since)}, {trouble.tries} {'try' if trouble.tries == 1 else 'tries'}"
        return "trouble", f"no usable answer from the API server for {since}: {trouble.what}"
    if record.deadline is not None and now >= record.deadline and not record.finished:
        return "overdue", f"deadline passed {_whole_seconds(now - record.deadline)} ago; checking once more"
    if old is None or look is None:
        return None
    if record.state is State.AWAIT_TERMINATION:
        return _termination(old.find_in(look.pods), now + look.skew)
    if record.state is State.AWAIT_READY:
        return _readiness(record, old, look.pods, now + look.skew)
    return None


def _whole_seconds(span: timedelta) -> str:
    return f"{max(0.0, span.total_seconds()):,.0f} s"


def _termination(pod: Pod | None, server_now: datetime) -> tuple[str, str] | None:
    if pod is None or not pod.terminating:
        return None
    why = diagnosis.termination(pod, None, server_now)
    if why.code is DiagnosisCode.NOT_REMOVED and _ended_lately(pod, server_now):
        return None
    return why.code, why.evidence


def _ended_lately(pod: Pod, server_now: datetime) -> bool:
    """Whether its containers ended less than REMOVAL ago, so that its kubelet may still be removing it."""
    ends = [status.state.terminated.finished_at for status in pod.status.all_containers if status.state.terminated]
    # If they had ended before the deletion, or never ran, the kubelet removes it from then on.
    ago = [(server_now - end).total_seconds() for end in ends if end is not None]
    ago += [] if (deleted := pod.deleted_for(server_now)) is None else [deleted]
    return min(ago, default=REMOVAL) < REMOVAL


def _readiness(
    record: BounceRecord, old: PinnedPod, pods: tuple[Pod, ...], server_now: datetime
) -> tuple[str, str] | None:
    if again := old.find_in(pods):
        why = diagnosis.exists_again(again)
        return why.code, why.evidence
    candidates = old.replacements(pods)
    if not candidates:
        return DiagnosisCode.NOT_RECREATED, "nothing has recreated the pod yet"
    pod = candidates[0]
    if probes.completion_event(pod, record.request.ready_when, server_now):
        return None
    why = diagnosis.readiness(pod, None, (), server_now)
    progress = probes.startup_progress(pod, server_now) if why.code is DiagnosisCode.STARTUP_PROBE else None
    if progress is None:
        return f"{why.code} {pod.uid}", why.evidence
    tries = f"{progress.tries} of at most {progress.allowed} tries used up, {progress.left:.0f} s left of its budget"
    return f"{why.code} {pod.uid}", f"startup probe of {progress.container}: {tries}"


def _incarnations(record: BounceRecord) -> str:
    known = [pod for pod in (record.old_pod, record.new_pod) if pod is not None]
    return " → ".join(f"{pod.name} {short_uid(pod.uid)}{f' on {pod.host}' if pod.host else ''}" for pod in known)


def _notices(record: BounceRecord) -> dict[State, list[Notice]]:
    """Give the notices of each state, those of the step that left it included."""
    found: dict[State, list[Notice]] = {}
    for notice in record.notices:
        state = next((here.state for here, after in pairwise(record.path) if notice.at <= after.at), record.state)
        found.setdefault(state, []).append(notice)
    return found


def _row(record: BounceRecord, state: State, took: float, width: int) -> Text:
    failed_here = state is record.failed_in
    if state is State.FAILED or failed_here:
        mark, style = "✘", "red"
    elif state is record.state and state is not State.DONE:
        mark, style = "●", "cyan"
    elif all(entry.state is not state for entry in record.since_checks):
        mark, style = "·", "dim"  # passed before the intent expired: it may come once more
    else:
        mark, style = "✔", "green"
    row = Text.assemble((mark, style), "  ", (f"{state:18}", style if state is record.state else ""))
    if state in FINAL:
        row.rstrip()
        if state is State.FAILED:
            row.append(f": {codes(record)}", "red")
        return row
    present = state is record.state
    row.append(f"{f'{took:,.0f} s' if present else f'{took:,.1f} s':>9}")
    if present and (limit := record.limit) is not None:
        said = f"  of at most {limit:,.0f} s"
        room = min(LONGEST_BAR, width - row.cell_len - len(said) - 2)
        if room >= SHORTEST_BAR:
            filled = min(room, int(room * took / limit)) if limit > 0 else room
            row.append("  ").append("━" * filled, style).append("─" * (room - filled), "dim")
        row.append(said)
    return row


class ProgressLines:
    """Progress for a log: a line once something was waited for FIRST, and again after each AGAIN."""

    FIRST, AGAIN = timedelta(seconds=1), timedelta(seconds=30)

    def __init__(self) -> None:
        self._waited_for: tuple[State, str] | None = None
        self._due = datetime.max.replace(tzinfo=UTC)

    def line(self, record: BounceRecord, look: LastLook | None, now: datetime) -> str | None:
        """Give the line that is due now, if any."""
        waiting = waiting_for(record, look, now)
        if waiting is None:
            return None
        code, text = waiting
        if (record.state, code) != self._waited_for:
            self._waited_for = record.state, code
            self._due = now + (self.AGAIN if code == "trouble" else self.FIRST)  # a notice has told it
        if now < self._due:
            return None
        self._due = now + self.AGAIN
        took = _whole_seconds(now - record.entered_at)
        limit = f" of at most {record.limit:,.0f} s" if record.limit is not None else ""
        return f"waiting, {took}{limit}: {plain(text)}"
