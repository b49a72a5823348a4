"""Where a bounce stands and what it waits for now: a pure function of its record, the last look and the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from pydantic import Field

from mecbounce import diagnosis, probes
from mecbounce.codes import DiagnosisCode
from mecbounce.fields import Frozen, Instant
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import State
from mecbounce.record import BounceRecord, PinnedPod

REMOVAL = 30.0  # seconds that a kubelet may take to remove a pod whose containers have ended


@dataclass(frozen=True)
class LastLook:
    """The pods that were seen last, and how far the API server's clock is ahead of this machine's."""

    pods: tuple[Pod, ...]
    skew: timedelta = timedelta()


@dataclass(frozen=True)
class _Waiting:
    """What is waited for. Without a code it is nothing worth telling."""

    code: str = ""
    text: str = ""
    fraction: float | None = None


_NOTHING = _Waiting()


class Progress(Frozen):
    """Where a bounce stands now, and what it waits for: for a screen or a log of your own."""

    state: State
    """The present state."""
    since: Instant
    """When it was entered, in UTC."""
    deadline: Instant | None = None
    """When it has waited long enough, in UTC. None: it is not a waiting state."""
    code: str = ""
    """What it waits for: a `DiagnosisCode`, `trouble` (no usable answer) or `overdue`. Empty: nothing worth telling."""
    text: str = ""
    """The same for people, with the figures of this moment."""
    fraction: float | None = Field(default=None, ge=0, le=1)
    """The part of its startup budget that the replacement has used, from 0 to 1. None: no startup probe is running."""
    look: LastLook | None = Field(default=None, exclude=True, repr=False)
    """The pods that were seen last, not part of the JSON. None: none were looked at yet."""

    @classmethod
    def of(cls, record: BounceRecord, look: LastLook | None, now: datetime) -> Self:
        """Tell where `record` stands at `now`, by the pods of the last look."""
        waiting = _waiting_for(record, look, now)
        return cls(
            state=record.state,
            since=record.entered_at,
            deadline=record.deadline,
            code=waiting.code,
            text=waiting.text,
            fraction=waiting.fraction,
            look=look,
        )


def whole_seconds(span: timedelta) -> str:
    """Write a span of time for people, at least 0."""
    return f"{max(0.0, span.total_seconds()):,.0f} s"


def _waiting_for(record: BounceRecord, look: LastLook | None, now: datetime) -> _Waiting:
    old, trouble = record.old_pod, record.trouble
    if record.finished:
        return _NOTHING
    if trouble is not None:
        since = f"{whole_seconds(now - trouble.since)}, {trouble.tries} {'try' if trouble.tries == 1 else 'tries'}"
        return _Waiting("trouble", f"no usable answer from the API server for {since}: {trouble.what}")
    if record.deadline is not None and now >= record.deadline:
        return _Waiting("overdue", f"deadline passed {whole_seconds(now - record.deadline)} ago; checking once more")
    if old is not None and look is not None:
        if record.state is State.AWAIT_TERMINATION:
            return _termination(old.find_in(look.pods), now + look.skew)
        if record.state is State.AWAIT_READY:
            return _readiness(record, old, look.pods, now + look.skew)
    return _NOTHING


def _termination(pod: Pod | None, server_now: datetime) -> _Waiting:
    if pod is None or not pod.terminating:
        return _NOTHING
    why = diagnosis.termination(pod, None, server_now)
    if why.code is DiagnosisCode.NOT_REMOVED and _ended_lately(pod, server_now):
        return _NOTHING
    return _Waiting(why.code, why.evidence)


def _ended_lately(pod: Pod, server_now: datetime) -> bool:
    """Whether its containers ended less than REMOVAL ago, so that its kubelet may still be removing it."""
    ends = [status.state.terminated.finished_at for status in pod.status.all_containers if status.state.terminated]
    # If they had ended before the deletion, or never ran, the kubelet removes it from then on.
    ago = [(server_now - end).total_seconds() for end in ends if end is not None]
    ago += [] if (deleted := pod.deleted_for(server_now)) is None else [deleted]
    return min(ago, default=REMOVAL) < REMOVAL


def _readiness(record: BounceRecord, old: PinnedPod, pods: tuple[Pod, ...], server_now: datetime) -> _Waiting:
    if again := old.find_in(pods):
        why = diagnosis.exists_again(again)
        return _Waiting(why.code, why.evidence)
    candidates = old.replacements(pods)
    if not candidates:
        return _Waiting(DiagnosisCode.NOT_RECREATED, "nothing has recreated the pod yet")
    pod = candidates[0]
    if probes.completion_event(pod, record.request.ready_when, server_now):
        return _NOTHING
    why = diagnosis.readiness(pod, None, (), server_now)
    startup = probes.startup_progress(pod, server_now) if why.code is DiagnosisCode.STARTUP_PROBE else None
    if startup is None:
        return _Waiting(why.code, why.evidence)
    tries = f"{startup.tries} of at most {startup.allowed} tries used up, {startup.left:.0f} s left of its budget"
    return _Waiting(why.code, f"startup probe of {startup.container}: {tries}", startup.used)
