"""A bounce for a runner: save each step before the next is taken, wait in between, resume, stop, tell.

The saved state is the intent: a bounce saves what it will do before it does it. `advance` takes one step.
"""

from __future__ import annotations

import getpass
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mecbounce import again, events, messages
from mecbounce.advancing import Step, Wait, advance, begin, cancel, mark_protection_unknown
from mecbounce.errors import ClusterError, Interrupted, RecordError, one_line
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.logs import EventLog
from mecbounce.machine import State
from mecbounce.messages import TASK, Terms
from mecbounce.progress import LastLook, Progress
from mecbounce.protection import ShutdownProtection
from mecbounce.record import BounceRecord, Notice, Runner, refuse_other_bounce, refuse_other_pod
from mecbounce.request import BounceRequest
from mecbounce.result import BounceResult

if TYPE_CHECKING:
    from mecbounce.kubernetes_api import Cluster, PodWatch
    from mecbounce.stores import Store

log = EventLog("mecbounce.bounce")

DETAIL_EVERY = timedelta(seconds=1)  # between two saves of details
STOP_EVERY = 0.2  # seconds between two looks at stop() while waiting
NOBODY = (0, 0)  # no process, no revision


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
                return Step(self._cancel_or_interrupt(mark_protection_unknown(record), announced=announced), None)
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
        after = mark_protection_unknown(record).model_copy(update=update)
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


def _entered_now(record: BounceRecord, now: datetime) -> BounceRecord:
    """Set the time at which DELETE_POD was entered to now: the protection before it may have taken long."""
    return record.model_copy(update={"path": (*record.path[:-1], record.path[-1].model_copy(update={"at": now}))})


def _differs_in_details(before: BounceRecord, after: BounceRecord) -> bool:
    """True if two records differ only in the replacement that was seen and in notices: the next step needs neither."""
    same = {"new_pod": before.new_pod, "notices": before.notices, "revision": before.revision}
    return after is not before and after.model_copy(update=same) == before
