"""From one saved state to the next: look, decide, save, act, wait.

`advance` takes one step. `BounceTask` saves each step before it takes the next, and waits in between.
The saved state is the intent: a bounce saves what it will do before it does it.
"""

from __future__ import annotations

import getpass
import os
import threading
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mecbounce import again, diagnosis, events, messages, probes, retry, steps
from mecbounce.errors import AccessDenied, ClusterError, Interrupted, RecordError, one_line
from mecbounce.facts import Look
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.logs import EventLog
from mecbounce.machine import BEFORE_DELETION, FINAL, Event, State, follow
from mecbounce.messages import TASK, Terms
from mecbounce.progress import LastLook, Progress
from mecbounce.protection import ShutdownProtection, given
from mecbounce.record import (
    BounceRecord,
    Notice,
    PinnedPod,
    Protection,
    Runner,
    StateEntry,
    refuse_other_bounce,
    refuse_other_pod,
)
from mecbounce.request import BounceRequest
from mecbounce.result import BounceResult
from mecbounce.steps import HANDLERS, Context, Outcome

if TYPE_CHECKING:
    from mecbounce.kubernetes_api import Cluster, PodWatch
    from mecbounce.stores import Store

log = EventLog("mecbounce.bounce")

NOTICE_SKEW = timedelta(seconds=30)  # a larger difference of the two clocks gets a notice
DETAIL_EVERY = timedelta(seconds=1)  # between two saves of details
STOP_EVERY = 0.2  # seconds between two looks at stop() while waiting
NOBODY = (0, 0)  # no process, no revision


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


def _with_skew(record: BounceRecord, outcome: Outcome, server_time: datetime | None, now: datetime) -> Outcome:
    """Add a notice, once, if the two clocks differ much."""
    skew = server_time - now if server_time is not None else timedelta()
    if abs(skew) <= NOTICE_SKEW or any(notice.code == "clock_skew" for notice in record.notices):
        return outcome
    return replace(outcome, notices=(*outcome.notices, ("clock_skew", messages.clock_skew(skew))))


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


