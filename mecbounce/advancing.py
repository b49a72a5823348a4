"""One step of a bounce, from one saved state to the next: `begin`, `advance`, `cancel`.

A step looks, decides, and does at most one write. The caller saves what it gives before it takes the next one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mecbounce import diagnosis, messages, probes, retry, steps
from mecbounce.errors import AccessDenied, ClusterError, one_line
from mecbounce.facts import Look
from mecbounce.machine import BEFORE_DELETION, FINAL, Event, State, follow
from mecbounce.messages import TASK, Terms
from mecbounce.protection import ShutdownProtection, given
from mecbounce.record import BounceRecord, Notice, PinnedPod, Protection, StateEntry, refuse_other_pod
from mecbounce.request import BounceRequest
from mecbounce.result import BounceResult
from mecbounce.steps import HANDLERS, Context, Outcome

if TYPE_CHECKING:
    from mecbounce.kubernetes_api import Cluster

NOTICE_SKEW = timedelta(seconds=30)  # a larger difference of the two clocks gets a notice


@dataclass(frozen=True)
class Wait:
    """How long to wait before the next `advance`. A change of the pods ends the wait early, unless `backing_off`."""

    seconds: float
    backing_off: bool = False


@dataclass(frozen=True)
class Step:
    """What `advance` returns: the record to save, and how long to wait before the next call (None: finished)."""

    record: BounceRecord
    wait: Wait | None
    reported_again: bool = False  # it had ended before this call, which did nothing

    @property
    def result(self) -> BounceResult | None:
        """How the bounce ended. None: it has not."""
        return BounceResult.of(self.record, reported_again=self.reported_again) if self.record.finished else None


def begin(
    request: BounceRequest,
    now: datetime,
    *,
    server: str = "",
    waits_on: BounceRecord | None = None,
    protection: ShutdownProtection | None = None,
    terms: Terms = TASK,
) -> BounceRecord:
    """Make the first record of a new bounce. Save it before the first `advance`. `server`: the API server's address.

    `protection`: the one that `advance` will get. Only its name is recorded, so that a run without it can say so.

    `waits_on`: the record of a bounce that ended before its replacement was back (`mecbounce.again`). The new one waits
    on for that replacement: it keeps what is known of the old pod, and can delete no other incarnation. Raises
    ValueError if that record has no pod.
    """
    path = (StateEntry(state=State.INIT_CHECKS, at=now),)
    begun = BounceRecord(
        bounce_id=uuid.uuid4().hex[:12],
        revision=1,
        request=request,
        server=server,
        path=path,
        given_protection=given(protection),
    )
    if waits_on is None:
        return begun
    refuse_other_pod(waits_on, request, "waits_on")
    if waits_on.old_pod is None:
        raise ValueError(
            f"waits_on: bounce {waits_on.bounce_id} never saw its pod: there is no replacement to wait for"
        )
    notice = Notice(code="waits_on", message=messages.waits_on(waits_on, terms), at=now)
    return begun.model_copy(
        update={
            "request": request.model_copy(update={"pod_uid": waits_on.old_pod.uid}),
            "old_pod": waits_on.old_pod,
            "found_node": waits_on.found_node if request.node == "auto" else None,
            "waits_on": waits_on.bounce_id,
            "given_protection": begun.given_protection or waits_on.given_protection,
            "notices": (notice,),
        }
    )


def advance(
    record: BounceRecord,
    cluster: Cluster,
    now: datetime,
    *,
    protection: ShutdownProtection | None = None,
    look: Look | None = None,
    terms: Terms = TASK,
) -> Step:
    """Run the present state's handler once: at most one write, and no wait for the pods to change.

    Save `step.record` before you call `advance` again, and call it after `step.wait.seconds`: if a DELETE was announced
    longer ago than the API timeout, the checks are made again first. `look` returns pods that a watch keeps current;
    without it, each look is a request.
    """
    if record.finished:
        return Step(record, None, reported_again=True)
    looked = look or (lambda name: cluster.pods(record.request.namespace, name))
    context = Context(record, now, cluster, looked, protection, terms)
    server_time = cluster.server_time  # read before this step's requests, which take time
    try:
        outcome = HANDLERS[record.state](context)
    except ClusterError as error:
        return _after_failure(context, error)
    if server_time is None and record.state is State.INIT_CHECKS:
        server_time = cluster.server_time
    return _apply(record, _with_skew(record, outcome, server_time, now), now)


def cancel(
    record: BounceRecord,
    cluster: Cluster,
    now: datetime,
    *,
    announced_by_this_process: bool = False,
    terms: Terms = TASK,
) -> Step | None:
    """Cancel a bounce before its deletion. None: it is too late, because a DELETE was sent or may still be.

    `announced_by_this_process`: True if it brought the bounce into DELETE_POD each time, and so knows what was sent.
    Another process may be paused right before its DELETE, however long ago it announced it.
    """
    if record.state not in BEFORE_DELETION:
        return None
    if record.deletion_was_possible:
        if not announced_by_this_process or record.trouble is not None or record.old_pod is None:
            return None
        try:
            pod = record.old_pod.find_in(cluster.pods(record.request.namespace, record.old_pod.name))
        except ClusterError:
            return None
        if pod is None or pod.terminating:
            return None
    return _apply(record, Outcome(Event.CANCELLED, *messages.cancelled(record, terms)), now)


def _with_skew(record: BounceRecord, outcome: Outcome, server_time: datetime | None, now: datetime) -> Outcome:
    """Add a notice, once, if the two clocks differ much."""
    skew = server_time - now if server_time is not None else timedelta()
    if abs(skew) <= NOTICE_SKEW or any(notice.code == "clock_skew" for notice in record.notices):
        return outcome
    return replace(outcome, notices=(*outcome.notices, ("clock_skew", messages.clock_skew(skew))))


def mark_protection_unknown(record: BounceRecord) -> BounceRecord:
    """Set the protection to unknown if an earlier run was killed before it saved the outcome."""
    return record.model_copy(update={"protection": Protection.UNKNOWN}) if record.protection_in_doubt else record


def _apply(record: BounceRecord, outcome: Outcome, now: datetime) -> Step:
    """Write a handler's outcome into the record. A request has succeeded: `trouble` ends."""
    changes: dict[str, Any] = {"trouble": None, **outcome.record_changes}
    told = {(notice.code, notice.message) for notice in record.notices}  # a state may be entered twice
    if new := [notice for notice in outcome.notices if notice not in told]:
        changes["notices"] = _add_notices(record.notices, new, now)
    if outcome.event is not None:
        state = follow(record.state, outcome.event)
        changes["path"] = (*record.path, StateEntry(state=state, at=now, event=outcome.event))
        if state is not State.FAILED:  # else it tells which time was too short
            changes["deadline"] = _deadline(state, record, changes.get("old_pod", record.old_pod), now)
        if state in FINAL:
            changes |= {"message": outcome.message, "advice": outcome.advice, "diagnosis": outcome.diagnosis}
            changes["untold"] = True
    after = record.changed(**changes)
    if after.finished:
        return Step(after, None)
    if outcome.event is not None or after.deadline is None:
        return Step(after, Wait(0.0))
    return Step(after, Wait(min(steps.LOOK_EVERY, max(0.0, (after.deadline - now).total_seconds()))))


