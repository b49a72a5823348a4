"""What a person sees of a bounce or its plan: pure functions of record or plan, the pods last seen and the time.

Each gives lines of text for a terminal of `width` columns; without a width nothing is wrapped or shortened, as a log
wants it. What others say goes through `plain` first: it may hold what a terminal would obey.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mecbounce import diagnosis, probes
from mecbounce.checks import CHECKS
from mecbounce.machine import BEFORE_DELETION, FINAL, JOINING, NOT_DELETED, WAITING, Event, State
from mecbounce.model import BounceRecord, BounceRequest, ClusterType, Notice, PinnedPod, Pod, Protection, ReadyWhen
from mecbounce.planning import Deadline, Plan, Right
from mecbounce.quoting import printable

WHOLE_UID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SHORT_UID = 8  # characters; unique enough for an eye, `-o json` and the commands have the whole
BAR = range(8, 41)  # columns that a bar may take
LABEL = 14  # columns of a page's labels
REMOVAL = 30.0  # seconds: every kubelet takes some seconds to remove a pod whose containers have ended
DEEPER = 3  # columns that what belongs to a state stands in from it


@dataclass(frozen=True)
class Given:
    """Options of the command that no record keeps, as they were given: the next command repeats them."""

    kubeconfig: str = ""
    context: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    as_uid: str = ""
    protection: str = ""
    state: str = ""
    no_events: bool = False

    @property
    def cluster(self) -> list[tuple[str, str]]:
        """The options that say where and as whom, which kubectl has too."""
        groups = [("--as-group", group) for group in self.as_groups]
        named = [("--kubeconfig", self.kubeconfig), ("--context", self.context), ("--as", self.as_user)]
        return [(option, value) for option, value in (*named, *groups, ("--as-uid", self.as_uid)) if value]


# --- where it stands ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sight:
    """The pods of the last look, and how far the API server's clock is ahead of this machine's."""

    pods: tuple[Pod, ...]
    skew: timedelta = timedelta()


def screen(record: BounceRecord, now: datetime, width: int, *, where: str = "", sight: Sight | None = None) -> Text:
    """Lay out where a bounce stands: whom it is about, each state with its time, and the notices where they came."""
    request = record.request
    lines = [Text(heading(request, where), style="bold")]
    if request.node is not None:
        lines += _labelled("node", str(request.node), width, LABEL // 2)
    if record.old_pod is not None:
        lines += _labelled("pod", _incarnations(record), width, LABEL // 2)
    lines.append(Text())
    passed, notices = {**record.durations, record.state: _elapsed(record, now)}, _notices(record)
    for state in State:
        to_come = not record.finished and [*State].index(state) > [*State].index(record.state)  # perhaps once more
        if state in passed and not to_come:
            lines.append(_row(record, state, passed[state], width))
            for notice in notices.get(state, []):
                lines += _wrapped(notice.message, width, first=f"{' ' * DEEPER}! ", style="yellow")
            if state is record.state and (waiting := waiting_for(record, sight, now)):
                lines += _wrapped(waiting[1], width, first=" " * DEEPER, style="cyan")
        elif state not in FINAL and not record.finished:
            lines.append(Text(f"·  {state}", style="dim"))
    return Text("\n").join(lines)


def heading(request: BounceRequest, where: str = "") -> str:
    """Name the pod, its namespace, and `where`: its cluster, as the kubeconfig calls it or by its address."""
    return f"{request.pod} in {request.namespace}" + (f" ({plain(where)})" if where else "")


def would_resume(record: BounceRecord) -> str:
    """Say of an unfinished bounce that `run` does not begin a new one."""
    pinned = f" of incarnation {record.old_pod.uid}" if record.old_pod else ""
    return (
        f"An unfinished bounce{pinned} is recorded, in {record.state}: `mecbounce run` resumes it. "
        "What follows is what a new one would do."
    )


def codes(record: BounceRecord) -> str:
    """Name the event that a finished bounce ended with, and its diagnosis: what its documents are searched for."""
    found = [_last_event(record).value, *([record.diagnosis.code] if record.diagnosis else [])]
    return ", ".join(dict.fromkeys(found))  # not_recreated is both


def waiting_for(record: BounceRecord, sight: Sight | None, now: datetime) -> tuple[str, str] | None:
    """Say what the present state waits for, as the last look tells: a code that changes with it, and words.

    `sight` is None where there was no look yet; the answer is None where nothing is known, or nothing worth telling.
    """
    old, trouble = record.old_pod, record.trouble
    if trouble is not None and not record.finished:
        since = f"{_seconds(now - trouble.since)} s, {trouble.tries} {'try' if trouble.tries == 1 else 'tries'}"
        return "trouble", f"no usable answer from the API server for {since}: {trouble.what}"
    if record.deadline is not None and now >= record.deadline and not record.finished:
        return "overdue", f"deadline passed {_seconds(now - record.deadline)} s ago; checking once more"
    if old is None or sight is None:
        return None
    if record.state is State.AWAIT_TERMINATION:
        return _termination(old.find_in(sight.pods), now + sight.skew)
    if record.state is State.AWAIT_READY:
        return _readiness(record, old, sight.pods, now + sight.skew)
    return None


def _termination(pod: Pod | None, server_now: datetime) -> tuple[str, str] | None:
    if pod is None or not pod.terminating:
        return None
    why = diagnosis.termination(pod, None, server_now)
    if why.code == "not_removed" and _ended_lately(pod, server_now):
        return None
    return why.code, why.evidence


def _ended_lately(pod: Pod, server_now: datetime) -> bool:
    """Whether its containers have ended so lately that its kubelet may just need its time to remove it."""
    ends = [status.state.terminated.finished_at for status in pod.status.all_containers if status.state.terminated]
    # What had ended before, or never ran, is removed once it is deleted.
    ago = [(server_now - end).total_seconds() for end in ends if end is not None]
    ago += [] if (deleted := pod.deleted_for(server_now)) is None else [deleted]
    return min(ago, default=REMOVAL) < REMOVAL


def _readiness(
    record: BounceRecord, old: PinnedPod, pods: tuple[Pod, ...], server_now: datetime
) -> tuple[str, str] | None:
    if again := old.find_in(pods):
        why = diagnosis.standing_again(again)
        return why.code, why.evidence
    candidates = old.replacements(pods)
    if not candidates:
        return "not_recreated", "nothing has recreated the pod yet"
    pod = candidates[0]
    if probes.completion_event(pod, record.request.ready_when, server_now):
        return None
    why = diagnosis.readiness(pod, None, (), server_now)
    progress = probes.startup_progress(pod, server_now) if why.code == "startup_probe" else None
    if progress is None:
        return f"{why.code} {pod.uid}", why.evidence
    tries = f"{progress.tries} of at most {progress.allowed} tries used up, {progress.left:.0f} s left of its budget"
    return f"{why.code} {pod.uid}", f"startup probe of {progress.container}: {tries}"


def _incarnations(record: BounceRecord) -> str:
    shown = [f"{one.name} {_short(one.uid)}{f' on {one.host}' if one.host else ''}" for one in _both(record)]
    return " → ".join(shown)


def _both(record: BounceRecord) -> Iterator[Any]:
    yield from (one for one in (record.old_pod, record.new_pod) if one is not None)


def _elapsed(record: BounceRecord, now: datetime) -> float:
    return max(0.0, (now - record.entered_at).total_seconds())


def _notices(record: BounceRecord) -> dict[State, list[Notice]]:
    """Give each state the notices that came in it; one that came as it was left is its own too."""
    found: dict[State, list[Notice]] = {}
    for notice in record.notices:
        state = next((here.state for here, after in pairwise(record.path) if notice.at <= after.at), record.state)
        found.setdefault(state, []).append(notice)
    return found


def _row(record: BounceRecord, state: State, took: float, width: int) -> Text:
    failed_here = record.state is State.FAILED and state is record.path[-2].state
    if state is State.FAILED or failed_here:
        mark, style = "✘", "red"
    elif state is record.state and state is not State.DONE:
        mark, style = "●", "cyan"
    elif all(passage.state is not state for passage in record.since_checks):
        mark, style = "·", "dim"  # its intent expired, and the checks are asked again
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
        room = min(BAR[-1], width - row.cell_len - len(said) - 2)
        if room in BAR:
            filled = min(room, int(room * took / limit)) if limit > 0 else room
            row.append("  ").append("━" * filled, style).append("─" * (room - filled), "dim")
        row.append(said)
    return row


class ProgressLines:
    """What waiting is told of line by line: whatever has been waited for a second, and again after half a minute."""

    FIRST, AGAIN = timedelta(seconds=1), timedelta(seconds=30)

    def __init__(self) -> None:
        self._waited_for: tuple[State, str] | None = None
        self._due = datetime.max.replace(tzinfo=UTC)

    def line(self, record: BounceRecord, sight: Sight | None, now: datetime) -> str | None:
        """Give the line that is due now, if one is."""
        waiting = waiting_for(record, sight, now)
        if waiting is None:
            return None
        code, text = waiting
        if (record.state, code) != self._waited_for:
            self._waited_for = record.state, code
            self._due = now + (self.AGAIN if code == "trouble" else self.FIRST)  # of trouble a notice has told
        if now < self._due:
            return None
        self._due = now + self.AGAIN
        took = f"{_seconds(now - record.entered_at)} s"
        limit = f" of at most {record.limit:,.0f} s" if record.limit is not None else ""
        return f"waiting, {took}{limit}: {plain(text)}"


# --- how it ended, or how to go on -------------------------------------------------------------------------------


def ending(record: BounceRecord, given: Given, width: int | None) -> Text:
    """Sum a success up, give a failure its page, and an unfinished bounce the command that resumes it."""
    if record.state is State.DONE:
        lines = _summary(record, width)
    elif record.state is State.FAILED:
        lines = _page(record, width)
    else:
        lines = _resumable(record, width)
    for purpose, command in next_commands(record, given):
        lines += [Text(f"{purpose}:"), *_command(command, width)]
    return Text("\n").join(lines)


def _summary(record: BounceRecord, width: int | None) -> list[Text]:
    """Three lines: what happened, how long each state took, what changed."""
    return [
        *_wrapped(_shortened(record.message, record, width), width, style="green"),
        *_labelled("Took", _took(record), width, len("Changed") + 2),
        *_labelled("Changed", _changed_with_replacement(record, width), width, len("Changed") + 2),
    ]


def _took(record: BounceRecord) -> str:
    durations = record.durations
    shown = [f"{state} {took:,.1f} s" for state, took in durations.items() if round(took, 1) > 0]
    if len(shown) < len(durations):
        shown.append(f"{'the rest' if shown else 'each'} 0.0 s")
    return f"{sum(durations.values()):,.1f} s: {', '.join(shown)}"


def _changed_with_replacement(record: BounceRecord, width: int | None) -> str:
    old, new = record.old_pod, record.new_pod
    if old is None or new is None:
        return "nothing"
    name = _short if width else str
    said = [f"UID {name(old.uid)} → {name(new.uid)}"]
    if old.name != new.name:
        said.insert(0, f"name {old.name} → {new.name}")
    if old.images:
        changes = [f"image of {one} {before} → {after}" for one, before, after in old.image_changes(new.images)]
        said += changes or ["same image" if len(old.images) == 1 else "same images"]
    if old.host and new.host:
        same = old.host == new.host
        said.append(f"same Kubernetes node {new.host}" if same else f"Kubernetes node {old.host} → {new.host}")
    if record.protection is Protection.DISABLED:
        said.append("the old pod's shutdown protection switched off")
    return ", ".join(said)


def _page(record: BounceRecord, width: int | None) -> list[Text]:
    """Tell what happened, the evidence, who must act, what was changed, and whether it can be resumed."""
    why, event = record.diagnosis, _last_event(record)
    message = _shortened(record.message, record, width)
    if why is not None:
        said = _shortened(why.evidence.rstrip("."), record, width)
        rows = {"What happened": message.replace(f": {said}", "", 1), "Evidence": said, "Who must act": why.who}
    else:
        rows = {"What happened": message, "Who must act": _NEXT[event].who, "What to do": record.advice}
    rows["Changed"] = _changed(record)
    rows["Record"] = "ended: it can't be resumed, the next run begins a new bounce"
    if deletion_happened(record):
        rows["Record"] += ", which deletes the replacement unless --pod-uid is given"
    return _rows(rows, width)


def _resumable(record: BounceRecord, width: int | None) -> list[Text]:
    saves = "once" if record.revision == 1 else f"{record.revision} times"
    rows = {"Changed": _changed(record), "Record": f"unfinished, saved {saves}: it can be resumed"}
    if record.deadline is not None:
        rows = {"Deadline": f"{record.deadline.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}", **rows}
    return _rows(rows, width)


def _rows(rows: Mapping[str, str], width: int | None) -> list[Text]:
    return [line for label, text in rows.items() for line in _labelled(label, text, width, LABEL + 1)]


def deletion_happened(record: BounceRecord) -> bool:
    """Whether the pod has been deleted, by this bounce or somebody else, as far as the record knows."""
    return _code(record) != "deletion_lost" and any(passage.state in WAITING for passage in record.path)


def _deletion_unknown(record: BounceRecord) -> bool:
    """Whether a DELETE may have been sent, or may be yet, and nothing has told whether it was carried out."""
    if record.finished and (_last_event(record) in NOT_DELETED or record.path[-2].state not in BEFORE_DELETION):
        return False
    return record.deletion_was_possible


def _changed(record: BounceRecord) -> str:
    """Say whether the pod was deleted, and what became of its protection."""
    events = {passage.event for passage in record.path}
    at, code = record.path[-2 if record.finished else -1].state, _code(record)
    if code == "deletion_lost":
        said = "nothing: its deletion was lost, and the pod stands"
    elif code == "terminating_again":
        said = "the pod is being deleted: it had gone, and stands again"
    elif Event.DELETE_ACCEPTED in events and at is State.AWAIT_TERMINATION and code in ("", diagnosis.UNREACHABLE):
        said = "the deletion was accepted; whether the pod has gone is not known"
    elif Event.DELETE_ACCEPTED in events:
        said = "the pod was deleted"
    elif events & {*JOINING} and not record.deletion_was_possible:
        how = "was being deleted already" if Event.ALREADY_TERMINATING in events else "had gone already"
        said = f"nothing by this bounce: the pod {how}"
    elif events & {Event.ALREADY_REPLACED, Event.POD_GONE}:
        said = "the pod has gone, by this bounce's DELETE or somebody else's"
    elif Event.ALREADY_TERMINATING in events:
        said = "the pod is being deleted, by this bounce's DELETE or somebody else's"
    elif _deletion_unknown(record):
        said = "not known: the DELETE may or may not have been carried out"
    else:
        said = "nothing was deleted"
    protection = {
        Protection.DISABLED: "; its shutdown protection was switched off",
        Protection.OFF: "; it had no shutdown protection to switch off",
        Protection.KEPT: "; its shutdown protection could not be switched off",
        Protection.UNKNOWN: "; its shutdown protection may have been switched off",
    }
    known = Protection.UNKNOWN if record.protection_in_doubt else record.protection
    return said + (protection.get(known, "") if known else "")


def _code(record: BounceRecord) -> str:
    """Give the code of its diagnosis; empty where it has none."""
    return record.diagnosis.code if record.diagnosis else ""


def _last_event(record: BounceRecord) -> Event:
    event = record.path[-1].event
    if event is None:
        raise ValueError(f"the bounce is still in {record.state}")
    return event


# --- the next command --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Next:
    """What to run next: a purpose, a command with fields in braces, and who must act where no diagnosis says so."""

    purpose: str
    command: str
    who: str = ""


_DESCRIBE = Next("Look at it", "kubectl describe pod {pod} -n {namespace}")
_LOGS = Next("See what it logs", "kubectl logs {pod} -n {namespace} --all-containers --tail=50")
_LAST_LOGS = Next(
    "See what it logged before it ended",
    "kubectl logs {pod} -n {namespace} --all-containers --previous --ignore-errors --tail=50",
)
_HOST = Next("Look at its Kubernetes node", "kubectl describe node {host}")
_ALIVE = Next("See whether the API server answers", "kubectl get --raw /readyz", diagnosis.ADMINISTRATORS)
_RESOURCE = Next("See what it holds", "kubectl get {node} -n {namespace} -o yaml")
_FINALIZERS = Next("See which finalizers hold it", _RESOURCE.command)
_MAKER = Next("See why nothing makes it", "kubectl describe {node} -n {namespace}", diagnosis.OPERATOR)
_CONTROLLER = Next("Look at its controller", "kubectl describe {controller} -n {namespace}")
_WEBHOOKS = Next(
    "See which webhooks there are", "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations"
)
_EVENTS = Next("See what happened there", "kubectl get events -n {namespace} --sort-by=.lastTimestamp")
_WAIT_ON = Next("Wait on, and delete nothing", "{this_one}")
_ONCE_MORE = Next("Try once more: deletes this incarnation only", "{this_one}")
_WAIT_OR_DELETE = Next("Wait on: deletes this incarnation only, if it still stands", "{this_one}")
_RESUME = Next("Resume it", "{run}")
_THAT_ONE_OR_NONE = Next("Then bounce that incarnation, and no other", "{this_one}")
_THAT_ONE_IF_IT_STANDS = Next("Then see whether it still stands", "kubectl get pod {pod} -n {namespace}")

_NEXT: Mapping[Event, Next] = {
    Event.NODE_UNSERVED: Next(
        "See which types there are", "kubectl api-resources --api-group={group}", "whoever began this bounce"
    ),
    Event.NODE_MISSING: Next("See which there are", "kubectl get {kind} -n {namespace}", "whoever began this bounce"),
    Event.NODE_UNREADABLE: Next(_RESOURCE.purpose, _RESOURCE.command, diagnosis.OPERATOR),
    Event.NODE_DELETING: Next(_FINALIZERS.purpose, _FINALIZERS.command, "whoever deletes it"),
    Event.NODE_DOWN: Next(_RESOURCE.purpose, _RESOURCE.command, "whoever turned it down"),
    Event.NODE_REBUILDING: Next("Watch it rebuild", "kubectl get {node} -n {namespace} --watch", "nobody, for now"),
    Event.POD_MISSING: _MAKER,
    Event.POD_UNMANAGED: Next(
        "See what made it", "kubectl get pod {pod} -n {namespace} -o yaml", "whoever made the pod"
    ),
    Event.POD_FOREIGN: Next(
        "See what made it", "kubectl get pod {pod} -n {namespace} -o yaml", "whoever began this bounce"
    ),
    Event.POD_STATIC: Next("Look at it", _DESCRIBE.command, diagnosis.ADMINISTRATORS),
    Event.POD_ENDED: Next("See which pods there are", "kubectl get pods -n {namespace}", "whoever began this bounce"),
    Event.POD_OF_JOB: Next("Look at it", _DESCRIBE.command, "the owners of what it works for"),
    Event.CANCELLED: Next("Bounce it after all", "{run}", "nobody"),
    Event.ACCESS_DENIED: Next(
        "See which rights there are", "kubectl auth can-i --list -n {namespace}", diagnosis.ADMINISTRATORS
    ),
    Event.CLUSTER_UNREACHABLE: _ALIVE,
    Event.DELETE_REFUSED: Next("Once that is settled, ask again without deleting", "{plan}", diagnosis.ADMINISTRATORS),
    Event.TERMINATION_TIMEOUT: _WAIT_ON,
    Event.NOT_RECREATED: _WAIT_ON,
    Event.READY_TIMEOUT: _WAIT_ON,
}

_LOOK: Mapping[str, Next] = {  # by a diagnosis' code: where to look before waiting on
    "host_lost": _HOST,
    "grace_period_running": _LOGS,
    "grace_period_exceeded": _HOST,
    "finalizers": Next("See who set them", "kubectl get pod {pod} -n {namespace} -o yaml"),
    "not_removed": _HOST,
    "deletion_lost": _DESCRIBE,
    "terminating_again": _DESCRIBE,
    "webhook_failing": _WEBHOOKS,
    "webhook_denied": _WEBHOOKS,
    "policy_denied": Next("See which policies there are", "kubectl get validatingadmissionpolicies"),
    "namespace_deleting": Next("Look at it", "kubectl describe namespace {namespace}"),
    "account_missing": Next("See which accounts there are", "kubectl get serviceaccounts -n {namespace}"),
    "quota_exceeded": Next("See what is used up", "kubectl describe resourcequota -n {namespace}"),
    "refused": Next("See which rights there are", "kubectl auth can-i --list -n {namespace}"),
    "delete_failing": _ALIVE,
    diagnosis.UNREACHABLE: _ALIVE,
    "node_missing": Next("See which there are", "kubectl get {kind} -n {namespace}"),
    "node_deleting": _FINALIZERS,
    "node_down": _RESOURCE,
    "controller_gone": _EVENTS,
    "controller_deleting": _CONTROLLER,
    "controller_scaled_down": _CONTROLLER,
    "rolled_out": Next("See which pods there are", "kubectl get pods -n {namespace}"),
    "job_finished": _CONTROLLER,
    "job_suspended": _CONTROLLER,
    "host_gone": Next("See which Kubernetes nodes there are", "kubectl get nodes"),
    "host_not_wanted": _CONTROLLER,
    "predecessor_not_ready": Next("See which pods there are", "kubectl get pods -n {namespace}"),
    "controller_paused": _CONTROLLER,
    "creation_failed": _CONTROLLER,
    "too_few_replacements": _CONTROLLER,
    "name_generated": Next("See which pods there are", "kubectl get pods -n {namespace}"),
    "other_name": Next("See which pods there are", "kubectl get pods -n {namespace}"),
    "replacement_terminating": _DESCRIBE,
    "other_controller": _DESCRIBE,
    "not_recreated": _MAKER,
    "pod_ended": _DESCRIBE,
    "pod_disrupted": _DESCRIBE,
    "kubelet_silent": _HOST,
    "scheduling_gated": _DESCRIBE,
    "unschedulable": _DESCRIBE,
    "unscheduled": _DESCRIBE,
    "image_pull": _DESCRIBE,
    "container_config": _DESCRIBE,
    "volume": _DESCRIBE,
    "init_container": _LOGS,
    "startup_kill_loop": _LAST_LOGS,
    "crash_loop": _LAST_LOGS,
    "startup_probe": _LOGS,
    "readiness_probe": _LOGS,
    "container_waiting": _DESCRIBE,
    "readiness_gate": _DESCRIBE,
    "unknown": _DESCRIBE,
}

# A pod whose replacement gets another name can't be waited for by its own: kubectl can.
_WAIT_ON_BY_OTHER_NAME: Mapping[Event, Next] = {
    Event.TERMINATION_TIMEOUT: Next(
        _WAIT_ON.purpose, "kubectl wait --for=delete pod/{pod} -n {namespace} --timeout=600s"
    ),
    Event.NOT_RECREATED: Next(_WAIT_ON.purpose, "kubectl get pods -n {namespace} --watch"),
    Event.READY_TIMEOUT: Next(
        _WAIT_ON.purpose, "kubectl wait --for=condition=Ready pod/{pod} -n {namespace} --timeout=600s"
    ),
}


def next_commands(record: BounceRecord, given: Given) -> list[tuple[str, list[str]]]:
    """Give what to run next, each with its purpose: where to look first, then how to go on. None after a success."""
    if record.state is State.DONE:
        return []
    if not record.finished:
        found = [_RESUME]
    else:
        event = _last_event(record)
        found = [_LOOK.get(record.diagnosis.code, _DESCRIBE)] if record.diagnosis else []
        by_other_name = record.by_other_name
        found.append(_going_on(record, event))
        if _deletion_unknown(record):
            found.append(_THAT_ONE_IF_IT_STANDS if by_other_name else _THAT_ONE_OR_NONE)
    return [(purpose, words) for one in found for purpose, words in [_filled(one, record, given)]]


def _going_on(record: BounceRecord, event: Event) -> Next:
    """Choose how to go on after a failure, named as what it does."""
    if _code(record) == "deletion_lost":
        return _ONCE_MORE
    if record.by_other_name:
        # A pod that has ended never gets ready: what is left is to wait for another one.
        waits_for = Event.NOT_RECREATED if _code(record) == "pod_ended" else event
        return _WAIT_ON_BY_OTHER_NAME.get(waits_for, _NEXT[event])
    if event is Event.TERMINATION_TIMEOUT and _code(record) == diagnosis.UNREACHABLE:
        return _WAIT_OR_DELETE
    return _NEXT[event]


def _filled(what: Next, record: BounceRecord, given: Given) -> tuple[str, list[str]]:
    """Fill the fields of a command; where one isn't known, the namespace's Events have to do."""
    request, old, new = record.request, record.old_pod, record.new_pod
    node, about = request.node, old if _code(record) in diagnosis.STANDING else new or old
    fields = {
        "namespace": request.namespace,
        "pod": about.name if about else request.pod,
        "host": about.host if about else "",
        "kind": f"{node.plural}.{node.version}.{node.group}" if node else "",
        "group": node.group if node else "",
    }
    made_by = old.controller if old else None
    kind = (
        f"{made_by.kind}.{made_by.api_version.partition('/')[2]}.{made_by.group}" if made_by and made_by.group else ""
    )
    fields["controller"] = f"{kind}/{made_by.name}".lower() if made_by and kind else ""
    fields["node"] = f"{fields['kind']}/{node.name}" if node else ""
    ours = {
        "{run}": ("run", request.pod_uid),
        "{plan}": ("plan", request.pod_uid),
        "{this_one}": ("run", old.uid if old else request.pod_uid),
    }
    if what.command in ours:
        verb, uid = ours[what.command]
        return what.purpose, _mecbounce(verb, record, given, uid)
    if any(not value and f"{{{name}}}" in what.command for name, value in fields.items()):
        what = _EVENTS
    words = [word.format(**fields) for word in what.command.split()]
    return what.purpose, words + [word for pair in given.cluster for word in pair]


def _mecbounce(verb: str, record: BounceRecord, given: Given, uid: str | None) -> list[str]:
    """Write the command with the options that it was given."""
    request, node = record.request, record.request.node
    timeouts = request.timeouts
    options = {
        "--node": f"{node.group}/{node.version}/{node.plural}/{node.name}" if node else "",
        "--gitops": request.cluster_type is ClusterType.K8S_GITOPS,
        "--force": request.force,
        "--pod-uid": uid,
        "--protection-annotation": "" if deletion_happened(record) else given.protection,
        "--termination-timeout": f"{timeouts.termination:.10g}s" if timeouts.termination else "",
        "--ready-timeout": f"{timeouts.ready:.10g}s" if timeouts.ready else "",
        "--ready-when": "" if request.ready_when is ReadyWhen.AUTO else str(request.ready_when),
        "--no-events": given.no_events,
        "--state": given.state if verb == "run" else "",
    }
    words = [
        "mecbounce",
        verb,
        request.pod,
        "-n",
        request.namespace,
        *(word for pair in given.cluster for word in pair),
    ]
    for option, value in options.items():
        words += [option] if value is True else [option, str(value)] if value else []
    return words


# --- a plan ------------------------------------------------------------------------------------------------------

GOOD, MIND, BAD, ASIDE = ("✔", "green"), ("!", "yellow"), ("✘", "red"), ("·", "dim")


def plan_page(found: Plan, title: str) -> RenderableType:
    """Lay a plan out: what was asked, what would be written, how long it may take, and whether it would go on."""
    verdict = "A bounce would go on." if found.goes_on else "A bounce would not go on."
    page: list[RenderableType] = [Text(plain(f"Plan for {title}; nothing was changed"), style="bold")]
    if found.resumes:
        page.append(Text(f"{MIND[0]} {plain(found.resumes)}", style=MIND[1]))
    if found.checks:
        page += ["", Text("Checks", style="bold"), _plan_checks(found)]
    if found.writes:
        page += ["", Text("What it would write", style="bold"), _plan_writes(found)]
    if found.ready is not None:
        page += ["", Text("How long it would wait", style="bold"), _plan_deadlines(found)]
    if found.rights:
        page += ["", Text("Rights", style="bold"), _plan_rights(found)]
    if found.notices:
        page += ["", Text("Notices", style="bold")]
        page += [Text(f"{MIND[0]} {plain(notice)}", style=MIND[1]) for notice in found.notices]
    if found.eviction:
        page += ["", Text("Disruption budget", style="bold"), Text(plain(found.eviction))]
    page += ["", Text(verdict, style="bold green" if found.goes_on else "bold red")]
    page.append(Text(plain(f"{found.message} {found.advice}")))
    return Group(*page)


def _plan_checks(found: Plan) -> Table:
    table = Table.grid(padding=(0, 2))
    answers = {one.code: one for one in found.checks}
    for check in CHECKS:
        answer = answers.get(check.code)
        if answer is None:
            _plan_row(table, ASIDE, "-", f"{check.question} (not asked)")
            continue
        mark = BAD if answer.ends and not found.goes_on else MIND if answer.answer else GOOD
        _plan_row(table, mark, "yes" if answer.answer else "no", check.question)
        if answer.notice:
            table.add_row("", "", Text(plain(answer.notice), style=MIND[1]))
    return table


def _plan_writes(found: Plan) -> Table:
    table = Table.grid(padding=(0, 2))
    for write in found.writes:
        table.add_row(write.verb, Text(plain(f"{write.target}: {write.terms}")))
        if write.verb == "DELETE":
            table.add_row("", Text(plain(f"dry run {found.dry_run}"), style=(BAD if found.refused else GOOD)[1]))
    return table


def _plan_deadlines(found: Plan) -> Table:
    table = Table.grid(padding=(0, 2))

    def add(what: str, deadline: Deadline | None) -> None:
        if deadline is not None:
            mark = MIND if deadline.short else GOOD
            _plan_row(table, mark, f"{what} within {deadline.seconds:,.0f} s", deadline.origin)

    add("gone", found.termination)
    add("ready", found.ready)
    return table


def _plan_rights(found: Plan) -> Table:
    table = Table.grid(padding=(0, 2))

    def mark(right: Right) -> tuple[tuple[str, str], str]:
        if right.granted is None:
            return MIND, "could not be asked"
        return (GOOD, "yes") if right.granted else (BAD if right.misses else MIND, "no")

    for right in found.rights:
        _plan_row(table, *mark(right), f"{right}: {right.why}" if right.why else str(right))
    return table


def _plan_row(table: Table, mark: tuple[str, str], answer: str, text: str) -> None:
    sign, style = mark
    table.add_row(Text(sign, style=style), Text(answer, style=style, justify="right"), Text(plain(text)))


# --- the record for programs -------------------------------------------------------------------------------------


def as_json(record: BounceRecord, now: datetime, given: Given) -> dict[str, Any]:
    """Give where a bounce stands for programs: times in UTC, durations in seconds."""
    kept = {"bounce_id", "revision", "deadline", "new_pod", "protection", "trouble", "notices", "message", "advice"}
    stored = record.model_dump(mode="json", include=kept | {"diagnosis"})
    old = record.old_pod
    return {
        "state": record.state,
        "finished": record.finished,
        "namespace": record.request.namespace,
        "pod": record.request.pod,
        "node": str(record.request.node) if record.request.node else None,
        "entered_at": record.path[-1].model_dump(mode="json")["at"],
        "elapsed": None if record.finished else _elapsed(record, now),
        "durations": record.durations,
        "old_pod": old.model_dump(mode="json", include={"name", "uid", "images", "host"}) if old else None,
        **stored,
        "next_commands": [shlex.join(command) for _, command in next_commands(record, given)],
    }


# --- lines -------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Make one line of what others say, without what a terminal would obey."""
    return printable(" ".join(text.split()))