class BounceTask:
    """One bounce for a runner. It saves each step in `store` before it takes the next, and resumes from there.

    `protection` is tried before the deletion. `stop` is asked between steps and while waiting: before the deletion True
    cancels the bounce. Once the DELETE may have been sent, `Interrupted` is raised and the next run resumes.

    `notify` gets each notice once, after it was saved; `observe` each saved record; `progress` where the bounce stands,
    after each look and each save. Their exceptions are logged and have no effect, but for KeyboardInterrupt, which may
    be a signal's. `saw` is deprecated: it gets the pods of each look of `perform`.

    `terms`: the words in which messages tell what to do next. `events`: write a Kubernetes Event before the DELETE and
    one at the end (`mecbounce.events`). Best effort: a failure is logged, and a resumed bounce may miss or repeat one.

    `runner`: this runner's name in the record, for whoever else looks at it; None: user@host. While `perform` runs, the
    hold of a store that has one (`FileStore.hold`) shows that the runner is alive.
    """

    def __init__(
        self,
        request: BounceRequest,
        cluster: Cluster,
        store: Store,
        *,
        protection: ShutdownProtection | None = None,
        notify: Callable[[Notice], object] | None = None,
        observe: Callable[[BounceRecord], object] | None = None,
        progress: Callable[[Progress], object] | None = None,
        saw: Callable[[tuple[Pod, ...]], object] | None = None,
        stop: Callable[[], bool] | None = None,
        events: bool = True,
        terms: Terms = TASK,
        runner: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._request = request
        self._cluster = cluster
        self._store = store
        self._protection = protection
        self._notify = notify or (lambda _: None)
        self._observe = observe or (lambda _: None)
        self._progress = progress
        if saw is not None:
            text = "BounceTask(saw=...) goes with the next version: use progress, and the pods in its `look`"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        self._saw = saw or (lambda _: None)
        self._look: LastLook | None = None
        self._stop = stop or (lambda: False)
        self._events = events
        self._terms = terms
        self._who = _present_user() if runner is None else runner
        self._clock = clock
        self._announced_by = NOBODY  # the process that announced every DELETE of the record, and its last revision
        self._calls = threading.Lock()  # held by the first call; those of other threads do not wait for it
        self._saved_detail_at = datetime.min.replace(tzinfo=UTC)
        self._log = log.bind(namespace=request.namespace, pod=request.pod)

    def perform(self) -> BounceResult:
        """Bounce, or resume the stored bounce. One that has ended is only reported again, until `forget`. Blocks.

        Raises Interrupted, Superseded, and RecordError if the record can't be read or saved. What `stop` raises goes
        through: the last step was saved.
        """
        return self.go_on(self._stored())

    def go_on(self, record: BounceRecord | None, *, waits_on: BounceRecord | None = None) -> BounceResult:
        """Like `perform`, with the record that the caller has loaded from the store and compared with the request.

        None begins a new bounce, which deletes; with `waits_on`, one that keeps waiting for what that record left: see
        `begin`. A runner's own way to do so is `keep_waiting`. If the store's record has changed since it was loaded,
        raises Superseded.
        """
        hold = getattr(self._store, "hold", nullcontext)  # a store of the runner's own need not have these two
        # A runner that only waits saves nothing: it would learn of another one at its deadline.
        notice_takeover = getattr(self._store, "refuse_taken_over", lambda _: None)
        with self._first_call() as first, hold():
            reported_again = record is not None and record.finished
            if record is None:
                record = self._begun(waits_on)
            elif not record.finished:
                record = self._resumed(record)
            with self._cluster.watch(self._request.namespace) as watch:
                while not record.finished:
                    if self._stop():
                        record = self._cancel_or_interrupt(record, announced=first and self._announced(record))
                        continue
                    step = self._step(record, watch)
                    record = step.record
                    if step.wait is not None:
                        notice_takeover(record)
                        self.wait_till_ok(step.wait, watch)
            return BounceResult.of(record, reported_again=reported_again)

    def keep_waiting(self) -> BounceResult:
        """Keep waiting for the replacement that the stored bounce has waited for in vain.

        A new bounce takes the place of that record; if it is interrupted, the next call resumes it. It can delete the
        old pod alone, and only if that still runs: its deletion was lost or never carried out. Raises what `perform`
        does, and RecordError where there is nothing to keep waiting for; the record stays as it is.
        """
        record = self._stored()
        if record is not None and not record.finished and again.still_waits_on(record):
            return self.go_on(record)
        if record is None or not again.left_waiting(record):
            raise RecordError(messages.nothing_to_wait_for(record, str(self._store)))
        return self.go_on(None, waits_on=record)

    def advance(self) -> Step:
        """Take one step, for a runner that calls again after `Step.wait.seconds`, until `Step.wait` is None.

        Raises Interrupted, Superseded, and RecordError if the record can't be read or saved.
        """
        with self._first_call() as first:
            record = self._stored() or self._begun()
            announced = first and self._announced(record)
            if not record.finished and self._stop():
                return Step(self._cancel_or_interrupt(_mark_protection_unknown(record), announced=announced), None)
            if record.state is State.DELETE_POD and not announced:
                # The runner that announced the DELETE may be paused: it must end Superseded, and not send it.
                record = self._save(record, record.model_copy(update={"revision": record.revision + 1}))
            return self._step(record, None)

    def forget(self) -> None:
        """Remove the record of a bounce of this pod that has ended: the next `perform` or `advance` begins anew.

        Raises RecordError if it has not ended, and if the record can't be read or removed; it stays as it is.
        """
        record = self._store.load()
        if record is not None:
            refuse_other_pod(record, self._request, str(self._store))
            self._store.clear()

    def _stored(self) -> BounceRecord | None:
        """Load the record to go on with. None: there is none."""
        record = self._store.load()
        if record is not None:
            refuse_other_bounce(record, self._request, str(self._store))
        return record

    @contextmanager
    def _first_call(self) -> Iterator[bool]:
        """Give True, or False while another thread's call is running: that one may be sending the DELETE."""
        first = self._calls.acquire(blocking=False)
        if not first:
            self._announced_by = NOBODY
        try:
            yield first
        finally:
            if first:
                self._calls.release()

    def _announced(self, record: BounceRecord) -> bool:
        """True if each DELETE in `record` was announced by this process, and no other runner has saved since."""
        return self._announced_by == (os.getpid(), record.revision)

    def _begun(self, waits_on: BounceRecord | None = None) -> BounceRecord:
        begun = begin(
            self._request,
            self._clock(),
            server=self._cluster.server,
            waits_on=waits_on,
            protection=self._protection,
            terms=self._terms,
        )
        return self._save(None, begun)

    def _resumed(self, record: BounceRecord) -> BounceRecord:
        """Take the bounce over: a runner that still has it ends with Superseded."""
        now = self._clock()
        text = messages.resumed(record, other_options=record.request != self._request)
        kept = tuple(notice for notice in record.notices if notice.code != "resumed")  # one is enough
        notices = (*kept, Notice(code="resumed", message=text, at=now))
        # Earlier failures say nothing about now: the API timeout begins again.
        trouble = record.trouble.model_copy(update={"since": now, "tries": 0}) if record.trouble else None
        update = {"notices": notices, "trouble": trouble, "revision": record.revision + 1}
        after = _mark_protection_unknown(record).model_copy(update=update)
        return self._save(record.model_copy(update={"notices": kept}), after)

    def _step(self, record: BounceRecord, watch: PodWatch | None) -> Step:
        def look(name: str | None) -> tuple[Pod, ...]:
            return self._seen(watch.look(name) if watch else self._cluster.pods(self._request.namespace, name))

        step = advance(record, self._cluster, self._clock(), protection=self._protection, look=look, terms=self._terms)
        if step.record.state is State.DELETE_POD and record.state is State.DISABLE_PROTECTION:
            step = replace(step, record=_entered_now(step.record, self._clock()))
        if watch is not None and _differs_in_details(record, step.record):
            now = self._clock()
            if now < self._saved_detail_at + DETAIL_EVERY:
                self._show(record)
                return Step(record, step.wait)  # the next look shows the same details
            self._saved_detail_at = now
        return replace(step, record=self._save(record, step.record))

    def _seen(self, pods: tuple[Pod, ...]) -> tuple[Pod, ...]:
        now = self._clock()
        self._look = LastLook(pods, (self._cluster.server_time or now) - now)
        with self._guarded(self._saw):
            self._saw(pods)
        return pods

    def _show(self, record: BounceRecord) -> None:
        if self._progress is not None:
            with self._guarded(self._progress):
                self._progress(Progress.of(record, self._look, self._clock()))

    def _cancel_or_interrupt(self, record: BounceRecord, *, announced: bool) -> BounceRecord:
        now = self._clock()
        step = cancel(record, self._cluster, now, announced_by_this_process=announced, terms=self._terms)
        if step is None:
            self._log.info("bounce.interrupted", bounce=record.bounce_id, state=record.state.value)
            raise Interrupted(
                f"Bounce of {record.request.pod} left in {record.state}, its record was saved in {self._store}. "
                "Run again to resume it."
            )
        return self._save(record, step.record)

    def _save(self, before: BounceRecord | None, after: BounceRecord) -> BounceRecord:
        """Save the record if it has changed, with this runner's name, then tell of it. Gives what was saved."""
        if after is before:
            self._show(after)
            return after
        runner = Runner(who=self._who, process=os.getpid(), saved_at=self._clock())
        after = after.model_copy(update={"runner": runner})
        alone = before is None or not before.deletion_was_possible or self._announced(before)
        self._store.save(after)
        self._announced_by = (os.getpid(), after.revision) if alone else NOBODY
        self._tell(after, before.notices if before else ())
        self._show(after)
        if self._events and before is not None and after.state is not before.state:
            self._tell_kubernetes(after)
        return after

    def _tell_kubernetes(self, record: BounceRecord) -> None:
        """Write the Event that is due, if any. A failure is no notice and is not tried again."""
        try:
            event = events.on_entering(record, self._clock())
            if event is not None:
                self._cluster.tell(record.request.namespace, event)
        except Exception as error:  # noqa: BLE001 -- best effort: it must not change the bounce
            why = one_line(error) if isinstance(error, ClusterError) else type(error).__name__
            self._log.warning("bounce.event_not_written", bounce=record.bounce_id, error=why)

    def _tell(self, record: BounceRecord, told: tuple[Notice, ...]) -> None:
        uid = record.old_pod.uid if record.old_pod else None
        bound = self._log.bind(bounce=record.bounce_id, uid=uid, state=record.state.value)
        bound.info("bounce.saved", revision=record.revision)
        for notice in record.notices:
            if notice in told:
                continue
            bound.info("bounce.notice", code=notice.code, message=notice.message)
            with self._guarded(self._notify):
                self._notify(notice)
        with self._guarded(self._observe):
            self._observe(record)

    @contextmanager
    def _guarded(self, callback: Callable[[Any], object]) -> Iterator[None]:
        """Call a runner's callback in this."""
        try:
            yield
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- a runner's callback must not end a bounce; a signal may
            # No traceback and no repr: they show the runner's own objects, which may hold secrets.
            name = getattr(callback, "__qualname__", type(callback).__name__)
            self._log.error("bounce.callback_failed", callback=name, error=type(error).__name__)

    def wait_till_ok(self, wait: Wait, watch: PodWatch) -> None:
        """Wait until the pods change, the wait is over, or `stop` returns True. Nothing else waits between steps."""
        remaining = wait.seconds
        while remaining > 0 and not self._stop():
            if wait.backing_off:
                watch.pause(min(remaining, STOP_EVERY))
            elif watch.wait(min(remaining, STOP_EVERY)):
                return
            remaining -= STOP_EVERY


def _present_user() -> str:
    """Name whoever runs this process: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user often has no name
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"


def _mark_protection_unknown(record: BounceRecord) -> BounceRecord:
    """Set the protection to unknown if an earlier run was killed before it saved the outcome."""
    return record.model_copy(update={"protection": Protection.UNKNOWN}) if record.protection_in_doubt else record


def _entered_now(record: BounceRecord, now: datetime) -> BounceRecord:
    """Set the time at which DELETE_POD was entered to now: the protection before it may have taken long."""
    return record.model_copy(update={"path": (*record.path[:-1], record.path[-1].model_copy(update={"at": now}))})


def _differs_in_details(before: BounceRecord, after: BounceRecord) -> bool:
    """True if two records differ only in the replacement that was seen and in notices: the next step needs neither."""
    same = {"new_pod": before.new_pod, "notices": before.notices, "revision": before.revision}
    return after is not before and after.model_copy(update=same) == before


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
    record = _mark_protection_unknown(context.record)
    return _apply(record, Outcome(event, *messages.given_up(record, event, error, context.terms)), context.now)