def _add_notices(notices: tuple[Notice, ...], new: Iterable[tuple[str, str]], now: datetime) -> tuple[Notice, ...]:
    """Add notices. Of each code only the first and the last are kept; the last has the number of them."""
    kept = list(notices)
    for code, message in new:
        alike = [notice for notice in kept if notice.code == code]
        count = alike[-1].count + 1 if alike else 1
        if len(alike) > 1:
            kept.remove(alike[-1])
        kept.append(Notice(code=code, message=message, at=now, count=count))
    return tuple(kept)


def _deadline(state: State, record: BounceRecord, old: PinnedPod | None, now: datetime) -> datetime | None:
    """Give the deadline of a waiting state that is entered now."""
    timeouts = record.request.timeouts
    if old is None:
        return None
    if state is State.AWAIT_TERMINATION:
        return now + timedelta(seconds=probes.termination_deadline(timeouts.termination, old.grace_period).seconds)
    if state is State.AWAIT_READY:
        return now + timedelta(seconds=probes.ready_deadline(timeouts.ready, old.containers).seconds)
    return None


def _after_failure(context: Context, error: ClusterError) -> Step:
    """Try again after a pause. Give up once the API timeout has passed; at once if the right is missing.

    A failed DELETE comes here only if it is to be tried again: `_not_accepted` in `steps.py` judges it first.
    """
    record, now = context.record, context.now
    if record.state in BEFORE_DELETION and isinstance(error, AccessDenied):
        return _give_up(context, Event.ACCESS_DENIED, one_line(error))
    trouble = retry.add_failure(record, error, now)
    if now < retry.give_up_at(record, trouble):
        notices = record.notices
        told = any(notice.code == "cluster_trouble" and notice.at >= record.entered_at for notice in notices)
        if record.trouble is None and not told:  # the first failure in this state
            notices = _add_notices(notices, [("cluster_trouble", messages.cluster_trouble(trouble.what))], now)
        after = record.changed(trouble=trouble, notices=notices)
        return Step(after, Wait(retry.pause(record, trouble, error, now), backing_off=True))
    if record.state in BEFORE_DELETION:
        return _give_up(context, Event.CLUSTER_UNREACHABLE, trouble.what)
    return _apply(record, steps.failed(context, diagnosis.unreachable(trouble.what)), now)


def _give_up(context: Context, event: Event, error: str) -> Step:
    """Give up before the deletion."""
    record = mark_protection_unknown(context.record)
    return _apply(record, Outcome(event, *messages.given_up(record, event, error, context.terms)), context.now)
