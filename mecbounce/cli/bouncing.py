"""Carry one bounce out for the command."""

from __future__ import annotations

import contextlib
from datetime import UTC

from mecbounce.cli.exits import ExitStatus, LeftAtOnce, UsageProblem, exit_status, stop_signals
from mecbounce.cli.options import Asked
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.errors import Interrupted, RecordError, RecordNotSaved, Superseded
from mecbounce.messages import COMMAND
from mecbounce.record import BounceRecord
from mecbounce.request import BounceRequest
from mecbounce.stores import FileStore
from mecbounce.task import BounceTask, refuse_other_bounce, refuse_other_pod


def bounce(terminal: BounceInTerminal, asked: Asked) -> ExitStatus:
    """Bounce, or resume what an earlier run left, and tell how it ended."""
    cluster = asked.cluster
    with stop_signals() as stop:
        task = _CommandTask(
            asked.request,
            cluster,
            asked.store,
            protection=asked.protection,
            notify=terminal.notify,
            observe=terminal.observe,
            saw=lambda pods: terminal.saw(pods, cluster.server_time),
            stop=stop,
            events=asked.events,
            terms=COMMAND,
        )
        try:
            with terminal:
                result = task.perform()
                if task.left is not None and task.left.finished:
                    _tell_late(terminal, task.left)
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
    _mark_told(asked.store)
    return exit_status(result)


def to_resume(asked: Asked) -> BounceRecord | None:
    """Give the unfinished bounce that `run` would resume. Raises what `run` would raise of its record's file."""
    left = asked.store.load()
    try:
        asked.store.try_place()
    except RecordNotSaved as error:
        raise UsageProblem(f"--state: {error}") from error
    if left is None:
        return None
    _refuse_foreign(left, asked.request, asked.cluster.server, asked.store)
    return None if left.finished else left


def _refuse_foreign(left: BounceRecord, request: BounceRequest, server: str, store: FileStore) -> None:
    """Raise ForeignRecord where a record is neither to be resumed nor to be set aside."""
    refuse_other_pod(left, request, store)
    if not left.finished:  # an ended bounce with a mistyped --node must not stand in the way of the corrected one
        refuse_other_bounce(left, request, store, server=server)


class _CommandTask(BounceTask):
    """A bounce of the command. It sets aside an earlier one that has ended and was told, and starts a new one."""

    _store: FileStore
    left: BounceRecord | None = None
    """What an earlier run left: a bounce to resume, or one that has ended and whose end it did not tell."""

    def stored(self) -> BounceRecord | None:
        left = self._store.load()
        if left is None:
            return None
        _refuse_foreign(left, self._request, self._cluster.server, self._store)
        if left.finished and not _is_untold_end(left, self._request):
            self._store.set_aside()
            return None
        self.left = left
        return left


def _is_untold_end(left: BounceRecord, request: BounceRequest) -> bool:
    """Whether a finished record is of the bounce that is asked for, and the run that ended it did not tell so."""
    pinned = left.old_pod.uid if left.old_pod else left.request.pod_uid
    return left.untold and left.request.node == request.node and request.pod_uid in (None, pinned)


def _tell_late(terminal: BounceInTerminal, ended: BounceRecord) -> None:
    """Tell the end of a bounce whose run was killed before it could do so."""
    at = f"{ended.entered_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    terminal.observe(ended)
    terminal.say(
        f"This bounce ended at {at}; its run stopped before it said so. The same command again begins a new one."
    )


def _mark_told(store: FileStore) -> None:
    """Save that the end was told: the next run then starts a new bounce. If this fails, the next run tells it again."""
    with contextlib.suppress(RecordError, Superseded):
        record = store.load()
        if record is not None and record.finished:
            store.save(record.changed(untold=False))


def _what_is_recorded(saved: BounceRecord | None) -> str:
    """Say what the next run will find. `saved`: the last record that is known to be saved.

    The file is not read: a disk that does not answer may be why a second signal was sent.
    """
    if saved is None:  # the first save may be under way
        return "This run deleted nothing. Run again to begin the bounce, or to resume it if a record was saved."
    if saved.finished:
        return "The bounce has ended, and its record was saved: run again to be told how."
    return "The record was saved: run again to resume."