def _short(uid: str) -> str:
    return uid[:SHORT_UID] if re.fullmatch(WHOLE_UID, uid) else uid


def _shortened(text: str, record: BounceRecord, width: int | None) -> str:
    for one in _both(record) if width else ():
        text = text.replace(one.uid, _short(one.uid))
    return text


def _seconds(span: timedelta) -> str:
    return f"{max(0.0, span.total_seconds()):,.0f}"


def _wrapped(text: str, width: int | None, first: str = "", style: str = "") -> list[Text]:
    """Wrap after `first`, which the other lines are indented by."""
    if width is None:
        return [Text(first + plain(text), style=style)]
    lines: Iterable[str] = textwrap.wrap(
        plain(text),
        max(width, len(first) + 20),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [Text(line, style=style) for line in lines]


def _labelled(label: str, text: str, width: int | None, column: int) -> list[Text]:
    return _wrapped(text, width, first=f"{label:{column}}" if width else f"{label}: ")


def _command(words: list[str], width: int | None) -> list[Text]:
    """Write a command that can be pasted: a line too long is broken before an option, as a shell allows."""
    quoted = [shlex.quote(printable(word)) for word in words]
    lines = [quoted[0]]
    for word, after in zip(quoted[1:], [*quoted[2:], "-"], strict=True):
        pair = f"{word} {after}" if word.startswith("-") and not after.startswith("-") else word
        if width and len(lines[-1]) + len(pair) + 5 > width and word.startswith("-"):
            lines[-1] += " \\"
            lines.append(f"  {word}")
        else:
            lines[-1] += f" {word}"
    return [Text(f"  {line}", style="bold") for line in lines]
