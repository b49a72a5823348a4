"""Carry one bounce out for the command: what an earlier run left is resumed, told or set aside first."""

from __future__ import annotations

import contextlib
from datetime import UTC
from typing import TYPE_CHECKING

from mecbounce.cli.exits import ExitStatus, LeftAtOnce, UsageProblem, exit_status, stop_signals
from mecbounce.errors import Interrupted, RecordError, RecordNotSaved, Superseded
from mecbounce.record import BounceRecord, BounceResult
from mecbounce.task import BounceTask, refuse_other_pod, refuse_other_server

if TYPE_CHECKING:
    from mecbounce.cli.terminal import BounceInTerminal
    from mecbounce.kubernetes_api.client import KubernetesCluster
    from mecbounce.protection import AnnotationProtection
    from mecbounce.request import BounceRequest
    from mecbounce.stores import FileStore


def bounce(
    terminal: BounceInTerminal,
    request: BounceRequest,
    cluster: KubernetesCluster,
    store: FileStore,
    protection: AnnotationProtection | None,
    *,
    events: bool = True,
) -> ExitStatus:
    """Bounce, or resume. What a finished bounce left is set aside, once its end has been told."""
    saved: BounceRecord | None = None  # of this bounce, by an earlier run
    try:
        with stop_signals() as stop:
            saved = _left_behind(store, request, cluster)
            if saved is not None and saved.finished:
                result = _told_late(terminal, saved)
            else:
                task = BounceTask(
                    request,
                    cluster,
                    store,
                    protection=protection,
                    notify=terminal.notify,
                    observe=terminal.observe,
                    saw=lambda pods: terminal.saw(pods, cluster.server_time),
                    stop=stop,
                    events=events,
                )
                result = _performed(task, terminal)
    except LeftAtOnce as at_once:
        raise LeftAtOnce(_what_is_recorded(terminal.record or saved)) from at_once
    except RecordNotSaved as error:
        if terminal.record is None and saved is None:
            raise UsageProblem(f"--state: {error}") from error
        raise
    terminal.end(result)
    _mark_told(store)
    return exit_status(result)


def _left_behind(store: FileStore, request: BounceRequest, cluster: KubernetesCluster) -> BounceRecord | None:
    """Give the record to go on with, or whose end is yet to be told. Set any other that has ended aside."""
    left = store.load()
    if left is None:
        return None
    # An ended bounce with a mistyped --node must not stand in the way of the corrected one.
    refuse_other_pod(left, request, store)
    if not left.finished:
        refuse_other_server(left, cluster.server, store)
    elif not is_untold_end(left, request):
        store.set_aside()
        return None
    return left


def _performed(task: BounceTask, terminal: BounceInTerminal) -> BounceResult:
    try:
        with terminal:
            return task.perform()
    except Interrupted:
        terminal.sum_up()
        raise


def _what_is_recorded(saved: BounceRecord | None) -> str:
    """Say what there is to go on with. `saved`: the last record that is known to be saved.

    The file is not looked at: whoever leaves at once may do so because its disk does not answer.
    """
    if saved is None:  # perhaps in the middle of the first save
        return "This run deleted nothing. Run again to begin the bounce, or to resume it if a record was saved."
    if saved.finished:
        return "The bounce has ended, and its record was saved: run again to be told how."
    return "The record was saved: run again to resume."


def is_untold_end(left: BounceRecord, request: BounceRequest) -> bool:
    """Whether a finished record is of the bounce that is asked for, and the run that ended it did not tell so."""
    pinned = left.old_pod.uid if left.old_pod else left.request.pod_uid
    same = left.request.node == request.node and request.pod_uid in (None, pinned)
    return left.finished and left.untold and same


def _told_late(terminal: BounceInTerminal, left: BounceRecord) -> BounceResult:
    """Say that a bounce has ended whose run was killed before it could tell how."""
    at = f"{left.entered_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    with terminal:
        terminal.observe(left)
        terminal.say(f"This bounce ended at {at}, and nobody was told. The same command again begins a new one.")
    return BounceResult.of(left)


def _mark_told(store: FileStore) -> None:
    """Remember that the end was told: the next run begins anew. Should that fail, it is told once more."""
    with contextlib.suppress(RecordError, Superseded):
        record = store.load()
        if record is not None and record.finished:
            store.save(record.changed(untold=False))
