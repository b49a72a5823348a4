"""Carry one bounce out for the command."""

from __future__ import annotations

import contextlib
from datetime import UTC
from typing import TYPE_CHECKING

from mecbounce.cli.exits import ExitStatus, LeftAtOnce, UsageProblem, exit_status, stop_signals
from mecbounce.errors import Interrupted, RecordError, RecordNotSaved, Superseded
from mecbounce.messages import COMMAND
from mecbounce.record import BounceRecord
from mecbounce.task import BounceTask, refuse_other_bounce, refuse_other_pod

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
    """Bounce, or resume what an earlier run left, and tell how it ended."""
    with stop_signals() as stop:
        task = _CommandTask(
            request,
            cluster,
            store,
            protection=protection,
            notify=terminal.notify,
            observe=terminal.observe,
            saw=lambda pods: terminal.saw(pods, cluster.server_time),
            stop=stop,
            events=events,
            terms=COMMAND,
        )
        try:
            with terminal:
                result = task.perform()
                if task.ended_before is not None:
                    _tell_late(terminal, task.ended_before)
        except Interrupted:
            terminal.sum_up()
            raise
        except LeftAtOnce as at_once:
            raise LeftAtOnce(_what_is_recorded(terminal.record or task.left)) from at_once
        except RecordNotSaved as error:
            if terminal.record is None and task.left is None:
                raise UsageProblem(f"--state: {error}") from error
            raise
    terminal.end(result)
    _mark_told(store)
    return exit_status(result)


class _CommandTask(BounceTask):
    """A bounce of the command: a bounce that has ended is set aside once its end was told, and a new one begins."""

    _store: FileStore
    left: BounceRecord | None = None
    """What an earlier run left of this bounce."""

    @property
    def ended_before(self) -> BounceRecord | None:
        """The record of a bounce that an earlier run ended, and whose end that run did not tell."""
        return self.left if self.left is not None and self.left.finished else None

    def stored(self) -> BounceRecord | None:
        left = self._store.load()
        if left is None:
            return None
        # An ended bounce with a mistyped --node must not stand in the way of the corrected one.
        refuse_other_pod(left, self._request, self._store)
        if not left.finished:
            refuse_other_bounce(left, self._request, self._store, server=self._cluster.server)
        elif not is_untold_end(left, self._request):
            self._store.set_aside()
            return None
        self.left = left
        return left


def is_untold_end(left: BounceRecord, request: BounceRequest) -> bool:
    """Whether a finished record is of the bounce that is asked for, and the run that ended it did not tell so."""
    pinned = left.old_pod.uid if left.old_pod else left.request.pod_uid
    same = left.request.node == request.node and request.pod_uid in (None, pinned)
    return left.finished and left.untold and same


def _tell_late(terminal: BounceInTerminal, ended: BounceRecord) -> None:
    """Say that a bounce has ended whose run was killed before it could tell how."""
    at = f"{ended.entered_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    terminal.observe(ended)
    terminal.say(
        f"This bounce ended at {at}; its run stopped before it said so. The same command again begins a new one."
    )


def _mark_told(store: FileStore) -> None:
    """Remember that the end was told: the next run begins anew. Should that fail, it is told once more."""
    with contextlib.suppress(RecordError, Superseded):
        record = store.load()
        if record is not None and record.finished:
            store.save(record.changed(untold=False))


def _what_is_recorded(saved: BounceRecord | None) -> str:
    """Say what there is to go on with. `saved`: the last record that is known to be saved.

    The file is not looked at: a disk that does not answer may be why a second signal was sent.
    """
    if saved is None:  # perhaps in the middle of the first save
        return "This run deleted nothing. Run again to begin the bounce, or to resume it if a record was saved."
    if saved.finished:
        return "The bounce has ended, and its record was saved: run again to be told how."
    return "The record was saved: run again to resume."
