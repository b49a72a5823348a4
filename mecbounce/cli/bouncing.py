"""Carry one bounce out for the command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from mecbounce.cli.exits import ExitStatus, StoppedImmediately, UsageProblem, exit_status, stop_signals
from mecbounce.cli.following import StoppedFollowing, follow
from mecbounce.cli.options import Asked
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.errors import Interrupted, RecordError, RecordNotSaved, Superseded
from mecbounce.messages import COMMAND, utc
from mecbounce.record import BounceRecord, refuse_other_bounce, refuse_other_pod
from mecbounce.request import BounceRequest
from mecbounce.result import BounceResult
from mecbounce.stores import FileStore
from mecbounce.task import BounceTask


def bounce(terminal: BounceInTerminal, asked: Asked) -> ExitStatus:
    """Bounce, or resume what an earlier run left, or follow the run that drives it, and tell how it ended."""
    cluster, earlier, followed = asked.cluster, None, False
    with stop_signals() as stop:
        task = BounceTask(
            asked.request,
            cluster,
            asked.store,
            protection=asked.protection,
            notify=terminal.notify,
            observe=terminal.observe,
            progress=terminal.progress,
            stop=stop,
            events=asked.events,
            terms=COMMAND,
        )
        try:
            with terminal:
                earlier = _taken_up(asked)
                if earlier is not None and earlier.finished:
                    result = task.go_on(earlier)
                    _tell_late(terminal, earlier)
                else:
                    result, followed = _driven_or_followed(asked, earlier, task.go_on, terminal, stop)
        except StoppedFollowing as stopped:
            terminal.say(str(stopped))
            return ExitStatus.INTERRUPTED
        except Interrupted:
            terminal.interrupted()
            return ExitStatus.INTERRUPTED
        except StoppedImmediately as stopped:
            raise StoppedImmediately(str(stopped) or _what_is_recorded(terminal.record or earlier)) from stopped
        except RecordNotSaved as error:
            if terminal.record is None and earlier is None:
                raise UsageProblem(f"--state: {error}") from error
            raise
    terminal.end(result)
    if not followed:  # whoever began it is told by its own run, or by the next one
        _mark_told(asked.store)
    return exit_status(result)


def _driven_or_followed(
    asked: Asked,
    earlier: BounceRecord | None,
    drive: Callable[[BounceRecord | None], BounceResult],
    terminal: BounceInTerminal,
    stop: Callable[[], bool],
) -> tuple[BounceResult, bool]:
    """Drive a bounce to its end, or follow the runner that does. Gives the result, and whether it was followed."""
    while True:
        if earlier is not None and (earlier.finished or (asked.store.held() and not asked.take_over)):
            earlier = follow(asked.store, earlier, terminal, stop)
            if earlier.finished:
                return BounceResult.of(earlier), True
            terminal.gone(earlier, then="this run takes the bounce over")
        before = terminal.record
        try:
            return drive(earlier), False
        except Superseded:
            if terminal.record is not before:  # this run has driven it
                raise
            earlier = _loaded(asked)  # another run was faster
            if earlier is None:
                raise


def to_resume(asked: Asked) -> BounceRecord | None:
    """Give the unfinished bounce that `run` would resume. Raises what `run` would raise of its record's file."""
    earlier = _loaded(asked)
    try:
        asked.store.try_place()
    except RecordNotSaved as error:
        raise UsageProblem(f"--state: {error}") from error
    return None if earlier is None or earlier.finished else earlier


def _taken_up(asked: Asked) -> BounceRecord | None:
    """Give what an earlier run left: a bounce to resume, or an end to tell. Set a bounce aside whose end was told."""
    earlier = _loaded(asked)
    if earlier is None or not earlier.finished or _is_untold_end(earlier, asked.request):
        return earlier
    asked.store.set_aside()
    return None


def _loaded(asked: Asked) -> BounceRecord | None:
    """Load the record of an earlier run. Raises ForeignRecord if it is neither to be resumed nor to be set aside."""
    earlier, where = asked.store.load(), str(asked.store)
    if earlier is None:
        return None
    refuse_other_pod(earlier, asked.request, where)
    if not earlier.finished:  # an ended bounce with a mistyped --node must not stand in the way of the corrected one
        refuse_other_bounce(earlier, asked.request, where, server=asked.cluster.server)
    return earlier


def _is_untold_end(earlier: BounceRecord, request: BounceRequest) -> bool:
    """Whether a finished record is of the bounce that is asked for, and the run that ended it did not tell so."""
    pinned = earlier.old_pod.uid if earlier.old_pod else earlier.request.pod_uid
    return earlier.untold and request.node in ("auto", earlier.node) and request.pod_uid in (None, pinned)


def _tell_late(terminal: BounceInTerminal, ended: BounceRecord) -> None:
    """Tell the end of a bounce whose run was killed before it could do so."""
    at = utc(ended.entered_at)
    terminal.observe(ended)
    terminal.say(
        f"This bounce ended at {at}; its run was stopped before it could say so. "
        "The same command again begins a new one."
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
